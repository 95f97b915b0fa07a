package publish

import (
	"context"
	"errors"
	"net/http"
	"time"

	"postident-bridge/internal/scr"
	"postident-bridge/schemas"
)

// retryPolicy says when a case is looked at again. It decides only; the slot it
// returns is durable once the caller has written it.
type retryPolicy struct {
	// Faults are the pauses after the first, second, … fault of a case. One
	// fault more exhausts them.
	Faults []time.Duration
	// Rechecks are the pauses before a case is read again that read unchanged
	// after a hook, or in doubt.
	Rechecks []time.Duration
	// Records are the pauses before the records of a final state are stored again;
	// the last one repeats.
	Records []time.Duration
}

// defaultRetryPolicy gives a case eleven pauses, 2 h 4 min together, before it
// goes to the dead letters: more than the 75 minutes over which the sender of
// the hooks repeats its own (guide 5). Most faults of one case mend themselves
// in seconds (404 right after the hook, facts 4), so it begins fast.
func defaultRetryPolicy() retryPolicy {
	return retryPolicy{
		Faults: []time.Duration{
			2 * time.Second, 10 * time.Second, 30 * time.Second,
			time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute,
			30 * time.Minute, 30 * time.Minute, 30 * time.Minute,
		},
		Rechecks: []time.Duration{2 * time.Second, 10 * time.Second, 60 * time.Second},
		Records: []time.Duration{
			2 * time.Second, 5 * time.Second, 15 * time.Second, 30 * time.Second,
			time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute,
		},
	}
}

// zero says that nothing is set.
func (p retryPolicy) zero() bool { return p.Faults == nil && p.Rechecks == nil && p.Records == nil }

// jitterShare is the part of a pause that jitter adds or takes: cases that
// failed together shall not come back together.
const jitterShare = 0.2

// origin is the trigger that a retry slot stands for: its coordinates in the
// inbox and its value as it stood there.
type origin struct {
	Partition int
	Offset    int64
	Value     []byte
}

// Reasons of retries that no failure gave.
const (
	reasonUnchanged = "unchanged"
	reasonTie       = "tie"
	reasonStale     = "records_stale"
)

// afterFault uses up one attempt of the case. jitter is in [0, 1). Faults count
// on over a slot's whole life, whatever lay in between. exhausted means that
// next is not to be stored: it holds the counts and times for the dead letter.
func (p retryPolicy) afterFault(prev *schemas.Retry, now time.Time, reason string, o origin, jitter float64,
) (next *schemas.Retry, exhausted bool) {
	next = slot(prev, now, o)
	next.Kind, next.Reason = schemas.RetryFault, reason
	next.Faults++
	next.Attempt = next.Faults
	if next.Faults > len(p.Faults) {
		return next, true
	}
	pause := float64(p.Faults[next.Faults-1]) * (1 - jitterShare + 2*jitterShare*jitter)
	next.NotBefore = wireTime(now.Add(time.Duration(pause)))
	return next, false
}

// afterUnavailable parks the case behind its account's breaker, which alone
// knows when to go on: NotBefore is now. It uses up no attempt. A case that is
// parked already keeps its slot, the very same pointer, so that an outage writes
// each case once. Attempt keeps the rechecks used up before.
func (p retryPolicy) afterUnavailable(prev *schemas.Retry, now time.Time, reason string, o origin) *schemas.Retry {
	if prev != nil && prev.Kind == schemas.RetryParked {
		return prev
	}
	next := slot(prev, now, o)
	next.Attempt = rechecksUsed(prev)
	next.Kind, next.Reason = schemas.RetryParked, reason
	return next
}

// afterUnchanged is asked when a read after a hook gave no event. The hook may
// have come before what it told of could be read (facts 4), so the case is read
// again after 2, 10 and 60 s, unless a read since the hook excuses it: lastReadAt
// is when the last good read before this one began, nil for none that does. A hook that has a slot already
// goes on with it. Nil means done.
func (p retryPolicy) afterUnchanged(prev *schemas.Retry, lastReadAt *time.Time, hookAt, now time.Time, o origin) *schemas.Retry {
	if prev == nil && lastReadAt != nil && !lastReadAt.Before(hookAt) {
		return nil
	}
	return p.recheck(prev, now, reasonUnchanged, o)
}

// afterTooFew is asked when a look gave events, but maybe fewer than the hooks
// told of. Prev is the slot whose look it was, nil for the look of a trigger.
// Rechecks go on where they were; after a slot of another kind, that may have
// waited for long, the last of them is enough.
func (p retryPolicy) afterTooFew(prev *schemas.Retry, now time.Time, o origin) *schemas.Retry {
	if prev != nil && prev.Kind != schemas.RetryRecheck && len(p.Rechecks) > 0 {
		prev = &schemas.Retry{Kind: schemas.RetryRecheck, Attempt: len(p.Rechecks) - 1, FirstFailed: prev.FirstFailed}
	}
	return p.recheck(prev, now, reasonUnchanged, o)
}

