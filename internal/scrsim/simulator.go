package scrsim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Simulator is a simulated SCR-Ident API. It is safe for concurrent use.
type Simulator struct {
	cfg      Config
	clock    clock
	accounts map[string]*account // by clientId, immutable
	hooks    *hookQueue
	keys     keyCache
	handler  http.Handler
	wake     chan struct{} // tells the player that something may be due earlier
	running  chan struct{} // holds a token while Run runs

	mu     sync.Mutex // guards everything below and the cases
	cases  map[string]*simCase
	serial int // of the last case
	truth  []Change
	traces []trace // of truth, by the same index
	seen   int     // how many of truth are
	faults Faults
	rng    *rand.Rand // faults and dwells; plans and ids have streams of their own
	manual *origin    // draws for cases that no load starts
	loads  []*loadRun
	walks  walkHeap

	histories []*history
}

// account is an Account with its cases.
type account struct {
	Account

	seed uint64 // of the content of records

	// Guarded by Simulator.mu:
	cases      []*simCase          // visible ones, by creation
	references map[string]struct{} // taken referenceIds
	turn       int                 // next of Methods, for plans drawn for this account
	histories  []*history
	requests   requestLog
	gone       []view // of deleted cases: those that had records
}

// origin draws cases from one stream of the seed.
type origin struct {
	ids     *rand.Rand
	planner *planner
}

// Streams of the seed. Each load has a stream of its own after streamLoad.
const (
	streamFault uint64 = iota
	streamManual
	streamLoad
)

func newOrigin(seed, stream uint64) *origin {
	return &origin{
		ids:     newRand(seed, stream<<1),
		planner: newPlanner(newRand(seed, stream<<1|1)),
	}
}

// newRand is reproducible, and secures nothing.
func newRand(seed, stream uint64) *rand.Rand {
	return rand.New(rand.NewPCG(seed, stream)) //nolint:gosec // as said
}

// New checks cfg, reporting every mistake at once, and starts the clock.
func New(cfg Config) (*Simulator, error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("check config: %w", err)
	}
	now := time.Now()
	start := cfg.Start
	if start.IsZero() {
		start = now
	}
	s := &Simulator{
		cfg:      cfg,
		clock:    newClock(now, start.Round(0), cfg.TimeScale),
		accounts: make(map[string]*account, len(cfg.Accounts)),
		wake:     make(chan struct{}, 1),
		running:  make(chan struct{}, 1),
		cases:    make(map[string]*simCase),
		rng:      newRand(cfg.Seed, streamFault<<1),
		manual:   newOrigin(cfg.Seed, streamManual),
	}
	for _, a := range cfg.Accounts {
		s.accounts[a.ClientID] = &account{Account: a, seed: cfg.Seed, references: make(map[string]struct{})}
	}
	s.hooks = newHookQueue(s.clock, cfg.HookTransport, cfg.HookConcurrency)
	s.handler = s.routes()
	return s, nil
}

// Handler serves the API under /api/scr/v1/ and the control API under /sim/v1/.
// The cut fault ends in a panic with http.ErrAbortHandler, which a server turns
// into a broken connection.
func (s *Simulator) Handler() http.Handler { return s.handler }

// Now is the simulated time.
func (s *Simulator) Now() time.Time { return s.clock.now() }

// SetSkew lets the clock be wrong by d, until the next call, as a clock that is
// set by hand or by a bad source. Timestamps, windows, ends of cases and the
// Date header follow it. A case's own stamps never go back: each change is still
// newer than the one before.
func (s *Simulator) SetSkew(d time.Duration) { s.clock.skew.Store(int64(d)) }

// Run delivers webhooks, plays loads and lets time end and delete cases, until
// ctx ends; then it returns nil. Without it webhooks queue up and nothing moves
// but by Advance. A second Run at the same time is an error.
func (s *Simulator) Run(ctx context.Context) error {
	select {
	case s.running <- struct{}{}:
		defer func() { <-s.running }()
	default:
		return errors.New("simulator runs already")
	}
	var wg sync.WaitGroup
	wg.Go(func() { s.hooks.run(ctx) })
	wg.Go(func() { s.sweepLoop(ctx) })
	wg.Go(func() { s.playLoop(ctx) })
	wg.Wait()
	return nil
}

// Errors of Create, Advance and Remove.
var (
	ErrNoAccount = errors.New("no such account")
	ErrNoCase    = errors.New("no such case")
	ErrTaken     = errors.New("case id is taken")
	ErrWalking   = errors.New("case walks by itself")
	ErrAtEnd     = errors.New("case is at the end of its plan")
)

// NewCase asks for a case that a test advances by hand. Its zero value, but for
// ClientID, draws everything from the seed.
type NewCase struct {
	ClientID string `json:"clientId"`
	// Plan is drawn from the seed when nil; Method chooses what its main attempt
	// uses, "" taking the account's in turn.
	Plan   *Plan  `json:"plan,omitempty"`
	Method string `json:"method,omitempty"`
	// CaseID must be free: an id is only used again after Remove (facts 2.8). ""
	// draws one.
	CaseID string `json:"caseId,omitempty"`
	// Answer is a whole case, as GET /cases/{caseId} has it, in the place of all that
	// the simulator makes up: closed, with one identification under primaryIdent, and
	// records without content. It says the caseId itself, and the plan is one step, at
	// which the case appears as it is, with the times that stand in it: so it is
	// deleted by Remove only. Records have content as those of any case; of the
	// switches of Wire only Forbidden concerns it, for images.
	Answer json.RawMessage `json:"answer,omitempty"`
}

