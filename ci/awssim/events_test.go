package awssim_test

import (
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/magecloudkit/pipeline/ci/awssim"
)

const clusterARN = "arn:aws:ecs:us-east-1:111111111111:cluster/production-app"

// A target is answered as it was put, with the number of tasks that AWS adds.
func TestTargetsAreKeptAsTheyAre(t *testing.T) {
	r := start(t, awssim.Config{})
	api := eventbridge.NewFromConfig(r.w.ClientConfig())
	ctx := t.Context()
	rule := aws.String("production-cron")
	_, err := api.PutRule(ctx, &eventbridge.PutRuleInput{Name: aws.String("nightly"), ScheduleExpression: aws.String("cron(0 3 * * ? *)")})
	r.must(err)
	target := types.Target{
		Id: aws.String("t"), Arn: aws.String(clusterARN), RoleArn: aws.String("arn:aws:iam::111111111111:role/ecsEventsRole"),
		Input: aws.String(`{ "containerOverrides" : [ {"name":"magento", "command": ["bin/magento", "a b"]} ] }`),
		EcsParameters: &types.EcsParameters{
			TaskDefinitionArn: aws.String("arn:aws:ecs:us-east-1:111111111111:task-definition/production-cron"), LaunchType: types.LaunchTypeFargate,
			NetworkConfiguration: &types.NetworkConfiguration{AwsvpcConfiguration: &types.AwsVpcConfiguration{Subnets: []string{"subnet-1"}}},
			PropagateTags:        types.PropagateTagsTaskDefinition, EnableECSManagedTags: true,
		},
		RetryPolicy: &types.RetryPolicy{MaximumRetryAttempts: aws.Int32(0)},
	}
	put, err := api.PutTargets(ctx, &eventbridge.PutTargetsInput{Rule: aws.String("nightly"), Targets: []types.Target{target}})
	r.must(err)
	if put.FailedEntryCount != 0 {
		t.Errorf("failed entries %+v", put.FailedEntries)
	}
	got, err := api.ListTargetsByRule(ctx, &eventbridge.ListTargetsByRuleInput{Rule: aws.String("nightly")})
	r.must(err)
	target.EcsParameters.TaskCount = aws.Int32(1)
	ignore := cmpopts.IgnoreUnexported(types.Target{}, types.EcsParameters{}, types.NetworkConfiguration{}, types.AwsVpcConfiguration{}, types.RetryPolicy{})
	if diff := cmp.Diff([]types.Target{target}, got.Targets, ignore); diff != "" {
		t.Errorf("targets (-want +got):\n%s", diff)
	}

	// The same id replaces, another one is added, and a cluster of somebody else fails alone.
	target.Input = aws.String("{}")
	other, foreign := target, target
	other.Id, foreign.Id = aws.String("u"), aws.String("v")
	foreign.Arn = aws.String("arn:aws:ecs:us-east-1:222222222222:cluster/x")
	put, err = api.PutTargets(ctx, &eventbridge.PutTargetsInput{Rule: aws.String("nightly"), Targets: []types.Target{target, other, foreign}})
	r.must(err)
	if put.FailedEntryCount != 1 || *put.FailedEntries[0].TargetId != "v" {
		t.Errorf("failed entries %+v", put.FailedEntries)
	}
	got, err = api.ListTargetsByRule(ctx, &eventbridge.ListTargetsByRuleInput{Rule: aws.String("nightly")})
	r.must(err)
	if len(got.Targets) != 2 || *got.Targets[0].Input != "{}" {
		t.Errorf("targets %+v", got.Targets)
	}
	names, err := api.ListRuleNamesByTarget(ctx, &eventbridge.ListRuleNamesByTargetInput{TargetArn: aws.String(clusterARN)})
	r.must(err)
	if diff := cmp.Diff([]string{"nightly", "production-cron"}, names.RuleNames); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}

	_, err = api.DisableRule(ctx, &eventbridge.DisableRuleInput{Name: rule})
	r.must(err)
	described, err := api.DescribeRule(ctx, &eventbridge.DescribeRuleInput{Name: rule})
	r.must(err)
	if described.State != types.RuleStateDisabled {
		t.Errorf("the rule is %s", described.State)
	}
}

func TestEventsErrors(t *testing.T) {
	r := start(t, awssim.Config{})
	api := eventbridge.NewFromConfig(r.w.ClientConfig())
	ctx := t.Context()
	put := func(edit func(*types.Target)) error {
		target := types.Target{
			Id: aws.String("t"), Arn: aws.String(clusterARN), RoleArn: aws.String("arn:aws:iam::111111111111:role/ecsEventsRole"),
			EcsParameters: &types.EcsParameters{TaskDefinitionArn: aws.String("arn:aws:ecs:us-east-1:111111111111:task-definition/production-cron:1")},
		}
		edit(&target)
		_, err := api.PutTargets(ctx, &eventbridge.PutTargetsInput{Rule: aws.String("production-cron"), Targets: []types.Target{target}})
		return err
	}
	for name, tt := range map[string]struct {
		err  error
		code string
	}{
		"no role":                {put(func(t *types.Target) { t.RoleArn = nil }), "ValidationException"},
		"no task definition":     {put(func(t *types.Target) { t.EcsParameters = nil }), "ValidationException"},
		"not an ARN":             {put(func(t *types.Target) { t.Arn = aws.String("production-app") }), "ValidationException"},
		"two kinds of input":     {put(func(t *types.Target) { t.Input, t.InputPath = aws.String("{}"), aws.String("$") }), "ValidationException"},
		"no such rule":           {second(api.DescribeRule(ctx, &eventbridge.DescribeRuleInput{Name: aws.String("gone")})), "ResourceNotFoundException"},
		"no such bus":            {second(api.ListRules(ctx, &eventbridge.ListRulesInput{EventBusName: aws.String("other")})), "ResourceNotFoundException"},
		"neither time nor event": {second(api.PutRule(ctx, &eventbridge.PutRuleInput{Name: aws.String("r")})), "ValidationException"},
		"not a schedule":         {second(api.PutRule(ctx, &eventbridge.PutRuleInput{Name: aws.String("r"), ScheduleExpression: aws.String("every day")})), "ValidationException"},
		"rule with targets":      {second(api.DeleteRule(ctx, &eventbridge.DeleteRuleInput{Name: aws.String("production-cron")})), "ValidationException"},
		"page of 101":            {second(api.ListRules(ctx, &eventbridge.ListRulesInput{Limit: aws.Int32(101)})), "ValidationException"},
	} {
		t.Run(name, func(t *testing.T) { wantCode(t, tt.err, tt.code) })
	}
	var many []types.Target
	for i := range 6 {
		many = append(many, types.Target{Id: aws.String(fmt.Sprint(i)), Arn: aws.String("arn:aws:sqs:us-east-1:111111111111:q")})
	}
	_, err := api.PutTargets(ctx, &eventbridge.PutTargetsInput{Rule: aws.String("production-cron"), Targets: many})
	wantCode(t, err, "LimitExceededException")
}

// second returns the second of two values.
func second[T any](_ T, err error) error { return err }
