package scr

import (
	"bytes"
	"cmp"
	"slices"
)

// contentName is the field that holds the content of a record (guide 8.6.7).
const contentName = "documentData"

// keeper keeps what no source knows. It copies nothing before it knows what fits.
type keeper struct {
	limited map[string]bool // names of which nothing is kept, where the decoder is
	fields  []keptField
	over    bool
}

type keptField struct {
	path    []step
	text    string // of the path
	raw     []byte
	limited map[string]bool
}

// add notes a value, unless there are too many to be told apart.
func (k *keeper) add(path []step, raw []byte) bool {
	if len(k.fields) >= maxNodes {
		k.over = true
		return false
	}
	k.fields = append(k.fields, keptField{slices.Clone(path), jsonPath(path), raw, k.limited})
	return true
}

// within gives the fields in the order of their paths, as far as they fit into
// limit bytes, and counts what is left out.
func (k *keeper) within(limit int, l *ledger) []UnknownField {
	slices.SortFunc(k.fields, func(a, b keptField) int { return cmp.Compare(a.text, b.text) })
	var kept []UnknownField
	for i, f := range k.fields {
		l.path = f.path
		c := copier{limited: f.limited, most: limit - len(f.text)}
		text, ok := c.copy(f.raw)
		if c.full {
			k.over = true
			for _, left := range k.fields[i:] {
				l.path = left.path
				l.dropUnknown(DroppedSize, 1)
			}
			break
		}
		l.dropUnknown(DroppedContent, c.content)
		l.dropUnknown(DroppedClass, c.refused)
		if ok {
			kept = append(kept, UnknownField{f.text, string(text)})
			limit -= len(f.text) + len(text)
		}
	}
	return kept
}

// copier copies JSON without white space, without binary content, and without the
// fields of the limited names. Of a list, null stays in the place of what is left
// out.
type copier struct {
	jsonScanner

	limited map[string]bool
	most    int // bytes
	out     []byte
	full    bool // more than most
	content int  // what was left out as binary content
	refused int  // fields of the limited names
}

// copy copies a value, and reports whether anything is left of it. If it is full
// there is not.
func (c *copier) copy(raw []byte) ([]byte, bool) {
	c.jsonScanner = jsonScanner{data: raw}
	if !c.value(0) || c.full || c.odd {
		return nil, false
	}
	return c.out, true
}

func (c *copier) put(b ...byte) {
	c.out = append(c.out, b...)
	if len(c.out) > c.most {
		c.full, c.odd = true, true
	}
}

// value copies the value that comes next, and reports whether anything is left of
// it.
func (c *copier) value(depth int) bool {
	switch first := c.peek(); {
	case first == '{' && depth < maxDepth:
		c.object(depth)
	case first == '[' && depth < maxDepth:
		c.list(depth)
	default:
		raw := c.jsonScanner.value()
		if first == '"' && len(raw) > 0 && isContent(raw) {
			c.content++
			return false
		}
		c.put(bytes.ToValidUTF8(raw, []byte("\uFFFD"))...)
	}
	return true
}

func (c *copier) object(depth int) {
	c.put('{')
	first := true
	for n := 0; c.more('}', n); n++ {
		quoted := c.name()
		name := unquoteName(quoted)
		if name == contentName || c.limited[name] {
			if name == contentName {
				c.content++
			} else {
				c.refused++
			}
			c.skip(depth)
			continue
		}
		before := len(c.out)
		if !first {
			c.put(',')
		}
		c.put('"')
		c.put(bytes.ToValidUTF8(quoted, []byte("\uFFFD"))...)
		c.put('"', ':')
		if !c.value(depth + 1) {
			c.out = c.out[:before]
			continue
		}
		first = false
	}
	c.put('}')
}

func (c *copier) list(depth int) {
	c.put('[')
	for n := 0; c.more(']', n); n++ {
		if n > 0 {
			c.put(',')
		}
		if !c.value(depth + 1) {
			c.put([]byte("null")...)
		}
	}
	c.put(']')
}

// minContent is the length of a run of base64 from which a text is taken for binary
// content. The longest identifier that is known has 64 characters, and what people
// write has blanks.
const minContent = 512

// isContent reports whether a quoted JSON text holds binary content: a run of base64,
// of either alphabet, or a data URL, however it is escaped. What does not belong into
// base64 ends a run only, so that a damaged file is no less a file.
func isContent(quoted []byte) bool {
	b := quoted[1 : len(quoted)-1]
	if len(b) < minContent {
		return false
	}
	long := minContent
	const marker = "base64,"
	if at := bytes.Index(b[:minContent/2], []byte(marker)); at >= 0 {
		b = b[at+len(marker):]
		long = min(long, len(b))
	}
	for run := 0; len(b) > 0; {
		size, ok := base64Char(b)
		b = b[size:]
		if run += size; !ok {
			run = 0
		}
		if run >= long {
			return true
		}
	}
	return false
}

// base64Char is the length of the character with which a JSON text begins, and
// whether base64 has it: line breaks are taken for one, too.
func base64Char(text []byte) (size int, ok bool) {
	c, size := text[0], 1
	if c == '\\' {
		if size = escapeLen(text); size == 0 {
			return 1, false
		}
		plain := unescaped(text[:size])
		if plain == "" { // a line break
			return size, true
		}
		if len(plain) != 1 {
			return size, false
		}
		c = plain[0]
	}
	return size, isBase64URL(c) || c == '+' || c == '/' || c == '='
}
