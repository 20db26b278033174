package pipelines

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/magecloudkit/pipeline/ci/docs/surface"
)

const repository = "../.."

func read(t *testing.T, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(repository, name))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

var target = regexp.MustCompile(`(?m)^([a-z][a-z0-9-]*):`)

// module is what can be called: the Dagger module's functions, and make's targets.
func module(t *testing.T) surface.Surface {
	t.Helper()
	m, err := surface.ReadModule(os.DirFS(repository))
	if err != nil {
		t.Fatal(err)
	}
	s := surface.Surface{Module: m}
	for _, m := range target.FindAllSubmatch(read(t, "Makefile"), -1) {
		s.Make = append(s.Make, string(m[1]))
	}
	return s
}

const (
	ours      = ".circleci/config.yml"
	oursBack  = ".circleci/rollback.yml"
	store     = "docs/ci/circleci/config.yml"
	storeBack = "docs/ci/circleci/rollback.yml"
)

var circleFiles = []string{ours, oursBack, store, storeBack}

func TestCircleCI(t *testing.T) {
	for _, name := range circleFiles {
		for _, p := range checkCircleCI(name, read(t, name), module(t)) {
			t.Error(p)
		}
	}
}

// secretVariables are those that somebody may have set whose values nobody may see.
var secretVariables = words("COMPOSER_AUTH MAGENTO_PUBLIC_KEY MAGENTO_PRIVATE_KEY AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN NEW_RELIC_API_KEY DATADOG_API_KEY MCK_WEBHOOK_URL")

// everything sets all that a configuration knows.
func everything() []string {
	env := words("AWS_REGION=eu-central-1 AWS_ACCESS_KEY_ID=value-of-AWS_ACCESS_KEY_ID AWS_ROLE_ARN=arn:aws:iam::123456789012:role/ci " +
		"MCK_SCHEDULES=cron MCK_PROBE=https://shop.example.com/ MCK_TIMEOUT=20m CIRCLE_USERNAME=jane NEW_RELIC_ENTITY_GUID=guid")
	for _, name := range secretVariables {
		env = append(env, name+"=value-of-"+name)
	}
	return env
}

// failing is, by what a pipeline is for, the function whose call fails in it.
var failing = map[string]string{"branch": "check", "main": "push", "rollback": "rollback", "redeploy": "deploy", "cleanup": "cleanup", "renew": "pin"}

// pipelines are all that there can be of a configuration.
func pipelines(t *testing.T, name string) map[string]*service {
	t.Helper()
	all := map[string]*service{}
	for what := range failing {
		branch := "main"
		if what == "branch" {
			branch = "feature"
		}
		s := newService(t, name, branch)
		actions := values(s.root.child("parameters").child("action").of["enum"])
		switch {
		case slices.Contains(actions, what):
			s.values["pipeline.parameters.action"], s.values["pipeline.parameters.build"] = what, "41"
		case len(actions) == 0 && what != "rollback", what == "renew": // what the file is not for
			continue
		}
		all[what] = s
	}
	return all
}

// commands writes down what jobs did of dagger and make, for a comparison.
func commands(jobs []ran) []string {
	var out []string
	for _, j := range jobs {
		line := j.name
		if j.context != "" {
			line += " (" + j.context + ")"
		}
		out = append(out, line)
		for _, c := range j.calls {
			if c[0] == "dagger" || c[0] == "make" {
				out = append(out, "  "+strings.ReplaceAll(c.String(), "dagger --progress=logs ", ""))
			}
		}
	}
	return out
}

