package publish

import (
	"cmp"
	"context"
	"errors"
	"regexp"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"postident-bridge/internal/scr"
	"postident-bridge/schemas"
)

// trigger is a trigger with the record that it came in.
type trigger struct {
	schemas.Trigger
	offset  int64 // in the inbox; its partition is the worker's
	value   []byte
	headers []kgo.RecordHeader
}

// job is one look at one case: at most one a case is under way.
type job struct {
	key      string
	account  *account
	triggers []trigger  // none when only the retry slot asks
	slot     bool       // the case's retry is due, and this look is its attempt
	stateAt  int64      // where the slot's trigger stands in case-state
	claim    *lookClaim // of a slot: whoever takes it goes first
	resend   *kgo.Record
	began    time.Time          // of a look that reads: when it got in line; zero else
	prev     *schemas.CaseState // of a look that may store records: what was published when it began
	confirm  bool               // likewise: it settles a doubt
}

// result is a finished look.
type result struct {
	job
	origin   trigger   // the first trigger, or the slot's
	observed *snapshot // from the trigger's own observation; nil after a read
	answer   scr.Case
	full     *scr.Result // the answer with all that it held; nil if nobody wants it
	stored   stored      // what became of its records
	readAt   time.Time   // when the read began
	trace    string      // traceparent for the events
	err      error
}

var (
	// errBusy says that the account's reads under way left no slot in time.
	errBusy = errors.New("no free read in time")
	// errDeadline is the cause of a read's deadline.
	errDeadline = errors.New("read deadline exceeded")
	// errBlocked says that the account's breaker is open.
	errBlocked = errors.New("account is held back")
)

// traceparent is the header that goes with what a look gives, nil for none.
func (r *result) traceparent() *string {
	if r.trace == "" {
		return nil
	}
	return &r.trace
}

// take takes a record of the inbox.
func (w *worker) take(ctx context.Context, rec *kgo.Record) {
	w.progress.add(rec.Offset)
	t := trigger{offset: rec.Offset, value: rec.Value, headers: rec.Headers}
	var err error
	// Crash point "decode": the letter of bytes that are not ours is written in
	// the transaction in which the position passes them, so it stands there once.
	if t.Trigger, err = schemas.DecodeTrigger(rec.Value); err != nil {
		w.log.WarnContext(ctx, "trigger cannot be read", "offset", rec.Offset, "error", err)
		w.progress.done(rec.Offset, w.letter(t, string(rec.Key), reasonUnreadable, err, 0))
		return
	}
	w.p.metrics.triggered(ctx, t.Source)
	key := stateKey(t.ClientID, t.CaseID)
	switch {
	case !scr.ValidCaseID(t.CaseID):
		w.progress.done(t.offset, w.letter(t, string(rec.Key), reasonUnreadable, errCaseID, 0))
	case !w.table.belongs([]byte(t.CaseID)):
		w.sendOn(job{key: key, triggers: []trigger{t}, resend: &kgo.Record{Key: []byte(t.CaseID), Value: rec.Value, Headers: rec.Headers}})
	case w.p.accounts[t.ClientID] == nil:
		w.progress.done(t.offset, w.letter(t, t.CaseID, reasonUnknownAccount, errUnknownAccount, 0))
	case w.table.quarantined[key]:
		w.progress.done(t.offset, w.letter(t, t.CaseID, reasonQuarantined, errQuarantined, 0))
	case w.hold.refuses(key, w.p.cfg.Now):
		w.progress.done(t.offset, w.letter(t, t.CaseID, reasonRefused, errRefusedRecord, 0))
	case !w.running[key]:
		w.look(key, []trigger{t})
	case w.overtake(key):
		w.look(key, []trigger{t})
		w.lineUp(key, w.p.cfg.Now())
	default:
		w.waiting[key] = append(w.waiting[key], t)
		w.behind++
	}
}

var (
	errCaseID         = errors.New("malformed case id")
	errUnknownAccount = errors.New("account is not configured")
	errQuarantined    = errors.New("state of the case cannot be used")
	errRefusedRecord  = errors.New("broker refuses a record of the case")
)

// look looks at a case for triggers that are not done yet; they are its own now.
func (w *worker) look(key string, triggers []trigger) {
	prev := w.table.get(key)
	asking := triggers[:0]
	for _, t := range triggers {
		if joins(prev, t.Trigger) {
			if hastens(prev, t.Trigger) {
				w.table.wake(key, w.p.cfg.Now())
			}
			w.progress.done(t.offset, nil)
			continue
		}
		asking = append(asking, t)
	}
	if len(asking) == 0 {
		return
	}
	w.running[key] = true
	j := job{key: key, account: w.p.accounts[clientOf(key)], triggers: asking}
	// A slot that waits asks for a read, whatever a list has shown meanwhile.
	if last := asking[0]; len(asking) == 1 && last.Observation != nil && (prev == nil || prev.Retry == nil) {
		s := snapshotOfObservation(last.Trigger)
		w.settleSoon(result{job: j, origin: last, observed: &s, trace: validTraceparent(last.Traceparent)})
		return
	}
	switch {
	case j.account.holdsBack(w.p.cfg.Now()):
		w.settleSoon(result{job: j, origin: newestHook(asking), err: errBlocked})
	case j.account.congested():
		w.settleSoon(result{job: j, origin: newestHook(asking), err: errBusy})
	default:
		w.read(j)
	}
}

