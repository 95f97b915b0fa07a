package scr

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Filter says which cases a list answer is to hold (guide 7.5.1). All four flags
// are sent, whatever their defaults (facts C14). A zero time sends no bound.
// Bounds are sent in whole seconds, and what is not whole widens the window.
// Whether the bounds belong to their window is not documented (facts 3.2):
// windows are to overlap.
type Filter struct {
	New, InProgress, Closed   bool
	Archived                  bool // closed cases that are archived too
	CreatedFrom, CreatedUntil time.Time
	ClosedFrom, ClosedUntil   time.Time
	// MaxResults bounds the answer of a status list (guide 7.5.2); 0 sends none.
	// Other lists know no such bound, and none is sent.
	MaxResults int
}

// Listed is one case of a list answer.
type Listed struct {
	// CaseID is "" where an entry shows none that can be one.
	CaseID string
	Case   Case
	// Err says that the entry cannot be read: a *RejectedError, without content.
	// Case is empty then, and the other entries are as good as before.
	Err error
}

// Page is what a list answer says beside its cases.
type Page struct {
	Entries int // of the answer, those that cannot be read included
	// Partial says that more cases match than the answer holds
	// (X-PARTIAL-DELIVERY, guide 7.5.1). Without the header, an answer of 1,000
	// cases or of MaxResults counts as partial too.
	Partial bool
	// Bytes is the size of the answer's body, encrypted as it came.
	Bytes int
	// Sent is when the request was sent, by our clock.
	Sent time.Time
	// Skew is how far the server's clock is ahead of ours, by its Date header: the
	// middle of the exchange stands for when it was written. A Date has no
	// fractions, so it is up to a second too little, and either way half the
	// exchange wrong. It is 0 without a Date.
	Skew time.Duration
}

// maxListed is how many cases an answer holds at most (guide 7.5.1).
const maxListed = 1000

// listBodies are the buffers of list answers, which are megabytes: those in use at
// a time are reused, and the garbage collector takes what is not.
var listBodies = sync.Pool{New: func() any { return new(wholeBody) }}

// Cases asks for a list of cases once, with all identifications unless the scope
// is primary (guide 7.5), and calls each for every entry of the answer, in its
// order, before it returns. What each gets is its own. The answer is decrypted as
// a whole and decoded entry by entry.
//
// The errors are those of Case, without *NotYetError: a list has no case to miss,
// and a 404 is a *RejectedError. So is an answer that is no list or ends in the
// middle; entries that were told before stand, and the page counts them, but
// what it says of more to come is no use then. Fields that no source knows are
// counted once an answer.
func (c *Client) Cases(ctx context.Context, f Filter, each func(Listed)) (Page, error) {
	if c.access != AccessPartner {
		f.MaxResults = 0
	}
	target := c.casesURL + c.suffix + "?" + f.query()
	ctx, span := c.telemetry.start(ctx, c.listRoute, target)
	defer span.End()
	body, ok := listBodies.Get().(*wholeBody)
	if !ok {
		body = new(wholeBody)
	}
	defer listBodies.Put(body)
	r := request{route: c.listRoute, target: target, limits: c.many}
	a, err := c.do(ctx, span, r, body)
	page := Page{Sent: a.sent, Skew: a.skew()}
	if err != nil {
		endWith(span, err)
		return page, err
	}
	page.Bytes = body.Len()
	plain, err := c.open(body.Bytes(), c.many.bytes)
	if err == nil {
		var unknown []string
		page.Entries, unknown, err = parseList(plain, each)
		c.telemetry.unknown.count(ctx, unknown)
	}
	if err != nil {
		err = answered(err)
		endWith(span, err)
		return page, err
	}
	page.Partial = f.isPartial(a.header, page.Entries)
	return page, nil
}

