package bench

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/internal/scr"
	"postident-bridge/internal/testbed"
	"postident-bridge/schemas"
)

// backlogFigure measures how fast the hooks of an outage are made up for.
func backlogFigure() Figure {
	return Figure{
		Name:  "backlog",
		About: "hooks parked while the API is down, drained when it answers, against as many fresh ones",
		Run:   measureBacklog,
	}
}

type backlogPlan struct{ rounds, hooks int }

func planBacklog(quick bool) backlogPlan {
	if quick {
		return backlogPlan{rounds: 1, hooks: 300}
	}
	return backlogPlan{rounds: 2, hooks: 100_000}
}

// outage is an API in process: what is measured is the publisher's own work, for
// a read that costs more makes the two rates the same.
type outage struct{ down atomic.Bool }

func (o *outage) read(_ context.Context, caseID string) (scr.Case, error) {
	if o.down.Load() {
		return scr.Case{}, &scr.UnavailableError{Status: 503}
	}
	created := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	seen := created.Add(time.Hour)
	return scr.Case{
		CaseID: caseID, ReferenceID: "order-" + caseID,
		Status: scr.CaseStatus{Status: scr.CaseClosed, Created: created, Modified: seen, ValidUntil: created.AddDate(0, 1, 0)},
		Identifications: []scr.Identification{{
			Method: scr.MethodVideo, Primary: true, Status: scr.StatusSuccess, Created: created, Modified: seen, IdentificationTime: seen,
		}},
	}, nil
}

func measureBacklog(ctx context.Context, env *Env) ([]Row, error) {
	plan := planBacklog(env.Quick())
	kafka, err := env.Kafka(ctx, 1)
	if err != nil {
		return nil, err
	}
	if err := env.ApplyTopics(ctx, kafka, publishPartitions); err != nil {
		return nil, err
	}
	var drained, steady, ratios []float64
	var until []time.Duration
	for round := range plan.rounds {
		limit, err := env.drainFresh(ctx, kafka, fmt.Sprintf("FRSH%d", round), plan.hooks)
		if err != nil {
			return nil, fmt.Errorf("fresh hooks: %w", err)
		}
		ours, err := env.drainParked(ctx, kafka, fmt.Sprintf("PARK%d", round), plan.hooks)
		if err != nil {
			return nil, fmt.Errorf("parked hooks: %w", err)
		}
		env.Logf("round %d: %.0f parked/s, then %.0f events/s, the first after %v; fresh %.0f events/s",
			round+1, ours.parked, ours.rate, ours.first.Round(time.Millisecond), limit)
		drained, steady, ratios = append(drained, ours.rate), append(steady, limit), append(ratios, ours.rate/limit)
		until = append(until, ours.first.Round(time.Second/10))
	}
	return []Row{{
		Name: "backlog drained after an outage", Ours: median(drained), Limit: median(steady), Unit: "events/s", Bar: Bar{AtLeast: 0.9},
		Note: fmt.Sprintf("%d hooks, all parked, against as many fresh ones that wait in the inbox; reads in process; first to last event; rounds %.2f; "+
			"the breaker's next probe came %v after the API did", plan.hooks, ratios, until),
	}}, nil
}

// drainFresh gives the rate at which hooks that wait in the inbox become events.
func (e *Env) drainFresh(ctx context.Context, kafka *testbed.Kafka, cases string, n int) (rate float64, err error) {
	if err := e.hooks(ctx, kafka, cases, n); err != nil {
		return 0, err
	}
	var api outage
	running, err := e.startPublisher(ctx, kafka, api.read)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, running.end()) }()
	hundredths, err := running.await(ctx, int64(n))
	if err != nil {
		return 0, err
	}
	return wholeRate(n, hundredths), nil
}

// drain is what became of the hooks of an outage.
type drain struct {
	parked float64       // a second
	first  time.Duration // from the API's return to the first events
	rate   float64       // of events, from then on
}

// drainParked has hooks come while the API is down, and gives the rate at which
// they become events when it is up again.
func (e *Env) drainParked(ctx context.Context, kafka *testbed.Kafka, cases string, n int) (d drain, err error) {
	var api outage
	api.down.Store(true)
	running, err := e.startPublisher(ctx, kafka, api.read)
	if err != nil {
		return drain{}, err
	}
	defer func() { err = errors.Join(err, running.end()) }()
	began := time.Now()
	if err := e.hooks(ctx, kafka, cases, n); err != nil {
		return drain{}, err
	}
	if err := running.awaitParked(ctx, int64(n)); err != nil {
		return drain{}, err
	}
	up := time.Now()
	d.parked = float64(n) / up.Sub(began).Seconds()
	api.down.Store(false)
	hundredths, err := running.await(ctx, int64(n))
	if err != nil {
		return drain{}, err
	}
	d.first, d.rate = hundredths[0].Sub(up), wholeRate(n, hundredths)
	return d, nil
}

// wholeRate is the rate of n things from the first to the last.
func wholeRate(n int, hundredths []time.Time) float64 {
	return 0.99 * float64(n) / hundredths[99].Sub(hundredths[0]).Seconds()
}

// hooks puts a webhook's trigger for each of n cases into the inbox.
func (e *Env) hooks(ctx context.Context, kafka *testbed.Kafka, cases string, n int) error {
	records := make([]*kgo.Record, n)
	for i := range records {
		caseID := fmt.Sprintf("%s%07d", cases, i)
		value, err := schemas.EncodeTrigger(schemas.Trigger{
			ClientID: benchClientID, CaseID: caseID, Source: schemas.SourceWebhook, ReceivedAt: time.Now(),
		})
		if err != nil {
			return fmt.Errorf("encode trigger: %w", err)
		}
		records[i] = &kgo.Record{Topic: e.publishTopics().Inbox, Key: []byte(caseID), Value: value}
	}
	return produceAll(ctx, kafka, records)
}

// awaitParked waits until the publisher has committed n retries.
func (p *publishing) awaitParked(ctx context.Context, n int64) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for last, moved := int64(0), time.Now(); ; {
		c, err := p.counts(ctx)
		if err != nil {
			return err
		}
		switch {
		case c.retries >= n:
			return nil
		case c.retries > last:
			last, moved = c.retries, time.Now()
		case time.Since(moved) > time.Minute:
			return fmt.Errorf("%w: %d of %d hooks parked", errStalled, c.retries, n)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
