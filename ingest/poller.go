package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/metric"

	"postident-bridge/internal/membership"
	"postident-bridge/internal/producer"
	"postident-bridge/internal/right"
	"postident-bridge/internal/scr"
	"postident-bridge/schemas"
)

// PollAccount is one account whose lists are swept.
type PollAccount struct {
	ClientID string
	// List reads one list and tells its entries in the answer's order, with the
	// errors that scr.Client.Cases has.
	List func(ctx context.Context, f scr.Filter, each func(scr.Listed)) (scr.Page, error)
}

// PollerConfig is what NewPoller needs.
type PollerConfig struct {
	Kafka    []kgo.Opt // brokers, TLS, SASL: of all clients that the poller makes
	Inbox    string    // topic
	Cursor   string    // topic
	Group    string    // the consumer group that shares the accounts out
	Accounts []PollAccount
	Plan     SweepPlan
	Logger   *slog.Logger     // nil means silence
	Meter    metric.Meter     // nil means none
	Now      func() time.Time // nil means time.Now

	jitter  func() float64 // in [0, 1); nil means a random one
	timings pollTimings    // zero means those of production
}

// pollTimings are what tests shorten.
type pollTimings struct {
	session   time.Duration // after which a dead process is noticed
	heartbeat time.Duration
	confirm   time.Duration // between two looks at Kafka, for readiness
	stop      time.Duration // the longest wait for a sweep that is to end
}

func defaultPollTimings() pollTimings {
	return pollTimings{session: 10 * time.Second, heartbeat: time.Second, confirm: 2 * time.Second, stop: 3 * time.Second}
}

// Poller reads the lists of accounts and writes what they show to the inbox, so
// that nothing is missed though no webhook came (design P4). The consumer group
// shares the accounts out: whoever is assigned the partition of the cursor topic
// where an account's cursor stands sweeps it, with one request under way at a
// time.
//
// It writes no transaction. The triggers of an answer are acknowledged before the
// cursor moves, so a crash has lists read again; so does the older cursor of a
// process that slept. Before each request the group is asked whether this process
// still counts: one that was put to sleep between the two sends one more.
type Poller struct {
	cfg      PollerConfig
	metrics  *pollMetrics
	sweepers map[string]*sweeper               // by clientId; set by NewPoller
	producer atomic.Pointer[producer.Producer] // nil until Run

	mu        sync.Mutex
	group     *kgo.Client   // guarded by mu
	running   []*ownedSweep // guarded by mu
	leaving   bool          // guarded by mu
	joined    bool          // guarded by mu
	confirmed time.Time     // guarded by mu: when Kafka last said that this process counts
	problem   error         // guarded by mu: of the last time that it did not
	unjoined  error         // guarded by mu: why the last session with the group ended, nil when joined
}

// ownedSweep is an account's sweeper at work for one assignment.
type ownedSweep struct {
	partition int32
	cancel    context.CancelFunc
	done      chan struct{}
}

// NewPoller checks the configuration, reports every mistake at once, and starts
// nothing.
func NewPoller(cfg PollerConfig) (*Poller, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.jitter == nil {
		cfg.jitter = rand.Float64
	}
	if cfg.timings == (pollTimings{}) {
		cfg.timings = defaultPollTimings()
	}
	p := &Poller{cfg: cfg, sweepers: make(map[string]*sweeper)}
	var errs []error
	if cfg.Inbox == "" || cfg.Cursor == "" || cfg.Group == "" {
		errs = append(errs, errors.New("the name of a topic or of the group is missing"))
	}
	if err := cfg.Plan.check(); err != nil {
		errs = append(errs, err)
	}
	for _, a := range cfg.Accounts {
		if a.List == nil {
			errs = append(errs, fmt.Errorf("account %s: no reader of lists", a.ClientID))
		}
		if p.sweepers[a.ClientID] != nil {
			errs = append(errs, fmt.Errorf("account %s: given twice", a.ClientID))
		}
		p.sweepers[a.ClientID] = newSweeper(p, a)
	}
	var err error
	if p.metrics, err = newPollMetrics(cfg.Meter, p); err != nil {
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("check poller configuration: %w", err)
	}
	return p, nil
}

// check reports what no plan can have.
func (p SweepPlan) check() error {
	var errs []error
	for _, d := range []struct {
		name string
		d    time.Duration
	}{{"closed", p.Closed}, {"open", p.Open}, {"reconcile", p.Reconcile}, {"overlap", p.Overlap}} {
		if d.d < 0 {
			errs = append(errs, fmt.Errorf("sweep plan: %s must not be negative, is %v", d.name, d.d))
		}
	}
	if p.Past < time.Minute {
		errs = append(errs, fmt.Errorf("sweep plan: past must be a minute at least, is %v", p.Past))
	}
	return errors.Join(errs...)
}

