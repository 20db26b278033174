package ecs

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/magecloudkit/pipeline/ci/awssim/internal/kernel"
)

// task is one task, from its placement to an hour after its end. It goes through the states of the developer guide's
// "Amazon ECS task lifecycle"; those that only take time in reality take a few seconds here.
type task struct {
	e                  *API
	id, arn            string
	cluster            *cluster
	svc                *svc        // nil: standalone
	dep                *deployment // of svc
	rev                *revision
	overrides          types.TaskOverride
	network            *types.NetworkConfiguration
	group, startedBy   string
	launch             types.LaunchType
	provider, platform *string
	instance           *instance // EC2 only
	cpu, memory        int32
	hostPorts          []int32
	tags               []types.Tag
	containers         []*container
	execute            bool

	desired, last          string
	created                time.Time
	pullStarted, pullEnded *time.Time
	started, stopping      *time.Time
	ended, stopped         *time.Time // execution, task
	stopCode               types.TaskStopCode
	reason                 string
	target                 targetHealth
	wasHealthy             bool // it has counted as healthy once
	version                int64
	history                kernel.History[types.Task]
}

// targetHealth is how a task stands in its service's target groups.
type targetHealth int

const (
	targetInitial targetHealth = iota
	targetHealthy
	targetUnhealthy
)

// newTask makes a task that is not placed yet, and settles how its containers will behave.
func (e *API) newTask(cl *cluster, rev *revision, over *types.TaskOverride, s *svc) *task {
	t := &task{e: e, cluster: cl, svc: s, rev: rev, overrides: value(over), id: e.k.NewID("task")}
	t.arn = e.k.ARN("ecs", fmt.Sprintf("task/%s/%s", cl.name, t.id))
	t.cpu, t.memory = sizes(rev, t.overrides)
	for i := range rev.def.ContainerDefinitions {
		def := &rev.def.ContainerDefinitions[i]
		about := starting{
			family: *rev.def.Family, revision: int(rev.def.Revision), image: *def.Image, container: *def.Name,
			standalone: s == nil, env: map[string]string{},
		}
		command := def.Command
		environment := slices.Clone(def.Environment)
		for _, o := range t.overrides.ContainerOverrides {
			if value(o.Name) == *def.Name {
				if o.Command != nil {
					command, about.overridden = o.Command, true
				}
				environment = append(environment, o.Environment...)
			}
		}
		for _, kv := range environment {
			about.env[value(kv.Name)] = value(kv.Value)
		}
		about.command = strings.Join(append(slices.Clone(def.EntryPoint), command...), " ")
		for _, p := range def.PortMappings {
			if h := value(p.HostPort); h != 0 {
				t.hostPorts = append(t.hostPorts, h)
			}
		}
		t.containers = append(t.containers, &container{
			def: def, b: e.behaviors.of(about), last: "PENDING", health: types.HealthStatusUnknown, runtimeID: e.k.NewID("runtime"),
		})
	}
	return t
}

// launchNow starts a task that has been placed.
func (t *task) launchNow() {
	k := t.e.k
	t.created = k.Now
	t.desired = "RUNNING"
	t.cluster.tasks = append(t.cluster.tasks, t)
	if !t.rev.awsvpc() {
		t.set("PENDING")
		t.then(k.Between("agent", t.id, 300*time.Millisecond, 1500*time.Millisecond), t.pull)
		return
	}
	t.set("PROVISIONING") // a network interface is made
	t.then(k.Between("eni", t.id, 2*time.Second, 5*time.Second), func() {
		t.set("PENDING")
		t.then(time.Second, t.pull)
	})
}

// then goes on with a task's start after d, unless it has been stopped by then.
func (t *task) then(d time.Duration, do func()) {
	t.e.k.After(d, func() {
		if t.desired == "RUNNING" {
			do()
		}
	})
}

// set changes a task's last status.
func (t *task) set(status string) {
	t.last = status
	t.touch()
}

// touch says that a task looks different from now on.
func (t *task) touch() {
	t.version++
	t.history.Put(t.e.k.Now, t.view())
	if t.svc != nil {
		t.e.touch(t.svc)
	}
}

// failStart ends a task that never ran ("Amazon ECS stopped tasks error messages").
func (t *task) failStart(reason string) {
	t.stop(types.TaskStopCodeTaskFailedToStart, reason)
}

