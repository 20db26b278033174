package store

import (
	"cmp"
	"encoding/json"
	"errors"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Hotfixes is the directory of patches that Adobe Commerce Cloud applies in every build, in the order of their names.
const Hotfixes = "m2-hotfixes"

// patchesDir is where stores keep the patches that they declare, and those that they forget to.
const patchesDir = "patches"

// Patch is a patch that the store's code is to have.
type Patch struct {
	File    string // relative to the store; "" for one that is downloaded
	URL     string // "" for one that is in the store or a package
	Package string // what it is for; "" when nothing tells
	Dir     string // of that package, relative to the store; "" when nothing tells
	By      string // the file that declares it; "" for one that only lies there
	Hotfix  bool   // of m2-hotfixes: the build applies it itself
}

// String is the patch as people know it.
func (p Patch) String() string {
	if p.File == "" {
		return p.URL
	}
	return p.File
}

// patchPlugin is a composer plugin that applies patches. Each reads declarations of its own form.
type patchPlugin struct {
	name  string
	major int // of its version
}

var patchPlugins = []string{"cweagans/composer-patches", "vaimo/composer-patches", "vaimo/composer-patches-proxy"}

// patchPlugin is the one that is locked; its name is "" when there is none.
func (s *Store) patchPlugin() patchPlugin {
	for _, name := range patchPlugins {
		if p, ok := s.lockedPackage(name); ok {
			v, _, _, err := parseVersion(strings.TrimPrefix(p.Version, "v"))
			if err != nil { // a branch: the latest
				return patchPlugin{name, 2}
			}
			return patchPlugin{name, v.n[0]}
		}
	}
	if s.lock == nil && s.manifest != nil {
		for _, name := range patchPlugins {
			if wanted, ok := s.manifest.Require[name]; ok {
				v, _, _, _ := parseVersion(firstVersion.FindString(wanted))
				return patchPlugin{name, v.n[0]}
			}
		}
	}
	return patchPlugin{}
}

// Patches are those that composer.json and the packages declare, in the order in which they are applied, and those that lie
// in m2-hotfixes and patches, m2-hotfixes last. What is declared for other versions, for packages that nothing installs, or
// as not to be applied is left out, and so is what only the plugin itself can tell. Packages' own lists in files are read
// when the store is installed.
func (s *Store) Patches() ([]Patch, error) {
	c := &patchCollector{Store: s, plugin: s.patchPlugin(), seen: map[string]bool{}}
	if err := c.declared(); err != nil {
		return nil, err
	}
	if err := c.lying(); err != nil {
		return nil, err
	}
	return c.found, nil
}

type patchCollector struct {
	*Store
	plugin patchPlugin
	found  []Patch
	seen   map[string]bool // files that are declared, whether they count or not
	dark   bool            // some declarations only the plugin can read
	// What the store takes out of its packages' declarations: packages, and patches by their name.
	refused []string
}

func (c *patchCollector) vaimo() bool { return strings.HasPrefix(c.plugin.name, "vaimo/") }

// declared collects what composer.json, its patch lists and the packages declare.
func (c *patchCollector) declared() error { //nolint:cyclop // a rule of a plugin a case
	if c.manifest == nil {
		return nil
	}
	var extra object
	if len(c.manifest.Extra) > 0 {
		_ = json.Unmarshal(c.manifest.Extra, &extra)
	}
	if string(extra["patcher"]) == "false" {
		return nil
	}
	if err := c.owner("", manifestPath, extra); err != nil {
		return err
	}
	if c.lock == nil || c.plugin.name == "" {
		return nil
	}
	if c.plugin.major == 1 && !c.vaimo() && extra["patches"] == nil && extra["patches-file"] == nil && string(extra["enable-patching"]) != "true" {
		return nil // it applies the packages' own only where the store has some, too
	}
	if c.vaimo() && extra.object("patcher")["sources"] != nil {
		return nil // it chooses among the packages
	}
	for _, raw := range []json.RawMessage{extra["patches-ignore"], extra["patches-exclude"], extra.object("composer-patches")["ignore-dependency-patches"]} {
		c.refused = append(c.refused, texts(raw)...)
	}
	for _, p := range c.lock.Packages {
		if slices.Contains(texts(extra.object("composer-patches")["ignore-dependency-patches"]), p.Name) {
			continue
		}
		if err := c.owner(path.Join(c.VendorDir(), p.Name), p.Name, p.Extra); err != nil {
			return err
		}
	}
	return nil
}

// owner collects what one composer.json declares; dir is its package's directory, "" for the store's.
func (c *patchCollector) owner(dir, by string, extra object) error { //nolint:cyclop // a way to declare patches a case
	if dir != "" && extra["patches"] == nil && extra["patches-file"] == nil && extra["patches-search"] == nil {
		return nil
	}
	patcher := extra.object("patcher")
	if extra["patches-base"] != nil || patcher["paths"] != nil || extra["patches-depend"] != nil || patcher["depends"] != nil {
		// Names are made from templates, or versions are another package's.
		c.dark = c.dark || dir == ""
		return nil
	}
	c.list(dir, by, extra["patches"])
	for _, raw := range []json.RawMessage{extra["patches-file"], patcher["file"], extra.object("composer-patches")["patches-file"]} {
		for _, file := range texts(raw) {
			if err := c.file(dir, file, true); err != nil {
				return err
			}
		}
	}
	if dir == "" && c.plugin.name == patchPlugins[0] && c.plugin.major >= 2 && extra.object("composer-patches")["patches-file"] == nil {
		if err := c.file("", "patches.json", false); err != nil {
			return err
		}
	}
	for _, raw := range []json.RawMessage{extra["patches-search"], patcher["search"]} {
		for _, where := range texts(raw) {
			if err := c.search(path.Join(dir, where)); err != nil {
				return err
			}
		}
	}
	return nil
}

// file collects what a list of patches in a file of its own declares.
func (c *patchCollector) file(dir, name string, named bool) error {
	if !fs.ValidPath(path.Clean(path.Join(dir, name))) {
		return nil
	}
	src, ok, err := c.read(path.Join(dir, name))
	if err != nil || !ok {
		return err
	}
	var content object
	if err := parseJSON(src, &content); err != nil && named {
		return nil // composer's plugin says it, and stops
	}
	raw := json.RawMessage(src)
	if inner, ok := content["patches"]; ok {
		raw = inner
	}
	c.list(dir, path.Join(dir, name), raw)
	return nil
}

// list collects a list of patches by package.
func (c *patchCollector) list(dir, by string, raw json.RawMessage) {
	if len(raw) == 0 {
		return
	}
	root, err := decodeOrdered(raw)
	if err != nil {
		return
	}
	for _, target := range root.fields {
		for _, item := range members(target.value) {
			c.item(dir, by, target.key, item, true)
		}
	}
}

// members are the values of an object or a list.
func members(v ordered) []ordered {
	out := slices.Clone(v.items)
	for _, f := range v.fields {
		out = append(out, f.value)
	}
	return out
}

// item collects one declaration, in any of the plugins' forms: a path; an object with url or source and conditions; paths
// by a version, or objects by a path.
func (c *patchCollector) item(dir, by, target string, v ordered, counts bool) {
	if v.kind == '"' {
		c.add(dir, by, target, v.text, counts)
		return
	}
	source, hasSource := v.field("source")
	if url, ok := v.field("url"); ok {
		source, hasSource = url, true
	}
	if hasSource {
		c.add(dir, by, target, source.text, counts && c.applies(target, v))
		return
	}
	for _, f := range v.fields {
		switch {
		case isPatchName(f.key): // vaimo: an object of conditions by file
			c.add(dir, by, target, f.key, counts && c.applies(target, f.value))
		default: // a file, or an object, by version
			c.item(dir, by, target, f.value, counts && c.versionIs(target, f.key))
		}
	}
	for _, i := range v.items {
		c.item(dir, by, target, i, counts)
	}
}

func isPatchName(s string) bool {
	return strings.HasSuffix(s, ".patch") || strings.HasSuffix(s, ".diff")
}

// applies judges the conditions of vaimo/composer-patches.
func (c *patchCollector) applies(target string, v ordered) bool {
	if skip, ok := v.field("skip"); ok && skip.text != "false" {
		return false
	}
	depends, _ := v.field("depends")
	for _, f := range depends.fields {
		if !c.dependencyIs(f.key, f.value.text) {
			return false
		}
	}
	wanted, ok := v.field("version")
	if !ok {
		return true
	}
	if wanted.kind == '"' {
		return c.versionIs(target, wanted.text)
	}
	return len(wanted.items) == 0 || slices.ContainsFunc(wanted.items, func(o ordered) bool { return c.versionIs(target, o.text) })
}

func (c *patchCollector) dependencyIs(name, constraint string) bool {
	if not, ok := strings.CutPrefix(name, "!"); ok {
		return !c.dependencyIs(not, constraint)
	}
	if isPlatform(name) {
		return true
	}
	_, ok := c.lockedPackage(name)
	return ok && c.versionIs(name, constraint)
}

// versionIs reports whether a package's locked version is the one that a condition names; a condition that is none counts
// as met.
func (c *patchCollector) versionIs(name, constraint string) bool {
	p, ok := c.lockedPackage(name)
	if !ok {
		return true
	}
	v, _, _, err := parseVersion(strings.TrimPrefix(p.Version, "v"))
	return err != nil || satisfies(constraint, v)
}

// add notes a declared patch. Relative names are vaimo's from their owner, else from the store.
func (c *patchCollector) add(dir, by, target, name string, counts bool) {
	if plain, skipped := strings.CutSuffix(name, "#skip"); skipped || c.ofPackage(by) && slices.Contains(c.refused, name) {
		name, counts = plain, false
	}
	switch {
	case name == "":
	case strings.Contains(name, "://"):
		c.note(Patch{By: by, Package: target, URL: name}, counts)
	case c.vaimo():
		c.note(Patch{By: by, Package: target, File: path.Join(dir, name)}, counts)
	default:
		c.note(Patch{By: by, Package: target, File: path.Clean(name)}, counts)
	}
}

func (c *patchCollector) note(p Patch, counts bool) {
	if p.File != "" {
		c.seen[p.File] = true
	}
	locked, ok := c.lockedPackage(p.Package)
	switch {
	case ok:
		p.Dir = path.Join(c.VendorDir(), locked.Name)
	case p.Package == "*":
		p.Package = ""
	case c.lock != nil && (c.ofPackage(p.By) || c.forDevelopment(p.Package)):
		return // another package's patch for one that this store does not have, or one that no image has
	}
	if counts {
		c.found = append(c.found, p)
	}
}

// ofPackage reports whether a declaration is a package's own, and not the store's.
func (c *patchCollector) ofPackage(by string) bool {
	_, named := c.lockedPackage(by)
	return named || strings.HasPrefix(by, c.VendorDir()+"/")
}

// forDevelopment reports whether only a developer's installation has the package.
func (c *patchCollector) forDevelopment(name string) bool {
	return slices.ContainsFunc(c.lock.Development, func(p lockedPackage) bool { return strings.EqualFold(p.Name, name) })
}

var patchTag = regexp.MustCompile(`(?m)^\s*(?:[*#/]+\s*)?@(package|version|depends|skip|type)\b[ \t]*(.*?)\s*$`)

// search collects the patches of a directory that say in themselves what they are for, as vaimo/composer-patches has it.
func (c *patchCollector) search(where string) error {
	dirs, err := fs.Glob(c.fsys, where)
	if err != nil {
		return nil
	}
	for _, dir := range dirs {
		files, err := c.patchFiles(dir)
		if err != nil {
			return err
		}
		for _, file := range files {
			src, ok, err := c.read(file)
			if err != nil || !ok {
				return err
			}
			c.tagged(file, src)
		}
	}
	return nil
}

func (c *patchCollector) tagged(file string, src []byte) {
	c.seen[file] = true
	head, _, _ := strings.Cut(string(src), "\n--- ")
	tags := map[string]string{}
	for _, m := range patchTag.FindAllStringSubmatch(head, -1) {
		tags[m[1]] = m[2]
	}
	target, version := tags["package"], tags["version"]
	if name, rest, ok := strings.Cut(version, ":"); ok && target == "" {
		target, version = name, rest
	}
	_, skipped := tags["skip"]
	if skipped || strings.Contains(tags["type"], "dev") || tags["depends"] != "" || target == "" && !strings.Contains(tags["type"], "bundle") {
		return
	}
	c.note(Patch{By: path.Dir(file), Package: cmp.Or(target, "*"), File: file}, version == "" || c.versionIs(target, version))
}

// patchFiles are the patches below a directory, by name.
func (s *Store) patchFiles(dir string) ([]string, error) {
	var out []string
	err := fs.WalkDir(s.fsys, dir, func(p string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && !d.IsDir() && isPatchName(p) {
			out = append(out, p)
		}
		return err
	})
	return out, err
}

// lying collects the patches that nothing declares: those of patches, which are to be in the code some way, and m2-hotfixes.
func (c *patchCollector) lying() error {
	files, err := c.patchFiles(patchesDir)
	if err != nil {
		return err
	}
	for _, file := range files {
		if !c.seen[file] && !c.dark && !c.leftOut(file) {
			c.found = append(c.found, Patch{File: file})
		}
	}
	if files, err = fs.Glob(c.fsys, Hotfixes+"/*.patch"); err != nil {
		return err
	}
	for _, file := range files {
		c.found = append(c.found, Patch{File: file, By: Hotfixes, Hotfix: true})
	}
	return nil
}

// leftOut reports whether composer.json says of a file in patches that it is not to be applied.
func (s *Store) leftOut(file string) bool {
	if s.manifest == nil {
		return false
	}
	var extra struct {
		Magecloudkit struct {
			Unapplied []string `json:"unapplied-patches"`
		} `json:"magecloudkit"`
	}
	if len(s.manifest.Extra) == 0 || json.Unmarshal(s.manifest.Extra, &extra) != nil {
		return false
	}
	return slices.ContainsFunc(extra.Magecloudkit.Unapplied, func(pattern string) bool {
		ok, err := path.Match(pattern, file)
		return err == nil && ok
	})
}

// PackageDirs are the directories of the locked packages, relative to the installed store.
func (s *Store) PackageDirs() []string {
	if s.lock == nil {
		return nil
	}
	var out []string
	for _, p := range s.lock.Packages {
		if p.Type != "metapackage" {
			out = append(out, path.Join(s.VendorDir(), p.Name))
		}
	}
	return out
}
