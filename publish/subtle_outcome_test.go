package publish

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"postident-bridge/internal/scr"
	"postident-bridge/schemas"
)

// brisk are timings under which nobody waits long for an answer.
func (s *stage) brisk() timings {
	t := s.soon()
	t.endTimeout, t.revokeTimeout, t.finishTimeout, t.closeTimeout = 4*time.Second, 400*time.Millisecond, 300*time.Millisecond, 300*time.Millisecond
	return t
}

// Design 2: an error of End is no abort. The transaction it names was committed,
// and the table that the next worker restores knows it.
func TestEndWithAnErrorThatDidCommit(t *testing.T) {
	t.Parallel()
	onBoth(t, func(s *stage) {
		w := newWire()
		cfg := w.through(s.config())
		cfg.timings = s.soon()
		s.run(cfg)
		const n = 30
		cases := make([]string, n)
		for i := range cases {
			cases[i] = caseName(i)
		}
		s.move(1, cases...)
		s.events(n)
		w.lie(5)
		s.move(2, cases...)
		s.until("the lies are told", w.lied)
		s.exactly(2, cases...)
		for _, id := range cases { // what the tables know of them now is what was committed
			s.hook(id)
		}
		s.exactly(2, cases...)
	})
}

// Design 2: any outcome that is not known is treated alike. Here the commit was
// carried out, and the answer comes when the worker has given up and its
// successor, in the same process, is at work.
func TestCommitThatAnswersLate(t *testing.T) {
	t.Parallel()
	onBoth(t, func(s *stage) {
		s.late(func(w *wire) *hold { return w.holdAnswers(s.t, kmsg.EndTxn, 0) })
	})
}

// As before, but the request itself is under way for long: when it arrives, the
// successor has opened the producer, which aborted the transaction, and has
// written it again.
func TestCommitThatArrivesLate(t *testing.T) {
	t.Parallel()
	onBoth(t, func(s *stage) {
		s.late(func(w *wire) *hold { return w.holdRequests(s.t, kmsg.EndTxn, 0) })
	})
}

// late has the end of a transaction held up, beyond the patience of its worker.
func (s *stage) late(end func(*wire) *hold) {
	const partition = 0
	cases := inPartition(partition, 5)
	w := newWire()
	cfg := w.through(s.config())
	cfg.timings = s.brisk()
	ended, _ := s.worker(cfg, partition)
	s.move(1, cases...)
	s.events(len(cases))
	held := end(w)
	s.move(2, cases...)
	<-held.reached
	err := <-ended
	if unknown := (*unknownOutcomeError)(nil); !errors.As(err, &unknown) {
		s.t.Fatalf("the worker ended with %v", err)
	}
	s.worker(s.config(), partition)
	s.events(2 * len(cases))
	w.letGo(kmsg.EndTxn) // what the old one sent and was told comes through now
	s.move(2, cases...)
	s.awaitPositionPast(partition)
	for id, events := range s.events(2 * len(cases)) {
		if len(events) != 2 {
			s.t.Errorf("case %s has %d events", id, len(events))
		}
	}
}

// A partition leaves and comes back to the same process while its old worker
// hangs in a transaction. With and without the callback in between.
func TestPartitionComesBackBeforeItsOldWorkerEnded(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]bool{"revoked and assigned": true, "assigned twice": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onBoth(t, func(s *stage) {
				const partition = 0
				cases := inPartition(partition, 5)
				w := newWire()
				cfg := w.through(s.config())
				cfg.timings = s.brisk()
				cfg.timings.endTimeout = time.Minute // the old worker does not give up by itself
				p, _ := s.run(cfg)
				s.move(1, cases...)
				s.events(len(cases))
				held := w.holdRequests(s.t, kmsg.EndTxn, 0)
				s.move(2, cases...)
				<-held.reached
				p.mu.Lock()
				old := p.owners[partition]
				p.mu.Unlock()
				here := map[string][]int32{s.topics.Inbox: {partition}}
				if leave {
					p.revoked(s.t.Context(), nil, here)
				}
				p.assigned(s.t.Context(), nil, here)
				w.letGo(kmsg.EndTxn)
				<-old.done
				s.exactly(2, cases...)
			})
		})
	}
}

