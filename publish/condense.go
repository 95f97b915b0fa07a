package publish

import (
	"encoding/binary"
	"slices"
	"time"

	"postident-bridge/schemas"
)

// The form in which the table keeps a case: half as large as the record in
// case-state. It never leaves the process, so it may change with any release.
// Behind the key of its block stand, in the order of condense: marks, the case's
// status, times, and so on; known texts are numbers, and times are distances
// that count seconds where there are only whole ones.

// Marks of a condensed state.
const (
	markRetry = 1 << iota
	markDeadLettered
	markCreated
	markReference
	markHash
	markCaseModified
	markValidUntil
	markLastRead
	markReused
	markHooksDue
	markArchived
)

// Marks of an identification in it.
const (
	markSubStatus = 1 << iota
	markReason
	markTime
	markFinal
	markStatusOut // its one output is the status event
	markRecordsPending
)

// knownTexts are the texts that the API and this package use, by number. Number
// 0 stands for all others.
var knownTexts = []string{
	"\x00", "", "new", "in progress", "closed",
	"autoid", "basic", "eid", "photo", "video",
	"started", "coupon requested", "incomplete", "review pending", "cancelled", "declined", "success",
}

var knownOutputs = []schemas.Output{schemas.OutputUnknown, schemas.OutputStatus, schemas.OutputResult, schemas.OutputRecords}

var knownStatusTypes = []schemas.StatusType{
	schemas.StatusTypeUnknown, schemas.StatusTypeNotification, schemas.StatusTypePreliminary, schemas.StatusTypeFinal,
	schemas.StatusTypeCancelled, schemas.StatusTypeProgress, schemas.StatusTypeRecordsAvailable,
}

var knownRetryKinds = []schemas.RetryKind{schemas.RetryUnknown, schemas.RetryFault, schemas.RetryParked, schemas.RetryRecheck, schemas.RetryRecords}

// head is what the table asks for most of a condensed state.
type head struct {
	marks     uint16
	status    string // of the case
	updatedAt time.Time
	offset    int64 // of the record in case-state
	readAt    int64 // lastReadAt, if marked
}

// condense appends a state that stands in case-state at offset, but for the
// trigger that waits in it.
func condense(b []byte, v *schemas.CaseStateView, offset int64) []byte {
	c := condenser{b: b}
	c.head(v, offset)
	var created int64
	if v.Created.Set {
		created = v.Created.Value
		c.time(created, 0)
	}
	if v.ReferenceID != nil {
		c.bytes(v.ReferenceID)
	}
	c.varint(v.Sequence)
	if v.LastEventHash != nil {
		c.bytes(v.LastEventHash)
	}
	c.optionalTime(v.CaseModified, created)
	c.optionalTime(v.ValidUntil, created)
	c.uvarint(uint64(len(v.Identifications)))
	for i := range v.Identifications {
		c.identification(&v.Identifications[i], created)
	}
	if r := v.Retry; r != nil {
		c.b = append(c.b, byte(slices.Index(knownRetryKinds, r.Kind))) //nolint:gosec // it is one of them
		c.varint(r.Attempt)
		c.time(r.NotBefore, v.UpdatedAt)
		c.text(r.Reason)
		c.time(r.FirstFailed, v.UpdatedAt)
		c.varint(r.Partition)
		c.varint(r.Offset)
		c.varint(r.Faults)
		c.uvarint(uint64(len(r.Hooks)))
		for _, at := range r.Hooks {
			c.time(at, v.UpdatedAt)
		}
	}
	if d := v.DeadLettered; d != nil {
		c.time(d.At, v.UpdatedAt)
		c.text(d.Reason)
	}
	if len(v.HooksDue) > 0 {
		c.uvarint(uint64(len(v.HooksDue)))
	}
	for _, d := range v.HooksDue {
		c.b = append(c.b, byte(slices.Index(knownStatusTypes, d.StatusType))) //nolint:gosec // it is one of them
		c.time(d.Modified, v.UpdatedAt)
		c.time(d.Until, d.Modified)
	}
	return c.b
}

// expandHead reads the head; rest is what follows it.
func expandHead(condensed []byte) (h head, rest []byte) {
	h.marks = binary.LittleEndian.Uint16(condensed)
	h.readAt = int64(binary.LittleEndian.Uint64(condensed[2:])) //nolint:gosec // the bits count
	e := expander{b: condensed[10:]}
	h.status = e.text()
	h.updatedAt = millis(e.varint())
	h.offset = e.varint()
	return h, e.b
}

