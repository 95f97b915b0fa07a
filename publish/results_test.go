package publish

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/internal/observation"
	"postident-bridge/internal/scr"
	"postident-bridge/schemas"
)

// list puts what a list shows of a case now into the inbox.
func (s *shelfStage) list(caseID string, by schemas.Source) {
	s.t.Helper()
	now := time.Now()
	s.source.mu.Lock()
	seen := observation.Of(s.cases[caseID], now)
	s.source.mu.Unlock()
	s.trigger(schemas.Trigger{ClientID: testClient, CaseID: caseID, Source: by, ReceivedAt: now, Observation: &seen})
}

// A final status has its result in its own transaction, and no other status has one.
func TestResultGoesOutWithItsFinalStatus(t *testing.T) {
	t.Parallel()
	onShelfStage(t, func(s *shelfStage) {
		s.start(withoutRecords)
		id := caseName(1)
		s.show(id, 1)
		s.hook(id)
		s.told(id, 1, 0)
		s.show(id, 2)
		s.hook(id)
		events, results := s.told(id, 2, 1)
		final, r := events[1], results[0]
		if final.ResultDigest == nil || events[0].ResultDigest != nil || final.RecordsState != nil || r.RecordsState != nil {
			t.Errorf("event %+v, result %+v", final, r)
		}
		if r.ContactData == nil || *r.ContactData.FirstName.Value != "Erika" || *r.ContactData.FirstName.Status != schemas.ResultStatusNew ||
			*r.IdentificationDocument.FirstName.Status != schemas.ResultStatusMatch || *r.OrderData.CustomData.Custom1 != "typed by somebody" {
			t.Errorf("result %+v", r)
		}
		if len(r.Records) != 2 || len(final.Records) != 2 {
			t.Errorf("%d records in the result, %d in the event", len(r.Records), len(final.Records))
		}
		if n := s.binaryReads(id); n != 0 {
			t.Errorf("%d reads with content of an account without records", n)
		}
	})
}

// P5: what is personal stands in the topic for results, and in no other.
func TestPersonalDataStandsInResultsOnly(t *testing.T) {
	t.Parallel()
	onShelfStage(t, func(s *shelfStage) {
		s.set(func(s *shelf) { s.first = "CANARYNAME" })
		s.start()
		id := caseName(1)
		s.show(id, 2)
		s.hook(id)
		s.told(id, 1, 1)
		s.done(id)
		for _, topic := range []string{s.topics.Inbox, s.topics.CaseState, s.topics.Status, s.topics.DeadLetter, s.topics.Result} {
			found := slices.ContainsFunc(s.all(topic), func(rec *kgo.Record) bool { return strings.Contains(string(rec.Value), "CANARYNAME") })
			if found != (topic == s.topics.Result) {
				t.Errorf("%s: the name is there: %t", topic, found)
			}
		}
	})
}

// A list that shows a final state has it read, for a list brings no results.
func TestListThatShowsAFinalStateHasItRead(t *testing.T) {
	t.Parallel()
	for _, by := range []schemas.Source{schemas.SourceSweep, schemas.SourceBackfill} {
		t.Run(string(by), func(t *testing.T) {
			t.Parallel()
			onShelfStage(t, func(s *shelfStage) {
				s.start()
				id := caseName(1)
				s.show(id, 1)
				s.list(id, by)
				s.told(id, 1, 0)
				if n := s.readsOf(id); n != 0 {
					t.Errorf("%d reads for a state that is not final", n)
				}
				s.show(id, 2)
				s.list(id, by)
				events, _ := s.told(id, 2, 1)
				if *events[1].RecordsState != schemas.RecordsStateStored || events[1].ObservedBy != by {
					t.Errorf("event %+v", events[1])
				}
			})
		})
	}
}

