package schemas

import (
	"bytes"
	"time"
)

// record ties one record's name to today's codec and its sample values, so
// that tests over all records are one loop.
type record struct {
	name    string
	public  bool              // on a topic for everyone: FULL_TRANSITIVE
	samples map[string]sample // "full": every field set; "least": every field that may be null is
}

// sample is a value, as functions that hide its type.
type sample struct {
	encode func() ([]byte, error)
}

// decodeJSON decodes bytes with today's reader and gives the value as Avro
// JSON, the fields in the schema's order.
func (r record) decodeJSON(b []byte) ([]byte, error) {
	switch r.name {
	case recordTrigger:
		return decodedJSON(triggerCodec, b)
	case recordCaseState:
		return decodedJSON(caseStateCodec, b)
	case recordPollCursor:
		return decodedJSON(pollCursorCodec, b)
	case recordPosition:
		return decodedJSON(positionCodec, b)
	case recordBarrier:
		return decodedJSON(barrierCodec, b)
	case recordIdentificationResult:
		return decodedJSON(identificationResultCodec, b)
	default:
		return decodedJSON(statusChangedCodec, b)
	}
}

func decodedJSON[T any](get func() (*codec[T], error), b []byte) ([]byte, error) {
	c, err := get()
	if err != nil {
		return nil, err
	}
	v, err := c.decodeSingleObject(b)
	if err != nil {
		return nil, err
	}
	return c.reader.EncodeJSON(&v)
}

func records() []record {
	return []record{
		{name: recordTrigger, samples: map[string]sample{
			"full":  {func() ([]byte, error) { return EncodeTrigger(fullTrigger()) }},
			"least": {func() ([]byte, error) { return EncodeTrigger(leastTrigger()) }},
		}},
		{name: recordCaseState, samples: map[string]sample{
			"full":  {func() ([]byte, error) { return EncodeCaseState(fullCaseState()) }},
			"least": {func() ([]byte, error) { return EncodeCaseState(leastCaseState()) }},
		}},
		{name: recordPollCursor, samples: map[string]sample{
			"full":  {func() ([]byte, error) { return EncodePollCursor(fullPollCursor()) }},
			"least": {func() ([]byte, error) { return EncodePollCursor(leastPollCursor()) }},
		}},
		{name: recordPosition, samples: map[string]sample{
			"full": {func() ([]byte, error) { return EncodePosition(fullPosition()) }},
		}},
		{name: recordBarrier, samples: map[string]sample{
			"full": {func() ([]byte, error) { return EncodeBarrier(fullBarrier()) }},
		}},
		{name: recordStatusChanged, public: true, samples: map[string]sample{
			"full":  {func() ([]byte, error) { return NewSingleObjectStatusEncoder().Encode(fullStatusChanged()) }},
			"least": {func() ([]byte, error) { return NewSingleObjectStatusEncoder().Encode(leastStatusChanged()) }},
		}},
		{name: recordIdentificationResult, public: true, samples: map[string]sample{
			"full":  {func() ([]byte, error) { return encodeResult(fullIdentificationResult()) }},
			"least": {func() ([]byte, error) { return encodeResult(leastIdentificationResult()) }},
		}},
	}
}

// at is a time of the samples: n seconds and 7 ms after noon.
func at(n int) time.Time {
	return time.Date(2026, time.March, 2, 12, 0, n, 7_000_000, time.UTC)
}

func fullAccountingData() *AccountingData {
	return &AccountingData{AccountingNumber: new("5012345678"), AccountingProduct: new("4711")}
}

func fullRecords() []RecordMetadata {
	return []RecordMetadata{{
		RecordID:            "rec-1",
		BelongsTo:           new("identificationDocument"),
		Type:                new("image"),
		MimeType:            new("image/jpeg"),
		FileName:            new("front.jpg"),
		ValidationStatus:    new("success"),
		ValidationSubStatus: new("checked"),
		Reference:           new("records/TESTCLIENT/7F3K/rec-1"),
		SHA256:              new(bytes.Repeat([]byte{0x5A}, 32)),
		Size:                new(int64(20 << 20)),
		MediaType:           new("image/jpeg"),
	}, {RecordID: "rec-2"}}
}

