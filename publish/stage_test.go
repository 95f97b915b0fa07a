package publish

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/internal/sabotage"
	"postident-bridge/internal/scr"
	"postident-bridge/schemas"
)

// stage is a broker in process, an account whose cases the test moves, and
// publishers that the test starts and stops.
type stage struct {
	t       *testing.T
	cluster *kfake.Cluster // nil on Apache Kafka
	dial    sabotage.Dial  // nil: over the host's network
	seeds   []string
	client  *kgo.Client
	topics  Topics
	prefix  string
	source  *source
	log     *slog.Logger
}

const (
	testClient     = "TESTCLNT"
	testPartitions = 3
)

func newStage(t *testing.T, opts ...kfake.Opt) *stage {
	t.Helper()
	return newStageBehind(t, nil, opts...)
}

// newVirtualStage is a stage inside a synctest bubble: its clock moves when all
// wait.
func newVirtualStage(t *testing.T) *stage {
	t.Helper()
	network := &kfake.VirtualNetwork{}
	return newStageBehind(t, network.DialContext, kfake.Ports(9092), kfake.ListenFn(network.Listen))
}

func newStageBehind(t *testing.T, dial sabotage.Dial, opts ...kfake.Opt) *stage {
	t.Helper()
	topics := Topics{
		Inbox: "test.inbox", CaseState: "test.case-state", Status: "test.status.v1", DeadLetter: "test.dead-letter", Result: "test.result.v1",
	}
	opts = append([]kfake.Opt{
		kfake.NumBrokers(1),
		kfake.SeedTopics(testPartitions, topics.Inbox, topics.CaseState, topics.Status, topics.DeadLetter, topics.Result),
		kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}),
	}, opts...)
	cluster, err := kfake.NewCluster(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	s := &stage{
		t: t, cluster: cluster, dial: dial, seeds: cluster.ListenAddrs(), topics: topics, prefix: "test.", source: newSource(), log: testLog(t),
	}
	s.client = s.newClient()
	return s
}