// An account that wants results only since then gets those of old cases: by the next
// read or backfill, alone, once. A sweep does not bring them.
func TestResultsTurnedOnLater(t *testing.T) {
	t.Parallel()
	onShelfStage(t, func(s *shelfStage) {
		stop := s.start(withoutRecords, withoutResults)
		swept, filled, hooked := caseName(1), caseName(2), caseName(3)
		for _, id := range []string{swept, filled, hooked} {
			s.show(id, 2)
			s.hook(id)
			s.told(id, 1, 0)
			s.done(id)
		}
		stop = s.restart(stop)
		s.list(swept, schemas.SourceSweep)
		s.list(filled, schemas.SourceBackfill)
		s.hook(hooked)
		events, results := s.toldEventually(filled, 1, 1)
		r := results[0]
		if r.Sequence != nil || r.EventID != events[0].EventID || events[0].ResultDigest != nil || *r.RecordsState != schemas.RecordsStateStored {
			t.Errorf("result %+v of event %+v", r, events[0])
		}
		for i := range r.Records {
			if _, ok := r.Records[i].Metadata.StoredAs(); !ok {
				t.Error("a record has no reference")
			}
			s.judgeReference(&r.Records[i].Metadata)
		}
		s.toldEventually(hooked, 1, 1)
		s.told(swept, 1, 0)
		for _, id := range []string{filled, hooked, swept} {
			s.list(id, schemas.SourceBackfill)
		}
		s.toldEventually(swept, 1, 1)
		s.restart(stop)
		s.hook(filled)
		s.list(hooked, schemas.SourceBackfill)
		s.pass(time.Minute)
		s.told(filled, 1, 1)
		s.told(hooked, 1, 1)
	})
}

// toldEventually is told, for results that come without an event to wait for.
func (s *shelfStage) toldEventually(caseID string, events, results int) ([]schemas.StatusChanged, []schemas.IdentificationResult) {
	s.t.Helper()
	s.await("results", func() bool {
		return len(slices.DeleteFunc(s.results(), func(r shelved) bool { return r.value.CaseID != caseID })) >= results
	})
	return s.told(caseID, events, results)
}

// A partner's account has no results: its cases are read as before, whatever the
// others of the process do.
func TestAccountWithoutResultsIsAsBefore(t *testing.T) {
	t.Parallel()
	onShelfStage(t, func(s *shelfStage) {
		other := newSource()
		s.start(func(cfg *Config) {
			cfg.Accounts = append(cfg.Accounts, Account{ClientID: "PARTNER1", RegulatoryClass: schemas.RegulatoryClassTKG, Read: other.read})
		})
		s.away()
		id := caseName(1)
		other.show(id, 2)
		s.trigger(schemas.Trigger{ClientID: "PARTNER1", CaseID: id, Source: schemas.SourceWebhook, ReceivedAt: time.Now()})
		events, _ := s.told(id, 1, 0)
		if events[0].ResultDigest != nil || events[0].RecordsState != nil {
			t.Errorf("event %+v", events[0])
		}
		s.back()
	})
}

// A result that does not fit into a record leaves its status event, once and for all.
func TestResultTooLargeLeavesItsStatusEvent(t *testing.T) {
	t.Parallel()
	onShelfStage(t, func(s *shelfStage) {
		stop := s.start(withoutRecords)
		id := caseName(1)
		s.show(id, 2)
		s.set(func(s *shelf) { s.large = true })
		s.hook(id)
		events, _ := s.told(id, 1, 0)
		if events[0].ResultDigest != nil {
			t.Error("it has the digest of a result that is not there")
		}
		s.done(id)
		s.restart(stop, withoutRecords)
		s.list(id, schemas.SourceBackfill)
		s.pass(time.Minute)
		s.told(id, 1, 0)
	})
}

