package rehearse

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/magecloudkit/pipeline/ci/awssim"
	"github.com/magecloudkit/pipeline/ci/ecs"
	"github.com/magecloudkit/pipeline/ci/release"
)

// The addresses of the shops in a world.
const (
	shopURL      = "https://shop.example/"      // the web service's
	testURL      = "https://shop.example:8443/" // its test listener's
	consumersURL = "https://consumers.example/"
)

// visit is what a scenario's SignalOn calls a request to a shop.
const visit = "visit"

// visitors reaches the shops of a stage by address.
type visitors struct{ stage *Stage }

func (v visitors) RoundTrip(r *http.Request) (*http.Response, error) {
	if v.stage.visited != nil {
		defer v.stage.visited()
	}
	for address, of := range map[string]struct {
		service string
		test    bool
	}{shopURL: {Web, false}, testURL: {Web, true}, consumersURL: {Consumers, false}} {
		if strings.HasPrefix(address, "https://"+r.URL.Host+"/") {
			return awssim.InProcess(v.stage.World.Listener(v.stage.Request.Cluster, of.service, of.test)).RoundTrip(r)
		}
	}
	return nil, fmt.Errorf("dial tcp: lookup %s: no such host", r.URL.Hostname())
}

// probes asks addresses after the roll: URL or SERVICE=URL.
func probes(list ...string) ask {
	return func(r *release.Request) {
		for _, p := range list {
			r.Probes.After = append(r.Probes.After, release.ParseProbe(p))
		}
	}
}

// testProbe asks the test listener, with time for the whole shift.
func testProbe(r *release.Request) {
	r.Probes.Test = []release.Probe{{URL: testURL}}
	r.Timeout = 20 * minute
}

func continues(r *release.Request) { r.Probes.Continue = true }

func pageSays(text string) ask { return func(r *release.Request) { r.Probes.Text = text } }

func noProbeBuild(r *release.Request) { r.Probes.NoBuild = true }

func noFlush(r *release.Request) { r.NoCacheFlush = true }

func all(list ...ask) ask {
	return func(r *release.Request) {
		for _, a := range list {
			a(r)
		}
	}
}

// testListener gives a service one.
func testListener(of string) world {
	return func(t *awssim.Topology) {
		lbs := service(t, of).LoadBalancers
		for i := range lbs {
			lbs[i].AdvancedConfiguration = &types.AdvancedConfiguration{
				AlternateTargetGroupArn: aws.String(strings.Replace(*lbs[i].TargetGroupArn, Web, Web+"-2", 1)), RoleArn: aws.String("arn:aws:iam::111111111111:role/ecsInfrastructureRole"),
				ProductionListenerRule: aws.String("arn:aws:elasticloadbalancing:us-east-1:111111111111:listener-rule/app/production/1/2/3"),
				TestListenerRule:       aws.String("arn:aws:elasticloadbalancing:us-east-1:111111111111:listener-rule/app/production/1/2/4"),
			}
		}
	}
}

// The shop of the new build, and of the one before, as facts.
var (
	newFails     = facts{"shop:301": "500"}
	oldFails     = facts{"shop:300": "500"}
	bothFail     = facts{"shop:301": "500", "shop:300": "500"}
	flaps        = facts{"shop:301": "500 every 2"}
	otherBuild   = facts{"shop:301:revision": "300"}
	noRevision   = facts{"shop:301:revision": "none"}
	noStyles     = facts{"shop:301:styles": "404"}
	anotherPage  = facts{"shop:301:page": "Down for maintenance"}
	sayAgainWell = "shop https://shop.example/: answers: 200, build 300, 1 style sheet; asked after the way back"
)

