package ingest_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"postident-bridge/ingest"
	"postident-bridge/internal/sabotage"
	"postident-bridge/schemas"
)

// matrixRow is one outside step of the webhook, by the name of its crash point.
type matrixRow struct {
	step string
	what string
	hook bool             // passes through sabotage.Process.Step
	only []sabotage.Fault // nil: all
}

func matrixRows() []matrixRow {
	return []matrixRow{
		{step: "receive", what: "read the body", hook: true},
		{step: "metadata", what: "ask who leads the inbox"},
		{step: "id", what: "get the idempotent producer's id"},
		{step: "write", what: "produce the trigger", only: []sabotage.Fault{sabotage.NotApplied, sabotage.Held}},
		{step: "acknowledge", what: "hear that it is written", only: []sabotage.Fault{sabotage.Applied, sabotage.Unanswered}},
		{step: "answer", what: "tell the sender", hook: true},
		{step: "probe", what: "ask for readiness"},
	}
}

// stepOf gives the name of a request's step, "" for none of ours. What a fault
// makes of a produce is either step.
func stepOf(req kmsg.Request) []string {
	switch req := req.(type) {
	case *kmsg.MetadataRequest:
		if req.IncludeTopicAuthorizedOperations {
			return []string{"probe"}
		}
		if len(req.Topics) > 0 {
			return []string{"metadata"}
		}
	case *kmsg.InitProducerIDRequest:
		return []string{"id"}
	case *kmsg.ProduceRequest:
		return []string{"write", "acknowledge"}
	}
	return nil
}

// server is one process with a webhook in it.
type server struct {
	*sabotage.Process
	webhook *ingest.Webhook
	client  *kgo.Client
}

