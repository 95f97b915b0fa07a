package scr

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// jsonScanner goes once through a JSON text (RFC 8259) and accepts nothing else.
// It sets odd at the first byte that it does not take, and then takes nothing
// more. Odd says nothing against the text: whoever uses it asks the decoder then,
// which has the last word.
type jsonScanner struct {
	data []byte
	at   int
	odd  bool
}

// maxDepth is where a text turns odd, so that recursion has an end. Guide 8 goes
// eight levels deep.
const maxDepth = 64

// peek gives the first byte after white space, 0 at the end and once odd.
func (s *jsonScanner) peek() byte {
	if s.odd {
		return 0
	}
	for ; s.at < len(s.data); s.at++ {
		switch c := s.data[s.at]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

// atEnd reports whether nothing but white space is left.
func (s *jsonScanner) atEnd() bool {
	s.peek()
	return !s.odd && s.at == len(s.data)
}

// take takes c, which may stand after white space, and reports whether it did.
func (s *jsonScanner) take(c byte) bool {
	if s.peek() != c {
		return false
	}
	s.at++
	return true
}

// want takes c, or the text is odd.
func (s *jsonScanner) want(c byte) {
	if !s.take(c) {
		s.odd = true
	}
}

// value takes the value that comes next and gives it as it stands.
func (s *jsonScanner) value() []byte {
	s.peek()
	from := s.at
	s.skip(0)
	if s.odd {
		return nil
	}
	return s.data[from:s.at]
}

// skip takes the value that comes next.
func (s *jsonScanner) skip(depth int) {
	switch c := s.peek(); {
	case c == '"':
		s.advance(quotedLen(s.data[s.at:]))
	case c == '{' && depth < maxDepth:
		for n := 0; s.more('}', n); n++ {
			s.name()
			s.skip(depth + 1)
		}
	case c == '[' && depth < maxDepth:
		for n := 0; s.more(']', n); n++ {
			s.skip(depth + 1)
		}
	case c == '-' || isDigit(c):
		s.advance(numberLen(s.data[s.at:]))
	default:
		s.advance(wordLen(s.data[s.at:]))
	}
}

// more takes what stands before member n of an object or a list, counted from 0:
// the opening bracket, which has to come next, or a comma. It is false when there
// is none, and has taken the closing bracket then.
func (s *jsonScanner) more(closing byte, n int) bool {
	if n == 0 {
		s.at++
	}
	if s.take(closing) {
		return false
	}
	if n > 0 {
		s.want(',')
	}
	return !s.odd
}

// name takes a member's name and the colon after it, and gives what stands
// between the quotes.
func (s *jsonScanner) name() []byte {
	if s.peek() != '"' {
		s.odd = true
		return nil
	}
	from := s.at
	s.advance(quotedLen(s.data[from:]))
	to := s.at
	s.want(':')
	if s.odd {
		return nil
	}
	return s.data[from+1 : to-1]
}

// advance takes n bytes; with 0 the text is odd.
func (s *jsonScanner) advance(n int) {
	s.at += n
	if n == 0 {
		s.odd = true
	}
}

// quotedLen is the length of the text that b begins with, quotes included, and 0
// if it is none or has no end.
func quotedLen(b []byte) int {
	const word, words = 8, 32
	for n := 1; n < len(b); {
		if n+words <= len(b) { // content is megabytes of plain text
			w := b[n : n+words : n+words]
			if stopBits(binary.LittleEndian.Uint64(w))|stopBits(binary.LittleEndian.Uint64(w[word:]))|
				stopBits(binary.LittleEndian.Uint64(w[2*word:]))|stopBits(binary.LittleEndian.Uint64(w[3*word:])) == 0 {
				n += words
				continue
			}
		}
		if n+word <= len(b) {
			stop := bits.TrailingZeros64(stopBits(binary.LittleEndian.Uint64(b[n:]))) / word
			if stop == word {
				n += word
				continue
			}
			n += stop
		}
		switch c := b[n]; {
		case c == '"':
			return n + 1
		case c < ' ':
			return 0
		case c == '\\':
			size := escapeLen(b[n:])
			if size == 0 {
				return 0
			}
			n += size
		default:
			n++
		}
	}
	return 0
}

// stopBits has the high bit of the first byte of w, which is little-endian, that ends
// a run of plain text: a quote, a backslash or a control character. It is 0 when
// there is none. A borrow can only raise false bits above a true one.
func stopBits(w uint64) uint64 {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	quote, backslash := w^(ones*'"'), w^(ones*'\\')
	found := ((quote - ones) &^ quote) | ((backslash - ones) &^ backslash) | ((w - ones*' ') &^ w)
	return found & highs
}

// escapeLen is the length of the escape that b begins with, 0 if it is none.
func escapeLen(b []byte) int {
	const unicodeLen = len(`\u0000`)
	if len(b) < len(`\n`) {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return len(`\n`)
	case 'u':
		if len(b) >= unicodeLen && !slices.ContainsFunc(b[len(`\u`):unicodeLen], isNoHex) {
			return unicodeLen
		}
	}
	return 0
}

func isNoHex(c byte) bool { return !isDigit(c) && (c|0x20 < 'a' || c|0x20 > 'f') }

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// numberLen is the length of the number that b begins with, 0 if it is none.
func numberLen(b []byte) int {
	n := 0
	if b[0] == '-' {
		n++
	}
	whole := digitsLen(b[n:])
	if whole == 0 || whole > 1 && b[n] == '0' {
		return 0
	}
	n += whole
	if n < len(b) && b[n] == '.' {
		fraction := digitsLen(b[n+1:])
		if fraction == 0 {
			return 0
		}
		n += 1 + fraction
	}
	if n < len(b) && b[n]|0x20 == 'e' {
		n++
		if n < len(b) && (b[n] == '+' || b[n] == '-') {
			n++
		}
		exponent := digitsLen(b[n:])
		if exponent == 0 {
			return 0
		}
		n += exponent
	}
	return n
}

func digitsLen(b []byte) int {
	if n := slices.IndexFunc(b, func(c byte) bool { return !isDigit(c) }); n >= 0 {
		return n
	}
	return len(b)
}

// wordLen is the length of the true, false or null that b begins with, else 0.
func wordLen(b []byte) int {
	for _, word := range []string{"null", "true", "false"} {
		if len(b) >= len(word) && string(b[:len(word)]) == word {
			return len(word)
		}
	}
	return 0
}