func testLog(t *testing.T) *slog.Logger {
	t.Helper()
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// kafka are the options that every client needs.
func (s *stage) kafka() []kgo.Opt {
	opts := []kgo.Opt{kgo.SeedBrokers(s.seeds...)}
	if s.dial != nil {
		opts = append(opts, kgo.Dialer(s.dial))
	}
	return opts
}

func (s *stage) newClient(opts ...kgo.Opt) *kgo.Client {
	s.t.Helper()
	client, err := kgo.NewClient(append(append(s.kafka(),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.ProducerLinger(0),
		kgo.UnknownTopicRetries(-1), // Apache Kafka knows a topic some time after it was created
	), opts...)...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(client.Close)
	return client
}

// config is the configuration of a publisher on this stage, with short pauses.
func (s *stage) config() Config {
	return Config{
		Kafka:    s.kafka(),
		Topics:   s.topics,
		Prefix:   s.prefix,
		Accounts: []Account{{ClientID: testClient, RegulatoryClass: schemas.RegulatoryClassGwG, Read: s.source.read}},
		Encoder:  schemas.NewSingleObjectStatusEncoder(),
		Logger:   s.log,
		retry: retryPolicy{
			Faults:   []time.Duration{10 * time.Millisecond, 20 * time.Millisecond, 40 * time.Millisecond},
			Rechecks: []time.Duration{20 * time.Millisecond, 40 * time.Millisecond},
		},
	}
}

// run starts a publisher; the returned function stops it and gives its error.
func (s *stage) run(cfg Config) (p *Publisher, stop func() error) {
	s.t.Helper()
	p, err := New(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	s.t.Cleanup(func() { _ = stop() })
	return p, stop
}

// hook puts the trigger of a webhook into the inbox.
func (s *stage) hook(caseID string) *kgo.Record {
	s.t.Helper()
	return s.trigger(schemas.Trigger{ClientID: testClient, CaseID: caseID, Source: schemas.SourceWebhook, ReceivedAt: time.Now()})
}

// hookAsync is hook without waiting for the broker.
func (s *stage) hookAsync(caseID string) {
	s.t.Helper()
	value, err := schemas.EncodeTrigger(schemas.Trigger{ClientID: testClient, CaseID: caseID, Source: schemas.SourceWebhook, ReceivedAt: time.Now()})
	if err != nil {
		s.t.Fatal(err)
	}
	s.client.Produce(s.t.Context(), &kgo.Record{Topic: s.topics.Inbox, Key: []byte(caseID), Value: value}, nil)
}

func (s *stage) trigger(t schemas.Trigger) *kgo.Record {
	s.t.Helper()
	value, err := schemas.EncodeTrigger(t)
	if err != nil {
		s.t.Fatal(err)
	}
	return s.produce(&kgo.Record{Topic: s.topics.Inbox, Key: []byte(t.CaseID), Value: value})
}

func (s *stage) produce(rec *kgo.Record) *kgo.Record {
	s.t.Helper()
	rec, err := s.client.ProduceSync(s.t.Context(), rec).First()
	if err != nil {
		s.t.Fatal(err)
	}
	return rec
}

// read reads a topic, read-committed, until enough says so.
func (s *stage) read(topic string, enough func([]*kgo.Record) bool) []*kgo.Record {
	s.t.Helper()
	client := s.newClient(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(50*time.Millisecond))
	defer client.Close()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	var all []*kgo.Record
	for !enough(all) {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			s.t.Fatalf("%s: only %d records came", topic, len(all))
		}
		all = append(all, fetches.Records()...)
	}
	return all
}

func count(n int) func([]*kgo.Record) bool {
	return func(recs []*kgo.Record) bool { return len(recs) >= n }
}

// events waits for n status events and checks the chain of every case.
func (s *stage) events(n int) map[string][]schemas.StatusChanged {
	s.t.Helper()
	return s.chained(s.read(s.topics.Status, count(n)))
}

// eventsUntil is events for as long as enough, which is told how many events
// each case has, says no.
func (s *stage) eventsUntil(enough func(seen map[string]int) bool) map[string][]schemas.StatusChanged {
	s.t.Helper()
	return s.chained(s.read(s.topics.Status, func(recs []*kgo.Record) bool {
		seen := make(map[string]int)
		for _, rec := range recs {
			seen[string(rec.Key)]++
		}
		return enough(seen)
	}))
}

func (s *stage) chained(recs []*kgo.Record) map[string][]schemas.StatusChanged {
	s.t.Helper()
	byCase, last := make(map[string][]schemas.StatusChanged), make(map[string][32]byte)
	decoder := schemas.NewStatusDecoder(nil)
	for _, rec := range recs {
		e, err := decoder.Decode(s.t.Context(), rec.Value)
		if err != nil {
			s.t.Fatal(err)
		}
		before := byCase[e.CaseID]
		if e.Sequence != int64(len(before))+1 {
			s.t.Errorf("case %s: event %d has sequence %d", e.CaseID, len(before)+1, e.Sequence)
		}
		if hash := last[e.CaseID]; len(before) > 0 && (e.PreviousEventHash == nil || string(*e.PreviousEventHash) != string(hash[:])) {
			s.t.Errorf("case %s: chain broken at sequence %d", e.CaseID, e.Sequence)
		}
		last[e.CaseID] = sha256.Sum256(rec.Value)
		byCase[e.CaseID] = append(before, e)
	}
	return byCase
}

// source is an account's cases as the API shows them. A test moves them.
type source struct {
	mu    sync.Mutex
	cases map[string]scr.Case
	fault func(caseID string, attempt int) error
	reads map[string]int
}

func newSource() *source {
	return &source{cases: make(map[string]scr.Case), reads: make(map[string]int)}
}

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// show makes the n-th status of a video identification visible; 0 is started,
// which has no type.
func (s *source) show(caseID string, n int) {
	statuses := []string{scr.StatusStarted, scr.StatusReviewPending, scr.StatusSuccess}
	s.mu.Lock()
	defer s.mu.Unlock()
	modified := epoch.Add(time.Duration(n) * time.Minute)
	status, caseStatus := statuses[min(n, 2)], scr.CaseInProgress
	if status == scr.StatusSuccess {
		caseStatus = scr.CaseClosed
	}
	s.cases[caseID] = scr.Case{
		CaseID: caseID,
		Status: scr.CaseStatus{Status: caseStatus, Created: epoch, Modified: modified},
		Identifications: []scr.Identification{{
			Method: scr.MethodVideo, Primary: true, Status: status, Created: epoch, Modified: modified,
		}},
	}
}

func (s *source) setFault(fault func(caseID string, attempt int) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = fault
}

func (s *source) read(_ context.Context, caseID string) (scr.Case, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads[caseID]++
	if s.fault != nil {
		if err := s.fault(caseID, s.reads[caseID]); err != nil {
			return scr.Case{}, err
		}
	}
	c, ok := s.cases[caseID]
	if !ok {
		return scr.Case{}, &scr.NotYetError{}
	}
	return c, nil
}

func caseName(i int) string { return fmt.Sprintf("CASE%08d", i) }

// header is the text of a record's header, "" when absent.
func header(rec *kgo.Record, key string) string {
	for _, h := range rec.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}
