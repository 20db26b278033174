package ecs

import (
	"context"
	"time"
)

// Clock tells the time and waits. A simulated clock moves on when it is slept
// on, so code that polls must do so from one goroutine.
type Clock interface {
	Now() time.Time
	// Sleep returns ctx's error as soon as ctx ends.
	Sleep(ctx context.Context, d time.Duration) error
}

// WallClock is the machine's clock.
type WallClock struct{}

// Now returns the current time.
func (WallClock) Now() time.Time { return time.Now() }

// Sleep waits for d or for the end of ctx.
func (WallClock) Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
