package scr

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// ParseCase reads the answer of a single-case read, of every endpoint and in
// every spelling (facts 3, 3.1). Unknown fields are ignored; Client counts them.
// Any error is a *RejectedError with reason RejectedJSON or RejectedCase.
//
// Times are in UTC and cut to milliseconds, the resolution of what the bridge
// keeps; the API's is one second. What an identification lacks is filled so
// that no status gets lost and two reads agree:
//
//   - without created, the case's created stands in: it never changes, so the
//     identification keeps its identity (method, created) from read to read;
//   - without modified, created stands in: it is the oldest time possible, so
//     that no later answer looks stale beside it;
//   - without method or status, the text is empty, which Classify does not know;
//   - two with one method and created are one; the further one stays;
//   - with neither method, status nor created there is none.
func ParseCase(body []byte) (Case, error) {
	c, _, err := parseCase(body)
	return c, err
}

// parseCase gives the unknown fields too, unless there is an error.
func parseCase(body []byte) (Case, []string, error) {
	var w wireCase
	r := plainReader{jsonScanner: jsonScanner{data: body}}
	if r.readCase(&w) && r.atEnd() {
		c, err := w.decode()
		if err != nil {
			return Case{}, nil, rejectCase(err)
		}
		return c, r.unknown, nil
	}
	return anyCase(body)
}

// anyCase is parseCase of whatever JSON a body is.
func anyCase(body []byte) (Case, []string, error) {
	var w wireCase
	if err := decodeObject(body, &w); err != nil {
		return Case{}, nil, rejectCase(err)
	}
	c, err := w.decode()
	if err != nil {
		return Case{}, nil, rejectCase(err)
	}
	return c, unknownFields(body), nil
}

// rejectCase is the error of a case that cannot be read.
func rejectCase(err error) *RejectedError {
	if errors.Is(err, errNoCaseID) || errors.Is(err, errNoCreated) {
		return &RejectedError{Reason: RejectedCase, Err: err}
	}
	return &RejectedError{Reason: RejectedJSON, Err: err}
}

var (
	errNoCaseID  = errors.New("no caseId, or a malformed one")
	errNoCreated = errors.New("no caseStatus.created")
)

func (w wireCase) decode() (Case, error) {
	if !ValidCaseID(string(w.CaseID)) {
		return Case{}, errNoCaseID
	}
	status, err := w.CaseStatus.value.decode()
	if err != nil {
		return Case{}, err
	}
	idents, err := w.identifications(status.Created)
	if err != nil {
		return Case{}, err
	}
	return Case{
		CaseID:      string(w.CaseID),
		Status:      status,
		ReferenceID: string(w.OrderData.value.ProcessData.value.ReferenceID),
		Accounting: Accounting{
			Number:  string(w.Accounting.value.Number),
			Product: string(w.Accounting.value.Product),
		},
		Identifications: idents,
	}, nil
}

func (w wireCaseStatus) decode() (CaseStatus, error) {
	created, err := parseTime("caseStatus.created", w.Created)
	if err != nil {
		return CaseStatus{}, err
	}
	if created.IsZero() {
		return CaseStatus{}, errNoCreated
	}
	modified, err := parseTime("caseStatus.modified", w.Modified)
	if err != nil {
		return CaseStatus{}, err
	}
	validUntil, err := parseTime("caseStatus.validUntil", w.ValidUntil)
	if err != nil {
		return CaseStatus{}, err
	}
	return CaseStatus{
		Status:     string(w.Status),
		Created:    created,
		Modified:   firstTime(modified, created),
		ValidUntil: validUntil,
		Archived:   bool(w.Archived),
	}, nil
}

// identifications unites the places where identifications stand (facts C2):
// the marked primary first, then the list.
func (w wireCase) identifications(caseCreated time.Time) ([]Identification, error) {
	var all []Identification
	for _, o := range []object[wireIdentification]{w.PrimaryIdent, w.PrimaryIdentification} {
		if !o.present {
			continue
		}
		i, ok, err := o.value.decode(caseCreated)
		if err != nil {
			return nil, err
		}
		if ok {
			i.Primary = true
			all = unite(all, i)
		}
	}
	for _, wi := range w.Identifications {
		i, ok, err := wi.decode(caseCreated)
		if err != nil {
			return nil, err
		}
		if ok {
			all = unite(all, i)
		}
	}
	if len(all) == 0 {
		return nil, nil
	}
	p := markPrimary(all)
	all[p].Records = uniteRecords(all[p].Records, decodeRecords(w.records()))
	return all, nil
}

