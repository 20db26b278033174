package release

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"

	"github.com/magecloudkit/pipeline/ci/ecs"
)

// forReturn plans the way back: it finds the revision that every service and cron rule is to
// return to, and that it can still run.
func (v *survey) forReturn(ctx context.Context) error {
	if err := v.look(ctx); err != nil {
		return err
	}
	v.ownRepositories()
	for _, p := range v.revs {
		v.chooseBack(ctx, p)
	}
	v.showChanges()
	for _, p := range v.services {
		if p.rev != nil {
			p.res.Target = p.rev.target
			p.prior = p.rev.target
		}
	}
	v.checkProbes()
	v.checkDependencies(ctx)
	return v.outcome(ctx)
}

// chooseBack picks the revision to return to and checks its images. The first
// service decides which build that is; the others and cron follow. Where its
// revisions differ in settings alone, every family takes one step back.
func (v *survey) chooseBack(ctx context.Context, p *revision) {
	subject := "task definition " + ecs.RevisionName(p.arn())
	target, err := v.olderRevision(ctx, p)
	if err != nil {
		v.refuse(subject, "", "%v", err)
		return
	}
	td := target.TaskDefinition
	p.target = aws.ToString(td.TaskDefinitionArn)
	if p.desired, err = registration(target); err != nil {
		v.refuse(subject, "", "%v", err)
		return
	}
	refs := ecs.Images(td.ContainerDefinitions, v.own)
	if v.req.Build == "" {
		v.req.Build = buildOf(target, refs)
		v.settingsOnly = v.req.Build != "" && v.req.Build == v.runningBuild(p)
	}
	p.changes = significant(ecs.Diff(p.base, p.desired))
	for _, ref := range refs {
		v.inspectImage(ctx, ref, ecs.Move{Repository: ref.Repository(), Tag: ref.Tag, Digest: ref.Digest}, platformOf(p.desired))
	}
}

// olderRevision finds the revision of a build in a family, or, if no build is
// asked for, the one that the current revision replaced.
func (v *survey) olderRevision(ctx context.Context, p *revision) (*awsecs.DescribeTaskDefinitionOutput, error) {
	current := v.runningBuild(p)
	if name := ecs.Tag(p.before.Tags, TagReplaces); name != "" && (v.req.Build == "" || v.settingsOnly) {
		return v.describeTaskDefinition(ctx, name)
	}
	if v.req.Build != "" && current == v.req.Build {
		return p.before, nil
	}
	arns, err := v.activeRevisions(ctx, p.family())
	if err != nil {
		return nil, fmt.Errorf(sayRevisionsUnread, err)
	}
	for _, arn := range candidates(arns, p.arn(), v.req.Build == "") {
		td, err := v.describeTaskDefinition(ctx, arn)
		if err != nil {
			return nil, err
		}
		build := buildOf(td, ecs.Images(td.TaskDefinition.ContainerDefinitions, v.own))
		if build != "" && (build == v.req.Build || v.req.Build == "" && build != current) {
			return td, nil
		}
	}
	if v.req.Build == "" {
		return nil, errors.New(sayNothingBefore)
	}
	return nil, fmt.Errorf(sayNoRevisionOfBuild, p.family(), v.req.Build, maxLookedAt)
}

// candidates are the revisions of a family that may be returned to, the newest
// first. Without a build to look for, only what is older than the current revision
// was ever run before it.
func candidates(arns []string, current string, older bool) []string {
	i := slices.Index(arns, current)
	switch {
	case i >= 0 && older:
		arns = arns[i+1:]
	case i >= 0:
		arns = slices.Concat(arns[:i], arns[i+1:])
	case older:
		arns = nil
	}
	return arns[:min(maxLookedAt, len(arns))]
}

// maxLookedAt bounds how many revisions of a family are looked at.
const maxLookedAt = 50
