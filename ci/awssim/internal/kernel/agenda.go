package kernel

import (
	"container/heap"
	"time"
)

// agenda holds what is to happen in a world, in order of time and, at the same time, in the order it was put there.
type agenda struct {
	queue eventQueue
	seq   int
}

type event struct {
	at  time.Time
	seq int
	do  func()
}

func (a *agenda) add(at time.Time, do func()) {
	a.seq++
	heap.Push(&a.queue, &event{at: at, seq: a.seq, do: do})
}

// next takes the first event that is due by t off the agenda.
func (a *agenda) next(t time.Time) *event {
	if len(a.queue) == 0 || a.queue[0].at.After(t) {
		return nil
	}
	return heap.Pop(&a.queue).(*event)
}

type eventQueue []*event

func (q eventQueue) Len() int { return len(q) }
func (q eventQueue) Less(i, j int) bool {
	if !q[i].at.Equal(q[j].at) {
		return q[i].at.Before(q[j].at)
	}
	return q[i].seq < q[j].seq
}
func (q eventQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *eventQueue) Push(x any)   { *q = append(*q, x.(*event)) }
func (q *eventQueue) Pop() any {
	old := *q
	e := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return e
}
