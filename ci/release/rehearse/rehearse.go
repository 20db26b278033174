// Package rehearse releases a build against a simulated AWS, failures included,
// on a clock that is moved by waiting on it. It is how one sees what a release
// does before it does it, and how the release itself is tested: the verdict of
// every scenario is known, and so is the state that it must leave behind.
package rehearse

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/magecloudkit/pipeline/ci/awssim"
	"github.com/magecloudkit/pipeline/ci/probe"
	"github.com/magecloudkit/pipeline/ci/release"
)

// Scenario is one release, what goes wrong with it, and how it must end.
type Scenario struct {
	Name string

	// The world, beside the default topology with one build more.
	World    func(*awssim.Topology)
	Behave   []awssim.Behavior
	Faults   []awssim.Fault
	Events   []awssim.Intervention // what somebody else does meanwhile
	Facts    map[string]string
	ReadLag  time.Duration
	SignalOn string // the release is interrupted when this call ("ecs:RunTask", or "*" for any), or a visit of the shop, has been carried out
	SignalAt int    // the how many-th; 0 is the first
	// Crash makes the interrupted release end without another call getting
	// through, as if it had been killed.
	Crash bool

	// The release, beside the usual request.
	Request func(*release.Request)
	// Verb is deploy unless given.
	Verb Verb
	// First are releases that are carried out before, undisturbed.
	First []func(*release.Request)
	// Meanwhile happens at a moment of the release.
	Meanwhile *Meanwhile
	Markers   []release.Marker
	// Renew lets expired credentials be renewed.
	Renew bool
	// Again runs the same release once more after the first one has ended,
	// with no faults left, and its verdict is the one that counts. Want is then
	// what the second run ends with; Before what the first one did, if that
	// matters. Next is another verb for the second run, with NextRequest.
	Again       bool
	Before      release.Verdict
	Next        Verb
	NextRequest func(*release.Request)
	Later       time.Duration // between the two runs

	Want release.Verdict
	// Also are checks of the state left behind, beside those that belong to
	// the verdict.
	Also []Check
	// Own says that the state is not what the verdict usually leaves behind,
	// and that Also says all there is to check.
	Own bool
}

// anyCall is every call to AWS.
const anyCall = "*"

// Verb is something that a Releaser does.
type Verb func(*release.Releaser, context.Context, release.Request) *release.Result

// Meanwhile is something that happens while the release is at a certain point.
type Meanwhile struct {
	// The point: when the release says something in this step that contains
	// this text, for the Nth time (0 is the first).
	Step, Text string
	Nth        int
	// Another release, of Build, that ends with Want; or Do.
	Build string
	Want  release.Verdict
	Do    func(*Stage) error
}

// Check looks at the world after a release. It returns what is wrong.
type Check func(*Stage, *release.Result) error

// Stage is a world with the request that is rehearsed in it.
type Stage struct {
	World   *awssim.World
	Request release.Request
	// Start is what there was before the release.
	Start State

	visited func() // is told of every request to a shop; may be nil
}

// Outcome is how one scenario went.
type Outcome struct {
	Scenario string          `json:"scenario"`
	Want     release.Verdict `json:"want"`
	Got      release.Verdict `json:"got"`
	ExitCode int             `json:"exitCode"`
	Calls    int             `json:"calls"`
	// Seconds that it took, on the simulated clock.
	Seconds float64 `json:"seconds"`
	// Wrong is what differs from what was expected.
	Wrong  []string        `json:"wrong,omitempty"`
	Result *release.Result `json:"-"`
	Stage  *Stage          `json:"-"`
}

// OK reports whether everything was as expected.
func (o Outcome) OK() bool { return len(o.Wrong) == 0 }

// Build is what scenarios release, Running what is running before.
const (
	Running = "300"
	Build   = "301"
)

