package lab

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/internal/audit"
	"postident-bridge/internal/scrsim"
	"postident-bridge/schemas"
)

// load is two loads at once. In the closed loop a case goes on only when the
// event of its present state is on the topic, read-committed: each change is
// visible long enough, all of them must be published, and a lost event does not
// hide behind a later one, for its case stops. The free load walks at its own
// pace whatever the bridges do: states come and go while nobody looks, and
// webhooks of one case overtake each other.
type load struct {
	sim      *scrsim.Simulator
	accounts []scrsim.Account
	decoder  *schemas.StatusDecoder
	hook     func(ctx context.Context, clientID, caseID string) (bool, error)
	window   int           // cases in the loop
	dwell    time.Duration // between an event and the next step of its case
	free     float64       // cases of the free load a second
	observe  func(*kgo.Record)

	client *kgo.Client
	tasks  sync.WaitGroup
	stop   context.CancelFunc

	mu        sync.Mutex
	stopped   bool                // guarded by mu: no case goes on
	created   int                 // guarded by mu
	finished  int                 // guarded by mu
	awaited   map[string]*awaited // guarded by mu: by caseId, in the loop
	published []audit.Published   // guarded by mu: everything so far
	resent    map[int]bool        // guarded by mu: changes whose webhook we sent again, and whether it was answered 200
	err       error               // guarded by mu
}

// awaited is a change whose event is to come.
type awaited struct {
	change scrsim.Change
	index  int
	since  time.Time
	atEnd  bool
}

const (
	// freeEvery and freeDwell are the pace of the free load: small loads, one
	// after the other, so that it can end.
	freeEvery = 5 * time.Second
	freeDwell = 700 * time.Millisecond
	// resendAfter is how long after a change its webhook is looked after: the
	// sender's last attempt comes after 60 s.
	resendAfter = 65 * time.Second
)

// start begins both loads, and reading the topic.
func (l *load) start(ctx context.Context, opts []kgo.Opt) error {
	client, err := kgo.NewClient(append(opts, kgo.ConsumeTopics(topicStatus),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxWait(100*time.Millisecond), kgo.MetadataMinAge(100*time.Millisecond))...)
	if err != nil {
		return fmt.Errorf("open consumer: %w", err)
	}
	l.client = client
	l.awaited, l.resent = make(map[string]*awaited), make(map[int]bool)
	ctx, l.stop = context.WithCancel(context.WithoutCancel(ctx))
	l.tasks.Go(func() { l.consume(ctx) })
	l.tasks.Go(func() { l.every(ctx, 2*time.Second, l.resend) })
	if l.free > 0 {
		l.tasks.Go(func() { l.every(ctx, freeEvery, l.startFree) })
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for range l.window {
		l.create()
	}
	return l.err
}

// close ends the reading, too.
func (l *load) close() {
	l.stop()
	l.tasks.Wait()
	l.client.Close()
}

// halt lets no case go on. What has changed must still be published.
func (l *load) halt() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = true
}

func (l *load) every(ctx context.Context, d time.Duration, do func(context.Context)) {
	ticker := time.NewTicker(d)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			do(ctx)
		}
	}
}

func (l *load) consume(ctx context.Context) {
	for ctx.Err() == nil {
		// Errors of the brokers pass: they are killed and come back.
		l.client.PollFetches(ctx).EachRecord(func(rec *kgo.Record) {
			if l.observe != nil {
				l.observe(rec)
			}
			e, err := l.decoder.Decode(ctx, rec.Value)
			l.take(audit.Published{
				Topic: rec.Topic, Partition: rec.Partition, Offset: rec.Offset, Timestamp: rec.Timestamp,
				Key: rec.Key, Headers: rec.Headers, Value: rec.Value, Event: e,
			}, err)
		})
	}
}

