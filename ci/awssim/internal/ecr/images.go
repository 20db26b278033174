package ecr

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/magecloudkit/pipeline/ci/awssim/internal/wire"
)

// tagsOf returns the tags of a digest, sorted.
func (r *ecrRepo) tagsOf(digest string) []string {
	var tags []string
	for tag, d := range r.byTag {
		if d == digest {
			tags = append(tags, tag)
		}
	}
	slices.Sort(tags)
	return tags
}

// find returns the image that an identifier names.
func (r *ecrRepo) find(id types.ImageIdentifier) (*ecrImage, types.ImageFailureCode, string) {
	digest, tag := aws.ToString(id.ImageDigest), aws.ToString(id.ImageTag)
	if digest == "" && tag == "" {
		return nil, types.ImageFailureCodeMissingDigestAndTag, "Invalid request parameters: both tag and digest cannot be null"
	}
	if digest != "" && !digestPattern.MatchString(digest) {
		return nil, types.ImageFailureCodeInvalidImageDigest, "Invalid request parameters: image digest should satisfy the regex '[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+'"
	}
	if tag != "" {
		d, ok := r.byTag[tag]
		if !ok {
			return nil, types.ImageFailureCodeImageNotFound, "Requested image not found"
		}
		if digest != "" && d != digest {
			return nil, types.ImageFailureCodeImageTagDoesNotMatchDigest, "Requested image tag does not match the image digest"
		}
		digest = d
	}
	im, ok := r.images[digest]
	if !ok {
		return nil, types.ImageFailureCodeImageNotFound, "Requested image not found"
	}
	return im, "", ""
}

var digestPattern = regexp.MustCompile(`^[a-zA-Z0-9-_+.]+:[a-fA-F0-9]+$`)

func (g *Registry) imageNotFound(r *ecrRepo, id types.ImageIdentifier) *wire.Error {
	or := func(s *string) string {
		if s == nil {
			return "null"
		}
		return *s
	}
	return wire.Errf("ImageNotFoundException", "The image with imageId {imageDigest:'%s', imageTag:'%s'} does not exist within the repository with name '%s' in the registry with id '%s'",
		or(id.ImageDigest), or(id.ImageTag), *r.RepositoryName, g.k.Account)
}

// sorted returns the repository's images, the oldest first.
func (r *ecrRepo) sorted() []*ecrImage {
	return slices.SortedFunc(maps.Values(r.images), func(a, b *ecrImage) int {
		if c := a.pushed.Compare(b.pushed); c != 0 {
			return c
		}
		return strings.Compare(a.digest, b.digest)
	})
}

func statusMatches(filter types.ImageStatusFilter, status types.ImageStatus) bool {
	switch filter {
	case "":
		return status == types.ImageStatusActive
	case types.ImageStatusFilterAny:
		return true
	}
	return string(filter) == string(status)
}

func tagStatusMatches(filter types.TagStatus, tagged bool) bool {
	switch filter {
	case types.TagStatusTagged:
		return tagged
	case types.TagStatusUntagged:
		return !tagged
	}
	return true
}

