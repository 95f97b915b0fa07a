package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/ingest"
	"postident-bridge/internal/scrsim"
	"postident-bridge/internal/testbed"
)

// simulated is the API in a process of its own.
type simulated struct {
	*process
	base string // of the API and of its control
}

// startSimulated starts `bridge simulate` with the accounts of
// scrsim.ExampleAccounts, which sends no webhooks.
func (e *Env) startSimulated(ctx context.Context) (*simulated, error) {
	path, err := e.Bridge(ctx)
	if err != nil {
		return nil, err
	}
	type info struct {
		Control string `json:"control"`
	}
	where := make(chan info, 1)
	p, err := startProcess(ctx, nil, document(where), path, "simulate", "--addr", "127.0.0.1:0", "--webhooks", "", "--json")
	if err != nil {
		return nil, err
	}
	s, err := await(ctx, p, "its address", where)
	if err != nil {
		_ = p.stop() // the first error says more
		return nil, err
	}
	return &simulated{process: p, base: strings.TrimSuffix(s.Control, "/sim/v1")}, nil
}

// addHistory gives an account a past.
func (s *simulated) addHistory(ctx context.Context, h scrsim.History) error {
	body, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("encode history: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.base+"/sim/v1/history", bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("add history: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("add history: %w", err)
	}
	defer func() { _ = resp.Body.Close() }() // only read from
	if resp.StatusCode != http.StatusCreated {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10)) // the status is error enough
		return fmt.Errorf("add history: %s: %s", resp.Status, text)
	}
	return nil
}

// document gives the JSON object that a process prints over several lines, the
// first that there is.
func document[T any](found chan<- T) func(line string) {
	var text []byte
	done := false
	return func(line string) {
		if done || len(text) == 0 && line != "{" {
			return
		}
		text = append(append(text, line...), '\n')
		var v T
		if line == "}" && json.Unmarshal(text, &v) == nil {
			done = true
			found <- v
		}
	}
}

// sweeping is a past of the simulated API, `bridge run` that publishes, and what
// tells how far they are.
type sweeping struct {
	env       *Env
	kafka     *testbed.Kafka
	api       *simulated
	publisher *bridge
	environ   []string // of the bridge's commands
	admin     *kadm.Client
	backlog   func(context.Context) (ingest.Backlog, error)
}

// startSweeping starts the API, and a publisher beside it. Both have keys of so
// many bits.
func (e *Env) startSweeping(ctx context.Context, kafka *testbed.Kafka, bits int) (s *sweeping, err error) {
	s = &sweeping{env: e, kafka: kafka}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.end())
		}
	}()
	if s.api, err = e.startSimulated(ctx); err != nil {
		return s, err
	}
	s.environ = append(accountVariables(s.api.base, scrsim.ExampleAccounts("")[:1]), fmt.Sprintf("BRIDGE_ACCOUNT_1_RSA_BITS=%d", bits))
	if s.publisher, err = e.startBridge(ctx, kafka, slices.Clone(s.environ), "--roles", "process"); err != nil {
		return s, err
	}
	if s.admin, err = kadm.NewOptClient(kgo.SeedBrokers(kafka.Seeds()...)); err != nil {
		return s, fmt.Errorf("make kafka client: %w", err)
	}
	s.backlog = ingest.WatchBacklog(s.admin, e.Prefix()+"process", e.Topic("inbox"))
	return s, nil
}

// end stops what startSweeping started, as far as it came.
func (s *sweeping) end() error {
	var errs []error
	if s.admin != nil {
		s.admin.Close()
	}
	if s.publisher != nil {
		errs = append(errs, s.publisher.stop())
	}
	if s.api != nil {
		errs = append(errs, s.api.stop())
	}
	return errors.Join(errs...)
}

// sweptAccount is the one whose past is swept.
func sweptAccount() string { return scrsim.ExampleAccounts("")[0].ClientID }

// summary is what `bridge backfill --json` says in the end.
type summary struct {
	Cases    int64 `json:"cases"`
	Requests int64 `json:"requests"`
}

// backfill is a running `bridge backfill`.
type backfill struct {
	*process
	summary chan summary
}

// startBackfill starts one over the whole of a history.
func (s *sweeping) startBackfill(ctx context.Context, h scrsim.History) (*backfill, error) {
	path, err := s.env.Bridge(ctx)
	if err != nil {
		return nil, err
	}
	b := &backfill{summary: make(chan summary, 1)}
	b.process, err = startProcess(ctx, append(s.env.kafkaVariables(s.kafka), s.environ...), document(b.summary), path, "backfill",
		"--account", h.ClientID, "--from", h.From.Format(time.RFC3339), "--until", h.Until.Format(time.RFC3339), "--json")
	return b, err
}

// memory is what a backfill has resident while it runs.
func (b *backfill) memory() (megabytes float64, ok bool) {
	select {
	case <-b.ended:
		return 0, false
	default:
	}
	// One that ends this moment has none any more.
	memory, err := memoryOf(b.cmd.Process.Pid)
	return float64(memory["VmRSS"]) / 1e6, err == nil
}

// failed gives the error with which a backfill has ended, nil while it runs.
func (b *backfill) failed() error {
	select {
	case <-b.ended:
		if b.err != nil {
			return fmt.Errorf("backfill: %w: %s", b.err, b.tail)
		}
	default:
	}
	return nil
}

