package rehearse

import (
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"
	"github.com/aws/aws-sdk-go-v2/service/scheduler/types"

	"github.com/magecloudkit/pipeline/ci/awssim"
	"github.com/magecloudkit/pipeline/ci/release"
)

// Schedule is the schedule of EventBridge Scheduler that worlds with [scheduled] have.
const Schedule = "magento/production-cron"

// scheduled adds a schedule that runs cron, with everything that one can have.
func scheduled(change ...func(*scheduler.CreateScheduleInput)) world {
	return func(t *awssim.Topology) {
		started := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
		in := scheduler.CreateScheduleInput{
			Name: aws.String("production-cron"), GroupName: aws.String("magento"), Description: aws.String("Magento's cron, every minute"),
			ScheduleExpression: aws.String("rate(1 minute)"), ScheduleExpressionTimezone: aws.String("Europe/Berlin"), StartDate: &started,
			FlexibleTimeWindow: &types.FlexibleTimeWindow{Mode: types.FlexibleTimeWindowModeFlexible, MaximumWindowInMinutes: aws.Int32(1)},
			Target: &types.Target{
				Arn: aws.String("arn:aws:ecs:us-east-1:111111111111:cluster/production-app"), RoleArn: aws.String("arn:aws:iam::111111111111:role/ecsEventsRole"),
				Input:            aws.String(`{"containerOverrides":[{"name":"magento","command":["bin/magento","cron:run","--group","index"]}]}`),
				RetryPolicy:      &types.RetryPolicy{MaximumRetryAttempts: aws.Int32(2)},
				DeadLetterConfig: &types.DeadLetterConfig{Arn: aws.String("arn:aws:sqs:us-east-1:111111111111:cron")},
				EcsParameters: &types.EcsParameters{
					TaskDefinitionArn: aws.String("arn:aws:ecs:us-east-1:111111111111:task-definition/production-cron:1"), LaunchType: types.LaunchTypeFargate, TaskCount: aws.Int32(1),
					NetworkConfiguration: &types.NetworkConfiguration{AwsvpcConfiguration: &types.AwsVpcConfiguration{Subnets: []string{"subnet-0aaaaaaaaaaaaaaa1"}}},
				},
			},
		}
		for _, c := range change {
			c(&in)
		}
		t.Schedules = append(t.Schedules, awssim.ScheduleSpec{Value: in})
	}
}

// bySchedule releases with the schedule, and without the rule.
func bySchedule(r *release.Request) { r.CronRules, r.Schedules = nil, []string{Schedule} }

// withSchedule releases with both.
func withSchedule(r *release.Request) { r.Schedules = []string{Schedule} }

func switchedOff(in *scheduler.CreateScheduleInput) { in.State = types.ScheduleStateDisabled }

func described(text string) func(*scheduler.CreateScheduleInput) {
	return func(in *scheduler.CreateScheduleInput) { in.Description = aws.String(text) }
}

// aQueue has a schedule send a message instead.
func aQueue(in *scheduler.CreateScheduleInput) {
	in.Target = &types.Target{Arn: aws.String("arn:aws:sqs:us-east-1:111111111111:cron"), RoleArn: in.Target.RoleArn}
}

// jobOfSchedule is a task as the Scheduler starts it.
var jobOfSchedule = strings.Replace(cronJob, "events-rule/production-cron", "chronos-schedule/production-cro", 1)

// ownersUpdate is what somebody else makes of the schedule meanwhile: it runs every five minutes.
const ownersUpdate = `{"Name":"production-cron","GroupName":"magento","Description":"every five","ScheduleExpression":"rate(5 minutes)","FlexibleTimeWindow":{"Mode":"OFF"},
	"Target":{"Arn":"arn:aws:ecs:us-east-1:111111111111:cluster/production-app","RoleArn":"arn:aws:iam::111111111111:role/ecsEventsRole","EcsParameters":{"TaskDefinitionArn":"arn:aws:ecs:us-east-1:111111111111:task-definition/production-cron:1"}}}`

