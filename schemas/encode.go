package schemas

import (
	"bytes"
	"fmt"
	"sync"

	"github.com/twmb/avro"
)

// MaxBytes is the longest value that is written or read, framing included: the
// default of Kafka's max.message.bytes, rounded down. It bounds what decoding
// foreign bytes can cost.
const MaxBytes = 1 << 20

// MaxResultBytes is the longest value of the result topic that is written: with
// its key and its headers the record stays below 200 kB. Readers take what any
// value may have, MaxBytes.
const MaxResultBytes = 192 << 10

// pooledBytes is the largest buffer kept for the next encoding; a rare giant
// does not stay in memory.
const pooledBytes = 64 << 10

// encoder writes one record's datum after a prefix. Safe for concurrent use;
// the same value gives the same bytes (the schemas hold no map), which the
// hash chain of the events relies on.
type encoder struct {
	record  string
	max     int // bytes of a value, framing included
	schema  *avro.Schema
	buffers sync.Pool // of *[]byte, empty
}

func newEncoder(record string, schema *avro.Schema) *encoder {
	longest := MaxBytes
	if record == recordIdentificationResult {
		longest = MaxResultBytes
	}
	return &encoder{record: record, max: longest, schema: schema}
}

// encode gives prefix and datum in a slice of their own. v is a pointer to the
// record's struct.
func (e *encoder) encode(prefix []byte, v any) ([]byte, error) {
	buffer, ok := e.buffers.Get().(*[]byte)
	if !ok {
		buffer = new([]byte)
	}
	value, err := e.schema.AppendEncode(append(*buffer, prefix...), v)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", e.record, err)
	}
	if len(value) > e.max {
		return nil, &TooLargeError{Record: e.record, Size: len(value), Max: e.max}
	}
	out := bytes.Clone(value)
	if cap(value) <= pooledBytes {
		*buffer = value[:0]
		e.buffers.Put(buffer)
	}
	return out, nil
}
