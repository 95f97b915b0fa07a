package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/internal/counterpart"
	"postident-bridge/internal/scrsim"
	"postident-bridge/schemas"
)

// P1, P2, P3, P5: two bridges as processes on a real Apache Kafka with a real
// schema registry, 2,000 cases, kill -9 of one of them five times under load.
// Every change for which a webhook was sent must be one event, in order.
//
// The load is a closed loop: a case goes on only when the event of its present
// state is on the topic, read-committed. So each change is visible long enough,
// the truth is exactly what must be published, and a lost event does not hide
// behind a later one: its case stops for good.
func TestKillNineUnderLoad(t *testing.T) {
	t.Parallel()
	const cases, kills = 2000, 5
	kafka := counterpart.StartKafka(t, 1)
	registry := counterpart.StartRegistry(t, nil)
	w := newWorld(t, kafka, registry, 2)
	w.bridge(t, "topics", "apply", "--replication", "1")
	for i := range w.replicas {
		w.replicas[i].start(t)
	}
	loop := newClosedLoop(t, w, cases, isHooked)
	for kill := 1; kill <= kills; kill++ {
		loop.await(t, kill*cases/(kills+1))
		victim := w.replicas[kill%len(w.replicas)]
		victim.kill(t)
		victim.start(t)
	}
	loop.await(t, cases)
	w.settle(t)
	metrics := w.scrape(t)
	for i := range w.replicas {
		w.replicas[i].stop(t)
	}

	verdict := w.judge(t, metrics)
	if due := loop.dues(); verdict.Events < due {
		t.Errorf("%d events for %d changes with a webhook", verdict.Events, due)
	}
	w.compareConsumers(t, kafka, registry, w.published(t))
}

// P1, P10 and "Shown by" of the main job: while Kafka is paused a webhook gets
// its 503 within 2 s and /readyz says why; afterwards everything recovers by
// itself, and nothing that was answered 200 is missing.
func TestKafkaPaused(t *testing.T) {
	t.Parallel()
	const cases = 400
	kafka := counterpart.StartKafka(t, 1)
	registry := counterpart.StartRegistry(t, nil)
	w := newWorld(t, kafka, registry, 1)
	w.bridge(t, "topics", "apply", "--replication", "1")
	bridge := w.replicas[0]
	bridge.start(t)
	loop := newClosedLoop(t, w, cases, isHooked)
	loop.await(t, cases/4)

	kafka.Pause(t, 1)
	w.refusesInTime(t, bridge)
	var answer string
	eventually(t, "the replica says that it is not ready", func() bool {
		answer = bridge.ready()
		return strings.Contains(answer, roleWebhook) && strings.Contains(answer, "kafka not reached")
	})
	t.Logf("/readyz while Kafka is paused: %s", answer)
	kafka.Resume(t, 1)

	loop.await(t, cases)
	w.settle(t)
	eventually(t, "the replica is ready again", func() bool { return bridge.ready() == "" })
	metrics := w.scrape(t)
	bridge.stop(t)
	w.judge(t, metrics)

	// All of the process stops within its bound while Kafka does not answer.
	bridge.start(t)
	kafka.Pause(t, 1)
	if err := bridge.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = bridge.cmd.Wait(); close(ended) }() // with an error that names what was left behind
	select {
	case <-ended:
	case <-time.After(30 * time.Second): // BRIDGE_SHUTDOWN_TIMEOUT, and half a second a part
		t.Error("the process does not stop while Kafka is paused")
		_ = bridge.cmd.Process.Kill()
		<-ended
	}
	bridge.cmd = nil
}

// refusesInTime has a replica answer 503 within the sender's two seconds. The answer
// is due after 1.5 s: a busy machine makes one late now and then, and a bridge that
// waits for Kafka each.
func (w *world) refusesInTime(t *testing.T, r *replica) {
	t.Helper()
	var took []time.Duration
	for range 5 {
		began := time.Now()
		if status := w.hook(t, r); status != http.StatusServiceUnavailable {
			t.Errorf("a webhook got %d", status)
		}
		last := time.Since(began)
		if took = append(took, last); last <= 2*time.Second {
			return
		}
	}
	t.Errorf("webhooks were answered after %v", took)
}

