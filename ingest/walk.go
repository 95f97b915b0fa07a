package ingest

import "time"

// second is the resolution of the API's times (facts 3), and so the narrowest
// window.
const second = time.Second

// What an answer should hold: its RSA costs the same whatever it holds, and over
// 1,000 cases it is partial (guide 7.5.1).
const (
	fewHits  = 300
	manyHits = 800
)

// window is the whole seconds [from, until) that one request is to cover.
type window struct{ from, until time.Time }

func (w window) width() time.Duration { return w.until.Sub(w.from) }

// walk goes over a span of time in windows, each as wide as one answer can hold.
// It decides only: whoever makes the requests tells it what they brought.
type walk struct {
	from, until time.Time // what is still to be covered
	// ahead says that the walk ends now, and its last request has no upper bound:
	// clocks differ, and what happens meanwhile belongs to it.
	ahead       bool
	newestFirst bool
	width       time.Duration // of the next window
	split       bool          // one window was not enough
}

// newWalk starts with windows of a width that was right before, 0 for the whole
// span. Its ends are cut to whole seconds, outwards.
func newWalk(from, until time.Time, width time.Duration) *walk {
	from = from.UTC().Truncate(second)
	if cut := until.UTC().Truncate(second); cut.Before(until) {
		until = cut.Add(second)
	}
	if !until.After(from) {
		until = from.Add(second)
	}
	if width <= 0 {
		width = maxWidth
	}
	return &walk{from: from, until: until.UTC(), width: width, split: width < until.Sub(from)}
}

func (w *walk) done() bool { return !w.from.Before(w.until) }

// next is the window that is to be asked for.
func (w *walk) next() window {
	left := w.until.Sub(w.from)
	width := max(w.width.Truncate(second), second)
	if left <= width+width/4 {
		width = left // a rest this small fits in, and saves a request
	}
	if w.newestFirst {
		return window{w.until.Add(-width), w.until}
	}
	return window{w.from, w.from.Add(width)}
}

// unbounded says whether the request for a window is to have no upper bound.
func (w *walk) unbounded(win window) bool { return w.ahead && win.until.Equal(w.until) }

// pass goes on behind a window that was answered whole, or given up as a hole.
// The next one is as wide as it takes, if the times are alike, for an answer
// between few and many hits.
func (w *walk) pass(win window, hits int) {
	if w.newestFirst {
		w.until = win.from
	} else {
		w.from = win.until
	}
	switch {
	case !w.split && hits <= manyHits:
		w.width = maxWidth // one window was enough, whatever its width
	case hits < fewHits:
		wider := maxWidth
		factor := min((fewHits+manyHits)/2/max(hits, 1), mostGrowth)
		if seconds := int(win.width() / second); seconds < int(maxWidth/second)/factor {
			wider = time.Duration(seconds*factor) * second
		}
		w.width = max(w.width, wider)
	case hits > manyHits:
		w.width = win.width() * 3 / 4
	default:
		w.width = win.width()
	}
}

const (
	// mostGrowth is how much wider a window may be than the one before: behind an
	// empty night comes a full day.
	mostGrowth = 8
	// maxWidth stands for as wide as one likes.
	maxWidth = 100 * 365 * 24 * time.Hour
)

// narrow halves the window that came back partial, and says whether it could.
func (w *walk) narrow(win window) bool {
	if win.width() <= second {
		return false
	}
	w.width, w.split = max((win.width()/2).Truncate(second), second), true
	return true
}
