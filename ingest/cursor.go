package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/schemas"
)

// Cursors is the topic poll-cursor: how far sweeps and backfills have come. A
// cursor that is lost, or older than it could be, only has lists read again. It
// is safe for concurrent use.
type Cursors struct {
	client *kgo.Client // writes
	kafka  []kgo.Opt   // of the clients that read
	topic  string
	log    *slog.Logger
}

// NewCursors makes the cursors of a topic. The client is made with ProducerOpts
// and closed by the caller; kafka are the options by which other clients reach
// the same brokers. A nil logger means silence.
func NewCursors(client *kgo.Client, kafka []kgo.Opt, topic string, logger *slog.Logger) (*Cursors, error) {
	var errs []error
	if err := checkProducer(client); err != nil {
		errs = append(errs, err)
	}
	if topic == "" {
		errs = append(errs, errors.New("topic: missing"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("check cursor configuration: %w", err)
	}
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &Cursors{client: client, kafka: kafka, topic: topic, log: logger}, nil
}

// Write writes a cursor under its key and returns once every in-sync replica has
// it. After an error it may be written all the same.
func (c *Cursors) Write(ctx context.Context, key string, cursor schemas.PollCursor) error {
	value, err := schemas.EncodePollCursor(cursor)
	if err != nil {
		return err
	}
	rec := &kgo.Record{Topic: c.topic, Key: []byte(key), Value: value}
	if err := produceAll(ctx, c.client, rec); err != nil {
		return fmt.Errorf("write cursor: %w", err)
	}
	return nil
}

// Read gives the newest cursor under a key, nil if there is none that can be
// read. It reads the partition where such keys stand, up to its end at the time
// of the call.
func (c *Cursors) Read(ctx context.Context, key string) (*schemas.PollCursor, error) {
	admin := kadm.NewClient(c.client)
	// Crash point "read cursor": nothing is begun yet.
	ends, err := admin.ListEndOffsets(ctx, c.topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("read cursor: %w", err)
	}
	partition := partitionOf(key, len(ends[c.topic]))
	end, ok := ends.Lookup(c.topic, partition)
	if !ok {
		return nil, fmt.Errorf("read cursor: no partition %d", partition)
	}
	starts, err := admin.ListStartOffsets(ctx, c.topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return nil, fmt.Errorf("read cursor: %w", err)
	}
	if start, ok := starts.Lookup(c.topic, partition); !ok || start.Offset >= end.Offset {
		return nil, nil //nolint:nilnil // no cursor is an answer
	}
	value, err := c.newest(ctx, key, partition, end.Offset)
	if err != nil || value == nil {
		return nil, err
	}
	cursor, err := schemas.DecodePollCursor(value)
	if err != nil {
		c.log.WarnContext(ctx, "cursor cannot be read, going on without it", slog.String("key", key), slog.Any("error", err))
		return nil, nil //nolint:nilnil // as above
	}
	return &cursor, nil
}

// newest is the value of the last record with a key before the end of a
// partition, which is not empty.
func (c *Cursors) newest(ctx context.Context, key string, partition int32, end int64) ([]byte, error) {
	reader, err := kgo.NewClient(append(append([]kgo.Opt(nil), c.kafka...),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{c.topic: {partition: kgo.NewOffset().AtStart()}}),
		kgo.FetchMaxWait(200*time.Millisecond),
	)...)
	if err != nil {
		return nil, fmt.Errorf("read cursor: %w", err)
	}
	defer reader.Close()
	var value []byte
	for {
		fetches := reader.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			return nil, fmt.Errorf("read cursor: %w", err)
		}
		for _, e := range fetches.Errors() {
			return nil, fmt.Errorf("read cursor: %w", e.Err)
		}
		reached := int64(-1)
		fetches.EachRecord(func(rec *kgo.Record) {
			if reached = rec.Offset; reached < end && string(rec.Key) == key {
				value = rec.Value
			}
		})
		// Cursors are never deleted, so the last record before the end is there:
		// compaction keeps the newest of each key.
		if reached >= end-1 {
			return value, nil
		}
	}
}

// partitionOf is where the records of a key stand, by Java's partitioner.
func partitionOf(key string, partitions int) int32 {
	p := kgo.StickyKeyPartitioner(nil).ForTopic("")
	return int32(p.Partition(&kgo.Record{Key: []byte(key)}, partitions)) //nolint:gosec // a partition
}
