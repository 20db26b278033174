package ecs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// Verdict is how a rollout ended. The set is closed.
type Verdict string

const (
	// Completed says that the deployment is the service's primary one and complete
	// for ECS, and that as many tasks run as are wanted.
	Completed Verdict = "completed"
	// Failed says that ECS gave the deployment up, or the service is gone.
	Failed Verdict = "failed"
	// RolledBack says that ECS gave the deployment up and is returning, or has returned,
	// to the one before. That is a failed deployment too.
	RolledBack Verdict = "rolled back"
	// Superseded says that somebody else's deployment has taken its place.
	Superseded Verdict = "superseded"
	// TimedOut says that it was still going on when the time was up.
	TimedOut Verdict = "timed out"
	// Interrupted says that nobody is waiting for it any more. ECS carries on by itself.
	Interrupted Verdict = "interrupted"
	// Rejected says that ECS goes on with it, and our own check at one of its stages says
	// that it is no good.
	Rejected Verdict = "rejected"
	// Paused says that it stands at the stage up to which it was to be followed.
	Paused Verdict = "paused"
)

// Verdicts are all that there are.
func Verdicts() []Verdict {
	return []Verdict{Completed, Failed, RolledBack, Superseded, TimedOut, Interrupted, Rejected, Paused}
}

// Done reports whether the verdict is one that ECS gave, rather than the end
// of our waiting.
func (v Verdict) Done() bool {
	switch v {
	case Completed, Failed, RolledBack, Superseded:
		return true
	}
	return false
}

// ServicesPerCall is how many services one DescribeServices takes.
const ServicesPerCall = 10

// RolloutAPI is what following a rollout reads.
type RolloutAPI interface {
	DescribeServices(context.Context, *awsecs.DescribeServicesInput, ...func(*awsecs.Options)) (*awsecs.DescribeServicesOutput, error)
	ListServiceDeployments(context.Context, *awsecs.ListServiceDeploymentsInput, ...func(*awsecs.Options)) (*awsecs.ListServiceDeploymentsOutput, error)
	DescribeServiceDeployments(context.Context, *awsecs.DescribeServiceDeploymentsInput, ...func(*awsecs.Options)) (*awsecs.DescribeServiceDeploymentsOutput, error)
	DescribeServiceRevisions(context.Context, *awsecs.DescribeServiceRevisionsInput, ...func(*awsecs.Options)) (*awsecs.DescribeServiceRevisionsOutput, error)
}

// Target is one deployment to follow.
type Target struct {
	Service        string // name
	Deployment     string // id, "ecs-svc/…"
	TaskDefinition string // ARN of the revision that is being rolled out
	// Since is when the deployment was created or last changed when it was
	// first seen, by AWS's clock. What is older is not about it.
	Since time.Time
}

// TargetOf makes a target of a deployment as ECS has just described it. A roll
// back revives an old deployment under its old id: its last change counts.
func TargetOf(service string, d types.Deployment) Target {
	since := aws.ToTime(d.CreatedAt)
	if u := aws.ToTime(d.UpdatedAt); u.After(since) {
		since = u
	}
	return Target{Service: service, Deployment: aws.ToString(d.Id), TaskDefinition: aws.ToString(d.TaskDefinition), Since: since}
}

// Outcome is how one deployment ended, and what was seen of it.
type Outcome struct {
	Target
	Verdict Verdict
	Reason  string // in ECS's words where it gave any
	// Successor is the deployment that took the place of this one.
	Successor               string
	SuccessorTaskDefinition string

	// Stage is where it stood when last seen, if ECS moves traffic in it.
	Stage Stage

	Desired, Running, Pending int32
	// Failed is the largest number of failed tasks seen. ECS's own counter
	// starts again at zero.
	Failed  int32
	Started time.Time // when we began to follow it
	Ended   time.Time
	Seen    time.Time // of the last good read; zero if there was none
	Samples []Sample
	Events  []Event
}

// Sample is one look at a deployment.
type Sample struct {
	At      time.Time `json:"at"`
	Desired int32     `json:"desired"`
	Pending int32     `json:"pending"`
	Running int32     `json:"running"`
	Failed  int32     `json:"failed"`
	// Old counts the tasks of other deployments that still run.
	Old   int32  `json:"old"`
	State string `json:"state,omitempty"` // ECS's rollout state
	Stage string `json:"stage,omitempty"` // ECS's lifecycle stage, where it moves traffic
}

// Event is a line that ECS wrote into a service's events.
type Event struct {
	At      time.Time `json:"at"`
	Message string    `json:"message"`
}

// Progress is told after every look at a deployment that showed something new.
type Progress struct {
	Service string
	Sample
	Events []Event
	// ETA is a guess at how long it still takes; zero if there is none.
	ETA time.Duration
}