// Run sweeps until ctx ends, and then gives its accounts back at once. It returns
// nil after a stop that was asked for.
func (p *Poller) Run(ctx context.Context) error {
	client, err := kgo.NewClient(append(p.base(), ProducerOpts()...)...)
	if err != nil {
		return fmt.Errorf("make producer of the poller: %w", err)
	}
	defer p.closeBounded(client.Close)
	if err := checkProducer(client); err != nil {
		return fmt.Errorf("check producer of the poller: %w", err)
	}
	// Both write by one client, which outlives a refusal: the poller goes on when a right
	// that it lacked is granted.
	shared := producer.New(client, p.cfg.Inbox, p.cfg.Logger)
	defer p.closeBounded(shared.Close)
	p.producer.Store(shared)
	inbox := newInbox(shared, p.cfg.Inbox)
	cursors := newCursors(shared, p.cfg.Kafka, p.cfg.Cursor, p.cfg.Logger)
	for _, s := range p.sweepers {
		s.inbox, s.cursors = inbox, cursors
	}
	partitions, err := p.awaitCursorTopic(ctx, client)
	if err != nil {
		return nil // ctx has ended
	}
	if err := p.joinGroup(partitions); err != nil {
		return err
	}
	for pause(ctx, p.cfg.timings.confirm) == nil {
		p.confirm(ctx)
	}
	p.leaveGroup(context.WithoutCancel(ctx))
	return nil
}

// awaitCursorTopic waits until the cursor topic can be seen; its error is the end
// of ctx.
func (p *Poller) awaitCursorTopic(ctx context.Context, client *kgo.Client) (partitions int, err error) {
	for {
		if partitions, err = partitionsOf(ctx, client, p.cfg.Cursor); err == nil {
			return partitions, nil
		}
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		p.note(err)
		p.cfg.Logger.WarnContext(ctx, "topics not available", slog.Any("error", err))
		if pause(ctx, p.cfg.timings.confirm) != nil {
			return 0, ctx.Err()
		}
	}
}

// joinGroup joins with a client that fetches nothing and is never polled: it
// heartbeats and runs its callbacks all the same.
func (p *Poller) joinGroup(partitions int) error {
	opts := append(p.base(),
		kgo.ConsumerGroup(p.cfg.Group),
		kgo.ConsumeTopics(p.cfg.Cursor),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.SessionTimeout(p.cfg.timings.session),
		kgo.HeartbeatInterval(p.cfg.timings.heartbeat),
		kgo.RebalanceTimeout(p.cfg.timings.session+5*time.Second),
		kgo.DisableAutoCommit(),
		kgo.OnPartitionsAssigned(func(ctx context.Context, _ *kgo.Client, topics map[string][]int32) {
			p.assigned(ctx, topics[p.cfg.Cursor], partitions)
		}),
		kgo.OnPartitionsRevoked(func(ctx context.Context, _ *kgo.Client, topics map[string][]int32) {
			p.release(ctx, topics[p.cfg.Cursor])
		}),
		kgo.OnPartitionsLost(func(ctx context.Context, _ *kgo.Client, topics map[string][]int32) {
			p.lost(ctx, topics[p.cfg.Cursor])
		}),
		kgo.WithHooks(pollGroupHook{p}),
	)
	// The callbacks wait for mu, and so find the client in place.
	p.mu.Lock()
	defer p.mu.Unlock()
	group, err := kgo.NewClient(opts...)
	if err != nil {
		return fmt.Errorf("make group client of the poller: %w", err)
	}
	group.PauseFetchTopics(p.cfg.Cursor)
	p.group = group
	return nil
}

// pollGroupHook hears of errors that end a session with the group.
type pollGroupHook struct{ p *Poller }

// OnGroupManageError says once what keeps the client from the group. It goes on
// trying.
func (h pollGroupHook) OnGroupManageError(err error) {
	p := h.p
	err = right.Missing(err, right.OnGroup(right.Read, p.cfg.Group), right.OnTopic(right.Read, p.cfg.Cursor))
	p.mu.Lock()
	news := p.unjoined == nil || p.unjoined.Error() != err.Error()
	p.joined, p.unjoined = false, err
	p.mu.Unlock()
	if news {
		p.cfg.Logger.WarnContext(context.Background(), "consumer group not joined", slog.Any("error", err))
	}
}

