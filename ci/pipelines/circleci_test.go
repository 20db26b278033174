package pipelines

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/magecloudkit/pipeline/ci/docs/surface"
)

// Keys by where they may stand
// (https://circleci.com/docs/reference/configuration-reference/).
var (
	topKeys       = words("version setup orbs parameters executors commands jobs job-groups workflows")
	executorKeys  = words("docker machine macos resource_class shell working_directory environment parameters description")
	jobKeys       = append(words("executor steps parallelism circleci_ip_ranges retention"), executorKeys...)
	commandKeys   = words("description parameters steps")
	parameterKeys = words("type default description enum")
	useKeys       = words("requires name context filters type serial-group matrix pre-steps post-steps override-with")
	stepKeys      = map[string][]string{
		"run":                  words("name command no_output_timeout when environment working_directory shell background max_auto_reruns auto_rerun_delay"),
		"checkout":             words("path method"),
		"persist_to_workspace": words("root paths"),
		"attach_workspace":     words("at"),
		"store_artifacts":      words("path destination"),
		"store_test_results":   words("path"),
		"save_cache":           words("key paths name when"),
		"restore_cache":        words("key keys name"),
		"when":                 words("condition steps"),
		"unless":               words("condition steps"),
		"add_ssh_keys":         words("fingerprints"),
		"setup_remote_docker":  words("version docker_layer_caching"),
	}
	needed = map[string][]string{
		"run": words("command"), "persist_to_workspace": words("root paths"), "attach_workspace": words("at"),
		"when": words("condition steps"), "unless": words("condition steps"), "store_artifacts": words("path"), "store_test_results": words("path"),
	}
	pipelineValues = words(`pipeline.id pipeline.number pipeline.name pipeline.project.slug pipeline.project.git_url pipeline.project.type
		pipeline.git.branch pipeline.git.branch.is_default pipeline.git.tag pipeline.git.revision pipeline.git.repo_url pipeline.trigger.type
		pipeline.event.name pipeline.event.action pipeline.schedule.name
		pipeline.deploy.component_name pipeline.deploy.environment_name pipeline.deploy.target_version pipeline.deploy.current_version
		pipeline.deploy.namespace pipeline.deploy.reason`)
	types           = words("string boolean integer enum executor steps env_var_name")
	statuses        = words("success failed canceled unauthorized not_run terminal")
	resourceClasses = words("medium large xlarge 2xlarge 2xlarge+ arm.medium arm.large arm.xlarge arm.2xlarge")

	expression  = regexp.MustCompile(`<<\s*([^<>]*?)\s*>>`)
	duration    = regexp.MustCompile(`^\d+(\.\d+)?[smh]$`)
	serialGroup = regexp.MustCompile(`^[A-Za-z0-9._/-]{1,512}$`)
	parameter   = regexp.MustCompile(`^pipeline\.parameters\.([a-z0-9_-]+)$`)
)

// circleci is a configuration that is being checked.
type circleci struct {
	*file
	root     object
	pipeline map[string]object // parameters of the pipeline
	used     map[string]bool   // "executor NAME", "command NAME", "job NAME", "parameter NAME"
	jobs     map[string]*facts
	commands map[string]*facts
}

// facts are what matters of a job, or of a command, where a workflow uses it.
type facts struct {
	releases bool // it changes what runs
	persists bool // it leaves something in the workspace
	attaches bool // it needs something from there
	// unless is the parameter with which it does not.
	unless string
}

func (a *facts) add(b *facts) {
	a.releases, a.persists = a.releases || b.releases, a.persists || b.persists
	if b.attaches {
		a.attaches, a.unless = true, b.unless
	}
}

