package release

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"github.com/magecloudkit/pipeline/ci/ecs"
)

// TagPaused is left on a cron rule while a release keeps it disabled, so that
// the next run knows that it is to be enabled again.
const TagPaused = "magecloudkit:paused-for"

// cronPlan is one EventBridge rule that runs cron.
type cronPlan struct {
	given   string // as in the request
	rule    string
	bus     *string
	arn     string
	enabled bool
	// marked: an earlier run left its mark. left: it disabled the rule, and
	// did not get to enable it.
	marked  bool
	left    bool
	targets []types.Target
	revs    []*revisionPlan // by target; nil: not an ECS task
	paused  bool            // by this run, now
	res     CronResult
}

func (c *cronPlan) subject() string { return "cron rule " + c.given }

// readCron reads the rules and the task definitions of their targets.
func (x *run) readCron(ctx context.Context) {
	for _, given := range x.req.CronRules {
		c := &cronPlan{given: given, rule: given}
		if i := strings.LastIndexByte(given, '/'); i >= 0 {
			c.bus, c.rule = aws.String(given[:i]), given[i+1:]
		}
		rule, err := call(ctx, x, "DescribeRule", func(ctx context.Context) (*eventbridge.DescribeRuleOutput, error) {
			return x.Events.DescribeRule(ctx, &eventbridge.DescribeRuleInput{Name: aws.String(c.rule), EventBusName: c.bus})
		})
		if err != nil {
			if ecs.Code(err) == "ResourceNotFoundException" {
				x.find(SeverityError, c.subject(), "check --cron-rule; a rule on another bus is written BUS/NAME", "does not exist")
			} else {
				x.find(SeverityError, c.subject(), "", "cannot be read: %v", err)
			}
			continue
		}
		c.arn = aws.ToString(rule.Arn)
		c.enabled = rule.State != types.RuleStateDisabled
		if c.targets, err = x.cronTargets(ctx, c); err != nil {
			x.find(SeverityError, c.subject(), "", "its targets cannot be read: %v", err)
			continue
		}
		x.wasPaused(ctx, c)
		c.res = CronResult{Rule: given, Enabled: c.enabled}
		for _, t := range c.targets {
			if t.EcsParameters == nil {
				c.revs = append(c.revs, nil)
				continue
			}
			name := aws.ToString(t.EcsParameters.TaskDefinitionArn)
			c.res.Before = append(c.res.Before, ecs.RevisionName(name))
			if !strings.Contains(ecs.RevisionName(name), ":") {
				x.find(SeverityWarning, c.subject(), "",
					"names %s without a revision, so cron starts the new one as soon as it is registered; after this release it names a revision", ecs.RevisionName(name))
			}
			c.revs = append(c.revs, x.cronRevision(ctx, c, name))
		}
		c.res.After = c.res.Before
		if !slices.ContainsFunc(c.revs, func(p *revisionPlan) bool { return p != nil }) && !x.refused() {
			x.find(SeverityError, c.subject(), "leave it out of --cron-rule", "has no target that runs an ECS task")
		}
		x.crons = append(x.crons, c)
	}
}

// cronRevision is the plan for a target's task definition. Cron that shares a
// family with a service moves with it, wherever it was left behind.
func (x *run) cronRevision(ctx context.Context, c *cronPlan, name string) *revisionPlan {
	for _, p := range x.services {
		if p.rev != nil && p.rev.family() == ecs.Family(name) {
			add(&p.rev.users, c.subject())
			return p.rev
		}
	}
	return x.revision(ctx, name, c.subject())
}

func (x *run) cronTargets(ctx context.Context, c *cronPlan) ([]types.Target, error) {
	var targets []types.Target
	var token *string
	for {
		out, err := call(ctx, x, "ListTargetsByRule", func(ctx context.Context) (*eventbridge.ListTargetsByRuleOutput, error) {
			return x.Events.ListTargetsByRule(ctx, &eventbridge.ListTargetsByRuleInput{Rule: aws.String(c.rule), EventBusName: c.bus, NextToken: token})
		})
		if err != nil {
			return nil, err
		}
		targets = append(targets, out.Targets...)
		if token = out.NextToken; token == nil {
			return targets, nil
		}
	}
}

// wasPaused finds out whether a rule was disabled by a release that did not
// live to enable it again.
func (x *run) wasPaused(ctx context.Context, c *cronPlan) {
	out, err := call(ctx, x, "events:ListTagsForResource", func(ctx context.Context) (*eventbridge.ListTagsForResourceOutput, error) {
		return x.Events.ListTagsForResource(ctx, &eventbridge.ListTagsForResourceInput{ResourceARN: aws.String(c.arn)})
	})
	if err != nil {
		x.unread(c.subject(), "events:ListTagsForResource", err)
		return
	}
	for _, t := range out.Tags {
		if aws.ToString(t.Key) != TagPaused {
			continue
		}
		c.marked = true
		if !c.enabled {
			c.left = true
			x.find(SeverityWarning, c.subject(), "", "was disabled by the release of build %s, which did not enable it again; this run will", aws.ToString(t.Value))
		}
		return
	}
	if !c.enabled {
		x.find(SeverityWarning, c.subject(), "", "is disabled, and stays so")
	}
}

