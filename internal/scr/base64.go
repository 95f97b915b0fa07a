package scr

import (
	"encoding/base64"
	"encoding/binary"
)

// sextets decodes base64 as encoding/base64 does, without line breaks and padding,
// and faster: a table for each place of a quantum has the character's bits where
// they go. An answer is decoded twice over, its JWE and the content in it, and that
// was most of what a read did beside digesting. FuzzSextets holds it against
// encoding/base64.
type sextets struct {
	places [quantum][256]uint32
	tail   *base64.Encoding // takes what is no whole quantum, or padded
}

// foreign is set where a character has no bits.
const foreign = 1 << 31

var (
	ofContent = newSextets('+', '/', base64.StdEncoding)
	ofJWEText = newSextets('-', '_', base64.RawURLEncoding)
)

func newSextets(c62, c63 byte, tail *base64.Encoding) *sextets {
	s := &sextets{tail: tail}
	const upper, lower, digits = 26, 26, 10
	bits := func(c byte) (uint32, bool) {
		switch {
		case c >= 'A' && c <= 'Z':
			return uint32(c - 'A'), true
		case c >= 'a' && c <= 'z':
			return uint32(c-'a') + upper, true
		case c >= '0' && c <= '9':
			return uint32(c-'0') + upper + lower, true
		case c == c62:
			return upper + lower + digits, true
		case c == c63:
			return upper + lower + digits + 1, true
		default:
			return 0, false
		}
	}
	for c := range s.places[0] {
		b, ok := bits(byte(c))
		for place := range s.places {
			s.places[place][c] = b << (6 * (quantum - 1 - place))
			if !ok {
				s.places[place][c] = foreign
			}
		}
	}
	return s
}

// quanta decodes whole quanta, and reports whether all characters were its own. To
// may be text itself; it has room for len(text)/4*3 bytes.
func (s *sextets) quanta(to, text []byte) bool {
	const ahead = 8 // characters at a time, and bytes written, of which two count for nothing
	p0, p1, p2, p3 := &s.places[0], &s.places[1], &s.places[2], &s.places[3]
	bad := uint32(0)
	for len(text) >= ahead && len(to) >= ahead {
		a := p0[text[0]] | p1[text[1]] | p2[text[2]] | p3[text[3]]
		b := p0[text[4]] | p1[text[5]] | p2[text[6]] | p3[text[7]]
		bad |= a | b
		binary.BigEndian.PutUint64(to, uint64(a)<<40|uint64(b&^foreign)<<16)
		text, to = text[ahead:], to[ahead/quantum*3:]
	}
	for len(text) >= quantum {
		a := p0[text[0]] | p1[text[1]] | p2[text[2]] | p3[text[3]]
		bad |= a
		to[0], to[1], to[2] = byte(a>>16), byte(a>>8), byte(a) //nolint:gosec // the parts of 24 bits
		text, to = text[quantum:], to[3:]
	}
	return bad&foreign == 0
}

// whole decodes a text to its end, and says how many bytes it stands for. To may be
// text itself.
func (s *sextets) whole(to, text []byte) (int, bool) {
	last := 0 // of the text, is left to tail: it may be padded
	if len(text) > 0 {
		last = (len(text)-1)%quantum + 1
	}
	from := len(text) - last
	var end [quantum]byte
	copy(end[:], text[from:])
	if !s.quanta(to, text[:from]) {
		return 0, false
	}
	var decoded [quantum]byte
	n, err := s.tail.Decode(decoded[:], end[:last])
	if err != nil || containsBreak(end[:last]) {
		return 0, false
	}
	copy(to[from/quantum*3:], decoded[:n])
	return from/quantum*3 + n, true
}

// containsBreak reports whether there is a line break, which encoding/base64 skips.
func containsBreak(b []byte) bool {
	for _, c := range b {
		if c == '\r' || c == '\n' {
			return true
		}
	}
	return false
}
