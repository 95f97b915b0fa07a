package audit

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"postident-bridge/internal/claim"
	"postident-bridge/schemas"
)

// complete matches an event that brings records with the one that said pending.
func (c *comparison) complete(t *caseTruth, p *Published) {
	e := &p.Event
	if e.Completes == nil {
		return // contentMismatches says so
	}
	of := t.bySequence[*e.Completes]
	switch {
	case of == nil:
		c.found(Invented, p, "it completes event %d, which does not stand before it", *e.Completes)
		return
	case !isPending(&of.Event):
		c.found(Invented, p, "it completes %s, which did not say pending", of.Where())
		return
	case t.completed[*e.Completes] != nil:
		c.found(Doubled, p, "%s brought the records of %s already", t.completed[*e.Completes].Where(), of.Where())
		return
	}
	t.completed[*e.Completes] = p
	c.report.Completed++
	if eventState(e) != eventState(&of.Event) || eventModified(e).Before(eventModified(&of.Event)) {
		c.found(Mismatch, p, "it does not repeat the state of %s, which it completes", of.Where())
	}
}

func isPending(e *schemas.StatusChanged) bool {
	return e.RecordsState != nil && *e.RecordsState == schemas.RecordsStatePending
}

// isSettled says that an event tells of all records that there are.
func isSettled(e *schemas.StatusChanged) bool {
	return e.RecordsState != nil && (*e.RecordsState == schemas.RecordsStateStored || *e.RecordsState == schemas.RecordsStateNone)
}

// contentMismatches says where what an event says of its records and its result
// contradicts itself.
func contentMismatches(e *schemas.StatusChanged) []string {
	var out []string
	brings := e.StatusType == schemas.StatusTypeRecordsAvailable
	if brings != (e.Completes != nil) {
		out = append(out, fmt.Sprintf("status type %s does not go with completes present=%t", e.StatusType, e.Completes != nil))
	}
	if brings && !isSettled(e) {
		out = append(out, "it brings records, and does not say that they are stored")
	}
	if e.RecordsState != nil && !brings && e.StatusType != schemas.StatusTypeFinal {
		out = append(out, fmt.Sprintf("status type %s has a recordsState", e.StatusType))
	}
	if d := e.ResultDigest; d != nil && (e.StatusType != schemas.StatusTypeFinal || len(*d) != 32) {
		out = append(out, fmt.Sprintf("status type %s has a resultDigest of %d bytes", e.StatusType, len(*d)))
	}
	stored := 0
	for i := range e.Records {
		r, bad := referenceOf(e, &e.Records[i])
		if bad != "" {
			out = append(out, fmt.Sprintf("reference of record %d: %s", i, bad))
		}
		if r != nil {
			stored++
		}
	}
	says := e.RecordsState != nil && *e.RecordsState == schemas.RecordsStateStored
	if (stored > 0) != says {
		out = append(out, fmt.Sprintf("%d of its records have a reference, and recordsState stored is %t", stored, says))
	}
	return out
}

// referenceOf is the reference of a record, nil without one; bad is what is wrong
// with it: the object's name repeats whose it is and what it holds.
func referenceOf(e *schemas.StatusChanged, m *schemas.RecordMetadata) (r *claim.Reference, bad string) {
	stored, ok := m.StoredAs()
	if !ok {
		if m.Reference != nil || m.SHA256 != nil || m.Size != nil || m.MediaType != nil {
			return nil, "it is not whole"
		}
		return nil, ""
	}
	r = &claim.Reference{Location: stored.Location, SHA256: hex.EncodeToString(stored.SHA256), Size: stored.Size, MediaType: stored.MediaType}
	if err := r.Validate(); err != nil {
		return r, err.Error()
	}
	parts := strings.Split(r.Location, "/")
	key, ok := claim.ParseName(strings.Join(parts[max(0, len(parts)-4):], "/"))
	switch {
	case !ok:
		return r, "its location is none that the bridge makes"
	case key.ClientID != e.ClientID || key.CaseID != e.CaseID || key.CaseCreated.UnixMilli() != e.CaseStatus.Created.UnixMilli():
		return r, "its location is that of another case"
	case key.SHA256 != r.SHA256:
		return r, "its location names another digest"
	}
	return r, ""
}

// settingMismatches says where an event is not what its account's settings ask for.
func (c *comparison) settingMismatches(e *schemas.StatusChanged) []string {
	var out []string
	final := e.StatusType == schemas.StatusTypeFinal
	if c.opts.Records != nil {
		_, stores := c.opts.Records[e.ClientID]
		switch {
		case stores && final && e.RecordsState == nil:
			out = append(out, "it says nothing of records, which its account stores")
		case !stores && e.RecordsState != nil:
			out = append(out, "it has a recordsState, and its account stores no records")
		}
	}
	if c.opts.Results != nil && e.ResultDigest != nil && !slices.Contains(c.opts.Results, e.ClientID) {
		out = append(out, "it has a resultDigest, and its account publishes no results")
	}
	return out
}
