package scrsim

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"postident-bridge/internal/scr"
)

// filter is guide 7.5.1: which cases a list answer holds.
type filter struct {
	isNew, inProgress, closed, archived bool
	created, closedAt                   window
	limit                               int
}

// window is a span of time; a zero bound is open.
type window struct {
	from, until time.Time
	bounds      Bounds
}

func (w window) isZero() bool { return w.from.IsZero() && w.until.IsZero() }

func (w window) contains(t time.Time) bool { return w.begun(t) && !w.over(t) }

// begun reports whether the window has begun at t.
func (w window) begun(t time.Time) bool {
	return w.from.IsZero() || t.After(w.from) || (w.bounds != BoundsNone && t.Equal(w.from))
}

// over reports whether the window is over at t.
func (w window) over(t time.Time) bool {
	return !w.until.IsZero() && (t.After(w.until) || (w.bounds != BoundsBoth && t.Equal(w.until)))
}

// matches reports whether the list holds the case. A case that is not closed
// has no closed time and lies in no closed window. s.mu is held.
func (f filter) matches(c *simCase) bool {
	if c.archived && !f.archived {
		return false
	}
	switch c.status {
	case scr.CaseNew:
		if !f.isNew {
			return false
		}
	case scr.CaseClosed:
		if !f.closed {
			return false
		}
	default:
		if !f.inProgress {
			return false
		}
	}
	if !f.closedAt.isZero() && (c.closed.IsZero() || !f.closedAt.contains(c.closed)) {
		return false
	}
	return f.created.contains(c.created)
}

// parseFilter reads the query with the guide's defaults: closed cases only
// (facts C14). maxResults counts on status lists only (7.5.2).
func parseFilter(r *http.Request, status bool, wire Wire, limit int) (filter, error) {
	f := filter{limit: limit}
	for _, p := range []struct {
		name string
		to   *bool
		def  bool
	}{
		{"new", &f.isNew, false},
		{"inProgress", &f.inProgress, false},
		{"closed", &f.closed, true},
		{"archived", &f.archived, false},
	} {
		var err error
		if *p.to, err = boolParam(r, p.name, p.def); err != nil {
			return filter{}, err
		}
	}
	q := r.URL.Query()
	for _, p := range []struct {
		name string
		to   *time.Time
	}{
		{"createdFrom", &f.created.from},
		{"createdUntil", &f.created.until},
		{"closedFrom", &f.closedAt.from},
		{"closedUntil", &f.closedAt.until},
	} {
		var err error
		if *p.to, err = dateParam(q, p.name, wire.StrictPlus); err != nil {
			return filter{}, err
		}
	}
	f.created.bounds, f.closedAt.bounds = wire.Bounds, wire.Bounds
	if raw := q.Get("maxResults"); raw != "" && status {
		n, err := strconv.Atoi(raw)
		if err != nil || n < 1 {
			return filter{}, refuse(http.StatusBadRequest, "maxResults", "is no positive number")
		}
		f.limit = min(f.limit, n)
	}
	return f, nil
}

// dateParam reads an ISO 8601 date. A raw + reaches us as a blank: the guide's
// own samples send it so (facts C12).
func dateParam(q url.Values, name string, strictPlus bool) (time.Time, error) {
	raw := q.Get(name)
	if raw == "" {
		return time.Time{}, nil
	}
	if !strictPlus {
		raw = strings.Replace(raw, " ", "+", 1)
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05Z0700"} {
		if t, err := time.Parse(layout, raw); err == nil {
			return t, nil
		}
	}
	if t, err := time.ParseInLocation(time.DateOnly, raw, winterTime); err == nil {
		return t, nil
	}
	return time.Time{}, refuse(http.StatusBadRequest, name, "is no ISO 8601 date")
}

// headerPartial says that there are more cases than the answer holds (7.5.1).
const headerPartial = "X-PARTIAL-DELIVERY"

// getCases is guide 7.5: cases by filter, the oldest first, never with binary
// data.
func (s *Simulator) getCases(r *http.Request, c *call, all bool) (reply, error) {
	f, err := parseFilter(r, c.status, c.acct.Wire, s.cfg.ListLimit)
	if err != nil {
		return reply{}, err
	}
	entries, partial := s.list(c.acct, f, time.Now())
	rep := reply{code: http.StatusOK, header: make(http.Header)}
	if partial {
		rep.header.Set(headerPartial, "true")
	}
	o := rendering{all: all, status: c.status, distortion: c.distortion}
	body := append(make([]byte, 0, pastLen*len(entries)+2), '[')
	for i, e := range entries {
		if i > 0 {
			body = append(body, ',')
		}
		if e.past.history != nil {
			rep.past = append(rep.past, e.past)
			if !e.past.Results {
				body = e.past.appendTo(body, o)
				continue
			}
			e.view = new(e.past.view())
		} else {
			rep.shown = append(rep.shown, e.view.shownChanges(all)...)
		}
		entry, err := marshal(e.view.render(o))
		if err != nil {
			return reply{}, err
		}
		body = append(body, entry...)
	}
	rep.body = rawJSON(append(body, ']'))
	return rep, nil
}

// listEntry is a case in a list: one that walks, or one of a history.
type listEntry struct {
	created time.Time
	view    *view
	past    past
}

// list is the cases that a list holds, the oldest first.
func (s *Simulator) list(acct *account, f filter, now time.Time) (entries []listEntry, partial bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range acct.histories {
		for _, i := range h.matching(f, s.clock.at(now)) {
			entries = append(entries, listEntry{created: h.created(i), past: h.at(i)})
		}
	}
	for _, c := range acct.cases {
		if !f.matches(c) {
			continue
		}
		v := c.listed(now)
		if v == nil {
			continue
		}
		entries = append(entries, listEntry{created: c.created, view: v})
		if len(entries) > f.limit && len(acct.histories) == 0 {
			break
		}
	}
	if len(acct.histories) > 0 {
		slices.SortStableFunc(entries, func(a, b listEntry) int { return a.created.Compare(b.created) })
	}
	if len(entries) > f.limit {
		return entries[:f.limit], true
	}
	return entries, false
}
