package publish

import (
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"

	"postident-bridge/internal/claim"
	"postident-bridge/internal/counterpart"
	"postident-bridge/internal/scr"
	"postident-bridge/schemas"
)

// recordsState is the state in an event that has one.
func recordsState(t *testing.T, e *schemas.StatusChanged) schemas.RecordsState {
	t.Helper()
	if e.RecordsState == nil {
		t.Fatalf("event %d has no state of its records", e.Sequence)
	}
	return *e.RecordsState
}

// references are those of an event, by type of record.
func references(e *schemas.StatusChanged) map[string]schemas.RecordReference {
	all := make(map[string]schemas.RecordReference)
	for i := range e.Records {
		if ref, ok := e.Records[i].StoredAs(); ok {
			all[*e.Records[i].Type] = ref
		}
	}
	return all
}

// expectStored: an event names every record of its case, as it is.
func (s *shelfStage) expectStored(e *schemas.StatusChanged) {
	s.t.Helper()
	if state := recordsState(s.t, e); state != schemas.RecordsStateStored {
		s.t.Errorf("event %d: records %s", e.Sequence, state)
	}
	named := references(e)
	for _, kind := range s.kinds() {
		content := s.content(e.CaseID, kind)
		ref, ok := named[kind]
		if !ok || ref.Size != int64(len(content)) || ref.MediaType != "image/jpeg" {
			s.t.Errorf("record %s is %+v", kind, ref)
		}
	}
	for i := range e.Records {
		s.judgeReference(&e.Records[i])
	}
}

// expectPending: an event says that its records are late, and names none.
func expectPending(t *testing.T, e *schemas.StatusChanged) {
	t.Helper()
	if state := recordsState(t, e); state != schemas.RecordsStatePending || len(references(e)) > 0 {
		t.Errorf("event %d: records %s, %d references", e.Sequence, state, len(references(e)))
	}
}

// expectCompletes: an event brings the records of another, in the chain.
func (s *shelfStage) expectCompletes(e, of *schemas.StatusChanged) {
	s.t.Helper()
	if e.StatusType != schemas.StatusTypeRecordsAvailable || e.Completes == nil || *e.Completes != of.Sequence || e.EventID == of.EventID ||
		e.Status != of.Status || e.ResultDigest != nil {
		s.t.Errorf("event %+v", e)
	}
	s.expectStored(e)
}

// P6: records are in the store before their event, which and whose result name them.
func TestRecordsAreStoredBeforeTheirEvent(t *testing.T) {
	t.Parallel()
	onShelfStage(t, func(s *shelfStage) {
		s.start()
		id := caseName(1)
		s.show(id, 2)
		s.hook(id)
		events, results := s.told(id, 1, 1)
		s.expectStored(&events[0])
		if recordsState(t, &events[0]) != *results[0].RecordsState {
			t.Errorf("the result says %s", *results[0].RecordsState)
		}
		for i := range results[0].Records {
			m := &results[0].Records[i].Metadata
			if ref, ok := m.StoredAs(); !ok || ref.Location != references(&events[0])[*m.Type].Location {
				t.Errorf("the result names %+v", ref)
			}
		}
		if state := s.done(id); !slices.Equal(state.Identifications[0].Outputs, []schemas.Output{schemas.OutputStatus, schemas.OutputRecords, schemas.OutputResult}) {
			t.Errorf("outputs %v", state.Identifications[0].Outputs)
		}
		if n := s.binaryReads(id); n != 1 || len(s.objects()) != 2 {
			t.Errorf("%d reads with content, %d objects", n, len(s.objects()))
		}
	})
}

// Records without results: the event has references, and no digest.
func TestRecordsWithoutResults(t *testing.T) {
	t.Parallel()
	onShelfStage(t, func(s *shelfStage) {
		s.start(withoutResults)
		id := caseName(1)
		s.show(id, 1)
		s.hook(id)
		s.told(id, 1, 0)
		if n := s.binaryReads(id); n != 0 {
			t.Errorf("%d reads with content for a state that is not final", n)
		}
		s.show(id, 2)
		s.list(id, schemas.SourceSweep)
		events, _ := s.told(id, 2, 0)
		s.expectStored(&events[1])
		if events[1].ResultDigest != nil || events[0].RecordsState != nil {
			t.Errorf("events %+v", events)
		}
	})
}

