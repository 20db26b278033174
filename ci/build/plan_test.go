package build_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/magecloudkit/pipeline/ci/build"
	"github.com/magecloudkit/pipeline/ci/layer"
	"github.com/magecloudkit/pipeline/ci/store"
)

var update = flag.Bool("update", false, "write testdata/plan.json anew")

var (
	luma    = build.Theme{Area: "frontend", Code: "Magento/luma", Locales: []string{"de_DE", "en_US"}}
	acme    = build.Theme{Area: "frontend", Code: "Acme/shop", Locales: []string{"de_DE", "en_US"}}
	backend = build.Theme{Area: "adminhtml", Code: "Magento/backend", Locales: []string{"en_US"}}
)

func plain() build.Store {
	return build.Store{Locked: true, Themes: []build.Theme{luma, acme, backend}}
}

func plan(t *testing.T, s build.Store, o build.Options) build.Plan {
	t.Helper()
	p, err := build.New(s, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func step(t *testing.T, p build.Plan, name string) build.Step {
	t.Helper()
	s, ok := p.Step(name)
	if !ok {
		t.Fatalf("the plan has no step %s: %v", name, names(p))
	}
	return s
}

func names(p build.Plan) []string {
	var out []string
	for _, s := range p.Steps {
		out = append(out, s.Name)
	}
	return out
}

func sampleStore(t *testing.T) *store.Store {
	t.Helper()
	s, err := store.Open(os.DirFS("../../testdata/store"))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The whole plan of the sample store, to be read: a change to what a build does
// shows up in testdata/plan.json (go test ./ci/build -update).
func TestPlanOfSampleStore(t *testing.T) {
	p := plan(t, build.StoreOf(sampleStore(t), nil, nil), build.Options{Shards: build.ShardsTheme, StripTests: true})
	got, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	file := filepath.Join("testdata", "plan.json")
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("the plan is not that of %s (-want +got):\n%s", file, diff)
	}
	var back build.Plan
	if err := json.Unmarshal(got, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(p, back); diff != "" {
		t.Errorf("a plan that was written as JSON is not what is read back:\n%s", diff)
	}
}

func TestShardsAuto(t *testing.T) {
	single := build.Theme{Area: "frontend", Code: "Acme/shop", Locales: []string{"en_US"}}
	many := build.Theme{Area: "frontend", Code: "Acme/shop", Locales: []string{"de_DE", "en_US", "fr_FR"}}
	for _, c := range []struct {
		name   string
		cpus   int
		themes []build.Theme
		want   []string // the steps of static content
	}{
		{"unknown processors", 0, []build.Theme{luma, backend}, []string{"static"}},
		{"one processor", 1, []build.Theme{luma, backend}, []string{"static"}},
		{"two processors", 2, []build.Theme{luma, backend}, []string{"static"}},
		{"nothing to split", 64, []build.Theme{single}, []string{"static"}},
		{"a shard a theme", 3, []build.Theme{luma, backend},
			[]string{"static.adminhtml-Magento-backend", "static.frontend-Magento-luma", "static"}},
		{"one theme, many locales", 3, []build.Theme{many},
			[]string{"static.frontend-Acme-shop-de_DE", "static.frontend-Acme-shop-en_US", "static.frontend-Acme-shop-fr_FR", "static"}},
		{"many processors", 4, []build.Theme{luma, backend},
			[]string{"static.adminhtml-Magento-backend-en_US", "static.frontend-Magento-luma-de_DE", "static.frontend-Magento-luma-en_US", "static"}},
		{"many processors, one locale each", 8, []build.Theme{single, backend},
			[]string{"static.adminhtml-Magento-backend", "static.frontend-Acme-shop", "static"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := plan(t, build.Store{Locked: true, Themes: c.themes}, build.Options{CPUs: c.cpus, Shards: build.ShardsAuto})
			got := slices.DeleteFunc(names(p), func(n string) bool { return !strings.HasPrefix(n, build.Static) })
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("steps of static content (-want +got):\n%s", diff)
			}
		})
	}
}

// However the work is split, the images' layers are described alike, so that they
// come out equal on machines with other processors.
func TestLayersDoNotDependOnShards(t *testing.T) {
	var first []layer.Spec
	for _, shards := range []build.Shards{build.ShardsNone, build.ShardsTheme, build.ShardsLocale} {
		got := step(t, plan(t, plain(), build.Options{Shards: shards}), build.Static).Layers
		if first == nil {
			first = got
		}
		if diff := cmp.Diff(first, got); diff != "" {
			t.Errorf("shards %s: layers differ from those of no shards:\n%s", shards, diff)
		}
	}
	// The order in which themes are named is nobody's choice.
	s := plain()
	slices.Reverse(s.Themes)
	if diff := cmp.Diff(first, step(t, plan(t, s, build.Options{}), build.Static).Layers); diff != "" {
		t.Errorf("the themes' order changes the layers:\n%s", diff)
	}
}

func TestCommands(t *testing.T) {
	want := map[string][]string{
		"composer": {"composer install --no-dev --prefer-dist --no-interaction --no-progress --no-ansi --optimize-autoloader"},
		"app":      nil,
		"compile": {
			"php -d memory_limit=2G bin/magento --no-ansi --no-interaction setup:di:compile",
			"composer dump-autoload --no-dev --no-interaction --no-ansi --optimize --apcu --apcu-prefix magento --no-scripts",
			"php -d memory_limit=2G var/magecloudkit-facts.php",
		},
		"static": {
			"php -d memory_limit=2G bin/magento --no-ansi --no-interaction setup:static-content:deploy -v --force --no-js-bundle --no-parent --content-version 0 --area adminhtml --theme Magento/backend en_US",
			"php -d memory_limit=2G bin/magento --no-ansi --no-interaction setup:static-content:deploy -v --force --no-js-bundle --no-parent --content-version 0 --area frontend --theme Acme/shop --theme Magento/luma de_DE en_US",
		},
	}
	got := map[string][]string{}
	for _, s := range plan(t, plain(), build.Options{}).Steps {
		got[s.Name] = nil
		for _, c := range s.Commands {
			got[s.Name] = append(got[s.Name], c.String())
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("commands (-want +got):\n%s", diff)
	}

	s := plain()
	s.EnableModules = true
	enable := step(t, plan(t, s, build.Options{}), build.App).Commands
	if len(enable) != 1 || enable[0].String() != "php -d memory_limit=2G bin/magento --no-ansi --no-interaction module:enable --all" {
		t.Errorf("a store whose config.php lists no modules: commands %v", enable)
	}
}

// What no command of any plan may say or get, whatever the store and the options.
func TestEveryCommand(t *testing.T) {
	for _, shards := range []build.Shards{build.ShardsNone, build.ShardsTheme, build.ShardsLocale} {
		for _, locked := range []bool{true, false} {
			for _, enable := range []bool{true, false} {
				s := plain()
				s.Locked, s.EnableModules = locked, enable
				for _, st := range plan(t, s, build.Options{CPUs: 8, Shards: shards, StripTests: locked}).Steps {
					for _, c := range st.Commands {
						checkCommand(t, st.Name, c)
					}
				}
			}
		}
	}
}

func checkCommand(t *testing.T, step string, c build.Command) {
	t.Helper()
	has := func(arg string) bool { return slices.Contains(c.Args, arg) }
	for _, a := range c.Args {
		if strings.HasPrefix(a, "-j") || strings.HasPrefix(a, "--jobs") {
			t.Errorf("%s: `%s` splits itself over processes, which hangs and breaks style sheets", step, c)
		}
		if strings.HasPrefix(a, "--ignore-platform") {
			t.Errorf("%s: `%s` ignores the platform", step, c)
		}
	}
	switch c.Args[0] {
	case "composer":
		if !has("--no-interaction") || !has("--no-dev") {
			t.Errorf("%s: `%s` may ask, or install for developers", step, c)
		}
		var secrets []string
		if has("install") {
			secrets = []string{"COMPOSER_AUTH"}
		}
		if !slices.Equal(c.Secrets, secrets) {
			t.Errorf("%s: `%s` gets the secrets %v, want %v", step, c, c.Secrets, secrets)
		}
		if c.Env["COMPOSER_MIRROR_PATH_REPOS"] != "1" {
			t.Errorf("%s: `%s` may link to packages outside of the image", step, c)
		}
		if c.Env["COMPOSER_ROOT_VERSION"] == "" {
			t.Errorf("%s: `%s` asks a git repository that happens to be around for the store's version", step, c)
		}
	case "php":
		if len(c.Secrets) != 0 || len(c.Env) != 0 {
			t.Errorf("%s: `%s` gets secrets %v and variables %v, and needs none", step, c, c.Secrets, c.Env)
		}
	default:
		t.Errorf("%s: an unknown program: `%s`", step, c)
	}
	if has("setup:static-content:deploy") {
		for _, flag := range []string{"--force", "--no-js-bundle", "--no-parent"} {
			if !has(flag) {
				t.Errorf("%s: `%s` lacks %s", step, c, flag)
			}
		}
		if i := slices.Index(c.Args, "--content-version"); i < 0 || c.Args[i+1] != "0" {
			t.Errorf("%s: `%s`: the content version would change a layer with every commit", step, c)
		}
	}
}

func TestOptionsThatMakeNoSense(t *testing.T) {
	for _, c := range []struct {
		name string
		s    build.Store
		o    build.Options
		want string
	}{
		{"shards", plain(), build.Options{Shards: "half"}, `shards "half": use auto, none, theme or locale`},
		{"no theme", build.Store{}, build.Options{}, "no theme to deploy: name one with --themes"},
		{"no locale", build.Store{Themes: []build.Theme{{Area: "frontend", Code: "Acme/shop"}}}, build.Options{}, "theme frontend/Acme/shop has no locale: name one with --locales"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := build.New(c.s, c.o)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got error %v, want one that says %q", err, c.want)
			}
		})
	}
}

// Steps come after what they build on, and every layer has a name of its own.
func TestPlanIsInOrder(t *testing.T) {
	for _, shards := range []build.Shards{build.ShardsNone, build.ShardsTheme, build.ShardsLocale} {
		seen, layers := map[string]bool{}, map[string]bool{}
		for _, s := range plan(t, plain(), build.Options{Shards: shards}).Steps {
			needs := append([]string{}, s.Merge...)
			if s.From != "" {
				needs = append(needs, s.From)
			}
			if s.Reuse != nil {
				needs = append(needs, s.Reuse.Of...)
			}
			for _, n := range needs {
				if !seen[n] {
					t.Errorf("shards %s: step %s needs %s, which does not come before it", shards, s.Name, n)
				}
			}
			seen[s.Name] = true
			for _, l := range s.Layers {
				if layers[l.Name] {
					t.Errorf("shards %s: two layers are called %s", shards, l.Name)
				}
				layers[l.Name] = true
			}
		}
	}
}

func TestNoLockNoReuse(t *testing.T) {
	s := plain()
	if step(t, plan(t, s, build.Options{}), build.Composer).Reuse == nil {
		t.Error("a locked store's packages cannot be reused")
	}
	s.Locked = false
	if r := step(t, plan(t, s, build.Options{}), build.Composer).Reuse; r != nil {
		t.Errorf("without a lock, packages of another day would be reused: %+v", r)
	}
}

// Tests are stripped, except for directories of that name that packages load.
func TestStripTests(t *testing.T) {
	s := plain()
	s.Autoload = []string{"vendor/acme/a", "vendor/acme/b/src", "vendor/acme/c/Test", "vendor/acme/d/tests/helpers/functions.php", "vendor/acme/e/lib/Test"}
	vendor := func(s build.Store, strip bool) layer.Spec {
		return step(t, plan(t, s, build.Options{StripTests: strip}), build.Composer).Layers[0]
	}
	got := vendor(s, true)
	if !slices.Contains(got.Exclude, "vendor/*/*/Test") || !slices.Contains(got.Exclude, "vendor/*/*/tests") {
		t.Errorf("tests are not left out: %v", got.Exclude)
	}
	if diff := cmp.Diff([]string{"vendor/acme/c/Test", "vendor/acme/d/tests"}, got.Keep); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
	unlocked := s
	unlocked.Locked = false
	for name, spec := range map[string]layer.Spec{"--keep-tests": vendor(s, false), "no lock": vendor(unlocked, true)} {
		for _, e := range spec.Exclude {
			if strings.Contains(strings.ToLower(e), "test") {
				t.Errorf("%s: %s is left out", name, e)
			}
		}
		if !slices.Contains(spec.Exclude, "**/auth.json") {
			t.Errorf("%s: a package's auth.json would be packed", name)
		}
	}
}

// Packages that composer copied into vendor are not in the image a second time;
// what else a directory holds is.
func TestPathRepositories(t *testing.T) {
	for repository, want := range map[string]string{
		"packages/*":         "packages",
		"packages/*/*":       "packages",
		"./local/acme":       "local/acme",
		"extensions/acme/*":  "extensions/acme",
		"lib/acme/*":         "lib/acme",
		"lib/*":              "lib/*",
		"pub/{one,two}":      "pub/{one,two}",
		"artifacts":          "artifacts",
		"modules/{one,two}*": "modules",
	} {
		raw := `{"require": {"magento/product-community-edition": "2.4.7"}, "repositories": [{"type": "path", "url": "` + repository + `"}]}`
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "composer.json"), []byte(raw), 0o644); err != nil {
			t.Fatal(err)
		}
		opened, err := store.Open(os.DirFS(dir))
		if err != nil {
			t.Fatal(err)
		}
		base := plain()
		without := excluded(plan(t, base, build.Options{}))
		base.PathRepositories = build.StoreOf(opened, nil, nil).PathRepositories
		with := excluded(plan(t, base, build.Options{}))
		for _, name := range []string{"magento", "app", "app-design", "app-code"} {
			added := slices.DeleteFunc(slices.Clone(with[name]), func(e string) bool { return slices.Contains(without[name], e) })
			if diff := cmp.Diff([]string{want}, added); diff != "" {
				t.Errorf("path repository %s: left out of the layer %s (-want +got):\n%s", repository, name, diff)
			}
		}
	}
}

