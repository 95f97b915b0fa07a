package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// stepFloor is what every step of a teardown gets even when the steps before
// it used up the limit: closing a listener takes no time, and skipping it would
// leak.
const stepFloor = 500 * time.Millisecond

// teardown is a stack of what has to be undone. A part is pushed as soon as it
// is built, so that a start that fails half way unwinds too.
type teardown struct {
	logger *slog.Logger
	limit  time.Duration
	steps  []step
}

type step struct {
	name string
	undo func(context.Context) error
}

func (t *teardown) add(name string, undo func(context.Context) error) {
	t.steps = append(t.steps, step{name, undo})
}

// run undoes the newest step first. It is bounded from outside: a step that
// does not heed its context (a Kafka client that waits for a paused broker) is
// left behind, named in the error.
func (t *teardown) run(ctx context.Context) error {
	deadline := time.Now().Add(t.limit)
	var errs []error
	for len(t.steps) > 0 {
		s := t.steps[len(t.steps)-1]
		t.steps = t.steps[:len(t.steps)-1]
		if err := s.bounded(ctx, max(time.Until(deadline), stepFloor)); err != nil {
			t.logger.ErrorContext(ctx, "stop went wrong", slog.String("part", s.name), slog.String("error", err.Error()))
			errs = append(errs, fmt.Errorf("stop %s: %w", s.name, err))
		}
	}
	return errors.Join(errs...)
}

func (s step) bounded(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- s.undo(ctx) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	// Both may be true at once; what is done is done.
	select {
	case err := <-done:
		return err
	case <-time.After(stepFloor / 10):
		return fmt.Errorf("left behind after %v: %w", limit.Round(time.Millisecond), ctx.Err())
	}
}

// joinErrors is errors.Join that keeps a single error as it is.
func joinErrors(first, second error) error {
	switch {
	case first == nil:
		return second
	case second == nil:
		return first
	default:
		return errors.Join(first, second)
	}
}

// pause waits for d, or until ctx ends; it reports whether it waited it out.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
