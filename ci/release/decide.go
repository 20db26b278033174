package release

import (
	"cmp"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/magecloudkit/pipeline/ci/ecs"
)

// editsFor is what the request, and the build's images, make of a task definition.
func editsFor(pl *plan, p *revision, moves map[string]ecs.Move) ecs.Edits {
	edits := pl.req.Edits
	edits.Images = nil
	edits.Tags = map[string]string{TagBy: tagValue(pl.req.By), TagReplaces: ecs.RevisionName(p.arn())}
	if pl.req.KeepBuild {
		return edits
	}
	edits.Tags[TagBuild] = pl.req.Build
	for _, ref := range ecs.Images(p.base.ContainerDefinitions, pl.own) {
		if m, ok := moves[ref.Repository()]; ok {
			edits.Images = append(edits.Images, m)
		}
	}
	return edits
}

// become decides what edits make of a revision, and reports whether that is what it
// is already. code is the repositories of the containers that run the store's code.
func (p *revision) become(edits ecs.Edits, code []string) (same bool, err error) {
	p.desired, err = edits.Apply(p.base, code)
	if err != nil {
		return false, err
	}
	p.changes = significant(ecs.Diff(p.base, p.desired))
	if !onlyMarks(p) {
		return false, nil
	}
	p.changes = nil
	if p.before.TaskDefinition.Status != types.TaskDefinitionStatusInactive {
		p.target = p.arn()
	}
	return true, nil
}

// is reports whether td is what the revision is to become.
func (p *revision) is(td *awsecs.DescribeTaskDefinitionOutput) bool {
	same, err := registration(td)
	return err == nil && len(significant(ecs.Diff(same, p.desired))) == 0
}

// onlyMarks reports whether nothing but our own mark would be added to a
// revision that nobody released with mck: no reason for another revision.
func onlyMarks(p *revision) bool {
	rest := p.changes
	if ecs.Tag(p.base.Tags, TagBuild) == "" {
		rest = rest.Without("tags." + TagBuild)
	}
	return len(rest) == 0
}

// significant leaves out what says who registered a revision and after which
// one: that alone is no reason for another revision.
func significant(c ecs.Changes) ecs.Changes {
	return c.Without("tags." + TagBy).Without("tags." + TagReplaces)
}

// mayAdopt reports whether the deployment in progress is the one that the plan would
// begin.
func (pl *plan) mayAdopt(p *service) bool {
	return p.rev.target != "" && aws.ToString(primaryOf(&p.svc).TaskDefinition) == p.rev.target && !pl.req.Force
}

// priorOfAdopted is the revision to return to from a deployment that an interrupted
// run began.
func priorOfAdopted(p *service) string {
	if replaces := ecs.Tag(p.rev.before.Tags, TagReplaces); replaces != "" && p.prior == p.rev.target {
		return replaces
	}
	return p.prior
}

// movedWithRest reports whether a service that runs its target was moved by a release
// that has still to move another one: after that one's revision was registered, which
// is before any service is moved, and before that one went back, if it did.
func (pl *plan) movedWithRest(p *service) bool {
	moved := aws.ToTime(primaryOf(&p.svc).CreatedAt)
	for _, rest := range pl.services {
		if rest.rev == nil || rest == p || pl.runsAlready(rest) {
			continue
		}
		registered := rest.rev.since
		if rest.adopt {
			registered = aws.ToTime(rest.rev.before.TaskDefinition.RegisteredAt)
		}
		if registered.IsZero() || moved.Before(registered) {
			continue
		}
		last := aws.ToTime(primaryOf(&rest.svc).CreatedAt)
		if rest.adopt || last.Before(registered) || moved.Before(last) {
			return true
		}
	}
	return false
}

// runsAlready reports whether there is nothing to do for a service.
func (pl *plan) runsAlready(p *service) bool {
	u := pl.updateFor(p)
	return !p.adopt && aws.ToString(p.svc.TaskDefinition) == u.taskDefinition && !u.force && u.desired == nil && u.configuration == nil &&
		primaryOf(&p.svc).RolloutState != types.DeploymentRolloutStateFailed
}

