package release

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"github.com/magecloudkit/pipeline/ci/ecs"
)

// TagPaused is left on a cron rule while a release keeps it disabled, so that
// the next run knows that it is to be enabled again.
const TagPaused = "magecloudkit:paused-for"

// cronRule is a rule of EventBridge.
type cronRule struct {
	session *session
	given   string // as in the request
	name    string
	bus     *string
	arn     string
	targets []types.Target
}

func newRule(s *session, given string) *cronRule {
	r := &cronRule{session: s, given: given, name: given}
	if i := strings.LastIndexByte(given, '/'); i >= 0 {
		r.bus, r.name = aws.String(given[:i]), given[i+1:]
	}
	return r
}

func (r *cronRule) subject() string { return "cron rule " + r.given }

func (r *cronRule) hint() string { return doCheckCronRule }

// starts tells the tasks that rules start.
func (r *cronRule) starts(startedBy string) bool { return strings.HasPrefix(startedBy, "events-rule/") }

func (r *cronRule) read(ctx context.Context) (found foundCron, err error) {
	out, err := call(ctx, r.session, "DescribeRule", func(ctx context.Context) (*eventbridge.DescribeRuleOutput, error) {
		return r.session.Events.DescribeRule(ctx, &eventbridge.DescribeRuleInput{Name: aws.String(r.name), EventBusName: r.bus})
	})
	if err != nil {
		return found, err
	}
	r.arn = aws.ToString(out.Arn)
	found.enabled = out.State != types.RuleStateDisabled
	if err := r.readTargets(ctx); err != nil {
		return found, err
	}
	for _, t := range r.targets {
		definition := ""
		if t.EcsParameters != nil {
			definition = aws.ToString(t.EcsParameters.TaskDefinitionArn)
			found.target(t.Arn, t.RoleArn)
		}
		found.definitions = append(found.definitions, definition)
	}
	return found, nil
}

func (r *cronRule) readTargets(ctx context.Context) error {
	var token *string
	for {
		out, err := call(ctx, r.session, "ListTargetsByRule", func(ctx context.Context) (*eventbridge.ListTargetsByRuleOutput, error) {
			return r.session.Events.ListTargetsByRule(ctx, &eventbridge.ListTargetsByRuleInput{Rule: aws.String(r.name), EventBusName: r.bus, NextToken: token})
		})
		if err != nil {
			return err
		}
		r.targets = append(r.targets, out.Targets...)
		if token = out.NextToken; token == nil {
			return nil
		}
	}
}

func (r *cronRule) mark(ctx context.Context) (of string, marked bool, err error) {
	out, err := call(ctx, r.session, "events:ListTagsForResource", func(ctx context.Context) (*eventbridge.ListTagsForResourceOutput, error) {
		return r.session.Events.ListTagsForResource(ctx, &eventbridge.ListTagsForResourceInput{ResourceARN: aws.String(r.arn)})
	})
	if err != nil {
		return "", false, err
	}
	for _, t := range out.Tags {
		if aws.ToString(t.Key) == TagPaused {
			return aws.ToString(t.Value), true, nil
		}
	}
	return "", false, nil
}

// pause writes the tag first: a run that dies in between leaves a tag too many rather
// than a rule that nobody enables.
func (r *cronRule) pause(ctx context.Context, build string) (begun bool, err error) {
	_, err = call(ctx, r.session, "events:TagResource", func(ctx context.Context) (*eventbridge.TagResourceOutput, error) {
		return r.session.Events.TagResource(ctx, &eventbridge.TagResourceInput{
			ResourceARN: aws.String(r.arn), Tags: []types.Tag{{Key: aws.String(TagPaused), Value: aws.String(tagValue(build))}},
		})
	})
	if err != nil {
		return false, fmt.Errorf(sayCronUnmarked, r.subject(), err)
	}
	_, err = call(ctx, r.session, "DisableRule", func(ctx context.Context) (*eventbridge.DisableRuleOutput, error) {
		return r.session.Events.DisableRule(ctx, &eventbridge.DisableRuleInput{Name: aws.String(r.name), EventBusName: r.bus})
	})
	if err != nil {
		return true, fmt.Errorf(sayCronNotDisabled, r.subject(), err)
	}
	return true, nil
}

func (r *cronRule) resume(ctx context.Context) error {
	_, err := call(ctx, r.session, "EnableRule", func(ctx context.Context) (*eventbridge.EnableRuleOutput, error) {
		return r.session.Events.EnableRule(ctx, &eventbridge.EnableRuleInput{Name: aws.String(r.name), EventBusName: r.bus})
	})
	return err
}

func (r *cronRule) unmark(ctx context.Context) error {
	_, err := call(ctx, r.session, "events:UntagResource", func(ctx context.Context) (*eventbridge.UntagResourceOutput, error) {
		return r.session.Events.UntagResource(ctx, &eventbridge.UntagResourceInput{ResourceARN: aws.String(r.arn), TagKeys: []string{TagPaused}})
	})
	return err
}

// move points targets at other revisions. Everything else of a target stays: input,
// role, network, overrides.
func (r *cronRule) move(ctx context.Context, definitions []string) error {
	var change []types.Target
	for i, definition := range definitions {
		t := r.targets[i]
		if definition == "" || aws.ToString(t.EcsParameters.TaskDefinitionArn) == definition {
			continue
		}
		p := *t.EcsParameters
		p.TaskDefinitionArn = aws.String(definition)
		t.EcsParameters = &p
		change = append(change, t)
		r.targets[i] = t
	}
	out, err := call(ctx, r.session, "PutTargets", func(ctx context.Context) (*eventbridge.PutTargetsOutput, error) {
		return r.session.Events.PutTargets(ctx, &eventbridge.PutTargetsInput{Rule: aws.String(r.name), EventBusName: r.bus, Targets: change})
	})
	if err != nil {
		return err
	}
	// AWS answers 200 and lists here what it could not do.
	if len(out.FailedEntries) > 0 {
		f := out.FailedEntries[0]
		return fmt.Errorf(sayCronTargetNotMoved, aws.ToString(f.TargetId), aws.ToString(f.ErrorCode), aws.ToString(f.ErrorMessage))
	}
	return nil
}

var _ starter = (*cronRule)(nil)

// missingCron says that what starts cron is not there.
func missingCron(err error) bool { return ecs.Code(err) == "ResourceNotFoundException" }
