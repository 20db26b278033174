package ecs

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/magecloudkit/pipeline/ci/awssim/internal/wire"
)

var serviceNames = regexp.MustCompile(`^[A-Za-z0-9_-]{1,255}$`)

func (e *API) createService(c *wire.Call, in *ecs.CreateServiceInput) (*ecs.CreateServiceOutput, error) {
	cl, err := e.cluster(in.Cluster)
	if err != nil {
		return nil, err
	}
	if err := refused(in.GatewayConnectors, in.Monitoring); err != nil {
		return nil, err
	}
	name := value(in.ServiceName)
	if err := cl.checkName(name); err != nil {
		return nil, err
	}
	s := &svc{
		e: e, cluster: cl, name: name, arn: e.k.ARN("ecs", fmt.Sprintf("service/%s/%s", cl.name, name)), status: "ACTIVE",
		created: e.k.Now, createdBy: c.Caller.ARN, tags: in.Tags, scheduling: in.SchedulingStrategy, controller: in.DeploymentController,
		role: in.Role, managedTags: in.EnableECSManagedTags, execute: in.EnableExecuteCommand, propagate: in.PropagateTags,
		constraints: in.PlacementConstraints, strategy: in.PlacementStrategy, rebalancing: in.AvailabilityZoneRebalancing,
	}
	if err := s.complement(in.DesiredCount); err != nil {
		return nil, err
	}
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	if err := s.setRollout(in.DeploymentConfiguration); err != nil {
		return nil, err
	}
	rev, err := e.usable(in.TaskDefinition)
	if err != nil {
		return nil, err
	}
	conf := config{
		rev: rev, network: in.NetworkConfiguration, launch: in.LaunchType, providers: in.CapacityProviderStrategy, platform: in.PlatformVersion,
		loadBalancers: in.LoadBalancers, registries: in.ServiceRegistries, grace: in.HealthCheckGracePeriodSeconds,
		connect: in.ServiceConnectConfiguration, volumes: in.VolumeConfigurations, lattice: in.VpcLatticeConfigurations,
	}
	if len(conf.providers) == 0 && conf.launch == "" {
		conf.providers = cl.strategy
	}
	if err := e.checkConfig(&conf); err != nil {
		return nil, err
	}
	cl.services = append(cl.services, s)
	s.deploy(conf)
	e.Flush()
	v, _ := s.history.At(e.k.Now)
	v.Tags = s.tags
	return &ecs.CreateServiceOutput{Service: &v}, nil
}

// checkName refuses the name of a new service.
func (c *cluster) checkName(name string) error {
	if !serviceNames.MatchString(name) {
		return wire.Errf("InvalidParameterException", "Service name can only contain letters, numbers, hyphens and underscores, up to 255 of them.")
	}
	if old := c.service(name); old != nil {
		switch old.status {
		case "ACTIVE":
			return wire.Errf("InvalidParameterException", "Creation of service was not idempotent.")
		case "DRAINING":
			return wire.Errf("InvalidParameterException", "Unable to Start a service that is still Draining.")
		}
	}
	return nil
}

// complement gives a new service the defaults of what it was not told (API_CreateService).
func (s *svc) complement(desired *int32) error {
	if s.scheduling == "" {
		s.scheduling = types.SchedulingStrategyReplica
	}
	if s.controller == nil {
		s.controller = &types.DeploymentController{Type: types.DeploymentControllerTypeEcs}
	}
	if s.propagate == "" {
		s.propagate = types.PropagateTagsNone
	}
	if s.rebalancing == "" {
		s.rebalancing = types.AvailabilityZoneRebalancingDisabled
	}
	if s.scheduling == types.SchedulingStrategyReplica {
		if desired == nil {
			return wire.Errf("InvalidParameterException", "Desired count is required for the REPLICA scheduling strategy.")
		}
		s.desired = *desired
	}
	if s.desired < 0 {
		return wire.Errf("InvalidParameterException", "Desired count cannot be less than 0.")
	}
	return nil
}

// refused refuses what neither CreateService nor UpdateService can follow here.
func refused(gateways []types.GatewayConnector, monitoring *types.MonitoringConfiguration) error {
	if gateways != nil {
		return unsimulated("gatewayConnectors")
	}
	if monitoring != nil {
		return unsimulated("monitoring")
	}
	return nil
}

