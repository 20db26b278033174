package rehearse

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	ebtypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"

	"github.com/magecloudkit/pipeline/ci/awssim"
	"github.com/magecloudkit/pipeline/ci/ecs"
	"github.com/magecloudkit/pipeline/ci/release"
)

// State is what a world looks like from inside, without faults and delays.
type State struct {
	Services  map[string]types.Service
	Tasks     []types.Task // that have not stopped
	Rules     map[string]ebtypes.RuleState
	Targets   map[string][]ebtypes.Target
	Schedules map[string]scheduler.GetScheduleOutput // GROUP/NAME, and NAME of the default group
	Revisions map[string]int                         // by family: the newest
	Facts     map[string]string
	Calls     int
}

// State looks at the world.
func (s *Stage) State() (State, error) {
	st := State{
		Services: map[string]types.Service{}, Rules: map[string]ebtypes.RuleState{}, Targets: map[string][]ebtypes.Target{}, Schedules: map[string]scheduler.GetScheduleOutput{},
		Revisions: map[string]int{}, Facts: s.World.Facts(), Calls: len(s.World.Calls()),
	}
	cluster := aws.String(s.Request.Cluster)
	listed, err := awssim.Do[awsecs.ListServicesOutput](s.World, "ecs:ListServices", &awsecs.ListServicesInput{Cluster: cluster, MaxResults: aws.Int32(100)})
	if err == nil { // a cluster that does not exist has none
		for chunk := range slices.Chunk(listed.ServiceArns, ecs.ServicesPerCall) {
			out, err := awssim.Do[awsecs.DescribeServicesOutput](s.World, "ecs:DescribeServices", &awsecs.DescribeServicesInput{Cluster: cluster, Services: chunk})
			if err != nil {
				return st, err
			}
			for _, svc := range out.Services {
				st.Services[aws.ToString(svc.ServiceName)] = svc
			}
		}
	}
	tasks, err := awssim.Do[awsecs.ListTasksOutput](s.World, "ecs:ListTasks", &awsecs.ListTasksInput{Cluster: cluster})
	if err == nil {
		for chunk := range slices.Chunk(tasks.TaskArns, 100) {
			out, err := awssim.Do[awsecs.DescribeTasksOutput](s.World, "ecs:DescribeTasks", &awsecs.DescribeTasksInput{Cluster: cluster, Tasks: chunk})
			if err != nil {
				return st, err
			}
			st.Tasks = append(st.Tasks, out.Tasks...)
		}
	}
	rules, err := awssim.Do[eventbridge.ListRulesOutput](s.World, "events:ListRules", &eventbridge.ListRulesInput{})
	if err != nil {
		return st, err
	}
	for _, r := range rules.Rules {
		name := aws.ToString(r.Name)
		st.Rules[name] = r.State
		out, err := awssim.Do[eventbridge.ListTargetsByRuleOutput](s.World, "events:ListTargetsByRule", &eventbridge.ListTargetsByRuleInput{Rule: r.Name})
		if err != nil {
			return st, err
		}
		st.Targets[name] = out.Targets
	}
	if err := s.schedules(st.Schedules); err != nil {
		return st, err
	}
	defs, err := awssim.Do[awsecs.ListTaskDefinitionsOutput](s.World, "ecs:ListTaskDefinitions", &awsecs.ListTaskDefinitionsInput{})
	if err != nil {
		return st, err
	}
	for _, a := range defs.TaskDefinitionArns {
		st.Revisions[ecs.Family(a)]++
	}
	return st, nil
}

// schedules adds the schedules that there are.
func (s *Stage) schedules(to map[string]scheduler.GetScheduleOutput) error {
	listed, err := awssim.Do[scheduler.ListSchedulesOutput](s.World, "scheduler:ListSchedules", &scheduler.ListSchedulesInput{})
	if err != nil {
		return err
	}
	for _, one := range listed.Schedules {
		out, err := awssim.Do[scheduler.GetScheduleOutput](s.World, "scheduler:GetSchedule", &scheduler.GetScheduleInput{Name: one.Name, GroupName: one.GroupName})
		if err != nil {
			return err
		}
		name := aws.ToString(one.GroupName) + "/" + aws.ToString(one.Name)
		to[strings.TrimPrefix(name, "default/")] = *out
	}
	return nil
}

