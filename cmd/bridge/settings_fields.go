package main

import (
	"fmt"
	"reflect"
	"strings"
	"time"
)

// field is one setting as the struct's tags describe it, with its value.
type field struct {
	Name    string // the variable
	Section string
	Desc    string
	Default string
	OneOf   string // values allowed, separated by blanks; "" for any
	Need    string // what needs it, separated by blanks; "" for nothing
	File    bool   // may be given as <Name>_FILE
	Secret  bool
	value   reflect.Value
}

// text returns the value as an environment would hold it, "" if it is not set.
// It is the value itself, secrets included.
func (f field) text() string {
	if f.Secret {
		return f.value.String()
	}
	switch v := f.value.Interface().(type) {
	case time.Duration:
		return shortDuration(v)
	case list:
		return strings.Join(v, ",")
	case prefixes:
		parts := make([]string, len(v))
		for i, p := range v {
			parts[i] = p.String()
			if p.IsSingleIP() {
				parts[i] = p.Addr().String()
			}
		}
		return strings.Join(parts, ",")
	default:
		return fmt.Sprint(v)
	}
}

// shortDuration leaves out what time.Duration writes for nothing: 24h for
// 24h0m0s.
func shortDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// shown returns the value fit for people: secrets masked, certificates named
// only.
func (f field) shown() string {
	value := f.text()
	switch {
	case value == "":
		return ""
	case f.Secret:
		return mask
	case f.File:
		return "(PEM)"
	default:
		return value
	}
}

// settingFields returns every setting of s in the order of the documentation,
// the accounts last.
func settingFields(s *settings) []field {
	fields := fieldsOf(reflect.ValueOf(s).Elem(), envPrefix, "")
	for i := range s.Accounts {
		a := &s.Accounts[i]
		fields = append(fields, fieldsOf(reflect.ValueOf(a).Elem(), accountPrefix(a.Number), "Accounts")...)
	}
	return fields
}

// fieldsOf walks a settings struct the way caarlos0/env does.
func fieldsOf(v reflect.Value, prefix, section string) []field {
	var out []field
	for i := range v.NumField() {
		tag := v.Type().Field(i).Tag
		key := tag.Get("env")
		if key == "-" {
			continue
		}
		if key == "" { // a group
			inner := section
			if s := tag.Get("section"); s != "" {
				inner = s
			}
			out = append(out, fieldsOf(v.Field(i), prefix+tag.Get("envPrefix"), inner)...)
			continue
		}
		_, isSecret := reflect.TypeAssert[secret](v.Field(i))
		out = append(out, field{
			Name:    prefix + key,
			Section: section,
			Desc:    tag.Get("desc"),
			Default: tag.Get("envDefault"),
			OneOf:   tag.Get("oneof"),
			Need:    tag.Get("need"),
			File:    isSecret || tag.Get("file") == "true",
			Secret:  isSecret,
			value:   v.Field(i),
		})
	}
	return out
}
