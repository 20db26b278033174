package release_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/magecloudkit/pipeline/ci/awssim"
	"github.com/magecloudkit/pipeline/ci/ecs"
	"github.com/magecloudkit/pipeline/ci/release"
	"github.com/magecloudkit/pipeline/ci/release/rehearse"
)

func TestExitCodes(t *testing.T) {
	for v, want := range map[release.Verdict]int{
		release.Released: 0, release.Planned: 0, release.Returned: 0, release.Finished: 0, release.Refused: 3, release.MigrationFailed: 4,
		release.RolledBack: 5, release.NotRolledBack: 6, release.TimedOut: 7, release.Superseded: 8,
		release.Interrupted: 1, release.Incomplete: 1, release.Broken: 1,
	} {
		if got := v.ExitCode(); got != want {
			t.Errorf("%s: %d", v, got)
		}
	}
}

func TestRequestCheckTellsEverything(t *testing.T) {
	ok := release.Request{Cluster: "a", Services: []string{"web"}, Build: "300", Repositories: []string{"registry.local:5000/shop"}}
	if err := ok.Check(); err != nil {
		t.Error(err)
	}
	err := release.Request{
		Services: []string{"web", "web", ""}, CronRules: []string{"bus/"}, Build: "a b", Repositories: []string{"shop:1", "Shop"},
		Migrate: "sometimes", Breaker: "perhaps", Timeout: -1, MinHealthyPercent: aws.Int32(-1), MaxPercent: aws.Int32(1000),
		DesiredCount: aws.Int32(-3), KeepRevisions: -1, Edits: ecs.Edits{CPU: "fast"},
	}.Check()
	for _, part := range []string{
		"no cluster", "web is given twice", "name is empty", "cron rule's name", `"a b"`, "shop:1", "Shop", "sometimes", "perhaps", "negative",
		"--min-healthy-percent", "--max-percent", "--desired-count", "--keep-revisions", "CPU",
	} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not said: %v", part, err)
		}
	}
}

func play(t *testing.T, name string) *release.Result {
	t.Helper()
	s, err := rehearse.Find(name)
	if err != nil {
		t.Fatal(err)
	}
	o, err := rehearse.Run(context.Background(), s, nil)
	if err != nil {
		t.Fatal(err)
	}
	return o.Result
}

// external is what would have a browser fetch something.
var external = regexp.MustCompile(`(?i)<(?:script|link|img|iframe)|\bsrc=|@import|url\(`)

func TestReport(t *testing.T) {
	for name, want := range map[string][]string{
		"crash loop, circuit breaker rolls back":               {"rolled back", "<svg", "way back", "PHP Fatal error", "exit code 255", "magento2:301", "circuit breaker"},
		"db:status 2":                                          {"released", "<svg", "setup:upgrade", "was paused", "Schema creation/updates"},
		"everything wrong at once":                             {"refused", "does not exist"},
		"environment, secrets and size changed with the build": {"containerDefinitions.magento.secrets.CRYPT_KEY"},
	} {
		r := play(t, name)
		var b bytes.Buffer
		if err := r.WriteHTML(&b); err != nil {
			t.Fatal(err)
		}
		for _, w := range want {
			if !strings.Contains(b.String(), w) {
				t.Errorf("%s: the page does not show %q", name, w)
			}
		}
		if found := external.FindString(b.String()); found != "" {
			t.Errorf("%s: the page needs something else: %s", name, found)
		}
	}
}

// TestReportEscapes: a log line must not become a part of the page.
func TestReportEscapes(t *testing.T) {
	r := &release.Result{Verb: "deploy", Verdict: release.MigrationFailed, Reason: "<b>bold</b>", Tasks: []release.TaskResult{{
		Name: "setup:upgrade", TaskEnd: ecs.TaskEnd{LastLines: []ecs.LogLine{{Text: "</pre><script>alert(1)</script>"}}},
	}}}
	var b bytes.Buffer
	if err := r.WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "<script>") || strings.Contains(b.String(), "<b>bold") {
		t.Error("it is not escaped")
	}
}

func TestResultAsJSON(t *testing.T) {
	r := play(t, "crash loop, circuit breaker rolls back")
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Verdict   string
		ExitCode  int
		Calls     map[string]int
		Started   time.Time
		Ended     time.Time
		Revisions []struct{ Before, After string }
		Services  []struct {
			Verdict   string
			Samples   []struct{ Running int }
			Diagnosis struct{ Failures []struct{ Reason string } }
			Rollback  struct{ Verdict string }
		}
		Steps []struct{ Name, Status string }
		State []string
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	if doc.Verdict != "rolled back" || doc.ExitCode != 5 || doc.Calls["UpdateService"] == 0 || !doc.Ended.After(doc.Started) || len(doc.Revisions) != 3 ||
		len(doc.Services) != 2 || doc.Services[0].Rollback.Verdict != "completed" || len(doc.Services[0].Samples) == 0 ||
		len(doc.Services[0].Diagnosis.Failures) == 0 || len(doc.State) != 3 || doc.Steps[0].Name != "preflight" {
		t.Errorf("%s", b)
	}
}

