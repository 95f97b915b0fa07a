package scr

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4/json"
)

// RecordContent is the content of one record (guide 8.6.7, documentData), still
// as it stands in the answer.
type RecordContent struct {
	CaseID      string
	CaseCreated time.Time
	// Method and Created are those of the identification that the record belongs to.
	Method  string
	Created time.Time
	// Record is the record as the case has it.
	Record Record
	// MaxSize is at least the number of bytes, and at most two more unless the text
	// has line breaks or escapes.
	MaxSize int64

	text *contentText
}

// Open reads the content from its beginning, decoded. It can be called any number
// of times, also at the same time, as long as the content is valid. The first read
// decodes all of it to where its text stands; it fails with a *ContentError where the
// text is not base64 (RFC 4648, 4; line breaks are taken), and so does each other.
func (r RecordContent) Open() io.Reader { return &contentReader{text: r.text} }

// contentText is what the readers of a content share.
type contentText struct {
	record string // its id, fit for an error
	closed atomic.Bool

	decode sync.Once
	bytes  []byte // the text between the quotes; what it stands for, once decoded
	err    error  // set by decode
}

// close makes all readers fail.
func (t *contentText) close() { t.closed.Store(true) }

func newContentText(quoted []byte, record string) *contentText {
	return &contentText{record: record, bytes: quoted}
}

// content gives what the text stands for.
func (t *contentText) content() ([]byte, error) {
	t.decode.Do(func() {
		text := unescapeInPlace(t.bytes)
		n, ok := ofContent.whole(text, text)
		if !ok {
			t.err = &ContentError{RecordID: t.record, Err: errNoBase64}
		}
		t.bytes = text[:n]
	})
	return t.bytes, t.err
}

// ContentError says that the content of one record cannot be had: it is not base64.
// It holds nothing of it. It is the fault of the answer, and of this record alone.
type ContentError struct {
	RecordID string // "" if the record has none that is fit to be shown
	Err      error
}

func (e *ContentError) Error() string {
	return fmt.Sprintf("content of record %q: %v", e.RecordID, e.Err)
}

func (e *ContentError) Unwrap() error { return e.Err }

var (
	errNoBase64 = errors.New("malformed base64")
	errClosed   = errors.New("content read after its time")
)

// shownID keeps the id of a record fit for an error: it is the other side's text.
func shownID(id string) string {
	if isShown([]byte(id)) {
		return id
	}
	return ""
}

// quantum are the characters that stand for three bytes.
const quantum = 4

// contentReader reads a decoded content.
type contentReader struct {
	text *contentText
	at   int
}

// Read implements io.Reader.
func (r *contentReader) Read(p []byte) (int, error) {
	if r.text.closed.Load() {
		return 0, errClosed
	}
	content, err := r.text.content()
	if err != nil {
		return 0, err
	}
	if r.at == len(content) {
		return 0, io.EOF
	}
	n := copy(p, content[r.at:])
	r.at += n
	return n, nil
}

// unescapeInPlace gives the text without escapes and line breaks, where it stands:
// none is longer than its escape.
func unescapeInPlace(text []byte) []byte {
	n := bytes.IndexByte(text, '\\')
	if n < 0 {
		return text
	}
	for rest := text[n:]; len(rest) > 0; {
		size := bytes.IndexByte(rest, '\\')
		switch {
		case size == 0:
			size = escapeLen(rest)
			n += copy(text[n:], unescaped(rest[:size]))
		case size < 0:
			size = len(rest)
			fallthrough
		default:
			n += copy(text[n:], rest[:size])
		}
		rest = rest[size:]
	}
	return text[:n]
}

// unescaped is what an escape stands for, nothing for a line break.
func unescaped(escape []byte) string {
	switch escape[1] {
	case '/':
		return "/"
	case 'n', 'r':
		return ""
	}
	var s string
	// The scanner took the text, so this is an escape.
	_ = json.Unmarshal(slices.Concat([]byte{'"'}, escape, []byte{'"'}), &s)
	if s == "\n" || s == "\r" {
		return ""
	}
	return s
}

// foundContent is content in an answer, before anybody asked who may have it.
type foundContent struct {
	raw    []byte
	ident  int
	path   string
	record Record
}

// allowedContents gives the content that may be had and was asked for, each once,
// and counts the rest.
func (d *resultDecoder) allowedContents() []RecordContent {
	var given []RecordContent
	var of []foundContent
	for _, f := range d.contents {
		if reason := d.contentRefusal(f, of); reason != "" {
			d.ledger.add(Dropped{Path: f.path, Field: "RecordResult.documentData", Reason: reason, Count: 1})
			continue
		}
		if slices.ContainsFunc(of, f.isSame) {
			continue // two looks at one record
		}
		of = append(of, f)
		c, i := d.result.Case, d.result.Case.Identifications[f.ident]
		quoted := f.raw[1 : len(f.raw)-1]
		given = append(given, RecordContent{
			CaseID: c.CaseID, CaseCreated: c.Status.Created, Method: i.Method, Created: i.Created, Record: f.record,
			MaxSize: int64(base64.StdEncoding.DecodedLen(len(quoted))), text: newContentText(quoted, shownID(f.record.ID)),
		})
	}
	return given
}

func (d *resultDecoder) contentRefusal(f foundContent, given []foundContent) DropReason {
	kind := f.record.Type
	refusal := contentRefusal(kind, d.request.Class, d.result.Case.Identifications[f.ident].Method)
	switch {
	case refusal != "":
		return refusal
	case !d.request.Binary || isResultPDF(kind) && !d.request.PDF:
		return DroppedUnrequested
	case f.raw[0] != '"':
		return DroppedShape
	}
	twin := slices.IndexFunc(given, f.isOfSame)
	if twin >= 0 && !bytes.Equal(given[twin].raw, f.raw) {
		return DroppedConflict
	}
	return ""
}

func (f foundContent) isOfSame(o foundContent) bool {
	return f.ident == o.ident && f.record == o.record
}

func (f foundContent) isSame(o foundContent) bool { return f.isOfSame(o) && bytes.Equal(f.raw, o.raw) }
