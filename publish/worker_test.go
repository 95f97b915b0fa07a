package publish

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/internal/scr"
	"postident-bridge/schemas"
)

// Design 2: a fence does not prove that ownership was lost. A stray
// InitProducerID on the owner's id fences it; its membership still counts, and
// it takes over again.
func TestFencedOwnerWhoseMembershipCountsTakesOverAgain(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.run(s.config())
	const cases = 10
	for round := 1; round <= 2; round++ {
		for i := range cases {
			s.source.show(caseName(i), round)
			s.hook(caseName(i))
		}
		s.events(round * cases)
		if round == 2 {
			break
		}
		for _, id := range []string{"test.process-0", "test.process-1", "test.process-2"} {
			stray := s.newClient(kgo.TransactionalID(id))
			if _, _, err := stray.ProducerID(t.Context()); err != nil {
				t.Fatal(err)
			}
			stray.Close()
		}
	}
}

// Design 2: a consumer of a recreated topic falls silent without an error, and
// a position of the old topic means nothing in the new one.
func TestRecreatedInboxIsReadFromItsStart(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.run(s.config())
	for i := range 10 {
		s.source.show(caseName(i), 1)
		s.hook(caseName(i))
	}
	s.events(10)
	admin := kadm.NewClient(s.client)
	if _, err := admin.DeleteTopic(t.Context(), s.topics.Inbox); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.CreateTopic(t.Context(), testPartitions, 1, nil, s.topics.Inbox); err != nil {
		t.Fatal(err)
	}
	s.source.show(caseName(1), 2)
	fresh := s.newClient() // the old one still knows the old topic
	value, err := schemas.EncodeTrigger(schemas.Trigger{ClientID: testClient, CaseID: caseName(1), Source: schemas.SourceWebhook, ReceivedAt: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	if err := fresh.ProduceSync(t.Context(), &kgo.Record{Topic: s.topics.Inbox, Key: []byte(caseName(1)), Value: value}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	s.events(11)
}

// Design 2: a position outside the log is noted as loss, and reading goes on at
// the log's start.
func TestPositionOutsideTheLogGoesOnAtItsStart(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.source.show(caseName(1), 1)
	_, stop := s.run(s.config())
	s.hook(caseName(1))
	s.events(1)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		s.hook(caseName(1))
	}
	last := s.hook(caseName(1))
	admin := kadm.NewClient(s.client)
	var cut kadm.Offsets
	cut.AddOffset(s.topics.Inbox, last.Partition, last.Offset, -1)
	if _, err := admin.DeleteRecords(t.Context(), cut); err != nil {
		t.Fatal(err)
	}
	s.source.show(caseName(1), 2)
	s.run(s.config())
	s.events(2)
}

func TestStartPosition(t *testing.T) {
	t.Parallel()
	at := func(offset int64) *schemas.Position {
		return &schemas.Position{InboxTopicID: "id", Partitions: 3, Offset: offset}
	}
	for name, c := range map[string]struct {
		pos        *schemas.Position
		inbox      string
		first, end int64
		want       int64
		lost       string
		refused    bool
	}{
		"nothing known: the log's start":       {nil, "id", 5, 9, 5, "", false},
		"inside the log":                       {at(7), "id", 5, 9, 7, "", false},
		"at its start":                         {at(5), "id", 5, 9, 5, "", false},
		"at its end":                           {at(9), "id", 5, 9, 9, "", false},
		"before it: retention took triggers":   {at(4), "id", 5, 9, 5, "deleted", false},
		"behind it: the log was cut":           {at(10), "id", 5, 9, 5, "truncated", false},
		"of another topic under the same name": {at(7), "other", 5, 9, 5, "recreated", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, lost, err := startPosition(c.pos, c.inbox, 3, c.first, c.end)
			if got != c.want || lost != c.lost || err != nil {
				t.Errorf("got %d, %q, %v", got, lost, err)
			}
		})
	}
	if _, _, err := startPosition(at(7), "id", 4, 5, 9); err == nil || !strings.Contains(err.Error(), "3 partitions") {
		t.Errorf("a changed partition count gave %v", err)
	}
}

// Design 2: a record that the broker refuses is no fence. Its case goes alone,
// and then to the dead letters; the others are published.
func TestRefusedRecordGoesToDeadLetters(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	admin := kadm.NewClient(s.client)
	limit := "20000"
	if _, err := admin.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: &limit}}, s.topics.Status); err != nil {
		t.Fatal(err)
	}
	const cases = 10
	for i := range cases {
		s.source.show(caseName(i), 1)
	}
	s.source.mu.Lock()
	big := s.source.cases[caseName(3)]
	for i := range 600 {
		big.Identifications[0].Records = append(big.Identifications[0].Records, scr.Record{ID: strings.Repeat("9", 20) + string(rune('a'+i%26)), FileName: strings.Repeat(caseName(i), 20)})
	}
	s.source.cases[caseName(3)] = big
	s.source.mu.Unlock()
	for i := range cases {
		s.hook(caseName(i))
	}
	s.run(s.config())
	if events := s.events(cases - 1); len(events[caseName(3)]) != 0 {
		t.Error("the refused record is on the topic: the test proves nothing")
	}
	letter := s.read(s.topics.DeadLetter, count(1))[0]
	if string(letter.Key) != caseName(3) || header(letter, "postident.error.reason") != reasonRefused {
		t.Errorf("letter of %s for %s", letter.Key, header(letter, "postident.error.reason"))
	}
}

