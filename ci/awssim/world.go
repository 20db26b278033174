package awssim

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/magecloudkit/pipeline/ci/awssim/internal/ecr"
	"github.com/magecloudkit/pipeline/ci/awssim/internal/ecs"
	"github.com/magecloudkit/pipeline/ci/awssim/internal/events"
	"github.com/magecloudkit/pipeline/ci/awssim/internal/kernel"
	"github.com/magecloudkit/pipeline/ci/awssim/internal/logs"
	"github.com/magecloudkit/pipeline/ci/awssim/internal/values"
	"github.com/magecloudkit/pipeline/ci/awssim/internal/wire"
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
	clock Clock
	logf  func(string, ...any)

	mu        sync.Mutex
	k         *kernel.Kernel
	services  []*wire.Service
	people    *values.People
	roles     *values.Roles
	vault     *values.Vault
	logs      *logs.Store
	registry  *ecr.Registry
	ecs       *ecs.API
	events    *events.Bus
	scheduler *events.Scheduler
	behaviors *ecs.Behaviors
	faults    []*armedFault
	plans     []*armedIntervention
	readLag   time.Duration
	calls     []Call
	observers []func(Call)
	pages     int // that were asked for at listeners where only some fail
}

// New makes a world. An error names what is wrong with the topology.
func New(cfg Config) (*World, error) {
	top := cfg.Topology
	if top == nil {
		top = DefaultTopology()
	}
	w := &World{clock: cfg.Clock, logf: cfg.Logf, people: values.NewPeople(top.Account), behaviors: ecs.NewBehaviors()}
	if w.clock == nil {
		w.clock = &VirtualClock{}
	}
	w.k = kernel.New(top.Account, top.Region, cfg.Seed, w.clock.Now())
	w.roles = values.NewRoles(w.k, w.denied)
	w.vault = values.NewVault(w.k, w.roles)
	w.logs = logs.New(w.k)
	w.registry = ecr.New(w.k, registryHost{w})
	w.ecs = ecs.New(w.k, ecs.Around{Images: w.registry, Secrets: w.vault, Roles: w.roles, Logs: w.logs}, w.behaviors)
	w.events = events.New(w.k, w.ecs)
	w.scheduler = events.NewScheduler(w.k, w.ecs)
	w.services = []*wire.Service{
		w.ecs.Service, w.registry.Service, w.events.Service, w.logs.Service, values.NewSTS(w.k, w.roles, w.people),
		w.vault.SecretsManager, w.vault.SSM, w.roles.Service, w.scheduler.Service,
		values.NewELB(top.TargetGroups),
	}
	if err := w.build(top); err != nil {
		return nil, fmt.Errorf("topology: %w", err)
	}
	w.k.RunUntil(w.k.Start, w.ecs.Flush)
	w.events.Start()
	w.scheduler.Start()
	w.readLag = min(cfg.ReadLag, kernel.Memory)
	return w, nil
}

// build makes what a topology says. ECS, whose tasks need what the others have, comes last.
func (w *World) build(t *Topology) error {
	c := &wire.Call{Now: w.k.Now, Caller: w.people.Identity("")}
	for _, section := range []func() error{
		func() error { return w.roles.Build(t.Roles) },
		func() error { return w.roles.Attach(t.Policies) },
		func() error { return w.vault.BuildParameters(c, t.Parameters) },
		func() error { return w.vault.BuildSecrets(c, t.Secrets) },
		func() error { return w.logs.Build(c, t.LogGroups) },
		func() error { return w.events.Build(c, t.Rules) },
		func() error { return w.scheduler.Build(c, t.Schedules) },
		func() error { return w.registry.Build(c, t.Repositories) },
		func() error { return w.behaviors.Add(t.Behaviors...) },
		func() error {
			return w.ecs.Build(c, ecs.Spec{Clusters: t.Clusters, TaskDefinitions: t.TaskDefinitions, Services: t.Services})
		},
	} {
		if err := section(); err != nil {
			return err
		}
	}
	return nil
}

// Clock returns the world's clock.
func (w *World) Clock() Clock { return w.clock }

// Account returns the account's number.
func (w *World) Account() string { return w.k.Account }

// Region returns the region's name.
func (w *World) Region() string { return w.k.Region }

// Elapsed is how long the world has been going on, on its own clock.
func (w *World) Elapsed() time.Duration { return w.clock.Now().Sub(w.k.Start) }

// catchUp lets everything happen that is due.
func (w *World) catchUp() { w.k.RunUntil(w.clock.Now(), w.ecs.Flush) }

// registryHost is the world as the registry's data plane needs it.
type registryHost struct{ *World }

// Locked implements ecr.Host.
func (h registryHost) Locked(do func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.catchUp()
	do()
}

// Perform implements ecr.Host.
func (h registryHost) Perform(c *wire.Call, agent string, input []byte, run func(*wire.Call) (any, error)) wire.Outcome {
	c.ID = h.k.NewID("request")
	o, fault := h.carryOut(c, &wire.Operation{Run: func(c *wire.Call, _ any) (any, error) { return run(c) }}, nil)
	rec := Call{Time: c.Now, Op: c.Action(), Caller: c.Caller.ARN, Agent: agent, Request: c.ID, Input: input, Fault: fault}
	h.record(rec, o.Err)
	return o
}

// Sleep implements ecr.Host.
func (h registryHost) Sleep(ctx context.Context, d time.Duration) error { return h.clock.Sleep(ctx, d) }

// SetRegistryEndpoint says where the world's Handler is reached, so that what ECR answers (the proxy endpoint of a
// token, the URI of a repository) leads there: "https://127.0.0.1:4567". Unless it is called, ECR answers Amazon's name
// for the registry. Images of tasks are found by either name.
func (w *World) SetRegistryEndpoint(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("the registry's endpoint %q is not an address like https://127.0.0.1:4567", address)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.registry.SetEndpoint(u.Scheme, u.Host)
	return nil
}

// Handler returns the world's HTTP side: the AWS APIs at /, the registry below /v2/, the world's own controls below
// /_sim/, and to a browser, which signs nothing, the shop. It does not listen.
func (w *World) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(rw http.ResponseWriter, r *http.Request) {
		if visitor(r) {
			w.serveShop(rw, r)
			return
		}
		w.serveAPI(rw, r)
	})
	mux.Handle("/v2/", w.registry.DataPlane())
	w.control(mux)
	return mux
}

// Behave adds behaviors. Tasks that are placed from now on follow them.
func (w *World) Behave(bs ...Behavior) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.behaviors.Add(bs...)
}

// SetFact makes something so that behaviors can hang on, such as the state of the database.
func (w *World) SetFact(name, value string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.behaviors.Facts[name] = value
}

// Facts returns what is so by now.
func (w *World) Facts() map[string]string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.catchUp()
	return maps.Clone(w.behaviors.Facts)
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
	w.readLag = min(d, kernel.Memory)
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
