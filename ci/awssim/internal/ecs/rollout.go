package ecs

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/magecloudkit/pipeline/ci/awssim/internal/kernel"
)

// svc is an ECS service.
type svc struct {
	e                 *API
	cluster           *cluster
	name, arn, status string // ACTIVE, DRAINING, INACTIVE
	created           time.Time
	createdBy         string
	tags              []types.Tag
	desired           int32
	scheduling        types.SchedulingStrategy
	controller        *types.DeploymentController
	role              *string
	rollout           types.DeploymentConfiguration
	managedTags       bool
	execute           bool
	propagate         types.PropagateTags
	constraints       []types.PlacementConstraint
	strategy          []types.PlacementStrategy
	rebalancing       types.AvailabilityZoneRebalancing

	tasks       []*task
	deployments []*deployment // the PRIMARY one first
	releases    []*release    // service deployments, the oldest first
	lastGood    *deployment   // that completed last
	events      []types.ServiceEvent
	steady      bool
	warned      bool      // that the percents allow no move
	sick        int       // tasks stopped for their health that have not been replaced yet
	poked       time.Time // when the scheduler looks next; zero: not planned
	nextBatch   time.Time // tasks are started in batches, this far apart
	asked       int       // requests that its listeners were sent

	history kernel.History[types.Service]
	dirty   bool
}

// config is what a deployment rolls out: a service revision.
type config struct {
	arn           string // of the service revision
	created       time.Time
	rev           *revision
	network       *types.NetworkConfiguration
	launch        types.LaunchType
	providers     []types.CapacityProviderStrategyItem
	platform      *string
	loadBalancers []types.LoadBalancer
	registries    []types.ServiceRegistry
	grace         *int32
	connect       *types.ServiceConnectConfiguration
	volumes       []types.ServiceVolumeConfiguration
	lattice       []types.VpcLatticeConfiguration
	fargate       bool
	digests       map[string]string // container → digest, of the first task that pulled
}

// deployment is an entry of a service's deployments.
type deployment struct {
	id               string
	status           string // PRIMARY, ACTIVE
	conf             config
	created, updated time.Time
	state            types.DeploymentRolloutState
	reason           string
	failed           int32     // in a row
	notBefore        time.Time // when tasks may be started again
	noRoom           bool      // because there was no room for one
	rollbackOf       *release
	release          *release // nil for one that a rollback brought back
}

// release is a service deployment (API_ServiceDeployment).
type release struct {
	arn                       string
	svc                       *svc
	target                    config
	source                    []config
	created, started, updated time.Time
	finished, stoppedAt       *time.Time
	status                    types.ServiceDeploymentStatus
	reason                    string
	failures                  int32
	triggered                 bool
	rollback                  *types.Rollback
	rollout                   types.DeploymentConfiguration
	stage                     types.ServiceDeploymentLifecycleStage
	shift                     *shift   // nil: it rolls
	alarms                    []string // that went off
}

func (s *svc) primary() *deployment { return s.deployments[0] }

// rolling says that ECS itself replaces the service's tasks, and says how it is going.
func (s *svc) rolling() bool {
	return s.controller == nil || s.controller.Type == types.DeploymentControllerTypeEcs
}

// silent says that rolloutState is left out (API_Deployment: it is only returned for services that use the rolling
// update deployment type and are not behind a Classic Load Balancer).
func (s *svc) silent() bool {
	return !s.rolling() || slices.ContainsFunc(s.primary().conf.loadBalancers, func(lb types.LoadBalancer) bool { return lb.LoadBalancerName != nil })
}

// touch has a service's view renewed before anybody looks.
func (e *API) touch(s *svc) {
	if !s.dirty {
		s.dirty = true
		e.changed = append(e.changed, s)
	}
}

// Flush renews the views of services that changed at this time.
func (e *API) Flush() {
	for _, s := range e.changed {
		s.dirty = false
		s.history.Put(e.k.Now, s.view())
	}
	e.changed = e.changed[:0]
}

