package ingest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"postident-bridge/internal/right"
)

const (
	// probeTimeout bounds the probe: a paused broker accepts connections and
	// answers nothing.
	probeTimeout = time.Second
	// ackFresh is how long an acknowledgement stands for readiness by itself.
	ackFresh = 5 * time.Second
	// failureHold is how long triggers that Kafka holds back keep the webhook
	// unready without a look at the cluster. After that the probe decides, so
	// that one dead partition does not take all the others away for as long as
	// it is dead: the next webhooks show how things are.
	failureHold = 30 * time.Second
)

// health remembers what the produces showed about Kafka.
type health struct {
	mu sync.Mutex // guards all below and the flags of produced
	// lastAck is when Kafka last acknowledged a trigger.
	lastAck time.Time
	// failedAt is when the newest failure was known, of a produce that failed or
	// is late, and failedSince the middle of the time that it was given: an
	// acknowledgement after that shows that Kafka takes other triggers, one
	// before it may just have come through when Kafka went away. failure says
	// what happened.
	failedSince, failedAt time.Time
	failure               error
	// overdue counts produces that are late and still open. The client goes on
	// with them, so their end tells when Kafka is back.
	overdue int
}

var errNotAcknowledged = errors.New("kafka does not acknowledge triggers in time")

// finished notes the end of a produce at now.
func (h *health) finished(p *produced, now time.Time, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p.isDone = true
	if p.isLate {
		h.overdue--
	}
	switch {
	case err == nil:
		h.lastAck = now
	case errors.Is(err, kgo.ErrMaxBuffered), errors.Is(err, kgo.ErrClientClosed):
		// Says something about us, not about Kafka.
	default:
		h.failed(p, fmt.Errorf("produce trigger: %w", err))
	}
}

// late notes that a produce is not acknowledged in time.
func (h *health) late(p *produced) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if p.isDone {
		return
	}
	p.isLate = true
	h.overdue++
	h.failed(p, errNotAcknowledged)
}

// failed keeps the newest failure. h.mu is held.
func (h *health) failed(p *produced, err error) {
	h.failure, h.failedAt = err, time.Now()
	h.failedSince = p.began.Add(h.failedAt.Sub(p.began) / 2)
}

// verdict is what the produces alone say at now: settled when no probe is
// needed, and then the error is the answer.
func (h *health) verdict(now time.Time) (settled bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.lastAck.After(h.failedSince) {
		return now.Sub(h.lastAck) < ackFresh, nil // it takes triggers, if not all of them
	}
	if h.overdue > 0 && now.Sub(h.failedAt) < failureHold {
		return true, fmt.Errorf("%w (%d open)", h.failure, h.overdue)
	}
	return false, nil
}

// Ready returns nil when the inbox accepts triggers, or the reason why it does
// not (design P10). A trigger acknowledged in the last seconds is proof; one
// that Kafka holds back is proof of the contrary until an acknowledgement
// comes. Without either, Kafka is asked, for at most a second, whether the
// inbox exists, whether we may write to it, and whether its partitions have
// leaders. One partition with a leader is enough: Kubernetes would otherwise
// take away the webhooks of all the others too.
//
// While Kafka refuses a producer id nothing can be written, and it says so.
//
// It does not depend on the API, on an account or on the schema registry.
func (w *Webhook) Ready(ctx context.Context) error {
	if err := w.producer.Refused(); err != nil {
		return err
	}
	if settled, err := w.health.verdict(time.Now()); settled {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	p := w.prober.join(func() error { return w.probe(context.WithoutCancel(ctx)) })
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return fmt.Errorf("ask kafka about the inbox: no answer yet: %w", ctx.Err())
	}
}

// prober lets one probe run at a time. It runs apart from those who wait for
// it, because a request to a paused broker may queue behind a connection that
// is being opened, where its context does not end it: 8 s were seen in place of
// one. The client's own time-outs do, and so does closing the client.
type prober struct {
	mu      sync.Mutex
	running *probed // guarded by mu; nil when none runs
}

// probed is a probe's result: err may be read when done is closed.
type probed struct {
	done chan struct{}
	err  error
}

// join returns the running probe, or starts one.
func (p *prober) join(probe func() error) *probed {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running != nil {
		return p.running
	}
	now := &probed{done: make(chan struct{})}
	p.running = now
	go func() {
		now.err = probe()
		p.mu.Lock()
		p.running = nil
		p.mu.Unlock()
		close(now.done)
	}()
	return now
}

// probe asks Kafka about the inbox.
func (w *Webhook) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	req := kmsg.NewPtrMetadataRequest()
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = new(w.topic)
	req.Topics = []kmsg.MetadataRequestTopic{topic}
	req.AllowAutoTopicCreation = false
	req.IncludeTopicAuthorizedOperations = true
	// Crash point "probe": whoever asks learns that we are not ready, or nothing.
	resp, err := req.RequestWith(ctx, w.producer.Client())
	if err != nil {
		return fmt.Errorf("ask kafka about the inbox: %w", err)
	}
	for i := range resp.Topics {
		if name := resp.Topics[i].Topic; name != nil && *name == w.topic {
			return checkInbox(&resp.Topics[i])
		}
	}
	return fmt.Errorf("ask kafka about the inbox: topic %s is not in the answer", w.topic)
}

// operationsUnknown is what a broker sends that was not asked, or does not
// tell, which operations are allowed (KIP-430).
const operationsUnknown = -1 << 31

// checkInbox judges the inbox by its metadata.
func checkInbox(t *kmsg.MetadataResponseTopic) error {
	name := *t.Topic
	if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
		return fmt.Errorf("inbox %s: %w", name, right.Missing(err, right.OnTopic(right.Write, name)))
	}
	if ops := t.AuthorizedOperations; ops != operationsUnknown && ops&(1<<kmsg.ACLOperationWrite) == 0 {
		return fmt.Errorf("inbox %s: needs %s", name, right.OnTopic(right.Write, name))
	}
	for i := range t.Partitions {
		if t.Partitions[i].ErrorCode == 0 && t.Partitions[i].Leader >= 0 {
			return nil
		}
	}
	return fmt.Errorf("inbox %s: none of %d partitions has a leader", name, len(t.Partitions))
}
