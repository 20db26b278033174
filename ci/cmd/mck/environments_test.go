package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// An environment of magecloudkit.yaml says where; flags and variables say more than it does.
func TestEnvironments(t *testing.T) {
	aws := simulated(t)
	t.Chdir(t.TempDir())
	file := func(content string) { noError(t, os.WriteFile("magecloudkit.yaml", []byte(content), 0o644)) }
	const good = `# Where the store runs.
environments:
  production:
    cluster: production-app
    service: [production-app, production-consumers]
    cron-rule: production-cron
    probe: [https://shop.example/]
  staging:
    cluster: staging-app
    service: [staging-app]
`
	for _, c := range []struct {
		name, file string
		variables  map[string]string
		args       []string
		code       int
		says       []string
	}{
		{"a word", good, nil, []string{"status", "production"}, 0, []string{"production-app", "production-consumers", "production-cron"}},
		{"a flag", good, nil, []string{"status", "--environment", "production"}, 0, []string{"production-consumers"}},
		{"a variable", good, map[string]string{"MCK_ENVIRONMENT": "production"}, []string{"status"}, 0, []string{"production-consumers"}},
		{"a flag beside it", good, nil, []string{"status", "production", "--service", "production-app"}, 0, []string{"production-app"}},
		{"a variable beside it", good, map[string]string{"MCK_CLUSTER": "elsewhere"}, []string{"status", "production"}, 1, []string{"elsewhere"}},
		{"a verb with words of its own", good, nil, []string{"env", "list", "production"}, 0, []string{"MYSQL_HOST"}},
		{"none of that name", good, nil, []string{"status", "prod"}, exitUsage, []string{`no environment "prod"`, "production, staging"}},
		{"no file", "", nil, []string{"status", "production"}, exitUsage, []string{"magecloudkit.yaml", "an environment is named"}},
		{"what is no setting", "environments: {production: {clster: a}}", nil, []string{"status", "production"}, exitUsage, []string{`magecloudkit.yaml:1: environment production: there is no setting "clster"`}},
		{"a secret", "environments:\n  production:\n    aws-secret-access-key: hunter2", nil, []string{"status", "production"}, exitUsage, []string{`magecloudkit.yaml:3`, "a secret has none"}},
		{"no YAML", "environments: [", nil, []string{"status", "production"}, exitUsage, []string{"magecloudkit.yaml"}},
		{"two words", good, nil, []string{"status", "production", "staging"}, exitUsage, []string{"unknown command"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			noError(t, os.RemoveAll("magecloudkit.yaml"))
			if c.file != "" {
				file(c.file)
			}
			variables := map[string]string{}
			for _, from := range []map[string]string{aws, c.variables} {
				for k, v := range from {
					variables[k] = v
				}
			}
			code, out, errs := mck(t, variables, c.args...)
			if code != c.code {
				t.Errorf("%v = %d, want %d", c.args, code, c.code)
			}
			for _, want := range c.says {
				if !strings.Contains(out+errs, want) {
					t.Errorf("%v does not say %q:\n%s%s", c.args, want, out, errs)
				}
			}
			if c.name == "a flag beside it" && strings.Contains(out, "consumers") {
				t.Errorf("the flag does not win:\n%s", out)
			}
		})
	}
}

// Each value is shown with where it comes from, and a secret's never.
func TestConfig(t *testing.T) {
	t.Chdir(t.TempDir())
	noError(t, os.WriteFile("magecloudkit.yaml", []byte("environments: {production: {cluster: production-app, timeout: 6m}}"), 0o644))
	noError(t, os.WriteFile(".env", []byte("AWS_REGION=eu-central-1\nMCK_TIMEOUT=7m\n"), 0o644))
	variables := map[string]string{"CIRCLE_BUILD_NUM": "42", "AWS_SECRET_ACCESS_KEY": "hunter2", "MCK_CLUSTER": ""}
	code, out, errs := mck(t, variables, "config", "production", "--env-file", ".env")
	for _, want := range []string{
		"MCK_CLUSTER +production-app +magecloudkit.yaml +--cluster", "MCK_TIMEOUT +7m +--env-file +--timeout", "AWS_REGION +eu-central-1 +--env-file",
		"BUILD_NUM +42 +CIRCLE_BUILD_NUM +--build-num", "AWS_SECRET_ACCESS_KEY +set +AWS_SECRET_ACCESS_KEY", "MCK_MIGRATE +auto +default +--migrate",
	} {
		if code != 0 || !regexp.MustCompile(`(?m)^`+want).MatchString(out) {
			t.Errorf("config = %d, without %q:\n%s%s", code, want, out, errs)
		}
	}
	if strings.Contains(out, "MCK_SERVICES") {
		t.Errorf("config shows what is not set:\n%s", out)
	}
	if _, out, _ := mck(t, variables, "config", "--all", "--json"); !strings.Contains(out, `"setting": "MCK_SERVICES"`) {
		t.Errorf("config --all does not show what is not set:\n%s", out)
	}
}

// What init writes down of a cluster is what a release then finds, and a second environment is added to the first.
func TestInit(t *testing.T) {
	aws := simulated(t)
	addSchedule(t, aws)
	t.Chdir(t.TempDir())
	code, out, errs := mck(t, aws, "init", "--cluster", "production-app", "--json")
	if code != 0 || !strings.Contains(out, `"cluster": "production-app"`) {
		t.Fatalf("init = %d\n%s%s", code, out, errs)
	}
	raw, err := os.ReadFile("magecloudkit.yaml")
	noError(t, err)
	for _, want := range []string{"region: us-east-1", "service: [production-app, production-consumers]", "cron-rule: [production-cron]", "schedule: [cron]"} {
		if !strings.Contains(string(raw), want) {
			t.Errorf("magecloudkit.yaml lacks %q:\n%s", want, raw)
		}
	}
	if code, out, errs := mck(t, aws, "verify", "production", "--build-num", "299", "--downgrade"); code != 0 {
		t.Errorf("verify production = %d\n%s%s", code, out, errs)
	}
	if code, _, errs := mck(t, aws, "init", "--cluster", "production-app"); code != exitUsage || !strings.Contains(errs, "has an environment production already") {
		t.Errorf("init again = %d, %s", code, errs)
	}
	if code, _, errs := mck(t, aws, "init", "--cluster", "nowhere", "--name", "other"); code != 1 || !strings.Contains(errs, "no cluster nowhere") {
		t.Errorf("init of a cluster that is not there = %d, %s", code, errs)
	}
	if code, _, errs := mck(t, aws, "init", "--cluster", "production-app", "--name", "copy"); code != 0 {
		t.Errorf("init of a second one = %d, %s", code, errs)
	}
	for _, name := range []string{"production", "copy"} {
		if code, out, errs := mck(t, aws, "status", name); code != 0 || !strings.Contains(out, "production-consumers") {
			t.Errorf("status %s = %d\n%s%s", name, code, out, errs)
		}
	}
	noError(t, os.WriteFile("magecloudkit.yaml", []byte("environments: {a: {}}\n"), 0o644))
	if code, _, errs := mck(t, aws, "init", "--cluster", "production-app"); code != exitUsage || !strings.Contains(errs, "by hand") {
		t.Errorf("init into a file of another form = %d, %s", code, errs)
	}
}