// kill ends a backfill in the midst of whatever it does.
func (b *backfill) kill() error {
	select {
	case <-b.ended:
		return errors.Join(fmt.Errorf("backfill ended before it was killed: %s", b.tail), b.err)
	default:
	}
	if err := b.cmd.Process.Kill(); err != nil {
		return fmt.Errorf("kill backfill: %w", err)
	}
	<-b.ended
	return nil
}

// swept is what a backfill came to.
type swept struct {
	took       time.Duration // from the start of the process to the last event
	hundredths []time.Time   // when each whole hundredth of the events was committed
	resident   []float64     // MB of the backfill, at even times from the first event to its end
	summary    summary
}

// perRequest is how many cases a list held.
func (r *swept) perRequest() float64 { return float64(r.summary.Cases) / float64(r.summary.Requests) }

// lookInterval is how often the processes are asked how far they are.
const lookInterval = 100 * time.Millisecond

// run starts a backfill and waits until the publisher has committed n events
// since it had committed before.
func (s *sweeping) run(ctx context.Context, h scrsim.History, before, n int64) (r swept, err error) {
	began := time.Now()
	b, err := s.startBackfill(ctx, h)
	if err != nil {
		return r, err
	}
	defer func() {
		if err != nil {
			_ = b.kill() // the first error says more
		}
	}()
	tick := time.NewTicker(lookInterval)
	defer tick.Stop()
	for last, moved := int64(0), began; last < n; {
		events, err := s.publisher.events(ctx)
		if err != nil {
			return r, err
		}
		if events -= before; events > last {
			last, moved = events, time.Now()
		}
		for int64(len(r.hundredths)) < min(100*last/n, 100) {
			r.hundredths = append(r.hundredths, time.Now())
		}
		if err := b.failed(); err != nil {
			return r, err
		}
		if megabytes, ok := b.memory(); ok && last > 0 {
			r.resident = append(r.resident, megabytes)
		}
		if time.Since(moved) > time.Minute {
			return r, fmt.Errorf("%w: %d of %d events: %s", errStalled, last, n, b.tail)
		}
		select {
		case <-ctx.Done():
			return r, context.Cause(ctx)
		case <-tick.C:
		}
	}
	r.took = r.hundredths[99].Sub(began)
	r.summary, err = b.wait(ctx)
	return r, err
}

// wait waits for the end of a backfill whose events are all there.
func (b *backfill) wait(ctx context.Context) (s summary, err error) {
	select {
	case <-b.ended:
	case <-time.After(stopLimit):
		return s, fmt.Errorf("backfill: not at its end within %v of the last event: %s", stopLimit, b.tail)
	case <-ctx.Done():
		return s, context.Cause(ctx)
	}
	if err := b.failed(); err != nil {
		return s, err
	}
	select {
	case s = <-b.summary:
		return s, nil
	default:
		return s, fmt.Errorf("backfill: no summary: %s", b.tail)
	}
}

// interrupt starts a backfill so many times and kills each as it has come another
// equal part further, so that one more run has the last part left.
func (s *sweeping) interrupt(ctx context.Context, h scrsim.History, times int) error {
	written := func() (int64, error) {
		backlog, err := s.backlog(ctx)
		return backlog.Written, err
	}
	before, err := written()
	if err != nil {
		return err
	}
	for i := range times {
		b, err := s.startBackfill(ctx, h)
		if err != nil {
			return err
		}
		part := int64(h.Cases) * int64(i+1) / int64(times+1)
		err = eventually(ctx, 10*time.Millisecond, func() (bool, error) {
			select {
			case <-b.ended:
				return true, nil // kill says so
			default:
			}
			n, err := written()
			return n-before >= part, err
		})
		if err = errors.Join(err, b.kill()); err != nil {
			return err
		}
		s.env.Logf("killed the backfill with %d of %d triggers written", part, h.Cases)
	}
	return nil
}

// settle waits until nothing is left in the inbox.
func (s *sweeping) settle(ctx context.Context) error {
	return eventually(ctx, lookInterval, func() (bool, error) {
		b, err := s.backlog(ctx)
		return b.Done == b.Written, err
	})
}

// eventually asks until the answer is yes.
func eventually(ctx context.Context, every time.Duration, ask func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if yes, err := ask(); yes || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// events is how many events the bridge has committed, by its own metrics.
func (b *bridge) events(ctx context.Context) (int64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.admin+"/metrics", http.NoBody)
	if err != nil {
		return 0, fmt.Errorf("read metrics: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, fmt.Errorf("read metrics: %w", err)
	}
	defer func() { _ = resp.Body.Close() }() // only read from
	return sumOfMetric(resp.Body, "postident_events_published_total")
}

// sumOfMetric adds a counter up over its labels. One that is not there has not
// counted yet.
func sumOfMetric(text io.Reader, name string) (int64, error) {
	sum := int64(0)
	lines := bufio.NewScanner(text)
	for lines.Scan() {
		rest, ok := strings.CutPrefix(lines.Text(), name)
		if !ok || rest == "" || rest[0] != '{' && rest[0] != ' ' {
			continue
		}
		value, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
		if err != nil {
			return 0, fmt.Errorf("read metrics: %s: %w", name, err)
		}
		sum += int64(value)
	}
	if err := lines.Err(); err != nil {
		return 0, fmt.Errorf("read metrics: %w", err)
	}
	return sum, nil
}
