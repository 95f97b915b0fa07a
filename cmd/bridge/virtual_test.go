package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/ingest"
	"postident-bridge/internal/audit"
	"postident-bridge/internal/scr"
	"postident-bridge/internal/scrsim"
	"postident-bridge/schemas"
)

// virtual is a bridge with all that is around it in a bubble of testing/synctest:
// the broker on a network in memory, the simulated API, and the sender of its
// webhooks. Hours of the sender's and the sweeps' real timing take seconds there.
// The parts are made from the settings, as a process makes them.
type virtual struct {
	t        *testing.T
	accounts []scrsim.Account
	sim      *scrsim.Simulator
	kafka    []kgo.Opt
	settings settings
	clients  []*scr.Client
	tel      *telemetry
	log      lockedBuffer
	webhook  atomic.Pointer[ingest.Webhook] // nil: nobody takes webhooks
}

const virtualPartitions = 3

// virtualKey is for all bubbles: making one takes its time.
var virtualKey = sync.OnceValues(func() (*scr.Key, error) { return scr.NewKey(2048) })

// newVirtual makes what is around the bridge. The environment is added to what the
// bridge needs.
func newVirtual(t *testing.T, cfg scrsim.Config, environ ...string) *virtual {
	t.Helper()
	v := &virtual{t: t}
	if cfg.Accounts == nil {
		cfg.Accounts = scrsim.ExampleAccounts("http://bridge.test")
	}
	v.accounts = cfg.Accounts
	v.startBroker()
	cfg.HookTransport = inMemory{http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if webhook := v.webhook.Load(); webhook != nil {
			webhook.ServeHTTP(w, r)
			return
		}
		http.Error(w, "nobody is there", http.StatusServiceUnavailable)
	})}
	var err error
	if v.sim, err = scrsim.New(cfg); err != nil {
		t.Fatal(err)
	}
	v.run("simulator", v.sim.Run)
	const base = "http://api.test"
	v.settings, _, err = loadSettings(append(append(bridgeEnviron(base, v.accounts), "BRIDGE_KAFKA_BROKERS=virtual:9092"), environ...),
		append([]string{needKafka}, allRoles...)...)
	if err != nil {
		t.Fatal(err)
	}
	logger := newLogger(&v.log, v.settings.Log)
	if v.tel, err = newTelemetry(t.Context(), v.settings.Telemetry, logger); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.tel.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	key, err := virtualKey()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range v.accounts {
		client, err := scr.NewClient(scr.ClientConfig{
			BaseURL: base, ClientID: a.ClientID, Username: a.Credentials[0].Username, Password: a.Credentials[0].Password,
			DataPassword: a.Credentials[0].DataPassword, Key: key, Transport: inMemory{v.sim.Handler()}, Meter: v.tel.Meter,
		})
		if err != nil {
			t.Fatal(err)
		}
		v.clients = append(v.clients, client)
	}
	return v
}

func (v *virtual) startBroker() {
	v.t.Helper()
	network := &kfake.VirtualNetwork{}
	names := namesOfTopics("postident.")
	broker, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.ListenFn(network.Listen), kfake.Ports(9092),
		kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}),
		kfake.SeedTopics(virtualPartitions, names.Inbox, names.CaseState, names.PollCursor, names.Status, names.DeadLetter))
	if err != nil {
		v.t.Fatal(err)
	}
	v.t.Cleanup(broker.Close)
	v.kafka = []kgo.Opt{kgo.SeedBrokers(broker.ListenAddrs()...), kgo.Dialer(network.DialContext)}
}

// run runs a part until the test is over.
func (v *virtual) run(name string, run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	v.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			v.t.Errorf("%s ended with %v", name, err)
		}
	})
}

// start starts the roles of a bridge.
func (v *virtual) start(roles ...string) {
	v.t.Helper()
	logger := newLogger(&v.log, v.settings.Log)
	if slices.Contains(roles, rolePoll) {
		poller, err := ingest.NewPoller(v.settings.pollerConfig(v.kafka, v.clients, v.tel, logger))
		if err != nil {
			v.t.Fatal(err)
		}
		v.run(rolePoll, poller.Run)
	}
	if slices.Contains(roles, roleProcess) {
		process, err := newProcessRole(v.t.Context(), &v.settings, v.kafka, v.clients, nil, v.tel, logger)
		if err != nil {
			v.t.Fatal(err)
		}
		v.run(roleProcess, process.Run)
	}
	if slices.Contains(roles, roleWebhook) {
		v.startWebhook(logger)
	}
}

