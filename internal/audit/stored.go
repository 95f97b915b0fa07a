package audit

import (
	"encoding/hex"
	"slices"
	"strings"

	"postident-bridge/internal/claim"
	"postident-bridge/schemas"
)

// identOfCase is an identification of a case.
type identOfCase struct {
	of    caseKey
	ident identKey
}

// recordOfCase is a record by its id.
type recordOfCase struct {
	identOfCase

	id string
}

// contentOfCase is what an object's name tells apart.
type contentOfCase struct {
	of     caseKey
	sha256 string
}

func (r *RecordTruth) identOfCase() identOfCase {
	return identOfCase{
		caseKey{r.ClientID, r.CaseID, r.CaseCreated.UnixMilli()}, identKey{r.Method, r.IdentCreated.UnixMilli()},
	}
}

// isPDF says that a read has the record only where it asks for the result PDF
// (guide 7.4.1).
func (r *RecordTruth) isPDF() bool { return strings.HasPrefix(r.Type, "result") }

// storedJudge compares references with the store and with the truth, as far as
// either is known.
type storedJudge struct {
	*judgement

	objects  map[string]*StoredObject // by location
	records  map[recordOfCase]*RecordTruth
	byIdent  map[identOfCase][]*RecordTruth
	contents map[contentOfCase]*RecordTruth
	named    map[string]bool // locations
	checked  map[string]bool // references that stand in a result as in its event
}

// checkStored proves that each reference names an object that lies in the store as
// it says, that what an event calls stored is all that the API gives and the class
// allows, and that the store holds nothing else. Objects that nothing names are
// counted: a bridge that died before its commit leaves them.
func (j *judgement) checkStored(events []Published, results []*publishedResult) {
	s := &storedJudge{
		judgement: j, objects: map[string]*StoredObject{}, records: map[recordOfCase]*RecordTruth{}, byIdent: map[identOfCase][]*RecordTruth{},
		contents: map[contentOfCase]*RecordTruth{}, named: map[string]bool{}, checked: map[string]bool{},
	}
	for i := range j.e.Records {
		r := &j.e.Records[i]
		ident := r.identOfCase()
		s.records[recordOfCase{ident, r.RecordID}] = r
		s.byIdent[ident] = append(s.byIdent[ident], r)
		s.contents[contentOfCase{ident.of, r.SHA256}] = r
	}
	for i := range j.e.Inventory {
		s.objects[j.e.Inventory[i].Location] = &j.e.Inventory[i]
	}
	for _, p := range inTopicOrder(events) {
		s.checkReferences(p)
		s.checkComplete(p)
	}
	for _, p := range results {
		s.checkReferences(&p.Published)
	}
	for i := range j.e.Inventory {
		s.checkObject(i)
	}
	j.verdict.References = len(s.checked)
}

func (s *storedJudge) checkReferences(p *Published) {
	e := &p.Event
	for i := range e.Records {
		m := &e.Records[i]
		r, ok := m.StoredAs()
		key := eventState(e).ident.method + " " + m.RecordID + " " + r.Location + " " + hex.EncodeToString(r.SHA256)
		if !ok || s.checked[key] {
			continue
		}
		s.checked[key], s.named[r.Location] = true, true
		if kind, detail := s.compareObject(r); detail != "" {
			s.foundCase(kind, e.ClientID, e.CaseID, p.Where(), "record %d: %s", i, detail)
			continue
		}
		if kind, detail := s.compareRecord(e, m, r); detail != "" {
			s.foundCase(kind, e.ClientID, e.CaseID, p.Where(), "record %d: %s", i, detail)
		}
	}
}

// compareObject compares a reference with the store.
func (s *storedJudge) compareObject(r schemas.RecordReference) (Kind, string) {
	if s.e.Inventory == nil {
		return 0, ""
	}
	switch o := s.objects[r.Location]; {
	case o == nil:
		return BadReference, "its object is not in the store"
	case o.Size != r.Size:
		return BadReference, "its object has another size"
	case o.SHA256 != hex.EncodeToString(r.SHA256):
		return BadReference, "its object has another SHA-256"
	case o.MediaType != r.MediaType:
		return BadReference, "its object has another media type"
	}
	return 0, ""
}

// compareRecord compares a reference with the truth.
func (s *storedJudge) compareRecord(e *schemas.StatusChanged, m *schemas.RecordMetadata, r schemas.RecordReference) (Kind, string) {
	if s.e.Records == nil {
		return 0, ""
	}
	switch truth := s.records[recordOfCase{identOfCase{eventCase(e), eventState(e).ident}, m.RecordID}]; {
	case truth == nil:
		return BadReference, "the truth knows no such record"
	case truth.Forbidden:
		return Leaked, "its account must not have its content"
	case truth.SHA256 != hex.EncodeToString(r.SHA256):
		return BadReference, "its content is not that of the record"
	}
	return 0, ""
}

// checkComplete looks for records that an event which says all are stored leaves
// out.
func (s *storedJudge) checkComplete(p *Published) {
	e := &p.Event
	pdfs, stores := s.e.Options.Records[e.ClientID]
	if !stores || !isSettled(e) {
		return
	}
	for _, r := range s.byIdent[identOfCase{eventCase(e), eventState(e).ident}] {
		if !r.Given || r.Forbidden || r.isPDF() && (!pdfs || s.e.Options.LatePDF) {
			continue
		}
		if !slices.ContainsFunc(e.Records, func(m schemas.RecordMetadata) bool { return m.RecordID == r.RecordID && m.Reference != nil }) {
			s.foundCase(RecordLost, e.ClientID, e.CaseID, p.Where(), "record %s, a %s, has no reference", r.RecordID, r.Type)
		}
	}
}

// checkObject judges one object of the inventory, by what it holds.
func (s *storedJudge) checkObject(i int) {
	o := &s.e.Inventory[i]
	where := objectName(i)
	for _, mark := range o.Marks {
		s.found(Leaked, where, "forbidden canary %d stands in its content", mark)
	}
	if o.Foreign {
		return
	}
	s.verdict.Objects++
	if !s.named[o.Location] {
		s.verdict.Orphans++
	}
	parts := strings.Split(o.Location, "/")
	key, ok := claim.ParseName(strings.Join(parts[max(0, len(parts)-4):], "/"))
	if !ok || s.e.Records == nil || len(o.Marks) > 0 {
		return // a leftover, or nothing to compare with, or found already
	}
	truth := s.contents[contentOfCase{caseKey{key.ClientID, key.CaseID, key.CaseCreated.UnixMilli()}, o.SHA256}]
	switch {
	case truth == nil && !s.named[o.Location]:
		s.found(Invented, where, "no record of its case has such content")
	case truth != nil && truth.Forbidden && !s.named[o.Location]:
		s.found(Leaked, where, "its account must not have it")
	}
}
