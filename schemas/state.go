package schemas

import (
	"slices"
	"time"
)

// CaseState is the value of case-state under the key clientId/caseId: what was
// last published of the case, its one retry slot, and the webhooks that are due.
type CaseState struct {
	ClientID        string                `avro:"clientId"`
	CaseID          string                `avro:"caseId"`
	Created         *time.Time            `avro:"created"` // caseStatus.created; null until the case was read once
	ReferenceID     *string               `avro:"referenceId"`
	Sequence        int64                 `avro:"sequence"` // of the last event, 0 before the first
	LastEventHash   *[]byte               `avro:"lastEventHash"`
	CaseStatus      string                `avro:"caseStatus"` // the API's text, "" until read
	CaseModified    *time.Time            `avro:"caseModified"`
	ValidUntil      *time.Time            `avro:"validUntil"`
	Identifications []IdentificationState `avro:"identifications"`
	LastReadAt      *time.Time            `avro:"lastReadAt"` // when the last good read began
	Retry           *Retry                `avro:"retry"`
	DeadLettered    *DeadLetterMark       `avro:"deadLettered"`
	UpdatedAt       time.Time             `avro:"updatedAt"` // when a look at the case last wrote this
	// CaseIDReused says that the caseId belonged to another case before: the
	// first event of this one carries the anomaly.
	CaseIDReused bool      `avro:"caseIdReused"`
	HooksDue     []HookDue `avro:"hooksDue"` // changes whose webhook is still due
	Archived     bool      `avro:"archived"` // the bridge has marked the case as archived at the source
}

// heldBefore says whether the schema of the previous release holds all that the
// state says.
func (s *CaseState) heldBefore() bool {
	if s.Retry != nil && s.Retry.Kind == RetryRecords {
		return false
	}
	for i := range s.Identifications {
		if s.Identifications[i].RecordsPending != nil {
			return false
		}
	}
	return !slices.ContainsFunc(s.HooksDue, func(h HookDue) bool { return h.StatusType == StatusTypeRecordsAvailable })
}

// HookDue is a change that a sweep saw first, though a webhook was to tell of it.
type HookDue struct {
	StatusType StatusType `avro:"statusType"`
	Modified   time.Time  `avro:"modified"` // the identification's
	Until      time.Time  `avro:"until"`    // a webhook that comes later was missed
}

// Output names what went out for the state of an identification.
type Output string

// The outputs. OutputUnknown is the default symbol.
const (
	OutputUnknown Output = "unknown"
	OutputStatus  Output = "status"  // its status event
	OutputResult  Output = "result"  // its result
	OutputRecords Output = "records" // its records, with the status event or in an event of their own
)

// IdentificationState is the last state seen of one identification, known by
// (method, created). Texts are the API's own.
type IdentificationState struct {
	Method             string     `avro:"method"`
	Created            time.Time  `avro:"created"`
	Modified           time.Time  `avro:"modified"` // newest seen, also without an event
	Status             string     `avro:"status"`
	SubStatus          *int       `avro:"subStatus"`
	SubStatusReason    *int       `avro:"subStatusReason"`
	IdentificationTime *time.Time `avro:"identificationTime"`
	Outputs            []Output   `avro:"outputs"`  // what went out for this very state
	WasFinal           bool       `avro:"wasFinal"` // a final state was seen before this one or is this one
	// RecordsPending is set from the status event that says pending to the event
	// that brings the records.
	RecordsPending *PendingRecords `avro:"recordsPending"`
}

// PendingRecords says that the records of a state came too late for its status
// event, so that an event of type records_available is due. What waits before
// the status event went out is in the case's Retry alone.
type PendingRecords struct {
	Sequence int64     `avro:"sequence"` // of the event that said pending
	Since    time.Time `avro:"since"`    // when the first attempt to store them failed
	Attempts int64     `avro:"attempts"` // that failed, before that event and after it
}

// RetryKind says why a case waits.
type RetryKind string

// The kinds. RetryUnknown is the default symbol, treated as RetryFault.
const (
	RetryUnknown RetryKind = "unknown"
	RetryFault   RetryKind = "fault"   // a fault of this case; attempts are counted
	RetryParked  RetryKind = "parked"  // its account is down; no attempt is used up
	RetryRecheck RetryKind = "recheck" // read unchanged after a hook, or a tie in doubt
	RetryRecords RetryKind = "records" // the object store did not take its records; none of the case's attempts is used up
)

// Retry is the one retry slot of a case, durable in its state.
type Retry struct {
	Kind        RetryKind `avro:"kind"`
	Attempt     int       `avro:"attempt"` // used up, of the kind
	NotBefore   time.Time `avro:"notBefore"`
	Reason      string    `avro:"reason"` // a word for metrics and headers, never content
	FirstFailed time.Time `avro:"firstFailed"`
	Partition   int       `avro:"partition"` // where the trigger stands in the inbox
	Offset      int64     `avro:"offset"`
	Trigger     []byte    `avro:"trigger"` // its value as it stood there
	Faults      int       `avro:"faults"`  // attempts of kind fault used up, kept while parked or rechecked
	// Hooks are the times at which webhooks of the case came of which it is not
	// known yet what they told.
	Hooks []time.Time `avro:"hooks"`
}

// DeadLetterMark says that the case's trigger went to the dead letters.
type DeadLetterMark struct {
	At     time.Time `avro:"at"`
	Reason string    `avro:"reason"`
}

// Position is the value of case-state under PositionKey: the lowest inbox
// offset of this partition that is not yet done.
type Position struct {
	InboxTopicID string    `avro:"inboxTopicId"` // KIP-516 topic id, as a UUID
	Partitions   int       `avro:"partitions"`   // of the inbox when written
	Offset       int64     `avro:"offset"`
	OpeningID    string    `avro:"openingId"`
	UpdatedAt    time.Time `avro:"updatedAt"`
}

// Barrier is the value of case-state under BarrierKey: the first record an
// owner writes, unique to its opening of the producer. A restore is complete
// when it has read its own barrier.
type Barrier struct {
	OpeningID string    `avro:"openingId"`
	OpenedAt  time.Time `avro:"openedAt"`
}

// Keys of case-state that are no case: a case's key has a slash.
const (
	PositionKey = "position"
	BarrierKey  = "barrier"
)
