package rehearse

import (
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/magecloudkit/pipeline/ci/awssim"
	"github.com/magecloudkit/pipeline/ci/release"
)

// strategies are ECS's own ways to deploy beside ROLLING, as the web service has them here: with two minutes of bake, an
// alarm, and a function that decides before production traffic moves.
var strategies = map[types.DeploymentStrategy]types.DeploymentConfiguration{
	types.DeploymentStrategyBlueGreen: {},
	types.DeploymentStrategyLinear: {LinearConfiguration: &types.LinearConfiguration{
		StepPercent: aws.Float64(50), StepBakeTimeInMinutes: aws.Int32(1)}},
	types.DeploymentStrategyCanary: {CanaryConfiguration: &types.CanaryConfiguration{
		CanaryPercent: aws.Float64(10), CanaryBakeTimeInMinutes: aws.Int32(1)}},
}

// strategy has a service deployed by a strategy, with hooks.
func strategy(name types.DeploymentStrategy, of string, hooks ...types.DeploymentLifecycleHook) world {
	return func(t *awssim.Topology) {
		conf := strategies[name]
		conf.Strategy, conf.BakeTimeInMinutes, conf.LifecycleHooks = name, aws.Int32(2), hooks
		conf.DeploymentCircuitBreaker = &types.DeploymentCircuitBreaker{Enable: true, Rollback: true}
		conf.Alarms = &types.DeploymentAlarms{Enable: true, Rollback: true, AlarmNames: []string{"errors"}}
		service(t, of).DeploymentConfiguration = &conf
	}
}

func function(stage types.DeploymentLifecycleHookStage) types.DeploymentLifecycleHook {
	return types.DeploymentLifecycleHook{
		HookTargetArn: aws.String("arn:aws:lambda:us-east-1:111111111111:function:check"), RoleArn: aws.String("arn:aws:iam::111111111111:role/hooks"),
		LifecycleStages: []types.DeploymentLifecycleHookStage{stage},
	}
}

// pause stops a deployment at a stage for so many minutes, and then goes on or back.
func pause(stage types.DeploymentLifecycleHookStage, minutes int32, then types.DeploymentLifecycleHookAction) types.DeploymentLifecycleHook {
	return types.DeploymentLifecycleHook{
		TargetType: types.DeploymentLifecycleHookTargetTypePause, LifecycleStages: []types.DeploymentLifecycleHookStage{stage},
		TimeoutConfiguration: &types.DeploymentLifecycleHookTimeoutConfiguration{Action: then, TimeoutInMinutes: &minutes},
	}
}

