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

	mu      sync.Mutex
	breaker breaker // guarded by mu
}

func newAccount(a Account, cfg Config) *account {
	return &account{Account: a, slots: make(chan struct{}, cfg.ReadsPerAccount), breaker: newBreaker()}
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

// report tells the breaker how a read ended; true means that it moved, and
// that an operator should know.
func (a *account) report(now time.Time, f failure, retryAfter time.Duration) (loud bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if f.accountDown {
		return a.breaker.failure(now, f, retryAfter, jitter())
	}
	return a.breaker.success(now)
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
func (a *account) congested() bool { return a.busy.Load() && !a.free() }

// free says whether a slot is free. It hands out nothing.
func (a *account) free() bool { return len(a.slots) < cap(a.slots) }
