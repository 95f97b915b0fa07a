package publish

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
)

// store keeps one block of bytes a key, in few large pieces without a pointer
// in them: millions of cases cost the garbage collector nothing, and a case
// little more than its bytes.
//
// A block stands in a chunk, behind its length, and begins with its key: the
// account's number, the length of the case id, the case id. Chunks are only
// appended to; a block that is replaced or deleted is marked as a gap. When the gaps
// take too much, the blocks of the emptiest chunk move to the last one, a chunk
// at a time, so that no put takes long. The index is a hash table with linear
// probing; a slot holds the beginning of its key's hash and the block's address.
// A hash proves nothing: the key in the block decides.
type store struct {
	seed   maphash.Seed
	slots  []uint64 // 0: free
	used   int      // slots that are not free
	chunks []chunk
	last   int   // the chunk that is appended to, -1 before the first
	spare  []int // indexes of chunks that hold nothing
	live   int   // bytes of all blocks
	held   int   // bytes of all blocks and gaps
	// loading lets the gaps grow as large as the blocks: while a log is read,
	// what is moved now is replaced soon.
	loading bool
}

type chunk struct {
	data []byte
	live int // bytes of its blocks
}

// A slot is the first bits of the hash and the block's address plus one; an
// address is a chunk's index and a place in it. The bits of the hash choose
// among 67 million slots; beyond that they only lie closer.
const (
	addressBits = 38
	tagBits     = 64 - addressBits
	placeBits   = 17
	chunkSize   = 1 << placeBits
	smallChunk  = 4 << 10
	fewestSlots = 64
)

func newStore() *store {
	return &store{seed: maphash.MakeSeed(), slots: make([]uint64, fewestSlots), last: -1}
}

// appendKey begins a block.
func appendKey(b []byte, client uint64, caseID []byte) []byte {
	b = binary.AppendUvarint(b, client)
	b = binary.AppendUvarint(b, uint64(len(caseID)))
	return append(b, caseID...)
}

// cutKey cuts the key off a block.
func cutKey(block []byte) (client uint64, caseID, rest []byte) {
	client, n := binary.Uvarint(block)
	length, m := binary.Uvarint(block[n:])
	at := n + m + int(length) //nolint:gosec // our own bytes
	return client, block[n+m : at], block[at:]
}

func (s *store) tag(client uint64, caseID []byte) uint64 {
	return (maphash.Bytes(s.seed, caseID) ^ client*0x9e3779b97f4a7c15) >> addressBits
}

// home is where the search for a tag begins. It grows with the tag, so that the
// slots lie in the order of their tags.
func (s *store) home(tag uint64) int {
	return int(tag * uint64(len(s.slots)) >> tagBits)
}

func slotOf(tag uint64, address int) uint64 { return tag<<addressBits | uint64(address+1) } //nolint:gosec // not negative

func addressIn(slot uint64) int { return int(slot&(1<<addressBits-1)) - 1 }

// block is the block at an address, and the bytes that it takes with its length.
func (s *store) block(address int) (block []byte, size int) {
	block, size, _ = cutBlock(s.chunks[address>>placeBits].data[address&(chunkSize-1):])
	return block, size
}

// cutBlock cuts the first block off a chunk. Before it stands twice its length,
// and one more in a gap.
func cutBlock(data []byte) (block []byte, size int, gap bool) {
	length, n := uint64(data[0]), 1
	if length >= 0x80 {
		length, n = binary.Uvarint(data)
	}
	size = n + int(length>>1)
	return data[n:size:size], size, length&1 != 0
}

// find is the slot of a key, or the free one where it belongs.
func (s *store) find(tag, client uint64, caseID []byte) (slot int, found bool) {
	for slot = s.home(tag); s.slots[slot] != 0; slot = s.after(slot) {
		if s.slots[slot]>>addressBits != tag {
			continue
		}
		block, _ := s.block(addressIn(s.slots[slot]))
		if c, id, _ := cutKey(block); c == client && bytes.Equal(id, caseID) {
			return slot, true
		}
	}
	return slot, false
}

func (s *store) after(slot int) int {
	if slot++; slot < len(s.slots) {
		return slot
	}
	return 0
}

// distance is how many steps lead from a slot to another.
func (s *store) distance(from, to int) int {
	if to < from {
		to += len(s.slots)
	}
	return to - from
}

// get is the block of a key, nil if there is none. It is good until the next
// change.
func (s *store) get(client uint64, caseID []byte) []byte {
	slot, found := s.find(s.tag(client, caseID), client, caseID)
	if !found {
		return nil
	}
	block, _ := s.block(addressIn(s.slots[slot]))
	return block
}

// put takes a copy of a block in, in place of the one with its key.
func (s *store) put(block []byte) {
	client, caseID, _ := cutKey(block)
	tag := s.tag(client, caseID)
	slot, found := s.find(tag, client, caseID)
	if found {
		old, size := s.block(addressIn(s.slots[slot]))
		if len(old) == len(block) {
			copy(old, block)
			return
		}
		s.drop(addressIn(s.slots[slot]), size)
	} else {
		s.used++
	}
	s.slots[slot] = slotOf(tag, s.add(block))
	if s.used > len(s.slots)/4*3 {
		s.grow()
	}
	s.tidy()
}

