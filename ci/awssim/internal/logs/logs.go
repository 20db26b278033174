package logs

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/magecloudkit/pipeline/ci/awssim/internal/kernel"
	"github.com/magecloudkit/pipeline/ci/awssim/internal/wire"
)

// Amazon CloudWatch Logs, after https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/. Left out:
// retention, encryption, metric filters, Insights, and filter patterns over JSON or columns.

// Store is CloudWatch Logs.
type Store struct {
	Service *wire.Service

	k      *kernel.Kernel
	groups map[string]*logGroup
}

type logGroup struct {
	name    string
	created time.Time
	class   types.LogGroupClass
	tags    map[string]string
	streams map[string]*logStream
}

type logStream struct {
	name     string
	created  time.Time
	ingested time.Time // of the last event
	events   []logEvent
}

// logEvent is a line. Its position in the stream is what tokens count.
type logEvent struct {
	at, ingested int64 // milliseconds since 1970
	message      string
}

// New returns a store without a log group.
func New(k *kernel.Kernel) *Store {
	l := &Store{k: k, groups: map[string]*logGroup{}}
	s := &wire.Service{Name: "logs", Target: "Logs_20140328", State: l.state}
	l.Service = s
	wire.Handle(s, "CreateLogGroup", l.createLogGroup)
	wire.Handle(s, "DeleteLogGroup", l.deleteLogGroup)
	wire.Handle(s, "CreateLogStream", l.createLogStream)
	wire.Handle(s, "PutLogEvents", l.putLogEvents)
	wire.Handle(s, "DescribeLogGroups", l.describeLogGroups)
	wire.Handle(s, "DescribeLogStreams", l.describeLogStreams)
	wire.Handle(s, "GetLogEvents", l.getLogEvents)
	wire.Handle(s, "FilterLogEvents", l.filterLogEvents)
	return l
}

// Build makes log groups.
func (l *Store) Build(c *wire.Call, names []string) error {
	for _, n := range names {
		if _, err := l.createLogGroup(c, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: &n}); err != nil {
			return fmt.Errorf("log group %s: %w", n, err)
		}
	}
	return nil
}

func (l *Store) state() any {
	all := map[string]map[string][]string{}
	for _, g := range l.groups {
		all[g.name] = map[string][]string{}
		for _, s := range g.streams {
			lines := []string{}
			for _, e := range s.events {
				lines = append(lines, e.message)
			}
			all[g.name][s.name] = lines
		}
	}
	return all
}

// OpenStream implements ecs.LogSink.
func (l *Store) OpenStream(group, stream string, create bool) error {
	g := l.groups[group]
	if g == nil {
		if !create {
			return wire.Errf("ResourceNotFoundException", "The specified log group does not exist.")
		}
		if _, err := l.createLogGroup(&wire.Call{Now: l.k.Now}, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: &group}); err != nil {
			return err
		}
		g = l.groups[group]
	}
	if g.streams[stream] == nil {
		g.streams[stream] = &logStream{name: stream, created: l.k.Now}
	}
	return nil
}

// PutLine implements ecs.LogSink.
func (l *Store) PutLine(group, stream, line string) {
	if s, err := l.stream(group, stream); err == nil {
		s.append(l.k.Now, []types.InputLogEvent{{Timestamp: aws.Int64(l.k.Now.UnixMilli()), Message: &line}})
	}
}

func (s *logStream) append(now time.Time, events []types.InputLogEvent) {
	for _, e := range events {
		s.events = append(s.events, logEvent{at: *e.Timestamp, ingested: now.UnixMilli(), message: *e.Message})
	}
	slices.SortStableFunc(s.events, func(a, b logEvent) int { return int(a.at - b.at) })
	s.ingested = now
}

// group finds a group by its name or ARN.
func (l *Store) group(id string) (*logGroup, error) {
	id = strings.TrimSuffix(strings.TrimPrefix(id, l.k.ARN("logs", "log-group:")), ":*")
	g, ok := l.groups[id]
	if !ok {
		return nil, wire.Errf("ResourceNotFoundException", "The specified log group does not exist.")
	}
	return g, nil
}

