package layer

import (
	"archive/tar"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// siblingExtensions are the types of static files that compress; images, fonts of the woff family and archives are
// compressed already.
var siblingExtensions = map[string]bool{
	".css": true, ".js": true, ".mjs": true, ".json": true, ".map": true, ".html": true, ".htm": true, ".svg": true,
	".xml": true, ".txt": true, ".csv": true, ".md": true, ".less": true, ".ttf": true, ".otf": true, ".eot": true, ".ico": true,
	".bmp": true, ".wasm": true, ".webmanifest": true,
}

// entry is one entry of a layer before it is written.
type entry struct {
	name     string // in the layer; no slash at either end
	typ      byte   // tar.TypeReg, tar.TypeDir or tar.TypeSymlink
	mode     int64  // permission bits; -1: 0755 or 0644 by the file's own executable bits
	uid, gid int
	link     string // target of a symlink
	content  []byte // of a file that has no src
	src      string // path on disk of a regular file
	gzip     bool   // compress the content, drop the entry when that does not help
	lazy     bool   // a directory that is written only when something below it is
	given    bool   // by content: wins over what the tree has
	spare    bool   // a directory that gives way to a file or link of its name
}

// compareNames orders entries so that a directory is followed by all that is below it: '/' sorts before everything else.
func compareNames(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			if a[i] == '/' {
				return -1
			}
			if b[i] == '/' {
				return 1
			}
			return cmp.Compare(a[i], b[i])
		}
	}
	return cmp.Compare(len(a), len(b))
}

// planner collects a layer's entries.
type planner struct {
	ctx     context.Context
	root    string
	spec    Spec
	exclude matcher
	entries []entry
}

// plan lists the layer's entries in order, each directory before what is in it. Contents are not read yet.
func plan(ctx context.Context, root string, spec Spec) ([]entry, error) {
	if err := spec.validate(); err != nil {
		return nil, err
	}
	exclude, err := newMatcher(spec.Exclude)
	if err != nil {
		return nil, fmt.Errorf("layer %q: Exclude: %w", spec.Name, err)
	}
	p := &planner{ctx: ctx, root: root, spec: spec, exclude: exclude}
	if err := p.tree(); err != nil {
		return nil, fmt.Errorf("packing layer %q: %w", spec.Name, err)
	}
	for _, o := range spec.Owned {
		if p.addDir(o.Path, false); o.Path != "." {
			p.entries[len(p.entries)-1].spare = true
		}
	}
	for _, f := range spec.Files {
		mode := int64(0o644)
		if f.Executable {
			mode = 0o755
		}
		uid, gid, _ := p.owner(f.Path)
		p.entries = append(p.entries, entry{name: p.name(f.Path), typ: tar.TypeReg, mode: mode, uid: uid, gid: gid, content: f.Content, given: true})
		p.addDir(path.Dir(f.Path), false)
	}
	for dir := range parents(spec.Prefix) {
		p.entries = append(p.entries, entry{name: dir, typ: tar.TypeDir, mode: 0o755, lazy: true})
	}
	return p.finish()
}

func (p *planner) excludes(rel string) bool {
	return p.exclude.match(rel) && !slices.Contains(p.spec.Keep, rel)
}

// name is where a path of the tree stands in the layer.
func (p *planner) name(rel string) string { return path.Join(p.spec.Prefix, rel) }

// owner is who owns a path of the tree, and the mode it has if it is a directory.
func (p *planner) owner(rel string) (uid, gid int, dirMode int64) {
	uid, gid, dirMode = p.spec.UID, p.spec.GID, 0o755
	longest := -1
	for _, o := range p.spec.Owned {
		length := len(o.Path)
		if o.Path == "." {
			length = 0
		}
		if length > longest && (length == 0 || rel == o.Path || strings.HasPrefix(rel, o.Path+"/")) {
			longest = length
			uid, gid, dirMode = o.UID, o.GID, 0o755
			if o.DirMode != 0 {
				dirMode = int64(o.DirMode)
			}
		}
	}
	return uid, gid, dirMode
}

// addDir adds a directory of the tree, and those above it that the tree need not have. Duplicates are dropped at the end.
func (p *planner) addDir(rel string, lazy bool) {
	for dir := range self(rel) {
		uid, gid, mode := p.owner(dir)
		if name := p.name(dir); name != "." && name != "" {
			p.entries = append(p.entries, entry{name: name, typ: tar.TypeDir, mode: mode, uid: uid, gid: gid, lazy: lazy})
		}
	}
}

// tree adds what the spec takes from the tree.
func (p *planner) tree() error {
	include := p.spec.Include
	if len(include) == 0 && len(p.spec.Optional) == 0 {
		if p.root == "" {
			return nil
		}
		include = []string{"."}
	}
	if p.root == "" {
		return errors.New("the spec includes files, but there is no tree to take them from")
	}
	info, err := os.Stat(p.root)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a directory", p.root)
	}
	for _, rel := range include {
		if err := p.include(rel, false); err != nil {
			return err
		}
	}
	for _, rel := range p.spec.Optional {
		if err := p.include(rel, true); err != nil {
			return err
		}
	}
	return nil
}

func (p *planner) include(rel string, optional bool) error {
	// A link among the parents would make the layer hold what the tree has elsewhere, or not at all.
	for dir := range parents(rel) {
		info, err := os.Lstat(filepath.Join(p.root, dir))
		if errors.Is(err, fs.ErrNotExist) && optional {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s is to be packed: %w", rel, err)
		}
		if !info.IsDir() {
			return fmt.Errorf("%s is to be packed, but %s is not a directory", rel, dir)
		}
		if p.excludes(dir) {
			return nil
		}
	}
	full := filepath.Join(p.root, rel)
	info, err := os.Lstat(full)
	if rel == "." {
		info, err = os.Stat(full)
	}
	if errors.Is(err, fs.ErrNotExist) && optional {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s is to be packed: %w", rel, err)
	}
	if rel != "." {
		p.addDir(path.Dir(rel), p.spec.GzipSiblings)
	}
	return p.walk(rel, fs.FileInfoToDirEntry(info))
}

