package publish

import (
	"container/heap"
	"context"
	"sync"
	"sync/atomic"
	"time"

	"postident-bridge/schemas"
)

// slotGroup is how many waiting slots of an account one worker looks up with one
// fetch, and puts in line for their reads. Up to twice as many are under way: one
// group is read while the next is looked up.
const slotGroup = 256

// maxSlots bounds the slots of all accounts that are under way in a worker; an
// account gets leastSlots even so (P8).
const (
	maxSlots   = 1024
	leastSlots = 8
)

// backlog holds the retry slots of a partition that are due, until their account
// takes them. Owned by the worker's goroutine; in memory only: the slots
// themselves are durable.
type backlog struct {
	byAccount map[*account]*dueSlots
	begun     map[string]*lookClaim // looks for slots that have not come back, by state key
}

// dueSlots are the slots of one account.
type dueSlots struct {
	timely []string        // after a fault or for a recheck: first come, first served
	parked parkedSlots     // behind the breaker
	known  map[string]bool // all of them: a slot is in line once
	begun  int             // looks under way or in line
}

func newBacklog() backlog {
	return backlog{byAccount: make(map[*account]*dueSlots), begun: make(map[string]*lookClaim)}
}

// add puts a slot in line. Parked slots stand by their place in case-state: that
// is the order in which they were parked, and lets one fetch bring many.
func (b *backlog) add(a *account, key string, parked bool, stateAt int64) {
	s := b.byAccount[a]
	if s == nil {
		s = &dueSlots{known: make(map[string]bool)}
		b.byAccount[a] = s
	}
	switch {
	case s.known[key]:
		return
	case parked:
		heap.Push(&s.parked, parkedSlot{stateAt: stateAt, key: key})
	default:
		s.timely = append(s.timely, key)
	}
	s.known[key] = true
}

// next takes up to n slots out of the line. While both kinds wait, each gets
// half: a recheck does not wait for the end of a backlog.
func (s *dueSlots) next(n int) []string {
	timely := min(len(s.timely), max(n/2, n-len(s.parked)))
	keys := append([]string(nil), s.timely[:timely]...)
	s.timely = s.timely[timely:]
	for len(keys) < n && len(s.parked) > 0 {
		slot, _ := heap.Pop(&s.parked).(parkedSlot)
		keys = append(keys, slot.key)
	}
	for _, key := range keys {
		delete(s.known, key)
	}
	return keys
}

func (s *dueSlots) waiting() int { return len(s.timely) + len(s.parked) }

// room is how many looks at an account's cases may begin now. An open breaker
// lets one through when its time has come, as a probe.
func (b *backlog) room(a *account, now time.Time) int {
	s := b.byAccount[a]
	until, open := a.blocked(now)
	switch {
	case s.waiting() == 0 || s.begun > slotGroup:
		return 0
	case open && (until.After(now) || s.begun > 0):
		return 0
	case open:
		return 1
	case len(b.begun) >= maxSlots:
		return max(0, leastSlots-s.begun)
	default:
		return slotGroup
	}
}

// idle says that nothing waits or is under way.
func (b *backlog) idle() bool {
	for _, s := range b.byAccount {
		if s.waiting() > 0 {
			return false
		}
	}
	return len(b.begun) == 0
}

// nextProbe is when a slot may be let through as a probe, zero when none waits
// for that.
func (b *backlog) nextProbe(now time.Time) time.Time {
	var first time.Time
	for a, s := range b.byAccount {
		if until, open := a.blocked(now); open && s.waiting() > 0 && s.begun == 0 && (first.IsZero() || until.Before(first)) {
			first = until
		}
	}
	return first
}

// lookClaim decides between the read of a slot's look that is in line, and a trigger
// that comes before it began: the first of both takes it.
type lookClaim struct{ taken atomic.Bool }

func (c *lookClaim) take() bool { return c.taken.CompareAndSwap(false, true) }

// startDue starts looks for retry slots that are due, as far as their accounts
// take them. Time and probing are in memory only: the slot itself is written
// once.
func (w *worker) startDue() {
	now := w.p.cfg.Now()
	for key := w.table.takeDue(now); key != ""; key = w.table.takeDue(now) {
		w.lineUp(key, now)
	}
	for a, s := range w.backlog.byAccount {
		var jobs []job
		for _, key := range s.next(w.backlog.room(a, now)) {
			if w.table.waiting(key) && !w.running[key] {
				c := new(lookClaim)
				w.running[key], w.backlog.begun[key] = true, c
				jobs = append(jobs, w.remember(job{key: key, account: a, slot: true, stateAt: w.table.offset(key), claim: c, began: now}))
			}
		}
		if len(jobs) > 0 {
			s.begun += len(jobs)
			w.readSlots(a, jobs)
		}
	}
}

