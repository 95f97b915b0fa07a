package publish

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"postident-bridge/internal/scr"
	"postident-bridge/schemas"
)

var (
	berlin  = time.FixedZone("", 2*60*60)
	present = time.Date(2024, 5, 2, 12, 0, 0, 987654321, berlin)
)

func TestSnapshotOfCase(t *testing.T) {
	t.Parallel()
	c := scr.Case{
		CaseID: "CASE00000001",
		Status: scr.CaseStatus{
			Status: scr.CaseClosed, Created: present, Modified: present.Add(time.Hour), ValidUntil: present.Add(2 * time.Hour), Archived: true,
		},
		ReferenceID: "R-1",
		Accounting:  scr.Accounting{Number: "4711"},
		Identifications: []scr.Identification{{
			Method: scr.MethodVideo, Primary: true, Status: scr.StatusDeclined,
			SubStatus: &scr.Code{Code: 11, Description: "Fraud"}, SubStatusReason: &scr.Code{Code: 110},
			IdentificationTime: present, Created: present, Modified: present,
			Records: []scr.Record{{ID: "1", Type: "resultpdf", FileName: "result.pdf"}, {ID: "2", ValidationStatus: "valid"}},
		}},
	}
	utc := time.Date(2024, 5, 2, 10, 0, 0, 987000000, time.UTC)
	want := snapshot{
		ClientID: "ABCD1234", CaseID: "CASE00000001", ReferenceID: new("R-1"), Status: "closed",
		Created: utc, Modified: utc.Add(time.Hour), ValidUntil: new(utc.Add(2 * time.Hour)), Archived: true,
		Accounting: &schemas.AccountingData{AccountingNumber: new("4711")},
		Identifications: []schemas.ObservedIdentification{{
			Method: "video", Primary: true, Status: "declined",
			SubStatus: &schemas.StatusCode{Code: 11, Description: new("Fraud")}, SubStatusReason: &schemas.StatusCode{Code: 110},
			IdentificationTime: &utc, Created: utc, Modified: utc,
			Records: []schemas.RecordMetadata{
				{RecordID: "1", Type: new("resultpdf"), FileName: new("result.pdf")},
				{RecordID: "2", ValidationStatus: new("valid")},
			},
		}},
		ObservedAt: utc, ObservedBy: schemas.SourceWebhook, FromRead: true,
	}
	got := snapshotOfCase("ABCD1234", c, schemas.SourceWebhook, present)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("snapshot (-want +got):\n%s", diff)
	}
	if got.Created.Location() != time.UTC || got.ObservedAt.Location() != time.UTC {
		t.Error("times are not in UTC")
	}
}

func TestSnapshotOfBareCaseHasNothingElse(t *testing.T) {
	t.Parallel()
	c := scr.Case{CaseID: "CASE00000001", Status: scr.CaseStatus{Status: scr.CaseNew, Created: present}}
	got := snapshotOfCase("ABCD1234", c, schemas.SourceSweep, present)
	want := snapshot{
		ClientID: "ABCD1234", CaseID: "CASE00000001", Status: "new", Created: wireTime(present),
		Identifications: []schemas.ObservedIdentification{},
		ObservedAt:      wireTime(present), ObservedBy: schemas.SourceSweep, FromRead: true,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("snapshot (-want +got):\n%s", diff)
	}
}

func TestSnapshotOfObservation(t *testing.T) {
	t.Parallel()
	later := schemas.ObservedIdentification{Method: "video", Status: "success", Created: present, Modified: present.Add(time.Minute), IdentificationTime: &present}
	earlier := schemas.ObservedIdentification{Method: "autoid", Status: "cancelled", Created: present, Modified: present}
	trigger := schemas.Trigger{
		ClientID: "ABCD1234", CaseID: "CASE00000001", ReferenceID: new("of the trigger"), Source: schemas.SourceBackfill,
		Observation: &schemas.Observation{
			ObservedAt: present, CaseStatus: "closed", Created: present, Modified: present, ValidUntil: &present, Archived: true,
			Accounting:      &schemas.AccountingData{AccountingProduct: new("P")},
			Identifications: []schemas.ObservedIdentification{later, earlier},
		},
	}
	got := snapshotOfObservation(trigger)
	utc := wireTime(present)
	wantFirst, wantSecond := earlier, later
	wantFirst.Created, wantFirst.Modified = utc, utc
	wantSecond.Created, wantSecond.Modified, wantSecond.IdentificationTime = utc, utc.Add(time.Minute), &utc
	want := snapshot{
		ClientID: "ABCD1234", CaseID: "CASE00000001", ReferenceID: new("of the trigger"), Status: "closed",
		Created: utc, Modified: utc, ValidUntil: &utc, Archived: true,
		Accounting:      &schemas.AccountingData{AccountingProduct: new("P")},
		Identifications: []schemas.ObservedIdentification{wantFirst, wantSecond},
		ObservedAt:      utc, ObservedBy: schemas.SourceBackfill,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("snapshot (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]schemas.ObservedIdentification{later, earlier}, trigger.Observation.Identifications); diff != "" {
		t.Errorf("the trigger changed (-before +after):\n%s", diff)
	}
	trigger.Observation.ReferenceID = new("of the list")
	if got := snapshotOfObservation(trigger); *got.ReferenceID != "of the list" {
		t.Errorf("reference id is %q, the list's own counts", *got.ReferenceID)
	}
}

// TestDistinctKeepsTheNewestOfEach, whatever order the answer has.
func TestDistinctKeepsTheNewestOfEach(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		begin := time.Date(2024, 5, 2, 10, 0, 0, 0, time.UTC)
		shown := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) schemas.ObservedIdentification {
			id := schemas.ObservedIdentification{
				Method:  rapid.SampledFrom([]string{"", "video", "eid"}).Draw(t, "method"),
				Status:  rapid.SampledFrom([]string{"started", "incomplete", "success", "declined", "?"}).Draw(t, "status"),
				Created: begin.Add(time.Duration(rapid.IntRange(0, 1).Draw(t, "created")) * time.Second),
			}
			if rapid.Bool().Draw(t, "stamped") {
				id.Modified = begin.Add(time.Duration(rapid.IntRange(0, 2).Draw(t, "modified")) * time.Second)
			}
			if rapid.Bool().Draw(t, "coded") {
				id.SubStatus = &schemas.StatusCode{Code: rapid.IntRange(1, 2).Draw(t, "sub")}
			}
			if rapid.Bool().Draw(t, "timed") {
				id.IdentificationTime = &begin
			}
			return id
		}), 0, 6).Draw(t, "shown")
		kept, shadowed := distinct(slices.Clone(shown))
		if len(kept)+shadowed != len(shown) {
			t.Fatalf("%d kept and %d shadowed of %d", len(kept), shadowed, len(shown))
		}
		for i, k := range kept {
			if i > 0 && compareChanges(kept[i-1], k) > 0 {
				t.Fatalf("%v before %v", kept[i-1], k)
			}
			for j, o := range kept {
				if i != j && k.Method == o.Method && k.Created.Equal(o.Created) {
					t.Fatalf("%v stands twice", k)
				}
			}
			for _, s := range shown {
				if s.Method == k.Method && s.Created.Equal(k.Created) && compareChanges(s, k) > 0 {
					t.Fatalf("kept %v of the older %v", k, s)
				}
			}
		}
		again, _ := distinct(rapid.Permutation(shown).Draw(t, "shuffled"))
		if diff := cmp.Diff(kept, again, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("the answer's order matters (-one +other):\n%s", diff)
		}
	})
}
