package scr

import "crypto"

// Inner parts that the external tests look at.
var (
	Decrypt    = decrypt
	RetryAfter = retryAfter
	StatusJSON = statusModelJSON
	ParseModel = parseStatusModel
	PublicOf   = func(k *Key) crypto.PublicKey { return k.private.Public() }
)
