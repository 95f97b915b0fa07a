package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/internal/audit"
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
	loop := newClosedLoop(t, w, cases)
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

	published := w.published(t)
	report := audit.CompareWith(w.truth(), published, audit.Options{
		Strict: true, Partitions: 12, Classes: w.classes(),
	})
	t.Log(report.String())
	if err := report.Err(); err != nil {
		t.Error(err)
	}
	if hooked := loop.hooked(); report.Events < hooked {
		t.Errorf("%d events for %d changes with a webhook", report.Events, hooked)
	}
	w.searchCanaries(t, metrics)
	w.compareConsumers(t, kafka, registry, published)
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
	loop := newClosedLoop(t, w, cases)
	loop.await(t, cases/4)

	kafka.Pause(t, 1)
	began := time.Now()
	status := w.hook(t, bridge)
	if took := time.Since(began); status != http.StatusServiceUnavailable || took > 2*time.Second {
		t.Errorf("a webhook got %d after %s", status, took)
	}
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
	bridge.stop(t)
	report := audit.CompareWith(w.truth(), w.published(t), audit.Options{Strict: true, Partitions: 12, Classes: w.classes()})
	t.Log(report.String())
	if err := report.Err(); err != nil {
		t.Error(err)
	}
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

// world is everything around the bridges under test.
type world struct {
	prefix   string
	binary   string
	seeds    []string
	registry string
	sim      *scrsim.Simulator
	accounts []scrsim.Account
	env      []string
	entrance *entrance
	replicas []*replica
}

func newWorld(t *testing.T, kafka *counterpart.Kafka, registry *counterpart.Registry, replicas int) *world {
	t.Helper()
	w := &world{
		prefix:   "kill.",
		binary:   buildBridge(t),
		seeds:    kafka.Seeds(),
		registry: registry.URL,
		entrance: &entrance{client: &http.Client{Timeout: 5 * time.Second}},
	}
	front := httptest.NewServer(w.entrance)
	t.Cleanup(front.Close)
	w.accounts = scrsim.ExampleAccounts(front.URL)
	sim, err := scrsim.New(scrsim.Config{Accounts: w.accounts, Seed: 7, TimeScale: 60})
	if err != nil {
		t.Fatal(err)
	}
	w.sim = sim
	api := httptest.NewServer(sim.Handler())
	t.Cleanup(api.Close)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- sim.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	w.env = []string{
		"BRIDGE_KAFKA_BROKERS=" + kafka.Bootstrap, "BRIDGE_TOPIC_PREFIX=" + w.prefix,
		"BRIDGE_SCHEMA_REGISTRY_URL=" + registry.URL, "BRIDGE_SCHEMA_REGISTER=true",
		"BRIDGE_SCR_BASE_URL=" + api.URL, "BRIDGE_WEBHOOK_ALLOWED_IPS=127.0.0.1",
	}
	for i, a := range w.accounts {
		for name, value := range map[string]string{
			"CLIENT_ID": a.ClientID, "USERNAME": a.Credentials[0].Username, "PASSWORD": a.Credentials[0].Password,
			"DATA_PASSWORD": a.Credentials[0].DataPassword, "REGULATORY_CLASS": strings.ToLower(string(a.Class)), "RSA_BITS": "2048",
			"WEBHOOK_USERNAME": a.Webhook.Username, "WEBHOOK_PASSWORD": a.Webhook.Password,
		} {
			w.env = append(w.env, fmt.Sprintf("BRIDGE_ACCOUNT_%d_%s=%s", i+1, name, value))
		}
	}
	for i := range replicas {
		w.replicas = append(w.replicas, newReplica(t, w, i))
	}
	w.entrance.set(w.replicas)
	return w
}

func buildBridge(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "bridge")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build bridge: %v\n%s", err, out)
	}
	return binary
}

