package scr

import (
	"bytes"
	"errors"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4/json"
)

// The wire types say what a case looks like in the answer, with every spelling
// that the guide and the facts know. Only what a status event needs is decoded;
// the rest (contact data, document fields, customData, remarks, documentData)
// is skipped by the decoder and never copied.

type wireCase struct {
	CaseID     text                   `json:"caseId"`
	CaseStatus object[wireCaseStatus] `json:"caseStatus"`
	OrderData  object[wireOrderData]  `json:"orderData"`
	Accounting object[wireAccounting] `json:"accountingData"`

	// The three places of an identification (facts C2), on every endpoint.
	PrimaryIdent          object[wireIdentification] `json:"primaryIdent"`
	PrimaryIdentification object[wireIdentification] `json:"primaryIdentification"`
	Identifications       list[wireIdentification]   `json:"identifications"`

	wireDocuments // beside primaryIdent in the sample of guide 7.4.1 (facts C3)
}

type wireCaseStatus struct {
	Status     text `json:"status"`
	Created    text `json:"created"`
	Modified   text `json:"modified"`
	ValidUntil text `json:"validUntil"`
	Archived   flag `json:"archived"`
}

type wireOrderData struct {
	ProcessData object[wireProcessData] `json:"processData"`
}

type wireProcessData struct {
	ReferenceID text `json:"referenceId"`
}

type wireAccounting struct {
	Number  text `json:"accountingNumber"`
	Product text `json:"accountingProduct"`
}

type wireIdentification struct {
	Method  text               `json:"identificationMethod"`
	Status  object[wireStatus] `json:"identificationStatus"`
	Records list[wireRecord]   `json:"records"`
	wireDocuments
}

type wireStatus struct {
	Status             text             `json:"status"`
	SubStatus          object[wireCode] `json:"subStatus"`
	SubStatusReason    object[wireCode] `json:"subStatusReason"`
	IdentificationTime text             `json:"identificationTime"`
	Created            text             `json:"created"`
	Modified           text             `json:"modified"`
}

// wireCode is an optional sub status or reason. Without a code it is absent: the
// code is what counts (facts C11).
type wireCode struct {
	Code        text `json:"code"` // a number, or the text of one
	Description text `json:"description"`
}

// wireDocuments are the places below an identification that hold records of
// their own. The sample app's SDK reads drivingLicense, the guide says
// drivingLicence (facts 3).
type wireDocuments struct {
	IdentificationDocument object[wireDocument] `json:"identificationDocument"`
	DrivingLicence         object[wireDocument] `json:"drivingLicence"`
	DrivingLicense         object[wireDocument] `json:"drivingLicense"`
}

// records returns the records of the documents in the order of the guide.
func (d wireDocuments) records() []wireRecord {
	var all []wireRecord
	for _, doc := range []wireDocument{d.IdentificationDocument.value, d.DrivingLicence.value, d.DrivingLicense.value} {
		all = append(all, doc.Records...)
	}
	return all
}

type wireDocument struct {
	Records list[wireRecord] `json:"records"`
}

type wireRecord struct {
	ID                  text `json:"recordId"`
	BelongsTo           text `json:"belongsTo"`
	Type                text `json:"type"`
	MimeType            text `json:"mimeType"`
	FileName            text `json:"fileName"`
	ValidationStatus    text `json:"validationStatus"`
	ValidationSubStatus text `json:"validationSubStatus"`
}

// errSyntax stands for every error of the JSON decoder, whose own texts quote
// the input.
var errSyntax = errors.New("malformed JSON")

// shapeError says that a value has not the shape that its place asks for. It
// names the shape, never the value.
type shapeError struct{ want string }

func (e *shapeError) Error() string { return "want " + e.want }

// object is an optional object. Absent, null, {} and "" are alike (facts C4,
// RN17: up to release 16 empty objects were sent, since then they are left out).
type object[T any] struct {
	value   T
	present bool
}

// UnmarshalJSON implements json.Unmarshaler.
func (o *object[T]) UnmarshalJSON(b []byte) error {
	b = trimSpace(b)
	if isEmpty(b) {
		return nil
	}
	if b[0] != '{' {
		return &shapeError{"an object"}
	}
	o.present = true
	return json.Unmarshal(b, &o.value)
}

// list is an optional list of objects; empty ones are left out.
type list[T any] []T

// UnmarshalJSON implements json.Unmarshaler.
func (l *list[T]) UnmarshalJSON(b []byte) error {
	b = trimSpace(b)
	if isEmpty(b) {
		return nil
	}
	if b[0] != '[' {
		return &shapeError{"a list"}
	}
	var elements []object[T]
	if err := json.Unmarshal(b, &elements); err != nil {
		return err
	}
	for _, e := range elements {
		if e.present {
			*l = append(*l, e.value)
		}
	}
	return nil
}

// text is an optional text. A number counts as the text of its digits, so that
// an id may come as either (recordId, facts 3).
type text string

// UnmarshalJSON implements json.Unmarshaler.
func (t *text) UnmarshalJSON(b []byte) error {
	b = trimSpace(b)
	if isEmpty(b) {
		return nil
	}
	if isNumber(b) {
		*t = text(b)
		return nil
	}
	if b[0] != '"' {
		return &shapeError{"a text"}
	}
	inner := b[1 : len(b)-1]
	if bytes.IndexByte(inner, '\\') < 0 && utf8.Valid(inner) {
		*t = text(inner) // nothing to unquote
		return nil
	}
	return json.Unmarshal(b, (*string)(t))
}

// flag is an optional truth value, false when absent.
type flag bool

// UnmarshalJSON implements json.Unmarshaler.
func (f *flag) UnmarshalJSON(b []byte) error {
	b = trimSpace(b)
	switch {
	case isEmpty(b), string(b) == "false", string(b) == `"false"`:
		return nil
	case string(b) == "true", string(b) == `"true"`:
		*f = true
		return nil
	default:
		return &shapeError{"true or false"}
	}
}

// isEmpty reports whether b is null, "" or an object without members.
func isEmpty(b []byte) bool {
	switch {
	case len(b) == 0, string(b) == "null", string(b) == `""`:
		return true
	case b[0] == '{':
		rest := trimSpace(b[1:])
		return len(rest) > 0 && rest[0] == '}'
	default:
		return false
	}
}

func isNumber(b []byte) bool {
	return len(b) > 0 && (b[0] == '-' || b[0] >= '0' && b[0] <= '9')
}

// trimSpace cuts the white space of JSON (RFC 8259, 2) off both ends.
func trimSpace(b []byte) []byte { return bytes.Trim(b, " \t\r\n") }
