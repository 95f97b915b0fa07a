package scrsim

import (
	"container/heap"
	"fmt"
	"regexp"
	"slices"
	"time"

	"postident-bridge/internal/scr"
)

var caseIDPattern = regexp.MustCompile(`^[A-Z0-9]{12}$`)

// startRequest is what a client asked for with POST /cases.
type startRequest struct {
	reference  string
	hookURL    string
	partnerURL string
	order      order
}

// add makes a case of plan. s.mu is held.
func (s *Simulator) add(acct *account, from *origin, plan Plan, id string, req *startRequest) *simCase {
	for id == "" {
		if drawn := drawCaseID(from.ids); !s.isTaken(drawn) {
			id = drawn
		}
	}
	s.serial++
	c := &simCase{
		acct: acct, id: id, serial: s.serial, plan: plan,
		status: scr.CaseNew, caseChange: -1, last: lastChange{ident: -1},
	}
	if req != nil {
		c.reference, c.hookURL, c.partnerURL, c.order = req.reference, req.hookURL, req.partnerURL, req.order
	} else {
		c.hookURL, c.partnerURL = acct.Webhook.URL, acct.Webhook.PartnerURL
		c.reference = fmt.Sprintf("SIM%011d", c.serial)
	}
	if plan.Offline && acct.Webhook.NoOffline {
		c.hookURL, c.partnerURL = "", ""
	}
	if c.reference == "" {
		c.reference = c.id // facts 2.6
	}
	acct.references[c.reference] = struct{}{}
	s.cases[c.id] = c
	if !plan.Offline {
		now := s.clock.now().Truncate(time.Second)
		c.appear(now)
		c.modified = now
		c.last.newest = now
		acct.cases = append(acct.cases, c)
	}
	return c
}

// isTaken reports whether there is a case with the id. s.mu is held.
func (s *Simulator) isTaken(id string) bool {
	h, _ := s.inHistory(id)
	return s.cases[id] != nil || h != nil
}

// remove forgets a case. s.mu is held.
func (s *Simulator) remove(c *simCase) {
	if v := c.view(); v.hasRecords() {
		c.acct.gone = append(c.acct.gone, v)
	}
	delete(s.cases, c.id)
	delete(c.acct.references, c.reference)
	c.acct.cases = slices.DeleteFunc(c.acct.cases, func(o *simCase) bool { return o == c })
	if c.walk != nil {
		s.walks.drop(c)
		c.walk.finish(c)
	}
}

// advance takes the next step of the plan. s.mu is held.
func (s *Simulator) advance(c *simCase) Advanced {
	step := c.plan.Steps[c.next]
	c.next++
	a := s.step(c, step)
	a.AtEnd = c.atEnd()
	return a
}

// step applies one step, writes it down and sends what is due. s.mu is held.
func (s *Simulator) step(c *simCase, step Step) Advanced {
	wasVisible := c.visible
	before := c.view()
	var lag time.Duration
	if step.closes() {
		lag = time.Duration(c.serial%11) * time.Second
	}
	index := len(s.truth)
	change := c.apply(step, s.clock.now(), s.cfg.Ties, index, lag)
	hooked := c.hooked(change)
	s.truth, s.traces = append(s.truth, change), append(s.traces, trace{at: time.Now(), hooked: hooked})
	if !wasVisible {
		c.acct.show(c)
	}
	faults := s.faults.of(c.acct.ClientID)
	if change.StatusType == string(scr.Final) {
		s.delayPDF(c, faults)
	}
	if hooked {
		s.hide(c, faults, before, wasVisible)
		s.sendHooks(c, faults, index)
	}
	return Advanced{Change: change, Index: index, Hooked: hooked}
}

// show puts a case among those that lists have, by its creation. s.mu is held.
func (a *account) show(c *simCase) {
	at := len(a.cases)
	for at > 0 && a.cases[at-1].created.After(c.created) {
		at--
	}
	a.cases = slices.Insert(a.cases, at, c)
}

