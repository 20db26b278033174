package release

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/magecloudkit/pipeline/ci/ecs"
)

// MigrateMode says when the database is upgraded.
type MigrateMode string

const (
	// MigrateAuto asks setup:db:status and app:config:status.
	MigrateAuto MigrateMode = "auto"
	// MigrateAlways upgrades without asking: setup:upgrade also does work
	// that the two do not see.
	MigrateAlways MigrateMode = "always"
	// MigrateNever leaves the database alone.
	MigrateNever MigrateMode = "never"
)

// Breaker is what a service's deployment circuit breaker is set to.
type Breaker string

// The settings of a circuit breaker.
const (
	BreakerKeep     Breaker = ""         // as the service has it
	BreakerOff      Breaker = "off"      // no circuit breaker
	BreakerOn       Breaker = "on"       // gives a failing deployment up
	BreakerRollback Breaker = "rollback" // gives it up and returns to the one before
)

// Request says what is to be released, where and how.
type Request struct {
	Cluster  string
	Services []string // the first is the one whose revision runs one-off tasks
	// CronRules are EventBridge rules whose ECS targets run cron, each as
	// NAME or BUS/NAME.
	CronRules []string
	// Schedules are schedules of EventBridge Scheduler whose ECS targets run cron,
	// each as NAME or GROUP/NAME.
	Schedules []string

	Build string // tag of the build's images
	// KeepBuild changes settings and leaves the images as they are.
	KeepBuild bool
	// Downgrade lets an older build take the place of a newer one, by the builds'
	// numbers.
	Downgrade bool
	// From is another cluster: what its services run is released, by digest.
	From string
	// Repositories of the store's own images, as NAME or REGISTRY/NAME. If
	// empty, every ECR image of the task definitions counts as the store's own.
	Repositories []string
	PinDigest    bool
	// Latest starts from every family's newest revision, instead of from the
	// one that runs.
	Latest bool
	Edits  ecs.Edits // Images is filled in by the release

	Migrate MigrateMode
	// Console is how Magento's command line is called in the container.
	Console []string
	// TaskContainer runs one-off tasks. If empty, it is the first container
	// with an image of the store's own that is not nginx.
	TaskContainer string
	NoCacheFlush  bool
	Probes        Probes
	// WaitUntil ends the release as [Paused] once every deployment that moves traffic
	// stands at that lifecycle stage: paused by a hook, or in its bake time.
	WaitUntil string

	// Timeout is for the wait for all services together; TaskTimeout for one
	// one-off task.
	Timeout     time.Duration
	TaskTimeout time.Duration
	// WaitForDeployment waits, within Timeout, for a deployment in progress
	// to end, instead of refusing.
	WaitForDeployment bool

	DesiredCount      *int32
	MinHealthyPercent *int32
	MaxPercent        *int32
	Breaker           Breaker
	Force             bool
	Rollback          bool // on failure
	// KeepRevisions deregisters older revisions of the families released,
	// except the newest so many, those in use, and those that could be
	// returned to. 0 deregisters none.
	KeepRevisions int
	By            string // who releases; if empty, AWS is asked
	DryRun        bool
}

// DefaultTimeout is how long a release waits for its services, DefaultTaskTimeout
// how long for one task.
const (
	DefaultTimeout     = 10 * time.Minute
	DefaultTaskTimeout = 30 * time.Minute
)

// withDefaults fills in what was not asked for.
func (r Request) withDefaults() Request {
	if r.Timeout == 0 {
		r.Timeout = DefaultTimeout
	}
	if r.TaskTimeout == 0 {
		r.TaskTimeout = DefaultTaskTimeout
	}
	if r.Migrate == "" {
		r.Migrate = MigrateAuto
	}
	if r.Probes.Timeout == 0 {
		r.Probes.Timeout = DefaultProbeTimeout
	}
	if len(r.Console) == 0 {
		r.Console = []string{"bin/magento"}
	}
	return r
}

// Check reports everything that is wrong with a request at once. It needs no
// AWS.
func (r Request) Check() error {
	return errors.Join(slices.Concat(r.checkNames(), r.checkImages(), r.checkChoices(), r.checkNumbers(), r.checkProbes(), []error{r.Edits.Check()})...)
}

