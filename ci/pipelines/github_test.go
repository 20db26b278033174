package pipelines

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/magecloudkit/pipeline/ci/docs/surface"
)

const github = "docs/ci/github-actions.yml"

// Keys by where they may stand (https://docs.github.com/actions/reference/workflows-and-actions/workflow-syntax).
var (
	githubKeys     = words("name run-name on permissions env defaults concurrency jobs")
	githubJobKeys  = words("name needs if runs-on environment concurrency env defaults steps timeout-minutes permissions outputs strategy continue-on-error container services")
	githubStepKeys = words("id if name uses run with env shell working-directory continue-on-error timeout-minutes")
	githubEvents   = map[string][]string{"push": words("branches branches-ignore tags paths paths-ignore"), "schedule": words("cron"), "workflow_dispatch": words("inputs"), "pull_request": words("branches types paths")}
	githubInputs   = words("description type options default required")
	githubValues   = regexp.MustCompile(`^(github\.(event_name|ref|ref_name|sha|actor|job|run_number|repository|server_url)|secrets\.[A-Z_]+|vars\.[A-Z_]+|always|success|failure|cancelled)$`)

	githubExpression = regexp.MustCompile(`\$\{\{\s*(.*?)\s*\}\}`)
	calls            = regexp.MustCompile(`\b(always|success|failure|cancelled)\(\)`)
	action           = regexp.MustCompile(`^[\w-]+/[\w./-]+@v?[0-9][\w.]*$`)
	cron             = regexp.MustCompile(`^[\d*/,-]+ [\d*/,-]+ [\d*/,-]+ [\d*/,-]+ [\d*/,-]+$`)
)

// inOurs is an expression of GitHub's as one of CircleCI's, which is as good for what we write.
func inOurs(text string) string {
	return strings.NewReplacer("&&", " and ", "||", " or ").Replace(calls.ReplaceAllString(text, "$1"))
}

type githubFile struct {
	*file
	root object
}

func checkGitHub(name string, raw []byte, s surface.Surface) []problem {
	f, root := open(name, raw, s)
	c := &githubFile{f, root}
	if root.node == nil {
		return f.done()
	}
	c.known(root, "the workflow", githubKeys, "on", "jobs")
	c.events(root.child("on"))
	c.environment(root.child("env"), githubExpression)
	c.collectAll(root.node)
	jobs := root.child("jobs")
	needs := map[string][]string{}
	for _, job := range jobs.keys {
		needs[job] = values(jobs.child(job).of["needs"])
	}
	for _, job := range jobs.keys {
		c.job(job, jobs.child(job))
		for _, n := range needs[job] {
			if jobs.of[n] == nil {
				c.wrong(jobs.child(job).of["needs"], "%s needs %s, which is not there", job, n)
			}
		}
		if path := cycle(needs, job, nil); path != nil {
			c.wrong(jobs.key[job], "%s", "these jobs wait for each other: "+strings.Join(path, " → "))
		}
	}
	c.expressions(root.node)
	return f.done()
}

func (c *githubFile) collectAll(n *yaml.Node) {
	c.collect(asObject(n).text("run"))
	for _, child := range n.Content {
		c.collectAll(child)
	}
}

func (c *githubFile) events(o object) {
	for _, name := range o.keys {
		allowed, ok := githubEvents[name]
		if !ok {
			c.wrong(o.key[name], "there is no event %s", name)
			continue
		}
		if name == "schedule" {
			for _, at := range items(o.of[name]) {
				c.known(asObject(at), "a schedule", allowed, "cron")
				if when := asObject(at).text("cron"); !cron.MatchString(when) {
					c.wrong(at, "%q is no time of cron", when)
				}
			}
			continue
		}
		c.known(o.child(name), "event "+name, allowed)
		inputs := o.child(name).child("inputs")
		for _, input := range inputs.keys {
			p := inputs.child(input)
			c.known(p, "input "+input, githubInputs, "type")
			options := values(p.of["options"])
			if (p.text("type") == "choice") != (len(options) > 0) {
				c.wrong(inputs.key[input], "input %s: a choice has options, and nothing else has", input)
			}
			if d := p.of["default"]; d != nil && len(options) > 0 && !slices.Contains(options, d.Value) {
				c.wrong(d, "input %s: %q is no option", input, d.Value)
			}
		}
	}
}

