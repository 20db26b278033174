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
)

// TargetSettings say what a verb is about.
type TargetSettings struct {
	config.AWS
	Cluster      string   `env:"MCK_CLUSTER" or:"ECS_CLUSTER" flag:"cluster" doc:"ECS cluster"`
	Services     []string `env:"MCK_SERVICES" or:"ECS_SERVICES" flag:"service" doc:"ECS services; the first one's revision runs one-off tasks"`
	CronRules    []string `env:"MCK_CRON_RULES" flag:"cron-rule" doc:"EventBridge rules that run cron, NAME or BUS/NAME"`
	Prefix       string   `env:"MCK_REPOSITORY_PREFIX,default=magecloudkit" flag:"prefix" doc:"first part of the repositories' names"`
	Repositories []string `env:"MCK_REPOSITORIES" flag:"repository" doc:"repositories of the store's own images, instead of PREFIX/magento2 and PREFIX/nginx; 'ecr' for every image in a private ECR registry"`
}

// deploySettings are the settings of deploy, and of the verbs that are a part
// of it.
type deploySettings struct {
	TargetSettings
	TaskSettings
	BuildNum          string        `env:"BUILD_NUM" flag:"build-num" doc:"number of the build, the tag of its images"`
	From              string        `env:"MCK_FROM" flag:"from" doc:"cluster whose running images are released, by digest, instead of a build number"`
	PinDigest         bool          `env:"MCK_PIN_DIGEST" flag:"pin-digest" doc:"name images by digest in the task definitions"`
	CPU               string        `env:"MCK_TASK_CPU" flag:"task-cpu" doc:"CPU of the tasks: units (1024) or \"1 vCPU\""`
	Memory            string        `env:"MCK_TASK_MEMORY" flag:"task-memory" doc:"memory of the tasks: MiB (2048) or \"2 GB\""`
	Migrate           string        `env:"MCK_MIGRATE,default=auto" oneof:"auto|always|never" flag:"migrate" doc:"whether the database is upgraded"`
	CacheFlush        bool          `env:"MCK_CACHE_FLUSH,default=true" flag:"cache-flush" doc:"flush Magento's cache after the roll"`
	Timeout           time.Duration `env:"MCK_TIMEOUT,default=10m" flag:"timeout" doc:"for the wait for all services together"`
	WaitForDeployment bool          `env:"MCK_WAIT_FOR_DEPLOYMENT" flag:"wait-for-deployment" doc:"wait for a deployment in progress instead of refusing"`
	DesiredCount      int           `env:"MCK_DESIRED_COUNT,default=-1" flag:"desired-count" doc:"tasks of every service; -1 leaves them"`
	MinHealthy        int           `env:"MCK_MIN_HEALTHY_PERCENT,default=-1" flag:"min-healthy-percent" doc:"lower limit of healthy tasks during the roll; -1 leaves it"`
	MaxPercent        int           `env:"MCK_MAX_PERCENT,default=-1" flag:"max-percent" doc:"upper limit of tasks during the roll; -1 leaves it"`
	CircuitBreaker    string        `env:"MCK_CIRCUIT_BREAKER,default=keep" oneof:"keep|off|on|rollback" flag:"circuit-breaker" doc:"the services' deployment circuit breaker"`
	Force             bool          `env:"MCK_FORCE" flag:"force" doc:"roll even if nothing has changed"`
	Rollback          bool          `env:"MCK_ROLLBACK,default=true" flag:"rollback" doc:"return to what ran before when the roll fails"`
	KeepRevisions     int           `env:"MCK_DEREGISTER_BEYOND" flag:"keep-revisions" doc:"deregister older revisions than the newest so many; 0 keeps all"`
	By                string        `env:"MCK_BY" or:"CIRCLE_USERNAME,GITHUB_ACTOR" flag:"by" doc:"who releases; AWS is asked if not set"`
	DryRun            bool          `env:"MCK_DRY_RUN" flag:"dry-run" doc:"say what would be done, and do nothing"`

	// Who is told of a release.
	NewRelicKey    config.Secret `env:"NEW_RELIC_API_KEY" doc:"New Relic user key, for change tracking"`
	NewRelicEntity string        `env:"NEW_RELIC_ENTITY_GUID" doc:"New Relic entity that is released"`
	DatadogKey     config.Secret `env:"DATADOG_API_KEY" or:"DD_API_KEY" doc:"Datadog API key, for an event"`
	DatadogSite    string        `env:"DD_SITE,default=datadoghq.com" doc:"Datadog site"`
	Webhook        config.Secret `env:"MCK_WEBHOOK_URL" doc:"address that is sent the release as JSON"`
	CircleCI       bool          `env:"CIRCLECI" doc:"set by CircleCI in its jobs"`
	CircleEnv      string        `env:"MCK_CIRCLECI_ENVIRONMENT" flag:"circleci-environment" doc:"environment of CircleCI's release markers"`
	CircleApp      string        `env:"MCK_CIRCLECI_COMPONENT,default=magento" flag:"circleci-component" doc:"component of CircleCI's release markers"`
}