// event tells of something, the newest first; the last hundred are kept (API_Service).
func (s *svc) event(format string, args ...any) {
	ev := types.ServiceEvent{
		Id: new(uuid(s.e.k.NewID("event"))), CreatedAt: new(s.e.k.Now),
		Message: new(fmt.Sprintf("(service %s) %s", s.name, fmt.Sprintf(format, args...))),
	}
	s.events = append([]types.ServiceEvent{ev}, s.events[:min(len(s.events), 99)]...)
	s.e.touch(s)
}

func uuid(id string) string {
	return strings.Join([]string{id[:8], id[8:12], id[12:16], id[16:20], id[20:]}, "-")
}

// deploy makes a new PRIMARY deployment; those before it become ACTIVE and fade out.
func (s *svc) deploy(conf config) *deployment {
	k := s.e.k
	conf.arn = k.ARN("ecs", fmt.Sprintf("service-revision/%s/%s/%s", s.cluster.name, s.name, k.Digits("service-revision", 19)))
	conf.created = k.Now
	conf.digests = map[string]string{}
	r := &release{
		arn: k.ARN("ecs", fmt.Sprintf("service-deployment/%s/%s/%s", s.cluster.name, s.name, k.NewID("service-deployment")[:21])),
		svc: s, target: conf, created: k.Now, updated: k.Now, status: types.ServiceDeploymentStatusPending, rollout: s.rollout,
	}
	for _, d := range s.deployments {
		if s.live(d) > 0 || d.status == "PRIMARY" {
			r.source = append(r.source, d.conf)
		}
		s.supersede(d)
	}
	d := &deployment{
		id: "ecs-svc/" + k.Digits("deployment", 19), status: "PRIMARY", conf: conf, created: k.Now, updated: k.Now,
		state: types.DeploymentRolloutStateInProgress, release: r,
	}
	d.reason = fmt.Sprintf("ECS deployment %s in progress.", d.id)
	s.deployments = append([]*deployment{d}, s.deployments...)
	s.releases = append(s.releases, r)
	r.shift = newShift(s, d)
	s.watchAlarms(d)
	s.steady, s.warned = false, false
	s.e.touch(s)
	s.poke(2 * time.Second)
	return d
}

// supersede takes a deployment out of the first place.
func (s *svc) supersede(d *deployment) {
	k := s.e.k
	if d.status == "PRIMARY" {
		d.status, d.updated = "ACTIVE", k.Now
	}
	if d.release != nil && d.release.ongoing() {
		d.release.end(types.ServiceDeploymentStatusStopped, "Service deployment stopped because a new service deployment was started.")
	}
	if d.rollbackOf != nil && d.rollbackOf.ongoing() {
		d.rollbackOf.end(types.ServiceDeploymentStatusRollbackFailed, "Rollback stopped because a new service deployment was started.")
	}
}

func (r *release) ongoing() bool { return r.finished == nil }

// set changes a service deployment's status.
func (r *release) set(status types.ServiceDeploymentStatus, reason string) {
	r.status, r.reason, r.updated = status, reason, r.svc.e.k.Now
}

func (r *release) end(status types.ServiceDeploymentStatus, reason string) {
	r.set(status, reason)
	r.finished = new(r.updated)
	if status == types.ServiceDeploymentStatusStopped {
		r.stoppedAt = r.finished
	}
}

// gone says that a task holds nothing any more.
func (t *task) gone() bool { return t.last == "STOPPED" || t.last == "DEPROVISIONING" }

// The scheduler starts tasks in batches: some five hundred a minute ("Amazon ECS service quotas", tasks launched per
// service on Fargate).
const (
	batch    = 20
	batchGap = 2400 * time.Millisecond
)

