// Package store describes a Magento 2 store from its source: what it is made of, what a build of it needs, and
// everything that would make that build fail. It only reads files; it runs neither PHP nor composer.
package store

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
)

// The areas that static content is deployed for.
const (
	frontend  = "frontend"
	adminhtml = "adminhtml"
)

const (
	manifestPath = "composer.json"
	lockPath     = "composer.lock"
	configPath   = "app/etc/config.php"
	envPath      = "app/etc/env.php"
	authPath     = "auth.json"
)

// A Theme is known by its area and its code.
type Theme struct {
	Area   string `json:"area"`             // "frontend" or "adminhtml"
	Code   string `json:"code"`             // "Vendor/name"
	Parent string `json:"parent,omitempty"` // the code of the theme it builds on, when it is known
}

func (t Theme) String() string { return t.Area + "/" + t.Code }

// A Store is a store's source as it was read by Open.
type Store struct {
	fsys fs.FS

	manifest    *manifest // nil: absent or invalid
	manifestErr error     // nil when absent
	lock        *lockFile
	lockErr     error
	config      *shopConfig
	configErr   error

	hasManifest, hasLock, hasConfig, hasEnv, hasAuth bool

	codeModules  []component     // of app/code
	themes       []Theme         // of app/design and of packages in the source
	modules      map[string]bool // of packages in the source
	unread       []lockedPackage // packages that may register modules and themes and are not in the source
	unregistered []string        // directories that Magento does not see for want of a registration.php
	broken       []component     // files that cannot be read as what they should be
	design       bool            // the store's own code takes part in deploying static content
	ownLocales   bool            // the store's own code adds to the locales that Magento allows

	nodeThemes   []nodeTheme
	nodeDeclared []declaredNode // of composer.json
	nodeOff      bool           // composer.json says that Node builds nothing
	nodeInvalid  error          // what is wrong with what it declares
	hyvaModules  []string       // directories of app/code that add themselves to app/etc/hyva-themes.json

	allowed        []Allowed // of AllowFile
	allowedInvalid []string  // what is wrong with it
}

// component is a module and its directory, or what is wrong with a file and the file.
type component struct{ name, path string }

// Open reads the store at the root of fsys. It fails when files cannot be read; what is wrong with the store itself is
// what Check tells.
func Open(fsys fs.FS) (*Store, error) {
	s := &Store{fsys: fsys}
	if _, err := fs.Stat(fsys, "."); err != nil {
		return nil, fmt.Errorf("read the store: %w", err)
	}
	src, ok, err := s.read(manifestPath)
	if err != nil {
		return nil, err
	}
	if s.hasManifest = ok; ok {
		s.manifest, s.manifestErr = parseManifest(src)
	}
	src, ok, err = s.read(lockPath)
	if err != nil {
		return nil, err
	}
	if s.hasLock = ok; ok {
		lock := &lockFile{}
		if s.lockErr = parseJSON(src, lock); s.lockErr == nil {
			s.lock = lock
		}
	}
	src, ok, err = s.read(configPath)
	if err != nil {
		return nil, err
	}
	if s.hasConfig = ok; ok {
		s.config, s.configErr = parseConfig(src)
	}
	if src, _, err = s.read(AllowFile); err != nil {
		return nil, err
	}
	s.allowed, s.allowedInvalid = ParseAllowed(src)
	s.readNodeSetting()
	for p, there := range map[string]*bool{envPath: &s.hasEnv, authPath: &s.hasAuth} {
		if *there, err = s.exists(p); err != nil {
			return nil, err
		}
	}
	if err := s.scanCode(); err != nil {
		return nil, err
	}
	if err := s.scanDesign(); err != nil {
		return nil, err
	}
	if s.modules, s.unread, err = s.scanPackages(false); err != nil {
		return nil, err
	}
	return s, nil
}

// read returns a file's content; ok is false when there is no such file.
func (s *Store) read(name string) (src []byte, ok bool, err error) {
	src, err = fs.ReadFile(s.fsys, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("read the store: %w", err)
	}
	return src, true, nil
}

func (s *Store) exists(name string) (bool, error) {
	_, err := fs.Stat(s.fsys, name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read the store: %w", err)
	}
	return true, nil
}

// dirs lists the directories in dir, sorted; none when dir is absent.
func (s *Store) dirs(dir string) ([]string, error) {
	entries, err := fs.ReadDir(s.fsys, dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the store: %w", err)
	}
	var out []string
	for _, e := range entries {
		p := path.Join(dir, e.Name())
		isDir := e.IsDir()
		if e.Type()&fs.ModeSymlink != 0 {
			info, err := fs.Stat(s.fsys, p)
			isDir = err == nil && info.IsDir()
		}
		if isDir {
			out = append(out, p)
		}
	}
	return out, nil
}