// joins says that a trigger from a list needs no look of its own: the case's
// retry slot is going to look, or the case went to the dead letters and the
// list shows nothing newer.
func joins(prev *schemas.CaseState, t schemas.Trigger) bool {
	if prev == nil || t.Source != schemas.SourceSweep && t.Source != schemas.SourceBackfill {
		return false
	}
	if prev.Retry != nil {
		return true
	}
	mark := prev.DeadLettered
	return mark != nil && (t.Observation == nil || !t.Observation.Modified.After(mark.At))
}

// hastens says that a trigger which joins a slot shows a change, and the slot only
// waits to look again: it looks now, before the change is overtaken by the next.
// A fault of the case keeps its pauses, and an account that is down its breaker.
func hastens(prev *schemas.CaseState, t schemas.Trigger) bool {
	return prev.Retry != nil && (prev.Retry.Kind == schemas.RetryRecheck || waitsForRecords(prev.Retry)) && t.Observation != nil &&
		t.Observation.Modified.After(timeOrZero(prev.CaseModified))
}

// newestHook is the trigger that a look answers for: of several the hook that
// came last, because what it tells of may be too young to be read yet.
func newestHook(triggers []trigger) trigger {
	newest := triggers[0]
	for _, t := range triggers[1:] {
		if fromHook(t.Source) && (!fromHook(newest.Source) || t.ReceivedAt.After(newest.ReceivedAt)) {
			newest = t
		}
	}
	return newest
}

// read reads the case beside the loop, bounded by a deadline that includes the
// wait for its turn: past it the trigger becomes a durable retry.
func (w *worker) read(j job) {
	j.began = w.p.cfg.Now()
	j = w.remember(j)
	w.spawn(func(ctx context.Context) {
		bounded, cancel := context.WithTimeoutCause(ctx, w.p.cfg.ReadDeadline, errDeadline)
		defer cancel()
		r := result{job: j, origin: newestHook(j.triggers)}
		if r.err = j.account.enter(bounded); r.err == nil {
			r = w.readCase(bounded, r)
			j.account.leave()
			r = w.storeRecords(ctx, r)
		}
		w.deliver(ctx, r)
	})
}

// remember has a look that may store records know what was published when it began:
// the table is the loop's.
func (w *worker) remember(j job) job {
	if j.account.Records != nil {
		j.prev = w.table.get(j.key)
		j.confirm = j.slot && j.prev != nil && confirms(j.prev.Retry)
	}
	return j
}

// deliver hands a look to the loop.
func (w *worker) deliver(ctx context.Context, r result) {
	select {
	case w.results <- r:
	case <-ctx.Done():
	}
}

// readCase makes the read of a look that may begin.
func (w *worker) readCase(ctx context.Context, r result) result {
	if !r.account.allow(w.p.cfg.Now()) {
		r.err = errBlocked
		return r
	}
	if r.origin.Traceparent != nil {
		ctx = traceContext.Extract(ctx, propagation.MapCarrier{"traceparent": *r.origin.Traceparent})
	}
	ctx, span := w.p.cfg.Tracer.Start(ctx, "process "+w.p.cfg.Topics.Inbox, w.spanOptions()...)
	defer span.End()
	r.trace = traceparent(ctx)
	r.readAt = w.p.cfg.Now()
	// Crash point "read": the position has not moved, or the slot is as it was;
	// the case is looked at again. An answer that comes to a zombie is old: what
	// it makes of it does not count, for it is fenced.
	if r.account.ReadResult == nil {
		r.answer, r.err = r.account.Read(ctx, caseOf(r.key))
	} else if full, err := r.account.ReadResult(ctx, caseOf(r.key), false, nil); err != nil {
		r.err = err
	} else {
		r.full, r.answer = &full, full.Case
	}
	if r.err != nil && errors.Is(context.Cause(ctx), errDeadline) {
		// The account took longer than anyone waits: that is its breaker's affair.
		r.err = &scr.UnavailableError{Err: context.DeadlineExceeded}
	}
	f := failure{reason: "ok"}
	if r.err != nil {
		f = classify(r.err)
		span.SetAttributes(attribute.String("error.type", f.reason))
	}
	w.report(ctx, r.account, r.key, f, r.err)
	w.p.metrics.read(ctx, r.account.ClientID, f.reason, w.p.cfg.Now().Sub(r.readAt))
	return r
}

