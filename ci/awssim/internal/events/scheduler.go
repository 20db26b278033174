package events

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"
	"github.com/aws/aws-sdk-go-v2/service/scheduler/types"

	"github.com/magecloudkit/pipeline/ci/awssim/internal/kernel"
	"github.com/magecloudkit/pipeline/ci/awssim/internal/wire"
)

// Scheduler is Amazon EventBridge Scheduler, after https://docs.aws.amazon.com/scheduler/latest/APIReference/. Schedules
// start the tasks of their target at whole minutes, like rules. Left out: one-time schedules (kept, never carried out),
// time zones, flexible windows, retries, dead-letter queues, encryption and tags.
type Scheduler struct {
	Service *wire.Service

	k         *kernel.Kernel
	tasks     Tasks
	groups    map[string]time.Time // when they were made
	schedules *wire.Table[schedule]
}

type schedule struct {
	scheduler.GetScheduleOutput
}

// ScheduleSpec is what CreateSchedule takes.
type ScheduleSpec = wire.Shape[scheduler.CreateScheduleInput]

// NewScheduler returns a scheduler without a schedule.
func NewScheduler(k *kernel.Kernel, tasks Tasks) *Scheduler {
	b := &Scheduler{k: k, tasks: tasks, groups: map[string]time.Time{defaultGroup: k.Start}, schedules: &wire.Table[schedule]{
		Rows: map[string]*schedule{},
		Missing: func(id string) *wire.Error {
			return wire.Errf("ResourceNotFoundException", "Schedule %s does not exist.", id[strings.Index(id, "/")+1:])
		},
	}}
	s := &wire.Service{Name: "scheduler", Protocol: wire.REST, State: func() any { return b.schedules.Names() },
		Routes: map[string]string{
			"CreateSchedule": "POST /schedules/{Name}", "GetSchedule": "GET /schedules/{Name}", "UpdateSchedule": "PUT /schedules/{Name}",
			"DeleteSchedule": "DELETE /schedules/{Name}", "ListSchedules": "GET /schedules",
			"CreateScheduleGroup": "POST /schedule-groups/{Name}", "ListScheduleGroups": "GET /schedule-groups",
		},
		Renamed: map[string]string{"groupName": "GroupName", "clientToken": "ClientToken", "ScheduleGroup": "GroupName"}}
	b.Service = s
	wire.Handle(s, "CreateSchedule", func(c *wire.Call, in *scheduler.CreateScheduleInput) (*scheduler.CreateScheduleOutput, error) {
		if err := checkStart(c, in.StartDate); err != nil {
			return nil, err
		}
		return b.createSchedule(c, in)
	})
	wire.Get(s, "GetSchedule", b.schedules, func(in *scheduler.GetScheduleInput) *string { return key(in.GroupName, in.Name) },
		func(_ *wire.Call, row *schedule, _ *scheduler.GetScheduleInput) (*scheduler.GetScheduleOutput, error) {
			return new(row.GetScheduleOutput), nil
		})
	wire.Get(s, "UpdateSchedule", b.schedules, func(in *scheduler.UpdateScheduleInput) *string { return key(in.GroupName, in.Name) }, b.updateSchedule)
	wire.Get(s, "DeleteSchedule", b.schedules, func(in *scheduler.DeleteScheduleInput) *string { return key(in.GroupName, in.Name) },
		func(_ *wire.Call, row *schedule, _ *scheduler.DeleteScheduleInput) (*scheduler.DeleteScheduleOutput, error) {
			delete(b.schedules.Rows, *key(row.GroupName, row.Name))
			return &scheduler.DeleteScheduleOutput{}, nil
		})
	wire.Handle(s, "ListSchedules", b.listSchedules)
	wire.Handle(s, "CreateScheduleGroup", b.createScheduleGroup)
	wire.Handle(s, "ListScheduleGroups", b.listScheduleGroups)
	return b
}

const defaultGroup = "default"

// key is under which a schedule is kept: names are of their group.
func key(group, name *string) *string {
	g := aws.ToString(group)
	if g == "" {
		g = defaultGroup
	}
	return aws.String(g + "/" + aws.ToString(name))
}

// Build makes schedules, and their groups.
func (b *Scheduler) Build(c *wire.Call, specs []ScheduleSpec) error {
	for _, spec := range specs {
		in := new(scheduler.CreateScheduleInput)
		if err := wire.DecodeJSON(wire.EncodeJSON(&spec.Value), in); err != nil { // a copy: the world keeps what it is given
			return err
		}
		if g := aws.ToString(in.GroupName); g != "" {
			b.groups[g] = c.Now
		}
		if _, err := b.createSchedule(c, in); err != nil {
			return fmt.Errorf("schedule %s: %w", aws.ToString(in.Name), err)
		}
	}
	return nil
}