// checkCircleCI lists what is wrong with a configuration of CircleCI.
func checkCircleCI(name string, raw []byte, s surface.Surface) []problem {
	f, root := open(name, raw, s)
	c := &circleci{file: f, root: root, used: map[string]bool{}, jobs: map[string]*facts{}, commands: map[string]*facts{}}
	if root.node == nil {
		return f.done()
	}
	c.known(root, "the configuration", topKeys)
	if root.text("version") != "2.1" {
		c.wrong(root.node, "version must be 2.1")
	}
	c.pipeline = c.parameters(root.child("parameters"))
	for _, p := range c.pipeline {
		if t := p.text("type"); slices.Contains(words("executor steps env_var_name"), t) {
			c.wrong(p.of["type"], "a pipeline's parameter cannot be of type %s", t)
		}
		if p.of["default"] == nil {
			c.wrong(p.node, "a pipeline's parameter needs a default: a push gives none")
		}
	}
	c.walkScripts(root.node)
	for _, name := range root.child("executors").keys {
		o := root.child("executors").child(name)
		c.known(o, "executor "+name, executorKeys)
		c.machine(o, "executor "+name)
		c.expressions(o.node, c.parameters(o.child("parameters")))
		c.environment(o.child("environment"), expression)
	}
	for _, name := range root.child("commands").keys {
		o := root.child("commands").child(name)
		c.known(o, "command "+name, commandKeys)
		c.commands[name] = c.definition(o, "command "+name)
	}
	for _, name := range root.child("jobs").keys {
		o := root.child("jobs").child(name)
		c.known(o, "job "+name, jobKeys)
		c.executor(o, name)
		c.environment(o.child("environment"), expression)
		c.jobs[name] = c.definition(o, "job "+name)
	}
	for _, name := range root.child("workflows").keys {
		if name != "version" {
			c.workflow(name, root.child("workflows").child(name))
		}
	}
	if len(root.child("workflows").keys) == 0 {
		c.wrong(root.node, "it has no workflows")
	}
	c.nobodys()
	return f.done()
}

// nobodys finds what is defined and not used.
func (c *circleci) nobodys() {
	for kind, plural := range map[string]string{"executor": "executors", "command": "commands", "job": "jobs", "parameter": "parameters"} {
		for _, name := range c.root.child(plural).keys {
			if !c.used[kind+" "+name] {
				c.wrong(c.root.child(plural).key[name], "%s %s is not used", kind, name)
			}
		}
	}
}

// walkScripts reads what scripts make for others.
func (c *circleci) walkScripts(n *yaml.Node) {
	if o := asObject(n); o.text("command") != "" {
		c.collect(o.text("command"))
	}
	for _, child := range n.Content {
		c.walkScripts(child)
	}
}

// machine checks that there is one place to run.
func (c *circleci) machine(o object, what string) {
	kinds := 0
	for _, k := range words("docker machine macos") {
		if o.of[k] != nil {
			kinds++
		}
	}
	if kinds != 1 {
		c.wrong(o.node, "%s must have one of docker, machine, macos", what)
	}
	if m := o.child("machine"); o.of["machine"] != nil && m.text("image") == "" {
		c.wrong(o.of["machine"], "%s: machine has no image", what)
	}
	if class := o.text("resource_class"); o.of["machine"] != nil && class != "" && !slices.Contains(resourceClasses, class) && !expression.MatchString(class) {
		c.wrong(o.of["resource_class"], "%s: there is no resource class %s", what, class)
	}
}

// executor checks what a job runs on.
func (c *circleci) executor(o object, job string) {
	if o.of["executor"] == nil {
		c.machine(o, "job "+job)
		return
	}
	name := o.text("executor")
	if name == "" {
		name = o.child("executor").text("name")
	}
	if m := expression.FindStringSubmatch(name); m != nil {
		p, _ := strings.CutPrefix(m[1], "parameters.")
		if o.child("parameters").child(p).text("type") != "executor" {
			c.wrong(o.of["executor"], "%s is no parameter of type executor", p)
		}
		return
	}
	c.isExecutor(o.of["executor"], name)
}

func (c *circleci) isExecutor(at *yaml.Node, name string) {
	if c.root.child("executors").of[name] == nil {
		c.wrong(at, "there is no executor %s", name)
	}
	c.used["executor "+name] = true
}

// parameters are the declared ones by name.
func (c *circleci) parameters(o object) map[string]object {
	declared := map[string]object{}
	for _, name := range o.keys {
		p := o.child(name)
		declared[name] = p
		c.known(p, "parameter "+name, parameterKeys)
		typ := p.text("type")
		if !slices.Contains(types, typ) {
			c.wrong(o.key[name], "parameter %s: there is no type %s", name, typ)
		}
		if (typ == "enum") != (p.of["enum"] != nil) {
			c.wrong(o.key[name], "parameter %s: the type enum has a list enum, and no other type has", name)
		}
		if d := p.of["default"]; d != nil {
			c.value(d, name, p)
		}
	}
	return declared
}

