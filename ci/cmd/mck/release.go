package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/spf13/cobra"

	"github.com/magecloudkit/pipeline/ci/config"
	"github.com/magecloudkit/pipeline/ci/ecs"
	"github.com/magecloudkit/pipeline/ci/release"
	"github.com/magecloudkit/pipeline/ci/verbs"
)

// targetRequest is the part of a request that says what it is about.
func targetRequest(s verbs.Target) release.Request {
	r := release.Request{Cluster: s.Cluster, Services: s.Services, CronRules: s.CronRules, Schedules: s.Schedules, Repositories: s.Repositories}
	switch {
	case len(s.Repositories) == 0:
		r.Repositories = repositories(s.Prefix)
	case len(s.Repositories) == 1 && s.Repositories[0] == "ecr":
		r.Repositories = nil
	}
	return r
}

func fillTask(r *release.Request, s verbs.Task) {
	r.TaskContainer, r.Console, r.TaskTimeout = s.Container, strings.Fields(s.Console), s.TaskTimeout
}

// releaseRequest is what the settings of deploy ask for.
func releaseRequest(s verbs.Release) release.Request {
	r := targetRequest(s.Target)
	fillTask(&r, s.Task)
	fillSize(&r, s.Size)
	r.Migrate, r.NoCacheFlush = release.MigrateMode(s.Migrate), !s.CacheFlush
	r.Timeout, r.WaitForDeployment = s.Timeout, s.WaitForDeployment
	r.MinHealthyPercent, r.MaxPercent = unlessLeft(s.MinHealthy), unlessLeft(s.MaxPercent)
	if s.CircuitBreaker != "keep" {
		r.Breaker = release.Breaker(s.CircuitBreaker)
	}
	r.Force, r.Rollback, r.KeepRevisions, r.By, r.DryRun = s.Force, s.Rollback, s.KeepRevisions, s.By, s.DryRun
	r.Probes = shopProbes(s.Shop)
	r.Probes.Test, r.Probes.Continue = parseProbes(s.ProbeTest), s.ProbeContinue
	return r
}

// fillBuild says which build.
func fillBuild(r *release.Request, s verbs.ReleasedBuild) {
	r.Build, r.From, r.PinDigest, r.Downgrade = s.BuildNum, s.From, s.PinDigest, s.Downgrade
}

func fillSize(r *release.Request, s verbs.Size) {
	r.Edits.CPU, r.Edits.Memory, r.DesiredCount = s.CPU, s.Memory, unlessLeft(s.DesiredCount)
}

// unlessLeft is nil for -1, which leaves a number as it is.
func unlessLeft(n int) *int32 {
	if n == -1 {
		return nil
	}
	return aws.Int32(int32(max(-1<<30, min(n, 1<<30))))
}

// markers are those that the settings name.
func markers(s verbs.Release, client *http.Client) []release.Marker {
	var m []release.Marker
	if s.NewRelicKey != "" && s.NewRelicEntity != "" {
		m = append(m, release.NewRelic{Key: s.NewRelicKey.Reveal(), EntityGUID: s.NewRelicEntity, HTTP: client})
	}
	if s.DatadogKey != "" {
		m = append(m, release.Datadog{Key: s.DatadogKey.Reveal(), URL: "https://api." + s.DatadogSite + "/api/v1/events", HTTP: client})
	}
	if s.Webhook != "" {
		hook := release.Webhook{URL: s.Webhook.Reveal(), HTTP: client}
		if s.WebhookToken != "" {
			hook.Header = http.Header{"Authorization": {"Bearer " + s.WebhookToken.Reveal()}}
		}
		m = append(m, hook)
	}
	if s.CircleCI && s.CircleEnv != "" {
		m = append(m, release.CircleCI{Environment: s.CircleEnv, Component: s.CircleApp, Run: func(ctx context.Context, args ...string) error {
			out, err := exec.CommandContext(ctx, "circleci", args...).CombinedOutput()
			if err != nil {
				return fmt.Errorf("circleci: %w: %s", err, strings.TrimSpace(string(out)))
			}
			return nil
		}})
	}
	return m
}

