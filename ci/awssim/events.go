package awssim

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
)

// Amazon EventBridge, after https://docs.aws.amazon.com/eventbridge/latest/APIReference/. Rules and their targets are
// kept, and scheduled ones start the tasks of their targets (cron.go). Other buses than "default", event patterns and managed rules are left out.

type eventBus struct {
	w     *World
	rules map[string]*rule
}

type rule struct {
	types.Rule
	targets []types.Target
	tags    []types.Tag
}

// RuleSpec is a rule that exists when the world starts.
type RuleSpec struct {
	Name     string         `json:"name"`
	Schedule string         `json:"schedule"` // "rate(1 minute)", "cron(* * * * ? *)"
	Disabled bool           `json:"disabled,omitempty"`
	Targets  []types.Target `json:"targets,omitempty"`
}

// defaultRules is Magento's cron, every minute.
func defaultRules(account, region string) []RuleSpec {
	ecs := fmt.Sprintf("arn:aws:ecs:%s:%s:", region, account)
	return []RuleSpec{{
		Name: "production-cron", Schedule: "rate(1 minute)",
		Targets: []types.Target{{
			Id: aws.String("cron"), Arn: aws.String(ecs + "cluster/production-app"),
			RoleArn: aws.String(fmt.Sprintf("arn:aws:iam::%s:role/ecsEventsRole", account)),
			Input:   aws.String(`{"containerOverrides":[{"name":"magento","command":["bin/magento","cron:run"]}]}`),
			EcsParameters: &types.EcsParameters{
				TaskDefinitionArn: aws.String(ecs + "task-definition/production-cron:1"), TaskCount: aws.Int32(1),
				LaunchType: types.LaunchTypeFargate, PlatformVersion: aws.String("LATEST"),
				NetworkConfiguration: &types.NetworkConfiguration{AwsvpcConfiguration: &types.AwsVpcConfiguration{
					Subnets: []string{"subnet-0aaaaaaaaaaaaaaa1", "subnet-0aaaaaaaaaaaaaaa2"}, SecurityGroups: []string{"sg-0aaaaaaaaaaaaaaa1"},
					AssignPublicIp: types.AssignPublicIpDisabled,
				}},
			},
		}},
	}}
}

func newEvents(w *World) *service {
	b := &eventBus{w: w, rules: map[string]*rule{}}
	w.hooks.rules = b
	s := &service{name: "events", target: "AWSEvents", build: b.build, state: b.state}
	handle(s, "PutRule", b.putRule)
	handle(s, "DescribeRule", b.describeRule)
	handle(s, "ListRules", b.listRules)
	handle(s, "EnableRule", func(c *call, in *eventbridge.EnableRuleInput) (*eventbridge.EnableRuleOutput, error) {
		return &eventbridge.EnableRuleOutput{}, b.setState(in.EventBusName, in.Name, types.RuleStateEnabled)
	})
	handle(s, "DisableRule", func(c *call, in *eventbridge.DisableRuleInput) (*eventbridge.DisableRuleOutput, error) {
		return &eventbridge.DisableRuleOutput{}, b.setState(in.EventBusName, in.Name, types.RuleStateDisabled)
	})
	handle(s, "DeleteRule", b.deleteRule)
	handle(s, "PutTargets", b.putTargets)
	handle(s, "ListTargetsByRule", b.listTargetsByRule)
	handle(s, "ListRuleNamesByTarget", b.listRuleNamesByTarget)
	handle(s, "RemoveTargets", b.removeTargets)
	handle(s, "TagResource", b.tagResource)
	handle(s, "UntagResource", b.untagResource)
	handle(s, "ListTagsForResource", b.listTagsForResource)
	return s
}

