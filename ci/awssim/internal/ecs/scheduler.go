package ecs

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// poke has the scheduler look at the service after d, or earlier if it would have anyway.
func (s *svc) poke(d time.Duration) {
	at := s.e.k.Now.Add(d)
	if !s.poked.IsZero() && !s.poked.After(at) {
		return
	}
	s.poked = at
	s.e.k.After(d, func() {
		if s.poked.Equal(at) {
			s.poked = time.Time{}
			s.reconcile()
		}
	})
}

// live counts a deployment's tasks that are meant to run.
func (s *svc) live(d *deployment) (n int32) {
	for _, t := range s.tasks {
		if t.dep == d && t.desired == "RUNNING" {
			n++
		}
	}
	return n
}

// wanted is how many tasks there should be.
func (s *svc) wanted() int32 {
	switch {
	case s.status != "ACTIVE":
		return 0
	case s.scheduling == types.SchedulingStrategyDaemon:
		return int32(len(s.cluster.instances))
	}
	return s.desired
}

// reconcile is one look of the service scheduler ("Deploy Amazon ECS services by replacing tasks"): sick tasks are
// replaced, old ones stopped as far as minimumHealthyPercent allows, new ones started as far as maximumPercent allows.
func (s *svc) reconcile() {
	if s.status == "INACTIVE" {
		return
	}
	p := s.primary()
	if r := p.release; r != nil && r.status == types.ServiceDeploymentStatusPending {
		r.set(types.ServiceDeploymentStatusInProgress, "")
		r.started = s.e.k.Now
		if r.shift != nil {
			r.shift.advance()
		}
	}
	seen := s.survey(p)
	if s.primary() != p {
		return // the circuit breaker has gone off just now, and has the scheduler look again
	}
	want := s.wanted()
	if moves := p.moves(); moves != nil {
		moves.scaledUp(int32(len(seen.mine))-int32(len(slices.DeleteFunc(slices.Clone(seen.mine), (*task).healthy))), want)
	}
	victims := s.victims(p, &seen, want)
	s.stopTasks(victims)
	s.grow(p, seen, want, len(victims) == 0)
	s.finish(want)
}

// moves is how a deployment moves traffic; nil if it rolls.
func (d *deployment) moves() *shift {
	if d.release == nil {
		return nil
	}
	return d.release.shift
}

// tally is what the scheduler sees of a service's tasks.
type tally struct {
	mine, old        []*task // meant to run: of the PRIMARY deployment, and of others
	healthy, holding int32   // that count towards the percents
}

// survey counts the tasks and stops those that are sick.
func (s *svc) survey(p *deployment) tally {
	var seen tally
	for _, t := range s.tasks {
		if !t.gone() {
			seen.holding++
		}
		if t.desired != "RUNNING" {
			continue
		}
		if why := t.sick(); why != "" {
			s.replace(t, why)
			continue
		}
		if t.healthy() {
			seen.healthy++
			s.counted(t)
		}
		if t.dep == p {
			seen.mine = append(seen.mine, t)
		} else {
			seen.old = append(seen.old, t)
		}
	}
	return seen
}

// replace stops a task for its health.
func (s *svc) replace(t *task, why string) {
	if why == "Task failed container health checks" {
		s.event("(task %s) failed container health checks.", t.id)
	} else {
		s.event("(task %s) (port %d) is unhealthy in (target-group %s) due to (reason Health checks failed with these codes: [500]).",
			t.id, value(t.dep.conf.loadBalancers[0].ContainerPort), value(t.dep.conf.loadBalancers[0].TargetGroupArn))
	}
	t.stop(types.TaskStopCodeServiceSchedulerInitiated, why)
	s.event("has stopped 1 running tasks: (task %s).", t.id)
	s.sick++
}

// victims are the tasks that are to be stopped. Of a FAILED deployment's service, what runs stays.
func (s *svc) victims(p *deployment, seen *tally, want int32) []*task {
	failed := p.state == types.DeploymentRolloutStateFailed
	var victims []*task
	// More than wanted: those that are not healthy yet go first, the youngest first.
	if over := len(seen.mine) - int(want); over > 0 {
		byUse := slices.Clone(seen.mine)
		slices.Reverse(byUse)
		slices.SortStableFunc(byUse, func(a, b *task) int { return rank(a) - rank(b) })
		victims = append(victims, byUse[:over]...)
		for _, t := range victims {
			if t.healthy() {
				seen.healthy--
			}
		}
	}
	spare := seen.healthy - (want*value(s.rollout.MinimumHealthyPercent)+99)/100
	for _, t := range seen.old {
		switch {
		case want > 0 && p.moves().holds():
		case want == 0 || !failed && !t.healthy():
			victims = append(victims, t)
		case spare > 0 && !failed:
			spare--
			victims = append(victims, t)
		}
	}
	return victims
}

