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
)

func newSmokeCommand(e *env) *cobra.Command {
	var images string
	var json, keep bool
	cmd := &cobra.Command{
		Use:   "smoke",
		Short: "Run a build's two images as a shop on this machine, and ask whether it serves",
		Long: `smoke runs the images that 'mck build' left: not root, with a read-only root and
the documented volumes, over this machine's own php-fpm and nginx, with MariaDB,
Redis or Valkey and a stand-in for the search engine beside them. It installs the
store into an empty database and asks for pages, all that they name, paths that
must be shut, keys in Redis, errors in the logs, and requests that are under way
when a container is stopped.

It needs root. The exit code is 1 if something failed, or if this machine cannot
run the images.`,
		Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			report, err := runSmoke(cmd.Context(), e, images, keep)
			if err != nil {
				return err
			}
			if json {
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
	cmd.Flags().StringVar(&images, "images", "out", "directory with the OCI layouts magento2 and nginx")
	cmd.Flags().BoolVar(&json, "json", false, "print the result as JSON")
	cmd.Flags().BoolVar(&keep, "keep", false, "keep the containers' files and logs, and say where")
	return cmd
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
func (f *buildFlags) smokeBuilt(ctx context.Context, e *env, expressly bool) (*smoke.Report, error) {
	report, err := runSmoke(ctx, e, f.out, false)
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
