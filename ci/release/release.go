package release

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/magecloudkit/pipeline/ci/ecs"
)

// Releaser releases builds to one AWS account and region.
type Releaser struct {
	Clients
	clock   ecs.Clock
	random  func() float64
	notify  func(Note)
	http    *http.Client
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
		http: o.HTTP, markers: o.Markers, renew: o.Renew, tries: o.Attempts,
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

// run is one operation on its way.
type run struct {
	*Releaser
	caller *ecs.Caller
	req    Request
	res    *Result
	step   string

	services []*servicePlan
	crons    []*cronPlan
	revs     []*revisionPlan
	moves    map[string]ecs.Move // by repository, registry included
	own      []string            // the store's own repositories
	mark     *MarkerInfo

	// settingsOnly: a roll back that changes settings and not the build.
	settingsOnly bool

	// unreachable is why AWS cannot be reached, once that is known.
	unreachable error
	toldSo      bool
	outOfReach  map[string]error // services that a release can do without

	migrated bool // setup:upgrade ended with success
	touched  bool // setup:upgrade was started
}

func (r *Releaser) begin(verb string, req Request) *run {
	x := &run{
		Releaser: r, req: req.withDefaults(), outOfReach: map[string]error{},
		res: &Result{Verb: verb, Cluster: req.Cluster, Build: req.Build, By: req.By, Started: r.clock.Now(), Steps: []Step{}, State: []string{}},
	}
	options := []ecs.CallerOption{
		ecs.WithAttempts(r.tries),
		ecs.WithRandom(r.random),
		ecs.WithRetryNotice(func(n ecs.Retry) {
			x.note(LevelInfo, "%s again in %s: %v", n.Op, n.Wait.Round(100*time.Millisecond), n.Err)
		}),
	}
	if r.renew != nil {
		options = append(options, ecs.WithRenew(r.renew))
	}
	x.caller = ecs.NewCaller(r.clock, options...)
	return x
}

func (x *run) note(level Level, format string, args ...any) {
	x.notify(Note{At: x.clock.Now(), Step: x.step, Level: level, Text: fmt.Sprintf(format, args...)})
}

func (x *run) find(s Severity, subject, do, format string, args ...any) {
	if x.unreachable != nil {
		// Whatever cannot be read now has the same reason.
		if x.toldSo {
			return
		}
		x.toldSo = true
		s, subject, do = SeverityError, "AWS", "check the network, the region and the credentials"
		format, args = "cannot be reached: %v", []any{x.unreachable}
	}
	f := Finding{Severity: s, Subject: subject, Message: fmt.Sprintf(format, args...), Do: do}
	x.res.Findings = append(x.res.Findings, f)
	level := LevelWarning
	if s == SeverityError {
		level = LevelError
	}
	x.note(level, "%s: %s%s", f.Subject, f.Message, parenthesis(f.Do))
}

func parenthesis(s string) string {
	if s == "" {
		return ""
	}
	return " (" + s + ")"
}

func (x *run) refused() bool {
	for _, f := range x.res.Findings {
		if f.Severity == SeverityError {
			return true
		}
	}
	return false
}

// stop ends a release before its last step.
type stop struct {
	verdict Verdict
	reason  string
}

func (s *stop) Error() string { return s.reason }

func halt(v Verdict, format string, args ...any) error {
	return &stop{verdict: v, reason: fmt.Sprintf(format, args...)}
}

// errSkipped is returned by a step that has nothing to do, wrapped with why.
var errSkipped = errors.New("nothing to do")

// stepPreflight is the name of the step that only looks.
const stepPreflight = "preflight"

// step is one step of an operation.
type step struct {
	name string
	run  func(*run, context.Context) error
}

// perform runs the steps in order until one ends the operation.
func (x *run) perform(ctx context.Context, steps []step) *stop {
	for _, s := range steps {
		x.step = s.name
		if ctx.Err() != nil {
			return &stop{Interrupted, fmt.Sprintf("interrupted before %s", s.name)}
		}
		rec := Step{Name: s.name, Status: "done", Started: x.clock.Now()}
		x.note(LevelStep, "%s", s.name)
		err := s.run(x, ctx)
		rec.Ended = x.clock.Now()
		var end *stop
		switch {
		case err == nil:
		case errors.Is(err, errSkipped):
			rec.Status, rec.Detail = "skipped", err.Error()
		case errors.As(err, &end):
			rec.Status, rec.Detail = "failed", end.reason
			if end.verdict == Interrupted {
				rec.Status = "interrupted"
			}
		default:
			end = &stop{Broken, err.Error()}
			if ctx.Err() != nil {
				end.verdict = Interrupted
			}
			rec.Status, rec.Detail = "failed", err.Error()
		}
		x.res.Steps = append(x.res.Steps, rec)
		if end != nil {
			return end
		}
	}
	return nil
}

// finish fills in what is the same for every operation.
func (x *run) finish(v Verdict, reason string) *Result {
	x.res.Verdict, x.res.Reason, x.res.ExitCode = v, reason, v.ExitCode()
	x.res.Ended = x.clock.Now()
	x.res.Calls = x.caller.Calls()
	x.res.By = x.req.By
	x.res.Build = x.req.Build
	return x.res
}

// call makes one AWS call for x. In the preflight, where nothing depends on
// patience, the first call that finds ECS out of reach is the last one.
func call[T any](ctx context.Context, x *run, op string, fn func(context.Context) (T, error)) (T, error) {
	if x.unreachable != nil {
		var zero T
		return zero, x.unreachable
	}
	out, err := ecs.Call(ctx, x.caller, op, ecs.Repeatable, fn)
	if x.step == stepPreflight && (op == "DescribeClusters" || op == "DescribeServices") && ecs.Unreachable(err) {
		x.unreachable = err
	}
	return out, err
}

// optionalPatience is how long the preflight tries to look at what it can do
// without.
const optionalPatience = 30 * time.Second

// ask makes a call to a service that a release can do without: one that is out
// of reach, as from a private network, is asked once.
func ask[T any](ctx context.Context, x *run, service, op string, fn func(context.Context) (T, error)) (T, error) {
	err := cmp.Or(x.unreachable, x.outOfReach[service])
	if err != nil {
		var zero T
		return zero, err
	}
	out, err := ecs.Call(ctx, x.caller.Within(optionalPatience), op, ecs.Repeatable, fn)
	if ecs.Unreachable(err) {
		x.outOfReach[service] = err
	}
	return out, err
}

// callOnce is for calls that must not be made twice.
func callOnce[T any](ctx context.Context, x *run, op string, fn func(context.Context) (T, error)) (T, error) {
	return ecs.Call(ctx, x.caller, op, ecs.Once, fn)
}

// primaryOf returns a service's primary deployment.
func primaryOf(svc *types.Service) types.Deployment {
	for _, d := range svc.Deployments {
		if d.Status != nil && *d.Status == "PRIMARY" {
			return d
		}
	}
	return types.Deployment{}
}

// inProgress reports whether a deployment of the service has not ended.
func inProgress(svc *types.Service) bool {
	switch primaryOf(svc).RolloutState {
	case types.DeploymentRolloutStateInProgress:
		return true
	case "": // a Classic Load Balancer: only the counts tell
		return len(svc.Deployments) > 1
	}
	return false
}
