package publish

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/internal/audit"
	"postident-bridge/internal/claim"
	"postident-bridge/internal/sabotage"
	"postident-bridge/internal/scr"
	"postident-bridge/schemas"
)

// account is the scene's account as a process has it, whose steps are its own.
func (w *scene) account(p *sabotage.Process) Account {
	unavailable := func(fault error) error { return &scr.UnavailableError{Err: fault} }
	return Account{
		ClientID: testClient, RegulatoryClass: schemas.RegulatoryClassGwG, Results: true, Records: steppingStore{w, p}, ResultPDF: true,
		Read: func(context.Context, string) (scr.Case, error) {
			panic("an account with results is read by ReadResult")
		},
		ReadResult: func(ctx context.Context, caseID string, binary bool, store func(context.Context, scr.RecordContent) error) (r scr.Result, err error) {
			step := "read"
			if binary {
				step = "read records"
			}
			var contents []scr.RecordContent
			if fault := p.Step(ctx, step, func() { r, contents, err = w.readResult(caseID, binary) }); fault != nil {
				return scr.Result{}, unavailable(fault)
			}
			for _, c := range contents {
				if err := store(ctx, c); err != nil {
					return scr.Result{}, err
				}
			}
			return r, err
		},
	}
}

// readResult is what the API answers. The PDF is made anew for each read, so that what
// was stored before a fault may be named by no event.
func (w *scene) readResult(caseID string, binary bool) (scr.Result, []scr.RecordContent, error) {
	c, err := w.read(caseID)
	if err != nil {
		return scr.Result{}, nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if binary {
		w.reads[caseID]++
		w.shelf.text["result"] = base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "%%PDF of %s, made for read %d", caseID, w.reads[caseID]))
	}
	return scr.ParseResult(w.shelf.body(c, binary), scr.ResultRequest{Class: scr.ClassGwG, Binary: binary, PDF: binary})
}

// steppingStore is the store as a process sees it.
type steppingStore struct {
	scene   *scene
	process *sabotage.Process
}

func (s steppingStore) Put(ctx context.Context, o claim.Object) (put claim.Stored, err error) {
	s.scene.mu.Lock()
	away := s.scene.away
	s.scene.mu.Unlock()
	if away {
		return claim.Stored{}, &claim.UnavailableError{Op: "put object"}
	}
	if fault := s.process.Step(ctx, "store record", func() { put, err = s.scene.store.Put(ctx, o) }); fault != nil {
		return claim.Stored{}, &claim.UnavailableError{Op: "put object", Err: fault}
	}
	return put, err
}

// told are the status events, without those that only bring records.
func (w *scene) told() []*kgo.Record {
	return slices.DeleteFunc(w.of(w.topics.Status), bringsRecords)
}

func bringsRecords(rec *kgo.Record) bool {
	return header(rec, "status-type") == schemas.StatusTypeRecordsAvailable.HeaderText()
}

// isOfLateRecords says that a finding is of an event that only brings records, which
// the truth of changes does not know. Its place in the chain is judged as any other.
func (w *scene) isOfLateRecords(f audit.Finding) bool {
	if f.Kind != audit.Doubled && f.Kind != audit.Invented && f.Kind != audit.Mismatch {
		return false
	}
	return slices.ContainsFunc(w.of(w.topics.Status), func(rec *kgo.Record) bool {
		return bringsRecords(rec) && string(rec.Key) == f.CaseID && w.event(rec).Sequence == f.Sequence
	})
}

func (w *scene) event(rec *kgo.Record) schemas.StatusChanged {
	w.t.Helper()
	e, err := schemas.NewStatusDecoder(nil).Decode(w.t.Context(), rec.Value)
	if err != nil {
		w.t.Fatal(err)
	}
	return e
}

