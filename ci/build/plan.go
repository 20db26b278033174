package build

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/magecloudkit/pipeline/ci/layer"
	"github.com/magecloudkit/pipeline/ci/store"
)

// AppRoot is where the store stands in both images, relative to /.
const AppRoot = "var/www/html"

// Plan is a whole build as data: its steps in an order that respects From.
type Plan struct {
	Steps []Step `json:"steps"`
	// Allowed are the files that may be in an image although they look like secrets.
	Allowed []store.Allowed `json:"allowed,omitempty"`
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
	// Patched has the patches of the store's m2-hotfixes applied after the
	// commands, and fails the step when a patch that the store declares is not in
	// the code then.
	Patched bool `json:"patched,omitempty"`
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
	// Allowed is the store's allow-list of what looks like a secret.
	Allowed []store.Allowed
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
		Allowed:            s.Allowed(),
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
	LayerMagento   = "magento" // what magento2-base puts outside of vendor, and the store's root
	LayerEntry     = "entry"
	LayerApp       = "app" // app without the two that follow
	LayerSeed      = "app-etc"
	LayerDesign    = "app-design"
	LayerCode      = "app-code"
	LayerGenerated = "generated"
	LayerTemplates = "templates"
	LayerRelease   = "release"
)

// left are the paths of a store that no step gets and no image holds: secrets,
// what belongs to one machine, and what a build makes itself.
var left = append(store.IgnoredPaths(), ".github", ".gitlab", ".circleci", ".ddev", ".editorconfig", ".gitattributes", ".gitignore", "README.md", store.AllowFile)

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
	p := Plan{Steps: []Step{composerStep(s, o), appStep(s), compileStep(s)}, Allowed: s.Allowed}
	p.Steps = append(p.Steps, staticSteps(s, shards, themes)...)
	return p, nil
}
