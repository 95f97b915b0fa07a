package schemas

import (
	"bytes"
	"encoding/binary"
	"sync"
)

// CaseStateView is a CaseState read in place: its texts are parts of the value
// that it was read from, and go with it. A restore looks at every state that the
// topic holds; CaseState costs it twenty times as much.
type CaseStateView struct {
	ClientID, CaseID []byte
	Created          OptionalLong // this and all other times: milliseconds since 1970
	ReferenceID      []byte       // nil: null
	Sequence         int64
	LastEventHash    []byte // nil: null
	CaseStatus       []byte
	CaseModified     OptionalLong
	ValidUntil       OptionalLong
	Identifications  []IdentificationView
	LastReadAt       OptionalLong
	Retry            *RetryView      // nil: null
	DeadLettered     *DeadLetterView // nil: null
	UpdatedAt        int64
	CaseIDReused     bool
	HooksDue         []HookDueView
	Archived         bool

	retry  RetryView      // what Retry points to
	letter DeadLetterView // what DeadLettered points to
}

// IdentificationView is an IdentificationState read in place.
type IdentificationView struct {
	Method             []byte
	Created            int64
	Modified           int64
	Status             []byte
	SubStatus          OptionalLong
	SubStatusReason    OptionalLong
	IdentificationTime OptionalLong
	Outputs            []Output
	WasFinal           bool
	RecordsPending     PendingView
}

// PendingView is a PendingRecords read in place, or null where it is not set.
type PendingView struct {
	Sequence int64
	Since    int64
	Attempts int64
	Set      bool
}

// RetryView is a Retry read in place.
type RetryView struct {
	Kind        RetryKind
	Attempt     int64
	NotBefore   int64
	Reason      []byte
	FirstFailed int64
	Partition   int64
	Offset      int64
	Trigger     []byte
	Faults      int64
	Hooks       []int64
}

// HookDueView is a HookDue read in place.
type HookDueView struct {
	StatusType StatusType
	Modified   int64
	Until      int64
}

// DeadLetterView is a DeadLetterMark read in place.
type DeadLetterView struct {
	At     int64
	Reason []byte
}

// OptionalLong is a long that may be null.
type OptionalLong struct {
	Value int64
	Set   bool
}

// plainCaseState and plainPrevious begin the values that Read knows: the
// single-object headers of the schemas whose fields are spelt out below, today's
// and the one before, with which most states are written. TestViewKnowsTodaysSchema
// falls when a schema changes; until the fields follow, every value goes the long
// way.
var plainPrevious = header{0xc3, 0x01, 0x83, 0x99, 0x72, 0x92, 0x97, 0x70, 0xda, 0x8c}

var plainCaseState = header{0xc3, 0x01, 0x87, 0x29, 0xac, 0x89, 0x88, 0xb1, 0xcf, 0xe8}

var viewIsOfToday = sync.OnceValue(func() bool {
	c, err := caseStateCodec()
	return err == nil && c.header == plainCaseState && c.previous.header == plainPrevious
})

// The symbols of the enums, by index.
var (
	outputSymbols     = [...]Output{OutputUnknown, OutputStatus, OutputResult, OutputRecords}
	retryKindSymbols  = [...]RetryKind{RetryUnknown, RetryFault, RetryParked, RetryRecheck, RetryRecords}
	statusTypeSymbols = [...]StatusType{
		StatusTypeUnknown, StatusTypeNotification, StatusTypePreliminary, StatusTypeFinal, StatusTypeCancelled, StatusTypeProgress,
		StatusTypeRecordsAvailable,
	}
)

// Read reads the value of a case-state record as this release writes it. False
// says nothing against the value: it may be another release's, or be written in
// another of the ways that Avro allows, and DecodeCaseState has the last word.
// True means that DecodeCaseState would read the same.
//
// The view is used again from value to value; it allocates for the first ones
// only.
func (v *CaseStateView) Read(value []byte) bool {
	r := plainReader{previous: bytes.HasPrefix(value, plainPrevious[:])}
	if len(value) > MaxBytes || !r.previous && !bytes.HasPrefix(value, plainCaseState[:]) || !viewIsOfToday() {
		return false
	}
	r.rest = value[len(plainCaseState):]
	v.ClientID = r.bytes()
	v.CaseID = r.bytes()
	v.Created = r.optionalLong()
	v.ReferenceID = r.optionalBytes()
	v.Sequence = r.long()
	v.LastEventHash = r.optionalBytes()
	v.CaseStatus = r.bytes()
	v.CaseModified = r.optionalLong()
	v.ValidUntil = r.optionalLong()
	v.readIdentifications(&r)
	v.LastReadAt = r.optionalLong()
	v.Retry, v.DeadLettered = nil, nil
	if r.set() {
		v.retry = RetryView{
			Kind: symbol(&r, withoutNew(&r, retryKindSymbols[:])), Attempt: r.integer(), NotBefore: r.long(), Reason: r.bytes(), FirstFailed: r.long(),
			Partition: r.integer(), Offset: r.long(), Trigger: r.bytes(), Faults: r.integer(), Hooks: r.longs(v.retry.Hooks[:0]),
		}
		v.Retry = &v.retry
	}
	if r.set() {
		v.letter = DeadLetterView{At: r.long(), Reason: r.bytes()}
		v.DeadLettered = &v.letter
	}
	v.UpdatedAt = r.long()
	v.CaseIDReused = r.boolean()
	v.readHooksDue(&r)
	v.Archived = r.boolean()
	return !r.odd && len(r.rest) == 0
}

