package scrsim

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"math/rand/v2"
	"sync"
)

// file is the content of a record: a PDF or a JPEG that any reader opens, most of
// it noise. It is made up while it is written, the same each time, so that
// neither an answer nor the truth ever holds one.
type file struct {
	pdf  bool
	size int64 // at least minFile
	seed [32]byte
	mark string // a canary, at the head of each block of noise
}

const (
	minFile = 1200
	// noiseBlock is after how many bytes of noise the mark comes again. It is a
	// multiple of three, so that base64 shows each mark alike.
	noiseBlock = 3 << 14
	// maxSegment bounds a segment of a JPEG, whose length has 16 bits.
	maxSegment = noiseBlock
)

// writeTo writes size bytes.
func (f *file) writeTo(w io.Writer) error {
	n := noise{w: w, random: rand.NewChaCha8(f.seed), mark: f.mark}
	if f.pdf {
		return f.writePDF(&n)
	}
	return f.writeJPEG(&n)
}

// sum is the SHA-256 of the content, in hex.
func (f *file) sum() string {
	h := sha256.New()
	_ = f.writeTo(h) // a hash takes everything
	return hex.EncodeToString(h.Sum(nil))
}

// base64Size is the length of what writeBase64 writes.
func (f *file) base64Size() int64 { return (f.size + 2) / 3 * 4 }

// writeBase64 writes the content as documentData has it.
func (f *file) writeBase64(w io.Writer) error {
	e := base64.NewEncoder(base64.StdEncoding, w)
	if err := f.writeTo(e); err != nil {
		return err
	}
	return e.Close()
}

// writePDF writes one page that shows the mark, and the noise as an object that
// no page refers to. Lengths are written with all their digits, so that nothing
// moves by what they are.
func (f *file) writePDF(n *noise) error {
	text := "BT /F1 12 Tf 72 770 Td (" + f.mark + ") Tj ET"
	objects := []string{
		"<< /Type /Catalog /Pages 2 0 R >>",
		"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
		"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F1 " +
			"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>",
		fmt.Sprintf("<< /Length %d >>\nstream\n%s\nendstream", len(text), text),
	}
	var head, xref bytes.Buffer
	head.WriteString("%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
	xref.WriteString("0000000000 65535 f \n")
	begin := func(number int) {
		fmt.Fprintf(&xref, "%010d 00000 n \n", head.Len())
		fmt.Fprintf(&head, "%d 0 obj\n", number)
	}
	for i, o := range objects {
		begin(i + 1)
		head.WriteString(o + "\nendobj\n")
	}
	for (head.Len()+len("5 0 obj\n")+len("<< /Length 0000000000 >>\nstream\n"))%3 != 0 {
		head.WriteByte('\n')
	}
	begin(len(objects) + 1)
	head.WriteString("<< /Length ")
	const after = len("0000000000 >>\nstream\n")
	ending := func(at int64) string {
		return fmt.Sprintf("\nendstream\nendobj\nxref\n0 %d\n%strailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%010d\n%%%%EOF\n",
			len(objects)+2, xref.String(), len(objects)+2, at)
	}
	length := f.size - int64(head.Len()+after+len(ending(0)))
	fmt.Fprintf(&head, "%010d >>\nstream\n", length)
	at := int64(head.Len()) + length + int64(len("\nendstream\nendobj\n"))
	if err := n.text(head.String()); err != nil {
		return err
	}
	if err := n.fill(length); err != nil {
		return err
	}
	return n.text(ending(at))
}

// writeJPEG writes a small grey picture, and the noise in application segments
// before it, which a decoder skips.
func (f *file) writeJPEG(n *noise) error {
	const head = "\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
	if err := n.text(head); err != nil {
		return err
	}
	left := f.size - int64(len(head)+len(picture()))
	at := int64(len(head))
	for count := (left + maxSegment - 1) / maxSegment; count > 0; count-- {
		size := (left + count - 1) / count                                           // all about alike, and none too short
		segment := binary.BigEndian.AppendUint16([]byte{0xff, 0xef}, uint16(size-2)) //nolint:gosec // at most maxSegment
		if err := n.text(string(segment)); err != nil {
			return err
		}
		pad := (3 - (at+4)%3) % 3
		if err := n.text("\x00\x00"[:pad]); err != nil {
			return err
		}
		if err := n.fill(size - 4 - pad); err != nil {
			return err
		}
		at, left = at+size, left-size
	}
	return n.text(string(picture()))
}

// picture is a JPEG of eight by eight points without its first marker.
var picture = sync.OnceValue(func() []byte {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, image.NewGray(image.Rect(0, 0, 8, 8)), nil); err != nil {
		panic(err) // a buffer takes everything, and the size is in range
	}
	return b.Bytes()[2:]
})

// noise writes what nobody can read or compress, with a mark in each block.
type noise struct {
	w      io.Writer
	random *rand.ChaCha8
	mark   string
	block  []byte
}

func (n *noise) text(s string) error {
	_, err := io.WriteString(n.w, s)
	return err
}

func (n *noise) fill(length int64) error {
	if n.block == nil {
		n.block = make([]byte, min(length, noiseBlock))
	}
	for length > 0 {
		if int64(len(n.block)) < min(length, noiseBlock) {
			n.block = make([]byte, noiseBlock)
		}
		b := n.block[:min(length, noiseBlock)]
		_, _ = n.random.Read(b) // never fails
		copy(b, n.mark)
		if _, err := n.w.Write(b); err != nil {
			return err
		}
		length -= int64(len(b))
	}
	return nil
}
