package awssim_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/smithy-go"

	"github.com/magecloudkit/pipeline/ci/awssim"
)

const (
	cluster = "production-app"
	web     = "production-app"
)

// rig is a world with a client that waits on its clock.
type rig struct {
	testing.TB
	w     *awssim.World
	clock *awssim.VirtualClock
	ecs   *ecs.Client
}

func start(t testing.TB, cfg awssim.Config) *rig {
	t.Helper()
	clock := &awssim.VirtualClock{}
	cfg.Clock = clock
	w, err := awssim.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &rig{t, w, clock, ecs.NewFromConfig(w.ClientConfig())}
}

func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func (r *rig) service(name string) types.Service {
	r.Helper()
	out, err := awssim.Do[ecs.DescribeServicesOutput](r.w, "ecs:DescribeServices", &ecs.DescribeServicesInput{Cluster: aws.String(cluster), Services: []string{name}})
	r.must(err)
	if len(out.Services) != 1 {
		r.Fatalf("service %s: %+v", name, out.Failures)
	}
	return out.Services[0]
}

// tasks returns the cluster's tasks that are meant to run and those that were stopped.
func (r *rig) tasks(in ecs.ListTasksInput) []types.Task {
	r.Helper()
	var all []types.Task
	in.Cluster = aws.String(cluster)
	for _, status := range []types.DesiredStatus{types.DesiredStatusRunning, types.DesiredStatusStopped} {
		in.DesiredStatus, in.NextToken = status, nil
		for {
			list, err := awssim.Do[ecs.ListTasksOutput](r.w, "ecs:ListTasks", &in)
			r.must(err)
			if len(list.TaskArns) > 0 {
				out, err := awssim.Do[ecs.DescribeTasksOutput](r.w, "ecs:DescribeTasks", &ecs.DescribeTasksInput{Cluster: aws.String(cluster), Tasks: list.TaskArns})
				r.must(err)
				all = append(all, out.Tasks...)
			}
			if in.NextToken = list.NextToken; in.NextToken == nil {
				break
			}
		}
	}
	return all
}

// until advances the clock second by second until what it waits for is so.
func (r *rig) until(what string, most time.Duration, so func() bool) time.Duration {
	r.Helper()
	for d := time.Duration(0); d <= most; d += time.Second {
		if so() {
			return d
		}
		r.clock.Advance(time.Second)
	}
	r.Fatalf("%s: not within %s; events: %s", what, most, strings.Join(r.events(web), "\n"))
	return 0
}

func (r *rig) events(service string) []string {
	var all []string
	for _, e := range r.service(service).Events {
		all = append(all, *e.Message)
	}
	return all
}

// revise registers a new revision of a family and returns its ARN.
func (r *rig) revise(family string, edit func(*ecs.RegisterTaskDefinitionInput)) string {
	r.Helper()
	ctx := context.Background()
	out, err := r.ecs.DescribeTaskDefinition(ctx, &ecs.DescribeTaskDefinitionInput{TaskDefinition: &family})
	r.must(err)
	d := out.TaskDefinition
	in := &ecs.RegisterTaskDefinitionInput{
		Family: d.Family, ContainerDefinitions: d.ContainerDefinitions, Cpu: d.Cpu, Memory: d.Memory, NetworkMode: d.NetworkMode,
		RequiresCompatibilities: d.RequiresCompatibilities, ExecutionRoleArn: d.ExecutionRoleArn, TaskRoleArn: d.TaskRoleArn,
		RuntimePlatform: d.RuntimePlatform, Volumes: d.Volumes, PlacementConstraints: d.PlacementConstraints,
	}
	edit(in)
	reg, err := r.ecs.RegisterTaskDefinition(ctx, in)
	r.must(err)
	return *reg.TaskDefinition.TaskDefinitionArn
}

// to moves the store's images to a build.
func to(build string) func(*ecs.RegisterTaskDefinitionInput) {
	return func(in *ecs.RegisterTaskDefinitionInput) {
		for i := range in.ContainerDefinitions {
			c := &in.ContainerDefinitions[i]
			if strings.Contains(*c.Image, "/magecloudkit/") {
				c.Image = aws.String((*c.Image)[:strings.LastIndex(*c.Image, ":")+1] + build)
			}
		}
	}
}

// roll updates the web service to a new revision with the images of build 299, and returns the deployment's id.
func (r *rig) roll(edit ...func(*ecs.UpdateServiceInput)) string {
	r.Helper()
	in := &ecs.UpdateServiceInput{Cluster: aws.String(cluster), Service: aws.String(web), TaskDefinition: aws.String(r.revise(web, to("299")))}
	for _, e := range edit {
		e(in)
	}
	out, err := r.ecs.UpdateService(context.Background(), in)
	r.must(err)
	p := out.Service.Deployments[0]
	if *p.Status != "PRIMARY" || p.RolloutState != types.DeploymentRolloutStateInProgress {
		r.Fatalf("after UpdateService the first deployment is %s, %s", *p.Status, p.RolloutState)
	}
	return *p.Id
}

func (r *rig) deployment(id string) *types.Deployment {
	for _, d := range r.service(web).Deployments {
		if *d.Id == id {
			return &d
		}
	}
	return nil
}

func withBreaker(enable, rollback bool) func(*ecs.UpdateServiceInput) {
	return func(in *ecs.UpdateServiceInput) {
		in.DeploymentConfiguration = &types.DeploymentConfiguration{
			DeploymentCircuitBreaker: &types.DeploymentCircuitBreaker{Enable: enable, Rollback: rollback},
		}
	}
}

func TestDefaultTopologyIsSteady(t *testing.T) {
	r := start(t, awssim.Config{})
	for name, n := range map[string]int32{web: 2, "production-consumers": 1} {
		s := r.service(name)
		if s.DesiredCount != n || s.RunningCount != n || s.PendingCount != 0 || len(s.Deployments) != 1 {
			t.Errorf("%s: desired %d, running %d, pending %d, %d deployments", name, s.DesiredCount, s.RunningCount, s.PendingCount, len(s.Deployments))
		}
		if d := s.Deployments[0]; d.RolloutState != types.DeploymentRolloutStateCompleted {
			t.Errorf("%s: %s", name, d.RolloutState)
		}
	}
}