// bridge runs one command of the binary to its end.
func (w *world) bridge(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), w.binary, args...)
	cmd.Env = w.env
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("bridge %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// settle waits until every webhook has found its 200.
func (w *world) settle(t *testing.T) {
	t.Helper()
	eventually(t, "all webhooks are delivered", func() bool { return w.sim.Status().HooksPending == 0 })
}

func (w *world) truth() []audit.Change {
	changes := w.sim.Truth()
	truth := make([]audit.Change, len(changes))
	for i, c := range changes {
		truth[i] = audit.Change(c)
	}
	return truth
}

func (w *world) classes() map[string]schemas.RegulatoryClass {
	classes := make(map[string]schemas.RegulatoryClass)
	for _, a := range w.accounts {
		classes[a.ClientID] = schemas.RegulatoryClass(strings.ToLower(string(a.Class)))
	}
	return classes
}

func (w *world) opts() []kgo.Opt { return []kgo.Opt{kgo.SeedBrokers(w.seeds...)} }

func (w *world) decoder(t *testing.T) *schemas.StatusDecoder {
	t.Helper()
	registry, err := schemas.NewRegistry(schemas.RegistryConfig{URLs: []string{w.registry}})
	if err != nil {
		t.Fatal(err)
	}
	return schemas.NewStatusDecoder(registry.SchemaByID)
}

func (w *world) published(t *testing.T) []audit.Published {
	t.Helper()
	published, err := audit.ReadStatus(t.Context(), w.opts(), w.prefix+"status.v1", w.decoder(t))
	if err != nil {
		t.Fatal(err)
	}
	return published
}

// searchCanaries looks for the simulator's personal data in everything that the
// bridges left behind (P5).
func (w *world) searchCanaries(t *testing.T, metrics []byte) {
	t.Helper()
	topics := []string{w.prefix + "inbox", w.prefix + "case-state", w.prefix + "status.v1", w.prefix + "dead-letter"}
	hits, err := audit.SearchTopics(t.Context(), w.opts(), topics, scrsim.Canaries())
	if err != nil {
		t.Fatal(err)
	}
	for _, hit := range hits {
		t.Errorf("canary in %s", hit)
	}
	outputs := map[string][]byte{"metrics": metrics}
	for _, r := range w.replicas {
		outputs["log of "+r.name] = r.log.bytes()
	}
	for what, data := range outputs {
		if len(data) == 0 {
			t.Errorf("%s is empty: the search proves nothing", what)
		}
		found, err := audit.Search(data, scrsim.Canaries())
		if err != nil {
			t.Fatal(err)
		}
		for _, needle := range found {
			t.Errorf("canary %d in the %s", needle, what)
		}
	}
}

// compareConsumers has consumers that are not ours read the topic: they must
// see the same keys, headers, timestamps and values.
func (w *world) compareConsumers(t *testing.T, kafka *counterpart.Kafka, registry *counterpart.Registry, published []audit.Published) {
	t.Helper()
	topic := w.prefix + "status.v1"
	for _, language := range []counterpart.Language{counterpart.Python, counterpart.Java} {
		consumed := counterpart.Consume(t, language, kafka.Bootstrap, registry.URL, topic, len(published))
		if len(consumed) != len(published) {
			t.Errorf("%s read %d of %d events", language, len(consumed), len(published))
			continue
		}
		for i, ours := range published {
			theirs := consumed[i]
			var value struct {
				EventID  string `json:"eventId"`
				Sequence int64  `json:"sequence"`
			}
			if err := json.Unmarshal(theirs.Value, &value); err != nil {
				t.Fatal(err)
			}
			same := theirs.Key == string(ours.Key) && theirs.Offset == ours.Offset && theirs.Partition == ours.Partition &&
				theirs.Timestamp.Equal(ours.Timestamp) && value.EventID == ours.Event.EventID && value.Sequence == ours.Event.Sequence &&
				len(theirs.Headers) == len(ours.Headers)
			for _, h := range ours.Headers {
				same = same && theirs.Headers[h.Key] == string(h.Value)
			}
			if !same {
				t.Fatalf("%s reads %s otherwise", language, ours.Where())
			}
		}
	}
	raw := counterpart.Kcat(t, kafka.Bootstrap, topic, len(published))
	for i, ours := range published {
		if raw[i].Key != string(ours.Key) || !bytes.Equal(raw[i].Value, ours.Value) {
			t.Fatalf("kcat reads %s otherwise", ours.Where())
		}
	}
}

// scrape reads the metrics of every replica.
func (w *world) scrape(t *testing.T) []byte {
	t.Helper()
	var all []byte
	for _, r := range w.replicas {
		resp, err := http.Get("http://" + r.admin + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err := errors.Join(err, resp.Body.Close()); err != nil {
			t.Fatal(err)
		}
		all = append(all, body...)
	}
	return all
}

// replica is one bridge process, started again and again at the same addresses.
type replica struct {
	name           string
	binary         string
	env            []string
	admin, webhook string
	log            *lockedBuffer
	cmd            *exec.Cmd
}

func newReplica(t *testing.T, w *world, i int) *replica {
	t.Helper()
	r := &replica{
		name: fmt.Sprintf("replica %d", i), binary: w.binary, log: new(lockedBuffer),
		admin: freeAddress(t), webhook: freeAddress(t),
	}
	r.env = append(slices.Clone(w.env), "BRIDGE_ADMIN_ADDR="+r.admin, "BRIDGE_WEBHOOK_ADDR="+r.webhook)
	t.Cleanup(func() {
		if r.cmd != nil {
			_ = r.cmd.Process.Kill()
			_ = r.cmd.Wait()
		}
		if t.Failed() {
			t.Logf("%s wrote:\n%s", r.name, r.log.tail(60))
		}
	})
	return r
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// start starts the process and waits until it is ready.
func (r *replica) start(t *testing.T) {
	t.Helper()
	r.cmd = exec.Command(r.binary, "run")
	r.cmd.Env = r.env
	r.cmd.Stdout, r.cmd.Stderr = r.log, r.log
	dieWithTest(r.cmd)
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, r.name+" is ready", func() bool { return r.ready() == "" })
}

// ready is "" when the replica is, else why it is not.
func (r *replica) ready() string {
	resp, err := http.Get("http://" + r.admin + "/readyz")
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	if resp.StatusCode == http.StatusOK {
		return ""
	}
	return string(body)
}

func (r *replica) kill(t *testing.T) {
	t.Helper()
	if err := r.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = r.cmd.Wait()
}

// stop asks the process to end, as Kubernetes does, and expects it to end well.
func (r *replica) stop(t *testing.T) {
	t.Helper()
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Wait(); err != nil {
		t.Errorf("%s ended with %v", r.name, err)
	}
	r.cmd = nil
}

// entrance is the load balancer in front of the replicas: it hands a webhook to
// the next one if one does not answer.
type entrance struct {
	client *http.Client

	mu       sync.Mutex
	replicas []*replica // guarded by mu
	turn     int        // guarded by mu
}

func (e *entrance) set(replicas []*replica) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.replicas = replicas
}

func (e *entrance) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	e.mu.Lock()
	replicas := e.replicas
	e.turn++
	turn := e.turn
	e.mu.Unlock()
	for i := range replicas {
		r := replicas[(turn+i)%len(replicas)]
		on, err := http.NewRequestWithContext(req.Context(), req.Method, "http://"+r.webhook+req.URL.Path, bytes.NewReader(body))
		if err != nil {
			break
		}
		on.Header = req.Header.Clone()
		resp, err := e.client.Do(on)
		if err != nil {
			continue
		}
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body)
		_ = resp.Body.Close()
		return
	}
	w.WriteHeader(http.StatusBadGateway)
}

