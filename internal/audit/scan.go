package audit

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/internal/right"
)

// openLimit is how long a transaction may stay open after a topic was read before
// the reader says so. An ordinary one lasts milliseconds; one whose writer died
// the broker ends after the writer's own time-out.
const openLimit = 2 * time.Second

// Scan says what is read back of a running bridge. Reading is read-committed and
// ends where the topic ended, for such a reader, when it began.
type Scan struct {
	Kafka []kgo.Opt
	Topic string
	// Since leaves out what was written before, by the records' timestamps; zero
	// leaves out nothing.
	Since time.Time
	// Progress is told after every fetch how many offsets are read of how many.
	// Nil tells nobody.
	Progress func(read, total int64)
}

// Hidden is the end of a partition that could not be read, because a transaction
// is open there and stays so.
type Hidden struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"` // where the open transaction begins
	Records   int64  `json:"records"`
}

// String says what is hidden.
func (h Hidden) String() string {
	return fmt.Sprintf("%s/%d: a transaction is open since offset %d: %d records from there on are not seen", h.Topic, h.Partition, h.Offset, h.Records)
}

// read visits what there is in some partitions, nil meaning all.
func (s *Scan) read(ctx context.Context, only map[int32]bool, visit func(*kgo.Record) error) ([]bounds, []Hidden, error) {
	client, err := kgo.NewClient(s.Kafka...)
	if err != nil {
		return nil, nil, fmt.Errorf("open kafka client: %w", err)
	}
	defer client.Close()
	r := &topicReader{
		client: client, admin: kadm.NewClient(client), topic: s.Topic, level: kgo.ReadCommitted(),
		since: s.Since, only: only, watch: s.Progress,
	}
	all, err := r.read(ctx, visit)
	if err != nil {
		return nil, nil, fmt.Errorf("read topic %s: %w", s.Topic, right.Missing(err, right.OnTopic(right.Read, s.Topic)))
	}
	hidden, err := r.hidden(ctx, all)
	if err != nil {
		return nil, nil, fmt.Errorf("look for open transactions of topic %s: %w", s.Topic, err)
	}
	return all, hidden, nil
}

// hidden finds the partitions in which a transaction was open when they were read
// and stays open: nobody reads beyond it until somebody ends it.
func (r *topicReader) hidden(ctx context.Context, read []bounds) ([]Hidden, error) {
	for began := time.Now(); ; {
		// The ends first: a transaction that ends in between is not taken for open.
		ends, err := listed(r.admin.ListEndOffsets(ctx, r.topic))
		if err != nil {
			return nil, fmt.Errorf("list end offsets: %w", err)
		}
		stable, err := listed(r.admin.ListCommittedOffsets(ctx, r.topic))
		if err != nil {
			return nil, fmt.Errorf("list stable offsets: %w", err)
		}
		var open []Hidden
		for _, b := range read {
			last, ok1 := stable.Lookup(r.topic, b.partition)
			end, ok2 := ends.Lookup(r.topic, b.partition)
			if ok1 && ok2 && last.Offset == b.end && end.Offset > b.end {
				open = append(open, Hidden{Topic: r.topic, Partition: b.partition, Offset: b.end, Records: end.Offset - b.end})
			}
		}
		if len(open) == 0 || time.Since(began) > openLimit {
			return open, nil
		}
		if err := r.pause(ctx); err != nil {
			return nil, err
		}
	}
}
