package publish

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"postident-bridge/internal/right"
)

// topology is what the publisher depends on of the inbox and case-state topics.
type topology struct {
	inboxID    string // KIP-516 topic id
	stateID    string
	partitions int32
}

// leaders are the brokers that lead the partitions of case-state, as of the last
// inspection; look-ups need them.
type leaders struct {
	mu     sync.Mutex
	byPart map[int32]int32 // guarded by mu
}

func (l *leaders) set(partitions []kmsg.MetadataResponseTopicPartition) {
	byPart := make(map[int32]int32, len(partitions))
	for i := range partitions {
		byPart[partitions[i].Partition] = partitions[i].Leader
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.byPart = byPart
}

func (l *leaders) of(partition int32) (leader int32, known bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	leader, known = l.byPart[partition]
	return leader, known && leader >= 0
}

// health keeps what Ready answers. Its zero value is not ready.
type health struct {
	mu        sync.Mutex
	inspected time.Time // last good inspection of the topics
	problem   string    // of the last inspection, "" when good
	joined    bool      // the group assigned something, maybe nothing
	unjoined  error     // why the last session with the group ended, nil when joined
}

func (h *health) good(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.inspected, h.problem = now, ""
}

func (h *health) bad(problem string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.problem = problem
}

func (h *health) setJoined(joined bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.joined = joined
	if joined {
		h.unjoined = nil
	}
}

// setUnjoined notes why there is no session with the group, and says whether that
// is news.
func (h *health) setUnjoined(err error) (news bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	news = h.unjoined == nil || h.unjoined.Error() != err.Error()
	h.joined, h.unjoined = false, err
	return news
}

// Ready returns nil when the process role does its work: Kafka is reached, the
// group is joined, and no owned partition is fenced out or still taking over
// after a fault (P10). Else the error says why. The API plays no part in it.
func (p *Publisher) Ready(context.Context) error {
	h := &p.health
	h.mu.Lock()
	inspected, problem, joined, unjoined := h.inspected, h.problem, h.joined, h.unjoined
	h.mu.Unlock()
	switch {
	case inspected.IsZero() && problem == "":
		return errors.New("kafka not reached yet")
	case problem != "" && p.cfg.Now().Sub(inspected) > unreachableAfter:
		return fmt.Errorf("kafka not reached: %s", problem)
	case unjoined != nil:
		return fmt.Errorf("consumer group not joined: %w", unjoined)
	case !joined:
		return errors.New("consumer group not joined yet")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for partition, o := range p.owners {
		if err := o.ready(p.cfg.Now()); err != nil {
			return fmt.Errorf("partition %d: %w", partition, err)
		}
	}
	return nil
}

// awaitTopics waits until the topics can be seen and are fit for each other.
func (p *Publisher) awaitTopics(ctx context.Context) (topology, error) {
	for {
		seen, err := p.inspect(ctx)
		if err == nil {
			p.health.good(p.cfg.Now())
			return seen, nil
		}
		if refused := (*RefusedError)(nil); errors.As(err, &refused) {
			return topology{}, refused
		}
		if ctx.Err() != nil {
			return topology{}, ctx.Err()
		}
		p.health.bad(err.Error())
		p.cfg.Logger.WarnContext(ctx, "topics not available", "error", err)
		if !wait(ctx, min(p.cfg.timings.inspectInterval, time.Second)) { // a topic just made shows a moment later
			return topology{}, ctx.Err()
		}
	}
}

// watchTopics inspects the topics until ctx ends. A consumer of a recreated
// topic falls silent without an error, so the ids are compared while running:
// on a change every owner starts over, and the start path deals with it.
func (p *Publisher) watchTopics(ctx context.Context, before topology) {
	for wait(ctx, p.cfg.timings.inspectInterval) {
		seen, err := p.inspect(ctx)
		if refused := (*RefusedError)(nil); errors.As(err, &refused) {
			p.refuse(refused)
			return
		}
		if err != nil {
			if ctx.Err() == nil {
				p.health.bad(err.Error())
			}
			continue
		}
		p.health.good(p.cfg.Now())
		if seen.partitions != before.partitions {
			p.refuse(&RefusedError{Reason: fmt.Sprintf("partition count changed from %d to %d", before.partitions, seen.partitions)})
			return
		}
		if seen.stateID != before.stateID {
			p.refuse(p.stateRecreated())
			return
		}
		if seen.inboxID != before.inboxID {
			p.cfg.Logger.ErrorContext(ctx, "inbox was recreated", "topic_id", seen.inboxID)
			p.restartOwners(errRecreated)
		}
		before = seen
	}
}

// stateRecreated says that what was published is not known any more: going on
// would publish all of it again.
func (p *Publisher) stateRecreated() *RefusedError {
	return &RefusedError{Reason: "topic " + p.cfg.Topics.CaseState + " was recreated while running"}
}

var errRecreated = errors.New("topic was recreated")

// neededTopics are those without which nothing can be published: the two of the
// state, and that of results where an account has any, for a transaction that
// lacks it takes the status event with it.
func (p *Publisher) neededTopics() []string {
	names := []string{p.cfg.Topics.Inbox, p.cfg.Topics.CaseState}
	for _, a := range p.accounts {
		if a.Results {
			return append(names, p.cfg.Topics.Result)
		}
	}
	return names
}

// sees is the right by which a topic may be seen: any right on it has that, and
// this is the one that the publisher needs first.
func (p *Publisher) sees(topic string) right.Right {
	if topic == p.cfg.Topics.Result {
		return right.OnTopic(right.Write, topic)
	}
	return right.OnTopic(right.Read, topic)
}

// inspect asks the cluster for the topics.
func (p *Publisher) inspect(ctx context.Context) (topology, error) {
	ctx, cancel := context.WithTimeout(ctx, p.cfg.timings.inspectInterval)
	defer cancel()
	req := kmsg.NewPtrMetadataRequest()
	for _, name := range p.neededTopics() {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = new(name)
		req.Topics = append(req.Topics, t)
	}
	// Crash point "inspect": nothing depends on an answer that never came.
	resp, err := req.RequestWith(ctx, p.shared)
	if err != nil {
		return topology{}, fmt.Errorf("ask for metadata: %w", err)
	}
	ids, counts := make(map[string]string), make(map[string]int32)
	for _, t := range resp.Topics {
		if t.Topic == nil {
			continue
		}
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return topology{}, fmt.Errorf("find topic %s: %w", *t.Topic, right.Missing(err, p.sees(*t.Topic)))
		}
		ids[*t.Topic] = uuid.UUID(t.TopicID).String()
		counts[*t.Topic] = int32(len(t.Partitions)) //nolint:gosec // a partition count is an int32 on the wire
		if *t.Topic == p.cfg.Topics.CaseState {
			p.leaders.set(t.Partitions)
		}
	}
	inbox, state := counts[p.cfg.Topics.Inbox], counts[p.cfg.Topics.CaseState]
	if inbox == 0 || state == 0 {
		return topology{}, errors.New("find topics: incomplete metadata")
	}
	if inbox != state {
		return topology{}, &RefusedError{Reason: fmt.Sprintf("topic %s has %d partitions, %s has %d; they must be equal",
			p.cfg.Topics.Inbox, inbox, p.cfg.Topics.CaseState, state)}
	}
	return topology{inboxID: ids[p.cfg.Topics.Inbox], stateID: ids[p.cfg.Topics.CaseState], partitions: inbox}, nil
}

// wait waits for d, and says whether ctx is still alive.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// belongsTo makes a function for one goroutine that says whether a key belongs
// to a partition of n.
func belongsTo(partition, n int32) func(key []byte) bool {
	p := kgo.StickyKeyPartitioner(nil).ForTopic("")
	var rec kgo.Record
	return func(key []byte) bool {
		rec.Key = key
		return p.Partition(&rec, int(n)) == int(partition)
	}
}