// P7, guide 8.6.7: a class that may have no content asks for none.
func TestClassWithoutContentAsksForNone(t *testing.T) {
	t.Parallel()
	onShelfStage(t, func(s *shelfStage) {
		s.class = schemas.RegulatoryClassStandard
		s.start()
		s.away() // nobody minds
		id := caseName(1)
		s.show(id, 2)
		s.hook(id)
		events, _ := s.told(id, 1, 1)
		if recordsState(t, &events[0]) != schemas.RecordsStateNone || s.binaryReads(id) != 0 {
			t.Errorf("records %s, %d reads with content", *events[0].RecordsState, s.binaryReads(id))
		}
		s.back()
		if names := s.objects(); len(names) > 0 {
			t.Errorf("stored: %v", names)
		}
	})
}

// P7: of an answer that holds more than the class may have, no more is stored.
func TestContentThatTheClassMayNotHaveIsNotStored(t *testing.T) {
	t.Parallel()
	onShelfStage(t, func(s *shelfStage) {
		s.class = schemas.RegulatoryClassTKG // documents' images, no faces
		s.start()
		id := caseName(1)
		s.show(id, 2)
		s.hook(id)
		events, _ := s.told(id, 1, 1)
		named := references(&events[0])
		if _, ok := named["idfrontside"]; !ok || len(named) != 1 || len(events[0].Records) != 2 || len(s.objects()) != 1 {
			t.Errorf("named: %v, %d objects", named, len(s.objects()))
		}
	})
}

// P6, P8: while the store is away its cases wait, durably, and others go on. It comes
// back in time: one event, with everything.
func TestStoreComesBackInTime(t *testing.T) {
	t.Parallel()
	for _, restarts := range []bool{false, true} {
		t.Run(map[bool]string{false: "one process", true: "another process"}[restarts], func(t *testing.T) {
			t.Parallel()
			onShelfStage(t, func(s *shelfStage) {
				stop := s.start()
				s.away()
				id, other := caseName(1), caseName(2)
				s.show(id, 2)
				s.hook(id)
				slot := s.held(id)
				if slot.Reason != "records_store_refused" && slot.Reason != "records_store_unavailable" || slot.Faults != 0 {
					t.Errorf("slot %+v", slot)
				}
				s.show(other, 1)
				s.hook(other)
				s.told(other, 1, 0)
				s.told(id, 0, 0)
				first := slot.FirstFailed
				s.await("more attempts", func() bool { return s.state(id).Retry.Attempt >= 3 })
				if slot := s.held(id); !slot.FirstFailed.Equal(first) {
					t.Errorf("slot %+v, the first attempt failed at %s", slot, first)
				}
				if restarts {
					s.restart(stop)
				}
				s.back()
				events, _ := s.told(id, 1, 1)
				s.expectStored(&events[0])
				s.done(id)
				if at := events[0].ObservedAt; at.After(first.Add(testRecordsWait)) {
					t.Errorf("it waited until %s", at)
				}
			})
		})
	}
}

// P6: past RecordsWait the status event goes out, its result with it, and says that
// its records are late; an event of its own brings them.
func TestRecordsComeLate(t *testing.T) {
	counterpart.SkipUnderRace(t)
	t.Parallel()
	for _, tt := range []struct {
		name                string
		beforeWait, pending bool // a restart then
	}{{"one process", false, false}, {"restart while waiting", true, false}, {"restart while pending", false, true}, {"both", true, true}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			onShelfStage(t, func(s *shelfStage) {
				stop := s.start()
				s.away()
				id := caseName(1)
				s.show(id, 2)
				s.hook(id)
				first := s.held(id).FirstFailed
				if tt.beforeWait {
					s.pass(testRecordsWait / 2)
					stop = s.restart(stop)
				}
				events, results := s.told(id, 1, 1)
				expectPending(t, &events[0])
				if *results[0].RecordsState != schemas.RecordsStatePending {
					t.Errorf("the result says %s", *results[0].RecordsState)
				}
				// The last attempt is one of the longest pauses after the end, jitter included.
				if at := time.Now(); at.Before(first.Add(testRecordsWait)) || at.After(first.Add(testRecordsWait+2*testRecordsPauses[2])) {
					t.Errorf("told at %s, the first attempt failed at %s", at, first)
				}
				p := s.pending(id)
				if p.Sequence != events[0].Sequence || !p.Since.Equal(first) {
					t.Errorf("pending %+v", p)
				}
				if tt.pending {
					s.restart(stop)
				}
				s.await("more attempts", func() bool { return s.pending(id).Attempts > p.Attempts })
				s.told(id, 1, 1)
				s.back()
				events, _ = s.told(id, 2, 1)
				s.expectCompletes(&events[1], &events[0])
				if state := s.done(id); recordsDue(&state) {
					t.Errorf("state %+v", state.Identifications)
				}
				s.hook(id)
				s.pass(time.Minute)
				s.told(id, 2, 1)
			})
		})
	}
}

