package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/schemas"
)

// RecoveryConfig says how often to take a bridge away.
type RecoveryConfig struct {
	World WorldConfig
	// Kills is how many bridges are killed, one at a time, and Stops how many are
	// stopped in good order after that.
	Kills, Stops int
	// Window is how many cases walk at a time.
	Window int
	// Out gets the progress.
	Out io.Writer
}

// Bars of the recovery.
const (
	killBar     = 12 * time.Second // of the 99th percentile; 10 s are the session time-out
	gracefulBar = time.Second
)

// Recovery is how long it took until every partition that a bridge had owned was
// worked on again.
type Recovery struct {
	Brokers   int             `json:"brokers"`
	Processes int             `json:"processes"`
	Kills     []time.Duration `json:"kills"`
	Stops     []time.Duration `json:"stops"`
}

// Met reports whether the bars are.
func (r *Recovery) Met() bool {
	return len(r.Kills) > 0 && len(r.Stops) > 0 && quantile(r.Kills, 0.99) <= killBar && quantile(r.Stops, 0.99) <= gracefulBar
}

// Print writes the figures for people.
func (r *Recovery) Print(out io.Writer) {
	var b strings.Builder
	fmt.Fprintf(&b, "\nfrom the end of a bridge to events of all its partitions, %d brokers, %d bridges\n", r.Brokers, r.Processes)
	fmt.Fprintf(&b, "%-10s %5s %8s %8s %8s %8s\n", "", "n", "p50", "p99", "max", "bar")
	row := func(name string, of []time.Duration, bar time.Duration) {
		fmt.Fprintf(&b, "%-10s %5d %8s %8s %8s %8s\n", name, len(of), quantile(of, 0.5), quantile(of, 0.99), quantile(of, 1), bar)
	}
	row("kill -9", r.Kills, killBar)
	row("graceful", r.Stops, gracefulBar)
	if r.Met() {
		b.WriteString("the bars are met\n")
	} else {
		b.WriteString("the bars are not met\n")
	}
	_, _ = io.WriteString(out, b.String()) // who cannot be told is not told
}

// quantile is the smallest value that the share q of all do not exceed, 0 of none.
func quantile(of []time.Duration, q float64) time.Duration {
	if len(of) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(of))
	at := min(len(sorted)-1, max(0, int(q*float64(len(sorted))+0.999999)-1))
	return sorted[at].Round(time.Millisecond)
}

// watcher follows which opening of a partition's producer writes to the status
// topic: a new one shows a take-over, as consumers see it. Each transaction has an
// epoch of its own (KIP-890), so an opening is known by the barrier that it writes
// to case-state before all else: its epoch, and those above until the next one.
// Inbox, status topic and case-state have the same partitions and keys.
type watcher struct {
	mu       sync.Mutex
	barriers map[int32]producer // guarded by mu: the newest
	openers  map[int32]opener   // guarded by mu: of the newest event
	changed  chan struct{}      // guarded by mu: closed when an event comes
}

// opener is an opening, by its barrier.
type opener struct {
	producer
	seen   time.Time // first
	latest time.Time // event
}

// producer is who wrote a record.
type producer struct {
	id    int64
	epoch int16
}

func newWatcher() *watcher {
	return &watcher{barriers: make(map[int32]producer), openers: make(map[int32]opener), changed: make(chan struct{})}
}

// opened takes a barrier as it comes.
func (w *watcher) opened(rec *kgo.Record) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.barriers[rec.Partition] = producer{rec.ProducerID, rec.ProducerEpoch}
}

// observe takes an event as it comes. One that overtakes its opening's barrier
// counts for none; the next one will.
func (w *watcher) observe(rec *kgo.Record) {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	barrier, known := w.barriers[rec.Partition]
	if !known || rec.ProducerID != barrier.id || rec.ProducerEpoch < barrier.epoch {
		return
	}
	o := w.openers[rec.Partition]
	if o.seen.IsZero() || o.producer != barrier {
		o = opener{producer: barrier, seen: now}
	}
	o.latest = now
	w.openers[rec.Partition] = o
	close(w.changed)
	w.changed = make(chan struct{})
}

