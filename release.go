package main

import (
	"context"
	"strconv"

	"github.com/magecloudkit/pipeline/internal/dagger"
)

// target adds what a release is about.
func (f *flags) target(cluster string, services, cronRules []string, prefix string, repositories []string) {
	f.text("cluster", cluster)
	f.list("service", services)
	f.list("cron-rule", cronRules)
	f.text("prefix", prefix)
	f.list("repository", repositories)
}

// Release a build to Amazon ECS, with no downtime.
//
// It checks everything first, registers the new revisions, upgrades the database
// once if that is needed, rolls every service, flushes the cache, moves cron, and
// returns to what ran before if the roll fails. The same command again carries on
// with a release that was interrupted.
//
// Exit codes: 0 released; 2 usage or settings; 3 refused before any change; 4
// migration failed, services untouched; 5 rollout failed and rolled back; 6 rollout
// failed and not rolled back; 7 timed out; 8 superseded by another deployment; 1
// anything else.
//
// +cache="never"
func (m *Magecloudkit) Deploy(
	ctx context.Context,
	// ECS cluster.
	cluster string,
	// ECS services; the first one's revision runs one-off tasks.
	service []string,
	// EventBridge rules that run cron, as NAME or BUS/NAME.
	//
	// +optional
	cronRule []string,
	// First part of the repositories' names.
	//
	// +default="magecloudkit"
	prefix string,
	// Repositories of the store's own images, instead of PREFIX/magento2 and PREFIX/nginx.
	//
	// +optional
	ecrRepository []string,
	// Number of the build, the tag of its images.
	//
	// +optional
	buildNum string,
	// Cluster whose running images are released, by digest, instead of a build number.
	//
	// +optional
	from string,
	// Name images by digest in the task definitions.
	//
	// +optional
	pinDigest bool,
	// Set an environment variable: NAME=VALUE, or CONTAINER/NAME=VALUE.
	//
	// +optional
	env []string,
	// Set a variable from a secret: NAME=ARN, or CONTAINER/NAME=ARN.
	//
	// +optional
	secret []string,
	// Remove a variable: NAME, or CONTAINER/NAME.
	//
	// +optional
	unset []string,
	// Whether the database is upgraded: auto, always or never.
	//
	// +default="auto"
	migrate string,
	// For the wait for all services together, as 6m.
	//
	// +default="10m"
	timeout string,
	// Wait for a deployment in progress instead of refusing.
	//
	// +optional
	waitForDeployment bool,
	// Tasks of every service; -1 leaves them.
	//
	// +default=-1
	desiredCount int,
	// Lower limit of healthy tasks during the roll; -1 leaves it.
	//
	// +default=-1
	minHealthyPercent int,
	// Upper limit of tasks during the roll; -1 leaves it.
	//
	// +default=-1
	maxPercent int,
	// The services' deployment circuit breaker: keep, off, on or rollback.
	//
	// +default="keep"
	circuitBreaker string,
	// Roll even if nothing has changed.
	//
	// +optional
	force bool,
	// Return to what ran before when the roll fails.
	//
	// +default=true
	rollback bool,
	// Deregister older revisions than the newest so many; 0 keeps all.
	//
	// +optional
	keepRevisions int,
	// CPU of the tasks: units (1024) or "1 vCPU".
	//
	// +optional
	taskCpu string,
	// Memory of the tasks: MiB (2048) or "2 GB".
	//
	// +optional
	taskMemory string,
	// Container that runs one-off commands. Default: the first of the store's own that is not nginx.
	//
	// +optional
	container string,
	// Who releases. Default: whom AWS knows.
	//
	// +optional
	by string,
	// Say what would be done, and do nothing.
	//
	// +optional
	dryRun bool,
	// Address that is sent the release as JSON.
	//
	// +optional
	webhookUrl *dagger.Secret,
	// New Relic user key, for change tracking.
	//
	// +optional
	newRelicApiKey *dagger.Secret,
	// New Relic entity that is released.
	//
	// +optional
	newRelicEntityGuid string,
	// Datadog API key, for an event.
	//
	// +optional
	datadogApiKey *dagger.Secret,
	// Print the result as JSON.
	//
	// +optional
	asJson bool,
) (string, error) {
	args := flags{"deploy"}
	args.target(cluster, service, cronRule, prefix, ecrRepository)
	args.text("build-num", buildNum)
	args.text("from", from)
	args.on("pin-digest", pinDigest)
	args.list("env", env)
	args.list("secret", secret)
	args.list("unset", unset)
	args.text("migrate", migrate)
	args.text("timeout", timeout)
	args.on("wait-for-deployment", waitForDeployment)
	args.number("desired-count", desiredCount)
	args.number("min-healthy-percent", minHealthyPercent)
	args.number("max-percent", maxPercent)
	args.text("circuit-breaker", circuitBreaker)
	args.on("force", force)
	args.text("rollback", strconv.FormatBool(rollback))
	args.number("keep-revisions", keepRevisions)
	args.text("task-cpu", taskCpu)
	args.text("task-memory", taskMemory)
	args.text("container", container)
	args.text("by", by)
	args.on("dry-run", dryRun)
	args.on("json", asJson)
	ctr, err := m.mck(ctx)
	if err != nil {
		return "", err
	}
	if newRelicEntityGuid != "" {
		ctr = ctr.WithEnvVariable("NEW_RELIC_ENTITY_GUID", newRelicEntityGuid)
	}
	for name, secret := range map[string]*dagger.Secret{"MCK_WEBHOOK_URL": webhookUrl, "NEW_RELIC_API_KEY": newRelicApiKey, "DATADOG_API_KEY": datadogApiKey} {
		if secret != nil {
			ctr = ctr.WithSecretVariable(name, secret)
		}
	}
	return ctr.WithExec(append([]string{"mck"}, args...)).Stdout(ctx)
}

