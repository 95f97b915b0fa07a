package publish

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"postident-bridge/internal/right"
)

// sharedOpts are the settings of the process's one client without a
// transaction: it looks records up, inspects topics, and sends triggers on that
// stand in the wrong partition.
func sharedOpts() []kgo.Opt {
	return []kgo.Opt{
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), // murmur2, as Java's
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerLinger(0),
		kgo.MetadataMinAge(metadataMinAge),
		kgo.DisableClientMetrics(),
	}
}

// metadataMinAge: with franz-go's 5 s, transactions on three brokers stall for
// seconds after a leader moved.
const metadataMinAge = 50 * time.Millisecond

// lookupWait is the pause before a look-up that found nothing yet is repeated:
// a record just committed is visible once the last stable offset has moved.
const lookupWait = 20 * time.Millisecond

var (
	errNoLeader   = errors.New("partition of case-state has no leader")
	errRecordGone = errors.New("record is not there any more")
)

// lookupBytes is how much one look-up asks for: slots that were parked together
// stand together, and one answer brings many.
const lookupBytes = 64 << 10

// lookahead keeps what the last look-up in a partition of case-state brought, for
// the next one: a fetch brings whole batches, and those that a backlog was parked
// with hold several groups of slots. What stands at an offset never changes.
type lookahead struct {
	mu         sync.Mutex
	from, next int64         // guarded by mu: where recs begin, and got to
	recs       []*kgo.Record // guarded by mu
}

// at is what is known from an offset on.
func (a *lookahead) at(offset int64) (recs []*kgo.Record, next int64, known bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.recs, a.next, a.from <= offset && offset < a.next
}

func (a *lookahead) keep(from, next int64, recs []*kgo.Record) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.from, a.next, a.recs = from, next, recs
}

// drop lets the memory go.
func (a *lookahead) drop() { a.keep(0, 0, nil) }

// valuesAt reads the values of the case-state records at the given offsets, which
// ascend: the bytes of waiting triggers stay out of the heap until they are
// needed. A record that is not there any more is missing from the answer; with
// an error, so are those that were not looked up.
func (p *Publisher) valuesAt(ctx context.Context, topicID string, partition int32, offsets []int64, ahead *lookahead) (map[int64][]byte, error) {
	values := make(map[int64][]byte, len(offsets))
	for len(offsets) > 0 {
		recs, next, known := ahead.at(offsets[0])
		if !known {
			var err error
			if recs, next, err = p.fetchFrom(ctx, p.cfg.Topics.CaseState, topicID, partition, offsets[0]); err != nil {
				return values, err
			}
			ahead.keep(offsets[0], next, recs)
		}
		for _, rec := range recs {
			if _, wanted := slices.BinarySearch(offsets, rec.Offset); wanted {
				values[rec.Offset] = rec.Value
			}
		}
		// A record just committed is visible once the last stable offset has moved.
		if next <= offsets[0] && !wait(ctx, lookupWait) {
			return values, context.Cause(ctx)
		}
		passed, _ := slices.BinarySearch(offsets, next)
		offsets = offsets[passed:]
	}
	return values, nil
}

// fetchFrom fetches committed records at and after offset, some if there are any,
// and says where it got to: what is below and not among them is not there.
func (p *Publisher) fetchFrom(ctx context.Context, topic, topicID string, partition int32, offset int64) (recs []*kgo.Record, next int64, err error) {
	leader, known := p.leaders.of(partition)
	if !known {
		return nil, offset, errNoLeader
	}
	id, err := uuid.Parse(topicID)
	if err != nil {
		return nil, offset, fmt.Errorf("parse topic id: %w", err)
	}
	part := kmsg.NewFetchRequestTopicPartition()
	part.Partition, part.FetchOffset, part.PartitionMaxBytes = partition, offset, lookupBytes // at least one batch comes all the same
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID = topic, id
	t.Partitions = append(t.Partitions, part)
	req := kmsg.NewPtrFetchRequest()
	req.IsolationLevel = 1 // read committed
	req.MaxBytes = lookupBytes
	req.SessionEpoch = -1
	req.Topics = append(req.Topics, t)
	// Crash point "look up": the slot is as it was, and is due again.
	resp, err := p.shared.Broker(int(leader)).RetriableRequest(ctx, req)
	if err != nil {
		return nil, offset, fmt.Errorf("fetch record: %w", err)
	}
	fetch, ok := resp.(*kmsg.FetchResponse)
	if !ok {
		return nil, offset, fmt.Errorf("fetch record: answered by %T", resp)
	}
	if err := kerr.ErrorForCode(fetch.ErrorCode); err != nil {
		return nil, offset, fmt.Errorf("fetch record: %w", err)
	}
	if len(fetch.Topics) != 1 || len(fetch.Topics[0].Partitions) != 1 {
		return nil, offset, nil
	}
	got, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
		Offset: offset, IsolationLevel: kgo.ReadCommitted(), Topic: topic, Partition: partition,
	}, &fetch.Topics[0].Partitions[0], kgo.DefaultDecompressor(), nil)
	if errors.Is(got.Err, kerr.OffsetOutOfRange) {
		return nil, max(offset+1, got.LogStartOffset), nil
	}
	if got.Err != nil {
		return nil, offset, fmt.Errorf("fetch record: %w", right.Missing(got.Err, right.OnTopic(right.Read, topic)))
	}
	return got.Records, next, nil
}

// sendOn produces a trigger that someone put into the wrong partition to the
// right one. It is no part of a transaction: one dead worker would block
// another's inbox. Its producer outlives a refusal of its id.
func (p *Publisher) sendOn(ctx context.Context, rec *kgo.Record) error {
	// Crash point "send on": the position waits for the acknowledgement; the
	// trigger may stand in its partition twice, which is harmless.
	on := &kgo.Record{Topic: p.cfg.Topics.Inbox, Key: rec.Key, Value: rec.Value, Headers: rec.Headers}
	client := p.onward.Client()
	if err := client.ProduceSync(ctx, on).FirstErr(); err != nil {
		p.onward.Failed(client, err) //nolint:contextcheck // what looks after the client outlives whoever sent
		return fmt.Errorf("send trigger on: %w", right.Missing(err, right.OnTopic(right.Write, on.Topic)))
	}
	return nil
}
