package ecs

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// TaskAPI runs tasks.
type TaskAPI interface {
	TaskLister
	RunTask(context.Context, *awsecs.RunTaskInput, ...func(*awsecs.Options)) (*awsecs.RunTaskOutput, error)
	StopTask(context.Context, *awsecs.StopTaskInput, ...func(*awsecs.Options)) (*awsecs.StopTaskOutput, error)
}

// TaskVerdict is how a one-off task ended. The set is closed.
type TaskVerdict string

const (
	// TaskSucceeded says that the command's container ended with exit code 0.
	TaskSucceeded TaskVerdict = "succeeded"
	// TaskExited says that the command ended with another exit code.
	TaskExited TaskVerdict = "exited"
	// TaskKilled says that a signal ended the command, and not for want of memory.
	TaskKilled TaskVerdict = "killed"
	// TaskOutOfMemory says that the kernel killed the command for want of memory.
	TaskOutOfMemory TaskVerdict = "out of memory"
	// TaskNotPlaced says that AWS found no place for the task, so it never existed.
	TaskNotPlaced TaskVerdict = "not placed"
	// TaskNotStarted says that the task was placed and its containers never ran.
	TaskNotStarted TaskVerdict = "failed to start"
	// TaskNoExitCode says that the task stopped and ECS has no exit code for the
	// command. It is not known how far it got.
	TaskNoExitCode TaskVerdict = "no exit code"
	// TaskSidecarFailed says that the command's container ended with exit code 0, and
	// another essential container failed. Which of the two ended the task is
	// not known, so neither is whether the command was done.
	TaskSidecarFailed TaskVerdict = "another essential container failed"
	// TaskTimedOut says that it was still running when the time was up. It was stopped.
	TaskTimedOut TaskVerdict = "timed out"
	// TaskInterrupted says that nobody is waiting for it any more. It runs on.
	TaskInterrupted TaskVerdict = "interrupted"
	// TaskUnknown says that AWS could not be asked, or its answer made no sense.
	TaskUnknown TaskVerdict = "unknown"
)

// TaskVerdicts are all that there are.
func TaskVerdicts() []TaskVerdict {
	return []TaskVerdict{
		TaskSucceeded, TaskExited, TaskKilled, TaskOutOfMemory, TaskNotPlaced, TaskNotStarted,
		TaskNoExitCode, TaskSidecarFailed, TaskTimedOut, TaskInterrupted, TaskUnknown,
	}
}

// Placement is how a service runs its tasks: a one-off task that is to reach
// the same database must run the same way.
type Placement struct {
	LaunchType               types.LaunchType
	CapacityProviderStrategy []types.CapacityProviderStrategyItem
	PlatformVersion          *string
	NetworkConfiguration     *types.NetworkConfiguration
	PlacementConstraints     []types.PlacementConstraint
	EnableECSManagedTags     bool
}

// PlacementOf takes a service's network and launch settings.
func PlacementOf(svc types.Service) Placement {
	p := Placement{
		LaunchType:               svc.LaunchType,
		CapacityProviderStrategy: svc.CapacityProviderStrategy,
		PlatformVersion:          svc.PlatformVersion,
		NetworkConfiguration:     svc.NetworkConfiguration,
		PlacementConstraints:     svc.PlacementConstraints,
		EnableECSManagedTags:     svc.EnableECSManagedTags,
	}
	// ECS refuses both at once; a service with a strategy reports either.
	if len(p.CapacityProviderStrategy) > 0 {
		p.LaunchType = ""
	}
	return p
}

// OneOff is a task that runs one command and ends.
type OneOff struct {
	Cluster        string
	TaskDefinition string // ARN or family:revision
	Containers     []types.ContainerDefinition
	Container      string // that runs the command
	Command        []string
	Env            []types.KeyValuePair // for that container
	Placement      Placement
	// StartedBy marks the task, so that a later run finds it. ECS allows 128
	// characters.
	StartedBy string
	// ClientToken makes a repeated RunTask give back the same task.
	ClientToken string
	Timeout     time.Duration
}

