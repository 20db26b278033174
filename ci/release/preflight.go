package release

import (
	"context"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/magecloudkit/pipeline/ci/ecs"
)

// forBuild plans the release of a build, or of other settings: it finds everything
// out that can be found out before anything is changed, and reports all that is
// wrong at once.
func (v *survey) forBuild(ctx context.Context) error {
	if err := v.look(ctx); err != nil {
		return err
	}
	return v.planBuild(ctx)
}

// planBuild decides, of what look has found, what a release of the request's build makes of it.
func (v *survey) planBuild(ctx context.Context) error {
	v.planRevisions(ctx)
	v.showChanges()
	v.checkDeployments()
	v.takeUp()
	v.checkProbes()
	v.checkWaitUntil()
	if v.res.Verb == "verify" {
		v.checkHealth(ctx)
	}
	v.checkDependencies(ctx)
	return v.outcome(ctx)
}

// forShow plans as forBuild does, of an older build too, and asks nothing that only
// a release needs to know.
func (v *survey) forShow(ctx context.Context) error {
	v.req.Downgrade = true
	if err := v.look(ctx); err != nil {
		return err
	}
	v.planRevisions(ctx)
	return v.outcome(ctx)
}

// forTask finds out what a one-off task needs.
func (v *survey) forTask(ctx context.Context) error {
	if err := v.look(ctx); err != nil {
		return err
	}
	if err := v.outcome(ctx); err != nil {
		return err
	}
	v.ownRepositories()
	web := v.services[0]
	web.rev.target = web.rev.arn()
	return nil
}

// planRevisions works out what every task definition becomes, and whether such
// a revision is there already.
func (v *survey) planRevisions(ctx context.Context) {
	defer v.checkVariables()
	if v.req.From != "" {
		v.readSource(ctx)
	}
	switch {
	case v.req.KeepBuild:
		v.ownRepositories()
	case v.req.Build == "":
		if !v.refused() {
			v.refuse("build", doGiveBuild, sayNoBuild)
		}
		return
	default:
		v.ownRepositories()
		v.resolveImages(ctx)
		v.checkOrder(ctx)
	}
	for _, p := range v.revs {
		if edits := editsFor(&v.plan, p, v.moves); v.req.KeepBuild || len(edits.Images) > 0 {
			v.planEdits(ctx, p, edits)
			continue
		}
		v.refuse("task definition "+ecs.RevisionName(p.arn()), doNameRepositories,
			sayNoOwnImage, orNone(v.own), strings.Join(p.users, ", "))
	}
}

// checkOrder refuses an older build over a newer one, as a late approval in a CI
// system would release it. Build numbers are a CI system's and grow; a name says
// nothing of age.
func (v *survey) checkOrder(ctx context.Context) {
	asked, err := strconv.Atoi(v.req.Build)
	if err != nil || v.req.Downgrade {
		return
	}
	for _, p := range v.services {
		if p.rev == nil {
			continue
		}
		refs := ecs.Images(p.rev.base.ContainerDefinitions, v.own)
		runs, err := strconv.Atoi(buildOf(p.rev.before, refs))
		if err != nil || runs <= asked {
			continue
		}
		v.refuse("service "+p.name, doDowngrade,
			sayOlder, runs, v.about(ctx, refs, ""), asked, v.about(ctx, refs, v.req.Build))
	}
}

// about tells a build's commit and when it was pushed, as far as its first image
// in ECR says: " (commit 5a1d0c3, pushed 2026-05-04 03:02 UTC)".
func (v *survey) about(ctx context.Context, refs []ecs.Reference, tag string) string {
	if len(refs) == 0 {
		return ""
	}
	ref := refs[0]
	if tag != "" {
		ref.Tag, ref.Digest = tag, ""
	}
	var known []string
	if c := v.commitOf(ctx, ref); c != "" {
		known = append(known, "commit "+c[:min(12, len(c))])
	}
	if at := v.pushedAt(ctx, ref); !at.IsZero() {
		known = append(known, "pushed "+at.UTC().Format("2006-01-02 15:04 MST"))
	}
	if len(known) == 0 {
		return ""
	}
	return " (" + strings.Join(known, ", ") + ")"
}

