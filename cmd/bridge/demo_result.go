package main

import (
	"encoding/hex"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"postident-bridge/schemas"
)

// resultField is a value of a result, an object or a list, by the names of the schema and
// in their order. What is null is none.
type resultField struct {
	name  string
	leaf  any // string, bool or int64; nil for objects and lists
	list  bool
	parts []resultField
}

// resultFields are the fields of a result that are set.
func resultFields(r *schemas.IdentificationResult) []resultField {
	return resultFieldOf("", reflect.ValueOf(r).Elem()).parts
}

func resultFieldOf(name string, v reflect.Value) resultField {
	f := resultField{name: name}
	switch v.Kind() {
	case reflect.Pointer:
		return resultFieldOf(name, v.Elem())
	case reflect.Struct:
		if at, ok := reflect.TypeAssert[time.Time](v); ok {
			f.leaf = at.UTC().Format(time.RFC3339)
			return f
		}
		for i := range v.NumField() {
			if part := v.Field(i); !isNull(part) {
				f.parts = append(f.parts, resultFieldOf(v.Type().Field(i).Tag.Get("avro"), part))
			}
		}
	case reflect.Slice:
		if raw, ok := reflect.TypeAssert[[]byte](v); ok {
			f.leaf = hex.EncodeToString(raw)
			return f
		}
		f.list = true
		for i := range v.Len() {
			f.parts = append(f.parts, resultFieldOf(strconv.Itoa(i), v.Index(i)))
		}
	case reflect.Bool:
		f.leaf = v.Bool()
	case reflect.Int, reflect.Int64:
		f.leaf = v.Int()
	default:
		f.leaf = v.String()
	}
	return f
}

func isNull(v reflect.Value) bool {
	return v.Kind() == reflect.Pointer && v.IsNil() || v.Kind() == reflect.Slice && v.Len() == 0
}

// json is the field as encoding/json takes it.
func (f *resultField) json() any {
	switch {
	case f.leaf != nil:
		return f.leaf
	case f.list:
		list := make([]any, len(f.parts))
		for i := range f.parts {
			list[i] = f.parts[i].json()
		}
		return list
	}
	object := make(map[string]any, len(f.parts))
	for i := range f.parts {
		object[f.parts[i].name] = f.parts[i].json()
	}
	return object
}

// part is a field of an object, nil where it is null.
func (f *resultField) part(name string) *resultField {
	for i := range f.parts {
		if f.parts[i].name == name {
			return &f.parts[i]
		}
	}
	return nil
}

// leaves visits the values with their paths, with dots between the names.
func (f *resultField) leaves(path string, visit func(path string, leaf any)) {
	if f.leaf != nil {
		visit(path, f.leaf)
	}
	for i := range f.parts {
		f.parts[i].leaves(strings.TrimPrefix(path+"."+f.parts[i].name, "."), visit)
	}
}

// resultRow is a line of a section of a printed result.
type resultRow struct{ name, value, status string }

// writeResult writes the parts of a result that guide 8 knows, in sections, one
// value a line. What its status event says, too, is left out.
func writeResult(b *strings.Builder, r *schemas.IdentificationResult, heading func(string) string) {
	root := resultField{parts: resultFields(r)}
	section := func(name string, rows []resultRow) {
		if len(rows) > 0 {
			b.WriteString("\n" + heading(name) + "\n")
			writeRows(b, rows)
		}
	}
	if order := root.part("orderData"); order != nil {
		for i := range order.parts {
			section("orderData."+order.parts[i].name, rowsOf("", &order.parts[i]))
		}
	}
	for _, name := range []string{
		"contactData", "identificationDocument", "drivingLicence",
		"additionalDataBasic", "additionalDataEid", "additionalDataVideo", "unknownFields",
	} {
		if part := root.part(name); part != nil {
			section(name, rowsOf("", part))
		}
	}
	if len(r.Records) > 0 {
		b.WriteString("\n" + heading("records") + "\n")
		for i := range r.Records {
			writeRecord(b, &r.Records[i].Metadata)
		}
	}
}

// rowsOf are the lines of an object: a ResultValue is one.
func rowsOf(path string, f *resultField) []resultRow {
	if f.leaf != nil {
		return []resultRow{{name: path, value: shown(f.leaf)}}
	}
	if value, status := f.part("value"), f.part("status"); value != nil && status != nil {
		row := resultRow{name: path, value: shown(value.leaf), status: shown(status.leaf)}
		if text := f.part("statusText"); text != nil {
			row.status = shown(text.leaf)
		}
		return []resultRow{row}
	}
	var rows []resultRow
	for i := range f.parts {
		rows = append(rows, rowsOf(strings.TrimPrefix(path+"."+f.parts[i].name, "."), &f.parts[i])...)
	}
	return rows
}

func shown(leaf any) string {
	if leaf == "" {
		return "(empty)"
	}
	return fmt.Sprint(leaf)
}

// writeRows aligns the columns of a section by their own width.
func writeRows(b *strings.Builder, rows []resultRow) {
	var name, value int
	for _, r := range rows {
		name = max(name, utf8.RuneCountInString(r.name))
		if r.status != "" {
			value = max(value, utf8.RuneCountInString(r.value))
		}
	}
	for _, r := range rows {
		line := fmt.Sprintf("  %-*s  %-*s  %s", name, r.name, value, r.value, r.status)
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
}

// shownDigits is how much of a digest is printed: to compare by eye.
const shownDigits = 12

func writeRecord(b *strings.Builder, m *schemas.RecordMetadata) {
	text := func(s *string) string {
		if s == nil {
			return "-"
		}
		return *s
	}
	stored := "not in the store"
	if ref, ok := m.StoredAs(); ok {
		stored = fmt.Sprintf("%7d bytes  sha256 %s...", ref.Size, hex.EncodeToString(ref.SHA256)[:shownDigits])
	}
	fmt.Fprintf(b, "  %-13s  %-15s  %s  %s\n", text(m.Type), text(m.MimeType), stored, m.RecordID)
}
