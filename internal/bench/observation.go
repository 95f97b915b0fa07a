package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/internal/scr"
	"postident-bridge/internal/testbed"
	"postident-bridge/schemas"
)

// observationFigure measures the publisher without the API: every trigger
// carries what a sweep's list showed.
func observationFigure() Figure {
	return Figure{
		Name:  "observation",
		About: "cases published from observations, against the same transactions without logic",
		Run:   measureObservation,
	}
}

// errRead says that the publisher read a case that it need not have read.
var errRead = errors.New("an observation was not enough")

func measureObservation(ctx context.Context, env *Env) ([]Row, error) {
	rounds, cases := 3, 120_000
	if env.Quick() {
		rounds, cases = 1, 1_200
	}
	kafka, err := env.Kafka(ctx, 1)
	if err != nil {
		return nil, err
	}
	if err := env.ApplyTopics(ctx, kafka, publishPartitions); err != nil {
		return nil, err
	}
	var ours, bare, ratios []float64
	var perTransaction float64
	for round := range rounds {
		rate, transactions, err := env.publishObservations(ctx, kafka, round, cases)
		if err != nil {
			return nil, err
		}
		perTransaction = float64(cases) / float64(transactions)
		limit, err := env.repeatTransactions(ctx, kafka, round, cases)
		if err != nil {
			return nil, err
		}
		env.Logf("round %d: %.0f cases/s, %.0f without logic, %.0f cases a transaction", round+1, rate, limit, perTransaction)
		ours, bare, ratios = append(ours, rate), append(bare, limit), append(ratios, rate/limit)
	}
	return []Row{{
		Name: "cases published from observations", Ours: median(ours), Limit: median(bare), Unit: "cases/s",
		Bar: Bar{AtLeast: 0.5},
		Note: fmt.Sprintf("a backlog of %d cases, %.0f a transaction; limit: the same transactions produced and committed by %d producers; rounds %.2f",
			cases, perTransaction, publishPartitions, ratios),
	}}, nil
}

// publishObservations fills the inbox and has it published.
func (e *Env) publishObservations(ctx context.Context, kafka *testbed.Kafka, round, cases int) (rate float64, transactions int64, err error) {
	records := make([]*kgo.Record, cases)
	for i := range records {
		if records[i], err = observedRecord(e.publishTopics().Inbox, fmt.Sprintf("BENCH%d%07d", round, i)); err != nil {
			return 0, 0, err
		}
	}
	if err := produceAll(ctx, kafka, records); err != nil {
		return 0, 0, err
	}
	running, err := e.startPublisher(ctx, kafka, func(context.Context, string) (scr.Case, error) {
		return scr.Case{}, errRead
	})
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, running.end()) }()
	hundredths, err := running.await(ctx, int64(cases))
	if err != nil {
		return 0, 0, err
	}
	c, err := running.counts(ctx)
	e.Logf("%d transactions took %v in all, the backlog %v", c.transactions, c.transacting, hundredths[99].Sub(hundredths[0]))
	return middleRate(cases, hundredths), c.transactions - publishPartitions, err // without the barriers
}