// probed are releases that ask the shop.
func probed() []Scenario {
	shop := probes(shopURL)
	wrong := func(name string, f facts, says string) Scenario {
		return Scenario{Name: "probe: " + name, Want: rolledBack, Facts: f, Request: shop, Also: checks(said(says), said(sayAgainWell))}
	}
	return []Scenario{
		{Name: "probe: none is given", Want: released, Also: checks(said("shop: not asked whether it answers, since no --probe is given"))},
		{Name: "probe: the shop answers", Want: released, Request: shop, Also: checks(said("shop https://shop.example/: answers: 200, build 301, 1 style sheet; asked after the roll"), startedTimes("cache:flush", 1))},
		{Name: "probe: the shop answers, after a migration", Want: released, Request: shop, Facts: databaseIsOld},
		wrong("500 behind a green health check", newFails, "https://shop.example/ answers 500"),
		wrong("500 now and then", flaps, "answers 500, now and then"),
		wrong("another build in REVISION.txt", otherBuild, "https://shop.example/REVISION.txt is of build 300, not 301"),
		wrong("no REVISION.txt", noRevision, "names no build (something before the shop does not pass it on"),
		wrong("a style sheet that is not there", noStyles, "styles.css, which answers 404"),
		{Name: "probe: a page without the text", Want: rolledBack, Facts: anotherPage, Request: both(shop, pageSays("Welcome")), Also: checks(said(`the page lacks "Welcome"`), said("after the way back"))},
		{Name: "probe: a page with the text", Want: released, Request: both(shop, pageSays("Welcome"))},
		{Name: "probe: no REVISION.txt, and not asked for it", Want: released, Facts: noRevision, Request: both(shop, noProbeBuild)},
		{Name: "probe: 500 for half a minute", Want: released, Facts: newFails, Request: shop, Events: events{{Upon: "ecs:RunTask", Nth: 3, Delay: d(34 * second), SetFacts: facts{"shop:301": ""}}}},
		{Name: "probe: nobody at the address", Want: rolledBack, Request: probes("https://gone.example/"), Also: checks(said("https://gone.example/ gives no answer: dial tcp: lookup gone.example: no such host"))},
		{Name: "probe: the shop fails before and after", Want: rolledBack, Facts: bothFail, Request: shop, Also: checks(said("shop: DOES NOT ANSWER as it must: https://shop.example/ answers 500; asked after the way back"))},
		{Name: "probe: 500, --rollback=false", Want: notRolledBack, Facts: newFails, Request: both(shop, noRollback), Also: checks(said("https://shop.example/ answers 500; not rolled back, as asked"))},
		{Name: "probe: 500, and the cache is not to be flushed", Want: rolledBack, Facts: newFails, Request: both(shop, noFlush), Also: checks(noTask("cache:flush"))},
		{Name: "probe: 500, and the cache is flushed on the way back too", Want: rolledBack, Facts: newFails, Request: shop, Also: checks(startedTimes("cache:flush", 2), flushedOn("production-app:2", "production-app:1"))},
		{Name: "probe: 500, circuit breaker without roll back", Want: rolledBack, World: breaker(true, false), Facts: newFails, Request: shop},
		{Name: "probe: 500, and the cache's second flush fails", Want: rolledBack, Facts: newFails, Request: shop, Events: events{{Upon: "ecs:UpdateService", Nth: 3, Behave: task("cache:flush", awssim.Behavior{Exit: aws.Int32(1)})}}},
		{Name: "probe: 500, and the roll back fails as well", Want: notRolledBack, World: firstOldThenNew, Facts: newFails, Request: all(shop, noMigration, within(5*minute)), Events: events{{Upon: "ecs:RunTask", Behave: behave{{Image: ":300", NoCapacity: true}}}}},
		{Name: "probe of one service of two: it fails", Want: rolledBack, Facts: newFails, Request: probes(Consumers + "=" + consumersURL), Also: checks(said("service production-consumers does not answer as it must"))},
		{Name: "probe of one service of two: it answers", Want: released, Request: probes(Consumers + "=" + consumersURL), Also: checks(said("service production-app: not asked whether it answers, since no --probe is given for it"))},
		{Name: "probe of both services", Want: released, Request: probes(shopURL, Consumers+"="+consumersURL), Also: checks(said("shop https://consumers.example/: answers"), said("shop https://shop.example/: answers"))},
		{Name: "probe: the cache cannot be flushed", Want: incomplete, Request: shop, Behave: task("cache:flush", awssim.Behavior{Exit: aws.Int32(1)}), Also: checks(said("service production-app: not asked whether it answers, since the release ended before"))},
		{Name: "probe: crash loop", Want: rolledBack, Behave: crashLoop, Request: shop, Also: checks(said(sayAgainWell))},
		{Name: "probe: out of time", Want: timedOut, Request: both(shop, within(20*second)), Also: checks(ServicesRunBefore, said(sayAgainWell))},
		{Name: "probe: the build runs already, and the shop answers", Want: released, First: asks(build(Build)), Request: shop, Also: checks(noCall("ecs:UpdateService"))},
		{Name: "probe: the build runs already, and the shop fails", Want: notRolledBack, First: asks(build(Build)), Facts: newFails, Request: shop, Own: true, Also: checks(ServicesUntouched, noCall("ecs:UpdateService"), CronAsBefore, said("rollback returns to the build before"))},
		{Name: "probe: interrupted while the shop is asked", Want: interrupted, Facts: newFails, Request: shop, SignalOn: visit, SignalAt: 2, Also: checks(said("interrupted while the shop was asked"))},
		{Name: "probe: interrupted while the shop is asked, and run again", Want: released, Request: shop, SignalOn: visit, SignalAt: 2, Again: true, Before: interrupted, Also: checks(startedTimes("cache:flush", 2))},
		{Name: "probe: killed in the roll, and run again with a shop that fails", Want: rolledBack, Facts: newFails, Request: shop, SignalOn: "ecs:DescribeServices", SignalAt: 5, Crash: true, Again: true, Own: true, Also: checks(runsAgain(Running), CronUntouched)},
		{Name: "probe: another cluster's build", Want: released, World: staging(Build, Build), Request: both(from, shop), Own: true, Also: checks(sameDigests, said("build 301"))},
		{Name: "probe: pinned by digest", Want: released, Request: both(shop, func(r *release.Request) { r.PinDigest = true })},
		{Name: "probe: images that say they are of another build", Want: rolledBack, World: images(func(im *awssim.ImageSpec) { im.Labels = facts{"org.opencontainers.image.version": "299"} }), Request: shop, Also: checks(said("is of build 301, not 299"))},
		{Name: "probe: a tag that is no build's number", Want: released, World: images(func(im *awssim.ImageSpec) { im.Labels = facts{"org.opencontainers.image.version": "300.9"} }), Facts: facts{"shop:301:revision": "300.9"}, Request: shop},
		{Name: "probe: settings changed", Want: released, Verb: (*release.Releaser).EnvChange, Request: all(shop, build(Running), someEnv), Also: checks(said("answers: 200, build 300"))},
		{Name: "probe: settings that break the shop", Want: rolledBack, Verb: (*release.Releaser).EnvChange, Request: all(shop, build(Running), someEnv), Events: events{{Upon: "ecs:UpdateService", SetFacts: oldFails}}},
		{Name: "probe on rollback: the shop answers", Want: returned, First: asks(build(Build)), Verb: (*release.Releaser).Rollback, Request: both(shop, build("")), Also: checks(said("shop https://shop.example/: answers: 200, build 300"))},
		{Name: "probe on rollback: the shop fails", Want: notRolledBack, First: asks(build(Build)), Facts: oldFails, Verb: (*release.Releaser).Rollback, Request: both(shop, build("")), Own: true, Also: checks(runsAgain(Running), CronRunsResult, CronAsBefore, said("the services run the earlier build, and service production-app does not answer as it must"))},
		{Name: "probe on rollback: none is given", Want: returned, First: asks(build(Build)), Verb: (*release.Releaser).Rollback, Request: build(""), Also: checks(said("not asked whether it answers, since no --probe is given"))},
		{Name: "verify: health checks that ask nginx and php-fpm alone", Want: planned, Verb: (*release.Releaser).Verify, Also: checks(NothingChanged, found("its health checks cannot fail for a broken shop: container nginx asks /health"))},
		{Name: "verify: a target group that asks the shop", Want: planned, Verb: (*release.Releaser).Verify, World: func(t *awssim.Topology) { t.TargetGroups[0].Path = "/health_check.php" }, Also: checks(NothingChanged, notFound("health checks"))},
		{Name: "probe: a test listener of a service that rolls", Want: refused, Request: testProbe, Also: checks(refusedFor("replaces its tasks one by one (ROLLING)"))},
	}
}

