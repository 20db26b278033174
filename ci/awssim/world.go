package awssim

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Config is what a world is made from. Its zero value is the default topology at the Epoch on a virtual clock.
type Config struct {
	Clock    Clock     // nil: a VirtualClock at Epoch
	Seed     uint64    // of everything random: ids, start-up times
	Topology *Topology // nil: DefaultTopology
	// ReadLag is how old what a read shows is, up to 5 minutes: ECS reads are eventually consistent. 0: reads are current.
	ReadLag time.Duration
	// Logf, if set, is told of every call.
	Logf func(format string, args ...any)
}

// World is one AWS account in one region. Its methods may be called from several goroutines.
type World struct {
	account, region string
	clock           Clock
	seed            uint64
	logf            func(string, ...any)

	mu        sync.Mutex
	start     time.Time // when the world was handed over
	now       time.Time // up to when everything due has happened
	agenda    agenda
	ids       map[string]uint64 // how many ids of a kind were given out
	services  []*service
	hooks     hooks
	registry  http.Handler // the OCI registry below /v2/
	people    map[string]Identity
	faults    []*armedFault
	readLag   time.Duration
	calls     []Call
	observers []func(Call)
	ecs       *ecsAPI
	behaviors []*armedBehavior
	facts     map[string]string
	plans     []*armedIntervention
}

// New makes a world. An error names what is wrong with the topology.
func New(cfg Config) (*World, error) {
	top := cfg.Topology
	if top == nil {
		top = DefaultTopology()
	}
	w := &World{
		account: top.Account, region: top.Region,
		clock: cfg.Clock, seed: cfg.Seed, logf: cfg.Logf,
		ids: map[string]uint64{}, people: map[string]Identity{}, facts: map[string]string{},
	}
	if w.clock == nil {
		w.clock = &VirtualClock{}
	}
	w.start = w.clock.Now()
	w.now = w.start.Add(-head)
	// ECS stands first: see build.
	for _, newService := range []func(*World) *service{
		newECS,
		newECR,
		newEvents,
		newLogs,
		newSTS,
		newSecrets,
		newSSM,
		newIAM,
	} {
		w.services = append(w.services, newService(w))
	}
	if err := w.build(top); err != nil {
		return nil, fmt.Errorf("topology: %w", err)
	}
	w.runUntil(w.start)
	w.startRules()
	w.readLag = min(cfg.ReadLag, memory)
	return w, nil
}

// head is how long before its start a world is built, so that its services are steady by then.
const head = 24 * time.Hour

// Clock returns the world's clock.
func (w *World) Clock() Clock { return w.clock }

// Account returns the account's number.
func (w *World) Account() string { return w.account }

// Region returns the region's name.
func (w *World) Region() string { return w.region }

// catchUp lets everything happen that is due.
func (w *World) catchUp() { w.runUntil(w.clock.Now()) }

func (w *World) runUntil(t time.Time) {
	for e := w.agenda.next(t); e != nil; e = w.agenda.next(t) {
		if e.at.After(w.now) {
			w.ecs.flush() // a service looks at one time as it does when everything of that time has happened
			w.now = e.at
		}
		e.do()
	}
	w.ecs.flush()
	if t.After(w.now) {
		w.now = t
	}
}

// after puts something on the agenda. It runs with the world locked.
func (w *World) after(d time.Duration, do func()) { w.agenda.add(w.now.Add(max(d, 0)), do) }

// random returns a source of its own for one thing, so that what happens to it does not hang on what else happens.
func (w *World) random(kind, id string) *rand.Rand {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s/%s", kind, id)
	return rand.New(rand.NewPCG(w.seed, h.Sum64()))
}

// newID returns 32 hexadecimal digits that no other thing of the kind has in this world.
func (w *World) newID(kind string) string {
	w.ids[kind]++
	r := w.random(kind, fmt.Sprint(w.ids[kind]))
	return fmt.Sprintf("%016x%016x", r.Uint64(), r.Uint64())
}

// identity says whose access key it is.
func (w *World) identity(accessKeyID string) Identity {
	if id, ok := w.people[accessKeyID]; ok {
		return id
	}
	return Identity{AccessKeyID: accessKeyID, ARN: fmt.Sprintf("arn:aws:iam::%s:user/deployer", w.account), UserID: "AIDAAWSSIMDEPLOYER00"}
}

// AddFault makes calls go wrong from now on.
func (w *World) AddFault(faults ...Fault) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range faults {
		if err := f.Check(); err != nil {
			return err
		}
	}
	for _, f := range faults {
		w.faults = append(w.faults, &armedFault{Fault: f})
	}
	return nil
}

// ClearFaults ends all faults.
func (w *World) ClearFaults() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = nil
}

// SetReadLag changes how old what a read shows is, up to 5 minutes.
func (w *World) SetReadLag(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.readLag = min(d, memory)
}

// Calls returns every call made so far, in order.
func (w *World) Calls() []Call {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.calls)
}

// Observe has f told of every call from now on, before its answer leaves. f must not call the world.
func (w *World) Observe(f func(Call)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.observers = append(w.observers, f)
}