// ContainerEnd is how one container of a task ended.
type ContainerEnd struct {
	Name      string `json:"name"`
	Essential bool   `json:"essential"`
	ExitCode  *int32 `json:"exitCode,omitempty"`
	Reason    string `json:"reason,omitempty"`
	Health    string `json:"health,omitempty"`
}

func (c ContainerEnd) String() string {
	s := c.Name + ": "
	if c.ExitCode != nil {
		s += fmt.Sprintf("exit code %d", *c.ExitCode)
	} else {
		s += "no exit code"
	}
	if c.Reason != "" {
		s += " (" + c.Reason + ")"
	}
	if c.Health == string(types.HealthStatusUnhealthy) {
		s += ", unhealthy"
	}
	return s
}

// TaskEnd is how a one-off task ended, and what was seen of it.
type TaskEnd struct {
	ARN        string         `json:"arn,omitempty"`
	Verdict    TaskVerdict    `json:"verdict"`
	ExitCode   *int32         `json:"exitCode,omitempty"` // of the command
	Reason     string         `json:"reason,omitempty"`
	Containers []ContainerEnd `json:"containers,omitempty"`
	LastLines  []LogLine      `json:"lastLines,omitempty"`
	LogNote    string         `json:"logNote,omitempty"` // why there is no log
	Adopted    bool           `json:"adopted,omitempty"` // it was running already
	Started    time.Time      `json:"started"`
	Ended      time.Time      `json:"ended"`
}

// Runner runs one-off tasks.
type Runner struct {
	API    TaskAPI
	Logs   LogsAPI
	Caller *Caller
	Clock  Clock
	// Log is given the command's log as it comes. It may be nil.
	Log func(LogLine)
	// Status is told when the task's state changes. It may be nil.
	Status func(taskARN, status string)
}

// keptLines is how much of a log a TaskEnd keeps.
const keptLines = 20

// Poll intervals of a one-off task: shorter than a rollout's, because its log
// is read along.
const (
	taskPollFirst = 3 * time.Second
	taskPollLast  = 10 * time.Second
)

// Run starts the task and waits for its end. When ctx ends, the task is left
// to run and the verdict is TaskInterrupted.
func (r *Runner) Run(ctx context.Context, o OneOff) TaskEnd {
	end := TaskEnd{Started: r.Clock.Now()}
	in := &awsecs.RunTaskInput{
		Cluster:                  aws.String(o.Cluster),
		TaskDefinition:           aws.String(o.TaskDefinition),
		Count:                    aws.Int32(1),
		LaunchType:               o.Placement.LaunchType,
		CapacityProviderStrategy: o.Placement.CapacityProviderStrategy,
		PlatformVersion:          o.Placement.PlatformVersion,
		NetworkConfiguration:     o.Placement.NetworkConfiguration,
		PlacementConstraints:     o.Placement.PlacementConstraints,
		EnableECSManagedTags:     o.Placement.EnableECSManagedTags,
		StartedBy:                aws.String(o.StartedBy),
		Overrides: &types.TaskOverride{ContainerOverrides: []types.ContainerOverride{{
			Name: aws.String(o.Container), Command: o.Command, Environment: o.Env,
		}}},
	}
	kind := Once
	if o.ClientToken != "" {
		in.ClientToken = aws.String(o.ClientToken)
		kind = Repeatable
	}
	out, err := Call(ctx, r.Caller, "RunTask", kind, func(ctx context.Context) (*awsecs.RunTaskOutput, error) {
		return r.API.RunTask(ctx, in)
	})
	switch {
	case err != nil && ctx.Err() != nil:
		return r.end(end, TaskInterrupted, fmt.Sprintf("the task may have been started: %v", err))
	case Unknown(err):
		return r.end(end, TaskUnknown, err.Error())
	case err != nil:
		return r.end(end, TaskNotPlaced, err.Error())
	}
	// AWS answers 200 and lists here what it could not do.
	if len(out.Tasks) == 0 {
		reasons := make([]string, len(out.Failures))
		for i, f := range out.Failures {
			reasons[i] = strings.TrimSpace(fmt.Sprintf("%s %s (%s)", aws.ToString(f.Reason), aws.ToString(f.Detail), aws.ToString(f.Arn)))
		}
		if len(reasons) == 0 {
			reasons = []string{"AWS started no task and gave no reason"}
		}
		return r.end(end, TaskNotPlaced, strings.Join(reasons, "; "))
	}
	end.ARN = aws.ToString(out.Tasks[0].TaskArn)
	return r.wait(ctx, o, end)
}