// TestSummarySaysTheDatabaseStays: going back does not undo an upgrade.
func TestSummarySaysTheDatabaseStays(t *testing.T) {
	s, err := rehearse.Find("only the consumers fail")
	if err != nil {
		t.Fatal(err)
	}
	s.Facts = map[string]string{"db": "old"}
	o, err := rehearse.Run(context.Background(), s, nil)
	if err != nil || o.Got != release.RolledBack {
		t.Fatal(o.Got, err)
	}
	if !strings.Contains(o.Result.Summary(), "database: upgraded") {
		t.Error(o.Result.Summary())
	}
}

// TestNotes: a release is told step by step, the log of the upgrade with it.
func TestNotes(t *testing.T) {
	s, err := rehearse.Find("db:status 2")
	if err != nil {
		t.Fatal(err)
	}
	var steps, log []string
	if _, err := rehearse.Run(context.Background(), s, func(n release.Note) {
		switch n.Level {
		case release.LevelStep:
			steps = append(steps, n.Text)
		case release.LevelLog:
			log = append(log, n.Text)
		}
	}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"preflight", "revisions", "migration", "rollout", "cache", "probe", "cron", "old revisions"}; !slices.Equal(steps, want) {
		t.Errorf("steps %v", steps)
	}
	if !slices.Contains(log, "Schema creation/updates:") {
		t.Errorf("log %q", log)
	}
}

// sink is a monitoring system.
func sink(t *testing.T, status int) (url string, got func() (http.Header, map[string]any)) {
	t.Helper()
	var header http.Header
	var body map[string]any
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header = r.Header
		b, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(b, &body); err != nil {
			t.Errorf("%v in %s", err, b)
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(s.Close)
	return s.URL, func() (http.Header, map[string]any) { return header, body }
}

func TestMarkers(t *testing.T) {
	info := release.MarkerInfo{Cluster: "production-app", Build: "300", By: "somebody", Verdict: release.Released, Ended: time.Unix(1700000000, 0)}
	ctx := context.Background()

	url, got := sink(t, 200)
	if err := (release.Datadog{Key: "k", URL: url, HTTP: http.DefaultClient}).End(ctx, info); err != nil {
		t.Error(err)
	}
	if h, b := got(); h.Get("DD-API-KEY") != "k" || b["alert_type"] != "success" || !strings.Contains(b["title"].(string), "300") {
		t.Errorf("Datadog: %v %v", h, b)
	}

	url, got = sink(t, 200)
	if err := (release.NewRelic{Key: "k", EntityGUID: "guid", URL: url, HTTP: http.DefaultClient}).End(ctx, info); err != nil {
		t.Error(err)
	}
	if h, b := got(); h.Get("Api-Key") != "k" || b["variables"].(map[string]any)["d"].(map[string]any)["entityGuid"] != "guid" {
		t.Errorf("New Relic: %v %v", h, b)
	}

	url, got = sink(t, 200)
	failed := info
	failed.Verdict = release.RolledBack
	if err := (release.NewRelic{URL: url, HTTP: http.DefaultClient}).End(ctx, failed); err != nil {
		t.Error(err)
	}
	if h, _ := got(); h != nil {
		t.Error("New Relic was told of a deployment that did not come to be")
	}

	url, got = sink(t, 200)
	if err := (release.Webhook{URL: url, HTTP: http.DefaultClient}).End(ctx, failed); err != nil {
		t.Error(err)
	}
	if _, b := got(); b["verdict"] != "rolled back" || b["build"] != "300" {
		t.Errorf("webhook: %v", b)
	}

	var ran [][]string
	circle := release.CircleCI{Environment: "production", Component: "shop", Run: func(_ context.Context, args ...string) error {
		ran = append(ran, args)
		return nil
	}}
	if err := errors.Join(circle.Begin(ctx, info), circle.End(ctx, failed)); err != nil {
		t.Error(err)
	}
	if len(ran) != 2 || !slices.Contains(ran[0], "--target-version=300") || !slices.Contains(ran[1], "--status=FAILED") || ran[0][3] != ran[1][3] {
		t.Errorf("CircleCI: %v", ran)
	}
}

// told is a marker that keeps what it is told, and fails.
type told struct{ begin, end []release.MarkerInfo }

func (*told) Name() string { return "test" }

func (m *told) Begin(_ context.Context, i release.MarkerInfo) error {
	m.begin = append(m.begin, i)
	return errors.New("no")
}

func (m *told) End(_ context.Context, i release.MarkerInfo) error {
	m.end = append(m.end, i)
	return errors.New("no")
}

// TestMarkersChangeNothing: they are told once, only when services move, and
// what they answer is not the verdict.
func TestMarkersChangeNothing(t *testing.T) {
	for name, times := range map[string]int{"healthy roll of 2 tasks": 1, "only the consumers fail": 1, "image missing": 0, "no change": 0} {
		s, err := rehearse.Find(name)
		if err != nil {
			t.Fatal(err)
		}
		m := &told{}
		s.Markers = []release.Marker{m}
		o, err := rehearse.Run(context.Background(), s, nil)
		if err != nil || !o.OK() {
			t.Errorf("%s: %v %v", name, err, o.Wrong)
		}
		if len(m.begin) != times || len(m.end) != times {
			t.Errorf("%s: told %d times and %d times", name, len(m.begin), len(m.end))
		}
		if times > 0 && (m.end[0].Verdict != s.Want || m.end[0].Build == "" || m.begin[0].Verdict != "") {
			t.Errorf("%s: %+v", name, m.end[0])
		}
	}
}

// TestMarkersKeepSecrets: an address may hold a token.
func TestMarkersKeepSecrets(t *testing.T) {
	url, _ := sink(t, 500)
	for _, address := range []string{url + "/hunter2", "http://127.0.0.1:1/hunter2", "://hunter2"} {
		err := release.Webhook{URL: address, HTTP: http.DefaultClient}.End(context.Background(), release.MarkerInfo{})
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v", err)
		}
	}
}

