package schemas

import (
	"context"

	"github.com/twmb/avro"
)

// StatusEncoder gives the values of the status topic in one framing. It does
// no I/O and is safe for concurrent use.
type StatusEncoder struct {
	framing framing
}

// NewSingleObjectStatusEncoder encodes for readers that know the schemas of
// this package: no registry.
func NewSingleObjectStatusEncoder() *StatusEncoder {
	return &StatusEncoder{singleObject()}
}

// NewConfluentStatusEncoder encodes for readers with a schema registry.
// schemaID is the registry's id of today's StatusChanged (Registry.Register,
// Registry.Check); with an id that no registry gives, every Encode fails.
func NewConfluentStatusEncoder(schemaID int) *StatusEncoder {
	return &StatusEncoder{confluent(recordStatusChanged, schemaID)}
}

// ContentType is the value of the content-type header: ContentTypeConfluent or
// ContentTypeSingleObject.
func (e *StatusEncoder) ContentType() string { return e.framing.contentType }

// Encode gives the value of a status record. The same event gives the same
// bytes: the hash chain is computed over them. Times are cut to milliseconds;
// an enum value that the schema does not list is refused.
func (e *StatusEncoder) Encode(v StatusChanged) ([]byte, error) {
	return encodePublic(&e.framing, statusChangedCodec, &v)
}

// StatusDecoder reads the values of the status topic in either framing and
// resolves what other releases wrote to today's StatusChanged. It is safe for
// concurrent use.
type StatusDecoder struct {
	decoder publicDecoder[StatusChanged]
}

// NewStatusDecoder takes the way to find a writer's schema by its registry id,
// e.g. Registry.SchemaByID. It is called once per id that it answers, and not
// at all for single-object encoding. nil: values in the Confluent wire format
// cannot be read.
func NewStatusDecoder(lookup func(ctx context.Context, id int) (schema string, err error)) *StatusDecoder {
	return &StatusDecoder{publicDecoder[StatusChanged]{codec: statusChangedCodec, lookup: lookup, byID: map[int]*avro.Schema{}}}
}

// Decode reads a value of the status topic. Bytes that are not ours give a
// *CorruptError; a lookup that failed gives its error, and Decode can be tried
// again.
func (d *StatusDecoder) Decode(ctx context.Context, value []byte) (StatusChanged, error) {
	return d.decoder.decode(ctx, value)
}
