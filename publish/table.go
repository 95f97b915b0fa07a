package publish

import (
	"bytes"
	"container/heap"
	"errors"
	"strings"
	"time"

	"postident-bridge/schemas"
)

// table is what was last published of every case of the partition, rebuilt from
// case-state. It keeps condensed states (condense.go) in a store without
// pointers (store.go), and nothing of a waiting trigger but where it stands.
// Owned by the worker's goroutine; dropped with the worker.
type table struct {
	states      *store
	clients     map[string]uint64 // the numbers of the accounts in the store
	names       []string          // and the accounts by number
	belongs     func(caseID []byte) bool
	waits       map[string]slotWait // by key, of cases in states that wait, or have failed
	quarantined map[string]bool     // cases whose state cannot be used
	due         dueQueue
	hooksDue    expectations
	view        schemas.CaseStateView // used again from put to put
	block       []byte                // likewise
}

// slotWait is what this opening knows of a retry slot beyond the state.
type slotWait struct {
	queued bool
	at     time.Time // the one queued look at the slot that counts, if queued
	tried  time.Time // when the slot's last look failed; zero: not in this opening
	tries  int       // failed looks in this opening that left the slot as it was
}

// newTable makes an empty table of a partition; belongs says whether a case is
// one of it.
func newTable(belongs func(caseID []byte) bool) *table {
	return &table{
		states: newStore(), clients: make(map[string]uint64), belongs: belongs,
		waits: make(map[string]slotWait), quarantined: make(map[string]bool), hooksDue: expectations{queued: make(map[string]time.Time)},
	}
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

// len is how many cases have a state.
func (t *table) len() int { return t.states.used }

// condensed is the condensed state of a case, nil when nothing is known.
func (t *table) condensed(key string) []byte {
	clientID, caseID, _ := strings.Cut(key, "/")
	client, known := t.clients[clientID]
	if !known {
		return nil
	}
	block := t.states.get(client, []byte(caseID))
	if block == nil {
		return nil
	}
	_, _, rest := cutKey(block)
	return rest
}

// get is the state of a case, nil when nothing is known. It is the caller's own.
// Retry.Trigger is nil: the trigger stands in case-state, at offset.
func (t *table) get(key string) *schemas.CaseState {
	condensed := t.condensed(key)
	if condensed == nil {
		return nil
	}
	return expand(clientOf(key), caseOf(key), condensed)
}

// offset is where the record of a case that is known stands in case-state.
func (t *table) offset(key string) int64 {
	h, _ := expandHead(t.condensed(key))
	return h.offset
}

// waiting says whether a case has a retry slot.
func (t *table) waiting(key string) bool { return t.marked(key, markRetry) }

// marked says whether the state of a case has a mark.
func (t *table) marked(key string, mark uint16) bool {
	condensed := t.condensed(key)
	if condensed == nil {
		return false
	}
	h, _ := expandHead(condensed)
	return h.marks&mark != 0
}

var (
	errOtherKey       = errors.New("state is of another key")
	errOtherPartition = errors.New("state belongs to another partition")
	errNoPlainForm    = errors.New("state has no plain form")
)

// put takes a state as it stands in case-state at offset. After an error the
// table is as before. No account has a slash in its name, and no case is nameless.
func (t *table) put(key, value []byte, offset int64) error {
	if !t.view.Read(value) {
		// Another release's, or written in another way: made plain the long way.
		state, err := schemas.DecodeCaseState(value)
		if err != nil {
			return err
		}
		if value, err = schemas.EncodeCaseState(state); err != nil {
			return err
		}
		if !t.view.Read(value) {
			return errNoPlainForm
		}
	}
	clientID, caseID, _ := bytes.Cut(key, []byte("/"))
	if len(caseID) == 0 || !bytes.Equal(clientID, t.view.ClientID) || !bytes.Equal(caseID, t.view.CaseID) {
		return errOtherKey
	}
	if !t.belongs(caseID) {
		return errOtherPartition
	}
	client, known := t.clients[string(clientID)]
	if !known {
		client = uint64(len(t.names))
		t.clients[string(clientID)] = client
		t.names = append(t.names, string(clientID))
	}
	t.block = condense(appendKey(t.block[:0], client, caseID), &t.view, offset)
	t.states.put(t.block)
	delete(t.quarantined, string(key))
	delete(t.waits, string(key))
	return nil
}

// loaded says that case-state was read to the barrier.
func (t *table) loaded() {
	t.states.loaded()
	t.view = schemas.CaseStateView{} // lets the last values that were read go
	t.eachWaiting(func(key string, state *schemas.CaseState) {
		if state.Retry != nil {
			t.waits[key] = slotWait{queued: true, at: state.Retry.NotBefore}
			t.due = append(t.due, wakeUp{at: state.Retry.NotBefore, key: key})
		}
		t.expect(key, state.HooksDue)
	})
	heap.Init(&t.due)
}

// eachWaiting calls f with the cases that have a retry slot, or a webhook due.
func (t *table) eachWaiting(f func(key string, state *schemas.CaseState)) {
	t.states.each(func(block []byte) bool {
		client, caseID, condensed := cutKey(block)
		if h, _ := expandHead(condensed); h.marks&(markRetry|markHooksDue) != 0 {
			clientID := t.names[client]
			f(stateKey(clientID, string(caseID)), expand(clientID, string(caseID), condensed))
		}
		return true
	})
}

// readAt notes when the last good read of a case began, in memory only: a crash
// that forgets it costs a look at most.
func (t *table) readAt(key string, at *time.Time) {
	if condensed := t.condensed(key); condensed != nil {
		setReadAt(condensed, at)
	}
}

// forget drops a case after its tombstone.
func (t *table) forget(key string) {
	t.drop(key)
	delete(t.quarantined, key)
}

// quarantine sets a case aside until a usable state stands in case-state.
func (t *table) quarantine(key string) {
	t.drop(key)
	t.quarantined[key] = true
}

func (t *table) drop(key string) {
	if client, known := t.clients[clientOf(key)]; known {
		t.states.delete(client, []byte(caseOf(key)))
	}
	delete(t.waits, key)
}

// wake queues a look at the case's retry slot, unless one is queued that comes
// no later: however many triggers join a slot, it is looked at once.
func (t *table) wake(key string, at time.Time) {
	w := t.waits[key]
	if t.condensed(key) == nil || w.queued && !at.Before(w.at) {
		return
	}
	w.queued, w.at = true, at
	t.waits[key] = w
	heap.Push(&t.due, wakeUp{at: at, key: key})
}

// takeDue takes the next case whose retry is due; "" when none is.
func (t *table) takeDue(now time.Time) string {
	for len(t.due) > 0 && !t.due[0].at.After(now) {
		next, _ := heap.Pop(&t.due).(wakeUp)
		w := t.waits[next.key]
		if !w.queued || !w.at.Equal(next.at) {
			continue // overtaken by another one, or by a new state
		}
		if w.queued = false; w.tries > 0 {
			t.waits[next.key] = w
		} else {
			delete(t.waits, next.key)
		}
		if t.waiting(next.key) {
			return next.key
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

// failed notes a look at a case's slot that left the slot as it was; it returns
// how many did before.
func (t *table) failed(key string, now time.Time) (before int) {
	w := t.waits[key]
	before = w.tries
	w.tries++
	w.tried = now
	t.waits[key] = w
	return before
}

// tried is when the last look at the slot failed, zero for none in this opening.
func (t *table) tried(key string) time.Time { return t.waits[key].tried }

// old lists closed cases that were last touched before the given time, at most
// limit.
func (t *table) old(before time.Time, closed func(status string) bool, limit int) []string {
	var keys []string
	t.states.each(func(block []byte) bool {
		client, caseID, condensed := cutKey(block)
		h, _ := expandHead(condensed)
		if h.marks&markRetry == 0 && closed(h.status) && h.updatedAt.Before(before) {
			keys = append(keys, stateKey(t.names[client], string(caseID)))
		}
		return len(keys) < limit
	})
	return keys
}

// closedIn lists the closed cases in one chunk of the store that were last touched
// before the given time and have none of the marks. The next chunk is -1 behind the
// last one. Blocks move between chunks now and then: whoever walks over all of them
// may meet a case twice, or not at all until the next walk.
func (t *table) closedIn(chunk int, before time.Time, closed func(status string) bool, marks uint16) (keys []string, next int) {
	if chunk >= len(t.states.chunks) {
		return nil, -1
	}
	t.states.chunks[chunk].each(func(block []byte) bool {
		client, caseID, condensed := cutKey(block)
		if h, _ := expandHead(condensed); h.marks&marks == 0 && closed(h.status) && h.updatedAt.Before(before) {
			keys = append(keys, stateKey(t.names[client], string(caseID)))
		}
		return true
	})
	return keys, chunk + 1
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
