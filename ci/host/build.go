package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/magecloudkit/pipeline/ci/build"
	"github.com/magecloudkit/pipeline/ci/layer"
)

// Job is one build of one store on this machine.
type Job struct {
	Runner *Runner
	Plan   build.Plan
	// Replan makes the plan of the steps after the installation, for a store whose
	// packages have to be there before its themes are known; nil: Plan is all. It is
	// given what composer has installed.
	Replan func(packages fs.FS) (build.Plan, error)
	// Source is the store. It is only read.
	Source string
	// Work is an empty directory for trees, on the file system of Runner.Cache so
	// that trees can share their files.
	Work string
	// Parallel is how many steps run at a time; at least 1.
	Parallel int

	packages *packages
	own      listing // what of the store is laid over them
	files    files   // what the installed store consists of
	enabled  string  // directory of what the commands of the step app have changed; empty: nothing
}

// Install runs composer and packs what is the store's own, or takes the layers of
// both from the cache. The installed store is a tree only when something asks for
// one: a step that has to run, or Tree.
func (j *Job) Install(ctx context.Context) error {
	if err := j.composer(ctx); err != nil {
		return err
	}
	app, err := j.step(build.App)
	if err != nil {
		return err
	}
	if j.own, err = hashed(j.Source).pick(*app.Overlay); err != nil {
		return fmt.Errorf("reading the store: %w", err)
	}
	j.files = laid{j.packages, j.own}
	if err := j.app(ctx, app); err != nil || j.Replan == nil {
		return err
	}
	replan := func() (err error) {
		j.Plan, err = j.Replan(j.packages)
		return err
	}
	if err := replan(); !errors.Is(err, errDamaged) {
		return err
	}
	if err := j.packages.ready(ctx, build.Files{}); err != nil {
		return err
	}
	return replan()
}

// app runs the step that lays the store over its packages. Where it does no more
// than that, it needs nothing but the store's own part.
func (j *Job) app(ctx context.Context, step build.Step) error {
	start := j.Runner.Now()
	key, err := j.Runner.key(ctx, step, j.files)
	if err != nil {
		return err
	}
	_, ok, err := j.Runner.reuse(step, key, start)
	if err != nil {
		return err
	}
	if !ok {
		part := build.Files{}
		if len(step.Commands) == 0 {
			part = *step.Overlay
		}
		tree := j.tree(build.App)
		if err := j.lay(ctx, tree, part); err != nil {
			return err
		}
		if _, err := j.Runner.run(ctx, step, tree, key, start); err != nil {
			return err
		}
		if err := Remove(tree); err != nil {
			return err
		}
	}
	if len(step.Commands) == 0 {
		return nil
	}
	// What the commands have changed is in the layer, whichever build ran them.
	res, err := j.Runner.Result(step.Name)
	if err != nil {
		return err
	}
	enabled := j.tree("enabled")
	for _, l := range res.Layers {
		if l.Name == build.LayerApp {
			if err := j.Runner.unpack(ctx, l, enabled, build.AppRoot); err != nil {
				return err
			}
		}
	}
	changed, err := hashed(enabled).pick(build.Files{})
	if err != nil {
		return err
	}
	j.files, j.enabled = laid{j.files, changed}, enabled
	return nil
}

// Tree lays out the installed store, as a tree that is the caller's own.
func (j *Job) Tree(ctx context.Context) (string, error) {
	tree := j.tree("store")
	if err := Remove(tree); err != nil {
		return "", err
	}
	return tree, j.lay(ctx, tree, build.Files{})
}

