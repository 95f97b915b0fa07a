package publish

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"

	"postident-bridge/internal/observation"
	"postident-bridge/internal/scr"
	"postident-bridge/schemas"
)

// P8: a state that is too large for its topic is the case's fault, and stops
// nothing else.
func TestStateThatIsTooLargeStopsNothing(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	ids := inPartition(0, 2)
	s.source.show(ids[0], 1)
	s.source.mu.Lock()
	c := s.source.cases[ids[0]]
	c.Identifications[0].Status = strings.Repeat("a", schemas.MaxBytes/2+1)
	second := c.Identifications[0]
	second.Created = epoch.Add(time.Hour)
	second.Modified = second.Created
	c.Identifications = append(c.Identifications, second) // each event fits, the state does not
	s.source.cases[ids[0]] = c
	s.source.mu.Unlock()
	s.source.show(ids[1], 1)
	s.run(s.config())
	s.hook(ids[0])
	s.hook(ids[1])
	s.events(1)
	if letter := s.read(s.topics.DeadLetter, count(1))[0]; string(letter.Key) != ids[0] || header(letter, "postident.error.reason") != reasonRefused {
		t.Errorf("letter of %s for %s", letter.Key, header(letter, "postident.error.reason"))
	}
}

// P4: what a list shows of a case that waits to be looked at again is looked at
// now. The slot is not due for an hour, and another change would hide this one.
func TestListHastensARecheck(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	cfg := s.config()
	cfg.retry.Rechecks = []time.Duration{time.Hour, time.Hour, time.Hour}
	id := inPartition(0, 1)[0]
	s.source.show(id, 1)
	s.run(cfg)
	s.hook(id)
	s.events(1)
	s.hook(id) // tells nothing new: the case waits for an hour
	s.awaitRetry(id)
	s.source.show(id, 2)
	seen := observation.Of(s.source.cases[id], time.Now())
	s.trigger(schemas.Trigger{ClientID: testClient, CaseID: id, Source: schemas.SourceSweep, ReceivedAt: time.Now(), Observation: &seen})
	if events := s.events(2)[id]; events[1].Status != schemas.StatusSuccess {
		t.Errorf("the second event is %s", events[1].Status)
	}
}

// P8: however many hooks wait behind a read that hangs, other cases go on.
func TestHooksOfOneHangingCaseDoNotStopTheOthers(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	cfg := s.config()
	ids := inPartition(0, 2)
	read := cfg.Accounts[0].Read
	cfg.Accounts[0].Read = func(ctx context.Context, caseID string) (scr.Case, error) {
		if caseID == ids[0] {
			<-ctx.Done()
			return scr.Case{}, ctx.Err()
		}
		return read(ctx, caseID)
	}
	cfg.ReadDeadline = time.Hour
	s.source.show(ids[1], 1)
	for range maxOutstanding + maxPoll + 10 {
		s.hookAsync(ids[0])
	}
	if err := s.client.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.hook(ids[1])
	s.run(cfg)
	s.events(1)
}

// Design 2: what a list has shown does not answer for the hook that a slot
// stands for.
func TestObservationEndsNoSlot(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	cfg := s.config()
	cfg.retry.Faults = []time.Duration{time.Hour}
	id := caseName(1)
	s.run(cfg)
	s.hook(id) // 404: a slot waits
	s.awaitRetry(id)
	s.source.show(id, 2)
	modified := epoch.Add(time.Minute)
	s.trigger(schemas.Trigger{
		ClientID: testClient, CaseID: id, Source: schemas.SourceRedrive, ReceivedAt: time.Now(),
		Observation: &schemas.Observation{
			ObservedAt: epoch.Add(time.Hour), CaseStatus: scr.CaseInProgress, Created: epoch, Modified: modified,
			Identifications: []schemas.ObservedIdentification{{
				Method: scr.MethodVideo, Primary: true, Status: scr.StatusReviewPending, Created: epoch, Modified: modified,
			}},
		},
	})
	s.awaitReads(id, 2)
}

