package release

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	ecrtypes "github.com/aws/aws-sdk-go-v2/service/ecr/types"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/magecloudkit/pipeline/ci/ecs"
)

// manifestTypes are the kinds of manifest that ECR is asked for.
var manifestTypes = []string{
	"application/vnd.oci.image.index.v1+json",
	"application/vnd.docker.distribution.manifest.list.v2+json",
	"application/vnd.oci.image.manifest.v1+json",
	"application/vnd.docker.distribution.manifest.v2+json",
}

// resolveImages looks the build's images up in their registry and says what
// every repository moves to.
func (x *run) resolveImages(ctx context.Context) {
	asked := x.moves // by path: from another cluster
	x.moves = map[string]ecs.Move{}
	for _, p := range x.revs {
		platform := platformOf(p.base)
		for _, ref := range ecs.Images(p.base.ContainerDefinitions, x.own) {
			name := ref.Repository()
			if _, ok := x.moves[name]; ok {
				continue
			}
			move := ecs.Move{Repository: name, Tag: x.req.Build}
			if from, ok := asked[ref.Path]; ok {
				move.Tag, move.Digest = from.Tag, from.Digest
			} else if x.req.From != "" {
				x.find(SeverityError, "image "+name, "", "cluster %s does not run it, so there is no build of it to take over", x.req.From)
				continue
			}
			digest := x.inspectImage(ctx, ref, move, platform)
			if x.req.PinDigest && move.Digest == "" {
				if digest == "" && !x.refused() {
					x.find(SeverityError, "image "+name, "", "its digest is not known, so it cannot be pinned")
				}
				move.Digest = digest
			}
			x.moves[name] = move
		}
	}
}

// platformOf is the platform that a task definition runs on, or "" where it
// does not say: on EC2 the instances decide.
func platformOf(td *awsecs.RegisterTaskDefinitionInput) string {
	p := td.RuntimePlatform
	if p == nil || p.CpuArchitecture == "" {
		if slices.Contains(td.RequiresCompatibilities, types.CompatibilityFargate) {
			return "linux/amd64"
		}
		return ""
	}
	arch := map[types.CPUArchitecture]string{types.CPUArchitectureX8664: "amd64", types.CPUArchitectureArm64: "arm64"}[p.CpuArchitecture]
	if p.OperatingSystemFamily != "" && p.OperatingSystemFamily != types.OSFamilyLinux {
		return "windows/" + arch
	}
	return "linux/" + arch
}

// inspectImage checks one image of the build and returns its digest, or "".
func (x *run) inspectImage(ctx context.Context, ref ecs.Reference, move ecs.Move, platform string) string {
	_, _, ok := ref.ECR()
	want := ecs.Reference{Registry: ref.Registry, Path: ref.Path, Tag: move.Tag, Digest: move.Digest}
	subject := "image " + want.String()
	im := Image{Reference: want.String(), Digest: move.Digest}
	if !ok {
		x.find(SeverityWarning, subject, "", "is not in Amazon ECR, so whether it exists is not checked")
		x.res.Images = append(x.res.Images, im)
		return ""
	}
	out, err := x.describeImage(ctx, want)
	switch {
	case ecs.Denied(err):
		x.find(SeverityWarning, subject, "allow ecr:DescribeImages", "cannot be looked up: %v", err)
		x.res.Images = append(x.res.Images, im)
		return ""
	case ecs.Code(err) == "ImageNotFoundException":
		x.find(SeverityError, subject, "push the build first", "does not exist")
		return ""
	case ecs.Code(err) == "RepositoryNotFoundException":
		x.find(SeverityError, subject, "check the registry's account and region", "its repository does not exist")
		return ""
	case err != nil:
		x.find(SeverityError, subject, "", "cannot be looked up: %v", err)
		return ""
	case len(out.ImageDetails) == 0:
		x.find(SeverityError, subject, "push the build first", "does not exist")
		return ""
	}
	detail := out.ImageDetails[0]
	im.Digest = aws.ToString(detail.ImageDigest)
	switch detail.ImageStatus {
	case ecrtypes.ImageStatusArchived:
		x.find(SeverityError, subject, "restore it in ECR first", "is archived, so that no task could pull it")
		return im.Digest
	case ecrtypes.ImageStatusActivating:
		x.find(SeverityError, subject, "wait until ECR has restored it", "is being restored from the archive")
		return im.Digest
	}
	platforms, err := x.platforms(ctx, ref, im.Digest)
	im.Platforms = platforms
	x.res.Images = append(x.res.Images, im)
	switch {
	case err != nil:
		x.find(SeverityWarning, subject, "", "its platform is not known: %v", err)
	case platform != "" && len(platforms) > 0 && !slices.ContainsFunc(platforms, func(p string) bool { return p == platform || strings.HasPrefix(p, platform+"/") }):
		x.find(SeverityError, subject, "build it for "+platform, "is for %s, and the service runs on %s", strings.Join(platforms, ", "), platform)
	}
	return im.Digest
}

// manifest is as much of an image manifest, or of an index, as tells the platform.
type manifest struct {
	Manifests []struct {
		Platform struct {
			OS           string `json:"os"`
			Architecture string `json:"architecture"`
			Variant      string `json:"variant"`
		} `json:"platform"`
	} `json:"manifests"`
	Config struct {
		Digest string `json:"digest"`
	} `json:"config"`
	Annotations map[string]string `json:"annotations"`
}

