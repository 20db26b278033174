package ecs_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"

	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/magecloudkit/pipeline/ci/ecs"
)

// Where nothing listens, a call is made as often as was asked for, and is not said
// to have had an effect; nor is a read whose answer is lost.
func TestCallThatGetsNoAnswer(t *testing.T) {
	refused := &smithyhttp.RequestSendError{Err: &net.OpError{Op: "dial", Err: errors.New("connection refused")}}
	broken := &smithyhttp.RequestSendError{Err: &net.OpError{Op: "read", Err: errors.New("connection reset by peer")}}
	for _, c := range []struct {
		name, op string
		errs     []error // of one attempt after the other; the last one stays
		attempts int
		calls    int
		unknown  bool
	}{
		{"a read, nothing listens", "DescribeServices", []error{refused}, 2, 2, false},
		{"a write, nothing listens", "UpdateService", []error{refused}, 3, 3, false},
		{"a read whose answer is lost", "ListTasks", []error{broken}, 2, 2, false},
		{"a write whose answer is lost", "UpdateService", []error{broken}, 2, 2, true},
		{"a write whose answer is lost before nothing listens", "UpdateService", []error{broken, refused}, 3, 3, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				caller := ecs.NewCaller(ecs.WallClock{}, ecs.WithAttempts(c.attempts))
				n := 0
				_, err := ecs.Call(t.Context(), caller, c.op, ecs.Repeatable, func(context.Context) (struct{}, error) {
					err := c.errs[min(n, len(c.errs)-1)]
					n++
					return struct{}{}, err
				})
				if err == nil || n != c.calls || ecs.Unknown(err) != c.unknown {
					t.Errorf("%d calls, unknown %v: %v; want %d, %v", n, ecs.Unknown(err), err, c.calls, c.unknown)
				}
			})
		})
	}
}
