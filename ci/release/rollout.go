package release

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/magecloudkit/pipeline/ci/ecs"
)

// interruptedRoll is what is true of a roll that was interrupted.
const interruptedRoll = "interrupted while the services rolled; ECS carries on by itself, and the same command takes it up again"

// rollout moves every service and follows all of them to their end.
func (a *act) rollout(ctx context.Context) error {
	todo := a.toRoll()
	if len(todo) == 0 {
		return fmt.Errorf(sayAllRunIt, errSkipped)
	}
	if err := a.guard(ctx, todo); err != nil {
		return err
	}
	a.markBegin(ctx)
	targets, failure := a.move(ctx, todo)
	if failure != nil {
		if ctx.Err() != nil {
			return halt(Interrupted, "%v", failure)
		}
		return a.goBack(ctx, RolledBack, failure.Error())
	}
	outcomes := a.follow(ctx, targets, a.req.Timeout)
	a.keepOutcomes(outcomes)
	if len(targets) < len(todo) || ctx.Err() != nil {
		return halt(Interrupted, interruptedRoll)
	}
	return a.judge(ctx, outcomes)
}

// toRoll lists the services that something is to be done for.
func (a *act) toRoll() []*service {
	var todo []*service
	for _, p := range a.services {
		if a.runsAlready(p) {
			a.note(LevelInfo, sayRunsAlready, p.name, ecs.RevisionName(p.rev.target))
			p.res.Verdict = ecs.Completed
			if p.taken {
				p.res.Moved, p.res.Deployment, p.res.Before = true, aws.ToString(primaryOf(&p.svc).Id), p.prior
			}
			continue
		}
		if p.adopt {
			p.res.Deployment = aws.ToString(primaryOf(&p.svc).Id)
		}
		todo = append(todo, p)
	}
	return todo
}

// move begins the deployments, and stops at the first that cannot be begun, or when
// it is interrupted.
func (a *act) move(ctx context.Context, todo []*service) ([]ecs.Target, error) {
	var targets []ecs.Target
	for _, p := range todo {
		if p.adopt {
			p.res.Moved = true
			targets = append(targets, ecs.TargetOf(p.name, primaryOf(&p.svc)))
			continue
		}
		if ctx.Err() != nil {
			break
		}
		d, err := a.update(ctx, p, a.updateFor(p))
		if err != nil {
			p.res.Verdict, p.res.Reason = ecs.Failed, err.Error()
			return targets, fmt.Errorf("service %s: %w", p.name, err)
		}
		p.res.Moved = true
		p.res.Deployment = aws.ToString(d.Id)
		p.res.Runs = p.rev.target
		targets = append(targets, ecs.TargetOf(p.name, d))
		a.began(ctx, d, a.does(), "")
		a.note(LevelInfo, sayBegun, p.name, p.res.Deployment, ecs.RevisionName(p.res.Before), ecs.RevisionName(p.rev.target))
	}
	return targets, nil
}

// keepOutcomes writes down how deployments ended.
func (a *act) keepOutcomes(outcomes []ecs.Outcome) {
	for _, o := range outcomes {
		p := a.service(o.Service)
		p.res.Verdict, p.res.Reason = o.Verdict, o.Reason
		p.res.Started, p.res.Ended, p.res.Samples, p.res.Events = o.Started, o.Ended, o.Samples, o.Events
		if o.SuccessorTaskDefinition != "" {
			p.res.Runs = o.SuccessorTaskDefinition
		}
	}
}

// guard looks once more right before the services are touched: the migration
// may have taken long.
func (a *act) guard(ctx context.Context, todo []*service) error {
	names := make([]string, len(todo))
	for i, p := range todo {
		names[i] = p.name
	}
	now, _, err := a.describeServices(ctx, a.req.Cluster, names)
	if err != nil {
		return halt(Broken, sayServicesUnread, err)
	}
	for _, p := range todo {
		if p.adopt {
			continue // what became of it meanwhile, the wait tells
		}
		svc, ok := now[p.name]
		if !ok || aws.ToString(svc.Status) != "ACTIVE" {
			return halt(Broken, sayDeleted, p.name)
		}
		was, is := primaryOf(&p.svc), primaryOf(&svc)
		// An older answer than the preflight's is no news.
		if aws.ToString(was.Id) != aws.ToString(is.Id) && !aws.ToTime(is.CreatedAt).Before(aws.ToTime(was.CreatedAt)) {
			p.res.Runs = aws.ToString(is.TaskDefinition)
			p.res.Verdict = ecs.Superseded
			return halt(Superseded, sayOtherBegan,
				p.name, aws.ToString(is.Id), ecs.RevisionName(aws.ToString(is.TaskDefinition)))
		}
	}
	return nil
}

// update makes one UpdateService and returns the deployment that it began. An
// answer that got lost is looked for.
func (a *act) update(ctx context.Context, p *service, u update) (types.Deployment, error) {
	before := primaryOf(&p.svc)
	// Whoever interrupts is to be told what is true.
	await := func() (types.Deployment, error) {
		return a.awaitDeployment(context.WithoutCancel(ctx), p.name, u.taskDefinition, aws.ToString(before.Id))
	}
	reregistered := false
	for attempt := 1; ; attempt++ {
		if aws.ToString(p.svc.TaskDefinition) == u.taskDefinition && before.RolloutState == types.DeploymentRolloutStateFailed {
			u.force = true // ECS begins no deployment of what it believes to run
		}
		out, err := a.updateOnce(ctx, p, u)
		switch {
		case err == nil:
			if d := primaryOf(out.Service); d.Id != nil && sameRevision(aws.ToString(d.TaskDefinition), u.taskDefinition) {
				return d, nil
			}
			return await()
		case ecs.Unknown(err) && attempt <= updateAttempts:
			a.note(LevelWarning, sayServiceLooking, p.name, err)
			if d, lerr := await(); lerr == nil {
				return d, nil
			}
		case inactiveRevision(err) && !reregistered:
			reregistered = true
			again, rerr := a.reregister(ctx, p, u.taskDefinition)
			if rerr != nil {
				return types.Deployment{}, fmt.Errorf(sayNotRegisteredAgain, err, rerr)
			}
			u.taskDefinition = again
		default:
			return types.Deployment{}, err
		}
	}
}

