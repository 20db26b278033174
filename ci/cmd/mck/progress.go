package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/magecloudkit/pipeline/ci/host"
)

// progress shows a build as plain lines: who says it, and when.
type progress struct {
	mu    sync.Mutex
	out   io.Writer
	now   func() time.Time
	start time.Time
	quiet bool
}

func newProgress(e *env, quiet bool) *progress {
	return &progress{out: e.stderr, now: e.now, start: e.now(), quiet: quiet}
}

func (p *progress) event(ev host.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := p.now().Sub(p.start).Seconds()
	switch {
	case ev.Command != "":
		fmt.Fprintf(p.out, "%6.1fs %-12s $ %s\n", at, ev.Step, ev.Command)
	case ev.Done != nil && ev.Done.Reused:
		fmt.Fprintf(p.out, "%6.1fs %-12s unchanged, %s taken from the cache\n", at, ev.Step, layers(*ev.Done))
	case ev.Done != nil:
		fmt.Fprintf(p.out, "%6.1fs %-12s done in %.1f s, %s\n", at, ev.Step, ev.Done.Seconds, layers(*ev.Done))
	case !p.quiet:
		fmt.Fprintf(p.out, "%6.1fs %-12s | %s\n", at, ev.Step, ev.Line)
	}
}

func layers(r host.Result) string {
	var size int64
	for _, l := range r.Layers {
		size += l.Size
	}
	if len(r.Layers) == 1 {
		return "1 layer of " + megabytes(size)
	}
	return fmt.Sprintf("%d layers of %s", len(r.Layers), megabytes(size))
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
