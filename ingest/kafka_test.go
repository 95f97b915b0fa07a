package ingest_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/ingest"
	"postident-bridge/internal/counterpart"
)

// A real broker is stopped under load (SIGSTOP) and goes on (SIGCONT): 503
// within the sender's two seconds, readiness says why, everything recovers by
// itself, and no webhook that was answered 200 is missing (P1, P10).
func TestP1ApacheKafkaStoppedUnderLoad(t *testing.T) {
	t.Parallel()
	kafka := counterpart.StartKafka(t, 1)
	cl, err := kgo.NewClient(append(ingest.ProducerOpts(), kgo.SeedBrokers(kafka.Seeds()...))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	if _, err := kadm.NewClient(cl).CreateTopic(t.Context(), inboxPartitions, 1, nil, inboxTopic); err != nil {
		t.Fatal(err)
	}
	h, err := ingest.NewWebhook(ingest.WebhookConfig{Client: cl, Topic: inboxTopic, Accounts: []ingest.WebhookAccount{{ClientID: "ACME"}}})
	if err != nil {
		t.Fatal(err)
	}
	waitFor(t, "ready", func() bool { return h.Ready(t.Context()) == nil })

	load := startLoad(t, h)
	waitFor(t, "accepted webhooks", func() bool { return load.count(http.StatusOK) > 200 })
	kafka.Pause(t, 1)
	slow := load.count(http.StatusServiceUnavailable) // a cold broker may be
	waitFor(t, "503", func() bool { return load.count(http.StatusServiceUnavailable) > slow })
	if err := h.Ready(t.Context()); err == nil {
		t.Error("ready while the broker is stopped")
	} else {
		t.Logf("not ready: %v", err)
	}
	kafka.Resume(t, 1)
	waitFor(t, "ready again", func() bool { return h.Ready(t.Context()) == nil })
	before := load.count(http.StatusOK)
	waitFor(t, "accepted webhooks again", func() bool { return load.count(http.StatusOK) > before+200 })
	load.stop()
	waitFor(t, "the late writes", func() bool { return cl.BufferedProduceRecords() == 0 })

	// What the machine was late by, whoever waited, is no fault of the webhook's.
	if load.slowest-load.late >= 2*time.Second {
		t.Errorf("the slowest answer took %v, the sender waits 2s, and the machine was %v late", load.slowest, load.late)
	}
	inbox := readInbox(t, kafka.Seeds())
	for caseID := range load.accepted {
		if inbox[caseID] == 0 {
			t.Errorf("%s was answered 200 and is not in the inbox", caseID)
		}
	}
	for caseID, n := range inbox {
		if n != 1 {
			t.Errorf("%s is in the inbox %d times: the producer is idempotent", caseID, n)
		}
	}
	t.Logf("%v answers, %d in the inbox, the slowest after %v; the machine was %v late", load.codes, len(inbox), load.slowest, load.late)
}

// load is some senders that deliver as fast as they are answered, and one who only
// waits, to tell what the machine is late by.
type load struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu       sync.Mutex // guards all below
	codes    map[int]int
	accepted map[string]bool
	slowest  time.Duration
	late     time.Duration // how much later than it should a wait ended, at worst
}

func startLoad(t *testing.T, h http.Handler) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{cancel: cancel, codes: map[int]int{}, accepted: map[string]bool{}}
	t.Cleanup(l.stop)
	for s := range 8 {
		l.wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				l.deliver(context.WithoutCancel(ctx), h, fmt.Sprintf("S%dI%d", s, i))
			}
		})
	}
	l.wg.Go(func() {
		for ctx.Err() == nil {
			const wait = 10 * time.Millisecond
			began := time.Now()
			<-time.After(wait)
			late := time.Since(began) - wait
			l.mu.Lock()
			l.late = max(l.late, late)
			l.mu.Unlock()
		}
	})
	return l
}

// deliver delivers one webhook and notes the answer.
func (l *load) deliver(ctx context.Context, h http.Handler, caseID string) {
	w := httptest.NewRecorder()
	began := time.Now()
	h.ServeHTTP(w, post(ctx, "ACME", `{"caseId":"`+caseID+`"}`))
	took := time.Since(began)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.codes[w.Code]++
	l.slowest = max(l.slowest, took)
	if w.Code == http.StatusOK {
		l.accepted[caseID] = true
	}
}

func (l *load) count(code int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.codes[code]
}

func (l *load) stop() {
	l.cancel()
	l.wg.Wait()
}

func readInbox(t *testing.T, seeds []string) map[string]int {
	t.Helper()
	r, err := kgo.NewClient(kgo.SeedBrokers(seeds...), kgo.ConsumeTopics(inboxTopic))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	ends, err := kadm.NewClient(r).ListEndOffsets(t.Context(), inboxTopic)
	if err != nil {
		t.Fatal(err)
	}
	var left int64
	ends.Each(func(o kadm.ListedOffset) { left += o.Offset })
	inbox := map[string]int{}
	for left > 0 {
		fetches := r.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		for _, record := range fetches.Records() {
			inbox[string(record.Key)]++
			left--
		}
	}
	return inbox
}

// waitFor polls a condition in real time.
func waitFor(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 30s: %s", strings.TrimSpace(what))
		}
		<-tick.C
	}
}
