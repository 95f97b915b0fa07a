package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/internal/scr"
	"postident-bridge/internal/scrsim"
	"postident-bridge/internal/testbed"
)

// latencyFigure measures the whole way: from the moment at which the sender
// begins to send a webhook to the moment at which a consumer that reads
// committed records has the event.
func latencyFigure() Figure {
	return Figure{
		Name:  "latency",
		About: "webhook in to event visible, read-committed, one broker",
		Run: func(ctx context.Context, env *Env) ([]Row, error) {
			return measureLatency(ctx, env, 1, Bar{AtMost: 60}, Bar{AtMost: 250})
		},
	}
}

// latency3Figure is latencyFigure on a cluster of three.
func latency3Figure() Figure {
	return Figure{
		Name:  "latency-3",
		About: "webhook in to event visible, read-committed, three brokers on the same cores",
		Run: func(ctx context.Context, env *Env) ([]Row, error) {
			return measureLatency(ctx, env, 3, Bar{AtMost: 200}, Bar{AtMost: 600})
		},
	}
}

// latencyPlan is how many webhooks are sent.
type latencyPlan struct {
	rate             float64       // webhooks a second
	warmup, duration time.Duration // the webhooks of the warm-up are not counted
	between          time.Duration // between the two changes of a case
	drain            time.Duration // the longest wait for the last event
}

// planLatency warms three brokers up for longer than one: until they have
// compiled themselves they take both cores, in turn with what is measured.
func planLatency(quick bool, brokers int) latencyPlan {
	if quick {
		return latencyPlan{10, 200 * time.Millisecond, time.Second, 1500 * time.Millisecond, time.Minute}
	}
	warmup := 10 * time.Second
	if brokers > 1 {
		warmup = time.Minute
	}
	return latencyPlan{50, warmup, 60 * time.Second, 5 * time.Second, 30 * time.Second}
}

func measureLatency(ctx context.Context, env *Env, brokers int, p50, p99 Bar) ([]Row, error) {
	kafka, err := env.Kafka(ctx, brokers)
	if err != nil {
		return nil, err
	}
	if err := env.ApplyTopics(ctx, kafka, 12); err != nil {
		return nil, err
	}
	plan := planLatency(env.Quick(), brokers)
	trips, err := env.sendAndRead(ctx, kafka, plan)
	if err != nil {
		return nil, err
	}
	took, err := trips.counted()
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("webhook to event, %.0f/s, brokers: %d", plan.rate, brokers)
	note := fmt.Sprintf("%d webhooks in %v after %v of warm-up; p90 %.0f ms, longest %.0f ms",
		len(took), plan.duration, plan.warmup, milliseconds(quantile(took, 0.9)), milliseconds(quantile(took, 1)))
	return []Row{
		{Name: name + ", p50", Ours: milliseconds(quantile(took, 0.5)), Unit: "ms", Bar: p50, Note: note},
		{Name: name + ", p99", Ours: milliseconds(quantile(took, 0.99)), Unit: "ms", Bar: p99},
	}, nil
}

// sendAndRead runs the bridge between a simulator that sends and a consumer.
func (e *Env) sendAndRead(ctx context.Context, kafka *testbed.Kafka, plan latencyPlan) (trips *trips, err error) {
	// The bridge must know where the API is, and the simulator where the bridge
	// takes webhooks: the API's port is taken first.
	var conf net.ListenConfig
	listener, err := conf.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for the simulated api: %w", err)
	}
	api := "http://" + listener.Addr().String()
	bridge, err := e.startBridge(ctx, kafka, accountVariables(api, scrsim.ExampleAccounts("http://the-bridge")))
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	defer func() { err = errors.Join(err, bridge.stop()) }()

	trips = newTrips()
	accounts := scrsim.ExampleAccounts("http://" + bridge.webhook)
	sim, err := scrsim.New(scrsim.Config{Accounts: accounts, Seed: 1, HookTransport: &stamping{
		RoundTripper: &http.Transport{MaxIdleConnsPerHost: 64}, trips: trips,
	}})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make simulator: %w", err), listener.Close())
	}
	consumer, err := kgo.NewClient(
		kgo.SeedBrokers(kafka.Seeds()...),
		kgo.ConsumeTopics(e.Topic("status.v1")),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
	)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("make consumer: %w", err), listener.Close())
	}
	defer consumer.Close()

	ctx, end := context.WithCancelCause(ctx)
	var parts sync.WaitGroup
	defer parts.Wait()
	server := &http.Server{Handler: sim.Handler(), ReadHeaderTimeout: 5 * time.Second}
	parts.Go(func() { _ = server.Serve(listener) }) // it ends with the server; what fails shows as events that do not come
	parts.Go(func() { _ = sim.Run(ctx) })
	parts.Go(func() {
		if err := trips.read(ctx, consumer); err != nil {
			end(err)
		}
	})
	defer func() { _ = server.Close() }()
	defer end(nil)
	if err := send(ctx, sim, accounts, plan, trips); err != nil {
		return nil, err
	}
	e.Logf("all webhooks are sent")
	return trips, trips.await(ctx, plan.drain)
}

