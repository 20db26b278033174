package patch_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/magecloudkit/pipeline/ci/patch"
)

const twenty = "one\ntwo\nthree\nfour\nfive\nsix\nseven\neight\nnine\nten\neleven\ntwelve\nthirteen\nfourteen\nfifteen\nsixteen\nseventeen\neighteen\nnineteen\ntwenty\n"

// dir is a directory with files.
func dir(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		file := filepath.Join(root, name)
		noError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		noError(t, os.WriteFile(file, []byte(content), 0o644))
	}
	return root
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// diff is the patch that git makes of what a directory was and is.
func diff(t *testing.T, before, after map[string]string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("there is no git on the PATH")
	}
	was, is := dir(t, before), dir(t, after)
	var out []byte
	var tree string
	for _, c := range []struct {
		tree string
		args []string
	}{
		{was, []string{"init", "--quiet"}},
		{was, []string{"add", "--all"}},
		{was, []string{"write-tree"}},
		{is, []string{"add", "--all"}},
		{is, append([]string{"diff", "--cached", "--no-color"}, args...)},
	} {
		if c.args[0] == "diff" {
			c.args = append(c.args, tree)
		}
		cmd := exec.Command("git", append([]string{"-c", "core.autocrlf=false", "--git-dir", filepath.Join(was, ".git"), "--work-tree", c.tree}, c.args...)...)
		cmd.Dir = c.tree
		var err error
		if out, err = cmd.Output(); err != nil {
			t.Fatalf("%v: %v", cmd.Args, err)
		}
		if c.args[0] == "write-tree" {
			tree = strings.TrimSpace(string(out))
		}
	}
	return string(out)
}

func parse(t *testing.T, src string) []patch.File {
	t.Helper()
	files, err := patch.Parse([]byte(src))
	if err != nil {
		t.Fatalf("%v\n%s", err, src)
	}
	return files
}

func edited(content string, pairs ...string) string {
	return strings.NewReplacer(pairs...).Replace(content)
}

var root = []patch.Place{{Dir: ".", Strip: 1}}