func (g *Registry) describeImages(c *wire.Call, in *ecr.DescribeImagesInput) (*ecr.DescribeImagesOutput, error) {
	r, err := g.repo(in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	if len(in.ImageIds) > 0 {
		if in.MaxResults != nil || in.NextToken != nil {
			return nil, wire.Errf("InvalidParameterException", "Invalid parameter at 'imageIds' failed to satisfy constraint: 'maxResults and nextToken can not be used with imageIds'")
		}
		if len(in.ImageIds) > 100 {
			return nil, ecrInvalid("imageIds", "Member must have length less than or equal to 100")
		}
		out := &ecr.DescribeImagesOutput{}
		seen := map[string]bool{}
		for _, id := range in.ImageIds {
			im, code, reason := r.find(id)
			switch {
			case code == types.ImageFailureCodeImageNotFound:
				return nil, g.imageNotFound(r, id)
			case code != "":
				return nil, wire.Errf("InvalidParameterException", "%s", reason)
			}
			if !seen[im.digest] {
				seen[im.digest] = true
				out.ImageDetails = append(out.ImageDetails, r.detail(im))
			}
		}
		return out, nil
	}
	var filter types.DescribeImagesFilter
	if in.Filter != nil {
		filter = *in.Filter
	}
	var found []types.ImageDetail
	for _, im := range r.sorted() {
		if d := r.detail(im); statusMatches(filter.ImageStatus, im.status) && tagStatusMatches(filter.TagStatus, len(d.ImageTags) > 0) {
			found = append(found, d)
		}
	}
	page, next, err := wire.Cut(pages, found, in.MaxResults, in.NextToken)
	return &ecr.DescribeImagesOutput{ImageDetails: page, NextToken: next}, err
}

func (r *ecrRepo) detail(im *ecrImage) types.ImageDetail {
	d := types.ImageDetail{
		ImageDigest:            aws.String(im.digest),
		ImageManifestMediaType: aws.String(im.mediaType),
		ImagePushedAt:          aws.Time(im.pushed),
		ImageSizeInBytes:       aws.Int64(im.size),
		ImageStatus:            im.status,
		ImageTags:              r.tagsOf(im.digest),
		RegistryId:             r.RegistryId,
		RepositoryName:         r.RepositoryName,
		LastRecordedPullTime:   timeOrNil(im.pulled),
		LastArchivedAt:         timeOrNil(im.archived),
		LastActivatedAt:        timeOrNil(im.activated),
	}
	if im.artifactType != "" {
		d.ArtifactMediaType = aws.String(im.artifactType)
	}
	if im.subject != "" {
		d.SubjectManifestDigest = aws.String(im.subject)
	}
	return d
}

func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func (g *Registry) listImages(c *wire.Call, in *ecr.ListImagesInput) (*ecr.ListImagesOutput, error) {
	r, err := g.repo(in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	var filter types.ListImagesFilter
	if in.Filter != nil {
		filter = *in.Filter
	}
	var ids []types.ImageIdentifier
	for _, im := range r.sorted() {
		tags := r.tagsOf(im.digest)
		if !statusMatches(filter.ImageStatus, im.status) || !tagStatusMatches(filter.TagStatus, len(tags) > 0) {
			continue
		}
		if len(tags) == 0 {
			ids = append(ids, types.ImageIdentifier{ImageDigest: aws.String(im.digest)})
		}
		for _, tag := range tags {
			ids = append(ids, types.ImageIdentifier{ImageDigest: aws.String(im.digest), ImageTag: aws.String(tag)})
		}
	}
	page, next, err := wire.Cut(pages, ids, in.MaxResults, in.NextToken)
	return &ecr.ListImagesOutput{ImageIds: page, NextToken: next}, err
}

// ecrBatch refuses more than 100 identifiers, and none.
func ecrBatch(ids []types.ImageIdentifier) error {
	if len(ids) == 0 {
		return ecrInvalid("imageIds", "Member must have length greater than or equal to 1")
	}
	if len(ids) > 100 {
		return ecrInvalid("imageIds", "Member must have length less than or equal to 100")
	}
	return nil
}

func (g *Registry) batchGetImage(c *wire.Call, in *ecr.BatchGetImageInput) (*ecr.BatchGetImageOutput, error) {
	r, err := g.repo(in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	if err := ecrBatch(in.ImageIds); err != nil {
		return nil, err
	}
	out := &ecr.BatchGetImageOutput{Images: []types.Image{}, Failures: []types.ImageFailure{}}
	for _, id := range in.ImageIds {
		im, code, reason := r.find(id)
		if code == "" && len(in.AcceptedMediaTypes) > 0 && !slices.Contains(in.AcceptedMediaTypes, im.mediaType) {
			code, reason = types.ImageFailureCodeImageNotFound, "Requested image not found"
		}
		if code == "" && im.status == types.ImageStatusArchived {
			code, reason = types.ImageFailureCodeImageInaccessible, "Requested image is archived"
		}
		if code != "" {
			out.Failures = append(out.Failures, types.ImageFailure{FailureCode: code, FailureReason: aws.String(reason), ImageId: &id})
			continue
		}
		im.pulled = c.Now
		out.Images = append(out.Images, r.image(im, id.ImageTag))
	}
	return out, nil
}

func (r *ecrRepo) image(im *ecrImage, tag *string) types.Image {
	return types.Image{
		ImageId:                &types.ImageIdentifier{ImageDigest: aws.String(im.digest), ImageTag: tag},
		ImageManifest:          aws.String(string(im.manifest)),
		ImageManifestMediaType: aws.String(im.mediaType),
		RegistryId:             r.RegistryId,
		RepositoryName:         r.RepositoryName,
	}
}

func (g *Registry) putImage(c *wire.Call, in *ecr.PutImageInput) (*ecr.PutImageOutput, error) {
	r, err := g.repo(in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	tag := aws.ToString(in.ImageTag)
	manifest := []byte(aws.ToString(in.ImageManifest))
	if digest := digestOf(manifest); r.images[digest] != nil && (tag == "" || r.byTag[tag] == digest) {
		return nil, wire.Errf("ImageAlreadyExistsException", "Image with digest '%s' and tag '%s' already exists in the repository with name '%s' in registry with id '%s'", digest, tag, *r.RepositoryName, g.k.Account)
	}
	im, err := g.store(r, manifest, aws.ToString(in.ImageManifestMediaType), tag, aws.ToString(in.ImageDigest))
	if err != nil {
		return nil, err
	}
	out := r.image(im, in.ImageTag)
	return &ecr.PutImageOutput{Image: &out}, nil
}

func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func (g *Registry) batchDeleteImage(c *wire.Call, in *ecr.BatchDeleteImageInput) (*ecr.BatchDeleteImageOutput, error) {
	r, err := g.repo(in.RegistryId, in.RepositoryName)
	if err != nil {
		return nil, err
	}
	if err := ecrBatch(in.ImageIds); err != nil {
		return nil, err
	}
	out := &ecr.BatchDeleteImageOutput{ImageIds: []types.ImageIdentifier{}, Failures: []types.ImageFailure{}}
	// An index goes before the images that it refers to, in whichever order they are named.
	ids := slices.Clone(in.ImageIds)
	slices.SortStableFunc(ids, func(a, b types.ImageIdentifier) int { return r.indexFirst(a) - r.indexFirst(b) })
	for _, id := range ids {
		im, code, reason := r.find(id)
		if code == "" {
			code, reason = r.remove(im, aws.ToString(id.ImageTag), aws.ToString(id.ImageDigest), out)
		}
		if code != "" {
			out.Failures = append(out.Failures, types.ImageFailure{FailureCode: code, FailureReason: aws.String(reason), ImageId: &id})
		}
	}
	return out, nil
}

func (r *ecrRepo) indexFirst(id types.ImageIdentifier) int {
	if im, _, _ := r.find(id); im != nil && im.children != nil {
		return 0
	}
	return 1
}

// remove deletes a tag, and the image with its last one; or, by digest, the image with all its tags.
func (r *ecrRepo) remove(im *ecrImage, tag, digest string, out *ecr.BatchDeleteImageOutput) (types.ImageFailureCode, string) {
	tags := r.tagsOf(im.digest)
	if tag != "" && len(tags) > 1 && digest == "" {
		delete(r.byTag, tag)
		out.ImageIds = append(out.ImageIds, types.ImageIdentifier{ImageDigest: aws.String(im.digest), ImageTag: aws.String(tag)})
		return "", ""
	}
	for _, other := range r.sorted() {
		if slices.Contains(other.children, im.digest) {
			return types.ImageFailureCodeImageReferencedByManifestList, fmt.Sprintf("Requested image referenced by manifest list: [%s]", other.digest)
		}
	}
	delete(r.images, im.digest)
	if len(tags) == 0 {
		out.ImageIds = append(out.ImageIds, types.ImageIdentifier{ImageDigest: aws.String(im.digest)})
	}
	for _, tag := range tags {
		delete(r.byTag, tag)
		out.ImageIds = append(out.ImageIds, types.ImageIdentifier{ImageDigest: aws.String(im.digest), ImageTag: aws.String(tag)})
	}
	return "", ""
}