func startServer(t *testing.T, dial sabotage.Dial, seeds []string) *server {
	t.Helper()
	s := &server{Process: sabotage.NewProcess(dial)}
	var err error
	if s.client, err = kgo.NewClient(append(ingest.ProducerOpts(), kgo.SeedBrokers(seeds...), kgo.Dialer(s.Dial))...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.client.Close)
	t.Cleanup(s.Close)
	s.webhook, err = ingest.NewWebhook(ingest.WebhookConfig{Client: s.client, Topic: inboxTopic, Accounts: []ingest.WebhookAccount{{ClientID: "ACME"}}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// deliver is what the sender sees of one webhook: the code, or 0 without an
// answer within its two seconds (guide 5).
func (s *server) deliver(caseID string) int {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	answered := make(chan int, 1)
	go func() {
		req := post(ctx, "ACME", "")
		req.ContentLength = -1
		req.Body = io.NopCloser(&steppingBody{process: s.Process, ctx: ctx, body: strings.NewReader(`{"caseId":"` + caseID + `"}`)})
		w := &steppingWriter{ResponseWriter: httptest.NewRecorder(), process: s.Process, ctx: ctx, code: http.StatusOK, answered: answered}
		s.webhook.ServeHTTP(w, req)
		w.end()
	}()
	select {
	case code := <-answered:
		return code
	case <-ctx.Done():
		return 0
	}
}

// steppingBody makes a step of the body's arrival.
type steppingBody struct {
	process *sabotage.Process
	ctx     context.Context //nolint:containedctx // of the one request that it is part of
	body    io.Reader
	arrived bool
}

func (b *steppingBody) Read(p []byte) (int, error) {
	if !b.arrived {
		b.arrived = true
		if err := b.process.Step(b.ctx, "receive", func() {}); err != nil {
			return 0, err
		}
	}
	return b.body.Read(p)
}

// steppingWriter makes a step of the answer: the sender hears it if it is
// applied while it still waits.
type steppingWriter struct {
	http.ResponseWriter
	process  *sabotage.Process
	ctx      context.Context //nolint:containedctx // of the one request that it is part of
	code     int
	written  bool
	answered chan int
}

func (w *steppingWriter) WriteHeader(code int) { w.code = code }

func (w *steppingWriter) Write(b []byte) (int, error) {
	w.written = true
	err := w.process.Step(w.ctx, "answer", func() { w.answered <- w.code })
	return len(b), err
}

// end sends the answer of a handler that wrote none, as the server does: 200.
func (w *steppingWriter) end() {
	if !w.written {
		_, _ = w.Write(nil)
	}
}

// postident delivers webhooks as POSTIDENT does: what is not answered 200 is tried
// again, at once and later (guide 5).
type postident struct {
	t        *testing.T
	accepted map[string]int // cases, by how often they were answered 200
	tried    map[string]bool
}

func (s *postident) deliver(to *server, caseID string) bool {
	s.tried[caseID] = true
	began := time.Now()
	code := to.deliver(caseID)
	if took := time.Since(began); took > 2*time.Second {
		s.t.Errorf("%s: the sender waited %v", caseID, took)
	}
	if code >= 400 && code < 500 {
		s.t.Errorf("%s: answered %d for a fault of ours", caseID, code)
	}
	if code == http.StatusOK {
		s.accepted[caseID]++
	}
	return code == http.StatusOK
}

// matrixCell is one cell.
type matrixCell struct {
	matrixRow
	fault sabotage.Fault
	fate  sabotage.Fate
}

// play has one webhook struck, and delivers it until it is answered 200.
func (c matrixCell) play(t *testing.T) time.Duration {
	t.Helper()
	network := &kfake.VirtualNetwork{}
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(9092), kfake.ListenFn(network.Listen), kfake.SeedTopics(inboxPartitions, inboxTopic))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	from := &postident{t: t, accepted: make(map[string]int), tried: make(map[string]bool)}
	old := startServer(t, network.DialContext, cluster.ListenAddrs())
	if c.hook {
		old.ArmStep(c.fault, c.fate, c.step)
	} else {
		old.ArmRequest(c.fault, c.fate, func(req kmsg.Request) bool { return slices.Contains(stepOf(req), c.step) })
	}
	if c.step == "probe" {
		_ = old.webhook.Ready(t.Context())
	}
	began := time.Now()
	done := from.deliver(old, "STRUCK")
	select {
	case <-old.Struck():
	default:
		t.Fatal("the step was never taken: the fault proves nothing")
	}
	next := old
	if c.fate != sabotage.Same {
		next = startServer(t, network.DialContext, cluster.ListenAddrs())
	}
	for attempt := 0; !done; attempt++ {
		if attempt > 20 {
			t.Fatal("no retry was accepted")
		}
		done = from.deliver(next, "STRUCK")
	}
	took := time.Since(began)
	if !from.deliver(next, "AFTER") {
		t.Error("the next webhook was not accepted")
	}
	old.Release()
	if c.fate == sabotage.Zombie {
		for attempt := 0; !from.deliver(old, "AWAKE"); attempt++ {
			if attempt > 20 {
				t.Fatal("the process that woke up accepts nothing")
			}
		}
	}
	if c.fate != sabotage.New {
		eventually(t, time.Minute, "late writes", func() bool { return old.client.BufferedProduceRecords() == 0 })
	}
	from.judge(network.DialContext, cluster.ListenAddrs())
	return took
}

// judge compares the inbox with what the sender was told: P1, and nothing that
// nobody sent.
func (s *postident) judge(dial sabotage.Dial, seeds []string) {
	s.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(seeds...), kgo.Dialer(dial), kgo.ConsumeTopics(inboxTopic), kgo.FetchMaxWait(time.Second), kgo.DisableFetchSessions())
	if err != nil {
		s.t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	inbox := make(map[string]int)
	for ctx.Err() == nil {
		cl.PollFetches(ctx).EachRecord(func(rec *kgo.Record) {
			trigger, err := schemas.DecodeTrigger(rec.Value)
			if err != nil || trigger.CaseID != string(rec.Key) || trigger.ClientID != "ACME" || !s.tried[trigger.CaseID] {
				s.t.Errorf("the inbox holds what nobody sent: key %q, %v", rec.Key, err)
			}
			inbox[string(rec.Key)]++
		})
	}
	for id, n := range s.accepted {
		if inbox[id] < n {
			s.t.Errorf("%s was answered 200 %d times and is in the inbox %d times", id, n, inbox[id])
		}
	}
}

// P1: whatever outside step of the webhook fails, however, and whoever goes on,
// no webhook that was answered 200 is missing from the inbox.
func TestFaultMatrix(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	cells := make(map[string]string)
	t.Cleanup(func() {
		var b strings.Builder
		fmt.Fprintf(&b, "\n%-18s %-22s %12s %12s %12s\n", "step", "fault", "same process", "new process", "zombie")
		for _, row := range matrixRows() {
			for _, fault := range sabotage.Faults() {
				if times := cells[row.step+fault.String()+sabotage.Same.String()]; times != "" {
					fmt.Fprintf(&b, "%-18s %-22s", row.step, fault)
					for _, fate := range sabotage.Fates() {
						fmt.Fprintf(&b, " %12s", cells[row.step+fault.String()+fate.String()])
					}
					fmt.Fprintln(&b)
				}
			}
		}
		t.Log(b.String())
	})
	for _, row := range matrixRows() {
		faults := row.only
		if faults == nil {
			faults = sabotage.Faults()
		}
		for _, fault := range faults {
			for _, fate := range sabotage.Fates() {
				t.Run(fmt.Sprintf("%s/%s/%s", row.step, fault, fate), func(t *testing.T) {
					t.Parallel()
					took := "FAILED"
					t.Cleanup(func() {
						mu.Lock()
						defer mu.Unlock()
						if t.Failed() {
							took = "FAILED"
						}
						cells[row.step+fault.String()+fate.String()] = took
					})
					synctest.Test(t, func(t *testing.T) {
						took = fmt.Sprintf("%.1fs", matrixCell{row, fault, fate}.play(t).Seconds())
					})
				})
			}
		}
	}
}

// A step without a row, a row without a crash point, and an outside call in a
// function that names none: each fails.
func TestEveryStepHasItsRow(t *testing.T) {
	t.Parallel()
	var points []string
	for _, dir := range []string{".", "../internal/producer"} {
		// A producer's Close asks Kafka for nothing.
		found, err := sabotage.CrashPoints(dir, []string{"client", "cl"}, []string{"OptValue", "Opts", "Context", "Close"}, []string{"buf.ReadFrom", "w.Write", "rw.Write"})
		if err != nil {
			t.Error(err)
		}
		points = append(points, found...)
	}
	page, err := os.ReadFile("../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for _, row := range slices.Concat(matrixRows(), pollRows()) {
		rows = append(rows, row.step)
		if !slices.Contains(points, row.step) {
			t.Errorf("row %q of the fault matrix has no crash point in the sources", row.step)
		}
		if !strings.Contains(string(page), "`"+row.step+"`") {
			t.Errorf("row %q is not in the table of docs/architecture.md", row.step)
		}
	}
	for _, point := range points {
		if !slices.Contains(rows, point) {
			t.Errorf("crash point %q has no row in the fault matrix", point)
		}
	}
}