func (b *eventBus) build(t *Topology) error {
	c := &call{w: b.w}
	for _, spec := range t.Rules {
		in := &eventbridge.PutRuleInput{Name: aws.String(spec.Name), ScheduleExpression: aws.String(spec.Schedule)}
		if spec.Disabled {
			in.State = types.RuleStateDisabled
		}
		if _, err := b.putRule(c, in); err != nil {
			return fmt.Errorf("rule %s: %w", spec.Name, err)
		}
		if len(spec.Targets) == 0 {
			continue
		}
		if _, err := b.putTargets(c, &eventbridge.PutTargetsInput{Rule: aws.String(spec.Name), Targets: spec.Targets}); err != nil {
			return fmt.Errorf("rule %s: %w", spec.Name, err)
		}
	}
	return nil
}

func (b *eventBus) enabledRules() map[string]enabledRule {
	all := map[string]enabledRule{}
	for n, r := range b.rules {
		if r.State == types.RuleStateEnabled {
			all[n] = enabledRule{aws.ToString(r.ScheduleExpression), r.targets}
		}
	}
	return all
}

func (b *eventBus) state() any {
	type view struct {
		State   types.RuleState `json:"state"`
		Targets []types.Target  `json:"targets"`
		Tags    []types.Tag     `json:"tags,omitempty"`
	}
	all := map[string]view{}
	for n, r := range b.rules {
		all[n] = view{r.State, r.targets, r.tags}
	}
	return all
}

// bus refuses any bus but the default one.
func (b *eventBus) bus(name *string) error {
	n := aws.ToString(name)
	if n == "" || n == "default" || n == b.w.arn("events", "event-bus/default") {
		return nil
	}
	return errf("ResourceNotFoundException", "Event bus %s does not exist.", n)
}

func (b *eventBus) find(bus, name *string) (*rule, error) {
	if err := b.bus(bus); err != nil {
		return nil, err
	}
	r, ok := b.rules[aws.ToString(name)]
	if !ok {
		return nil, errf("ResourceNotFoundException", "Rule %s does not exist on EventBus default.", aws.ToString(name))
	}
	return r, nil
}

// modelError is the error for a member that breaks a rule of an API's model.
func modelError(value any, member, constraint string) *Error {
	return errf("ValidationException", "1 validation error detected: Value '%v' at '%s' failed to satisfy constraint: %s", value, member, constraint)
}

var (
	ruleName = regexp.MustCompile(`^[\.\-_A-Za-z0-9]{1,64}$`)
	// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html
	schedule = regexp.MustCompile(`^(rate\([1-9][0-9]* (minute|minutes|hour|hours|day|days)\)|cron\(\S+ \S+ \S+ \S+ \S+ \S+\))$`)
)

func (b *eventBus) putRule(c *call, in *eventbridge.PutRuleInput) (*eventbridge.PutRuleOutput, error) {
	if err := b.bus(in.EventBusName); err != nil {
		return nil, err
	}
	n := aws.ToString(in.Name)
	if !ruleName.MatchString(n) {
		return nil, modelError(n, "name", `Member must satisfy regular expression pattern: [\.\-_A-Za-z0-9]+`)
	}
	if in.ScheduleExpression == nil && in.EventPattern == nil {
		return nil, errf("ValidationException", "Parameter(s) EventPattern or ScheduleExpression must be specified.")
	}
	if s := in.ScheduleExpression; s != nil && !schedule.MatchString(*s) {
		return nil, errf("ValidationException", "Parameter ScheduleExpression is not valid.")
	}
	if in.State == "" {
		in.State = types.RuleStateEnabled
	}
	r := b.rules[n]
	if r == nil {
		r = &rule{}
		b.rules[n] = r
	}
	r.Rule = types.Rule{
		Arn: aws.String(b.w.arn("events", "rule/"+n)), Name: &n, EventBusName: aws.String("default"),
		Description: in.Description, EventPattern: in.EventPattern, RoleArn: in.RoleArn,
		ScheduleExpression: in.ScheduleExpression, State: in.State,
	}
	return &eventbridge.PutRuleOutput{RuleArn: r.Arn}, nil
}

