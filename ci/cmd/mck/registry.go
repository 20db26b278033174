package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/spf13/cobra"

	"github.com/magecloudkit/pipeline/ci/attest"
	"github.com/magecloudkit/pipeline/ci/build"
	"github.com/magecloudkit/pipeline/ci/config"
	"github.com/magecloudkit/pipeline/ci/config/awsconfig"
	"github.com/magecloudkit/pipeline/ci/host"
	"github.com/magecloudkit/pipeline/ci/image"
	"github.com/magecloudkit/pipeline/ci/registry"
	"github.com/magecloudkit/pipeline/ci/registry/cleanup"
	"github.com/magecloudkit/pipeline/ci/registry/ecrhost"
	"github.com/magecloudkit/pipeline/ci/verbs"
)

// exitConflict is the code for a push or a cleanup that was refused before it changed anything.
const exitConflict = 3

// imageNames are the images of a build: the last parts of their repositories' names.
var imageNames = []string{build.Magento, build.Nginx}

// repositories returns the names of a build's repositories.
func repositories(prefix string) []string {
	var names []string
	for _, n := range imageNames {
		names = append(names, strings.Trim(prefix+"/"+n, "/"))
	}
	return names
}

// lines tells of a verb's progress.
func lines(e *env, verb string) func(string) {
	p := newProgress(e, false)
	return func(line string) { p.event(host.Event{Step: verb, Line: line}) }
}

func newGetECRCommand(e *env) *cobra.Command {
	return verb(e, "get-ecr", cobra.NoArgs, func(cmd *cobra.Command, e *env, s *verbs.GetECR, _ []string) error {
		ctx := cmd.Context()
		cfg, err := loadAWS(ctx, s.AWS)
		if err != nil {
			return err
		}
		api := ecr.NewFromConfig(cfg)
		if !s.Repositories {
			address, err := registry.NewLogin(api, e.now).Address(ctx)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(e.stdout, address)
			return err
		}
		found, missing, err := registry.Repositories(ctx, api, nil, repositories(s.Prefix)...)
		if err != nil {
			return err
		}
		for _, r := range found {
			if _, err := fmt.Fprintln(e.stdout, r.URI); err != nil {
				return err
			}
		}
		if len(missing) > 0 {
			return fmt.Errorf("there is no repository %s in %s: 'mck push --create' makes them", strings.Join(missing, " and "), cfg.Region)
		}
		return nil
	})
}

func loadAWS(ctx context.Context, s config.AWS) (aws.Config, error) {
	cfg, err := awsconfig.Load(ctx, s, awsconfig.Options{})
	if err != nil {
		return cfg, &exitError{exitUsage, err}
	}
	return cfg, nil
}

func newPushCommand(e *env) *cobra.Command {
	return verb(e, "push", cobra.NoArgs, func(cmd *cobra.Command, e *env, s *verbs.Push, _ []string) error {
		ctx := cmd.Context()
		if err := checkPush(s); err != nil {
			return &exitError{exitUsage, err}
		}
		if s.Smoke {
			if err := smokeBeforePush(ctx, e, s.Images, cmd.Flags().Changed("smoke")); err != nil {
				return err
			}
		}
		req, err := pushRequest(ctx, e, s)
		if err != nil {
			return err
		}
		r, err := openRegistry(ctx, e, *s)
		if err != nil {
			return err
		}
		result, err := r.Push(ctx, req)
		var conflict *registry.ConflictError
		if errors.As(err, &conflict) {
			return &exitError{exitConflict, err}
		}
		if err != nil {
			return err
		}
		if s.JSON.JSON {
			return writeJSON(e.stdout, result)
		}
		return printPushed(e.stdout, result)
	})
}

