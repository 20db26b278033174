// MageCloudKit builds a Magento 2 store and releases it to Amazon ECS.
//
// From a store's source it installs the packages with composer, compiles, deploys
// static content, and puts two images together: magento2 (php-fpm) and nginx. It
// pushes them to Amazon ECR and releases them to Amazon ECS with no downtime.
//
//	dagger call check
//	dagger call build --build-num=latest
//	dagger call build --build-num=latest nginx up
//
// The same functions run on a laptop and on CI, so a failed CI build is repeated
// by typing its command.
package main

//go:generate go run ./ci/gen

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/magecloudkit/pipeline/ci/build"
	"github.com/magecloudkit/pipeline/ci/layer"
	"github.com/magecloudkit/pipeline/ci/store"
	"github.com/magecloudkit/pipeline/internal/dagger"
)

// Magecloudkit is a store and how it is built.
type Magecloudkit struct {
	// +private
	Source *dagger.Directory
	// +private
	Auth *dagger.Secret
	// +private
	PublicKey *dagger.Secret
	// +private
	PrivateKey *dagger.Secret
	// +private
	PHPImage string
	// +private
	NginxImage string
	// +private
	BaseRegistry *dagger.Service
	// +private
	RegistryConfig *dagger.Secret
	// +private
	StripTests bool
	// +private
	Compression string
	// +private
	Locales []string
	// +private
	Themes []string
	// +private
	Shards string
	// +private
	RunBuilt bool
	// +private
	MariadbImage string
	// +private
	RedisImage string
	// +private
	AwsRegion string
	// +private
	AwsAccessKeyId *dagger.Secret
	// +private
	AwsSecretAccessKey *dagger.Secret
	// +private
	AwsSessionToken *dagger.Secret
	// +private
	AwsRoleArn string
	// +private
	AwsWebIdentityToken *dagger.Secret
	// +private
	AwsEcrUrl string
	// +private
	AwsEndpointUrl string
	// +private
	AwsEndpoint *dagger.Service
	// +private
	AwsCaBundle *dagger.File
}

