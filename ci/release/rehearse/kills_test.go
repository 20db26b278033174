package rehearse

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/magecloudkit/pipeline/ci/awssim"
	"github.com/magecloudkit/pipeline/ci/release"
)

var kills = flag.Int("kills", 20, "at how many random moments a release is killed, under each strategy")

// A release that was killed (no further call gets through) or interrupted (it may still say
// what is true) after any call whatever is taken up by the same command, which ends right
// and upgrades the database once.
func TestKilledAtRandomMoments(t *testing.T) {
	for _, strategy := range []types.DeploymentStrategy{
		types.DeploymentStrategyRolling, types.DeploymentStrategyBlueGreen, types.DeploymentStrategyLinear, types.DeploymentStrategyCanary,
	} {
		t.Run(string(strategy), func(t *testing.T) {
			t.Parallel()
			killed(t, strategy, Scenario{Want: release.Released, Request: within(30 * minute), Facts: databaseIsOld, Also: checks(oneTask("setup:upgrade"), upgraded)})
		})
		t.Run(string(strategy)+", of a build that fails", func(t *testing.T) {
			t.Parallel()
			killed(t, strategy, Scenario{Want: release.RolledBack, Request: both(noMigration, within(30*minute)), Behave: webFails})
		})
	}
}

// killed kills the release of a scenario, and releases again. Where that comes while the
// way back is still in progress, it is refused.
func killed(t *testing.T, name types.DeploymentStrategy, whole Scenario) {
	world := func(*awssim.Topology) {}
	if name != types.DeploymentStrategyRolling {
		world = worlds(strategy(name, Web), strategy(name, Consumers))
	}
	whole.Name, whole.World = "undisturbed", world
	undisturbed, err := Run(t.Context(), whole, nil)
	if err != nil || !undisturbed.OK() {
		t.Fatal(err, undisturbed.Wrong)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for i := range *kills {
		s := whole
		s.SignalOn, s.SignalAt, s.Crash = anyCall, 1+random.IntN(undisturbed.Calls), i%2 == 0
		s.Again, s.Later = true, time.Duration(random.IntN(int(40*minute)))
		s.Name = fmt.Sprintf("after call %d of %d (crash: %t), and again %s later", s.SignalAt, undisturbed.Calls, s.Crash, s.Later.Round(time.Second))
		out, err := Run(t.Context(), s, nil)
		if err != nil {
			t.Fatal(s.Name, err)
		}
		if s.Want != release.Released && out.Got == release.Refused {
			continue
		}
		for _, wrong := range out.Wrong {
			t.Errorf("%s: %s", s.Name, wrong)
		}
	}
}