// stopped is told of a task of the service that stops, and why.
func (s *svc) stopped(t *task) {
	d := t.dep
	s.poke(2 * time.Second)
	for _, c := range t.containers {
		if c.digest != "" {
			d.conf.digests[*c.def.Name] = c.digest
		}
	}
	if d != s.primary() {
		return
	}
	s.steady = false
	switch {
	case t.stopCode == types.TaskStopCodeUserInitiated,
		strings.HasPrefix(t.reason, "Scaling activity"):
		return
	case t.stopCode == types.TaskStopCodeEssentialContainerExited && t.wasHealthy:
		// A crash later on is no failure to start; the scheduler replaces the task at once.
		return
	}
	s.fail(d, patience)
}

// How long the scheduler waits after a task that it could not bring up or place, the first few times. When a task of the
// service is gone it tries at once.
const (
	patience        = 10 * time.Second
	patienceForRoom = time.Minute
)

// made is told that a task of the service has given back what it held.
func (s *svc) made() {
	if p := s.primary(); p.noRoom {
		p.noRoom, p.notBefore = false, time.Time{}
	}
	s.poke(time.Second)
}

// fail counts a task that the deployment could not bring up: one that was not placed, did not reach RUNNING, failed a
// health check, or (as ECS does today although API_Deployment does not say so) ended before it counted as healthy.
// The more in a row, the longer the scheduler waits ("Amazon ECS service throttle logic": up to 27 minutes).
func (s *svc) fail(d *deployment, wait time.Duration) {
	k := s.e.k
	d.failed++
	d.updated = k.Now
	for i := int32(3); i < d.failed && wait < 27*time.Minute; i++ {
		wait = wait * 3 / 2
	}
	d.notBefore = k.Now.Add(min(wait, 27*time.Minute))
	s.poke(min(wait, 27*time.Minute))
	s.e.touch(s)
	if d.failed == 5 && d.state == types.DeploymentRolloutStateInProgress {
		s.event("is unable to consistently start tasks successfully. For more information, see the Troubleshooting section of the Amazon ECS Developer Guide.")
	}
	if d.release != nil {
		d.release.failures = d.failed
	}
	if d.state == types.DeploymentRolloutStateInProgress && d.failed >= s.threshold() {
		s.trip(d)
	}
}

// trip ends a deployment of which too many tasks have failed: a roll back, or one that the circuit breaker watches over.
func (s *svc) trip(d *deployment) {
	cb, back := s.rollout.DeploymentCircuitBreaker, d.rollbackOf
	returning := back != nil && back.ongoing()
	if !returning && (cb == nil || !cb.Enable || !s.rolling()) {
		return
	}
	d.state, d.reason = types.DeploymentRolloutStateFailed, "ECS deployment circuit breaker: tasks failed to start."
	s.event("(deployment %s) deployment failed: tasks failed to start.", d.id)
	if returning {
		back.end(types.ServiceDeploymentStatusRollbackFailed, "Service deployment rollback failed: tasks failed to start.")
		return
	}
	if d.release != nil {
		d.release.triggered = true
	}
	if cb.Rollback && s.rollBack(d, "ECS deployment circuit breaker", "Service deployment rolled back because the circuit breaker threshold was exceeded.") {
		return
	}
	if d.release != nil && d.release.ongoing() {
		d.release.end(types.ServiceDeploymentStatusStopped, "Service deployment stopped because the circuit breaker threshold was exceeded.")
	}
}

// threshold is how many failures trip the circuit breaker ("How the Amazon ECS deployment circuit breaker detects
// failures", API_ThresholdConfiguration): half of the desired count, at least 3 and at most 200, unless configured.
func (s *svc) threshold() int32 {
	kind, n := types.ThresholdTypeBoundedPercent, int32(50)
	if cb := s.rollout.DeploymentCircuitBreaker; cb != nil && cb.ThresholdConfiguration != nil {
		kind, n = cb.ThresholdConfiguration.Type, cb.ThresholdConfiguration.Value
	}
	switch kind {
	case types.ThresholdTypeCount:
		return max(n, 1)
	case types.ThresholdTypeUnboundedPercent:
		return max((s.wanted()*n+99)/100, 1)
	}
	return min(max((s.wanted()*n+99)/100, 3), 200)
}

