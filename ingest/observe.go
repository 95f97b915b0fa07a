package ingest

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// counts are the answers given, by outcome.
type counts [outcomes]atomic.Int64

// metrics are the webhook's instruments. What every request counts is kept in
// atomics and read when somebody asks: a counter of OpenTelemetry's costs as
// much as reading the body does.
type metrics struct {
	inFlight    atomic.Int64 // requests that are being answered
	stranger    counts       // of requests that name no configured account
	ackDuration metric.Float64Histogram
}

func newMetrics(meter metric.Meter, accounts map[string]*account) (*metrics, error) {
	if meter == nil {
		meter = metricnoop.NewMeterProvider().Meter("")
	}
	m := &metrics{}
	requests, err1 := meter.Int64ObservableCounter("postident.webhook.requests",
		metric.WithUnit("{request}"),
		metric.WithDescription("Webhook requests by answer (code, reason) and account (client_id), which is absent when the path names none that is configured."))
	var err2 error
	m.ackDuration, err2 = meter.Float64Histogram("postident.webhook.ack.duration",
		metric.WithUnit("s"),
		metric.WithDescription("Time from handing a trigger to the producer to Kafka's acknowledgement, those after a 503 included."),
		metric.WithExplicitBucketBoundaries(.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 1.5, 2.5, 5, 10, 30, 60, 300))
	inFlight, err3 := meter.Int64ObservableUpDownCounter("postident.webhook.in_flight",
		metric.WithUnit("{request}"),
		metric.WithDescription("Webhook requests that are being answered."))
	outdated, err4 := meter.Int64ObservableCounter("postident.webhook.old_credentials",
		metric.WithUnit("{request}"),
		metric.WithDescription("Webhooks that brought the user or password before, which is taken for the grace period after a change."))
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, err
	}
	observe := []func(metric.Observer){m.stranger.observer(requests, "")}
	for clientID, acc := range accounts {
		observe = append(observe, acc.answered.observer(requests, clientID))
		if acc.credentials.Load() != nil {
			attrs := metric.WithAttributeSet(attribute.NewSet(attribute.String("client_id", clientID)))
			observe = append(observe, func(o metric.Observer) { o.ObserveInt64(outdated, acc.outdated.Load(), attrs) })
		}
	}
	_, err := meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		o.ObserveInt64(inFlight, m.inFlight.Load())
		for _, f := range observe {
			f(o)
		}
		return nil
	}, requests, inFlight, outdated)
	return m, err
}

// observer tells the answers of one account that were given at all. The
// attributes are bounded by the configuration: "" stands for every unknown
// account.
func (c *counts) observer(requests metric.Int64Observable, clientID string) func(metric.Observer) {
	var options [outcomes]metric.MeasurementOption
	for i := range options {
		attrs := []attribute.KeyValue{attribute.Int("code", answers[i].code), attribute.String("reason", answers[i].reason)}
		if clientID != "" {
			attrs = append(attrs, attribute.String("client_id", clientID))
		}
		options[i] = metric.WithAttributeSet(attribute.NewSet(attrs...))
	}
	return func(o metric.Observer) {
		for i := range c {
			if n := c[i].Load(); n > 0 {
				o.ObserveInt64(requests, n, options[i])
			}
		}
	}
}

// count counts one answer.
func (m *metrics) count(result outcome, acc *account) {
	if acc == nil {
		m.stranger[result].Add(1)
		return
	}
	acc.answered[result].Add(1)
}

const route = PathPrefix + "{clientId}"

// spanStart names the server span and gives its first attributes. The path is
// none of them: it is whatever a stranger likes.
func spanStart(r *http.Request) (name string, options trace.SpanStartEventOption) {
	method := semconv.HTTPRequestMethodOther
	name = "HTTP " + route
	if r.Method == http.MethodPost {
		method = semconv.HTTPRequestMethodPost
		name = http.MethodPost + " " + route
	}
	return name, trace.WithAttributes(method, semconv.HTTPRoute(route), semconv.URLScheme(scheme(r)))
}

func scheme(r *http.Request) string {
	if r.TLS != nil {
		return "https"
	}
	return "http"
}

// endSpan notes the answer. By the conventions a 4xx is no error of a server.
func endSpan(span trace.Span, a *answer) {
	span.SetAttributes(semconv.HTTPResponseStatusCode(a.code))
	if a.code >= http.StatusInternalServerError {
		span.SetAttributes(semconv.ErrorTypeKey.String(strconv.Itoa(a.code)))
		span.SetStatus(codes.Error, a.reason)
	}
}

// logInterval is how far apart two records of one kind are: a stranger or an
// outage must not fill the disk. Every request is counted in the metrics.
const logInterval = 5 * time.Second

// refusalLog writes what an operator has to act on.
type refusalLog struct {
	logger   *slog.Logger
	refusals [outcomes]throttle
	produce  throttle
}

func newRefusalLog(logger *slog.Logger) *refusalLog {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	return &refusalLog{logger: logger}
}

// refused logs an answer other than 200. The peer is there for the commonest
// mistake, a proxy that is not trusted; nothing that the request says is.
func (l *refusalLog) refused(ctx context.Context, result outcome, acc *account, peer string) {
	if result == accepted {
		return
	}
	skipped, ok := l.refusals[result].next(time.Now())
	if !ok {
		return
	}
	a := &answers[result]
	attrs := []slog.Attr{
		slog.Int("code", a.code),
		slog.String("reason", a.reason),
		slog.String("peer", peer),
		slog.Int64("skipped", skipped),
	}
	if acc != nil {
		attrs = append(attrs, slog.String("client_id", acc.clientID))
	}
	level := slog.LevelInfo
	if a.code >= http.StatusInternalServerError || result == refusedCredentials || result == refusedAddress {
		level = slog.LevelWarn
	}
	l.logger.LogAttrs(ctx, level, "webhook not accepted", attrs...)
}

// produceFailed logs why Kafka refused a trigger.
func (l *refusalLog) produceFailed(ctx context.Context, err error) {
	if skipped, ok := l.produce.next(time.Now()); ok {
		l.logger.LogAttrs(ctx, slog.LevelError, "trigger not written",
			slog.Any("error", err), slog.Int64("skipped", skipped))
	}
}

// defect logs a trigger that could not be encoded.
func (l *refusalLog) defect(ctx context.Context, acc *account, err error) {
	l.logger.LogAttrs(ctx, slog.LevelError, "trigger not encoded",
		slog.Any("error", err), slog.String("client_id", acc.clientID))
}

// throttle lets one record pass each logInterval and counts the others.
type throttle struct {
	notBefore, skipped atomic.Int64 // Unix ns; records since the last that passed
}

func (t *throttle) next(now time.Time) (skipped int64, ok bool) {
	notBefore := t.notBefore.Load()
	if now.UnixNano() < notBefore || !t.notBefore.CompareAndSwap(notBefore, now.Add(logInterval).UnixNano()) {
		t.skipped.Add(1)
		return 0, false
	}
	return t.skipped.Swap(0), true
}
