package audit_test

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/internal/audit"
	"postident-bridge/internal/claim"
	"postident-bridge/schemas"
)

const storeRoot = "s3://records/"

// stored is what a scene publishes beside status events.
type stored struct {
	idents map[string][]schemas.IdentificationState // by caseId
	pended bool                                     // an event said pending; one is enough
	marked string                                   // the eventId that a plant chose
	result *kgo.Record                              // of the event that is being published
	// after changes an event when all is attached, editResult a result before it is
	// encoded; each may be nil.
	after      func(*scene, *schemas.StatusChanged)
	editResult func(*schemas.IdentificationResult)
}

func nameOf(r *audit.RecordTruth) string {
	extension := "jpg"
	if r.MediaType == "application/pdf" {
		extension = "pdf"
	}
	return claim.Key{ClientID: r.ClientID, CaseID: r.CaseID, CaseCreated: r.CaseCreated, SHA256: r.SHA256, Extension: extension}.Name()
}

// inventoryOf is a store that holds all that may be held.
func inventoryOf(records []audit.RecordTruth) []audit.StoredObject {
	var out []audit.StoredObject
	for i := range records {
		if r := &records[i]; r.Given && !r.Forbidden {
			out = append(out, audit.StoredObject{
				Location: storeRoot + nameOf(r), Size: r.Size, SHA256: r.SHA256, MediaType: r.MediaType,
				Metadata: map[string]string{"recordid": r.RecordID, "recordtype": r.Type},
			})
		}
	}
	return out
}

// attach gives a final event what its account's settings ask for.
func (s *scene) attach(e *schemas.StatusChanged) {
	if e.StatusType == schemas.StatusTypeFinal {
		if _, stores := s.evidence.Options.Records[e.ClientID]; stores {
			s.refer(e, !s.pended && e.ClientID == "SIMGWG01")
		}
		if slices.Contains(s.evidence.Options.Results, e.ClientID) {
			s.addResult(e)
		}
	}
	if s.after != nil {
		s.after(s, e)
	}
}

// refer has an event name its records, or say once that they are pending.
func (s *scene) refer(e *schemas.StatusChanged, pend bool) {
	e.Records = nil
	state := schemas.RecordsStateNone
	for i := range s.evidence.Records {
		r := &s.evidence.Records[i]
		if r.CaseID != e.CaseID || r.Method != string(e.Method) || !r.IdentCreated.Equal(e.Identification.Created) {
			continue
		}
		m := schemas.RecordMetadata{RecordID: r.RecordID, Type: &r.Type}
		if r.Given && !r.Forbidden && (s.evidence.Options.Records[e.ClientID] || !strings.HasPrefix(r.Type, "result")) {
			digest, err := hex.DecodeString(r.SHA256)
			if err != nil {
				s.tb.Fatal(err)
			}
			state = schemas.RecordsStateStored
			if !pend {
				m.SetReference(schemas.RecordReference{Location: storeRoot + nameOf(r), SHA256: digest, Size: r.Size, MediaType: r.MediaType})
			}
		}
		e.Records = append(e.Records, m)
	}
	if pend && state == schemas.RecordsStateStored {
		state, s.pended = schemas.RecordsStatePending, true
	}
	e.RecordsState = &state
}