// read reads an image's manifest and, if it is a single image, its
// configuration.
func (x *run) read(ctx context.Context, ref ecs.Reference, id ecrtypes.ImageIdentifier) (manifest, *imageConfig, error) {
	account, region, _ := ref.ECR()
	inRegion := func(o *ecr.Options) { o.Region = region }
	var m manifest
	out, err := call(ctx, x, "BatchGetImage", func(ctx context.Context) (*ecr.BatchGetImageOutput, error) {
		return x.ECR.BatchGetImage(ctx, &ecr.BatchGetImageInput{
			RegistryId: aws.String(account), RepositoryName: aws.String(ref.Path),
			ImageIds: []ecrtypes.ImageIdentifier{id}, AcceptedMediaTypes: manifestTypes,
		}, inRegion)
	})
	if err != nil {
		return m, nil, err
	}
	if len(out.Images) == 0 {
		reason := "no answer"
		if len(out.Failures) > 0 {
			reason = aws.ToString(out.Failures[0].FailureReason)
		}
		return m, nil, fmt.Errorf("its manifest cannot be read: %s", reason)
	}
	if err := json.Unmarshal([]byte(aws.ToString(out.Images[0].ImageManifest)), &m); err != nil {
		return m, nil, fmt.Errorf("its manifest cannot be read: %w", err)
	}
	if m.Config.Digest == "" || x.http == nil {
		return m, nil, nil
	}
	url, err := call(ctx, x, "GetDownloadUrlForLayer", func(ctx context.Context) (*ecr.GetDownloadUrlForLayerOutput, error) {
		return x.ECR.GetDownloadUrlForLayer(ctx, &ecr.GetDownloadUrlForLayerInput{
			RegistryId: aws.String(account), RepositoryName: aws.String(ref.Path), LayerDigest: aws.String(m.Config.Digest),
		}, inRegion)
	})
	if err != nil {
		return m, nil, err
	}
	config, err := x.fetchConfig(ctx, aws.ToString(url.DownloadUrl))
	if err != nil {
		return m, nil, err
	}
	return m, &config, nil
}

// platforms are those that an image is for: an index lists them, a single
// image says it in its configuration.
func (x *run) platforms(ctx context.Context, ref ecs.Reference, digest string) ([]string, error) {
	m, config, err := x.read(ctx, ref, ecrtypes.ImageIdentifier{ImageDigest: aws.String(digest)})
	if err != nil {
		return nil, err
	}
	var platforms []string
	for _, e := range m.Manifests {
		if e.Platform.OS == "" || e.Platform.OS == "unknown" { // an attestation
			continue
		}
		platforms = append(platforms, joinPlatform(e.Platform.OS, e.Platform.Architecture, e.Platform.Variant))
	}
	if config != nil {
		platforms = append(platforms, joinPlatform(config.OS, config.Architecture, config.Variant))
	}
	return platforms, nil
}

// commitOf reads the commit that an image was built from, or "".
func (x *run) commitOf(ctx context.Context, ref ecs.Reference) string {
	if _, _, ok := ref.ECR(); !ok {
		return ""
	}
	m, config, err := x.read(ctx, ref, identifier(ref))
	if err != nil {
		return ""
	}
	if c := m.Annotations[labelRevision]; c != "" || config == nil {
		return c
	}
	return config.Config.Labels[labelRevision]
}

// describeImage asks the ECR registry that the reference names about one image.
func (x *run) describeImage(ctx context.Context, ref ecs.Reference) (*ecr.DescribeImagesOutput, error) {
	account, region, _ := ref.ECR()
	return call(ctx, x, "DescribeImages", func(ctx context.Context) (*ecr.DescribeImagesOutput, error) {
		return x.ECR.DescribeImages(ctx, &ecr.DescribeImagesInput{
			RegistryId: aws.String(account), RepositoryName: aws.String(ref.Path), ImageIds: []ecrtypes.ImageIdentifier{identifier(ref)},
		}, func(o *ecr.Options) { o.Region = region })
	})
}

// pushedAt is when an image came into ECR; zero where that is not known.
func (x *run) pushedAt(ctx context.Context, ref ecs.Reference) time.Time {
	if _, _, ok := ref.ECR(); !ok {
		return time.Time{}
	}
	out, err := x.describeImage(ctx, ref)
	if err != nil || len(out.ImageDetails) == 0 {
		return time.Time{}
	}
	return aws.ToTime(out.ImageDetails[0].ImagePushedAt)
}

// identifier is how ECR names what a reference names.
func identifier(ref ecs.Reference) ecrtypes.ImageIdentifier {
	if ref.Digest != "" {
		return ecrtypes.ImageIdentifier{ImageDigest: aws.String(ref.Digest)}
	}
	return ecrtypes.ImageIdentifier{ImageTag: aws.String(ref.Tag)}
}

func joinPlatform(os, arch, variant string) string {
	p := os + "/" + arch
	if variant != "" {
		p += "/" + variant
	}
	return p
}

// imageConfig is as much of an image's configuration as tells the platform and
// the labels.
type imageConfig struct {
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
	Variant      string `json:"variant"`
	Config       struct {
		Labels map[string]string `json:"Labels"`
	} `json:"config"`
}

// fetchConfig fetches an image's configuration. The address is signed, so it
// appears in no error.
func (x *run) fetchConfig(ctx context.Context, url string) (imageConfig, error) {
	var config imageConfig
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return config, errors.New("ECR gave an address for the image's configuration that is none")
	}
	resp, err := x.http.Do(req)
	if err != nil {
		return config, errors.New("the image's configuration cannot be fetched")
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return config, fmt.Errorf("the image's configuration cannot be fetched: %s", resp.Status)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, 8<<20)).Decode(&config); err != nil {
		return config, fmt.Errorf("the image's configuration cannot be read: %w", err)
	}
	return config, nil
}
