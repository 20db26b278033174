package rehearse

import (
	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/magecloudkit/pipeline/ci/awssim"
	"github.com/magecloudkit/pipeline/ci/ecs"
	"github.com/magecloudkit/pipeline/ci/release"
)

// releases are releases that work.
func releases() []Scenario {
	return []Scenario{
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
	}
}

// refusals are releases that are refused before anything was changed.
func refusals() []Scenario {
	return []Scenario{
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
	}
}

// otherVerbs are the verbs beside deploy.
func otherVerbs() []Scenario {
	return []Scenario{
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
	}
}
