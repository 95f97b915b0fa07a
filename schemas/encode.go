package schemas

import (
	"bytes"
	"fmt"
	"sync"

	// The one file that imports hamba: for encoding only (see the package
	// documentation).
	hamba "github.com/hamba/avro/v2"
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

// hambaConfig makes arrays plain blocks: a count, then the items. The default
// adds the block's size in bytes, which not every decoder takes.
var hambaConfig = sync.OnceValue(func() hamba.API {
	return hamba.Config{DisableBlockSizeHeader: true}.Freeze()
})

// encoder writes one record's datum after a prefix. Safe for concurrent use;
// the same value gives the same bytes (the schemas hold no map), which the
// hash chain of the events relies on.
type encoder struct {
	record  string
	max     int // bytes of a value, framing included
	schema  hamba.Schema
	writers sync.Pool // of *hamba.Writer, buffers kept
}

// newEncoder parses the schema into a cache of its own: schemas define named
// types anew (each file stands alone), and hamba's default cache is global.
func newEncoder(record string, schema []byte) (*encoder, error) {
	longest := MaxBytes
	if record == recordIdentificationResult {
		longest = MaxResultBytes
	}
	parsed, err := hamba.ParseBytesWithCache(schema, "", &hamba.SchemaCache{})
	if err != nil {
		return nil, fmt.Errorf("parse schema %s: %w", record, err)
	}
	return &encoder{record: record, max: longest, schema: parsed}, nil
}

// encode gives prefix and datum in a slice of their own. v is a pointer to the
// record's struct.
func (e *encoder) encode(prefix []byte, v any) ([]byte, error) {
	w, ok := e.writers.Get().(*hamba.Writer)
	if !ok {
		w = hamba.NewWriter(nil, 512, hamba.WithWriterConfig(hambaConfig()))
	}
	w.Reset(nil)
	if _, err := w.Write(prefix); err != nil {
		return nil, fmt.Errorf("encode %s: %w", e.record, err)
	}
	w.WriteVal(e.schema, v)
	if w.Error != nil {
		// The writer is dropped: Reset leaves its error in place.
		return nil, fmt.Errorf("encode %s: %w", e.record, w.Error)
	}
	if w.Buffered() > e.max {
		return nil, &TooLargeError{Record: e.record, Size: w.Buffered(), Max: e.max}
	}
	out := bytes.Clone(w.Buffer())
	if cap(w.Buffer()) <= pooledBytes {
		e.writers.Put(w)
	}
	return out, nil
}
