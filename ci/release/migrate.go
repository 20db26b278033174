package release

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
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

// runner runs one-off tasks for a.
func (a *act) runner() *ecs.Runner {
	return &ecs.Runner{
		API: a.ECS, Logs: a.Logs, Caller: a.caller, Clock: a.clock,
		Log:    func(l ecs.LogLine) { a.note(LevelLog, "%s", l.Text) },
		Status: func(arn, status string) { a.note(LevelInfo, "task %s: %s", ecs.TaskID(arn), strings.ToLower(status)) },
	}
}

// oneOff is a task on the first service's new revision, or on the one that it has
// returned to, with that service's network and launch settings.
func (a *act) oneOff(command []string, startedBy string) (ecs.OneOff, error) {
	web := a.services[0]
	revision, containers := web.rev.target, web.rev.containers()
	if a.wentBack {
		revision, containers = web.prior, web.rev.before.TaskDefinition.ContainerDefinitions
	}
	container, err := taskContainer(a.req.TaskContainer, containers, a.own)
	if err != nil {
		return ecs.OneOff{}, fmt.Errorf("task definition %s: %w", ecs.RevisionName(revision), err)
	}
	sum := sha256.Sum256([]byte(strings.Join(append([]string{
		a.req.Cluster, revision, startedBy, a.res.Started.UTC().Format("20060102T150405.000000000"),
	}, command...), "\x00")))
	return ecs.OneOff{
		Cluster: a.req.Cluster, TaskDefinition: revision, Containers: containers, Container: container,
		Command: command, Env: []types.KeyValuePair{fastStartup}, Placement: ecs.PlacementOf(web.svc),
		StartedBy: startedBy, ClientToken: "mck-" + hex.EncodeToString(sum[:16]), Timeout: a.req.TaskTimeout,
	}, nil
}

// runTask runs one command and keeps its end.
func (a *act) runTask(ctx context.Context, name string, command []string, startedBy string) (ecs.TaskEnd, error) {
	o, err := a.oneOff(command, startedBy)
	if err != nil {
		return ecs.TaskEnd{}, err
	}
	a.note(LevelInfo, sayTaskBegins, strings.Join(command, " "), ecs.RevisionName(o.TaskDefinition), o.Container)
	end := a.runner().Run(ctx, o)
	a.keepTask(name, command, end)
	return end, nil
}

func (a *act) keepTask(name string, command []string, end ecs.TaskEnd) {
	a.res.Tasks = append(a.res.Tasks, TaskResult{Name: name, Command: command, TaskEnd: end})
	if end.LogNote != "" {
		a.note(LevelWarning, "%s", end.LogNote)
	}
	reason := ""
	if end.Verdict != ecs.TaskSucceeded {
		reason = parenthesis(end.Reason)
	}
	a.note(LevelInfo, "%s: %s%s", name, end.Verdict, reason)
}

// migrate upgrades the database where that is needed.
func (a *act) migrate(ctx context.Context) error {
	// An upgrade that an interrupted run of this build started is waited for;
	// one of another build must not meet this release.
	running, err := a.runningUpgrade(ctx)
	if err != nil {
		return err
	}
	if a.req.Migrate == MigrateNever {
		return fmt.Errorf(sayMigrateNever, errSkipped)
	}
	if running != "" {
		return a.upgrade(ctx, running)
	}
	if a.req.Migrate == MigrateAuto {
		needed, err := a.migrationNeeded(ctx)
		if err != nil {
			return err
		}
		if !needed {
			return fmt.Errorf(sayUpToDate, errSkipped)
		}
	}
	return a.upgrade(ctx, "")
}

// unfinishedUpgrade finds a task that upgrades the database, whatever started it. It
// asks only where a rule is disabled on account of one and this run has not seen how
// that ended.
func (a *act) unfinishedUpgrade(ctx context.Context) string {
	if a.upgrading != "" || a.touched || !slices.ContainsFunc(a.crons, func(c *cron) bool { return c.left }) {
		return a.upgrading
	}
	tasks, err := a.runner().Running(ctx, a.req.Cluster, startedByUpgrade)
	if err != nil {
		a.note(LevelWarning, sayUpgradeUnread, err)
		return ""
	}
	for _, t := range tasks {
		if slices.ContainsFunc(a.revs, func(p *revision) bool { return p.family() == ecs.Family(aws.ToString(t.TaskDefinitionArn)) }) {
			return aws.ToString(t.TaskArn)
		}
	}
	return ""
}