// A roll never has fewer healthy tasks than minimumHealthyPercent nor more than maximumPercent allow, every task goes
// through its states in order, and the end is what a client waits for.
func TestRollingUpdate(t *testing.T) {
	for _, tc := range []struct{ desired, least, most int32 }{{2, 100, 200}, {10, 50, 150}, {4, 50, 100}, {1, 0, 100}, {3, 100, 134}} {
		t.Run(fmt.Sprintf("%d tasks %d-%d percent", tc.desired, tc.least, tc.most), func(t *testing.T) {
			r := start(t, awssim.Config{})
			ctx := context.Background()
			_, err := r.ecs.UpdateService(ctx, &ecs.UpdateServiceInput{Cluster: aws.String(cluster), Service: aws.String(web), DesiredCount: &tc.desired,
				DeploymentConfiguration: &types.DeploymentConfiguration{MinimumHealthyPercent: &tc.least, MaximumPercent: &tc.most}})
			r.must(err)
			r.until("scaling", 5*time.Minute, func() bool { return r.service(web).RunningCount == tc.desired })
			r.clock.Advance(5 * time.Minute)

			id := r.roll()
			seen := map[string][]string{} // task → its states
			took := r.until("the roll", 20*time.Minute, func() bool {
				s := r.service(web)
				healthy, holding := int32(0), int32(0)
				for _, task := range r.tasks(ecs.ListTasksInput{ServiceName: aws.String(web)}) {
					if states := seen[*task.TaskArn]; len(states) == 0 || states[len(states)-1] != *task.LastStatus {
						seen[*task.TaskArn] = append(states, *task.LastStatus)
					}
					switch *task.LastStatus {
					case "RUNNING":
						holding++
						if *task.DesiredStatus == "RUNNING" && task.HealthStatus == types.HealthStatusHealthy {
							healthy++
						}
					case "PROVISIONING", "PENDING", "ACTIVATING":
						holding++
					}
				}
				if 100*healthy < tc.desired*tc.least {
					t.Errorf("%d of %d are healthy, %d %% ought to be", healthy, tc.desired, tc.least)
				}
				if 100*holding > tc.desired*tc.most {
					t.Errorf("%d tasks hold resources, of %d; at most %d %% may", holding, tc.desired, tc.most)
				}
				return *s.Deployments[0].Id == id && s.Deployments[0].RolloutState == types.DeploymentRolloutStateCompleted
			})
			if took < 30*time.Second {
				t.Errorf("the roll took %s", took)
			}
			s := r.service(web)
			if len(s.Deployments) != 1 || s.RunningCount != tc.desired {
				t.Errorf("at the end: %d deployments, %d running", len(s.Deployments), s.RunningCount)
			}
			ups := []string{"PROVISIONING", "PENDING", "ACTIVATING", "RUNNING", "DEACTIVATING", "STOPPING", "DEPROVISIONING", "STOPPED"}
			for arn, states := range seen {
				at := -1
				for _, st := range states {
					i := slices.Index(ups, st)
					if i <= at {
						t.Errorf("%s went through %v", arn, states)
					}
					at = i
				}
			}
			if ev := r.events(web); !strings.HasSuffix(ev[0], "has reached a steady state.") || !strings.Contains(ev[1], id+") deployment completed.") {
				t.Errorf("the last events are %q", ev[:2])
			}
		})
	}
}

func TestNewPercentsOrCountAloneMakeNoDeployment(t *testing.T) {
	r := start(t, awssim.Config{})
	before := *r.service(web).Deployments[0].Id
	_, err := r.ecs.UpdateService(context.Background(), &ecs.UpdateServiceInput{Cluster: aws.String(cluster), Service: aws.String(web),
		DesiredCount: aws.Int32(3), TaskDefinition: aws.String(web), DeploymentConfiguration: &types.DeploymentConfiguration{MaximumPercent: aws.Int32(150)}})
	r.must(err)
	r.until("scaling", 5*time.Minute, func() bool { return r.service(web).RunningCount == 3 })
	if s := r.service(web); *s.Deployments[0].Id != before || len(s.Deployments) != 1 || *s.DeploymentConfiguration.MinimumHealthyPercent != 100 {
		t.Errorf("%+v", s.Deployments)
	}
}