// pauseCron disables the rules for the time of the upgrade. The tag is written
// first: a run that dies in between leaves a tag too many rather than a rule
// that nobody enables.
func (x *run) pauseCron(ctx context.Context) error {
	for _, c := range x.crons {
		if !c.enabled && !c.left {
			continue
		}
		_, err := call(ctx, x, "events:TagResource", func(ctx context.Context) (*eventbridge.TagResourceOutput, error) {
			return x.Events.TagResource(ctx, &eventbridge.TagResourceInput{
				ResourceARN: aws.String(c.arn), Tags: []types.Tag{{Key: aws.String(TagPaused), Value: aws.String(tagValue(x.req.Build))}},
			})
		})
		if err != nil {
			return fmt.Errorf("%s cannot be marked as paused: %w", c.subject(), err)
		}
		c.paused, c.res.Paused = true, true
		_, err = call(ctx, x, "DisableRule", func(ctx context.Context) (*eventbridge.DisableRuleOutput, error) {
			return x.Events.DisableRule(ctx, &eventbridge.DisableRuleInput{Name: aws.String(c.rule), EventBusName: c.bus})
		})
		if err != nil {
			return fmt.Errorf("%s cannot be disabled: %w", c.subject(), err)
		}
		c.res.Enabled = false
		x.note(LevelInfo, "%s is disabled while the database is upgraded", c.subject())
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
func (x *run) drainCron(ctx context.Context) error {
	var families []string
	for _, c := range x.crons {
		for i, p := range c.revs {
			if p != nil && c.paused {
				add(&families, ecs.Family(aws.ToString(c.targets[i].EcsParameters.TaskDefinitionArn)))
			}
		}
	}
	deadline := x.clock.Now().Add(drainTime)
	told := false
	for _, family := range families {
		for {
			n, err := x.cronJobs(ctx, family)
			if err != nil {
				x.note(LevelWarning, "whether cron jobs are still running cannot be read: %v", err)
				break
			}
			if n == 0 {
				break
			}
			if !told {
				x.note(LevelInfo, "waiting for %s of cron that still run", plural(n, "task"))
				told = true
			}
			if now := x.clock.Now(); !now.Before(deadline) {
				x.note(LevelWarning, "%s of cron still run after %s; the upgrade begins all the same", plural(n, "task"), drainTime)
				return nil
			}
			if err := x.clock.Sleep(ctx, ecs.PollFirst); err != nil {
				return halt(Interrupted, "interrupted before setup:upgrade; the database and the services are untouched")
			}
		}
	}
	return nil
}

// cronJobs counts the running tasks of a family that EventBridge started.
func (x *run) cronJobs(ctx context.Context, family string) (int, error) {
	tasks, err := x.familyTasks(ctx, family)
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
func (x *run) resumeCron(ctx context.Context, v Verdict) error {
	ctx = context.WithoutCancel(ctx)
	var errs []error
	for _, c := range x.crons {
		if !c.paused && (!c.marked || v == Refused) {
			continue
		}
		if c.paused || c.left {
			_, err := call(ctx, x, "EnableRule", func(ctx context.Context) (*eventbridge.EnableRuleOutput, error) {
				return x.Events.EnableRule(ctx, &eventbridge.EnableRuleInput{Name: aws.String(c.rule), EventBusName: c.bus})
			})
			if err != nil {
				errs = append(errs, fmt.Errorf("%s is disabled and cannot be enabled: %w; run the same command again, or enable it by hand", c.subject(), err))
				c.res.Enabled = false
				continue
			}
			c.res.Enabled = true
			x.note(LevelInfo, "%s is enabled again", c.subject())
		}
		c.paused, c.left, c.marked = false, false, false
		_, err := call(ctx, x, "events:UntagResource", func(ctx context.Context) (*eventbridge.UntagResourceOutput, error) {
			return x.Events.UntagResource(ctx, &eventbridge.UntagResourceInput{ResourceARN: aws.String(c.arn), TagKeys: []string{TagPaused}})
		})
		if err != nil {
			x.note(LevelWarning, "%s keeps the tag %s: %v", c.subject(), TagPaused, err)
		}
	}
	return errors.Join(errs...)
}

// moveCron points the rules' ECS targets at the new revisions. Everything else
// of a target stays: input, role, network, overrides.
func (x *run) moveCron(ctx context.Context) error {
	return x.pointCron(ctx, func(p *revisionPlan) string { return p.target })
}

func (x *run) pointCron(ctx context.Context, to func(*revisionPlan) string) error {
	if len(x.crons) == 0 {
		return fmt.Errorf("%w: no cron rule was given", errSkipped)
	}
	moved := 0
	for _, c := range x.crons {
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
		out, err := call(ctx, x, "PutTargets", func(ctx context.Context) (*eventbridge.PutTargetsOutput, error) {
			return x.Events.PutTargets(ctx, &eventbridge.PutTargetsInput{Rule: aws.String(c.rule), EventBusName: c.bus, Targets: change})
		})
		if err != nil {
			return halt(Incomplete, "%s still runs %s: %v", c.subject(), strings.Join(c.res.Before, ", "), err)
		}
		// AWS answers 200 and lists here what it could not do.
		if len(out.FailedEntries) > 0 {
			f := out.FailedEntries[0]
			return halt(Incomplete, "%s still runs %s: target %s: %s %s", c.subject(), strings.Join(c.res.Before, ", "),
				aws.ToString(f.TargetId), aws.ToString(f.ErrorCode), aws.ToString(f.ErrorMessage))
		}
		c.res.After = after
		moved++
		x.note(LevelInfo, "%s: %s -> %s", c.subject(), strings.Join(c.res.Before, ", "), strings.Join(after, ", "))
	}
	if moved == 0 {
		return fmt.Errorf("%w: cron runs the build already", errSkipped)
	}
	return nil
}
