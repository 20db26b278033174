package release

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"

	"github.com/magecloudkit/pipeline/ci/ecs"
	"github.com/magecloudkit/pipeline/ci/probe"
)

// Deploy releases a build. The request must have passed its Check.
func (r *Releaser) Deploy(ctx context.Context, req Request) *Result {
	return r.operate(ctx, req, operation{"deploy", Released, (*survey).forBuild, func(a *act) []step {
		return []step{
			{"revisions", a.register},
			{"migration", a.migrate},
			{"rollout", a.rollout},
			{"cache", a.flushCache},
			{"probe", a.probe},
			{"cron", a.moveCron},
			{"old revisions", a.deregisterOld},
		}
	}})
}

// Rollback returns the services and cron to the build that ran before, or to
// the request's Build. A rollout in flight is stopped, else the older revisions
// are deployed again. The database is left alone.
func (r *Releaser) Rollback(ctx context.Context, req Request) *Result {
	return r.operate(ctx, req, operation{"rollback", Returned, (*survey).forReturn, func(a *act) []step {
		return []step{
			{"rollout", a.rolloutBack},
			{"cache", a.flushCache},
			{"cron", a.moveCron},
			{"probe", a.probe},
		}
	}})
}

// EnvChange carries out the request's Edits on the build that runs.
func (r *Releaser) EnvChange(ctx context.Context, req Request) *Result {
	req.KeepBuild, req.Build = true, ""
	return r.operate(ctx, req, operation{"env", Released, (*survey).forBuild, func(a *act) []step {
		return []step{
			{"revisions", a.register},
			{"rollout", a.rollout},
			{"cache", a.flushCache},
			{"probe", a.probe},
			{"cron", a.moveCron},
		}
	}})
}

// Verify looks for everything that a Deploy would look for, and does nothing.
func (r *Releaser) Verify(ctx context.Context, req Request) *Result {
	return r.operate(ctx, req, operation{verb: "verify", plan: (*survey).forBuild})
}

// Diff shows what a Deploy would change, without the checks of what the new
// revisions name.
func (r *Releaser) Diff(ctx context.Context, req Request) *Result {
	return r.operate(ctx, req, operation{verb: "diff", plan: (*survey).forShow})
}

// operation is a verb in its three parts. What is there is found out and what is
// to become of it decided by plan, which changes nothing and leaves a plan, or
// refuses; the steps carry the plan out. A verb without steps only looks.
type operation struct {
	verb  string
	ends  Verdict // once every step is done
	plan  func(*survey, context.Context) error
	steps func(*act) []step
}

func (r *Releaser) operate(ctx context.Context, req Request, o operation) *Result {
	v := r.survey(o.verb, req)
	end := v.perform(ctx, v.res, []step{{stepPreflight, func(ctx context.Context) error { return o.plan(v, ctx) }}})
	if req.DryRun || o.steps == nil {
		return v.planned(end)
	}
	a := &act{work: v.work, markers: r.markers}
	if end == nil {
		end = a.perform(ctx, a.res, o.steps(a))
	}
	return a.conclude(ctx, o.ends, end)
}

// Run carries out one command as a one-off task on the revision that the first
// service runs. The task's end is in the result's Tasks.
func (r *Releaser) Run(ctx context.Context, req Request, command []string) *Result {
	req.Services, req.CronRules, req.Schedules = req.Services[:1], nil, nil
	v := r.survey("run", req)
	var a *act
	end := v.perform(ctx, v.res, []step{{"run", func(ctx context.Context) error {
		if err := v.forTask(ctx); err != nil {
			return err
		}
		a = &act{work: v.work}
		end, err := a.runTask(ctx, strings.Join(command, " "), command, "mck/run")
		if err != nil {
			return halt(Refused, "%v", err)
		}
		return endOfCommand(end)
	}}})
	if end != nil {
		return v.finish(v.res, end.verdict, end.reason)
	}
	t := v.res.Tasks[0]
	res := v.finish(v.res, Finished, fmt.Sprintf(sayExitCode, *t.ExitCode))
	res.ExitCode = int(*t.ExitCode)
	return res
}

// Releaser releases builds to one AWS account and region.
type Releaser struct {
	Clients
	clock   ecs.Clock
	random  func() float64
	notify  func(Note)
	http    *http.Client
	shop    probe.Client
	markers []Marker
	renew   func(context.Context) error
	tries   int
}

// Options are what a Releaser can do without.
type Options struct {
	// Clock is the machine's unless given.
	Clock ecs.Clock
	// Random gives the jitter of waiting, in [0, 1).
	Random func() float64
	// Attempts is how often a call to AWS is made at most; 0: as often as 90
	// seconds allow.
	Attempts int
	// Notify is told what happens, as it happens.
	Notify func(Note)
	// HTTP fetches image configurations from where ECR says they are. Without
	// it the platform of an image that has only one is not checked.
	HTTP *http.Client
	// Shop asks the addresses of a request's probes.
	Shop probe.Client
	// Markers are told of the release. What they answer never changes the
	// verdict.
	Markers []Marker
	// Renew gets fresh credentials once AWS says that the ones in use have
	// expired.
	Renew func(context.Context) error
}

// New returns a Releaser.
func New(c Clients, o Options) *Releaser {
	r := &Releaser{
		Clients: c, clock: o.Clock, random: o.Random, notify: o.Notify,
		http: o.HTTP, shop: o.Shop, markers: o.Markers, renew: o.Renew, tries: o.Attempts,
	}
	if r.clock == nil {
		r.clock = ecs.WallClock{}
	}
	if r.random == nil {
		r.random = rand.Float64
	}
	if r.notify == nil {
		r.notify = func(Note) {}
	}
	return r
}
