package registry

import (
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/magecloudkit/pipeline/ci/image"
)

// upload is one image on its way.
type upload struct {
	Image
	repo   name.Repository
	images []v1.Image // for each platform
	digest v1.Hash
	blobs  []pending
	before map[string]*remote.Descriptor // what each tag named before; nil: nothing
	done   Pushed
}

type pending struct {
	name  string
	layer v1.Layer
	size  int64
}

// of opens the images that an image consists of: one for each platform.
func (i Image) of() ([]v1.Image, error) {
	if i.Index == nil {
		return []v1.Image{i.Image}, nil
	}
	manifest, err := i.Index.IndexManifest()
	if err != nil {
		return nil, err
	}
	var out []v1.Image
	for _, d := range manifest.Manifests {
		im, err := i.Index.Image(d.Digest)
		if err != nil {
			return nil, err
		}
		out = append(out, im)
	}
	return out, nil
}

// named is what a tag names.
func (i Image) named() remote.Taggable {
	if i.Index == nil {
		return i.Image
	}
	return i.Index
}

// read lists what an image consists of.
func (u *upload) read() (err error) {
	if u.images, err = u.of(); err != nil {
		return err
	}
	seen := map[v1.Hash]bool{}
	for _, im := range u.images {
		if err := u.add(im, seen); err != nil {
			return err
		}
	}
	if u.Index != nil {
		u.digest, err = u.Index.Digest()
	} else {
		u.digest, err = u.Image.Image.Digest()
	}
	if err != nil {
		return err
	}
	u.done.Name, u.done.Digest, u.done.Pinned = u.Name, u.digest.String(), u.repo.Digest(u.digest.String()).String()
	return nil
}

// add lists an image's layers and config.
func (u *upload) add(im v1.Image, seen map[v1.Hash]bool) error {
	summary, err := image.Describe(im)
	if err != nil {
		return err
	}
	layers, err := im.Layers()
	if err != nil {
		return err
	}
	for i, l := range layers {
		if err := u.addBlob(summary.Layers[i].Name, l, seen); err != nil {
			return err
		}
	}
	config, err := partial.ConfigLayer(im)
	if err != nil {
		return err
	}
	return u.addBlob("config", config, seen)
}

func (u *upload) addBlob(name string, l v1.Layer, seen map[v1.Hash]bool) error {
	mediaType, err := l.MediaType()
	if err != nil {
		return err
	}
	digest, err := l.Digest()
	if err != nil {
		return err
	}
	size, err := l.Size()
	if err != nil {
		return err
	}
	if !seen[digest] && mediaType.IsDistributable() {
		seen[digest] = true
		u.blobs = append(u.blobs, pending{name, l, size})
		u.done.Blobs = append(u.done.Blobs, Blob{Name: name, Digest: digest.String(), Size: size})
	}
	return nil
}