// hooked reports whether a webhook is due for the change (guide 2.6, facts C5).
// Cancelled is a type of autoid's alone, as C27 has it.
func (c *simCase) hooked(change Change) bool {
	w := c.acct.Webhook
	if c.hookURL == "" && c.partnerURL == "" || !slices.Contains(w.Types, scr.StatusType(change.StatusType)) {
		return false
	}
	autoIDReview := change.Method == scr.MethodAutoID && change.Status == scr.StatusReviewPending
	return !autoIDReview || !w.NoAutoIDReview
}

// hide lets the faults of visibility befall the case after a webhook. s.mu is
// held.
func (s *Simulator) hide(c *simCase, f FaultSet, before view, wasVisible bool) {
	now := time.Now()
	switch pick(s.rng.Float64(), f.visibility()) {
	case 1:
		c.notYetReads, c.notYetUntil = f.NotYetReads, now.Add(time.Duration(f.NotYetFor))
	case 2:
		if wasVisible {
			c.before = &before
			c.staleReads, c.staleUntil = f.StaleReads, now.Add(time.Duration(f.StaleFor))
		} else {
			c.notYetReads, c.notYetUntil = f.StaleReads, now.Add(time.Duration(f.StaleFor))
		}
	}
}

func (s *Simulator) sendHooks(c *simCase, f FaultSet, index int) {
	fault := f.hook(s.rng)
	for _, t := range []struct{ target, url string }{{TargetClient, c.hookURL}, {TargetPartner, c.partnerURL}} {
		if t.url == "" {
			continue
		}
		h := hook{
			change: index, clientID: c.acct.ClientID, caseID: c.id, target: t.target, url: t.url,
			username: c.acct.Webhook.Username, password: c.acct.Webhook.Password,
		}
		if c.acct.Webhook.ReferenceID {
			h.referenceID = c.reference
		}
		s.hooks.send(h, fault, time.Duration(f.HookLateBy))
	}
}

// read takes a case as a single read shows it now, or nil for 404. s.mu is held.
func (c *simCase) read(now time.Time) *view {
	if !c.visible {
		return nil
	}
	if c.notYetReads > 0 {
		c.notYetReads--
		return nil
	}
	if now.Before(c.notYetUntil) {
		return nil
	}
	if c.before != nil {
		if c.staleReads > 0 || now.Before(c.staleUntil) {
			c.staleReads = max(0, c.staleReads-1)
			return c.before
		}
		c.before = nil
	}
	v := c.view()
	return &v
}

// listed takes a case as a list shows it now, or nil where it is left out: a
// list uses up no read of a fault. s.mu is held.
func (c *simCase) listed(now time.Time) *view {
	if c.notYetReads > 0 || now.Before(c.notYetUntil) {
		return nil
	}
	if c.before != nil && (c.staleReads > 0 || now.Before(c.staleUntil)) {
		return c.before
	}
	v := c.view()
	return &v
}

// walkHeap orders the cases that walk by themselves by when they are due.
type walkHeap []*simCase

// Len is heap.Interface's.
func (h *walkHeap) Len() int { return len(*h) }

// Less is heap.Interface's.
func (h *walkHeap) Less(i, j int) bool { return (*h)[i].walk.due.Before((*h)[j].walk.due) }

// Swap is heap.Interface's.
func (h *walkHeap) Swap(i, j int) {
	(*h)[i], (*h)[j] = (*h)[j], (*h)[i]
	(*h)[i].walk.index, (*h)[j].walk.index = i, j
}

// Push is heap.Interface's; use add.
func (h *walkHeap) Push(x any) {
	c, ok := x.(*simCase)
	if !ok {
		return
	}
	c.walk.index = len(*h)
	*h = append(*h, c)
}

// Pop is heap.Interface's; use drop.
func (h *walkHeap) Pop() any {
	last := (*h)[len(*h)-1]
	last.walk.index = -1
	(*h)[len(*h)-1] = nil
	*h = (*h)[:len(*h)-1]
	return last
}

func (h *walkHeap) add(c *simCase) { heap.Push(h, c) }

func (h *walkHeap) drop(c *simCase) {
	if c.walk.index >= 0 {
		heap.Remove(h, c.walk.index)
	}
}

func (h *walkHeap) reschedule(c *simCase, due time.Time) {
	c.walk.due = due
	if c.walk.index >= 0 {
		heap.Fix(h, c.walk.index)
	}
}
