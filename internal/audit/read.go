package audit

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"postident-bridge/internal/right"
	"postident-bridge/schemas"
)

const (
	fetchMaxBytes = 8 << 20
	// fetchMaxWaitMillis is how long a broker may wait for more. Below the end
	// offset there is nothing to wait for.
	fetchMaxWaitMillis = 500
	// stallLimit is how long a partition may stand still below its end before
	// reading gives up: an election takes seconds.
	stallLimit = 30 * time.Second
	// retryPause is the pause before a partition is asked again after an error.
	retryPause = 100 * time.Millisecond
)

// ReadStatus reads a status topic, read-committed, from its start to where it
// ends when the call is made, and decodes each value. The result is in the
// order of partition and offset. Whatever cannot be read in full is an error,
// never a shorter result: also a value that is not ours, and records that are
// deleted while reading. Transactions that are open at the time of the call
// are beyond the end.
func ReadStatus(ctx context.Context, opts []kgo.Opt, topic string, dec *schemas.StatusDecoder) ([]Published, error) {
	var out []Published
	err := readTopics(ctx, opts, kgo.ReadCommitted(), []string{topic}, func(r *kgo.Record) error {
		p := Published{
			Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp,
			Key: r.Key, Headers: r.Headers, Value: r.Value,
		}
		var err error
		if p.Event, err = dec.Decode(ctx, r.Value); err != nil {
			return fmt.Errorf("decode %s: %w", p.Where(), err)
		}
		out = append(out, p)
		return nil
	})
	return out, err
}

// readTopics calls visit for every record of the topics.
func readTopics(ctx context.Context, opts []kgo.Opt, level kgo.IsolationLevel, topics []string, visit func(*kgo.Record) error) error {
	client, err := kgo.NewClient(opts...)
	if err != nil {
		return fmt.Errorf("open kafka client: %w", err)
	}
	defer client.Close()
	for _, topic := range topics {
		r := &topicReader{client: client, admin: kadm.NewClient(client), topic: topic, level: level}
		if _, err := r.read(ctx, visit); err != nil {
			return fmt.Errorf("read topic %s: %w", topic, right.Missing(err, right.OnTopic(right.Read, topic)))
		}
	}
	return nil
}

// topicReader reads one topic with fetch requests of its own. A consumer would
// be shorter, but it does not tell where it stands: the last offset before the
// end may be a commit marker, part of an aborted transaction or compacted away,
// and then no record says that the end is reached.
type topicReader struct {
	client *kgo.Client
	admin  *kadm.Client
	topic  string
	level  kgo.IsolationLevel
	// control: the markers at the ends of transactions are visited too.
	control bool
	since   time.Time        // leaves out older records; zero means none
	only    map[int32]bool   // the partitions that are read; nil means all
	watch   progress         // told after every fetch
	detail  kadm.TopicDetail // the last answer about the topic
}

// bounds are where a partition's log begins and where reading it begins and ends.
type bounds struct {
	partition        int32
	start, from, end int64
}

// progress is told how many offsets are read of how many. Nil tells nobody.
type progress func(read, total int64)

func (p progress) tell(read, total int64) {
	if p != nil {
		p(read, total)
	}
}

// read visits every record of the topic, by partition and offset, and returns
// what it has read.
func (r *topicReader) read(ctx context.Context, visit func(*kgo.Record) error) ([]bounds, error) {
	all, err := r.bounds(ctx)
	if err != nil {
		return nil, err
	}
	var read, total int64
	for _, b := range all {
		total += b.end - b.from
	}
	for _, b := range all {
		report := func(offset int64) { r.watch.tell(read+offset-b.from, total) }
		if err := r.readPartition(ctx, b, report, visit); err != nil {
			return nil, fmt.Errorf("partition %d: %w", b.partition, err)
		}
		read += b.end - b.from
	}
	return all, nil
}

// bounds asks where the partitions that are read begin and end.
func (r *topicReader) bounds(ctx context.Context) ([]bounds, error) {
	if err := r.refresh(ctx); err != nil {
		return nil, err
	}
	starts, err := listed(r.admin.ListStartOffsets(ctx, r.topic))
	if err != nil {
		return nil, fmt.Errorf("list start offsets: %w", err)
	}
	from := starts
	if !r.since.IsZero() {
		if from, err = listed(r.admin.ListOffsetsAfterMilli(ctx, r.since.UnixMilli(), r.topic)); err != nil {
			return nil, fmt.Errorf("list offsets since %s: %w", r.since.Format(time.RFC3339), err)
		}
	}
	list := r.admin.ListEndOffsets
	if r.level == kgo.ReadCommitted() {
		list = r.admin.ListCommittedOffsets // the last stable offset
	}
	ends, err := listed(list(ctx, r.topic))
	if err != nil {
		return nil, fmt.Errorf("list end offsets: %w", err)
	}
	var all []bounds
	for _, p := range slices.Sorted(maps.Keys(r.detail.Partitions)) {
		if r.only != nil && !r.only[p] {
			continue
		}
		start, ok1 := starts.Lookup(r.topic, p)
		first, ok2 := from.Lookup(r.topic, p)
		end, ok3 := ends.Lookup(r.topic, p)
		if !ok1 || !ok2 || !ok3 {
			return nil, fmt.Errorf("partition %d: no offsets listed", p)
		}
		// Without a newer record the answer is the end, which may be beyond what is
		// stable.
		all = append(all, bounds{p, start.Offset, min(max(first.Offset, start.Offset), end.Offset), end.Offset})
	}
	return all, nil
}

