package attest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	provenance "github.com/in-toto/attestation/go/predicates/provenance/v1"
	intoto "github.com/in-toto/attestation/go/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/magecloudkit/pipeline/ci/build"
	"github.com/magecloudkit/pipeline/ci/image"
)

// ProvenanceType is the media type of what Provenance returns: an in-toto statement, not signed.
const ProvenanceType = "application/vnd.in-toto+json"

// What the provenance names this pipeline by: who builds, and how its parameters are to be read.
const (
	builder   = "https://github.com/magecloudkit/pipeline"
	buildType = "https://github.com/magecloudkit/pipeline/blob/main/docs/architecture.md#provenance"
	predicate = "https://slsa.dev/provenance/v1"
)

// Provenance says how the image was made: https://slsa.dev/spec/v1.0/provenance. It has no time of the build, which
// changes nothing in an image.
func (c Contents) Provenance() ([]byte, error) {
	fail := func(err error) ([]byte, error) {
		return nil, fmt.Errorf("writing the provenance of image %s: %w", c.Name, err)
	}
	parameters, err := structpb.NewStruct(c.parameters())
	if err != nil {
		return fail(err)
	}
	p := &provenance.Provenance{
		BuildDefinition: &provenance.BuildDefinition{BuildType: buildType, ExternalParameters: parameters, ResolvedDependencies: c.dependencies()},
		RunDetails:      &provenance.RunDetails{Builder: &provenance.Builder{Id: builder}, Metadata: &provenance.BuildMetadata{InvocationId: c.Labels[image.LabelVersion]}},
	}
	raw, err := protojson.Marshal(p)
	if err != nil {
		return fail(err)
	}
	body := &structpb.Struct{}
	if err := protojson.Unmarshal(raw, body); err != nil {
		return fail(err)
	}
	statement := &intoto.Statement{
		Type: intoto.StatementTypeUri, PredicateType: predicate, Predicate: body,
		Subject: []*intoto.ResourceDescriptor{{Name: c.Name, Digest: sha256Of(c.Digest)}},
	}
	if err := statement.Validate(); err != nil {
		return fail(err)
	}
	if raw, err = protojson.Marshal(statement); err != nil {
		return fail(err)
	}
	// Its white space is not the same from run to run, on purpose.
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "", "  "); err != nil {
		return fail(err)
	}
	var out bytes.Buffer
	if err := json.Compact(&out, b.Bytes()); err != nil {
		return fail(err)
	}
	return append(out.Bytes(), '\n'), nil
}

func sha256Of(digest string) map[string]string {
	return map[string]string{"sha256": strings.TrimPrefix(digest, "sha256:")}
}

// parameters are what whoever started the build decided.
func (c Contents) parameters() map[string]any {
	themes, compression := []any{}, []any{}
	for _, name := range c.Layers {
		if theme, ok := strings.CutPrefix(name, build.Static+"-"); ok && theme != "common" {
			themes = append(themes, theme)
		}
	}
	for _, name := range c.Compression {
		compression = append(compression, name)
	}
	out := map[string]any{"image": c.Name, "platform": c.Platform, "themes": themes, "compression": compression}
	for name, label := range map[string]string{
		"buildNum": image.LabelVersion, "revision": image.LabelRevision, "revisionTime": image.LabelCreated, "repository": image.LabelSource, "base": image.LabelBaseName,
	} {
		if v := c.Labels[label]; v != "" {
			out[name] = v
		}
	}
	return out
}

// dependencies are what the image was made of: the commit, the base, and what composer installed.
func (c Contents) dependencies() []*intoto.ResourceDescriptor {
	var out []*intoto.ResourceDescriptor
	if commit := c.Labels[image.LabelRevision]; commit != "" {
		d := &intoto.ResourceDescriptor{Name: "source", Digest: map[string]string{"gitCommit": commit}}
		if source := c.Labels[image.LabelSource]; source != "" {
			d.Uri = "git+" + source + "@" + commit
		}
		out = append(out, d)
	}
	if digest := c.Labels[image.LabelBaseDigest]; digest != "" {
		out = append(out, &intoto.ResourceDescriptor{Name: "base", Uri: "docker://" + c.Labels[image.LabelBaseName], Digest: sha256Of(digest)})
	}
	if c.Lock != nil {
		sum := sha256.Sum256(c.Lock)
		out = append(out, &intoto.ResourceDescriptor{Name: "composer.lock", Digest: map[string]string{"sha256": hex.EncodeToString(sum[:])}})
	}
	return out
}
