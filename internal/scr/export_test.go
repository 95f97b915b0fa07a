package scr

import (
	"crypto"
	"net/http"
)

// Inner parts that the external tests look at.
var (
	Decrypt     = decrypt
	RetryAfter  = retryAfter
	StatusJSON  = statusModelJSON
	ParseModel  = parseStatusModel
	PublicOf    = func(k *Key) crypto.PublicKey { return k.private.Public() }
	TransportOf = func(c *Client) http.RoundTripper { return c.http.Transport }
)
