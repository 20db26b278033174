package layer

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Names that say, in a layer, that something of the layers below is deleted (OCI image specification, layer.md).
const (
	whiteout = ".wh."
	opaque   = ".wh..wh..opq"
)

// Decompress reads a layer's tar stream. The media type is an OCI or a Docker one.
func Decompress(r io.Reader, mediaType string) (io.ReadCloser, error) {
	switch mediaType {
	case MediaTypeZstd, "application/vnd.docker.image.rootfs.diff.tar.zstd":
		z, err := zstd.NewReader(r)
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	case MediaTypeGzip, "application/vnd.docker.image.rootfs.diff.tar.gzip":
		return gzip.NewReader(bufio.NewReaderSize(r, 64<<10))
	case MediaTypeTar, "application/vnd.docker.image.rootfs.diff.tar":
		return io.NopCloser(r), nil
	}
	return nil, fmt.Errorf("media type %q is not one of a layer", mediaType)
}

// Walk calls fn for every entry of a layer, in the layer's order. Names are as the layer has them: do not use one as a path
// without looking at it.
func Walk(r io.Reader, mediaType string, fn func(*tar.Header, io.Reader) error) error {
	plain, err := Decompress(r, mediaType)
	if err != nil {
		return fmt.Errorf("reading a layer: %w", err)
	}
	defer plain.Close()
	buffered := bufio.NewReaderSize(plain, 256<<10)
	if _, err := buffered.Peek(1); err != nil {
		// The tar reader would take nothing at all for a layer without entries.
		return fmt.Errorf("reading a layer: %w", noEOF(err))
	}
	tr := tar.NewReader(buffered)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("reading a layer: %w", err)
		}
		if err := fn(h, tr); err != nil {
			return err
		}
	}
	// What follows the end mark is padding, but reading it lets the decompressor check its checksum.
	if _, err := io.Copy(io.Discard, buffered); err != nil {
		return fmt.Errorf("reading a layer: %w", err)
	}
	return nil
}

