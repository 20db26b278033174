package host

import (
	"io"
	"os"
	"path/filepath"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// spool gives an image's layers a file each in dir, once their content is asked for: a base's layers are looked through
// and written to a layout, and fetched once.
type spool struct {
	v1.Image
	dir string
}

// Layers returns the layers with their files.
func (s spool) Layers() ([]v1.Layer, error) {
	layers, err := s.Image.Layers()
	if err != nil {
		return nil, err
	}
	out := make([]v1.Layer, len(layers))
	for i, l := range layers {
		out[i] = &spooled{Layer: l, dir: s.dir}
	}
	return out, nil
}

type spooled struct {
	v1.Layer
	dir  string
	once sync.Once
	file string
	err  error
}

// Compressed opens the file, which the first call makes.
func (s *spooled) Compressed() (io.ReadCloser, error) {
	s.once.Do(func() { s.file, s.err = s.fetch() })
	if s.err != nil {
		return nil, s.err
	}
	return os.Open(s.file)
}

func (s *spooled) fetch() (string, error) {
	digest, err := s.Layer.Digest()
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return "", err
	}
	file := filepath.Join(s.dir, digest.Hex)
	if _, err := os.Stat(file); err == nil {
		return file, nil // the other image's base has the layer too
	}
	r, err := s.Layer.Compressed()
	if err != nil {
		return "", err
	}
	defer r.Close()
	tmp, err := os.CreateTemp(s.dir, ".tmp-*")
	if err != nil {
		return "", err
	}
	defer os.Remove(tmp.Name())
	_, err = io.Copy(tmp, r)
	if cerr := tmp.Chmod(0o644); err == nil {
		err = cerr
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return "", err
	}
	return file, os.Rename(tmp.Name(), file)
}
