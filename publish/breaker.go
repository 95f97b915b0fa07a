package publish

import "time"

// Timings of a breaker.
const (
	// breakerThreshold is the number of failures in a row that open it: one
	// broken connection stops nobody.
	breakerThreshold = 5
	breakerMinPause  = time.Second
	breakerMaxPause  = time.Minute
	// maxRetryAfter bounds what an answer can ask for: a mistake in a header
	// shall not stop an account for a day.
	maxRetryAfter = time.Hour
	// unauthorisedPause keeps refused credentials from locking the account, and
	// lets mended ones work soon.
	unauthorisedPause = 5 * time.Minute
	// probeLease is how long a probe may stay without an outcome before the next
	// one goes: a worker that lost its partition may never report.
	probeLease = time.Minute
)

// breaker keeps requests from an account that is down. It is a state machine
// without a clock: every method takes the time. It is not safe for concurrent
// use: account.mu guards it, because the workers of all partitions share it.
//
// Closed, it lets everything through. It opens after breakerThreshold failures
// in a row, at once when the API asks for fewer requests or refuses the
// credentials. Open, it lets one probe through at a time, and only the probe's
// outcome moves it on: of reads that began before it opened, a success is
// ignored and a failure can only make it stricter.
type breaker struct {
	open         bool
	unauthorised bool // open for the credentials
	failures     int  // in a row, while closed
	pauses       int  // taken since it opened
	until        time.Time
	probing      bool
	lease        time.Time // of the probe under way
}

func newBreaker() breaker { return breaker{} }

// allow says whether a read may go now. A true answer of an open breaker is the
// probe: its outcome must be reported.
func (b *breaker) allow(now time.Time) bool {
	if !b.open {
		return true
	}
	if at, _ := b.next(now); now.Before(at) {
		return false
	}
	b.probing, b.lease = true, now.Add(probeLease)
	return true
}

// next says whether the breaker is open, and when the next probe may go.
func (b *breaker) next(now time.Time) (at time.Time, open bool) {
	switch {
	case !b.open:
		return now, false
	case b.probing && now.Before(b.lease):
		return earlierOf(b.lease, now.Add(breakerMinPause)), true // its outcome may come any moment
	default:
		return b.until, true
	}
}

// success reports a read that the API answered, for a fault of the case too. It
// returns true when that closed the breaker.
func (b *breaker) success(_ time.Time) (closed bool) {
	if b.open && !b.probing {
		return false
	}
	closed = b.open
	*b = breaker{}
	return closed
}

// failure reports a read that failed for the account. retryAfter is what the API,
// or the client that held the read back, asked for, zero when neither did; jitter
// is in [0, 1). It returns true when that deserves a loud line: the breaker
// opened, grew stricter, or a probe of refused credentials failed again.
func (b *breaker) failure(now time.Time, f failure, retryAfter time.Duration, jitter float64) (loud bool) {
	asked := askedPause(retryAfter, jitter)
	probe := b.probing
	b.probing = false
	switch {
	case f.interrupted:
		return false // the next probe may go at once
	case f.unauthorised:
		return b.refuse(now, probe, f.held, asked)
	case b.unauthorised:
		// The credentials were not looked at this time; nothing says that they
		// are any better.
		if probe {
			b.until = now.Add(unauthorisedPause)
		}
		return false
	case b.open && !probe:
		b.until = laterOf(b.until, now.Add(asked))
		return false
	}
	b.failures++
	if !b.open && !f.limited && b.failures < breakerThreshold {
		return false
	}
	loud = !b.open
	b.open = true
	b.until = now.Add(max(b.pause(jitter), asked))
	b.pauses++
	return loud
}

// refuse opens the breaker for refused credentials. A client that held a probe
// back, because another of its requests was refused or is a probe itself, says how
// long it will: that counts from the request that was sent, and a pause of our own
// on top of it would keep mended credentials waiting for two.
func (b *breaker) refuse(now time.Time, probe, held bool, asked time.Duration) (loud bool) {
	if b.unauthorised && !probe {
		return false // a read from before it opened
	}
	loud = !b.unauthorised || !held
	b.open, b.unauthorised = true, true
	b.until = now.Add(unauthorisedPause)
	if held {
		b.until = now.Add(max(asked, breakerMinPause))
	}
	return loud
}

// pause doubles from one second to a minute; jitter takes up to half of it.
func (b *breaker) pause(jitter float64) time.Duration {
	pause := breakerMaxPause
	if b.pauses < 6 {
		pause = min(pause, breakerMinPause<<b.pauses)
	}
	return pause - time.Duration(jitter*float64(pause)/2)
}

// askedPause is Retry-After, bounded, and up to a second more: other replicas
// were told the same.
func askedPause(retryAfter time.Duration, jitter float64) time.Duration {
	if retryAfter <= 0 {
		return 0
	}
	return min(retryAfter, maxRetryAfter) + time.Duration(jitter*float64(time.Second))
}

func earlierOf(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func laterOf(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