func (l *Store) stream(group, stream string) (*logStream, error) {
	g, err := l.group(group)
	if err != nil {
		return nil, err
	}
	s, ok := g.streams[stream]
	if !ok {
		return nil, wire.Errf("ResourceNotFoundException", "The specified log stream does not exist.")
	}
	return s, nil
}

// oneOf returns the one of two parameters that is set.
func oneOf(name, identifier *string) (string, error) {
	if (name == nil) == (identifier == nil) {
		return "", wire.Errf("InvalidParameterException", "Exactly one of logGroupName and logGroupIdentifier must be given")
	}
	return aws.ToString(name) + aws.ToString(identifier), nil
}

var (
	logGroupName  = regexp.MustCompile(`^[\.\-_/#A-Za-z0-9]{1,512}$`)
	logStreamName = regexp.MustCompile(`^[^:*]{1,512}$`)
)

// logsInvalid is the error for a member that breaks a rule of the API's model.
func logsInvalid(value any, member, constraint string) *wire.Error {
	return wire.Errf("InvalidParameterException", "1 validation error detected: Value '%v' at '%s' failed to satisfy constraint: %s", value, member, constraint)
}

func (l *Store) createLogGroup(c *wire.Call, in *cloudwatchlogs.CreateLogGroupInput) (*cloudwatchlogs.CreateLogGroupOutput, error) {
	n := aws.ToString(in.LogGroupName)
	if !logGroupName.MatchString(n) {
		return nil, logsInvalid(n, "logGroupName", `Member must satisfy regular expression pattern: [\.\-_/#A-Za-z0-9]+`)
	}
	if l.groups[n] != nil {
		return nil, wire.Errf("ResourceAlreadyExistsException", "The specified log group already exists")
	}
	class := in.LogGroupClass
	if class == "" {
		class = types.LogGroupClassStandard
	}
	l.groups[n] = &logGroup{name: n, created: c.Now, class: class, tags: maps.Clone(in.Tags), streams: map[string]*logStream{}}
	return &cloudwatchlogs.CreateLogGroupOutput{}, nil
}

func (l *Store) deleteLogGroup(c *wire.Call, in *cloudwatchlogs.DeleteLogGroupInput) (*cloudwatchlogs.DeleteLogGroupOutput, error) {
	g, err := l.group(aws.ToString(in.LogGroupName))
	if err != nil {
		return nil, err
	}
	delete(l.groups, g.name)
	return &cloudwatchlogs.DeleteLogGroupOutput{}, nil
}

func (l *Store) createLogStream(c *wire.Call, in *cloudwatchlogs.CreateLogStreamInput) (*cloudwatchlogs.CreateLogStreamOutput, error) {
	g, err := l.group(aws.ToString(in.LogGroupName))
	if err != nil {
		return nil, err
	}
	n := aws.ToString(in.LogStreamName)
	if !logStreamName.MatchString(n) {
		return nil, logsInvalid(n, "logStreamName", "Member must satisfy regular expression pattern: [^:*]*")
	}
	if g.streams[n] != nil {
		return nil, wire.Errf("ResourceAlreadyExistsException", "The specified log stream already exists")
	}
	g.streams[n] = &logStream{name: n, created: c.Now}
	return &cloudwatchlogs.CreateLogStreamOutput{}, nil
}

