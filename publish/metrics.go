package publish

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"

	"postident-bridge/internal/scr"
	"postident-bridge/schemas"
)

// metrics are the publisher's instruments. No label has a case in it.
type metrics struct {
	meter        metric.Meter
	triggers     metric.Int64Counter
	events       metric.Int64Counter
	results      metric.Int64Counter
	leftOut      metric.Int64Counter
	stored       metric.Int64Counter
	storedBytes  metric.Int64Counter
	empty        metric.Int64Counter
	storing      metric.Float64Histogram
	looks        metric.Int64Counter
	superseded   metric.Int64Counter
	unknown      metric.Int64Counter
	retries      metric.Int64Counter
	missed       metric.Int64Counter
	archives     metric.Int64Counter
	letters      metric.Int64Counter
	reads        metric.Float64Histogram
	transactions metric.Float64Histogram
	records      metric.Int64Counter
	restores     metric.Float64Histogram
	takeOvers    metric.Int64Counter
	lost         metric.Int64Counter
	misplaced    metric.Int64Counter
	quarantines  metric.Int64Counter
	delay        metric.Float64Histogram
}

func newMetrics(meter metric.Meter) (*metrics, error) {
	if meter == nil {
		meter = noop.NewMeterProvider().Meter("")
	}
	m := &metrics{meter: meter}
	var problems []error
	counter := func(name, unit, help string) metric.Int64Counter {
		c, err := meter.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(help))
		problems = append(problems, err)
		return c
	}
	seconds := func(name, help string, bounds ...float64) metric.Float64Histogram {
		h, err := meter.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(help),
			metric.WithExplicitBucketBoundaries(bounds...))
		problems = append(problems, err)
		return h
	}
	m.triggers = counter("postident.triggers.consumed", "{trigger}", "Triggers taken from the inbox, by source.")
	m.events = counter("postident.events.published", "{event}", "Status events committed, by account, method, status type and source.")
	m.results = counter("postident.results.published", "{result}", "Results committed, by account.")
	m.leftOut = counter("postident.results.left_out", "{result}", "Results too large for their topic, whose status event went out without them, by account.")
	m.stored = counter("postident.records.stored", "{record}", "Binary records put into the object store, also those that were there, by account.")
	m.storedBytes = counter("postident.records.stored.size", "By", "Size of the binary records put into the object store, by account.")
	m.empty = counter("postident.records.without_content", "{record}", "Records of final states that the API names, and whose content it did not give though it was asked for, by account.")
	m.storing = seconds("postident.records.duration", "Reads of a case with its records and their uploads, by account and result.", .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120)
	m.looks = counter("postident.looks", "{look}", "Looks at a case that were settled, by account and verdict.")
	m.superseded = counter("postident.changes.superseded", "{change}", "States seen later than their successor, which give no event.")
	m.unknown = counter("postident.values.unknown", "{value}", "Methods, statuses and codes that the guide does not list, by kind.")
	m.retries = counter("postident.retries.scheduled", "{retry}", "Durable retries written, by account, kind and reason.")
	m.missed = counter("postident.webhooks.missed", "{webhook}", "Webhooks that were due for a change that a sweep saw first, and did not come, by account and status type.")
	m.archives = counter("postident.cases.archived", "{case}", "Cases that were asked to be archived at the source, by account and result.")
	m.letters = counter("postident.dead_letters", "{record}", "Triggers sent to the dead letters, by reason.")
	m.reads = seconds("postident.case.read.duration", "Reads of a case, by account and result.", .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20)
	m.transactions = seconds("postident.transaction.duration", "Kafka transactions of the publisher, by result.", .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20)
	m.records = counter("postident.transaction.records", "{record}", "Records in committed transactions.")
	m.restores = seconds("postident.restore.duration", "Take-overs of a partition, from opening the producer to reading the inbox.", .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60)
	m.takeOvers = counter("postident.worker.failures", "{failure}", "Workers that ended for a reason other than a stop, by reason.")
	m.lost = counter("postident.inbox.position.lost", "{event}", "Inbox positions found outside the log, by reason: triggers may be lost.")
	m.misplaced = counter("postident.triggers.misplaced", "{trigger}", "Triggers found in the wrong partition and sent on.")
	m.quarantines = counter("postident.cases.quarantined", "{case}", "Case states that could not be used.")
	m.delay = seconds("postident.event.delay", "From the acceptance of a webhook to the commit of its event.", .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 3600)
	if err := errors.Join(problems...); err != nil {
		return nil, fmt.Errorf("make publisher metrics: %w", err)
	}
	return m, nil
}

