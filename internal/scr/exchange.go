package scr

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"
)

// get asks for target and returns the body of a 200. Whatever else comes is an
// error of one of the four kinds, or the error of ctx.
func (c *Client) get(ctx context.Context, span trace.Span, target string) ([]byte, error) {
	start := c.now()
	status, body, err := c.exchange(ctx, target)
	c.telemetry.record(ctx, span, status, err, c.now().Sub(start))
	return body, err
}

// exchange does one request. The status is 0 when there was no answer.
func (c *Client) exchange(ctx context.Context, target string) (status int, body []byte, err error) {
	limited, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(limited, http.MethodGet, target, http.NoBody)
	if err != nil {
		return 0, nil, fmt.Errorf("make request: %w", err)
	}
	req.Header = c.header.Clone()
	res, err := c.http.Do(req)
	if err != nil {
		return 0, nil, exchangeError(ctx, 0, err)
	}
	defer func() {
		drain(res.Body)
		_ = res.Body.Close() // the answer has been read, or is not wanted
	}()
	if res.StatusCode != http.StatusOK {
		return res.StatusCode, nil, statusError(res, c.now())
	}
	body, err = readBody(res, c.maxBodyBytes)
	if err != nil {
		if _, ok := errors.AsType[*RejectedError](err); ok {
			return res.StatusCode, nil, err
		}
		return res.StatusCode, nil, exchangeError(ctx, res.StatusCode, err)
	}
	return res.StatusCode, body, nil
}

// readBody reads at most limit bytes, after any transport encoding.
func readBody(res *http.Response, limit int64) ([]byte, error) {
	tooLarge := &RejectedError{Reason: RejectedTooLarge, Status: res.StatusCode}
	if res.ContentLength > limit {
		return nil, tooLarge
	}
	var buf bytes.Buffer
	if res.ContentLength > 0 {
		buf.Grow(int(res.ContentLength) + bytes.MinRead) // else ReadFrom doubles it to find the end
	}
	n, err := buf.ReadFrom(io.LimitReader(res.Body, limit+1))
	if err != nil {
		return nil, err
	}
	if n > limit {
		return nil, tooLarge
	}
	return buf.Bytes(), nil
}

// drain reads what little is left of a body, so that its connection can serve
// the next read.
func drain(body io.Reader) {
	const worthReading = 64 << 10
	_, _ = io.CopyN(io.Discard, body, worthReading)
}

// statusError maps an HTTP status (guide 7.7, facts 2.14, C19). The body of an
// error is not read: its format is not documented and it can quote the request.
func statusError(res *http.Response, now time.Time) error {
	switch code := res.StatusCode; {
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return &UnauthorisedError{Status: code}
	case code == http.StatusNotFound:
		return &NotYetError{}
	case code == http.StatusTooManyRequests, code == http.StatusRequestTimeout, code >= http.StatusInternalServerError:
		return &UnavailableError{Status: code, RetryAfter: retryAfter(res.Header.Get("Retry-After"), now)}
	default:
		return &RejectedError{Reason: RejectedStatus, Status: code}
	}
}

// maxRetryAfter bounds what the other side can put us off for.
const maxRetryAfter = 24 * time.Hour

// retryAfter reads a Retry-After (RFC 9110, 10.2.3), seconds or a date. It is 0
// when there is none, when it makes no sense and when it has passed.
func retryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	var wait time.Duration
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		wait = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), maxRetryAfter)
}

var (
	errTimeout = errors.New("no answer in time")
	errBroken  = errors.New("connection broken")
)

// exchangeError tells the caller's end from ours and from the network's. ctx is
// the caller's context, not the one with our own timeout.
func exchangeError(ctx context.Context, status int, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("read case: %w", ctx.Err())
	}
	return &UnavailableError{Status: status, Err: networkError(err)}
}

// networkError keeps the errors whose texts speak of the network alone. The
// others end here: net/http quotes a malformed answer in its error.
func networkError(err error) error {
	var (
		timeout interface{ Timeout() bool }
		op      *net.OpError
		dns     *net.DNSError
		cert    *tls.CertificateVerificationError
		alert   tls.AlertError
	)
	switch {
	case errors.As(err, &timeout) && timeout.Timeout():
		return errTimeout
	case errors.As(err, &cert):
		return cert
	case errors.As(err, &op):
		return op
	case errors.As(err, &dns):
		return dns
	case errors.As(err, &alert):
		return alert
	case errors.Is(err, http.ErrSchemeMismatch):
		return http.ErrSchemeMismatch
	default:
		return errBroken
	}
}
