package host

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/magecloudkit/pipeline/ci/build"
)

// copyFiles copies the selected files of src into dst. Links are kept as links.
func copyFiles(src, dst string, sel build.Files) error {
	return transfer(src, dst, sel, func(string, fs.DirEntry) (placing, error) { return copyFile, nil })
}

// copyStore copies the selected files of a store, of which want says what they
// held when a step's key was made of them: what is built must be what its key names.
// A link in it must not lead out of the store: on this machine a build would find
// what is there, and the image, or another machine, would not.
func copyStore(src, dst string, sel build.Files, want listing) error {
	var seen atomic.Int64
	changed := func(p string) error {
		return fmt.Errorf("%s changed while the store was being built: let nothing write to %s, and build again", p, src)
	}
	err := transfer(src, dst, sel, func(p string, d fs.DirEntry) (placing, error) {
		k := want.find(p)
		if k == nil {
			return nil, changed(p)
		}
		seen.Add(1)
		if d.Type() == fs.ModeSymlink {
			target, err := os.Readlink(filepath.Join(src, filepath.FromSlash(p)))
			if err == nil && (filepath.IsAbs(target) || !filepath.IsLocal(filepath.Join(filepath.Dir(filepath.FromSlash(p)), target))) {
				err = fmt.Errorf("%s is a link that leads out of the store, to %s: put a copy in its place, or make it a composer package", p, target)
			}
			if err == nil && (k.Kind != "link" || k.Sum != target) {
				err = changed(p)
			}
			return nil, err
		}
		return func(from, to string) error {
			is := fileKey{Path: p}
			if err := is.copy(from, to); err != nil {
				return err
			}
			if is != *k {
				return changed(p)
			}
			return nil
		}, nil
	})
	if err == nil && seen.Load() < int64(len(want)) {
		err = changed("a file")
	}
	if err != nil {
		return fmt.Errorf("reading the store: %w", err)
	}
	return nil
}

// clone makes a second tree of src, or of a part of it, at once: files are hard
// links, except those that commands of a build write in place, which are copied.
func clone(src, dst string, part, writable build.Files) error {
	return transfer(src, dst, part, func(p string, _ fs.DirEntry) (placing, error) {
		if matchesAny(writable.Include, p) {
			return copyFile, nil
		}
		return os.Link, nil
	})
}

// placing makes a file appear at a place where there is none.
type placing func(from, to string) error

// transfer puts the selected files of src into dst. One goroutine walks src and
// makes the directories, so that each is there before what is in it; the others
// make the files.
func transfer(src, dst string, sel build.Files, how func(p string, d fs.DirEntry) (placing, error)) error {
	if err := os.MkdirAll(dst, 0o755); err != nil {
		return err
	}
	return parallel(func(do func(func() error)) error {
		return walk(src, sel, func(p string, d fs.DirEntry) error {
			if d.IsDir() {
				return copyEntry(src, dst, p, d, nil)
			}
			do(func() error {
				file, err := how(p, d)
				if err != nil {
					return err
				}
				return copyEntry(src, dst, p, d, file)
			})
			return nil
		})
	})
}

// workers is how many files are worked on at a time. A file is opened, read and
// written in system calls, some of which wait for a disk.
var workers = max(2, runtime.GOMAXPROCS(0))

// parallel runs produce, and what it asks to be done, in a few goroutines.
func parallel(produce func(do func(func() error)) error) error {
	var group errgroup.Group
	work := make(chan func() error, 64*workers)
	failed := make(chan struct{})
	fail := sync.OnceFunc(func() { close(failed) })
	for range workers {
		group.Go(func() error {
			for f := range work {
				if err := f(); err != nil {
					fail()
					return err
				}
			}
			return nil
		})
	}
	group.Go(func() error {
		defer close(work)
		return produce(func(f func() error) {
			select {
			case work <- f:
			case <-failed: // group.Wait tells why
			}
		})
	})
	return group.Wait()
}

