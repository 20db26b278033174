package release

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/magecloudkit/pipeline/ci/ecs"
)

// goBack returns the services that moved to what they ran before, and waits
// for it. The verdict is the one asked for if that works out.
func (a *act) goBack(ctx context.Context, verdict Verdict, reason string) error {
	var moved []*service
	for _, p := range a.services {
		if p.res.Moved && p.res.Verdict != ecs.Superseded {
			moved = append(moved, p)
		}
	}
	if !a.req.Rollback {
		return a.leftAlone(ctx, moved, verdict, reason)
	}
	if len(moved) == 0 {
		return halt(verdict, sayNoneHadMoved, reason)
	}
	if ctx.Err() != nil {
		return halt(Interrupted, sayInterruptedBeforeReturn, reason)
	}
	a.note(LevelInfo, sayRollingBack, reason)
	targets, end := a.moveBack(ctx, moved, reason)
	for _, o := range a.followBack(ctx, targets) {
		switch o.Verdict {
		case ecs.Completed:
		case ecs.Superseded:
			end.superseded = true
			a.service(o.Service).res.Runs = o.SuccessorTaskDefinition
		case ecs.Interrupted:
			return halt(Interrupted, sayInterruptedInReturn, reason)
		default:
			end.failures = append(end.failures, fmt.Sprintf(sayReturnEnded, o.Service, o.Verdict, o.Reason))
		}
	}
	a.wentBack = len(end.failures) == 0 && !end.superseded
	return end.verdict(verdict, reason)
}

// wayBack is how going back went.
type wayBack struct {
	failures    []string // by service
	unreachable bool     // AWS gave no answer for any of them
	superseded  bool     // another deployment came
}

// verdict is the release's after going back: the one asked for, if that worked out.
func (w wayBack) verdict(asked Verdict, reason string) error {
	failures := strings.Join(w.failures, "; ")
	switch {
	case len(w.failures) > 0 && w.unreachable && asked == TimedOut:
		return halt(TimedOut, sayNothingKnown, reason, failures)
	case len(w.failures) > 0:
		return halt(NotRolledBack, "%s; %s", reason, failures)
	case w.superseded:
		return halt(Superseded, sayReturnSuperseded, reason)
	}
	return halt(asked, sayReturned, reason)
}

// moveBack sets services on their way back. One that cannot go is no reason for the
// others to stay.
func (a *act) moveBack(ctx context.Context, moved []*service, reason string) ([]ecs.Target, wayBack) {
	var targets []ecs.Target
	end := wayBack{unreachable: true}
	for _, p := range moved {
		d, how, err := a.back(ctx, p, reason)
		p.res.Rollback = &Rollback{How: how}
		if err != nil {
			p.res.Rollback.Verdict, p.res.Rollback.Reason = ecs.Failed, err.Error()
			end.failures = append(end.failures, fmt.Sprintf("service %s: %v", p.name, err))
			end.unreachable = end.unreachable && ecs.Unknown(err)
			continue
		}
		end.unreachable = false
		p.res.Rollback.Deployment = aws.ToString(d.Id)
		p.res.Runs = aws.ToString(d.TaskDefinition)
		a.note(LevelInfo, sayBackTo, p.name, ecs.RevisionName(aws.ToString(d.TaskDefinition)), how, aws.ToString(d.Id))
		targets = append(targets, ecs.TargetOf(p.name, d))
	}
	return targets, end
}

// leftAlone is the verdict where nobody is to roll back, unless ECS does.
func (a *act) leftAlone(ctx context.Context, moved []*service, verdict Verdict, reason string) error {
	if verdict == TimedOut {
		return halt(TimedOut, sayLeftAsAsked, reason)
	}
	var targets []ecs.Target
	for _, p := range moved {
		if p.res.Verdict != ecs.RolledBack {
			return halt(NotRolledBack, sayLeftAsAsked, reason)
		}
	}
	if len(moved) == 0 {
		return halt(verdict, sayNoneHadMoved, reason)
	}
	for _, p := range moved {
		d, how, err := a.back(ctx, p, reason)
		if err != nil {
			return halt(NotRolledBack, "%s; service %s: %v", reason, p.name, err)
		}
		p.res.Rollback = &Rollback{How: how, Deployment: aws.ToString(d.Id)}
		targets = append(targets, ecs.TargetOf(p.name, d))
	}
	for _, o := range a.followBack(ctx, targets) {
		if o.Verdict != ecs.Completed {
			return halt(NotRolledBack, sayReturnByECSEnded, reason, o.Service, o.Verdict, o.Reason)
		}
	}
	return halt(verdict, sayReturnedByECS, reason)
}

