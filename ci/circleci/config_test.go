package circleci

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/magecloudkit/pipeline/ci/docs/surface"
)

const repository = "../.."

func config(t *testing.T) []byte {
	t.Helper()
	raw, err := os.ReadFile(repository + "/.circleci/config.yml")
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func module(t *testing.T) surface.Surface {
	t.Helper()
	m, err := surface.ReadModule(os.DirFS(repository))
	if err != nil {
		t.Fatal(err)
	}
	return surface.Surface{Module: m}
}

func TestConfig(t *testing.T) {
	for _, p := range check(config(t), module(t)) {
		t.Errorf(".circleci/config.yml: %s", p)
	}
}

// The example for a store in its own repository is as right as our own, and says the same engine.
func TestConfigOfAStore(t *testing.T) {
	const file = repository + "/docs/circleci-store.yml"
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range check(raw, module(t)) {
		t.Errorf("docs/circleci-store.yml: %s", p)
	}
	var about struct{ EngineVersion string }
	manifest, err := os.ReadFile(repository + "/dagger.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(manifest, &about); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(raw), "DAGGER_VERSION: "+about.EngineVersion+"\n") {
		t.Errorf("docs/circleci-store.yml does not name the engine %s of dagger.json", about.EngineVersion)
	}
	if n := strings.Count(string(raw), `-m "$PIPELINE" call`); n != strings.Count(string(raw), "dagger --progress") || n == 0 {
		t.Error("docs/circleci-store.yml calls a module that is not there")
	}
}

// The checks find what people get wrong.
func TestSeededMistakes(t *testing.T) {
	tests := []struct{ name, old, new, want string }{
		{"a job's name", "      - deploy:\n", "      - deplyo:\n", "there is no job deplyo"},
		{"a step's name", "- attach_workspace:", "- attach_workspaces:", "there is no step attach_workspaces"},
		{"a command's name", "      - stop\n\n  deploy:", "      - halt\n\n  deploy:", "there is no step halt"},
		{"an executor's name", "executor: docker-host", "executor: dockerhost", "there is no executor dockerhost"},
		{"a required job", "requires: [hold]", "requires: [approve]", "requires approve"},
		{"a cycle", "requires: [build-and-push]", "requires: [deploy]", "wait for each other"},
		{"an undeclared parameter", "<< parameters.cluster >>", "<< parameters.clusters >>", "no parameter clusters"},
		{"an unused parameter", "ECS_CLUSTER: << parameters.cluster >>", "ECS_CLUSTER: production", "does not use its parameter cluster"},
		{"a missing argument", "          cluster: production-app\n", "", "needs the parameter cluster"},
		{"an unknown argument", "          push: true", "          publish: true", "has no parameter publish"},
		{"an argument of another type", "push: true", "push: maybe", "is no boolean"},
		{"an enum's default", "type: boolean\n        default: false", "type: enum\nenum: [a, b]\ndefault: c", `"c" is no enum`},
		{"an unescaped <<", "mkdir -p /tmp/release\n", "cat <<EOF\nx\nEOF\n", `must be written \<<`},
		{"a parameter in a script", `"$(cat /tmp/release/build-num)"`, `<< parameters.cluster >>`, "through environment"},
		{"a script's syntax", "mkdir -p /tmp/release\n", "if mkdir -p /tmp/release\n", "bash cannot read it"},
		{"a function", "push --build-num", "pusch --build-num", "no function pusch"},
		{"a function's flag", "--revision-time=", "--commit-time=", "no flag --commit-time"},
		{"a constructor's flag", "--composer-auth=", "--auth=", "no flag --auth"},
		{"a missing flag", `build --build-num="$CIRCLE_BUILD_NUM" --revision`, `build --revision`, "--build-num is missing"},
		{"a pipeline value", "pipeline.project.slug", "pipeline.slug", "no value pipeline.slug"},
		{"a pipeline value in a filter", "pipeline.git.branch !=", "pipeline.branch !=", "no value pipeline.branch"},
		{"filters as a mapping", `filters: pipeline.git.branch != "main"`, "filters: {branches: {ignore: main}}", "deprecated"},
		{"a key", "no_output_timeout: 20m", "no-output-timeout: 20m", "no key no-output-timeout"},
		{"a time", "no_output_timeout: 20m", "no_output_timeout: 20 minutes", "no time such as"},
		{"when", "when: always", "when: ever", "none of always"},
		{"two names", "name: build-and-push", "name: build", "two jobs build"},
		{"remote docker on a machine", "      - attach_workspace:\n          at: /tmp/release\n", "      - setup_remote_docker\n", "setup_remote_docker"},
		{"a machine without an image", "image: ubuntu-2404:current", "resource: x", "no image"},
		{"nobody's command", "jobs:\n  build:\n", "  idle:\n    steps: [checkout]\njobs:\n  build:\n", "command idle is not used"},
	}
	s := module(t)
	original := string(config(t))
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if !strings.Contains(original, tt.old) {
				t.Fatalf("the configuration has no %q to make a mistake in", tt.old)
			}
			problems := check([]byte(strings.Replace(original, tt.old, indented(tt.old, tt.new, original), 1)), s)
			if !slices.ContainsFunc(problems, func(p string) bool { return strings.Contains(p, tt.want) }) {
				t.Errorf("not found; reported: %q", problems)
			}
		})
	}
}

