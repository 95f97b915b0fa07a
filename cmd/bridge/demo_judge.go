package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/ingest"
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
		kgo.ConsumeTopics(d.names.Status),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		// Without this, events of transactions that were aborted show too.
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxWait(100*time.Millisecond),
	)...)
	if err != nil {
		return fmt.Errorf("open consumer: %w", err)
	}
	defer client.Close()
	decoder := schemas.NewStatusDecoder(nil)
	for {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil
		}
		for _, e := range fetches.Errors() {
			return fmt.Errorf("consume %s: %w", e.Topic, e.Err)
		}
		for _, r := range fetches.Records() {
			event, err := decoder.Decode(ctx, r.Value)
			if err != nil {
				return fmt.Errorf("decode event at %d/%d: %w", r.Partition, r.Offset, err)
			}
			if err := d.view.event(r.Timestamp, &event); err != nil {
				return err
			}
			d.shown.Add(1)
		}
	}
}

// finish waits until the load is played and the topic tells it all, or until
// nothing has come for a while, and compares.
func (d *demo) finish(ctx context.Context) (audit.Report, error) {
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	shown, since := d.shown.Load(), time.Now()
	for {
		select {
		case <-ctx.Done():
			return audit.Report{}, ctx.Err()
		case <-ticker.C:
		}
		if n := d.shown.Load(); n != shown {
			shown, since = n, time.Now()
		}
		if !d.sim.Status().Done {
			continue
		}
		if err := d.nudge(ctx); err != nil {
			return audit.Report{}, err
		}
		report, err := d.compare(ctx)
		if err != nil {
			return report, err
		}
		// The comparison reads the topic by itself; it waits for the view only so
		// that the summary comes behind the last event.
		if report.Err() == nil && shown >= int64(report.Events) || time.Since(since) > d.settle() {
			return report, nil
		}
	}
}

func (d *demo) settle() time.Duration {
	if d.main.hooks.settle > 0 {
		return d.main.hooks.settle
	}
	return demoSettle
}

// nudge asks the bridge to look at the cases that closed without a change of an
// identification. The API sends no webhook for those (guide 2.6), and the demo
// wants them told all the same.
func (d *demo) nudge(ctx context.Context) error {
	client := &http.Client{Timeout: 3 * time.Second}
	defer client.CloseIdleConnections()
	for _, change := range d.sim.Truth() {
		if change.Method != "" || change.Seen || d.nudged[change.CaseID] {
			continue
		}
		accepted, err := d.webhook(ctx, client, change.ClientID, change.CaseID)
		if err != nil {
			return err
		}
		if accepted { // else again in a moment
			d.nudged[change.CaseID] = true
		}
	}
	return nil
}

// webhook brings one webhook as the sender would, and reports whether the
// bridge answered 200.
func (d *demo) webhook(ctx context.Context, client *http.Client, clientID, caseID string) (bool, error) {
	body := strings.NewReader(fmt.Sprintf(`{"caseId":%q}`, caseID))
	url := "http://" + d.where.Webhook + ingest.PathPrefix + clientID
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, body)
	if err != nil {
		return false, fmt.Errorf("make webhook: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	for _, a := range d.accounts {
		if a.ClientID == clientID {
			req.SetBasicAuth(a.Webhook.Username, a.Webhook.Password)
		}
	}
	resp, err := client.Do(req)
	if err != nil {
		return false, fmt.Errorf("send webhook: %w", err)
	}
	return resp.StatusCode == http.StatusOK, resp.Body.Close()
}

// compare reads the topic from its start and judges it by the simulator's
// truth. Every change must have its event: the simulator keeps a state until it
// was seen, and nudge sees to the rest.
func (d *demo) compare(ctx context.Context) (audit.Report, error) {
	published, err := audit.ReadStatus(ctx, d.kafka(), d.names.Status, schemas.NewStatusDecoder(nil))
	if err != nil {
		return audit.Report{}, err
	}
	if withhold := d.main.hooks.withhold; withhold != nil {
		published = slices.DeleteFunc(published, withhold)
	}
	changes := d.sim.Truth()
	truth := make([]audit.Change, len(changes))
	for i, c := range changes {
		truth[i] = audit.Change(c)
	}
	classes := make(map[string]schemas.RegulatoryClass)
	for _, a := range d.accounts {
		classes[a.ClientID] = schemas.RegulatoryClass(a.Class)
	}
	return audit.CompareWith(truth, published, audit.Options{
		Strict: true, RequireAll: true, Partitions: demoPartitions, Classes: classes,
	}), nil
}
