package ingest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"postident-bridge/ingest"
)

// newVirtualRig is a rig inside a synctest bubble.
func newVirtualRig(t *testing.T, o rigOption) *rig {
	t.Helper()
	o.virtual = true
	return newRig(t, o)
}

// accept delivers one webhook that must be accepted.
func (r *rig) accept(t *testing.T, caseID string) {
	t.Helper()
	if w := r.serve(post(t.Context(), "ACME", `{"caseId":"`+caseID+`"}`)); w.Code != http.StatusOK {
		t.Fatalf("%s: code %d, %s", caseID, w.Code, w.Body)
	}
}

// refuse delivers one webhook that must be answered 503 for this reason, and
// returns how long that took.
func (r *rig) refuse(t *testing.T, caseID, want string) time.Duration {
	t.Helper()
	began := time.Now()
	w := r.serve(post(t.Context(), "ACME", `{"caseId":"`+caseID+`"}`))
	took := time.Since(began)
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("%s: code %d, Retry-After %q", caseID, w.Code, w.Header().Get("Retry-After"))
	}
	if got := reason(t, w); got != want {
		t.Errorf("%s: reason %s, want %s", caseID, got, want)
	}
	return took
}

// eventually polls a condition in fake time.
func eventually(t *testing.T, within time.Duration, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(within)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", within, what)
		}
		<-tick.C
	}
}

func (r *rig) caseIDs(t *testing.T) map[string]int {
	t.Helper()
	out := map[string]int{}
	for _, trigger := range r.triggers(t) {
		out[trigger.CaseID]++
	}
	return out
}

// The broker holds its connections and answers nothing, as under SIGSTOP: 503
// at 1.5 s, readiness says why, and after its return everything goes on by
// itself. What was answered 503 is written late, once (P1, P10).
func TestP1BrokerThatAnswersNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newVirtualRig(t, rigOption{})
		r.accept(t, "BEFORE")
		if err := r.Ready(t.Context()); err != nil {
			t.Errorf("ready before: %v", err)
		}
		r.paused.Store(true)
		if took := r.refuse(t, "DURING1", "not_acknowledged"); took != ingest.DefaultAckTimeout {
			t.Errorf("answered after %v, want %v", took, ingest.DefaultAckTimeout)
		}
		err := r.Ready(t.Context())
		if err == nil || !strings.Contains(err.Error(), "does not acknowledge") {
			t.Errorf("ready during: %v", err)
		}
		// A minute later, long after the last webhook, the probe still says no.
		time.Sleep(time.Minute) //nolint:forbidigo // fake time
		began := time.Now()
		if err := r.Ready(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("ready a minute later: %v", err)
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("the probe took %v", took)
		}
		r.refuse(t, "DURING2", "not_acknowledged")
		r.paused.Store(false)
		eventually(t, 10*time.Second, "ready again, without any webhook", func() bool { return r.Ready(t.Context()) == nil })
		eventually(t, 10*time.Second, "late writes", func() bool { return r.client.BufferedProduceRecords() == 0 })
		r.accept(t, "AFTER")
		want := map[string]int{"BEFORE": 1, "DURING1": 1, "DURING2": 1, "AFTER": 1}
		if diff := cmp.Diff(want, r.caseIDs(t)); diff != "" {
			t.Errorf("inbox (-want +got):\n%s", diff)
		}
	})
}

// A sender that hangs up while Kafka is silent is counted apart, and what its
// trigger shows of Kafka counts like any other's.
func TestSenderHangsUpWhileKafkaIsSilent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newVirtualRig(t, rigOption{})
		r.accept(t, "BEFORE")
		r.paused.Store(true)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if got := reason(t, r.serve(post(ctx, "ACME", `{"caseId":"DURING"}`))); got != "abandoned" {
			t.Errorf("answered %s", got)
		}
		if err := r.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "does not acknowledge") {
			t.Errorf("ready during: %v", err)
		}
		r.paused.Store(false)
		eventually(t, 10*time.Second, "late write", func() bool { return r.client.BufferedProduceRecords() == 0 })
		if diff := cmp.Diff(map[string]int{"BEFORE": 1, "DURING": 1}, r.caseIDs(t)); diff != "" {
			t.Errorf("inbox (-want +got):\n%s", diff)
		}
	})
}