func (c *githubFile) job(name string, o object) {
	c.known(o, "job "+name, githubJobKeys, "runs-on", "steps")
	c.environment(o.child("env"), githubExpression)
	if when := o.of["if"]; when != nil {
		c.evaluates(when, when.Value)
	}
	releases, token := false, false
	for _, n := range items(o.of["steps"]) {
		step := asObject(n)
		c.known(step, "a step", githubStepKeys)
		c.environment(step.child("env"), githubExpression)
		if (step.of["run"] == nil) == (step.of["uses"] == nil) {
			c.wrong(step.node, "a step has one of run and uses")
		}
		if when := step.of["if"]; when != nil {
			c.evaluates(when, when.Value)
		}
		if run := step.of["run"]; run != nil {
			releases = c.step(script{run.Value, run, githubExpression, "bash"}).releases() || releases
		}
		if uses := step.of["uses"]; uses != nil {
			token = token || strings.HasPrefix(uses.Value, "aws-actions/")
			if !action.MatchString(uses.Value) {
				c.wrong(uses, "%s does not name a version of the action", uses.Value)
			}
		}
	}
	if token && c.root.child("permissions").text("id-token") != "write" {
		c.wrong(c.root.of["permissions"], "job %s assumes a role, which wants the permission id-token: write", name)
	}
	group := o.child("concurrency")
	if releases && (group.text("group") == "" || group.text("cancel-in-progress") != "false") {
		c.wrong(o.node, "job %s changes what runs, and has no concurrency that lets one finish before the next", name)
	}
	if releases && o.of["environment"] == nil {
		c.wrong(o.node, "job %s changes what runs, and has no environment whose reviewers could be asked", name)
	}
}

// expressions checks all between ${{ and }}.
func (c *githubFile) expressions(n *yaml.Node) {
	for _, child := range n.Content {
		c.expressions(child)
	}
	if n.Kind != yaml.ScalarNode {
		return
	}
	for _, m := range githubExpression.FindAllStringSubmatch(n.Value, -1) {
		c.evaluates(n, m[1])
	}
}

func (c *githubFile) evaluates(n *yaml.Node, text string) {
	_, err := evaluate(inOurs(text), func(name string) any {
		input, ok := strings.CutPrefix(name, "inputs.")
		switch {
		case ok && c.root.child("on").child("workflow_dispatch").child("inputs").of[input] == nil:
			c.wrong(n, "there is no input %s", input)
		case !ok && !githubValues.MatchString(name):
			c.wrong(n, "there is no value %s", name)
		}
		return "x"
	})
	if err != nil {
		c.wrong(n, "%v", err)
	}
}

func TestGitHub(t *testing.T) {
	for _, p := range checkGitHub(github, read(t, github), module(t)) {
		t.Error(p)
	}
}

func TestMistakesInGitHub(t *testing.T) {
	found(t, checkGitHub, github, []mistake{
		{name: "a key at the top", old: "\npermissions:\n", new: "\npermission:\n", want: "has no key permission"},
		{name: "a key of a job", old: "    needs: [build]\n", new: "    requires: [build]\n", want: "no key requires"},
		{name: "a key of a step", old: "        uses: actions/checkout@v5\n", new: "        use: actions/checkout@v5\n", want: "no key use"},
		{name: "an event", old: "  push:\n", new: "  pushed:\n", want: "no event pushed"},
		{name: "a time", old: `"17 3 * * *"`, new: `"at night"`, want: "no time of cron", on: "cron:"},
		{name: "an input's default", old: "default: rollback", new: "default: back", want: `"back" is no option`},
		{name: "an input", old: "${{ inputs.build }}", new: "${{ inputs.number }}", want: "there is no input number"},
		{name: "a value", old: "github.event_name == 'push'\n", new: "github.event == 'push'\n", want: "no value github.event"},
		{name: "an expression", old: "github.event_name == 'push'\n", new: "github.event_name = 'push'\n", want: "is no expression"},
		{name: "a needed job", old: "needs: [staging]", new: "needs: [stagings]", want: "needs stagings"},
		{name: "a cycle", old: "needs: [build]", new: "needs: [production]", want: "wait for each other", on: "  staging:"},
		{name: "an action's version", old: "actions/checkout@v5", new: "actions/checkout@main", want: "does not name a version"},
		{name: "no concurrency", old: "    concurrency: {group: deploy-staging, cancel-in-progress: false}\n", new: "", want: "has no concurrency", on: "needs: [build]"},
		{name: "a release that is cancelled", old: "{group: deploy-production, cancel-in-progress: false}", new: "{group: deploy-production, cancel-in-progress: true}", want: "has no concurrency", on: "needs: [staging]"},
		{name: "no environment", old: "    environment: production\n", new: "", want: "has no environment", on: "needs: [staging]"},
		{name: "no token", old: "id-token: write", new: "id-token: read", want: "id-token: write", on: "contents: read"},
		{name: "an input in a script", old: `case "$ACTION" in`, new: `case "${{ inputs.action }}" in`, want: "through the environment"},
		{name: "a script's syntax", old: "          case \"$ACTION\" in\n", new: "          case \"$ACTION\"\n", want: "bash cannot read it", on: "rollback)"},
		{name: "another program", old: "cleanup --yes", new: "cleanup --yes && aws ecs list-services", want: "calls aws"},
		{name: "a function's flag", old: "cleanup --yes", new: "cleanup --force", want: "no flag --force"},
		{name: "a secret", old: "${{ secrets.MAGENTO_PRIVATE_KEY }}", new: "0123456789abcdef0123456789abcdef", want: "stands in the file"},
		{name: "a key twice", old: "    env: &settings\n", new: "    env: {}\n    env: &settings\n", want: "stands here twice"},
	})
}

