package build

import (
	_ "embed"
	"fmt"
	"path"
	"regexp"
	"slices"
	"sort"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/magecloudkit/pipeline/ci/layer"
	"github.com/magecloudkit/pipeline/ci/store"
)

// AppRoot is where the store stands in both images, relative to /.
const AppRoot = "var/www/html"

// Plan is a whole build as data: its steps in an order that respects From.
type Plan struct {
	Steps []Step `json:"steps"`
}

// Step returns the step of that name.
func (p Plan) Step(name string) (Step, bool) {
	i := slices.IndexFunc(p.Steps, func(s Step) bool { return s.Name == name })
	if i < 0 {
		return Step{}, false
	}
	return p.Steps[i], true
}

// Step is one step of a build: it starts from a tree, runs commands in it, and
// packs parts of what is there afterwards as layers.
type Step struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	// From is the step whose tree this one starts from; empty: an empty tree.
	From string `json:"from,omitempty"`
	// Overlay is what of the store's source is laid over that tree first.
	Overlay *Files `json:"overlay,omitempty"`
	// Clear lists directories of the tree that are emptied before the commands:
	// Magento skips work whose output is there already.
	Clear []string `json:"clear,omitempty"`
	// Write holds files, by path, that are put into the tree before the commands.
	Write map[string]string `json:"write,omitempty"`
	// Commands run one after the other in the tree's root. An exit code other
	// than 0 fails the step; nothing that a command prints does.
	Commands []Command `json:"commands,omitempty"`
	// Merge lists steps whose layers are unpacked into the tree, together; two
	// that disagree on a file fail the step.
	Merge []string `json:"merge,omitempty"`
	// Joined are patterns of JSON objects to which each of Magento's processes
	// adds its part. A merge joins them, and since the order of their members is
	// that of the work, they are written anew with sorted members.
	Joined []string `json:"joined,omitempty"`
	// MustExist names what the commands have to leave, and what it means when
	// it is missing in spite of an exit code of 0.
	MustExist []Expectation `json:"mustExist,omitempty"`
	// Layers are packed from the tree once the commands are done.
	Layers []layer.Spec `json:"layers,omitempty"`
	// Reuse says what the step's layers follow from; nil: it runs every time.
	Reuse *Reuse `json:"reuse,omitempty"`
}

// Command is a program with its arguments and what its environment adds.
type Command struct {
	Args []string          `json:"args"`
	Env  map[string]string `json:"env,omitempty"`
	// Secrets names environment variables that the command gets when the caller
	// has them; their values are never part of a step.
	Secrets []string `json:"secrets,omitempty"`
}

func (c Command) String() string { return strings.Join(c.Args, " ") }

// Files selects files of a tree by doublestar patterns relative to its root.
type Files struct {
	Include []string `json:"include,omitempty"`
	Exclude []string `json:"exclude,omitempty"`
}

// Expectation is a path that a step must leave.
type Expectation struct {
	Path string `json:"path"`
	Else string `json:"else"`
}

// Reuse says which inputs decide a step's layers. Equal inputs, commands and
// tools give equal layers, so layers packed earlier are taken instead.
type Reuse struct {
	// Of are steps whose results decide this one's.
	Of []string `json:"of,omitempty"`
	// Files are the files of the tree that decide it too.
	Files Files `json:"files"`
}

// Shards says how the static content is split over processes.
type Shards string

// The splits. Without compiled code each process spends about ten seconds on
// generating classes, so a split pays only where cores are idle.
const (
	ShardsAuto   Shards = "auto"   // from the number of CPUs
	ShardsNone   Shards = "none"   // one process
	ShardsTheme  Shards = "theme"  // one process a theme
	ShardsLocale Shards = "locale" // one process a theme and locale
)

// ParseShards reads one of auto, none, theme and locale.
func ParseShards(s string) (Shards, error) {
	switch v := Shards(s); v {
	case "":
		return ShardsAuto, nil
	case ShardsAuto, ShardsNone, ShardsTheme, ShardsLocale:
		return v, nil
	}
	return "", fmt.Errorf("shards %q: use auto, none, theme or locale", s)
}

// Theme is a theme whose static content is deployed, with its locales.
type Theme struct {
	Area    string   `json:"area"` // frontend or adminhtml
	Code    string   `json:"code"` // Vendor/name
	Locales []string `json:"locales"`
}

func (t Theme) path() string { return "pub/static/" + t.Area + "/" + t.Code }
func (t Theme) name() string { return t.Area + "-" + strings.ReplaceAll(t.Code, "/", "-") }