// indented gives further lines of a replacement the place of its first one.
func indented(old, new, text string) string {
	before, _, _ := strings.Cut(text, old)
	column := before[strings.LastIndexByte(before, '\n')+1:]
	if strings.TrimSpace(column) != "" || column == "" {
		return new
	}
	lines := strings.SplitAfter(new, "\n")
	for i := 1; i < len(lines); i++ {
		if lines[i] != "" {
			lines[i] = column + lines[i]
		}
	}
	return strings.Join(lines, "")
}

// machine runs a job's scripts as CircleCI does, with programs that only write
// down how they were called.
type machine struct {
	t    *testing.T
	home string
	log  string
}

func newMachine(t *testing.T) *machine {
	m := &machine{t: t, home: t.TempDir()}
	m.log = filepath.Join(m.home, "calls")
	bin := filepath.Join(m.home, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, script := range map[string]string{
		"dagger": "exit 0",
		"docker": `if [ "$1" = ps ]; then echo 1f2e; fi`,
		"curl":   `echo 'echo "installed $DAGGER_VERSION in $BIN_DIR" >>"$CALLS"'`,
	} {
		text := "#!/bin/sh\n{ printf '%s' " + name + "; for a; do printf ' %s' \"$a\"; done; echo; } >>\"$CALLS\"\n" + script + "\n"
		if err := os.WriteFile(filepath.Join(bin, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

// run returns the calls that a job makes.
func (m *machine) run(job string, args map[string]string, env ...string) []string {
	m.t.Helper()
	raw := strings.ReplaceAll(string(config(m.t)), "/tmp/release", m.home+"/release")
	steps, err := scripts([]byte(raw), job, args)
	if err != nil {
		m.t.Fatal(err)
	}
	if len(steps) == 0 {
		m.t.Fatalf("job %s has no scripts", job)
	}
	if err := os.RemoveAll(m.log); err != nil {
		m.t.Fatal(err)
	}
	for _, s := range steps {
		cmd := exec.Command("bash", "-eo", "pipefail", "-c", s.script)
		cmd.Dir = repository
		cmd.Env = append([]string{"PATH=" + m.home + "/bin:" + os.Getenv("PATH"), "HOME=" + m.home, "CALLS=" + m.log, "BASH_ENV=" + m.home + "/bash-env"}, env...)
		cmd.Env = append(cmd.Env, s.env...)
		if out, err := cmd.CombinedOutput(); err != nil {
			m.t.Fatalf("%s: %v\n%s", s.name, err, out)
		}
	}
	raw2, err := os.ReadFile(m.log)
	if err != nil {
		m.t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(raw2)), "\n")
}

func call(calls []string, has string) string {
	i := slices.IndexFunc(calls, func(c string) bool { return strings.Contains(c, has) })
	if i < 0 {
		return ""
	}
	return calls[i]
}

func TestDaggerIsInstalledAtTheModulesVersion(t *testing.T) {
	raw, err := os.ReadFile(repository + "/dagger.json")
	if err != nil {
		t.Fatal(err)
	}
	var dagger struct{ EngineVersion string }
	if err := json.Unmarshal(raw, &dagger); err != nil {
		t.Fatal(err)
	}
	m := newMachine(t)
	calls := m.run("build", nil, "CIRCLE_BUILD_NUM=7")
	if want := "installed " + dagger.EngineVersion + " in " + m.home + "/.local/bin"; !slices.Contains(calls, want) {
		t.Errorf("no call %q in %q", want, calls)
	}
	env, err := os.ReadFile(m.home + "/bash-env")
	if err != nil || !strings.Contains(string(env), ".local/bin") {
		t.Errorf("later steps do not find dagger: BASH_ENV is %q, %v", env, err)
	}
	if last := calls[len(calls)-1]; last != "docker stop --time 300 1f2e" {
		t.Errorf("the last call is %q, not the engine's end", last)
	}
}

func TestEveryBranchBuildsAndOnlyMainPushes(t *testing.T) {
	branch := newMachine(t).run("build", nil, "CIRCLE_BUILD_NUM=7", "CIRCLE_SHA1=abc")
	if c := call(branch, " build "); !strings.Contains(c, "--build-num=7 --revision=abc") {
		t.Errorf("a branch does not build: %q", branch)
	}
	if c := call(branch, " push "); c != "" {
		t.Errorf("a branch pushes: %s", c)
	}
	main := newMachine(t).run("build", map[string]string{"push": "true"}, "CIRCLE_BUILD_NUM=7", "CIRCLE_SHA1=abc")
	if c := call(main, " push "); !strings.Contains(c, "--build-num=7 --revision=abc") {
		t.Errorf("main does not push: %q", main)
	}
}

// The job that deploys has another CIRCLE_BUILD_NUM than the one that pushed.
func TestDeployTakesThePushedBuild(t *testing.T) {
	m := newMachine(t)
	m.run("build", map[string]string{"push": "true"}, "CIRCLE_BUILD_NUM=7")
	calls := m.run("deploy", map[string]string{"cluster": "production-app", "services": "web,consumers"}, "CIRCLE_BUILD_NUM=8")
	c := call(calls, " deploy ")
	if !strings.Contains(c, "--build-num=7") || strings.Contains(c, "8 ") {
		t.Errorf("deployed is %q, not build 7", c)
	}
	if !strings.Contains(c, "production-app") {
		t.Errorf("the cluster is not named: %q", c)
	}
}

// Credentials are named in a command line and never stand in it: it becomes the
// trace's name.
func TestNoSecretInACommandLine(t *testing.T) {
	var env []string
	var values []string
	for _, name := range []string{
		"COMPOSER_AUTH", "MAGENTO_PUBLIC_KEY", "MAGENTO_PRIVATE_KEY",
		"AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "CIRCLE_OIDC_TOKEN_V2",
	} {
		values = append(values, "value-of-"+name)
		env = append(env, name+"=value-of-"+name)
	}
	env = append(env, "AWS_ACCESS_KEY_ID=AKIA", "CIRCLE_BUILD_NUM=7")
	m := newMachine(t)
	calls := m.run("build", map[string]string{"push": "true"}, env...)
	calls = append(calls, m.run("deploy", map[string]string{"cluster": "c", "services": "s"}, env...)...)
	all := strings.Join(calls, "\n")
	for _, v := range values {
		if strings.Contains(all, v) {
			t.Errorf("%s stands in a command line:\n%s", v, all)
		}
	}
	for _, ref := range []string{"env://COMPOSER_AUTH", "env://MAGENTO_PRIVATE_KEY", "env://AWS_SECRET_ACCESS_KEY", "env://AWS_SESSION_TOKEN"} {
		if !strings.Contains(all, ref) {
			t.Errorf("%s is given nowhere", ref)
		}
	}
}
