package release

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/magecloudkit/pipeline/ci/ecs"
)

// register registers the revisions that changed and are not there yet.
func (x *run) register(ctx context.Context) error {
	todo := 0
	for _, p := range x.revs {
		if p.target != "" {
			continue
		}
		todo++
		if err := ctx.Err(); err != nil {
			return halt(Interrupted, "interrupted while revisions were registered; nothing that runs was changed")
		}
		if err := x.registerOne(ctx, p); err != nil {
			if ctx.Err() != nil {
				return halt(Interrupted, "interrupted while revisions were registered; nothing that runs was changed")
			}
			return halt(Refused, "%v; nothing that runs was changed", err)
		}
	}
	for _, p := range x.services {
		p.res.Target = p.rev.target
	}
	if todo == 0 {
		return fmt.Errorf("%w: every revision is registered already", errSkipped)
	}
	return nil
}

func (x *run) registerOne(ctx context.Context, p *revisionPlan) error {
	for attempt := 1; ; attempt++ {
		out, err := callOnce(ctx, x, "RegisterTaskDefinition", func(ctx context.Context) (*awsecs.RegisterTaskDefinitionOutput, error) {
			return x.ECS.RegisterTaskDefinition(ctx, p.desired)
		})
		if err == nil {
			p.target = aws.ToString(out.TaskDefinition.TaskDefinitionArn)
			p.fresh = true
			x.note(LevelInfo, "%s: %s -> %s", strings.Join(p.users, ", "), ecs.RevisionName(p.arn()), ecs.RevisionName(p.target))
			return nil
		}
		if !ecs.Unknown(err) || attempt > registerAttempts {
			return fmt.Errorf("task definition %s: %w", p.family(), err)
		}
		x.note(LevelWarning, "%v; looking whether it was", err)
		arn, lerr := x.registered(ctx, p)
		if lerr != nil {
			return fmt.Errorf("task definition %s: %w (and its newest revision cannot be read: %w)", p.family(), err, lerr)
		}
		if arn != "" {
			p.target, p.fresh = arn, true
			return nil
		}
	}
}

