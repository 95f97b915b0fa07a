package audit

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/schemas"
)

// Change is one change of one identification, or the closing of a case alone,
// as the source of truth knows it. A list of them is in the order in which they
// happened.
//
// As JSON it is a line of the simulator's log of truth.
type Change struct {
	ClientID    string    `json:"clientId"`
	CaseID      string    `json:"caseId"`
	CaseCreated time.Time `json:"caseCreated"` // with ClientID and CaseID it is the case (facts 2.8)
	// Method is the API's text, "" for a change of the case alone: then only
	// Modified (the case's) and StatusType are set below.
	Method             string    `json:"method,omitempty"`
	IdentCreated       time.Time `json:"identCreated,omitzero"` // with Method it is the identification
	Status             string    `json:"status,omitempty"`      // the API's text
	SubStatus          *int      `json:"subStatus,omitempty"`
	Reason             *int      `json:"reason,omitempty"`
	IdentificationTime time.Time `json:"identificationTime,omitzero"` // zero until final
	Modified           time.Time `json:"modified"`
	// StatusType is notification, preliminary, final, cancelled, or progress for
	// what has no type.
	StatusType string `json:"statusType"`
	// Seen says that an answer which was not tampered with showed the change.
	Seen bool `json:"seen"`
}

// Published is one record of a status topic.
type Published struct {
	Topic     string
	Partition int32
	Offset    int64
	Timestamp time.Time
	Key       []byte
	Headers   []kgo.RecordHeader
	Value     []byte // raw, as the hash chain needs it
	Event     schemas.StatusChanged
}

// Where names the record as topic/partition@offset.
func (p *Published) Where() string {
	return p.Topic + "/" + strconv.Itoa(int(p.Partition)) + "@" + strconv.FormatInt(p.Offset, 10)
}

// inTopicOrder sorts by topic, partition and offset.
func inTopicOrder(events []Published) []*Published {
	out := make([]*Published, len(events))
	for i := range events {
		out[i] = &events[i]
	}
	slices.SortStableFunc(out, func(a, b *Published) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
	})
	return out
}

// caseKey is what a case is known by, because a caseId may be used again.
type caseKey struct {
	clientID, caseID string
	created          int64 // Unix ms
}

// identKey is what an identification is known by within its case; the zero
// value stands for the case alone.
type identKey struct {
	method  string
	created int64 // Unix ms
}

// stateKey is the compared state of an identification (design 2): a change of
// it is a change.
type stateKey struct {
	ident              identKey
	status             string
	subStatus, reason  code
	identificationTime int64 // Unix ms, 0 for none
}

// code is a subStatus or a reason that may be absent.
type code struct {
	present bool
	value   int
}

func (c *Change) caseKey() caseKey {
	return caseKey{c.ClientID, c.CaseID, c.CaseCreated.UnixMilli()}
}

func (c *Change) stateKey() stateKey {
	if c.Method == "" {
		return stateKey{}
	}
	return stateKey{
		ident:  identKey{c.Method, c.IdentCreated.UnixMilli()},
		status: c.Status, subStatus: codeOf(c.SubStatus), reason: codeOf(c.Reason),
		identificationTime: milliOrZero(c.IdentificationTime),
	}
}

func codeOf(c *int) code {
	if c == nil {
		return code{}
	}
	return code{true, *c}
}

func milliOrZero(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// describe names the change without anything but status fields.
func (c *Change) describe() string {
	if c.Method == "" {
		return "case closed, modified " + stamp(c.Modified)
	}
	var b strings.Builder
	b.WriteString(c.Method + " " + c.Status)
	for _, n := range []*int{c.SubStatus, c.Reason} {
		if n != nil {
			b.WriteString("/" + strconv.Itoa(*n))
		}
	}
	b.WriteString(" (" + c.StatusType + "), created " + stamp(c.IdentCreated) + ", modified " + stamp(c.Modified))
	return b.String()
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func eventCase(e *schemas.StatusChanged) caseKey {
	return caseKey{e.ClientID, e.CaseID, e.CaseStatus.Created.UnixMilli()}
}

// eventState is the state that an event tells, in the API's texts.
func eventState(e *schemas.StatusChanged) stateKey {
	if e.Identification == nil {
		return stateKey{}
	}
	k := stateKey{ident: identKey{methodText(e), e.Identification.Created.UnixMilli()}, status: statusText(e)}
	if s := e.SubStatus; s != nil {
		k.subStatus = code{true, s.Code}
	}
	if s := e.SubStatusReason; s != nil {
		k.reason = code{true, s.Code}
	}
	if t := e.Identification.IdentificationTime; t != nil {
		k.identificationTime = milliOrZero(*t)
	}
	return k
}

// methodText is the API's own text of the method, none for the case alone.
func methodText(e *schemas.StatusChanged) string {
	if e.Method == schemas.MethodUnknown && e.MethodText != nil && *e.MethodText != "" {
		return *e.MethodText
	}
	return string(e.Method)
}

// statusText is the API's own text of the status.
func statusText(e *schemas.StatusChanged) string {
	if e.Status == schemas.StatusUnknown && e.StatusText != nil {
		return *e.StatusText
	}
	return strings.ReplaceAll(string(e.Status), "_", " ")
}

// eventModified is the modified of what changed.
func eventModified(e *schemas.StatusChanged) time.Time {
	if e.Identification != nil {
		return e.Identification.Modified
	}
	return e.CaseStatus.Modified
}
