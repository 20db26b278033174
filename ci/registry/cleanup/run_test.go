package cleanup_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	ecrtypes "github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"
	"github.com/google/go-cmp/cmp"

	"github.com/magecloudkit/pipeline/ci/awssim"
	"github.com/magecloudkit/pipeline/ci/registry/cleanup"
)

const (
	magento = "magecloudkit/magento2"
	nginx   = "magecloudkit/nginx"
)

// cloud is a simulated AWS whose default topology runs build 300 of 295 to 300.
type cloud struct {
	*awssim.World
	clock *awssim.VirtualClock
	scope cleanup.Scope
}

func newCloud(t *testing.T, edit func(*awssim.Topology)) *cloud {
	t.Helper()
	c := &cloud{clock: &awssim.VirtualClock{}}
	topology := awssim.DefaultTopology()
	if edit != nil {
		edit(topology)
	}
	var err error
	if c.World, err = awssim.New(awssim.Config{Clock: c.clock, Topology: topology}); err != nil {
		t.Fatal(err)
	}
	cfg := c.ClientConfig()
	c.scope = cleanup.Scope{
		Repositories: []string{magento, nginx}, Revisions: 5,
		Regions: []cleanup.Region{{Name: "us-east-1", ECR: ecr.NewFromConfig(cfg), ECS: ecs.NewFromConfig(cfg), Events: eventbridge.NewFromConfig(cfg), Scheduler: scheduler.NewFromConfig(cfg)}},
	}
	return c
}

// images returns the first tag of every image of a repository, or its digest.
func (c *cloud) images(t *testing.T, repository string) []string {
	t.Helper()
	var all []string
	in := &ecr.DescribeImagesInput{RepositoryName: &repository, MaxResults: aws.Int32(1000)}
	out, err := awssim.Do[ecr.DescribeImagesOutput](c.World, "ecr:DescribeImages", in)
	if err != nil {
		t.Fatal(err)
	}
	for _, im := range out.ImageDetails {
		if len(im.ImageTags) > 0 {
			all = append(all, im.ImageTags[0])
		} else {
			all = append(all, *im.ImageDigest)
		}
	}
	slices.Sort(all)
	return all
}

func (c *cloud) plan(t *testing.T, p cleanup.Policy) cleanup.Plan {
	t.Helper()
	inv, err := cleanup.Collect(t.Context(), c.scope)
	if err != nil {
		t.Fatal(err)
	}
	return cleanup.Make(inv, p, c.clock.Now())
}

func (c *cloud) run(t *testing.T, p cleanup.Policy) (cleanup.Result, error) {
	t.Helper()
	return cleanup.Run(t.Context(), c.plan(t, p), c.scope, p, c.clock.Now, func(string) {})
}

var strict = cleanup.Policy{OlderThan: time.Minute}

func TestRun(t *testing.T) {
	c := newCloud(t, nil)
	result, err := c.run(t, strict)
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Deleted) != 10 || len(result.Failures) != 0 || len(result.Spared) != 0 {
		t.Errorf("%d deleted, %d failed, %d spared", len(result.Deleted), len(result.Failures), len(result.Spared))
	}
	for _, n := range []string{magento, nginx} {
		if diff := cmp.Diff([]string{"300"}, c.images(t, n)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", n, diff)
		}
	}
}

