package audit_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/internal/audit"
	"postident-bridge/internal/counterpart"
	"postident-bridge/internal/scrsim"
	"postident-bridge/schemas"
)

const (
	planted       = "CANARY-lastName-12"
	plantedSecret = "sim-hook-SIMGWG01"
)

// simulated is the truth of some cases of every class, walked to their ends by
// the simulator, each change a minute after the one before, and of their records.
func simulated(tb testing.TB) ([]audit.Change, []audit.RecordTruth, map[string]schemas.RegulatoryClass) {
	tb.Helper()
	accounts := scrsim.ExampleAccounts("")
	sim, err := scrsim.New(scrsim.Config{Accounts: accounts, Seed: 11, Start: epoch})
	if err != nil {
		tb.Fatal(err)
	}
	classes := make(map[string]schemas.RegulatoryClass)
	for i, a := range accounts {
		classes[a.ClientID] = schemas.RegulatoryClass(strings.ToLower(string(a.Class)))
		for range 3 {
			c, err := sim.Create(scrsim.NewCase{ClientID: accounts[i].ClientID})
			if err != nil {
				tb.Fatal(err)
			}
			for end := false; !end; {
				step, err := sim.Advance(c.CaseID)
				if err != nil {
					tb.Fatal(err)
				}
				end = step.AtEnd
			}
		}
	}
	var truth []audit.Change
	for i, c := range sim.Truth() {
		change := audit.Change(c)
		change.Seen = true
		change.Modified = epoch.Add(time.Duration(i) * time.Minute) // the simulator took no time
		truth = append(truth, change)
	}
	var records []audit.RecordTruth
	for r := range sim.AllRecords() {
		records = append(records, audit.RecordTruth(r))
	}
	return truth, records, classes
}

// step is one transaction of the owner of a partition.
type step struct {
	caseID  string // "" for the opening
	records []*kgo.Record
	outside bool // not in a transaction at all
}

// scene is a run of a faultless bridge, before it is written to a cluster.
type scene struct {
	tb        testing.TB
	evidence  audit.Evidence
	topic     *topic
	steps     [partitions][]step
	inbox     []*kgo.Record
	letters   []*kgo.Record
	positions [partitions]int64

	stored // results and records, see stored_test.go
}

// newScene publishes the changes of written as a faultless bridge would; truth
// is what it is judged by.
func newScene(tb testing.TB, written func([]audit.Change) []audit.Change, edit func(n int, e *schemas.StatusChanged)) *scene {
	tb.Helper()
	return newSceneWith(tb, plant{written: written, edit: edit})
}

// newSceneWith is newScene with what a plant changes before the run is written.
func newSceneWith(tb testing.TB, p plant) *scene {
	tb.Helper()
	written, edit := p.written, p.edit
	truth, records, classes := simulated(tb)
	s := &scene{tb: tb, topic: newTopic(tb), stored: stored{
		idents: map[string][]schemas.IdentificationState{}, after: p.after, editResult: p.result,
	}}
	s.topic.classes, s.topic.edit, s.topic.attach = classes, edit, s.attach
	s.evidence = audit.Evidence{
		Prefix: "postident.", Truth: truth, Canaries: scrsim.Canaries(), Secrets: []string{plantedSecret, "sim-data-SIMGWG01"},
		Forbidden: scrsim.ForbiddenCanaries(), Contents: scrsim.RecordCanaries(), Records: records, Inventory: inventoryOf(records),
		Options: audit.Options{
			Strict: true, RequireAll: true, Classes: classes, Settled: true,
			Results: []string{"SIMGWG01", "SIMSTD01"}, Records: map[string]bool{"SIMGWG01": true, "SIMTKG01": false},
		},
		Outputs: map[string][]byte{
			"bridge-1.log": []byte(`{"level":"INFO","msg":"partition taken over","partition":3,"case_id":"C000012"}` + "\n"),
			"metrics.txt":  []byte("postident_events_published_total 12\n"),
		},
	}
	for p := range s.steps {
		s.steps[p] = append(s.steps[p], s.opening(p, "first"))
	}
	if written != nil {
		truth = written(slices.Clone(truth))
	}
	for _, c := range truth {
		if isEvent(c) {
			s.publish(c)
		}
	}
	return s
}