func (st State) primary(service string) types.Deployment {
	for _, d := range st.Services[service].Deployments {
		if aws.ToString(d.Status) == "PRIMARY" {
			return d
		}
	}
	return types.Deployment{}
}

// revision reads a task definition from inside.
func (s *Stage) revision(name string) (*awsecs.DescribeTaskDefinitionOutput, error) {
	return awssim.Do[awsecs.DescribeTaskDefinitionOutput](s.World, "ecs:DescribeTaskDefinition", &awsecs.DescribeTaskDefinitionInput{
		TaskDefinition: &name, Include: []types.TaskDefinitionField{types.TaskDefinitionFieldTags},
	})
}

// verdictChecks are those that belong to a verdict.
func verdictChecks(v release.Verdict) []Check {
	switch v {
	case release.Released:
		return []Check{ServicesRunBuild, CronRunsBuild, CronAsBefore, NoTaskLeft}
	case release.Returned:
		return []Check{ServicesRunResult, CronRunsResult, CronAsBefore, NoTaskLeft}
	case release.Refused:
		return []Check{NothingChanged}
	case release.MigrationFailed:
		return []Check{ServicesUntouched, CronUntouched, CronAsBefore, NoTaskLeft}
	case release.Paused:
		return []Check{CronUntouched, CronAsBefore, NoTaskLeft, stillInProgress}
	case release.Steady:
		return []Check{ServicesSteady, CronUntouched, CronAsBefore, NoTaskLeft}
	case release.Installed, release.InstallFailed:
		return []Check{ServicesUntouched, CronUntouched, CronAsBefore, NoTaskLeft, revisionsAsBefore}
	case release.RolledBack:
		return []Check{ServicesRunBefore, CronUntouched, CronAsBefore, NoTaskLeft}
	case release.NotRolledBack:
		return []Check{SomeServiceIsNotBack, CronUntouched, CronAsBefore}
	case release.TimedOut:
		return []Check{CronUntouched, CronAsBefore}
	case release.Superseded:
		return []Check{SomebodyElseRules, CronUntouched, CronAsBefore}
	case release.Interrupted:
		return []Check{CronAsBefore}
	case release.Incomplete:
		return []Check{ServicesRunBuild, CronAsBefore}
	}
	return nil
}

// ServicesRunBuild wants every service complete on the build, sidecars as they
// were.
func ServicesRunBuild(s *Stage, _ *release.Result) error { return s.run(s.Request.Build) }

// ServicesRunResult wants every service complete on the build that the result
// speaks of.
func ServicesRunResult(s *Stage, r *release.Result) error { return s.run(r.Build) }

func (s *Stage) run(build string) error {
	now, err := s.State()
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range s.Request.Services {
		svc := now.Services[name]
		d := now.primary(name)
		if len(svc.Deployments) != 1 || d.RunningCount != svc.DesiredCount || (d.RolloutState != "" && d.RolloutState != types.DeploymentRolloutStateCompleted) {
			errs = append(errs, fmt.Errorf("service %s is not steady: %d deployments, %s, %d of %d running", name, len(svc.Deployments), d.RolloutState, d.RunningCount, svc.DesiredCount))
		}
		errs = append(errs, s.carries(aws.ToString(d.TaskDefinition), build))
		for _, t := range now.Tasks {
			if aws.ToString(t.Group) == "service:"+name && aws.ToString(t.TaskDefinitionArn) != aws.ToString(d.TaskDefinition) {
				errs = append(errs, fmt.Errorf("service %s still runs a task of %s", name, ecs.RevisionName(aws.ToString(t.TaskDefinitionArn))))
			}
		}
	}
	return errors.Join(errs...)
}

