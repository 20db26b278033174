package awssim_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/google/go-cmp/cmp"

	"github.com/magecloudkit/pipeline/ci/awssim"
)

func messages(events []types.OutputLogEvent) []string {
	all := []string{}
	for _, e := range events {
		all = append(all, *e.Message)
	}
	return all
}

// startLogs makes a stream /g s with lines 0 to n-1, a second apart.
func startLogs(t *testing.T, n int) (*rig, *cloudwatchlogs.Client) {
	t.Helper()
	r := start(t, awssim.Config{})
	api := cloudwatchlogs.NewFromConfig(r.w.ClientConfig())
	_, err := api.CreateLogGroup(t.Context(), &cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String("/g")})
	r.must(err)
	_, err = api.CreateLogStream(t.Context(), &cloudwatchlogs.CreateLogStreamInput{LogGroupName: aws.String("/g"), LogStreamName: aws.String("s")})
	r.must(err)
	r.must(putLines(t, r, api, 0, n))
	return r, api
}

func putLines(t *testing.T, r *rig, api *cloudwatchlogs.Client, from, to int) error {
	in := &cloudwatchlogs.PutLogEventsInput{LogGroupName: aws.String("/g"), LogStreamName: aws.String("s")}
	for i := from; i < to; i++ {
		in.LogEvents = append(in.LogEvents, types.InputLogEvent{
			Timestamp: aws.Int64(awssim.Epoch.Add(time.Duration(i) * time.Second).UnixMilli()), Message: aws.String(fmt.Sprint("line ", i)),
		})
	}
	_, err := api.PutLogEvents(t.Context(), in)
	return err
}

// Whoever follows a stream by its forward token sees every line once, and is told of the end by the token that stays.
func TestFollowALogStream(t *testing.T) {
	r, api := startLogs(t, 5)
	read := func(token *string, limit int32) *cloudwatchlogs.GetLogEventsOutput {
		t.Helper()
		out, err := api.GetLogEvents(t.Context(), &cloudwatchlogs.GetLogEventsInput{
			LogGroupName: aws.String("/g"), LogStreamName: aws.String("s"), StartFromHead: aws.Bool(true), NextToken: token, Limit: aws.Int32(limit),
		})
		r.must(err)
		return out
	}
	var got []string
	var token *string
	for range 4 {
		out := read(token, 2)
		got = append(got, messages(out.Events)...)
		token = out.NextForwardToken
	}
	if diff := cmp.Diff([]string{"line 0", "line 1", "line 2", "line 3", "line 4"}, got); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	if out := read(token, 2); *out.NextForwardToken != *token || len(out.Events) != 0 {
		t.Errorf("at the end: %v, token %s after %s", messages(out.Events), *out.NextForwardToken, *token)
	}
	r.must(putLines(t, r, api, 5, 7))
	out := read(token, 100)
	if diff := cmp.Diff([]string{"line 5", "line 6"}, messages(out.Events)); diff != "" {
		t.Errorf("new lines (-want +got):\n%s", diff)
	}
	// And back.
	if diff := cmp.Diff([]string{"line 3", "line 4"}, messages(read(out.NextBackwardToken, 2).Events)); diff != "" {
		t.Errorf("lines before (-want +got):\n%s", diff)
	}
}

