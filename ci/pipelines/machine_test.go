package pipelines

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// bench is a place to run scripts at, with programs that only write down how they are called.
type bench struct {
	t    *testing.T
	home string
	// fail is a word: a call of dagger, make or circleci that has it fails.
	fail string
}

// commitTime is what git says.
const commitTime = "1700000000"

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, home: t.TempDir()}
	if err := os.Mkdir(filepath.Join(b.home, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	fail := `for a; do if [ "$a" = "$FAIL" ]; then echo "it fails" >&2; exit 7; fi; done`
	for program, script := range map[string]string{
		"dagger": fail, "circleci": fail, "make": fail, "apk": "",
		"git":    "echo " + commitTime,
		"docker": `if [ "$1" = ps ]; then echo 1f2e; fi`,
		"curl":   `printf '%s\n' 'printf "%s\0" installed "$DAGGER_VERSION" "$BIN_DIR" >>"$CALLS"; printf "\1" >>"$CALLS"'`,
	} {
		text := "#!/bin/sh\n{ printf '%s\\0' " + program + " \"$@\"; printf '\\1'; } >>\"$CALLS\"\n" + script + "\n"
		if err := os.WriteFile(filepath.Join(b.home, "bin", program), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// machine makes a job's directory, and the environment that its scripts begin with.
func (b *bench) machine(job string) (dir string, env []string) {
	b.t.Helper()
	dir = filepath.Join(b.home, "jobs", job)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		b.t.Fatal(err)
	}
	return dir, []string{"PATH=" + b.home + "/bin:" + os.Getenv("PATH"), "HOME=" + dir, "CALLS=" + dir + "/calls", "FAIL=" + b.fail}
}

// calls are those that were made on a machine.
func (b *bench) calls(dir string) []call {
	b.t.Helper()
	raw, err := os.ReadFile(dir + "/calls")
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		b.t.Fatal(err)
	}
	var out []call
	for c := range strings.SplitSeq(strings.TrimSuffix(string(raw), "\x01"), "\x01") {
		out = append(out, strings.Split(strings.TrimSuffix(c, "\x00"), "\x00"))
	}
	return out
}

// repeat runs the command that a job has printed when its call failed, as somebody would who types it, and says how that
// differs from the call.
func (b *bench) repeat(shell, printed string, job ran) string {
	b.t.Helper()
	failed := b.fail
	at := slices.IndexFunc(job.calls, func(c call) bool { return slices.Contains(c, failed) })
	b.fail = ""
	defer func() { b.fail = failed }()
	dir, env := b.machine("again")
	cmd := exec.Command(shell, "-c", printed)
	cmd.Env = env
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Sprintf("%v\n%s", err, out)
	}
	if diff := cmp.Diff([]call{job.calls[at]}, b.calls(dir)); diff != "" {
		return "what is printed is another command (-failed +printed):\n" + diff
	}
	return ""
}

// service runs a pipeline of CircleCI as CircleCI does, with programs that only write down how they are called.
type service struct {
	name string // of the configuration
	root object
	// values are those of the pipeline: "pipeline.git.branch".
	values map[string]any
	// contexts are the variables of each, and project those of all jobs.
	contexts map[string][]string
	project  []string
	// holds says which approvals are withheld.
	holds bool
	*bench
	workspace string
	jobs      []ran
	lines     map[int]bool // of scripts that were run
}

// ran is what one job did.
type ran struct {
	name    string
	calls   []call
	stored  []string // paths of artifacts and test results
	output  string
	failed  bool
	context string
}

// call is one of a program.
type call []string

func (c call) String() string { return strings.Join(c, " ") }

// newService is CircleCI, with a configuration and what a push to a branch gives.
func newService(t *testing.T, name, branch string) *service {
	t.Helper()
	s := &service{
		bench: newBench(t), name: name, lines: map[int]bool{}, contexts: map[string][]string{},
		values: map[string]any{
			"pipeline.git.branch": branch, "pipeline.project.slug": "gh/acme/shop", "pipeline.project.git_url": "https://github.com/acme/shop",
			"pipeline.deploy.environment_name": "production", "pipeline.deploy.target_version": "41",
		},
	}
	s.root = parsed(t, name)
	for _, p := range s.root.child("parameters").keys {
		s.values["pipeline.parameters."+p] = s.root.child("parameters").child(p).text("default")
	}
	s.workspace = filepath.Join(s.home, "workspace")
	if err := os.MkdirAll(s.workspace, 0o755); err != nil {
		t.Fatal(err)
	}
	return s
}

// put puts values into what stands between << and >>.
func (s *service) put(text string, own map[string]any) string {
	s.t.Helper()
	return expression.ReplaceAllStringFunc(text, func(e string) string {
		v := s.expression(expression.FindStringSubmatch(e)[1], own)
		if v == nil {
			return ""
		}
		return fmt.Sprint(v)
	})
}

func (s *service) expression(text string, own map[string]any) any {
	s.t.Helper()
	v, err := evaluate(text, func(name string) any {
		if p, ok := strings.CutPrefix(name, "parameters."); ok {
			return own[p]
		}
		return s.values[name]
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return v
}

// run runs all workflows that the pipeline has, and returns what the jobs did, in order.
func (s *service) run() []ran {
	s.t.Helper()
	for _, name := range s.root.child("workflows").keys {
		w := s.root.child("workflows").child(name)
		if when := w.text("when"); when == "" || truth(s.expression(when, nil)) {
			s.workflow(w)
		}
	}
	return s.jobs
}

// workflow runs its jobs one after the other, as soon as what they require has succeeded. Ours stand in that order.
func (s *service) workflow(w object) {
	done := map[string]bool{}
	for _, n := range items(w.of["jobs"]) {
		job, use := n.Value, object{}
		if n.Kind == yaml.MappingNode {
			job, use = asObject(n).keys[0], asObject(n.Content[1])
		}
		name := job
		if v := use.text("name"); v != "" {
			name = v
		}
		if f := use.text("filters"); f != "" && !truth(s.expression(f, nil)) {
			continue
		}
		if slices.ContainsFunc(values(use.of["requires"]), func(r string) bool { return !done[r] }) {
			continue
		}
		if use.text("type") == "approval" {
			done[name] = !s.holds
			continue
		}
		done[name] = s.job(name, s.root.child("jobs").child(job), use)
	}
}

// arguments are a definition's parameters with what they are given.
func (s *service) arguments(definition, given object, own map[string]any) map[string]any {
	out := map[string]any{}
	for _, p := range definition.child("parameters").keys {
		n := definition.child("parameters").of[p]
		v := asObject(n).text("default")
		if given.of[p] != nil {
			v = s.put(given.text(p), own)
		}
		out[p] = v
		if asObject(n).text("type") == "boolean" {
			out[p] = v == "true"
		}
	}
	return out
}

// machine is what one job runs on.
type machine struct {
	*service
	dir string
	env []string
	out bytes.Buffer
	ran ran
}

func (s *service) job(name string, definition, use object) bool {
	s.t.Helper()
	args := s.arguments(definition, use, nil)
	m := &machine{service: s, ran: ran{name: name, context: s.put(use.text("context"), nil)}}
	m.dir, m.env = s.bench.machine(name)
	m.env = append(append(m.env, "BASH_ENV="+m.dir+"/bash-env", "CIRCLECI=true", "CIRCLE_SHA1=5a1d0c3", fmt.Sprintf("CIRCLE_BUILD_NUM=%d", 57+len(s.jobs))), s.project...)
	if m.ran.context != "" {
		m.env = append(append(m.env, "CIRCLE_OIDC_TOKEN_V2=value-of-CIRCLE_OIDC_TOKEN_V2"), s.contexts[m.ran.context]...)
	}
	executor := s.root.child("executors").child(s.put(definition.text("executor"), args))
	if executor.of["machine"] == nil {
		s.t.Fatalf("job %s runs nowhere: %q", name, definition.text("executor"))
	}
	m.set(executor.child("environment"), nil)
	m.set(definition.child("environment"), args)
	m.steps(definition.of["steps"], args)
	m.ran.output = m.out.String()
	m.ran.calls = s.calls(m.dir)
	s.jobs = append(s.jobs, m.ran)
	return !m.ran.failed
}

func (m *machine) set(environment object, args map[string]any) {
	for _, k := range environment.keys {
		m.env = append(m.env, k+"="+m.put(environment.text(k), args))
	}
}

// here is a path of the job's machine on this one.
func (m *machine) here(text string) string { return strings.ReplaceAll(text, "/tmp/", m.dir+"/tmp/") }

func (m *machine) steps(n *yaml.Node, args map[string]any) {
	for _, step := range items(n) {
		name, given := step.Value, object{}
		if step.Kind == yaml.MappingNode {
			o := asObject(step)
			name, given = o.keys[0], asObject(o.of[o.keys[0]])
		}
		if command := m.root.child("commands").child(name); command.of["steps"] != nil {
			m.steps(command.of["steps"], m.arguments(command, given, args))
			continue
		}
		m.step(name, given, args)
	}
}

func (m *machine) step(name string, given object, args map[string]any) {
	switch name {
	case "run":
		m.shell(given, args)
	case "when", "unless":
		condition := expression.FindStringSubmatch(given.text("condition"))
		if truth(m.expression(condition[1], args)) == (name == "when") {
			m.steps(given.of["steps"], args)
		}
	case "persist_to_workspace":
		for _, p := range values(given.of["paths"]) {
			m.copy(filepath.Join(m.here(given.text("root")), p), filepath.Join(m.workspace, p))
		}
	case "attach_workspace":
		if m.ran.failed {
			return
		}
		entries, err := os.ReadDir(m.workspace)
		if err != nil || len(entries) == 0 {
			m.t.Fatalf("%s attaches an empty workspace (%v)", m.ran.name, err)
		}
		for _, e := range entries {
			m.copy(filepath.Join(m.workspace, e.Name()), filepath.Join(m.here(given.text("at")), e.Name()))
		}
	case "store_artifacts", "store_test_results":
		m.ran.stored = append(m.ran.stored, given.text("path"))
	}
}

func (m *machine) copy(from, to string) {
	if m.ran.failed {
		return
	}
	raw, err := os.ReadFile(from)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(to), 0o755)
	}
	if err == nil {
		err = os.WriteFile(to, raw, 0o644)
	}
	if err != nil {
		m.t.Fatal(err)
	}
}

// shell runs a script, if its turn has come.
func (m *machine) shell(o object, args map[string]any) {
	when := o.text("when")
	if m.ran.failed && when != "always" && when != "on_fail" || !m.ran.failed && when == "on_fail" {
		return
	}
	n := o.of["command"]
	m.lines[n.Line] = true
	cmd := exec.Command("bash", "-eo", "pipefail", "-c", m.here(strings.ReplaceAll(m.put(n.Value, args), `\<<`, "<<")))
	cmd.Dir = repository
	cmd.Env = slices.Clone(m.env)
	for _, k := range o.child("environment").keys {
		cmd.Env = append(cmd.Env, k+"="+m.put(o.child("environment").text(k), args))
	}
	cmd.Stdout, cmd.Stderr = &m.out, &m.out
	if err := cmd.Run(); err != nil {
		m.ran.failed = true
		fmt.Fprintf(&m.out, "\n%s: %v\n", o.text("name"), err)
	}
}

// of are the calls of a program, with its name left out.
func (r ran) of(program string) []call {
	var out []call
	for _, c := range r.calls {
		if c[0] == program {
			out = append(out, c[1:])
		}
	}
	return out
}