// setRollout takes over a deployment configuration; what it leaves out stays as it is or gets the default of
// API_DeploymentConfiguration.
func (s *svc) setRollout(in *types.DeploymentConfiguration) error {
	r := s.rollout
	if r.MaximumPercent == nil {
		r.MaximumPercent, r.MinimumHealthyPercent = new(int32(200)), new(int32(100))
		if s.scheduling == types.SchedulingStrategyDaemon {
			r.MaximumPercent, r.MinimumHealthyPercent = new(int32(100)), new(int32(0))
		}
		r.DeploymentCircuitBreaker = &types.DeploymentCircuitBreaker{}
		r.Strategy = types.DeploymentStrategyRolling
		r.BakeTimeInMinutes = new(int32(0))
	}
	if in != nil {
		if err := checkStrategy(in); err != nil {
			return err
		}
		r = withStrategy(r, in)
		if in.MaximumPercent != nil {
			r.MaximumPercent = in.MaximumPercent
		}
		if in.MinimumHealthyPercent != nil {
			r.MinimumHealthyPercent = in.MinimumHealthyPercent
		}
		if in.DeploymentCircuitBreaker != nil {
			r.DeploymentCircuitBreaker = in.DeploymentCircuitBreaker
		}
		if in.Alarms != nil {
			r.Alarms = in.Alarms
		}
	}
	if *r.MinimumHealthyPercent < 0 || *r.MaximumPercent < 0 || *r.MaximumPercent == 0 && *r.MinimumHealthyPercent == 0 {
		return wire.Errf("InvalidParameterException", "Both maximumPercent and minimumHealthyPercent cannot be 0 as this will block deployments.")
	}
	if *r.MaximumPercent < 100 {
		return wire.Errf("InvalidParameterException", "maximumPercent must be at least 100.")
	}
	if *r.MinimumHealthyPercent > *r.MaximumPercent {
		return wire.Errf("InvalidParameterException", "minimumHealthyPercent must be less than or equal to maximumPercent.")
	}
	s.rollout = r
	return nil
}

// withStrategy takes over how a deployment goes. What is said about one strategy does not outlast it.
func withStrategy(r types.DeploymentConfiguration, in *types.DeploymentConfiguration) types.DeploymentConfiguration {
	if in.Strategy != "" {
		r.Strategy = in.Strategy
		r.CanaryConfiguration, r.LinearConfiguration = in.CanaryConfiguration, in.LinearConfiguration
	}
	if in.BakeTimeInMinutes != nil {
		r.BakeTimeInMinutes = in.BakeTimeInMinutes
	}
	if in.LifecycleHooks != nil {
		r.LifecycleHooks = in.LifecycleHooks
	}
	return r
}

// checkConfig refuses what cannot be run and settles whether it is Fargate.
func (e *API) checkConfig(conf *config) error {
	var err error
	if conf.fargate, err = e.checkLaunch(conf.rev, conf.launch, conf.providers, conf.network); err != nil {
		return err
	}
	if len(conf.providers) == 0 && conf.launch == "" {
		conf.launch = types.LaunchTypeEc2
	}
	if conf.fargate && conf.platform == nil {
		conf.platform = new("LATEST")
	}
	for _, lb := range conf.loadBalancers {
		c := conf.rev.container(value(lb.ContainerName))
		if c == nil {
			return wire.Errf("InvalidParameterException", "The container %s does not exist in the task definition.", value(lb.ContainerName))
		}
		if !slices.ContainsFunc(c.PortMappings, func(p types.PortMapping) bool { return value(p.ContainerPort) == value(lb.ContainerPort) }) {
			return wire.Errf("InvalidParameterException", "The container %s did not have a container port %d defined.", value(lb.ContainerName), value(lb.ContainerPort))
		}
	}
	return nil
}

// checkLaunch says whether tasks of a revision go to Fargate, and refuses what fits neither.
func (e *API) checkLaunch(rev *revision, launch types.LaunchType, providers []types.CapacityProviderStrategyItem, network *types.NetworkConfiguration) (fargate bool, err error) {
	if launch != "" && len(providers) > 0 {
		return false, wire.Errf("InvalidParameterException", "Specifying both a launch type and capacity provider strategy is not supported. Remove one and try again.")
	}
	fargate = launch == types.LaunchTypeFargate
	for _, p := range providers {
		switch value(p.CapacityProvider) {
		case "FARGATE", "FARGATE_SPOT":
			fargate = true
		default:
			return false, wire.Errf("InvalidParameterException", "The specified capacity provider '%s' was not found.", value(p.CapacityProvider))
		}
	}
	if fargate && !slices.Contains(rev.def.Compatibilities, types.CompatibilityFargate) {
		return false, wire.Errf("InvalidParameterException", "Task definition does not support launch_type FARGATE.")
	}
	has := network != nil && network.AwsvpcConfiguration != nil
	if rev.awsvpc() && !has {
		return false, wire.Errf("InvalidParameterException", "Network Configuration must be provided when networkMode 'awsvpc' is specified.")
	}
	if !rev.awsvpc() && has {
		return false, wire.Errf("InvalidParameterException", "Network Configuration is not valid for the given networkMode of this task definition.")
	}
	if has && len(network.AwsvpcConfiguration.Subnets) == 0 {
		return false, wire.Errf("InvalidParameterException", "subnets can not be empty.")
	}
	return fargate, nil
}

