package publish

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/internal/scr"
	"postident-bridge/schemas"
)

func TestWebhookBecomesEvent(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.run(s.config())
	const cases = 20
	for i := range cases {
		s.source.show(caseName(i), 1)
		s.hook(caseName(i))
		s.hook(caseName(i)) // the sender repeats itself
	}
	s.events(cases)
	for i := range cases {
		s.source.show(caseName(i), 2)
		s.hook(caseName(i))
	}
	for id, events := range s.events(2 * cases) {
		if len(events) != 2 || events[0].StatusType != schemas.StatusTypePreliminary || events[1].StatusType != schemas.StatusTypeFinal {
			t.Errorf("case %s: %d events", id, len(events))
		}
	}
}

// P8: 404 right after a hook is "not yet" (facts 4).
func TestNotYetIsRetried(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.source.setFault(func(_ string, attempt int) error {
		if attempt <= 2 {
			return &scr.NotYetError{}
		}
		return nil
	})
	s.source.show(caseName(1), 1)
	s.hook(caseName(1))
	s.run(s.config())
	s.events(1)
}

// Design 8: a case that does not exist is accepted, retried, dead-lettered, and
// leaves no state behind.
func TestForgedCaseGoesToDeadLettersAndLeavesNoState(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	trigger := s.hook(caseName(404))
	s.run(s.config())
	letter := s.read(s.topics.DeadLetter, count(1))[0]
	if string(letter.Value) != string(trigger.Value) || string(letter.Key) != caseName(404) {
		t.Error("the dead letter is not the trigger, unchanged")
	}
	for key, want := range map[string]string{
		"__connect.errors.topic":                s.topics.Inbox,
		"postident.error.reason":                "not_found",
		"postident.error.attempts":              "3",
		"__connect.errors.exception.class.name": "*scr.NotYetError",
	} {
		if got := header(letter, key); got != want {
			t.Errorf("header %s is %q, want %q", key, got, want)
		}
	}
	key := stateKey(testClient, caseName(404))
	s.read(s.topics.CaseState, func(recs []*kgo.Record) bool {
		last := newest(recs, key)
		return last != nil && last.Value == nil
	})
}

func newest(recs []*kgo.Record, key string) *kgo.Record {
	var last *kgo.Record
	for _, rec := range recs {
		if string(rec.Key) == key {
			last = rec
		}
	}
	return last
}

// P8: bytes that are not ours go to the dead letters and stop nothing.
func TestPoisonInInboxStopsNothing(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.produce(&kgo.Record{Topic: s.topics.Inbox, Key: []byte(caseName(1)), Value: []byte("not ours")})
	s.source.show(caseName(1), 1)
	s.hook(caseName(1))
	s.run(s.config())
	s.events(1)
	letter := s.read(s.topics.DeadLetter, count(1))[0]
	if header(letter, "postident.error.reason") != "unreadable_trigger" || string(letter.Value) != "not ours" {
		t.Errorf("letter %q for reason %s", letter.Value, header(letter, "postident.error.reason"))
	}
}

