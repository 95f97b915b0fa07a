package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"postident-bridge/internal/testbed"
)

// observingFigure measures what it is worth that a list's case needs no read.
func observingFigure() Figure {
	return Figure{
		Name:  "observing",
		About: "cases published by lists of a backfill, against one read a case, both at RSA-4096",
		Run:   measureObserving,
	}
}

// largeRSABits is the largest key that the guide names: a read costs most of it.
const largeRSABits = 4096

type observingPlan struct {
	warmup, listed int // cases of the backfills; the first is not counted
	rounds, read   int // and of a round of reads, of which the first is not counted
}

func planObserving(quick bool) observingPlan {
	if quick {
		return observingPlan{warmup: 100, listed: 4_000, rounds: 2, read: 50}
	}
	return observingPlan{warmup: 100_000, listed: 200_000, rounds: 3, read: 1_000}
}

func measureObserving(ctx context.Context, env *Env) ([]Row, error) {
	plan := planObserving(env.Quick())
	kafka, err := env.Kafka(ctx, 1)
	if err != nil {
		return nil, err
	}
	if err := env.ApplyTopics(ctx, kafka, publishPartitions); err != nil {
		return nil, err
	}
	// The publishers of both have the same partitions, one after the other.
	read, err := env.readEach(ctx, kafka, plan)
	if err != nil {
		return nil, err
	}
	listed, perRequest, err := env.listMany(ctx, kafka, plan)
	if err != nil {
		return nil, err
	}
	return []Row{{
		Name: "cases published by lists, not by reads", Ours: listed, Limit: read, Unit: "cases/s", Bar: Bar{AtLeast: 20},
		Note: fmt.Sprintf("RSA-%d; `bridge backfill` of %d cases, %.0f a list, beside `bridge run`; limit: the publisher with one read a case, all cores",
			largeRSABits, plan.listed, perRequest),
	}}, nil
}

// readEach is the rate of cases that are read one by one.
func (e *Env) readEach(ctx context.Context, kafka *testbed.Kafka, plan observingPlan) (rate float64, err error) {
	r, err := e.startReading(ctx, kafka, largeRSABits)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, r.end()) }()
	var rates []float64
	for round := range plan.rounds {
		if err := r.api.prepare(round, plan.read); err != nil {
			return 0, err
		}
		rate, err := e.publishReads(ctx, kafka, r.running, r.api, round, plan.read)
		if err != nil {
			return 0, err
		}
		e.Logf("round %d: %.0f cases/s read", round+1, rate)
		rates = append(rates, rate)
	}
	return median(rates[1:]), nil
}

// listMany is the rate of cases that come with lists, between the first and the
// last tenth of a backfill: making a key of this size takes seconds.
func (e *Env) listMany(ctx context.Context, kafka *testbed.Kafka, plan observingPlan) (rate, perRequest float64, err error) {
	s, err := e.startSweeping(ctx, kafka, largeRSABits)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	histories := pastOf(time.Now(), plan.warmup, plan.listed)
	for _, h := range histories {
		if err := s.api.addHistory(ctx, h); err != nil {
			return 0, 0, err
		}
	}
	if _, err := s.run(ctx, histories[0], 0, int64(plan.warmup)); err != nil {
		return 0, 0, err
	}
	r, err := s.run(ctx, histories[1], int64(plan.warmup), int64(plan.listed))
	if err != nil {
		return 0, 0, err
	}
	rate = middleRate(plan.listed, r.hundredths)
	e.Logf("%.0f cases/s listed", rate)
	return rate, r.perRequest(), nil
}