// HasLock reports whether there is a composer.lock.
func (s *Store) HasLock() bool { return s.hasLock }

// LockHash is composer.lock's content-hash, which follows from composer.json; "" without a lock.
func (s *Store) LockHash() string {
	if s.lock == nil {
		return ""
	}
	return s.lock.ContentHash
}

// HasModules reports whether app/etc/config.php lists modules; if not, a build enables all of them.
func (s *Store) HasModules() bool { return s.config.modules() != nil || s.config.hides("modules") }

// MinifiesHTML reports whether config.php asks for minified templates.
func (s *Store) MinifiesHTML() bool { return s.config.asksFor("dev", "template", "minify_html") }

// HasScopes reports whether app/etc/config.php holds, or may hold, the websites and store views, which static content needs.
func (s *Store) HasScopes() bool { return s.config.scopes() }

// ScopesTold reports whether app/etc/config.php certainly holds the websites and store views: no part of it that could
// is left to running PHP.
func (s *Store) ScopesTold() bool {
	return s.config.scopes() && !s.config.hides("scopes", "websites") && !s.config.hides("scopes", "stores")
}

// Modules maps each module that app/etc/config.php lists to whether it is enabled.
func (s *Store) Modules() map[string]bool { return s.config.modules() }

// magentoThemes are the themes that Magento's and Mage-OS's own packages register, by the package's name after its vendor.
var magentoThemes = map[string]Theme{
	"theme-adminhtml-backend":  {Area: adminhtml, Code: "Magento/backend"},
	"theme-adminhtml-spectrum": {Area: adminhtml, Code: "Magento/spectrum", Parent: "Magento/backend"},
	"theme-adminhtml-m137":     {Area: adminhtml, Code: "MageOS/m137-admin-theme", Parent: "Magento/backend"},
	"theme-frontend-blank":     {Area: frontend, Code: "Magento/blank"},
	"theme-frontend-luma":      {Area: frontend, Code: "Magento/luma", Parent: "Magento/blank"},
}

// magentoTheme is the theme that the package brings, if it is one of Magento's or Mage-OS's own.
func (p lockedPackage) magentoTheme() (Theme, bool) {
	_, name, _ := strings.Cut(p.Name, "/")
	t, ok := magentoThemes[name]
	return t, ok && p.magentos()
}

// magentos reports whether the package is Adobe's or Mage-OS's.
func (p lockedPackage) magentos() bool {
	return strings.HasPrefix(p.Name, "magento/") || strings.HasPrefix(p.Name, "mage-os/")
}

// knownThemes are all themes that the source tells of: those in the source, in config.php, and in Magento's
// own packages.
func (s *Store) knownThemes() []Theme {
	byName := map[string]Theme{}
	var order []string
	add := func(t Theme) {
		old, ok := byName[t.String()]
		if !ok {
			order = append(order, t.String())
		}
		if !ok || old.Parent == "" {
			byName[t.String()] = t
		}
	}
	for _, t := range s.themes {
		add(t)
	}
	for _, t := range s.config.themes() {
		add(t)
	}
	if s.lock != nil {
		for _, p := range s.lock.Packages {
			if t, ok := p.magentoTheme(); ok {
				add(t)
			}
		}
	}
	slices.Sort(order)
	out := make([]Theme, len(order))
	for i, name := range order {
		out[i] = byName[name]
	}
	return out
}

// Themes are those whose static content is deployed unless the command line names others: Magento's admin theme and any
// other admin theme of the store, and the frontend themes that app/etc/config.php assigns to the store views. When it
// leaves a store view's theme to the database, all frontend themes are deployed, as Magento itself does: a theme too many
// costs seconds, a theme too few is a shop without style sheets.
func (s *Store) Themes() []Theme {
	known := s.knownThemes()
	named, told := s.config.namedThemes()
	var out []Theme
	for _, t := range known {
		if t.Area == adminhtml || !told || slices.Contains(named, t.Code) {
			out = append(out, t)
		}
	}
	for _, code := range named {
		if t := (Theme{Area: frontend, Code: code}); !containsTheme(out, t) {
			out = append(out, t)
		}
	}
	if backend := magentoThemes["theme-adminhtml-backend"]; !containsTheme(out, backend) {
		out = append(out, backend)
	}
	if len(known) == 0 {
		out = append(out, magentoThemes["theme-frontend-blank"], magentoThemes["theme-frontend-luma"])
	}
	sortThemes(out)
	return out
}

func containsTheme(list []Theme, t Theme) bool {
	return slices.ContainsFunc(list, func(o Theme) bool { return o.Area == t.Area && o.Code == t.Code })
}

func sortThemes(list []Theme) {
	slices.SortFunc(list, func(a, b Theme) int { return strings.Compare(a.String(), b.String()) })
}