// observe registers the gauges that are read from the publisher itself.
func (m *metrics) observe(p *Publisher) error {
	owned, err := m.meter.Int64ObservableGauge("postident.partitions.owned", metric.WithUnit("{partition}"),
		metric.WithDescription("Inbox partitions that this process owns, by whether it works on them."))
	if err != nil {
		return fmt.Errorf("make publisher metrics: %w", err)
	}
	open, err := m.meter.Int64ObservableGauge("postident.account.breaker.open", metric.WithUnit("{account}"),
		metric.WithDescription("1 while the account's reads are held back after failures."))
	if err != nil {
		return fmt.Errorf("make publisher metrics: %w", err)
	}
	silent, err := m.meter.Float64ObservableGauge("postident.account.silence", metric.WithUnit("s"),
		metric.WithDescription("How long the account has answered nothing while it was asked; 0 while it answers."))
	if err != nil {
		return fmt.Errorf("make publisher metrics: %w", err)
	}
	deletion, err := m.meter.Float64ObservableGauge("postident.source.deletion.distance", metric.WithUnit("s"),
		metric.WithDescription("Until the source may delete the oldest case that waits for a retry or is in the dead letters, by account; absent where none is."))
	if err != nil {
		return fmt.Errorf("make publisher metrics: %w", err)
	}
	_, err = m.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		for id, d := range p.deletionDistance() {
			o.ObserveFloat64(deletion, d.Seconds(), metric.WithAttributes(attribute.String("client_id", id)))
		}
		working, waiting := p.ownership()
		o.ObserveInt64(owned, working, metric.WithAttributes(attribute.String("state", "working")))
		o.ObserveInt64(owned, waiting, metric.WithAttributes(attribute.String("state", "taking_over")))
		for id, a := range p.accounts {
			value := int64(0)
			if _, held := a.blocked(p.cfg.Now()); held {
				value = 1
			}
			client := metric.WithAttributes(attribute.String("client_id", id))
			o.ObserveInt64(open, value, client)
			o.ObserveFloat64(silent, a.silentFor(p.cfg.Now()).Seconds(), client)
		}
		return nil
	}, owned, open, silent, deletion)
	if err != nil {
		return fmt.Errorf("register publisher metrics: %w", err)
	}
	return nil
}

// begin makes the series that deserve an alert exist from the start, at zero: a
// counter that first appears at one shows no increase.
func (m *metrics) begin(ctx context.Context, accounts map[string]*account) {
	for _, c := range []metric.Int64Counter{m.quarantines, m.misplaced} {
		c.Add(ctx, 0)
	}
	zero := func(c metric.Int64Counter, key string, values ...string) {
		for _, value := range values {
			c.Add(ctx, 0, metric.WithAttributes(attribute.String(key, value)))
		}
	}
	rejected := func(reason string) string { return scr.Reason(&scr.RejectedError{Reason: reason}) }
	zero(m.letters, "reason", reasonUnreadable, reasonUnknownAccount, reasonQuarantined, reasonRefused, reasonDropped, "not_found",
		"server_error", "connection", "timeout", "internal", rejected(scr.RejectedStatus), rejected(scr.RejectedTooLarge),
		rejected(scr.RejectedPlain), rejected(scr.RejectedAlgorithm), rejected(scr.RejectedDecrypt),
		rejected(scr.RejectedJSON), rejected(scr.RejectedCase))
	zero(m.lost, "reason", "recreated", "deleted", "truncated", "unreadable")
	zero(m.takeOvers, "reason", "record_refused", "outcome_unknown", "fenced", "topic_recreated", "timeout", "error")
	for id, a := range accounts {
		zero(m.superseded, "client_id", id)
		for _, t := range a.WebhookTypes {
			m.missed.Add(ctx, 0, missedLabels(id, t))
		}
	}
}

