package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
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
	// packages have to be there before its themes are known; nil: Plan is all.
	Replan func(tree string) (build.Plan, error)
	// Source is the store. It is only read.
	Source string
	// Work is an empty directory for trees, on the file system of Runner.Cache so
	// that trees can share their files.
	Work string
	// Parallel is how many steps run at a time; at least 1.
	Parallel int
}

// installed is where the cache keeps the trees that composer made, by key.
const installed = "installed"

// writtenInPlace are the files that Magento and composer overwrite rather than
// replace; trees must not share them.
var writtenInPlace = build.Files{Include: []string{"app/etc/**", "vendor/autoload.php", "vendor/composer/*", "pub/static/*", "var/**", "generated/**"}}

// Install runs composer and lays the store over its packages; it returns the
// tree, which is the job's own.
func (j *Job) Install(ctx context.Context) (string, error) {
	packages, err := j.composer(ctx)
	if err != nil {
		return "", err
	}
	app, err := j.step(build.App)
	if err != nil {
		return "", err
	}
	tree := j.tree(build.App)
	if err := clone(packages, tree, writtenInPlace); err != nil {
		return "", fmt.Errorf("copying the installed packages: %w", err)
	}
	if err := copyStore(j.Source, tree, *app.Overlay); err != nil {
		return "", fmt.Errorf("reading the store: %w", err)
	}
	if _, err := j.Runner.Run(ctx, app, tree); err != nil || j.Replan == nil {
		return tree, err
	}
	j.Plan, err = j.Replan(tree)
	return tree, err
}

// composer returns a tree with the store's packages: an earlier one of the same
// key, or a new one. It may be shared with other builds and is never written.
func (j *Job) composer(ctx context.Context) (string, error) {
	step, err := j.step(build.Composer)
	if err != nil {
		return "", err
	}
	start := j.Runner.Now()
	key, err := j.Runner.Key(ctx, step, j.Source)
	if err != nil {
		return "", err
	}
	kept := filepath.Join(j.Runner.Cache, installed, key)
	useKept := key != "" && j.Runner.Cache != ""
	if useKept && complete(kept) {
		if _, ok, err := j.Runner.reuse(step, key, start); ok || err != nil {
			now := j.Runner.Now()
			return filepath.Join(kept, keptTree), errors.Join(err, os.Chtimes(kept, now, now))
		}
	}
	tree := j.tree(build.Composer)
	if err := copyStore(j.Source, tree, *step.Overlay); err != nil {
		return "", fmt.Errorf("reading the store: %w", err)
	}
	if _, err := j.Runner.run(ctx, step, tree, key, start); err != nil {
		return "", err
	}
	if !useKept {
		return tree, nil
	}
	return keep(tree, kept)
}

// What is kept of composer's run: its tree, and the list of what is in that.
const (
	keptTree = "tree"
	keptList = "files"
)

// keep offers a tree to later builds, and returns where it is from now on.
func keep(tree, kept string) (string, error) {
	files, err := hashFiles(tree, build.Files{})
	if err != nil {
		return "", err
	}
	tmp := tree + ".kept"
	if err := os.MkdirAll(tmp, 0o755); err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(tmp, keptList), list(files), 0o644); err != nil {
		return "", err
	}
	if err := os.Rename(tree, filepath.Join(tmp, keptTree)); err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(kept), 0o755); err != nil {
		return "", err
	}
	if complete(kept) {
		return filepath.Join(kept, keptTree), nil // another build was quicker; what it left is the same
	}
	if err := discard(kept); err != nil {
		return "", err
	}
	if err := os.Rename(tmp, kept); err != nil {
		return filepath.Join(tmp, keptTree), nil // another build was quicker by a moment
	}
	return filepath.Join(kept, keptTree), nil
}

// complete says whether a kept tree is as it was. A cache is where clean-ups
// delete what looks old, and files of packages have the dates of their releases;
// its files are those of other trees, too, where a command that writes them in
// place would write them here; and disks flip bytes.
func complete(kept string) bool {
	was, err := os.ReadFile(filepath.Join(kept, keptList))
	if err != nil {
		return false
	}
	is, err := hashFiles(filepath.Join(kept, keptTree), build.Files{})
	return err == nil && bytes.Equal(was, list(is))
}

// list writes down what files hold: a line a file, with what is needed to tell
// that it is as it was.
func list(files []*fileKey) []byte {
	var b []byte
	for _, k := range files {
		b = append(append(b, k.Kind...), ' ')
		b = append(strconv.AppendQuote(b, k.Sum), ' ')
		b = append(strconv.AppendQuote(b, k.Path), '\n')
	}
	return b
}

// discard removes a tree that others may be looking for: its name goes at once.
func discard(dir string) error {
	tmp, err := os.MkdirTemp(filepath.Dir(dir), WorkPattern)
	if err != nil {
		return err
	}
	if err := os.Rename(dir, filepath.Join(tmp, filepath.Base(dir))); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(err, os.Remove(tmp))
	}
	return Remove(tmp)
}

// Precompile compiles and deploys static content side by side. tree is what
// Install returned; it is only read.
func (j *Job) Precompile(ctx context.Context, tree string) error {
	group, branches := errgroup.WithContext(ctx)
	group.SetLimit(max(1, j.Parallel))
	var last []build.Step
	for _, step := range j.Plan.Steps {
		switch {
		case len(step.Merge) > 0:
			last = append(last, step)
		case step.From == build.App:
			group.Go(func() error { return j.branch(branches, step, tree) })
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
func (j *Job) branch(ctx context.Context, step build.Step, tree string) error {
	start := j.Runner.Now()
	key, err := j.Runner.Key(ctx, step, tree)
	if err != nil {
		return err
	}
	if _, ok, err := j.Runner.reuse(step, key, start); ok || err != nil {
		return err
	}
	own := j.tree(step.Name)
	if err := clone(tree, own, writtenInPlace); err != nil {
		return fmt.Errorf("copying the installed store for step %s: %w", step.Name, err)
	}
	_, err = j.Runner.run(ctx, step, own, key, start)
	return errors.Join(err, Remove(own))
}

// Complete adds to an installed store's tree what Precompile made of it, and the
// version of its static content.
func (j *Job) Complete(ctx context.Context, tree string, rel build.Release) error {
	return j.Runner.Complete(ctx, j.Plan, tree, rel)
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
