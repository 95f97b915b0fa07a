package publish

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"postident-bridge/internal/counterpart"
	"postident-bridge/internal/observation"
	"postident-bridge/internal/scr"
	"postident-bridge/schemas"
)

// hookStage is a stage on a virtual clock, with an account whose webhooks are on.
type hookStage struct {
	*stage
	began  time.Time
	reader *sdkmetric.ManualReader // of the publisher that runs
}

// testDue is how long a webhook may take on this stage: longer than the second
// retry, so that there is one to wait for.
const testDue = 20 * time.Minute

// onHookStage plays a scenario of P4 inside a bubble.
func onHookStage(t *testing.T, play func(s *hookStage)) {
	t.Helper()
	awaitVirtualTurn(t)
	synctest.Test(t, func(t *testing.T) {
		play(&hookStage{stage: newVirtualStage(t), began: time.Now().Truncate(time.Second)})
	})
}

// pass lets time go by.
func (s *hookStage) pass(d time.Duration) { <-time.After(d) }

// start starts a publisher; its metrics begin at zero.
func (s *hookStage) start(change ...func(*Config)) (stop func() error) {
	s.t.Helper()
	s.reader = sdkmetric.NewManualReader()
	cfg := s.config()
	cfg.Meter = sdkmetric.NewMeterProvider(sdkmetric.WithReader(s.reader)).Meter("")
	cfg.HookDue = testDue
	cfg.Accounts[0].WebhookTypes = []schemas.StatusType{schemas.StatusTypePreliminary, schemas.StatusTypeFinal}
	for _, f := range change {
		f(&cfg)
	}
	_, stop = s.run(cfg)
	return stop
}

// move gives the case's identification by video a new status, now.
func (s *hookStage) move(caseID, status string) {
	now := time.Now().Truncate(time.Second)
	s.source.mu.Lock()
	defer s.source.mu.Unlock()
	s.source.cases[caseID] = scr.Case{
		CaseID: caseID,
		Status: scr.CaseStatus{Status: scr.CaseInProgress, Created: s.began, Modified: now},
		Identifications: []scr.Identification{{
			Method: scr.MethodVideo, Primary: true, Status: status, Created: s.began, Modified: now,
		}},
	}
}

// sweep puts into the inbox what a list shows of the case now.
func (s *hookStage) sweep(caseID string) {
	s.t.Helper()
	now := time.Now()
	s.source.mu.Lock()
	seen := observation.Of(s.source.cases[caseID], now)
	s.source.mu.Unlock()
	s.trigger(schemas.Trigger{ClientID: testClient, CaseID: caseID, Source: schemas.SourceSweep, ReceivedAt: now, Observation: &seen})
}

// missed is the metric of each status type.
func (s *hookStage) missed() map[string]int64 {
	s.t.Helper()
	var all metricdata.ResourceMetrics
	if err := s.reader.Collect(s.t.Context(), &all); err != nil {
		s.t.Fatal(err)
	}
	missed := make(map[string]int64)
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			if sum, ok := m.Data.(metricdata.Sum[int64]); ok && m.Name == "postident.webhooks.missed" {
				for _, p := range sum.DataPoints {
					statusType, _ := p.Attributes.Value("status_type")
					missed[statusType.AsString()] += p.Value
				}
			}
		}
	}
	return missed
}

// expect waits until no webhook of the case is due any more, and compares what
// was counted.
func (s *hookStage) expect(caseID string, preliminary, final int64) {
	s.t.Helper()
	s.await("the end of what is due", func() bool { return len(s.state(caseID).HooksDue) == 0 })
	synctest.Wait() // what was committed is counted right after
	if want, got := map[string]int64{"preliminary": preliminary, "final": final}, s.missed(); !maps.Equal(got, want) {
		s.t.Errorf("missed %v, want %v", got, want)
	}
}

func (s *hookStage) state(caseID string) schemas.CaseState {
	s.t.Helper()
	state, err := schemas.DecodeCaseState(s.newestState(caseID).Value)
	if err != nil {
		s.t.Fatal(err)
	}
	return state
}