// What can go wrong with the tasks of a roll: what a stopped one says, and that the circuit breaker trips and rolls back.
func TestFailingRolls(t *testing.T) {
	exit := func(n int32) *int32 { return &n }
	second := func(n int) awssim.Duration { return awssim.Duration(time.Duration(n) * time.Second) }
	for name, tc := range map[string]struct {
		behave awssim.Behavior
		edit   func(*ecs.RegisterTaskDefinitionInput)
		code   types.TaskStopCode
		reason string // of the task
		detail string // "container: exit code: reason"
		event  string
	}{
		"crash": {
			behave: awssim.Behavior{Container: "magento", ExitAfter: second(4), Exit: exit(1)},
			code:   types.TaskStopCodeEssentialContainerExited, reason: "Essential container in task exited", detail: "magento: 1: ",
		},
		"sidecar crash": {
			behave: awssim.Behavior{Container: "nginx", ExitAfter: second(4), Exit: exit(2)},
			code:   types.TaskStopCodeEssentialContainerExited, reason: "Essential container in task exited", detail: "nginx: 2: ",
		},
		"out of memory": {
			behave: awssim.Behavior{Container: "magento", ExitAfter: second(5), OOM: true},
			code:   types.TaskStopCodeEssentialContainerExited, reason: "Essential container in task exited",
			detail: "magento: 137: OutOfMemoryError: Container killed due to memory usage",
		},
		"never healthy": {
			behave: awssim.Behavior{Container: "magento", NeverHealthy: true},
			code:   types.TaskStopCodeServiceSchedulerInitiated, reason: "Task failed container health checks", detail: "magento: 0: ",
			event: "failed container health checks.",
		},
		"target never healthy": {
			behave: awssim.Behavior{Container: "nginx", NeverHealthy: true},
			edit: func(in *ecs.RegisterTaskDefinitionInput) {
				for i := range in.ContainerDefinitions {
					in.ContainerDefinitions[i].HealthCheck = nil
				}
			},
			code: types.TaskStopCodeServiceSchedulerInitiated, reason: "Task failed ELB health checks in (target-group arn:aws:elasticloadbalancing:", detail: "nginx: 0: ",
			event: "is unhealthy in (target-group ",
		},
		"image missing": {
			edit: to("999"), code: types.TaskStopCodeTaskFailedToStart, reason: "CannotPullContainerError: ",
			detail: "nginx: <nil>: CannotPullContainerError: ",
		},
		"secret missing": {
			edit: func(in *ecs.RegisterTaskDefinitionInput) {
				in.ContainerDefinitions[1].Secrets[0].ValueFrom = aws.String("arn:aws:secretsmanager:us-east-1:111111111111:secret:gone")
			},
			code: types.TaskStopCodeTaskFailedToStart, reason: "ResourceInitializationError: ", detail: "magento: <nil>: ",
		},
		"log group missing": {
			edit: func(in *ecs.RegisterTaskDefinitionInput) {
				in.ContainerDefinitions[1].LogConfiguration.Options["awslogs-group"] = "/gone"
			},
			code: types.TaskStopCodeTaskFailedToStart, reason: "ResourceInitializationError: failed to validate logger args: ", detail: "magento: <nil>: ",
		},
		"role missing": {
			edit: func(in *ecs.RegisterTaskDefinitionInput) {
				in.TaskRoleArn = aws.String("arn:aws:iam::111111111111:role/gone")
			},
			event: "ECS was unable to assume the role 'arn:aws:iam::111111111111:role/gone' that was provided for this task.",
		},
		"no capacity": {
			behave: awssim.Behavior{NoCapacity: true},
			event:  "was unable to place a task. Reason: Capacity is unavailable at this time.",
		},
		"container can not start": {
			behave: awssim.Behavior{Container: "magento", StartError: "CannotStartContainerError: exec: \"php-fpm\": executable file not found in $PATH"},
			code:   types.TaskStopCodeTaskFailedToStart, reason: "Task failed to start", detail: "magento: <nil>: CannotStartContainerError: ",
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t, awssim.Config{})
			old := *r.service(web).Deployments[0].Id
			tc.behave.Revision = 2
			r.must(r.w.Behave(tc.behave))
			edit := to("299")
			if tc.edit != nil {
				edit = tc.edit
			}
			arn := r.revise(web, edit)
			out, err := r.ecs.UpdateService(context.Background(), &ecs.UpdateServiceInput{Cluster: aws.String(cluster), Service: aws.String(web), TaskDefinition: &arn})
			r.must(err)
			id := *out.Service.Deployments[0].Id

			r.until("the circuit breaker", 30*time.Minute, func() bool {
				if s := r.service(web); s.RunningCount < 2 {
					t.Fatalf("%d tasks run", s.RunningCount)
				}
				d := r.deployment(id)
				return d == nil || d.RolloutState == types.DeploymentRolloutStateFailed
			})
			back := ""
			r.until("the roll back", 10*time.Minute, func() bool {
				s := r.service(web)
				p := s.Deployments[0]
				if back = *p.Id; p.RolloutState == types.DeploymentRolloutStateInProgress && back != id &&
					*p.RolloutStateReason != "ECS deployment circuit breaker: rolling back to deploymentId "+back+"." {
					t.Errorf("during the roll back: %s", *p.RolloutStateReason)
				}
				return len(s.Deployments) == 1 && p.RolloutState == types.DeploymentRolloutStateCompleted
			})
			if s := r.service(web); back != old || !strings.HasSuffix(*s.TaskDefinition, ":1") || s.RunningCount != 2 {
				t.Errorf("after the roll back: %s, %s, %d running", back, *s.TaskDefinition, s.RunningCount)
			}
			events := strings.Join(r.events(web), "\n")
			for _, want := range []string{"(deployment " + id + ") deployment failed: tasks failed to start.", "rolling back to deployment " + back + ".", tc.event} {
				if !strings.Contains(events, want) {
					t.Errorf("no event says %q:\n%s", want, events)
				}
			}
			stopped := r.tasks(ecs.ListTasksInput{StartedBy: &id})
			if tc.code == "" {
				if len(stopped) > 0 {
					t.Errorf("%d tasks were started", len(stopped))
				}
				return
			}
			if len(stopped) < 3 {
				t.Fatalf("%d tasks were started", len(stopped))
			}
			task := stopped[len(stopped)-1]
			if task.StopCode != tc.code || !strings.HasPrefix(*task.StoppedReason, tc.reason) || task.StoppingAt == nil {
				t.Errorf("a task stopped with %s, %q", task.StopCode, *task.StoppedReason)
			}
			var details []string
			for _, c := range task.Containers {
				code := "<nil>"
				if c.ExitCode != nil {
					code = fmt.Sprint(*c.ExitCode)
				}
				details = append(details, fmt.Sprintf("%s: %s: %s", *c.Name, code, aws.ToString(c.Reason)))
			}
			if !slices.ContainsFunc(details, func(d string) bool { return strings.HasPrefix(d, tc.detail) }) {
				t.Errorf("its containers: %q", details)
			}
		})
	}
}

func crash(revision int) awssim.Behavior {
	return awssim.Behavior{Revision: revision, Container: "magento", ExitAfter: awssim.Duration(3 * time.Second), Exit: aws.Int32(1)}
}

func TestCircuitBreakerWithoutRollback(t *testing.T) {
	r := start(t, awssim.Config{})
	r.must(r.w.Behave(crash(2)))
	id := r.roll(withBreaker(true, false))
	r.until("the circuit breaker", 30*time.Minute, func() bool { return r.deployment(id).RolloutState == types.DeploymentRolloutStateFailed })
	started := len(r.tasks(ecs.ListTasksInput{StartedBy: &id}))
	r.clock.Advance(40 * time.Minute)
	d := r.deployment(id)
	if *d.Status != "PRIMARY" || d.RolloutState != types.DeploymentRolloutStateFailed || *d.RolloutStateReason != "ECS deployment circuit breaker: tasks failed to start." {
		t.Errorf("later: %s, %s, %s", *d.Status, d.RolloutState, *d.RolloutStateReason)
	}
	if now := len(r.tasks(ecs.ListTasksInput{StartedBy: &id})); now != started {
		t.Errorf("a FAILED deployment started %d more tasks", now-started)
	}
	if s := r.service(web); s.RunningCount != 2 || len(s.Deployments) != 2 {
		t.Errorf("later: %d run, %d deployments", s.RunningCount, len(s.Deployments))
	}
}

func TestCrashLoopWithoutCircuitBreakerGoesOn(t *testing.T) {
	r := start(t, awssim.Config{})
	r.must(r.w.Behave(crash(2)))
	id := r.roll(withBreaker(false, false))
	r.clock.Advance(20 * time.Minute)
	d := r.deployment(id)
	if d.RolloutState != types.DeploymentRolloutStateInProgress || d.FailedTasks < 10 {
		t.Errorf("%s, %d failed", d.RolloutState, d.FailedTasks)
	}
	if !slices.ContainsFunc(r.events(web), func(e string) bool { return strings.Contains(e, "is unable to consistently start tasks successfully.") }) {
		t.Error("no event says so")
	}
}

func TestRollbackThatFails(t *testing.T) {
	r := start(t, awssim.Config{})
	id := r.roll(withBreaker(true, true))
	// The new revision crashes, and so does the old one from now on: tasks that run are all that is left of it.
	r.must(r.w.Behave(crash(0)))
	for _, task := range r.tasks(ecs.ListTasksInput{ServiceName: aws.String(web)}) {
		_, err := r.ecs.StopTask(context.Background(), &ecs.StopTaskInput{Cluster: aws.String(cluster), Task: task.TaskArn})
		r.must(err)
	}
	list, err := r.ecs.ListServiceDeployments(context.Background(), &ecs.ListServiceDeploymentsInput{Cluster: aws.String(cluster), Service: aws.String(web)})
	r.must(err)
	release := *list.ServiceDeployments[0].ServiceDeploymentArn
	r.until("the end", time.Hour, func() bool { return r.release(release).Status == types.ServiceDeploymentStatusRollbackFailed })
	if d := r.deployment(id); d != nil && *d.Status == "PRIMARY" {
		t.Error("the failed deployment is still PRIMARY")
	}
}

