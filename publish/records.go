package publish

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"postident-bridge/internal/claim"
	"postident-bridge/internal/scr"
	"postident-bridge/schemas"
)

// recordsError says why the records of a final state are not in the store. It is
// no fault of the case: none of its attempts is used up, and other cases go on.
type recordsError struct {
	reason string // a word fit for a metric label
	Err    error
}

func (e *recordsError) Error() string { return "store records: " + e.Err.Error() }
func (e *recordsError) Unwrap() error { return e.Err }

var (
	// errRecordsBusy says that others had the turn for all of the time, or are too many
	// in line for it.
	errRecordsBusy = errors.New("no turn in time")
	// errRecordsStale says that the second answer was older than the first.
	errRecordsStale = errors.New("answer is older than the one before")
	// errRecordsUnread says that a state became final between two reads.
	errRecordsUnread = errors.New("not asked for yet")
)

// recordsReason is the word for what went wrong: the store's, the content's, or the
// API's.
func recordsReason(err error) string {
	var (
		unavailable *claim.UnavailableError
		refused     *claim.RefusedError
		content     *claim.ContentError
		conflict    *claim.ConflictError
	)
	switch {
	case errors.Is(err, errRecordsBusy):
		return "records_busy"
	case errors.Is(err, errRecordsUnread):
		return "records_unread"
	case errors.Is(err, errRecordsStale):
		return reasonStale
	case errors.Is(err, errBlocked):
		return "records_held_back"
	case errors.As(err, &refused):
		return "records_store_refused"
	case errors.As(err, &content):
		return "records_content_" + content.Reason
	case errors.As(err, &conflict):
		return "records_conflict"
	case errors.As(err, &unavailable):
		return "records_store_unavailable"
	default:
		return "records_api_" + scr.Reason(err)
	}
}

// maxRecordsLine bounds the looks of an account that wait for their turn to read
// records or are at it: a store that hangs holds up no case without records, and an
// account that does no other one (P8).
const maxRecordsLine = 64

// storeRecords asks for the binary records of a case that was just read, if a
// final state of it owes any, and puts them into the store: before the event that
// names them, and outside of any transaction (P6). The look goes on with the
// answer of this second read; if it fails, with that of the first.
//
// A read with its content takes several times its size in memory, so only a few
// are under way in the process at a time.
func (w *worker) storeRecords(ctx context.Context, r result) result {
	a := r.account
	if r.err != nil || a.Records == nil || !w.owesRecords(&r) {
		return r
	}
	if !a.ResultPDF && !mayKeepAny(r.answer, a.RegulatoryClass) {
		r.stored.references = map[recordKey]schemas.RecordReference{}
		return r
	}
	ctx, cancel := context.WithTimeoutCause(ctx, w.p.cfg.RecordsDeadline, errDeadline)
	defer cancel()
	began := w.p.cfg.Now()
	second, err := r, errRecordsBusy
	if a.inLine.Add(1) <= maxRecordsLine {
		second, err = w.readAndStore(ctx, r)
	}
	a.inLine.Add(-1)
	if err != nil {
		r.stored.err = &recordsError{reason: recordsReason(err), Err: err}
	} else {
		r = second
	}
	w.p.metrics.recordsStored(ctx, a.ClientID, r.stored, withoutContent(r.answer, a.RegulatoryClass, r.stored.references), w.p.cfg.Now().Sub(began))
	return r
}

// owesRecords says whether the read shows a final state whose records are wanted.
func (w *worker) owesRecords(r *result) bool {
	s := snapshotOfCase(r.account.ClientID, r.answer, r.origin.Source, r.readAt)
	d := decide(r.prev, s, r.account.rules(w.p.cfg.PublishProgress), r.confirm)
	return slices.ContainsFunc(d.Owed, func(o owed) bool { return o.records })
}

// mayKeepAny says whether an account of a class may have the content of any record:
// what it may not have is not asked for (P7, guide 8.6.7).
func mayKeepAny(c scr.Case, class schemas.RegulatoryClass) bool {
	for _, id := range c.Identifications {
		for _, r := range id.Records {
			if scr.ContentAllowed(r.Type, scr.RegulatoryClass(class), id.Method) {
				return true
			}
		}
	}
	return false
}

// withoutContent counts the records of final states whose content the account may
// have and the answer did not give. They are not waited for: no answer says whether
// it will ever come (facts C6), and where files go by SFTP it never does (guide 7.4.1).
func withoutContent(c scr.Case, class schemas.RegulatoryClass, references map[recordKey]schemas.RecordReference) (n int) {
	for _, id := range c.Identifications {
		if typeOf(id.Method, id.Status) != schemas.StatusTypeFinal {
			continue
		}
		for _, r := range id.Records {
			if _, ok := references[recordKey{method: id.Method, created: id.Created.UnixMilli(), record: r}]; !ok && scr.ContentAllowed(r.Type, scr.RegulatoryClass(class), id.Method) {
				n++
			}
		}
	}
	return n
}