// A retry that is due after the partition was revoked is not looked at, and
// writes nothing: it is the next owner's.
func TestRetryAfterRevocationIsTheNextOwners(t *testing.T) {
	t.Parallel()
	onBoth(t, func(s *stage) {
		const partition = 0
		id := inPartition(partition, 1)[0]
		cfg, goOn := s.retryOnce()
		_, stop := s.worker(cfg, partition)
		s.move(1, id)
		s.awaitRetry(id)
		if err := stop(); !errors.Is(err, errStopped) {
			s.t.Fatal(err)
		}
		goOn()
		due := s.newestRetry(id).NotBefore
		reads := s.readsOf(id)
		s.until("the retry is due", func() bool { return time.Now().After(due.Add(200 * time.Millisecond)) })
		if now := s.readsOf(id); now != reads {
			s.t.Errorf("%d reads by a worker that has ended", now-reads)
		}
		s.worker(s.config(), partition)
		if n := len(s.events(1)[id]); n != 1 {
			s.t.Errorf("%d events", n)
		}
	})
}

// The same for an owner that does not know yet that it is none: its retry fires,
// it reads the case, and the write fails at the epoch.
func TestRetryOfAZombieWritesNothing(t *testing.T) {
	t.Parallel()
	onBoth(t, func(s *stage) {
		const partition = 0
		id := inPartition(partition, 1)[0]
		cfg, goOn := s.retryOnce()
		zombie, _ := s.worker(cfg, partition)
		s.move(1, id)
		s.awaitRetry(id)
		s.worker(s.config(), partition)
		s.events(1)
		goOn()
		select {
		case err := <-zombie:
			// Whoever opens while the zombie's transaction is at its end has the broker
			// say that this transaction is none any more.
			if unknown := (*unknownOutcomeError)(nil); !errors.Is(err, errFenced) && !errors.As(err, &unknown) {
				s.t.Errorf("the zombie ended with %v", err)
			}
		case <-time.After(time.Minute):
			s.t.Fatal("the zombie goes on")
		}
		s.hook(id)
		s.awaitPositionPast(partition)
		if n := len(s.events(1)[id]); n != 1 {
			s.t.Errorf("%d events", n)
		}
	})
}

// retryOnce is a configuration under which the first read of a case fails, and
// is repeated a second later. The repetition waits for goOn, so that it tells
// nothing before, however long the test takes.
func (s *stage) retryOnce() (cfg Config, goOn func()) {
	s.source.setFault(func(_ string, attempt int) error {
		if attempt == 1 {
			return &scr.NotYetError{}
		}
		return nil
	})
	cfg = s.config()
	cfg.retry.Faults = []time.Duration{time.Second, time.Second}
	cfg.ReadDeadline = time.Hour
	read, again := cfg.Accounts[0].Read, make(chan struct{})
	var reads atomic.Int32
	cfg.Accounts[0].Read = func(ctx context.Context, caseID string) (scr.Case, error) {
		if reads.Add(1) > 1 {
			select {
			case <-again:
			case <-ctx.Done():
				return scr.Case{}, ctx.Err()
			}
		}
		return read(ctx, caseID)
	}
	return cfg, func() { close(again) }
}

func (s *stage) readsOf(caseID string) int {
	s.source.mu.Lock()
	defer s.source.mu.Unlock()
	return s.source.reads[caseID]
}

// awaitRetry waits until the case has a retry in its state.
func (s *stage) awaitRetry(caseID string) {
	s.t.Helper()
	s.until("the case waits for a retry", func() bool { return s.newestRetry(caseID) != nil })
}

func (s *stage) newestRetry(caseID string) *schemas.Retry {
	s.t.Helper()
	state, err := schemas.DecodeCaseState(s.newestState(caseID).Value)
	if err != nil {
		s.t.Fatal(err)
	}
	return state.Retry
}