// Adopt waits for the end of a task that is running already.
func (r *Runner) Adopt(ctx context.Context, o OneOff, taskARN string) TaskEnd {
	return r.wait(ctx, o, TaskEnd{ARN: taskARN, Adopted: true, Started: r.Clock.Now()})
}

// Running finds the tasks that were marked with startedBy and have not stopped.
func (r *Runner) Running(ctx context.Context, cluster, startedBy string) ([]types.Task, error) {
	tasks, err := ListTasks(ctx, r.API, r.Caller, awsecs.ListTasksInput{Cluster: aws.String(cluster), StartedBy: aws.String(startedBy)})
	if err != nil {
		return nil, err
	}
	var running []types.Task
	for _, t := range tasks {
		if aws.ToString(t.LastStatus) != "STOPPED" {
			running = append(running, t)
		}
	}
	return running, nil
}

// tasksPerCall is how many tasks one DescribeTasks takes.
const tasksPerCall = 100

// TaskLister finds tasks.
type TaskLister interface {
	ListTasks(context.Context, *awsecs.ListTasksInput, ...func(*awsecs.Options)) (*awsecs.ListTasksOutput, error)
	DescribeTasks(context.Context, *awsecs.DescribeTasksInput, ...func(*awsecs.Options)) (*awsecs.DescribeTasksOutput, error)
}

// ListTasks lists the tasks that the input asks for, all pages, and describes
// them.
func ListTasks(ctx context.Context, api TaskLister, caller *Caller, in awsecs.ListTasksInput) ([]types.Task, error) {
	var arns []string
	for {
		out, err := Call(ctx, caller, "ListTasks", Repeatable, func(ctx context.Context) (*awsecs.ListTasksOutput, error) {
			return api.ListTasks(ctx, &in)
		})
		if err != nil {
			return nil, err
		}
		arns = append(arns, out.TaskArns...)
		if in.NextToken = out.NextToken; in.NextToken == nil {
			return describeTasks(ctx, api, caller, aws.ToString(in.Cluster), arns)
		}
	}
}

func describeTasks(ctx context.Context, api TaskLister, caller *Caller, cluster string, arns []string) ([]types.Task, error) {
	var tasks []types.Task
	for len(arns) > 0 {
		n := min(len(arns), tasksPerCall)
		out, err := Call(ctx, caller, "DescribeTasks", Repeatable, func(ctx context.Context) (*awsecs.DescribeTasksOutput, error) {
			return api.DescribeTasks(ctx, &awsecs.DescribeTasksInput{Cluster: aws.String(cluster), Tasks: arns[:n]})
		})
		if err != nil {
			return nil, err
		}
		tasks = append(tasks, out.Tasks...)
		arns = arns[n:]
	}
	return tasks, nil
}

// waiting is what is known of a task that is waited for.
type waiting struct {
	OneOff
	end      TaskEnd
	log      *tail
	deadline time.Time
	status   string // last seen
	missing  int    // looks in a row that did not find it
	task     *types.Task
	err      error // of the last look
}

