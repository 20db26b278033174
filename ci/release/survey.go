package release

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/magecloudkit/pipeline/ci/ecs"
)

// work is one operation on its way: how it reaches AWS, what it is about, and what
// there will be to say of it.
type work struct {
	*session
	plan
	res *Result
}

// survey finds out what there is. It changes nothing.
type survey struct {
	work
	// moves is what every repository of the store's own moves to: by path while it
	// comes from another cluster, then by repository, registry included.
	moves map[string]ecs.Move
	// settingsOnly: a way back that changes settings and not the build.
	settingsOnly bool
	toldSo       bool // that AWS cannot be reached
}

func (r *Releaser) survey(verb string, req Request) *survey {
	s := r.session()
	return &survey{work: work{session: s, plan: plan{req: req.withDefaults()}, res: &Result{
		Verb: verb, Cluster: req.Cluster, Build: req.Build, By: req.By, Started: s.clock.Now(), Steps: []Step{}, State: []string{},
	}}}
}

// refuse reports what a release must not go on with, and what to do about it; warn
// what it can.
func (v *survey) refuse(subject, do, format string, args ...any) {
	v.find(SeverityError, subject, do, format, args...)
}

func (v *survey) warn(subject, do, format string, args ...any) {
	v.find(SeverityWarning, subject, do, format, args...)
}

func (v *survey) find(s Severity, subject, do, format string, args ...any) {
	if v.unreachable != nil {
		// Whatever cannot be read now has the same reason.
		if v.toldSo {
			return
		}
		v.toldSo = true
		s, subject, do = SeverityError, "AWS", "check the network, the region and the credentials"
		format, args = "cannot be reached: %v", []any{v.unreachable}
	}
	f := Finding{Severity: s, Subject: subject, Message: fmt.Sprintf(format, args...), Do: do}
	v.res.Findings = append(v.res.Findings, f)
	level := LevelWarning
	if s == SeverityError {
		level = LevelError
	}
	v.note(level, "%s: %s%s", f.Subject, f.Message, parenthesis(f.Do))
}

func (v *survey) refused() bool {
	for _, f := range v.res.Findings {
		if f.Severity == SeverityError {
			return true
		}
	}
	return false
}

// outcome is the preflight's: nil if nothing stands in the way.
func (v *survey) outcome(ctx context.Context) error {
	if ctx.Err() != nil {
		return halt(Interrupted, sayInterrupted)
	}
	n := 0
	first := ""
	for _, f := range v.res.Findings {
		if f.Severity == SeverityError {
			if n++; n == 1 {
				first = f.Subject + ": " + f.Message
			}
		}
	}
	switch n {
	case 0:
		return nil
	case 1:
		return halt(Refused, sayNothingChanged, first)
	}
	return halt(Refused, sayMoreNothingChanged, first, n-1)
}

// look reads the cluster, the services, cron, and their task definitions.
func (v *survey) look(ctx context.Context) error {
	v.whoami(ctx)
	v.readCluster(ctx, v.req.Cluster)
	services := v.readServices(ctx, v.req.Cluster, v.req.Services)
	if v.req.WaitForDeployment {
		var err error
		if services, err = v.waitForQuiet(ctx, services); err != nil {
			return err
		}
	}
	for _, name := range v.req.Services {
		svc, ok := services[name]
		if !ok {
			continue
		}
		p := &service{name: name, svc: svc}
		p.res = ServiceResult{Service: name, Before: aws.ToString(svc.TaskDefinition), Runs: aws.ToString(svc.TaskDefinition)}
		p.prior = aws.ToString(svc.TaskDefinition)
		base := p.prior
		if v.req.Latest {
			base = ecs.Family(base)
		}
		p.rev = v.revision(ctx, base, "service "+name)
		v.services = append(v.services, p)
	}
	v.readCron(ctx)
	if ctx.Err() != nil {
		return halt(Interrupted, sayInterrupted)
	}
	return nil
}

