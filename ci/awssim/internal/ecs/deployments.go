package ecs

import (
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/magecloudkit/pipeline/ci/awssim/internal/wire"
)

// releaseOf finds a service deployment.
func (e *API) releaseOf(arn string) *release {
	for _, s := range e.allServices() {
		for _, r := range s.releases {
			if r.arn == arn {
				return r
			}
		}
	}
	return nil
}

func (e *API) listServiceDeployments(_ *wire.Call, in *ecs.ListServiceDeploymentsInput) (*ecs.ListServiceDeploymentsOutput, error) {
	s, err := e.service(in.Cluster, in.Service)
	if err != nil {
		return nil, err
	}
	byARN := map[string]*release{}
	var arns []string
	for i := len(s.releases) - 1; i >= 0; i-- { // the newest first
		r := s.releases[i]
		if len(in.Status) > 0 && !slices.Contains(in.Status, r.status) {
			continue
		}
		if w := in.CreatedAt; w != nil && (w.After != nil && r.created.Before(*w.After) || w.Before != nil && r.created.After(*w.Before)) {
			continue
		}
		byARN[r.arn] = r
		arns = append(arns, r.arn)
	}
	if in.MaxResults == nil {
		in.MaxResults = new(int32(20))
	}
	arns, next, err := page(arns, in.NextToken, in.MaxResults, 100)
	if err != nil {
		return nil, err
	}
	out := &ecs.ListServiceDeploymentsOutput{ServiceDeployments: []types.ServiceDeploymentBrief{}, NextToken: next}
	for _, arn := range arns {
		r := byARN[arn]
		b := types.ServiceDeploymentBrief{
			ServiceDeploymentArn: &r.arn, ServiceArn: &s.arn, ClusterArn: &s.cluster.arn, Status: r.status, CreatedAt: &r.created,
			FinishedAt: r.finished, TargetServiceRevisionArn: &r.target.arn,
		}
		if r.reason != "" {
			b.StatusReason = &r.reason
		}
		if !r.started.IsZero() {
			b.StartedAt = &r.started
		}
		out.ServiceDeployments = append(out.ServiceDeployments, b)
	}
	return out, nil
}

func (e *API) describeServiceDeployments(_ *wire.Call, in *ecs.DescribeServiceDeploymentsInput) (*ecs.DescribeServiceDeploymentsOutput, error) {
	if n := len(in.ServiceDeploymentArns); n == 0 || n > 20 {
		return nil, wire.Errf("InvalidParameterException", "Service deployment ARNs must be between 1 and 20.")
	}
	out := &ecs.DescribeServiceDeploymentsOutput{ServiceDeployments: []types.ServiceDeployment{}, Failures: []types.Failure{}}
	for _, arn := range in.ServiceDeploymentArns {
		if r := e.releaseOf(arn); r != nil {
			out.ServiceDeployments = append(out.ServiceDeployments, r.view())
		} else {
			out.Failures = append(out.Failures, missing(arn))
		}
	}
	return out, nil
}

func (r *release) view() types.ServiceDeployment {
	s := r.svc
	v := types.ServiceDeployment{
		ServiceDeploymentArn: &r.arn, ServiceArn: &s.arn, ClusterArn: &s.cluster.arn, CreatedAt: &r.created, UpdatedAt: &r.updated,
		FinishedAt: r.finished, StoppedAt: r.stoppedAt, Status: r.status, Rollback: r.rollback, DeploymentConfiguration: &r.rollout,
		TargetServiceRevision:    s.summary(&r.target),
		DeploymentCircuitBreaker: &types.ServiceDeploymentCircuitBreaker{FailureCount: r.failures, Threshold: s.threshold(), Status: types.ServiceDeploymentRollbackMonitorsStatusDisabled},
		Alarms:                   &types.ServiceDeploymentAlarms{Status: types.ServiceDeploymentRollbackMonitorsStatusDisabled},
	}
	if cb := r.rollout.DeploymentCircuitBreaker; cb != nil && cb.Enable {
		v.DeploymentCircuitBreaker.Status = monitor(r, r.triggered)
	}
	if r.reason != "" {
		v.StatusReason = &r.reason
	}
	if !r.started.IsZero() {
		v.StartedAt = &r.started
	}
	for i := range r.source {
		v.SourceServiceRevisions = append(v.SourceServiceRevisions, *s.summary(&r.source[i]))
	}
	if r.shift != nil {
		v.LifecycleStage = r.stage
		r.shift.traffic(&v)
	}
	if a := r.rollout.Alarms; a != nil && a.Enable {
		v.Alarms.AlarmNames, v.Alarms.TriggeredAlarmNames = a.AlarmNames, r.alarms
		v.Alarms.Status = monitor(r, len(r.alarms) > 0)
	}
	return v
}

// monitor is the status of what watches over a service deployment.
func monitor(r *release, triggered bool) types.ServiceDeploymentRollbackMonitorsStatus {
	switch {
	case triggered:
		return types.ServiceDeploymentRollbackMonitorsStatusTriggered
	case !r.ongoing():
		return types.ServiceDeploymentRollbackMonitorsStatusMonitoringComplete
	}
	return types.ServiceDeploymentRollbackMonitorsStatusMonitoring
}

