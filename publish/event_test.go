package publish

import (
	"crypto/sha256"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/internal/scr"
	"postident-bridge/schemas"
)

// TestInterpretGuide4 walks every row of the status model, with and without each
// of its codes.
func TestInterpretGuide4(t *testing.T) {
	t.Parallel()
	types := map[scr.StatusType]schemas.StatusType{
		scr.None:         schemas.StatusTypeProgress,
		scr.Notification: schemas.StatusTypeNotification,
		scr.Preliminary:  schemas.StatusTypePreliminary,
		scr.Final:        schemas.StatusTypeFinal,
		scr.Cancelled:    schemas.StatusTypeCancelled,
	}
	rows := scr.StatusRows()
	if len(rows) != 38 {
		t.Fatalf("%d rows, the guide has 38", len(rows))
	}
	for _, row := range rows {
		looks := []schemas.ObservedIdentification{{Method: row.Method, Status: row.Status}}
		for _, c := range row.SubStatus {
			looks = append(looks, schemas.ObservedIdentification{Method: row.Method, Status: row.Status, SubStatus: &schemas.StatusCode{Code: c.Code}})
		}
		for _, c := range row.Reasons {
			looks = append(looks, schemas.ObservedIdentification{Method: row.Method, Status: row.Status, SubStatusReason: &schemas.StatusCode{Code: c.Code}})
		}
		for _, look := range looks {
			if m := interpret(&look); m.statusType != types[row.Type] || len(m.unknown) > 0 {
				t.Errorf("%s: %+v is %s, unknown %v", row.ID, look, m.statusType, m.unknown)
			}
			e := identificationEvent(&snapshot{}, &look, interpret(&look))
			if string(e.Method) != row.Method || blanks(string(e.Status)) != row.Status || e.MethodText != nil || e.StatusText != nil {
				t.Errorf("%s: event has %s %s, texts %v %v", row.ID, e.Method, e.Status, e.MethodText, e.StatusText)
			}
		}
	}
}

func TestInterpretC5AutoIDReviewPendingIsNotification(t *testing.T) {
	t.Parallel()
	m := interpret(&schemas.ObservedIdentification{Method: scr.MethodAutoID, Status: scr.StatusReviewPending})
	if m.statusType != schemas.StatusTypeNotification {
		t.Errorf("status type is %s", m.statusType)
	}
}

// TestUnknownTextIsBounded, in whole characters.
func TestUnknownTextIsBounded(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ in, want string }{
		{"paused", "paused"},
		{strings.Repeat("x", 100), strings.Repeat("x", 64)},
		{strings.Repeat("ü", 100), strings.Repeat("ü", 32)},
		{"x" + strings.Repeat("ü", 100), "x" + strings.Repeat("ü", 31)},
	} {
		if got := newUnknownText(unknownStatus, tt.in).Text; got != tt.want {
			t.Errorf("%q became %q", tt.in, got)
		}
	}
}

