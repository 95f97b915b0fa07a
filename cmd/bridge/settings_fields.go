package main

import (
	"fmt"
	"net/url"
	"reflect"
	"slices"
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
	PEM     bool   // certificates
	URL     bool   // one URL, or several separated by commas
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

// shown returns the value fit for people: secrets masked, those within URLs too, and
// certificates named only.
func (f field) shown() string {
	value := f.text()
	switch {
	case value == "":
		return ""
	case f.Secret:
		return mask
	case f.PEM:
		return "(PEM)"
	case f.URL:
		parts := strings.Split(value, ",")
		for i, part := range parts {
			if parts[i] = shownURL(part); parts[i] == mask {
				return mask // the comma before it may be a password's
			}
		}
		return strings.Join(parts, ",")
	default:
		return value
	}
}

// plainOptions are those of a store's URL that hold no secret.
var plainOptions = []string{
	"create_dir", "region", "use_path_style", "accelerate", "ssetype", "storage_account", "domain", "protocol",
}

// shownURL masks what can be a secret in a URL: user and password, the values of
// options but those that are known to hold none, and all of what is no URL with a
// host or a path.
func shownURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme == "" || u.Opaque != "" || strings.Contains(u.Host+u.Path, "@") {
		return mask
	}
	var b strings.Builder
	b.WriteString(u.Scheme + "://")
	if u.User != nil {
		b.WriteString(mask + "@")
	}
	b.WriteString(u.Host + u.EscapedPath())
	if u.RawQuery != "" {
		options := strings.Split(u.RawQuery, "&")
		for i, option := range options {
			options[i] = shownOption(option)
		}
		b.WriteString("?" + strings.Join(options, "&"))
	}
	if u.Fragment != "" {
		b.WriteString("#" + mask)
	}
	return b.String()
}

// shownOption masks the value of a URL's option, unless it can hold no secret.
func shownOption(option string) string {
	name, value, hasValue := strings.Cut(option, "=")
	switch {
	case !hasValue:
		return mask
	case slices.Contains(plainOptions, name):
		return option
	case name == "endpoint":
		if endpoint, err := url.QueryUnescape(value); err == nil {
			return name + "=" + shownURL(endpoint)
		}
	}
	return name + "=" + mask
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
			File:    isSecret || tag.Get("file") != "",
			PEM:     tag.Get("file") == "pem",
			URL:     tag.Get("url") != "",
			Secret:  isSecret,
			value:   v.Field(i),
		})
	}
	return out
}