func listed(offsets kadm.ListedOffsets, err error) (kadm.ListedOffsets, error) {
	if err != nil {
		return nil, err
	}
	return offsets, offsets.Error()
}

// refresh asks for the topic's id and leaders.
func (r *topicReader) refresh(ctx context.Context) error {
	topics, err := r.admin.ListTopicsWithInternal(ctx, r.topic)
	if err != nil {
		return fmt.Errorf("list topic: %w", err)
	}
	detail, ok := topics[r.topic]
	if !ok {
		return errors.New("list topic: not in the answer")
	}
	if detail.Err != nil {
		return fmt.Errorf("list topic: %w", detail.Err)
	}
	r.detail = detail
	return nil
}

// readPartition reads from the first to the last of its bounds. It ends: each
// round moves the offset, fails for good, or uses up the stall limit.
func (r *topicReader) readPartition(ctx context.Context, b bounds, report func(offset int64), visit func(*kgo.Record) error) error {
	moved := time.Now()
	for offset := b.from; offset < b.end; {
		records, next, err := r.fetch(ctx, b.partition, offset)
		if err != nil && !retriable(err) {
			return fmt.Errorf("fetch offset %d: %w", offset, err)
		}
		for _, record := range records {
			if record.Offset < offset || record.Offset >= b.end {
				continue
			}
			if err := visit(record); err != nil {
				return err
			}
		}
		if next > offset {
			offset, moved = next, time.Now()
			report(min(offset, b.end))
			continue
		}
		if time.Since(moved) > stallLimit {
			return fmt.Errorf("offset %d of %d: stands still for %v: %w", offset, b.end, stallLimit, orNoProgress(err))
		}
		if err := r.pause(ctx); err != nil {
			return fmt.Errorf("offset %d of %d: %w", offset, b.end, err)
		}
	}
	return nil
}

var errNoProgress = errors.New("the broker answers without records")

func orNoProgress(err error) error {
	if err == nil {
		return errNoProgress
	}
	return err
}

// pause waits a moment and asks again who leads. That this fails too is no
// news: the stall limit counts.
func (r *topicReader) pause(ctx context.Context) error {
	timer := time.NewTimer(retryPause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
	}
	if err := r.refresh(ctx); err != nil && !retriable(err) {
		return err
	}
	return nil
}

// retriable reports whether a later try may go better: the broker says so, or
// could not be reached.
func retriable(err error) bool {
	if ke, ok := errors.AsType[*kerr.Error](err); ok {
		return ke.Retriable
	}
	return !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
}

// fetch asks the partition's leader for records from offset on. next is the
// offset behind all that the answer covers, whether or not it is a record.
func (r *topicReader) fetch(ctx context.Context, partition int32, offset int64) (records []*kgo.Record, next int64, err error) {
	leader := r.detail.Partitions[partition].Leader
	if leader < 0 {
		return nil, offset, kerr.LeaderNotAvailable
	}
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis = fetchMaxWaitMillis
	req.MinBytes = 1
	req.MaxBytes = fetchMaxBytes
	if r.level == kgo.ReadCommitted() {
		req.IsolationLevel = 1
	}
	part := kmsg.NewFetchRequestTopicPartition()
	part.Partition, part.FetchOffset, part.PartitionMaxBytes = partition, offset, fetchMaxBytes
	topic := kmsg.NewFetchRequestTopic()
	topic.Topic, topic.TopicID = r.topic, r.detail.ID
	topic.Partitions = append(topic.Partitions, part)
	req.Topics = append(req.Topics, topic)
	kresp, err := r.client.Broker(int(leader)).RetriableRequest(ctx, req)
	if err != nil {
		return nil, offset, err
	}
	resp, ok := kresp.(*kmsg.FetchResponse)
	if !ok {
		return nil, offset, fmt.Errorf("unexpected answer %T", kresp)
	}
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return nil, offset, err
	}
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return nil, offset, nil // nothing new; the caller counts the time
	}
	fp, next := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
		Offset: offset, IsolationLevel: r.level, Topic: r.topic, Partition: partition, KeepControlRecords: r.control,
	}, &resp.Topics[0].Partitions[0], kgo.DefaultDecompressor(), nil)
	return fp.Records, next, fp.Err
}
