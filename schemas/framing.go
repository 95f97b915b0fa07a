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

// Content types of the values of public topics, for the content-type header.
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

// framing is how the values of a public topic begin.
type framing struct {
	contentType string
	schemaID    int // 0: single-object encoding
	err         error
}

func singleObject() framing { return framing{contentType: ContentTypeSingleObject} }

// confluent takes the registry's id of today's schema of the record.
func confluent(record string, schemaID int) framing {
	f := framing{contentType: ContentTypeConfluent, schemaID: schemaID}
	if schemaID < 1 || schemaID > math.MaxInt32 {
		f.err = fmt.Errorf("encode %s: schema id %d is no registry's", record, schemaID)
	}
	return f
}

func encodePublic[T any](f *framing, get func() (*codec[T], error), v *T) ([]byte, error) {
	if f.err != nil {
		return nil, f.err
	}
	c, err := get()
	if err != nil {
		return nil, err
	}
	if f.schemaID == 0 {
		return c.encoder.encode(c.header[:], v)
	}
	prefix := [confluentHeader]byte{confluentMagic}
	binary.BigEndian.PutUint32(prefix[1:], uint32(f.schemaID)) //nolint:gosec // confluent checked the range
	return c.encoder.encode(prefix[:], v)
}

// publicDecoder reads the values of one public topic in either framing.
type publicDecoder[T any] struct {
	codec  func() (*codec[T], error)
	lookup func(ctx context.Context, id int) (schema string, err error)

	mu   sync.RWMutex
	byID map[int]*avro.Schema // resolved to today's reader; guarded by mu
}

func (d *publicDecoder[T]) decode(ctx context.Context, value []byte) (T, error) {
	var none T
	c, err := d.codec()
	if err != nil {
		return none, err
	}
	if len(value) == 0 || value[0] != confluentMagic {
		return c.decodeSingleObject(value)
	}
	if len(value) > MaxBytes {
		return none, c.corrupt(CorruptTooLarge, nil)
	}
	if len(value) < confluentHeader {
		return none, c.corrupt(CorruptHeader, nil)
	}
	id := int(binary.BigEndian.Uint32(value[1:]))
	resolved, err := d.schema(ctx, c, id)
	if err != nil {
		return none, err
	}
	return c.decodeDatum(resolved, value[confluentHeader:])
}

// schema gives the schema of a registry id, resolved to today's. Two callers
// may look up one id at the same time; both get the same answer.
func (d *publicDecoder[T]) schema(ctx context.Context, c *codec[T], id int) (*avro.Schema, error) {
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
	// The registry's answer says what the value is: when it is no schema of the
	// record of any release, the value is not ours.
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
