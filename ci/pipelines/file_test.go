// Package pipelines holds .circleci/ and docs/ci/ to what the services that read them
// take, and to what the Dagger module and make have. `circleci config validate` asks
// CircleCI's server and knows nothing of the module; this needs no network. What the
// files run is run: every step's shell, with a dagger that only notes how it was
// called.
package pipelines

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/magecloudkit/pipeline/ci/docs/surface"
)

// file collects what is wrong with one file.
type file struct {
	name     string
	surface  surface.Surface
	lines    []string
	arrays   map[string][]string // words that calls have in common, by the shell's name for them
	problems []problem
}

// problem is what is wrong, and where.
type problem struct {
	file string
	line int
	text string
}

func (p problem) String() string { return fmt.Sprintf("%s:%d: %s", p.file, p.line, p.text) }

// open reads a file's one document, and says what is wrong with any such file: keys
// that stand twice, and secrets.
func open(name string, raw []byte, s surface.Surface) (*file, object) {
	f := &file{name: name, surface: s, lines: strings.Split(string(raw), "\n"), arrays: map[string][]string{}}
	var doc yaml.Node
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		line := 0
		if m := regexp.MustCompile(`line (\d+)`).FindStringSubmatch(err.Error()); m != nil {
			_, _ = fmt.Sscan(m[1], &line)
		}
		f.at(line, "%v", err)
		return f, object{}
	}
	if len(doc.Content) == 0 {
		f.at(1, "it is empty")
		return f, object{}
	}
	f.twice(doc.Content[0])
	for i, line := range f.lines {
		if literal.MatchString(line) {
			f.at(i+1, "a secret stands in the file")
		}
	}
	return f, asObject(doc.Content[0])
}

// done is what was found, in the file's order.
func (f *file) done() []problem {
	slices.SortFunc(f.problems, func(a, b problem) int { return cmp.Or(a.line-b.line, strings.Compare(a.text, b.text)) })
	return slices.Compact(f.problems)
}

func (f *file) at(line int, format string, args ...any) {
	f.problems = append(f.problems, problem{f.name, line, fmt.Sprintf(format, args...)})
}

func (f *file) wrong(n *yaml.Node, format string, args ...any) {
	line := 0
	if n != nil {
		line = n.Line
	}
	f.at(line, format, args...)
}

var (
	// literal is a secret as its issuer writes it.
	literal = regexp.MustCompile(`\b(AKIA|ASIA)[A-Z2-7]{16}\b|\bgh[pousr]_[A-Za-z0-9]{36}|\bCCIP(AT|RJ)_[A-Za-z0-9]+_[0-9a-f]{40}|\bglpat-[\w-]{20}|-----BEGIN [A-Z ]*PRIVATE KEY`)
	// secretName is the name of a variable whose value is one.
	secretName = regexp.MustCompile(`(^|_)(AUTH|KEY|TOKEN|TOKEN_V2|SECRET|PASSWORD|WEBHOOK_URL)$`)
	variable   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

// twice finds keys that stand twice in a mapping: the first one counts for nothing.
func (f *file) twice(n *yaml.Node) {
	if n.Kind == yaml.MappingNode {
		seen := map[string]bool{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if k := n.Content[i]; seen[k.Value] && k.Value != "<<" {
				f.wrong(k, "the key %s stands here twice", k.Value)
			} else {
				seen[k.Value] = true
			}
		}
	}
	for _, child := range n.Content {
		f.twice(child)
	}
}

// environment checks what a file sets variables to. expanded is what the service puts in by itself.
func (f *file) environment(o object, expanded *regexp.Regexp) {
	for _, name := range o.keys {
		v := o.of[name]
		switch {
		case !variable.MatchString(name):
			f.wrong(o.key[name], "%s is no name of a variable", name)
		case v.Kind != yaml.ScalarNode:
			f.wrong(v, "the variable %s must be one text", name)
		case secretName.MatchString(name) && v.Value != "" && !expanded.MatchString(v.Value):
			f.wrong(v, "the value of %s stands in the file", name)
		}
	}
}

// object is a mapping of the file, in its order.
type object struct {
	node *yaml.Node
	keys []string
	of   map[string]*yaml.Node // values
	key  map[string]*yaml.Node
}

func asObject(n *yaml.Node) object {
	for n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	o := object{node: n, of: map[string]*yaml.Node{}, key: map[string]*yaml.Node{}}
	if n != nil && n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			k := n.Content[i].Value
			if o.of[k] == nil {
				o.keys = append(o.keys, k)
			}
			o.of[k], o.key[k] = n.Content[i+1], n.Content[i]
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
	for n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch {
	case n == nil:
		return nil
	case n.Kind == yaml.SequenceNode:
		return n.Content
	}
	return []*yaml.Node{n}
}

func values(n *yaml.Node) []string {
	var out []string
	for _, i := range items(n) {
		out = append(out, i.Value)
	}
	return out
}

func words(s string) []string { return strings.Fields(s) }

// known says which keys an object has that it cannot have, and which it lacks.
func (f *file) known(o object, what string, allowed []string, needed ...string) {
	for _, k := range o.keys {
		if !slices.Contains(allowed, k) {
			f.wrong(o.key[k], "%s has no key %s", what, k)
		}
	}
	for _, k := range needed {
		if o.of[k] == nil {
			f.wrong(o.node, "%s needs %s", what, k)
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
