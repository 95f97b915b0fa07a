package publish

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// entrant is one who waits at a gate.
type entrant struct {
	in     chan error
	cancel context.CancelCauseFunc
}

func (e *entrant) entered(t *testing.T) bool {
	t.Helper()
	synctest.Wait()
	select {
	case err := <-e.in:
		if err != nil {
			t.Fatal(err)
		}
		return true
	default:
		return false
	}
}

func arrive(t *testing.T, g *gate, l line) *entrant {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	t.Cleanup(func() { cancel(nil) })
	e := &entrant{in: make(chan error, 1), cancel: cancel}
	go func() { e.in <- g.enter(ctx, l) }()
	synctest.Wait()
	return e
}

// P8: while both lines wait they take turns, each in its own order.
func TestGateLetsBothLinesTakeTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate(1)
		if !arrive(t, g, waitingLine).entered(t) {
			t.Fatal("an empty gate lets nobody in")
		}
		var backlog []*entrant
		for range 100 {
			backlog = append(backlog, arrive(t, g, waitingLine))
		}
		first, second := arrive(t, g, freshLine), arrive(t, g, freshLine)
		for i, next := range []*entrant{first, backlog[0], second, backlog[1], backlog[2]} {
			if next.entered(t) {
				t.Fatalf("number %d entered beyond the limit", i)
			}
			g.leave()
			if !next.entered(t) {
				t.Fatalf("number %d is not the next one", i)
			}
		}
		for range backlog[3:] {
			g.leave()
		}
		synctest.Wait()
	})
}

// Who stops waiting makes room, also when its turn comes at that moment.
func TestGateLosesNoTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGate(1)
		if !arrive(t, g, freshLine).entered(t) {
			t.Fatal("not in")
		}
		gone, next := arrive(t, g, freshLine), arrive(t, g, freshLine)
		gone.cancel(errBusy)
		synctest.Wait()
		if err := <-gone.in; !errors.Is(err, errBusy) {
			t.Errorf("gave up with %v", err)
		}
		g.leave()
		if !next.entered(t) {
			t.Fatal("the turn is lost")
		}
		g.leave()

		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for range 100 { // whichever of both it sees first
			if g.enter(ctx, freshLine) == nil {
				g.leave()
			}
		}
		if g.under != 0 || g.queue(freshLine) != 0 || g.full() {
			t.Errorf("%d in, %d wait", g.under, g.queue(freshLine))
		}
	})
}

// An account that answers again is not overrun: the reads under way double with
// each round of answers.
func TestGateWidensWithAnswers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(Account{}, Config{ReadsPerAccount: 8})
		now := time.Now()
		for i := range breakerThreshold {
			a.report(now, caseName(i), failure{accountDown: true}, 0)
		}
		now = now.Add(breakerMaxPause)
		if a.holdsBack(now) || !a.allow(now) {
			t.Fatal("no probe")
		}
		if !a.report(now, caseName(1), failure{}, 0) {
			t.Fatal("the probe's answer closes nothing")
		}
		for range 20 {
			arrive(t, a.gate, waitingLine)
		}
		for _, want := range []int{2, 4, 8, 8} {
			a.gate.mu.Lock()
			under := a.gate.under
			a.gate.mu.Unlock()
			if under != want {
				t.Errorf("%d reads under way, want %d", under, want)
			}
			for range want {
				a.report(now, caseName(1), failure{}, 0)
				a.leave()
			}
			for range want {
				arrive(t, a.gate, waitingLine)
			}
		}
	})
}
