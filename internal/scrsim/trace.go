package scrsim

import (
	"net/http"
	"slices"
	"time"
)

// Trace is what became of one change: by what kind of answer it was shown first,
// and whether its webhooks came through.
type Trace struct {
	// Change is the index into Truth.
	Change int `json:"change"`
	// At is the real time at which it happened: from then on answers show it.
	At time.Time `json:"at"`
	// Hooked says that a webhook was due for it.
	Hooked bool `json:"hooked"`
	// Hooks are its webhooks that a fault lost, or of which an attempt has ended.
	Hooks []HookTrace `json:"hooks,omitempty"`
	// ShownAt is the real time at which an answer had first shown it, as Seen says;
	// zero if none has. ShownBy is ShownByCase or ShownByList then.
	ShownAt time.Time `json:"shownAt,omitzero"`
	ShownBy string    `json:"shownBy,omitempty"`
}

// HookTrace is what became of one webhook.
type HookTrace struct {
	Target string `json:"target"` // TargetClient or TargetPartner
	Lost   bool   `json:"lost,omitempty"`
	// Delivered is the real time at which the first attempt that was answered 200
	// had its answer; zero if none was.
	Delivered time.Time `json:"delivered,omitzero"`
}

// The kinds of answers that show a change.
const (
	ShownByCase = "case"
	ShownByList = "list"
)

// trace is what is written down of a change as it happens.
type trace struct {
	at      time.Time
	hooked  bool
	byList  bool
	shownAt time.Time
}

// Traces returns what became of every change so far, by the index that it has in
// Truth. It is a copy.
func (s *Simulator) Traces() []Trace {
	attempts := s.Attempts()
	s.mu.Lock()
	all := make([]Trace, len(s.traces))
	for i, t := range s.traces {
		all[i] = Trace{Change: i, At: t.at, Hooked: t.hooked, ShownAt: t.shownAt}
		switch {
		case t.shownAt.IsZero():
		case t.byList:
			all[i].ShownBy = ShownByList
		default:
			all[i].ShownBy = ShownByCase
		}
	}
	s.mu.Unlock()
	for _, a := range attempts {
		all[a.Change].add(a)
	}
	return all
}

// add notes an attempt. They come in the order of their ends.
func (t *Trace) add(a HookAttempt) {
	h := slices.IndexFunc(t.Hooks, func(h HookTrace) bool { return h.Target == a.Target })
	if h < 0 {
		h = len(t.Hooks)
		t.Hooks = append(t.Hooks, HookTrace{Target: a.Target})
	}
	hook := &t.Hooks[h]
	hook.Lost = hook.Lost || a.Attempt == 0
	if a.Status == http.StatusOK && hook.Delivered.IsZero() {
		hook.Delivered = a.At.Add(time.Duration(a.Took))
	}
}

// Missed reports whether a list was the first to show the change, although a
// webhook told target of it: one that was lost, or none of whose attempts so far
// was answered 200.
func (t *Trace) Missed(target string) bool {
	return t.ShownBy == ShownByList && slices.ContainsFunc(t.Hooks, func(h HookTrace) bool {
		return h.Target == target && h.Delivered.IsZero()
	})
}
