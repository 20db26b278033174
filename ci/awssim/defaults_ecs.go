package awssim

import (
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// The default topology's ECS: MageCloudKit's. A web service behind a load balancer, its consumers, and a task definition
// for cron that a rule starts, all on Fargate and all of the same two images.

const defaultBuild = "300"

func defaultClusters() []ClusterSpec { return []ClusterSpec{{Name: "production-app"}} }

func defaultNetwork() *types.NetworkConfiguration {
	return &types.NetworkConfiguration{AwsvpcConfiguration: &types.AwsVpcConfiguration{
		Subnets: []string{"subnet-0aaaaaaaaaaaaaaa1", "subnet-0aaaaaaaaaaaaaaa2"}, SecurityGroups: []string{"sg-0aaaaaaaaaaaaaaa1"},
		AssignPublicIp: types.AssignPublicIpDisabled,
	}}
}

func defaultTaskDefinitions(account, region string) []TaskDefinitionSpec {
	image := func(name string) *string {
		return new(fmt.Sprintf("%s.dkr.ecr.%s.amazonaws.com/magecloudkit/%s:%s", account, region, name, defaultBuild))
	}
	role := func(name string) *string { return new(fmt.Sprintf("arn:aws:iam::%s:role/%s", account, name)) }
	logs := func(group string) *types.LogConfiguration {
		return &types.LogConfiguration{LogDriver: types.LogDriverAwslogs, Options: map[string]string{
			"awslogs-group": group, "awslogs-region": region, "awslogs-stream-prefix": "ecs",
		}}
	}
	check := func(command string) *types.HealthCheck {
		return &types.HealthCheck{
			Command: []string{"CMD-SHELL", command}, Interval: new(int32(10)), Timeout: new(int32(5)), Retries: new(int32(3)), StartPeriod: new(int32(60)),
		}
	}
	magento := func(group string, command ...string) types.ContainerDefinition {
		return types.ContainerDefinition{
			Name: new("magento"), Image: image("magento2"), Essential: new(true), Command: command, Memory: new(int32(3072)),
			Environment: []types.KeyValuePair{{Name: new("MAGE_MODE"), Value: new("production")}},
			Secrets: []types.Secret{
				{Name: new("MYSQL_PASSWORD"), ValueFrom: new(fmt.Sprintf("arn:aws:secretsmanager:%s:%s:secret:production/magento:MYSQL_PASSWORD::", region, account))},
				{Name: new("MYSQL_HOST"), ValueFrom: new(fmt.Sprintf("arn:aws:ssm:%s:%s:parameter/production/magento/mysql-host", region, account))},
			},
			LogConfiguration: logs(group),
		}
	}
	family := func(name string, containers ...types.ContainerDefinition) TaskDefinitionSpec {
		return TaskDefinitionSpec{Value: ecs.RegisterTaskDefinitionInput{
			Family: &name, ContainerDefinitions: containers, Cpu: new("1024"), Memory: new("4096"), NetworkMode: types.NetworkModeAwsvpc,
			RequiresCompatibilities: []types.Compatibility{types.CompatibilityFargate},
			ExecutionRoleArn:        role("ecsTaskExecutionRole"), TaskRoleArn: role("magento-task"),
			RuntimePlatform: &types.RuntimePlatform{CpuArchitecture: types.CPUArchitectureX8664, OperatingSystemFamily: types.OSFamilyLinux},
			Tags:            []types.Tag{{Key: new("environment"), Value: new("production")}},
		}}
	}
	web := magento("/ecs/production-app")
	web.PortMappings = []types.PortMapping{{ContainerPort: new(int32(9000))}}
	web.HealthCheck = check("php-fpm-healthcheck || exit 1")
	return []TaskDefinitionSpec{
		family("production-app",
			types.ContainerDefinition{
				Name: new("nginx"), Image: image("nginx"), Essential: new(true), Memory: new(int32(256)),
				PortMappings:     []types.PortMapping{{ContainerPort: new(int32(8080)), Protocol: types.TransportProtocolTcp}},
				DependsOn:        []types.ContainerDependency{{ContainerName: new("magento"), Condition: types.ContainerConditionStart}},
				HealthCheck:      check("curl -fsS http://127.0.0.1:8080/health || exit 1"),
				LogConfiguration: logs("/ecs/production-app"),
			},
			web,
			types.ContainerDefinition{
				Name: new("datadog-agent"), Image: new("public.ecr.aws/datadog/agent:7"), Essential: new(false), Memory: new(int32(256)),
				Environment: []types.KeyValuePair{{Name: new("ECS_FARGATE"), Value: new("true")}},
			}),
		family("production-consumers", magento("/ecs/production-consumers", "bin/magento", "queue:consumers:start", "async.operations.all")),
		family("production-cron", magento("/ecs/production-cron", "bin/magento", "cron:run")),
	}
}

func targetGroup(account, region string) string {
	return fmt.Sprintf("arn:aws:elasticloadbalancing:%s:%s:targetgroup/production-app/0123456789abcdef", region, account)
}

func defaultServices(account, region string) []ServiceSpec {
	service := func(name string, desired int32) ServiceSpec {
		return ServiceSpec{Value: ecs.CreateServiceInput{
			ServiceName: &name, Cluster: new("production-app"), TaskDefinition: &name, DesiredCount: &desired, LaunchType: types.LaunchTypeFargate,
			NetworkConfiguration: defaultNetwork(),
			DeploymentConfiguration: &types.DeploymentConfiguration{
				MinimumHealthyPercent: new(int32(100)), MaximumPercent: new(int32(200)),
				DeploymentCircuitBreaker: &types.DeploymentCircuitBreaker{Enable: true, Rollback: true},
			},
		}}
	}
	web := service("production-app", 2)
	web.Value.LoadBalancers = []types.LoadBalancer{{
		TargetGroupArn: new(targetGroup(account, region)),
		ContainerName:  new("nginx"), ContainerPort: new(int32(8080)),
	}}
	web.Value.HealthCheckGracePeriodSeconds = new(int32(60))
	return []ServiceSpec{web, service("production-consumers", 1)}
}

// defaultBehaviors are what Magento's commands do, and that a command given to RunTask ends.
func defaultBehaviors() []Behavior {
	return []Behavior{
		{Standalone: true, Overridden: true, ExitAfter: Duration(3 * time.Second), Exit: new(int32(0))},
		{Standalone: true, Family: "production-cron", Container: "magento", ExitAfter: Duration(20 * time.Second), Exit: new(int32(0)), Logs: []string{"Ran jobs by schedule."}},
		{Standalone: true, Command: "setup:db:status", ExitAfter: Duration(6 * time.Second), Exit: new(int32(0)), Logs: []string{"All modules are up to date."}},
		{Standalone: true, Command: "app:config:status", ExitAfter: Duration(5 * time.Second), Exit: new(int32(0)), Logs: []string{"Config files are up to date."}},
		{Standalone: true, Command: "setup:upgrade", ExitAfter: Duration(45 * time.Second), Exit: new(int32(0)), Set: map[string]string{"db": "upgraded"},
			Logs: []string{"Cache types config flushed successfully", "Schema creation/updates:", "Module 'Magento_Store':", "Data install/update:", "Nothing to import."}},
		{Standalone: true, Command: "cache:flush", ExitAfter: Duration(4 * time.Second), Exit: new(int32(0)), Logs: []string{"Flushed cache types:", "config", "layout", "block_html", "full_page"}},
		// The database is behind the code once a scenario sets the fact db=old, until setup:upgrade has run.
		{Standalone: true, Command: "setup:db:status", If: map[string]string{"db": "old"}, ExitAfter: Duration(6 * time.Second), Exit: new(int32(2)),
			Logs: []string{"Declarative Schema is not up to date", "Run 'setup:upgrade' to update your DB schema and data."}},
	}
}
