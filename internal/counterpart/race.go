//go:build race

package counterpart

import "testing"

// UnderRace says that the race detector is on.
const UnderRace = true

// SkipUnderRace leaves a proof that computes for a minute or more under the race
// detector to `make test-proofs`, which finds it by this call and which CI runs as
// well. It is for hours of virtual time, for what is one goroutine, and for real
// brokers that take minutes: the detector finds nothing there that shorter tests do
// not show it. Under -short it is skipped
// too.
func SkipUnderRace(tb testing.TB) {
	tb.Helper()
	tb.Skip("runs without the race detector: make test-proofs")
}