// cloud is a simulated AWS and a Releaser in it.
func cloud(t *testing.T) (*awssim.World, *release.Releaser) {
	t.Helper()
	world, err := awssim.New(awssim.Config{Topology: rehearse.Topology(), Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	cfg := world.ClientConfig()
	client := &http.Client{Transport: world.Transport()}
	cfg.HTTPClient = client
	return world, release.New(release.NewClients(cfg), release.Options{Clock: world.Clock(), Random: func() float64 { return 0.5 }, HTTP: client})
}

// TestHistoryTellsWhoDidWhat releases 301, then 302, returns to 301, has 302 fail by
// itself, and stops a roll: every row names its own author, whose revision it may be.
func TestHistoryTellsWhoDidWhat(t *testing.T) {
	world, r := cloud(t)
	ctx := context.Background()
	base := release.Request{
		Cluster: "production-app", Services: []string{rehearse.Web}, Repositories: []string{"magecloudkit/magento2", "magecloudkit/nginx"},
		Migrate: release.MigrateNever, NoCacheFlush: true, Rollback: true,
	}
	do := func(verb rehearse.Verb, by, build string, want release.Verdict) *release.Result {
		t.Helper()
		q := base
		q.By, q.Build = by, build
		res := verb(r, ctx, q)
		if res.Verdict != want {
			t.Fatalf("%s by %s ended with %s: %s", build, by, res.Verdict, res.Reason)
		}
		return res
	}
	deploy, rollback := (*release.Releaser).Deploy, (*release.Releaser).Rollback
	do(deploy, "one", "301", release.Released)
	do(deploy, "another", "302", release.Released)
	do(rollback, "a third", "", release.Returned)
	base.Edits.Env = []ecs.Variable{{Name: "A", Value: "1"}}
	do((*release.Releaser).EnvChange, "a fourth", "", release.Released)
	base.Edits.Env = nil
	if err := world.Behave(awssim.Behavior{Image: "magento2:302", Container: "magento", NeverHealthy: true}); err != nil {
		t.Fatal(err)
	}
	base.Timeout = 3 * time.Minute
	do(deploy, "a fifth", "302", release.TimedOut)

	past, err := r.History(ctx, base, 10)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range past {
		got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s by %s", p.What, p.Build, p.By)))
	}
	got = got[:len(got)-1] // what there was before
	want := []string{"deploy 302 by a fifth", "env 301 by a fourth", "rollback 301 by a third", "deploy 302 by another", "deploy 301 by one"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if !strings.Contains(past[0].Stopped, "a fifth") || past[0].Seconds < 60 {
		t.Errorf("%+v", past[0])
	}
}

// TestStatusTellsWhatReallyRuns leaves a roll that failed where it is.
func TestStatusTellsWhatReallyRuns(t *testing.T) {
	world, r := cloud(t)
	ctx := context.Background()
	q := release.Request{
		Cluster: "production-app", Services: []string{rehearse.Web}, Repositories: []string{"magecloudkit/magento2", "magecloudkit/nginx"},
		Migrate: release.MigrateNever, NoCacheFlush: true, Build: "301", By: "one", Breaker: release.BreakerOn,
	}
	if err := world.Behave(awssim.Behavior{Image: "magento2:301", Container: "magento", NeverHealthy: true}); err != nil {
		t.Fatal(err)
	}
	if res := r.Deploy(ctx, q); res.ExitCode == 0 {
		t.Fatalf("%s: %s", res.Verdict, res.Reason)
	}
	st, err := r.Status(ctx, q)
	if err != nil {
		t.Fatal(err)
	}
	row := st.Rows[0]
	if row.Build != "300" || row.Wanted == nil || row.Wanted.Build != "301" || row.State == "steady" {
		t.Errorf("%+v, wanted %+v", row, row.Wanted)
	}
}
