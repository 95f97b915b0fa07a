package publish

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// tellAfter is how long an account with a closed breaker may be silent before a
// line in the log says so.
const tellAfter = time.Minute

// account is an Account with what all workers of the process share of it: the
// bound on reads and the breaker.
type account struct {
	Account
	gate *gate       // bounds the reads under way
	busy atomic.Bool // some read waited for busyAfter in vain

	uploads chan struct{} // one for each of its reads with records under way
	inLine  atomic.Int32  // its looks that wait for one, or have it

	mu       sync.Mutex
	breaker  breaker         // guarded by mu
	failing  map[string]bool // guarded by mu: cases that failed since the last answer, while the breaker was closed
	answered time.Time       // guarded by mu: of the last answer, about whatever case
	silent   time.Time       // guarded by mu: of the first failure since; zero: it answers
	told     bool            // guarded by mu: an operator was told of the silence

	missedTold time.Time // guarded by mu: when an operator was told of a missed webhook
}

func newAccount(a Account, cfg Config) *account {
	places := cfg.RecordsAtOnce
	if slices.ContainsFunc(cfg.Accounts, func(other Account) bool { return other.Records != nil && other.ClientID != a.ClientID }) {
		places = max(1, places-1)
	}
	return &account{
		Account: a, gate: newGate(cfg.ReadsPerAccount), breaker: newBreaker(), failing: make(map[string]bool),
		uploads: make(chan struct{}, places),
	}
}

// rules are what the account's settings say about its events.
func (a *account) rules(publishProgress bool) rules {
	return rules{Class: a.RegulatoryClass, PublishProgress: publishProgress, Results: a.Results, Records: a.Records != nil}
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
		a.answered, a.silent, a.told = now, time.Time{}, false
		closed := a.breaker.success(now)
		if closed {
			a.gate.narrow()
		} else {
			a.gate.widen()
		}
		return closed
	}
	if a.silent.IsZero() && !f.interrupted {
		a.silent = now
	}
	if _, open := a.breaker.next(now); !open && !f.unauthorised && !f.limited && !f.interrupted {
		if a.failing[key] {
			return false
		}
		a.failing[key] = true
	}
	return a.breaker.failure(now, f, retryAfter, jitter())
}

// silentFor is how long the account has answered nothing while it was asked. With
// few cases its breaker stays closed, because one bad case is no outage; but who
// watches the account has to see it.
func (a *account) silentFor(now time.Time) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.silent.IsZero() {
		return 0
	}
	return now.Sub(a.silent)
}

// tell says, once, that the account has been silent for long behind a closed
// breaker, which says nothing.
func (a *account) tell(now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, open := a.breaker.next(now); open || a.told || a.silent.IsZero() || now.Sub(a.silent) < tellAfter {
		return false
	}
	a.told = true
	return true
}

// answeredSince says whether the API answered for another case since t: then a
// case that still fails is at fault itself.
func (a *account) answeredSince(t time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.answered.After(t)
}

// enter waits until a read for a trigger that just came may begin, for busyAfter
// at most.
func (a *account) enter(ctx context.Context) error {
	bounded, cancel := context.WithTimeoutCause(ctx, busyAfter, errBusy)
	defer cancel()
	err := a.gate.enter(bounded, freshLine)
	if errors.Is(err, errBusy) {
		a.busy.Store(true)
	}
	return err
}

func (a *account) leave() {
	a.gate.leave()
	if a.gate.queue(freshLine) == 0 {
		a.busy.Store(false)
	}
}

// congested says that reads wait longer than busyAfter and none may begin now: a
// trigger is parked at once then, so that a slow account does not fill the
// workers that other accounts need too (P8).
func (a *account) congested() bool { return a.busy.Load() && a.gate.full() }

// holdsBack says that the breaker lets no read through now, not even a probe.
func (a *account) holdsBack(now time.Time) bool {
	until, open := a.blocked(now)
	return open && until.After(now)
}