// whoami asks AWS who we are, for the record. Not to be allowed to know is no
// obstacle.
func (v *survey) whoami(ctx context.Context) {
	if v.req.By != "" || v.STS == nil {
		return
	}
	out, err := ask(ctx, v.session, "STS", "GetCallerIdentity", func(ctx context.Context) (*sts.GetCallerIdentityOutput, error) {
		return v.STS.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	})
	if err != nil {
		v.warn("credentials", "", sayCallerUnknown, err)
		return
	}
	v.req.By = aws.ToString(out.Arn)
}

func (v *survey) readCluster(ctx context.Context, name string) {
	subject := "cluster " + name
	cluster, err := v.describeCluster(ctx, name)
	switch {
	case err != nil && ecs.Denied(err):
		v.warn(subject, doAllowDescribeClusters, sayClusterUnknown, err)
	case err != nil:
		v.refuse(subject, "", sayUnread, err)
	case cluster == nil:
		v.refuse(subject, doCheckCluster, sayClusterMissing)
	case aws.ToString(cluster.Status) != "ACTIVE":
		v.refuse(subject, "", sayNotActive, aws.ToString(cluster.Status))
	}
}

// readServices returns those of the services that can be released to.
func (v *survey) readServices(ctx context.Context, cluster string, names []string) map[string]types.Service {
	services, failures, err := v.describeServices(ctx, cluster, names)
	if err != nil {
		v.refuse("services "+strings.Join(names, ", "), "", sayUnread, err)
		return nil
	}
	for _, name := range names {
		subject := "service " + name
		svc, ok := services[name]
		controller := types.DeploymentControllerTypeEcs
		if ok && svc.DeploymentController != nil {
			controller = svc.DeploymentController.Type
		}
		switch {
		case !ok:
			reason := "does not exist"
			for _, f := range failures {
				if strings.HasSuffix(aws.ToString(f.Arn), "/"+name) && aws.ToString(f.Reason) != "MISSING" {
					reason = aws.ToString(f.Reason)
				}
			}
			v.refuse(subject, doCheckService, sayInCluster, reason, cluster)
		case aws.ToString(svc.Status) != "ACTIVE":
			v.refuse(subject, "", sayNotActive, aws.ToString(svc.Status))
		case controller != types.DeploymentControllerTypeEcs:
			v.refuse(subject, doControllersTools, sayOtherController, controller)
		default:
			continue
		}
		delete(services, name)
	}
	return services
}

// waitForQuiet waits until no service has a deployment in progress.
func (v *survey) waitForQuiet(ctx context.Context, services map[string]types.Service) (map[string]types.Service, error) {
	deadline := v.clock.Now().Add(v.req.Timeout)
	told := false
	for {
		var busy []string
		for name, s := range services {
			if inProgress(&s) {
				busy = append(busy, name)
			}
		}
		if len(busy) == 0 {
			return services, nil
		}
		slices.Sort(busy)
		if !told {
			v.note(LevelInfo, sayWaiting, strings.Join(busy, ", "))
			told = true
		}
		now := v.clock.Now()
		if !now.Before(deadline) {
			return services, nil // checkDeployments refuses
		}
		if err := v.clock.Sleep(ctx, min(ecs.PollLast, deadline.Sub(now))); err != nil {
			return nil, halt(Interrupted, sayInterruptedInWait)
		}
		again, _, err := v.describeServices(ctx, v.req.Cluster, v.req.Services)
		if err != nil {
			v.note(LevelWarning, "%v", err)
			continue
		}
		services = again
	}
}

// revision reads a task definition, once. Nil means that it cannot be read;
// that has been reported then.
func (v *survey) revision(ctx context.Context, name, user string) *revision {
	for _, p := range v.revs {
		if p.arn() == name {
			if !slices.Contains(p.users, user) {
				p.users = append(p.users, user)
			}
			return p
		}
	}
	out, err := v.describeTaskDefinition(ctx, name)
	if err != nil {
		v.refuse(user, "", sayTaskDefinitionUnread, ecs.RevisionName(name), err)
		return nil
	}
	base, err := registration(out)
	if err != nil {
		v.refuse(user, "", "%v", err)
		return nil
	}
	p := &revision{users: []string{user}, before: out, base: base}
	for _, q := range v.revs {
		if q.arn() == p.arn() {
			q.users = append(q.users, user)
			return q
		}
	}
	v.revs = append(v.revs, p)
	return p
}