func (r *rig) release(arn string) types.ServiceDeployment {
	r.Helper()
	out, err := awssim.Do[ecs.DescribeServiceDeploymentsOutput](r.w, "ecs:DescribeServiceDeployments", &ecs.DescribeServiceDeploymentsInput{ServiceDeploymentArns: []string{arn}})
	r.must(err)
	return out.ServiceDeployments[0]
}

func (r *rig) latestRelease() types.ServiceDeployment {
	r.Helper()
	list, err := r.ecs.ListServiceDeployments(context.Background(), &ecs.ListServiceDeploymentsInput{Cluster: aws.String(cluster), Service: aws.String(web)})
	r.must(err)
	return r.release(*list.ServiceDeployments[0].ServiceDeploymentArn)
}

func TestServiceDeployments(t *testing.T) {
	t.Run("successful", func(t *testing.T) {
		r := start(t, awssim.Config{})
		r.roll()
		if d := r.latestRelease(); d.Status != types.ServiceDeploymentStatusPending {
			t.Errorf("at once: %s", d.Status)
		}
		r.until("it starts", time.Minute, func() bool { return r.latestRelease().Status == types.ServiceDeploymentStatusInProgress })
		r.until("it ends", 10*time.Minute, func() bool { return r.latestRelease().Status == types.ServiceDeploymentStatusSuccessful })
		d := r.latestRelease()
		if d.FinishedAt == nil || d.TargetServiceRevision.RunningTaskCount != 2 || len(d.SourceServiceRevisions) != 1 {
			t.Errorf("%+v", d)
		}
		out, err := r.ecs.DescribeServiceRevisions(context.Background(), &ecs.DescribeServiceRevisionsInput{ServiceRevisionArns: []string{*d.TargetServiceRevision.Arn}})
		r.must(err)
		if rev := out.ServiceRevisions[0]; !strings.HasSuffix(*rev.TaskDefinition, ":2") || len(rev.ContainerImages) != 3 {
			t.Errorf("%+v", rev)
		}
	})
	t.Run("circuit breaker", func(t *testing.T) {
		r := start(t, awssim.Config{})
		r.must(r.w.Behave(crash(2)))
		r.roll()
		r.until("it ends", 30*time.Minute, func() bool { return r.latestRelease().Status == types.ServiceDeploymentStatusRollbackSuccessful })
		d := r.latestRelease()
		if d.Rollback == nil || d.DeploymentCircuitBreaker.Status != types.ServiceDeploymentRollbackMonitorsStatusTriggered || d.DeploymentCircuitBreaker.FailureCount < 3 {
			t.Errorf("%+v", d)
		}
	})
	t.Run("stopped with a roll back, without a circuit breaker", func(t *testing.T) {
		r := start(t, awssim.Config{})
		old := *r.service(web).Deployments[0].Id
		r.must(r.w.Behave(awssim.Behavior{Revision: 2, Container: "magento", NeverHealthy: true}))
		r.roll(withBreaker(false, false))
		r.clock.Advance(40 * time.Second)
		arn := r.latestRelease().ServiceDeploymentArn
		for range 2 { // a second request changes nothing
			_, err := r.ecs.StopServiceDeployment(context.Background(), &ecs.StopServiceDeploymentInput{ServiceDeploymentArn: arn, StopType: types.StopServiceDeploymentStopTypeRollback})
			r.must(err)
		}
		var went []types.ServiceDeploymentStatus
		r.until("it ends", 10*time.Minute, func() bool {
			now := r.release(*arn).Status
			if len(went) == 0 || went[len(went)-1] != now {
				went = append(went, now)
			}
			return now == types.ServiceDeploymentStatusRollbackSuccessful
		})
		if len(went) != 3 || went[0] != types.ServiceDeploymentStatusRollbackRequested || went[1] != types.ServiceDeploymentStatusRollbackInProgress {
			t.Errorf("it went through %v", went)
		}
		if s := r.service(web); *s.Deployments[0].Id != old || len(s.Deployments) != 1 || !strings.HasSuffix(*s.TaskDefinition, ":1") || s.RunningCount != 2 {
			t.Errorf("%s, %d running", *s.TaskDefinition, s.RunningCount)
		}
		_, err := r.ecs.StopServiceDeployment(context.Background(), &ecs.StopServiceDeploymentInput{ServiceDeploymentArn: arn})
		wantCode(t, err, "ConflictException")
	})
	t.Run("superseded", func(t *testing.T) {
		r := start(t, awssim.Config{})
		first := r.roll()
		r.clock.Advance(10 * time.Second)
		arn := *r.latestRelease().ServiceDeploymentArn
		second := r.roll()
		if d := r.release(arn); d.Status != types.ServiceDeploymentStatusStopped {
			t.Errorf("the first one is %s", d.Status)
		}
		if d := r.deployment(first); *d.Status != "ACTIVE" {
			t.Errorf("its deployment is %s", *d.Status)
		}
		r.until("the second", 10*time.Minute, func() bool { return r.deployment(second).RolloutState == types.DeploymentRolloutStateCompleted })
		if d := r.deployment(first); d != nil {
			t.Errorf("the first deployment is still there: %+v", d)
		}
	})
}

func wantCode(t *testing.T, err error, code string) {
	t.Helper()
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != code {
		t.Errorf("the error is %v, want %s", err, code)
	}
}

func TestHealthCheckThatPassesLateIsNoFailure(t *testing.T) {
	r := start(t, awssim.Config{})
	r.must(r.w.Behave(awssim.Behavior{Revision: 2, Container: "magento", HealthyAfter: awssim.Duration(75 * time.Second)})) // start period 60 s, three checks of 10 s
	id := r.roll()
	took := r.until("the roll", 10*time.Minute, func() bool { return r.deployment(id).RolloutState == types.DeploymentRolloutStateCompleted })
	if took < 80*time.Second || r.deployment(id).FailedTasks != 0 {
		t.Errorf("%s, %d failed", took, r.deployment(id).FailedTasks)
	}
}

func TestFailedTasksResetWhenOneIsHealthy(t *testing.T) {
	r := start(t, awssim.Config{})
	b := crash(2)
	b.Times = 2
	r.must(r.w.Behave(b))
	id := r.roll()
	most := int32(0)
	r.until("the roll", 10*time.Minute, func() bool {
		d := r.deployment(id)
		most = max(most, d.FailedTasks)
		return d.RolloutState == types.DeploymentRolloutStateCompleted
	})
	if most != 2 || r.deployment(id).FailedTasks != 0 {
		t.Errorf("at most %d failed, %d at the end", most, r.deployment(id).FailedTasks)
	}
}