// byStrategy are the scenarios of services that ECS deploys by another strategy than ROLLING.
func byStrategy() []Scenario {
	var table []Scenario
	const shift, test = types.DeploymentLifecycleHookStagePreProductionTrafficShift, types.DeploymentLifecycleHookStagePostTestTrafficShift
	long := within(20 * minute)
	for _, name := range []types.DeploymentStrategy{types.DeploymentStrategyBlueGreen, types.DeploymentStrategyLinear, types.DeploymentStrategyCanary} {
		add := func(s Scenario) {
			s.Name = string(name) + ": " + s.Name
			if s.Request == nil {
				s.Request = long
			}
			table = append(table, s)
		}
		add(Scenario{Name: "healthy", Want: released, World: strategy(name, Web), Also: checks(calledTimes("ecs:UpdateService", 2))})
		add(Scenario{Name: "healthy, with a migration", Want: released, World: strategy(name, Web), Facts: databaseIsOld})
		add(Scenario{Name: "healthy, under read lag", Want: released, World: strategy(name, Web), ReadLag: 30 * second})
		add(Scenario{Name: "of the consumers too", Want: released, World: worlds(strategy(name, Web), strategy(name, Consumers))})
		add(Scenario{Name: "the new tasks crash", Want: rolledBack, World: strategy(name, Web), Behave: crashLoop})
		add(Scenario{Name: "a function lets it pass", Want: released, World: strategy(name, Web, function(shift))})
		add(Scenario{Name: "a function takes three minutes", Want: released, World: strategy(name, Web, function(shift)), Facts: facts{"lambda:check": "IN_PROGRESS"},
			Events: events{{Upon: "ecs:UpdateService", Delay: d(3 * minute), SetFacts: facts{"lambda:check": "SUCCEEDED"}}}})
		add(Scenario{Name: "a function fails", Want: rolledBack, World: strategy(name, Web, function(shift)), Facts: facts{"lambda:check": "FAILED"}})
		add(Scenario{Name: "an alarm goes off", Want: rolledBack, World: strategy(name, Web), Events: events{{Upon: "ecs:UpdateService", Delay: d(2 * minute), SetFacts: facts{"alarm:errors": "ALARM"}}}})
		add(Scenario{Name: "a pause that goes on by itself", Want: released, World: strategy(name, Web, pause(test, 3, types.DeploymentLifecycleHookActionContinue))})
		add(Scenario{Name: "a pause that goes back by itself", Want: rolledBack, World: strategy(name, Web, pause(test, 3, types.DeploymentLifecycleHookActionRollback))})
		add(Scenario{Name: "a pause longer than the time", Want: timedOut, Also: checks(ServicesRunBefore, said("POST_TEST_TRAFFIC_SHIFT, with 0% of production traffic; it is paused until somebody continues it")), World: strategy(name, Web, pause(test, 60, types.DeploymentLifecycleHookActionContinue))})
		add(Scenario{Name: "a pause longer than the time, and left", Want: timedOut, World: strategy(name, Web, pause(test, 60, types.DeploymentLifecycleHookActionContinue)), Request: both(noRollback, long)})
		until := both(long, func(r *release.Request) { r.WaitUntil = string(test) })
		held := strategy(name, Web, pause(test, 60, types.DeploymentLifecycleHookActionContinue))
		goOn := func(r *release.Request) { r.WaitUntil, r.Build = "", "" }
		add(Scenario{Name: "waits until the pause", Want: stands, World: held, Request: until, Also: checks(noCall("ecs:ContinueServiceDeployment"), said("POST_TEST_TRAFFIC_SHIFT"))})
		add(Scenario{Name: "waits until the pause, and continues", Want: released, World: held, Request: until, Again: true, Before: stands, Next: (*release.Releaser).Continue, NextRequest: goOn, Own: true,
			Also: checks(runsAgain(Build), CronAsBefore, NoTaskLeft, cronRuns(Build), calledTimes("ecs:ContinueServiceDeployment", 1), calledTimes("ecs:UpdateService", 2))})
		add(Scenario{Name: "waits until the pause, and the same again once somebody has continued", Want: released, World: held, Request: until, Again: true, Before: stands, Later: 120 * minute, NextRequest: func(r *release.Request) { r.WaitUntil = "" }})
		add(Scenario{Name: "waits until the pause, and is returned", Want: returned, World: held, Request: until, Again: true, Before: stands, Next: (*release.Releaser).Rollback, NextRequest: goOn, Own: true, Also: checks(runsAgain(Running), CronAsBefore)})
		add(Scenario{Name: "waits until the pause, continues, and an alarm goes off", Want: rolledBack, World: held, Request: until, Again: true, Before: stands, Next: (*release.Releaser).Continue, NextRequest: goOn,
			Events: events{{Upon: "ecs:ContinueServiceDeployment", Delay: d(10 * second), SetFacts: facts{"alarm:errors": "ALARM"}}}, Also: checks(said("runs production-consumers:1 again"))})
		add(Scenario{Name: "waits until the bake time", Want: stands, World: strategy(name, Web), Request: both(long, func(r *release.Request) { r.WaitUntil = "BAKE_TIME" }), Also: checks(said("BAKE_TIME, with 100%"))})
		add(Scenario{Name: "waits until a pause that it does not have", Want: refused, World: strategy(name, Web), Request: until, Also: checks(NothingChanged, said("has no lifecycle hook that pauses its deployment at POST_TEST_TRAFFIC_SHIFT"))})
		add(Scenario{Name: "continues, and nothing is paused", Want: refused, World: strategy(name, Web), Verb: (*release.Releaser).Continue, Request: both(long, goOn), Also: checks(NothingChanged)})
		add(Scenario{Name: "interrupted in the roll, and run again", Want: released, World: strategy(name, Web), SignalOn: "ecs:DescribeServices", SignalAt: 8, Again: true})
		add(Scenario{Name: "killed in the roll, and run again", Want: released, World: strategy(name, Web), SignalOn: "ecs:DescribeServices", SignalAt: 8, Crash: true, Again: true})
		add(Scenario{Name: "where it stands may not be read", Want: released, World: strategy(name, Web), Faults: faults{always("ecs:DescribeServiceDeployments", awssim.Denied)}, Also: checks(askedOnce("ecs:DescribeServiceDeployments"))})
		for _, s := range probedByStrategy(name) {
			add(s)
		}
		add(Scenario{Name: "throttled all along", Want: released, World: strategy(name, Web), Faults: faults{{Op: "ecs:Describe*", Kind: awssim.Throttle, Every: 3}}})
	}
	return table
}

func worlds(a, b world) world {
	return func(t *awssim.Topology) {
		a(t)
		b(t)
	}
}

// askedOnce wants a call that is denied not to be made again.
func askedOnce(op string) Check {
	return func(s *Stage, _ *release.Result) error {
		n := 0
		for _, c := range s.World.Calls() {
			if c.Op == op {
				n++
			}
		}
		if n != 1 {
			return fmt.Errorf("%s was asked for %d times, not once", op, n)
		}
		return nil
	}
}
