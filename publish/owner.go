package publish

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"postident-bridge/internal/membership"
	"postident-bridge/internal/right"
)

// owner owns one inbox partition for as long as the group assigns it: it opens
// a worker, and opens the next one when that one ends. There is one recovery
// path, the start path.
type owner struct {
	partition int32
	cancel    context.CancelCauseFunc // ends the ownership
	done      chan struct{}           // closed when the owner touches Kafka no more

	mu      sync.Mutex
	phase   string                  // guarded by mu
	since   time.Time               // guarded by mu: of the phase
	problem error                   // guarded by mu: why the last worker ended, until the present one has committed
	worker  context.CancelCauseFunc // guarded by mu: ends the present worker only
	oldest  map[string]time.Time    // guarded by mu: see oldestWaiting
}

// ready is nil while the partition is worked on, or taken over in the ordinary
// course of things. After a fault it stays an error until a transaction was
// committed: a worker that dies at each first one works on nothing.
func (o *owner) ready(now time.Time) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.problem != nil:
		return fmt.Errorf("%s after: %w", o.phase, o.problem)
	case o.phase != phaseWorking && now.Sub(o.since) > takeOverTimeout:
		return fmt.Errorf("%s for %s", o.phase, now.Sub(o.since).Round(time.Second))
	}
	return nil
}

// Phases of an owner.
const (
	phaseTakingOver = "taking over"
	phaseWorking    = "working"
	phaseWaiting    = "waiting to take over"
)

func (o *owner) enter(phase string, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.phase, o.since = phase, now
}

// fell notes why a worker ended, or could not begin.
func (o *owner) fell(problem error, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.phase != phaseWaiting {
		o.phase, o.since = phaseWaiting, now
	}
	o.problem = problem
}

// settled notes that a transaction of the loop was committed.
func (o *owner) settled() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.problem = nil
}

// works says whether the partition is worked on.
func (o *owner) works() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.phase == phaseWorking && o.problem == nil
}

// groupOpts are the settings of the group client. It fetches nothing and is
// never polled: it heartbeats and runs its callbacks all the same.
func (p *Publisher) groupOpts() []kgo.Opt {
	opts := []kgo.Opt{
		kgo.ConsumerGroup(p.groupName()),
		kgo.ConsumeTopics(p.cfg.Topics.Inbox),
		kgo.Balancers(p.cfg.balancer),
		kgo.SessionTimeout(p.cfg.timings.sessionTimeout),
		kgo.HeartbeatInterval(p.cfg.timings.heartbeatInterval),
		// How long the group waits for a member that does not join again. Revoked
		// holds ours for revokeTimeout at most; kgo's 60 s would only be how long one
		// silent member stops all others.
		kgo.RebalanceTimeout(rebalanceTimeout),
		// The position is a record of case-state; the group's offsets follow for
		// lag monitoring, see follow.
		kgo.DisableAutoCommit(),
		kgo.OnPartitionsAssigned(p.assigned),
		kgo.OnPartitionsRevoked(p.revoked),
		kgo.OnPartitionsLost(p.lost),
		kgo.WithHooks(groupHook{p}),
	}
	if p.cfg.InstanceID != "" {
		opts = append(opts, kgo.InstanceID(p.cfg.InstanceID))
	}
	return opts
}

func (p *Publisher) joinGroup() error {
	// The callbacks wait for mu, and so find the client in place.
	p.mu.Lock()
	defer p.mu.Unlock()
	group, err := kgo.NewClient(append(p.base(), p.groupOpts()...)...)
	if err != nil {
		return fmt.Errorf("open group client: %w", err)
	}
	// The client does the rest by itself.
	//
	// Crash point "coordinator": nothing is said yet.
	// Crash point "join": a member that nobody hears of again holds up the group
	// for the session time-out at most.
	// Crash point "assignment": the same; its partitions rest meanwhile.
	// Crash point "heartbeat": the same, and a worker may work on: until the next
	// owner's opening, nobody else writes.
	group.PauseFetchTopics(p.cfg.Topics.Inbox)
	p.group = group
	return nil
}

// groupHook hears of errors that end a session with the group.
type groupHook struct{ p *Publisher }

