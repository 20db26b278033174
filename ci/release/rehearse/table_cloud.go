package rehearse

import (
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/magecloudkit/pipeline/ci/awssim"
	"github.com/magecloudkit/pipeline/ci/ecs"
	"github.com/magecloudkit/pipeline/ci/release"
)

// weather are clouds that are slow, stale or gone.
func weather() []Scenario {
	return []Scenario{
		{Name: "stale reads of 5 s", Want: released, ReadLag: 5 * second, Facts: databaseIsOld},
		{Name: "stale reads of 20 s", Want: released, ReadLag: 20 * second, Facts: databaseIsOld},
		{Name: "stale reads of 10 s, crash loop", Want: rolledBack, ReadLag: 10 * second, Behave: crashLoop},
		{Name: "stale reads of 10 s, somebody deploys", Want: superseded, ReadLag: 10 * second, Events: events{upon("ecs:UpdateService", 15*second, "ecs:UpdateService", update(Web, "production-app:1", `"forceNewDeployment":true`))}},
		{Name: "every second read 20 s old", Want: released, Facts: databaseIsOld, Faults: faults{{Op: "ecs:Describe*", Kind: awssim.Stale, Delay: d(20 * second), Every: 2}}},
		{Name: "every second read 20 s old, crash loop", Want: rolledBack, Behave: crashLoop, Faults: faults{{Op: "ecs:Describe*", Kind: awssim.Stale, Delay: d(20 * second), Every: 2}}},
		{Name: "every third call throttled", Want: released, Facts: databaseIsOld, Faults: faults{{Op: "*", Kind: awssim.Throttle, Every: 3}}},
		{Name: "every fifth call a 500", Want: released, Facts: databaseIsOld, Faults: faults{{Op: "*", Kind: awssim.Broken, Every: 5}}},
		{Name: "every seventh connection cut", Want: released, Facts: databaseIsOld, Faults: faults{{Op: "*", Kind: awssim.DropBefore, Every: 7}}},
		{Name: "answers that take 3 s", Want: released, Facts: databaseIsOld, Faults: faults{{Op: "*", Kind: awssim.Slow, Delay: d(3 * second)}}},
		{Name: "five minutes of throttling in the roll", Want: released, Faults: faults{{Op: "ecs:DescribeServices", Kind: awssim.Throttle, From: d(70 * second), Until: d(370 * second)}}},
		{Name: "AWS gone from the roll on", Want: timedOut, Faults: faults{{Op: "*", Kind: awssim.DropBefore, From: d(70 * second)}}},
		{Name: "credentials expire in the roll", Want: interrupted, Faults: faults{{Op: "*", Kind: awssim.Expired, From: d(75 * second)}}},
		{Name: "credentials expire in the roll, and then run again", Want: released, Faults: faults{{Op: "*", Kind: awssim.Expired, From: d(75 * second)}}, Again: true, Before: interrupted},
		{Name: "credentials expire while cron is paused, and then run again", Want: released, Facts: databaseIsOld, Faults: faults{{Op: "*", Kind: awssim.Expired, From: d(60 * second)}}, Again: true, Before: release.Broken},
		{Name: "credentials expire and are renewed", Want: released, Renew: true, Faults: faults{{Op: "*", Kind: awssim.Expired, Every: 9}}},
		{Name: "credentials wrong from the start", Want: refused, Faults: faults{always("*", awssim.BadKey)}, Also: checks(atMost(3, 0))},
		{Name: "AWS gone from the start", Want: refused, Faults: faults{always("*", awssim.DropBefore)}, Also: checks(atMost(20, 3*minute))},
		{Name: "a private network without IAM, STS, SSM and Secrets Manager", Want: released, Faults: faults{always("iam:*", awssim.DropBefore), always("sts:*", awssim.DropBefore), always("ssm:*", awssim.DropBefore), always("secretsmanager:*", awssim.DropBefore)}, Request: func(r *release.Request) { r.By = "" }},
	}
}