// closedLoop walks cases by what it reads from the status topic.
type closedLoop struct {
	sim      *scrsim.Simulator
	accounts []scrsim.Account

	mu       sync.Mutex
	left     int                      // guarded by mu: cases not created yet
	expected map[string]scrsim.Change // guarded by mu: by caseId, the change whose event is awaited
	atEnd    map[string]bool          // guarded by mu
	finished int                      // guarded by mu
	hooks    int                      // guarded by mu: changes with a webhook
	err      error                    // guarded by mu
}

// window is how many cases walk at a time.
const window = 200

func newClosedLoop(t *testing.T, w *world, cases int) *closedLoop {
	t.Helper()
	l := &closedLoop{sim: w.sim, accounts: w.accounts, left: cases, expected: make(map[string]scrsim.Change), atEnd: make(map[string]bool)}
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
		return // of a change without a webhook, or a mistake that the checker names
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

// walk takes steps until one has a webhook. Callers hold mu.
func (l *closedLoop) walk(caseID string) {
	for !l.atEnd[caseID] {
		step, err := l.sim.Advance(caseID)
		if err != nil {
			l.err = errors.Join(l.err, err)
			return
		}
		l.atEnd[caseID] = step.AtEnd
		if step.Hooked {
			l.hooks++
			l.expected[caseID] = step.Change
			return
		}
	}
	l.finished++
	l.next()
}

func (l *closedLoop) hooked() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.hooks
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

// eventually waits for a condition.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("not so: %s", what)
		}
	}
}

// lockedBuffer is a log that may be read while it is written.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) bytes() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Clone(b.buf.Bytes())
}

func (b *lockedBuffer) tail(lines int) string {
	all := strings.Split(string(b.bytes()), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