// Design 2: a hook whose own look fails once is owed rechecks of its own, though
// the slot that it finds has only one left.
func TestHookBesideTheLastRecheckHasItsOwn(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	cfg := s.config()
	cfg.retry.Rechecks = []time.Duration{time.Millisecond, 300 * time.Millisecond}
	id := caseName(1)
	s.source.show(id, 0)
	s.source.setFault(func(_ string, attempt int) error {
		if attempt == 3 {
			return &scr.UnavailableError{Status: 503} // the second hook's own look
		}
		return nil
	})
	beforeRead(cfg, func(n int) {
		if n == 6 {
			s.source.show(id, 1) // it takes the API that long to show it
		}
	})
	s.run(cfg)
	s.hook(id)
	s.awaitRecheck(id, 2)
	s.hook(id)
	s.events(1)
}

// A refusal of the producer's clock names no record: nobody's case is to blame.
func TestRefusalsThatNameTheRecord(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]bool{
		kerr.MessageTooLarge: true, kerr.RecordListTooLarge: true, kerr.InvalidRecord: true, kerr.PolicyViolation: true,
		kerr.InvalidTimestamp: false, kerr.TopicAuthorizationFailed: false, kerr.InvalidProducerEpoch: false,
	} {
		if got := refusesRecord(err); got != want {
			t.Errorf("%v: %t", err, got)
		}
	}
}

// Batches that shrank after a refusal grow again with what is committed.
func TestBatchesGrowAgain(t *testing.T) {
	t.Parallel()
	var s suspects
	refusal := &recordRefusedError{Topic: "status", Err: kerr.MessageTooLarge}
	s.blame(refusal, &batch{looked: []string{"a", "b"}}, "letters", epoch)
	s.begin(epoch)
	s.passed(epoch)
	if got := s.batch(epoch); got != 1 {
		t.Errorf("in the careful time %d cases a transaction", got)
	}
	later := epoch.Add(carefulFor)
	if got := s.batch(later); got != 1 {
		t.Errorf("after it %d, nothing was committed since", got)
	}
	doublings := 0
	for ; s.batch(later) < maxBatch && doublings < 100; doublings++ {
		s.passed(later)
	}
	if doublings != 10 { // to 1,024
		t.Errorf("%d cases a transaction after %d of them", s.batch(later), doublings)
	}
}

// P5: what anybody wrote into a trigger does not go out as a header.
func TestTraceparentIsOneOrNone(t *testing.T) {
	t.Parallel()
	const good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	for text, want := range map[string]string{good: good, "a name": "", "": "", good + " and a name": "", "00-" + good: ""} {
		if got := validTraceparent(&text); got != want {
			t.Errorf("%q gives %q", text, got)
		}
	}
	if got := validTraceparent(nil); got != "" {
		t.Errorf("none gives %q", got)
	}
}

// P8: a waiting trigger that could not be looked up is not given up, though its
// case is refused.
func TestLookUpOfARefusedCaseIsRepeated(t *testing.T) {
	t.Parallel()
	key := stateKey("A", "C1")
	tab := newTable(func([]byte) bool { return true })
	value, err := schemas.EncodeCaseState(schemas.CaseState{ClientID: "A", CaseID: "C1", UpdatedAt: epoch, Retry: &schemas.Retry{
		Kind: schemas.RetryParked, NotBefore: epoch, FirstFailed: epoch, Offset: 41, Trigger: []byte("the webhook"),
	}})
	if err == nil {
		err = tab.put([]byte(key), value, 7)
	}
	if err != nil {
		t.Fatal(err)
	}
	s := newStage(t)
	cfg := s.config()
	w := &worker{
		table: tab, log: cfg.Logger, p: &Publisher{cfg: Config{Now: time.Now}},
		hold: &suspects{refused: map[string]time.Time{key: time.Now().Add(time.Hour)}},
	}
	var b batch
	w.settle(t.Context(), &b, result{job: job{key: key, slot: true}, err: &lookupError{Err: errors.New("no leader")}})
	if len(b.letters)+len(b.states) > 0 || !w.table.waiting(key) || w.table.nextDue().IsZero() {
		t.Errorf("%d letters, %d states, due %s", len(b.letters), len(b.states), w.table.nextDue())
	}
}
