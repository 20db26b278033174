package release

import (
	"context"
	"fmt"
	"strings"

	"github.com/magecloudkit/pipeline/ci/ecs"
	"github.com/magecloudkit/pipeline/ci/words"
)

// act carries a plan out.
type act struct {
	work
	markers []Marker
	mark    *MarkerInfo // what the markers were told, if they were

	askings  map[string]*asking // of the shop, by when and what
	flushed  bool               // the cache, by this run
	wentBack bool               // the services that had moved are back on what they ran before
	migrated bool               // setup:upgrade ended with success
	touched  bool               // setup:upgrade was started
	// upgrading is the task of a setup:upgrade whose end this run has not seen: cron
	// stays off, and who runs the same command again waits for it.
	upgrading string
}

// conclude is the end of everything that changes services: cron is enabled
// again whatever happened, and what is true now is written down.
func (a *act) conclude(ctx context.Context, ends Verdict, end *stop) *Result {
	verdict, reason := ends, a.subject()
	switch {
	case end != nil:
		verdict, reason = end.verdict, end.reason
	case ends == Installed:
		reason += sayInstalled
	case ends == Steady:
		reason = saySteady
	case a.unchanged():
		reason += " runs already: no service was rolled" + a.alsoDone()
	}
	a.step = "end"
	if err := a.resumeCron(ctx, verdict); err != nil {
		a.note(LevelError, "%v", err)
		if reason += "; " + err.Error(); verdict.ExitCode() == 0 {
			verdict = Incomplete
		}
	}
	if a.wentBack && ctx.Err() == nil {
		_ = a.askShop(ctx, askedReturn) // the state tells
	}
	a.markEnd(ctx, verdict, reason)
	a.collect()
	a.res.State = append(a.state(), a.shopState(verdict)...)
	return a.finish(a.res, verdict, reason)
}

// alsoDone is what a release that rolled no service did all the same: one that was
// interrupted before may have left just that.
func (a *act) alsoDone() string {
	var ran []string
	for _, t := range a.res.Tasks {
		ran = append(ran, t.Name)
	}
	if len(ran) == 0 {
		return ", and no task ran"
	}
	return "; what ran is " + strings.Join(ran, ", ")
}

// planned is the end of an operation that only looks.
func (w *work) planned(end *stop) *Result {
	w.collect()
	if end != nil {
		return w.finish(w.res, end.verdict, end.reason)
	}
	n := 0
	for _, p := range w.revs {
		if len(p.changes) > 0 {
			n++
		}
	}
	return w.finish(w.res, Planned, fmt.Sprintf(sayWouldChange, w.subject(), words.Plural(n, "task definition")))
}

// collect copies what the plan has come to into the result.
func (w *work) collect() {
	w.res.By, w.res.Build = w.req.By, w.req.Build
	w.res.Services, w.res.Revisions, w.res.Cron = nil, nil, nil
	for _, p := range w.services {
		w.res.Services = append(w.res.Services, p.res)
	}
	for _, p := range w.revs {
		w.res.Revisions = append(w.res.Revisions, Revision{
			For: p.users, Before: p.arn(), After: p.target, Registered: p.fresh, Changes: p.changes,
		})
	}
	for _, c := range w.crons {
		w.res.Cron = append(w.res.Cron, c.res)
	}
}

// state says what is true at the end, one line for each thing.
func (a *act) state() []string {
	lines := []string{}
	for _, p := range a.services {
		lines = append(lines, fmt.Sprintf("service %s: %s", p.name, p.state()))
	}
	switch {
	case a.migrated:
		lines = append(lines, "database: upgraded; going back to older code does not take that back")
	case a.res.Verb == "rollback":
		lines = append(lines, "database: left as it is")
	case a.upgrading != "":
		lines = append(lines, fmt.Sprintf(sayUpgradeStillRuns, ecs.TaskID(a.upgrading)))
	case a.touched:
		lines = append(lines, "database: setup:upgrade was started and did not end well; look at its log before the next release")
	}
	for _, c := range a.crons {
		on := "enabled"
		if !c.res.Enabled {
			on = "DISABLED"
		}
		lines = append(lines, fmt.Sprintf(sayCronNow, c.subject(), on, strings.Join(c.res.After, ", ")))
	}
	return lines
}

// state says what is true of a service.
func (p *service) state() string {
	s := p.res
	switch {
	case s.Rollback != nil && s.Rollback.Verdict == ecs.Completed:
		return "runs " + ecs.RevisionName(s.Runs) + " again"
	case s.Rollback != nil:
		return fmt.Sprintf(sayWasToReturn, ecs.RevisionName(p.prior), s.Rollback.How, s.Rollback.Verdict)
	case s.Moved && s.Verdict == ecs.Completed:
		return fmt.Sprintf(sayRunsNow, ecs.RevisionName(s.Target), ecs.RevisionName(s.Before))
	case s.Moved && s.Verdict == ecs.Superseded:
		return "is being moved to " + ecs.RevisionName(s.Runs) + " by another deployment"
	case s.Moved:
		return fmt.Sprintf(sayDeploymentNow, s.Deployment, ecs.RevisionName(s.Target), s.Verdict)
	}
	if n := len(s.Samples); n > 0 {
		return fmt.Sprintf(sayTasksNow, ecs.RevisionName(s.Runs), s.Samples[n-1].Running, s.Samples[n-1].Desired)
	}
	return "untouched, runs " + ecs.RevisionName(s.Runs)
}
