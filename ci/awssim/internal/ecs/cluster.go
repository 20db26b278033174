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

// instance is a container instance: where tasks of launch type EC2 are placed.
type instance struct {
	id, arn      string
	ec2          string
	status       string // ACTIVE, DRAINING
	cpu, memory  int32  // registered
	registeredAt time.Time
	tasks        []*task // placed and not yet stopped
}

// left returns what is free on an instance.
func (i *instance) left() (cpu, memory int32, ports map[int32]bool) {
	cpu, memory, ports = i.cpu, i.memory, map[int32]bool{22: true, 2375: true, 2376: true, 51678: true, 51679: true}
	for _, t := range i.tasks {
		cpu -= t.cpu
		memory -= t.memory
		for _, p := range t.hostPorts {
			ports[p] = true
		}
	}
	return cpu, memory, ports
}

// short is what is lacking on an instance for a task; "" if nothing is.
func (i *instance) short(t *task) string {
	cpu, memory, ports := i.left()
	switch {
	case i.status != "ACTIVE":
		return "AGENT"
	case cpu < t.cpu:
		return "RESOURCE:CPU"
	case memory < t.memory:
		return "RESOURCE:MEMORY"
	case slices.ContainsFunc(t.hostPorts, func(p int32) bool { return ports[p] }):
		return "RESOURCE:PORTS"
	}
	return ""
}

var clusterNames = regexp.MustCompile(`^[A-Za-z0-9_-]{1,255}$`)

func (e *API) createCluster(_ *wire.Call, in *ecs.CreateClusterInput) (*ecs.CreateClusterOutput, error) {
	if in.ServiceConnectDefaults != nil {
		return nil, unsimulated("serviceConnectDefaults")
	}
	name := value(in.ClusterName)
	if name == "" {
		name = "default"
	}
	if !clusterNames.MatchString(name) {
		return nil, wire.Errf("InvalidParameterException", "Cluster name can only contain letters, numbers, hyphens and underscores, up to 255 of them.")
	}
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	c := e.clusters[name]
	if c == nil || c.status != "ACTIVE" {
		c = &cluster{name: name, arn: e.k.ARN("ecs", "cluster/"+name), status: "ACTIVE", tags: in.Tags, settings: in.Settings,
			configuration: in.Configuration, providers: in.CapacityProviders, strategy: in.DefaultCapacityProviderStrategy}
		e.clusters[name] = c
	}
	return &ecs.CreateClusterOutput{Cluster: c.view(true)}, nil
}

func (c *cluster) view(tags bool) *types.Cluster {
	v := &types.Cluster{
		ClusterArn: &c.arn, ClusterName: &c.name, Status: &c.status,
		Settings: c.settings, Configuration: c.configuration, Statistics: []types.KeyValuePair{}, Tags: []types.Tag{},
		CapacityProviders:               append([]string{}, c.providers...),
		DefaultCapacityProviderStrategy: append([]types.CapacityProviderStrategyItem{}, c.strategy...),
	}
	if v.Settings == nil {
		v.Settings = []types.ClusterSetting{{Name: types.ClusterSettingNameContainerInsights, Value: new("disabled")}}
	}
	if tags {
		v.Tags = append(v.Tags, c.tags...)
	}
	for _, s := range c.services {
		if s.status == "ACTIVE" {
			v.ActiveServicesCount++
		}
	}
	for _, t := range c.tasks {
		switch t.last {
		case "RUNNING":
			v.RunningTasksCount++
		case "PROVISIONING", "PENDING", "ACTIVATING":
			v.PendingTasksCount++
		}
	}
	v.RegisteredContainerInstancesCount = int32(len(c.instances))
	return v
}

func (e *API) describeClusters(_ *wire.Call, in *ecs.DescribeClustersInput) (*ecs.DescribeClustersOutput, error) {
	refs := in.Clusters
	if len(refs) == 0 {
		refs = []string{"default"}
	}
	if len(refs) > 100 {
		return nil, wire.Errf("InvalidParameterException", "Clusters cannot be more than 100.")
	}
	out := &ecs.DescribeClustersOutput{Clusters: []types.Cluster{}, Failures: []types.Failure{}}
	for _, ref := range refs {
		if c := e.clusters[e.clusterName(ref)]; c != nil {
			out.Clusters = append(out.Clusters, *c.view(hasTags(in.Include)))
		} else {
			out.Failures = append(out.Failures, missing(e.k.ARN("ecs", "cluster/"+e.clusterName(ref))))
		}
	}
	return out, nil
}

func (e *API) listClusters(_ *wire.Call, in *ecs.ListClustersInput) (*ecs.ListClustersOutput, error) {
	var arns []string
	for _, c := range e.clusters {
		if c.status == "ACTIVE" {
			arns = append(arns, c.arn)
		}
	}
	slices.Sort(arns)
	arns, next, err := page(arns, in.NextToken, in.MaxResults, 100)
	if err != nil {
		return nil, err
	}
	return &ecs.ListClustersOutput{ClusterArns: arns, NextToken: next}, nil
}

