package ecs

import (
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/magecloudkit/pipeline/ci/awssim/internal/wire"
)

// TaskDefinitionSpec is what RegisterTaskDefinition takes.
type TaskDefinitionSpec = wire.Shape[ecs.RegisterTaskDefinitionInput]

// ServiceSpec is what CreateService takes.
type ServiceSpec = wire.Shape[ecs.CreateServiceInput]

// ClusterSpec is a cluster that exists when the world starts.
type ClusterSpec struct {
	Name      string         `json:"name"`
	Instances []InstanceSpec `json:"instances,omitempty"` // none: for Fargate alone
}

// InstanceSpec is a number of like container instances.
type InstanceSpec struct {
	Count  int   `json:"count"`
	CPU    int32 `json:"cpu"`    // units: 1024 is a core
	Memory int32 `json:"memory"` // MiB
}

// Spec is what there is when the world starts.
type Spec struct {
	Clusters        []ClusterSpec
	TaskDefinitions []TaskDefinitionSpec
	Services        []ServiceSpec
}

// Build makes clusters, task definitions and services.
func (e *API) Build(c *wire.Call, t Spec) error {
	for _, spec := range t.Clusters {
		if _, err := e.createCluster(c, &ecs.CreateClusterInput{ClusterName: &spec.Name}); err != nil {
			return fmt.Errorf("cluster %s: %w", spec.Name, err)
		}
		cl := e.clusters[spec.Name]
		for _, i := range spec.Instances {
			for range i.Count {
				id := e.k.NewID("container-instance")
				cl.instances = append(cl.instances, &instance{
					id: id, arn: e.k.ARN("ecs", fmt.Sprintf("container-instance/%s/%s", cl.name, id)), ec2: "i-0" + id[:16],
					status: "ACTIVE", cpu: i.CPU, memory: i.Memory, registeredAt: e.k.Now,
				})
			}
		}
	}
	for _, spec := range t.TaskDefinitions {
		in := new(ecs.RegisterTaskDefinitionInput)
		if err := wire.DecodeJSON(wire.EncodeJSON(&spec.Value), in); err != nil { // a copy: the world keeps what it is given
			return err
		}
		if _, err := e.registerTaskDefinition(c, in); err != nil {
			return fmt.Errorf("task definition %s: %w", value(in.Family), err)
		}
		for _, c := range in.ContainerDefinitions {
			e.foreign[*c.Image], e.foreign[repositoryOf(*c.Image)] = true, true
		}
	}
	for _, spec := range t.Services {
		in := new(ecs.CreateServiceInput)
		if err := wire.DecodeJSON(wire.EncodeJSON(&spec.Value), in); err != nil {
			return err
		}
		if _, err := e.createService(c, in); err != nil {
			return fmt.Errorf("service %s: %w", value(in.ServiceName), err)
		}
	}
	return nil
}

// repositoryOf returns an image reference without its tag.
func repositoryOf(ref string) string {
	if i := strings.LastIndex(ref, ":"); i > strings.LastIndex(ref, "/") {
		return ref[:i]
	}
	return ref
}

// missingAbroad says that an image of another registry is not there: of a repository that the topology uses, nothing is
// there but what it uses (and what is named by its digest). Of any other, everything is.
func (e *API) missingAbroad(ref string) bool {
	return !strings.Contains(ref, "@") && e.foreign[repositoryOf(ref)] && !e.foreign[ref]
}

// state is everything of ECS as it is described.
func (e *API) state() any {
	e.Flush()
	type view struct {
		Cluster  wire.Shape[types.Cluster]   `json:"cluster"`
		Services []wire.Shape[types.Service] `json:"services"`
		Tasks    []wire.Shape[types.Task]    `json:"tasks"`
	}
	out := struct {
		Clusters        map[string]view                    `json:"clusters"`
		TaskDefinitions []wire.Shape[types.TaskDefinition] `json:"taskDefinitions"`
	}{Clusters: map[string]view{}}
	for name, c := range e.clusters {
		v := view{Cluster: wire.Shape[types.Cluster]{Value: *c.view(true)}}
		for _, s := range c.services {
			sv, _ := s.history.At(e.k.Now)
			v.Services = append(v.Services, wire.Shape[types.Service]{Value: sv})
		}
		for _, t := range c.tasks {
			v.Tasks = append(v.Tasks, wire.Shape[types.Task]{Value: t.view()})
		}
		out.Clusters[name] = v
	}
	for _, name := range e.familyNames() {
		for _, r := range e.families[name].revisions {
			out.TaskDefinitions = append(out.TaskDefinitions, wire.Shape[types.TaskDefinition]{Value: r.def})
		}
	}
	return out
}