// P8: unreadable state quarantines its case and stops nothing else.
func TestPoisonInCaseStateQuarantinesItsCase(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for _, i := range []int{1, 2} {
		s.source.show(caseName(i), 1)
	}
	part := partitionOf(caseName(1), testPartitions)
	manual := s.newClient(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	rec := &kgo.Record{Topic: s.topics.CaseState, Partition: part, Key: []byte(stateKey(testClient, caseName(1))), Value: []byte("poison")}
	if err := manual.ProduceSync(t.Context(), rec).FirstErr(); err != nil {
		t.Fatal(err)
	}
	s.hook(caseName(1))
	s.hook(caseName(2))
	s.run(s.config())
	if events := s.events(1); len(events[caseName(2)]) != 1 {
		t.Errorf("events %v", events)
	}
	letter := s.read(s.topics.DeadLetter, count(1))[0]
	if header(letter, "postident.error.reason") != "quarantined" {
		t.Errorf("reason %s", header(letter, "postident.error.reason"))
	}
}

// A trigger that another partitioner put elsewhere is sent on.
func TestTriggerInWrongPartitionIsSentOn(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.source.show(caseName(1), 1)
	value, err := schemas.EncodeTrigger(schemas.Trigger{ClientID: testClient, CaseID: caseName(1), Source: schemas.SourceWebhook, ReceivedAt: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	manual := s.newClient(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	wrong := (partitionOf(caseName(1), testPartitions) + 1) % testPartitions
	rec := &kgo.Record{Topic: s.topics.Inbox, Partition: wrong, Key: []byte(caseName(1)), Value: value}
	if err := manual.ProduceSync(t.Context(), rec).FirstErr(); err != nil {
		t.Fatal(err)
	}
	s.run(s.config())
	s.events(1)
}

// P8: an account that is down parks its triggers and uses up no attempt.
func TestAccountDownParksAndDrains(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	down := true
	s.source.setFault(func(string, int) error {
		if down {
			return &scr.UnavailableError{Status: 503}
		}
		return nil
	})
	const cases = 30
	for i := range cases {
		s.source.show(caseName(i), 1)
		s.hook(caseName(i))
	}
	s.run(s.config())
	parked := make(map[string]bool)
	s.read(s.topics.CaseState, func(recs []*kgo.Record) bool {
		for _, rec := range recs {
			if state, err := schemas.DecodeCaseState(rec.Value); err == nil && state.Retry != nil && state.Retry.Kind == schemas.RetryParked {
				parked[state.CaseID] = true
			}
		}
		return len(parked) == cases
	})
	s.source.mu.Lock()
	down = false
	s.source.mu.Unlock()
	s.events(cases)
}

// P2: a publisher that takes over goes on where the last one was.
func TestTakeOverGoesOn(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	const cases = 30
	for round := 1; round <= 2; round++ {
		_, stop := s.run(s.config())
		for i := range cases {
			s.source.show(caseName(i), round)
			s.hook(caseName(i))
		}
		s.events(round * cases)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	}
	_, stop := s.run(s.config())
	for i := range cases {
		s.hook(caseName(i))
	}
	s.source.show(caseName(cases), 1)
	s.hook(caseName(cases))
	if got := len(s.events(2*cases + 1)); got != cases+1 {
		t.Errorf("%d cases have events", got)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// Design 2: inbox and case-state have equal partition counts, or nothing starts.
func TestUnequalPartitionCountsAreRefused(t *testing.T) {
	t.Parallel()
	s := newStage(t, kfake.SeedTopics(testPartitions+1, "other.case-state"))
	cfg := s.config()
	cfg.Topics.CaseState = "other.case-state"
	p, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	var refused *RefusedError
	if err := p.Run(t.Context()); !errors.As(err, &refused) {
		t.Errorf("Run returned %v", err)
	}
}

// P8: an account that answers slowly does not hold up another one.
func TestSlowAccountDoesNotBlockAnother(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	cfg := s.config()
	cfg.ReadsPerAccount = 1
	cfg.Accounts = append(cfg.Accounts, Account{
		ClientID: "SLOWCLNT", RegulatoryClass: schemas.RegulatoryClassTKG,
		Read: func(ctx context.Context, _ string) (scr.Case, error) {
			<-ctx.Done() // answers never
			return scr.Case{}, ctx.Err()
		},
	})
	for i := range 3 * maxRunning {
		s.trigger(schemas.Trigger{ClientID: "SLOWCLNT", CaseID: caseName(i), Source: schemas.SourceWebhook, ReceivedAt: time.Now()})
	}
	const cases = 30
	for i := range cases {
		s.source.show(caseName(i), 1)
		s.hook(caseName(i))
	}
	s.run(cfg)
	s.events(cases)
}

// P10: a process that the group gave no partition is ready all the same.
func TestEveryMemberBecomesReady(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for range testPartitions + 1 {
		p, _ := s.run(s.config())
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for p.Ready(t.Context()) != nil {
			select {
			case <-tick.C:
			case <-t.Context().Done():
				t.Fatal(p.Ready(t.Context()))
			}
		}
	}
}

// keyPartitioner keeps no state for records with a key.
var keyPartitioner = kgo.StickyKeyPartitioner(nil).ForTopic("")

// partitionOf is where Java's default partitioner, and ours, put a key.
func partitionOf(key string, n int32) int32 {
	return int32(keyPartitioner.Partition(&kgo.Record{Key: []byte(key)}, int(n)))
}
