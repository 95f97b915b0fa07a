package scr

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/url"
	"sync"
)

var (
	errNoResults = errors.New("a partner has no results")
	errNobody    = errors.New("content asked for, and nobody to take it")
)

// Result reads one case with all that guide 8 has of it and the account may have
// (guide 7.4.1), and hands the content of its records to each, one after the other,
// in the order of the answer. A RecordContent is valid until each returns. Content
// that the class does not allow, or that was not asked for, is never handed out;
// without Binary, each may be nil.
//
// The errors are those of Case, and the error of each as it is, with which the read
// ends. Whoever wants the result in spite of content that could not be taken has to
// return nil. A *ContentError comes from the reader, so it ends the read only if
// each returns it.
//
// The read takes the memory of the answer once, or while one of unknown length
// comes in twice; the content is decoded out of it as it is read. The caller bounds
// how many such reads there are at a time.
func (c *Client) Result(ctx context.Context, caseID string, r ResultRequest, each func(context.Context, RecordContent) error) (Result, error) {
	if err := c.mayAsk(caseID, r); err != nil {
		return Result{}, err
	}
	if r.Binary && each == nil {
		return Result{}, &RejectedError{Reason: RejectedRequest, Err: errNobody}
	}
	buf, ok := resultBodies.Get().(*bytes.Buffer)
	if !ok {
		buf = new(bytes.Buffer)
	}
	defer resultBodies.Put(buf) // nothing of the result is in it, and no content outlives its each
	found, contents, err := c.readResult(ctx, caseID, r, buf)
	if err != nil {
		return Result{}, err
	}
	if err := handOut(ctx, contents, each); err != nil {
		return Result{}, err
	}
	return found, nil
}

// readResult asks for a result. The contents are in buf.
func (c *Client) readResult(ctx context.Context, caseID string, r ResultRequest, buf *bytes.Buffer) (Result, []RecordContent, error) {
	target := c.casesURL + "/" + caseID + c.suffix + r.query()
	ctx, span := c.telemetry.start(ctx, c.caseRoute, target)
	defer span.End()
	a, err := c.do(ctx, span, request{route: c.caseRoute, target: target, header: c.readHeader, limits: c.whole}, buf)
	if err != nil {
		endWith(span, err)
		return Result{}, nil, err
	}
	found, contents, err := c.decodeResult(a.body, caseID, r)
	if err != nil {
		endWith(span, err)
		return Result{}, nil, err
	}
	c.telemetry.drop(ctx, r.Class, found.Dropped)
	return found, contents, nil
}

// decodeResult turns the body of a good answer into the result of the case that was
// asked for. The contents are in body.
func (c *Client) decodeResult(body []byte, caseID string, r ResultRequest) (Result, []RecordContent, error) {
	plain, err := c.openWhole(body)
	if err != nil {
		return Result{}, nil, answered(err)
	}
	found, contents, err := ParseResult(plain, r)
	if err == nil && found.Case.CaseID != caseID {
		err = &RejectedError{Reason: RejectedCase, Err: errOtherCase}
	}
	if err != nil {
		return Result{}, nil, answered(err)
	}
	return found, contents, nil
}

// mayAsk says what is wrong with a question before it is asked.
func (c *Client) mayAsk(caseID string, r ResultRequest) error {
	if !ValidCaseID(caseID) {
		return &RejectedError{Reason: RejectedCase, Err: errNoCaseID}
	}
	if c.access == AccessPartner {
		return &RejectedError{Reason: RejectedRequest, Err: errNoResults}
	}
	if err := r.validate(); err != nil {
		return &RejectedError{Reason: RejectedRequest, Err: err}
	}
	return nil
}

// query asks for what is off by default (guide 7.4.1).
func (r ResultRequest) query() string {
	q := url.Values{}
	if r.PDF {
		q.Set("includeResultPdf", "true")
	}
	if r.Binary {
		q.Set("includeBinaryData", "true")
	}
	if len(q) == 0 {
		return ""
	}
	return "?" + q.Encode()
}

// handOut calls each for every content. After it, a reader that was kept fails.
func handOut(ctx context.Context, contents []RecordContent, each func(context.Context, RecordContent) error) error {
	for _, content := range contents {
		err := each(ctx, content)
		content.text.close()
		if err != nil {
			return err
		}
	}
	return nil
}

// resultBodies are the buffers of results. An answer, its ciphertext and its plain
// text take the same one, one after the other; those in use at a time are reused,
// and the garbage collector takes what is not.
var resultBodies = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// openWhole is open of an answer that may be large: it reads no more than its head
// to know what it is, and makes no copy of it.
func (c *Client) openWhole(body []byte) ([]byte, error) {
	const head = 4 << 10
	body = trimSpace(body)
	kind := kindOf(body[:min(len(body), head)]) // a JWE that is broken further down does not open
	if kind != bodyJWE || c.key == nil {
		return c.open(body, c.whole.bytes)
	}
	return decryptLarge(body, c.key, c.allowRSA15, c.whole.bytes)
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
