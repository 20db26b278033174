package awssim

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// ecsAPI is Amazon ECS. Operations follow the API reference (API_RunTask and so on); what happens by itself follows the
// developer guide, whose pages are named where they are followed. An error's text is AWS's own where that is known from
// its documentation or from the threads of its clients; limits that AWS enforces with a text not known are worded alike.
type ecsAPI struct {
	w        *World
	clusters map[string]*cluster
	families map[string]*family
	tokens   map[string]*runToken // RunTask's clientToken
	changed  []*svc               // services whose view is to be renewed
	foreign  map[string]bool      // images of other registries that the topology uses, and their repositories
}

func newECS(w *World) *service {
	e := &ecsAPI{w: w, clusters: map[string]*cluster{}, families: map[string]*family{}, tokens: map[string]*runToken{}, foreign: map[string]bool{}}
	w.ecs = e
	s := &service{name: "ecs", target: "AmazonEC2ContainerServiceV20141113", build: e.build, state: e.state}

	handle(s, "CreateCluster", e.createCluster)
	handle(s, "DescribeClusters", e.describeClusters)
	handle(s, "ListClusters", e.listClusters)
	handle(s, "DeleteCluster", e.deleteCluster)
	handle(s, "DescribeCapacityProviders", e.describeCapacityProviders)
	handle(s, "ListContainerInstances", e.listContainerInstances)
	handle(s, "DescribeContainerInstances", e.describeContainerInstances)
	handle(s, "ListAccountSettings", e.listAccountSettings)

	handle(s, "RegisterTaskDefinition", e.registerTaskDefinition)
	handle(s, "DescribeTaskDefinition", e.describeTaskDefinition)
	handle(s, "ListTaskDefinitions", e.listTaskDefinitions)
	handle(s, "ListTaskDefinitionFamilies", e.listTaskDefinitionFamilies)
	handle(s, "DeregisterTaskDefinition", e.deregisterTaskDefinition)
	handle(s, "DeleteTaskDefinitions", e.deleteTaskDefinitions)

	handle(s, "CreateService", e.createService)
	handle(s, "UpdateService", e.updateService)
	handle(s, "DescribeServices", e.describeServices)
	handle(s, "ListServices", e.listServices)
	handle(s, "DeleteService", e.deleteService)
	handle(s, "ListServiceDeployments", e.listServiceDeployments)
	handle(s, "DescribeServiceDeployments", e.describeServiceDeployments)
	handle(s, "StopServiceDeployment", e.stopServiceDeployment)
	handle(s, "DescribeServiceRevisions", e.describeServiceRevisions)

	handle(s, "RunTask", e.runTask)
	handle(s, "StopTask", e.stopTask)
	handle(s, "DescribeTasks", e.describeTasks)
	handle(s, "ListTasks", e.listTasks)

	handle(s, "ListTagsForResource", e.listTagsForResource)
	handle(s, "TagResource", e.tagResource)
	handle(s, "UntagResource", e.untagResource)
	return s
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
func (e *ecsAPI) cluster(ref *string) (*cluster, error) {
	name := "default"
	if ref != nil && *ref != "" {
		name = e.clusterName(*ref)
	}
	if c := e.clusters[name]; c != nil && c.status == "ACTIVE" {
		return c, nil
	}
	return nil, errf("ClusterNotFoundException", "Cluster not found.")
}

func (e *ecsAPI) clusterName(ref string) string {
	return strings.TrimPrefix(ref, e.w.arn("ecs", "cluster/"))
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
			return nil, nil, errf("InvalidParameterException", "maxResults must be between 1 and %d.", most)
		}
	}
	if token != nil && *token != "" {
		last, err := base64.StdEncoding.DecodeString(*token)
		i := slices.Index(items, string(last))
		if err != nil || i < 0 {
			return nil, nil, errf("InvalidParameterException", "Invalid token.")
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
	return errf("InvalidParameterException", "awssim does not simulate the parameter %s.", parameter)
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
		return errf("InvalidParameterException", "Number of tags cannot exceed 50.")
	}
	seen := map[string]bool{}
	for _, t := range tags {
		key := value(t.Key)
		if key == "" {
			return errf("InvalidParameterException", "Tag key can not be null or empty.")
		}
		if strings.HasPrefix(strings.ToLower(key), "aws:") {
			return errf("InvalidParameterException", "aws: prefixed tag key names are not allowed for external use.")
		}
		if seen[key] {
			return errf("InvalidParameterException", "Duplicate tag keys found. Please note that Tag keys are case insensitive.")
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
func (e *ecsAPI) tagsOf(arn *string) (*[]types.Tag, error) {
	ref := value(arn)
	kind, rest, _ := strings.Cut(strings.TrimPrefix(ref, e.w.arn("ecs", "")), "/")
	switch kind {
	case "cluster":
		if c, err := e.cluster(arn); err == nil {
			return &c.tags, nil
		}
		return nil, errf("ClusterNotFoundException", "Cluster not found.")
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
	return nil, errf("InvalidParameterException", "The specified resource %s was not found. Specify a valid resource and try again.", ref)
}

func (e *ecsAPI) listTagsForResource(_ *call, in *ecs.ListTagsForResourceInput) (*ecs.ListTagsForResourceOutput, error) {
	tags, err := e.tagsOf(in.ResourceArn)
	if err != nil {
		return nil, err
	}
	return &ecs.ListTagsForResourceOutput{Tags: append([]types.Tag{}, *tags...)}, nil
}

func (e *ecsAPI) tagResource(_ *call, in *ecs.TagResourceInput) (*ecs.TagResourceOutput, error) {
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

func (e *ecsAPI) untagResource(_ *call, in *ecs.UntagResourceInput) (*ecs.UntagResourceOutput, error) {
	tags, err := e.tagsOf(in.ResourceArn)
	if err != nil {
		return nil, err
	}
	*tags = slices.DeleteFunc(slices.Clone(*tags), func(t types.Tag) bool { return slices.Contains(in.TagKeys, value(t.Key)) })
	return &ecs.UntagResourceOutput{}, nil
}

// listAccountSettings answers what a new account has: the long ARN formats that this simulator writes.
func (e *ecsAPI) listAccountSettings(c *call, in *ecs.ListAccountSettingsInput) (*ecs.ListAccountSettingsOutput, error) {
	out := &ecs.ListAccountSettingsOutput{Settings: []types.Setting{}}
	for _, name := range []types.SettingName{
		types.SettingNameContainerInstanceLongArnFormat, types.SettingNameServiceLongArnFormat, types.SettingNameTaskLongArnFormat,
	} {
		if in.Name == "" || in.Name == name {
			out.Settings = append(out.Settings, types.Setting{Name: name, Value: new("enabled"), PrincipalArn: &c.caller.ARN, Type: types.SettingTypeUser})
		}
	}
	return out, nil
}

// at returns the time whose state a read of this call sees.
func (c *call) at() time.Time { return c.now().Add(-c.lag) }

func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// between returns a duration from lo up to hi, by the dice of one thing.
func (w *World) between(kind, id string, lo, hi time.Duration) time.Duration {
	return lo + time.Duration(w.random(kind, id).Int64N(int64(hi-lo))).Round(time.Millisecond)
}

// digits returns an id of n digits, as deployments and service revisions have.
func (w *World) digits(kind string, n int) string {
	w.ids[kind]++
	r := w.random(kind, fmt.Sprint(w.ids[kind]))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('0' + r.IntN(10))
	}
	if b[0] == '0' {
		b[0] = '1'
	}
	return string(b)
}
