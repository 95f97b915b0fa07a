package publish

import (
	"time"

	"postident-bridge/internal/scr"
	"postident-bridge/schemas"
)

// nextLook is the slot that a look leaves, nil for none: nobody has to look again.
// Joined means that the look told nothing new, and the slot that waits stands as it
// is.
func (w *worker) nextLook(r result, prev *schemas.CaseState, d decision, out outputs, now time.Time) (next *schemas.Retry, joined bool) {
	var slot *schemas.Retry
	if prev != nil {
		slot = prev.Retry
	}
	switch {
	case out.again != nil:
		next = w.p.cfg.retry.afterRecords(slot, now, failureOf(out.again).reason, w.origin(r), jitter())
	case d.Verdict == verdictDoubt:
		next = w.p.cfg.retry.afterDoubt(slot, now, w.origin(r))
	case d.Verdict == verdictChanged && r.observed == nil && tellsOfMore(r, slot, d):
		// Of several hooks one look answers, a stale answer may hide what the last
		// of them told of. No other hook will come for it.
		next = w.p.cfg.retry.afterTooFew(ownSlot(r, slot), now, w.origin(r))
	case waitsForRecords(ownSlot(r, slot)):
		if r.account.Records != nil && d.Verdict != verdictChanged && d.Verdict != verdictOwed {
			// The look before found a final state, and this one did not: its answer is the
			// older one. What it hides may be told by no other trigger.
			next = w.p.cfg.retry.recheck(slot, now, reasonStale, w.origin(r))
		}
	case d.Verdict != verdictChanged && fromHook(r.origin.Source) && r.observed == nil:
		// A hook is sent for states with a type only (guide 2.6). A look after it
		// that gives no event may have come too early, also if it shows something.
		next = w.recheck(r, prev, out.state.CaseStatus == scr.CaseClosed, now)
		if next == nil && !r.slot && slot != nil && (!waitsForRecords(slot) || d.Verdict != verdictOwed) {
			if d.Verdict != verdictTracked {
				return nil, true
			}
			next = w.p.cfg.retry.recheck(nil, now, reasonUnchanged, w.origin(r))
		}
	}
	if next == nil && r.account.Records != nil && recordsDue(&out.state) {
		next = w.p.cfg.retry.afterRecords(slot, now, reasonStale, w.origin(r), jitter())
	}
	return next, false
}

// tellsOfMore says whether the hooks that a look answers for told of more changes
// than it shows: each was sent for one state with a type (guide 2.6). A slot that
// waits stands for one more; how many joined the slot whose look this is nobody
// has counted. A case that is closed has nothing more to tell.
func tellsOfMore(r result, slot *schemas.Retry, d decision) bool {
	if d.State.CaseStatus == scr.CaseClosed || !fromHook(r.origin.Source) {
		return false
	}
	if r.slot {
		return true
	}
	owed := 0
	for _, t := range r.triggers {
		if fromHook(t.Source) {
			owed++
		}
	}
	if slot != nil {
		owed++
	}
	for i := range d.Events {
		if sendsHook(&d.Events[i]) {
			owed--
		}
	}
	return owed > 0
}

// sendsHook says whether a hook is sure to be sent for a change: for states with a
// type (guide 2.6), but the guide contradicts itself on AutoID's review pending
// (4.1; facts C5).
func sendsHook(e *schemas.StatusChanged) bool {
	return e.StatusType != schemas.StatusTypeProgress && (e.Method != schemas.MethodAutoID || e.Status != schemas.StatusReviewPending)
}

// ownSlot is the slot whose look this is, nil for the look of a trigger.
func ownSlot(r result, slot *schemas.Retry) *schemas.Retry {
	if r.slot {
		return slot
	}
	return nil
}

// recheck is the next look after a hook that gave no event, nil for none. The
// look of a slot goes on with its rechecks; one for a hook of its own starts them
// anew, whatever waits already. One that a list hastened uses up none: what the
// list showed may not be readable yet, and the list does not show it again. That a read began after the hook excuses it only
// if the case is closed: of an open one that read may have had a stale answer,
// which was taken for the hook before.
func (w *worker) recheck(r result, prev *schemas.CaseState, closed bool, now time.Time) *schemas.Retry {
	var slot *schemas.Retry
	var lastRead *time.Time
	if prev != nil {
		if closed {
			lastRead = prev.LastReadAt
		}
		if r.slot {
			slot = prev.Retry
		}
	}
	if slot != nil && slot.Kind == schemas.RetryRecheck && now.Before(slot.NotBefore) {
		same, o := *slot, w.origin(r)
		same.Partition, same.Offset, same.Trigger = o.Partition, o.Offset, o.Value
		return &same
	}
	return w.p.cfg.retry.afterUnchanged(slot, lastRead, r.origin.ReceivedAt, now, w.origin(r))
}
