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

// What follows are ways in which one bad trigger, case or account once held up
// the others of its partition (P8). Each test falls when its rule is broken.

// A dead letter that the broker refuses whole goes out bare.
func TestDeadLetterTooLargeGoesOutBare(t *testing.T) {
	t.Parallel()
	for name, poison := range map[string]kgo.Record{
		"headers": {Key: []byte(caseName(1)), Headers: []kgo.RecordHeader{{Key: "x", Value: []byte(strings.Repeat("x", 999_600))}}},
		"key":     {Key: []byte(strings.Repeat("k", 999_600))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			poison.Topic, poison.Value = s.topics.Inbox, []byte("not ours")
			s.produce(&poison)
			s.source.show(caseName(1), 1)
			s.hook(caseName(1))
			s.run(s.config())
			s.events(1)
			letter := s.read(s.topics.DeadLetter, count(1))[0]
			if header(letter, "postident.error.value") == "" || len(letter.Key) > maxBareKey {
				t.Errorf("letter has a key of %d bytes and headers %v", len(letter.Key), letter.Headers)
			}
		})
	}
}

// The letter of a case whose retries are exhausted may be refused, too.
func TestDeadLetterOfExhaustedCaseGoesOutBare(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	limit := "2500"
	change := []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: &limit}}
	if _, err := kadm.NewClient(s.client).AlterTopicConfigs(t.Context(), change, s.topics.DeadLetter); err != nil {
		t.Fatal(err)
	}
	value, err := schemas.EncodeTrigger(schemas.Trigger{ClientID: testClient, CaseID: caseName(404), Source: schemas.SourceWebhook, ReceivedAt: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	noise := make([]byte, 5000) // does not compress
	for i := range noise {
		noise[i] = byte(i*i>>3 ^ i*31)
	}
	s.produce(&kgo.Record{Topic: s.topics.Inbox, Key: []byte(caseName(404)), Value: value, Headers: []kgo.RecordHeader{{Key: "x", Value: noise}}})
	cfg := s.config()
	cfg.retry.Faults = nil
	s.run(cfg)
	s.read(s.topics.DeadLetter, count(1))
}

// A trigger in the wrong partition that cannot be produced again goes to the
// dead letters.
func TestMisplacedTriggerTooLargeToSendOn(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	value, err := schemas.EncodeTrigger(schemas.Trigger{ClientID: testClient, CaseID: caseName(1), Source: schemas.SourceWebhook, ReceivedAt: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	wrong := (partitionOf(caseName(1), testPartitions) + 1) % testPartitions
	manual := s.newClient(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchMaxBytes(1_048_500), kgo.ProducerBatchCompression(kgo.NoCompression()))
	large := &kgo.Record{
		Topic: s.topics.Inbox, Partition: wrong, Key: []byte(caseName(1)), Value: value,
		Headers: []kgo.RecordHeader{{Key: "x", Value: []byte(strings.Repeat("x", 1_020_000))}},
	}
	if err := manual.ProduceSync(t.Context(), large).FirstErr(); err != nil {
		t.Fatal(err)
	}
	s.run(s.config())
	letter := s.read(s.topics.DeadLetter, count(1))[0]
	if header(letter, "postident.error.reason") != reasonRefused {
		t.Errorf("reason %s", header(letter, "postident.error.reason"))
	}
}

// A case at which the API always breaks keeps the account open for the others,
// is looked at less and less often, and ends in the dead letters.
func TestCaseThatBreaksTheAPIDoesNotHoldUpItsAccount(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.source.setFault(func(caseID string, _ int) error {
		if caseID == caseName(500) {
			return &scr.UnavailableError{Status: 500}
		}
		return nil
	})
	p, _ := s.run(s.config())
	for range 20 {
		s.hook(caseName(500))
	}
	for i := range 5 {
		s.source.show(caseName(i), 1)
		s.hook(caseName(i))
		s.events(i + 1)
	}
	if _, open := p.accounts[testClient].blocked(time.Now()); open {
		t.Error("one case opened the account's breaker")
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { // the account goes on answering for others
		for i := 0; wait(ctx, 200*time.Millisecond); i++ {
			value, err := schemas.EncodeTrigger(schemas.Trigger{ClientID: testClient, CaseID: caseName(i % 5), Source: schemas.SourceWebhook, ReceivedAt: time.Now()})
			if err != nil {
				return
			}
			s.client.Produce(ctx, &kgo.Record{Topic: s.topics.Inbox, Key: []byte(caseName(i % 5)), Value: value}, nil)
		}
	}()
	letter := s.read(s.topics.DeadLetter, count(1))[0]
	if string(letter.Key) != caseName(500) || header(letter, "postident.error.reason") != "server_error" {
		t.Errorf("letter of %s for %s", letter.Key, header(letter, "postident.error.reason"))
	}
	s.source.mu.Lock()
	defer s.source.mu.Unlock()
	if reads := s.source.reads[caseName(500)]; reads > 20+20 {
		t.Errorf("%d reads of one case for 20 hooks", reads)
	}
}

// Design 2: a second hook that reads too early does not end the rechecks.
func TestSecondHookStartsTheRechecksAnew(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	cfg := s.config()
	cfg.retry.Rechecks = []time.Duration{time.Millisecond, 2 * time.Second}
	s.source.show(caseName(1), 1)
	beforeRead(cfg, func(n int) {
		if n == 6 { // the last recheck of the last hook: its own look is the fourth read
			s.source.show(caseName(1), 2)
		}
	})
	s.run(cfg)
	s.hook(caseName(1))
	s.events(1)
	s.hook(caseName(1))
	s.awaitRecheck(caseName(1), 2) // the last one waits
	s.hook(caseName(1))
	s.events(2)
}

// P3: of several hooks that one look answers, the last may tell of what a stale
// answer hides. Its event does not end the rechecks.
func TestStaleAnswerToSeveralHooksIsReadAgain(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	cfg := s.config()
	began, goOn := make(chan struct{}), make(chan struct{})
	beforeRead(cfg, func(n int) {
		switch {
		case n == 1:
			s.source.show(caseName(1), 0) // the answer is from before the first hook
			close(began)
			<-goOn
		case n > 4:
			s.source.show(caseName(1), 2)
		default:
			s.source.show(caseName(1), 1)
		}
	})
	cfg.retry.Rechecks = []time.Duration{time.Millisecond, 20 * time.Millisecond, 40 * time.Millisecond}
	s.run(cfg)
	s.hook(caseName(1))
	<-began
	s.hook(caseName(1)) // these two wait for the look, and are answered by the next one
	s.hook(caseName(1))
	close(goOn)
	s.events(2)
}

// P3: a stale answer that was taken for the hook before excuses no later hook,
// though it was read after that one came, too.
func TestStaleAnswerToHooksOneByOneIsReadAgain(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	cfg := s.config()
	began, goOn := make(chan struct{}), make(chan struct{})
	beforeRead(cfg, func(n int) {
		switch n {
		case 1:
			close(began)
			<-goOn
		case 4:
			s.source.show(caseName(1), 2)
		}
	})
	// The first answer stands for the first hook, and began after both came.
	cfg.Now = func() time.Time { return time.Now().Add(time.Minute) }
	cfg.retry.Rechecks = []time.Duration{time.Millisecond, 20 * time.Millisecond, 40 * time.Millisecond}
	s.source.show(caseName(1), 1)
	s.run(cfg)
	s.hook(caseName(1))
	<-began
	s.hook(caseName(1))
	close(goOn)
	s.events(2)
}

// Only a case that is closed, and was read since, has nothing more to tell of.
func TestHookOfAClosedCaseIsNotReadAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status string
		read   time.Time
		want   bool
	}{
		"open, and read since":         {scr.CaseInProgress, epoch.Add(time.Second), true},
		"closed, and read since":       {scr.CaseClosed, epoch.Add(time.Second), false},
		"closed, and read before only": {scr.CaseClosed, epoch.Add(-time.Second), true},
	} {
		w := &worker{p: &Publisher{cfg: Config{retry: defaultRetryPolicy()}}}
		hook := trigger{Trigger: schemas.Trigger{Source: schemas.SourceWebhook, ReceivedAt: epoch}}
		prev := &schemas.CaseState{LastReadAt: &c.read}
		if got := w.recheck(result{origin: hook}, prev, c.status == scr.CaseClosed, epoch.Add(time.Minute)) != nil; got != c.want {
			t.Errorf("%s: read again: %t", name, got)
		}
	}
}

func TestNewestHook(t *testing.T) {
	t.Parallel()
	at := func(source schemas.Source, second int) trigger {
		return trigger{Trigger: schemas.Trigger{Source: source, ReceivedAt: epoch.Add(time.Duration(second) * time.Second)}, offset: int64(second)}
	}
	for name, c := range map[string]struct {
		triggers []trigger
		want     int64
	}{
		"one sweep":                    {[]trigger{at(schemas.SourceSweep, 1)}, 1},
		"a hook behind a sweep":        {[]trigger{at(schemas.SourceSweep, 1), at(schemas.SourceWebhook, 2)}, 2},
		"a sweep behind a hook":        {[]trigger{at(schemas.SourceWebhook, 1), at(schemas.SourceSweep, 2)}, 1},
		"a fresh hook behind an old":   {[]trigger{at(schemas.SourceWebhook, 1), at(schemas.SourceWebhook, 2)}, 2},
		"hooks out of order":           {[]trigger{at(schemas.SourceWebhook, 3), at(schemas.SourceWebhook, 2)}, 3},
		"two sweeps: the first counts": {[]trigger{at(schemas.SourceSweep, 1), at(schemas.SourceSweep, 2)}, 1},
	} {
		if got := newestHook(c.triggers); got.offset != c.want {
			t.Errorf("%s: %d, want %d", name, got.offset, c.want)
		}
	}
}

// Design 2: the loop never waits for the slowest read.
func TestOneHangingReadDoesNotStopTheInbox(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	cfg := s.config()
	read := cfg.Accounts[0].Read
	cfg.Accounts[0].Read = func(ctx context.Context, caseID string) (scr.Case, error) {
		if caseID == caseName(0) {
			<-ctx.Done()
			return scr.Case{}, ctx.Err()
		}
		return read(ctx, caseID)
	}
	// All in the partition of the case that hangs, and more than are held at once.
	part, n := partitionOf(caseName(0), testPartitions), 0
	s.hook(caseName(0))
	for i := 1; n < maxOutstanding+200; i++ {
		if partitionOf(caseName(i), testPartitions) == part {
			n++
			s.source.show(caseName(i), 1)
			s.hookAsync(caseName(i))
		}
	}
	cfg.ReadDeadline = time.Hour // whoever waits for this read waits in vain
	s.run(cfg)
	s.events(n)
}

// P8: a case whose record was refused can be redriven once the limit is raised.
func TestRefusedCaseIsTriedAgainAfterAWhile(t *testing.T) {
	t.Parallel()
	var s suspects
	now := epoch
	first := &batch{looked: []string{"a", "b"}}
	refusal := &recordRefusedError{Topic: "status", Err: errFenced}
	s.blame(refusal, first, "letters", now)
	if s.careful(now) || len(s.refused) > 0 {
		t.Error("of two cases none is to blame yet, and the next worker has not begun")
	}
	clock := func() time.Time { return now }
	now = now.Add(time.Hour) // a take-over may last
	s.begin(now)
	if !s.careful(now) {
		t.Error("the next worker is not careful")
	}
	s.blame(refusal, &batch{looked: []string{"a"}}, "letters", now)
	if !s.refuses("a", clock) || s.refuses("b", clock) {
		t.Error("the case that was alone is to blame")
	}
	now = now.Add(refusedFor)
	if s.refuses("a", clock) || !s.careful(now) {
		t.Error("after a while it is tried again, with care")
	}
}

// P10: a worker that dies at every transaction of its loop is not ready, however
// often it takes over.
func TestOwnerStaysNotReadyUntilItCommits(t *testing.T) {
	t.Parallel()
	now := epoch
	var o owner
	o.enter(phaseTakingOver, now)
	if o.ready(now) != nil {
		t.Error("a first take-over is in order")
	}
	if o.ready(now.Add(takeOverTimeout+time.Second)) == nil {
		t.Error("a take-over that does not end is not")
	}
	o.enter(phaseWorking, now)
	o.fell(errFenced, now)
	if o.ready(now) == nil || o.works() {
		t.Error("a worker that fell works on nothing")
	}
	o.enter(phaseTakingOver, now)
	o.enter(phaseWorking, now)
	if o.ready(now) == nil {
		t.Error("it has committed nothing yet")
	}
	o.settled()
	if o.ready(now) != nil || !o.works() {
		t.Error("it has committed")
	}
}