func (a *act) updateOnce(ctx context.Context, p *service, u update) (*awsecs.UpdateServiceOutput, error) {
	return callOnce(ctx, a.session, "UpdateService", func(ctx context.Context) (*awsecs.UpdateServiceOutput, error) {
		return a.ECS.UpdateService(ctx, &awsecs.UpdateServiceInput{
			Cluster: aws.String(a.req.Cluster), Service: aws.String(p.name), TaskDefinition: aws.String(u.taskDefinition),
			DesiredCount: u.desired, DeploymentConfiguration: u.configuration, ForceNewDeployment: u.force,
		})
	})
}

// updateAttempts is how often an UpdateService that had no effect is made.
const updateAttempts = 3

// awaitDeployment looks for a primary deployment of a revision other than the
// one before. It gives up when reads have had the time to catch up.
func (a *act) awaitDeployment(ctx context.Context, service, revision, before string) (types.Deployment, error) {
	var last error
	for range looks {
		if err := a.pause(ctx); err != nil {
			return types.Deployment{}, err
		}
		now, _, err := a.describeServices(ctx, a.req.Cluster, []string{service})
		if err != nil {
			last = err
			continue
		}
		svc := now[service]
		if d := primaryOf(&svc); aws.ToString(d.Id) != before && sameRevision(aws.ToString(d.TaskDefinition), revision) {
			return d, nil
		}
		last = fmt.Errorf(sayNoDeployment, service, ecs.RevisionName(revision))
	}
	return types.Deployment{}, last
}

// follow waits for deployments and reports their progress.
func (a *act) follow(ctx context.Context, targets []ecs.Target, timeout time.Duration) []ecs.Outcome {
	f := a.follower()
	f.All = !a.req.Rollback // nobody is kept waiting for a roll back
	f.Check = a.atStage
	return f.Follow(ctx, a.req.Cluster, targets, timeout)
}

// followBack waits for the deployments of a roll back. One service that cannot
// go back is no reason not to wait for the others.
func (a *act) followBack(ctx context.Context, targets []ecs.Target) []ecs.Outcome {
	f := a.follower()
	f.All = true
	// However short the wait for the release was to be: a roll back takes as
	// long as a rollout does.
	outcomes := f.Follow(ctx, a.req.Cluster, targets, max(a.req.Timeout, DefaultTimeout))
	for _, o := range outcomes {
		b := a.service(o.Service).res.Rollback
		b.Verdict, b.Reason, b.Samples = o.Verdict, o.Reason, o.Samples
	}
	return outcomes
}

func (a *act) follower() ecs.Follower {
	return ecs.Follower{API: a.ECS, Caller: a.caller, Clock: a.clock, Random: a.random, Progress: func(p ecs.Progress) {
		line := fmt.Sprintf(sayProgress, p.Service, p.Running, p.Desired, p.Pending, p.Failed, p.Old)
		if p.Stage != "" {
			line += ", at " + p.Stage
		}
		if p.ETA > 0 {
			line += fmt.Sprintf(sayToGo, p.ETA)
		}
		a.notify(Note{At: a.clock.Now(), Step: a.step, Level: LevelInfo, Text: line, Rollout: &p})
		for _, e := range p.Events {
			a.note(LevelInfo, "%s: %s", p.Service, e.Message)
		}
	}}
}

// judge draws the release's verdict from those of its services, and goes back if
// that is what it comes to.
func (a *act) judge(ctx context.Context, outcomes []ecs.Outcome) error {
	rule, o := decisive(rulesForward, outcomes)
	if o == nil {
		return nil
	}
	if !rule.bad {
		return halt(rule.is, "service %s: %s", o.Service, o.Reason)
	}
	a.diagnose(ctx, outcomes)
	if rule.is == TimedOut {
		return a.goBack(ctx, TimedOut, fmt.Sprintf("service %s: %s", o.Service, o.Reason))
	}
	return a.goBack(ctx, rule.is, fmt.Sprintf("service %s: %s: %s", o.Service, o.Verdict, strings.TrimSuffix(o.Reason, ".")))
}

// diagnose finds out why deployments did not complete.
func (a *act) diagnose(ctx context.Context, outcomes []ecs.Outcome) {
	d := ecs.Diagnoser{API: a.ECS, Logs: a.Logs, Caller: a.caller.Within(30 * time.Second)}
	for _, o := range outcomes {
		switch o.Verdict {
		case ecs.Failed, ecs.RolledBack, ecs.TimedOut:
			p := a.service(o.Service)
			diag := d.Diagnose(ctx, a.req.Cluster, o, p.rev.containers())
			p.res.Diagnosis = &diag
			for _, line := range strings.Split(strings.TrimSpace(diag.String()), "\n") {
				if line != "" {
					a.note(LevelError, "%s", line)
				}
			}
		}
	}
}

// inactiveRevision reports whether ECS refused a revision because somebody
// deregistered it.
func inactiveRevision(err error) bool {
	switch ecs.Code(err) {
	case "ClientException", "InvalidParameterException":
		return strings.Contains(strings.ToLower(err.Error()), "inactive")
	}
	return false
}
