package ecs_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/magecloudkit/pipeline/ci/awssim"
	"github.com/magecloudkit/pipeline/ci/ecs"
)

const (
	cluster = "production-app"
	webName = "production-app"
)

// cloud is a simulated AWS and what talks to it.
type cloud struct {
	*awssim.World
	ecs    *awsecs.Client
	logs   *cloudwatchlogs.Client
	caller *ecs.Caller
}

func newCloud(t *testing.T, change func(*awssim.Topology), o ...ecs.CallerOption) cloud {
	t.Helper()
	top := awssim.DefaultTopology()
	if change != nil {
		change(top)
	}
	w, err := awssim.New(awssim.Config{Topology: top, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	cfg := w.ClientConfig()
	cfg.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
	return cloud{
		World: w, ecs: awsecs.NewFromConfig(cfg), logs: cloudwatchlogs.NewFromConfig(cfg),
		caller: ecs.NewCaller(w.Clock(), append([]ecs.CallerOption{ecs.WithRandom(half)}, o...)...),
	}
}

func half() float64 { return 0.5 }

func (c cloud) faults(t *testing.T, f ...awssim.Fault) {
	t.Helper()
	if err := c.AddFault(f...); err != nil {
		t.Fatal(err)
	}
}

func (c cloud) describe(ctx context.Context, kind ecs.Kind) error {
	_, err := ecs.Call(ctx, c.caller, "DescribeClusters", kind, func(ctx context.Context) (*awsecs.DescribeClustersOutput, error) {
		return c.ecs.DescribeClusters(ctx, &awsecs.DescribeClustersInput{Clusters: []string{cluster}})
	})
	return err
}

func TestCall(t *testing.T) {
	fault := func(kind awssim.FaultKind, times int) awssim.Fault {
		return awssim.Fault{Op: "ecs:DescribeClusters", Kind: kind, Times: times}
	}
	for _, c := range []struct {
		name  string
		fault awssim.Fault
		kind  ecs.Kind
		calls int
		check func(error) bool
	}{
		{"throttled", fault(awssim.Throttle, 3), ecs.Once, 4, func(err error) bool { return err == nil }},
		{"a 500, repeatable", fault(awssim.Broken, 3), ecs.Repeatable, 4, func(err error) bool { return err == nil }},
		{"a 500, once", fault(awssim.Broken, 1), ecs.Once, 1, ecs.Unknown},
		{"cut before, repeatable", fault(awssim.DropBefore, 2), ecs.Repeatable, 3, func(err error) bool { return err == nil }},
		{"cut before, once", fault(awssim.DropBefore, 1), ecs.Once, 1, ecs.Unknown},
		{"cut after, once", fault(awssim.DropAfter, 1), ecs.Once, 1, ecs.Unknown},
		{"denied", fault(awssim.Denied, 0), ecs.Repeatable, 1, func(err error) bool { return ecs.Denied(err) && !ecs.Unknown(err) }},
		{"expired", fault(awssim.Expired, 0), ecs.Repeatable, 1, ecs.Expired},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newCloud(t, nil)
			w.faults(t, c.fault)
			err := w.describe(context.Background(), c.kind)
			if !c.check(err) {
				t.Errorf("error %v", err)
			}
			if got := w.caller.Calls()["DescribeClusters"]; got != c.calls || len(w.Calls()) != c.calls {
				t.Errorf("%d calls counted and %d made, not %d", got, len(w.Calls()), c.calls)
			}
		})
	}
}

func TestCallPatience(t *testing.T) {
	w := newCloud(t, nil)
	w.faults(t, awssim.Fault{Op: "*", Kind: awssim.Throttle})
	start := w.Clock().Now()
	err := w.describe(context.Background(), ecs.Repeatable)
	if took := w.Clock().Now().Sub(start); ecs.Code(err) != "ThrottlingException" || took < 45*time.Second || took > 90*time.Second {
		t.Errorf("gave up after %s with %v", took, err)
	}
}

