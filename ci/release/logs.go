package release

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/magecloudkit/pipeline/ci/ecs"
)

// LogsWanted says which lines of the services' containers are wanted.
type LogsWanted struct {
	Since     time.Duration // ago
	Follow    bool          // until the context ends
	Build     string        // of tasks of this build alone; empty: of any
	Container string        // of this container alone; empty: of all
}

// LogEntry is a line with where it comes from.
type LogEntry struct {
	At        time.Time `json:"at"`
	Service   string    `json:"service"`
	Build     string    `json:"build,omitempty"`
	Task      string    `json:"task"`
	Container string    `json:"container"`
	Text      string    `json:"text"`
}

// logsEvery is how often logs that are followed are looked at. CloudWatch Logs has its lines after some seconds.
const logsEvery = 3 * time.Second

// Logs hands the lines of all containers of the services, of tasks that run and of those that have stopped within the last
// hour, to print: in the order of their time, as far as they are read together.
func (r *Releaser) Logs(ctx context.Context, req Request, want LogsWanted, print func(LogEntry)) *Result {
	req.CronRules = nil
	v := r.survey("logs", req)
	end := v.perform(ctx, v.res, []step{{"logs", func(ctx context.Context) error {
		if err := v.forTask(ctx); err != nil {
			return err
		}
		l := &logs{survey: v, want: want, since: v.clock.Now().Add(-want.Since), readers: map[string]*reader{}}
		return l.read(ctx, print)
	}}})
	if end != nil && end.verdict != Finished {
		return v.finish(v.res, end.verdict, end.reason)
	}
	return v.finish(v.res, Finished, "")
}

// logs reads the logs of services.
type logs struct {
	*survey
	want    LogsWanted
	since   time.Time
	readers map[string]*reader // by task and container; nil: it has no log that can be read
}

type reader struct {
	*ecs.LogReader
	from   LogEntry // without a line
	failed bool     // which was said
}

func (l *logs) read(ctx context.Context, print func(LogEntry)) error {
	for {
		if err := l.find(ctx); err != nil {
			return l.ended(ctx, err)
		}
		for _, e := range l.lines(ctx) {
			print(e)
		}
		if !l.want.Follow || ctx.Err() != nil {
			return nil
		}
		if err := l.clock.Sleep(ctx, logsEvery); err != nil {
			return nil // whoever follows a log ends it
		}
	}
}

// ended is the end of a look that failed: nobody who ends following a log is told of an error.
func (l *logs) ended(ctx context.Context, err error) error {
	if l.want.Follow && ctx.Err() != nil {
		return nil
	}
	return err
}

// find looks for containers whose log is not read yet.
func (l *logs) find(ctx context.Context) error {
	for _, p := range l.services {
		for _, status := range []types.DesiredStatus{types.DesiredStatusRunning, types.DesiredStatusStopped} {
			tasks, err := l.listTasks(ctx, awsecs.ListTasksInput{Cluster: aws.String(l.req.Cluster), ServiceName: aws.String(p.name), DesiredStatus: status})
			if err != nil {
				return err
			}
			for _, t := range tasks {
				l.add(ctx, p.name, t)
			}
		}
	}
	return nil
}

// add begins to read a task's logs.
func (l *logs) add(ctx context.Context, service string, t types.Task) {
	arn := aws.ToString(t.TaskArn)
	for _, c := range t.Containers {
		key := arn + " " + aws.ToString(c.Name)
		if _, ok := l.readers[key]; ok {
			continue
		}
		l.readers[key] = nil
		rev := l.revision(ctx, aws.ToString(t.TaskDefinitionArn), "task "+ecs.TaskID(arn))
		if rev == nil || rev.before == nil {
			continue
		}
		build := l.runningBuild(rev)
		if l.want.Build != "" && build != l.want.Build || l.want.Container != "" && aws.ToString(c.Name) != l.want.Container {
			continue
		}
		i := slices.IndexFunc(rev.before.TaskDefinition.ContainerDefinitions, func(d types.ContainerDefinition) bool { return aws.ToString(d.Name) == aws.ToString(c.Name) })
		if i < 0 {
			continue
		}
		stream, ok := ecs.LogStreamOf(rev.before.TaskDefinition.ContainerDefinitions[i], arn)
		if !ok {
			l.note(LevelWarning, sayNoLog, ecs.TaskID(arn), aws.ToString(c.Name))
			continue
		}
		l.readers[key] = &reader{
			LogReader: ecs.NewLogReader(l.Logs, l.caller, stream, l.since),
			from:      LogEntry{Service: service, Build: build, Task: ecs.TaskID(arn), Container: aws.ToString(c.Name)},
		}
	}
}

// lines are those that have come since the last look.
func (l *logs) lines(ctx context.Context) []LogEntry {
	var all []LogEntry
	for _, r := range l.readers {
		if r == nil {
			continue
		}
		lines, err := r.Next(ctx)
		if err != nil && ctx.Err() == nil && !r.failed {
			r.failed = true
			l.note(LevelWarning, sayLogUnread, r.from.Task, r.from.Container, err)
		}
		for _, line := range lines {
			e := r.from
			e.At, e.Text = line.At, line.Text
			all = append(all, e)
		}
	}
	slices.SortStableFunc(all, func(a, b LogEntry) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Task, b.Task), cmp.Compare(a.Container, b.Container))
	})
	return all
}
