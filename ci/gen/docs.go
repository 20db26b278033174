package main

import (
	"bytes"
	"cmp"
	"fmt"
	"strings"

	"github.com/magecloudkit/pipeline/ci/config"
	"github.com/magecloudkit/pipeline/ci/verbs"
)

// shown are the tables of docs/settings.md by their names, and the verbs whose settings they show.
var shown = []struct {
	name  string
	verbs []string // nil: those of AWS itself
}{
	{"build", []string{"check", "composer", "precompile", "build", "smoke", "pin", "demo"}},
	{"aws", nil},
	{"registry", []string{"get-ecr", "push", "inspect", "audit", "cleanup"}},
	{"release", []string{"deploy", "install", "rollback", "history", "logs", "continue", "wait", "scale", "exec", "run", "env set", "rehearse", "simulate", "init", "config", "doctor"}},
}

// tables puts the tables of settings into a page, between their marks.
func tables(page []byte) ([]byte, error) {
	text := string(page)
	for _, t := range shown {
		var settings []config.Setting
		if t.verbs == nil {
			settings = config.Settings(&config.AWS{})
		}
		for _, name := range t.verbs {
			v := verbs.Find(name)
			for _, s := range config.Settings(v.Settings) {
				if v.Dagger == nil {
					s.Dagger = ""
				}
				if s.Struct != "AWS" {
					settings = append(settings, s)
				}
			}
		}
		var err error
		if text, err = between(text, "docs/settings.md", "settings: "+t.name, table(settings)); err != nil {
			return nil, err
		}
	}
	return []byte(text), nil
}

// between is a page with a table put between the mark of that name and the next end.
func between(page, file, mark, table string) (string, error) {
	begin, end := "<!-- "+mark+" -->\n", "<!-- end -->"
	before, rest, ok := strings.Cut(page, begin)
	_, after, ended := strings.Cut(rest, end)
	if !ok || !ended {
		return "", fmt.Errorf("%s has no %s", file, begin)
	}
	return before + begin + "\n" + table + "\n" + end + after, nil
}

// table is a Markdown table of settings; one that several verbs have stands there once.
func table(settings []config.Setting) string {
	var b bytes.Buffer
	b.WriteString("| Variable | mck | dagger | Default | Meaning |\n| --- | --- | --- | --- | --- |\n")
	seen := map[string]bool{}
	for _, s := range settings {
		if key := s.Name + " " + s.Flag + " " + s.Dagger; seen[key] {
			continue
		} else {
			seen[key] = true
		}
		var names []string
		for _, n := range s.Names() {
			if n != "" {
				names = append(names, code(n))
			}
		}
		if s.Make != "" {
			names = append(names, code(s.Make)+" (make)")
		}
		flag, dagger, byDefault := "", "", code(s.Default)
		if s.Flag != "" {
			flag = code("--" + s.Flag)
		}
		if s.Dagger != "" {
			dagger = code("--" + kebab(strings.TrimPrefix(s.Dagger, "^")))
		}
		if s.Required {
			byDefault = "required"
		}
		if s.Unless != "" {
			byDefault = "required, or " + code("--"+s.Unless)
		}
		doc := s.Doc
		if s.OneOf != nil {
			doc += ": " + s.Alternatives()
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", strings.Join(names, " or "), flag, dagger, byDefault, strings.ReplaceAll(cmp.Or(doc, "-"), "|", "\\|"))
	}
	return b.String()
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}
