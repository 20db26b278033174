package rehearse

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	ebtypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"github.com/magecloudkit/pipeline/ci/awssim"
	"github.com/magecloudkit/pipeline/ci/ecs"
	"github.com/magecloudkit/pipeline/ci/release"
)

// Short names keep the table readable.
const (
	released        = release.Released
	refused         = release.Refused
	migrationFailed = release.MigrationFailed
	rolledBack      = release.RolledBack
	notRolledBack   = release.NotRolledBack
	timedOut        = release.TimedOut
	superseded      = release.Superseded
	interrupted     = release.Interrupted
	incomplete      = release.Incomplete
	returned        = release.Returned
	finished        = release.Finished

	second = time.Second
	minute = time.Minute
)

type (
	world  = func(*awssim.Topology)
	ask    = func(*release.Request)
	behave = []awssim.Behavior
	faults = []awssim.Fault
	events = []awssim.Intervention
	facts  = map[string]string
)

// databaseIsOld makes setup:db:status answer 2 until setup:upgrade has run.
var databaseIsOld = facts{"db": "old"}

// Scenarios is the table. To add one, add a line: what the world is like, what
// goes wrong, and how the release must end. What the verdict says is checked
// on the world's own state; Also is for what the verdict does not say.
func Scenarios() []Scenario {
	table := []Scenario{
		// Releases that work.
		{Name: "no change", Want: released, Request: build(Running), Also: checks(said("no service was rolled; what ran is setup:db:status, app:config:status, cache:flush"), noCall("ecs:UpdateService"), noCall("ecs:RegisterTaskDefinition"), noCall("events:PutTargets"))},
		{Name: "healthy roll of 2 tasks", Want: released, Also: checks(calledTimes("ecs:UpdateService", 2), noCall("events:DisableRule"))},
		{Name: "healthy roll of 10 tasks", Want: released, World: desired(10)},
		{Name: "healthy roll of 100 tasks", Want: released, World: desired(100), Request: within(30 * minute)},
		{Name: "healthy roll of 12 services", Want: released, World: moreServices(10), Request: allServices(10), Also: checks(calledTimes("ecs:UpdateService", 12))},
		{Name: "the same build again", Want: released, First: asks(build(Build)), Also: checks(noCall("ecs:UpdateService"), noCall("ecs:RegisterTaskDefinition"))},
		{Name: "the same build again, forced", Want: released, First: asks(build(Build)), Request: func(r *release.Request) { r.Force = true }, Also: checks(calledTimes("ecs:UpdateService", 2))},
		{Name: "pinned by digest", Want: released, Request: func(r *release.Request) { r.PinDigest = true }, Also: checks(pinned)},
		{Name: "environment, secrets and size changed with the build", Want: released, Request: edits, Also: checks(edited)},
		{Name: "more tasks and other percents with the build", Want: released, Request: counts, Also: checks(counted)},
		{Name: "service scaled to 0", Want: released, World: desired(0)},
		{Name: "scaled up during the roll", Want: released, Events: events{upon("ecs:UpdateService", 10*second, "ecs:UpdateService", update(Web, "", `"desiredCount":4`))}},
		{Name: "scaled down during the roll", Want: released, Events: events{upon("ecs:UpdateService", 10*second, "ecs:UpdateService", update(Web, "", `"desiredCount":1`))}},
		{Name: "Classic Load Balancer, no rollout state", Want: released, World: classic},
		{Name: "no cron rule", Want: released, Request: func(r *release.Request) { r.CronRules = nil }},
		{Name: "cron rule disabled by its owner stays so", Want: released, World: func(t *awssim.Topology) { t.Rules[0].Disabled = true }, Facts: databaseIsOld, Also: checks(noCall("events:EnableRule"))},
		{Name: "cron rule with overrides", Want: released, World: cronOverrides},
		{Name: "cron that shares the service's family", Want: released, World: cronOfWeb},
		{Name: "cron rule with a target that is no ECS task", Want: released, World: cronWithQueue},
		{Name: "task definition with every field set", Want: released, World: everyField, Also: checks(everyFieldKept)},
		{Name: "sidecars by digest", Want: released, World: sidecarDigest, Also: checks(sidecarKept)},
		{Name: "registry with a port", Want: released, Also: checks(onlyRegistry("registry.local:5000")), World: portRegistry, Request: func(r *release.Request) {
			r.Repositories = []string{"registry.local:5000/shop", "registry.local:5000/shop-nginx"}
		}},
		{Name: "several web containers", Want: released, World: severalWeb},
		{Name: "repositories not named", Want: released, Request: func(r *release.Request) { r.Repositories = nil }, World: noForeignECR},
		{Name: "a sidecar in AWS's own registry, repositories not named", Want: released, Request: func(r *release.Request) { r.Repositories = nil }, World: sidecarOfAWS, Also: checks(sidecarIs(logRouter))},
		{Name: "old revisions deregistered", Want: released, First: asks(build(Build), build("302"), both(build(Build), downgrade)), Request: func(r *release.Request) { r.Build = "302"; r.KeepRevisions = 1 }, Also: checks(calledTimes("ecs:DeregisterTaskDefinition", 6), returnable)},
		{Name: "who releases is asked of AWS", Want: released, Request: func(r *release.Request) { r.By = "" }, Also: checks(releasedBy("user/deployer"))},

		// Releases that are refused before anything was changed.
		{Name: "an older build over a newer one", Want: refused, Request: build("299"), Also: checks(NothingChanged, said("runs build 300 (pushed"), said("build 299 (pushed"))},
		{Name: "an older build over a newer one, asked for", Want: released, Request: both(build("299"), downgrade), Own: true, Also: checks(runsAgain("299"))},
		{Name: "image missing", Want: refused, Request: build("399")},
		{Name: "image archived", Want: refused, World: images(func(i *awssim.ImageSpec) { i.Archived = true })},
		{Name: "image for another platform", Want: refused, World: images(func(i *awssim.ImageSpec) { i.Platforms = []string{"linux/arm64"} })},
		{Name: "image index without the platform", Want: refused, World: images(func(i *awssim.ImageSpec) { i.Platforms = []string{"linux/arm64", "linux/s390x"} })},
		{Name: "image index with the platform", Want: released, World: images(func(i *awssim.ImageSpec) { i.Platforms = []string{"linux/arm64", "linux/amd64"} })},
		{Name: "role missing", Want: refused, World: func(t *awssim.Topology) { t.Roles = []string{"ecsTaskExecutionRole", "ecsEventsRole"} }, Own: true, Also: checks(NothingChanged)},
		{Name: "secret missing", Want: refused, Request: func(r *release.Request) {
			r.Edits.Secrets = []ecs.Variable{{Name: "NEW", Value: "arn:aws:secretsmanager:us-east-1:111111111111:secret:production/nobody"}}
		}},
		{Name: "key of a secret missing", Want: refused, Request: func(r *release.Request) {
			r.Edits.Secrets = []ecs.Variable{{Name: "NEW", Value: "arn:aws:secretsmanager:us-east-1:111111111111:secret:production/magento:MYSQL_PASSWROD::"}}
		}, Also: checks(NothingChanged)},
		{Name: "not allowed to look into secrets", Want: released, Faults: faults{always("secretsmanager:GetSecretValue", awssim.Denied)}},
		{Name: "parameter missing", Want: refused, Request: func(r *release.Request) {
			r.Edits.Secrets = []ecs.Variable{{Name: "NEW", Value: "/production/nobody"}}
		}},
		{Name: "log group missing", Want: refused, World: func(t *awssim.Topology) { t.LogGroups = t.LogGroups[:2] }},
		{Name: "cluster missing", Want: refused, Request: func(r *release.Request) { r.Cluster = "staging-app" }},
		{Name: "service missing", Want: refused, Request: func(r *release.Request) { r.Services = append(r.Services, "nobody") }},
		{Name: "cron rule missing", Want: refused, Request: func(r *release.Request) { r.CronRules = []string{"nobody"} }},
		{Name: "service of another controller", Want: refused, World: codeDeploy},
		{Name: "none of our images in the task definition", Want: refused, Request: func(r *release.Request) { r.Repositories = []string{"somebody/else"} }},
		{Name: "container of --env missing", Want: refused, Request: func(r *release.Request) {
			r.Edits.Env = []ecs.Variable{{Container: "php", Name: "A", Value: "1"}}
		}},
		{Name: "everything wrong at once", Want: refused, Request: everythingWrong, Also: checks(findings(5))},
		{Name: "not allowed to look at roles and secrets", Want: released, Faults: faults{always("iam:GetRole", awssim.Denied), always("secretsmanager:DescribeSecret", awssim.Denied), always("ssm:GetParameters", awssim.Denied), always("ecr:DescribeImages", awssim.Denied), always("logs:DescribeLogGroups", awssim.Denied)}},
		{Name: "registration refused by AWS", Want: refused, Faults: faults{{Op: "ecs:RegisterTaskDefinition", Kind: awssim.Fail, Code: "ClientException", Message: "Invalid 'cpu' setting for task."}}, Own: true, Also: checks(ServicesUntouched, CronUntouched)},
		{Name: "registration not allowed", Want: refused, Faults: faults{always("ecs:RegisterTaskDefinition", awssim.Denied)}, Own: true, Also: checks(ServicesUntouched, CronUntouched)},
		{Name: "dry run", Want: release.Planned, Request: func(r *release.Request) { r.DryRun = true }, Also: checks(NothingChanged)},

		// Rollouts that fail.
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

		// Migration.
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

		// Somebody else.
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

		// Time that runs out.
		{Name: "out of time: another deployment", Want: refused, Events: events{at(0, "ecs:UpdateService", update(Web, "production-app:1", `"forceNewDeployment":true`))}, Request: both(waiting, within(30*second)), Own: true, Also: checks(NothingChanged)},
		{Name: "out of time: db:status", Want: migrationFailed, Behave: task("setup:db:status", awssim.Behavior{ExitAfter: d(5 * time.Hour)})},
		{Name: "out of time: rollout", Want: timedOut, Request: within(20 * second), Also: checks(ServicesRunBefore)},
		{Name: "out of time: rollout, not rolled back", Want: timedOut, Request: both(noRollback, within(20*second))},
		{Name: "out of time: cache:flush", Want: incomplete, Behave: task("cache:flush", awssim.Behavior{ExitAfter: d(5 * time.Hour)})},

		// The other verbs.
		{Name: "roll back a release", Want: returned, First: asks(build(Build)), Verb: (*release.Releaser).Rollback, Request: build(""), Also: checks(ends(Running))},
		{Name: "roll back to a build", Want: returned, First: asks(build(Build), build("302")), Verb: (*release.Releaser).Rollback, Request: build(Running), Also: checks(ends(Running))},
		{Name: "roll back to the build before", Want: returned, First: asks(build(Build), build("302")), Verb: (*release.Releaser).Rollback, Request: build(""), Also: checks(ends(Build))},
		{Name: "roll back a rollout in flight", Want: returned, SignalOn: "ecs:UpdateService", SignalAt: 2, Again: true, Before: interrupted, Next: (*release.Releaser).Rollback, NextRequest: build(""), Also: checks(ends(Running), calledTimes("ecs:StopServiceDeployment", 2))},
		{Name: "roll back: nothing to return to", Want: refused, Verb: (*release.Releaser).Rollback, Request: build("")},
		{Name: "roll back: build unknown", Want: refused, First: asks(build(Build)), Verb: (*release.Releaser).Rollback, Request: build("123")},
		{Name: "roll back: its image is gone", Want: refused, First: asks(build(Build)), Verb: (*release.Releaser).Rollback, Request: build(""), Events: events{at(0, "ecr:BatchDeleteImage", `{"repositoryName":"magecloudkit/magento2","imageIds":[{"imageTag":"300"}]}`)}},
		{Name: "roll back: it runs already", Want: returned, Verb: (*release.Releaser).Rollback, Request: build(Running), Also: checks(noCall("ecs:UpdateService"))},
		{Name: "roll back fails", Want: notRolledBack, First: asks(build(Build)), Verb: (*release.Releaser).Rollback, Request: build(""), Behave: behave{{Image: ":300", NoCapacity: true}}, Own: true, Also: checks(CronAsBefore)},
		{Name: "settings changed", Want: released, Verb: (*release.Releaser).EnvChange, Request: both(build(""), edits), Own: true, Also: checks(edited, runsAgain(Running), CronAsBefore)},
		{Name: "a secret would become a plain value", Want: refused, Verb: (*release.Releaser).EnvChange, Request: both(build(""), plainPassword), Also: checks(NothingChanged)},
		{Name: "a secret becomes a plain value, asked for", Want: released, Verb: (*release.Releaser).EnvChange, Request: both(build(""), func(r *release.Request) {
			plainPassword(r)
			r.Edits.Plaintext = true
		}), Own: true},
		{Name: "a release would make a secret a plain value", Want: refused, Request: plainPassword, Also: checks(NothingChanged)},
		{Name: "a variable removed that is nowhere", Want: refused, Verb: (*release.Releaser).EnvChange, Request: both(build(""), func(r *release.Request) {
			r.Edits.Unset = []ecs.Variable{{Name: "NOBODY"}}
		}), Also: checks(NothingChanged)},
		{Name: "settings changed to what they are", Want: released, Verb: (*release.Releaser).EnvChange, Request: both(build(""), func(r *release.Request) {
			r.Edits.Env = []ecs.Variable{{Name: "MAGE_MODE", Value: "production"}}
		}), Own: true, Also: checks(noCall("ecs:UpdateService"), noCall("ecs:RegisterTaskDefinition"))},
		{Name: "promotion", Want: released, World: staging(Build, Build), Request: from, Own: true, Also: checks(pinned, sameDigests, CronAsBefore)},
		{Name: "promotion of two builds at once", Want: refused, World: staging(Build, "302"), Request: from},
		{Name: "promotion of what is being deployed", Want: refused, World: staging(Build, Build), Request: from, Events: events{at(0, "ecs:UpdateService", `{"cluster":"staging-app","service":"production-app","forceNewDeployment":true}`)}},
		{Name: "promotion from nowhere", Want: refused, Request: from},
		{Name: "one-off command", Want: finished, Verb: command("bin/magento", "cache:flush"), Also: checks(exit(0), NoTaskLeft)},
		{Name: "one-off command that fails", Want: finished, Verb: command("bin/magento", "nonsense"), Behave: task("nonsense", awssim.Behavior{Exit: aws.Int32(3)}), Also: checks(exit(3))},
		{Name: "one-off command that is killed", Want: finished, Verb: command("bin/magento", "nonsense"), Behave: task("nonsense", awssim.Behavior{Exit: aws.Int32(143)}), Also: checks(exit(143))},
		{Name: "one-off command that never starts", Want: release.Broken, Verb: command("bin/magento", "nonsense"), Behave: task("nonsense", awssim.Behavior{NoCapacity: true})},

		// A cloud that is slow, stale or gone.
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

	// Whatever is called goes wrong in every way that a call can go wrong, and
	// the release is carried out all the same.
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

	// Interrupted, or killed, at every step, and run again.
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
		Scenario{Name: "interrupted in the upgrade", Want: interrupted, SignalOn: "ecs:DescribeTasks", SignalAt: 8, Facts: databaseIsOld, Also: checks(ServicesUntouched, CronUntouched)},
		Scenario{Name: "killed before cron is enabled again, and run again", Want: released, SignalOn: "events:EnableRule", Crash: true, Again: true, Facts: databaseIsOld},
		Scenario{Name: "interrupted, and the rest of the roll fails", Want: rolledBack, Behave: crashLoop, SignalOn: "ecs:UpdateService", SignalAt: 2, Again: true, Before: interrupted},
	)
	return append(table, byStrategy()...)
}

