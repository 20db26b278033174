package release

import (
	"context"
	"slices"
	"strings"

	"github.com/magecloudkit/pipeline/ci/ecs"
)

// readCron reads the rules and the schedules, and the task definitions of their
// targets.
func (v *survey) readCron(ctx context.Context) {
	for _, given := range v.req.CronRules {
		v.readStarter(ctx, &cron{starter: newRule(v.session, given), given: given})
	}
	for _, given := range v.req.Schedules {
		v.readStarter(ctx, &cron{starter: newSchedule(v.session, given), given: given, res: CronResult{Schedule: true}})
	}
}

// readStarter reads what starts cron, and adds it to the plan.
func (v *survey) readStarter(ctx context.Context, c *cron) {
	var err error
	c.foundCron, err = c.read(ctx)
	switch {
	case missingCron(err):
		v.refuse(c.subject(), c.hint(), sayMissing)
		return
	case err != nil:
		v.refuse(c.subject(), "", sayUnread, err)
		return
	}
	v.wasPaused(ctx, c)
	c.res.Rule, c.res.Enabled = c.given, c.enabled
	for _, name := range c.definitions {
		if name == "" {
			c.revs = append(c.revs, nil)
			continue
		}
		c.res.Before = append(c.res.Before, ecs.RevisionName(name))
		if !strings.Contains(ecs.RevisionName(name), ":") {
			v.warn(c.subject(), "",
				sayCronWithoutRevision, ecs.RevisionName(name))
		}
		c.revs = append(c.revs, v.cronRevision(ctx, c, name))
	}
	c.res.After = c.res.Before
	if !slices.ContainsFunc(c.revs, func(p *revision) bool { return p != nil }) && !v.refused() {
		v.refuse(c.subject(), doLeaveOutOfCron, sayNoTaskTarget)
	}
	v.crons = append(v.crons, c)
}

// cronRevision is the plan for a target's task definition. Cron that shares a
// family with a service moves with it, wherever it was left behind.
func (v *survey) cronRevision(ctx context.Context, c *cron, name string) *revision {
	for _, p := range v.services {
		if p.rev != nil && p.rev.family() == ecs.Family(name) {
			add(&p.rev.users, c.subject())
			return p.rev
		}
	}
	return v.revision(ctx, name, c.subject())
}

// wasPaused finds out whether cron was disabled by a release that did not live to
// enable it again.
func (v *survey) wasPaused(ctx context.Context, c *cron) {
	of, marked, err := c.mark(ctx)
	switch {
	case err != nil:
		v.unread(c.subject(), "events:ListTagsForResource", err)
	case marked && !c.enabled:
		c.marked, c.left = true, true
		v.warn(c.subject(), "", sayCronLeftDisabled, of)
	case marked:
		c.marked = true
	case !c.enabled:
		v.warn(c.subject(), "", sayCronStaysDisabled)
	}
}
