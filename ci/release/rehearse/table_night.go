package rehearse

import (
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/magecloudkit/pipeline/ci/awssim"
	"github.com/magecloudkit/pipeline/ci/release"
)

// steadying are waits and changes of the number of tasks.
func steadying() []Scenario {
	wait := func(s Scenario) Scenario {
		s.Name, s.Verb = "wait: "+s.Name, (*release.Releaser).Wait
		return s
	}
	scale := func(n int32, s Scenario) Scenario {
		s.Name, s.Verb = "scale: "+s.Name, (*release.Releaser).Scale
		asked := s.Request
		s.Request = func(r *release.Request) {
			r.DesiredCount, r.Build = aws.Int32(n), ""
			if asked != nil {
				asked(r)
			}
		}
		return s
	}
	nobodys := checks(noCall("ecs:RegisterTaskDefinition"), noCall("ecs:RunTask"), CronUntouched)
	rolls := events{at(0, "ecs:UpdateService", update(Web, "", `"forceNewDeployment":true`))}
	return []Scenario{
		wait(Scenario{Name: "nothing is going on", Want: steady, Also: append(nobodys, NothingChanged)}),
		wait(Scenario{Name: "somebody's roll", Want: steady, Events: rolls, Also: nobodys}),
		wait(Scenario{Name: "somebody's roll that fails", Want: rolledBack, Events: rolls, Behave: behave{{Family: Web, NoCapacity: true}}, Own: true, Also: nobodys, Request: within(20 * minute)}),
		wait(Scenario{Name: "somebody's roll that takes long", Want: timedOut, Events: rolls, Behave: behave{{Family: Web, HealthyAfter: d(30 * minute)}}, Request: within(minute), Own: true, Also: nobodys}),
		wait(Scenario{Name: "interrupted", Want: interrupted, Events: rolls, SignalOn: "ecs:DescribeServices", SignalAt: 3, Own: true, Also: nobodys}),
		wait(Scenario{Name: "a service that is not there", Want: refused, Request: func(r *release.Request) { r.Services = []string{"nobody"} }}),
		scale(4, Scenario{Name: "more tasks", Want: steady, Request: onlyWeb, Also: append(nobodys, runs(Web, 4))}),
		scale(1, Scenario{Name: "fewer tasks", Want: steady, Request: onlyWeb, Also: append(nobodys, runs(Web, 1))}),
		scale(0, Scenario{Name: "none", Want: steady, Request: onlyWeb, Also: append(nobodys, runs(Web, 0))}),
		scale(2, Scenario{Name: "as many as there are", Want: steady, Request: onlyWeb, Also: append(nobodys, noCall("ecs:UpdateService"), runs(Web, 2))}),
		scale(3, Scenario{Name: "several services", Want: steady, Also: append(nobodys, runs(Web, 3), runs(Consumers, 3))}),
		scale(4, Scenario{Name: "no capacity", Want: timedOut, Request: both(onlyWeb, within(2*minute)), Behave: behave{{Family: Web, NoCapacity: true}}, Own: true, Also: nobodys}),
		scale(4, Scenario{Name: "during somebody's roll", Want: refused, Request: onlyWeb, Events: rolls, Own: true, Also: append(nobodys, ourCalls("ecs:UpdateService", 0))}),
		scale(4, Scenario{Name: "--dry-run", Want: planned, Request: both(onlyWeb, func(r *release.Request) { r.DryRun = true }), Also: checks(NothingChanged)}),
		scale(4, Scenario{Name: "not allowed to", Want: release.Broken, Request: onlyWeb, Faults: faults{always("ecs:UpdateService", awssim.Denied)}, Own: true, Also: nobodys}),
		scale(4, Scenario{Name: "the answer is lost", Want: steady, Request: onlyWeb, Faults: faults{{Op: "ecs:UpdateService", Kind: awssim.DropAfter, Nth: 1}}, Also: append(nobodys, runs(Web, 4))}),
	}
}

// runs wants so many tasks of a service, and no others.
func runs(service string, n int32) Check {
	return func(s *Stage, _ *release.Result) error {
		now, err := s.State()
		if err != nil {
			return err
		}
		if svc := now.Services[service]; svc.DesiredCount != n || svc.RunningCount != n {
			return fmt.Errorf("service %s runs %d of %d tasks, not %d", service, svc.RunningCount, svc.DesiredCount, n)
		}
		return nil
	}
}

// ServicesSteady wants one deployment of each service, with as many tasks as are wanted.
func ServicesSteady(s *Stage, _ *release.Result) error {
	now, err := s.State()
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range s.Request.Services {
		if svc := now.Services[name]; len(svc.Deployments) != 1 || svc.RunningCount != svc.DesiredCount || svc.PendingCount != 0 {
			errs = append(errs, fmt.Errorf("service %s is not steady: %d deployments, %d of %d tasks", name, len(svc.Deployments), svc.RunningCount, svc.DesiredCount))
		}
	}
	return errors.Join(errs...)
}