// pending is what a state says of records that are late.
func (s *shelfStage) pending(caseID string) *schemas.PendingRecords {
	s.t.Helper()
	s.held(caseID)
	p := s.state(caseID).Identifications[0].RecordsPending
	if p == nil {
		s.t.Fatal("no records are due")
	}
	return p
}

// Whatever goes wrong with the read of the content, its state is told in time, and
// its records once they can be had. It uses up no attempt of the case.
func TestContentThatCannotBeReadHoldsUpNoState(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		fault  error
		text   string // in place of the base64
		reason string
	}{
		{name: "not found", fault: &scr.NotYetError{}, reason: "records_api_not_found"},
		{name: "server error", fault: &scr.UnavailableError{Status: http.StatusInternalServerError}, reason: "records_api_server_error"},
		{name: "too large", fault: &scr.RejectedError{Reason: scr.RejectedTooLarge}, reason: "records_api_rejected_too_large"},
		{name: "not to be decrypted", fault: &scr.RejectedError{Reason: scr.RejectedDecrypt}, reason: "records_api_rejected_decrypt"},
		{name: "bad base64", text: "no base64!", reason: "records_content_reader"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			onShelfStage(t, func(s *shelfStage) {
				s.set(func(s *shelf) {
					s.fault = func(string, int) error { return tt.fault }
					if tt.text != "" {
						s.text["userface"] = tt.text
					}
				})
				s.start()
				id := caseName(1)
				s.show(id, 2)
				s.hook(id)
				if slot := s.held(id); slot.Reason != tt.reason || slot.Faults != 0 {
					t.Errorf("slot %+v, want reason %s", slot, tt.reason)
				}
				began := time.Now()
				events, _ := s.told(id, 1, 1)
				expectPending(t, &events[0])
				if took := time.Since(began); took > testRecordsWait+2*testRecordsPauses[2] {
					t.Errorf("told after %s", took)
				}
				s.set(func(s *shelf) { s.fault = nil; clear(s.text) })
				events, _ = s.told(id, 2, 1)
				s.expectCompletes(&events[1], &events[0])
				s.done(id)
				if letters := s.all(s.topics.DeadLetter); len(letters) > 0 {
					t.Errorf("%d dead letters", len(letters))
				}
			})
		})
	}
}

// A webhook that comes while records are waited for loses nothing: a state that is
// newer goes out, after the one before it, and takes its place.
func TestCorrectionWhileRecordsAreWaitedFor(t *testing.T) {
	t.Parallel()
	for _, late := range []bool{false, true} {
		for _, by := range []schemas.Source{schemas.SourceWebhook, schemas.SourceSweep} {
			t.Run(map[bool]string{false: "held, ", true: "late, "}[late]+string(by), func(t *testing.T) {
				t.Parallel()
				onShelfStage(t, func(s *shelfStage) {
					s.start()
					s.away()
					id := caseName(1)
					s.show(id, 2)
					s.hook(id)
					s.held(id)
					if late {
						s.told(id, 1, 1)
					}
					s.correct(id)
					if by == schemas.SourceWebhook {
						s.hook(id)
					} else {
						s.list(id, by)
					}
					s.pass(testRecordsPauses[0])
					s.back()
					if !late {
						told, _ := s.told(id, 1, 1)
						if told[0].Status != schemas.StatusDeclined {
							t.Errorf("the event is %+v", told[0])
						}
						s.expectStored(&told[0])
						s.done(id)
						return
					}
					// What is late waits no longer for a state of its own: the store has been away
					// for all that time. No event completes the first.
					told, _ := s.told(id, 3, 2)
					if told[1].Status != schemas.StatusDeclined {
						t.Errorf("the second event is %+v", told[1])
					}
					expectPending(t, &told[1])
					s.expectCompletes(&told[2], &told[1])
					if state := s.done(id); recordsDue(&state) {
						t.Errorf("state %+v", state.Identifications)
					}
				})
			})
		}
	}
}

// A look that a change asks for does not wait for the pause of those that wait for
// records: a hook looks at once, a list hastens the slot.
func TestNewStateHastensTheWait(t *testing.T) {
	t.Parallel()
	for _, by := range []schemas.Source{schemas.SourceWebhook, schemas.SourceSweep} {
		t.Run(string(by), func(t *testing.T) {
			t.Parallel()
			onShelfStage(t, func(s *shelfStage) {
				s.start(func(cfg *Config) {
					cfg.retry.Records = []time.Duration{time.Hour}
					cfg.RecordsWait = 2 * time.Hour
				})
				s.away()
				id := caseName(1)
				s.show(id, 2)
				s.hook(id)
				s.held(id)
				s.back()
				s.correct(id)
				began := time.Now()
				if by == schemas.SourceWebhook {
					s.hook(id)
				} else {
					s.list(id, by)
				}
				events, _ := s.told(id, 1, 1)
				s.expectStored(&events[0])
				if took := time.Since(began); took > 5*time.Second {
					t.Errorf("told after %s", took)
				}
				s.done(id)
			})
		})
	}
}

