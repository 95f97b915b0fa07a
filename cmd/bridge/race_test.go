//go:build race

package main

import "testing"

// skipUnderRace leaves a proof that computes for minutes under the race detector to
// `make test-proofs`, which CI runs as well.
func skipUnderRace(t *testing.T) {
	t.Helper()
	t.Skip("runs without the race detector: make test-proofs")
}
