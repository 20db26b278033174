package awssim_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/magecloudkit/pipeline/ci/awssim"
)

func TestVirtualClock(t *testing.T) {
	c := &awssim.VirtualClock{}
	if !c.Now().Equal(awssim.Epoch) {
		t.Errorf("it starts at %s", c.Now())
	}
	if err := c.Sleep(context.Background(), time.Hour); err != nil || c.Now().Sub(awssim.Epoch) != time.Hour {
		t.Errorf("after an hour it is %s: %v", c.Now(), err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := c.Sleep(ctx, time.Hour); err == nil || c.Now().Sub(awssim.Epoch) != time.Hour {
		t.Errorf("a canceled sleep ends at %s: %v", c.Now(), err)
	}
	c.Advance(-time.Hour)
	if c.Now().Sub(awssim.Epoch) != time.Hour {
		t.Errorf("it goes back to %s", c.Now())
	}
	at := awssim.Epoch.Add(24 * time.Hour)
	if c := awssim.NewVirtualClock(at); !c.Now().Equal(at) {
		t.Errorf("it starts at %s", c.Now())
	}
}

func TestScaledClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := awssim.NewScaledClock(60)
		start := c.Now()
		time.Sleep(time.Second)
		if d := c.Now().Sub(start); d != time.Minute {
			t.Errorf("in a second pass %s", d)
		}
		c.SetSpeed(3600)
		if d := c.Now().Sub(start); d != time.Minute {
			t.Errorf("with another speed it jumps to %s", d)
		}
		real := time.Now()
		if err := c.Sleep(context.Background(), 2*time.Hour); err != nil || time.Since(real) != 2*time.Second {
			t.Errorf("two hours take %s: %v", time.Since(real), err)
		}
		if d := c.Now().Sub(start); d != 2*time.Hour+time.Minute {
			t.Errorf("it is %s later", d)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := c.Sleep(ctx, 10*time.Hour); err == nil {
			t.Error("a sleep outlives its context")
		}
		if c := awssim.NewScaledClock(0); c.Speed() != 1 {
			t.Errorf("the speed is %v", c.Speed())
		}
	})
}

// On a clock that runs by itself a world moves without anybody asking it to.
func TestWorldOnAScaledClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, err := awssim.New(awssim.Config{Clock: awssim.NewScaledClock(60)})
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Intervene(awssim.Intervention{At: awssim.Duration(time.Hour), SetFacts: map[string]string{"an": "hour"}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(59 * time.Second)
		if len(w.Facts()) != 0 {
			t.Error("it came too early")
		}
		time.Sleep(time.Second)
		if w.Facts()["an"] != "hour" {
			t.Error("it did not come")
		}
	})
}
