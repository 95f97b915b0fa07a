package publish

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/schemas"
)

// batch is what one transaction writes, and what is done once it is committed.
type batch struct {
	events   []*kgo.Record
	letters  []*deadLetter
	states   []stateChange
	looked   []string // cases whose look is settled
	position int64
	moved    bool // position differs from the committed one
	counts   []counted
}

// stateChange is the next state of a case; without one the record is a tombstone.
type stateChange struct {
	key    string
	next   *schemas.CaseState
	record *kgo.Record // set when the batch is written
}

// counted is what a settled look adds to the metrics, once it is committed.
type counted struct {
	clientID   string
	verdict    verdict
	events     []schemas.StatusChanged
	results    int
	superseded int
	unknown    []unknownText
	retry      *schemas.Retry
	receivedAt time.Time // of a webhook's trigger, else zero
	missed     []schemas.HookDue
	caseID     string // of what was missed
}

// empty says that nothing needs to be written. A look that is settled without a
// trace moves the position, or it was a retry's and changed its slot.
func (b *batch) empty() bool {
	return len(b.events)+len(b.letters)+len(b.states)+len(b.looked) == 0 && !b.moved
}

// cases are those that a batch writes of: as a rule those that were looked at;
// without a look, those whose state changes by itself.
func (b *batch) cases() []string {
	if len(b.looked) > 0 {
		return b.looked
	}
	keys := make([]string, len(b.states))
	for i := range b.states {
		keys[i] = b.states[i].key
	}
	return keys
}

// settle decides what a look means and adds it to the batch. False means that
// an observation is not enough and the case has to be read.
func (w *worker) settle(ctx context.Context, b *batch, r result) bool {
	if r.resend != nil {
		w.settleResent(ctx, r)
		return true
	}
	if lookup := (*lookupError)(nil); errors.As(r.err, &lookup) {
		w.log.WarnContext(ctx, "waiting trigger not found", "error", r.err)
		w.table.wake(r.key, w.p.cfg.Now().Add(spread(time.Second)))
		b.looked = append(b.looked, r.key)
		return true
	}
	if w.hold.refuses(r.key, w.p.cfg.Now) {
		w.settleRefused(b, r)
		return true
	}
	if r.err != nil {
		w.settleFailure(ctx, b, r)
		return true
	}
	return w.settleLook(ctx, b, r)
}

func (w *worker) doneAll(triggers []trigger) {
	for _, t := range triggers {
		w.progress.done(t.offset, nil)
	}
}

// settleResent is done with a trigger that stood in the wrong partition.
func (w *worker) settleResent(ctx context.Context, r result) {
	if r.err == nil {
		w.p.metrics.sentOn(ctx)
		w.doneAll(r.triggers)
		return
	}
	for _, t := range r.triggers {
		w.progress.done(t.offset, w.letter(t, t.CaseID, reasonRefused, r.err, 0))
	}
}

// settleLook compares what was seen with what was published.
func (w *worker) settleLook(ctx context.Context, b *batch, r result) bool {
	now := w.p.cfg.Now()
	prev := w.table.get(r.key)
	var slot *schemas.Retry
	if prev != nil {
		slot = prev.Retry
	}
	seen := r.observed
	if seen == nil {
		s := snapshotOfCase(r.account.ClientID, r.answer, r.origin.Source, r.readAt)
		seen = &s
	}
	d := decide(prev, *seen, r.account.rules(w.p.cfg.PublishProgress), r.slot && confirms(slot))
	if d.Verdict == verdictNeedsRead {
		return false
	}
	out := w.planOutputs(&r, d, slot, now)
	if out.hold != nil {
		r.err = out.hold
		w.settleFailure(ctx, b, r)
		return true
	}
	next := out.state
	next.DeadLettered = nil
	var joined bool
	if next.Retry, joined = w.nextLook(r, prev, d, out, now); joined {
		w.settleJoined(b, r, prev, d)
		return true
	}
	w.settleHooks(r, prev, &next, d.Events)
	published, err := w.publishOutputs(ctx, b, r, prev, &next, out)
	if err != nil {
		// A value that we cannot encode is a fault of the case: it waits, and goes
		// to the dead letters in the end.
		r.err = err
		w.settleFailure(ctx, b, r)
		return true
	}
	w.doneAll(r.triggers)
	b.looked = append(b.looked, r.key)
	b.counts = append(b.counts, counted{
		clientID: r.account.ClientID, verdict: d.Verdict, events: out.events, results: published, superseded: d.Superseded, unknown: d.Unknown,
		retry: next.Retry, receivedAt: receivedAt(r.origin),
	})
	if len(out.pending) > 0 {
		w.log.WarnContext(ctx, "records are late, status goes out without them",
			"client_id", r.account.ClientID, "case_id", caseOf(r.key), "reason", next.Retry.Reason, "error", out.again)
	}
	for _, u := range d.Unknown {
		w.log.WarnContext(ctx, "value is not in the guide", "kind", string(u.Kind), "text", u.Text)
	}
	if w.worthWriting(prev, &next, d.Verdict) {
		next.UpdatedAt = now
		b.states = append(b.states, stateChange{key: r.key, next: &next})
	} else if prev != nil {
		w.table.readAt(r.key, next.LastReadAt)
	}
	return true
}