// Remove removes a tree, or what there is of it. Its files go several at a time:
// to unlink the 60,000 of a store one by one takes longer than to link them.
func Remove(dir string) error {
	if st, err := os.Lstat(dir); err != nil || !st.IsDir() {
		return os.RemoveAll(dir)
	}
	err := parallel(func(do func(func() error)) error {
		return fs.WalkDir(os.DirFS(dir), ".", func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			do(func() error { return os.Remove(filepath.Join(dir, filepath.FromSlash(p))) })
			return nil
		})
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.RemoveAll(dir)
}

func copyEntry(src, dst, p string, d fs.DirEntry, file placing) error {
	from, to := filepath.Join(src, filepath.FromSlash(p)), filepath.Join(dst, filepath.FromSlash(p))
	if d.IsDir() {
		return os.MkdirAll(to, 0o755)
	}
	// What was there before gives way: the store wins over its packages.
	err := place(from, to, d, file)
	if errors.Is(err, fs.ErrExist) {
		if err = os.RemoveAll(to); err == nil {
			err = place(from, to, d, file)
		}
	}
	return err
}

func place(from, to string, d fs.DirEntry, file placing) error {
	switch {
	case d.Type() == fs.ModeSymlink:
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return os.Symlink(target, to)
	case d.Type().IsRegular():
		return file(from, to)
	}
	return fmt.Errorf("%s is neither a file, a directory nor a link, and cannot be a part of a build: remove it", from)
}

func copyFile(from, to string) error { return copyFileTo(from, to, nil) }

// copyFileTo copies a file, and shows also what it copies.
func copyFileTo(from, to string, also io.Writer) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	st, err := in.Stat()
	if err != nil {
		return err
	}
	mode := fs.FileMode(0o644)
	if st.Mode()&0o111 != 0 {
		mode = 0o755
	}
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	if also == nil {
		_, err = io.Copy(out, in) // copies inside the kernel where the file system can
	} else {
		_, err = io.Copy(io.MultiWriter(out, also), in)
	}
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	return err
}

// writeInto writes a file of a tree.
func writeInto(tree, p, content string) error {
	full := filepath.Join(tree, filepath.FromSlash(p))
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		return err
	}
	return os.WriteFile(full, []byte(content), 0o644)
}

// linkOrCopy puts a finished blob at a second place, unless it is there.
func linkOrCopy(from, to string) error {
	if _, err := os.Lstat(to); err == nil {
		return nil
	}
	return replace(from, to)
}

// replace puts a finished blob at a second place, and takes away what was there:
// a blob's name says what it holds, and not whether a disk has kept it so.
func replace(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	// In a directory of its own: another build may be about to do the same.
	tmp, err := os.MkdirTemp(filepath.Dir(to), WorkPattern)
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	whole := filepath.Join(tmp, filepath.Base(to))
	if err := os.Link(from, whole); err != nil {
		if err := copyFile(from, whole); err != nil {
			return err
		}
	}
	return os.Rename(whole, to)
}

// moveInto moves a tree's files into another, which is on the same file system.
// A file that both have must be the same, or a JSON object to join.
func moveInto(src, dst string, joined []string) error {
	return walk(src, build.Files{}, func(p string, d fs.DirEntry) error {
		from, to := filepath.Join(src, filepath.FromSlash(p)), filepath.Join(dst, filepath.FromSlash(p))
		if d.IsDir() {
			return os.MkdirAll(to, 0o755)
		}
		err := os.Link(from, to)
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
		if matchesAny(joined, p) {
			return joinJSON(to, from)
		}
		same, err := sameContent(from, to)
		if err == nil && !same {
			err = fmt.Errorf("%s differs from what another shard wrote there", p)
		}
		return err
	})
}

func sameContent(a, b string) (bool, error) {
	x, err := os.ReadFile(a)
	if err != nil {
		return false, err
	}
	y, err := os.ReadFile(b)
	return bytes.Equal(x, y), err
}

// joinJSON writes a JSON object anew, with its members sorted, and adds those of
// others. The file may be a link that other trees have too.
func joinJSON(into string, others ...string) error {
	all := map[string]json.RawMessage{}
	for _, f := range append([]string{into}, others...) {
		raw, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(raw, &members); err != nil {
			if string(bytes.TrimSpace(raw)) == "[]" {
				continue // PHP's way to write an empty object
			}
			return fmt.Errorf("%s: %w", f, err)
		}
		for name, value := range members {
			if other, ok := all[name]; ok && !bytes.Equal(other, value) {
				return fmt.Errorf("%s: %q differs from what another shard wrote there", f, name)
			}
			all[name] = value
		}
	}
	raw, err := json.Marshal(all)
	if err != nil {
		return err
	}
	if err := os.Remove(into); err != nil {
		return err
	}
	return os.WriteFile(into, raw, 0o644)
}

// sortJSON gives the JSON objects of a tree that match one order of members.
func sortJSON(tree string, patterns []string) error {
	for _, pattern := range patterns {
		found, err := fs.Glob(os.DirFS(tree), pattern)
		if err != nil {
			return err
		}
		for _, p := range found {
			if err := joinJSON(filepath.Join(tree, filepath.FromSlash(p))); err != nil {
				return err
			}
		}
	}
	return nil
}
