package release

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/magecloudkit/pipeline/ci/ecs"
	"github.com/magecloudkit/pipeline/ci/probe"
)

// session is one operation's way to AWS, and to whoever watches. It knows nothing of
// releases.
type session struct {
	Clients
	http   *http.Client
	shop   probe.Client
	clock  ecs.Clock
	random func() float64
	caller *ecs.Caller
	notify func(Note)
	step   string // that is being done
	home   home

	// unreachable is why AWS cannot be reached, once that is known; outOfReach the
	// same for services that a release can do without.
	unreachable error
	outOfReach  map[string]error
}

func (r *Releaser) session() *session {
	s := &session{
		Clients: r.Clients, http: r.http, shop: r.shop, clock: r.clock, random: r.random, notify: r.notify, outOfReach: map[string]error{},
	}
	options := []ecs.CallerOption{
		ecs.WithAttempts(r.tries),
		ecs.WithRandom(r.random),
		ecs.WithRetryNotice(func(n ecs.Retry) {
			s.note(LevelInfo, sayAgain, n.Op, n.Wait.Round(100*time.Millisecond), n.Err)
		}),
	}
	if r.renew != nil {
		options = append(options, ecs.WithRenew(r.renew))
	}
	s.caller = ecs.NewCaller(r.clock, options...)
	return s
}

func (s *session) note(level Level, format string, args ...any) {
	s.notify(Note{At: s.clock.Now(), Step: s.step, Level: level, Text: s.home.short(fmt.Sprintf(format, args...))})
}

// call makes one AWS call for s. In the preflight, where nothing depends on
// patience, the first call that finds ECS out of reach is the last one.
func call[T any](ctx context.Context, s *session, op string, fn func(context.Context) (T, error)) (T, error) {
	if s.unreachable != nil {
		var zero T
		return zero, s.unreachable
	}
	out, err := ecs.Call(ctx, s.caller, op, ecs.Repeatable, fn)
	if s.step == stepPreflight && (op == "DescribeClusters" || op == "DescribeServices") && ecs.Unreachable(err) {
		s.unreachable = err
	}
	return out, err
}

// optionalPatience is how long the preflight tries to look at what it can do
// without.
const optionalPatience = 30 * time.Second

// ask makes a call to a service that a release can do without: one that is out
// of reach, as from a private network, is asked once.
func ask[T any](ctx context.Context, s *session, service, op string, fn func(context.Context) (T, error)) (T, error) {
	err := cmp.Or(s.unreachable, s.outOfReach[service])
	if err != nil {
		var zero T
		return zero, err
	}
	out, err := ecs.Call(ctx, s.caller.Within(optionalPatience), op, ecs.Repeatable, fn)
	if ecs.Unreachable(err) {
		s.outOfReach[service] = err
	}
	return out, err
}

// callOnce is for calls that must not be made twice.
func callOnce[T any](ctx context.Context, s *session, op string, fn func(context.Context) (T, error)) (T, error) {
	return ecs.Call(ctx, s.caller, op, ecs.Once, fn)
}
