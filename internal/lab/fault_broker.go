package lab

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/internal/testbed"
)

// brokerKilled ends a broker by kill -9 and starts it again with its data.
type brokerKilled struct {
	kafka  *testbed.Kafka
	broker int
}

// Begin kills it.
func (f *brokerKilled) Begin(ctx context.Context) error { return f.kafka.Kill(ctx, f.broker) }

// Heal starts it and waits until it serves.
func (f *brokerKilled) Heal(ctx context.Context) error { return f.kafka.Start(ctx, f.broker) }

// brokerPaused halts a broker where it stands: connections stay open, and
// nobody answers.
type brokerPaused struct {
	kafka  *testbed.Kafka
	broker int
}

// Begin sends SIGSTOP.
func (f *brokerPaused) Begin(ctx context.Context) error { return f.kafka.Pause(ctx, f.broker) }

// Heal sends SIGCONT.
func (f *brokerPaused) Heal(ctx context.Context) error { return f.kafka.Resume(ctx, f.broker) }

// leadersMoved makes one broker the preferred leader of every partition, the
// internal topics of groups and transactions included, elects it, and then
// brings back what was before.
type leadersMoved struct {
	world  *world
	to     int
	before kadm.AlterPartitionAssignmentsReq
}

// adminTime bounds one request: a broker may be on its way back.
const adminTime = 10 * time.Second

// Begin moves the leaders.
func (f *leadersMoved) Begin(ctx context.Context) error {
	return f.world.withAdmin(ctx, func(ctx context.Context, admin *kadm.Client) error {
		topics, err := admin.ListTopicsWithInternal(ctx)
		if err != nil {
			return fmt.Errorf("list topics: %w", err)
		}
		f.before = make(kadm.AlterPartitionAssignmentsReq)
		after := make(kadm.AlterPartitionAssignmentsReq)
		for _, topic := range topics {
			for _, p := range topic.Partitions {
				f.before.Assign(topic.Topic, p.Partition, p.Replicas)
				after.Assign(topic.Topic, p.Partition, first(p.Replicas, int32(f.to))) //nolint:gosec // a handful of brokers
			}
		}
		return f.elect(ctx, admin, after)
	})
}

// Heal moves them back.
func (f *leadersMoved) Heal(ctx context.Context) error {
	if len(f.before) == 0 {
		return nil
	}
	return f.world.withAdmin(ctx, func(ctx context.Context, admin *kadm.Client) error {
		return f.elect(ctx, admin, f.before)
	})
}

// elect sets the order of the replicas, of which the first is preferred, and has
// leaders elected by it. That there was nothing to elect is no error.
func (*leadersMoved) elect(ctx context.Context, admin *kadm.Client, order kadm.AlterPartitionAssignmentsReq) error {
	if _, err := admin.AlterPartitionAssignments(ctx, order); err != nil {
		return fmt.Errorf("order replicas: %w", err)
	}
	if _, err := admin.ElectLeaders(ctx, kadm.ElectPreferredReplica, nil); err != nil {
		return fmt.Errorf("elect leaders: %w", err)
	}
	return nil
}

// first puts a broker in front of the others.
func first(replicas []int32, broker int32) []int32 {
	if !slices.Contains(replicas, broker) {
		return replicas
	}
	return append([]int32{broker}, slices.DeleteFunc(slices.Clone(replicas), func(r int32) bool { return r == broker })...)
}

// withAdmin opens an admin client for one task.
func (w *world) withAdmin(ctx context.Context, do func(context.Context, *kadm.Client) error) error {
	client, err := kgo.NewClient(append(w.opts(), kgo.RetryTimeout(adminTime))...)
	if err != nil {
		return fmt.Errorf("open admin client: %w", err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, 2*adminTime)
	defer cancel()
	return do(ctx, kadm.NewClient(client))
}

// drained is nil when the group has done every trigger of the inbox.
func (w *world) drained(ctx context.Context) error {
	return w.withAdmin(ctx, func(ctx context.Context, admin *kadm.Client) error {
		lags, err := admin.Lag(ctx, groupName)
		if err != nil {
			return fmt.Errorf("read lag: %w", err)
		}
		lag := lags[groupName]
		if err := errors.Join(lag.FetchErr, lag.DescribeErr); err != nil {
			return fmt.Errorf("read lag: %w", err)
		}
		if total := lag.Lag.Total(); total != 0 {
			return fmt.Errorf("%d triggers are left in the inbox", total)
		}
		return nil
	})
}
