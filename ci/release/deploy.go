package release

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/magecloudkit/pipeline/ci/ecs"
)

// deploySteps is a release, in order.
var deploySteps = []step{
	{stepPreflight, (*run).preflight},
	{"revisions", (*run).register},
	{"migration", (*run).migrate},
	{"rollout", (*run).rollout},
	{"cache", (*run).flushCache},
	{"cron", (*run).moveCron},
	{"old revisions", (*run).deregisterOld},
}

// Deploy releases a build. The request must have passed its Check.
func (r *Releaser) Deploy(ctx context.Context, req Request) *Result {
	x := r.begin("deploy", req)
	if req.DryRun {
		return x.dry(ctx)
	}
	return x.conclude(ctx, x.perform(ctx, deploySteps))
}

// conclude is the end of everything that changes services: cron is enabled
// again whatever happened, and what is true now is written down.
func (x *run) conclude(ctx context.Context, end *stop) *Result {
	verdict, reason := Released, x.subject()
	if x.res.Verb == "rollback" {
		verdict = Returned
	}
	if end != nil {
		verdict, reason = end.verdict, end.reason
	} else if x.unchanged() {
		reason += " runs already: no service was rolled" + x.alsoDone()
	}
	x.step = "end"
	if err := x.resumeCron(ctx, verdict); err != nil {
		x.note(LevelError, "%v", err)
		if reason += "; " + err.Error(); verdict.ExitCode() == 0 {
			verdict = Incomplete
		}
	}
	x.markEnd(ctx, verdict, reason)
	x.collect()
	x.res.State = x.state()
	return x.finish(verdict, reason)
}

// alsoDone is what a release that rolled no service did all the same: one that was
// interrupted before may have left just that.
func (x *run) alsoDone() string {
	var ran []string
	for _, t := range x.res.Tasks {
		ran = append(ran, t.Name)
	}
	if len(ran) == 0 {
		return ", and no task ran"
	}
	return "; what ran is " + strings.Join(ran, ", ")
}

// subject is what is released.
func (x *run) subject() string {
	if x.req.KeepBuild {
		return "the same build with other settings"
	}
	return "build " + x.req.Build
}

// unchanged reports whether the release found everything done.
func (x *run) unchanged() bool {
	for _, p := range x.services {
		if p.res.Moved {
			return false
		}
	}
	return true
}

// Verify is the preflight alone.
func (r *Releaser) Verify(ctx context.Context, req Request) *Result {
	x := r.begin("verify", req)
	return x.dry(ctx)
}

// Diff is the preflight without the checks of what the revisions name: it is
// for showing what a release would change.
func (r *Releaser) Diff(ctx context.Context, req Request) *Result {
	x := r.begin("diff", req)
	end := x.perform(ctx, []step{{stepPreflight, func(x *run, ctx context.Context) error {
		if err := x.look(ctx); err != nil {
			return err
		}
		x.planRevisions(ctx)
		return x.verdictOfPreflight(ctx)
	}}})
	return x.planned(end)
}

func (x *run) dry(ctx context.Context) *Result {
	return x.planned(x.perform(ctx, deploySteps[:1]))
}

func (x *run) planned(end *stop) *Result {
	x.collect()
	if end != nil {
		return x.finish(end.verdict, end.reason)
	}
	n := 0
	for _, p := range x.revs {
		if len(p.changes) > 0 {
			n++
		}
	}
	return x.finish(Planned, fmt.Sprintf("%s would change %s; nothing was changed", x.subject(), plural(n, "task definition")))
}

// collect copies the plans' ends into the result.
func (x *run) collect() {
	x.res.Services, x.res.Revisions, x.res.Cron = nil, nil, nil
	for _, p := range x.services {
		x.res.Services = append(x.res.Services, p.res)
	}
	for _, p := range x.revs {
		x.res.Revisions = append(x.res.Revisions, Revision{
			For: p.users, Before: p.arn(), After: p.target, Registered: p.fresh, Changes: p.changes,
		})
	}
	for _, c := range x.crons {
		x.res.Cron = append(x.res.Cron, c.res)
	}
}

