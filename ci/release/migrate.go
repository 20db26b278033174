package release

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/magecloudkit/pipeline/ci/ecs"
)

// startedByUpgrade marks the task that upgrades the database. A release that
// finds one running never starts a second one.
const startedByUpgrade = "mck/setup-upgrade"

// fastStartup keeps the start script of MageCloudKit's first images from
// upgrading the database in every container.
var fastStartup = types.KeyValuePair{Name: aws.String("MAGE_FAST_STARTUP"), Value: aws.String("true")}

// runner runs one-off tasks for x.
func (x *run) runner() *ecs.Runner {
	return &ecs.Runner{
		API: x.ECS, Logs: x.Logs, Caller: x.caller, Clock: x.clock,
		Log:    func(l ecs.LogLine) { x.note(LevelLog, "%s", l.Text) },
		Status: func(arn, status string) { x.note(LevelInfo, "task %s: %s", ecs.TaskID(arn), strings.ToLower(status)) },
	}
}

// oneOff is a task on the first service's new revision, with that service's
// network and launch settings.
func (x *run) oneOff(command []string, startedBy string) (ecs.OneOff, error) {
	web := x.services[0]
	containers := web.rev.containers()
	container, err := taskContainer(x.req.TaskContainer, containers, x.own)
	if err != nil {
		return ecs.OneOff{}, fmt.Errorf("task definition %s: %w", ecs.RevisionName(web.rev.target), err)
	}
	sum := sha256.Sum256([]byte(strings.Join(append([]string{
		x.req.Cluster, web.rev.target, startedBy, x.res.Started.UTC().Format("20060102T150405.000000000"),
	}, command...), "\x00")))
	return ecs.OneOff{
		Cluster: x.req.Cluster, TaskDefinition: web.rev.target, Containers: containers, Container: container,
		Command: command, Env: []types.KeyValuePair{fastStartup}, Placement: ecs.PlacementOf(web.svc),
		StartedBy: startedBy, ClientToken: "mck-" + hex.EncodeToString(sum[:16]), Timeout: x.req.TaskTimeout,
	}, nil
}

// taskContainer picks the container that runs commands: the one asked for, or
// the first with an image of the store's own that is not nginx.
func taskContainer(asked string, containers []types.ContainerDefinition, own []string) (string, error) {
	var names []string
	picked := ""
	for _, c := range containers {
		name := aws.ToString(c.Name)
		names = append(names, name)
		ref, err := ecs.ParseReference(aws.ToString(c.Image))
		if picked == "" && err == nil && ref.InAny(own) && !strings.HasSuffix(ref.Path, "nginx") {
			picked = name
		}
		if asked != "" && name == asked {
			return name, nil
		}
	}
	if asked != "" || picked == "" {
		return "", fmt.Errorf("no container %q to run commands in: name one of %s with --container", asked, strings.Join(names, ", "))
	}
	return picked, nil
}

// runTask runs one command and keeps its end.
func (x *run) runTask(ctx context.Context, name string, command []string, startedBy string) (ecs.TaskEnd, error) {
	o, err := x.oneOff(command, startedBy)
	if err != nil {
		return ecs.TaskEnd{}, err
	}
	x.note(LevelInfo, "%s: a task of %s, container %s", strings.Join(command, " "), ecs.RevisionName(o.TaskDefinition), o.Container)
	end := x.runner().Run(ctx, o)
	x.keepTask(name, command, end)
	return end, nil
}

func (x *run) keepTask(name string, command []string, end ecs.TaskEnd) {
	x.res.Tasks = append(x.res.Tasks, TaskResult{Name: name, Command: command, TaskEnd: end})
	if end.LogNote != "" {
		x.note(LevelWarning, "%s", end.LogNote)
	}
	reason := ""
	if end.Verdict != ecs.TaskSucceeded {
		reason = parenthesis(end.Reason)
	}
	x.note(LevelInfo, "%s: %s%s", name, end.Verdict, reason)
}

// migrate upgrades the database where that is needed.
func (x *run) migrate(ctx context.Context) error {
	// An upgrade that an interrupted run of this build started is waited for;
	// one of another build must not meet this release.
	running, err := x.runningUpgrade(ctx)
	if err != nil {
		return err
	}
	if x.req.Migrate == MigrateNever {
		return fmt.Errorf("%w: --migrate never", errSkipped)
	}
	if running != "" {
		return x.upgrade(ctx, running)
	}
	if x.req.Migrate == MigrateAuto {
		needed, err := x.migrationNeeded(ctx)
		if err != nil {
			return err
		}
		if !needed {
			return fmt.Errorf("%w: the database is up to date", errSkipped)
		}
	}
	return x.upgrade(ctx, "")
}

