package scr

import (
	"slices"
	"strconv"
	"strings"
)

// step is one name on the way to a value, with the index in its list or -1.
type step struct {
	name string
	at   int
}

// ledger counts what is dropped, and knows where the decoder is.
type ledger struct {
	path    []step
	dropped []Dropped
	unknown int // paths of unknown fields in dropped
}

func (l *ledger) push(name string, at int) { l.path = append(l.path, step{name, at}) }
func (l *ledger) pop()                     { l.path = l.path[:len(l.path)-1] }

// at says which entry of a list the decoder is in.
func (l *ledger) at(i int) { l.path[len(l.path)-1].at = i }

func (l *ledger) drop(field string, reason DropReason) {
	l.add(Dropped{Path: l.labelPath(), Field: field, Reason: reason, Count: 1})
}

// dropUnknown counts at a path that ends with the other side's name. There are as
// many such paths as anybody likes, so they are bounded.
func (l *ledger) dropUnknown(reason DropReason, count int) {
	if count == 0 {
		return
	}
	d := Dropped{Path: l.labelPath(), Reason: reason, Count: count}
	if l.index(d) < 0 {
		if l.unknown >= maxUnknownPaths {
			d.Path = otherPaths
		} else {
			l.unknown++
		}
	}
	l.add(d)
}

func (l *ledger) index(d Dropped) int {
	return slices.IndexFunc(l.dropped, func(o Dropped) bool {
		return o.Path == d.Path && o.Field == d.Field && o.Reason == d.Reason
	})
}

func (l *ledger) add(d Dropped) {
	if d.Count == 0 {
		return
	}
	if i := l.index(d); i >= 0 {
		l.dropped[i].Count += d.Count
		return
	}
	l.dropped = append(l.dropped, d)
}

// labelPath is the path for a label: names with dots between, and "?" for one that
// could be anything.
func (l *ledger) labelPath() string {
	names := make([]string, len(l.path))
	for i, s := range l.path {
		names[i] = s.name
		if !isShown([]byte(s.name)) {
			names[i] = hiddenName
		}
	}
	return strings.Join(names, ".")
}

// jsonPath writes a path as RFC 9535 does, with the short form of a name where it
// has one.
func jsonPath(path []step) string {
	var b strings.Builder
	b.WriteByte('$')
	for _, s := range path {
		if isShorthand(s.name) {
			b.WriteByte('.')
			b.WriteString(s.name)
		} else {
			b.WriteString("['")
			writeQuoted(&b, s.name)
			b.WriteString("']")
		}
		if s.at >= 0 {
			b.WriteByte('[')
			b.WriteString(strconv.Itoa(s.at))
			b.WriteByte(']')
		}
	}
	return b.String()
}

func isShorthand(name string) bool {
	if name == "" || isDigit(name[0]) {
		return false
	}
	return !strings.ContainsFunc(name, func(c rune) bool {
		return c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z')
	})
}

// writeQuoted escapes as RFC 9535, 2.7 asks for.
func writeQuoted(b *strings.Builder, name string) {
	const hex = "0123456789abcdef"
	for _, c := range name {
		switch {
		case c == '\'' || c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		case c == '\b':
			b.WriteString(`\b`)
		case c == '\t':
			b.WriteString(`\t`)
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\f':
			b.WriteString(`\f`)
		case c == '\r':
			b.WriteString(`\r`)
		case c < ' ':
			b.WriteString(`\u00`)
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&0xf])
		default:
			b.WriteRune(c)
		}
	}
}
