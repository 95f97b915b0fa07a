package publish

import (
	"crypto/sha256"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/internal/scr"
	"postident-bridge/schemas"
)

// methods and statuses map the API's texts to the enums. What is not in them is
// unknown, and its text stands beside the enum.
var (
	methods = map[string]schemas.Method{
		scr.MethodAutoID: schemas.MethodAutoID,
		scr.MethodBasic:  schemas.MethodBasic,
		scr.MethodEID:    schemas.MethodEID,
		scr.MethodPhoto:  schemas.MethodPhoto,
		scr.MethodVideo:  schemas.MethodVideo,
	}
	statuses = map[string]schemas.Status{
		scr.StatusStarted:         schemas.StatusStarted,
		scr.StatusCouponRequested: schemas.StatusCouponRequested,
		scr.StatusIncomplete:      schemas.StatusIncomplete,
		scr.StatusReviewPending:   schemas.StatusReviewPending,
		scr.StatusCancelled:       schemas.StatusCancelled,
		scr.StatusDeclined:        schemas.StatusDeclined,
		scr.StatusSuccess:         schemas.StatusSuccess,
	}
)

// unknownKind says which text of the API the guide does not know.
type unknownKind string

const (
	unknownMethod     unknownKind = "method"
	unknownStatus     unknownKind = "status" // of an identification, or not of this method
	unknownSubStatus  unknownKind = "sub_status"
	unknownReason     unknownKind = "sub_status_reason"
	unknownCaseStatus unknownKind = "case_status"
)

// unknownText is one such text: the kind for a metric, the text for a log line.
type unknownText struct {
	Kind unknownKind
	Text string // method/status/code, at most maxUnknownText bytes
}

// maxUnknownText bounds what an API that has gone wrong can put into a log.
const maxUnknownText = 64

func newUnknownText(kind unknownKind, text string) unknownText {
	return unknownText{Kind: kind, Text: strings.ToValidUTF8(text[:min(len(text), maxUnknownText)], "")}
}

// meaning is what the status model says of a state of an identification.
type meaning struct {
	statusType schemas.StatusType
	unknown    []unknownText // empty when the guide lists all of it
}

// interpret looks the state up. A method or status that the guide does not know
// counts as progress; an unknown code leaves the type of its (method, status).
func interpret(id *schemas.ObservedIdentification) meaning {
	all := scr.Classify(id.Method, id.Status, codeOf(id.SubStatus), codeOf(id.SubStatusReason))
	m := meaning{statusType: statusType(all.Type)}
	if all.Known {
		return m
	}
	if _, ok := methods[id.Method]; !ok {
		m.unknown = append(m.unknown, newUnknownText(unknownMethod, id.Method))
	}
	pair := id.Method + "/" + id.Status
	if !scr.Classify(id.Method, id.Status, nil, nil).Known {
		if _, ok := statuses[id.Status]; !ok || len(m.unknown) == 0 {
			m.unknown = append(m.unknown, newUnknownText(unknownStatus, pair))
		}
		return m
	}
	if c := codeOf(id.SubStatus); c != nil && !scr.Classify(id.Method, id.Status, c, nil).Known {
		m.unknown = append(m.unknown, newUnknownText(unknownSubStatus, pair+"/"+strconv.Itoa(*c)))
	}
	if c := codeOf(id.SubStatusReason); c != nil && !scr.Classify(id.Method, id.Status, nil, c).Known {
		m.unknown = append(m.unknown, newUnknownText(unknownReason, pair+"/"+strconv.Itoa(*c)))
	}
	return m
}

func statusType(t scr.StatusType) schemas.StatusType {
	switch t {
	case scr.Notification:
		return schemas.StatusTypeNotification
	case scr.Preliminary:
		return schemas.StatusTypePreliminary
	case scr.Final:
		return schemas.StatusTypeFinal
	case scr.Cancelled:
		return schemas.StatusTypeCancelled
	case scr.None:
		return schemas.StatusTypeProgress
	}
	return schemas.StatusTypeProgress
}

