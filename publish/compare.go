package publish

import (
	"slices"
	"time"

	"postident-bridge/internal/scr"
	"postident-bridge/schemas"
)

// relation says how a look at one object stands to its state.
type relation int

const (
	same    relation = iota // nothing to publish in it
	added                   // not in the state
	newer                   // differs, and is newer
	older                   // differs, and is older
	forward                 // differs within the same second, of a higher rank
	tied                    // differs within the same second, of no higher rank
)

// comparison sums up how a whole look stands to the state.
type comparison struct {
	theCase relation
	newer   int // identifications added or newer
	forward int
	tied    int
	older   int
}

// hold says what a look at a known case is worth: zero to go on, else why not.
func (c comparison) hold(s *snapshot, prev *schemas.CaseState, confirm bool) verdict {
	tie := c.tied > 0 || c.theCase == tied
	if s.FromRead {
		if tie && !confirm {
			return verdictDoubt
		}
		return 0
	}
	// A tie is never settled by rank here: the observation may have waited in
	// the inbox, and may be the earlier of two states.
	if tie || c.forward > 0 || c.theCase == forward {
		return verdictNeedsRead
	}
	// What shows something new must be new altogether: the list request may have
	// been sent before our last read, and a list answer need not be of one piece.
	state := timeOrZero(prev.CaseModified)
	torn := c.older > 0 && (c.newer > 0 || s.Modified.After(state))
	late := s.Modified.Before(state) || s.ObservedAt.Before(timeOrZero(prev.LastReadAt))
	if torn || late && (c.newer > 0 || c.theCase == newer) {
		return verdictNeedsRead
	}
	return 0
}

func (l *look) compare() comparison {
	c := comparison{theCase: l.compareCase()}
	for i := range l.snapshot.Identifications {
		rel, _ := l.relate(&l.snapshot.Identifications[i])
		switch rel {
		case added, newer:
			c.newer++
		case older:
			c.older++
		case forward:
			c.forward++
		case tied:
			c.tied++
		case same:
		}
	}
	return c
}

func (l *look) compareCase() relation {
	switch s := l.snapshot; {
	case !l.known:
		return added
	case l.stale:
		return older // whatever it says: it is a late answer
	default:
		return relate(s.Status == l.state.CaseStatus, s.Modified, timeOrZero(l.state.CaseModified),
			caseRank(s.Status) > caseRank(l.state.CaseStatus))
	}
}

// relate compares one identification with the state, and says where it stands
// there.
func (l *look) relate(id *schemas.ObservedIdentification) (relation, int) {
	i := slices.IndexFunc(l.state.Identifications, func(st schemas.IdentificationState) bool {
		return st.Method == id.Method && st.Created.Equal(id.Created)
	})
	if i < 0 {
		return added, -1
	}
	st := &l.state.Identifications[i]
	rel := relate(sameTuple(st, id), id.Modified, st.Modified, scr.Rank(id.Status) > scr.Rank(st.Status))
	if l.stale && (rel == forward || rel == tied) {
		rel = older // the case has moved on since: this is the earlier of the two
	}
	return rel, i
}

// relate is the rule for one object. A missing modified orders nothing: it is a
// tie, so that nothing is lost to it.
func relate(equal bool, seen, state time.Time, higher bool) relation {
	switch {
	case equal:
		return same
	case seen.After(state):
		return newer
	case seen.Before(state) && !seen.IsZero():
		return older
	case higher:
		return forward
	default:
		return tied
	}
}

// sameTuple compares what makes a change: status, codes and identificationTime.
func sameTuple(st *schemas.IdentificationState, id *schemas.ObservedIdentification) bool {
	return st.Status == id.Status &&
		sameCode(st.SubStatus, id.SubStatus) &&
		sameCode(st.SubStatusReason, id.SubStatusReason) &&
		compareTimes(st.IdentificationTime, id.IdentificationTime) == 0
}

func sameCode(state *int, seen *schemas.StatusCode) bool {
	if state == nil || seen == nil {
		return state == nil && seen == nil
	}
	return *state == seen.Code
}

// caseRank is the order of progress of a case (guide 8.3), -1 when unknown.
func caseRank(status string) int {
	return slices.Index([]string{scr.CaseNew, scr.CaseInProgress, scr.CaseClosed}, status)
}