// settleJoined ends a look that told nothing new while the case has a slot of
// its own, which stands as it was written and looks again.
func (w *worker) settleJoined(b *batch, r result, prev *schemas.CaseState, d decision) {
	now := w.p.cfg.Now()
	w.doneAll(r.triggers)
	b.looked = append(b.looked, r.key)
	b.counts = append(b.counts, counted{clientID: r.account.ClientID, verdict: d.Verdict, superseded: d.Superseded})
	if !w.joinHooks(b, r, prev, now) {
		w.table.wake(r.key, laterOf(now, prev.Retry.NotBefore)) // its wake-up may have come during this look
	}
}

// worthWriting says whether a look left more than the time it was made.
func (w *worker) worthWriting(prev, next *schemas.CaseState, v verdict) bool {
	return v == verdictChanged || v == verdictTracked || v == verdictOwed || next.Retry != nil ||
		prev != nil && (prev.Retry != nil || prev.DeadLettered != nil || len(prev.HooksDue) != len(next.HooksDue))
}

// settleFailure gives a failed look its retry, durably, so that the position can
// pass its triggers; or, when the attempts are used up, its dead letter.
func (w *worker) settleFailure(ctx context.Context, b *batch, r result) {
	now := w.p.cfg.Now()
	prev := w.table.get(r.key)
	var slot *schemas.Retry
	if prev != nil {
		slot = prev.Retry
	}
	f := failureOf(r.err)
	b.looked = append(b.looked, r.key)
	if slot != nil && r.slot && f.accountDown && w.blamesCase(r, f) {
		f.accountDown = false
	}
	// The case was read: waiting for its records takes the place of whatever the slot
	// waited for.
	replaces := f.records && slot != nil && !waitsForRecords(slot)
	if slot != nil && !r.slot && slot.Kind == schemas.RetryRecheck && fromHook(r.origin.Source) {
		// A hook of its own is owed rechecks of its own: those of the slot may be
		// used up by the look that this one would join.
		anew := *slot
		anew.Attempt = 0
		slot = &anew
	} else if slot != nil && !replaces && (!r.slot || f.accountDown) {
		// The slot stands as it was written: a trigger that joined it uses up no
		// attempt, and neither does an account that is down.
		w.doneAll(r.triggers)
		if !w.joinHooks(b, r, prev, now) {
			w.wakeLater(r, slot, now)
		}
		return
	}
	w.log.DebugContext(ctx, "case not read", "client_id", r.account.ClientID, "case_id", caseOf(r.key), "reason", f.reason, "error", r.err)
	var retry *schemas.Retry
	if f.records {
		retry = w.p.cfg.retry.afterRecords(slot, now, f.reason, w.origin(r), jitter())
	} else if f.accountDown {
		retry = w.p.cfg.retry.afterUnavailable(slot, now, f.reason, w.origin(r))
		retry.NotBefore = wireTime(w.nextTry(r.account, now))
	} else {
		var exhausted bool
		retry, exhausted = w.p.cfg.retry.afterFault(slot, now, f.reason, w.origin(r), jitter())
		if exhausted {
			w.settleExhausted(ctx, b, r, f, retry)
			return
		}
	}
	next := schemas.CaseState{ClientID: r.account.ClientID, CaseID: caseOf(r.key)}
	if prev != nil {
		next = *prev
	}
	if len(r.account.WebhookTypes) > 0 || len(next.HooksDue) > 0 {
		retry.Hooks = withHooks(next.Retry, hooksOf(r.triggers))
	}
	next.Retry, next.UpdatedAt = retry, now
	b.states = append(b.states, stateChange{key: r.key, next: &next})
	b.counts = append(b.counts, counted{clientID: r.account.ClientID, retry: retry})
	w.doneAll(r.triggers)
}

// blamesCase says whether a case that fails like an account that is down is at
// fault itself: the API answered for other cases since it failed last. Without
// that, a case the API always breaks at would be tried for ever.
func (w *worker) blamesCase(r result, f failure) bool {
	if f.unauthorised || f.limited || f.interrupted || errors.Is(r.err, errBusy) || errors.Is(r.err, errBlocked) {
		return false
	}
	tried := w.table.tried(r.key)
	return !tried.IsZero() && r.account.answeredSince(tried)
}