// TaskSettings are those of one-off tasks. It is exported, as is TargetSettings,
// because settings are read through reflection.
type TaskSettings struct {
	Container   string        `env:"MCK_TASK_CONTAINER" flag:"container" doc:"container that runs commands; the first of the store's own that is not nginx, if not set"`
	Console     string        `env:"MCK_CONSOLE,default=bin/magento" flag:"console" doc:"how Magento's command line is called in the container"`
	TaskTimeout time.Duration `env:"MCK_TASK_TIMEOUT,default=30m" flag:"task-timeout" doc:"for one one-off task"`
}

func (s TargetSettings) request() release.Request {
	r := release.Request{Cluster: s.Cluster, Services: s.Services, CronRules: s.CronRules, Repositories: s.Repositories}
	switch {
	case len(s.Repositories) == 0:
		r.Repositories = repositories(s.Prefix)
	case len(s.Repositories) == 1 && s.Repositories[0] == "ecr":
		r.Repositories = nil
	}
	return r
}

func (s TaskSettings) fill(r *release.Request) {
	r.TaskContainer, r.Console, r.TaskTimeout = s.Container, strings.Fields(s.Console), s.TaskTimeout
}

func (s deploySettings) request() release.Request {
	r := s.TargetSettings.request()
	s.TaskSettings.fill(&r)
	r.Build, r.From, r.PinDigest = s.BuildNum, s.From, s.PinDigest
	r.Edits.CPU, r.Edits.Memory = s.CPU, s.Memory
	r.Migrate, r.NoCacheFlush = release.MigrateMode(s.Migrate), !s.CacheFlush
	r.Timeout, r.WaitForDeployment = s.Timeout, s.WaitForDeployment
	r.DesiredCount, r.MinHealthyPercent, r.MaxPercent = unlessNegative(s.DesiredCount), unlessNegative(s.MinHealthy), unlessNegative(s.MaxPercent)
	if s.CircuitBreaker != "keep" {
		r.Breaker = release.Breaker(s.CircuitBreaker)
	}
	r.Force, r.Rollback, r.KeepRevisions, r.By, r.DryRun = s.Force, s.Rollback, s.KeepRevisions, s.By, s.DryRun
	return r
}

func unlessNegative(n int) *int32 {
	if n < 0 {
		return nil
	}
	return aws.Int32(int32(min(n, 1<<30)))
}