// Run plays one scenario.
func Run(ctx context.Context, s Scenario, notify func(release.Note)) (Outcome, error) {
	out := Outcome{Scenario: s.Name, Want: s.Want}
	stage, err := s.build()
	if err != nil {
		return out, fmt.Errorf("scenario %s: %w", s.Name, err)
	}
	world := stage.World
	if err := s.prepare(ctx, stage, notify); err != nil {
		return out, fmt.Errorf("scenario %s: %w", s.Name, err)
	}
	calls, start := len(world.Calls()), world.Clock().Now()
	meanwhile := s.meanwhile(ctx, stage, &out)
	verb := s.Verb
	if verb == nil {
		verb = (*release.Releaser).Deploy
	}
	res, err := s.play(ctx, stage, verb, func(n release.Note) {
		if notify != nil {
			notify(n)
		}
		meanwhile(n)
	})
	if err != nil {
		return out, err
	}
	if s.Again {
		if s.Before != "" && res.Verdict != s.Before {
			out.Wrong = append(out.Wrong, fmt.Sprintf("the first run ended with %q and not %q: %s", res.Verdict, s.Before, res.Reason))
		}
		res = s.again(ctx, stage, verb, notify)
	}
	out.Calls, out.Seconds = len(world.Calls())-calls, world.Clock().Now().Sub(start).Seconds()
	out.Got, out.ExitCode, out.Result, out.Stage = res.Verdict, res.ExitCode, res, stage
	if res.Verdict != s.Want {
		out.Wrong = append(out.Wrong, fmt.Sprintf("verdict %q and not %q: %s", res.Verdict, s.Want, res.Reason))
	}
	out.Wrong = append(out.Wrong, s.check(stage, res)...)
	return out, nil
}

// build makes the scenario's world and request.
func (s Scenario) build() (*Stage, error) {
	top := Topology()
	if s.World != nil {
		s.World(top)
	}
	world, err := awssim.New(awssim.Config{Topology: top, Seed: 1})
	if err != nil {
		return nil, err
	}
	stage := &Stage{World: world, Request: request()}
	if s.Request != nil {
		s.Request(&stage.Request)
	}
	return stage, stage.Request.Check()
}

// prepare carries out the releases before, and makes things go wrong from then on.
func (s Scenario) prepare(ctx context.Context, stage *Stage, notify func(release.Note)) (err error) {
	world := stage.World
	for _, ask := range s.First {
		first := request()
		ask(&first)
		if r := s.releaser(stage, world.Transport(), notify).Deploy(ctx, first); r.Verdict != release.Released {
			return fmt.Errorf("the release before it ended with %s: %s", r.Verdict, r.Reason)
		}
	}
	if stage.Start, err = stage.State(); err != nil {
		return err
	}
	for name, value := range s.Facts {
		world.SetFact(name, value)
	}
	world.SetReadLag(s.ReadLag)
	return errors.Join(world.Behave(s.Behave...), world.AddFault(s.Faults...), world.Intervene(s.Events...))
}

// again is the second run, with no faults left.
func (s Scenario) again(ctx context.Context, stage *Stage, verb Verb, notify func(release.Note)) *release.Result {
	stage.World.ClearFaults()
	if s.Next != nil {
		verb = s.Next
	}
	if s.NextRequest != nil {
		s.NextRequest(&stage.Request)
	}
	_ = stage.World.Clock().Sleep(ctx, s.Later) // a clock that is moved by waiting on it
	return verb(s.releaser(stage, stage.World.Transport(), notify), ctx, stage.Request)
}

// check looks at the world that was left behind.
func (s Scenario) check(stage *Stage, res *release.Result) (wrong []string) {
	stage.World.ClearFaults()
	stage.World.SetReadLag(0)
	checks := s.Also
	if !s.Own {
		checks = append(verdictChecks(res.Verdict), checks...)
	}
	if len(s.Faults) == 0 && s.ReadLag == 0 {
		checks = append(checks, InTime)
	}
	for _, check := range checks {
		if err := check(stage, res); err != nil {
			wrong = append(wrong, err.Error())
		}
	}
	return wrong
}

