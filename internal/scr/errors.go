package scr

import (
	"fmt"
	"time"
)

// UnavailableError says that the account or the API cannot answer now: 429,
// 5xx, a time-out, a broken connection. It says nothing about the case.
type UnavailableError struct {
	Status     int           // HTTP status, 0 when there was no answer
	RetryAfter time.Duration // from Retry-After, 0 when absent
	Err        error         // the cause; nil when Status says it all
}

func (e *UnavailableError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("api unavailable: %v", e.Err)
	}
	return fmt.Sprintf("api unavailable: status %d", e.Status)
}

func (e *UnavailableError) Unwrap() error { return e.Err }

// NotYetError says that the API knows no such case (404): after a hook it may
// not be readable yet (facts 4).
type NotYetError struct{}

func (*NotYetError) Error() string { return "case not found" }

// UnauthorisedError says that the account's credentials were refused (401, 403).
type UnauthorisedError struct {
	Status int
	// Held says that nothing was sent: the answer with Status is an earlier one,
	// and the client keeps still (ClientConfig.LockFor).
	Held bool
	// RetryAfter is when to ask again, if Held; sooner, the answer is the same.
	RetryAfter time.Duration
}

func (e *UnauthorisedError) Error() string {
	if e.Held {
		return fmt.Sprintf("not authorised: status %d a while ago, nothing sent", e.Status)
	}
	return fmt.Sprintf("not authorised: status %d", e.Status)
}

// Reasons of a RejectedError, fit for a metric label.
const (
	RejectedStatus    = "status"     // a status that the guide does not name for the request
	RejectedTooLarge  = "too_large"  // the body is over the limit
	RejectedPlain     = "plain_json" // plain JSON where encryption is required
	RejectedAlgorithm = "algorithm"  // JWE with an alg or enc that is not allowed
	RejectedDecrypt   = "decrypt"    // JWE that our key does not open, or truncated
	RejectedJSON      = "json"       // not JSON, or not the JSON of a case or a list
	RejectedCase      = "case"       // a case without identity, or another case than asked for
	RejectedRequest   = "request"    // a question that the account cannot ask: nothing was sent
)

// RejectedError is an answer that cannot be read, or a question that cannot be
// asked; then Status is 0. It never holds content.
type RejectedError struct {
	Reason string
	Status int    // HTTP status
	Alg    string // of the JWE header, "" when there is none
	Enc    string
	Err    error // without content; may be nil
}

func (e *RejectedError) Error() string {
	s := "answer rejected: " + e.Reason
	if e.Alg != "" || e.Enc != "" {
		s += fmt.Sprintf(" (alg %q, enc %q)", e.Alg, e.Enc)
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *RejectedError) Unwrap() error { return e.Err }
