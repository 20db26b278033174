package host_test

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/magecloudkit/pipeline/ci/build"
	"github.com/magecloudkit/pipeline/ci/host"
	"github.com/magecloudkit/pipeline/ci/layer"
)

// What mck makes is what the commands make that a person would type.
func TestTreeIsThatOfTheCommands(t *testing.T) {
	needTools(t)
	t.Parallel()
	source := sample(t)
	r := newRun(t, source, options{shards: build.ShardsLocale})
	r.all(t)
	tree, err := r.Complete(t.Context(), release)
	must(t, err)
	exported := filepath.Join(t.TempDir(), "out", "store")
	must(t, host.Export(tree, exported))

	plain := filepath.Join(t.TempDir(), "plain")
	must(t, host.Export(source, plain))
	env := environ(t, "COMPOSER_ALLOW_SUPERUSER=1", "COMPOSER_ROOT_VERSION=1.0.0+no-version-set")
	for _, line := range []string{
		"composer install --no-dev --prefer-dist --no-interaction --no-progress --optimize-autoloader",
		"php bin/magento setup:di:compile",
		"composer dump-autoload --no-dev --optimize --apcu --apcu-prefix=magento --no-scripts",
		"php bin/magento setup:static-content:deploy --force --no-js-bundle --content-version=1777863721 --area adminhtml --theme Magento/backend en_US",
		"php bin/magento setup:static-content:deploy --force --no-js-bundle --no-parent --content-version=1777863721 --area frontend --theme Acme/shop de_DE en_US fr_FR",
	} {
		args := strings.Fields(line)
		cmd := exec.Command(args[0], append([]string{}, args[1:]...)...)
		if args[0] == "php" {
			cmd.Args = slices.Insert(cmd.Args, 1, "-d", "memory_limit=2G")
		}
		cmd.Dir, cmd.Env = plain, env
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", line, err, out)
		}
	}
	// Composer before 2.6 names the autoloader's class by chance.
	suffix := regexp.MustCompile(`Composer(Autoloader|Static)Init[0-9a-f]{32}`)
	for _, p := range []string{"autoload.php", "composer/autoload_real.php", "composer/autoload_static.php"} {
		for _, root := range []string{plain, exported} {
			file := filepath.Join(root, "vendor", p)
			write(t, file, suffix.ReplaceAllString(read(t, file), "Composer${1}Init"))
		}
	}
	want, got := files(t, plain), files(t, exported)
	for _, p := range []string{"vendor/autoload.php", "generated/metadata/global.php", "pub/static/frontend/Acme/shop/de_DE/css/shop.css", "pub/static/deployed_version.txt", "bin/magento"} {
		if want[p] == "" {
			t.Errorf("the commands left no %s", p)
		}
	}
	notThe := func(p string) bool {
		return strings.HasPrefix(p, "var/") || p == "pub/REVISION.txt" || slices.Contains([]string{"README.md", ".gitignore", "generated/magecloudkit.php"}, p)
	}
	if diff := differences(want, got, notThe); len(diff) > 0 {
		t.Errorf("%d files are not those of the commands (the commands', mck's):\n%s", len(diff), strings.Join(diff, "\n"))
	}
	if got := read(t, filepath.Join(exported, "pub/REVISION.txt")); got != "build 7\nrevision abc\ndate 2026-05-04T03:02:01Z\n" {
		t.Errorf("REVISION.txt says %q", got)
	}
}

// However the work is split, the layers are the same, including the files that
// all of Magento's processes write into.
func TestShardsGiveTheSameLayers(t *testing.T) {
	needTools(t)
	t.Parallel()
	source := sample(t)
	enableCSP(t, source)
	var first map[string]layer.Descriptor
	for _, shards := range []build.Shards{build.ShardsNone, build.ShardsTheme, build.ShardsLocale} {
		r := newRun(t, source, options{shards: shards})
		layers := r.all(t)
		if first == nil {
			first = layers
			hashes := r.entries(t, layers["static-common"])["var/www/html/pub/static/frontend/sri-hashes.json"].content
			for _, locale := range []string{"de_DE", "en_US", "fr_FR"} {
				if !strings.Contains(hashes, locale) {
					t.Errorf("no script of %s has its hash in sri-hashes.json: %s", locale, hashes)
				}
			}
		}
		sameLayers(t, "shards "+string(shards), first, layers)
	}
}

