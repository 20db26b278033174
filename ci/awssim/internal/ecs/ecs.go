package ecs

import (
	"encoding/base64"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/magecloudkit/pipeline/ci/awssim/internal/kernel"
	"github.com/magecloudkit/pipeline/ci/awssim/internal/wire"
)

// API is Amazon ECS. Operations follow the API reference (API_RunTask and so on); what happens by itself follows the
// developer guide, whose pages are named where they are followed. An error's text is AWS's own where that is known from
// its documentation or from the threads of its clients; limits that AWS enforces with a text not known are worded alike.
type API struct {
	Service *wire.Service

	k         *kernel.Kernel
	around    Around
	behaviors *Behaviors
	clusters  map[string]*cluster
	families  map[string]*family
	tokens    map[string]*runToken // RunTask's clientToken
	changed   []*svc               // services whose view is to be renewed
	foreign   map[string]bool      // images of other registries that the topology uses, and their repositories
}

// Around is what ECS asks of other services when it starts a task.
type Around struct {
	Images  ImageSource
	Secrets SecretSource
	Roles   RoleSource
	Logs    LogSink
}

// ImageSource knows the images of this account's registry.
type ImageSource interface {
	// ResolveImage returns the digest that a reference to the account's own registry stands for, on a platform
	// such as "linux/amd64". known is false for a reference to any other registry: such an image always exists.
	// The error is the reason that a container gets, in the words of the agent, without the leading
	// "CannotPullContainerError: ".
	ResolveImage(ref, platform string) (digest string, known bool, err error)
}

// SecretSource knows Secrets Manager and SSM.
type SecretSource interface {
	// ResolveSecret looks up what a container's secrets[].valueFrom names (the ARN of a secret, with or without
	// :json-key:version-stage:version-id, or the ARN or name of a parameter), as the execution role would. The error
	// is worded as in a task's stoppedReason after "ResourceInitializationError: ".
	ResolveSecret(valueFrom, executionRoleARN string) error
}

// RoleSource knows IAM.
type RoleSource interface {
	// RoleExists says whether ECS could assume a role.
	RoleExists(arn string) bool
}

// LogSink knows CloudWatch Logs.
type LogSink interface {
	// OpenStream makes the stream that the awslogs driver writes a container's output to. With create the group
	// is made as well (awslogs-create-group). The error is worded as the driver words it after
	// "failed to create Cloudwatch log stream: ".
	OpenStream(group, stream string, create bool) error
	// PutLine appends a line at the world's time; a group or stream that is gone swallows it.
	PutLine(group, stream, line string)
}

// New returns an ECS without a cluster.
func New(k *kernel.Kernel, around Around, behaviors *Behaviors) *API {
	e := &API{
		k: k, around: around, behaviors: behaviors,
		clusters: map[string]*cluster{}, families: map[string]*family{}, tokens: map[string]*runToken{}, foreign: map[string]bool{},
	}
	s := &wire.Service{Name: "ecs", Target: "AmazonEC2ContainerServiceV20141113", State: e.state}
	e.Service = s

	wire.Handle(s, "CreateCluster", e.createCluster)
	wire.Handle(s, "DescribeClusters", e.describeClusters)
	wire.Handle(s, "ListClusters", e.listClusters)
	wire.Handle(s, "DeleteCluster", e.deleteCluster)
	wire.Handle(s, "DescribeCapacityProviders", e.describeCapacityProviders)
	wire.Handle(s, "ListContainerInstances", e.listContainerInstances)
	wire.Handle(s, "DescribeContainerInstances", e.describeContainerInstances)
	wire.Handle(s, "ListAccountSettings", e.listAccountSettings)

	wire.Handle(s, "RegisterTaskDefinition", e.registerTaskDefinition)
	wire.Handle(s, "DescribeTaskDefinition", e.describeTaskDefinition)
	wire.Handle(s, "ListTaskDefinitions", e.listTaskDefinitions)
	wire.Handle(s, "ListTaskDefinitionFamilies", e.listTaskDefinitionFamilies)
	wire.Handle(s, "DeregisterTaskDefinition", e.deregisterTaskDefinition)
	wire.Handle(s, "DeleteTaskDefinitions", e.deleteTaskDefinitions)

	wire.Handle(s, "CreateService", e.createService)
	wire.Handle(s, "UpdateService", e.updateService)
	wire.Handle(s, "DescribeServices", e.describeServices)
	wire.Handle(s, "ListServices", e.listServices)
	wire.Handle(s, "DeleteService", e.deleteService)
	wire.Handle(s, "ListServiceDeployments", e.listServiceDeployments)
	wire.Handle(s, "DescribeServiceDeployments", e.describeServiceDeployments)
	wire.Handle(s, "StopServiceDeployment", e.stopServiceDeployment)
	wire.Handle(s, "ContinueServiceDeployment", e.continueServiceDeployment)
	wire.Handle(s, "DescribeServiceRevisions", e.describeServiceRevisions)

	wire.Handle(s, "RunTask", e.runTask)
	wire.Handle(s, "StopTask", e.stopTask)
	wire.Handle(s, "DescribeTasks", e.describeTasks)
	wire.Handle(s, "ListTasks", e.listTasks)

	wire.Handle(s, "ListTagsForResource", e.listTagsForResource)
	wire.Handle(s, "TagResource", e.tagResource)
	wire.Handle(s, "UntagResource", e.untagResource)
	return e
}

