package events

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/magecloudkit/pipeline/ci/awssim/internal/kernel"
	"github.com/magecloudkit/pipeline/ci/awssim/internal/wire"
)

// Amazon EventBridge, after https://docs.aws.amazon.com/eventbridge/latest/APIReference/. Rules and their targets are
// kept, and scheduled ones start the tasks of their targets (cron.go). Other buses than "default", event patterns and managed rules are left out.

// Bus is EventBridge.
type Bus struct {
	Service *wire.Service

	k     *kernel.Kernel
	tasks Tasks
	rules map[string]*rule            // of the default bus, by name
	buses map[string]map[string]*rule // by name; the default one is among them
}

type rule struct {
	types.Rule
	targets []types.Target
	tags    []types.Tag
}

// RuleSpec is a rule that exists when the world starts.
type RuleSpec struct {
	Name     string         `json:"name"`
	Bus      string         `json:"bus,omitempty"`      // the default one unless set; it is made if it is not there
	Schedule string         `json:"schedule,omitempty"` // "rate(1 minute)", "cron(* * * * ? *)"; on the default bus alone
	Pattern  string         `json:"pattern,omitempty"`  // of events, as JSON
	Disabled bool           `json:"disabled,omitempty"`
	Targets  []types.Target `json:"targets,omitempty"`
}

// New returns an EventBridge without a rule.
func New(k *kernel.Kernel, tasks Tasks) *Bus {
	b := &Bus{k: k, tasks: tasks, rules: map[string]*rule{}}
	b.buses = map[string]map[string]*rule{defaultBus: b.rules}
	s := &wire.Service{Name: "events", Target: "AWSEvents", State: b.state}
	b.Service = s
	wire.Handle(s, "CreateEventBus", b.createEventBus)
	wire.Handle(s, "DescribeEventBus", b.describeEventBus)
	wire.Handle(s, "ListEventBuses", b.listEventBuses)
	wire.Handle(s, "DeleteEventBus", b.deleteEventBus)
	wire.Handle(s, "PutRule", b.putRule)
	wire.Handle(s, "DescribeRule", b.describeRule)
	wire.Handle(s, "ListRules", b.listRules)
	wire.Handle(s, "EnableRule", func(c *wire.Call, in *eventbridge.EnableRuleInput) (*eventbridge.EnableRuleOutput, error) {
		return &eventbridge.EnableRuleOutput{}, b.setState(in.EventBusName, in.Name, types.RuleStateEnabled)
	})
	wire.Handle(s, "DisableRule", func(c *wire.Call, in *eventbridge.DisableRuleInput) (*eventbridge.DisableRuleOutput, error) {
		return &eventbridge.DisableRuleOutput{}, b.setState(in.EventBusName, in.Name, types.RuleStateDisabled)
	})
	wire.Handle(s, "DeleteRule", b.deleteRule)
	wire.Handle(s, "PutTargets", b.putTargets)
	wire.Handle(s, "ListTargetsByRule", b.listTargetsByRule)
	wire.Handle(s, "ListRuleNamesByTarget", b.listRuleNamesByTarget)
	wire.Handle(s, "RemoveTargets", b.removeTargets)
	wire.Handle(s, "TagResource", b.tagResource)
	wire.Handle(s, "UntagResource", b.untagResource)
	wire.Handle(s, "ListTagsForResource", b.listTagsForResource)
	return b
}

// Build makes rules.
func (b *Bus) Build(c *wire.Call, specs []RuleSpec) error {
	for _, spec := range specs {
		in := &eventbridge.PutRuleInput{Name: &spec.Name, ScheduleExpression: unlessEmpty(spec.Schedule), EventPattern: unlessEmpty(spec.Pattern), EventBusName: unlessEmpty(spec.Bus)}
		if spec.Bus != "" && b.buses[spec.Bus] == nil {
			b.buses[spec.Bus] = map[string]*rule{}
		}
		if spec.Disabled {
			in.State = types.RuleStateDisabled
		}
		if _, err := b.putRule(c, in); err != nil {
			return fmt.Errorf("rule %s: %w", spec.Name, err)
		}
		if len(spec.Targets) == 0 {
			continue
		}
		if _, err := b.putTargets(c, &eventbridge.PutTargetsInput{Rule: &spec.Name, EventBusName: in.EventBusName, Targets: spec.Targets}); err != nil {
			return fmt.Errorf("rule %s: %w", spec.Name, err)
		}
	}
	return nil
}