// Mutating are the calls of a release that change something.
var Mutating = []string{
	"ecs:RegisterTaskDefinition", "ecs:RunTask", "ecs:UpdateService",
	"events:TagResource", "events:DisableRule", "events:EnableRule", "events:UntagResource", "events:PutTargets",
}

// Find returns the scenario of a name.
func Find(name string) (Scenario, error) {
	var near []string
	for _, s := range Scenarios() {
		if s.Name == name {
			return s, nil
		}
		if strings.Contains(s.Name, name) {
			near = append(near, fmt.Sprintf("%q", s.Name))
		}
	}
	if len(near) > 0 {
		return Scenario{}, fmt.Errorf("no scenario is called %q; there are %s", name, strings.Join(near, ", "))
	}
	return Scenario{}, fmt.Errorf("no scenario is called %q; --list shows them", name)
}

// d writes a duration as the simulation wants it.
func d(t time.Duration) awssim.Duration { return awssim.Duration(t) }

func checks(c ...Check) []Check { return c }

func always(op string, kind awssim.FaultKind) awssim.Fault { return awssim.Fault{Op: op, Kind: kind} }

// upon has somebody else make a call some time after one of ours.
func upon(op string, delay time.Duration, does, input string) awssim.Intervention {
	return awssim.Intervention{Upon: op, Delay: d(delay), Op: does, Input: json.RawMessage(input)}
}