// did holds the jobs of a file for a store to what they were to call: each succeeds, keeps what it is to keep, shows no
// secret, and calls what can be called.
func did(t *testing.T, name string, can surface.Surface, jobs []ran, want []string) {
	t.Helper()
	if diff := cmp.Diff(want, commands(jobs)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
	for _, j := range jobs {
		if j.failed || strings.Contains(j.output, "value-of-") || len(j.stored) == 0 && j.name != "cleanup" {
			t.Errorf("%s, %s, which keeps %q:\n%s", name, j.name, j.stored, j.output)
		}
		for _, c := range j.calls {
			if err := can.Check(surface.Command{Args: c}); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// parsed is the root of a file's one document.
func parsed(t *testing.T, name string) object {
	t.Helper()
	var doc yaml.Node
	if err := yaml.Unmarshal(read(t, name), &doc); err != nil {
		t.Fatal(err)
	}
	return asObject(doc.Content[0])
}

var (
	someHome = regexp.MustCompile(`=\S*/tmp/`)
)

func like(t *testing.T, jobs []ran, want ...string) {
	t.Helper()
	got := commands(jobs)
	for i := range got {
		got[i] = someHome.ReplaceAllString(got[i], "=/tmp/")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what is called (-want +got):\n%s", diff)
	}
	for _, j := range jobs {
		if j.failed {
			t.Errorf("%s failed:\n%s", j.name, j.output)
		}
	}
}

func TestABranchIsBuilt(t *testing.T) {
	s := newService(t, ours, "feature")
	s.project = words("MAGENTO_PUBLIC_KEY=a MAGENTO_PRIVATE_KEY=b")
	like(t, s.run(),
		"build",
		"  call --magento-public-key=env://MAGENTO_PUBLIC_KEY --magento-private-key=env://MAGENTO_PRIVATE_KEY check",
		"  call --magento-public-key=env://MAGENTO_PUBLIC_KEY --magento-private-key=env://MAGENTO_PRIVATE_KEY build --build-num=57 --revision=5a1d0c3 --revision-time=1700000000 --repository=https://github.com/acme/shop summary",
		"  call test-results --build-num=57 export --path=/tmp/results/smoke.xml",
	)
}

// Main is pushed once, and staging and production get the build of that push: the jobs that deploy have numbers of their own.
func TestMainIsReleased(t *testing.T) {
	s := newService(t, ours, "main")
	s.project = words("CIRCLE_USERNAME=jane")
	for _, c := range words("push staging production") {
		s.contexts["magecloudkit-"+c] = words("AWS_REGION=eu-central-1 AWS_ROLE_ARN=arn:" + c)
	}
	s.contexts["magecloudkit-production"] = append(s.contexts["magecloudkit-production"], "MCK_PROBE=https://shop.example.com/")
	aws := func(role string) string {
		return "  call --aws-region=eu-central-1 --aws-role-arn=arn:" + role + " --aws-web-identity-token=env://CIRCLE_OIDC_TOKEN_V2 "
	}
	jobs := s.run()
	like(t, jobs,
		"build-and-push (magecloudkit-push)",
		"  call check",
		"  call build --build-num=57 --revision=5a1d0c3 --revision-time=1700000000 --repository=https://github.com/acme/shop summary",
		strings.Replace(aws("push"), "call", "call --smoke=false", 1)+"push --build-num=57 --revision=5a1d0c3 --revision-time=1700000000 --repository=https://github.com/acme/shop",
		"  call test-results --build-num=57 export --path=/tmp/results/smoke.xml",
		"deploy-staging (magecloudkit-staging)",
		aws("staging")+"deploy --build-num=57 --pin-digest --cluster=staging-app --service=web,consumers --cron-rule=staging-cron --by=jane",
		"  call report --cluster=staging-app export --path=/tmp/reports/release.html",
		"deploy-production (magecloudkit-production)",
		aws("production")+"deploy --build-num=57 --pin-digest --cluster=production-app --service=web,consumers --cron-rule=production-cron --probe=https://shop.example.com/ --by=jane",
		"  call report --cluster=production-app export --path=/tmp/reports/release.html",
	)
	for _, j := range jobs[1:] {
		to := strings.TrimPrefix(j.name, "deploy-")
		want := []call{
			{"run", "release", "plan", to, "--environment-name=" + to, "--component-name=magento", "--target-version=57"},
			{"run", "release", "update", to, "--status=RUNNING"},
			{"run", "release", "update", to, "--status=SUCCESS"},
		}
		if diff := cmp.Diff(want, j.of("circleci")); diff != "" {
			t.Errorf("%s's release markers (-want +got):\n%s", j.name, diff)
		}
	}
	if !slices.Contains(jobs[0].stored, "/tmp/results") {
		t.Error("the build's test results are not kept")
	}
	for _, j := range jobs {
		if !slices.Contains(j.stored, "/tmp/reports") {
			t.Errorf("%s keeps no reports", j.name)
		}
		if last := j.calls[len(j.calls)-1].String(); last != "docker stop --time 300 1f2e" {
			t.Errorf("the last call of %s is %q, not the engine's end", j.name, last)
		}
	}
}

func TestProductionWaitsForApproval(t *testing.T) {
	s := newService(t, ours, "main")
	s.holds = true
	var names []string
	for _, j := range s.run() {
		names = append(names, j.name)
	}
	if diff := cmp.Diff([]string{"build-and-push", "deploy-staging"}, names); diff != "" {
		t.Errorf("jobs without an approval (-want +got):\n%s", diff)
	}
}

func TestActions(t *testing.T) {
	tests := []struct {
		file, action, environment, build string
		want                             []string
	}{
		{ours, "redeploy", "staging", "41", []string{
			"deploy (magecloudkit-staging)",
			"  call deploy --build-num=41 --pin-digest --downgrade --force --cluster=staging-app --service=web,consumers --cron-rule=staging-cron",
			"  call report --cluster=staging-app export --path=/tmp/reports/release.html",
		}},
		{ours, "rollback", "", "", []string{
			"rollback (magecloudkit-production)",
			"  call rollback --cluster=production-app --service=web,consumers --cron-rule=production-cron",
			"  call report --cluster=production-app export --path=/tmp/reports/release.html",
		}},
		{ours, "rollback", "staging", "41", []string{
			"rollback (magecloudkit-staging)",
			"  call rollback --to=41 --cluster=staging-app --service=web,consumers --cron-rule=staging-cron",
			"  call report --cluster=staging-app export --path=/tmp/reports/release.html",
		}},
		// CircleCI's own button
		{oursBack, "", "", "", []string{
			"rollback (magecloudkit-production)",
			"  call rollback --to=41 --cluster=production-app --service=web,consumers --cron-rule=production-cron",
			"  call report --cluster=production-app export --path=/tmp/reports/release.html",
		}},
		{storeBack, "", "", "", []string{
			"rollback (magecloudkit-production)",
			"  -m github.com/magecloudkit/pipeline@v1.0.0 call rollback --to=41 --cluster=production-app --service=web,consumers --cron-rule=production-cron",
			"  -m github.com/magecloudkit/pipeline@v1.0.0 call report --cluster=production-app export --path=/tmp/reports/release.html",
		}},
		{ours, "cleanup", "", "", []string{"cleanup (magecloudkit-cleanup)", "  call cleanup --yes"}},
		{ours, "renew", "", "", []string{"renew", "  make pin", "  call build --build-num=renewed summary"}},
		// What a person types stays one word, whatever it is.
		{ours, "redeploy", "staging", `4"1; touch $HOME/x; $(touch y) 'z`, []string{
			"deploy (magecloudkit-staging)",
			`  call deploy --build-num=4"1; touch $HOME/x; $(touch y) 'z --pin-digest --downgrade --force --cluster=staging-app --service=web,consumers --cron-rule=staging-cron`,
			"  call report --cluster=staging-app export --path=/tmp/reports/release.html",
		}},
	}
	for i, tt := range tests {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			s := newService(t, tt.file, "main")
			for k, v := range map[string]string{"action": tt.action, "environment": tt.environment, "build": tt.build} {
				if v != "" {
					s.values["pipeline.parameters."+k] = v
				}
			}
			jobs := s.run()
			like(t, jobs, tt.want...)
			for _, j := range jobs {
				if markers := j.of("circleci"); strings.HasPrefix(j.name, "rollback") && !slices.Contains(markers[0], "--rollback") {
					t.Errorf("%s is marked as none: %q", j.name, markers)
				}
			}
		})
	}
}

// A store in its own repository gets the same calls, of the pipeline's version, with its own source.
func TestAStoreDoesTheSame(t *testing.T) {
	for action, s := range pipelines(t, store) {
		own := pipelines(t, ours)[action]
		s.project, own.project = everything(), everything()
		var want []string
		for _, line := range commands(own.run()) {
			// The store's credentials follow its source.
			line = regexp.MustCompile(`( |^)(--composer-auth=)`).ReplaceAllString(line, "$1--source=. $2")
			want = append(want, regexp.MustCompile(`^  call`).ReplaceAllString(line, "  -m github.com/magecloudkit/pipeline@v1.0.0 call"))
		}
		clean := func(lines []string) []string {
			for i := range lines {
				lines[i] = someHome.ReplaceAllString(lines[i], "=/tmp/")
			}
			return lines
		}
		if diff := cmp.Diff(clean(want), clean(commands(s.run()))); diff != "" {
			t.Errorf("%s (-ours +the store's):\n%s", action, diff)
		}
	}
}

// All that is called can be called, whether all is set or nothing is, and whether it succeeds or fails; and every script was
// run. Secrets are named in a command line and never stand in it, nor in what a job prints.
func TestEveryStep(t *testing.T) {
	can := module(t)
	for _, name := range circleFiles {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lines := map[int]bool{}
			for _, env := range [][]string{nil, everything()} {
				for _, fails := range []bool{false, true} {
					for action, s := range pipelines(t, name) {
						s.project = env
						if fails {
							s.fail = failing[action]
						}
						for _, j := range s.run() {
							text := j.output
							for _, c := range j.calls {
								text += c.String() + "\n"
								if err := can.Check(surface.Command{Args: c}); err != nil {
									t.Error(err)
								}
							}
							if i := strings.Index(text, "value-of-"); i >= 0 {
								t.Errorf("%s, %s: %s", action, j.name, text[max(0, i-200):min(len(text), i+60)])
							}
						}
						maps.Copy(lines, s.lines)
					}
				}
			}
			for line := range runLines(newService(t, name, "").root.node, "command") {
				if !lines[line] {
					t.Errorf("%s:%d: this script was never run", name, line)
				}
			}
		})
	}
}

