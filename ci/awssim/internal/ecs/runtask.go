package ecs

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/magecloudkit/pipeline/ci/awssim/internal/wire"
)

// runToken is what a client token of RunTask has started ("Ensuring idempotency").
type runToken struct {
	params []byte
	tasks  []*task
}

// again answers a call that comes with a token that was used.
func (r *runToken) again(token string, params []byte) (*ecs.RunTaskOutput, error) {
	if !bytes.Equal(r.params, params) {
		c := wire.Errf("ConflictException", "The clientToken %s was used before with other parameters.", token)
		ids := []string{}
		for _, t := range r.tasks {
			ids = append(ids, t.arn)
		}
		c.Fields = map[string]any{"resourceIds": ids}
		return nil, c
	}
	out := &ecs.RunTaskOutput{Tasks: []types.Task{}, Failures: []types.Failure{}}
	for _, t := range r.tasks {
		out.Tasks = append(out.Tasks, t.view())
	}
	return out, nil
}

// badRole returns a role of a task that ECS cannot assume; "" if there is none.
func (e *API) badRole(def *types.TaskDefinition, over *types.TaskOverride) string {
	roles := []*string{def.ExecutionRoleArn, def.TaskRoleArn}
	if over != nil && over.ExecutionRoleArn != nil {
		roles[0] = over.ExecutionRoleArn
	}
	if over != nil && over.TaskRoleArn != nil {
		roles[1] = over.TaskRoleArn
	}
	for _, r := range roles {
		if r != nil && !e.around.Roles.RoleExists(*r) {
			return *r
		}
	}
	return ""
}

func (e *API) runTask(_ *wire.Call, in *ecs.RunTaskInput) (*ecs.RunTaskOutput, error) {
	return e.Run(in)
}

// Run starts standalone tasks: RunTask, and whoever calls it for a user, as EventBridge does.
func (e *API) Run(in *ecs.RunTaskInput) (*ecs.RunTaskOutput, error) {
	cl, err := e.cluster(in.Cluster)
	if err != nil {
		return nil, err
	}
	out := &ecs.RunTaskOutput{Tasks: []types.Task{}, Failures: []types.Failure{}}
	token := value(in.ClientToken)
	params := wire.EncodeJSON(in)
	if before := e.tokens[token]; before != nil && token != "" {
		return before.again(token, params)
	}
	plan, err := e.planRun(cl, in)
	if err != nil {
		return nil, err
	}
	started := &runToken{params: params}
	for range plan.count {
		t := e.standalone(cl, plan, in)
		if no := t.place(); no != nil {
			f := types.Failure{Reason: &no.reason}
			if no.closest != nil {
				f.Arn = &no.closest.arn
			}
			out.Failures = append(out.Failures, f)
			continue
		}
		t.launchNow()
		started.tasks = append(started.tasks, t)
		out.Tasks = append(out.Tasks, t.view())
	}
	if token != "" {
		e.tokens[token] = started
	}
	return out, nil
}

// runPlan is what a RunTask comes to.
type runPlan struct {
	count    int32
	rev      *revision
	launch   types.LaunchType
	provider *string
	fargate  bool
}

// planRun settles what is to be run, and refuses what cannot be.
func (e *API) planRun(cl *cluster, in *ecs.RunTaskInput) (p runPlan, err error) {
	if p.count = orDefault(in.Count, 1); p.count < 1 || p.count > 10 {
		return p, wire.Errf("InvalidParameterException", "Count must be between 1 and 10.")
	}
	if p.rev, err = e.usable(in.TaskDefinition); err != nil {
		return p, err
	}
	if err := p.rev.checkRun(in); err != nil {
		return p, err
	}
	providers := in.CapacityProviderStrategy
	p.launch = in.LaunchType
	if p.launch == "" && len(providers) == 0 {
		providers = cl.strategy
	}
	if len(providers) > 0 {
		p.provider = providers[0].CapacityProvider
	} else if p.launch == "" {
		p.launch = types.LaunchTypeEc2
	}
	if p.fargate, err = e.checkLaunch(p.rev, p.launch, providers, in.NetworkConfiguration); err != nil {
		return p, err
	}
	if bad := e.badRole(&p.rev.def, in.Overrides); bad != "" {
		return p, wire.Errf("ClientException", "ECS was unable to assume the role '%s' that was provided for this task. Please verify that the role being passed has the proper trust relationship and permissions and that your IAM user has permissions to pass this role.", bad)
	}
	if !p.fargate && len(cl.instances) == 0 {
		return p, wire.Errf("InvalidParameterException", "No Container Instances were found in your cluster.")
	}
	return p, nil
}

// standalone makes a task of no service.
func (e *API) standalone(cl *cluster, p runPlan, in *ecs.RunTaskInput) *task {
	rev := p.rev
	t := e.newTask(cl, rev, in.Overrides, nil)
	t.launch, t.provider, t.network, t.execute, t.tags = p.launch, p.provider, in.NetworkConfiguration, in.EnableExecuteCommand, in.Tags
	if p.fargate {
		t.launch, t.platform = types.LaunchTypeFargate, in.PlatformVersion
	}
	if in.PropagateTags == types.PropagateTagsTaskDefinition {
		t.tags = mergeTags(rev.tags, in.Tags)
	}
	t.group, t.startedBy = value(in.Group), value(in.StartedBy)
	if t.group == "" {
		t.group = "family:" + *rev.def.Family
	}
	return t
}

