package main

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/internal/audit"
	"postident-bridge/schemas"
)

// startWatching shows the events as they come until the teardown's turn.
func (d *demo) startWatching(ctx context.Context, fail context.CancelCauseFunc) {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := d.watch(ctx); err != nil {
			fail(&partError{"consumer", err})
		}
	}()
	d.down.add("consumer", func(context.Context) error {
		stop()
		<-done
		return nil
	})
}

// watch shows the events as any consumer would read them, until ctx ends.
func (d *demo) watch(ctx context.Context) error {
	client, err := kgo.NewClient(append(d.kafka(),
		kgo.ConsumeTopics(d.names.Status, d.names.Result),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		// Without this, events of transactions that were aborted show too.
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxWait(100*time.Millisecond),
	)...)
	if err != nil {
		return fmt.Errorf("open consumer: %w", err)
	}
	defer client.Close()
	seen := &demoConsumer{d: d, status: schemas.NewStatusDecoder(nil), result: schemas.NewResultDecoder(nil)}
	for {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil
		}
		for _, e := range fetches.Errors() {
			return fmt.Errorf("consume %s: %w", e.Topic, e.Err)
		}
		for _, r := range fetches.Records() {
			if err := seen.take(ctx, r); err != nil {
				return err
			}
		}
	}
}

// demoConsumer takes events and results apart.
type demoConsumer struct {
	d      *demo
	status *schemas.StatusDecoder
	result *schemas.ResultDecoder
}

func (c *demoConsumer) take(ctx context.Context, r *kgo.Record) error {
	if r.Topic == c.d.names.Result {
		return c.d.results.note(ctx, c.result, r)
	}
	event, err := c.status.Decode(ctx, r.Value)
	if err != nil {
		return fmt.Errorf("decode event at %d/%d: %w", r.Partition, r.Offset, err)
	}
	if err := c.d.view.event(r.Timestamp, &event); err != nil {
		return err
	}
	c.d.shown.Add(1)
	return nil
}

// finish waits until the load is played and the topics tell it all, or until
// nothing has come for a while, and judges.
func (d *demo) finish(ctx context.Context) (audit.Verdict, sampleVerdict, error) {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	shown, since := d.shown.Load(), time.Now()
	for {
		select {
		case <-ctx.Done():
			return audit.Verdict{}, sampleVerdict{}, ctx.Err()
		case <-ticker.C:
		}
		if n := d.shown.Load(); n != shown {
			shown, since = n, time.Now()
		}
		if !d.sim.Status().Done {
			continue
		}
		quiet := time.Since(since) > d.settle() // before the topics are read: the verdict holds what came until then
		verdict, err := d.judge(ctx)
		if err != nil {
			return verdict, sampleVerdict{}, err
		}
		// The judge reads the topics by itself; it waits for the view only so that
		// the summary comes behind the last event.
		complete := verdict.Clean() && shown >= int64(verdict.Events) && d.results.arrived()
		if complete || quiet {
			if d.main.hooks.results != nil {
				d.main.hooks.results(d.results)
			}
			sample, err := d.results.judgeSample()
			return verdict, sample, err
		}
	}
}

func (d *demo) settle() time.Duration {
	if d.main.hooks.settle > 0 {
		return d.main.hooks.settle
	}
	return demoSettle
}

// judge reads the topics from their start and judges them by the simulator's
// truth. Every change must have its event: the simulator keeps a state until it
// was seen, and sweeps find what no webhook tells.
func (d *demo) judge(ctx context.Context) (audit.Verdict, error) {
	changes, attempts := d.sim.Truth(), d.sim.Attempts()
	evidence := audit.Evidence{
		Kafka: d.kafka(), Prefix: d.prefix,
		Truth: make([]audit.Change, len(changes)), Webhooks: make([]audit.Webhook, len(attempts)),
		Options: audit.Options{Strict: true, RequireAll: true, Classes: make(map[string]schemas.RegulatoryClass)},
	}
	for i, c := range changes {
		evidence.Truth[i] = audit.Change(c)
	}
	for i, a := range attempts {
		evidence.Webhooks[i] = audit.Webhook{ClientID: a.ClientID, CaseID: a.CaseID, At: a.At, Status: a.Status}
	}
	for _, a := range d.accounts {
		evidence.Options.Classes[a.ClientID] = schemas.RegulatoryClass(a.Class)
	}
	if err := d.results.evidence(ctx, d.sim, &evidence); err != nil {
		return audit.Verdict{}, err
	}
	if d.main.hooks.tamper != nil {
		if err := d.main.hooks.tamper(ctx, &evidence); err != nil {
			return audit.Verdict{}, err
		}
	}
	return audit.Judge(ctx, evidence)
}
