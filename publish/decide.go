package publish

import (
	"slices"
	"time"

	"postident-bridge/internal/scr"
	"postident-bridge/schemas"
)

// rules are what the settings of an account say about its events.
type rules struct {
	Class schemas.RegulatoryClass
	// PublishProgress publishes states without a status type (guide 2.6) too.
	PublishProgress bool
	// Results and Records say what a final state gives beside its status event.
	Results, Records bool
}

// verdict is the outcome of one look.
type verdict int

const (
	_ verdict = iota
	// verdictChanged: there are events, and a new state.
	verdictChanged
	// verdictTracked: the state differs, there is nothing to publish.
	verdictTracked
	// verdictUnchanged: nothing new; State differs by LastReadAt at most.
	verdictUnchanged
	// verdictStale: the look is older than the state, which stays as it is.
	verdictStale
	// verdictNeedsRead: an observation in a tie or a doubt; the state stays as
	// it is, and a read has to tell.
	verdictNeedsRead
	// verdictDoubt: a read shows another state under the same second, and by
	// rank a step back. The state stays as it is; look again, then confirm.
	verdictDoubt
	// verdictOwed: nothing new, but a final state still owes its result, or its
	// records; see decision.Owed.
	verdictOwed
)

func (v verdict) String() string {
	switch v {
	case verdictChanged:
		return "changed"
	case verdictTracked:
		return "tracked"
	case verdictUnchanged:
		return "unchanged"
	case verdictStale:
		return "stale"
	case verdictNeedsRead:
		return "needs_read"
	case verdictDoubt:
		return "doubt"
	case verdictOwed:
		return "owed"
	default:
		return "none"
	}
}

// decision is what is to be done after one look. Neither it nor the arguments
// of decide may be changed afterwards: they share memory.
type decision struct {
	Verdict verdict
	// Events are in their order, without sequence and previousEventHash: see
	// seal.
	Events []schemas.StatusChanged
	// State is the next state, but for what the caller owns: Retry,
	// DeadLettered, HooksDue and UpdatedAt are those of the old state, Sequence
	// and LastEventHash those before Events.
	State schemas.CaseState
	// Owed are the final states that give more than a status event. Whoever takes
	// it out notes it in State.
	Owed []owed
	// Superseded counts states that came later than their successor, or again
	// after it: the state keeps no history to tell the two apart.
	Superseded int
	// Unknown lists what the guide does not know in the changes of this look.
	Unknown []unknownText
	// Reused says that the caseId belongs to a new case from here on.
	Reused bool
}

// decide compares a look at a case with what was last published of it. It is
// the heart of P2 and P3: triggers may be repeated, late or out of order, and
// looks may overlap; every change that a look shows becomes an event once, in
// order, because the state that goes with the events is written with them.
//
// prev is nil for a case never seen, and has no Created for one that was seen
// as a retry only. With confirm, s is the second look after verdictDoubt, and
// is taken at its word.
//
// A case is (clientId, caseId, created), as a caseId may be used again (facts
// 2.8); an identification is (method, created). Each object is compared by its
// own modified, never across (facts C28), and modified has a resolution of one
// second: of two states in one second the higher rank is the later one, and
// whatever that does not settle needs another look.
func decide(prev *schemas.CaseState, s snapshot, r rules, confirm bool) decision {
	next, known, reused := nextState(prev, &s)
	if known && s.Created.Before(*prev.Created) {
		return decision{Verdict: verdictStale, State: *prev, Superseded: len(s.Identifications)}
	}
	l := look{snapshot: &s, rules: r, known: known, state: next}
	l.stale = known && !s.Modified.IsZero() && s.Modified.Before(timeOrZero(next.CaseModified))
	c := l.compare()
	if known {
		if v := c.hold(&s, prev, confirm); v != 0 {
			return decision{Verdict: v, State: *prev}
		}
	}
	l.apply()
	if !s.FromRead && l.needsRead() {
		return decision{Verdict: verdictNeedsRead, State: stateOrNone(prev)}
	}
	if !s.FromRead {
		l.owed = nil // the retry slot asks for it, or the next read
	}
	d := decision{
		Owed:       l.owed,
		Events:     l.events,
		State:      l.state,
		Superseded: c.older + s.Shadowed,
		Unknown:    l.unknown,
		Reused:     reused,
	}
	switch {
	case len(l.events) > 0:
		d.Verdict = verdictChanged
	case l.touched:
		d.Verdict = verdictTracked
	case len(l.owed) > 0:
		d.Verdict = verdictOwed
	case c.older > 0 || c.theCase == older:
		// A stale answer says nothing about the time at which it was asked for:
		// LastReadAt stays.
		return decision{Verdict: verdictStale, State: *prev, Superseded: d.Superseded}
	default:
		d.Verdict = verdictUnchanged
	}
	if at := d.State.LastReadAt; s.FromRead && (at == nil || at.Before(s.ObservedAt)) {
		d.State.LastReadAt = new(s.ObservedAt)
	}
	return d
}

// nextState is the state that a look starts from: the old one if it is of the
// same case (known) or of none yet, else an empty one, in which only the retry
// slot, the dead-letter mark and the webhooks that are due survive, because they
// belong to the key.
func nextState(prev *schemas.CaseState, s *snapshot) (next schemas.CaseState, known, reused bool) {
	switch {
	case prev == nil:
		next = schemas.CaseState{}
	case prev.Created == nil:
		next = *prev
	case s.Created.After(*prev.Created):
		next = schemas.CaseState{
			Retry:        prev.Retry,
			DeadLettered: prev.DeadLettered,
			UpdatedAt:    prev.UpdatedAt,
			CaseIDReused: true,
			HooksDue:     prev.HooksDue,
		}
		reused = true
	default:
		return *prev, true, false
	}
	next.ClientID, next.CaseID = s.ClientID, s.CaseID
	next.Created = new(s.Created)
	return next, false, reused
}

