package scr

import "strconv"

const (
	// minContent is the length of a run of base64 from which a text is taken for binary
	// content. The longest identifier that is known has 64 characters, and what people
	// write has blanks.
	minContent = 512
	// minMarked is the same behind the marker of a data URL.
	minMarked = 16
	// perBlank is how much base64 there is for each blank in it: its lines have 60 to 76
	// characters, and no prose has such words.
	perBlank = 60

	contentMarker = "base64,"
)

// isContent reports whether a JSON text, without its quotes, holds binary content: a
// run of base64, of either alphabet, or a data URL, however it is escaped and wrapped.
// What does not belong into base64 ends a run only, so that a damaged file is no less
// a file.
func isContent(text []byte) bool {
	if len(text) < minMarked {
		return false
	}
	var f contentFinder
	return f.text(text)
}

// contentFinder goes through texts as if they were one.
type contentFinder struct {
	run     int  // characters of base64
	blanks  int  // stretches of them in the run
	blank   bool // the last character was one
	marker  int  // characters of contentMarker that came last
	marked  bool // the run began behind it
	content bool
}

// list goes through the texts of the list that comes next, and of the lists in it.
func (f *contentFinder) list(s *jsonScanner, depth int) bool {
	for n := 0; s.more(']', n); n++ {
		if s.peek() == '[' && depth < maxDepth {
			f.list(s, depth+1)
			continue
		}
		if raw := s.value(); len(raw) > 0 && raw[0] == '"' {
			f.text(raw[1 : len(raw)-1])
		}
	}
	return f.content
}

// text goes through a text, and reports whether there was content up to its end.
func (f *contentFinder) text(text []byte) bool {
	for len(text) > 0 && !f.content {
		c, size := plainChar(text)
		text = text[size:]
		f.char(c)
	}
	return f.content
}

func (f *contentFinder) char(c byte) {
	switch {
	case c == '\n' || c == '\r':
		return
	case c == ' ' || c == '\t' || c == '\f':
		if !f.blank {
			f.blanks++
		}
		f.blank, f.marked, f.marker = true, false, 0
		if f.blanks > 1+f.run/perBlank {
			f.run, f.blanks = 0, 0
		}
		return
	case isBase64URL(c) || c == '+' || c == '/' || c == '=':
		f.run++
	default:
		f.run, f.blanks, f.marked = 0, 0, false
	}
	f.blank = false
	f.mark(c | ('a' - 'A'))
	f.content = f.run >= minContent || f.marked && f.run >= minMarked
}

// mark follows the marker, whose first character comes in it once.
func (f *contentFinder) mark(lower byte) {
	switch lower {
	case contentMarker[f.marker]:
		f.marker++
	case contentMarker[0]:
		f.marker = 1
	default:
		f.marker = 0
	}
	if f.marker == len(contentMarker) {
		f.marker, f.marked = 0, true
	}
}

// plainChar is the character with which a JSON text begins, 0 for one that is not
// ASCII, and its length.
func plainChar(text []byte) (c byte, size int) {
	if text[0] != '\\' {
		return text[0], 1
	}
	size = escapeLen(text)
	if size == 0 {
		return 0, 1
	}
	switch text[1] {
	case 'n':
		return '\n', size
	case 'r':
		return '\r', size
	case 't':
		return '\t', size
	case 'f':
		return '\f', size
	case 'b':
		return '\b', size
	case 'u':
		const hex, bits = 16, 7 // ASCII
		code, err := strconv.ParseUint(string(text[len(`\u`):size]), hex, bits)
		if err != nil {
			return 0, size
		}
		return byte(code), size
	default:
		return text[1], size
	}
}
