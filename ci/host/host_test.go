package host_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/magecloudkit/pipeline/ci/build"
	"github.com/magecloudkit/pipeline/ci/host"
	"github.com/magecloudkit/pipeline/ci/layer"
	"github.com/magecloudkit/pipeline/ci/store"
)

// needTools skips a test where there is no PHP or composer to run a step with.
func needTools(t testing.TB) {
	t.Helper()
	for _, name := range []string{"php", "composer"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("there is no %s on the PATH: `make test` installs it", name)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// sample is a copy of the sample store that a test may change.
func sample(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "store")
	must(t, host.Export("../../testdata/store", dir))
	for _, made := range []string{"vendor", "generated", "var", "pub"} { // what somebody's own run may have left there
		must(t, os.RemoveAll(filepath.Join(dir, made)))
	}
	return dir
}

func write(t testing.TB, name, content string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(name), 0o755))
	must(t, os.WriteFile(name, []byte(content), 0o644))
}

func read(t testing.TB, name string) string {
	t.Helper()
	raw, err := os.ReadFile(name)
	must(t, err)
	return string(raw)
}

// edit replaces a text, which must be there, in a file.
func edit(t testing.TB, name, old, text string) {
	t.Helper()
	content := read(t, name)
	if !strings.Contains(content, old) {
		t.Fatalf("%s does not say %q", name, old)
	}
	write(t, name, strings.Replace(content, old, text, 1))
}

// environ is a machine's environment with no network and nobody's composer home.
func environ(t testing.TB, more ...string) []string {
	home := t.TempDir()
	return append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "COMPOSER_HOME=" + home, "COMPOSER_DISABLE_NETWORK=1"}, more...)
}

// run is one build of a test.
type run struct {
	*host.Job
	mu     sync.Mutex
	events []host.Event
	on     func(host.Event)
}

func (r *run) log(e host.Event) {
	r.mu.Lock()
	r.events = append(r.events, e)
	r.mu.Unlock()
	if r.on != nil {
		r.on(e)
	}
}

// commands are those that were run, by step.
func (r *run) commands() map[string][]string {
	out := map[string][]string{}
	for _, e := range r.events {
		if e.Command != "" {
			out[e.Step] = append(out[e.Step], e.Command)
		}
	}
	return out
}

func (r *run) printed() string {
	var b strings.Builder
	for _, e := range r.events {
		if e.Line != "" {
			fmt.Fprintf(&b, "%s: %s\n", e.Step, e.Line)
		}
	}
	return b.String()
}

// options of a test's build; what is left out is as mck has it.
type options struct {
	cache   string // shared with other builds; "": none
	shards  build.Shards
	environ []string
	secrets map[string]string
	comp    layer.Compression
}

func newRun(t testing.TB, source string, o options) *run {
	t.Helper()
	s, err := store.Open(os.DirFS(source))
	must(t, err)
	if o.shards == "" {
		o.shards = build.ShardsNone
	}
	plan, err := build.New(build.StoreOf(s, nil, nil), build.Options{CPUs: 2, Shards: o.shards, StripTests: true})
	must(t, err)
	if o.environ == nil {
		o.environ = environ(t)
	}
	work := t.TempDir()
	if o.cache != "" {
		must(t, os.MkdirAll(o.cache, 0o755))
		work, err = os.MkdirTemp(o.cache, host.WorkPattern)
		must(t, err)
	}
	r := &run{}
	r.Job = &host.Job{
		Runner: &host.Runner{
			Environ: o.environ, Secrets: o.secrets, Results: filepath.Join(work, "results"), Cache: o.cache,
			Compression: o.comp, Log: r.log, Now: time.Now,
		},
		Plan: plan, Source: source, Work: work, Parallel: 2,
	}
	return r
}

// all runs the whole build and returns the installed store and the images' layers by name.
func (r *run) all(t testing.TB) (tree string, layers map[string]layer.Descriptor) {
	t.Helper()
	tree, layers, err := r.build(t.Context())
	if err != nil {
		t.Fatalf("the build failed: %v\n%s", err, r.printed())
	}
	return tree, layers
}

