package lab

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// nemesis lets the faults of a plan befall the world.
type nemesis struct {
	world *world
	// began and healed are called from several goroutines.
	began  func(Fault)
	healed func(Fault)
}

// run goes through the rounds until one cannot be begun or healed, or ctx ends.
// Whatever has begun is healed.
func (n *nemesis) run(ctx context.Context, rounds []Round) error {
	for _, round := range rounds {
		if err := n.round(ctx, round); err != nil {
			return err
		}
		pause(ctx, round.Calm)
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

func (n *nemesis) round(ctx context.Context, round Round) error {
	var wg sync.WaitGroup
	errs := make([]error, len(round.Faults))
	for i, f := range round.Faults {
		wg.Go(func() { errs[i] = n.befall(ctx, f) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (n *nemesis) befall(ctx context.Context, f Fault) error {
	if !pause(ctx, f.After) {
		return nil
	}
	effect := n.world.effect(f)
	n.began(f)
	begun := effect.Begin(ctx)
	if begun == nil {
		pause(ctx, f.Lasts)
	}
	healed := effect.Heal(context.WithoutCancel(ctx))
	n.healed(f)
	if err := errors.Join(begun, healed); err != nil {
		return fmt.Errorf("fault %d, %s: %w", f.Number, f.Kind, err)
	}
	return nil
}

// pause reports whether it lasted to its end.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