// archived counts the cases of a request: those that the answer confirms, those
// that it does not (archived before, or gone), or all by what went wrong.
func (m *metrics) archived(ctx context.Context, r archiveAnswer) {
	count := func(result string, n int) {
		m.archives.Add(ctx, int64(n), metric.WithAttributes(attribute.String("client_id", r.account.ClientID), attribute.String("result", result)))
	}
	if r.err != nil {
		count(failureOf(r.err).reason, len(r.keys))
		return
	}
	count("archived", r.confirmed)
	count("not_confirmed", len(r.keys)-r.confirmed)
}

func missedLabels(clientID string, t schemas.StatusType) metric.AddOption {
	return metric.WithAttributes(attribute.String("client_id", clientID), attribute.String("status_type", string(t)))
}

// recordsStored counts how an attempt to store the records of a case ended; empty are
// those whose content did not come.
func (m *metrics) recordsStored(ctx context.Context, clientID string, s stored, empty int, d time.Duration) {
	client, result := attribute.String("client_id", clientID), "ok"
	if s.err != nil {
		result = failureOf(s.err).reason
	}
	m.storing.Record(ctx, d.Seconds(), metric.WithAttributes(client, attribute.String("result", result)))
	size := int64(0)
	for _, r := range s.references {
		size += r.Size
	}
	m.stored.Add(ctx, int64(len(s.references)), metric.WithAttributes(client))
	m.storedBytes.Add(ctx, size, metric.WithAttributes(client))
	if s.err == nil {
		m.empty.Add(ctx, int64(empty), metric.WithAttributes(client))
	}
}

func (m *metrics) resultLeftOut(ctx context.Context, clientID string) {
	m.leftOut.Add(ctx, 1, metric.WithAttributes(attribute.String("client_id", clientID)))
}

// ownership counts the owned partitions.
func (p *Publisher) ownership() (working, waiting int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, o := range p.owners {
		if o.works() {
			working++
		} else {
			waiting++
		}
	}
	return working, waiting
}

// sourceLabels are made once: every trigger needs one.
var sourceLabels = func() map[schemas.Source]metric.AddOption {
	labels := make(map[schemas.Source]metric.AddOption)
	for _, s := range []schemas.Source{
		schemas.SourceUnknown, schemas.SourceWebhook, schemas.SourceSweep, schemas.SourceBackfill, schemas.SourceRedrive,
	} {
		labels[s] = metric.WithAttributeSet(attribute.NewSet(attribute.String("source", string(s))))
	}
	return labels
}()

func (m *metrics) triggered(ctx context.Context, source schemas.Source) {
	label, known := sourceLabels[source]
	if !known {
		label = sourceLabels[schemas.SourceUnknown]
	}
	m.triggers.Add(ctx, 1, label)
}

func (m *metrics) read(ctx context.Context, clientID, result string, d time.Duration) {
	m.reads.Record(ctx, d.Seconds(), metric.WithAttributes(attribute.String("client_id", clientID), attribute.String("result", result)))
}

func (m *metrics) restored(ctx context.Context, d time.Duration) { m.restores.Record(ctx, d.Seconds()) }

func (m *metrics) positionLost(ctx context.Context, reason string) {
	m.lost.Add(ctx, 1, metric.WithAttributes(attribute.String("reason", reason)))
}

func (m *metrics) quarantined(ctx context.Context) { m.quarantines.Add(ctx, 1) }

func (m *metrics) letterDropped(ctx context.Context) {
	m.letters.Add(ctx, 1, metric.WithAttributes(attribute.String("reason", reasonDropped)))
}

func (m *metrics) sentOn(ctx context.Context) { m.misplaced.Add(ctx, 1) }

