package scr

import (
	"bytes"
	"errors"

	"github.com/go-jose/go-jose/v4/json"
)

// Webhook is the body of a push notification (guide 5). It carries no status:
// it only says that there is something to read.
type Webhook struct {
	CaseID      string
	ReferenceID string // "" when the account is not set to send it
}

// Reasons of a WebhookError, fit for a metric label.
const (
	WebhookJSON   = "json"    // not JSON, or not an object with texts where texts belong
	WebhookCaseID = "case_id" // no caseId, or not one that ValidCaseID accepts
)

// WebhookError is a body that is no webhook. It never holds content.
type WebhookError struct {
	Reason string
}

func (e *WebhookError) Error() string { return "webhook refused: " + e.Reason }

// ParseWebhook reads the body of a push notification (guide 5). Unknown fields
// are ignored, an absent and a null referenceId are alike. A name that stands
// twice is refused: two readers could see two cases. Any error is a
// *WebhookError. Limiting the size of body is the caller's part.
func ParseWebhook(body []byte) (Webhook, error) {
	w, plain := plainWebhook(body)
	if !plain {
		var err error
		if w, err = anyWebhook(body); err != nil {
			return Webhook{}, &WebhookError{Reason: WebhookJSON}
		}
	}
	if !ValidCaseID(w.CaseID) {
		return Webhook{}, &WebhookError{Reason: WebhookCaseID}
	}
	return w, nil
}

// anyWebhook reads whatever JSON a body is.
func anyWebhook(body []byte) (Webhook, error) {
	var w struct {
		CaseID      text `json:"caseId"`
		ReferenceID text `json:"referenceId"`
	}
	if err := decodeObject(body, &w); err != nil {
		return Webhook{}, err
	}
	return Webhook{CaseID: string(w.CaseID), ReferenceID: string(w.ReferenceID)}, nil
}

// plainWebhook reads a body of the guide's two fields, once each and neither
// empty, in ASCII without escapes: what every sender writes, read without
// reflection, which is a tenth of what a webhook costs. It reports false for
// every other body, good or bad, and anyWebhook decides on those.
func plainWebhook(body []byte) (w Webhook, plain bool) {
	rest, ok := cutByte(body, '{')
	for ok {
		var name, value []byte
		if name, rest, ok = cutPlainText(rest); !ok {
			return Webhook{}, false
		}
		if rest, ok = cutByte(rest, ':'); !ok {
			return Webhook{}, false
		}
		if value, rest, ok = cutPlainText(rest); !ok {
			return Webhook{}, false
		}
		switch {
		case string(name) == "caseId" && w.CaseID == "":
			w.CaseID = string(value)
		case string(name) == "referenceId" && w.ReferenceID == "":
			w.ReferenceID = string(value)
		default: // unknown, or for the second time
			return Webhook{}, false
		}
		rest, ok = cutByte(rest, ',')
	}
	if rest, ok = cutByte(rest, '}'); !ok || w.CaseID == "" || len(trimSpace(rest)) != 0 {
		return Webhook{}, false
	}
	return w, true
}

// cutByte gives what follows c, which may stand after white space; without it, b
// as it was.
func cutByte(b []byte, c byte) (rest []byte, ok bool) {
	if after := bytes.TrimLeft(b, " \t\r\n"); len(after) > 0 && after[0] == c {
		return after[1:], true
	}
	return b, false
}

// cutPlainText gives a JSON string's text, which is not empty and stands as it
// is between the quotes, and what follows it.
func cutPlainText(b []byte) (text, rest []byte, ok bool) {
	b, ok = cutByte(b, '"')
	for i := 0; ok && i < len(b); i++ {
		switch c := b[i]; {
		case c == '"':
			return b[:i], b[i+1:], i > 0
		case c < ' ' || c > '~' || c == '\\':
			return nil, b, false
		}
	}
	return nil, b, false
}

// ValidCaseID reports whether s can be a caseId: ^[A-Za-z0-9_-]{1,64}$. Every
// sample is 12 characters of A-Z and 0-9, but no source says so (facts 2.9).
// What passes can stand in a path and in a key as it is.
func ValidCaseID(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		if !isBase64URL(s[i]) {
			return false
		}
	}
	return true
}

// isBase64URL reports whether c is a letter, a digit, '-' or '_'.
func isBase64URL(c byte) bool {
	return c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}

var errNoObject = errors.New("not a JSON object")

// decodeObject decodes the object in data into the struct at v. It stands on
// go-jose's fork of encoding/json, because that one refuses a name that stands
// twice in an object and does not take caseid for caseId. The errors below it
// can quote content, so it never lets one out.
func decodeObject(data []byte, v any) error {
	trimmed := trimSpace(data)
	if len(trimmed) == 0 || trimmed[0] != '{' {
		return errNoObject
	}
	return decodeJSON(data, v)
}

// decodeList decodes the list in data into the slice at v, as decodeObject does.
func decodeList(data []byte, v any) error {
	trimmed := trimSpace(data)
	if len(trimmed) == 0 || trimmed[0] != '[' {
		return errNoList
	}
	return decodeJSON(data, v)
}

func decodeJSON(data []byte, v any) error {
	if err := json.Unmarshal(data, v); err != nil {
		if shape, ok := errors.AsType[*shapeError](err); ok {
			return shape
		}
		return errSyntax
	}
	return nil
}
