package claim_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"

	"postident-bridge/internal/claim"
)

func TestContentIsAReadSeeker(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, 10, 5000} {
		content := bytesOf(20, size)
		for name, wrap := range map[string]func(io.Reader) io.Reader{
			"plain": func(r io.Reader) io.Reader { return r }, "bytes": iotest.OneByteReader, "halves": iotest.HalfReader,
			"end with data": func(r io.Reader) io.Reader {
				r = iotest.DataErrReader(r)
				return readerFunc(func(p []byte) (int, error) {
					if len(p) == 0 {
						return 0, nil // it never returns from such a call
					}
					return r.Read(p)
				})
			},
		} {
			c := claim.NewContent(t.Context(), func() io.Reader { return wrap(bytes.NewReader(content)) })
			if err := c.Measure(); err != nil {
				t.Fatal(err)
			}
			if err := iotest.TestReader(readSeeker{c}, content); err != nil {
				t.Errorf("%d bytes, %s: %v", size, name, err)
			}
		}
	}
}

// readSeeker hides what else the content has.
type readSeeker struct{ io.ReadSeeker }

// However it is read and sought in, it is the content, and never one that changed.
func TestContentInAnyOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		content := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "content")
		c := claim.NewContent(context.Background(), func() io.Reader { return bytes.NewReader(content) })
		if err := c.Measure(); err != nil {
			t.Fatal(err)
		}
		model := bytes.NewReader(content)
		for range rapid.IntRange(1, 20).Draw(t, "steps") {
			if rapid.Bool().Draw(t, "seek") {
				whence := rapid.IntRange(0, 2).Draw(t, "whence")
				at, _ := model.Seek(0, io.SeekCurrent)
				offset := rapid.Int64Range(0, int64(len(content))).Draw(t, "to") - []int64{0, at, int64(len(content))}[whence]
				want, err := model.Seek(offset, whence)
				got, err2 := c.Seek(offset, whence)
				if err != nil || err2 != nil || got != want {
					t.Fatalf("seek to %d, %v; want %d, %v", got, err2, want, err)
				}
				continue
			}
			a, b := make([]byte, rapid.IntRange(1, 100).Draw(t, "length")), make([]byte, 100)
			n, err := c.Read(a)
			m, _ := io.ReadFull(model, b[:n])
			if !bytes.Equal(a[:n], b[:m]) || err != nil && (!errors.Is(err, io.EOF) || model.Len() != 0) {
				t.Fatalf("%x, %v; want %x", a[:n], err, b[:m])
			}
		}
	})
	c := claim.NewContent(t.Context(), func() io.Reader { return bytes.NewReader(nil) })
	for _, offset := range []int64{-1, 1} {
		if _, err := c.Seek(offset, io.SeekStart); err == nil {
			t.Errorf("sought to %d", offset)
		}
	}
}

// What changed stays an error, also for a reading that would be right again.
func TestContentThatChangedStaysSo(t *testing.T) {
	t.Parallel()
	readings := [][]byte{[]byte("content"), []byte("contenT"), []byte("content")}
	c := claim.NewContent(t.Context(), func() io.Reader {
		r := bytes.NewReader(readings[0])
		readings = readings[1:]
		return r
	})
	if err := c.Measure(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if b, err := io.ReadAll(c); err == nil || len(b) == len("content") {
			t.Errorf("%q, %v", b, err)
		}
		if _, err := c.Seek(0, io.SeekStart); err != nil {
			t.Error(err)
		}
		if refused, ok := errors.AsType[*claim.ContentError](c.Fault()); !ok || refused.Reason != claim.ContentChanged {
			t.Errorf("%v", c.Fault())
		}
	}
}