func TestCallRenewsCredentials(t *testing.T) {
	renewed := 0
	w := newCloud(t, nil, ecs.WithRenew(func(context.Context) error { renewed++; return nil }))
	w.faults(t, awssim.Fault{Op: "*", Kind: awssim.Expired, Times: 1})
	if err := w.describe(context.Background(), ecs.Once); err != nil || renewed != 1 {
		t.Errorf("%v, renewed %d times", err, renewed)
	}
	w = newCloud(t, nil, ecs.WithRenew(func(context.Context) error { return errors.New("no token") }))
	w.faults(t, awssim.Fault{Op: "*", Kind: awssim.Expired})
	if err := w.describe(context.Background(), ecs.Once); !ecs.Expired(err) || !strings.Contains(err.Error(), "no token") {
		t.Errorf("%v", err)
	}
}

// TestCallFinishesWhatItBegan: a signal must not leave it open whether a call
// was carried out.
func TestCallFinishesWhatItBegan(t *testing.T) {
	w := newCloud(t, nil)
	ctx, cancel := context.WithCancel(context.Background())
	w.Observe(func(awssim.Call) { cancel() })
	if err := w.describe(ctx, ecs.Once); err != nil {
		t.Errorf("the call was cut short: %v", err)
	}
	if err := w.describe(ctx, ecs.Once); !errors.Is(err, context.Canceled) || ecs.Unknown(err) {
		t.Errorf("another call after the end: %v", err)
	}
}

// roll starts a deployment and returns what to follow.
func (c cloud) roll(t *testing.T, service string) ecs.Target {
	t.Helper()
	out, err := c.ecs.UpdateService(context.Background(), &awsecs.UpdateServiceInput{Cluster: aws.String(cluster), Service: &service, ForceNewDeployment: true})
	if err != nil {
		t.Fatal(err)
	}
	return ecs.TargetOf(service, out.Service.Deployments[0])
}

func (c cloud) follower() *ecs.Follower {
	return &ecs.Follower{API: c.ecs, Caller: c.caller, Clock: c.Clock(), Random: half}
}

func services(n int) func(*awssim.Topology) {
	return func(t *awssim.Topology) {
		for i := range n {
			s := t.Services[1]
			s.Value.ServiceName = aws.String(fmt.Sprintf("consumers-%d", i))
			t.Services = append(t.Services, s)
		}
	}
}

// TestFollowIsSparing: ten services cost one call a look, and the looks are 5
// to 15 seconds apart.
func TestFollowIsSparing(t *testing.T) {
	for _, n := range []int{1, 10, 11, 25} {
		w := newCloud(t, services(n))
		var targets []ecs.Target
		for i := range n {
			targets = append(targets, w.roll(t, fmt.Sprintf("consumers-%d", i)))
		}
		before := len(w.Calls())
		for _, o := range w.follower().Follow(context.Background(), cluster, targets, 10*time.Minute) {
			if o.Verdict != ecs.Completed {
				t.Errorf("%d services: %s is %s: %s", n, o.Service, o.Verdict, o.Reason)
			}
		}
		looks := map[time.Time]int{}
		var times []time.Time
		for _, c := range w.Calls()[before:] {
			if looks[c.Time]++; looks[c.Time] == 1 {
				times = append(times, c.Time)
			}
		}
		if most := (n + 9) / 10; looks[times[0]] != most {
			t.Errorf("%d services: %d calls for one look, not %d", n, looks[times[0]], most)
		}
		for i := 1; i < len(times); i++ {
			if gap := times[i].Sub(times[i-1]); gap < ecs.PollFirst*9/10 || gap > ecs.PollLast*11/10 {
				t.Errorf("%d services: %s between two looks", n, gap)
			}
		}
	}
}

func TestFollowTellsProgress(t *testing.T) {
	w := newCloud(t, func(top *awssim.Topology) { top.Services[0].Value.DesiredCount = aws.Int32(6) })
	f := w.follower()
	var seen []ecs.Progress
	f.Progress = func(p ecs.Progress) { seen = append(seen, p) }
	out := f.Follow(context.Background(), cluster, []ecs.Target{w.roll(t, webName)}, 10*time.Minute)[0]
	if out.Verdict != ecs.Completed || len(seen) < 3 {
		t.Fatalf("%s, %d times told", out.Verdict, len(seen))
	}
	last := seen[len(seen)-1]
	if last.Running != 6 || last.Desired != 6 || last.Old != 0 || last.State != "COMPLETED" {
		t.Errorf("at the end: %+v", last.Sample)
	}
	ids := map[string]bool{}
	for _, p := range seen {
		for _, e := range p.Events {
			if key := e.At.String() + e.Message; ids[key] {
				t.Errorf("told twice: %s", e.Message)
			} else {
				ids[key] = true
			}
		}
	}
	if !slices.ContainsFunc(out.Events, func(e ecs.Event) bool { return strings.Contains(e.Message, "steady state") }) {
		t.Errorf("events: %v", out.Events)
	}
	if first := out.Samples[0]; first.Old != 6 {
		t.Errorf("at the start: %+v", first)
	}
}

