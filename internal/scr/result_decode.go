package scr

import (
	"cmp"
	"reflect"
	"strconv"
)

// ParseResult reads the answer of a single-case read, like ParseCase, and all of
// guide 8 that the account may have. Whatever else is in it, it counts as dropped:
// a field that the class or the method does not allow never gets into the result.
//
// The second value is the content of the records that may be had and was asked
// for, in the order of the answer. It is in body, which must not change as long as it
// is used, and is decoded there: who reads it has no more use for body.
//
// Two spellings of a field, and two looks at one identification, fill each other:
// what the preferred spelling or the further look has stays, and what differs from
// it is a conflict. Any error is a *RejectedError with reason RejectedRequest,
// RejectedJSON or RejectedCase.
func ParseResult(body []byte, r ResultRequest) (Result, []RecordContent, error) {
	if err := r.validate(); err != nil {
		return Result{}, nil, &RejectedError{Reason: RejectedRequest, Err: err}
	}
	root, rest, err := buildTree(body)
	if err != nil {
		return Result{}, nil, err
	}
	c, err := ParseCase(rest)
	if err != nil {
		return Result{}, nil, err
	}
	d := newResultDecoder(r, c)
	d.root(root)
	return d.finish()
}

// resultDecoder turns the tree of an answer into a result.
type resultDecoder struct {
	request ResultRequest
	result  Result
	ledger  ledger
	kept    keeper

	// Of the identification that is decoded; -1 outside.
	ident    int
	method   string
	contents []foundContent
}

func newResultDecoder(r ResultRequest, c Case) *resultDecoder {
	d := &resultDecoder{request: r, ident: -1}
	d.result.Case = c
	if n := len(c.Identifications); n > 0 {
		d.result.Identifications = make([]IdentificationResult, n)
	}
	d.leave()
	return d
}

func (d *resultDecoder) root(n node) {
	p := planOfResult()
	d.unknownMembers(n)
	for _, f := range p.fields {
		switch f.kind {
		case kindIdents:
			d.identifications(n, f)
		case kindBeside: // after the primary identification itself
		default:
			d.rootField(n, f)
		}
	}
	for _, f := range p.fields {
		if f.kind == kindBeside {
			d.beside(n, f)
		}
	}
}

// rootField decodes a field of the case itself.
func (d *resultDecoder) rootField(n node, f *resultField) {
	for _, name := range f.names {
		v, ok := n.find(name)
		if !ok {
			continue
		}
		d.ledger.push(name, -1)
		switch f.label {
		case "CaseResult.orderData":
			d.value(reflect.ValueOf(&d.result.OrderData).Elem(), v, f)
		case "CaseResult.contactDataResult":
			d.value(reflect.ValueOf(&d.result.ContactData).Elem(), v, f)
		default:
			d.value(reflect.Value{}, v, f)
		}
		d.ledger.pop()
	}
}

// object decodes the fields of an object into the struct at v, which may have some
// already.
func (d *resultDecoder) object(v reflect.Value, n node, p *resultPlan) {
	d.unknownMembers(n)
	for _, f := range p.fields {
		for _, name := range f.names {
			m, ok := n.find(name)
			if !ok {
				continue
			}
			d.ledger.push(name, -1)
			d.value(v, m, f)
			d.ledger.pop()
		}
	}
}

// value decodes the value of a field of the struct at v, or of the pointer at v
// itself if the field is one of the case.
func (d *resultDecoder) value(v reflect.Value, n node, f *resultField) {
	if isAbsent(n.raw, f) {
		return
	}
	if reason := f.allowance.refusal(d.request.Class, d.method); reason != "" {
		d.ledger.drop(f.label, reason)
		return
	}
	var place reflect.Value
	switch {
	case v.IsValid() && v.Kind() == reflect.Pointer:
		place = v
	case v.IsValid() && f.kind < kindRecords:
		place = v.Field(f.index)
	}
	switch f.kind {
	case kindObject:
		d.pointer(place, n, f)
	case kindList:
		d.list(place, n, f)
	case kindRecords:
		d.records(n, f)
	case kindContent, kindIdents, kindBeside: // elsewhere
	case kindCase:
		d.ofCase(n.raw, f.known)
	case kindValue:
		d.resultValue(place, n, f)
	default:
		d.leaf(place, n, f)
	}
}

// isAbsent reports whether a value counts as none (facts C4).
func isAbsent(raw []byte, f *resultField) bool {
	if isEmpty(raw) {
		return true
	}
	return f.isList() && raw[0] == '[' && len(trimSpace(raw[1:len(raw)-1])) == 0
}

// pointer decodes an object; it stays nil if nothing of it is left.
func (d *resultDecoder) pointer(place reflect.Value, n node, f *resultField) {
	if n.raw[0] != '{' {
		d.misshapen(n, f)
		return
	}
	if !place.IsNil() {
		d.object(place.Elem(), n, f.inner)
		return
	}
	fresh := reflect.New(place.Type().Elem())
	d.object(fresh.Elem(), n, f.inner)
	if !fresh.Elem().IsZero() {
		place.Set(fresh)
	}
}

// list decodes a list of objects, without those of which nothing is left.
func (d *resultDecoder) list(place reflect.Value, n node, f *resultField) {
	if n.raw[0] != '[' {
		d.misshapen(n, f)
		return
	}
	fresh := reflect.MakeSlice(place.Type(), 0, len(n.items))
	for i, item := range n.items {
		element := reflect.New(place.Type().Elem()).Elem()
		d.ledger.at(i)
		switch {
		case isEmpty(item.raw):
		case item.raw[0] == '{':
			d.object(element, item, f.inner)
		default:
			d.misshapen(item, f)
		}
		if !element.IsZero() {
			fresh = reflect.Append(fresh, element)
		}
	}
	d.ledger.at(-1)
	if fresh.Len() > 0 {
		d.set(place, fresh, f)
	}
}

