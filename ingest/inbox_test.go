package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"postident-bridge/ingest"
	"postident-bridge/internal/sabotage"
	"postident-bridge/schemas"
)

func newInbox(tb testing.TB, r *rig) *ingest.Inbox {
	tb.Helper()
	inbox, err := ingest.NewInbox(r.client, inboxTopic)
	if err != nil {
		tb.Fatal(err)
	}
	return inbox
}

func hintOf(caseID string, headers ...kgo.RecordHeader) ingest.Hint {
	return ingest.Hint{
		Trigger: schemas.Trigger{ClientID: "ACME", CaseID: caseID, Source: schemas.SourceSweep, ReceivedAt: stamp},
		Headers: headers,
	}
}

// Put returns when everything is written, once, in its order, under the key and
// in the partition that a webhook's trigger of the same case has.
func TestPutWritesEachTriggerOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOption{})
	const cases = 9000 // more than the client buffers
	hints := make([]ingest.Hint, cases)
	for i := range hints {
		hints[i] = hintOf(fmt.Sprintf("CASE%08d", i), kgo.RecordHeader{Key: "n", Value: fmt.Append(nil, i)})
	}
	if err := newInbox(t, r).Put(t.Context(), hints); err != nil {
		t.Fatal(err)
	}
	murmur2 := kgo.StickyKeyPartitioner(nil).ForTopic(inboxTopic)
	records := r.written(t)
	if len(records) != cases {
		t.Fatalf("%d records, want %d", len(records), cases)
	}
	last := make(map[int32]string)
	for _, rec := range records {
		trigger, err := schemas.DecodeTrigger(rec.Value)
		if err != nil {
			t.Fatal(err)
		}
		var n int
		if _, err := fmt.Sscan(string(rec.Headers[0].Value), &n); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(hints[n].Trigger, trigger); diff != "" || string(rec.Key) != trigger.CaseID || len(rec.Headers) != 1 {
			t.Fatalf("key %q, %d headers (-want +got):\n%s", rec.Key, len(rec.Headers), diff)
		}
		if want := murmur2.Partition(&kgo.Record{Key: rec.Key}, inboxPartitions); int(rec.Partition) != want {
			t.Fatalf("%s is in partition %d, want %d", rec.Key, rec.Partition, want)
		}
		if trigger.CaseID <= last[rec.Partition] {
			t.Fatalf("%s comes after %s", trigger.CaseID, last[rec.Partition])
		}
		last[rec.Partition] = trigger.CaseID
	}
}

func TestPutWritesNothingIfOneCannotBeEncoded(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOption{})
	bad := hintOf("CASE2")
	bad.Source = "hearsay"
	if err := newInbox(t, r).Put(t.Context(), []ingest.Hint{hintOf("CASE1"), bad}); err == nil {
		t.Error("no error")
	}
	if got := r.written(t); len(got) != 0 {
		t.Errorf("%d records written", len(got))
	}
}

// A broker that answers nothing does not hold Put beyond its context, and what
// others put through the same client meanwhile is written when it is back.
// A case with an endless text does not keep the others of its list from the inbox,
// also where only the frame around it is too much for the broker.
func TestPutLeavesAnObservationBehindThatIsTooLarge(t *testing.T) {
	t.Parallel()
	for _, size := range []int{schemas.MaxBytes - 200, schemas.MaxBytes + 1} {
		r := newRig(t, rigOption{})
		hints := []ingest.Hint{hintOf("ENDLESS"), hintOf("OTHER")}
		for i, text := range []string{strings.Repeat("x", size), "short"} {
			hints[i].Observation = &schemas.Observation{ObservedAt: stamp, Created: stamp, Modified: stamp, ReferenceID: &text}
		}
		if err := newInbox(t, r).Put(t.Context(), hints); err != nil {
			t.Fatal(err)
		}
		observed := make(map[string]bool)
		for _, trigger := range r.triggers(t) {
			observed[trigger.CaseID] = trigger.Observation != nil
		}
		if d := cmp.Diff(map[string]bool{"ENDLESS": false, "OTHER": true}, observed); d != "" {
			t.Errorf("with a text of %d bytes, observations (-want +got):\n%s", size, d)
		}
		if hints[0].Observation == nil {
			t.Error("the caller's trigger was changed")
		}
	}
}

func TestPutEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, rigOption{virtual: true})
		inbox := newInbox(t, r)
		r.paused.Store(true)
		impatient, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		patient := make(chan error, 1)
		began := time.Now()
		ended := make(chan error, 1)
		go func() { ended <- inbox.Put(impatient, []ingest.Hint{hintOf("CASE1")}) }()
		synctest.Wait() // the client has the impatient one's first
		go func() { patient <- inbox.Put(t.Context(), []ingest.Hint{hintOf("CASE1")}) }()
		if err := <-ended; !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 3*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		r.paused.Store(false)
		if err := <-patient; err != nil {
			t.Error(err)
		}
		if err := inbox.Put(impatient, []ingest.Hint{hintOf("CASE9")}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("put after the end: %v", err)
		}
		for _, rec := range r.written(t) {
			if string(rec.Key) != "CASE1" {
				t.Errorf("%s was written", rec.Key)
			}
		}
	})
}

// Whatever befalls the request that writes them, triggers that were put stand in the
// inbox once: the client tries again, and its producer is idempotent.
func TestPutOutlivesFaults(t *testing.T) {
	t.Parallel()
	for _, fault := range []sabotage.Fault{sabotage.NotApplied, sabotage.Applied, sabotage.Unanswered} {
		t.Run(fault.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, rigOption{virtual: true})
				process := sabotage.NewProcess(r.net.DialContext)
				t.Cleanup(process.Close)
				process.ArmRequest(fault, sabotage.Same, func(req kmsg.Request) bool { return slices.Contains(stepOf(req), "write") })
				client, err := kgo.NewClient(append(ingest.ProducerOpts(), kgo.SeedBrokers(r.cluster.ListenAddrs()...), kgo.Dialer(process.Dial))...)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(client.Close)
				inbox, err := ingest.NewInbox(client, inboxTopic)
				if err != nil {
					t.Fatal(err)
				}
				hints := []ingest.Hint{hintOf("CASE1"), hintOf("CASE2"), hintOf("CASE1")}
				if err := inbox.Put(t.Context(), hints); err != nil {
					t.Error(err)
				}
				select {
				case <-process.Struck():
				default:
					t.Error("the fault did not strike")
				}
				if got := len(r.written(t)); got != len(hints) {
					t.Errorf("%d in the inbox", got)
				}
			})
		})
	}
}

func TestNewInboxChecksItsClient(t *testing.T) {
	t.Parallel()
	r := newRig(t, rigOption{})
	unsafe, err := kgo.NewClient(kgo.SeedBrokers(r.cluster.ListenAddrs()...), kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(unsafe.Close)
	_, err = ingest.NewInbox(unsafe, "")
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"required acks", "idempotent write", "topic: missing"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
	if _, err := ingest.NewInbox(nil, inboxTopic); err == nil {
		t.Error("no client: no error")
	}
}