// update says what a service is to become beside its task definition. Nil
// leaves it.
type update struct {
	taskDefinition string
	desired        *int32
	configuration  *types.DeploymentConfiguration
	force          bool
}

// updateFor is what the request makes of a service.
func (pl *plan) updateFor(p *service) update {
	u := update{taskDefinition: p.rev.target, force: pl.req.Force}
	if n := pl.req.DesiredCount; n != nil && *n != p.svc.DesiredCount {
		u.desired = n
	}
	u.configuration = pl.configurationFor(p.svc.DeploymentConfiguration)
	return u
}

// configurationFor is what the request makes of a deployment configuration; nil if
// that stays.
func (pl *plan) configurationFor(was *types.DeploymentConfiguration) *types.DeploymentConfiguration {
	r := pl.req
	if r.MinHealthyPercent == nil && r.MaxPercent == nil && r.Breaker == BreakerKeep {
		return nil
	}
	// ECS takes the configuration as a whole, so what is not asked for stays.
	var c types.DeploymentConfiguration
	if was != nil {
		c = *was
	}
	c.MinimumHealthyPercent = cmp.Or(r.MinHealthyPercent, c.MinimumHealthyPercent)
	c.MaximumPercent = cmp.Or(r.MaxPercent, c.MaximumPercent)
	if r.Breaker != BreakerKeep {
		var b types.DeploymentCircuitBreaker
		if c.DeploymentCircuitBreaker != nil {
			b = *c.DeploymentCircuitBreaker
		}
		b.Enable = r.Breaker != BreakerOff
		b.Rollback = r.Breaker == BreakerRollback
		c.DeploymentCircuitBreaker = &b
	}
	if sameConfiguration(was, &c) {
		return nil
	}
	return &c
}

func sameConfiguration(a, b *types.DeploymentConfiguration) bool {
	if a == nil {
		a = &types.DeploymentConfiguration{}
	}
	x, y := cmp.Or(a.DeploymentCircuitBreaker, &types.DeploymentCircuitBreaker{}), cmp.Or(b.DeploymentCircuitBreaker, &types.DeploymentCircuitBreaker{})
	return aws.ToInt32(a.MinimumHealthyPercent) == aws.ToInt32(b.MinimumHealthyPercent) &&
		aws.ToInt32(a.MaximumPercent) == aws.ToInt32(b.MaximumPercent) && x.Enable == y.Enable && x.Rollback == y.Rollback
}

// rule says what a service's end means for the release as a whole.
type rule struct {
	of  ecs.Verdict
	is  Verdict
	bad bool // why is to be found out
}

// The worst comes first: it decides.
var (
	rulesForward = []rule{
		{ecs.Failed, RolledBack, true},
		{ecs.RolledBack, RolledBack, true},
		{ecs.Rejected, RolledBack, true},
		{ecs.Superseded, Superseded, false},
		{ecs.TimedOut, TimedOut, true},
		{ecs.Interrupted, Interrupted, false},
		{ecs.Paused, Paused, false},
	}
	rulesSteady = []rule{
		{ecs.Failed, NotRolledBack, true},
		{ecs.RolledBack, RolledBack, true},
		{ecs.Superseded, Superseded, false},
		{ecs.TimedOut, TimedOut, true},
		{ecs.Interrupted, Interrupted, false},
	}
	rulesBack = []rule{
		{ecs.Failed, NotRolledBack, true},
		{ecs.RolledBack, NotRolledBack, true},
		{ecs.Superseded, Superseded, false},
		{ecs.TimedOut, TimedOut, true},
		{ecs.Interrupted, Interrupted, false},
	}
)

// decisive picks the outcome that decides, and what it means; nil: all is well.
func decisive(rules []rule, outcomes []ecs.Outcome) (rule, *ecs.Outcome) {
	for _, r := range rules {
		for i := range outcomes {
			if outcomes[i].Verdict == r.of {
				return r, &outcomes[i]
			}
		}
	}
	return rule{}, nil
}
