//go:build !race

package counterpart

import "testing"

// UnderRace says that the race detector is on.
const UnderRace = false

// SkipUnderRace leaves a proof that computes for a minute or more under the race
// detector to `make test-proofs`. Under -short it is skipped too.
func SkipUnderRace(tb testing.TB) {
	tb.Helper()
	if testing.Short() {
		tb.Skip("takes a while")
	}
}
