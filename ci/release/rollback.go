package release

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/magecloudkit/pipeline/ci/ecs"
)

// rollbackSteps is the way back, in order.
var rollbackSteps = []step{
	{stepPreflight, (*run).preflightBack},
	{"rollout", (*run).rolloutBack},
	{"cache", (*run).flushCache},
	{"cron", (*run).moveCron},
}

// Rollback returns the services and cron to the build that ran before, or to
// the request's Build. A rollout in flight is stopped, else the older revisions
// are deployed again. The database is left alone.
func (r *Releaser) Rollback(ctx context.Context, req Request) *Result {
	x := r.begin("rollback", req)
	if req.DryRun {
		return x.planned(x.perform(ctx, rollbackSteps[:1]))
	}
	return x.conclude(ctx, x.perform(ctx, rollbackSteps))
}

// preflightBack finds the revision that every service and cron rule is to
// return to, and that it can still run.
func (x *run) preflightBack(ctx context.Context) error {
	if err := x.look(ctx); err != nil {
		return err
	}
	x.ownRepositories()
	for _, p := range x.revs {
		x.chooseBack(ctx, p)
	}
	x.showChanges()
	for _, p := range x.services {
		if p.rev != nil {
			p.res.Target = p.rev.target
			p.prior = p.rev.target
		}
	}
	x.checkDependencies(ctx)
	return x.verdictOfPreflight(ctx)
}

// chooseBack picks the revision to return to and checks its images. The first
// service decides which build that is; the others and cron follow. Where its
// revisions differ in settings alone, every family takes one step back.
func (x *run) chooseBack(ctx context.Context, p *revisionPlan) {
	subject := "task definition " + ecs.RevisionName(p.arn())
	target, err := x.olderRevision(ctx, p)
	if err != nil {
		x.find(SeverityError, subject, "", "%v", err)
		return
	}
	td := target.TaskDefinition
	p.target = aws.ToString(td.TaskDefinitionArn)
	if p.desired, err = ecs.Registration(target); err != nil {
		x.find(SeverityError, subject, "", "%v", err)
		return
	}
	refs := ecs.Images(td.ContainerDefinitions, x.own)
	if x.req.Build == "" {
		x.req.Build = buildOf(target, refs)
		x.settingsOnly = x.req.Build != "" && x.req.Build == x.runningBuild(p)
	}
	p.changes = significant(ecs.Diff(p.base, p.desired))
	for _, ref := range refs {
		x.inspectImage(ctx, ref, ecs.Move{Repository: ref.Repository(), Tag: ref.Tag, Digest: ref.Digest}, platformOf(p.desired))
	}
}

// olderRevision finds the revision of a build in a family, or, if no build is
// asked for, the one that the current revision replaced.
func (x *run) olderRevision(ctx context.Context, p *revisionPlan) (*awsecs.DescribeTaskDefinitionOutput, error) {
	current := x.runningBuild(p)
	if name := ecs.Tag(p.before.Tags, TagReplaces); name != "" && (x.req.Build == "" || x.settingsOnly) {
		return x.describeTaskDefinition(ctx, name)
	}
	if x.req.Build != "" && current == x.req.Build {
		return p.before, nil
	}
	arns, err := x.activeRevisions(ctx, p.family())
	if err != nil {
		return nil, fmt.Errorf("its revisions cannot be listed: %w", err)
	}
	seen := 0
	for _, arn := range arns {
		// Without a build to look for, only what is older than the current
		// revision was ever run before it.
		if x.req.Build == "" && seen == 0 && arn != p.arn() {
			continue
		}
		if arn == p.arn() {
			seen = 1
			continue
		}
		if seen++; seen > maxLookedAt {
			break
		}
		td, err := x.describeTaskDefinition(ctx, arn)
		if err != nil {
			return nil, err
		}
		build := buildOf(td, ecs.Images(td.TaskDefinition.ContainerDefinitions, x.own))
		if build != "" && (build == x.req.Build || x.req.Build == "" && build != current) {
			return td, nil
		}
	}
	if x.req.Build == "" {
		return nil, fmt.Errorf("no revision before it runs another build: there is nothing to return to")
	}
	return nil, fmt.Errorf("family %s has no active revision of build %s among the last %d", p.family(), x.req.Build, maxLookedAt)
}

// runningBuild is the build of a plan's current revision.
func (x *run) runningBuild(p *revisionPlan) string {
	return buildOf(p.before, ecs.Images(p.base.ContainerDefinitions, x.own))
}

// maxLookedAt bounds how many revisions of a family are looked at.
const maxLookedAt = 50

