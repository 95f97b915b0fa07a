package schemas

import (
	"embed"
	"encoding/binary"
	"fmt"
	"io/fs"
	"sync"

	"github.com/twmb/avro"
)

// Names of the records: of their .avsc files and in errors.
const (
	recordTrigger              = "trigger"
	recordCaseState            = "case_state"
	recordPosition             = "position"
	recordBarrier              = "barrier"
	recordPollCursor           = "poll_cursor"
	recordStatusChanged        = "status_changed"
	recordIdentificationResult = "identification_result"
)

// today holds the schemas that this build writes.
//
//go:embed *.avsc
var today embed.FS

// released holds the schemas that any release wrote, today's included.
//
//go:embed testdata/history/*/*.avsc
var released embed.FS

// One codec per record, made at first use: a process pays only for those that
// its role needs. An error is one of the embedded files' (the tests find it).
var (
	triggerCodec = sync.OnceValues(func() (*codec[Trigger], error) {
		return newInternalCodec(recordTrigger, previousRelease, (*Trigger).heldBefore)
	})
	caseStateCodec = sync.OnceValues(func() (*codec[CaseState], error) {
		return newInternalCodec(recordCaseState, previousRelease, (*CaseState).heldBefore)
	})
	positionCodec      = sync.OnceValues(func() (*codec[Position], error) { return newCodec[Position](recordPosition) })
	barrierCodec       = sync.OnceValues(func() (*codec[Barrier], error) { return newCodec[Barrier](recordBarrier) })
	pollCursorCodec    = sync.OnceValues(func() (*codec[PollCursor], error) { return newCodec[PollCursor](recordPollCursor) })
	statusChangedCodec = sync.OnceValues(func() (*codec[StatusChanged], error) { return newCodec[StatusChanged](recordStatusChanged) })

	identificationResultCodec = sync.OnceValues(func() (*codec[IdentificationResult], error) {
		return newCodec[IdentificationResult](recordIdentificationResult)
	})
)

// EncodeTrigger gives the value of an inbox record, in single-object encoding.
// The same value gives the same bytes. Times are cut to milliseconds; an enum
// value that the schema does not list is refused.
func EncodeTrigger(v Trigger) ([]byte, error) { return encode(triggerCodec, &v) }

// DecodeTrigger reads the value of an inbox record that any release wrote.
// Anything else gives a *CorruptError.
func DecodeTrigger(b []byte) (Trigger, error) { return decode(triggerCodec, b) }

// EncodeCaseState gives the value of a case-state record, as EncodeTrigger.
func EncodeCaseState(v CaseState) ([]byte, error) { return encode(caseStateCodec, &v) }

// DecodeCaseState reads the value of a case-state record, as DecodeTrigger.
func DecodeCaseState(b []byte) (CaseState, error) { return decode(caseStateCodec, b) }

// EncodePosition gives the value under PositionKey, as EncodeTrigger.
func EncodePosition(v Position) ([]byte, error) { return encode(positionCodec, &v) }

// DecodePosition reads the value under PositionKey, as DecodeTrigger.
func DecodePosition(b []byte) (Position, error) { return decode(positionCodec, b) }

// EncodeBarrier gives the value under BarrierKey, as EncodeTrigger.
func EncodeBarrier(v Barrier) ([]byte, error) { return encode(barrierCodec, &v) }

// DecodeBarrier reads the value under BarrierKey, as DecodeTrigger.
func DecodeBarrier(b []byte) (Barrier, error) { return decode(barrierCodec, b) }

// EncodePollCursor gives the value of a poll-cursor record, as EncodeTrigger.
func EncodePollCursor(v PollCursor) ([]byte, error) { return encode(pollCursorCodec, &v) }

// DecodePollCursor reads the value of a poll-cursor record, as DecodeTrigger.
func DecodePollCursor(b []byte) (PollCursor, error) { return decode(pollCursorCodec, b) }

func encode[T any](get func() (*codec[T], error), v *T) ([]byte, error) {
	c, err := get()
	if err != nil {
		return nil, err
	}
	if p := c.previous; p != nil && p.holds(v) {
		return p.encoder.encode(p.header[:], v)
	}
	return c.encoder.encode(c.header[:], v)
}

func decode[T any](get func() (*codec[T], error), b []byte) (T, error) {
	c, err := get()
	if err != nil {
		var none T
		return none, err
	}
	return c.decodeSingleObject(b)
}

// header is the start of a single-object encoding: the marker 0xC3 0x01 and
// the fingerprint of the writer's schema.
type header [10]byte

