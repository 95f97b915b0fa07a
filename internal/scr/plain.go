package scr

import (
	"bytes"
	"hash/maphash"
	"reflect"
	"slices"
	"sync"
	"unicode/utf8"
)

// plainReader reads a case into the wire types without the JSON decoder, which
// goes through every object once more for each level above it, and finds the
// unknown fields on the way. What it does not take as it stands it calls odd,
// good or bad, and that is for the decoder; of everything else both read the same
// (FuzzParseCase).
type plainReader struct {
	jsonScanner

	texts   *textCache
	unknown unknownPaths
	strange [][]byte // the unknown names of the objects that are open
}

// plainValue is a place of the wire types that a value goes to.
type plainValue interface {
	// readPlain takes the value that comes next. p says what an object's names
	// mean; it is nil where no object belongs.
	readPlain(r *plainReader, p *wirePlan)
}

// plainHolder is a plainValue that holds objects of a wire type.
type plainHolder interface {
	plainValue
	holds() reflect.Type
}

// wirePlan is what the names in an object mean: fieldsOfCase and the wire type of
// the object laid beside each other.
type wirePlan struct {
	path   string // of the object, with a dot at its end
	fields map[string]wireField
}

// wireField is a known name.
type wireField struct {
	bit   uint64    // tells the names of one object apart
	index []int     // of the field in the wire type; nil if it is not read
	inner *wirePlan // of the objects in it; nil if there are none
}

// planOfCase is the same for every answer.
var planOfCase = sync.OnceValue(func() *wirePlan {
	return newWirePlan("", reflect.TypeFor[wireCase](), fieldsOfCase)
})

func newWirePlan(path string, object reflect.Type, known knownFields) *wirePlan {
	p := &wirePlan{path: path, fields: make(map[string]wireField, len(known))}
	for name := range known {
		p.fields[name] = wireField{bit: 1 << len(p.fields)}
	}
	for _, field := range reflect.VisibleFields(object) {
		name := field.Tag.Get("json")
		f, ok := p.fields[name]
		if !ok {
			continue // embedded; the fields in it are visible too
		}
		f.index = field.Index
		if holder, ok := reflect.TypeAssert[plainHolder](reflect.New(field.Type)); ok {
			f.inner = newWirePlan(path+name+".", holder.holds(), known[name])
		}
		p.fields[name] = f
	}
	return p
}

// readCase takes a case into w, which is empty. It is false for an odd one, whose
// unknown fields are forgotten.
func (r *plainReader) readCase(w *wireCase) bool {
	before := len(r.unknown)
	if r.peek() == '{' {
		r.object(reflect.ValueOf(w).Elem(), planOfCase())
	} else {
		r.odd = true
	}
	if r.odd {
		r.unknown, r.strange = r.unknown[:before], r.strange[:0]
	}
	return !r.odd
}

// object takes an object, whose brace comes next, into the struct at v.
func (r *plainReader) object(v reflect.Value, p *wirePlan) {
	var seen uint64
	strange := len(r.strange)
	for n := 0; r.more('}', n); n++ {
		name := r.name()
		f, known := p.fields[string(name)]
		if !known {
			r.unknownField(name, p, strange)
			continue
		}
		if seen&f.bit != 0 {
			r.odd = true // a name that stands twice
			return
		}
		seen |= f.bit
		if f.index == nil {
			r.skip(0)
			continue
		}
		place, ok := reflect.TypeAssert[plainValue](v.FieldByIndex(f.index).Addr())
		if !ok {
			r.odd = true
			return
		}
		place.readPlain(r, f.inner)
	}
	r.strange = r.strange[:strange]
}

// maxStrange is how many unknown names an object may have that is read plainly.
const maxStrange = 64

// unknownField takes the value of a name that the object's plan lacks. The
// strange names from index from on are those of the same object.
func (r *plainReader) unknownField(name []byte, p *wirePlan, from int) {
	if len(r.strange)-from >= maxStrange {
		r.odd = true // each is compared with all before it; the decoder has a map
		return
	}
	twice := slices.ContainsFunc(r.strange[from:], func(o []byte) bool { return bytes.Equal(o, name) })
	if r.odd || twice || slices.ContainsFunc(name, hasOtherForms) {
		r.odd = true
		return
	}
	r.strange = append(r.strange, name)
	r.unknown.add(p.path, name)
	r.skip(0)
}

// hasOtherForms reports whether a name with c in it may be one that is written in
// another way too, as an escape is, and bytes that are no UTF-8.
func hasOtherForms(c byte) bool { return c == '\\' || c > '~' }

// empty takes a null, a "" or an object without members (facts C4), and reports
// whether it did.
func (r *plainReader) empty() bool {
	c, from := r.peek(), r.at
	switch c {
	case 'n', '"':
		if isEmpty(r.value()) {
			return !r.odd
		}
	case '{':
		if !r.more('}', 0) {
			return !r.odd
		}
	}
	r.at = from
	return false
}

func (*object[T]) holds() reflect.Type { return reflect.TypeFor[T]() }

func (o *object[T]) readPlain(r *plainReader, p *wirePlan) {
	switch {
	case r.empty():
	case r.peek() == '{':
		o.present = true
		r.object(reflect.ValueOf(&o.value).Elem(), p)
	default:
		r.odd = true
	}
}

func (*list[T]) holds() reflect.Type { return reflect.TypeFor[T]() }

func (l *list[T]) readPlain(r *plainReader, p *wirePlan) {
	if r.empty() {
		return
	}
	if r.peek() != '[' {
		r.odd = true
		return
	}
	for n := 0; r.more(']', n); n++ {
		if r.empty() {
			continue
		}
		if r.peek() != '{' {
			r.odd = true
			return
		}
		var none T
		*l = append(*l, none)
		r.object(reflect.ValueOf(&(*l)[len(*l)-1]).Elem(), p)
	}
}

func (t *text) readPlain(r *plainReader, _ *wirePlan) {
	raw := r.value()
	if n := len(raw); n > len(`""`) && raw[0] == '"' && bytes.IndexByte(raw, '\\') < 0 && utf8.Valid(raw) {
		*t = r.texts.text(raw[1 : n-1])
		return
	}
	if t.UnmarshalJSON(raw) != nil {
		r.odd = true
	}
}

func (f *flag) readPlain(r *plainReader, _ *wirePlan) {
	if f.UnmarshalJSON(r.value()) != nil {
		r.odd = true
	}
}

// textCache gives one string for texts that are equal: the cases of a list say
// most of what they say alike. It keeps a text until another one needs its place.
type textCache struct {
	seed   maphash.Seed
	places [cachedTexts]string
}

const (
	cachedTexts    = 512
	longestToCache = 64
)

func newTextCache() *textCache { return &textCache{seed: maphash.MakeSeed()} }

// text is b as a text. Of no cache it is one of its own.
func (c *textCache) text(b []byte) text {
	if c == nil || len(b) > longestToCache {
		return text(b)
	}
	place := &c.places[maphash.Bytes(c.seed, b)%cachedTexts]
	if *place != string(b) {
		*place = string(b)
	}
	return text(*place)
}
