package schemas

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/avro"
)

// NonceBytes is the length of IdentificationResult.Nonce.
const NonceBytes = 16

// NewNonce gives a nonce for one value: NonceBytes from the system's source of
// randomness.
func NewNonce() []byte {
	nonce := make([]byte, NonceBytes)
	_, _ = rand.Read(nonce) // it never fails: the process ends instead
	return nonce
}

// ResultDigest is what StatusChanged.ResultDigest holds: the SHA-256 of a value
// of the result topic as it stands there, framing included. The value holds a
// random nonce. So whoever has the value can prove that it is the one that the
// status event speaks of, and whoever has the digest alone cannot find out by
// trying what the result said.
func ResultDigest(value []byte) []byte {
	sum := sha256.Sum256(value)
	return sum[:]
}

// ResultEncoder gives the values of the result topic in one framing. It does no
// I/O and is safe for concurrent use.
type ResultEncoder struct {
	framing framing
}

// NewSingleObjectResultEncoder encodes for readers that know the schemas of
// this package: no registry.
func NewSingleObjectResultEncoder() *ResultEncoder {
	return &ResultEncoder{singleObject()}
}

// NewConfluentResultEncoder encodes for readers with a schema registry.
// schemaID is the registry's id of today's IdentificationResult
// (Registry.RegisterResult, Registry.CheckResult); with an id that no registry
// gives, every Encode fails.
func NewConfluentResultEncoder(schemaID int) *ResultEncoder {
	return &ResultEncoder{confluent(recordIdentificationResult, schemaID)}
}

// ContentType is the value of the content-type header: ContentTypeConfluent or
// ContentTypeSingleObject.
func (e *ResultEncoder) ContentType() string { return e.framing.contentType }

// Encode gives the value of a result record, at most MaxResultBytes long. Where
// it would be longer, unknown fields are left out, the longest first, and the
// value says so; cut is how many. Everything else goes whole or not at all: a
// value that is too long without unknown fields gives a *TooLargeError. A nonce
// that is not NonceBytes long is refused, as is an enum value that the schema
// does not list. Times are cut to milliseconds. The same result with the same
// nonce gives the same bytes.
func (e *ResultEncoder) Encode(v IdentificationResult) (value []byte, cut int, err error) {
	if len(v.Nonce) != NonceBytes {
		return nil, 0, fmt.Errorf("encode %s: nonce of %d bytes, not %d", recordIdentificationResult, len(v.Nonce), NonceBytes)
	}
	value, err = encodePublic(&e.framing, identificationResultCodec, &v)
	var tooLarge *TooLargeError
	if !errors.As(err, &tooLarge) {
		return value, 0, err
	}
	kept := withoutLongest(v.UnknownFields, tooLarge.Size-tooLarge.Max)
	cut = len(v.UnknownFields) - len(kept)
	v.UnknownFields, v.UnknownFieldsTruncated = kept, true
	if value, err = encodePublic(&e.framing, identificationResultCodec, &v); err != nil {
		return nil, 0, err
	}
	return value, cut, nil
}

// withoutLongest gives the fields, in their order, without the longest ones:
// with as many left out as it takes to save the bytes, or all. Of two of one
// length the later goes first. The argument is not changed.
func withoutLongest(fields []UnknownField, save int) []UnknownField {
	longest := make([]int, len(fields)) // indexes
	for i := range longest {
		longest[i] = len(fields) - 1 - i
	}
	slices.SortStableFunc(longest, func(a, b int) int { return cmp.Compare(fields[b].encodedSize(), fields[a].encodedSize()) })
	out := make(map[int]bool)
	for _, i := range longest {
		if save <= 0 {
			break
		}
		out[i] = true
		save -= fields[i].encodedSize()
	}
	kept := make([]UnknownField, 0, len(fields)-len(out))
	for i, f := range fields {
		if !out[i] {
			kept = append(kept, f)
		}
	}
	return kept
}

// encodedSize is the length of the field's Avro encoding.
func (f UnknownField) encodedSize() int {
	size := len(f.Path) + len(f.JSON)
	for _, length := range []int{len(f.Path), len(f.JSON)} {
		size += len(binary.AppendVarint(nil, int64(length)))
	}
	return size
}

// ResultDecoder reads the values of the result topic in either framing and
// resolves what other releases wrote to today's IdentificationResult. It is safe
// for concurrent use.
type ResultDecoder struct {
	decoder publicDecoder[IdentificationResult]
}

// NewResultDecoder takes the way to find a writer's schema by its registry id,
// as NewStatusDecoder.
func NewResultDecoder(lookup func(ctx context.Context, id int) (schema string, err error)) *ResultDecoder {
	return &ResultDecoder{publicDecoder[IdentificationResult]{codec: identificationResultCodec, lookup: lookup, byID: map[int]*avro.Schema{}}}
}

// Decode reads a value of the result topic, as StatusDecoder.Decode. Its errors
// hold no content. The nonce may have any length: it is the writer's to choose.
func (d *ResultDecoder) Decode(ctx context.Context, value []byte) (IdentificationResult, error) {
	return d.decoder.decode(ctx, value)
}
