package image

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Layout is what an OCI image layout of ours holds: an image, or an index of images for several platforms.
type Layout struct {
	// Images are the image, or those of the index.
	Images []v1.Image
	// Index is nil where there is one image alone.
	Index v1.ImageIndex
}

// NewLayout puts an image's variants for several platforms into an index, in their order. One alone needs none.
func NewLayout(images ...v1.Image) (Layout, error) {
	if len(images) == 1 {
		return Layout{Images: images}, nil
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, im := range images {
		config, err := im.ConfigFile()
		if err != nil {
			return Layout{}, fmt.Errorf("putting images for several platforms together: %w", err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: im, Descriptor: v1.Descriptor{Platform: config.Platform()}})
	}
	return Layout{Images: images, Index: index}, nil
}

// OpenLayout opens the image, or the index of images, in an OCI image layout.
func OpenLayout(dir string) (Layout, error) {
	l, err := openLayout(dir)
	if err != nil {
		return Layout{}, fmt.Errorf("reading image layout %s: %w", dir, err)
	}
	return l, nil
}

func openLayout(dir string) (Layout, error) {
	outer, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return Layout{}, err
	}
	manifest, err := outer.IndexManifest()
	if err != nil {
		return Layout{}, err
	}
	if len(manifest.Manifests) != 1 || !manifest.Manifests[0].MediaType.IsIndex() {
		im, err := choose(outer, Reference{Kind: KindLayout, Path: dir}, nil)
		return Layout{Images: []v1.Image{im}}, err
	}
	index, err := outer.ImageIndex(manifest.Manifests[0].Digest)
	if err != nil {
		return Layout{}, err
	}
	if manifest, err = index.IndexManifest(); err != nil {
		return Layout{}, err
	}
	l := Layout{Index: index}
	for _, d := range variants(manifest) {
		im, err := index.Image(d.Digest)
		if err != nil {
			return Layout{}, err
		}
		l.Images = append(l.Images, im)
	}
	if len(l.Images) == 1 {
		return Layout{Images: l.Images}, nil
	}
	return l, nil
}

// Digest is what a tag names: the digest of the index, or of the image.
func (l Layout) Digest() (v1.Hash, error) {
	if l.Index != nil {
		return l.Index.Digest()
	}
	return l.Images[0].Digest()
}

// Platforms are those that there are images for, as "linux/amd64".
func (l Layout) Platforms() ([]string, error) {
	var out []string
	for _, im := range l.Images {
		config, err := im.ConfigFile()
		if err != nil {
			return nil, err
		}
		out = append(out, platformOf(config))
	}
	return out, nil
}

// For is the image for a platform. One that is alone is taken whatever it is for.
func (l Layout) For(platform string) (v1.Image, error) {
	if l.Index == nil {
		return l.Images[0], nil
	}
	want, err := parsePlatform(platform)
	if err != nil {
		return nil, err
	}
	return pick(l.Index, want)
}

// files lists what the layout consists of: the layers' blobs, and then what refers to them.
func (l Layout) files(annotations map[string]string) ([]blob, error) {
	var out []blob
	var desc v1.Descriptor
	seen := map[v1.Hash]bool{}
	for _, im := range l.Images {
		blobs, d, err := imageFiles(im, seen)
		if err != nil {
			return nil, err
		}
		out, desc = append(out, blobs...), d
	}
	if l.Index != nil {
		raw, err := l.Index.RawManifest()
		if err != nil {
			return nil, err
		}
		hash, size, err := v1.SHA256(bytes.NewReader(raw))
		if err != nil {
			return nil, err
		}
		out = append(out, blobOf(blobName(hash), raw, hash, size))
		desc = v1.Descriptor{MediaType: types.OCIImageIndex, Digest: hash, Size: size}
	}
	desc.Annotations = annotations
	index, err := json.Marshal(v1.IndexManifest{SchemaVersion: 2, MediaType: types.OCIImageIndex, Manifests: []v1.Descriptor{desc}})
	if err != nil {
		return nil, err
	}
	for _, f := range []struct {
		name string
		raw  []byte
	}{{"index.json", index}, {"oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)}} {
		hash, size, err := v1.SHA256(bytes.NewReader(f.raw))
		if err != nil {
			return nil, err
		}
		out = append(out, blobOf(f.name, f.raw, hash, size))
	}
	return out, nil
}

func blobOf(name string, raw []byte, hash v1.Hash, size int64) blob {
	return blob{name, hash, size, func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(raw)), nil }}
}

// imageFiles lists what an image consists of, and describes it.
func imageFiles(im v1.Image, seen map[v1.Hash]bool) (out []blob, desc v1.Descriptor, err error) {
	manifest, err := im.Manifest()
	if err != nil {
		return nil, desc, err
	}
	layers, err := im.Layers()
	if err != nil {
		return nil, desc, err
	}
	for i, l := range layers {
		d := manifest.Layers[i]
		if !seen[d.Digest] {
			seen[d.Digest] = true
			out = append(out, blob{blobName(d.Digest), d.Digest, d.Size, l.Compressed})
		}
	}
	config, err := im.RawConfigFile()
	if err != nil {
		return nil, desc, err
	}
	raw, err := im.RawManifest()
	if err != nil {
		return nil, desc, err
	}
	desc.Digest, desc.Size, err = v1.SHA256(bytes.NewReader(raw))
	if err != nil {
		return nil, desc, err
	}
	if desc.MediaType, err = im.MediaType(); err != nil {
		return nil, desc, err
	}
	configFile, err := im.ConfigFile()
	if err != nil {
		return nil, desc, err
	}
	desc.Platform = configFile.Platform()
	out = append(out, blobOf(blobName(manifest.Config.Digest), config, manifest.Config.Digest, int64(len(config))), blobOf(blobName(desc.Digest), raw, desc.Digest, desc.Size))
	return out, desc, nil
}