func at(t time.Duration, does, input string) awssim.Intervention {
	return awssim.Intervention{At: d(t), Op: does, Input: json.RawMessage(input)}
}

func update(service, revision, more string) string {
	s := fmt.Sprintf(`{"cluster":"production-app","service":%q`, service)
	if revision != "" {
		s += fmt.Sprintf(`,"taskDefinition":%q`, revision)
	}
	if more != "" {
		s += "," + more
	}
	return s + "}"
}

// crashLoop is a build whose containers of services end at once.
var crashLoop = behave{{Image: "magento2:301", Command: "", Container: "magento", ExitAfter: d(3 * second), Exit: aws.Int32(255), Logs: []string{"PHP Fatal error:  Uncaught Error"}},
	{Image: "magento2:301", Container: "magento", Standalone: true, ExitAfter: d(3 * second), Exit: aws.Int32(0)}}

// new301 is how the new build's containers of services behave.
func new301(b awssim.Behavior) behave {
	b.Image = "magento2:301"
	ok := awssim.Behavior{Image: "magento2:301", Standalone: true, Overridden: true, ExitAfter: d(3 * second), Exit: aws.Int32(0)}
	return behave{b, ok}
}

// task is how a one-off command behaves.
func task(command string, b awssim.Behavior) behave {
	b.Standalone, b.Command = true, command
	if b.ExitAfter == 0 && !b.NoCapacity && b.PullError == "" {
		b.ExitAfter = d(6 * second)
	}
	return behave{b}
}

