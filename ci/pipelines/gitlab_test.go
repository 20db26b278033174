package pipelines

import (
	"maps"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/magecloudkit/pipeline/ci/docs/surface"
)

const gitlab = "docs/ci/gitlab-ci.yml"

// Keys by where they may stand (https://docs.gitlab.com/ci/yaml/).
var (
	gitlabGlobal    = words("stages variables default workflow include")
	gitlabJob       = words("stage extends image services variables rules script before_script after_script environment resource_group artifacts id_tokens needs when timeout tags retry allow_failure cache interruptible")
	gitlabDefault   = words("image services before_script after_script id_tokens timeout tags retry artifacts cache interruptible")
	gitlabRule      = words("if when changes exists allow_failure variables")
	gitlabVariable  = words("value description options expand")
	gitlabArtifacts = words("when paths reports name expire_in exclude untracked public")
	gitlabWhen      = words("on_success manual always on_failure delayed never")

	nothing      = regexp.MustCompile(`\$\[\[.*?\]\]`)                   // inputs of components, which these files have none of
	gitlabName   = regexp.MustCompile(`\$([A-Z_]+)`)                     // in a rule
	gitlabGiven  = regexp.MustCompile(`^(CI_[A-Z_]+|GITLAB_[A-Z_]+)$`)   // what GitLab sets
	gitlabEquals = regexp.MustCompile(`\$([A-Z_]+)\s*[!=]=\s*"([^"]*)"`) // what a variable is compared with
)

// gitlabExpression is a rule of GitLab's as an expression of CircleCI's.
func gitlabExpression(text string) string {
	return strings.NewReplacer("&&", " and ", "||", " or ").Replace(gitlabName.ReplaceAllString(text, "$1"))
}

type gitlabFile struct {
	*file
	root object
}

// jobs are the keys at the top that are no settings.
func (g *gitlabFile) jobs() []string {
	var names []string
	for _, k := range g.root.keys {
		if !slices.Contains(gitlabGlobal, k) {
			names = append(names, k)
		}
	}
	return names
}

func checkGitLab(name string, raw []byte, s surface.Surface) []problem {
	f, root := open(name, raw, s)
	g := &gitlabFile{f, root}
	if root.node == nil {
		return f.done()
	}
	g.known(root.child("default"), "default", gitlabDefault)
	g.variables(root.child("variables"))
	g.scripts(root.child("default"), root.child("default"))
	extended := map[string]bool{}
	extends := map[string][]string{}
	for _, job := range g.jobs() {
		extends[job] = values(root.child(job).of["extends"])
		for _, e := range extends[job] {
			extended[e] = true
			if root.of[e] == nil {
				g.wrong(root.child(job).of["extends"], "%s extends %s, which is not there", job, e)
			}
		}
	}
	for _, job := range g.jobs() {
		if path := cycle(extends, job, nil); path != nil {
			g.wrong(root.key[job], "%s", "these extend each other: "+strings.Join(path, " → "))
			return f.done()
		}
	}
	for _, job := range g.jobs() {
		if strings.HasPrefix(job, ".") && !extended[job] {
			g.wrong(root.key[job], "nothing extends %s", job)
		}
		g.job(job)
	}
	return f.done()
}

func (g *gitlabFile) variables(o object) {
	plain := object{node: o.node, of: map[string]*yaml.Node{}, key: o.key}
	for _, name := range o.keys {
		v := o.child(name)
		if len(v.keys) == 0 {
			plain.keys, plain.of[name] = append(plain.keys, name), o.of[name]
			continue
		}
		g.known(v, "variable "+name, gitlabVariable, "value")
		if options := values(v.of["options"]); len(options) > 0 && !slices.Contains(options, v.text("value")) {
			g.wrong(v.of["value"], "variable %s: %q is no option", name, v.text("value"))
		}
	}
	g.environment(plain, regexp.MustCompile(`^\$`))
}

