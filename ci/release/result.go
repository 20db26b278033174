package release

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/magecloudkit/pipeline/ci/ecs"
	"github.com/magecloudkit/pipeline/ci/probe"
)

// Verdict is how a release ended. The set is closed.
type Verdict string

// The verdicts.
const (
	Released        Verdict = "released"         // also: there was nothing to change
	Returned        Verdict = "returned"         // by the verb rollback: the earlier build runs
	Finished        Verdict = "finished"         // by the verb run: the command has an exit code
	Planned         Verdict = "planned"          // a dry run: nothing was changed
	Refused         Verdict = "refused"          // before anything that runs was changed
	MigrationFailed Verdict = "migration failed" // the services are untouched
	Paused          Verdict = "paused"           // by --wait-until: the services stand at that stage, and nothing after the roll was done
	Steady          Verdict = "steady"           // by the verbs wait and scale: no deployment is in progress, and all tasks run
	Installed       Verdict = "installed"        // by the verb install: the database is a shop's
	InstallFailed   Verdict = "install failed"   // the database is neither empty nor a shop's; the services are untouched
	RolledBack      Verdict = "rolled back"      // the rollout failed; the services run what they ran before
	NotRolledBack   Verdict = "not rolled back"  // the rollout failed, and the services do not
	TimedOut        Verdict = "timed out"        // the rollout was not complete in time
	Superseded      Verdict = "superseded"       // another deployment took the place of ours
	Interrupted     Verdict = "interrupted"      // by a signal; the same command carries on
	Incomplete      Verdict = "incomplete"       // the services run the build; the cache or cron is not done
	Broken          Verdict = "error"            // anything else
)

// Verdicts are all that there are.
func Verdicts() []Verdict {
	return []Verdict{
		Released, Returned, Finished, Planned, Refused, MigrationFailed, Paused, Steady, Installed, InstallFailed, RolledBack, NotRolledBack, TimedOut, Superseded,
		Interrupted, Incomplete, Broken,
	}
}

// ExitCode is the process's exit code for a verdict. 2, a command line or a
// setting that cannot be taken, is not a release's verdict.
func (v Verdict) ExitCode() int {
	switch v {
	case Released, Returned, Finished, Planned, Paused, Steady, Installed:
		return 0
	case Refused:
		return 3
	case MigrationFailed, InstallFailed:
		return 4
	case RolledBack:
		return 5
	case NotRolledBack:
		return 6
	case TimedOut:
		return 7
	case Superseded:
		return 8
	}
	return 1
}

// Severity is how much a finding weighs.
type Severity string

// The severities.
const (
	SeverityError   Severity = "error"   // the release is refused
	SeverityWarning Severity = "warning" // the release goes on
)

// Finding is something that the preflight noticed.
type Finding struct {
	Severity Severity `json:"severity"`
	Subject  string   `json:"subject"` // what it is about: "service web", "image …"
	Message  string   `json:"message"`
	Do       string   `json:"do,omitempty"` // what to do about it
}

func (f Finding) String() string {
	s := fmt.Sprintf("%s: %s: %s", f.Severity, f.Subject, f.Message)
	if f.Do != "" {
		s += " (" + f.Do + ")"
	}
	return s
}

// Step is one step of a release as it went.
type Step struct {
	Name    string    `json:"name"`
	Status  string    `json:"status"` // "done", "skipped", "failed", "interrupted"
	Detail  string    `json:"detail,omitempty"`
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended"`
}

// Image is one image of the build, as its registry knows it.
type Image struct {
	Reference string   `json:"reference"`
	Digest    string   `json:"digest,omitempty"`
	Platforms []string `json:"platforms,omitempty"`
}

// Revision is a task definition before and after.
type Revision struct {
	For        []string    `json:"for"` // "service web", "cron rule shop-cron"
	Before     string      `json:"before"`
	After      string      `json:"after,omitempty"`
	Registered bool        `json:"registered"` // by this run
	Changes    ecs.Changes `json:"changes,omitempty"`
}

// ServiceResult is what became of one service.
type ServiceResult struct {
	Service    string         `json:"service"`
	Before     string         `json:"before"`               // revision that it ran
	Target     string         `json:"target"`               // revision that it was to run
	Runs       string         `json:"runs,omitempty"`       // revision at the end, as last seen
	Deployment string         `json:"deployment,omitempty"` // id of ours
	Moved      bool           `json:"moved"`                // UpdateService was carried out
	Verdict    ecs.Verdict    `json:"verdict,omitempty"`
	Reason     string         `json:"reason,omitempty"`
	Started    time.Time      `json:"started,omitzero"`
	Ended      time.Time      `json:"ended,omitzero"`
	Samples    []ecs.Sample   `json:"samples,omitempty"`
	Events     []ecs.Event    `json:"events,omitempty"`
	Diagnosis  *ecs.Diagnosis `json:"diagnosis,omitempty"`
	Rollback   *Rollback      `json:"rollback,omitempty"`
}

// Rollback is a service's way back.
type Rollback struct {
	How        string       `json:"how"` // "by ECS", "stopped", "redeployed"
	Deployment string       `json:"deployment,omitempty"`
	Verdict    ecs.Verdict  `json:"verdict,omitempty"`
	Reason     string       `json:"reason,omitempty"`
	Samples    []ecs.Sample `json:"samples,omitempty"`
}

// TaskResult is a one-off task of the release.
type TaskResult struct {
	Name    string   `json:"name"`
	Command []string `json:"command"`
	ecs.TaskEnd
}

