package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/internal/scr"
	"postident-bridge/internal/scrsim"
	"postident-bridge/internal/testbed"
)

// backfillFigure measures how fast `bridge backfill` brings the past of an account
// in, and whether its memory stays what it was.
func backfillFigure() Figure {
	return Figure{
		Name:  "backfill",
		About: "events of `bridge backfill` of 1,000,000 cases, against parsing the same answers and producing",
		Run:   measureBackfill,
	}
}

type backfillPlan struct {
	warmup int // cases of a backfill that is not counted: the broker compiles itself meanwhile
	cases  int // of the one that is measured, and of the one that is interrupted
	kills  int
}

func planBackfill(quick bool) backfillPlan {
	if quick {
		return backfillPlan{warmup: 100, cases: 16_000, kills: 3}
	}
	return backfillPlan{warmup: 100_000, cases: 1_000_000, kills: 3}
}

func measureBackfill(ctx context.Context, env *Env) (rows []Row, err error) {
	plan := planBackfill(env.Quick())
	kafka, err := env.Kafka(ctx, 1)
	if err != nil {
		return nil, err
	}
	if err := env.ApplyTopics(ctx, kafka, publishPartitions); err != nil {
		return nil, err
	}
	s, err := env.startSweeping(ctx, kafka, rsaBits)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	histories := pastOf(time.Now(), plan.warmup, plan.cases, plan.cases)
	for _, h := range histories {
		if err := s.api.addHistory(ctx, h); err != nil {
			return nil, err
		}
	}
	ours, err := s.backfillAll(ctx, plan, histories)
	if err != nil {
		return nil, err
	}
	sample, err := env.judgeEvents(ctx, kafka, plan.warmup+2*plan.cases)
	if err != nil {
		return nil, err
	}
	// Idle, it would still send heartbeats on the cores of the floor.
	err = s.publisher.stop()
	s.publisher = nil
	if err != nil {
		return nil, err
	}
	limit, err := s.floor(ctx, histories[1], ours.perRequest(), sample)
	if err != nil {
		return nil, err
	}
	env.Logf("%.0f events/s without logic", limit)
	return backfillRows(plan, ours, limit)
}

// backfillAll does the backfills of a plan, each of a history of its own: one that
// is not counted, the one that it gives, and one that is interrupted.
func (s *sweeping) backfillAll(ctx context.Context, plan backfillPlan, histories []scrsim.History) (ours swept, err error) {
	warmup, whole, interrupted := histories[0], histories[1], histories[2]
	if _, err := s.run(ctx, warmup, 0, int64(plan.warmup)); err != nil {
		return ours, err
	}
	before := int64(plan.warmup)
	if ours, err = s.run(ctx, whole, before, int64(plan.cases)); err != nil {
		return ours, err
	}
	s.env.Logf("%d events in %v, %.0f cases a request", plan.cases, ours.took.Round(time.Second/10), ours.perRequest())
	if err := s.interrupt(ctx, interrupted, plan.kills); err != nil {
		return ours, err
	}
	before += int64(plan.cases)
	if _, err := s.run(ctx, interrupted, before, int64(plan.cases)); err != nil {
		return ours, err
	}
	if err := s.settle(ctx); err != nil {
		return ours, fmt.Errorf("wait for an empty inbox: %w", err)
	}
	return ours, nil
}

func backfillRows(plan backfillPlan, ours swept, limit float64) ([]Row, error) {
	first, last, err := tenths(ours.resident)
	if err != nil {
		return nil, err
	}
	return []Row{{
		Name: fmt.Sprintf("backfill of %s cases", grouped(fmt.Sprint(plan.cases))),
		Ours: float64(plan.cases) / ours.took.Seconds(), Limit: limit, Unit: "events/s", Bar: Bar{AtLeast: 0.5},
		Note: fmt.Sprintf("from the start of the process to the last event, %v; RSA-%d, %.0f cases a request; limit: one client that reads the same lists and produces as many events; as many cases again, interrupted by kill -9 %d times, gave one event each",
			ours.took.Round(time.Second/10), rsaBits, ours.perRequest(), plan.kills),
	}, {
		Name: "memory of that backfill, last tenth", Ours: last, Limit: first, Unit: "MB", Bar: Bar{AtLeast: 0.8, AtMost: 1.2},
		Note: fmt.Sprintf("medians of VmRSS, limit: the first tenth; %.1f to %.1f MB in all", slices.Min(ours.resident), slices.Max(ours.resident)),
	}}, nil
}

// pastOf lays histories of so many cases one before the other, with a case or two
// in a second. An hour lies between them: a list may show what is a second outside
// of its window.
func pastOf(now time.Time, cases ...int) []scrsim.History {
	const every = 864 * time.Millisecond // 100,000 a day
	histories := make([]scrsim.History, len(cases))
	until := now.UTC().Truncate(time.Second)
	for i, n := range cases {
		until = until.Add(-time.Hour)
		from := until.Add(-time.Duration(n) * every).Truncate(time.Second)
		histories[i] = scrsim.History{ClientID: sweptAccount(), Cases: n, From: from, Until: until}
		until = from
	}
	return histories
}