// wakeLater has a slot looked at again that stays as it is: when the breaker
// allows it, and less and less often.
func (w *worker) wakeLater(r result, slot *schemas.Retry, now time.Time) {
	pause := time.Duration(0)
	if r.slot && !errors.Is(r.err, errBlocked) && !errors.Is(r.err, errBusy) {
		pause = min(time.Second<<min(w.table.failed(r.key, now), 6), breakerMaxPause)
	}
	w.table.wake(r.key, laterOf(w.nextTry(r.account, now).Add(pause), slot.NotBefore))
}

// nextTry is when a case of an account that could not be read is due again. With
// an open breaker that is now: it alone knows when to go on, and when it does,
// what waits goes in order, and no timer is in its way.
func (w *worker) nextTry(a *account, now time.Time) time.Time {
	if _, open := a.blocked(now); open {
		return now
	}
	return now.Add(spread(time.Second))
}

// failureOf is classify, with the reasons that are ours.
func failureOf(err error) failure {
	if records, ok := errors.AsType[*recordsError](err); ok {
		return failure{reason: records.reason, records: true}
	}
	switch {
	case errors.Is(err, errBusy):
		return failure{reason: "busy", accountDown: true}
	case errors.Is(err, errBlocked):
		return failure{reason: "held_back", accountDown: true}
	case errors.Is(err, errDeadline):
		return failure{reason: "timeout", accountDown: true}
	}
	return classify(err)
}

// settleExhausted sends the trigger to the dead letters, in the transaction that
// ends its retries. A case that was never read, and that no list showed, leaves
// no state behind.
func (w *worker) settleExhausted(ctx context.Context, b *batch, r result, f failure, last *schemas.Retry) {
	now := w.p.cfg.Now()
	b.letters = append(b.letters, w.letter(r.origin, caseOf(r.key), f.reason, r.err, last.Faults-1).since(last.FirstFailed))
	w.doneAll(r.triggers)
	w.log.WarnContext(ctx, "retries exhausted", "client_id", r.account.ClientID, "case_id", caseOf(r.key), "reason", f.reason, "attempts", last.Faults-1)
	prev := w.table.get(r.key)
	if prev == nil || prev.Created == nil && fromHook(r.origin.Source) {
		b.states = append(b.states, stateChange{key: r.key})
		return
	}
	next := *prev
	next.HooksDue = w.endHooks(r, prev)
	next.Retry, next.UpdatedAt = nil, now
	next.DeadLettered = &schemas.DeadLetterMark{At: wireTime(now), Reason: f.reason}
	b.states = append(b.states, stateChange{key: r.key, next: &next})
}

// settleRefused sends the triggers of a case whose record a broker refuses to
// the dead letters. Its state stays as it was: a redrive, once the case is tried
// again (suspects.refuses), finds the same change.
func (w *worker) settleRefused(b *batch, r result) {
	b.looked = append(b.looked, r.key)
	for _, t := range r.triggers {
		w.progress.done(t.offset, w.letter(t, caseOf(r.key), reasonRefused, errRefusedRecord, 0))
	}
	prev := w.table.get(r.key)
	if !r.slot && prev != nil && prev.Retry != nil {
		w.table.wake(r.key, laterOf(w.p.cfg.Now(), prev.Retry.NotBefore)) // its wake-up may have come during this look
	}
	if r.slot && prev != nil {
		b.letters = append(b.letters, w.letter(r.origin, caseOf(r.key), reasonRefused, errRefusedRecord, prev.Retry.Faults))
		next := *prev
		next.HooksDue = w.endHooks(r, prev)
		next.Retry, next.UpdatedAt = nil, w.p.cfg.Now()
		next.DeadLettered = &schemas.DeadLetterMark{At: wireTime(next.UpdatedAt), Reason: reasonRefused}
		b.states = append(b.states, stateChange{key: r.key, next: &next})
	}
}

// origin is the trigger that a retry slot of this look stands for.
func (w *worker) origin(r result) origin {
	return origin{Partition: int(w.partition), Offset: r.origin.offset, Value: r.origin.value}
}

// fromHook says whether a trigger tells of a change that just happened.
func fromHook(s schemas.Source) bool {
	return s == schemas.SourceWebhook || s == schemas.SourceRedrive || s == schemas.SourceUnknown
}

func receivedAt(t trigger) time.Time {
	if t.Source != schemas.SourceWebhook {
		return time.Time{}
	}
	return t.ReceivedAt
}