func (b *Bus) state() any {
	type view struct {
		State   types.RuleState `json:"state"`
		Targets []types.Target  `json:"targets"`
		Tags    []types.Tag     `json:"tags,omitempty"`
	}
	all := map[string]view{}
	for bus, rules := range b.buses {
		for n, r := range rules {
			if bus != defaultBus {
				n = bus + "/" + n
			}
			all[n] = view{r.State, r.targets, r.tags}
		}
	}
	return all
}

func (b *Bus) find(bus, name *string) (*rule, error) {
	busName, rules, err := b.bus(bus)
	if err != nil {
		return nil, err
	}
	r, ok := rules[aws.ToString(name)]
	if !ok {
		return nil, wire.Errf("ResourceNotFoundException", "Rule %s does not exist on EventBus %s.", aws.ToString(name), busName)
	}
	return r, nil
}

var (
	ruleName = regexp.MustCompile(`^[\.\-_A-Za-z0-9]{1,64}$`)
	// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html
	ruleSchedule = regexp.MustCompile(`^(rate\([1-9][0-9]* (minute|minutes|hour|hours|day|days)\)|cron\(\S+ \S+ \S+ \S+ \S+ \S+\))$`)
)

func (b *Bus) putRule(c *wire.Call, in *eventbridge.PutRuleInput) (*eventbridge.PutRuleOutput, error) {
	bus, rules, err := b.bus(in.EventBusName)
	if err != nil {
		return nil, err
	}
	n := aws.ToString(in.Name)
	if !ruleName.MatchString(n) {
		return nil, wire.ModelError(n, "name", `Member must satisfy regular expression pattern: [\.\-_A-Za-z0-9]+`)
	}
	if in.ScheduleExpression == nil && in.EventPattern == nil {
		return nil, wire.Errf("ValidationException", "Parameter(s) EventPattern or ScheduleExpression must be specified.")
	}
	if s := in.ScheduleExpression; s != nil && !ruleSchedule.MatchString(*s) {
		return nil, wire.Errf("ValidationException", "Parameter ScheduleExpression is not valid.")
	}
	if in.ScheduleExpression != nil && bus != defaultBus {
		return nil, wire.Errf("ValidationException", "ScheduleExpression is supported only on the default event bus.")
	}
	if in.State == "" {
		in.State = types.RuleStateEnabled
	}
	r := rules[n]
	if r == nil {
		r = &rule{}
		rules[n] = r
	}
	r.Rule = types.Rule{
		Arn: aws.String(b.ruleARN(bus, n)), Name: &n, EventBusName: &bus,
		Description: in.Description, EventPattern: in.EventPattern, RoleArn: in.RoleArn,
		ScheduleExpression: in.ScheduleExpression, State: in.State,
	}
	return &eventbridge.PutRuleOutput{RuleArn: r.Arn}, nil
}

func (b *Bus) describeRule(c *wire.Call, in *eventbridge.DescribeRuleInput) (*eventbridge.DescribeRuleOutput, error) {
	r, err := b.find(in.EventBusName, in.Name)
	if err != nil {
		return nil, err
	}
	return &eventbridge.DescribeRuleOutput{
		Arn: r.Arn, Name: r.Name, EventBusName: r.EventBusName, Description: r.Description, EventPattern: r.EventPattern,
		RoleArn: r.RoleArn, ScheduleExpression: r.ScheduleExpression, State: r.State, CreatedBy: aws.String(b.k.Account),
	}, nil
}

// pages are of up to 100.
var pages = wire.Pages{
	Size: 100, Most: 100,
	BadSize: func(size int) *wire.Error {
		return wire.ModelError(size, "limit", "Member must have value between 1 and 100, inclusive")
	},
	BadToken: wire.Errf("ValidationException", "Parameter NextToken is not valid."),
}

func (b *Bus) listRules(c *wire.Call, in *eventbridge.ListRulesInput) (*eventbridge.ListRulesOutput, error) {
	_, rules, err := b.bus(in.EventBusName)
	if err != nil {
		return nil, err
	}
	var found []types.Rule
	for _, n := range slices.Sorted(maps.Keys(rules)) {
		if strings.HasPrefix(n, aws.ToString(in.NamePrefix)) {
			found = append(found, rules[n].Rule)
		}
	}
	page, next, err := wire.Cut(pages, found, in.Limit, in.NextToken)
	return &eventbridge.ListRulesOutput{Rules: page, NextToken: next}, err
}

