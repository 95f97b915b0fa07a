package schemas

import "time"

// Source says where a trigger came from (Trigger.source) and who first saw a
// change (StatusChanged.observedBy).
type Source string

// The sources. SourceUnknown is the enum's default symbol: what a reader sees
// when a newer writer names a source it does not know.
const (
	SourceUnknown  Source = "unknown"
	SourceWebhook  Source = "webhook"
	SourceSweep    Source = "sweep"
	SourceBackfill Source = "backfill"
	SourceRedrive  Source = "redrive"
)

// Trigger is the value of the inbox topic: look again at this case. It carries
// no status, because the webhook carries none (guide 5); a sweep may add an
// observation, which saves the read (design: "Not every trigger needs a read").
type Trigger struct {
	ClientID    string       `avro:"clientId"`
	CaseID      string       `avro:"caseId"`
	ReferenceID *string      `avro:"referenceId"`
	Source      Source       `avro:"source"`
	ReceivedAt  time.Time    `avro:"receivedAt"`
	Traceparent *string      `avro:"traceparent"`
	Observation *Observation `avro:"observation"`
}

// Observation is what a list answer showed of a case: status fields of all its
// identifications and the metadata of its records, no direct identifiers.
// Texts are the API's own, unknown ones included.
type Observation struct {
	ObservedAt      time.Time                `avro:"observedAt"` // when the list request was sent
	CaseStatus      string                   `avro:"caseStatus"`
	Created         time.Time                `avro:"created"`
	Modified        time.Time                `avro:"modified"`
	ValidUntil      *time.Time               `avro:"validUntil"`
	Archived        bool                     `avro:"archived"`
	ReferenceID     *string                  `avro:"referenceId"`
	Accounting      *AccountingData          `avro:"accountingData"`
	Identifications []ObservedIdentification `avro:"identifications"`
}

// ObservedIdentification is one identification as a list answer showed it.
type ObservedIdentification struct {
	Method             string           `avro:"method"`
	Primary            bool             `avro:"primary"`
	Status             string           `avro:"status"`
	SubStatus          *StatusCode      `avro:"subStatus"`
	SubStatusReason    *StatusCode      `avro:"subStatusReason"`
	IdentificationTime *time.Time       `avro:"identificationTime"`
	Created            time.Time        `avro:"created"`
	Modified           time.Time        `avro:"modified"`
	Records            []RecordMetadata `avro:"records"`
}

// StatusCode is a subStatus or subStatusReason (guide 8.6.1). The code counts;
// the description differs per method for one code (facts C11).
type StatusCode struct {
	Code        int     `avro:"code"`
	Description *string `avro:"description"`
}

// AccountingData is guide 8.7. Both may be null on the wire.
type AccountingData struct {
	AccountingNumber  *string `avro:"accountingNumber"`
	AccountingProduct *string `avro:"accountingProduct"`
}

// RecordMetadata describes one binary record (guide 8.6.7), never its content
// and never the agent's remark, which people typed.
type RecordMetadata struct {
	RecordID            string  `avro:"recordId"`
	BelongsTo           *string `avro:"belongsTo"`
	Type                *string `avro:"type"`
	MimeType            *string `avro:"mimeType"`
	FileName            *string `avro:"fileName"`
	ValidationStatus    *string `avro:"validationStatus"`
	ValidationSubStatus *string `avro:"validationSubStatus"`
	// Reference names the object in the store; null while records are not
	// stored (always, in a Trigger).
	Reference *string `avro:"reference"`
}

// Method is the identification method (guide 8.6) as an Avro enum.
type Method string

// The methods. MethodNone marks an event of the case alone; MethodUnknown is
// the default symbol, with the API's own text in methodText.
const (
	MethodUnknown Method = "unknown"
	MethodNone    Method = "none"
	MethodAutoID  Method = "autoid"
	MethodBasic   Method = "basic"
	MethodEID     Method = "eid"
	MethodPhoto   Method = "photo"
	MethodVideo   Method = "video"
)

// Status is the identification status (guide 8.6.1) as an Avro enum: the API's
// text with blanks as underscores.
type Status string