// merged is a job with what it extends.
func merged(root object, job string) object {
	o := root.child(job)
	out := object{node: o.node, of: map[string]*yaml.Node{}, key: map[string]*yaml.Node{}}
	for _, e := range values(o.of["extends"]) {
		base := merged(root, e)
		maps.Copy(out.of, base.of)
		maps.Copy(out.key, base.key)
	}
	maps.Copy(out.of, o.of)
	maps.Copy(out.key, o.key)
	return out
}

func (g *gitlabFile) job(name string) {
	own, o := g.root.child(name), merged(g.root, name)
	g.known(own, "job "+name, gitlabJob)
	g.known(own.child("artifacts"), "artifacts", gitlabArtifacts)
	if s := own.text("stage"); s != "" && !slices.Contains(values(g.root.of["stages"]), s) {
		g.wrong(own.of["stage"], "there is no stage %s", s)
	}
	for _, n := range items(own.of["needs"]) {
		if n.Kind == yaml.ScalarNode && g.root.of[n.Value] == nil {
			g.wrong(n, "%s needs %s, which is not there", name, n.Value)
		}
	}
	for _, n := range items(own.of["rules"]) {
		g.rule(asObject(n))
	}
	said := g.scripts(own, o)
	if strings.HasPrefix(name, ".") {
		return
	}
	if o.of["script"] == nil {
		g.wrong(own.node, "job %s has no script", name)
	} else if !said.pipeline {
		g.wrong(own.node, "job %s calls neither dagger nor make", name)
	}
	for _, k := range words("stage rules") {
		if o.of[k] == nil {
			g.wrong(own.node, "job %s needs %s", name, k)
		}
	}
	for _, k := range words("resource_group environment") {
		if said.releases() && o.of[k] == nil {
			g.wrong(own.node, "job %s changes what runs, and has no %s", name, k)
		}
	}
}

// scripts checks a job's own, and says what all of them come to.
func (g *gitlabFile) scripts(own, o object) (all said) {
	for _, k := range words("before_script script after_script") {
		for _, n := range items(o.of[k]) {
			if n.Kind != yaml.ScalarNode {
				g.wrong(n, "a line of a script is one text: write it in quotes, or after |")
				continue
			}
			g.collect(n.Value)
		}
		for _, n := range items(o.of[k]) {
			if n.Kind != yaml.ScalarNode {
				continue
			}
			before := len(g.problems)
			one := g.script(script{n.Value, n, nothing, "sh"})
			if own.of[k] == nil { // the job that it is of says what is wrong with it
				g.problems = g.problems[:before]
			}
			all.functions = append(all.functions, one.functions...)
			all.pipeline = all.pipeline || one.pipeline && k == "script"
		}
	}
	return all
}

func (g *gitlabFile) rule(o object) {
	g.known(o, "a rule", gitlabRule)
	if w := o.text("when"); w != "" && !slices.Contains(gitlabWhen, w) {
		g.wrong(o.of["when"], "when: %s is none of %s", w, strings.Join(gitlabWhen, ", "))
	}
	text := o.text("if")
	if text == "" {
		return
	}
	_, err := evaluate(gitlabExpression(text), func(name string) any {
		if g.root.child("variables").of[name] == nil && !gitlabGiven.MatchString(name) {
			g.wrong(o.of["if"], "nothing sets %s", name)
		}
		return "x"
	})
	if err != nil {
		g.wrong(o.of["if"], "%v", err)
	}
	for _, m := range gitlabEquals.FindAllStringSubmatch(text, -1) {
		if options := values(g.root.child("variables").child(m[1]).of["options"]); len(options) > 0 && !slices.Contains(options, m[2]) {
			g.wrong(o.of["if"], "%s is never %q", m[1], m[2])
		}
	}
}

func TestGitLab(t *testing.T) {
	for _, p := range checkGitLab(gitlab, read(t, gitlab), module(t)) {
		t.Error(p)
	}
}

