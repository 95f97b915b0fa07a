package ingest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.uber.org/goleak"

	"postident-bridge/ingest"
	"postident-bridge/schemas"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	inboxTopic      = "postident.inbox"
	inboxPartitions = 6
	sender          = "165.72.200.13:40001"
	goodBody        = `{"caseId":"ABCDEF123456","referenceId":"R-1"}`
)

var stamp = time.Date(2024, 4, 24, 12, 0, 0, 123e6, time.UTC)

// rig is a webhook on a broker in the same process.
type rig struct {
	*ingest.Webhook
	cluster *kfake.Cluster
	client  *kgo.Client
	metrics *sdkmetric.ManualReader
	logs    *journal
	paused  atomic.Bool // the broker holds connections and answers nothing, as under SIGSTOP
	net     *kfake.VirtualNetwork
}

// journal takes the logs of several loggers, and can be read meanwhile: a handler
// locks only what is its own.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

// Write implements io.Writer.
func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

// String is what was logged until now.
func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

type rigOption struct {
	config  func(*ingest.WebhookConfig)
	client  []kgo.Opt
	virtual bool // for a synctest bubble
	topics  int  // partitions of the inbox; -1: no inbox
}

func newRig(tb testing.TB, o rigOption) *rig {
	tb.Helper()
	r := &rig{logs: &journal{}, metrics: sdkmetric.NewManualReader()}
	clusterOpts := []kfake.Opt{kfake.NumBrokers(1)}
	if o.topics >= 0 {
		clusterOpts = append(clusterOpts, kfake.SeedTopics(inboxPartitions, inboxTopic))
	}
	clientOpts := ingest.ProducerOpts()
	if o.virtual {
		r.net = &kfake.VirtualNetwork{}
		clusterOpts = append(clusterOpts, kfake.ListenFn(r.net.Listen), kfake.Ports(9092))
		clientOpts = append(clientOpts, kgo.Dialer(r.net.DialContext))
	}
	var err error
	if r.cluster, err = kfake.NewCluster(clusterOpts...); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(r.cluster.Close)
	r.cluster.ControlKey(-1, r.hold)
	clientOpts = append(clientOpts, kgo.SeedBrokers(r.cluster.ListenAddrs()...))
	if r.client, err = kgo.NewClient(append(clientOpts, o.client...)...); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(r.client.Close)
	cfg := ingest.WebhookConfig{
		Client: r.client, Topic: inboxTopic,
		Accounts: []ingest.WebhookAccount{
			{ClientID: "ACME"},
			{ClientID: "LOCKED", Username: "hook", Password: "pass:word"},
		},
		Logger: slog.New(slog.NewTextHandler(r.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Meter:  sdkmetric.NewMeterProvider(sdkmetric.WithReader(r.metrics)).Meter("test"),
		Now:    func() time.Time { return stamp },
	}
	if o.config != nil {
		o.config(&cfg)
	}
	if r.Webhook, err = ingest.NewWebhook(cfg); err != nil {
		tb.Fatal(err)
	}
	return r
}

// hold answers nothing while the broker is paused.
func (r *rig) hold(kmsg.Request) (kmsg.Response, error, bool) {
	r.cluster.KeepControl()
	return nil, nil, r.paused.Load()
}

// post is a webhook as POSTIDENT sends it (guide 5), with edits.
func post(ctx context.Context, clientID, body string, edits ...func(*http.Request)) *http.Request {
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/webhooks/"+clientID, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.RemoteAddr = sender
	for _, edit := range edits {
		edit(r)
	}
	return r
}

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Add(name, value) }
}

func (r *rig) serve(req *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r.ServeHTTP(w, req)
	return w
}

// reason is that of the one error body, "accepted" for an empty 200, and fails
// the test for anything else.
func reason(tb testing.TB, w *httptest.ResponseRecorder) string {
	tb.Helper()
	if w.Code == http.StatusOK {
		if w.Body.Len() > 0 {
			tb.Errorf("body of a 200: %s", w.Body)
		}
		return "accepted"
	}
	if got := w.Header().Get("Content-Type"); got != "application/json" {
		tb.Errorf("Content-Type %q", got)
	}
	var body struct {
		Error *struct{ Reason, Message string }
	}
	dec := json.NewDecoder(w.Body)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&body); err != nil {
		tb.Fatalf("body: %v", err)
	}
	if body.Error == nil || body.Error.Reason == "" || body.Error.Message == "" {
		tb.Fatalf("body of a %d: %+v", w.Code, body)
	}
	return body.Error.Reason
}

// written is what stands in the inbox.
func (r *rig) written(tb testing.TB) []*kgo.Record {
	tb.Helper()
	opts := []kgo.Opt{kgo.SeedBrokers(r.cluster.ListenAddrs()...), kgo.ConsumeTopics(inboxTopic)}
	if r.net != nil {
		opts = append(opts, kgo.Dialer(r.net.DialContext))
	}
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		tb.Fatal(err)
	}
	defer cl.Close()
	ends, err := kadm.NewClient(cl).ListEndOffsets(context.Background(), inboxTopic)
	if err != nil {
		tb.Fatal(err)
	}
	var left int64
	ends.Each(func(o kadm.ListedOffset) { left += o.Offset })
	var out []*kgo.Record
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for int64(len(out)) < left {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			tb.Fatal(err)
		}
		out = append(out, fetches.Records()...)
	}
	return out
}

func (r *rig) triggers(tb testing.TB) []schemas.Trigger {
	tb.Helper()
	var out []schemas.Trigger
	for _, record := range r.written(tb) {
		trigger, err := schemas.DecodeTrigger(record.Value)
		if err != nil {
			tb.Fatal(err)
		}
		if string(record.Key) != trigger.CaseID || len(record.Headers) != 0 {
			tb.Errorf("key %q with %d headers, want the caseId and none", record.Key, len(record.Headers))
		}
		out = append(out, trigger)
	}
	return out
}

// collected is the metrics by name.
func (r *rig) collected(tb testing.TB) map[string]metricdata.Aggregation {
	tb.Helper()
	var rm metricdata.ResourceMetrics
	if err := r.metrics.Collect(context.Background(), &rm); err != nil {
		tb.Fatal(err)
	}
	out := map[string]metricdata.Aggregation{}
	for _, scope := range rm.ScopeMetrics {
		for _, m := range scope.Metrics {
			out[m.Name] = m.Data
		}
	}
	return out
}

// requests is the count of answers as "code reason account".
func (r *rig) requests(tb testing.TB) map[string]int64 {
	tb.Helper()
	out := map[string]int64{}
	sum, ok := r.collected(tb)["postident.webhook.requests"].(metricdata.Sum[int64])
	if !ok {
		return out
	}
	for _, p := range sum.DataPoints {
		code, _ := p.Attributes.Value("code")
		why, _ := p.Attributes.Value("reason")
		account, _ := p.Attributes.Value("client_id")
		out[strings.TrimSpace(code.String()+" "+why.String()+" "+account.AsString())] += p.Value
	}
	return out
}

// oldCredentials is the count of webhooks with the credentials before, by account.
func (r *rig) oldCredentials(tb testing.TB) map[string]int64 {
	tb.Helper()
	out := map[string]int64{}
	if sum, ok := r.collected(tb)["postident.webhook.old_credentials"].(metricdata.Sum[int64]); ok {
		for _, p := range sum.DataPoints {
			account, _ := p.Attributes.Value("client_id")
			out[account.AsString()] = p.Value
		}
	}
	return out
}
