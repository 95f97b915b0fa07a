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
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/internal/audit"
	"postident-bridge/internal/counterpart"
	"postident-bridge/internal/lab"
	"postident-bridge/internal/scrsim"
	"postident-bridge/internal/testbed"
	"postident-bridge/schemas"
)

// world is everything around the bridges under test.
type world struct {
	prefix   string
	binary   string
	seeds    []string
	registry string
	sim      *scrsim.Simulator
	accounts []scrsim.Account
	env      []string
	replicas []*replica
	progress bool // the bridges publish progress
}

// newWorld has bridges to which the simulator sends its webhooks. They sweep
// nothing: what they publish is what webhooks told of.
func newWorld(t *testing.T, kafka *counterpart.Kafka, registry *counterpart.Registry, replicas int) *world {
	t.Helper()
	entrance := &lab.Entrance{Client: &http.Client{Timeout: 5 * time.Second}}
	front := httptest.NewServer(entrance)
	t.Cleanup(front.Close)
	w := newWorldOf(t, "kill.", kafka, registry, scrsim.Config{Accounts: scrsim.ExampleAccounts(front.URL), Seed: 7, TimeScale: 60})
	var targets []string
	for i := range replicas {
		w.replicas = append(w.replicas, newReplica(t, w, i))
		w.replicas[i].args = []string{"run", "--roles", roleWebhook + "," + roleProcess}
		targets = append(targets, w.replicas[i].webhook)
	}
	entrance.Set(targets)
	return w
}

// newWorldOf has a simulator and no bridges yet.
func newWorldOf(t *testing.T, prefix string, kafka *counterpart.Kafka, registry *counterpart.Registry, cfg scrsim.Config) *world {
	t.Helper()
	w := &world{
		prefix:   prefix,
		binary:   buildBridge(t),
		seeds:    kafka.Seeds(),
		registry: registry.URL,
		accounts: cfg.Accounts,
	}
	sim, err := scrsim.New(cfg)
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

// judge compares everything that the bridges left behind with the truth.
func (w *world) judge(t *testing.T, metrics []byte) audit.Verdict {
	t.Helper()
	registry, err := schemas.NewRegistry(schemas.RegistryConfig{URLs: []string{w.registry}})
	if err != nil {
		t.Fatal(err)
	}
	e := audit.Evidence{
		Kafka: w.opts(), Prefix: w.prefix, Schema: registry.SchemaByID, Canaries: scrsim.Canaries(),
		Outputs: map[string][]byte{"metrics": metrics},
		Options: audit.Options{Strict: true, Progress: w.progress, Partitions: 12, Classes: w.classes()},
	}
	for _, c := range w.sim.Truth() {
		e.Truth = append(e.Truth, audit.Change(c))
	}
	for _, a := range w.sim.Attempts() {
		e.Webhooks = append(e.Webhooks, audit.Webhook{ClientID: a.ClientID, CaseID: a.CaseID, At: a.At, Status: a.Status})
	}
	for _, a := range w.accounts {
		for _, c := range a.Credentials {
			e.Secrets = append(e.Secrets, c.Password, c.DataPassword)
		}
		e.Secrets = append(e.Secrets, a.Webhook.Password)
	}
	for _, r := range w.replicas {
		e.Outputs["log of "+r.name] = r.log.bytes()
	}
	for what, data := range e.Outputs {
		if len(data) == 0 {
			t.Errorf("%s is empty: the search proves nothing", what)
		}
	}
	verdict, err := audit.Judge(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s; waiting: %d triggers, %d retries", verdict.String(), verdict.Waiting, verdict.Retries)
	if err := verdict.Err(); err != nil {
		t.Error(err)
	}
	return verdict
}

// compareConsumers has consumers that are not ours read the topic: they must
// see the same keys, headers, timestamps and values.
func (w *world) compareConsumers(t *testing.T, kafka *counterpart.Kafka, registry *counterpart.Registry, published []audit.Published) {
	t.Helper()
	topic := w.prefix + "status.v1"
	for _, language := range counterpart.Languages() {
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

// scrape reads the metrics of every replica that runs.
func (w *world) scrape(t *testing.T) []byte {
	t.Helper()
	var all []byte
	for _, r := range w.replicas {
		if r.cmd == nil {
			continue
		}
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
	args           []string
	env            []string
	admin, webhook string
	log            *lockedBuffer
	cmd            *exec.Cmd
}

func newReplica(t *testing.T, w *world, i int) *replica {
	t.Helper()
	r := &replica{
		name: fmt.Sprintf("replica %d", i), binary: w.binary, args: []string{"run"}, log: new(lockedBuffer),
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

// freeAddress is one that stays free for whoever is started there, again and again:
// beside it nobody who asks for any port is given its own.
func freeAddress(t *testing.T) string {
	t.Helper()
	ports, err := testbed.FreePorts(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(ports[0]))
}

// start starts the process and waits until it is ready.
func (r *replica) start(t *testing.T) {
	t.Helper()
	r.launch(t)
	eventually(t, r.name+" is ready", func() bool { return r.ready() == "" })
}

// launch starts the process.
func (r *replica) launch(t *testing.T) {
	t.Helper()
	r.cmd = exec.Command(r.binary, r.args...)
	r.cmd.Env = r.env
	r.cmd.Stdout, r.cmd.Stderr = r.log, r.log
	lab.DieWithParent(r.cmd)
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
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
