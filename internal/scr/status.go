package scr

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
)

// The identification methods (guide 8.6), as the wire spells them.
const (
	MethodAutoID = "autoid"
	MethodBasic  = "basic"
	MethodEID    = "eid"
	MethodPhoto  = "photo"
	MethodVideo  = "video"
)

// The identification statuses (guide 8.6.1), as the wire spells them.
const (
	StatusStarted         = "started"
	StatusCouponRequested = "coupon requested"
	StatusIncomplete      = "incomplete"
	StatusReviewPending   = "review pending"
	StatusCancelled       = "cancelled"
	StatusDeclined        = "declined"
	StatusSuccess         = "success"
)

// The case statuses (guide 8.3), as the wire spells them.
const (
	CaseNew        = "new"
	CaseInProgress = "in progress"
	CaseClosed     = "closed"
)

// RegulatoryClass is the class that an account is configured for (guide 3). It
// is a property of the account: no answer carries it.
type RegulatoryClass string

// The regulatory classes (guide 3).
const (
	ClassGwG      RegulatoryClass = "gwg"
	ClassTKG      RegulatoryClass = "tkg"
	ClassEIDAS    RegulatoryClass = "eidas"
	ClassStandard RegulatoryClass = "standard"
	ClassMobility RegulatoryClass = "mobility"
)

// StatusType is the guide's status type (2.6, 4). It is not on the wire (facts
// 3): Classify derives it.
type StatusType string

// The status types. None is the guide's dash: a state without a type.
const (
	None         StatusType = ""
	Notification StatusType = "notification"
	Preliminary  StatusType = "preliminary"
	Final        StatusType = "final"
	Cancelled    StatusType = "cancelled"
)

// Classification is what the guide says of a state of an identification.
type Classification struct {
	// Type is the status type of (method, status), None when the guide gives
	// none or does not list the pair.
	Type StatusType
	// Known is false for a method, a status or a code that the guide does not
	// list for (method, status). A pair of sub status and reason is never held
	// against a state: the guide does not say which belong together (facts C8,
	// C10).
	Known bool
}

// Classify looks a state up in the status model (guide 4). The codes are nil
// where the state has none. The key is (method, status, code), because one code
// stands under several statuses (facts C7). AutoID's review pending counts as a
// notification, as guide 2.6 has it against 4.1 (facts C5).
func Classify(method, status string, subStatus, reason *int) Classification {
	s, ok := model().states[stateKey{method, status}]
	if !ok {
		return Classification{Type: None, Known: false}
	}
	known := (subStatus == nil || slices.Contains(s.subStatus, *subStatus)) &&
		(reason == nil || slices.Contains(s.reasons, *reason))
	return Classification{Type: s.statusType, Known: known}
}

// Rank gives the order of progress of an identification status: started, coupon
// requested, incomplete, review pending, cancelled, and last declined and
// success alike. It is -1 for a status that the guide does not list. It chooses
// the primary identification (guide 7.3) and orders changes of one second.
func Rank(status string) int {
	switch status {
	case StatusStarted:
		return 0
	case StatusCouponRequested:
		return 1
	case StatusIncomplete:
		return 2
	case StatusReviewPending:
		return 3
	case StatusCancelled:
		return 4
	case StatusDeclined, StatusSuccess:
		return 5
	default:
		return -1
	}
}

// StatusRow is one row of the guide's status tables (4.1 to 4.5). Rows that
// share method and status, such as the reasons to decline, share their type.
type StatusRow struct {
	ID                string // such as video.declined.fraud
	Method            string
	Status            string
	Type              StatusType // as Classify gives it
	SubStatus         []Code     // empty where the guide has a dash
	SubStatusOptional bool       // the state occurs without one, too
	Reasons           []Code     // of the row; which sub status each belongs to is not said
	ResultData        bool
}

// StatusRows returns the status model in the guide's order of rows, method by
// method. The rows are the caller's own.
func StatusRows() []StatusRow {
	rows := slices.Clone(model().rows)
	for i := range rows {
		rows[i].SubStatus = slices.Clone(rows[i].SubStatus)
		rows[i].Reasons = slices.Clone(rows[i].Reasons)
	}
	return rows
}

// statusModelJSON is the one table: guide 4 cell by cell, with 4.1's dash for
// AutoID's review pending as printed.
//
//go:embed status-model.json
var statusModelJSON []byte

type stateKey struct{ method, status string }

// state unites the rows of one (method, status).
type state struct {
	statusType StatusType
	subStatus  []int
	reasons    []int
}

// statusModel is immutable once built.
type statusModel struct {
	rows   []StatusRow
	states map[stateKey]state
}

// model panics only if the embedded table is broken, which the tests rule out.
var model = sync.OnceValue(func() statusModel {
	m, err := parseStatusModel(statusModelJSON)
	if err != nil {
		panic(err)
	}
	return m
})

type modelCode struct {
	Code        int    `json:"code"`
	Description string `json:"description"`
}

type modelRow struct {
	RowID             string      `json:"rowId"`
	Status            string      `json:"status"`
	StatusType        string      `json:"statusType"`
	SubStatus         []modelCode `json:"subStatus"`
	SubStatusOptional bool        `json:"subStatusOptional"`
	SubStatusReason   []modelCode `json:"subStatusReason"`
	ResultData        bool        `json:"resultData"`
}

func parseStatusModel(data []byte) (statusModel, error) {
	var file struct {
		IdentificationMethods []string `json:"identificationMethods"`
		Methods               map[string]struct {
			Rows []modelRow `json:"rows"`
		} `json:"methods"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return statusModel{}, fmt.Errorf("read status model: %w", err)
	}
	m := statusModel{states: make(map[stateKey]state)}
	for _, method := range file.IdentificationMethods {
		for _, r := range file.Methods[method].Rows {
			if err := m.add(method, r); err != nil {
				return statusModel{}, err
			}
		}
	}
	return m, nil
}

func (m *statusModel) add(method string, r modelRow) error {
	t, err := parseStatusType(r.StatusType)
	if err != nil {
		return fmt.Errorf("read row %s: %w", r.RowID, err)
	}
	if method == MethodAutoID && r.Status == StatusReviewPending {
		t = Notification // facts C5
	}
	row := StatusRow{
		ID: r.RowID, Method: method, Status: r.Status, Type: t,
		SubStatusOptional: r.SubStatusOptional, ResultData: r.ResultData,
	}
	key := stateKey{method, r.Status}
	s, seen := m.states[key]
	if seen && s.statusType != t {
		return fmt.Errorf("read row %s: its type differs from the other rows of its status", r.RowID)
	}
	s.statusType = t
	for _, c := range r.SubStatus {
		row.SubStatus = append(row.SubStatus, Code(c))
		s.subStatus = append(s.subStatus, c.Code)
	}
	for _, c := range r.SubStatusReason {
		row.Reasons = append(row.Reasons, Code(c))
		s.reasons = append(s.reasons, c.Code)
	}
	m.rows = append(m.rows, row)
	m.states[key] = s
	return nil
}

func parseStatusType(s string) (StatusType, error) {
	switch t := StatusType(s); t {
	case "-":
		return None, nil
	case Notification, Preliminary, Final, Cancelled:
		return t, nil
	case None:
		return None, fmt.Errorf("no status type")
	default:
		return None, fmt.Errorf("status type %q is none of the guide", s)
	}
}