func (v *CaseStateView) readHooksDue(r *plainReader) {
	n := r.items()
	v.HooksDue = v.HooksDue[:0]
	for range n {
		if r.odd {
			return
		}
		v.HooksDue = append(v.HooksDue, HookDueView{StatusType: symbol(r, withoutNew(r, statusTypeSymbols[:])), Modified: r.long(), Until: r.long()})
	}
	r.end(n)
}

func (v *CaseStateView) readIdentifications(r *plainReader) {
	n := r.items()
	v.Identifications = v.Identifications[:0]
	for range n {
		if r.odd {
			return
		}
		if len(v.Identifications) == cap(v.Identifications) {
			v.Identifications = append(v.Identifications, IdentificationView{})
		} else {
			v.Identifications = v.Identifications[:len(v.Identifications)+1]
		}
		id := &v.Identifications[len(v.Identifications)-1]
		id.Method = r.bytes()
		id.Created = r.long()
		id.Modified = r.long()
		id.Status = r.bytes()
		id.SubStatus = r.optionalInteger()
		id.SubStatusReason = r.optionalInteger()
		id.IdentificationTime = r.optionalLong()
		id.Outputs = id.Outputs[:0]
		outputs := r.items()
		for range outputs {
			if r.odd {
				return
			}
			id.Outputs = append(id.Outputs, symbol(r, outputSymbols[:]))
		}
		r.end(outputs)
		id.WasFinal = r.boolean()
		id.RecordsPending = PendingView{}
		if !r.previous && r.set() {
			id.RecordsPending = PendingView{Sequence: r.long(), Since: r.long(), Attempts: r.long(), Set: true}
		}
	}
	r.end(n)
}

// plainReader reads Avro's binary encoding where it is written the plain way.
// Once something is odd, all that it reads is zero.
type plainReader struct {
	rest     []byte
	odd      bool
	previous bool // in the previous schema
}

func (r *plainReader) fail() {
	r.rest, r.odd = nil, true
}

func (r *plainReader) long() int64 {
	var u uint64
	for i, b := range r.rest {
		u |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			r.rest = r.rest[i+1:]
			return int64(u>>1) ^ -int64(u&1)
		}
		if i == maxLongBytes-2 {
			break // the tenth byte needs care, and no time of ours has one
		}
	}
	v, n := binary.Varint(r.rest)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

const maxLongBytes = binary.MaxVarintLen64

// integer is a long that is an int in CaseState.
func (r *plainReader) integer() int64 {
	v := r.long()
	if int64(int(v)) != v {
		r.fail()
		return 0
	}
	return v
}

// bytes is never nil, unless something is odd.
func (r *plainReader) bytes() []byte {
	n := r.long()
	if n < 0 || n > int64(len(r.rest)) {
		r.fail()
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

func (r *plainReader) byte() byte {
	if len(r.rest) == 0 {
		r.fail()
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

func (r *plainReader) boolean() bool {
	b := r.byte()
	if b > 1 {
		r.fail()
	}
	return b == 1
}

// set reads the branch of a union of null and something else.
func (r *plainReader) set() bool {
	b := r.byte()
	if b != 0 && b != 2 {
		r.fail()
	}
	return b == 2
}

func (r *plainReader) optionalLong() OptionalLong {
	if !r.set() {
		return OptionalLong{}
	}
	return OptionalLong{Value: r.long(), Set: true}
}

func (r *plainReader) optionalInteger() OptionalLong {
	if !r.set() {
		return OptionalLong{}
	}
	return OptionalLong{Value: r.integer(), Set: true}
}

func (r *plainReader) optionalBytes() []byte {
	if !r.set() {
		return nil
	}
	return r.bytes()
}

// items is how many items an array has that is one block, without its size in
// bytes.
func (r *plainReader) items() int64 {
	n := r.long()
	if n < 0 {
		r.fail()
		return 0
	}
	return n
}

// longs appends the items of an array to what is there.
func (r *plainReader) longs(to []int64) []int64 {
	n := r.items()
	for range n {
		if r.odd {
			return to
		}
		to = append(to, r.long())
	}
	r.end(n)
	return to
}

// end reads the end of an array of n items; one without items is its own end.
func (r *plainReader) end(n int64) {
	if n > 0 && r.byte() != 0 {
		r.fail()
	}
}

// withoutNew gives the symbols of an enum whose last one is not in the previous
// schema.
func withoutNew[T any](r *plainReader, symbols []T) []T {
	if r.previous {
		return symbols[:len(symbols)-1]
	}
	return symbols
}

func symbol[T any](r *plainReader, symbols []T) T {
	b := r.byte()
	if b&1 != 0 || int(b>>1) >= len(symbols) {
		r.fail()
		return symbols[0]
	}
	return symbols[b>>1]
}
