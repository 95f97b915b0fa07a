package audit_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"postident-bridge/internal/audit"
	"postident-bridge/schemas"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	statusTopic = "postident.status.v1"
	partitions  = 6
)

var epoch = time.Date(2024, 4, 24, 12, 0, 0, 0, time.FixedZone("", 7200))

func at(seconds int) time.Time { return epoch.Add(time.Duration(seconds) * time.Second) }

// change is a seen change of an identification that was created at second 1.
func change(caseID, method, status, statusType string, modified int) audit.Change {
	return audit.Change{
		ClientID: "ACME", CaseID: caseID, CaseCreated: at(0),
		Method: method, IdentCreated: at(1), Status: status, StatusType: statusType,
		Modified: at(modified), Seen: true,
	}
}

func closing(caseID string, modified int) audit.Change {
	return audit.Change{
		ClientID: "ACME", CaseID: caseID, CaseCreated: at(0),
		StatusType: "progress", Modified: at(modified), Seen: true,
	}
}

func with(c audit.Change, edits ...func(*audit.Change)) audit.Change {
	for _, edit := range edits {
		edit(&c)
	}
	return c
}

func unseen(c *audit.Change) { c.Seen = false }

func later(modified int) func(*audit.Change) {
	return func(c *audit.Change) { c.Modified = at(modified) }
}

func sub(code int) func(*audit.Change) { return func(c *audit.Change) { c.SubStatus = &code } }

// walk is one case of each kind: all status types, codes, two attempts, an
// untyped state and a closing without an identification.
func walk() []audit.Change {
	final := func(c *audit.Change) { c.IdentificationTime = c.Modified.Add(-10 * time.Second) }
	return []audit.Change{
		change("BASIC0000001", "basic", "started", "progress", 1),
		change("BASIC0000001", "basic", "coupon requested", "notification", 5),
		change("PHOTO0000002", "photo", "review pending", "notification", 5),
		change("BASIC0000001", "basic", "review pending", "preliminary", 60),
		with(change("PHOTO0000002", "photo", "incomplete", "notification", 70), sub(33)),
		with(change("BASIC0000001", "basic", "success", "final", 90), final),
		with(change("AUTO00000003", "autoid", "cancelled", "cancelled", 95), sub(94)),
		closing("AUTO00000003", 99),
		change("PHOTO0000002", "photo", "review pending", "notification", 100),
		with(change("PHOTO0000002", "photo", "declined", "final", 120), sub(11), final),
		closing("CLOSED000004", 130),
		change("ODD000000005", "hologram", "beamed up", "progress", 140),
	}
}

// topic writes events as a faultless bridge would.
type topic struct {
	tb      testing.TB
	edit    func(n int, e *schemas.StatusChanged) // before encoding; may be nil
	attach  func(e *schemas.StatusChanged)        // before encoding, after edit; may be nil
	classes map[string]schemas.RegulatoryClass    // of clientIds; GwG for the others
	encoder *schemas.StatusEncoder
	events  []audit.Published
	offsets map[int32]int64
	last    map[string]audit.Published
}

func newTopic(tb testing.TB) *topic {
	tb.Helper()
	return &topic{tb: tb, encoder: schemas.NewSingleObjectStatusEncoder(), offsets: map[int32]int64{}, last: map[string]audit.Published{}}
}

// published writes the changes that are events by the rules.
func published(tb testing.TB, truth []audit.Change) []audit.Published {
	tb.Helper()
	t := newTopic(tb)
	for _, c := range truth {
		if c.Status != "started" {
			t.publish(c)
		}
	}
	return t.events
}

func (t *topic) publish(c audit.Change) {
	t.tb.Helper()
	t.append(t.event(c))
}

// append numbers and chains an event, and writes it.
func (t *topic) append(e schemas.StatusChanged) {
	t.tb.Helper()
	key := fmt.Sprintf("%s/%s/%d", e.ClientID, e.CaseID, e.CaseStatus.Created.UnixMilli())
	e.Sequence = 1
	if before, ok := t.last[key]; ok {
		e.Sequence = before.Event.Sequence + 1
		sum := sha256.Sum256(before.Value)
		hash := sum[:]
		e.PreviousEventHash = &hash
	}
	if t.edit != nil {
		t.edit(len(t.events), &e)
	}
	if t.attach != nil {
		t.attach(&e)
	}
	p := t.record(e)
	p.Offset = t.offsets[p.Partition]
	t.offsets[p.Partition] += 2 // the next one is the commit marker
	t.events = append(t.events, p)
	t.last[key] = p
}

