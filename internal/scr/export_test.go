package scr

import (
	"crypto"
	"reflect"
)

// Inner parts that the external tests look at.
var (
	Decrypt    = decrypt
	RetryAfter = retryAfter
	StatusJSON = statusModelJSON
	ParseModel = parseStatusModel

	PlainWebhook = plainWebhook
	AnyWebhook   = anyWebhook

	UnknownFields = unknownFields
	FieldsOfCase  = fieldsOfCase
	WireCase      = reflect.TypeFor[wireCase]()
	WireCode      = reflect.TypeFor[wireCode]()

	PublicOf = func(k *Key) crypto.PublicKey { return k.private.Public() }
)

// KnownFields is the type of FieldsOfCase.
type KnownFields = knownFields

// The bounds of the metric of unknown fields.
const (
	MaxUnknownPaths = maxUnknownPaths
	OtherPaths      = otherPaths
)