// pull gets what the task needs: roles, secrets, log groups, images. On Fargate the agent fetches secrets and checks
// the log driver before anything is pulled, and the task's reason carries the error; on EC2 a container does.
func (t *task) pull() {
	k := t.e.k
	fargate := t.launch == types.LaunchTypeFargate
	execution := value(t.rev.def.ExecutionRoleArn)
	if t.overrides.ExecutionRoleArn != nil {
		execution = *t.overrides.ExecutionRoleArn
	}
	for _, c := range t.containers {
		if c.b.ResourceErr != "" {
			t.then(3*time.Second, func() { t.failStart("ResourceInitializationError: " + c.b.ResourceErr) })
			return
		}
		for _, s := range c.def.Secrets {
			if err := t.e.around.Secrets.ResolveSecret(value(s.ValueFrom), execution); err != nil {
				t.then(3*time.Second, func() { t.failStart("ResourceInitializationError: " + err.Error()) })
				return
			}
		}
		if err := t.openLog(c); err != nil {
			if fargate {
				t.then(3*time.Second, func() {
					t.failStart("ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: failed to create Cloudwatch log stream: " + err.Error() + " : exit status 1")
				})
				return
			}
			c.b.StartError = "CannotStartContainerError: Error response from daemon: failed to initialize logging driver: failed to create Cloudwatch log stream: " + err.Error()
		}
	}
	t.pullStarted = new(k.Now)
	t.touch()
	longest := k.Between("pull", t.id, 4*time.Second, 12*time.Second)
	for _, c := range t.containers {
		if d := time.Duration(c.b.Pull); d > 0 {
			longest = max(longest, d)
		}
		reason := t.pullImage(c)
		if reason != "" { // the agent tries for a while
			t.then(time.Minute, func() {
				c.reason = "CannotPullContainerError: " + reason
				if fargate {
					t.failStart(c.reason)
				} else {
					t.failStart("Task failed to start")
				}
			})
			return
		}
	}
	t.then(longest, func() {
		t.pullEnded = new(k.Now)
		t.startContainers()
	})
}

// startContainers starts them in the order of dependsOn, which the definition's check has found to be possible.
func (t *task) startContainers() {
	t.touch()
	for _, c := range t.containers {
		t.tryStart(c)
	}
}

// tryStart starts a container whose dependencies are met. It is tried again whenever one changes.
func (t *task) tryStart(c *container) {
	if c.last != "PENDING" || t.desired != "RUNNING" || t.pullEnded == nil {
		return
	}
	for _, d := range c.def.DependsOn {
		o := t.container(value(d.ContainerName))
		met := o.meets(d.Condition)
		if !met && o.last == "STOPPED" { // what has ended can meet no condition any more
			c.reason = fmt.Sprintf("DependencyError: container %s ended and condition %s was not met", *o.def.Name, d.Condition)
			t.failStart("Task failed to start")
		}
		if !met {
			return
		}
	}
	if c.b.StartError != "" {
		c.reason = c.b.StartError
		t.failStart("Task failed to start")
		return
	}
	t.run(c)
	for _, o := range t.containers {
		t.tryStart(o)
	}
	if t.last == "PENDING" && !slices.ContainsFunc(t.containers, func(c *container) bool { return c.last == "PENDING" }) {
		t.activate()
	}
}

// activate brings a task whose containers all run to RUNNING, by way of the load balancer if there is one.
func (t *task) activate() {
	running := func() {
		t.started = new(t.e.k.Now)
		t.set("RUNNING")
		t.watchTargets()
		if t.svc != nil {
			t.then(settled, func() { t.svc.poke(0) })
		}
	}
	if t.svc == nil || len(t.dep.conf.loadBalancers) == 0 {
		running()
		return
	}
	t.set("ACTIVATING")
	t.then(t.e.k.Between("register", t.id, time.Second, 3*time.Second), running)
}

// run is a container's life once it has started.
func (t *task) run(c *container) {
	k := t.e.k
	c.last = "RUNNING"
	later := func(d time.Duration, do func()) {
		k.After(d, func() {
			if c.last == "RUNNING" {
				do()
			}
		})
	}
	length := time.Duration(c.b.ExitAfter)
	if length == 0 {
		length = k.Between("work", t.id+*c.def.Name, 2*time.Second, 5*time.Second)
	}
	for i, line := range c.b.Logs {
		later(length*time.Duration(i)/time.Duration(len(c.b.Logs)), func() {
			if c.stream != "" {
				t.e.around.Logs.PutLine(c.def.LogConfiguration.Options["awslogs-group"], c.stream, line)
			}
		})
	}
	if c.b.ends() {
		later(length, func() { t.exited(c) })
	}
	if c.checked() {
		passes, fails := c.checks()
		if passes >= 0 {
			later(passes, func() { t.setHealth(c, types.HealthStatusHealthy) })
		}
		if fails >= 0 {
			later(fails, func() { t.setHealth(c, types.HealthStatusUnhealthy) })
		}
	}
	t.touch()
}

