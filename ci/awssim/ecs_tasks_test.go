package awssim_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"

	"github.com/magecloudkit/pipeline/ci/awssim"
)

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