func TestMistakesInGitLab(t *testing.T) {
	found(t, checkGitLab, gitlab, []mistake{
		{name: "a key of a job", old: "  resource_group: deploy-staging\n", new: "  resource-group: deploy-staging\n", want: "no key resource-group"},
		{name: "a key of default", old: "  services: [docker", new: "  service: [docker", want: "no key service"},
		{name: "a stage", old: "  stage: staging\n", new: "  stage: stagings\n", want: "no stage stagings"},
		{name: "what is extended", old: "staging:\n  extends: .deploy\n", new: "staging:\n  extends: .deploys\n", want: "extends .deploys", on: "extends:"},
		{name: "a cycle", old: ".aws:\n", new: ".aws:\n  extends: .deploy\n", want: "extend each other", on: ".aws:"},
		{name: "nobody's template", old: "\nbuild:\n", new: "\n.idle:\n  when: manual\nbuild:\n", want: "nothing extends .idle", on: ".idle"},
		{name: "a variable's value", old: "value: release", new: "value: nothing", want: `"nothing" is no option`},
		{name: "a value that a variable never has", old: `$ACTION == "rollback"`, new: `$ACTION == "roll-back"`, want: `is never "roll-back"`},
		{name: "a rule's variable", old: `$CI_COMMIT_BRANCH && $ACTION`, new: `$BRANCH && $ACTION`, want: "nothing sets BRANCH"},
		{name: "a rule", old: `$ACTION == "rollback"`, new: `$ACTION = "rollback"`, want: "is no expression"},
		{name: "a rule's key", old: "      when: manual\n", new: "      on: manual\n", want: "no key on"},
		{name: "when", old: "when: manual", new: "when: by-hand", want: "none of on_success"},
		{name: "no rules", old: "  rules:\n    - if: $ACTION == \"redeploy\"\n", new: "", want: "needs rules", on: "extends: .deploy"},
		{name: "no resource_group", old: "  resource_group: deploy-production\n", new: "", want: "has no resource_group", on: "extends: .deploy"},
		{name: "no environment", old: "  environment: production\n", new: "", want: "has no environment", on: "extends: .deploy"},
		{name: "a script's syntax", old: `      if [ "$CI_COMMIT_BRANCH" = main ]; then`, new: `      if [ "$CI_COMMIT_BRANCH" = main ]`, want: "sh cannot read it", on: "fi"},
		{name: "bash where there is none", old: "      revision_time=", new: "      words=(a b)\n      revision_time=", want: "sh cannot read it", on: "words="},
		{name: "a line that is none", old: "    - curl -fsSL https://dl.dagger.io", new: "    - note: x\n    - curl -fsSL https://dl.dagger.io", want: "a line of a script is one text"},
		{name: "another program", old: "        cleanup --yes\n", new: "        cleanup --yes\n      aws ecs list-services\n", want: "calls aws", on: "aws ecs"},
		{name: "a function", old: "        cleanup --yes\n", new: "        clean --yes\n", want: "no function clean", on: "dagger --progress=logs"},
		{name: "a missing flag", old: "call test-results --build-num=\"$CI_PIPELINE_IID\"", new: "call test-results", want: "--build-num is missing"},
		{name: "a secret in a command line", old: "env://AWS_WEB_IDENTITY_TOKEN", new: "\"$AWS_WEB_IDENTITY_TOKEN\"", want: "AWS_WEB_IDENTITY_TOKEN would stand in a command line"},
		{name: "a secret", old: "  DAGGER_NO_NAG: \"1\"\n", new: "  DAGGER_NO_NAG: \"1\"\n  MAGENTO_PRIVATE_KEY: 0123456789abcdef0123456789abcdef\n", want: "stands in the file"},
		{name: "a key twice", old: "  stage: staging\n", new: "  stage: staging\n  stage: build\n", want: "stands here twice"},
	})
}