// pushRequest reads the images of a build. With --fail-on, their known vulnerabilities are looked up.
func pushRequest(ctx context.Context, e *env, s *verbs.Push) (registry.Request, error) {
	req := registry.Request{Prefix: s.Prefix, Tag: s.BuildNum, Tags: s.Tags, Create: s.Create}
	var all []attest.Contents
	for _, n := range imageNames {
		l, err := image.OpenLayout(filepath.Join(s.Images, n))
		if err != nil {
			return req, fmt.Errorf("%w. 'mck build --out %s' makes the images", err, s.Images)
		}
		im := registry.Image{Name: n, Image: l.Images[0], Index: l.Index}
		if s.Attest || s.FailOn != "" {
			contents, err := contentsOf(ctx, n, l.Images)
			if err != nil {
				return req, err
			}
			all = append(all, contents...)
			if s.Attest {
				if im.Attach, err = attestations(contents, l.Images); err != nil {
					return req, err
				}
			}
		}
		req.Images = append(req.Images, im)
	}
	if s.FailOn == "" {
		fmt.Fprintln(e.stderr, "push: known vulnerabilities were not looked up; --fail-on=critical, or 'mck audit', does")
		return req, nil
	}
	report, err := audited(ctx, s.Vulnerabilities, all)
	if err != nil {
		return req, fmt.Errorf("%w. Nothing was pushed", err)
	}
	fmt.Fprintln(e.stderr, "push: "+report.Summary())
	if err := tooBad(s.Vulnerabilities, report); err != nil {
		var exit *exitError
		errors.As(err, &exit)
		return req, &exitError{exit.code, fmt.Errorf("%w. Nothing was pushed; 'mck audit' lists them", exit.err)}
	}
	return req, nil
}