// delete drops the block of a key, and moves the slots behind it up, so that a
// search meets no hole before what it looks for.
func (s *store) delete(client uint64, caseID []byte) {
	hole, found := s.find(s.tag(client, caseID), client, caseID)
	if !found {
		return
	}
	address := addressIn(s.slots[hole])
	_, size := s.block(address)
	s.drop(address, size)
	s.used--
	for slot := s.after(hole); s.slots[slot] != 0; slot = s.after(slot) {
		way := s.distance(s.home(s.slots[slot]>>addressBits), slot)
		if way < s.distance(hole, slot) {
			continue // the hole is before its home
		}
		s.slots[hole] = s.slots[slot]
		hole = slot
	}
	s.slots[hole] = 0
	s.tidy()
}

// each calls f with every block, until it returns false. f must change nothing.
func (s *store) each(f func(block []byte) bool) {
	for i := range s.chunks {
		if !s.chunks[i].each(f) {
			return
		}
	}
}

// each is store.each for one chunk, and says whether f wants more.
func (c *chunk) each(f func(block []byte) bool) (more bool) {
	for data := c.data; len(data) > 0; {
		block, size, gap := cutBlock(data)
		data = data[size:]
		if !gap && !f(block) {
			return false
		}
	}
	return true
}

func (s *store) grow() {
	old := s.slots
	s.slots = make([]uint64, len(old)+len(old)/2)
	for _, slot := range old {
		if slot == 0 {
			continue
		}
		at := s.home(slot >> addressBits)
		for s.slots[at] != 0 {
			at = s.after(at)
		}
		s.slots[at] = slot
	}
}

// add appends a block to the last chunk, or begins the next one. A large block
// has a chunk of its own, so that little is left over at the end of a chunk.
func (s *store) add(block []byte) (address int) {
	size := uvarintSize(2*len(block)) + len(block)
	index := s.last
	switch {
	case size > chunkSize/8:
		index = s.begin(size)
	case index < 0 || cap(s.chunks[index].data)-len(s.chunks[index].data) < size:
		index = s.begin(max(min(max(s.held, smallChunk), chunkSize), size))
		s.last = index
	}
	c := &s.chunks[index]
	address = index<<placeBits | len(c.data)
	c.data = binary.AppendUvarint(c.data, 2*uint64(len(block)))
	c.data = append(c.data, block...)
	c.live += size
	s.live += size
	s.held += size
	return address
}

func uvarintSize(n int) int {
	size := 1
	for ; n >= 0x80; n >>= 7 {
		size++
	}
	return size
}

// begin begins a chunk.
func (s *store) begin(size int) (index int) {
	if n := len(s.spare); n > 0 {
		index = s.spare[n-1]
		s.spare = s.spare[:n-1]
	} else {
		index = len(s.chunks)
		s.chunks = append(s.chunks, chunk{})
	}
	s.chunks[index] = chunk{data: make([]byte, 0, size)}
	return index
}

// drop makes a block a gap.
func (s *store) drop(address, size int) {
	c := &s.chunks[address>>placeBits]
	c.data[address&(chunkSize-1)] |= 1 // the last bit of its length
	c.live -= size
	s.live -= size
}

// tidy keeps the gaps below an eighth of the blocks.
func (s *store) tidy() {
	allowed := s.live / 8
	if s.loading {
		allowed = s.live
	}
	for s.held-s.live > allowed+2*chunkSize {
		emptiest, gap := -1, 0
		for i := range s.chunks {
			c := &s.chunks[i]
			if i != s.last && len(c.data)-c.live > gap {
				emptiest, gap = i, len(c.data)-c.live
			}
		}
		if emptiest < 0 {
			return
		}
		s.evacuate(emptiest)
	}
}

// loaded says that the log is read: the gaps are closed.
func (s *store) loaded() {
	s.loading = false
	s.tidy()
}

// evacuate moves the blocks of a chunk, and lets it go.
func (s *store) evacuate(index int) {
	data := s.chunks[index].data
	for place := 0; place < len(data) && s.chunks[index].live > 0; {
		address := index<<placeBits | place
		block, size, gap := cutBlock(data[place:])
		place += size
		if gap {
			continue
		}
		client, caseID, _ := cutKey(block)
		tag := s.tag(client, caseID)
		for slot := s.home(tag); s.slots[slot] != 0; slot = s.after(slot) {
			if s.slots[slot] == slotOf(tag, address) {
				s.drop(address, size)
				s.slots[slot] = slotOf(tag, s.add(block))
				break
			}
		}
	}
	s.held -= len(data)
	s.chunks[index] = chunk{}
	s.spare = append(s.spare, index)
}
