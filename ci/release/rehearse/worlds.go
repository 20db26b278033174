package rehearse

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	ebtypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"github.com/magecloudkit/pipeline/ci/awssim"
	"github.com/magecloudkit/pipeline/ci/ecs"
	"github.com/magecloudkit/pipeline/ci/release"
)

func service(t *awssim.Topology, name string) *awsecs.CreateServiceInput {
	for i := range t.Services {
		if aws.ToString(t.Services[i].Value.ServiceName) == name {
			return &t.Services[i].Value
		}
	}
	return nil
}

func definition(t *awssim.Topology, family string) *awsecs.RegisterTaskDefinitionInput {
	for i := range t.TaskDefinitions {
		if aws.ToString(t.TaskDefinitions[i].Value.Family) == family {
			return &t.TaskDefinitions[i].Value
		}
	}
	return nil
}

func desired(n int32) world {
	return func(t *awssim.Topology) { service(t, Web).DesiredCount = aws.Int32(n) }
}

func breaker(enable, rollback bool) world {
	return func(t *awssim.Topology) {
		for i := range t.Services {
			t.Services[i].Value.DeploymentConfiguration.DeploymentCircuitBreaker = &types.DeploymentCircuitBreaker{Enable: enable, Rollback: rollback}
		}
	}
}

// firstOldThenNew lets a service stop its old tasks before the new ones run.
func firstOldThenNew(t *awssim.Topology) {
	breaker(false, false)(t)
	for i := range t.Services {
		t.Services[i].Value.DeploymentConfiguration.MinimumHealthyPercent = aws.Int32(0)
		t.Services[i].Value.DeploymentConfiguration.MaximumPercent = aws.Int32(100)
	}
}

func moreServices(n int) world {
	return func(t *awssim.Topology) {
		for i := range n {
			s := *service(t, Consumers)
			s.ServiceName = aws.String(fmt.Sprintf("consumers-%d", i))
			t.Services = append(t.Services, awssim.ServiceSpec{Value: s})
		}
	}
}

func images(change func(*awssim.ImageSpec)) world {
	return func(t *awssim.Topology) {
		for i := range t.Repositories {
			for j := range t.Repositories[i].Images {
				if im := &t.Repositories[i].Images[j]; slices.Contains(im.Tags, Build) {
					change(im)
				}
			}
		}
	}
}

// classic puts the web service behind a Classic Load Balancer.
func classic(t *awssim.Topology) {
	td, svc := definition(t, Web), service(t, Web)
	t.Clusters[0].Instances = []awssim.InstanceSpec{{Count: 6, CPU: 4096, Memory: 16384}}
	onEC2(td, svc)
	for i := range svc.LoadBalancers {
		svc.LoadBalancers[i].TargetGroupArn = nil
		svc.LoadBalancers[i].LoadBalancerName = aws.String("classic")
	}
	td.ContainerDefinitions[0].PortMappings[0].HostPort = aws.Int32(8080)
}

func onEC2(td *awsecs.RegisterTaskDefinitionInput, svc *awsecs.CreateServiceInput) {
	td.NetworkMode, td.RequiresCompatibilities = types.NetworkModeBridge, []types.Compatibility{types.CompatibilityEc2}
	svc.LaunchType, svc.NetworkConfiguration = types.LaunchTypeEc2, nil
}

// hostPorts is a service on EC2 whose tasks take a port of their instance, as
// many as there are instances.
func hostPorts(t *awssim.Topology) {
	td, svc := definition(t, Web), service(t, Web)
	t.Clusters[0].Instances = []awssim.InstanceSpec{{Count: 2, CPU: 8192, Memory: 32768}}
	onEC2(td, svc)
	svc.LoadBalancers, svc.HealthCheckGracePeriodSeconds = nil, nil
	td.ContainerDefinitions[1].PortMappings[0].HostPort = aws.Int32(9000)
}

func codeDeploy(t *awssim.Topology) {
	service(t, Consumers).DeploymentController = &types.DeploymentController{Type: types.DeploymentControllerTypeCodeDeploy}
}