func (w *watcher) snapshot() (map[int32]opener, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.openers), w.changed
}

// recovered waits until each partition has an event of another opening than
// before, and returns when the last of them came.
func (w *watcher) recovered(ctx context.Context, partitions []int32, before map[int32]opener) (time.Time, error) {
	for {
		now, changed := w.snapshot()
		var last time.Time
		var missing []int32
		for _, p := range partitions {
			if o := now[p]; o.producer == before[p].producer {
				missing = append(missing, p)
			} else if o.seen.After(last) {
				last = o.seen
			}
		}
		if len(missing) == 0 {
			return last, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return last, fmt.Errorf("partitions %v were not taken over: %w", missing, ctx.Err())
		}
	}
}

// recovery is a measurement under way.
type recovery struct {
	cfg   RecoveryConfig
	world *world
	load  *load
	watch *watcher
	begun time.Time
	next  int // victim
	calm  calm
}

// calm is since when nothing has moved: a bridge that owns a partition for a
// moment only has not written to it yet, and an event that it writes at last,
// while it is killed, would look like a recovery.
type calm struct {
	owners  map[string][]int32
	openers map[int32]producer
	since   time.Time
}

// calmFor is how long nothing may have moved before a bridge is taken away.
const calmFor = 3 * time.Second

// lasts notes how things stand, and says for how long they have stood so.
func (c *calm) lasts(owners map[string][]int32, openers map[int32]opener, now time.Time) time.Duration {
	present := make(map[int32]producer, len(openers))
	for partition, o := range openers {
		present[partition] = o.producer
	}
	if !maps.Equal(present, c.openers) || !maps.EqualFunc(owners, c.owners, slices.Equal) {
		c.owners, c.openers, c.since = owners, present, now
	}
	return now.Sub(c.since)
}

// MeasureRecovery takes bridges away one at a time under a steady load, and
// measures how long it takes until events of all its partitions come again.
func MeasureRecovery(ctx context.Context, cfg RecoveryConfig) (Recovery, error) {
	r := &recovery{cfg: cfg, world: &world{cfg: cfg.World}, watch: newWatcher(), begun: time.Now()}
	result := Recovery{Brokers: cfg.World.Brokers, Processes: cfg.World.Processes}
	err := r.measure(ctx, &result)
	return result, errors.Join(err, r.world.close(ctx))
}

func (r *recovery) say(format string, args ...any) {
	at := time.Since(r.begun).Round(100 * time.Millisecond)
	_, _ = fmt.Fprintf(r.cfg.Out, "%8s  %s\n", at, fmt.Sprintf(format, args...))
}

// recoveryDwell keeps events coming in every partition many times a second.
const recoveryDwell = 150 * time.Millisecond

func (r *recovery) measure(ctx context.Context, result *Recovery) error {
	w := r.world
	r.say("building: %d brokers, a registry, a store, %d bridges", w.cfg.Brokers, w.cfg.Processes)
	r.load = &load{window: r.cfg.Window, dwell: recoveryDwell, observe: r.watch.observe}
	if err := w.begin(ctx, r.load); err != nil {
		return err
	}
	defer r.load.close()
	stop, err := r.watchBarriers(ctx)
	if err != nil {
		return err
	}
	defer stop()
	for i := range r.cfg.Kills {
		took, err := r.once(ctx, (*process).kill)
		if err != nil {
			return err
		}
		r.say("kill -9 %3d: %s", i+1, took.Round(time.Millisecond))
		result.Kills = append(result.Kills, took)
	}
	for i := range r.cfg.Stops {
		took, err := r.once(ctx, (*process).stop)
		if err != nil {
			return err
		}
		r.say("graceful %2d: %s", i+1, took.Round(time.Millisecond))
		result.Stops = append(result.Stops, took)
	}
	return nil
}

