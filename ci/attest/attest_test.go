package attest_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"testing"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/magecloudkit/pipeline/ci/attest"
	"github.com/magecloudkit/pipeline/ci/image"
)

const status = `Package: libssl3
Status: install ok installed
Architecture: amd64
Source: openssl (3.0.15-1)
Version: 3.0.15-1~deb12u1
Description: library
 Package: not-a-field
Conffiles:
 /etc/a 1

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1

Package: zlib1g
Status: install ok installed
Architecture: amd64
Version: 1:1.2.13.dfsg-1
`

const lock = `{"packages": [{"name": "monolog/monolog", "version": "3.5.0", "license": ["MIT"], "dist": {"shasum": "da39a3ee5e6b4b0d3255bfef95601890afd80709"}},
	{"name": "acme/shop", "version": "dev-main"}], "packages-dev": [{"name": "phpunit/phpunit", "version": "10.0.0"}]}`

// sample is an image as the build makes it, in small.
func sample(t *testing.T) v1.Image {
	t.Helper()
	im, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{OS: "linux", Architecture: "amd64", RootFS: v1.RootFS{Type: "layers", DiffIDs: []v1.Hash{}}, Config: v1.Config{
		Env: []string{"PHP_VERSION=8.3.12"},
		Labels: map[string]string{
			image.LabelVersion: "300", image.LabelRevision: "feedfacefeedfacefeedfacefeedfacefeedface", image.LabelSource: "https://github.com/acme/store",
			image.LabelCreated: "2026-05-04T03:02:01Z", image.LabelBaseName: "php:8.3-fpm-bookworm", image.LabelBaseDigest: "sha256:0123456789012345678901234567890123456789012345678901234567890123",
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range []struct {
		name  string
		files map[string]string
	}{
		{"RUN apt-get install", map[string]string{"var/lib/dpkg/status": "Package: old\nStatus: install ok installed\nVersion: 1\n", "usr/lib/os-release": "ID=debian\nVERSION_ID=\"12\"\n"}},
		{"RUN more", map[string]string{"var/lib/dpkg/status": status}},
		{"vendor", map[string]string{"var/lib/dpkg/status": "Package: wrong\nStatus: install ok installed\n"}},
		{"magento", map[string]string{"var/www/html/composer.lock": lock}},
		{"static-frontend-Acme-shop", map[string]string{"a": "b"}},
	} {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for _, name := range slices.Sorted(maps.Keys(l.files)) {
			if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(l.files[name])), Mode: 0o644}); err != nil {
				t.Fatal(err)
			}
			w.Write([]byte(l.files[name])) // into memory
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if im, err = mutate.Append(im, mutate.Addendum{Layer: static.NewLayer(b.Bytes(), types.OCIUncompressedLayer), History: v1.History{CreatedBy: l.name}}); err != nil {
			t.Fatal(err)
		}
	}
	return im
}

func sum(text string) string {
	s := sha256.Sum256([]byte(text))
	return hex.EncodeToString(s[:])
}

func read(t *testing.T) attest.Contents {
	t.Helper()
	c, err := attest.Read(t.Context(), "magento2", sample(t))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The bill of materials has what runs: the last word of dpkg, the lock without what is for development, and PHP.
func TestSBOM(t *testing.T) {
	raw, err := read(t).SBOM()
	if err != nil {
		t.Fatal(err)
	}
	var bom cdx.BOM
	if err := cdx.NewBOMDecoder(bytes.NewReader(raw), cdx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	var urls []string
	for _, c := range *bom.Components {
		urls = append(urls, c.PackageURL)
	}
	want := []string{
		"pkg:generic/php@8.3.12", "pkg:composer/acme/shop@dev-main", "pkg:composer/monolog/monolog@3.5.0",
		"pkg:deb/debian/libssl3@3.0.15-1~deb12u1?arch=amd64&distro=debian-12&upstream=openssl",
		"pkg:deb/debian/zlib1g@1:1.2.13.dfsg-1?arch=amd64&distro=debian-12",
	}
	if diff := cmp.Diff(want, urls); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if m := bom.Metadata; m.Timestamp != "2026-05-04T03:02:01Z" || m.Component.Version != "300" || m.Component.Name != "magento2" || bom.SpecVersion != cdx.SpecVersion1_6 {
		t.Errorf("%+v", m)
	}
}

// The provenance names the commit, the base and the lock by digest, and the image that it is about.
func TestProvenance(t *testing.T) {
	c := read(t)
	raw, err := c.Provenance()
	if err != nil {
		t.Fatal(err)
	}
	var s struct {
		Type    string `json:"_type"`
		Subject []struct {
			Name   string
			Digest map[string]string
		}
		PredicateType string
		Predicate     struct {
			BuildDefinition struct {
				ExternalParameters   map[string]any
				ResolvedDependencies []struct {
					Name, URI string
					Digest    map[string]string
				}
			}
			RunDetails struct {
				Builder  struct{ ID string }
				Metadata map[string]any
			}
		}
	}
	if err := json.Unmarshal(raw, &s); err != nil {
		t.Fatal(err)
	}
	if s.Type != "https://in-toto.io/Statement/v1" || s.PredicateType != "https://slsa.dev/provenance/v1" || "sha256:"+s.Subject[0].Digest["sha256"] != c.Digest {
		t.Errorf("%+v", s)
	}
	b := s.Predicate.BuildDefinition
	wantParameters := map[string]any{
		"image": "magento2", "platform": "linux/amd64", "buildNum": "300", "repository": "https://github.com/acme/store", "base": "php:8.3-fpm-bookworm",
		"revision": "feedfacefeedfacefeedfacefeedfacefeedface", "revisionTime": "2026-05-04T03:02:01Z", "themes": []any{"frontend-Acme-shop"}, "compression": []any{},
	}
	if diff := cmp.Diff(wantParameters, b.ExternalParameters); diff != "" {
		t.Errorf("parameters (-want +got):\n%s", diff)
	}
	var deps []string
	for _, d := range b.ResolvedDependencies {
		for kind, digest := range d.Digest {
			deps = append(deps, d.Name+" "+d.URI+" "+kind+" "+digest[:8])
		}
	}
	want := []string{
		"source git+https://github.com/acme/store@feedfacefeedfacefeedfacefeedfacefeedface gitCommit feedface",
		"base docker://php:8.3-fpm-bookworm sha256 01234567", "composer.lock  sha256 " + sum(lock)[:8],
	}
	if diff := cmp.Diff(want, deps); diff != "" {
		t.Errorf("dependencies (-want +got):\n%s", diff)
	}
	if s.Predicate.RunDetails.Metadata["invocationId"] != "300" || len(s.Predicate.RunDetails.Metadata) != 1 {
		t.Errorf("metadata: %v", s.Predicate.RunDetails.Metadata)
	}
}

func TestDeterministic(t *testing.T) {
	var first []byte
	for i := range 20 {
		c := read(t)
		sbom, err := c.SBOM()
		if err != nil {
			t.Fatal(err)
		}
		provenance, err := c.Provenance()
		if err != nil {
			t.Fatal(err)
		}
		both := slices.Concat(sbom, provenance)
		if i == 0 {
			first = both
		} else if !bytes.Equal(first, both) {
			t.Fatalf("run %d differs:\n%s", i, cmp.Diff(string(first), string(both)))
		}
	}
}