// look carries one decision through its steps.
type look struct {
	snapshot *snapshot
	rules    rules
	known    bool // the state is of this case
	stale    bool // the case was modified since
	state    schemas.CaseState
	owned    bool // state.Identifications is our own copy
	touched  bool // state differs from the old one
	events   []schemas.StatusChanged
	owed     []owed
	unknown  []unknownText
}

// apply takes the look into the state and writes the events. It is called only
// for looks that count: what is tied here was confirmed.
func (l *look) apply() {
	for i := range l.snapshot.Identifications {
		id := &l.snapshot.Identifications[i]
		rel, at := l.relate(id)
		switch rel {
		case same:
			if id.Modified.After(l.state.Identifications[at].Modified) {
				l.own()
				l.state.Identifications[at].Modified = id.Modified
			}
			l.complete(id, at)
		case added, newer, forward, tied:
			l.change(id, at)
		case older:
		}
	}
	l.applyCase()
}

// change takes a changed identification into the state, and publishes it unless
// it has no type and the rules keep such states back.
func (l *look) change(id *schemas.ObservedIdentification, at int) {
	l.own()
	if at < 0 {
		at = len(l.state.Identifications)
		l.state.Identifications = append(l.state.Identifications, schemas.IdentificationState{
			Method: id.Method, Created: id.Created, Modified: id.Modified,
		})
	}
	m := interpret(id)
	l.unknown = append(l.unknown, m.unknown...)
	st := &l.state.Identifications[at]
	wasFinal := st.WasFinal
	*st = schemas.IdentificationState{
		Method:             st.Method,
		Created:            st.Created,
		Modified:           latest(st.Modified, id.Modified),
		Status:             id.Status,
		SubStatus:          codeOf(id.SubStatus),
		SubStatusReason:    codeOf(id.SubStatusReason),
		IdentificationTime: id.IdentificationTime,
		WasFinal:           wasFinal || m.statusType == schemas.StatusTypeFinal,
	}
	// What the guide does not know is published whatever the rules: dropped, it
	// would be noticed by no one.
	if m.statusType == schemas.StatusTypeProgress && len(m.unknown) == 0 && !l.rules.PublishProgress {
		return
	}
	st.Outputs = []schemas.Output{schemas.OutputStatus}
	l.publish(identificationEvent(l.snapshot, id, m), wasFinal, len(m.unknown) > 0)
	if m.statusType == schemas.StatusTypeFinal && (l.rules.Results || l.rules.Records) {
		event := len(l.events) - 1
		l.owed = append(l.owed, owed{at: at, event: event, base: l.events[event], result: l.rules.Results, records: l.rules.Records})
	}
}

// applyCase takes the case itself into the state. One that becomes closed, or
// is first seen closed, without an event of an identification gives an event of
// its own.
func (l *look) applyCase() {
	s := l.snapshot
	wasClosed := l.known && l.state.CaseStatus == scr.CaseClosed
	rel := l.compareCase()
	if rel != older {
		l.trackCase(rel)
	}
	if l.state.CaseStatus == scr.CaseClosed && !wasClosed && len(l.events) == 0 {
		l.publish(caseEvent(s), false, false)
	}
}

func (l *look) trackCase(rel relation) {
	s := l.snapshot
	if rel != same {
		if _, text := caseProgress(s.Status); text != nil {
			l.unknown = append(l.unknown, newUnknownText(unknownCaseStatus, *text))
		}
		l.state.CaseStatus = s.Status
		l.touched = true
	}
	if s.Modified.After(timeOrZero(l.state.CaseModified)) {
		l.state.CaseModified = new(s.Modified)
		l.touched = true
	}
	if s.ValidUntil != nil && !s.ValidUntil.Equal(timeOrZero(l.state.ValidUntil)) {
		l.state.ValidUntil = s.ValidUntil
		l.touched = true
	}
	if s.ReferenceID != nil && (l.state.ReferenceID == nil || *l.state.ReferenceID != *s.ReferenceID) {
		l.state.ReferenceID = s.ReferenceID
		l.touched = true
	}
}

// publish completes an event, and appends it.
func (l *look) publish(e schemas.StatusChanged, wasFinal, unknown bool) {
	first := l.state.Sequence == 0 && len(l.events) == 0
	switch {
	case first && l.state.CaseIDReused:
		e.Anomaly = new(schemas.AnomalyCaseIDReused)
	case wasFinal:
		e.Anomaly = new(schemas.AnomalyAfterFinal)
	case unknown:
		e.Anomaly = new(schemas.AnomalyUnknownCode)
	}
	l.events = append(l.events, l.identified(e))
}

// identified completes an event with what the rules and the state know.
func (l *look) identified(e schemas.StatusChanged) schemas.StatusChanged {
	e.RegulatoryClass = l.rules.Class
	e.ReferenceID = l.snapshot.ReferenceID
	if e.ReferenceID == nil {
		e.ReferenceID = l.state.ReferenceID // an earlier look gave it
	}
	e.EventID = eventID(e)
	return e
}

// own copies the identifications before the first write: the old state stays.
func (l *look) own() {
	l.touched = true
	if !l.owned {
		l.owned = true
		l.state.Identifications = slices.Clone(l.state.Identifications)
	}
}

func codeOf(c *schemas.StatusCode) *int {
	if c == nil {
		return nil
	}
	return new(c.Code) // a pointer into c would keep all of it in the state
}

func stateOrNone(s *schemas.CaseState) schemas.CaseState {
	if s == nil {
		return schemas.CaseState{}
	}
	return *s
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func timeOrZero(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}