// A hook that tells nothing new brings the records that are late, if they can be had.
func TestHookBringsLateRecords(t *testing.T) {
	t.Parallel()
	onShelfStage(t, func(s *shelfStage) {
		s.start(func(cfg *Config) {
			cfg.retry.Records = append(slices.Repeat([]time.Duration{5 * time.Second}, 5), 10*time.Hour)
		})
		s.away()
		id := caseName(1)
		s.show(id, 2)
		s.hook(id)
		s.told(id, 1, 1)
		s.await("the long pause", func() bool { return s.held(id).NotBefore.After(time.Now().Add(time.Hour)) })
		s.back()
		// It came before the last read, which saw all that it tells of.
		s.trigger(schemas.Trigger{ClientID: testClient, CaseID: id, Source: schemas.SourceWebhook, ReceivedAt: time.Now().Add(-time.Hour)})
		events, _ := s.told(id, 2, 1)
		s.expectCompletes(&events[1], &events[0])
		s.done(id)
	})
}

// An answer that is older than one before it hides nothing: neither the second read's
// nor that of a look for the records.
func TestStaleAnswerHidesNothing(t *testing.T) {
	t.Parallel()
	stale := func(c scr.Case) scr.Case {
		c.Status.Status, c.Status.Modified = scr.CaseInProgress, epoch.Add(time.Minute)
		c.Identifications = slices.Clone(c.Identifications)
		c.Identifications[0].Status, c.Identifications[0].Modified = scr.StatusReviewPending, epoch.Add(time.Minute)
		return c
	}
	t.Run("of the second read", func(t *testing.T) {
		t.Parallel()
		onShelfStage(t, func(s *shelfStage) {
			s.set(func(s *shelf) {
				s.answer = func(_ string, attempt int, c scr.Case) scr.Case {
					if attempt == 1 {
						return stale(c)
					}
					return c
				}
			})
			s.start()
			id := caseName(1)
			s.show(id, 1)
			s.hook(id)
			s.told(id, 1, 0)
			s.show(id, 2)
			s.hook(id)
			if slot := s.held(id); slot.Reason != reasonStale {
				t.Errorf("slot %+v", slot)
			}
			events, _ := s.told(id, 2, 1)
			s.expectStored(&events[1])
			s.done(id)
		})
	})
	t.Run("of the next look", func(t *testing.T) {
		t.Parallel()
		onShelfStage(t, func(s *shelfStage) {
			s.start()
			id := caseName(1)
			s.show(id, 1)
			s.hook(id)
			s.told(id, 1, 0)
			s.done(id)
			s.away()
			s.show(id, 2)
			s.hook(id)
			s.held(id)
			s.show(id, 1)
			s.await("another wait", func() bool { r := s.state(id).Retry; return r != nil && !waitsForRecords(r) })
			s.show(id, 2)
			s.back()
			events, _ := s.told(id, 2, 1)
			s.expectStored(&events[1])
			s.done(id)
		})
	})
}

// RecordsAtOnce bounds the reads with content of the process, and cases without
// records pass those that wait for their turn (P8).
func TestRecordsAtOnce(t *testing.T) {
	t.Parallel()
	onShelfStage(t, func(s *shelfStage) {
		hold := make(chan struct{})
		s.set(func(s *shelf) { s.hold = hold })
		s.start(func(cfg *Config) { cfg.RecordsAtOnce, cfg.RecordsDeadline = 2, time.Minute })
		const cases = 3 * maxRunning
		for i := range cases {
			s.show(caseName(i), 2)
			s.hookAsync(caseName(i))
		}
		other := "OTHERCASE"
		s.show(other, 1)
		s.hook(other)
		s.told(other, 1, 0)
		s.set(func(s *shelf) { s.hold = nil })
		close(hold)
		s.await("all events", func() bool { return len(s.all(s.topics.Status)) >= cases+1 })
		s.judgeResults()
		s.set(func(s *shelf) {
			if s.most != 2 {
				t.Errorf("%d reads with content at a time", s.most)
			}
		})
	})
}

