package publish

import (
	"container/list"
	"context"
	"sync"
)

// line is one of a gate's two queues.
type line int

const (
	freshLine   line = iota // looks for triggers that just came
	waitingLine             // looks for retry slots, which wait durably
	lines
)

// gate bounds the reads of one account that are under way, for all workers of
// the process. Each line is first come, first served; while both wait they take
// turns, so that a backlog does not hold up what just came, and a stream of hooks
// not the backlog (P8).
//
// An account that answers again is not overrun: narrow lets rampStart reads
// through, and every answer widens the gate by one, so that the number doubles
// with each round.
type gate struct {
	mu      sync.Mutex
	most    int              // of limit; constant
	limit   int              // guarded by mu: of reads under way, now
	under   int              // guarded by mu: reads under way
	waiting [lines]list.List // guarded by mu: of chan struct{}, closed when it is that one's turn
	turn    line             // guarded by mu: whose turn it is when both wait
}

// rampStart is the number of reads under way right after the account's probe
// was answered.
const rampStart = 2

func newGate(most int) *gate { return &gate{most: most, limit: most} }

// enter waits for its turn; the one that entered has to leave.
func (g *gate) enter(ctx context.Context, l line) error {
	g.mu.Lock()
	turn := make(chan struct{})
	place := g.waiting[l].PushBack(turn)
	g.admit()
	g.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-turn: // it came at the same moment: for the next one
		g.under--
		g.admit()
	default:
		g.waiting[l].Remove(place)
	}
	return context.Cause(ctx)
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.under--
	g.admit()
}

// admit lets in whose turn it is, as far as the limit allows; mu is held.
func (g *gate) admit() {
	for g.under < g.limit {
		l := g.turn
		if g.waiting[l].Len() == 0 {
			l = (l + 1) % lines
		}
		first := g.waiting[l].Front()
		if first == nil {
			return
		}
		g.under++
		g.turn = (l + 1) % lines
		turn, _ := g.waiting[l].Remove(first).(chan struct{})
		close(turn)
	}
}

// narrow begins the ramp of an account that answers again.
func (g *gate) narrow() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.limit = min(rampStart, g.most)
}

// widen notes an answer.
func (g *gate) widen() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.limit < g.most {
		g.limit++
		g.admit()
	}
}

// full says that a read would have to wait; queue, how many wait in a line.
func (g *gate) full() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.under >= g.limit
}

func (g *gate) queue(l line) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.waiting[l].Len()
}