// The time counts from the request's beginning, so that a body that came slowly
// does not push the answer beyond the sender's two seconds (guide 5).
func TestP1SlowBodyCountsToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newVirtualRig(t, rigOption{})
		r.accept(t, "BEFORE")
		r.paused.Store(true)
		req := post(t.Context(), "ACME", "")
		req.ContentLength = -1
		req.Body = slowBody{strings.NewReader(goodBody), time.Second}
		began := time.Now()
		w := r.serve(req)
		if took := time.Since(began); w.Code != http.StatusServiceUnavailable || took != ingest.DefaultAckTimeout {
			t.Errorf("code %d after %v", w.Code, took)
		}
	})
}

type slowBody struct {
	*strings.Reader
	pause time.Duration
}

func (b slowBody) Read(p []byte) (int, error) {
	if b.Len() == len(goodBody) {
		<-time.After(b.pause)
	}
	return b.Reader.Read(p)
}
func (slowBody) Close() error { return nil }

// While Kafka is away neither the buffer nor the waiting requests grow beyond
// their bounds; what is over them is answered at once.
func TestBufferStaysBoundedWhileKafkaIsAway(t *testing.T) {
	t.Parallel()
	t.Run("records", func(t *testing.T) {
		t.Parallel()
		const bound = 10
		synctest.Test(t, func(t *testing.T) {
			r := newVirtualRig(t, rigOption{client: []kgo.Opt{kgo.MaxBufferedRecords(bound)}})
			r.accept(t, "BEFORE")
			r.paused.Store(true)
			for i := range 2 * bound {
				want, limit := "not_acknowledged", ingest.DefaultAckTimeout
				if i >= bound {
					want, limit = "overload", 0
				}
				if took := r.refuse(t, fmt.Sprintf("DURING%d", i), want); took != limit {
					t.Errorf("webhook %d answered after %v, want %v", i, took, limit)
				}
				if n := r.client.BufferedProduceRecords(); n > bound {
					t.Fatalf("%d records buffered, bound %d", n, bound)
				}
			}
			r.paused.Store(false)
			eventually(t, 10*time.Second, "ready again", func() bool { return r.Ready(t.Context()) == nil })
			r.accept(t, "AFTER")
		})
	})
	t.Run("requests", func(t *testing.T) {
		t.Parallel()
		const bound = 4
		synctest.Test(t, func(t *testing.T) {
			r := newVirtualRig(t, rigOption{config: func(c *ingest.WebhookConfig) { c.MaxInFlight = bound }})
			r.accept(t, "BEFORE")
			r.paused.Store(true)
			var wg sync.WaitGroup
			for i := range bound {
				wg.Go(func() { r.refuse(t, fmt.Sprintf("WAITS%d", i), "not_acknowledged") })
			}
			synctest.Wait()
			if took := r.refuse(t, "OVER", "overload"); took != 0 {
				t.Errorf("answered after %v, want at once", took)
			}
			// Strangers take no slot: their answer is theirs.
			if w := r.serve(post(t.Context(), "ACME", goodBody, from("192.0.2.1:1"))); w.Code != http.StatusForbidden {
				t.Errorf("stranger: code %d", w.Code)
			}
			wg.Wait()
		})
	})
}

// A request that is cancelled leaves all others alone: its context never
// reaches the client, which would fail every record of the partition with it.
func TestCancelledRequestDoesNotFailOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newVirtualRig(t, rigOption{})
		r.accept(t, "BEFORE") // metadata is loaded, the next records go straight into batches
		var held atomic.Bool
		held.Store(true)
		r.cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
			r.cluster.KeepControl()
			r.cluster.SleepControl(func() {
				for held.Load() {
					<-time.After(10 * time.Millisecond)
				}
			})
			return nil, nil, false
		})
		ctx, cancel := context.WithCancel(t.Context())
		var cancelled *httptest.ResponseRecorder
		var wg sync.WaitGroup
		// One caseId, so one partition and one batch: the cancelled one first.
		wg.Go(func() { cancelled = r.serve(post(ctx, "ACME", `{"caseId":"SAME"}`)) })
		synctest.Wait()
		for range 10 {
			wg.Go(func() { r.accept(t, "SAME") })
		}
		synctest.Wait()
		cancel()
		synctest.Wait()
		held.Store(false)
		wg.Wait()
		if cancelled.Code != http.StatusOK {
			t.Errorf("the cancelled request's trigger was acknowledged, and it was answered %d", cancelled.Code)
		}
		if err := r.Ready(t.Context()); err != nil {
			t.Errorf("a sender that hung up made the webhook unready: %v", err)
		}
		if diff := cmp.Diff(map[string]int{"BEFORE": 1, "SAME": 11}, r.caseIDs(t)); diff != "" {
			t.Errorf("inbox (-want +got):\n%s", diff)
		}
	})
}

