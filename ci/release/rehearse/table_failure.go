package rehearse

import (
	"encoding/json"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/magecloudkit/pipeline/ci/awssim"
	"github.com/magecloudkit/pipeline/ci/release"
)

// failedRolls are rollouts that fail.
func failedRolls() []Scenario {
	return []Scenario{
		{Name: "no capacity", Want: rolledBack, Behave: new301(awssim.Behavior{NoCapacity: true})},
		{Name: "port conflict on EC2", Want: rolledBack, World: hostPorts, Request: both(onlyWeb, noMigration)},
		{Name: "port conflict on EC2, old tasks may stop first", Want: released, World: hostPorts, Request: both(onlyWeb, both(noMigration, func(r *release.Request) {
			r.MinHealthyPercent, r.NoCacheFlush = aws.Int32(50), true
		}))},
		{Name: "crash loop, circuit breaker rolls back", Want: rolledBack, Behave: crashLoop, Also: checks(explained("exit code 255"))},
		{Name: "crash loop, circuit breaker without roll back", Want: rolledBack, World: breaker(true, false), Behave: crashLoop},
		{Name: "crash loop, no circuit breaker", Want: timedOut, World: breaker(false, false), Behave: crashLoop, Also: checks(ServicesRunBefore, explained("exit code 255"))},
		{Name: "crash loop, --rollback=false, breaker rolls back", Want: rolledBack, Behave: crashLoop, Request: noRollback},
		{Name: "crash loop, --rollback=false, breaker does not", Want: notRolledBack, World: breaker(true, false), Behave: crashLoop, Request: noRollback},
		{Name: "crash loop, --rollback=false, no breaker", Want: timedOut, World: breaker(false, false), Behave: crashLoop, Request: noRollback, Also: checks(SomeServiceIsNotBack)},
		{Name: "crash loop, breaker set by the release", Want: rolledBack, World: breaker(false, false), Behave: crashLoop, Request: func(r *release.Request) { r.Breaker = release.BreakerRollback }},
		{Name: "only the consumers fail", Want: rolledBack, Behave: behave{{Image: "magento2:301", Family: Consumers, ExitAfter: d(2 * second), Exit: aws.Int32(1)}}},
		{Name: "health check that never passes", Want: rolledBack, Behave: new301(awssim.Behavior{NeverHealthy: true}), Request: within(20 * minute)},
		{Name: "health check that passes late", Want: released, Behave: new301(awssim.Behavior{HealthyAfter: d(50 * second)})},
		{Name: "health check that flaps", Want: rolledBack, Behave: behave{{Image: "magento2:301", Container: "magento", UnhealthyAfter: d(20 * second)}}, Request: both(noMigration, within(20*minute))},
		{Name: "one task that crashes at first", Want: released, Behave: behave{{Image: "magento2:301", Family: Web, Container: "magento", ExitAfter: d(3 * second), Exit: aws.Int32(1), Times: 1}}, Request: noMigration},
		{Name: "essential sidecar dies", Want: rolledBack, Behave: behave{{Image: "nginx:301", ExitAfter: d(4 * second), Exit: aws.Int32(1), Logs: []string{"nginx: [emerg] host not found in upstream"}}}, Request: noMigration, Also: checks(explained("host not found in upstream"))},
		{Name: "out of memory", Want: rolledBack, Behave: behave{{Image: "magento2:301", Family: Web, Container: "magento", ExitAfter: d(8 * second), OOM: true}}, Request: noMigration, Also: checks(explained("OutOfMemory"))},
		{Name: "image pull error", Want: rolledBack, Behave: behave{{Image: "nginx:301", PullError: "pull image manifest has been retried 5 time(s): failed to resolve ref: i/o timeout"}}, Request: both(noMigration, within(20*minute)), Also: checks(explained("CannotPullContainerError"))},
		{Name: "secret unreadable by the execution role", Want: rolledBack, Behave: behave{{Image: "magento2:301", ResourceErr: "unable to pull secrets or registry auth: AccessDeniedException"}}, Request: both(noMigration, within(20*minute)), Also: checks(explained("unable to pull secrets"))},
		{Name: "the roll back fails as well", Want: notRolledBack, World: firstOldThenNew, Behave: crashLoop, Events: events{{Upon: "ecs:UpdateService", Behave: behave{{Image: ":300", NoCapacity: true}}}}, Request: both(noMigration, within(5*minute))},
		{Name: "second UpdateService refused", Want: rolledBack, Faults: faults{{Op: "ecs:UpdateService", Kind: awssim.Fail, Code: "InvalidParameterException", Message: "no", Nth: 2}}},
		{Name: "service deleted during the roll", Want: notRolledBack, Events: events{upon("ecs:UpdateService", 20*second, "ecs:DeleteService", `{"cluster":"production-app","service":"production-app","force":true}`)}, Request: onlyWeb},
		{Name: "service deleted before the roll", Want: release.Broken, Events: events{upon("ecs:RunTask", 0, "ecs:DeleteService", `{"cluster":"production-app","service":"production-app","force":true}`)}, Request: onlyWeb, Own: true, Also: checks(noCall("ecs:UpdateService"), CronAsBefore)},
		{Name: "stopped by somebody with a roll back", Want: rolledBack, Request: onlyWeb, Meanwhile: &Meanwhile{Step: "rollout", Text: "2 pending", Do: stopOurs}},
		{Name: "cache:flush fails", Want: incomplete, Behave: behave{{Standalone: true, Command: "cache:flush", ExitAfter: d(3 * second), Exit: aws.Int32(1)}}},
		{Name: "cron's targets refused", Want: incomplete, Faults: faults{always("events:PutTargets", awssim.Denied)}, Also: checks(CronUntouched)},
	}
}

