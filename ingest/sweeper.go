package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/internal/observation"
	"postident-bridge/internal/right"
	"postident-bridge/internal/scr"
	"postident-bridge/schemas"
)

// sweeper sweeps one account for as long as this process owns it.
type sweeper struct {
	p       *Poller
	account PollAccount
	log     *slog.Logger
	inbox   *Inbox   // set by Run before the first run
	cursors *Cursors // set by Run before the first run
	// turn is held by the one run that works: an account that left and came back
	// must not be swept by two.
	turn chan struct{}

	// Owned by that run; they outlive it, for what they know stays true.
	digests *digests
	bounds  bounds
	brake   brake

	progress sweepProgress
}

// sweepProgress is what the metrics ask for.
type sweepProgress struct {
	mu      sync.Mutex
	working bool                    // guarded by mu
	good    map[SweepKind]time.Time // guarded by mu: when the last whole sweep began
	skew    time.Duration           // guarded by mu
}

func newSweeper(p *Poller, a PollAccount) *sweeper {
	return &sweeper{
		p: p, account: a, log: p.cfg.Logger.With(slog.String("client_id", a.ClientID)),
		turn: make(chan struct{}, 1), digests: newDigests(), progress: sweepProgress{good: make(map[SweepKind]time.Time)},
	}
}

// run sweeps until ctx ends. It is the loop; request is the once.
func (s *sweeper) run(ctx context.Context) {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return
	}
	cursor, ok := s.takeOver(ctx)
	if !ok {
		return
	}
	agenda := newAgenda(s.p.cfg.Plan, cursor)
	s.progress.begin(s.p.cfg.Now(), cursor)
	defer s.progress.end()
	s.log.InfoContext(ctx, "account taken over for sweeps")
	defer s.log.InfoContext(context.WithoutCancel(ctx), "account released")
	for {
		now := s.p.cfg.Now()
		kind, at := agenda.next(now)
		if pause(ctx, max(at.Sub(now), s.brake.holds(now))) != nil {
			return
		}
		if err := s.p.counts(ctx); err != nil {
			if pause(ctx, time.Second) != nil {
				return
			}
			continue // if the account is another's by now, ctx will end
		}
		err := s.request(ctx, agenda, kind)
		if ctx.Err() != nil {
			return
		}
		s.settle(ctx, kind, err)
	}
}

// takeOver reads how far the account's sweeps have come.
func (s *sweeper) takeOver(ctx context.Context) (schemas.Sweeps, bool) {
	for {
		cursor, err := s.cursors.Read(ctx, schemas.LiveCursorKey(s.account.ClientID))
		switch {
		case ctx.Err() != nil:
			return schemas.Sweeps{}, false
		case err == nil && cursor != nil && cursor.Sweeps != nil:
			return *cursor.Sweeps, true
		case err == nil:
			return schemas.Sweeps{}, true
		}
		s.log.WarnContext(ctx, "cursor not read", slog.Any("error", err))
		if pause(ctx, time.Second) != nil {
			return schemas.Sweeps{}, false
		}
	}
}

// settle lets a request's outcome hold the next ones back.
func (s *sweeper) settle(ctx context.Context, kind SweepKind, err error) {
	s.p.metrics.request(ctx, s.account.ClientID, kind, err)
	if err == nil {
		s.brake.passed()
		return
	}
	now := s.p.cfg.Now()
	s.brake.failed(now, err, s.p.cfg.jitter())
	if refused := (*scr.UnauthorisedError)(nil); errors.As(err, &refused) { // nothing mends it but a person
		s.log.ErrorContext(ctx, "account is refused, not swept", slog.Any("error", err), slog.Time("next_request", s.brake.until))
		return
	}
	s.log.WarnContext(ctx, "sweep failed", slog.String("kind", string(kind)), slog.Any("error", err), slog.Time("next_request", s.brake.until))
}

// found is what one answer brought for the inbox.
type found struct {
	asked  time.Time
	hints  []Hint
	sums   map[string]uint64 // by caseId, of hints with an observation
	second []string          // cases of the window's first second
	broken int               // entries that cannot be read
}

// request asks for one window, writes what it shows to the inbox, and then moves
// the cursor.
func (s *sweeper) request(ctx context.Context, a *agenda, kind SweepKind) error {
	began := s.p.cfg.Now()
	sweep := a.sweep(kind, began)
	r := sweep.next(&s.bounds)
	f := found{asked: began, sums: make(map[string]uint64)}
	// Crash point "list": nothing is written yet; the list is read again. An answer
	// that comes to a process that slept is old: its triggers only say look again,
	// and what they carry is older than what was published.
	page, err := s.account.List(ctx, r.filter, func(l scr.Listed) { s.take(&f, sweep, r, l) })
	if isTooLarge(err) {
		return s.step(ctx, a, sweep, r, page, sweep.tooLarge(r))
	}
	if err != nil {
		sweep.failed(r, err)
		return fmt.Errorf("list cases: %w", err)
	}
	s.measured(page.Skew)
	if err := s.inbox.Put(ctx, f.hints); err != nil {
		return err
	}
	for caseID, sum := range f.sums {
		s.digests.note(caseID, sum, began)
	}
	s.p.metrics.listed(ctx, s.account.ClientID, kind, page.Entries, len(f.hints), f.broken)
	return s.step(ctx, a, sweep, r, page, sweep.answered(r, page.Entries, page.Partial, f.second, &s.bounds))
}

// isTooLarge says that an answer was refused for its size.
func isTooLarge(err error) bool {
	rejected := (*scr.RejectedError)(nil)
	return errors.As(err, &rejected) && rejected.Reason == scr.RejectedTooLarge
}

