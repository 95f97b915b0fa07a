package scr_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"postident-bridge/internal/scr"
)

const noZip = jose.NONE

var allEncryptions = []jose.ContentEncryption{
	jose.A128CBC_HS256, jose.A192CBC_HS384, jose.A256CBC_HS512, jose.A128GCM, jose.A192GCM, jose.A256GCM,
}

func TestDecryptTakesFacts1(t *testing.T) {
	t.Parallel()
	plain := readFile(t, "case-video-success.json")
	for _, alg := range []jose.KeyAlgorithm{jose.RSA_OAEP_256, jose.RSA_OAEP, jose.RSA1_5} {
		for _, enc := range allEncryptions {
			t.Run(fmt.Sprintf("%s %s", alg, enc), func(t *testing.T) {
				t.Parallel()
				body := encrypt(t, scr.PublicOf(sharedKey()), alg, enc, noZip, plain)
				got, err := scr.Decrypt(body, sharedKey(), alg == jose.RSA1_5, scr.DefaultMaxBodyBytes)
				if err != nil || !bytes.Equal(got, plain) {
					t.Errorf("%v", err)
				}
			})
		}
	}
}

// reheader replaces the protected header of a compact JWE.
func reheader(body []byte, header string) []byte {
	_, rest, _ := bytes.Cut(body, []byte{'.'})
	return append([]byte(base64.RawURLEncoding.EncodeToString([]byte(header))+"."), rest...)
}

func TestDecryptRefuses(t *testing.T) {
	t.Parallel()
	public := scr.PublicOf(sharedKey())
	good := encrypt(t, public, jose.RSA_OAEP_256, jose.A256GCM, noZip, []byte(`{"a":"CANARY"}`))
	parts := strings.Split(string(good), ".")
	flipped := bytes.Clone(good)
	flipped[len(flipped)-30] ^= 1 // within the tag's first part or the ciphertext, still base64url or refused
	tests := map[string]struct {
		body             []byte
		reason, alg, enc string
	}{
		"RSA1_5 without the switch":   {encrypt(t, public, jose.RSA1_5, jose.A128GCM, noZip, []byte("{}")), scr.RejectedAlgorithm, "RSA1_5", "A128GCM"},
		"a symmetric alg":             {reheader(good, `{"alg":"dir","enc":"A256GCM"}`), scr.RejectedAlgorithm, "dir", "A256GCM"},
		"alg none":                    {reheader(good, `{"alg":"none","enc":"A256GCM"}`), scr.RejectedAlgorithm, "none", "A256GCM"},
		"PBES2 with its costly count": {reheader(good, `{"alg":"PBES2-HS256+A128KW","enc":"A256GCM","p2c":2147483647}`), scr.RejectedAlgorithm, "PBES2-HS256+A128KW", "A256GCM"},
		"enc of no RFC":               {reheader(good, `{"alg":"RSA-OAEP-256","enc":"XOR"}`), scr.RejectedAlgorithm, "RSA-OAEP-256", "XOR"},
		"no enc":                      {reheader(good, `{"alg":"RSA-OAEP-256"}`), scr.RejectedAlgorithm, "RSA-OAEP-256", ""},
		"alg in other letters":        {reheader(good, `{"ALG":"RSA-OAEP-256","enc":"A256GCM"}`), scr.RejectedAlgorithm, "", "A256GCM"},
		"an alg that is no name":      {reheader(good, `{"alg":"Erika Mustermann","enc":"`+strings.Repeat("A", 33)+`"}`), scr.RejectedAlgorithm, "malformed", "malformed"},
		"alg twice":                   {reheader(good, `{"alg":"RSA-OAEP-256","alg":"RSA1_5","enc":"A256GCM"}`), scr.RejectedDecrypt, "", ""},
		"a critical extension":        {reheader(good, `{"alg":"RSA-OAEP-256","enc":"A256GCM","crit":["x"],"x":1}`), scr.RejectedDecrypt, "RSA-OAEP-256", "A256GCM"},
		"another header":              {reheader(good, `{"enc":"A256GCM","alg":"RSA-OAEP-256"}`), scr.RejectedDecrypt, "RSA-OAEP-256", "A256GCM"},
		"header of another enc":       {reheader(good, `{"alg":"RSA-OAEP-256","enc":"A128CBC-HS256"}`), scr.RejectedDecrypt, "RSA-OAEP-256", "A128CBC-HS256"},
		"header no JSON":              {reheader(good, `CANARY`), scr.RejectedDecrypt, "", ""},
		"header no base64url":         {append([]byte("e$."), good...), scr.RejectedDecrypt, "", ""},
		"wrong key":                   {encrypt(t, scr.PublicOf(otherKey()), jose.RSA_OAEP_256, jose.A256GCM, noZip, []byte("{}")), scr.RejectedDecrypt, "RSA-OAEP-256", "A256GCM"},
		"truncated in the ciphertext": {good[:len(good)-30], scr.RejectedDecrypt, "RSA-OAEP-256", "A256GCM"},
		"truncated in the tag":        {good[:len(good)-4], scr.RejectedDecrypt, "RSA-OAEP-256", "A256GCM"},
		"truncated in the key":        {good[:len(parts[0])+20], scr.RejectedDecrypt, "RSA-OAEP-256", "A256GCM"},
		"truncated in the header":     {good[:10], scr.RejectedDecrypt, "", ""},
		"a part more":                 {append(bytes.Clone(good), ".AAAA"...), scr.RejectedDecrypt, "RSA-OAEP-256", "A256GCM"},
		"a flipped bit":               {flipped, scr.RejectedDecrypt, "RSA-OAEP-256", "A256GCM"},
		"no tag":                      {[]byte(strings.Join(parts[:4], ".") + "."), scr.RejectedDecrypt, "RSA-OAEP-256", "A256GCM"},
		"empty":                       {nil, scr.RejectedDecrypt, "", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plain, err := scr.Decrypt(tt.body, sharedKey(), false, scr.DefaultMaxBodyBytes)
			var rejected *scr.RejectedError
			if !errors.As(err, &rejected) || plain != nil {
				t.Fatalf("got %q, %v", plain, err)
			}
			if rejected.Reason != tt.reason || rejected.Alg != tt.alg || rejected.Enc != tt.enc {
				t.Errorf("got %s, alg %q, enc %q; want %s, %q, %q", rejected.Reason, rejected.Alg, rejected.Enc, tt.reason, tt.alg, tt.enc)
			}
			if strings.Contains(err.Error(), "CANARY") || strings.Contains(err.Error(), "Erika") {
				t.Errorf("the error quotes the answer: %v", err)
			}
		})
	}
}

