package ecs

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/magecloudkit/pipeline/ci/awssim/internal/wire"
)

// shift is how a service deployment of BLUE_GREEN, LINEAR or CANARY moves traffic from one service revision to the next
// ("Amazon ECS blue/green deployments", "… linear deployments", "… canary deployments"). All new tasks are started beside
// the old ones, traffic moves in steps, both revisions run for the bake time, and the old tasks go last. A service's first
// deployment has nothing to shift from, and rolls.
type shift struct {
	s     *svc
	d     *deployment // the green one
	steps []step
	next  int

	production, test float64 // percent of traffic that the new revision has
	hasTest          bool    // there is a test listener
	scaling          bool    // new tasks may be started
	cleaning         bool    // old tasks may be stopped
	hooks            []*hookRun
}

// step is a stage that a shift goes through.
type step struct {
	stage types.ServiceDeploymentLifecycleStage
	to    float64       // of production traffic, at PRODUCTION_TRAFFIC_SHIFT
	wait  time.Duration // before the next step
}

// stagePause is how long a stage takes in which there is nothing to wait for.
const stagePause = 3 * time.Second

// preProduction is a stage that the SDK's enumeration lacks and its text has.
const preProduction = types.ServiceDeploymentLifecycleStage(types.DeploymentLifecycleHookStagePreProductionTrafficShift)

// newShift plans the shift of a deployment that has just been made; nil where the service rolls.
func newShift(s *svc, d *deployment) *shift {
	r := d.release
	if r.rollout.Strategy == types.DeploymentStrategyRolling || len(r.source) == 0 {
		return nil
	}
	x := &shift{s: s, d: d, hasTest: slices.ContainsFunc(d.conf.loadBalancers, func(lb types.LoadBalancer) bool {
		return lb.AdvancedConfiguration != nil && lb.AdvancedConfiguration.TestListenerRule != nil
	})}
	add := func(stages ...types.ServiceDeploymentLifecycleStage) {
		for _, st := range stages {
			x.steps = append(x.steps, step{stage: st, wait: stagePause})
		}
	}
	if len(r.source) > 1 {
		add(types.ServiceDeploymentLifecycleStageReconcileService)
	}
	add(types.ServiceDeploymentLifecycleStagePreScaleUp, types.ServiceDeploymentLifecycleStageScaleUp, types.ServiceDeploymentLifecycleStagePostScaleUp,
		types.ServiceDeploymentLifecycleStageTestTrafficShift, types.ServiceDeploymentLifecycleStagePostTestTrafficShift)
	for _, to := range trafficSteps(r.rollout) {
		add(preProduction)
		x.steps = append(x.steps, to)
	}
	add(types.ServiceDeploymentLifecycleStagePostProductionTrafficShift)
	x.steps = append(x.steps,
		step{stage: types.ServiceDeploymentLifecycleStageBakeTime, wait: minutes(r.rollout.BakeTimeInMinutes, 0)},
		step{stage: types.ServiceDeploymentLifecycleStageCleanUp})
	return x
}

// trafficSteps are the steps in which production traffic moves (API_LinearConfiguration, API_CanaryConfiguration).
func trafficSteps(rollout types.DeploymentConfiguration) []step {
	const stage = types.ServiceDeploymentLifecycleStageProductionTrafficShift
	last := step{stage: stage, to: 100, wait: stagePause}
	switch rollout.Strategy {
	case types.DeploymentStrategyCanary:
		c := value(rollout.CanaryConfiguration)
		return []step{{stage, orDefault(c.CanaryPercent, 5), minutes(c.CanaryBakeTimeInMinutes, 10)}, last}
	case types.DeploymentStrategyLinear:
		l := value(rollout.LinearConfiguration)
		percent := orDefault(l.StepPercent, 10)
		var steps []step
		for to := percent; to < 100; to += percent {
			steps = append(steps, step{stage, to, minutes(l.StepBakeTimeInMinutes, 6)})
		}
		return append(steps, last)
	}
	return []step{last}
}

func orDefault[T any](p *T, std T) T {
	if p == nil {
		return std
	}
	return *p
}

func minutes(p *int32, std int32) time.Duration {
	return time.Duration(orDefault(p, std)) * time.Minute
}

// going says that nobody and nothing has ended the shift.
func (x *shift) going() bool {
	r := x.d.release
	return r.status == types.ServiceDeploymentStatusInProgress && x.s.primary() == x.d
}