// judgeResults: each final state has exactly one result, with its digest, and has its
// records named exactly once, as they lie in the store. What lies there and is named by
// nothing was put by a look that a fault ended.
func (w *scene) judgeResults() {
	w.t.Helper()
	results := make(map[string][]*kgo.Record)
	for _, rec := range w.of(w.topics.Result) {
		v, err := schemas.NewResultDecoder(nil).Decode(w.t.Context(), rec.Value)
		if err != nil {
			w.t.Fatal(err)
		}
		results[v.EventID] = append(results[v.EventID], rec)
	}
	finals, named := 0, make(map[string]bool)
	completed := make(map[string]bool) // case and sequence
	for _, rec := range w.of(w.topics.Status) {
		if e := w.event(rec); bringsRecords(rec) && e.Completes != nil {
			at := fmt.Sprint(e.CaseID, *e.Completes)
			if completed[at] {
				w.t.Errorf("event %s has its records brought twice", at)
			}
			completed[at] = true
			w.judgeReferences(&e, named)
		}
	}
	for _, rec := range w.told() {
		e := w.event(rec)
		if e.StatusType != schemas.StatusTypeFinal {
			continue
		}
		finals++
		if of := results[e.EventID]; len(of) != 1 || e.ResultDigest == nil || !bytes.Equal(*e.ResultDigest, schemas.ResultDigest(of[0].Value)) || !bytes.Equal(of[0].Key, rec.Key) {
			w.t.Errorf("final state of %s has %d results, or not its digest", e.CaseID, len(of))
		}
		late := e.RecordsState != nil && *e.RecordsState == schemas.RecordsStatePending
		if late != completed[fmt.Sprint(e.CaseID, e.Sequence)] {
			w.t.Errorf("final state of %s is late: %t; and completed: %t", e.CaseID, late, !late)
		}
		if !late {
			w.judgeReferences(&e, named)
		} else if !w.late {
			w.t.Errorf("final state of %s does not wait for its records", e.CaseID)
		}
	}
	if got := len(w.of(w.topics.Result)); got != finals || finals == 0 {
		w.t.Errorf("%d results for %d final states", got, finals)
	}
	w.judgeOrphans(named)
}

// judgeReferences: an event names all records of its case, and they are as it says.
func (w *scene) judgeReferences(e *schemas.StatusChanged, named map[string]bool) {
	w.t.Helper()
	if e.RecordsState == nil || *e.RecordsState != schemas.RecordsStateStored || len(e.Records) != len(w.shelf.contents) {
		w.t.Errorf("event %d of %s has %d records", e.Sequence, e.CaseID, len(e.Records))
	}
	for i := range e.Records {
		ref, _ := e.Records[i].StoredAs()
		name, ok := w.store.Name(ref.Location)
		if !ok {
			w.t.Errorf("record %d of %s is not named", i, e.CaseID)
			continue
		}
		named[name] = true
		content, err := os.ReadFile(filepath.Join(w.dir, filepath.FromSlash(name)))
		if sum := sha256.Sum256(content); err != nil || !bytes.Equal(sum[:], ref.SHA256) || int64(len(content)) != ref.Size {
			w.t.Errorf("record %d of %s is not what its event says: %v", i, e.CaseID, err)
		}
	}
}

// judgeOrphans: a case was read with its records once, and once more for each look
// that a fault ended; each made one PDF.
func (w *scene) judgeOrphans(named map[string]bool) {
	w.t.Helper()
	orphans := make(map[string]int)
	for o, err := range w.store.List(w.t.Context(), "", "") {
		if err != nil {
			w.t.Fatal(err)
		}
		if o.Foreign || o.Leftover {
			w.t.Errorf("%s lies in the store", o.Name)
		} else if !named[o.Name] {
			orphans[o.Key.CaseID]++
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, n := range orphans {
		if n > w.reads[id]-1 {
			w.t.Errorf("%d objects of %s are named by no event, and it was read %d times", n, id, w.reads[id])
		}
	}
	if w.late {
		return // it is read for as long as the store is away
	}
	for id, n := range w.reads {
		if n > mostRepeats {
			w.t.Errorf("case %s was read %d times with its records", id, n)
		}
	}
}

// mostRepeats: a fault ends one look of a process, and its successor may be taken over
// from again.
const mostRepeats = 4
