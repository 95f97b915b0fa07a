package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"postident-bridge/internal/observation"
	"postident-bridge/internal/right"
	"postident-bridge/internal/scr"
	"postident-bridge/schemas"
)

// BackfillConfig is what NewBackfill needs.
type BackfillConfig struct {
	Account PollAccount
	// Inbox and Cursors are where triggers and progress go; nil for a dry run,
	// which only lists and counts.
	Inbox   *Inbox
	Cursors *Cursors
	// From and Until are times of creation, From inclusive and Until exclusive,
	// to the second.
	From, Until time.Time
	NewestFirst bool
	// Waiting tells how the inbox is worked off; nil means that the backfill waits
	// for nobody.
	Waiting func(ctx context.Context) (Backlog, error)
	// Tell is called after each answer; nil means nobody is told.
	Tell   func(BackfillStatus)
	Logger *slog.Logger     // nil means silence
	Now    func() time.Time // nil means time.Now
}

// BackfillStatus is how far a backfill has come.
type BackfillStatus struct {
	schemas.Backfill
	Resumed bool    // it goes on where an interrupted one was
	Covered float64 // the part of its time that is done, 0 to 1
}

// Backfill lists every case of an account that was created in a span of time, and
// writes a trigger for each. What was published already gives no second event, so
// running it twice adds nothing. Its progress is a record in poll-cursor, written
// once the triggers of an answer are acknowledged: an interrupted one, however it
// ended, goes on from there.
type Backfill struct {
	cfg    BackfillConfig
	bounds bounds
	brake  brake
	pace   pace
}