// OnGroupManageError refuses to go on when another process joined with this
// one's instance id. The client would try to rejoin for ever: the group knows the
// id by the other's membership. It does so after any other error too, and may
// succeed then; of these it is said once that they came.
func (h groupHook) OnGroupManageError(err error) {
	if errors.Is(err, kerr.FencedInstanceID) {
		h.p.mu.Lock()
		h.p.ousted = true
		h.p.mu.Unlock()
		h.p.refuse(&RefusedError{Reason: "another process has joined the consumer group as instance " + h.p.cfg.InstanceID +
			"; every process needs an instance id of its own"})
		return
	}
	err = right.Missing(err, right.OnGroup(right.Read, h.p.groupName()), right.OnTopic(right.Read, h.p.cfg.Topics.Inbox))
	if h.p.health.setUnjoined(err) {
		h.p.cfg.Logger.WarnContext(context.Background(), "consumer group not joined", "error", err)
	}
}

// leaveGroup ends every owner, waits for them, and gives the partitions back at
// once instead of after the session time-out.
func (p *Publisher) leaveGroup(ctx context.Context) {
	p.mu.Lock()
	p.leaving = true
	p.mu.Unlock()
	member, _ := p.groupClient().GroupMetadata()
	p.release(ctx, p.owned(), errStopped, p.cfg.timings.revokeTimeout)
	ctx, cancel := context.WithTimeout(ctx, p.cfg.timings.closeTimeout)
	defer cancel()
	// Crash point "leave": all work is done; without the farewell the group waits
	// for the session time-out.
	if err := p.groupClient().LeaveGroupContext(ctx); err != nil {
		p.cfg.Logger.InfoContext(ctx, "leave group", "error", err)
	}
	p.mu.Lock()
	static := p.cfg.InstanceID != "" && !p.ousted
	p.mu.Unlock()
	if static {
		if err := p.leaveAsInstance(ctx, member); err != nil {
			p.cfg.Logger.InfoContext(ctx, "leave group", "error", err)
		}
	}
	p.closeBounded(p.groupClient().CloseAllowingRebalance)
}

// leaveAsInstance gives up a static membership: the client does not, so that a
// restart finds its partitions reserved, and nobody would work on them until
// then. The member id makes it harmless when another process has the instance id
// by now, and this one has not heard of it yet.
func (p *Publisher) leaveAsInstance(ctx context.Context, member string) error {
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group = p.groupName()
	leaving := kmsg.NewLeaveGroupRequestMember()
	leaving.MemberID, leaving.InstanceID = member, &p.cfg.InstanceID
	req.Members = append(req.Members, leaving)
	// Crash point "leave as instance": as "leave".
	resp, err := req.RequestWith(ctx, p.groupClient())
	if err != nil {
		return fmt.Errorf("leave as instance: %w", err)
	}
	code := resp.ErrorCode
	if len(resp.Members) == 1 && code == 0 {
		code = resp.Members[0].ErrorCode
	}
	if err := kerr.ErrorForCode(code); err != nil {
		return fmt.Errorf("leave as instance: %w", err)
	}
	return nil
}

var (
	errStopped = errors.New("stopping")
	errRevoked = errors.New("partition revoked")
	errLost    = errors.New("partition lost")
)

// assigned only starts owners: the group waits for this callback.
func (p *Publisher) assigned(session context.Context, _ *kgo.Client, topics map[string][]int32) {
	p.health.setJoined(true)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.leaving {
		return // the group gives it to another as soon as we have left
	}
	for _, partition := range topics[p.cfg.Topics.Inbox] {
		if before := p.owners[partition]; before != nil {
			// It left and came back before its old worker ended. The new one's
			// opening fences the old one.
			before.cancel(errRevoked)
		}
		ctx, cancel := context.WithCancelCause(context.WithoutCancel(session))
		o := &owner{partition: partition, cancel: cancel, done: make(chan struct{})}
		p.owners[partition] = o
		p.working.Go(func() {
			defer close(o.done)
			defer cancel(nil)
			p.own(ctx, o)
		})
	}
}

