package ingest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"postident-bridge/internal/scr"
)

// server answers requests for windows as the API may do it: which bounds lie
// inside is not documented (facts 3.2). It may keep times finer than it shows
// them.
type server struct {
	lower, upper bool
	cases        []listedCase
	limit        int
}

type listedCase struct {
	id string
	at time.Time // as the server keeps it
}

func (c listedCase) shown() scr.Case {
	at := c.at.Truncate(second)
	return scr.Case{CaseID: c.id, Status: scr.CaseStatus{Created: at, Modified: at}}
}

func (s *server) list(from, until time.Time) (hits []listedCase, partial bool) {
	for _, c := range s.cases {
		inside := (c.at.After(from) || s.lower && c.at.Equal(from)) &&
			(until.IsZero() || c.at.Before(until) || s.upper && c.at.Equal(until))
		if !inside {
			continue
		}
		if len(hits) == s.limit {
			return hits, true
		}
		hits = append(hits, c)
	}
	return hits, false
}

// follow walks to the end, and gives what was listed and the holes.
func (s *server) follow(t *testing.T, sw *sweep) (listed map[string]bool, holes []window, requests int) {
	t.Helper()
	var b bounds
	listed = make(map[string]bool)
	for ; !sw.walk.done(); requests++ {
		if requests > 100_000 {
			t.Fatal("the walk does not end")
		}
		r := sw.next(&b)
		hits, partial := s.list(r.from, r.until)
		var seen []string
		for _, c := range hits {
			listed[c.id] = true
			shown := c.shown()
			if r.sees(&b, &shown) {
				seen = append(seen, c.id)
			}
		}
		if sw.answered(r, len(hits), partial, seen, &b) == stepHole {
			holes = append(holes, r.window)
		}
	}
	return listed, holes, requests
}

var walkStart = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// crowd makes n cases in a second.
func crowd(second, n int) []listedCase {
	out := make([]listedCase, n)
	for i := range out {
		out[i] = listedCase{fmt.Sprintf("%d/%d", second, i), walkStart.Add(time.Duration(second) * time.Second)}
	}
	return out
}

// every way in which a server may treat the bounds of a window.
func servers(limit int) map[string]*server {
	out := make(map[string]*server)
	for _, lower := range []bool{true, false} {
		for _, upper := range []bool{true, false} {
			out[fmt.Sprintf("lower=%t upper=%t", lower, upper)] = &server{lower: lower, upper: upper, limit: limit}
		}
	}
	return out
}

func TestWalkCoversEveryCase(t *testing.T) {
	t.Parallel()
	for name, s := range servers(1000) {
		for _, newestFirst := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s newest=%t", name, newestFirst), func(t *testing.T) {
				t.Parallel()
				s := *s
				s.cases = spreadCases(20_000, 30*24*time.Hour)
				w := newWalk(walkStart, walkStart.Add(30*24*time.Hour), 0)
				w.newestFirst = newestFirst
				listed, holes, requests := s.follow(t, &sweep{kind: sweepBackfill, walk: w})
				if len(listed) != len(s.cases) || len(holes) != 0 {
					t.Errorf("listed %d of %d cases, %d holes", len(listed), len(s.cases), len(holes))
				}
				if requests > 100 {
					t.Errorf("%d requests for 20,000 cases: windows do not find their width", requests)
				}
			})
		}
	}
}

// spreadCases are n cases over a span: by day many, by night few.
func spreadCases(n int, span time.Duration) []listedCase {
	random := rand.New(rand.NewPCG(1, 2))
	out := make([]listedCase, 0, n)
	for len(out) < n {
		at := time.Duration(random.Int64N(int64(span))).Truncate(second)
		if hour := at % (24 * time.Hour) / time.Hour; hour > 9 && random.IntN(10) > 0 {
			continue
		}
		out = append(out, listedCase{fmt.Sprint(len(out)), walkStart.Add(at)})
	}
	slices.SortFunc(out, func(a, b listedCase) int { return a.at.Compare(b.at) })
	return out
}

// 5,000 cases in ten seconds are all listed, whatever the server's bounds.
func TestWalkCoversACrowd(t *testing.T) {
	t.Parallel()
	for name, s := range servers(1000) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for i := range 10 {
				s.cases = append(s.cases, crowd(40+i, 500)...)
			}
			listed, holes, _ := s.follow(t, &sweep{kind: SweepReconcile, walk: newWalk(walkStart, walkStart.Add(24*time.Hour), 0)})
			if len(listed) != 5000 || len(holes) != 0 {
				t.Errorf("listed %d of 5,000 cases, holes %v", len(listed), holes)
			}
		})
	}
}

