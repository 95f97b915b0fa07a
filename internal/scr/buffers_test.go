package scr

import (
	"testing"
	"testing/synctest"
	"time"
)

func (b *Buffers) kept() (capacities []int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, buffer := range b.free {
		capacities = append(capacities, cap(buffer))
	}
	return capacities
}

func TestBuffersAreKeptForTheNextAndThenGivenBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := NewBuffers()
		if got := b.take(); got != nil {
			t.Errorf("got %d bytes of nothing", cap(got))
		}
		_ = b.take()
		b.giveBack(make([]byte, 10, minKept))
		b.giveBack(make([]byte, 10, 2*minKept))
		if got := b.take(); cap(got) != 2*minKept || len(got) != 0 {
			t.Errorf("got %d of %d bytes", len(got), cap(got))
		} else {
			<-time.After(2 * keptFor) // in use
			b.giveBack(got)
		}
		<-time.After(keptFor - time.Nanosecond)
		synctest.Wait()
		if got := b.kept(); len(got) != 2 {
			t.Errorf("kept %v, want both until now", got)
		}
		<-time.After(time.Nanosecond)
		synctest.Wait()
		if got := b.kept(); len(got) != 0 {
			t.Errorf("kept %v", got)
		}
		_ = b.take()
		b.giveBack(make([]byte, minKept-1)) // too small to be worth it
		if got := b.kept(); len(got) != 0 || b.timer != nil {
			t.Errorf("kept %v", got)
		}
	})
}
