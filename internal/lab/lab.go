package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"postident-bridge/internal/audit"
)

// Config says what to do to the bridges.
type Config struct {
	World WorldConfig
	// Faults is how many befall them; Kinds restricts them, nil means all.
	Faults int
	Kinds  []Kind
	// Rounds are a plan of one's own, in the place of a drawn one.
	Rounds []Round
	// Window is how many cases walk in the closed loop, Free how many start in a
	// second besides.
	Window int
	Free   float64
	// Keep keeps topics and logs of a clean run too.
	Keep bool
	// Out gets the progress.
	Out io.Writer
}

// Plan is the faults that are to befall the bridges.
func (c Config) Plan() ([]Round, error) {
	if len(c.Rounds) > 0 {
		return c.Rounds, nil
	}
	return NewPlan(PlanOptions{
		Seed: c.World.Seed, Faults: c.Faults, Brokers: c.World.Brokers, Processes: c.World.Processes, Accounts: accounts, Kinds: c.Kinds,
	})
}

// Summary is what came of a run.
type Summary struct {
	Seed      uint64        `json:"seed"`
	Brokers   int           `json:"brokers"`
	Processes int           `json:"processes"`
	Faults    int           `json:"faults"`
	Tried     map[Kind]int  `json:"tried"`
	Took      time.Duration `json:"took"`
	Cases     int           `json:"cases"`
	Hooks     int           `json:"hooks"`         // answered 200
	Searched  int64         `json:"searchedBytes"` // for canaries and secrets
	Resent    int           `json:"resent"`
	Changes   int           `json:"changes"`
	Events    int           `json:"events"`
	Results   int           `json:"results"`
	// References count records that events name, Late events that brought records
	// later, Objects those in the store, Orphans those that no event names.
	References int      `json:"references"`
	Late       int      `json:"late"`
	Objects    int      `json:"objects"`
	Orphans    int      `json:"orphans"`
	Verdict    string   `json:"verdict"`
	Findings   []string `json:"findings,omitempty"`
}

// Clean reports whether nothing is wrong.
func (s *Summary) Clean() bool { return len(s.Findings) == 0 }

// run is a run of the lab under way.
type run struct {
	cfg   Config
	world *world
	load  *load
	begun time.Time

	mu      sync.Mutex
	summary Summary // guarded by mu
}

// Run builds a world, lets the faults befall it, and judges what was published.
// An error means that the run itself failed and nothing was judged.
func Run(ctx context.Context, cfg Config) (Summary, error) {
	r := &run{cfg: cfg, begun: time.Now(), world: &world{cfg: cfg.World}}
	r.summary = Summary{
		Seed: cfg.World.Seed, Brokers: cfg.World.Brokers, Processes: cfg.World.Processes, Tried: make(map[Kind]int),
	}
	err := r.play(ctx)
	failed := err != nil || !r.summary.Clean()
	if (failed || cfg.Keep) && ctx.Err() == nil {
		err = errors.Join(err, r.keep(ctx))
	}
	err = errors.Join(err, r.world.close(ctx))
	r.summary.Took = time.Since(r.begun).Round(time.Second)
	err = errors.Join(err, r.write())
	if !failed && err == nil && !cfg.Keep {
		err = r.discard()
	}
	return r.summary, err
}

// discard removes what only a failure would need.
func (r *run) discard() error {
	return errors.Join(os.RemoveAll(r.world.kept()), os.Remove(r.world.binary))
}

func (r *run) say(format string, args ...any) {
	at := time.Since(r.begun).Round(100 * time.Millisecond)
	// Who cannot be told is not told.
	_, _ = fmt.Fprintf(r.cfg.Out, "%8s  %s\n", at, fmt.Sprintf(format, args...))
}

func (r *run) play(ctx context.Context) error {
	w := r.world
	rounds, err := r.cfg.Plan()
	if err != nil {
		return err
	}
	r.say("building: %d brokers, a registry, a store, %d bridges", w.cfg.Brokers, w.cfg.Processes)
	l := &load{window: r.cfg.Window, dwell: loopDwell, free: r.cfg.Free}
	if err := w.begin(ctx, l); err != nil {
		return err
	}
	r.load = l
	defer r.load.close()
	// The schema is known from here on: the registry may go away.
	if err := await(ctx, time.Minute, r.flowing); err != nil {
		return err
	}
	r.say("events flow; the faults of seed %d follow", w.cfg.Seed)
	n := &nemesis{world: w, began: r.began, healed: func(Fault) {}}
	if err := n.run(ctx, rounds); err != nil {
		return err
	}
	return r.conclude(ctx)
}

// accounts is how many the simulator's example has.
const accounts = 5

// loopDwell is between an event and the next step of its case.
const loopDwell = 400 * time.Millisecond

func (r *run) flowing() error {
	p, err := r.load.progress()
	if err == nil && p.Published < 10 {
		err = fmt.Errorf("only %d events", p.Published)
	}
	return err
}

func (r *run) began(f Fault) {
	p, err := r.load.progress()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.summary.Faults++
	r.summary.Tried[f.Kind]++
	r.say("fault %3d  %-13s target %d, way %d, %6s  %d events, %d awaited", f.Number, f.Kind, f.Target, f.Variant, f.Lasts, p.Published, p.Awaited)
	if err != nil {
		r.say("load: %v", err)
	}
}

// conclude waits for what is to come, and judges.
func (r *run) conclude(ctx context.Context) error {
	w := r.world
	r.say("all faults are healed, the load stops")
	if err := w.settle(ctx, r.load, r.say); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r.find("not settled: " + err.Error())
	}
	metrics, err := w.scrape(ctx)
	if err != nil {
		r.find(err.Error())
	}
	if err := w.stopAll(); err != nil {
		r.find(err.Error())
	}
	crashes, err := w.crashes()
	if err != nil {
		return err
	}
	r.find(crashes...)
	evidence, err := w.evidence(ctx, r.load, metrics)
	if err != nil {
		return err
	}
	dump, err := audit.TakeDump(ctx, w.opts(), topicPrefix)
	if err != nil {
		return err
	}
	evidence.Dump = &dump
	verdict, err := audit.Judge(ctx, evidence)
	if err != nil {
		return err
	}
	for _, finding := range verdict.Findings {
		r.find(finding.String())
	}
	p, err := r.load.progress()
	if err != nil {
		r.find(err.Error())
	}
	s := &r.summary
	s.Changes, s.Events, s.Cases, s.Resent = verdict.Changes, verdict.Events, w.sim.Status().Cases, p.Resent
	s.Results, s.References, s.Late, s.Objects, s.Orphans = verdict.Results, verdict.References, verdict.Completed, verdict.Objects, verdict.Orphans
	s.Hooks, s.Searched, s.Verdict = verdict.Accepted, verdict.Searched, verdict.String()
	return nil
}

func (r *run) find(findings ...string) { r.summary.Findings = append(r.summary.Findings, findings...) }

// keep writes everything down that a post-mortem or another verdict needs.
func (r *run) keep(ctx context.Context) error {
	if r.load == nil {
		return nil
	}
	evidence, err := r.world.evidence(ctx, r.load, []byte("none: the run failed"))
	if err != nil {
		return err
	}
	return evidence.Save(ctx, r.world.kept())
}

func (r *run) write() error {
	body, err := json.MarshalIndent(&r.summary, "", "  ")
	if err != nil {
		return fmt.Errorf("write summary: %w", err)
	}
	if err := os.WriteFile(filepath.Join(r.cfg.World.Dir, "summary.json"), append(body, '\n'), 0o600); err != nil {
		return fmt.Errorf("write summary: %w", err)
	}
	return nil
}