// fillEdits reads the variables that are to change.
func fillEdits(e *ecs.Edits, f verbs.Edits) error {
	var errs []error
	read := func(list []string, parse func(string) (ecs.Variable, error), into *[]ecs.Variable) {
		for _, s := range list {
			v, err := parse(s)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			*into = append(*into, v)
		}
	}
	read(f.Env, ecs.ParseVariable, &e.Env)
	read(f.Secret, ecs.ParseVariable, &e.Secrets)
	read(f.Unset, ecs.ParseName, &e.Unset)
	e.Plaintext = f.Plaintext.Plaintext
	return errors.Join(errs...)
}

// output says in which form a release is reported at the end.
type output struct {
	verbs.Output
	// text is what is printed unless JSON is asked for; nil: the summary.
	text func(*release.Result) string
	// findings: what is printed lists them.
	findings bool
}

// check makes sure that the report can be written before anything is changed.
func (f *output) check() error {
	if f.Report == "" {
		return nil
	}
	if st, err := os.Stat(filepath.Dir(f.Report)); err != nil || !st.IsDir() {
		return &exitError{exitUsage, fmt.Errorf("--report %s: its directory does not exist", f.Report)}
	}
	return nil
}

// finish prints a release's end and turns its verdict into the exit code.
func (f *output) finish(e *env, r *release.Result) error {
	if f.Report != "" {
		if err := writeReport(f.Report, r); err != nil {
			fmt.Fprintf(e.stderr, "mck: %v\n", err) // the verdict stays what it is
		}
	}
	text := (*release.Result).Summary
	if f.text != nil && (r.ExitCode == 0 || r.Verdict == release.Finished) {
		text = f.text
	}
	var err error
	if f.JSON.JSON {
		err = writeJSON(e.stdout, r)
	} else {
		_, err = io.WriteString(e.stdout, fold(text(r)))
	}
	if r.ExitCode != 0 {
		return &exitError{code: r.ExitCode}
	}
	return err
}

// notes is what is shown of a release as it goes. A verb that ends with the list of
// its findings does not show them on the way as well.
func (f *output) notes(e *env) func(release.Note) {
	show := notes(e)
	if !f.findings || f.JSON.JSON {
		return show
	}
	return func(n release.Note) {
		if n.Level != release.LevelWarning && n.Level != release.LevelError {
			show(n)
		}
	}
}

func writeReport(path string, r *release.Result) (err error) {
	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("the report cannot be written: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return r.WriteHTML(file)
}

// notes shows a release as it goes: in plain lines, and on a terminal with a block that
// says where each service stands.
func notes(e *env) func(release.Note) {
	start := e.now()
	if e.color {
		return (&screen{w: e.stderr, width: terminalWidth, start: start, now: e.now}).show
	}
	return func(n release.Note) { printNote(e.stderr, n, e.now().Sub(start)) }
}

func printNote(w io.Writer, n release.Note, at time.Duration) {
	mark := ""
	switch n.Level {
	case release.LevelStep:
		return // the lines of a step say which one it is
	case release.LevelWarning:
		mark = "warning: "
	case release.LevelError:
		mark = "error: "
	case release.LevelLog:
		mark = "| "
	}
	fmt.Fprint(w, fold(stamp(at, n.Step)+mark+n.Text+"\n"))
}

// stamp is how a line about a release begins.
func stamp(at time.Duration, step string) string {
	return fmt.Sprintf("%6.1fs %-12s ", at.Seconds(), step)
}

// connection is what a verb may ask for beside the settings.
type connection struct {
	change  func(*aws.Config)
	shop    verbs.Shop
	markers func(*http.Client) []release.Marker
	notify  func(release.Note)
}

// newReleaser connects to AWS.
func newReleaser(ctx context.Context, e *env, s config.AWS, c connection) (*release.Releaser, error) {
	cfg, err := loadAWS(ctx, s)
	if err != nil {
		return nil, err
	}
	if c.change != nil {
		c.change(&cfg)
	}
	transport, err := trusting(s.CABundle)
	if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: transport}
	o := release.Options{Notify: c.notify, HTTP: client, Renew: release.Renewer(cfg), Attempts: s.MaxAttempts}
	if o.Notify == nil {
		o.Notify = notes(e)
	}
	if o.Shop, err = shopClient(c.shop, s.CABundle); err != nil {
		return nil, err
	}
	if c.markers != nil {
		o.Markers = c.markers(client)
	}
	return release.New(release.NewClients(cfg), o), nil
}

