package publish

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/internal/scr"
	"postident-bridge/schemas"
)

// Bounds of a worker's loop.
const (
	maxOutstanding = 1000 // triggers not done: beyond it the inbox waits
	maxRunning     = 256  // looks under way; those that only wait for their transaction are not
	maxBatch       = 1000 // cases in one transaction
	maxPoll        = 256  // triggers in one poll
	gatherShare    = 4    // a look waits for this part of its time to be committed with others
	maxGather      = 400 * time.Millisecond
	listGather     = 400 * time.Millisecond // what a list has shown waits so long
	listRest       = 50 * time.Millisecond  // between two polls that bring what lists have shown
	forgetInterval = time.Hour              // of the search for states to forget
	busyAfter      = 5 * time.Second        // the longest wait for one of an account's reads
	maxOpen        = 100_000                // triggers done or not above the position
	carefulFor     = 10 * time.Second       // how long cases go one at a time after a refused record
	refusedFor     = 10 * time.Minute       // how long a case is not tried whose record was refused
)

// worker works on one inbox partition through one opening of its transactional
// producer. All fields are owned by the goroutine of runWorker, but for what
// read and fetch name.
type worker struct {
	p         *Publisher
	owner     *owner
	partition int32
	log       *slog.Logger
	client    *kgo.Client
	opening   string     // unique to this opening, the value of its barrier
	producer  producerID // as of the last transaction
	inboxID   string
	stateID   string
	restored  *schemas.Position // nil when case-state has none
	table     *table
	progress  progress
	position  int64 // as committed by this worker, -1 before the first
	running   map[string]bool
	waiting   map[string][]trigger            // triggers of cases that are being looked at
	behind    int                             // all of waiting
	ready     []result                        // looks to be settled in the next transaction
	commitBy  time.Time                       // until then what is ready may wait for more
	listed    bool                            // all that is ready is what lists have shown
	rests     time.Time                       // until then nothing is taken from the inbox
	results   chan result                     // from reads and from triggers sent on
	backlog   backlog                         // retry slots that are due
	ahead     lookahead                       // of the look-ups for them
	forgotten time.Time                       // last search for states to forget
	aged      time.Time                       // last search for the oldest case that waits
	inbox     inboxWatch                      // until when all webhooks were read
	archive   archiver                        // of closed cases
	hold      *suspects                       // outlives the worker
	spawn     func(func(ctx context.Context)) // runs a function beside the loop; work waits for it
}

// runWorker opens, restores and works until ctx ends or something is not as it
// should be. Whatever the error, the client is only closed: recovery is the next
// call.
func (p *Publisher) runWorker(ctx context.Context, o *owner, hold *suspects) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	o.mu.Lock()
	o.worker = cancel
	o.mu.Unlock()

	client, err := kgo.NewClient(append(p.base(), p.workerOpts(o.partition)...)...)
	if err != nil {
		return fmt.Errorf("open worker client: %w", err)
	}
	defer p.closeBounded(client.CloseAllowingRebalance)
	w := &worker{
		p: p, owner: o, partition: o.partition, log: p.cfg.Logger.With(slog.Int("partition", int(o.partition))),
		client: client, opening: newOpeningID(), table: newTable(belongsTo(o.partition, p.count)), position: -1,
		running: make(map[string]bool), waiting: make(map[string][]trigger), backlog: newBacklog(),
		results: make(chan result), inbox: inboxWatch{answers: make(chan inboxEnd)}, archive: newArchiver(), hold: hold,
	}
	began := time.Now()
	if err := w.open(ctx); err != nil {
		return err
	}
	if err := w.restore(ctx); err != nil {
		return err
	}
	if err := w.start(ctx); err != nil {
		return err
	}
	p.metrics.restored(ctx, time.Since(began))
	w.log.InfoContext(ctx, "partition taken over", "cases", w.table.len(), "position", w.progress.next,
		"producer_id", w.producer.id, "epoch", w.producer.epoch, "duration", time.Since(began))
	o.enter(phaseWorking, p.cfg.Now())
	return w.work(ctx)
}