// A command that fails is printed, and what is printed is the command: typed elsewhere it gives dagger the same words.
func TestAFailedCommandIsPrinted(t *testing.T) {
	printed := regexp.MustCompile(`(?s)To repeat it, with the variables that it names: git checkout 5a1d0c3, and\n\n(  dagger .*?)\n\n`)
	for _, name := range []string{ours, store} {
		for action, s := range pipelines(t, name) {
			fail := failing[action]
			if fail == "pin" { // make prints its commands
				continue
			}
			s.project, s.fail = append(everything(), "MCK_PROBE=https://shop.example.com/?a=1&b='two words'"), fail
			jobs := s.run()
			last := jobs[len(jobs)-1]
			if !last.failed {
				t.Errorf("%s, %s: %s did not fail", name, action, fail)
			}
			m := printed.FindStringSubmatch(last.output)
			if m == nil {
				t.Errorf("%s, %s: no command is printed:\n%s", name, action, last.output)
				continue
			}
			if diff := s.repeat("bash", m[1], last); diff != "" {
				t.Errorf("%s, %s: %s", name, action, diff)
			}
		}
	}
}

// A release that fails is marked as failed, its report is kept, and nothing follows it.
func TestAFailedRelease(t *testing.T) {
	s := newService(t, ours, "main")
	s.fail = "deploy"
	jobs := s.run()
	last := jobs[len(jobs)-1]
	if len(jobs) != 2 || last.name != "deploy-staging" || !last.failed {
		t.Fatalf("%d jobs, the last one %s", len(jobs), last.name)
	}
	markers := last.of("circleci")
	if got := markers[len(markers)-1].String(); !strings.HasPrefix(got, "run release update staging --status=FAILED --failure-reason=release.html") {
		t.Errorf("the last marker is %q", got)
	}
	if !slices.ContainsFunc(last.calls, func(c call) bool { return slices.Contains(c, "report") }) || !slices.Contains(last.stored, "/tmp/reports") {
		t.Errorf("its report is not kept: %q", last.calls)
	}
}