func (m *metrics) transaction(ctx context.Context, d time.Duration, records int, err error) {
	result := "committed"
	if err != nil {
		result = workerFailure(err)
	} else {
		m.records.Add(ctx, int64(records))
	}
	m.transactions.Record(ctx, d.Seconds(), metric.WithAttributes(attribute.String("result", result)))
}

func (m *metrics) takeOver(ctx context.Context, err error) {
	m.takeOvers.Add(ctx, 1, metric.WithAttributes(attribute.String("reason", workerFailure(err))))
}

// workerFailure is the kind of an error that ended a worker, as a label.
func workerFailure(err error) string {
	var refused *recordRefusedError
	var unknown *unknownOutcomeError
	switch {
	case errors.As(err, &refused):
		return "record_refused"
	case errors.As(err, &unknown):
		return "outcome_unknown"
	case errors.Is(err, errSucceeded), errors.Is(err, errFenced):
		return "fenced"
	case errors.Is(err, errRecreated):
		return "topic_recreated"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, errNoAnswer):
		return "timeout"
	}
	return "error"
}

// The labels of what is counted for every case: a batch is counted by them
// first, because to make an attribute set costs more than to count.
type (
	lookLabels struct {
		clientID string
		verdict  verdict
	}
	retryLabels struct {
		clientID string
		kind     schemas.RetryKind
		reason   string
	}
	eventLabels struct {
		clientID   string
		method     schemas.Method
		statusType schemas.StatusType
		source     schemas.Source
	}
)

// committed counts what a committed batch did: a count that was made before the
// commit would count again after a crash.
func (m *metrics) committed(ctx context.Context, now time.Time, b *batch) {
	for _, l := range b.letters {
		m.letters.Add(ctx, 1, metric.WithAttributes(attribute.String("reason", l.reason)))
	}
	looks, retries, events := make(map[lookLabels]int64), make(map[retryLabels]int64), make(map[eventLabels]int64)
	for i := range b.counts {
		c := &b.counts[i]
		if c.verdict != 0 {
			looks[lookLabels{c.clientID, c.verdict}]++
		}
		if c.retry != nil {
			retries[retryLabels{c.clientID, c.retry.Kind, c.retry.Reason}]++
		}
		for j := range c.events {
			e := &c.events[j]
			events[eventLabels{c.clientID, e.Method, e.StatusType, e.ObservedBy}]++
		}
		m.noticed(ctx, now, c)
	}
	for l, n := range looks {
		m.looks.Add(ctx, n, metric.WithAttributes(attribute.String("client_id", l.clientID), attribute.String("verdict", l.verdict.String())))
	}
	for l, n := range retries {
		m.retries.Add(ctx, n, metric.WithAttributes(attribute.String("client_id", l.clientID),
			attribute.String("kind", string(l.kind)), attribute.String("reason", l.reason)))
	}
	for l, n := range events {
		m.events.Add(ctx, n, metric.WithAttributes(attribute.String("client_id", l.clientID), attribute.String("method", string(l.method)),
			attribute.String("status_type", string(l.statusType)), attribute.String("source", string(l.source))))
	}
}

// noticed counts of one look what few looks have.
func (m *metrics) noticed(ctx context.Context, now time.Time, c *counted) {
	if c.results > 0 {
		m.results.Add(ctx, int64(c.results), metric.WithAttributes(attribute.String("client_id", c.clientID)))
	}
	for _, d := range c.missed {
		m.missed.Add(ctx, 1, missedLabels(c.clientID, d.StatusType))
	}
	if c.superseded == 0 && len(c.unknown) == 0 && (c.receivedAt.IsZero() || len(c.events) == 0) {
		return
	}
	client := attribute.String("client_id", c.clientID)
	if c.superseded > 0 {
		m.superseded.Add(ctx, int64(c.superseded), metric.WithAttributes(client))
	}
	for _, u := range c.unknown {
		m.unknown.Add(ctx, 1, metric.WithAttributes(client, attribute.String("kind", string(u.Kind))))
	}
	if c.receivedAt.IsZero() {
		return
	}
	for range c.events {
		m.delay.Record(ctx, now.Sub(c.receivedAt).Seconds(), metric.WithAttributes(client))
	}
}
