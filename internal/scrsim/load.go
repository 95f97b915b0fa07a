package scrsim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"postident-bridge/internal/scr"
)

// Load is a number of cases that start and walk by themselves.
type Load struct {
	// Cases is how many; at least 1.
	Cases int `json:"cases"`
	// Rate is how many start in a second of real time; 0 starts all at once.
	Rate float64 `json:"rate,omitempty"`
	// Seed determines plans and case ids; 0 means Config.Seed. Of several loads
	// with one seed each has a stream of its own.
	Seed uint64 `json:"seed,omitempty"`
	Mix  Mix    `json:"mix,omitzero"`

	Pacing
}

// Mix gives weights; what a map leaves out has weight 0, and an empty map
// weighs everything alike.
type Mix struct {
	Methods map[string]float64              `json:"methods,omitempty"`
	Classes map[scr.RegulatoryClass]float64 `json:"classes,omitempty"`
}

// LoadStatus is how far a load is.
type LoadStatus struct {
	Cases    int `json:"cases"`
	Started  int `json:"started"`
	Finished int `json:"finished"` // at the end of their plans, their last state seen or given up
}

// Status is how far the simulator is.
type Status struct {
	Now          time.Time    `json:"now"`   // simulated
	Cases        int          `json:"cases"` // those of histories apart
	Open         int          `json:"open"`
	Changes      int          `json:"changes"`
	Seen         int          `json:"seen"`
	HooksPending int          `json:"hooksPending"` // waiting or under way, retries included
	Loads        []LoadStatus `json:"loads"`
	// Past is how many cases the histories have, PastSeen how many of them an
	// unfaulted answer has shown.
	Past     int `json:"past"`
	PastSeen int `json:"pastSeen"`
	// Requests counts, by clientId and operation, the requests that came.
	Requests map[string]map[string]int `json:"requests"`
	// Played says that every load is at its end; Done that no webhook is left,
	// either.
	Played bool `json:"played"`
	Done   bool `json:"done"`
}

// walk lets one case step by itself. Guarded by Simulator.mu.
type walk struct {
	pacing   Pacing
	load     *loadRun // nil for a case of POST /cases
	due      time.Time
	index    int // in the heap, -1 outside
	change   int // the last one, as index into truth
	wait     bool
	waiting  bool      // its dwell is over, only the look at it is missing
	keep     time.Time // it was seen, and stays until then
	finished bool
}

// loadRun is a load under way. Guarded by Simulator.mu.
type loadRun struct {
	load     Load
	from     *origin
	begun    time.Time
	wheel    []wheelMethod
	started  int
	finished int
}

// wheelMethod is one method in a smooth weighted round robin: each comes up in
// proportion to its weight, evenly spread even in a short load.
type wheelMethod struct {
	method   string
	weight   float64
	current  float64
	accounts []*account
	shares   []float64 // weights of accounts
}

// StartLoad begins a load; Run plays it. It reports what is wrong with l.
func (s *Simulator) StartLoad(l Load) error {
	if err := l.check(); err != nil {
		return fmt.Errorf("check load: %w", err)
	}
	wheel := s.wheel(l.Mix)
	if len(wheel) == 0 {
		return errors.New("check load: no account offers a method of the mix")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	seed := cmp.Or(l.Seed, s.cfg.Seed)
	s.loads = append(s.loads, &loadRun{
		load: l, from: newOrigin(seed, streamLoad+uint64(len(s.loads))), begun: time.Now(), wheel: wheel,
	})
	s.wakePlayer()
	return nil
}

func (l Load) check() error {
	var errs []error
	if l.Cases < 1 {
		errs = append(errs, errors.New("cases: want at least 1"))
	}
	if !(l.Rate >= 0) || l.Dwell < 0 || l.MaxDwell < 0 {
		errs = append(errs, errors.New("rate, dwell, max dwell: must not be negative"))
	}
	for m, w := range l.Mix.Methods {
		if _, ok := endings[m]; !ok || !(w >= 0) {
			errs = append(errs, fmt.Errorf("mix: method %q with weight %v", m, w))
		}
	}
	for c, w := range l.Mix.Classes {
		if DefaultMethods(c) == nil || !(w >= 0) {
			errs = append(errs, fmt.Errorf("mix: class %q with weight %v", c, w))
		}
	}
	return errors.Join(errs...)
}

func (s *Simulator) wheel(mix Mix) []wheelMethod {
	var wheel []wheelMethod
	for _, method := range []string{
		scr.MethodAutoID, scr.MethodBasic, scr.MethodEID, scr.MethodPhoto, scr.MethodVideo,
	} {
		w := wheelMethod{method: method, weight: 1}
		if len(mix.Methods) > 0 {
			w.weight = mix.Methods[method]
		}
		for _, cfg := range s.cfg.Accounts {
			a := s.accounts[cfg.ClientID]
			share := 1.0
			if len(mix.Classes) > 0 {
				share = mix.Classes[a.Class]
			}
			if share > 0 && slices.Contains(a.Methods, method) {
				w.accounts = append(w.accounts, a)
				w.shares = append(w.shares, share)
			}
		}
		if w.weight > 0 && len(w.accounts) > 0 {
			wheel = append(wheel, w)
		}
	}
	return wheel
}

// spin takes the next method and an account that offers it.
func (l *loadRun) spin() (string, *account) {
	var total float64
	best := 0
	for i := range l.wheel {
		l.wheel[i].current += l.wheel[i].weight
		total += l.wheel[i].weight
		if l.wheel[i].current > l.wheel[best].current {
			best = i
		}
	}
	w := &l.wheel[best]
	w.current -= total
	var sum float64
	for _, share := range w.shares {
		sum += share
	}
	draw := l.from.ids.Float64() * sum
	return w.method, w.accounts[max(0, pick(draw, w.shares)-1)]
}

// Status tells how far the simulator is.
func (s *Simulator) Status() Status {
	pending := s.hooks.pending()
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Status{
		Now: s.clock.now(), Cases: len(s.cases), Changes: len(s.truth), Seen: s.seen, HooksPending: pending,
		Loads: make([]LoadStatus, 0, len(s.loads)), Played: true, Requests: make(map[string]map[string]int),
	}
	for id, a := range s.accounts {
		if len(a.requests.counts) > 0 {
			st.Requests[id] = maps.Clone(a.requests.counts)
		}
	}
	for _, h := range s.histories {
		st.Past += h.Cases
		st.PastSeen += h.seen.size()
	}
	for _, c := range s.cases {
		if c.status != scr.CaseClosed {
			st.Open++
		}
	}
	for _, l := range s.loads {
		st.Loads = append(st.Loads, LoadStatus{Cases: l.load.Cases, Started: l.started, Finished: l.finished})
		st.Played = st.Played && l.finished == l.load.Cases
	}
	st.Done = st.Played && pending == 0
	return st
}

// playLoop plays what is due until ctx ends.
func (s *Simulator) playLoop(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		case <-timer.C:
		}
		next, found := s.play(ctx, time.Now())
		if found {
			timer.Reset(time.Until(next))
		}
	}
}