// observedRecord is a trigger as a sweep makes it, of a case that is new.
func observedRecord(topic, caseID string) (*kgo.Record, error) {
	created := time.Date(2026, 3, 2, 9, 30, 0, 0, time.UTC)
	identified, modified := created.Add(5*time.Minute), created.Add(7*time.Minute)
	validUntil := created.AddDate(0, 0, 90)
	reference, number, product := "REF_"+caseID, "12345678901234", "standard"
	text := func(s string) *string { return &s }
	value, err := schemas.EncodeTrigger(schemas.Trigger{
		ClientID: benchClientID, CaseID: caseID, ReferenceID: &reference, Source: schemas.SourceSweep, ReceivedAt: modified.Add(time.Minute),
		Observation: &schemas.Observation{
			ObservedAt: modified.Add(time.Minute), CaseStatus: scr.CaseClosed, Created: created, Modified: modified,
			ValidUntil: &validUntil, ReferenceID: &reference,
			Accounting: &schemas.AccountingData{AccountingNumber: &number, AccountingProduct: &product},
			Identifications: []schemas.ObservedIdentification{{
				Method: scr.MethodVideo, Primary: true, Status: scr.StatusSuccess,
				IdentificationTime: &identified, Created: created, Modified: modified,
				Records: []schemas.RecordMetadata{{
					RecordID: "63351998", BelongsTo: text("method"), Type: text("result"),
					MimeType: text("application/pdf"), FileName: text(caseID + "_result_video.pdf"),
				}},
			}},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("encode trigger: %w", err)
	}
	return &kgo.Record{Topic: topic, Key: []byte(caseID), Value: value}, nil
}

// repeatTransactions reads back what the publisher wrote in a round and writes
// it again: the same records in the same transactions by as many producers.
func (e *Env) repeatTransactions(ctx context.Context, kafka *testbed.Kafka, round, cases int) (rate float64, err error) {
	all, err := e.writtenTransactions(ctx, kafka, round, cases)
	if err != nil {
		return 0, err
	}
	admin, err := kadm.NewOptClient(kgo.SeedBrokers(kafka.Seeds()...))
	if err != nil {
		return 0, fmt.Errorf("make kafka client: %w", err)
	}
	defer admin.Close()
	status, state := e.Topic(fmt.Sprintf("bare-status-%d", round)), e.Topic(fmt.Sprintf("bare-state-%d", round))
	for topic, policy := range map[string]string{status: "delete", state: "compact"} {
		segment := "16777216"
		resp, err := admin.CreateTopic(ctx, publishPartitions, 1, map[string]*string{"cleanup.policy": &policy, "segment.bytes": &segment}, topic)
		if err = errors.Join(err, resp.Err); err != nil {
			return 0, fmt.Errorf("create topic: %w", err)
		}
	}
	var bare bareProducers
	for partition := range all {
		client, err := kgo.NewClient(
			kgo.SeedBrokers(kafka.Seeds()...),
			kgo.TransactionalID(fmt.Sprintf("%sbare-%d-%d", e.Prefix(), round, partition)),
			kgo.ProducerLinger(0),
			kgo.MetadataMinAge(50*time.Millisecond),
			kgo.RecordPartitioner(kgo.ManualPartitioner()),
			kgo.DisableClientMetrics(),
		)
		if err != nil {
			return 0, fmt.Errorf("make kafka client: %w", err)
		}
		defer client.Close()
		if _, _, err := client.ProducerID(ctx); err != nil {
			return 0, fmt.Errorf("open producer: %w", err)
		}
		for _, t := range all[partition] {
			for _, rec := range t.records {
				if rec.Topic == e.publishTopics().Status {
					rec.Topic = status
				} else {
					rec.Topic = state
				}
			}
		}
		bare.clients, bare.work = append(bare.clients, client), append(bare.work, all[partition])
	}
	return bare.run(ctx, cases)
}

// bareTransaction is one that the publisher made.
type bareTransaction struct {
	cases   int
	records []*kgo.Record
}

// bareProducers write transactions and do nothing else.
type bareProducers struct {
	clients []*kgo.Client
	work    [][]bareTransaction

	mu         sync.Mutex
	done       int         // guarded by mu: cases
	hundredths []time.Time // guarded by mu
}

func (b *bareProducers) run(ctx context.Context, cases int) (rate float64, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for i, client := range b.clients {
		wg.Go(func() {
			for _, t := range b.work[i] {
				if err := writeTransaction(ctx, client, t.records); err != nil {
					cancel(err)
					return
				}
				b.mu.Lock()
				b.done += t.cases
				for len(b.hundredths) < 100*b.done/cases {
					b.hundredths = append(b.hundredths, time.Now())
				}
				b.mu.Unlock()
			}
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return 0, err
	}
	return middleRate(cases, b.hundredths), nil
}

func writeTransaction(ctx context.Context, client *kgo.Client, records []*kgo.Record) error {
	if err := client.BeginTransaction(); err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	var failed atomic.Pointer[error]
	var acks sync.WaitGroup
	acks.Add(len(records))
	for _, rec := range records {
		client.Produce(ctx, rec, func(_ *kgo.Record, err error) {
			if err != nil {
				failed.Store(&err)
			}
			acks.Done()
		})
	}
	acks.Wait()
	if err := failed.Load(); err != nil {
		return fmt.Errorf("produce: %w", *err)
	}
	if err := client.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return fmt.Errorf("commit transaction: %w", err)
	}
	return nil
}

// writtenTransactions reads status and case-state back, and puts the records of
// a round together as they were committed: a position ends each transaction.
func (e *Env) writtenTransactions(ctx context.Context, kafka *testbed.Kafka, round, cases int) ([][]bareTransaction, error) {
	topics, prefix := e.publishTopics(), fmt.Sprintf("BENCH%d", round)
	client, err := kgo.NewClient(
		kgo.SeedBrokers(kafka.Seeds()...), kgo.ConsumeTopics(topics.Status, topics.CaseState),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
	)
	if err != nil {
		return nil, fmt.Errorf("make kafka client: %w", err)
	}
	defer client.Close()
	events := make(map[string][]*kgo.Record, cases)
	states := make([][]*kgo.Record, publishPartitions)
	for n, seen := 0, 0; n < cases || seen < cases; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			return nil, fmt.Errorf("read back: %w", err)
		}
		for it := fetches.RecordIter(); !it.Done(); {
			rec := it.Next()
			caseID := string(rec.Key)
			if rec.Topic == topics.Status {
				if caseID[:len(prefix)] == prefix {
					events[caseID] = append(events[caseID], rec)
					n++
				}
				continue
			}
			if len(caseID) > len(benchClientID)+1 && caseID[len(benchClientID)+1:][:min(len(prefix), len(caseID)-len(benchClientID)-1)] == prefix {
				seen++
			}
			states[rec.Partition] = append(states[rec.Partition], rec)
		}
	}
	return assemble(states, events), nil
}

// assemble cuts the states of each partition at the positions and puts each
// case's events before its state.
func assemble(states [][]*kgo.Record, events map[string][]*kgo.Record) [][]bareTransaction {
	all := make([][]bareTransaction, len(states))
	for partition, recs := range states {
		var t bareTransaction
		for _, rec := range recs {
			key := string(rec.Key)
			if key == schemas.PositionKey {
				if t.cases > 0 {
					t.records = append(t.records, bareRecord(rec))
					all[partition] = append(all[partition], t)
				}
				t = bareTransaction{}
				continue
			}
			for _, event := range events[key[min(len(key), len(benchClientID)+1):]] {
				t.records = append(t.records, bareRecord(event))
				t.cases++
			}
			t.records = append(t.records, bareRecord(rec))
		}
	}
	return all
}

func bareRecord(rec *kgo.Record) *kgo.Record {
	return &kgo.Record{Topic: rec.Topic, Partition: rec.Partition, Key: rec.Key, Value: rec.Value, Headers: rec.Headers}
}
