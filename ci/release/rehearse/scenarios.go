package rehearse

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/magecloudkit/pipeline/ci/awssim"
	"github.com/magecloudkit/pipeline/ci/release"
)

// Short names keep the table readable.
const (
	released        = release.Released
	refused         = release.Refused
	migrationFailed = release.MigrationFailed
	rolledBack      = release.RolledBack
	notRolledBack   = release.NotRolledBack
	timedOut        = release.TimedOut
	superseded      = release.Superseded
	interrupted     = release.Interrupted
	incomplete      = release.Incomplete
	returned        = release.Returned
	finished        = release.Finished
	planned         = release.Planned
	steady          = release.Steady
	stands          = release.Paused
	installed       = release.Installed
	installFailed   = release.InstallFailed

	second = time.Second
	minute = time.Minute
)

type (
	world  = func(*awssim.Topology)
	ask    = func(*release.Request)
	behave = []awssim.Behavior
	faults = []awssim.Fault
	events = []awssim.Intervention
	facts  = map[string]string
)

// databaseIsOld makes setup:db:status answer 2 until setup:upgrade has run.
var databaseIsOld = facts{"db": "old"}

// Scenarios is the table. To add one, add a line: what the world is like, what
// goes wrong, and how the release must end. What the verdict says is checked
// on the world's own state; Also is for what the verdict does not say.
func Scenarios() []Scenario {
	return slices.Concat(
		releases(), refusals(), failedRolls(), migrations(), others(), lateness(), otherVerbs(), weather(),
		brokenCalls(), interruptions(), probed(), schedules(), installations(), steadying(), byStrategy(),
	)
}

// Mutating are the calls of a release that change something.
var Mutating = []string{
	"ecs:RegisterTaskDefinition", "ecs:RunTask", "ecs:UpdateService",
	"events:TagResource", "events:DisableRule", "events:EnableRule", "events:UntagResource", "events:PutTargets",
}

// Find returns the scenario of a name.
func Find(name string) (Scenario, error) {
	var near []string
	for _, s := range Scenarios() {
		if s.Name == name {
			return s, nil
		}
		if strings.Contains(s.Name, name) {
			near = append(near, fmt.Sprintf("%q", s.Name))
		}
	}
	if len(near) > 0 {
		return Scenario{}, fmt.Errorf("no scenario is called %q; there are %s", name, strings.Join(near, ", "))
	}
	return Scenario{}, fmt.Errorf("no scenario is called %q; --list shows them", name)
}
