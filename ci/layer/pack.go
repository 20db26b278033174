package layer

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/klauspost/compress/gzip"
	"golang.org/x/sync/errgroup"
)

const (
	// readAhead is how many entries may be read before the one being written; smallFile is the size in bytes up to which
	// a file is read ahead. Together they bound memory.
	readAhead = 128
	smallFile = 256 << 10

	// SiblingMinSize is the size in bytes below which a file gets no .gz sibling: what fits one packet gains nothing.
	SiblingMinSize = 1024
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

// Pack writes the layer that spec makes of the tree at root to w. The root may be empty if the spec takes nothing from a
// tree. After an error what was written to w is of no use.
func Pack(ctx context.Context, root string, spec Spec, comp Compression, w io.Writer) (Descriptor, error) {
	entries, err := plan(ctx, root, spec)
	if err != nil {
		return Descriptor{}, err
	}
	return write(ctx, spec.Name, entries, comp, w)
}

// PackFile packs into dir: the blob into dir/blobs/sha256/<digest>, its descriptor into dir/<spec.Name>.json. Both appear
// when they are complete, never half written.
func PackFile(ctx context.Context, root string, spec Spec, comp Compression, dir string) (Descriptor, error) {
	return packFile(dir, spec.Name, func(w io.Writer) (Descriptor, error) {
		return Pack(ctx, root, spec, comp, w)
	})
}

// packFile stores what pack writes.
func packFile(dir, name string, pack func(io.Writer) (Descriptor, error)) (d Descriptor, err error) {
	if !isPath(name) || strings.Contains(name, "/") {
		return Descriptor{}, fmt.Errorf("layer %q: the name is not one that a file can have", name)
	}
	blobs := filepath.Join(dir, "blobs", "sha256")
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		return Descriptor{}, fmt.Errorf("packing layer %q: %w", name, err)
	}
	blob, err := os.CreateTemp(blobs, ".packing-*")
	if err != nil {
		return Descriptor{}, fmt.Errorf("packing layer %q: %w", name, err)
	}
	defer os.Remove(blob.Name()) // fails, rightly, once the blob has its name
	d, err = pack(blob)
	if cerr := blob.Close(); err == nil && cerr != nil {
		err = fmt.Errorf("packing layer %q: %w", name, cerr)
	}
	if err != nil {
		return Descriptor{}, err
	}
	if err := install(blob.Name(), BlobPath(dir, d.Digest)); err != nil {
		return Descriptor{}, fmt.Errorf("packing layer %q: %w", name, err)
	}
	if err := writeDescriptor(dir, d); err != nil {
		return Descriptor{}, fmt.Errorf("packing layer %q: %w", name, err)
	}
	return d, nil
}

// install gives a temporary file its name and the mode that other files have.
func install(tmp, name string) error {
	if err := os.Chmod(tmp, 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, name)
}

func writeDescriptor(dir string, d Descriptor) error {
	raw, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".descriptor-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(append(raw, '\n'))
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return install(f.Name(), DescriptorPath(dir, d.Name))
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

// write packs entries that are in order.
func write(ctx context.Context, name string, entries []entry, comp Compression, w io.Writer) (Descriptor, error) {
	if comp == "" {
		comp = Zstd
	}
	s, err := newStream(comp, w)
	if err != nil {
		return Descriptor{}, fmt.Errorf("packing layer %q: %w", name, err)
	}
	files, err := writeTar(ctx, entries, s)
	if cerr := s.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return Descriptor{}, fmt.Errorf("packing layer %q: %w", name, err)
	}
	return Descriptor{
		Name: name, MediaType: comp.MediaType(), Files: files,
		Digest: s.packed.digest(), DiffID: s.plain.digest(),
		Size: s.packed.n, UncompressedSize: s.plain.n,
	}, nil
}

// loaded is an entry whose content is at hand, or about to be.
type loaded struct {
	*entry
	ready chan struct{}
	data  []byte   // the content, unless
	file  *os.File // the file is read while it is written, being large
	info  fs.FileInfo
	drop  bool
	err   error
}

