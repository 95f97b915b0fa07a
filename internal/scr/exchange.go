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

// request is one request of an account.
type request struct {
	route  *route
	target string
	body   []byte // nil: none; what has one is no read
	limits limits
	// ownRight says that it takes a right that an account may lack, whatever its
	// credentials: a 403 tells of the right then.
	ownRight bool
}

// errForbidden says nothing of the credentials, good or bad.
var errForbidden = errors.New("not among the account's rights")

// refusal is what an error says of the account's credentials. A right that is
// missing says nothing: it neither locks nor, as a probe, opens the lock, because an
// account that is refused altogether may be told the same.
func (r request) refusal(err error) error {
	if refused, ok := errors.AsType[*UnauthorisedError](err); ok && r.ownRight && refused.Status == http.StatusForbidden {
		return errForbidden
	}
	return err
}

// answer is what came of a request.
type answer struct {
	status int // 0: none came
	header http.Header
	sent   time.Time
	came   time.Time // the header, before the body
}

// do sends a request, unless the account is locked, and gives its answer if that
// is a 200, whose body is taken by to. Whatever else comes is an error of one of the
// four kinds, or the error of ctx.
func (c *Client) do(ctx context.Context, span trace.Span, r request, to taker) (answer, error) {
	if ctx.Err() != nil {
		return answer{}, exchangeError(ctx, 0, ctx.Err())
	}
	start := c.now()
	probe, err := c.lock.enter(start)
	if err != nil {
		return answer{}, err
	}
	sent := c.headers.Load()
	a, err := c.exchange(ctx, r, sent, to)
	if current := c.headers.Load(); current != sent && refused(err) {
		sent = current
		a, err = c.exchange(ctx, r, sent, to)
	}
	end := c.now()
	c.lock.leave(end, probe, r.refusal(err))
	if c.headers.Load() != sent {
		c.lock.renew(end) // the refusal, if it is one, says nothing of those that are valid now
	}
	c.telemetry.record(ctx, span, r.route, a.status, err, end.Sub(start))
	return a, err
}

func refused(err error) bool {
	_, ok := errors.AsType[*UnauthorisedError](err)
	return ok
}

// exchange does one request.
func (c *Client) exchange(ctx context.Context, r request, with *headers, to taker) (answer, error) {
	limited, cancel := context.WithTimeout(ctx, r.limits.timeout)
	defer cancel()
	var body io.Reader = http.NoBody
	if r.body != nil {
		body = bytes.NewReader(r.body)
	}
	req, err := http.NewRequestWithContext(limited, string(r.route.method), r.target, body)
	if err != nil {
		return answer{}, fmt.Errorf("make request: %w", err)
	}
	req.Header = with.read.Clone()
	if r.body != nil {
		req.Header = with.other.Clone()
	}
	a := answer{sent: c.now()}
	res, err := c.http.Do(req)
	if err != nil {
		return a, exchangeError(ctx, 0, err)
	}
	defer func() {
		drain(res.Body)
		_ = res.Body.Close() // the answer has been read, or is not wanted
	}()
	a.status, a.header, a.came = res.StatusCode, res.Header, c.now()
	if res.StatusCode != http.StatusOK {
		return a, r.route.statusError(res, a.came)
	}
	if err := to.take(res, r.limits.bytes); err != nil {
		if _, ok := errors.AsType[*RejectedError](err); ok {
			return a, err
		}
		return a, exchangeError(ctx, res.StatusCode, err)
	}
	return a, nil
}

// taker takes the body of a 200.
type taker interface {
	// take reads a body of limit bytes at most, after any transport encoding. One that
	// is larger is a *RejectedError; any other error is that of reading.
	take(res *http.Response, limit int64) error
}

// wholeBody keeps a body as it is.
type wholeBody struct{ bytes.Buffer }

func (b *wholeBody) take(res *http.Response, limit int64) error {
	tooLarge := &RejectedError{Reason: RejectedTooLarge, Status: res.StatusCode}
	if res.ContentLength > limit {
		return tooLarge
	}
	b.Reset()
	body := io.LimitReader(res.Body, limit+1)
	if res.ContentLength > 0 {
		b.Grow(int(res.ContentLength) + bytes.MinRead) // else ReadFrom doubles it to find the end
		if _, err := b.ReadFrom(body); err != nil {
			return err
		}
	} else if err := readPieces(body, &b.Buffer); err != nil {
		return err
	}
	if int64(b.Len()) > limit {
		return tooLarge
	}
	return nil
}

// readPieces reads a body of unknown length into what room buf has, and goes on in
// pieces. A buffer that grows by itself holds what it has two or three times; this
// one, twice.
func readPieces(body io.Reader, buf *bytes.Buffer) error {
	const piece = 1 << 20
	room := buf.AvailableBuffer()
	n, err := fill(body, room[:cap(room)])
	buf.Write(room[:n])
	if err == io.EOF { //nolint:errorlint // what wraps it is a body that was cut
		return nil
	}
	if err != nil {
		return err
	}
	var pieces [][]byte
	total := 0
	for {
		p := make([]byte, min(piece, max(buf.Len()+total, bytes.MinRead))) // a small answer takes little
		n, err := fill(body, p)
		pieces = append(pieces, p[:n])
		total += n
		if err == io.EOF { //nolint:errorlint // what wraps it is a body that was cut
			break
		}
		if err != nil {
			return err
		}
	}
	buf.Grow(total)
	for _, p := range pieces {
		buf.Write(p)
	}
	return nil
}

// fill is io.ReadFull, but gives the reader's own error: a body that was cut ends
// with io.ErrUnexpectedEOF.
func fill(r io.Reader, p []byte) (int, error) {
	n := 0
	for n < len(p) {
		more, err := r.Read(p[n:])
		n += more
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// drain reads what little is left of a body, so that its connection can serve
// the next read.
func drain(body io.Reader) {
	const worthReading = 64 << 10
	_, _ = io.CopyN(io.Discard, body, worthReading)
}

// statusError maps an HTTP status (guide 7.7, facts 2.14, C19). The body of an
// error is not read: its format is not documented and it can quote the request.
func (t *route) statusError(res *http.Response, now time.Time) error {
	switch code := res.StatusCode; {
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return &UnauthorisedError{Status: code}
	case code == http.StatusNotFound && t.ofCase:
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
		return fmt.Errorf("await answer: %w", ctx.Err())
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