// checkPush says what of the settings cannot be, before an image is read.
func checkPush(s *verbs.Push) error {
	var errs []error
	for _, tag := range append([]string{s.BuildNum}, s.Tags...) {
		errs = append(errs, registry.CheckTag(tag))
	}
	if s.Jobs < 1 {
		errs = append(errs, fmt.Errorf("--jobs %d: at least one blob must be sent at a time", s.Jobs))
	}
	if address := registryAddress(s.Registry); address != "" {
		_, err := registry.New(address, registry.Options{})
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// registryAddress is a registry's address as it is meant: AWS_ECR_URL is a host in the AWS documentation, and a URL in
// many a script.
func registryAddress(s string) string {
	return strings.TrimSuffix(strings.TrimPrefix(s, "https://"), "/")
}

// openRegistry finds out what kind of registry the settings mean, and how it is reached.
func openRegistry(ctx context.Context, e *env, s verbs.Push) (*registry.Registry, error) {
	transport, err := trusting(s.CABundle)
	if err != nil {
		return nil, err
	}
	o := registry.Options{Transport: transport, Now: e.now, Jobs: s.Jobs, Progress: lines(e, "push")}
	address := registryAddress(s.Registry)
	_, region, isECR := ecrhost.Parse(address)
	if isECR {
		s.Region = region
	}
	// Where AWS is not Amazon's, its ECR is known by standing at the same address. It speaks what AWS speaks there.
	if u, err := url.Parse(s.Endpoint); err == nil && u.Host != "" && u.Host == address {
		isECR, o.Plain = true, u.Scheme == "http"
	}
	if address != "" && !isECR {
		o.Keychain = authn.DefaultKeychain
		r, err := registry.New(address, o)
		if err != nil {
			return nil, &exitError{exitUsage, err}
		}
		return r, nil
	}
	cfg, err := loadAWS(ctx, s.AWS)
	if err != nil {
		return nil, err
	}
	api := ecr.NewFromConfig(cfg)
	o.ECR = api
	if address == "" {
		if address, err = registry.NewLogin(api, e.now).Address(ctx); err != nil {
			return nil, err
		}
	}
	return registry.New(address, o)
}

func printPushed(w io.Writer, r registry.Result) error {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "IMAGE\tDIGEST\tSENT\tALREADY THERE\tTIME")
	for _, im := range r.Images {
		for i, tag := range im.Tags {
			reference := strings.TrimSuffix(im.Reference, ":"+im.Tags[0]) + ":" + tag
			if i > 0 {
				fmt.Fprintf(t, "%s\t\t\t\t\n", reference)
				continue
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%.1f s\n", reference, im.Digest, megabytes(im.BytesSent), megabytes(im.BytesSkipped), im.Seconds)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "pushed to %s in %.1f s: %s sent, %s were there\n", r.Registry, r.Seconds, megabytes(r.BytesSent), megabytes(r.BytesSkipped))
	return err
}

func newCleanupCommand(e *env) *cobra.Command {
	return verb(e, "cleanup", cobra.NoArgs, func(cmd *cobra.Command, e *env, s *verbs.Cleanup, _ []string) error {
		ctx := cmd.Context()
		if cmd.Flags().Changed("dry-run") && s.DryRun == s.Yes {
			return &exitError{exitUsage, errors.New("say either --dry-run or --yes")}
		}
		p := cleanup.Policy{KeepLast: s.KeepLast, KeepRevisions: s.KeepRevisions, KeepTags: s.KeepTags, OlderThan: s.OlderThan}
		if err := p.Check(); err != nil {
			return &exitError{exitUsage, err}
		}
		if s.Policy {
			_, err := fmt.Fprintln(e.stdout, registry.LifecyclePolicy(s.OlderThan))
			return err
		}
		scope, err := cleanupScope(ctx, *s)
		if err != nil {
			return err
		}
		inv, err := cleanup.Collect(ctx, scope)
		if err != nil {
			return err
		}
		plan := cleanup.Make(inv, p, e.now())
		if !s.Yes {
			if s.JSON.JSON {
				return writeJSON(e.stdout, plan)
			}
			if err := plan.Table(e.stdout); err != nil {
				return err
			}
			_, err := fmt.Fprintln(e.stdout, "Nothing was deleted; --yes deletes.")
			return err
		}
		result, err := cleanup.Run(ctx, plan, scope, p, e.now, lines(e, "cleanup"))
		return errors.Join(reportCleanup(e.stdout, result, s.JSON.JSON), err)
	})
}

// cleanupScope makes the clients of all regions.
func cleanupScope(ctx context.Context, s verbs.Cleanup) (cleanup.Scope, error) {
	scope := cleanup.Scope{Clusters: s.Clusters, Repositories: repositories(s.Prefix), Revisions: s.KeepRevisions}
	if s.Region == "" && len(s.Regions) > 0 {
		s.Region = s.Regions[0]
	}
	cfg, err := loadAWS(ctx, s.AWS)
	if err != nil {
		return scope, err
	}
	if len(s.Regions) == 0 {
		s.Regions = []string{cfg.Region}
	}
	slices.Sort(s.Regions)
	for _, region := range slices.Compact(s.Regions) {
		local := cfg.Copy()
		local.Region = region
		scope.Regions = append(scope.Regions, cleanup.Region{
			Name: region, ECR: ecr.NewFromConfig(local), ECS: ecs.NewFromConfig(local), Events: eventbridge.NewFromConfig(local),
			Scheduler: scheduler.NewFromConfig(local),
		})
	}
	return scope, nil
}

// reportCleanup prints what a cleanup did. Images that ECR would not delete are an error.
func reportCleanup(w io.Writer, r cleanup.Result, asJSON bool) error {
	if asJSON {
		if err := writeJSON(w, r); err != nil {
			return err
		}
	} else {
		t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
		fmt.Fprintln(t, "REPOSITORY\tIMAGE\tTAGS\tSIZE\tOUTCOME")
		for _, d := range r.Deleted {
			fmt.Fprintf(t, "%s/%s\t%s\t%s\t%s\tdeleted\n", d.Region, d.Repository, d.Digest, strings.Join(d.Tags, ", "), megabytes(d.Size))
		}
		for _, d := range r.Spared {
			fmt.Fprintf(t, "%s/%s\t%s\t%s\t%s\tkept after all: %s\n", d.Region, d.Repository, d.Digest, strings.Join(d.Tags, ", "), megabytes(d.Size), d.Because[0])
		}
		for _, f := range r.Failures {
			fmt.Fprintf(t, "%s/%s\t%s\t\t\tnot deleted: %s: %s\n", f.Region, f.Repository, f.Digest, f.Code, f.Reason)
		}
		if err := t.Flush(); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "%d images deleted, %d kept after all, %d not deleted by ECR\n", len(r.Deleted), len(r.Spared), len(r.Failures)); err != nil {
			return err
		}
	}
	if len(r.Failures) > 0 {
		return fmt.Errorf("ECR did not delete %d images, see above; the others are gone", len(r.Failures))
	}
	return nil
}
