package ecr

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/magecloudkit/pipeline/ci/awssim/internal/wire"
)

// imageTag is what a tag must match.
var imageTag = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)

// ociManifest is what ECR reads of an image's manifest or an index.
type ociManifest struct {
	MediaType    string          `json:"mediaType"`
	ArtifactType string          `json:"artifactType"`
	Config       *ociDescriptor  `json:"config"`
	Layers       []ociDescriptor `json:"layers"`
	Manifests    []ociDescriptor `json:"manifests"`
	Subject      *ociDescriptor  `json:"subject"` // what it is attached to
	// Annotations are told of what is attached to an image.
	Annotations map[string]string `json:"annotations"`
}

type ociDescriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int64  `json:"size"`
	Platform  *struct {
		OS           string `json:"os"`
		Architecture string `json:"architecture"`
	} `json:"platform"`
}

// readManifest reads a manifest or an index, whose media type may stand in it alone.
func readManifest(text []byte, mediaType string) (ociManifest, string, error) {
	var doc ociManifest
	if err := json.Unmarshal(text, &doc); err != nil || doc.Config == nil && doc.Manifests == nil {
		return doc, "", wire.Errf("InvalidParameterException", "Invalid parameter at 'ImageManifest' failed to satisfy constraint: 'Invalid JSON syntax'")
	}
	if mediaType == "" {
		mediaType = doc.MediaType
	}
	if mediaType == "" || doc.MediaType != "" && doc.MediaType != mediaType {
		return doc, "", wire.Errf("InvalidParameterException", "Invalid parameter at 'ImageManifestMediaType' failed to satisfy constraint: 'The media type does not match the manifest'")
	}
	return doc, mediaType, nil
}

// store keeps a manifest, by its digest and, if tag is not empty, under a tag.
func (g *Registry) store(r *ecrRepo, text []byte, mediaType, tag, digest string) (*ecrImage, error) {
	doc, mediaType, err := readManifest(text, mediaType)
	if err != nil {
		return nil, err
	}
	if tag != "" && !imageTag.MatchString(tag) {
		return nil, ecrInvalid("imageTag", "Member must satisfy regular expression pattern: [a-zA-Z0-9-_+.]+")
	}
	im := &ecrImage{
		digest: digestOf(text), mediaType: mediaType, manifest: slices.Clone(text), size: int64(len(text)),
		pushed: g.k.Now, status: types.ImageStatusActive, artifactType: doc.ArtifactType,
	}
	if doc.Subject != nil {
		im.subject, im.annotations = doc.Subject.Digest, doc.Annotations
	}
	if digest != "" && digest != im.digest {
		return nil, wire.Errf("ImageDigestDoesNotMatchException", "The image digest '%s' does not match the manifest, whose digest is '%s'", digest, im.digest)
	}
	if have := r.byTag[tag]; tag != "" && have != "" && have != im.digest && r.immutable(tag) {
		return nil, wire.Errf("ImageTagAlreadyExistsException", "The image tag '%s' already exists in the '%s' repository and cannot be overwritten because the tag is immutable.", tag, *r.RepositoryName)
	}
	if old := r.images[im.digest]; old != nil {
		im = old
	} else {
		if err := g.measure(r, doc, im); err != nil {
			return nil, err
		}
		r.images[im.digest] = im
	}
	if tag != "" {
		r.byTag[tag] = im.digest
	}
	return im, nil
}

// measure sets what an image consists of, which must all be there.
func (g *Registry) measure(r *ecrRepo, doc ociManifest, im *ecrImage) error {
	if doc.Manifests != nil { // an index: its size is that of its largest image
		for _, d := range doc.Manifests {
			child, ok := r.images[d.Digest]
			if !ok {
				return wire.Errf("ReferencedImagesNotFoundException", "Images with digests '[%s]' required for pushing image into repository with name '%s' in the registry with id '%s' do not exist", d.Digest, *r.RepositoryName, g.k.Account)
			}
			im.children = append(im.children, d.Digest)
			im.size = max(im.size, child.size)
		}
		return nil
	}
	var missing []string
	for _, d := range append([]ociDescriptor{*doc.Config}, doc.Layers...) {
		if !r.blobs[d.Digest] {
			missing = append(missing, d.Digest)
		}
		im.size += d.Size
	}
	if missing != nil {
		return wire.Errf("LayersNotFoundException", "Layers with digests '[%s]' required for pushing image into repository with name '%s' in the registry with id '%s' do not exist", strings.Join(missing, ", "), *r.RepositoryName, g.k.Account)
	}
	im.config = doc.Config.Digest
	if im.artifactType == "" {
		im.artifactType = doc.Config.MediaType
	}
	return nil
}

// ResolveImage implements ecs.ImageSource. The reasons are containerd's, as Fargate shows them.
func (g *Registry) ResolveImage(ref, platform string) (string, bool, error) {
	parsed, err := name.ParseReference(ref)
	if err != nil {
		return "", false, nil
	}
	if host := parsed.Context().RegistryStr(); host != g.hostname() && host != g.awsHostname() {
		return "", false, nil
	}
	notFound := fmt.Errorf("pull image manifest has been retried 1 time(s): failed to resolve ref %s: %s: not found", ref, ref)
	r := g.repos[parsed.Context().RepositoryStr()]
	if r == nil {
		return "", true, notFound
	}
	id := types.ImageIdentifier{ImageTag: aws.String(parsed.Identifier())}
	if _, byDigest := parsed.(name.Digest); byDigest {
		id = types.ImageIdentifier{ImageDigest: aws.String(parsed.Identifier())}
	}
	im, code, _ := r.find(id)
	if code != "" {
		return "", true, notFound
	}
	if im.status != types.ImageStatusActive {
		return "", true, fmt.Errorf("pull image manifest has been retried 1 time(s): failed to resolve ref %s: unexpected status from HEAD request: 403 Forbidden: the image is archived", ref)
	}
	if have := g.platforms(r, im); platform != "" && have != nil && !slices.Contains(have, platform) {
		return "", true, fmt.Errorf("pull image manifest has been retried 1 time(s): failed to pull image %s: image Manifest does not contain descriptor matching platform '%s'", ref, platform)
	}
	im.pulled = g.k.Now
	return im.digest, true, nil
}

// TagOf is the first tag of an image of a repository, by name; empty: it has none.
func (g *Registry) TagOf(repository, digest string) string {
	r := g.repos[repository]
	if r == nil {
		return ""
	}
	for _, tag := range slices.Sorted(maps.Keys(r.byTag)) {
		if r.byTag[tag] == digest {
			return tag
		}
	}
	return ""
}

// platforms returns what an image runs on: "linux/amd64". Nil means that it does not say.
func (g *Registry) platforms(r *ecrRepo, im *ecrImage) []string {
	if im.children != nil {
		var doc ociManifest
		_ = json.Unmarshal(im.manifest, &doc) // it was read when it was stored
		var all []string
		for _, d := range doc.Manifests {
			if d.Platform != nil {
				all = append(all, d.Platform.OS+"/"+d.Platform.Architecture)
			} else if child := r.images[d.Digest]; child != nil {
				all = append(all, g.platforms(r, child)...)
			}
		}
		return all
	}
	var config struct{ OS, Architecture string }
	if json.Unmarshal(g.blobs[im.config], &config) != nil || config.OS == "" || config.Architecture == "" {
		return nil
	}
	return []string{config.OS + "/" + config.Architecture}
}