// Store is what a plan has to know of a store; see [StoreOf].
type Store struct {
	// ComposerInputs is what of the source composer may read.
	ComposerInputs Files
	// PathRepositories are the directories of the store's own composer
	// packages; composer copies them into vendor, and no image holds them twice.
	PathRepositories []string
	// Autoload are the paths below vendor that packages' autoloaders name; no
	// image goes without them.
	Autoload []string
	// Locked says that a composer.lock pins what composer installs, LockHash by
	// which content-hash.
	Locked   bool
	LockHash string
	// EnableModules says that config.php lists no modules: all are enabled.
	EnableModules bool
	// SupplyScopes says that config.php has no websites and store views, or that
	// nobody can tell: static content gets them for as long as it is deployed.
	SupplyScopes bool
	// MinifiedTemplates says that config.php asks for minified HTML: production
	// mode then reads templates that only the deployment of static content makes.
	MinifiedTemplates bool
	// StaticDependsOnPHP says that PHP classes of app/code take part in making
	// static content, so that it cannot be reused when one of them changes.
	StaticDependsOnPHP bool
	Themes             []Theme
}

// StoreOf takes what a plan has to know from a store. Themes and locales, where
// given, replace the store's own.
func StoreOf(s *store.Store, themes, locales []string) Store {
	out := Store{
		ComposerInputs:     Files{Exclude: s.ComposerInputs().Exclude},
		PathRepositories:   s.PathRepositories(),
		Autoload:           s.AutoloadPaths(),
		Locked:             s.HasLock(),
		LockHash:           s.LockHash(),
		EnableModules:      !s.HasModules(),
		SupplyScopes:       !s.ScopesTold(),
		MinifiedTemplates:  s.MinifiesHTML(),
		StaticDependsOnPHP: s.StaticDependsOnPHP(),
	}
	for _, t := range s.Static(themes, locales) {
		out.Themes = append(out.Themes, Theme{Area: t.Theme.Area, Code: t.Theme.Code, Locales: t.Locales})
	}
	return out
}

// Options are a caller's choices.
type Options struct {
	// CPUs is the number of processors that the build may use.
	CPUs   int
	Shards Shards
	// StripTests leaves the packages' tests out of the images: a third of a
	// real store's vendor directory. Only a lock tells what is a test and what
	// a package loads, so without one they stay.
	StripTests bool
	// Ignore are paths in the source that are not the store's: where results and
	// caches go, when that is inside of it.
	Ignore []string
}

// The names of the steps. A shard's is Static, a dot, and its theme and locale.
const (
	Composer = "composer"
	App      = "app"
	Compile  = "compile"
	Static   = "static"
)

// Names of the layers that are not a theme's.
const (
	LayerVendor    = "vendor"
	LayerApp       = "app"
	LayerSeed      = "app-etc"
	LayerEntry     = "entry"
	LayerGenerated = "generated"
	LayerTemplates = "templates"
	LayerRelease   = "release"
)

// left are the paths of a store that no step gets and no image holds: secrets,
// what belongs to one machine, and what a build makes itself.
var left = append(store.IgnoredPaths(), ".github", ".gitlab", ".circleci", ".ddev", ".editorconfig", ".gitattributes", ".gitignore", "README.md")

// tests are the directories of packages that only their developers need. Magento's
// modules keep theirs in Test.
var tests = []string{
	"vendor/*/*/Test", "vendor/*/*/Tests", "vendor/*/*/test", "vendor/*/*/tests", "vendor/magento/magento2-base/dev", "vendor/mage-os/magento2-base/dev",
}

// autoload are the files of vendor that composer writes anew after compiling.
// They go with the generated code, so that vendor's layer stays as it is.
var autoload = []string{
	"vendor/autoload.php", "vendor/composer/autoload_classmap.php", "vendor/composer/autoload_files.php", "vendor/composer/autoload_namespaces.php",
	"vendor/composer/autoload_psr4.php", "vendor/composer/autoload_real.php", "vendor/composer/autoload_static.php", "vendor/composer/platform_check.php",
}

// memoryLimit is what Magento's commands get: compiling fails at 256 MB, passes
// at 512 MB on a plain store, and larger stores need more.
const memoryLimit = "2G"

func magento(args ...string) Command {
	return Command{Args: append([]string{"php", "-d", "memory_limit=" + memoryLimit, "bin/magento", "--no-ansi", "--no-interaction"}, args...)}
}