// play runs the release, and interrupts it where the scenario says so.
func (s Scenario) play(ctx context.Context, stage *Stage, deploy Verb, notify func(release.Note)) (*release.Result, error) {
	if s.SignalOn == "" {
		return deploy(s.releaser(stage, stage.World.Transport(), notify), ctx, stage.Request), nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	seen, dead := 0, new(atomic.Bool)
	armed := true
	observe := func(c awssim.Call) {
		if !armed || c.Op != s.SignalOn && s.SignalOn != anyCall {
			return
		}
		if seen++; seen == max(s.SignalAt, 1) {
			armed = false
			cancel()
			dead.Store(s.Crash)
		}
	}
	stage.World.Observe(observe)
	stage.visited = func() { observe(awssim.Call{Op: visit}) }
	defer func() { stage.visited = nil }()
	r := s.releaser(stage, deadable{stage.World.Transport(), dead}, notify)
	res := deploy(r, ctx, stage.Request)
	if seen == 0 {
		return nil, fmt.Errorf("scenario %s: the release never called %s, so it was not interrupted (%s: %s)", s.Name, s.SignalOn, res.Verdict, res.Reason)
	}
	return res, nil
}

// deadable is a connection that may break for good.
type deadable struct {
	next http.RoundTripper
	dead *atomic.Bool
}

func (d deadable) RoundTrip(r *http.Request) (*http.Response, error) {
	if d.dead.Load() {
		return nil, errors.New("the process is dead")
	}
	res, err := d.next.RoundTrip(r)
	if d.dead.Load() { // it was killed while it waited for the answer
		return nil, errors.New("the process is dead")
	}
	return res, err
}

// meanwhile returns what is to be told of everything that the release says.
func (s Scenario) meanwhile(ctx context.Context, stage *Stage, out *Outcome) func(release.Note) {
	seen := 0
	return func(n release.Note) {
		m := s.Meanwhile
		if m == nil || n.Step != m.Step || !strings.Contains(n.Text, m.Text) {
			return
		}
		if seen++; seen != max(m.Nth, 1) {
			return
		}
		if m.Do != nil {
			if err := m.Do(stage); err != nil {
				out.Wrong = append(out.Wrong, err.Error())
			}
			return
		}
		other := stage.Request
		other.Build = m.Build
		if r := s.releaser(stage, stage.World.Transport(), nil).Deploy(ctx, other); r.Verdict != m.Want {
			out.Wrong = append(out.Wrong, fmt.Sprintf("the other release ended with %q and not %q: %s", r.Verdict, m.Want, r.Reason))
		}
	}
}

func (s Scenario) releaser(stage *Stage, transport http.RoundTripper, notify func(release.Note)) *release.Releaser {
	client := &http.Client{Transport: transport}
	cfg := stage.World.ClientConfig()
	cfg.HTTPClient = client
	o := release.Options{Clock: stage.World.Clock(), Random: func() float64 { return 0.5 }, Notify: notify, HTTP: client, Shop: probe.Client{HTTP: &http.Client{Transport: visitors{stage}}}, Markers: s.Markers}
	if s.Renew {
		o.Renew = func(context.Context) error { return nil }
	}
	return release.New(release.NewClients(cfg), o)
}

// Topology is what scenarios start from: the simulation's own, with the images
// of two more builds.
func Topology() *awssim.Topology {
	t := awssim.DefaultTopology()
	for i := range t.Repositories {
		t.Repositories[i].Images = append(t.Repositories[i].Images, awssim.ImageSpec{Tags: []string{Build}}, awssim.ImageSpec{Tags: []string{"302"}})
	}
	return t
}

// request is what scenarios release.
func request() release.Request {
	return release.Request{
		Cluster: "production-app", Services: []string{Web, Consumers}, CronRules: []string{CronRule},
		Repositories: []string{"magecloudkit/magento2", "magecloudkit/nginx"},
		Build:        Build, Migrate: release.MigrateAuto, Rollback: true,
		Timeout: 10 * time.Minute, TaskTimeout: 10 * time.Minute, By: "rehearsal",
	}
}

// Names in the simulation's default topology.
const (
	Web       = "production-app"
	Consumers = "production-consumers"
	CronRule  = "production-cron"
)