// Facts is a directory with what images are made of besides layers: the store's
// own files for them, and the list of its packages. Runner.Images and
// Runner.SearchSecrets take it for the installed store.
func (j *Job) Facts(ctx context.Context) (string, error) {
	app, err := j.step(build.App)
	if err != nil {
		return "", err
	}
	dir := j.tree("facts")
	sel := build.Files{Include: []string{"docker/**"}, Exclude: app.Overlay.Exclude}
	own, err := j.own.pick(sel)
	if err != nil {
		return "", err
	}
	if err := copyStore(j.Source, dir, sel, own); err != nil {
		return "", err
	}
	const list = "vendor/composer/installed.json"
	raw, err := fs.ReadFile(j.packages, list)
	if errors.Is(err, errDamaged) {
		if err = j.packages.ready(ctx, build.Files{}); err == nil {
			raw, err = fs.ReadFile(j.packages, list)
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return dir, nil
	}
	if err != nil {
		return "", err
	}
	return dir, writeInto(dir, list, string(raw))
}

// lay makes a tree of the installed store, or of a part of it. Its files are the
// packages' own, except those that commands of a build write in place.
func (j *Job) lay(ctx context.Context, tree string, part build.Files) error {
	if err := j.packages.ready(ctx, part); err != nil {
		return err
	}
	if err := clone(j.packages.dir, tree, part, writtenInPlace); err != nil {
		return fmt.Errorf("copying the installed packages: %w", err)
	}
	app, err := j.step(build.App)
	if err != nil {
		return err
	}
	if err := copyStore(j.Source, tree, *app.Overlay, j.own); err != nil {
		return err
	}
	if j.enabled == "" {
		return nil
	}
	return copyFiles(j.enabled, tree, build.Files{})
}

// writtenInPlace are the files that Magento and composer overwrite rather than
// replace; trees must not share them.
var writtenInPlace = build.Files{Include: []string{"app/etc/**", "vendor/autoload.php", "vendor/composer/*", "pub/static/*", "var/**", "generated/**"}}

// Precompile compiles and deploys static content side by side.
func (j *Job) Precompile(ctx context.Context) error {
	group, branches := errgroup.WithContext(ctx)
	group.SetLimit(max(1, j.Parallel))
	var last []build.Step
	for _, step := range j.Plan.Steps {
		switch {
		case len(step.Merge) > 0:
			last = append(last, step)
		case step.From == build.App:
			group.Go(func() error { return j.branch(branches, step) })
		}
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, step := range last {
		merged := j.tree(step.Name)
		if err := os.MkdirAll(merged, 0o755); err != nil {
			return err
		}
		if _, err := j.Runner.Run(ctx, step, merged); err != nil {
			return err
		}
	}
	return nil
}

// branch runs a step in a tree of its own, unless its layers are known already.
func (j *Job) branch(ctx context.Context, step build.Step) error {
	start := j.Runner.Now()
	key, err := j.Runner.key(ctx, step, j.files)
	if err != nil {
		return err
	}
	if _, ok, err := j.Runner.reuse(step, key, start); ok || err != nil {
		return err
	}
	own := j.tree(step.Name)
	if err := j.lay(ctx, own, build.Files{}); err != nil {
		return fmt.Errorf("a tree for step %s: %w", step.Name, err)
	}
	_, err = j.Runner.run(ctx, step, own, key, start)
	return errors.Join(err, Remove(own))
}

// Complete lays out the installed store and adds what Precompile made of it, and
// the version of its static content.
func (j *Job) Complete(ctx context.Context, rel build.Release) (string, error) {
	tree, err := j.Tree(ctx)
	if err != nil {
		return "", err
	}
	return tree, j.Runner.Complete(ctx, j.Plan, tree, rel)
}

// Complete unpacks the layers of compile and static content into an installed
// store's tree.
func (r *Runner) Complete(ctx context.Context, plan build.Plan, tree string, rel build.Release) error {
	for _, name := range []string{build.Compile, build.Static} {
		res, err := r.Result(name)
		if err != nil {
			return err
		}
		for _, l := range res.Layers {
			if build.OnlyServed(l.Name) {
				continue
			}
			if err := r.unpack(ctx, l, tree, build.AppRoot); err != nil {
				return err
			}
		}
	}
	d, err := r.Pack(ctx, "", rel.Layer())
	if err != nil {
		return err
	}
	return r.unpack(ctx, d, tree, build.AppRoot)
}

// Results are those of every step of the plan, which must have run.
func (j *Job) Results() ([]Result, error) {
	var out []Result
	for _, s := range j.Plan.Steps {
		res, err := j.Runner.Result(s.Name)
		if err != nil {
			return nil, err
		}
		out = append(out, res)
	}
	return out, nil
}

// Layers are the layers that the images are made of, in the plan's order. Those
// of a shard are not among them: the merged content's are.
func (j *Job) Layers() ([]layer.Descriptor, error) {
	results, err := j.Results()
	if err != nil {
		return nil, err
	}
	var out []layer.Descriptor
	for _, r := range results {
		if !strings.HasPrefix(r.Step, build.Static+".") {
			out = append(out, r.Layers...)
		}
	}
	return out, nil
}

// Export copies a finished tree to a place of its own, which appears when it is
// complete and replaces what was there.
func Export(tree, dst string) error {
	dst, err := filepath.Abs(dst)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(dst), 0o755); err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dst), ".new-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := os.Chmod(tmp, 0o755); err != nil {
		return err
	}
	if err := copyFiles(tree, tmp, build.Files{}); err != nil {
		return err
	}
	if err := os.RemoveAll(dst); err != nil {
		return err
	}
	return os.Rename(tmp, dst)
}

func (j *Job) tree(step string) string { return filepath.Join(j.Work, step) }

func (j *Job) step(name string) (build.Step, error) {
	s, ok := j.Plan.Step(name)
	if !ok {
		return s, fmt.Errorf("the plan has no step %s", name)
	}
	return s, nil
}
