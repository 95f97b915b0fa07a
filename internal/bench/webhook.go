package bench

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"postident-bridge/internal/testbed"
	"postident-bridge/schemas"
)

// webhookFigure measures how many webhooks a second are accepted, and how long
// it takes at half of that, against a handler that only produces.
func webhookFigure() Figure {
	return Figure{
		Name:  "webhook",
		About: "webhooks accepted, against a bare net/http handler with ProduceSync",
		Run:   measureWebhook,
	}
}

// The account of the benchmark's webhooks.
const (
	hookClientID = "BENCH01"
	hookUsername = "webhooks"
	hookPassword = "of-no-use-elsewhere" //nolint:gosec // of an account that lives as long as the benchmark
)

// webhookPlan says how long what is measured.
type webhookPlan struct {
	conns                      []int // of the closed loop; the open one uses the last
	warmupRounds               int   // first ones that are not counted: the broker compiles itself meanwhile
	closedRounds, openRounds   int
	warmup, closedFor, openFor time.Duration
}

func planWebhook(quick bool) webhookPlan {
	if quick {
		return webhookPlan{[]int{2, 4}, 0, 1, 1, 100 * time.Millisecond, 300 * time.Millisecond, 300 * time.Millisecond}
	}
	return webhookPlan{[]int{64, 256}, 4, 12, 4, 300 * time.Millisecond, 1500 * time.Millisecond, 3 * time.Second}
}

// duel is the two that are compared, at the same requests.
type duel struct {
	ours, bare string // addresses
	requests   [][]byte
	plan       webhookPlan
}

func measureWebhook(ctx context.Context, env *Env) (rows []Row, err error) {
	kafka, err := env.Kafka(ctx, 1)
	if err != nil {
		return nil, err
	}
	if err := env.ApplyTopics(ctx, kafka, 12); err != nil {
		return nil, err
	}
	ours, err := env.startBridge(ctx, kafka, []string{
		"BRIDGE_ACCOUNT_1_CLIENT_ID=" + hookClientID,
		"BRIDGE_ACCOUNT_1_WEBHOOK_USERNAME=" + hookUsername,
		"BRIDGE_ACCOUNT_1_WEBHOOK_PASSWORD=" + hookPassword,
		// The sender's three, and where the load comes from.
		"BRIDGE_WEBHOOK_ALLOWED_IPS=165.72.200.13,199.40.127.49,156.137.9.65,127.0.0.1",
	}, "--roles", "webhook")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, ours.stop()) }()
	bare, address, err := env.startBare(ctx, kafka)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, bare.stop()) }()
	d := duel{ours: ours.webhook, bare: address, requests: webhookRequests(), plan: planWebhook(env.Quick())}
	var peak float64
	for _, conns := range d.plan.conns {
		row, err := d.accepts(ctx, env, conns)
		if err != nil {
			return rows, err
		}
		rows, peak = append(rows, row), row.Ours
	}
	row, err := d.latency(ctx, env, peak/2)
	if err != nil {
		return rows, err
	}
	return append(rows, row), nil
}

// startBare starts the limit, whose records go to the inbox as ours do: nobody
// reads it.
func (e *Env) startBare(ctx context.Context, kafka *testbed.Kafka) (*process, string, error) {
	path, err := e.build(ctx, "internal/bench/barehandler")
	if err != nil {
		return nil, "", err
	}
	reference := "R0000000000000"
	trigger, err := schemas.EncodeTrigger(schemas.Trigger{
		ClientID: hookClientID, CaseID: hookCaseID(0), ReferenceID: &reference,
		Source: schemas.SourceWebhook, ReceivedAt: time.Now(),
	})
	if err != nil {
		return nil, "", err
	}
	where := make(chan string, 1)
	p, err := startProcess(ctx, nil, func(line string) {
		select {
		case where <- line:
		default:
		}
	}, path, "-brokers", kafka.Bootstrap, "-topic", e.Topic("inbox"), "-size", fmt.Sprint(len(trigger)))
	if err != nil {
		return nil, "", err
	}
	address, err := await(ctx, p, "its address", where)
	if err != nil {
		_ = p.stop() // the first error says more
		return nil, "", err
	}
	return p, address, nil
}