// What git says was changed is applied as git would, found in what has it, and not in what has not.
func TestAppliesAndKnowsIt(t *testing.T) {
	for _, c := range []struct {
		name          string
		before, after map[string]string
		args          []string
	}{
		{"a line", map[string]string{"x/A.php": twenty}, map[string]string{"x/A.php": edited(twenty, "nine\n", "NINE\n")}, nil},
		{"far apart", map[string]string{"A": twenty}, map[string]string{"A": edited(twenty, "two\n", "", "nineteen\n", "nineteen\nmore\nlines\n")}, nil},
		{"added lines", map[string]string{"A": twenty}, map[string]string{"A": edited(twenty, "six\n", "six\n6\n")}, nil},
		{"deleted lines", map[string]string{"A": twenty}, map[string]string{"A": edited(twenty, "six\n", "")}, nil},
		{"without context", map[string]string{"A": twenty}, map[string]string{"A": edited(twenty, "six\n", "6\n6\n", "twelve\n", "")}, []string{"-U0"}},
		{"the first line", map[string]string{"A": twenty}, map[string]string{"A": "zero\n" + twenty}, nil},
		{"no newline at the end", map[string]string{"A": "one\ntwo"}, map[string]string{"A": "one\nTWO"}, nil},
		{"a newline at the end", map[string]string{"A": "one\ntwo"}, map[string]string{"A": "one\ntwo\n"}, nil},
		{"no newline in the context", map[string]string{"A": "one\ntwo\nthree"}, map[string]string{"A": "one\n2\nthree"}, nil},
		{"its newline gone", map[string]string{"A": "one\ntwo\n"}, map[string]string{"A": "one\ntwo"}, nil},
		{"a new file", map[string]string{"A": twenty}, map[string]string{"A": twenty, "new/B": "b\n"}, nil},
		{"a new empty file", map[string]string{"A": twenty}, map[string]string{"A": twenty, "B": ""}, nil},
		{"a file less", map[string]string{"A": twenty, "B": "b\n"}, map[string]string{"A": twenty}, nil},
		{"a name of spaces and more than ASCII", map[string]string{"ä b": twenty}, map[string]string{"ä b": edited(twenty, "ten\n", "10\n")}, nil},
		{"renamed", map[string]string{"A": twenty}, map[string]string{"B": edited(twenty, "ten\n", "10\n")}, []string{"-M"}},
		{"moved", map[string]string{"A": twenty}, map[string]string{"B": twenty}, []string{"-M"}},
		{"lines like a patch's", map[string]string{"A": "--- x\n+++ y\n@@ -1 +1 @@\n"}, map[string]string{"A": "--- x\n+++ z\n@@ -1 +1 @@\n-- \n"}, nil},
		{"windows", map[string]string{"A": edited(twenty, "\n", "\r\n")}, map[string]string{"A": edited(edited(twenty, "ten\n", "10\n"), "\n", "\r\n")}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			src := diff(t, c.before, c.after, c.args...)
			files := parse(t, "From: somebody\nSubject: a mail around it\n---\n 1 file changed\n\n"+src+"-- \n2.40\n")
			tree := patch.NewTree(os.DirFS(dir(t, c.before)))
			if tree.Undo(files, root) {
				t.Errorf("it is said to be applied, and is not:\n%s", src)
			}
			if err := tree.Apply(files, root[0], 0); err != nil {
				t.Fatalf("%v\n%s", err, src)
			}
			on := dir(t, c.before)
			for name, content := range tree.Changed() {
				file := filepath.Join(on, name)
				if content == nil {
					noError(t, os.Remove(file))
					continue
				}
				noError(t, os.MkdirAll(filepath.Dir(file), 0o755))
				noError(t, os.WriteFile(file, []byte(*content), 0o644))
			}
			same(t, on, c.after)
			for what, tree := range map[string]*patch.Tree{"in memory": tree, "on the disk": patch.NewTree(os.DirFS(on)), "by git": patch.NewTree(os.DirFS(dir(t, c.after)))} {
				if err := tree.Apply(files, root[0], 0); err == nil && c.name != "without context" && c.name != "a new empty file" {
					t.Errorf("%s it is applied twice", what)
				}
				if !tree.Undo(files, root) {
					t.Errorf("%s it is applied, and is said not to be:\n%s", what, src)
				}
			}
		})
	}
}

func same(t *testing.T, root string, want map[string]string) {
	t.Helper()
	seen := 0
	noError(t, filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		seen++
		rel, _ := filepath.Rel(root, p)
		raw, err := os.ReadFile(p)
		if content, ok := want[rel]; !ok || content != string(raw) {
			t.Errorf("%s is %q, want %q", rel, raw, content)
		}
		return err
	}))
	if seen != len(want) {
		t.Errorf("there are %d files, want %d", seen, len(want))
	}
}

// Code that has moved or whose surroundings differ is still found, as patch finds it.
func TestOffsetAndFuzz(t *testing.T) {
	files := parse(t, diff(t, map[string]string{"A": twenty}, map[string]string{"A": edited(twenty, "nine\n", "NINE\n")}))
	moved := edited(twenty, "one\n", "0\n0\n0\none\n")
	for name, c := range map[string]struct {
		content string
		applied bool
	}{
		"moved":                       {edited(moved, "nine\n", "NINE\n"), true},
		"other context":               {edited(twenty, "nine\n", "NINE\n", "six\n", "6\n", "twelve\n", "12\n"), true},
		"other context, not applied":  {edited(twenty, "six\n", "6\n", "twelve\n", "12\n"), false},
		"something else in its place": {edited(twenty, "nine\n", "9\n"), false},
		"moved, not applied":          {moved, false},
		"empty":                       {"", false},
	} {
		if got := patch.NewTree(os.DirFS(dir(t, map[string]string{"A": c.content}))).Undo(files, root); got != c.applied {
			t.Errorf("%s: applied is %t, want %t", name, got, c.applied)
		}
	}
	// patch itself agrees that a deletion is there when its context is next to each other.
	gone := parse(t, diff(t, map[string]string{"A": "a\nb\n}\nx\n\nc\nd\n"}, map[string]string{"A": "a\nb\n}\n\nc\nd\n"}))
	if patch.NewTree(os.DirFS(dir(t, map[string]string{"A": "a\nb\n}\nx\n\nc\nd\n\nmore\n}\n\nmore\n"}))).Undo(gone, root) {
		t.Error("a deletion is said to be applied where a brace and an empty line follow each other elsewhere")
	}
}