// service finds one that a mutating call is for.
func (e *API) service(cluster, ref *string) (*svc, error) {
	cl, err := e.cluster(cluster)
	if err != nil {
		return nil, err
	}
	if value(ref) == "" {
		return nil, wire.Errf("InvalidParameterException", "Service can not be blank.")
	}
	s := cl.service(*ref)
	if s == nil {
		return nil, wire.Errf("ServiceNotFoundException", "Service not found.")
	}
	return s, nil
}

// updateService makes a new deployment if what tasks are made of changes or one is forced; a new desired count or other
// percents alone change the deployment that is there (API_UpdateService).
func (e *API) updateService(_ *wire.Call, in *ecs.UpdateServiceInput) (*ecs.UpdateServiceOutput, error) {
	s, err := e.service(in.Cluster, in.Service)
	if err != nil {
		return nil, err
	}
	if s.status != "ACTIVE" {
		return nil, wire.Errf("ServiceNotActiveException", "Service was not ACTIVE.")
	}
	if err := refused(in.GatewayConnectors, in.Monitoring); err != nil {
		return nil, err
	}
	conf := s.primary().conf
	fresh, err := s.moves(&conf, in)
	if err != nil {
		return nil, err
	}
	if in.CapacityProviderStrategy != nil && !in.ForceNewDeployment {
		return nil, wire.Errf("InvalidParameterException", "The capacity provider strategy cannot be changed without forcing a new deployment.")
	}
	fresh = conf.revise(in) || fresh
	if err := e.checkConfig(&conf); err != nil {
		return nil, err
	}
	if in.DeploymentController != nil && in.DeploymentController.Type != s.controller.Type {
		return nil, wire.Errf("InvalidParameterException", "awssim does not change the deployment controller of a service.")
	}
	if err := s.setRollout(in.DeploymentConfiguration); err != nil {
		return nil, err
	}
	// Everything is in order: from here on it changes.
	s.settle(in)
	if fresh {
		s.deploy(conf)
	} else {
		s.primary().conf.grace = conf.grace
		s.steady = false
		s.poke(2 * time.Second)
	}
	e.touch(s)
	e.Flush()
	v, _ := s.history.At(e.k.Now)
	return &ecs.UpdateServiceOutput{Service: &v}, nil
}

// moves settles which revision an update is for, and says whether that alone is a new deployment.
func (s *svc) moves(conf *config, in *ecs.UpdateServiceInput) (fresh bool, err error) {
	fresh = in.ForceNewDeployment
	if in.TaskDefinition != nil {
		if !s.rolling() {
			return false, wire.Errf("InvalidParameterException", "Unable to update task definition on services with a %s deployment controller. Use AWS CodeDeploy to trigger a new deployment.", s.controller.Type)
		}
		rev, err := s.e.usable(in.TaskDefinition)
		if err != nil {
			return false, err
		}
		fresh = fresh || rev != conf.rev
		conf.rev = rev
	} else if fresh {
		if _, err := s.e.usable(conf.rev.def.TaskDefinitionArn); err != nil {
			return false, err
		}
	}
	if in.DesiredCount != nil && *in.DesiredCount < 0 {
		return false, wire.Errf("InvalidParameterException", "Desired count cannot be less than 0.")
	}
	if in.DesiredCount != nil && s.scheduling == types.SchedulingStrategyDaemon {
		return false, wire.Errf("InvalidParameterException", "The daemon scheduling strategy does not support a desired count for services. Remove the desired count value and try again")
	}
	return fresh, nil
}

// revise takes over what tasks are made of, and says whether that makes a new deployment.
func (conf *config) revise(in *ecs.UpdateServiceInput) (fresh bool) {
	if in.NetworkConfiguration != nil {
		conf.network, fresh = in.NetworkConfiguration, true
	}
	if in.PlatformVersion != nil {
		conf.platform, fresh = in.PlatformVersion, true
	}
	if in.CapacityProviderStrategy != nil {
		conf.providers, conf.launch = in.CapacityProviderStrategy, ""
	}
	if in.LoadBalancers != nil {
		conf.loadBalancers, fresh = in.LoadBalancers, true
	}
	if in.ServiceRegistries != nil {
		conf.registries, fresh = in.ServiceRegistries, true
	}
	if in.ServiceConnectConfiguration != nil {
		conf.connect, fresh = in.ServiceConnectConfiguration, true
	}
	if in.VolumeConfigurations != nil {
		conf.volumes, fresh = in.VolumeConfigurations, true
	}
	if in.VpcLatticeConfigurations != nil {
		conf.lattice, fresh = in.VpcLatticeConfigurations, true
	}
	if in.HealthCheckGracePeriodSeconds != nil {
		conf.grace = in.HealthCheckGracePeriodSeconds
	}
	return fresh
}