// A correction after a final state gives a result of its own.
func TestCorrectionHasAResultOfItsOwn(t *testing.T) {
	t.Parallel()
	onShelfStage(t, func(s *shelfStage) {
		s.start()
		id := caseName(1)
		s.show(id, 2)
		s.hook(id)
		s.told(id, 1, 1)
		s.correct(id)
		s.set(func(s *shelf) { s.first = "Monika" })
		s.hook(id)
		events, results := s.told(id, 2, 2)
		if *events[1].Anomaly != schemas.AnomalyAfterFinal || *results[1].ContactData.FirstName.Value != "Monika" || *results[1].Anomaly != schemas.AnomalyAfterFinal {
			t.Errorf("event %+v", events[1])
		}
		if *events[1].RecordsState != schemas.RecordsStateStored || len(s.objects()) != 2 {
			t.Errorf("records %s, %d objects", *events[1].RecordsState, len(s.objects()))
		}
	})
}

// correct has the case's final state replaced by another one.
func (s *shelfStage) correct(caseID string) {
	s.source.mu.Lock()
	defer s.source.mu.Unlock()
	c := s.cases[caseID]
	c.Identifications = slices.Clone(c.Identifications)
	i := &c.Identifications[0]
	i.Status, i.Modified = scr.StatusDeclined, i.Modified.Add(time.Hour)
	c.Status.Modified = i.Modified
	s.cases[caseID] = c
}

// P4: a case whose result or records are not out is not archived.
func TestWhatIsOwedIsNotArchived(t *testing.T) {
	t.Parallel()
	onShelfStage(t, func(s *shelfStage) {
		stop := s.start(withoutRecords, withoutResults)
		resultless, pending := caseName(1), caseName(2)
		s.show(resultless, 2)
		s.hook(resultless)
		s.told(resultless, 1, 0)
		s.done(resultless)
		var a archive
		const after = time.Minute // the store is asked all the time, which costs computing time
		s.restart(stop, a.on, func(cfg *Config) { cfg.ArchiveAfter = after })
		s.away()
		s.show(pending, 2)
		s.hook(pending)
		s.told(pending, 1, 1)
		s.pass(3 * after)
		if n, cases := a.requests(); n != 0 {
			t.Fatalf("archived: %v", cases)
		}
		s.back()
		s.list(resultless, schemas.SourceBackfill)
		s.toldEventually(resultless, 1, 1)
		s.told(pending, 2, 1)
		s.pass(3 * after)
		if _, cases := a.requests(); !slices.Equal(cases, []string{resultless, pending}) {
			t.Errorf("archived: %v", cases)
		}
	})
}

// Nothing is archived that owes a result or records to an account that wants them.
func TestArchivableAsksForResultsAndRecords(t *testing.T) {
	t.Parallel()
	state := func(pending *schemas.PendingRecords, outputs ...schemas.Output) *schemas.CaseState {
		return &schemas.CaseState{CaseStatus: scr.CaseClosed, Sequence: 1, Identifications: []schemas.IdentificationState{{
			Method: scr.MethodVideo, Status: scr.StatusSuccess, Outputs: append([]schemas.Output{schemas.OutputStatus}, outputs...), RecordsPending: pending,
		}}}
	}
	due := &schemas.PendingRecords{Sequence: 1}
	for name, tt := range map[string]struct {
		state *schemas.CaseState
		rules rules
		want  bool
	}{
		"no result, none wanted":     {state(nil), rules{Records: true}, true},
		"no result":                  {state(nil), rules{Results: true}, false},
		"a result":                   {state(nil, schemas.OutputResult), rules{Results: true, Records: true}, true},
		"records due":                {state(due, schemas.OutputResult), rules{Results: true, Records: true}, false},
		"records due, none wanted":   {state(due, schemas.OutputResult), rules{Results: true}, true},
		"a result, records not kept": {state(nil, schemas.OutputResult, schemas.OutputRecords), rules{Results: true}, true},
	} {
		if got := archivable(tt.state, tt.rules); got != tt.want {
			t.Errorf("%s: archivable %t", name, got)
		}
	}
}
