package main

import (
	"bytes"
	"cmp"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/magecloudkit/pipeline/ci/config"
	"github.com/magecloudkit/pipeline/ci/verbs"
)

const root = "../.."

// What is generated is what the table says.
func TestCurrent(t *testing.T) {
	files, err := generate(root)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(root, name))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what ci/verbs says (%v): run `go generate`", name, err)
		}
	}
}

// beyond are the settings that a verb's Dagger function cannot have, with the reason.
var beyond = map[string]string{
	"--dry-run": "it is what cleanup does unless it is told otherwise",
	"--report":  "every release writes its page, and the function report hands it out",
	"--all":     "it is what rehearse does if nothing else is said",

	"--out":           "a directory or an image is exported: export --path",
	"--keep-tests":    "the constructor says it the other way round: --strip-tests=false",
	"--quiet":         "the engine shows what the commands print: dagger call --quiet, --silent",
	"--cache-dir":     "the engine keeps what earlier builds made",
	"--no-cache":      "the engine keeps what earlier builds made",
	"--cpus":          "a build may use all of the engine's",
	"MCK_ENVIRONMENT": "a container does not see the caller's magecloudkit.yaml",

	"--follow":    "a function returns when it is done",
	"--in-engine": "it always is",

	"MCK_IMAGES":       "push builds the images itself",
	"--image-platform": "inspect has the platform that it builds the images for",

	"CIRCLECI":                 "no container has the program circleci",
	"MCK_CIRCLECI_ENVIRONMENT": "no container has the program circleci",
	"MCK_CIRCLECI_COMPONENT":   "no container has the program circleci",
}

// objects are the verbs whose functions return an object, with functions of its own.
var objects = map[string]string{
	"composer":   "a directory",
	"precompile": "a directory",
	"build":      "summary prints what it is, and takes as-json",
}

// Every setting of a verb can be reached from dagger, and what is a variable from make; a secret is one on each.
func TestReach(t *testing.T) {
	files, err := generate(root)
	if err != nil {
		t.Fatal(err)
	}
	source, rules := string(files["verbs.gen.go"]), string(files["ci/verbs.mk"])
	m, err := readModule(filepath.Join(root, "main.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range verbs.All() {
		if v.Dagger == nil {
			continue
		}
		typeOf := func(parameter string) string { return m.functions[export(v.Name)][parameter] }
		if !v.Dagger.ByHand {
			typeOf = generated(source, v)
		}
		rule := part(rules, "\ndagger-"+v.Name+" = ", "\n\n")
		for _, s := range config.Settings(v.Settings) {
			if s.Struct == "AWS" {
				continue
			}
			if constructor, ok := strings.CutPrefix(s.Dagger, "^"); ok {
				if m.functions["New"][constructor] == "" {
					t.Errorf("%s: the constructor has no %s", v.Name, constructor)
				}
				continue
			}
			key := cmp.Or(s.Name, "--"+s.Flag)
			if s.Dagger == "" || slices.Contains(strings.Fields(v.Dagger.Except), s.Dagger) {
				if beyond[key] == "" {
					t.Errorf("%s: %s %s cannot be reached from dagger, and no reason is given", v.Name, s.Name, s.Flag)
				}
				continue
			}
			typ := typeOf(s.Dagger)
			if typ == "" && v.Dagger.ByHand && objects[v.Name] != "" && s.Dagger == "asJson" {
				continue
			}
			if typ == "" {
				t.Errorf("%s: dagger's function has no %s", v.Name, s.Dagger)
			} else if s.Secret != (typ == "*dagger.Secret") {
				t.Errorf("%s: %s is a %s", v.Name, s.Dagger, typ)
			}
			if !v.Make || s.Name == "" {
				continue
			}
			how := regexp.MustCompile(`call (\w+),--` + kebab(s.Dagger) + `,[A-Z_ ]*\b` + s.Name + `\b`).FindStringSubmatch(rule)
			if how == nil {
				t.Errorf("make %s hands on no %s", v.Name, s.Name)
			} else if s.Secret != (how[1] == "secret") {
				t.Errorf("make %s hands on %s as a %s", v.Name, s.Name, how[1])
			}
		}
	}
}

// generated finds the types of a generated function's parameters, its group's included.
func generated(source string, v verbs.Verb) func(parameter string) string {
	group, name := v.Group()
	function := part(source, ") "+export(name)+"(\n", "\n}\n")
	if group != "" {
		function += part(source, ") "+export(group)+"(\n", "\n}\n")
	}
	return func(parameter string) string {
		typ := regexp.MustCompile(`\n\t` + parameter + ` (\S+),\n`).FindStringSubmatch(function)
		if typ == nil {
			return ""
		}
		return typ[1]
	}
}

// Secrets of AWS are secrets of the constructor.
func TestConstructorsSecrets(t *testing.T) {
	m, err := readModule(filepath.Join(root, "main.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range config.Settings(&config.AWS{}) {
		name, ok := strings.CutPrefix(s.Dagger, "^")
		if s.Secret && (!ok || m.functions["New"][name] != "*dagger.Secret") {
			t.Errorf("%s is a secret, and %s is a %s", s.Name, name, m.functions["New"][name])
		}
		if ok && m.functions["New"][name] == "" {
			t.Errorf("%s: the constructor has no %s", s.Name, name)
		}
	}
}

// part is what stands between two marks; empty if there is no such part.
func part(text, begin, end string) string {
	_, rest, _ := strings.Cut(text, begin)
	found, _, _ := strings.Cut(rest, end)
	return found
}