func isEvent(c audit.Change) bool {
	return c.Method == "" || c.StatusType != "progress" || c.Status != "started" && c.Status != "incomplete"
}

func openingID(partition int, name string) string { return fmt.Sprintf("%s-%d", name, partition) }

func (s *scene) opening(partition int, name string) step {
	value, err := schemas.EncodeBarrier(schemas.Barrier{OpeningID: openingID(partition, name), OpenedAt: epoch})
	return step{records: []*kgo.Record{s.state(partition, schemas.BarrierKey, value, err)}}
}

func (s *scene) state(partition int, key string, value []byte, err error) *kgo.Record {
	s.tb.Helper()
	if err != nil {
		s.tb.Fatal(err)
	}
	return &kgo.Record{Topic: "postident.case-state", Partition: int32(partition), Key: []byte(key), Value: value}
}

func (s *scene) position(partition int, name string, offset int64) *kgo.Record {
	value, err := schemas.EncodePosition(schemas.Position{
		InboxTopicID: "11111111-2222-3333-4444-555555555555", Partitions: partitions, Offset: offset, OpeningID: openingID(partition, name), UpdatedAt: epoch,
	})
	return s.state(partition, schemas.PositionKey, value, err)
}

// caseState is the state after an event.
func (s *scene) caseState(p audit.Published, edit func(*schemas.CaseState)) *kgo.Record {
	sum := sha256.Sum256(p.Value)
	hash := sum[:]
	state := schemas.CaseState{
		ClientID: p.Event.ClientID, CaseID: p.Event.CaseID, Created: &p.Event.CaseStatus.Created,
		Sequence: p.Event.Sequence, LastEventHash: &hash, CaseStatus: "in progress", UpdatedAt: epoch,
		Identifications: slices.Clone(s.idents[p.Event.CaseID]),
	}
	if edit != nil {
		edit(&state)
	}
	value, err := schemas.EncodeCaseState(state)
	return s.state(int(p.Partition), state.ClientID+"/"+state.CaseID, value, err)
}

// publish takes a webhook, writes its trigger and the event of the change.
func (s *scene) publish(c audit.Change) {
	s.topic.publish(c)
	p := s.topic.events[len(s.topic.events)-1]
	s.trigger(c, int(p.Partition))
	s.commit(p)
	if p.Event.RecordsState != nil && *p.Event.RecordsState == schemas.RecordsStatePending {
		s.add(s.completion(p.Event))
	}
}

// commit adds the transaction of an event: with its result, if it has one, behind
// the position.
func (s *scene) commit(p audit.Published) {
	s.note(&p.Event)
	records := []*kgo.Record{
		{Topic: p.Topic, Partition: p.Partition, Key: p.Key, Value: p.Value, Headers: p.Headers},
		s.caseState(p, nil), s.position(int(p.Partition), "first", s.positions[p.Partition]),
	}
	if s.result != nil {
		s.result.Partition = p.Partition
		s.result.Headers = slices.Clone(p.Headers)
		records = append(records, s.result)
	}
	s.steps[p.Partition] = append(s.steps[p.Partition], step{caseID: p.Event.CaseID, records: records})
	s.result = nil
}

func (s *scene) trigger(c audit.Change, partition int) {
	s.tb.Helper()
	value, err := schemas.EncodeTrigger(schemas.Trigger{ClientID: c.ClientID, CaseID: c.CaseID, Source: schemas.SourceWebhook, ReceivedAt: epoch})
	if err != nil {
		s.tb.Fatal(err)
	}
	s.inbox = append(s.inbox, &kgo.Record{Topic: "postident.inbox", Partition: int32(partition), Key: []byte(c.CaseID), Value: value})
	s.positions[partition]++
	s.evidence.Webhooks = append(s.evidence.Webhooks, audit.Webhook{ClientID: c.ClientID, CaseID: c.CaseID, At: epoch, Status: 200})
}

