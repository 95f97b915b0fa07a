package publish

import (
	"slices"
	"time"

	"postident-bridge/schemas"
)

// Which change a webhook told of. It carries the caseId and nothing else (guide
// 5), so all there is to go by is when it came: the sender sends it at a change,
// and again while it gets no good answer.

// hookTries are the times after a change at which the sender sends its webhook
// (guide 5; facts 4). The first retry comes at once.
var hookTries = []time.Duration{0, 900 * time.Second, 4500 * time.Second}

const (
	// hookLag is how late a webhook may be for one of its tries: the sender waits
	// up to 2 s for each answer, and may be busy.
	hookLag = time.Minute
	// clockSkew is how far the sender's clock, which gives a change its time, may
	// be ahead of ours, which gives the webhook its own.
	clockSkew = 5 * time.Second
	// aheadWeight makes a change that seems younger than the webhook less likely:
	// only clocks that differ explain it.
	aheadWeight = 5
	// retryHandicap makes a change whose webhook would be a retry less likely than
	// one whose webhook is sent now: the sender tries again only after two answers
	// that failed.
	retryHandicap = 10 * time.Second
	// mostHooks bounds the webhooks that a slot remembers; the oldest go.
	mostHooks = 16
)

// hookDistance is how far a webhook that came at a time is from the nearest try
// to tell of a change. It does not fit when no try was then.
func hookDistance(hookAt, modified time.Time) (distance time.Duration, fits bool) {
	age := hookAt.Sub(modified)
	for _, try := range hookTries {
		late := age - try
		if late < -clockSkew || late > hookLag {
			continue
		}
		if late < 0 {
			late *= -aheadWeight
		}
		if try > 0 {
			late += retryHandicap
		}
		if !fits || late < distance {
			distance, fits = late, true
		}
	}
	return distance, fits
}

// toldOf is the change that a webhook told of: the one whose try is nearest to
// it, of those with a due and of those that have none because they were told
// already; due is -1 for one of the latter. Of two changes in one second the one
// with a due counts, so that two webhooks settle two dues. Not known: the webhook
// fits none.
func toldOf(hookAt time.Time, dues []schemas.HookDue, told []time.Time) (due int, known bool) {
	due = -1
	var nearest time.Duration
	for i := range dues {
		if d, fits := hookDistance(hookAt, dues[i].Modified); fits && (!known || d < nearest) {
			due, nearest, known = i, d, true
		}
	}
	for _, modified := range told {
		if d, fits := hookDistance(hookAt, modified); fits && (!known || d < nearest) {
			due, nearest, known = -1, d, true
		}
	}
	return due, known
}

// guessToldOf is toldOf for a webhook that fits no try: the sender held it up
// longer than anyone expects, or it is a late repeat for a change that the state
// has forgotten. The newest due that it can have told of is what it settles;
// nobody can know, and a webhook too many in the count would raise an alarm for
// nothing.
func guessToldOf(hookAt time.Time, dues []schemas.HookDue) (due int) {
	due = -1
	for i := range dues {
		d := &dues[i]
		if hookAt.Before(d.Modified) || hookAt.After(d.Until) {
			continue
		}
		if due < 0 || d.Modified.After(dues[due].Modified) {
			due = i
		}
	}
	return due
}

// settleHooks takes the dues away that webhooks tell of. What none of the known
// changes explains stays open: the case may not show yet what it told of, and a
// later look will; unless this was the last one. Each webhook settles one due at
// most, and one that comes after the end of its due settles nothing: it was
// missed. What is passed in stays as it is.
func settleHooks(dues []schemas.HookDue, told, hooks []time.Time, last bool) (left []schemas.HookDue, open []time.Time) {
	if len(dues) == 0 && last {
		return nil, nil
	}
	left, told = slices.Clone(dues), slices.Clip(told)
	for _, at := range hooks {
		due, known := toldOf(at, left, told)
		switch {
		case !known:
			open = append(open, at)
		case due >= 0 && !at.After(left[due].Until):
			told = append(told, left[due].Modified)
			left = slices.Delete(left, due, due+1)
		}
	}
	if !last {
		return left, open
	}
	for _, at := range open {
		if due := guessToldOf(at, left); due >= 0 {
			left = slices.Delete(left, due, due+1)
		}
	}
	return left, nil
}

// withHooks are the webhooks that a slot remembers and those that join it.
func withHooks(slot *schemas.Retry, hooks []time.Time) []time.Time {
	var all []time.Time
	if slot != nil {
		all = append(all, slot.Hooks...)
	}
	all = append(all, hooks...)
	return all[max(0, len(all)-mostHooks):]
}

// hooksOf are the times at which the webhooks came that a look answers for.
func hooksOf(triggers []trigger) []time.Time {
	var hooks []time.Time
	for _, t := range triggers {
		if t.Source == schemas.SourceWebhook {
			hooks = append(hooks, wireTime(t.ReceivedAt))
		}
	}
	return hooks
}

// toldChanges are when the changes happened that a state shows and that have a
// webhook: those without a due were told already.
func toldChanges(s *schemas.CaseState, types []schemas.StatusType) []time.Time {
	var told []time.Time
	for i := range s.Identifications {
		id := &s.Identifications[i]
		if slices.Contains(types, typeOf(id.Method, id.Status)) {
			told = append(told, id.Modified)
		}
	}
	return told
}

// noteHooksDue adds what sweeps saw first of the changes in types to the dues of
// a case. A due ends after the sender's last try, counted from the change or from
// when it was seen: whichever is later, as clocks differ.
//
// A backfill notes none: it brings the past, whose webhooks came or were lost
// before anybody counted. Neither does a sweep of a case of which nothing was
// known, if the change is so old that the sender has given up: a new bridge sees
// 150 days of those in its first reconciliation.
func noteHooksDue(dues []schemas.HookDue, events []schemas.StatusChanged, types []schemas.StatusType, known bool, within time.Duration,
) []schemas.HookDue {
	noted := slices.Clip(dues)
	for i := range events {
		e := &events[i]
		if e.ObservedBy != schemas.SourceSweep || !slices.Contains(types, e.StatusType) || !sendsHook(e) {
			continue
		}
		modified := changeTime(*e)
		if !known && e.ObservedAt.Sub(modified) > within {
			continue
		}
		noted = append(noted, schemas.HookDue{
			StatusType: e.StatusType, Modified: modified, Until: wireTime(laterOf(modified, e.ObservedAt).Add(within)),
		})
	}
	return noted
}

// endedDues parts the dues that ended by a time from the others.
func endedDues(dues []schemas.HookDue, by time.Time) (ended, left []schemas.HookDue) {
	for _, d := range dues {
		if d.Until.After(by) {
			left = append(left, d)
		} else {
			ended = append(ended, d)
		}
	}
	return ended, left
}
