package publish

import (
	"context"
	"slices"
	"time"

	"postident-bridge/internal/scr"
	"postident-bridge/schemas"
)

const (
	// inboxGrace is how long after an opening, or after a broker did not answer,
	// nobody asks for the inbox's end: webhooks that waited for Kafka are written
	// within seconds of its return, and may have come long before.
	inboxGrace = 10 * time.Second
	// judgeAgain is when a due is looked at again that could not be judged, because
	// its case is being looked at, or waits.
	judgeAgain = 30 * time.Second
	// missedPause is how often an account's missed webhooks are logged.
	missedPause = time.Minute
)

// inboxEnd is how far the inbox had been written at a time.
type inboxEnd struct {
	asked time.Time
	end   int64
	err   error
}

// inboxWatch knows until when the worker has read every webhook that came. By
// the wall clock nobody does: after an outage hooks may wait in the inbox for as
// long as it lasted. So the worker asks for the inbox's end, and when it has
// taken what stands before it, it has read all that was written until it asked.
// Records' own times would not do: those of several writers are in no order.
//
// Owned by the worker's goroutine, but for answers.
type inboxWatch struct {
	answers chan inboxEnd
	asking  bool      // an answer is under way
	goal    inboxEnd  // to be read up to; asked is zero when there is none
	readTo  time.Time // every record written until then was taken
	notYet  time.Time // nobody asks before
}

// watchInbox asks for the inbox's end when a webhook is due no longer.
func (w *worker) watchInbox() {
	in := &w.inbox
	if in.asking || !in.goal.asked.IsZero() {
		return
	}
	now := w.p.cfg.Now()
	ends := w.table.nextEnd()
	if ends.IsZero() || ends.After(now) || now.Before(in.notYet) {
		return
	}
	in.asking = true
	w.spawn(func(ctx context.Context) {
		end, err := w.listOffset(ctx, -1)
		select {
		case in.answers <- inboxEnd{asked: now, end: end, err: err}:
		case <-ctx.Done():
		}
	})
}

// untilWatch is the time until watchInbox may ask, and whether it will.
func (w *worker) untilWatch(now time.Time) (pause time.Duration, will bool) {
	in := &w.inbox
	if in.asking || !in.goal.asked.IsZero() {
		return 0, false // an answer wakes the loop, or a record
	}
	ends := w.table.nextEnd()
	if ends.IsZero() {
		return 0, false
	}
	return laterOf(ends, in.notYet).Sub(now), true
}

// answered takes the inbox's end.
func (w *worker) answered(e inboxEnd) {
	w.inbox.asking = false
	if e.err != nil {
		w.inbox.notYet = w.p.cfg.Now().Add(inboxGrace)
		return
	}
	w.inbox.goal = e
}

// judgeHooks counts the webhooks that are due no longer and did not come, at most
// limit cases, in the transaction that takes their dues away.
func (w *worker) judgeHooks(b *batch, limit int) {
	in := &w.inbox
	if !in.goal.asked.IsZero() && w.progress.next >= in.goal.end {
		in.readTo, in.goal = in.goal.asked, inboxEnd{}
	}
	now := w.p.cfg.Now()
	again := laterOf(now, in.readTo).Add(judgeAgain)
	for len(b.states) < limit {
		key := w.table.takeEnded(in.readTo)
		if key == "" {
			return
		}
		state := w.table.get(key)
		if w.running[key] || state.Retry != nil || w.hold.refuses(key, w.p.cfg.Now) {
			// A webhook of the case may be among the triggers that are under way, or
			// wait in its slot for an answer that shows what it told of.
			w.table.expectAt(key, again)
			continue
		}
		ended, left := endedDues(state.HooksDue, in.readTo)
		if len(ended) == 0 {
			w.table.expect(key, left)
			continue
		}
		state.HooksDue = left // UpdatedAt stays: nobody has looked at the case
		b.states = append(b.states, stateChange{key: key, next: state})
		if a := w.p.accounts[clientOf(key)]; a != nil {
			b.counts = append(b.counts, counted{clientID: a.ClientID, missed: a.awaited(ended), caseID: caseOf(key)})
		}
	}
}

// awaited are the dues of types for which webhooks are still switched on.
func (a *account) awaited(dues []schemas.HookDue) []schemas.HookDue {
	return slices.DeleteFunc(dues, func(d schemas.HookDue) bool { return !slices.Contains(a.WebhookTypes, d.StatusType) })
}

// tellMissed says of the missed webhooks of a committed batch, now and then, that
// there are some: the metric counts them all.
func (w *worker) tellMissed(ctx context.Context, b *batch) {
	for i := range b.counts {
		c := &b.counts[i]
		if len(c.missed) == 0 || !w.p.accounts[c.clientID].tellMissed(w.p.cfg.Now()) {
			continue
		}
		w.log.WarnContext(ctx, "webhook missed", "client_id", c.clientID, "case_id", c.caseID, "status_type", string(c.missed[0].StatusType),
			"change", c.missed[0].Modified)
	}
}

// tellMissed says whether it is time for another line about missed webhooks.
func (a *account) tellMissed(now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.missedTold.IsZero() && now.Sub(a.missedTold) < missedPause {
		return false
	}
	a.missedTold = now
	return true
}

// settleHooks takes the hooks of a good look into the next state: it notes what
// is due now, clears what is not any more, and leaves with the slot that goes on
// those of which it is not known yet what they told.
func (w *worker) settleHooks(r result, prev, next *schemas.CaseState, events []schemas.StatusChanged) {
	types := r.account.WebhookTypes
	known := prev != nil && prev.Created != nil
	dues := noteHooksDue(next.HooksDue, events, types, known, w.p.cfg.HookDue)
	if len(types) == 0 && len(dues) == 0 {
		return
	}
	var slot *schemas.Retry
	if prev != nil {
		slot = prev.Retry
	}
	left, open := settleHooks(dues, toldChanges(next, types), withHooks(slot, hooksOf(r.triggers)), next.Retry == nil)
	next.HooksDue = left
	if next.Retry != nil {
		next.Retry.Hooks = open
	}
}

// joinHooks has a slot remember the webhooks that join it, and says whether that
// needed to be written. As a rule it does not: the slot of a webhook has a
// webhook's look, which notes no due. The bytes of the slot's trigger are not at
// hand, so the newest of those that join takes its place.
func (w *worker) joinHooks(b *batch, r result, prev *schemas.CaseState, now time.Time) bool {
	hooks := hooksOf(r.triggers)
	if len(hooks) == 0 || len(prev.HooksDue) == 0 && (len(r.account.WebhookTypes) == 0 || len(prev.Retry.Hooks) > 0) {
		return false
	}
	next, slot := *prev, *prev.Retry
	o := w.origin(r)
	slot.Partition, slot.Offset, slot.Trigger = o.Partition, o.Offset, o.Value
	slot.Hooks = withHooks(prev.Retry, hooks)
	next.Retry, next.UpdatedAt = &slot, now
	b.states = append(b.states, stateChange{key: r.key, next: &next})
	return true
}

// endHooks settles the webhooks of a slot that ends without a good look, and of
// the triggers that end with it: what they told of shows no more.
func (w *worker) endHooks(r result, prev *schemas.CaseState) (left []schemas.HookDue) {
	left, _ = settleHooks(prev.HooksDue, toldChanges(prev, r.account.WebhookTypes), withHooks(prev.Retry, hooksOf(r.triggers)), true)
	return left
}

// typeOf is the status type of a state of an identification.
func typeOf(method, status string) schemas.StatusType {
	return statusType(scr.Classify(method, status, nil, nil).Type)
}
