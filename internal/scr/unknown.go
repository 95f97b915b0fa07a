package scr

import (
	"bytes"
	"context"
	"slices"
	"sync"

	"github.com/go-jose/go-jose/v4/json"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// The bounds of the label path, which the other side's answers fill.
const (
	maxUnknownPaths = 50 // per account, and found in one answer
	maxShownName    = 40

	otherPaths = "other" // all paths beyond maxUnknownPaths
	hiddenName = "?"     // a name that is not shown
)

// knownFields are the names that the fields of an object are known by. The value
// holds those of the objects in the field; it is nil for a field that is not
// looked into, because it is no object or because ParseCase does not read it.
type knownFields map[string]knownFields

// fieldsOfCase is guide 8 with the spellings of the facts. A name that is new to
// the API belongs here as soon as somebody has decided what becomes of it.
var fieldsOfCase = knownFields{
	"caseId": nil,
	"caseStatus": {
		"status": nil, "archived": nil, "validUntil": nil, "created": nil, "modified": nil, // guide 8.3
	},
	"orderData": {
		"customData": nil, "contactDataProvided": nil, "identificationDocumentProvided": nil,
		"drivingLicenceProvided": nil, "processData": fieldsOfProcessData, // facts 2.3
	},
	"contactData": nil, "contactDataResult": nil, // facts C1
	"primaryIdent": fieldsOfIdentification, "primaryIdentification": fieldsOfIdentification,
	"identifications": fieldsOfIdentification, // facts C2
	// Beside the identification too (facts C3).
	"identificationDocument": fieldsOfDocument,
	"drivingLicence":         fieldsOfLicence,
	"drivingLicense":         fieldsOfLicence,
	"accountingData":         {"accountingNumber": nil, "accountingProduct": nil}, // guide 8.7
}

var fieldsOfProcessData = knownFields{ // facts 2.4
	"targetCountry": nil, "preferredLanguage": nil, "referenceId": nil,
	"webHookUrl": nil, "webHookURL": nil, "webHookUrlPartner": nil, // two spellings (facts 3)
	"callbackUrlCouponRequested": nil, "callbackUrlReviewPending": nil, "callbackUrlIncomplete": nil,
	"callbackUrlSuccess": nil, "callbackUrlDeclined": nil, "callbackUrlCancelledAndClosed": nil,
}

var fieldsOfIdentification = knownFields{ // guide 8.6
	"identificationMethod": nil,
	"identificationStatus": { // guide 8.6.1
		"status": nil, "subStatus": fieldsOfCode, "subStatusReason": fieldsOfCode,
		"identificationTime": nil, "created": nil, "modified": nil,
	},
	"identificationDocument": fieldsOfDocument,
	"drivingLicence":         fieldsOfLicence,
	"drivingLicense":         fieldsOfLicence, // facts 3
	"records":                fieldsOfRecord,
	"additionalDataBasic":    nil, "additionalDataEid": nil, "additionalDataVideo": nil,
}

var fieldsOfCode = knownFields{"code": nil, "description": nil}

var fieldsOfDocument = knownFields{ // guide 8.6.2
	"countryOfDocument": nil, "type": nil, "number": nil, "firstName": nil, "lastName": nil, "birthName": nil,
	"birthDate": nil, "birthPlace": nil, "nationality": nil, "address": nil, "dateIssued": nil,
	"dateOfExpiry": nil, "authority": nil, "placeOfIssue": nil, "records": fieldsOfRecord,
}

var fieldsOfLicence = knownFields{ // guide 8.6.3
	"countryOfDocument": nil, "number": nil, "firstName": nil, "lastName": nil, "birthDate": nil,
	"birthPlace": nil, "drivingLicenceClasses": nil, "restrictions": nil, "dateIssued": nil,
	"dateOfExpiry": nil, "authority": nil, "records": fieldsOfRecord,
}

var fieldsOfRecord = knownFields{ // guide 8.6.7
	"recordId": nil, "belongsTo": nil, "type": nil, "validationStatus": nil, "validationSubStatus": nil,
	"validationRemark": nil, "mimeType": nil, "fileName": nil, "documentData": nil,
}

// unknownFields returns the paths of the fields in body, which ParseCase
// accepted, that no source knows (guide 8.1 announces such), in the order in
// which they come. A path is the names from the case down with dots between and
// without the indexes of lists, so each comes once. Its last name is the other
// side's: one that is not ^[A-Za-z0-9_]{1,40}$ could be a person's and is "?".
// After maxUnknownPaths the last path is otherPaths.
func unknownFields(body []byte) []string {
	s := fieldScanner{rest: body}
	s.value(fieldsOfCase)
	return s.unknown
}

// fieldScanner goes once through a JSON text, and copies nothing of it but what
// it reports. It relies on the decoder for the text being JSON; of anything else
// it makes nonsense, but comes to an end.
type fieldScanner struct {
	rest    []byte
	path    []byte // of the object that is open, with a dot at its end
	unknown unknownPaths
}

func (s *fieldScanner) value(known knownFields) {
	switch c := s.next(); {
	case known == nil:
		s.skip()
	case c == '{':
		s.object(known)
	case c == '[':
		s.list(known)
	default:
		s.skip()
	}
}

func (s *fieldScanner) object(known knownFields) {
	s.rest = s.rest[1:]
	for {
		switch s.next() {
		case '"':
			s.field(known)
		case ',':
			s.rest = s.rest[1:]
		default:
			s.skip() // the closing brace
			return
		}
	}
}

func (s *fieldScanner) field(known knownFields) {
	name := s.name()
	if s.next() == ':' {
		s.rest = s.rest[1:]
	}
	inner, ok := known[string(name)]
	if !ok && !s.unknown.add(string(s.path), name) {
		s.rest = nil
		return
	}
	object := len(s.path)
	s.path = append(append(s.path, name...), '.')
	s.value(inner)
	s.path = s.path[:object]
}

func (s *fieldScanner) list(known knownFields) {
	s.rest = s.rest[1:]
	for {
		switch s.next() {
		case '{':
			s.object(known)
		case ',':
			s.rest = s.rest[1:]
		case ']', 0:
			s.skip()
			return
		default:
			s.skip() // null or ""
		}
	}
}

// unknownPaths are paths as unknownFields returns them.
type unknownPaths []string

// add notes the name of an unknown field of the object at a path, which is empty
// or ends with a dot. It is false once there are too many.
func (u *unknownPaths) add(object string, name []byte) bool {
	if !isShown(name) {
		name = []byte(hiddenName)
	}
	u.addPath(object + string(name))
	return len(*u) <= maxUnknownPaths
}

func (u *unknownPaths) addPath(path string) {
	switch {
	case len(*u) > maxUnknownPaths, slices.Contains(*u, path):
	case len(*u) < maxUnknownPaths:
		*u = append(*u, path)
	default:
		*u = append(*u, otherPaths)
	}
}

// isShown reports whether name is harmless in a label, and not to be taken for
// otherPaths.
func isShown(name []byte) bool {
	return len(name) >= 1 && len(name) <= maxShownName && string(name) != otherPaths &&
		!slices.ContainsFunc(name, func(c byte) bool { return !isBase64URL(c) || c == '-' })
}

// next returns the first byte after white space, 0 at the end.
func (s *fieldScanner) next() byte {
	for n, c := range s.rest {
		switch c {
		case ' ', '\t', '\r', '\n':
		default:
			s.rest = s.rest[n:]
			return c
		}
	}
	s.rest = nil
	return 0
}

// name takes the text at the start of rest.
func (s *fieldScanner) name() []byte {
	quoted := s.rest[:textLen(s.rest)]
	s.rest = s.rest[len(quoted):]
	if bytes.IndexByte(quoted, '\\') < 0 {
		return bytes.Trim(quoted, `"`)
	}
	var name string
	if json.Unmarshal(quoted, &name) != nil {
		return nil
	}
	return []byte(name)
}

// skip takes the value at the start of rest, or one byte that begins none.
func (s *fieldScanner) skip() {
	depth := 0
	for n := 0; n < len(s.rest); {
		size := 1
		switch c := s.rest[n]; c {
		case '"':
			size = textLen(s.rest[n:])
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case ' ', '\t', '\r', '\n', ',', ':':
		default:
			size = literalLen(s.rest[n:])
		}
		n += size
		if depth <= 0 {
			s.rest = s.rest[n:]
			return
		}
	}
	s.rest = nil
}

// textLen is the length of the text that b begins with, quotes included.
func textLen(b []byte) int {
	for n := 1; n < len(b); n++ {
		switch b[n] {
		case '"':
			return n + 1
		case '\\':
			n++
		}
	}
	return len(b)
}

// literalLen is the length of the number, true, false or null at the start of b,
// and at least one.
func literalLen(b []byte) int {
	if end := bytes.IndexAny(b[1:], " \t\r\n,:]}[{\""); end >= 0 {
		return 1 + end
	}
	return len(b)
}

// unknownCounter counts the unknown fields of one account by path.
type unknownCounter struct {
	counter  metric.Int64Counter
	clientID attribute.KeyValue

	mu    sync.Mutex
	paths map[string]struct{} // that have a label of their own, guarded by mu
}

// count adds the unknown fields of one answer, each path once however often it
// stands there.
func (u *unknownCounter) count(ctx context.Context, paths []string) {
	for _, path := range paths {
		u.counter.Add(ctx, 1, metric.WithAttributes(u.clientID, attribute.String("path", u.label(path))))
	}
}

// label is path, or otherPaths once the account has shown too many.
func (u *unknownCounter) label(path string) string {
	if path == otherPaths {
		return path
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, ok := u.paths[path]; ok {
		return path
	}
	if len(u.paths) >= maxUnknownPaths {
		return otherPaths
	}
	u.paths[path] = struct{}{}
	return path
}