// lineUp puts a slot that is due in line, unless a look at its case is under way:
// that settles the slot or wakes it again.
func (w *worker) lineUp(key string, now time.Time) {
	if w.running[key] {
		return
	}
	state := w.table.get(key)
	if state == nil || state.Retry == nil {
		return
	}
	a := w.p.accounts[clientOf(key)]
	if a == nil {
		w.table.wake(key, now.Add(time.Minute)) // no account, but it may be configured again
		return
	}
	w.backlog.add(a, key, state.Retry.Kind == schemas.RetryParked, w.table.offset(key))
}

// readSlots looks the triggers of slots up and reads their cases in that order,
// beside the loop.
func (w *worker) readSlots(a *account, jobs []job) {
	w.spawn(func(ctx context.Context) {
		results := w.slotTriggers(ctx, jobs)
		var reads sync.WaitGroup
		defer reads.Wait()
		for _, r := range results {
			if r.err == nil && a.holdsBack(w.p.cfg.Now()) {
				r.err = errBlocked // there is no use in waiting for the gate
			}
			if r.err != nil {
				if r.claim.take() {
					w.deliver(ctx, r)
				}
				continue
			}
			if a.gate.enter(ctx, waitingLine) != nil {
				return // stopping
			}
			if !r.claim.take() {
				a.leave() // a trigger came first
				continue
			}
			reads.Go(func() {
				bounded, cancel := context.WithTimeoutCause(ctx, w.p.cfg.ReadDeadline, errDeadline)
				defer cancel()
				r := w.readCase(bounded, r)
				a.leave()
				w.deliver(ctx, w.storeRecords(ctx, r))
			})
		}
	})
}

// overtake lets a trigger go before a slot's look that is in line and has not
// begun; false means that a look is under way.
func (w *worker) overtake(key string) bool {
	c := w.backlog.begun[key]
	if c == nil || !c.take() {
		return false
	}
	w.slotBack(key)
	delete(w.running, key)
	return true
}

// slotBack notes that a slot's look is not under way any more.
func (w *worker) slotBack(key string) {
	delete(w.backlog.begun, key)
	w.backlog.byAccount[w.p.accounts[clientOf(key)]].begun--
	if w.backlog.idle() {
		w.ahead.drop()
	}
}

// finished takes a look that came back. A slot that its account held back was not
// looked at, and only goes back into the line.
func (w *worker) finished(r result) {
	if r.slot {
		w.slotBack(r.key)
		if r.err == errBlocked { //nolint:errorlint // ours, never wrapped
			w.release(r.key)
			w.lineUp(r.key, w.p.cfg.Now())
			return
		}
	}
	w.settleSoon(r)
}

// parkedSlot is one entry of parkedSlots.
type parkedSlot struct {
	stateAt int64
	key     string
}

// parkedSlots is a heap by place in case-state.
type parkedSlots []parkedSlot

// Len, Less and Swap are for package heap, as Push and Pop are.
func (q *parkedSlots) Len() int { return len(*q) }

// Less orders by place.
func (q *parkedSlots) Less(i, j int) bool { return (*q)[i].stateAt < (*q)[j].stateAt }

// Swap is for package heap.
func (q *parkedSlots) Swap(i, j int) { (*q)[i], (*q)[j] = (*q)[j], (*q)[i] }

// Push is for package heap.
func (q *parkedSlots) Push(x any) {
	if s, ok := x.(parkedSlot); ok {
		*q = append(*q, s)
	}
}

// Pop is for package heap.
func (q *parkedSlots) Pop() any {
	old := *q
	s := old[len(old)-1]
	*q = old[:len(old)-1]
	return s
}

// bell wakes the workers of the process when an account answers again.
type bell struct {
	mu    sync.Mutex
	heard map[chan struct{}]bool // guarded by mu
}

// listen gives a channel of capacity one that is rung until stop.
func (b *bell) listen() (rung <-chan struct{}, stop func()) {
	c := make(chan struct{}, 1)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.heard == nil {
		b.heard = make(map[chan struct{}]bool)
	}
	b.heard[c] = true
	return c, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.heard, c)
	}
}

func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c := range b.heard {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}