// checkRun refuses what is wrong with what is said about tasks of a revision.
func (rev *revision) checkRun(in *ecs.RunTaskInput) error {
	if err := checkTags(in.Tags); err != nil {
		return err
	}
	if len(value(in.StartedBy)) > 128 {
		return wire.Errf("InvalidParameterException", "startedBy can be at most 128 characters long.")
	}
	if o := in.Overrides; o != nil {
		for _, c := range o.ContainerOverrides {
			if rev.container(value(c.Name)) == nil {
				return wire.Errf("InvalidParameterException", "Override for container named %s is not a container in the TaskDefinition.", value(c.Name))
			}
		}
		if n := len(wire.EncodeJSON(o)); n > 8192 {
			return wire.Errf("InvalidParameterException", "Container Overrides length must be at most 8192, and is %d.", n)
		}
	}
	return nil
}

func (e *API) stopTask(_ *wire.Call, in *ecs.StopTaskInput) (*ecs.StopTaskOutput, error) {
	cl, err := e.cluster(in.Cluster)
	if err != nil {
		return nil, err
	}
	t := cl.task(value(in.Task))
	if t == nil {
		return nil, wire.Errf("InvalidParameterException", "The referenced task was not found.")
	}
	reason := value(in.Reason)
	if reason == "" {
		reason = "Task stopped by user"
	}
	t.stop(types.TaskStopCodeUserInitiated, reason)
	return &ecs.StopTaskOutput{Task: new(t.view())}, nil
}

func (e *API) describeTasks(c *wire.Call, in *ecs.DescribeTasksInput) (*ecs.DescribeTasksOutput, error) {
	cl, err := e.cluster(in.Cluster)
	if err != nil {
		return nil, err
	}
	if len(in.Tasks) == 0 {
		return nil, wire.Errf("InvalidParameterException", "Tasks cannot be empty.")
	}
	if len(in.Tasks) > 100 {
		return nil, wire.Errf("InvalidParameterException", "Tasks cannot have more than 100 elements.")
	}
	out := &ecs.DescribeTasksOutput{Tasks: []types.Task{}, Failures: []types.Failure{}}
	for _, ref := range in.Tasks {
		if t := cl.task(ref); t != nil {
			if v, ok := t.history.At(c.At()); ok {
				v.Tags = []types.Tag{}
				if hasTags(in.Include) {
					v.Tags = append(v.Tags, t.tags...)
				}
				out.Tasks = append(out.Tasks, v)
				continue
			}
		}
		arn := ref
		if len(ref) == 32 {
			arn = e.k.ARN("ecs", fmt.Sprintf("task/%s/%s", cl.name, ref))
		}
		out.Failures = append(out.Failures, missing(arn))
	}
	return out, nil
}

// listed says whether a task passes the filters of ListTasks, but for its status.
func (t *task) listed(cl *cluster, in *ecs.ListTasksInput) bool {
	switch {
	case in.ServiceName != nil && (t.svc == nil || t.svc != cl.service(*in.ServiceName)),
		in.Family != nil && *t.rev.def.Family != *in.Family,
		in.StartedBy != nil && t.startedBy != *in.StartedBy,
		in.LaunchType != "" && t.launch != in.LaunchType,
		in.ContainerInstance != nil && (t.instance == nil || t.instance.arn != *in.ContainerInstance && t.instance.id != *in.ContainerInstance):
		return false
	}
	return true
}

// listTasks: without a desiredStatus it lists those meant to run, and with PENDING none (API_ListTasks).
func (e *API) listTasks(c *wire.Call, in *ecs.ListTasksInput) (*ecs.ListTasksOutput, error) {
	cl, err := e.cluster(in.Cluster)
	if err != nil {
		return nil, err
	}
	if in.ServiceName != nil && cl.service(*in.ServiceName) == nil {
		return nil, wire.Errf("ServiceNotFoundException", "Service not found.")
	}
	if in.DaemonName != nil {
		return nil, unsimulated("daemonName")
	}
	if in.StartedBy != nil && (in.Family != nil || in.ServiceName != nil) {
		return nil, wire.Errf("InvalidParameterException", "You cannot specify startedBy together with family or serviceName.")
	}
	want := string(in.DesiredStatus)
	if want == "" {
		want = "RUNNING"
	}
	var arns []string
	for _, t := range cl.tasks {
		if v, ok := t.history.At(c.At()); !ok || value(v.DesiredStatus) != want || !t.listed(cl, in) {
			continue
		}
		arns = append(arns, t.arn)
	}
	slices.Reverse(arns) // the youngest first
	arns, next, err := page(arns, in.NextToken, in.MaxResults, 100)
	if err != nil {
		return nil, err
	}
	return &ecs.ListTasksOutput{TaskArns: arns, NextToken: next}, nil
}