// markers are those that the settings name.
func (s deploySettings) markers(client *http.Client) []release.Marker {
	var m []release.Marker
	if s.NewRelicKey != "" && s.NewRelicEntity != "" {
		m = append(m, release.NewRelic{Key: s.NewRelicKey.Reveal(), EntityGUID: s.NewRelicEntity, HTTP: client})
	}
	if s.DatadogKey != "" {
		m = append(m, release.Datadog{Key: s.DatadogKey.Reveal(), URL: "https://api." + s.DatadogSite + "/api/v1/events", HTTP: client})
	}
	if s.Webhook != "" {
		m = append(m, release.Webhook{URL: s.Webhook.Reveal(), HTTP: client})
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

// editFlags are the flags that change task definitions.
type editFlags struct{ env, secret, unset []string }

func (f *editFlags) bind(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.env, "env", nil, "set an environment variable: NAME=VALUE, or CONTAINER/NAME=VALUE")
	cmd.Flags().StringArrayVar(&f.secret, "secret", nil, "set one from a secret: NAME=ARN, or CONTAINER/NAME=ARN")
	cmd.Flags().StringArrayVar(&f.unset, "unset", nil, "remove one: NAME, or CONTAINER/NAME")
}

func (f *editFlags) fill(e *ecs.Edits) error {
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
	read(f.env, ecs.ParseVariable, &e.Env)
	read(f.secret, ecs.ParseVariable, &e.Secrets)
	read(f.unset, ecs.ParseName, &e.Unset)
	return errors.Join(errs...)
}

// outputFlags say in which form a release is reported at the end.
type outputFlags struct {
	json   bool
	report string
	// text is what is printed unless JSON is asked for; nil: the summary.
	text func(*release.Result) string
}

func (f *outputFlags) bind(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.json, "json", false, "print the result as one JSON document")
	cmd.Flags().StringVar(&f.report, "report", "", "write a page about the release to this HTML `file`")
}

// check makes sure that the report can be written before anything is changed.
func (f *outputFlags) check() error {
	if f.report == "" {
		return nil
	}
	if st, err := os.Stat(filepath.Dir(f.report)); err != nil || !st.IsDir() {
		return &exitError{exitUsage, fmt.Errorf("--report %s: its directory does not exist", f.report)}
	}
	return nil
}

// finish prints a release's end and turns its verdict into the exit code.
func (f *outputFlags) finish(e *env, r *release.Result) error {
	if f.report != "" {
		if err := writeReport(f.report, r); err != nil {
			fmt.Fprintf(e.stderr, "mck: %v\n", err) // the verdict stays what it is
		}
	}
	text := (*release.Result).Summary
	if f.text != nil && (r.ExitCode == 0 || r.Verdict == release.Finished) {
		text = f.text
	}
	var err error
	if f.json {
		err = writeJSON(e.stdout, r)
	} else {
		_, err = io.WriteString(e.stdout, text(r))
	}
	if r.ExitCode != 0 {
		return &exitError{code: r.ExitCode}
	}
	return err
}

