package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/magecloudkit/pipeline/ci/build"
)

// installed is where the cache keeps the trees that composer made, by key.
const installed = "installed"

// What is kept of composer's run: its tree, and the list of what is in that.
const (
	keptTree = "tree"
	keptList = "files"
)

// packages are what composer has installed: a tree that an earlier build kept, of
// which the list is believed and the tree only once it was compared with that, or
// one that this build made.
type packages struct {
	dir  string  // may be shared with other builds, and is never written
	list listing // of a kept tree

	mu      sync.Mutex
	checked bool
	make    func(context.Context) (dir string, err error)
}

// composer has the store's packages installed: by an earlier build of the same
// key, or now.
func (j *Job) composer(ctx context.Context) error {
	step, err := j.step(build.Composer)
	if err != nil {
		return err
	}
	start := j.Runner.Now()
	inputs, err := hashed(j.Source).pick(*step.Overlay)
	if err != nil {
		return fmt.Errorf("reading the store: %w", err)
	}
	key, err := j.Runner.key(ctx, step, inputs)
	if err != nil {
		return err
	}
	j.packages = &packages{make: func(ctx context.Context) (string, error) { return j.install(ctx, step, key, inputs) }}
	if key != "" && j.Runner.Cache != "" {
		kept := filepath.Join(j.Runner.Cache, installed, key)
		if list, err := readListing(filepath.Join(kept, keptList)); err == nil {
			if _, ok, err := j.Runner.reuse(step, key, start); ok || err != nil {
				j.packages.dir, j.packages.list = filepath.Join(kept, keptTree), list
				now := j.Runner.Now()
				_ = os.Chtimes(kept, now, now) // what was used lately is what a clean-up keeps
				return err
			}
		}
	}
	return j.packages.ready(ctx, build.Files{})
}

// install runs composer, and keeps what it has installed for later builds.
func (j *Job) install(ctx context.Context, step build.Step, key string, inputs listing) (string, error) {
	start := j.Runner.Now()
	tree := j.tree(build.Composer)
	if err := copyStore(j.Source, tree, *step.Overlay, inputs); err != nil {
		return "", err
	}
	if _, err := j.Runner.run(ctx, step, tree, key, start); err != nil {
		return "", err
	}
	if key == "" || j.Runner.Cache == "" {
		return tree, nil
	}
	return keep(tree, filepath.Join(j.Runner.Cache, installed, key))
}

// keep offers a tree to later builds, and returns where it is from now on.
func keep(tree, kept string) (string, error) {
	files, err := hashed(tree).pick(build.Files{})
	if err != nil {
		return "", err
	}
	tmp := tree + ".kept"
	if err := os.MkdirAll(tmp, 0o755); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(tmp, keptList), files.bytes(), 0o644); err != nil {
		return "", err
	}
	if err := os.Rename(tree, filepath.Join(tmp, keptTree)); err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(kept), 0o755); err != nil {
		return "", err
	}
	if complete(kept) {
		return filepath.Join(kept, keptTree), nil // another build was quicker; what it left is the same
	}
	if err := discard(kept); err != nil {
		return "", err
	}
	if err := os.Rename(tmp, kept); err != nil {
		return filepath.Join(tmp, keptTree), nil // another build was quicker by a moment
	}
	return filepath.Join(kept, keptTree), nil
}

// complete says whether a kept tree is as it was. A cache is where clean-ups
// delete what looks old, and files of packages have the dates of their releases;
// its files are those of other trees, too, where a command that writes them in
// place would write them here; and disks flip bytes.
func complete(kept string) bool {
	list, err := readListing(filepath.Join(kept, keptList))
	return err == nil && list.of(filepath.Join(kept, keptTree), build.Files{})
}

// of says whether a part of a tree is as the listing has it.
func (l listing) of(tree string, part build.Files) bool {
	is, err := hashed(tree).pick(part)
	if err != nil {
		return false
	}
	was, err := l.pick(part)
	return err == nil && slices.EqualFunc(is, was, func(a, b *fileKey) bool { return *a == *b })
}

// ready makes sure that a part of dir is there and holds what it is to hold.
func (p *packages) ready(ctx context.Context, part build.Files) (err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.checked {
		return nil
	}
	if p.dir == "" || !p.list.of(p.dir, part) {
		if p.dir, err = p.make(ctx); err != nil {
			return err
		}
		p.checked = true
		return nil
	}
	p.checked = empties(part)
	return nil
}

// pick is a part of what is installed. It takes the list's word where there is one.
func (p *packages) pick(sel build.Files) (listing, error) {
	if p.list != nil {
		return p.list.pick(sel)
	}
	return hashed(p.dir).pick(sel)
}

// errDamaged says that a file of a kept tree is not as it was.
var errDamaged = errors.New("it is not what was kept")

// Open opens a file of the tree. Of one that was kept it must be as it was.
func (p *packages) Open(name string) (fs.File, error) {
	f, err := os.DirFS(p.dir).Open(name)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.list == nil || p.checked {
		return f, err
	}
	if err == nil {
		if info, serr := f.Stat(); serr == nil && info.IsDir() {
			return f, nil
		}
		f.Close()
	}
	was := p.list.find(name)
	info, err := os.Lstat(filepath.Join(p.dir, filepath.FromSlash(name)))
	if was == nil && errors.Is(err, fs.ErrNotExist) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	is := fileKey{Path: name}
	if err == nil {
		err = is.read(p.dir, fs.FileInfoToDirEntry(info))
	}
	if err != nil || was == nil || is != *was {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errDamaged}
	}
	return os.DirFS(p.dir).Open(name)
}

// discard removes a tree that others may be looking for: its name goes at once.
func discard(dir string) error {
	tmp, err := os.MkdirTemp(filepath.Dir(dir), WorkPattern)
	if err != nil {
		return err
	}
	if err := os.Rename(dir, filepath.Join(tmp, filepath.Base(dir))); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(err, os.Remove(tmp))
	}
	return Remove(tmp)
}