// Follower follows rollouts.
type Follower struct {
	API    RolloutAPI
	Caller *Caller
	Clock  Clock
	// Progress may be nil.
	Progress func(Progress)
	// Random gives jitter in [0, 1).
	Random func() float64
	// All waits for every deployment, even after one has failed.
	All bool
	// Check, if not nil, is asked after every look about a deployment that moves
	// traffic and has no verdict yet. Its error is why it is [Rejected],
	// or [ErrPaused].
	Check func(ctx context.Context, service string, at Stage) error

	blind bool // service deployments may not be read
}

// The time between two looks grows from the first to the second.
const (
	PollFirst = 5 * time.Second
	PollLast  = 15 * time.Second
)

// Follow watches deployments of one cluster until each has a verdict, until
// one has failed (unless All, there is no point in waiting for the rest), until the time
// is up, or until ctx ends. Errors of single reads do not end it. The outcomes
// come in the order of the targets.
func (f *Follower) Follow(ctx context.Context, cluster string, targets []Target, timeout time.Duration) []Outcome {
	start := f.Clock.Now()
	deadline := start.Add(timeout)
	states := make([]*following, len(targets))
	for i, t := range targets {
		states[i] = &following{out: Outcome{Target: t, Started: start}, events: map[string]bool{}, updated: t.Since}
	}
	interval := PollFirst
	refused := 0 // looks in a row that AWS refused, and will refuse again
	var lastErr error
	for {
		open, stop := f.pending(states)
		if len(open) == 0 || stop {
			return f.finish(states, Interrupted, "not waited for, because another service failed")
		}
		lastErr = f.look(ctx, cluster, open)
		if Expired(lastErr) || Denied(lastErr) {
			refused++
		} else {
			refused = 0
		}
		open, stop = f.pending(states)
		if len(open) == 0 || stop {
			continue
		}
		if ctx.Err() != nil {
			return f.finish(states, Interrupted, "waiting was interrupted; ECS carries on by itself")
		}
		if refused > 2 {
			return f.finish(states, Interrupted, fmt.Sprintf("AWS no longer lets us look (%v); ECS carries on by itself", lastErr))
		}
		now := f.Clock.Now()
		if !now.Before(deadline) {
			reason := fmt.Sprintf("not complete after %s", timeout)
			if lastErr != nil {
				reason += fmt.Sprintf("; the last look failed: %v", lastErr)
			}
			return f.finish(states, TimedOut, reason)
		}
		wait := time.Duration(float64(interval) * (0.9 + 0.2*f.Random()))
		if err := f.Clock.Sleep(ctx, min(wait, deadline.Sub(now))); err != nil {
			return f.finish(states, Interrupted, "waiting was interrupted; ECS carries on by itself")
		}
		interval = min(interval+interval/4, PollLast)
	}
}

// following is a deployment being followed.
type following struct {
	out     Outcome
	events  map[string]bool
	updated time.Time // of the newest snapshot seen
	steady  int       // looks in a row that would do where ECS gives no state
	missing int       // looks in a row that did not find the service
}

func (f *Follower) pending(states []*following) (open []*following, failed bool) {
	for _, s := range states {
		switch s.out.Verdict {
		case "":
			open = append(open, s)
		case Failed, RolledBack, Rejected:
			failed = !f.All
		}
	}
	return open, failed
}

func (f *Follower) finish(states []*following, rest Verdict, reason string) []Outcome {
	out := make([]Outcome, len(states))
	for i, s := range states {
		if s.out.Verdict == "" {
			why := reason
			if at := s.out.Stage.String(); at != "" {
				why += "; it stood " + at
			}
			s.end(rest, why, f.Clock.Now())
		}
		out[i] = s.out
	}
	return out
}

func (s *following) end(v Verdict, reason string, at time.Time) {
	s.out.Verdict, s.out.Reason, s.out.Ended = v, reason, at
}

// look reads every open service once, ten at a time.
func (f *Follower) look(ctx context.Context, cluster string, open []*following) error {
	// One attempt: the next look is the retry.
	once := f.Caller.Within(0)
	var errs []error
	for chunk := range slices.Chunk(open, ServicesPerCall) {
		names := make([]string, len(chunk))
		for i, s := range chunk {
			names[i] = s.out.Service
		}
		out, err := Call(ctx, once, "DescribeServices", Repeatable, func(ctx context.Context) (*awsecs.DescribeServicesOutput, error) {
			return f.API.DescribeServices(ctx, &awsecs.DescribeServicesInput{Cluster: aws.String(cluster), Services: names})
		})
		if err != nil {
			errs = append(errs, err)
			continue
		}
		f.stages(ctx, chunk, out.Services)
		for _, s := range chunk {
			i := slices.IndexFunc(out.Services, func(svc types.Service) bool { return aws.ToString(svc.ServiceName) == s.out.Service })
			if i < 0 {
				// One answer without it may be a stale one.
				if s.missing++; s.missing > 1 {
					s.end(Failed, "the service no longer exists", f.Clock.Now())
				}
				continue
			}
			s.missing = 0
			f.judge(ctx, cluster, s, &out.Services[i])
			f.check(ctx, s)
		}
	}
	return errors.Join(errs...)
}

