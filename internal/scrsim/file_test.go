package scrsim

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"image/jpeg"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func content(tb testing.TB, f *file) []byte {
	tb.Helper()
	var b bytes.Buffer
	if err := f.writeTo(&b); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// Whatever its size, a file has exactly that, the same bytes each time, what its
// type begins and ends with, and its mark where base64 shows it.
func TestFilesAreWhatTheyClaimToBe(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		f := &file{
			pdf: rapid.Bool().Draw(rt, "pdf"), size: int64(rapid.IntRange(minFile, 4*maxSegment).Draw(rt, "size")),
			mark: fmt.Sprintf("CANARY-idfrontside-%d", rapid.IntRange(1, 10_000_000).Draw(rt, "serial")),
		}
		f.seed[0] = rapid.Byte().Draw(rt, "seed")
		b := content(t, f)
		if int64(len(b)) != f.size {
			rt.Fatalf("%d bytes, want %d", len(b), f.size)
		}
		if !bytes.Equal(b, content(t, f)) {
			rt.Fatal("other bytes the second time")
		}
		if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != f.sum() {
			rt.Fatal("the sum is another's")
		}
		var encoded strings.Builder
		if err := f.writeBase64(&encoded); err != nil || int64(encoded.Len()) != f.base64Size() {
			rt.Fatalf("%d characters, want %d: %v", encoded.Len(), f.base64Size(), err)
		}
		if decoded, err := base64.StdEncoding.DecodeString(encoded.String()); err != nil || !bytes.Equal(decoded, b) {
			rt.Fatalf("base64 of something else: %v", err)
		}
		if !bytes.Contains(b, []byte(f.mark)) || !strings.Contains(encoded.String(), markBinary) {
			rt.Fatal("no mark")
		}
		if f.pdf {
			checkPDF(rt, b)
		} else if img, err := jpeg.Decode(bytes.NewReader(b)); err != nil || img.Bounds().Dx() != 8 || !bytes.HasSuffix(b, []byte("\xff\xd9")) {
			rt.Fatalf("no JPEG: %v", err)
		}
	})
}

// checkPDF follows the file's own table of objects, as a reader does.
func checkPDF(t *rapid.T, b []byte) {
	if !bytes.HasPrefix(b, []byte("%PDF-1.4\n")) || !bytes.HasSuffix(b, []byte("\n%%EOF\n")) {
		t.Fatal("no PDF")
	}
	start := regexp.MustCompile(`startxref\n(\d+)\n%%EOF\n$`).FindSubmatch(b)
	at, err := strconv.Atoi(string(start[1]))
	if err != nil || !bytes.HasPrefix(b[at:], []byte("xref\n0 6\n")) {
		t.Fatalf("no table at %d: %v", at, err)
	}
	rows := strings.Split(string(b[at:]), "\n")[3:8]
	for i, row := range rows {
		offset, err := strconv.Atoi(row[:10])
		if err != nil || !bytes.HasPrefix(b[offset:], fmt.Appendf(nil, "%d 0 obj\n", i+1)) {
			t.Fatalf("object %d is not at %d: %v", i+1, offset, err)
		}
		for _, m := range regexp.MustCompile(`^\d 0 obj\n<< /Length (\d+) >>\nstream\n`).FindAllSubmatch(b[offset:], -1) {
			length, err := strconv.Atoi(string(m[1]))
			if err != nil || !bytes.HasPrefix(b[offset+len(m[0])+length:], []byte("\nendstream")) {
				t.Fatalf("object %d is not as long as it says: %v", i+1, err)
			}
		}
	}
}

// Two records never have the same content, nor one whose seed differs.
func TestFilesDiffer(t *testing.T) {
	t.Parallel()
	a, b := &file{size: 5000, mark: "CANARY"}, &file{size: 5000, mark: "CANARY", seed: [32]byte{1}}
	if a.sum() == b.sum() {
		t.Error("the same")
	}
}

func BenchmarkFile(b *testing.B) {
	for name, f := range map[string]*file{
		"pdf":  {pdf: true, size: 20_000_000, mark: "CANARY-result-1"},
		"jpeg": {size: 3_000_000, mark: "CANARY-userface-1"},
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(f.size)
			b.ReportAllocs()
			for b.Loop() {
				if err := f.writeBase64(io.Discard); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