// A layer's digest does not depend on where, by whom or on how many processors
// its content was made. Not parallel: the umask is the process's.
func TestSameBuildElsewhere(t *testing.T) {
	needTools(t)
	source := sample(t)
	want := newRun(t, source, options{}).all(t)

	previous := setMachine(0o077, 1)
	defer previous()
	elsewhere := filepath.Join(t.TempDir(), "a longer", "path")
	must(t, host.Export(source, elsewhere))
	must(t, exec.Command("git", "init", "-q", filepath.Dir(elsewhere)).Run()) // somebody's own repository around it
	got := newRun(t, elsewhere, options{cache: filepath.Join(filepath.Dir(elsewhere), "cache"), shards: build.ShardsTheme}).all(t)
	sameLayers(t, "another directory, umask and number of processors", want, got)
}

// What one change makes new, and what of an earlier build is taken.
func TestChange(t *testing.T) {
	needTools(t)
	t.Parallel()
	source, cache := sample(t), filepath.Join(t.TempDir(), "cache")
	first := newRun(t, source, options{cache: cache}).all(t)

	for _, c := range []struct {
		name, file, old, text string
		layers, reused        []string
		fresh                 bool // compare with a build that has no cache
	}{
		{"nothing", "composer.json", `"type"`, `"type"`, nil, []string{"composer", "app", "compile", "static"}, true},
		{"a PHP class", "app/code/Acme/Delivery/Model/Slot.php", "<?php", "<?php // changed",
			[]string{"app-code"}, []string{"composer", "static"}, true},
		{"a class with a plugin", "app/code/Acme/Greeting/Plugin/Greet.php", "\nclass ", "\n/** changed */\nclass ",
			[]string{"app-code"}, []string{"composer", "static"}, false},
		{"a LESS file", "app/design/frontend/Acme/shop/web/css/_variables.less", ":", ": /* changed */",
			[]string{"app-design", "static-frontend-Acme-shop"}, []string{"composer", "compile"}, true},
		{"a module's LESS file", "app/code/Acme/Delivery/view/frontend/web/css/source/_module.less", "{", "{ color: red;",
			[]string{"app-code", "static-frontend-Acme-shop"}, []string{"composer", "compile"}, false},
		{"a README", "README.md", "#", "##", nil, []string{"composer", "app", "compile", "static"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			changed := filepath.Join(t.TempDir(), "store")
			must(t, host.Export(source, changed))
			edit(t, filepath.Join(changed, c.file), c.old, c.text)
			r := newRun(t, changed, options{cache: cache})
			layers := r.all(t)
			if got := changedLayers(first, layers); !slices.Equal(got, c.layers) {
				t.Errorf("changed layers: %v, want %v", got, c.layers)
			}
			if got := r.reused(t); !slices.Equal(got, c.reused) {
				t.Errorf("taken from the cache: %v, want %v", got, c.reused)
			}
			if c.fresh {
				fresh := newRun(t, changed, options{}).all(t)
				sameLayers(t, "without a cache", layers, fresh)
			}
		})
	}
}

// The store is only read.
func TestSourceIsNotWritten(t *testing.T) {
	needTools(t)
	t.Parallel()
	source := sample(t)
	edit(t, filepath.Join(source, "app/etc/config.php"), "'modules' => [", "'not modules' => [")
	before := states(t, source)
	chmod(t, source, 0o555, 0o444)
	t.Cleanup(func() { chmod(t, source, 0o755, 0o644) })
	newRun(t, source, options{}).all(t)
	chmod(t, source, 0o755, 0o644)
	if diff := differences(before, states(t, source), func(string) bool { return false }); len(diff) > 0 {
		t.Errorf("the build wrote into the store:\n%s", strings.Join(diff, "\n"))
	}
}

