package release

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"github.com/magecloudkit/pipeline/ci/ecs"
)

// pauseCron disables the rules for the time of the upgrade. The tag is written
// first: a run that dies in between leaves a tag too many rather than a rule
// that nobody enables.
func (a *act) pauseCron(ctx context.Context) error {
	for _, c := range a.crons {
		if !c.enabled && !c.left {
			continue
		}
		_, err := call(ctx, a.session, "events:TagResource", func(ctx context.Context) (*eventbridge.TagResourceOutput, error) {
			return a.Events.TagResource(ctx, &eventbridge.TagResourceInput{
				ResourceARN: aws.String(c.arn), Tags: []types.Tag{{Key: aws.String(TagPaused), Value: aws.String(tagValue(a.req.Build))}},
			})
		})
		if err != nil {
			return fmt.Errorf(sayCronUnmarked, c.subject(), err)
		}
		c.paused, c.res.Paused = true, true
		_, err = call(ctx, a.session, "DisableRule", func(ctx context.Context) (*eventbridge.DisableRuleOutput, error) {
			return a.Events.DisableRule(ctx, &eventbridge.DisableRuleInput{Name: aws.String(c.rule), EventBusName: c.bus})
		})
		if err != nil {
			return fmt.Errorf(sayCronNotDisabled, c.subject(), err)
		}
		c.res.Enabled = false
		a.note(LevelInfo, sayCronDisabled, c.subject())
	}
	return nil
}

// drainTime bounds the wait for cron jobs that run while the rules are
// disabled.
const drainTime = 5 * time.Minute

// startedByRule is what EventBridge begins the mark of its tasks with.
const startedByRule = "events-rule/"

// drainCron waits for the cron jobs that were running when the rules were
// disabled: they would work on tables that the upgrade changes.
func (a *act) drainCron(ctx context.Context) error {
	var families []string
	for _, c := range a.crons {
		for i, p := range c.revs {
			if p != nil && c.paused {
				add(&families, ecs.Family(aws.ToString(c.targets[i].EcsParameters.TaskDefinitionArn)))
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
				a.note(LevelInfo, sayCronJobsWaited, plural(n, "task"))
				told = true
			}
			if now := a.clock.Now(); !now.Before(deadline) {
				a.note(LevelWarning, sayCronJobsLeft, plural(n, "task"), drainTime)
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
		if strings.HasPrefix(aws.ToString(t.StartedBy), startedByRule) && aws.ToString(t.LastStatus) != "STOPPED" {
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
			_, err := call(ctx, a.session, "EnableRule", func(ctx context.Context) (*eventbridge.EnableRuleOutput, error) {
				return a.Events.EnableRule(ctx, &eventbridge.EnableRuleInput{Name: aws.String(c.rule), EventBusName: c.bus})
			})
			if err != nil {
				errs = append(errs, fmt.Errorf(sayCronNotEnabled, c.subject(), err))
				c.res.Enabled = false
				continue
			}
			c.res.Enabled = true
			a.note(LevelInfo, sayCronEnabled, c.subject())
		}
		c.paused, c.left, c.marked = false, false, false
		_, err := call(ctx, a.session, "events:UntagResource", func(ctx context.Context) (*eventbridge.UntagResourceOutput, error) {
			return a.Events.UntagResource(ctx, &eventbridge.UntagResourceInput{ResourceARN: aws.String(c.arn), TagKeys: []string{TagPaused}})
		})
		if err != nil {
			a.note(LevelWarning, sayCronTagLeft, c.subject(), TagPaused, err)
		}
	}
	return errors.Join(errs...)
}

// moveCron points the rules' ECS targets at the new revisions. Everything else
// of a target stays: input, role, network, overrides.
func (a *act) moveCron(ctx context.Context) error {
	return a.pointCron(ctx, func(p *revision) string { return p.target })
}

func (a *act) pointCron(ctx context.Context, to func(*revision) string) error {
	if len(a.crons) == 0 {
		return fmt.Errorf(sayNoCron, errSkipped)
	}
	moved := 0
	for _, c := range a.crons {
		var change []types.Target
		after := []string{}
		for i, t := range c.targets {
			if c.revs[i] == nil {
				continue
			}
			want := to(c.revs[i])
			after = append(after, ecs.RevisionName(want))
			if aws.ToString(t.EcsParameters.TaskDefinitionArn) == want {
				continue
			}
			p := *t.EcsParameters
			p.TaskDefinitionArn = aws.String(want)
			t.EcsParameters = &p
			change = append(change, t)
			c.targets[i] = t
		}
		if len(change) == 0 {
			continue
		}
		out, err := call(ctx, a.session, "PutTargets", func(ctx context.Context) (*eventbridge.PutTargetsOutput, error) {
			return a.Events.PutTargets(ctx, &eventbridge.PutTargetsInput{Rule: aws.String(c.rule), EventBusName: c.bus, Targets: change})
		})
		if err != nil {
			return halt(Incomplete, sayCronNotMoved, c.subject(), strings.Join(c.res.Before, ", "), err)
		}
		// AWS answers 200 and lists here what it could not do.
		if len(out.FailedEntries) > 0 {
			f := out.FailedEntries[0]
			return halt(Incomplete, sayCronTargetNotMoved, c.subject(), strings.Join(c.res.Before, ", "),
				aws.ToString(f.TargetId), aws.ToString(f.ErrorCode), aws.ToString(f.ErrorMessage))
		}
		c.res.After = after
		moved++
		a.note(LevelInfo, sayMoved, c.subject(), strings.Join(c.res.Before, ", "), strings.Join(after, ", "))
	}
	if moved == 0 {
		return fmt.Errorf(sayCronUpToDate, errSkipped)
	}
	return nil
}