func writeReport(path string, r *release.Result) (err error) {
	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("the report cannot be written: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return r.WriteHTML(file)
}

// notes shows a release as it goes, in plain lines.
func notes(e *env) func(release.Note) {
	start := e.now()
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
	fmt.Fprintf(w, "%6.1fs %-12s %s%s\n", at.Seconds(), n.Step, mark, n.Text)
}

// connection is what a verb may ask for beside the settings.
type connection struct {
	change  func(*aws.Config)
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
	o := release.Options{Notify: c.notify, HTTP: client, Renew: release.Renewer(cfg)}
	if o.Notify == nil {
		o.Notify = notes(e)
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

const deployExitCodes = `
Exit codes: 0 released; 2 usage or settings; 3 refused before any change;
4 migration failed, services untouched; 5 rollout failed and rolled back;
6 rollout failed and not rolled back; 7 timed out; 8 superseded by another
deployment; 1 anything else, an interruption among it.`

func newDeployCommand(e *env) *cobra.Command {
	return deployCommand(e, &cobra.Command{
		Use:   "deploy",
		Short: "Release a build to Amazon ECS",
		Long: `deploy checks everything first, registers the new revisions, upgrades the database
once if that is needed, rolls every service, flushes the cache, moves cron, and
returns to what ran before if the roll fails:

  mck deploy --cluster production-app --service web --service consumers \
    --cron-rule magento-cron --build-num 300 --timeout 6m

Running the same command again carries on with a release that was interrupted.
` + deployExitCodes,
	}, outputFlags{}, (*release.Releaser).Deploy)
}

func newVerifyCommand(e *env) *cobra.Command {
	return deployCommand(e, &cobra.Command{
		Use:   "verify",
		Short: "Check whether a build could be released, and change nothing",
		Long: `verify is the preflight of deploy alone: cluster, services, images, roles, secrets,
log groups, cron rules, and what may be read. Everything that is wrong is reported
at once.
` + deployExitCodes,
	}, outputFlags{}, (*release.Releaser).Verify)
}

func newDiffCommand(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "diff",
		Short: "Show what releasing a build would change in the task definitions",
		Long: `diff prints the changes of every task definition, by container and variable.
Values that may be secret are not shown.

Exit codes: 0 shown; 2 usage or settings; 3 something is wrong; 1 anything else.`,
	}
	return deployCommand(e, cmd, outputFlags{text: (*release.Result).Diff}, (*release.Releaser).Diff)
}

// deployCommand is a verb with deploy's settings.
func deployCommand(e *env, cmd *cobra.Command, out outputFlags, do func(*release.Releaser, context.Context, release.Request) *release.Result) *cobra.Command {
	var s deploySettings
	var edits editFlags
	load := bindSettings(cmd, e, &s)
	edits.bind(cmd)
	out.bind(cmd)
	cmd.Args = usage(cobra.NoArgs)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx := cmd.Context()
		if err := load(ctx); err != nil {
			return err
		}
		if s.BuildNum == "" && s.From == "" {
			return &exitError{exitUsage, errors.New("no build is given: --build-num or BUILD_NUM, or --from to take what another cluster runs")}
		}
		r := s.request()
		if err := edits.fill(&r.Edits); err != nil {
			return &exitError{exitUsage, err}
		}
		return runRelease(ctx, e, s, r, out, nil, do)
	}
	return cmd
}

func runRelease(ctx context.Context, e *env, s deploySettings, r release.Request, out outputFlags, change func(*aws.Config), do func(*release.Releaser, context.Context, release.Request) *release.Result) error {
	r, err := checked(r)
	if err != nil {
		return err
	}
	if err := out.check(); err != nil {
		return err
	}
	releaser, err := newReleaser(ctx, e, s.AWS, connection{change: change, markers: s.markers})
	if err != nil {
		return err
	}
	return out.finish(e, do(releaser, ctx, r))
}

func newRollbackCommand(e *env) *cobra.Command {
	var s rollbackSettings
	var out outputFlags
	cmd := &cobra.Command{
		Use:   "rollback",
		Short: "Return the services and cron to the build that ran before",
		Long: `rollback stops a rollout in flight, or deploys the revisions of an earlier build
again, waits for it, flushes the cache and moves cron. The database stays as it is.

Exit codes: 0 the earlier build runs; 2 usage or settings; 3 refused before any
change; 6 the services are not back; 7 timed out; 8 superseded by another
deployment; 1 anything else.`,
		Args: usage(cobra.NoArgs),
	}
	load := bindSettings(cmd, e, &s)
	out.bind(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx := cmd.Context()
		if err := load(ctx); err != nil {
			return err
		}
		r := s.TargetSettings.request()
		s.TaskSettings.fill(&r)
		r.Build, r.Timeout, r.NoCacheFlush, r.By, r.DryRun = s.To, s.Timeout, !s.CacheFlush, s.By, s.DryRun
		return runRelease(ctx, e, deploySettings{TargetSettings: s.TargetSettings}, r, out, nil, (*release.Releaser).Rollback)
	}
	return cmd
}

type rollbackSettings struct {
	TargetSettings
	TaskSettings
	To         string        `env:"MCK_ROLLBACK_TO" flag:"to" doc:"build to return to; the one before, if not set"`
	Timeout    time.Duration `env:"MCK_TIMEOUT,default=10m" flag:"timeout" doc:"for the wait for all services together"`
	CacheFlush bool          `env:"MCK_CACHE_FLUSH,default=true" flag:"cache-flush" doc:"flush Magento's cache after the roll"`
	By         string        `env:"MCK_BY" or:"CIRCLE_USERNAME,GITHUB_ACTOR" flag:"by" doc:"who does this; AWS is asked if not set"`
	DryRun     bool          `env:"MCK_DRY_RUN" flag:"dry-run" doc:"say what would be done, and do nothing"`
}

func newStatusCommand(e *env) *cobra.Command {
	var s TargetSettings
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show which build runs where",
		Long: `status prints a table of the services and cron rules: build, commit, revision,
tasks, and where they do not agree.

Exit codes: 0 shown; 2 usage or settings; 1 something could not be read.`,
		Args: usage(cobra.NoArgs),
	}
	load := bindSettings(cmd, e, &s)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the status as JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		r, releaser, err := openTarget(cmd.Context(), e, load, &s)
		if err != nil {
			return err
		}
		st, err := releaser.Status(cmd.Context(), r)
		if err != nil {
			return err
		}
		if asJSON {
			return writeJSON(e.stdout, st)
		}
		t := tabwriter.NewWriter(e.stdout, 0, 0, 3, ' ', 0)
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
			for _, d := range row.Deployments {
				fmt.Fprintf(t, "\t\t\t\t%s\t\t\t\n", d)
			}
		}
		if err := t.Flush(); err != nil {
			return err
		}
		for _, d := range st.Drift {
			if _, err := fmt.Fprintf(e.stdout, "drift: %s\n", d); err != nil {
				return err
			}
		}
		return nil
	}
	return cmd
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// openTarget loads the settings of a verb that only looks, and connects.
func openTarget(ctx context.Context, e *env, load func(context.Context) error, s *TargetSettings) (release.Request, *release.Releaser, error) {
	if err := load(ctx); err != nil {
		return release.Request{}, nil, err
	}
	r, err := checked(s.request())
	if err != nil {
		return r, nil, err
	}
	releaser, err := newReleaser(ctx, e, s.AWS, connection{})
	return r, releaser, err
}

