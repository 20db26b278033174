// Package circleci holds .circleci/config.yml to what CircleCI takes and to what
// the Dagger module has. `circleci config validate` asks CircleCI's server and
// knows nothing of the module; this needs no network.
package circleci

import (
	"bytes"
	"fmt"
	"maps"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/magecloudkit/pipeline/ci/docs/surface"
)

// Keys by where they may stand
// (https://circleci.com/docs/reference/configuration-reference/).
var (
	topKeys       = words("version setup orbs parameters executors commands jobs workflows")
	executorKeys  = words("docker machine macos resource_class shell working_directory environment parameters description")
	jobKeys       = append(words("executor steps parallelism circleci_ip_ranges"), executorKeys...)
	commandKeys   = words("description parameters steps")
	parameterKeys = words("type default description enum")
	useKeys       = words("requires name context filters type serial-group matrix pre-steps post-steps override-with")
	stepKeys      = map[string][]string{
		"run":                  words("name command no_output_timeout when environment working_directory shell background"),
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
		"when": words("condition steps"), "unless": words("condition steps"),
	}
	pipelineValues = words("pipeline.id pipeline.number pipeline.project.slug pipeline.project.git_url pipeline.project.type " +
		"pipeline.git.branch pipeline.git.tag pipeline.git.revision pipeline.git.base_revision pipeline.trigger_source")
	types = words("string boolean integer enum executor steps env_var_name")

	expression = regexp.MustCompile(`<<\s*([^<>]*?)\s*>>`)
	pipeline   = regexp.MustCompile(`pipeline\.[a-z_.-]+`)
	duration   = regexp.MustCompile(`^\d+(\.\d+)?[smh]$`)
)

func words(s string) []string { return strings.Fields(s) }

// checker collects what is wrong with a configuration.
type checker struct {
	surface  surface.Surface
	root     object
	used     map[string]bool // "executor NAME", "command NAME", "job NAME"
	problems []string
}

// object is a mapping of the file, in its order.
type object struct {
	node *yaml.Node
	keys []string
	of   map[string]*yaml.Node
}

func asObject(n *yaml.Node) object {
	o := object{node: n, of: map[string]*yaml.Node{}}
	if n != nil && n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			o.keys = append(o.keys, n.Content[i].Value)
			o.of[n.Content[i].Value] = n.Content[i+1]
		}
	}
	return o
}

func (o object) child(key string) object { return asObject(o.of[key]) }

func (o object) text(key string) string {
	if n := o.of[key]; n != nil && n.Kind == yaml.ScalarNode {
		return n.Value
	}
	return ""
}

// items are the elements of a sequence, or a scalar alone.
func items(n *yaml.Node) []*yaml.Node {
	switch {
	case n == nil:
		return nil
	case n.Kind == yaml.SequenceNode:
		return n.Content
	}
	return []*yaml.Node{n}
}

func (c *checker) wrong(n *yaml.Node, format string, args ...any) {
	line := 0
	if n != nil {
		line = n.Line
	}
	c.problems = append(c.problems, fmt.Sprintf("line %d: %s", line, fmt.Sprintf(format, args...)))
}

func (c *checker) keys(o object, what string, allowed []string) {
	for _, k := range o.keys {
		if !slices.Contains(allowed, k) {
			c.wrong(o.of[k], "%s has no key %s", what, k)
		}
	}
}

