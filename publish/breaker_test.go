package publish

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

var (
	serverError  = failure{reason: "server_error", accountDown: true}
	rateLimited  = failure{reason: "rate_limited", accountDown: true, limited: true}
	unauthorised = failure{reason: "unauthorised", accountDown: true, unauthorised: true}
	held         = failure{reason: "unauthorised", accountDown: true, unauthorised: true, held: true}
	interrupted  = failure{reason: "interrupted", accountDown: true, interrupted: true}
)

// breakerAt drives a breaker by the seconds since its start, without jitter.
type breakerAt struct {
	*testing.T
	breaker
}

func (b *breakerAt) at(seconds float64) time.Time {
	return retryNow.Add(time.Duration(seconds * float64(time.Second)))
}

func (b *breakerAt) allows(seconds float64, want bool) {
	b.Helper()
	if got := b.allow(b.at(seconds)); got != want {
		b.Errorf("at %v s: allow is %t", seconds, got)
	}
}

func (b *breakerAt) fails(seconds float64, f failure, retryAfter time.Duration, wantLoud bool) {
	b.Helper()
	if got := b.failure(b.at(seconds), f, retryAfter, 0); got != wantLoud {
		b.Errorf("at %v s: %s is loud: %t", seconds, f.reason, got)
	}
}

func (b *breakerAt) succeeds(seconds float64, wantClosed bool) {
	b.Helper()
	if got := b.success(b.at(seconds)); got != wantClosed {
		b.Errorf("at %v s: success closes: %t", seconds, got)
	}
}

func (b *breakerAt) nextIs(seconds, want float64, wantOpen bool) {
	b.Helper()
	at, open := b.next(b.at(seconds))
	if !at.Equal(b.at(want)) || open != wantOpen {
		b.Errorf("at %v s: next is %s, open %t", seconds, at, open)
	}
}

func (b *breakerAt) opens(seconds float64) {
	b.Helper()
	for range breakerThreshold - 1 {
		b.fails(seconds, serverError, 0, false)
	}
	b.nextIs(seconds, seconds, false)
	b.fails(seconds, serverError, 0, true)
}

func TestBreakerOpensAfterFailuresInARow(t *testing.T) {
	t.Parallel()
	b := &breakerAt{T: t, breaker: newBreaker()}
	for range breakerThreshold - 1 {
		b.allows(0, true)
		b.fails(0, serverError, 0, false)
	}
	b.succeeds(0, false) // the row is broken
	b.opens(1)
	b.nextIs(1, 2, true)
	b.allows(1.9, false)
}

func TestBreakerProbesOneAtATimeAndBacksOffToAMinute(t *testing.T) {
	t.Parallel()
	b := &breakerAt{T: t, breaker: newBreaker()}
	b.opens(0)
	at := 0.0
	for _, pause := range []float64{1, 2, 4, 8, 16, 32, 60, 60} {
		b.allows(at+pause-0.001, false)
		at += pause
		b.allows(at, true)
		b.allows(at, false) // one at a time
		b.fails(at, serverError, 0, false)
	}
	b.allows(at+60, true)
	b.succeeds(at+60, true)
	b.allows(at+60, true)
	b.allows(at+60, true)
	b.opens(at + 61) // from the beginning: a row, and one second
	b.nextIs(at+61, at+62, true)
}

func TestBreakerJitterShortensUpToHalf(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		jitter float64
		want   time.Duration
	}{{0, 60 * time.Second}, {0.5, 45 * time.Second}, {1, 30 * time.Second}} {
		b := breaker{pauses: 40}
		if got := b.pause(tt.jitter); got != tt.want {
			t.Errorf("jitter %v gives %s", tt.jitter, got)
		}
	}
}

func TestBreakerHonoursRetryAfterAtOnce(t *testing.T) {
	t.Parallel()
	b := &breakerAt{T: t, breaker: newBreaker()}
	b.fails(0, rateLimited, 90*time.Second, true)
	b.nextIs(0, 90, true)
	b.allows(89, false)
	b.allows(90, true)
	b.fails(90, rateLimited, 0, false) // without one: the usual back-off goes on
	b.nextIs(90, 92, true)
	b.fails(91, rateLimited, time.Minute, false) // of a read from before
	b.nextIs(91, 151, true)
	b.fails(92, rateLimited, time.Second, false) // never sooner
	b.nextIs(92, 151, true)
}

func TestBreakerBoundsRetryAfter(t *testing.T) {
	t.Parallel()
	b := breaker{}
	b.failure(retryNow, rateLimited, 1000*time.Hour, 0.5)
	if at, _ := b.next(retryNow); !at.Equal(retryNow.Add(time.Hour + 500*time.Millisecond)) {
		t.Errorf("next is %s", at)
	}
}

