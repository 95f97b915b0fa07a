//go:build !race

package main

import "testing"

func skipUnderRace(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("takes a minute")
	}
}