// watchBarriers reads case-state until stop is called.
func (r *recovery) watchBarriers(ctx context.Context) (stop func(), err error) {
	client, err := kgo.NewClient(append(r.world.opts(), kgo.ConsumeTopics(topicState),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxWait(20*time.Millisecond), kgo.MetadataMinAge(100*time.Millisecond))...)
	if err != nil {
		return nil, fmt.Errorf("open consumer: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	var reading sync.WaitGroup
	reading.Go(func() {
		for ctx.Err() == nil {
			client.PollFetches(ctx).EachRecord(func(rec *kgo.Record) {
				if string(rec.Key) == schemas.BarrierKey {
					r.watch.opened(rec)
				}
			})
		}
	})
	return func() {
		cancel()
		reading.Wait()
		client.Close()
	}, nil
}

// recoveryLimit bounds one recovery, and one settling.
const recoveryLimit = 2 * time.Minute

// once takes the next bridge away, measures from that moment, and brings it back.
func (r *recovery) once(ctx context.Context, end func(*process) error) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*recoveryLimit)
	defer cancel()
	if err := await(ctx, recoveryLimit, func() error { return r.steady(ctx) }); err != nil {
		return 0, err
	}
	victim := r.world.processes[r.next%len(r.world.processes)]
	r.next++
	owned, err := r.world.ownedBy(ctx, victim.name)
	if err != nil {
		return 0, err
	}
	before, _ := r.watch.snapshot()
	began := time.Now()
	ended := make(chan error, 1)
	go func() { ended <- end(victim) }()
	last, err := r.watch.recovered(ctx, owned, before)
	if err := errors.Join(err, <-ended); err != nil {
		return 0, err
	}
	return last.Sub(began), victim.start(ctx)
}

// steady is nil when every bridge is ready and owns its share, events of every
// partition have come within a second, and nothing has moved for a while.
func (r *recovery) steady(ctx context.Context) error {
	owners := make(map[string][]int32)
	for _, p := range r.world.processes {
		if err := p.ready(ctx); err != nil {
			return err
		}
		owned, err := r.world.ownedBy(ctx, p.name)
		if err != nil {
			return err
		}
		if want := partitions / len(r.world.processes); len(owned) < want {
			return fmt.Errorf("%s owns %v, want %d of them", p.name, owned, want)
		}
		owners[p.name] = owned
	}
	if _, err := r.load.progress(); err != nil {
		return err
	}
	openers, _ := r.watch.snapshot()
	for p := range int32(partitions) {
		if since := time.Since(openers[p].latest); since > time.Second {
			return fmt.Errorf("no event of partition %d for %s", p, since.Round(time.Millisecond))
		}
	}
	if lasts := r.calm.lasts(owners, openers, time.Now()); lasts < calmFor {
		return fmt.Errorf("partitions moved %s ago", lasts.Round(time.Millisecond))
	}
	return nil
}

// ownedBy is the inbox partitions that the group has assigned to a bridge.
func (w *world) ownedBy(ctx context.Context, clientID string) ([]int32, error) {
	var owned []int32
	err := w.withAdmin(ctx, func(ctx context.Context, admin *kadm.Client) error {
		groups, err := admin.DescribeGroups(ctx, groupName)
		if err != nil {
			return fmt.Errorf("describe group: %w", err)
		}
		group := groups[groupName]
		if group.Err != nil {
			return fmt.Errorf("describe group: %w", group.Err)
		}
		if group.State != "Stable" {
			return fmt.Errorf("the group is %s", group.State)
		}
		for _, member := range group.Members {
			if assigned, ok := member.Assigned.AsConsumer(); ok && member.ClientID == clientID {
				for _, topic := range assigned.Topics {
					owned = append(owned, topic.Partitions...)
				}
			}
		}
		slices.Sort(owned)
		return nil
	})
	return owned, err
}
