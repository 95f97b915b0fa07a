package publish

import (
	"testing"
	"time"
)

// An account that is down with a few cases keeps its breaker closed, but shows.
func TestSilentAccountShows(t *testing.T) {
	t.Parallel()
	a, now := newAccount(Account{}, Config{ReadsPerAccount: 1}), retryNow
	a.report(now, caseName(1), interrupted, 0)
	if a.silentFor(now.Add(time.Hour)) != 0 {
		t.Error("a read that we ended says nothing")
	}
	a.report(now, caseName(1), serverError, 0)
	a.report(now.Add(tellAfter/2), caseName(2), serverError, 0)
	if a.tell(now.Add(tellAfter - 1)) {
		t.Error("told too early")
	}
	now = now.Add(tellAfter)
	if got := a.silentFor(now); got != tellAfter {
		t.Errorf("silent for %s", got)
	}
	if _, open := a.blocked(now); open {
		t.Error("two cases opened the breaker")
	}
	if !a.tell(now) || a.tell(now) {
		t.Error("not told once")
	}
	a.report(now, caseName(3), failure{reason: "not_found"}, 0)
	if a.silentFor(now) != 0 || a.tell(now.Add(time.Hour)) {
		t.Error("it answered: 404 is an answer")
	}
	for i := range breakerThreshold {
		a.report(now, caseName(i), serverError, 0)
	}
	if a.tell(now.Add(tellAfter)) {
		t.Error("the breaker has told of it")
	}
	if a.silentFor(now.Add(time.Hour)) != time.Hour {
		t.Error("it is silent behind its breaker too")
	}
}