// schedules are releases of cron that EventBridge Scheduler starts.
func schedules() []Scenario {
	long := behave{{Family: "production-cron", Standalone: true, Container: "magento", ExitAfter: d(3 * minute), Exit: aws.Int32(0)}}
	table := []Scenario{
		{Name: "schedule: cron runs the build", Want: released, World: scheduled(), Request: bySchedule, Also: checks(calledTimes("scheduler:UpdateSchedule", 1), said("schedule magento/production-cron: enabled, runs production-cron:2"))},
		{Name: "schedule: beside a rule", Want: released, World: scheduled(), Request: withSchedule, Also: checks(calledTimes("scheduler:UpdateSchedule", 1), calledTimes("events:PutTargets", 1))},
		{Name: "schedule: paused for a migration", Want: released, World: scheduled(), Request: withSchedule, Facts: databaseIsOld, Also: checks(calledTimes("scheduler:UpdateSchedule", 3), pausedMeanwhile)},
		{Name: "schedule: without a description, paused for a migration", Want: released, World: scheduled(func(in *scheduler.CreateScheduleInput) { in.Description = nil }), Request: bySchedule, Facts: databaseIsOld, Also: checks(pausedMeanwhile)},
		{Name: "schedule: a description without room for the mark", Want: migrationFailed, World: scheduled(described(strings.Repeat("x", 500))), Request: bySchedule, Facts: databaseIsOld, Also: checks(said("its description leaves no room"), noTask("setup:upgrade"))},
		{Name: "schedule: of the default group", Want: released, World: scheduled(func(in *scheduler.CreateScheduleInput) { in.GroupName = nil }), Request: func(r *release.Request) { r.CronRules, r.Schedules = nil, []string{"production-cron"} }},
		{Name: "schedule: disabled by its owner stays so", Want: released, World: scheduled(switchedOff), Request: bySchedule, Facts: databaseIsOld, Also: checks(calledTimes("scheduler:UpdateSchedule", 1))},
		{Name: "schedule: of the family that the web service runs", Want: released, World: scheduled(func(in *scheduler.CreateScheduleInput) {
			in.Target.EcsParameters.TaskDefinitionArn = aws.String("arn:aws:ecs:us-east-1:111111111111:task-definition/production-app:1")
		}), Request: bySchedule},
		{Name: "schedule: without a revision", Want: released, World: scheduled(func(in *scheduler.CreateScheduleInput) {
			in.Target.EcsParameters.TaskDefinitionArn = aws.String("arn:aws:ecs:us-east-1:111111111111:task-definition/production-cron")
		}), Request: bySchedule, Also: checks(found("without a revision"))},
		{Name: "schedule: missing", Want: refused, Request: bySchedule, Also: checks(refusedFor("schedule magento/production-cron: does not exist"))},
		{Name: "schedule: of no ECS task", Want: refused, World: scheduled(aQueue), Request: bySchedule, Also: checks(refusedFor("has no target that runs an ECS task"))},
		{Name: "schedule: a command does not look at it", Want: finished, Verb: command("cache:flush"), Request: bySchedule, Own: true, Also: checks(ourCalls("scheduler:GetSchedule", 0), exit(0))},
		{Name: "schedule: may not be read", Want: refused, World: scheduled(), Request: bySchedule, Faults: faults{always("scheduler:GetSchedule", awssim.Denied)}},
		{Name: "schedule: may not be changed", Want: incomplete, World: scheduled(), Request: bySchedule, Faults: faults{always("scheduler:UpdateSchedule", awssim.Denied)}, Also: checks(CronUntouched, said("schedule magento/production-cron still runs production-cron:1"))},
		{Name: "schedule: may not be paused", Want: migrationFailed, World: scheduled(), Request: bySchedule, Facts: databaseIsOld, Faults: faults{always("scheduler:UpdateSchedule", awssim.Denied)}, Also: checks(noTask("setup:upgrade"))},
		{Name: "schedule: the roll fails", Want: rolledBack, World: scheduled(), Request: withSchedule, Facts: databaseIsOld, Behave: crashLoop},
		{Name: "schedule: the shop fails", Want: rolledBack, World: scheduled(), Request: both(bySchedule, probes(shopURL)), Facts: newFails},
		{Name: "schedule: the migration fails", Want: migrationFailed, World: scheduled(), Request: withSchedule, Facts: databaseIsOld, Behave: task("setup:upgrade", awssim.Behavior{Exit: aws.Int32(1)})},
		{Name: "schedule: rollback", Want: returned, World: scheduled(), First: []ask{both(build(Build), withSchedule)}, Verb: (*release.Releaser).Rollback, Request: both(withSchedule, build("")), Also: checks(ends(Running))},
		{Name: "schedule: settings changed", Want: released, World: scheduled(), Verb: (*release.Releaser).EnvChange, Request: all(withSchedule, build(Running), someEnv)},
		{Name: "schedule: a long job is waited for before the upgrade", Want: released, World: scheduled(func(in *scheduler.CreateScheduleInput) { in.ScheduleExpression = aws.String("cron(1 * * * ? *)") }), Request: bySchedule, Facts: databaseIsOld, Behave: long, Events: events{at(20*second, "ecs:RunTask", jobOfSchedule)}, Also: checks(upgradeAfter(3 * minute))},
		{Name: "schedule: changed by its owner meanwhile", Want: released, World: scheduled(), Request: bySchedule, Events: events{upon("ecs:UpdateService", 10*second, "scheduler:UpdateSchedule", ownersUpdate)}, Own: true, Also: checks(ServicesRunBuild, ownersStays)},
		{Name: "schedule: interrupted in the upgrade", Want: interrupted, World: scheduled(), Request: bySchedule, SignalOn: "ecs:DescribeTasks", SignalAt: 8, Facts: databaseIsOld, Own: true, Also: checks(ServicesUntouched, said("schedule magento/production-cron: DISABLED"))},
		{Name: "schedule: interrupted in the upgrade, and run again", Want: released, World: scheduled(), Request: bySchedule, SignalOn: "ecs:DescribeTasks", SignalAt: 8, Facts: databaseIsOld, Again: true, Before: interrupted, Also: onceEach},
		{Name: "schedule: killed while it is paused, and run again", Want: released, World: scheduled(), Request: withSchedule, SignalOn: "scheduler:UpdateSchedule", Crash: true, Facts: databaseIsOld, Again: true, Also: checks(oneTask("setup:upgrade"))},
		{Name: "schedule: killed before it is enabled again, and run again", Want: released, World: scheduled(), Request: bySchedule, SignalOn: "ecs:UpdateService", SignalAt: 2, Crash: true, Facts: databaseIsOld, Again: true, Also: checks(oneTask("setup:upgrade"))},
		{Name: "schedule: killed as it is moved, and run again", Want: released, World: scheduled(), Request: bySchedule, SignalOn: "scheduler:UpdateSchedule", SignalAt: 1, Crash: true, Again: true},
	}
	for _, op := range []string{"scheduler:GetSchedule", "scheduler:UpdateSchedule"} {
		for name, kind := range map[string]awssim.FaultKind{"throttled": awssim.Throttle, "500 and not done": awssim.Broken, "500 and done": awssim.BrokenLate, "cut and not done": awssim.DropBefore, "cut and done": awssim.DropAfter} {
			table = append(table, Scenario{Name: fmt.Sprintf("schedule: %s: %s", name, op), Want: released, World: scheduled(), Request: withSchedule, Facts: databaseIsOld, Faults: faults{{Op: op, Kind: kind, Times: 2}}, Also: everyTaskOnce})
		}
	}
	return table
}