func (e *API) deleteCluster(_ *wire.Call, in *ecs.DeleteClusterInput) (*ecs.DeleteClusterOutput, error) {
	c, err := e.cluster(in.Cluster)
	if err != nil {
		return nil, err
	}
	v := c.view(true)
	switch {
	case v.ActiveServicesCount > 0:
		return nil, wire.Errf("ClusterContainsServicesException", "The Cluster cannot be deleted while Services are active.")
	case v.RunningTasksCount+v.PendingTasksCount > 0:
		return nil, wire.Errf("ClusterContainsTasksException", "The Cluster cannot be deleted while Tasks are active.")
	case v.RegisteredContainerInstancesCount > 0:
		return nil, wire.Errf("ClusterContainsContainerInstancesException", "The Cluster cannot be deleted while Container Instances are active or draining.")
	}
	c.status = "INACTIVE"
	return &ecs.DeleteClusterOutput{Cluster: c.view(true)}, nil
}

// describeCapacityProviders knows the two of Fargate; there are no Auto Scaling groups here.
func (e *API) describeCapacityProviders(_ *wire.Call, in *ecs.DescribeCapacityProvidersInput) (*ecs.DescribeCapacityProvidersOutput, error) {
	out := &ecs.DescribeCapacityProvidersOutput{CapacityProviders: []types.CapacityProvider{}, Failures: []types.Failure{}}
	have := []string{"FARGATE", "FARGATE_SPOT"}
	names := in.CapacityProviders
	if len(names) == 0 {
		names = have
	}
	for _, name := range names {
		name = name[strings.LastIndex(name, "/")+1:]
		arn := e.k.ARN("ecs", "capacity-provider/"+name)
		if slices.Contains(have, name) {
			out.CapacityProviders = append(out.CapacityProviders, types.CapacityProvider{
				Name: &name, CapacityProviderArn: &arn, Status: types.CapacityProviderStatusActive})
		} else {
			out.Failures = append(out.Failures, missing(arn))
		}
	}
	return out, nil
}

func (e *API) listContainerInstances(_ *wire.Call, in *ecs.ListContainerInstancesInput) (*ecs.ListContainerInstancesOutput, error) {
	c, err := e.cluster(in.Cluster)
	if err != nil {
		return nil, err
	}
	if value(in.Filter) != "" {
		return nil, wire.Errf("InvalidParameterException", "awssim does not evaluate the filters of ListContainerInstances.")
	}
	var arns []string
	for _, i := range c.instances {
		if in.Status == "" || string(in.Status) == i.status {
			arns = append(arns, i.arn)
		}
	}
	arns, next, err := page(arns, in.NextToken, in.MaxResults, 100)
	if err != nil {
		return nil, err
	}
	return &ecs.ListContainerInstancesOutput{ContainerInstanceArns: arns, NextToken: next}, nil
}

func (e *API) describeContainerInstances(_ *wire.Call, in *ecs.DescribeContainerInstancesInput) (*ecs.DescribeContainerInstancesOutput, error) {
	c, err := e.cluster(in.Cluster)
	if err != nil {
		return nil, err
	}
	if n := len(in.ContainerInstances); n == 0 || n > 100 {
		return nil, wire.Errf("InvalidParameterException", "Container instances must be between 1 and 100.")
	}
	out := &ecs.DescribeContainerInstancesOutput{ContainerInstances: []types.ContainerInstance{}, Failures: []types.Failure{}}
	for _, ref := range in.ContainerInstances {
		k := slices.IndexFunc(c.instances, func(i *instance) bool { return strings.HasSuffix(ref, i.id) })
		if k < 0 {
			out.Failures = append(out.Failures, missing(ref))
			continue
		}
		i := c.instances[k]
		cpu, memory, ports := i.left()
		var used []string
		for p := range ports {
			used = append(used, fmt.Sprint(p))
		}
		slices.Sort(used)
		resources := func(cpu, memory int32) []types.Resource {
			return []types.Resource{
				{Name: new("CPU"), Type: new("INTEGER"), IntegerValue: cpu},
				{Name: new("MEMORY"), Type: new("INTEGER"), IntegerValue: memory},
				{Name: new("PORTS"), Type: new("STRINGSET"), StringSetValue: used},
			}
		}
		v := types.ContainerInstance{
			ContainerInstanceArn: &i.arn, Ec2InstanceId: &i.ec2, Status: &i.status, AgentConnected: true,
			RegisteredAt: &i.registeredAt, RegisteredResources: resources(i.cpu, i.memory), RemainingResources: resources(cpu, memory),
			Attributes: []types.Attribute{{Name: new("ecs.os-type"), Value: new("linux")}},
		}
		for _, t := range i.tasks {
			if t.last == "RUNNING" {
				v.RunningTasksCount++
			} else {
				v.PendingTasksCount++
			}
		}
		out.ContainerInstances = append(out.ContainerInstances, v)
	}
	return out, nil
}