func fullTrigger() Trigger {
	return Trigger{
		ClientID:    "TESTCLIENT",
		CaseID:      "7F3KQ2ZP",
		ReferenceID: new("order 4711 ä€"),
		Source:      SourceSweep,
		ReceivedAt:  at(0),
		Traceparent: new("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
		Observation: &Observation{
			ObservedAt:  at(1),
			CaseStatus:  "in progress",
			Created:     at(2),
			Modified:    at(3),
			ValidUntil:  new(at(4)),
			Archived:    true,
			ReferenceID: new("order 4711 ä€"),
			Accounting:  fullAccountingData(),
			Identifications: []ObservedIdentification{{
				Method:             "video",
				Primary:            true,
				Status:             "declined",
				SubStatus:          &StatusCode{Code: 11, Description: new("Fraud suspicion")},
				SubStatusReason:    &StatusCode{Code: 110, Description: new("Identification document possibly forged")},
				IdentificationTime: new(at(5)),
				Created:            at(6),
				Modified:           at(7),
				Records:            fullRecords(),
			}, {Method: "autoid", Status: "started", Created: at(8), Modified: at(9)}},
		},
	}
}

func leastTrigger() Trigger {
	return Trigger{ClientID: "TESTCLIENT", CaseID: "7F3KQ2ZP", Source: SourceWebhook, ReceivedAt: at(0)}
}

func fullCaseState() CaseState {
	return CaseState{
		ClientID:      "TESTCLIENT",
		CaseID:        "7F3KQ2ZP",
		Created:       new(at(0)),
		ReferenceID:   new("order 4711"),
		Sequence:      3,
		LastEventHash: new(bytes.Repeat([]byte{0xAB}, 32)),
		CaseStatus:    "closed",
		CaseModified:  new(at(1)),
		ValidUntil:    new(at(2)),
		Identifications: []IdentificationState{{
			Method:             "autoid",
			Created:            at(3),
			Modified:           at(4),
			Status:             "review pending",
			SubStatus:          new(30),
			SubStatusReason:    new(301),
			IdentificationTime: new(at(5)),
			Outputs:            []Output{OutputStatus, OutputResult, OutputRecords},
			WasFinal:           true,
			RecordsPending:     &PendingRecords{Sequence: 2, Since: at(19), Attempts: 3},
		}, {Method: "basic", Created: at(6), Modified: at(7), Status: "incomplete"}},
		LastReadAt: new(at(8)),
		Retry: &Retry{
			Kind:        RetryParked,
			Attempt:     2,
			NotBefore:   at(9),
			Reason:      "unavailable",
			FirstFailed: at(10),
			Partition:   11,
			Offset:      1 << 40,
			Trigger:     []byte{0xC3, 0x01, 0x00},
			Faults:      1,
			Hooks:       []time.Time{at(13), at(14)},
		},
		DeadLettered: &DeadLetterMark{At: at(11), Reason: "not_found"},
		UpdatedAt:    at(12),
		CaseIDReused: true,
		HooksDue: []HookDue{
			{StatusType: StatusTypeFinal, Modified: at(15), Until: at(16)},
			{StatusType: StatusTypeCancelled, Modified: at(17), Until: at(18)},
		},
		Archived: true,
	}
}

func leastCaseState() CaseState {
	return CaseState{ClientID: "TESTCLIENT", CaseID: "7F3KQ2ZP", UpdatedAt: at(0)}
}

func fullPosition() Position {
	return Position{
		InboxTopicID: "1b4e28ba-2fa1-41d2-883f-0016d3cca427",
		Partitions:   12,
		Offset:       1 << 40,
		OpeningID:    "opening-1",
		UpdatedAt:    at(0),
	}
}

func fullPollCursor() PollCursor {
	return PollCursor{
		ClientID: "TESTCLIENT",
		Sweeps: &Sweeps{
			ClosedUntil: new(at(1)), OpenAt: new(at(2)), ReconciledAt: new(at(3)), ReconcileFrom: new(at(4)), ReconcileBegan: new(at(5)),
		},
		Backfill: &Backfill{
			From: at(6), Until: at(7), NewestFirst: true, Next: at(8), Cases: 1 << 40, Requests: 1 << 20, Holes: 3, StartedAt: at(9), EndedAt: new(at(10)),
		},
		UpdatedAt: at(11),
	}
}

func leastPollCursor() PollCursor { return PollCursor{ClientID: "TESTCLIENT", UpdatedAt: at(0)} }

func fullBarrier() Barrier {
	return Barrier{OpeningID: "opening-1", OpenedAt: at(0)}
}

func fullStatusChanged() StatusChanged {
	return StatusChanged{
		EventID:           "6b0e2b0a-5c3e-5d0c-9a51-3d2f0a7c1e11",
		ClientID:          "TESTCLIENT",
		CaseID:            "7F3KQ2ZP",
		ReferenceID:       new("order 4711"),
		Sequence:          2,
		PreviousEventHash: new(bytes.Repeat([]byte{0xCD}, 32)),
		Method:            MethodUnknown,
		MethodText:        new("telepathy"),
		RegulatoryClass:   RegulatoryClassGwG,
		StatusType:        StatusTypeFinal,
		Status:            StatusUnknown,
		StatusText:        new("foreseen"),
		SubStatus:         &StatusCode{Code: 11, Description: new("Fraud suspicion")},
		SubStatusReason:   &StatusCode{Code: 110, Description: new("Identification document possibly forged")},
		Identification:    &Identification{Created: at(0), Modified: at(1), IdentificationTime: new(at(2)), Primary: true},
		CaseStatus: CaseStatus{
			Status:     CaseProgressUnknown,
			StatusText: new("on hold"),
			Created:    at(3),
			Modified:   at(4),
			ValidUntil: new(at(5)),
			Archived:   true,
		},
		AccountingData: fullAccountingData(),
		Records:        fullRecords(),
		ObservedAt:     at(6),
		ObservedBy:     SourceWebhook,
		Anomaly:        new(AnomalyUnknownCode),
		ResultDigest:   new(bytes.Repeat([]byte{0xEF}, 32)),
		RecordsState:   new(RecordsStateStored),
		Completes:      new(int64(1)),
	}
}

func leastStatusChanged() StatusChanged {
	return StatusChanged{
		EventID:         "6b0e2b0a-5c3e-5d0c-9a51-3d2f0a7c1e12",
		ClientID:        "TESTCLIENT",
		CaseID:          "7F3KQ2ZP",
		Sequence:        1,
		Method:          MethodNone,
		RegulatoryClass: RegulatoryClassMobility,
		StatusType:      StatusTypeProgress,
		Status:          StatusNone,
		CaseStatus:      CaseStatus{Status: CaseProgressClosed, Created: at(0), Modified: at(1)},
		ObservedAt:      at(2),
		ObservedBy:      SourceBackfill,
	}
}