// actions runs a workflow of GitHub as GitHub does.
type actions struct {
	*bench
	root   object
	values map[string]any
	holds  bool
	jobs   []ran
	steps  map[int]bool
}

func newActions(t *testing.T, event, ref string) *actions {
	t.Helper()
	return &actions{bench: newBench(t), root: parsed(t, github), steps: map[int]bool{}, values: map[string]any{
		"github.event_name": event, "github.ref": ref, "always": true,
		"vars.AWS_REGION": "eu-central-1", "vars.AWS_ROLE_ARN": "arn", "vars.ECS_SERVICES": "web,consumers",
	}}
}

func (a *actions) expression(text string) any {
	a.t.Helper()
	v, err := evaluate(inOurs(text), func(name string) any { return a.values[name] })
	if err != nil {
		a.t.Fatal(err)
	}
	return v
}

func (a *actions) put(text string) string {
	return githubExpression.ReplaceAllStringFunc(text, func(e string) string {
		if v, ok := a.expression(githubExpression.FindStringSubmatch(e)[1]).(string); ok {
			return v
		}
		return ""
	})
}

func (a *actions) env(o object) []string {
	var env []string
	for _, k := range o.keys {
		env = append(env, k+"="+a.put(o.text(k)))
	}
	return env
}

func (a *actions) run() []ran {
	a.t.Helper()
	done := map[string]bool{}
	for _, name := range a.root.child("jobs").keys {
		o := a.root.child("jobs").child(name)
		if when := o.text("if"); when != "" && !truth(a.expression(when)) || slices.ContainsFunc(values(o.of["needs"]), func(n string) bool { return !done[n] }) {
			continue
		}
		environment := a.put(o.text("environment"))
		if environment == "production" && a.holds {
			continue
		}
		if environment != "" {
			a.values["vars.ECS_CLUSTER"] = environment + "-app"
		}
		a.values["github.job"] = name
		done[name] = a.job(name, environment, o)
	}
	return a.jobs
}

func (a *actions) job(name, environment string, o object) bool {
	dir, env := a.machine(name)
	if err := os.MkdirAll(dir+"/temp", 0o755); err != nil {
		a.t.Fatal(err)
	}
	env = append(env, "GITHUB_ENV="+dir+"/github-env", "RUNNER_TEMP="+dir+"/temp", "GITHUB_SHA=5a1d0c3", "GITHUB_RUN_NUMBER=57", "GITHUB_ACTOR=jane",
		"GITHUB_SERVER_URL=https://github.com", "GITHUB_REPOSITORY=acme/shop")
	env = append(append(env, a.env(a.root.child("env"))...), a.env(o.child("env"))...)
	job := ran{name: name, context: environment}
	for _, n := range items(o.of["steps"]) {
		step := asObject(n)
		when := step.text("if")
		if job.failed && when != "always()" || when != "" && !truth(a.expression(when)) {
			continue
		}
		if uses := step.text("uses"); strings.HasPrefix(uses, "aws-actions/configure-aws-credentials@") {
			env = append(env, "AWS_REGION="+a.put(step.child("with").text("aws-region")))
			for _, v := range words("AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN") {
				env = append(env, v+"=value-of-"+v)
			}
		} else if strings.HasPrefix(uses, "actions/upload-artifact@") {
			job.stored = append(job.stored, words(step.child("with").text("path"))...)
		}
		run := step.of["run"]
		if run == nil {
			continue
		}
		a.steps[run.Line] = true
		cmd := exec.Command("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", run.Value)
		cmd.Dir = dir
		raw, _ := os.ReadFile(dir + "/github-env")
		cmd.Env = append(slices.Clone(env), strings.Fields(string(raw))...)
		out, err := cmd.CombinedOutput()
		job.output += string(out)
		job.failed = job.failed || err != nil
	}
	job.calls = a.calls(dir)
	a.jobs = append(a.jobs, job)
	return !job.failed
}

