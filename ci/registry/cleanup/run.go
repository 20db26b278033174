package cleanup

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	ecrtypes "github.com/aws/aws-sdk-go-v2/service/ecr/types"
)

// Result is what a cleanup did.
type Result struct {
	Deleted  []Deleted `json:"deleted"`
	Spared   []Deleted `json:"spared"`   // planned, and needed after all when it was looked at again
	Failures []Failure `json:"failures"` // what ECR would not delete
}

// Deleted is an image that was deleted, or spared.
type Deleted struct {
	Region     string   `json:"region"`
	Repository string   `json:"repository"`
	Digest     string   `json:"digest"`
	Tags       []string `json:"tags"`
	Size       int64    `json:"size"`
	Because    []string `json:"because,omitempty"` // of one that was spared
}

// Failure is an image that ECR would not delete.
type Failure struct {
	Region     string `json:"region"`
	Repository string `json:"repository"`
	Digest     string `json:"digest"`
	Code       string `json:"code"` // "ImageReferencedByManifestList"
	Reason     string `json:"reason"`
}

// Run deletes what a plan says may be deleted. Before each repository it looks at everything again and decides anew, and
// it deletes only what it would still delete. On an error the result says what had been deleted until then.
func Run(ctx context.Context, plan Plan, s Scope, p Policy, now func() time.Time, progress func(string)) (Result, error) { //nolint:revive // a plan and what it was made of
	var result Result
	for _, planned := range plan.Repositories {
		if len(planned.Deletions()) == 0 {
			continue
		}
		inv, err := Collect(ctx, s)
		if err != nil {
			return result, fmt.Errorf("looking again before deleting from %s: %w", planned.Name, err)
		}
		again := Make(inv, p, now())
		i := slices.IndexFunc(again.Repositories, func(r RepositoryPlan) bool {
			return r.Region == planned.Region && r.Name == planned.Name
		})
		if i < 0 {
			return result, fmt.Errorf("the repository %s has vanished", planned.Name)
		}
		doomed := result.confirm(planned, again.Repositories[i])
		region := s.Regions[slices.IndexFunc(s.Regions, func(r Region) bool { return r.Name == planned.Region })]
		if err := result.delete(ctx, region.ECR, planned, doomed, progress); err != nil {
			return result, err
		}
	}
	return result, nil
}

// confirm returns the images that both looks agree on, and notes those that are needed after all.
func (r *Result) confirm(planned, again RepositoryPlan) []Image {
	now := map[string]Decision{}
	for _, d := range again.Images {
		now[d.Digest] = d
	}
	var doomed []Image
	for _, im := range planned.Deletions() {
		d, exists := now[im.Digest]
		switch {
		case !exists: // somebody else has deleted it
		case d.Delete:
			doomed = append(doomed, d.Image)
		default:
			r.Spared = append(r.Spared, Deleted{planned.Region, planned.Name, im.Digest, d.Tags, im.Size, d.Kept})
		}
	}
	return doomed
}

// delete deletes images by digest, an index before its parts.
func (r *Result) delete(ctx context.Context, api ECR, repo RepositoryPlan, doomed []Image, progress func(string)) error {
	for _, rank := range ranks(doomed) {
		for batch := range slices.Chunk(rank, batchSize) {
			in := &ecr.BatchDeleteImageInput{RepositoryName: &repo.Name}
			byDigest := map[string]Image{}
			for _, im := range batch {
				byDigest[im.Digest] = im
				in.ImageIds = append(in.ImageIds, ecrtypes.ImageIdentifier{ImageDigest: aws.String(im.Digest)})
			}
			out, err := api.BatchDeleteImage(ctx, in)
			if err != nil {
				return fmt.Errorf("deleting %d images of %s: %w", len(batch), repo.Name, err)
			}
			for _, f := range out.Failures {
				digest := aws.ToString(f.ImageId.ImageDigest)
				if f.FailureCode != ecrtypes.ImageFailureCodeImageNotFound { // that one is gone, as it should be
					r.Failures = append(r.Failures, Failure{repo.Region, repo.Name, digest, string(f.FailureCode), aws.ToString(f.FailureReason)})
				}
				delete(byDigest, digest)
			}
			for _, im := range batch {
				if _, ok := byDigest[im.Digest]; ok {
					r.Deleted = append(r.Deleted, Deleted{Region: repo.Region, Repository: repo.Name, Digest: im.Digest, Tags: im.Tags, Size: im.Size})
				}
			}
			progress(fmt.Sprintf("%s/%s: %d images deleted", repo.Region, repo.Name, len(byDigest)))
		}
	}
	return nil
}

// ranks puts images into the order in which they can be deleted: ECR keeps what an index refers to. Every rank holds
// what no image of a later one refers to.
func ranks(images []Image) [][]Image {
	parents := map[string]int{} // how many of the images left refer to it
	for _, im := range images {
		for _, child := range im.Children {
			parents[child]++
		}
	}
	var all [][]Image
	left := images
	for len(left) > 0 {
		var rank, later []Image
		for _, im := range left {
			if parents[im.Digest] == 0 {
				rank = append(rank, im)
			} else {
				later = append(later, im)
			}
		}
		if rank == nil { // indexes cannot refer to each other in a circle: a digest would have to be in what it is of
			rank, later = left, nil
		}
		for _, im := range rank {
			for _, child := range im.Children {
				parents[child]--
			}
		}
		all, left = append(all, rank), later
	}
	return all
}
