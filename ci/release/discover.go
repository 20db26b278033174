package release

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"

	"github.com/magecloudkit/pipeline/ci/ecs"
)

// Lister is what finding out what is in a cluster asks AWS.
type Lister struct {
	ECS interface {
		DescribeClusters(context.Context, *awsecs.DescribeClustersInput, ...func(*awsecs.Options)) (*awsecs.DescribeClustersOutput, error)
		ListServices(context.Context, *awsecs.ListServicesInput, ...func(*awsecs.Options)) (*awsecs.ListServicesOutput, error)
		DescribeServices(context.Context, *awsecs.DescribeServicesInput, ...func(*awsecs.Options)) (*awsecs.DescribeServicesOutput, error)
	}
	Events interface {
		ListEventBuses(context.Context, *eventbridge.ListEventBusesInput, ...func(*eventbridge.Options)) (*eventbridge.ListEventBusesOutput, error)
		ListRuleNamesByTarget(context.Context, *eventbridge.ListRuleNamesByTargetInput, ...func(*eventbridge.Options)) (*eventbridge.ListRuleNamesByTargetOutput, error)
	}
	Scheduler interface {
		ListSchedules(context.Context, *scheduler.ListSchedulesInput, ...func(*scheduler.Options)) (*scheduler.ListSchedulesOutput, error)
	}
}

// Place is what there is in a cluster, by the names that a release is given.
type Place struct {
	Cluster   string   `json:"cluster"`
	Services  []string `json:"services"` // those behind a load balancer first
	CronRules []string `json:"cronRules"`
	Schedules []string `json:"schedules"`
}

// defaultName is that of the event bus and of the group of schedules that need not be named.
const defaultName = "default"

// Discover finds out what is in a cluster.
func Discover(ctx context.Context, l Lister, cluster string) (Place, error) {
	found := Place{Cluster: cluster, Services: []string{}, CronRules: []string{}, Schedules: []string{}}
	out, err := l.ECS.DescribeClusters(ctx, &awsecs.DescribeClustersInput{Clusters: []string{cluster}})
	if err != nil {
		return found, err
	}
	if len(out.Clusters) == 0 || aws.ToString(out.Clusters[0].Status) != "ACTIVE" {
		return found, fmt.Errorf("there is no cluster %s in this region and account: check --cluster, AWS_REGION and the credentials", cluster)
	}
	if found.Services, err = l.services(ctx, cluster); err != nil {
		return found, err
	}
	arn := aws.ToString(out.Clusters[0].ClusterArn)
	if found.CronRules, err = l.rules(ctx, arn); err != nil {
		return found, err
	}
	found.Schedules, err = l.schedules(ctx, arn)
	return found, err
}

// services are the names of a cluster's services, those that visitors reach first.
func (l Lister) services(ctx context.Context, cluster string) ([]string, error) {
	var arns []string
	for p := awsecs.NewListServicesPaginator(l.ECS, &awsecs.ListServicesInput{Cluster: &cluster}); p.HasMorePages(); {
		page, err := p.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		arns = append(arns, page.ServiceArns...)
	}
	type service struct {
		name   string
		behind int
	}
	all := []service{}
	for some := range slices.Chunk(arns, ecs.ServicesPerCall) {
		out, err := l.ECS.DescribeServices(ctx, &awsecs.DescribeServicesInput{Cluster: &cluster, Services: some})
		if err != nil {
			return nil, err
		}
		for _, s := range out.Services {
			all = append(all, service{aws.ToString(s.ServiceName), len(s.LoadBalancers)})
		}
	}
	slices.SortFunc(all, func(a, b service) int { return cmp.Or(b.behind-a.behind, cmp.Compare(a.name, b.name)) })
	names := []string{}
	for _, s := range all {
		names = append(names, s.name)
	}
	return names, nil
}

// rules are those of any event bus that run tasks in a cluster, as NAME or BUS/NAME.
func (l Lister) rules(ctx context.Context, cluster string) ([]string, error) {
	buses, err := l.Events.ListEventBuses(ctx, &eventbridge.ListEventBusesInput{})
	if err != nil {
		return nil, err
	}
	names := []string{}
	for _, bus := range buses.EventBuses {
		in := &eventbridge.ListRuleNamesByTargetInput{TargetArn: &cluster, EventBusName: bus.Name}
		for more := true; more; more = in.NextToken != nil {
			out, err := l.Events.ListRuleNamesByTarget(ctx, in)
			if err != nil {
				return nil, err
			}
			for _, name := range out.RuleNames {
				if b := aws.ToString(bus.Name); b != defaultName {
					name = b + "/" + name
				}
				names = append(names, name)
			}
			in.NextToken = out.NextToken
		}
	}
	return names, nil
}

// schedules are those of EventBridge Scheduler that run tasks in a cluster, as NAME or GROUP/NAME.
func (l Lister) schedules(ctx context.Context, cluster string) ([]string, error) {
	names := []string{}
	for p := scheduler.NewListSchedulesPaginator(l.Scheduler, &scheduler.ListSchedulesInput{}); p.HasMorePages(); {
		page, err := p.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, s := range page.Schedules {
			if s.Target == nil || aws.ToString(s.Target.Arn) != cluster {
				continue
			}
			name := aws.ToString(s.Name)
			if g := aws.ToString(s.GroupName); g != defaultName {
				name = g + "/" + name
			}
			names = append(names, name)
		}
	}
	return names, nil
}