// Return the services and cron to the build that ran before.
//
// It stops a rollout in flight, or deploys the revisions of an earlier build again,
// waits for it, flushes the cache and moves cron. The database stays as it is.
//
// +cache="never"
func (m *Magecloudkit) Rollback(
	ctx context.Context,
	// ECS cluster.
	cluster string,
	// ECS services; the first one's revision runs one-off tasks.
	service []string,
	// EventBridge rules that run cron, as NAME or BUS/NAME.
	//
	// +optional
	cronRule []string,
	// First part of the repositories' names.
	//
	// +default="magecloudkit"
	prefix string,
	// Repositories of the store's own images, instead of PREFIX/magento2 and PREFIX/nginx.
	//
	// +optional
	ecrRepository []string,
	// Build to return to. Default: the one before.
	//
	// +optional
	to string,
	// For the wait for all services together, as 6m.
	//
	// +default="10m"
	timeout string,
	// Who does this. Default: whom AWS knows.
	//
	// +optional
	by string,
	// Say what would be done, and do nothing.
	//
	// +optional
	dryRun bool,
	// Print the result as JSON.
	//
	// +optional
	asJson bool,
) (string, error) {
	args := flags{"rollback"}
	args.target(cluster, service, cronRule, prefix, ecrRepository)
	args.text("to", to)
	args.text("timeout", timeout)
	args.text("by", by)
	args.on("dry-run", dryRun)
	args.on("json", asJson)
	return m.verb(ctx, args)
}

// Show which build runs where, and where services, consumers and cron disagree.
//
// +cache="never"
func (m *Magecloudkit) Status(
	ctx context.Context,
	// ECS cluster.
	cluster string,
	// ECS services; the first one's revision runs one-off tasks.
	service []string,
	// EventBridge rules that run cron, as NAME or BUS/NAME.
	//
	// +optional
	cronRule []string,
	// First part of the repositories' names.
	//
	// +default="magecloudkit"
	prefix string,
	// Repositories of the store's own images, instead of PREFIX/magento2 and PREFIX/nginx.
	//
	// +optional
	ecrRepository []string,
	// Print the result as JSON.
	//
	// +optional
	asJson bool,
) (string, error) {
	args := flags{"status"}
	args.target(cluster, service, cronRule, prefix, ecrRepository)
	args.on("json", asJson)
	return m.verb(ctx, args)
}

