package scr

import (
	"crypto"
	"errors"
	"reflect"
	"slices"
)

// Inner parts that the external tests look at.
var (
	Decrypt = decrypt
	// DecryptIncoming opens a body that comes in pieces of a size, its length known or
	// not.
	DecryptIncoming = func(body []byte, key *Key, allowRSA15 bool, limit int64, size int, known bool) ([]byte, error) {
		in := newIncoming(key, allowRSA15, nil)
		if known {
			in.length = len(body)
		}
		for piece := range slices.Chunk(body, max(size, 1)) {
			in.write(piece)
		}
		plain, err := in.open(limit)
		if errors.Is(err, errNotHere) {
			return decrypt(trimSpace(in.whole()), key, allowRSA15, limit)
		}
		return plain, err
	}
	RetryAfter = retryAfter
	StatusJSON = statusModelJSON
	ParseModel = parseStatusModel

	PlainWebhook = plainWebhook
	AnyWebhook   = anyWebhook

	// PlainCase reports false for an odd case.
	PlainCase = func(body []byte) (c Case, unknown []string, plain bool, err error) {
		var w wireCase
		r := plainReader{jsonScanner: jsonScanner{data: body}, texts: newTextCache()}
		if !r.readCase(&w) || !r.atEnd() {
			return Case{}, nil, false, nil
		}
		if c, err = w.decode(); err != nil {
			return Case{}, nil, true, rejectCase(err)
		}
		return c, r.unknown, true, nil
	}
	AnyCase   = anyCase
	ParseList = parseList

	DecodeContent = ofContent.whole
	DecodeJWEText = ofJWEText.whole

	UnknownFields = unknownFields
	// RestOfAnswer is what is left of an answer to be decoded.
	RestOfAnswer = func(body []byte) ([]byte, error) {
		_, rest, err := buildTree(body)
		return rest, err
	}
	ObjectsOfResult = objectsOfResult
	FieldsOfCase    = fieldsOfCase
	WireCase        = reflect.TypeFor[wireCase]()

	PublicOf = func(k *Key) crypto.PublicKey { return k.private.Public() }
)

// KnownFields is the type of FieldsOfCase.
type KnownFields = knownFields

// The bounds of the metric of unknown fields.
const (
	MaxUnknownPaths = maxUnknownPaths
	OtherPaths      = otherPaths
)