func (t *topic) event(c audit.Change) schemas.StatusChanged {
	e := schemas.StatusChanged{
		EventID:  fmt.Sprintf("00000000-0000-5000-8000-%012d", len(t.events)+1),
		ClientID: c.ClientID, CaseID: c.CaseID,
		RegulatoryClass: schemas.RegulatoryClassGwG,
		StatusType:      schemas.StatusType(c.StatusType),
		Method:          schemas.MethodNone, Status: schemas.StatusNone,
		CaseStatus: schemas.CaseStatus{Status: schemas.CaseProgressInProgress, Created: c.CaseCreated, Modified: c.Modified},
		ObservedAt: c.Modified.Add(time.Second), ObservedBy: schemas.SourceWebhook,
	}
	if class, ok := t.classes[c.ClientID]; ok {
		e.RegulatoryClass = class
	}
	if c.Method == "" || c.StatusType == "final" {
		e.CaseStatus.Status = schemas.CaseProgressClosed
	}
	if c.Method == "" {
		return e
	}
	e.Identification = &schemas.Identification{Created: c.IdentCreated, Modified: c.Modified, Primary: true}
	if !c.IdentificationTime.IsZero() {
		e.Identification.IdentificationTime = &c.IdentificationTime
	}
	e.Method, e.Status = schemas.Method(c.Method), schemas.Status(strings.ReplaceAll(c.Status, " ", "_"))
	if c.Method == "hologram" {
		e.Method, e.MethodText = schemas.MethodUnknown, &c.Method
		e.Status, e.StatusText = schemas.StatusUnknown, &c.Status
	}
	if c.SubStatus != nil {
		e.SubStatus = &schemas.StatusCode{Code: *c.SubStatus}
	}
	if c.Reason != nil {
		e.SubStatusReason = &schemas.StatusCode{Code: *c.Reason}
	}
	return e
}

func (t *topic) record(e schemas.StatusChanged) audit.Published {
	t.tb.Helper()
	value, err := t.encoder.Encode(e)
	if err != nil {
		t.tb.Fatal(err)
	}
	method, modified := string(e.Method), e.CaseStatus.Modified
	if e.MethodText != nil {
		method = *e.MethodText
	}
	if e.Identification != nil {
		modified = e.Identification.Modified
	}
	partition := kgo.StickyKeyPartitioner(nil).ForTopic("").Partition(&kgo.Record{Key: []byte(e.CaseID)}, partitions)
	return audit.Published{
		Topic: statusTopic, Partition: int32(partition), Key: []byte(e.CaseID), Value: value, Event: e, Timestamp: at(1000),
		Headers: []kgo.RecordHeader{
			{Key: "ce_specversion", Value: []byte("1.0")},
			{Key: "ce_id", Value: []byte(e.EventID)},
			{Key: "ce_source", Value: []byte("/scr/" + e.ClientID)},
			{Key: "ce_type", Value: []byte("postident.identification." + e.StatusType.HeaderText() + ".v1")},
			{Key: "ce_subject", Value: []byte(e.CaseID)},
			{Key: "ce_time", Value: []byte(modified.UTC().Format(time.RFC3339))},
			{Key: "content-type", Value: []byte(t.encoder.ContentType())},
			{Key: "method", Value: []byte(method)},
			{Key: "regulatory-class", Value: []byte(e.RegulatoryClass)},
			{Key: "status-type", Value: []byte(e.StatusType.HeaderText())},
			{Key: "client-id", Value: []byte(e.ClientID)},
			{Key: "traceparent", Value: []byte("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")},
		},
	}
}

// decode reads a value back, as ReadStatus does.
func decode(tb testing.TB, value []byte) schemas.StatusChanged {
	tb.Helper()
	e, err := schemas.NewStatusDecoder(nil).Decode(context.Background(), value)
	if err != nil {
		tb.Fatal(err)
	}
	return e
}
