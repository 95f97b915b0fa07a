package scr_test

import (
	"bytes"
	"encoding/base64"
	"testing"

	"postident-bridge/internal/scr"
)

// Whatever the text, it is decoded as encoding/base64 does, also to where it stands;
// only line breaks are not taken.
func FuzzSextets(f *testing.F) {
	for _, s := range []string{
		"", "Q", "QQ", "QQ==", "QUI=", "QUJD", "QUJDQUJD", "QUJDQUJDQQ==", "Pz8/", "Pz8_", "--__", "++//", "QQ==QUJD", "QUJD=", "QU\nJD", "QUJDQU\nJ",
		"QUJDQUJDQUJDQUJD!UJDQUJDQUJDQUJD", "QUJDQUJDQUJDQUJDQUJDQUJDQUJDQU==", "====", "QUJDé",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for name, of := range map[string]struct {
			encoding *base64.Encoding
			decode   func(to, text []byte) (int, bool)
		}{
			"content": {base64.StdEncoding, scr.DecodeContent},
			"JWE":     {base64.RawURLEncoding, scr.DecodeJWEText},
		} {
			want, err := of.encoding.AppendDecode(nil, text)
			wantOK := err == nil && !bytes.ContainsAny(text, "\r\n")
			apart := make([]byte, len(text))
			n, ok := of.decode(apart, bytes.Clone(text))
			if ok != wantOK || ok && !bytes.Equal(apart[:n], want) {
				t.Fatalf("%s: got %q, %t; want %q, %v", name, apart[:n], ok, want, err)
			}
			there := bytes.Clone(text)
			if n, ok = of.decode(there, there); ok != wantOK || ok && !bytes.Equal(there[:n], want) {
				t.Fatalf("%s, in place: got %q, %t; want %q, %v", name, there[:n], ok, want, err)
			}
		}
	})
}