// The statuses. StatusNone marks an event of the case alone; StatusUnknown is
// the default symbol, with the API's own text in statusText.
const (
	StatusUnknown         Status = "unknown"
	StatusNone            Status = "none"
	StatusStarted         Status = "started"
	StatusCouponRequested Status = "coupon_requested"
	StatusIncomplete      Status = "incomplete"
	StatusReviewPending   Status = "review_pending"
	StatusCancelled       Status = "cancelled"
	StatusDeclined        Status = "declined"
	StatusSuccess         Status = "success"
)

// StatusType is the guide's status type (2.6), and progress for what has none.
type StatusType string

// The status types. StatusTypeUnknown is only the default symbol for readers
// older than the writer; the bridge never writes it.
const (
	StatusTypeUnknown      StatusType = "unknown"
	StatusTypeNotification StatusType = "notification"
	StatusTypePreliminary  StatusType = "preliminary"
	StatusTypeFinal        StatusType = "final"
	StatusTypeCancelled    StatusType = "cancelled"
	StatusTypeProgress     StatusType = "progress"
)

// RegulatoryClass is the account's class (guide 3) as an Avro enum.
type RegulatoryClass string

// The regulatory classes. RegulatoryClassUnknown is the default symbol.
const (
	RegulatoryClassUnknown  RegulatoryClass = "unknown"
	RegulatoryClassGwG      RegulatoryClass = "gwg"
	RegulatoryClassTKG      RegulatoryClass = "tkg"
	RegulatoryClassEIDAS    RegulatoryClass = "eidas"
	RegulatoryClassStandard RegulatoryClass = "standard"
	RegulatoryClassMobility RegulatoryClass = "mobility"
)

// CaseProgress is the status of the case (guide 8.3) as an Avro enum.
type CaseProgress string

// The case statuses. CaseProgressUnknown is the default symbol.
const (
	CaseProgressUnknown    CaseProgress = "unknown"
	CaseProgressNew        CaseProgress = "new"
	CaseProgressInProgress CaseProgress = "in_progress"
	CaseProgressClosed     CaseProgress = "closed"
)

// Anomaly flags an event that a careful consumer may want to look at.
type Anomaly string

// The anomalies. AnomalyUnknown is the default symbol.
const (
	AnomalyUnknown      Anomaly = "unknown"
	AnomalyAfterFinal   Anomaly = "after_final"    // the identification was final before
	AnomalyUnknownCode  Anomaly = "unknown_code"   // a method, status or code that the guide does not list
	AnomalyCaseIDReused Anomaly = "case_id_reused" // the caseId belonged to another case before (facts 2.8)
)

// StatusChanged is the value of status.v1: one status change of one
// identification, or the closing of a case without one. No direct identifiers.
type StatusChanged struct {
	EventID           string           `avro:"eventId"`
	ClientID          string           `avro:"clientId"`
	CaseID            string           `avro:"caseId"`
	ReferenceID       *string          `avro:"referenceId"`
	Sequence          int64            `avro:"sequence"`          // of the case (clientId, caseId, created), from 1, without gaps
	PreviousEventHash *[]byte          `avro:"previousEventHash"` // SHA-256 of the raw value of the event before; null for the first
	Method            Method           `avro:"method"`
	MethodText        *string          `avro:"methodText"` // the API's text when method is unknown
	RegulatoryClass   RegulatoryClass  `avro:"regulatoryClass"`
	StatusType        StatusType       `avro:"statusType"`
	Status            Status           `avro:"status"`
	StatusText        *string          `avro:"statusText"` // the API's text when status is unknown
	SubStatus         *StatusCode      `avro:"subStatus"`
	SubStatusReason   *StatusCode      `avro:"subStatusReason"`
	Identification    *Identification  `avro:"identification"` // null for an event of the case alone
	CaseStatus        CaseStatus       `avro:"caseStatus"`
	AccountingData    *AccountingData  `avro:"accountingData"`
	Records           []RecordMetadata `avro:"records"`
	ObservedAt        time.Time        `avro:"observedAt"`
	ObservedBy        Source           `avro:"observedBy"`
	Anomaly           *Anomaly         `avro:"anomaly"`
	ResultDigest      *[]byte          `avro:"resultDigest"`
}