// identificationEvent is the event of one change; look.publish completes it.
func identificationEvent(s *snapshot, id *schemas.ObservedIdentification, m meaning) schemas.StatusChanged {
	e := schemas.StatusChanged{
		ClientID:        s.ClientID,
		CaseID:          s.CaseID,
		StatusType:      m.statusType,
		SubStatus:       id.SubStatus,
		SubStatusReason: id.SubStatusReason,
		Identification: &schemas.Identification{
			Created:            id.Created,
			Modified:           id.Modified,
			IdentificationTime: id.IdentificationTime,
			Primary:            id.Primary,
		},
		CaseStatus:     caseStatus(s),
		AccountingData: s.Accounting,
		Records:        id.Records,
		ObservedAt:     s.ObservedAt,
		ObservedBy:     s.ObservedBy,
	}
	var ok bool
	if e.Method, ok = methods[id.Method]; !ok {
		e.Method, e.MethodText = schemas.MethodUnknown, &id.Method
	}
	if e.Status, ok = statuses[id.Status]; !ok {
		e.Status, e.StatusText = schemas.StatusUnknown, &id.Status
	}
	return e
}

// caseEvent is the event of a case that closed by itself.
func caseEvent(s *snapshot) schemas.StatusChanged {
	return schemas.StatusChanged{
		ClientID:       s.ClientID,
		CaseID:         s.CaseID,
		Method:         schemas.MethodNone,
		StatusType:     schemas.StatusTypeProgress,
		Status:         schemas.StatusNone,
		CaseStatus:     caseStatus(s),
		AccountingData: s.Accounting,
		ObservedAt:     s.ObservedAt,
		ObservedBy:     s.ObservedBy,
	}
}

func caseStatus(s *snapshot) schemas.CaseStatus {
	progress, text := caseProgress(s.Status)
	return schemas.CaseStatus{
		Status:     progress,
		StatusText: text,
		Created:    s.Created,
		Modified:   s.Modified,
		ValidUntil: s.ValidUntil,
		Archived:   s.Archived,
	}
}

// caseProgress maps the case's status; text is set when the guide does not know
// it.
func caseProgress(status string) (progress schemas.CaseProgress, text *string) {
	switch status {
	case scr.CaseNew:
		return schemas.CaseProgressNew, nil
	case scr.CaseInProgress:
		return schemas.CaseProgressInProgress, nil
	case scr.CaseClosed:
		return schemas.CaseProgressClosed, nil
	default:
		return schemas.CaseProgressUnknown, &status
	}
}

// eventNamespace is the UUID namespace (RFC 9562, 5.5) of our event ids.
var eventNamespace = uuid.MustParse("6fb76fbd-e612-40ad-93c7-1fb8813b1efa")

// eventID is the ce_id: a UUIDv5 over what makes the change, so that whoever
// sees it, and however often, gives it the same id (facts 3.2, 6). Of an
// identification: clientId, caseId, created, method, identification created,
// status, codes, identificationTime, identification modified; of the case alone
// its status and modified instead. Every part is written with its length, an
// absent one as a dash, so that no two changes share a name. The event that brings
// the records of a change has the change's name and a word more. The ids are
// public: a change here breaks every consumer that deduplicates by them.
func eventID(e schemas.StatusChanged) string {
	n := make(eventName, 0, 256)
	n.text(e.ClientID)
	n.text(e.CaseID)
	n.time(e.CaseStatus.Created)
	n.text(string(e.Method))
	n.optional(e.MethodText)
	if id := e.Identification; id != nil {
		n.time(id.Created)
		n.text(string(e.Status))
		n.optional(e.StatusText)
		n.code(e.SubStatus)
		n.code(e.SubStatusReason)
		if id.IdentificationTime == nil {
			n.optional(nil)
		} else {
			n.time(*id.IdentificationTime)
		}
		n.time(id.Modified)
		if id.Modified.IsZero() { // without it, a state that comes back would get its old id
			n.time(e.CaseStatus.Modified)
		}
	} else {
		n.text(string(e.CaseStatus.Status))
		n.optional(e.CaseStatus.StatusText)
		n.time(e.CaseStatus.Modified)
	}
	if e.StatusType == schemas.StatusTypeRecordsAvailable {
		n.text(string(e.StatusType))
	}
	return uuid.NewSHA1(eventNamespace, n).String()
}

// eventName is the name under which an event's id is derived.
type eventName []byte

func (n *eventName) text(s string) {
	n.length(len(s))
	*n = append(*n, s...)
}

