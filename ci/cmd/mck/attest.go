package main

import (
	"context"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/magecloudkit/pipeline/ci/attest"
	"github.com/magecloudkit/pipeline/ci/registry"
)

// attestations say of an image, for each platform, what it consists of and how it was made.
func attestations(contents []attest.Contents, images []v1.Image) ([]registry.Attachment, error) {
	var out []registry.Attachment
	for i, c := range contents {
		sbom, err := c.SBOM()
		if err != nil {
			return nil, err
		}
		provenance, err := c.Provenance()
		if err != nil {
			return nil, err
		}
		out = append(out,
			registry.Attachment{To: images[i], Name: "sbom", Type: attest.SBOMType, Content: sbom},
			registry.Attachment{To: images[i], Name: "provenance", Type: attest.ProvenanceType, Content: provenance})
	}
	return out, nil
}

// contentsOf reads what an image consists of on each platform.
func contentsOf(ctx context.Context, name string, images []v1.Image) ([]attest.Contents, error) {
	var out []attest.Contents
	for _, im := range images {
		c, err := attest.Read(ctx, name, im)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}
