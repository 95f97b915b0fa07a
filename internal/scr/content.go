package scr

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
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
// of times, also at the same time, as long as the content is valid. A read fails
// with a *ContentError where the text is not base64 (RFC 4648, 4; line breaks are
// taken).
func (r RecordContent) Open() io.Reader {
	return &contentReader{text: r.text, rest: r.text.quoted, record: shownID(r.Record.ID)}
}

// contentText is what the readers of a content share.
type contentText struct {
	quoted  []byte // between the quotes
	escaped bool
	closed  atomic.Bool
}

// close makes all readers fail.
func (t *contentText) close() { t.closed.Store(true) }

func newContentText(quoted []byte) *contentText {
	return &contentText{quoted: quoted, escaped: bytes.IndexByte(quoted, '\\') >= 0}
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

const (
	quantum    = 4       // characters that stand for three bytes
	textBlock  = 8 << 10 // characters that are unescaped at a time
	shortBlock = 3
)

// contentReader decodes a content straight into the caller's buffer, without one of
// its own unless the text has escapes.
type contentReader struct {
	text   *contentText
	rest   []byte // of the text
	plain  []byte // unescaped
	used   int    // of plain, decoded
	left   []byte // decoded, not read yet
	block  [shortBlock]byte
	record string
	err    error
}

// Read implements io.Reader.
func (r *contentReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if r.text.closed.Load() {
		return 0, errClosed
	}
	if len(r.left) > 0 {
		n := copy(p, r.left)
		r.left = r.left[n:]
		return n, nil
	}
	if r.err != nil {
		return 0, r.err
	}
	if len(p) < shortBlock {
		n, err := r.decode(r.block[:])
		if err != nil {
			return 0, err
		}
		r.left = r.block[:n]
		return r.Read(p)
	}
	return r.decode(p)
}

// decode decodes as many whole quanta as p takes, at least one.
func (r *contentReader) decode(p []byte) (int, error) {
	text, last := r.next(len(p) / shortBlock * quantum)
	if len(text) == 0 {
		r.err = io.EOF
		return 0, r.err
	}
	n, err := base64.StdEncoding.Decode(p, text)
	padded := text[len(text)-1] == '='
	if err != nil || padded && !last {
		r.err = &ContentError{RecordID: r.record, Err: errNoBase64}
		return 0, r.err
	}
	return n, nil
}

// next gives up to size characters of base64, a multiple of a quantum, and whether
// they are the last.
func (r *contentReader) next(size int) (text []byte, last bool) {
	if !r.text.escaped {
		n := min(size, len(r.rest))
		text, r.rest = r.rest[:n], r.rest[n:]
		return text, len(r.rest) == 0
	}
	r.plain = append(r.plain[:0], r.plain[r.used:]...)
	size = min(size, textBlock)
	for len(r.plain) <= size && len(r.rest) > 0 { // one more, to know the last
		r.unescape()
	}
	r.used = min(size, len(r.plain))
	return r.plain[:r.used], r.used == len(r.plain)
}

// unescape takes the next piece of the text, without line breaks.
func (r *contentReader) unescape() {
	n := min(textBlock, len(r.rest))
	switch at := bytes.IndexByte(r.rest[:n], '\\'); {
	case at > 0:
		n = at
		fallthrough
	case at < 0:
		r.plain = append(r.plain, r.rest[:n]...)
	default:
		n = escapeLen(r.rest)
		r.plain = append(r.plain, unescaped(r.rest[:n])...)
	}
	r.rest = r.rest[n:]
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
			MaxSize: int64(base64.StdEncoding.DecodedLen(len(quoted))), text: newContentText(quoted),
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