// Design 2, "Retries are durable": a hook after which the case reads unchanged
// is read again, and then it is done, without a dead letter.
func TestNothingNewAfterHookIsReadAgain(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]int{"unchanged": 1, "only a state that sends no hook": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			s.source.show(caseName(1), before)
			cfg := s.config()
			cfg.retry.Rechecks = []time.Duration{20 * time.Millisecond, 20 * time.Millisecond}
			beforeRead(cfg, func(n int) {
				if n > before+2 { // a look for each hook, and a recheck, come too early
					s.source.show(caseName(1), before+1)
				}
			})
			s.run(cfg)
			if before > 0 {
				s.hook(caseName(1))
				s.events(before)
			}
			s.hook(caseName(1)) // tells of a change that cannot be read yet
			s.events(before + 1)
		})
	}
}

// beforeRead has f called before the n-th read of the first account; the tests
// that use it have one case, which is looked at once at a time.
func beforeRead(cfg Config, f func(n int)) {
	read, reads := cfg.Accounts[0].Read, 0
	cfg.Accounts[0].Read = func(ctx context.Context, caseID string) (scr.Case, error) {
		reads++
		f(reads)
		return read(ctx, caseID)
	}
}

// awaitReads waits until the case was read n times.
func (s *stage) awaitReads(caseID string, n int) {
	s.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		s.source.mu.Lock()
		reads := s.source.reads[caseID]
		s.source.mu.Unlock()
		if reads >= n {
			return
		}
		select {
		case <-tick.C:
		case <-s.t.Context().Done():
			s.t.Fatalf("%d reads", reads)
		}
	}
}

// awaitRecheck waits until the case has been given its n-th recheck.
func (s *stage) awaitRecheck(caseID string, n int) {
	s.t.Helper()
	s.read(s.topics.CaseState, func(recs []*kgo.Record) bool {
		for _, rec := range recs {
			state, err := schemas.DecodeCaseState(rec.Value)
			if err == nil && state.CaseID == caseID && state.Retry != nil && state.Retry.Kind == schemas.RetryRecheck && state.Retry.Attempt == n {
				return true
			}
		}
		return false
	})
}

// Design 2, "Identity": state is forgotten by the clock only, and only that of
// closed cases.
func TestStateOfClosedCasesIsForgottenByTheClock(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	const open, closed = 1, 2
	s.source.show(caseName(open), 1)
	s.source.show(caseName(closed), 2)
	_, stop := s.run(s.config())
	s.hook(caseName(open))
	s.hook(caseName(closed))
	s.events(2)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	cfg := s.config()
	cfg.Now = func() time.Time { return time.Now().Add(218 * 24 * time.Hour) }
	s.run(cfg)
	all := s.read(s.topics.CaseState, func(recs []*kgo.Record) bool {
		rec := newest(recs, stateKey(testClient, caseName(closed)))
		return rec != nil && rec.Value == nil
	})
	if rec := newest(all, stateKey(testClient, caseName(open))); rec == nil || rec.Value == nil {
		t.Error("the open case was forgotten")
	}
}
