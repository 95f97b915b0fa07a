package ingest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"postident-bridge/schemas"
)

var dailyPlan = SweepPlan{
	Closed: time.Minute, Open: 5 * time.Minute, Reconcile: 24 * time.Hour, Overlap: 5 * time.Minute, Past: 150 * 24 * time.Hour,
}

// turn plays an agenda for a time against answers of one hit each, and tells
// every request, at offsets from walkStart.
func turn(a *agenda, from, length, skew time.Duration) string {
	var log strings.Builder
	now := walkStart.Add(from)
	for end := now.Add(length); ; {
		kind, at := a.next(now)
		if kind == "" || !at.Before(end) {
			return log.String()
		}
		now = laterOf(now, at)
		s := a.sweep(kind, now)
		r := s.next(&bounds{lower: true})
		s.answered(r, 1, false, nil, &bounds{lower: true})
		done := a.passed(s, r, now, skew, a.plan.every(kind))
		until := "on"
		if !r.until.IsZero() {
			until = r.until.Sub(walkStart).String()
		}
		fmt.Fprintf(&log, "%v %s from %v %s", now.Sub(walkStart), kind, r.from.Sub(walkStart), until)
		if !done {
			log.WriteString(" more")
		}
		log.WriteByte('\n')
	}
}

func wantLog(t *testing.T, got, want string) {
	t.Helper()
	if want = strings.TrimLeft(want, "\n"); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestAgendaOfANewAccount(t *testing.T) {
	t.Parallel()
	a := newAgenda(dailyPlan, schemas.Sweeps{})
	wantLog(t, turn(a, 0, 3*time.Minute, 0), `
0s closed from -5m0s on
0s open from -3600h0m0s on
0s reconcile from -3600h0m0s 0s
1m0s closed from -5m0s on
2m0s closed from -4m0s on
`)
}

// A closed sweep goes back behind the last one, not behind its own beginning: an
// account that was held back for hours is asked for all of them.
func TestAgendaGoesOnWhereTheCursorStands(t *testing.T) {
	t.Parallel()
	closed, open, reconciled := walkStart.Add(-6*time.Hour), walkStart.Add(-6*time.Hour), walkStart.Add(-23*time.Hour)
	a := newAgenda(dailyPlan, schemas.Sweeps{ClosedUntil: &closed, OpenAt: &open, ReconciledAt: &reconciled})
	wantLog(t, turn(a, 0, time.Minute, 0), `
0s closed from -6h5m0s on
0s open from -3600h0m0s on
`)
	if _, at := a.next(walkStart.Add(time.Second)); !at.Equal(walkStart.Add(time.Minute)) {
		t.Errorf("next request at %v, want the closed sweep in a minute", at)
	}
}

// An API whose clock is behind says of a case closed now that it was closed
// before: the next closed sweep goes back as far as that.
func TestAgendaAddsTheSkewOfTheAPI(t *testing.T) {
	t.Parallel()
	plan := dailyPlan
	plan.Open, plan.Reconcile = 0, 0
	a := newAgenda(plan, schemas.Sweeps{})
	got := turn(a, 0, time.Second, -10*time.Minute)
	got += turn(a, time.Minute, time.Second, 0)
	got += turn(a, 2*time.Minute, time.Second, 10*time.Minute)
	got += turn(a, 3*time.Minute, time.Second, 0)
	wantLog(t, got, `
0s closed from -5m0s on
1m0s closed from -15m0s on
2m0s closed from -4m0s on
3m0s closed from -3m0s on
`)
}

// A reconciliation that needs many requests is spread over the day, and the
// others go on meanwhile.
func TestAgendaSpreadsAReconciliation(t *testing.T) {
	t.Parallel()
	plan := dailyPlan
	plan.Closed, plan.Open = 0, 0
	a := newAgenda(plan, schemas.Sweeps{})
	a.widths[SweepReconcile] = 30 * 24 * time.Hour
	var at []time.Duration
	now := walkStart
	for range 5 {
		_, next := a.next(now)
		if kind, _ := a.next(laterOf(now, next)); kind == SweepClosed { // the daily one comes first
			s := a.sweep(kind, now)
			r := s.next(&bounds{})
			s.answered(r, 1, false, nil, &bounds{})
			a.passed(s, r, now, 0, plan.every(kind))
			_, next = a.next(now)
		}
		now = laterOf(now, next)
		s := a.sweep(SweepReconcile, now)
		r := s.next(&bounds{})
		s.answered(r, 500, false, nil, &bounds{})
		a.passed(s, r, now, 0, plan.Reconcile)
		at = append(at, now.Sub(walkStart))
	}
	for i, got := range at {
		want := time.Duration(float64(i) / 5 * reconcileShare * float64(plan.Reconcile))
		if d := got - want; d < -time.Second || d > time.Second {
			t.Errorf("window %d at %v, want %v", i+1, got, want)
		}
	}
	if a.cursor.ReconciledAt == nil || a.cursor.ReconcileFrom != nil {
		t.Errorf("the cursor says %+v after the last window", a.cursor)
	}
}

// Another process goes on with a reconciliation where the cursor stands.
func TestAgendaTakesAReconciliationOver(t *testing.T) {
	t.Parallel()
	began, from := walkStart.Add(-6*time.Hour), walkStart.Add(-40*24*time.Hour)
	a := newAgenda(dailyPlan, schemas.Sweeps{ReconcileBegan: &began, ReconcileFrom: &from})
	got := turn(a, 0, time.Second, 0)
	wantLog(t, got, `
0s closed from -5m0s on
0s open from -3600h0m0s on
0s reconcile from -960h0m0s -6h0m0s
`)
	if a.cursor.ReconciledAt == nil || !a.cursor.ReconciledAt.Equal(began) {
		t.Errorf("reconciled at %v, want its beginning by the first process", a.cursor.ReconciledAt)
	}
}

// Whatever the plan, an account is asked once a day: accounts that are not used
// are switched off.
func TestAgendaAsksOnceADay(t *testing.T) {
	t.Parallel()
	for _, plan := range []SweepPlan{{Past: time.Hour}, {Past: time.Hour, Closed: 30 * 24 * time.Hour}} {
		a := newAgenda(plan, schemas.Sweeps{})
		requests := strings.Count(turn(a, 0, 10*24*time.Hour, 0), "\n")
		if requests < 10 || requests > 12 {
			t.Errorf("%d requests in ten days under %+v", requests, plan)
		}
	}
}

// A long closed sweep does not keep an open one waiting, nor the other way
// round: what is due first by rank goes first, request by request.
func TestAgendaTakesTurns(t *testing.T) {
	t.Parallel()
	plan := dailyPlan
	plan.Reconcile = 0
	a := newAgenda(plan, schemas.Sweeps{})
	a.widths[SweepOpen] = 30 * 24 * time.Hour
	var kinds []SweepKind
	now := walkStart
	for range 8 {
		kind, _ := a.next(now)
		s := a.sweep(kind, now)
		r := s.next(&bounds{})
		s.answered(r, 500, false, nil, &bounds{})
		a.passed(s, r, now, 0, plan.every(kind))
		kinds = append(kinds, kind)
		now = now.Add(25 * time.Second)
	}
	want := []SweepKind{SweepClosed, SweepOpen, SweepOpen, SweepClosed, SweepOpen, SweepOpen, SweepClosed, SweepOpen}
	if got := kinds; !slices.Equal(got, want) {
		t.Errorf("requests %v, want %v", got, want)
	}
}

// Sweeps that take longer than the pause between two of their kind, and a kind
// whose requests fail each time, leave the others their turns.
func TestAgendaLeavesNoKindWaiting(t *testing.T) {
	t.Parallel()
	for _, fails := range []bool{false, true} {
		plan := dailyPlan
		plan.Closed = time.Second
		a := newAgenda(plan, schemas.Sweeps{})
		requests := make(map[SweepKind]int)
		now := walkStart
		for range 300 {
			kind, at := a.next(now)
			now = laterOf(now, at)
			s := a.sweep(kind, now)
			requests[kind]++
			if kind != SweepClosed || !fails {
				r := s.next(&bounds{})
				s.answered(r, 1, false, nil, &bounds{})
				a.passed(s, r, now, 0, plan.every(kind))
			}
			now = now.Add(5 * time.Second)
		}
		if requests[SweepOpen] < 4 || requests[SweepReconcile] != 1 {
			t.Errorf("closed sweeps fail: %t, requests in 25 minutes: %v", fails, requests)
		}
	}
}

// Our clock is ahead of the API's, and a closed sweep ends in the midst: what the
// API has closed since is listed by whoever goes on.
func TestAgendaPassesNothingThatTheAPIHasYetToClose(t *testing.T) {
	t.Parallel()
	cursor := walkStart.Add(-time.Hour)
	a := newAgenda(dailyPlan, schemas.Sweeps{ClosedUntil: &cursor})
	a.widths[SweepClosed] = 10 * time.Minute
	const behind = 30 * time.Minute
	for range 6 {
		s := a.sweep(SweepClosed, walkStart)
		r := s.next(&bounds{})
		s.answered(r, 500, false, nil, &bounds{})
		if a.passed(s, r, walkStart, -behind, time.Minute) {
			t.Fatal("the sweep is done")
		}
	}
	if at := walkStart.Add(-behind); a.cursor.ClosedUntil.After(at) {
		t.Errorf("the cursor stands at %v, by the API's clock it is %v", a.cursor.ClosedUntil, at)
	}
}

// A closed sweep that ends in the midst, behind where the last one came to, has
// not undone that: whoever goes on begins one overlap behind it, not two.
func TestAgendaKeepsTheCursorUntilAWalkIsPastIt(t *testing.T) {
	t.Parallel()
	cursor := walkStart.Add(-time.Second)
	a := newAgenda(dailyPlan, schemas.Sweeps{ClosedUntil: &cursor})
	a.widths[SweepClosed] = time.Minute
	s := a.sweep(SweepClosed, walkStart)
	for range 4 {
		r := s.next(&bounds{})
		s.answered(r, 500, false, nil, &bounds{})
		if a.passed(s, r, walkStart, 0, time.Minute) {
			t.Fatal("the sweep is done")
		}
		if !a.cursor.ClosedUntil.Equal(cursor) {
			t.Fatalf("the cursor went from %v to %v", cursor, a.cursor.ClosedUntil)
		}
	}
	next := newAgenda(dailyPlan, a.cursor)
	if from, want := next.sweep(SweepClosed, walkStart).walk.from, cursor.Add(-dailyPlan.Overlap); !from.Equal(want) {
		t.Errorf("the next owner sweeps from %v, want %v", from, want)
	}
}
