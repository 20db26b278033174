package release

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/magecloudkit/pipeline/ci/ecs"
	"github.com/magecloudkit/pipeline/ci/probe"
)

// Probes are the addresses of the shop that a release asks, and what must be true of
// them. That tasks count as healthy says little: a health check rarely asks the shop.
type Probes struct {
	// After are asked once the services have rolled, and of a service that moves
	// traffic also as soon as the new revision has all of it.
	After []Probe
	// Test are those at a load balancer's test listener. They are asked before
	// production traffic moves, where something holds it back so long.
	Test []Probe
	// Text must stand in the pages; empty: any page will do.
	Text string
	// NoBuild leaves out which build answers.
	NoBuild bool
	// Timeout is how long an address may take until it answers as it must.
	Timeout time.Duration
	// Continue ends a pause before production traffic moves, once the test listener
	// has answered.
	Continue bool
}

// Probe is an address that must answer for a service.
type Probe struct {
	Service string // empty: the first one
	URL     string
}

// ParseProbe reads URL or SERVICE=URL.
func ParseProbe(s string) Probe {
	if name, address, ok := strings.Cut(s, "="); ok && !strings.Contains(name, "/") {
		return Probe{name, address}
	}
	return Probe{URL: s}
}

// DefaultProbeTimeout is how long an address may take until it answers as it must.
const DefaultProbeTimeout = time.Minute

func (r Request) checkProbes() (wrong faults) {
	for _, list := range []struct {
		flag   string
		probes []Probe
	}{{"--probe", r.Probes.After}, {"--probe-test", r.Probes.Test}} {
		for i, p := range list.probes {
			shown := p.URL
			if err := probe.CheckURL(p.URL); err != nil {
				wrong.add("%s number %d: %w", list.flag, i+1, err) // the address may hold a password
				continue
			}
			if p.Service != "" && !slices.Contains(r.Services, p.Service) {
				wrong.add("%s %s=%s: service %s is not among those that are released (%s)", list.flag, p.Service, shown, p.Service, strings.Join(r.Services, ", "))
			}
			if slices.Contains(list.probes[:i], p) {
				wrong.add("%s %s is given twice", list.flag, shown)
			}
		}
	}
	switch {
	case r.Probes.Timeout < 0:
		wrong.add("--probe-timeout %s is negative", r.Probes.Timeout)
	case r.Probes.Continue && len(r.Probes.Test) == 0:
		wrong.add("--probe-continue continues once a --probe-test has answered, and none is given")
	case r.Probes.Text != "" && len(r.Probes.After)+len(r.Probes.Test) == 0:
		wrong.add("--probe-text is what the page of a --probe must have, and none is given")
	}
	return wrong
}

// probesOf picks those of a list that are about a service.
func (pl *plan) probesOf(p *service, list []Probe) []Probe {
	var own []Probe
	for _, pr := range list {
		if pr.Service == p.name || pr.Service == "" && p == pl.services[0] {
			own = append(own, pr)
		}
	}
	return own
}

// checkProbes looks whether the probes of test listeners have something to ask.
func (v *survey) checkProbes() {
	if len(v.req.Probes.After)+len(v.req.Probes.Test) > 0 && v.shop.HTTP == nil {
		v.refuse("probes", "", sayNoProber)
	}
	for _, p := range v.services {
		if len(v.probesOf(p, v.req.Probes.Test)) == 0 {
			continue
		}
		subject := "service " + p.name
		switch conf := p.svc.DeploymentConfiguration; {
		case !ecs.Shifts(&p.svc):
			v.refuse(subject, doLeaveOutProbeTest, sayRollsWithoutTest)
		case !hasTestListener(&p.svc):
			v.refuse(subject, doLeaveOutProbeTest, sayNoTestListener)
		case !slices.ContainsFunc(conf.LifecycleHooks, holdsBack):
			v.warn(subject, doPauseHook, sayNothingHolds)
		}
	}
}

func hasTestListener(svc *types.Service) bool {
	return slices.ContainsFunc(svc.LoadBalancers, func(lb types.LoadBalancer) bool {
		return lb.AdvancedConfiguration != nil && aws.ToString(lb.AdvancedConfiguration.TestListenerRule) != ""
	})
}

// holdsBack says that a hook keeps production traffic where it is after test traffic
// has moved.
func holdsBack(h types.DeploymentLifecycleHook) bool {
	return slices.ContainsFunc(h.LifecycleStages, func(s types.DeploymentLifecycleHookStage) bool {
		return s == types.DeploymentLifecycleHookStagePostTestTrafficShift || s == types.DeploymentLifecycleHookStagePreProductionTrafficShift
	})
}

// buildAsked is the build that must answer for a service: after the way back, the one
// that it is to run again.
func (a *act) buildAsked(p *service, returned bool) string {
	build := a.req.Build
	switch {
	case a.req.Probes.NoBuild:
		return ""
	case returned && !sameRevision(p.prior, p.rev.arn()):
		build = "" // of a run before this one
	case returned, a.req.KeepBuild:
		build = a.runningBuild(p.rev)
	case a.builtAs != "":
		build = a.builtAs
	}
	if build == "" {
		return probe.AnyBuild
	}
	return build
}

// shopState says what the shop answered when it was last asked, and what was not
// asked.
func (a *act) shopState(v Verdict) []string { //nolint:cyclop // a sentence a case
	var lines []string
	for _, r := range a.res.Probes {
		if r.OK && r.When == askedBake && a.asked(a.service(r.Service), askedAfter) {
			continue // asked again since
		}
		if r.OK {
			lines = append(lines, fmt.Sprintf(sayShopAnswers, r.URL, r.Detail, r.When))
		} else {
			lines = append(lines, fmt.Sprintf(sayShopFails, r.Detail, parenthesis(r.Cause), r.When))
		}
	}
	if v != Released && v != Returned && v != Incomplete {
		return lines
	}
	if len(a.req.Probes.After) == 0 {
		return append(lines, sayShopNotAsked)
	}
	for _, p := range a.services {
		own := a.probesOf(p, a.req.Probes.After)
		switch {
		case len(own) == 0 && len(p.svc.LoadBalancers) > 0:
			lines = append(lines, fmt.Sprintf(sayServiceNotAsked, p.name))
		case len(own) > 0 && !a.asked(p, askedAfter):
			lines = append(lines, fmt.Sprintf(sayEndedBeforeAsking, p.name))
		}
		if len(a.probesOf(p, a.req.Probes.Test)) > 0 && p.res.Moved && !a.asked(p, askedTest) {
			lines = append(lines, fmt.Sprintf(sayTestNotAsked, p.name))
		}
	}
	return lines
}

func (a *act) asked(p *service, when string) bool {
	return slices.ContainsFunc(a.res.Probes, func(r ProbeResult) bool { return r.Service == p.name && r.When == when })
}

// hasTestTraffic says that the new revision has the traffic of the test listener at a
// lifecycle stage.
func hasTestTraffic(at ecs.Stage) bool {
	switch types.DeploymentLifecycleHookStage(at.Name) {
	case types.DeploymentLifecycleHookStageTestTrafficShift, types.DeploymentLifecycleHookStagePostTestTrafficShift,
		types.DeploymentLifecycleHookStagePreProductionTrafficShift, types.DeploymentLifecycleHookStageProductionTrafficShift,
		types.DeploymentLifecycleHookStagePostProductionTrafficShift:
		return true
	}
	return at.Name == bakeTime
}