func TestNonessentialContainerMayEnd(t *testing.T) {
	r := start(t, awssim.Config{})
	r.must(r.w.Behave(awssim.Behavior{Revision: 2, Container: "datadog-agent", ExitAfter: awssim.Duration(5 * time.Second), Exit: aws.Int32(1)}))
	id := r.roll()
	r.until("the roll", 10*time.Minute, func() bool { return r.deployment(id).RolloutState == types.DeploymentRolloutStateCompleted })
	r.clock.Advance(10 * time.Minute)
	if s := r.service(web); s.RunningCount != 2 {
		t.Errorf("%d run", s.RunningCount)
	}
}

// ec2 is a topology with container instances and a service on a fixed host port.
func ec2(instances int) *awssim.Topology {
	top := awssim.DefaultTopology()
	top.Clusters[0].Instances = []awssim.InstanceSpec{{Count: instances, CPU: 2048, Memory: 4096}}
	top.TaskDefinitions = append(top.TaskDefinitions, awssim.TaskDefinitionSpec{Value: ecs.RegisterTaskDefinitionInput{
		Family: aws.String("proxy"), ContainerDefinitions: []types.ContainerDefinition{{
			Name: aws.String("proxy"), Image: aws.String("nginx:1"), Memory: aws.Int32(512), Cpu: 256,
			PortMappings: []types.PortMapping{{ContainerPort: aws.Int32(80), HostPort: aws.Int32(80)}},
		}},
	}})
	top.Services = append(top.Services, awssim.ServiceSpec{Value: ecs.CreateServiceInput{
		Cluster: aws.String(cluster), ServiceName: aws.String("proxy"), TaskDefinition: aws.String("proxy"), DesiredCount: aws.Int32(1), LaunchType: types.LaunchTypeEc2,
	}})
	return top
}

func TestPortConflict(t *testing.T) {
	r := start(t, awssim.Config{Topology: ec2(1)})
	if s := r.service("proxy"); s.RunningCount != 1 {
		t.Fatalf("%d run", s.RunningCount)
	}
	_, err := r.ecs.UpdateService(context.Background(), &ecs.UpdateServiceInput{Cluster: aws.String(cluster), Service: aws.String("proxy"), ForceNewDeployment: true})
	r.must(err)
	r.clock.Advance(2 * time.Minute)
	events := strings.Join(r.events("proxy"), "\n")
	if want := "was unable to place a task because no container instance met all of its requirements. The closest matching (container-instance "; !strings.Contains(events, want) || !strings.Contains(events, "is already using a port required by your task.") {
		t.Errorf("events:\n%s", events)
	}
	if s := r.service("proxy"); s.RunningCount != 1 || len(s.Deployments) != 2 {
		t.Errorf("%d run, %d deployments", s.RunningCount, len(s.Deployments))
	}
	// With room to stop the old task first it goes through.
	_, err = r.ecs.UpdateService(context.Background(), &ecs.UpdateServiceInput{Cluster: aws.String(cluster), Service: aws.String("proxy"),
		DeploymentConfiguration: &types.DeploymentConfiguration{MinimumHealthyPercent: aws.Int32(0), MaximumPercent: aws.Int32(100)}})
	r.must(err)
	r.until("the roll", 30*time.Minute, func() bool {
		s := r.service("proxy")
		return len(s.Deployments) == 1 && s.Deployments[0].RolloutState == types.DeploymentRolloutStateCompleted
	})
}

func TestRunTaskWithoutRoom(t *testing.T) {
	r := start(t, awssim.Config{Topology: ec2(1)})
	out, err := r.ecs.RunTask(context.Background(), &ecs.RunTaskInput{Cluster: aws.String(cluster), TaskDefinition: aws.String("proxy"), Count: aws.Int32(2),
		Overrides: &types.TaskOverride{Memory: aws.String("8192")}})
	r.must(err)
	if len(out.Tasks) != 0 || len(out.Failures) != 2 || *out.Failures[0].Reason != "RESOURCE:MEMORY" || out.Failures[0].Arn == nil {
		t.Errorf("%d tasks, failures %+v", len(out.Tasks), out.Failures)
	}
}

func standalone(command ...string) *ecs.RunTaskInput {
	return &ecs.RunTaskInput{
		Cluster: aws.String(cluster), TaskDefinition: aws.String(web), LaunchType: types.LaunchTypeFargate, StartedBy: aws.String("test"),
		NetworkConfiguration: &types.NetworkConfiguration{AwsvpcConfiguration: &types.AwsVpcConfiguration{Subnets: []string{"subnet-1"}}},
		Overrides:            &types.TaskOverride{ContainerOverrides: []types.ContainerOverride{{Name: aws.String("magento"), Command: command}}},
	}
}

// oneOff runs a task to its end and returns it.
func (r *rig) oneOff(in *ecs.RunTaskInput) types.Task {
	r.Helper()
	out, err := r.ecs.RunTask(context.Background(), in)
	r.must(err)
	if len(out.Tasks) != 1 {
		r.Fatalf("failures: %+v", out.Failures)
	}
	var task types.Task
	r.until("the task's end", 30*time.Minute, func() bool {
		d, err := r.ecs.DescribeTasks(context.Background(), &ecs.DescribeTasksInput{Cluster: aws.String(cluster), Tasks: []string{*out.Tasks[0].TaskArn}})
		r.must(err)
		task = d.Tasks[0]
		return *task.LastStatus == "STOPPED"
	})
	return task
}

func exitOf(task types.Task, name string) *int32 {
	for _, c := range task.Containers {
		if *c.Name == name {
			return c.ExitCode
		}
	}
	return nil
}