// hook sends a webhook of a case that does not exist straight to a replica.
func (w *world) hook(t *testing.T, r *replica) (status int) {
	t.Helper()
	a := w.accounts[0]
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+r.webhook+"/webhooks/"+a.ClientID,
		strings.NewReader(`{"caseId":"FORGED000001"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.SetBasicAuth(a.Webhook.Username, a.Webhook.Password)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode
}

// closedLoop walks cases by what it reads from the status topic.
type closedLoop struct {
	sim      *scrsim.Simulator
	accounts []scrsim.Account
	due      func(scrsim.Advanced) bool // the step's event is awaited

	mu       sync.Mutex
	left     int                      // guarded by mu: cases not created yet
	expected map[string]scrsim.Change // guarded by mu: by caseId, the change whose event is awaited
	atEnd    map[string]bool          // guarded by mu
	finished int                      // guarded by mu
	halted   bool                     // guarded by mu: nothing goes on
	awaited  int                      // guarded by mu: changes whose event was, or is
	err      error                    // guarded by mu
}

// window is how many cases walk at a time.
const window = 200

// isHooked says that a webhook tells of the step.
func isHooked(a scrsim.Advanced) bool { return a.Hooked }

func newClosedLoop(t *testing.T, w *world, cases int, due func(scrsim.Advanced) bool) *closedLoop {
	t.Helper()
	l := &closedLoop{
		sim: w.sim, accounts: w.accounts, due: due, left: cases,
		expected: make(map[string]scrsim.Change), atEnd: make(map[string]bool),
	}
	client, err := kgo.NewClient(append(w.opts(), kgo.ConsumeTopics(w.prefix+"status.v1"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))...)
	if err != nil {
		t.Fatal(err)
	}
	decoder := w.decoder(t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			client.PollFetches(ctx).EachRecord(func(rec *kgo.Record) {
				e, err := decoder.Decode(ctx, rec.Value)
				l.published(e, err)
			})
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		client.Close()
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	for range window {
		l.next()
	}
	return l
}

// published takes an event and lets its case go on.
func (l *closedLoop) published(e schemas.StatusChanged, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.err = errors.Join(l.err, err)
		return
	}
	change, ok := l.expected[e.CaseID]
	if !ok || e.Identification == nil || string(e.Method) != change.Method || !e.Identification.Modified.Equal(change.Modified) {
		return // of a change that is not awaited, or a mistake that the checker names
	}
	delete(l.expected, e.CaseID)
	l.walk(e.CaseID)
}

// next starts a case, if any is left. Callers hold mu.
func (l *closedLoop) next() {
	if l.left == 0 {
		return
	}
	l.left--
	created, err := l.sim.Create(scrsim.NewCase{ClientID: l.accounts[l.left%len(l.accounts)].ClientID})
	if err != nil {
		l.err = errors.Join(l.err, err)
		return
	}
	l.walk(created.CaseID)
}

// walk takes steps until the event of one is due. Callers hold mu.
func (l *closedLoop) walk(caseID string) {
	for !l.atEnd[caseID] && !l.halted {
		step, err := l.sim.Advance(caseID)
		if err != nil {
			l.err = errors.Join(l.err, err)
			return
		}
		l.atEnd[caseID] = step.AtEnd
		if l.due(step) {
			l.awaited++
			l.expected[caseID] = step.Change
			return
		}
	}
	l.finished++
	l.next()
}

// dues is how many events were due.
func (l *closedLoop) dues() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.awaited
}

// await waits until n cases are at their ends.
func (l *closedLoop) await(t *testing.T, n int) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d cases are at their ends", n), func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.err != nil {
			t.Fatal(l.err)
		}
		return l.finished >= n
	})
}

// halt lets no case go on, and waits until every event that is due is there.
func (l *closedLoop) halt(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	l.left, l.halted = 0, true
	l.mu.Unlock()
	eventually(t, "every event is there", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.err != nil {
			t.Fatal(l.err)
		}
		return len(l.expected) == 0
	})
}
