package scr

import (
	"errors"
	"sync"
	"time"
)

// DefaultLockFor is how long a client whose credentials were refused sends
// nothing, where ClientConfig leaves it zero: accounts lock, and mended
// credentials shall work soon.
const DefaultLockFor = 5 * time.Minute

// probeWait is when to ask again while a probe is under way.
const probeWait = time.Second

// lock keeps requests from an account whose credentials were refused. After a
// pause one request goes out as a probe, and only what comes of it counts: that
// the credentials are good, or that the pause, which began anew when the probe
// was sent, goes on. So two requests are never closer together than the pause,
// whatever becomes of them. It is a state machine without a clock.
type lock struct {
	pause time.Duration // negative: there is no lock

	mu      sync.Mutex
	status  int       // guarded by mu: of the refusal; 0: not locked
	until   time.Time // guarded by mu: when the next probe may go
	probing bool      // guarded by mu
}

// enter lets a request go, as the probe or as any other, or refuses it. Whoever
// may go has to leave.
func (l *lock) enter(now time.Time) (probe bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.status == 0:
		return false, nil
	case l.probing:
		return false, &UnauthorisedError{Status: l.status, Held: true, RetryAfter: probeWait}
	case now.Before(l.until):
		return false, &UnauthorisedError{Status: l.status, Held: true, RetryAfter: l.until.Sub(now)}
	}
	l.probing, l.until = true, now.Add(l.pause)
	return true, nil
}

// renew lets the next request go as the probe: the credentials that were refused are
// not those that it will bring.
func (l *lock) renew(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until = now
}

// leave tells what became of a request that went. Of requests that were sent
// before the lock, a success says nothing, and another refusal nothing new.
func (l *lock) leave(now time.Time, probe bool, err error) {
	if l.pause < 0 {
		return
	}
	refused, isRefused := errors.AsType[*UnauthorisedError](err)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case probe:
		l.probing = false
		if isRefused {
			l.status = refused.Status
		} else if provesCredentials(err) {
			l.status = 0
		}
	case isRefused && l.status == 0:
		l.status, l.until = refused.Status, now.Add(l.pause)
	}
}

// provesCredentials reports whether the API looked at the credentials and took
// them: it answered, if not with what was asked for.
func provesCredentials(err error) bool {
	_, notYet := errors.AsType[*NotYetError](err)
	_, rejected := errors.AsType[*RejectedError](err)
	return err == nil || notYet || rejected
}