// What a stopped task, an old revision that a rule runs, and a service that was just rolled back need is kept, as seen
// through the APIs.
func TestCollectSeesWhatNeedsImages(t *testing.T) {
	c := newCloud(t, nil)
	ctx := t.Context()
	api := c.scope.Regions[0]
	client := api.ECS.(*ecs.Client)
	register := func(family, image string) string {
		t.Helper()
		old, err := client.DescribeTaskDefinition(ctx, &ecs.DescribeTaskDefinitionInput{TaskDefinition: &family})
		if err != nil {
			t.Fatal(err)
		}
		d := old.TaskDefinition
		containers := slices.Clone(d.ContainerDefinitions)
		for i := range containers {
			if strings.Contains(*containers[i].Image, magento) {
				containers[i].Image = &image
			}
		}
		out, err := client.RegisterTaskDefinition(ctx, &ecs.RegisterTaskDefinitionInput{
			Family: &family, ContainerDefinitions: containers, Cpu: d.Cpu, Memory: d.Memory, NetworkMode: d.NetworkMode,
			RequiresCompatibilities: d.RequiresCompatibilities, ExecutionRoleArn: d.ExecutionRoleArn, TaskRoleArn: d.TaskRoleArn,
		})
		if err != nil {
			t.Fatal(err)
		}
		return *out.TaskDefinition.TaskDefinitionArn
	}
	const registry = "111111111111.dkr.ecr.us-east-1.amazonaws.com/"
	// Build 297 is that of a revision that only the rule runs; it is not among the newest of its family, nor active.
	cron := register("production-cron", registry+magento+":297")
	events := api.Events.(*eventbridge.Client)
	targets, err := events.ListTargetsByRule(ctx, &eventbridge.ListTargetsByRuleInput{Rule: aws.String("production-cron")})
	if err != nil {
		t.Fatal(err)
	}
	targets.Targets[0].EcsParameters.TaskDefinitionArn = &cron
	if _, err := events.PutTargets(ctx, &eventbridge.PutTargetsInput{Rule: aws.String("production-cron"), Targets: targets.Targets}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.DeregisterTaskDefinition(ctx, &ecs.DeregisterTaskDefinitionInput{TaskDefinition: &cron}); err != nil {
		t.Fatal(err)
	}
	// Build 296 is that of the newest revision of a family that nothing runs.
	register("production-cron", registry+magento+":296")
	// Build 298 runs as a task by its digest, and stops.
	im, err := api.ECR.DescribeImages(ctx, &ecr.DescribeImagesInput{RepositoryName: aws.String(magento), ImageIds: []ecrtypes.ImageIdentifier{{ImageTag: aws.String("298")}}})
	if err != nil {
		t.Fatal(err)
	}
	once := register("production-consumers", registry+magento+"@"+*im.ImageDetails[0].ImageDigest)
	services, err := client.DescribeServices(ctx, &ecs.DescribeServicesInput{Cluster: aws.String("production-app"), Services: []string{"production-consumers"}})
	if err != nil {
		t.Fatal(err)
	}
	ran, err := client.RunTask(ctx, &ecs.RunTaskInput{
		Cluster: aws.String("production-app"), TaskDefinition: &once, LaunchType: "FARGATE", NetworkConfiguration: services.Services[0].NetworkConfiguration,
	})
	if err != nil || len(ran.Failures) > 0 {
		t.Fatal(err, ran.Failures)
	}
	c.clock.Advance(time.Minute)
	if _, err := client.StopTask(ctx, &ecs.StopTaskInput{Cluster: aws.String("production-app"), Task: ran.Tasks[0].TaskArn}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.DeregisterTaskDefinition(ctx, &ecs.DeregisterTaskDefinitionInput{TaskDefinition: &once}); err != nil {
		t.Fatal(err)
	}
	c.clock.Advance(2 * time.Minute)

	p := strict
	p.KeepRevisions = 1
	c.scope.Revisions = 1
	kept := map[string]bool{}
	for _, d := range c.plan(t, p).Repositories[0].Images {
		if !d.Delete {
			kept[d.Tags[0]] = true
		}
	}
	if diff := cmp.Diff(map[string]bool{"296": true, "297": true, "298": true, "300": true}, kept); diff != "" {
		t.Errorf("kept (-want +got):\n%s", diff)
	}
}

// What comes to be needed between the plan and the deletion is spared.
func TestRunLooksAgain(t *testing.T) {
	c := newCloud(t, nil)
	plan := c.plan(t, strict)
	client := c.scope.Regions[0].ECS.(*ecs.Client)
	d, err := client.DescribeTaskDefinition(t.Context(), &ecs.DescribeTaskDefinitionInput{TaskDefinition: aws.String("production-app")})
	if err != nil {
		t.Fatal(err)
	}
	containers := d.TaskDefinition.ContainerDefinitions
	for i := range containers {
		containers[i].Image = aws.String(strings.Replace(*containers[i].Image, ":300", ":296", 1))
	}
	def := d.TaskDefinition
	back, err := client.RegisterTaskDefinition(t.Context(), &ecs.RegisterTaskDefinitionInput{
		Family: def.Family, ContainerDefinitions: containers, Cpu: def.Cpu, Memory: def.Memory, NetworkMode: def.NetworkMode,
		RequiresCompatibilities: def.RequiresCompatibilities, ExecutionRoleArn: def.ExecutionRoleArn, TaskRoleArn: def.TaskRoleArn,
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.UpdateService(t.Context(), &ecs.UpdateServiceInput{
		Cluster: aws.String("production-app"), Service: aws.String("production-app"), TaskDefinition: back.TaskDefinition.TaskDefinitionArn,
	}); err != nil {
		t.Fatal(err)
	}
	result, err := cleanup.Run(t.Context(), plan, c.scope, strict, c.clock.Now, func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Spared) != 2 || len(result.Spared[0].Because) == 0 {
		t.Errorf("spared: %+v, want build 296 of both repositories", result.Spared)
	}
	for _, n := range []string{magento, nginx} {
		if diff := cmp.Diff([]string{"296", "300"}, c.images(t, n)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", n, diff)
		}
	}
}

// A repository with many images is deleted from by the hundred; an index goes before its parts; failures are told.
func TestRunDeletesInBatches(t *testing.T) {
	c := newCloud(t, func(top *awssim.Topology) {
		r := &top.Repositories[0]
		for i := range 230 {
			r.Images = append(r.Images, awssim.ImageSpec{Tags: []string{fmt.Sprint("old", i)}, Age: awssim.Duration(100 * 24 * time.Hour)})
		}
		for i := range 10 {
			r.Images = append(r.Images, awssim.ImageSpec{
				Tags: []string{fmt.Sprint("multi", i)}, Platforms: []string{"linux/amd64", "linux/arm64"}, Age: awssim.Duration(200 * 24 * time.Hour),
			})
		}
	})
	result, err := c.run(t, cleanup.Policy{OlderThan: 30 * 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if want := 230 + 10*3; len(result.Deleted) != want || len(result.Failures) != 0 {
		t.Errorf("%d deleted, want %d; failures %v", len(result.Deleted), want, result.Failures)
	}
	if diff := cmp.Diff([]string{"295", "296", "297", "298", "299", "300"}, c.images(t, magento)); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}

// An index that is used keeps its parts, and a part that ECR will not delete is a failure that is told.
func TestRunReportsFailures(t *testing.T) {
	c := newCloud(t, func(top *awssim.Topology) {
		r := &top.Repositories[0]
		r.Images = append(r.Images, awssim.ImageSpec{
			Tags: []string{"multi"}, Platforms: []string{"linux/amd64", "linux/arm64"}, Age: awssim.Duration(200 * 24 * time.Hour),
		})
	})
	p := cleanup.Policy{OlderThan: 30 * 24 * time.Hour, KeepTags: []string{"multi"}}
	plan := c.plan(t, p)
	for _, d := range plan.Repositories[0].Images {
		if d.Delete {
			t.Errorf("%s would be deleted", d.Digest)
		}
	}
	// An index that the repository hides (it is archived) still holds its parts.
	shape := c.scope.Regions[0].ECR.(*ecr.Client)
	if _, err := shape.UpdateImageStorageClass(t.Context(), &ecr.UpdateImageStorageClassInput{
		RepositoryName: aws.String(magento), ImageId: &ecrtypes.ImageIdentifier{ImageTag: aws.String("multi")}, TargetStorageClass: ecrtypes.TargetStorageClassArchive,
	}); err != nil {
		t.Fatal(err)
	}
	result, err := c.run(t, p)
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Failures) != 2 || result.Failures[0].Code != "ImageReferencedByManifestList" || len(result.Deleted) != 0 {
		t.Errorf("failures %+v, deleted %v", result.Failures, result.Deleted)
	}
}

// Whatever cannot be read ends the cleanup before anything is deleted; what is only throttled does not.
func TestRunWithFaults(t *testing.T) {
	reads := []string{
		"ecr:DescribeRepositories", "ecr:DescribeImages", "ecs:ListClusters", "ecs:ListTasks", "ecs:DescribeTasks", "ecs:ListServices",
		"ecs:DescribeServices", "ecs:ListServiceDeployments", "ecs:DescribeServiceRevisions", "ecs:ListTaskDefinitions", "ecs:DescribeTaskDefinition", "events:ListEventBuses", "events:ListRules", "events:ListTargetsByRule",
		"scheduler:ListSchedules", "scheduler:GetSchedule",
	}
	for _, op := range reads {
		c := newCloud(t, withSchedule)
		plan := c.plan(t, strict)
		if err := c.AddFault(awssim.Fault{Op: op, Kind: awssim.Denied}); err != nil {
			t.Fatal(err)
		}
		result, err := cleanup.Run(t.Context(), plan, c.scope, strict, c.clock.Now, func(string) {})
		if err == nil || len(result.Deleted) > 0 || len(c.images(t, magento)) != 6 {
			t.Errorf("%s denied: %v, deleted %v", op, err, result.Deleted)
		}
	}

	c := newCloud(t, nil)
	if err := c.AddFault(awssim.Fault{Op: "*", Kind: awssim.Throttle, Every: 3}); err != nil {
		t.Fatal(err)
	}
	result, err := c.run(t, strict)
	if err != nil || len(result.Deleted) != 10 {
		t.Errorf("throttled at every third call: %v, %d deleted", err, len(result.Deleted))
	}
}

func TestCollectWithoutRepositories(t *testing.T) {
	c := newCloud(t, nil)
	c.scope.Repositories = []string{"other"}
	if _, err := cleanup.Collect(context.Background(), c.scope); err == nil || !strings.Contains(err.Error(), "other") {
		t.Errorf("Collect = %v", err)
	}
	c = newCloud(t, nil)
	c.scope.Clusters = []string{"no-such-cluster"}
	if _, err := cleanup.Collect(context.Background(), c.scope); err == nil || !strings.Contains(err.Error(), "no-such-cluster") {
		t.Errorf("Collect = %v", err)
	}
}

// What a service that is scaled to nothing would start again is kept, though its tag has moved.
func TestRunKeepsWhatAServiceHasResolved(t *testing.T) {
	c := newCloud(t, func(top *awssim.Topology) {
		top.Repositories[0].Mutability, top.Repositories[0].Exclusions = "MUTABLE", nil
		top.Rules[0].Disabled = true // the tasks of cron would keep the image as well
	})
	ctx := t.Context()
	shape := c.scope.Regions[0].ECR.(*ecr.Client)
	client := c.scope.Regions[0].ECS.(*ecs.Client)
	for _, service := range []string{"production-app", "production-consumers"} {
		if _, err := client.UpdateService(ctx, &ecs.UpdateServiceInput{Cluster: aws.String("production-app"), Service: &service, DesiredCount: aws.Int32(0)}); err != nil {
			t.Fatal(err)
		}
	}
	c.clock.Advance(3 * time.Hour) // the stopped tasks are forgotten
	get := func(tag string) ecrtypes.Image {
		t.Helper()
		out, err := shape.BatchGetImage(ctx, &ecr.BatchGetImageInput{RepositoryName: aws.String(magento), ImageIds: []ecrtypes.ImageIdentifier{{ImageTag: &tag}}})
		if err != nil || len(out.Images) != 1 {
			t.Fatal(err, out.Failures)
		}
		return out.Images[0]
	}
	runs, other := get("300"), get("295")
	for _, tag := range []string{"300", "latest"} {
		if _, err := shape.PutImage(ctx, &ecr.PutImageInput{RepositoryName: aws.String(magento), ImageManifest: other.ImageManifest, ImageTag: &tag}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.run(t, strict); err != nil {
		t.Fatal(err)
	}
	if left := c.images(t, magento); !slices.Contains(left, *runs.ImageId.ImageDigest) {
		t.Errorf("left: %v, which lacks %s", left, *runs.ImageId.ImageDigest)
	}
}

// What runs in one region keeps the images of another; a region without the repositories is only looked at.
func TestSeveralRegions(t *testing.T) {
	c := newCloud(t, nil)
	abroad := newCloud(t, func(top *awssim.Topology) {
		top.Region, top.Repositories, top.Rules = "eu-west-1", nil, nil
		for _, d := range top.TaskDefinitions {
			for i, container := range d.Value.ContainerDefinitions { // they name the registry in us-east-1
				d.Value.ContainerDefinitions[i].Image = aws.String(strings.Replace(*container.Image, ":300", ":296", 1))
			}
		}
	})
	c.scope.Regions = append(c.scope.Regions, abroad.scope.Regions[0])
	c.scope.Regions[1].Name = "eu-west-1"
	if _, err := c.run(t, strict); err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{magento, nginx} {
		if diff := cmp.Diff([]string{"296", "300"}, c.images(t, n)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", n, diff)
		}
	}
}
