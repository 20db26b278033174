package release

import (
	"context"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"github.com/magecloudkit/pipeline/ci/ecs"
)

// readCron reads the rules and the task definitions of their targets.
func (v *survey) readCron(ctx context.Context) {
	for _, given := range v.req.CronRules {
		c := &cronRule{given: given, rule: given}
		if i := strings.LastIndexByte(given, '/'); i >= 0 {
			c.bus, c.rule = aws.String(given[:i]), given[i+1:]
		}
		rule, err := call(ctx, v.session, "DescribeRule", func(ctx context.Context) (*eventbridge.DescribeRuleOutput, error) {
			return v.Events.DescribeRule(ctx, &eventbridge.DescribeRuleInput{Name: aws.String(c.rule), EventBusName: c.bus})
		})
		if err != nil {
			if ecs.Code(err) == "ResourceNotFoundException" {
				v.refuse(c.subject(), doCheckCronRule, sayMissing)
			} else {
				v.refuse(c.subject(), "", sayUnread, err)
			}
			continue
		}
		c.arn = aws.ToString(rule.Arn)
		c.enabled = rule.State != types.RuleStateDisabled
		if c.targets, err = v.cronTargets(ctx, c); err != nil {
			v.refuse(c.subject(), "", sayTargetsUnread, err)
			continue
		}
		v.wasPaused(ctx, c)
		c.res = CronResult{Rule: given, Enabled: c.enabled}
		for _, t := range c.targets {
			if t.EcsParameters == nil {
				c.revs = append(c.revs, nil)
				continue
			}
			name := aws.ToString(t.EcsParameters.TaskDefinitionArn)
			c.res.Before = append(c.res.Before, ecs.RevisionName(name))
			if !strings.Contains(ecs.RevisionName(name), ":") {
				v.warn(c.subject(), "",
					sayCronWithoutRevision, ecs.RevisionName(name))
			}
			c.revs = append(c.revs, v.cronRevision(ctx, c, name))
		}
		c.res.After = c.res.Before
		if !slices.ContainsFunc(c.revs, func(p *revision) bool { return p != nil }) && !v.refused() {
			v.refuse(c.subject(), doLeaveOutOfCron, sayNoTaskTarget)
		}
		v.crons = append(v.crons, c)
	}
}

// cronRevision is the plan for a target's task definition. Cron that shares a
// family with a service moves with it, wherever it was left behind.
func (v *survey) cronRevision(ctx context.Context, c *cronRule, name string) *revision {
	for _, p := range v.services {
		if p.rev != nil && p.rev.family() == ecs.Family(name) {
			add(&p.rev.users, c.subject())
			return p.rev
		}
	}
	return v.revision(ctx, name, c.subject())
}

func (v *survey) cronTargets(ctx context.Context, c *cronRule) ([]types.Target, error) {
	var targets []types.Target
	var token *string
	for {
		out, err := call(ctx, v.session, "ListTargetsByRule", func(ctx context.Context) (*eventbridge.ListTargetsByRuleOutput, error) {
			return v.Events.ListTargetsByRule(ctx, &eventbridge.ListTargetsByRuleInput{Rule: aws.String(c.rule), EventBusName: c.bus, NextToken: token})
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
func (v *survey) wasPaused(ctx context.Context, c *cronRule) {
	out, err := call(ctx, v.session, "events:ListTagsForResource", func(ctx context.Context) (*eventbridge.ListTagsForResourceOutput, error) {
		return v.Events.ListTagsForResource(ctx, &eventbridge.ListTagsForResourceInput{ResourceARN: aws.String(c.arn)})
	})
	if err != nil {
		v.unread(c.subject(), "events:ListTagsForResource", err)
		return
	}
	for _, t := range out.Tags {
		if aws.ToString(t.Key) != TagPaused {
			continue
		}
		c.marked = true
		if !c.enabled {
			c.left = true
			v.warn(c.subject(), "", sayCronLeftDisabled, aws.ToString(t.Value))
		}
		return
	}
	if !c.enabled {
		v.warn(c.subject(), "", sayCronStaysDisabled)
	}
}
