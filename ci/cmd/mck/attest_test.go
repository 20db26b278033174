package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ecr"

	"github.com/magecloudkit/pipeline/ci/registry"
)

// What is attached to an image in ECR has a subject and a tag, stays as long as the image, and goes with it.
func TestAttachmentsInECR(t *testing.T) {
	variables := simulated(t)
	cfg, err := config.LoadDefaultConfig(t.Context(), config.WithRegion(variables["AWS_REGION"]), config.WithBaseEndpoint(variables["AWS_ENDPOINT_URL"]),
		config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(variables["AWS_ACCESS_KEY_ID"], variables["AWS_SECRET_ACCESS_KEY"], "")))
	noError(t, err)
	client := ecr.NewFromConfig(cfg)
	const repository = "magecloudkit/nginx"
	// attached are the digests of what is attached to each image, and of all images.
	attached := func() (to map[string][]string, all []string) {
		t.Helper()
		out, err := client.DescribeImages(t.Context(), &ecr.DescribeImagesInput{RepositoryName: aws.String(repository), MaxResults: aws.Int32(1000)})
		noError(t, err)
		to = map[string][]string{}
		for _, d := range out.ImageDetails {
			all = append(all, *d.ImageDigest)
			if s := aws.ToString(d.SubjectManifestDigest); s != "" {
				to[s] = append(to[s], *d.ImageDigest)
				if len(d.ImageTags) != 1 || !strings.HasPrefix(d.ImageTags[0], strings.Replace(s, ":", "-", 1)+".") {
					t.Errorf("%s has the tags %v", *d.ImageDigest, d.ImageTags)
				}
			}
		}
		return to, all
	}
	push := func(number string, args ...string) registry.Pushed {
		t.Helper()
		code, out, errs := mck(t, variables, append([]string{"push", "--json", "--build-num", number, "--images", layouts(t, number, number)}, args...)...)
		if code != 0 {
			t.Fatalf("push = %d\n%s", code, errs)
		}
		var result registry.Result
		noError(t, json.Unmarshal([]byte(out), &result))
		return result.Images[1]
	}
	old, kept, bare := push("401"), push("402"), push("403", "--attest=false")
	if again := push("402"); again.Attached[0].Sent || again.Attached[1].Sent || again.Attached[0].Digest != kept.Attached[0].Digest {
		t.Errorf("attached again: %+v", again.Attached)
	}
	to, _ := attached()
	if len(to[old.Digest]) != 2 || len(to[kept.Digest]) != 2 || len(to[bare.Digest]) != 0 {
		t.Errorf("attached: %v", to)
	}
	code, _, errs := mck(t, variables, "cleanup", "--yes", "--keep-last", "2", "--older-than", "1ns")
	if code != 0 {
		t.Fatalf("cleanup = %d\n%s", code, errs)
	}
	to, all := attached()
	if slices.Contains(all, old.Digest) || len(to[old.Digest]) != 0 || !slices.Contains(all, kept.Digest) || len(to[kept.Digest]) != 2 {
		t.Errorf("after the cleanup: %v, attached %v; want no %s", all, to, old.Digest)
	}
}