// expression is what a schedule may say, at(…) included.
var expression = regexp.MustCompile(`^(rate\([1-9][0-9]* (minute|minutes|hour|hours|day|days)\)|cron\(\S+ \S+ \S+ \S+ \S+ \S+\)|at\(\S+\))$`)

func checkSchedule(expr *string, window *types.FlexibleTimeWindow, t *types.Target) error {
	switch {
	case expr == nil || !expression.MatchString(*expr):
		return wire.Errf("ValidationException", "Invalid Schedule Expression %s.", aws.ToString(expr))
	case window == nil:
		return wire.ModelError("null", "flexibleTimeWindow", "Member must not be null")
	case t == nil || aws.ToString(t.Arn) == "" || aws.ToString(t.RoleArn) == "":
		return wire.ModelError("null", "target", "Member must have an arn and a roleArn")
	case strings.Contains(*t.Arn, ":cluster/") && (t.EcsParameters == nil || aws.ToString(t.EcsParameters.TaskDefinitionArn) == ""):
		return wire.Errf("ValidationException", "EcsParameters is required for target %s.", *t.Arn)
	}
	return nil
}

// checkStart refuses a start that has been, as AWS does of an update too.
func checkStart(c *wire.Call, start *time.Time) error {
	if start != nil && start.Before(c.Now.Add(-5*time.Minute)) {
		return wire.Errf("ValidationException", "The StartDate you specify cannot be earlier than 5 minutes ago.")
	}
	return nil
}

func (b *Scheduler) createSchedule(c *wire.Call, in *scheduler.CreateScheduleInput) (*scheduler.CreateScheduleOutput, error) {
	if !ruleName.MatchString(aws.ToString(in.Name)) {
		return nil, wire.ModelError(aws.ToString(in.Name), "name", `Member must satisfy regular expression pattern: [0-9a-zA-Z-_.]+`)
	}
	k := *key(in.GroupName, in.Name)
	group, _, _ := strings.Cut(k, "/")
	if _, ok := b.groups[group]; !ok {
		return nil, wire.Errf("ResourceNotFoundException", "Schedule group %s does not exist.", group)
	}
	if b.schedules.Rows[k] != nil {
		return nil, wire.Errf("ConflictException", "Schedule %s already exists.", *in.Name)
	}
	if err := checkSchedule(in.ScheduleExpression, in.FlexibleTimeWindow, in.Target); err != nil {
		return nil, err
	}
	row := &schedule{scheduler.GetScheduleOutput{
		Arn: aws.String(b.k.ARN("scheduler", "schedule/"+k)), Name: in.Name, GroupName: &group, CreationDate: &c.Now, LastModificationDate: &c.Now,
		Description: in.Description, FlexibleTimeWindow: in.FlexibleTimeWindow, ScheduleExpression: in.ScheduleExpression,
		ScheduleExpressionTimezone: in.ScheduleExpressionTimezone, State: in.State, Target: in.Target,
		StartDate: in.StartDate, EndDate: in.EndDate, KmsKeyArn: in.KmsKeyArn, ActionAfterCompletion: in.ActionAfterCompletion,
	}}
	if row.State == "" {
		row.State = types.ScheduleStateEnabled
	}
	b.schedules.Rows[k] = row
	return &scheduler.CreateScheduleOutput{ScheduleArn: row.Arn}, nil
}

// updateSchedule: what it leaves out goes back to its default, as in AWS.
func (b *Scheduler) updateSchedule(c *wire.Call, row *schedule, in *scheduler.UpdateScheduleInput) (*scheduler.UpdateScheduleOutput, error) {
	if err := checkSchedule(in.ScheduleExpression, in.FlexibleTimeWindow, in.Target); err != nil {
		return nil, err
	}
	if err := checkStart(c, in.StartDate); err != nil {
		return nil, err
	}
	row.LastModificationDate, row.Description, row.FlexibleTimeWindow, row.ScheduleExpression = &c.Now, in.Description, in.FlexibleTimeWindow, in.ScheduleExpression
	row.ScheduleExpressionTimezone, row.State, row.Target = in.ScheduleExpressionTimezone, in.State, in.Target
	row.StartDate, row.EndDate, row.KmsKeyArn, row.ActionAfterCompletion = in.StartDate, in.EndDate, in.KmsKeyArn, in.ActionAfterCompletion
	if row.State == "" {
		row.State = types.ScheduleStateEnabled
	}
	return &scheduler.UpdateScheduleOutput{ScheduleArn: row.Arn}, nil
}

