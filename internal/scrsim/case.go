package scrsim

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"

	"postident-bridge/internal/scr"
)

// simCase is one case. The first group is immutable; the rest is guarded by
// Simulator.mu.
type simCase struct {
	acct       *account
	id         string
	serial     int // numbers the case's canaries
	reference  string
	plan       Plan
	order      order
	given      *givenCase // nil for all but those of NewCase.Answer
	hookURL    string
	partnerURL string

	visible    bool // a Basic Offline case is not, before its first step
	status     string
	archived   bool
	created    time.Time
	modified   time.Time
	closed     time.Time // zero while open
	validUntil time.Time
	idents     []ident
	caseChange int // index of the case's own change in truth, -1 without one
	last       lastChange
	next       int // the step to come

	before      *view // as the case was before its last hooked change
	notYetReads int
	notYetUntil time.Time // real
	staleReads  int
	staleUntil  time.Time // real
	pdfReads    int       // that do not get the result PDF yet
	pdfUntil    time.Time // real

	walk *walk // nil: advanced by hand
}

// order is what a client gave with POST /cases, put back into orderData as it
// came; zero for a case that the simulator started.
type order struct {
	given          bool
	custom         json.RawMessage
	process        map[string]json.RawMessage
	contact        json.RawMessage
	identDocument  json.RawMessage
	drivingLicence json.RawMessage
}

// ident is one identification attempt, a plain value.
type ident struct {
	method             string
	status             string
	subStatus, reason  *int
	created, modified  time.Time
	identificationTime time.Time
	change             int // index of its present state in truth
}

// lastChange is the newest stamp of a case and what it was given to.
type lastChange struct {
	at     time.Time // of the identification, or of the case when it changed alone
	newest time.Time // the newest stamp anywhere in the case
	ident  int       // index into idents, -1 for none
}

// view is a case as one answer shows it, taken under the lock and rendered
// outside of it.
type view struct {
	c          *simCase
	status     string
	archived   bool
	created    time.Time
	modified   time.Time
	validUntil time.Time
	idents     []ident
	primary    int // index into idents, -1 without one
	caseChange int
	pdfLate    pdfState
}

func (c *simCase) view() view {
	return view{
		c: c, status: c.status, archived: c.archived, created: c.created, modified: c.modified,
		validUntil: c.validUntil, idents: slices.Clone(c.idents), primary: primary(c.idents),
		caseChange: c.caseChange,
	}
}

// shown is the indexes into truth of the changes that an answer made of v
// shows.
func (v view) shown(all bool) []int {
	var changes []int
	if v.caseChange >= 0 {
		changes = append(changes, v.caseChange)
	}
	for i, id := range v.idents {
		if all || i == v.primary {
			changes = append(changes, id.change)
		}
	}
	return changes
}

// primary is the identification with the most progress (guide 7.3), the newest
// of equals. A cancelled attempt has none once there is another: the user has
// switched (guide 4.1).
func primary(idents []ident) int {
	progress := func(i ident) int {
		if i.status == scr.StatusCancelled {
			return -2
		}
		return scr.Rank(i.status)
	}
	best := -1
	for i := range idents {
		if best < 0 || progress(idents[i]) >= progress(idents[best]) {
			best = i
		}
	}
	return best
}

// find is the identification that step changes, -1 for a new one.
func (c *simCase) find(step Step) int {
	if step.NewAttempt {
		return -1
	}
	for i, id := range slices.Backward(c.idents) {
		if id.method == step.Method {
			return i
		}
	}
	return -1
}

// stamp is the second of the next change, now at the earliest, and never before
// an earlier one. Without ties each change has a second of its own. With them
// two identifications share one only if (modified, rank, created, method), by
// which readers order what they see at once, tells their true order.
func (c *simCase) stamp(now time.Time, ties bool, step Step, at int) time.Time {
	t := now.Truncate(time.Second)
	if t.After(c.last.newest) {
		return t
	}
	t = c.last.newest
	if !ties || !c.mayTie(step, at, t) {
		return t.Add(time.Second)
	}
	return t
}

