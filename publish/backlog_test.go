package publish

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"postident-bridge/internal/scr"
	"postident-bridge/schemas"
)

func TestDueSlotsComeInTheirOrder(t *testing.T) {
	t.Parallel()
	b, a := newBacklog(), new(account)
	for _, at := range []int64{5, 3, 9, 1, 7} {
		b.add(a, caseName(int(at)), true, at)
		b.add(a, caseName(int(at)), false, at) // known already
	}
	s := b.byAccount[a]
	if got, want := s.next(2), []string{caseName(1), caseName(3)}; !slices.Equal(got, want) {
		t.Errorf("took %v, want %v: the place in case-state is the order", got, want)
	}
	for i := 20; i < 26; i++ {
		b.add(a, caseName(i), false, 0)
	}
	for _, want := range [][]string{
		{caseName(20), caseName(21), caseName(5), caseName(7)}, // half and half
		{caseName(22), caseName(23), caseName(24), caseName(9)},
		{caseName(25)},
		nil,
	} {
		if got := s.next(4); !slices.Equal(got, want) {
			t.Errorf("took %v, want %v", got, want)
		}
	}
	b.add(a, caseName(5), true, 5)
	if s.waiting() != 1 {
		t.Error("what was taken cannot come back")
	}
}

// P8: a slow account's slots do not fill the worker.
func TestEveryAccountHasRoomForItsSlots(t *testing.T) {
	t.Parallel()
	b, now := newBacklog(), time.Now()
	slow, other := newAccount(Account{ClientID: "slow"}, Config{ReadsPerAccount: 1}), newAccount(Account{ClientID: "other"}, Config{ReadsPerAccount: 1})
	b.add(slow, caseName(1), true, 1)
	b.add(other, caseName(2), true, 2)
	if b.room(slow, now) != slotGroup {
		t.Error("no room at first")
	}
	b.byAccount[slow].begun = slotGroup + 1
	if b.room(slow, now) != 0 {
		t.Error("one account takes all")
	}
	for i := range maxSlots {
		b.begun[caseName(i)] = new(lookClaim)
	}
	b.byAccount[other].begun = leastSlots - 1
	if got := b.room(other, now); got != 1 {
		t.Errorf("room for %d, want the rest of its least share", got)
	}
}

// lookups counts the requests that look waiting triggers up.
func (s *stage) lookups() *atomic.Int64 {
	var n atomic.Int64
	s.cluster.ControlKey(kmsg.Fetch.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		s.cluster.KeepControl()
		if req.(*kmsg.FetchRequest).MaxBytes == lookupBytes {
			n.Add(1)
		}
		return nil, nil, false
	})
	return &n
}

// park has the hooks of cases come while the API is down, until all are parked;
// the returned function brings it up again.
func (s *stage) park(cfg Config, cases int) (p *Publisher, up func(), stop func() error) {
	s.t.Helper()
	s.source.setFault(func(string, int) error { return &scr.UnavailableError{Status: 503} })
	p, stop = s.run(cfg)
	for i := range cases {
		s.source.show(caseName(i), 1)
		s.hookAsync(caseName(i))
	}
	parked := make(map[string]bool)
	s.read(s.topics.CaseState, func(recs []*kgo.Record) bool {
		for _, rec := range recs[len(parked):] {
			if state, err := schemas.DecodeCaseState(rec.Value); err == nil && state.Retry != nil {
				parked[state.CaseID] = true
			}
		}
		return len(parked) == cases
	})
	return p, func() { s.source.setFault(nil) }, stop
}

// await waits for what only memory shows.
func (s *stage) await(what string, reached func() bool) {
	s.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(30 * time.Second); !reached(); {
		select {
		case <-tick.C:
		case <-limit:
			s.t.Fatalf("%s: does not come", what)
		}
	}
}

// A backlog is drained in order, many slots a fetch: not by timers, and not with
// a request for each.
func TestBacklogIsLookedUpInGroups(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	const cases = 3000
	_, up, _ := s.park(s.config(), cases)
	lookups := s.lookups()
	up()
	for id, events := range s.events(cases) {
		if len(events) != 1 {
			t.Errorf("case %s has %d events", id, len(events))
		}
		if events[0].ObservedBy != schemas.SourceWebhook {
			t.Fatalf("observed by %s: the waiting trigger is lost", events[0].ObservedBy)
		}
	}
	if n := lookups.Load(); n == 0 || n > cases/50 {
		t.Errorf("%d look-ups for %d slots", n, cases)
	}
}

// P2: what is parked outlives the process, whenever it stops.
func TestBacklogSurvivesRestarts(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	const cases = 1500
	_, up, stop := s.park(s.config(), cases)
	if err := stop(); err != nil { // during the outage
		t.Fatal(err)
	}
	s.run(s.config())
	up()
	s.events(cases / 10)
	for range 3 { // while it is drained
		_, stop := s.run(s.config())
		s.events(cases / 5)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	}
	s.run(s.config())
	s.source.show("LASTCASE", 1)
	s.hook("LASTCASE")
	for id, events := range s.events(cases + 1) {
		if len(events) != 1 {
			t.Errorf("case %s has %d events", id, len(events))
		}
	}
}

// P8: a hook of a case whose slot is in line goes first, and takes the slot with
// it.
func TestHookOvertakesItsSlotInLine(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	cfg := s.config()
	cfg.ReadsPerAccount = 1
	var mu sync.Mutex
	var order []string
	hangs, release := make(chan struct{}), make(chan struct{})
	cfg.Accounts[0].Read = func(ctx context.Context, caseID string) (scr.Case, error) {
		c, err := s.source.read(ctx, caseID)
		if err != nil {
			return c, err
		}
		mu.Lock()
		order = append(order, caseID)
		n := len(order)
		mu.Unlock()
		if n == 2 { // after the probe
			close(hangs)
			<-release
		}
		return c, nil
	}
	const cases = 60
	p, up, _ := s.park(cfg, cases)
	up()
	<-hangs
	gate := p.accounts[testClient].gate
	s.await("the slots of all partitions in line", func() bool { return gate.queue(waitingLine) >= testPartitions })
	mu.Lock()
	before := slices.Clone(order)
	mu.Unlock()
	late := cases - 1
	for slices.Contains(before, caseName(late)) {
		late--
	}
	s.source.show(caseName(late), 2)
	s.hook(caseName(late))
	s.await("the hook at the gate", func() bool { return gate.queue(freshLine) == 1 })
	close(release)
	events := s.events(cases)
	if got := events[caseName(late)]; len(got) != 1 || got[0].StatusType != schemas.StatusTypeFinal {
		t.Errorf("events %v", got)
	}
	mu.Lock()
	defer mu.Unlock()
	if at := slices.Index(order, caseName(late)); at > len(before)+1 {
		t.Errorf("the hook's look was number %d, %d had begun", at+1, len(before))
	}
	// The others are open and are read once more; this one is closed.
	reads := 0
	for _, id := range order {
		if id == caseName(late) {
			reads++
		}
	}
	if reads != 1 {
		t.Errorf("%d reads: the slot was looked at too", reads)
	}
}
