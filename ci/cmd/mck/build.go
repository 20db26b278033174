package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/magecloudkit/pipeline/ci/build"
	"github.com/magecloudkit/pipeline/ci/documents"
	"github.com/magecloudkit/pipeline/ci/host"
	"github.com/magecloudkit/pipeline/ci/store"
	"github.com/magecloudkit/pipeline/ci/verbs"
)

func newCheckCommand(e *env) *cobra.Command {
	return verb(e, "check", cobra.NoArgs, func(cmd *cobra.Command, e *env, s *verbs.Check, _ []string) error {
		b := builder{e, verbs.Steps{Store: s.Store}}
		report, _, _, err := b.check(cmd.Context())
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

func newComposerCommand(e *env) *cobra.Command {
	return verb(e, "composer", cobra.NoArgs, func(cmd *cobra.Command, e *env, s *verbs.Steps, _ []string) error {
		b := builder{e, *s}
		return b.withJob(cmd.Context(), nil, func(ctx context.Context, j *host.Job, _ *store.Store) error {
			if err := j.Install(ctx); err != nil {
				return err
			}
			tree, err := j.Tree(ctx)
			if err != nil {
				return err
			}
			return b.export(tree)
		})
	})
}

func newPrecompileCommand(e *env) *cobra.Command {
	return verb(e, "precompile", cobra.NoArgs, func(cmd *cobra.Command, e *env, s *verbs.Precompile, _ []string) error {
		b := builder{e, s.Steps}
		r, err := b.release(cmd.Context(), build.Release{BuildNum: "latest", ContentVersion: s.ContentVersion})
		if err != nil {
			return err
		}
		return b.withJob(cmd.Context(), nil, func(ctx context.Context, j *host.Job, _ *store.Store) error {
			if err := precompiled(ctx, j); err != nil {
				return err
			}
			tree, err := j.Complete(ctx, r)
			if err != nil {
				return err
			}
			return b.export(tree)
		})
	})
}

// precompiled installs and compiles the store.
func precompiled(ctx context.Context, j *host.Job) error {
	if err := j.Install(ctx); err != nil {
		return err
	}
	return j.Precompile(ctx)
}

func newBuildCommand(e *env) *cobra.Command {
	return verb(e, "build", cobra.NoArgs, func(cmd *cobra.Command, e *env, s *verbs.Build, _ []string) error {
		done, err := buildStore(cmd.Context(), e, s)
		if err != nil {
			return err
		}
		if s.Smoke {
			if done.Smoke, err = smokeBuilt(cmd.Context(), e, s.Out, cmd.Flags().Changed("smoke")); err != nil {
				return err
			}
		}
		if s.JSON.JSON {
			return writeJSON(e.stdout, done)
		}
		if done.Smoke != nil && !s.Quiet {
			fmt.Fprint(e.stderr, done.Smoke)
		}
		if err := host.PrintImages(e.stdout, done.Images); err != nil {
			return err
		}
		fmt.Fprintf(e.stdout, "build %s of %s in %.1f s: %s, %s\n", done.BuildNum, done.Version, done.Seconds, filepath.Join(s.Out, build.Magento), filepath.Join(s.Out, build.Nginx))
		return nil
	})
}

// buildStore makes the images and writes them to s.Out.
func buildStore(ctx context.Context, e *env, s *verbs.Build) (done documents.Built, err error) {
	start := e.now()
	b := builder{e, s.Steps}
	r, err := b.release(ctx, build.Release{BuildNum: s.BuildNum, Revision: s.Revision, ContentVersion: s.ContentVersion})
	if err != nil {
		return done, err
	}
	bases, err := basesOf(e, s)
	if err != nil {
		return done, err
	}
	err = b.withJob(ctx, bases.open, func(ctx context.Context, j *host.Job, st *store.Store) error {
		if err := precompiled(ctx, j); err != nil {
			return err
		}
		facts, err := j.Facts(ctx)
		if err != nil {
			return err
		}
		layers, err := j.Layers()
		if err != nil {
			return err
		}
		var images []host.Assembled
		for i, platform := range s.Platforms {
			some, err := j.Runner.Images(ctx, facts, r, platform, layers, bases.opened[i])
			if err != nil {
				return err
			}
			images = append(images, some...)
		}
		found, err := j.Runner.SearchSecrets(ctx, facts, images, j.Plan.Allowed)
		if err != nil {
			return err
		}
		if err := host.WriteLayouts(s.Out, r, images); err != nil {
			return err
		}
		steps, err := j.Results()
		if err != nil {
			return err
		}
		done = documents.Built{Release: r, PHP: bases.php, Version: st.MagentoVersion(), Steps: steps, Images: images, Secrets: found, Seconds: e.now().Sub(start).Seconds()}
		return nil
	})
	return done, err
}