// assigned starts the sweepers of the accounts whose cursors stand in the
// partitions. It only starts them: the group waits for it.
func (p *Poller) assigned(session context.Context, assigned []int32, partitions int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.joined, p.confirmed, p.problem, p.unjoined = true, p.cfg.Now(), nil, nil
	if p.leaving {
		return // the group gives it to another as soon as we have left
	}
	for clientID, s := range p.sweepers {
		partition := partitionOf(schemas.LiveCursorKey(clientID), partitions)
		for _, got := range assigned {
			if got != partition {
				continue
			}
			ctx, cancel := context.WithCancel(context.WithoutCancel(session))
			o := &ownedSweep{partition: partition, cancel: cancel, done: make(chan struct{})}
			p.running = append(p.running, o)
			go func() {
				defer close(o.done)
				defer cancel()
				s.run(ctx)
			}()
		}
	}
}

// release ends the sweepers of partitions and waits for them, bounded: nothing of
// theirs can do harm later.
func (p *Poller) release(ctx context.Context, partitions []int32) {
	ending := p.end(partitions)
	ctx, cancel := context.WithTimeout(ctx, p.cfg.timings.stop)
	defer cancel()
	for _, o := range ending {
		select {
		case <-o.done:
		case <-ctx.Done():
			return
		}
	}
}

func (p *Poller) lost(_ context.Context, partitions []int32) {
	p.end(partitions)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.joined = false
}

// end cancels the sweepers of partitions.
func (p *Poller) end(partitions []int32) (ending []*ownedSweep) {
	p.mu.Lock()
	defer p.mu.Unlock()
	kept := p.running[:0:0]
	for _, o := range p.running {
		gone := false
		for _, partition := range partitions {
			gone = gone || o.partition == partition
		}
		if gone {
			o.cancel()
			ending = append(ending, o)
			continue
		}
		kept = append(kept, o)
	}
	p.running = kept
	return ending
}

// leaveGroup ends the sweepers and gives the accounts back at once, instead of
// after the session time-out.
func (p *Poller) leaveGroup(ctx context.Context) {
	p.mu.Lock()
	p.leaving = true
	var partitions []int32
	for _, o := range p.running {
		partitions = append(partitions, o.partition)
	}
	group := p.group
	p.mu.Unlock()
	p.release(ctx, partitions)
	p.closeBounded(group.CloseAllowingRebalance)
}

// counts asks the group whether this process still counts.
//
// Crash point "confirm": nothing has been sent yet.
func (p *Poller) counts(ctx context.Context) error {
	p.mu.Lock()
	group := p.group
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, p.cfg.timings.session)
	defer cancel()
	return membership.Confirm(ctx, group, p.cfg.Group, "")
}

func (p *Poller) confirm(ctx context.Context) {
	if err := p.counts(ctx); ctx.Err() == nil {
		p.note(err)
	}
}

// note remembers what Kafka said of this process.
func (p *Poller) note(problem error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.problem = problem
	if problem == nil {
		p.confirmed = p.cfg.Now()
	}
}

// pollUnreachable is how long Kafka may be silent until the role is not ready.
const pollUnreachable = 6 * time.Second

// Ready returns nil when the poll role does its work: Kafka is reached, gives a
// producer id to who asks for one, and the group counts this process among its
// members (design P10). The API, an account and the age of a sweep play no part in
// it.
func (p *Poller) Ready(context.Context) error {
	if shared := p.producer.Load(); shared != nil {
		if err := shared.Refused(); err != nil {
			return err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.unjoined != nil:
		return fmt.Errorf("consumer group not joined: %w", p.unjoined)
	case p.problem != nil && p.cfg.Now().Sub(p.confirmed) > pollUnreachable:
		return fmt.Errorf("kafka not reached: %w", p.problem)
	case p.confirmed.IsZero() || !p.joined:
		return cmp.Or(p.problem, errors.New("consumer group not joined yet"))
	}
	return nil
}

func (p *Poller) base() []kgo.Opt { return append([]kgo.Opt(nil), p.cfg.Kafka...) }

// closeBounded closes something of clients without waiting for a broker that does
// not answer. One that is in the group leaves it.
//
// Crash point "leave poll": without the farewell the group waits for the session
// time-out.
func (p *Poller) closeBounded(closing func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		closing()
	}()
	timer := time.NewTimer(p.cfg.timings.stop)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}