func (b *Bus) setState(bus, name *string, state types.RuleState) error {
	r, err := b.find(bus, name)
	if err != nil {
		return err
	}
	r.State = state
	return nil
}

func (b *Bus) deleteRule(c *wire.Call, in *eventbridge.DeleteRuleInput) (*eventbridge.DeleteRuleOutput, error) {
	_, rules, err := b.bus(in.EventBusName)
	if err != nil {
		return nil, err
	}
	if r := rules[aws.ToString(in.Name)]; r != nil && len(r.targets) > 0 {
		return nil, wire.Errf("ValidationException", "Rule can't be deleted since it has targets.")
	}
	delete(rules, aws.ToString(in.Name))
	return &eventbridge.DeleteRuleOutput{}, nil
}

// maxTargets is how many targets a rule has at most:
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html
const maxTargets = 5

func (b *Bus) putTargets(c *wire.Call, in *eventbridge.PutTargetsInput) (*eventbridge.PutTargetsOutput, error) {
	r, err := b.find(in.EventBusName, in.Rule)
	if err != nil {
		return nil, err
	}
	if n := len(in.Targets); n < 1 || n > 100 {
		return nil, wire.ModelError(n, "targets", "Member must have length between 1 and 100, inclusive")
	}
	for i, t := range in.Targets {
		if err := checkTarget(i+1, t); err != nil {
			return nil, err
		}
	}
	targets := slices.Clone(r.targets)
	out := &eventbridge.PutTargetsOutput{FailedEntries: []types.PutTargetsResultEntry{}}
	for _, t := range in.Targets {
		// A cluster that is not this account's is found out for its target alone.
		if p := t.EcsParameters; p != nil && !strings.HasPrefix(*t.Arn, b.k.ARN("ecs", "cluster/")) {
			out.FailedEntries = append(out.FailedEntries, types.PutTargetsResultEntry{
				TargetId: t.Id, ErrorCode: aws.String("ValidationException"),
				ErrorMessage: aws.String(fmt.Sprintf("Cluster %s is not in account %s and region %s.", *t.Arn, b.k.Account, b.k.Region)),
			})
			continue
		}
		if p := t.EcsParameters; p != nil && p.TaskCount == nil {
			withCount := *p
			withCount.TaskCount = aws.Int32(1)
			t.EcsParameters = &withCount
		}
		if i := slices.IndexFunc(targets, func(have types.Target) bool { return *have.Id == *t.Id }); i >= 0 {
			targets[i] = t
		} else {
			targets = append(targets, t)
		}
	}
	if len(targets) > maxTargets {
		return nil, wire.Errf("LimitExceededException", "The requested resource exceeds the maximum number allowed.")
	}
	r.targets = targets
	out.FailedEntryCount = int32(len(out.FailedEntries))
	return out, nil
}

func checkTarget(n int, t types.Target) error {
	member := func(name string) string { return fmt.Sprintf("targets.%d.member.%s", n, name) }
	if aws.ToString(t.Id) == "" {
		return wire.ModelError("null", member("id"), "Member must not be null")
	}
	if aws.ToString(t.Arn) == "" {
		return wire.ModelError("null", member("arn"), "Member must not be null")
	}
	if !strings.HasPrefix(*t.Arn, "arn:") || strings.Count(*t.Arn, ":") < 5 {
		return wire.Errf("ValidationException", "Parameter %s is not valid. Reason: Provided Arn is not in correct format.", *t.Arn)
	}
	ecsCluster := strings.Contains(*t.Arn, ":ecs:") && strings.Contains(*t.Arn, ":cluster/")
	switch {
	case ecsCluster && t.EcsParameters == nil:
		return wire.Errf("ValidationException", "Parameter EcsParameters is required for target %s.", *t.Arn)
	case ecsCluster && aws.ToString(t.RoleArn) == "":
		return wire.Errf("ValidationException", "RoleArn is required for target %s.", *t.Arn)
	case t.EcsParameters != nil && aws.ToString(t.EcsParameters.TaskDefinitionArn) == "":
		return wire.ModelError("null", member("ecsParameters.taskDefinitionArn"), "Member must not be null")
	}
	if inputs := []bool{t.Input != nil, t.InputPath != nil, t.InputTransformer != nil}; slices.Index(inputs, true) != lastIndex(inputs, true) {
		return wire.Errf("ValidationException", "Only one of Input, InputPath, or InputTransformer must be provided for target %s.", *t.Id)
	}
	return nil
}