func composer(args ...string) Command {
	return Command{
		Args: append([]string{"composer"}, args...),
		Env: map[string]string{
			"COMPOSER_ALLOW_SUPERUSER": "1",
			// Else composer asks the git repository that it finds itself in, which
			// on a host need not be the store's, for the version and the revision
			// that it writes into vendor. This is what it writes where there is none;
			// a version in composer.json wins over it.
			"COMPOSER_ROOT_VERSION": "1.0.0+no-version-set",
			// A package of the store itself is copied, not linked: a link would
			// point out of the image.
			"COMPOSER_MIRROR_PATH_REPOS": "1",
			"COMPOSER_NO_INTERACTION":    "1",
		},
	}
}

// New makes the plan of a store's build. It fails on a store without themes or
// on options that make no sense, before anything has run.
func New(s Store, o Options) (Plan, error) {
	shards, err := ParseShards(string(o.Shards))
	if err != nil {
		return Plan{}, err
	}
	if len(s.Themes) == 0 {
		return Plan{}, fmt.Errorf("no theme to deploy: name one with --themes, or add themes to app/etc/config.php by `bin/magento app:config:dump scopes themes`")
	}
	themes := slices.Clone(s.Themes)
	sort.Slice(themes, func(i, j int) bool { return themes[i].path() < themes[j].path() })
	for _, t := range themes {
		if len(t.Locales) == 0 {
			return Plan{}, fmt.Errorf("theme %s/%s has no locale: name one with --locales", t.Area, t.Code)
		}
	}
	if shards == ShardsAuto {
		shards = autoShards(o.CPUs, themes)
	}
	p := Plan{Steps: []Step{composerStep(s, o), appStep(s), compileStep(s)}}
	p.Steps = append(p.Steps, staticSteps(s, shards, themes)...)
	return p, nil
}

// autoShards decides from the processors. Compiling keeps one of them busy, and
// on two, one process for all static content was the fastest (56 s, against 67 s
// by theme and 99 s by theme and locale on Magento 2.4.7 with three themes).
func autoShards(cpus int, themes []Theme) Shards {
	locales := 0
	for _, t := range themes {
		locales += len(t.Locales)
	}
	switch {
	case cpus <= 2 || len(themes) == 1 && locales == 1:
		return ShardsNone
	case len(themes) > 1 && cpus < 2*len(themes):
		return ShardsTheme
	case locales > len(themes):
		return ShardsLocale
	case len(themes) > 1:
		return ShardsTheme
	}
	return ShardsNone
}

func composerStep(s Store, o Options) Step {
	exclude := append([]string{"**/auth.json"}, autoload...)
	var keep []string
	if o.StripTests && s.Locked {
		exclude = append(exclude, tests...)
		keep = loadedTests(s.Autoload)
	}
	inputs := Files{
		Include: s.ComposerInputs.Include,
		Exclude: slices.Compact(slices.Sorted(slices.Values(slices.Concat(left, s.ComposerInputs.Exclude, o.Ignore)))),
	}
	install := composer("install", "--no-dev", "--prefer-dist", "--no-interaction", "--no-progress", "--no-ansi", "--optimize-autoloader")
	install.Secrets = []string{"COMPOSER_AUTH"}
	st := Step{
		Name:     Composer,
		Title:    "install packages",
		Overlay:  &inputs,
		Commands: []Command{install},
		MustExist: []Expectation{{
			Path: "bin/magento",
			Else: "composer exited 0, but no package put bin/magento there. magento-composer-installer copies it from the base package: " +
				"check that composer.json requires a product package (mage-os/product-community-edition, magento/product-community-edition), " +
				"allows the installer plugin under config.allow-plugins, and does not run with --no-plugins",
		}},
		Layers: []layer.Spec{{
			Name:    LayerVendor,
			Include: []string{"vendor"},
			Exclude: exclude,
			Keep:    keep,
			Prefix:  AppRoot,
		}},
	}
	if s.Locked {
		// Without a lock the same composer.json gives other packages tomorrow.
		st.Reuse = &Reuse{Files: inputs}
	}
	if lockHash.MatchString(s.LockHash) {
		// Composer names the autoloader's class after the lock from 2.6 on, and
		// by chance before. The name in an autoload.php that is there it keeps.
		st.Write = map[string]string{"vendor/autoload.php": "<?php // ComposerAutoloaderInit" + s.LockHash + "::\n"}
	}
	return st
}

var lockHash = regexp.MustCompile(`^[0-9a-f]+$`)

// loadedTests are the directories named like tests in which packages have code
// that they load.
func loadedTests(autoload []string) []string {
	var keep []string
	for _, p := range autoload {
		for dir := p; dir != "."; dir = path.Dir(dir) {
			if slices.ContainsFunc(tests, func(t string) bool { return doublestar.MatchUnvalidated(t, dir) }) && !slices.Contains(keep, dir) {
				keep = append(keep, dir)
			}
		}
	}
	return keep
}