// addResult makes the result that goes out with an event.
func (s *scene) addResult(e *schemas.StatusChanged) {
	s.tb.Helper()
	sequence := e.Sequence
	r := schemas.IdentificationResult{
		EventID: e.EventID, ClientID: e.ClientID, CaseID: e.CaseID, Sequence: &sequence, Method: e.Method, RegulatoryClass: e.RegulatoryClass,
		StatusType: e.StatusType, Status: e.Status, SubStatus: e.SubStatus, SubStatusReason: e.SubStatusReason,
		Identification: e.Identification, CaseStatus: e.CaseStatus, RecordsState: e.RecordsState,
		OrderData:  &schemas.OrderData{CustomData: &schemas.CustomData{Custom1: new(planted)}}, // here it may stand
		ObservedAt: e.ObservedAt, ObservedBy: e.ObservedBy, Nonce: schemas.NewNonce(),
	}
	for _, m := range e.Records {
		r.Records = append(r.Records, schemas.ResultRecord{Metadata: m})
	}
	if s.editResult != nil {
		s.editResult(&r)
	}
	value, _, err := schemas.NewSingleObjectResultEncoder().Encode(r)
	if err != nil {
		s.tb.Fatal(err)
	}
	e.ResultDigest = new(schemas.ResultDigest(value))
	s.result = &kgo.Record{Topic: resultTopic, Key: []byte(e.CaseID), Value: value}
}

// completion is the event that brings the records of one that said pending.
func (s *scene) completion(e schemas.StatusChanged) schemas.StatusChanged {
	e.Completes, e.ResultDigest, e.PreviousEventHash = new(e.Sequence), nil, nil
	e.EventID = fmt.Sprintf("00000000-0000-5000-8000-%012d", len(s.topic.events)+1)
	s.refer(&e, false)
	e.StatusType = schemas.StatusTypeRecordsAvailable
	return e
}

// note takes an event into the state of its case.
func (s *scene) note(e *schemas.StatusChanged) {
	if e.Identification == nil {
		return
	}
	states := s.idents[e.CaseID]
	at := slices.IndexFunc(states, func(i schemas.IdentificationState) bool {
		return i.Method == string(e.Method) && i.Created.Equal(e.Identification.Created)
	})
	if at < 0 {
		at = len(states)
		states = append(states, schemas.IdentificationState{Method: string(e.Method), Created: e.Identification.Created})
	}
	id := &states[at]
	if e.StatusType != schemas.StatusTypeRecordsAvailable {
		*id = schemas.IdentificationState{Method: id.Method, Created: id.Created, Outputs: []schemas.Output{schemas.OutputStatus}}
	}
	id.Status, id.Modified, id.RecordsPending = string(e.Status), e.Identification.Modified, nil
	if e.ResultDigest != nil {
		id.Outputs = append(id.Outputs, schemas.OutputResult)
	}
	switch {
	case e.RecordsState == nil:
	case *e.RecordsState == schemas.RecordsStatePending:
		id.RecordsPending = &schemas.PendingRecords{Sequence: e.Sequence, Since: epoch, Attempts: 1}
	default:
		id.Outputs = append(slices.Clone(id.Outputs), schemas.OutputRecords)
	}
	s.idents[e.CaseID] = states
}

// stepOf is the first step whose event fits, and that event.
func (s *scene) stepOf(fits func(e *schemas.StatusChanged, st *step) bool) (*step, audit.Published) {
	for p := range s.steps {
		for i := range s.steps[p] {
			st := &s.steps[p][i]
			if st.caseID == "" {
				continue
			}
			if of := s.publishedOf(st); fits(&of.Event, st) {
				return st, of
			}
		}
	}
	s.tb.Fatal("no such event")
	return nil, audit.Published{}
}

// withResult is a step with a result; with pending false, of an event that names
// records.
func (s *scene) withResult() (*step, audit.Published) {
	return s.stepOf(func(_ *schemas.StatusChanged, st *step) bool { return len(st.records) == 4 })
}

func (s *scene) inState(state schemas.RecordsState) (*step, audit.Published) {
	return s.stepOf(func(e *schemas.StatusChanged, _ *step) bool {
		return e.StatusType == schemas.StatusTypeFinal && e.RecordsState != nil && *e.RecordsState == state
	})
}

func (s *scene) completing() (*step, audit.Published) {
	return s.stepOf(func(e *schemas.StatusChanged, _ *step) bool { return e.Completes != nil })
}

