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
	"github.com/google/go-cmp/cmp"

	"github.com/magecloudkit/pipeline/ci/awssim"
)

// shifting starts a world whose web service is deployed as conf says, and a deployment of it.
func shifting(t *testing.T, conf types.DeploymentConfiguration) (*rig, string) {
	t.Helper()
	top := awssim.DefaultTopology()
	s := &top.Services[0].Value
	s.DeploymentConfiguration = &conf
	s.LoadBalancers[0].AdvancedConfiguration = &types.AdvancedConfiguration{
		AlternateTargetGroupArn: aws.String("arn:b"), ProductionListenerRule: aws.String("arn:p"), TestListenerRule: aws.String("arn:t"), RoleArn: aws.String("arn:r"),
	}
	r := start(t, awssim.Config{Topology: top})
	return r, r.deploy()
}

func (r *rig) deploy() string {
	r.Helper()
	out, err := r.ecs.UpdateService(context.Background(), &ecs.UpdateServiceInput{Cluster: aws.String(cluster), Service: aws.String(web), ForceNewDeployment: true})
	r.must(err)
	return *out.Service.CurrentServiceDeployment
}

func (r *rig) serviceDeployment(arn string) types.ServiceDeployment {
	r.Helper()
	out, err := r.ecs.DescribeServiceDeployments(context.Background(), &ecs.DescribeServiceDeploymentsInput{ServiceDeploymentArns: []string{arn}})
	r.must(err)
	return out.ServiceDeployments[0]
}

// follow looks every second until a deployment is as wanted, for up to an hour, and returns the stages that it saw.
func (r *rig) follow(arn string, wanted func(types.ServiceDeployment) bool) (types.ServiceDeployment, []string) {
	r.Helper()
	var seen []string
	for range 3600 {
		d := r.serviceDeployment(arn)
		if st := string(d.LifecycleStage); st != "" && !slices.Contains(seen, st) {
			seen = append(seen, st)
		}
		if wanted(d) {
			return d, seen
		}
		r.clock.Advance(time.Second)
	}
	d := r.serviceDeployment(arn)
	r.Fatalf("after an hour it is %s at %s, hooks %+v", d.Status, d.LifecycleStage, d.LifecycleHookDetails)
	return d, seen
}

func ended(d types.ServiceDeployment) bool { return d.FinishedAt != nil }

func at(stage string) func(types.ServiceDeployment) bool {
	return func(d types.ServiceDeployment) bool { return string(d.LifecycleStage) == stage }
}

func blueGreen(bake int32, hooks ...types.DeploymentLifecycleHook) types.DeploymentConfiguration {
	return types.DeploymentConfiguration{Strategy: types.DeploymentStrategyBlueGreen, BakeTimeInMinutes: &bake, LifecycleHooks: hooks}
}

func TestBlueGreenGoesThroughItsStages(t *testing.T) {
	r, arn := shifting(t, blueGreen(5))
	d, seen := r.follow(arn, at("BAKE_TIME"))
	if *d.TargetServiceRevision.RequestedProductionTrafficWeight != 100 || *d.SourceServiceRevisions[0].RequestedProductionTrafficWeight != 0 {
		t.Errorf("traffic at BAKE_TIME: %+v", d)
	}
	s := r.service(web)
	if s.RunningCount != 4 || s.Deployments[0].RolloutState != types.DeploymentRolloutStateInProgress || len(s.Deployments) != 2 {
		t.Errorf("at BAKE_TIME: %d running, %+v", s.RunningCount, s.Deployments)
	}
	baking := r.clock.Now()
	d, rest := r.follow(arn, ended)
	if d.Status != types.ServiceDeploymentStatusSuccessful || d.FinishedAt.Sub(baking) < 5*time.Minute {
		t.Errorf("%s after %s", d.Status, d.FinishedAt.Sub(baking))
	}
	want := []string{"PRE_SCALE_UP", "SCALE_UP", "POST_SCALE_UP", "TEST_TRAFFIC_SHIFT", "POST_TEST_TRAFFIC_SHIFT",
		"PRE_PRODUCTION_TRAFFIC_SHIFT", "PRODUCTION_TRAFFIC_SHIFT", "POST_PRODUCTION_TRAFFIC_SHIFT", "BAKE_TIME", "CLEAN_UP"}
	if diff := cmp.Diff(want, append(seen[:len(seen)-1], rest...)); diff != "" {
		t.Error(diff)
	}
	if s := r.service(web); s.RunningCount != 2 || len(s.Deployments) != 1 || s.Deployments[0].RolloutState != types.DeploymentRolloutStateCompleted {
		t.Errorf("in the end: %d running, %+v", s.RunningCount, s.Deployments)
	}
}