// cluster is an ECS cluster with everything in it.
type cluster struct {
	name, arn     string
	status        string // ACTIVE, INACTIVE
	tags          []types.Tag
	settings      []types.ClusterSetting
	configuration *types.ClusterConfiguration
	providers     []string
	strategy      []types.CapacityProviderStrategyItem

	services  []*svc
	tasks     []*task // in the order of their creation; an hour after it stopped a task is forgotten
	instances []*instance
}

// cluster finds one by its name or ARN; no name is the cluster "default".
func (e *API) cluster(ref *string) (*cluster, error) {
	name := "default"
	if ref != nil && *ref != "" {
		name = e.clusterName(*ref)
	}
	if c := e.clusters[name]; c != nil && c.status == "ACTIVE" {
		return c, nil
	}
	return nil, wire.Errf("ClusterNotFoundException", "Cluster not found.")
}

func (e *API) clusterName(ref string) string {
	return strings.TrimPrefix(ref, e.k.ARN("ecs", "cluster/"))
}

func (c *cluster) service(ref string) *svc {
	name := ref[strings.LastIndex(ref, "/")+1:]
	if strings.HasPrefix(ref, "arn:") && !strings.Contains(ref, "/"+c.name+"/") {
		return nil
	}
	for i := len(c.services) - 1; i >= 0; i-- { // the last one of a name: others are INACTIVE
		if c.services[i].name == name {
			return c.services[i]
		}
	}
	return nil
}

func (c *cluster) task(ref string) *task {
	id := ref[strings.LastIndex(ref, "/")+1:]
	for _, t := range c.tasks {
		if t.id == id {
			return t
		}
	}
	return nil
}

// page cuts a page out of a list that is sorted as it is answered. The token holds the last item of the page before, so
// that items that come or go meanwhile move nothing.
func page(items []string, token *string, maxResults *int32, most int) ([]string, *string, error) {
	n := most
	if maxResults != nil {
		n = int(*maxResults)
		if n < 1 || n > most {
			return nil, nil, wire.Errf("InvalidParameterException", "maxResults must be between 1 and %d.", most)
		}
	}
	if token != nil && *token != "" {
		last, err := base64.StdEncoding.DecodeString(*token)
		i := slices.Index(items, string(last))
		if err != nil || i < 0 {
			return nil, nil, wire.Errf("InvalidParameterException", "Invalid token.")
		}
		items = items[i+1:]
	}
	if len(items) <= n {
		return append([]string{}, items...), nil, nil
	}
	items = items[:n]
	return append([]string{}, items...), new(base64.StdEncoding.EncodeToString([]byte(items[n-1]))), nil
}

// unsimulated is the error for a parameter that AWS knows and this simulator can not follow.
func unsimulated(parameter string) error {
	return wire.Errf("InvalidParameterException", "awssim does not simulate the parameter %s.", parameter)
}

func missing(arn string) types.Failure {
	return types.Failure{Arn: &arn, Reason: new("MISSING")}
}

func hasTags[F ~string](include []F) bool {
	return slices.ContainsFunc(include, func(f F) bool { return f == "TAGS" })
}