// What the broker can get over within the time is a 200, slow or not.
func TestSlowAndPassingFaultsAreAccepted(t *testing.T) {
	t.Parallel()
	for _, fault := range []*kerr.Error{kerr.NotEnoughReplicas, kerr.NotLeaderForPartition, kerr.RequestTimedOut, kerr.NotEnoughReplicasAfterAppend} {
		t.Run(fault.Message, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newVirtualRig(t, rigOption{})
				r.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: fault, Count: 2})
				r.accept(t, "ONCE")
				if diff := cmp.Diff(map[string]int{"ONCE": 1}, r.caseIDs(t)); diff != "" {
					t.Errorf("inbox (-want +got):\n%s", diff)
				}
			})
		})
	}
	t.Run("slow", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			r := newVirtualRig(t, rigOption{})
			r.cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
				r.cluster.SleepControl(func() { <-time.After(time.Second) })
				return nil, nil, false
			})
			began := time.Now()
			r.accept(t, "SLOW")
			if took := time.Since(began); took < time.Second {
				t.Errorf("accepted after %v, before Kafka had it", took)
			}
		})
	})
}

// Never a 4xx for our own fault, whatever Kafka says for good.
func TestP1LastingFaultsAre503(t *testing.T) {
	t.Parallel()
	for _, fault := range []*kerr.Error{
		kerr.TopicAuthorizationFailed, kerr.ClusterAuthorizationFailed, kerr.MessageTooLarge, kerr.InvalidTopicException,
		kerr.PolicyViolation, kerr.InvalidRecord, kerr.UnknownServerError,
	} {
		t.Run(fault.Message, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newVirtualRig(t, rigOption{})
				r.accept(t, "BEFORE")
				h := r.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: fault, Count: -1})
				w := r.serve(post(t.Context(), "ACME", goodBody))
				if got := reason(t, w); w.Code != http.StatusServiceUnavailable || (got != "produce" && got != "not_acknowledged") {
					t.Errorf("code %d, reason %s", w.Code, got)
				}
				h.Remove()
				eventually(t, 30*time.Second, "accepted again", func() bool {
					return r.serve(post(t.Context(), "ACME", goodBody)).Code == http.StatusOK
				})
			})
		})
	}
	t.Run("no inbox", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			r := newVirtualRig(t, rigOption{topics: -1})
			w := r.serve(post(t.Context(), "ACME", goodBody))
			if w.Code != http.StatusServiceUnavailable {
				t.Errorf("code %d", w.Code)
			}
			if err := r.Ready(t.Context()); !errors.Is(err, kerr.UnknownTopicOrPartition) {
				t.Errorf("ready: %v", err)
			}
			if err := r.cluster.CreateTopic(inboxTopic, inboxPartitions, nil); err != nil {
				t.Fatal(err)
			}
			eventually(t, 30*time.Second, "ready once the inbox is there", func() bool { return r.Ready(t.Context()) == nil })
		})
	})
	t.Run("client closed", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			r := newVirtualRig(t, rigOption{})
			r.client.Close()
			r.refuse(t, "CLOSED", "produce")
		})
	})
}