func lastIndex[T comparable](s []T, v T) int {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] == v {
			return i
		}
	}
	return -1
}

func (b *Bus) listTargetsByRule(c *wire.Call, in *eventbridge.ListTargetsByRuleInput) (*eventbridge.ListTargetsByRuleOutput, error) {
	r, err := b.find(in.EventBusName, in.Rule)
	if err != nil {
		return nil, err
	}
	page, next, err := wire.Cut(pages, r.targets, in.Limit, in.NextToken)
	return &eventbridge.ListTargetsByRuleOutput{Targets: page, NextToken: next}, err
}

func (b *Bus) listRuleNamesByTarget(c *wire.Call, in *eventbridge.ListRuleNamesByTargetInput) (*eventbridge.ListRuleNamesByTargetOutput, error) {
	_, rules, err := b.bus(in.EventBusName)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, n := range slices.Sorted(maps.Keys(rules)) {
		if slices.ContainsFunc(rules[n].targets, func(t types.Target) bool { return *t.Arn == aws.ToString(in.TargetArn) }) {
			names = append(names, n)
		}
	}
	page, next, err := wire.Cut(pages, names, in.Limit, in.NextToken)
	return &eventbridge.ListRuleNamesByTargetOutput{RuleNames: page, NextToken: next}, err
}

func (b *Bus) removeTargets(c *wire.Call, in *eventbridge.RemoveTargetsInput) (*eventbridge.RemoveTargetsOutput, error) {
	r, err := b.find(in.EventBusName, in.Rule)
	if err != nil {
		return nil, err
	}
	out := &eventbridge.RemoveTargetsOutput{FailedEntries: []types.RemoveTargetsResultEntry{}}
	for _, id := range in.Ids {
		i := slices.IndexFunc(r.targets, func(t types.Target) bool { return *t.Id == id })
		if i < 0 {
			out.FailedEntries = append(out.FailedEntries, types.RemoveTargetsResultEntry{
				TargetId: aws.String(id), ErrorCode: aws.String("ResourceNotFoundException"),
				ErrorMessage: aws.String(fmt.Sprintf("Rule %s does not have the target %s.", *r.Name, id)),
			})
			continue
		}
		r.targets = slices.Delete(slices.Clone(r.targets), i, i+1)
	}
	out.FailedEntryCount = int32(len(out.FailedEntries))
	return out, nil
}

// tagged finds the rule of an ARN. Rules are all that has tags here.
func (b *Bus) tagged(arn *string) (*rule, error) {
	for _, rules := range b.buses {
		for _, r := range rules {
			if aws.ToString(r.Arn) == aws.ToString(arn) {
				return r, nil
			}
		}
	}
	return nil, wire.Errf("ResourceNotFoundException", "Rule %s does not exist on EventBus default.", aws.ToString(arn))
}

func (b *Bus) tagResource(c *wire.Call, in *eventbridge.TagResourceInput) (*eventbridge.TagResourceOutput, error) {
	r, err := b.tagged(in.ResourceARN)
	if err != nil {
		return nil, err
	}
	for _, t := range in.Tags {
		r.tags = append(withoutTag(r.tags, aws.ToString(t.Key)), t)
	}
	return &eventbridge.TagResourceOutput{}, nil
}

func (b *Bus) untagResource(c *wire.Call, in *eventbridge.UntagResourceInput) (*eventbridge.UntagResourceOutput, error) {
	r, err := b.tagged(in.ResourceARN)
	if err != nil {
		return nil, err
	}
	for _, k := range in.TagKeys {
		r.tags = withoutTag(r.tags, k)
	}
	return &eventbridge.UntagResourceOutput{}, nil
}

func withoutTag(tags []types.Tag, key string) []types.Tag {
	return slices.DeleteFunc(slices.Clone(tags), func(t types.Tag) bool { return aws.ToString(t.Key) == key })
}

func (b *Bus) listTagsForResource(c *wire.Call, in *eventbridge.ListTagsForResourceInput) (*eventbridge.ListTagsForResourceOutput, error) {
	r, err := b.tagged(in.ResourceARN)
	if err != nil {
		return nil, err
	}
	return &eventbridge.ListTagsForResourceOutput{Tags: slices.Clone(r.tags)}, nil
}