// Checks.

// pausedMeanwhile wants the schedule disabled, and marked, while the database was upgraded.
func pausedMeanwhile(s *Stage, _ *release.Result) error {
	updates := calls(s, "scheduler:UpdateSchedule", true)
	if len(updates) == 0 {
		return fmt.Errorf("the schedule was not paused")
	}
	first := string(updates[0].Input)
	if !strings.Contains(first, `"State":"DISABLED"`) || !strings.Contains(first, release.TagPaused+"="+Build) {
		return fmt.Errorf("the schedule was not paused and marked: %s", first)
	}
	for _, c := range s.World.Calls()[s.Start.Calls:] {
		switch {
		case c.Op == "scheduler:UpdateSchedule":
			return nil
		case c.Op == "ecs:RunTask" && strings.Contains(string(c.Input), "setup:upgrade"):
			return fmt.Errorf("the upgrade began before the schedule was paused")
		}
	}
	return nil
}

// ownersStays wants what the schedule's owner has made of it, with the new revision.
func ownersStays(s *Stage, _ *release.Result) error {
	now, err := s.State()
	if err != nil {
		return err
	}
	out := now.Schedules[Schedule]
	if aws.ToString(out.ScheduleExpression) != "rate(5 minutes)" || aws.ToString(out.Description) != "every five" {
		return fmt.Errorf("its owner's change was lost: %s, %s", aws.ToString(out.ScheduleExpression), aws.ToString(out.Description))
	}
	return s.carries(aws.ToString(out.Target.EcsParameters.TaskDefinitionArn), Build)
}

// sameSchedule compares all of a schedule but its revision, its state and the start that has been.
func sameSchedule(was, is scheduler.GetScheduleOutput) error {
	is.LastModificationDate, is.StartDate, is.State = was.LastModificationDate, was.StartDate, was.State
	is.ResultMetadata = was.ResultMetadata
	if is.Target != nil && is.Target.EcsParameters != nil && was.Target != nil && was.Target.EcsParameters != nil {
		target, p := *is.Target, *is.Target.EcsParameters
		p.TaskDefinitionArn = was.Target.EcsParameters.TaskDefinitionArn
		target.EcsParameters = &p
		is.Target = &target
	}
	if !reflect.DeepEqual(was, is) {
		return fmt.Errorf("more than the revision of schedule %s was changed", aws.ToString(was.Name))
	}
	return nil
}
