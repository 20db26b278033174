package image

import (
	"archive/tar"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/magecloudkit/pipeline/ci/layer"
)

// parallelBlobs is how many blobs are fetched at a time.
const parallelBlobs = 4

// blob is a file of an OCI image layout.
type blob struct {
	name string // "blobs/sha256/…", "index.json"
	hash v1.Hash
	size int64
	open func() (io.ReadCloser, error)
}

// copyTo copies the blob and reports an error if it is not what its digest says.
func (b blob) copyTo(w io.Writer, r io.Reader) error {
	hash := sha256.New()
	n, err := io.Copy(io.MultiWriter(w, hash), r)
	if err != nil {
		return err
	}
	if n != b.size || fmt.Sprintf("%x", hash.Sum(nil)) != b.hash.Hex {
		return fmt.Errorf("it is broken: its %d bytes (of %d) do not have the digest %s", n, b.size, b.hash)
	}
	return nil
}

// WriteLayout writes the image as an OCI image layout, the only one in dir. The annotations describe it in the index;
// AnnotationRefName gives it a name. A layout that dir held is replaced when the new one is complete, and no sooner; a
// directory that holds something else is left alone, with an error. Every blob is checked against its digest; those that
// are files on the same file system are linked, not copied.
func WriteLayout(im v1.Image, dir string, annotations map[string]string) error {
	return Layout{Images: []v1.Image{im}}.Write(dir, annotations)
}

// Write is [WriteLayout] for all that the layout holds.
func (l Layout) Write(dir string, annotations map[string]string) error {
	if err := l.write(dir, annotations); err != nil {
		return fmt.Errorf("writing image layout %s: %w", dir, err)
	}
	return nil
}

func (l Layout) write(dir string, annotations map[string]string) (err error) {
	dir, err = filepath.Abs(dir)
	if err != nil {
		return err
	}
	old, err := replaceable(dir)
	if err != nil {
		return err
	}
	blobs, err := l.files(annotations)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+".new-*")
	if err != nil {
		return err
	}
	defer func() {
		if rerr := os.RemoveAll(tmp); err == nil {
			err = rerr
		}
	}()
	next := filepath.Join(tmp, "layout")
	if err := os.MkdirAll(filepath.Join(next, "blobs", "sha256"), 0o755); err != nil {
		return err
	}
	var group errgroup.Group
	group.SetLimit(parallelBlobs)
	for _, b := range blobs {
		group.Go(func() error {
			if err := b.writeFile(filepath.Join(next, filepath.FromSlash(b.name)), filepath.Join(dir, filepath.FromSlash(b.name))); err != nil {
				return fmt.Errorf("%s: %w", b.name, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if old {
		if err := os.Rename(dir, filepath.Join(tmp, "old")); err != nil {
			return err
		}
	}
	return os.Rename(next, dir)
}

// replaceable reports whether there is something at dir, and an error if it is not ours to replace.
func replaceable(dir string) (bool, error) {
	list, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if len(list) == 0 {
		return true, nil
	}
	if _, err := os.Stat(filepath.Join(dir, "oci-layout")); err != nil {
		return false, errors.New("the directory holds something else: give another directory, or empty it")
	}
	return true, nil
}

// writeFile puts the blob into a new file, or links it: to where it is on disk, or to where the last layout had it.
func (b blob) writeFile(file, last string) error {
	if b.linkFrom(last, file) {
		return nil
	}
	r, err := b.open()
	if err != nil {
		return err
	}
	defer r.Close()
	if f, ok := r.(*os.File); ok && b.linkFrom(f.Name(), file) {
		return nil
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	err = b.copyTo(f, r)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// linkFrom links file to another that has the same content. When it cannot, nothing is there.
func (b blob) linkFrom(from, file string) bool {
	info, err := os.Lstat(from)
	if err != nil || !info.Mode().IsRegular() || info.Size() != b.size || info.Mode().Perm()&0o444 != 0o444 {
		return false
	}
	if os.Link(from, file) != nil {
		return false
	}
	f, err := os.Open(file)
	if err == nil {
		err = b.copyTo(io.Discard, f)
		f.Close()
	}
	if err != nil {
		os.Remove(file)
	}
	return err == nil
}

// WriteArchive writes the image as an OCI archive: a tar of its layout (see WriteLayout), which Dagger's Container.import,
// skopeo (oci-archive:) and containerd read. The same image gives the same bytes.
func WriteArchive(im v1.Image, w io.Writer, annotations map[string]string) error {
	return Layout{Images: []v1.Image{im}}.WriteArchive(w, annotations)
}

// WriteArchive is [WriteArchive] for all that the layout holds.
func (l Layout) WriteArchive(w io.Writer, annotations map[string]string) error {
	if err := l.writeArchive(w, annotations); err != nil {
		return fmt.Errorf("writing an image archive: %w", err)
	}
	return nil
}

func (l Layout) writeArchive(w io.Writer, annotations map[string]string) error {
	blobs, err := l.files(annotations)
	if err != nil {
		return err
	}
	tw := tar.NewWriter(w)
	for _, dir := range []string{"blobs", path.Join("blobs", "sha256")} {
		if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755, ModTime: layer.Epoch}); err != nil {
			return err
		}
	}
	for _, b := range blobs {
		if err := b.writeTar(tw); err != nil {
			return fmt.Errorf("%s: %w", b.name, err)
		}
	}
	return tw.Close()
}

func (b blob) writeTar(tw *tar.Writer) error {
	r, err := b.open()
	if err != nil {
		return err
	}
	defer r.Close()
	if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: b.name, Size: b.size, Mode: 0o644, ModTime: layer.Epoch}); err != nil {
		return err
	}
	return b.copyTo(tw, r)
}

// ReadLayout opens the only image in an OCI image layout.
func ReadLayout(dir string) (v1.Image, error) {
	l, err := OpenLayout(dir)
	if err != nil {
		return nil, err
	}
	if l.Index != nil {
		platforms, _ := l.Platforms()
		return nil, fmt.Errorf("reading image layout %s: it holds images for several platforms: %s", dir, strings.Join(platforms, ", "))
	}
	return l.Images[0], nil
}
