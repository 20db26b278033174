package awssim

import (
	"context"
	"sync"
	"time"
)

// Clock says what time it is in a world, and lets a client wait for a later one.
type Clock interface {
	Now() time.Time
	// Sleep returns when d has passed on this clock, or earlier with the context's error.
	Sleep(ctx context.Context, d time.Duration) error
}

// Epoch is the time at which a VirtualClock starts unless told otherwise.
var Epoch = time.Date(2025, time.March, 3, 9, 0, 0, 0, time.UTC)

// VirtualClock is a clock that stands still until somebody sleeps on it or advances it. The zero value starts at Epoch.
type VirtualClock struct {
	mu  sync.Mutex
	now time.Time
}

// NewVirtualClock returns a clock that stands at t.
func NewVirtualClock(t time.Time) *VirtualClock { return &VirtualClock{now: t} }

// Now returns the time at which the clock stands.
func (c *VirtualClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.read()
}

func (c *VirtualClock) read() time.Time {
	if c.now.IsZero() {
		c.now = Epoch
	}
	return c.now
}

// Advance moves the clock by d.
func (c *VirtualClock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.read().Add(max(d, 0))
}

// Sleep moves the clock to d from now and returns at once. Of several clients that sleep at the same time each gets
// at least its own time; what the others have slept meanwhile counts.
func (c *VirtualClock) Sleep(ctx context.Context, d time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c.Advance(d)
	return nil
}

// ScaledClock is a clock that runs speed times as fast as the machine's.
type ScaledClock struct {
	start time.Time // on this clock
	began time.Time // on the machine's, when this clock started or its speed last changed
	mu    sync.Mutex
	speed float64
}

// NewScaledClock returns a clock that starts now, at the machine's time. A speed that is not positive counts as 1.
func NewScaledClock(speed float64) *ScaledClock {
	now := time.Now()
	c := &ScaledClock{start: now.Round(0), began: now, speed: 1}
	c.SetSpeed(speed)
	return c
}

// Now returns the time on this clock.
func (c *ScaledClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.read()
}

func (c *ScaledClock) read() time.Time {
	return c.start.Add(time.Duration(float64(time.Since(c.began)) * c.speed))
}

// Speed returns how many seconds pass on this clock in one of the machine's.
func (c *ScaledClock) Speed() float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.speed
}

// SetSpeed changes how fast the clock runs from now on; it never jumps.
func (c *ScaledClock) SetSpeed(speed float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if speed <= 0 {
		speed = 1
	}
	c.start, c.began, c.speed = c.read(), time.Now(), speed
}

// Sleep waits until d has passed on this clock.
func (c *ScaledClock) Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(time.Duration(float64(d) / c.Speed()))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
