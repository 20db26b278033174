package main

import (
	"context"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/magecloudkit/pipeline/ci/attest"
	"github.com/magecloudkit/pipeline/ci/registry"
	"github.com/magecloudkit/pipeline/ci/verbs"
)

// attestations say of an image, for each platform, what it consists of and how it was made.
func attestations(ctx context.Context, s *verbs.Push, name string, images []v1.Image) ([]registry.Attachment, error) {
	if !s.Attest {
		return nil, nil
	}
	var out []registry.Attachment
	for _, im := range images {
		contents, err := attest.Read(ctx, name, im)
		if err != nil {
			return nil, err
		}
		sbom, err := contents.SBOM()
		if err != nil {
			return nil, err
		}
		provenance, err := contents.Provenance()
		if err != nil {
			return nil, err
		}
		out = append(out,
			registry.Attachment{To: im, Name: "sbom", Type: attest.SBOMType, Content: sbom},
			registry.Attachment{To: im, Name: "provenance", Type: attest.ProvenanceType, Content: provenance})
	}
	return out, nil
}