func (b *Scheduler) listSchedules(_ *wire.Call, in *scheduler.ListSchedulesInput) (*scheduler.ListSchedulesOutput, error) {
	found := []types.ScheduleSummary{}
	for _, row := range b.schedules.Sorted() {
		if in.GroupName != nil && *in.GroupName != *row.GroupName || in.State != "" && in.State != row.State || !strings.HasPrefix(*row.Name, aws.ToString(in.NamePrefix)) {
			continue
		}
		found = append(found, types.ScheduleSummary{
			Arn: row.Arn, Name: row.Name, GroupName: row.GroupName, CreationDate: row.CreationDate, LastModificationDate: row.LastModificationDate,
			State: row.State, Target: &types.TargetSummary{Arn: row.Target.Arn},
		})
	}
	page, next, err := wire.Cut(pages, found, in.MaxResults, in.NextToken)
	return &scheduler.ListSchedulesOutput{Schedules: page, NextToken: next}, err
}

func (b *Scheduler) createScheduleGroup(c *wire.Call, in *scheduler.CreateScheduleGroupInput) (*scheduler.CreateScheduleGroupOutput, error) {
	n := aws.ToString(in.Name)
	if _, ok := b.groups[n]; ok {
		return nil, wire.Errf("ConflictException", "Schedule group %s already exists.", n)
	}
	b.groups[n] = c.Now
	return &scheduler.CreateScheduleGroupOutput{ScheduleGroupArn: aws.String(b.k.ARN("scheduler", "schedule-group/"+n))}, nil
}

func (b *Scheduler) listScheduleGroups(_ *wire.Call, in *scheduler.ListScheduleGroupsInput) (*scheduler.ListScheduleGroupsOutput, error) {
	found := []types.ScheduleGroupSummary{}
	for _, n := range slices.Sorted(maps.Keys(b.groups)) {
		if strings.HasPrefix(n, aws.ToString(in.NamePrefix)) {
			found = append(found, types.ScheduleGroupSummary{
				Name: aws.String(n), Arn: aws.String(b.k.ARN("scheduler", "schedule-group/"+n)), State: types.ScheduleGroupStateActive, CreationDate: aws.Time(b.groups[n]),
			})
		}
	}
	page, next, err := wire.Cut(pages, found, in.MaxResults, in.NextToken)
	return &scheduler.ListScheduleGroupsOutput{ScheduleGroups: page, NextToken: next}, err
}

// Start has the schedules fire from now on, at whole minutes.
func (b *Scheduler) Start() {
	b.k.At(b.k.Now.Truncate(time.Minute).Add(time.Minute), func() {
		for _, row := range b.schedules.Sorted() {
			if row.State == types.ScheduleStateEnabled && due(aws.ToString(row.ScheduleExpression), b.k.Now) {
				b.fire(row)
			}
		}
		b.Start()
	})
}

// fire starts the tasks of a schedule's target. What RunTask refuses is a failed invocation, of which only a metric tells.
func (b *Scheduler) fire(row *schedule) {
	p := row.Target.EcsParameters
	if p == nil {
		return
	}
	in := &ecs.RunTaskInput{
		Cluster: row.Target.Arn, TaskDefinition: p.TaskDefinitionArn, Count: p.TaskCount, Group: p.Group, LaunchType: ecstypes.LaunchType(p.LaunchType),
		PlatformVersion: p.PlatformVersion, StartedBy: new(fmt.Sprintf("chronos-schedule/%.19s", *row.Name)),
	}
	if n := p.NetworkConfiguration; n != nil && n.AwsvpcConfiguration != nil {
		in.NetworkConfiguration = &ecstypes.NetworkConfiguration{AwsvpcConfiguration: &ecstypes.AwsVpcConfiguration{
			Subnets: n.AwsvpcConfiguration.Subnets, SecurityGroups: n.AwsvpcConfiguration.SecurityGroups,
			AssignPublicIp: ecstypes.AssignPublicIp(n.AwsvpcConfiguration.AssignPublicIp),
		}}
	}
	for _, c := range p.CapacityProviderStrategy {
		in.CapacityProviderStrategy = append(in.CapacityProviderStrategy, ecstypes.CapacityProviderStrategyItem{CapacityProvider: c.CapacityProvider, Base: c.Base, Weight: c.Weight})
	}
	if row.Target.Input != nil {
		in.Overrides = new(ecstypes.TaskOverride)
		if wire.DecodeJSON([]byte(*row.Target.Input), in.Overrides) != nil {
			return
		}
	}
	_, _ = b.tasks.Run(in)
}
