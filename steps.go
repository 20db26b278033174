package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/magecloudkit/pipeline/ci/build"
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
	if ctr, err = withText(ctr, mckDir+"/extensions.sh", []byte(script)); err != nil {
		return nil, err
	}
	return ctr.WithExec([]string{stepBin, "extensions", "--results", mckDir + "/extensions", "--compression", p.Compression, "--", "sh", mckDir + "/extensions.sh"}), nil
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
	return tool("step", platform, "ci/brief", "ci/build", "ci/host", "ci/image", "ci/layer", "ci/leak", "ci/patch", "ci/store")
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
[ -z "$missing" ] || { apt-get -qq update; apt-get -qq install -y --no-install-recommends $missing >/dev/null; rm -rf /var/lib/apt/lists/*; }`}), nil
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

// withJSON gives a container a file that says v.
func withJSON(ctr *dagger.Container, file string, v any) (*dagger.Container, error) {
	raw, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return nil, err
	}
	return withText(ctr, file, raw)
}

// withText gives a container a file. Its content is handed over in one of the
// module's own, since the engine's log has all of what WithNewFile is given.
func withText(ctr *dagger.Container, file string, content []byte) (*dagger.Container, error) {
	sum := sha256.Sum256(content)
	own := filepath.Join("given", hex.EncodeToString(sum[:8])+filepath.Ext(file))
	if err := os.MkdirAll(filepath.Dir(own), 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(own, content, 0o644); err != nil {
		return nil, err
	}
	return ctr.WithFile(file, dag.CurrentModule().WorkdirFile(own)), nil
}