func (r *run) build(ctx context.Context) (tree string, layers map[string]layer.Descriptor, err error) {
	if tree, err = r.Install(ctx); err != nil {
		return "", nil, err
	}
	if err := r.Precompile(ctx, tree); err != nil {
		return "", nil, err
	}
	list, err := r.Layers()
	if err != nil {
		return "", nil, err
	}
	layers = map[string]layer.Descriptor{}
	for _, l := range list {
		layers[l.Name] = l
	}
	return tree, layers, nil
}

// reused are the steps whose layers were taken from the cache.
func (r *run) reused(t testing.TB) []string {
	t.Helper()
	results, err := r.Results()
	must(t, err)
	var out []string
	for _, res := range results {
		if res.Reused {
			out = append(out, res.Step)
		}
	}
	return out
}

// entries lists a layer's entries by their path in the image, with their content.
func (r *run) entries(t testing.TB, d layer.Descriptor) map[string]entry {
	t.Helper()
	blob, err := r.Runner.Blob(d)
	must(t, err)
	defer blob.Close()
	out := map[string]entry{}
	must(t, layer.Walk(blob, d.MediaType, func(h *header, content io.Reader) error {
		raw, err := io.ReadAll(content)
		out[strings.TrimSuffix(h.Name, "/")] = entry{h, string(raw)}
		return err
	}))
	return out
}

var release = build.Release{BuildNum: "7", Revision: "abc", Created: time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)}

// files lists a tree: each file with its content's digest, each link with its target.
func files(t testing.TB, root string) map[string]string {
	t.Helper()
	out := map[string]string{}
	must(t, filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		if d.Type() == fs.ModeSymlink {
			out[rel], err = os.Readlink(p)
			return err
		}
		raw, err := os.ReadFile(p)
		sum := sha256.Sum256(raw)
		out[rel] = hex.EncodeToString(sum[:8])
		return err
	}))
	return out
}

// differences are the paths that two maps do not agree on, and that ignore does
// not match.
func differences(a, b map[string]string, ignore func(string) bool) []string {
	var out []string
	for _, p := range slices.Sorted(maps.Keys(a)) {
		if other, ok := b[p]; !ignore(p) && (!ok || other != a[p]) {
			out = append(out, fmt.Sprintf("%s: %q, %q", p, a[p], other))
		}
	}
	for _, p := range slices.Sorted(maps.Keys(b)) {
		if _, ok := a[p]; !ok && !ignore(p) {
			out = append(out, fmt.Sprintf("%s: only in the second", p))
		}
	}
	return out
}

// sameLayers reports layers that differ in content.
func sameLayers(t testing.TB, what string, want, got map[string]layer.Descriptor) {
	t.Helper()
	if diff := changedLayers(want, got); len(diff) > 0 {
		t.Errorf("%s: other layers: %v", what, diff)
	}
}

func changedLayers(want, got map[string]layer.Descriptor) []string {
	var out []string
	for _, n := range slices.Sorted(maps.Keys(want)) {
		if want[n].Digest != got[n].Digest {
			out = append(out, n)
		}
	}
	for _, n := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[n]; !ok {
			out = append(out, n+" (new)")
		}
	}
	return out
}

// enableCSP turns the module on that notes the hashes of scripts.
func enableCSP(t testing.TB, dir string) {
	edit(t, filepath.Join(dir, "app/etc/config.php"), "'Magento_Csp' => 0", "'Magento_Csp' => 1")
}

// What mck makes is what the commands make that a person would type.
func TestTreeIsThatOfTheCommands(t *testing.T) {
	needTools(t)
	t.Parallel()
	source := sample(t)
	r := newRun(t, source, options{shards: build.ShardsLocale})
	tree, _ := r.all(t)
	must(t, r.Complete(t.Context(), tree, release))
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
		_, layers := r.all(t)
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
	_, want := newRun(t, source, options{}).all(t)

	previous := setMachine(0o077, 1)
	defer previous()
	elsewhere := filepath.Join(t.TempDir(), "a longer", "path")
	must(t, host.Export(source, elsewhere))
	must(t, exec.Command("git", "init", "-q", filepath.Dir(elsewhere)).Run()) // somebody's own repository around it
	_, got := newRun(t, elsewhere, options{cache: filepath.Join(filepath.Dir(elsewhere), "cache"), shards: build.ShardsTheme}).all(t)
	sameLayers(t, "another directory, umask and number of processors", want, got)
}