// query is the filter as the API takes it. Times end with Z: an offset would have
// a plus, which not everybody decodes alike (facts C12).
func (f Filter) query() string {
	q := url.Values{}
	q.Set("new", strconv.FormatBool(f.New))
	q.Set("inProgress", strconv.FormatBool(f.InProgress))
	q.Set("closed", strconv.FormatBool(f.Closed))
	q.Set("archived", strconv.FormatBool(f.Archived))
	bound := func(name string, t time.Time) {
		if !t.IsZero() {
			q.Set(name, t.UTC().Format(time.RFC3339))
		}
	}
	bound("createdFrom", f.CreatedFrom.Truncate(time.Second))
	bound("createdUntil", wholeSecond(f.CreatedUntil))
	bound("closedFrom", f.ClosedFrom.Truncate(time.Second))
	bound("closedUntil", wholeSecond(f.ClosedUntil))
	if f.MaxResults > 0 {
		q.Set("maxResults", strconv.Itoa(f.MaxResults))
	}
	return q.Encode()
}

// wholeSecond is the first whole second that is not before t.
func wholeSecond(t time.Time) time.Time {
	if whole := t.Truncate(time.Second); whole.Before(t) {
		return whole.Add(time.Second)
	}
	return t
}

func (f Filter) isPartial(h http.Header, entries int) bool {
	return strings.EqualFold(h.Get(HeaderPartialDelivery), "true") ||
		entries >= maxListed || f.MaxResults > 0 && entries >= f.MaxResults
}

// skew is how far the clock of the other side is ahead, by the answer's Date.
func (a answer) skew() time.Duration {
	date, err := http.ParseTime(a.header.Get("Date"))
	if err != nil {
		return 0
	}
	return date.Sub(a.sent.Add(a.came.Sub(a.sent) / 2))
}

var (
	errNoList  = errors.New("not a JSON list")
	errCutList = errors.New("broken JSON list")
)

// parseList calls each for every entry of the list in body, and returns how many
// there were and the unknown fields of all. An entry that is not JSON is cut out by
// its brackets. After an error body is no list, or none to its end; then the
// entries that were told are those before.
func parseList(body []byte, each func(Listed)) (entries int, unknown []string, err error) {
	r := plainReader{jsonScanner: jsonScanner{data: body}, texts: newTextCache()}
	if r.peek() != '[' {
		return 0, nil, &RejectedError{Reason: RejectedJSON, Err: errNoList}
	}
	var w wireCase // each entry's in turn
	for ; r.more(']', entries); entries++ {
		w = wireCase{}
		l, ok := r.listed(&w)
		if !ok {
			break
		}
		each(l)
	}
	if !r.atEnd() {
		return entries, r.unknown, &RejectedError{Reason: RejectedJSON, Err: errCutList}
	}
	return entries, r.unknown, nil
}

// listed takes the next entry of a list, by way of w, which is empty. It is false
// when there is none, or none to its end.
func (r *plainReader) listed(w *wireCase) (Listed, bool) {
	r.peek()
	from, before := r.at, len(r.unknown)
	var c Case
	var err error
	if r.readCase(w) {
		if c, err = w.decode(); err != nil {
			err = rejectCase(err)
			r.unknown = r.unknown[:before]
		}
	} else {
		entry := r.cut(from)
		if entry == nil {
			return Listed{}, false
		}
		var unknown []string
		c, unknown, err = anyCase(entry)
		for _, path := range unknown {
			r.unknown.addPath(path)
		}
	}
	if err == nil {
		return Listed{CaseID: c.CaseID, Case: c}, true
	}
	return Listed{CaseID: caseIDOf(r.data[from:r.at]), Err: answered(err)}, true
}

// cut gives the odd entry that begins at from, and goes on after it. It is nil
// where none begins, and for one that has nothing after it: it ends a list that
// was cut.
func (r *plainReader) cut(from int) []byte {
	rest := r.data[from:]
	if len(rest) == 0 || strings.IndexByte("]},:", rest[0]) >= 0 {
		return nil
	}
	s := fieldScanner{rest: rest}
	s.skip()
	if len(s.rest) == 0 {
		return nil
	}
	r.at, r.odd = len(r.data)-len(s.rest), false
	return r.data[from:r.at]
}

// caseIDOf is the caseId of an entry of which nothing else may be right, "" if it
// shows none that can be one.
func caseIDOf(entry []byte) string {
	var w struct {
		CaseID text `json:"caseId"`
	}
	if decodeObject(entry, &w) != nil || !ValidCaseID(string(w.CaseID)) {
		return ""
	}
	return string(w.CaseID)
}