func TestOneOffTasks(t *testing.T) {
	r := start(t, awssim.Config{})
	if code := exitOf(r.oneOff(standalone("bin/magento", "setup:db:status")), "magento"); *code != 0 {
		t.Errorf("db:status: %d", *code)
	}
	r.w.SetFact("db", "old")
	if code := exitOf(r.oneOff(standalone("bin/magento", "setup:db:status")), "magento"); *code != 2 {
		t.Errorf("db:status of an old database: %d", *code)
	}
	if code := exitOf(r.oneOff(standalone("bin/magento", "setup:upgrade", "--keep-generated")), "magento"); *code != 0 {
		t.Errorf("setup:upgrade: %d", *code)
	}
	if code := exitOf(r.oneOff(standalone("bin/magento", "setup:db:status")), "magento"); *code != 0 {
		t.Errorf("db:status after the upgrade: %d", *code)
	}

	r.must(r.w.Behave(awssim.Behavior{Standalone: true, Command: "setup:upgrade", NoExitCode: true, Reason: "lost"}))
	if code := exitOf(r.oneOff(standalone("bin/magento", "setup:upgrade")), "magento"); code != nil {
		t.Errorf("a missing exit code is %d", *code)
	}
	r.must(r.w.Behave(awssim.Behavior{Standalone: true, Command: "setup:upgrade"})) // neither ExitAfter nor Exit: it hangs
	out, err := r.ecs.RunTask(context.Background(), standalone("bin/magento", "setup:upgrade"))
	r.must(err)
	r.clock.Advance(3 * time.Hour)
	stop, err := r.ecs.StopTask(context.Background(), &ecs.StopTaskInput{Cluster: aws.String(cluster), Task: out.Tasks[0].TaskArn, Reason: aws.String("timed out")})
	r.must(err)
	if *stop.Task.LastStatus != "DEACTIVATING" || stop.Task.StopCode != types.TaskStopCodeUserInitiated || *stop.Task.StoppedReason != "timed out" {
		t.Errorf("%s, %s, %s", *stop.Task.LastStatus, stop.Task.StopCode, *stop.Task.StoppedReason)
	}
	r.must(r.w.Behave(awssim.Behavior{Standalone: true, Command: "setup:upgrade", NoCapacity: true}))
	out, err = r.ecs.RunTask(context.Background(), standalone("bin/magento", "setup:upgrade"))
	r.must(err)
	if len(out.Tasks) != 0 || len(out.Failures) != 1 {
		t.Errorf("%+v", out)
	}
}

func TestRunTaskClientToken(t *testing.T) {
	r := start(t, awssim.Config{})
	in := standalone("true")
	in.ClientToken = aws.String("release-301-upgrade")
	first, err := r.ecs.RunTask(context.Background(), in)
	r.must(err)
	again, err := r.ecs.RunTask(context.Background(), in)
	r.must(err)
	if *first.Tasks[0].TaskArn != *again.Tasks[0].TaskArn {
		t.Error("the same token started two tasks")
	}
	in.Overrides.ContainerOverrides[0].Command = []string{"false"}
	_, err = r.ecs.RunTask(context.Background(), in)
	wantCode(t, err, "ConflictException")
}

func TestDeregisteredRevision(t *testing.T) {
	r := start(t, awssim.Config{})
	ctx := context.Background()
	_, err := r.ecs.DeregisterTaskDefinition(ctx, &ecs.DeregisterTaskDefinitionInput{TaskDefinition: aws.String(web + ":1")})
	r.must(err)
	_, err = r.ecs.UpdateService(ctx, &ecs.UpdateServiceInput{Cluster: aws.String(cluster), Service: aws.String("production-consumers"), TaskDefinition: aws.String(web + ":1")})
	wantCode(t, err, "ClientException")
	in := standalone("true")
	in.TaskDefinition = aws.String(web + ":1")
	_, err = r.ecs.RunTask(ctx, in)
	wantCode(t, err, "ClientException")
	// The service goes on with it.
	_, err = r.ecs.UpdateService(ctx, &ecs.UpdateServiceInput{Cluster: aws.String(cluster), Service: aws.String(web), DesiredCount: aws.Int32(3)})
	r.must(err)
	r.until("scaling", 5*time.Minute, func() bool { return r.service(web).RunningCount == 3 })
	d, err := r.ecs.DescribeTaskDefinition(ctx, &ecs.DescribeTaskDefinitionInput{TaskDefinition: aws.String(web + ":1")})
	r.must(err)
	if d.TaskDefinition.Status != types.TaskDefinitionStatusInactive {
		t.Errorf("%s", d.TaskDefinition.Status)
	}
	_, err = r.ecs.DescribeTaskDefinition(ctx, &ecs.DescribeTaskDefinitionInput{TaskDefinition: aws.String(web)})
	wantCode(t, err, "ClientException")
	if arn := r.reregister(); !strings.HasSuffix(arn, ":2") {
		t.Errorf("the next revision is %s", arn)
	}
}

func (r *rig) reregister() string {
	out, err := r.ecs.RegisterTaskDefinition(context.Background(), &ecs.RegisterTaskDefinitionInput{Family: aws.String(web),
		ContainerDefinitions: []types.ContainerDefinition{{Name: aws.String("web"), Image: aws.String("web:1"), Memory: aws.Int32(128)}}})
	r.must(err)
	return *out.TaskDefinition.TaskDefinitionArn
}

func TestDeleteService(t *testing.T) {
	r := start(t, awssim.Config{})
	ctx := context.Background()
	_, err := r.ecs.DeleteService(ctx, &ecs.DeleteServiceInput{Cluster: aws.String(cluster), Service: aws.String(web)})
	wantCode(t, err, "InvalidParameterException")
	out, err := r.ecs.DeleteService(ctx, &ecs.DeleteServiceInput{Cluster: aws.String(cluster), Service: aws.String(web), Force: aws.Bool(true)})
	r.must(err)
	if *out.Service.Status != "DRAINING" {
		t.Errorf("%s", *out.Service.Status)
	}
	_, err = r.ecs.UpdateService(ctx, &ecs.UpdateServiceInput{Cluster: aws.String(cluster), Service: aws.String(web), DesiredCount: aws.Int32(1)})
	wantCode(t, err, "ServiceNotActiveException")
	r.until("its end", 5*time.Minute, func() bool { return *r.service(web).Status == "INACTIVE" })
	list, err := r.ecs.ListServices(ctx, &ecs.ListServicesInput{Cluster: aws.String(cluster)})
	r.must(err)
	if len(list.ServiceArns) != 1 {
		t.Errorf("%v", list.ServiceArns)
	}
}

func TestScaledToZeroAndBack(t *testing.T) {
	r := start(t, awssim.Config{})
	for _, n := range []int32{0, 2} {
		_, err := r.ecs.UpdateService(context.Background(), &ecs.UpdateServiceInput{Cluster: aws.String(cluster), Service: aws.String(web), DesiredCount: &n})
		r.must(err)
		r.until(fmt.Sprintf("%d tasks", n), 5*time.Minute, func() bool {
			s := r.service(web)
			return s.RunningCount == n && strings.HasSuffix(*s.Events[0].Message, "has reached a steady state.")
		})
	}
	// A roll of a service with no task is done at once.
	_, err := r.ecs.UpdateService(context.Background(), &ecs.UpdateServiceInput{Cluster: aws.String(cluster), Service: aws.String(web), DesiredCount: aws.Int32(0)})
	r.must(err)
	r.clock.Advance(5 * time.Minute)
	id := r.roll()
	r.until("the roll", time.Minute, func() bool { return r.deployment(id).RolloutState == types.DeploymentRolloutStateCompleted })
}

