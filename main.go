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
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/magecloudkit/pipeline/ci/build"
	"github.com/magecloudkit/pipeline/ci/layer"
	"github.com/magecloudkit/pipeline/ci/machine"
	"github.com/magecloudkit/pipeline/ci/store"
	"github.com/magecloudkit/pipeline/internal/dagger"
)

// Images that the pipeline itself runs in. None of them becomes a part of a
// store's images.
var (
	golangImage   = build.Pinned("golang:1.26-bookworm")
	composerImage = build.Pinned("composer:2")
)

// Where things stand inside of the containers.
const (
	treeDir    = "/" + build.AppRoot
	mckDir     = "/mck"
	resultsDir = mckDir + "/results"
	stepBin    = mckDir + "/step"
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
// When it succeeds, both exist.
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
	return p.assemble(ctx, done, bases, rel)
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

// planned is a store that has been read and checked, with the PHP that builds it.
type planned struct {
	*Magecloudkit
	store   *store.Store
	version string // of PHP
	report  store.Report
	steps   build.Plan
	phpRef  string            // the PHP image
	missing []string          // the extensions that it lacks
	php     *dagger.Container // the PHP image with these
	auth    *dagger.Secret    // COMPOSER_AUTH; nil: none
}

// plan is prepare, and an error if the store cannot be built.
func (m *Magecloudkit) plan(ctx context.Context) (*planned, error) {
	p, err := m.prepare(ctx)
	if err != nil {
		return nil, err
	}
	if err := p.report.Err(); err != nil {
		return nil, err
	}
	p.steps, err = m.stepsOf(p.store)
	return p, err
}

// stepsOf are the steps of a store's build.
func (m *Magecloudkit) stepsOf(s *store.Store) (build.Plan, error) {
	return build.New(build.StoreOf(s, m.Themes, m.Locales), build.Options{
		CPUs: runtime.NumCPU(), Shards: build.Shards(m.Shards), StripTests: m.StripTests,
	})
}

// replan plans the steps after the installation anew where the store's themes are
// known only then.
func (p *planned) replan(ctx context.Context, app *dagger.Container) error {
	if !p.store.ThemesOpen(p.Themes) {
		return nil
	}
	const dir = "installed"
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if _, err := app.Directory(treeDir).Filter(dagger.DirectoryFilterOpts{Include: p.store.InstalledPaths()}).Export(ctx, dir); err != nil {
		return err
	}
	installed, err := p.store.WithInstalled(os.DirFS(dir))
	if err != nil {
		return err
	}
	if !p.store.HasScopes() {
		fmt.Printf("app/etc/config.php lists no store views, so %s; --themes and --locales name others\n", p.store.Assumed(p.Themes, p.Locales))
	}
	p.steps, err = p.stepsOf(installed)
	return err
}

// prepare reads the store, asks its PHP image what it has, and checks the one
// against the other.
func (m *Magecloudkit) prepare(ctx context.Context) (*planned, error) {
	p := &planned{Magecloudkit: m}
	// What is read of a store is small; vendor and a store's own packages are not.
	const dir = "store"
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	if _, err := m.Source.Filter(dagger.DirectoryFilterOpts{
		Include: store.ReadPaths(),
	}).Export(ctx, dir); err != nil {
		return nil, err
	}
	var err error
	if p.store, err = store.Open(os.DirFS(dir)); err != nil {
		return nil, err
	}
	credentials, err := p.credentials(ctx)
	if err != nil {
		return nil, err
	}
	p.phpRef = m.PHPImage
	if p.phpRef == "" {
		p.phpRef = build.PHPImage(p.store.PHPMinor())
	}
	p.phpRef = build.Pinned(p.phpRef)
	image := dag.Container().From(p.phpRef)
	php, installer, err := inspectPHP(ctx, image)
	if err != nil {
		return nil, err
	}
	for _, name := range php.Lacks(append(p.store.RequiredExtensions(), p.store.RecommendedExtensions()...)) {
		if installer && build.Installable(name) {
			p.missing = append(p.missing, name)
		}
	}
	p.version = php.Version
	php.Extensions = append(php.Extensions, p.missing...)
	platform, err := image.Platform(ctx)
	if err != nil {
		return nil, err
	}
	p.report = p.store.Check(store.Options{
		Platform: string(platform), PHP: &php, Credentials: credentials, Memory: machine.Memory(), Locales: m.Locales, Themes: m.Themes,
	})
	p.php, err = p.extended(ctx, image)
	return p, err
}

// extended adds to a PHP image the extensions that the store needs and the image
// lacks.
func (p *planned) extended(ctx context.Context, image *dagger.Container) (*dagger.Container, error) {
	if len(p.missing) == 0 {
		return image, nil
	}
	script, err := build.InstallExtensions(p.missing)
	if err != nil {
		return nil, err
	}
	ctr, err := p.withStep(ctx, image)
	if err != nil {
		return nil, err
	}
	return ctr.WithNewFile(mckDir+"/extensions.sh", script).
		WithExec([]string{stepBin, "extensions", "--results", mckDir + "/extensions", "--compression", p.Compression, "--", "sh", mckDir + "/extensions.sh"}), nil
}

// credentials puts composer's secrets together as one, and says for which hosts
// they are.
func (p *planned) credentials(ctx context.Context) (store.Credentials, error) {
	var values [3]string
	for i, s := range []*dagger.Secret{p.PublicKey, p.PrivateKey, p.Auth} {
		if s != nil {
			v, err := s.Plaintext(ctx)
			if err != nil {
				return store.Credentials{}, err
			}
			values[i] = strings.TrimSpace(v)
		}
	}
	auth, err := build.ComposerAuth(values[0], values[1], values[2])
	if err != nil || auth == "" {
		return store.Credentials{}, err
	}
	p.auth = dag.SetSecret("composer-auth", auth)
	return store.ParseAuth([]byte(auth))
}

// inspectPHP asks an image's php what it is and has, and whether the image brings
// the official images' way to add extensions.
func inspectPHP(ctx context.Context, image *dagger.Container) (php store.PHP, installer bool, err error) {
	out, err := image.WithExec([]string{"php", "-r", `echo json_encode(["version" => PHP_VERSION, "extensions" => array_map("strtolower", array_merge(get_loaded_extensions(), get_loaded_extensions(true))), "installer" => is_executable("/usr/local/bin/docker-php-ext-install")]);`}).Stdout(ctx)
	if err != nil {
		return php, false, err
	}
	var answer struct {
		store.PHP
		Installer bool `json:"installer"`
	}
	if err := json.Unmarshal([]byte(out), &answer); err != nil {
		return php, false, fmt.Errorf("the PHP image: what its php says of itself cannot be read: %w", err)
	}
	return answer.PHP, answer.Installer, nil
}

// precompiled are the containers of a build whose steps have all run, with what
// they left.
type precompiled struct {
	app     *dagger.Container
	results []*dagger.Directory
}

// mount gives a container what the steps left.
func (d *precompiled) mount(ctr *dagger.Container, args *[]string) (*dagger.Container, error) {
	for i, r := range d.results {
		at := fmt.Sprintf("%s/earlier/%d", mckDir, i)
		ctr = ctr.WithMountedDirectory(at, r)
		*args = append(*args, "--earlier", at)
	}
	return ctr, nil
}

// app is the installed store.
func (p *planned) app(ctx context.Context) (*dagger.Container, error) {
	ctr, err := p.builder(ctx)
	if err != nil {
		return nil, err
	}
	ctr = ctr.WithMountedCache(mckDir+"/composer", dag.CacheVolume("composer")).
		WithEnvVariable("COMPOSER_CACHE_DIR", mckDir+"/composer")
	composer, _ := p.steps.Step(build.Composer)
	ctr, err = p.run(ctr, composer, "", func(c *dagger.Container) *dagger.Container {
		if p.auth != nil {
			c = c.WithSecretVariable("COMPOSER_AUTH", p.auth)
		}
		return c
	})
	if err != nil {
		return nil, err
	}
	app, _ := p.steps.Step(build.App)
	return p.run(ctr.WithoutSecretVariable("COMPOSER_AUTH"), app, "", nil)
}

// run lays a step's part of the store over a container's tree and runs it there.
func (p *planned) run(ctr *dagger.Container, step build.Step, cache string, with func(*dagger.Container) *dagger.Container) (*dagger.Container, error) {
	if step.Overlay != nil {
		// Filter, and not the options of WithDirectory: the engine then knows the part
		// by its content, and a change elsewhere in the store runs nothing again.
		ctr = ctr.WithDirectory(treeDir, p.Source.Filter(dagger.DirectoryFilterOpts{Include: step.Overlay.Include, Exclude: step.Overlay.Exclude}))
	}
	file := mckDir + "/steps/" + step.Name + ".json"
	ctr, err := withJSON(ctr, file, step)
	if err != nil {
		return nil, err
	}
	if with != nil {
		ctr = with(ctr)
	}
	args := []string{stepBin, "run", "--step", file, "--tree", treeDir, "--results", resultsDir, "--compression", p.Compression}
	if cache != "" {
		args = append(args, "--cache", cache)
	}
	return ctr.WithExec(args), nil
}

// precompiled runs the steps that follow the installed store, side by side.
func (p *planned) precompiled(ctx context.Context) (*precompiled, error) {
	app, err := p.app(ctx)
	if err != nil {
		return nil, err
	}
	// One evaluation of what all branches share, before they start together.
	if app, err = app.Sync(ctx); err != nil {
		return nil, err
	}
	if err := p.replan(ctx, app); err != nil {
		return nil, err
	}
	done := &precompiled{app: app}
	group, gctx := errgroup.WithContext(ctx)
	branches := make([]*dagger.Container, len(p.steps.Steps))
	for i, step := range p.steps.Steps {
		if step.From != build.App {
			continue
		}
		ctr, err := p.run(p.withCache(app), step, mckDir+"/cache", nil)
		if err != nil {
			return nil, err
		}
		group.Go(func() (err error) {
			branches[i], err = ctr.Sync(gctx)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for _, b := range branches {
		if b != nil {
			done.results = append(done.results, b.Directory(resultsDir))
		}
	}
	for _, step := range p.steps.Steps {
		if len(step.Merge) == 0 {
			continue
		}
		file := mckDir + "/steps/" + step.Name + ".json"
		ctr, err := withJSON(p.withCache(app), file, step)
		if err != nil {
			return nil, err
		}
		args := []string{stepBin, "run", "--step", file, "--tree", mckDir + "/merged", "--results", mckDir + "/merge", "--compression", p.Compression, "--cache", mckDir + "/cache"}
		if ctr, err = done.mount(ctr.WithNewFile(mckDir+"/merged/.keep", ""), &args); err != nil {
			return nil, err
		}
		if ctr, err = ctr.WithExec(args).Sync(ctx); err != nil {
			return nil, err
		}
		done.results = append(done.results, ctr.Directory(mckDir+"/merge"))
	}
	return done, nil
}

func (p *planned) withCache(ctr *dagger.Container) *dagger.Container {
	return ctr.WithMountedCache(mckDir+"/cache", dag.CacheVolume("layers"))
}

// withStep gives a container the program that runs steps.
func (p *planned) withStep(ctx context.Context, ctr *dagger.Container) (*dagger.Container, error) {
	platform, err := ctr.Platform(ctx)
	if err != nil {
		return nil, err
	}
	return ctr.WithUser("root").WithWorkdir(treeDir).WithoutEntrypoint().
		WithFile(stepBin, stepTool(platform)), nil
}

// stepTool is the program that runs steps.
func stepTool(platform dagger.Platform) *dagger.File {
	return tool("step", platform, "ci/build", "ci/host", "ci/image", "ci/layer", "ci/leak", "ci/patch", "ci/store")
}

// builder is the container that builds the store: its PHP, composer, and what
// composer needs to fetch and patch packages.
func (p *planned) builder(ctx context.Context) (*dagger.Container, error) {
	ctr, err := p.withStep(ctx, p.php)
	if err != nil {
		return nil, err
	}
	return ctr.
		WithFile("/usr/local/bin/composer", dag.Container().From(composerImage).File("/usr/bin/composer")).
		WithExec([]string{"sh", "-euc", `
missing=
for program in git unzip patch; do command -v "$program" >/dev/null || missing="$missing $program"; done
[ -z "$missing" ] || { apt-get update; apt-get install -y --no-install-recommends $missing; rm -rf /var/lib/apt/lists/*; }`}), nil
}

// tool compiles one of the pipeline's own programs from the given parts of its
// source, so that a change to others leaves it as it is.
func tool(name string, platform dagger.Platform, parts ...string) *dagger.File {
	arch, _, _ := strings.Cut(strings.TrimPrefix(string(platform), "linux/"), "/")
	include := []string{"go.mod", "go.sum", "ci/docker/**", "ci/cmd/" + name + "/**"}
	for _, p := range parts {
		include = append(include, p+"/**")
	}
	return dag.Container().From(golangImage).
		WithMountedCache("/go/pkg/mod", dag.CacheVolume("go-mod")).
		WithMountedCache("/root/.cache/go-build", dag.CacheVolume("go-build")).
		WithEnvVariable("CGO_ENABLED", "0").
		WithEnvVariable("GOARCH", arch).
		WithMountedDirectory("/src", dag.CurrentModule().Source().Filter(dagger.DirectoryFilterOpts{Include: include, Exclude: []string{"**/*_test.go", "**/testdata"}})).
		WithWorkdir("/src").
		WithExec([]string{"go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", "/out/" + name, "./ci/cmd/" + name}).
		File("/out/" + name)
}

func withJSON(ctr *dagger.Container, file string, v any) (*dagger.Container, error) {
	raw, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return nil, err
	}
	return ctr.WithNewFile(file, string(raw)), nil
}