var otherUpgrade = json.RawMessage(`{"cluster":"production-app","taskDefinition":"production-app:1","startedBy":"mck/setup-upgrade","launchType":"FARGATE",
	"networkConfiguration":{"awsvpcConfiguration":{"subnets":["subnet-0aaaaaaaaaaaaaaa1"]}},
	"overrides":{"containerOverrides":[{"name":"magento","command":["sleep","infinity"],"environment":[]}]}}`)

// stopOurs is somebody who stops our deployment with a roll back.
func stopOurs(s *Stage) error {
	out, err := awssim.Do[awsecs.ListServiceDeploymentsOutput](s.World, "ecs:ListServiceDeployments", &awsecs.ListServiceDeploymentsInput{
		Cluster: aws.String(s.Request.Cluster), Service: aws.String(Web), Status: []types.ServiceDeploymentStatus{types.ServiceDeploymentStatusInProgress},
	})
	if err != nil {
		return err
	}
	_, err = awssim.Do[awsecs.StopServiceDeploymentOutput](s.World, "ecs:StopServiceDeployment", &awsecs.StopServiceDeploymentInput{
		ServiceDeploymentArn: out.ServiceDeployments[0].ServiceDeploymentArn, StopType: types.StopServiceDeploymentStopTypeRollback,
	})
	return err
}

// Verbs.

func command(args ...string) Verb {
	return func(r *release.Releaser, ctx context.Context, req release.Request) *release.Result {
		return r.Run(ctx, req, args)
	}
}

// exit wants the command's exit code as the process's.
func exit(code int) Check {
	return func(_ *Stage, r *release.Result) error {
		if r.ExitCode != code {
			return fmt.Errorf("exit code %d, not %d", r.ExitCode, code)
		}
		return nil
	}
}

// ends wants the result to speak of a build.
func ends(build string) Check {
	return func(_ *Stage, r *release.Result) error {
		if r.Build != build {
			return fmt.Errorf("the result speaks of build %s, not %s", r.Build, build)
		}
		return nil
	}
}

// Requests.

func asks(list ...ask) []ask { return list }

// from takes what the staging cluster runs.
func from(r *release.Request) { r.Build, r.From = "", "staging-app" }

func build(b string) ask { return func(r *release.Request) { r.Build = b } }

func downgrade(r *release.Request) { r.Downgrade = true }

func within(t time.Duration) ask { return func(r *release.Request) { r.Timeout = t } }

func migrate(m release.MigrateMode) ask { return func(r *release.Request) { r.Migrate = m } }

func noMigration(r *release.Request) { r.Migrate = release.MigrateNever }

func noRollback(r *release.Request) { r.Rollback = false }

func waiting(r *release.Request) { r.WaitForDeployment = true }

func onlyWeb(r *release.Request) { r.Services = []string{Web} }

func both(a, b ask) ask { return func(r *release.Request) { a(r); b(r) } }

func allServices(n int) ask {
	return func(r *release.Request) {
		for i := range n {
			r.Services = append(r.Services, fmt.Sprintf("consumers-%d", i))
		}
	}
}

func edits(r *release.Request) {
	r.Edits = ecs.Edits{
		Env:     []ecs.Variable{{Container: "magento", Name: "MAGE_MODE", Value: "default"}, {Container: "magento", Name: "ADDED", Value: "1"}},
		Secrets: []ecs.Variable{{Container: "magento", Name: "CRYPT_KEY", Value: "arn:aws:secretsmanager:us-east-1:111111111111:secret:production/magento:CRYPT_KEY::"}},
		Unset:   []ecs.Variable{{Container: "magento", Name: "MYSQL_HOST"}},
		CPU:     "2048", Memory: "5120",
	}
}

func counts(r *release.Request) {
	r.DesiredCount, r.MinHealthyPercent, r.MaxPercent = aws.Int32(3), aws.Int32(50), aws.Int32(150)
}

func everythingWrong(r *release.Request) {
	r.Services = append(r.Services, "nobody")
	r.CronRules = append(r.CronRules, "nobody")
	r.Build = "399"
	r.Edits.Secrets = []ecs.Variable{{Container: "magento", Name: "NEW", Value: "/production/nobody"}}
}

// Worlds.

func service(t *awssim.Topology, name string) *awsecs.CreateServiceInput {
	for i := range t.Services {
		if aws.ToString(t.Services[i].Value.ServiceName) == name {
			return &t.Services[i].Value
		}
	}
	return nil
}

func definition(t *awssim.Topology, family string) *awsecs.RegisterTaskDefinitionInput {
	for i := range t.TaskDefinitions {
		if aws.ToString(t.TaskDefinitions[i].Value.Family) == family {
			return &t.TaskDefinitions[i].Value
		}
	}
	return nil
}

func desired(n int32) world {
	return func(t *awssim.Topology) { service(t, Web).DesiredCount = aws.Int32(n) }
}

func breaker(enable, rollback bool) world {
	return func(t *awssim.Topology) {
		for i := range t.Services {
			t.Services[i].Value.DeploymentConfiguration.DeploymentCircuitBreaker = &types.DeploymentCircuitBreaker{Enable: enable, Rollback: rollback}
		}
	}
}

