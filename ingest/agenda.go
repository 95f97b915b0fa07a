package ingest

import (
	"time"

	"postident-bridge/schemas"
)

// SweepPlan says how often an account is swept.
type SweepPlan struct {
	Closed    time.Duration // between two closed sweeps, 0 for none of their own
	Open      time.Duration // between two open sweeps, 0 for none
	Reconcile time.Duration // between two reconciliations, 0 for none
	// Overlap is how far a closed sweep goes back behind the last one: for what
	// shows late. What clocks differ by is added.
	Overlap time.Duration
	// Past is how far back cases are visible: the account's limit of storage, 150
	// days at most (guide 7.6).
	Past time.Duration
}

// every is the pause between two sweeps of a kind, 0 for never.
func (p SweepPlan) every(k SweepKind) time.Duration {
	switch k {
	case SweepClosed:
		if p.Closed == 0 {
			return mostQuiet
		}
		return min(p.Closed, mostQuiet)
	case SweepOpen:
		return p.Open
	default:
		return p.Reconcile
	}
}

const (
	// mostQuiet is the longest time without a request: accounts that are not used
	// for 120 days are switched off (facts 2.16), and a daily request keeps one
	// alive whatever the plan.
	mostQuiet = 23 * time.Hour
	// reconcileShare is the part of the time between two reconciliations over
	// which one is spread.
	reconcileShare = 0.75
)

// agenda says which request an account's sweeps make next, and keeps how far they
// have come. It is a state machine without a clock; its cursor is durable once
// the caller has written it. The kinds take turns, request by request: of those
// that are due, the one goes whose last request is the longest ago, by rank at
// first. So none keeps another waiting, be it long, be it refused each time.
type agenda struct {
	plan   SweepPlan
	cursor schemas.Sweeps
	under  map[SweepKind]*sweep
	// due is when the next sweep of a kind begins. Zero is at once.
	due map[SweepKind]time.Time
	// turns are when a kind made its last request, in requests.
	turns map[SweepKind]int
	turn  int
	// widths are those at which windows were answered whole.
	widths map[SweepKind]time.Duration
}

// byRank are the kinds in the order in which they go.
var byRank = []SweepKind{SweepClosed, SweepOpen, SweepReconcile}

func newAgenda(plan SweepPlan, cursor schemas.Sweeps) *agenda {
	a := &agenda{
		plan: plan, cursor: cursor,
		under: make(map[SweepKind]*sweep), due: make(map[SweepKind]time.Time), turns: make(map[SweepKind]int), widths: make(map[SweepKind]time.Duration),
	}
	if cursor.ReconciledAt != nil {
		a.due[SweepReconcile] = cursor.ReconciledAt.Add(plan.Reconcile)
	}
	return a
}

// next says which kind makes the next request, and when at the earliest.
func (a *agenda) next(now time.Time) (kind SweepKind, at time.Time) {
	for _, k := range byRank {
		if a.plan.every(k) == 0 {
			continue
		}
		t := laterOf(a.at(k), now)
		if kind == "" || t.Before(at) || t.Equal(at) && a.turns[k] < a.turns[kind] {
			kind, at = k, t
		}
	}
	return kind, at
}

// at is when a kind's next request is due.
func (a *agenda) at(k SweepKind) time.Time {
	s := a.under[k]
	switch {
	case s == nil && k == SweepReconcile && a.cursor.ReconcileBegan != nil:
		return time.Time{} // it goes on where another process was
	case s == nil:
		return a.due[k]
	case k != SweepReconcile:
		return time.Time{}
	}
	// A reconciliation is spread out: it has covered no larger part of its span
	// than of its time.
	begin := s.began.Add(-a.plan.Past)
	covered := float64(s.walk.from.Sub(begin)) / float64(s.began.Sub(begin))
	return s.began.Add(time.Duration(max(covered, 0) * reconcileShare * float64(a.plan.Reconcile)))
}

// sweep is the kind's sweep under way, for its next request; it begins one where
// there is none.
func (a *agenda) sweep(k SweepKind, now time.Time) *sweep {
	a.turn++
	a.turns[k] = a.turn
	if s := a.under[k]; s != nil {
		return s
	}
	s := &sweep{kind: k, began: now}
	from, until := now.Add(-a.plan.Past), now
	switch k {
	case SweepClosed:
		from = now.Add(-a.plan.Overlap)
		if a.cursor.ClosedUntil != nil {
			from = laterOf(a.cursor.ClosedUntil.Add(-a.plan.Overlap), now.Add(-a.plan.Past))
		}
	case SweepOpen, sweepBackfill:
	case SweepReconcile:
		if a.cursor.ReconcileBegan != nil && a.cursor.ReconcileFrom != nil {
			s.began = *a.cursor.ReconcileBegan
			from, until = *a.cursor.ReconcileFrom, s.began
		}
	}
	s.walk = newWalk(from, until, a.widths[k])
	s.walk.ahead = k != SweepReconcile
	a.under[k] = s
	return s
}

// passed notes that a window of a kind was covered, or given up as a hole, by a
// request sent at the given time. How far the server's clock is behind ours is
// taken off: by its clock it was earlier, and what it has yet to close lies in no
// window, whatever its bounds. It says whether the sweep is done.
// Pause is until the next one, as every gives it, with jitter.
func (a *agenda) passed(s *sweep, r request, sent time.Time, skew, pause time.Duration) (done bool) {
	done = s.walk.done()
	switch s.kind {
	case SweepClosed:
		reached := sent.Add(min(skew, 0))
		if !r.until.IsZero() && r.window.until.Before(reached) {
			reached = r.window.until
		}
		// A walk begins an overlap behind the cursor. Until it is past it, the cursor
		// stays: going back would cost whoever comes next another overlap. A whole
		// walk sets it, even back, for a clock may have been wrong.
		if done || a.cursor.ClosedUntil == nil || reached.After(*a.cursor.ClosedUntil) {
			a.cursor.ClosedUntil = &reached
		}
	case SweepOpen:
		if done {
			a.cursor.OpenAt = new(s.began)
		}
	case sweepBackfill: // has a cursor of its own
	case SweepReconcile:
		a.cursor.ReconcileBegan, a.cursor.ReconcileFrom = new(s.began), new(s.walk.from)
		if done {
			a.cursor.ReconcileBegan, a.cursor.ReconcileFrom, a.cursor.ReconciledAt = nil, nil, new(s.began)
		}
	}
	if done {
		a.widths[s.kind] = s.walk.width
		a.under[s.kind] = nil
		a.due[s.kind] = s.began.Add(pause)
	}
	return done
}

func laterOf(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
