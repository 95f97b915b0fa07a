package ingest

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"

	"postident-bridge/internal/scr"
)

// pollMetrics are the poller's instruments. No label has a case in it.
type pollMetrics struct {
	requests metric.Int64Counter
	entries  metric.Int64Counter
	triggers metric.Int64Counter
	broken   metric.Int64Counter
	windows  metric.Int64Counter
	holes    metric.Int64Counter
	duration metric.Float64Histogram
}

func newPollMetrics(meter metric.Meter, p *Poller) (*pollMetrics, error) {
	if meter == nil {
		meter = metricnoop.NewMeterProvider().Meter("")
	}
	m := &pollMetrics{}
	var errs []error
	counter := func(name, unit, help string) metric.Int64Counter {
		c, err := meter.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(help))
		errs = append(errs, err)
		return c
	}
	m.requests = counter("postident.sweep.requests", "{request}", "List requests of sweeps, by account, kind and result.")
	m.entries = counter("postident.sweep.hits", "{case}", "Cases that list answers held, by account and kind.")
	m.triggers = counter("postident.sweep.triggers", "{trigger}", "Triggers that sweeps wrote to the inbox, by account and kind: hits that are new or changed.")
	m.broken = counter("postident.sweep.unreadable", "{case}", "Entries of list answers that cannot be read, by account and kind.")
	m.windows = counter("postident.sweep.windows", "{window}", "Windows of time that sweeps are done with, by account and kind.")
	m.holes = counter("postident.sweep.holes", "{window}", "Windows of one second that hold more than one answer can: some cases are missed. By account and kind.")
	var err1, err2, err3, err4 error
	m.duration, err1 = meter.Float64Histogram("postident.sweep.duration", metric.WithUnit("s"),
		metric.WithDescription("Whole sweeps from their first request to their last, by account and kind."),
		metric.WithExplicitBucketBoundaries(.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 21600, 86400))
	age, err2 := meter.Float64ObservableGauge("postident.sweep.age", metric.WithUnit("s"),
		metric.WithDescription("Time since the last whole sweep began, by account and kind; told by the process that sweeps the account."))
	skew, err3 := meter.Float64ObservableGauge("postident.api.clock.skew", metric.WithUnit("s"),
		metric.WithDescription("How far the API's clock is ahead of this process's, by the last list answer; by account."))
	_, err4 = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		p.observe(o, age, skew)
		return nil
	}, age, skew)
	return m, errors.Join(append(errs, err1, err2, err3, err4)...)
}

// observe tells of the accounts that this process sweeps.
func (p *Poller) observe(o metric.Observer, age, skew metric.Float64Observable) {
	now := p.cfg.Now()
	for clientID, s := range p.sweepers {
		good, off, working := s.progress.seen()
		if !working {
			continue
		}
		o.ObserveFloat64(skew, off.Seconds(), metric.WithAttributes(attribute.String("client_id", clientID)))
		for kind, at := range good {
			if p.cfg.Plan.every(kind) > 0 {
				o.ObserveFloat64(age, now.Sub(at).Seconds(), labels(clientID, kind))
			}
		}
	}
}

func labels(clientID string, kind SweepKind) metric.MeasurementOption {
	return metric.WithAttributes(attribute.String("client_id", clientID), attribute.String("kind", string(kind)))
}

func (m *pollMetrics) request(ctx context.Context, clientID string, kind SweepKind, err error) {
	result := "ok"
	if err != nil {
		result = scr.Reason(err)
	}
	m.requests.Add(ctx, 1, metric.WithAttributes(attribute.String("client_id", clientID),
		attribute.String("kind", string(kind)), attribute.String("result", result)))
}

func (m *pollMetrics) listed(ctx context.Context, clientID string, kind SweepKind, hits, triggers, broken int) {
	of := labels(clientID, kind)
	m.entries.Add(ctx, int64(hits), of)
	m.triggers.Add(ctx, int64(triggers), of)
	m.broken.Add(ctx, int64(broken), of)
}

func (m *pollMetrics) window(ctx context.Context, clientID string, kind SweepKind) {
	m.windows.Add(ctx, 1, labels(clientID, kind))
	m.holes.Add(ctx, 0, labels(clientID, kind)) // so that the first one shows as an increase
}

func (m *pollMetrics) hole(ctx context.Context, clientID string, kind SweepKind) {
	m.holes.Add(ctx, 1, labels(clientID, kind))
}

func (m *pollMetrics) swept(ctx context.Context, clientID string, kind SweepKind, took time.Duration) {
	m.duration.Record(ctx, took.Seconds(), labels(clientID, kind))
}