// TestFollowKeepsTheMaximum: ECS's counter of failed tasks starts again.
func TestFollowKeepsTheMaximum(t *testing.T) {
	w := newCloud(t, nil)
	if err := w.Behave(awssim.Behavior{Family: webName, Container: "magento", ExitAfter: awssim.Duration(3 * time.Second), Exit: aws.Int32(1), Times: 2}); err != nil {
		t.Fatal(err)
	}
	out := w.follower().Follow(context.Background(), cluster, []ecs.Target{w.roll(t, webName)}, 10*time.Minute)[0]
	if out.Verdict != ecs.Completed || out.Failed == 0 || out.Samples[len(out.Samples)-1].Failed != out.Failed {
		t.Errorf("%s, %d failed", out.Verdict, out.Failed)
	}
}

// TestFollowWaitsForTheCount: a deployment that ECS calls complete is not the
// end while fewer tasks run than are wanted.
func TestFollowWaitsForTheCount(t *testing.T) {
	w := newCloud(t, nil)
	target := w.roll(t, webName)
	if err := w.Clock().Sleep(context.Background(), 3*time.Minute); err != nil {
		t.Fatal(err)
	}
	if _, err := w.ecs.UpdateService(context.Background(), &awsecs.UpdateServiceInput{Cluster: aws.String(cluster), Service: aws.String(webName), DesiredCount: aws.Int32(6)}); err != nil {
		t.Fatal(err)
	}
	out := w.follower().Follow(context.Background(), cluster, []ecs.Target{target}, 10*time.Minute)[0]
	if out.Verdict != ecs.Completed || out.Running != 6 || out.Samples[0].State != "COMPLETED" || out.Samples[0].Running == 6 {
		t.Errorf("%s with %d running, at first %+v", out.Verdict, out.Running, out.Samples[0])
	}
}

func TestFollowEnds(t *testing.T) {
	w := newCloud(t, nil)
	if err := w.Behave(awssim.Behavior{Family: webName, NeverHealthy: true}); err != nil {
		t.Fatal(err)
	}
	target := w.roll(t, webName)
	start := w.Clock().Now()
	out := w.follower().Follow(context.Background(), cluster, []ecs.Target{target}, 20*time.Second)[0]
	if took := w.Clock().Now().Sub(start); out.Verdict != ecs.TimedOut || took != 20*time.Second {
		t.Errorf("%s after %s", out.Verdict, took)
	}
	ctx, cancel := context.WithCancel(context.Background())
	looked := 0
	w.Observe(func(awssim.Call) {
		if looked++; looked == 3 {
			cancel()
		}
	})
	if out := w.follower().Follow(ctx, cluster, []ecs.Target{target}, time.Hour)[0]; out.Verdict != ecs.Interrupted || looked > 3 {
		t.Errorf("%s after %d looks", out.Verdict, looked)
	}
}

