package scr

import (
	"runtime/debug"
	"slices"
	"sync"
	"time"
)

// Buffers keeps the memory that large results were read into for the next ones: the
// garbage collector would let some of them pile up before it takes one. Once none was
// read for a while it is given back to the operating system, which the collector
// alone would do after minutes. It is safe for concurrent use.
type Buffers struct {
	mu    sync.Mutex
	free  [][]byte    // guarded by mu
	used  int         // guarded by mu: taken and not given back
	timer *time.Timer // guarded by mu; nil while nothing is kept
}

const (
	// minKept is what is worth keeping.
	minKept = 1 << 20
	// keptFor is how long buffers wait for the next result.
	keptFor = 15 * time.Second
)

// NewBuffers makes buffers of which there are none yet.
func NewBuffers() *Buffers { return new(Buffers) }

// take gives the largest buffer that is free, nil if there is none.
func (b *Buffers) take() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used++
	if b.timer != nil {
		b.timer.Stop()
		b.timer = nil
	}
	if len(b.free) == 0 {
		return nil
	}
	slices.SortFunc(b.free, func(x, y []byte) int { return cap(x) - cap(y) })
	last := len(b.free) - 1
	buffer := b.free[last]
	b.free[last] = nil
	b.free = b.free[:last]
	return buffer
}

// giveBack ends the use of what take gave, or of what took its place.
func (b *Buffers) giveBack(buffer []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used--
	if cap(buffer) >= minKept {
		b.free = append(b.free, buffer[:0])
	}
	if b.used == 0 && len(b.free) > 0 {
		b.timer = time.AfterFunc(keptFor, b.release)
	}
}

// release gives all back, unless one is in use again.
func (b *Buffers) release() {
	b.mu.Lock()
	idle := b.used == 0 && len(b.free) > 0
	if idle {
		b.free, b.timer = nil, nil
	}
	b.mu.Unlock()
	if idle {
		debug.FreeOSMemory() // outside: it is a garbage collection
	}
}