// check lists what is wrong with a configuration.
func check(raw []byte, s surface.Surface) []string {
	var doc yaml.Node
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		return []string{err.Error()}
	}
	c := &checker{surface: s, used: map[string]bool{}}
	if len(doc.Content) == 0 {
		return []string{"it is empty"}
	}
	c.root = asObject(doc.Content[0])
	c.keys(c.root, "the configuration", topKeys)
	if c.root.text("version") != "2.1" {
		c.wrong(c.root.node, "version must be 2.1")
	}
	pipelineParameters := c.parameters(c.root.child("parameters"))
	for _, name := range c.root.child("executors").keys {
		o := c.root.child("executors").child(name)
		c.keys(o, "executor "+name, executorKeys)
		c.machine(o, "executor "+name)
		c.expressions(o.node, c.parameters(o.child("parameters")), pipelineParameters)
	}
	for _, name := range c.root.child("commands").keys {
		o := c.root.child("commands").child(name)
		c.keys(o, "command "+name, commandKeys)
		c.definition(o, "command "+name, pipelineParameters)
	}
	for _, name := range c.root.child("jobs").keys {
		o := c.root.child("jobs").child(name)
		c.keys(o, "job "+name, jobKeys)
		if o.of["executor"] != nil {
			executor := o.text("executor")
			if executor == "" {
				executor = o.child("executor").text("name")
			}
			if c.root.child("executors").of[executor] == nil {
				c.wrong(o.of["executor"], "there is no executor %s", executor)
			}
			c.used["executor "+executor] = true
		} else {
			c.machine(o, "job "+name)
		}
		c.definition(o, "job "+name, pipelineParameters)
	}
	for _, name := range c.root.child("workflows").keys {
		if name != "version" {
			c.workflow(name, c.root.child("workflows").child(name), pipelineParameters)
		}
	}
	for kind, plural := range map[string]string{"executor": "executors", "command": "commands", "job": "jobs"} {
		for _, name := range c.root.child(plural).keys {
			if !c.used[kind+" "+name] {
				c.wrong(c.root.child(plural).of[name], "%s %s is not used", kind, name)
			}
		}
	}
	slices.Sort(c.problems)
	return c.problems
}

// machine checks that there is one place to run.
func (c *checker) machine(o object, what string) {
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
}

// parameters are the declared ones by name.
func (c *checker) parameters(o object) map[string]object {
	declared := map[string]object{}
	for _, name := range o.keys {
		p := o.child(name)
		declared[name] = p
		c.keys(p, "parameter "+name, parameterKeys)
		typ := p.text("type")
		if !slices.Contains(types, typ) {
			c.wrong(p.node, "parameter %s: there is no type %s", name, typ)
		}
		if d := p.of["default"]; d != nil {
			c.value(d, name, p)
		}
	}
	return declared
}

// value checks a parameter's value against its type.
func (c *checker) value(n *yaml.Node, name string, p object) {
	if expression.MatchString(n.Value) {
		return
	}
	ok := true
	switch p.text("type") {
	case "boolean":
		ok = n.Tag == "!!bool"
	case "integer":
		ok = n.Tag == "!!int"
	case "string", "env_var_name":
		ok = n.Kind == yaml.ScalarNode && n.Tag != "!!bool"
	case "steps":
		ok = n.Kind == yaml.SequenceNode
	case "enum":
		ok = slices.ContainsFunc(items(p.of["enum"]), func(e *yaml.Node) bool { return e.Value == n.Value })
	}
	if !ok {
		c.wrong(n, "%s: %q is no %s", name, n.Value, p.text("type"))
	}
}