// checkVariables refuses edits of the environment that cannot be meant.
func (v *survey) checkVariables() {
	var containers []types.ContainerDefinition
	for _, p := range v.revs {
		containers = append(containers, p.base.ContainerDefinitions...)
	}
	if !v.req.Edits.Plaintext {
		for _, exposed := range v.req.Edits.Exposed(containers, v.own) {
			v.refuse("variable "+exposed.Name, doPlaintext,
				sayExposed)
		}
	}
	severity := SeverityWarning // a release may be the second try of one that did it
	if v.req.KeepBuild {
		severity = SeverityError
	}
	for _, absent := range v.req.Edits.Absent(containers, v.own) {
		v.find(severity, "variable "+absent.Name, doListVariables, sayNoVariable)
	}
}

// planEdits works out one revision.
func (v *survey) planEdits(ctx context.Context, p *revision, edits ecs.Edits) {
	same, err := p.become(edits, v.code(p))
	if err != nil {
		v.refuse("task definition "+ecs.RevisionName(p.arn()), "", "%v", err)
	}
	if same || err != nil {
		return
	}
	// An interrupted run may have registered it already.
	latest, err := v.describeTaskDefinition(ctx, p.family())
	if err != nil {
		if !ecs.Denied(err) && ecs.Code(err) != "ClientException" {
			v.refuse("task definition "+p.family(), "", sayLatestUnread, err)
		}
		return
	}
	if p.is(latest) {
		p.target, p.since = aws.ToString(latest.TaskDefinition.TaskDefinitionArn), aws.ToTime(latest.TaskDefinition.RegisteredAt)
	}
}

// showChanges tells what becomes of every task definition.
func (v *survey) showChanges() {
	for _, p := range v.revs {
		if len(p.changes) == 0 {
			continue
		}
		v.note(LevelInfo, "%s (%s):", ecs.RevisionName(p.arn()), strings.Join(p.users, ", "))
		for _, line := range strings.Split(strings.TrimSuffix(p.changes.String(), "\n"), "\n") {
			v.note(LevelInfo, "  %s", line)
		}
	}
}

// checkDeployments refuses where somebody else's deployment is in progress,
// and takes up one of our own.
func (v *survey) checkDeployments() {
	for _, p := range v.services {
		if p.rev == nil {
			continue
		}
		p.res.Target = p.rev.target
		v.checkCount(p)
		if !inProgress(&p.svc) {
			continue
		}
		d := primaryOf(&p.svc)
		if p.adopt = v.mayAdopt(p); p.adopt {
			p.prior = priorOfAdopted(p)
			v.note(LevelInfo, sayAdopted, p.name, aws.ToString(d.Id))
			continue
		}
		v.refuse("service "+p.name, doWaitForDeployment,
			sayInProgress, aws.ToString(d.Id),
			ecs.RevisionName(aws.ToString(d.TaskDefinition)), aws.ToTime(d.CreatedAt).UTC().Format("15:04:05 MST"))
	}
}

// takeUp finds the services that an interrupted run of this very release has moved
// already: should the rest fail, they go back with it.
func (v *survey) takeUp() {
	for _, p := range v.services {
		if p.rev == nil || !v.runsAlready(p) {
			continue
		}
		replaces := ecs.Tag(p.rev.before.Tags, TagReplaces)
		if p.taken = replaces != "" && v.movedWithRest(p); p.taken {
			p.prior = replaces
			v.note(LevelInfo, sayTakenUp, p.name, ecs.RevisionName(p.rev.target), replaces)
		}
	}
}

// checkCount looks at how many tasks a service wants.
func (v *survey) checkCount(p *service) {
	asked := v.req.DesiredCount
	switch daemon := p.svc.SchedulingStrategy == types.SchedulingStrategyDaemon; {
	case daemon && asked != nil:
		v.refuse("service "+p.name, doLeaveOutCount, sayDaemon)
	case !daemon && p.svc.DesiredCount == 0 && (asked == nil || *asked == 0):
		v.warn("service "+p.name, "", sayNoTasks)
	}
}