func someEnv(r *release.Request) { r.Edits.Env = []ecs.Variable{{Name: "A", Value: "1"}} }

// probedByStrategy are those of a service that ECS deploys by moving traffic.
func probedByStrategy(name types.DeploymentStrategy) []Scenario {
	const test, shift = types.DeploymentLifecycleHookStagePostTestTrafficShift, types.DeploymentLifecycleHookStagePreProductionTrafficShift
	listens := func(hooks ...types.DeploymentLifecycleHook) world {
		return worlds(strategy(name, Web, hooks...), testListener(Web))
	}
	shop := both(probes(shopURL), within(20*minute))
	paused := pause(test, 120, types.DeploymentLifecycleHookActionRollback)
	return []Scenario{
		{Name: "probe: the shop answers", Want: released, World: strategy(name, Web), Request: shop, Also: checks(said("build 301, 1 style sheet; asked after the roll"), askedAt("during the bake time"))},
		{Name: "probe: 500 behind a green health check", Want: rolledBack, World: strategy(name, Web), Facts: newFails, Request: shop, Also: checks(said("answers 500; asked with all traffic, during the bake time"), wentBack("stopped"), said(sayAgainWell))},
		{Name: "probe: 500, --rollback=false", Want: notRolledBack, World: strategy(name, Web), Facts: newFails, Request: both(shop, noRollback)},
		{Name: "probe: another build in REVISION.txt", Want: rolledBack, World: strategy(name, Web), Facts: otherBuild, Request: shop, Also: checks(said("is of build 300, not 301"), wentBack("stopped"))},
		{Name: "probe: a style sheet that is not there", Want: rolledBack, World: strategy(name, Web), Facts: noStyles, Request: shop, Also: checks(said("styles.css, which answers 404"), wentBack("redeployed"))},
		{Name: "probe: 500, and where it stands may not be read", Want: rolledBack, World: strategy(name, Web), Facts: newFails, Request: shop, Faults: faults{always("ecs:DescribeServiceDeployments", awssim.Denied)}, Also: checks(wentBack("redeployed"))},
		{Name: "probe: interrupted while the shop is asked, and run again", Want: released, World: strategy(name, Web), Request: shop, SignalOn: visit, SignalAt: 2, Again: true, Before: interrupted},
		{Name: "probe on rollback: the shop answers", Want: returned, World: strategy(name, Web), First: []ask{both(build(Build), within(20*minute))}, Verb: (*release.Releaser).Rollback, Request: both(shop, build(""))},
		{Name: "probe-test: it answers, and the pause is continued", Want: released, World: listens(paused), Request: both(testProbe, continues), Also: checks(calledTimes("ecs:ContinueServiceDeployment", 1), askedAt("at the test listener"))},
		{Name: "probe-test: it answers, and the pause before each step is continued once", Want: released, World: listens(pause(shift, 1, types.DeploymentLifecycleHookActionContinue)), Request: both(testProbe, continues), Also: checks(calledTimes("ecs:ContinueServiceDeployment", 1))},
		{Name: "probe-test: it answers, and the pause is somebody else's", Want: timedOut, World: listens(paused), Request: both(testProbe, within(5*minute)), Also: checks(ServicesRunBefore, askedAt("at the test listener"), noCall("ecs:ContinueServiceDeployment"))},
		{Name: "probe-test: it answers, and the pause may not be continued", Want: released, World: listens(pause(test, 3, types.DeploymentLifecycleHookActionContinue)), Request: both(testProbe, continues), Faults: faults{always("ecs:ContinueServiceDeployment", awssim.Denied)}},
		{Name: "probe-test: 500 before production traffic moves", Want: rolledBack, World: listens(paused), Facts: newFails, Request: both(testProbe, continues), Also: checks(said("answers 500; asked at the test listener"), noVisitor, wentBack("stopped"), noTask("cache:flush"))},
		{Name: "probe-test: another build before production traffic moves", Want: rolledBack, World: listens(paused), Facts: otherBuild, Request: both(testProbe, continues), Also: checks(noVisitor, wentBack("stopped"))},
		{Name: "probe-test: a style sheet that is not there before production traffic moves", Want: rolledBack, World: listens(paused), Facts: noStyles, Request: both(testProbe, continues), Also: checks(noVisitor, said("https://shop.example:8443/static/"))},
		{Name: "probe-test: 500, --rollback=false", Want: notRolledBack, World: listens(paused), Facts: newFails, Request: both(testProbe, noRollback), Also: checks(noVisitor)},
		{Name: "probe-test: nothing holds traffic back", Want: released, World: listens(), Request: testProbe, Also: checks(found("moves production traffic without waiting for an answer"))},
		{Name: "probe-test: there is no test listener", Want: refused, World: strategy(name, Web), Request: testProbe, Also: checks(refusedFor("has no load balancer with a test listener rule"))},
		{Name: "probe-test: where it stands may not be read", Want: released, World: listens(), Request: both(testProbe, probes(shopURL)), Faults: faults{always("ecs:DescribeServiceDeployments", awssim.Denied)}, Also: checks(said("its test listener was not asked"))},
	}
}

