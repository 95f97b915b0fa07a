package scr

import (
	"context"
	"errors"
	"net/url"
	"sync"
)

var (
	errNoResults = errors.New("a partner has no results")
	errNobody    = errors.New("content asked for, and nobody to take it")
)

// Result reads one case with all that guide 8 has of it and the account may have
// (guide 7.4.1), and hands the content of its records to each, AtOnce of them at a
// time; it returns when each has returned from all. A RecordContent is valid until each returns. Content
// that the class does not allow, or that was not asked for, is never handed out;
// without Binary, each may be nil.
//
// The errors are those of Case, and the first error of each as it is, with which the
// read ends, the context of the others too. Whoever wants the result in spite of content that could not be taken has to
// return nil. A *ContentError comes from the reader, so it ends the read only if
// each returns it.
//
// The read takes three quarters of the memory of the answer, or while one of unknown
// length comes in twice that; the content is decoded where it stands. The caller
// bounds how many such reads there are at a time.
func (c *Client) Result(ctx context.Context, caseID string, r ResultRequest, each func(context.Context, RecordContent) error) (Result, error) {
	if err := c.mayAsk(caseID, r); err != nil {
		return Result{}, err
	}
	if r.Binary && each == nil {
		return Result{}, &RejectedError{Reason: RejectedRequest, Err: errNobody}
	}
	var room []byte
	if r.Binary {
		room = c.buffers.take()
		// Nothing of the result is in it, and no content outlives its each.
		defer func() { c.buffers.giveBack(room) }()
	}
	in := newIncoming(c.key, c.allowRSA15, room)
	found, contents, err := c.readResult(ctx, caseID, r, in)
	room = in.body.first
	if err != nil {
		return Result{}, err
	}
	if err := handOut(ctx, contents, max(r.AtOnce, 1), each); err != nil {
		return Result{}, err
	}
	return found, nil
}

// readResult asks for a result. The contents are in what in has taken.
func (c *Client) readResult(ctx context.Context, caseID string, r ResultRequest, in *incoming) (Result, []RecordContent, error) {
	target := c.casesURL + "/" + caseID + c.suffix + r.query()
	ctx, span := c.telemetry.start(ctx, c.caseRoute, target)
	defer span.End()
	_, err := c.do(ctx, span, request{route: c.caseRoute, target: target, limits: c.limitsOf(r)}, in)
	if err != nil {
		endWith(span, err)
		return Result{}, nil, err
	}
	found, contents, err := c.decodeResult(in, caseID, r)
	if err != nil {
		endWith(span, err)
		return Result{}, nil, err
	}
	c.telemetry.drop(ctx, r.Class, found.Dropped)
	return found, contents, nil
}

// decodeResult turns the body of a good answer into the result of the case that was
// asked for. The contents are in what in has taken.
func (c *Client) decodeResult(in *incoming, caseID string, r ResultRequest) (Result, []RecordContent, error) {
	limit := c.limitsOf(r).bytes
	plain, err := in.open(limit)
	if errors.Is(err, errNotHere) {
		plain, err = c.open(in.whole(), limit)
	}
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

// limitsOf are those of a single read, unless content was asked for: the rest of a
// result is as small as a case, the metadata of its PDF too.
func (c *Client) limitsOf(r ResultRequest) limits {
	if r.Binary {
		return c.whole
	}
	return c.single
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

// handOut calls each for every content, so many at a time. After it, a reader that
// was kept fails.
func handOut(ctx context.Context, contents []RecordContent, atOnce int, each func(context.Context, RecordContent) error) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		first error // guarded by mu
		next  int   // guarded by mu
	)
	turn := func() (RecordContent, bool) {
		mu.Lock()
		defer mu.Unlock()
		if first != nil || next == len(contents) {
			return RecordContent{}, false
		}
		next++
		return contents[next-1], true
	}
	for range min(atOnce, len(contents)) {
		wg.Go(func() {
			for {
				content, ok := turn()
				if !ok {
					return
				}
				err := each(ctx, content)
				content.text.close()
				if err != nil {
					mu.Lock()
					if first == nil {
						first = err
					}
					mu.Unlock()
					end()
				}
			}
		})
	}
	wg.Wait()
	return first
}
