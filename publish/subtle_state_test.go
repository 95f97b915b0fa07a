package publish

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"postident-bridge/schemas"
)

// P8: state that cannot be used quarantines its case, whatever is wrong with it.
// Its triggers go to the dead letters, no event is published on a guess, and the
// other cases of the partition go on.
func TestUnusableStateQuarantinesItsCase(t *testing.T) {
	t.Parallel()
	const partition = 0
	names := inPartition(partition, 3)
	bad, good, other := names[0], names[1], names[2]
	elsewhere := inPartition(partition+1, 1)[0]
	encoded := func(caseID string) []byte {
		value, err := schemas.EncodeCaseState(schemas.CaseState{ClientID: testClient, CaseID: caseID, UpdatedAt: epoch})
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
	whole := encoded(bad)
	for name, state := range map[string]struct {
		key   string
		value []byte
	}{
		"no Avro":                   {stateKey(testClient, bad), []byte("poison")},
		"empty":                     {stateKey(testClient, bad), []byte{}},
		"cut off":                   {stateKey(testClient, bad), whole[:len(whole)-3]},
		"its beginning is missing":  {stateKey(testClient, bad), whole[10:]},
		"of another case":           {stateKey(testClient, bad), encoded(other)},
		"of a case of elsewhere":    {stateKey(testClient, elsewhere), encoded(elsewhere)},
		"a key that names no case":  {stateKey(testClient, ""), whole},
		"a key that is no client's": {"/", whole},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			s.byHand(&kgo.Record{Topic: s.topics.CaseState, Partition: partition, Key: []byte(state.key), Value: state.value})
			s.run(s.config())
			s.move(1, good, other)
			switch state.key {
			case stateKey(testClient, bad):
				s.move(1, bad)
				letter := s.read(s.topics.DeadLetter, count(1))[0]
				if header(letter, "postident.error.reason") != reasonQuarantined || string(letter.Key) != bad {
					t.Errorf("letter of %s for %s", letter.Key, header(letter, "postident.error.reason"))
				}
				s.exactly(0, bad)
			case stateKey(testClient, elsewhere):
				s.move(1, elsewhere) // its own partition knows nothing of it
				s.exactly(1, elsewhere)
			}
			s.exactly(1, good, other)
		})
	}
}

// A quarantine ends when an operator puts usable state in place, or takes the
// unusable away, and the partition is taken over anew.
func TestQuarantineEndsWithUsableState(t *testing.T) {
	t.Parallel()
	for name, again := range map[string]bool{"put back": true, "taken away": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			const partition = 0
			id := inPartition(partition, 1)[0]
			_, stop := s.run(s.config())
			s.move(1, id)
			s.events(1)
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			state := s.newestState(id)
			s.byHand(&kgo.Record{Topic: s.topics.CaseState, Partition: partition, Key: state.Key, Value: []byte("poison")})
			_, stop = s.run(s.config())
			s.move(2, id)
			s.read(s.topics.DeadLetter, count(1))
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			mend := &kgo.Record{Topic: s.topics.CaseState, Partition: partition, Key: state.Key}
			if again {
				mend.Value = state.Value
			}
			s.byHand(mend)
			s.run(s.config())
			s.hook(id)
			events := s.read(s.topics.Status, count(2)) // of a case without a past the chain begins anew
			last, err := schemas.NewStatusDecoder(nil).Decode(t.Context(), events[1].Value)
			if err != nil {
				t.Fatal(err)
			}
			if want := map[bool]int64{true: 2, false: 1}[again]; last.Sequence != want {
				t.Errorf("sequence %d, want %d", last.Sequence, want)
			}
		})
	}
}

// A position that cannot be read costs looks, and no event: the log is read from
// an older position, or from its start.
func TestUnreadablePositionDoublesNoEvent(t *testing.T) {
	t.Parallel()
	for name, position := range map[string][]byte{"no Avro": []byte("poison"), "empty": {}, "a tombstone": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			cases := []string{caseName(0), caseName(1), caseName(2), caseName(3)}
			_, stop := s.run(s.config())
			s.move(1, cases...)
			s.exactly(1, cases...)
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			for partition := range int32(testPartitions) {
				s.byHand(&kgo.Record{Topic: s.topics.CaseState, Partition: partition, Key: []byte(schemas.PositionKey), Value: position})
			}
			s.run(s.config())
			s.exactly(1, cases...)
			s.move(2, cases...)
			s.exactly(2, cases...)
		})
	}
}

