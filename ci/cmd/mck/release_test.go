package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/magecloudkit/pipeline/ci/awssim"
	"github.com/magecloudkit/pipeline/ci/config"
	"github.com/magecloudkit/pipeline/ci/release"
	"github.com/magecloudkit/pipeline/ci/verbs"
)

// cloud serves a simulated AWS and returns what a command line needs to reach
// it. Time stands still in it, so only what does not wait can be tried here;
// waiting is what the rehearsal is for.
func cloud(t *testing.T) (*awssim.World, map[string]string) {
	t.Helper()
	world, err := awssim.New(awssim.Config{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(world.Handler())
	t.Cleanup(server.Close)
	return world, map[string]string{
		"AWS_ENDPOINT_URL": server.URL, "AWS_REGION": world.Region(), "AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "hunter2",
		"MCK_CLUSTER": "production-app", "MCK_SERVICES": "production-app,production-consumers", "MCK_CRON_RULES": "production-cron",
		"MCK_MIGRATE": "never", "MCK_CACHE_FLUSH": "false",
	}
}

func ops(w *awssim.World) []string {
	var all []string
	for _, c := range w.Calls() {
		all = append(all, c.Op)
	}
	return all
}

func TestDeployNothingToDo(t *testing.T) {
	world, vars := cloud(t)
	code, out, err := mck(t, vars, "deploy", "--build-num", "300", "--json")
	if code != 0 {
		t.Fatalf("exit code %d:\n%s%s", code, out, err)
	}
	var r release.Result
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v in:\n%s", err, out)
	}
	if r.Verdict != release.Released || len(r.Services) != 2 || r.TotalCalls() != len(world.Calls()) {
		t.Errorf("verdict %s, %d services, %d calls counted and %d made", r.Verdict, len(r.Services), r.TotalCalls(), len(world.Calls()))
	}
	if slices.Contains(ops(world), "ecs:UpdateService") || slices.Contains(ops(world), "ecs:RegisterTaskDefinition") {
		t.Errorf("something was changed: %v", ops(world))
	}
}

func TestDeployRefused(t *testing.T) {
	world, vars := cloud(t)
	report := filepath.Join(t.TempDir(), "report.html")
	code, out, err := mck(t, vars, "deploy", "--build-num", "999", "--service", "nobody", "--report", report)
	if code != 3 || !strings.Contains(out, "refused") || !strings.Contains(err, "nobody") {
		t.Errorf("exit code %d:\n%s%s", code, out, err)
	}
	page, rerr := os.ReadFile(report)
	if rerr != nil || !strings.Contains(string(page), "does not exist") {
		t.Errorf("the report does not tell: %v", rerr)
	}
	for _, op := range ops(world) {
		if strings.Contains(op, ":Update") || strings.Contains(op, ":Register") {
			t.Errorf("%s was called", op)
		}
	}
}

func TestReleaseUsage(t *testing.T) {
	_, vars := cloud(t)
	for _, c := range []struct {
		args []string
		say  string
	}{
		{[]string{"deploy"}, "--build-num"},
		{[]string{"deploy", "--build-num", "a b"}, "tag"},
		{[]string{"deploy", "--build-num", "300", "--env", "A"}, "NAME=VALUE"},
		{[]string{"deploy", "--build-num", "300", "--migrate", "sometimes"}, "auto, always, never"},
		{[]string{"deploy", "--build-num", "300", "--timeout", "soon"}, "timeout"},
		{[]string{"deploy", "--build-num", "300", "--report", "/nonexistent/dir/report.html"}, "directory"},
		{[]string{"deploy", "--build-num", "300", "--min-healthy-percent", "100", "--max-percent", "100"}, "never begin"},
		{[]string{"run"}, "arg"},
		{[]string{"env", "set", "A"}, "NAME=VALUE"},
		{[]string{"rehearse"}, "--list"},
		{[]string{"rehearse", "--scenario", "no such thing"}, "--list"},
		{[]string{"ecs-deploy", "-c", "a", "-n", "b", "-k", "AKIA", "-i", "x"}, "AWS_ACCESS_KEY_ID"},
		{[]string{"ecs-deploy", "-c", "a", "-n", "b"}, "-to"},
	} {
		code, out, err := mck(t, vars, c.args...)
		if code != exitUsage || !strings.Contains(err, c.say) {
			t.Errorf("mck %s: exit code %d, and it does not say %q:\n%s%s", strings.Join(c.args, " "), code, c.say, out, err)
		}
	}
	delete(vars, "MCK_CLUSTER")
	if code, _, err := mck(t, vars, "status"); code != exitUsage || !strings.Contains(err, "--cluster") {
		t.Errorf("without a cluster: exit code %d: %s", code, err)
	}
}

func TestStatusAndHistory(t *testing.T) {
	_, vars := cloud(t)
	code, out, err := mck(t, vars, "status")
	if code != 0 || !strings.Contains(out, "production-consumers") || !strings.Contains(out, "2/2") || strings.Contains(out, "drift") {
		t.Errorf("exit code %d:\n%s%s", code, out, err)
	}
	code, out, err = mck(t, vars, "history", "-n", "1")
	if code != 0 || strings.Count(out, "SUCCESSFUL") != 2 {
		t.Errorf("exit code %d:\n%s%s", code, out, err)
	}
}

func TestDiffAndVerify(t *testing.T) {
	_, vars := cloud(t)
	code, out, err := mck(t, vars, "diff", "--build-num", "298", "--env", "API_TOKEN=hunter2")
	if code != 0 || !strings.Contains(out, "magento2:300 -> ") || !strings.Contains(out, "API_TOKEN.value: (hidden)") {
		t.Errorf("exit code %d:\n%s%s", code, out, err)
	}
	if code, out, err = mck(t, vars, "verify", "--build-num", "298"); code != 3 || !strings.Contains(out, "is older") {
		t.Errorf("an older build: exit code %d:\n%s%s", code, out, err)
	}
	if code, out, err = mck(t, vars, "verify", "--build-num", "298", "--downgrade"); code != 0 {
		t.Errorf("exit code %d:\n%s%s", code, out, err)
	}
	if code, out, err = mck(t, vars, "verify", "--build-num", "1", "--downgrade"); code != 3 || strings.Count(out+err, "magento2:1: does not exist") != 1 {
		t.Errorf("a build that does not exist: exit code %d:\n%s%s", code, out, err)
	}
}

func TestEnvList(t *testing.T) {
	_, vars := cloud(t)
	code, out, err := mck(t, vars, "env", "list")
	if code != 0 || !strings.Contains(out, "MAGE_MODE") || !strings.Contains(out, "(secret)") || strings.Contains(out, "simulated") {
		t.Errorf("exit code %d:\n%s%s", code, out, err)
	}
}

func TestRehearseCommand(t *testing.T) {
	code, out, err := mck(t, nil, "rehearse", "--scenario", "out of memory", "--json")
	if code != 0 {
		t.Fatalf("exit code %d:\n%s%s", code, out, err)
	}
	var outcomes []struct{ Want, Got string }
	if err := json.Unmarshal([]byte(out), &outcomes); err != nil || len(outcomes) != 1 || outcomes[0].Got != "rolled back" {
		t.Errorf("%v in %s", err, out)
	}
	if code, out, _ = mck(t, nil, "rehearse", "--list"); code != 0 || strings.Count(out, "\n") < 50 {
		t.Errorf("exit code %d, %d scenarios", code, strings.Count(out, "\n"))
	}
}

// TestWebhookToken: the webhook proves who sends it, if it has something to prove it with.
func TestWebhookToken(t *testing.T) {
	var got []string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = append(got, r.Header.Get("Authorization")) }))
	defer server.Close()
	for _, vars := range []map[string]string{{}, {"MCK_WEBHOOK_TOKEN": "t0ken"}} {
		vars["MCK_WEBHOOK_URL"], vars["MCK_CLUSTER"], vars["MCK_SERVICES"] = server.URL, "a", "b"
		var s verbs.Release
		if err := config.Load(t.Context(), &s, config.Environment(func(name string) (string, bool) { v, ok := vars[name]; return v, ok })); err != nil {
			t.Fatal(err)
		}
		for _, m := range markers(s, server.Client()) {
			if err := m.End(t.Context(), release.MarkerInfo{}); err != nil {
				t.Error(err)
			}
		}
	}
	if !slices.Equal(got, []string{"", "Bearer t0ken"}) {
		t.Errorf("the webhook was sent with %q", got)
	}
}