func TestRulesStartTasks(t *testing.T) {
	r := start(t, awssim.Config{})
	ctx := context.Background()
	bus := eventbridge.NewFromConfig(r.w.ClientConfig())
	cron := func() int {
		return len(r.tasks(ecs.ListTasksInput{Family: aws.String("production-cron")}))
	}
	r.clock.Advance(10 * time.Minute)
	if n := cron(); n != 10 {
		t.Errorf("%d tasks in ten minutes", n)
	}
	_, err := bus.DisableRule(ctx, &eventbridge.DisableRuleInput{Name: aws.String("production-cron")})
	r.must(err)
	r.clock.Advance(10 * time.Minute)
	if n := cron(); n != 10 {
		t.Errorf("%d tasks although the rule is disabled", n)
	}
	_, err = bus.EnableRule(ctx, &eventbridge.EnableRuleInput{Name: aws.String("production-cron")})
	r.must(err)
	_, err = r.ecs.DeregisterTaskDefinition(ctx, &ecs.DeregisterTaskDefinitionInput{TaskDefinition: aws.String("production-cron:1")})
	r.must(err)
	r.clock.Advance(10 * time.Minute)
	if n := cron(); n != 10 {
		t.Errorf("%d tasks although the revision is inactive", n)
	}
	for _, task := range r.tasks(ecs.ListTasksInput{Family: aws.String("production-cron")}) {
		if *task.StartedBy != "events-rule/production-cron" || *exitOf(task, "magento") != 0 || *task.Overrides.ContainerOverrides[0].Name != "magento" {
			t.Errorf("%s: %+v", *task.StartedBy, task.Containers)
		}
	}
}

// A tag that nobody has heard of is not there in other registries either.
func TestSidecarWithAnotherTag(t *testing.T) {
	r := start(t, awssim.Config{})
	arn := r.revise(web, func(in *ecs.RegisterTaskDefinitionInput) {
		in.ContainerDefinitions[2].Image = aws.String("public.ecr.aws/datadog/agent:299")
	})
	out, err := r.ecs.UpdateService(context.Background(), &ecs.UpdateServiceInput{Cluster: aws.String(cluster), Service: aws.String(web), TaskDefinition: &arn})
	r.must(err)
	id := *out.Service.Deployments[0].Id
	r.until("the circuit breaker", 30*time.Minute, func() bool {
		d := r.deployment(id)
		return d == nil || d.RolloutState == types.DeploymentRolloutStateFailed
	})
}

func TestCircuitBreakerThreshold(t *testing.T) {
	for _, tc := range []struct {
		desired int32
		config  *types.ThresholdConfiguration
		want    int32
	}{
		{1, nil, 3}, {6, nil, 3}, {7, nil, 4}, {25, nil, 13}, {800, nil, 200},
		{10, &types.ThresholdConfiguration{Type: types.ThresholdTypeCount, Value: 1}, 1},
		{10, &types.ThresholdConfiguration{Type: types.ThresholdTypeUnboundedPercent, Value: 10}, 1},
		{800, &types.ThresholdConfiguration{Type: types.ThresholdTypeUnboundedPercent, Value: 50}, 400},
		{800, &types.ThresholdConfiguration{Type: types.ThresholdTypeBoundedPercent, Value: 10}, 80},
	} {
		r := start(t, awssim.Config{})
		r.roll(withBreaker(true, true), func(in *ecs.UpdateServiceInput) {
			in.DesiredCount = &tc.desired
			in.DeploymentConfiguration.DeploymentCircuitBreaker.ThresholdConfiguration = tc.config
		})
		if got := r.latestRelease().DeploymentCircuitBreaker.Threshold; got != tc.want {
			t.Errorf("%d tasks, %+v: %d, want %d", tc.desired, tc.config, got, tc.want)
		}
	}
}

func TestAbortedServiceDeployment(t *testing.T) {
	r := start(t, awssim.Config{})
	r.must(r.w.Behave(awssim.Behavior{Revision: 2, Container: "magento", NeverHealthy: true}))
	id := r.roll(withBreaker(false, false))
	r.clock.Advance(30 * time.Second)
	arn := r.latestRelease().ServiceDeploymentArn
	_, err := r.ecs.StopServiceDeployment(context.Background(), &ecs.StopServiceDeploymentInput{ServiceDeploymentArn: arn, StopType: types.StopServiceDeploymentStopTypeAbort})
	r.must(err)
	r.until("the stop", time.Minute, func() bool { return r.release(*arn).Status == types.ServiceDeploymentStatusStopped })
	if d := r.deployment(id); *d.Status != "PRIMARY" || d.RolloutState != types.DeploymentRolloutStateFailed {
		t.Errorf("%s, %s", *d.Status, d.RolloutState)
	}
	if s := r.service(web); s.RunningCount < 2 {
		t.Errorf("%d run", s.RunningCount)
	}
}

// The first deployment of a service has nothing to return to.
func TestFirstDeploymentThatFails(t *testing.T) {
	r := start(t, awssim.Config{})
	ctx := context.Background()
	r.must(r.w.Behave(crash(0)))
	s := r.service("production-consumers")
	_, err := r.ecs.CreateService(ctx, &ecs.CreateServiceInput{Cluster: aws.String(cluster), ServiceName: aws.String("new"), TaskDefinition: s.TaskDefinition,
		DesiredCount: aws.Int32(1), LaunchType: types.LaunchTypeFargate, NetworkConfiguration: s.NetworkConfiguration,
		DeploymentConfiguration: &types.DeploymentConfiguration{DeploymentCircuitBreaker: &types.DeploymentCircuitBreaker{Enable: true, Rollback: true}}})
	r.must(err)
	list, err := r.ecs.ListServiceDeployments(ctx, &ecs.ListServiceDeploymentsInput{Cluster: aws.String(cluster), Service: aws.String("new")})
	r.must(err)
	arn := list.ServiceDeployments[0].ServiceDeploymentArn
	_, err = r.ecs.StopServiceDeployment(ctx, &ecs.StopServiceDeploymentInput{ServiceDeploymentArn: arn, StopType: types.StopServiceDeploymentStopTypeRollback})
	wantCode(t, err, "ConflictException")
	r.until("the circuit breaker", 30*time.Minute, func() bool {
		return r.service("new").Deployments[0].RolloutState == types.DeploymentRolloutStateFailed
	})
	if d := r.release(*arn); d.Status != types.ServiceDeploymentStatusStopped || d.Rollback != nil {
		t.Errorf("%s, %+v", d.Status, d.Rollback)
	}
}

func TestPercentsThatAllowNoMove(t *testing.T) {
	r := start(t, awssim.Config{})
	id := r.roll(func(in *ecs.UpdateServiceInput) {
		in.DeploymentConfiguration = &types.DeploymentConfiguration{MinimumHealthyPercent: aws.Int32(100), MaximumPercent: aws.Int32(100)}
	})
	r.clock.Advance(10 * time.Minute)
	if d := r.deployment(id); d.RolloutState != types.DeploymentRolloutStateInProgress || d.RunningCount != 0 {
		t.Errorf("%s, %d run", d.RolloutState, d.RunningCount)
	}
	if e := r.events(web)[0]; !strings.Contains(e, "was unable to stop or start tasks during a deployment because of the service deployment configuration.") {
		t.Errorf("the last event is %q", e)
	}
}

