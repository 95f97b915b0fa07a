package ingest

import (
	"time"

	"postident-bridge/internal/scr"
)

// bounds is what answers have shown about the API's windows: whether a time that
// equals a bound lies inside. No source says it (facts 3.2), so a request asks
// for a second more below, until an answer has shown that it need not; and a
// window of one second that is partial is asked for as narrowly as what was
// shown allows.
//
// What is shown once holds: how a server compares does not change from case to
// case. A time that it keeps finer than it shows can only make upper look true by
// chance, so exact requests are checked by what was seen before.
type bounds struct{ lower, upper bool }

// axis is the time of a case that a walk goes by.
type axis int

const (
	byCreated axis = iota
	byClosed
)

// ask gives the bounds of the request for a window. Exact leaves the window's
// end out, for a server whose upper bound lies inside.
func (b *bounds) ask(win window, unbounded, exact bool) (from, until time.Time) {
	from, until = win.from, win.until
	if !b.lower {
		from = from.Add(-second)
	}
	switch {
	case unbounded:
		until = time.Time{}
	case exact:
		until = until.Add(-second)
	}
	return from, until
}

// learn notes what one case of an answer shows. When a case was closed no answer
// tells; its modified is not before that, so it can stand for it at the lower
// bound, and often at the upper one.
func (b *bounds) learn(c *scr.Case, by axis, from, until time.Time) {
	at := timeOn(c, by)
	if at.Equal(from) {
		b.lower = true
	}
	if !until.IsZero() && until.After(from) && at.Equal(until) {
		b.upper = true
	}
}

func timeOn(c *scr.Case, by axis) time.Time {
	if by == byClosed {
		return c.Status.Modified
	}
	return c.Status.Created
}
