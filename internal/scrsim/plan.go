package scrsim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"postident-bridge/internal/scr"
)

// Plan is the walk of one case, drawn up front: Advance takes it step by step.
type Plan struct {
	// Offline is a Basic Offline case: nobody started it, so it is not there
	// before its first step (guide 2.1.2, facts 2.6).
	Offline bool `json:"offline,omitempty"`
	// Methods are the methods on offer for this case; empty means the account's.
	// Where autoid is cancelled and nothing else is on offer, the case closes.
	Methods []string `json:"methods,omitempty"`
	Steps   []Step   `json:"steps"`
}

// Step is one status change. Method, status and codes are put on the wire as
// they stand, so that a test can have ones that the guide does not list.
type Step struct {
	// Method is the identification that changes: the newest one with this
	// method, or a new one if there is none. "" closes the case alone.
	Method string `json:"method,omitempty"`
	// NewAttempt begins another identification although there is one.
	NewAttempt bool   `json:"newAttempt,omitempty"`
	Status     string `json:"status,omitempty"`
	SubStatus  *int   `json:"subStatus,omitempty"`
	Reason     *int   `json:"reason,omitempty"`
	// Closes closes the case with this step. A final state always does.
	Closes bool `json:"closes,omitempty"`
}

// closes reports whether the case is closed after the step.
func (s Step) closes() bool {
	return s.Closes || s.Method == "" || scr.Classify(s.Method, s.Status, nil, nil).Type == scr.Final
}

// check finds what no case could walk.
func (p Plan) check() error {
	if len(p.Steps) == 0 {
		return errors.New("plan has no steps")
	}
	for i, s := range p.Steps {
		if (s.Method == "") != (s.Status == "") {
			return fmt.Errorf("step %d: method and status are given both or neither", i+1)
		}
		if s.Method == "" && (s.SubStatus != nil || s.Reason != nil || s.NewAttempt) {
			return fmt.Errorf("step %d: a case that closes alone has no codes and no attempt", i+1)
		}
	}
	return nil
}

// Rows that the planner treats by name.
const (
	rowVideoOther   = "video.declined.other"
	rowVideoExpired = "video.declined.expired"
)

// ending is how the last attempt of a plan ends.
type ending struct {
	row     string // its last row
	offline bool   // Basic Offline
	alone   bool   // autoid is all that is on offer
}

// endings are taken in turn for each method, the telling ones first, so that a
// short load shows them and a longer one leaves none out.
var endings = map[string][]ending{
	scr.MethodAutoID: {
		{row: "autoid.success"},
		{row: "autoid.cancelled"},
		{row: "autoid.declined.fraud"},
		{row: "autoid.cancelled", alone: true},
		{row: "autoid.declined.abuse"},
		{row: "autoid.success"},
		{row: "autoid.declined.other"},
		{row: "autoid.declined.expired"},
	},
	scr.MethodBasic: {
		{row: "basic.success"},
		{row: "basic.success", offline: true},
		{row: "basic.declined.fraud"},
		{row: "basic.declined.abnormal"},
		{row: "basic.declined.data_problem"},
		{row: "basic.declined.abnormal", offline: true},
		{row: "basic.declined.expired"},
	},
	scr.MethodEID: {
		{row: "eid.success"},
		{row: "eid.declined.fraud"},
		{row: "eid.success"},
		{row: "eid.declined.expired"},
	},
	scr.MethodPhoto: {
		{row: "photo.success"},
		{row: "photo.declined.fraud"},
		{row: "photo.declined.abuse"},
		{row: "photo.success"},
		{row: "photo.declined.expired"},
	},
	scr.MethodVideo: {
		{row: "video.success"},
		{row: "video.declined.fraud"},
		{row: "video.declined.abuse"},
		{row: rowVideoOther},
		{row: rowVideoExpired},
	},
}

// planner draws plans. It is not safe for concurrent use.
type planner struct {
	rng    *rand.Rand
	ending map[string]int // by method: the next of its endings
	pair   map[string]int // by row: the next of its code pairs
}

func newPlanner(rng *rand.Rand) *planner {
	return &planner{rng: rng, ending: make(map[string]int), pair: make(map[string]int)}
}

// draw makes a plan whose main attempt uses method; offered are the account's
// methods.
func (p *planner) draw(method string, offered []string) Plan {
	end := p.nextEnding(method)
	var plan Plan
	switch {
	case end.offline:
		plan.Offline = true
	case end.alone:
		plan.Methods = []string{method}
	case p.chance(0.25):
		plan.Steps = p.unfinished(offered[p.rng.IntN(len(offered))])
	}
	expires := row(end.row).Status == scr.StatusDeclined && isExpired(row(end.row))
	if expires && p.chance(0.25) {
		// The case ends in `new`, or with an attempt that was given up: no
		// identification changes (facts 3.2, 8: it is open whether one appears).
		plan.Steps = append(plan.Steps, Step{Closes: true})
		return plan
	}
	main := p.attempt(method, end)
	main[0].NewAttempt = hasMethod(plan.Steps, method)
	plan.Steps = append(plan.Steps, main...)
	if end.row == "autoid.cancelled" {
		plan.Steps = p.afterCancelled(plan, method, offered)
	}
	if !plan.Offline && p.chance(0.04) {
		// Abandoned: the case stays open until the clock ends it.
		plan.Steps = openPrefix(plan.Steps[:1+p.rng.IntN(len(plan.Steps))])
	}
	return plan
}