// firstOldThenNew lets a service stop its old tasks before the new ones run.
func firstOldThenNew(t *awssim.Topology) {
	breaker(false, false)(t)
	for i := range t.Services {
		t.Services[i].Value.DeploymentConfiguration.MinimumHealthyPercent = aws.Int32(0)
		t.Services[i].Value.DeploymentConfiguration.MaximumPercent = aws.Int32(100)
	}
}

func moreServices(n int) world {
	return func(t *awssim.Topology) {
		for i := range n {
			s := *service(t, Consumers)
			s.ServiceName = aws.String(fmt.Sprintf("consumers-%d", i))
			t.Services = append(t.Services, awssim.ServiceSpec{Value: s})
		}
	}
}

func images(change func(*awssim.ImageSpec)) world {
	return func(t *awssim.Topology) {
		for i := range t.Repositories {
			for j := range t.Repositories[i].Images {
				if im := &t.Repositories[i].Images[j]; slices.Contains(im.Tags, Build) {
					change(im)
				}
			}
		}
	}
}

// classic puts the web service behind a Classic Load Balancer.
func classic(t *awssim.Topology) {
	td, svc := definition(t, Web), service(t, Web)
	t.Clusters[0].Instances = []awssim.InstanceSpec{{Count: 6, CPU: 4096, Memory: 16384}}
	onEC2(td, svc)
	for i := range svc.LoadBalancers {
		svc.LoadBalancers[i].TargetGroupArn = nil
		svc.LoadBalancers[i].LoadBalancerName = aws.String("classic")
	}
	td.ContainerDefinitions[0].PortMappings[0].HostPort = aws.Int32(8080)
}

func onEC2(td *awsecs.RegisterTaskDefinitionInput, svc *awsecs.CreateServiceInput) {
	td.NetworkMode, td.RequiresCompatibilities = types.NetworkModeBridge, []types.Compatibility{types.CompatibilityEc2}
	svc.LaunchType, svc.NetworkConfiguration = types.LaunchTypeEc2, nil
}

// hostPorts is a service on EC2 whose tasks take a port of their instance, as
// many as there are instances.
func hostPorts(t *awssim.Topology) {
	td, svc := definition(t, Web), service(t, Web)
	t.Clusters[0].Instances = []awssim.InstanceSpec{{Count: 2, CPU: 8192, Memory: 32768}}
	onEC2(td, svc)
	svc.LoadBalancers, svc.HealthCheckGracePeriodSeconds = nil, nil
	td.ContainerDefinitions[1].PortMappings[0].HostPort = aws.Int32(9000)
}

func codeDeploy(t *awssim.Topology) {
	service(t, Consumers).DeploymentController = &types.DeploymentController{Type: types.DeploymentControllerTypeCodeDeploy}
}

// staging adds a cluster that runs builds of its own.
func staging(web, consumers string) world {
	return func(t *awssim.Topology) {
		t.Clusters = append(t.Clusters, awssim.ClusterSpec{Name: "staging-app"})
		for family, build := range map[string]string{Web: web, Consumers: consumers} {
			td := *definition(t, family)
			td.Family = aws.String("staging-" + family)
			td.ContainerDefinitions = slices.Clone(td.ContainerDefinitions)
			for i := range td.ContainerDefinitions {
				c := &td.ContainerDefinitions[i]
				c.Image = aws.String(strings.Replace(*c.Image, ":"+Running, ":"+build, 1))
			}
			t.TaskDefinitions = append(t.TaskDefinitions, awssim.TaskDefinitionSpec{Value: td})
			svc := *service(t, family)
			svc.Cluster, svc.TaskDefinition = aws.String("staging-app"), td.Family
			t.Services = append(t.Services, awssim.ServiceSpec{Value: svc})
		}
	}
}

// sameDigests wants both clusters' tasks to run the same images.
func sameDigests(s *Stage, _ *release.Result) error {
	digests := map[string]map[string]bool{}
	for _, cluster := range []string{"staging-app", s.Request.Cluster} {
		digests[cluster] = map[string]bool{}
		list, err := awssim.Do[awsecs.ListTasksOutput](s.World, "ecs:ListTasks", &awsecs.ListTasksInput{Cluster: &cluster})
		if err != nil {
			return err
		}
		out, err := awssim.Do[awsecs.DescribeTasksOutput](s.World, "ecs:DescribeTasks", &awsecs.DescribeTasksInput{Cluster: &cluster, Tasks: list.TaskArns})
		if err != nil {
			return err
		}
		for _, t := range out.Tasks {
			for _, c := range t.Containers {
				digests[cluster][aws.ToString(c.ImageDigest)] = true
			}
		}
	}
	if a, b := digests["staging-app"], digests[s.Request.Cluster]; !maps.Equal(a, b) || len(a) < 2 {
		return fmt.Errorf("staging runs %v, production %v", a, b)
	}
	return nil
}

func cronOverrides(t *awssim.Topology) {
	target := &t.Rules[0].Targets[0]
	target.Input = aws.String(`{"containerOverrides":[{"name":"magento","command":["bin/magento","cron:run","--group","index"],"environment":[{"name":"A","value":"1"}]}],"cpu":"512"}`)
	target.EcsParameters.Tags = []ebtypes.Tag{{Key: aws.String("team"), Value: aws.String("shop")}}
	target.EcsParameters.PropagateTags = ebtypes.PropagateTagsTaskDefinition
	target.RetryPolicy = &ebtypes.RetryPolicy{MaximumRetryAttempts: aws.Int32(2)}
}

func cronOfWeb(t *awssim.Topology) {
	p := t.Rules[0].Targets[0].EcsParameters
	p.TaskDefinitionArn = aws.String(strings.Replace(*p.TaskDefinitionArn, "production-cron", Web, 1))
}

func cronWithQueue(t *awssim.Topology) {
	t.Rules[0].Targets = append(t.Rules[0].Targets, ebtypes.Target{Id: aws.String("queue"), Arn: aws.String("arn:aws:sqs:us-east-1:111111111111:cron")})
}

func noForeignECR(*awssim.Topology) {}

func plainPassword(r *release.Request) {
	r.Edits.Env = []ecs.Variable{{Name: "MYSQL_PASSWORD", Value: "hunter2"}}
}