// send lets cases begin and end so that webhooks go out at the plan's rate: half
// of them for the first change of a case, half for its second and last.
func send(ctx context.Context, sim *scrsim.Simulator, accounts []scrsim.Account, plan latencyPlan, t *trips) error {
	total := int(plan.rate * (plan.warmup + plan.duration).Seconds())
	lag := max(int(plan.rate*plan.between.Seconds()), 1) // changes between the two of a case
	start := time.Now()
	t.countFrom(start.Add(plan.warmup))
	ids := make([]string, 0, total)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for i, begun := 0, 0; i < total; i++ {
		due := start.Add(time.Duration(float64(i) / plan.rate * float64(time.Second)))
		if err := awaitTime(ctx, timer, due); err != nil {
			return context.Cause(ctx)
		}
		var id string
		if i%2 == 1 && i >= lag {
			id = ids[(i-lag)/2]
		} else {
			c, err := sim.Create(scrsim.NewCase{
				ClientID: accounts[begun%len(accounts)].ClientID,
				Plan: &scrsim.Plan{Steps: []scrsim.Step{
					{Method: scr.MethodVideo, Status: "review pending"},
					{Method: scr.MethodVideo, Status: "success"},
				}},
			})
			if err != nil {
				return fmt.Errorf("create case: %w", err)
			}
			id = c.CaseID
			ids = append(ids, id)
			begun++
		}
		advanced, err := sim.Advance(id)
		if err != nil {
			return fmt.Errorf("change case: %w", err)
		}
		if !advanced.Hooked {
			return fmt.Errorf("change case: %s sends no webhook", advanced.Change.Status)
		}
		t.due()
	}
	return nil
}

// stamping notes when webhooks are sent.
type stamping struct {
	http.RoundTripper
	trips *trips
}

// RoundTrip sends one attempt.
func (s *stamping) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := r.GetBody()
	if err != nil {
		return nil, err
	}
	var hook struct {
		CaseID string `json:"caseId"`
	}
	raw, err := io.ReadAll(body)
	if err = errors.Join(err, json.Unmarshal(raw, &hook)); err != nil {
		return nil, err
	}
	s.trips.sending(hook.CaseID, time.Now())
	resp, err := s.RoundTripper.RoundTrip(r)
	if err == nil && resp.StatusCode == http.StatusOK {
		s.trips.taken(hook.CaseID)
	}
	return resp, err
}

// trips are the webhooks on their way to becoming events. The n-th webhook of a
// case becomes its n-th event: a case changes again only long after.
type trips struct {
	mu            sync.Mutex // guards all below
	from          time.Time  // webhooks sent before do not count
	wanted        int        // webhooks that were due
	events        int        // that have come
	trying        map[string]time.Time
	sent, arrived map[string][]time.Time
}

func newTrips() *trips {
	return &trips{trying: make(map[string]time.Time), sent: make(map[string][]time.Time), arrived: make(map[string][]time.Time)}
}

func (t *trips) countFrom(from time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.from = from
}

func (t *trips) due() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wanted++
}

// sending notes an attempt. Of several at one webhook the first counts.
func (t *trips) sending(caseID string, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, again := t.trying[caseID]; !again {
		t.trying[caseID] = now
	}
}

// taken notes that the webhook was answered 200.
func (t *trips) taken(caseID string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sent[caseID] = append(t.sent[caseID], t.trying[caseID])
	delete(t.trying, caseID)
}

// read notes when events come, until ctx ends.
func (t *trips) read(ctx context.Context, consumer *kgo.Client) error {
	for {
		fetches := consumer.PollFetches(ctx)
		now := time.Now()
		switch err := fetches.Err(); {
		case errors.Is(err, context.Canceled):
			return nil
		case err != nil:
			return fmt.Errorf("read events: %w", err)
		}
		t.mu.Lock()
		fetches.EachRecord(func(r *kgo.Record) {
			t.arrived[string(r.Key)] = append(t.arrived[string(r.Key)], now)
			t.events++
		})
		t.mu.Unlock()
	}
}

// await returns when all events have come.
func (t *trips) await(ctx context.Context, limit time.Duration) error {
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		t.mu.Lock()
		events, wanted := t.events, t.wanted
		t.mu.Unlock()
		if events >= wanted {
			return nil
		}
		select {
		case <-tick.C:
		case <-timeout.C:
			return fmt.Errorf("wait for events: %d of %d came within %v", events, wanted, limit)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// counted gives how long each webhook took that counts.
func (t *trips) counted() ([]time.Duration, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var took []time.Duration
	for caseID, sent := range t.sent {
		arrived := t.arrived[caseID]
		if len(arrived) != len(sent) {
			return nil, fmt.Errorf("case %s: %d events of %d webhooks", caseID, len(arrived), len(sent))
		}
		for i := range sent {
			if !sent[i].Before(t.from) {
				took = append(took, arrived[i].Sub(sent[i]))
			}
		}
	}
	if len(took) == 0 {
		return nil, errors.New("no webhook counts")
	}
	return took, nil
}
