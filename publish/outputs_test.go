package publish

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postident-bridge/internal/scr"
	"postident-bridge/schemas"
)

// TestPlanOutputs: what goes out with, and without, the records of a final state.
func TestPlanOutputs(t *testing.T) {
	t.Parallel()
	const patience = 15 * time.Minute
	away := errors.New("away")
	there := map[recordKey]schemas.RecordReference{
		{method: scr.MethodVideo, created: epoch.UnixMilli(), record: scr.Record{ID: "1", Type: "userface"}}: {Location: "file:///1", SHA256: []byte("1"), Size: 1},
	}
	const (
		fresh   = "event"   // the look gives the status event
		late    = "late"    // it went out and promised records
		alone   = "alone"   // it went out, the result is missing
		nothing = "nothing" // it went out, and neither is wanted
	)
	for _, tt := range []struct {
		name             string
		kind             string
		results          bool
		records          bool
		stored           stored
		since            time.Duration // ago
		held, again      bool
		events, results2 int
		state            schemas.RecordsState // in the last event, "" for none
		pending          bool                 // afterwards
		outputs          []schemas.Output
	}{
		{name: "nothing is owed", kind: nothing, stored: stored{err: away}, outputs: []schemas.Output{"status"}},
		{name: "a result, no records", kind: fresh, results: true, stored: stored{err: away}, events: 1, results2: 1, outputs: []schemas.Output{"status", "result"}},
		{
			name: "stored", kind: fresh, results: true, records: true, stored: stored{references: there}, events: 1, results2: 1,
			state: schemas.RecordsStateStored, outputs: []schemas.Output{"status", "records", "result"},
		},
		{
			name: "none to store", kind: fresh, records: true, stored: stored{references: map[recordKey]schemas.RecordReference{}}, events: 1,
			state: schemas.RecordsStateNone, outputs: []schemas.Output{"status", "records"},
		},
		{name: "the first attempt failed", kind: fresh, results: true, records: true, stored: stored{err: away}, held: true},
		{name: "patience is not over", kind: fresh, records: true, stored: stored{err: away}, since: patience - time.Millisecond, held: true},
		{
			name: "patience is over", kind: fresh, results: true, records: true, stored: stored{err: away}, since: patience, again: true, events: 1, results2: 1,
			state: schemas.RecordsStatePending, pending: true, outputs: []schemas.Output{"status", "result"},
		},
		{name: "late, still away", kind: late, records: true, stored: stored{err: away}, since: time.Hour, again: true, pending: true, outputs: []schemas.Output{"status"}},
		{
			name: "late, and there", kind: late, records: true, stored: stored{references: there}, since: time.Hour, events: 1,
			state: schemas.RecordsStateStored, outputs: []schemas.Output{"status", "records"},
		},
		{
			name: "late, and nothing to store any more", kind: late, records: true, stored: stored{references: map[recordKey]schemas.RecordReference{}}, events: 1,
			state: schemas.RecordsStateNone, outputs: []schemas.Output{"status", "records"},
		},
		{name: "alone, no records", kind: alone, results: true, stored: stored{err: away}, results2: 1, outputs: []schemas.Output{"status", "result"}},
		{name: "alone waits for its records", kind: alone, results: true, records: true, stored: stored{err: away}, since: 100 * patience, held: true},
		{
			name: "alone, with records", kind: alone, results: true, records: true, stored: stored{references: there}, results2: 1,
			outputs: []schemas.Output{"status", "records", "result"},
		},
		{
			name: "late, and its result too", kind: late, results: true, records: true, stored: stored{references: there}, events: 1, results2: 1,
			state: schemas.RecordsStateStored, outputs: []schemas.Output{"status", "records", "result"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			now := epoch.Add(200 * time.Hour)
			base := schemas.StatusChanged{
				EventID: "event", Method: schemas.MethodVideo, StatusType: schemas.StatusTypeFinal, Identification: &schemas.Identification{Created: epoch},
				Records: []schemas.RecordMetadata{{RecordID: "1", Type: new("userface")}, {RecordID: "2"}},
			}
			st := schemas.IdentificationState{Method: scr.MethodVideo, Created: epoch, Outputs: []schemas.Output{schemas.OutputStatus}}
			d := decision{State: schemas.CaseState{Identifications: []schemas.IdentificationState{{}, st}}}
			o := owed{at: 1, event: -1, base: base, result: tt.results, records: tt.records}
			switch tt.kind {
			case fresh:
				o.event, d.Events = 0, []schemas.StatusChanged{base}
			case late:
				d.State.Identifications[1].RecordsPending = &schemas.PendingRecords{Sequence: 3, Since: epoch, Attempts: 2}
			}
			if tt.kind != nothing {
				d.Owed = []owed{o}
			}
			before := mustCloneDecision(d)
			out := planOutputs(d, tt.stored, now.Add(-tt.since), now, patience)
			if diff := cmp.Diff(before, d, cmp.AllowUnexported(owed{})); diff != "" {
				t.Errorf("the decision was changed (-before +after):\n%s", diff)
			}
			if (out.hold != nil) != tt.held || (out.again != nil) != tt.again {
				t.Fatalf("hold %v, again %v", out.hold, out.again)
			}
			if tt.held {
				return
			}
			if len(out.events) != tt.events || len(out.results) != tt.results2 {
				t.Fatalf("%d events, %d results", len(out.events), len(out.results))
			}
			got := out.state.Identifications[1]
			if (got.RecordsPending != nil) != tt.pending || !cmp.Equal(got.Outputs, tt.outputs) {
				t.Errorf("state %+v", got)
			}
			if tt.events == 0 {
				return
			}
			e := &out.events[0]
			if state := e.RecordsState; (state == nil) != (tt.state == "") || state != nil && *state != tt.state {
				t.Errorf("event %+v", e)
			}
			if named := references(e); len(named) != map[bool]int{true: 1}[tt.state == schemas.RecordsStateStored] {
				t.Errorf("references %v", named)
			}
			if completes := e.StatusType == schemas.StatusTypeRecordsAvailable; completes != (tt.kind == late) || completes && (*e.Completes != 3 || e.EventID == "event") {
				t.Errorf("event %+v", e)
			}
			if tt.results2 > 0 && !cmp.Equal(out.results[0].base.RecordsState, e.RecordsState) {
				t.Errorf("the result says %v, the event %v", out.results[0].base.RecordsState, e.RecordsState)
			}
		})
	}
}