const inReview, success = scr.StatusReviewPending, scr.StatusSuccess

// P4: what only a sweep found, though a webhook was due, is counted once.
func TestMissedWebhookIsCountedOnce(t *testing.T) {
	counterpart.SkipUnderRace(t)
	t.Parallel()
	onHookStage(t, func(s *hookStage) {
		id := caseName(1)
		s.start()
		s.move(id, inReview)
		s.sweep(id)
		s.events(1)
		if due := s.state(id).HooksDue; len(due) != 1 || due[0].StatusType != schemas.StatusTypePreliminary {
			t.Fatalf("due: %+v", due)
		}
		looked := s.state(id).UpdatedAt
		s.pass(testDue - time.Minute)
		if missed := s.missed(); missed["preliminary"] != 0 || len(missed) != 2 {
			t.Errorf("missed before its time, or not zero from the start: %v", missed)
		}
		s.pass(2 * time.Minute)
		s.expect(id, 1, 0)
		if at := s.state(id).UpdatedAt; !at.Equal(looked) {
			t.Errorf("by the state the last look was at %v, and it was at %v", at, looked)
		}
		s.sweep(id)
		s.hook(id) // too late
		s.pass(2 * testDue)
		s.expect(id, 1, 0)
	})
}

// A webhook that comes in time clears what is due: the first, and its retry.
func TestWebhookInTimeIsNotMissed(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]time.Duration{"at once": time.Second, "second retry": 903 * time.Second, "held up": 200 * time.Second} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onHookStage(t, func(s *hookStage) {
				id := caseName(1)
				s.start()
				s.move(id, inReview)
				s.sweep(id)
				s.events(1)
				s.pass(after)
				s.hook(id)
				s.pass(time.Minute)
				if due := s.state(id).HooksDue; len(due) != 0 {
					t.Errorf("still due: %+v", due)
				}
				s.pass(testDue)
				s.expect(id, 0, 0)
			})
		})
	}
}

// Two changes that sweeps saw, and the webhook of one is lost: the other's, even
// doubled, does not stand for it.
func TestDoubledWebhookStandsForItsOwnChange(t *testing.T) {
	t.Parallel()
	onHookStage(t, func(s *hookStage) {
		id := caseName(1)
		s.start()
		s.move(id, inReview)
		s.sweep(id)
		s.events(1)
		s.pass(5 * time.Minute)
		s.move(id, success)
		s.sweep(id)
		s.events(2)
		s.hook(id)
		s.hook(id)
		s.pass(time.Minute)
		if due := s.state(id).HooksDue; len(due) != 1 || due[0].StatusType != schemas.StatusTypePreliminary {
			t.Errorf("due: %+v", due)
		}
		s.pass(testDue)
		s.expect(id, 1, 0)
	})
}

// The webhook of a change that it told first, doubled, does not stand for one
// that a sweep saw first.
func TestRepeatOfWhatWasToldClearsNothing(t *testing.T) {
	t.Parallel()
	onHookStage(t, func(s *hookStage) {
		id := caseName(1)
		s.start()
		s.move(id, inReview)
		s.sweep(id)
		s.events(1)
		s.pass(30 * time.Second)
		s.move(id, success)
		s.hook(id)
		s.events(2)
		s.hook(id)
		s.pass(testDue + time.Minute)
		s.expect(id, 1, 0)
	})
}

// Of types that are not switched on nothing is due.
func TestNothingIsDueOfTypesThatAreOff(t *testing.T) {
	t.Parallel()
	onHookStage(t, func(s *hookStage) {
		s.start(func(cfg *Config) { cfg.Accounts[0].WebhookTypes = nil })
		for id, status := range map[string]string{caseName(1): inReview, caseName(2): success} {
			s.move(id, status)
			s.sweep(id)
		}
		s.events(2)
		if due := append(s.state(caseName(1)).HooksDue, s.state(caseName(2)).HooksDue...); len(due) != 0 || len(s.missed()) != 0 {
			t.Errorf("due: %+v, missed: %v", due, s.missed())
		}
	})
}

