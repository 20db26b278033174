package release

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/magecloudkit/pipeline/ci/ecs"
)

// rolloutBack sets every service on its way back and waits for all of them.
func (a *act) rolloutBack(ctx context.Context) error {
	var targets []ecs.Target
	for _, p := range a.services {
		if ctx.Err() != nil {
			break
		}
		target, err := a.returnService(ctx, p)
		if err != nil {
			p.res.Verdict, p.res.Reason = ecs.Failed, err.Error()
			return halt(NotRolledBack, "service %s: %v", p.name, err)
		}
		if target != nil {
			targets = append(targets, *target)
		}
	}
	if len(targets) == 0 && ctx.Err() == nil {
		return fmt.Errorf(sayAllRunBuild, errSkipped, a.req.Build)
	}
	f := a.follower()
	f.All = true
	outcomes := f.Follow(ctx, a.req.Cluster, targets, a.req.Timeout)
	a.keepOutcomes(outcomes)
	if ctx.Err() != nil {
		return halt(Interrupted, interruptedRoll)
	}
	rule, o := decisive(rulesBack, outcomes)
	if o == nil {
		return nil
	}
	if rule.bad {
		a.diagnose(ctx, outcomes)
	}
	return halt(rule.is, "service %s: %s", o.Service, o.Reason)
}

// returnService sets one service on its way back. Nil: it is there already.
func (a *act) returnService(ctx context.Context, p *service) (*ecs.Target, error) {
	d := primaryOf(&p.svc)
	if sameRevision(aws.ToString(d.TaskDefinition), p.rev.target) && d.RolloutState != types.DeploymentRolloutStateFailed {
		if !inProgress(&p.svc) {
			a.note(LevelInfo, sayRunsAlready, p.name, ecs.RevisionName(p.rev.target))
			p.res.Verdict = ecs.Completed
			return nil, nil
		}
		// Somebody, or ECS, is on the way back already.
		p.res.Moved, p.res.Deployment = true, aws.ToString(d.Id)
		target := ecs.TargetOf(p.name, d)
		return &target, nil
	}
	back, how, err := a.stopOrRedeploy(ctx, p)
	if err != nil {
		return nil, err
	}
	p.res.Moved, p.res.Deployment, p.res.Runs = true, aws.ToString(back.Id), aws.ToString(back.TaskDefinition)
	a.note(LevelInfo, sayReturning, p.name, ecs.RevisionName(p.res.Before), ecs.RevisionName(p.res.Runs), how, p.res.Deployment)
	target := ecs.TargetOf(p.name, back)
	return &target, nil
}

// stopOrRedeploy stops what is in progress, which is the faster way back, or deploys
// the older revision.
func (a *act) stopOrRedeploy(ctx context.Context, p *service) (types.Deployment, string, error) {
	if inProgress(&p.svc) {
		p.res.Deployment = aws.ToString(primaryOf(&p.svc).Id)
		back, err := a.stopDeployment(ctx, p)
		if err == nil {
			a.record(ctx, aws.ToString(primaryOf(&p.svc).TaskDefinition), record{at: a.clock.Now(), what: didStop, why: didRollback})
			return back, "stopped", nil
		}
		a.note(LevelWarning, sayNotStopped, p.name, err, ecs.RevisionName(p.rev.target))
	}
	back, err := a.update(ctx, p, update{taskDefinition: p.rev.target, force: a.req.Force})
	if err == nil {
		a.began(ctx, back, didRollback, "")
	}
	return back, "redeployed", err
}