func (c *simCase) mayTie(step Step, at int, t time.Time) bool {
	if at < 0 && slices.ContainsFunc(c.idents, func(i ident) bool { return i.method == step.Method && i.created.Equal(t) }) {
		return false // (method, created) tells identifications apart
	}
	switch {
	case c.last.ident < 0:
		return c.caseChange < 0 // only the creation came before
	case c.last.ident == at || c.last.at.Before(t):
		return true
	}
	was := c.idents[c.last.ident]
	created := t
	if at >= 0 {
		created = c.idents[at].created
	}
	return cmp.Or(
		cmp.Compare(scr.Rank(was.status), scr.Rank(step.Status)),
		was.created.Compare(created),
		cmp.Compare(was.method, step.Method),
	) < 0
}

// apply takes one step at the simulated time now and returns the change, whose
// index in truth will be index. lag is how long before the case the
// identification was modified (facts C28), where the seconds allow it.
func (c *simCase) apply(step Step, now time.Time, ties bool, index int, lag time.Duration) Change {
	if c.given != nil {
		return c.applyGiven(step, index)
	}
	at := c.find(step)
	if step.Method == "" {
		at = -1
	}
	t := c.stamp(now, ties, step, at)
	if !c.visible {
		c.appear(t)
	}
	change := Change{
		ClientID: c.acct.ClientID, CaseID: c.id, CaseCreated: c.created,
		Modified: t, StatusType: statusTypeProgress,
	}
	if step.Method == "" {
		c.caseChange = index
		c.last = lastChange{at: t, newest: t, ident: -1}
	} else {
		c.change(step, at, t, lag, index, &change)
	}
	c.modified = t
	switch {
	case step.closes():
		c.close(step, t)
	case c.closed.IsZero():
		c.status = scr.CaseInProgress
	}
	return change
}

// appear makes a Basic Offline case visible at t.
func (c *simCase) appear(t time.Time) {
	c.visible = true
	c.created = t
	c.validUntil = t.Add(time.Duration(c.acct.Validity))
}

func (c *simCase) change(step Step, at int, t time.Time, lag time.Duration, index int, change *Change) {
	modified := t
	if earliest := c.last.newest.Add(time.Second); at >= 0 && modified.Add(-lag).After(earliest) {
		modified = modified.Add(-lag)
	}
	if at < 0 {
		at = len(c.idents)
		c.idents = append(c.idents, ident{method: step.Method, created: modified})
	}
	id := &c.idents[at]
	id.status, id.subStatus, id.reason = step.Status, step.SubStatus, step.Reason
	id.modified, id.change = modified, index
	class := scr.Classify(step.Method, step.Status, step.SubStatus, step.Reason)
	if class.Type == scr.Final {
		// The decision falls a little before it shows.
		id.identificationTime = modified.Add(-2 * lag)
		if id.identificationTime.Before(id.created) {
			id.identificationTime = id.created
		}
	}
	c.last = lastChange{at: modified, newest: t, ident: at}
	change.Method, change.Status = step.Method, step.Status
	change.SubStatus, change.Reason = step.SubStatus, step.Reason
	change.IdentCreated, change.Modified = id.created, id.modified
	change.IdentificationTime = id.identificationTime
	if class.Type != scr.None {
		change.StatusType = string(class.Type)
	}
}

func (c *simCase) close(step Step, t time.Time) {
	c.status = scr.CaseClosed
	if c.closed.IsZero() {
		c.closed = t
	}
	expired := step.Method == "" || (step.SubStatus != nil && *step.SubStatus == expiredCode)
	if expired && c.validUntil.After(t) {
		c.validUntil = t
	}
}

// expiry is the step by which the clock ends an open case.
func (c *simCase) expiry() Step {
	p := primary(c.idents)
	if p < 0 || c.idents[p].status == scr.StatusCancelled {
		return Step{Closes: true}
	}
	return Step{Method: c.idents[p].method, Status: scr.StatusDeclined, SubStatus: new(expiredCode), Closes: true}
}