// 1,500 cases in one second cannot all be listed: the second is a hole, and
// nothing beside it is.
func TestWalkReportsAHole(t *testing.T) {
	t.Parallel()
	for name, s := range servers(1000) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s.cases = slices.Concat(crowd(6, 10), crowd(7, 1500), crowd(8, 10))
			listed, holes, _ := s.follow(t, &sweep{kind: SweepReconcile, walk: newWalk(walkStart, walkStart.Add(time.Hour), 0)})
			want := window{walkStart.Add(7 * time.Second), walkStart.Add(8 * time.Second)}
			if len(holes) != 1 || holes[0] != want {
				t.Errorf("holes %v, want %v", holes, want)
			}
			for _, c := range slices.Concat(crowd(6, 10), crowd(8, 10)) {
				if !listed[c.id] {
					t.Errorf("case %s beside the hole is missing", c.id)
				}
			}
		})
	}
}

// A server that keeps times finer than it shows them must not make a partial
// second look whole.
func TestWalkOverFractionsLosesNothingSilently(t *testing.T) {
	t.Parallel()
	for name, s := range servers(1000) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for i := range 4 {
				for _, c := range crowd(20+i, 900) {
					c.at = c.at.Add(time.Duration(len(s.cases)%1000) * time.Millisecond)
					s.cases = append(s.cases, c)
				}
			}
			slices.SortStableFunc(s.cases, func(a, b listedCase) int { return a.at.Compare(b.at) })
			listed, holes, _ := s.follow(t, &sweep{kind: SweepReconcile, walk: newWalk(walkStart, walkStart.Add(time.Hour), 0)})
			inHole := func(c listedCase) bool {
				return slices.ContainsFunc(holes, func(w window) bool { return !c.at.Before(w.from) && c.at.Before(w.until) })
			}
			for _, c := range s.cases {
				// A case exactly at the bound of a window is the price of a lower bound
				// that only looked inclusive.
				if !listed[c.id] && !inHole(c) && !c.at.Equal(c.at.Truncate(second)) {
					t.Fatalf("case %s at %s is missing, and in no hole of %v", c.id, c.at, holes)
				}
			}
		})
	}
}

func TestWalkWithoutUpperBound(t *testing.T) {
	t.Parallel()
	w := newWalk(walkStart, walkStart.Add(time.Minute), 0)
	w.ahead = true
	sw := &sweep{kind: SweepClosed, walk: w}
	r := sw.next(&bounds{})
	if !r.filter.ClosedUntil.IsZero() || !r.filter.ClosedFrom.Equal(walkStart.Add(-second)) {
		t.Fatalf("asked for %v to %v, want one second more below and no end", r.filter.ClosedFrom, r.filter.ClosedUntil)
	}
	if got := sw.answered(r, 1000, true, nil, &bounds{}); got != stepAgain {
		t.Fatalf("a partial answer gave step %d", got)
	}
	r = sw.next(&bounds{})
	if want := walkStart.Add(30 * time.Second); !r.filter.ClosedUntil.Equal(want) {
		t.Errorf("then asked until %v, want half of it, %v", r.filter.ClosedUntil, want)
	}
}

func TestFilterOfEachKind(t *testing.T) {
	t.Parallel()
	for kind, want := range map[SweepKind]scr.Filter{
		SweepClosed:    {Closed: true, Archived: true},
		SweepOpen:      {New: true, InProgress: true},
		SweepReconcile: {New: true, InProgress: true, Closed: true, Archived: true},
		sweepBackfill:  {New: true, InProgress: true, Closed: true, Archived: true},
	} {
		got := (&sweep{kind: kind, walk: newWalk(walkStart, walkStart.Add(time.Hour), 0)}).next(&bounds{lower: true}).filter
		if kind == SweepClosed {
			want.ClosedFrom, want.ClosedUntil = walkStart, walkStart.Add(time.Hour)
		} else {
			want.CreatedFrom, want.CreatedUntil = walkStart, walkStart.Add(time.Hour)
		}
		if got != want {
			t.Errorf("%s asks for %+v, want %+v", kind, got, want)
		}
	}
}

// What comes too late or broken each time is asked for by halves; an API that is
// away, or refuses, says nothing of the window.
func TestWindowThatFailsIsHalved(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err     error
		narrows bool
	}{
		{&scr.UnavailableError{Err: context.DeadlineExceeded}, true},
		{&scr.RejectedError{Reason: scr.RejectedJSON}, true},
		{&scr.RejectedError{Reason: scr.RejectedDecrypt}, true},
		{&scr.RejectedError{Reason: scr.RejectedPlain}, false},
		{&scr.UnavailableError{Status: 503}, false},
		{&scr.UnauthorisedError{Status: 401}, false},
	} {
		sw := &sweep{kind: SweepOpen, walk: newWalk(walkStart, walkStart.Add(time.Hour), 0)}
		for n := range patience {
			if got := sw.next(&bounds{}).window.width(); got != time.Hour {
				t.Errorf("%v: after %d failures the window is %v wide", tt.err, n, got)
			}
			sw.failed(sw.next(&bounds{}), tt.err)
		}
		if got := sw.next(&bounds{}).window.width(); (got == 30*time.Minute) != tt.narrows {
			t.Errorf("%v: after %d failures the window is %v wide", tt.err, patience, got)
		}
	}
}
