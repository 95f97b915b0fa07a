package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"postident-bridge/internal/right"
)

// Backlog is how far the inbox is worked off: triggers that the consumer group
// is done with, and those that were ever written. Both only grow.
type Backlog struct{ Done, Written int64 }

// WatchBacklog gives a function that asks for the backlog of a topic's consumer
// group. The publisher commits its offsets once a second, so the answer is as
// old.
func WatchBacklog(admin *kadm.Client, group, topic string) func(ctx context.Context) (Backlog, error) {
	// Write, for whoever watches the backlog adds to it, and that lets him see it.
	needed := []right.Right{right.OnTopic(right.Write, topic), right.OnGroup(right.Describe, group)}
	return func(ctx context.Context) (Backlog, error) {
		starts, err := admin.ListStartOffsets(ctx, topic)
		if err = errors.Join(err, starts.Error()); err != nil {
			return Backlog{}, fmt.Errorf("ask for backlog: %w", right.Missing(err, needed...))
		}
		ends, err := admin.ListEndOffsets(ctx, topic)
		if err = errors.Join(err, ends.Error()); err != nil {
			return Backlog{}, fmt.Errorf("ask for backlog: %w", right.Missing(err, needed...))
		}
		committed, err := admin.FetchOffsetsForTopics(ctx, group, topic)
		if err = errors.Join(err, committed.Error()); err != nil {
			return Backlog{}, fmt.Errorf("ask for backlog: %w", right.Missing(err, needed...))
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
	// paceWindow is the time over which the rate is taken. It begins and ends where
	// the offsets moved, which they do once a second: so it can be as short as this,
	// and a backfill is at its full rate within a few seconds.
	paceWindow = 2 * time.Second
	// paceStill is after how long offsets that do not move count as standing still.
	paceStill = 1500 * time.Millisecond
	// paceFresh is how long an answer about the backlog is good for.
	paceFresh = 250 * time.Millisecond
)

// pace lets a backfill go as fast as the inbox is worked off, and no faster. It
// is a state machine without a clock.
type pace struct {
	moves []paceMark // of the offsets in the last paceWindow, oldest first
	asked time.Time  // when the backlog was told last
	left  int64      // how many more triggers it admits
}

type paceMark struct {
	at   time.Time
	done int64
}

// knows says whether another answer's triggers may be written now by what was
// told a moment ago: then nobody need ask.
func (p *pace) knows(now time.Time) bool { return p.left > 0 && now.Sub(p.asked) < paceFresh }

// wrote takes in that so many triggers were written.
func (p *pace) wrote(triggers int) { p.left -= int64(triggers) }

// admits says whether another answer's triggers may be written now.
func (p *pace) admits(now time.Time, b Backlog) bool {
	if n := len(p.moves); n == 0 || p.moves[n-1].done != b.Done {
		p.moves = append(p.moves, paceMark{now, b.Done})
	}
	for len(p.moves) > 2 && now.Sub(p.moves[1].at) >= paceWindow {
		p.moves = p.moves[1:]
	}
	first, last := p.moves[0], p.moves[len(p.moves)-1]
	until := last.at
	if now.Sub(until) >= paceStill {
		until = now
	}
	allowed := int64(paceLeast)
	if took := until.Sub(first.at); took > 0 {
		rate := float64(last.done-first.done) / took.Seconds()
		allowed = max(allowed, int64(rate*paceAhead.Seconds()))
	}
	p.asked, p.left = now, allowed-(b.Written-b.Done)
	return p.left > 0
}
