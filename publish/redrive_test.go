package publish

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/internal/scr"
	"postident-bridge/schemas"
)

// redrive puts the trigger of an operator's redrive into the inbox.
func (s *stage) redrive(caseID string, headers ...kgo.RecordHeader) {
	s.t.Helper()
	value, err := schemas.EncodeTrigger(schemas.Trigger{ClientID: testClient, CaseID: caseID, Source: schemas.SourceRedrive, ReceivedAt: time.Now()})
	if err != nil {
		s.t.Fatal(err)
	}
	s.produce(&kgo.Record{Topic: s.topics.Inbox, Key: []byte(caseID), Value: value, Headers: headers})
}

// state waits until the newest state of a case is as it should be.
func (s *stage) state(caseID string, right func(*schemas.CaseState) bool) {
	s.t.Helper()
	s.read(s.topics.CaseState, func(recs []*kgo.Record) bool {
		last := newest(recs, stateKey(testClient, caseID))
		if last == nil || last.Value == nil {
			return false
		}
		state, err := schemas.DecodeCaseState(last.Value)
		return err == nil && right(&state)
	})
}

// notFound lets the API answer 404 for as long as the returned switch is on.
func (s *stage) notFound() (off func()) {
	s.source.setFault(func(string, int) error { return &scr.NotYetError{} })
	return func() { s.source.setFault(nil) }
}

// A case that is marked as dead-lettered is looked at when it is redriven; the
// mark goes with the first good read. One that fails again keeps the mark and
// gets attempts of its own.
func TestRedriveOfADeadLetteredCase(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.run(s.config())
	s.source.show(caseName(1), 1)
	s.hook(caseName(1))
	s.events(1)
	s.source.show(caseName(1), 2)
	off := s.notFound()
	s.hook(caseName(1))
	marked := func(state *schemas.CaseState) bool { return state.DeadLettered != nil && state.Retry == nil }
	s.state(caseName(1), marked)

	s.redrive(caseName(1))
	letters := s.read(s.topics.DeadLetter, count(2)) // it failed again
	if trigger, err := schemas.DecodeTrigger(letters[1].Value); err != nil || trigger.Source != schemas.SourceRedrive {
		t.Errorf("the second letter is of a %s, %v", trigger.Source, err)
	}
	s.state(caseName(1), marked)
	off()
	s.redrive(caseName(1))
	if events := s.events(2)[caseName(1)]; len(events) != 2 || events[1].ObservedBy != schemas.SourceRedrive {
		t.Errorf("%d events", len(events))
	}
	s.state(caseName(1), func(state *schemas.CaseState) bool { return state.DeadLettered == nil && state.Retry == nil })
}

// A case that waits for its next attempt is looked at when it is redriven, and
// does not wait any more.
func TestRedriveOfAWaitingCase(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	cfg := s.config()
	cfg.retry.Faults = []time.Duration{time.Hour}
	s.run(cfg)
	off := s.notFound()
	s.source.show(caseName(1), 2)
	s.hook(caseName(1))
	s.state(caseName(1), func(state *schemas.CaseState) bool {
		return state.Retry != nil && state.Retry.Kind == schemas.RetryFault
	})
	s.redrive(caseName(1)) // which fails: the slot stays as it is
	s.awaitReads(caseName(1), 2)
	off()
	s.redrive(caseName(1))
	s.events(1)
	s.state(caseName(1), func(state *schemas.CaseState) bool { return state.Sequence == 1 && state.Retry == nil })
}

// A redrive does not ask an account that is held back for its credentials, because
// accounts lock: the case stays parked.
func TestRedriveOfAParkedCaseWaitsForItsAccount(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	_, stop := s.run(s.config())
	s.source.setFault(func(string, int) error { return &scr.UnauthorisedError{Status: 401} })
	s.source.show(caseName(1), 1)
	s.hook(caseName(1))
	parked := func(state *schemas.CaseState) bool {
		return state.Retry != nil && state.Retry.Kind == schemas.RetryParked
	}
	s.state(caseName(1), parked)
	before := s.readsOf(caseName(1))
	s.redrive(caseName(1))
	s.awaitPositionPast(partitionOf(caseName(1), testPartitions))
	s.state(caseName(1), parked)
	if got := s.readsOf(caseName(1)); got != before {
		t.Errorf("%d reads more with refused credentials", got-before)
	}
	s.source.setFault(nil)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	s.run(s.config()) // with the right password
	s.events(1)
}

// The letter of a redriven trigger that goes there at once says which letter it was
// redriven from, and where it stood itself.
func TestLetterOfARedrivenTriggerNamesItsFirstLetter(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	cfg := s.config()
	cfg.Accounts[0].ClientID = "OTHERCLN"
	s.run(cfg)
	s.redrive(caseName(1), kgo.RecordHeader{Key: schemas.HeaderRedriveOffset, Value: []byte("1024")})
	letter := s.read(s.topics.DeadLetter, count(1))[0]
	if header(letter, schemas.HeaderRedriveOffset) != "1024" || header(letter, "postident.error.reason") != "unknown_account" ||
		header(letter, "__connect.errors.offset") != "0" {
		t.Errorf("headers %v", letter.Headers)
	}
}
