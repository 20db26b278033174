package cleanup

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"
	"github.com/aws/aws-sdk-go-v2/service/scheduler/types"
)

// rules reads what the rules of every event bus run.
func (r Region) rules(ctx context.Context) ([]Rule, error) {
	var rules []Rule
	var token *string
	for {
		page, err := r.Events.ListEventBuses(ctx, &eventbridge.ListEventBusesInput{NextToken: token})
		if err != nil {
			return nil, fmt.Errorf("listing the event buses: %w", err)
		}
		for _, bus := range page.EventBuses {
			found, err := r.rulesOf(ctx, aws.ToString(bus.Name))
			if err != nil {
				return nil, err
			}
			rules = append(rules, found...)
		}
		if token = page.NextToken; token == nil {
			return rules, nil
		}
	}
}

// rulesOf reads the rules of one event bus that run tasks. A rule of another bus than the default one is named BUS/NAME.
func (r Region) rulesOf(ctx context.Context, bus string) ([]Rule, error) {
	var rules []Rule
	var token *string
	for {
		page, err := r.Events.ListRules(ctx, &eventbridge.ListRulesInput{EventBusName: &bus, NextToken: token})
		if err != nil {
			return nil, fmt.Errorf("listing the rules of event bus %s: %w", bus, err)
		}
		for _, rule := range page.Rules {
			one := Rule{Name: aws.ToString(rule.Name)}
			if bus != "default" {
				one.Name = bus + "/" + one.Name
			}
			if one.TaskDefinitions, err = r.targets(ctx, bus, rule.Name); err != nil {
				return nil, fmt.Errorf("reading the targets of rule %s: %w", one.Name, err)
			}
			if len(one.TaskDefinitions) > 0 {
				rules = append(rules, one)
			}
		}
		if token = page.NextToken; token == nil {
			return rules, nil
		}
	}
}

// targets reads the task definitions that a rule's targets run.
func (r Region) targets(ctx context.Context, bus string, rule *string) ([]string, error) {
	var definitions []string
	var token *string
	for {
		page, err := r.Events.ListTargetsByRule(ctx, &eventbridge.ListTargetsByRuleInput{EventBusName: &bus, Rule: rule, NextToken: token})
		if err != nil {
			return nil, err
		}
		for _, t := range page.Targets {
			if t.EcsParameters != nil {
				definitions = append(definitions, aws.ToString(t.EcsParameters.TaskDefinitionArn))
			}
		}
		if token = page.NextToken; token == nil {
			return definitions, nil
		}
	}
}

// schedules reads what the schedules of EventBridge Scheduler run, in all groups.
func (r Region) schedules(ctx context.Context) ([]Rule, error) {
	var found []Rule
	pages := scheduler.NewListSchedulesPaginator(r.Scheduler, &scheduler.ListSchedulesInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("listing the schedules of EventBridge Scheduler: %w", err)
		}
		for _, one := range page.Schedules {
			name := aws.ToString(one.GroupName) + "/" + aws.ToString(one.Name)
			out, err := r.Scheduler.GetSchedule(ctx, &scheduler.GetScheduleInput{GroupName: one.GroupName, Name: one.Name})
			if gone := (*types.ResourceNotFoundException)(nil); errors.As(err, &gone) {
				continue // deleted since it was listed: it runs nothing any more
			}
			if err != nil {
				return nil, fmt.Errorf("reading the schedule %s of EventBridge Scheduler: %w", name, err)
			}
			if out.Target != nil && out.Target.EcsParameters != nil {
				found = append(found, Rule{Schedule: true, Name: name, TaskDefinitions: []string{aws.ToString(out.Target.EcsParameters.TaskDefinitionArn)}})
			}
		}
	}
	return found, nil
}
