package audit

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/schemas"
)

// What a value begins with in each framing (design 3).
var (
	confluentMagic    = []byte{0x00}
	singleObjectMagic = []byte{0xC3, 0x01}
)

// traceparentPattern is version 00 of W3C Trace Context.
var traceparentPattern = regexp.MustCompile(`^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)

// optionalHeaders may stand on an event; all others are required or forbidden.
var optionalHeaders = []string{"traceparent", "tracestate"}

// recordMismatches says where key and headers of a record do not repeat what
// its value says (design 3): CloudEvents in binary mode and the tags. Each
// header stands once, and none stands there that is not agreed, because it
// could carry anything.
func recordMismatches(p *Published) []string {
	e := &p.Event
	var out []string
	if (e.Identification == nil) != (e.Method == schemas.MethodNone) {
		out = append(out, fmt.Sprintf("method %s does not go with identification present=%t", e.Method, e.Identification != nil))
	}
	return append(out, envelopeMismatches(p)...)
}

// envelopeMismatches is recordMismatches for key and headers alone, which results
// have like events.
func envelopeMismatches(p *Published) []string {
	var out []string
	if string(p.Key) != p.Event.CaseID {
		out = append(out, "its key is not its caseId")
	}
	required := requiredHeaders(p)
	for name, want := range required {
		switch got := valuesOf(p.Headers, name); {
		case len(got) != 1:
			out = append(out, fmt.Sprintf("header %s stands %d times", name, len(got)))
		case string(got[0]) != want:
			out = append(out, fmt.Sprintf("header %s is not %q", name, want))
		}
	}
	for i, h := range p.Headers {
		if _, agreed := required[h.Key]; agreed {
			continue
		}
		repeats := slices.ContainsFunc(p.Headers[:i], func(o kgo.RecordHeader) bool { return o.Key == h.Key })
		switch {
		case !slices.Contains(optionalHeaders, h.Key) || repeats:
			out = append(out, fmt.Sprintf("header %q is not agreed there", h.Key))
		case h.Key == "traceparent" && !traceparentPattern.Match(h.Value):
			out = append(out, "header traceparent is malformed")
		}
	}
	slices.Sort(out)
	return out
}

// requiredHeaders is what the headers of a record must be, by its value.
func requiredHeaders(p *Published) map[string]string {
	e := &p.Event
	return map[string]string{
		"ce_specversion":   "1.0",
		"ce_id":            e.EventID,
		"ce_source":        "/scr/" + e.ClientID,
		"ce_type":          "postident.identification." + e.StatusType.HeaderText() + ".v1",
		"ce_subject":       e.CaseID,
		"ce_time":          eventModified(e).UTC().Format(time.RFC3339),
		"content-type":     contentTypeOf(p.Value),
		"method":           methodText(e),
		"regulatory-class": string(e.RegulatoryClass),
		"status-type":      e.StatusType.HeaderText(),
		"client-id":        e.ClientID,
	}
}

func contentTypeOf(value []byte) string {
	switch {
	case bytes.HasPrefix(value, singleObjectMagic):
		return schemas.ContentTypeSingleObject
	case bytes.HasPrefix(value, confluentMagic):
		return schemas.ContentTypeConfluent
	default:
		return "a content type of ours: the value has neither framing"
	}
}

func valuesOf(headers []kgo.RecordHeader, name string) [][]byte {
	var out [][]byte
	for _, h := range headers {
		if h.Key == name {
			out = append(out, h.Value)
		}
	}
	return out
}
