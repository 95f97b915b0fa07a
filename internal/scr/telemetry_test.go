package scr_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"postident-bridge/internal/scr"
)

// instrument adds a meter and a tracer to cfg and returns how to read them.
func instrument(cfg *scr.ClientConfig) (*sdkmetric.ManualReader, *tracetest.SpanRecorder) {
	reader := sdkmetric.NewManualReader()
	recorder := tracetest.NewSpanRecorder()
	cfg.Meter = sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)).Meter("test")
	cfg.Tracer = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)).Tracer("test")
	return reader, recorder
}

func histogram(t *testing.T, reader *sdkmetric.ManualReader) metricdata.Metrics {
	t.Helper()
	var rm metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &rm); err != nil {
		t.Fatal(err)
	}
	if len(rm.ScopeMetrics) != 1 || len(rm.ScopeMetrics[0].Metrics) != 1 {
		t.Fatalf("got %+v, want one instrument", rm.ScopeMetrics)
	}
	return rm.ScopeMetrics[0].Metrics[0]
}

func TestCaseTelemetry(t *testing.T) {
	t.Parallel()
	const template = "/api/scr/v1/{clientId}/cases/{caseId}/full"
	tests := map[string]struct {
		answer    func(http.ResponseWriter, *http.Request)
		status    int
		errorType string // of the span
		metricErr string // of the metric, which knows the exchange only
	}{
		"good": {
			answer: func(w http.ResponseWriter, r *http.Request) {
				encryptFor(t, w, r, readFile(t, "case-video-success.json"))
			},
			status: 200,
		},
		"404":                {answer: statusOnly(404), status: 404, errorType: "404", metricErr: "404"},
		"401":                {answer: statusOnly(401), status: 401, errorType: "401", metricErr: "401"},
		"503":                {answer: statusOnly(503), status: 503, errorType: "503", metricErr: "503"},
		"400":                {answer: statusOnly(400), status: 400, errorType: "400", metricErr: "400"},
		"cut":                {answer: hijack(t, ""), errorType: "connection", metricErr: "connection"},
		"not to be read":     {answer: func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "{}") }, status: 200, errorType: "plain_json"},
		"over the limit":     {answer: func(w http.ResponseWriter, _ *http.Request) { w.Write(make([]byte, 100_000)) }, status: 200, errorType: "too_large", metricErr: "too_large"},
		"the wrong case too": {answer: func(w http.ResponseWriter, r *http.Request) { encryptFor(t, w, r, []byte("{"+headJSON+"}")) }, status: 200, errorType: "case"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			base := serve(t, tt.answer)
			cfg := testConfig(base)
			cfg.MaxBodyBytes = 50_000
			reader, recorder := instrument(&cfg)
			_, err := newClient(t, cfg).Case(t.Context(), sampleID)
			if (err != nil) != (tt.errorType != "") {
				t.Fatal(err)
			}

			spans := recorder.Ended()
			if len(spans) != 1 {
				t.Fatalf("%d spans", len(spans))
			}
			span := spans[0]
			if span.Name() != "GET "+template || span.SpanKind() != trace.SpanKindClient {
				t.Errorf("span %q of kind %v", span.Name(), span.SpanKind())
			}
			if (span.Status().Code == codes.Error) != (err != nil) {
				t.Errorf("span status %+v", span.Status())
			}
			wantAttrs(t, "span", attribute.NewSet(span.Attributes()...), map[attribute.Key]string{
				"http.request.method":       "GET",
				"url.full":                  base + "/api/scr/v1/1234ABCD/cases/" + sampleID + "/full",
				"http.response.status_code": number(tt.status),
				"error.type":                tt.errorType,
			})

			m := histogram(t, reader)
			data, ok := m.Data.(metricdata.Histogram[float64])
			if m.Name != "http.client.request.duration" || m.Unit != "s" || !ok || len(data.DataPoints) != 1 {
				t.Fatalf("metric %+v", m)
			}
			u, _ := url.Parse(base)
			point := data.DataPoints[0]
			wantAttrs(t, "metric", point.Attributes, map[attribute.Key]string{
				"http.request.method":       "GET",
				"server.address":            u.Hostname(),
				"server.port":               u.Port(),
				"url.scheme":                "http",
				"url.template":              template,
				"http.response.status_code": number(tt.status),
				"error.type":                tt.metricErr,
			})
			if point.Count != 1 || strings.Contains(fmt.Sprint(point.Attributes), sampleID) {
				t.Errorf("point %+v", point)
			}
		})
	}
}

func TestCaseTelemetryOfTheCallersEnd(t *testing.T) {
	t.Parallel()
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	cancel()
	for want, ctx := range map[string]context.Context{"cancelled": cancelled, "deadline": late} {
		cfg := testConfig("https://postident.example")
		_, recorder := instrument(&cfg)
		if _, err := newClient(t, cfg).Case(ctx, sampleID); err == nil {
			t.Fatal("read")
		}
		wantAttrs(t, "span", attribute.NewSet(recorder.Ended()[0].Attributes()...), map[attribute.Key]string{"error.type": want})
	}
}

func TestCaseTelemetryOfATimeout(t *testing.T) {
	t.Parallel()
	cfg := testConfig("https://postident.example")
	cfg.Transport = failing{os.ErrDeadlineExceeded}
	_, recorder := instrument(&cfg)
	_, _ = newClient(t, cfg).Case(t.Context(), sampleID)
	wantAttrs(t, "span", attribute.NewSet(recorder.Ended()[0].Attributes()...), map[attribute.Key]string{"error.type": "timeout"})
}

func statusOnly(code int) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// number writes n, and nothing for 0.
func number(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

// wantAttrs compares the attributes named; "" means that there is none.
func wantAttrs(t *testing.T, what string, got attribute.Set, want map[attribute.Key]string) {
	t.Helper()
	for key, value := range want {
		v, ok := got.Value(key)
		if ok != (value != "") || ok && v.String() != value {
			t.Errorf("%s: %s = %q, want %q", what, key, v.String(), value)
		}
	}
}

func TestCaseSendsNoTraceContext(t *testing.T) {
	t.Parallel()
	cfg := testConfig(serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Traceparent") != "" || r.Header.Get("Baggage") != "" {
			t.Error("trace context sent")
		}
		w.WriteHeader(http.StatusNotFound)
	}))
	instrument(&cfg)
	if _, err := newClient(t, cfg).Case(t.Context(), sampleID); !isNotYet(err) {
		t.Error(err)
	}
}

func isNotYet(err error) bool {
	_, ok := errors.AsType[*scr.NotYetError](err)
	return ok
}

func TestServerPortByScheme(t *testing.T) {
	t.Parallel()
	for base, want := range map[string]string{
		"https://postident.example":      "443",
		"http://postident.example":       "80",
		"https://postident.example:8443": "8443",
	} {
		cfg := testConfig(base)
		cfg.Transport = failing{io.EOF}
		reader, _ := instrument(&cfg)
		_, _ = newClient(t, cfg).Case(t.Context(), sampleID)
		data, ok := histogram(t, reader).Data.(metricdata.Histogram[float64])
		if !ok {
			t.Fatal("no histogram")
		}
		wantAttrs(t, base, data.DataPoints[0].Attributes, map[attribute.Key]string{"server.port": want})
	}
}