func (p *planner) chance(probability float64) bool { return p.rng.Float64() < probability }

func (p *planner) nextEnding(method string) ending {
	all := endings[method]
	end := all[p.ending[method]%len(all)]
	p.ending[method]++
	return end
}

// afterCancelled goes on with a method that is left, or closes the case with
// the cancellation (guide 4.1).
func (p *planner) afterCancelled(plan Plan, method string, offered []string) []Step {
	left := slices.DeleteFunc(slices.Clone(offered), func(m string) bool { return m == method })
	if len(plan.Methods) > 0 || len(left) == 0 {
		plan.Steps[len(plan.Steps)-1].Closes = true
		return plan.Steps
	}
	next := left[p.rng.IntN(len(left))]
	end := endings[next][0]
	switched := p.attempt(next, end)
	switched[0].NewAttempt = hasMethod(plan.Steps, next)
	if p.chance(0.15) {
		// Nobody takes up the other method: the case closes alone.
		return append(plan.Steps, Step{Closes: true})
	}
	return append(plan.Steps, switched...)
}

// unfinished is an attempt that the user gives up for another one.
func (p *planner) unfinished(method string) []Step {
	steps := p.attempt(method, endings[method][0])
	return openPrefix(steps[:1+p.rng.IntN(len(steps))])
}

// openPrefix cuts steps before the first that closes the case or leaves an
// attempt that post processing would finish by itself (preliminary).
func openPrefix(steps []Step) []Step {
	for i, s := range steps {
		if i > 0 && (s.closes() || scr.Classify(s.Method, s.Status, nil, nil).Type == scr.Preliminary) {
			return steps[:i]
		}
	}
	return steps
}

// attempt is one identification from its beginning to end.
func (p *planner) attempt(method string, end ending) []Step {
	last := row(end.row)
	var steps []Step
	add := func(rowID string) { steps = append(steps, p.step(row(rowID))) }
	if !end.offline {
		add(method + ".started")
	}
	if method == scr.MethodBasic && !end.offline {
		add("basic.coupon_requested")
	}
	steps = append(steps, p.troubles(method, last)...)
	if isExpired(last) {
		steps = append(steps, p.step(last))
		return steps
	}
	switch {
	case method == scr.MethodVideo:
		steps = append(steps, p.videoReview(last))
	case method != scr.MethodEID && last.Status != scr.StatusCancelled:
		add(method + ".review_pending")
	}
	return append(steps, p.step(last))
}

// troubles are the incomplete states on the way, each resumed.
func (p *planner) troubles(method string, last modelRow) []Step {
	incomplete := row(method + ".incomplete")
	var steps []Step
	if last.Status == scr.StatusCancelled {
		// Cancelled by the user again and again (900).
		for range 1 + p.rng.IntN(2) {
			steps = append(steps, Step{
				Method: method, Status: scr.StatusIncomplete, SubStatus: new(97), Reason: new(800),
			})
			if len(steps) == 2 {
				steps[1].SubStatus, steps[1].Reason = new(97), new(973)
			}
		}
		return steps
	}
	for range p.rng.IntN(3) {
		// An agent has looked at a photo, and mostly at an autoid, before it is
		// incomplete.
		if method == scr.MethodPhoto || (method == scr.MethodAutoID && p.chance(0.5)) {
			steps = append(steps, p.step(row(method+".review_pending")))
		}
		steps = append(steps, p.step(incomplete))
	}
	return steps
}

// videoReview announces the reason to decline already while the review is
// pending, and now and then one that is cleared later (guide 4.5).
func (p *planner) videoReview(last modelRow) Step {
	s := Step{Method: scr.MethodVideo, Status: scr.StatusReviewPending}
	switch {
	case last.ID == "video.declined.fraud":
		s.SubStatus = new(11)
	case last.ID == "video.declined.abuse":
		s.SubStatus = new(15)
	case p.chance(0.15):
		s.SubStatus = new(11)
	}
	return s
}

// step takes the next pair of codes of r, so that none is left out for long.
func (p *planner) step(r modelRow) Step {
	i, ok := p.pair[r.ID]
	if !ok {
		i = p.rng.IntN(len(r.pairs))
	}
	p.pair[r.ID] = (i + 1) % len(r.pairs)
	pair := r.pairs[i%len(r.pairs)]
	return Step{Method: r.Method, Status: r.Status, SubStatus: pair.subStatus, Reason: pair.reason}
}

func row(id string) modelRow { return model().rows[id] }

// expiredCode is the sub status of an operation whose time is over.
const expiredCode = 12

func isExpired(r modelRow) bool {
	return len(r.SubStatus) == 1 && r.SubStatus[0].Code == expiredCode
}

func hasMethod(steps []Step, method string) bool {
	return slices.ContainsFunc(steps, func(s Step) bool { return s.Method == method })
}

// caseIDAlphabet is that of every sample (facts 2.9).
const caseIDAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

func drawCaseID(rng *rand.Rand) string {
	id := make([]byte, 12)
	for i := range id {
		id[i] = caseIDAlphabet[rng.IntN(len(caseIDAlphabet))]
	}
	return string(id)
}