// Show which builds were released, by whom, when, and how it went.
//
// +cache="never"
func (m *Magecloudkit) History(
	ctx context.Context,
	// ECS cluster.
	cluster string,
	// ECS services; the first one's revision runs one-off tasks.
	service []string,
	// EventBridge rules that run cron, as NAME or BUS/NAME.
	//
	// +optional
	cronRule []string,
	// First part of the repositories' names.
	//
	// +default="magecloudkit"
	prefix string,
	// Repositories of the store's own images, instead of PREFIX/magento2 and PREFIX/nginx.
	//
	// +optional
	ecrRepository []string,
	// How many of each service.
	//
	// +default=20
	last int,
	// Print the result as JSON.
	//
	// +optional
	asJson bool,
) (string, error) {
	args := flags{"history"}
	args.target(cluster, service, cronRule, prefix, ecrRepository)
	args.number("last", last)
	args.on("json", asJson)
	return m.verb(ctx, args)
}

// Check whether a build could be released, and change nothing.
//
// +cache="never"
func (m *Magecloudkit) Verify(
	ctx context.Context,
	// ECS cluster.
	cluster string,
	// ECS services; the first one's revision runs one-off tasks.
	service []string,
	// EventBridge rules that run cron, as NAME or BUS/NAME.
	//
	// +optional
	cronRule []string,
	// First part of the repositories' names.
	//
	// +default="magecloudkit"
	prefix string,
	// Repositories of the store's own images, instead of PREFIX/magento2 and PREFIX/nginx.
	//
	// +optional
	ecrRepository []string,
	// Number of the build, the tag of its images.
	//
	// +optional
	buildNum string,
	// Cluster whose running images are released, by digest, instead of a build number.
	//
	// +optional
	from string,
	// Name images by digest in the task definitions.
	//
	// +optional
	pinDigest bool,
	// Set an environment variable: NAME=VALUE, or CONTAINER/NAME=VALUE.
	//
	// +optional
	env []string,
	// Set a variable from a secret: NAME=ARN, or CONTAINER/NAME=ARN.
	//
	// +optional
	secret []string,
	// Remove a variable: NAME, or CONTAINER/NAME.
	//
	// +optional
	unset []string,
	// Print the result as JSON.
	//
	// +optional
	asJson bool,
) (string, error) {
	args := flags{"verify"}
	args.target(cluster, service, cronRule, prefix, ecrRepository)
	args.text("build-num", buildNum)
	args.text("from", from)
	args.on("pin-digest", pinDigest)
	args.list("env", env)
	args.list("secret", secret)
	args.list("unset", unset)
	args.on("json", asJson)
	return m.verb(ctx, args)
}

// Show what releasing a build would change in the task definitions.
//
// +cache="never"
func (m *Magecloudkit) Diff(
	ctx context.Context,
	// ECS cluster.
	cluster string,
	// ECS services; the first one's revision runs one-off tasks.
	service []string,
	// EventBridge rules that run cron, as NAME or BUS/NAME.
	//
	// +optional
	cronRule []string,
	// First part of the repositories' names.
	//
	// +default="magecloudkit"
	prefix string,
	// Repositories of the store's own images, instead of PREFIX/magento2 and PREFIX/nginx.
	//
	// +optional
	ecrRepository []string,
	// Number of the build, the tag of its images.
	//
	// +optional
	buildNum string,
	// Cluster whose running images are released, by digest, instead of a build number.
	//
	// +optional
	from string,
	// Name images by digest in the task definitions.
	//
	// +optional
	pinDigest bool,
	// Set an environment variable: NAME=VALUE, or CONTAINER/NAME=VALUE.
	//
	// +optional
	env []string,
	// Set a variable from a secret: NAME=ARN, or CONTAINER/NAME=ARN.
	//
	// +optional
	secret []string,
	// Remove a variable: NAME, or CONTAINER/NAME.
	//
	// +optional
	unset []string,
	// Print the result as JSON.
	//
	// +optional
	asJson bool,
) (string, error) {
	args := flags{"diff"}
	args.target(cluster, service, cronRule, prefix, ecrRepository)
	args.text("build-num", buildNum)
	args.text("from", from)
	args.on("pin-digest", pinDigest)
	args.list("env", env)
	args.list("secret", secret)
	args.list("unset", unset)
	args.on("json", asJson)
	return m.verb(ctx, args)
}