func headerOf(s *avro.Schema) header {
	h := header{0xC3, 0x01}
	// The library gives the fingerprint as Go's hashes do, high byte first;
	// the encoding wants it low byte first.
	fingerprint := binary.BigEndian.Uint64(s.Fingerprint(avro.NewRabin()))
	binary.LittleEndian.PutUint64(h[2:], fingerprint)
	return h
}

// codec writes and reads one record. It is not changed after newCodec.
type codec[T any] struct {
	record  string
	encoder *encoder
	header  header
	reader  *avro.Schema            // today's schema
	writers map[header]*avro.Schema // every released schema, resolved to reader

	previous *previousSchema[T] // nil: every value is written with today's schema
}

// previousSchema is the schema of the release before, of a record that has
// changed since. The fingerprint tells a reader which schema a value has, and a
// release knows those of its own and of earlier ones only. So a value that the
// release before can hold is written as that release would have written it: it
// can be read where processes of both run side by side, or after a rollback. A
// value with something new in it has today's schema, and is unknown there.
type previousSchema[T any] struct {
	encoder *encoder
	header  header
	holds   func(*T) bool // whether the schema holds all that the value says
}

// previousRelease is the newest release whose schemas of internal records
// differ from today's.
const previousRelease = "0.1.0"

// newInternalCodec is newCodec for a record that is written, where possible,
// with the schema that it had in a release before.
func newInternalCodec[T any](record, release string, holds func(*T) bool) (*codec[T], error) {
	c, err := newCodec[T](record)
	if err != nil {
		return nil, err
	}
	path := "testdata/history/" + release + "/" + record + ".avsc"
	text, err := released.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read schema %s: %w", path, err)
	}
	parsed, err := avro.Parse(string(text))
	if err != nil {
		return nil, fmt.Errorf("parse schema %s: %w", path, err)
	}
	c.previous = &previousSchema[T]{encoder: newEncoder(record, parsed), header: headerOf(parsed), holds: holds}
	return c, nil
}

func newCodec[T any](record string) (*codec[T], error) {
	text, err := today.ReadFile(record + ".avsc")
	if err != nil {
		return nil, fmt.Errorf("read schema %s: %w", record, err)
	}
	reader, err := avro.Parse(string(text))
	if err != nil {
		return nil, fmt.Errorf("parse schema %s: %w", record, err)
	}
	c := &codec[T]{
		record:  record,
		encoder: newEncoder(record, reader),
		header:  headerOf(reader),
		reader:  reader,
		writers: map[header]*avro.Schema{headerOf(reader): reader},
	}
	paths, err := fs.Glob(released, "testdata/history/*/"+record+".avsc")
	if err != nil {
		return nil, fmt.Errorf("list schemas %s: %w", record, err)
	}
	for _, path := range paths {
		if err := c.addWriter(path); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (c *codec[T]) addWriter(path string) error {
	text, err := released.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read schema %s: %w", path, err)
	}
	writer, err := avro.Parse(string(text))
	if err != nil {
		return fmt.Errorf("parse schema %s: %w", path, err)
	}
	resolved, err := avro.Resolve(writer, c.reader)
	if err != nil {
		return fmt.Errorf("resolve schema %s: %w", path, err)
	}
	c.writers[headerOf(writer)] = resolved
	return nil
}

// corrupt makes the error of bytes that are not ours.
func (c *codec[T]) corrupt(reason CorruptReason, err error) error {
	return &CorruptError{Record: c.record, Reason: reason, Err: err}
}

func (c *codec[T]) decodeSingleObject(b []byte) (T, error) {
	var none T
	if len(b) > MaxBytes {
		return none, c.corrupt(CorruptTooLarge, nil)
	}
	if len(b) < len(c.header) || b[0] != c.header[0] || b[1] != c.header[1] {
		return none, c.corrupt(CorruptHeader, nil)
	}
	h := header(b)
	resolved, ok := c.writers[h]
	if !ok {
		return none, c.corrupt(CorruptUnknownSchema, fmt.Errorf("fingerprint %x", h[2:]))
	}
	return c.decodeDatum(resolved, b[len(h):])
}

// decodeDatum reads the datum with a schema that resolves to reader. The
// library checks block counts against the bytes that are left before it
// allocates, so len(b) bounds the memory.
func (c *codec[T]) decodeDatum(resolved *avro.Schema, b []byte) (T, error) {
	var none, v T
	rest, err := resolved.Decode(b, &v)
	if err != nil {
		return none, c.corrupt(CorruptBody, err)
	}
	if len(rest) > 0 {
		return none, c.corrupt(CorruptTrailing, fmt.Errorf("%d bytes", len(rest)))
	}
	return v, nil
}
