package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// Backlog is how far the inbox is worked off: triggers that the consumer group
// is done with, and those that were ever written. Both only grow.
type Backlog struct{ Done, Written int64 }

// WatchBacklog gives a function that asks for the backlog of a topic's consumer
// group. The publisher commits its offsets once a second, so the answer is as
// old.
func WatchBacklog(admin *kadm.Client, group, topic string) func(ctx context.Context) (Backlog, error) {
	return func(ctx context.Context) (Backlog, error) {
		starts, err := admin.ListStartOffsets(ctx, topic)
		if err = errors.Join(err, starts.Error()); err != nil {
			return Backlog{}, fmt.Errorf("ask for backlog: %w", err)
		}
		ends, err := admin.ListEndOffsets(ctx, topic)
		if err = errors.Join(err, ends.Error()); err != nil {
			return Backlog{}, fmt.Errorf("ask for backlog: %w", err)
		}
		committed, err := admin.FetchOffsetsForTopics(ctx, group, topic)
		if err = errors.Join(err, committed.Error()); err != nil {
			return Backlog{}, fmt.Errorf("ask for backlog: %w", err)
		}
		var b Backlog
		for partition, end := range ends[topic] {
			start, _ := starts.Lookup(topic, partition)
			done := start.Offset
			if c, ok := committed.Lookup(topic, partition); ok && c.At > done {
				done = c.At
			}
			b.Done += done
			b.Written += end.Offset
		}
		return b, nil
	}
}

const (
	// paceInterval is the pause between two looks at the backlog.
	paceInterval = 100 * time.Millisecond
	// paceAhead is how much work a backfill puts before others: a webhook that
	// comes meanwhile waits for as long.
	paceAhead = 2 * time.Second
	// paceLeast is how many triggers may wait whatever the rate, so that those who
	// stand still show what they can do.
	paceLeast = 2000
	// paceWindow is the time over which the rate is taken: offsets move once a
	// second.
	paceWindow = 5 * time.Second
)

// pace lets a backfill go as fast as the inbox is worked off, and no faster. It
// is a state machine without a clock.
type pace struct {
	seen []paceMark // of the last paceWindow, oldest first
}

type paceMark struct {
	at   time.Time
	done int64
}

// admits says whether another answer's triggers may be written now.
func (p *pace) admits(now time.Time, b Backlog) bool {
	p.seen = append(p.seen, paceMark{now, b.Done})
	for len(p.seen) > 2 && now.Sub(p.seen[1].at) >= paceWindow {
		p.seen = p.seen[1:]
	}
	allowed := int64(paceLeast)
	if took := now.Sub(p.seen[0].at); took > 0 {
		rate := float64(b.Done-p.seen[0].done) / took.Seconds()
		allowed = max(allowed, int64(rate*paceAhead.Seconds()))
	}
	return b.Written-b.Done < allowed
}