// excluded are the patterns that each layer of a plan leaves out.
func excluded(p build.Plan) map[string][]string {
	out := map[string][]string{}
	for _, st := range p.Steps {
		for _, l := range st.Layers {
			out[l.Name] = l.Exclude
		}
	}
	return out
}

// What the sample store's plan takes from its lock and config.php.
func TestStoreOf(t *testing.T) {
	got := build.StoreOf(sampleStore(t), nil, nil)
	want := []build.Theme{
		{Area: "adminhtml", Code: "Magento/backend", Locales: []string{"en_US"}},
		{Area: "frontend", Code: "Acme/shop", Locales: []string{"de_DE", "en_US", "fr_FR"}},
	}
	if diff := cmp.Diff(want, got.Themes); diff != "" {
		t.Errorf("themes (-want +got):\n%s", diff)
	}
	if !got.Locked || got.EnableModules || got.StaticDependsOnPHP {
		t.Errorf("the sample store has a lock, a module list and no code that takes part in static content: %+v", got)
	}
	if !slices.Contains(got.Autoload, "vendor/sample/rounding/src") || !slices.Contains(got.Autoload, "vendor/magento/framework/registration.php") {
		t.Errorf("the packages' autoloaders are not told: %v", got.Autoload)
	}
	chosen := build.StoreOf(sampleStore(t), []string{"frontend/Magento/blank"}, []string{"fr_FR"}).Themes
	want = []build.Theme{
		{Area: "adminhtml", Code: "Magento/backend", Locales: []string{"fr_FR"}},
		{Area: "frontend", Code: "Magento/blank", Locales: []string{"fr_FR"}},
	}
	if diff := cmp.Diff(want, chosen); diff != "" {
		t.Errorf("themes and locales asked for (-want +got):\n%s", diff)
	}
}