// back sets one service on its way to what it ran before, and returns the
// deployment that takes it there.
func (a *act) back(ctx context.Context, p *service, why string) (types.Deployment, string, error) {
	switch p.res.Verdict {
	case ecs.RolledBack:
		now, _, err := a.describeServices(ctx, a.req.Cluster, []string{p.name})
		if err != nil {
			return types.Deployment{}, "by ECS", err
		}
		svc := now[p.name]
		d := primaryOf(&svc)
		p.res.Runs = aws.ToString(d.TaskDefinition)
		if sameRevision(aws.ToString(d.TaskDefinition), p.prior) || !sameRevision(aws.ToString(d.TaskDefinition), p.rev.target) {
			return d, "by ECS", nil
		}
	case ecs.TimedOut, ecs.Interrupted, ecs.Rejected, ecs.Paused:
		// Still in flight: stopping it works without a circuit breaker too.
		d, err := a.stopDeployment(ctx, p)
		if err == nil {
			a.record(ctx, p.rev.target, record{at: a.clock.Now(), what: didStop, why: why})
			return d, "stopped", nil
		}
		a.note(LevelWarning, sayNotStoppedAgain, p.name, err, ecs.RevisionName(p.prior))
	}
	u := update{taskDefinition: p.prior}
	if a.req.DesiredCount != nil {
		u.desired = aws.Int32(p.svc.DesiredCount)
	}
	if was := a.updateFor(p).configuration; was != nil {
		u.configuration = p.svc.DeploymentConfiguration
	}
	d, err := a.redeploy(ctx, p, u)
	if err == nil {
		a.began(ctx, d, didReturn, why)
	}
	return d, "redeployed", err
}

// redeploy is update against what the service is now rather than what it was
// in the preflight.
func (a *act) redeploy(ctx context.Context, p *service, u update) (types.Deployment, error) {
	now := *p
	now.svc.TaskDefinition = aws.String(p.rev.target)
	now.svc.Deployments = []types.Deployment{{Id: aws.String(p.res.Deployment), Status: aws.String("PRIMARY"), TaskDefinition: aws.String(p.rev.target)}}
	return a.update(ctx, &now, u)
}

// stopDeployment stops a deployment in flight with a roll back, and waits for
// the deployment that does it to appear.
func (a *act) stopDeployment(ctx context.Context, p *service) (types.Deployment, error) {
	out, err := call(ctx, a.session, "ListServiceDeployments", func(ctx context.Context) (*awsecs.ListServiceDeploymentsOutput, error) {
		return a.ECS.ListServiceDeployments(ctx, &awsecs.ListServiceDeploymentsInput{
			Cluster: aws.String(a.req.Cluster), Service: aws.String(p.name),
			Status: []types.ServiceDeploymentStatus{types.ServiceDeploymentStatusPending, types.ServiceDeploymentStatusInProgress},
		})
	})
	if err != nil {
		return types.Deployment{}, err
	}
	if len(out.ServiceDeployments) == 0 {
		return types.Deployment{}, errors.New(sayNoneInProgress)
	}
	arn := aws.ToString(out.ServiceDeployments[0].ServiceDeploymentArn)
	_, err = call(ctx, a.session, "StopServiceDeployment", func(ctx context.Context) (*awsecs.StopServiceDeploymentOutput, error) {
		return a.ECS.StopServiceDeployment(ctx, &awsecs.StopServiceDeploymentInput{
			ServiceDeploymentArn: aws.String(arn), StopType: types.StopServiceDeploymentStopTypeRollback,
		})
	})
	if err != nil {
		return types.Deployment{}, err
	}
	return a.awaitDeployment(ctx, p.name, p.prior, p.res.Deployment)
}
