package publish

import (
	"container/heap"
	"time"

	"postident-bridge/schemas"
)

// expectations are when the webhooks that are due are due no longer, in order.
// In memory only: the dues themselves are in the states.
type expectations struct {
	queue  dueQueue
	queued map[string]time.Time // by key: the one entry of the queue that counts
}

// expect queues the end of a case's first due, unless an entry is queued that
// comes no later: whoever takes that one looks at the state.
func (t *table) expect(key string, dues []schemas.HookDue) {
	if len(dues) == 0 {
		return
	}
	first := dues[0].Until
	for _, d := range dues[1:] {
		if d.Until.Before(first) {
			first = d.Until
		}
	}
	t.expectAt(key, first)
}

// expectAt has takeEnded give a case at a time or before.
func (t *table) expectAt(key string, at time.Time) {
	e := &t.hooksDue
	if queued, known := e.queued[key]; known && !at.Before(queued) {
		return
	}
	e.queued[key] = at
	heap.Push(&e.queue, wakeUp{at: at, key: key})
}

// takeEnded takes the next case whose first due ended by a time, or that was
// queued for then; "" when there is none.
func (t *table) takeEnded(by time.Time) string {
	at := t.nextEnd()
	if at.IsZero() || at.After(by) {
		return ""
	}
	next, _ := heap.Pop(&t.hooksDue.queue).(wakeUp)
	delete(t.hooksDue.queued, next.key)
	return next.key
}

// nextEnd is when takeEnded has something, zero when no webhook is due. It drops
// entries of cases whose webhooks came.
func (t *table) nextEnd() time.Time {
	e := &t.hooksDue
	for len(e.queue) > 0 {
		first := e.queue[0]
		queued, known := e.queued[first.key]
		switch {
		case !known || !queued.Equal(first.at): // overtaken by an earlier one
		case !t.marked(first.key, markHooksDue):
			delete(e.queued, first.key)
		default:
			return first.at
		}
		heap.Pop(&e.queue)
	}
	return time.Time{}
}