// walk adds an entry of the tree and everything below it.
func (p *planner) walk(rel string, d fs.DirEntry) error {
	if rel != "." {
		if p.excludes(rel) {
			return nil
		}
		if strings.HasPrefix(d.Name(), whiteout) {
			return fmt.Errorf("%s cannot be packed: in a layer its name says that %s is deleted; rename or exclude it",
				filepath.Join(p.root, rel), strings.TrimPrefix(d.Name(), whiteout))
		}
	}
	switch t := d.Type(); {
	case t.IsDir():
		return p.walkDir(rel)
	case t.IsRegular():
		return p.addFile(rel)
	case t&fs.ModeSymlink != 0:
		return p.addLink(rel)
	default:
		return fmt.Errorf("%s cannot be packed: it is a %s, and layers hold files, directories and links; exclude it",
			filepath.Join(p.root, rel), kind(t))
	}
}

func (p *planner) walkDir(rel string) error {
	if err := p.ctx.Err(); err != nil {
		return err
	}
	uid, gid, mode := p.owner(rel)
	if name := p.name(rel); name != "." {
		p.entries = append(p.entries, entry{name: name, typ: tar.TypeDir, mode: mode, uid: uid, gid: gid, lazy: p.spec.GzipSiblings})
	}
	list, err := os.ReadDir(filepath.Join(p.root, rel))
	if err != nil {
		return gone(filepath.Join(p.root, rel), err)
	}
	for _, d := range list {
		if err := p.walk(path.Join(rel, d.Name()), d); err != nil {
			return err
		}
	}
	return nil
}

func (p *planner) addFile(rel string) error {
	e := entry{name: p.name(rel), typ: tar.TypeReg, mode: -1, src: filepath.Join(p.root, rel)}
	e.uid, e.gid, _ = p.owner(rel)
	if p.spec.GzipSiblings {
		if !siblingExtensions[strings.ToLower(path.Ext(rel))] {
			return nil
		}
		if _, err := os.Lstat(e.src + ".gz"); err == nil {
			return nil
		} else if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		e.name, e.gzip, e.mode = e.name+".gz", true, 0o644
	}
	p.entries = append(p.entries, e)
	return nil
}

func (p *planner) addLink(rel string) error {
	if p.spec.GzipSiblings {
		return nil
	}
	full := filepath.Join(p.root, rel)
	target, err := os.Readlink(full)
	if err != nil {
		return gone(full, err)
	}
	e := entry{name: p.name(rel), typ: tar.TypeSymlink, mode: 0o777, link: target}
	e.uid, e.gid, _ = p.owner(rel)
	p.entries = append(p.entries, e)
	return nil
}

// finish sorts the entries and merges those of the same name.
func (p *planner) finish() ([]entry, error) {
	slices.SortStableFunc(p.entries, func(a, b entry) int { return compareNames(a.name, b.name) })
	out := p.entries[:0]
	for _, e := range p.entries {
		if len(out) == 0 || out[len(out)-1].name != e.name {
			out = append(out, e)
			continue
		}
		last := &out[len(out)-1]
		switch {
		case last.typ == tar.TypeDir && e.typ == tar.TypeDir:
			last.lazy, last.spare = last.lazy && e.lazy, last.spare && e.spare
		case last.spare:
			*last = e
		case e.spare:
		case last.typ == tar.TypeDir || e.typ == tar.TypeDir:
			return nil, fmt.Errorf("packing layer %q: %s would be a directory and a file or link at once", p.spec.Name, e.name)
		case e.given:
			*last = e
		}
	}
	return out, nil
}

// kind names a type of file that a layer cannot hold.
func kind(t fs.FileMode) string {
	switch {
	case t&fs.ModeSocket != 0:
		return "socket"
	case t&fs.ModeNamedPipe != 0:
		return "named pipe"
	case t&fs.ModeDevice != 0:
		return "device"
	}
	return "special file"
}

// parents yields the directories above a relative path, the outermost first, without ".".
func parents(rel string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for i := range len(rel) {
			if rel[i] == '/' && !yield(rel[:i]) {
				return
			}
		}
	}
}

// self yields the tree's root as ".", the directories above a relative path, and the path.
func self(rel string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		if !yield(".") || rel == "." {
			return
		}
		for dir := range parents(rel) {
			if !yield(dir) {
				return
			}
		}
		yield(rel)
	}
}

// matcher matches paths against doublestar patterns.
type matcher []pattern

// pattern is a doublestar pattern with the directory that all it matches is in: most paths are told apart by that alone.
type pattern struct{ base, glob string }

func newMatcher(globs []string) (matcher, error) {
	var m matcher
	for _, g := range globs {
		if !doublestar.ValidatePattern(g) {
			return nil, fmt.Errorf("%q is not a valid pattern", g)
		}
		if strings.HasPrefix(g, "/") {
			return nil, fmt.Errorf("%q would match nothing: patterns are relative to the tree's root", g)
		}
		base, _ := doublestar.SplitPattern(g)
		if base == "." || strings.Contains(g, `\`) {
			base = ""
		}
		m = append(m, pattern{base, g})
	}
	return m, nil
}

// match reports whether a path, with all that is below it, is matched.
func (m matcher) match(rel string) bool {
	for _, p := range m {
		if strings.HasPrefix(rel, p.base) && doublestar.MatchUnvalidated(p.glob, rel) {
			return true
		}
	}
	return false
}
