package release

import (
	"context"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	ecrtypes "github.com/aws/aws-sdk-go-v2/service/ecr/types"

	"github.com/magecloudkit/pipeline/ci/ecs"
)

// resolveImages looks the build's images up in their registry and says what
// every repository moves to.
func (v *survey) resolveImages(ctx context.Context) {
	asked := v.moves // by path: from another cluster
	v.moves = map[string]ecs.Move{}
	for _, p := range v.revs {
		platform := platformOf(p.base)
		for _, ref := range ecs.Images(p.base.ContainerDefinitions, v.own) {
			name := ref.Repository()
			if _, ok := v.moves[name]; ok {
				continue
			}
			move := ecs.Move{Repository: name, Tag: v.req.Build}
			if from, ok := asked[ref.Path]; ok {
				move.Tag, move.Digest = from.Tag, from.Digest
			} else if v.req.From != "" {
				v.refuse("image "+name, "", sayNotRunThere, v.req.From)
				continue
			}
			digest := v.inspectImage(ctx, ref, move, platform)
			if v.req.PinDigest && move.Digest == "" {
				if digest == "" && !v.refused() {
					v.refuse("image "+name, "", sayDigestUnknown)
				}
				move.Digest = digest
			}
			v.moves[name] = move
		}
	}
}

// inspectImage checks one image of the build and returns its digest, or "".
func (v *survey) inspectImage(ctx context.Context, ref ecs.Reference, move ecs.Move, platform string) string {
	_, _, ok := ref.ECR()
	want := ecs.Reference{Registry: ref.Registry, Path: ref.Path, Tag: move.Tag, Digest: move.Digest}
	subject := "image " + want.String()
	im := Image{Reference: want.String(), Digest: move.Digest}
	if !ok {
		v.warn(subject, "", sayNotInECR)
		v.res.Images = append(v.res.Images, im)
		return ""
	}
	out, err := v.describeImage(ctx, want)
	switch {
	case ecs.Denied(err):
		v.warn(subject, doAllowDescribeImages, sayNotLookedUp, err)
		v.res.Images = append(v.res.Images, im)
		return ""
	case ecs.Code(err) == "ImageNotFoundException":
		v.refuse(subject, doPush, sayMissing)
		return ""
	case ecs.Code(err) == "RepositoryNotFoundException":
		v.refuse(subject, doCheckRegistry, sayNoRepository)
		return ""
	case err != nil:
		v.refuse(subject, "", sayNotLookedUp, err)
		return ""
	case len(out.ImageDetails) == 0:
		v.refuse(subject, doPush, sayMissing)
		return ""
	}
	detail := out.ImageDetails[0]
	im.Digest = aws.ToString(detail.ImageDigest)
	switch detail.ImageStatus {
	case ecrtypes.ImageStatusArchived:
		v.refuse(subject, doRestoreImage, sayArchived)
		return im.Digest
	case ecrtypes.ImageStatusActivating:
		v.refuse(subject, doWaitForRestore, sayBeingRestored)
		return im.Digest
	}
	platforms, build, err := v.says(ctx, ref, im.Digest)
	im.Platforms = platforms
	if build != "" {
		v.builtAs = build
	}
	v.res.Images = append(v.res.Images, im)
	switch {
	case err != nil:
		v.warn(subject, "", sayPlatformUnknown, err)
	case platform != "" && len(platforms) > 0 && !slices.ContainsFunc(platforms, func(p string) bool { return p == platform || strings.HasPrefix(p, platform+"/") }):
		v.refuse(subject, "build it for "+platform, sayOtherPlatform, strings.Join(platforms, ", "), platform)
	}
	return im.Digest
}
