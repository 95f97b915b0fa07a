package ingest

import (
	"errors"
	"time"

	"postident-bridge/internal/scr"
)

// SweepKind says what a sweep looks for.
type SweepKind string

// The kinds of sweeps. Their texts are labels of metrics.
const (
	// SweepClosed lists what was closed since the last one.
	SweepClosed SweepKind = "closed"
	// SweepOpen lists all cases that are new or in progress: the only way to see a
	// change inside an open case, for no filter knows when a case was modified.
	SweepOpen SweepKind = "open"
	// SweepReconcile lists every case that is visible, archived ones too.
	SweepReconcile SweepKind = "reconcile"
	// sweepBackfill is the walk of a backfill, which goes over every case as well.
	sweepBackfill SweepKind = "backfill"
)

// axis is the time of a case that the windows of a kind go by.
func (k SweepKind) axis() axis {
	if k == SweepClosed {
		return byClosed
	}
	return byCreated
}

// sweep is a walk under way with what it asks for. It decides only.
type sweep struct {
	kind  SweepKind
	walk  *walk
	began time.Time
	// exact says that the window's one second is asked for without its end, shown
	// holds the cases of that second that partial answers have shown: an answer
	// without one of them is not the whole second.
	exact bool
	shown map[string]bool
	// failures are those in a row that may be the window's own.
	failures int
}

// request is what is to be asked for next.
type request struct {
	window      window
	axis        axis
	from, until time.Time // as they are sent
	filter      scr.Filter
}

// next is the next request of a sweep that is not done.
func (s *sweep) next(b *bounds) request {
	r := request{window: s.walk.next(), axis: s.kind.axis()}
	r.from, r.until = b.ask(r.window, s.walk.unbounded(r.window), s.exact)
	switch s.kind {
	case SweepOpen:
		r.filter = scr.Filter{New: true, InProgress: true}
	case SweepClosed:
		r.filter = scr.Filter{Closed: true, Archived: true}
	case SweepReconcile, sweepBackfill:
		r.filter = scr.Filter{New: true, InProgress: true, Closed: true, Archived: true}
	}
	if r.axis == byClosed {
		r.filter.ClosedFrom, r.filter.ClosedUntil = r.from, r.until
	} else {
		r.filter.CreatedFrom, r.filter.CreatedUntil = r.from, r.until
	}
	return r
}

// sees takes in what one case of the answer shows of the API's bounds. It says
// whether the case is of the first second of a window of one second, which
// answered has to be told.
func (r request) sees(b *bounds, c *scr.Case) bool {
	b.learn(c, r.axis, r.from, r.until)
	return r.window.width() == second && timeOn(c, r.axis).Equal(r.window.from)
}

// patience is how many requests for one window may fail in a row, until it is
// halved.
const patience = 3

// failed takes in a request that failed. An answer that never comes in time, or is
// broken each time, may be so for its size.
func (s *sweep) failed(r request, err error) {
	rejected, isRejected := errors.AsType[*scr.RejectedError](err)
	broken := isRejected && (rejected.Reason == scr.RejectedJSON || rejected.Reason == scr.RejectedDecrypt)
	if !broken && scr.Reason(err) != "timeout" {
		return
	}
	if s.failures++; s.failures%patience == 0 {
		s.walk.narrow(r.window)
	}
}

// step is what an answer meant for its sweep.
type step int

const (
	stepPassed step = iota // the window is covered
	stepAgain              // it is not, and the next request will be another one
	stepHole               // it cannot be covered: one second with more than an answer holds
)

// answered takes an answer in: how many cases it held and whether it was partial.
// seen are the cases of the window's first second among them, which it needs
// where the window is one second wide. b has learnt from the answer already.
func (s *sweep) answered(r request, hits int, partial bool, seen []string, b *bounds) step {
	switch {
	case !partial && s.exact && !s.holdsShown(seen):
		s.pass(r.window, hits)
		return stepHole // the server keeps times finer than it shows them
	case !partial:
		s.pass(r.window, hits)
		return stepPassed
	case s.walk.narrow(r.window):
		return stepAgain
	}
	if s.shown == nil {
		s.shown = make(map[string]bool)
	}
	for _, id := range seen {
		s.shown[id] = true
	}
	if r.until.IsZero() {
		s.walk.ahead = false // what happens meanwhile is for the next sweep
		return stepAgain
	}
	if from, until := b.ask(r.window, false, s.exact); !from.Equal(r.from) || !until.Equal(r.until) {
		return stepAgain // it has taught a narrower request
	}
	if b.upper && !s.exact {
		s.exact = true
		return stepAgain
	}
	s.pass(r.window, hits)
	return stepHole
}

// tooLarge takes in that an answer was refused for its size. Half of it
// may be small enough; a second that is not cannot be listed.
func (s *sweep) tooLarge(r request) step {
	switch {
	case s.walk.narrow(r.window):
		return stepAgain
	case r.until.IsZero():
		s.walk.ahead = false // what happens meanwhile is for the next sweep
		return stepAgain
	}
	s.pass(r.window, 0)
	return stepHole
}

func (s *sweep) pass(w window, hits int) {
	s.walk.pass(w, hits)
	s.exact, s.shown, s.failures = false, nil, 0
}

func (s *sweep) holdsShown(seen []string) bool {
	for _, id := range seen {
		delete(s.shown, id)
	}
	return len(s.shown) == 0
}