// A webhook that waits in the inbox during an outage that is longer than it was
// due came in time; and one that does not wait there was missed, which a new
// process finds out.
func TestOutageLongerThanTheWebhookIsDue(t *testing.T) {
	counterpart.SkipUnderRace(t)
	t.Parallel()
	for name, came := range map[string]bool{"it waits in the inbox": true, "it never came": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onHookStage(t, func(s *hookStage) {
				id := caseName(1)
				stop := s.start()
				s.move(id, inReview)
				s.sweep(id)
				s.events(1)
				if err := stop(); err != nil {
					t.Fatal(err)
				}
				if came {
					s.pass(time.Second)
					s.hook(id)
				}
				s.pass(2 * testDue)
				s.start()
				missed := int64(1)
				if came {
					missed = 0
				}
				s.expect(id, missed, 0)
				s.pass(testDue)
				s.expect(id, missed, 0)
			})
		})
	}
}

// A webhook that came, but waits with its case because the account is down, was
// not missed: what it told of is judged when the case was read.
func TestWebhookThatWaitsForItsAccountIsNotMissed(t *testing.T) {
	counterpart.SkipUnderRace(t)
	t.Parallel()
	onHookStage(t, func(s *hookStage) {
		id := caseName(1)
		s.start()
		s.move(id, inReview)
		s.sweep(id)
		s.events(1)
		s.source.setFault(func(string, int) error { return &scr.UnavailableError{Status: 503} })
		s.pass(time.Second)
		s.hook(id)
		s.pass(2 * testDue)
		if missed := s.missed(); missed["preliminary"] != 0 {
			t.Errorf("missed %v", missed)
		}
		s.source.setFault(nil)
		s.pass(2 * time.Minute)
		s.expect(id, 0, 0)
		s.pass(testDue)
		s.expect(id, 0, 0)
	})
}

// A webhook joins a slot that a sweep's trigger left behind: what the slot's look
// shows was told by a webhook, and is not due.
func TestWebhookThatJoinsTheSlotOfASweep(t *testing.T) {
	t.Parallel()
	onHookStage(t, func(s *hookStage) {
		id := caseName(1)
		stop := s.start()
		s.move(id, inReview)
		s.source.setFault(func(string, int) error { return &scr.UnavailableError{Status: 503} })
		// Without an observation the case has to be read.
		s.trigger(schemas.Trigger{ClientID: testClient, CaseID: id, Source: schemas.SourceSweep, ReceivedAt: time.Now()})
		s.awaitRetry(id)
		s.hook(id)
		s.await("the webhook", func() bool { return len(s.newestRetry(id).Hooks) == 1 })
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		s.source.setFault(nil)
		s.start()
		events := s.events(1)[id]
		if by := events[0].ObservedBy; by != schemas.SourceWebhook {
			t.Errorf("observed by %s", by)
		}
		s.expect(id, 0, 0)
	})
}

// Of a case that the retries of a webhook could not read, the webhook is settled
// when its trigger goes to the dead letters.
func TestWebhookInTheDeadLettersIsNotMissed(t *testing.T) {
	counterpart.SkipUnderRace(t)
	t.Parallel()
	onHookStage(t, func(s *hookStage) {
		id := caseName(1)
		s.start()
		s.move(id, inReview)
		s.sweep(id)
		s.events(1)
		s.source.setFault(func(string, int) error { return &scr.NotYetError{} })
		s.hook(id)
		s.read(s.topics.DeadLetter, count(1))
		s.pass(2 * testDue)
		s.expect(id, 0, 0)
	})
}

