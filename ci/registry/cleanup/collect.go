package cleanup

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	ecrtypes "github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/magecloudkit/pipeline/ci/registry"
)

// ECR is what a cleanup asks of Amazon ECR. *ecr.Client has it.
type ECR interface {
	DescribeRepositories(context.Context, *ecr.DescribeRepositoriesInput, ...func(*ecr.Options)) (*ecr.DescribeRepositoriesOutput, error)
	DescribeImages(context.Context, *ecr.DescribeImagesInput, ...func(*ecr.Options)) (*ecr.DescribeImagesOutput, error)
	BatchGetImage(context.Context, *ecr.BatchGetImageInput, ...func(*ecr.Options)) (*ecr.BatchGetImageOutput, error)
	BatchDeleteImage(context.Context, *ecr.BatchDeleteImageInput, ...func(*ecr.Options)) (*ecr.BatchDeleteImageOutput, error)
}

// ECS is what a cleanup asks of Amazon ECS. *ecs.Client has it.
type ECS interface {
	ListClusters(context.Context, *ecs.ListClustersInput, ...func(*ecs.Options)) (*ecs.ListClustersOutput, error)
	ListTasks(context.Context, *ecs.ListTasksInput, ...func(*ecs.Options)) (*ecs.ListTasksOutput, error)
	DescribeTasks(context.Context, *ecs.DescribeTasksInput, ...func(*ecs.Options)) (*ecs.DescribeTasksOutput, error)
	ListServices(context.Context, *ecs.ListServicesInput, ...func(*ecs.Options)) (*ecs.ListServicesOutput, error)
	DescribeServices(context.Context, *ecs.DescribeServicesInput, ...func(*ecs.Options)) (*ecs.DescribeServicesOutput, error)
	ListServiceDeployments(context.Context, *ecs.ListServiceDeploymentsInput, ...func(*ecs.Options)) (*ecs.ListServiceDeploymentsOutput, error)
	DescribeServiceRevisions(context.Context, *ecs.DescribeServiceRevisionsInput, ...func(*ecs.Options)) (*ecs.DescribeServiceRevisionsOutput, error)
	ListTaskDefinitions(context.Context, *ecs.ListTaskDefinitionsInput, ...func(*ecs.Options)) (*ecs.ListTaskDefinitionsOutput, error)
	DescribeTaskDefinition(context.Context, *ecs.DescribeTaskDefinitionInput, ...func(*ecs.Options)) (*ecs.DescribeTaskDefinitionOutput, error)
}

// Events is what a cleanup asks of Amazon EventBridge. *eventbridge.Client has it.
type Events interface {
	ListEventBuses(context.Context, *eventbridge.ListEventBusesInput, ...func(*eventbridge.Options)) (*eventbridge.ListEventBusesOutput, error)
	ListRules(context.Context, *eventbridge.ListRulesInput, ...func(*eventbridge.Options)) (*eventbridge.ListRulesOutput, error)
	ListTargetsByRule(context.Context, *eventbridge.ListTargetsByRuleInput, ...func(*eventbridge.Options)) (*eventbridge.ListTargetsByRuleOutput, error)
}

// Scheduler is what a cleanup asks of Amazon EventBridge Scheduler. *scheduler.Client has it.
type Scheduler interface {
	ListSchedules(context.Context, *scheduler.ListSchedulesInput, ...func(*scheduler.Options)) (*scheduler.ListSchedulesOutput, error)
	GetSchedule(context.Context, *scheduler.GetScheduleInput, ...func(*scheduler.Options)) (*scheduler.GetScheduleOutput, error)
}

// Region is how the services of one region are reached.
type Region struct {
	Name      string
	ECR       ECR
	ECS       ECS
	Events    Events
	Scheduler Scheduler
}

// Scope is what a cleanup looks at.
type Scope struct {
	Regions      []Region
	Clusters     []string // none: all clusters of the regions
	Repositories []string // names; in regions where one does not exist, it is passed over
	Revisions    int      // how many revisions of every active family are read
}