// registered looks for the revision of a registration whose answer got lost:
// the family's newest, for as long as a read may be behind.
func (x *run) registered(ctx context.Context, p *revisionPlan) (string, error) {
	var last error
	for range looks {
		if err := x.pause(ctx); err != nil {
			return "", err
		}
		var latest *awsecs.DescribeTaskDefinitionOutput
		if latest, last = x.describeTaskDefinition(ctx, p.family()); last != nil {
			continue
		}
		if same, err := ecs.Registration(latest); err == nil && len(significant(ecs.Diff(same, p.desired))) == 0 {
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

func (x *run) pause(ctx context.Context) error { return x.clock.Sleep(ctx, settle) }

// update says what a service is to become beside its task definition. Nil
// leaves it.
type update struct {
	taskDefinition string
	desired        *int32
	configuration  *types.DeploymentConfiguration
	force          bool
}

// updateFor is what the request makes of a service.
func (x *run) updateFor(p *servicePlan) update {
	u := update{taskDefinition: p.rev.target, force: x.req.Force}
	if n := x.req.DesiredCount; n != nil && *n != p.svc.DesiredCount {
		u.desired = n
	}
	r := x.req
	if r.MinHealthyPercent == nil && r.MaxPercent == nil && r.Breaker == BreakerKeep {
		return u
	}
	// ECS takes the configuration as a whole, so what is not asked for stays.
	var c types.DeploymentConfiguration
	if p.svc.DeploymentConfiguration != nil {
		c = *p.svc.DeploymentConfiguration
	}
	if r.MinHealthyPercent != nil {
		c.MinimumHealthyPercent = r.MinHealthyPercent
	}
	if r.MaxPercent != nil {
		c.MaximumPercent = r.MaxPercent
	}
	if r.Breaker != BreakerKeep {
		var b types.DeploymentCircuitBreaker
		if c.DeploymentCircuitBreaker != nil {
			b = *c.DeploymentCircuitBreaker
		}
		b.Enable = r.Breaker != BreakerOff
		b.Rollback = r.Breaker == BreakerRollback
		c.DeploymentCircuitBreaker = &b
	}
	if !sameConfiguration(p.svc.DeploymentConfiguration, &c) {
		u.configuration = &c
	}
	return u
}

func sameConfiguration(a, b *types.DeploymentConfiguration) bool {
	if a == nil {
		a = &types.DeploymentConfiguration{}
	}
	x, y := cmp.Or(a.DeploymentCircuitBreaker, &types.DeploymentCircuitBreaker{}), cmp.Or(b.DeploymentCircuitBreaker, &types.DeploymentCircuitBreaker{})
	return aws.ToInt32(a.MinimumHealthyPercent) == aws.ToInt32(b.MinimumHealthyPercent) &&
		aws.ToInt32(a.MaximumPercent) == aws.ToInt32(b.MaximumPercent) && x.Enable == y.Enable && x.Rollback == y.Rollback
}

// rollout moves every service and follows all of them to their end.
func (x *run) rollout(ctx context.Context) error {
	var todo []*servicePlan
	for _, p := range x.services {
		d := primaryOf(&p.svc)
		u := x.updateFor(p)
		switch {
		case p.adopt:
			p.res.Deployment = aws.ToString(d.Id)
			todo = append(todo, p)
		case aws.ToString(p.svc.TaskDefinition) == u.taskDefinition && !u.force && u.desired == nil && u.configuration == nil &&
			d.RolloutState != types.DeploymentRolloutStateFailed:
			x.note(LevelInfo, "service %s runs %s already", p.name, ecs.RevisionName(u.taskDefinition))
			p.res.Verdict = ecs.Completed
		default:
			todo = append(todo, p)
		}
	}
	if len(todo) == 0 {
		return fmt.Errorf("%w: every service runs the build already", errSkipped)
	}
	if err := x.guard(ctx, todo); err != nil {
		return err
	}
	x.markBegin(ctx)
	var targets []ecs.Target
	var failure error
	for _, p := range todo {
		if p.adopt {
			p.res.Moved = true
			targets = append(targets, ecs.TargetOf(p.name, primaryOf(&p.svc)))
			continue
		}
		if ctx.Err() != nil {
			break
		}
		d, err := x.update(ctx, p, x.updateFor(p))
		if err != nil {
			failure = fmt.Errorf("service %s: %w", p.name, err)
			p.res.Verdict, p.res.Reason = ecs.Failed, err.Error()
			break
		}
		p.res.Moved = true
		p.res.Deployment = aws.ToString(d.Id)
		p.res.Runs = p.rev.target
		targets = append(targets, ecs.TargetOf(p.name, d))
		x.note(LevelInfo, "service %s: deployment %s, %s -> %s", p.name, p.res.Deployment, ecs.RevisionName(p.res.Before), ecs.RevisionName(p.rev.target))
	}
	if failure != nil {
		if ctx.Err() != nil {
			return halt(Interrupted, "%v", failure)
		}
		return x.goBack(ctx, RolledBack, failure.Error())
	}
	outcomes := x.follow(ctx, targets, x.req.Timeout)
	for _, o := range outcomes {
		p := x.service(o.Service)
		p.res.Verdict, p.res.Reason = o.Verdict, o.Reason
		p.res.Started, p.res.Ended, p.res.Samples, p.res.Events = o.Started, o.Ended, o.Samples, o.Events
		if o.SuccessorTaskDefinition != "" {
			p.res.Runs = o.SuccessorTaskDefinition
		}
	}
	if len(targets) < len(todo) || ctx.Err() != nil {
		return halt(Interrupted, "interrupted while the services rolled; ECS carries on by itself, and the same command takes it up again")
	}
	return x.judge(ctx, outcomes)
}

// guard looks once more right before the services are touched: the migration
// may have taken long.
func (x *run) guard(ctx context.Context, todo []*servicePlan) error {
	names := make([]string, len(todo))
	for i, p := range todo {
		names[i] = p.name
	}
	now, _, err := x.describeServices(ctx, x.req.Cluster, names)
	if err != nil {
		return halt(Broken, "the services cannot be read right before the roll, so none was touched: %v", err)
	}
	for _, p := range todo {
		if p.adopt {
			continue // what became of it meanwhile, the wait tells
		}
		svc, ok := now[p.name]
		if !ok || aws.ToString(svc.Status) != "ACTIVE" {
			return halt(Broken, "service %s was deleted since the preflight; no service was touched", p.name)
		}
		was, is := primaryOf(&p.svc), primaryOf(&svc)
		// An older answer than the preflight's is no news.
		if aws.ToString(was.Id) != aws.ToString(is.Id) && !aws.ToTime(is.CreatedAt).Before(aws.ToTime(was.CreatedAt)) {
			p.res.Runs = aws.ToString(is.TaskDefinition)
			p.res.Verdict = ecs.Superseded
			return halt(Superseded, "service %s: deployment %s of %s began since the preflight; no service was touched",
				p.name, aws.ToString(is.Id), ecs.RevisionName(aws.ToString(is.TaskDefinition)))
		}
	}
	return nil
}

// update makes one UpdateService and returns the deployment that it began. An
// answer that got lost is looked for.
func (x *run) update(ctx context.Context, p *servicePlan, u update) (types.Deployment, error) {
	before := primaryOf(&p.svc)
	reregistered := false
	for attempt := 1; ; attempt++ {
		if aws.ToString(p.svc.TaskDefinition) == u.taskDefinition && before.RolloutState == types.DeploymentRolloutStateFailed {
			u.force = true // ECS begins no deployment of what it believes to run
		}
		out, err := callOnce(ctx, x, "UpdateService", func(ctx context.Context) (*awsecs.UpdateServiceOutput, error) {
			return x.ECS.UpdateService(ctx, &awsecs.UpdateServiceInput{
				Cluster: aws.String(x.req.Cluster), Service: aws.String(p.name), TaskDefinition: aws.String(u.taskDefinition),
				DesiredCount: u.desired, DeploymentConfiguration: u.configuration, ForceNewDeployment: u.force,
			})
		})
		if err == nil {
			if d := primaryOf(out.Service); d.Id != nil && sameRevision(aws.ToString(d.TaskDefinition), u.taskDefinition) {
				return d, nil
			}
			return x.awaitDeployment(context.WithoutCancel(ctx), p.name, u.taskDefinition, aws.ToString(before.Id))
		}
		if ecs.Unknown(err) && attempt <= updateAttempts {
			x.note(LevelWarning, "service %s: %v; looking whether it was", p.name, err)
			// Whoever interrupts is to be told what is true.
			if d, lerr := x.awaitDeployment(context.WithoutCancel(ctx), p.name, u.taskDefinition, aws.ToString(before.Id)); lerr == nil {
				return d, nil
			}
			continue
		}
		if inactiveRevision(err) && !reregistered {
			reregistered = true
			again, rerr := x.reregister(ctx, p, u.taskDefinition)
			if rerr != nil {
				return types.Deployment{}, fmt.Errorf("%w; and it cannot be registered again: %w", err, rerr)
			}
			u.taskDefinition = again
			continue
		}
		return types.Deployment{}, err
	}
}

// updateAttempts is how often an UpdateService that had no effect is made.
const updateAttempts = 3

// sameRevision compares revisions given as ARN or as family:revision.
func sameRevision(a, b string) bool { return ecs.RevisionName(a) == ecs.RevisionName(b) }

// inactiveRevision reports whether ECS refused a revision because somebody
// deregistered it.
func inactiveRevision(err error) bool {
	switch ecs.Code(err) {
	case "ClientException", "InvalidParameterException":
		return strings.Contains(strings.ToLower(err.Error()), "inactive")
	}
	return false
}

// reregister registers a revision again that somebody deregistered.
func (x *run) reregister(ctx context.Context, p *servicePlan, revision string) (string, error) {
	x.note(LevelWarning, "service %s: somebody deregistered %s; registering it again", p.name, ecs.RevisionName(revision))
	out, err := x.describeTaskDefinition(ctx, revision)
	if err != nil {
		return "", err
	}
	in, err := ecs.Registration(out)
	if err != nil {
		return "", err
	}
	plan := &revisionPlan{users: []string{"service " + p.name}, before: out, base: in, desired: in}
	if err := x.registerOne(ctx, plan); err != nil {
		return "", err
	}
	if p.rev.target == revision {
		p.rev.target = plan.target
		p.res.Target = plan.target
	}
	return plan.target, nil
}

// awaitDeployment looks for a primary deployment of a revision other than the
// one before. It gives up when reads have had the time to catch up.
func (x *run) awaitDeployment(ctx context.Context, service, revision, before string) (types.Deployment, error) {
	var last error
	for range looks {
		if err := x.pause(ctx); err != nil {
			return types.Deployment{}, err
		}
		now, _, err := x.describeServices(ctx, x.req.Cluster, []string{service})
		if err != nil {
			last = err
			continue
		}
		svc := now[service]
		if d := primaryOf(&svc); aws.ToString(d.Id) != before && sameRevision(aws.ToString(d.TaskDefinition), revision) {
			return d, nil
		}
		last = fmt.Errorf("service %s has no deployment of %s", service, ecs.RevisionName(revision))
	}
	return types.Deployment{}, last
}

func (x *run) service(name string) *servicePlan {
	for _, p := range x.services {
		if p.name == name {
			return p
		}
	}
	return nil
}

// follow waits for deployments and reports their progress.
func (x *run) follow(ctx context.Context, targets []ecs.Target, timeout time.Duration) []ecs.Outcome {
	f := x.follower()
	f.All = !x.req.Rollback // nobody is kept waiting for a roll back
	return f.Follow(ctx, x.req.Cluster, targets, timeout)
}

// followBack waits for the deployments of a roll back. One service that cannot
// go back is no reason not to wait for the others.
func (x *run) followBack(ctx context.Context, targets []ecs.Target) []ecs.Outcome {
	f := x.follower()
	f.All = true
	// However short the wait for the release was to be: a roll back takes as
	// long as a rollout does.
	outcomes := f.Follow(ctx, x.req.Cluster, targets, max(x.req.Timeout, DefaultTimeout))
	for _, o := range outcomes {
		b := x.service(o.Service).res.Rollback
		b.Verdict, b.Reason, b.Samples = o.Verdict, o.Reason, o.Samples
	}
	return outcomes
}

func (x *run) follower() ecs.Follower {
	return ecs.Follower{API: x.ECS, Caller: x.caller, Clock: x.clock, Random: x.random, Progress: func(p ecs.Progress) {
		line := fmt.Sprintf("%s: %d of %d running, %d pending, %d failed, %d old", p.Service, p.Running, p.Desired, p.Pending, p.Failed, p.Old)
		if p.Stage != "" {
			line += ", at " + p.Stage
		}
		if p.ETA > 0 {
			line += fmt.Sprintf(", about %s to go", p.ETA)
		}
		x.note(LevelInfo, "%s", line)
		for _, e := range p.Events {
			x.note(LevelInfo, "%s: %s", p.Service, e.Message)
		}
	}}
}

// judge draws the release's verdict from those of its services.
func (x *run) judge(ctx context.Context, outcomes []ecs.Outcome) error {
	worst := map[ecs.Verdict]*ecs.Outcome{}
	for i := range outcomes {
		o := &outcomes[i]
		if worst[o.Verdict] == nil {
			worst[o.Verdict] = o
		}
	}
	for _, v := range []ecs.Verdict{ecs.Failed, ecs.RolledBack} {
		if o := worst[v]; o != nil {
			x.diagnose(ctx, outcomes)
			return x.goBack(ctx, RolledBack, fmt.Sprintf("service %s: %s: %s", o.Service, o.Verdict, strings.TrimSuffix(o.Reason, ".")))
		}
	}
	if o := worst[ecs.Superseded]; o != nil {
		return halt(Superseded, "service %s: %s", o.Service, o.Reason)
	}
	if o := worst[ecs.TimedOut]; o != nil {
		x.diagnose(ctx, outcomes)
		return x.goBack(ctx, TimedOut, fmt.Sprintf("service %s: %s", o.Service, o.Reason))
	}
	if o := worst[ecs.Interrupted]; o != nil {
		return halt(Interrupted, "service %s: %s", o.Service, o.Reason)
	}
	return nil
}

// diagnose finds out why deployments did not complete.
func (x *run) diagnose(ctx context.Context, outcomes []ecs.Outcome) {
	d := ecs.Diagnoser{API: x.ECS, Logs: x.Logs, Caller: x.caller.Within(30 * time.Second)}
	for _, o := range outcomes {
		switch o.Verdict {
		case ecs.Failed, ecs.RolledBack, ecs.TimedOut:
			p := x.service(o.Service)
			diag := d.Diagnose(ctx, x.req.Cluster, o, p.rev.containers())
			p.res.Diagnosis = &diag
			for _, line := range strings.Split(strings.TrimSpace(diag.String()), "\n") {
				if line != "" {
					x.note(LevelError, "%s", line)
				}
			}
		}
	}
}

// goBack returns the services that moved to what they ran before, and waits
// for it. The verdict is the one asked for if that works out.
func (x *run) goBack(ctx context.Context, verdict Verdict, reason string) error {
	var moved []*servicePlan
	for _, p := range x.services {
		if p.res.Moved && p.res.Verdict != ecs.Superseded {
			moved = append(moved, p)
		}
	}
	if !x.req.Rollback {
		return x.leftAlone(ctx, moved, verdict, reason)
	}
	if len(moved) == 0 {
		return halt(verdict, "%s; no service had moved", reason)
	}
	if ctx.Err() != nil {
		return halt(Interrupted, "%s; interrupted before the services were rolled back", reason)
	}
	x.note(LevelInfo, "rolling back: %s", reason)
	var targets []ecs.Target
	var failures []string
	unreachable := true
	for _, p := range moved {
		d, how, err := x.back(ctx, p)
		p.res.Rollback = &Rollback{How: how}
		if err != nil {
			p.res.Rollback.Verdict, p.res.Rollback.Reason = ecs.Failed, err.Error()
			failures = append(failures, fmt.Sprintf("service %s: %v", p.name, err))
			unreachable = unreachable && ecs.Unknown(err)
			continue
		}
		unreachable = false
		p.res.Rollback.Deployment = aws.ToString(d.Id)
		p.res.Runs = aws.ToString(d.TaskDefinition)
		x.note(LevelInfo, "service %s: back to %s, %s, deployment %s", p.name, ecs.RevisionName(aws.ToString(d.TaskDefinition)), how, aws.ToString(d.Id))
		targets = append(targets, ecs.TargetOf(p.name, d))
	}
	superseded := false
	for _, o := range x.followBack(ctx, targets) {
		switch o.Verdict {
		case ecs.Completed:
		case ecs.Superseded:
			superseded = true
			x.service(o.Service).res.Runs = o.SuccessorTaskDefinition
		case ecs.Interrupted:
			return halt(Interrupted, "%s; interrupted while the services were rolled back; ECS carries on by itself", reason)
		default:
			failures = append(failures, fmt.Sprintf("service %s: the roll back %s: %s", o.Service, o.Verdict, o.Reason))
		}
	}
	switch {
	case len(failures) > 0 && unreachable && verdict == TimedOut:
		return halt(TimedOut, "%s; AWS gives no answer, so nothing is known of the services since (%s)", reason, strings.Join(failures, "; "))
	case len(failures) > 0:
		return halt(NotRolledBack, "%s; %s", reason, strings.Join(failures, "; "))
	case superseded:
		return halt(Superseded, "%s; another deployment took the place of the roll back", reason)
	}
	return halt(verdict, "%s; the services run what they ran before", reason)
}

// leftAlone is the verdict where nobody is to roll back, unless ECS does.
func (x *run) leftAlone(ctx context.Context, moved []*servicePlan, verdict Verdict, reason string) error {
	if verdict == TimedOut {
		return halt(TimedOut, "%s; not rolled back, as asked", reason)
	}
	var targets []ecs.Target
	for _, p := range moved {
		if p.res.Verdict != ecs.RolledBack {
			return halt(NotRolledBack, "%s; not rolled back, as asked", reason)
		}
	}
	if len(moved) == 0 {
		return halt(verdict, "%s; no service had moved", reason)
	}
	for _, p := range moved {
		d, how, err := x.back(ctx, p)
		if err != nil {
			return halt(NotRolledBack, "%s; service %s: %v", reason, p.name, err)
		}
		p.res.Rollback = &Rollback{How: how, Deployment: aws.ToString(d.Id)}
		targets = append(targets, ecs.TargetOf(p.name, d))
	}
	for _, o := range x.followBack(ctx, targets) {
		if o.Verdict != ecs.Completed {
			return halt(NotRolledBack, "%s; service %s: the roll back by ECS %s: %s", reason, o.Service, o.Verdict, o.Reason)
		}
	}
	return halt(verdict, "%s; ECS rolled the services back by itself", reason)
}

// back sets one service on its way to what it ran before, and returns the
// deployment that takes it there.
func (x *run) back(ctx context.Context, p *servicePlan) (types.Deployment, string, error) {
	switch p.res.Verdict {
	case ecs.RolledBack:
		now, _, err := x.describeServices(ctx, x.req.Cluster, []string{p.name})
		if err != nil {
			return types.Deployment{}, "by ECS", err
		}
		svc := now[p.name]
		d := primaryOf(&svc)
		p.res.Runs = aws.ToString(d.TaskDefinition)
		if sameRevision(aws.ToString(d.TaskDefinition), p.prior) || !sameRevision(aws.ToString(d.TaskDefinition), p.rev.target) {
			return d, "by ECS", nil
		}
	case ecs.TimedOut, ecs.Interrupted:
		// Still in flight: stopping it works without a circuit breaker too.
		d, err := x.stopDeployment(ctx, p)
		if err == nil {
			return d, "stopped", nil
		}
		x.note(LevelWarning, "service %s: the deployment cannot be stopped (%v); deploying %s again", p.name, err, ecs.RevisionName(p.prior))
	}
	u := update{taskDefinition: p.prior}
	if x.req.DesiredCount != nil {
		u.desired = aws.Int32(p.svc.DesiredCount)
	}
	if was := x.updateFor(p).configuration; was != nil {
		u.configuration = p.svc.DeploymentConfiguration
	}
	d, err := x.redeploy(ctx, p, u)
	return d, "redeployed", err
}

// redeploy is update against what the service is now rather than what it was
// in the preflight.
func (x *run) redeploy(ctx context.Context, p *servicePlan, u update) (types.Deployment, error) {
	now := *p
	now.svc.TaskDefinition = aws.String(p.rev.target)
	now.svc.Deployments = []types.Deployment{{Id: aws.String(p.res.Deployment), Status: aws.String("PRIMARY"), TaskDefinition: aws.String(p.rev.target)}}
	return x.update(ctx, &now, u)
}

// stopDeployment stops a deployment in flight with a roll back, and waits for
// the deployment that does it to appear.
func (x *run) stopDeployment(ctx context.Context, p *servicePlan) (types.Deployment, error) {
	out, err := call(ctx, x, "ListServiceDeployments", func(ctx context.Context) (*awsecs.ListServiceDeploymentsOutput, error) {
		return x.ECS.ListServiceDeployments(ctx, &awsecs.ListServiceDeploymentsInput{
			Cluster: aws.String(x.req.Cluster), Service: aws.String(p.name),
			Status: []types.ServiceDeploymentStatus{types.ServiceDeploymentStatusPending, types.ServiceDeploymentStatusInProgress},
		})
	})
	if err != nil {
		return types.Deployment{}, err
	}
	if len(out.ServiceDeployments) == 0 {
		return types.Deployment{}, fmt.Errorf("ECS lists no deployment of it in progress")
	}
	arn := aws.ToString(out.ServiceDeployments[0].ServiceDeploymentArn)
	_, err = call(ctx, x, "StopServiceDeployment", func(ctx context.Context) (*awsecs.StopServiceDeploymentOutput, error) {
		return x.ECS.StopServiceDeployment(ctx, &awsecs.StopServiceDeploymentInput{
			ServiceDeploymentArn: aws.String(arn), StopType: types.StopServiceDeploymentStopTypeRollback,
		})
	})
	if err != nil {
		return types.Deployment{}, err
	}
	return x.awaitDeployment(ctx, p.name, p.prior, p.res.Deployment)
}