// migrations are releases that upgrade the database.
func migrations() []Scenario {
	return []Scenario{
		{Name: "db:status 0", Want: released, Also: checks(noTask("setup:upgrade"))},
		{Name: "db:status 1", Want: migrationFailed, Behave: task("setup:db:status", awssim.Behavior{Exit: aws.Int32(1)})},
		{Name: "db:status 2", Want: released, Facts: databaseIsOld, Also: checks(calledTimes("events:DisableRule", 1), calledTimes("events:EnableRule", 1), oneTask("setup:upgrade"), upgraded)},
		{Name: "config:status 2", Want: released, Behave: task("app:config:status", awssim.Behavior{Exit: aws.Int32(2)}), Also: checks(oneTask("setup:upgrade"))},
		{Name: "config:status 1", Want: migrationFailed, Behave: task("app:config:status", awssim.Behavior{Exit: aws.Int32(1)})},
		{Name: "--migrate always", Want: released, Request: migrate(release.MigrateAlways), Also: checks(oneTask("setup:upgrade"), noTask("setup:db:status"))},
		{Name: "--migrate never", Want: released, Facts: databaseIsOld, Request: noMigration, Also: checks(noTask("setup:"))},
		{Name: "nginx waits for a healthy magento, which a command never is", Want: released, Facts: databaseIsOld, World: nginxWaitsForHealth, Also: checks(oneTask("setup:upgrade"), upgraded)},
		{Name: "migration exits with 1 while nginx waits for a healthy magento", Want: migrationFailed, Facts: databaseIsOld, World: nginxWaitsForHealth, Behave: task("setup:upgrade", awssim.Behavior{Exit: aws.Int32(1)})},
		{Name: "migration exits with 1", Want: migrationFailed, Facts: databaseIsOld, Behave: task("setup:upgrade", awssim.Behavior{Exit: aws.Int32(1), Logs: []string{"SQLSTATE[42S01]"}}), Also: checks(said("SQLSTATE[42S01]"))},
		{Name: "migration killed", Want: migrationFailed, Facts: databaseIsOld, Behave: task("setup:upgrade", awssim.Behavior{Exit: aws.Int32(137)})},
		{Name: "migration out of memory", Want: migrationFailed, Facts: databaseIsOld, Behave: task("setup:upgrade", awssim.Behavior{OOM: true})},
		{Name: "migration without an exit code", Want: migrationFailed, Facts: databaseIsOld, Behave: task("setup:upgrade", awssim.Behavior{NoExitCode: true})},
		{Name: "migration ended by its sidecar", Want: migrationFailed, Facts: databaseIsOld, Behave: append(task("setup:upgrade", awssim.Behavior{ExitAfter: d(5 * minute)}), awssim.Behavior{Standalone: true, Container: "nginx", ExitAfter: d(20 * second), Exit: aws.Int32(1)})},
		{Name: "migration never placed", Want: migrationFailed, Facts: databaseIsOld, Behave: task("setup:upgrade", awssim.Behavior{NoCapacity: true})},
		{Name: "migration fails to start", Want: migrationFailed, Facts: databaseIsOld, Behave: task("setup:upgrade", awssim.Behavior{PullError: "i/o timeout"})},
		{Name: "migration hangs", Want: migrationFailed, Facts: databaseIsOld, Behave: task("setup:upgrade", awssim.Behavior{ExitAfter: d(5 * time.Hour)})},
		{Name: "migration's log group missing, unseen by the preflight", Want: migrationFailed, World: func(t *awssim.Topology) { t.LogGroups = t.LogGroups[1:] }, Faults: faults{always("logs:DescribeLogGroups", awssim.Denied)}, Own: true, Also: checks(CronUntouched, CronAsBefore, NoTaskLeft, noCall("ecs:UpdateService"))},
		{Name: "migration's log unreadable", Want: released, Facts: databaseIsOld, Faults: faults{always("logs:GetLogEvents", awssim.Denied)}},
		{Name: "cron cannot be paused", Want: migrationFailed, Facts: databaseIsOld, Faults: faults{always("events:DisableRule", awssim.Denied)}, Also: checks(noTask("setup:upgrade"))},
		{Name: "cron cannot be enabled again", Want: incomplete, Facts: databaseIsOld, Faults: faults{always("events:EnableRule", awssim.Denied)}, Own: true, Also: checks(ServicesRunBuild, cronDisabled, said("DISABLED"))},
		{Name: "cron cannot be enabled again, and then run again", Want: released, Facts: databaseIsOld, Faults: faults{always("events:EnableRule", awssim.Denied)}, Again: true, Before: incomplete},
		{Name: "another build's upgrade is running", Want: refused, Events: events{{Upon: "ecs:RegisterTaskDefinition", Op: "ecs:RunTask", Input: otherUpgrade}}, Own: true, Also: checks(ServicesUntouched, CronUntouched, CronAsBefore, noTask("setup:upgrade"))},
	}
}

