package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/magecloudkit/pipeline/internal/dagger"
)

// alias is the name that a container reaches a given AWS service by.
const alias = "aws"

// mck is a container that runs a verb of mck with the settings of AWS. What it
// does outside is done each time it is asked for.
func (m *Magecloudkit) mck(ctx context.Context) (*dagger.Container, error) {
	platform, err := dag.DefaultPlatform(ctx)
	if err != nil {
		return nil, err
	}
	ctr := dag.Container().From(golangImage).
		WithFile("/usr/local/bin/mck", tool("mck", platform, "ci")).
		WithoutEntrypoint()
	for name, value := range map[string]string{
		"AWS_REGION": m.AwsRegion, "AWS_ROLE_ARN": m.AwsRoleArn, "AWS_ECR_URL": m.AwsEcrUrl, "AWS_ENDPOINT_URL": m.AwsEndpointUrl,
	} {
		if value != "" {
			ctr = ctr.WithEnvVariable(name, value)
		}
	}
	for name, secret := range map[string]*dagger.Secret{
		"AWS_ACCESS_KEY_ID": m.AwsAccessKeyId, "AWS_SECRET_ACCESS_KEY": m.AwsSecretAccessKey, "AWS_SESSION_TOKEN": m.AwsSessionToken,
	} {
		if secret != nil {
			ctr = ctr.WithSecretVariable(name, secret)
		}
	}
	if m.AwsWebIdentityToken != nil {
		const file = "/run/secrets/web-identity-token"
		ctr = ctr.WithMountedSecret(file, m.AwsWebIdentityToken).WithEnvVariable("AWS_WEB_IDENTITY_TOKEN_FILE", file)
	}
	if m.AwsCaBundle != nil {
		const file = "/etc/aws-ca-bundle.pem"
		ctr = ctr.WithMountedFile(file, m.AwsCaBundle).WithEnvVariable("AWS_CA_BUNDLE", file)
	}
	if m.AwsEndpoint != nil {
		scheme := "http"
		if m.AwsCaBundle != nil {
			scheme = "https"
		}
		ports, err := m.AwsEndpoint.Ports(ctx)
		if err != nil {
			return nil, err
		}
		if len(ports) != 1 {
			return nil, errors.New("--aws-endpoint: give a service with one port, such as tcp://127.0.0.1:4566")
		}
		port, err := ports[0].Port(ctx)
		if err != nil {
			return nil, err
		}
		ctr = ctr.WithServiceBinding(alias, m.AwsEndpoint).WithEnvVariable("AWS_ENDPOINT_URL", fmt.Sprintf("%s://%s:%d", scheme, alias, port))
	}
	return ctr.WithEnvVariable("MCK_ASKED_AT", time.Now().UTC().Format(time.RFC3339Nano)), nil
}

// verb runs a verb of mck and returns what it prints.
func (m *Magecloudkit) verb(ctx context.Context, args []string) (string, error) {
	ctr, err := m.mck(ctx)
	if err != nil {
		return "", err
	}
	return ctr.WithExec(append([]string{"mck"}, args...)).Stdout(ctx)
}

// flags puts a verb's command line together; what is empty is left out, and so
// left to mck's own default.
type flags []string

func (f *flags) text(name, value string) {
	if value != "" {
		*f = append(*f, "--"+name+"="+value)
	}
}

func (f *flags) list(name string, values []string) {
	for _, v := range values {
		f.text(name, v)
	}
}

func (f *flags) on(name string, value bool) {
	if value {
		*f = append(*f, "--"+name)
	}
}

func (f *flags) number(name string, value int) {
	if value >= 0 {
		f.text(name, strconv.Itoa(value))
	}
}

// Print the address of the account's ECR registry, and nothing else.
//
// +cache="never"
func (m *Magecloudkit) GetEcr(
	ctx context.Context,
	// Print the repositories' URIs instead.
	//
	// +optional
	repositories bool,
	// First part of the repositories' names.
	//
	// +default="magecloudkit"
	prefix string,
) (string, error) {
	args := flags{"get-ecr"}
	args.on("repositories", repositories)
	args.text("prefix", prefix)
	out, err := m.verb(ctx, args)
	return strings.TrimSuffix(out, "\n"), err
}