func TestGetLogEvents(t *testing.T) {
	r, api := startLogs(t, 10)
	at := func(i int) *int64 { return aws.Int64(awssim.Epoch.Add(time.Duration(i) * time.Second).UnixMilli()) }
	for name, tt := range map[string]struct {
		in   cloudwatchlogs.GetLogEventsInput
		want []string
	}{
		"the last ones":       {cloudwatchlogs.GetLogEventsInput{Limit: aws.Int32(2)}, []string{"line 8", "line 9"}},
		"the first ones":      {cloudwatchlogs.GetLogEventsInput{Limit: aws.Int32(2), StartFromHead: aws.Bool(true)}, []string{"line 0", "line 1"}},
		"from and until":      {cloudwatchlogs.GetLogEventsInput{StartTime: at(3), EndTime: at(5)}, []string{"line 3", "line 4"}},
		"nothing in the time": {cloudwatchlogs.GetLogEventsInput{StartTime: at(100)}, []string{}},
	} {
		tt.in.LogGroupIdentifier = aws.String("arn:aws:logs:us-east-1:111111111111:log-group:/g")
		tt.in.LogStreamName = aws.String("s")
		out, err := api.GetLogEvents(t.Context(), &tt.in)
		r.must(err)
		if diff := cmp.Diff(tt.want, messages(out.Events)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestFilterLogEvents(t *testing.T) {
	r, api := startLogs(t, 12)
	for pattern, want := range map[string]int{
		"": 12, "line": 12, "line 1": 3, `"line 1"`: 3, `"line 11"`: 1, "-line": 0, `line -"line 1"`: 9, `?"line 2" ?"line 3"`: 2, "nothing": 0,
	} {
		out, err := api.FilterLogEvents(t.Context(), &cloudwatchlogs.FilterLogEventsInput{LogGroupName: aws.String("/g"), FilterPattern: aws.String(pattern)})
		r.must(err)
		if len(out.Events) != want {
			t.Errorf("%q: %d lines, want %d", pattern, len(out.Events), want)
		}
	}
	pages := cloudwatchlogs.NewFilterLogEventsPaginator(api, &cloudwatchlogs.FilterLogEventsInput{LogGroupName: aws.String("/g"), Limit: aws.Int32(5)})
	n := 0
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		r.must(err)
		n += len(page.Events)
	}
	if n != 12 {
		t.Errorf("%d lines on all pages", n)
	}
}

func TestLogsErrors(t *testing.T) {
	r, api := startLogs(t, 1)
	ctx := t.Context()
	put := func(group, stream string, times ...time.Duration) error {
		in := &cloudwatchlogs.PutLogEventsInput{LogGroupName: &group, LogStreamName: &stream}
		for _, d := range times {
			in.LogEvents = append(in.LogEvents, types.InputLogEvent{Timestamp: aws.Int64(r.clock.Now().Add(d).UnixMilli()), Message: aws.String("m")})
		}
		_, err := api.PutLogEvents(ctx, in)
		return err
	}
	for name, tt := range map[string]struct {
		err  error
		code string
	}{
		"group that is there": {second(api.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String("/g")})), "ResourceAlreadyExistsException"},
		"stream that is there": {second(api.CreateLogStream(ctx, &cloudwatchlogs.CreateLogStreamInput{
			LogGroupName: aws.String("/g"), LogStreamName: aws.String("s")})), "ResourceAlreadyExistsException"},
		"no group":     {put("/gone", "s", 0), "ResourceNotFoundException"},
		"no stream":    {put("/g", "gone", 0), "ResourceNotFoundException"},
		"out of order": {put("/g", "s", time.Second, 0), "InvalidParameterException"},
		"bad token": {second(api.GetLogEvents(ctx, &cloudwatchlogs.GetLogEventsInput{
			LogGroupName: aws.String("/g"), LogStreamName: aws.String("s"), NextToken: aws.String("x")})), "InvalidParameterException"},
		"neither name nor ARN": {second(api.GetLogEvents(ctx, &cloudwatchlogs.GetLogEventsInput{LogStreamName: aws.String("s")})), "InvalidParameterException"},
		"JSON pattern": {second(api.FilterLogEvents(ctx, &cloudwatchlogs.FilterLogEventsInput{
			LogGroupName: aws.String("/g"), FilterPattern: aws.String("{ $.a = 1 }")})), "InvalidParameterException"},
		"order and prefix": {second(api.DescribeLogStreams(ctx, &cloudwatchlogs.DescribeLogStreamsInput{
			LogGroupName: aws.String("/g"), OrderBy: types.OrderByLastEventTime, LogStreamNamePrefix: aws.String("s")})), "InvalidParameterException"},
	} {
		t.Run(name, func(t *testing.T) { wantCode(t, tt.err, tt.code) })
	}
	// Events of another age are rejected one by one.
	in := &cloudwatchlogs.PutLogEventsInput{LogGroupName: aws.String("/g"), LogStreamName: aws.String("s")}
	for _, d := range []time.Duration{-15 * 24 * time.Hour, 0, 3 * time.Hour} {
		in.LogEvents = append(in.LogEvents, types.InputLogEvent{Timestamp: aws.Int64(r.clock.Now().Add(d).UnixMilli()), Message: aws.String("m")})
	}
	out, err := api.PutLogEvents(ctx, in)
	r.must(err)
	if x := out.RejectedLogEventsInfo; x == nil || *x.TooOldLogEventEndIndex != 1 || *x.TooNewLogEventStartIndex != 2 {
		t.Errorf("%+v", x)
	}
}