// tenths gives the medians of the first and of the last tenth of the values.
func tenths(values []float64) (first, last float64, err error) {
	n := len(values) / 10
	if n == 0 {
		return 0, 0, fmt.Errorf("only %d samples of memory", len(values))
	}
	return median(values[:n]), median(values[len(values)-n:]), nil
}

// judgeEvents reads status.v1 to its end. Every event must be the only one of its
// case, and there must be as many as there are cases. It gives some of the events.
func (e *Env) judgeEvents(ctx context.Context, kafka *testbed.Kafka, cases int) (sample []*kgo.Record, err error) {
	const enough = 10_000
	seen := make(map[string]struct{}, cases)
	doubled := 0
	err = e.readToEnd(ctx, kafka, e.Topic("status.v1"), func(rec *kgo.Record) {
		caseID := string(rec.Key)
		if _, again := seen[caseID]; again {
			doubled++
		}
		seen[caseID] = struct{}{}
		if len(sample) < enough {
			sample = append(sample, bareRecord(rec))
		}
	})
	if err != nil {
		return nil, err
	}
	if doubled > 0 || len(seen) != cases {
		return nil, fmt.Errorf("events of a backfill: %d of %d cases have one, %d events are one too many", len(seen), cases, doubled)
	}
	return sample, nil
}

// readToEnd gives the committed records that a topic holds now.
func (e *Env) readToEnd(ctx context.Context, kafka *testbed.Kafka, topic string, each func(*kgo.Record)) error {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(kafka.Seeds()...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // one of them is the last record of each partition
	)
	if err != nil {
		return fmt.Errorf("make kafka client: %w", err)
	}
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(ctx, topic)
	if err = errors.Join(err, ends.Error()); err != nil {
		return fmt.Errorf("ask for the end of %s: %w", topic, err)
	}
	left := make(map[int32]int64)
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[o.Partition] = o.Offset
		}
	})
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("read %s: %w", topic, err)
		}
		fetches.EachRecord(func(rec *kgo.Record) {
			if !rec.Attrs.IsControl() {
				each(rec)
			}
			if rec.Offset+1 >= left[rec.Partition] {
				delete(left, rec.Partition)
			}
		})
	}
	return nil
}

// floor does what no backfill can do without: it asks for the lists of a history
// with the same client, in windows as wide, and produces an event for each case.
// It keeps no trigger and no state, and compares nothing. The events are the
// sample's in turn, for another case each.
func (s *sweeping) floor(ctx context.Context, h scrsim.History, perRequest float64, sample []*kgo.Record) (rate float64, err error) {
	topic := s.env.Topic("bare-status")
	resp, err := s.admin.CreateTopic(ctx, publishPartitions, 1, nil, topic)
	if err = errors.Join(err, resp.Err); err != nil {
		return 0, fmt.Errorf("create topic: %w", err)
	}
	began := time.Now()
	lists, err := s.lists()
	if err != nil {
		return 0, err
	}
	defer lists.CloseIdleConnections()
	producer, err := kgo.NewClient(
		kgo.SeedBrokers(s.kafka.Seeds()...), kgo.DefaultProduceTopic(topic), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
	)
	if err != nil {
		return 0, fmt.Errorf("make kafka client: %w", err)
	}
	defer producer.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	promise := func(_ *kgo.Record, err error) {
		if err != nil {
			cancel(fmt.Errorf("produce: %w", err))
		}
	}
	n := 0
	width := time.Duration(float64(h.Until.Sub(h.From)) * perRequest / float64(h.Cases)).Truncate(time.Second)
	for from := h.From; from.Before(h.Until); from = from.Add(width) {
		until := from.Add(width)
		if until.After(h.Until) {
			until = h.Until
		}
		f := scr.Filter{New: true, InProgress: true, Closed: true, Archived: true, CreatedFrom: from, CreatedUntil: until}
		page, err := lists.Cases(ctx, f, func(l scr.Listed) {
			event := sample[n%len(sample)]
			producer.Produce(ctx, &kgo.Record{Key: []byte(l.CaseID), Value: event.Value, Headers: event.Headers}, promise)
			n++
		})
		if err != nil {
			return 0, errors.Join(fmt.Errorf("list cases: %w", err), context.Cause(ctx))
		}
		if page.Partial {
			return 0, fmt.Errorf("list cases: %d in a window, some are missing", page.Entries)
		}
	}
	if err := producer.Flush(ctx); err != nil {
		return 0, errors.Join(fmt.Errorf("flush: %w", err), context.Cause(ctx))
	}
	if err := context.Cause(ctx); err != nil {
		return 0, err
	}
	if n != h.Cases {
		return 0, fmt.Errorf("listed %d cases of %d", n, h.Cases)
	}
	return float64(n) / time.Since(began).Seconds(), nil
}

// lists is a client as the backfill has it.
func (s *sweeping) lists() (*scr.Client, error) {
	key, err := scr.NewKey(rsaBits)
	if err != nil {
		return nil, err
	}
	account := scrsim.ExampleAccounts("")[0]
	credential := account.Credentials[0]
	client, err := scr.NewClient(scr.ClientConfig{
		BaseURL: s.api.base, ClientID: account.ClientID, Username: credential.Username, Password: credential.Password,
		DataPassword: credential.DataPassword, Access: scr.AccessClient, Key: key,
	})
	if err != nil {
		return nil, fmt.Errorf("make client: %w", err)
	}
	return client, nil
}