// settle takes over what makes no new deployment.
func (s *svc) settle(in *ecs.UpdateServiceInput) {
	if in.DesiredCount != nil {
		s.desired = *in.DesiredCount
	}
	if in.EnableExecuteCommand != nil {
		s.execute = *in.EnableExecuteCommand
	}
	if in.EnableECSManagedTags != nil {
		s.managedTags = *in.EnableECSManagedTags
	}
	if in.PropagateTags != "" {
		s.propagate = in.PropagateTags
	}
	if in.AvailabilityZoneRebalancing != "" {
		s.rebalancing = in.AvailabilityZoneRebalancing
	}
	if in.PlacementConstraints != nil {
		s.constraints = in.PlacementConstraints
	}
	if in.PlacementStrategy != nil {
		s.strategy = in.PlacementStrategy
	}
}

func (e *API) describeServices(c *wire.Call, in *ecs.DescribeServicesInput) (*ecs.DescribeServicesOutput, error) {
	cl, err := e.cluster(in.Cluster)
	if err != nil {
		return nil, err
	}
	if len(in.Services) == 0 {
		return nil, wire.Errf("InvalidParameterException", "Services cannot be empty.")
	}
	if len(in.Services) > 10 {
		return nil, wire.Errf("InvalidParameterException", "Services cannot have more than 10 elements.")
	}
	e.Flush()
	out := &ecs.DescribeServicesOutput{Services: []types.Service{}, Failures: []types.Failure{}}
	for _, ref := range in.Services {
		s := cl.service(ref)
		if s != nil {
			if v, ok := s.history.At(c.At()); ok {
				if hasTags(in.Include) {
					v.Tags = append([]types.Tag{}, s.tags...)
				}
				out.Services = append(out.Services, v)
				continue
			}
		}
		arn := ref
		if !strings.HasPrefix(ref, "arn:") {
			arn = e.k.ARN("ecs", fmt.Sprintf("service/%s/%s", cl.name, ref))
		}
		out.Failures = append(out.Failures, missing(arn))
	}
	return out, nil
}

func (e *API) listServices(c *wire.Call, in *ecs.ListServicesInput) (*ecs.ListServicesOutput, error) {
	cl, err := e.cluster(in.Cluster)
	if err != nil {
		return nil, err
	}
	e.Flush()
	var arns []string
	for _, s := range cl.services {
		v, ok := s.history.At(c.At())
		if !ok || value(v.Status) == "INACTIVE" ||
			in.LaunchType != "" && in.LaunchType != v.LaunchType ||
			in.SchedulingStrategy != "" && in.SchedulingStrategy != v.SchedulingStrategy {
			continue
		}
		arns = append(arns, s.arn)
	}
	if in.MaxResults == nil {
		in.MaxResults = new(int32(10))
	}
	arns, next, err := page(arns, in.NextToken, in.MaxResults, 100)
	if err != nil {
		return nil, err
	}
	return &ecs.ListServicesOutput{ServiceArns: arns, NextToken: next}, nil
}

// deleteService drains a service: ACTIVE, DRAINING, INACTIVE (API_DeleteService).
func (e *API) deleteService(_ *wire.Call, in *ecs.DeleteServiceInput) (*ecs.DeleteServiceOutput, error) {
	s, err := e.service(in.Cluster, in.Service)
	if err != nil {
		return nil, err
	}
	if s.status != "ACTIVE" {
		return nil, wire.Errf("ServiceNotActiveException", "Service was not ACTIVE.")
	}
	if s.desired > 0 && !value(in.Force) {
		return nil, wire.Errf("InvalidParameterException", "The service cannot be stopped while it is scaled above 0.")
	}
	s.status = "DRAINING"
	s.supersede(s.primary())
	s.primary().status = "PRIMARY"
	s.poke(2 * time.Second)
	e.touch(s)
	e.Flush()
	v, _ := s.history.At(e.k.Now)
	return &ecs.DeleteServiceOutput{Service: &v}, nil
}

// allServices returns the services of all clusters in a fixed order.
func (e *API) allServices() []*svc {
	var names []string
	for name := range e.clusters {
		names = append(names, name)
	}
	slices.Sort(names)
	var all []*svc
	for _, name := range names {
		all = append(all, e.clusters[name].services...)
	}
	return all
}