// webhookRequests are enough of them to spread over all partitions.
func webhookRequests() [][]byte {
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same in every run
	authorization := base64.StdEncoding.EncodeToString([]byte(hookUsername + ":" + hookPassword))
	requests := make([][]byte, 4096)
	for i := range requests {
		body := fmt.Sprintf(`{"caseId":%q,"referenceId":"R%013d"}`, hookCaseID(random.Uint64()), i)
		requests[i] = []byte("POST /webhooks/" + hookClientID + " HTTP/1.1\r\nHost: bridge.example\r\n" +
			"User-Agent: Apache-HttpClient\r\nAccept: */*\r\nContent-Type: application/json\r\n" +
			"Authorization: Basic " + authorization + "\r\n" +
			fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body))
	}
	return requests
}

// hookCaseID is 12 characters, as every sample's.
func hookCaseID(n uint64) string {
	return strings.ToUpper(fmt.Sprintf("%012x", n&(1<<48-1)))
}

// accepts measures both in turn, and who begins changes, so that a drift of the
// machine meets both.
func (d duel) accepts(ctx context.Context, env *Env, conns int) (Row, error) {
	l := load{requests: d.requests, conns: conns, warmup: d.plan.warmup, duration: d.plan.closedFor}
	rates := map[string][]float64{}
	for round := range d.plan.warmupRounds + d.plan.closedRounds {
		for _, addr := range d.order(round) {
			l.addr = addr
			rate, err := l.closed(ctx)
			if err != nil {
				return Row{}, err
			}
			rates[addr] = append(rates[addr], rate)
		}
		env.Logf("%d connections, round %d: %.0f accepts/s, bare %.0f", conns, round+1,
			rates[d.ours][round], rates[d.bare][round])
	}
	ours, bare := rates[d.ours][d.plan.warmupRounds:], rates[d.bare][d.plan.warmupRounds:]
	return Row{
		Name: fmt.Sprintf("webhook accepts, %d connections", conns),
		Ours: median(ours), Limit: median(bare), Unit: "accepts/s", Bar: Bar{AtLeast: 0.9},
		Note: fmt.Sprintf("medians of %d rounds in turn; ours %.0f to %.0f, bare %.0f to %.0f", len(ours),
			slices.Min(ours), slices.Max(ours), slices.Min(bare), slices.Max(bare)),
	}, nil
}

// latency measures both at the same rate.
func (d duel) latency(ctx context.Context, env *Env, rate float64) (Row, error) {
	conns := d.plan.conns[len(d.plan.conns)-1]
	l := load{requests: d.requests, conns: conns, warmup: d.plan.warmup, duration: d.plan.openFor}
	all, p99 := map[string][]time.Duration{}, map[string][]float64{}
	for round := range d.plan.openRounds {
		for _, addr := range d.order(round) {
			l.addr = addr
			latencies, err := l.open(ctx, rate)
			if err != nil {
				return Row{}, err
			}
			p99[addr] = append(p99[addr], milliseconds(quantile(latencies, 0.99)))
			all[addr] = append(all[addr], latencies...)
		}
		env.Logf("%.0f webhooks/s, round %d: p99 %.1f ms, bare %.1f ms", rate, round+1, p99[d.ours][round], p99[d.bare][round])
	}
	ours, bare := p99[d.ours], p99[d.bare]
	return Row{
		Name: "webhook accept p99 at half of the peak",
		Ours: median(ours), Limit: median(bare), Unit: "ms", Bar: Bar{AtMost: 1.5},
		Note: fmt.Sprintf("medians of %d rounds in turn, %.0f webhooks/s from when each was due; ours %.1f to %.1f ms (p50 %.1f), bare %.1f to %.1f ms (p50 %.1f)",
			len(ours), rate, slices.Min(ours), slices.Max(ours), milliseconds(quantile(all[d.ours], 0.5)),
			slices.Min(bare), slices.Max(bare), milliseconds(quantile(all[d.bare], 0.5))),
	}, nil
}

// order is who is measured first in a round.
func (d duel) order(round int) []string {
	if round%2 == 0 {
		return []string{d.ours, d.bare}
	}
	return []string{d.bare, d.ours}
}