// setReadAt writes another lastReadAt into a condensed state.
func setReadAt(condensed []byte, at *time.Time) {
	marks := binary.LittleEndian.Uint16(condensed) &^ markLastRead
	if at != nil {
		marks |= markLastRead
		binary.LittleEndian.PutUint64(condensed[2:], uint64(at.UnixMilli()))
	}
	binary.LittleEndian.PutUint16(condensed, marks)
}

// expand is the state that was condensed under a key.
func expand(clientID, caseID string, condensed []byte) *schemas.CaseState {
	h, rest := expandHead(condensed)
	e := expander{b: rest}
	s := &schemas.CaseState{
		ClientID: clientID, CaseID: caseID, CaseStatus: h.status, UpdatedAt: h.updatedAt, CaseIDReused: h.marks&markReused != 0,
		Archived: h.marks&markArchived != 0,
	}
	var created int64
	if h.marks&markCreated != 0 {
		created = e.time(0)
		s.Created = new(millis(created))
	}
	if h.marks&markReference != 0 {
		s.ReferenceID = new(string(e.bytes()))
	}
	s.Sequence = e.varint()
	if h.marks&markHash != 0 {
		s.LastEventHash = new(append([]byte{}, e.bytes()...))
	}
	s.CaseModified = e.optionalTime(h.marks&markCaseModified != 0, created)
	s.ValidUntil = e.optionalTime(h.marks&markValidUntil != 0, created)
	if h.marks&markLastRead != 0 {
		s.LastReadAt = new(millis(h.readAt))
	}
	updated := h.updatedAt.UnixMilli()
	s.Identifications = make([]schemas.IdentificationState, e.uvarint())
	for i := range s.Identifications {
		e.identification(&s.Identifications[i], created)
	}
	if h.marks&markRetry != 0 {
		s.Retry = &schemas.Retry{
			Kind: knownRetryKinds[e.byte()], Attempt: int(e.varint()), NotBefore: millis(e.time(updated)), Reason: e.text(),
			FirstFailed: millis(e.time(updated)), Partition: int(e.varint()), Offset: e.varint(), Faults: int(e.varint()),
			Hooks: make([]time.Time, e.uvarint()),
		}
		for i := range s.Retry.Hooks {
			s.Retry.Hooks[i] = millis(e.time(updated))
		}
	}
	if h.marks&markDeadLettered != 0 {
		s.DeadLettered = &schemas.DeadLetterMark{At: millis(e.time(updated)), Reason: e.text()}
	}
	hooksDue := uint64(0)
	if h.marks&markHooksDue != 0 {
		hooksDue = e.uvarint()
	}
	s.HooksDue = make([]schemas.HookDue, hooksDue)
	for i := range s.HooksDue {
		d := &s.HooksDue[i]
		d.StatusType = knownStatusTypes[e.byte()]
		modified := e.time(updated)
		d.Modified, d.Until = millis(modified), millis(e.time(modified))
	}
	return s
}

