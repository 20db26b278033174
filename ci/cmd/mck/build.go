package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/magecloudkit/pipeline/ci/build"
	"github.com/magecloudkit/pipeline/ci/host"
	"github.com/magecloudkit/pipeline/ci/image"
	"github.com/magecloudkit/pipeline/ci/layer"
	"github.com/magecloudkit/pipeline/ci/leak"
	"github.com/magecloudkit/pipeline/ci/machine"
	"github.com/magecloudkit/pipeline/ci/smoke"
	"github.com/magecloudkit/pipeline/ci/store"
)

// buildFlags are what composer, precompile, build and check share.
type buildFlags struct {
	source, out      string
	locales, themes  []string
	shards           string
	keepTests, quiet bool
	cache            string
	noCache          bool
	compression      string
	cpus             int
	json             bool
}

func (f *buildFlags) addTo(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringVar(&f.source, "source", "magento", "the store: a directory with composer.json; it is only read")
	fl.StringSliceVar(&f.locales, "locales", nil, "locales to deploy static content for (default: those of app/etc/config.php)")
	fl.StringSliceVar(&f.themes, "themes", nil, "themes to deploy, Vendor/name or area/Vendor/name (default: those of app/etc/config.php)")
	fl.BoolVar(&f.json, "json", false, "print the result as JSON")
}

func (f *buildFlags) addRunTo(cmd *cobra.Command, out string) {
	f.addTo(cmd)
	fl := cmd.Flags()
	fl.StringVar(&f.out, "out", "out", out)
	fl.StringVar(&f.shards, "shards", "auto", "split static content over processes: auto, none, theme or locale")
	fl.BoolVar(&f.keepTests, "keep-tests", false, "keep the packages' tests in the image")
	fl.BoolVarP(&f.quiet, "quiet", "q", false, "do not show what the commands print")
	fl.StringVar(&f.cache, "cache-dir", "", "where packages and layers of earlier builds are kept (default: the user's cache directory)")
	fl.BoolVar(&f.noCache, "no-cache", false, "run every step, and keep nothing for later builds")
	fl.StringVar(&f.compression, "compression", "zstd", "of layers: zstd, or gzip for hosts with an old Docker")
	fl.IntVar(&f.cpus, "cpus", runtime.NumCPU(), "processors that the build may use")
	must(cmd.RegisterFlagCompletionFunc("shards", cobra.FixedCompletions([]string{"auto", "none", "theme", "locale"}, cobra.ShellCompDirectiveNoFileComp)))
	must(cmd.RegisterFlagCompletionFunc("compression", cobra.FixedCompletions([]string{"zstd", "gzip"}, cobra.ShellCompDirectiveNoFileComp)))
}

// must is for what only a mistake in this program can break.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

func newCheckCommand(e *env) *cobra.Command {
	var f buildFlags
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Say everything that can be said about a store before building it",
		Long: `check reads the store and says all at once what would make its build fail or
surprise you, and what to do about each. It runs nothing of the store.

The exit code is 1 if the store cannot be built.`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			report, _, _, err := f.check(cmd.Context(), e)
			if err != nil {
				return err
			}
			if f.json {
				if err := writeJSON(e.stdout, report); err != nil {
					return err
				}
			} else {
				fmt.Fprint(e.stdout, report)
			}
			if !report.OK() {
				return &exitError{code: 1}
			}
			return nil
		},
	}
	f.addTo(cmd)
	return cmd
}

func newComposerCommand(e *env) *cobra.Command {
	var f buildFlags
	cmd := &cobra.Command{
		Use:   "composer",
		Short: "Install the store's packages: the store as it runs, in OUT/store",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.withJob(cmd.Context(), e, nil, func(ctx context.Context, j *host.Job, _ *store.Store) error {
				tree, err := j.Install(ctx)
				if err != nil {
					return err
				}
				return f.exportStore(e, tree)
			})
		},
	}
	f.addRunTo(cmd, "the store goes to OUT/store, replacing what is there")
	return cmd
}

func newPrecompileCommand(e *env) *cobra.Command {
	var f buildFlags
	var rel releaseFlags
	cmd := &cobra.Command{
		Use:   "precompile",
		Short: "Install and compile the store, with its static content, in OUT/store",
		Args:  usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := rel.release(cmd.Context(), e, f.source, "latest")
			if err != nil {
				return err
			}
			return f.withJob(cmd.Context(), e, nil, func(ctx context.Context, j *host.Job, _ *store.Store) error {
				tree, err := j.Install(ctx)
				if err != nil {
					return err
				}
				if err := j.Precompile(ctx, tree); err != nil {
					return err
				}
				if err := j.Complete(ctx, tree, r); err != nil {
					return err
				}
				return f.exportStore(e, tree)
			})
		},
	}
	f.addRunTo(cmd, "the store goes to OUT/store, replacing what is there")
	cmd.Flags().StringVar(&rel.contentVersion, "content-version", "", "version in static URLs (default: the time of the store's commit, in seconds)")
	return cmd
}

