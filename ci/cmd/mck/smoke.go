package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/magecloudkit/pipeline/ci/host"
	"github.com/magecloudkit/pipeline/ci/smoke"
	"github.com/magecloudkit/pipeline/ci/smoke/hostrun"
	"github.com/magecloudkit/pipeline/ci/verbs"
)

func newSmokeCommand(e *env) *cobra.Command {
	return verb(e, "smoke", cobra.NoArgs, func(cmd *cobra.Command, e *env, s *verbs.Smoke, _ []string) error {
		report, err := runSmoke(cmd.Context(), e, s.Images, s.Keep)
		if err != nil {
			return err
		}
		if err := keepSmoke(s.Images, report); err != nil {
			return err
		}
		if s.JUnit != "" {
			if err := hostrun.WriteJUnit(s.JUnit, "smoke of "+s.Images, report); err != nil {
				return err
			}
		}
		if s.JSON.JSON {
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
	})
}

// runSmoke runs the images in a directory of their own.
func runSmoke(ctx context.Context, e *env, images string, keep bool) (smoke.Report, error) {
	layouts, err := filepath.Abs(images)
	if err != nil {
		return smoke.Report{}, err
	}
	work, err := os.MkdirTemp("", "mck-smoke-*")
	if err != nil {
		return smoke.Report{}, err
	}
	if keep {
		fmt.Fprintf(e.stderr, "mck: files and logs are in %s\n", work)
	} else {
		defer host.Remove(work)
	}
	if err := os.Chmod(work, 0o755); err != nil { // the containers' users are others
		return smoke.Report{}, err
	}
	return hostrun.Run(ctx, hostrun.Options{Layouts: layouts, Work: work, Now: e.now})
}

// smokeBuilt is smoke as a part of build: wanted expressly, a machine that cannot run the images fails it.
func smokeBuilt(ctx context.Context, e *env, images string, expressly bool) (*smoke.Report, error) {
	report, err := runSmoke(ctx, e, images, false)
	var unavailable *hostrun.Unavailable
	if errors.As(err, &unavailable) && !expressly {
		fmt.Fprintln(e.stderr, err)
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if err := keepSmoke(images, report); err != nil {
		return nil, err
	}
	if !report.OK() {
		fmt.Fprint(e.stderr, report)
		return &report, &exitError{code: 1, err: errors.New("the images were built, and do not serve: see above. --smoke=false builds without running them")}
	}
	return &report, nil
}

// smokeBeforePush is smoke as a part of push. Images that were run where they were built, and served, are not run again.
func smokeBeforePush(ctx context.Context, e *env, images string, expressly bool) error {
	last, err := lastSmoke(images)
	if err != nil {
		return err
	}
	if last != nil && last.OK() {
		fmt.Fprintf(e.stderr, "push: these images have been run as a shop: %d checks, all well\n", len(last.Checks))
		return nil
	}
	report, err := smokeBuilt(ctx, e, images, expressly)
	if report != nil && !report.OK() {
		return &exitError{exitConflict, errors.New("the images do not serve: see above. Nothing was pushed; --smoke=false pushes them all the same")}
	}
	if err == nil && report != nil {
		fmt.Fprintf(e.stderr, "push: the images serve as a shop: %d checks, all well\n", len(report.Checks))
	}
	return err
}

// smokeFile is where it stands, beside the images, what they did when they were run.
const smokeFile = "smoke.json"

// smokeRecord is what stands in it. Digests are those of the layouts' index.json.
type smokeRecord struct {
	Digests map[string]string `json:"digests"`
	smoke.Report
}

// layoutDigests tell the images in a directory from any others.
func layoutDigests(images string) (map[string]string, error) {
	digests := map[string]string{}
	for _, name := range imageNames {
		index, err := os.ReadFile(filepath.Join(images, name, "index.json"))
		if err != nil {
			return nil, fmt.Errorf("%w. 'mck build --out %s' makes the images", err, images)
		}
		digests[name] = fmt.Sprintf("sha256:%x", sha256.Sum256(index))
	}
	return digests, nil
}

func keepSmoke(images string, report smoke.Report) error {
	digests, err := layoutDigests(images)
	if err != nil {
		return err
	}
	raw, err := json.MarshalIndent(smokeRecord{digests, report}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(images, smokeFile), append(raw, '\n'), 0o644)
}

// lastSmoke is how the images did when they were run; nil: they were not.
func lastSmoke(images string) (*smoke.Report, error) {
	digests, err := layoutDigests(images)
	if err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(filepath.Join(images, smokeFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var r smokeRecord
	if json.Unmarshal(raw, &r) != nil || !maps.Equal(r.Digests, digests) { // of other images
		return nil, nil
	}
	return &r.Report, nil
}
