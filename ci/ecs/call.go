package ecs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Caller makes calls to AWS, and makes them again where that is right. The
// SDK's own retries must be off (aws.NopRetryer): they sleep on the machine's
// clock, and they repeat calls whose first attempt may have worked.
type Caller struct {
	clock  Clock
	random func() float64
	// Patience is how long a call is repeated before its error is given back.
	patience time.Duration
	// attempts is how often a call is made at most; 0: patience alone decides.
	attempts int
	// renew gets fresh credentials once a call was refused for old ones.
	renew func(context.Context) error
	retry func(Retry)
	count *count
}

type count struct {
	mu    sync.Mutex
	calls map[string]int
}

func (c *count) add(op string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls[op]++
}

// Retry tells of a call that is going to be made again.
type Retry struct {
	Op   string
	Err  error
	Wait time.Duration
}

// CallerOption changes how a Caller behaves.
type CallerOption func(*Caller)

// WithAttempts sets how often a call is made at most. 0, the default, leaves it to
// the patience.
func WithAttempts(n int) CallerOption { return func(c *Caller) { c.attempts = n } }

// WithRandom sets the source of jitter: numbers in [0, 1).
func WithRandom(f func() float64) CallerOption { return func(c *Caller) { c.random = f } }

// WithRenew sets what gets fresh credentials once AWS says that the ones in
// use have expired.
func WithRenew(f func(context.Context) error) CallerOption { return func(c *Caller) { c.renew = f } }

// WithRetryNotice sets who is told of every repeated call.
func WithRetryNotice(f func(Retry)) CallerOption { return func(c *Caller) { c.retry = f } }

// NewCaller returns a Caller that waits on the clock.
func NewCaller(clock Clock, options ...CallerOption) *Caller {
	c := &Caller{clock: clock, random: rand.Float64, patience: 90 * time.Second, count: &count{calls: map[string]int{}}}
	for _, o := range options {
		o(c)
	}
	return c
}

// Calls counts the attempts of every operation so far.
func (c *Caller) Calls() map[string]int {
	c.count.mu.Lock()
	defer c.count.mu.Unlock()
	return maps.Clone(c.count.calls)
}

// Within returns a Caller that repeats calls for no longer than d, and counts
// its calls with c's. With 0 every call is made once.
func (c *Caller) Within(d time.Duration) *Caller {
	out := *c
	out.patience = d
	return &out
}

// CallError is the end of a call that did not work out.
type CallError struct {
	Op  string
	Err error
	// Unknown: the call may have been carried out all the same. The connection
	// broke, or the server failed, after the request was on its way.
	Unknown bool
}

func (e *CallError) Error() string {
	if e.Unknown {
		return fmt.Sprintf("%s: no clear answer, it may have been carried out: %v", e.Op, e.Err)
	}
	return fmt.Sprintf("%s: %v", e.Op, e.Err)
}

func (e *CallError) Unwrap() error { return e.Err }

// Kind says whether an operation may be made twice.
type Kind int

const (
	// Repeatable operations have the same effect when made twice: reads, and
	// writes that are idempotent or carry a client token.
	Repeatable Kind = iota
	// Once is for operations that must not be made twice. When it is not known
	// whether the first attempt worked, the CallError says Unknown and the
	// caller must look. Throttled attempts are repeated: they were refused.
	Once
)

// attemptTimeout is how long a connection may say nothing, by the machine's
// clock.
const attemptTimeout = time.Minute

// Call makes one call. The call itself is not cut short when ctx ends, so that
// its effect is known; ctx ends the waiting between attempts.
func Call[T any](ctx context.Context, c *Caller, op string, kind Kind, fn func(context.Context) (T, error)) (T, error) {
	var zero T
	if err := ctx.Err(); err != nil {
		return zero, &CallError{Op: op, Err: context.Cause(ctx)}
	}
	start := c.clock.Now()
	wait := time.Second
	renewed, maybe := false, false
	for n := 1; ; n++ {
		c.count.add(op)
		out, err := attempt(ctx, fn)
		if err == nil {
			return out, nil
		}
		fault := classify(err)
		maybe = maybe || carriedOut(op, kind, fault, err)
		if fault == faultExpired && c.renew != nil && !renewed {
			renewed = true
			if rerr := c.renew(ctx); rerr != nil {
				return zero, &CallError{Op: op, Err: fmt.Errorf("%w (renewing the credentials: %w)", err, rerr)}
			}
			continue
		}
		pause := time.Duration(float64(wait) * (0.75 + 0.5*c.random()))
		if !worthwhile(kind, fault) || n == c.attempts || c.clock.Now().Add(pause).Sub(start) > c.patience {
			return zero, &CallError{Op: op, Err: err, Unknown: maybe}
		}
		if c.retry != nil {
			c.retry(Retry{Op: op, Err: err, Wait: pause})
		}
		if serr := c.clock.Sleep(ctx, pause); serr != nil {
			return zero, &CallError{Op: op, Err: fmt.Errorf("%w (%w)", err, serr), Unknown: maybe}
		}
		wait = min(2*wait, 20*time.Second)
	}
}

