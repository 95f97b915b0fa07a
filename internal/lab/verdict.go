package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"postident-bridge/internal/audit"
	"postident-bridge/internal/scrsim"
	"postident-bridge/internal/testbed"
)

// partitions is what `bridge topics apply` makes.
const partitions = 12

// promised is the truth as the bridges are held to it. A change of which a
// webhook was answered 200 counts as seen whether an answer showed it or not: it
// is lost unless it was told, or a later state of its identification was. A
// change that was never promised nor shown is nobody's fault; nor is the bare end
// of a case, for which no webhook is sent: whoever saw it may have been a zombie,
// which woke up after its trigger was done, and writes nothing.
func (l *load) promised() []audit.Change {
	accepted := accepted(l.sim.Attempts())
	l.mu.Lock()
	for index, ok := range l.resent {
		accepted[index] = accepted[index] || ok
	}
	l.mu.Unlock()
	changes := l.sim.Truth()
	truth := make([]audit.Change, len(changes))
	for i, c := range changes {
		truth[i] = audit.Change(c)
		truth[i].Seen = accepted[i] || c.Seen && c.Method != ""
	}
	return truth
}

// judge compares events with the truth.
func (w *world) judge(truth []audit.Change, events []audit.Published) audit.Report {
	return audit.CompareWith(truth, events, audit.Options{Partitions: partitions, Classes: w.classes()})
}

// settleTime bounds the wait after the last fault: an account whose credentials
// were refused is parked for five minutes.
const (
	settleTime      = 8 * time.Minute
	briefSettleTime = 2 * time.Minute
)

// settle waits until nothing more is to come: every webhook is delivered, every
// change that was promised has its event, and the inbox is drained.
func (w *world) settle(ctx context.Context, l *load, say func(format string, args ...any)) error {
	l.halt()
	said := time.Now()
	limit := settleTime
	if w.cfg.Brief {
		limit = briefSettleTime
	}
	return await(ctx, limit, func() error {
		err := w.unsettled(ctx, l)
		if err != nil && time.Since(said) > 15*time.Second {
			said = time.Now()
			say("settling: %v", err)
		}
		if err != nil {
			pause(ctx, 2*time.Second) // reading and comparing cost what the bridges need
		}
		return err
	})
}

// unsettled says what is still to come.
func (w *world) unsettled(ctx context.Context, l *load) error {
	status := w.sim.Status()
	if !status.Done {
		return fmt.Errorf("%d webhooks are on their way", status.HooksPending)
	}
	if abandoned := l.abandoned(); len(abandoned) > 0 {
		l.bring(ctx, abandoned)
		return fmt.Errorf("%d cases ended with a webhook that nobody took", len(abandoned))
	}
	p, err := l.progress()
	if err != nil {
		return err
	}
	if p.Awaited > 0 {
		return fmt.Errorf("%d changes of the loop have no event, the first is %s", p.Awaited, l.oldest())
	}
	report := w.judge(l.promised(), l.events())
	if lost := report.Count(audit.Lost); lost > 0 {
		first := slices.IndexFunc(report.Findings, func(f audit.Finding) bool { return f.Kind == audit.Lost })
		return fmt.Errorf("%d promised changes have no event, the first is %s", lost, report.Findings[first])
	}
	if err := w.drained(ctx); err != nil {
		return err
	}
	if w.cfg.Brief {
		return nil
	}
	return w.idle(ctx)
}

// idle is nil when no case waits for another look.
func (w *world) idle(ctx context.Context) error {
	v, err := audit.Judge(ctx, audit.Evidence{Kafka: w.opts(), Prefix: topicPrefix, Schema: w.schema})
	if err != nil {
		return err
	}
	if v.Waiting+v.Retries+v.Open+v.Pending > 0 {
		return fmt.Errorf("%d triggers are not done, %d cases wait for another look, %d records in open transactions, %d events without their records",
			v.Waiting, v.Retries, v.Open, v.Pending)
	}
	return nil
}

