package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/magecloudkit/pipeline/ci/build"
	"github.com/magecloudkit/pipeline/ci/documents"
	"github.com/magecloudkit/pipeline/ci/host"
	"github.com/magecloudkit/pipeline/ci/layer"
	"github.com/magecloudkit/pipeline/ci/machine"
	"github.com/magecloudkit/pipeline/ci/store"
	"github.com/magecloudkit/pipeline/ci/verbs"
)

// builder runs the steps of a build with this machine's programs.
type builder struct {
	*env
	verbs.Steps
}

// exported is what the store that composer and precompile export is called.
const exported = "store"

// logs is where all that the steps' commands print is kept, below the results.
const logs = "log"

// export hands out the store as it runs.
func (b *builder) export(tree string) error {
	dst := filepath.Join(b.Out, exported)
	if err := host.Export(tree, dst); err != nil {
		return fmt.Errorf("copying the store to %s: %w", dst, err)
	}
	if b.JSON.JSON {
		return writeJSON(b.stdout, documents.Exported{Store: dst})
	}
	fmt.Fprintln(b.stdout, dst)
	return nil
}

// check opens the store and checks it against this machine.
func (b *builder) check(ctx context.Context) (report store.Report, s *store.Store, php store.PHP, err error) {
	if st, err := os.Stat(b.Source); err != nil || !st.IsDir() {
		return report, nil, php, &exitError{exitUsage, fmt.Errorf("--source %s: there is no such directory", b.Source)}
	}
	s, err = store.Open(os.DirFS(b.Source))
	if err != nil {
		return report, nil, php, err
	}
	here, err := host.PHP(ctx, b.environ())
	if err != nil {
		return report, nil, php, err
	}
	secrets, err := b.secrets()
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
		Locales:     b.Locales,
		Themes:      b.Themes,
	}), s, *here, nil
}

// more adds to what is found out about a store that can be built.
type more func(context.Context, *store.Store, store.PHP) ([]store.Finding, error)

// withJob checks the store, lays out a job and hands it to fn. What it has to say is asked for first, if anything is.
func (b *builder) withJob(ctx context.Context, more more, fn func(context.Context, *host.Job, *store.Store) error) error { //nolint:funlen // from settings to a job, one after the other
	shards, err := build.ParseShards(b.Shards)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	compression, err := layer.ParseCompression(b.Compression)
	if err != nil {
		return &exitError{exitUsage, err}
	}
	if b.CPUs < 0 {
		return &exitError{exitUsage, fmt.Errorf("--cpus %d is negative", b.CPUs)}
	}
	s, err := b.buildable(ctx, more)
	if err != nil {
		return err
	}
	secrets, err := b.known()
	if err != nil {
		return err
	}
	cache, err := b.cacheDir()
	if err != nil {
		return err
	}
	ignore, err := b.inside(cache)
	if err != nil {
		return err
	}
	cpus := cmp.Or(b.CPUs, runtime.NumCPU())
	planOf := func(s *store.Store) (build.Plan, error) {
		return build.New(build.StoreOf(s, b.Themes, b.Locales), build.Options{CPUs: cpus, Shards: shards, StripTests: !b.KeepTests, Ignore: ignore})
	}
	plan, err := planOf(s)
	if err != nil {
		return err
	}
	work, kept, err := b.workDir(cache)
	if err != nil {
		return err
	}
	defer host.Remove(work)
	j := &host.Job{
		Runner: &host.Runner{
			Environ:     b.environ(),
			Secrets:     secrets,
			Results:     filepath.Join(work, "results"),
			Logs:        filepath.Join(b.Out, logs),
			Cache:       kept,
			Compression: compression,
			Log:         newProgress(b.env, b.Quiet).event,
			Now:         b.now,
		},
		Plan:     plan,
		Source:   b.Source,
		Work:     work,
		Parallel: cpus,
	}
	if s.ThemesOpen(b.Themes) {
		j.Replan = func(packages fs.FS) (build.Plan, error) {
			installed, err := s.WithInstalled(packages)
			if err != nil {
				return build.Plan{}, err
			}
			return planOf(installed)
		}
	}
	return fn(ctx, j, s)
}

// buildable opens and checks the store, and says what was found. The error says that it cannot be built.
func (b *builder) buildable(ctx context.Context, more more) (*store.Store, error) {
	report, s, php, err := b.check(ctx)
	if err != nil {
		return nil, err
	}
	if more != nil && report.OK() {
		findings, err := more(ctx, s, php)
		if err != nil {
			return nil, err
		}
		report.Add(findings...)
	}
	if len(report.Findings) > 0 {
		fmt.Fprint(b.stderr, report)
	}
	if report.Err() != nil {
		return nil, &exitError{code: 1}
	}
	return s, nil
}

// workDir makes a directory for one build beside the cache, and clears the cache of what is old. kept is the cache that
// the build may use: empty for none.
func (b *builder) workDir(cache string) (work, kept string, err error) {
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", "", err
	}
	if work, err = os.MkdirTemp(cache, host.WorkPattern); err != nil {
		return "", "", err
	}
	if b.NoCache {
		return work, "", nil
	}
	if err := host.Prune(cache, b.now().Add(-keepCached)); err != nil {
		fmt.Fprintf(b.stderr, "mck: clearing the cache of old builds: %v\n", err)
	}
	return work, cache, nil
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

// inside lists what this program's results and cache are called in the store,
// where they are in it: a store whose source is "." has its own ./out.
func (b *builder) inside(cache string) ([]string, error) {
	source, err := filepath.Abs(b.Source)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, dir := range []string{cache, b.Out} {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return nil, err
		}
		rel, err := filepath.Rel(source, abs)
		switch {
		case err != nil || !filepath.IsLocal(rel):
		case rel != ".":
			out = append(out, filepath.ToSlash(rel))
		case dir == b.Out:
			out = append(out, build.Magento, build.Nginx, exported, logs, smokeFile)
		default:
			return nil, &exitError{exitUsage, fmt.Errorf("--cache-dir %s is the store itself: name another place", cache)}
		}
	}
	return out, nil
}

// cacheDir is the cache that is named, or where a user's programs keep what they can do without.
func (b *builder) cacheDir() (string, error) {
	if b.CacheDir != "" {
		return b.CacheDir, nil
	}
	if dir, ok := b.lookup("XDG_CACHE_HOME"); ok && filepath.IsAbs(dir) {
		return filepath.Join(dir, "mck"), nil
	}
	if home, ok := b.lookup("HOME"); ok && home != "" {
		return filepath.Join(home, ".cache", "mck"), nil
	}
	return "", &exitError{exitUsage, errors.New("there is neither HOME nor XDG_CACHE_HOME in the environment: name a place with --cache-dir")}
}

// keepCached is how long a cached step that no build used is kept.
const keepCached = 30 * 24 * time.Hour

// release completes what the settings leave open from the store's git history.
func (b *builder) release(ctx context.Context, r build.Release) (build.Release, error) {
	r.Created = b.now().UTC().Truncate(time.Second)
	git := host.Git(ctx, b.Source, r.Revision)
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

func writeJSON(w io.Writer, v any) error { return documents.Write(w, v) }