// states are all entries of a tree with what a write would change.
func states(t testing.TB, root string) map[string]string {
	t.Helper()
	out := files(t, root)
	must(t, filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		out[rel] += " " + info.ModTime().String()
		return err
	}))
	return out
}

func chmod(t testing.TB, root string, dir, file fs.FileMode) {
	t.Helper()
	var all []string
	must(t, filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if d.Type()&fs.ModeSymlink == 0 {
			all = append(all, p)
		}
		return err
	}))
	for _, p := range all {
		info, err := os.Stat(p)
		must(t, err)
		mode := file
		if info.IsDir() {
			mode = dir
		}
		must(t, os.Chmod(p, mode))
	}
}

func TestModulesThatNobodyListed(t *testing.T) {
	needTools(t)
	t.Parallel()
	source := sample(t)
	edit(t, filepath.Join(source, "app/etc/config.php"), "'modules' => [", "'not modules' => [")
	cache := filepath.Join(t.TempDir(), "cache")
	r := newRun(t, source, options{cache: cache})
	first := r.all(t)
	tree, err := r.Tree(t.Context())
	must(t, err)
	if got := r.commands()["app"]; len(got) != 1 || !strings.HasSuffix(got[0], "module:enable --all") {
		t.Errorf("commands of the step app: %v", got)
	}
	config := read(t, filepath.Join(tree, "app/etc/config.php"))
	for _, m := range []string{"Acme_Delivery", "Magento_Csp", "Sample_Loyalty"} {
		if !strings.Contains(config, "'"+m+"' => 1") {
			t.Errorf("%s is not enabled:\n%s", m, config)
		}
	}
	// Later builds have them from the cache, whether or not a step has to run.
	again := newRun(t, source, options{cache: cache})
	sameLayers(t, "from the cache", first, again.all(t))
	if got := again.reused(t); !slices.Equal(got, []string{"composer", "app", "compile", "static"}) {
		t.Errorf("taken from the cache: %v", got)
	}
	if tree, err = again.Tree(t.Context()); err != nil || read(t, filepath.Join(tree, "app/etc/config.php")) != config {
		t.Errorf("the later build's tree has another config.php (%v)", err)
	}
	edit(t, filepath.Join(source, "app/code/Acme/Delivery/Model/Slot.php"), "<?php", "<?php // changed")
	sameLayers(t, "after a change", newRun(t, source, options{}).all(t), newRun(t, source, options{cache: cache}).all(t))
}

// Without a lock another day brings other packages: nothing that follows from
// them may come from a cache.
func TestNoLockNoReuse(t *testing.T) {
	needTools(t)
	t.Parallel()
	source, cache := sample(t), filepath.Join(t.TempDir(), "cache")
	must(t, os.Remove(filepath.Join(source, "composer.lock")))
	for range 2 {
		r := newRun(t, source, options{cache: cache})
		r.all(t)
		if got := r.reused(t); len(got) > 0 {
			t.Errorf("taken from the cache: %v", got)
		}
		for step := range map[string]int{"composer": 0, "compile": 0, "static": 0} {
			if len(r.commands()[step]) == 0 {
				t.Errorf("step %s ran no command", step)
			}
		}
	}
	for _, dir := range []string{"steps", "blobs", "installed"} {
		if _, err := os.Stat(filepath.Join(cache, dir)); err == nil {
			t.Errorf("the cache has %s", dir)
		}
	}
}

