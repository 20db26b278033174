// Package attest says what an image consists of and how it was made: a software bill of materials (CycloneDX) of its
// composer and Debian packages, and a provenance (SLSA, as an in-toto statement).
//
// Both follow from the image alone. The same image gives the same bytes, whenever and wherever they are made.
package attest

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/magecloudkit/pipeline/ci/build"
	"github.com/magecloudkit/pipeline/ci/image"
	"github.com/magecloudkit/pipeline/ci/layer"
)

// Package is a package in an image.
type Package struct {
	Type    string // of its package URL: "composer" or "deb"
	Name    string // "monolog/monolog", "libssl3"
	Version string
	// Of a Debian package. Source is the name that Debian's security team knows it by, SourceVersion its version.
	Arch, Source, SourceVersion string
	Licenses                    []string
	SHA1                        string // of composer's download; empty: not known
}

// Contents is what of an image its attestations are made of.
type Contents struct {
	Name     string // of the image: "magento2"
	Digest   string
	Platform string
	Labels   map[string]string
	Packages []Package // sorted
	// Distribution is the base's: "debian-12"; empty: not known.
	Distribution string
	// PHP is the version of PHP that the base says it has; empty: it does not say.
	PHP string
	// Layers are the layers' names, of the base's as its history has them.
	Layers      []string
	Compression []string // of the layers: "zstd"
	Lock        []byte   // composer.lock; nil: there is none
}

// Files of an image that tell of its packages.
const (
	dpkgStatus   = "var/lib/dpkg/status"
	osRelease    = "etc/os-release" // a link to the other, in Debian
	osReleaseLib = "usr/lib/os-release"
	composerLock = build.AppRoot + "/composer.lock"
)

// Read reads an image's contents. Layers in which there can be no list of packages are not read.
func Read(ctx context.Context, name string, im v1.Image) (Contents, error) {
	c, err := read(ctx, name, im)
	if err != nil {
		return c, fmt.Errorf("reading what image %s consists of: %w", name, err)
	}
	return c, nil
}

func read(ctx context.Context, name string, im v1.Image) (Contents, error) {
	summary, err := image.Describe(im)
	if err != nil {
		return Contents{}, err
	}
	config, err := im.ConfigFile()
	if err != nil {
		return Contents{}, err
	}
	layers, err := im.Layers()
	if err != nil {
		return Contents{}, err
	}
	c := Contents{
		Name: name, Digest: summary.Digest, Platform: summary.Platform, Labels: config.Config.Labels, PHP: image.Variable(config, image.PHPVersion),
	}
	files := map[string][]byte{}
	for i, l := range layers {
		sum := summary.Layers[i]
		c.Layers = append(c.Layers, sum.Name)
		if _, compression, ok := strings.Cut(path.Base(sum.MediaType), "+"); ok && !slices.Contains(c.Compression, compression) {
			c.Compression = append(c.Compression, compression)
		}
		if madeByTheBuild(sum.Name) {
			continue
		}
		if err := find(ctx, l, sum.MediaType, files); err != nil {
			return c, fmt.Errorf("layer %s: %w", cmp.Or(sum.Name, sum.Digest), err)
		}
	}
	c.Lock = files[composerLock]
	return c, c.list(files)
}

// madeByTheBuild says of a layer that it holds what Magento's commands made, or packages, and no list of any.
func madeByTheBuild(name string) bool {
	return slices.Contains([]string{build.LayerVendor, build.LayerGenerated, build.LayerTemplates, build.LayerApp, build.LayerSeed, build.LayerDesign, build.LayerCode}, name) || build.IsStatic(name) || build.OnlyServed(name)
}

// find takes the files that tell of packages out of a layer; those of upper layers win.
func find(ctx context.Context, l v1.Layer, mediaType string, files map[string][]byte) error {
	return layer.Read(ctx, l.Compressed, mediaType, func(name string, h *tar.Header, content io.Reader) error {
		switch name {
		case dpkgStatus, osRelease, osReleaseLib, composerLock:
			if h.Typeflag != tar.TypeReg {
				return nil
			}
			raw, err := io.ReadAll(content)
			files[name] = raw
			return err
		}
		return nil
	})
}

// list reads the packages' lists.
func (c *Contents) list(files map[string][]byte) error {
	release := files[osRelease]
	if release == nil {
		release = files[osReleaseLib]
	}
	facts := map[string]string{}
	for line := range strings.Lines(string(release)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		facts[name] = strings.Trim(value, `"'`)
	}
	if facts["ID"] != "" {
		c.Distribution = strings.TrimSuffix(facts["ID"]+"-"+facts["VERSION_ID"], "-")
	}
	c.Packages = debian(files[dpkgStatus])
	if c.Lock != nil {
		locked, err := composer(c.Lock)
		if err != nil {
			return err
		}
		c.Packages = append(c.Packages, locked...)
	}
	slices.SortFunc(c.Packages, func(a, b Package) int {
		return cmp.Or(strings.Compare(a.Type, b.Type), strings.Compare(a.Name, b.Name), strings.Compare(a.Version, b.Version), strings.Compare(a.Arch, b.Arch))
	})
	return nil
}

// rebuilt ends the version of a package that was built again from the same source.
var rebuilt = regexp.MustCompile(`\+b\d+$`)

// debian reads dpkg's list: https://man7.org/linux/man-pages/man5/deb-control.5.html, a paragraph a package.
func debian(status []byte) []Package {
	var out []Package
	for paragraph := range bytes.SplitSeq(status, []byte("\n\n")) {
		fields := map[string]string{}
		for line := range strings.Lines(string(paragraph)) {
			if name, value, ok := strings.Cut(line, ":"); ok && name != "" && name[0] != ' ' {
				fields[name] = strings.TrimSpace(value)
			}
		}
		if fields["Package"] == "" || !strings.HasSuffix(fields["Status"], " installed") {
			continue
		}
		source, version, ok := strings.Cut(cmp.Or(fields["Source"], fields["Package"]), " ")
		if version = strings.Trim(version, "()"); !ok { // a package that was built again has a version of its own
			version = rebuilt.ReplaceAllString(fields["Version"], "")
		}
		out = append(out, Package{
			Type: "deb", Name: fields["Package"], Version: fields["Version"], Arch: fields["Architecture"], Source: source, SourceVersion: version,
		})
	}
	return out
}

// composer reads the packages of a composer.lock that are in an image: not those for development.
func composer(lock []byte) ([]Package, error) {
	var list struct {
		Packages []struct {
			Name    string   `json:"name"`
			Version string   `json:"version"`
			License []string `json:"license"`
			Dist    struct {
				Shasum string `json:"shasum"`
			} `json:"dist"`
		} `json:"packages"`
	}
	if json.Unmarshal(lock, &list) != nil {
		return nil, errors.New("its composer.lock is not one")
	}
	var out []Package
	for _, p := range list.Packages {
		out = append(out, Package{Type: "composer", Name: p.Name, Version: p.Version, Licenses: p.License, SHA1: p.Dist.Shasum})
	}
	return out, nil
}
