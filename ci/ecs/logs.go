package ecs

import (
	"context"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// LogsAPI reads CloudWatch Logs.
type LogsAPI interface {
	GetLogEvents(context.Context, *cloudwatchlogs.GetLogEventsInput, ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.GetLogEventsOutput, error)
}

// LogStream is where one container of one task logs to.
type LogStream struct {
	Group  string
	Stream string
	Region string // empty: that of the task
}

// LogStreamOf says where a container's log goes. It cannot say for a log
// driver other than awslogs, nor without awslogs-stream-prefix: the stream is
// then named after the container's id on its host.
func LogStreamOf(c types.ContainerDefinition, taskARN string) (LogStream, bool) {
	l := c.LogConfiguration
	if l == nil || l.LogDriver != types.LogDriverAwslogs {
		return LogStream{}, false
	}
	group, prefix := l.Options["awslogs-group"], l.Options["awslogs-stream-prefix"]
	if group == "" || prefix == "" {
		return LogStream{}, false
	}
	return LogStream{
		Group:  group,
		Stream: prefix + "/" + aws.ToString(c.Name) + "/" + TaskID(taskARN),
		Region: l.Options["awslogs-region"],
	}, true
}

// TaskID is the last part of a task's ARN.
func TaskID(arn string) string { return LastPart(arn) }

// LastPart is the name at the end of an ARN, or a name.
func LastPart(arn string) string { return arn[strings.LastIndexByte(arn, '/')+1:] }

// tail reads a log stream from where it stopped before.
type tail struct {
	api    LogsAPI
	caller *Caller
	stream LogStream
	token  *string
	told   bool // that it cannot be read
	since  *int64
}

// LogReader reads a container's log on from where it stopped before.
type LogReader struct{ tail tail }

// NewLogReader reads a log from a time on.
func NewLogReader(api LogsAPI, caller *Caller, stream LogStream, since time.Time) *LogReader {
	return &LogReader{tail{api: api, caller: caller, stream: stream, since: aws.Int64(since.UnixMilli())}}
}

// Next returns the lines that have come since the last call. A log that does not exist (yet) has none.
func (r *LogReader) Next(ctx context.Context) ([]LogLine, error) { return r.tail.next(ctx, true) }

// LogLine is one line of a container's log.
type LogLine struct {
	At   time.Time `json:"at"`
	Text string    `json:"text"`
}

// maxPages bounds the pages that one look at a log reads, so that a container
// that logs without end does not keep a release from looking at the task.
const maxPages = 20

// next returns lines that have come since the last call, a page of them or,
// with all, what there is. A stream that does not exist (yet) has no lines.
func (t *tail) next(ctx context.Context, all bool) ([]LogLine, error) {
	var lines []LogLine
	for range maxPages {
		out, err := Call(ctx, t.caller, "GetLogEvents", Repeatable, func(ctx context.Context) (*cloudwatchlogs.GetLogEventsOutput, error) {
			return t.api.GetLogEvents(ctx, &cloudwatchlogs.GetLogEventsInput{
				LogGroupName: aws.String(t.stream.Group), LogStreamName: aws.String(t.stream.Stream),
				StartFromHead: aws.Bool(true), NextToken: t.token, StartTime: t.since,
			}, t.region)
		})
		if err != nil {
			if Code(err) == "ResourceNotFoundException" {
				return lines, nil
			}
			return lines, err
		}
		lines = append(lines, logLines(out)...)
		// The end of the stream gives back the token that was sent.
		end := out.NextForwardToken == nil || aws.ToString(out.NextForwardToken) == aws.ToString(t.token)
		if out.NextForwardToken != nil {
			t.token = out.NextForwardToken
		}
		if end || !all {
			return lines, nil
		}
	}
	return lines, nil
}

func logLines(out *cloudwatchlogs.GetLogEventsOutput) []LogLine {
	lines := make([]LogLine, 0, len(out.Events))
	for _, e := range out.Events {
		lines = append(lines, LogLine{
			At:   time.UnixMilli(aws.ToInt64(e.Timestamp)).UTC(),
			Text: strings.TrimRight(aws.ToString(e.Message), "\r\n"),
		})
	}
	return lines
}

func (t *tail) region(o *cloudwatchlogs.Options) {
	if t.stream.Region != "" {
		o.Region = t.stream.Region
	}
}

// lastLines reads the end of a log stream.
func lastLines(ctx context.Context, api LogsAPI, caller *Caller, s LogStream, n int32) ([]LogLine, error) {
	t := tail{stream: s}
	out, err := Call(ctx, caller, "GetLogEvents", Repeatable, func(ctx context.Context) (*cloudwatchlogs.GetLogEventsOutput, error) {
		return api.GetLogEvents(ctx, &cloudwatchlogs.GetLogEventsInput{
			LogGroupName: aws.String(s.Group), LogStreamName: aws.String(s.Stream),
			StartFromHead: aws.Bool(false), Limit: aws.Int32(n),
		}, t.region)
	})
	if err != nil {
		return nil, err
	}
	return logLines(out), nil
}