// grow starts tasks as far as there is room; a FAILED deployment starts nothing. still says that none is being stopped.
func (s *svc) grow(p *deployment, seen tally, want int32, still bool) { //nolint:cyclop // the cases of one decision
	if p.state == types.DeploymentRolloutStateFailed {
		return
	}
	k := s.e.k
	lacking := want - int32(len(seen.mine))
	free := want*value(s.rollout.MaximumPercent)/100 - seen.holding // what is being stopped still counts
	if moves := p.moves(); moves != nil {
		free = want // the percents do not hold: all new tasks run beside the old ones
		if !moves.scaling {
			free = 0
		}
	}
	onlyOld := len(seen.old) > 0 && int32(len(seen.old)) == seen.healthy && seen.holding == seen.healthy
	switch room := min(lacking, free, batch); {
	case room > 0 && k.Now.Before(p.notBefore):
		s.poke(p.notBefore.Sub(k.Now))
	case room > 0 && k.Now.Before(s.nextBatch):
		s.poke(s.nextBatch.Sub(k.Now))
	case room > 0:
		s.startTasks(p, room)
	case lacking > 0 && still && onlyOld && p.moves() == nil && !s.warned:
		s.warned = true
		s.event("was unable to stop or start tasks during a deployment because of the service deployment configuration. Update the minimumHealthyPercent or maximumPercent value and try again.")
	}
}

// rank orders tasks by how little is lost with them.
func rank(t *task) int {
	switch {
	case t.healthy():
		return 2
	case t.last == "RUNNING":
		return 1
	}
	return 0
}

// counted is told of a task that counts as healthy.
func (s *svc) counted(t *task) {
	if t.wasHealthy {
		return
	}
	t.wasHealthy = true
	if t.dep == s.primary() && t.dep.failed > 0 {
		if cb := s.rollout.DeploymentCircuitBreaker; cb == nil || cb.ResetOnHealthyTask == nil || *cb.ResetOnHealthyTask {
			t.dep.failed = 0
		}
		t.dep.notBefore = time.Time{}
	}
	s.e.touch(s)
}

func (s *svc) stopTasks(victims []*task) {
	if len(victims) == 0 {
		return
	}
	var names []string
	pending := 0
	for _, t := range victims {
		if t.last == "RUNNING" {
			names = append(names, fmt.Sprintf("(task %s)", t.id))
		} else {
			pending++
		}
		t.stop(types.TaskStopCodeServiceSchedulerInitiated, fmt.Sprintf("Scaling activity initiated by (deployment %s)", s.primary().id))
	}
	s.steady = false
	if pending > 0 {
		s.event("stopped %d pending tasks.", pending)
	}
	if len(names) == 0 {
		return
	}
	if len(s.primary().conf.loadBalancers) > 0 {
		s.event("has begun draining connections on %d tasks.", len(names))
		s.event("deregistered %d targets in (target-group %s)", len(names), value(s.primary().conf.loadBalancers[0].TargetGroupArn))
	}
	s.event("has stopped %d running tasks: %s.", len(names), strings.Join(names, " "))
}

func (s *svc) startTasks(p *deployment, n int32) {
	k := s.e.k
	s.nextBatch = k.Now.Add(batchGap)
	s.poke(batchGap) // for the next one
	var names []string
	for range n {
		{
			if bad := s.e.badRole(&p.conf.rev.def, nil); bad != "" {
				s.event("failed to launch a task with (error ECS was unable to assume the role '%s' that was provided for this task. Please verify that the role being passed has the proper trust relationship and permissions and that your IAM user has permissions to pass this role.).", bad)
				s.fail(p, patience)
				break
			}
		}
		t := s.e.newTask(s.cluster, p.conf.rev, nil, s)
		t.dep, t.network, t.launch, t.execute = p, p.conf.network, p.conf.launch, s.execute
		t.group, t.startedBy = "service:"+s.name, p.id
		if p.conf.fargate {
			t.launch, t.platform = types.LaunchTypeFargate, p.conf.platform
		}
		if len(p.conf.providers) > 0 {
			t.provider = p.conf.providers[0].CapacityProvider
		}
		t.tags = s.taskTags(p)
		if no := t.place(); no != nil {
			s.event("%s", no.detailed)
			if p.noRoom = true; slices.ContainsFunc(s.tasks, func(t *task) bool { return t.desired == "STOPPED" && !t.gone() }) {
				break // room is being made
			}
			s.fail(p, patienceForRoom)
			break
		}
		p.noRoom = false
		s.tasks = append(s.tasks, t)
		t.launchNow()
		names = append(names, fmt.Sprintf("(task %s)", t.id))
	}
	if len(names) > 0 {
		s.steady = false
		replaced := ""
		if n := min(s.sick, len(names)); n > 0 {
			replaced = fmt.Sprintf(" Amazon ECS replaced %d tasks due to an unhealthy status.", n)
			s.sick -= n
		}
		s.event("has started %d tasks: %s.%s", len(names), strings.Join(names, " "), replaced)
		if len(p.conf.loadBalancers) > 0 {
			s.event("registered %d targets in (target-group %s)", len(names), value(p.conf.loadBalancers[0].TargetGroupArn))
		}
	}
}

func (s *svc) taskTags(p *deployment) []types.Tag {
	var tags []types.Tag
	switch s.propagate {
	case types.PropagateTagsService:
		tags = slices.Clone(s.tags)
	case types.PropagateTagsTaskDefinition:
		tags = slices.Clone(p.conf.rev.tags)
	}
	if s.managedTags {
		tags = append(tags, types.Tag{Key: new("aws:ecs:clusterName"), Value: &s.cluster.name}, types.Tag{Key: new("aws:ecs:serviceName"), Value: &s.name})
	}
	return tags
}
