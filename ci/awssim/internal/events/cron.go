package events

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	bridge "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/magecloudkit/pipeline/ci/awssim/internal/wire"
)

// Tasks starts standalone tasks.
type Tasks interface {
	Run(in *ecs.RunTaskInput) (*ecs.RunTaskOutput, error)
}

// Start has the rules fire from now on, at whole minutes.
func (b *Bus) Start() {
	b.k.At(b.k.Now.Truncate(time.Minute).Add(time.Minute), func() {
		for _, name := range slices.Sorted(maps.Keys(b.rules)) {
			if r := b.rules[name]; r.State == bridge.RuleStateEnabled && due(aws.ToString(r.ScheduleExpression), b.k.Now) {
				for _, t := range r.targets {
					b.fire(name, t)
				}
			}
		}
		b.Start()
	})
}

// due says whether a schedule expression fires at a minute: rate(…), and cron(…) whose fields but that of the minutes
// are * or ?. Any other never fires here.
func due(schedule string, now time.Time) bool {
	minutes := int(now.Unix() / 60)
	kind, rest, _ := strings.Cut(strings.TrimSuffix(schedule, ")"), "(")
	fields := strings.Fields(rest)
	switch {
	case kind == "rate" && len(fields) == 2:
		n, err := strconv.Atoi(fields[0])
		per := map[string]int{"minute": 1, "hour": 60, "day": 24 * 60}[strings.TrimSuffix(fields[1], "s")]
		return err == nil && n*per > 0 && minutes%(n*per) == 0
	case kind == "cron" && len(fields) == 6:
		for _, f := range fields[1:] {
			if f != "*" && f != "?" {
				return false
			}
		}
		if n, err := strconv.Atoi(strings.TrimPrefix(fields[0], "*/")); err == nil {
			return n == now.Minute() || strings.HasPrefix(fields[0], "*/") && n > 0 && now.Minute()%n == 0
		}
		return fields[0] == "*"
	}
	return false
}

// fire starts the tasks of a rule's target ("Schedule Amazon ECS tasks using EventBridge"). What RunTask refuses is a failed
// invocation, of which only a metric tells.
func (b *Bus) fire(name string, t bridge.Target) {
	p := t.EcsParameters
	if p == nil {
		return
	}
	in := &ecs.RunTaskInput{
		Cluster: t.Arn, TaskDefinition: p.TaskDefinitionArn, Count: p.TaskCount, Group: p.Group, LaunchType: types.LaunchType(p.LaunchType),
		PlatformVersion: p.PlatformVersion, StartedBy: new(fmt.Sprintf("events-rule/%.24s", name)),
	}
	if n := p.NetworkConfiguration; n != nil && n.AwsvpcConfiguration != nil {
		in.NetworkConfiguration = &types.NetworkConfiguration{AwsvpcConfiguration: &types.AwsVpcConfiguration{
			Subnets: n.AwsvpcConfiguration.Subnets, SecurityGroups: n.AwsvpcConfiguration.SecurityGroups,
			AssignPublicIp: types.AssignPublicIp(n.AwsvpcConfiguration.AssignPublicIp),
		}}
	}
	for _, c := range p.CapacityProviderStrategy {
		in.CapacityProviderStrategy = append(in.CapacityProviderStrategy, types.CapacityProviderStrategyItem{CapacityProvider: c.CapacityProvider, Base: c.Base, Weight: c.Weight})
	}
	if t.Input != nil {
		in.Overrides = new(types.TaskOverride)
		if wire.DecodeJSON([]byte(*t.Input), in.Overrides) != nil {
			return
		}
	}
	_, _ = b.tasks.Run(in)
}