// letter is a dead letter of a case.
func (s *scene) letter(caseID, reason string) *kgo.Record {
	s.tb.Helper()
	value, err := schemas.EncodeTrigger(schemas.Trigger{ClientID: "SIMGWG01", CaseID: caseID, Source: schemas.SourceWebhook, ReceivedAt: epoch})
	if err != nil {
		s.tb.Fatal(err)
	}
	return &kgo.Record{Topic: "postident.dead-letter", Key: []byte(caseID), Value: value, Headers: []kgo.RecordHeader{
		{Key: "postident.error.reason", Value: []byte(reason)}, {Key: "postident.error.attempts", Value: []byte("3")},
	}}
}

// last is the last step of a partition that ends with one of a case, without a
// result.
func (s *scene) last() *step {
	for p := range s.steps {
		if n := len(s.steps[p]); n > 1 && len(s.steps[p][n-1].records) == 3 {
			return &s.steps[p][n-1]
		}
	}
	s.tb.Fatal("no partition has an event")
	return nil
}

// event is the record of the event in a step.
func (st *step) event() *kgo.Record { return st.records[0] }

// write puts the run on the topics of a cluster.
func (s *scene) write(opts []kgo.Opt) {
	s.tb.Helper()
	ctx := context.Background()
	opts = append(slices.Clone(opts), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	open := func(more ...kgo.Opt) *kgo.Client {
		client, err := kgo.NewClient(append(slices.Clone(opts), more...)...)
		if err != nil {
			s.tb.Fatal(err)
		}
		s.tb.Cleanup(client.Close)
		return client
	}
	plain := open()
	if err := plain.ProduceSync(ctx, s.inbox...).FirstErr(); err != nil {
		s.tb.Fatal(err)
	}
	for p, steps := range s.steps {
		owner := open(kgo.TransactionalID(fmt.Sprintf("postident.process-%d", p)))
		for _, st := range steps {
			if st.outside {
				if err := plain.ProduceSync(ctx, st.records...).FirstErr(); err != nil {
					s.tb.Fatal(err)
				}
				continue
			}
			transact(s.tb, owner, kgo.TryCommit, st.records...)
		}
		if p == 0 && len(s.letters) > 0 {
			transact(s.tb, owner, kgo.TryCommit, s.letters...)
		}
	}
}

// dump writes the run to a fake cluster and reads it back.
func (s *scene) dump() *audit.Dump {
	s.tb.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitions,
		"postident.inbox", "postident.case-state", "postident.status.v1", "postident.dead-letter", resultTopic))
	if err != nil {
		s.tb.Fatal(err)
	}
	s.tb.Cleanup(cluster.Close)
	opts := []kgo.Opt{kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.MetadataMinAge(20 * time.Millisecond)}
	s.write(opts)
	dump, err := audit.TakeDump(context.Background(), opts, "postident.")
	if err != nil {
		s.tb.Fatal(err)
	}
	return &dump
}

func (s *scene) judge() audit.Verdict {
	s.tb.Helper()
	if s.evidence.Dump == nil {
		s.evidence.Dump = s.dump()
	}
	v, err := audit.Judge(context.Background(), s.evidence)
	if err != nil {
		s.tb.Fatal(err)
	}
	return v
}

