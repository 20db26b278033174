package pipelines

import (
	"bytes"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	"mvdan.cc/sh/v3/syntax"

	"github.com/magecloudkit/pipeline/ci/docs/surface"
)

// releasing are the functions that change what runs: of one environment one at a time.
var releasing = words("deploy rollback install run scale set unset")

// Programs that a script may call. All that the pipeline does is dagger's or make's; the rest fetches dagger, ends its
// engine, hands something on, or is of a program that only the service's own machines have.
var (
	pipelinePrograms = words("dagger make")
	otherPrograms    = words("circleci curl sh docker xargs git cp mkdir tee cat sed echo printf test true export local return set unset command exit shift [ apk")
)

// script is a shell script of a file.
type script struct {
	text string
	node *yaml.Node
	// interpolates is what the service puts into the text before a shell sees it.
	interpolates *regexp.Regexp
	shell        string // bash or sh
}

// line is where a line of the script stands in the file.
func (s script) line(of uint) int {
	if s.node.Style&yaml.LiteralStyle != 0 {
		return s.node.Line + int(of)
	}
	return s.node.Line + int(max(of, 1)) - 1
}

// said is what a script comes down to.
type said struct {
	functions []string // of the Dagger module that are called
	pipeline  bool     // it calls dagger or make
	aside     bool     // it calls nothing of theirs, and has another purpose
}

// script checks one.
func (f *file) script(s script) (out said) {
	if at := s.interpolates.FindStringIndex(s.text); at != nil {
		f.at(s.line(uint(1+strings.Count(s.text[:at[0]], "\n"))), "%s in a script is code: give it through the environment", strings.TrimSpace(s.text[at[0]:at[1]]))
	}
	text := s.interpolates.ReplaceAllString(s.text, "x")
	check := exec.Command(s.shell, "-n")
	check.Stdin = strings.NewReader(text)
	if msg, err := check.CombinedOutput(); err != nil {
		line := uint(1)
		if m := regexp.MustCompile(`(?:line |^sh: )(\d+)`).FindSubmatch(msg); m != nil {
			n, _ := strconv.Atoi(string(m[1]))
			line = uint(min(n, 1+strings.Count(strings.TrimSpace(text), "\n")))
		}
		f.at(s.line(line), "%s cannot read it: %s", s.shell, bytes.TrimSpace(msg))
		return said{aside: true}
	}
	tree, err := syntax.NewParser().Parse(strings.NewReader(text), "")
	if err != nil {
		f.at(s.line(1), "%v", err)
		return said{aside: true}
	}
	f.secrets(s, tree)
	commands, err := surface.Script(text)
	if err != nil {
		f.at(s.line(1), "%v", err)
		return said{aside: true}
	}
	programs := map[string]bool{}
	for _, c := range commands {
		if len(c.Args) == 0 {
			continue
		}
		line := s.line(c.Line)
		name := c.Args[0]
		programs[name] = true
		switch {
		case slices.Contains(pipelinePrograms, name):
			out.pipeline = true
			c.Args = f.expand(line, c.Args)
			if err := f.surface.Check(c); err != nil {
				f.at(line, "%v", err)
			}
			if name == "dagger" {
				out.functions = append(out.functions, c.Args[1:]...)
			}
		case !slices.Contains(otherPrograms, name):
			f.at(line, "it calls %s, which is neither dagger nor make", name)
		}
	}
	if fetch := programs["curl"] || programs["docker"] || programs["circleci"] || programs["apk"]; fetch || handsOn(tree) {
		out.aside = true
	}
	return out
}

// step is script, of a step that must be a part of the pipeline.
func (f *file) step(s script) said {
	out := f.script(s)
	if !out.pipeline && !out.aside {
		f.at(s.line(1), "it calls neither dagger nor make, and leaves nothing for what does")
	}
	return out
}

// handsOn says that a script writes a file.
func handsOn(tree *syntax.File) bool {
	found := false
	syntax.Walk(tree, func(n syntax.Node) bool {
		if r, ok := n.(*syntax.Redirect); ok && (r.Op == syntax.RdrOut || r.Op == syntax.AppOut) {
			found = true
		}
		return true
	})
	return found
}

// secrets finds the value of a secret among a program's arguments, which all processes of a machine can read.
func (f *file) secrets(s script, tree *syntax.File) {
	syntax.Walk(tree, func(n syntax.Node) bool {
		call, ok := n.(*syntax.CallExpr)
		if !ok || len(call.Args) == 0 {
			return true
		}
		for _, a := range call.Args {
			syntax.Walk(a, func(n syntax.Node) bool {
				p, ok := n.(*syntax.ParamExp)
				if ok && secretName.MatchString(p.Param.Value) && !alternative(p) && call.Args[0].Lit() != "test" {
					f.at(s.line(p.Pos().Line()), "the value of %s would stand in a command line", p.Param.Value)
				}
				return true
			})
		}
		return true
	})
}

func alternative(p *syntax.ParamExp) bool {
	return p.Exp != nil && (p.Exp.Op == syntax.AlternateUnset || p.Exp.Op == syntax.AlternateUnsetOrNull)
}

// collect reads the words that a script notes for calls, in text that it adds to the file that shells begin with among it.
func (f *file) collect(text string) {
	tree, err := syntax.NewParser().Parse(strings.NewReader(text), "")
	if err != nil {
		return
	}
	syntax.Walk(tree, func(n syntax.Node) bool {
		x, ok := n.(*syntax.CallExpr)
		if !ok {
			return true
		}
		if len(x.Args) == 2 && x.Args[0].Lit() == "echo" && len(x.Args[1].Parts) == 1 {
			if quoted, ok := x.Args[1].Parts[0].(*syntax.SglQuoted); ok {
				f.collect(quoted.Value)
			}
		}
		for _, a := range x.Assigns {
			if a.Array != nil {
				f.arrays[a.Name.Value] = wordsIn(text[a.Array.Lparen.Offset()+1 : a.Array.Rparen.Offset()])
			} else if a.Value != nil && len(a.Value.Parts) == 1 {
				if _, ok := a.Value.Parts[0].(*syntax.DblQuoted); ok {
					f.arrays[a.Name.Value] = wordsIn(text[a.Value.Pos().Offset()+1 : a.Value.End().Offset()-1])
				}
			}
		}
		return true
	})
}

// wordsIn are the words of a piece of a script.
func wordsIn(text string) []string {
	commands, err := surface.Script("x " + strings.ReplaceAll(text, "\n", " "))
	if err != nil || len(commands) == 0 {
		return nil
	}
	return commands[0].Args[1:]
}

// expand puts the words of arrays into a command.
func (f *file) expand(line int, args []string) []string {
	var out []string
	for _, a := range args {
		name, ok := strings.CutPrefix(a, "$")
		if !ok || !regexp.MustCompile(`^[a-z]+$`).MatchString(name) {
			out = append(out, a)
			continue
		}
		list, ok := f.arrays[name]
		if !ok {
			f.at(line, "nothing sets %s", a)
		}
		out = append(out, list...)
	}
	return out
}

// releases says whether a script changes what runs.
func (s said) releases() bool {
	return slices.ContainsFunc(s.functions, func(w string) bool { return slices.Contains(releasing, w) })
}

func sprint(problems []problem) string {
	var b strings.Builder
	for _, p := range problems {
		fmt.Fprintln(&b, p)
	}
	return b.String()
}