// logRouter is as AWS documents it: in the registry of an account of AWS's.
const logRouter = "222222222222.dkr.ecr.us-east-1.amazonaws.com/aws-for-fluent-bit:stable"

func sidecarOfAWS(t *awssim.Topology) {
	definition(t, Web).ContainerDefinitions[2].Image = aws.String(logRouter)
}

func nginxWaitsForHealth(t *awssim.Topology) {
	definition(t, Web).ContainerDefinitions[0].DependsOn = []types.ContainerDependency{{ContainerName: aws.String("magento"), Condition: types.ContainerConditionHealthy}}
}

func sidecarDigest(t *awssim.Topology) {
	c := definition(t, Web).ContainerDefinitions
	c[2].Image = aws.String("public.ecr.aws/datadog/agent@sha256:" + strings.Repeat("ab", 32))
}

func portRegistry(t *awssim.Topology) {
	for i := range t.TaskDefinitions {
		for j := range t.TaskDefinitions[i].Value.ContainerDefinitions {
			c := &t.TaskDefinitions[i].Value.ContainerDefinitions[j]
			switch {
			case strings.Contains(*c.Image, "magento2"):
				c.Image = aws.String("registry.local:5000/shop:" + Running)
			case strings.Contains(*c.Image, "magecloudkit/nginx"):
				c.Image = aws.String("registry.local:5000/shop-nginx:" + Running)
			}
		}
	}
	// The simulation knows of another registry what task definitions name.
	next := *definition(t, Web)
	next.Family = aws.String("pushed-since")
	next.ContainerDefinitions = slices.Clone(next.ContainerDefinitions)
	for i := range next.ContainerDefinitions {
		c := &next.ContainerDefinitions[i]
		c.Image = aws.String(strings.Replace(*c.Image, ":"+Running, ":"+Build, 1))
	}
	t.TaskDefinitions = append(t.TaskDefinitions, awssim.TaskDefinitionSpec{Value: next})
}

func severalWeb(t *awssim.Topology) {
	td := definition(t, Web)
	admin := td.ContainerDefinitions[1]
	admin.Name = aws.String("admin")
	admin.PortMappings = nil
	td.ContainerDefinitions = append(td.ContainerDefinitions, admin)
}

// everyField sets what a task definition on Fargate can have.
func everyField(t *awssim.Topology) {
	td := definition(t, Web)
	td.EphemeralStorage = &types.EphemeralStorage{SizeInGiB: 50}
	td.PidMode = types.PidModeTask
	td.Volumes = []types.Volume{
		{Name: aws.String("media"), EfsVolumeConfiguration: &types.EFSVolumeConfiguration{
			FileSystemId: aws.String("fs-1"), RootDirectory: aws.String("/media"), TransitEncryption: types.EFSTransitEncryptionEnabled,
			AuthorizationConfig: &types.EFSAuthorizationConfig{AccessPointId: aws.String("fsap-1"), Iam: types.EFSAuthorizationConfigIAMEnabled},
		}},
		{Name: aws.String("var")},
	}
	td.Tags = append(td.Tags, types.Tag{Key: aws.String("team"), Value: aws.String("shop")})
	c := &td.ContainerDefinitions[1]
	c.Cpu = 512
	c.MemoryReservation = aws.Int32(1024)
	c.MountPoints = []types.MountPoint{{SourceVolume: aws.String("media"), ContainerPath: aws.String("/var/www/html/pub/media"), ReadOnly: aws.Bool(false)}, {SourceVolume: aws.String("var"), ContainerPath: aws.String("/var/www/html/var")}}
	c.EntryPoint = []string{"/entrypoint"}
	c.Command = []string{"* * * * *", "php"}
	c.DockerLabels = map[string]string{"image": *c.Image}
	c.EnvironmentFiles = []types.EnvironmentFile{{Type: types.EnvironmentFileTypeS3, Value: aws.String("arn:aws:s3:::bucket/magento.env")}}
	c.LinuxParameters = &types.LinuxParameters{InitProcessEnabled: aws.Bool(true)}
	c.ReadonlyRootFilesystem = aws.Bool(true)
	c.StartTimeout, c.StopTimeout = aws.Int32(60), aws.Int32(90)
	c.SystemControls = []types.SystemControl{{Namespace: aws.String("net.core.somaxconn"), Value: aws.String("1024")}}
	c.Ulimits = []types.Ulimit{{Name: types.UlimitNameNofile, SoftLimit: 65536, HardLimit: 65536}}
	c.User, c.WorkingDirectory = aws.String("33:33"), aws.String("/var/www/html")
	c.RestartPolicy = &types.ContainerRestartPolicy{Enabled: aws.Bool(false)}
	c.VersionConsistency = types.VersionConsistencyDisabled
}

// Checks.

func calls(s *Stage, op string, ours bool) []awssim.Call {
	var found []awssim.Call
	for _, c := range s.World.Calls()[s.Start.Calls:] {
		if c.Op == op && c.Code == "" && (!ours || !strings.HasSuffix(c.Caller, awssim.SomebodyElse)) {
			found = append(found, c)
		}
	}
	return found
}

func noCall(op string) Check { return calledTimes(op, 0) }

func calledTimes(op string, n int) Check {
	return func(s *Stage, _ *release.Result) error {
		if got := len(calls(s, op, false)); got != n {
			return fmt.Errorf("%s was called %d times, not %d", op, got, n)
		}
		return nil
	}
}

func ourCalls(op string, n int) Check {
	return func(s *Stage, _ *release.Result) error {
		if got := len(calls(s, op, true)); got != n {
			return fmt.Errorf("we called %s %d times, not %d", op, got, n)
		}
		return nil
	}
}

// ourDeployments counts the services that the release itself moved.
func ourDeployments(n int) Check {
	return func(_ *Stage, r *release.Result) error {
		moved := 0
		for _, s := range r.Services {
			if s.Moved {
				moved++
			}
		}
		if moved != n {
			return fmt.Errorf("%d services were moved, not %d", moved, n)
		}
		return nil
	}
}

