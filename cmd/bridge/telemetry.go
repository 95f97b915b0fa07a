package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// scopeName names the bridge as the source of its metrics and spans.
const scopeName = "postident-bridge"

// telemetrySettings is what the OTEL_* variables ask for. Only what decides
// whether traces are exported is read here; the exporter, the sampler and the
// resource read the rest themselves, as OpenTelemetry defines it.
type telemetrySettings struct {
	Traces bool // export spans by OTLP over HTTP
}

// telemetry reads the OTEL_* variables. Traces are exported only where
// something says so: OpenTelemetry's own default, localhost:4318, would log an
// error every few seconds wherever no collector listens.
func (l *loader) telemetry() telemetrySettings {
	disabled := false
	if v := l.given["OTEL_SDK_DISABLED"]; v != "" {
		var err error
		if disabled, err = strconv.ParseBool(v); err != nil {
			l.wrong("OTEL_SDK_DISABLED", "%q is not true or false", v)
		}
	}
	exporter := l.given["OTEL_TRACES_EXPORTER"]
	endpoint := l.given["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] + l.given["OTEL_EXPORTER_OTLP_ENDPOINT"]
	on := exporter == "otlp" || exporter == "" && endpoint != ""
	if exporter != "" && exporter != "otlp" && exporter != "none" {
		l.wrong("OTEL_TRACES_EXPORTER", "%q is none of otlp, none", exporter)
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		if p := l.given[name]; on && p != "" && p != "http/protobuf" {
			l.wrong(name, "%q: only http/protobuf is spoken", p)
		}
	}
	return telemetrySettings{Traces: on && !disabled}
}

// telemetry is where the process's metrics and spans go.
type telemetry struct {
	Meter   metric.Meter
	Tracer  trace.Tracer
	Metrics http.Handler // the Prometheus page
	stop    []func(context.Context) error
}

// newTelemetry sets up metrics, always, and traces where the settings ask for
// them. Exporting spans starts here; Shutdown ends it.
func newTelemetry(ctx context.Context, s telemetrySettings, logger *slog.Logger) (*telemetry, error) {
	res, err := resource.New(ctx,
		resource.WithAttributes(
			attribute.String("service.name", scopeName),
			attribute.String("service.version", readBuildInfo().Version),
		),
		resource.WithTelemetrySDK(),
		resource.WithFromEnv(), // last: what the operator says wins
	)
	if err != nil {
		return nil, fmt.Errorf("describe resource: %w", err)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(registry), otelprometheus.WithoutScopeInfo())
	if err != nil {
		return nil, fmt.Errorf("make prometheus exporter: %w", err)
	}
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(exporter), sdkmetric.WithResource(res))
	t := &telemetry{
		Meter:   meters.Meter(scopeName),
		Tracer:  noop.NewTracerProvider().Tracer(scopeName),
		Metrics: promhttp.HandlerFor(registry, promhttp.HandlerOpts{ErrorLog: nil, ErrorHandling: promhttp.ContinueOnError}),
		stop:    []func(context.Context) error{meters.Shutdown},
	}
	if err := registerBuildInfo(t.Meter, readBuildInfo()); err != nil {
		return nil, errors.Join(err, t.Shutdown(ctx))
	}
	if s.Traces {
		spans, err := otlptracehttp.New(ctx)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("make trace exporter: %w", err), t.Shutdown(ctx))
		}
		tracers := sdktrace.NewTracerProvider(sdktrace.WithBatcher(spans), sdktrace.WithResource(res))
		t.Tracer = tracers.Tracer(scopeName)
		t.stop = append(t.stop, tracers.Shutdown)
		// The SDK reports a failed export to a handler of the whole process.
		otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
			logger.WarnContext(ctx, "telemetry failed", slog.String("error", err.Error()))
		}))
	}
	return t, nil
}

// Shutdown exports what is left and ends exporting.
func (t *telemetry) Shutdown(ctx context.Context) error {
	var errs []error
	for _, stop := range t.stop {
		errs = append(errs, stop(ctx))
	}
	return errors.Join(errs...)
}

// registerBuildInfo gives the metric that says what is running.
func registerBuildInfo(meter metric.Meter, b buildInfo) error {
	info, err := meter.Int64ObservableGauge("postident.build.info",
		metric.WithDescription("Always 1; the labels say what the running binary was built from."))
	if err != nil {
		return fmt.Errorf("make metric postident.build.info: %w", err)
	}
	labels := metric.WithAttributes(
		attribute.String("version", b.Version),
		attribute.String("revision", b.Revision),
		attribute.String("go_version", b.Go),
	)
	_, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		o.ObserveInt64(info, 1, labels)
		return nil
	}, info)
	if err != nil {
		return fmt.Errorf("observe metric postident.build.info: %w", err)
	}
	return nil
}

// newLogger makes the process's logger. The settings were checked.
func newLogger(w io.Writer, s logSettings) *slog.Logger {
	level := map[string]slog.Level{
		"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
	}[s.Level]
	opts := &slog.HandlerOptions{Level: level, ReplaceAttr: durationsAsText}
	if s.Format == "text" {
		return slog.New(slog.NewTextHandler(w, opts))
	}
	return slog.New(slog.NewJSONHandler(w, opts))
}

// durationsAsText writes 1.5s where slog's JSON would write 1500000000, of what
// nobody can tell the unit.
func durationsAsText(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}