// runningUpgrade finds a task that upgrades the database right now.
func (a *act) runningUpgrade(ctx context.Context) (string, error) {
	tasks, err := a.runner().Running(ctx, a.req.Cluster, startedByUpgrade)
	if err != nil {
		return "", fmt.Errorf(sayUpgradeUnknown, err)
	}
	web := a.services[0]
	for _, t := range tasks {
		td := aws.ToString(t.TaskDefinitionArn)
		switch {
		case td == web.rev.target:
			return aws.ToString(t.TaskArn), nil
		case ecs.Family(td) == web.rev.family():
			return "", halt(Refused, sayUpgradeOfAnother,
				ecs.TaskID(aws.ToString(t.TaskArn)), ecs.RevisionName(td))
		}
	}
	return "", nil
}

// magento's status commands end with this when there is something to do.
const statusNeeded = 2

// migrationNeeded asks setup:db:status and, if that has nothing to do,
// app:config:status.
func (a *act) migrationNeeded(ctx context.Context) (bool, error) {
	for _, name := range []string{"setup:db:status", "app:config:status"} {
		end, err := a.runTask(ctx, name, a.console(name), "mck/"+strings.ReplaceAll(name, ":", "-"))
		switch {
		case err != nil:
			return false, err
		case end.Verdict == ecs.TaskInterrupted:
			return false, halt(Interrupted, sayInterruptedInCheck, name)
		case end.Verdict == ecs.TaskSucceeded:
		case end.Verdict == ecs.TaskExited && *end.ExitCode == statusNeeded:
			a.note(LevelInfo, sayUpgradeNeeded, name)
			return true, nil
		case end.Verdict == ecs.TaskUnknown:
			return false, halt(Broken, sayServicesUntouched, name, end.Reason)
		default:
			return false, halt(MigrationFailed, sayCheckFailed, name, end.Verdict, end.Reason)
		}
	}
	return false, nil
}

// upgrade runs setup:upgrade once, or waits for the one that is running, while
// cron is paused.
func (a *act) upgrade(ctx context.Context, running string) error {
	if err := a.pauseCron(ctx); err != nil {
		if ctx.Err() != nil {
			return halt(Interrupted, sayInterruptedBeforeUpgrade)
		}
		return halt(MigrationFailed, sayAllUntouched, err)
	}
	if err := a.drainCron(ctx); err != nil {
		return err
	}
	const name = "setup:upgrade"
	command := a.console(name, "--keep-generated", "--no-interaction")
	var end ecs.TaskEnd
	a.touched = true
	if running != "" {
		o, err := a.oneOff(command, startedByUpgrade)
		if err != nil {
			return err
		}
		a.note(LevelInfo, sayUpgradeRuns, name, ecs.TaskID(running))
		end = a.runner().Adopt(ctx, o, running)
		a.keepTask(name, command, end)
	} else {
		var err error
		if end, err = a.runTask(ctx, name, command, startedByUpgrade); err != nil {
			return err
		}
	}
	switch end.Verdict {
	case ecs.TaskSucceeded:
		a.migrated = true
		return nil
	case ecs.TaskInterrupted:
		a.upgrading = end.ARN
		return halt(Interrupted, sayUpgradeInterrupted, name, end.Reason)
	case ecs.TaskUnknown:
		a.upgrading = end.ARN
		return halt(Broken, sayServicesUntouched, name, end.Reason)
	case ecs.TaskNotPlaced, ecs.TaskNotStarted:
		a.touched = false
	}
	return halt(MigrationFailed, sayUpgradeFailed, name, end.Verdict, end.Reason)
}

// flushCache flushes Magento's cache once, on the revision that the services run.
func (a *act) flushCache(ctx context.Context) error {
	if a.req.NoCacheFlush {
		return fmt.Errorf(sayNotAskedFor, errSkipped)
	}
	end, err := a.runTask(ctx, "cache:flush", a.console("cache:flush"), "mck/cache-flush")
	switch {
	case err != nil:
		return halt(Incomplete, sayCacheNotBegun, err)
	case end.Verdict == ecs.TaskInterrupted:
		return halt(Interrupted, sayCacheInterrupted)
	case end.Verdict != ecs.TaskSucceeded:
		return halt(Incomplete, sayCacheFailed, end.Verdict, end.Reason)
	}
	a.flushed = true
	return nil
}

// endOfCommand is the end of an operation that is a command, but for its exit code,
// which says it all where there is one.
func endOfCommand(end ecs.TaskEnd) error {
	switch {
	case end.Verdict == ecs.TaskInterrupted:
		return halt(Interrupted, "%s", end.Reason)
	case end.Verdict == ecs.TaskTimedOut:
		return halt(TimedOut, "%s", end.Reason)
	case end.Verdict == ecs.TaskSucceeded, end.Verdict == ecs.TaskExited, end.Verdict == ecs.TaskKilled && end.ExitCode != nil:
		return nil
	}
	return halt(Broken, "%s: %s", end.Verdict, end.Reason)
}