// attempt makes a call once, and lets it end.
func attempt[T any](ctx context.Context, fn func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), attemptTimeout)
	defer cancel()
	return fn(ctx)
}

// carriedOut reports whether an attempt that failed may have had its effect all the
// same. Of a read, or of what was never sent, there is nothing to carry out.
func carriedOut(op string, kind Kind, f fault, err error) bool {
	return f == faultServer && !neverSent(err) && (kind == Once || !reads(op))
}

// worthwhile reports whether an attempt that failed is to be repeated at all.
func worthwhile(kind Kind, f fault) bool {
	return f == faultThrottled || f == faultServer && kind == Repeatable
}

// reads reports whether an operation changes nothing, by AWS's names.
func reads(op string) bool {
	return strings.HasPrefix(op, "Describe") || strings.HasPrefix(op, "List") || strings.HasPrefix(op, "Get") || strings.HasPrefix(op, "BatchGet") || strings.HasPrefix(op, "Filter")
}

// neverSent reports whether there was no connection to send a request on.
func neverSent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

type fault int

const (
	faultRefused   fault = iota // AWS said no, and will again
	faultThrottled              // refused for now
	faultServer                 // no clear answer
	faultExpired                // the credentials are too old
)

var expiredCodes = map[string]bool{
	"ExpiredToken": true, "ExpiredTokenException": true, "RequestExpired": true,
}

func classify(err error) fault {
	var api smithy.APIError
	if errors.As(err, &api) {
		if _, ok := retry.DefaultThrottleErrorCodes[api.ErrorCode()]; ok {
			return faultThrottled
		}
		if expiredCodes[api.ErrorCode()] {
			return faultExpired
		}
	}
	var resp *smithyhttp.ResponseError
	if errors.As(err, &resp) {
		switch code := resp.HTTPStatusCode(); {
		case code == http.StatusTooManyRequests:
			return faultThrottled
		case code >= 500:
			return faultServer
		case api != nil:
			return faultRefused
		}
	}
	if api != nil {
		if api.ErrorFault() == smithy.FaultServer {
			return faultServer
		}
		return faultRefused
	}
	// What is left did not come back from AWS, or came back unreadable. Only
	// what failed before anything was sent is known to have had no effect.
	var input *smithy.SerializationError
	var params smithy.InvalidParamsError
	switch {
	case errors.As(err, &input), errors.As(err, &params):
		return faultRefused
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return faultServer
	}
	var send *smithyhttp.RequestSendError
	var deser *smithy.DeserializationError
	if errors.As(err, &send) || errors.As(err, &deser) {
		return faultServer
	}
	return faultRefused
}

// Denied reports whether AWS refused a call for want of permission.
func Denied(err error) bool {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return false
	}
	switch api.ErrorCode() {
	case "AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "NotAuthorized":
		return true
	}
	return false
}

// Expired reports whether AWS refused a call because the credentials are too
// old.
func Expired(err error) bool { return classify(err) == faultExpired }

// badCredentials are AWS's codes for credentials that it does not accept.
var badCredentials = map[string]bool{
	"UnrecognizedClientException": true, "InvalidClientTokenId": true, "SignatureDoesNotMatch": true,
	"InvalidSignatureException": true, "IncompleteSignature": true, "MissingAuthenticationToken": true, "AuthFailure": true,
}

// Unreachable reports whether any other call would fail in the same way: AWS
// gives no answer, there are no credentials, or they are not accepted.
func Unreachable(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) {
		return false
	}
	var api smithy.APIError
	if errors.As(err, &api) {
		return badCredentials[api.ErrorCode()] || Expired(err)
	}
	return true
}

// Unknown reports whether the call behind err may have been carried out.
func Unknown(err error) bool {
	var call *CallError
	return errors.As(err, &call) && call.Unknown
}

// Code is AWS's code for an error, or "".
func Code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}