// mustCloneDecision is deep enough for what planOutputs could change.
func mustCloneDecision(d decision) decision {
	clone := d
	clone.Events = append([]schemas.StatusChanged(nil), d.Events...)
	clone.Owed = append([]owed(nil), d.Owed...)
	clone.State.Identifications = append([]schemas.IdentificationState(nil), d.State.Identifications...)
	for i := range clone.State.Identifications {
		st := &clone.State.Identifications[i]
		st.Outputs = append([]schemas.Output(nil), st.Outputs...)
		if st.RecordsPending != nil {
			st.RecordsPending = new(*st.RecordsPending)
		}
	}
	return clone
}

// TestAfterRecords: it goes on for as long as it takes, from the first attempt on.
func TestAfterRecords(t *testing.T) {
	t.Parallel()
	p := retryPolicy{Records: []time.Duration{10 * time.Second, time.Minute}, Rechecks: []time.Duration{time.Second, time.Second}}
	failed := retryNow.Add(-time.Hour)
	for _, tt := range []struct {
		name    string
		prev    *schemas.Retry
		jitter  float64
		attempt int
		pause   time.Duration
		first   time.Time
		faults  int
	}{
		{"first", nil, 0.5, 1, 10 * time.Second, retryNow, 0},
		{"least jitter", nil, 0, 1, 8 * time.Second, retryNow, 0},
		{"most jitter", nil, 1, 1, 12 * time.Second, retryNow, 0},
		{"second", &schemas.Retry{Kind: schemas.RetryRecords, Attempt: 1, FirstFailed: failed}, 0.5, 2, time.Minute, failed, 0},
		{"the last pause repeats", &schemas.Retry{Kind: schemas.RetryRecords, Attempt: 70, FirstFailed: failed}, 0.5, 71, time.Minute, failed, 0},
		{"after faults: they are forgotten, their time counts", &schemas.Retry{Kind: schemas.RetryFault, Attempt: 4, Faults: 4, FirstFailed: failed}, 0.5, 1, 10 * time.Second, failed, 0},
		{"after an outage", &schemas.Retry{Kind: schemas.RetryParked, Attempt: 1, FirstFailed: failed}, 0.5, 1, 10 * time.Second, failed, 0},
		{"after a recheck", &schemas.Retry{Kind: schemas.RetryRecheck, Attempt: 2, Reason: reasonUnchanged, FirstFailed: failed}, 0.5, 1, 10 * time.Second, failed, 0},
		{
			"after answers that all were stale", &schemas.Retry{Kind: schemas.RetryRecheck, Attempt: 2, Reason: reasonStale, FirstFailed: failed}, 0.5, 3,
			time.Minute, failed, 0,
		},
		{
			"after a stale answer: its time goes on", &schemas.Retry{Kind: schemas.RetryRecheck, Attempt: 1, Reason: reasonStale, FirstFailed: failed}, 0.5, 1,
			10 * time.Second, failed, 0,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			want := &schemas.Retry{
				Kind: schemas.RetryRecords, Attempt: tt.attempt, Faults: tt.faults, Reason: "records_busy", FirstFailed: tt.first,
				NotBefore: retryNow.Add(tt.pause), Partition: 3, Offset: 42, Trigger: []byte("trigger"),
			}
			if diff := cmp.Diff(want, p.afterRecords(tt.prev, retryNow, "records_busy", retryOrigin, tt.jitter)); diff != "" {
				t.Errorf("slot (-want +got):\n%s", diff)
			}
		})
	}
}