// add appends an event to its case's chain.
func (s *scene) add(e schemas.StatusChanged) {
	s.topic.append(e)
	s.commit(s.topic.events[len(s.topic.events)-1])
}

// restate changes the state that a step writes.
func (s *scene) restate(st *step, of audit.Published, edit func(*schemas.IdentificationState)) {
	st.records[1] = s.caseState(of, func(c *schemas.CaseState) {
		for i := range c.Identifications {
			id := &c.Identifications[i]
			id.Outputs = slices.Clone(id.Outputs)
			if id.Method == string(of.Event.Method) && id.Created.Equal(of.Event.Identification.Created) {
				edit(id)
			}
		}
	})
}

// object is the object of the first reference of an event.
func (s *scene) object(e *schemas.StatusChanged) *audit.StoredObject {
	for _, m := range e.Records {
		for i := range s.evidence.Inventory {
			if o := &s.evidence.Inventory[i]; m.Reference != nil && o.Location == *m.Reference {
				return o
			}
		}
	}
	s.tb.Fatal("the event names no object")
	return nil
}

// orphan is an object that no event names.
func (s *scene) orphan() *audit.StoredObject {
	for i := range s.evidence.Inventory {
		if o := &s.evidence.Inventory[i]; strings.Contains(o.Location, "/SIMMOB01/") || strings.Contains(o.Location, "/SIMSTD01/") {
			return o
		}
	}
	s.tb.Fatal("no orphan")
	return nil
}

func (s *scene) truthOf(o *audit.StoredObject) *audit.RecordTruth {
	for i := range s.evidence.Records {
		if storeRoot+nameOf(&s.evidence.Records[i]) == o.Location {
			return &s.evidence.Records[i]
		}
	}
	s.tb.Fatal("no such record")
	return nil
}

// once changes the first event that fits.
func once(fits func(*schemas.StatusChanged) bool, edit func(*scene, *schemas.StatusChanged)) func(*scene, *schemas.StatusChanged) {
	done := false
	return func(s *scene, e *schemas.StatusChanged) {
		if !done && fits(e) {
			done = true
			edit(s, e)
		}
	}
}

func finalOf(clientID string) func(*schemas.StatusChanged) bool {
	return func(e *schemas.StatusChanged) bool {
		return e.ClientID == clientID && e.StatusType == schemas.StatusTypeFinal
	}
}

// storingTwo is a final event of an account without results that names two records
// or more.
func storingTwo(e *schemas.StatusChanged) bool {
	named := 0
	for _, m := range e.Records {
		if m.Reference != nil {
			named++
		}
	}
	return finalOf("SIMTKG01")(e) && named >= 2
}