func TestTrafficMovesInSteps(t *testing.T) {
	for name, tc := range map[string]struct {
		conf types.DeploymentConfiguration
		want []float64
	}{
		"canary": {types.DeploymentConfiguration{Strategy: types.DeploymentStrategyCanary,
			CanaryConfiguration: &types.CanaryConfiguration{CanaryPercent: aws.Float64(20), CanaryBakeTimeInMinutes: aws.Int32(2)}}, []float64{0, 20, 100}},
		"linear": {types.DeploymentConfiguration{Strategy: types.DeploymentStrategyLinear,
			LinearConfiguration: &types.LinearConfiguration{StepPercent: aws.Float64(40), StepBakeTimeInMinutes: aws.Int32(1)}}, []float64{0, 40, 80, 100}},
		"canary as it is by default": {types.DeploymentConfiguration{Strategy: types.DeploymentStrategyCanary}, []float64{0, 5, 100}},
	} {
		t.Run(name, func(t *testing.T) {
			r, arn := shifting(t, tc.conf)
			var got []float64
			d, _ := r.follow(arn, func(d types.ServiceDeployment) bool {
				if w := *d.TargetServiceRevision.RequestedProductionTrafficWeight; !slices.Contains(got, w) {
					got = append(got, w)
				}
				return ended(d)
			})
			if diff := cmp.Diff(tc.want, got); diff != "" || d.Status != types.ServiceDeploymentStatusSuccessful {
				t.Errorf("%s %s", d.Status, diff)
			}
		})
	}
}

func pause(stage types.DeploymentLifecycleHookStage, timeout *types.DeploymentLifecycleHookTimeoutConfiguration) types.DeploymentLifecycleHook {
	return types.DeploymentLifecycleHook{TargetType: types.DeploymentLifecycleHookTargetTypePause, LifecycleStages: []types.DeploymentLifecycleHookStage{stage}, TimeoutConfiguration: timeout}
}

func lambda(stage types.DeploymentLifecycleHookStage) types.DeploymentLifecycleHook {
	return types.DeploymentLifecycleHook{LifecycleStages: []types.DeploymentLifecycleHookStage{stage},
		HookTargetArn: aws.String("arn:aws:lambda:us-east-1:111111111111:function:check"), RoleArn: aws.String("arn:aws:iam::111111111111:role/hooks")}
}

func paused(d types.ServiceDeployment) bool {
	return len(d.LifecycleHookDetails) == 1 && d.LifecycleHookDetails[0].Status == types.DeploymentLifecycleHookStatusAwaitingAction
}

