package release

import (
	"context"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/magecloudkit/pipeline/ci/ecs"
)

// ExecTarget is a container that runs, and that ECS Exec is enabled for.
type ExecTarget struct {
	Cluster, Task string // ARN of the task
	Container     string
	RuntimeID     string
}

// Session is what session-manager-plugin calls the target.
func (t ExecTarget) Session() string {
	return fmt.Sprintf("ecs:%s_%s_%s", t.Cluster, ecs.TaskID(t.Task), t.RuntimeID)
}

// ExecTarget finds a container of the first service: of the task with this id or, without one, of the youngest.
func (r *Releaser) ExecTarget(ctx context.Context, req Request, task string) (ExecTarget, *Result) {
	req.Services, req.CronRules = req.Services[:1], nil
	v := r.survey("exec", req)
	var found ExecTarget
	end := v.perform(ctx, v.res, []step{{"exec", func(ctx context.Context) (err error) {
		if err := v.forTask(ctx); err != nil {
			return err
		}
		found, err = v.execTarget(ctx, task)
		return err
	}}})
	if end != nil && end.verdict != Finished {
		return found, v.finish(v.res, end.verdict, end.reason)
	}
	return found, v.finish(v.res, Finished, "")
}

func (v *survey) execTarget(ctx context.Context, id string) (ExecTarget, error) {
	web := v.services[0]
	tasks, err := v.listTasks(ctx, awsecs.ListTasksInput{Cluster: aws.String(v.req.Cluster), ServiceName: aws.String(web.name)})
	if err != nil {
		return ExecTarget{}, halt(Broken, "%v", err)
	}
	tasks = slices.DeleteFunc(tasks, func(t types.Task) bool {
		return aws.ToString(t.LastStatus) != "RUNNING" || id != "" && ecs.TaskID(aws.ToString(t.TaskArn)) != id
	})
	if len(tasks) == 0 {
		return ExecTarget{}, halt(Refused, sayNoTaskRuns, web.name, parenthesis(id))
	}
	slices.SortFunc(tasks, func(a, b types.Task) int { return aws.ToTime(b.StartedAt).Compare(aws.ToTime(a.StartedAt)) })
	t := tasks[0]
	if !t.EnableExecuteCommand {
		return ExecTarget{}, halt(Refused, sayExecOff, ecs.TaskID(aws.ToString(t.TaskArn)), web.name, v.req.Cluster, web.name)
	}
	td, err := v.describeTaskDefinition(ctx, aws.ToString(t.TaskDefinitionArn))
	if err != nil {
		return ExecTarget{}, halt(Broken, "%v", err)
	}
	name, err := taskContainer(v.req.TaskContainer, td.TaskDefinition.ContainerDefinitions, v.own)
	if err != nil {
		return ExecTarget{}, halt(Refused, "%v", err)
	}
	i := slices.IndexFunc(t.Containers, func(c types.Container) bool { return aws.ToString(c.Name) == name })
	if i < 0 || aws.ToString(t.Containers[i].RuntimeId) == "" {
		return ExecTarget{}, halt(Refused, sayContainerNotUp, ecs.TaskID(aws.ToString(t.TaskArn)), name)
	}
	return ExecTarget{Cluster: v.req.Cluster, Task: aws.ToString(t.TaskArn), Container: name, RuntimeID: aws.ToString(t.Containers[i].RuntimeId)}, nil
}