// brokenCalls are releases in which whatever is called goes wrong in every way that
// a call can go wrong, and which are carried out all the same.
func brokenCalls() []Scenario {
	var table []Scenario
	for _, op := range []string{
		"ecs:DescribeClusters", "ecs:DescribeServices", "ecs:DescribeTaskDefinition", "ecr:DescribeImages", "ecr:BatchGetImage", "iam:GetRole",
		"secretsmanager:DescribeSecret", "ssm:GetParameters", "logs:DescribeLogGroups", "events:DescribeRule", "events:ListTargetsByRule",
		"ecs:ListTasks", "ecs:DescribeTasks", "logs:GetLogEvents",
	} {
		table = append(table,
			Scenario{Name: "throttled: " + op, Want: released, Faults: faults{{Op: op, Kind: awssim.Throttle, Times: 4}}, Facts: databaseIsOld},
			Scenario{Name: "500: " + op, Want: released, Faults: faults{{Op: op, Kind: awssim.Broken, Times: 3}}, Facts: databaseIsOld},
		)
	}
	for _, op := range Mutating {
		table = append(table,
			Scenario{Name: "throttled: " + op, Want: released, Faults: faults{{Op: op, Kind: awssim.Throttle, Times: 4}}, Facts: databaseIsOld, Also: everyTaskOnce},
			Scenario{Name: "500 and not done: " + op, Want: released, Faults: faults{{Op: op, Kind: awssim.Broken, Times: 1}}, Facts: databaseIsOld, Also: everyTaskOnce},
			Scenario{Name: "500 and done: " + op, Want: released, Faults: faults{{Op: op, Kind: awssim.BrokenLate, Times: 1}}, Facts: databaseIsOld, Also: everyTaskOnce},
			Scenario{Name: "cut and not done: " + op, Want: released, Faults: faults{{Op: op, Kind: awssim.DropBefore, Times: 1}}, Facts: databaseIsOld, Also: everyTaskOnce},
			Scenario{Name: "cut and done: " + op, Want: released, Faults: faults{{Op: op, Kind: awssim.DropAfter, Times: 1}}, Facts: databaseIsOld, Also: everyTaskOnce},
			Scenario{Name: "cut and done, stale reads after: " + op, Want: released, Faults: faults{{Op: op, Kind: awssim.DropAfter, Times: 1}}, ReadLag: 8 * second, Facts: databaseIsOld, Also: everyTaskOnce},
		)
	}
	return table
}