// proper are the directories of a store that hold more than packages, even where
// a path repository is among them.
var proper = []string{".", "app", "bin", "dev", "lib", "phpserver", "pub", "setup"}

// packagesOf is what of the store is left out of the images because composer has
// copied it into vendor: the whole directory that a path repository's pattern
// begins with, or, in a directory that holds more, what matches.
func packagesOf(repository string) string {
	dir, glob := doublestar.SplitPattern(repository)
	if !strings.ContainsAny(glob, "*?[{") {
		dir = repository
	}
	if slices.Contains(proper, dir) {
		return repository
	}
	return dir
}

func appStep(s Store) Step {
	exclude := append(slices.Clone(left), "docker", "dev/tests")
	for _, r := range s.PathRepositories {
		exclude = append(exclude, packagesOf(r))
	}
	st := Step{
		Name:  App,
		Title: "lay the store over its packages",
		From:  Composer,
		Overlay: &Files{
			Include: []string{"app/**", "docker/**"},
			Exclude: left,
		},
		Layers: []layer.Spec{
			{
				Name:    LayerApp,
				Exclude: exclude,
				Prefix:  AppRoot,
				Owned: []layer.Owned{
					{Path: "app/etc", UID: PHPUser, GID: PHPUser},
					{Path: "var", UID: PHPUser, GID: PHPUser},
					{Path: "pub/media", UID: PHPUser, GID: PHPUser},
				},
			},
			// What the entrypoint fills an empty mounted app/etc from.
			{
				Name:    LayerSeed,
				Include: []string{"app/etc"},
				Exclude: []string{"app/etc/env.*"},
				Prefix:  seedRoot,
			},
			{
				Name:    LayerEntry,
				Include: []string{"pub"},
				Exclude: []string{"pub/static/**", "pub/media/**"},
				Prefix:  AppRoot,
			},
		},
	}
	if s.EnableModules {
		st.Commands = []Command{magento("module:enable", "--all")}
	}
	return st
}

// seedRoot is where the php image keeps its own copy of app/etc, for when an
// empty volume is mounted over it.
const seedRoot = "usr/local/share/magento"

// facts writes generated/magecloudkit.php, which the image's env.php reads.
//
//go:embed facts.php
var facts string

const (
	factsScript = "var/magecloudkit-facts.php"
	factsFile   = "generated/magecloudkit.php"
)

func compileStep(s Store) Step {
	return Step{
		Name:  Compile,
		Title: "compile dependency injection",
		From:  App,
		Clear: []string{"generated", "var"},
		Write: map[string]string{factsScript: facts},
		Commands: []Command{
			magento("setup:di:compile"),
			composer("dump-autoload", "--no-dev", "--no-interaction", "--no-ansi", "--optimize", "--apcu", "--apcu-prefix", "magento", "--no-scripts"),
			{Args: []string{"php", "-d", "memory_limit=" + memoryLimit, factsScript}},
		},
		MustExist: []Expectation{{
			Path: "generated/metadata",
			Else: "setup:di:compile exited 0 and left no generated/metadata",
		}, {
			Path: factsFile,
			Else: "what the image's env.php has to know of this build was not written",
		}},
		Layers: []layer.Spec{{
			Name:     LayerGenerated,
			Include:  []string{"generated"},
			Optional: autoload,
			Prefix:   AppRoot,
		}},
		Reuse: &Reuse{
			Of: []string{Composer},
			Files: Files{
				Include: []string{"app/code/**", "app/etc/*"},
				Exclude: []string{"app/code/**/view/**", "app/code/**/i18n/**"},
			},
		},
	}
}

func staticSteps(s Store, shards Shards, themes []Theme) []Step {
	final := append(staticLayers(themes), templateLayers(s)...)
	var parts []Step
	switch shards {
	case ShardsTheme:
		for _, t := range themes {
			parts = append(parts, deployStep(s, Static+"."+t.name(), []Theme{t}))
		}
	case ShardsLocale:
		for _, t := range themes {
			for _, l := range t.Locales {
				parts = append(parts, deployStep(s, Static+"."+t.name()+"-"+l, []Theme{{t.Area, t.Code, []string{l}}}))
			}
		}
	default:
		st := deployStep(s, Static, themes)
		st.Layers = final
		return []Step{st}
	}
	templates := templateLayers(s)
	// The layers have to be the same on a machine with other processors, so the
	// shards' outputs are put together before they are packed for the images.
	merge := Step{Name: Static, Title: "merge static content", Layers: final, Joined: joined, Reuse: &Reuse{}}
	for i := range parts {
		parts[i].Layers = []layer.Spec{{
			Name:    parts[i].Name,
			Include: []string{"pub/static"},
			Exclude: []string{deployedVersion},
		}}
		if len(templates) > 0 { // each process minifies all of them
			parts[i].Layers[0].Include = append(parts[i].Layers[0].Include, templates[0].Include...)
			parts[i].Layers[0].Exclude = append(parts[i].Layers[0].Exclude, templates[0].Exclude...)
		}
		merge.Merge = append(merge.Merge, parts[i].Name)
		merge.Reuse.Of = append(merge.Reuse.Of, parts[i].Name)
	}
	return append(parts, merge)
}

