package scr

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/semconv/v1.43.0/httpconv"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
)

// telemetry follows OpenTelemetry's conventions for HTTP clients. The caseId, a
// pseudonym, stands in the URL of a span and in no metric. No trace context goes
// out with a request: the other side is not part of the operator's system.
type telemetry struct {
	tracer   trace.Tracer
	address  string
	port     int
	scheme   attribute.KeyValue
	duration httpconv.ClientRequestDuration
	unknown  *unknownCounter
	dropped  metric.Int64Counter
}

// route is one operation of the API as an account calls it.
type route struct {
	method   httpconv.RequestMethodAttr
	ofCase   bool   // names a case in its path, which may not be there
	spanName string // method and template
	template attribute.KeyValue
}

func newRoute(method httpconv.RequestMethodAttr, path string) *route {
	template := basePath + "/{clientId}/cases" + path
	return &route{
		method:   method,
		ofCase:   strings.Contains(path, "{caseId}"),
		spanName: string(method) + " " + template,
		template: semconv.URLTemplate(template),
	}
}

func newTelemetry(cfg ClientConfig, base *url.URL) (telemetry, error) {
	meter, tracer := cfg.Meter, cfg.Tracer
	if meter == nil {
		meter = metricnoop.Meter{}
	}
	if tracer == nil {
		tracer = tracenoop.Tracer{}
	}
	duration, err := httpconv.NewClientRequestDuration(meter)
	if err != nil {
		return telemetry{}, fmt.Errorf("make instrument: %w", err)
	}
	unknown, err := meter.Int64Counter("postident.api.unknown_fields", metric.WithUnit("{field}"),
		metric.WithDescription("Fields in answers of the API that no source knows and the bridge drops, by account and path; a path counts once an answer."))
	if err != nil {
		return telemetry{}, fmt.Errorf("make instrument: %w", err)
	}
	dropped, err := meter.Int64Counter("postident.api.dropped_fields", metric.WithUnit("{field}"),
		metric.WithDescription("Fields of results that the API sent and the bridge drops although it knows them, by account, regulatory class, field and reason."))
	if err != nil {
		return telemetry{}, fmt.Errorf("make instrument: %w", err)
	}
	return telemetry{
		tracer:   tracer,
		address:  base.Hostname(),
		port:     portOf(base),
		scheme:   semconv.URLScheme(base.Scheme),
		duration: duration,
		dropped:  dropped,
		unknown: &unknownCounter{
			counter:  unknown,
			clientID: attribute.String("client_id", cfg.ClientID),
			paths:    make(map[string]struct{}),
		},
	}, nil
}

func portOf(u *url.URL) int {
	if port, err := strconv.Atoi(u.Port()); err == nil {
		return port
	}
	if u.Scheme == "http" {
		return 80
	}
	return 443
}

// start begins the span of one request.
func (t telemetry) start(ctx context.Context, r *route, target string) (context.Context, trace.Span) {
	return t.tracer.Start(ctx, r.spanName, //nolint:spancheck // whoever asks ends it
		trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(
			t.scheme,
			r.template,
			semconv.HTTPRequestMethodKey.String(string(r.method)),
			semconv.URLFull(target),
			semconv.ServerAddress(t.address),
			semconv.ServerPort(t.port),
		))
}

// record notes the exchange: status is 0 without an answer, err nil when its
// body was read.
func (t telemetry) record(ctx context.Context, span trace.Span, r *route, status int, err error, took time.Duration) {
	attrs := []attribute.KeyValue{t.scheme, r.template}
	if status != 0 {
		attrs = append(attrs, semconv.HTTPResponseStatusCode(status))
		span.SetAttributes(semconv.HTTPResponseStatusCode(status))
	}
	if err != nil {
		attrs = append(attrs, semconv.ErrorTypeKey.String(errorType(err)))
	}
	t.duration.Record(ctx, took.Seconds(), r.method, t.address, t.port, attrs...)
}

// drop counts what an answer has and its result has not: unknown fields by path, each
// once an answer, the others by field.
func (t telemetry) drop(ctx context.Context, c RegulatoryClass, dropped []Dropped) {
	var unknown []string
	for _, d := range dropped {
		if d.Reason == DroppedUnknown {
			unknown = append(unknown, d.Path)
			continue
		}
		field := d.Field
		if field == "" {
			field = string(DroppedUnknown)
		}
		t.dropped.Add(ctx, int64(d.Count), metric.WithAttributes(t.unknown.clientID,
			attribute.String("regulatory_class", string(c)), attribute.String("field", field), attribute.String("reason", string(d.Reason))))
	}
	t.unknown.count(ctx, unknown)
}

// endWith marks the span as failed.
func endWith(span trace.Span, err error) {
	kind := errorType(err)
	span.SetAttributes(semconv.ErrorTypeKey.String(kind))
	span.SetStatus(codes.Error, kind)
}

// errorType is the error.type of a failed read: the HTTP status where there was
// a bad one, as the conventions ask, else a word of a small set.
func errorType(err error) string {
	var (
		unavailable  *UnavailableError
		notYet       *NotYetError
		unauthorised *UnauthorisedError
		rejected     *RejectedError
	)
	switch {
	case errors.As(err, &notYet):
		return strconv.Itoa(http.StatusNotFound)
	case errors.As(err, &unauthorised):
		if unauthorised.Held {
			return "held"
		}
		return strconv.Itoa(unauthorised.Status)
	case errors.As(err, &unavailable):
		return unavailable.errorType()
	case errors.As(err, &rejected):
		if rejected.Reason == RejectedStatus {
			return strconv.Itoa(rejected.Status)
		}
		return rejected.Reason
	case errors.Is(err, context.Canceled):
		return "cancelled"
	case errors.Is(err, context.DeadlineExceeded):
		return "deadline"
	default:
		return "other"
	}
}

func (e *UnavailableError) errorType() string {
	switch {
	case e.Err == nil:
		return strconv.Itoa(e.Status)
	case errors.Is(e.Err, errTimeout):
		return "timeout"
	default:
		return "connection"
	}
}
