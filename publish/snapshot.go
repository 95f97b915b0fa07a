package publish

import (
	"cmp"
	"slices"
	"time"

	"postident-bridge/internal/observation"
	"postident-bridge/internal/scr"
	"postident-bridge/schemas"
)

// snapshot is one look at a case, from a read or from an observation. It is
// made by snapshotOfCase and snapshotOfObservation only, which keep what decide
// builds on: times are UTC in whole milliseconds, so that a state made of them
// is the same after its way through Avro; identifications stand in the order of
// their changes, each (method, created) once. A snapshot is not changed after
// that; events and states share its memory.
type snapshot struct {
	ClientID        string
	CaseID          string
	ReferenceID     *string // nil where the source did not give it
	Status          string  // of the case, the API's text
	Created         time.Time
	Modified        time.Time // zero when absent
	ValidUntil      *time.Time
	Archived        bool
	Accounting      *schemas.AccountingData
	Identifications []schemas.ObservedIdentification
	// Shadowed counts what an answer showed of an identification beside its
	// newest state. The guide rules that out; see distinct.
	Shadowed   int
	ObservedAt time.Time // when the request was sent
	ObservedBy schemas.Source
	FromRead   bool
}

// snapshotOfCase is what a read that began at readAt showed.
func snapshotOfCase(clientID string, c scr.Case, by schemas.Source, readAt time.Time) snapshot {
	o := observation.Of(c, readAt)
	s := snapshotOfObservation(schemas.Trigger{ClientID: clientID, CaseID: c.CaseID, Source: by, Observation: &o})
	s.FromRead = true
	return s
}

// snapshotOfObservation is what a list answer showed; t.Observation is set. The
// referenceId is the observation's, else the trigger's.
func snapshotOfObservation(t schemas.Trigger) snapshot {
	o := t.Observation
	identifications := slices.Clone(o.Identifications)
	for i := range identifications {
		id := &identifications[i]
		id.IdentificationTime = wireTimeOrNil(id.IdentificationTime)
		id.Created = wireTime(id.Created)
		id.Modified = wireTime(id.Modified)
	}
	s := snapshot{
		ClientID:    t.ClientID,
		CaseID:      t.CaseID,
		ReferenceID: cmp.Or(o.ReferenceID, t.ReferenceID),
		Status:      o.CaseStatus,
		Created:     wireTime(o.Created),
		Modified:    wireTime(o.Modified),
		ValidUntil:  wireTimeOrNil(o.ValidUntil),
		Archived:    o.Archived,
		Accounting:  o.Accounting,
		ObservedAt:  wireTime(o.ObservedAt),
		ObservedBy:  t.Source,
	}
	s.Identifications, s.Shadowed = distinct(identifications)
	return s
}

// distinct sorts into the order of changes and keeps the last of each (method,
// created). The guide shows each identification once; an answer that shows two
// under one identity (their created is missing, or the same second) would
// otherwise publish both anew at every look.
func distinct(ids []schemas.ObservedIdentification) (kept []schemas.ObservedIdentification, shadowed int) {
	if len(ids) < 2 {
		return ids, 0
	}
	slices.SortFunc(ids, compareChanges)
	kept = ids[:0]
	for i := range ids {
		later := slices.ContainsFunc(ids[i+1:], func(o schemas.ObservedIdentification) bool {
			return o.Method == ids[i].Method && o.Created.Equal(ids[i].Created)
		})
		if later {
			shadowed++
			continue
		}
		kept = append(kept, ids[i])
	}
	return kept, shadowed
}

// compareChanges is the order in which changes that one look shows are
// published: (modified, rank of the status, created, method). The rest only
// keeps the order from depending on the answer's own.
func compareChanges(a, b schemas.ObservedIdentification) int {
	return cmp.Or(
		a.Modified.Compare(b.Modified),
		cmp.Compare(scr.Rank(a.Status), scr.Rank(b.Status)),
		a.Created.Compare(b.Created),
		cmp.Compare(a.Method, b.Method),
		cmp.Compare(a.Status, b.Status),
		compareCodes(a.SubStatus, b.SubStatus),
		compareCodes(a.SubStatusReason, b.SubStatusReason),
		compareTimes(a.IdentificationTime, b.IdentificationTime),
	)
}

func compareCodes(a, b *schemas.StatusCode) int {
	switch {
	case a != nil && b != nil:
		return cmp.Compare(a.Code, b.Code)
	case b != nil:
		return -1
	case a != nil:
		return 1
	}
	return 0
}

func compareTimes(a, b *time.Time) int {
	switch {
	case a != nil && b != nil:
		return a.Compare(*b)
	case b != nil:
		return -1
	case a != nil:
		return 1
	}
	return 0
}

// wireTime is t as timestamp-millis carries it. The zero time stays zero.
func wireTime(t time.Time) time.Time { return observation.Time(t) }

func wireTimeOrNil(t *time.Time) *time.Time {
	if t == nil || t.IsZero() {
		return nil
	}
	return new(wireTime(*t))
}