// value checks a parameter's value against its type.
func (c *circleci) value(n *yaml.Node, name string, p object) {
	if m := expression.FindStringSubmatch(n.Value); m != nil {
		if p.text("type") != "executor" {
			return
		}
		q := parameter.FindStringSubmatch(m[1])
		if q == nil { // what a person chooses
			for _, name := range c.root.child("executors").keys {
				c.used["executor "+name] = true
			}
		} else {
			if c.pipeline[q[1]].text("type") != "enum" {
				c.wrong(n, "the pipeline's parameter %s must be an enum of executors", q[1])
			}
			for _, v := range items(c.pipeline[q[1]].of["enum"]) {
				c.isExecutor(v, v.Value)
			}
		}
		return
	}
	ok := true
	switch p.text("type") {
	case "boolean":
		ok = n.Tag == "!!bool"
	case "integer":
		ok = n.Tag == "!!int"
	case "string", "env_var_name":
		ok = n.Kind == yaml.ScalarNode && n.Tag != "!!bool" && n.Tag != "!!null"
	case "steps":
		ok = n.Kind == yaml.SequenceNode
	case "enum":
		ok = slices.Contains(values(p.of["enum"]), n.Value)
	case "executor":
		c.isExecutor(n, n.Value)
	}
	if !ok {
		c.wrong(n, "%s: %q is no %s", name, n.Value, p.text("type"))
	}
}

// arguments checks what a job or command is given for its parameters.
func (c *circleci) arguments(given object, at *yaml.Node, what string, definition object, also []string) {
	declared := definition.child("parameters")
	for _, k := range given.keys {
		if declared.of[k] != nil {
			c.value(given.of[k], k, declared.child(k))
		} else if !slices.Contains(also, k) {
			c.wrong(given.key[k], "%s has no parameter %s", what, k)
		}
	}
	for _, name := range declared.keys {
		if declared.child(name).of["default"] == nil && given.of[name] == nil {
			c.wrong(at, "%s needs the parameter %s", what, name)
		}
	}
}

// definition checks a job's or command's parameters and steps.
func (c *circleci) definition(o object, what string) *facts {
	declared := c.parameters(o.child("parameters"))
	if len(items(o.of["steps"])) == 0 {
		c.wrong(o.node, "%s has no steps", what)
	}
	out := &facts{}
	c.steps(o.of["steps"], out, "")
	seen := map[string]bool{}
	for k, n := range o.of {
		if k != "parameters" {
			maps.Copy(seen, c.expressions(n, declared))
		}
	}
	for _, name := range o.child("parameters").keys {
		if !seen[name] {
			c.wrong(o.child("parameters").key[name], "%s does not use its parameter %s", what, name)
		}
	}
	return out
}

// steps checks them. unless is the parameter with which they are not run.
func (c *circleci) steps(n *yaml.Node, out *facts, unless string) {
	for _, s := range items(n) {
		name, args := s.Value, object{node: s}
		if s.Kind == yaml.MappingNode {
			o := asObject(s)
			if len(o.keys) != 1 {
				c.wrong(s, "a step has one key, not %s", strings.Join(o.keys, ", "))
				continue
			}
			name, args = o.keys[0], asObject(o.of[o.keys[0]])
			if v := o.of[name]; name == "run" && v.Kind == yaml.ScalarNode {
				args = object{node: v, keys: []string{"command"}, of: map[string]*yaml.Node{"command": v}, key: map[string]*yaml.Node{"command": v}}
			}
		}
		if command := c.root.child("commands").of[name]; command != nil {
			c.used["command "+name] = true
			c.arguments(args, s, "command "+name, asObject(command), nil)
			if of := c.commands[name]; of != nil {
				out.add(of)
			}
			continue
		}
		allowed, ok := stepKeys[name]
		if !ok {
			c.wrong(s, "there is no step %s", name)
			continue
		}
		c.known(args, "step "+name, allowed, needed[name]...)
		c.builtin(name, args, out, unless)
	}
}

