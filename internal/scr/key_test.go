package scr_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"postident-bridge/internal/scr"
)

func TestNewKeyRefusesSizes(t *testing.T) {
	t.Parallel()
	for _, bits := range []int{-1, 0, 1024, 2047, 4097, 1 << 20} {
		if _, err := scr.NewKey(bits); err == nil {
			t.Errorf("%d bits accepted", bits)
		}
	}
}

func TestKeyHashFacts14(t *testing.T) {
	t.Parallel()
	// printf 'message' | openssl dgst -sha256 -hmac 'data password' -binary | base64
	const want = "dmpASdfqe/AcO5CVyrZlx9gsYPEhyQsEa/PJ8Z6Tz9o="
	if got := scr.KeyHash([]byte("message"), "data password"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// secrets are the credentials that stand in the configuration of testConfig.
var secrets = []string{"basic-canary", "data-canary", "R0s0Mi5TQ1I6YmFzaWMtY2FuYXJ5"}

func TestNothingPrintsASecret(t *testing.T) {
	t.Parallel()
	cfg := testConfig("https://postident.example")
	client, err := scr.NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	private := fmt.Sprint(scr.PublicOf(cfg.Key)) // the modulus, which the private half has, too
	var out bytes.Buffer
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		fmt.Fprintf(&out, format, cfg)
		fmt.Fprintf(&out, format, &cfg)
		fmt.Fprintf(&out, format, cfg.Key)
		fmt.Fprintf(&out, format, client)
	}
	for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(h).Info("start", "config", cfg, "client", client, "key", cfg.Key)
	}
	modulus, _, _ := strings.Cut(strings.TrimPrefix(private, "&{"), " ")
	for _, secret := range append(secrets, modulus) {
		if secret == "" || strings.Contains(out.String(), secret) {
			t.Errorf("%q stands in:\n%.2000s", secret, out.String())
		}
	}
	if !strings.Contains(out.String(), "1234ABCD") {
		t.Error("the account is not named either")
	}
}