func (r *Runner) wait(ctx context.Context, o OneOff, end TaskEnd) TaskEnd {
	w := &waiting{OneOff: o, end: end, deadline: r.Clock.Now().Add(o.Timeout)}
	r.openLog(w)
	interval := taskPollFirst
	for {
		r.look(ctx, w)
		now := r.Clock.Now()
		if end, done := r.settled(ctx, w, now); done {
			return end
		}
		if err := r.Clock.Sleep(ctx, min(interval, max(w.deadline.Sub(now), 0))); err != nil {
			continue // ctx ended: one last look
		}
		interval = min(interval+interval/4, taskPollLast)
	}
}

// openLog finds the log of the command's container.
func (r *Runner) openLog(w *waiting) {
	for _, c := range w.Containers {
		if aws.ToString(c.Name) != w.Container {
			continue
		}
		if s, ok := LogStreamOf(c, w.end.ARN); ok {
			w.log = &tail{api: r.Logs, caller: r.Caller.Within(0), stream: s}
		} else {
			w.end.LogNote = fmt.Sprintf("container %s does not log to CloudWatch with a stream prefix, so its log cannot be shown", w.Container)
		}
	}
}

// look looks at the task once, and at its log.
func (r *Runner) look(ctx context.Context, w *waiting) {
	var tasks []types.Task
	w.task = nil
	tasks, w.err = describeTasks(ctx, r.API, r.Caller.Within(0), w.Cluster, []string{w.end.ARN})
	switch {
	case len(tasks) == 1:
		w.task, w.missing = &tasks[0], 0
		if s := aws.ToString(w.task.LastStatus); s != w.status {
			w.status = s
			if r.Status != nil {
				r.Status(w.end.ARN, s)
			}
		}
	case w.err == nil:
		// Not visible yet, or forgotten an hour after its end.
		w.missing++
	}
	switch w.status {
	case "", "PROVISIONING", "PENDING": // no container has run yet
	default:
		r.read(ctx, w.log, &w.end, w.status == "STOPPED")
	}
}

// settled reports whether the wait is over, and how it ended.
func (r *Runner) settled(ctx context.Context, w *waiting, now time.Time) (TaskEnd, bool) {
	id := TaskID(w.end.ARN)
	switch {
	case w.task != nil && w.status == "STOPPED":
		// The agent sends the last lines while the task stops.
		if w.log != nil && len(w.end.LastLines) == 0 && ctx.Err() == nil && r.Clock.Sleep(ctx, taskPollFirst) == nil {
			r.read(ctx, w.log, &w.end, true)
		}
		return r.judge(w.OneOff, w.end, w.task), true
	case ctx.Err() != nil:
		return r.end(w.end, TaskInterrupted, fmt.Sprintf("nobody waits for task %s any more; it runs on", id)), true
	case w.missing > 10:
		return r.end(w.end, TaskUnknown, fmt.Sprintf("ECS does not know task %s", id)), true
	case Expired(w.err) || Denied(w.err):
		return r.end(w.end, TaskUnknown, fmt.Sprintf("task %s can no longer be looked at: %v; it may still be running", id, w.err)), true
	case !now.Before(w.deadline):
		return r.end(w.end, TaskTimedOut, r.stopLate(ctx, w)), true
	}
	return TaskEnd{}, false
}

// stopLate stops a task whose time is up, and tells what became of it.
func (r *Runner) stopLate(ctx context.Context, w *waiting) string {
	reason := fmt.Sprintf("still %s after %s", strings.ToLower(w.status), w.Timeout)
	if w.err != nil {
		reason += fmt.Sprintf("; the last look failed: %v", w.err)
	}
	_, err := Call(ctx, r.Caller, "StopTask", Repeatable, func(ctx context.Context) (*awsecs.StopTaskOutput, error) {
		return r.API.StopTask(ctx, &awsecs.StopTaskInput{
			Cluster: aws.String(w.Cluster), Task: aws.String(w.end.ARN), Reason: aws.String("mck: " + reason),
		})
	})
	if err != nil {
		return reason + fmt.Sprintf("; it could not be stopped: %v", err)
	}
	return reason + "; it was stopped"
}

