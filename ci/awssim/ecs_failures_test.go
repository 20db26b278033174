package awssim_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/magecloudkit/pipeline/ci/awssim"
)

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
