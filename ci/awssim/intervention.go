package awssim

import (
	"encoding/json"
	"fmt"
	"path"
	"time"

	"github.com/magecloudkit/pipeline/ci/awssim/internal/wire"
)

// Intervention is something that somebody else does, at a time or upon a call: another deployment, a service that is
// scaled, a fault that sets in.
type Intervention struct {
	// When: at At after the world's start, or once the call Upon has been carried out for the Nth time (default: the
	// first) counted from when the intervention was added, and Delay after that.
	At    Duration `json:"at,omitempty"`
	Upon  string   `json:"upon,omitempty"` // pattern: "ecs:UpdateService"
	Nth   int      `json:"nth,omitempty"`
	Delay Duration `json:"delay,omitempty"`

	// What: a call, with its parameters as the API has them, and what changes in the world.
	Op       string            `json:"op,omitempty"`
	Input    json.RawMessage   `json:"input,omitempty"`
	Behave   []Behavior        `json:"behave,omitempty"`
	Faults   []Fault           `json:"faults,omitempty"`
	SetFacts map[string]string `json:"setFacts,omitempty"`
}

type armedIntervention struct {
	Intervention
	seen int
	done bool
}

// Intervene plans interventions.
func (w *World) Intervene(plans ...Intervention) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.catchUp()
	for _, p := range plans {
		if p.Op != "" {
			if _, _, err := w.operation(p.Op); err != nil {
				return err
			}
		}
		if _, err := path.Match(p.Upon, ""); err != nil {
			return fmt.Errorf("intervention: upon %q is not a pattern", p.Upon)
		}
		for _, f := range p.Faults {
			if err := f.Check(); err != nil {
				return err
			}
		}
		for _, b := range p.Behave {
			if err := b.Check(); err != nil {
				return err
			}
		}
	}
	for _, p := range plans {
		if p.Upon == "" {
			w.k.At(w.k.Start.Add(time.Duration(p.At)+time.Duration(p.Delay)), func() { w.intervene(p) })
			continue
		}
		w.plans = append(w.plans, &armedIntervention{Intervention: p})
	}
	return nil
}

// upon starts the interventions that waited for a call.
func (w *World) upon(op string) {
	for _, p := range w.plans {
		if p.done {
			continue
		}
		if ok, _ := path.Match(p.Upon, op); !ok {
			continue
		}
		if p.seen++; p.seen == max(p.Nth, 1) {
			p.done = true
			if p.Delay > 0 {
				w.k.After(time.Duration(p.Delay), func() { w.intervene(p.Intervention) })
			} else {
				w.intervene(p.Intervention)
			}
		}
	}
}

// SomebodyElse is the user name in the ARN of whoever makes the calls of interventions.
const SomebodyElse = "somebody-else"

func (w *World) intervene(p Intervention) {
	_ = w.behaviors.Add(p.Behave...) // Intervene has checked them
	for _, f := range p.Faults {
		w.faults = append(w.faults, &armedFault{Fault: f})
	}
	for k, v := range p.SetFacts {
		w.behaviors.Facts[k] = v
	}
	if p.Op == "" {
		return
	}
	s, o, _ := w.operation(p.Op) // Intervene has seen that it is there
	c := &wire.Call{Service: s, Op: p.Op[len(s.Name)+1:], Now: w.k.Now, Caller: wire.Identity{ARN: fmt.Sprintf("arn:aws:iam::%s:user/%s", w.k.Account, SomebodyElse)}}
	rec := Call{Time: c.Now, Op: p.Op, Caller: c.Caller.ARN, Input: p.Input}
	in := o.In()
	err := wire.DecodeJSON(p.Input, in)
	if err == nil {
		_, err = o.Run(c, in)
	}
	if err != nil {
		rec.Code = wire.AsError(err).Error()
	}
	w.calls = append(w.calls, rec)
}