// NewBackfill checks the configuration and starts nothing.
func NewBackfill(cfg BackfillConfig) (*Backfill, error) {
	var errs []error
	if cfg.Account.List == nil {
		errs = append(errs, errors.New("account: no reader of lists"))
	}
	if (cfg.Inbox == nil) != (cfg.Cursors == nil) {
		errs = append(errs, errors.New("inbox and cursors go together"))
	}
	if !cfg.Until.After(cfg.From) {
		errs = append(errs, errors.New("until must be after from"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("check backfill: %w", err)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Tell == nil {
		cfg.Tell = func(BackfillStatus) {}
	}
	cfg.From, cfg.Until = cfg.From.UTC().Truncate(second), cfg.Until.UTC().Truncate(second)
	return &Backfill{cfg: cfg}, nil
}

// Run lists until everything is listed and written, or ctx ends. The next list is
// asked for while the triggers of the last one are on their way. A backfill that
// has ended before, and after its span, is not repeated: its status says when.
// Requests that fail are repeated with back-off, but for refused credentials, which
// end it. So does a trigger that Kafka refuses: what was not written has to be
// listed again, and the next run does.
func (b *Backfill) Run(ctx context.Context) (BackfillStatus, error) {
	status, err := b.begin(ctx)
	if err != nil || status.EndedAt != nil {
		return status, err
	}
	from, until := status.Next, b.cfg.Until
	if b.cfg.NewestFirst {
		from, until = b.cfg.From, status.Next
	}
	s := &sweep{kind: sweepBackfill, walk: newWalk(from, until, 0), began: status.StartedAt}
	s.walk.newestFirst = b.cfg.NewestFirst
	writing := &writing{status: status}
	err = b.list(ctx, s, writing)
	return writing.status, errors.Join(err, writing.end())
}

// list walks to the end, and hands over what each answer showed.
func (b *Backfill) list(ctx context.Context, s *sweep, writing *writing) error {
	status := writing.status // as it will be once everything is written
	for !s.walk.done() {
		if err := b.wait(ctx); err != nil {
			return err
		}
		a, err := b.request(ctx, s)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if refused := (*scr.UnauthorisedError)(nil); errors.As(err, &refused) {
			return err
		}
		status.Requests++
		if err != nil {
			b.brake.failed(b.cfg.Now(), err, rand.Float64()) //nolint:gosec // jitter secures nothing
			b.cfg.Logger.WarnContext(ctx, "backfill request failed", slog.Any("error", err), slog.Time("next_request", b.brake.until))
			continue
		}
		b.brake.passed()
		status.Cases += int64(len(a.hints))
		if a.meant == stepHole {
			status.Holes++
		}
		if a.meant != stepAgain {
			b.advance(&status, s.walk)
		}
		if err := writing.end(); err != nil {
			return err
		}
		b.cfg.Tell(writing.status)
		b.pace.wrote(len(a.hints))
		writing.begin(status, func(status *BackfillStatus) error { return b.write(ctx, a, status) })
	}
	if err := writing.end(); err != nil {
		return err
	}
	b.cfg.Tell(writing.status)
	return nil
}

// writing is an answer on its way to Kafka, one at a time.
type writing struct {
	status BackfillStatus // of what is written
	done   chan error     // nil when nothing is on its way
	then   BackfillStatus // once that is written
}

// begin has write done beside the caller. It follows an end.
func (w *writing) begin(then BackfillStatus, write func(*BackfillStatus) error) {
	w.done, w.then = make(chan error, 1), then
	go func() { w.done <- write(&w.then) }()
}

// end waits for what is on its way, if anything is.
func (w *writing) end() error {
	if w.done == nil {
		return nil
	}
	err := <-w.done
	if w.done = nil; err == nil {
		w.status = w.then
	}
	return err
}

// begin finds out where to go on.
func (b *Backfill) begin(ctx context.Context) (BackfillStatus, error) {
	fresh := BackfillStatus{Backfill: schemas.Backfill{
		From: b.cfg.From, Until: b.cfg.Until, NewestFirst: b.cfg.NewestFirst, Next: b.cfg.From, StartedAt: b.cfg.Now(),
	}}
	if b.cfg.NewestFirst {
		fresh.Next = b.cfg.Until
	}
	if b.cfg.Cursors == nil {
		return fresh, nil
	}
	cursor, err := b.cfg.Cursors.Read(ctx, b.key())
	if err != nil {
		return fresh, err
	}
	// One that went the other way has listed what this one has not.
	if cursor == nil || cursor.Backfill == nil || cursor.Backfill.EndedAt == nil && cursor.Backfill.NewestFirst != b.cfg.NewestFirst {
		return fresh, nil
	}
	// One that ended before its span did has not listed what was created since.
	if ended := cursor.Backfill.EndedAt; ended != nil && ended.Before(b.cfg.Until) {
		return fresh, nil
	}
	resumed := BackfillStatus{Backfill: *cursor.Backfill, Resumed: true}
	resumed.Covered = b.covered(resumed.Next)
	return resumed, nil
}

func (b *Backfill) key() string {
	return schemas.BackfillCursorKey(b.cfg.Account.ClientID, b.cfg.From, b.cfg.Until)
}

// covered is the part of the span on the near side of a time.
func (b *Backfill) covered(next time.Time) float64 {
	done := next.Sub(b.cfg.From)
	if b.cfg.NewestFirst {
		done = b.cfg.Until.Sub(next)
	}
	return float64(done) / float64(b.cfg.Until.Sub(b.cfg.From))
}

// wait waits for the brake, and for those who work the inbox off.
func (b *Backfill) wait(ctx context.Context) error {
	if err := pause(ctx, b.brake.holds(b.cfg.Now())); err != nil {
		return err
	}
	if b.cfg.Waiting == nil || b.pace.knows(b.cfg.Now()) {
		return nil
	}
	for {
		backlog, err := b.cfg.Waiting(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err == nil && b.pace.admits(b.cfg.Now(), backlog) {
			return nil
		}
		if missing := (*right.MissingError)(nil); errors.As(err, &missing) {
			return err // nothing mends it but a person, and the next run goes on here
		}
		if err != nil {
			b.cfg.Logger.WarnContext(ctx, "backlog of the inbox not seen", slog.Any("error", err))
		}
		if err := pause(ctx, paceInterval); err != nil {
			return err
		}
	}
}

// listed is what an answer showed, and what it meant.
type listed struct {
	hints []Hint
	meant step
}

// request asks for one window.
func (b *Backfill) request(ctx context.Context, s *sweep) (listed, error) {
	r := s.next(&b.bounds)
	var a listed
	var seen []string
	asked := b.cfg.Now()
	// Crash point "list": nothing of it is written yet; the list is read again.
	page, err := b.cfg.Account.List(ctx, r.filter, func(l scr.Listed) {
		if l.CaseID == "" {
			return // counted by the client; nothing can be asked for
		}
		h := hintOf(b.cfg.Account.ClientID, l.CaseID, schemas.SourceBackfill, asked)
		if l.Err == nil {
			if r.sees(&b.bounds, &l.Case) {
				seen = append(seen, l.CaseID)
			}
			h.Observation = new(observation.Of(l.Case, asked))
		}
		a.hints = append(a.hints, h)
	})
	switch {
	case isTooLarge(err):
		a.hints, a.meant = nil, s.tooLarge(r)
	case err != nil:
		s.failed(r, err)
		return listed{}, fmt.Errorf("list cases: %w", err)
	default:
		a.meant = s.answered(r, page.Entries, page.Partial, seen, &b.bounds)
	}
	if a.meant == stepAgain && r.window.width() > second {
		a.hints = nil // a narrower request shows them again
	}
	if a.meant == stepHole {
		b.cfg.Logger.ErrorContext(ctx, "window holds more than one answer can, some cases are missed", slog.String("kind", string(s.kind)),
			slog.Time("from", r.window.from), slog.Time("until", r.window.until), slog.Int("hits", page.Entries))
	}
	return a, nil
}

// advance moves the progress on behind the windows that a walk has passed.
func (b *Backfill) advance(status *BackfillStatus, w *walk) {
	status.Next = w.from
	if w.newestFirst {
		status.Next = w.until
	}
	status.Covered = b.covered(status.Next)
	if w.done() {
		status.Covered, status.EndedAt = 1, new(b.cfg.Now())
	}
}

// write puts the triggers of an answer into the inbox, and then notes the progress:
// behind its window, where that is done with.
func (b *Backfill) write(ctx context.Context, a listed, status *BackfillStatus) error {
	if b.cfg.Inbox == nil {
		return nil
	}
	if err := b.cfg.Inbox.Put(ctx, a.hints); err != nil {
		return err
	}
	if a.meant == stepAgain {
		return nil
	}
	return b.cfg.Cursors.Write(ctx, b.key(), schemas.PollCursor{
		ClientID: b.cfg.Account.ClientID, Backfill: &status.Backfill, UpdatedAt: b.cfg.Now(),
	})
}

// pause waits for d, or gives the reason why ctx ended.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
