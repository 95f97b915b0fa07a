package publish

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// account is an Account with what all workers of the process share of it: the
// bound on reads and the breaker.
type account struct {
	Account
	slots chan struct{} // one token a read under way
	busy  atomic.Bool   // some read waited for busyAfter in vain

	mu       sync.Mutex
	breaker  breaker         // guarded by mu
	failing  map[string]bool // guarded by mu: cases that failed since the last answer, while the breaker was closed
	answered time.Time       // guarded by mu: of the last answer, about whatever case
}

func newAccount(a Account, cfg Config) *account {
	return &account{Account: a, slots: make(chan struct{}, cfg.ReadsPerAccount), breaker: newBreaker(), failing: make(map[string]bool)}
}

// allow says whether a read may be tried now; with an open breaker it hands out
// one probe at a time.
func (a *account) allow(now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.breaker.allow(now)
}

// blocked says whether the breaker is open and until when no probe goes out.
// It hands out nothing.
func (a *account) blocked(now time.Time) (until time.Time, open bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.breaker.next(now)
}

// report tells how the read of a case ended; true means that the breaker moved,
// and that an operator should know. While the breaker is closed a case counts as
// one failure, however often it fails: one bad case must not hold up the others
// of its account (P8).
func (a *account) report(now time.Time, key string, f failure, retryAfter time.Duration) (loud bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !f.accountDown {
		clear(a.failing)
		a.answered = now
		return a.breaker.success(now)
	}
	if _, open := a.breaker.next(now); !open && !f.unauthorised && !f.limited && !f.interrupted {
		if a.failing[key] {
			return false
		}
		a.failing[key] = true
	}
	return a.breaker.failure(now, f, retryAfter, jitter())
}

// answeredSince says whether the API answered for another case since t: then a
// case that still fails is at fault itself.
func (a *account) answeredSince(t time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.answered.After(t)
}

// acquire waits for a free slot, for busyAfter at most.
func (a *account) acquire(ctx context.Context) error {
	timer := time.NewTimer(busyAfter)
	defer timer.Stop()
	select {
	case a.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		a.busy.Store(true)
		return errBusy
	}
}

func (a *account) release() {
	<-a.slots
	if len(a.slots) < cap(a.slots)-1 {
		a.busy.Store(false) // nobody waits any more
	}
}

// congested says that reads wait longer than busyAfter and no slot is free: a
// trigger is parked at once then, so that a slow account does not fill the
// workers that other accounts need too (P8).
func (a *account) congested() bool { return a.busy.Load() && !a.free(0) }

// free says whether a slot is free beside those that n reads are about to take.
// It hands out nothing.
func (a *account) free(n int) bool { return len(a.slots)+n < cap(a.slots) }