// A cache that lacks something is no error; what is missing is made again.
func TestCacheThatLostSomething(t *testing.T) {
	needTools(t)
	t.Parallel()
	source, cache := sample(t), filepath.Join(t.TempDir(), "cache")
	first := newRun(t, source, options{cache: cache})
	want := first.all(t)
	all := []string{"composer", "app", "compile", "static"}
	only := func(file string) string {
		found, err := filepath.Glob(filepath.Join(cache, file))
		must(t, err)
		if len(found) != 1 {
			t.Fatalf("%s: %v", file, found)
		}
		return found[0]
	}
	for _, c := range []struct {
		name   string
		damage func()
		reused []string
	}{
		{"nothing", func() {}, all},
		{"the blob of vendor", func() { must(t, os.Remove(layer.BlobPath(cache, want["vendor"].Digest))) }, []string{"app", "compile", "static"}},
		{"half of the blob of generated", func() { must(t, os.Truncate(layer.BlobPath(cache, want["generated"].Digest), 10)) }, []string{"composer", "app", "static"}},
		{"the kept tree", func() { must(t, os.RemoveAll(filepath.Join(cache, "installed"))) }, []string{"app", "compile", "static"}},
		{"a byte of the blob of vendor", func() { flip(t, layer.BlobPath(cache, want["vendor"].Digest)) }, []string{"app", "compile", "static"}},
		{"a byte of the blob of generated", func() { flip(t, layer.BlobPath(cache, want["generated"].Digest)) }, []string{"composer", "app", "static"}},
		{"a byte of the list of the kept tree", func() { flip(t, only("installed/*/files")) }, []string{"app", "compile", "static"}},
		{"a digit of each step's result", func() {
			for _, f := range glob(t, filepath.Join(cache, "steps", "*")) {
				flip(t, f)
			}
		}, nil},
		{"all step results", func() { must(t, os.RemoveAll(filepath.Join(cache, "steps"))) }, nil},
		{"a step result that is no JSON", func() {
			for _, f := range glob(t, filepath.Join(cache, "steps", "*")) {
				write(t, f, "{")
			}
		}, nil},
		{"nothing anymore", func() {}, all},
	} {
		c.damage()
		r := newRun(t, source, options{cache: cache})
		got := r.all(t)
		sameLayers(t, c.name, want, got)
		if got := r.reused(t); !slices.Equal(got, c.reused) {
			t.Errorf("after the cache lost %s: taken from it: %v, want %v", c.name, got, c.reused)
		}
		for name, d := range got { // the blobs are whole
			if n := len(r.entries(t, d)); n == 0 && d.Files > 0 {
				t.Errorf("after the cache lost %s: layer %s is empty", c.name, name)
			}
		}
	}
}

// Nobody looks at the kept tree as long as no step needs it. A part of it that a
// step needs is what was kept, or composer runs again.
func TestKeptTree(t *testing.T) {
	needTools(t)
	t.Parallel()
	source, cache := sample(t), filepath.Join(t.TempDir(), "cache")
	const (
		class, template = "app/code/Acme/Delivery/Model/Slot.php", "app/code/Acme/Delivery/view/frontend/templates/slots.phtml"
		file            = "vendor/magento/framework/registration.php"
	)
	write(t, filepath.Join(source, template), "<?php echo 'slots';")
	newRun(t, source, options{cache: cache}).all(t)
	for i, c := range []struct {
		name, changed string
		damage        func(tree string)
		reused        []string
	}{
		{"nothing changed, a byte", "", func(tree string) { flip(t, filepath.Join(tree, file)) }, []string{"composer", "app", "compile", "static"}},
		{"a class, a byte", class, func(tree string) { flip(t, filepath.Join(tree, file)) }, []string{"static"}},
		{"a class, nothing", class, func(string) {}, []string{"composer", "static"}},
		{"a class, the mode of a file", class, func(tree string) { must(t, os.Chmod(filepath.Join(tree, file), 0o755)) }, []string{"static"}},
		{"a class, a file more", class, func(tree string) { write(t, filepath.Join(tree, "vendor/more.php"), "<?php") }, []string{"static"}},
		{"a class, a file less", class, func(tree string) { must(t, os.Remove(filepath.Join(tree, file))) }, []string{"static"}},
		{"a class, the tree", class, func(tree string) { must(t, os.RemoveAll(tree)) }, []string{"static"}},
		{"nothing changed, the list of packages", "", func(tree string) { flip(t, filepath.Join(tree, "vendor/composer/installed.json")) }, []string{"app", "compile", "static"}},
	} {
		changed := filepath.Join(t.TempDir(), "store")
		must(t, host.Export(source, changed))
		if c.changed != "" {
			write(t, filepath.Join(changed, c.changed), strings.Replace(read(t, filepath.Join(changed, c.changed)), "<?php", fmt.Sprintf("<?php // %d", i), 1))
		}
		trees := glob(t, filepath.Join(cache, "installed/*/tree"))
		if len(trees) != 1 {
			t.Fatalf("kept trees: %v", trees)
		}
		c.damage(trees[0])
		r := newRun(t, changed, options{cache: cache})
		got := r.all(t)
		_, err := r.Facts(t.Context())
		must(t, err)
		if reused := r.reused(t); !slices.Equal(reused, c.reused) {
			t.Errorf("%s: taken from the cache: %v, want %v", c.name, reused, c.reused)
		}
		sameLayers(t, c.name, newRun(t, changed, options{}).all(t), got)
	}
}