const (
	awsKeys  = "--aws-region=eu-central-1 --aws-access-key-id=env://AWS_ACCESS_KEY_ID --aws-secret-access-key=env://AWS_SECRET_ACCESS_KEY --aws-session-token=env://AWS_SESSION_TOKEN "
	named    = "  -m github.com/magecloudkit/pipeline@v1.0.0 call "
	ofCommit = "--revision=5a1d0c3 --revision-time=" + commitTime + " --repository=https://github.com/acme/shop"
)

func TestGitHubReleases(t *testing.T) {
	deploy := func(to, extra string) []string {
		return []string{
			named + awsKeys + "deploy --build-num=57 --pin-digest --cluster=" + to + "-app --service=web,consumers --by=jane" + extra,
			named + "report --cluster=" + to + "-app export --path=release.html",
		}
	}
	build := []string{"build", named + "--source=. check", named + "--source=. build --build-num=57 " + ofCommit + " summary"}
	results := named + "test-results --build-num=57 export --path=smoke.xml"
	push := named + "--smoke=false --source=. " + awsKeys + "push --build-num=57 " + ofCommit
	staging := append([]string{"staging (staging)"}, deploy("staging", "")...)
	tests := map[string]struct {
		event, ref string
		values     map[string]any
		holds      bool
		want       []string
	}{
		"a branch":           {"push", "refs/heads/feature", nil, false, append(slices.Clone(build), results)},
		"main, not approved": {"push", "refs/heads/main", nil, true, slices.Concat(build, []string{push, results}, staging)},
		"main, approved": {"push", "refs/heads/main", map[string]any{"vars.MCK_PROBE": "https://shop.example.com/"}, false, slices.Concat(build, []string{push, results},
			append([]string{"staging (staging)"}, deploy("staging", " --probe=https://shop.example.com/")...),
			append([]string{"production (production)"}, deploy("production", " --probe=https://shop.example.com/")...))},
		"rollback": {"workflow_dispatch", "refs/heads/main", map[string]any{"inputs.action": "rollback", "inputs.environment": "production"}, false, []string{
			"by-hand (production)", named + awsKeys + "rollback --cluster=production-app --service=web,consumers --by=jane", named + "report --cluster=production-app export --path=release.html"}},
		"redeploy": {"workflow_dispatch", "refs/heads/main", map[string]any{"inputs.action": "redeploy", "inputs.environment": "staging", "inputs.build": "4;1"}, false, []string{
			"by-hand (staging)", named + awsKeys + "deploy --build-num=4;1 --pin-digest --downgrade --force --cluster=staging-app --service=web,consumers --by=jane", named + "report --cluster=staging-app export --path=release.html"}},
		"a schedule": {"schedule", "refs/heads/main", nil, false, []string{"cleanup (cleanup)", named + awsKeys + "cleanup --yes"}},
	}
	run := map[int]bool{}
	can := module(t)
	for name, tt := range tests {
		a := newActions(t, tt.event, tt.ref)
		a.holds = tt.holds
		maps.Copy(a.values, tt.values)
		jobs := a.run()
		did(t, name, can, jobs, tt.want)
		maps.Copy(run, a.steps)
	}
	for line := range runLines(newActions(t, "", "").root.node, "run") {
		if !run[line] {
			t.Errorf("%s:%d: this script was never run", github, line)
		}
	}
}

// What fails on GitHub is printed as it can be typed, and ends what follows.
func TestAFailureOnGitHub(t *testing.T) {
	a := newActions(t, "push", "refs/heads/main")
	a.fail = "deploy"
	jobs := a.run()
	last := jobs[len(jobs)-1]
	if last.name != "staging" || !last.failed || !strings.Contains(last.output, "git checkout 5a1d0c3, and\n\n  dagger --progress=logs -m github.com/magecloudkit/pipeline@v1.0.0 call --aws-region=eu-central-1 ") {
		t.Errorf("%s:\n%s", last.name, last.output)
	}
	if !slices.Contains(last.stored, "release.html") {
		t.Errorf("the report is not kept: %q", last.stored)
	}
}

// runLines are the lines of all scripts under a key, each where it is written.
func runLines(n *yaml.Node, key string) map[int]bool {
	found := map[int]bool{}
	if v := asObject(n).of[key]; v != nil && v.Kind == yaml.ScalarNode {
		found[v.Line] = true
	}
	for _, child := range n.Content {
		maps.Copy(found, runLines(child, key))
	}
	return found
}

// A file for a store names the versions that belong together.
func TestVersions(t *testing.T) {
	for _, name := range []string{github, gitlab} {
		for _, want := range []string{"PIPELINE: github.com/magecloudkit/pipeline@v1.0.0\n", "DAGGER_VERSION: " + engineVersion(t) + " "} {
			if !strings.Contains(string(read(t, name)), want) {
				t.Errorf("%s lacks %q", filepath.Base(name), want)
			}
		}
	}
}
