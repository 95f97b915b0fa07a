package publish

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"postident-bridge/schemas"
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

// stateAt reads the one case-state record at offset: the bytes of a waiting
// trigger stay out of the heap until they are needed.
func (p *Publisher) stateAt(ctx context.Context, topicID string, partition int32, offset int64) (schemas.CaseState, error) {
	for {
		rec, err := p.fetchOne(ctx, p.cfg.Topics.CaseState, topicID, partition, offset)
		if err != nil {
			return schemas.CaseState{}, err
		}
		if rec == nil {
			if !wait(ctx, lookupWait) {
				return schemas.CaseState{}, context.Cause(ctx)
			}
			continue
		}
		if rec.Offset != offset {
			return schemas.CaseState{}, errRecordGone
		}
		return schemas.DecodeCaseState(rec.Value)
	}
}

// fetchOne fetches the first committed record at or after offset; nil means
// none is visible yet.
func (p *Publisher) fetchOne(ctx context.Context, topic, topicID string, partition int32, offset int64) (*kgo.Record, error) {
	leader, known := p.leaders.of(partition)
	if !known {
		return nil, errNoLeader
	}
	id, err := uuid.Parse(topicID)
	if err != nil {
		return nil, fmt.Errorf("parse topic id: %w", err)
	}
	part := kmsg.NewFetchRequestTopicPartition()
	part.Partition, part.FetchOffset, part.PartitionMaxBytes = partition, offset, 1 // at least one batch comes all the same
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID = topic, id
	t.Partitions = append(t.Partitions, part)
	req := kmsg.NewPtrFetchRequest()
	req.IsolationLevel = 1 // read committed
	req.MaxBytes = 1
	req.SessionEpoch = -1
	req.Topics = append(req.Topics, t)
	resp, err := p.shared.Broker(int(leader)).RetriableRequest(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("fetch record: %w", err)
	}
	fetch, ok := resp.(*kmsg.FetchResponse)
	if !ok {
		return nil, fmt.Errorf("fetch record: answered by %T", resp)
	}
	if err := kerr.ErrorForCode(fetch.ErrorCode); err != nil {
		return nil, fmt.Errorf("fetch record: %w", err)
	}
	if len(fetch.Topics) != 1 || len(fetch.Topics[0].Partitions) != 1 {
		return nil, nil
	}
	got, _ := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
		Offset: offset, IsolationLevel: kgo.ReadCommitted(), Topic: topic, Partition: partition,
	}, &fetch.Topics[0].Partitions[0], kgo.DefaultDecompressor(), nil)
	if errors.Is(got.Err, kerr.OffsetOutOfRange) {
		return nil, errRecordGone
	}
	if got.Err != nil {
		return nil, fmt.Errorf("fetch record: %w", got.Err)
	}
	if len(got.Records) == 0 {
		return nil, nil
	}
	return got.Records[0], nil
}

// sendOn produces a trigger that someone put into the wrong partition to the
// right one. It is no part of a transaction: one dead worker would block
// another's inbox.
func (p *Publisher) sendOn(ctx context.Context, rec *kgo.Record) error {
	on := &kgo.Record{Topic: p.cfg.Topics.Inbox, Key: rec.Key, Value: rec.Value, Headers: rec.Headers}
	if err := p.shared.ProduceSync(ctx, on).FirstErr(); err != nil {
		return fmt.Errorf("send trigger on: %w", err)
	}
	return nil
}