// CronResult is what became of one rule or schedule that starts cron.
type CronResult struct {
	Rule     string   `json:"rule"`               // its name, as the request has it
	Schedule bool     `json:"schedule,omitempty"` // it is a schedule of EventBridge Scheduler
	Enabled  bool     `json:"enabled"`
	Paused   bool     `json:"paused,omitempty"` // this run disabled it for a while
	Before   []string `json:"before,omitempty"` // revisions its targets named
	After    []string `json:"after,omitempty"`
}

// ProbeResult is what an address of the shop answered at one moment of a release.
type ProbeResult struct {
	Service string `json:"service"`
	URL     string `json:"url"`
	When    string `json:"when"` // "at the test listener", "with all traffic, during the bake time", "after the roll", "after the way back"
	probe.Answer
	Asked   int       `json:"asked"` // how often
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended"`
}

// Result is everything there is to say about a release. It is what --json
// prints.
type Result struct {
	Verb      string          `json:"verb"`
	Cluster   string          `json:"cluster"`
	Build     string          `json:"build,omitempty"`
	By        string          `json:"by,omitempty"`
	Verdict   Verdict         `json:"verdict"`
	ExitCode  int             `json:"exitCode"`
	Reason    string          `json:"reason,omitempty"`
	Findings  []Finding       `json:"findings,omitempty"`
	Images    []Image         `json:"images,omitempty"`
	Revisions []Revision      `json:"revisions,omitempty"`
	Services  []ServiceResult `json:"services,omitempty"`
	Tasks     []TaskResult    `json:"tasks,omitempty"`
	Cron      []CronResult    `json:"cron,omitempty"`
	Probes    []ProbeResult   `json:"probes,omitempty"`
	Steps     []Step          `json:"steps"`
	// State says, line by line, what is true now.
	State   []string       `json:"state"`
	Started time.Time      `json:"started"`
	Ended   time.Time      `json:"ended"`
	Calls   map[string]int `json:"calls"` // to AWS, by operation
}

// TotalCalls is how many calls to AWS were made. The report reads it.
func (r *Result) TotalCalls() int {
	n := 0
	for _, c := range r.Calls {
		n += c
	}
	return n
}

// Diff prints what changes in every task definition.
func (r *Result) Diff() string {
	var b strings.Builder
	for _, rev := range r.Revisions {
		if len(rev.Changes) == 0 {
			fmt.Fprintf(&b, "%s (%s): unchanged\n", ecs.RevisionName(rev.Before), strings.Join(rev.For, ", "))
			continue
		}
		fmt.Fprintf(&b, "%s (%s):\n", ecs.RevisionName(rev.Before), strings.Join(rev.For, ", "))
		for _, line := range strings.SplitAfter(rev.Changes.String(), "\n") {
			if line != "" {
				b.WriteString("  " + line)
			}
		}
	}
	return r.home().short(b.String())
}

// home is that of the services and the task definitions.
func (r *Result) home() home {
	switch {
	case len(r.Services) > 0:
		return homeOf(r.Services[0].Before)
	case len(r.Revisions) > 0:
		return homeOf(r.Revisions[0].Before)
	}
	return home{}
}

// Summary prints the verdict and the state for a person.
func (r *Result) Summary() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s", r.Verb, r.Verdict)
	if r.Reason != "" {
		fmt.Fprintf(&b, ": %s", r.Reason)
	}
	b.WriteByte('\n')
	if r.Verb == "verify" {
		for _, f := range r.Findings {
			fmt.Fprintf(&b, "  %s\n", f)
		}
		for _, im := range r.Images {
			fmt.Fprintf(&b, "  image %s: %s %s\n", im.Reference, im.Digest, strings.Join(im.Platforms, ", "))
		}
	}
	for _, s := range r.Services {
		if s.Diagnosis != nil {
			b.WriteString(s.Diagnosis.String())
		}
	}
	for _, t := range r.Tasks {
		if !t.asExpected(r.Verdict) {
			t.print(&b)
		}
	}
	if len(r.State) > 0 {
		b.WriteString("now:\n")
		for _, line := range r.State {
			fmt.Fprintf(&b, "  %s\n", line)
		}
	}
	return r.home().short(b.String())
}

// asExpected reports whether nobody needs to be told of a task: setup:db:status and
// its like answer by their exit code.
func (t TaskResult) asExpected(v Verdict) bool {
	return t.Verdict == ecs.TaskSucceeded || t.Verdict == ecs.TaskExited && t.Name != "setup:upgrade" && v != MigrationFailed
}

func (t TaskResult) print(w io.Writer) {
	fmt.Fprintf(w, "task %s (%s): %s: %s\n", t.Name, ecs.TaskID(t.ARN), t.Verdict, t.TaskEnd.Reason)
	for _, c := range t.Containers {
		fmt.Fprintf(w, "  %s\n", c)
	}
	for _, l := range t.LastLines {
		fmt.Fprintf(w, "    | %s\n", l.Text)
	}
}

// Level is what kind of line an event is.
type Level string

// The levels.
const (
	LevelStep    Level = "step"    // a step begins
	LevelInfo    Level = "info"    //
	LevelWarning Level = "warning" //
	LevelError   Level = "error"   //
	LevelLog     Level = "log"     // a line of a task's own log
)

// Note is something that happened during a release.
type Note struct {
	At    time.Time
	Step  string
	Level Level
	Text  string
	// Rollout is where a service stands that rolls, if that is what the note tells.
	Rollout *ecs.Progress
}