// tasksStarted counts the tasks that were started with a command, once for
// each client token.
func tasksStarted(s *Stage, command string) int {
	tokens := map[string]bool{}
	without := 0
	for _, c := range s.World.Calls()[s.Start.Calls:] {
		if c.Op != "ecs:RunTask" || (c.Code != "" && c.Fault != awssim.BrokenLate && c.Fault != awssim.DropAfter) || c.Fault == awssim.DropBefore {
			continue
		}
		var in struct {
			ClientToken string
			Overrides   struct{ ContainerOverrides []struct{ Command []string } }
		}
		if json.Unmarshal(c.Input, &in) != nil || len(in.Overrides.ContainerOverrides) == 0 {
			continue
		}
		if strings.Contains(strings.Join(in.Overrides.ContainerOverrides[0].Command, " "), command) {
			tokens[in.ClientToken] = true
			if in.ClientToken == "" {
				without++
			}
		}
	}
	delete(tokens, "")
	return len(tokens) + without
}

func noTask(command string) Check { return startedTimes(command, 0) }

func oneTask(command string) Check { return startedTimes(command, 1) }

func startedTimes(command string, n int) Check {
	return func(s *Stage, _ *release.Result) error {
		if got := tasksStarted(s, command); got != n {
			return fmt.Errorf("%d tasks were started for %s, not %d", got, command, n)
		}
		return nil
	}
}

// onceEach wants that nothing was done twice: one revision a family, one
// deployment a service, one upgrade.
var onceEach = checks(oneTask("setup:upgrade"), func(s *Stage, _ *release.Result) error {
	now, err := s.State()
	if err != nil {
		return err
	}
	for family, n := range now.Revisions {
		if was := s.Start.Revisions[family]; n != was+1 {
			return fmt.Errorf("family %s has %d revisions, and had %d", family, n, was)
		}
	}
	for _, name := range s.Request.Services {
		out, err := awssim.Do[awsecs.ListServiceDeploymentsOutput](s.World, "ecs:ListServiceDeployments", &awsecs.ListServiceDeploymentsInput{
			Cluster: aws.String(s.Request.Cluster), Service: aws.String(name),
		})
		if err != nil {
			return err
		}
		if n := len(out.ServiceDeployments); n != 2 { // the service's first one, and ours
			return fmt.Errorf("service %s had %d deployments", name, n-1)
		}
	}
	return nil
})

// everyTaskOnce wants that of an undisturbed run, and every command once.
var everyTaskOnce = append(checks(oneTask("setup:db:status"), oneTask("cache:flush")), onceEach...)

func upgraded(s *Stage, _ *release.Result) error {
	if s.World.Facts()["db"] != "upgraded" {
		return errors.New("the database was not upgraded")
	}
	return nil
}

// noMark wants no trace of a paused rule.
func noMark(s *Stage, _ *release.Result) error {
	rule, err := awssim.Do[eventbridge.DescribeRuleOutput](s.World, "events:DescribeRule", &eventbridge.DescribeRuleInput{Name: aws.String(CronRule)})
	if err != nil {
		return err
	}
	out, err := awssim.Do[eventbridge.ListTagsForResourceOutput](s.World, "events:ListTagsForResource", &eventbridge.ListTagsForResourceInput{ResourceARN: rule.Arn})
	if err != nil {
		return err
	}
	for _, t := range out.Tags {
		if aws.ToString(t.Key) == release.TagPaused {
			return fmt.Errorf("the rule is still marked as paused for %s", aws.ToString(t.Value))
		}
	}
	return nil
}

// cronJob is a task as EventBridge starts it.
const cronJob = `{"cluster":"production-app","taskDefinition":"production-cron:1","startedBy":"events-rule/production-cron","launchType":"FARGATE",
	"networkConfiguration":{"awsvpcConfiguration":{"subnets":["subnet-0aaaaaaaaaaaaaaa1"]}}}`

// upgradeAfter wants setup:upgrade to be started no earlier.
func upgradeAfter(t time.Duration) Check {
	return func(s *Stage, r *release.Result) error {
		for _, task := range r.Tasks {
			if task.Name == "setup:upgrade" && task.Started.Sub(r.Started) >= t {
				return nil
			}
		}
		return errors.New("setup:upgrade was started earlier, or not at all")
	}
}

// atMost bounds the calls and, if it is not 0, the time of a release.
func atMost(n int, t time.Duration) Check {
	return func(s *Stage, r *release.Result) error {
		if got := len(s.World.Calls()) - s.Start.Calls; got > n {
			return fmt.Errorf("%d calls were made", got)
		}
		if took := r.Ended.Sub(r.Started); t > 0 && took > t {
			return fmt.Errorf("it took %s", took)
		}
		return nil
	}
}

func cronDisabled(s *Stage, _ *release.Result) error {
	now, err := s.State()
	if err != nil {
		return err
	}
	if now.Rules[CronRule] != ebtypes.RuleStateDisabled {
		return errors.New("the rule is enabled")
	}
	return nil
}

// said wants a text in what a person is shown at the end.
func said(text string) Check {
	return func(_ *Stage, r *release.Result) error {
		if !strings.Contains(r.Summary(), text) {
			return fmt.Errorf("the summary does not say %q:\n%s", text, r.Summary())
		}
		return nil
	}
}

// explained wants a text in the diagnosis.
func explained(text string) Check {
	return func(_ *Stage, r *release.Result) error {
		var all strings.Builder
		for _, s := range r.Services {
			if s.Diagnosis != nil {
				all.WriteString(s.Diagnosis.String())
			}
		}
		if !strings.Contains(all.String(), text) {
			return fmt.Errorf("the diagnosis does not say %q:\n%s", text, all.String())
		}
		return nil
	}
}

func findings(n int) Check {
	return func(_ *Stage, r *release.Result) error {
		if got := len(r.Findings); got < n {
			return fmt.Errorf("%d findings, and there is more wrong: %v", got, r.Findings)
		}
		return nil
	}
}

