package main

import (
	"context"
	"errors"
	"fmt"
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
	if !report.OK() {
		fmt.Fprint(e.stderr, report)
		return &report, &exitError{code: 1, err: errors.New("the images were built, and do not serve: see above. --smoke=false builds without running them")}
	}
	return &report, nil
}
