package publish

import "testing"

// virtualAtOnce bounds the bubbles that play at a time. They wait for nothing but the
// processor, and what each step costs the race detector grows with all goroutines
// there are: twelve beside each other take ten times as long as one after the other.
const virtualAtOnce = 2

var virtualTurns = make(chan struct{}, virtualAtOnce)

// awaitVirtualTurn waits for a turn to play a bubble, and gives it back when the test
// ends.
func awaitVirtualTurn(t *testing.T) {
	t.Helper()
	virtualTurns <- struct{}{}
	t.Cleanup(func() { <-virtualTurns })
}
