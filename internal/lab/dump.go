package lab

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// dumped is one record of a dump, a line of JSON. The markers with which
// transactions end are among them: Control says so.
type dumped struct {
	Partition     int32          `json:"partition"`
	Offset        int64          `json:"offset"`
	Timestamp     time.Time      `json:"timestamp"`
	ProducerID    int64          `json:"producerId"`
	ProducerEpoch int16          `json:"producerEpoch"`
	Control       bool           `json:"control,omitempty"`
	Key           string         `json:"key"`
	Headers       []dumpedHeader `json:"headers,omitempty"`
	Value         []byte         `json:"value"`
}

type dumpedHeader struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// dumpIdle ends a dump that gets nothing more.
const dumpIdle = 20 * time.Second

// dump writes a topic, uncommitted records and markers included, to a file of
// dir that is named after it.
func (w *world) dump(ctx context.Context, topic, dir string) (err error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("make directory: %w", err)
	}
	file, err := os.Create(filepath.Join(dir, topic+".jsonl"))
	if err != nil {
		return fmt.Errorf("create dump: %w", err)
	}
	out := bufio.NewWriter(file)
	defer func() { err = errors.Join(err, out.Flush(), file.Close()) }()
	client, err := kgo.NewClient(append(w.opts(), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.KeepControlRecords())...)
	if err != nil {
		return fmt.Errorf("open consumer: %w", err)
	}
	defer client.Close()
	left, err := unread(ctx, client, topic)
	if err != nil {
		return err
	}
	lines := json.NewEncoder(out)
	for len(left) > 0 {
		waiting, cancel := context.WithTimeout(ctx, dumpIdle)
		fetches := client.PollFetches(waiting)
		idle := waiting.Err() != nil
		cancel()
		if idle {
			return fmt.Errorf("dump %s: nothing comes, %d partitions are not at their ends", topic, len(left))
		}
		for _, rec := range fetches.Records() {
			if err := lines.Encode(dumpOf(rec)); err != nil {
				return fmt.Errorf("dump %s: %w", topic, err)
			}
			if rec.Offset+1 >= left[rec.Partition] {
				delete(left, rec.Partition)
			}
		}
	}
	return nil
}

// unread is the end of every partition that holds something.
func unread(ctx context.Context, client *kgo.Client, topic string) (map[int32]int64, error) {
	admin := kadm.NewClient(client)
	starts, err := admin.ListStartOffsets(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("list start offsets: %w", err)
	}
	ends, err := admin.ListEndOffsets(ctx, topic)
	if err != nil {
		return nil, fmt.Errorf("list end offsets: %w", err)
	}
	left := make(map[int32]int64)
	ends.Each(func(end kadm.ListedOffset) {
		if start, ok := starts.Lookup(topic, end.Partition); ok && end.Offset > start.Offset {
			left[end.Partition] = end.Offset
		}
	})
	return left, nil
}

func dumpOf(rec *kgo.Record) dumped {
	d := dumped{
		Partition: rec.Partition, Offset: rec.Offset, Timestamp: rec.Timestamp,
		ProducerID: rec.ProducerID, ProducerEpoch: rec.ProducerEpoch, Control: rec.Attrs.IsControl(),
		Key: string(rec.Key), Value: rec.Value,
	}
	for _, h := range rec.Headers {
		d.Headers = append(d.Headers, dumpedHeader{h.Key, string(h.Value)})
	}
	return d
}