// others are what somebody else does meanwhile.
func others() []Scenario {
	return []Scenario{
		{Name: "somebody's deployment in progress", Want: refused, Events: events{at(0, "ecs:UpdateService", update(Web, "production-app:1", `"forceNewDeployment":true`))}, Own: true, Also: checks(NothingChanged)},
		{Name: "somebody's deployment in progress, waited for", Want: released, Events: events{at(0, "ecs:UpdateService", update(Web, "production-app:1", `"forceNewDeployment":true`))}, Request: waiting},
		{Name: "somebody's deployment waited for, and an older read before the roll", Want: released, Events: events{at(0, "ecs:UpdateService", update(Web, "production-app:1", `"forceNewDeployment":true`)),
			{Upon: "ecs:RegisterTaskDefinition", Faults: faults{{Op: "ecs:DescribeServices", Kind: awssim.Stale, Delay: d(5 * minute), Times: 1}}}}, Request: both(waiting, noMigration)},
		{Name: "somebody deploys between our preflight and our roll", Want: superseded, Events: events{at(20*second, "ecs:UpdateService", update(Web, "production-app:1", `"forceNewDeployment":true`))}, Also: checks(ourCalls("ecs:UpdateService", 0))},
		{Name: "somebody deploys during our roll", Want: superseded, Events: events{upon("ecs:UpdateService", 15*second, "ecs:UpdateService", update(Web, "production-app:1", `"forceNewDeployment":true`))}},
		{Name: "somebody deploys during our roll, all over between two looks", Want: superseded, Faults: faults{{Op: "ecs:DescribeServices", Kind: awssim.Throttle, From: d(second), Until: d(400 * second)}}, Events: events{upon("ecs:UpdateService", 5*second, "ecs:UpdateService", update(Web, "production-app:1", `"forceNewDeployment":true`))}, Request: both(onlyWeb, noMigration)},
		{Name: "ECS rolls back, all over between two looks", Want: rolledBack, Behave: crashLoop, Faults: faults{{Op: "ecs:DescribeServices", Kind: awssim.Throttle, From: d(second), Until: d(400 * second)}}, Request: both(onlyWeb, noMigration)},
		{Name: "somebody deploys after our roll", Want: released, Events: events{upon("events:PutTargets", 0, "ecs:UpdateService", update(Web, "production-app:1", `"forceNewDeployment":true`))}, Own: true, Also: checks(CronRunsBuild, CronAsBefore)},
		{Name: "two releases at once: the other one is faster", Want: superseded, Meanwhile: &Meanwhile{Step: "rollout", Build: "302", Want: released}, Own: true, Also: checks(runsAgain("302"), CronAsBefore, ourDeployments(0))},
		{Name: "two releases at once: the other one is later", Want: released, Meanwhile: &Meanwhile{Step: "rollout", Text: "0 of 2 running, 2 pending", Build: "302", Want: refused}},
		{Name: "two releases at once: the other one comes during the upgrade", Want: released, Facts: databaseIsOld, Meanwhile: &Meanwhile{Step: "migration", Text: ": running", Nth: 2, Build: "302", Want: refused}},
		{Name: "our revision deregistered before the roll", Want: released, Events: events{upon("ecs:RunTask", 5*second, "ecs:DeregisterTaskDefinition", `{"taskDefinition":"production-consumers:2"}`)}},
		{Name: "our revision deregistered before the migration", Want: migrationFailed, Events: events{{Upon: "ecs:RegisterTaskDefinition", Nth: 3, Op: "ecs:DeregisterTaskDefinition", Input: json.RawMessage(`{"taskDefinition":"production-app:2"}`)}}},
		{Name: "the revision to go back to deregistered", Want: rolledBack, World: breaker(true, false), Behave: crashLoop, Events: events{upon("ecs:UpdateService", 0, "ecs:DeregisterTaskDefinition", `{"taskDefinition":"production-app:1"}`)}, Own: true, Also: checks(runsAgain(Running), CronAsBefore)},
	}
}

// lateness are rollouts whose time runs out.
func lateness() []Scenario {
	return []Scenario{
		{Name: "out of time: another deployment", Want: refused, Events: events{at(0, "ecs:UpdateService", update(Web, "production-app:1", `"forceNewDeployment":true`))}, Request: both(waiting, within(30*second)), Own: true, Also: checks(NothingChanged)},
		{Name: "out of time: db:status", Want: migrationFailed, Behave: task("setup:db:status", awssim.Behavior{ExitAfter: d(5 * time.Hour)})},
		{Name: "out of time: rollout", Want: timedOut, Request: within(20 * second), Also: checks(ServicesRunBefore)},
		{Name: "out of time: rollout, not rolled back", Want: timedOut, Request: both(noRollback, within(20*second))},
		{Name: "out of time: cache:flush", Want: incomplete, Behave: task("cache:flush", awssim.Behavior{ExitAfter: d(5 * time.Hour)})},
	}
}
