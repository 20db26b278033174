package release

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	ecrtypes "github.com/aws/aws-sdk-go-v2/service/ecr/types"

	"github.com/magecloudkit/pipeline/ci/ecs"
)

// manifestTypes are the kinds of manifest that ECR is asked for.
var manifestTypes = []string{
	"application/vnd.oci.image.index.v1+json",
	"application/vnd.docker.distribution.manifest.list.v2+json",
	"application/vnd.oci.image.manifest.v1+json",
	"application/vnd.docker.distribution.manifest.v2+json",
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
func (s *session) read(ctx context.Context, ref ecs.Reference, id ecrtypes.ImageIdentifier) (manifest, *imageConfig, error) {
	account, region, _ := ref.ECR()
	inRegion := func(o *ecr.Options) { o.Region = region }
	var m manifest
	out, err := call(ctx, s, "BatchGetImage", func(ctx context.Context) (*ecr.BatchGetImageOutput, error) {
		return s.ECR.BatchGetImage(ctx, &ecr.BatchGetImageInput{
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
	if m.Config.Digest == "" || s.http == nil {
		return m, nil, nil
	}
	url, err := call(ctx, s, "GetDownloadUrlForLayer", func(ctx context.Context) (*ecr.GetDownloadUrlForLayerOutput, error) {
		return s.ECR.GetDownloadUrlForLayer(ctx, &ecr.GetDownloadUrlForLayerInput{
			RegistryId: aws.String(account), RepositoryName: aws.String(ref.Path), LayerDigest: aws.String(m.Config.Digest),
		}, inRegion)
	})
	if err != nil {
		return m, nil, err
	}
	config, err := s.fetchConfig(ctx, aws.ToString(url.DownloadUrl))
	if err != nil {
		return m, nil, err
	}
	return m, &config, nil
}

// says is what an image says of itself: the platforms that it is for, which an index
// lists and a single image has in its configuration, and the build that it is of;
// empty: it does not say.
func (s *session) says(ctx context.Context, ref ecs.Reference, digest string) (platforms []string, build string, err error) {
	m, config, err := s.read(ctx, ref, ecrtypes.ImageIdentifier{ImageDigest: aws.String(digest)})
	if err != nil {
		return nil, "", err
	}
	build = m.Annotations[labelVersion]
	for _, e := range m.Manifests {
		if e.Platform.OS == "" || e.Platform.OS == "unknown" { // an attestation
			continue
		}
		platforms = append(platforms, joinPlatform(e.Platform.OS, e.Platform.Architecture, e.Platform.Variant))
	}
	if config != nil {
		platforms = append(platforms, joinPlatform(config.OS, config.Architecture, config.Variant))
		build = cmp.Or(build, config.Config.Labels[labelVersion])
	}
	return platforms, build, nil
}

// commitOf reads the commit that an image was built from, or "".
func (s *session) commitOf(ctx context.Context, ref ecs.Reference) string {
	if _, _, ok := ref.ECR(); !ok {
		return ""
	}
	m, config, err := s.read(ctx, ref, identifier(ref))
	if err != nil {
		return ""
	}
	if c := m.Annotations[labelRevision]; c != "" || config == nil {
		return c
	}
	return config.Config.Labels[labelRevision]
}

// describeImage asks the ECR registry that the reference names about one image.
func (s *session) describeImage(ctx context.Context, ref ecs.Reference) (*ecr.DescribeImagesOutput, error) {
	account, region, _ := ref.ECR()
	return call(ctx, s, "DescribeImages", func(ctx context.Context) (*ecr.DescribeImagesOutput, error) {
		return s.ECR.DescribeImages(ctx, &ecr.DescribeImagesInput{
			RegistryId: aws.String(account), RepositoryName: aws.String(ref.Path), ImageIds: []ecrtypes.ImageIdentifier{identifier(ref)},
		}, func(o *ecr.Options) { o.Region = region })
	})
}

// pushedAt is when an image came into ECR; zero where that is not known.
func (s *session) pushedAt(ctx context.Context, ref ecs.Reference) time.Time {
	if _, _, ok := ref.ECR(); !ok {
		return time.Time{}
	}
	out, err := s.describeImage(ctx, ref)
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
func (s *session) fetchConfig(ctx context.Context, url string) (imageConfig, error) {
	var config imageConfig
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return config, errors.New("ECR gave an address for the image's configuration that is none")
	}
	resp, err := s.http.Do(req)
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

// Where images keep the commit that they were built from and their build's number
// (OCI image specification, annotations).
const (
	labelRevision = "org.opencontainers.image.revision"
	labelVersion  = "org.opencontainers.image.version"
)
