package host_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/magecloudkit/pipeline/ci/host"
)

const patchedFile = "vendor/magento/module-catalog/registration.php"

// patchOf is a patch, as git writes it from the store's root, that puts a line before the last one of a file of the sample store.
func patchOf(t *testing.T, source, add string, after ...string) string {
	t.Helper()
	lines := strings.SplitAfter(read(t, filepath.Join(source, strings.Replace(patchedFile, "vendor/magento", "packages", 1))), "\n")
	lines = lines[:len(lines)-1]
	last := lines[len(lines)-1]
	context := append([]string{lines[len(lines)-2]}, after...)
	var b strings.Builder
	b.WriteString("--- a/" + patchedFile + "\n+++ b/" + patchedFile + "\n")
	n := len(context) + 1
	start := len(lines) - 1
	b.WriteString("@@ -" + strconv.Itoa(start) + "," + strconv.Itoa(n) + " +" + strconv.Itoa(start) + "," + strconv.Itoa(n+1) + " @@\n")
	for _, l := range context {
		b.WriteString(" " + strings.TrimSuffix(l, "\n") + "\n")
	}
	b.WriteString("+" + add + "\n " + last)
	return b.String()
}

// declare writes an extra section and scripts into a store's composer.json.
func declare(t *testing.T, source, extra, scripts string) {
	t.Helper()
	edit(t, filepath.Join(source, "composer.json"), `"extra": {`, `"scripts": {`+scripts+`}, "extra": {`+extra)
}

// Whatever a store has of patches is in the code that is packed, or the build stops and names the file.
func TestPatches(t *testing.T) {
	needTools(t)
	t.Parallel()
	const apply = `"post-install-cmd": "cat patches/*.patch | git apply"`
	inPackage := func(p string) string { return strings.ReplaceAll(p, "vendor/magento/module-catalog/", "") }
	for _, c := range []struct {
		name   string
		change func(t *testing.T, dir string)
		has    []string // lines of the file afterwards
		fails  []string // or what the error says
	}{
		{"hotfixes, the second on top of the first", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "m2-hotfixes/2-more.patch"), patchOf(t, dir, "// second", "// first\n"))
			write(t, filepath.Join(dir, "m2-hotfixes/10-first.patch"), patchOf(t, dir, "// first"))
		}, []string{"// first", "// second"}, nil},
		{"hotfixes that a script has applied", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "m2-hotfixes/1.patch"), patchOf(t, dir, "// first"))
			write(t, filepath.Join(dir, "m2-hotfixes/2.patch"), patchOf(t, dir, "// second", "// first\n"))
			declare(t, dir, "", strings.ReplaceAll(apply, "patches/", "m2-hotfixes/"))
		}, []string{"// first", "// second"}, nil},
		{"a hotfix that does not fit", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "m2-hotfixes/old.patch"), patchOf(t, dir, "// second", "// gone\n"))
		}, nil, []string{"m2-hotfixes/old.patch does not apply", patchedFile, "renew it"}},
		{"declared, and no plugin", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "patches/a.patch"), inPackage(patchOf(t, dir, "// a")))
			declare(t, dir, `"patches": {"magento/module-catalog": {"it": "patches/a.patch"}},`, "")
		}, nil, []string{"not in the installed code: patches/a.patch (of composer.json, for magento/module-catalog)", "`check`"}},
		{"declared in a file, and left out", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "patches/a.patch"), inPackage(patchOf(t, dir, "// a")))
			write(t, filepath.Join(dir, "composer.patches.json"), `{"patches": {"magento/module-catalog": [{"description": "it", "url": "patches/a.patch"}]}}`)
			declare(t, dir, `"patches-file": "composer.patches.json",`, "")
		}, nil, []string{"not in the installed code: patches/a.patch (of composer.patches.json"}},
		{"declared, and applied", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "patches/a.patch"), patchOf(t, dir, "// a"))
			declare(t, dir, `"patches": {"magento/module-catalog": {"it": "patches/a.patch"}},`, apply)
		}, []string{"// a"}, nil},
		{"declared for another version", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "patches/a.patch"), inPackage(patchOf(t, dir, "// a")))
			declare(t, dir, `"patches": {"magento/module-catalog": {"it": {"<1.0": "patches/a.patch"}, "too": {"source": "patches/a.patch", "version": ["<1.0"]}}},`, "")
		}, []string{}, nil},
		{"in patches, and applied by a script", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "patches/a.patch"), patchOf(t, dir, "// a"))
			declare(t, dir, "", apply)
		}, []string{"// a"}, nil},
		{"forgotten in patches", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "patches/a.patch"), patchOf(t, dir, "// a"))
		}, nil, []string{"not in the installed code: patches/a.patch", "unapplied-patches"}},
		{"in patches, and left out on purpose", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "patches/a.patch"), patchOf(t, dir, "// a"))
			declare(t, dir, `"magecloudkit": {"unapplied-patches": ["patches/a.*"]},`, "")
		}, []string{}, nil},
		{"no patch at all", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "m2-hotfixes/a.patch"), "<html>Not Found</html>\n")
		}, nil, []string{"m2-hotfixes/a.patch", "it is no patch"}},
		{"downloaded, and nobody says that it was applied", func(t *testing.T, dir string) {
			declare(t, dir, `"patches": {"magento/module-catalog": {"it": "https://patches.acme.example/a.patch"}},`, "")
		}, nil, []string{"https://patches.acme.example/a.patch"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			source := sample(t)
			c.change(t, source)
			r := newRun(t, source, options{})
			err := r.Install(t.Context())
			if c.fails != nil {
				var failed *host.StepError
				if !errors.As(err, &failed) || failed.Step != "composer" {
					t.Fatalf("the build did not stop at composer: %v", err)
				}
				for _, want := range c.fails {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("the error does not say %q:\n%v", want, err)
					}
				}
				return
			}
			if err != nil {
				t.Fatalf("%v\n%s", err, r.printed())
			}
			tree, err := r.Tree(t.Context())
			must(t, err)
			res, err := r.Runner.Result("composer")
			must(t, err)
			got := r.entries(t, res.Layers[0])["var/www/html/"+patchedFile].content
			want := read(t, filepath.Join(source, "packages/module-catalog/registration.php"))
			for _, line := range c.has {
				if strings.Count(got, line) != 1 {
					t.Errorf("the packed file does not have %q once:\n%s", line, got)
				}
			}
			if onDisk := read(t, filepath.Join(tree, patchedFile)); onDisk != got || len(c.has) == 0 && got != want {
				t.Errorf("the file is\n%s\npacked\n%s", onDisk, got)
			}
			if _, err := os.Stat(filepath.Join(tree, patchedFile+".patched")); err == nil {
				t.Error("a temporary file is left")
			}
		})
	}
}