// Design 2: a trigger that another partitioner put into the wrong partition is
// sent on to the right one, and the position does not pass it before that is
// acknowledged: the process may die in between.
func TestMisplacedTriggerOutlivesItsFinder(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	const right, wrong = 0, 1
	id := inPartition(right, 1)[0]
	s.source.show(id, 1)
	value, err := schemas.EncodeTrigger(schemas.Trigger{ClientID: testClient, CaseID: id, Source: schemas.SourceWebhook, ReceivedAt: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	trigger := s.byHand(&kgo.Record{Topic: s.topics.Inbox, Partition: wrong, Key: []byte(id), Value: value})
	s.move(1, inPartition(wrong, 2)...) // behind it

	var refused atomic.Int64 // sendings on that got no answer
	s.cluster.ControlKey(kmsg.Produce.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		s.cluster.KeepControl()
		if produce, ok := req.(*kmsg.ProduceRequest); ok && produce.TransactionID == nil && refused.Load() >= 0 {
			refused.Add(1)
			return nil, errSabotage, true
		}
		return nil, nil, false
	})
	_, stop := s.run(s.config())
	s.events(2) // the others go on
	s.until("the trigger could not be sent on", func() bool { return refused.Load() > 0 })
	if at := s.position(wrong); at > trigger.Offset {
		t.Errorf("the position %d has passed the trigger at %d, which is nowhere else", at, trigger.Offset)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	refused.Store(-1 << 40)
	s.run(s.config())
	if events := s.events(3); len(events[id]) != 1 {
		t.Errorf("events %v", events)
	}
}

// Kafka may refuse the id of the producer that sends on, for good as its client has
// it. The triggers go on once it gives one, and nothing needs a restart.
func TestMisplacedTriggerOutlivesARefusedProducerID(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	const right, wrong = 0, 1
	cases := inPartition(right, 2)
	plant := func(id string) *kgo.Record {
		s.source.show(id, 1)
		value, err := schemas.EncodeTrigger(schemas.Trigger{ClientID: testClient, CaseID: id, Source: schemas.SourceWebhook, ReceivedAt: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		return s.byHand(&kgo.Record{Topic: s.topics.Inbox, Partition: wrong, Key: []byte(id), Value: value})
	}
	trigger := plant(cases[0])
	s.move(1, inPartition(wrong, 2)...) // behind it
	var given atomic.Bool
	s.cluster.ControlKey(kmsg.InitProducerID.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		s.cluster.KeepControl()
		init, ok := req.(*kmsg.InitProducerIDRequest)
		if !ok || init.TransactionalID != nil || given.Load() {
			return nil, nil, false
		}
		resp := kmsg.NewPtrInitProducerIDResponse()
		resp.Version, resp.ErrorCode = req.GetVersion(), kerr.ClusterAuthorizationFailed.Code
		return resp, nil, true
	})
	p, _ := s.run(s.config())
	s.events(2) // the others go on
	s.until("the producer is refused its id", func() bool { return p.onward.Refused() != nil })
	if why := p.onward.Refused().Error(); !strings.Contains(why, "needs Write on topic "+s.topics.Inbox) {
		t.Errorf("refused: %s", why)
	}
	if at := s.position(wrong); at > trigger.Offset {
		t.Errorf("the position %d has passed the trigger at %d, which is nowhere else", at, trigger.Offset)
	}
	given.Store(true)
	if events := s.events(3); len(events[cases[0]]) != 1 {
		t.Errorf("events %v", events)
	}
	plant(cases[1])
	if events := s.events(4); len(events[cases[1]]) != 1 {
		t.Errorf("events %v", events)
	}
}

// byHand produces a record where the test says.
func (s *stage) byHand(rec *kgo.Record) *kgo.Record {
	s.t.Helper()
	client := s.newClient(kgo.RecordPartitioner(kgo.ManualPartitioner()))
	defer client.Close()
	rec, err := client.ProduceSync(s.t.Context(), rec).First()
	if err != nil {
		s.t.Fatal(err)
	}
	return rec
}

// position is the newest position of a partition.
func (s *stage) position(partition int32) int64 {
	s.t.Helper()
	var at int64 = -1
	s.read(s.topics.CaseState, func(recs []*kgo.Record) bool {
		for _, rec := range recs {
			if rec.Partition != partition || string(rec.Key) != schemas.PositionKey {
				continue
			}
			position, err := schemas.DecodePosition(rec.Value)
			if err != nil {
				s.t.Fatal(err)
			}
			at = position.Offset
		}
		return at >= 0
	})
	return at
}
