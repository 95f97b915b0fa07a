package scrsim

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"maps"
	"slices"
	"time"
)

// outgoing is the body of an answer as it goes out. It is written once.
type outgoing struct {
	size    int64
	writeTo func(io.Writer) error
}

func ready(b []byte) outgoing {
	return outgoing{size: int64(len(b)), writeTo: func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	}}
}

// first is the first n bytes of an outgoing body.
func (o outgoing) first(n int64) outgoing {
	return outgoing{size: n, writeTo: func(w io.Writer) error {
		err := o.writeTo(&cutWriter{w: w, left: n})
		if errors.Is(err, errCut) {
			return nil
		}
		return err
	}}
}

// errCut ends the writing of a body of which enough is written.
var errCut = errors.New("body is cut")

// cutWriter takes the first bytes only.
type cutWriter struct {
	w    io.Writer
	left int64
}

// Write implements io.Writer.
func (c *cutWriter) Write(b []byte) (int, error) {
	if int64(len(b)) <= c.left {
		n, err := c.w.Write(b)
		c.left -= int64(n)
		return n, err
	}
	n, err := c.w.Write(b[:c.left])
	c.left -= int64(n)
	if err == nil {
		err = errCut
	}
	return n, err
}

// pacedWriter takes so long for a body of a size, in even steps, or until ctx
// ends.
type pacedWriter struct {
	ctx  context.Context //nolint:containedctx // io.Writer has no other way to get it
	w    io.Writer
	size int64
	over time.Duration
}

// pacedSteps is in how many pieces a slow body goes out.
const pacedSteps = 64

// Write implements io.Writer.
func (p *pacedWriter) Write(b []byte) (int, error) {
	step := int(max(1, p.size/pacedSteps))
	written := 0
	for part := range slices.Chunk(b, step) {
		timer := time.NewTimer(time.Duration(float64(p.over) * float64(len(part)) / float64(max(1, p.size))))
		select {
		case <-timer.C:
		case <-p.ctx.Done():
			timer.Stop()
			return written, p.ctx.Err()
		}
		n, err := p.w.Write(part)
		written += n
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

// piece is a part of a JSON text: text, or the content of a file as a string.
type piece struct {
	text []byte
	file *file
	bad  bool // a faulty file: see badBase64
}

// pieces is a JSON text of which the files are made up while it is written.
type pieces []piece

func (p pieces) out() outgoing {
	var size int64
	for _, part := range p {
		size += int64(len(part.text))
		if part.file != nil {
			size += part.file.base64Size()
		}
	}
	return outgoing{size: size, writeTo: p.writeTo}
}

func (p pieces) writeTo(w io.Writer) error {
	for _, part := range p {
		var err error
		switch {
		case part.file == nil:
			_, err = w.Write(part.text)
		case part.bad:
			err = part.file.writeBase64(&badBase64{w: w, at: part.file.base64Size() / 2})
		default:
			err = part.file.writeBase64(w)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// hasFiles reports whether any piece is one.
func (p pieces) hasFiles() bool {
	return slices.ContainsFunc(p, func(part piece) bool { return part.file != nil })
}

// spoil makes the first file malformed base64.
func (p pieces) spoil() {
	if i := slices.IndexFunc(p, func(part piece) bool { return part.file != nil }); i >= 0 {
		p[i].bad = true
	}
}

// badBase64 puts a character that base64 has not into what goes through it.
type badBase64 struct {
	w  io.Writer
	at int64 // where, from here
}

// Write implements io.Writer.
func (w *badBase64) Write(b []byte) (int, error) {
	if w.at >= 0 && w.at < int64(len(b)) {
		b = slices.Clone(b)
		b[w.at] = '*'
	}
	w.at -= int64(len(b))
	return w.w.Write(b)
}

// jsonWriter turns an answer into pieces. Names are in the order of the alphabet,
// as marshal has them, but for documentData.
type jsonWriter struct {
	done      pieces
	text      []byte
	dataFirst bool // documentData comes before the other fields, else after them
}

// marshalPieces is marshal for an answer with files in it.
func marshalPieces(v any, dataFirst bool) (pieces, error) {
	w := jsonWriter{dataFirst: dataFirst}
	if err := w.value(v); err != nil {
		return nil, err
	}
	return append(w.done, piece{text: w.text}), nil
}

func (w *jsonWriter) value(v any) error {
	switch v := v.(type) {
	case object:
		return w.object(v)
	case []object:
		return list(w, v)
	case []any:
		return list(w, v)
	case *file:
		w.done = append(w.done, piece{text: append(w.text, '"')}, piece{file: v})
		w.text = []byte{'"'}
		return nil
	default:
		b, err := marshal(v)
		w.text = append(w.text, b...)
		return err
	}
}

func (w *jsonWriter) object(o object) error {
	names := slices.Sorted(maps.Keys(o))
	const data = "documentData"
	if _, ok := o[data]; ok {
		names = slices.DeleteFunc(names, func(n string) bool { return n == data })
		if w.dataFirst {
			names = slices.Insert(names, 0, data)
		} else {
			names = append(names, data)
		}
	}
	w.text = append(w.text, '{')
	for i, name := range names {
		if i > 0 {
			w.text = append(w.text, ',')
		}
		quoted, err := marshal(name)
		if err != nil {
			return err
		}
		w.text = append(append(w.text, quoted...), ':')
		if err := w.value(o[name]); err != nil {
			return err
		}
	}
	w.text = append(w.text, '}')
	return nil
}

func list[T any](w *jsonWriter, all []T) error {
	w.text = append(w.text, '[')
	for i, v := range all {
		if i > 0 {
			w.text = append(w.text, ',')
		}
		if err := w.value(v); err != nil {
			return err
		}
	}
	w.text = append(w.text, ']')
	return nil
}

// base64URL writes b as base64url without padding, in small pieces.
func base64URL(w io.Writer, b []byte) error {
	e := base64.NewEncoder(base64.RawURLEncoding, w)
	if _, err := e.Write(b); err != nil {
		return err
	}
	return e.Close()
}
