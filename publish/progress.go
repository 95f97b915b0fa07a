package publish

// progress follows which inbox offsets are done, so that the position that is
// committed is the lowest one that is not. Owned by the worker's goroutine.
type progress struct {
	open   []pending // by offset, ascending
	undone int       // of open
	next   int64     // the position when nothing is open
}

// pending is one trigger between its arrival and the position passing it.
type pending struct {
	offset int64
	done   bool
	// letter is written in the very transaction in which the position passes
	// this offset: it is an effect without state, and would be doubled by a
	// crash in between.
	letter *deadLetter
}

// add notes the arrival of offset.
func (p *progress) add(offset int64) {
	p.open = append(p.open, pending{offset: offset})
	p.undone++
	p.next = offset + 1
}

// done marks offset; letter may be nil.
func (p *progress) done(offset int64, letter *deadLetter) {
	lo, hi := 0, len(p.open)
	for lo < hi {
		mid := (lo + hi) / 2
		if p.open[mid].offset < offset {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo < len(p.open) && p.open[lo].offset == offset && !p.open[lo].done {
		p.undone--
		p.open[lo].done, p.open[lo].letter = true, letter
	}
}

// pass drops what is done at the low end, and returns the position and the
// letters that fall due with it, at most limit of them.
func (p *progress) pass(limit int) (position int64, letters []*deadLetter) {
	n := 0
	for ; n < len(p.open) && p.open[n].done; n++ {
		l := p.open[n].letter
		if l == nil {
			continue
		}
		if len(letters) == limit {
			break
		}
		letters = append(letters, l)
	}
	p.open = p.open[n:]
	if len(p.open) > 0 {
		return p.open[0].offset, letters
	}
	return p.next, letters
}