// joined are the lists of an area's scripts with their hashes, which Magento's
// Content Security Policy module writes from 2.4.7 on: one for all themes.
var joined = []string{"pub/static/*/sri-hashes.json"}

// deployedVersion is written by the release, not by a shard: a version in it
// would change every layer of static content with every commit.
const deployedVersion = "pub/static/deployed_version.txt"

// deployStep deploys themes in one process. Parents that are not named are not
// deployed (--no-parent): the union of shards then equals one run over them all,
// byte for byte, and so it does only with --no-js-bundle.
func deployStep(s Store, name string, themes []Theme) Step {
	// Classes of the store's own modules do not shape static content; what
	// registers a module, its configuration, templates and translations do.
	files := Files{Include: []string{
		"app/code/**/registration.php", "app/code/**/etc/**", "app/code/**/view/**", "app/code/**/i18n/**",
		"app/design/**", "app/i18n/**", "app/etc/*",
	}}
	if s.StaticDependsOnPHP {
		files.Include = append(files.Include, "app/code/**")
	}
	st := Step{
		Name:   name,
		Title:  "deploy static content",
		From:   App,
		Clear:  []string{"generated", "var", "pub/static"},
		Joined: joined,
		Reuse:  &Reuse{Of: []string{Composer}, Files: files},
	}
	for _, g := range byLocales(themes) {
		args := []string{"setup:static-content:deploy", "--force", "--no-js-bundle", "--no-parent", "--content-version", "0"}
		var areas []string
		for _, t := range g {
			if !slices.Contains(areas, t.Area) {
				areas = append(areas, t.Area)
				args = append(args, "--area", t.Area)
			}
		}
		for _, t := range g {
			args = append(args, "--theme", t.Code)
		}
		st.Commands = append(st.Commands, magento(append(args, g[0].Locales...)...))
	}
	if s.SupplyScopes {
		st.supplyScopes()
	}
	return st
}

// byLocales groups themes that share their locales: one process each.
func byLocales(themes []Theme) [][]Theme {
	var groups [][]Theme
next:
	for _, t := range themes {
		for i, g := range groups {
			if slices.Equal(g[0].Locales, t.Locales) {
				groups[i] = append(g, t)
				continue next
			}
		}
		groups = append(groups, []Theme{t})
	}
	return groups
}

// staticLayers are a layer a theme, one for what lies outside of them, and the
// same again of pre-compressed files, which only nginx serves.
func staticLayers(themes []Theme) []layer.Spec {
	var specs []layer.Spec
	rest := []string{deployedVersion}
	for _, t := range themes {
		specs = append(specs, layer.Spec{Name: Static + "-" + t.name(), Include: []string{t.path()}, Prefix: AppRoot})
		rest = append(rest, t.path()+"/**")
	}
	specs = append(specs, layer.Spec{Name: Static + "-common", Include: []string{"pub/static"}, Exclude: rest, Prefix: AppRoot})
	for _, s := range slices.Clone(specs) {
		s.Name = gzipPrefix + s.Name
		s.GzipSiblings = true
		specs = append(specs, s)
	}
	return specs
}

// templateLayers are the minified templates of a store that asks for them. They
// stand beside the image's own copy of app/etc: var, where Magento reads them, may
// be a volume, and the entrypoint puts them there.
func templateLayers(s Store) []layer.Spec {
	if !s.MinifiedTemplates {
		return nil
	}
	return []layer.Spec{{
		Name:    LayerTemplates,
		Include: []string{"var/view_preprocessed"},
		Exclude: []string{"var/view_preprocessed/**/*.{less,css,js,map,json,html,svg,txt}"},
		Prefix:  seedRoot,
	}}
}

// gzipPrefix starts the names of layers of pre-compressed files.
const gzipPrefix = "gzip-"
