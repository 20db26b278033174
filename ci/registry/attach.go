package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Attachment is a document about an image that is pushed with it, as a referrer of OCI 1.1: a manifest of its own whose
// subject is the image.
type Attachment struct {
	// To is the image that it is about: the one that is pushed, or that of a platform.
	To v1.Image
	// Name names it for people and ends its tag in ECR: "sbom".
	Name string
	// Type is the document's media type, and the manifest's artifactType.
	Type    string
	Content []byte
}

// Attached is what became of an attachment.
type Attached struct {
	Name   string `json:"name"`
	Type   string `json:"type"`
	Digest string `json:"digest"` // of its manifest
	// Sent says that the registry did not have it.
	Sent bool `json:"sent"`
}

// emptyConfig is the config of a manifest that is no image's:
// https://github.com/opencontainers/image-spec/blob/v1.1.0/manifest.md#guidance-for-an-empty-descriptor
const emptyConfig = types.MediaType("application/vnd.oci.empty.v1+json")

// document is a manifest as it is sent.
type document []byte

func (d document) RawManifest() ([]byte, error)        { return d, nil }
func (d document) MediaType() (types.MediaType, error) { return types.OCIManifestSchema1, nil }

// attach sends what belongs to an image, which must be there. A registry that does not list referrers by itself gets a
// list of them under a tag, as OCI 1.1 has it.
func (r *Registry) attach(ctx context.Context, u *upload) error {
	if len(u.Attach) == 0 {
		return nil
	}
	m := &meter{}
	ctx = withMeter(ctx, m)
	defer func() { u.done.BytesSent += m.sent.Load() }()
	for _, a := range u.Attach {
		done, err := r.attachOne(ctx, u, a)
		if err != nil {
			return fmt.Errorf("attaching the %s to %s in %s: %w", a.Name, u.Name, u.repo, err)
		}
		u.done.Attached = append(u.done.Attached, done)
		said := "there already"
		if done.Sent {
			said = "attached"
		}
		r.progressf("%s: %s %s", u.Name, a.Name, said)
	}
	return nil
}

// refers reports whether the registry lists an attachment among what refers to an image.
func (r *Registry) refers(ctx context.Context, u *upload, subject, attachment v1.Hash) bool {
	index, err := remote.Referrers(u.repo.Digest(subject.String()), r.options(ctx)...)
	if err != nil {
		return false
	}
	list, err := index.IndexManifest()
	return err == nil && slices.ContainsFunc(list.Manifests, func(d v1.Descriptor) bool { return d.Digest == attachment })
}

func (r *Registry) attachOne(ctx context.Context, u *upload, a Attachment) (Attached, error) {
	blob := static.NewLayer(a.Content, types.MediaType(a.Type))
	config := static.NewLayer([]byte("{}"), emptyConfig)
	var of [3]v1.Descriptor
	for i, described := range []partial.Describable{a.To, config, blob} {
		d, err := partial.Descriptor(described)
		if err != nil {
			return Attached{}, err
		}
		of[i] = v1.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}
	}
	raw, err := json.Marshal(v1.Manifest{
		SchemaVersion: 2, MediaType: types.OCIManifestSchema1, ArtifactType: a.Type, Subject: &of[0], Config: of[1], Layers: of[2:],
	})
	if err != nil {
		return Attached{}, err
	}
	digest, _, err := v1.SHA256(bytes.NewReader(raw))
	if err != nil {
		return Attached{}, err
	}
	done := Attached{Name: a.Name, Type: a.Type, Digest: digest.String()}
	// Another registry's list of referrers, which is a second step there, may have been interrupted.
	switch _, err := remote.Head(u.repo.Digest(digest.String()), r.options(ctx)...); {
	case err == nil && (r.ecr != nil || r.refers(ctx, u, of[0].Digest, digest)):
		return done, nil
	case err == nil:
		return done, r.pusher.Put(ctx, u.repo.Digest(digest.String()), document(raw))
	case !notFound(err):
		return done, err
	}
	done.Sent = true
	for _, l := range []v1.Layer{config, blob} {
		if err := r.pusher.Upload(ctx, u.repo, l); err != nil {
			return done, err
		}
	}
	ref, err := r.attachedTo(ctx, u, a.Name, of[0].Digest, digest)
	if err != nil {
		return done, err
	}
	return done, r.pusher.Put(ctx, ref, document(raw))
}

// attachedTo is under which name an attachment is sent: by its digest and, in ECR, under a tag that cleanup reads as that
// of an attachment, since a lifecycle policy lets what has no tag expire. One that an earlier version of this program has
// made keeps its tag: tags do not move there.
func (r *Registry) attachedTo(ctx context.Context, u *upload, suffix string, subject, digest v1.Hash) (name.Reference, error) {
	if r.ecr == nil {
		return u.repo.Digest(digest.String()), nil
	}
	tag := u.repo.Tag(strings.Replace(subject.String(), ":", "-", 1) + "." + suffix)
	switch _, err := remote.Head(tag, r.options(ctx)...); {
	case notFound(err):
		return tag, nil
	case err != nil:
		return nil, err
	}
	return u.repo.Digest(digest.String()), nil
}