func millis(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// condenser appends to a block.
type condenser struct{ b []byte }

func (c *condenser) head(v *schemas.CaseStateView, offset int64) {
	var marks uint16
	for _, m := range [...]struct {
		set  bool
		mark uint16
	}{
		{v.Retry != nil, markRetry},
		{v.DeadLettered != nil, markDeadLettered},
		{v.Created.Set, markCreated},
		{v.ReferenceID != nil, markReference},
		{v.LastEventHash != nil, markHash},
		{v.CaseModified.Set, markCaseModified},
		{v.ValidUntil.Set, markValidUntil},
		{v.LastReadAt.Set, markLastRead},
		{v.CaseIDReused, markReused},
		{len(v.HooksDue) > 0, markHooksDue},
		{v.Archived, markArchived},
	} {
		if m.set {
			marks |= m.mark
		}
	}
	c.b = binary.LittleEndian.AppendUint16(c.b, marks)
	// Behind the marks, at its full length: setReadAt writes over it.
	c.b = binary.LittleEndian.AppendUint64(c.b, uint64(v.LastReadAt.Value)) //nolint:gosec // the bits count
	c.text(v.CaseStatus)
	c.varint(v.UpdatedAt)
	c.varint(offset)
}

func (c *condenser) identification(id *schemas.IdentificationView, created int64) {
	var marks byte
	if id.SubStatus.Set {
		marks |= markSubStatus
	}
	if id.SubStatusReason.Set {
		marks |= markReason
	}
	if id.IdentificationTime.Set {
		marks |= markTime
	}
	if id.WasFinal {
		marks |= markFinal
	}
	statusOut := len(id.Outputs) == 1 && id.Outputs[0] == schemas.OutputStatus
	if statusOut {
		marks |= markStatusOut
	}
	if id.RecordsPending.Set {
		marks |= markRecordsPending
	}
	c.b = append(c.b, marks)
	c.text(id.Method)
	c.text(id.Status)
	c.time(id.Created, created)
	c.time(id.Modified, id.Created)
	if id.SubStatus.Set {
		c.varint(id.SubStatus.Value)
	}
	if id.SubStatusReason.Set {
		c.varint(id.SubStatusReason.Value)
	}
	c.optionalTime(id.IdentificationTime, id.Created)
	if p := id.RecordsPending; p.Set {
		c.varint(p.Sequence)
		c.time(p.Since, id.Modified)
		c.varint(p.Attempts)
	}
	if !statusOut {
		c.uvarint(uint64(len(id.Outputs)))
		for _, o := range id.Outputs {
			c.b = append(c.b, byte(slices.Index(knownOutputs, o))) //nolint:gosec // it is one of them
		}
	}
}

func (c *condenser) uvarint(v uint64) { c.b = binary.AppendUvarint(c.b, v) }

func (c *condenser) varint(v int64) { c.b = binary.AppendVarint(c.b, v) }

func (c *condenser) bytes(v []byte) {
	c.uvarint(uint64(len(v)))
	c.b = append(c.b, v...)
}

func (c *condenser) text(v []byte) {
	for i := 1; i < len(knownTexts); i++ {
		if string(v) == knownTexts[i] {
			c.b = append(c.b, byte(i))
			return
		}
	}
	c.b = append(c.b, 0)
	c.bytes(v)
}

// time appends the distance to a time that is near, in seconds if it is whole.
func (c *condenser) time(ms, near int64) {
	d := ms - near
	switch u := zigzag(d); {
	case d%1000 == 0:
		c.uvarint(zigzag(d/1000)<<2 | wholeSeconds)
	case u < 1<<62:
		c.uvarint(u << 2)
	default:
		c.uvarint(farAway)
		c.uvarint(u)
	}
}

// The last two bits of a distance.
const (
	_            = iota // milliseconds
	wholeSeconds        // as many
	farAway             // the distance follows, alone
)

func (c *condenser) optionalTime(ms schemas.OptionalLong, near int64) {
	if ms.Set {
		c.time(ms.Value, near)
	}
}

func zigzag(v int64) uint64 { return uint64(v)<<1 ^ uint64(v>>63) } //nolint:gosec // the bits count

func unzigzag(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }

// expander reads what condenser wrote.
type expander struct{ b []byte }

func (e *expander) uvarint() uint64 {
	v, n := binary.Uvarint(e.b)
	e.b = e.b[n:]
	return v
}

func (e *expander) varint() int64 { return unzigzag(e.uvarint()) }

func (e *expander) byte() byte {
	b := e.b[0]
	e.b = e.b[1:]
	return b
}

func (e *expander) bytes() []byte {
	n := e.uvarint()
	b := e.b[:n]
	e.b = e.b[n:]
	return b
}

func (e *expander) text() string {
	if i := e.byte(); i != 0 {
		return knownTexts[i]
	}
	return string(e.bytes())
}

func (e *expander) time(near int64) int64 {
	u := e.uvarint()
	switch u & 3 {
	case wholeSeconds:
		return near + unzigzag(u>>2)*1000
	case farAway:
		return near + unzigzag(e.uvarint())
	}
	return near + unzigzag(u>>2)
}

func (e *expander) optionalTime(set bool, near int64) *time.Time {
	if !set {
		return nil
	}
	return new(millis(e.time(near)))
}

func (e *expander) identification(id *schemas.IdentificationState, created int64) {
	marks := e.byte()
	id.WasFinal = marks&markFinal != 0
	id.Method = e.text()
	id.Status = e.text()
	at := e.time(created)
	id.Created = millis(at)
	id.Modified = millis(e.time(at))
	if marks&markSubStatus != 0 {
		id.SubStatus = new(int(e.varint()))
	}
	if marks&markReason != 0 {
		id.SubStatusReason = new(int(e.varint()))
	}
	id.IdentificationTime = e.optionalTime(marks&markTime != 0, at)
	if marks&markRecordsPending != 0 {
		id.RecordsPending = &schemas.PendingRecords{Sequence: e.varint(), Since: millis(e.time(id.Modified.UnixMilli())), Attempts: e.varint()}
	}
	if marks&markStatusOut != 0 {
		id.Outputs = []schemas.Output{schemas.OutputStatus}
		return
	}
	id.Outputs = make([]schemas.Output, e.uvarint())
	for i := range id.Outputs {
		id.Outputs[i] = knownOutputs[e.byte()]
	}
}
