package kernel

import "time"

// History keeps what a thing looked like lately, for reads that lag behind.
type History[T any] struct {
	versions []version[T]
}

type version[T any] struct {
	since time.Time
	view  T
}

// Memory is how far back a lagging read can see.
const Memory = 5 * time.Minute

// Put says that the thing looks like view from now on.
func (h *History[T]) Put(now time.Time, view T) {
	if n := len(h.versions); n > 0 && h.versions[n-1].since.Equal(now) {
		h.versions[n-1].view = view
		return
	}
	for len(h.versions) > 1 && now.Sub(h.versions[1].since) > Memory {
		h.versions = h.versions[1:]
	}
	h.versions = append(h.versions, version[T]{now, view})
}

// At returns what the thing looked like at t; false if it was not there yet.
func (h *History[T]) At(t time.Time) (T, bool) {
	for i := len(h.versions) - 1; i >= 0; i-- {
		if !h.versions[i].since.After(t) {
			return h.versions[i].view, true
		}
	}
	var none T
	return none, false
}