func (v *virtual) startWebhook(logger *slog.Logger) {
	v.t.Helper()
	client, err := kgo.NewClient(append(slices.Clone(v.kafka), ingest.ProducerOpts()...)...)
	if err != nil {
		v.t.Fatal(err)
	}
	v.t.Cleanup(client.Close)
	webhook, err := ingest.NewWebhook(v.settings.webhookConfig(client, v.tel, logger))
	if err != nil {
		v.t.Fatal(err)
	}
	v.webhook.Store(webhook)
}

// pass lets time go by, which takes none but for what is to be done in it.
func (*virtual) pass(d time.Duration) { <-time.After(d) }

// until lets minutes go by until something is so, limit at most.
func (v *virtual) until(what string, limit time.Duration, so func() bool) {
	v.t.Helper()
	for end := time.Now().Add(limit); !so(); v.pass(time.Minute) {
		if time.Now().After(end) {
			v.t.Fatalf("not so after %v: %s", limit, what)
		}
	}
}

// counter is a counter of the metrics page by the values of two of its labels.
func (v *virtual) counter(name, label1, label2 string) map[[2]string]int {
	v.t.Helper()
	page := httptest.NewRecorder()
	v.tel.Metrics.ServeHTTP(page, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	counts := make(map[[2]string]int)
	valueOf := func(labels, label string) string {
		found := regexp.MustCompile(`\b` + label + `="([^"]*)"`).FindStringSubmatch(labels)
		if found == nil {
			v.t.Fatalf("%s has no label %s: %s", name, label, labels)
		}
		return found[1]
	}
	for line := range strings.Lines(page.Body.String()) {
		labels, value, _ := strings.Cut(strings.TrimSpace(line), "} ")
		if !strings.HasPrefix(labels, name+"{") {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			v.t.Fatal(err)
		}
		counts[[2]string{valueOf(labels, label1), valueOf(labels, label2)}] += int(n)
	}
	return counts
}

// judge judges the topics by what happened in the simulator, histories included.
func (v *virtual) judge(opts audit.Options) audit.Verdict {
	v.t.Helper()
	opts.Strict, opts.Classes = true, make(map[string]schemas.RegulatoryClass)
	e := audit.Evidence{
		Kafka: v.kafka, Prefix: "postident.", Canaries: scrsim.Canaries(), Outputs: map[string][]byte{"log": v.log.bytes()},
	}
	for _, c := range slices.Concat(v.sim.HistoryTruth(), v.sim.Truth()) {
		e.Truth = append(e.Truth, audit.Change(c))
	}
	for _, a := range v.sim.Attempts() {
		e.Webhooks = append(e.Webhooks, audit.Webhook{ClientID: a.ClientID, CaseID: a.CaseID, At: a.At, Status: a.Status})
	}
	for _, a := range v.accounts {
		opts.Classes[a.ClientID] = schemas.RegulatoryClass(strings.ToLower(string(a.Class)))
	}
	e.Options = opts
	verdict, err := audit.Judge(v.t.Context(), e)
	if err != nil {
		v.t.Fatal(err)
	}
	v.t.Log(verdict.String())
	if err := verdict.Err(); err != nil {
		v.t.Error(err)
	}
	return verdict
}

// inMemory serves requests without a connection.
type inMemory struct{ http.Handler }

func (m inMemory) RoundTrip(r *http.Request) (*http.Response, error) {
	served := r.Clone(r.Context())
	served.RemoteAddr = "127.0.0.1:40001"
	if served.Body == nil {
		served.Body = http.NoBody
	}
	answer := httptest.NewRecorder()
	m.ServeHTTP(answer, served)
	if err := r.Context().Err(); err != nil {
		return nil, fmt.Errorf("serve in memory: %w", err)
	}
	resp := answer.Result()
	resp.Request = r
	return resp, nil
}