// Collect reads the images of the repositories, in all regions, and everything that could need one. Whatever cannot be
// read is an error: what is not known to be unused is not deleted.
//
// Beside what runs, the newest revisions of every active family count: nobody can tell whether a schedule, a state
// machine or a person is going to run one.
func Collect(ctx context.Context, s Scope) (Inventory, error) {
	var inv Inventory
	for _, r := range s.Regions {
		if err := r.collect(ctx, s, &inv); err != nil {
			return Inventory{}, fmt.Errorf("looking at region %s: %w", r.Name, err)
		}
	}
	if len(inv.Repositories) == 0 {
		return Inventory{}, fmt.Errorf("none of the regions has a repository %s", strings.Join(s.Repositories, " or "))
	}
	return inv, nil
}

func (r Region) collect(ctx context.Context, s Scope, inv *Inventory) error {
	found, _, err := registry.Repositories(ctx, r.ECR, nil, s.Repositories...)
	if err != nil {
		return err
	}
	for _, repo := range found {
		images, err := r.images(ctx, repo.Name)
		if err != nil {
			return fmt.Errorf("repository %s: %w", repo.Name, err)
		}
		inv.Repositories = append(inv.Repositories, Repository{Region: r.Name, Name: repo.Name, URI: repo.URI, Images: images})
	}

	clusters := s.Clusters
	if len(clusters) == 0 {
		pages := ecs.NewListClustersPaginator(r.ECS, &ecs.ListClustersInput{})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return fmt.Errorf("listing the clusters: %w", err)
			}
			clusters = append(clusters, page.ClusterArns...)
		}
	}
	var tasks []Task
	var services []Service
	for _, cluster := range clusters {
		t, err := r.tasks(ctx, cluster)
		if err != nil {
			return fmt.Errorf("the tasks of cluster %s: %w", last(cluster), err)
		}
		tasks = append(tasks, t...)
		sv, err := r.services(ctx, cluster)
		if err != nil {
			return fmt.Errorf("the services of cluster %s: %w", last(cluster), err)
		}
		services = append(services, sv...)
	}
	rules, err := r.rules(ctx)
	if err != nil {
		return err
	}
	schedules, err := r.schedules(ctx)
	if err != nil {
		return err
	}
	rules = append(rules, schedules...)
	definitions, err := r.definitions(ctx, tasks, services, rules, s.Revisions)
	if err != nil {
		return err
	}
	inv.Tasks = append(inv.Tasks, tasks...)
	inv.Services = append(inv.Services, services...)
	inv.Rules = append(inv.Rules, rules...)
	inv.TaskDefinitions = append(inv.TaskDefinitions, definitions...)
	return nil
}

// images reads all images of a repository.
func (r Region) images(ctx context.Context, repository string) ([]Image, error) {
	var images []Image
	pages := ecr.NewDescribeImagesPaginator(r.ECR, &ecr.DescribeImagesInput{RepositoryName: &repository, MaxResults: aws.Int32(1000)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("reading the images: %w", err)
		}
		for _, d := range page.ImageDetails {
			images = append(images, Image{
				Digest: aws.ToString(d.ImageDigest), Tags: slices.Sorted(slices.Values(d.ImageTags)), Pushed: aws.ToTime(d.ImagePushedAt),
				Size: aws.ToInt64(d.ImageSizeInBytes), MediaType: aws.ToString(d.ImageManifestMediaType), Subject: aws.ToString(d.SubjectManifestDigest),
			})
		}
	}
	return images, r.children(ctx, repository, images)
}

// batchSize is how many images a call names at most.
const batchSize = 100