func (t *task) setHealth(c *container, h types.HealthStatus) {
	c.health = h
	t.touch()
	for _, o := range t.containers {
		t.tryStart(o)
	}
	if t.svc != nil {
		t.svc.poke(time.Second)
	}
}

// health of a task is that of its essential containers that have a check ("Determine Amazon ECS task health using
// container health checks").
func (t *task) health() types.HealthStatus {
	h := types.HealthStatusUnknown
	for _, c := range t.containers {
		if !c.essential() || !c.checked() {
			continue
		}
		switch c.health {
		case types.HealthStatusUnhealthy:
			return types.HealthStatusUnhealthy
		case types.HealthStatusUnknown:
			return types.HealthStatusUnknown
		}
		h = types.HealthStatusHealthy
	}
	return h
}

// watchTargets plays the load balancer's health checks: a target passes after two checks of ten seconds, fails after two
// bad ones, and nothing counts during the service's grace period.
func (t *task) watchTargets() {
	if t.svc == nil {
		return
	}
	const checks = 20 * time.Second
	grace := time.Duration(value(t.dep.conf.grace)) * time.Second
	for _, lb := range t.dep.conf.loadBalancers {
		c := t.container(value(lb.ContainerName))
		pass := max(checks, time.Duration(c.b.HealthyAfter))
		if !c.b.NeverHealthy {
			t.then(pass, func() { t.setTarget(targetHealthy) })
		}
		if c.b.NeverHealthy || pass > grace+checks {
			t.then(grace+checks, func() { t.setTarget(targetUnhealthy) })
		}
		if d := time.Duration(c.b.UnhealthyAfter); d > 0 {
			t.then(d+checks, func() { t.setTarget(targetUnhealthy) })
		}
	}
}

func (t *task) setTarget(h targetHealth) {
	if t.target == targetUnhealthy {
		return // it is being replaced
	}
	t.target = h
	t.svc.poke(time.Second)
}

// settled is how long a task without any health check runs before it counts (API_DeploymentConfiguration,
// minimumHealthyPercent).
const settled = 40 * time.Second

// healthy says that the scheduler counts the task towards the minimum healthy percent.
func (t *task) healthy() bool {
	if t.last != "RUNNING" || t.desired != "RUNNING" {
		return false
	}
	checked := slices.ContainsFunc(t.containers, func(c *container) bool { return c.essential() && c.checked() })
	if checked && t.health() != types.HealthStatusHealthy {
		return false
	}
	if t.svc != nil && len(t.dep.conf.loadBalancers) > 0 {
		return t.target == targetHealthy
	}
	return checked || !t.e.k.Now.Before(t.started.Add(settled))
}

// sick is the reason for which the scheduler replaces a task; "" if there is none.
func (t *task) sick() string {
	if t.health() == types.HealthStatusUnhealthy {
		return "Task failed container health checks"
	}
	if t.target == targetUnhealthy {
		return fmt.Sprintf("Task failed ELB health checks in (target-group %s)", value(t.dep.conf.loadBalancers[0].TargetGroupArn))
	}
	return ""
}

// exited is the end of a container that ends by itself.
func (t *task) exited(c *container) {
	c.last = "STOPPED"
	c.exit = c.b.Exit
	if c.exit == nil {
		c.exit = new(int32(0))
	}
	c.reason = c.b.Reason
	if c.b.OOM {
		c.exit, c.reason = new(int32(137)), "OutOfMemoryError: Container killed due to memory usage"
	}
	if c.b.NoExitCode {
		c.exit = nil
	} else if *c.exit == 0 {
		for k, v := range c.b.Set {
			t.e.behaviors.Facts[k] = v
		}
	}
	t.touch()
	for _, o := range t.containers {
		t.tryStart(o)
	}
	if c.essential() && t.desired == "RUNNING" {
		t.stop(types.TaskStopCodeEssentialContainerExited, "Essential container in task exited")
	}
}
