package audit_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"postident-bridge/internal/audit"
	"postident-bridge/internal/counterpart"
	"postident-bridge/schemas"
)

func newCluster(t *testing.T, opts ...kfake.Opt) (*kfake.Cluster, []kgo.Opt) {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(2), kfake.SeedTopics(partitions, statusTopic)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, []kgo.Opt{kgo.SeedBrokers(c.ListenAddrs()...), kgo.MetadataMinAge(50 * time.Millisecond)}
}

func newClient(t *testing.T, opts []kgo.Opt, more ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append(append([]kgo.Opt{kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil))}, opts...), more...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

func record(p audit.Published) *kgo.Record {
	return &kgo.Record{Topic: p.Topic, Key: p.Key, Value: p.Value, Headers: p.Headers}
}

// transact writes records in one transaction and commits or aborts it.
func transact(tb testing.TB, cl *kgo.Client, commit kgo.TransactionEndTry, records ...*kgo.Record) {
	tb.Helper()
	if err := cl.BeginTransaction(); err != nil {
		tb.Fatal(err)
	}
	if err := cl.ProduceSync(tb.Context(), records...).FirstErr(); err != nil {
		tb.Fatal(err)
	}
	if err := cl.EndTransaction(tb.Context(), commit); err != nil {
		tb.Fatal(err)
	}
}

func readStatus(ctx context.Context, opts []kgo.Opt) ([]audit.Published, error) {
	return audit.ReadStatus(ctx, opts, statusTopic, schemas.NewStatusDecoder(nil))
}

// What was committed comes back as it was written, with its coordinates; what
// was aborted and the markers at the end do not, and the read ends all the same.
func TestReadStatusReadsWhatIsCommitted(t *testing.T) {
	t.Parallel()
	t.Run("kfake", func(t *testing.T) {
		t.Parallel()
		_, opts := newCluster(t)
		readsWhatIsCommitted(t, opts)
	})
	t.Run("Apache Kafka", func(t *testing.T) {
		t.Parallel()
		opts := []kgo.Opt{kgo.SeedBrokers(counterpart.SharedKafka(t).Seeds()...), kgo.MetadataMinAge(50 * time.Millisecond)}
		if _, err := kadm.NewClient(newClient(t, opts)).CreateTopic(t.Context(), partitions, 1, nil, statusTopic); err != nil {
			t.Fatal(err)
		}
		readsWhatIsCommitted(t, opts)
	})
}