// resultPlants are the faults of results.
func resultPlants() map[string]plant {
	custom := func(text string) func(*schemas.IdentificationResult) {
		done := false
		return func(r *schemas.IdentificationResult) {
			if !done {
				done = true
				r.OrderData.CustomData.Custom2 = &text
			}
		}
	}
	first := func(edit func(*schemas.IdentificationResult)) func(*schemas.IdentificationResult) {
		done := false
		return func(r *schemas.IdentificationResult) {
			if !done {
				done = true
				edit(r)
			}
		}
	}
	return map[string]plant{
		"a result that is not there": {scene: func(s *scene) {
			st, _ := s.withResult()
			st.records = st.records[:3]
		}, kind: audit.ResultLost},
		"a final event without a result": {after: once(finalOf("SIMSTD01"), func(s *scene, e *schemas.StatusChanged) {
			s.result, e.ResultDigest = nil, nil
		}), kind: audit.ResultLost},
		"a result twice": {scene: func(s *scene) {
			st, _ := s.withResult()
			again := *st.records[3]
			st.records = append(st.records, &again)
		}, kind: audit.Doubled},
		"a result of no event": {scene: func(s *scene) {
			st, of := s.withResult()
			e := of.Event
			e.EventID = "00000000-0000-5000-8000-999999999999"
			s.addResult(&e)
			s.result.Partition, s.result.Headers = of.Partition, slices.Clone(of.Headers)
			s.result.Headers[1].Value = []byte(e.EventID)
			st.records = append(st.records, s.result)
		}, kind: audit.Invented},
		"a result that says it went out alone": {
			result: first(func(r *schemas.IdentificationResult) { r.Sequence = nil }), kind: audit.Mismatch,
		},
		"another resultDigest": {after: once(finalOf("SIMSTD01"), func(_ *scene, e *schemas.StatusChanged) {
			e.ResultDigest = new(make([]byte, 32))
		}), kind: audit.Mismatch},
		"a resultDigest of another length": {after: once(finalOf("SIMSTD01"), func(_ *scene, e *schemas.StatusChanged) {
			e.ResultDigest = &[]byte{1}
		}), kind: audit.Mismatch, several: true},
		"a result with another sequence": {
			result: first(func(r *schemas.IdentificationResult) { *r.Sequence++ }), kind: audit.Mismatch,
		},
		"a result with another state": {
			result: first(func(r *schemas.IdentificationResult) { r.SubStatus = &schemas.StatusCode{Code: 99} }), kind: audit.Mismatch,
		},
		"a result with another class": {
			result: first(func(r *schemas.IdentificationResult) { r.RegulatoryClass = schemas.RegulatoryClassEIDAS }), kind: audit.Mismatch, several: true,
		},
		"a result with other records": {
			result: func() func(r *schemas.IdentificationResult) {
				done := false
				return func(r *schemas.IdentificationResult) {
					for i := range r.Records {
						if m := &r.Records[i].Metadata; !done && m.Reference != nil {
							done = true
							m.Reference, m.SHA256, m.Size, m.MediaType = nil, nil, nil, nil
						}
					}
				}
			}(), kind: audit.Mismatch,
		},
		"another key of a result": {scene: func(s *scene) {
			st, of := s.withResult()
			for i := 0; ; i++ { // one that murmur2 puts in the same partition
				key := fmt.Appendf(nil, "OTHER%07d", i)
				if kgo.StickyKeyPartitioner(nil).ForTopic("").Partition(&kgo.Record{Key: key}, partitions) == int(of.Partition) {
					st.records[3].Key = key
					return
				}
			}
		}, kind: audit.Mismatch},
		"another partition of a result": {scene: func(s *scene) {
			st, of := s.withResult()
			st.records[3].Partition = (of.Partition + 1) % partitions
		}, kind: audit.Misplaced},
		"another header of a result": {scene: func(s *scene) {
			st, _ := s.withResult()
			st.records[3].Headers[5].Value = []byte("2001-01-01T00:00:00Z")
		}, kind: audit.Mismatch, several: true},
		"a result of an account without any": {after: once(finalOf("SIMTKG01"), func(s *scene, e *schemas.StatusChanged) { s.addResult(e) }), kind: audit.Mismatch, several: true},
		"a result in another transaction": {scene: func(s *scene) {
			st, of := s.withResult()
			result := st.records[3]
			st.records = st.records[:3]
			s.steps[of.Partition] = append(s.steps[of.Partition], step{records: []*kgo.Record{result}})
		}, kind: audit.Torn},
		"a result that shows, of an aborted transaction": {dump: func(d *audit.Dump) {
			for i := range d.Topics[4].Partitions {
				for j, r := range d.Topics[4].Partitions[i].Records {
					if r.Control {
						d.Topics[4].Partitions[i].Records[j].Key = []byte{0, 0, 0, 0} // ABORT
						return
					}
				}
			}
		}, kind: audit.Aborted},
		"bytes that are not ours among the results": {scene: func(s *scene) {
			st := s.last()
			st.records = append(st.records, &kgo.Record{Topic: resultTopic, Partition: st.event().Partition, Key: []byte("X"), Value: []byte("odd")})
		}, kind: audit.Unreadable},
		"a state that does not know of a result": {scene: func(s *scene) {
			st, of := s.stepOf(func(e *schemas.StatusChanged, st *step) bool { return e.ClientID == "SIMSTD01" && len(st.records) == 4 })
			s.restate(st, of, func(id *schemas.IdentificationState) { id.Outputs = id.Outputs[:1] })
		}, kind: audit.StateDiffers},
		"a state that knows of a result that is not": {after: once(finalOf("SIMTKG01"), func(s *scene, e *schemas.StatusChanged) {
			s.marked = e.EventID
		}), scene: func(s *scene) {
			st, of := s.stepOf(func(e *schemas.StatusChanged, _ *step) bool { return e.EventID == s.marked })
			s.restate(st, of, func(id *schemas.IdentificationState) { id.Outputs = append(id.Outputs, schemas.OutputResult) })
		}, kind: audit.StateDiffers},
		"a forbidden canary in a result": {result: custom("a CANARY-forbidden-docno-3"), kind: audit.Leaked},
		"a secret in a result":           {result: custom(plantedSecret), kind: audit.SecretShown},
		"a record's content in a result, in base64": {
			result: custom(base64.StdEncoding.EncodeToString([]byte("\xff\xd8\xff\xe0..CANARY-userface-12 and noise"))), kind: audit.ContentShown, several: true,
		},
		"a value that is too long": {scene: func(s *scene) {
			s.inbox[0].Value = triggerWith(s, strings.Repeat("long ", 50_000))
			s.evidence.Webhooks = s.evidence.Webhooks[1:]
		}, kind: audit.Oversized},
		"base64 of anything large": {scene: func(s *scene) {
			s.inbox[0].Value = triggerWith(s, base64.StdEncoding.EncodeToString([]byte(strings.Repeat("noise without a mark, ", 60))))
			s.evidence.Webhooks = s.evidence.Webhooks[1:]
		}, kind: audit.ContentShown},
		"a file in a trigger": {scene: func(s *scene) {
			s.inbox[0].Value = triggerWith(s, "%PDF-1.4 and the rest of it")
			s.evidence.Webhooks = s.evidence.Webhooks[1:]
		}, kind: audit.ContentShown},
	}
}