// What one change makes new, and what of an earlier build is taken.
func TestChange(t *testing.T) {
	needTools(t)
	t.Parallel()
	source, cache := sample(t), filepath.Join(t.TempDir(), "cache")
	_, first := newRun(t, source, options{cache: cache}).all(t)

	for _, c := range []struct {
		name, file, old, text string
		layers, reused        []string
		fresh                 bool // compare with a build that has no cache
	}{
		{"nothing", "composer.json", `"type"`, `"type"`, nil, []string{"composer", "compile", "static"}, true},
		{"a PHP class", "app/code/Acme/Delivery/Model/Slot.php", "<?php", "<?php // changed",
			[]string{"app"}, []string{"composer", "static"}, true},
		{"a class with a plugin", "app/code/Acme/Greeting/Plugin/Greet.php", "\nclass ", "\n/** changed */\nclass ",
			[]string{"app"}, []string{"composer", "static"}, false},
		{"a LESS file", "app/design/frontend/Acme/shop/web/css/_variables.less", ":", ": /* changed */",
			[]string{"app", "static-frontend-Acme-shop"}, []string{"composer", "compile"}, true},
		{"a module's LESS file", "app/code/Acme/Delivery/view/frontend/web/css/source/_module.less", "{", "{ color: red;",
			[]string{"app", "static-frontend-Acme-shop"}, []string{"composer", "compile"}, false},
		{"a README", "README.md", "#", "##", nil, []string{"composer", "compile", "static"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			changed := filepath.Join(t.TempDir(), "store")
			must(t, host.Export(source, changed))
			edit(t, filepath.Join(changed, c.file), c.old, c.text)
			r := newRun(t, changed, options{cache: cache})
			_, layers := r.all(t)
			if got := changedLayers(first, layers); !slices.Equal(got, c.layers) {
				t.Errorf("changed layers: %v, want %v", got, c.layers)
			}
			if got := r.reused(t); !slices.Equal(got, c.reused) {
				t.Errorf("taken from the cache: %v, want %v", got, c.reused)
			}
			if c.fresh {
				_, fresh := newRun(t, changed, options{}).all(t)
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

// Settings of Magento in the environment of a laptop or a CI machine change
// nothing, and what is secret there stays there.
func TestEnvironmentDoesNotReachSteps(t *testing.T) {
	needTools(t)
	t.Parallel()
	source := sample(t)
	// A module that writes its environment into the build, as an unlucky one might.
	write(t, filepath.Join(source, "app/code/Acme/Greeting/registration.php"), read(t, filepath.Join(source, "app/code/Acme/Greeting/registration.php"))+
		"\necho 'the environment: ', json_encode(array_keys(getenv())), PHP_EOL;\n")
	_, want := newRun(t, source, options{}).all(t)
	r := newRun(t, source, options{environ: environ(t,
		"MAGENTO_DC_DB__CONNECTION__DEFAULT__HOST=db.example", "CONFIG__DEFAULT__DEV__CSS__MINIFY_FILES=1", "MAGE_MODE=developer",
		"AWS_SECRET_ACCESS_KEY=secret", "COMPOSER_AUTH=secret", "MAGENTO_PRIVATE_KEY=secret", "COMPOSER=other.json", "XDEBUG_MODE=debug")})
	_, got := r.all(t)
	sameLayers(t, "with MAGENTO_DC_* and CONFIG__* in the environment", want, got)
	out := r.printed()
	if !strings.Contains(out, `the environment: [`) || !strings.Contains(out, `"PATH"`) {
		t.Fatalf("the module did not tell its environment:\n%s", out)
	}
	for _, name := range []string{"MAGENTO_", "CONFIG__", "MAGE_MODE", "AWS_", "COMPOSER_AUTH", "XDEBUG", `"COMPOSER"`} {
		if strings.Contains(out, name) {
			t.Errorf("%s reached a step:\n%s", name, out)
		}
	}
}

// Credentials are given to composer's install alone, and whatever prints them,
// nobody reads them.
func TestCredentials(t *testing.T) {
	needTools(t)
	t.Parallel()
	const auth = `{"http-basic":{"repo.acme.example":{"username":"git","password":"pass.word/with&signs"}},"gitlab-token":{"gitlab.com":"glpat-aaaa.bbbb"}}`
	source := sample(t)
	script := `php -r 'echo "auth ", getenv("COMPOSER_AUTH"), PHP_EOL; foreach (json_decode(getenv("COMPOSER_AUTH"), true)["http-basic"] as $h => $c) { echo "url https://", $c["username"], ":", rawurlencode($c["password"]), "@", $h, PHP_EOL, "basic ", base64_encode(implode(":", $c)), PHP_EOL, "raw ", $c["password"], PHP_EOL; } echo "token glpat-aaaa.bbbb of github.com", PHP_EOL; exit((int) file_exists("fail"));'`
	quoted := strings.ReplaceAll(script, `"`, `\"`)
	edit(t, filepath.Join(source, "composer.json"), `"minimum-stability"`, `"scripts": {"post-install-cmd": "`+quoted+`"}, "minimum-stability"`)
	write(t, filepath.Join(source, "app/code/Acme/Greeting/registration.php"), read(t, filepath.Join(source, "app/code/Acme/Greeting/registration.php"))+
		"\necho 'credentials: ', var_export(getenv('COMPOSER_AUTH'), true), PHP_EOL;\n")
	r := newRun(t, source, options{secrets: map[string]string{"COMPOSER_AUTH": auth}})
	r.all(t)
	write(t, filepath.Join(source, "fail"), "")
	failing := newRun(t, source, options{secrets: map[string]string{"COMPOSER_AUTH": auth}})
	_, _, err := failing.build(t.Context())
	if err == nil {
		t.Fatal("composer failed, and the build did not")
	}
	for name, text := range map[string]string{"the log": r.printed(), "the failing build's log": failing.printed(), "its error": err.Error()} {
		for _, secret := range []string{"pass.word", "glpat-", "Z2l0OnBhc3M", "pass.word%2Fwith%26signs"} {
			if strings.Contains(text, secret) {
				t.Errorf("%s holds the credential %s…:\n%s", name, secret, text)
			}
		}
		if !strings.Contains(text, "auth ***") || !strings.Contains(text, "basic ***") || !strings.Contains(text, "of github.com") {
			t.Errorf("%s says something else than that there were credentials:\n%s", name, text)
		}
	}
	if out := r.printed(); !strings.Contains(out, "credentials: false") {
		t.Errorf("bin/magento has credentials, or the module that tells did not run:\n%s", out)
	}
}

// anyFailure stands for an exit code that depends on composer's version.
const anyFailure = -2

// A build in which a step fails says which, where, how, and what it said.
func TestFailures(t *testing.T) {
	needTools(t)
	t.Parallel()
	for _, c := range []struct {
		name    string
		change  func(t *testing.T, dir string)
		environ []string
		step    string
		command string // begins so
		code    int
		says    []string
	}{
		{
			name: "a syntax error in a module",
			change: func(t *testing.T, dir string) {
				write(t, filepath.Join(dir, "app/code/Acme/Delivery/Model/Planner.php"), "<?php\nclass Planner {\n")
			},
			step: "compile", command: "php -d memory_limit=2G bin/magento", code: 1,
			says: []string{"step compile failed", "setup:di:compile` ended with exit code 1", "its last lines:", "Planner.php"},
		},
		{
			name: "a style sheet that cannot be compiled",
			change: func(t *testing.T, dir string) {
				edit(t, filepath.Join(dir, "app/design/frontend/Acme/shop/web/css/shop.less"), "{", "{ width: @nowhere;")
			},
			step: "static", command: "php -d memory_limit=2G bin/magento", code: 1,
			says: []string{"step static failed", "nowhere"},
		},
		{
			name:   "a package that is not there",
			change: func(t *testing.T, dir string) { must(t, os.RemoveAll(filepath.Join(dir, "packages/module-catalog"))) },
			step:   "composer", command: "composer install", code: 1,
			says: []string{"step composer failed", "module-catalog"},
		},
		{
			name: "a PHP that the lock does not allow",
			change: func(t *testing.T, dir string) {
				edit(t, filepath.Join(dir, "composer.lock"), `"php": "~8.1.0||~8.2.0||~8.3.0||~8.4.0"`, `"php": "~7.0.0"`)
			},
			step: "composer", command: "composer install", code: 2,
			says: []string{"your php version", "what to do:", "never ignored"},
		},
		{
			name: "the installer plugin is switched off",
			change: func(t *testing.T, dir string) {
				edit(t, filepath.Join(dir, "composer.json"), `"magento/*": true`, `"magento/*": false`)
			},
			step: "composer",
			says: []string{"step composer failed: there is no bin/magento", "what to do:", "allow-plugins", "product package"},
		},
		{
			name: "no default website",
			change: func(t *testing.T, dir string) {
				edit(t, filepath.Join(dir, "app/etc/config.php"), "'is_default' => '1'", "'is_default' => '0'")
			},
			step: "static", command: "php", code: 1,
			says: []string{"app:config:dump scopes themes"},
		},
		{
			name: "a module that is a link to elsewhere",
			change: func(t *testing.T, dir string) {
				must(t, os.Symlink("/srv/modules/acme", filepath.Join(dir, "app/code/Acme/Far")))
			},
			says: []string{"app/code/Acme/Far is a link that leads out of the store, to /srv/modules/acme"},
		},
		{
			name: "Adobe's repository answers 404",
			change: func(t *testing.T, dir string) {
				must(t, os.Remove(filepath.Join(dir, "composer.lock")))
				repository := httptest.NewServer(http.NotFoundHandler())
				t.Cleanup(repository.Close)
				edit(t, filepath.Join(dir, "composer.json"), `"packagist.org": false`, `"type": "composer", "url": "`+repository.URL+`/repo.magento.com"`)
				edit(t, filepath.Join(dir, "composer.json"), `"config": {`, `"config": {"secure-http": false,`)
				edit(t, filepath.Join(dir, "composer.json"), `"sample/module-loyalty"`, `"acme/bought": "*", "sample/module-loyalty"`)
			},
			environ: []string{"COMPOSER_DISABLE_NETWORK=0"},
			step:    "composer", command: "composer install", code: anyFailure, // 255, or 100 from composer 2.6 on
			says: []string{"404", "what to do: repo.magento.com answers 404, and not 401", "MAGENTO_PUBLIC_KEY"},
		},
		{
			name:    "no composer",
			change:  func(*testing.T, string) {},
			environ: []string{"PATH=" + onlyPHP(t)},
			step:    "composer",
			says:    []string{"step composer failed: there is no composer on the PATH", "dagger call build"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			source := sample(t)
			c.change(t, source)
			env := environ(t)
			for _, kv := range c.environ {
				name, _, _ := strings.Cut(kv, "=")
				env = append(slices.DeleteFunc(env, func(other string) bool { return strings.HasPrefix(other, name+"=") }), kv)
			}
			r := newRun(t, source, options{environ: env, cache: filepath.Join(t.TempDir(), "cache")})
			_, _, err := r.build(t.Context())
			if err == nil {
				t.Fatal("the build did not fail")
			}
			var failed *host.StepError
			if !errors.As(err, &failed) {
				failed = &host.StepError{}
			}
			if failed.Step != c.step || !strings.HasPrefix(failed.Command, c.command) || failed.Code != c.code && (c.code != anyFailure || failed.Code <= 0) {
				t.Errorf("step %s, command %q, exit code %d; want %s, %q, %d\n%v", failed.Step, failed.Command, failed.Code, c.step, c.command, c.code, err)
			}
			if c.command != "" && (!strings.HasPrefix(failed.Dir, r.Work) || !strings.Contains(err.Error(), "\n  in "+failed.Dir)) {
				t.Errorf("the error does not say where the command ran: %v", err)
			}
			for _, s := range c.says {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("the error does not say %q:\n%v", s, err)
				}
			}
			for _, e := range r.events {
				if e.Done != nil && e.Step == c.step {
					t.Errorf("the step failed and is reported as done: %+v", e.Done)
				}
			}
			if kept, err := filepath.Glob(filepath.Join(r.Runner.Cache, "steps", "*")); err != nil {
				t.Error(err)
			} else {
				for _, f := range kept {
					if strings.Contains(read(t, f), `"step": "`+c.step+`"`) {
						t.Errorf("the failed step is in the cache: %s", f)
					}
				}
			}
		})
	}
}

// onlyPHP is a directory with php and without composer.
func onlyPHP(t testing.TB) string {
	php, err := exec.LookPath("php")
	must(t, err)
	dir := t.TempDir()
	must(t, os.Symlink(php, filepath.Join(dir, "php")))
	return dir
}

// An error repeats the end of what a command said, as a terminal would show it.
func TestLastLines(t *testing.T) {
	needTools(t)
	t.Parallel()
	script := `for ($i = 1; $i <= 40; $i++) echo "line $i\n"; echo "10%\r60%\r100%\r\n\n   \n"; fwrite(STDERR, "no newline at the end"); exit(9);`
	r := &host.Runner{Environ: environ(t), Results: t.TempDir(), Now: time.Now}
	_, err := r.Run(t.Context(), build.Step{Name: "talk", Commands: []build.Command{{Args: []string{"php", "-r", script}}}}, t.TempDir())
	var failed *host.StepError
	if !errors.As(err, &failed) || failed.Code != 9 {
		t.Fatalf("the step ended with %v", err)
	}
	var want []string
	for i := 18; i <= 40; i++ {
		want = append(want, fmt.Sprint("line ", i))
	}
	want = append(want, "100%", "no newline at the end")
	if !slices.Equal(failed.Tail, want) {
		t.Errorf("last lines: %q, want %q", failed.Tail, want)
	}
}

// Output decides nothing: neither words of failure nor words of success.
func TestExitCodesDecide(t *testing.T) {
	needTools(t)
	t.Parallel()
	source := sample(t)
	registration := filepath.Join(source, "app/code/Acme/Greeting/registration.php")
	good := read(t, registration)
	write(t, registration, good+"\nfwrite(STDERR, \"PHP Fatal error:  404 could not be found\\n\");\n")
	newRun(t, source, options{}).all(t)
	write(t, registration, good+"\nregister_shutdown_function(function () { echo 'Generated code and dependency injection configuration successfully.'; exit(3); });\n")
	_, _, err := newRun(t, source, options{}).build(t.Context())
	var failed *host.StepError
	if !errors.As(err, &failed) || failed.Code != 3 {
		t.Errorf("a command that praised itself and exited with 3: %v", err)
	}
}

func TestModulesThatNobodyListed(t *testing.T) {
	needTools(t)
	t.Parallel()
	source := sample(t)
	edit(t, filepath.Join(source, "app/etc/config.php"), "'modules' => [", "'not modules' => [")
	r := newRun(t, source, options{})
	tree, _ := r.all(t)
	if got := r.commands()["app"]; len(got) != 1 || !strings.HasSuffix(got[0], "module:enable --all") {
		t.Errorf("commands of the step app: %v", got)
	}
	config := read(t, filepath.Join(tree, "app/etc/config.php"))
	for _, m := range []string{"Acme_Delivery", "Magento_Csp", "Sample_Loyalty"} {
		if !strings.Contains(config, "'"+m+"' => 1") {
			t.Errorf("%s is not enabled:\n%s", m, config)
		}
	}
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
	_, want := first.all(t)
	all := []string{"composer", "compile", "static"}
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
		{"the blob of vendor", func() { must(t, os.Remove(layer.BlobPath(cache, want["vendor"].Digest))) }, []string{"compile", "static"}},
		{"half of the blob of generated", func() { must(t, os.Truncate(layer.BlobPath(cache, want["generated"].Digest), 10)) }, []string{"composer", "static"}},
		{"a file of the kept tree", func() { must(t, os.Remove(only("installed/*/tree/vendor/magento/framework/registration.php"))) }, []string{"compile", "static"}},
		{"the content of a file of the kept tree", func() { write(t, only("installed/*/tree/vendor/magento/framework/registration.php"), "<?php") }, []string{"compile", "static"}},
		{"the kept tree", func() { must(t, os.RemoveAll(filepath.Join(cache, "installed"))) }, []string{"compile", "static"}},
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
		_, got := r.all(t)
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
			if _, got[i], err = r.build(t.Context()); err != nil {
				t.Errorf("build %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	for i := range got {
		sameLayers(t, fmt.Sprintf("build %d", i), got[0], got[i])
	}
	last := newRun(t, source, options{cache: cache})
	_, layers := last.all(t)
	sameLayers(t, "after them", got[0], layers)
	if got := last.reused(t); len(got) != 3 {
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
	_, zstd := newRun(t, source, options{cache: cache}).all(t)
	r := newRun(t, source, options{cache: cache, comp: layer.Gzip})
	_, gzip := r.all(t)
	for name := range zstd {
		if gzip[name].MediaType != layer.MediaTypeGzip || gzip[name].DiffID != zstd[name].DiffID {
			t.Errorf("layer %s with gzip: %+v, with zstd: %+v", name, gzip[name], zstd[name])
		}
	}
}

// A build that is stopped ends at once, with all that it started, and leaves
// nothing that a later build would take for a result.
func TestStop(t *testing.T) {
	needTools(t)
	t.Parallel()
	source, cache := sample(t), filepath.Join(t.TempDir(), "cache")
	registration := filepath.Join(source, "app/code/Acme/Greeting/registration.php")
	good := read(t, registration)
	write(t, registration, good+`
if (in_array('setup:di:compile', $_SERVER['argv'])) {
    $child = proc_open(['sleep', '1000'], [], $pipes);
    echo 'started ', proc_get_status($child)['pid'], PHP_EOL;
    proc_close($child);
}
`)
	r := newRun(t, source, options{cache: cache})
	ctx, stop := context.WithCancelCause(t.Context())
	defer stop(nil)
	var gone func(time.Duration) bool
	r.on = func(e host.Event) {
		if pid, ok := strings.CutPrefix(e.Line, "started "); ok {
			n, err := strconv.Atoi(pid)
			if err == nil {
				gone, err = watch(n)
			}
			if err != nil {
				t.Error(err)
			}
			stop(errors.New("the operator had enough"))
		}
	}
	_, _, err := r.build(ctx)
	if err == nil || !strings.Contains(err.Error(), "was stopped: the operator had enough") {
		t.Fatalf("the build ended with %v", err)
	}
	if gone == nil || !gone(10*time.Second) {
		t.Error("a process that the build started is still there")
	}
	var left []string
	for _, dir := range []string{cache, r.Runner.Results} {
		for _, pattern := range []string{"blobs/sha256/.*", "*.json", "steps/.*"} {
			left = append(left, glob(t, filepath.Join(dir, pattern))...)
		}
		for _, f := range glob(t, filepath.Join(dir, "steps", "*")) {
			if strings.Contains(read(t, f), `"step": "compile"`) {
				left = append(left, f)
			}
		}
	}
	left = slices.DeleteFunc(left, func(f string) bool { // layers of steps that were done
		name := strings.TrimSuffix(filepath.Base(f), ".json")
		return slices.Contains([]string{"vendor", "app", "app-etc", "entry"}, name) || strings.Contains(name, "static-")
	})
	if len(left) > 0 {
		t.Errorf("the stopped build left %v", left)
	}

	write(t, registration, good)
	_, got := newRun(t, source, options{cache: cache}).all(t)
	_, want := newRun(t, source, options{}).all(t)
	sameLayers(t, "after a build that was stopped", want, got)
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

func TestPHP(t *testing.T) {
	needTools(t)
	php, err := host.PHP(t.Context(), environ(t))
	must(t, err)
	out, err := exec.Command("php", "-r", "echo PHP_VERSION;").Output()
	must(t, err)
	if php.Version != string(bytes.TrimSpace(out)) || !slices.Contains(php.Extensions, "json") {
		t.Errorf("php says %+v, its version is %s", php, out)
	}
	_, err = host.PHP(t.Context(), []string{"PATH=" + t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), "there is no php on the PATH") || !strings.Contains(err.Error(), "dagger call build") {
		t.Errorf("a machine without php: %v", err)
	}
}
