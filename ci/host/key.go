package host

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/magecloudkit/pipeline/ci/build"
	"github.com/magecloudkit/pipeline/ci/layer"
)

// keyVersion changes when what a step leaves for the same inputs changes.
const keyVersion = 2

// Key names what a step's layers are made from: its commands, the tools that run
// them, the keys of the steps that it builds on and the files that decide its
// output. It is empty for a step that says nothing about reuse, or that builds on
// such a step.
func (r *Runner) Key(ctx context.Context, step build.Step, tree string) (string, error) {
	return r.key(ctx, step, hashed(tree))
}

func (r *Runner) key(ctx context.Context, step build.Step, from files) (string, error) {
	if step.Reuse == nil {
		return "", nil
	}
	tools, err := r.Tools(ctx)
	if err != nil {
		return "", &StepError{Step: step.Name, Cause: err.Error()}
	}
	k := struct {
		Version     int
		Step        build.Step
		Compression layer.Compression
		Tools       string
		Of          []string
		Files       listing
	}{Version: keyVersion, Step: step, Compression: r.Compression, Tools: tools}
	for _, name := range step.Reuse.Of {
		res, err := r.Result(name)
		if err != nil {
			return "", err
		}
		if res.Key == "" {
			return "", nil
		}
		k.Of = append(k.Of, res.Key)
	}
	if !empties(step.Reuse.Files) {
		found, err := from.pick(step.Reuse.Files)
		if err != nil {
			return "", &StepError{Step: step.Name, Cause: err.Error()}
		}
		k.Files = append(listing{}, found...)
	}
	// Which files were looked for does not matter, but what was found.
	k.Step.Overlay, k.Step.Reuse = nil, nil
	raw, err := json.Marshal(k)
	if err != nil {
		return "", err
	}
	return hexSum(raw), nil
}

func empties(f build.Files) bool { return len(f.Include) == 0 && len(f.Exclude) == 0 }

// Tools are the versions of php and composer that this runner's commands use.
func (r *Runner) Tools(ctx context.Context) (string, error) {
	r.toolsOnce.Do(func() {
		for _, args := range [][]string{
			{"php", "-r", `echo PHP_VERSION, " ", implode(" ", get_loaded_extensions()), "\n";`},
			{"composer", "--version", "--no-ansi", "--no-plugins"},
		} {
			cmd := program(ctx, r.Environ, args[0], args[1:]...)
			cmd.Env = append(cmd.Env, "COMPOSER_ALLOW_SUPERUSER=1")
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			out, err := cmd.Output()
			if errors.Is(err, exec.ErrNotFound) {
				r.toolsErr = fmt.Errorf("there is no %s on the PATH: install it, or build with `dagger call build`, which brings its own", args[0])
				return
			}
			if err != nil {
				r.toolsErr = fmt.Errorf("%s: %w: %s", strings.Join(args[:2], " "), err, strings.TrimSpace(stderr.String()))
				return
			}
			r.toolsText += string(out)
		}
	})
	return r.toolsText, r.toolsErr
}

// Result reads what a step of this build left.
func (r *Runner) Result(step string) (Result, error) {
	var res Result
	for _, dir := range r.dirs() {
		raw, err := os.ReadFile(resultFile(dir, step))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = json.Unmarshal(raw, &res)
		}
		if err != nil {
			return res, fmt.Errorf("the result of step %s: %s: %w", step, resultFile(dir, step), err)
		}
		return res, nil
	}
	return res, fmt.Errorf("step %s has left no result in %s", step, strings.Join(r.dirs(), ", "))
}

func resultFile(dir, step string) string { return filepath.Join(dir, "steps", step+".json") }

func (r *Runner) dirs() []string { return append([]string{r.Results}, r.Earlier...) }

// Blob opens the blob of a layer that this or an earlier step packed.
func (r *Runner) Blob(d layer.Descriptor) (io.ReadCloser, error) {
	var failed error
	for _, dir := range r.dirs() {
		blob, err := layer.Blobs(dir)(d)
		if err == nil {
			return blob, nil
		}
		failed = errors.Join(failed, err)
	}
	return nil, failed
}

// merge unpacks the layers of the steps that step puts together.
func (r *Runner) merge(ctx context.Context, step build.Step, tree string) error {
	if len(step.Merge) == 0 {
		return nil
	}
	for _, name := range step.Merge {
		res, err := r.Result(name)
		if err != nil {
			return err
		}
		part, err := os.MkdirTemp(filepath.Dir(tree), ".part-*")
		if err != nil {
			return err
		}
		defer os.RemoveAll(part)
		for _, l := range res.Layers {
			if err := r.unpack(ctx, l, part, ""); err != nil {
				return err
			}
		}
		if err := moveInto(part, tree, step.Joined); err != nil {
			return &StepError{Step: step.Name, Cause: fmt.Sprintf("shard %s: %v", name, err), Hint: "build with --shards=none, and tell which module writes this file"}
		}
	}
	return nil
}

func (r *Runner) unpack(ctx context.Context, l layer.Descriptor, tree, strip string) error {
	blob, err := r.Blob(l)
	if err != nil {
		return err
	}
	defer blob.Close()
	if err := layer.Unpack(ctx, blob, l.MediaType, tree, strip); err != nil {
		return fmt.Errorf("unpacking layer %s: %w", l.Name, err)
	}
	return nil
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
