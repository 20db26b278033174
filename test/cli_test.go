package test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// documented is a function of the module with the words of its source.
type documented struct {
	path []string          // the words of the command line that lead to it
	text string            // the first sentence of its comment
	args map[string]string // its arguments' comments, by their flags
}

// functions reads the module's functions from its source.
func functions(t *testing.T) []documented {
	t.Helper()
	fset := token.NewFileSet()
	var exported []*ast.FuncDecl
	comments := map[*ast.FuncDecl]ast.CommentMap{}
	sources, err := filepath.Glob(filepath.Join(root, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range sources {
		if filepath.Base(name) == "dagger.gen.go" {
			continue
		}
		file, err := parser.ParseFile(fset, name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Name.IsExported() {
				exported = append(exported, fn)
				comments[fn] = ast.NewCommentMap(fset, fn, file.Comments)
			}
		}
	}
	// A type's functions follow the function that returns it.
	leads := map[string][]string{"Magecloudkit": {}}
	for _, fn := range exported {
		if receiver(fn) == "Magecloudkit" && fn.Type.Results != nil {
			if star, ok := fn.Type.Results.List[0].Type.(*ast.StarExpr); ok {
				if own, ok := star.X.(*ast.Ident); ok {
					leads[own.Name] = []string{flag(fn.Name.Name)}
				}
			}
		}
	}
	var found []documented
	for _, fn := range exported {
		f := documented{args: map[string]string{}}
		if lead, ok := leads[receiver(fn)]; ok {
			f.path = append(slices.Clone(lead), flag(fn.Name.Name))
		} else if fn.Name.Name != "New" {
			continue
		}
		f.text = firstSentence(fn.Doc.Text())
		for _, field := range fn.Type.Params.List {
			for _, name := range field.Names {
				if name.Name == "ctx" {
					continue
				}
				var text strings.Builder
				for _, c := range comments[fn][field] {
					text.WriteString(c.Text())
				}
				f.args["--"+flag(name.Name)] = firstSentence(text.String())
			}
		}
		found = append(found, f)
	}
	if len(found) < 10 {
		t.Fatalf("only %d functions found in the module's source", len(found))
	}
	return found
}

func receiver(fn *ast.FuncDecl) string {
	if fn.Recv == nil {
		return ""
	}
	if star, ok := fn.Recv.List[0].Type.(*ast.StarExpr); ok {
		return star.X.(*ast.Ident).Name
	}
	return fn.Recv.List[0].Type.(*ast.Ident).Name
}

var (
	humps     = regexp.MustCompile(`([a-z0-9])([A-Z])`)
	directive = regexp.MustCompile(`(?m)^\+\w+.*$`)
	sentence  = regexp.MustCompile(`(?s)^.*?[.:](\s|$)`)
)

// flag spells a Go name as the command line does: buildNum is build-num.
func flag(name string) string { return strings.ToLower(humps.ReplaceAllString(name, "$1-$2")) }

func firstSentence(comment string) string {
	text := squeeze(directive.ReplaceAllString(comment, ""))
	if s := sentence.FindString(text); s != "" {
		text = s
	}
	return strings.TrimRight(strings.TrimSpace(text), ".:")
}

func squeeze(s string) string { return strings.Join(strings.Fields(s), " ") }

func TestHelpNamesEveryFunctionAndArgument(t *testing.T) {
	for _, f := range functions(t) {
		t.Run(strings.Join(append([]string{"call"}, f.path...), " "), func(t *testing.T) {
			t.Parallel()
			help := squeeze(call(t, append(f.path, "--help")...).must(t).stdout)
			switch {
			case len(f.path) == 0: // the constructor: its own comment is the module's
			case f.text == "":
				t.Error("it has no comment")
			case !strings.Contains(help, f.text):
				t.Errorf("its help does not say %q:\n%s", f.text, help)
			}
			for arg, text := range f.args {
				if text == "" {
					t.Errorf("%s has no comment", arg)
				}
				if !strings.Contains(help, arg+" ") || !strings.Contains(help, text) {
					t.Errorf("its help lacks %s, or does not say %q:\n%s", arg, text, help)
				}
			}
		})
	}
}

func TestGeneratedCodeIsCommitted(t *testing.T) {
	callWith(t, nil, "--progress=plain", "develop").must(t)
	// The engine adds its own replacements to go.mod whenever it reads it, and with them nobody could `go install` mck.
	git := func(args ...string) string {
		cmd := exec.Command("git", args...)
		cmd.Dir = checkout
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
		return string(out)
	}
	for line := range strings.Lines(git("diff", "-U0", "go.mod")) {
		change := strings.HasPrefix(line, "+") && !strings.HasPrefix(line, "+++") || strings.HasPrefix(line, "-") && !strings.HasPrefix(line, "---")
		if change && strings.TrimSpace(line) != "+" && !strings.HasPrefix(line, "+replace go.opentelemetry.io/") {
			t.Errorf("`dagger develop` changes go.mod: %s", line)
		}
	}
	git("checkout", "--quiet", "go.mod", "go.sum")
	status := exec.Command("git", "status", "--porcelain")
	status.Dir = checkout
	out, err := status.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if len(out) > 0 {
		diff := exec.Command("git", "diff", "--stat", "-p")
		diff.Dir = checkout
		text, _ := diff.CombinedOutput()
		t.Fatalf("`dagger develop` changes the tree:\n%s%.4000s", out, text)
	}
}