// state says what is true at the end, one line for each thing.
func (x *run) state() []string {
	var lines []string
	for _, p := range x.services {
		s := p.res
		line := fmt.Sprintf("service %s: ", s.Service)
		switch {
		case s.Rollback != nil && s.Rollback.Verdict == ecs.Completed:
			line += "runs " + ecs.RevisionName(s.Runs) + " again"
		case s.Rollback != nil:
			line += fmt.Sprintf("was to go back to %s (%s): %s", ecs.RevisionName(p.prior), s.Rollback.How, s.Rollback.Verdict)
		case s.Moved && s.Verdict == ecs.Completed:
			line += fmt.Sprintf("runs %s (before: %s)", ecs.RevisionName(s.Target), ecs.RevisionName(s.Before))
		case s.Moved && s.Verdict == ecs.Superseded:
			line += "is being moved to " + ecs.RevisionName(s.Runs) + " by another deployment"
		case s.Moved:
			line += fmt.Sprintf("deployment %s to %s: %s", s.Deployment, ecs.RevisionName(s.Target), s.Verdict)
		default:
			line += "untouched, runs " + ecs.RevisionName(s.Runs)
		}
		lines = append(lines, line)
	}
	switch {
	case x.migrated:
		lines = append(lines, "database: upgraded; going back to older code does not take that back")
	case x.res.Verb == "rollback":
		lines = append(lines, "database: left as it is")
	case x.touched:
		lines = append(lines, "database: setup:upgrade was started and did not end well; look at its log before the next release")
	}
	for _, c := range x.crons {
		on := "enabled"
		if !c.res.Enabled {
			on = "DISABLED"
		}
		lines = append(lines, fmt.Sprintf("%s: %s, runs %s", c.subject(), on, strings.Join(c.res.After, ", ")))
	}
	return lines
}

// deregisterOld deregisters older revisions, if asked to: never one that is in
// use, and never one that may be returned to.
func (x *run) deregisterOld(ctx context.Context) error {
	if x.req.KeepRevisions == 0 {
		return fmt.Errorf("%w: not asked for", errSkipped)
	}
	var families []string
	for _, p := range x.revs {
		add(&families, p.family())
	}
	keep, err := x.inUse(ctx)
	if err != nil {
		x.note(LevelWarning, "no old revision is deregistered: what is in use cannot be read: %v", err)
		return nil
	}
	n := 0
	for _, family := range families {
		arns, err := x.activeRevisions(ctx, family)
		if err != nil {
			x.note(LevelWarning, "no old revision of %s is deregistered: %v", family, err)
			continue
		}
		for _, arn := range arns[min(x.req.KeepRevisions, len(arns)):] {
			if keep[ecs.RevisionName(arn)] {
				continue
			}
			_, err := call(ctx, x, "DeregisterTaskDefinition", func(ctx context.Context) (*awsecs.DeregisterTaskDefinitionOutput, error) {
				return x.ECS.DeregisterTaskDefinition(ctx, &awsecs.DeregisterTaskDefinitionInput{TaskDefinition: aws.String(arn)})
			})
			if err != nil {
				x.note(LevelWarning, "%s is not deregistered: %v", ecs.RevisionName(arn), err)
				continue
			}
			n++
			x.note(LevelInfo, "%s is deregistered", ecs.RevisionName(arn))
		}
	}
	if n == 0 {
		return fmt.Errorf("%w: no revision is old enough", errSkipped)
	}
	return nil
}

// activeRevisions lists a family's revisions, the newest first.
func (x *run) activeRevisions(ctx context.Context, family string) ([]string, error) {
	var arns []string
	var token *string
	for {
		out, err := call(ctx, x, "ListTaskDefinitions", func(ctx context.Context) (*awsecs.ListTaskDefinitionsOutput, error) {
			return x.ECS.ListTaskDefinitions(ctx, &awsecs.ListTaskDefinitionsInput{
				FamilyPrefix: aws.String(family), Status: types.TaskDefinitionStatusActive, Sort: types.SortOrderDesc, NextToken: token,
			})
		})
		if err != nil {
			return nil, err
		}
		for _, a := range out.TaskDefinitionArns {
			if ecs.Family(a) == family { // the filter is the family's whole name; be sure
				arns = append(arns, a)
			}
		}
		if token = out.NextToken; token == nil {
			return arns, nil
		}
	}
}

// inUse names the revisions that tasks, deployments or cron of this release's
// cluster use, and those that the released ones replaced.
func (x *run) inUse(ctx context.Context) (map[string]bool, error) {
	keep := map[string]bool{}
	services, _, err := x.describeServices(ctx, x.req.Cluster, x.req.Services)
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
	for _, p := range x.revs {
		keep[ecs.RevisionName(p.arn())] = true
		keep[ecs.RevisionName(p.target)] = true
		if r := ecs.Tag(p.before.Tags, TagReplaces); r != "" {
			keep[r] = true
		}
		tasks, err := x.familyTasks(ctx, p.family())
		if err != nil {
			return nil, err
		}
		for _, t := range tasks {
			keep[ecs.RevisionName(aws.ToString(t.TaskDefinitionArn))] = true
		}
	}
	for _, c := range x.crons {
		for _, r := range slices.Concat(c.res.Before, c.res.After) {
			keep[r] = true
		}
	}
	return keep, nil
}

// familyTasks reads the running tasks of a family, of services or not.
func (x *run) familyTasks(ctx context.Context, family string) ([]types.Task, error) {
	return x.listTasks(ctx, awsecs.ListTasksInput{Cluster: aws.String(x.req.Cluster), Family: aws.String(family)})
}