// set puts a value where none is, and counts one that differs from what is there.
func (d *resultDecoder) set(place, v reflect.Value, f *resultField) {
	switch {
	case place.IsZero():
		place.Set(v)
	case !reflect.DeepEqual(place.Interface(), v.Interface()):
		d.ledger.drop(f.label, DroppedConflict)
	}
}

func (d *resultDecoder) resultValue(place reflect.Value, n node, f *resultField) {
	if n.raw[0] != '{' {
		d.misshapen(n, f)
		return
	}
	d.unknownMembers(n)
	var v ResultValue
	for _, part := range []struct {
		name string
		to   *string
	}{{"value", &v.Value}, {"status", &v.Status}} {
		m, ok := n.find(part.name)
		if !ok {
			continue
		}
		text, reason := textOf(m.raw)
		if reason != "" {
			d.refuse(n, f, reason)
			return
		}
		*part.to = text
	}
	if v != (ResultValue{}) {
		d.set(place, reflect.ValueOf(&v), f)
	}
}

// leaf decodes a value that is no object of the guide.
func (d *resultDecoder) leaf(place reflect.Value, n node, f *resultField) {
	var v any
	if f.kind == kindRaw {
		c := copier{refuse: d.kept.refused, licence: inLicence(d.ledger.path), most: maxRaw}
		raw, ok := c.copy(n.raw)
		d.ledger.add(Dropped{Path: d.ledger.labelPath(), Field: f.label, Reason: DroppedContent, Count: c.content})
		d.ledger.add(Dropped{Path: d.ledger.labelPath(), Field: f.label, Reason: DroppedClass, Count: c.refused})
		if c.full {
			d.ledger.drop(f.label, DroppedSize)
		}
		if !ok {
			return
		}
		v = RawJSON(raw)
	} else {
		var reason DropReason
		if v, reason = scalar(n.raw, f.kind); reason != "" {
			d.refuse(n, f, reason)
			return
		}
	}
	d.set(place, reflect.ValueOf(v), f)
}

// scalar gives a string, a *int64, a *bool or a time.Time.
func scalar(raw []byte, kind resultKind) (any, DropReason) {
	if kind == kindFlag {
		var f flag
		if f.UnmarshalJSON(raw) != nil {
			return nil, DroppedShape
		}
		return new(bool(f)), ""
	}
	s, reason := textOf(raw)
	if reason != "" {
		return nil, reason
	}
	switch kind {
	case kindNumber:
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return nil, DroppedShape
		}
		return &n, ""
	case kindTime:
		t, err := parseTime("", text(s))
		if err != nil {
			return nil, DroppedShape
		}
		return t, ""
	default:
		return s, ""
	}
}

// textOf gives a text, or the digits of a number.
func textOf(raw []byte) (string, DropReason) {
	if len(raw) > maxText {
		return "", DroppedSize
	}
	var t text
	if t.UnmarshalJSON(raw) != nil {
		return "", DroppedShape
	}
	if raw[0] == '"' && isContent(raw[1:len(raw)-1]) {
		return "", DroppedContent
	}
	return string(t), ""
}

// misshapen is a value that the types have no place for: unknown, though its name
// is not.
func (d *resultDecoder) misshapen(n node, f *resultField) { d.refuse(n, f, DroppedShape) }

func (d *resultDecoder) refuse(n node, f *resultField, reason DropReason) {
	if reason != DroppedShape || !d.keep(n.raw) {
		d.ledger.drop(f.label, reason)
	}
}

// unknownMembers takes the fields of an object that no plan knows.
func (d *resultDecoder) unknownMembers(n node) {
	for _, m := range n.members {
		if m.field == nil {
			d.unknown(m.name, m.value.raw)
		}
	}
}

// unknown takes one field that no source knows.
func (d *resultDecoder) unknown(name string, raw []byte) {
	d.ledger.push(name, -1)
	defer d.ledger.pop()
	var refusal DropReason
	if d.request.KeepUnknown {
		refusal = d.kept.refused.refusal(name, inLicence(d.ledger.path))
	}
	switch {
	case refusal != "":
		d.ledger.dropUnknown(refusal, 1)
	case !d.keep(raw):
		d.ledger.dropUnknown(DroppedUnknown, 1)
	}
}

// keep keeps a value at the path where the decoder is, if that was asked for.
func (d *resultDecoder) keep(raw []byte) bool {
	if !d.request.KeepUnknown {
		return false
	}
	if !d.kept.add(d.ledger.path, raw) {
		d.ledger.dropUnknown(DroppedSize, 1)
	}
	return true
}

// ofCase finds the unknown fields in what is read into the Case.
func (d *resultDecoder) ofCase(raw []byte, known knownFields) {
	s := jsonScanner{data: raw}
	if known == nil || s.peek() != '{' {
		return
	}
	for n := 0; s.more('}', n); n++ {
		name := unquoteName(s.name())
		value := s.value()
		inner, ok := known[name]
		if !ok {
			d.unknown(name, value)
			continue
		}
		d.ledger.push(name, -1)
		d.ofCase(value, inner)
		d.ledger.pop()
	}
}

// finish brings the parts together.
func (d *resultDecoder) finish() (Result, []RecordContent, error) {
	contents := d.allowedContents()
	d.result.Unknown = d.kept.within(cmp.Or(d.request.MaxUnknown, DefaultMaxUnknown), &d.ledger)
	d.result.UnknownTruncated = d.kept.over
	d.result.Dropped = d.ledger.dropped
	return d.result, contents, nil
}
