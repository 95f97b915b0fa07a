package scrsim

import (
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"time"
)

// Record is the truth about one file of an identification (guide 8.6.7), in its
// present state, whether an answer has shown it or not.
type Record struct {
	ClientID     string    `json:"clientId"`
	CaseID       string    `json:"caseId"`
	CaseCreated  time.Time `json:"caseCreated"`
	Method       string    `json:"method"`
	IdentCreated time.Time `json:"identCreated"`
	RecordID     string    `json:"recordId"`
	BelongsTo    string    `json:"belongsTo"`
	Type         string    `json:"type"`
	FileName     string    `json:"fileName"`
	MediaType    string    `json:"mediaType"`
	// Size in bytes and SHA256, in hex, are those of the content.
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
	// Given says that a read with includeBinaryData, and includeResultPdf for a PDF,
	// has the content. Of the others answers have the metadata alone, or nothing.
	Given bool `json:"given"`
	// Forbidden says that the class or the method must not have the content. It is
	// sent by Wire.Forbidden and FaultSet.Forbidden alone, and holds marks of
	// ForbiddenCanaries.
	Forbidden bool `json:"forbidden"`
}

// Records returns the records of a case, of a history, too, by identification and
// in the order in which an answer has them. It makes the content up to sum it.
// ErrNoCase says that there is none, or none any more: AllRecords still has those
// of cases that were deleted.
func (s *Simulator) Records(caseID string) ([]Record, error) {
	v, ok := s.look(caseID)
	if !ok {
		return nil, fmt.Errorf("find case: %w", ErrNoCase)
	}
	return slices.AppendSeq([]Record{}, v.truth()), nil
}

// AllRecords goes through the records of all cases, deleted ones included, those
// of histories apart. It holds up nobody, and makes one file at a time up to sum
// it.
func (s *Simulator) AllRecords() iter.Seq[Record] {
	return func(yield func(Record) bool) {
		for _, v := range s.looks() {
			for record := range v.truth() {
				if !yield(record) {
					return
				}
			}
		}
	}
}

// HistoryRecords is AllRecords of the cases of histories with Results, deleted
// ones included.
func (s *Simulator) HistoryRecords() iter.Seq[Record] {
	return func(yield func(Record) bool) {
		s.mu.Lock()
		histories := slices.Clone(s.histories)
		s.mu.Unlock()
		for _, h := range histories {
			for i := 0; h.Results && i < h.Cases; i++ {
				// Whether the case is archived does not show.
				for record := range (past{history: h, index: i}).view().truth() {
					if !yield(record) {
						return
					}
				}
			}
		}
	}
}

// Answer returns the case as GET /cases/{caseId}/full?includeResultPdf=true has it
// without a fault. It counts as no read: nothing is seen by it, and no fault used
// up.
func (s *Simulator) Answer(caseID string) (json.RawMessage, error) {
	v, ok := s.look(caseID)
	if !ok {
		return nil, fmt.Errorf("find case: %w", ErrNoCase)
	}
	return marshal(v.render(rendering{all: true, pdf: true}))
}

// look takes a case as it is, past the faults of visibility. A Basic Offline case
// is not there before its first step.
func (s *Simulator) look(caseID string) (view, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.cases[caseID]; c != nil && c.visible {
		return c.view(), true
	}
	if h, i := s.inHistory(caseID); h != nil && h.Results && i >= h.firstKept(s.clock.now()) {
		return h.at(i).view(), true
	}
	return view{}, false
}

// looks takes all cases that have records, deleted ones first.
func (s *Simulator) looks() []view {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []view
	for _, cfg := range s.cfg.Accounts {
		a := s.accounts[cfg.ClientID]
		all = append(all, a.gone...)
		for _, c := range a.cases {
			if v := c.view(); v.hasRecords() {
				all = append(all, v)
			}
		}
	}
	return all
}

// hasRecords reports whether an answer could show a record.
func (v view) hasRecords() bool {
	for i := range v.idents {
		if len(v.records(i)) > 0 {
			return true
		}
	}
	return false
}

// records are those of one identification, those included that only a forbidden
// answer has.
func (v view) records(index int) []record {
	r := v.result(index, rendering{distortion: distortion{forbidden: true}})
	if v.c.given != nil {
		return r.given()
	}
	return slices.Concat(r.methodRecords(), r.documentRecords(), r.licenceRecords())
}

// truth goes through the records of the case.
func (v view) truth() iter.Seq[Record] {
	return func(yield func(Record) bool) {
		for i, id := range v.idents {
			for _, rec := range v.records(i) {
				content := v.result(i, rendering{}).file(rec)
				record := Record{
					ClientID: v.c.acct.ClientID, CaseID: v.c.id, CaseCreated: v.created, Method: id.method,
					IdentCreated: id.created, RecordID: rec.id, BelongsTo: rec.belongsTo, Type: rec.kind,
					FileName: rec.name, MediaType: rec.mediaType(), Size: content.size,
					SHA256: content.sum(), Given: rec.there && rec.allowed, Forbidden: !rec.allowed,
				}
				if !yield(record) {
					return
				}
			}
		}
	}
}
