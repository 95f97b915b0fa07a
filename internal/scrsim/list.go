package scrsim

import (
	"net/http"
	"net/url"
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

func (w window) contains(t time.Time) bool {
	if !w.from.IsZero() && (t.Before(w.from) || (w.bounds == BoundsNone && t.Equal(w.from))) {
		return false
	}
	return w.until.IsZero() || t.Before(w.until) || (w.bounds == BoundsBoth && t.Equal(w.until))
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
	views, partial := s.list(c.acct, f, time.Now())
	rep := reply{code: http.StatusOK, header: make(http.Header)}
	if partial {
		rep.header.Set(headerPartial, "true")
	}
	body := make([]map[string]any, 0, len(views))
	for _, v := range views {
		body = append(body, v.render(rendering{all: all, status: c.status}))
		rep.shown = append(rep.shown, v.shownChanges(all)...)
	}
	rep.body = body
	return rep, nil
}

func (s *Simulator) list(acct *account, f filter, now time.Time) (views []*view, partial bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range acct.cases {
		if !f.matches(c) {
			continue
		}
		v := c.listed(now)
		if v == nil {
			continue
		}
		if len(views) == f.limit {
			return views, true
		}
		views = append(views, v)
	}
	return views, false
}
