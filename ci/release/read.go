package release

import (
	"context"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/magecloudkit/pipeline/ci/ecs"
)

// activeRevisions lists a family's revisions, the newest first.
func (s *session) activeRevisions(ctx context.Context, family string) ([]string, error) {
	var arns []string
	var token *string
	for {
		out, err := call(ctx, s, "ListTaskDefinitions", func(ctx context.Context) (*awsecs.ListTaskDefinitionsOutput, error) {
			return s.ECS.ListTaskDefinitions(ctx, &awsecs.ListTaskDefinitionsInput{
				FamilyPrefix: aws.String(family), Status: types.TaskDefinitionStatusActive, Sort: types.SortOrderDesc, NextToken: token,
			})
		})
		if err != nil {
			return nil, err
		}
		for _, a := range out.TaskDefinitionArns {
			if ecs.Family(a) == family { // the filter is the family's whole name; be sure
				arns = append(arns, a)
			}
		}
		if token = out.NextToken; token == nil {
			return arns, nil
		}
	}
}

// familyTasks reads the running tasks of a family, of services or not.
func (s *session) familyTasks(ctx context.Context, cluster, family string) ([]types.Task, error) {
	return s.listTasks(ctx, awsecs.ListTasksInput{Cluster: aws.String(cluster), Family: aws.String(family)})
}

// describeServices reads services by name, ten a call.
func (s *session) describeServices(ctx context.Context, cluster string, names []string) (map[string]types.Service, []types.Failure, error) {
	services := map[string]types.Service{}
	var failures []types.Failure
	for chunk := range slices.Chunk(names, ecs.ServicesPerCall) {
		out, err := call(ctx, s, "DescribeServices", func(ctx context.Context) (*awsecs.DescribeServicesOutput, error) {
			return s.ECS.DescribeServices(ctx, &awsecs.DescribeServicesInput{Cluster: aws.String(cluster), Services: chunk})
		})
		if err != nil {
			return services, failures, err
		}
		for _, svc := range out.Services {
			services[aws.ToString(svc.ServiceName)] = svc
			s.home = homeOf(aws.ToString(svc.ServiceArn))
		}
		failures = append(failures, out.Failures...)
	}
	return services, failures, nil
}

// describeTaskDefinition reads a revision, or a family's newest, with its tags.
func (s *session) describeTaskDefinition(ctx context.Context, name string) (*awsecs.DescribeTaskDefinitionOutput, error) {
	return call(ctx, s, "DescribeTaskDefinition", func(ctx context.Context) (*awsecs.DescribeTaskDefinitionOutput, error) {
		return s.ECS.DescribeTaskDefinition(ctx, &awsecs.DescribeTaskDefinitionInput{
			TaskDefinition: aws.String(name), Include: []types.TaskDefinitionField{types.TaskDefinitionFieldTags},
		})
	})
}

// runningDigests tells the digests that the tasks of a service's revision run,
// by image reference.
func (s *session) runningDigests(ctx context.Context, cluster string, svc types.Service, containers []types.ContainerDefinition) (map[string][]string, error) {
	tasks, err := s.tasksOf(ctx, cluster, aws.ToString(svc.ServiceName))
	if err != nil {
		return nil, err
	}
	image := map[string]string{}
	for _, c := range containers {
		image[aws.ToString(c.Name)] = aws.ToString(c.Image)
	}
	digests := map[string][]string{}
	for _, t := range tasks {
		if aws.ToString(t.TaskDefinitionArn) != aws.ToString(svc.TaskDefinition) {
			continue
		}
		for _, c := range t.Containers {
			ref, d := image[aws.ToString(c.Name)], aws.ToString(c.ImageDigest)
			if d != "" && !slices.Contains(digests[ref], d) {
				digests[ref] = append(digests[ref], d)
			}
		}
	}
	return digests, nil
}

// tasksOf reads the running tasks of a service.
func (s *session) tasksOf(ctx context.Context, cluster, service string) ([]types.Task, error) {
	return s.listTasks(ctx, awsecs.ListTasksInput{Cluster: aws.String(cluster), ServiceName: aws.String(service)})
}

// listTasks lists tasks and describes them.
func (s *session) listTasks(ctx context.Context, in awsecs.ListTasksInput) ([]types.Task, error) {
	return ecs.ListTasks(ctx, s.ECS, s.caller, in)
}

// primaryOf returns a service's primary deployment.
func primaryOf(svc *types.Service) types.Deployment {
	for _, d := range svc.Deployments {
		if d.Status != nil && *d.Status == "PRIMARY" {
			return d
		}
	}
	return types.Deployment{}
}

// inProgress reports whether a deployment of the service has not ended.
func inProgress(svc *types.Service) bool {
	switch primaryOf(svc).RolloutState {
	case types.DeploymentRolloutStateInProgress:
		return true
	case "": // a Classic Load Balancer: only the counts tell
		return len(svc.Deployments) > 1
	}
	return false
}

// serviceDeployments lists the latest n deployments of a service, the newest first.
func (s *session) serviceDeployments(ctx context.Context, cluster, service string, n int) ([]types.ServiceDeploymentBrief, error) {
	var list []types.ServiceDeploymentBrief
	var token *string
	for {
		out, err := call(ctx, s, "ListServiceDeployments", func(ctx context.Context) (*awsecs.ListServiceDeploymentsOutput, error) {
			return s.ECS.ListServiceDeployments(ctx, &awsecs.ListServiceDeploymentsInput{Cluster: aws.String(cluster), Service: aws.String(service), NextToken: token})
		})
		if err != nil {
			return nil, err
		}
		list = append(list, out.ServiceDeployments...)
		if token = out.NextToken; token == nil || len(list) >= n {
			return list[:min(n, len(list))], nil
		}
	}
}

// describeCluster reads a cluster; nil: there is none of that name.
func (s *session) describeCluster(ctx context.Context, name string) (*types.Cluster, error) {
	out, err := call(ctx, s, "DescribeClusters", func(ctx context.Context) (*awsecs.DescribeClustersOutput, error) {
		return s.ECS.DescribeClusters(ctx, &awsecs.DescribeClustersInput{Clusters: []string{name}})
	})
	if err != nil || len(out.Clusters) == 0 {
		return nil, err
	}
	s.home = homeOf(aws.ToString(out.Clusters[0].ClusterArn))
	return &out.Clusters[0], nil
}
