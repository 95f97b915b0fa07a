package publish

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"postident-bridge/internal/scr"
	"postident-bridge/schemas"
)

// ledger is a case with results and records on, looked at by somebody who keeps what
// planOutputs gives.
type ledger struct {
	t        *rapid.T
	now      time.Time
	patience time.Duration
	shown    scr.Case
	state    *schemas.CaseState
	since    time.Time // the first attempt that failed; zero: nothing is waited for
	events   []schemas.StatusChanged
	results  map[string]int // by event
}

// move gives the identification its next state.
func (l *ledger) move(status string) {
	l.now = l.now.Add(time.Minute)
	at := l.now.Truncate(time.Second)
	l.shown.Status.Modified = at
	l.shown.Identifications = []scr.Identification{{
		Method: scr.MethodVideo, Status: status, Created: worldBegin, Modified: at, Records: []scr.Record{{ID: "1", Type: "userface"}},
	}}
}

// look looks at the case, with the store there or away, and checks what went out.
func (l *ledger) look(away bool) {
	l.now = l.now.Add(time.Duration(rapid.IntRange(1, 600).Draw(l.t, "seconds")) * time.Second)
	s := snapshotOfCase(testClient, l.shown, schemas.SourceWebhook, l.now)
	d := decide(l.state, s, rules{Class: schemas.RegulatoryClassGwG, Results: true, Records: true}, false)
	stored := stored{references: map[recordKey]schemas.RecordReference{
		{method: scr.MethodVideo, created: worldBegin.UnixMilli(), record: scr.Record{ID: "1", Type: "userface"}}: {Location: "file:///1"},
	}}
	if away {
		stored.references, stored.err = nil, errors.New("away")
	}
	if l.since.IsZero() {
		l.since = l.now
	}
	out := planOutputs(d, stored, l.since, l.now, l.patience)
	if out.hold != nil {
		if !away {
			l.t.Fatal("held, and the store is there")
		}
		if l.now.Sub(l.since) >= l.patience {
			l.t.Fatal("held, and its time is over")
		}
		return
	}
	if out.again == nil {
		l.since = time.Time{}
	}
	sealed, sequence, hash, err := seal(l.state, out.events, encoder.Encode)
	if err != nil {
		l.t.Fatal(err)
	}
	next := out.state
	if len(sealed) > 0 {
		next.Sequence, next.LastEventHash = sequence, &hash
	}
	for _, o := range out.pending {
		next.Identifications[o.at].RecordsPending.Sequence = sealed[o.event].Event.Sequence
	}
	for _, o := range out.results {
		l.results[o.base.EventID]++
	}
	for _, e := range sealed {
		l.events = append(l.events, e.Event)
	}
	if due := recordsDue(&next); due != (out.again != nil) {
		l.t.Fatalf("records are due: %t; and somebody looks again: %t", due, out.again != nil)
	}
	l.state = &next
}

// check compares all that went out: each final state has one result with it and its
// records, at once or by one later event.
func (l *ledger) check() {
	completed := make(map[int64]int)
	for i := range l.events {
		if e := &l.events[i]; e.Completes != nil {
			completed[*e.Completes]++
			if len(references(e)) != 1 || l.results[e.EventID] != 0 {
				l.t.Errorf("event %d completes %d with %d references", e.Sequence, *e.Completes, len(references(e)))
			}
		}
	}
	ids := make(map[string]bool)
	for i := range l.events {
		e := &l.events[i]
		if ids[e.EventID] {
			l.t.Errorf("two events have the id of event %d", e.Sequence)
		}
		ids[e.EventID] = true
		if e.StatusType != schemas.StatusTypeFinal {
			continue
		}
		late := *e.RecordsState == schemas.RecordsStatePending
		corrected := i+1 < len(l.events) && l.events[i+1].Completes == nil
		switch n := completed[e.Sequence]; {
		case l.results[e.EventID] != 1:
			l.t.Errorf("event %d has %d results", e.Sequence, l.results[e.EventID])
		case !late && (n != 0 || len(references(e)) != 1):
			l.t.Errorf("event %d has %d references, and is completed by %d events", e.Sequence, len(references(e)), n)
		case late && n != 1 && (n != 0 || !corrected):
			l.t.Errorf("event %d is late, and completed by %d events", e.Sequence, n)
		}
	}
}

// P6, P2: whatever comes between, each final state that was seen is told once, with one
// result, and its records come with it or by one event more, unless a correction takes
// their place.
func TestRecordsOfEveryFinalStateComeOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := &ledger{t: t, now: worldBegin, patience: 15 * time.Minute, results: make(map[string]int)}
		l.shown = scr.Case{CaseID: "CASE00000001", Status: scr.CaseStatus{Status: scr.CaseInProgress, Created: worldBegin, Modified: worldBegin}}
		statuses := []string{scr.StatusReviewPending, scr.StatusSuccess, scr.StatusDeclined}
		last := -1
		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			if rapid.IntRange(0, 3).Draw(t, "move") == 0 || last < 0 {
				last = (last + rapid.IntRange(1, 2).Draw(t, "status")) % len(statuses)
				last = max(last, 0)
				l.move(statuses[last])
			}
			l.look(rapid.Bool().Draw(t, "away"))
		}
		l.look(false)
		l.check()
		if newest := l.state.Identifications[0]; newest.Status != statuses[last] || newest.RecordsPending != nil {
			t.Errorf("in the end the state is %s", fmt.Sprint(newest.Status, newest.RecordsPending))
		}
		events := len(l.events)
		l.look(false)
		if len(l.events) != events {
			t.Error("another look tells it again")
		}
	})
}
