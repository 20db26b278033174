package ecs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// Stage is where a service deployment of the strategies BLUE_GREEN, LINEAR and CANARY stands. Its zero value is one that
// rolls, or one of which nothing is known.
type Stage struct {
	ServiceDeployment string `json:"serviceDeployment,omitempty"` // ARN
	Name              string `json:"name,omitempty"`              // ECS's: "BAKE_TIME"
	// Traffic is the percentage of production traffic that the new revision is given.
	Traffic float64 `json:"traffic"`
	// Hook is the pause that waits for somebody to continue it; empty if there is none.
	Hook    string    `json:"hook,omitempty"`
	Expires time.Time `json:"expires,omitzero"` // when Action is taken without anybody
	Action  string    `json:"action,omitempty"` // CONTINUE or ROLLBACK
}

// String says it in words: "at PRODUCTION_TRAFFIC_SHIFT, with 10% of production traffic".
func (s Stage) String() string {
	if s.Name == "" {
		return ""
	}
	text := fmt.Sprintf("at %s, with %g%% of production traffic", s.Name, s.Traffic)
	if s.Hook != "" {
		text += fmt.Sprintf("; it is paused until somebody continues it (mck continue, or aws ecs continue-service-deployment --service-deployment-arn %s --hook-id %s) or, at %s, ECS does %s",
			s.ServiceDeployment, s.Hook, s.Expires.UTC().Format(time.RFC3339), s.Action)
	}
	return text
}

// Shifts says that a service is deployed by moving traffic.
func Shifts(svc *types.Service) bool {
	c := svc.DeploymentConfiguration
	return c != nil && c.Strategy != "" && c.Strategy != types.DeploymentStrategyRolling
}

// stages reads where the service deployments of services stand that move traffic. What cannot be read is left as it was:
// the stage is told to people, and no verdict hangs on it.
func (f *Follower) stages(ctx context.Context, chunk []*following, services []types.Service) {
	byARN := map[string]*following{}
	var arns []string
	for i := range services {
		svc := &services[i]
		for _, s := range chunk {
			if aws.ToString(svc.ServiceName) == s.out.Service && Shifts(svc) && svc.CurrentServiceDeployment != nil {
				byARN[*svc.CurrentServiceDeployment] = s
				arns = append(arns, *svc.CurrentServiceDeployment)
			}
		}
	}
	if len(arns) == 0 || f.blind {
		return
	}
	out, err := Call(ctx, f.Caller.Within(0), "DescribeServiceDeployments", Repeatable, func(ctx context.Context) (*awsecs.DescribeServiceDeploymentsOutput, error) {
		return f.API.DescribeServiceDeployments(ctx, &awsecs.DescribeServiceDeploymentsInput{ServiceDeploymentArns: arns})
	})
	if err != nil {
		f.blind = Denied(err)
		return
	}
	for _, d := range out.ServiceDeployments {
		if s := byARN[aws.ToString(d.ServiceDeploymentArn)]; s != nil {
			s.out.Stage = StageOf(d)
		}
	}
}

// check has a deployment checked that stands at a stage.
func (f *Follower) check(ctx context.Context, s *following) {
	if f.Check == nil || s.out.Verdict != "" || s.out.Stage.Name == "" {
		return
	}
	switch err := f.Check(ctx, s.out.Service, s.out.Stage); {
	case err == nil || ctx.Err() != nil:
	case errors.Is(err, ErrPaused):
		s.end(Paused, s.out.Stage.String(), f.Clock.Now())
	default:
		s.end(Rejected, err.Error(), f.Clock.Now())
	}
}

// ErrPaused is what a [Follower]'s Check returns of a deployment that is to be left where
// it stands.
var ErrPaused = errors.New("the deployment stands where it is to be left")

// StageOf is where a service deployment stands.
func StageOf(d types.ServiceDeployment) Stage {
	s := Stage{ServiceDeployment: aws.ToString(d.ServiceDeploymentArn), Name: string(d.LifecycleStage)}
	if t := d.TargetServiceRevision; t != nil {
		s.Traffic = aws.ToFloat64(t.RequestedProductionTrafficWeight)
	}
	for _, h := range d.LifecycleHookDetails {
		if h.Status == types.DeploymentLifecycleHookStatusAwaitingAction {
			s.Hook, s.Expires, s.Action = aws.ToString(h.HookId), aws.ToTime(h.ExpiresAt), string(h.TimeoutAction)
		}
	}
	return s
}