// decode reports false for an identification of which nothing is known.
func (w wireIdentification) decode(caseCreated time.Time) (Identification, bool, error) {
	s := w.Status.value
	created, err := parseTime("identificationStatus.created", s.Created)
	if err != nil {
		return Identification{}, false, err
	}
	modified, err := parseTime("identificationStatus.modified", s.Modified)
	if err != nil {
		return Identification{}, false, err
	}
	identified, err := parseTime("identificationStatus.identificationTime", s.IdentificationTime)
	if err != nil {
		return Identification{}, false, err
	}
	subStatus, err := s.SubStatus.value.decode()
	if err != nil {
		return Identification{}, false, err
	}
	reason, err := s.SubStatusReason.value.decode()
	if err != nil {
		return Identification{}, false, err
	}
	if w.Method == "" && s.Status == "" && created.IsZero() {
		return Identification{}, false, nil
	}
	created = firstTime(created, caseCreated)
	return Identification{
		Method:             string(w.Method),
		Status:             string(s.Status),
		SubStatus:          subStatus,
		SubStatusReason:    reason,
		IdentificationTime: identified,
		Created:            created,
		Modified:           firstTime(modified, created),
		Records:            decodeRecords(w.Records, w.records()),
	}, true, nil
}

func (w wireCode) decode() (*Code, error) {
	if w.Code == "" {
		return nil, nil //nolint:nilnil // absent
	}
	n, err := strconv.ParseInt(string(w.Code), 10, 32)
	if err != nil {
		return nil, &shapeError{"a whole number of 32 bits"}
	}
	return &Code{Code: int(n), Description: string(w.Description)}, nil
}

// unite adds i to all, or joins it with the one of the same method and created.
// The further of the two stays, with the records of both: the answer may show
// the primary identification twice (facts C2).
func unite(all []Identification, i Identification) []Identification {
	at := slices.IndexFunc(all, func(o Identification) bool {
		return o.Method == i.Method && o.Created.Equal(i.Created)
	})
	if at < 0 {
		return append(all, i)
	}
	kept, other := all[at], i
	if compareProgress(i, kept) > 0 {
		kept, other = i, all[at]
	}
	kept.Primary = kept.Primary || other.Primary
	kept.Records = uniteRecords(kept.Records, other.Records)
	all[at] = kept
	return all
}

// compareProgress orders two looks at one identification: the newer one is
// further, of equal ones the one with the higher rank.
func compareProgress(a, b Identification) int {
	return cmp.Or(a.Modified.Compare(b.Modified), cmp.Compare(Rank(a.Status), Rank(b.Status)))
}

// markPrimary makes sure that exactly one of all, which is not empty, is the
// primary identification, and returns its index. Where the answer marks none it
// is the most progressed (guide 7.3), of equals the newest.
func markPrimary(all []Identification) int {
	p := slices.IndexFunc(all, func(i Identification) bool { return i.Primary })
	if p < 0 {
		p = 0
		for n := range all {
			if comparePrimary(all[n], all[p]) > 0 {
				p = n
			}
		}
	}
	for n := range all {
		all[n].Primary = n == p
	}
	return p
}

func comparePrimary(a, b Identification) int {
	return cmp.Or(
		cmp.Compare(Rank(a.Status), Rank(b.Status)),
		a.Modified.Compare(b.Modified),
		a.Created.Compare(b.Created),
	)
}

// uniteRecords adds those of more that kept does not have.
func uniteRecords(kept, more []Record) []Record {
	for _, r := range more {
		if !slices.Contains(kept, r) {
			kept = append(kept, r)
		}
	}
	return kept
}

// decodeRecords joins lists of records, each record once and none that is empty.
func decodeRecords(lists ...[]wireRecord) []Record {
	most := 0
	for _, l := range lists {
		most += len(l)
	}
	var records []Record
	for _, l := range lists {
		for _, w := range l {
			r := w.decode()
			if r == (Record{}) || slices.Contains(records, r) {
				continue
			}
			if records == nil {
				records = make([]Record, 0, most)
			}
			records = append(records, r)
		}
	}
	return records
}

func (w wireRecord) decode() Record {
	return Record{
		ID:                  string(w.ID),
		BelongsTo:           string(w.BelongsTo),
		Type:                string(w.Type),
		MimeType:            string(w.MimeType),
		FileName:            string(w.FileName),
		ValidationStatus:    string(w.ValidationStatus),
		ValidationSubStatus: string(w.ValidationSubStatus),
	}
}

// timestampError names the field that holds no time, never what it holds.
type timestampError struct{ field string }

func (e *timestampError) Error() string {
	return fmt.Sprintf("%s is no ISO 8601 time with offset", e.field)
}

// timeLayouts are ISO 8601 with offset or Z, fractions of a second allowed
// (time.Parse takes them unasked). The guide knows the first form only; the
// others are what Java's usual formatters make of the same time.
var timeLayouts = []string{time.RFC3339, "2006-01-02T15:04:05Z0700", "2006-01-02T15:04Z07:00"}

// parseTime returns the zero time for an absent field.
func parseTime(field string, t text) (time.Time, error) {
	if t == "" {
		return time.Time{}, nil
	}
	for _, layout := range timeLayouts {
		if p, err := time.Parse(layout, string(t)); err == nil {
			return p.UTC().Truncate(time.Millisecond), nil
		}
	}
	return time.Time{}, &timestampError{field}
}

// firstTime returns the first of the two that is not zero.
func firstTime(a, b time.Time) time.Time {
	if a.IsZero() {
		return b
	}
	return a
}