// A shop that does not answer is what test results are for.
func TestAFailedBuild(t *testing.T) {
	s := newService(t, ours, "main")
	s.fail = "build"
	jobs := s.run()
	if len(jobs) != 1 || !jobs[0].failed {
		t.Fatalf("a build that fails is followed by %q", commands(jobs[1:]))
	}
	if !slices.ContainsFunc(jobs[0].calls, func(c call) bool { return slices.Contains(c, "test-results") }) || !slices.Contains(jobs[0].stored, "/tmp/results") {
		t.Errorf("what the shop was asked is not kept: %q", jobs[0].calls)
	}
}

// A release without markers is a release.
func TestMarkersDecideNothing(t *testing.T) {
	s := newService(t, ours, "main")
	s.fail = "release" // a word of circleci's
	for _, j := range s.run() {
		if j.failed {
			t.Errorf("%s failed:\n%s", j.name, j.output)
		}
	}
}

// engineVersion is what dagger.json says.
func engineVersion(t *testing.T) string {
	t.Helper()
	var about struct{ EngineVersion string }
	if err := json.Unmarshal(read(t, "dagger.json"), &about); err != nil {
		t.Fatal(err)
	}
	return about.EngineVersion
}

func TestDaggerIsInstalledAtTheModulesVersion(t *testing.T) {
	for _, name := range circleFiles {
		for action, s := range pipelines(t, name) {
			for _, j := range s.run() {
				got := j.of("installed")
				if len(got) != 1 || got[0][0] != engineVersion(t) || !strings.HasSuffix(got[0][1], "/.local/bin") {
					t.Errorf("%s, %s, %s: dagger is installed as %q", name, action, j.name, got)
				}
			}
		}
	}
}