// TestBreakerSparesRefusedCredentials: accounts lock (design 8), so one attempt
// every five minutes, each of them loud.
func TestBreakerSparesRefusedCredentials(t *testing.T) {
	t.Parallel()
	b := &breakerAt{T: t, breaker: newBreaker()}
	b.fails(0, unauthorised, 0, true)
	b.fails(1, unauthorised, 0, false) // of reads from before
	b.fails(2, serverError, 0, false)
	b.fails(2, rateLimited, 10*time.Minute, false)
	b.succeeds(3, false)
	b.nextIs(3, 300, true)
	b.allows(299, false)
	b.allows(300, true)
	b.allows(301, false)
	b.fails(302, unauthorised, 0, true)
	b.nextIs(302, 602, true)
	b.allows(602, true)
	b.fails(602, serverError, 0, false) // the credentials were not looked at
	b.nextIs(602, 902, true)
	b.allows(902, true)
	b.succeeds(902, true)
	b.allows(902, true)
}

// TestBreakerFollowsTheClientsLock: a client that sends nothing says until when,
// and nobody needs to hear that again.
func TestBreakerFollowsTheClientsLock(t *testing.T) {
	t.Parallel()
	b := &breakerAt{T: t, breaker: newBreaker()}
	b.fails(0, held, 100*time.Second, true) // another request of the client was refused
	b.nextIs(0, 100, true)
	b.fails(1, held, 99*time.Second, false) // of a read from before
	b.allows(99, false)
	b.allows(100, true)
	b.fails(100, held, 0, false) // the probe of another is under way
	b.nextIs(100, 101, true)
	b.allows(101, true)
	b.fails(101, unauthorised, 0, true)
	b.nextIs(101, 401, true)
	b.allows(401, true)
	b.fails(401, held, 250*time.Second, false)
	b.nextIs(401, 651, true)
	b.allows(651, true)
	b.succeeds(651, true)
}

func TestBreakerGrowsStricterWhenCredentialsAreRefused(t *testing.T) {
	t.Parallel()
	b := &breakerAt{T: t, breaker: newBreaker()}
	b.opens(0)
	b.fails(0.5, unauthorised, 0, true)
	b.nextIs(1, 300.5, true)
}

func TestBreakerIgnoresReadsFromBeforeItOpened(t *testing.T) {
	t.Parallel()
	b := &breakerAt{T: t, breaker: newBreaker()}
	b.opens(0)
	b.succeeds(0.1, false)
	b.fails(0.2, serverError, 0, false)
	b.nextIs(0.3, 1, true)
}

// TestBreakerLosesNoProbe: a probe that we end ourselves, or whose worker is
// gone, makes room for the next.
func TestBreakerLosesNoProbe(t *testing.T) {
	t.Parallel()
	b := &breakerAt{T: t, breaker: newBreaker()}
	b.fails(0, interrupted, 0, false) // says nothing, however often
	b.opens(0)
	b.allows(1, true)
	b.fails(1.5, interrupted, 0, false)
	b.allows(1.6, true)
	b.nextIs(2, 3, true) // its outcome may come any moment; the lease counts for allow alone
	b.allows(61.5, false)
	b.allows(61.6, true)
	b.succeeds(62, true)
}

// TestBreakerNeverRunsHot: whatever the outcomes, an open breaker lets at most
// one read through between now and what next promised.
func TestBreakerNeverRunsHot(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		b, now := newBreaker(), retryNow
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.IntRange(0, 400_000).Draw(t, "pause")) * time.Millisecond)
			next, open := b.next(now)
			allowed := b.allow(now)
			if want := !open || !next.After(now); allowed != want {
				t.Fatalf("allow is %t, next is %s from now", allowed, next.Sub(now))
			}
			if !allowed {
				continue
			}
			if again := b.allow(now); again && open {
				t.Fatal("two probes at a time")
			}
			f := rapid.SampledFrom([]failure{serverError, rateLimited, unauthorised, held, {}}).Draw(t, "outcome")
			if !f.accountDown {
				if closed := b.success(now); closed != open {
					t.Fatalf("a good probe closes: %t", closed)
				}
				continue
			}
			b.failure(now, f, time.Duration(rapid.IntRange(0, 200).Draw(t, "retry after"))*time.Minute, rapid.Float64Range(0, 1).Draw(t, "jitter"))
			if next, nowOpen := b.next(now); nowOpen && next.Sub(now) < breakerMinPause/2 || open && !nowOpen {
				t.Fatalf("after %s: open %t, next in %s", f.reason, nowOpen, next.Sub(now))
			}
		}
	})
}
