package awssim

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"time"

	"github.com/magecloudkit/pipeline/ci/awssim/internal/kernel"
	"github.com/magecloudkit/pipeline/ci/awssim/internal/wire"
)

// FaultKind is what goes wrong with a call.
type FaultKind string

// The kinds of fault.
const (
	Throttle   FaultKind = "throttle"    // ThrottlingException: Rate exceeded; nothing was done
	Broken     FaultKind = "broken"      // a 500; nothing was done
	BrokenLate FaultKind = "broken-late" // a 500, although it was done
	DropBefore FaultKind = "drop-before" // the connection is cut and nothing was done
	DropAfter  FaultKind = "drop-after"  // the connection is cut after it was done
	Expired    FaultKind = "expired"     // ExpiredTokenException
	BadKey     FaultKind = "bad-key"     // UnrecognizedClientException
	Denied     FaultKind = "denied"      // AccessDeniedException naming caller, action and resource
	Slow       FaultKind = "slow"        // the answer takes Delay on the world's clock
	Stale      FaultKind = "stale"       // a read sees the world as it was Delay ago
	Fail       FaultKind = "fail"        // the error that Code, Message and Status say
)

// Fault makes calls go wrong. The zero values of Nth, Every, Times, From and Until mean: every matching call.
type Fault struct {
	Op      string    `json:"op"`                // "ecs:UpdateService", "ecs:Describe*", "*"
	Kind    FaultKind `json:"kind"`              //
	Nth     int       `json:"nth,omitempty"`     // only the nth matching call, counted from 1 since the fault was added
	Every   int       `json:"every,omitempty"`   // every nth matching call
	Times   int       `json:"times,omitempty"`   // no more than so many
	From    Duration  `json:"from,omitempty"`    // not before, since the world's start
	Until   Duration  `json:"until,omitempty"`   // not from then on, since the world's start
	Delay   Duration  `json:"delay,omitempty"`   // for Slow and Stale
	Code    string    `json:"code,omitempty"`    // for Fail
	Message string    `json:"message,omitempty"` // for Fail
	Status  int       `json:"status,omitempty"`  // for Fail; 0 is 400
}

// Check says what is wrong with a fault.
func (f Fault) Check() error {
	switch f.Kind {
	case Throttle, Broken, BrokenLate, DropBefore, DropAfter, Expired, BadKey, Denied:
	case Slow, Stale:
		if f.Delay <= 0 {
			return fmt.Errorf("fault %q on %q: delay is missing", f.Kind, f.Op)
		}
		if f.Kind == Stale && time.Duration(f.Delay) > kernel.Memory {
			return fmt.Errorf("fault %q on %q: the world remembers %s, not %s", f.Kind, f.Op, kernel.Memory, time.Duration(f.Delay))
		}
	case Fail:
		if f.Code == "" {
			return fmt.Errorf("fault %q on %q: code is missing", f.Kind, f.Op)
		}
	default:
		return fmt.Errorf("fault on %q: kind %q is not known", f.Op, f.Kind)
	}
	if _, err := path.Match(f.Op, ""); err != nil || f.Op == "" {
		return fmt.Errorf("fault %q: op %q is not a pattern like ecs:UpdateService, ecs:Describe* or *", f.Kind, f.Op)
	}
	return nil
}

// armedFault is a fault with what it has seen.
type armedFault struct {
	Fault
	seen, fired int
}

// matches counts a call and says whether the fault strikes it.
func (f *armedFault) matches(op string, since time.Duration) bool {
	if ok, _ := path.Match(f.Op, op); !ok {
		return false
	}
	if since < time.Duration(f.From) || f.Until > 0 && since >= time.Duration(f.Until) {
		return false
	}
	f.seen++
	switch {
	case f.Nth > 0 && f.seen != f.Nth,
		f.Every > 0 && f.seen%f.Every != 0,
		f.Times > 0 && f.fired >= f.Times:
		return false
	}
	f.fired++
	return true
}

// answer is the error that a fault answers with before anything is done; nil if it is none of that kind.
func (f *armedFault) answer(c *wire.Call) *wire.Error {
	switch f.Kind {
	case Throttle:
		if c.Service.Protocol == wire.Query {
			return wire.Errf("Throttling", "Rate exceeded")
		}
		return wire.Errf("ThrottlingException", "Rate exceeded")
	case Broken, BrokenLate:
		return &wire.Error{Code: "ServerException", Message: "Service Unavailable. Please try again later.", Status: 500}
	case Expired:
		return expiredToken(c)
	case BadKey:
		if c.Service.Protocol == wire.Query {
			return &wire.Error{Code: "InvalidClientTokenId", Message: "The security token included in the request is invalid.", Status: 403}
		}
		return wire.Errf("UnrecognizedClientException", "The security token included in the request is invalid.")
	case Denied:
		return c.Denied("*")
	case Fail:
		return &wire.Error{Code: f.Code, Message: f.Message, Status: f.Status}
	}
	return nil
}

// denied says whether a fault denies an action from now on.
func (w *World) denied(action string) bool {
	return slices.ContainsFunc(w.faults, func(f *armedFault) bool {
		match, _ := path.Match(f.Op, action) // AddFault has checked the pattern
		return f.Kind == Denied && match
	})
}

func expiredToken(c *wire.Call) *wire.Error {
	if c.Service.Protocol == wire.Query {
		return &wire.Error{Code: "ExpiredToken", Message: "The security token included in the request is expired", Status: 403}
	}
	return wire.Errf("ExpiredTokenException", "The security token included in the request is expired")
}

// Call is one call as the world saw it.
type Call struct {
	Time    time.Time       `json:"time"`
	Op      string          `json:"op"`                // "ecs:UpdateService": the IAM action's name
	Caller  string          `json:"caller"`            // ARN
	Agent   string          `json:"agent,omitempty"`   // User-Agent
	Input   json.RawMessage `json:"input,omitempty"`   // the parameters; secrets are not among them
	Code    string          `json:"code,omitempty"`    // the error's code, if it was one
	Fault   FaultKind       `json:"fault,omitempty"`   // the fault that struck
	Request string          `json:"request,omitempty"` // x-amzn-requestid
}