// take takes an event and lets its case go on.
func (l *load) take(p audit.Published, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.err = errors.Join(l.err, fmt.Errorf("decode %s: %w", p.Where(), err))
		return
	}
	l.published = append(l.published, p)
	e := &p.Event
	a := l.awaited[e.CaseID]
	if a == nil || e.StatusType == schemas.StatusTypeRecordsAvailable || e.Identification == nil || string(e.Method) != a.change.Method || !e.Identification.Modified.Equal(a.change.Modified) {
		return // of the free load, or a mistake that the checker names
	}
	delete(l.awaited, e.CaseID)
	if a.atEnd {
		l.finished++
		l.later(func() { l.create() })
		return
	}
	l.later(func() { l.walk(e.CaseID) })
}

// later does something with mu held when a dwell is over, unless the load has
// been halted.
func (l *load) later(do func()) {
	time.AfterFunc(l.dwell, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if !l.stopped {
			do()
		}
	})
}

// create starts a case of the loop. Callers hold mu.
func (l *load) create() {
	l.created++
	created, err := l.sim.Create(scrsim.NewCase{ClientID: l.accounts[l.created%len(l.accounts)].ClientID})
	if err != nil {
		l.err = errors.Join(l.err, err)
		return
	}
	l.walk(created.CaseID)
}

// walk takes steps until one has a webhook. Callers hold mu.
func (l *load) walk(caseID string) {
	for {
		step, err := l.sim.Advance(caseID)
		if err != nil {
			l.err = errors.Join(l.err, err)
			return
		}
		if step.Hooked {
			l.awaited[caseID] = &awaited{change: step.Change, index: step.Index, since: time.Now(), atEnd: step.AtEnd}
			return
		}
		if step.AtEnd {
			l.finished++
			l.later(func() { l.create() })
			return
		}
	}
}

func (l *load) startFree(context.Context) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stopped {
		return
	}
	if err := l.sim.StartLoad(scrsim.Load{
		Cases: max(1, int(l.free*freeEvery.Seconds())), Rate: l.free, Pacing: scrsim.Pacing{Dwell: scrsim.Duration(freeDwell)},
	}); err != nil {
		l.err = errors.Join(l.err, err)
	}
}

// resend brings the webhooks of the loop whose sender has given up: none of its
// four attempts was answered 200, so nothing was promised. The sweeps of the
// lists are what finds such changes in production. A change that was promised is
// never helped along.
func (l *load) resend(ctx context.Context) {
	l.mu.Lock()
	old := make(map[int]scrsim.Change)
	for _, a := range l.awaited {
		if time.Since(a.since) > resendAfter && !l.resent[a.index] {
			old[a.index] = a.change
		}
	}
	l.mu.Unlock()
	l.bring(ctx, old)
}

// bring brings the webhooks of changes, of those that were never answered 200.
func (l *load) bring(ctx context.Context, changes map[int]scrsim.Change) {
	if len(changes) == 0 {
		return
	}
	accepted := accepted(l.sim.Attempts())
	for index, change := range changes {
		if accepted[index] {
			continue
		}
		ok, err := l.hook(ctx, change.ClientID, change.CaseID)
		l.mu.Lock()
		l.resent[index] = l.resent[index] || ok
		l.err = errors.Join(l.err, err)
		l.mu.Unlock()
	}
}

// accepted is the changes of which a webhook was answered 200.
func accepted(attempts []scrsim.HookAttempt) map[int]bool {
	of := make(map[int]bool)
	for i := range attempts {
		if attempts[i].Status == 200 {
			of[attempts[i].Change] = true
		}
	}
	return of
}

// progress is how far the load is.
type progress struct {
	Published int // events
	Awaited   int // changes of the loop without their event
	Cases     int // of the loop, created
	Finished  int // of the loop
	Resent    int // webhooks that we sent in the sender's place
}

func (l *load) progress() (progress, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := progress{Published: len(l.published), Awaited: len(l.awaited), Cases: l.created, Finished: l.finished}
	for _, ok := range l.resent {
		if ok {
			p.Resent++
		}
	}
	return p, l.err
}

// events is every event so far.
func (l *load) events() []audit.Published {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clip(l.published)
}