// Checks.

// flushedOn wants the cache to be flushed by tasks of these revisions, in this order.
func flushedOn(revisions ...string) Check {
	return func(s *Stage, _ *release.Result) error {
		for _, c := range calls(s, "ecs:RunTask", true) {
			if !strings.Contains(string(c.Input), "cache:flush") {
				continue
			}
			if len(revisions) == 0 || !strings.Contains(string(c.Input), revisions[0]) {
				return fmt.Errorf("the cache was flushed by %s", c.Input)
			}
			revisions = revisions[1:]
		}
		if len(revisions) > 0 {
			return fmt.Errorf("the cache was not flushed by %v", revisions)
		}
		return nil
	}
}

// askedAt wants the shop to have answered at a moment.
func askedAt(when string) Check {
	return func(_ *Stage, r *release.Result) error {
		for _, p := range r.Probes {
			if strings.HasSuffix(p.When, when) && p.OK {
				return nil
			}
		}
		return fmt.Errorf("the shop did not answer %s: %+v", when, r.Probes)
	}
}

// wentBack wants the web service to have gone back in one way.
func wentBack(how string) Check {
	return func(_ *Stage, r *release.Result) error {
		for _, s := range r.Services {
			if s.Service == Web && (s.Rollback == nil || s.Rollback.How != how) {
				return fmt.Errorf("service %s went back %+v, not %s", Web, s.Rollback, how)
			}
		}
		return nil
	}
}

// noVisitor wants production traffic to have stayed where it was.
func noVisitor(_ *Stage, r *release.Result) error {
	for _, s := range r.Services {
		for _, sample := range s.Samples {
			if strings.HasPrefix(sample.Stage, "PRODUCTION") || sample.Stage == "BAKE_TIME" {
				return fmt.Errorf("service %s: production traffic had moved: %+v", s.Service, sample)
			}
		}
	}
	return nil
}

// found wants a finding, refusedFor one that is the reason.
func found(text string) Check {
	return func(_ *Stage, r *release.Result) error {
		for _, f := range r.Findings {
			if strings.Contains(f.Message, text) {
				return nil
			}
		}
		return fmt.Errorf("no finding says %q: %v", text, r.Findings)
	}
}

func notFound(text string) Check {
	return func(s *Stage, r *release.Result) error {
		if found(text)(s, r) == nil {
			return fmt.Errorf("a finding says %q: %v", text, r.Findings)
		}
		return nil
	}
}

func refusedFor(text string) Check {
	return func(_ *Stage, r *release.Result) error {
		if !strings.Contains(r.Reason, text) {
			return errors.New("it was refused for " + r.Reason)
		}
		return nil
	}
}
