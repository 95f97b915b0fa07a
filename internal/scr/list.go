package scr

import "time"

// Filter says which cases a list answer is to hold (guide 7.5.1). All four flags
// are sent, whatever their defaults (facts C14). A zero time sends no bound.
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
	// Bytes is the size of the answer as it came.
	Bytes int
	// Sent is when the request was sent, by our clock.
	Sent time.Time
	// Skew is how far the server's clock is ahead of ours, by its Date header: the
	// middle of the exchange stands for when it was written. It is good to a second
	// and half the exchange, and 0 without a Date.
	Skew time.Duration
}
