package publish

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"postident-bridge/internal/right"
	"postident-bridge/schemas"
)

// workerOpts are the settings of a worker's client: one client produces in
// transactions and reads case-state and then the inbox, read-committed.
func (p *Publisher) workerOpts(partition int32) []kgo.Opt {
	return []kgo.Opt{
		kgo.TransactionalID(transactionalID(p.cfg.Prefix, partition)),
		// The broker aborts a transaction that a dead process left open, or that a
		// live one cannot end: then its producer is fenced, and it takes over again.
		kgo.TransactionTimeout(p.cfg.timings.transactionTimeout),
		// A transaction is flushed as it is built; waiting for more only delays it.
		kgo.ProducerLinger(0),
		kgo.MetadataMinAge(metadataMinAge),
		kgo.RecordPartitioner(partitioner{caseState: p.cfg.Topics.CaseState}),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{
			p.cfg.Topics.CaseState: {partition: kgo.NewOffset().AtStart()},
		}),
		// A position outside the log must not silently become its start or end.
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxWait(500 * time.Millisecond),
		// With one partition a fetch session saves nothing, and its end holds up
		// Close for a second when the broker does not answer; in franz-go 1.22 it
		// also races with a fetch that a metadata update starts meanwhile.
		kgo.DisableFetchSessions(),
		kgo.DisableClientMetrics(),
	}
}

// groupName is the consumer group that decides who owns which partition of the inbox.
func (p *Publisher) groupName() string { return p.cfg.Prefix + "process" }

// transactionalID is that of a partition: who opens it next fences who had it.
func transactionalID(prefix string, partition int32) string {
	return fmt.Sprintf("%sprocess-%d", prefix, partition)
}

// partitioner puts case-state where its trigger stands, and all else by murmur2
// of the key.
type partitioner struct{ caseState string }

func (p partitioner) ForTopic(topic string) kgo.TopicPartitioner {
	if topic == p.caseState {
		return kgo.ManualPartitioner().ForTopic(topic)
	}
	return kgo.StickyKeyPartitioner(nil).ForTopic(topic)
}

// open opens the producer: it aborts the predecessor's open transaction and
// fences it for good. It is explicit, bounded, and comes right after the group
// confirmed the membership; never through BeginTransaction, which would
// re-initialise a fenced id.
//
// Crash point "open": nothing is left but a fenced predecessor, which takes over
// again if it is still a member.
func (w *worker) open(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, w.p.cfg.timings.openTimeout)
	defer cancel()
	id, epoch, err := w.client.ProducerID(ctx)
	if err != nil {
		return fmt.Errorf("open producer: %w", right.Missing(err, w.transacts()))
	}
	w.producer = producerID{id: id, epoch: epoch}
	return nil
}

// restore writes a barrier unique to this opening in a first transaction and
// reads case-state up to it. A position never reaches the end offset, which is
// a control record; the barrier is the one record that is surely the last.
//
// It must come after open: what a predecessor commits between a restore and its
// fencing would be missing from the table.
//
// Crash point "barrier": the broker holds an open transaction, which the next
// opening aborts.
// Crash point "barrier end": a barrier is left, or none; the next one supersedes it.
func (w *worker) restore(ctx context.Context) error {
	barrier, err := schemas.EncodeBarrier(schemas.Barrier{OpeningID: w.opening, OpenedAt: w.p.cfg.Now()})
	if err != nil {
		return fmt.Errorf("encode barrier: %w", err)
	}
	if err := w.commit(ctx, []*kgo.Record{w.stateRecord(schemas.BarrierKey, barrier)}); err != nil {
		return fmt.Errorf("write barrier: %w", err)
	}
	for {
		fetches, err := w.pollBounded(ctx, w.p.cfg.timings.restoreTimeout)
		if err != nil {
			return err
		}
		if err := fetchError(fetches); err != nil {
			return fmt.Errorf("restore state: %w", err)
		}
		reached := false
		var positions []*kgo.Record
		for it := fetches.RecordIter(); !it.Done(); {
			rec := it.Next()
			if reached {
				// Only a successor can write after our barrier before we do.
				return errSucceeded
			}
			if string(rec.Key) == schemas.PositionKey {
				positions = append(positions, rec)
				continue
			}
			reached = w.load(ctx, rec)
		}
		w.loadPosition(ctx, positions)
		if reached {
			break
		}
	}
	w.table.loaded()
	w.client.RemoveConsumePartitions(map[string][]int32{w.p.cfg.Topics.CaseState: {w.partition}})
	return nil
}

// pollBounded polls until there is something: while a transaction of somebody
// else is open on case-state, nothing behind it can be read.
func (w *worker) pollBounded(ctx context.Context, limit time.Duration) (kgo.Fetches, error) {
	bounded, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	// Crash point "restore": only what was read is lost.
	fetches := w.client.PollFetches(bounded)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if bounded.Err() != nil {
		return nil, fmt.Errorf("restore state: nothing to read, barrier not reached: %w", errNoAnswer)
	}
	return fetches, nil
}

var errSucceeded = errors.New("a successor is at work")

