package scr

import (
	"reflect"
	"slices"

	"github.com/go-jose/go-jose/v4/json"
)

// look is one place where an identification stands.
type look struct {
	n      node
	name   string
	at     int // index in the list, -1 in none
	status wireStatus
	of     Identification // as the case reads it
}

// identifications decodes all looks at all identifications, the further of one
// before the others, as the case unites them.
func (d *resultDecoder) identifications(n node, f *resultField) {
	looks := make([][]look, len(d.result.Identifications))
	for _, l := range d.looks(n, f) {
		i := slices.IndexFunc(d.result.Case.Identifications, func(o Identification) bool {
			return o.Method == l.of.Method && o.Created.Equal(l.of.Created)
		})
		if l.of.Created.IsZero() || i < 0 {
			d.ledger.push(l.name, l.at)
			d.ledger.drop(f.label, DroppedOrphan)
			d.ledger.pop()
			continue
		}
		looks[i] = append(looks[i], l)
	}
	for i, all := range looks {
		slices.SortStableFunc(all, func(a, b look) int { return compareProgress(b.of, a.of) })
		for k, l := range all {
			d.enter(i)
			d.ledger.push(l.name, l.at)
			if k > 0 && l.status != all[0].status {
				d.ledger.push("identificationStatus", -1)
				d.ledger.drop("IdentificationResult.identificationStatus", DroppedConflict)
				d.ledger.pop()
			}
			d.object(reflect.ValueOf(&d.result.Identifications[i]).Elem(), l.n, f.inner)
			d.lostCodes(l)
			d.ledger.pop()
			d.leave()
		}
	}
}

// enter says whose fields come next.
func (d *resultDecoder) enter(i int) {
	d.ident, d.method = i, d.result.Case.Identifications[i].Method
	d.kept.refused = refusals{classOf(d.request.Class), methodOf(d.method)}
}

// leave says that fields of the case come next. What nobody knows of them can be
// about any of its identifications.
func (d *resultDecoder) leave() {
	d.ident, d.method = -1, ""
	all := otherMethod
	for _, i := range d.result.Case.Identifications {
		all |= methodOf(i.Method)
	}
	d.kept.refused = refusals{classOf(d.request.Class), all}
}

// looks finds the identifications in the places where they stand. One of which
// nothing is known has no created.
func (d *resultDecoder) looks(n node, f *resultField) []look {
	var all []look
	for _, name := range f.names {
		v, ok := n.find(name)
		if !ok || isAbsent(v.raw, f) {
			continue
		}
		items, at := v.items, 0
		if v.raw[0] == '{' {
			items, at = []node{v}, -1
		}
		for _, item := range items {
			if !isEmpty(item.raw) {
				all = append(all, d.look(item, name, at))
			}
			at++
		}
	}
	return all
}

func (d *resultDecoder) look(n node, name string, at int) look {
	l := look{n: n, name: name, at: at}
	var w wireIdentification
	if m, ok := n.find("identificationMethod"); ok {
		_ = w.Method.UnmarshalJSON(m.raw) // the case read it
	}
	if s, ok := n.find("identificationStatus"); ok {
		_ = json.Unmarshal(s.raw, &w.Status) // the case read it
	}
	l.status = w.Status.value
	if of, ok, err := w.decode(d.result.Case.Status.Created); err == nil && ok {
		l.of = of
	}
	return l
}

// lostCodes counts the codes that have a description only: the code is what counts
// (facts C11), and without it the case has none.
func (d *resultDecoder) lostCodes(l look) {
	d.ledger.push("identificationStatus", -1)
	for _, o := range []struct {
		name string
		wireCode
	}{{"subStatus", l.status.SubStatus.value}, {"subStatusReason", l.status.SubStatusReason.value}} {
		if o.Code == "" && o.Description != "" {
			d.ledger.push(o.name, -1)
			d.ledger.drop("IdentificationStatus."+o.name, DroppedShape)
			d.ledger.pop()
		}
	}
	d.ledger.pop()
}

// beside decodes a document that stands beside the primary identification (facts
// C3).
func (d *resultDecoder) beside(n node, f *resultField) {
	primary := slices.IndexFunc(d.result.Case.Identifications, func(i Identification) bool { return i.Primary })
	for _, name := range f.names {
		v, ok := n.find(name)
		if !ok || isEmpty(v.raw) {
			continue
		}
		d.ledger.push(name, -1)
		if primary < 0 {
			d.ledger.drop(f.label, DroppedOrphan)
		} else {
			d.enter(primary)
			d.pointer(reflect.ValueOf(&d.result.Identifications[primary]).Elem().Field(f.index), v, f)
			d.leave()
		}
		d.ledger.pop()
	}
}

// records decodes a list of records of the identification.
func (d *resultDecoder) records(n node, f *resultField) {
	if n.raw[0] != '[' {
		d.misshapen(n, f)
		return
	}
	ident := &d.result.Identifications[d.ident]
	for i, item := range n.items {
		d.ledger.at(i)
		if isEmpty(item.raw) {
			continue
		}
		var r RecordResult
		d.object(reflect.ValueOf(&r).Elem(), item, f.inner)
		if r != (RecordResult{}) && !slices.Contains(ident.Records, r) {
			ident.Records = append(ident.Records, r)
		}
		if content, ok := item.find(contentName); ok && !isEmpty(content.raw) {
			d.ledger.push(contentName, -1)
			d.contents = append(d.contents, foundContent{
				raw: content.raw, ident: d.ident, path: d.ledger.labelPath(), record: recordOf(item),
			})
			d.ledger.pop()
		}
	}
	d.ledger.at(-1)
}

// recordOf is the record as the case has it.
func recordOf(n node) Record {
	var w wireRecord
	for name, to := range map[string]*text{
		"recordId": &w.ID, "belongsTo": &w.BelongsTo, "type": &w.Type, "mimeType": &w.MimeType, "fileName": &w.FileName,
		"validationStatus": &w.ValidationStatus, "validationSubStatus": &w.ValidationSubStatus,
	} {
		if m, ok := n.find(name); ok {
			_ = to.UnmarshalJSON(m.raw) // the case read it
		}
	}
	return w.decode()
}