// afterDoubt has a case read again after verdictDoubt. Confirming, it is there
// at most once: the look that follows is taken at its word.
func (p retryPolicy) afterDoubt(prev *schemas.Retry, now time.Time, o origin) *schemas.Retry {
	next := slot(prev, now, o)
	next.Kind, next.Reason = schemas.RetryRecheck, reasonTie
	next.Attempt = 0
	next.NotBefore = wireTime(now)
	if len(p.Rechecks) > 0 {
		next.NotBefore = wireTime(now.Add(p.Rechecks[0]))
	}
	return next
}

// afterRecords has the records of a final state stored again: the object store is
// away, or the API gave the state and not their content. It goes on for as long as
// it takes and uses up no attempt of the case; faults before it are forgotten, for
// the case was read. Behind rechecks of a state that no answer shows any more, the
// longest pause is soon enough. A recheck that the same look would have asked for is
// made by the way.
func (p retryPolicy) afterRecords(prev *schemas.Retry, now time.Time, reason string, o origin, jitter float64) *schemas.Retry {
	next := slot(prev, now, o)
	next.Kind, next.Reason = schemas.RetryRecords, reason
	next.Faults = 0
	switch {
	case waitsForRecords(prev):
		next.Attempt = prev.Attempt
	case prev != nil && prev.Kind == schemas.RetryRecheck && prev.Reason == reasonStale && prev.Attempt >= len(p.Rechecks):
		next.Attempt = len(p.Records)
	}
	next.Attempt++
	if len(p.Records) > 0 {
		pause := float64(p.Records[min(next.Attempt, len(p.Records))-1]) * (1 - jitterShare + 2*jitterShare*jitter)
		next.NotBefore = wireTime(now.Add(time.Duration(pause)))
	}
	return next
}

// recordsSince is since when the records of a case are waited for: since the first
// look of the slot that failed, whatever for. Counted from the last other failure,
// an API that fails now and then would have a status event wait without end.
func recordsSince(prev *schemas.Retry, now time.Time) time.Time {
	if prev != nil {
		return prev.FirstFailed
	}
	return now
}

// waitsForRecords says that a slot has the records of a final state stored.
func waitsForRecords(r *schemas.Retry) bool { return r != nil && r.Kind == schemas.RetryRecords }

// confirms says that the look which slot r asks for settles a doubt: it is what
// decide takes as confirm.
func confirms(r *schemas.Retry) bool {
	return r != nil && r.Kind == schemas.RetryRecheck && r.Reason == reasonTie
}

func (p retryPolicy) recheck(prev *schemas.Retry, now time.Time, reason string, o origin) *schemas.Retry {
	used := rechecksUsed(prev)
	if used >= len(p.Rechecks) {
		return nil
	}
	next := slot(prev, now, o)
	next.Kind, next.Reason = schemas.RetryRecheck, reason
	next.Attempt = used + 1
	next.NotBefore = wireTime(now.Add(p.Rechecks[used]))
	return next
}

// slot is the next slot as far as all kinds have it in common.
func slot(prev *schemas.Retry, now time.Time, o origin) *schemas.Retry {
	next := &schemas.Retry{
		NotBefore:   wireTime(now),
		FirstFailed: wireTime(now),
		Partition:   o.Partition,
		Offset:      o.Offset,
		Trigger:     o.Value,
	}
	if prev != nil {
		next.FirstFailed, next.Faults = prev.FirstFailed, prev.Faults
	}
	return next
}

// rechecksUsed reads them where the kind keeps them; a fault in between starts
// the rechecks anew.
func rechecksUsed(prev *schemas.Retry) int {
	if prev == nil || prev.Kind != schemas.RetryRecheck && prev.Kind != schemas.RetryParked {
		return 0
	}
	return prev.Attempt
}

// failure is what a failed read means.
type failure struct {
	reason string // a word fit for a metric label
	// accountDown: the account or the API cannot answer now, which says nothing
	// of the case. Else it is a fault of the case, and uses up an attempt.
	accountDown  bool
	unauthorised bool // accountDown for its credentials: accounts lock
	held         bool // unauthorised, and nothing was sent: the client keeps still itself
	interrupted  bool // we ended the read ourselves; it says nothing at all
	limited      bool // the API asks for fewer requests (429, or a Retry-After)
	records      bool // the case was read, and its records are not in the store
}

// classify reads the error kinds of package scr, and the context's own: a read
// that met its deadline is a time-out of the account. Any other error is a fault
// of the case, so that a mistake of ours cannot stop an account. No error is the
// zero failure.
func classify(err error) failure {
	var (
		unavailable  *scr.UnavailableError
		unauthorised *scr.UnauthorisedError
	)
	if err == nil {
		return failure{}
	}
	f := failure{reason: scr.Reason(err)}
	switch {
	case errors.Is(err, context.Canceled):
		f.accountDown, f.interrupted = true, true
	case errors.As(err, &unauthorised):
		f.accountDown, f.unauthorised, f.held = true, true, unauthorised.Held
	case errors.As(err, &unavailable):
		f.accountDown = true
		f.limited = unavailable.Status == http.StatusTooManyRequests || unavailable.RetryAfter > 0
	case f.reason == reasonTimeout:
		f.accountDown = true
	}
	return f
}

// reasonTimeout is scr.Reason's word for an error that came too late.
const reasonTimeout = "timeout"
