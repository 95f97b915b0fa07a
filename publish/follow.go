package publish

import (
	"context"
	"fmt"
	"sync"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// follower keeps the group's offsets near the positions, all partitions of the
// process with one commit. They are there for lag monitoring only: nothing reads
// them back, so nothing waits for them and no error has a consequence.
type follower struct {
	turn    chan struct{} // capacity 1: one commit at a time
	mu      sync.Mutex
	inboxID string          // guarded by mu: the topic of next
	next    map[int32]int64 // guarded by mu: positions that the group has not got
}

func newFollower() follower {
	return follower{turn: make(chan struct{}, 1), next: make(map[int32]int64)}
}

// note takes the position of a partition that this process works on.
func (f *follower) note(inboxID string, partition int32, position int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if inboxID != f.inboxID {
		f.inboxID = inboxID
		clear(f.next) // they mean nothing in a recreated inbox
	}
	f.next[partition] = position
}

// drop forgets partitions that another process works on now.
func (f *follower) drop(partitions []int32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, partition := range partitions {
		delete(f.next, partition)
	}
}

func (f *follower) take() (inboxID string, positions map[int32]int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	positions = f.next
	f.next = make(map[int32]int64)
	return f.inboxID, positions
}

// putBack has positions that the group did not take committed again, unless
// newer ones have come.
func (f *follower) putBack(inboxID string, positions map[int32]int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if inboxID != f.inboxID {
		return
	}
	for partition, position := range positions {
		if _, newer := f.next[partition]; !newer {
			f.next[partition] = position
		}
	}
}

// follow commits until ctx ends.
func (p *Publisher) follow(ctx context.Context) {
	for wait(ctx, p.cfg.timings.followInterval) {
		p.commitPositions(ctx)
	}
}

// commitPositions commits what is new to the group, bounded. A stop lets a commit
// that is under way end: cut off, it might reach the broker after the last one.
func (p *Publisher) commitPositions(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.cfg.timings.closeTimeout)
	defer cancel()
	select {
	case p.follower.turn <- struct{}{}:
		defer func() { <-p.follower.turn }()
	case <-ctx.Done():
		return
	}
	inboxID, positions := p.follower.take()
	if len(positions) == 0 {
		return
	}
	if err := p.commitOffsets(ctx, inboxID, positions); err != nil {
		p.follower.putBack(inboxID, positions)
		p.cfg.Logger.DebugContext(ctx, "commit group offsets", "error", err)
	}
}

// commitOffsets is a request of our own, because kgo's commit waits for locks
// that a rebalance holds, whatever ctx says.
func (p *Publisher) commitOffsets(ctx context.Context, inboxID string, positions map[int32]int64) error {
	t := kmsg.NewOffsetCommitRequestTopic()
	t.Topic = p.cfg.Topics.Inbox
	if id, err := uuid.Parse(inboxID); err == nil {
		t.TopicID = id // newer brokers know the topic by it
	}
	for partition, position := range positions {
		part := kmsg.NewOffsetCommitRequestTopicPartition()
		part.Partition, part.Offset = partition, position
		t.Partitions = append(t.Partitions, part)
	}
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Topics = append(req.Topics, t)
	req.Group = p.groupName()
	group := p.groupClient()
	req.MemberID, req.Generation = group.GroupMetadata()
	if p.cfg.InstanceID != "" {
		req.InstanceID = &p.cfg.InstanceID
	}
	// Crash point "note": the group's offsets lag, until the next note.
	resp, err := req.RequestWith(ctx, group)
	if err != nil {
		return fmt.Errorf("commit offsets: %w", err)
	}
	for _, t := range resp.Topics {
		for _, part := range t.Partitions {
			if err := kerr.ErrorForCode(part.ErrorCode); err != nil {
				return fmt.Errorf("commit offsets: %w", err)
			}
		}
	}
	return nil
}
