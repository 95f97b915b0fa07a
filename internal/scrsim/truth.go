package scrsim

import (
	"slices"
	"time"
)

// statusTypeProgress is the type of a change for which the guide has none.
const statusTypeProgress = "progress"

// Change is one status change as it happened: a new (status, codes,
// identificationTime) of an identification, or the closing of a case without
// one. The fields are those of audit.Change, in the same order, so that one
// converts into the other.
type Change struct {
	ClientID    string    `json:"clientId"`
	CaseID      string    `json:"caseId"`
	CaseCreated time.Time `json:"caseCreated"`
	// Method is "" where the case closed without an identification; then
	// everything below but Modified, StatusType and Seen is empty.
	Method             string    `json:"method,omitempty"`
	IdentCreated       time.Time `json:"identCreated,omitzero"`
	Status             string    `json:"status,omitempty"`
	SubStatus          *int      `json:"subStatus,omitempty"`
	Reason             *int      `json:"reason,omitempty"`
	IdentificationTime time.Time `json:"identificationTime,omitzero"`
	// Modified is that of the identification, or of the case where Method is "".
	Modified time.Time `json:"modified"`
	// StatusType is notification, preliminary, final, cancelled, or progress for
	// what the guide gives no type.
	StatusType string `json:"statusType"`
	// Seen says that an unfaulted answer with exactly this state was written to
	// its connection in full, and is set right after that. A client that dies
	// just then may still not have acted on it.
	Seen bool `json:"seen"`
}

// Webhook receivers of a case.
const (
	TargetClient  = "client"  // webHookUrl
	TargetPartner = "partner" // webHookUrlPartner
)

// HookAttempt is one attempt to deliver a webhook.
type HookAttempt struct {
	// Change is the index into Truth of the change that the webhook tells of.
	Change   int    `json:"change"`
	ClientID string `json:"clientId"`
	CaseID   string `json:"caseId"`
	Target   string `json:"target"`
	// Attempt counts from 1 to 4 (guide 5); 0 is a webhook that a fault lost.
	Attempt int `json:"attempt"`
	// At is the real time at which the attempt began, Took how long it was.
	At   time.Time `json:"at"`
	Took Duration  `json:"took"`
	// Status is the HTTP status of the answer, 0 without one: then Err says why,
	// without the URL. Only 200 counts as delivered.
	Status int    `json:"status,omitempty"`
	Err    string `json:"err,omitempty"`
}

// Truth returns every change so far, in order. It is a copy.
func (s *Simulator) Truth() []Change {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.truth)
}

// Attempts returns every webhook attempt so far, in the order of their ends. It
// is a copy.
func (s *Simulator) Attempts() []HookAttempt { return s.hooks.log() }

// markSeen notes that an answer, of a list or about one case, has shown its
// changes.
func (s *Simulator) markSeen(rep reply, list bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for _, p := range rep.past {
		p.seen.add(p.index)
	}
	for _, sh := range rep.shown {
		if s.truth[sh.change].Seen {
			continue
		}
		s.truth[sh.change].Seen = true
		s.traces[sh.change].shownAt, s.traces[sh.change].byList = now, list
		s.seen++
		if w := sh.c.walk; w != nil && w.wait && w.change == sh.change {
			w.keep = now.Add(time.Duration(w.pacing.AfterSeen))
			if w.waiting {
				s.walks.reschedule(sh.c, w.keep)
				s.wakePlayer()
			}
		}
	}
}

// shownChange is one change in an answer.
type shownChange struct {
	c      *simCase
	change int
}