// runner runs a pipeline of GitLab as GitLab does.
type runner struct {
	*bench
	root      object
	variables map[string]string
	holds     bool
	jobs      []ran
	lines     map[int]bool
}

func newRunner(t *testing.T, branch string, variables map[string]string) *runner {
	t.Helper()
	r := &runner{bench: newBench(t), root: parsed(t, gitlab), lines: map[int]bool{}, variables: map[string]string{
		"CI_COMMIT_BRANCH": branch, "CI_COMMIT_SHA": "5a1d0c3", "CI_PIPELINE_IID": "57", "CI_PROJECT_URL": "https://gitlab.com/acme/shop", "GITLAB_USER_LOGIN": "jane",
		"AWS_REGION": "eu-central-1", "AWS_ROLE_ARN": "arn", "ECS_SERVICES": "web,consumers",
	}}
	for _, name := range r.root.child("variables").keys {
		v := r.root.child("variables").text(name)
		if o := r.root.child("variables").child(name); len(o.keys) > 0 {
			v = o.text("value")
		}
		r.variables[name] = v
	}
	maps.Copy(r.variables, variables)
	return r
}

func (r *runner) run() []ran {
	r.t.Helper()
	failed := false
	for _, stage := range values(r.root.of["stages"]) {
		for _, name := range (&gitlabFile{root: r.root}).jobs() {
			o := merged(r.root, name)
			if strings.HasPrefix(name, ".") || o.text("stage") != stage || failed || !r.included(o) {
				continue
			}
			failed = !r.job(name, o) || failed
		}
	}
	return r.jobs
}

func (r *runner) included(o object) bool {
	r.t.Helper()
	for _, n := range items(o.of["rules"]) {
		rule := asObject(n)
		v, err := evaluate(gitlabExpression(rule.text("if")), func(name string) any { return r.variables[name] })
		if err != nil {
			r.t.Fatal(err)
		}
		if truth(v) {
			return rule.text("when") != "manual" || !r.holds
		}
	}
	return false
}

func (r *runner) job(name string, o object) bool {
	dir, env := r.machine(name)
	for k, v := range r.variables {
		env = append(env, k+"="+v)
	}
	for _, token := range o.child("id_tokens").keys {
		env = append(env, token+"=value-of-"+token)
	}
	job := ran{name: name}
	if e := o.text("environment"); e != "" {
		job.context = strings.ReplaceAll(e, "$ENVIRONMENT", r.variables["ENVIRONMENT"])
		env = append(env, "ECS_CLUSTER="+job.context+"-app")
	}
	shell := func(nodes ...*yaml.Node) bool {
		var text strings.Builder
		for _, n := range nodes {
			r.lines[n.Line] = true
			text.WriteString(n.Value + "\n")
		}
		cmd := exec.Command("sh", "-e", "-c", text.String())
		cmd.Dir, cmd.Env = dir, env
		out, err := cmd.CombinedOutput()
		job.output += string(out)
		return err == nil
	}
	before := o.of["before_script"]
	if before == nil {
		before = r.root.child("default").of["before_script"]
	}
	job.failed = !shell(slices.Concat(items(before), items(o.of["script"]))...)
	shell(items(o.of["after_script"])...)
	job.stored = append(values(o.child("artifacts").of["paths"]), values(o.child("artifacts").child("reports").of["junit"])...)
	job.calls = r.calls(dir)
	r.jobs = append(r.jobs, job)
	return !job.failed
}