// TestTaskVerdicts runs a one-off task that ends in every way that one can.
func TestTaskVerdicts(t *testing.T) {
	exit := func(code int32) awssim.Behavior {
		return awssim.Behavior{Exit: &code, ExitAfter: awssim.Duration(5 * time.Second)}
	}
	for _, c := range []struct {
		name  string
		b     awssim.Behavior
		side  awssim.Behavior
		want  ecs.TaskVerdict
		say   string
		fault []awssim.Fault
	}{
		{name: "exit 0", b: exit(0), want: ecs.TaskSucceeded},
		{name: "exit 2", b: exit(2), want: ecs.TaskExited, say: "exit code 2"},
		{name: "killed", b: exit(143), want: ecs.TaskKilled, say: "signal 15"},
		{name: "out of memory", b: awssim.Behavior{OOM: true}, want: ecs.TaskOutOfMemory, say: "memory"},
		{name: "no exit code", b: awssim.Behavior{NoExitCode: true}, want: ecs.TaskNoExitCode},
		{name: "no capacity", b: awssim.Behavior{NoCapacity: true}, want: ecs.TaskNotPlaced, say: "apacity"},
		{name: "pull error", b: awssim.Behavior{PullError: "i/o timeout"}, want: ecs.TaskNotStarted, say: "CannotPullContainerError"},
		{name: "secret", b: awssim.Behavior{ResourceErr: "unable to pull secrets"}, want: ecs.TaskNotStarted, say: "ResourceInitializationError"},
		{name: "hangs", b: awssim.Behavior{ExitAfter: awssim.Duration(9 * time.Hour)}, want: ecs.TaskTimedOut, say: "it was stopped"},
		{name: "sidecar dies first", b: awssim.Behavior{ExitAfter: awssim.Duration(9 * time.Hour)}, side: exit(1), want: ecs.TaskSidecarFailed, say: "nginx: exit code 1"},
		{name: "RunTask refused", b: exit(0), want: ecs.TaskNotPlaced, say: "AccessDenied", fault: []awssim.Fault{{Op: "ecs:RunTask", Kind: awssim.Denied}}},
		{name: "RunTask cut after", b: exit(0), want: ecs.TaskSucceeded, fault: []awssim.Fault{{Op: "ecs:RunTask", Kind: awssim.DropAfter, Times: 1}}},
		{name: "AWS gone", b: exit(0), want: ecs.TaskUnknown, fault: []awssim.Fault{{Op: "*", Kind: awssim.DropBefore}}},
		{name: "throttled for a while", b: exit(0), want: ecs.TaskSucceeded, fault: []awssim.Fault{{Op: "ecs:DescribeTasks", Kind: awssim.Throttle, Times: 5}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newCloud(t, nil)
			c.b.Standalone, c.b.Container = true, "magento"
			c.side.Standalone, c.side.Container = true, "nginx"
			if err := w.Behave(c.b, c.side); err != nil {
				t.Fatal(err)
			}
			w.faults(t, c.fault...)
			end := w.run(context.Background(), t, nil)
			if end.Verdict != c.want || !strings.Contains(end.Reason, c.say) {
				t.Errorf("%s: %s", end.Verdict, end.Reason)
			}
			w.ClearFaults()
			left, err := w.ecs.ListTasks(context.Background(), &awsecs.ListTasksInput{Cluster: aws.String(cluster), StartedBy: aws.String("test")})
			if err != nil || len(left.TaskArns) != 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}

func (c cloud) run(ctx context.Context, t *testing.T, log func(ecs.LogLine)) ecs.TaskEnd {
	t.Helper()
	td, err := awssim.Do[awsecs.DescribeTaskDefinitionOutput](c.World, "ecs:DescribeTaskDefinition", &awsecs.DescribeTaskDefinitionInput{TaskDefinition: aws.String(webName)})
	if err != nil {
		t.Fatal(err)
	}
	svc, err := awssim.Do[awsecs.DescribeServicesOutput](c.World, "ecs:DescribeServices", &awsecs.DescribeServicesInput{Cluster: aws.String(cluster), Services: []string{webName}})
	if err != nil {
		t.Fatal(err)
	}
	r := ecs.Runner{API: c.ecs, Logs: c.logs, Caller: c.caller, Clock: c.Clock(), Log: log}
	return r.Run(ctx, ecs.OneOff{
		Cluster: cluster, TaskDefinition: webName, Containers: td.TaskDefinition.ContainerDefinitions, Container: "magento",
		Command: []string{"bin/magento", "nonsense"}, Placement: ecs.PlacementOf(svc.Services[0]), StartedBy: "test", ClientToken: "token", Timeout: 10 * time.Minute,
	})
}

// TestTaskLog: every line comes once, in order, while the task runs.
func TestTaskLog(t *testing.T) {
	w := newCloud(t, nil)
	var want []string
	for i := range 40 {
		want = append(want, fmt.Sprintf("line %d", i))
	}
	if err := w.Behave(awssim.Behavior{Standalone: true, Container: "magento", Logs: want, ExitAfter: awssim.Duration(time.Minute), Exit: aws.Int32(0)}); err != nil {
		t.Fatal(err)
	}
	var got []string
	live := 0
	end := w.run(context.Background(), t, func(l ecs.LogLine) {
		got = append(got, l.Text)
		if w.Clock().Now().Sub(l.At) < 15*time.Second {
			live++
		}
	})
	if !slices.Equal(got, want) || live != len(want) {
		t.Errorf("%d of %d lines, %d of them live: %q", len(got), len(want), live, got)
	}
	if n := len(end.LastLines); n != 20 || end.LastLines[n-1].Text != "line 39" {
		t.Errorf("kept: %v", end.LastLines)
	}
}

func TestTaskInterruptedRunsOn(t *testing.T) {
	w := newCloud(t, nil)
	if err := w.Behave(awssim.Behavior{Standalone: true, Container: "magento", ExitAfter: awssim.Duration(5 * time.Minute), Exit: aws.Int32(0)}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	n := 0
	w.Observe(func(c awssim.Call) {
		if c.Op == "ecs:DescribeTasks" {
			if n++; n == 4 {
				cancel()
			}
		}
	})
	end := w.run(ctx, t, nil)
	r := ecs.Runner{API: w.ecs, Logs: w.logs, Caller: w.caller, Clock: w.Clock()}
	running, err := r.Running(context.Background(), cluster, "test")
	if end.Verdict != ecs.TaskInterrupted || err != nil || len(running) != 1 || *running[0].TaskArn != end.ARN {
		t.Fatalf("%s: %s; running: %v, %v", end.Verdict, end.Reason, running, err)
	}
	end = r.Adopt(context.Background(), ecs.OneOff{Cluster: cluster, Container: "magento", Timeout: time.Hour}, end.ARN)
	if end.Verdict != ecs.TaskSucceeded || !end.Adopted {
		t.Errorf("%s: %s", end.Verdict, end.Reason)
	}
}

func TestDiagnose(t *testing.T) {
	w := newCloud(t, func(top *awssim.Topology) {
		top.Services[0].Value.DesiredCount = aws.Int32(4)
		top.Services[0].Value.DeploymentConfiguration.DeploymentCircuitBreaker = &types.DeploymentCircuitBreaker{Enable: true}
	})
	if err := w.Behave(awssim.Behavior{Family: webName, Container: "magento", ExitAfter: awssim.Duration(3 * time.Second), Exit: aws.Int32(255), Logs: []string{"PHP Fatal error:  no memory"}}); err != nil {
		t.Fatal(err)
	}
	out := w.follower().Follow(context.Background(), cluster, []ecs.Target{w.roll(t, webName)}, time.Hour)[0]
	if out.Verdict != ecs.Failed {
		t.Fatalf("%s: %s", out.Verdict, out.Reason)
	}
	td, err := awssim.Do[awsecs.DescribeTaskDefinitionOutput](w.World, "ecs:DescribeTaskDefinition", &awsecs.DescribeTaskDefinitionInput{TaskDefinition: aws.String(webName)})
	if err != nil {
		t.Fatal(err)
	}
	d := ecs.Diagnoser{API: w.ecs, Logs: w.logs, Caller: w.caller}
	diag := d.Diagnose(context.Background(), cluster, out, td.TaskDefinition.ContainerDefinitions)
	total := 0
	for _, f := range diag.Failures {
		total += f.Count
	}
	text := diag.String()
	if total < 3 || len(diag.Failures) > 3 || !strings.Contains(text, "magento: exit code 255") || !strings.Contains(text, "PHP Fatal error") || !strings.Contains(text, "deployment failed") {
		t.Errorf("%d tasks in %d ways:\n%s", total, len(diag.Failures), text)
	}
	w.faults(t, awssim.Fault{Op: "ecs:ListTasks", Kind: awssim.Denied})
	if diag := d.Diagnose(context.Background(), cluster, out, nil); !strings.Contains(diag.Note, "cannot be read") || len(diag.Events) == 0 {
		t.Errorf("%+v", diag)
	}
}