// usage makes wrong arguments an error of usage.
func usage(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return &exitError{exitUsage, fmt.Errorf("%w (see '%s --help')", err, cmd.CommandPath())}
		}
		return nil
	}
}

// checked refuses a request that is wrong in itself.
func checked(r release.Request) (release.Request, error) {
	if err := r.Check(); err != nil {
		return r, &exitError{exitUsage, err}
	}
	return r, nil
}

// act is a verb of the package release that ends with a result.
type act = func(*release.Releaser, context.Context, release.Request) *release.Result

func newDeployCommand(e *env) *cobra.Command {
	return verb(e, "deploy", cobra.NoArgs, func(cmd *cobra.Command, e *env, s *verbs.Deploy, _ []string) error {
		r := releaseRequest(s.Release)
		fillBuild(&r, s.ReleasedBuild)
		if err := fillEdits(&r.Edits, s.Edits); err != nil {
			return &exitError{exitUsage, err}
		}
		r.WaitUntil = s.WaitUntil
		return releasing{settings: s.Release, request: r, out: output{Output: s.Output}, do: (*release.Releaser).Deploy}.run(cmd.Context(), e)
	})
}

func newContinueCommand(e *env) *cobra.Command {
	return verb(e, "continue", cobra.NoArgs, func(cmd *cobra.Command, e *env, s *verbs.Continue, _ []string) error {
		r := releaseRequest(s.Release)
		r.WaitUntil = s.WaitUntil
		return releasing{settings: s.Release, request: r, out: output{Output: s.Output}, do: (*release.Releaser).Continue}.run(cmd.Context(), e)
	})
}

func newVerifyCommand(e *env) *cobra.Command {
	return verb(e, "verify", cobra.NoArgs, foreseeing((*release.Releaser).Verify, nil))
}

func newDiffCommand(e *env) *cobra.Command {
	return verb(e, "diff", cobra.NoArgs, foreseeing((*release.Releaser).Diff, (*release.Result).Diff))
}

// foreseeing is a verb that says what a release would do.
func foreseeing(do act, text func(*release.Result) string) func(*cobra.Command, *env, *verbs.Verify, []string) error {
	return func(cmd *cobra.Command, e *env, s *verbs.Verify, _ []string) error {
		r := targetRequest(s.Target)
		fillBuild(&r, s.ReleasedBuild)
		fillSize(&r, s.Size)
		r.Probes.Test = parseProbes(s.ProbeTest)
		if err := fillEdits(&r.Edits, s.Edits); err != nil {
			return &exitError{exitUsage, err}
		}
		return releasing{settings: verbs.Release{Target: s.Target}, request: r, out: output{Output: s.Output, text: text, findings: cmd.Name() == "verify"}, do: do}.run(cmd.Context(), e)
	}
}

// releasing is a verb that releases, or says what a release would do.
type releasing struct {
	settings verbs.Release
	request  release.Request
	out      output
	change   func(*aws.Config) // of the credentials; nil: none
	do       act
}

func (x releasing) run(ctx context.Context, e *env) error {
	r, err := checked(x.request)
	if err != nil {
		return err
	}
	if err := x.out.check(); err != nil {
		return err
	}
	releaser, err := newReleaser(ctx, e, x.settings.AWS, connection{
		notify: x.out.notes(e), change: x.change, shop: x.settings.Shop, markers: func(c *http.Client) []release.Marker { return markers(x.settings, c) },
	})
	if err != nil {
		return err
	}
	return x.out.finish(e, x.do(releaser, ctx, r))
}

func newRollbackCommand(e *env) *cobra.Command {
	return verb(e, "rollback", cobra.NoArgs, func(cmd *cobra.Command, e *env, s *verbs.Rollback, _ []string) error {
		r := targetRequest(s.Target)
		fillTask(&r, s.Task)
		r.Build, r.Timeout, r.NoCacheFlush, r.By, r.DryRun = s.To, s.Timeout, !s.CacheFlush, s.By, s.DryRun
		r.Probes = shopProbes(s.Shop)
		return releasing{settings: verbs.Release{Target: s.Target, Shop: s.Shop}, request: r, out: output{Output: s.Output}, do: (*release.Releaser).Rollback}.run(cmd.Context(), e)
	})
}