// faults collects what is wrong.
type faults []error

func (f *faults) add(format string, args ...any) { *f = append(*f, fmt.Errorf(format, args...)) }

func (r Request) checkNames() (wrong faults) {
	if r.Cluster == "" {
		wrong.add("no cluster is given: --cluster, or MCK_CLUSTER")
	}
	if len(r.Services) == 0 {
		wrong.add("no service is given: --service (once for each), or MCK_SERVICES")
	}
	for i, s := range r.Services {
		if s == "" {
			wrong.add("a service's name is empty")
		} else if slices.Contains(r.Services[:i], s) {
			wrong.add("service %s is given twice", s)
		}
	}
	return append(wrong, r.checkCron()...)
}

func (r Request) checkCron() (wrong faults) {
	for i, n := range r.CronRules {
		if n == "" || strings.HasSuffix(n, "/") {
			wrong.add("a cron rule's name is empty")
		} else if slices.Contains(r.CronRules[:i], n) {
			wrong.add("cron rule %s is given twice", n)
		}
	}
	for i, n := range r.Schedules {
		if group, name, ok := strings.Cut(n, "/"); n == "" || ok && (group == "" || name == "" || strings.Contains(name, "/")) {
			wrong.add("schedule %q is not NAME or GROUP/NAME", n)
		} else if slices.Contains(r.Schedules[:i], n) {
			wrong.add("schedule %s is given twice", n)
		}
	}
	return wrong
}

func (r Request) checkImages() (wrong faults) {
	if r.Build != "" {
		if _, err := ecs.ParseReference("image:" + r.Build); err != nil {
			wrong.add("build number %q cannot be an image's tag", r.Build)
		}
	}
	for _, n := range r.Repositories {
		if ref, err := ecs.ParseReference(n); err != nil {
			wrong.add("repository: %w", err)
		} else if ref.Tag != "" || ref.Digest != "" {
			wrong.add("repository %q has a tag or a digest: give its name alone", n)
		}
	}
	return wrong
}

func (r Request) checkChoices() (wrong faults) {
	switch r.Migrate {
	case "", MigrateAuto, MigrateAlways, MigrateNever:
	default:
		wrong.add("--migrate %q is none of auto, always, never", r.Migrate)
	}
	if r.WaitUntil != "" && !slices.Contains(Stages(), r.WaitUntil) {
		wrong.add("--wait-until %q is none of %s", r.WaitUntil, strings.Join(Stages(), ", "))
	}
	if r.WaitUntil != "" && r.Probes.Continue {
		wrong.add("--wait-until stays at a pause, and --probe-continue ends it: leave one of them out")
	}
	switch r.Breaker {
	case BreakerKeep, BreakerOff, BreakerOn, BreakerRollback:
	default:
		wrong.add("--circuit-breaker %q is none of off, on, rollback", r.Breaker)
	}
	return wrong
}

func (r Request) checkNumbers() (wrong faults) {
	if r.Timeout < 0 || r.TaskTimeout < 0 {
		wrong.add("a timeout is negative")
	}
	percent := func(name string, v *int32, most int32) {
		if v != nil && (*v < 0 || *v > most) {
			wrong.add("%s %d is not between 0 and %d", name, *v, most)
		}
	}
	percent("--min-healthy-percent", r.MinHealthyPercent, 100)
	percent("--max-percent", r.MaxPercent, 400)
	if r.MinHealthyPercent != nil && r.MaxPercent != nil && *r.MinHealthyPercent == 100 && *r.MaxPercent == 100 {
		wrong.add("with --min-healthy-percent 100 and --max-percent 100 no task may stop and none may start, so the roll could never begin")
	}
	if r.DesiredCount != nil && *r.DesiredCount < 0 {
		wrong.add("--desired-count %d is negative", *r.DesiredCount)
	}
	if r.KeepRevisions < 0 {
		wrong.add("--keep-revisions %d is negative", r.KeepRevisions)
	}
	return wrong
}