// children reads what the indexes consist of.
func (r Region) children(ctx context.Context, repository string, images []Image) error {
	indexes := map[string]int{}
	var ids []ecrtypes.ImageIdentifier
	for i, im := range images {
		if types.MediaType(im.MediaType).IsIndex() {
			indexes[im.Digest] = i
			ids = append(ids, ecrtypes.ImageIdentifier{ImageDigest: aws.String(im.Digest)})
		}
	}
	for batch := range slices.Chunk(ids, batchSize) {
		out, err := r.ECR.BatchGetImage(ctx, &ecr.BatchGetImageInput{
			RepositoryName: &repository, ImageIds: batch,
			AcceptedMediaTypes: []string{string(types.OCIImageIndex), string(types.DockerManifestList)},
		})
		if err != nil {
			return fmt.Errorf("reading what the indexes consist of: %w", err)
		}
		for _, im := range out.Images {
			var index struct {
				Manifests []struct {
					Digest string `json:"digest"`
				} `json:"manifests"`
			}
			digest := aws.ToString(im.ImageId.ImageDigest)
			if err := json.Unmarshal([]byte(aws.ToString(im.ImageManifest)), &index); err != nil {
				return fmt.Errorf("the index %s is not JSON: %w", digest, err)
			}
			i, ok := indexes[digest]
			if !ok {
				return fmt.Errorf("the registry answered with the index %s, which was not asked for", digest)
			}
			for _, m := range index.Manifests {
				images[i].Children = append(images[i].Children, m.Digest)
			}
			delete(indexes, digest)
		}
		for _, f := range out.Failures {
			if f.FailureCode == ecrtypes.ImageFailureCodeImageNotFound { // deleted since it was listed
				delete(indexes, aws.ToString(f.ImageId.ImageDigest))
			}
		}
	}
	for digest := range indexes {
		return fmt.Errorf("what the index %s consists of cannot be read", digest)
	}
	return nil
}

func (r Region) tasks(ctx context.Context, cluster string) ([]Task, error) {
	var tasks []Task
	for _, status := range []ecstypes.DesiredStatus{ecstypes.DesiredStatusRunning, ecstypes.DesiredStatusStopped} {
		pages := ecs.NewListTasksPaginator(r.ECS, &ecs.ListTasksInput{Cluster: &cluster, DesiredStatus: status})
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return nil, err
			}
			if len(page.TaskArns) == 0 {
				continue
			}
			out, err := r.ECS.DescribeTasks(ctx, &ecs.DescribeTasksInput{Cluster: &cluster, Tasks: page.TaskArns})
			if err != nil {
				return nil, err
			}
			if err := gone(out.Failures); err != nil {
				return nil, err
			}
			for _, t := range out.Tasks {
				task := Task{ARN: aws.ToString(t.TaskArn), Status: aws.ToString(t.LastStatus), TaskDefinition: aws.ToString(t.TaskDefinitionArn)}
				for _, c := range t.Containers {
					task.Containers = append(task.Containers, Container{Image: aws.ToString(c.Image), Digest: aws.ToString(c.ImageDigest)})
				}
				tasks = append(tasks, task)
			}
		}
	}
	return tasks, nil
}

// gone passes over what has vanished since it was listed, and nothing else.
func gone(failures []ecstypes.Failure) error {
	for _, f := range failures {
		if reason := aws.ToString(f.Reason); reason != "MISSING" {
			return fmt.Errorf("%s: %s", aws.ToString(f.Arn), reason)
		}
	}
	return nil
}

