package main

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/trace/noop"

	"postident-bridge/ingest"
	"postident-bridge/internal/rotate"
	"postident-bridge/publish"
	"postident-bridge/schemas"
)

// metricRow is a row of docs/metrics.md.
type metricRow struct {
	kind   string
	labels []string
}

var metricLine = regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| (\\w+) \\| ([^|]+) \\| [^|]+\\.[^|]* \\|$")

// documentedMetrics reads docs/metrics.md.
func documentedMetrics(t *testing.T) map[string]metricRow {
	t.Helper()
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := make(map[string]metricRow)
	for _, m := range metricLine.FindAllStringSubmatch(string(page), -1) {
		var labels []string
		for label := range strings.SplitSeq(m[3], ",") {
			if label = strings.Trim(label, " `"); label != "–" {
				labels = append(labels, label)
			}
		}
		rows[m[1]] = metricRow{m[2], labels}
	}
	if lines := strings.Count(string(page), "\n| `"); lines != len(rows) {
		t.Errorf("docs/metrics.md: %d of %d rows can be read", len(rows), lines)
	}
	return rows
}

// TestMetricsPageIsComplete compares docs/metrics.md with the instruments that
// the components register, under the names that Prometheus sees.
func TestMetricsPageIsComplete(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(registry), otelprometheus.WithoutScopeInfo(), otelprometheus.WithoutTargetInfo())
	if err != nil {
		t.Fatal(err)
	}
	provider := sdkmetric.NewMeterProvider(sdkmetric.WithReader(exporter))
	meter := &touchingMeter{Meter: provider.Meter(scopeName)}
	registerEverything(t, meter)

	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	registered := make(map[string]string)
	for _, f := range families {
		registered[f.GetName()] = strings.ToLower(f.GetType().String())
	}
	documented := make(map[string]string)
	for name, row := range documentedMetrics(t) {
		documented[name] = row.kind
	}
	if diff := cmp.Diff(documented, registered); diff != "" {
		t.Errorf("docs/metrics.md and the code differ (-page +code):\n%s", diff)
	}
}

// registerEverything makes each component that has instruments.
func registerEverything(t *testing.T, meter metric.Meter) {
	t.Helper()
	tel := &telemetry{Meter: meter, Tracer: noop.NewTracerProvider().Tracer("")}
	s, _, err := loadSettings(complete("BRIDGE_ACCOUNT_1_RSA_BITS=2048",
		"BRIDGE_ACCOUNT_1_WEBHOOK_USERNAME=u", "BRIDGE_ACCOUNT_1_WEBHOOK_PASSWORD=p"), needKafka, roleWebhook, roleProcess)
	if err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(ingest.ProducerOpts()...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	webhook, err := ingest.NewWebhook(s.webhookConfig(client, tel, slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	webhook.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil)) // its answers are counted by themselves
	clients, err := s.newClients(tel)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ingest.NewPoller(s.pollerConfig(nil, clients, tel, slog.New(slog.DiscardHandler))); err != nil {
		t.Fatal(err)
	}
	role, err := newProcessRole(t.Context(), &s, nil, clients, nil, tel, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	role.config.Encoder = schemas.NewSingleObjectStatusEncoder()
	if _, err := publish.New(role.config); err != nil {
		t.Fatal(err)
	}
	if _, err := rotate.New(rotate.Config{Meter: meter}); err != nil {
		t.Fatal(err)
	}
	watch, err := newClusterWatch(nil, topicNames{}, nil, meter, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	watch.count(nil) // as a look that found nothing does
	if err := registerBuildInfo(meter, readBuildInfo()); err != nil {
		t.Fatal(err)
	}
}

// touchingMeter records one value with every instrument that is made, because
// an instrument without a value is not exported.
type touchingMeter struct {
	metric.Meter
}

func (m *touchingMeter) Int64Counter(name string, o ...metric.Int64CounterOption) (metric.Int64Counter, error) {
	c, err := m.Meter.Int64Counter(name, o...)
	if err == nil {
		c.Add(context.Background(), 1)
	}
	return c, err
}

func (m *touchingMeter) Int64UpDownCounter(name string, o ...metric.Int64UpDownCounterOption) (metric.Int64UpDownCounter, error) {
	c, err := m.Meter.Int64UpDownCounter(name, o...)
	if err == nil {
		c.Add(context.Background(), 1)
	}
	return c, err
}

func (m *touchingMeter) Float64Histogram(name string, o ...metric.Float64HistogramOption) (metric.Float64Histogram, error) {
	h, err := m.Meter.Float64Histogram(name, o...)
	if err == nil {
		h.Record(context.Background(), 1)
	}
	return h, err
}

func (m *touchingMeter) Float64ObservableGauge(name string, o ...metric.Float64ObservableGaugeOption) (metric.Float64ObservableGauge, error) {
	return m.Meter.Float64ObservableGauge(name, append(o, metric.WithFloat64Callback(func(_ context.Context, to metric.Float64Observer) error {
		to.Observe(1)
		return nil
	}))...)
}