// oldest names the change that is awaited the longest.
func (l *load) oldest() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var oldest *awaited
	for _, a := range l.awaited {
		if oldest == nil || a.since.Before(oldest.since) {
			oldest = a
		}
	}
	if oldest == nil {
		return "none"
	}
	c := oldest.change
	return fmt.Sprintf("%s/%s %s %s, %s old", c.ClientID, c.CaseID, c.Method, c.Status, time.Since(oldest.since).Round(time.Second))
}

// abandoned is the last change of each case that had a webhook, where none was
// answered 200, not even ours: with it asked for, the end of every case must be
// published.
func (l *load) abandoned() map[int]scrsim.Change {
	attempts := l.sim.Attempts()
	taken := accepted(attempts)
	l.mu.Lock()
	for index, ok := range l.resent {
		taken[index] = taken[index] || ok
	}
	l.mu.Unlock()
	last := make(map[string]int)
	for _, a := range attempts {
		key := a.ClientID + "/" + a.CaseID
		if at, ok := last[key]; !ok || a.Change > at {
			last[key] = a.Change
		}
	}
	truth := l.sim.Truth()
	changes := make(map[int]scrsim.Change, len(last))
	for _, at := range last {
		if !taken[at] {
			changes[at] = truth[at]
		}
	}
	return changes
}

// evidence is everything that the bridges left behind, but for the topics.
func (w *world) evidence(ctx context.Context, l *load, metrics []byte) (audit.Evidence, error) {
	outputs, err := audit.ReadOutputs(w.logs())
	if err != nil {
		return audit.Evidence{}, err
	}
	outputs["metrics"] = metrics
	for name, output := range outputs {
		if len(output) == 0 {
			return audit.Evidence{}, fmt.Errorf("read %s: empty, so that a search would prove nothing", name)
		}
	}
	attempts := l.sim.Attempts()
	webhooks := make([]audit.Webhook, len(attempts))
	for i, a := range attempts {
		webhooks[i] = audit.Webhook{ClientID: a.ClientID, CaseID: a.CaseID, At: a.At, Status: a.Status}
	}
	secrets := []string{testbed.S3SecretKey}
	for _, a := range w.accounts {
		secrets = append(secrets, a.Webhook.Password)
		for _, c := range a.Credentials {
			secrets = append(secrets, c.Password, c.DataPassword)
		}
	}
	inventory, err := w.inventory(ctx)
	if err != nil {
		return audit.Evidence{}, err
	}
	e := audit.Evidence{
		Kafka: w.opts(), Prefix: topicPrefix, Schema: w.schema, Truth: l.promised(), Webhooks: webhooks,
		Canaries: scrsim.Canaries(), Forbidden: scrsim.ForbiddenCanaries(), Contents: scrsim.RecordCanaries(),
		Secrets: secrets, Outputs: outputs, Records: w.records(), Inventory: inventory,
		Options: audit.Options{Partitions: partitions, Classes: w.classes(), LatePDF: true, Settled: !w.cfg.Brief},
	}
	settings(&e.Options)
	return e, nil
}

// crashes is what bridges did that nobody asked for: ends of their own, panics
// and data races.
func (w *world) crashes() ([]string, error) {
	var crashes []string
	for _, p := range w.processes {
		crashes = append(crashes, p.ownEnds()...)
		log, err := os.ReadFile(p.logPath)
		if err != nil {
			return nil, fmt.Errorf("read log: %w", err)
		}
		for _, mark := range []string{"\npanic: ", "\nfatal error: ", "WARNING: DATA RACE"} {
			if bytes.Contains(log, []byte(mark)) {
				crashes = append(crashes, fmt.Sprintf("%s wrote %q", p.name, mark))
			}
		}
	}
	return crashes, nil
}

// scrape reads the metrics of every bridge.
func (w *world) scrape(ctx context.Context) ([]byte, error) {
	var all []byte
	for _, p := range w.processes {
		body, err := p.metrics(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, body...)
	}
	return all, nil
}

// stopAll ends every bridge in good order.
func (w *world) stopAll() error {
	var errs []error
	for _, p := range w.processes {
		errs = append(errs, p.stop())
	}
	return errors.Join(errs...)
}