// A patch that says of its context that the file ends without a newline fits one that ends with it, and leaves it.
func TestNewlineAtTheEndIsContext(t *testing.T) {
	files := parse(t, diff(t, map[string]string{"A": "one\ntwo\nthree"}, map[string]string{"A": "one\ntwo\n2\nthree"}))
	tree := patch.NewTree(os.DirFS(dir(t, map[string]string{"A": "one\ntwo\nthree\n"})))
	if tree.Undo(files, root) {
		t.Error("it is said to be applied, and is not")
	}
	noError(t, tree.Apply(files, root[0], 0))
	if got := tree.Changed()["A"]; got == nil || *got != "one\ntwo\n2\nthree\n" {
		t.Errorf("A is %q", *got)
	}
	if !tree.Undo(files, root) {
		t.Error("it is applied, and is said not to be")
	}
}

// Names are looked for at each place, with each number of parts stripped, and never outside of it.
func TestPlaces(t *testing.T) {
	change := diff(t, map[string]string{"Model/A.php": twenty}, map[string]string{"Model/A.php": edited(twenty, "nine\n", "NINE\n")})
	tree := map[string]string{"vendor/acme/base/Model/A.php": edited(twenty, "nine\n", "NINE\n"), "etc/passwd": edited(twenty, "nine\n", "NINE\n")}
	for name, c := range map[string]struct {
		src     string
		places  []patch.Place
		applied bool
	}{
		"in the package":       {change, []patch.Place{{Dir: "."}, {Dir: "vendor/acme/base", Strip: 1}}, true},
		"not in the root":      {change, []patch.Place{{Dir: "."}, {Dir: ".", Strip: 1}}, false},
		"from the root":        {strings.NewReplacer("a/Model", "a/vendor/acme/base/Model", "b/Model", "b/vendor/acme/base/Model").Replace(change), []patch.Place{{Dir: ".", Strip: 1}}, true},
		"a copy's name":        {edited(change, "a/Model/A.php", "Model/A.php.orig", "b/Model/A.php", "Model/A.php"), []patch.Place{{Dir: "vendor/acme/base"}}, true},
		"outside of the place": {edited(change, "a/Model/A.php", "../../../etc/passwd", "b/Model/A.php", "../../../etc/passwd"), []patch.Place{{Dir: "vendor/acme/base"}}, false},
	} {
		if got := patch.NewTree(os.DirFS(dir(t, tree))).Undo(parse(t, c.src), c.places); got != c.applied {
			t.Errorf("%s: applied is %t, want %t", name, got, c.applied)
		}
	}
}

func TestNoPatch(t *testing.T) {
	for name, src := range map[string]string{
		"empty": "", "HTML": "<html>\nNot Found\n</html>\n",
		"cut off": "--- a/A\n+++ b/A\n@@ -1,3 +1,3 @@\n one\n-two\n",
		"spoilt":  "--- a/A\n+++ b/A\n@@ -1,3 +1,3 @@\n one\n-two\n?three\n",
	} {
		if _, err := patch.Parse([]byte(src)); err == nil {
			t.Errorf("%s is taken for a patch", name)
		}
	}
}