// checkTags enforces what the API reference says of Tag.
func checkTags(tags []types.Tag) error {
	if len(tags) > 50 {
		return wire.Errf("InvalidParameterException", "Number of tags cannot exceed 50.")
	}
	seen := map[string]bool{}
	for _, t := range tags {
		key := value(t.Key)
		if key == "" {
			return wire.Errf("InvalidParameterException", "Tag key can not be null or empty.")
		}
		if strings.HasPrefix(strings.ToLower(key), "aws:") {
			return wire.Errf("InvalidParameterException", "aws: prefixed tag key names are not allowed for external use.")
		}
		if seen[key] {
			return wire.Errf("InvalidParameterException", "Duplicate tag keys found. Please note that Tag keys are case insensitive.")
		}
		seen[key] = true
	}
	return nil
}

// mergeTags puts tags over others.
func mergeTags(have, more []types.Tag) []types.Tag {
	out := slices.Clone(have)
	for _, t := range more {
		if i := slices.IndexFunc(out, func(h types.Tag) bool { return value(h.Key) == value(t.Key) }); i >= 0 {
			out[i] = t
		} else {
			out = append(out, t)
		}
	}
	return out
}

// tagsOf returns where the tags of a resource stand.
func (e *API) tagsOf(arn *string) (*[]types.Tag, error) {
	ref := value(arn)
	kind, rest, _ := strings.Cut(strings.TrimPrefix(ref, e.k.ARN("ecs", "")), "/")
	switch kind {
	case "cluster":
		if c, err := e.cluster(arn); err == nil {
			return &c.tags, nil
		}
		return nil, wire.Errf("ClusterNotFoundException", "Cluster not found.")
	case "task-definition":
		if r, err := e.revision(ref); err == nil {
			return &r.tags, nil
		}
	case "service", "task":
		name, _, _ := strings.Cut(rest, "/")
		if c := e.clusters[name]; c != nil {
			if s := c.service(ref); s != nil && kind == "service" {
				return &s.tags, nil
			}
			if t := c.task(ref); t != nil && kind == "task" {
				return &t.tags, nil
			}
		}
	}
	return nil, wire.Errf("InvalidParameterException", "The specified resource %s was not found. Specify a valid resource and try again.", ref)
}

func (e *API) listTagsForResource(_ *wire.Call, in *ecs.ListTagsForResourceInput) (*ecs.ListTagsForResourceOutput, error) {
	tags, err := e.tagsOf(in.ResourceArn)
	if err != nil {
		return nil, err
	}
	return &ecs.ListTagsForResourceOutput{Tags: append([]types.Tag{}, *tags...)}, nil
}

func (e *API) tagResource(_ *wire.Call, in *ecs.TagResourceInput) (*ecs.TagResourceOutput, error) {
	tags, err := e.tagsOf(in.ResourceArn)
	if err != nil {
		return nil, err
	}
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	*tags = mergeTags(*tags, in.Tags)
	return &ecs.TagResourceOutput{}, nil
}

func (e *API) untagResource(_ *wire.Call, in *ecs.UntagResourceInput) (*ecs.UntagResourceOutput, error) {
	tags, err := e.tagsOf(in.ResourceArn)
	if err != nil {
		return nil, err
	}
	*tags = slices.DeleteFunc(slices.Clone(*tags), func(t types.Tag) bool { return slices.Contains(in.TagKeys, value(t.Key)) })
	return &ecs.UntagResourceOutput{}, nil
}

// listAccountSettings answers what a new account has: the long ARN formats that this simulator writes.
func (e *API) listAccountSettings(c *wire.Call, in *ecs.ListAccountSettingsInput) (*ecs.ListAccountSettingsOutput, error) {
	out := &ecs.ListAccountSettingsOutput{Settings: []types.Setting{}}
	for _, name := range []types.SettingName{
		types.SettingNameContainerInstanceLongArnFormat, types.SettingNameServiceLongArnFormat, types.SettingNameTaskLongArnFormat,
	} {
		if in.Name == "" || in.Name == name {
			out.Settings = append(out.Settings, types.Setting{Name: name, Value: new("enabled"), PrincipalArn: &c.Caller.ARN, Type: types.SettingTypeUser})
		}
	}
	return out, nil
}

// value returns what p points to, the zero value for nil.
func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