func (l *Store) putLogEvents(c *wire.Call, in *cloudwatchlogs.PutLogEventsInput) (*cloudwatchlogs.PutLogEventsOutput, error) {
	s, err := l.stream(aws.ToString(in.LogGroupName), aws.ToString(in.LogStreamName))
	if err != nil {
		return nil, err
	}
	if n := len(in.LogEvents); n < 1 || n > 10000 {
		return nil, logsInvalid(n, "logEvents", "Member must have length between 1 and 10000, inclusive")
	}
	out := &cloudwatchlogs.PutLogEventsOutput{NextSequenceToken: aws.String(l.k.NewID("log-sequence"))}
	var good []types.InputLogEvent
	for i, e := range in.LogEvents {
		if e.Timestamp == nil || e.Message == nil || *e.Message == "" {
			return nil, logsInvalid("null", fmt.Sprintf("logEvents.%d.member.message", i+1), "Member must have length greater than or equal to 1")
		}
		if i > 0 && *e.Timestamp < *in.LogEvents[i-1].Timestamp {
			return nil, wire.Errf("InvalidParameterException", "Log events in a single PutLogEvents request must be in chronological order.")
		}
		// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
		switch at := time.UnixMilli(*e.Timestamp); {
		case at.Before(c.Now.Add(-14 * 24 * time.Hour)):
			rejected(out).TooOldLogEventEndIndex = aws.Int32(int32(i + 1))
		case at.After(c.Now.Add(2 * time.Hour)):
			if r := rejected(out); r.TooNewLogEventStartIndex == nil {
				r.TooNewLogEventStartIndex = aws.Int32(int32(i))
			}
		default:
			good = append(good, e)
		}
	}
	s.append(c.Now, good)
	return out, nil
}

func rejected(out *cloudwatchlogs.PutLogEventsOutput) *types.RejectedLogEventsInfo {
	if out.RejectedLogEventsInfo == nil {
		out.RejectedLogEventsInfo = &types.RejectedLogEventsInfo{}
	}
	return out.RejectedLogEventsInfo
}

// pages are of up to most.
func pages(most int) wire.Pages {
	return wire.Pages{
		Size: most, Most: most,
		BadSize: func(size int) *wire.Error {
			return logsInvalid(size, "limit", fmt.Sprintf("Member must have value between 1 and %d, inclusive", most))
		},
		BadToken: wire.Errf("InvalidParameterException", "The specified nextToken is invalid."),
	}
}

func (l *Store) describeLogGroups(c *wire.Call, in *cloudwatchlogs.DescribeLogGroupsInput) (*cloudwatchlogs.DescribeLogGroupsOutput, error) {
	if in.LogGroupNamePrefix != nil && in.LogGroupNamePattern != nil {
		return nil, wire.Errf("InvalidParameterException", "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.")
	}
	var found []types.LogGroup
	for _, n := range slices.Sorted(maps.Keys(l.groups)) {
		g := l.groups[n]
		if !strings.HasPrefix(n, aws.ToString(in.LogGroupNamePrefix)) ||
			!strings.Contains(strings.ToLower(n), strings.ToLower(aws.ToString(in.LogGroupNamePattern))) ||
			in.LogGroupClass != "" && in.LogGroupClass != g.class {
			continue
		}
		arn := l.k.ARN("logs", "log-group:"+n)
		stored := int64(0)
		for _, s := range g.streams {
			stored += s.size()
		}
		found = append(found, types.LogGroup{
			LogGroupName: aws.String(n), LogGroupArn: aws.String(arn), Arn: aws.String(arn + ":*"), LogGroupClass: g.class,
			CreationTime: aws.Int64(g.created.UnixMilli()), MetricFilterCount: aws.Int32(0), StoredBytes: aws.Int64(stored),
		})
	}
	page, next, err := wire.Cut(pages(50), found, in.Limit, in.NextToken)
	return &cloudwatchlogs.DescribeLogGroupsOutput{LogGroups: page, NextToken: next}, err
}

func (s *logStream) size() int64 {
	n := int64(0)
	for _, e := range s.events {
		n += int64(len(e.message)) + 26 // what CloudWatch adds to an event
	}
	return n
}