func (r Region) services(ctx context.Context, cluster string) ([]Service, error) {
	var services []Service
	const most = 10 // services a DescribeServices
	pages := ecs.NewListServicesPaginator(r.ECS, &ecs.ListServicesInput{Cluster: &cluster, MaxResults: aws.Int32(most)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		if len(page.ServiceArns) == 0 {
			continue
		}
		out, err := r.ECS.DescribeServices(ctx, &ecs.DescribeServicesInput{Cluster: &cluster, Services: page.ServiceArns})
		if err != nil {
			return nil, err
		}
		if err := gone(out.Failures); err != nil {
			return nil, err
		}
		for _, s := range out.Services {
			service := Service{ARN: aws.ToString(s.ServiceArn), TaskDefinition: aws.ToString(s.TaskDefinition)}
			for _, d := range s.Deployments {
				service.Deployments = append(service.Deployments, Deployment{aws.ToString(d.Status), aws.ToString(d.TaskDefinition)})
			}
			for _, d := range s.TaskSets {
				service.TaskSets = append(service.TaskSets, Deployment{aws.ToString(d.Status), aws.ToString(d.TaskDefinition)})
			}
			if service.Digests, err = r.resolved(ctx, cluster, service.ARN); err != nil {
				return nil, fmt.Errorf("the revisions of service %s: %w", last(service.ARN), err)
			}
			services = append(services, service)
		}
	}
	return services, nil
}

// resolved reads the digests of the revisions that a service runs or is moving between: those of its deployments back to
// the last one that succeeded.
//
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-type-ecs.html#deployment-container-image-stability
func (r Region) resolved(ctx context.Context, cluster, service string) ([]string, error) {
	var revisions []string
	in := &ecs.ListServiceDeploymentsInput{Cluster: &cluster, Service: &service}
	for found := false; !found; {
		page, err := r.ECS.ListServiceDeployments(ctx, in)
		var unsupported *ecstypes.UnsupportedFeatureException
		if errors.As(err, &unsupported) { // another deployment controller, which keeps task sets
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		for _, d := range page.ServiceDeployments { // the newest first
			if !found {
				revisions = append(revisions, aws.ToString(d.TargetServiceRevisionArn))
			}
			found = found || d.Status == ecstypes.ServiceDeploymentStatusSuccessful
		}
		if in.NextToken = page.NextToken; page.NextToken == nil {
			break
		}
	}
	var digests []string
	const most = 20 // revisions a DescribeServiceRevisions
	for batch := range slices.Chunk(revisions, most) {
		out, err := r.ECS.DescribeServiceRevisions(ctx, &ecs.DescribeServiceRevisionsInput{ServiceRevisionArns: batch})
		if err != nil {
			return nil, err
		}
		if err := gone(out.Failures); err != nil {
			return nil, err
		}
		for _, revision := range out.ServiceRevisions {
			for _, im := range revision.ContainerImages {
				if im.ImageDigest != nil {
					digests = append(digests, *im.ImageDigest)
				}
			}
		}
	}
	return digests, nil
}

// definitions reads the task definitions that anything names, and the newest revisions of every active family.
func (r Region) definitions(ctx context.Context, tasks []Task, services []Service, rules []Rule, revisions int) ([]TaskDefinition, error) {
	wanted := map[string]bool{}
	for _, t := range tasks {
		wanted[t.TaskDefinition] = true
	}
	for _, s := range services {
		wanted[s.TaskDefinition] = true
		for _, d := range append(slices.Clone(s.Deployments), s.TaskSets...) {
			wanted[d.TaskDefinition] = true
		}
	}
	for _, rule := range rules {
		for _, d := range rule.TaskDefinitions {
			wanted[d] = true
		}
	}
	families := map[string][]int{}
	pages := ecs.NewListTaskDefinitionsPaginator(r.ECS, &ecs.ListTaskDefinitionsInput{Status: ecstypes.TaskDefinitionStatusActive})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("listing the task definitions: %w", err)
		}
		for _, arn := range page.TaskDefinitionArns {
			family, revision := splitRevision(arn)
			families[family] = append(families[family], revision)
		}
	}
	for family, all := range families {
		slices.Sort(all)
		slices.Reverse(all)
		for _, revision := range all[:min(revisions, len(all))] {
			wanted[fmt.Sprintf("%s:%d", family, revision)] = true
		}
	}
	delete(wanted, "") // a service whose task sets run it names none itself
	var found []TaskDefinition
	for _, arn := range slices.Sorted(maps.Keys(wanted)) {
		d, err := r.definition(ctx, arn)
		if err != nil {
			return nil, err
		}
		if d != nil {
			found = append(found, *d)
		}
	}
	return found, nil
}

// definition reads one task definition; nil if it has been deleted, so that nothing can start it.
func (r Region) definition(ctx context.Context, arn string) (*TaskDefinition, error) {
	out, err := r.ECS.DescribeTaskDefinition(ctx, &ecs.DescribeTaskDefinitionInput{TaskDefinition: &arn})
	var client *ecstypes.ClientException
	if errors.As(err, &client) && strings.Contains(client.ErrorMessage(), "Unable to describe task definition") {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the task definition %s: %w", last(arn), err)
	}
	d := &TaskDefinition{ARN: aws.ToString(out.TaskDefinition.TaskDefinitionArn), Active: out.TaskDefinition.Status == ecstypes.TaskDefinitionStatusActive}
	for _, c := range out.TaskDefinition.ContainerDefinitions {
		d.Images = append(d.Images, aws.ToString(c.Image))
	}
	return d, nil
}
