package schemas

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sync"

	"github.com/twmb/avro"
)

// Content types of the status topic's values, for the content-type header.
const (
	ContentTypeConfluent    = "application/avro; framing=confluent"
	ContentTypeSingleObject = "application/avro; framing=single-object"
)

// confluentMagic starts a value in the Confluent wire format; confluentHeader
// is the length of it and the schema id.
const (
	confluentMagic  = 0x00
	confluentHeader = 5
)

// StatusEncoder gives the values of the status topic in one framing. It does
// no I/O and is safe for concurrent use.
type StatusEncoder struct {
	contentType string
	schemaID    int // 0: single-object encoding
	err         error
}

// NewSingleObjectStatusEncoder encodes for readers that know the schemas of
// this package: no registry.
func NewSingleObjectStatusEncoder() *StatusEncoder {
	return &StatusEncoder{contentType: ContentTypeSingleObject}
}

// NewConfluentStatusEncoder encodes for readers with a schema registry.
// schemaID is the registry's id of today's StatusChanged (Registry.Register,
// Registry.Check); with an id that no registry gives, every Encode fails.
func NewConfluentStatusEncoder(schemaID int) *StatusEncoder {
	e := &StatusEncoder{contentType: ContentTypeConfluent, schemaID: schemaID}
	if schemaID < 1 || schemaID > math.MaxInt32 {
		e.err = fmt.Errorf("encode %s: schema id %d is no registry's", recordStatusChanged, schemaID)
	}
	return e
}

// ContentType is the value of the content-type header: ContentTypeConfluent or
// ContentTypeSingleObject.
func (e *StatusEncoder) ContentType() string { return e.contentType }

// Encode gives the value of a status record. The same event gives the same
// bytes: the hash chain is computed over them. Times are cut to milliseconds;
// an enum value that the schema does not list is refused.
func (e *StatusEncoder) Encode(v StatusChanged) ([]byte, error) {
	if e.err != nil {
		return nil, e.err
	}
	c, err := statusChangedCodec()
	if err != nil {
		return nil, err
	}
	if e.schemaID == 0 {
		return c.encoder.encode(c.header[:], &v)
	}
	prefix := [confluentHeader]byte{confluentMagic}
	binary.BigEndian.PutUint32(prefix[1:], uint32(e.schemaID)) //nolint:gosec // NewConfluentStatusEncoder checked the range
	return c.encoder.encode(prefix[:], &v)
}

// StatusDecoder reads the values of the status topic in either framing and
// resolves what other releases wrote to today's StatusChanged. It is safe for
// concurrent use.
type StatusDecoder struct {
	lookup func(ctx context.Context, id int) (schema string, err error)

	mu   sync.RWMutex
	byID map[int]*avro.Schema // resolved to today's reader; guarded by mu
}

// NewStatusDecoder takes the way to find a writer's schema by its registry id,
// e.g. Registry.SchemaByID. It is called once per id that it answers, and not
// at all for single-object encoding. nil: values in the Confluent wire format
// cannot be read.
func NewStatusDecoder(lookup func(ctx context.Context, id int) (schema string, err error)) *StatusDecoder {
	return &StatusDecoder{lookup: lookup, byID: map[int]*avro.Schema{}}
}

// Decode reads a value of the status topic. Bytes that are not ours give a
// *CorruptError; a lookup that failed gives its error, and Decode can be tried
// again.
func (d *StatusDecoder) Decode(ctx context.Context, value []byte) (StatusChanged, error) {
	c, err := statusChangedCodec()
	if err != nil {
		return StatusChanged{}, err
	}
	if len(value) == 0 || value[0] != confluentMagic {
		return c.decodeSingleObject(value)
	}
	if len(value) > MaxBytes {
		return StatusChanged{}, c.corrupt(CorruptTooLarge, nil)
	}
	if len(value) < confluentHeader {
		return StatusChanged{}, c.corrupt(CorruptHeader, nil)
	}
	id := int(binary.BigEndian.Uint32(value[1:]))
	resolved, err := d.schema(ctx, c, id)
	if err != nil {
		return StatusChanged{}, err
	}
	return c.decodeDatum(resolved, value[confluentHeader:])
}

// schema gives the schema of a registry id, resolved to today's. Two callers
// may look up one id at the same time; both get the same answer.
func (d *StatusDecoder) schema(ctx context.Context, c *codec[StatusChanged], id int) (*avro.Schema, error) {
	d.mu.RLock()
	resolved := d.byID[id]
	d.mu.RUnlock()
	if resolved != nil {
		return resolved, nil
	}
	if d.lookup == nil {
		return nil, fmt.Errorf("decode %s: schema id %d: %w", c.record, id, errNoRegistry)
	}
	text, err := d.lookup(ctx, id)
	if err != nil {
		return nil, fmt.Errorf("decode %s: look up schema id %d: %w", c.record, id, err)
	}
	// The registry's answer says what the value is: when it is no StatusChanged
	// of any release, the value is not ours.
	writer, err := avro.Parse(text)
	if err != nil {
		return nil, c.corrupt(CorruptUnknownSchema, fmt.Errorf("schema id %d: %w", id, err))
	}
	resolved, err = avro.Resolve(writer, c.reader)
	if err != nil {
		return nil, c.corrupt(CorruptUnknownSchema, fmt.Errorf("schema id %d: %w", id, err))
	}
	d.mu.Lock()
	d.byID[id] = resolved
	d.mu.Unlock()
	return resolved, nil
}

var errNoRegistry = errors.New("no schema registry given")
