package counterpart_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/internal/counterpart"
)

func newClient(t *testing.T, k *counterpart.Kafka, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append(opts, kgo.SeedBrokers(k.Seeds()...))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func createTopic(t *testing.T, client *kgo.Client, topic string, partitions int32) {
	t.Helper()
	if _, err := kadm.NewClient(client).CreateTopic(t.Context(), partitions, -1, nil, topic); err != nil {
		t.Fatal(err)
	}
}

// readAll gives the first count records, by partition and offset.
func readAll(t *testing.T, k *counterpart.Kafka, topic string, count int, opts ...kgo.Opt) []*kgo.Record {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	client := newClient(t, k, append(opts, kgo.ConsumeTopics(topic), kgo.FetchMaxWait(100*time.Millisecond))...)
	var records []*kgo.Record
	for len(records) < count {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("read %s after %d records: %v", topic, len(records), err)
		}
		records = append(records, fetches.Records()...)
	}
	slices.SortFunc(records, func(a, b *kgo.Record) int {
		if a.Partition != b.Partition {
			return int(a.Partition - b.Partition)
		}
		return int(a.Offset - b.Offset)
	})
	return records
}

// transact produces the values in one transaction and ends it.
func transact(t *testing.T, client *kgo.Client, topic string, end kgo.TransactionEndTry, values ...string) {
	t.Helper()
	if err := client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	for _, v := range values {
		if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Key: []byte("K"), Value: []byte(v)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	if err := client.EndTransaction(t.Context(), end); err != nil {
		t.Fatal(err)
	}
}

func TestAReadCommittedConsumerSeesNoAbortedTransaction(t *testing.T) {
	t.Parallel()
	k := counterpart.SharedKafka(t)
	client := newClient(t, k, kgo.TransactionalID(t.Name()))
	createTopic(t, client, "transactions", 1)
	transact(t, client, "transactions", kgo.TryCommit, "committed-1")
	transact(t, client, "transactions", kgo.TryAbort, "aborted")
	transact(t, client, "transactions", kgo.TryCommit, "committed-2")

	for _, tt := range []struct {
		name  string
		level kgo.IsolationLevel
		want  []string
	}{
		{"read committed", kgo.ReadCommitted(), []string{"committed-1", "committed-2"}},
		{"read uncommitted", kgo.ReadUncommitted(), []string{"committed-1", "aborted", "committed-2"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, r := range readAll(t, k, "transactions", len(tt.want), kgo.FetchIsolationLevel(tt.level)) {
				got = append(got, string(r.Value))
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("read %q, want %q", got, tt.want)
			}
		})
	}
	t.Run("kcat reads committed", func(t *testing.T) {
		t.Parallel()
		var got []string
		for _, r := range counterpart.Kcat(t, k.Bootstrap, "transactions", 2) {
			got = append(got, string(r.Value))
		}
		if want := []string{"committed-1", "committed-2"}; !slices.Equal(got, want) {
			t.Errorf("read %q, want %q", got, want)
		}
	})
}

func TestKafkaCreatesNoTopicByItself(t *testing.T) {
	t.Parallel()
	k := counterpart.SharedKafka(t)
	client := newClient(t, k, kgo.UnknownTopicRetries(1), kgo.RecordRetries(3))
	err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "nobody-made-this"}).FirstErr()
	if !errors.Is(err, kerr.UnknownTopicOrPartition) {
		t.Errorf("produced with %v, want UNKNOWN_TOPIC_OR_PARTITION", err)
	}
}

func TestABrokerCanBePausedKilledAndStartedAgain(t *testing.T) {
	t.Parallel()
	k := counterpart.StartKafka(t, 1)
	client := newClient(t, k, kgo.RequestRetries(0))
	createTopic(t, client, "kept", 1)
	if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: "kept", Value: []byte("before")}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	answers := func(within time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		return newClient(t, k).Ping(ctx)
	}

	k.Pause(t, 1)
	if err := answers(time.Second); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a paused broker answered: %v", err)
	}
	k.Resume(t, 1)
	if err := answers(10 * time.Second); err != nil {
		t.Errorf("a resumed broker does not answer: %v", err)
	}
	k.Kill(t, 1)
	if err := answers(time.Second); err == nil {
		t.Error("a killed broker answered")
	}
	k.Start(t, 1)
	if err := answers(10 * time.Second); err != nil {
		t.Errorf("a started broker does not answer: %v", err)
	}
	if got := readAll(t, k, "kept", 1)[0].Value; string(got) != "before" {
		t.Errorf("read %q after kill and start, want what was acknowledged before", got)
	}
	k.Stop(t, 1)
	if err := answers(time.Second); err == nil {
		t.Error("a stopped broker answered")
	}
}

func TestThreeBrokersServeOnWhenOneIsKilled(t *testing.T) {
	t.Parallel()
	k := counterpart.StartKafka(t, 3)
	if len(k.Seeds()) != 3 {
		t.Fatalf("%d brokers, want 3", len(k.Seeds()))
	}
	client := newClient(t, k, kgo.MetadataMinAge(50*time.Millisecond))
	createTopic(t, client, "replicated", 3)
	k.Kill(t, 2)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for partition := range int32(3) {
		record := &kgo.Record{Topic: "replicated", Partition: partition, Value: []byte("x")}
		if err := client.ProduceSync(ctx, record).FirstErr(); err != nil {
			t.Fatalf("produce with one broker of three gone: %v", err)
		}
	}
}
