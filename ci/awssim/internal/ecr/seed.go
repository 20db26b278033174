package ecr

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	ocitypes "github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/magecloudkit/pipeline/ci/awssim/internal/kernel"
	"github.com/magecloudkit/pipeline/ci/awssim/internal/wire"
)

// RepositorySpec is a repository that exists when the world starts.
type RepositorySpec struct {
	Name       string      `json:"name"`
	Mutability string      `json:"mutability,omitempty"` // "MUTABLE" unless set
	Exclusions []string    `json:"exclusions,omitempty"` // wildcards, for the _WITH_EXCLUSION mutabilities
	ScanOnPush bool        `json:"scanOnPush,omitempty"`
	Images     []ImageSpec `json:"images,omitempty"`
}

// ImageSpec is an image of a repository: a real one, with one small layer, that can be pulled.
type ImageSpec struct {
	Tags      []string          `json:"tags,omitempty"`
	Platforms []string          `json:"platforms,omitempty"` // "linux/amd64" unless set; several make an index
	Age       kernel.Duration   `json:"age,omitempty"`       // since when it is there, before the world's start
	Labels    map[string]string `json:"labels,omitempty"`
	Archived  bool              `json:"archived,omitempty"`
}

// Build makes repositories.
func (g *Registry) Build(c *wire.Call, specs []RepositorySpec) error {
	for _, spec := range specs {
		in := &ecr.CreateRepositoryInput{
			RepositoryName: aws.String(spec.Name), ImageTagMutability: types.ImageTagMutability(spec.Mutability),
			ImageScanningConfiguration: &types.ImageScanningConfiguration{ScanOnPush: spec.ScanOnPush},
		}
		for _, filter := range spec.Exclusions {
			in.ImageTagMutabilityExclusionFilters = append(in.ImageTagMutabilityExclusionFilters, types.ImageTagMutabilityExclusionFilter{
				Filter: aws.String(filter), FilterType: types.ImageTagMutabilityExclusionFilterTypeWildcard,
			})
		}
		if _, err := g.createRepository(c, in); err != nil {
			return fmt.Errorf("repository %s: %w", spec.Name, err)
		}
		r := g.repos[spec.Name]
		for i, im := range spec.Images {
			if err := g.seed(r, im); err != nil {
				return fmt.Errorf("repository %s: image %d: %w", spec.Name, i+1, err)
			}
		}
	}
	return nil
}

// seed makes an image and puts it into a repository.
func (g *Registry) seed(r *ecrRepo, spec ImageSpec) error {
	platforms := spec.Platforms
	if len(platforms) == 0 {
		platforms = []string{"linux/amd64"}
	}
	pushed := g.k.Start.Add(-time.Duration(spec.Age))
	index := v1.IndexManifest{SchemaVersion: 2, MediaType: ocitypes.OCIImageIndex}
	var top *ecrImage
	for _, p := range platforms {
		os, arch, ok := strings.Cut(p, "/")
		if !ok {
			return fmt.Errorf("platform %q is not like linux/amd64", p)
		}
		manifest := g.seedManifest(r, v1.ConfigFile{
			OS: os, Architecture: arch, Created: v1.Time{Time: pushed}, Config: v1.Config{Labels: spec.Labels},
		}, strings.Join(spec.Tags, " "))
		im, err := g.store(r, manifest, string(ocitypes.OCIManifestSchema1), "", "")
		if err != nil {
			return err
		}
		im.pushed = pushed
		hash, err := v1.NewHash(im.digest)
		if err != nil {
			return err
		}
		index.Manifests = append(index.Manifests, v1.Descriptor{
			MediaType: ocitypes.OCIManifestSchema1, Digest: hash, Size: int64(len(manifest)),
			Platform: &v1.Platform{OS: os, Architecture: arch},
		})
		top = im
	}
	if len(platforms) > 1 {
		im, err := g.store(r, mustJSON(index), string(ocitypes.OCIImageIndex), "", "")
		if err != nil {
			return err
		}
		im.pushed = pushed
		top = im
	}
	if spec.Archived {
		top.status, top.archived = types.ImageStatusArchived, g.k.Start
	}
	for _, tag := range spec.Tags {
		if _, err := g.store(r, top.manifest, top.mediaType, tag, ""); err != nil {
			return err
		}
	}
	return nil
}

// seedManifest puts the blobs of an image into a repository and returns its manifest.
func (g *Registry) seedManifest(r *ecrRepo, config v1.ConfigFile, revision string) []byte {
	var plain, packed bytes.Buffer
	text := *r.RepositoryName + " " + revision + "\n"
	tw := tar.NewWriter(&plain)
	// Writing to a buffer never fails.
	_ = tw.WriteHeader(&tar.Header{Name: "REVISION.txt", Mode: 0o644, Size: int64(len(text)), ModTime: config.Created.Time})
	_, _ = tw.Write([]byte(text))
	_ = tw.Close()
	zw := gzip.NewWriter(&packed)
	_, _ = zw.Write(plain.Bytes())
	_ = zw.Close()

	blob := func(mediaType ocitypes.MediaType, b []byte) v1.Descriptor {
		digest := digestOf(b)
		g.blobs[digest], r.blobs[digest] = b, true
		hash, _ := v1.NewHash(digest) // digestOf's are valid
		return v1.Descriptor{MediaType: mediaType, Digest: hash, Size: int64(len(b))}
	}
	diffID, _ := v1.NewHash(digestOf(plain.Bytes()))
	config.RootFS = v1.RootFS{Type: "layers", DiffIDs: []v1.Hash{diffID}}
	return mustJSON(v1.Manifest{
		SchemaVersion: 2, MediaType: ocitypes.OCIManifestSchema1,
		Config: blob(ocitypes.OCIConfigJSON, mustJSON(config)),
		Layers: []v1.Descriptor{blob(ocitypes.OCILayer, packed.Bytes())},
	})
}

// mustJSON marshals what always marshals.
func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// state is what the registry holds, for people and tests.
func (g *Registry) state() any {
	type image struct {
		Digest   string    `json:"digest"`
		Tags     []string  `json:"tags"`
		Size     int64     `json:"size"`
		Pushed   time.Time `json:"pushed"`
		Status   string    `json:"status"`
		Children []string  `json:"children,omitempty"`
	}
	all := map[string][]image{}
	for n, r := range g.repos {
		all[n] = []image{}
		for _, im := range r.sorted() {
			all[n] = append(all[n], image{im.digest, r.tagsOf(im.digest), im.size, im.pushed, string(im.status), im.children})
		}
	}
	return all
}
