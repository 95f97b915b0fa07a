package lab

import (
	"context"

	"postident-bridge/internal/testbed"
)

// storeAway takes the records' store away: killed, with what it has acknowledged
// kept, or halted where it stands, so that uploads hang.
type storeAway struct {
	store *testbed.S3
	kill  bool
}

// Begin takes it away.
func (f *storeAway) Begin(ctx context.Context) error {
	if f.kill {
		return f.store.Kill(ctx)
	}
	return f.store.Pause(ctx)
}

// Heal brings it back.
func (f *storeAway) Heal(ctx context.Context) error {
	if f.kill {
		return f.store.Start(ctx)
	}
	return f.store.Resume(ctx)
}