// exported is what the store that composer and precompile export is called.
const exported = "store"

func (f *buildFlags) exportStore(e *env, tree string) error {
	dst := filepath.Join(f.out, exported)
	if err := host.Export(tree, dst); err != nil {
		return fmt.Errorf("copying the store to %s: %w", dst, err)
	}
	if f.json {
		return writeJSON(e.stdout, map[string]string{"store": dst})
	}
	fmt.Fprintln(e.stdout, dst)
	return nil
}

// check opens the store and checks it against this machine.
func (f *buildFlags) check(ctx context.Context, e *env) (report store.Report, s *store.Store, php store.PHP, err error) {
	if st, err := os.Stat(f.source); err != nil || !st.IsDir() {
		return report, nil, php, &exitError{exitUsage, fmt.Errorf("--source %s: there is no such directory", f.source)}
	}
	s, err = store.Open(os.DirFS(f.source))
	if err != nil {
		return report, nil, php, err
	}
	here, err := host.PHP(ctx, e.environ())
	if err != nil {
		return report, nil, php, err
	}
	secrets, err := f.secrets(e)
	if err != nil {
		return report, nil, php, err
	}
	var credentials store.Credentials
	if auth := secrets["COMPOSER_AUTH"]; auth != "" {
		if credentials, err = store.ParseAuth([]byte(auth)); err != nil {
			return report, nil, php, err
		}
	}
	return s.Check(store.Options{
		Platform:    runtime.GOOS + "/" + runtime.GOARCH,
		PHP:         here,
		Credentials: credentials,
		Memory:      machine.Memory(),
		Locales:     f.locales,
		Themes:      f.themes,
	}), s, *here, nil
}

// environ is what of the environment a build may see.
func (e *env) environ() []string {
	var out []string
	for _, name := range host.PassedVariables() {
		if v, ok := e.lookup(name); ok {
			out = append(out, name+"="+v)
		}
	}
	return out
}

// withJob checks the store, lays out a job and hands it to fn.
// more, if any, adds to what is found out about a store that can be built.
func (f *buildFlags) withJob(ctx context.Context, e *env, more func(*store.Store, store.PHP) ([]store.Finding, error), fn func(context.Context, *host.Job, *store.Store) error) error {
	shards, err := build.ParseShards(f.shards)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	compression, err := layer.ParseCompression(f.compression)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	report, s, php, err := f.check(ctx, e)
	if err != nil {
		return err
	}
	if more != nil && report.OK() {
		findings, err := more(s, php)
		if err != nil {
			return err
		}
		report.Add(findings...)
	}
	if len(report.Findings) > 0 {
		fmt.Fprint(e.stderr, report)
	}
	if err := report.Err(); err != nil {
		return &exitError{code: 1}
	}
	secrets, err := f.secrets(e)
	if err != nil {
		return err
	}
	if secrets, err = f.known(e, secrets); err != nil {
		return err
	}
	cache := f.cache
	if cache == "" {
		if cache, err = e.cacheDir(); err != nil {
			return err
		}
	}
	ignore, err := f.inside(cache)
	if err != nil {
		return err
	}
	planOf := func(s *store.Store) (build.Plan, error) {
		return build.New(build.StoreOf(s, f.themes, f.locales), build.Options{CPUs: f.cpus, Shards: shards, StripTests: !f.keepTests, Ignore: ignore})
	}
	plan, err := planOf(s)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return err
	}
	work, err := os.MkdirTemp(cache, host.WorkPattern)
	if err != nil {
		return err
	}
	defer host.Remove(work)
	if f.noCache {
		cache = ""
	} else if err := host.Prune(cache, e.now().Add(-keepCached)); err != nil {
		fmt.Fprintf(e.stderr, "mck: clearing the cache of old builds: %v\n", err)
	}
	j := &host.Job{
		Runner: &host.Runner{
			Environ:     e.environ(),
			Secrets:     secrets,
			Results:     filepath.Join(work, "results"),
			Cache:       cache,
			Compression: compression,
			Log:         newProgress(e, f.quiet).event,
			Now:         e.now,
		},
		Plan:     plan,
		Source:   f.source,
		Work:     work,
		Parallel: f.cpus,
	}
	if s.ThemesOpen(f.themes) {
		j.Replan = func(tree string) (build.Plan, error) {
			installed, err := s.WithInstalled(os.DirFS(tree))
			if err != nil {
				return build.Plan{}, err
			}
			return planOf(installed)
		}
	}
	return fn(ctx, j, s)
}