// CaseInfo tells where a case stands in its plan.
type CaseInfo struct {
	ClientID    string `json:"clientId"`
	CaseID      string `json:"caseId"`
	ReferenceID string `json:"referenceId"`
	Plan        Plan   `json:"plan"`
	// Next is the index of the step to come; AtEnd says that there is none.
	Next   int    `json:"next"`
	AtEnd  bool   `json:"atEnd"`
	Status string `json:"status"` // of the case
}

// Advanced is what one step has done.
type Advanced struct {
	Change Change `json:"change"`
	// Index is that of the change in Truth.
	Index int `json:"index"`
	// Hooked says that a webhook was due for it, a lost one included.
	Hooked bool `json:"hooked"`
	// AtEnd says that it was the last step of the plan.
	AtEnd bool `json:"atEnd"`
}

// Create makes a case in status `new`, to be walked by Advance. A Basic Offline
// case is not visible before its first step.
func (s *Simulator) Create(n NewCase) (CaseInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	acct, ok := s.accounts[n.ClientID]
	if !ok {
		return CaseInfo{}, fmt.Errorf("create case: %w", ErrNoAccount)
	}
	if n.Answer != nil {
		return s.createGiven(acct, n)
	}
	if s.isTaken(n.CaseID) {
		return CaseInfo{}, fmt.Errorf("create case: %w", ErrTaken)
	}
	if n.CaseID != "" && !caseIDPattern.MatchString(n.CaseID) {
		return CaseInfo{}, fmt.Errorf("create case: case id %q is not 12 of A-Z and 0-9", n.CaseID)
	}
	var plan Plan
	switch {
	case n.Plan != nil:
		plan = Plan{Offline: n.Plan.Offline, Methods: slices.Clone(n.Plan.Methods), Steps: slices.Clone(n.Plan.Steps)}
		if err := plan.check(); err != nil {
			return CaseInfo{}, fmt.Errorf("create case: %w", err)
		}
	case n.Method != "" && !slices.Contains(acct.Methods, n.Method):
		return CaseInfo{}, fmt.Errorf("create case: account does not offer method %q", n.Method)
	case n.Method != "":
		plan = s.manual.planner.draw(n.Method, acct.Methods)
	default:
		plan = s.manual.planner.draw(acct.nextMethod(), acct.Methods)
	}
	c := s.add(acct, s.manual, plan, n.CaseID, nil)
	return c.info(), nil
}

// createGiven is Create of a case with an Answer. s.mu is held.
func (s *Simulator) createGiven(acct *account, n NewCase) (CaseInfo, error) {
	if n.Plan != nil || n.Method != "" || n.CaseID != "" {
		return CaseInfo{}, errors.New("create case: an answer says plan, method and case id itself")
	}
	g, err := parseGiven(n.Answer)
	if err != nil {
		return CaseInfo{}, fmt.Errorf("create case: %w", err)
	}
	if s.isTaken(g.parsed.CaseID) {
		return CaseInfo{}, fmt.Errorf("create case: %w", ErrTaken)
	}
	c := s.add(acct, s.manual, g.plan(), g.parsed.CaseID, &startRequest{
		reference: g.parsed.ReferenceID, hookURL: acct.Webhook.URL, partnerURL: acct.Webhook.PartnerURL,
	})
	c.given = g
	return c.info(), nil
}

// nextMethod takes the account's methods in turn.
func (a *account) nextMethod() string {
	m := a.Methods[a.turn%len(a.Methods)]
	a.turn++
	return m
}

// Advance takes the next step of a case that was made by Create, or by POST
// /cases without Config.Walk. ErrAtEnd says that there is none left.
func (s *Simulator) Advance(caseID string) (Advanced, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.cases[caseID]
	switch {
	case !ok:
		return Advanced{}, fmt.Errorf("advance case: %w", ErrNoCase)
	case c.walk != nil:
		return Advanced{}, fmt.Errorf("advance case: %w", ErrWalking)
	case c.atEnd():
		return Advanced{}, fmt.Errorf("advance case: %w", ErrAtEnd)
	}
	return s.advance(c), nil
}

// Case tells where a case stands, a Basic Offline case before its first step
// included.
func (s *Simulator) Case(caseID string) (CaseInfo, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.cases[caseID]
	if !ok {
		return CaseInfo{}, fmt.Errorf("find case: %w", ErrNoCase)
	}
	return c.info(), nil
}

// Remove deletes a case as the source does in the end (guide 7.6); its id may
// then be used again. Truth keeps what happened.
func (s *Simulator) Remove(caseID string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.cases[caseID]
	if !ok {
		return fmt.Errorf("remove case: %w", ErrNoCase)
	}
	s.remove(c)
	return nil
}

// SetFaults replaces the faults. Faults that cannot be are an error, and change
// nothing.
func (s *Simulator) SetFaults(f Faults) error {
	if err := f.check(); err != nil {
		return fmt.Errorf("check faults: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = f.clone()
	return nil
}

// Faults returns the faults that are switched on.
func (s *Simulator) Faults() Faults {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.faults.clone()
}

func (c *simCase) atEnd() bool { return c.next >= len(c.plan.Steps) }

func (c *simCase) info() CaseInfo {
	return CaseInfo{
		ClientID: c.acct.ClientID, CaseID: c.id, ReferenceID: c.reference, Plan: c.plan,
		Next: c.next, AtEnd: c.atEnd(), Status: c.status,
	}
}