// runningUpgrade finds a task that upgrades the database right now.
func (x *run) runningUpgrade(ctx context.Context) (string, error) {
	tasks, err := x.runner().Running(ctx, x.req.Cluster, startedByUpgrade)
	if err != nil {
		return "", fmt.Errorf("whether another upgrade is running cannot be found out: %w", err)
	}
	web := x.services[0]
	for _, t := range tasks {
		td := aws.ToString(t.TaskDefinitionArn)
		switch {
		case td == web.rev.target:
			return aws.ToString(t.TaskArn), nil
		case ecs.Family(td) == web.rev.family():
			return "", halt(Refused, "task %s of %s is upgrading the database right now: wait for its end; the services are untouched",
				ecs.TaskID(aws.ToString(t.TaskArn)), ecs.RevisionName(td))
		}
	}
	return "", nil
}

// magento's status commands end with this when there is something to do.
const statusNeeded = 2

// migrationNeeded asks setup:db:status and, if that has nothing to do,
// app:config:status.
func (x *run) migrationNeeded(ctx context.Context) (bool, error) {
	for _, name := range []string{"setup:db:status", "app:config:status"} {
		end, err := x.runTask(ctx, name, x.console(name), "mck/"+strings.ReplaceAll(name, ":", "-"))
		switch {
		case err != nil:
			return false, err
		case end.Verdict == ecs.TaskInterrupted:
			return false, halt(Interrupted, "interrupted while %s ran; the services are untouched", name)
		case end.Verdict == ecs.TaskSucceeded:
		case end.Verdict == ecs.TaskExited && *end.ExitCode == statusNeeded:
			x.note(LevelInfo, "%s: an upgrade is needed", name)
			return true, nil
		case end.Verdict == ecs.TaskUnknown:
			return false, halt(Broken, "%s: %s; the services are untouched", name, end.Reason)
		default:
			return false, halt(MigrationFailed, "%s: %s: %s; the database and the services are untouched", name, end.Verdict, end.Reason)
		}
	}
	return false, nil
}

func (x *run) console(args ...string) []string {
	return append(append([]string(nil), x.req.Console...), args...)
}

// upgrade runs setup:upgrade once, or waits for the one that is running, while
// cron is paused.
func (x *run) upgrade(ctx context.Context, running string) error {
	if err := x.pauseCron(ctx); err != nil {
		if ctx.Err() != nil {
			return halt(Interrupted, "interrupted before setup:upgrade; the database and the services are untouched")
		}
		return halt(MigrationFailed, "%v; the database and the services are untouched", err)
	}
	if err := x.drainCron(ctx); err != nil {
		return err
	}
	const name = "setup:upgrade"
	command := x.console(name, "--keep-generated", "--no-interaction")
	var end ecs.TaskEnd
	x.touched = true
	if running != "" {
		o, err := x.oneOff(command, startedByUpgrade)
		if err != nil {
			return err
		}
		x.note(LevelInfo, "%s is running already, as task %s: waiting for it", name, ecs.TaskID(running))
		end = x.runner().Adopt(ctx, o, running)
		x.keepTask(name, command, end)
	} else {
		var err error
		if end, err = x.runTask(ctx, name, command, startedByUpgrade); err != nil {
			return err
		}
	}
	switch end.Verdict {
	case ecs.TaskSucceeded:
		x.migrated = true
		return nil
	case ecs.TaskInterrupted:
		return halt(Interrupted, "%s: %s; the services are untouched; the same command waits for it", name, end.Reason)
	case ecs.TaskUnknown:
		return halt(Broken, "%s: %s; the services are untouched", name, end.Reason)
	case ecs.TaskNotPlaced, ecs.TaskNotStarted:
		x.touched = false
	}
	return halt(MigrationFailed, "%s: %s: %s; the services are untouched", name, end.Verdict, end.Reason)
}

// flushCache flushes Magento's cache once, on the new revision.
func (x *run) flushCache(ctx context.Context) error {
	if x.req.NoCacheFlush {
		return fmt.Errorf("%w: not asked for", errSkipped)
	}
	end, err := x.runTask(ctx, "cache:flush", x.console("cache:flush"), "mck/cache-flush")
	switch {
	case err != nil:
		return halt(Incomplete, "the services run the build, and the cache was not flushed: %v", err)
	case end.Verdict == ecs.TaskInterrupted:
		return halt(Interrupted, "the services run the build; interrupted while the cache was flushed")
	case end.Verdict != ecs.TaskSucceeded:
		return halt(Incomplete, "the services run the build, and the cache was not flushed: %s: %s", end.Verdict, end.Reason)
	}
	return nil
}
