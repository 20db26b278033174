// Package docs holds the README, docs/ and the Makefile to what the code does:
// commands that can be typed, settings that are read, exit codes, errors that are
// really printed.
package docs

import (
	"cmp"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/magecloudkit/pipeline/ci/docs/surface"
	"github.com/magecloudkit/pipeline/ci/release"
)

const repository = "../.."

func read(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(repository, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// pages are the README, CONTRIBUTING and docs/.
func pages(t *testing.T) []string {
	t.Helper()
	found, err := fs.Glob(os.DirFS(repository), "docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	return append([]string{"README.md", "CONTRIBUTING.md"}, found...)
}

var mck = sync.OnceValues(func() (surface.Verbs, error) {
	dir, err := os.MkdirTemp("", "mck")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	build := exec.Command("go", "build", "-buildvcs=false", "-o", dir+"/mck", "./ci/cmd/mck")
	build.Dir = repository
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, out)
	}
	return surface.ReadMck(dir + "/mck")
})

func whole(t *testing.T) surface.Surface {
	t.Helper()
	module, err := surface.ReadModule(os.DirFS(repository))
	if err != nil {
		t.Fatal(err)
	}
	verbs, err := mck()
	if err != nil {
		t.Fatal(err)
	}
	return surface.Surface{Module: module, Mck: verbs, Make: targets(t)}
}

var rule = regexp.MustCompile(`(?m)^([a-z][a-z0-9-]*):`)

func targets(t *testing.T) []string {
	var names []string
	for _, m := range rule.FindAllStringSubmatch(read(t, "Makefile"), -1) {
		names = append(names, m[1])
	}
	return names
}

var block = regexp.MustCompile("(?ms)^```sh\n(.*?)^```$")

// Every command of a code block can be typed.
func TestCommands(t *testing.T) {
	s := whole(t)
	commands := 0
	for _, page := range pages(t) {
		for _, m := range block.FindAllStringSubmatch(read(t, page), -1) {
			script, err := surface.Script(m[1])
			if err != nil {
				t.Errorf("%s: %v:\n%s", page, err, m[1])
			}
			for _, c := range script {
				commands++
				if err := s.Check(c); err != nil {
					t.Errorf("%s: %v", page, err)
				}
			}
		}
	}
	if commands < 20 {
		t.Errorf("only %d commands were found", commands)
	}
}

// Commands that stand in a line or a table can be typed too.
func TestInlineCommands(t *testing.T) {
	s := whole(t)
	inline := regexp.MustCompile("`((?:ENGINE=host )?(?:mck|make|dagger) [^`\n]+)`")
	for _, page := range pages(t) {
		text := block.ReplaceAllString(read(t, page), "")
		for _, m := range inline.FindAllStringSubmatch(text, -1) {
			script, err := surface.Script(strings.NewReplacer(" …", "", "…", "x").Replace(m[1]))
			if err != nil {
				t.Errorf("%s: `%s`: %v", page, m[1], err)
				continue
			}
			for _, c := range script {
				if err := s.Check(c); err != nil && !strings.HasSuffix(err.Error(), " is missing") {
					t.Errorf("%s: %v", page, err)
				}
			}
		}
	}
}

// Every verb stands in the README's table.
func TestVerbs(t *testing.T) {
	s := whole(t)
	readme := read(t, "README.md")
	for verb := range s.Mck {
		if !strings.Contains(readme, "`mck "+verb) {
			t.Errorf("README.md says nothing of mck %s", verb)
		}
	}
	for _, f := range s.Module.Functions() {
		if !regexp.MustCompile("`dagger call[^`]* " + f + "\\b").MatchString(readme) {
			t.Errorf("README.md says nothing of dagger call %s", f)
		}
	}
	for _, target := range targets(t) {
		if target == "engine" || target == "packages" {
			continue
		}
		if !regexp.MustCompile("make (-s )?" + target + "\\b").MatchString(readme) {
			t.Errorf("README.md says nothing of make %s", target)
		}
	}
}

// Every flag of the build's verbs and of the Dagger module is explained.
func TestFlags(t *testing.T) {
	s := whole(t)
	pages := read(t, "README.md") + read(t, "docs/settings.md")
	explained := func(flag string) bool { return regexp.MustCompile("`([^`\n]* )?" + flag + "\\b").MatchString(pages) }
	for flag := range s.Module.ConstructorFlags() {
		if !explained(flag) {
			t.Errorf("neither README.md nor docs/settings.md explains dagger call %s", flag)
		}
	}
	for verb, flags := range s.Mck {
		for flag := range flags {
			if len(flag) > 2 && flag != "--help" && !explained(flag) {
				t.Errorf("neither README.md nor docs/settings.md explains mck %s %s", verb, flag)
			}
		}
	}
}

// What make runs can be typed, whatever is set.
func TestMakefile(t *testing.T) {
	s := whole(t)
	var set []string
	for _, m := range regexp.MustCompile(`\$\(call (?:flag|secret),--[a-z-]+,([A-Z_ ]+)\)`).FindAllStringSubmatch(read(t, "Makefile")+read(t, "ci/verbs.mk"), -1) {
		for name := range strings.FieldsSeq(m[1]) {
			set = append(set, name+"=x")
		}
	}
	for _, engine := range []string{"dagger", "host"} {
		for _, target := range targets(t) {
			switch target {
			case "help", "engine", "packages", "test", "lint", "e2e", "demo", "generate":
				continue
			case "lock", "report":
				if engine == "host" { // it says what to do instead
					continue
				}
			}
			cmd := exec.Command("make", append([]string{"-n", target, "ENGINE=" + engine, "DAGGER=dagger"}, set...)...)
			cmd.Dir = repository
			cmd.Env = append(os.Environ(), "MAKEFLAGS=", "MAKELEVEL=") // `make test` may be what runs this
			out, err := cmd.Output()
			if err != nil {
				t.Errorf("make -n %s: %v", target, err)
				continue
			}
			script, err := surface.Script(string(out))
			if err != nil {
				t.Errorf("make -n %s: %v", target, err)
				continue
			}
			ran := false
			for _, c := range script {
				if len(c.Args) > 3 && c.Args[0] == "set" && c.Args[1] == "--" {
					c.Args = c.Args[2:]
					ran = true
				}
				if err := s.Check(c); err != nil {
					t.Errorf("ENGINE=%s make %s: %v", engine, target, err)
				}
			}
			if !ran {
				t.Errorf("ENGINE=%s make %s runs nothing", engine, target)
			}
		}
	}
}

var cell = regexp.MustCompile("(?m)^\\| `([A-Z_]+)` \\| (?:`([^`]*)`)?")

// variables are the rows of a page's tables: name and default.
func variables(page string) map[string]string {
	found := map[string]string{}
	for _, m := range cell.FindAllStringSubmatch(page, -1) {
		found[m[1]] = m[2]
	}
	return found
}

// docs/images.md lists the variables that the images read, with their defaults.
func TestImageVariables(t *testing.T) {
	const php, nginx = "ci/docker/php/rootfs/usr/local/", "ci/docker/nginx/rootfs/usr/local/bin/nginx-entrypoint"
	want := map[string]string{}
	shell := regexp.MustCompile(`\$\{([A-Z][A-Z0-9_]+):?-([^}]*)\}`)
	for _, file := range []string{php + "bin/magento-entrypoint", nginx} {
		for _, m := range shell.FindAllStringSubmatch(read(t, file), -1) {
			if m[1] != "PHP_INI_SCAN_DIR" && !strings.HasSuffix(m[1], "_FILE") {
				want[m[1]] = m[2]
			}
		}
	}
	env := read(t, php+"share/magento/env.php")
	for _, m := range regexp.MustCompile(`\$(?:get|flag|words)\('([A-Z_]+)'(?:, (?:'([^']*)'|(true|false)))?`).FindAllStringSubmatch(env, -1) {
		if d, ok := want[m[1]]; !ok || d == "" {
			want[m[1]] = m[2] + m[3]
		}
	}
	programs := read(t, php+"bin/sendmail") + read(t, php+"bin/magento-install")
	for _, m := range regexp.MustCompile(`(?m)(?:\$get\(|^    |, )'([A-Z]+_[A-Z0-9_]+)'(?:, '([^']*)'| =>|\))`).FindAllStringSubmatch(programs, -1) {
		want[m[1]] = cmp.Or(want[m[1]], m[2])
	}
	got := variables(read(t, "docs/images.md"))
	for _, name := range slices.Sorted(maps.Keys(want)) {
		d, ok := got[name]
		switch {
		case !ok:
			t.Errorf("docs/images.md lacks %s (default %q)", name, want[name])
		case want[name] != "" && d != want[name]:
			t.Errorf("docs/images.md: the default of %s is %q, not %q", name, want[name], d)
		}
	}
	for name := range got {
		if !strings.Contains(env+programs+read(t, php+"bin/magento-entrypoint")+read(t, nginx), strings.TrimSuffix(name, "_FILE")) &&
			!regexp.MustCompile(`REDIS_(PAGE_)?CACHE_|AWS_REGION`).MatchString(name) {
			t.Errorf("docs/images.md names %s, which no image reads", name)
		}
	}
}

// The exit codes of a release are those of its verdicts.
func TestExitCodes(t *testing.T) {
	page := read(t, "docs/release.md")
	for _, v := range []release.Verdict{
		release.Released, release.Refused, release.MigrationFailed, release.RolledBack, release.NotRolledBack, release.TimedOut, release.Superseded,
	} {
		row := fmt.Sprintf("| %d | %s |", v.ExitCode(), v)
		if !strings.Contains(page, row) {
			t.Errorf("docs/release.md has no row %q", row)
		}
	}
}

var (
	link    = regexp.MustCompile(`\]\(([^)#\s]*)(#[^)\s]*)?\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	noWord  = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// Links lead somewhere.
func TestLinks(t *testing.T) {
	for _, page := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(read(t, page), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			to := page
			if m[1] != "" {
				to = filepath.Join(filepath.Dir(page), m[1])
			}
			if _, err := os.Stat(filepath.Join(repository, to)); err != nil {
				t.Errorf("%s: the link to %s leads nowhere", page, m[1])
				continue
			}
			if m[2] == "" || !strings.HasSuffix(to, ".md") {
				continue
			}
			var anchors []string
			for _, h := range heading.FindAllStringSubmatch(block.ReplaceAllString(read(t, to), ""), -1) {
				anchors = append(anchors, "#"+strings.ReplaceAll(noWord.ReplaceAllString(strings.ToLower(h[1]), ""), " ", "-"))
			}
			if !slices.Contains(anchors, m[2]) {
				t.Errorf("%s: %s has no heading for %s", page, to, m[2])
			}
		}
	}
}

// Errors of the README's troubleshooting stand in the code, word for word. "…"
// stands for what differs.
func TestTroubleshooting(t *testing.T) {
	_, section, ok := strings.Cut(read(t, "README.md"), "\n## Troubleshooting\n")
	if !ok {
		t.Fatal("README.md has no section Troubleshooting")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	sources := map[string]string{}
	err := filepath.WalkDir(repository, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if slices.Contains([]string{".git", "out", "node_modules", "internal", "docs", "testdata"}, d.Name()) {
				return filepath.SkipDir
			}
			return nil
		}
		if strings.HasSuffix(path, "_test.go") || !slices.Contains([]string{".go", ".php", ""}, filepath.Ext(path)) {
			return nil
		}
		info, err := d.Info()
		if err != nil || info.Size() > 1<<20 {
			return err
		}
		raw, err := os.ReadFile(path)
		sources[path] = strings.NewReplacer("\" +\n\t\t\t\"", "", "\" +\n\t\t\"", "", "\\\"", "\"").Replace(string(raw))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	errors := regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(section, -1)
	if len(errors) < 8 {
		t.Errorf("only %d errors were found", len(errors))
	}
	for _, m := range errors {
		parts := strings.Split(m[1], "…")
		if !slices.ContainsFunc(slices.Collect(maps.Values(sources)), func(src string) bool {
			return !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(src, strings.TrimSpace(p)) })
		}) {
			t.Errorf("README.md explains an error that nothing prints: %s", m[1])
		}
	}
}
