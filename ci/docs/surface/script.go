package surface

import (
	"fmt"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// Command is a simple command of a shell script. What the shell would put in at
// run time stands there as it is written; ${NAME:+words} stands there as words.
type Command struct {
	Env  []string // names of variables set for it
	Args []string
	Line uint
}

func (c Command) String() string { return strings.Join(c.Args, " ") }

// Script lists the simple commands of a shell script, those of substitutions,
// conditions and pipes included, in the order in which they are written.
func Script(text string) ([]Command, error) {
	file, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(text), "")
	if err != nil {
		return nil, fmt.Errorf("it is no shell script: %w", err)
	}
	var commands []Command
	syntax.Walk(file, func(n syntax.Node) bool {
		call, ok := n.(*syntax.CallExpr)
		if !ok {
			return true
		}
		c := Command{Line: call.Pos().Line()}
		for _, a := range call.Assigns {
			c.Env = append(c.Env, a.Name.Value)
		}
		for _, w := range call.Args {
			c.Args = append(c.Args, word(w.Parts)...)
		}
		commands = append(commands, c)
		return true
	})
	slices.SortStableFunc(commands, func(a, b Command) int { return int(a.Line) - int(b.Line) })
	return commands, nil
}

// word is what a word of a script expands to: one word, but for the words of an
// unquoted ${NAME:+…}.
func word(parts []syntax.WordPart) []string {
	if len(parts) == 1 {
		if p, ok := parts[0].(*syntax.ParamExp); ok && alternative(p) {
			return split(p.Exp.Word.Parts)
		}
	}
	var b strings.Builder
	for _, part := range parts {
		switch p := part.(type) {
		case *syntax.Lit:
			b.WriteString(strings.ReplaceAll(p.Value, "\\\n", ""))
		case *syntax.SglQuoted:
			b.WriteString(p.Value)
		case *syntax.DblQuoted:
			b.WriteString(strings.Join(word(p.Parts), " "))
		case *syntax.ParamExp:
			b.WriteString("$" + p.Param.Value)
		default:
			b.WriteString("$(…)")
		}
	}
	return []string{b.String()}
}

// split is what words come to that are no word by themselves: they end at spaces that are not quoted.
func split(parts []syntax.WordPart) []string {
	var out []string
	open := false // the last one goes on
	for _, part := range parts {
		text := strings.Join(word([]syntax.WordPart{part}), " ")
		pieces := []string{text}
		if _, ok := part.(*syntax.Lit); ok {
			pieces = strings.Fields(text)
			open = open && !strings.HasPrefix(text, " ")
		}
		for i, piece := range pieces {
			if open && i == 0 {
				out[len(out)-1] += piece
			} else {
				out = append(out, piece)
			}
		}
		_, ok := part.(*syntax.Lit)
		open = len(out) > 0 && !(ok && strings.HasSuffix(text, " "))
	}
	return out
}

func alternative(p *syntax.ParamExp) bool {
	return p.Exp != nil && p.Exp.Word != nil && (p.Exp.Op == syntax.AlternateUnset || p.Exp.Op == syntax.AlternateUnsetOrNull)
}
