package publish

import (
	"math/rand/v2"
	"time"
)

// jitter is a random share in [0, 1): what failed together shall not come back
// together.
func jitter() float64 { return rand.Float64() } //nolint:gosec // spreads pauses, hides nothing

// spread is d and up to as much again.
func spread(d time.Duration) time.Duration { return d + time.Duration(jitter()*float64(d)) }
