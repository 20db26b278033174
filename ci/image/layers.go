package image

import (
	"fmt"
	"io"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/magecloudkit/pipeline/ci/layer"
)

// assembled is a v1.Image over layers that exist.
type assembled struct {
	manifest, config []byte
	layers           []v1.Layer
}

func (a *assembled) Layers() ([]v1.Layer, error) { return slices.Clone(a.layers), nil }

func (a *assembled) MediaType() (types.MediaType, error) { return types.OCIManifestSchema1, nil }

func (a *assembled) Size() (int64, error) { return int64(len(a.manifest)), nil }

func (a *assembled) ConfigName() (v1.Hash, error) { return partial.ConfigName(a) }

func (a *assembled) ConfigFile() (*v1.ConfigFile, error) { return partial.ConfigFile(a) }

func (a *assembled) RawConfigFile() ([]byte, error) { return a.config, nil }

func (a *assembled) Digest() (v1.Hash, error) { return partial.Digest(a) }

func (a *assembled) Manifest() (*v1.Manifest, error) { return partial.Manifest(a) }

func (a *assembled) RawManifest() ([]byte, error) { return a.manifest, nil }

func (a *assembled) LayerByDigest(h v1.Hash) (v1.Layer, error) {
	if name, err := a.ConfigName(); err == nil && name == h {
		return partial.ConfigLayer(a)
	}
	return a.find(h, v1.Layer.Digest)
}

func (a *assembled) LayerByDiffID(h v1.Hash) (v1.Layer, error) { return a.find(h, v1.Layer.DiffID) }

func (a *assembled) find(h v1.Hash, by func(v1.Layer) (v1.Hash, error)) (v1.Layer, error) {
	for _, l := range a.layers {
		if is, err := by(l); err == nil && is == h {
			return l, nil
		}
	}
	return nil, fmt.Errorf("the image has no layer %s", h)
}

// packed is a v1.Layer over a packed blob whose digests are known.
type packed struct {
	desc           layer.Descriptor
	digest, diffID v1.Hash
	mediaType      types.MediaType
	blobs          func(layer.Descriptor) (io.ReadCloser, error)
}

func newPacked(d layer.Descriptor, blobs func(layer.Descriptor) (io.ReadCloser, error)) (*packed, error) {
	digest, err := v1.NewHash(d.Digest)
	if err != nil {
		return nil, err
	}
	diffID, err := v1.NewHash(d.DiffID)
	if err != nil {
		return nil, err
	}
	mediaType, err := ociLayer(types.MediaType(d.MediaType))
	if err != nil {
		return nil, err
	}
	return &packed{desc: d, digest: digest, diffID: diffID, mediaType: mediaType, blobs: blobs}, nil
}

func (p *packed) Digest() (v1.Hash, error) { return p.digest, nil }

func (p *packed) DiffID() (v1.Hash, error) { return p.diffID, nil }

func (p *packed) Compressed() (io.ReadCloser, error) { return p.blobs(p.desc) }

func (p *packed) Size() (int64, error) { return p.desc.Size, nil }

func (p *packed) MediaType() (types.MediaType, error) { return p.mediaType, nil }

func (p *packed) Uncompressed() (io.ReadCloser, error) { return uncompressed(p) }

// uncompressed reads a layer's tar stream.
func uncompressed(l partial.CompressedLayer) (io.ReadCloser, error) {
	mediaType, err := l.MediaType()
	if err != nil {
		return nil, err
	}
	if mediaType, err = ociLayer(mediaType); err != nil {
		return nil, err
	}
	blob, err := l.Compressed()
	if err != nil {
		return nil, err
	}
	// The nondistributable types have the encoding of the others.
	plain, err := layer.Decompress(blob, strings.Replace(string(mediaType), "nondistributable.", "", 1))
	if err != nil {
		blob.Close()
		return nil, err
	}
	return readCloser{plain, func() error {
		err := plain.Close()
		if cerr := blob.Close(); err == nil {
			err = cerr
		}
		return err
	}}, nil
}

type readCloser struct {
	io.Reader
	close func() error
}

func (r readCloser) Close() error { return r.close() }

// retyped is a base's layer with another media type and the same bytes.
type retyped struct {
	v1.Layer
	mediaType types.MediaType
}

func (r retyped) MediaType() (types.MediaType, error) { return r.mediaType, nil }

// retype keeps what a layer from a registry knows about its origin, so that a push to the same registry can mount it
// instead of sending it.
func retype(l v1.Layer, t types.MediaType) v1.Layer {
	if is, err := l.MediaType(); err == nil && is == t {
		return l
	}
	if m, ok := l.(*remote.MountableLayer); ok {
		return &remote.MountableLayer{Layer: retyped{m.Layer, t}, Reference: m.Reference}
	}
	return retyped{l, t}
}