func triggerWith(s *scene, reference string) []byte {
	value, err := schemas.EncodeTrigger(schemas.Trigger{ClientID: "SIMGWG01", CaseID: "X", ReferenceID: &reference, Source: schemas.SourceSweep, ReceivedAt: epoch})
	if err != nil {
		s.tb.Fatal(err)
	}
	return value
}

// recordPlants are the faults of records.
func recordPlants() map[string]plant {
	stored, pending := schemas.RecordsStateStored, schemas.RecordsStatePending
	inStore := func(edit func(*audit.StoredObject)) func(*scene) {
		return func(s *scene) {
			_, of := s.inState(stored)
			edit(s.object(&of.Event))
		}
	}
	isCompletion := func(e *schemas.StatusChanged) bool { return e.Completes != nil }
	return map[string]plant{
		"a reference without its object": {scene: func(s *scene) {
			_, of := s.inState(stored)
			gone := s.object(&of.Event).Location
			s.evidence.Inventory = slices.DeleteFunc(s.evidence.Inventory, func(o audit.StoredObject) bool { return o.Location == gone })
		}, kind: audit.BadReference},
		"an object of another size":       {scene: inStore(func(o *audit.StoredObject) { o.Size++ }), kind: audit.BadReference},
		"an object of another digest":     {scene: inStore(func(o *audit.StoredObject) { o.SHA256 = strings.Repeat("0", 64) }), kind: audit.BadReference},
		"an object of another media type": {scene: inStore(func(o *audit.StoredObject) { o.MediaType = "text/html" }), kind: audit.BadReference},
		"two references swapped": {after: once(storingTwo, func(_ *scene, e *schemas.StatusChanged) {
			var at []int
			for i := range e.Records {
				if e.Records[i].Reference != nil {
					at = append(at, i)
				}
			}
			a, b := &e.Records[at[0]], &e.Records[at[1]]
			a.RecordID, b.RecordID = b.RecordID, a.RecordID
		}), kind: audit.BadReference, several: true},
		"a record of which nothing is known": {scene: func(s *scene) {
			_, of := s.inState(stored)
			s.truthOf(s.object(&of.Event)).RecordID = "1"
		}, kind: audit.BadReference, several: true, also: audit.RecordLost},
		"a record that is left out": {after: once(storingTwo, func(_ *scene, e *schemas.StatusChanged) {
			for i := range e.Records {
				if m := &e.Records[i]; m.Reference != nil {
					m.Reference, m.SHA256, m.Size, m.MediaType = nil, nil, nil, nil
					return
				}
			}
		}), kind: audit.RecordLost},
		"a reference that is not whole": {after: once(storingTwo, func(_ *scene, e *schemas.StatusChanged) {
			for i := range e.Records {
				if e.Records[i].Reference != nil {
					e.Records[i].Size = nil
					return
				}
			}
		}), kind: audit.Mismatch},
		"a record that the class must not have": {scene: func(s *scene) {
			_, of := s.inState(stored)
			s.truthOf(s.object(&of.Event)).Forbidden = true
		}, kind: audit.Leaked},
		"an object that the class must not have": {scene: func(s *scene) { s.truthOf(s.orphan()).Forbidden = true }, kind: audit.Leaked},
		"an object of no record":                 {scene: func(s *scene) { s.orphan().SHA256 = strings.Repeat("0", 64) }, kind: audit.Invented},
		"a forbidden mark in an object":          {scene: func(s *scene) { s.orphan().Marks = []int{0} }, kind: audit.Leaked},
		"a canary in an object's metadata":       {scene: func(s *scene) { s.orphan().Metadata = map[string]string{"name": planted} }, kind: audit.Leaked},
		"a canary in an object's name": {scene: func(s *scene) {
			s.evidence.Inventory = append(s.evidence.Inventory, audit.StoredObject{Location: storeRoot + planted + ".pdf", Foreign: true})
		}, kind: audit.Leaked},
		"a secret in an object's metadata": {scene: func(s *scene) { s.orphan().Metadata = map[string]string{"by": plantedSecret} }, kind: audit.SecretShown},
		"an account that stores, and an event that says nothing of it": {after: once(finalOf("SIMTKG01"), func(_ *scene, e *schemas.StatusChanged) {
			e.RecordsState, e.Records = nil, nil
		}), kind: audit.Mismatch},
		"an account that stores nothing, and a recordsState": {after: once(finalOf("SIMEIDAS"), func(_ *scene, e *schemas.StatusChanged) {
			e.RecordsState = new(schemas.RecordsStateNone)
		}), kind: audit.Mismatch},
		"records that came for an event that had them": {scene: func(s *scene) {
			_, of := s.inState(stored)
			s.add(s.completion(of.Event))
		}, kind: audit.Invented},
		"records that came for no event": {scene: func(s *scene) {
			_, of := s.inState(stored)
			e := s.completion(of.Event)
			e.Completes = new(int64(99))
			s.add(e)
		}, kind: audit.Invented},
		"records that came twice": {scene: func(s *scene) {
			_, of := s.inState(pending)
			s.add(s.completion(of.Event))
		}, kind: audit.Doubled},
		"records that came with another state": {after: once(isCompletion, func(_ *scene, e *schemas.StatusChanged) {
			e.SubStatus = &schemas.StatusCode{Code: 99}
		}), kind: audit.Mismatch},
		"records that came and are still pending": {after: once(isCompletion, func(_ *scene, e *schemas.StatusChanged) {
			e.RecordsState = new(schemas.RecordsStatePending)
			for i := range e.Records {
				m := &e.Records[i]
				m.Reference, m.SHA256, m.Size, m.MediaType = nil, nil, nil, nil
			}
		}), scene: func(s *scene) {
			st, of := s.completing()
			s.restate(st, of, func(id *schemas.IdentificationState) {
				id.Outputs, id.RecordsPending = append(id.Outputs, schemas.OutputRecords), nil
			})
		}, kind: audit.Mismatch},
		"records that never came": {scene: func(s *scene) {
			_, of := s.completing()
			s.drop(of)
		}, kind: audit.Unfinished},
		"records that never came, and are forgotten": {scene: func(s *scene) {
			_, of := s.completing()
			s.drop(of)
			st, of := s.inState(pending)
			s.restate(st, of, func(id *schemas.IdentificationState) { id.RecordsPending = nil })
		}, kind: audit.StateDiffers, several: true},
		"a state that has records pending which are there": {scene: func(s *scene) {
			st, of := s.completing()
			s.restate(st, of, func(id *schemas.IdentificationState) {
				id.RecordsPending = &schemas.PendingRecords{Sequence: *of.Event.Completes, Since: epoch}
			})
		}, kind: audit.StateDiffers, also: audit.Unfinished},
		"a state that does not know of records": {scene: func(s *scene) {
			st, of := s.stepOf(func(e *schemas.StatusChanged, _ *step) bool { return finalOf("SIMTKG01")(e) })
			s.restate(st, of, func(id *schemas.IdentificationState) { id.Outputs = id.Outputs[:1] })
		}, kind: audit.StateDiffers},
	}
}