// RecordsDeadline ends a read with content that does not end, and the case is told of
// in time.
func TestRecordsDeadline(t *testing.T) {
	t.Parallel()
	onShelfStage(t, func(s *shelfStage) {
		hold := make(chan struct{})
		s.set(func(s *shelf) { s.hold = hold })
		s.start()
		id := caseName(1)
		s.show(id, 2)
		s.hook(id)
		if slot := s.held(id); slot.Reason != "records_api_timeout" {
			t.Errorf("slot %+v", slot)
		}
		events, _ := s.told(id, 1, 1)
		expectPending(t, &events[0])
		s.set(func(s *shelf) { s.hold = nil })
		close(hold)
		events, _ = s.told(id, 2, 1)
		s.expectCompletes(&events[1], &events[0])
		s.done(id)
	})
}

// An account whose records are turned off while they are late asks for them no more,
// and gets them when they are on again.
func TestRecordsTurnedOffWhileLate(t *testing.T) {
	counterpart.SkipUnderRace(t)
	t.Parallel()
	onShelfStage(t, func(s *shelfStage) {
		stop := s.start()
		s.away()
		id := caseName(1)
		s.show(id, 2)
		s.hook(id)
		s.told(id, 1, 1)
		s.held(id)
		stop = s.restart(stop, withoutRecords)
		s.done(id)
		s.told(id, 1, 1)
		s.back()
		s.restart(stop)
		s.list(id, schemas.SourceSweep)
		events, _ := s.told(id, 2, 1)
		s.expectCompletes(&events[1], &events[0])
	})
}

func TestRecordsReason(t *testing.T) {
	t.Parallel()
	for want, err := range map[string]error{
		"records_busy":                   errRecordsBusy,
		"records_unread":                 errRecordsUnread,
		"records_stale":                  errRecordsStale,
		"records_held_back":              errBlocked,
		"records_store_refused":          &claim.RefusedError{Op: "put object"},
		"records_store_unavailable":      &claim.UnavailableError{Op: "put object"},
		"records_content_identity":       &claim.ContentError{Reason: claim.ContentIdentity},
		"records_content_reader":         errors.Join(nil, &claim.ContentError{Reason: claim.ContentReader, Err: &scr.ContentError{}}),
		"records_conflict":               &claim.ConflictError{},
		"records_api_server_error":       &scr.UnavailableError{Status: http.StatusBadGateway},
		"records_api_rejected_too_large": &scr.RejectedError{Reason: scr.RejectedTooLarge},
		"records_api_internal":           errors.New("anything at all"),
	} {
		if got := recordsReason(err); got != want {
			t.Errorf("%v is %s, want %s", err, got, want)
		}
		f := failureOf(&recordsError{reason: recordsReason(err), Err: err})
		if !f.records || f.accountDown || f.reason != want {
			t.Errorf("%v is failure %+v", err, f)
		}
	}
}

// What the API names and does not give is counted, and waited for by nobody.
func TestWithoutContent(t *testing.T) {
	t.Parallel()
	created := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	face, pdf := scr.Record{ID: "1", Type: "userface"}, scr.Record{ID: "2", Type: "result"}
	of := func(status string, records ...scr.Record) scr.Case {
		return scr.Case{Identifications: []scr.Identification{{Method: scr.MethodVideo, Status: status, Created: created, Records: records}}}
	}
	key := func(r scr.Record) recordKey {
		return recordKey{method: scr.MethodVideo, created: created.UnixMilli(), record: r}
	}
	for _, tt := range []struct {
		name  string
		shown scr.Case
		class schemas.RegulatoryClass
		given []scr.Record
		want  int
	}{
		{"all is there", of(scr.StatusSuccess, face, pdf), schemas.RegulatoryClassGwG, []scr.Record{face, pdf}, 0},
		{"the PDF comes later, or by SFTP", of(scr.StatusSuccess, face, pdf), schemas.RegulatoryClassGwG, []scr.Record{face}, 1},
		{"nothing is there", of(scr.StatusSuccess, face, pdf), schemas.RegulatoryClassGwG, nil, 2},
		{"the class may not have the image", of(scr.StatusSuccess, face), schemas.RegulatoryClassEIDAS, nil, 0},
		{"not final yet", of(scr.StatusReviewPending, face, pdf), schemas.RegulatoryClassGwG, nil, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			references := make(map[recordKey]schemas.RecordReference)
			for _, r := range tt.given {
				references[key(r)] = schemas.RecordReference{}
			}
			if got := withoutContent(tt.shown, tt.class, references); got != tt.want {
				t.Errorf("%d, want %d", got, tt.want)
			}
		})
	}
}