// current reads the revision that a service runs.
func (s *Stage) current(name string) (*types.TaskDefinition, error) {
	now, err := s.State()
	if err != nil {
		return nil, err
	}
	out, err := s.revision(aws.ToString(now.primary(name).TaskDefinition))
	if err != nil {
		return nil, err
	}
	return out.TaskDefinition, nil
}

func pinned(s *Stage, _ *release.Result) error {
	td, err := s.current(Web)
	if err != nil {
		return err
	}
	for _, c := range td.ContainerDefinitions[:2] {
		if !strings.Contains(*c.Image, "@sha256:") {
			return fmt.Errorf("%s is not pinned", *c.Image)
		}
	}
	return nil
}

func edited(s *Stage, _ *release.Result) error {
	td, err := s.current(Web)
	if err != nil {
		return err
	}
	c := td.ContainerDefinitions[1]
	env := map[string]string{}
	for _, e := range c.Environment {
		env[*e.Name] = *e.Value
	}
	for _, e := range c.Secrets {
		env[*e.Name] = "secret"
	}
	if env["MAGE_MODE"] != "default" || env["ADDED"] != "1" || env["CRYPT_KEY"] != "secret" || env["MYSQL_HOST"] != "" || env["MYSQL_PASSWORD"] != "secret" {
		return fmt.Errorf("the environment is %v", env)
	}
	if *td.Cpu != "2048" || *td.Memory != "5120" {
		return fmt.Errorf("the task has %s CPU and %s memory", *td.Cpu, *td.Memory)
	}
	return nil
}

func counted(s *Stage, _ *release.Result) error {
	now, err := s.State()
	if err != nil {
		return err
	}
	svc := now.Services[Web]
	c := svc.DeploymentConfiguration
	if svc.DesiredCount != 3 || *c.MinimumHealthyPercent != 50 || *c.MaximumPercent != 150 || !c.DeploymentCircuitBreaker.Enable || !c.DeploymentCircuitBreaker.Rollback {
		return fmt.Errorf("%d tasks, %d to %d percent, breaker %+v", svc.DesiredCount, *c.MinimumHealthyPercent, *c.MaximumPercent, *c.DeploymentCircuitBreaker)
	}
	return nil
}

// onlyRegistry wants the store's own images to stay in their registry.
func onlyRegistry(host string) Check {
	return func(s *Stage, _ *release.Result) error {
		td, err := s.current(Web)
		if err != nil {
			return err
		}
		for _, c := range td.ContainerDefinitions[:2] {
			if !strings.HasPrefix(*c.Image, host+"/") {
				return fmt.Errorf("%s is not in %s", *c.Image, host)
			}
		}
		return nil
	}
}

func sidecarKept(s *Stage, r *release.Result) error {
	return sidecarIs("public.ecr.aws/datadog/agent@sha256:"+strings.Repeat("ab", 32))(s, r)
}

func sidecarIs(image string) func(*Stage, *release.Result) error {
	return func(s *Stage, _ *release.Result) error {
		td, err := s.current(Web)
		if err != nil {
			return err
		}
		if got := *td.ContainerDefinitions[2].Image; got != image {
			return fmt.Errorf("the sidecar became %s", got)
		}
		return nil
	}
}

// everyFieldKept compares the revision with the one before, field by field.
func everyFieldKept(s *Stage, _ *release.Result) error {
	before, err := s.revision(aws.ToString(s.Start.Services[Web].TaskDefinition))
	if err != nil {
		return err
	}
	now, err := s.State()
	if err != nil {
		return err
	}
	after, err := s.revision(aws.ToString(now.primary(Web).TaskDefinition))
	if err != nil {
		return err
	}
	a, err := ecs.Registration(before)
	if err != nil {
		return err
	}
	b, err := ecs.Registration(after)
	if err != nil {
		return err
	}
	changes := ecs.Diff(a, b)
	for _, t := range []string{release.TagBuild, release.TagBy, release.TagReplaces} {
		changes = changes.Without("tags." + t)
	}
	for _, c := range []string{"magento", "nginx"} {
		changes = changes.Without("containerDefinitions." + c + ".image")
	}
	if len(changes) > 0 {
		return fmt.Errorf("more than images and tags was changed:\n%s", changes)
	}
	return nil
}

// releasedBy wants a name on the revisions.
func releasedBy(name string) Check {
	return func(s *Stage, r *release.Result) error {
		for _, rev := range r.Revisions {
			out, err := s.revision(rev.After)
			if err != nil {
				return err
			}
			if by := ecs.Tag(out.Tags, release.TagBy); !strings.HasSuffix(by, name) {
				return fmt.Errorf("%s says that %q released it", ecs.RevisionName(rev.After), by)
			}
		}
		return nil
	}
}

// returnable wants that what ran before, and what ran before that, can still
// be returned to.
func returnable(s *Stage, r *release.Result) error {
	for _, rev := range r.Revisions {
		out, err := s.revision(rev.Before)
		if err != nil {
			return err
		}
		earlier, err := s.revision(ecs.Tag(out.Tags, release.TagReplaces))
		if err != nil {
			return err
		}
		for _, td := range []*types.TaskDefinition{out.TaskDefinition, earlier.TaskDefinition} {
			if td.Status != types.TaskDefinitionStatusActive {
				return fmt.Errorf("%s was deregistered, and might be returned to", ecs.RevisionName(aws.ToString(td.TaskDefinitionArn)))
			}
		}
	}
	return nil
}

// runsAgain wants every service steady on a build, whatever its revision.
func runsAgain(build string) Check {
	return func(s *Stage, _ *release.Result) error {
		now, err := s.State()
		if err != nil {
			return err
		}
		for _, name := range s.Request.Services {
			td, err := s.current(name)
			if err != nil {
				return err
			}
			if !strings.HasSuffix(*td.ContainerDefinitions[0].Image, ":"+build) {
				return fmt.Errorf("service %s runs %s", name, *td.ContainerDefinitions[0].Image)
			}
			if p := now.primary(name); p.RolloutState != types.DeploymentRolloutStateCompleted {
				return fmt.Errorf("service %s is %s", name, p.RolloutState)
			}
		}
		return nil
	}
}