// rolloutState is left out where ECS does not roll or a Classic Load Balancer is in front.
func TestServicesWithoutRolloutState(t *testing.T) {
	r := start(t, awssim.Config{})
	ctx := context.Background()
	s := r.service(web)
	for name, edit := range map[string]func(*ecs.CreateServiceInput){
		"classic": func(in *ecs.CreateServiceInput) {
			in.LoadBalancers = []types.LoadBalancer{{LoadBalancerName: aws.String("classic"), ContainerName: aws.String("nginx"), ContainerPort: aws.Int32(8080)}}
		},
		"codedeploy": func(in *ecs.CreateServiceInput) {
			in.DeploymentController = &types.DeploymentController{Type: types.DeploymentControllerTypeCodeDeploy}
		},
	} {
		in := &ecs.CreateServiceInput{Cluster: aws.String(cluster), ServiceName: &name, TaskDefinition: s.TaskDefinition, DesiredCount: aws.Int32(1),
			LaunchType: types.LaunchTypeFargate, NetworkConfiguration: s.NetworkConfiguration}
		edit(in)
		_, err := r.ecs.CreateService(ctx, in)
		r.must(err)
		r.until(name, 5*time.Minute, func() bool { return r.service(name).RunningCount == 1 })
		if d := r.service(name).Deployments[0]; d.RolloutState != "" || d.RolloutStateReason != nil {
			t.Errorf("%s: %s", name, d.RolloutState)
		}
	}
	_, err := r.ecs.UpdateService(ctx, &ecs.UpdateServiceInput{Cluster: aws.String(cluster), Service: aws.String("codedeploy"), TaskDefinition: s.TaskDefinition})
	wantCode(t, err, "InvalidParameterException")
}

func TestContainersStartInOrder(t *testing.T) {
	r := start(t, awssim.Config{})
	depend := func(condition types.ContainerCondition) func(*ecs.RegisterTaskDefinitionInput) {
		return func(in *ecs.RegisterTaskDefinitionInput) {
			in.ContainerDefinitions[0].DependsOn = []types.ContainerDependency{{ContainerName: aws.String("magento"), Condition: condition}}
			if condition == types.ContainerConditionSuccess {
				in.ContainerDefinitions[1].Essential = aws.Bool(false)
			}
		}
	}
	run := func(arn string) string {
		in := standalone()
		in.TaskDefinition, in.Overrides = &arn, nil
		out, err := r.ecs.RunTask(context.Background(), in)
		r.must(err)
		return *out.Tasks[0].TaskArn
	}
	look := func(arn string) (types.Task, map[string]string) {
		out, err := r.ecs.DescribeTasks(context.Background(), &ecs.DescribeTasksInput{Cluster: aws.String(cluster), Tasks: []string{arn}})
		r.must(err)
		states := map[string]string{}
		for _, c := range out.Tasks[0].Containers {
			states[*c.Name] = *c.LastStatus
		}
		return out.Tasks[0], states
	}

	task := run(r.revise(web, depend(types.ContainerConditionHealthy)))
	r.until("magento runs", time.Minute, func() bool { _, c := look(task); return c["magento"] == "RUNNING" })
	if task, c := look(task); c["nginx"] != "PENDING" || *task.LastStatus != "PENDING" {
		t.Errorf("before magento is healthy nginx is %s and the task %s", c["nginx"], *task.LastStatus)
	}
	r.until("nginx runs", time.Minute, func() bool { task, c := look(task); return c["nginx"] == "RUNNING" && *task.LastStatus == "RUNNING" })

	arn := r.revise(web, depend(types.ContainerConditionSuccess))
	r.must(r.w.Behave(awssim.Behavior{Revision: 3, Container: "magento", ExitAfter: awssim.Duration(20 * time.Second), Exit: aws.Int32(0)}))
	task = run(arn)
	r.until("nginx runs", 2*time.Minute, func() bool { _, c := look(task); return c["nginx"] == "RUNNING" && c["magento"] == "STOPPED" })

	r.must(r.w.Behave(crash(3)))
	task = run(arn)
	r.until("the end", 2*time.Minute, func() bool { task, _ := look(task); return *task.LastStatus == "STOPPED" })
	if task, _ := look(task); task.StopCode != types.TaskStopCodeTaskFailedToStart || exitOf(task, "nginx") != nil || *exitOf(task, "magento") != 1 {
		t.Errorf("%s: %+v", task.StopCode, task.Containers)
	}
}

// A service that is steady replaces what dies, and no deployment comes of it.
func TestSteadyServiceReplacesTasks(t *testing.T) {
	r := start(t, awssim.Config{})
	id := *r.service(web).Deployments[0].Id
	r.must(r.w.Behave(awssim.Behavior{Container: "magento", UnhealthyAfter: awssim.Duration(2 * time.Minute), Times: 1}))
	tasks := r.tasks(ecs.ListTasksInput{ServiceName: aws.String(web)})
	_, err := r.ecs.StopTask(context.Background(), &ecs.StopTaskInput{Cluster: aws.String(cluster), Task: tasks[0].TaskArn})
	r.must(err)
	r.clock.Advance(10 * time.Minute)
	s := r.service(web)
	if s.RunningCount != 2 || len(s.Deployments) != 1 || *s.Deployments[0].Id != id || s.Deployments[0].RolloutState != types.DeploymentRolloutStateCompleted {
		t.Errorf("%d run; %+v", s.RunningCount, s.Deployments)
	}
	var reasons []string
	for _, task := range r.tasks(ecs.ListTasksInput{ServiceName: aws.String(web)}) {
		if task.StoppedReason != nil {
			reasons = append(reasons, *task.StoppedReason)
		}
	}
	slices.Sort(reasons)
	if want := []string{"Task failed container health checks", "Task stopped by user"}; !slices.Equal(reasons, want) {
		t.Errorf("tasks stopped because of %q", reasons)
	}
}

func TestDaemonService(t *testing.T) {
	r := start(t, awssim.Config{Topology: ec2(3)})
	_, err := r.ecs.CreateService(context.Background(), &ecs.CreateServiceInput{Cluster: aws.String(cluster), ServiceName: aws.String("daemon"),
		TaskDefinition: aws.String("proxy"), SchedulingStrategy: types.SchedulingStrategyDaemon, LaunchType: types.LaunchTypeEc2})
	r.must(err)
	r.clock.Advance(5 * time.Minute)
	if s := r.service("daemon"); s.DesiredCount != 3 || s.RunningCount != 2 { // one instance's port is taken
		t.Errorf("desired %d, running %d", s.DesiredCount, s.RunningCount)
	}
}