// deployments picks the deployment that is followed and the primary one; nil: it is
// not there.
func (s *following) deployments(svc *types.Service) (ours, primary *types.Deployment) {
	for i := range svc.Deployments {
		d := &svc.Deployments[i]
		if aws.ToString(d.Id) == s.out.Deployment {
			ours = d
		}
		if aws.ToString(d.Status) == "PRIMARY" {
			primary = d
		}
	}
	return ours, primary
}

// stale reports whether a snapshot is older than what is known, or from before the
// deployment that is followed.
func (s *following) stale(ours, primary *types.Deployment) bool {
	if ours == nil {
		return primary == nil || !TargetOf("", *primary).Since.After(s.out.Since)
	}
	at := aws.ToTime(ours.UpdatedAt)
	if at.Before(s.updated) {
		return true
	}
	s.updated = at
	return false
}

// judge draws from one snapshot of a service what it says about the deployment.
func (f *Follower) judge(ctx context.Context, cluster string, s *following, svc *types.Service) {
	now := f.Clock.Now()
	if st := aws.ToString(svc.Status); st == "INACTIVE" || st == "DRAINING" {
		s.out.Seen = now
		f.tell(s, svc, nil)
		s.end(Failed, fmt.Sprintf("the service is being deleted (status %s)", st), now)
		return
	}
	ours, primary := s.deployments(svc)
	if s.stale(ours, primary) {
		return
	}
	s.out.Seen = now
	f.tell(s, svc, ours)

	if primary == nil {
		return
	}
	if ours == primary {
		f.judgePrimary(s, svc, ours, now)
		return
	}
	s.out.Successor = aws.ToString(primary.Id)
	s.out.SuccessorTaskDefinition = aws.ToString(primary.TaskDefinition)
	reason := ""
	if ours != nil {
		reason = aws.ToString(ours.RolloutStateReason)
	}
	switch {
	case ours != nil && ours.RolloutState == types.DeploymentRolloutStateFailed:
		s.end(RolledBack, cmp.Or(reason, aws.ToString(primary.RolloutStateReason), "ECS rolled the deployment back"), now)
	case rollingBack(aws.ToString(primary.RolloutStateReason)):
		s.end(RolledBack, aws.ToString(primary.RolloutStateReason), now)
	default:
		if why, back := f.rolledBack(ctx, cluster, s); back {
			s.end(RolledBack, why, now)
			return
		}
		s.end(Superseded, fmt.Sprintf("deployment %s of %s took its place", s.out.Successor, RevisionName(s.out.SuccessorTaskDefinition)), now)
	}
}

func (f *Follower) judgePrimary(s *following, svc *types.Service, ours *types.Deployment, now time.Time) {
	switch ours.RolloutState {
	case types.DeploymentRolloutStateFailed:
		s.end(Failed, cmp.Or(aws.ToString(ours.RolloutStateReason), "ECS gave the deployment up"), now)
	case types.DeploymentRolloutStateCompleted:
		if ours.RunningCount == ours.DesiredCount {
			s.end(Completed, aws.ToString(ours.RolloutStateReason), now)
		}
	case "":
		// A Classic Load Balancer: ECS gives no rollout state. The old tasks
		// must be gone and the count right, and ECS must say that the service
		// is steady, or twice in a row.
		if len(svc.Deployments) == 1 && ours.PendingCount == 0 && ours.RunningCount == ours.DesiredCount && ours.DesiredCount == svc.DesiredCount {
			if s.steady++; s.steady > 1 || s.saidSteady() {
				s.end(Completed, "the only deployment, with all its tasks running", now)
			}
		} else {
			s.steady = 0
		}
	}
}

// saidSteady reports whether the last event says that the service is steady.
func (s *following) saidSteady() bool {
	n := len(s.out.Events)
	return n > 0 && strings.Contains(s.out.Events[n-1].Message, "has reached a steady state")
}

func rollingBack(reason string) bool {
	return strings.Contains(strings.ToLower(reason), "rolling back") || strings.Contains(strings.ToLower(reason), "rollback")
}