// rollBack returns the service from a deployment to the one that completed last; false if there is none. As long as
// that one is still among the deployments it becomes PRIMARY again, under its id and with the tasks that it still has;
// else what it rolled out is deployed anew. Recent accounts of ECS (a rollback that is complete within seconds, good
// tasks that are never drained) show it so; older ones show tasks that were all started anew. who begins the new
// PRIMARY's reason.
func (s *svc) rollBack(from *deployment, who, reason string) bool {
	k := s.e.k
	good := s.lastGood
	if good == nil || good == from {
		return false
	}
	if i := slices.Index(s.deployments, good); i >= 0 {
		s.deployments = slices.Delete(s.deployments, i, i+1)
	} else {
		good = &deployment{id: "ecs-svc/" + k.Digits("deployment", 19), conf: good.conf, created: k.Now}
	}
	from.status, from.updated, from.state = "ACTIVE", k.Now, types.DeploymentRolloutStateFailed
	good.status, good.updated, good.failed, good.notBefore = "PRIMARY", k.Now, 0, time.Time{}
	good.state, good.reason = types.DeploymentRolloutStateInProgress, fmt.Sprintf("%s: rolling back to deploymentId %s.", who, good.id)
	good.release, good.rollbackOf = nil, from.release
	s.deployments = append([]*deployment{good}, s.deployments...)
	s.event("rolling back to deployment %s.", good.id)
	if r := from.release; r != nil {
		r.rollback = &types.Rollback{Reason: &reason, StartedAt: new(k.Now), ServiceRevisionArn: new(good.conf.arn)}
		r.set(types.ServiceDeploymentStatusRollbackInProgress, reason)
	}
	s.steady, s.warned = false, false
	s.poke(2 * time.Second)
	return true
}

// finish drops deployments that have faded out and sees whether the service is steady.
func (s *svc) finish(want int32) {
	s.fadeOut()
	p := s.primary()
	if s.status != "ACTIVE" || s.steady || p.state == types.DeploymentRolloutStateFailed || s.busy(p) || s.live(p) != want {
		return
	}
	healthy := int32(0)
	for _, t := range s.tasks {
		if t.dep == p && t.healthy() {
			healthy++
		}
	}
	if healthy != want {
		return
	}
	s.steady = true
	if p.state == types.DeploymentRolloutStateInProgress {
		s.complete(p)
	}
	s.lastGood = p
	s.event("has reached a steady state.")
}

// fadeOut drops deployments, and a service that drains, when none of their tasks is left.
func (s *svc) fadeOut() {
	p, before := s.primary(), len(s.deployments)
	s.deployments = slices.DeleteFunc(s.deployments, func(d *deployment) bool {
		return d != p && !slices.ContainsFunc(s.tasks, func(t *task) bool { return t.dep == d && !t.gone() })
	})
	if len(s.deployments) != before {
		s.e.touch(s)
	}
	if s.status == "DRAINING" && !slices.ContainsFunc(s.tasks, func(t *task) bool { return !t.gone() }) {
		s.status = "INACTIVE"
		s.e.touch(s)
	}
}

// busy says that tasks are still being stopped, or that others than the deployment's run.
func (s *svc) busy(p *deployment) bool {
	return slices.ContainsFunc(s.tasks, func(t *task) bool { return !t.gone() && (t.dep != p || t.desired != "RUNNING") })
}

