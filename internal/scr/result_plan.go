package scr

import (
	"reflect"
	"strings"
	"sync"
	"time"
)

// resultKind is what is done with the value of a field.
type resultKind int

const (
	kindText    resultKind = iota
	kindValue              // a ResultValue
	kindNumber             // an int64
	kindFlag               // a bool
	kindTime               // a time.Time
	kindRaw                // a RawJSON
	kindObject             // a struct
	kindList               // of structs
	kindRecords            // of the identification that the object belongs to
	kindContent            // of a record
	kindCase               // read into the Case; only its unknown fields are looked for
	kindIdents             // identifications, one or a list
	kindBeside             // a document of the primary identification, beside it
)

// resultPlan says how an object of an answer is read. It is made of the types of the
// result, so that a field is known, typed and looked up in the allowances by one
// description.
type resultPlan struct {
	object string // the guide's name
	fields []*resultField
	byName map[string]*resultField // every spelling
}

type resultField struct {
	label     string   // object.field, in the guide's names
	names     []string // its spellings, the preferred one first
	kind      resultKind
	index     int // of the field in the type
	allowance allowance
	inner     *resultPlan // of the objects in it
	known     knownFields // of kindCase: the names in it
}

// planOfResult is the same for every answer.
var planOfResult = sync.OnceValue(func() *resultPlan {
	identification := newResultPlan(reflect.TypeFor[IdentificationResult]())
	document, _ := identification.field("identificationDocument")
	licence, _ := identification.field("drivingLicence")
	record, _ := identification.field("records")

	identification.add("identificationMethod", kindCase)
	identification.add("identificationStatus", kindCase).known = fieldsOfIdentification["identificationStatus"]
	record.kind = kindRecords
	record.inner.add("documentData", kindContent)
	for _, f := range []*resultField{document, licence} {
		f.inner.add("records", kindRecords).inner = record.inner
	}

	// The names of guide 8.2 are those of the tables; the samples have others (facts
	// C1, C2).
	root := &resultPlan{object: "CaseResult", byName: make(map[string]*resultField)}
	root.add("caseId", kindCase)
	root.add("caseStatus", kindCase).known = fieldsOfCase["caseStatus"]
	root.add("orderData", kindObject).inner = newResultPlan(reflect.TypeFor[OrderData]())
	root.add("contactDataResult", kindObject, "contactData", "contactDataResult").inner = newResultPlan(reflect.TypeFor[ContactDataResult]())
	root.add("primaryIdentification", kindIdents, "primaryIdent", "primaryIdentification", "identifications").inner = identification
	root.add("accountingData", kindCase).known = fieldsOfCase["accountingData"]
	for _, f := range []*resultField{document, licence} { // facts C3
		beside := *f
		beside.kind = kindBeside
		root.put(&beside)
	}
	return root
})

// guideNames are the objects whose Go names are not the guide's.
var guideNames = map[string]string{
	"IDCardReaderCheck":         "IdCardReaderCheck",
	"IDCardReaderCheckCategory": "IdCardReaderCheckCategories",
	"FailedCheckOfIDCardReader": "FailedCheckOfIdCardReader",
}

func newResultPlan(object reflect.Type) *resultPlan {
	p := &resultPlan{object: object.Name(), byName: make(map[string]*resultField)}
	if name, ok := guideNames[p.object]; ok {
		p.object = name
	}
	for i := range object.NumField() {
		field := object.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		kind, element := kindOfType(field.Type)
		f := p.add(name, kind, append([]string{name}, strings.Fields(field.Tag.Get("alias"))...)...)
		f.index = i
		if element != nil {
			f.inner = newResultPlan(element)
		}
	}
	return p
}

// kindOfType gives the type of the objects in the field too.
func kindOfType(t reflect.Type) (resultKind, reflect.Type) {
	switch t {
	case reflect.TypeFor[*ResultValue]():
		return kindValue, t.Elem()
	case reflect.TypeFor[*int64]():
		return kindNumber, nil
	case reflect.TypeFor[*bool]():
		return kindFlag, nil
	case reflect.TypeFor[time.Time]():
		return kindTime, nil
	case reflect.TypeFor[RawJSON]():
		return kindRaw, nil
	}
	switch t.Kind() {
	case reflect.Pointer:
		return kindObject, t.Elem()
	case reflect.Slice:
		return kindList, t.Elem()
	default:
		return kindText, nil
	}
}

// add adds a field of the guide with its spellings on the wire, if they are others.
func (p *resultPlan) add(name string, kind resultKind, spellings ...string) *resultField {
	if len(spellings) == 0 {
		spellings = []string{name}
	}
	f := &resultField{
		label: p.object + "." + name, names: spellings, kind: kind,
		allowance: fieldAllowance(p.object, name),
	}
	p.put(f)
	return f
}

func (p *resultPlan) put(f *resultField) {
	p.fields = append(p.fields, f)
	for _, name := range f.names {
		p.byName[name] = f
	}
}

func (p *resultPlan) field(name string) (*resultField, bool) {
	f, ok := p.byName[name]
	return f, ok
}

// isList reports whether the field's value is a list of objects.
func (f *resultField) isList() bool {
	return f.kind == kindList || f.kind == kindRecords || f.kind == kindIdents
}

// objectsOfResult has the guide's names of all fields by those of their objects.
var objectsOfResult = sync.OnceValue(func() map[string]map[string]bool {
	objects := make(map[string]map[string]bool)
	var walk func(p *resultPlan)
	walk = func(p *resultPlan) {
		for _, f := range p.fields {
			object, field, _ := strings.Cut(f.label, ".")
			if objects[object] == nil {
				objects[object] = make(map[string]bool)
			}
			objects[object][field] = true
			if f.inner != nil {
				walk(f.inner)
			}
		}
	}
	walk(planOfResult())
	// These are read into the Case.
	for object, fields := range map[string]knownFields{
		"CaseStatus":           fieldsOfCase["caseStatus"],
		"AccountingData":       fieldsOfCase["accountingData"],
		"IdentificationStatus": fieldsOfIdentification["identificationStatus"],
	} {
		objects[object] = make(map[string]bool)
		for field := range fields {
			objects[object][field] = true
		}
	}
	return objects
})