// readAndStore is the second read, and the uploads that go with it.
func (w *worker) readAndStore(ctx context.Context, r result) (result, error) {
	a := r.account
	leave, err := w.enterUploads(ctx, a)
	if err != nil {
		return r, err
	}
	defer leave()
	if err := a.enter(ctx); err != nil {
		return r, fmt.Errorf("await turn: %w", errRecordsBusy)
	}
	defer a.leave()
	if !a.allow(w.p.cfg.Now()) {
		return r, errBlocked
	}
	r.readAt = w.p.cfg.Now()
	references := make(map[recordKey]schemas.RecordReference)
	var mu sync.Mutex // guards references and storing: several contents may come at a time
	var storing error // the first
	// Crash point "read records": the position has not moved, or the slot is as it
	// was; the case is looked at again.
	var full scr.Result
	full, err = a.ReadResult(ctx, caseOf(r.key), true, func(ctx context.Context, c scr.RecordContent) error {
		key := recordKey{method: c.Method, created: c.Created.UnixMilli(), record: c.Record}
		reference, err := w.store(ctx, a, c)
		mu.Lock()
		defer mu.Unlock()
		references[key], storing = reference, cmp.Or(storing, err)
		return err
	})
	if storing != nil {
		err = nil // the API did what it was asked for
	}
	f := failure{reason: "ok"}
	if err != nil {
		f = classify(err)
	}
	w.report(ctx, a, r.key, f, err)
	w.p.metrics.read(ctx, a.ClientID, f.reason, w.p.cfg.Now().Sub(r.readAt))
	if err := errors.Join(err, storing); err != nil {
		return r, err
	}
	if isStale(full.Case, r.answer) {
		return r, errRecordsStale // it may not show the state that owes the records
	}
	r.full, r.answer, r.stored.references = &full, full.Case, references
	return r, nil
}

// enterUploads waits for a place among the reads with records: one of the account's
// first, for an account that hangs has to leave others a place of the process (P8).
func (w *worker) enterUploads(ctx context.Context, a *account) (leave func(), err error) {
	select {
	case a.uploads <- struct{}{}:
	case <-ctx.Done():
		return nil, errRecordsBusy
	}
	select {
	case w.p.uploads <- struct{}{}:
		return func() { <-w.p.uploads; <-a.uploads }, nil
	case <-ctx.Done():
		<-a.uploads
		return nil, errRecordsBusy
	}
}

// isStale says that an answer is older than another in any of its parts, each by its
// own modified (facts C28).
func isStale(answer, than scr.Case) bool {
	return answer.Status.Modified.Before(than.Status.Modified) || slices.ContainsFunc(than.Identifications, func(id scr.Identification) bool {
		i := slices.IndexFunc(answer.Identifications, func(o scr.Identification) bool {
			return o.Method == id.Method && o.Created.Equal(id.Created)
		})
		return i < 0 || answer.Identifications[i].Modified.Before(id.Modified)
	})
}

// store puts one record's content into the store.
func (w *worker) store(ctx context.Context, a *account, c scr.RecordContent) (schemas.RecordReference, error) {
	// Crash point "store record": the object is there or not, and no event names it.
	// The next attempt finds it under the same name; without one, a sweep does.
	put, err := a.Records.Put(ctx, claim.Object{
		ClientID: a.ClientID, CaseID: c.CaseID, CaseCreated: c.CaseCreated,
		RecordID: c.Record.ID, RecordType: c.Record.Type, MediaType: c.Record.MimeType, Open: c.Open,
	})
	if err != nil {
		return schemas.RecordReference{}, err
	}
	digest, err := hex.DecodeString(put.SHA256)
	if err != nil {
		return schemas.RecordReference{}, fmt.Errorf("read digest of stored record: %w", err)
	}
	return schemas.RecordReference{Location: put.Location, SHA256: digest, Size: put.Size, MediaType: put.MediaType}, nil
}

// planOutputs plans what goes out after a look.
func (w *worker) planOutputs(r *result, d decision, slot *schemas.Retry, now time.Time) outputs {
	s := r.stored
	if s.references == nil && s.err == nil {
		s.err = &recordsError{reason: recordsReason(errRecordsUnread), Err: errRecordsUnread}
	}
	return planOutputs(d, s, recordsSince(slot, now), now, w.p.cfg.RecordsWait)
}
