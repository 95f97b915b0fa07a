package claim_test

import (
	"bytes"
	"encoding/base64"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"postident-bridge/internal/claim"
)

func TestBase64(t *testing.T) {
	t.Parallel()
	for size := range 20 {
		content := bytesOf(40, size)
		text := base64.StdEncoding.EncodeToString(content)
		for _, text := range []string{text, strings.ReplaceAll(text, "A", "A\r\n")} {
			if err := iotest.TestReader(claim.Base64([]byte(text))(), content); err != nil {
				t.Errorf("%q: %v", text, err)
			}
		}
	}
	large := bytesOf(41, 100_001)
	open := claim.Base64([]byte(base64.StdEncoding.EncodeToString(large)))
	for range 2 {
		if got, err := io.ReadAll(open()); err != nil || !bytes.Equal(got, large) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
	}
}

// It is what encoding/base64 says, whatever is read at a time.
func FuzzBase64(f *testing.F) {
	for _, s := range []string{"", "QQ==", "QUI=", "QUJD", "QUJDRA==", "QQ==QUJD", "Q", "QUJD!", "QUJD=", "====", "QUJDR===", "QU\nJD", "ÄÖ=="} {
		f.Add([]byte(s), 5)
	}
	f.Fuzz(func(t *testing.T, text []byte, n int) {
		want, wantErr := base64.StdEncoding.DecodeString(string(text))
		before := bytes.Clone(text)
		r := claim.Base64(text)()
		var got []byte
		buffer := make([]byte, 1+(n&0xff))
		var err error
		for err == nil {
			var m int
			m, err = r.Read(buffer)
			got = append(got, buffer[:m]...)
		}
		if (err == io.EOF) != (wantErr == nil) {
			t.Fatalf("%q: %v, want %v", text, err, wantErr)
		}
		if wantErr == nil && !bytes.Equal(got, want) || !bytes.HasPrefix(want, got) && wantErr != nil && !bytes.ContainsAny(text, "\r\n") {
			t.Errorf("%q: %x, want %x", text, got, want)
		}
		if !bytes.Equal(before, text) {
			t.Error("the text was written to")
		}
	})
}