// P10: readiness follows what is known of the inbox.
func TestP10Ready(t *testing.T) {
	t.Parallel()
	metadata := func(r *rig, edit func(*kmsg.MetadataResponseTopic)) {
		r.cluster.ControlKey(int16(kmsg.Metadata), func(kreq kmsg.Request) (kmsg.Response, error, bool) {
			r.cluster.KeepControl()
			req, ok := kreq.(*kmsg.MetadataRequest)
			if !ok || len(req.Topics) == 0 {
				return nil, nil, false
			}
			resp, ok := req.ResponseKind().(*kmsg.MetadataResponse)
			if !ok {
				return nil, nil, false
			}
			topic := kmsg.NewMetadataResponseTopic()
			topic.Topic = new(inboxTopic)
			for p := range int32(2) {
				part := kmsg.NewMetadataResponseTopicPartition()
				part.Partition, part.Leader = p, 0
				topic.Partitions = append(topic.Partitions, part)
			}
			edit(&topic)
			resp.Topics = append(resp.Topics, topic)
			return resp, nil, true
		})
	}
	noLeader := func(p *kmsg.MetadataResponseTopicPartition) {
		p.Leader, p.ErrorCode = -1, kerr.LeaderNotAvailable.Code
	}
	t.Run("idle and well", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			r := newVirtualRig(t, rigOption{})
			if err := r.Ready(t.Context()); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("idle, broker answers nothing", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			r := newVirtualRig(t, rigOption{})
			r.paused.Store(true)
			if err := r.Ready(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v", err)
			}
		})
	})
	t.Run("idle for long after an acknowledgement, broker answers nothing", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			r := newVirtualRig(t, rigOption{})
			r.accept(t, "BEFORE")
			r.paused.Store(true)
			time.Sleep(time.Minute) //nolint:forbidigo // fake time
			if err := r.Ready(t.Context()); err == nil {
				t.Error("ready on an acknowledgement of a minute ago")
			}
		})
	})
	t.Run("no partition has a leader", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			r := newVirtualRig(t, rigOption{})
			metadata(r, func(topic *kmsg.MetadataResponseTopic) {
				for i := range topic.Partitions {
					noLeader(&topic.Partitions[i])
				}
			})
			if err := r.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "none of 2 partitions has a leader") {
				t.Errorf("got %v", err)
			}
		})
	})
	t.Run("one partition has no leader: the others accept", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			r := newVirtualRig(t, rigOption{})
			metadata(r, func(topic *kmsg.MetadataResponseTopic) { noLeader(&topic.Partitions[0]) })
			if err := r.Ready(t.Context()); err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("no permission to write", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			r := newVirtualRig(t, rigOption{})
			metadata(r, func(topic *kmsg.MetadataResponseTopic) { topic.AuthorizedOperations = 1 << kmsg.ACLOperationDescribe })
			if err := r.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "needs Write on topic") {
				t.Errorf("got %v", err)
			}
		})
	})
	t.Run("the inbox is missing in the answer", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			r := newVirtualRig(t, rigOption{})
			metadata(r, func(topic *kmsg.MetadataResponseTopic) { topic.Topic = new("other") })
			if err := r.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "not in the answer") {
				t.Errorf("got %v", err)
			}
		})
	})
	// One dead partition of many: each webhook for it is 503, and the others'
	// acknowledgements keep the process in service.
	t.Run("one partition takes nothing, others do", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			r := newVirtualRig(t, rigOption{})
			r.accept(t, "21")
			dead := (int32(-973932308) & 0x7fffffff) % inboxPartitions // murmur2 of "21"
			r.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: inboxTopic, Partitions: []int32{dead}, Err: kerr.NotEnoughReplicas, Count: -1})
			r.refuse(t, "21", "not_acknowledged")
			if err := r.Ready(t.Context()); err == nil {
				t.Error("ready though all that is known is a failure")
			}
			r.accept(t, "a-little-bit-long-string") // partition 2; "21" is in 0
			if err := r.Ready(t.Context()); err != nil {
				t.Errorf("not ready though Kafka takes triggers: %v", err)
			}
		})
	})
	// The last acknowledgements come through while the first triggers already
	// hang: they prove nothing.
	t.Run("an acknowledgement that came through as the broker stopped", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			r := newVirtualRig(t, rigOption{})
			r.accept(t, "BEFORE")
			requests := 0
			r.cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
				r.cluster.KeepControl()
				if requests++; requests > 1 {
					r.paused.Store(true)
					return nil, nil, true
				}
				r.cluster.SleepControl(func() { <-time.After(100 * time.Millisecond) })
				return nil, nil, false
			})
			var wg sync.WaitGroup
			wg.Go(func() { r.accept(t, "LAST") })
			<-time.After(50 * time.Millisecond)
			wg.Go(func() { r.refuse(t, "FIRST", "not_acknowledged") })
			wg.Wait()
			if err := r.Ready(t.Context()); err == nil {
				t.Error("ready while the broker is stopped")
			}
		})
	})
	// Metadata looks well, and Kafka refuses all the same: too few replicas.
	t.Run("too few replicas in sync", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			r := newVirtualRig(t, rigOption{})
			fault := r.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.NotEnoughReplicas, Count: -1})
			r.refuse(t, "DURING", "not_acknowledged")
			if err := r.Ready(t.Context()); err == nil {
				t.Error("ready on good metadata")
			}
			fault.Remove()
			eventually(t, 10*time.Second, "ready again", func() bool { return r.Ready(t.Context()) == nil })
		})
	})
}
