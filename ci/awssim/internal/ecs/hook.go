package ecs

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// hookRun is a lifecycle hook at the stage that a deployment has come to.
type hookRun struct {
	x      *shift
	detail types.DeploymentLifecycleHookDetail
	done   func() // once every hook of the stage has succeeded
}

// A function answers a few seconds after it is called, and is called again every half minute for as long as it answers
// IN_PROGRESS ("Lifecycle hooks for Amazon ECS service deployments").
const (
	hookAnswers = 3 * time.Second
	hookAgain   = 30 * time.Second
)

// runHooks runs the hooks of the current stage and then done.
func (x *shift) runHooks(done func()) {
	k := x.s.e.k
	stage := types.DeploymentLifecycleHookStage(x.d.release.stage)
	for _, h := range x.d.release.rollout.LifecycleHooks {
		if !slices.Contains(h.LifecycleStages, stage) {
			continue
		}
		timeout := value(h.TimeoutConfiguration)
		run := &hookRun{x: x, done: done, detail: types.DeploymentLifecycleHookDetail{
			HookId: new(k.NewID("hook")), TargetArn: h.HookTargetArn, TargetType: types.DeploymentLifecycleHookTargetTypeAwsLambda,
			Status:        types.DeploymentLifecycleHookStatusInProgress,
			TimeoutAction: types.DeploymentLifecycleHookActionRollback,
			ExpiresAt:     new(k.Now.Add(minutes(timeout.TimeoutInMinutes, 24*60))),
		}}
		if timeout.Action != "" {
			run.detail.TimeoutAction = timeout.Action
		}
		x.hooks = append(x.hooks, run)
		k.At(*run.detail.ExpiresAt, run.expire)
		if h.TargetType == types.DeploymentLifecycleHookTargetTypePause {
			run.detail.TargetType, run.detail.Status = h.TargetType, types.DeploymentLifecycleHookStatusAwaitingAction
			x.s.event("(deployment %s) is paused at the lifecycle stage %s by the hook %s.", x.d.id, stage, *run.detail.HookId)
		} else {
			k.After(hookAnswers, run.call)
		}
	}
	if len(x.hooks) == 0 {
		done()
	}
}

// open says that a hook has not ended and still counts.
func (h *hookRun) open() bool {
	return h.x.going() && slices.Contains(h.x.hooks, h) &&
		(h.detail.Status == types.DeploymentLifecycleHookStatusInProgress || h.detail.Status == types.DeploymentLifecycleHookStatusAwaitingAction)
}

// call calls a function. What it answers is the fact lambda:NAME: SUCCEEDED unless set, FAILED, or IN_PROGRESS.
func (h *hookRun) call() {
	if !h.open() {
		return
	}
	arn := value(h.detail.TargetArn)
	switch h.x.s.e.behaviors.Facts["lambda:"+arn[strings.LastIndex(arn, ":")+1:]] {
	case "FAILED":
		h.end(types.DeploymentLifecycleHookStatusFailed, fmt.Sprintf("the lifecycle hook %s failed at the lifecycle stage %s", arn, h.x.d.release.stage))
	case "IN_PROGRESS":
		h.x.s.e.k.After(hookAgain, h.call)
	default:
		h.end(types.DeploymentLifecycleHookStatusSucceeded, "")
	}
}

// expire takes the action of a hook that has taken too long.
func (h *hookRun) expire() {
	if !h.open() {
		return
	}
	why := ""
	if h.detail.TimeoutAction == types.DeploymentLifecycleHookActionRollback {
		why = fmt.Sprintf("the lifecycle hook timed out at the lifecycle stage %s", h.x.d.release.stage)
	}
	h.end(types.DeploymentLifecycleHookStatusTimedOut, why)
}

// end ends a hook. With a reason the deployment fails for it; without, it goes on once no hook is open.
func (h *hookRun) end(status types.DeploymentLifecycleHookStatus, why string) {
	h.detail.Status = status
	if why != "" {
		h.x.s.abandon(h.x.d, true, "ECS deployment lifecycle hook", why)
		return
	}
	if !slices.ContainsFunc(h.x.hooks, (*hookRun).open) {
		h.done()
	}
}
