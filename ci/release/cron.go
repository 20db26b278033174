package release

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/magecloudkit/pipeline/ci/ecs"
	"github.com/magecloudkit/pipeline/ci/words"
)

// pauseCron disables what starts cron for the time of the upgrade.
func (a *act) pauseCron(ctx context.Context) error {
	for _, c := range a.crons {
		if !c.enabled && !c.left {
			continue
		}
		begun, err := c.pause(ctx, a.req.Build)
		if begun {
			c.paused, c.res.Paused = true, true
		}
		if err != nil {
			return err
		}
		c.res.Enabled = false
		a.note(LevelInfo, sayCronDisabled, c.subject())
	}
	return nil
}

// drainTime bounds the wait for cron jobs that run while what starts them is
// disabled.
const drainTime = 5 * time.Minute

// drainCron waits for the cron jobs that were running when the rules were
// disabled: they would work on tables that the upgrade changes.
func (a *act) drainCron(ctx context.Context) error {
	var families []string
	for _, c := range a.crons {
		for i, p := range c.revs {
			if p != nil && c.paused {
				add(&families, ecs.Family(c.definitions[i]))
			}
		}
	}
	deadline := a.clock.Now().Add(drainTime)
	told := false
	for _, family := range families {
		for {
			n, err := a.cronJobs(ctx, family)
			if err != nil {
				a.note(LevelWarning, sayCronJobsUnread, err)
				break
			}
			if n == 0 {
				break
			}
			if !told {
				a.note(LevelInfo, sayCronJobsWaited, words.Plural(n, "task"))
				told = true
			}
			if now := a.clock.Now(); !now.Before(deadline) {
				a.note(LevelWarning, sayCronJobsLeft, words.Plural(n, "task"), drainTime)
				return nil
			}
			if err := a.clock.Sleep(ctx, ecs.PollFirst); err != nil {
				return halt(Interrupted, sayInterruptedBeforeUpgrade)
			}
		}
	}
	return nil
}

// cronJobs counts the running tasks of a family that EventBridge started.
func (a *act) cronJobs(ctx context.Context, family string) (int, error) {
	tasks, err := a.familyTasks(ctx, a.req.Cluster, family)
	n := 0
	for _, t := range tasks {
		if aws.ToString(t.LastStatus) != "STOPPED" && slices.ContainsFunc(a.crons, func(c *cron) bool { return c.starts(aws.ToString(t.StartedBy)) }) {
			n++
		}
	}
	return n, err
}

// resumeCron enables again what was disabled. It runs whatever happened, on a
// context of its own. What an earlier run left disabled is left alone by a
// release that was refused: that run may be alive.
func (a *act) resumeCron(ctx context.Context, v Verdict) error {
	ctx = context.WithoutCancel(ctx)
	if a.upgrading = a.unfinishedUpgrade(ctx); a.upgrading != "" {
		if v.ExitCode() != 0 {
			return nil // the state tells
		}
		return fmt.Errorf(sayCronWaitsForUpgrade, ecs.TaskID(a.upgrading))
	}
	var errs []error
	for _, c := range a.crons {
		if !c.paused && (!c.marked || v == Refused) {
			continue
		}
		if c.paused || c.left {
			if err := c.resume(ctx); err != nil {
				errs = append(errs, fmt.Errorf(sayCronNotEnabled, c.subject(), err))
				c.res.Enabled = false
				continue
			}
			c.res.Enabled = true
			a.note(LevelInfo, sayCronEnabled, c.subject())
		}
		c.paused, c.left, c.marked = false, false, false
		if err := c.unmark(ctx); err != nil {
			a.note(LevelWarning, sayCronTagLeft, c.subject(), TagPaused, err)
		}
	}
	return errors.Join(errs...)
}

// moveCron points the ECS targets of rules and schedules at the new revisions.
func (a *act) moveCron(ctx context.Context) error {
	if len(a.crons) == 0 {
		return fmt.Errorf(sayNoCron, errSkipped)
	}
	moved := 0
	for _, c := range a.crons {
		change := make([]string, len(c.definitions))
		after := []string{}
		same := true
		for i, definition := range c.definitions {
			if c.revs[i] == nil {
				continue
			}
			change[i] = c.revs[i].target
			after = append(after, ecs.RevisionName(change[i]))
			same = same && definition == change[i]
		}
		if same {
			continue
		}
		if err := c.move(ctx, change); err != nil {
			return halt(Incomplete, sayCronNotMoved, c.subject(), strings.Join(c.res.Before, ", "), err)
		}
		c.definitions, c.res.After = change, after
		moved++
		a.note(LevelInfo, sayMoved, c.subject(), strings.Join(c.res.Before, ", "), strings.Join(after, ", "))
	}
	if moved == 0 {
		return fmt.Errorf(sayCronUpToDate, errSkipped)
	}
	return nil
}