// drop removes the step of an event that is the last of its case.
func (s *scene) drop(of audit.Published) {
	s.steps[of.Partition] = slices.DeleteFunc(s.steps[of.Partition], func(st step) bool {
		return st.caseID != "" && string(st.event().Value) == string(of.Value)
	})
}

// Of a result that went out alone nothing but its event vouches, and one of an
// identification whose event has another id still belongs to it.
func TestJudgeTakesResultsThatCameLater(t *testing.T) {
	t.Parallel()
	for name, id := range map[string]string{"under its event's id": "", "under the id of today": "00000000-0000-5000-8000-999999999999"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSceneWith(t, plant{
				after: func(s *scene, e *schemas.StatusChanged) {
					if e.ClientID == "SIMSTD01" {
						s.result, e.ResultDigest = nil, nil
					}
				},
			})
			later := 0
			for _, p := range slices.Clone(s.topic.events) {
				e := p.Event
				if e.ClientID != "SIMSTD01" || e.StatusType != schemas.StatusTypeFinal {
					continue
				}
				if id != "" {
					e.EventID = id[:len(id)-2] + fmt.Sprintf("%02d", later)
				}
				s.editResult = func(r *schemas.IdentificationResult) { r.Sequence = nil }
				s.addResult(&e)
				s.result.Partition, s.result.Headers = p.Partition, slices.Clone(p.Headers)
				s.result.Headers[1].Value = []byte(e.EventID)
				ident := s.idents[e.CaseID]
				for i := range ident {
					if ident[i].Method == string(e.Method) && ident[i].Created.Equal(e.Identification.Created) {
						ident[i].Outputs = append(slices.Clone(ident[i].Outputs), schemas.OutputResult)
					}
				}
				last := p // the state that is written with the result says where the case stands
				for _, other := range s.topic.events {
					if other.Event.CaseID == e.CaseID {
						last = other
					}
				}
				s.steps[p.Partition] = append(s.steps[p.Partition], step{records: []*kgo.Record{s.result, s.caseState(last, nil)}})
				later++
			}
			if v := s.judge(); !v.Clean() || later == 0 {
				t.Errorf("%d results that came later: %v", later, v.Err())
			}
		})
	}
}