// Locales maps an area to the locales that static content is deployed in unless the command line names others, sorted:
// those of the store views for the frontend; en_US, which admin accounts begin with, and the default locale for the admin.
func (s *Store) Locales() map[string][]string {
	front, admin, _ := s.config.locales()
	return map[string][]string{frontend: front, adminhtml: admin}
}

// Static is one theme to deploy static content for, in some locales.
type Static struct {
	Theme   Theme    `json:"theme"`
	Locales []string `json:"locales"`
}

// Static says what static content a build deploys. Themes and locales, where given, replace the store's own: a theme is
// "Vendor/name" or "area/Vendor/name"; locales hold for every theme, as in Magento's own command. When only frontend
// themes are named the admin's are kept, since a production store cannot make them later.
func (s *Store) Static(themes, locales []string) []Static {
	chosen := s.Themes()
	if len(themes) > 0 {
		admin := slices.DeleteFunc(slices.Clone(chosen), func(t Theme) bool { return t.Area != adminhtml })
		chosen = nil
		for _, name := range themes {
			if t := s.resolveTheme(name); !containsTheme(chosen, t) {
				chosen = append(chosen, t)
			}
		}
		if !slices.ContainsFunc(chosen, func(t Theme) bool { return t.Area == adminhtml }) {
			chosen = append(chosen, admin...)
		}
		sortThemes(chosen)
	}
	byArea := s.Locales()
	if len(locales) > 0 {
		given := slices.Compact(slices.Sorted(slices.Values(locales)))
		byArea = map[string][]string{frontend: given, adminhtml: given}
	}
	out := make([]Static, len(chosen))
	for i, t := range chosen {
		out[i] = Static{Theme: t, Locales: byArea[t.Area]}
	}
	return out
}

// resolveTheme finds the theme that a name given by a person means.
func (s *Store) resolveTheme(name string) Theme {
	area, code, ok := strings.Cut(name, "/")
	explicit := ok && (area == frontend || area == adminhtml) && strings.Contains(code, "/")
	if !explicit {
		area, code = frontend, name
	}
	for _, t := range s.knownThemes() {
		if t.Code == code && (!explicit || t.Area == area) {
			return t
		}
	}
	return Theme{Area: area, Code: code}
}

// lockedPackage finds a package of the lock.
func (s *Store) lockedPackage(name string) (lockedPackage, bool) {
	if s.lock != nil {
		for _, p := range s.lock.Packages {
			if strings.EqualFold(p.Name, name) {
				return p, true
			}
		}
	}
	return lockedPackage{}, false
}

// An Edition is a distribution of Magento.
type Edition string

// The editions that are told apart.
const (
	OpenSource    Edition = "Magento Open Source"
	Commerce      Edition = "Adobe Commerce"
	CommerceCloud Edition = "Adobe Commerce on cloud"
	MageOS        Edition = "Mage-OS"
)

// products are the packages whose presence makes a project a Magento store, the most telling first.
var products = []struct {
	name    string
	edition Edition
}{
	{"magento/magento-cloud-metapackage", CommerceCloud},
	{"magento/product-enterprise-edition", Commerce},
	{"mage-os/product-minimal-edition", MageOS},
	{"mage-os/product-community-edition", MageOS},
	{"magento/product-community-edition", OpenSource},
	{"mage-os/magento2-base", MageOS},
	{"magento/magento2-base", OpenSource},
	{"mage-os/framework", MageOS},
	{"magento/framework", OpenSource},
}

// product finds what makes this a Magento store: the edition, and its version or, without a lock, its constraint.
func (s *Store) product() (edition Edition, version string, ok bool) {
	for _, p := range products {
		if locked, found := s.lockedPackage(p.name); found {
			return p.edition, strings.TrimPrefix(locked.Version, "v"), true
		}
	}
	if s.manifest == nil {
		return "", "", false
	}
	for _, p := range products {
		if c, found := s.manifest.Require[p.name]; found {
			return p.edition, c, true
		}
		if _, found := s.manifest.Replace[p.name]; found { // Magento's own repository
			return p.edition, s.manifest.Version, true
		}
	}
	for _, prefix := range []string{"magento/product-", "mage-os/product-"} {
		for _, name := range slices.Sorted(maps.Keys(s.manifest.Require)) {
			if strings.HasPrefix(name, prefix) {
				edition := OpenSource
				if strings.HasPrefix(name, "mage-os/") {
					edition = MageOS
				}
				return edition, s.manifest.Require[name], true
			}
		}
	}
	return "", "", false
}

// Edition is the distribution of Magento; "" when this is not a Magento store.
func (s *Store) Edition() Edition {
	e, _, _ := s.product()
	return e
}

// MagentoVersion is the edition's version: of the lock, or, without one, the constraint in composer.json ("~2.4.8").
func (s *Store) MagentoVersion() string {
	_, v, _ := s.product()
	return v
}
