package publish

import (
	"testing"
	"time"

	"postident-bridge/internal/scr"
	"postident-bridge/schemas"
)

// BenchmarkDecide: the look that finds nothing new is by far the most frequent.
func BenchmarkDecide(b *testing.B) {
	created := time.Date(2024, 5, 2, 10, 0, 0, 0, time.UTC)
	shown := scr.Case{
		CaseID: "CASE00000001",
		Status: scr.CaseStatus{Status: scr.CaseInProgress, Created: created, Modified: created.Add(time.Minute)},
		Identifications: []scr.Identification{
			{Method: scr.MethodAutoID, Status: scr.StatusCancelled, SubStatus: &scr.Code{Code: 94}, Created: created, Modified: created.Add(30 * time.Second)},
			{Method: scr.MethodVideo, Status: scr.StatusReviewPending, Created: created.Add(40 * time.Second), Modified: created.Add(time.Minute)},
		},
	}
	seen := snapshotOfCase("ABCD1234", shown, schemas.SourceWebhook, created.Add(2*time.Minute))
	state := decide(nil, seen, rules{Class: schemas.RegulatoryClassGwG}, false).State
	shown.Identifications[1].Status, shown.Identifications[1].Modified = scr.StatusSuccess, created.Add(3*time.Minute)
	changed := snapshotOfCase("ABCD1234", shown, schemas.SourceWebhook, created.Add(4*time.Minute))
	for _, bb := range []struct {
		name string
		prev *schemas.CaseState
		s    snapshot
		want verdict
	}{
		{"first", nil, seen, verdictChanged},
		{"changed", &state, changed, verdictChanged},
		{"unchanged", &state, seen, verdictUnchanged},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if d := decide(bb.prev, bb.s, rules{Class: schemas.RegulatoryClassGwG}, false); d.Verdict != bb.want {
					b.Fatalf("verdict %s, want %s", d.Verdict, bb.want)
				}
			}
		})
	}
}
