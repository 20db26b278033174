package release

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"

	"github.com/magecloudkit/pipeline/ci/ecs"
)

// deregisterOld deregisters older revisions, if asked to: never one that is in
// use, and never one that may be returned to.
func (a *act) deregisterOld(ctx context.Context) error {
	if a.req.KeepRevisions == 0 {
		return fmt.Errorf(sayNotAskedFor, errSkipped)
	}
	var families []string
	for _, p := range a.revs {
		add(&families, p.family())
	}
	keep, err := a.inUse(ctx)
	if err != nil {
		a.note(LevelWarning, sayInUseUnread, err)
		return nil
	}
	n := 0
	for _, family := range families {
		n += a.deregister(ctx, family, keep)
	}
	if n == 0 {
		return fmt.Errorf(sayNoneOldEnough, errSkipped)
	}
	return nil
}

// deregister deregisters a family's older revisions but those to keep, and counts
// them.
func (a *act) deregister(ctx context.Context, family string, keep map[string]bool) int {
	arns, err := a.activeRevisions(ctx, family)
	if err != nil {
		a.note(LevelWarning, sayFamilyNotDeregistered, family, err)
		return 0
	}
	n := 0
	for _, arn := range arns[min(a.req.KeepRevisions, len(arns)):] {
		if keep[ecs.RevisionName(arn)] {
			continue
		}
		_, err := call(ctx, a.session, "DeregisterTaskDefinition", func(ctx context.Context) (*awsecs.DeregisterTaskDefinitionOutput, error) {
			return a.ECS.DeregisterTaskDefinition(ctx, &awsecs.DeregisterTaskDefinitionInput{TaskDefinition: aws.String(arn)})
		})
		if err != nil {
			a.note(LevelWarning, sayNotDeregistered, ecs.RevisionName(arn), err)
			continue
		}
		n++
		a.note(LevelInfo, sayDeregistered, ecs.RevisionName(arn))
	}
	return n
}

// inUse names the revisions that tasks, deployments or cron of this release's
// cluster use, and those that the released ones replaced.
func (a *act) inUse(ctx context.Context) (map[string]bool, error) {
	keep := map[string]bool{}
	services, _, err := a.describeServices(ctx, a.req.Cluster, a.req.Services)
	if err != nil {
		return nil, err
	}
	for _, svc := range services {
		keep[ecs.RevisionName(aws.ToString(svc.TaskDefinition))] = true
		for _, d := range svc.Deployments {
			keep[ecs.RevisionName(aws.ToString(d.TaskDefinition))] = true
		}
		for _, ts := range svc.TaskSets {
			keep[ecs.RevisionName(aws.ToString(ts.TaskDefinition))] = true
		}
	}
	for _, p := range a.revs {
		keep[ecs.RevisionName(p.arn())] = true
		keep[ecs.RevisionName(p.target)] = true
		if r := ecs.Tag(p.before.Tags, TagReplaces); r != "" {
			keep[r] = true
		}
		tasks, err := a.familyTasks(ctx, a.req.Cluster, p.family())
		if err != nil {
			return nil, err
		}
		for _, t := range tasks {
			keep[ecs.RevisionName(aws.ToString(t.TaskDefinitionArn))] = true
		}
	}
	for _, c := range a.crons {
		for _, r := range slices.Concat(c.res.Before, c.res.After) {
			keep[r] = true
		}
	}
	return keep, nil
}

// register registers the revisions that changed and are not there yet.
func (a *act) register(ctx context.Context) error {
	todo := 0
	for _, p := range a.revs {
		if p.target != "" {
			continue
		}
		todo++
		if err := ctx.Err(); err != nil {
			return halt(Interrupted, sayInterruptedInRegistering)
		}
		if err := a.registerOne(ctx, p); err != nil {
			if ctx.Err() != nil {
				return halt(Interrupted, sayInterruptedInRegistering)
			}
			return halt(Refused, sayNothingRunsChanged, err)
		}
	}
	for _, p := range a.services {
		p.res.Target = p.rev.target
	}
	if todo == 0 {
		return fmt.Errorf(sayAllRegistered, errSkipped)
	}
	return nil
}

func (a *act) registerOne(ctx context.Context, p *revision) error {
	for attempt := 1; ; attempt++ {
		out, err := callOnce(ctx, a.session, "RegisterTaskDefinition", func(ctx context.Context) (*awsecs.RegisterTaskDefinitionOutput, error) {
			return a.ECS.RegisterTaskDefinition(ctx, p.desired)
		})
		if err == nil {
			p.target = aws.ToString(out.TaskDefinition.TaskDefinitionArn)
			p.fresh = true
			a.note(LevelInfo, sayMoved, strings.Join(p.users, ", "), ecs.RevisionName(p.arn()), ecs.RevisionName(p.target))
			return nil
		}
		if !ecs.Unknown(err) || attempt > registerAttempts {
			return fmt.Errorf("task definition %s: %w", p.family(), err)
		}
		a.note(LevelWarning, sayLookingWhether, err)
		arn, lerr := a.registered(ctx, p)
		if lerr != nil {
			return fmt.Errorf(sayRegistrationUnknown, p.family(), err, lerr)
		}
		if arn != "" {
			p.target, p.fresh = arn, true
			return nil
		}
	}
}

// registered looks for the revision of a registration whose answer got lost:
// the family's newest, for as long as a read may be behind.
func (a *act) registered(ctx context.Context, p *revision) (string, error) {
	var last error
	for range looks {
		if err := a.pause(ctx); err != nil {
			return "", err
		}
		var latest *awsecs.DescribeTaskDefinitionOutput
		if latest, last = a.describeTaskDefinition(ctx, p.family()); last != nil {
			continue
		}
		if p.is(latest) {
			return aws.ToString(latest.TaskDefinition.TaskDefinitionArn), nil
		}
	}
	return "", last
}

// registerAttempts is how often a registration without a clear answer is made.
const registerAttempts = 3

// settle is how long a write may take to be seen by a read.
const settle = 5 * time.Second

// looks is how often a read is repeated before its answer counts as current.
const looks = 5

func (a *act) pause(ctx context.Context) error { return a.clock.Sleep(ctx, settle) }

// reregister registers a revision again that somebody deregistered.
func (a *act) reregister(ctx context.Context, p *service, arn string) (string, error) {
	a.note(LevelWarning, saySomebodyDeregistered, p.name, ecs.RevisionName(arn))
	out, err := a.describeTaskDefinition(ctx, arn)
	if err != nil {
		return "", err
	}
	in, err := registration(out)
	if err != nil {
		return "", err
	}
	plan := &revision{users: []string{"service " + p.name}, before: out, base: in, desired: in}
	if err := a.registerOne(ctx, plan); err != nil {
		return "", err
	}
	if p.rev.target == arn {
		p.rev.target = plan.target
		p.res.Target = plan.target
	}
	return plan.target, nil
}