func (b *eventBus) describeRule(c *call, in *eventbridge.DescribeRuleInput) (*eventbridge.DescribeRuleOutput, error) {
	r, err := b.find(in.EventBusName, in.Name)
	if err != nil {
		return nil, err
	}
	return &eventbridge.DescribeRuleOutput{
		Arn: r.Arn, Name: r.Name, EventBusName: r.EventBusName, Description: r.Description, EventPattern: r.EventPattern,
		RoleArn: r.RoleArn, ScheduleExpression: r.ScheduleExpression, State: r.State, CreatedBy: aws.String(b.w.account),
	}, nil
}

// eventsPage cuts out a page of up to 100.
func eventsPage[T any](all []T, limit *int32, token *string) ([]T, *string, error) {
	size := 100
	if limit != nil {
		size = int(*limit)
	}
	if size < 1 || size > 100 {
		return nil, nil, modelError(size, "limit", "Member must have value between 1 and 100, inclusive")
	}
	page, next, ok := cutPage(all, size, token)
	if !ok {
		return nil, nil, errf("ValidationException", "Parameter NextToken is not valid.")
	}
	return page, next, nil
}

func (b *eventBus) listRules(c *call, in *eventbridge.ListRulesInput) (*eventbridge.ListRulesOutput, error) {
	if err := b.bus(in.EventBusName); err != nil {
		return nil, err
	}
	var found []types.Rule
	for _, n := range slices.Sorted(maps.Keys(b.rules)) {
		if strings.HasPrefix(n, aws.ToString(in.NamePrefix)) {
			found = append(found, b.rules[n].Rule)
		}
	}
	page, next, err := eventsPage(found, in.Limit, in.NextToken)
	return &eventbridge.ListRulesOutput{Rules: page, NextToken: next}, err
}

func (b *eventBus) setState(bus, name *string, state types.RuleState) error {
	r, err := b.find(bus, name)
	if err != nil {
		return err
	}
	r.State = state
	return nil
}

func (b *eventBus) deleteRule(c *call, in *eventbridge.DeleteRuleInput) (*eventbridge.DeleteRuleOutput, error) {
	if err := b.bus(in.EventBusName); err != nil {
		return nil, err
	}
	if r := b.rules[aws.ToString(in.Name)]; r != nil && len(r.targets) > 0 {
		return nil, errf("ValidationException", "Rule can't be deleted since it has targets.")
	}
	delete(b.rules, aws.ToString(in.Name))
	return &eventbridge.DeleteRuleOutput{}, nil
}

// maxTargets is how many targets a rule has at most:
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html
const maxTargets = 5

