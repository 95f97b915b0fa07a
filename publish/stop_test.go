package publish

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"postident-bridge/internal/scr"
)

// A stop waits for the workers of lost partitions too: nobody else does, and they
// may be in the middle of a transaction.
func TestStopWaitsForWorkersOfLostPartitions(t *testing.T) {
	t.Parallel()
	awaitVirtualTurn(t)
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