// advance goes on with the next step.
func (x *shift) advance() {
	if !x.going() || x.next == len(x.steps) {
		return
	}
	st := x.steps[x.next]
	x.next++
	r := x.d.release
	r.stage, r.updated, x.hooks = st.stage, x.s.e.k.Now, nil
	switch st.stage {
	case types.ServiceDeploymentLifecycleStageScaleUp:
		x.scaling = true
		x.s.poke(0) // scaledUp goes on from here
		return
	case types.ServiceDeploymentLifecycleStageTestTrafficShift:
		x.test = 100
	case types.ServiceDeploymentLifecycleStageProductionTrafficShift:
		x.production = st.to
	case types.ServiceDeploymentLifecycleStageCleanUp:
		x.cleaning = true
		x.s.poke(0) // finish ends it
		return
	}
	x.s.e.touch(x.s)
	x.runHooks(func() { x.s.e.k.After(st.wait, x.advance) })
}

// scaledUp is told of how many of the new tasks are healthy.
func (x *shift) scaledUp(healthy, want int32) {
	if x.d.release.stage == types.ServiceDeploymentLifecycleStageScaleUp && healthy >= want {
		x.advance()
	}
}

// holds says that the old tasks stay.
func (x *shift) holds() bool { return x != nil && !x.cleaning }

// abandon ends a deployment that has failed, with a return to the one before it if there is to be one.
func (s *svc) abandon(d *deployment, rollback bool, who, why string) {
	d.state, d.reason = types.DeploymentRolloutStateFailed, who+": "+why
	s.event("(deployment %s) deployment failed: %s.", d.id, why)
	if rollback && s.rollBack(d, who, "Service deployment rolled back because "+why+".") {
		return
	}
	if d.release.ongoing() {
		d.release.end(types.ServiceDeploymentStatusStopped, "Service deployment stopped because "+why+".")
	}
}

// watchAlarms looks at the CloudWatch alarms of a deployment every ten seconds ("How CloudWatch alarms detect Amazon ECS
// deployment failures"). An alarm is in ALARM while the fact alarm:NAME is ALARM.
func (s *svc) watchAlarms(d *deployment) {
	r := d.release
	a := r.rollout.Alarms
	if a == nil || !a.Enable {
		return
	}
	s.e.k.After(10*time.Second, func() {
		if r.status != types.ServiceDeploymentStatusInProgress && r.status != types.ServiceDeploymentStatusPending || s.primary() != d {
			return
		}
		for _, name := range a.AlarmNames {
			if s.e.behaviors.Facts["alarm:"+name] == "ALARM" {
				r.alarms = append(r.alarms, name)
			}
		}
		if len(r.alarms) > 0 {
			s.abandon(d, a.Rollback, "ECS deployment alarm", "alarm detected: "+strings.Join(r.alarms, ","))
			return
		}
		s.watchAlarms(d)
	})
}

// traffic fills in how traffic is divided between the revisions of a service deployment.
func (x *shift) traffic(v *types.ServiceDeployment) {
	set := func(sum *types.ServiceRevisionSummary, production, test float64) {
		sum.RequestedProductionTrafficWeight = &production
		if x.hasTest {
			sum.RequestedTestTrafficWeight = &test
		}
	}
	production, test := x.production, x.test
	if v.Rollback != nil {
		production, test = 0, 0
	}
	set(v.TargetServiceRevision, production, test)
	for i := range v.SourceServiceRevisions { // the first is what traffic comes from
		set(&v.SourceServiceRevisions[i], 0, 0)
		if i == 0 {
			set(&v.SourceServiceRevisions[i], 100-production, 100-test)
		}
	}
	for _, h := range x.hooks {
		v.LifecycleHookDetails = append(v.LifecycleHookDetails, h.detail)
	}
}

