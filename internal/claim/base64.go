package claim

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
)

// Base64 is an Object's Open for content that is held as base64 (RFC 4648 4,
// padded; guide 8.6.7, documentData). It decodes right into the buffer it is given,
// twice as fast as encoding/base64's own decoder, which goes by 768 bytes. Text
// with line breaks is left to that one. A fault ends the reader with a
// base64.CorruptInputError.
func Base64(text []byte) func() io.Reader {
	if bytes.IndexByte(text, '\n') >= 0 || bytes.IndexByte(text, '\r') >= 0 {
		return func() io.Reader { return base64.NewDecoder(base64.StdEncoding, bytes.NewReader(text)) }
	}
	return func() io.Reader { return &decoder{text: text} }
}

type decoder struct {
	text  []byte
	at    int // of text, a multiple of four
	rest  []byte
	bytes [3]byte // holds rest, for readers with less room than four signs take
}

func (d *decoder) Read(p []byte) (int, error) {
	if len(d.rest) == 0 && len(p) > 0 && len(p) < len(d.bytes) {
		n, err := d.decode(d.bytes[:])
		if err != nil {
			return 0, err
		}
		d.rest = d.bytes[:n]
	}
	if len(d.rest) > 0 {
		n := copy(p, d.rest)
		d.rest = d.rest[n:]
		return n, nil
	}
	if len(p) == 0 {
		return 0, nil
	}
	return d.decode(p)
}

// decode fills p, which holds three bytes at least, with all that it holds.
func (d *decoder) decode(p []byte) (int, error) {
	if d.at == len(d.text) {
		return 0, io.EOF
	}
	chunk := d.text[d.at:]
	if most := len(p) / 3 * 4; len(chunk) > most {
		chunk = chunk[:most]
	}
	n, err := base64.StdEncoding.Decode(p, chunk)
	if corrupt, ok := errors.AsType[base64.CorruptInputError](err); ok {
		return 0, base64.CorruptInputError(int64(d.at) + int64(corrupt))
	}
	d.at += len(chunk)
	if n < len(chunk)/4*3 && d.at < len(d.text) {
		return 0, base64.CorruptInputError(d.at) // padding before the end
	}
	return n, err
}