func newHistoryCommand(e *env) *cobra.Command {
	var s TargetSettings
	var asJSON bool
	var n int
	cmd := &cobra.Command{
		Use:   "history",
		Short: "Show which builds were released, by whom, when, and how it went",
		Long: `history lists the deployments that ECS remembers, which are those of the last 90
days. A build and a person are known of what mck released.

Exit codes: 0 shown; 2 usage or settings; 1 something could not be read.`,
		Args: usage(cobra.NoArgs),
	}
	load := bindSettings(cmd, e, &s)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the history as JSON")
	cmd.Flags().IntVarP(&n, "last", "n", 20, "how many of each service")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		r, releaser, err := openTarget(cmd.Context(), e, load, &s)
		if err != nil {
			return err
		}
		past, err := releaser.History(cmd.Context(), r, n)
		if err != nil {
			return err
		}
		if asJSON {
			return writeJSON(e.stdout, past)
		}
		t := tabwriter.NewWriter(e.stdout, 0, 0, 3, ' ', 0)
		fmt.Fprintln(t, "WHEN\tSERVICE\tBUILD\tREVISION\tSTATUS\tTOOK\tBY")
		for _, p := range past {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", p.At.UTC().Format("2006-01-02 15:04:05"), p.Service, orDash(p.Build), p.Revision, p.Status, p.Took, orDash(p.By))
		}
		return t.Flush()
	}
	return cmd
}