func (b *eventBus) putTargets(c *call, in *eventbridge.PutTargetsInput) (*eventbridge.PutTargetsOutput, error) {
	r, err := b.find(in.EventBusName, in.Rule)
	if err != nil {
		return nil, err
	}
	if n := len(in.Targets); n < 1 || n > 100 {
		return nil, modelError(n, "targets", "Member must have length between 1 and 100, inclusive")
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
		if p := t.EcsParameters; p != nil && !strings.HasPrefix(*t.Arn, b.w.arn("ecs", "cluster/")) {
			out.FailedEntries = append(out.FailedEntries, types.PutTargetsResultEntry{
				TargetId: t.Id, ErrorCode: aws.String("ValidationException"),
				ErrorMessage: aws.String(fmt.Sprintf("Cluster %s is not in account %s and region %s.", *t.Arn, b.w.account, b.w.region)),
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
		return nil, errf("LimitExceededException", "The requested resource exceeds the maximum number allowed.")
	}
	r.targets = targets
	out.FailedEntryCount = int32(len(out.FailedEntries))
	return out, nil
}

func checkTarget(n int, t types.Target) error {
	member := func(name string) string { return fmt.Sprintf("targets.%d.member.%s", n, name) }
	if aws.ToString(t.Id) == "" {
		return modelError("null", member("id"), "Member must not be null")
	}
	if aws.ToString(t.Arn) == "" {
		return modelError("null", member("arn"), "Member must not be null")
	}
	if !strings.HasPrefix(*t.Arn, "arn:") || strings.Count(*t.Arn, ":") < 5 {
		return errf("ValidationException", "Parameter %s is not valid. Reason: Provided Arn is not in correct format.", *t.Arn)
	}
	ecsCluster := strings.Contains(*t.Arn, ":ecs:") && strings.Contains(*t.Arn, ":cluster/")
	switch {
	case ecsCluster && t.EcsParameters == nil:
		return errf("ValidationException", "Parameter EcsParameters is required for target %s.", *t.Arn)
	case ecsCluster && aws.ToString(t.RoleArn) == "":
		return errf("ValidationException", "RoleArn is required for target %s.", *t.Arn)
	case t.EcsParameters != nil && aws.ToString(t.EcsParameters.TaskDefinitionArn) == "":
		return modelError("null", member("ecsParameters.taskDefinitionArn"), "Member must not be null")
	}
	if inputs := []bool{t.Input != nil, t.InputPath != nil, t.InputTransformer != nil}; slices.Index(inputs, true) != lastIndex(inputs, true) {
		return errf("ValidationException", "Only one of Input, InputPath, or InputTransformer must be provided for target %s.", *t.Id)
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

func (b *eventBus) listTargetsByRule(c *call, in *eventbridge.ListTargetsByRuleInput) (*eventbridge.ListTargetsByRuleOutput, error) {
	r, err := b.find(in.EventBusName, in.Rule)
	if err != nil {
		return nil, err
	}
	page, next, err := eventsPage(r.targets, in.Limit, in.NextToken)
	return &eventbridge.ListTargetsByRuleOutput{Targets: page, NextToken: next}, err
}

func (b *eventBus) listRuleNamesByTarget(c *call, in *eventbridge.ListRuleNamesByTargetInput) (*eventbridge.ListRuleNamesByTargetOutput, error) {
	if err := b.bus(in.EventBusName); err != nil {
		return nil, err
	}
	var names []string
	for _, n := range slices.Sorted(maps.Keys(b.rules)) {
		if slices.ContainsFunc(b.rules[n].targets, func(t types.Target) bool { return *t.Arn == aws.ToString(in.TargetArn) }) {
			names = append(names, n)
		}
	}
	page, next, err := eventsPage(names, in.Limit, in.NextToken)
	return &eventbridge.ListRuleNamesByTargetOutput{RuleNames: page, NextToken: next}, err
}

func (b *eventBus) removeTargets(c *call, in *eventbridge.RemoveTargetsInput) (*eventbridge.RemoveTargetsOutput, error) {
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
func (b *eventBus) tagged(arn *string) (*rule, error) {
	for _, r := range b.rules {
		if aws.ToString(r.Arn) == aws.ToString(arn) {
			return r, nil
		}
	}
	return nil, errf("ResourceNotFoundException", "Rule %s does not exist on EventBus default.", aws.ToString(arn))
}

func (b *eventBus) tagResource(c *call, in *eventbridge.TagResourceInput) (*eventbridge.TagResourceOutput, error) {
	r, err := b.tagged(in.ResourceARN)
	if err != nil {
		return nil, err
	}
	for _, t := range in.Tags {
		r.tags = append(withoutTag(r.tags, aws.ToString(t.Key)), t)
	}
	return &eventbridge.TagResourceOutput{}, nil
}

func (b *eventBus) untagResource(c *call, in *eventbridge.UntagResourceInput) (*eventbridge.UntagResourceOutput, error) {
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

func (b *eventBus) listTagsForResource(c *call, in *eventbridge.ListTagsForResourceInput) (*eventbridge.ListTagsForResourceOutput, error) {
	r, err := b.tagged(in.ResourceARN)
	if err != nil {
		return nil, err
	}
	return &eventbridge.ListTagsForResourceOutput{Tags: slices.Clone(r.tags)}, nil
}