// TestLegacyWordForWord is the command line of the old Makefile.
func TestLegacyWordForWord(t *testing.T) {
	a, err := parseLegacy(strings.Fields("-c production-app -n production-app -to 300 -i ignore -t 360"))
	if err != nil {
		t.Fatal(err)
	}
	var s verbs.Release
	r, err := a.apply(&s, nil)
	if err != nil || r.Check() != nil {
		t.Fatal(err, r.Check())
	}
	if r.Cluster != "production-app" || !slices.Equal(r.Services, []string{"production-app"}) || r.Build != "300" || r.Timeout != 6*time.Minute || r.Repositories != nil {
		t.Errorf("%+v", r)
	}
	_, vars := cloud(t)
	code, out, errs := mck(t, vars, strings.Fields("ecs-deploy -c production-app -n production-app -to 300 -i ignore -t 360")...)
	if code != 0 || !strings.Contains(out, "runs already: no service was rolled, and no task ran") {
		t.Errorf("exit code %d:\n%s%s", code, out, errs)
	}
}

func TestLegacyOptions(t *testing.T) {
	lookup := func(k string) (string, bool) { return "from-" + k, k == "CI_TAG" }
	for _, c := range []struct {
		line string
		ok   func(release.Request, verbs.Release) bool
	}{
		{"-c a -n b -i registry.local:5000/shop:17", func(r release.Request, _ verbs.Release) bool {
			return r.Build == "17" && slices.Equal(r.Repositories, []string{"registry.local:5000/shop"})
		}},
		{"-c a -n b -i shop", func(r release.Request, _ verbs.Release) bool { return r.Build == "latest" }},
		{"-c a -n b -i shop -e CI_TAG", func(r release.Request, _ verbs.Release) bool { return r.Build == "from-CI_TAG" }},
		{"-c a -n b -i shop -e UNSET", func(r release.Request, _ verbs.Release) bool { return r.Build == "latest" }},
		{"--cluster a --service-name b --tag-only 5 --image x --timeout 10", func(r release.Request, _ verbs.Release) bool {
			return r.Build == "5" && r.Timeout == 10*time.Second
		}},
		{"-c a -n b -to 5", func(r release.Request, _ verbs.Release) bool { return r.Timeout == 90*time.Second }},
		{"-c a -n b -to 5 -D 3 -m 50 -M 150 --max-definitions 4", func(r release.Request, _ verbs.Release) bool {
			return *r.DesiredCount == 3 && *r.MinHealthyPercent == 50 && *r.MaxPercent == 150 && r.KeepRevisions == 4
		}},
		{"-c a -n b --force-new-deployment", func(r release.Request, _ verbs.Release) bool { return r.Force && r.KeepBuild }},
		{"-c a -n b -to 5 --use-latest-task-def", func(r release.Request, _ verbs.Release) bool { return r.Latest }},
		{"-c a -n b -to 5 -r eu-west-1 -p shop", func(_ release.Request, s verbs.Release) bool { return s.Region == "eu-west-1" && s.Profile == "shop" }},
	} {
		a, err := parseLegacy(strings.Fields(c.line))
		if err != nil {
			t.Errorf("%s: %v", c.line, err)
			continue
		}
		var s verbs.Release
		s.DesiredCount, s.MinHealthy, s.MaxPercent = -1, -1, -1
		r, err := a.apply(&s, lookup)
		if err != nil || !c.ok(r, s) {
			t.Errorf("%s: %v, %+v", c.line, err, r)
		}
	}
}

