package ingest

import (
	"errors"
	"time"

	"postident-bridge/internal/scr"
)

// Pauses of a brake.
const (
	brakeMinPause = time.Second
	brakeMaxPause = 5 * time.Minute
	// brakeRefused is the least pause after refused credentials: accounts lock.
	brakeRefused = 5 * time.Minute
	// brakeMaxAsked bounds what a Retry-After can ask for: a mistake in a header
	// shall not stop an account for a day.
	brakeMaxAsked = time.Hour
)

// brake holds an account's sweeps back after requests that failed. It is a state
// machine without a clock, and its zero value holds nothing back. One request of
// an account is under way at a time, so each goes out as the probe of the pause
// before.
type brake struct {
	failures int // in a row
	until    time.Time
}

// failed notes a request that ended in err at now. jitter is in [0, 1): pauses
// grow by up to half, so that a Retry-After and the accounts' lock are kept.
func (b *brake) failed(now time.Time, err error, jitter float64) {
	pause := brakeMaxPause
	if b.failures < 9 {
		pause = min(pause, brakeMinPause<<b.failures)
	}
	b.failures++
	if refused := (*scr.UnauthorisedError)(nil); errors.As(err, &refused) {
		pause = brakeRefused
	}
	if away := (*scr.UnavailableError)(nil); errors.As(err, &away) {
		pause = max(pause, min(away.RetryAfter, brakeMaxAsked))
	}
	b.until = now.Add(pause + time.Duration(jitter/2*float64(pause)))
}

// passed notes a request that was answered.
func (b *brake) passed() { *b = brake{} }

// holds is how long requests are held back at now, 0 when they are not.
func (b *brake) holds(now time.Time) time.Duration { return max(b.until.Sub(now), 0) }