// revoked lets owners finish the transaction that is under way, and the group's
// offsets catch up with it. Leaving the group calls it too.
func (p *Publisher) revoked(ctx context.Context, _ *kgo.Client, topics map[string][]int32) {
	p.release(ctx, topics[p.cfg.Topics.Inbox], errRevoked, p.cfg.timings.revokeTimeout)
	p.commitPositions(ctx)
	p.follower.drop(topics[p.cfg.Topics.Inbox])
}

// lost does not wait: the group has given the partitions to others, and their
// opening fences what is still under way here.
func (p *Publisher) lost(ctx context.Context, _ *kgo.Client, topics map[string][]int32) {
	p.health.setJoined(false)
	p.release(ctx, topics[p.cfg.Topics.Inbox], errLost, 0)
	p.follower.drop(topics[p.cfg.Topics.Inbox])
}

// release ends the owners of partitions and waits for them, at most for limit.
func (p *Publisher) release(ctx context.Context, partitions []int32, cause error, limit time.Duration) {
	p.mu.Lock()
	var ending []*owner
	for _, partition := range partitions {
		if o := p.owners[partition]; o != nil {
			o.cancel(cause)
			ending = append(ending, o)
			delete(p.owners, partition)
		}
	}
	p.mu.Unlock()
	if limit == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for _, o := range ending {
		select {
		case <-o.done:
		case <-ctx.Done():
			p.cfg.Logger.WarnContext(ctx, "owner did not end in time", "partition", o.partition)
		}
	}
}

func (p *Publisher) owned() []int32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	partitions := make([]int32, 0, len(p.owners))
	for partition := range p.owners {
		partitions = append(partitions, partition)
	}
	return partitions
}

// restartOwners ends every present worker; its owner opens the next one.
func (p *Publisher) restartOwners(cause error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, o := range p.owners {
		o.mu.Lock()
		if o.worker != nil {
			o.worker(cause)
		}
		o.mu.Unlock()
	}
}

func (p *Publisher) groupClient() *kgo.Client {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.group
}

// own is the loop around runWorker: it takes over again, with back-off and
// jitter, for as long as the partition is ours.
func (p *Publisher) own(ctx context.Context, o *owner) {
	log := p.cfg.Logger.With(slog.Int("partition", int(o.partition)))
	var hold suspects
	for attempt := 0; ; attempt++ {
		o.enter(phaseTakingOver, p.cfg.Now())
		// A fence does not prove that ownership was lost, and its absence proves
		// nothing either: ask the group right before the producer is opened.
		if err := p.counts(ctx); err != nil {
			if ctx.Err() != nil {
				return
			}
			o.fell(err, p.cfg.Now())
			log.InfoContext(ctx, "membership not confirmed", "error", err)
			if !wait(ctx, backOff(attempt)) {
				return
			}
			continue
		}
		started := p.cfg.Now()
		err := p.runWorker(ctx, o, &hold)
		if ctx.Err() != nil {
			log.InfoContext(ctx, "partition released", "cause", context.Cause(ctx))
			return
		}
		if refused := (*RefusedError)(nil); errors.As(err, &refused) {
			p.refuse(refused)
			return
		}
		o.fell(err, p.cfg.Now())
		p.metrics.takeOver(ctx, err)
		log.WarnContext(ctx, "worker ended, taking over again", "error", err)
		if p.cfg.Now().Sub(started) > time.Minute {
			attempt = 0
		}
		if !wait(ctx, backOff(attempt)) {
			return
		}
	}
}

// backOff is the pause before take-over number attempt+1: 50 ms doubled up to
// 5 s, half of it jitter.
func backOff(attempt int) time.Duration {
	d := min(50*time.Millisecond<<min(attempt, 10), 5*time.Second)
	return spread(d / 2)
}

// counts asks the group whether this process is still its member, in the
// present generation.
func (p *Publisher) counts(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.timings.sessionTimeout)
	defer cancel()
	// Crash point "membership": nothing is opened yet. An answer that comes late,
	// after the membership ended, lets us open once in vain: the new owner is
	// fenced, and takes over again.
	return membership.Confirm(ctx, p.groupClient(), p.groupName(), p.cfg.InstanceID)
}