func (l *Store) describeLogStreams(c *wire.Call, in *cloudwatchlogs.DescribeLogStreamsInput) (*cloudwatchlogs.DescribeLogStreamsOutput, error) {
	id, err := oneOf(in.LogGroupName, in.LogGroupIdentifier)
	if err != nil {
		return nil, err
	}
	g, err := l.group(id)
	if err != nil {
		return nil, err
	}
	if in.OrderBy == types.OrderByLastEventTime && in.LogStreamNamePrefix != nil {
		return nil, wire.Errf("InvalidParameterException", "Cannot order by LastEventTime with a logStreamNamePrefix.")
	}
	var found []types.LogStream
	for _, n := range slices.Sorted(maps.Keys(g.streams)) {
		if !strings.HasPrefix(n, aws.ToString(in.LogStreamNamePrefix)) {
			continue
		}
		s := g.streams[n]
		d := types.LogStream{
			LogStreamName: aws.String(n), Arn: aws.String(l.k.ARN("logs", "log-group:"+g.name+":log-stream:"+n)),
			CreationTime: aws.Int64(s.created.UnixMilli()),
		}
		if len(s.events) > 0 {
			d.FirstEventTimestamp = aws.Int64(s.events[0].at)
			d.LastEventTimestamp = aws.Int64(s.events[len(s.events)-1].at)
			d.LastIngestionTime = aws.Int64(s.ingested.UnixMilli())
		}
		found = append(found, d)
	}
	if in.OrderBy == types.OrderByLastEventTime {
		slices.SortStableFunc(found, func(a, b types.LogStream) int {
			return int(aws.ToInt64(a.LastEventTimestamp) - aws.ToInt64(b.LastEventTimestamp))
		})
	}
	if aws.ToBool(in.Descending) {
		slices.Reverse(found)
	}
	page, next, err := wire.Cut(pages(50), found, in.Limit, in.NextToken)
	return &cloudwatchlogs.DescribeLogStreamsOutput{LogStreams: page, NextToken: next}, err
}

// A token of GetLogEvents is a direction and a position: f/…56 digits…/s reads on from it, b/… reads up to it.
var logToken = regexp.MustCompile(`^([fb])/([0-9]{56})/s$`)

func makeLogToken(direction string, position int) *string {
	return aws.String(fmt.Sprintf("%s/%056d/s", direction, position))
}

// getLogEvents answers, as AWS does, with tokens for both directions; at the end of the stream the token that came in
// comes back.
func (l *Store) getLogEvents(c *wire.Call, in *cloudwatchlogs.GetLogEventsInput) (*cloudwatchlogs.GetLogEventsOutput, error) {
	id, err := oneOf(in.LogGroupName, in.LogGroupIdentifier)
	if err != nil {
		return nil, err
	}
	s, err := l.stream(id, aws.ToString(in.LogStreamName))
	if err != nil {
		return nil, err
	}
	limit := 10000
	if in.Limit != nil {
		limit = int(*in.Limit)
	}
	if limit < 1 || limit > 10000 {
		return nil, logsInvalid(limit, "limit", "Member must have value between 1 and 10000, inclusive")
	}
	// The events between the times, of a stream in order of time, stand together.
	first := slices.IndexFunc(s.events, func(e logEvent) bool { return in.StartTime == nil || e.at >= *in.StartTime })
	if first < 0 {
		first = len(s.events)
	}
	last := len(s.events)
	if in.EndTime != nil {
		if i := slices.IndexFunc(s.events, func(e logEvent) bool { return e.at >= *in.EndTime }); i >= 0 {
			last = max(i, first)
		}
	}
	from, to := max(first, last-limit), last
	if aws.ToBool(in.StartFromHead) {
		from, to = first, min(first+limit, last)
	}
	if in.NextToken != nil {
		m := logToken.FindStringSubmatch(*in.NextToken)
		if m == nil {
			return nil, wire.Errf("InvalidParameterException", "The specified nextToken is invalid.")
		}
		position, _ := strconv.Atoi(m[2]) // the pattern lets only digits through
		position = min(max(position, first), last)
		from, to = position, min(position+limit, last)
		if m[1] == "b" {
			from, to = max(position-limit, first), position
		}
	}
	out := &cloudwatchlogs.GetLogEventsOutput{
		Events: []types.OutputLogEvent{}, NextForwardToken: makeLogToken("f", to), NextBackwardToken: makeLogToken("b", from),
	}
	for _, e := range s.events[from:to] {
		out.Events = append(out.Events, types.OutputLogEvent{
			Timestamp: aws.Int64(e.at), IngestionTime: aws.Int64(e.ingested), Message: aws.String(e.message),
		})
	}
	return out, nil
}