// wakePlayer makes playLoop look again.
func (s *Simulator) wakePlayer() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// play does everything that is due by now, one case at a time so that reads
// come in between, and returns when the next thing is due, if anything is.
func (s *Simulator) play(ctx context.Context, now time.Time) (time.Time, bool) {
	for ctx.Err() == nil {
		if next, found, done := s.playOne(now); done {
			return next, found
		}
	}
	return time.Time{}, false
}

func (s *Simulator) playOne(now time.Time) (next time.Time, found, done bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.loads {
		if l.started == l.load.Cases {
			continue
		}
		due := l.due()
		if !due.After(now) {
			s.startOne(l, due)
			return time.Time{}, false, false
		}
		if !found || due.Before(next) {
			next, found = due, true
		}
	}
	if len(s.walks) > 0 {
		c := s.walks[0]
		if !c.walk.due.After(now) {
			s.walkOn(c, now)
			return time.Time{}, false, false
		}
		if !found || c.walk.due.Before(next) {
			next, found = c.walk.due, true
		}
	}
	return next, found, true
}

// due is when the next case of the load starts.
func (l *loadRun) due() time.Time {
	if l.load.Rate == 0 {
		return l.begun
	}
	return l.begun.Add(time.Duration(float64(l.started) / l.load.Rate * float64(time.Second)))
}

func (s *Simulator) startOne(l *loadRun, now time.Time) {
	l.started++
	method, acct := l.spin()
	c := s.add(acct, l.from, l.from.planner.draw(method, acct.Methods), "", nil)
	s.letWalk(c, l, l.load.Pacing, now)
}

// letWalk puts a case among those that walk by themselves.
func (s *Simulator) letWalk(c *simCase, l *loadRun, p Pacing, now time.Time) {
	setDefault(&p.MaxDwell, Duration(defaultMaxDwell))
	c.walk = &walk{pacing: p, load: l, index: -1, change: -1, due: now.Add(s.dwell(p))}
	s.walks.add(c)
}

// dwell draws how long a state lasts. s.mu is held.
func (s *Simulator) dwell(p Pacing) time.Duration {
	return time.Duration(float64(p.Dwell) * (0.5 + s.rng.Float64()))
}

// walkOn moves a case whose time has come: on to the look that is still
// missing, to the next step, or to its end.
func (s *Simulator) walkOn(c *simCase, now time.Time) {
	w := c.walk
	switch {
	case w.wait && !w.waiting && !s.truth[w.change].Seen:
		w.waiting = true
		s.walks.reschedule(c, now.Add(time.Duration(w.pacing.MaxDwell)))
	case w.wait && now.Before(w.keep):
		s.walks.reschedule(c, w.keep)
	case c.atEnd():
		s.walks.drop(c)
		w.finish(c)
	default:
		a := s.advance(c)
		w.change, w.waiting, w.keep = a.Index, false, time.Time{}
		w.wait = w.pacing.UntilSeen && a.Hooked
		s.walks.reschedule(c, now.Add(s.dwell(w.pacing)))
	}
}

// finish counts the case as finished, once. It leaves the heap to the caller.
func (w *walk) finish(c *simCase) {
	if w.finished {
		return
	}
	w.finished = true
	w.waiting = false
	c.next = len(c.plan.Steps)
	if w.load != nil {
		w.load.finished++
	}
}

// sweepEvery is how often the clock is asked whether it ends a case, in real
// time.
const sweepEvery = time.Second

func (s *Simulator) sweepLoop(ctx context.Context) {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			s.sweep(s.clock.now())
		}
	}
}

// sweep closes the open cases whose validity is over and deletes the cases
// whose retention is, at the simulated time now.
func (s *Simulator) sweep(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, cfg := range s.cfg.Accounts {
		a := s.accounts[cfg.ClientID]
		for _, c := range slices.Clone(a.cases) {
			if c.given == nil && now.After(c.created.Add(time.Duration(a.Retention))) {
				s.remove(c)
				continue
			}
			if c.status != scr.CaseClosed && now.After(c.validUntil) {
				s.step(c, c.expiry())
				c.next = len(c.plan.Steps)
			}
		}
	}
}