// staging adds a cluster that runs builds of its own.
func staging(web, consumers string) world {
	return func(t *awssim.Topology) {
		t.Clusters = append(t.Clusters, awssim.ClusterSpec{Name: "staging-app"})
		for family, build := range map[string]string{Web: web, Consumers: consumers} {
			td := *definition(t, family)
			td.Family = aws.String("staging-" + family)
			td.ContainerDefinitions = slices.Clone(td.ContainerDefinitions)
			for i := range td.ContainerDefinitions {
				c := &td.ContainerDefinitions[i]
				c.Image = aws.String(strings.Replace(*c.Image, ":"+Running, ":"+build, 1))
			}
			t.TaskDefinitions = append(t.TaskDefinitions, awssim.TaskDefinitionSpec{Value: td})
			svc := *service(t, family)
			svc.Cluster, svc.TaskDefinition = aws.String("staging-app"), td.Family
			t.Services = append(t.Services, awssim.ServiceSpec{Value: svc})
		}
	}
}

// sameDigests wants both clusters' tasks to run the same images.
func sameDigests(s *Stage, _ *release.Result) error {
	digests := map[string]map[string]bool{}
	for _, cluster := range []string{"staging-app", s.Request.Cluster} {
		digests[cluster] = map[string]bool{}
		list, err := awssim.Do[awsecs.ListTasksOutput](s.World, "ecs:ListTasks", &awsecs.ListTasksInput{Cluster: &cluster})
		if err != nil {
			return err
		}
		out, err := awssim.Do[awsecs.DescribeTasksOutput](s.World, "ecs:DescribeTasks", &awsecs.DescribeTasksInput{Cluster: &cluster, Tasks: list.TaskArns})
		if err != nil {
			return err
		}
		for _, t := range out.Tasks {
			for _, c := range t.Containers {
				digests[cluster][aws.ToString(c.ImageDigest)] = true
			}
		}
	}
	if a, b := digests["staging-app"], digests[s.Request.Cluster]; !maps.Equal(a, b) || len(a) < 2 {
		return fmt.Errorf("staging runs %v, production %v", a, b)
	}
	return nil
}

func cronOverrides(t *awssim.Topology) {
	target := &t.Rules[0].Targets[0]
	target.Input = aws.String(`{"containerOverrides":[{"name":"magento","command":["bin/magento","cron:run","--group","index"],"environment":[{"name":"A","value":"1"}]}],"cpu":"512"}`)
	target.EcsParameters.Tags = []ebtypes.Tag{{Key: aws.String("team"), Value: aws.String("shop")}}
	target.EcsParameters.PropagateTags = ebtypes.PropagateTagsTaskDefinition
	target.RetryPolicy = &ebtypes.RetryPolicy{MaximumRetryAttempts: aws.Int32(2)}
}

func cronOfWeb(t *awssim.Topology) {
	p := t.Rules[0].Targets[0].EcsParameters
	p.TaskDefinitionArn = aws.String(strings.Replace(*p.TaskDefinitionArn, "production-cron", Web, 1))
}

func cronWithQueue(t *awssim.Topology) {
	t.Rules[0].Targets = append(t.Rules[0].Targets, ebtypes.Target{Id: aws.String("queue"), Arn: aws.String("arn:aws:sqs:us-east-1:111111111111:cron")})
}

func noForeignECR(*awssim.Topology) {}

func plainPassword(r *release.Request) {
	r.Edits.Env = []ecs.Variable{{Name: "MYSQL_PASSWORD", Value: "hunter2"}}
}

// logRouter is as AWS documents it: in the registry of an account of AWS's.
const logRouter = "222222222222.dkr.ecr.us-east-1.amazonaws.com/aws-for-fluent-bit:stable"

func sidecarOfAWS(t *awssim.Topology) {
	definition(t, Web).ContainerDefinitions[2].Image = aws.String(logRouter)
}

func nginxWaitsForHealth(t *awssim.Topology) {
	definition(t, Web).ContainerDefinitions[0].DependsOn = []types.ContainerDependency{{ContainerName: aws.String("magento"), Condition: types.ContainerConditionHealthy}}
}