func (l *Store) filterLogEvents(c *wire.Call, in *cloudwatchlogs.FilterLogEventsInput) (*cloudwatchlogs.FilterLogEventsOutput, error) {
	id, err := oneOf(in.LogGroupName, in.LogGroupIdentifier)
	if err != nil {
		return nil, err
	}
	g, err := l.group(id)
	if err != nil {
		return nil, err
	}
	if len(in.LogStreamNames) > 0 && in.LogStreamNamePrefix != nil {
		return nil, wire.Errf("InvalidParameterException", "Cannot specify both logStreamNames and logStreamNamePrefix.")
	}
	matches, err := filterPattern(aws.ToString(in.FilterPattern))
	if err != nil {
		return nil, err
	}
	for _, n := range in.LogStreamNames {
		if g.streams[n] == nil {
			return nil, wire.Errf("ResourceNotFoundException", "The specified log stream does not exist.")
		}
	}
	var found []types.FilteredLogEvent
	for _, n := range slices.Sorted(maps.Keys(g.streams)) {
		if len(in.LogStreamNames) > 0 && !slices.Contains(in.LogStreamNames, n) || !strings.HasPrefix(n, aws.ToString(in.LogStreamNamePrefix)) {
			continue
		}
		for i, e := range g.streams[n].events {
			if !e.between(in.StartTime, in.EndTime) || !matches(e.message) {
				continue
			}
			found = append(found, types.FilteredLogEvent{
				EventId:   aws.String(fmt.Sprintf("%030d%026d", e.at, i)),
				Timestamp: aws.Int64(e.at), IngestionTime: aws.Int64(e.ingested), Message: aws.String(e.message), LogStreamName: aws.String(n),
			})
		}
	}
	slices.SortStableFunc(found, func(a, b types.FilteredLogEvent) int { return int(*a.Timestamp - *b.Timestamp) })
	page, next, err := wire.Cut(pages(10000), found, in.Limit, in.NextToken)
	return &cloudwatchlogs.FilterLogEventsOutput{Events: page, NextToken: next, SearchedLogStreams: []types.SearchedLogStream{}}, err
}

// between says whether an event is of a span of time, whose ends may be open.
func (e logEvent) between(start, end *int64) bool {
	return (start == nil || e.at >= *start) && (end == nil || e.at < *end)
}

// filterTerm is a term of a pattern: plain, "quoted", -without or ?optional.
var filterTerm = regexp.MustCompile(`([-?]?)(?:"((?:[^"\\]|\\.)*)"|(\S+))`)

// filterPattern reads an unstructured pattern:
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntax.html
func filterPattern(pattern string) (func(string) bool, error) {
	pattern = strings.TrimSpace(pattern)
	if strings.HasPrefix(pattern, "{") || strings.HasPrefix(pattern, "[") || strings.HasPrefix(pattern, "%") {
		return nil, wire.Errf("InvalidParameterException", "Invalid filter pattern: awssim knows patterns of terms alone, not %q", pattern)
	}
	var all, none, some []string
	for _, m := range filterTerm.FindAllStringSubmatch(pattern, -1) {
		term := strings.NewReplacer(`\"`, `"`, `\\`, `\`).Replace(m[2]) + m[3]
		switch m[1] {
		case "-":
			none = append(none, term)
		case "?":
			some = append(some, term)
		default:
			all = append(all, term)
		}
	}
	return func(message string) bool {
		contains := func(term string) bool { return strings.Contains(message, term) }
		return !slices.ContainsFunc(all, func(t string) bool { return !contains(t) }) &&
			!slices.ContainsFunc(none, contains) && (len(some) == 0 || slices.ContainsFunc(some, contains))
	}, nil
}
