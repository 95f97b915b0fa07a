package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	runtimemetrics "runtime/metrics"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/metric/noop"

	"postident-bridge/internal/scr"
	"postident-bridge/internal/testbed"
	"postident-bridge/publish"
	"postident-bridge/schemas"
)

// restoreFigure measures how long a process that takes over every partition
// reads before it works, and what the cases cost in its heap.
func restoreFigure() Figure {
	return Figure{
		Name:  "restore",
		About: "1,000,000 cases restored from case-state, all partitions in one process",
		Run: func(ctx context.Context, env *Env) ([]Row, error) {
			cases := 1_000_000
			if env.Quick() {
				cases = 2_000
			}
			return measureRestore(ctx, env, cases, 4)
		},
	}
}

// restoreLargeFigure is restoreFigure with five times as many cases.
func restoreLargeFigure() Figure {
	return Figure{
		Name:  "restore5",
		About: "5,000,000 cases restored from case-state, all partitions in one process",
		Run: func(ctx context.Context, env *Env) ([]Row, error) {
			cases := 5_000_000
			if env.Quick() {
				cases = 4_000
			}
			return measureRestore(ctx, env, cases, 20)
		},
	}
}

const (
	restorePartitions = 12
	restoreRounds     = 3
	heapBar           = 200
)

func measureRestore(ctx context.Context, env *Env, cases int, bar float64) (rows []Row, err error) {
	kafka, err := env.Kafka(ctx, 1)
	if err != nil {
		return nil, err
	}
	if err := env.ApplyTopics(ctx, kafka, restorePartitions); err != nil {
		return nil, err
	}
	if err := keepUncompacted(ctx, kafka, env.Topic("case-state")); err != nil {
		return nil, err
	}
	if err := kafka.Stop(ctx, 1); err != nil {
		return nil, err
	}
	began := time.Now()
	size, err := stateLog{
		cases: cases, partitions: restorePartitions, dir: filepath.Join(kafka.Dir, "broker-1", "data"), topic: env.Topic("case-state"),
	}.write(ctx)
	if err != nil {
		return nil, err
	}
	env.Logf("wrote %d MB in %v", size>>20, time.Since(began).Round(time.Second/10))
	began = time.Now()
	if err := kafka.Start(ctx, 1); err != nil {
		return nil, err
	}
	env.Logf("broker took them in, in %v", time.Since(began).Round(time.Second/10))
	var took, heap []float64
	for range restoreRounds {
		r, err := restoreOnce(ctx, env, kafka, cases)
		if err != nil {
			return nil, err
		}
		took, heap = append(took, r.took.Seconds()), append(heap, r.heapPerCase)
		env.Logf("restored %d cases in %v, %.0f bytes of heap a case", cases, r.took.Round(time.Millisecond), r.heapPerCase)
	}
	return []Row{
		{Name: fmt.Sprintf("restore of %s cases", grouped(fmt.Sprint(cases))), Ours: median(took), Unit: "s", Bar: Bar{AtMost: bar}},
		{Name: fmt.Sprintf("heap a case, of %s", grouped(fmt.Sprint(cases))), Ours: median(heap), Unit: "B", Bar: Bar{AtMost: heapBar}},
	}, nil
}

// keepUncompacted keeps the broker from compacting what is written at once. It
// would begin 15 s after its start and take one of the two cores for minutes, in
// the midst of what is measured; in production the log comes to be over months.
// What is read is the longer for it.
func keepUncompacted(ctx context.Context, kafka *testbed.Kafka, topic string) error {
	admin, err := kadm.NewOptClient(kgo.SeedBrokers(kafka.Seeds()...))
	if err != nil {
		return fmt.Errorf("make kafka client: %w", err)
	}
	defer admin.Close()
	week := strconv.FormatInt((7 * 24 * time.Hour).Milliseconds(), 10) // more than the log spans
	answers, err := admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Name: "min.compaction.lag.ms", Value: &week}}, topic)
	if err != nil {
		return fmt.Errorf("put off compaction: %w", err)
	}
	for _, a := range answers {
		if a.Err != nil {
			return fmt.Errorf("put off compaction of %s: %w", a.Name, a.Err)
		}
	}
	return nil
}

type restored struct {
	took        time.Duration
	heapPerCase float64
}

// restoreOnce starts a publisher, waits until it works on all partitions, and
// stops it.
func restoreOnce(ctx context.Context, env *Env, kafka *testbed.Kafka, cases int) (r restored, err error) {
	takenOver := make(chan int64, restorePartitions)
	p, err := publish.New(publish.Config{
		Kafka: []kgo.Opt{kgo.SeedBrokers(kafka.Seeds()...)},
		Topics: publish.Topics{
			Inbox: env.Topic("inbox"), CaseState: env.Topic("case-state"), Status: env.Topic("status.v1"), DeadLetter: env.Topic("dead-letter"),
		},
		Prefix:  env.Prefix(),
		Encoder: schemas.NewSingleObjectStatusEncoder(),
		Accounts: []publish.Account{{
			ClientID: restoreClient, RegulatoryClass: schemas.RegulatoryClassGwG,
			Read: func(context.Context, string) (scr.Case, error) { return scr.Case{}, errors.New("nothing is read") },
		}},
		Logger: slog.New(&takeOvers{Handler: slog.DiscardHandler, cases: takenOver}),
		Meter:  noop.NewMeterProvider().Meter(""),
	})
	if err != nil {
		return r, fmt.Errorf("make publisher: %w", err)
	}
	before := liveHeap()
	running, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 1)
	began := time.Now()
	go func() { ended <- p.Run(running) }()
	total := 0
	for range restorePartitions {
		select {
		case n := <-takenOver:
			total += int(n)
		case err := <-ended:
			return r, fmt.Errorf("restore: publisher ended: %w", err)
		case <-time.After(5 * time.Minute):
			return r, errors.New("restore: not done in time")
		}
	}
	r.took = time.Since(began)
	r.heapPerCase = float64(liveHeap()-before) / float64(cases)
	stop()
	if err := <-ended; err != nil {
		return r, fmt.Errorf("stop publisher: %w", err)
	}
	if total != cases {
		return r, fmt.Errorf("restored %d cases, want %d", total, cases)
	}
	return r, nil
}

// takeOvers hears of each partition that is taken over, and of its cases.
type takeOvers struct {
	slog.Handler

	cases chan<- int64
}

// Enabled is slog.Handler's.
func (*takeOvers) Enabled(context.Context, slog.Level) bool { return true }

// Handle is slog.Handler's.
func (h *takeOvers) Handle(_ context.Context, rec slog.Record) error {
	if rec.Message != "partition taken over" {
		return nil
	}
	rec.Attrs(func(a slog.Attr) bool {
		if a.Key == "cases" {
			h.cases <- a.Value.Int64()
		}
		return true
	})
	return nil
}

// WithAttrs is slog.Handler's.
func (h *takeOvers) WithAttrs([]slog.Attr) slog.Handler { return h }

// WithGroup is slog.Handler's.
func (h *takeOvers) WithGroup(string) slog.Handler { return h }

// liveHeap is what is in use after a collection.
func liveHeap() int64 {
	runtime.GC()
	runtime.GC() // what the first one finalized
	sample := []runtimemetrics.Sample{{Name: "/gc/heap/live:bytes"}}
	runtimemetrics.Read(sample)
	return int64(sample[0].Value.Uint64()) //nolint:gosec // a heap
}