// Build the store's two images and push them to Amazon ECR, or to any registry.
//
// Layers that the registry has are not sent again. Both images get the tag, or
// neither does. Without --aws-ecr-url they go to the account's own ECR.
//
// +cache="never"
func (m *Magecloudkit) Push(
	ctx context.Context,
	// The build's number, and the tag of its images.
	buildNum string,
	// The commit that is built; it stands in REVISION.txt and in the images' labels.
	//
	// +optional
	revision string,
	// Time of that commit, in seconds since 1970 (git log -1 --format=%ct). Default: now.
	//
	// +optional
	revisionTime int,
	// Version in the URLs of static files. Default: the time of the commit.
	//
	// +optional
	contentVersion string,
	// URL of the store's repository, for the images' labels.
	//
	// +optional
	repository string,
	// Platform of the images, as linux/arm64. Default: the engine's.
	//
	// +optional
	platform dagger.Platform,
	// First part of the repositories' names.
	//
	// +default="magecloudkit"
	prefix string,
	// Further tags, such as latest.
	//
	// +optional
	tag []string,
	// Create the repositories that do not exist.
	//
	// +optional
	create bool,
	// Print the result as JSON.
	//
	// +optional
	asJson bool,
) (string, error) {
	ctr, err := m.mck(ctx)
	if err != nil {
		return "", err
	}
	// mck is compiled while the store is built.
	group, gctx := errgroup.WithContext(ctx)
	var b *Build
	group.Go(func() (err error) {
		b, err = m.Build(gctx, buildNum, revision, revisionTime, contentVersion, repository, platform)
		return err
	})
	group.Go(func() (err error) {
		ctr, err = ctr.Sync(gctx)
		return err
	})
	if err := group.Wait(); err != nil {
		return "", err
	}
	args := flags{"push", "--images=/images"}
	args.text("build-num", buildNum)
	args.text("prefix", prefix)
	args.list("tag", tag)
	args.on("create", create)
	args.on("json", asJson)
	return ctr.WithMountedDirectory("/images", b.Export()).WithExec(append([]string{"mck"}, args...)).Stdout(ctx)
}

// Delete old images from Amazon ECR that nothing can need any more.
//
// It shows what it would delete, and what is kept because of what, and deletes
// only with --yes.
//
// +cache="never"
func (m *Magecloudkit) Cleanup(
	ctx context.Context,
	// Delete.
	//
	// +optional
	yes bool,
	// First part of the repositories' names.
	//
	// +default="magecloudkit"
	prefix string,
	// Clusters that run the images. Default: all clusters of the regions.
	//
	// +optional
	cluster []string,
	// Regions whose clusters run the images. Default: the AWS region.
	//
	// +optional
	regions []string,
	// Builds to keep in each repository.
	//
	// +default=10
	keepLast int,
	// Revisions to keep of every task definition family in use.
	//
	// +default=5
	keepRevisions int,
	// Patterns of tags to keep.
	//
	// +default=["latest"]
	keepTag []string,
	// Age below which nothing is deleted.
	//
	// +default="168h"
	olderThan string,
	// Print a lifecycle policy for the repositories instead, which needs no AWS.
	//
	// +optional
	policy bool,
	// Print the plan, or with --yes what was done, as JSON.
	//
	// +optional
	asJson bool,
) (string, error) {
	args := flags{"cleanup"}
	args.on("yes", yes)
	args.text("prefix", prefix)
	args.list("cluster", cluster)
	args.list("regions", regions)
	args.number("keep-last", keepLast)
	args.number("keep-revisions", keepRevisions)
	args.list("keep-tag", keepTag)
	args.text("older-than", olderThan)
	args.on("policy", policy)
	args.on("json", asJson)
	return m.verb(ctx, args)
}
