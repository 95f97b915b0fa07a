package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/schemas"
)

// publishedResult is one record of a result topic that shows.
type publishedResult struct {
	Published // its Event is what the result repeats of the status event

	result  schemas.IdentificationResult
	written *Record
}

// alone says that the result went out later than its event.
func (r *publishedResult) alone() bool { return r.result.Sequence == nil }

// readResults decodes what read-committed readers of a result topic see. Values
// that are not ours are findings.
func (j *judgement) readResults(ctx context.Context, t *TopicDump) ([]*publishedResult, error) {
	dec := schemas.NewResultDecoder(j.e.Schema)
	var out []*publishedResult
	var err error
	t.each(func(p *PartitionDump, r *Record) {
		if !r.Visible || err != nil {
			return
		}
		where := place(t.Name, p.Partition, r.Offset)
		result, fault := dec.Decode(ctx, r.Value)
		if corrupt, ok := errors.AsType[*schemas.CorruptError](fault); ok {
			j.found(Unreadable, where, "%v", corrupt)
			return
		}
		if fault != nil {
			err = fmt.Errorf("decode %s: %w", where, fault)
			return
		}
		out = append(out, &publishedResult{
			Published: Published{
				Topic: t.Name, Partition: p.Partition, Offset: r.Offset, Timestamp: r.Timestamp,
				Key: r.Key, Headers: r.Headers, Value: r.Value, Event: statusOf(&result),
			},
			result: result, written: r,
		})
	})
	return out, err
}

// statusOf is what a result repeats of its status event.
func statusOf(r *schemas.IdentificationResult) schemas.StatusChanged {
	e := schemas.StatusChanged{
		EventID: r.EventID, ClientID: r.ClientID, CaseID: r.CaseID, ReferenceID: r.ReferenceID,
		Method: r.Method, MethodText: r.MethodText, RegulatoryClass: r.RegulatoryClass,
		StatusType: r.StatusType, Status: r.Status, StatusText: r.StatusText,
		SubStatus: r.SubStatus, SubStatusReason: r.SubStatusReason, Identification: r.Identification,
		CaseStatus: r.CaseStatus, AccountingData: r.AccountingData, RecordsState: r.RecordsState, Anomaly: r.Anomaly,
	}
	if r.Sequence != nil {
		e.Sequence = *r.Sequence
	}
	for i := range r.Records {
		e.Records = append(e.Records, r.Records[i].Metadata)
	}
	return e
}

// stateOfCase is a state of an identification of a case.
type stateOfCase struct {
	of    caseKey
	state stateKey
}

func stateOf(e *schemas.StatusChanged) stateOfCase { return stateOfCase{eventCase(e), eventState(e)} }

// resultJudge compares the results with the status events.
type resultJudge struct {
	*judgement

	events  map[string]*Published            // changes by eventId; the first of an id
	late    map[stateOfCase]bool             // final states whose event has no digest
	results map[string]*publishedResult      // by eventId; the first of an id
	alone   map[stateOfCase]*publishedResult // by the state that they are of
	written map[int32]map[int64]*Record      // the status topic's records
}

// checkResults compares the result topic, nil where there is none, with the status
// events: each final event that has a digest has one result in its transaction,
// which is what the digest says; a result alone belongs to an event without one.
func (j *judgement) checkResults(results []*publishedResult, events []Published) *resultJudge {
	r := &resultJudge{
		judgement: j, events: map[string]*Published{}, late: map[stateOfCase]bool{}, results: map[string]*publishedResult{},
		alone: map[stateOfCase]*publishedResult{}, written: map[int32]map[int64]*Record{},
	}
	r.index(events)
	j.verdict.Results = len(results)
	for _, p := range results {
		r.checkResult(p)
	}
	for _, p := range inTopicOrder(events) {
		r.findResult(p)
	}
	return r
}

func (r *resultJudge) index(events []Published) {
	for _, p := range inTopicOrder(events) {
		if e := &p.Event; e.StatusType != schemas.StatusTypeRecordsAvailable {
			if r.events[e.EventID] == nil {
				r.events[e.EventID] = p
			}
			if e.StatusType == schemas.StatusTypeFinal && e.ResultDigest == nil {
				r.late[stateOf(e)] = true
			}
		}
	}
	r.dump.topic(r.topics.status).each(func(p *PartitionDump, rec *Record) {
		if r.written[p.Partition] == nil {
			r.written[p.Partition] = map[int64]*Record{}
		}
		r.written[p.Partition][rec.Offset] = rec
	})
}