// rolloutBack sets every service on its way back and waits for all of them.
func (x *run) rolloutBack(ctx context.Context) error {
	var targets []ecs.Target
	for _, p := range x.services {
		if ctx.Err() != nil {
			break
		}
		d := primaryOf(&p.svc)
		if sameRevision(aws.ToString(d.TaskDefinition), p.rev.target) && d.RolloutState != types.DeploymentRolloutStateFailed {
			if inProgress(&p.svc) { // somebody, or ECS, is on the way back already
				p.res.Moved, p.res.Deployment = true, aws.ToString(d.Id)
				targets = append(targets, ecs.TargetOf(p.name, d))
				continue
			}
			x.note(LevelInfo, "service %s runs %s already", p.name, ecs.RevisionName(p.rev.target))
			p.res.Verdict = ecs.Completed
			continue
		}
		how := "redeployed"
		var back types.Deployment
		err := error(nil)
		stopped := false
		if inProgress(&p.svc) {
			p.res.Deployment = aws.ToString(d.Id)
			if back, err = x.stopDeployment(ctx, p); err == nil {
				how, stopped = "stopped", true
			} else {
				x.note(LevelWarning, "service %s: the deployment in progress cannot be stopped (%v); deploying %s", p.name, err, ecs.RevisionName(p.rev.target))
			}
		}
		if !stopped {
			if back, err = x.update(ctx, p, update{taskDefinition: p.rev.target, force: x.req.Force}); err != nil {
				p.res.Verdict, p.res.Reason = ecs.Failed, err.Error()
				return halt(NotRolledBack, "service %s: %v", p.name, err)
			}
		}
		p.res.Moved, p.res.Deployment, p.res.Runs = true, aws.ToString(back.Id), aws.ToString(back.TaskDefinition)
		x.note(LevelInfo, "service %s: %s -> %s, %s, deployment %s", p.name, ecs.RevisionName(p.res.Before), ecs.RevisionName(p.res.Runs), how, p.res.Deployment)
		targets = append(targets, ecs.TargetOf(p.name, back))
	}
	if len(targets) == 0 && ctx.Err() == nil {
		return fmt.Errorf("%w: every service runs build %s already", errSkipped, x.req.Build)
	}
	f := x.follower()
	f.All = true
	outcomes := f.Follow(ctx, x.req.Cluster, targets, x.req.Timeout)
	for _, o := range outcomes {
		p := x.service(o.Service)
		p.res.Verdict, p.res.Reason = o.Verdict, o.Reason
		p.res.Started, p.res.Ended, p.res.Samples, p.res.Events = o.Started, o.Ended, o.Samples, o.Events
	}
	if ctx.Err() != nil {
		return halt(Interrupted, "interrupted while the services rolled; ECS carries on by itself, and the same command takes it up again")
	}
	for _, v := range []struct {
		of ecs.Verdict
		is Verdict
	}{{ecs.Failed, NotRolledBack}, {ecs.RolledBack, NotRolledBack}, {ecs.Superseded, Superseded}, {ecs.TimedOut, TimedOut}, {ecs.Interrupted, Interrupted}} {
		for _, o := range outcomes {
			if o.Verdict == v.of {
				if v.is == NotRolledBack || v.is == TimedOut {
					x.diagnose(ctx, outcomes)
				}
				return halt(v.is, "service %s: %s", o.Service, o.Reason)
			}
		}
	}
	return nil
}

// Run carries out one command as a one-off task on the revision that the first
// service runs. The task's end is in the result's Tasks.
func (r *Releaser) Run(ctx context.Context, req Request, command []string) *Result {
	x := r.begin("run", req)
	end := x.perform(ctx, []step{{"run", func(x *run, ctx context.Context) error {
		x.req.Services, x.req.CronRules = x.req.Services[:1], nil
		if err := x.look(ctx); err != nil {
			return err
		}
		if err := x.verdictOfPreflight(ctx); err != nil {
			return err
		}
		x.ownRepositories()
		web := x.services[0]
		web.rev.target = web.rev.arn()
		end, err := x.runTask(ctx, strings.Join(command, " "), command, "mck/run")
		switch {
		case err != nil:
			return halt(Refused, "%v", err)
		case end.Verdict == ecs.TaskInterrupted:
			return halt(Interrupted, "%s", end.Reason)
		case end.Verdict == ecs.TaskTimedOut:
			return halt(TimedOut, "%s", end.Reason)
		case end.Verdict == ecs.TaskSucceeded, end.Verdict == ecs.TaskExited, end.Verdict == ecs.TaskKilled && end.ExitCode != nil:
			return nil // the command's own exit code says it all
		}
		return halt(Broken, "%s: %s", end.Verdict, end.Reason)
	}}})
	if end != nil {
		return x.finish(end.verdict, end.reason)
	}
	t := x.res.Tasks[0]
	res := x.finish(Finished, fmt.Sprintf("exit code %d", *t.ExitCode))
	res.ExitCode = int(*t.ExitCode)
	return res
}
