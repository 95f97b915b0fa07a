package ingest

import (
	"testing"
	"time"
)

// worked is an inbox that is worked off at a rate, and of which that is told once
// a second.
type worked struct {
	rate          float64 // a second
	written, told int64
	done          float64
}

// pass lets time pass, and says what is told then.
func (w *worked) pass(now, step time.Duration) Backlog {
	w.done = min(w.done+w.rate*step.Seconds(), float64(w.written))
	if now%time.Second == 0 {
		w.told = int64(w.done)
	}
	return Backlog{Done: w.told, Written: w.written}
}

// A backfill finds the rate of those who work the inbox off, puts no more than
// paceAhead before others, and all but stops when they do.
func TestPaceFindsTheRate(t *testing.T) {
	t.Parallel()
	const (
		step, page = 10 * time.Millisecond, 700
		rate       = 20_000
	)
	var p pace
	w := worked{rate: rate}
	begin := time.Date(2026, 3, 2, 9, 30, 0, 0, time.UTC)
	var at [31]float64 // what is done after so many seconds
	most := int64(0)
	for now := step; now <= 30*time.Second; now += step {
		if now == 20*time.Second {
			w.rate = 0
		}
		b := w.pass(now, step)
		for p.knows(begin.Add(now)) || p.admits(begin.Add(now), b) {
			w.written += page
			p.wrote(page)
			b.Written = w.written
		}
		most = max(most, w.written-int64(w.done))
		if now%time.Second == 0 {
			at[now/time.Second] = w.done
		}
	}
	if full := at[15] - at[5]; full < 0.95*10*rate {
		t.Errorf("%.0f a second from the fifth second on, want %d", full/10, rate)
	}
	if limit := int64(rate*paceAhead.Seconds()) + page; most > limit {
		t.Errorf("%d waited at once, want %d at most", most, limit)
	}
	if p.admits(begin.Add(time.Minute), Backlog{Done: w.told, Written: w.told + paceLeast}) {
		t.Error("goes on while nothing is worked off")
	}
	if !p.admits(begin.Add(time.Minute), Backlog{Done: w.told, Written: w.told}) {
		t.Error("does not begin again when nothing waits")
	}
}

// Of what was told a moment ago nobody asks again, unless it is used up.
func TestPaceKnowsForAMoment(t *testing.T) {
	t.Parallel()
	var p pace
	now := time.Date(2026, 3, 2, 9, 30, 0, 0, time.UTC)
	if p.knows(now) {
		t.Error("knows before it was told")
	}
	if !p.admits(now, Backlog{}) || !p.knows(now.Add(paceFresh-1)) {
		t.Error("does not know what it was told")
	}
	if p.knows(now.Add(paceFresh)) {
		t.Error("knows for ever")
	}
	if p.wrote(paceLeast); p.knows(now) {
		t.Error("knows of room that is used up")
	}
}
