package host

import (
	"bytes"
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

	"golang.org/x/sync/errgroup"

	"github.com/magecloudkit/pipeline/ci/build"
)

// copyFiles copies the selected files of src into dst. Links are kept as links.
func copyFiles(src, dst string, sel build.Files) error {
	return transfer(src, dst, sel, func(string) placing { return copyFile })
}

// clone makes a second tree of src at once: files are hard links, except those
// that commands of a build write in place, which are copied.
func clone(src, dst string, writable build.Files) error {
	return transfer(src, dst, build.Files{}, func(p string) placing {
		if matchesAny(writable.Include, p) {
			return copyFile
		}
		return os.Link
	})
}

// placing makes a file appear at a place where there is none.
type placing func(from, to string) error

// transfer puts the selected files of src into dst. One goroutine walks src and
// makes the directories, so that each is there before what is in it; the others
// make the files.
func transfer(src, dst string, sel build.Files, how func(p string) placing) error {
	if err := os.MkdirAll(dst, 0o755); err != nil {
		return err
	}
	return parallel(func(do func(func() error)) error {
		return walk(src, sel, func(p string, d fs.DirEntry) error {
			if d.IsDir() {
				return copyEntry(src, dst, p, d, nil)
			}
			do(func() error { return copyEntry(src, dst, p, d, how(p)) })
			return nil
		})
	})
}

// workers is how many files are worked on at a time. A file is opened, read and
// written in system calls, some of which wait for a disk.
var workers = max(2, runtime.GOMAXPROCS(0))

// parallel runs produce, and what it asks to be done, in a few goroutines.
func parallel(produce func(do func(func() error)) error) error {
	group, ctx := errgroup.WithContext(context.Background())
	work := make(chan func() error, 64*workers)
	for range workers {
		group.Go(func() error {
			for f := range work {
				if err := f(); err != nil {
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
			case <-ctx.Done(): // an error of another: group.Wait tells it
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

func copyFile(from, to string) error {
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
	_, err = io.Copy(out, in) // copies inside the kernel where the file system can
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	return err
}

// linkOrCopy puts a finished blob at a second place.
func linkOrCopy(from, to string) error {
	if _, err := os.Stat(to); err == nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if err := os.Link(from, to); err == nil || errors.Is(err, fs.ErrExist) {
		return nil
	}
	// In a directory of its own: another build may be copying the same blob.
	tmp, err := os.MkdirTemp(filepath.Dir(to), WorkPattern)
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	whole := filepath.Join(tmp, filepath.Base(to))
	if err := copyFile(from, whole); err != nil {
		return err
	}
	return os.Rename(whole, to)
}

// joined is the file that shards write a part of each.
const joined = "sri-hashes.json"

// moveInto moves a tree's files into another, which is on the same file system.
func moveInto(src, dst string) error {
	return walk(src, build.Files{}, func(p string, d fs.DirEntry) error {
		from, to := filepath.Join(src, filepath.FromSlash(p)), filepath.Join(dst, filepath.FromSlash(p))
		if d.IsDir() {
			return os.MkdirAll(to, 0o755)
		}
		err := os.Link(from, to)
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
		if path.Base(p) == joined {
			return joinJSON(from, to)
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

// joinJSON adds the members of one JSON object to another, in a file of its own.
func joinJSON(from, into string) error {
	all := map[string]json.RawMessage{}
	for _, f := range []string{into, from} {
		raw, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(raw, &all); err != nil {
			return fmt.Errorf("%s: %w", f, err)
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