func New(
	// The store: a directory with composer.json and app/etc/config.php.
	//
	// +defaultPath="/magento"
	// +ignore=["vendor", "generated", "var", "pub/static", "pub/media", "**/auth.json", ".git", "**/node_modules", ".env"]
	source *dagger.Directory,

	// Composer's credentials: the content of an auth.json (file://auth.json) or of COMPOSER_AUTH (env://COMPOSER_AUTH).
	//
	// +optional
	composerAuth *dagger.Secret,

	// Public key for repo.magento.com, for a store of Adobe's Magento (env://MAGENTO_PUBLIC_KEY).
	//
	// +optional
	magentoPublicKey *dagger.Secret,

	// Private key for repo.magento.com (env://MAGENTO_PRIVATE_KEY).
	//
	// +optional
	magentoPrivateKey *dagger.Secret,

	// Image with the PHP that builds and runs the store. Default: the official php-fpm image of the PHP that composer.lock, or composer.json, asks for. Extensions that it lacks are added.
	//
	// +optional
	phpImage string,

	// Base of the nginx image.
	//
	// +default="nginx:stable-bookworm"
	nginxImage string,

	// A registry to look for the images' bases in before their own, as tcp://127.0.0.1:5000: a mirror, such as the engine's, or the bases' own where it is on this machine, which containers cannot reach.
	//
	// +optional
	baseRegistry *dagger.Service,

	// Credentials to read the images' bases with: what docker login left (file://~/.docker/config.json). The engine's own do not reach containers.
	//
	// +optional
	registryConfig *dagger.Secret,

	// Leave the packages' own tests out of the images.
	//
	// +default=true
	stripTests bool,

	// Locales to deploy static content for. Default: those that app/etc/config.php uses.
	//
	// +optional
	locales []string,

	// Themes to deploy, as Vendor/name or area/Vendor/name. Default: those that app/etc/config.php uses.
	//
	// +optional
	themes []string,

	// How to split static content over processes: auto, none, theme or locale. auto decides from the number of CPUs.
	//
	// +default="auto"
	shards string,

	// Compression of the images' layers: zstd, or gzip for hosts with an old Docker.
	//
	// +default="zstd"
	compression string,

	// Run what was built as a shop, and ask whether it serves: a part of build and push. See build's function smoke.
	//
	// +default=true
	smoke bool,

	// Image with MariaDB, for that shop.
	//
	// +default="mariadb:10.6"
	mariadbImage string,

	// Image with Redis or Valkey, for that shop.
	//
	// +default="redis:7"
	redisImage string,

	// AWS region of the registry and the clusters, as us-east-1.
	//
	// +optional
	awsRegion string,

	// Static AWS credentials: the key's id (env://AWS_ACCESS_KEY_ID).
	//
	// +optional
	awsAccessKeyId *dagger.Secret,

	// Static AWS credentials: the key (env://AWS_SECRET_ACCESS_KEY).
	//
	// +optional
	awsSecretAccessKey *dagger.Secret,

	// Temporary AWS credentials: their token (env://AWS_SESSION_TOKEN).
	//
	// +optional
	awsSessionToken *dagger.Secret,

	// Role to assume with the web identity token, in place of AWS keys.
	//
	// +optional
	awsRoleArn string,

	// Web identity (OIDC) token (env://CIRCLE_OIDC_TOKEN_V2 on CircleCI).
	//
	// +optional
	awsWebIdentityToken *dagger.Secret,

	// Address of the registry, as get-ecr prints it. Default: the account's ECR.
	//
	// +optional
	awsEcrUrl string,

	// Address of the AWS APIs, when it is not Amazon's.
	//
	// +optional
	awsEndpointUrl string,

	// An AWS on this machine to use instead, as tcp://127.0.0.1:4566 where 'mck simulate' serves one. Containers reach it by the name aws.
	//
	// +optional
	awsEndpoint *dagger.Service,

	// PEM file of the certificate authorities to trust for the AWS APIs.
	//
	// +optional
	awsCaBundle *dagger.File,
) (*Magecloudkit, error) {
	if _, err := build.ParseShards(shards); err != nil {
		return nil, err
	}
	if _, err := layer.ParseCompression(compression); err != nil {
		return nil, err
	}
	if (awsAccessKeyId == nil) != (awsSecretAccessKey == nil) {
		return nil, errors.New("of AWS's static credentials only one part is given: give --aws-access-key-id and --aws-secret-access-key, or neither")
	}
	if (magentoPublicKey == nil) != (magentoPrivateKey == nil) {
		return nil, errors.New("of Magento's two keys only one is given: give --magento-public-key and --magento-private-key, or neither")
	}
	return &Magecloudkit{
		Source:     source,
		Auth:       composerAuth,
		PublicKey:  magentoPublicKey,
		PrivateKey: magentoPrivateKey,
		PHPImage:   phpImage,
		NginxImage: nginxImage,

		BaseRegistry:   baseRegistry,
		RegistryConfig: registryConfig,

		StripTests:  stripTests,
		Compression: compression,
		Locales:     locales,
		Themes:      themes,
		Shards:      shards,

		RunBuilt:     smoke,
		MariadbImage: mariadbImage,
		RedisImage:   redisImage,

		AwsRegion:           awsRegion,
		AwsAccessKeyId:      awsAccessKeyId,
		AwsSecretAccessKey:  awsSecretAccessKey,
		AwsSessionToken:     awsSessionToken,
		AwsRoleArn:          awsRoleArn,
		AwsWebIdentityToken: awsWebIdentityToken,
		AwsEcrUrl:           awsEcrUrl,
		AwsEndpointUrl:      awsEndpointUrl,
		AwsEndpoint:         awsEndpoint,
		AwsCaBundle:         awsCaBundle,
	}, nil
}

// Say all that can be said about the store before building it.
//
// It lists what would make the build fail or surprise you, and what to do about
// each, and ends with an error if the store cannot be built.
func (m *Magecloudkit) Check(
	ctx context.Context,
	// Print the result as one JSON document.
	//
	// +optional
	asJson bool,
) (string, error) {
	p, err := m.prepare(ctx)
	if err != nil {
		return "", err
	}
	out := p.report.String()
	if asJson {
		raw, err := json.MarshalIndent(p.report, "", "  ")
		if err != nil {
			return "", err
		}
		out = string(raw) + "\n"
	}
	if !p.report.OK() {
		return "", errors.New(out)
	}
	return out, nil
}

// Install the store's packages with composer: the installed store.
//
// +cache="session"
func (m *Magecloudkit) Composer(ctx context.Context) (*dagger.Directory, error) {
	p, err := m.plan(ctx)
	if err != nil {
		return nil, err
	}
	app, err := p.app(ctx)
	if err != nil {
		return nil, err
	}
	return app.Directory(treeDir).Sync(ctx)
}

// Compile the store and deploy its static content: the store as it runs.
//
// It is the installed store with generated/ and pub/static/.
//
// +cache="session"
func (m *Magecloudkit) Precompile(
	ctx context.Context,
	// Version in the URLs of static files. Default: the time of the build, in seconds; make gives the time of the commit.
	//
	// +optional
	contentVersion string,
) (*dagger.Directory, error) {
	rel := build.Release{BuildNum: "latest", Created: time.Now().UTC().Truncate(time.Second), ContentVersion: contentVersion}
	if err := rel.Validate(); err != nil {
		return nil, err
	}
	p, err := m.plan(ctx)
	if err != nil {
		return nil, err
	}
	done, err := p.precompiled(ctx)
	if err != nil {
		return nil, err
	}
	ctr := done.app
	args := []string{stepBin, "complete", "--tree", treeDir, "--results", mckDir + "/completed", "--compression", m.Compression,
		"--plan", mckDir + "/plan.json", "--release", mckDir + "/release.json"}
	if ctr, err = done.mount(ctr, &args); err != nil {
		return nil, err
	}
	if ctr, err = withJSON(ctr, mckDir+"/plan.json", p.steps); err != nil {
		return nil, err
	}
	if ctr, err = withJSON(ctr, mckDir+"/release.json", rel); err != nil {
		return nil, err
	}
	return ctr.WithExec(args).Directory(treeDir).Sync(ctx)
}