// report tells the account how a request ended, and an operator what came of it.
func (w *worker) report(ctx context.Context, a *account, key string, f failure, err error) {
	now := w.p.cfg.Now()
	if a.report(now, key, f, retryAfterOf(err)) {
		if until, open := a.blocked(now); open {
			w.log.WarnContext(ctx, "account is held back", "client_id", a.ClientID, "reason", f.reason, "next_probe", until)
		} else {
			w.log.InfoContext(ctx, "account answers again", "client_id", a.ClientID)
			w.p.bell.ring()
		}
	}
	if a.tell(now) {
		w.log.WarnContext(ctx, "account does not answer", "client_id", a.ClientID, "reason", f.reason, "for", a.silentFor(now))
	}
}

func retryAfterOf(err error) time.Duration {
	if unavailable := (*scr.UnavailableError)(nil); errors.As(err, &unavailable) {
		return unavailable.RetryAfter
	}
	if unauthorised := (*scr.UnauthorisedError)(nil); errors.As(err, &unauthorised) {
		return unauthorised.RetryAfter
	}
	return 0
}

// slotTriggers looks up the triggers that wait in the states of slots, and gives
// the looks in the order in which they stand there.
func (w *worker) slotTriggers(ctx context.Context, jobs []job) []result {
	slices.SortFunc(jobs, func(a, b job) int { return cmp.Compare(a.stateAt, b.stateAt) })
	offsets := make([]int64, len(jobs))
	for i := range jobs {
		offsets[i] = jobs[i].stateAt
	}
	ctx, cancel := context.WithTimeoutCause(ctx, w.p.cfg.ReadDeadline, errDeadline)
	defer cancel()
	values, err := w.p.valuesAt(ctx, w.stateID, w.partition, offsets, &w.ahead)
	results := make([]result, len(jobs))
	for i, j := range jobs {
		r := &results[i]
		r.job = j
		if value, found := values[j.stateAt]; found || err == nil {
			r.origin, r.err = w.slotTrigger(ctx, j, value)
		} else {
			r.err = &lookupError{Err: err}
		}
	}
	return results
}

// slotTrigger is the trigger in a slot's state. If it is not there any more, or
// cannot be read, one is made from what the key says: the case is looked at all
// the same, and only the trigger's past is lost.
func (w *worker) slotTrigger(ctx context.Context, j job, value []byte) (trigger, error) {
	err := errRecordGone
	if value != nil {
		var state schemas.CaseState
		if state, err = schemas.DecodeCaseState(value); err == nil && state.Retry != nil {
			t := trigger{offset: state.Retry.Offset, value: state.Retry.Trigger}
			if t.Trigger, err = schemas.DecodeTrigger(t.value); err == nil {
				return t, nil
			}
		}
	}
	w.log.WarnContext(ctx, "waiting trigger is gone, made anew", "offset", j.stateAt, "error", err)
	t := trigger{offset: -1, Trigger: schemas.Trigger{
		ClientID: j.account.ClientID, CaseID: caseOf(j.key), Source: schemas.SourceUnknown, ReceivedAt: w.p.cfg.Now(),
	}}
	if t.value, err = schemas.EncodeTrigger(t.Trigger); err != nil {
		return trigger{}, &lookupError{Err: err}
	}
	return t, nil
}

// lookupError says that a waiting trigger could not be fetched from case-state:
// nothing is known of the case, and the slot is tried again.
type lookupError struct{ Err error }

func (e *lookupError) Error() string { return "look up trigger: " + e.Err.Error() }
func (e *lookupError) Unwrap() error { return e.Err }

// sendOn sends a trigger to the partition where it belongs, until it is
// acknowledged: the position waits for it. One that no broker takes again goes
// to the dead letters.
func (w *worker) sendOn(j job) {
	w.spawn(func(ctx context.Context) {
		r := result{job: j}
		for attempt := 0; ; attempt++ {
			r.err = w.p.sendOn(ctx, j.resend)
			if r.err == nil || refusesRecord(r.err) {
				break
			}
			w.log.WarnContext(ctx, "trigger not sent on", "error", r.err)
			if !wait(ctx, backOff(attempt)) {
				return
			}
		}
		w.deliver(ctx, r)
	})
}

var traceContext propagation.TraceContext

// spanOptions describe the span of one look, as the messaging conventions of
// OpenTelemetry have it.
func (w *worker) spanOptions() []trace.SpanStartOption {
	return []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(
		attribute.String("messaging.system", "kafka"),
		attribute.String("messaging.operation.name", "process"),
		attribute.String("messaging.operation.type", "process"),
		attribute.String("messaging.destination.name", w.p.cfg.Topics.Inbox),
		attribute.Int("messaging.destination.partition.id", int(w.partition)),
	)}
}

// traceparent is the W3C header of the span in ctx, "" when there is none.
func traceparent(ctx context.Context) string {
	carrier := propagation.MapCarrier{}
	traceContext.Inject(ctx, carrier)
	return carrier["traceparent"]
}

// traceparentForm is that of W3C trace context, version 00.
var traceparentForm = regexp.MustCompile(`^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)

// validTraceparent is a trigger's traceparent if it is one, else "": it goes out
// in a public header, and anybody who may write to the inbox can give any text.
func validTraceparent(s *string) string {
	if s == nil || !traceparentForm.MatchString(*s) {
		return ""
	}
	return *s
}