// complete ends a rollout that has come to its end.
func (s *svc) complete(p *deployment) {
	p.state, p.updated = types.DeploymentRolloutStateCompleted, s.e.k.Now
	p.reason = fmt.Sprintf("ECS deployment %s completed.", p.id)
	s.event("(deployment %s) deployment completed.", p.id)
	if p.release != nil && p.release.ongoing() {
		p.release.end(types.ServiceDeploymentStatusSuccessful, "")
	}
	if r := p.rollbackOf; r != nil && r.ongoing() {
		r.end(types.ServiceDeploymentStatusRollbackSuccessful, value(r.rollback.Reason))
	}
	p.failed = 0
}

// view is a service as it is described.
func (s *svc) view() types.Service {
	p := s.primary()
	v := types.Service{
		ServiceArn: &s.arn, ServiceName: &s.name, ClusterArn: &s.cluster.arn, Status: new(s.status), DesiredCount: s.wanted(),
		CreatedAt: &s.created, CreatedBy: &s.createdBy, TaskDefinition: p.conf.rev.def.TaskDefinitionArn, RoleArn: s.role,
		LaunchType: p.conf.launch, CapacityProviderStrategy: p.conf.providers, PlatformVersion: p.conf.platform,
		LoadBalancers: append([]types.LoadBalancer{}, p.conf.loadBalancers...), ServiceRegistries: append([]types.ServiceRegistry{}, p.conf.registries...),
		NetworkConfiguration: p.conf.network, HealthCheckGracePeriodSeconds: p.conf.grace, SchedulingStrategy: s.scheduling,
		DeploymentController: s.controller, DeploymentConfiguration: new(s.rollout), EnableECSManagedTags: s.managedTags,
		EnableExecuteCommand: s.execute, PropagateTags: s.propagate, AvailabilityZoneRebalancing: s.rebalancing,
		PlacementConstraints: append([]types.PlacementConstraint{}, s.constraints...), PlacementStrategy: append([]types.PlacementStrategy{}, s.strategy...),
		Events: append([]types.ServiceEvent{}, s.events...), Deployments: []types.Deployment{},
	}
	if p.conf.fargate {
		v.PlatformFamily = new("Linux")
	}
	if s.status == "INACTIVE" {
		v.DesiredCount = 0
	}
	if n := len(s.releases); n > 0 && s.releases[n-1].ongoing() {
		v.CurrentServiceDeployment = &s.releases[n-1].arn
	}
	for _, d := range s.deployments {
		dv := types.Deployment{
			Id: &d.id, Status: new(d.status), TaskDefinition: d.conf.rev.def.TaskDefinitionArn, CreatedAt: &d.created, UpdatedAt: new(d.updated),
			FailedTasks: d.failed, LaunchType: d.conf.launch, CapacityProviderStrategy: d.conf.providers, PlatformVersion: d.conf.platform,
			PlatformFamily: v.PlatformFamily, NetworkConfiguration: d.conf.network, ServiceConnectConfiguration: d.conf.connect,
			VolumeConfigurations: d.conf.volumes, VpcLatticeConfigurations: d.conf.lattice,
		}
		if !s.silent() {
			dv.RolloutState, dv.RolloutStateReason = d.state, new(d.reason)
		}
		for _, t := range s.tasks {
			if t.dep != d {
				continue
			}
			if t.desired == "RUNNING" {
				dv.DesiredCount++
			}
			switch t.last {
			case "RUNNING":
				dv.RunningCount++
			case "PROVISIONING", "PENDING", "ACTIVATING":
				if t.desired == "RUNNING" {
					dv.PendingCount++
				}
			}
		}
		if d == p {
			dv.DesiredCount = v.DesiredCount
		}
		v.RunningCount += dv.RunningCount
		v.PendingCount += dv.PendingCount
		if s.status != "INACTIVE" {
			v.Deployments = append(v.Deployments, dv)
			v.CurrentServiceRevisions = append(v.CurrentServiceRevisions, types.ServiceCurrentRevisionSummary{
				Arn: new(d.conf.arn), RequestedTaskCount: dv.DesiredCount, PendingTaskCount: dv.PendingCount, RunningTaskCount: dv.RunningCount})
		}
	}
	return v
}