// arguments checks what a job or command is given for its parameters.
func (c *checker) arguments(given object, at *yaml.Node, what string, declared map[string]object, also []string) {
	for _, k := range given.keys {
		if p, ok := declared[k]; ok {
			c.value(given.of[k], k, p)
		} else if !slices.Contains(also, k) {
			c.wrong(given.of[k], "%s has no parameter %s", what, k)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(declared)) {
		if declared[name].of["default"] == nil && given.of[name] == nil {
			c.wrong(at, "%s needs the parameter %s", what, name)
		}
	}
}

// definition checks a job's or command's parameters and steps.
func (c *checker) definition(o object, what string, pipelineParameters map[string]object) {
	declared := c.parameters(o.child("parameters"))
	if len(items(o.of["steps"])) == 0 {
		c.wrong(o.node, "%s has no steps", what)
	}
	c.steps(o.of["steps"], strings.HasPrefix(what, "job "))
	seen := map[string]bool{}
	for k, n := range o.of {
		if k != "parameters" {
			maps.Copy(seen, c.expressions(n, declared, pipelineParameters))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(declared)) {
		if !seen[name] {
			c.wrong(declared[name].node, "%s does not use its parameter %s", what, name)
		}
	}
}

func (c *checker) steps(n *yaml.Node, job bool) {
	for _, s := range items(n) {
		name, args := s.Value, object{}
		if s.Kind == yaml.MappingNode {
			o := asObject(s)
			if len(o.keys) != 1 {
				c.wrong(s, "a step has one key, not %s", strings.Join(o.keys, ", "))
				continue
			}
			name, args = o.keys[0], asObject(o.of[o.keys[0]])
			if v := o.of[name]; name == "run" && v.Kind == yaml.ScalarNode {
				args = object{node: v, keys: []string{"command"}, of: map[string]*yaml.Node{"command": v}}
			}
		}
		if command := c.root.child("commands").of[name]; command != nil {
			c.used["command "+name] = true
			declared := map[string]object{}
			for _, p := range asObject(command).child("parameters").keys {
				declared[p] = asObject(command).child("parameters").child(p)
			}
			c.arguments(args, s, "command "+name, declared, nil)
			continue
		}
		allowed, ok := stepKeys[name]
		if !ok {
			c.wrong(s, "there is no step %s", name)
			continue
		}
		c.keys(args, "step "+name, allowed)
		for _, k := range needed[name] {
			if args.of[k] == nil {
				c.wrong(s, "step %s needs %s", name, k)
			}
		}
		switch name {
		case "run":
			c.run(args)
		case "when", "unless":
			c.steps(args.of["steps"], job)
		case "setup_remote_docker":
			c.wrong(s, "a machine has docker; setup_remote_docker is for docker executors")
		}
	}
}

// run checks a script.
func (c *checker) run(o object) {
	n := o.of["command"]
	if n == nil {
		return
	}
	if t := o.text("no_output_timeout"); t != "" && !duration.MatchString(t) && !expression.MatchString(t) {
		c.wrong(o.of["no_output_timeout"], "no_output_timeout: %q is no time such as 30m", t)
	}
	if w := o.text("when"); w != "" && !slices.Contains(words("always on_success on_fail"), w) {
		c.wrong(o.of["when"], "when: %s is none of always, on_success, on_fail", w)
	}
	script := n.Value
	if expression.MatchString(script) {
		c.wrong(n, "a parameter in a script is code: give it through environment")
	}
	script = expression.ReplaceAllString(script, "x")
	script = strings.ReplaceAll(script, `\<<`, "<<")
	bash := exec.Command("bash", "-n")
	bash.Stdin = strings.NewReader(script)
	if out, err := bash.CombinedOutput(); err != nil {
		c.wrong(n, "bash cannot read it: %s", bytes.TrimSpace(out))
		return
	}
	commands, err := surface.Script(script)
	if err != nil {
		c.wrong(n, "%v", err)
	}
	for _, command := range commands {
		if err := c.surface.Check(command); err != nil {
			c.wrong(n, "%v", err)
		}
	}
}

// expressions checks every << … >> below a node and returns the parameters that
// are used.
func (c *checker) expressions(n *yaml.Node, declared, pipelineParameters map[string]object) map[string]bool {
	seen := map[string]bool{}
	if n == nil {
		return seen
	}
	for _, child := range n.Content {
		maps.Copy(seen, c.expressions(child, declared, pipelineParameters))
	}
	if n.Kind != yaml.ScalarNode {
		return seen
	}
	for _, m := range expression.FindAllStringSubmatch(n.Value, -1) {
		name, isParameter := strings.CutPrefix(m[1], "parameters.")
		switch {
		case isParameter:
			seen[name] = true
			if _, ok := declared[name]; !ok {
				c.wrong(n, "there is no parameter %s here", name)
			}
		default:
			c.pipelineValue(n, m[1], pipelineParameters)
		}
	}
	rest := strings.ReplaceAll(expression.ReplaceAllString(n.Value, ""), `\<<`, "")
	if strings.Contains(rest, "<<") {
		c.wrong(n, `"<<" that begins no expression must be written \<<`)
	}
	return seen
}

func (c *checker) pipelineValue(n *yaml.Node, name string, pipelineParameters map[string]object) {
	if p, ok := strings.CutPrefix(name, "pipeline.parameters."); ok {
		if _, ok := pipelineParameters[p]; !ok {
			c.wrong(n, "there is no pipeline parameter %s", p)
		}
	} else if !slices.Contains(pipelineValues, name) {
		c.wrong(n, "there is no value %s", name)
	}
}

// workflow checks which jobs run, in which order and when.
func (c *checker) workflow(workflow string, o object, pipelineParameters map[string]object) {
	c.keys(o, "workflow "+workflow, words("jobs when unless max_auto_reruns"))
	requires := map[string][]string{}
	uses := map[string]object{}
	for _, n := range items(o.of["jobs"]) {
		job, use := n.Value, object{}
		if n.Kind == yaml.MappingNode {
			job, use = asObject(n).keys[0], asObject(n.Content[1])
		}
		name := job
		if v := use.text("name"); v != "" {
			name = v
		}
		if _, ok := uses[name]; ok {
			c.wrong(n, "workflow %s has two jobs %s", workflow, name)
		}
		use.node = n
		uses[name] = use
		requires[name] = nil
		for _, r := range items(use.of["requires"]) {
			requires[name] = append(requires[name], r.Value)
		}
		if f := use.of["filters"]; f != nil {
			if f.Kind != yaml.ScalarNode {
				c.wrong(f, "filters as a mapping are deprecated: write an expression")
			}
			for _, v := range pipeline.FindAllString(f.Value, -1) {
				c.pipelineValue(f, v, pipelineParameters)
			}
		}
		c.expressions(n, nil, pipelineParameters)
		if use.text("type") == "approval" {
			c.keys(use, "approval "+name, words("type name requires filters context"))
			continue
		}
		definition := c.root.child("jobs").child(job)
		if c.root.child("jobs").of[job] == nil {
			c.wrong(n, "there is no job %s", job)
			continue
		}
		c.used["job "+job] = true
		declared := map[string]object{}
		for _, p := range definition.child("parameters").keys {
			declared[p] = definition.child("parameters").child(p)
		}
		c.arguments(use, n, "job "+job, declared, useKeys)
	}
	for _, name := range slices.Sorted(maps.Keys(requires)) {
		for _, r := range requires[name] {
			if _, ok := uses[r]; !ok {
				c.wrong(uses[name].node, "%s requires %s, which workflow %s does not have", name, r, workflow)
			}
		}
		if path := cycle(requires, name, nil); path != nil {
			c.wrong(uses[name].node, "%s", "these jobs wait for each other: "+strings.Join(path, " → "))
		}
	}
}

// cycle is a way from a job back to itself.
func cycle(requires map[string][]string, name string, path []string) []string {
	if len(path) > 0 && path[0] == name {
		return append(path, name)
	}
	if slices.Contains(path, name) {
		return nil
	}
	for _, r := range requires[name] {
		if found := cycle(requires, r, append(slices.Clone(path), name)); found != nil {
			return found
		}
	}
	return nil
}

// step is one that runs a script, with its job's parameters put in.
type step struct {
	name, script string
	env          []string
	always       bool
}

// scripts lists a job's run steps in order, for the arguments given.
func scripts(raw []byte, job string, args map[string]string) ([]step, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		return nil, err
	}
	root := asObject(doc.Content[0])
	o := root.child("jobs").child(job)
	values := map[string]string{}
	for _, p := range o.child("parameters").keys {
		values[p] = o.child("parameters").child(p).text("default")
	}
	maps.Copy(values, args)
	put := func(s string) string {
		return expression.ReplaceAllStringFunc(s, func(e string) string {
			name, _ := strings.CutPrefix(expression.FindStringSubmatch(e)[1], "parameters.")
			return values[name]
		})
	}
	var env []string
	for _, k := range o.child("environment").keys {
		env = append(env, k+"="+put(o.child("environment").text(k)))
	}
	var out []step
	var walk func(*yaml.Node)
	walk = func(n *yaml.Node) {
		for _, s := range items(n) {
			so := asObject(s)
			if command := root.child("commands").child(s.Value); s.Kind == yaml.ScalarNode && command.of["steps"] != nil {
				walk(command.of["steps"])
			}
			if run := so.child("run"); so.of["run"] != nil {
				out = append(out, step{run.text("name"), put(run.text("command")), env, run.text("when") == "always"})
			}
			if when := so.child("when"); so.of["when"] != nil {
				if yes, _ := strconv.ParseBool(put(when.text("condition"))); yes {
					walk(when.of["steps"])
				}
			}
		}
	}
	walk(o.of["steps"])
	return out, nil
}
