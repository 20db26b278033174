package release

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/magecloudkit/pipeline/ci/ecs"
)

// Tags that a release leaves on the revisions it registers.
const (
	TagBuild    = "magecloudkit:build"    // the build that the revision runs
	TagBy       = "magecloudkit:by"       // who released it
	TagReplaces = "magecloudkit:replaces" // the revision that ran before, family:revision
)

// plan is what an operation is about, and what is to become of it. A survey fills it
// in; an act carries it out.
type plan struct {
	req      Request
	services []*service
	crons    []*cron
	revs     []*revision
	own      []string // the store's own repositories
	builtAs  string   // the build that the images say they are; empty: they do not say
}

// starter is what starts cron: a rule of EventBridge, or a schedule of its Scheduler.
type starter interface {
	subject() string
	hint() string // what to do where it does not exist
	// starts reports whether tasks with such a mark are started by one of its kind.
	starts(startedBy string) bool
	read(context.Context) (foundCron, error)
	// mark is what a release has left on it that keeps it disabled: the build.
	mark(context.Context) (of string, marked bool, err error)
	// pause marks and disables it. Begun: it is to be enabled again.
	pause(ctx context.Context, build string) (begun bool, err error)
	resume(context.Context) error
	unmark(context.Context) error
	// move points its targets at task definitions; one that is empty is left.
	move(ctx context.Context, definitions []string) error
}

// foundCron is what a starter's targets are.
type foundCron struct {
	enabled     bool
	definitions []string // the task definition that each target names; empty: it is no ECS task
	roles       []string // ARNs that the tasks are started with
	clusters    []string // ARNs of the clusters that they run in
}

// cron is a starter, and what is to become of it.
type cron struct {
	starter
	foundCron
	given  string      // as in the request
	marked bool        // by an earlier run
	left   bool        // disabled by an earlier run, which did not get to enable it
	revs   []*revision // by target; nil: not an ECS task

	// Done.
	paused bool // by this run, now
	res    CronResult
}

// service is one service of a release.
type service struct {
	// Found.
	name string
	svc  types.Service
	rev  *revision

	// Decided.
	prior string    // revision to go back to: ARN or family:revision
	adopt bool      // a deployment of the target is in progress already
	taken bool      // an interrupted run of this very release has moved it
	pause ecs.Stage // where it is paused, if that is to be ended

	// Done.
	late bool // its test listener was asked while production traffic moved
	res  ServiceResult
}

// revision is a task definition and what is to become of it.
type revision struct {
	// Found.
	users  []string // "service web", "cron rule …"
	before *awsecs.DescribeTaskDefinitionOutput
	base   *awsecs.RegisterTaskDefinitionInput // of before

	// Decided.
	desired *awsecs.RegisterTaskDefinitionInput
	changes ecs.Changes

	// Found, or done.
	target string // ARN, once it is known
	fresh  bool   // registered by this run
	// since is when a target that this run found was registered; zero: it was not found.
	since time.Time
}

func (p *revision) arn() string { return aws.ToString(p.before.TaskDefinition.TaskDefinitionArn) }

func (p *revision) family() string { return aws.ToString(p.before.TaskDefinition.Family) }

// containers are those of the new revision.
func (p *revision) containers() []types.ContainerDefinition {
	if p.desired != nil {
		return p.desired.ContainerDefinitions
	}
	return p.before.TaskDefinition.ContainerDefinitions
}

// subject is what is released.
func (pl *plan) subject() string {
	if pl.req.KeepBuild {
		return "the same build with other settings"
	}
	return "build " + pl.req.Build
}

// does is what the release of a plan is called in a revision's records.
func (pl *plan) does() string {
	if pl.req.KeepBuild {
		return didSettings
	}
	return didDeploy
}

// unchanged reports whether the release found everything done.
func (pl *plan) unchanged() bool {
	for _, p := range pl.services {
		if p.res.Moved {
			return false
		}
	}
	return true
}

func (pl *plan) console(args ...string) []string {
	return append(append([]string(nil), pl.req.Console...), args...)
}

// code is the repositories whose containers run the store's code: a variable
// that names no container is meant for them, and for nginx only where there is
// nothing else.
func (pl *plan) code(p *revision) []string {
	var names []string
	for _, ref := range ecs.Images(p.base.ContainerDefinitions, pl.own) {
		if !strings.HasSuffix(ref.Path, "nginx") {
			add(&names, ref.Repository())
		}
	}
	if len(names) == 0 {
		return pl.own
	}
	return names
}

// ownRepositories finds out which repositories are the store's own.
func (pl *plan) ownRepositories() {
	pl.own = pl.req.Repositories
	if len(pl.own) > 0 {
		return
	}
	for _, p := range pl.revs {
		for _, n := range ownOf(nil, p.before) {
			if !slices.Contains(pl.own, n) {
				pl.own = append(pl.own, n)
			}
		}
	}
	slices.Sort(pl.own)
}

// runningBuild is the build of a plan's current revision.
func (pl *plan) runningBuild(p *revision) string {
	return buildOf(p.before, ecs.Images(p.base.ContainerDefinitions, pl.own))
}

// sameRevision compares revisions given as ARN or as family:revision.
func sameRevision(a, b string) bool { return ecs.RevisionName(a) == ecs.RevisionName(b) }

func (pl *plan) service(name string) *service {
	for _, p := range pl.services {
		if p.name == name {
			return p
		}
	}
	return nil
}