// inside lists what this program's results and cache are called in the store,
// where they are in it: a store whose source is "." has its own ./out.
func (f *buildFlags) inside(cache string) ([]string, error) {
	source, err := filepath.Abs(f.source)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, dir := range []string{cache, f.out} {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return nil, err
		}
		rel, err := filepath.Rel(source, abs)
		switch {
		case err != nil || !filepath.IsLocal(rel):
		case rel != ".":
			out = append(out, filepath.ToSlash(rel))
		case dir == f.out:
			out = append(out, build.Magento, build.Nginx, exported)
		default:
			return nil, &exitError{exitUsage, fmt.Errorf("--cache-dir %s is the store itself: name another place", cache)}
		}
	}
	return out, nil
}

// cacheDir is where a user's programs keep what they can do without.
func (e *env) cacheDir() (string, error) {
	if dir, ok := e.lookup("XDG_CACHE_HOME"); ok && filepath.IsAbs(dir) {
		return filepath.Join(dir, "mck"), nil
	}
	if home, ok := e.lookup("HOME"); ok && home != "" {
		return filepath.Join(home, ".cache", "mck"), nil
	}
	return "", &exitError{exitUsage, errors.New("there is neither HOME nor XDG_CACHE_HOME in the environment: name a place with --cache-dir")}
}

// keepCached is how long a cached step that no build used is kept.
const keepCached = 30 * 24 * time.Hour

// releaseFlags tell one build from another.
type releaseFlags struct {
	buildNum, revision, contentVersion string
}

// release completes what the flags leave open from the store's git history.
func (f *releaseFlags) release(ctx context.Context, e *env, source, buildNum string) (build.Release, error) {
	r := build.Release{BuildNum: buildNum, Revision: f.revision, ContentVersion: f.contentVersion, Created: e.now().UTC().Truncate(time.Second)}
	git := host.Git(ctx, source, f.revision)
	if r.Revision == "" {
		r.Revision = git.Revision
	}
	if !git.Time.IsZero() {
		r.Created = git.Time
	}
	r.Source = git.Source
	if err := r.Validate(); err != nil {
		return r, &exitError{exitUsage, err}
	}
	return r, nil
}

func writeJSON(w io.Writer, v any) error { return host.WriteJSON(w, v) }

// built is what build prints as JSON.
type built struct {
	build.Release
	PHP     string           `json:"php"`
	Version string           `json:"magento"`
	Steps   []host.Result    `json:"steps"`
	Images  []host.Assembled `json:"images"`
	Seconds float64          `json:"seconds"`
	// Secrets is what the search for secrets in the images has found.
	Secrets leak.Result `json:"secrets"`
	// Smoke is how the images did when they were run; nil: they were not.
	Smoke *smoke.Report `json:"smoke,omitempty"`
}

// imageFlags are what build needs to know beside what precompile does.
type imageFlags struct {
	releaseFlags
	platforms                        []string
	phpBase, nginxBase, baseRegistry string
}