func TestPauseWaitsForSomebody(t *testing.T) {
	for action, want := range map[types.DeploymentLifecycleHookAction]types.ServiceDeploymentStatus{
		types.DeploymentLifecycleHookActionContinue: types.ServiceDeploymentStatusSuccessful,
		types.DeploymentLifecycleHookActionRollback: types.ServiceDeploymentStatusRollbackSuccessful,
	} {
		t.Run(string(action), func(t *testing.T) {
			r, arn := shifting(t, blueGreen(0, pause(types.DeploymentLifecycleHookStagePostTestTrafficShift, nil)))
			r.follow(arn, paused)
			r.clock.Advance(20 * time.Hour)
			d := r.serviceDeployment(arn)
			if !paused(d) || *d.TargetServiceRevision.RequestedTestTrafficWeight != 100 || *d.TargetServiceRevision.RequestedProductionTrafficWeight != 0 {
				t.Fatalf("after 20 hours: %+v", d)
			}
			in := &ecs.ContinueServiceDeploymentInput{ServiceDeploymentArn: &arn, HookId: aws.String("another"), Action: action}
			if _, err := r.ecs.ContinueServiceDeployment(context.Background(), in); err == nil {
				t.Error("another hook's id is taken")
			}
			in.HookId = d.LifecycleHookDetails[0].HookId
			_, err := r.ecs.ContinueServiceDeployment(context.Background(), in)
			r.must(err)
			if d, _ := r.follow(arn, ended); d.Status != want {
				t.Errorf("%s, want %s", d.Status, want)
			}
			if _, err := r.ecs.ContinueServiceDeployment(context.Background(), in); err == nil {
				t.Error("a pause that is over can be continued")
			}
		})
	}
}

func TestPauseEndsByItself(t *testing.T) {
	for action, want := range map[types.DeploymentLifecycleHookAction]types.ServiceDeploymentStatus{
		"": types.ServiceDeploymentStatusRollbackSuccessful,
		types.DeploymentLifecycleHookActionContinue: types.ServiceDeploymentStatusSuccessful,
	} {
		r, arn := shifting(t, blueGreen(0, pause(types.DeploymentLifecycleHookStagePreScaleUp,
			&types.DeploymentLifecycleHookTimeoutConfiguration{Action: action, TimeoutInMinutes: aws.Int32(10)})))
		if d, _ := r.follow(arn, ended); d.Status != want {
			t.Errorf("timeout action %q: %s, want %s", action, d.Status, want)
		}
	}
}

func TestFunctionDecides(t *testing.T) {
	stage := types.DeploymentLifecycleHookStagePreProductionTrafficShift
	t.Run("it fails", func(t *testing.T) {
		r, arn := shifting(t, blueGreen(0, lambda(stage)))
		r.w.SetFact("lambda:check", "FAILED")
		d, _ := r.follow(arn, ended)
		if d.Status != types.ServiceDeploymentStatusRollbackSuccessful || !strings.Contains(aws.ToString(d.StatusReason), "PRE_PRODUCTION_TRAFFIC_SHIFT") {
			t.Errorf("%s: %s", d.Status, aws.ToString(d.StatusReason))
		}
	})
	t.Run("it takes its time", func(t *testing.T) {
		r, arn := shifting(t, blueGreen(0, lambda(stage)))
		r.w.SetFact("lambda:check", "IN_PROGRESS")
		r.follow(arn, at(string(stage)))
		r.clock.Advance(time.Hour)
		if d := r.serviceDeployment(arn); !at(string(stage))(d) || d.LifecycleHookDetails[0].Status != types.DeploymentLifecycleHookStatusInProgress {
			t.Fatalf("after an hour: %+v", d)
		}
		r.w.SetFact("lambda:check", "SUCCEEDED")
		if d, _ := r.follow(arn, ended); d.Status != types.ServiceDeploymentStatusSuccessful {
			t.Error(d.Status)
		}
	})
}

