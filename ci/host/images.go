package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/magecloudkit/pipeline/ci/build"
	"github.com/magecloudkit/pipeline/ci/build/stack"
	"github.com/magecloudkit/pipeline/ci/docker"
	"github.com/magecloudkit/pipeline/ci/image"
	"github.com/magecloudkit/pipeline/ci/layer"
)

// Bases are what a build's images stand on, by the images' names.
type Bases map[string]Base

// Base is an image that another one stands on.
type Base struct {
	// Ref is a reference that [image.OpenBase] takes.
	Ref string
	// From is the reference that it came from, when Ref is a copy of it.
	From string
	// Digest is the digest of From where the copy has another, because its layers were packed anew.
	Digest string
	// Image is the opened image; nil: Images opens Ref.
	Image v1.Image
}

// Open opens those that are not open yet, so that one that is not there fails a build before it
// has begun, and so that a tag that moves while it runs does not change it.
func (b Bases) Open(ctx context.Context, platform string, opts ...image.Option) error {
	for _, name := range slices.Sorted(maps.Keys(b)) {
		base := b[name]
		if base.Image != nil {
			continue
		}
		im, err := image.OpenBase(ctx, base.Ref, platform, opts...)
		if err != nil {
			return fmt.Errorf("the base of image %s: %w", name, err)
		}
		base.Image = im
		b[name] = base
	}
	return nil
}

// PHPVersion is the version of PHP that an image says it has, as the official
// php images do in their environment ("8.3.12"); empty: it does not say.
func (b Base) PHPVersion() (string, error) {
	config, err := b.Image.ConfigFile()
	if err != nil {
		return "", fmt.Errorf("reading the config of %s: %w", b.Ref, err)
	}
	return image.Variable(config, image.PHPVersion), nil
}

// Official says that the reference is one of the official php images as they
// are, which lack the extensions that package build knows how to install.
func (b Base) Official() bool {
	ref, err := image.ParseReference(b.Ref)
	if err != nil || ref.Kind != image.KindRegistry {
		return false
	}
	repo := ref.Registry.Context()
	return repo.RegistryStr() == name.DefaultRegistry && repo.RepositoryStr() == "library/php"
}

// Assembled is one of a build's images: what it was made from, and what it is.
type Assembled struct {
	Name    string        `json:"name"`
	Base    string        `json:"base"`
	Summary image.Summary `json:"summary"`
	Image   v1.Image      `json:"-"`

	own int // how many of its layers are above the base's
}

// Images puts the two images of a build together: the packed layers, the files
// that the images add to their bases (the store's own below docker/, otherwise
// the ones that come with the pipeline), and the release's last layer. tree is
// the installed store.
func (r *Runner) Images(ctx context.Context, tree string, rel build.Release, platform string, layers []layer.Descriptor, bases Bases) ([]Assembled, error) { //nolint:revive // what an image is made of
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
	bases = maps.Clone(bases)
	if err := bases.Open(ctx, platform); err != nil {
		return nil, err
	}
	var out []Assembled
	for _, im := range described {
		from := bases[im.Name]
		base := v1.Image(spool{from.Image, filepath.Join(r.Results, "bases")})
		// A path says nothing on another machine.
		im.Base = image.FullName(cmp.Or(from.From, from.Ref))
		if from.Digest != "" {
			im.Config.Labels[image.LabelBaseName], im.Config.Labels[image.LabelBaseDigest] = im.Base, from.Digest
			im.Base, base = "", repacked{base}
		}
		done, err := image.Assemble(base, im, r.Blob)
		if err != nil {
			return nil, err
		}
		summary, err := image.Describe(done)
		if err != nil {
			return nil, err
		}
		out = append(out, Assembled{Name: im.Name, Base: cmp.Or(from.From, from.Ref), Summary: summary, Image: done, own: len(im.Layers)})
	}
	return out, nil
}

// repacked is a copy of an image whose history tells when it was copied, and how.
type repacked struct{ v1.Image }