func newBuildCommand(e *env) *cobra.Command {
	var f buildFlags
	var im imageFlags
	var smoked bool
	cmd := &cobra.Command{
		Use:   "build",
		Short: "Build the store's two images, as OCI layouts OUT/magento2 and OUT/nginx",
		Long: `build installs and compiles the store with this machine's php and composer and
writes its images, magento2 (php-fpm) and nginx, as OCI image layouts. Skopeo,
crane and 'mck push' read them. No container engine is needed.

A base is a registry's image (php:8.3-fpm-bookworm), an OCI layout (oci:DIR), an
OCI archive (oci-archive:FILE) or scratch. The php base must have the extensions
that the store needs; 'dagger call php-base' makes one.`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			done, err := f.build(cmd.Context(), e, im)
			if err != nil {
				return err
			}
			if smoked {
				report, err := f.smokeBuilt(cmd.Context(), e, cmd.Flags().Changed("smoke"))
				if err != nil {
					return err
				}
				done.Smoke = report
			}
			if f.json {
				return writeJSON(e.stdout, done)
			}
			if done.Smoke != nil && !f.quiet {
				fmt.Fprint(e.stderr, done.Smoke)
			}
			if err := host.PrintImages(e.stdout, done.Images); err != nil {
				return err
			}
			fmt.Fprintf(e.stdout, "build %s of %s in %.1f s: %s, %s\n", done.BuildNum, done.Version, done.Seconds, filepath.Join(f.out, build.Magento), filepath.Join(f.out, build.Nginx))
			return nil
		},
	}
	f.addRunTo(cmd, "the images go to OUT/magento2 and OUT/nginx, replacing what is there")
	fl := cmd.Flags()
	fl.BoolVar(&smoked, "smoke", true, "run the images as a shop and ask whether it serves, where this machine can (see 'mck smoke --help'); given expressly, a machine that cannot fails the build")
	fl.StringVar(&im.buildNum, "build-num", "latest", "the build's number, and its images' tag")
	fl.StringVar(&im.revision, "revision", "", "the commit that is built (default: the commit of the store's git repository)")
	fl.StringVar(&im.contentVersion, "content-version", "", "version in static URLs (default: the time of the commit, in seconds)")
	fl.StringSliceVar(&im.platforms, "platform", []string{image.DefaultPlatform}, "the images' platforms (linux/amd64,linux/arm64): of several there is an index; the store itself is the same on all")
	fl.StringVar(&im.phpBase, "php-base", "", "base of image magento2 (default: the official php-fpm image of this machine's PHP)")
	fl.StringVar(&im.nginxBase, "nginx-base", build.NginxImage, "base of image nginx")
	fl.StringVar(&im.baseRegistry, "base-registry", "", "registry to look for the bases in before their own, as tcp://127.0.0.1:5000: a mirror")
	return cmd
}

// build makes the images and writes them to f.out.
func (f *buildFlags) build(ctx context.Context, e *env, im imageFlags) (done built, err error) {
	start := e.now()
	r, err := im.release(ctx, e, f.source, im.buildNum)
	if err != nil {
		return done, err
	}
	if err := checkPlatforms(im.platforms); err != nil {
		return done, &exitError{exitUsage, err}
	}
	mirror, err := mirrorOf(im.baseRegistry)
	if err != nil {
		return done, &exitError{exitUsage, err}
	}
	bases := make([]host.Bases, len(im.platforms))
	var php string
	open := func(s *store.Store, here store.PHP) ([]store.Finding, error) {
		php = minor(here.Version)
		ref := im.phpBase
		if ref == "" { // what builds the store suits it, and is what had better run it
			ref = build.PHPImage(php)
		}
		var found []store.Finding
		for i, platform := range im.platforms {
			bases[i] = host.Bases{build.Magento: {Ref: build.Pinned(ref)}, build.Nginx: {Ref: build.Pinned(im.nginxBase)}}
			if err := bases[i].Open(ctx, platform, mirror...); err != nil {
				return nil, fmt.Errorf("%w. Another can be named with --php-base and --nginx-base: of a registry that is reached from here, oci:DIR, or scratch", err)
			}
			about, err := checkBase(bases[i][build.Magento], s, here)
			if err != nil {
				return nil, err
			}
			if i == 0 || !slices.Equal(found, about) {
				found = append(found, about...)
			}
		}
		if line := build.Unpinned(build.Pinned(ref), build.Pinned(im.nginxBase)); line != "" && !f.quiet {
			fmt.Fprintln(e.stderr, "mck: "+line)
		}
		return found, nil
	}
	err = f.withJob(ctx, e, open, func(ctx context.Context, j *host.Job, s *store.Store) error {
		tree, err := j.Install(ctx)
		if err != nil {
			return err
		}
		if err := j.Precompile(ctx, tree); err != nil {
			return err
		}
		layers, err := j.Layers()
		if err != nil {
			return err
		}
		var images []host.Assembled
		for i, platform := range im.platforms {
			some, err := j.Runner.Images(ctx, tree, r, platform, layers, bases[i])
			if err != nil {
				return err
			}
			images = append(images, some...)
		}
		found, err := j.Runner.SearchSecrets(ctx, tree, images, j.Plan.Allowed)
		if err != nil {
			return err
		}
		if err := host.WriteLayouts(f.out, r, images); err != nil {
			return err
		}
		steps, err := j.Results()
		if err != nil {
			return err
		}
		done = built{Release: r, PHP: php, Version: s.MagentoVersion(), Steps: steps, Images: images, Secrets: found, Seconds: e.now().Sub(start).Seconds()}
		return nil
	})
	return done, err
}

// minor is a version's release line: "8.3" of "8.3.12".
func minor(version string) string {
	parts := strings.SplitN(version, ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".")
}