// step does what an answer meant for its sweep.
func (s *sweeper) step(ctx context.Context, a *agenda, sweep *sweep, r request, page scr.Page, meant step) error {
	switch meant {
	case stepAgain:
		return nil
	case stepHole:
		s.p.metrics.hole(ctx, s.account.ClientID, sweep.kind)
		s.log.ErrorContext(ctx, "window holds more than one answer can, some cases are missed", slog.String("kind", string(sweep.kind)),
			slog.Time("from", r.window.from), slog.Time("until", r.window.until), slog.Int("hits", page.Entries))
	case stepPassed:
	}
	return s.passed(ctx, a, sweep, r, page)
}

// passed notes a window that is done with, in the cursor too.
func (s *sweeper) passed(ctx context.Context, a *agenda, sweep *sweep, r request, page scr.Page) error {
	s.p.metrics.window(ctx, s.account.ClientID, sweep.kind)
	now := s.p.cfg.Now()
	every := a.plan.every(sweep.kind)
	done := a.passed(sweep, r, page.Sent, page.Skew, every-time.Duration(s.p.cfg.jitter()*float64(every)/10))
	if done {
		s.progress.whole(sweep.kind, sweep.began)
		s.p.metrics.swept(ctx, s.account.ClientID, sweep.kind, now.Sub(sweep.began))
		s.digests.forget(s.progress.shownSince(a.plan))
		s.log.DebugContext(ctx, "swept", slog.String("kind", string(sweep.kind)),
			slog.Time("began", sweep.began), slog.Duration("took", now.Sub(sweep.began)))
	} else if sweep.kind == SweepOpen {
		return nil // the cursor knows whole open sweeps only
	}
	return s.cursors.Write(ctx, schemas.LiveCursorKey(s.account.ClientID), schemas.PollCursor{
		ClientID: s.account.ClientID, Sweeps: new(a.cursor), UpdatedAt: now,
	})
}

// take makes a trigger of an entry, unless the last one said the same.
func (s *sweeper) take(f *found, sweep *sweep, r request, l scr.Listed) {
	if l.Err != nil {
		f.broken++
		if l.CaseID == "" {
			return
		}
		f.hints = append(f.hints, s.hint(l.CaseID)) // the worker reads the case, and knows what to do
		return
	}
	if r.sees(&s.bounds, &l.Case) {
		f.second = append(f.second, l.CaseID)
	}
	observed := observation.Of(l.Case, f.asked)
	sum, err := s.digests.sum(l.CaseID, observed)
	switch {
	case err != nil: // too large for a trigger, say
		f.hints = append(f.hints, s.hint(l.CaseID))
		return
	case s.digests.same(l.CaseID, sum, f.asked):
		return
	}
	h := s.hint(l.CaseID)
	h.Observation = &observed
	f.hints = append(f.hints, h)
	// The closed cases of a reconciliation come once a day, and are many.
	if sweep.kind != SweepReconcile || l.Case.Status.Status != scr.CaseClosed {
		f.sums[l.CaseID] = sum
	}
}

func (s *sweeper) hint(caseID string) Hint {
	return hintOf(s.account.ClientID, caseID, schemas.SourceSweep, s.p.cfg.Now())
}

// hintOf is a trigger that says no more than look at this case.
func hintOf(clientID, caseID string, source schemas.Source, now time.Time) Hint {
	return Hint{Trigger: schemas.Trigger{ClientID: clientID, CaseID: caseID, Source: source, ReceivedAt: now}}
}

// measured notes how far the server's clock is off.
func (s *sweeper) measured(skew time.Duration) {
	s.progress.mu.Lock()
	defer s.progress.mu.Unlock()
	s.progress.skew = skew
}

// begin notes that this process sweeps the account, from where the cursor stands.
func (p *sweepProgress) begin(now time.Time, cursor schemas.Sweeps) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.working = true
	for kind, at := range map[SweepKind]*time.Time{
		SweepClosed: cursor.ClosedUntil, SweepOpen: cursor.OpenAt, SweepReconcile: cursor.ReconciledAt,
	} {
		if at != nil {
			p.good[kind] = *at
		} else if _, known := p.good[kind]; !known {
			p.good[kind] = now // from here on it has to come
		}
	}
}

func (p *sweepProgress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.working = false
}

func (p *sweepProgress) whole(kind SweepKind, began time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.good[kind] = began
}

// shownSince is a time since when an answer has shown every case that closed and
// open sweeps show, however long they took.
func (p *sweepProgress) shownSince(plan SweepPlan) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	since := p.good[SweepClosed]
	if plan.every(SweepOpen) > 0 && p.good[SweepOpen].Before(since) {
		since = p.good[SweepOpen]
	}
	return since
}

// partitionsOf asks how many partitions a topic has.
func partitionsOf(ctx context.Context, client *kgo.Client, topic string) (int, error) {
	details, err := kadm.NewClient(client).ListTopics(ctx, topic)
	if err != nil {
		return 0, fmt.Errorf("find topic %s: %w", topic, err)
	}
	if err := details[topic].Err; err != nil {
		return 0, fmt.Errorf("find topic %s: %w", topic, right.Missing(err, right.OnTopic(right.Read, topic)))
	}
	if n := len(details[topic].Partitions); n > 0 {
		return n, nil
	}
	return 0, fmt.Errorf("find topic %s: it has no partitions", topic)
}

// seen is what the metrics tell.
func (p *sweepProgress) seen() (good map[SweepKind]time.Time, skew time.Duration, working bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.good), p.skew, p.working
}
