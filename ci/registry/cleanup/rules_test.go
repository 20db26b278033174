package cleanup_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	bridge "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"
	scheduling "github.com/aws/aws-sdk-go-v2/service/scheduler/types"

	"github.com/magecloudkit/pipeline/ci/awssim"
)

const (
	inCluster = "arn:aws:ecs:us-east-1:111111111111:cluster/production-app"
	orders    = "arn:aws:ecs:us-east-1:111111111111:task-definition/orders:1"
	invokes   = "arn:aws:iam::111111111111:role/ecsEventsRole"
)

// withOrders adds a task definition of build 297.
func withOrders(top *awssim.Topology) {
	d := top.TaskDefinitions[2].Value // production-cron
	d.Family = aws.String("orders")
	d.ContainerDefinitions = slices.Clone(d.ContainerDefinitions)
	d.ContainerDefinitions[0].Image = aws.String("111111111111.dkr.ecr.us-east-1.amazonaws.com/" + magento + ":297")
	top.TaskDefinitions = append(top.TaskDefinitions, awssim.TaskDefinitionSpec{Value: d})
}

// withSchedule adds a schedule of EventBridge Scheduler that runs it.
func withSchedule(top *awssim.Topology) {
	withOrders(top)
	top.Schedules = []awssim.ScheduleSpec{{Value: scheduler.CreateScheduleInput{
		Name: aws.String("nightly"), GroupName: aws.String("shop"), ScheduleExpression: aws.String("cron(0 3 * * ? *)"),
		FlexibleTimeWindow: &scheduling.FlexibleTimeWindow{Mode: scheduling.FlexibleTimeWindowModeOff},
		Target: &scheduling.Target{Arn: aws.String(inCluster), RoleArn: aws.String(invokes),
			EcsParameters: &scheduling.EcsParameters{TaskDefinitionArn: aws.String(orders)}},
	}}}
}

// An image that nothing but a rule on an event bus of its own, or a schedule of EventBridge Scheduler, runs is kept: the
// revision is not active, and no other names the image.
func TestWhatIsRunFromElsewhereIsKept(t *testing.T) {
	for name, tc := range map[string]struct {
		edit func(*awssim.Topology)
		why  string // empty: nothing keeps it
	}{
		"nothing runs it": {withOrders, ""},
		"a rule on a bus of its own": {func(top *awssim.Topology) {
			withOrders(top)
			top.Rules = append(top.Rules, awssim.RuleSpec{Name: "placed", Bus: "shop", Pattern: `{"source":["shop"]}`, Targets: []bridge.Target{{
				Id: aws.String("t"), Arn: aws.String(inCluster), RoleArn: aws.String(invokes), EcsParameters: &bridge.EcsParameters{TaskDefinitionArn: aws.String(orders)},
			}}})
		}, "rule shop/placed"},
		"a schedule of EventBridge Scheduler": {withSchedule, "schedule shop/nightly"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCloud(t, tc.edit)
			client := c.scope.Regions[0].ECS.(*ecs.Client)
			if _, err := client.DeregisterTaskDefinition(t.Context(), &ecs.DeregisterTaskDefinitionInput{TaskDefinition: aws.String(orders)}); err != nil {
				t.Fatal(err)
			}
			if _, err := c.run(t, strict); err != nil {
				t.Fatal(err)
			}
			if kept := slices.Contains(c.images(t, magento), "297"); kept != (tc.why != "") {
				t.Errorf("kept: %t", kept)
			}
			var table strings.Builder
			if err := c.plan(t, strict).Table(&table); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(table.String(), tc.why) {
				t.Errorf("%q is not in\n%s", tc.why, table.String())
			}
		})
	}
}