func (n *eventName) length(of int) {
	*n = strconv.AppendInt(*n, int64(of), 10)
	*n = append(*n, ':')
}

func (n *eventName) number(i int64) {
	var digits [20]byte
	text := strconv.AppendInt(digits[:0], i, 10)
	n.length(len(text))
	*n = append(*n, text...)
}

func (n *eventName) optional(s *string) {
	if s == nil {
		*n = append(*n, '-')
		return
	}
	n.text(*s)
}

func (n *eventName) time(t time.Time) { n.number(t.UnixMilli()) }

func (n *eventName) code(c *schemas.StatusCode) {
	if c == nil {
		n.optional(nil)
		return
	}
	n.number(int64(c.Code))
}

// sealedEvent is an event and its value as it goes onto the topic.
type sealedEvent struct {
	Event schemas.StatusChanged
	Value []byte
}

// seal numbers the events of one decision and chains them: each holds the
// SHA-256 of the value before it, so that the events of a case can be proved
// complete (P9). The chain goes on where before leaves it: the state without
// these events, decision.State or the one it came from; a state of another case
// under the same caseId counts as none. sequence and lastHash belong in the
// state that is written with the events; without events they are those of
// before.
func seal(before *schemas.CaseState, events []schemas.StatusChanged, encode func(schemas.StatusChanged) ([]byte, error),
) (sealed []sealedEvent, sequence int64, lastHash []byte, err error) {
	if before != nil && (len(events) == 0 || continues(before, events[0])) {
		sequence = before.Sequence
		if before.LastEventHash != nil {
			lastHash = *before.LastEventHash
		}
	}
	for _, e := range events {
		sequence++
		e.Sequence = sequence
		if lastHash != nil {
			previous := lastHash
			e.PreviousEventHash = &previous
		}
		value, err := encode(e)
		if err != nil {
			return nil, 0, nil, fmt.Errorf("encode event %d of the case: %w", sequence, err)
		}
		sum := sha256.Sum256(value)
		lastHash = sum[:]
		sealed = append(sealed, sealedEvent{Event: e, Value: value})
	}
	return sealed, sequence, lastHash, nil
}

func continues(before *schemas.CaseState, e schemas.StatusChanged) bool {
	return before.Created != nil && before.Created.Equal(e.CaseStatus.Created)
}

// eventHeaders are the headers of a public event: CloudEvents in binary mode
// (Kafka protocol binding 1.0.2), and the tags for routing. They repeat what the
// value says; method is the API's own text, none for an event of the case alone.
func eventHeaders(e schemas.StatusChanged, contentType string, traceparent *string) []kgo.RecordHeader {
	method := string(e.Method)
	if e.MethodText != nil && *e.MethodText != "" {
		method = *e.MethodText
	}
	statusType := e.StatusType.HeaderText()
	// One allocation for all values: this is done for every event.
	headers, values := make([]kgo.RecordHeader, 0, 12), make([]byte, 0, 320)
	add := func(key string, parts ...string) {
		begin := len(values)
		for _, part := range parts {
			values = append(values, part...)
		}
		headers = append(headers, kgo.RecordHeader{Key: key, Value: values[begin:len(values):len(values)]})
	}
	add("ce_specversion", "1.0")
	add("ce_id", e.EventID)
	add("ce_source", "/scr/", e.ClientID)
	add("ce_type", "postident.identification.", statusType, ".v1")
	add("ce_subject", e.CaseID)
	add("ce_time", changeTime(e).UTC().Format(time.RFC3339))
	add("content-type", contentType)
	add("method", method)
	add("regulatory-class", string(e.RegulatoryClass))
	add("status-type", statusType)
	add("client-id", e.ClientID)
	if traceparent != nil {
		add("traceparent", *traceparent)
	}
	return headers
}

// changeTime is the change's modified. An early abort may leave it out (guide
// 8.5); then the case's, and at last the time of the look.
func changeTime(e schemas.StatusChanged) time.Time {
	if e.Identification != nil && !e.Identification.Modified.IsZero() {
		return e.Identification.Modified
	}
	if !e.CaseStatus.Modified.IsZero() {
		return e.CaseStatus.Modified
	}
	return e.ObservedAt
}