// Identification holds the times of the identification that changed.
type Identification struct {
	Created            time.Time  `avro:"created"`
	Modified           time.Time  `avro:"modified"`
	IdentificationTime *time.Time `avro:"identificationTime"`
	Primary            bool       `avro:"primary"`
}

// CaseStatus is guide 8.3 as seen together with the change.
type CaseStatus struct {
	Status     CaseProgress `avro:"status"`
	StatusText *string      `avro:"statusText"` // the API's text when status is unknown
	Created    time.Time    `avro:"created"`
	Modified   time.Time    `avro:"modified"`
	ValidUntil *time.Time   `avro:"validUntil"`
	Archived   bool         `avro:"archived"`
}

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

// HookDue is a change that a sweep saw first, though a webhook was to tell of it.
type HookDue struct {
	StatusType StatusType `avro:"statusType"`
	Modified   time.Time  `avro:"modified"` // the identification's
	Until      time.Time  `avro:"until"`    // a webhook that comes later was missed
}

// Output names an event that went out for the state of an identification.
type Output string

// The outputs. OutputUnknown is the default symbol.
const (
	OutputUnknown Output = "unknown"
	OutputStatus  Output = "status"
	OutputResult  Output = "result"
	OutputRecords Output = "records"
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
}

// RetryKind says why a case waits.
type RetryKind string

// The kinds. RetryUnknown is the default symbol, treated as RetryFault.
const (
	RetryUnknown RetryKind = "unknown"
	RetryFault   RetryKind = "fault"   // a fault of this case; attempts are counted
	RetryParked  RetryKind = "parked"  // its account is down; no attempt is used up
	RetryRecheck RetryKind = "recheck" // read unchanged after a hook, or a tie in doubt
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

// PollCursor is the value of poll-cursor: how far the lists of an account have
// been read, by its sweeps (under LiveCursorKey) or by a backfill (under
// BackfillCursorKey). It is written after every trigger of what it covers is
// acknowledged; an older one that comes late only has lists read again.
type PollCursor struct {
	ClientID  string    `avro:"clientId"`
	Sweeps    *Sweeps   `avro:"sweeps"`
	Backfill  *Backfill `avro:"backfill"`
	UpdatedAt time.Time `avro:"updatedAt"`
}

// Sweeps is how far the sweeps of an account have come.
type Sweeps struct {
	ClosedUntil    *time.Time `avro:"closedUntil"`    // all that was closed before was listed
	OpenAt         *time.Time `avro:"openAt"`         // when the last whole open sweep began
	ReconciledAt   *time.Time `avro:"reconciledAt"`   // when the last whole reconciliation began
	ReconcileFrom  *time.Time `avro:"reconcileFrom"`  // where the one under way goes on, nil for none
	ReconcileBegan *time.Time `avro:"reconcileBegan"` // when the one under way began, nil for none
}

// Backfill is how far a backfill has come. From is inclusive, Until exclusive;
// both are times of creation.
type Backfill struct {
	From        time.Time  `avro:"from"`
	Until       time.Time  `avro:"until"`
	NewestFirst bool       `avro:"newestFirst"`
	Next        time.Time  `avro:"next"`     // where it goes on
	Cases       int64      `avro:"cases"`    // triggers written so far
	Requests    int64      `avro:"requests"` // lists read so far
	Holes       int64      `avro:"holes"`    // seconds with more cases than one answer holds
	StartedAt   time.Time  `avro:"startedAt"`
	EndedAt     *time.Time `avro:"endedAt"` // nil while it has not listed everything
}

// LiveCursorKey is the key of an account's sweeps in poll-cursor.
func LiveCursorKey(clientID string) string { return clientID + "/live" }

// BackfillCursorKey is the key of a backfill in poll-cursor. Its times are to
// the second, which is the API's resolution.
func BackfillCursorKey(clientID string, from, until time.Time) string {
	return clientID + "/backfill/" + from.UTC().Format(time.RFC3339) + "/" + until.UTC().Format(time.RFC3339)
}
