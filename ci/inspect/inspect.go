// Package inspect says what is in an image, layer by layer, and in what it differs from another.
package inspect

import (
	"archive/tar"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/magecloudkit/pipeline/ci/image"
	"github.com/magecloudkit/pipeline/ci/layer"
)

// Image is what is in an image. Sizes are in bytes.
type Image struct {
	Name     string `json:"name"`
	Digest   string `json:"digest"`
	Platform string `json:"platform"`
	Build    string `json:"build,omitempty"`
	Revision string `json:"revision,omitempty"`
	Created  string `json:"created,omitempty"`
	// Size is what a host that has none of the layers downloads, Unpacked what the files take there.
	Size     int64   `json:"size"`
	Unpacked int64   `json:"unpacked"`
	Files    int     `json:"files"`
	Layers   []Layer `json:"layers"`
	// Largest are the largest files, the largest first.
	Largest []File `json:"largest"`
	// Against is what differs from another image; nil: it was not compared.
	Against *Diff `json:"against,omitempty"`

	config *v1.ConfigFile
}

// Layer is a layer, the lowest first in an image.
type Layer struct {
	Name     string `json:"name"` // as the image's history has it
	Digest   string `json:"digest"`
	Size     int64  `json:"size"`     // compressed
	Unpacked int64  `json:"unpacked"` // of the files' contents
	Files    int    `json:"files"`    // all but directories
	Largest  []File `json:"largest"`
	// All are all entries but directories, if they were asked for.
	All []File `json:"all,omitempty"`

	entries []File
}

// File is a file, a link, or the mark that something of a layer below is deleted.
type File struct {
	Path string `json:"path"`
	Size int64  `json:"size"`
	// Layer is the name of the layer that it is in, where files of several are listed.
	Layer string `json:"layer,omitempty"`

	sum string // of what it is: content, mode, owner
}

// Options say how much is told.
type Options struct {
	Largest int  // how many files of each layer and image, at most
	All     bool // every file of every layer
	// Against is an image to compare with; nil: none.
	Against v1.Image
	// Jobs is how many layers are read at a time; at least 1.
	Jobs int
}

// Read reads an image, and the one that it is compared with. Layers that both have are read once, and not compared.
func Read(ctx context.Context, name string, im v1.Image, o Options) (Image, error) {
	own, err := digests(im)
	if err != nil {
		return Image{}, fmt.Errorf("inspecting image %s: %w", name, err)
	}
	if o.Against == nil {
		return read(ctx, name, im, own, o)
	}
	others, err := digests(o.Against)
	if err != nil {
		return Image{}, fmt.Errorf("inspecting what image %s is compared with: %w", name, err)
	}
	r, err := read(ctx, name, im, others, o)
	if err != nil {
		return Image{}, err
	}
	other, err := read(ctx, name+" compared with", o.Against, own, o)
	if err != nil {
		return Image{}, err
	}
	r.Against = compare(other, r)
	return r, nil
}

func digests(im v1.Image) (map[string]bool, error) {
	manifest, err := im.Manifest()
	if err != nil {
		return nil, err
	}
	out := map[string]bool{}
	for _, l := range manifest.Layers {
		out[l.Digest.String()] = true
	}
	return out, nil
}

// read reads an image. Of the layers in common no content is hashed: their digest says all.
func read(ctx context.Context, name string, im v1.Image, common map[string]bool, o Options) (Image, error) {
	fail := func(err error) (Image, error) { return Image{}, fmt.Errorf("inspecting image %s: %w", name, err) }
	sum, err := image.Describe(im)
	if err != nil {
		return fail(err)
	}
	r := Image{Name: name, Digest: sum.Digest, Platform: sum.Platform, Size: sum.Size, Layers: make([]Layer, len(sum.Layers)), Largest: []File{}}
	if r.config, err = im.ConfigFile(); err != nil {
		return fail(err)
	}
	labels := r.config.Config.Labels
	r.Build, r.Revision, r.Created = labels[image.LabelVersion], labels[image.LabelRevision], labels[image.LabelCreated]
	layers, err := im.Layers()
	if err != nil {
		return fail(err)
	}
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(max(1, o.Jobs))
	for i, l := range layers {
		s := sum.Layers[i]
		r.Layers[i] = Layer{Name: cmp.Or(s.Name, "-"), Digest: s.Digest, Size: s.Size}
		group.Go(func() error {
			if err := r.Layers[i].read(gctx, l, s.MediaType, common[s.Digest]); err != nil {
				return fmt.Errorf("layer %s (%s): %w", r.Layers[i].Name, s.Digest, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return fail(err)
	}
	var all []File
	for i := range r.Layers {
		l := &r.Layers[i]
		r.Files, r.Unpacked = r.Files+l.Files, r.Unpacked+l.Unpacked
		l.Largest = largest(l.entries, o.Largest)
		if o.All {
			l.All = l.entries
		}
		for _, f := range l.Largest {
			f.Layer = l.Name
			all = append(all, f)
		}
	}
	r.Largest = largest(all, o.Largest)
	return r, nil
}

func (l *Layer) read(ctx context.Context, from v1.Layer, mediaType string, common bool) error {
	return layer.Read(ctx, from.Compressed, mediaType, func(name string, h *tar.Header, content io.Reader) error {
		if h.Typeflag == tar.TypeDir || h.Typeflag == tar.TypeXGlobalHeader {
			return nil
		}
		f := File{Path: name, Size: h.Size}
		if common {
			f.sum = l.Digest
		} else {
			hash := sha256.New()
			fmt.Fprintf(hash, "%c %o %d:%d %q\n", h.Typeflag, h.Mode&0o7777, h.Uid, h.Gid, h.Linkname)
			if _, err := io.Copy(hash, content); err != nil {
				return err
			}
			f.sum = hex.EncodeToString(hash.Sum(nil))
		}
		l.Files, l.Unpacked = l.Files+1, l.Unpacked+h.Size
		l.entries = append(l.entries, f)
		return nil
	})
}

// largest are the n largest files, the largest first.
func largest(files []File, n int) []File {
	sorted := slices.SortedStableFunc(slices.Values(files), func(a, b File) int {
		return cmp.Or(cmp.Compare(b.Size, a.Size), strings.Compare(a.Path, b.Path))
	})
	return append([]File{}, sorted[:min(max(n, 0), len(sorted))]...)
}
