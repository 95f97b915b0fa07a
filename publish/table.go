package publish

import (
	"container/heap"
	"strings"
	"time"

	"postident-bridge/schemas"
)

// entry is what the worker knows of one case. The bytes of a waiting trigger
// are not in it: they stand in case-state at offset.
type entry struct {
	state  schemas.CaseState // Retry.Trigger is always nil here
	offset int64             // of the record in case-state that holds state
	wakeAt time.Time         // the one queued look at the retry slot that counts; zero: none
	tried  time.Time         // when the slot's last look failed; zero: not in this opening
	tries  int               // failed looks in this opening that left the slot as it was
}

// table is what was last published of every case of the partition, rebuilt from
// case-state. Owned by the worker's goroutine; dropped with the worker.
type table struct {
	entries     map[string]*entry
	quarantined map[string]bool // cases whose state cannot be used
	due         dueQueue
}

func newTable() *table {
	return &table{entries: make(map[string]*entry), quarantined: make(map[string]bool)}
}

// stateKey is the key of a case in case-state.
func stateKey(clientID, caseID string) string { return clientID + "/" + caseID }

// clientOf is the client id of a state key.
func clientOf(key string) string {
	clientID, _, _ := strings.Cut(key, "/")
	return clientID
}

// caseOf is the case id of a state key.
func caseOf(key string) string {
	_, caseID, _ := strings.Cut(key, "/")
	return caseID
}

// get is the state of a case, nil when nothing is known.
func (t *table) get(key string) *schemas.CaseState {
	if e := t.entries[key]; e != nil {
		return &e.state
	}
	return nil
}

// put takes a state that stands in case-state at offset.
func (t *table) put(key string, state schemas.CaseState, offset int64) {
	delete(t.quarantined, key)
	if state.Retry != nil {
		r := *state.Retry
		r.Trigger = nil
		state.Retry = &r
	}
	t.entries[key] = &entry{state: state, offset: offset}
}

// queueRetries queues every waiting case, after a restore.
func (t *table) queueRetries() {
	for key, e := range t.entries {
		if e.state.Retry != nil {
			e.wakeAt = e.state.Retry.NotBefore
			t.due = append(t.due, wakeUp{at: e.wakeAt, key: key})
		}
	}
	heap.Init(&t.due)
}

// forget drops a case after its tombstone.
func (t *table) forget(key string) {
	delete(t.entries, key)
	delete(t.quarantined, key)
}

// quarantine sets a case aside until a usable state stands in case-state.
func (t *table) quarantine(key string) {
	delete(t.entries, key)
	t.quarantined[key] = true
}

// wake queues a look at the case's retry slot, unless one is queued that comes
// no later: however many triggers join a slot, it is looked at once.
func (t *table) wake(key string, at time.Time) {
	e := t.entries[key]
	if e == nil || !e.wakeAt.IsZero() && !at.Before(e.wakeAt) {
		return
	}
	e.wakeAt = at
	heap.Push(&t.due, wakeUp{at: at, key: key})
}

// takeDue takes the next case whose retry is due; "" when none is.
func (t *table) takeDue(now time.Time) string {
	for len(t.due) > 0 && !t.due[0].at.After(now) {
		w, _ := heap.Pop(&t.due).(wakeUp)
		e := t.entries[w.key]
		if e == nil || !e.wakeAt.Equal(w.at) {
			continue // overtaken by another one, or by a new state
		}
		e.wakeAt = time.Time{}
		if e.state.Retry != nil {
			return w.key
		}
	}
	return ""
}

// nextDue is when takeDue may have something, zero when nothing waits.
func (t *table) nextDue() time.Time {
	if len(t.due) == 0 {
		return time.Time{}
	}
	return t.due[0].at
}

// old lists closed cases that were last touched before the given time.
func (t *table) old(before time.Time, closed func(status string) bool) []string {
	var keys []string
	for key, e := range t.entries {
		if e.state.Retry == nil && closed(e.state.CaseStatus) && e.state.UpdatedAt.Before(before) {
			keys = append(keys, key)
		}
	}
	return keys
}

// wakeUp is one entry of the due queue.
type wakeUp struct {
	at  time.Time
	key string
}

// dueQueue is a heap by time.
type dueQueue []wakeUp

// Len, Less and Swap are for package heap, as Push and Pop are.
func (q *dueQueue) Len() int { return len(*q) }

// Less orders by time.
func (q *dueQueue) Less(i, j int) bool { return (*q)[i].at.Before((*q)[j].at) }

// Swap is for package heap.
func (q *dueQueue) Swap(i, j int) { (*q)[i], (*q)[j] = (*q)[j], (*q)[i] }

// Push is for package heap.
func (q *dueQueue) Push(x any) {
	if w, ok := x.(wakeUp); ok {
		*q = append(*q, w)
	}
}

// Pop is for package heap.
func (q *dueQueue) Pop() any {
	old := *q
	w := old[len(old)-1]
	*q = old[:len(old)-1]
	return w
}