// A clean run is clean, on both brokers, and the verdict says what it rests on.
func TestJudgeAcceptsACleanRun(t *testing.T) {
	t.Parallel()
	check := func(t *testing.T, s *scene) {
		t.Helper()
		v := s.judge()
		if !v.Clean() {
			t.Fatal(v.Err())
		}
		if v.Events < 30 || v.Changes != v.Events-v.Completed || v.Accepted != v.Changes || v.Searched < 10_000 {
			t.Errorf("%d changes, %d events, %d webhooks, %d bytes: the run is no run", v.Changes, v.Events, v.Accepted, v.Searched)
		}
		if v.Results < 4 || v.References < 10 || v.Completed != 1 || v.Pending != 0 || v.Objects < v.References || v.Orphans == 0 {
			t.Errorf("%d results, %d references, %d completed, %d objects, %d orphans: the run is no run", v.Results, v.References, v.Completed, v.Objects, v.Orphans)
		}
		for _, topic := range v.Topics {
			if topic.Name == resultTopic && topic.Visible == v.Results {
				continue
			}
			if topic.Name != "postident.dead-letter" && (topic.Records < v.Changes || topic.Visible != topic.Records) {
				t.Errorf("%+v: want all %d events and what belongs to them", topic, v.Events)
			}
		}
		want := fmt.Sprintf("verified: %d changes, %d events, 0 lost, 0 doubled, 0 out of order, 1 with records that came late, 0 canaries", v.Changes, v.Events)
		if v.String() != want {
			t.Errorf("%q, want %q", v.String(), want)
		}
	}
	t.Run("kfake", func(t *testing.T) {
		t.Parallel()
		check(t, newScene(t, nil, nil))
	})
	t.Run("Apache Kafka", func(t *testing.T) {
		t.Parallel()
		kafka := counterpart.StartKafka(t, 1)
		s := newScene(t, nil, nil)
		s.evidence.Kafka = []kgo.Opt{kgo.SeedBrokers(kafka.Seeds()...), kgo.MetadataMinAge(20 * time.Millisecond)}
		admin := kadm.NewClient(newClient(t, s.evidence.Kafka))
		for _, name := range []string{"inbox", "case-state", "status.v1", "dead-letter", "result.v1"} {
			if _, err := admin.CreateTopic(t.Context(), partitions, 1, nil, "postident."+name); err != nil {
				t.Fatal(err)
			}
		}
		// A predecessor that died in a transaction: the owner's opening aborts it.
		ghost := newClient(t, s.evidence.Kafka, kgo.TransactionalID("postident.process-2"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
		if err := ghost.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		dead := *s.last().event()
		dead.Partition = 2
		if err := ghost.ProduceSync(t.Context(), &dead).FirstErr(); err != nil {
			t.Fatal(err)
		}
		s.write(s.evidence.Kafka)
		dump, err := audit.TakeDump(t.Context(), s.evidence.Kafka, "postident.")
		if err != nil {
			t.Fatal(err)
		}
		if records := dump.Topics[2].Partitions[2].Records; len(records) < 2 || records[0].Visible || !records[1].Control {
			t.Errorf("the dump does not begin with what was aborted, and its marker: %+v", records[:min(2, len(records))])
		}
		s.evidence.Dump = &dump
		v := s.judge()
		if !v.Clean() {
			t.Fatal(v.Err())
		}
		if status := v.Topics[2]; status.Records != v.Events+1 || status.Visible != v.Events {
			t.Errorf("%+v of %d events: want one more, which does not show", status, v.Events)
		}
	})
}

// caseWith returns the indexes of the changes that are events of the first case
// that has at least n.
func caseWith(truth []audit.Change, n int) []int {
	byCase := make(map[string][]int)
	for i, c := range truth {
		if isEvent(c) && c.Method != "" {
			byCase[c.CaseID] = append(byCase[c.CaseID], i)
			if len(byCase[c.CaseID]) == n {
				return byCase[c.CaseID]
			}
		}
	}
	panic("no case has so many events")
}

// Each fault planted alone into an otherwise clean run is found, in its own
// class and in no other.
func TestJudgeFindsWhatIsPlanted(t *testing.T) {
	t.Parallel()
	leak := func(kind audit.Kind, value string, where func(s *scene, value string)) plant {
		return plant{scene: func(s *scene) { where(s, value) }, kind: kind}
	}
	log := func(s *scene, value string) {
		s.evidence.Outputs["bridge-1.log"] = append(s.evidence.Outputs["bridge-1.log"], `{"level":"WARN","msg":"odd","error":"`+value+`"}`...)
	}
	tests := map[string]plant{
		"loss of a change, all else in order": {
			written: func(truth []audit.Change) []audit.Change {
				i := caseWith(truth, 3)[1]
				return slices.Delete(truth, i, i+1)
			},
			kind: audit.Lost,
		},
		"loss of a whole case": {
			written: func(truth []audit.Change) []audit.Change {
				id := truth[caseWith(truth, 1)[0]].CaseID
				return slices.DeleteFunc(truth, func(c audit.Change) bool { return c.CaseID == id })
			},
			kind: audit.Lost, several: true,
		},
		"a change told twice, all else in order": {
			written: func(truth []audit.Change) []audit.Change {
				i := caseWith(truth, 2)[1]
				return slices.Insert(truth, i+1, truth[i])
			},
			kind: audit.Doubled,
		},
		"one eventId twice": {
			edit: func(n int, e *schemas.StatusChanged) {
				if n == 7 {
					e.EventID = "00000000-0000-5000-8000-000000000001"
				}
			},
			kind: audit.Doubled,
		},
		"two changes swapped, all else in order": {
			written: func(truth []audit.Change) []audit.Change {
				i := caseWith(truth, 2)
				truth[i[0]], truth[i[1]] = truth[i[1]], truth[i[0]]
				return truth
			},
			kind: audit.OutOfOrder,
		},
		"a gap in the sequence": {
			edit: lastOfItsCase(func(e *schemas.StatusChanged) { e.Sequence++ }),
			kind: audit.Gap,
		},
		"a broken chain": {
			edit: lastOfItsCase(func(e *schemas.StatusChanged) {
				sum := sha256.Sum256([]byte("another"))
				hash := sum[:]
				e.PreviousEventHash = &hash
			}),
			kind: audit.BrokenChain,
		},
		"an invented change": {
			written: func(truth []audit.Change) []audit.Change {
				i := caseWith(truth, 2)
				odd := truth[i[1]]
				code := 77
				odd.SubStatus = &code
				return slices.Insert(truth, i[1]+1, odd)
			},
			kind: audit.Invented,
		},
		"another key": {
			scene: func(s *scene) {
				ev := s.last().event()
				for i := 0; ; i++ { // one that murmur2 puts in the same partition
					key := fmt.Appendf(nil, "OTHER%07d", i)
					if kgo.StickyKeyPartitioner(nil).ForTopic("").Partition(&kgo.Record{Key: key}, partitions) == int(ev.Partition) {
						ev.Key = key
						return
					}
				}
			},
			kind: audit.Mismatch,
		},
		"a wrong header": {
			scene: func(s *scene) { s.last().event().Headers[4].Value = []byte("OTHER") }, kind: audit.Mismatch,
		},
		"a missing header": {
			scene: func(s *scene) { ev := s.last().event(); ev.Headers = ev.Headers[1:] }, kind: audit.Mismatch,
		},
		"another class than the account's": {
			edit: func(n int, e *schemas.StatusChanged) {
				if n == 3 && e.RegulatoryClass != schemas.RegulatoryClassEIDAS {
					e.RegulatoryClass = schemas.RegulatoryClassEIDAS
				}
			},
			kind: audit.Mismatch,
		},
		"another partition": {
			scene: func(s *scene) {
				ev := s.last().event()
				ev.Partition = (ev.Partition + 1) % partitions
			},
			kind: audit.Misplaced, several: true,
		},
		"bytes that are not ours among the events": {
			scene: func(s *scene) {
				st := s.last()
				st.records = append(st.records, &kgo.Record{Topic: statusTopic, Partition: st.event().Partition, Key: []byte("X"), Value: []byte("odd")})
			},
			kind: audit.Unreadable,
		},
		"an aborted event that shows": {
			dump: func(d *audit.Dump) {
				// What a reader sees that ignores transactions.
				p := &d.Topics[2].Partitions[0]
				for i := range p.Records {
					if p.Records[i].Control {
						p.Records[i].Key = []byte{0, 0, 0, 0} // ABORT
						return
					}
				}
			},
			kind: audit.Aborted,
		},
		"a committed event that does not show": {
			dump: func(d *audit.Dump) {
				p := &d.Topics[1].Partitions[0] // the barrier: no event is lost with it
				p.Records[0].Visible = false
			},
			kind: audit.Aborted,
		},
		"an event outside of a transaction": {
			scene: func(s *scene) {
				for p, steps := range s.steps {
					if n := len(steps); n > 1 && len(steps[n-1].records) == 3 {
						s.steps[p] = append(steps[:n-1:n-1], step{outside: true, records: steps[n-1].records[:1]}, step{records: steps[n-1].records[1:]})
						return
					}
				}
			},
			kind: audit.Unfenced,
		},
		"a producer epoch that was over": {
			dump: func(d *audit.Dump) {
				p := &d.Topics[1].Partitions[0]
				p.Records[len(p.Records)-1].ProducerEpoch--
			},
			kind: audit.Unfenced,
		},
		"an owner whose successor had begun": {
			scene: func(s *scene) {
				st := s.last()
				p := int(st.event().Partition)
				n := len(s.steps[p])
				s.steps[p] = slices.Insert(s.steps[p], n-1, s.opening(p, "second"))
			},
			kind: audit.Unfenced,
		},
		"a webhook answered 200 without a trigger": {
			scene: func(s *scene) {
				s.evidence.Webhooks = append(s.evidence.Webhooks, s.evidence.Webhooks[4])
			},
			kind: audit.Unwritten,
		},
		"a webhook answered 200 of which nothing was written": {
			scene: func(s *scene) {
				s.evidence.Webhooks = append(s.evidence.Webhooks, audit.Webhook{CaseID: "FORGED000001", Status: 200})
			},
			kind: audit.Unwritten,
		},
		"a state with another sequence": {
			scene: func(s *scene) {
				st := s.last()
				st.records[1] = s.caseState(s.publishedOf(st), func(c *schemas.CaseState) { c.Sequence++ })
			},
			kind: audit.StateDiffers,
		},
		"a state with another hash": {
			scene: func(s *scene) {
				st := s.last()
				st.records[1] = s.caseState(s.publishedOf(st), func(c *schemas.CaseState) { c.LastEventHash = &[]byte{1} })
			},
			kind: audit.StateDiffers,
		},
		"a case with events and no state": {
			scene: func(s *scene) {
				st := s.last()
				st.records[1].Value = nil
			},
			kind: audit.StateDiffers,
		},
		"a position that went back": {
			scene: func(s *scene) {
				st := s.last()
				p := int(st.event().Partition)
				s.steps[p] = append(s.steps[p], step{records: []*kgo.Record{s.position(p, "first", 0)}},
					step{records: []*kgo.Record{s.position(p, "first", s.positions[p])}})
			},
			kind: audit.StateDiffers,
		},
		"a dead letter of a case that there is": {
			scene: func(s *scene) { s.letters = append(s.letters, s.letter(s.evidence.Truth[0].CaseID, "not_found")) },
			kind:  audit.DeadLettered,
		},
		"triggers that are not done": {
			scene: func(s *scene) {
				st := s.last()
				p := int(st.event().Partition)
				st.records[2] = s.position(p, "first", s.positions[p]-1)
			},
			kind: audit.Unfinished,
		},
		"a case that waits": {
			scene: func(s *scene) {
				st := s.last()
				st.records[1] = s.caseState(s.publishedOf(st), func(c *schemas.CaseState) {
					c.Retry = &schemas.Retry{Kind: schemas.RetryFault, NotBefore: epoch, FirstFailed: epoch, Reason: "timeout"}
				})
			},
			kind: audit.Unfinished,
		},

		"a canary in a position": leak(audit.Leaked, planted, func(s *scene, v string) {
			st := s.last()
			st.records = append(st.records, &kgo.Record{Topic: "postident.case-state", Partition: st.event().Partition, Key: []byte("position"), Value: s.positionHolding(st, v)})
		}),
		"a canary in a trigger": leak(audit.Leaked, planted, func(s *scene, v string) {
			value, err := schemas.EncodeTrigger(schemas.Trigger{ClientID: "SIMGWG01", CaseID: "X", ReferenceID: &v, Source: schemas.SourceSweep, ReceivedAt: epoch})
			if err != nil {
				s.tb.Fatal(err)
			}
			s.inbox[0].Value = value
			s.evidence.Webhooks = s.evidence.Webhooks[1:]
		}),
		"a canary in a header": leak(audit.Leaked, planted, func(s *scene, v string) {
			s.inbox[0].Headers = append(s.inbox[0].Headers, kgo.RecordHeader{Key: "x", Value: []byte("a " + v)})
		}),
		"a canary in a header's name": leak(audit.Leaked, planted, func(s *scene, v string) {
			s.inbox[0].Headers = append(s.inbox[0].Headers, kgo.RecordHeader{Key: v})
		}),
		"a canary in a key": leak(audit.Leaked, planted, func(s *scene, v string) { s.inbox[0].Key = []byte(v) }),
		"a canary in a dead letter's header": leak(audit.Leaked, planted, func(s *scene, v string) {
			l := s.letter("FORGED000001", "not_found")
			l.Headers = append(l.Headers, kgo.RecordHeader{Key: "__connect.errors.exception.message", Value: []byte("got " + v)})
			s.letters = append(s.letters, l)
		}),
		"a canary in a log":                leak(audit.Leaked, planted, log),
		"a canary in a log, JSON-escaped":  leak(audit.Leaked, jsonEscaped(planted), log),
		"a canary in a log, escaped twice": leak(audit.Leaked, strings.ReplaceAll(jsonEscaped(planted), `\`, `\\`), log),
		"a canary in a log, in base64": {
			scene: func(s *scene) { log(s, base64.StdEncoding.EncodeToString([]byte(planted))) },
			kind:  audit.Leaked, several: true, // it begins with what the simulator's files hold
		},
		"a canary in a log, in base64 behind 1": leak(audit.Leaked, base64.StdEncoding.EncodeToString([]byte("x"+planted)), log),
		"a canary in a log, in base64 behind 2": leak(audit.Leaked, base64.RawURLEncoding.EncodeToString([]byte("xy"+planted)), log),
		"a canary in a log, in hex":             leak(audit.Leaked, hex.EncodeToString([]byte(planted)), log),
		"a canary in a log, in a URL":           leak(audit.Leaked, "https://host/x?q=%43%41NARY%2DlastName", log),
		"a canary in a log, in small letters":   leak(audit.Leaked, strings.ToLower(planted), log),
		"a canary in a scrape of metrics": leak(audit.Leaked, planted, func(s *scene, v string) {
			s.evidence.Outputs["metrics.txt"] = []byte(`postident_api_unknown_fields_total{path="` + v + `"} 1`)
		}),
		"a secret in a header": leak(audit.SecretShown, plantedSecret, func(s *scene, v string) {
			s.inbox[0].Headers = append(s.inbox[0].Headers, kgo.RecordHeader{Key: "x", Value: []byte(v)})
		}),
		"a secret in a log": leak(audit.SecretShown, plantedSecret, log),
		"a secret in a log, as basic authentication": leak(audit.SecretShown,
			"Basic "+base64.StdEncoding.EncodeToString([]byte("SIMGWG01.HOOK:"+plantedSecret)), log),
		"a secret in a scrape of metrics": leak(audit.SecretShown, plantedSecret, func(s *scene, v string) {
			s.evidence.Outputs["metrics.txt"] = []byte("# HELP " + v)
		}),
	}
	maps.Copy(tests, resultPlants())
	maps.Copy(tests, recordPlants())
	for name, p := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSceneWith(t, p)
			if p.scene != nil {
				p.scene(s)
			}
			if p.dump != nil {
				s.evidence.Dump = s.dump()
				p.dump(s.evidence.Dump)
			}
			v := s.judge()
			want := []audit.Kind{p.kind}
			if p.also != 0 {
				want = slices.Sorted(slices.Values([]audit.Kind{p.kind, p.also}))
			}
			if diff := cmp.Diff(want, v.Kinds()); diff != "" {
				t.Fatalf("kinds (-want +got):\n%s\n%v", diff, v.Err())
			}
			if n := len(v.Of(p.kind)); n != 1 && !p.several {
				t.Errorf("%d findings, want one: %v", n, v.Err())
			}
			if v.Clean() || !strings.HasPrefix(v.String(), "not verified: ") {
				t.Errorf("verdict: %s", v.String())
			}
			var report strings.Builder
			if err := v.Write(&report); err != nil || !strings.Contains(report.String(), p.kind.String()) {
				t.Errorf("report, %v:\n%s", err, report.String())
			}
			for _, needle := range []string{planted, plantedSecret} {
				if strings.Contains(report.String(), needle) {
					t.Error("the report repeats what must not be shown")
				}
			}
		})
	}
}

// Of the forms, only the alphabet differs: what is planted is found behind any
// number of other bytes.
func TestJudgeFindsFormsAtAnyAlignment(t *testing.T) {
	t.Parallel()
	secret := "pa?ss~w>rd/ü" // characters that both alphabets of base64 write otherwise
	for name, encode := range map[string]func([]byte) string{
		"base64": base64.StdEncoding.EncodeToString, "base64, URL": base64.URLEncoding.EncodeToString,
		"hex": hex.EncodeToString, "plain": func(b []byte) string { return string(b) },
	} {
		for shift := range 7 {
			e := audit.Evidence{
				Dump:    &audit.Dump{Topics: []audit.TopicDump{{Name: "inbox"}, {Name: "case-state"}, {Name: "status.v1"}, {Name: "dead-letter"}}},
				Secrets: []string{secret},
				Outputs: map[string][]byte{"log": []byte(encode([]byte(strings.Repeat("~", shift) + secret + "tail")))},
			}
			v, err := audit.Judge(t.Context(), e)
			if err != nil || len(v.Of(audit.SecretShown)) != 1 {
				t.Errorf("%s behind %d bytes: %v, %v", name, shift, err, v.Err())
			}
		}
	}
}

// A search that cannot find anything is no search.
func TestJudgeRefusesEmptyOutputs(t *testing.T) {
	t.Parallel()
	s := newScene(t, nil, nil)
	s.evidence.Dump = s.dump()
	s.evidence.Outputs = map[string][]byte{"bridge-1.log": nil}
	if _, err := audit.Judge(t.Context(), s.evidence); err == nil {
		t.Error("no error")
	}
	s.evidence.Outputs["bridge-1.log"] = []byte("x")
	s.evidence.Canaries = []string{""}
	if _, err := audit.Judge(t.Context(), s.evidence); err == nil {
		t.Error("an empty canary: no error")
	}
}

// plant is one fault. Which of the functions it has says where it is planted:
// in what was published of the truth, in an event before it is encoded, in one with
// all that belongs to it, in a result before it is encoded, in the run before it is
// written, or in the topics as they were read.
type plant struct {
	written func([]audit.Change) []audit.Change
	edit    func(n int, e *schemas.StatusChanged)
	after   func(*scene, *schemas.StatusChanged)
	result  func(*schemas.IdentificationResult)
	scene   func(*scene)
	dump    func(*audit.Dump)
	kind    audit.Kind
	also    audit.Kind // what else it means; 0 is nothing
	several bool       // more than one finding says so
}

// lastOfItsCase edits the first event that ends a case which has one before.
func lastOfItsCase(edit func(*schemas.StatusChanged)) func(int, *schemas.StatusChanged) {
	done := false
	return func(_ int, e *schemas.StatusChanged) {
		if !done && e.StatusType == schemas.StatusTypeFinal && e.Sequence > 1 {
			done = true
			edit(e)
		}
	}
}

func jsonEscaped(text string) string {
	var b strings.Builder
	for _, r := range text {
		fmt.Fprintf(&b, `\u%04x`, r)
	}
	return b.String()
}

// publishedOf is the event in a step.
func (s *scene) publishedOf(st *step) audit.Published {
	i := slices.IndexFunc(s.topic.events, func(p audit.Published) bool { return string(p.Value) == string(st.event().Value) })
	return s.topic.events[i]
}

// positionHolding is the newest position, with a text in it.
func (s *scene) positionHolding(st *step, text string) []byte {
	p := int(st.event().Partition)
	value, err := schemas.EncodePosition(schemas.Position{
		InboxTopicID: text, Partitions: partitions, Offset: s.positions[p], OpeningID: openingID(p, "first"), UpdatedAt: epoch,
	})
	if err != nil {
		s.tb.Fatal(err)
	}
	return value
}