func (r *Runner) read(ctx context.Context, log *tail, end *TaskEnd, all bool) {
	if log == nil || ctx.Err() != nil {
		return
	}
	lines, err := log.next(ctx, all)
	if err != nil && Denied(err) && !log.told {
		log.told = true
		end.LogNote = fmt.Sprintf("the log cannot be read: %v", err)
	}
	for _, l := range lines {
		if r.Log != nil {
			r.Log(l)
		}
	}
	end.LastLines = append(end.LastLines, lines...)
	if n := len(end.LastLines); n > keptLines {
		end.LastLines = append([]LogLine(nil), end.LastLines[n-keptLines:]...)
	}
}

func (r *Runner) end(end TaskEnd, v TaskVerdict, reason string) TaskEnd {
	end.Verdict, end.Reason, end.Ended = v, reason, r.Clock.Now()
	return end
}

// commandAmong picks the container that ran the command, and says what is wrong with
// the first other essential one that failed; "": none did.
func commandAmong(ends []ContainerEnd, name string) (command ContainerEnd, failed string) {
	for _, c := range ends {
		switch {
		case c.Name == name:
			command = c
		case c.Essential && failed == "" && failedByItself(c):
			failed = c.String()
		}
	}
	return command, failed
}

// judge draws the verdict from a stopped task.
func (r *Runner) judge(o OneOff, end TaskEnd, task *types.Task) TaskEnd {
	end.Containers = containerEnds(task, Essential(o.Containers))
	command, first := commandAmong(end.Containers, o.Container)
	reason := aws.ToString(task.StoppedReason)
	if command.Reason != "" {
		reason = joinReasons(reason, command.Reason)
	}
	end.ExitCode = command.ExitCode
	switch {
	// ECS says so too of a task whose command ended before a container that
	// waits for it to be healthy could start. The command did run then.
	case task.StopCode == types.TaskStopCodeTaskFailedToStart && command.ExitCode == nil:
		return r.end(end, TaskNotStarted, reason)
	case outOfMemory(command.Reason) || outOfMemory(aws.ToString(task.StoppedReason)):
		return r.end(end, TaskOutOfMemory, joinReasons(reason, "give the task more memory"))
	case command.ExitCode == nil:
		return r.end(end, TaskNoExitCode, joinReasons(reason, "ECS has no exit code for container "+o.Container))
	case *command.ExitCode == 0 && first != "":
		return r.end(end, TaskSidecarFailed, joinReasons(first, reason))
	case *command.ExitCode == 0:
		return r.end(end, TaskSucceeded, reason)
	case *command.ExitCode > 128:
		return r.end(end, TaskKilled, joinReasons(fmt.Sprintf("signal %d", *command.ExitCode-128), joinReasons(reason, first)))
	}
	return r.end(end, TaskExited, joinReasons(fmt.Sprintf("exit code %d", *command.ExitCode), joinReasons(reason, first)))
}

// failedByItself reports whether a container ended badly, other than by the
// signals with which ECS ends what is left of a task.
func failedByItself(c ContainerEnd) bool {
	const killed, terminated = 128 + 9, 128 + 15
	if outOfMemory(c.Reason) {
		return true
	}
	return c.ExitCode != nil && *c.ExitCode != 0 && *c.ExitCode != killed && *c.ExitCode != terminated
}

func joinReasons(a, b string) string {
	switch {
	case a == "" || strings.Contains(b, a):
		return b
	case b == "" || strings.Contains(a, b):
		return a
	}
	return a + "; " + b
}

func outOfMemory(reason string) bool { return strings.Contains(reason, "OutOfMemory") }

func containerEnds(task *types.Task, essential []string) []ContainerEnd {
	ends := make([]ContainerEnd, 0, len(task.Containers))
	for _, c := range task.Containers {
		e := ContainerEnd{Name: aws.ToString(c.Name), ExitCode: c.ExitCode, Reason: aws.ToString(c.Reason), Health: string(c.HealthStatus)}
		for _, n := range essential {
			e.Essential = e.Essential || n == e.Name
		}
		ends = append(ends, e)
	}
	return ends
}
