package schemas

import (
	"strings"
	"time"
)

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

// heldBefore says whether the schema of the previous release holds all that the
// trigger says: always, since no record in it lies in the store.
func (t *Trigger) heldBefore() bool {
	if t.Observation == nil {
		return true
	}
	for i := range t.Observation.Identifications {
		for _, r := range t.Observation.Identifications[i].Records {
			if r.SHA256 != nil || r.Size != nil || r.MediaType != nil {
				return false
			}
		}
	}
	return true
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
	// Reference and the three below name the object in the store; all null while
	// the record is not stored (always, in a Trigger). Use SetReference and
	// StoredAs.
	Reference *string `avro:"reference"` // the location
	SHA256    *[]byte `avro:"sha256"`    // of the content
	Size      *int64  `avro:"size"`      // of the content, in bytes
	MediaType *string `avro:"mediaType"`
}

// RecordReference names an object in the store and what lies there (P6).
type RecordReference struct {
	Location  string
	SHA256    []byte
	Size      int64 // in bytes
	MediaType string
}

// SetReference says that the record lies in the store.
func (m *RecordMetadata) SetReference(r RecordReference) {
	m.Reference, m.SHA256, m.Size, m.MediaType = &r.Location, &r.SHA256, &r.Size, &r.MediaType
}

// StoredAs gives what SetReference set; false while the record is not stored.
func (m *RecordMetadata) StoredAs() (RecordReference, bool) {
	if m.Reference == nil || m.SHA256 == nil || m.Size == nil || m.MediaType == nil {
		return RecordReference{}, false
	}
	return RecordReference{Location: *m.Reference, SHA256: *m.SHA256, Size: *m.Size, MediaType: *m.MediaType}, true
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

// StatusType is the guide's status type (2.6), progress for what has none, and
// records_available for the event that is no change of status.
type StatusType string

// The status types. StatusTypeUnknown is only the default symbol for readers
// older than the writer; the bridge never writes it.
//
// StatusTypeRecordsAvailable is a symbol of its own, not a mark on an event of
// type final: who acts on final ones must not do so twice, and a reader older
// than the symbol sees unknown.
const (
	StatusTypeUnknown          StatusType = "unknown"
	StatusTypeNotification     StatusType = "notification"
	StatusTypePreliminary      StatusType = "preliminary"
	StatusTypeFinal            StatusType = "final"
	StatusTypeCancelled        StatusType = "cancelled"
	StatusTypeProgress         StatusType = "progress"
	StatusTypeRecordsAvailable StatusType = "records_available"
)

// HeaderText is how the type stands in the headers ce_type and status-type: with
// hyphens, as design and CloudEvents have it, where the symbol has underscores.
func (t StatusType) HeaderText() string { return strings.ReplaceAll(string(t), "_", "-") }

// RecordsState is how far the binary records of an identification are (P6).
type RecordsState string

// The records' states. RecordsStateUnknown is the default symbol.
const (
	RecordsStateUnknown RecordsState = "unknown"
	RecordsStateNone    RecordsState = "none"    // there is no record whose content may be stored
	RecordsStatePending RecordsState = "pending" // an event of type records_available follows
	RecordsStateStored  RecordsState = "stored"  // all whose content may be stored are
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
// identification, the closing of a case without one, or the late arrival of an
// identification's records. No direct identifiers.
//
// The last of these has StatusTypeRecordsAvailable and an EventID of its own. It
// is a link of the case's chain as any other, with the next Sequence. It repeats
// the state that it completes (method, status, codes, times), with the records'
// references and RecordsStateStored, and names in Completes the event that said
// RecordsStatePending.
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
	ResultDigest      *[]byte          `avro:"resultDigest"` // ResultDigest of the result in the same transaction; null without one
	RecordsState      *RecordsState    `avro:"recordsState"` // null where the bridge does not store the records
	Completes         *int64           `avro:"completes"`    // sequence of the event whose records this one brings; null for all others
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