func sidecarDigest(t *awssim.Topology) {
	c := definition(t, Web).ContainerDefinitions
	c[2].Image = aws.String("public.ecr.aws/datadog/agent@sha256:" + strings.Repeat("ab", 32))
}

func portRegistry(t *awssim.Topology) {
	for i := range t.TaskDefinitions {
		for j := range t.TaskDefinitions[i].Value.ContainerDefinitions {
			c := &t.TaskDefinitions[i].Value.ContainerDefinitions[j]
			switch {
			case strings.Contains(*c.Image, "magento2"):
				c.Image = aws.String("registry.local:5000/shop:" + Running)
			case strings.Contains(*c.Image, "magecloudkit/nginx"):
				c.Image = aws.String("registry.local:5000/shop-nginx:" + Running)
			}
		}
	}
	// The simulation knows of another registry what task definitions name.
	next := *definition(t, Web)
	next.Family = aws.String("pushed-since")
	next.ContainerDefinitions = slices.Clone(next.ContainerDefinitions)
	for i := range next.ContainerDefinitions {
		c := &next.ContainerDefinitions[i]
		c.Image = aws.String(strings.Replace(*c.Image, ":"+Running, ":"+Build, 1))
	}
	t.TaskDefinitions = append(t.TaskDefinitions, awssim.TaskDefinitionSpec{Value: next})
}

func severalWeb(t *awssim.Topology) {
	td := definition(t, Web)
	admin := td.ContainerDefinitions[1]
	admin.Name = aws.String("admin")
	admin.PortMappings = nil
	td.ContainerDefinitions = append(td.ContainerDefinitions, admin)
}

// everyField sets what a task definition on Fargate can have.
func everyField(t *awssim.Topology) {
	td := definition(t, Web)
	td.EphemeralStorage = &types.EphemeralStorage{SizeInGiB: 50}
	td.PidMode = types.PidModeTask
	td.Volumes = []types.Volume{
		{Name: aws.String("media"), EfsVolumeConfiguration: &types.EFSVolumeConfiguration{
			FileSystemId: aws.String("fs-1"), RootDirectory: aws.String("/media"), TransitEncryption: types.EFSTransitEncryptionEnabled,
			AuthorizationConfig: &types.EFSAuthorizationConfig{AccessPointId: aws.String("fsap-1"), Iam: types.EFSAuthorizationConfigIAMEnabled},
		}},
		{Name: aws.String("var")},
	}
	td.Tags = append(td.Tags, types.Tag{Key: aws.String("team"), Value: aws.String("shop")})
	c := &td.ContainerDefinitions[1]
	c.Cpu = 512
	c.MemoryReservation = aws.Int32(1024)
	c.MountPoints = []types.MountPoint{{SourceVolume: aws.String("media"), ContainerPath: aws.String("/var/www/html/pub/media"), ReadOnly: aws.Bool(false)}, {SourceVolume: aws.String("var"), ContainerPath: aws.String("/var/www/html/var")}}
	c.EntryPoint = []string{"/entrypoint"}
	c.Command = []string{"* * * * *", "php"}
	c.DockerLabels = map[string]string{"image": *c.Image}
	c.EnvironmentFiles = []types.EnvironmentFile{{Type: types.EnvironmentFileTypeS3, Value: aws.String("arn:aws:s3:::bucket/magento.env")}}
	c.LinuxParameters = &types.LinuxParameters{InitProcessEnabled: aws.Bool(true)}
	c.ReadonlyRootFilesystem = aws.Bool(true)
	c.StartTimeout, c.StopTimeout = aws.Int32(60), aws.Int32(90)
	c.SystemControls = []types.SystemControl{{Namespace: aws.String("net.core.somaxconn"), Value: aws.String("1024")}}
	c.Ulimits = []types.Ulimit{{Name: types.UlimitNameNofile, SoftLimit: 65536, HardLimit: 65536}}
	c.User, c.WorkingDirectory = aws.String("33:33"), aws.String("/var/www/html")
	c.RestartPolicy = &types.ContainerRestartPolicy{Enabled: aws.Bool(false)}
	c.VersionConsistency = types.VersionConsistencyDisabled
}

// Checks.