// What is packed under a key is what the key was made of, or the build fails.
func TestStoreThatChangesMeanwhile(t *testing.T) {
	needTools(t)
	t.Parallel()
	for name, change := range map[string]func(t *testing.T, source string){
		"a file's content": func(t *testing.T, source string) {
			edit(t, filepath.Join(source, "app/code/Acme/Delivery/Model/Slot.php"), "<?php", "<?php // changed")
		},
		"a new file": func(t *testing.T, source string) {
			write(t, filepath.Join(source, "app/code/Acme/Delivery/Model/New.php"), "<?php")
		},
		"a file less": func(t *testing.T, source string) {
			must(t, os.Remove(filepath.Join(source, "app/code/Acme/Delivery/Model/Slot.php")))
		},
	} {
		source, cache := sample(t), filepath.Join(t.TempDir(), "cache")
		newRun(t, source, options{cache: cache}).all(t)
		must(t, os.RemoveAll(filepath.Join(cache, "steps"))) // composer and all after it run again
		r := newRun(t, source, options{cache: cache})
		done := false
		r.on = func(e host.Event) {
			if e.Step == "app" && e.Done != nil && !done {
				done = true
				change(t, source)
			}
		}
		if _, err := r.build(t.Context()); err == nil || !strings.Contains(err.Error(), "changed while the store was being built") || !strings.Contains(err.Error(), "build again") {
			t.Errorf("%s: the build ended with %v", name, err)
		}
	}
}

// flip changes what the middle of a file says, and neither its length nor its date.
func flip(t testing.TB, name string) {
	t.Helper()
	info, err := os.Stat(name)
	must(t, err)
	raw := []byte(read(t, name))
	at := len(raw) / 2
	for raw[at] < '0' || raw[at] > '8' { // a digit stays one, so that JSON is still JSON
		if at++; at == len(raw) {
			at = len(raw) / 2
			break
		}
	}
	raw[at]++
	must(t, os.WriteFile(name, raw, info.Mode()))
	must(t, os.Chtimes(name, info.ModTime(), info.ModTime()))
}

func glob(t testing.TB, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	must(t, err)
	return found
}