func TestDecryptCompressed(t *testing.T) {
	t.Parallel()
	public := scr.PublicOf(sharedKey())
	sample := readFile(t, "case-video-success.json")
	t.Run("a case within the limit is taken", func(t *testing.T) {
		t.Parallel()
		body := encrypt(t, public, jose.RSA_OAEP_256, jose.A256GCM, jose.DEFLATE, sample)
		got, err := scr.Decrypt(body, sharedKey(), false, scr.DefaultMaxBodyBytes)
		if err != nil || !bytes.Equal(got, sample) {
			t.Error(err)
		}
	})
	bombs := map[string]struct {
		size   int
		limit  int64
		reason string
	}{
		"a bomb of 64 MiB":                   {64 << 20, scr.DefaultMaxBodyBytes, scr.RejectedDecrypt},
		"over a small limit":                 {100_000, 50_000, scr.RejectedTooLarge},
		"long enough to grow over the limit": {len(sample), 5_000, scr.RejectedTooLarge},
	}
	for name, tt := range bombs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			plain := sample
			if tt.size != len(sample) {
				plain = make([]byte, tt.size)
			}
			body := encrypt(t, public, jose.RSA_OAEP_256, jose.A256GCM, jose.DEFLATE, plain)
			got, err := scr.Decrypt(body, sharedKey(), false, tt.limit)
			var rejected *scr.RejectedError
			if !errors.As(err, &rejected) || rejected.Reason != tt.reason || got != nil {
				t.Errorf("got %d bytes, %v; want reason %s", len(got), err, tt.reason)
			}
		})
	}
}

func TestDecryptLimitsThePlaintext(t *testing.T) {
	t.Parallel()
	body := encrypt(t, scr.PublicOf(sharedKey()), jose.RSA_OAEP_256, jose.A256GCM, noZip, make([]byte, 1001))
	_, err := scr.Decrypt(body, sharedKey(), false, 1000)
	var rejected *scr.RejectedError
	if !errors.As(err, &rejected) || rejected.Reason != scr.RejectedTooLarge {
		t.Errorf("got %v", err)
	}
	if _, err := scr.Decrypt(body, sharedKey(), false, 1001); err != nil {
		t.Errorf("at the limit: %v", err)
	}
}