// A webhook that stands in the inbox before the end that was asked for may be read
// late: nothing is judged before.
func TestDuesAreJudgedOnceTheInboxWasRead(t *testing.T) {
	t.Parallel()
	a := newAccount(Account{ClientID: testClient, WebhookTypes: []schemas.StatusType{schemas.StatusTypeFinal}}, Config{ReadsPerAccount: 1})
	w := &worker{
		p:     &Publisher{cfg: Config{Now: func() time.Time { return second(9000) }}, accounts: map[string]*account{testClient: a}},
		table: newTable(modelBelongs), running: make(map[string]bool), hold: &suspects{},
	}
	for i := range 4 {
		state := schemas.CaseState{ClientID: testClient, CaseID: caseName(i), HooksDue: dueAt(0, 100)}
		switch i {
		case 2:
			state.HooksDue[0].StatusType = schemas.StatusTypeCancelled // switched off since
		case 3:
			state.Retry = &schemas.Retry{Kind: schemas.RetryParked, Hooks: seconds(1)}
		}
		value, err := schemas.EncodeCaseState(state)
		if err != nil {
			t.Fatal(err)
		}
		key := stateKey(testClient, caseName(i))
		if err := w.table.put([]byte(key), value, 1); err != nil {
			t.Fatal(err)
		}
		w.table.expect(key, state.HooksDue)
	}
	w.running[stateKey(testClient, caseName(1))] = true
	w.inbox.goal, w.progress.next = inboxEnd{asked: second(4850), end: 7}, 6
	judged := func() (b batch) {
		w.judgeHooks(&b, 10)
		return b
	}
	if b := judged(); len(b.states) > 0 {
		t.Fatalf("judged before the inbox was read: %+v", b.states)
	}
	w.progress.next = 7
	b := judged()
	slices.SortFunc(b.states, func(x, y stateChange) int { return strings.Compare(x.key, y.key) })
	if len(b.states) != 2 || b.states[0].key != stateKey(testClient, caseName(0)) || b.states[1].key != stateKey(testClient, caseName(2)) {
		t.Fatalf("judged %+v", b.states)
	}
	if left := b.states[0].next.HooksDue; !cmp.Equal(left, dueAt(100)) {
		t.Errorf("still due: %+v", left)
	}
	missed := 0
	for _, c := range b.counts {
		missed += len(c.missed)
	}
	if missed != 1 {
		t.Errorf("%d missed, want the one that is switched on", missed)
	}
	if b := judged(); len(b.states) > 0 {
		t.Errorf("judged again: %+v", b.states)
	}
	// What could not be judged is looked at again.
	clear(w.running)
	w.inbox.goal = inboxEnd{asked: second(9000).Add(judgeAgain), end: 7}
	if b := judged(); len(b.states) != 1 || b.states[0].key != stateKey(testClient, caseName(1)) || len(b.counts[0].missed) != 2 {
		t.Errorf("judged %+v", b.states)
	}
}

// P4: a look that a list hastened may come too early. It does not use up the last
// recheck, because the list does not show the change again.
func TestHastenedLookUsesUpNoRecheck(t *testing.T) {
	t.Parallel()
	onHookStage(t, func(s *hookStage) {
		id := caseName(1)
		s.start(func(cfg *Config) { cfg.retry.Rechecks = []time.Duration{time.Minute} })
		s.move(id, scr.StatusStarted)
		s.hook(id)
		s.pass(30 * time.Second)
		s.source.mu.Lock()
		old := s.source.cases[id]
		s.source.mu.Unlock()
		s.move(id, inReview)
		s.source.mu.Lock()
		listed := s.source.cases[id]
		s.source.cases[id] = old // what a read shows for some seconds more
		s.source.mu.Unlock()
		seen := observation.Of(listed, time.Now())
		s.trigger(schemas.Trigger{ClientID: testClient, CaseID: id, Source: schemas.SourceSweep, ReceivedAt: time.Now(), Observation: &seen})
		s.pass(5 * time.Second)
		s.source.mu.Lock()
		reads := s.source.reads[id]
		s.source.cases[id] = listed
		s.source.mu.Unlock()
		if reads != 2 {
			t.Fatalf("%d reads, want that of the webhook and that of the list", reads)
		}
		s.pass(testDue)
		if state := s.state(id); state.Sequence != 1 || state.Retry != nil {
			t.Errorf("after the last recheck: %d events, slot %+v", state.Sequence, state.Retry)
		}
	})
}
