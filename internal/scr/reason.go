package scr

import (
	"context"
	"errors"
	"net"
	"net/http"
)

// Reason is the kind of an error of Client as one word of a small set, fit for a
// metric's label and for a header: "unauthorised", "rate_limited",
// "server_error", "timeout", "connection", "not_found", "rejected_" with the
// reason of a RejectedError, "malformed_content", "interrupted" for the caller's own end, and
// "internal" for any other error.
func Reason(err error) string {
	var (
		unauthorised *UnauthorisedError
		unavailable  *UnavailableError
		notYet       *NotYetError
		rejected     *RejectedError
		content      *ContentError
	)
	switch {
	case errors.Is(err, context.Canceled):
		return "interrupted"
	case errors.As(err, &content):
		return "malformed_content"
	case errors.As(err, &unauthorised):
		return "unauthorised"
	case errors.As(err, &unavailable):
		return unavailable.reason()
	case errors.As(err, &notYet):
		return "not_found"
	case errors.As(err, &rejected):
		return rejected.label()
	case isTimeout(err):
		return "timeout"
	}
	return "internal"
}

func (e *UnavailableError) reason() string {
	switch {
	case e.Status == http.StatusTooManyRequests:
		return "rate_limited"
	case e.Status != 0:
		return "server_error"
	case isTimeout(e.Err):
		return "timeout"
	default:
		return "connection"
	}
}

// label keeps the label bounded whatever the reason may say one day.
func (e *RejectedError) label() string {
	switch e.Reason {
	case RejectedStatus, RejectedTooLarge, RejectedPlain, RejectedAlgorithm, RejectedDecrypt, RejectedJSON, RejectedCase, RejectedRequest:
		return "rejected_" + e.Reason
	default:
		return "rejected"
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, errTimeout) || errors.As(err, &timeout) && timeout.Timeout()
}
