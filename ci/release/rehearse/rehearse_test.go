package rehearse_test

import (
	"context"
	"testing"

	"github.com/magecloudkit/pipeline/ci/release/rehearse"
)

func TestScenarios(t *testing.T) {
	seen := map[string]bool{}
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
		})
	}
	if len(seen) < 50 {
		t.Errorf("only %d scenarios", len(seen))
	}
}