// summary counts the tasks of a service revision.
func (s *svc) summary(conf *config) *types.ServiceRevisionSummary {
	v := &types.ServiceRevisionSummary{Arn: &conf.arn}
	for _, t := range s.tasks {
		if t.dep.conf.arn != conf.arn {
			continue
		}
		if t.desired == "RUNNING" {
			v.RequestedTaskCount++
		}
		switch t.last {
		case "RUNNING":
			v.RunningTaskCount++
		case "PROVISIONING", "PENDING", "ACTIVATING":
			v.PendingTaskCount++
		}
	}
	if p := s.primary(); p.conf.arn == conf.arn {
		v.RequestedTaskCount = s.wanted()
	}
	return v
}

// stopServiceDeployment follows "Stopping Amazon ECS service deployments".
func (e *API) stopServiceDeployment(_ *wire.Call, in *ecs.StopServiceDeploymentInput) (*ecs.StopServiceDeploymentOutput, error) {
	r := e.releaseOf(value(in.ServiceDeploymentArn))
	if r == nil {
		return nil, wire.Errf("ServiceDeploymentNotFoundException", "Service deployment not found.")
	}
	s := r.svc
	out := &ecs.StopServiceDeploymentOutput{ServiceDeploymentArn: &r.arn}
	switch r.status {
	case types.ServiceDeploymentStatusStopRequested, types.ServiceDeploymentStatusRollbackRequested, types.ServiceDeploymentStatusRollbackInProgress:
		return out, nil // it goes on
	case types.ServiceDeploymentStatusPending, types.ServiceDeploymentStatusInProgress:
	default:
		return nil, wire.Errf("ConflictException", "The service deployment %s can't be stopped because it is in the %s state.", r.arn, r.status)
	}
	d := s.primary()
	if in.StopType == types.StopServiceDeploymentStopTypeAbort {
		r.set(types.ServiceDeploymentStatusStopRequested, "Service deployment stop was requested.")
		e.k.After(2*time.Second, func() {
			if r.status != types.ServiceDeploymentStatusStopRequested {
				return
			}
			r.end(types.ServiceDeploymentStatusStopped, "Service deployment stopped on request.")
			d.state, d.reason = types.DeploymentRolloutStateFailed, "ECS deployment was stopped on request."
			e.touch(s)
		})
		return out, nil
	}
	if s.lastGood == nil || s.lastGood == d {
		return nil, wire.Errf("ConflictException", "The service deployment %s can't be rolled back because there is no service revision that completed before it.", r.arn)
	}
	r.set(types.ServiceDeploymentStatusRollbackRequested, "Service deployment rollback was requested.")
	e.k.After(2*time.Second, func() {
		if r.status == types.ServiceDeploymentStatusRollbackRequested && s.primary() == d {
			d.reason = "ECS deployment was stopped on request."
			s.rollBack(d, "ECS deployment stopped", "Service deployment rolled back because a rollback was requested.")
		}
	})
	return out, nil
}

func (e *API) describeServiceRevisions(_ *wire.Call, in *ecs.DescribeServiceRevisionsInput) (*ecs.DescribeServiceRevisionsOutput, error) {
	if n := len(in.ServiceRevisionArns); n == 0 || n > 20 {
		return nil, wire.Errf("InvalidParameterException", "Service revision ARNs must be between 1 and 20.")
	}
	out := &ecs.DescribeServiceRevisionsOutput{ServiceRevisions: []types.ServiceRevision{}, Failures: []types.Failure{}}
	for _, arn := range in.ServiceRevisionArns {
		if s, conf := e.configOf(arn); conf != nil {
			out.ServiceRevisions = append(out.ServiceRevisions, s.revisionView(conf))
		} else {
			out.Failures = append(out.Failures, missing(arn))
		}
	}
	return out, nil
}

// configOf finds a service revision.
func (e *API) configOf(arn string) (*svc, *config) {
	for _, s := range e.allServices() {
		for _, r := range s.releases {
			if r.target.arn == arn {
				return s, &r.target
			}
		}
	}
	return nil, nil
}

func (s *svc) revisionView(conf *config) types.ServiceRevision {
	v := types.ServiceRevision{
		ServiceRevisionArn: &conf.arn, ServiceArn: &s.arn, ClusterArn: &s.cluster.arn, TaskDefinition: conf.rev.def.TaskDefinitionArn,
		CreatedAt: &conf.created, LaunchType: conf.launch, CapacityProviderStrategy: conf.providers, PlatformVersion: conf.platform,
		LoadBalancers: append([]types.LoadBalancer{}, conf.loadBalancers...), NetworkConfiguration: conf.network,
		ServiceRegistries: append([]types.ServiceRegistry{}, conf.registries...), ServiceConnectConfiguration: conf.connect,
		VolumeConfigurations: conf.volumes, VpcLatticeConfigurations: conf.lattice,
	}
	if conf.fargate {
		v.PlatformFamily = new("Linux")
	}
	for _, c := range conf.rev.def.ContainerDefinitions {
		i := types.ContainerImage{ContainerName: c.Name, Image: c.Image}
		if d, ok := conf.digests[*c.Name]; ok {
			i.ImageDigest = &d
		}
		v.ContainerImages = append(v.ContainerImages, i)
	}
	return v
}