// writeTar writes the entries while a few goroutines read files ahead of it. It returns how many are not directories.
func writeTar(ctx context.Context, entries []entry, w io.Writer) (files int, err error) {
	group, ctx := errgroup.WithContext(ctx)
	ordered := make(chan *loaded, readAhead)
	work := make(chan *loaded, readAhead)
	group.Go(func() error {
		defer close(ordered)
		defer close(work)
		for i := range entries {
			l := &loaded{entry: &entries[i], ready: make(chan struct{})}
			if l.src == "" {
				l.data = l.content
				close(l.ready)
			}
			select {
			case ordered <- l:
			case <-ctx.Done():
				return ctx.Err()
			}
			if l.src != "" {
				select {
				case work <- l:
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		}
		return nil
	})
	for range min(max(2, runtime.GOMAXPROCS(0)), 16) {
		group.Go(func() error {
			for l := range work {
				l.load()
				close(l.ready)
			}
			return nil
		})
	}
	group.Go(func() error {
		tw := tar.NewWriter(w)
		var pending []*entry
		for l := range ordered {
			select {
			case <-l.ready:
			case <-ctx.Done():
				return ctx.Err()
			}
			if l.err != nil {
				return l.err
			}
			if l.drop {
				continue
			}
			for len(pending) > 0 && !strings.HasPrefix(l.name, pending[len(pending)-1].name+"/") {
				pending = pending[:len(pending)-1]
			}
			if l.lazy {
				pending = append(pending, l.entry)
				continue
			}
			for _, dir := range pending {
				if err := tw.WriteHeader(dir.header(0)); err != nil {
					return fmt.Errorf("%s: %w", dir.name, err)
				}
			}
			pending = pending[:0]
			if err := l.write(tw); err != nil {
				return err
			}
			if l.typ != tar.TypeDir {
				files++
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		return tw.Close()
	})
	err = group.Wait()
	for l := range ordered { // what an error left behind
		l.close()
	}
	return files, err
}

func (e *entry) header(size int64) *tar.Header {
	h := &tar.Header{Typeflag: e.typ, Name: e.name, Linkname: e.link, Size: size, Mode: e.mode, Uid: e.uid, Gid: e.gid, ModTime: Epoch}
	if e.typ == tar.TypeDir {
		h.Name += "/"
	}
	return h
}

// write writes an entry with its content.
func (l *loaded) write(tw *tar.Writer) error {
	defer l.close()
	size := int64(len(l.data))
	if l.file != nil {
		size = l.info.Size()
	}
	if err := tw.WriteHeader(l.header(size)); err != nil {
		return fmt.Errorf("%s: %w", l.name, err)
	}
	if l.file == nil {
		if _, err := tw.Write(l.data); err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
		return nil
	}
	n, err := io.Copy(tw, io.LimitReader(l.file, size))
	if err != nil {
		return fmt.Errorf("%s: %w", l.src, err)
	}
	if n != size {
		return changed(l.src)
	}
	return unchanged(l.file, l.info)
}

func (l *loaded) close() {
	if l.file != nil {
		l.file.Close()
		l.file = nil
	}
}

// load opens the file and reads it, unless it is large.
func (l *loaded) load() {
	f, err := os.OpenFile(l.src, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		l.err = gone(l.src, err)
		return
	}
	l.file = f
	l.err = l.read()
	if l.err != nil || l.info.Size() <= smallFile || l.gzip {
		l.close()
	}
}

func (l *loaded) read() (err error) {
	if l.info, err = l.file.Stat(); err != nil {
		return err
	}
	if !l.info.Mode().IsRegular() {
		return changed(l.src)
	}
	if l.mode < 0 {
		l.mode = 0o644
		if l.info.Mode()&0o111 != 0 {
			l.mode = 0o755
		}
	}
	size := l.info.Size()
	if l.gzip && size < SiblingMinSize {
		l.drop = true
		return nil
	}
	if size > smallFile && !l.gzip {
		return nil
	}
	// One byte more shows whether the file has grown.
	buf := make([]byte, size+1)
	n, err := io.ReadFull(l.file, buf)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return err
	}
	if int64(n) != size {
		return changed(l.src)
	}
	l.data = buf[:n]
	if err := unchanged(l.file, l.info); err != nil {
		return err
	}
	if !l.gzip {
		return nil
	}
	l.data, err = compressSibling(l.data)
	l.drop = int64(len(l.data)) >= size
	return err
}

// compressSibling is what nginx sends for a file to clients that take gzip. The header names no file and no time.
func compressSibling(data []byte) ([]byte, error) {
	var b bytes.Buffer
	z, err := newGzip(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(data); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// unchanged reports an error if the file is not what it was when it was opened.
func unchanged(f *os.File, before fs.FileInfo) error {
	after, err := f.Stat()
	if err != nil {
		return err
	}
	if after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime()) {
		return changed(f.Name())
	}
	return nil
}

func changed(file string) error {
	return fmt.Errorf("%s changed while it was being packed: let nothing write to the tree, and pack again", file)
}

// gone explains an error of opening what a directory listed a moment ago.
func gone(file string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s vanished while it was being packed: let nothing write to the tree, and pack again", file)
	}
	if errors.Is(err, syscall.ELOOP) {
		return changed(file)
	}
	return err
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