// checkResult judges one result.
func (r *resultJudge) checkResult(p *publishedResult) {
	e := &p.Event
	report := func(kind Kind, format string, args ...any) {
		r.foundCase(kind, e.ClientID, e.CaseID, p.Where(), format, args...)
	}
	for _, detail := range r.resultMismatches(p) {
		report(Mismatch, "result: %s", detail)
	}
	if want := murmur2Partition(p.Key, len(r.dump.topic(p.Topic).Partitions)); want != int(p.Partition) {
		report(Misplaced, "murmur2 puts its key in partition %d", want)
	}
	if first := r.results[e.EventID]; first != nil {
		report(Doubled, "the result of its event stands at %s already", first.Where())
		return
	}
	r.results[e.EventID] = p
	of := r.events[e.EventID]
	switch {
	case p.alone() && r.late[stateOf(e)]:
		r.alone[stateOf(e)] = p
	case of == nil:
		report(Invented, "it is the result of no event")
	case p.alone():
		report(Mismatch, "it went out alone, and %s has a digest of it", of.Where())
	case of.Event.ResultDigest == nil:
		report(Invented, "it says that it went out with %s, which has no digest", of.Where())
	default:
		for _, detail := range differences(of, p) {
			report(Mismatch, "result of %s: %s", of.Where(), detail)
		}
		if w := r.written[of.Partition][of.Offset]; w.ProducerID != p.written.ProducerID || w.ProducerEpoch != p.written.ProducerEpoch {
			report(Torn, "%s was written in another transaction", of.Where())
		}
	}
}

// resultMismatches says where a result contradicts itself or its account.
func (r *resultJudge) resultMismatches(p *publishedResult) []string {
	e := &p.Event
	out := envelopeMismatches(&p.Published)
	if class, ok := r.e.Options.Classes[e.ClientID]; ok && class != e.RegulatoryClass {
		out = append(out, fmt.Sprintf("regulatory class %s, the account has %s", e.RegulatoryClass, class))
	}
	if e.StatusType != schemas.StatusTypeFinal || e.Identification == nil {
		out = append(out, fmt.Sprintf("status type %s has no result", e.StatusType))
	}
	if accounts := r.e.Options.Results; accounts != nil && !slices.Contains(accounts, e.ClientID) {
		out = append(out, "its account publishes no results")
	}
	if len(p.result.Nonce) != schemas.NonceBytes {
		out = append(out, fmt.Sprintf("its nonce has %d bytes", len(p.result.Nonce)))
	}
	for i := range e.Records {
		if _, bad := referenceOf(e, &e.Records[i]); bad != "" {
			out = append(out, fmt.Sprintf("reference of record %d: %s", i, bad))
		}
	}
	return out
}

// differences says where a result is not that of the event that it went out with.
func differences(of *Published, p *publishedResult) []string {
	var out []string
	e, repeats := &of.Event, &p.Event
	if !bytes.Equal(schemas.ResultDigest(p.Value), *e.ResultDigest) {
		out = append(out, "its SHA-256 is not the resultDigest")
	}
	if e.Sequence != repeats.Sequence {
		out = append(out, fmt.Sprintf("it has sequence %d, and its event %d", repeats.Sequence, e.Sequence))
	}
	if stateOf(e) != stateOf(repeats) || !eventModified(e).Equal(eventModified(repeats)) || e.RegulatoryClass != repeats.RegulatoryClass {
		out = append(out, "it does not repeat its event")
	}
	if !equalOrNil(e.RecordsState, repeats.RecordsState) || !sameReferences(e.Records, repeats.Records) {
		out = append(out, "it says something else of the records")
	}
	headers := func(of []kgo.RecordHeader) []kgo.RecordHeader {
		return slices.DeleteFunc(slices.Clone(of), func(h kgo.RecordHeader) bool { return h.Key == "content-type" })
	}
	if !slices.EqualFunc(headers(of.Headers), headers(p.Headers), func(a, b kgo.RecordHeader) bool {
		return a.Key == b.Key && bytes.Equal(a.Value, b.Value)
	}) {
		out = append(out, "its headers are not those of its event")
	}
	return out
}

func equalOrNil[T comparable](a, b *T) bool { return a == b || a != nil && b != nil && *a == *b }

// sameReferences says whether both refer to the same objects for the same records.
func sameReferences(a, b []schemas.RecordMetadata) bool {
	references := func(of []schemas.RecordMetadata) (out []string) {
		for i := range of {
			if r, ok := of[i].StoredAs(); ok {
				out = append(out, of[i].RecordID+" "+r.Location)
			}
		}
		slices.Sort(out)
		return out
	}
	return slices.Equal(references(a), references(b))
}

// findResult looks for the result of a final event.
func (r *resultJudge) findResult(p *Published) {
	e := &p.Event
	if e.StatusType != schemas.StatusTypeFinal || r.results[e.EventID] != nil {
		return
	}
	switch {
	case e.ResultDigest != nil:
		r.foundCase(ResultLost, e.ClientID, e.CaseID, p.Where(), "it has the digest of a result that is not there")
	case slices.Contains(r.e.Options.Results, e.ClientID) && r.alone[stateOf(e)] == nil:
		r.foundCase(ResultLost, e.ClientID, e.CaseID, p.Where(), "it has no result, and its account publishes them")
	}
}
