package awssim

import "time"

// history keeps what a thing looked like lately, for reads that lag behind.
type history[T any] struct {
	versions []version[T]
}

type version[T any] struct {
	since time.Time
	view  T
}

// memory is how far back a lagging read can see.
const memory = 5 * time.Minute

// put says that the thing looks like view from now on.
func (h *history[T]) put(now time.Time, view T) {
	if n := len(h.versions); n > 0 && h.versions[n-1].since.Equal(now) {
		h.versions[n-1].view = view
		return
	}
	for len(h.versions) > 1 && now.Sub(h.versions[1].since) > memory {
		h.versions = h.versions[1:]
	}
	h.versions = append(h.versions, version[T]{now, view})
}

// at returns what the thing looked like at t; false if it was not there yet.
func (h *history[T]) at(t time.Time) (T, bool) {
	for i := len(h.versions) - 1; i >= 0; i-- {
		if !h.versions[i].since.After(t) {
			return h.versions[i].view, true
		}
	}
	var none T
	return none, false
}
