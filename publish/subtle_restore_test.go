package publish

import (
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"postident-bridge/schemas"
)

// Design 2: the table is restored after the producer was opened. What the
// predecessor commits up to the very last moment is in it, and not published
// again.
func TestRestoreComesAfterOpening(t *testing.T) {
	t.Parallel()
	onBoth(t, func(s *stage) {
		const partition = 0
		cases := inPartition(partition, 5)
		_, stopOld := s.worker(s.config(), partition)
		s.move(1, cases...)
		s.events(len(cases))

		gate := newWire()
		opening := gate.holdRequests(s.t, kmsg.InitProducerID, 0)
		ended, _ := s.worker(gate.through(s.config()), partition)
		select { // all that comes before the opening has come
		case <-opening.reached:
		case err := <-ended:
			s.t.Fatalf("the successor did not get to its opening: %v", err)
		}
		s.move(2, cases...)
		s.events(2 * len(cases)) // by the predecessor, which nobody has fenced yet
		gate.letGo(kmsg.InitProducerID)

		s.hook(cases[0]) // finds the predecessor fenced, and is the successor's
		s.awaitPositionPast(partition)
		s.move(2, cases...)
		s.awaitPositionPast(partition)
		_ = stopOld()
		for id, events := range s.events(2 * len(cases)) {
			if len(events) != 2 {
				s.t.Errorf("case %s has %d events", id, len(events))
			}
		}
	})
}

// Design 2: the restore reads up to the barrier. A transaction that somebody
// holds open on case-state keeps all that was written after it from being read:
// the end that can be seen is not the end. The wait is bounded, nothing is
// published in the meantime, and what the transaction held counts once it ends.
func TestRestoreWaitsForItsBarrier(t *testing.T) {
	t.Parallel()
	onBoth(t, func(s *stage) {
		const partition = 0
		id := inPartition(partition, 1)[0]
		_, stop := s.worker(s.config(), partition)
		s.move(1, id)
		s.events(1)
		if err := stop(); !errors.Is(err, errStopped) {
			s.t.Fatal(err)
		}
		// The state of the case, taken away and put back by a transaction that is open.
		state := s.newestState(id)
		byHand := func(opts ...kgo.Opt) *kgo.Client {
			return s.newClient(append(opts, kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
		}
		again := &kgo.Record{Topic: s.topics.CaseState, Partition: partition, Key: state.Key, Value: state.Value}
		gone := &kgo.Record{Topic: s.topics.CaseState, Partition: partition, Key: state.Key}
		if err := byHand().ProduceSync(s.t.Context(), gone).FirstErr(); err != nil {
			s.t.Fatal(err)
		}
		holder := byHand(kgo.TransactionalID(s.prefix+"by-hand"), kgo.TransactionTimeout(time.Minute))
		if err := holder.BeginTransaction(); err != nil {
			s.t.Fatal(err)
		}
		if err := holder.ProduceSync(s.t.Context(), again).FirstErr(); err != nil {
			s.t.Fatal(err)
		}

		short := s.config()
		short.timings = defaultTimings()
		short.timings.restoreTimeout = 500 * time.Millisecond
		ended, _ := s.worker(short, partition)
		select {
		case err := <-ended:
			if !errors.Is(err, errNoAnswer) {
				s.t.Fatalf("a restore that cannot go on ended with %v", err)
			}
		case <-time.After(time.Minute):
			s.t.Fatal("a restore that cannot go on does not end")
		}

		barriers := s.barriers(partition)
		s.worker(s.config(), partition)
		s.until("the next one has written its barrier", func() bool { return s.barriers(partition) > barriers })
		s.hook(id)
		if err := holder.EndTransaction(s.t.Context(), kgo.TryCommit); err != nil {
			s.t.Fatal(err)
		}
		s.awaitPositionPast(partition)
		s.move(2, id)
		if events := s.events(2)[id]; len(events) != 2 || events[1].Sequence != 2 {
			s.t.Errorf("events %+v", events)
		}
	})
}

// The owner of a partition whose restore cannot go on tries again until it can.
func TestOwnerOutlivesARestoreWithoutProgress(t *testing.T) {
	t.Parallel()
	onBoth(t, func(s *stage) {
		const partition = 0
		cases := inPartition(partition, 3)
		holder := s.newClient(kgo.TransactionalID(s.prefix+"by-hand"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
		if err := holder.BeginTransaction(); err != nil {
			s.t.Fatal(err)
		}
		held := &kgo.Record{Topic: s.topics.CaseState, Partition: partition, Key: []byte("TESTCLNT/" + cases[0]), Value: nil}
		if err := holder.ProduceSync(s.t.Context(), held).FirstErr(); err != nil {
			s.t.Fatal(err)
		}
		cfg := s.config()
		cfg.timings = defaultTimings()
		cfg.timings.restoreTimeout = 200 * time.Millisecond
		p, _ := s.run(cfg)
		s.move(1, cases...)
		s.until("two restores gave up", func() bool { return s.barriers(partition) > 2 })
		if p.Ready(s.t.Context()) == nil {
			s.t.Error("ready, though a partition cannot be taken over")
		}
		if err := holder.EndTransaction(s.t.Context(), kgo.TryAbort); err != nil {
			s.t.Fatal(err)
		}
		s.exactly(1, cases...)
	})
}

// move shows a state of cases and hooks them.
func (s *stage) move(state int, cases ...string) {
	s.t.Helper()
	for _, id := range cases {
		s.source.show(id, state)
		s.hook(id)
	}
}

// newestState is the case's newest record in case-state.
func (s *stage) newestState(caseID string) *kgo.Record {
	s.t.Helper()
	var found *kgo.Record
	s.read(s.topics.CaseState, func(recs []*kgo.Record) bool {
		found = newest(recs, stateKey(testClient, caseID))
		return found != nil
	})
	return found
}

// awaitPositionPast waits until the position in case-state has passed all that
// stands in the inbox now.
func (s *stage) awaitPositionPast(partition int32) {
	s.t.Helper()
	end := s.end(s.topics.Inbox, partition)
	s.read(s.topics.CaseState, func(recs []*kgo.Record) bool {
		for _, rec := range recs {
			if rec.Partition != partition || string(rec.Key) != schemas.PositionKey {
				continue
			}
			if position, err := schemas.DecodePosition(rec.Value); err == nil && position.Offset >= end {
				return true
			}
		}
		return false
	})
}

// end is the partition's end offset.
func (s *stage) end(topic string, partition int32) int64 {
	s.t.Helper()
	ends, err := s.admin().ListEndOffsets(s.t.Context(), topic)
	if err != nil {
		s.t.Fatal(err)
	}
	end, _ := ends.Lookup(topic, partition)
	return end.Offset
}

// barriers counts the barriers in a partition of case-state, committed or not.
func (s *stage) barriers(partition int32) int {
	s.t.Helper()
	client := s.newClient(kgo.KeepControlRecords(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{s.topics.CaseState: {partition: kgo.NewOffset().AtStart()}}))
	defer client.Close()
	end, n := s.end(s.topics.CaseState, partition), 0
	for at := int64(0); at < end; {
		fetches := client.PollFetches(s.t.Context())
		for it := fetches.RecordIter(); !it.Done(); {
			rec := it.Next()
			at = rec.Offset + 1
			if string(rec.Key) == schemas.BarrierKey {
				n++
			}
		}
	}
	return n
}
