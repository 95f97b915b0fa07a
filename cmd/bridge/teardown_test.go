package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestTeardownIsLastInFirstOutAndJoinsErrors(t *testing.T) {
	t.Parallel()
	d := teardown{logger: slog.New(slog.DiscardHandler), limit: time.Second}
	var order []string
	broken := errors.New("broken")
	for _, name := range []string{"first", "second", "third"} {
		d.add(name, func(context.Context) error {
			order = append(order, name)
			if name == "second" {
				return nil
			}
			return broken
		})
	}
	err := d.run(t.Context())
	if want := []string{"third", "second", "first"}; !slices.Equal(order, want) {
		t.Errorf("order %v, want %v", order, want)
	}
	if err == nil || err.Error() != "stop third: broken\nstop first: broken" || !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	if err := d.run(t.Context()); err != nil || len(order) != 3 {
		t.Errorf("a second run undid again: %v, %v", order, err)
	}
}

// A Kafka client may wait for a paused broker whatever its context says.
func TestTeardownIsBoundedFromOutside(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := teardown{logger: slog.New(slog.DiscardHandler), limit: 10 * time.Second}
		release := make(chan struct{})
		closed := false
		d.add("listener", func(ctx context.Context) error {
			closed = ctx.Err() == nil
			return nil
		})
		d.add("stuck", func(context.Context) error { <-release; return nil })
		began := time.Now()
		err := d.run(t.Context())
		if took := time.Since(began); took > 11*time.Second {
			t.Errorf("took %s", took)
		}
		if !closed {
			t.Error("the step after the stuck one had no time")
		}
		if err == nil || !strings.HasPrefix(err.Error(), "stop stuck: left behind after 10s") {
			t.Errorf("error %v", err)
		}
		close(release)
		synctest.Wait()
	})
}