func TestGitLabReleases(t *testing.T) {
	const token = named + "--aws-region=eu-central-1 --aws-role-arn=arn --aws-web-identity-token=env://AWS_WEB_IDENTITY_TOKEN "
	const ofCommit = "--revision=5a1d0c3 --revision-time=" + commitTime + " --repository=https://gitlab.com/acme/shop"
	deploy := func(to string) []string {
		return []string{
			to + " (" + to + ")", token + "deploy --build-num=57 --pin-digest --cluster=" + to + "-app --service=web,consumers --by=jane",
			named + "report --cluster=" + to + "-app export --path=release.html",
		}
	}
	build := []string{"build", named + "--source=. --composer-auth=env://COMPOSER_AUTH check", named + "--source=. --composer-auth=env://COMPOSER_AUTH build --build-num=57 " + ofCommit + " summary"}
	push := strings.Replace(token, "call ", "call --smoke=false --source=. --composer-auth=env://COMPOSER_AUTH ", 1) + "push --build-num=57 " + ofCommit
	results := named + "test-results --build-num=57 export --path=smoke.xml"
	tests := map[string]struct {
		branch    string
		variables map[string]string
		holds     bool
		want      []string
	}{
		"a branch":           {"feature", nil, false, append(slices.Clone(build), results)},
		"main, not approved": {"main", nil, true, slices.Concat(build, []string{push, results}, deploy("staging"))},
		"main, approved":     {"main", nil, false, slices.Concat(build, []string{push, results}, deploy("staging"), deploy("production"))},
		"rollback": {"main", map[string]string{"ACTION": "rollback", "MCK_PROBE": "https://shop.example.com/", "ECS_CRON_RULES": "cron"}, false, []string{
			"rollback (production)", token + "rollback --cluster=production-app --service=web,consumers --cron-rule=cron --probe=https://shop.example.com/ --by=jane",
			named + "report --cluster=production-app export --path=release.html"}},
		"redeploy": {"main", map[string]string{"ACTION": "redeploy", "ENVIRONMENT": "staging", "BUILD": "4;1"}, false, []string{
			"redeploy (staging)", token + "deploy --build-num=4;1 --pin-digest --downgrade --force --cluster=staging-app --service=web,consumers --by=jane",
			named + "report --cluster=staging-app export --path=release.html"}},
		"cleanup": {"main", map[string]string{"ACTION": "cleanup"}, false, []string{"cleanup (cleanup)", token + "cleanup --yes"}},
	}
	lines := map[int]bool{}
	can := module(t)
	for name, tt := range tests {
		r := newRunner(t, tt.branch, map[string]string{"COMPOSER_AUTH": "value-of-COMPOSER_AUTH"})
		maps.Copy(r.variables, tt.variables)
		r.holds = tt.holds
		jobs := r.run()
		did(t, name, can, jobs, tt.want)
		for _, j := range jobs {
			if got := j.of("installed"); len(got) != 1 || got[0][0] != engineVersion(t) {
				t.Errorf("%s, %s: dagger is installed as %q", name, j.name, got)
			}
		}
		maps.Copy(lines, r.lines)
	}
	root := newRunner(t, "", nil).root
	for _, job := range append((&gitlabFile{root: root}).jobs(), "default") {
		for _, k := range words("before_script script after_script") {
			for _, n := range items(root.child(job).of[k]) {
				if !lines[n.Line] {
					t.Errorf("%s:%d: this script was never run", gitlab, n.Line)
				}
			}
		}
	}
}

// What fails on GitLab is printed as it can be typed, and ends what follows.
func TestAFailureOnGitLab(t *testing.T) {
	r := newRunner(t, "main", map[string]string{"MCK_PROBE": "https://shop.example.com/?it's"})
	r.fail = "deploy"
	jobs := r.run()
	last := jobs[len(jobs)-1]
	m := regexp.MustCompile(`(?s)git checkout 5a1d0c3, and\n\n(  dagger .*?)\n\n`).FindStringSubmatch(last.output)
	if last.name != "staging" || !last.failed || m == nil {
		t.Fatalf("%s:\n%s", last.name, last.output)
	}
	if diff := r.repeat("sh", m[1], last); diff != "" {
		t.Error(diff)
	}
}