func TestConcurrentBuildsShareACache(t *testing.T) {
	needTools(t)
	t.Parallel()
	source, cache := sample(t), filepath.Join(t.TempDir(), "cache")
	var wg sync.WaitGroup
	got := make([]map[string]layer.Descriptor, 4)
	for i := range got {
		r := newRun(t, source, options{cache: cache})
		wg.Go(func() {
			var err error
			if got[i], err = r.build(t.Context()); err != nil {
				t.Errorf("build %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	for i := range got {
		sameLayers(t, fmt.Sprintf("build %d", i), got[0], got[i])
	}
	last := newRun(t, source, options{cache: cache})
	layers := last.all(t)
	sameLayers(t, "after them", got[0], layers)
	if got := last.reused(t); len(got) != 4 {
		t.Errorf("the build after them took only %v from the cache", got)
	}
	if half := glob(t, filepath.Join(cache, "blobs/sha256/.*")); len(half) > 0 {
		t.Errorf("half written blobs: %v", half)
	}
}

// Another compression gives other blobs of the same content, never mixed up.
func TestCompressionIsPartOfTheKey(t *testing.T) {
	needTools(t)
	t.Parallel()
	source, cache := sample(t), filepath.Join(t.TempDir(), "cache")
	zstd := newRun(t, source, options{cache: cache}).all(t)
	r := newRun(t, source, options{cache: cache, comp: layer.Gzip})
	gzip := r.all(t)
	for name := range zstd {
		if gzip[name].MediaType != layer.MediaTypeGzip || gzip[name].DiffID != zstd[name].DiffID {
			t.Errorf("layer %s with gzip: %+v, with zstd: %+v", name, gzip[name], zstd[name])
		}
	}
}

func TestPrune(t *testing.T) {
	cache := t.TempDir()
	day := time.Date(2026, 5, 4, 0, 0, 0, 0, time.UTC)
	age := func(p string, days int) {
		at := day.AddDate(0, 0, -days)
		must(t, os.Chtimes(filepath.Join(cache, p), at, at))
	}
	for p, days := range map[string]int{
		"steps/old.json": 31, "steps/new.json": 1, "blobs/sha256/old": 40, "blobs/sha256/new": 29, "notes/old": 90,
	} {
		write(t, filepath.Join(cache, p), "x")
		age(p, days)
	}
	for p, days := range map[string]int{"installed/old": 31, "installed/new": 1, "work-old": 31, "work-new": 0} {
		write(t, filepath.Join(cache, p, "tree/a/b.php"), "x")
		age(p, days)
	}
	must(t, host.Prune(cache, day.AddDate(0, 0, -30)))
	var left []string
	for p := range files(t, cache) {
		left = append(left, p)
	}
	slices.Sort(left)
	want := []string{"blobs/sha256/new", "installed/new/tree/a/b.php", "notes/old", "steps/new.json", "work-new/tree/a/b.php"}
	if !slices.Equal(left, want) {
		t.Errorf("left: %v, want %v", left, want)
	}
	if err := host.Prune(filepath.Join(cache, "nowhere"), day); err != nil {
		t.Errorf("a cache that is not there yet: %v", err)
	}
}

func TestExportReplaces(t *testing.T) {
	dst := filepath.Join(t.TempDir(), "out", "store")
	first, second := t.TempDir(), t.TempDir()
	write(t, filepath.Join(first, "old.php"), "old")
	write(t, filepath.Join(second, "a/new.php"), "new")
	must(t, os.Symlink("new.php", filepath.Join(second, "a/link")))
	must(t, os.Chmod(filepath.Join(second, "a/new.php"), 0o750))
	must(t, host.Export(first, dst))
	must(t, host.Export(second, dst))
	if diff := differences(files(t, second), files(t, dst), func(string) bool { return false }); len(diff) > 0 {
		t.Errorf("the copy differs: %v", diff)
	}
	if st, err := os.Stat(filepath.Join(dst, "a/new.php")); err != nil || st.Mode().Perm() != 0o755 {
		t.Errorf("a program became %v (%v)", st.Mode(), err)
	}
	// One that fails leaves what was there.
	must(t, mkfifo(filepath.Join(first, "pipe")))
	if err := host.Export(first, dst); err == nil || !strings.Contains(err.Error(), "pipe") || !strings.Contains(err.Error(), "remove it") {
		t.Errorf("a pipe in the tree: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dst, "a/new.php")); err != nil {
		t.Errorf("a failed export took away what was there: %v", err)
	}
	if rest := glob(t, filepath.Join(filepath.Dir(dst), ".*")); len(rest) > 0 {
		t.Errorf("a failed export left %v", rest)
	}
}
