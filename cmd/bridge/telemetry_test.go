package main

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// OTLP's own variables are read by the exporter from the process's environment,
// so this test sets them there and is not parallel.
func TestTracesAreExported(t *testing.T) {
	var spans atomic.Value
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil && r.URL.Path == "/v1/traces" {
			spans.Store(body)
		}
	}))
	t.Cleanup(collector.Close)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=rehearsal")

	tel, err := newTelemetry(t.Context(), telemetrySettings{Traces: true}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	_, span := tel.Tracer.Start(t.Context(), "look")
	span.End()
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	body, _ := spans.Load().([]byte)
	for _, want := range []string{"look", scopeName, "service.version", "rehearsal"} {
		if !bytes.Contains(body, []byte(want)) {
			t.Errorf("%q is not in what the collector got: %q", want, body)
		}
	}
}

func TestMetricsPageServes(t *testing.T) {
	t.Parallel()
	tel, err := newTelemetry(t.Context(), telemetrySettings{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	rec := httptest.NewRecorder()
	tel.Metrics.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for _, want := range []string{"postident_build_info{", "go_goroutines ", "process_", `target_info{service_name="postident-bridge"`} {
		if !strings.Contains(rec.Body.String(), want) {
			t.Errorf("%q is not in\n%s", want, rec.Body)
		}
	}
	if _, span := tel.Tracer.Start(t.Context(), "x"); span.IsRecording() {
		t.Error("spans are recorded though nobody asked for traces")
	}
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestLoggerFormats(t *testing.T) {
	t.Parallel()
	for format, want := range map[string]string{"json": `"msg":"hello","n":1,"took":"1.5s"}`, "text": `msg=hello n=1 took=1.5s`} {
		var out bytes.Buffer
		newLogger(&out, logSettings{Level: "info", Format: format}).Info("hello", slog.Int("n", 1), slog.Duration("took", 1500*time.Millisecond))
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s: %s", format, out.String())
		}
	}
}
