package host

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/magecloudkit/pipeline/ci/build"
	"github.com/magecloudkit/pipeline/ci/build/stack"
	"github.com/magecloudkit/pipeline/ci/image"
	"github.com/magecloudkit/pipeline/ci/layer"
	"github.com/magecloudkit/pipeline/magento/docker"
)

// Bases are what a build's images stand on, by the images' names.
type Bases map[string]Base

// Base is an image that another one stands on.
type Base struct {
	// Ref is a reference that [image.OpenBase] takes.
	Ref string
	// From is where it came from, with its digest, when Ref is a copy of it.
	From string
}

// Assembled is one of a build's images: what it was made from, and what it is.
type Assembled struct {
	Name    string        `json:"name"`
	Base    string        `json:"base"`
	Summary image.Summary `json:"summary"`
	Image   v1.Image      `json:"-"`
}

// Images puts the two images of a build together: the packed layers, the files
// that the images add to their bases (the store's own below docker/, otherwise
// the ones that come with the pipeline), and the release's last layer. tree is
// the installed store.
func (r *Runner) Images(ctx context.Context, tree string, rel build.Release, platform string, layers []layer.Descriptor, bases Bases) ([]Assembled, error) {
	if err := rel.Validate(); err != nil {
		return nil, err
	}
	for _, name := range []string{build.Magento, build.Nginx} {
		d, err := r.configLayer(ctx, tree, name)
		if err != nil {
			return nil, err
		}
		layers = append(layers, d)
	}
	d, err := r.Pack(ctx, "", rel.Layer())
	if err != nil {
		return nil, err
	}
	described, err := stack.Images(rel, platform, append(layers, d))
	if err != nil {
		return nil, err
	}
	var out []Assembled
	for _, im := range described {
		from := bases[im.Name]
		base, err := image.OpenBase(ctx, from.Ref, platform)
		if err != nil {
			return nil, fmt.Errorf("the base of image %s: %w", im.Name, err)
		}
		// A path says nothing on another machine, and a copy's digest nothing of
		// its original.
		if name, digest, ok := strings.Cut(from.From, "@"); ok {
			im.Config.Labels[image.LabelBaseName], im.Config.Labels[image.LabelBaseDigest] = name, digest
		} else if ref, err := image.ParseReference(from.Ref); err == nil && ref.Kind == image.KindRegistry {
			im.Base = from.Ref
		}
		done, err := image.Assemble(base, im, r.Blob)
		if err != nil {
			return nil, err
		}
		summary, err := image.Describe(done)
		if err != nil {
			return nil, err
		}
		out = append(out, Assembled{Name: im.Name, Base: cmp.Or(from.From, from.Ref), Summary: summary, Image: done})
	}
	return out, nil
}

// configLayer packs the files that an image adds to its base.
func (r *Runner) configLayer(ctx context.Context, tree, name string) (layer.Descriptor, error) {
	spec := layer.Spec{Name: build.ConfigPrefix + name}
	own := filepath.Join(tree, "docker", docker.Directory(name), "rootfs")
	if _, err := os.Stat(own); err == nil {
		return r.Pack(ctx, own, spec)
	}
	files, err := docker.Files(name)
	if err != nil {
		return layer.Descriptor{}, err
	}
	spec.Files = files
	return r.Pack(ctx, "", spec)
}

// WriteLayouts writes each image as an OCI image layout, dir/NAME.
func WriteLayouts(dir string, rel build.Release, images []Assembled) error {
	for _, im := range images {
		if err := image.WriteLayout(im.Image, filepath.Join(dir, im.Name), map[string]string{image.AnnotationRefName: rel.BuildNum}); err != nil {
			return err
		}
	}
	return nil
}

// WriteArchives writes each image as an OCI archive, dir/NAME.tar.
func WriteArchives(dir string, images []Assembled) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, im := range images {
		f, err := os.Create(filepath.Join(dir, im.Name+".tar"))
		if err != nil {
			return err
		}
		err = image.WriteArchive(im.Image, f)
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// PrintImages prints images as tables: their layers, from the base up.
func PrintImages(w io.Writer, images []Assembled) {
	for _, im := range images {
		fmt.Fprintf(w, "%s  %s  %s  %.1f MB\n", im.Name, im.Summary.Platform, im.Summary.Digest, float64(im.Summary.Size)/1e6)
		for _, l := range im.Summary.Layers {
			fmt.Fprintf(w, "  %8.1f MB  %.19s  %.60s\n", float64(l.Size)/1e6, l.Digest, l.Name)
		}
	}
}