// builtin checks a step of CircleCI's own.
func (c *circleci) builtin(name string, args object, out *facts, unless string) {
	switch name {
	case "run":
		c.run(args, out)
	case "when", "unless":
		if m := expression.FindStringSubmatch(args.text("condition")); name == "unless" && m != nil {
			unless, _ = strings.CutPrefix(m[1], "parameters.")
		}
		c.steps(args.of["steps"], out, unless)
	case "persist_to_workspace":
		out.persists = true
	case "attach_workspace":
		out.attaches, out.unless = true, unless
	case "setup_remote_docker":
		c.wrong(args.node, "a machine has docker; setup_remote_docker is for docker executors")
	}
}

// run checks a step with a script.
func (c *circleci) run(o object, out *facts) {
	n := o.of["command"]
	if n == nil {
		return
	}
	c.environment(o.child("environment"), expression)
	if t := o.text("no_output_timeout"); t != "" && !duration.MatchString(t) && !expression.MatchString(t) {
		c.wrong(o.of["no_output_timeout"], "no_output_timeout: %q is no time such as 30m", t)
	}
	if w := o.text("when"); w != "" && !slices.Contains(words("always on_success on_fail"), w) {
		c.wrong(o.of["when"], "when: %s is none of always, on_success, on_fail", w)
	}
	said := c.step(script{strings.ReplaceAll(n.Value, `\<<`, "<<"), n, expression, "bash"})
	out.releases = out.releases || said.releases()
}

// expressions checks every << … >> below a node and returns the parameters that
// are used.
func (c *circleci) expressions(n *yaml.Node, declared map[string]object) map[string]bool {
	seen := map[string]bool{}
	if n == nil {
		return seen
	}
	for _, child := range n.Content {
		maps.Copy(seen, c.expressions(child, declared))
	}
	if n.Kind != yaml.ScalarNode {
		return seen
	}
	for _, m := range expression.FindAllStringSubmatch(n.Value, -1) {
		c.evaluates(n, m[1], func(name string) {
			seen[name] = true
			if _, ok := declared[name]; !ok {
				c.wrong(n, "there is no parameter %s here", name)
			}
		})
	}
	rest := strings.ReplaceAll(expression.ReplaceAllString(n.Value, ""), `\<<`, "")
	if at := strings.Index(rest, "<<"); at >= 0 {
		c.at(script{node: n}.line(uint(1+strings.Count(rest[:at], "\n"))), `"<<" that begins no expression must be written \<<`)
	}
	return seen
}

var comparison = regexp.MustCompile(`pipeline\.parameters\.([a-z0-9_-]+)\s*[!=]=\s*["']([^"']*)["']`)

// evaluates checks an expression: its syntax, the values that it names, and what enums are compared with.
func (c *circleci) evaluates(n *yaml.Node, text string, own func(parameter string)) {
	_, err := evaluate(text, func(name string) any {
		if p, ok := strings.CutPrefix(name, "parameters."); ok && own != nil {
			own(p)
			return "x"
		}
		if p := parameter.FindStringSubmatch(name); p != nil {
			c.used["parameter "+p[1]] = true
			if _, ok := c.pipeline[p[1]]; !ok {
				c.wrong(n, "there is no pipeline parameter %s", p[1])
			}
			return "x"
		}
		if !slices.Contains(pipelineValues, name) {
			c.wrong(n, "there is no value %s", name)
		}
		return "x"
	})
	if err != nil {
		c.wrong(n, "%v", err)
	}
	for _, m := range comparison.FindAllStringSubmatch(text, -1) {
		if p := c.pipeline[m[1]]; p.text("type") == "enum" && !slices.Contains(values(p.of["enum"]), m[2]) {
			c.wrong(n, "the pipeline's parameter %s is never %q", m[1], m[2])
		}
	}
}