func newRunCommand(e *env) *cobra.Command {
	var s runSettings
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "run -- COMMAND [ARG...]",
		Short: "Run one command as a task on the revision that runs",
		Long: `run starts a one-off task on the first service's revision, with that service's
network, shows its log, and ends with the command's exit code:

  mck run --cluster production-app --service web -- bin/magento cache:status

Without an exit code of the command: 2 usage or settings; 3 refused; 7 timed out;
1 anything else.`,
		Args: usage(cobra.MinimumNArgs(1)),
	}
	load := bindSettings(cmd, e, &s)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the result as JSON")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		if err := load(ctx); err != nil {
			return err
		}
		r := s.TargetSettings.request()
		s.TaskSettings.fill(&r)
		r, err := checked(r)
		if err != nil {
			return err
		}
		show := notes(e)
		releaser, err := newReleaser(ctx, e, s.AWS, connection{notify: func(n release.Note) {
			if n.Level == release.LevelLog && !asJSON { // the command's own output
				fmt.Fprintln(e.stdout, n.Text)
				return
			}
			show(n)
		}})
		if err != nil {
			return err
		}
		out := outputFlags{json: asJSON, text: func(*release.Result) string { return "" }}
		return out.finish(e, releaser.Run(ctx, r, args))
	}
	return cmd
}

type runSettings struct {
	TargetSettings
	TaskSettings
}

func newEnvCommand(e *env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "env",
		Short: "Show or change the environment of the running containers",
	}
	cmd.AddCommand(newEnvListCommand(e), newEnvChangeCommand(e, true), newEnvChangeCommand(e, false))
	return cmd
}

func newEnvListCommand(e *env) *cobra.Command {
	var s TargetSettings
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the environment of every container; secret values are not shown",
		Args:  usage(cobra.NoArgs),
	}
	load := bindSettings(cmd, e, &s)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the list as JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		r, releaser, err := openTarget(cmd.Context(), e, load, &s)
		if err != nil {
			return err
		}
		list, err := releaser.EnvList(cmd.Context(), r)
		if err != nil {
			return err
		}
		if asJSON {
			return writeJSON(e.stdout, list)
		}
		t := tabwriter.NewWriter(e.stdout, 0, 0, 3, ' ', 0)
		fmt.Fprintln(t, "FOR\tCONTAINER\tNAME\tVALUE")
		for _, v := range list {
			value := v.Value
			if v.From != "" {
				value += " " + v.From
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", v.For, v.Container, v.Name, value)
		}
		return t.Flush()
	}
	return cmd
}

func newEnvChangeCommand(e *env, set bool) *cobra.Command {
	var s deploySettings
	var out outputFlags
	var secrets bool
	cmd := &cobra.Command{
		Use:   "unset NAME...",
		Short: "Remove variables, and roll the services",
		Long:  "unset removes variables from the containers that run the store's code, or with\nCONTAINER/NAME from that one, and rolls the services. The build stays.\n" + deployExitCodes,
		Args:  usage(cobra.MinimumNArgs(1)),
	}
	if set {
		cmd.Use, cmd.Short = "set NAME=VALUE...", "Set variables, and roll the services"
		cmd.Long = "set sets variables of the containers that run the store's code, or with\nCONTAINER/NAME=VALUE of that one, and rolls the services. The build stays. With --secret the values are ARNs of\nsecrets: a secret value itself has no place on a command line.\n" + deployExitCodes
		cmd.Flags().BoolVar(&secrets, "secret", false, "the values are ARNs of secrets or parameters")
	}
	load := bindSettings(cmd, e, &s)
	out.bind(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		ctx := cmd.Context()
		if err := load(ctx); err != nil {
			return err
		}
		s.BuildNum, s.From = "", ""
		r := s.request()
		edits := editFlags{unset: args}
		switch {
		case secrets:
			edits = editFlags{secret: args}
		case set:
			edits = editFlags{env: args}
		}
		if err := edits.fill(&r.Edits); err != nil {
			return &exitError{exitUsage, err}
		}
		return runRelease(ctx, e, s, r, out, nil, (*release.Releaser).EnvChange)
	}
	return cmd
}
