package awssim

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	bridge "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
)

// ruleSource knows EventBridge.
type ruleSource interface {
	// targetsOf returns the schedule and the targets of every rule that is enabled, by its name.
	enabledRules() map[string]enabledRule
}

type enabledRule struct {
	schedule string
	targets  []bridge.Target
}

// startRules has the rules fire from the world's start on, at whole minutes.
func (w *World) startRules() {
	if w.hooks.rules == nil {
		return
	}
	var tick func()
	next := func() { w.agenda.add(w.now.Truncate(time.Minute).Add(time.Minute), tick) }
	tick = func() {
		rules := w.hooks.rules.enabledRules()
		var names []string
		for name, r := range rules {
			if due(r.schedule, w.now) {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		for _, name := range names {
			for _, t := range rules[name].targets {
				w.ecs.fire(name, t)
			}
		}
		next()
	}
	next()
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
func (e *ecsAPI) fire(name string, t bridge.Target) {
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
		if decodeJSON([]byte(*t.Input), in.Overrides) != nil {
			return
		}
	}
	_, _ = e.run(in)
}
