package release

import (
	"context"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/magecloudkit/pipeline/ci/ecs"
)

// bakeTime is the stage in which ECS keeps both revisions, with all traffic on the new one.
const bakeTime = string(types.ServiceDeploymentLifecycleStageBakeTime)

// Stages are the lifecycle stages that a request's WaitUntil may name: those at which a
// hook may pause, and the bake time. Source: ECS's DeploymentLifecycleHookStage.
func Stages() []string {
	var list []string
	for _, s := range types.DeploymentLifecycleHookStage("").Values() {
		list = append(list, string(s))
	}
	return append(list, bakeTime)
}

// Continue ends the pauses at which the services' deployments stand, follows them to
// their end, and does what is left of the release after the roll. The build is the one
// that is being rolled out.
func (r *Releaser) Continue(ctx context.Context, req Request) *Result {
	return r.operate(ctx, req, operation{"continue", Released, (*survey).forContinue, func(a *act) []step {
		return []step{
			{"continue", a.endPauses},
			{"rollout", a.rollout},
			{"cache", a.flushCache},
			{"probe", a.probe},
			{"cron", a.moveCron},
		}
	}})
}

// forContinue finds out which build stands at a pause, and plans the rest of its
// release.
func (v *survey) forContinue(ctx context.Context) error {
	if err := v.look(ctx); err != nil {
		return err
	}
	paused := false
	for _, p := range v.services {
		at, err := v.stageOf(ctx, &p.svc)
		switch {
		case err != nil:
			v.refuse("service "+p.name, "", sayStageUnread, err)
		case at.Hook != "" && p.rev != nil:
			paused, p.pause = true, at
			v.takeBuild(p)
		}
	}
	if !paused && !v.refused() {
		v.refuse("cluster "+v.req.Cluster, doLookAtStatus, sayNothingPaused)
	}
	if v.refused() {
		return v.outcome(ctx)
	}
	v.res.Build = v.req.Build
	return v.planBuild(ctx)
}

// takeBuild takes the build from the revision that a service is being moved to.
func (v *survey) takeBuild(p *service) {
	subject, td := "service "+p.name, p.rev.before
	refs := ecs.Images(td.TaskDefinition.ContainerDefinitions, ownOf(v.req.Repositories, td))
	switch build := buildOf(td, refs); {
	case build == "":
		v.refuse(subject, "", sayPausedUnknown, ecs.RevisionName(p.rev.arn()))
	case v.req.Build != "" && v.req.Build != build:
		v.refuse(subject, doContinueOne, sayTwoPaused, v.req.Build, build)
	default:
		v.req.Build = build
	}
	for _, ref := range refs {
		v.req.PinDigest = v.req.PinDigest || ref.Digest != ""
	}
}

// stageOf reads where a service's deployment stands that moves traffic.
func (s *session) stageOf(ctx context.Context, svc *types.Service) (ecs.Stage, error) {
	if !ecs.Shifts(svc) || svc.CurrentServiceDeployment == nil {
		return ecs.Stage{}, nil
	}
	out, err := call(ctx, s, "DescribeServiceDeployments", func(ctx context.Context) (*awsecs.DescribeServiceDeploymentsOutput, error) {
		return s.ECS.DescribeServiceDeployments(ctx, &awsecs.DescribeServiceDeploymentsInput{ServiceDeploymentArns: []string{*svc.CurrentServiceDeployment}})
	})
	if err != nil || len(out.ServiceDeployments) == 0 {
		return ecs.Stage{}, err
	}
	return ecs.StageOf(out.ServiceDeployments[0]), nil
}

// endPauses ends the pauses that the preflight has found.
func (a *act) endPauses(ctx context.Context) error {
	for _, p := range a.services {
		p.res.Target = p.rev.target
		if p.pause.Hook == "" {
			continue
		}
		if err := a.endPause(ctx, p, p.pause); err != nil {
			return halt(Broken, sayNotContinued, p.name, err)
		}
	}
	return nil
}

// endPause lets a deployment go on from its pause.
func (a *act) endPause(ctx context.Context, p *service, at ecs.Stage) error {
	_, err := call(ctx, a.session, "ContinueServiceDeployment", func(ctx context.Context) (*awsecs.ContinueServiceDeploymentOutput, error) {
		return a.ECS.ContinueServiceDeployment(ctx, &awsecs.ContinueServiceDeploymentInput{
			ServiceDeploymentArn: aws.String(at.ServiceDeployment), HookId: aws.String(at.Hook), Action: types.DeploymentLifecycleHookActionContinue,
		})
	})
	if err == nil {
		a.note(LevelInfo, sayContinued, p.name)
	}
	return err
}

// checkWaitUntil refuses a stage at which nothing would stand.
func (v *survey) checkWaitUntil() {
	stage := v.req.WaitUntil
	if stage == "" {
		return
	}
	shifts := false
	for _, p := range v.services {
		if !ecs.Shifts(&p.svc) {
			continue
		}
		shifts = true
		if stage != bakeTime && !slices.ContainsFunc(p.svc.DeploymentConfiguration.LifecycleHooks, pausesAt(stage)) {
			v.refuse("service "+p.name, fmt.Sprintf(doPauseThere, stage), sayNothingPauses, stage)
		}
	}
	if !shifts && len(v.services) > 0 {
		v.refuse("--wait-until "+stage, doLeaveOutWaitUntil, sayAllRoll)
	}
}

func pausesAt(stage string) func(types.DeploymentLifecycleHook) bool {
	return func(h types.DeploymentLifecycleHook) bool {
		return h.TargetType == types.DeploymentLifecycleHookTargetTypePause && slices.Contains(h.LifecycleStages, types.DeploymentLifecycleHookStage(stage))
	}
}

// stands reports whether a deployment stands where it is to be left. The pause that is
// being ended is no such place.
func (a *act) stands(p *service, at ecs.Stage) bool {
	return a.req.WaitUntil != "" && at.Name == a.req.WaitUntil && (at.Name == bakeTime || at.Hook != "" && at.Hook != p.pause.Hook)
}
