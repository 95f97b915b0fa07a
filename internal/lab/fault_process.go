package lab

import (
	"context"
	"errors"
	"syscall"
)

// effect is a fault as it befalls the world. Begin and Heal are each called
// once; Heal also after a Begin that failed, and when the run is interrupted.
type effect interface {
	Begin(ctx context.Context) error
	Heal(ctx context.Context) error
}

// effect makes what a fault of the plan does.
func (w *world) effect(f Fault) effect {
	switch f.Kind {
	case KindKill:
		return &killed{process: w.processes[f.Target]}
	case KindStop:
		return &stopped{process: w.processes[f.Target]}
	case KindRestart, KindScale: // they differ in how long the process is away
		return &away{process: w.processes[f.Target]}
	case KindRegistry:
		return &registryAway{world: w, process: w.processes[f.Target], kill: f.Variant == 1}
	case KindBrokerKill:
		return &brokerKilled{kafka: w.kafka, broker: f.Target + 1}
	case KindBrokerPause:
		return &brokerPaused{kafka: w.kafka, broker: f.Target + 1}
	case KindLeaders:
		return &leadersMoved{world: w, to: f.Target + 1}
	case KindCut, KindSlow, KindSilence:
		return w.network(f)
	case KindAPIErrors, KindAPIHidden, KindUnauthorised, KindHooks, KindAPIRecords:
		return w.api(f)
	case KindStoreKill, KindStorePause:
		return &storeAway{store: w.store, kill: f.Kind == KindStoreKill}
	case KindClock:
		return &clockSkewed{sim: w.sim, back: f.Variant == 1}
	}
	return nil
}

// killed ends a bridge by kill -9 and starts it again.
type killed struct{ process *process }

// Begin kills it.
func (f *killed) Begin(context.Context) error { return f.process.kill() }

// Heal starts it.
func (f *killed) Heal(ctx context.Context) error { return ensureStarted(ctx, f.process) }

// stopped halts a bridge where it stands. If it stands long, the others take
// over, and it wakes up as a zombie that knows nothing of it.
type stopped struct{ process *process }

// Begin sends SIGSTOP.
func (f *stopped) Begin(context.Context) error { return f.process.signal(syscall.SIGSTOP) }

// Heal sends SIGCONT.
func (f *stopped) Heal(context.Context) error { return f.process.signal(syscall.SIGCONT) }

// away ends a bridge in good order, and starts it again.
type away struct{ process *process }

// Begin asks it to end, and is an error if it does not end well.
func (f *away) Begin(context.Context) error { return f.process.stop() }

// Heal starts it.
func (f *away) Heal(ctx context.Context) error { return ensureStarted(ctx, f.process) }

// registryAway takes the schema registry away, and restarts a bridge meanwhile:
// its process role has to wait, and must not hold up its webhooks.
type registryAway struct {
	world   *world
	process *process
	kill    bool // else it hangs
}

// Begin takes the registry away, then restarts the bridge.
func (f *registryAway) Begin(ctx context.Context) error {
	take := f.world.registry.Pause
	if f.kill {
		take = f.world.registry.Kill
	}
	return errors.Join(take(ctx), f.process.kill(), f.process.start(ctx))
}

// Heal brings the registry back.
func (f *registryAway) Heal(ctx context.Context) error {
	bring := f.world.registry.Resume
	if f.kill {
		bring = f.world.registry.Start
	}
	return errors.Join(bring(ctx), ensureStarted(ctx, f.process))
}

func ensureStarted(ctx context.Context, p *process) error {
	if !p.down() {
		return nil
	}
	return p.start(ctx)
}