// load takes a record of case-state that is no position into the table, and
// says whether it is this opening's barrier. Bytes that are not ours quarantine
// their case and stop nothing else.
func (w *worker) load(ctx context.Context, rec *kgo.Record) (barrier bool) {
	switch {
	case string(rec.Key) == schemas.BarrierKey:
		b, err := schemas.DecodeBarrier(rec.Value)
		return err == nil && b.OpeningID == w.opening
	case rec.Value == nil:
		w.table.forget(string(rec.Key))
	default:
		w.loadCase(ctx, rec)
	}
	return false
}

// loadPosition takes the newest of the positions that can be read: each
// transaction wrote one, and only the last one counts.
func (w *worker) loadPosition(ctx context.Context, records []*kgo.Record) {
	for _, rec := range slices.Backward(records) {
		position, err := schemas.DecodePosition(rec.Value)
		if err == nil {
			w.restored = &position
			return
		}
		// An older position, or none, only has triggers looked at again.
		w.p.metrics.positionLost(ctx, "unreadable")
		w.log.ErrorContext(ctx, "position cannot be read, going on without it", "offset", rec.Offset, "error", err)
	}
}

func (w *worker) loadCase(ctx context.Context, rec *kgo.Record) {
	if err := w.table.put(rec.Key, rec.Value, rec.Offset); err != nil {
		w.table.quarantine(string(rec.Key))
		w.p.metrics.quarantined(ctx)
		w.log.ErrorContext(ctx, "case state cannot be used, case is quarantined", "offset", rec.Offset, "error", err)
	}
}

// start decides where to read the inbox, from the position in the state and the
// log as it stands.
func (w *worker) start(ctx context.Context) error {
	first, end, err := w.inboxBounds(ctx)
	if err != nil {
		return err
	}
	at, lost, err := startPosition(w.restored, w.inboxID, w.p.count, first, end)
	if err != nil {
		return err
	}
	if lost != "" {
		w.p.metrics.positionLost(ctx, lost)
		w.log.ErrorContext(ctx, "inbox position is outside the log", "reason", lost, "position", w.restored.Offset,
			"log_start", first, "log_end", end)
	}
	w.progress = progress{next: at}
	w.p.follower.note(w.inboxID, w.partition, at)
	w.client.AddConsumePartitions(map[string]map[int32]kgo.Offset{
		w.p.cfg.Topics.Inbox: {w.partition: kgo.NewOffset().At(at)},
	})
	return nil
}

// startPosition is the offset to go on from; lost names why triggers may be
// missing, "" when none are.
func startPosition(pos *schemas.Position, inboxID string, partitions int32, first, end int64) (at int64, lost string, err error) {
	switch {
	case pos == nil:
		return first, "", nil
	case pos.Partitions != int(partitions):
		return 0, "", &RefusedError{Reason: fmt.Sprintf("the inbox had %d partitions when its position was written, now it has %d",
			pos.Partitions, partitions)}
	case pos.InboxTopicID != inboxID:
		return first, "recreated", nil
	case pos.Offset < first:
		return first, "deleted", nil
	case pos.Offset > end:
		return first, "truncated", nil
	}
	return pos.Offset, "", nil
}

// inboxBounds asks for the log start and the high watermark of the partition,
// and notes the topic's id.
func (w *worker) inboxBounds(ctx context.Context) (first, end int64, err error) {
	seen, err := w.p.inspect(ctx)
	if err != nil {
		return 0, 0, err
	}
	if seen.stateID != w.p.stateID {
		// The table was read from a topic that knows nothing: the next event of each
		// case would be its first. The watch may not have noticed yet.
		return 0, 0, w.p.stateRecreated()
	}
	w.inboxID, w.stateID = seen.inboxID, seen.stateID
	if first, err = w.listOffset(ctx, -2); err != nil {
		return 0, 0, err
	}
	end, err = w.listOffset(ctx, -1)
	return first, end, err
}

func (w *worker) listOffset(ctx context.Context, timestamp int64) (int64, error) {
	part := kmsg.NewListOffsetsRequestTopicPartition()
	part.Partition, part.Timestamp = w.partition, timestamp
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic = w.p.cfg.Topics.Inbox
	t.Partitions = append(t.Partitions, part)
	req := kmsg.NewPtrListOffsetsRequest()
	req.Topics = append(req.Topics, t)
	ctx, cancel := context.WithTimeout(ctx, w.p.cfg.timings.openTimeout)
	defer cancel()
	// Crash point "list offsets": nothing waits for it but the worker's beginning,
	// or the count of missed webhooks: it is asked again.
	resp, err := req.RequestWith(ctx, w.p.shared)
	if err != nil {
		return 0, fmt.Errorf("list offsets: %w", err)
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return 0, errors.New("list offsets: no answer")
	}
	answer := resp.Topics[0].Partitions[0]
	if err := kerr.ErrorForCode(answer.ErrorCode); err != nil {
		return 0, fmt.Errorf("list offsets: %w", right.Missing(err, right.OnTopic(right.Read, w.p.cfg.Topics.Inbox)))
	}
	return answer.Offset, nil
}

// fetchError is the first error of a poll that ends the worker. All are: the
// start path looks at the log anew.
func fetchError(fetches kgo.Fetches) error {
	var first error
	fetches.EachError(func(topic string, partition int32, err error) {
		if first == nil {
			first = fmt.Errorf("fetch %s/%d: %w", topic, partition, right.Missing(err, right.OnTopic(right.Read, topic)))
		}
	})
	return first
}

func newOpeningID() string { return uuid.NewString() }