// TestLegacyKnowsEveryOption holds the list against that of the old script.
func TestLegacyKnowsEveryOption(t *testing.T) {
	old := `-k --aws-access-key -s --aws-secret-key -r --region -p --profile --aws-instance-profile -a --aws-assume-role
		-c --cluster -n --service-name -d --task-definition -i --image -t --timeout -m --min -M --max -D --desired-count
		-e --tag-env-var -to --tag-only --max-definitions --task-definition-file --enable-rollback --use-latest-task-def
		--force-new-deployment --skip-deployments-check --run-task --launch-type --platform-version --wait-for-success
		--network-configuration --copy-task-definition-tags -v --verbose --version`
	for _, name := range strings.Fields(old) {
		o, ok := findLegacy(name)
		if !ok {
			t.Errorf("%s is not known", name)
			continue
		}
		if ways := btoi(o.set != nil) + btoi(o.instead != "") + btoi(o.note != ""); ways != 1 {
			t.Errorf("%s neither works nor says what replaces it, or both", name)
		}
	}
	a, err := parseLegacy([]string{"--enable-rollback", "--skip-deployments-check", "-v"})
	if err != nil || len(a.notes) != 3 {
		t.Errorf("%v, %v", a.notes, err)
	}
	_, err = parseLegacy([]string{"-k", "AKIASECRET", "--run-task", "--nonsense", "-c"})
	for _, part := range []string{"--aws-access-key", "mck run", "--nonsense", "--cluster needs a value"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not said: %v", part, err)
		}
	}
	if strings.Contains(err.Error(), "AKIASECRET") {
		t.Errorf("a key is shown: %v", err)
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func FuzzLegacyArguments(f *testing.F) {
	f.Add("-c\x00production-app\x00-n\x00production-app\x00-to\x00300\x00-i\x00ignore\x00-t\x00360", "")
	f.Add("-c\x00a\x00-n\x00b\x00-i\x00registry.local:5000/shop:1\x00-e\x00TAG", "7")
	f.Add("--max-definitions\x00-3\x00-t\x001e9\x00\x00-D\x00", "")
	f.Fuzz(func(t *testing.T, line, tag string) {
		a, err := parseLegacy(strings.Split(line, "\x00"))
		if err != nil {
			return
		}
		if a.timeout <= 0 || a.keep < 0 {
			t.Fatalf("%q: timeout %s, keep %d", line, a.timeout, a.keep)
		}
		var s verbs.Release
		r, err := a.apply(&s, func(string) (string, bool) { return tag, true })
		if err != nil || r.Check() != nil {
			return
		}
		if r.Cluster != a.cluster || len(r.Services) != 1 || r.Services[0] != a.service {
			t.Fatalf("%q: cluster %q, services %q", line, r.Cluster, r.Services)
		}
		if r.Build == "" != r.KeepBuild {
			t.Fatalf("%q: build %q, keep it %v", line, r.Build, r.KeepBuild)
		}
	})
}

// TestSettings loads every verb's settings from an empty environment: the tags
// are right.
func TestReleaseSettings(t *testing.T) {
	named := config.Environment(func(name string) (string, bool) { return "a", name == "MCK_CLUSTER" || name == "MCK_SERVICES" })
	var s verbs.Release
	if err := config.Load(context.Background(), &s, named); err != nil {
		t.Fatal(err)
	}
	r := releaseRequest(s)
	if r.Migrate != release.MigrateAuto || !r.Rollback || r.NoCacheFlush || r.Timeout != 10*time.Minute || r.TaskTimeout != 30*time.Minute ||
		r.DesiredCount != nil || r.Breaker != release.BreakerKeep || !slices.Equal(r.Console, []string{"bin/magento"}) ||
		!slices.Equal(r.Repositories, []string{"magecloudkit/magento2", "magecloudkit/nginx"}) {
		t.Errorf("%+v", r)
	}
	var back verbs.Rollback
	if err := config.Load(context.Background(), &back, named); err != nil {
		t.Fatal(err)
	}
}

// TestJSONIsOneDocumentAlways asks for JSON of verbs that end well, are refused, fail
// and cannot be taken.
func TestJSONIsOneDocumentAlways(t *testing.T) {
	_, vars := cloud(t)
	gone := map[string]string{"AWS_MAX_ATTEMPTS": "1"}
	for k, v := range vars {
		if _, ok := gone[k]; !ok {
			gone[k] = v
		}
	}
	gone["AWS_ENDPOINT_URL"] = "http://127.0.0.1:1"
	for _, c := range []struct {
		vars map[string]string
		args string
		code int
	}{
		{vars, "status", 0},
		{vars, "history", 0},
		{vars, "env list", 0},
		{vars, "rehearse --list", 0},
		{vars, "deploy --build-num 399", 3},
		{vars, "deploy --build-num 299", 3},
		{vars, "deploy --nonsense", 2},
		{nil, "deploy", 2},
		{nil, "status", 2},
		{nil, "rehearse", 2},
		{nil, "check --source /nowhere", 2},
		{vars, "status --service nobody", 1},
		{gone, "status", 1},
		{gone, "history", 1},
	} {
		code, out, errs := mck(t, c.vars, append(strings.Fields(c.args), "--json")...)
		d := json.NewDecoder(strings.NewReader(out))
		var document any
		if err := d.Decode(&document); err != nil || d.More() {
			t.Errorf("%s: stdout is not one document (%v):\n%s%s", c.args, err, out, errs)
			continue
		}
		if code != c.code {
			t.Errorf("%s: exit code %d and not %d:\n%s%s", c.args, code, c.code, out, errs)
		}
		if m, ok := document.(map[string]any); code != 0 && (!ok || m["exitCode"] != float64(code) || m["reason"] == "" || m["verdict"] == "") {
			t.Errorf("%s: %v", c.args, document)
		}
	}
}