// The way back while the old tasks still run takes seconds, and no old task is replaced.
func TestBakingIsLeftAtOnce(t *testing.T) {
	alarms := blueGreen(30)
	alarms.Alarms = &types.DeploymentAlarms{Enable: true, Rollback: true, AlarmNames: []string{"errors"}}
	for name, tc := range map[string]struct {
		conf  types.DeploymentConfiguration
		leave func(*rig, string)
	}{
		"by an alarm": {alarms, func(r *rig, _ string) { r.w.SetFact("alarm:errors", "ALARM") }},
		"by request": {blueGreen(30), func(r *rig, arn string) {
			_, err := r.ecs.StopServiceDeployment(context.Background(), &ecs.StopServiceDeploymentInput{ServiceDeploymentArn: &arn, StopType: types.StopServiceDeploymentStopTypeRollback})
			r.must(err)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r, arn := shifting(t, tc.conf)
			var blue []string
			for _, task := range r.tasks(ecs.ListTasksInput{ServiceName: aws.String(web)}) {
				if task.CreatedAt.Before(awssim.Epoch) {
					blue = append(blue, *task.TaskArn)
				}
			}
			r.follow(arn, at("BAKE_TIME"))
			left := r.clock.Now()
			tc.leave(r, arn)
			d, _ := r.follow(arn, ended)
			if d.Status != types.ServiceDeploymentStatusRollbackSuccessful || d.FinishedAt.Sub(left) > time.Minute || *d.TargetServiceRevision.RequestedProductionTrafficWeight != 0 {
				t.Errorf("%s after %s: %+v", d.Status, d.FinishedAt.Sub(left), d.TargetServiceRevision)
			}
			var running []string
			for _, task := range r.tasks(ecs.ListTasksInput{ServiceName: aws.String(web)}) {
				if aws.ToString(task.LastStatus) == "RUNNING" {
					running = append(running, *task.TaskArn)
				}
			}
			if diff := cmp.Diff(blue, running); diff != "" || len(blue) != 2 {
				t.Errorf("the tasks before (-) and after (+):\n%s", diff)
			}
		})
	}
}

func TestNewTasksThatFailLeaveTheOldOnes(t *testing.T) {
	conf := blueGreen(0)
	conf.DeploymentCircuitBreaker = &types.DeploymentCircuitBreaker{Enable: true, Rollback: true}
	r, _ := shifting(t, conf)
	r.must(r.w.Behave(awssim.Behavior{Family: "production-app", Container: "magento", Exit: aws.Int32(1)}))
	arn := r.deploy() // over the first one, whose tasks are not healthy yet
	d, seen := r.follow(arn, ended)
	if d.Status != types.ServiceDeploymentStatusRollbackSuccessful || slices.Contains(seen, "POST_SCALE_UP") {
		t.Errorf("%s by way of %v", d.Status, seen)
	}
	if s := r.service(web); s.RunningCount != 2 {
		t.Errorf("%d run", s.RunningCount)
	}
}

func TestStrategiesThatAreRefused(t *testing.T) {
	r := start(t, awssim.Config{})
	for name, tc := range map[string]struct {
		conf types.DeploymentConfiguration
		want string
	}{
		"blue/green without a bake time": {types.DeploymentConfiguration{Strategy: types.DeploymentStrategyBlueGreen}, "bakeTimeInMinutes must be specified"},
		"pause while traffic shifts":     {blueGreen(1, pause(types.DeploymentLifecycleHookStageProductionTrafficShift, nil)), "PAUSE hooks cannot be configured"},
		"pause of three weeks": {blueGreen(1, pause(types.DeploymentLifecycleHookStagePreScaleUp,
			&types.DeploymentLifecycleHookTimeoutConfiguration{TimeoutInMinutes: aws.Int32(21 * 24 * 60)})), "between 1 and 20160"},
		"function without a role": {blueGreen(1, types.DeploymentLifecycleHook{LifecycleStages: []types.DeploymentLifecycleHookStage{types.DeploymentLifecycleHookStagePreScaleUp},
			HookTargetArn: aws.String("arn:f")}), "hookTargetArn and roleArn"},
		"steps of a strategy that has none": {types.DeploymentConfiguration{Strategy: types.DeploymentStrategyCanary, LinearConfiguration: &types.LinearConfiguration{}}, "only valid for the LINEAR"},
	} {
		_, err := r.ecs.UpdateService(context.Background(), &ecs.UpdateServiceInput{Cluster: aws.String(cluster), Service: aws.String(web), DeploymentConfiguration: &tc.conf})
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
