package publish

import (
	"slices"
	"time"

	"postident-bridge/internal/scr"
	"postident-bridge/schemas"
)

// owed is what a final state of an identification gives beside its status event:
// its result, its binary records, or both.
type owed struct {
	at    int // in the state's identifications
	event int // in the decision's events, -1 if the status event went out before
	// base is the status event, without sequence and previousEventHash. Of one that
	// went out before, it is what the event would be today: the same state under the
	// same id.
	base    schemas.StatusChanged
	result  bool
	records bool
}

// complete notes what a state that is not new owes: a result, of an account that
// wants them only since, or records that came too late for the status event. The
// records of a state whose event promised none are stored for its result only.
func (l *look) complete(id *schemas.ObservedIdentification, at int) {
	st := &l.state.Identifications[at]
	if !slices.Contains(st.Outputs, schemas.OutputStatus) || typeOf(st.Method, st.Status) != schemas.StatusTypeFinal {
		return
	}
	o := owed{at: at, event: -1, result: l.rules.Results && !slices.Contains(st.Outputs, schemas.OutputResult)}
	o.records = l.rules.Records && (st.RecordsPending != nil || o.result && !slices.Contains(st.Outputs, schemas.OutputRecords))
	if !o.result && !o.records {
		return
	}
	o.base = l.identified(identificationEvent(l.snapshot, id, interpret(id)))
	l.owed = append(l.owed, o)
}

// needsRead says whether what is owed takes more than a list shows. Results of
// states that are old news come with the next read, or with a backfill: a sweep
// shows the whole past of an account, and would have all of it read.
func (l *look) needsRead() bool {
	return slices.ContainsFunc(l.owed, func(o owed) bool {
		return o.event >= 0 || o.result && l.snapshot.ObservedBy == schemas.SourceBackfill
	})
}

// recordsDue says whether an event of a case promised records that have not come
// yet: then somebody has to look again, whatever this look was.
func recordsDue(s *schemas.CaseState) bool {
	return slices.ContainsFunc(s.Identifications, func(id schemas.IdentificationState) bool { return id.RecordsPending != nil })
}

// recordKey tells the records of a case apart.
type recordKey struct {
	method  string
	created int64 // of the identification, in milliseconds
	record  scr.Record
}

// stored is what became of the records of an answer.
type stored struct {
	references map[recordKey]schemas.RecordReference
	err        error // why some are not in the store
}

// outputs is what goes out after a look: the decision's events, completed by what
// is known of records, and what is written beside them.
type outputs struct {
	events  []schemas.StatusChanged
	state   schemas.CaseState
	results []owed // of which results go out
	// pending are the events that say so, by index, and where their state notes it.
	pending []owed
	// hold is why nothing goes out yet: the records are waited for. The look has to
	// be repeated.
	hold error
	// again is why the records have to be stored later: their state waits for them.
	again error
}

// planOutputs decides what goes out with the records as they are. Those that are
// not in the store are waited for as long as patience, from the first attempt that
// failed; then the status event goes out without them, says so, and an event of
// its own completes it (P6). A result alone waits for its records as long as it
// takes, and has nobody else wait: what goes out beside it goes without it. The
// arguments are not changed.
func planOutputs(d decision, s stored, since, now time.Time, patience time.Duration) outputs {
	out := outputs{events: d.Events, state: d.State}
	if len(d.Owed) == 0 {
		return out
	}
	for _, o := range d.Owed {
		if s.err != nil && o.records && (o.event >= 0 && now.Sub(since) < patience || isLate(o) && len(d.Events) == 0) {
			return outputs{hold: s.err}
		}
	}
	out.events, out.state.Identifications = slices.Clone(d.Events), slices.Clone(d.State.Identifications)
	for _, o := range d.Owed {
		if s.err != nil && o.records && isLate(o) {
			out.again = s.err
			continue
		}
		st := &out.state.Identifications[o.at]
		st.Outputs = slices.Clone(st.Outputs)
		if o.records {
			out.settleRecords(&o, st, s, since)
		}
		if o.result {
			st.Outputs = append(st.Outputs, schemas.OutputResult)
			out.results = append(out.results, o)
		}
	}
	return out
}

// isLate says that a result goes out alone, its status event being out.
func isLate(o owed) bool { return o.event < 0 && o.result }

// settleRecords completes one state's event by its records, or notes that they are
// due.
func (out *outputs) settleRecords(o *owed, st *schemas.IdentificationState, s stored, since time.Time) {
	switch {
	case s.err != nil && o.event >= 0:
		out.again = s.err
		out.events[o.event].RecordsState = new(schemas.RecordsStatePending)
		st.RecordsPending = &schemas.PendingRecords{Since: wireTime(since), Attempts: 1}
		o.base.RecordsState = out.events[o.event].RecordsState
		out.pending = append(out.pending, *o)
	case s.err != nil:
		out.again = s.err
		pending := *st.RecordsPending
		pending.Attempts++
		st.RecordsPending = &pending
	default:
		refer(&o.base, s.references)
		st.Outputs = append(st.Outputs, schemas.OutputRecords)
		if o.event >= 0 {
			out.events[o.event].Records, out.events[o.event].RecordsState = o.base.Records, o.base.RecordsState
		} else if st.RecordsPending != nil {
			out.events = append(out.events, recordsAvailable(o.base, st.RecordsPending.Sequence))
			st.RecordsPending = nil
		}
	}
}

// refer has an event name the records that are in the store.
func refer(e *schemas.StatusChanged, references map[recordKey]schemas.RecordReference) {
	state := schemas.RecordsStateNone
	e.Records = slices.Clone(e.Records)
	for i := range e.Records {
		m := &e.Records[i]
		if ref, ok := references[keyOfRecord(e, m)]; ok {
			m.SetReference(ref)
			state = schemas.RecordsStateStored
		}
	}
	e.RecordsState = &state
}

// keyOfRecord is the key of a record that an event of an identification names.
func keyOfRecord(e *schemas.StatusChanged, m *schemas.RecordMetadata) recordKey {
	return recordKey{method: methodText(e), created: e.Identification.Created.UnixMilli(), record: recordOf(m)}
}

// recordOf is the record as the API's answer had it.
func recordOf(m *schemas.RecordMetadata) scr.Record {
	return scr.Record{
		ID: m.RecordID, BelongsTo: textOr(m.BelongsTo), Type: textOr(m.Type), MimeType: textOr(m.MimeType), FileName: textOr(m.FileName),
		ValidationStatus: textOr(m.ValidationStatus), ValidationSubStatus: textOr(m.ValidationSubStatus),
	}
}

func textOr(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// recordsAvailable is the event that brings the records of one that went out
// without them.
func recordsAvailable(base schemas.StatusChanged, completes int64) schemas.StatusChanged {
	base.StatusType = schemas.StatusTypeRecordsAvailable
	base.Completes = &completes
	base.EventID = eventID(base)
	return base
}