// ConfigFile is the image's config without that history.
func (r repacked) ConfigFile() (*v1.ConfigFile, error) {
	c, err := r.Image.ConfigFile()
	if err != nil {
		return nil, err
	}
	c = c.DeepCopy()
	c.History = nil
	return c, nil
}

// WriteBase writes the image that a registry has under a reference, for a platform, as an OCI archive: its manifest and
// layers as they are.
func WriteBase(ctx context.Context, ref, platform, file string, opts ...image.Option) error {
	im, err := image.OpenBase(ctx, ref, platform, opts...)
	if err != nil {
		return err
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	err = image.WriteArchive(im, f, nil)
	return errors.Join(err, f.Close())
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

// named are the annotations that name an image in its layout as it is pushed: by
// the build's number.
func named(rel build.Release) map[string]string {
	return map[string]string{image.AnnotationRefName: rel.BuildNum}
}

// Layout is one of a build's images, for all its platforms.
type Layout struct {
	Name string
	image.Layout
}

// Layouts puts the images of one name, which are for several platforms, together.
func Layouts(images []Assembled) ([]Layout, error) {
	variants := map[string][]v1.Image{}
	var names []string
	for _, im := range images {
		if variants[im.Name] == nil {
			names = append(names, im.Name)
		}
		variants[im.Name] = append(variants[im.Name], im.Image)
	}
	var out []Layout
	for _, name := range names {
		l, err := image.NewLayout(variants[name]...)
		if err != nil {
			return nil, err
		}
		out = append(out, Layout{name, l})
	}
	return out, nil
}

// Summary is what a tag of an image names.
type Summary struct {
	Name string `json:"name"`
	// Digest is the image's, or the index's where there are several platforms.
	Digest    string   `json:"digest"`
	Platforms []string `json:"platforms"`
	// Size is what a machine that has none of the layers downloads, in bytes; where there are several platforms, of the first.
	Size int64 `json:"size"`
}

// Summaries say what the tags of the images name.
func Summaries(images []Assembled) ([]Summary, error) {
	layouts, err := Layouts(images)
	if err != nil {
		return nil, err
	}
	var out []Summary
	for _, l := range layouts {
		digest, err := l.Digest()
		if err != nil {
			return nil, err
		}
		s := Summary{Name: l.Name, Digest: digest.String()}
		for _, im := range images {
			if im.Name == l.Name {
				s.Platforms = append(s.Platforms, im.Summary.Platform)
				s.Size = cmp.Or(s.Size, im.Summary.Size)
			}
		}
		out = append(out, s)
	}
	return out, nil
}

// WriteLayouts writes each image as an OCI image layout, dir/NAME.
func WriteLayouts(dir string, rel build.Release, images []Assembled) error {
	layouts, err := Layouts(images)
	if err != nil {
		return err
	}
	for _, l := range layouts {
		if err := l.Write(filepath.Join(dir, l.Name), named(rel)); err != nil {
			return err
		}
	}
	return nil
}

// WriteArchives writes each image as an OCI archive, dir/NAME.tar.
func WriteArchives(dir string, rel build.Release, images []Assembled) error {
	layouts, err := Layouts(images)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, l := range layouts {
		f, err := os.Create(filepath.Join(dir, l.Name+".tar"))
		if err != nil {
			return err
		}
		err = l.WriteArchive(f, named(rel))
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
func PrintImages(w io.Writer, images []Assembled) error {
	for _, im := range images {
		fmt.Fprintf(w, "%s  %s  %s  %.1f MB\n", im.Name, im.Summary.Platform, im.Summary.Digest, float64(im.Summary.Size)/1e6)
		for _, l := range im.Summary.Layers {
			fmt.Fprintf(w, "  %8.1f MB  %.19s  %.60s\n", float64(l.Size)/1e6, l.Digest, l.Name)
		}
	}
	summaries, err := Summaries(images)
	for _, s := range summaries {
		if len(s.Platforms) > 1 {
			fmt.Fprintf(w, "%s  index of %s  %s\n", s.Name, strings.Join(s.Platforms, ", "), s.Digest)
		}
	}
	return err
}
