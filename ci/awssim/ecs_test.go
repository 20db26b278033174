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