// TestIdentificationEventCarriesWhatWasSeen (design 4): everything of the look,
// and nothing that the caller adds.
func TestIdentificationEventCarriesWhatWasSeen(t *testing.T) {
	t.Parallel()
	at := time.Date(2024, 5, 2, 10, 0, 0, 0, time.UTC)
	s := snapshot{
		ClientID: "ABCD1234", CaseID: "CASE00000001", ReferenceID: new("R-1"), Status: scr.CaseClosed,
		Created: at, Modified: at.Add(time.Hour), ValidUntil: &at, Archived: true,
		Accounting: &schemas.AccountingData{AccountingNumber: new("4711")},
		Identifications: []schemas.ObservedIdentification{{
			Method: "video", Primary: true, Status: "declined", Created: at, Modified: at.Add(time.Minute), IdentificationTime: &at,
			SubStatus: &schemas.StatusCode{Code: 11, Description: new("Fraud")}, SubStatusReason: &schemas.StatusCode{Code: 110},
			Records: []schemas.RecordMetadata{{RecordID: "1"}},
		}},
		ObservedAt: at.Add(2 * time.Hour), ObservedBy: schemas.SourceWebhook, FromRead: true,
	}
	d := decide(nil, s, rules{Class: schemas.RegulatoryClassGwG}, false)
	want := []schemas.StatusChanged{{
		ClientID: "ABCD1234", CaseID: "CASE00000001", ReferenceID: new("R-1"),
		Method: schemas.MethodVideo, RegulatoryClass: schemas.RegulatoryClassGwG,
		StatusType: schemas.StatusTypeFinal, Status: schemas.StatusDeclined,
		SubStatus: s.Identifications[0].SubStatus, SubStatusReason: s.Identifications[0].SubStatusReason,
		Identification: &schemas.Identification{Created: at, Modified: at.Add(time.Minute), IdentificationTime: &at, Primary: true},
		CaseStatus: schemas.CaseStatus{
			Status: schemas.CaseProgressClosed, Created: at, Modified: at.Add(time.Hour), ValidUntil: &at, Archived: true,
		},
		AccountingData: s.Accounting, Records: s.Identifications[0].Records,
		ObservedAt: at.Add(2 * time.Hour), ObservedBy: schemas.SourceWebhook,
	}}
	want[0].EventID = eventID(want[0])
	if diff := cmp.Diff(want, d.Events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// sampleEvent is an event in which every part of the id is set.
func sampleEvent() schemas.StatusChanged {
	at := time.Date(2024, 5, 2, 10, 0, 0, 0, time.UTC)
	return schemas.StatusChanged{
		ClientID: "ABCD1234", CaseID: "CASE00000001",
		Method: schemas.MethodVideo, RegulatoryClass: schemas.RegulatoryClassGwG,
		StatusType: schemas.StatusTypeFinal, Status: schemas.StatusDeclined,
		SubStatus: &schemas.StatusCode{Code: 11}, SubStatusReason: &schemas.StatusCode{Code: 110},
		Identification: &schemas.Identification{
			Created: at.Add(time.Minute), Modified: at.Add(4 * time.Minute), IdentificationTime: new(at.Add(3 * time.Minute)),
		},
		CaseStatus: schemas.CaseStatus{Status: schemas.CaseProgressClosed, Created: at, Modified: at.Add(5 * time.Minute)},
		ObservedAt: at.Add(6 * time.Minute), ObservedBy: schemas.SourceSweep,
	}
}

func sampleCaseEvent() schemas.StatusChanged {
	e := sampleEvent()
	e.Method, e.Status, e.StatusType = schemas.MethodNone, schemas.StatusNone, schemas.StatusTypeProgress
	e.SubStatus, e.SubStatusReason, e.Identification = nil, nil, nil
	return e
}

// TestEventIDIsPinned: consumers deduplicate by these ids. They never change. The
// pinned ones were computed with another implementation of UUIDv5.
func TestEventIDIsPinned(t *testing.T) {
	t.Parallel()
	bare := sampleEvent()
	bare.SubStatus, bare.SubStatusReason, bare.Identification.IdentificationTime = nil, nil, nil
	unknown := sampleEvent()
	unknown.Method, unknown.MethodText = schemas.MethodUnknown, new("wallet")
	unknown.Status, unknown.StatusText = schemas.StatusUnknown, new("on hold")
	for _, tt := range []struct {
		name  string
		event schemas.StatusChanged
		want  string
	}{
		{"of an identification", sampleEvent(), "05ada7ff-2595-5582-986b-0a8b8e8e2580"},
		{"without codes and time", bare, "3bff2021-901f-5ce0-b421-4e0562129e1a"},
		{"of unknown texts", unknown, "6efebf6b-8c94-512a-891a-27ecd5b814c6"},
		{"of the case", sampleCaseEvent(), "1bc5e8e0-e9fa-58ff-9778-22ba1ef47dd8"},
	} {
		got := eventID(tt.event)
		if got != tt.want {
			t.Errorf("id %s is %s, pinned is %s", tt.name, got, tt.want)
		}
		if id, err := uuid.Parse(got); err != nil || id.Version() != 5 || id.Variant() != uuid.RFC4122 {
			t.Errorf("%s is no UUIDv5: %v", got, err)
		}
	}
}

// TestEventIDIsTheChange: each part of the identity changes the id (facts 3.2,
// 6), and nothing else does.
func TestEventIDIsTheChange(t *testing.T) {
	t.Parallel()
	type change func(*schemas.StatusChanged)
	parts := map[string]change{
		"nothing":                 func(*schemas.StatusChanged) {},
		"clientId":                func(e *schemas.StatusChanged) { e.ClientID = "ABCD123" },
		"caseId":                  func(e *schemas.StatusChanged) { e.CaseID = "4CASE00000001" },
		"case created":            func(e *schemas.StatusChanged) { e.CaseStatus.Created = e.CaseStatus.Created.Add(time.Second) },
		"method":                  func(e *schemas.StatusChanged) { e.Method = schemas.MethodEID },
		"method text":             func(e *schemas.StatusChanged) { e.Method, e.MethodText = schemas.MethodUnknown, new("video") },
		"empty method text":       func(e *schemas.StatusChanged) { e.Method, e.MethodText = schemas.MethodUnknown, new("") },
		"method without its text": func(e *schemas.StatusChanged) { e.Method = schemas.MethodUnknown },
		"created":                 func(e *schemas.StatusChanged) { e.Identification.Created = e.Identification.Created.Add(time.Second) },
		"status":                  func(e *schemas.StatusChanged) { e.Status = schemas.StatusSuccess },
		"status text":             func(e *schemas.StatusChanged) { e.Status, e.StatusText = schemas.StatusUnknown, new("declined") },
		"sub status":              func(e *schemas.StatusChanged) { e.SubStatus = &schemas.StatusCode{Code: 15} },
		"no sub status":           func(e *schemas.StatusChanged) { e.SubStatus = nil },
		"reason":                  func(e *schemas.StatusChanged) { e.SubStatusReason = &schemas.StatusCode{Code: 111} },
		"no reason":               func(e *schemas.StatusChanged) { e.SubStatusReason = nil },
		"codes exchanged":         func(e *schemas.StatusChanged) { e.SubStatus, e.SubStatusReason = e.SubStatusReason, e.SubStatus },
		"digits moved": func(e *schemas.StatusChanged) {
			e.SubStatus, e.SubStatusReason = &schemas.StatusCode{Code: 111}, &schemas.StatusCode{Code: 10}
		},
		"identificationTime":    func(e *schemas.StatusChanged) { e.Identification.IdentificationTime = &e.Identification.Created },
		"no identificationTime": func(e *schemas.StatusChanged) { e.Identification.IdentificationTime = nil },
		"modified":              func(e *schemas.StatusChanged) { e.Identification.Modified = e.Identification.Modified.Add(time.Second) },
		"no modified":           func(e *schemas.StatusChanged) { e.Identification.Modified = time.Time{} },
		"no modified, another time of the case": func(e *schemas.StatusChanged) {
			e.Identification.Modified, e.CaseStatus.Modified = time.Time{}, e.CaseStatus.Modified.Add(time.Second)
		},
		"the case alone": func(e *schemas.StatusChanged) { *e = sampleCaseEvent() },
		"the case alone, status": func(e *schemas.StatusChanged) {
			*e = sampleCaseEvent()
			e.CaseStatus.Status = schemas.CaseProgressNew
		},
		"the case alone, modified": func(e *schemas.StatusChanged) {
			*e = sampleCaseEvent()
			e.CaseStatus.Modified = e.CaseStatus.Modified.Add(time.Second)
		},
	}
	seen := make(map[string]string)
	for name, part := range parts {
		e := sampleEvent()
		part(&e)
		id := eventID(e)
		if other, ok := seen[id]; ok {
			t.Errorf("%q and %q share the id %s", name, other, id)
		}
		seen[id] = name
	}

	e := sampleEvent()
	e.EventID, e.ReferenceID, e.Sequence, e.PreviousEventHash = "x", new("R-1"), 7, &[]byte{1}
	e.RegulatoryClass, e.StatusType = schemas.RegulatoryClassTKG, schemas.StatusTypeProgress
	e.SubStatus.Description, e.SubStatusReason.Description = new("Fraud"), new("ID")
	e.Identification.Primary = true
	e.Identification.Modified = e.Identification.Modified.In(berlin)
	e.CaseStatus.Status, e.CaseStatus.Archived, e.CaseStatus.ValidUntil = schemas.CaseProgressInProgress, true, &present
	e.CaseStatus.Modified = present
	e.AccountingData, e.Records = &schemas.AccountingData{}, []schemas.RecordMetadata{{}}
	e.ObservedAt, e.ObservedBy, e.Anomaly, e.ResultDigest = present, schemas.SourceSweep, new(schemas.AnomalyAfterFinal), &[]byte{1}
	if got := seen[eventID(e)]; got != "nothing" {
		t.Errorf("what is not part of the change changed the id: %q", got)
	}
}

func TestSealNumbersAndChains(t *testing.T) {
	t.Parallel()
	at := sampleEvent().CaseStatus.Created
	hash := []byte("hash of the event before")
	events := []schemas.StatusChanged{sampleEvent(), sampleEvent(), sampleEvent()}
	for _, tt := range []struct {
		name   string
		before *schemas.CaseState
		first  int64
		hash   []byte
	}{
		{"never seen", nil, 1, nil},
		{"known as a retry", &schemas.CaseState{}, 1, nil},
		{"known, nothing published", &schemas.CaseState{Created: &at}, 1, nil},
		{"published before", &schemas.CaseState{Created: &at, Sequence: 6, LastEventHash: &hash}, 7, hash},
		{"another case before", &schemas.CaseState{Created: new(at.Add(-time.Second)), Sequence: 6, LastEventHash: &hash}, 1, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			sealed, sequence, lastHash, err := seal(tt.before, events, encoder.Encode)
			if err != nil || len(sealed) != len(events) {
				t.Fatalf("%d sealed, %v", len(sealed), err)
			}
			previous := tt.hash
			for i, s := range sealed {
				if want := tt.first + int64(i); s.Event.Sequence != want {
					t.Errorf("event %d has sequence %d, want %d", i, s.Event.Sequence, want)
				}
				if (s.Event.PreviousEventHash == nil) != (previous == nil) ||
					previous != nil && !slices.Equal(*s.Event.PreviousEventHash, previous) {
					t.Errorf("event %d is chained to %v, want %x", i, s.Event.PreviousEventHash, previous)
				}
				value, err := encoder.Encode(s.Event)
				if err != nil || !slices.Equal(value, s.Value) {
					t.Errorf("value of event %d is not the event: %v", i, err)
				}
				sum := sha256.Sum256(s.Value)
				previous = sum[:]
			}
			if sequence != tt.first+2 || !slices.Equal(lastHash, previous) {
				t.Errorf("state goes on with %d, %x", sequence, lastHash)
			}
		})
	}
	if events[0].Sequence != 0 || events[0].PreviousEventHash != nil {
		t.Error("seal changed its argument")
	}
}

func TestSealOfNothingKeepsTheChain(t *testing.T) {
	t.Parallel()
	at, hash := present, []byte{1, 2, 3}
	sealed, sequence, lastHash, err := seal(&schemas.CaseState{Created: &at, Sequence: 6, LastEventHash: &hash}, nil, encoder.Encode)
	if err != nil || len(sealed) != 0 || sequence != 6 || !slices.Equal(lastHash, hash) {
		t.Errorf("sealed %d, %d, %x, %v", len(sealed), sequence, lastHash, err)
	}
}

func TestSealReportsWhatCannotBeEncoded(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	calls := 0
	sealed, _, _, err := seal(nil, []schemas.StatusChanged{sampleEvent(), sampleEvent()}, func(schemas.StatusChanged) ([]byte, error) {
		if calls++; calls == 2 {
			return nil, broken
		}
		return []byte("value"), nil
	})
	if !errors.Is(err, broken) || sealed != nil {
		t.Errorf("sealed %d with %v", len(sealed), err)
	}
}

func TestEventHeaders(t *testing.T) {
	t.Parallel()
	unstamped := sampleEvent()
	unstamped.Identification.Modified = time.Time{}
	nowhere := sampleCaseEvent()
	nowhere.CaseStatus.Modified, nowhere.ObservedAt = time.Time{}, present
	unknown := sampleEvent()
	unknown.Method, unknown.MethodText, unknown.StatusType = schemas.MethodUnknown, new("wallet"), schemas.StatusTypeProgress
	nameless := unknown
	nameless.MethodText = new("")
	for _, tt := range []struct {
		name        string
		event       schemas.StatusChanged
		traceparent *string
		want        map[string]string // beside what all have
	}{
		{"of an identification", sampleEvent(), nil, map[string]string{
			"ce_type": "postident.identification.final.v1", "ce_time": "2024-05-02T10:04:00Z", "method": "video", "status-type": "final",
		}},
		{"of the case", sampleCaseEvent(), nil, map[string]string{
			"ce_type": "postident.identification.progress.v1", "ce_time": "2024-05-02T10:05:00Z", "method": "none", "status-type": "progress",
		}},
		{"of a method that the guide does not know", unknown, nil, map[string]string{
			"ce_type": "postident.identification.progress.v1", "ce_time": "2024-05-02T10:04:00Z", "method": "wallet", "status-type": "progress",
		}},
		{"of a method without a name", nameless, nil, map[string]string{
			"ce_type": "postident.identification.progress.v1", "ce_time": "2024-05-02T10:04:00Z", "method": "unknown", "status-type": "progress",
		}},
		{"without modified", unstamped, nil, map[string]string{
			"ce_type": "postident.identification.final.v1", "ce_time": "2024-05-02T10:05:00Z", "method": "video", "status-type": "final",
		}},
		{"without any time, in UTC", nowhere, nil, map[string]string{
			"ce_type": "postident.identification.progress.v1", "ce_time": "2024-05-02T10:00:00Z", "method": "none", "status-type": "progress",
		}},
		{"traced", sampleEvent(), new("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), map[string]string{
			"ce_type": "postident.identification.final.v1", "ce_time": "2024-05-02T10:04:00Z", "method": "video", "status-type": "final",
			"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.event.EventID = "some-id"
			maps.Copy(tt.want, map[string]string{
				"ce_specversion": "1.0", "ce_id": "some-id", "ce_source": "/scr/ABCD1234", "ce_subject": "CASE00000001",
				"content-type": "application/avro", "regulatory-class": "gwg", "client-id": "ABCD1234",
			})
			headers := eventHeaders(tt.event, "application/avro", tt.traceparent)
			if diff := cmp.Diff(tt.want, headerMap(t, headers)); diff != "" {
				t.Errorf("headers (-want +got):\n%s", diff)
			}
		})
	}
}

func headerMap(t *testing.T, headers []kgo.RecordHeader) map[string]string {
	t.Helper()
	m := make(map[string]string, len(headers))
	for _, h := range headers {
		if _, ok := m[h.Key]; ok {
			t.Errorf("header %s stands twice", h.Key)
		}
		m[h.Key] = string(h.Value)
	}
	return m
}