// rolledBack asks ECS's record of service deployments whether the one that
// rolled out our revision was rolled back. It is for the case that the list of
// deployments no longer tells.
func (f *Follower) rolledBack(ctx context.Context, cluster string, s *following) (string, bool) {
	out, err := Call(ctx, f.Caller, "ListServiceDeployments", Repeatable, func(ctx context.Context) (*awsecs.ListServiceDeploymentsOutput, error) {
		return f.API.ListServiceDeployments(ctx, &awsecs.ListServiceDeploymentsInput{
			Cluster: aws.String(cluster), Service: aws.String(s.out.Service),
			CreatedAt: &types.CreatedAt{After: aws.Time(s.out.Since.Add(-time.Minute))},
		})
	})
	if err != nil {
		return "", false
	}
	byRevision := map[string]types.ServiceDeploymentBrief{}
	var revisions []string
	for _, d := range out.ServiceDeployments {
		switch d.Status {
		case types.ServiceDeploymentStatusRollbackRequested, types.ServiceDeploymentStatusRollbackInProgress,
			types.ServiceDeploymentStatusRollbackSuccessful, types.ServiceDeploymentStatusRollbackFailed:
			arn := aws.ToString(d.TargetServiceRevisionArn)
			byRevision[arn] = d
			revisions = append(revisions, arn)
		}
	}
	if len(revisions) == 0 {
		return "", false
	}
	revs, err := Call(ctx, f.Caller, "DescribeServiceRevisions", Repeatable, func(ctx context.Context) (*awsecs.DescribeServiceRevisionsOutput, error) {
		return f.API.DescribeServiceRevisions(ctx, &awsecs.DescribeServiceRevisionsInput{ServiceRevisionArns: revisions})
	})
	if err != nil {
		return "", false
	}
	for _, r := range revs.ServiceRevisions {
		if aws.ToString(r.TaskDefinition) == s.out.TaskDefinition {
			d := byRevision[aws.ToString(r.ServiceRevisionArn)]
			return cmp.Or(aws.ToString(d.StatusReason), "ECS rolled the deployment back ("+string(d.Status)+")"), true
		}
	}
	return "", false
}

// tell keeps what a snapshot shows and reports what is new in it.
func (f *Follower) tell(s *following, svc *types.Service, ours *types.Deployment) {
	sample := Sample{At: f.Clock.Now()}
	if n := len(s.out.Samples); n > 0 {
		last := s.out.Samples[n-1]
		sample.Desired, sample.Pending, sample.Running, sample.State = last.Desired, last.Pending, last.Running, last.State
	}
	for i := range svc.Deployments {
		if d := &svc.Deployments[i]; d != ours {
			sample.Old += d.RunningCount
		}
	}
	if ours != nil {
		s.out.Failed = max(s.out.Failed, ours.FailedTasks)
		sample.Desired, sample.Pending, sample.Running, sample.State = ours.DesiredCount, ours.PendingCount, ours.RunningCount, string(ours.RolloutState)
	}
	sample.Failed, sample.Stage = s.out.Failed, s.out.Stage.Name
	s.out.Desired, s.out.Running, s.out.Pending = sample.Desired, sample.Running, sample.Pending

	var fresh []Event
	for _, e := range slices.Backward(svc.Events) { // ECS gives the newest first
		id := aws.ToString(e.Id)
		if at := aws.ToTime(e.CreatedAt); !s.events[id] && !at.Before(s.out.Since) {
			s.events[id] = true
			fresh = append(fresh, Event{At: at, Message: aws.ToString(e.Message)})
		}
	}
	s.out.Events = append(s.out.Events, fresh...)

	changed := len(s.out.Samples) == 0
	if !changed {
		last := s.out.Samples[len(s.out.Samples)-1]
		last.At = sample.At
		changed = last != sample
	}
	s.out.Samples = append(s.out.Samples, sample)
	if f.Progress != nil && (changed || len(fresh) > 0) {
		f.Progress(Progress{Service: s.out.Service, Sample: sample, Events: fresh, ETA: s.eta(sample)})
	}
}

// eta takes the pace so far for the pace to come.
func (s *following) eta(now Sample) time.Duration {
	if now.Running <= 0 || now.Running >= now.Desired {
		return 0
	}
	per := now.At.Sub(s.out.Started) / time.Duration(now.Running)
	return (per * time.Duration(now.Desired-now.Running)).Round(time.Second)
}

// RevisionName shortens the ARN of a task definition to family:revision.
func RevisionName(arn string) string {
	if _, name, ok := strings.Cut(arn, ":task-definition/"); ok {
		return name
	}
	return arn
}

// Family is the family of a task definition's ARN.
func Family(arn string) string {
	name, _, _ := strings.Cut(RevisionName(arn), ":")
	return name
}