func newStatusCommand(e *env) *cobra.Command {
	return verb(e, "status", cobra.NoArgs, func(cmd *cobra.Command, e *env, s *verbs.Look, _ []string) error {
		r, releaser, err := openTarget(cmd.Context(), e, s.Target)
		if err != nil {
			return err
		}
		st, err := releaser.Status(cmd.Context(), r)
		if err != nil {
			return err
		}
		if s.JSON.JSON {
			return writeJSON(e.stdout, st)
		}
		return printStatus(e.stdout, st)
	})
}

// printStatus shows what runs where, as a table.
func printStatus(w io.Writer, st release.Status) error {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "KIND\tNAME\tBUILD\tCOMMIT\tREVISION\tTASKS\tSTATE\tDIGESTS")
	for _, row := range st.Rows {
		tasks := ""
		if row.Kind == "service" {
			tasks = fmt.Sprintf("%d/%d", row.Running, row.Desired)
		}
		var digests []string
		for _, d := range row.Digests {
			digests = append(digests, d[:min(len(d), len("sha256:")+12)])
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%.12s\t%s\t%s\t%s\t%s\n", row.Kind, row.Name, orDash(row.Build), orDash(row.Commit), row.Revision, tasks, row.State, strings.Join(digests, " "))
		for _, line := range otherRevisions(row) {
			fmt.Fprintf(t, "\t\t%s\t\t%s\t\t\t\n", orDash(line.Build), line.Revision)
		}
		for _, d := range row.Deployments {
			fmt.Fprintf(t, "\t\t\t\t%s\t\t\t\n", d)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, d := range st.Drift {
		if _, err := fmt.Fprintf(w, "drift: %s\n", d); err != nil {
			return err
		}
	}
	return nil
}

// otherRevisions are the lines below a service's own: what else runs, and what ECS is
// to bring up.
func otherRevisions(row release.StatusRow) []release.RunningRevision {
	var lines []release.RunningRevision
	if w := row.Wanted; w != nil {
		lines = append(lines, release.RunningRevision{Build: w.Build, Revision: fmt.Sprintf("%s is wanted, %d running", w.Revision, w.Tasks)})
	}
	for _, a := range row.Also {
		lines = append(lines, release.RunningRevision{Build: a.Build, Revision: fmt.Sprintf("%s, %d running", a.Revision, a.Tasks)})
	}
	return lines
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// openTarget connects for a verb that only looks.
func openTarget(ctx context.Context, e *env, s verbs.Target) (release.Request, *release.Releaser, error) {
	r, err := checked(targetRequest(s))
	if err != nil {
		return r, nil, err
	}
	releaser, err := newReleaser(ctx, e, s.AWS, connection{})
	return r, releaser, err
}

func newHistoryCommand(e *env) *cobra.Command {
	return verb(e, "history", cobra.NoArgs, func(cmd *cobra.Command, e *env, s *verbs.History, _ []string) error {
		if s.Last < 1 {
			return &exitError{exitUsage, fmt.Errorf("--last %d: at least one deployment must be shown", s.Last)}
		}
		r, releaser, err := openTarget(cmd.Context(), e, s.Target)
		if err != nil {
			return err
		}
		past, err := releaser.History(cmd.Context(), r, s.Last)
		if err != nil {
			return err
		}
		if s.JSON.JSON {
			return writeJSON(e.stdout, past)
		}
		return printHistory(e.stdout, past)
	})
}

// printHistory shows what was done, by whom, as a table.
func printHistory(w io.Writer, past []release.Past) error {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "WHEN\tSERVICE\tWHAT\tBUILD\tREVISION\tSTATUS\tTOOK\tBY")
	for _, p := range past {
		took := time.Duration(p.Seconds * float64(time.Second)).Round(time.Second)
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", p.At.UTC().Format("2006-01-02 15:04:05"), p.Service, orDash(p.What), orDash(p.Build), p.Revision, p.Status, took, orDash(p.Who()))
		for _, why := range []struct{ title, text string }{{"why", p.Why}, {"stopped", p.Stopped}} {
			if why.text != "" {
				fmt.Fprintf(t, "\t%s: %s\n", why.title, why.text)
			}
		}
	}
	return t.Flush()
}

func newRunCommand(e *env) *cobra.Command {
	return verb(e, "run", cobra.MinimumNArgs(1), func(cmd *cobra.Command, e *env, s *verbs.Run, args []string) error {
		ctx := cmd.Context()
		r := targetRequest(s.Target)
		fillTask(&r, s.Task)
		r, err := checked(r)
		if err != nil {
			return err
		}
		show := notes(e)
		releaser, err := newReleaser(ctx, e, s.AWS, connection{notify: func(n release.Note) {
			if n.Level == release.LevelLog && !s.JSON.JSON { // the command's own output
				fmt.Fprintln(e.stdout, n.Text)
				return
			}
			show(n)
		}})
		if err != nil {
			return err
		}
		out := output{Output: verbs.Output{JSON: s.JSON}, text: func(*release.Result) string { return "" }}
		return out.finish(e, releaser.Run(ctx, r, args))
	})
}

func newEnvCommand(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "env",
		Short: "Show or change the environment of the running containers",
		RunE: func(cmd *cobra.Command, args []string) error {
			fmt.Fprintf(e.stderr, "%s\n\n", strings.TrimSpace(cmd.UsageString()))
			if len(args) == 0 {
				return &exitError{exitUsage, errors.New("say what: env list, env set or env unset")}
			}
			return &exitError{exitUsage, fmt.Errorf("there is no verb \"env %s\"", args[0])}
		},
	}
	cmd.AddCommand(newEnvListCommand(e), newEnvSetCommand(e), newEnvUnsetCommand(e))
	return cmd
}

func newEnvListCommand(e *env) *cobra.Command {
	return verb(e, "env list", cobra.NoArgs, func(cmd *cobra.Command, e *env, s *verbs.Look, _ []string) error {
		r, releaser, err := openTarget(cmd.Context(), e, s.Target)
		if err != nil {
			return err
		}
		list, err := releaser.EnvList(cmd.Context(), r)
		if err != nil {
			return err
		}
		if s.JSON.JSON {
			return writeJSON(e.stdout, list)
		}
		var table strings.Builder
		t := tabwriter.NewWriter(&table, 0, 0, 3, ' ', 0)
		fmt.Fprintln(t, "FOR\tCONTAINER\tNAME\tVALUE")
		for _, v := range list {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", v.For, v.Container, v.Name, v.Text())
		}
		if err := t.Flush(); err != nil {
			return err
		}
		_, err = io.WriteString(e.stdout, fold(table.String()))
		return err
	})
}

func newEnvSetCommand(e *env) *cobra.Command {
	return verb(e, "env set", cobra.MinimumNArgs(1), func(cmd *cobra.Command, e *env, s *verbs.EnvSet, args []string) error {
		edits := verbs.Edits{Env: args, Plaintext: s.Plaintext}
		if s.Secrets {
			edits = verbs.Edits{Secret: args}
		}
		return changeEnv(cmd.Context(), e, s.Release, edits, s.Output)
	})
}

func newEnvUnsetCommand(e *env) *cobra.Command {
	return verb(e, "env unset", cobra.MinimumNArgs(1), func(cmd *cobra.Command, e *env, s *verbs.EnvUnset, args []string) error {
		return changeEnv(cmd.Context(), e, s.Release, verbs.Edits{Unset: args}, s.Output)
	})
}

// changeEnv rolls the services with another environment; the build stays.
func changeEnv(ctx context.Context, e *env, s verbs.Release, edits verbs.Edits, out verbs.Output) error {
	r := releaseRequest(s)
	if err := fillEdits(&r.Edits, edits); err != nil {
		return &exitError{exitUsage, err}
	}
	return releasing{settings: s, request: r, out: output{Output: out}, do: (*release.Releaser).EnvChange}.run(ctx, e)
}
