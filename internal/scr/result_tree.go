package scr

import (
	"bytes"
	"errors"

	"github.com/go-jose/go-jose/v4/json"
)

// node is a value of an answer as it stands there. It holds no copy of it.
type node struct {
	raw     []byte
	members []member // of an object whose fields are known
	items   []node   // of a list of such objects
}

// member is a field of an object.
type member struct {
	name  string
	field *resultField // nil: unknown
	value node
}

// find gives the value of a name, and a nil node if there is none.
func (n node) find(name string) (node, bool) {
	for _, m := range n.members {
		if m.name == name {
			return m.value, true
		}
	}
	return node{}, false
}

var (
	errNested  = errors.New("malformed JSON, or nested too deep")
	errTwice   = errors.New("a name that stands twice in an object")
	errTooMany = errors.New("more fields than a case can have")
)

// treeBuilder goes once through an answer and notes where the fields are that
// the plans know. What it does not know it skips.
type treeBuilder struct {
	jsonScanner

	nodes int
	cuts  [][2]int // where content stands, and what else is long and no case needs
	err   error
}

// buildTree reads an answer. The rest is the answer without the content of its
// records, small enough to be decoded; it is the answer itself if it has none.
func buildTree(body []byte) (root node, rest []byte, err error) {
	b := treeBuilder{jsonScanner: jsonScanner{data: body}}
	if b.peek() != '{' {
		return node{}, nil, &RejectedError{Reason: RejectedJSON, Err: &shapeError{"an object"}}
	}
	root = b.object(planOfResult())
	switch {
	case b.err != nil:
		return node{}, nil, &RejectedError{Reason: RejectedJSON, Err: b.err}
	case !b.atEnd():
		return node{}, nil, &RejectedError{Reason: RejectedJSON, Err: errNested}
	}
	return root, b.rest(), nil
}

// rest is the answer with null in place of what was cut.
func (b *treeBuilder) rest() []byte {
	if len(b.cuts) == 0 {
		return b.data
	}
	size := len(b.data)
	for _, c := range b.cuts {
		size -= c[1] - c[0] - len("null")
	}
	rest := make([]byte, 0, size)
	from := 0
	for _, c := range b.cuts {
		rest = append(append(rest, b.data[from:c[0]]...), "null"...)
		from = c[1]
	}
	return append(rest, b.data[from:]...)
}

// fail ends the reading.
func (b *treeBuilder) fail(err error) {
	b.odd = true
	if b.err == nil {
		b.err = err
	}
}

// object takes an object, whose brace comes next.
func (b *treeBuilder) object(p *resultPlan) node {
	const few = 24 // are compared with each other; of more there is a map
	from := b.at
	var n node
	var seen map[string]bool
	for i := 0; b.more('}', i); i++ {
		name := unquoteName(b.name())
		if len(n.members) == few {
			seen = make(map[string]bool)
			for _, m := range n.members {
				seen[m.name] = true
			}
		}
		twice := seen[name]
		if seen == nil {
			_, twice = n.find(name)
		} else {
			seen[name] = true
		}
		if twice && !b.odd {
			b.fail(errTwice)
		}
		f := p.byName[name]
		n.members = append(n.members, member{name, f, b.value(f)})
	}
	n.raw = b.data[from:b.at]
	return n
}

// value takes the value of a field.
func (b *treeBuilder) value(f *resultField) node {
	if b.nodes++; b.nodes > maxNodes {
		b.fail(errTooMany)
	}
	c, from := b.peek(), b.at
	switch {
	case f != nil && f.inner != nil && c == '{':
		return b.object(f.inner)
	case f != nil && f.isList() && c == '[':
		return b.list(f)
	}
	b.skip(0)
	n := node{raw: b.data[from:b.at]}
	if f == nil && len(n.raw) > maxRaw || f != nil && f.kind == kindContent {
		b.cuts = append(b.cuts, [2]int{from, b.at})
	}
	return n
}

func (b *treeBuilder) list(f *resultField) node {
	from := b.at
	var n node
	for i := 0; b.more(']', i); i++ {
		if b.nodes++; b.nodes > maxNodes {
			b.fail(errTooMany)
		}
		if b.peek() == '{' {
			n.items = append(n.items, b.object(f.inner))
			continue
		}
		from := b.at
		b.skip(0)
		n.items = append(n.items, node{raw: b.data[from:b.at]})
	}
	n.raw = b.data[from:b.at]
	return n
}

// unquoteName gives the name that stands between quotes.
func unquoteName(quoted []byte) string {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return string(bytes.ToValidUTF8(quoted, []byte("\uFFFD")))
	}
	var name string
	if json.Unmarshal(bytes.Join([][]byte{{'"'}, quoted, {'"'}}, nil), &name) != nil {
		return ""
	}
	return name
}