// carries wants a revision with the build's images for the store's own
// containers, and every other image as in the revision before.
func (s *Stage) carries(revision, build string) error {
	td, err := s.revision(revision)
	if err != nil {
		return err
	}
	if got := ecs.Tag(td.Tags, release.TagBuild); got != build && (got != "" || build != Running) {
		return fmt.Errorf("%s says that it is build %q, not %s", ecs.RevisionName(revision), got, build)
	}
	for _, c := range td.TaskDefinition.ContainerDefinitions {
		ref, err := ecs.ParseReference(aws.ToString(c.Image))
		if err != nil {
			return err
		}
		own := strings.HasPrefix(ref.Path, "magecloudkit/") || ref.InAny(s.Request.Repositories)
		if own && ref.Digest == "" && ref.Tag != build {
			return fmt.Errorf("%s runs %s, not build %s", ecs.RevisionName(revision), ref, build)
		}
		if !own && ref.Tag == build {
			return fmt.Errorf("%s has sidecar %s retagged", ecs.RevisionName(revision), ref)
		}
	}
	return nil
}

// ServicesRunBefore wants every service steady on what it ran before.
func ServicesRunBefore(s *Stage, _ *release.Result) error {
	now, err := s.State()
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range s.Request.Services {
		svc, d := now.Services[name], now.primary(name)
		was := aws.ToString(s.Start.Services[name].TaskDefinition)
		if aws.ToString(d.TaskDefinition) != was {
			errs = append(errs, fmt.Errorf("service %s runs %s, not %s", name, ecs.RevisionName(aws.ToString(d.TaskDefinition)), ecs.RevisionName(was)))
		}
		if d.RolloutState != types.DeploymentRolloutStateCompleted && d.RolloutState != "" || d.RunningCount != svc.DesiredCount {
			errs = append(errs, fmt.Errorf("service %s is not steady: %s, %d of %d running", name, d.RolloutState, d.RunningCount, svc.DesiredCount))
		}
	}
	return errors.Join(errs...)
}

// SomeServiceIsNotBack wants at least one service that is not steady on what
// it ran before.
func SomeServiceIsNotBack(s *Stage, r *release.Result) error {
	if ServicesRunBefore(s, r) == nil {
		return errors.New("every service is back to what it ran before")
	}
	return nil
}

// ServicesUntouched wants the very deployments that there were before.
func ServicesUntouched(s *Stage, _ *release.Result) error {
	now, err := s.State()
	if err != nil {
		return err
	}
	var errs []error
	for name := range s.Start.Services {
		if was, is := aws.ToString(s.Start.primary(name).Id), aws.ToString(now.primary(name).Id); was != is {
			errs = append(errs, fmt.Errorf("service %s was touched: deployment %s instead of %s", name, is, was))
		}
	}
	return errors.Join(errs...)
}

// mutating are the calls that change something that somebody could notice.
func mutating(op string) bool {
	for _, p := range []string{"Update", "Register", "Deregister", "Run", "Put", "Enable", "Disable", "Stop", "Delete", "Create", "Tag", "Untag"} {
		if _, name, _ := strings.Cut(op, ":"); strings.HasPrefix(name, p) {
			return true
		}
	}
	return false
}

// NothingChanged wants no changing call of ours at all.
func NothingChanged(s *Stage, _ *release.Result) error {
	for _, c := range s.World.Calls()[s.Start.Calls:] {
		if mutating(c.Op) && !strings.HasSuffix(c.Caller, awssim.SomebodyElse) {
			return fmt.Errorf("%s was called", c.Op)
		}
	}
	return nil
}

// CronUntouched wants the targets that there were before.
func CronUntouched(s *Stage, _ *release.Result) error {
	now, err := s.State()
	if err != nil {
		return err
	}
	if !reflect.DeepEqual(s.Start.Targets, now.Targets) {
		return errors.New("cron's targets were changed")
	}
	for name, was := range s.Start.Schedules {
		if is := now.Schedules[name]; !reflect.DeepEqual(was.Target, is.Target) {
			return fmt.Errorf("the target of schedule %s was changed", name)
		}
	}
	return nil
}

// CronAsBefore wants every rule enabled or disabled as it was.
func CronAsBefore(s *Stage, _ *release.Result) error {
	now, err := s.State()
	if err != nil {
		return err
	}
	for name, was := range s.Start.Rules {
		if is := now.Rules[name]; is != was {
			return fmt.Errorf("rule %s is %s, not %s", name, is, was)
		}
	}
	for name, was := range s.Start.Schedules {
		is := now.Schedules[name]
		if is.State != was.State {
			return fmt.Errorf("schedule %s is %s, not %s", name, is.State, was.State)
		}
		if err := sameSchedule(was, is); err != nil {
			return err
		}
	}
	return nil
}

