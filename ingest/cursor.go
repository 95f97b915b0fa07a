package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/internal/producer"
	"postident-bridge/internal/right"
	"postident-bridge/schemas"
)

// Cursors is the topic poll-cursor: how far sweeps and backfills have come. A
// cursor that is lost, or older than it could be, only has lists read again. It
// is safe for concurrent use.
type Cursors struct {
	producer *producer.Producer
	kafka    []kgo.Opt // of the clients that read
	topic    string
	log      *slog.Logger
}

// NewCursors makes the cursors of a topic. The client is made with ProducerOpts
// and closed by the caller; kafka are the options by which other clients reach
// the same brokers. A nil logger means silence.
func NewCursors(client *kgo.Client, kafka []kgo.Opt, topic string, logger *slog.Logger) (*Cursors, error) {
	if err := checkDestination(client, topic); err != nil {
		return nil, fmt.Errorf("check cursor configuration: %w", err)
	}
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return newCursors(producer.Sole(client), kafka, topic, logger), nil
}

// newCursors makes the cursors of a producer that goes on as it does.
func newCursors(p *producer.Producer, kafka []kgo.Opt, topic string, logger *slog.Logger) *Cursors {
	return &Cursors{producer: p, kafka: kafka, topic: topic, log: logger}
}

// Write writes a cursor under its key and returns once every in-sync replica has
// it. After an error it may be written all the same.
func (c *Cursors) Write(ctx context.Context, key string, cursor schemas.PollCursor) error {
	value, err := schemas.EncodePollCursor(cursor)
	if err != nil {
		return err
	}
	rec := &kgo.Record{Topic: c.topic, Key: []byte(key), Value: value}
	if err := produceAll(ctx, c.producer, rec); err != nil {
		return fmt.Errorf("write cursor: %w", err)
	}
	return nil
}

// Read gives the newest cursor under a key, nil if there is none that can be
// read. It reads the partition where such keys stand, up to its end at the time
// of the call.
func (c *Cursors) Read(ctx context.Context, key string) (*schemas.PollCursor, error) {
	found, err := c.read(ctx, func(partitions int) []int32 { return []int32{partitionOf(key, partitions)} })
	if err != nil {
		return nil, err
	}
	if cursor, ok := found[key]; ok {
		return &cursor, nil
	}
	return nil, nil //nolint:nilnil // that there is none is an answer
}

// All gives every cursor that can be read, by its key, as of the time of the
// call.
func (c *Cursors) All(ctx context.Context) (map[string]schemas.PollCursor, error) {
	return c.read(ctx, func(partitions int) []int32 {
		all := make([]int32, partitions)
		for i := range all {
			all[i] = int32(i)
		}
		return all
	})
}

// read gives the cursors of some of the partitions.
func (c *Cursors) read(ctx context.Context, choose func(partitions int) []int32) (map[string]schemas.PollCursor, error) {
	admin := kadm.NewClient(c.producer.Client())
	// Crash point "read cursor": nothing is begun yet.
	starts, err := admin.ListStartOffsets(ctx, c.topic)
	if err = errors.Join(err, starts.Error()); err != nil {
		return nil, fmt.Errorf("read cursors: %w", right.Missing(err, right.OnTopic(right.Read, c.topic)))
	}
	ends, err := admin.ListEndOffsets(ctx, c.topic)
	if err = errors.Join(err, ends.Error()); err != nil {
		return nil, fmt.Errorf("read cursors: %w", right.Missing(err, right.OnTopic(right.Read, c.topic)))
	}
	left := make(map[int32]int64) // the ends of what is not read yet
	for _, partition := range choose(len(ends[c.topic])) {
		start, _ := starts.Lookup(c.topic, partition)
		if end, ok := ends.Lookup(c.topic, partition); ok && end.Offset > start.Offset {
			left[partition] = end.Offset
		}
	}
	values, err := c.newest(ctx, left)
	if err != nil {
		return nil, fmt.Errorf("read cursors: %w", right.Missing(err, right.OnTopic(right.Read, c.topic)))
	}
	found := make(map[string]schemas.PollCursor)
	for key, value := range values {
		cursor, err := schemas.DecodePollCursor(value)
		if err != nil {
			c.log.WarnContext(ctx, "cursor cannot be read, going on without it", slog.String("key", key), slog.Any("error", err))
			continue
		}
		found[key] = cursor
	}
	return found, nil
}

// newest reads partitions up to their ends, and gives the last value of each key.
// Cursors are never deleted, so the last record before an end is there: compaction
// keeps the newest of each key.
func (c *Cursors) newest(ctx context.Context, left map[int32]int64) (map[string][]byte, error) {
	values := make(map[string][]byte)
	if len(left) == 0 {
		return values, nil
	}
	from := make(map[int32]kgo.Offset)
	for partition := range left {
		from[partition] = kgo.NewOffset().AtStart()
	}
	reader, err := kgo.NewClient(append(append([]kgo.Opt(nil), c.kafka...),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{c.topic: from}),
		kgo.FetchMaxWait(200*time.Millisecond),
	)...)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	for len(left) > 0 {
		fetches := reader.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, err
		}
		fetches.EachRecord(func(rec *kgo.Record) {
			if end, reading := left[rec.Partition]; reading {
				values[string(rec.Key)] = rec.Value
				if rec.Offset >= end-1 {
					delete(left, rec.Partition)
				}
			}
		})
	}
	return values, nil
}

// partitionOf is where the records of a key stand, by Java's partitioner.
func partitionOf(key string, partitions int) int32 {
	p := kgo.StickyKeyPartitioner(nil).ForTopic("")
	return int32(p.Partition(&kgo.Record{Key: []byte(key)}, partitions)) //nolint:gosec // a partition
}
