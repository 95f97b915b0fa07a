package scr

import (
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
	var w struct {
		CaseID      text `json:"caseId"`
		ReferenceID text `json:"referenceId"`
	}
	if err := decodeObject(body, &w); err != nil {
		return Webhook{}, &WebhookError{Reason: WebhookJSON}
	}
	if !ValidCaseID(string(w.CaseID)) {
		return Webhook{}, &WebhookError{Reason: WebhookCaseID}
	}
	return Webhook{CaseID: string(w.CaseID), ReferenceID: string(w.ReferenceID)}, nil
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
	if err := json.Unmarshal(data, v); err != nil {
		if shape, ok := errors.AsType[*shapeError](err); ok {
			return shape
		}
		return errSyntax
	}
	return nil
}