// CronRunsBuild wants every ECS target on the build, with everything else of
// it as it was.
func CronRunsBuild(s *Stage, _ *release.Result) error { return s.cronRuns(s.Request.Build) }

// CronRunsResult wants the same of the build that the result speaks of.
func CronRunsResult(s *Stage, r *release.Result) error { return s.cronRuns(r.Build) }

func (s *Stage) cronRuns(build string) error {
	now, err := s.State()
	if err != nil {
		return err
	}
	for _, rule := range s.Request.CronRules {
		for i, t := range now.Targets[rule] {
			was := s.Start.Targets[rule][i]
			if t.EcsParameters == nil {
				continue
			}
			if err := s.carries(aws.ToString(t.EcsParameters.TaskDefinitionArn), build); err != nil {
				return fmt.Errorf("rule %s: %w", rule, err)
			}
			p := *t.EcsParameters
			p.TaskDefinitionArn = was.EcsParameters.TaskDefinitionArn
			t.EcsParameters = &p
			if !reflect.DeepEqual(t, was) {
				return fmt.Errorf("rule %s: more than the revision of target %s was changed", rule, aws.ToString(t.Id))
			}
		}
	}
	for _, name := range s.Request.Schedules {
		is := now.Schedules[name]
		if is.Target == nil || is.Target.EcsParameters == nil {
			return fmt.Errorf("schedule %s runs no task", name)
		}
		if err := s.carries(aws.ToString(is.Target.EcsParameters.TaskDefinitionArn), build); err != nil {
			return fmt.Errorf("schedule %s: %w", name, err)
		}
		if err := sameSchedule(s.Start.Schedules[name], is); err != nil {
			return err
		}
	}
	return nil
}

// NoTaskLeft wants no one-off task running.
func NoTaskLeft(s *Stage, _ *release.Result) error {
	s.pass(30 * time.Second) // what was stopped takes a moment to end
	now, err := s.State()
	if err != nil {
		return err
	}
	for _, t := range now.Tasks {
		if strings.HasPrefix(aws.ToString(t.StartedBy), "mck/") {
			return fmt.Errorf("task %s, started by %s, still runs", ecs.TaskID(aws.ToString(t.TaskArn)), aws.ToString(t.StartedBy))
		}
	}
	return nil
}

// SomebodyElseRules wants a service whose primary deployment is neither ours
// nor the one before.
func SomebodyElseRules(s *Stage, r *release.Result) error {
	now, err := s.State()
	if err != nil {
		return err
	}
	for _, svc := range r.Services {
		id := aws.ToString(now.primary(svc.Service).Id)
		if id != svc.Deployment && id != aws.ToString(s.Start.primary(svc.Service).Id) {
			return nil
		}
	}
	return errors.New("no service has a deployment of somebody else's")
}

// InTime wants the end of every deployment seen within one poll.
func InTime(s *Stage, r *release.Result) error {
	var errs []error
	for _, svc := range r.Services {
		if !svc.Moved || !svc.Verdict.Done() {
			continue
		}
		out, err := awssim.Do[awsecs.ListServiceDeploymentsOutput](s.World, "ecs:ListServiceDeployments", &awsecs.ListServiceDeploymentsInput{
			Cluster: aws.String(s.Request.Cluster), Service: aws.String(svc.Service),
		})
		if err != nil {
			return err
		}
		for _, d := range out.ServiceDeployments {
			if d.Status != types.ServiceDeploymentStatusSuccessful || svc.Verdict != ecs.Completed || d.FinishedAt == nil || d.FinishedAt.After(svc.Ended) || d.FinishedAt.Before(svc.Started) {
				continue
			}
			if late := svc.Ended.Sub(*d.FinishedAt); late > ecs.PollLast*11/10 {
				errs = append(errs, fmt.Errorf("service %s: the end was seen after %s", svc.Service, late))
			}
		}
	}
	return errors.Join(errs...)
}

// pass lets time go by.
func (s *Stage) pass(d time.Duration) {
	if c, ok := s.World.Clock().(*awssim.VirtualClock); ok {
		c.Advance(d)
	}
}
