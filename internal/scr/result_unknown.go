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
	refused refusals // where the decoder is
	fields  []keptField
	over    bool
}

type keptField struct {
	path    []step
	text    string // of the path
	raw     []byte
	refused refusals
}

// add notes a value, unless there are too many to be told apart.
func (k *keeper) add(path []step, raw []byte) bool {
	if len(k.fields) >= maxNodes {
		k.over = true
		return false
	}
	k.fields = append(k.fields, keptField{slices.Clone(path), jsonPath(path), raw, k.refused})
	return true
}

// within gives the fields in the order of their paths, as far as they fit into
// limit bytes, and counts what is left out.
func (k *keeper) within(limit int, l *ledger) []UnknownField {
	slices.SortFunc(k.fields, func(a, b keptField) int { return cmp.Compare(a.text, b.text) })
	var kept []UnknownField
	for i, f := range k.fields {
		l.path = f.path
		c := copier{refuse: f.refused, licence: inLicence(f.path), most: limit - len(f.text)}
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
// fields that are refused.
type copier struct {
	jsonScanner

	refuse  refusals
	licence bool // in a driving licence
	inList  bool // and in no object of it: the outermost list was looked through
	most    int  // bytes
	out     []byte
	full    bool // more than most
	content int  // what was left out as binary content
	refused int  // fields that are refused
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
		return c.list(depth)
	default:
		raw := c.jsonScanner.value()
		if first == '"' && len(raw) > 0 && isContent(raw[1:len(raw)-1]) {
			c.content++
			return false
		}
		c.put(bytes.ToValidUTF8(raw, []byte("\uFFFD"))...)
	}
	return true
}

func (c *copier) object(depth int) {
	licence, inList := c.licence, c.inList
	defer func() { c.licence, c.inList = licence, inList }()
	c.inList = false
	c.put('{')
	first := true
	for n := 0; c.more('}', n); n++ {
		quoted := c.name()
		name := unquoteName(quoted)
		if reason := c.refuse.refusal(name, licence); reason != "" {
			if reason == DroppedContent {
				c.content++
			} else {
				c.refused++
			}
			c.skip(depth)
			continue
		}
		c.licence = licence || isLicence(name)
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

// list copies a list, unless its texts together are content: a file comes in pieces,
// too, and its rest is part of it.
func (c *copier) list(depth int) bool {
	inList := c.inList
	defer func() { c.inList = inList }()
	if !inList {
		ahead := c.jsonScanner
		var f contentFinder
		if f.list(&ahead, depth) {
			c.content++
			c.skip(depth)
			return false
		}
	}
	c.inList = true
	c.put('[')
	for n := 0; c.more(']', n); n++ {
		if n > 0 {
			c.put(',')
		}
		c.value(depth + 1)
	}
	c.put(']')
	return true
}
