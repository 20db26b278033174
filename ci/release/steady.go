package release

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/magecloudkit/pipeline/ci/ecs"
)

// Wait waits until no service has a deployment in progress and as many tasks run as are wanted. Nothing is changed.
func (r *Releaser) Wait(ctx context.Context, req Request) *Result {
	req.CronRules = nil
	return r.operate(ctx, req, operation{"wait", Steady, (*survey).forSteady, func(a *act) []step {
		return []step{{"wait", func(ctx context.Context) error { return a.steady(ctx, a.primaries()) }}}
	}})
}

// Scale changes how many tasks the services run to the request's DesiredCount, and waits for them.
func (r *Releaser) Scale(ctx context.Context, req Request) *Result {
	req.CronRules = nil
	return r.operate(ctx, req, operation{"scale", Steady, (*survey).forScale, func(a *act) []step {
		return []step{{"scale", a.scale}}
	}})
}

// forSteady finds out what the services are doing.
func (v *survey) forSteady(ctx context.Context) error {
	if err := v.look(ctx); err != nil {
		return err
	}
	for _, p := range v.services {
		p.rev.target = p.rev.arn()
	}
	return v.outcome(ctx)
}

// forScale refuses services whose number of tasks is not for anybody to set, or is on the move.
func (v *survey) forScale(ctx context.Context) error {
	if err := v.look(ctx); err != nil {
		return err
	}
	for _, p := range v.services {
		p.rev.target = p.rev.arn()
		subject := "service " + p.name
		v.checkCount(p)
		if inProgress(&p.svc) {
			d := primaryOf(&p.svc)
			v.refuse(subject, doWaitFirst, sayInProgress, aws.ToString(d.Id), ecs.RevisionName(aws.ToString(d.TaskDefinition)), aws.ToTime(d.CreatedAt).UTC().Format("2006-01-02 15:04:05"))
		}
	}
	return v.outcome(ctx)
}

// primaries are the deployments that the services are to come to rest on.
func (a *act) primaries() []ecs.Target {
	var targets []ecs.Target
	for _, p := range a.services {
		d := primaryOf(&p.svc)
		p.res.Deployment = aws.ToString(d.Id)
		targets = append(targets, ecs.TargetOf(p.name, d))
	}
	return targets
}

// steady follows deployments to their end.
func (a *act) steady(ctx context.Context, targets []ecs.Target) error {
	f := a.follower()
	f.All = true
	outcomes := f.Follow(ctx, a.req.Cluster, targets, a.req.Timeout)
	a.keepOutcomes(outcomes)
	rule, o := decisive(rulesSteady, outcomes)
	if o == nil {
		return nil
	}
	if rule.bad {
		a.diagnose(ctx, outcomes)
	}
	return halt(rule.is, "service %s: %s: %s", o.Service, o.Verdict, o.Reason)
}

// scale sets the number of tasks of every service.
func (a *act) scale(ctx context.Context) error {
	var targets []ecs.Target
	for _, p := range a.services {
		d := primaryOf(&p.svc)
		p.res.Deployment = aws.ToString(d.Id)
		if was, now := p.svc.DesiredCount, *a.req.DesiredCount; was != now {
			after, err := a.count(ctx, p, now)
			if err != nil {
				return halt(Broken, "service %s: %v", p.name, err)
			}
			d = after
			a.note(LevelInfo, sayScaled, p.name, was, now)
		}
		targets = append(targets, ecs.TargetOf(p.name, d))
	}
	return a.steady(ctx, targets)
}

// count makes one UpdateService. It may be made again: it says a number, and not a difference.
func (a *act) count(ctx context.Context, p *service, n int32) (types.Deployment, error) {
	out, err := call(ctx, a.session, "UpdateService", func(ctx context.Context) (*awsecs.UpdateServiceOutput, error) {
		return a.ECS.UpdateService(ctx, &awsecs.UpdateServiceInput{Cluster: aws.String(a.req.Cluster), Service: aws.String(p.name), DesiredCount: aws.Int32(n)})
	})
	if err != nil {
		return types.Deployment{}, err
	}
	if d := primaryOf(out.Service); d.Id != nil {
		return d, nil
	}
	return types.Deployment{}, errors.New(sayNoPrimary)
}