func readsWhatIsCommitted(t *testing.T, opts []kgo.Opt) {
	t.Helper()
	truth := walk()
	want := published(t, truth)
	cl := newClient(t, opts, kgo.TransactionalID("writer"))
	ghost := published(t, []audit.Change{change("GHOST0000001", "basic", "coupon requested", "notification", 5)})[0]
	for _, p := range want {
		transact(t, cl, kgo.TryAbort, record(ghost))
		transact(t, cl, kgo.TryCommit, record(p))
	}
	transact(t, cl, kgo.TryAbort, record(ghost)) // an aborted end
	got, err := readStatus(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	r := audit.CompareWith(truth, got, options)
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	if r.Events != len(want) {
		t.Errorf("%d events, want %d", r.Events, len(want))
	}
	for _, p := range got {
		if p.Topic != statusTopic || p.Timestamp.IsZero() || p.Event.CaseID != string(p.Key) {
			t.Errorf("event at %s: topic, timestamp or key missing", p.Where())
		}
	}
	hits, err := audit.SearchTopics(t.Context(), opts, []string{statusTopic}, []string{"GHOST0000001"})
	if err != nil {
		t.Fatal(err)
	}
	if len(hits) == 0 {
		t.Error("what was aborted is not searched")
	}
}

// An open transaction ends what can be read, and does not keep the read waiting.
func TestReadStatusEndsBeforeAnOpenTransaction(t *testing.T) {
	t.Parallel()
	_, opts := newCluster(t)
	events := published(t, walk()[1:4]) // BASIC, PHOTO, BASIC
	cl := newClient(t, opts, kgo.TransactionalID("writer"))
	transact(t, cl, kgo.TryCommit, record(events[0]))
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := cl.ProduceSync(t.Context(), record(events[2])).FirstErr(); err != nil {
		t.Fatal(err)
	}
	got, err := readStatus(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0].Event.Sequence != 1 {
		t.Errorf("%d events, want the one before the open transaction", len(got))
	}
	if err := cl.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	if got, err = readStatus(t.Context(), opts); err != nil || len(got) != 2 {
		t.Errorf("after the commit: %d events, %v, want 2", len(got), err)
	}
}

func TestReadStatusOfAnEmptyTopic(t *testing.T) {
	t.Parallel()
	_, opts := newCluster(t)
	got, err := readStatus(t.Context(), opts)
	if err != nil || len(got) != 0 {
		t.Errorf("got %d events, %v", len(got), err)
	}
}

func TestReadStatusFollowsMovedLeaders(t *testing.T) {
	t.Parallel()
	c, opts := newCluster(t)
	events := published(t, walk())
	cl := newClient(t, opts)
	for _, p := range events {
		if err := cl.ProduceSync(t.Context(), record(p)).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	// The first fetch finds that the partition has moved.
	c.ControlKey(int16(kmsg.Fetch), func(kmsg.Request) (kmsg.Response, error, bool) {
		for p := range int32(partitions) {
			_ = c.MoveTopicPartition(statusTopic, p, 1-c.LeaderFor(statusTopic, p))
		}
		c.DropControl()
		return nil, nil, false
	})
	got, err := readStatus(t.Context(), opts)
	if err != nil || len(got) != len(events) {
		t.Errorf("%d events, %v, want %d", len(got), err, len(events))
	}
}

func TestReadStatusFailsRatherThanShorten(t *testing.T) {
	t.Parallel()
	produce := func(t *testing.T, opts []kgo.Opt, records ...*kgo.Record) {
		t.Helper()
		if err := newClient(t, opts).ProduceSync(t.Context(), records...).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("no such topic", func(t *testing.T) {
		t.Parallel()
		_, opts := newCluster(t)
		_, err := audit.ReadStatus(t.Context(), opts, "absent", schemas.NewStatusDecoder(nil))
		if err == nil {
			t.Error("no error")
		}
	})
	t.Run("bytes that are not ours, named by coordinates", func(t *testing.T) {
		t.Parallel()
		_, opts := newCluster(t)
		produce(t, opts, &kgo.Record{Topic: statusTopic, Key: []byte("K"), Value: []byte("Erika Mustermann")})
		_, err := readStatus(t.Context(), opts)
		if _, corrupt := errors.AsType[*schemas.CorruptError](err); !corrupt {
			t.Fatalf("got %v, want a *schemas.CorruptError", err)
		}
		if !strings.Contains(err.Error(), "@0") || strings.Contains(err.Error(), "Erika") {
			t.Errorf("error %q: want coordinates and no content", err)
		}
	})
	t.Run("a broker that answers nothing", func(t *testing.T) {
		t.Parallel()
		c, opts := newCluster(t)
		produce(t, opts, record(published(t, walk())[0]))
		c.ControlKey(int16(kmsg.Fetch), func(kmsg.Request) (kmsg.Response, error, bool) {
			c.KeepControl()
			return nil, nil, true
		})
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if _, err := readStatus(ctx, opts); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the deadline", err)
		}
	})
	t.Run("records deleted while reading", func(t *testing.T) {
		t.Parallel()
		c, opts := newCluster(t)
		events := published(t, walk())
		produce(t, opts, record(events[0]), record(events[2]))
		fault := c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Err: kerr.OffsetOutOfRange, Count: -1})
		defer fault.Remove()
		if _, err := readStatus(t.Context(), opts); !errors.Is(err, kerr.OffsetOutOfRange) {
			t.Errorf("got %v, want %v", err, kerr.OffsetOutOfRange)
		}
	})
}

