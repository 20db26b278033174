package release

import (
	"context"
	"errors"
	"fmt"
)

// stop ends a release before its last step.
type stop struct {
	verdict Verdict
	reason  string
}

func (s *stop) Error() string { return s.reason }

func halt(v Verdict, format string, args ...any) error {
	return &stop{verdict: v, reason: fmt.Sprintf(format, args...)}
}

// errSkipped is returned by a step that has nothing to do, wrapped with why.
var errSkipped = errors.New("nothing to do")

// stepPreflight is the name of the step that only looks.
const stepPreflight = "preflight"

// step is one step of an operation. What it needs and leaves is its receiver's.
type step struct {
	name string
	do   func(context.Context) error
}

// perform does steps in order until one ends the operation, and writes them down in
// res.
func (s *session) perform(ctx context.Context, res *Result, steps []step) *stop {
	for _, st := range steps {
		s.step = st.name
		if ctx.Err() != nil {
			return &stop{Interrupted, fmt.Sprintf(sayInterruptedBefore, st.name)}
		}
		rec := Step{Name: st.name, Status: "done", Started: s.clock.Now()}
		s.note(LevelStep, "%s", st.name)
		err := st.do(ctx)
		rec.Ended = s.clock.Now()
		var end *stop
		rec.Status, rec.Detail, end = endOfStep(err, ctx.Err() != nil)
		res.Steps = append(res.Steps, rec)
		if end != nil {
			return end
		}
	}
	return nil
}

// endOfStep is what a step's error says of it, and of the operation: nil if that
// goes on.
func endOfStep(err error, interrupted bool) (status, detail string, end *stop) {
	switch {
	case err == nil:
		return "done", "", nil
	case errors.Is(err, errSkipped):
		return "skipped", err.Error(), nil
	case errors.As(err, &end):
		status := "failed"
		switch end.verdict {
		case Paused:
			status = "done"
		case Interrupted:
			status = "interrupted"
		}
		return status, end.reason, end
	case interrupted:
		return "failed", err.Error(), &stop{Interrupted, err.Error()}
	}
	return "failed", err.Error(), &stop{Broken, err.Error()}
}

// finish fills in what is the same for every operation.
func (s *session) finish(res *Result, v Verdict, reason string) *Result {
	res.Verdict, res.Reason, res.ExitCode = v, reason, v.ExitCode()
	res.Ended = s.clock.Now()
	res.Calls = s.caller.Calls()
	return res
}
