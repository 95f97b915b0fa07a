package audit

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// forms finds needles in the forms in which a value travels: as it is and in
// other letter case, in hex, in base64 at any alignment, with the escapes of
// JSON (once or nested, as a log line in a log line has them) and of URLs.
type forms struct {
	plain  *needleSet // of lower-case text: needles, and their hex
	base64 *needleSet
	names  []formName // of plain's and then of base64's needles
}

type formName struct {
	needle int
	form   string
}

// formHit is where a needle was found.
type formHit struct {
	needle int
	form   string // "" for the plain text, else " in base64" and the like
	at     int    // the byte, in the data or in what was decoded from it
}

// base64Least is how long the part of a needle's base64 must be that does not
// depend on its neighbours: a shorter one would be found in random text.
const base64Least = 6

func newForms(needles []string) (*forms, error) {
	if _, err := newNeedleSet(needles); err != nil {
		return nil, err
	}
	f := &forms{}
	var plain, coded []string
	for i, n := range needles {
		plain = append(plain, string(lower([]byte(n))))
		f.names = append(f.names, formName{i, ""})
		if len(n) >= 4 {
			plain = append(plain, hex.EncodeToString([]byte(n)), strings.Trim(fmt.Sprintf("%d", []byte(n)), "[]"))
			f.names = append(f.names, formName{i, " in hex"}, formName{i, " in decimal bytes"})
		}
	}
	for i, n := range needles {
		for _, c := range base64Cores(n) {
			if len(c) >= base64Least {
				coded = append(coded, c)
				f.names = append(f.names, formName{i, " in base64"})
			}
		}
	}
	var err error
	if f.plain, err = newNeedleSet(plain); err != nil {
		return nil, err
	}
	if len(coded) > 0 {
		f.base64, err = newNeedleSet(coded)
	}
	return f, err
}

// base64Cores gives what of the needle's base64 does not depend on what stands
// around it, for each of the three alignments, in both alphabets.
func base64Cores(needle string) []string {
	var out []string
	for shift := range 3 {
		padded := append(make([]byte, shift), needle...)
		from := (8*shift + 5) / 6           // the first character that is all of the needle
		to := 8 * (shift + len(needle)) / 6 // and the one after the last
		for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			core := enc.EncodeToString(padded)[from:to]
			if !slices.Contains(out, core) {
				out = append(out, core)
			}
		}
	}
	return out
}

// in returns where needles stand in data, each needle and form once.
func (f *forms) in(data []byte) []formHit {
	var hits []formHit
	add := func(form string, at, needle int) {
		name := f.names[needle]
		hit := formHit{needle: name.needle, form: name.form + form, at: at}
		if !slices.ContainsFunc(hits, func(h formHit) bool { return h.needle == hit.needle }) {
			hits = append(hits, hit)
		}
	}
	look := func(form string, data []byte) {
		f.plain.find(lower(data), func(needle, at int) { add(form, at, needle) })
		if f.base64 != nil {
			f.base64.find(data, func(needle, at int) { add(form, at, len(f.plain.needles)+needle) })
		}
	}
	look("", data)
	for decoded, depth := unescapeJSON(data), 0; decoded != nil && depth < 3; decoded, depth = unescapeJSON(decoded), depth+1 {
		look(" with JSON escapes", decoded)
	}
	if bytes.IndexByte(data, '%') >= 0 {
		look(" with URL escapes", unescapeURL(data))
	}
	slices.SortFunc(hits, func(a, b formHit) int { return cmp.Compare(a.needle, b.needle) })
	return hits
}

// lower has the letters of ASCII in lower case, and every byte in its place.
func lower(data []byte) []byte {
	out := bytes.Clone(data)
	for i, b := range out {
		if b >= 'A' && b <= 'Z' {
			out[i] = b + 'a' - 'A'
		}
	}
	return out
}

// unescapeJSON resolves the escapes of JSON strings wherever they stand; nil
// when there are none.
func unescapeJSON(data []byte) []byte {
	if bytes.IndexByte(data, '\\') < 0 {
		return nil
	}
	out := make([]byte, 0, len(data))
	resolved := false
	for i := 0; i < len(data); i++ {
		if data[i] != '\\' || i+1 == len(data) {
			out = append(out, data[i])
			continue
		}
		if data[i+1] == 'u' && i+5 < len(data) {
			if r, err := strconv.ParseInt(string(data[i+2:i+6]), 16, 32); err == nil {
				out = utf8.AppendRune(out, rune(r))
				i += 5
				resolved = true
				continue
			}
		}
		if at := strings.IndexByte(`"\/bfnrt`, data[i+1]); at >= 0 {
			out = append(out, "\"\\/\b\f\n\r\t"[at])
			i++
			resolved = true
			continue
		}
		out = append(out, data[i])
	}
	if !resolved {
		return nil
	}
	return out
}

// unescapeURL resolves %XX wherever it stands.
func unescapeURL(data []byte) []byte {
	out := make([]byte, 0, len(data))
	for i := 0; i < len(data); i++ {
		if data[i] == '%' && i+2 < len(data) {
			if s, err := url.PathUnescape(string(data[i : i+3])); err == nil {
				out = append(out, s...)
				i += 2
				continue
			}
		}
		out = append(out, data[i])
	}
	return out
}