// Read opens a layer and calls fn for every entry of it as Walk does, with the entry's name as a path relative to the
// image's root. It ends when ctx does.
func Read(ctx context.Context, open func() (io.ReadCloser, error), mediaType string, fn func(name string, h *tar.Header, content io.Reader) error) (err error) {
	blob, err := open()
	if err != nil {
		return err
	}
	defer func() {
		if cerr := blob.Close(); err == nil {
			err = cerr
		}
	}()
	return Walk(blob, mediaType, func(h *tar.Header, content io.Reader) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		return fn(strings.TrimPrefix(path.Clean("/"+h.Name), "/"), h, content)
	})
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Unpack writes a layer's entries below dest, which it makes if need be, as the layers of an image are applied one over
// the other: files replace files, and whiteouts delete. With a stripPrefix ("var/www/html") only what is below that is
// unpacked, and it is unpacked right into dest.
//
// Nothing outside dest is written, whatever the layer says: names that lead out of it, through ".." or through links, are
// errors. Files belong to the caller, with their permission bits but no set-user-ID bits, and have the time of unpacking.
func Unpack(ctx context.Context, r io.Reader, mediaType, dest, stripPrefix string) error {
	if stripPrefix != "" && !isPath(stripPrefix) {
		return fmt.Errorf("unpacking a layer: prefix %q is not a clean relative path", stripPrefix)
	}
	if err := os.MkdirAll(dest, 0o755); err != nil {
		return fmt.Errorf("unpacking a layer: %w", err)
	}
	root, err := os.OpenRoot(dest)
	if err != nil {
		return fmt.Errorf("unpacking a layer: %w", err)
	}
	defer root.Close()
	u := &unpacker{root: root, prefix: stripPrefix, written: map[string]bool{}}
	defer u.leave()
	err = Walk(r, mediaType, func(h *tar.Header, content io.Reader) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := u.entry(h, content); err != nil {
			return fmt.Errorf("unpacking %q: %w", h.Name, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return u.modes()
}

type unpacker struct {
	root    *os.Root
	prefix  string
	written map[string]bool        // what this layer has, which an opaque whiteout spares
	dirs    map[string]fs.FileMode // set at the end, so that a directory may lack its own write bit

	// The directory that the last entry was in. Layers come directory by directory, and opening each file from the root
	// would look up every directory on the way again.
	dir   *os.Root
	dirAt string
}

// local is where an entry's name stands below dest; ok is false for names outside the prefix.
func (u *unpacker) local(name string) (rel string, ok bool, err error) {
	if strings.ContainsRune(name, 0) {
		return "", false, errors.New("the name holds a NUL byte")
	}
	rel = path.Clean(strings.TrimPrefix(name, "/"))
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", false, errors.New("the name leads out of the layer")
		}
	}
	if u.prefix == "" {
		return rel, true, nil
	}
	if rel == u.prefix {
		return ".", true, nil
	}
	rel, ok = strings.CutPrefix(rel, u.prefix+"/")
	return rel, ok, nil
}

func (u *unpacker) entry(h *tar.Header, content io.Reader) error { //nolint:cyclop // a type of entry a case
	rel, ok, err := u.local(h.Name)
	if err != nil || !ok {
		return err
	}
	if h.Typeflag == tar.TypeXGlobalHeader {
		return nil // a comment
	}
	mode := fs.FileMode(h.Mode) & 0o777
	if rel == "." {
		if h.Typeflag != tar.TypeDir {
			return errors.New("the root of a layer can only be a directory")
		}
		return nil
	}
	if base := path.Base(rel); strings.HasPrefix(base, whiteout) {
		return u.delete(path.Dir(rel), base)
	}
	if h.Typeflag == tar.TypeDir {
		return u.mkdir(rel, mode)
	}
	dir, err := u.enter(path.Dir(rel))
	if err != nil {
		return err
	}
	base := path.Base(rel)
	u.written[rel] = true
	switch h.Typeflag {
	case tar.TypeReg, tar.TypeGNUSparse:
		return u.file(dir, base, mode, content)
	case tar.TypeSymlink:
		if err := u.clear(dir, base); err != nil {
			return err
		}
		return dir.Symlink(h.Linkname, base)
	case tar.TypeLink:
		target, ok, err := u.local(h.Linkname)
		if err != nil {
			return fmt.Errorf("hard link to %q: %w", h.Linkname, err)
		}
		if !ok {
			return fmt.Errorf("hard link to %q, which is not below %s", h.Linkname, u.prefix)
		}
		if target == rel {
			return errors.New("hard link to itself")
		}
		if err := u.clear(dir, base); err != nil {
			return err
		}
		return u.root.Link(target, rel)
	}
	return fmt.Errorf("it is of type %q: only files, directories and links are unpacked", h.Typeflag)
}

// file writes a file in place of whatever is there.
func (u *unpacker) file(dir *os.Root, base string, mode fs.FileMode, content io.Reader) error {
	f, err := dir.OpenFile(base, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		if err = u.clear(dir, base); err == nil {
			f, err = dir.OpenFile(base, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
		}
	}
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	if cerr := f.Chmod(mode); err == nil {
		err = cerr
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// enter opens a directory below the root, making it if the layer did not.
func (u *unpacker) enter(rel string) (*os.Root, error) {
	if u.dir != nil && u.dirAt == rel {
		return u.dir, nil
	}
	u.leave()
	dir, err := u.root.OpenRoot(rel)
	if errors.Is(err, fs.ErrNotExist) {
		if err = u.root.MkdirAll(rel, 0o755); err == nil {
			dir, err = u.root.OpenRoot(rel)
		}
	}
	if err != nil {
		return nil, err
	}
	u.dir, u.dirAt = dir, rel
	return dir, nil
}

func (u *unpacker) leave() {
	if u.dir != nil {
		u.dir.Close()
		u.dir = nil
	}
}

// clear removes what stands where an entry is to be.
func (u *unpacker) clear(dir *os.Root, base string) error {
	err := dir.Remove(base)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return dir.RemoveAll(base)
}

func (u *unpacker) mkdir(rel string, mode fs.FileMode) error {
	u.written[rel] = true
	dir, err := u.enter(path.Dir(rel))
	if err != nil {
		return err
	}
	base := path.Base(rel)
	err = dir.Mkdir(base, 0o700)
	if errors.Is(err, fs.ErrExist) {
		info, lerr := dir.Lstat(base)
		if lerr != nil {
			return lerr
		}
		if info.IsDir() {
			err = nil
		} else if err = u.clear(dir, base); err == nil {
			err = dir.Mkdir(base, 0o700)
		}
	}
	if err != nil {
		return err
	}
	if u.dirs == nil {
		u.dirs = map[string]fs.FileMode{}
	}
	u.dirs[rel] = mode
	return nil
}

// modes gives directories their modes.
func (u *unpacker) modes() error {
	u.leave()
	for rel, mode := range u.dirs {
		info, err := u.root.Lstat(rel)
		if errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
			continue // a later entry replaced it
		}
		if err != nil {
			return fmt.Errorf("unpacking %q: %w", rel, err)
		}
		if info.Mode().Perm() == mode {
			continue
		}
		if err := u.root.Chmod(rel, mode); err != nil {
			return fmt.Errorf("unpacking %q: %w", rel, err)
		}
	}
	return nil
}

// delete applies a whiteout.
func (u *unpacker) delete(dir, base string) error {
	u.leave() // it may be what is deleted
	if base != opaque {
		name := strings.TrimPrefix(base, whiteout)
		if name == "" || name == "." || name == ".." {
			return errors.New("the whiteout names nothing that can be deleted")
		}
		return ignoreAbsent(u.root.RemoveAll(path.Join(dir, name)))
	}
	list, err := fs.ReadDir(u.root.FS(), dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, d := range list {
		if rel := path.Join(dir, d.Name()); !u.written[rel] {
			if err := u.root.RemoveAll(rel); err != nil {
				return err
			}
		}
	}
	return nil
}

func ignoreAbsent(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
