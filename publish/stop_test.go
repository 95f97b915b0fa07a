package publish

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"postident-bridge/internal/scr"
)

// A stop waits for the workers of lost partitions too: nobody else does, and they
// may be in the middle of a transaction.
func TestStopWaitsForWorkersOfLostPartitions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newVirtualStage(t)
		cfg := s.config()
		reading, last := make(chan struct{}), make(chan struct{})
		cfg.Accounts[0].Read = func(ctx context.Context, _ string) (scr.Case, error) {
			close(reading)
			<-ctx.Done()
			<-last // keeps the worker at its end
			return scr.Case{}, ctx.Err()
		}
		p, stop := s.run(cfg)
		s.hook(caseName(1))
		<-reading
		p.mu.Lock()
		var owners []*owner
		for _, o := range p.owners {
			owners = append(owners, o)
		}
		p.mu.Unlock()
		p.lost(t.Context(), nil, map[string][]int32{s.topics.Inbox: p.owned()})
		time.AfterFunc(time.Second, func() { close(last) }) // after a stop that waits for nobody
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		for _, o := range owners {
			select {
			case <-o.done:
			default:
				t.Errorf("the worker of partition %d goes on after the stop", o.partition)
			}
		}
	})
}

// A stop in the middle of a take-over leaves no transaction open: nobody may come
// to abort it, and until the broker's time-out no reader gets past it.
func TestStopDuringATakeOverLeavesNothingOpen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newVirtualStage(t)
		barriers := make(chan struct{}, testPartitions)
		s.cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
			s.cluster.KeepControl()
			s.cluster.SleepControl(func() {
				barriers <- struct{}{}
				<-time.After(time.Second)
			})
			return nil, nil, false
		})
		_, stop := s.run(s.config())
		<-barriers
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		admin := kadm.NewClient(s.client)
		ends, err := admin.ListEndOffsets(t.Context(), s.topics.CaseState)
		if err != nil {
			t.Fatal(err)
		}
		stable, err := admin.ListCommittedOffsets(t.Context(), s.topics.CaseState)
		if err != nil {
			t.Fatal(err)
		}
		written := false
		ends.Each(func(end kadm.ListedOffset) {
			written = written || end.Offset > 0
			if o, _ := stable.Lookup(end.Topic, end.Partition); o.Offset != end.Offset {
				t.Errorf("partition %d ends at %d, and is open from %d on", end.Partition, end.Offset, o.Offset)
			}
		})
		if !written {
			t.Error("no barrier was written: the stop proves nothing")
		}
	})
}
