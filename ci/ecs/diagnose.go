package ecs

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// Diagnosis is why a deployment failed, as far as AWS tells.
type Diagnosis struct {
	Service string `json:"service"`
	// Failures are the deployment's stopped tasks, those that stopped the same
	// way counted together, the commonest first.
	Failures []TaskFailure `json:"failures,omitempty"`
	Events   []Event       `json:"events,omitempty"` // that speak of failure
	Note     string        `json:"note,omitempty"`   // what could not be read
}

// TaskFailure is one way in which tasks of a deployment stopped.
type TaskFailure struct {
	Count      int            `json:"count"`
	Task       string         `json:"task"` // ARN of the last one
	StopCode   string         `json:"stopCode,omitempty"`
	Reason     string         `json:"reason"`
	Containers []ContainerEnd `json:"containers,omitempty"`
	// Lines are the last lines of the containers that failed.
	Lines map[string][]LogLine `json:"lines,omitempty"`
}

// Diagnoser finds out why a deployment failed.
type Diagnoser struct {
	API    TaskLister
	Logs   LogsAPI
	Caller *Caller
}

const (
	diagnosedKinds = 3  // ways of stopping whose logs are read
	diagnosedLines = 10 // of each log
)

var failureWords = regexp.MustCompile(`(?i)unable|fail|unhealthy|error|insufficient|stopped|deregistered|rolling back|cannot|denied|no container instance`)

// taskIDs are the parts of a reason that differ from task to task.
var taskIDs = regexp.MustCompile(`[0-9a-f]{16,}|[0-9]{1,3}(\.[0-9]{1,3}){3}|\b(i|eni|port)[- ][0-9a-f]+`)

// Diagnose looks at the tasks of one deployment that have stopped since it
// began. Containers are those of its revision.
func (d *Diagnoser) Diagnose(ctx context.Context, cluster string, o Outcome, containers []types.ContainerDefinition) Diagnosis {
	diag := Diagnosis{Service: o.Service}
	for _, e := range o.Events {
		if failureWords.MatchString(e.Message) {
			diag.Events = append(diag.Events, e)
		}
	}
	tasks, err := d.stopped(ctx, cluster, o)
	if err != nil {
		diag.Note = fmt.Sprintf("the stopped tasks cannot be read: %v", err)
		return diag
	}
	essential := Essential(containers)
	kinds := map[string]int{}
	for _, t := range tasks {
		f := TaskFailure{
			Count: 1, Task: aws.ToString(t.TaskArn), StopCode: string(t.StopCode),
			Reason: aws.ToString(t.StoppedReason), Containers: containerEnds(&t, essential),
		}
		key := taskIDs.ReplaceAllString(f.Reason, "…")
		for _, c := range f.Containers {
			key += "|" + taskIDs.ReplaceAllString(c.String(), "…")
		}
		if i, ok := kinds[key]; ok {
			diag.Failures[i].Count++
			continue
		}
		kinds[key] = len(diag.Failures)
		diag.Failures = append(diag.Failures, f)
	}
	slices.SortStableFunc(diag.Failures, func(a, b TaskFailure) int { return b.Count - a.Count })
	for i := range diag.Failures {
		if i == diagnosedKinds {
			break
		}
		d.readLogs(ctx, &diag.Failures[i], containers)
	}
	return diag
}

// stopped lists the deployment's tasks that stopped by themselves, the latest
// first. ECS remembers a stopped task for about an hour.
func (d *Diagnoser) stopped(ctx context.Context, cluster string, o Outcome) ([]types.Task, error) {
	all, err := ListTasks(ctx, d.API, d.Caller, awsecs.ListTasksInput{
		Cluster: aws.String(cluster), ServiceName: aws.String(o.Service), DesiredStatus: types.DesiredStatusStopped,
	})
	if err != nil {
		return nil, err
	}
	var ours []types.Task
	for _, t := range all {
		if aws.ToString(t.StartedBy) != o.Deployment {
			continue
		}
		if at := aws.ToTime(t.StoppingAt); !at.IsZero() && at.Before(o.Since) {
			continue
		}
		// What ECS stopped on our behalf, to scale in or to roll back, is no cause.
		if t.StopCode == types.TaskStopCodeServiceSchedulerInitiated && !failureWords.MatchString(aws.ToString(t.StoppedReason)) {
			continue
		}
		ours = append(ours, t)
	}
	slices.SortStableFunc(ours, func(a, b types.Task) int {
		return aws.ToTime(b.StoppingAt).Compare(aws.ToTime(a.StoppingAt))
	})
	return ours, nil
}

func (d *Diagnoser) readLogs(ctx context.Context, f *TaskFailure, containers []types.ContainerDefinition) {
	for _, c := range containers {
		name := aws.ToString(c.Name)
		i := slices.IndexFunc(f.Containers, func(e ContainerEnd) bool { return e.Name == name })
		if i < 0 || (f.Containers[i].ExitCode != nil && *f.Containers[i].ExitCode == 0 && f.Containers[i].Health != string(types.HealthStatusUnhealthy)) {
			continue
		}
		stream, ok := LogStreamOf(c, f.Task)
		if !ok {
			continue
		}
		lines, err := lastLines(ctx, d.Logs, d.Caller.Within(10*time.Second), stream, diagnosedLines)
		if err != nil || len(lines) == 0 {
			continue
		}
		if f.Lines == nil {
			f.Lines = map[string][]LogLine{}
		}
		f.Lines[name] = lines
	}
}

// String prints the diagnosis for a person.
func (d Diagnosis) String() string {
	var b strings.Builder
	for _, f := range d.Failures {
		times := ""
		if f.Count > 1 {
			times = fmt.Sprintf(" (%d tasks)", f.Count)
		}
		fmt.Fprintf(&b, "%s: task %s stopped%s: %s\n", d.Service, TaskID(f.Task), times, f.Reason)
		for _, c := range f.Containers {
			fmt.Fprintf(&b, "  %s\n", c)
			for _, l := range f.Lines[c.Name] {
				fmt.Fprintf(&b, "    | %s\n", l.Text)
			}
		}
	}
	for _, e := range d.Events {
		fmt.Fprintf(&b, "%s: %s %s\n", d.Service, e.At.UTC().Format(time.TimeOnly), e.Message)
	}
	if d.Note != "" {
		fmt.Fprintf(&b, "%s: %s\n", d.Service, d.Note)
	}
	return b.String()
}