// work is the worker's loop. It never waits for the slowest read: whatever has
// been looked at is settled and committed, while other reads go on.
//
// ctx ends the taking of work; what has been looked at by then is committed on
// a context of its own, bounded.
func (w *worker) work(ctx context.Context) error {
	finish, stop := outlive(ctx, w.p.cfg.timings.finishTimeout)
	defer stop()
	reads, cancel := context.WithCancel(ctx)
	var background sync.WaitGroup
	defer waitBounded(&background, w.p.cfg.timings.closeTimeout)
	defer cancel()

	w.hold.begin(w.p.cfg.Now())
	w.inbox.notYet = w.p.cfg.Now().Add(inboxGrace)
	fetched, failed := make(chan []*kgo.Record), make(chan error, 1)
	w.spawn = func(f func(context.Context)) { background.Go(func() { f(reads) }) }
	w.spawn(func(ctx context.Context) { w.fetch(ctx, fetched, failed) })
	answers, deaf := w.p.bell.listen()
	defer deaf()
	for {
		if ctx.Err() != nil || w.gather(w.p.cfg.Now()) == 0 {
			if err := w.commitReady(finish); err != nil {
				return err
			}
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		w.startDue()
		w.watchInbox()
		w.startArchiving()
		if err := w.waitForWork(ctx, fetched, failed, answers); err != nil {
			return err
		}
	}
}

// waitForWork waits for one thing to happen, and then takes all results that
// are there.
func (w *worker) waitForWork(ctx context.Context, fetched <-chan []*kgo.Record, failed <-chan error, answers <-chan struct{}) error {
	pause := w.untilDue()
	if len(w.ready) > 0 {
		gather := w.gather(w.p.cfg.Now())
		if gather == 0 {
			return nil
		}
		pause = min(pause, gather)
	}
	if w.full() {
		fetched = nil
	} else if rest := w.rests.Sub(w.p.cfg.Now()); rest > 0 {
		fetched, pause = nil, min(pause, rest)
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return err
	case <-timer.C:
	case <-answers:
	case recs := <-fetched:
		for _, rec := range recs {
			w.take(ctx, rec)
		}
		// A page of a list is spread over all partitions, and each would be fetched for
		// a few triggers: a sixth of what a broker does during a backfill.
		if w.listed && len(recs) < maxPoll {
			w.rests = w.p.cfg.Now().Add(listRest)
		}
	case r := <-w.results:
		w.finished(r)
	case e := <-w.inbox.answers:
		w.answered(e)
	case r := <-w.archive.answers:
		w.archiveAnswered(ctx, r)
	}
	for {
		select {
		case r := <-w.results:
			w.finished(r)
		default:
			return nil
		}
	}
}

// full says that no more is taken from the inbox for now. What waits behind a look
// does not count: many hooks of one case that hangs must not stop the others.
func (w *worker) full() bool {
	return w.progress.undone-w.behind >= maxOutstanding || len(w.progress.open) >= maxOpen ||
		len(w.running)-len(w.ready)-len(w.backlog.begun) >= maxRunning
}

// settleSoon puts a look that is done into the next transaction. Under load each
// look would have a transaction of its own, and transactions are what the broker
// is busy with. So while others are under way, one that took long waits some
// more, a small part of its time, to be committed with them; what came at once
// goes at once. What a list has shown is seconds old and has others behind it in
// the inbox, so it waits for them, but holds up nothing that does not come from a
// list.
func (w *worker) settleSoon(r result) {
	var by time.Time // at once
	now := w.p.cfg.Now()
	listed := r.observed != nil
	switch {
	case listed:
		by = now.Add(listGather)
	case !r.began.IsZero():
		by = now.Add(min(now.Sub(r.began)/gatherShare, maxGather))
	}
	if len(w.ready) == 0 || by.Before(w.commitBy) {
		w.commitBy = by
	}
	w.listed = listed && (w.listed || len(w.ready) == 0)
	w.ready = append(w.ready, r)
}

// gather is how long what is ready may wait for more; zero to commit now.
func (w *worker) gather(now time.Time) time.Duration {
	if len(w.ready) == 0 || len(w.ready) >= maxBatch {
		return 0
	}
	more := len(w.running) > len(w.ready)
	if w.listed {
		more = !w.full()
	}
	if !more {
		return 0
	}
	return max(w.commitBy.Sub(now), 0)
}

// untilDue is the time until a retry may be due.
func (w *worker) untilDue() time.Duration {
	now := w.p.cfg.Now()
	pause := forgetInterval
	for _, due := range []time.Time{w.table.nextDue(), w.backlog.nextProbe(now)} {
		if !due.IsZero() {
			pause = min(pause, max(due.Sub(now), time.Millisecond))
		}
	}
	if ask, will := w.untilWatch(now); will {
		pause = min(pause, max(ask, time.Millisecond))
	}
	if w.archives() && !w.archive.asking {
		pause = min(pause, max(w.archive.next.Sub(now), time.Millisecond))
	}
	return pause
}

// fetch polls the inbox until ctx ends.
func (w *worker) fetch(ctx context.Context, fetched chan<- []*kgo.Record, failed chan<- error) {
	for {
		// Crash point "fetch": the position has not moved.
		fetches := w.client.PollRecords(ctx, maxPoll)
		if ctx.Err() != nil {
			return
		}
		if err := fetchError(fetches); err != nil {
			failed <- err
			return
		}
		recs := fetches.Records()
		if len(recs) == 0 {
			continue
		}
		select {
		case fetched <- recs:
		case <-ctx.Done():
			return
		}
	}
}

// commitReady settles what is ready and commits it in one transaction. In the
// careful times after a refused record each case, and each dead letter, goes
// alone.
func (w *worker) commitReady(ctx context.Context) error {
	for {
		limit := w.hold.batch(w.p.cfg.Now())
		results := w.ready[:min(limit, len(w.ready))]
		w.ready = w.ready[len(results):]
		b := w.settleAll(ctx, results, limit)
		if len(w.ready) == 0 {
			clear(results)
			w.ready = results[:0] // for the next ones
		}
		if b.empty() {
			if len(results) == 0 {
				return nil
			}
			continue // what it left to pass may fall due in a batch of its own
		}
		if err := w.commitBatch(ctx, b); err != nil {
			w.hold.blame(err, b, w.p.cfg.Topics.DeadLetter, w.p.cfg.Now())
			return err
		}
		w.owner.settled()
		w.hold.passed(w.p.cfg.Now())
		w.committed(ctx, b)
	}
}

// settleAll builds the batch of one transaction, of limit cases and dead letters
// at most.
func (w *worker) settleAll(ctx context.Context, results []result, limit int) *batch {
	b := &batch{position: w.position}
	for _, r := range results {
		if !w.settle(ctx, b, r) {
			w.read(r.job) // an observation in doubt
		}
	}
	if len(results) == 0 {
		w.tidy(b, limit)
	}
	position, due := w.progress.pass(max(0, limit-len(results)-len(b.letters)))
	b.letters = append(b.letters, due...)
	b.position, b.moved = position, position != w.position
	return b
}

// tidy changes states that nobody looks at. What it does comes one at a time: a
// case must not stand twice in one batch.
func (w *worker) tidy(b *batch, limit int) {
	w.noteOldest()
	if w.forgetOld(b); len(b.states) > 0 {
		return
	}
	if w.judgeHooks(b, limit); len(b.states) > 0 {
		return
	}
	w.noteArchived(b, limit)
}

// commitBatch writes the batch: events, dead letters, states and the position,
// all or nothing.
func (w *worker) commitBatch(ctx context.Context, b *batch) error {
	records := b.events
	for _, l := range b.letters {
		if w.hold.dropped(l) {
			w.p.metrics.letterDropped(ctx)
			w.log.ErrorContext(ctx, "dead letter is refused even bare, passed over", "offset", l.trigger.offset, "reason", l.reason)
			continue
		}
		records = append(records, w.letterRecord(l))
	}
	for i := range b.states {
		s := &b.states[i]
		var value []byte
		if s.next != nil {
			var err error
			if value, err = schemas.EncodeCaseState(*s.next); err != nil {
				// Too large, say: the case is to blame, as if a broker had refused it.
				return &recordRefusedError{Topic: w.p.cfg.Topics.CaseState, Err: fmt.Errorf("encode case state: %w", err)}
			}
		}
		s.record = w.stateRecord(s.key, value)
		records = append(records, s.record)
	}
	position, err := schemas.EncodePosition(schemas.Position{
		InboxTopicID: w.inboxID, Partitions: int(w.p.count), Offset: b.position, OpeningID: w.opening, UpdatedAt: w.p.cfg.Now(),
	})
	if err != nil {
		return fmt.Errorf("encode position: %w", err)
	}
	records = append(records, w.stateRecord(schemas.PositionKey, position))
	return w.commit(ctx, records)
}

// committed takes what was committed into the table, and starts what waited.
func (w *worker) committed(ctx context.Context, b *batch) {
	w.position = b.position
	for _, s := range b.states {
		if s.next == nil {
			w.table.forget(s.key)
			continue
		}
		w.loadCase(ctx, s.record)
		if s.next.Retry != nil {
			w.table.wake(s.key, s.next.Retry.NotBefore)
		}
		w.table.expect(s.key, s.next.HooksDue)
	}
	w.p.metrics.committed(ctx, w.p.cfg.Now(), b)
	w.tellMissed(ctx, b)
	for _, key := range b.looked {
		w.release(key)
	}
	w.p.follower.note(w.inboxID, w.partition, b.position)
}

// release ends the look at a case, and starts the next one if triggers came in
// the meantime: the look under way may have been too early for them.
func (w *worker) release(key string) {
	delete(w.running, key)
	next := w.waiting[key]
	delete(w.waiting, key)
	w.behind -= len(next)
	if len(next) > 0 {
		w.look(key, next)
	}
}

func (w *worker) stateRecord(key string, value []byte) *kgo.Record {
	return &kgo.Record{Topic: w.p.cfg.Topics.CaseState, Partition: w.partition, Key: []byte(key), Value: value}
}

// forgetOld writes tombstones for closed cases that the source, the inbox and
// the dead letters have forgotten for long. State goes by clock only, never
// because of a 404.
func (w *worker) forgetOld(b *batch) {
	now := w.p.cfg.Now()
	if now.Sub(w.forgotten) < forgetInterval {
		return
	}
	keys := w.table.old(now.Add(-w.p.cfg.ForgetAfter), func(status string) bool { return status == scr.CaseClosed }, maxBatch+1)
	if len(keys) <= maxBatch {
		w.forgotten = now
	} else {
		keys = keys[:maxBatch]
	}
	for _, key := range keys {
		if !w.running[key] {
			b.states = append(b.states, stateChange{key: key})
		}
	}
}

// waitBounded waits for what runs beside the loop. A paused broker does not let
// it end in time; then it ends later, and touches nothing of the worker.
func waitBounded(background *sync.WaitGroup, limit time.Duration) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		background.Wait()
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}

// outlive returns a context that ends only some time after ctx does.
func outlive(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	out, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	release := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(grace, func() { cancel(context.Cause(ctx)) })
		context.AfterFunc(out, func() { timer.Stop() })
	})
	return out, func() { release(); cancel(nil) }
}
