package rehearse_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/magecloudkit/pipeline/ci/awssim"
	"github.com/magecloudkit/pipeline/ci/documents/valid"
	"github.com/magecloudkit/pipeline/ci/release"
	"github.com/magecloudkit/pipeline/ci/release/rehearse"
)

// TestScenarios plays the whole table, and compares what was called with the
// policy in docs.
func TestScenarios(t *testing.T) {
	var mu sync.Mutex
	called := map[string]bool{}
	schemas := valid.New(os.DirFS(filepath.Join("..", "..", "..", "docs", "schema")))
	seen := map[string]bool{}
	t.Run("all", func(t *testing.T) {
		for _, s := range rehearse.Scenarios() {
			if seen[s.Name] {
				t.Errorf("two scenarios are called %q", s.Name)
			}
			seen[s.Name] = true
			t.Run(s.Name, func(t *testing.T) {
				t.Parallel()
				o, err := rehearse.Run(context.Background(), s, nil)
				if err != nil {
					t.Fatal(err)
				}
				for _, w := range o.Wrong {
					t.Error(w)
				}
				mu.Lock()
				for _, c := range o.Stage.World.Calls() {
					if !strings.HasSuffix(c.Caller, awssim.SomebodyElse) {
						called[c.Op] = true
					}
				}
				mu.Unlock()
				printed(t, schemas, o)
			})
		}
	})
	if len(seen) < 50 {
		t.Errorf("only %d scenarios", len(seen))
	}
	if t.Failed() {
		return
	}
	allowed := policy(t)
	for op := range called {
		if !allowed[op] {
			t.Errorf("docs/iam/release.json does not allow %s, which a release calls", op)
		}
	}
	// Asked for by AWS when another call is made, and never called themselves.
	asked := map[string]string{
		"iam:PassRole":    "to register, run or schedule a task definition that names a role",
		"ecs:TagResource": "to register a task definition with tags",
	}
	for op := range allowed {
		if _, ok := asked[op]; !ok && !called[op] {
			t.Errorf("docs/iam/release.json allows %s, which no release calls", op)
		}
	}
}

// printed holds everything that can be printed after a scenario to its published schema.
func printed(t *testing.T, schemas *valid.Schemas, o rehearse.Outcome) {
	t.Helper()
	world, ctx := o.Stage.World, context.Background()
	looks := release.New(release.NewClients(world.ClientConfig()), release.Options{Clock: world.Clock()})
	documents := map[string]any{"release": o.Result, "rehearsal": []rehearse.Outcome{o}}
	if st, err := looks.Status(ctx, o.Stage.Request); err == nil {
		documents["status"] = st
	}
	if past, err := looks.History(ctx, o.Stage.Request, 5); err == nil {
		documents["history"] = past
	}
	if list, err := looks.EnvList(ctx, o.Stage.Request); err == nil {
		documents["environment"] = list
	}
	for kind, v := range documents {
		b, err := json.Marshal(v)
		if err == nil {
			err = schemas.Document(kind, b)
		}
		if err != nil {
			t.Errorf("%v:\n%.2000s", err, b)
		}
	}
}

// policy reads the actions that the policy allows.
func policy(t *testing.T) map[string]bool {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "iam", "release.json"))
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Statement []struct {
			Sid, Effect string
			Action      json.RawMessage
			Resource    json.RawMessage
		}
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	allowed := map[string]bool{}
	for _, s := range doc.Statement {
		var many []string
		var one string
		if json.Unmarshal(s.Action, &many) != nil {
			if err := json.Unmarshal(s.Action, &one); err != nil {
				t.Fatalf("statement %s: %v", s.Sid, err)
			}
			many = []string{one}
		}
		if s.Effect != "Allow" || slices.ContainsFunc(many, func(a string) bool { return strings.Contains(a, "*") }) {
			t.Errorf("statement %s: %s %v: every action is to be named", s.Sid, s.Effect, many)
		}
		for _, a := range many {
			allowed[a] = true
		}
	}
	return allowed
}

// TestFind looks scenarios up by name.
func TestFind(t *testing.T) {
	if s, err := rehearse.Find("out of memory"); err != nil || s.Name != "out of memory" {
		t.Errorf("%v, %v", s.Name, err)
	}
	if _, err := rehearse.Find("memory"); err == nil || !strings.Contains(err.Error(), `"out of memory"`) {
		t.Errorf("no near name is told: %v", err)
	}
}

// TestChecksCanFail makes sure that the state is really looked at: a verdict
// that was drawn from nowhere does not pass.
func TestChecksCanFail(t *testing.T) {
	o, err := rehearse.Run(context.Background(), find(t, "healthy roll of 2 tasks"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, check := range map[string]rehearse.Check{
		"ServicesUntouched": rehearse.ServicesUntouched, "NothingChanged": rehearse.NothingChanged, "CronUntouched": rehearse.CronUntouched,
		"ServicesRunBefore": rehearse.ServicesRunBefore, "SomebodyElseRules": rehearse.SomebodyElseRules,
	} {
		if check(o.Stage, o.Result) == nil {
			t.Errorf("%s holds after a release", name)
		}
	}
	o, err = rehearse.Run(context.Background(), find(t, "crash loop, circuit breaker rolls back"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, check := range map[string]rehearse.Check{
		"ServicesRunBuild": rehearse.ServicesRunBuild, "CronRunsBuild": rehearse.CronRunsBuild,
		"SomeServiceIsNotBack": rehearse.SomeServiceIsNotBack,
	} {
		if check(o.Stage, o.Result) == nil {
			t.Errorf("%s holds after a roll back", name)
		}
	}
}

func find(t *testing.T, name string) rehearse.Scenario {
	t.Helper()
	s, err := rehearse.Find(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// BenchmarkRelease is one release to a simulated cluster, the simulation
// included.
func BenchmarkRelease(b *testing.B) {
	s, err := rehearse.Find("healthy roll of 2 tasks")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := rehearse.Run(context.Background(), s, nil); err != nil {
			b.Fatal(err)
		}
	}
}