// interruptions are releases that are interrupted, or killed, at every step, and run
// again.
func interruptions() []Scenario {
	var table []Scenario
	for _, p := range []struct {
		step, op string
		nth      int
	}{
		{"preflight", "ecs:DescribeServices", 1}, {"registration", "ecs:RegisterTaskDefinition", 1}, {"last registration", "ecs:RegisterTaskDefinition", 3},
		{"db:status", "ecs:RunTask", 1}, {"db:status", "ecs:DescribeTasks", 3}, {"marking cron", "events:TagResource", 1}, {"pausing cron", "events:DisableRule", 1},
		{"upgrade", "ecs:RunTask", 2}, {"upgrade", "ecs:DescribeTasks", 8}, {"look before the roll", "ecs:DescribeServices", 2},
		{"first UpdateService", "ecs:UpdateService", 1}, {"last UpdateService", "ecs:UpdateService", 2}, {"roll", "ecs:DescribeServices", 5},
		{"cache:flush", "ecs:RunTask", 3}, {"cron", "events:PutTargets", 1},
	} {
		name := fmt.Sprintf("%s (%s)", p.step, strings.SplitAfter(p.op, ":")[1])
		table = append(table,
			Scenario{Name: "interrupted and run again: " + name, Want: released, Facts: databaseIsOld, SignalOn: p.op, SignalAt: p.nth, Again: true, Before: interrupted, Also: onceEach},
			Scenario{Name: "killed and run again: " + name, Want: released, Facts: databaseIsOld, SignalOn: p.op, SignalAt: p.nth, Crash: true, Again: true, Also: checks(oneTask("setup:upgrade"))},
		)
	}
	table = append(table,
		Scenario{Name: "interrupted in the roll", Want: interrupted, SignalOn: "ecs:DescribeServices", SignalAt: 5, Facts: databaseIsOld},
		Scenario{Name: "interrupted while UpdateService's answer is lost", Want: interrupted, Faults: faults{{Op: "ecs:UpdateService", Kind: awssim.DropAfter, Times: 1}}, SignalOn: "ecs:UpdateService", Request: onlyWeb, Also: checks(said("deployment ecs-svc"))},
		Scenario{Name: "interrupted while UpdateService is cut", Want: interrupted, Faults: faults{{Op: "ecs:UpdateService", Kind: awssim.DropBefore, Times: 1}}, SignalOn: "ecs:UpdateService", Request: onlyWeb, Also: checks(ServicesUntouched, said("untouched"))},
		Scenario{Name: "killed between marking cron and pausing it: the mark does not stay", Want: released, Facts: databaseIsOld, SignalOn: "events:TagResource", Crash: true, Again: true, NextRequest: noMigration, Also: checks(noMark)},
		Scenario{Name: "a long cron job is waited for before the upgrade", Want: released, Facts: databaseIsOld, Behave: behave{{Family: "production-cron", Standalone: true, Container: "magento", ExitAfter: d(3 * minute), Exit: aws.Int32(0)}}, World: func(t *awssim.Topology) { t.Rules[0].Schedule = "cron(1 * * * ? *)" }, Events: events{at(20*second, "ecs:RunTask", cronJob)}, Also: checks(upgradeAfter(3 * minute))},
		Scenario{Name: "a cron job without end does not keep the upgrade", Want: released, Facts: databaseIsOld, Behave: behave{{Family: "production-cron", Standalone: true, Container: "magento", ExitAfter: d(9 * time.Hour), Exit: aws.Int32(0)}}, Events: events{at(20*second, "ecs:RunTask", cronJob)}, Also: checks(upgradeAfter(5 * minute))},
		Scenario{Name: "interrupted in the upgrade", Want: interrupted, SignalOn: "ecs:DescribeTasks", SignalAt: 8, Facts: databaseIsOld, Own: true, Also: checks(ServicesUntouched, cronDisabled, said("setup:upgrade still runs, as task"), said("DISABLED"))},
		Scenario{Name: "interrupted in the upgrade, and settings changed meanwhile", Want: incomplete, SignalOn: "ecs:DescribeTasks", SignalAt: 8, Facts: databaseIsOld, Again: true, Before: interrupted, Next: (*release.Releaser).EnvChange, NextRequest: func(r *release.Request) { r.Edits.Env = []ecs.Variable{{Name: "A", Value: "1"}} }, Behave: task("setup:upgrade", awssim.Behavior{ExitAfter: d(time.Hour), Exit: aws.Int32(0)}), Own: true, Also: checks(cronDisabled, said("still runs, as task"))},
		Scenario{Name: "killed before cron is enabled again, and run again", Want: released, SignalOn: "events:EnableRule", Crash: true, Again: true, Facts: databaseIsOld},
		Scenario{Name: "interrupted, and the rest of the roll fails", Want: rolledBack, Behave: crashLoop, SignalOn: "ecs:UpdateService", SignalAt: 2, Again: true, Before: interrupted},
		Scenario{Name: "killed when the first service had moved, and the second fails", Want: rolledBack, Behave: webFails, Request: both(consumersFirst, noMigration), SignalOn: "ecs:UpdateService", SignalAt: 1, Crash: true, Again: true, Later: 10 * minute, Also: checks(said("runs production-consumers:1 again"))},
		Scenario{Name: "killed when the first service had moved, the second fails, and is left", Want: notRolledBack, World: breaker(true, false), Behave: webFails, Request: both(consumersFirst, both(noRollback, noMigration)), SignalOn: "ecs:UpdateService", SignalAt: 1, Crash: true, Again: true, Later: 10 * minute},
		Scenario{Name: "killed in the roll, one service moves, and ECS rolls the other back twice", Want: rolledBack, Behave: webFails, Request: noMigration, SignalOn: "ecs:UpdateService", SignalAt: 2, Crash: true, Again: true, Later: 40 * minute, Also: checks(said("runs production-consumers:1 again"))},
		Scenario{Name: "killed in the roll, one service moves, and the other never ends", Want: timedOut, World: breaker(false, false), Behave: webFails, Request: noMigration, SignalOn: "ecs:UpdateService", SignalAt: 2, Crash: true, Again: true, Later: 10 * minute, Also: checks(ServicesRunBefore, said("runs production-consumers:1 again"))},
		Scenario{Name: "the consumers were released alone before, and the rest fails", Want: rolledBack, Behave: webFails, First: asks(both(onlyConsumers, noMigration)), Request: noMigration, Also: checks(said("untouched, runs production-consumers:2"))},
	)
	return table
}