func TestSearchTopicsFindsNeedlesWhereverTheyStand(t *testing.T) {
	t.Parallel()
	const canary = "Erika-Mustermann-7"
	_, opts := newCluster(t, kfake.SeedTopics(1, "other"))
	cl := newClient(t, opts, kgo.TransactionalID("writer"))
	transact(t, cl, kgo.TryCommit,
		&kgo.Record{Topic: "other", Key: []byte("key " + canary), Value: []byte("v")},
		&kgo.Record{Topic: "other", Key: []byte("k"), Value: []byte(strings.Repeat("x", 1000) + canary + canary)},
		&kgo.Record{Topic: "other", Headers: []kgo.RecordHeader{{Key: "a"}, {Key: canary, Value: []byte(canary)}}},
	)
	transact(t, cl, kgo.TryAbort, &kgo.Record{Topic: "other", Value: []byte("aborted " + canary)})
	transact(t, cl, kgo.TryCommit, &kgo.Record{Topic: "other", Value: []byte("Erika-Mustermann-")})
	got, err := audit.SearchTopics(t.Context(), opts, []string{statusTopic, "other"}, []string{"absent-needle", canary})
	if err != nil {
		t.Fatal(err)
	}
	hit := func(offset int64, part string) audit.Hit {
		return audit.Hit{Needle: 1, Topic: "other", Offset: offset, Part: part}
	}
	want := []audit.Hit{hit(0, "key"), hit(1, "value"), hit(2, "header name of 1"), hit(2, "header value of 1"), hit(4, "value")}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("hits (-want +got):\n%s", diff)
	}
	if s := fmt.Sprint(got); strings.Contains(s, "Erika") {
		t.Errorf("a hit repeats the needle: %s", s)
	}
}

func TestSearchTopicsRefusesWhatCannotFail(t *testing.T) {
	t.Parallel()
	_, opts := newCluster(t)
	for name, needles := range map[string][]string{"none": nil, "an empty one": {"x", ""}} {
		if _, err := audit.SearchTopics(t.Context(), opts, []string{statusTopic}, needles); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := audit.SearchTopics(t.Context(), opts, []string{"absent"}, []string{"x"}); err == nil {
		t.Error("absent topic: no error")
	}
}

// Compaction may take the very record before the end; the read ends all the same.
func TestSearchTopicsEndsOnACompactedTopic(t *testing.T) {
	t.Parallel()
	c, opts := newCluster(t)
	configs := map[string]string{"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0", "delete.retention.ms": "0", "segment.bytes": "100"}
	if err := c.CreateTopic("state", 1, configs); err != nil {
		t.Fatal(err)
	}
	cl := newClient(t, opts, kgo.TransactionalID("writer"))
	for i := range 10 {
		transact(t, cl, kgo.TryCommit, &kgo.Record{Topic: "state", Key: []byte("k"), Value: fmt.Appendf(nil, "needle-%d", i)})
	}
	transact(t, cl, kgo.TryCommit, &kgo.Record{Topic: "state", Key: []byte("k")})
	c.Compact()
	got, err := audit.SearchTopics(t.Context(), opts, []string{"state"}, []string{"needle-9", "needle-0"})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 0 {
		t.Errorf("hits %v in what was compacted away", got)
	}
}

func FuzzSearch(f *testing.F) {
	f.Add([]byte("xxErikaxx"), "Erika", "a very long needle")
	f.Fuzz(func(t *testing.T, data []byte, one, two string) {
		got, err := audit.Search(data, []string{one, two})
		if (one == "" || two == "") != (err != nil) {
			t.Fatalf("Search(%q, %q): %v", one, two, err)
		}
		if err != nil {
			return
		}
		var want []int
		for i, needle := range []string{one, two} {
			if strings.Contains(string(data), needle) {
				want = append(want, i)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}