// checkStrategy refuses what the API reference says of strategies and hooks.
func checkStrategy(in *types.DeploymentConfiguration) error { //nolint:cyclop // a rule a case
	switch {
	case in.EarlySuccessCriteria != nil && in.EarlySuccessCriteria.Enable:
		return unsimulated("deploymentConfiguration.earlySuccessCriteria")
	case in.Strategy != "" && !slices.Contains(in.Strategy.Values(), in.Strategy):
		return wire.Errf("InvalidParameterException", "The deployment strategy %s is not valid.", in.Strategy)
	case in.Strategy == types.DeploymentStrategyBlueGreen && in.BakeTimeInMinutes == nil:
		return wire.Errf("InvalidParameterException", "bakeTimeInMinutes must be specified for the BLUE_GREEN deployment strategy.")
	case in.CanaryConfiguration != nil && in.Strategy != types.DeploymentStrategyCanary:
		return wire.Errf("InvalidParameterException", "canaryConfiguration is only valid for the CANARY deployment strategy.")
	case in.LinearConfiguration != nil && in.Strategy != types.DeploymentStrategyLinear:
		return wire.Errf("InvalidParameterException", "linearConfiguration is only valid for the LINEAR deployment strategy.")
	case value(in.BakeTimeInMinutes) < 0 || value(in.BakeTimeInMinutes) > 1440:
		return wire.Errf("InvalidParameterException", "bakeTimeInMinutes must be between 0 and 1440.")
	}
	if err := checkSteps(in); err != nil {
		return err
	}
	for _, h := range in.LifecycleHooks {
		if err := checkHook(h); err != nil {
			return err
		}
	}
	return nil
}

func checkSteps(in *types.DeploymentConfiguration) error {
	if p := orDefault(value(in.CanaryConfiguration).CanaryPercent, 5); p < 0.1 || p > 100 {
		return wire.Errf("InvalidParameterException", "canaryPercent must be between 0.1 and 100.0.")
	}
	if p := orDefault(value(in.LinearConfiguration).StepPercent, 10); p < 3 || p > 100 {
		return wire.Errf("InvalidParameterException", "stepPercent must be between 3.0 and 100.0.")
	}
	return nil
}

func checkHook(h types.DeploymentLifecycleHook) error {
	pause := h.TargetType == types.DeploymentLifecycleHookTargetTypePause
	switch {
	case len(h.LifecycleStages) == 0:
		return wire.Errf("InvalidParameterException", "lifecycleStages must be specified for a lifecycle hook.")
	case !pause && (value(h.HookTargetArn) == "" || value(h.RoleArn) == ""):
		return wire.Errf("InvalidParameterException", "hookTargetArn and roleArn must be specified for an AWS_LAMBDA lifecycle hook.")
	case pause && (slices.Contains(h.LifecycleStages, types.DeploymentLifecycleHookStageTestTrafficShift) ||
		slices.Contains(h.LifecycleStages, types.DeploymentLifecycleHookStageProductionTrafficShift)):
		return wire.Errf("InvalidParameterException", "PAUSE hooks cannot be configured at the TEST_TRAFFIC_SHIFT and PRODUCTION_TRAFFIC_SHIFT stages.")
	}
	if t := h.TimeoutConfiguration; t != nil && t.TimeoutInMinutes != nil && (*t.TimeoutInMinutes < 1 || *t.TimeoutInMinutes > 14*24*60) {
		return wire.Errf("InvalidParameterException", "timeoutInMinutes must be between 1 and 20160.")
	}
	return nil
}

// continueServiceDeployment ends the pause of a hook ("Continuing Amazon ECS service deployments").
func (e *API) continueServiceDeployment(_ *wire.Call, in *ecs.ContinueServiceDeploymentInput) (*ecs.ContinueServiceDeploymentOutput, error) {
	r := e.releaseOf(value(in.ServiceDeploymentArn))
	if r == nil {
		return nil, wire.Errf("ServiceDeploymentNotFoundException", "Service deployment not found.")
	}
	var hook *hookRun
	if r.shift != nil && r.shift.going() {
		for _, h := range r.shift.hooks {
			if *h.detail.HookId == value(in.HookId) && h.detail.Status == types.DeploymentLifecycleHookStatusAwaitingAction {
				hook = h
			}
		}
	}
	if hook == nil {
		return nil, wire.Errf("InvalidParameterException", "The service deployment %s has no hook %s that awaits an action.", r.arn, value(in.HookId))
	}
	switch in.Action {
	case "", types.DeploymentLifecycleHookActionContinue:
		hook.end(types.DeploymentLifecycleHookStatusSucceeded, "")
	case types.DeploymentLifecycleHookActionRollback:
		hook.end(types.DeploymentLifecycleHookStatusFailed, fmt.Sprintf("a rollback was requested at the lifecycle stage %s", r.stage))
	default:
		return nil, wire.Errf("InvalidParameterException", "The action %s is not valid.", in.Action)
	}
	return &ecs.ContinueServiceDeploymentOutput{ServiceDeploymentArn: &r.arn}, nil
}