// workflow checks which jobs run, in which order and when.
func (c *circleci) workflow(workflow string, o object) {
	c.known(o, "workflow "+workflow, words("jobs when unless max_auto_reruns"), "jobs")
	for _, k := range words("when unless") {
		if v := o.of[k]; v != nil && v.Kind == yaml.ScalarNode {
			c.evaluates(v, v.Value, nil)
		}
	}
	w := &flow{requires: map[string][]string{}, uses: map[string]object{}, facts: map[string]*facts{}, serial: map[string]string{}}
	for _, n := range items(o.of["jobs"]) {
		c.use(workflow, w, n)
	}
	for _, name := range w.order {
		for _, r := range w.requires[name] {
			if _, ok := w.uses[r]; !ok {
				c.wrong(w.uses[name].node, "%s requires %s, which workflow %s does not have", name, r, workflow)
			}
		}
		if path := cycle(w.requires, name, nil); path != nil {
			c.wrong(w.uses[name].node, "%s", "these jobs wait for each other: "+strings.Join(path, " → "))
			return
		}
	}
	for _, name := range w.order {
		f := w.facts[name]
		if f.attaches && (f.unless == "" || w.uses[name].text(f.unless) == "") && !w.before(name, func(f *facts) bool { return f.persists }) {
			c.wrong(w.uses[name].node, "%s takes from the workspace, and no job before it leaves anything there", name)
		}
	}
}

// flow is a workflow that is being checked.
type flow struct {
	order    []string
	requires map[string][]string
	uses     map[string]object
	facts    map[string]*facts
	serial   map[string]string // by group, the job
}

// before says whether a job that must have run before one is such.
func (w *flow) before(name string, is func(*facts) bool) bool {
	return slices.ContainsFunc(w.requires[name], func(r string) bool {
		return w.facts[r] != nil && (is(w.facts[r]) || w.before(r, is))
	})
}

// use checks one job of a workflow.
func (c *circleci) use(workflow string, w *flow, n *yaml.Node) {
	job, use := n.Value, object{}
	if n.Kind == yaml.MappingNode {
		job, use = asObject(n).keys[0], asObject(n.Content[1])
	}
	name := job
	if v := use.text("name"); v != "" {
		name = v
	}
	if _, ok := w.uses[name]; ok {
		c.wrong(n, "workflow %s has two jobs %s", workflow, name)
	} else {
		w.order = append(w.order, name)
	}
	use.node = n
	w.uses[name], w.requires[name], w.facts[name] = use, nil, &facts{}
	for _, r := range items(use.of["requires"]) {
		required := r.Value
		if r.Kind == yaml.MappingNode {
			required = r.Content[0].Value
			for _, s := range items(r.Content[1]) {
				if !slices.Contains(statuses, s.Value) {
					c.wrong(s, "a job does not end as %s; it does as %s", s.Value, strings.Join(statuses, ", "))
				}
			}
		}
		w.requires[name] = append(w.requires[name], required)
	}
	if f := use.of["filters"]; f != nil {
		if f.Kind != yaml.ScalarNode {
			c.wrong(f, "filters as a mapping are deprecated: write an expression")
		} else {
			c.evaluates(f, f.Value, nil)
		}
	}
	c.expressions(n, nil)
	if use.text("type") == "approval" {
		c.known(use, "approval "+name, words("type name requires filters context"))
		if c.root.child("jobs").of[job] != nil {
			c.wrong(n, "the approval %s has the name of a job", job)
		}
		return
	}
	if c.root.child("jobs").of[job] == nil {
		c.wrong(n, "there is no job %s", job)
		return
	}
	c.used["job "+job] = true
	c.arguments(use, n, "job "+job, c.root.child("jobs").child(job), useKeys)
	w.facts[name] = c.jobs[job]
	c.serial(name, use, w)
}

// serial checks that of the jobs that change what runs there is one at a time.
func (c *circleci) serial(name string, use object, w *flow) {
	group := use.of["serial-group"]
	if group == nil {
		if w.facts[name].releases {
			c.wrong(use.node, "%s changes what runs, and has no serial-group: two could do so at the same time", name)
		}
		return
	}
	if !serialGroup.MatchString(expression.ReplaceAllString(group.Value, "x")) {
		c.wrong(group, "serial-group has letters, digits and ._-/, not %q", group.Value)
	}
	if other, ok := w.serial[group.Value]; ok {
		c.wrong(group, "%s and %s of one workflow have the same serial-group", other, name)
	}
	w.serial[group.Value] = name
}
