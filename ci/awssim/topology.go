package awssim

import (
	"github.com/magecloudkit/pipeline/ci/awssim/internal/ecr"
	"github.com/magecloudkit/pipeline/ci/awssim/internal/ecs"
	"github.com/magecloudkit/pipeline/ci/awssim/internal/events"
	"github.com/magecloudkit/pipeline/ci/awssim/internal/kernel"
	"github.com/magecloudkit/pipeline/ci/awssim/internal/values"
)

// Topology is what there is in a world when it starts. JSON reads and writes it. A service's section is a field here,
// of a type that stands beside the service.
type Topology struct {
	Account string `json:"account"`
	Region  string `json:"region"`

	Clusters        []ClusterSpec        `json:"clusters,omitempty"`
	TaskDefinitions []TaskDefinitionSpec `json:"taskDefinitions,omitempty"`
	Services        []ServiceSpec        `json:"services,omitempty"`
	Behaviors       []Behavior           `json:"behaviors,omitempty"`

	Repositories []RepositorySpec  `json:"repositories,omitempty"`
	Rules        []RuleSpec        `json:"rules,omitempty"`
	Schedules    []ScheduleSpec    `json:"schedules,omitempty"`
	TargetGroups []TargetGroupSpec `json:"targetGroups,omitempty"`
	LogGroups    []string          `json:"logGroups,omitempty"`
	Secrets      []SecretSpec      `json:"secrets,omitempty"`
	Parameters   []ParameterSpec   `json:"parameters,omitempty"`
	Roles        []string          `json:"roles,omitempty"`    // without path and ARN
	Policies     []Policy          `json:"policies,omitempty"` // by which iam:SimulatePrincipalPolicy answers; nil: all is allowed
}

// DefaultTopology is MageCloudKit's own.
func DefaultTopology() *Topology {
	const account, region = "111111111111", "us-east-1"
	return &Topology{
		Account: account, Region: region,
		Clusters:        defaultClusters(),
		TaskDefinitions: defaultTaskDefinitions(account, region),
		Services:        defaultServices(account, region),
		Behaviors:       defaultBehaviors(),
		Repositories:    defaultRepositories(),
		Rules:           defaultRules(account, region),
		TargetGroups:    []TargetGroupSpec{{ARN: targetGroup(account, region), Path: "/health"}},
		LogGroups:       []string{"/ecs/production-app", "/ecs/production-consumers", "/ecs/production-cron"},
		Secrets:         []SecretSpec{{Name: "production/magento", Value: `{"MYSQL_PASSWORD":"simulated","CRYPT_KEY":"simulated"}`}},
		Parameters:      []ParameterSpec{{Name: "/production/magento/mysql-host", Value: "mysql.production.internal"}},
		Roles:           []string{"ecsTaskExecutionRole", "magento-task", "ecsEventsRole"},
	}
}

// The parts of a topology, of what happens and of what is answered.
type (
	// Behavior says how containers behave that nobody wrote code for here.
	Behavior = ecs.Behavior
	// ClusterSpec is a cluster that exists when the world starts.
	ClusterSpec = ecs.ClusterSpec
	// InstanceSpec is a number of like container instances.
	InstanceSpec = ecs.InstanceSpec
	// TaskDefinitionSpec is what RegisterTaskDefinition takes.
	TaskDefinitionSpec = ecs.TaskDefinitionSpec
	// ServiceSpec is what CreateService takes.
	ServiceSpec = ecs.ServiceSpec
	// RepositorySpec is a repository that exists when the world starts.
	RepositorySpec = ecr.RepositorySpec
	// ImageSpec is an image of a repository.
	ImageSpec = ecr.ImageSpec
	// RuleSpec is a rule that exists when the world starts.
	RuleSpec = events.RuleSpec
	// ScheduleSpec is what EventBridge Scheduler's CreateSchedule takes.
	ScheduleSpec = events.ScheduleSpec
	// TargetGroupSpec is a target group that exists when the world starts.
	TargetGroupSpec = values.TargetGroupSpec
	// SecretSpec is a secret that exists when the world starts.
	SecretSpec = values.SecretSpec
	// ParameterSpec is a parameter that exists when the world starts.
	ParameterSpec = values.ParameterSpec
	// Policy is a policy's document.
	Policy = values.Policy
	// Duration is a time.Duration that JSON writes as "90s".
	Duration = kernel.Duration
)
