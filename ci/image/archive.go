package image

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// maxJSON bounds, in bytes, the manifests and configs that are read into memory.
const maxJSON = 16 << 20

// archive is an OCI image layout in a tar file, as Dagger's Container.asTarball and skopeo's oci-archive write it.
type archive struct {
	file    string
	entries map[string]span
}

// span is where a file lies in the archive.
type span struct{ offset, size int64 }

func openArchive(file string) (v1.ImageIndex, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	a := &archive{file: file, entries: map[string]span{}}
	tr := tar.NewReader(f)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		// The tar reader reads headers only as far as it must: the file stands at the content now.
		offset, err := f.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, err
		}
		a.entries[path.Clean(h.Name)] = span{offset, h.Size}
	}
	raw, err := a.read("index.json")
	if err != nil {
		return nil, err
	}
	return newArchiveIndex(a, raw)
}

// open opens a file of the archive.
func (a *archive) open(name string) (io.ReadCloser, error) {
	s, ok := a.entries[name]
	if !ok {
		return nil, fmt.Errorf("%s has no %s", a.file, name)
	}
	f, err := os.Open(a.file)
	if err != nil {
		return nil, err
	}
	return readCloser{io.NewSectionReader(f, s.offset, s.size), f.Close}, nil
}

func (a *archive) read(name string) ([]byte, error) {
	if s := a.entries[name]; s.size > maxJSON {
		return nil, fmt.Errorf("%s: %s is %d bytes long, more than any manifest or config", a.file, name, s.size)
	}
	r, err := a.open(name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

func blobName(h v1.Hash) string { return path.Join("blobs", h.Algorithm, h.Hex) }

// blob reads a manifest or config and checks it.
func (a *archive) blob(h v1.Hash) ([]byte, error) {
	raw, err := a.read(blobName(h))
	if err != nil {
		return nil, err
	}
	is, _, err := v1.SHA256(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	if is != h {
		return nil, fmt.Errorf("%s is broken: blob %s has the digest %s", a.file, h, is)
	}
	return raw, nil
}

// archiveIndex is an index in an archive.
type archiveIndex struct {
	*archive
	raw      []byte
	manifest v1.IndexManifest
}

func newArchiveIndex(a *archive, raw []byte) (*archiveIndex, error) {
	i := &archiveIndex{archive: a, raw: raw}
	if err := json.Unmarshal(raw, &i.manifest); err != nil {
		return nil, err
	}
	return i, nil
}

func (i *archiveIndex) MediaType() (types.MediaType, error)       { return types.OCIImageIndex, nil }
func (i *archiveIndex) Digest() (v1.Hash, error)                  { return partial.Digest(i) }
func (i *archiveIndex) Size() (int64, error)                      { return partial.Size(i) }
func (i *archiveIndex) IndexManifest() (*v1.IndexManifest, error) { return i.manifest.DeepCopy(), nil }
func (i *archiveIndex) RawManifest() ([]byte, error)              { return i.raw, nil }
func (i *archiveIndex) ImageIndex(h v1.Hash) (v1.ImageIndex, error) {
	raw, err := i.blob(h)
	if err != nil {
		return nil, err
	}
	return newArchiveIndex(i.archive, raw)
}

func (i *archiveIndex) Image(h v1.Hash) (v1.Image, error) {
	raw, err := i.blob(h)
	if err != nil {
		return nil, err
	}
	im := &archiveImage{archive: i.archive, raw: raw}
	if err := json.Unmarshal(raw, &im.manifest); err != nil {
		return nil, err
	}
	return partial.CompressedToImage(im)
}

// archiveImage is an image in an archive.
type archiveImage struct {
	*archive
	raw      []byte
	manifest v1.Manifest
}

func (i *archiveImage) RawManifest() ([]byte, error)   { return i.raw, nil }
func (i *archiveImage) RawConfigFile() ([]byte, error) { return i.blob(i.manifest.Config.Digest) }
func (i *archiveImage) MediaType() (types.MediaType, error) {
	if i.manifest.MediaType == "" { // optional in OCI manifests
		return types.OCIManifestSchema1, nil
	}
	return i.manifest.MediaType, nil
}

func (i *archiveImage) LayerByDigest(h v1.Hash) (partial.CompressedLayer, error) {
	for _, d := range append([]v1.Descriptor{i.manifest.Config}, i.manifest.Layers...) {
		if d.Digest == h {
			return &archiveLayer{i.archive, d}, nil
		}
	}
	return nil, fmt.Errorf("the image has no layer %s", h)
}

// archiveLayer is a blob in an archive.
type archiveLayer struct {
	archive *archive
	desc    v1.Descriptor
}

func (l *archiveLayer) Digest() (v1.Hash, error)            { return l.desc.Digest, nil }
func (l *archiveLayer) Size() (int64, error)                { return l.desc.Size, nil }
func (l *archiveLayer) MediaType() (types.MediaType, error) { return l.desc.MediaType, nil }
func (l *archiveLayer) Compressed() (io.ReadCloser, error) {
	return l.archive.open(blobName(l.desc.Digest))
}