// Build the store's two images, magento2 (php-fpm) and nginx.
//
// When it succeeds, both exist and have served as a shop (--smoke=false, before
// the function's name: without running them).
//
// What it returns can be used further: `build --build-num=1 magento terminal`,
// `build --build-num=1 nginx up`, `build --build-num=1 export -o out`.
//
// +cache="session"
func (m *Magecloudkit) Build(
	ctx context.Context,
	// The build's number, and the tag of its images.
	buildNum string,
	// The commit that is built; it stands in REVISION.txt and in the images' labels.
	//
	// +optional
	revision string,
	// Time of that commit, in seconds since 1970 (git log -1 --format=%ct). With it the same commit gives the same images, bit for bit. Default: now.
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
	// Platforms of the images, as linux/amd64,linux/arm64: of several there is an index, and what PHP makes is made once. Default: the engine's.
	//
	// +optional
	platform []dagger.Platform,
) (*Build, error) {
	rel := build.Release{BuildNum: buildNum, Revision: revision, Source: repository, ContentVersion: contentVersion, Created: time.Now().UTC().Truncate(time.Second)}
	if revisionTime != 0 {
		rel.Created = time.Unix(int64(revisionTime), 0).UTC()
	}
	if err := rel.Validate(); err != nil {
		return nil, err
	}
	p, err := m.plan(ctx)
	if err != nil {
		return nil, err
	}
	if len(platform) == 0 {
		here, err := dag.DefaultPlatform(ctx)
		if err != nil {
			return nil, err
		}
		platform = []dagger.Platform{here}
	}
	group, gctx := errgroup.WithContext(ctx)
	var done *precompiled
	group.Go(func() (err error) {
		done, err = p.precompiled(gctx)
		return err
	})
	// The bases are read meanwhile.
	var bases []base
	group.Go(func() (err error) {
		bases, err = p.bases(gctx, platform)
		return err
	})
	if err := group.Wait(); err != nil {
		return nil, err
	}
	b, err := p.assemble(ctx, done, bases, rel)
	if err != nil || !m.RunBuilt {
		return b, err
	}
	if _, err := b.Smoke(ctx, false); err != nil {
		return nil, err
	}
	return b, nil
}

// Make the magento2 image's base: PHP with the extensions that the store needs.
//
// `php-base publish --address=…` makes it a --php-base for builds on hosts.
//
// +cache="session"
func (m *Magecloudkit) PhpBase(ctx context.Context) (*dagger.Container, error) {
	p, err := m.plan(ctx)
	if err != nil {
		return nil, err
	}
	return p.php.Sync(ctx)
}

// Add the composer.lock and the module list that a store lacks.
//
// It resolves the store's packages and returns the two files as a change to its
// source. A store that has both is left as it is.
//
// Write them by `lock export --path=magento`: dagger itself applies a change to
// the directory that it is called in, whichever the store's is.
//
// +cache="session"
func (m *Magecloudkit) Lock(ctx context.Context) (*dagger.Changeset, error) {
	p, err := m.prepare(ctx)
	if err != nil {
		return nil, err
	}
	source := m.Source
	if !p.store.HasLock() {
		ctr, err := p.builder(ctx)
		if err != nil {
			return nil, err
		}
		ctr = ctr.WithDirectory(treeDir, source, dagger.ContainerWithDirectoryOpts{Exclude: store.IgnoredPaths()})
		if p.auth != nil {
			ctr = ctr.WithSecretVariable("COMPOSER_AUTH", p.auth)
		}
		ctr = ctr.WithEnvVariable("COMPOSER_ALLOW_SUPERUSER", "1").
			WithExec([]string{"composer", "update", "--no-install", "--no-interaction", "--no-progress", "--no-ansi"})
		source = source.WithFile("composer.lock", ctr.File(treeDir+"/composer.lock"))
	}
	if !p.store.HasModules() {
		locked := *m
		locked.Source = source
		q, err := locked.plan(ctx)
		if err != nil {
			return nil, err
		}
		app, err := q.app(ctx)
		if err != nil {
			return nil, err
		}
		source = source.WithFile("app/etc/config.php", app.File(treeDir+"/app/etc/config.php"))
	}
	return source.Changes(m.Source), nil
}