// Run one command as a task on the revision that runs, and show its log.
//
// It ends with the command's own exit code: `run --cluster=C --service=web
// --args=bin/magento,cache:status`.
//
// +cache="never"
func (m *Magecloudkit) Run(
	ctx context.Context,
	// ECS cluster.
	cluster string,
	// ECS services; the first one's revision runs one-off tasks.
	service []string,
	// EventBridge rules that run cron, as NAME or BUS/NAME.
	//
	// +optional
	cronRule []string,
	// First part of the repositories' names.
	//
	// +default="magecloudkit"
	prefix string,
	// Repositories of the store's own images, instead of PREFIX/magento2 and PREFIX/nginx.
	//
	// +optional
	ecrRepository []string,
	// The command and its arguments.
	args []string,
	// Container that runs it. Default: the first of the store's own that is not nginx.
	//
	// +optional
	container string,
	// For the task, as 30m.
	//
	// +default="30m"
	taskTimeout string,
	// Print the result as JSON.
	//
	// +optional
	asJson bool,
) (string, error) {
	line := flags{"run"}
	line.target(cluster, service, cronRule, prefix, ecrRepository)
	line.text("container", container)
	line.text("task-timeout", taskTimeout)
	line.on("json", asJson)
	return m.verb(ctx, append(append(line, "--"), args...))
}

// Environment is the environment of the containers that run.
type Environment struct {
	// +private
	Store *Magecloudkit
	// +private
	Target []string
}

// The environment of the running containers: list, set or unset variables.
func (m *Magecloudkit) Env(
	// ECS cluster.
	cluster string,
	// ECS services; the first one's revision runs one-off tasks.
	service []string,
	// EventBridge rules that run cron, as NAME or BUS/NAME.
	//
	// +optional
	cronRule []string,
	// First part of the repositories' names.
	//
	// +default="magecloudkit"
	prefix string,
	// Repositories of the store's own images, instead of PREFIX/magento2 and PREFIX/nginx.
	//
	// +optional
	ecrRepository []string,
) *Environment {
	var args flags
	args.target(cluster, service, cronRule, prefix, ecrRepository)
	return &Environment{Store: m, Target: args}
}

// List the environment of every container; secret values are not shown.
//
// +cache="never"
func (e *Environment) List(
	ctx context.Context,
	// Print the result as JSON.
	//
	// +optional
	asJson bool,
) (string, error) {
	args := append(flags{"env", "list"}, e.Target...)
	args.on("json", asJson)
	return e.Store.verb(ctx, args)
}

// Set variables of the store's own containers, and roll the services.
//
// +cache="never"
func (e *Environment) Set(
	ctx context.Context,
	// The variables, as NAME=VALUE or CONTAINER/NAME=VALUE.
	variables []string,
	// The values are ARNs of secrets or parameters: a secret value itself has no place on a command line.
	//
	// +optional
	secret bool,
	// Print the result as JSON.
	//
	// +optional
	asJson bool,
) (string, error) {
	args := append(flags{"env", "set"}, e.Target...)
	args.on("secret", secret)
	args.on("json", asJson)
	return e.Store.verb(ctx, append(append(args, "--"), variables...))
}

// Remove variables, and roll the services.
//
// +cache="never"
func (e *Environment) Unset(
	ctx context.Context,
	// The variables, as NAME or CONTAINER/NAME.
	names []string,
	// Print the result as JSON.
	//
	// +optional
	asJson bool,
) (string, error) {
	args := append(flags{"env", "unset"}, e.Target...)
	args.on("json", asJson)
	return e.Store.verb(ctx, append(append(args, "--"), names...))
}

// Release against a simulated AWS, failures included.
//
// Each scenario has a verdict that it must end with, and a state that it must leave
// behind. Time is simulated, and nothing outside is reached.
//
// +cache="never"
func (m *Magecloudkit) Rehearse(
	ctx context.Context,
	// The scenario to play. Default: all of them.
	//
	// +optional
	scenario string,
	// List the scenarios instead.
	//
	// +optional
	list bool,
	// Print the result as JSON.
	//
	// +optional
	asJson bool,
) (string, error) {
	args := flags{"rehearse"}
	args.text("scenario", scenario)
	args.on("list", list)
	args.on("all", scenario == "" && !list)
	args.on("json", asJson)
	return m.verb(ctx, args)
}
