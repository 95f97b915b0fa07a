package scr_test

import (
	"crypto/x509"
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"postident-bridge/internal/scr"
)

// testConfig is the account of the guide's samples with a password of its own.
func testConfig(baseURL string) scr.ClientConfig {
	return scr.ClientConfig{
		BaseURL:      baseURL,
		ClientID:     "1234ABCD",
		Username:     "GK42.SCR",
		Password:     "basic-canary",
		DataPassword: "data-canary",
		Key:          sharedKey(),
	}
}

func newClient(t *testing.T, cfg scr.ClientConfig) *scr.Client {
	t.Helper()
	c, err := scr.NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// serve starts a server and returns its address.
func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

const sampleID = "YR9W91GEZK24"

// encryptFor answers like the API: with a JWE for the key in the headers, which
// it reads by facts 1.3 and 1.4 on its own.
func encryptFor(t *testing.T, w http.ResponseWriter, r *http.Request, plain []byte) {
	t.Helper()
	der, err := base64.StdEncoding.DecodeString(r.Header.Get("x-scr-key"))
	if err != nil {
		t.Errorf("x-scr-key: %v", err)
	}
	public, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		t.Errorf("x-scr-key: %v", err)
		return
	}
	if got := r.Header.Get("x-scr-keyhash"); got != scr.KeyHash(der, "data-canary") {
		t.Errorf("x-scr-keyhash %q", got)
	}
	w.Write(encrypt(t, public, jose.KeyAlgorithm(r.Header.Get("x-scr-alg")), jose.A256GCM, noZip, plain))
}

func TestCaseAsksTheRightEndpoint(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		access scr.Access
		scope  scr.Scope
		prefix string
		path   string
	}{
		"7.4.1 all identifications":           {"", "", "", "/full"},
		"7.4.1 all, named":                    {scr.AccessClient, scr.ScopeAll, "/", "/full"},
		"7.4.1 C13 primary, no slash at end":  {scr.AccessClient, scr.ScopePrimary, "", ""},
		"9.3 C15 partner reads status only":   {scr.AccessPartner, scr.ScopeAll, "", "/status/full"},
		"7.4.2 partner, primary":              {scr.AccessPartner, scr.ScopePrimary, "", "/status"},
		"a gateway's prefix before /api":      {"", "", "/gateway/scr", "/full"},
		"a gateway's prefix with a slash end": {"", "", "/gateway/scr/", "/full"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sample := readFile(t, "case-video-success.json")
			url := serve(t, func(w http.ResponseWriter, r *http.Request) {
				want := strings.TrimSuffix(tt.prefix, "/") + "/api/scr/v1/1234ABCD/cases/" + sampleID + tt.path
				if r.Method != http.MethodGet || r.RequestURI != want {
					t.Errorf("got %s %s, want GET %s", r.Method, r.RequestURI, want)
				}
				if user, password, ok := r.BasicAuth(); !ok || user != "GK42.SCR" || password != "basic-canary" {
					t.Error("7.2.4: wrong Basic authentication")
				}
				if got := r.Header.Get("Content-Type"); got != "application/json" {
					t.Errorf("C16: Content-Type %q", got)
				}
				if got := r.Header.Get("x-scr-alg"); got != "RSA-OAEP-256" {
					t.Errorf("facts 1.5: x-scr-alg %q", got)
				}
				encryptFor(t, w, r, sample)
			})
			cfg := testConfig(url + tt.prefix)
			cfg.Access, cfg.Scope = tt.access, tt.scope
			got, err := newClient(t, cfg).Case(t.Context(), sampleID)
			if err != nil || got.CaseID != sampleID || summary(got) != "video success*" {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestCaseDecidesFromTheBody(t *testing.T) {
	t.Parallel()
	// facts 1.11: nothing is known of the Content-Type.
	sample := readFile(t, "case-video-success.json")
	for _, contentType := range []string{"application/json", "application/jose", "text/plain", ""} {
		t.Run("JWE as "+contentType, func(t *testing.T) {
			t.Parallel()
			url := serve(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header()["Content-Type"] = []string{contentType}
				encryptFor(t, w, r, sample)
				w.Write([]byte("\r\n"))
			})
			if _, err := newClient(t, testConfig(url)).Case(t.Context(), sampleID); err != nil {
				t.Error(err)
			}
		})
		t.Run("JSON as "+contentType, func(t *testing.T) {
			t.Parallel()
			url := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header()["Content-Type"] = []string{contentType}
				w.Write(append([]byte("\n"), sample...))
			})
			cfg := testConfig(url)
			cfg.Encryption = scr.EncryptionOptional
			if _, err := newClient(t, cfg).Case(t.Context(), sampleID); err != nil {
				t.Error(err)
			}
			cfg.Encryption = scr.EncryptionRequired
			_, err := newClient(t, cfg).Case(t.Context(), sampleID)
			wantRejected(t, err, scr.RejectedPlain)
		})
	}
}

func wantRejected(t *testing.T, err error, reason string) {
	t.Helper()
	var rejected *scr.RejectedError
	if !errors.As(err, &rejected) || rejected.Reason != reason || rejected.Status != http.StatusOK {
		t.Errorf("got %v, want rejected for %s with status 200", err, reason)
	}
}

func TestCaseC17WithoutKey(t *testing.T) {
	t.Parallel()
	// 7.8: in the test environment the x-scr headers may be left out.
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		for name := range r.Header {
			if strings.HasPrefix(strings.ToLower(name), "x-scr") {
				t.Errorf("header %s sent", name)
			}
		}
		w.Write(readFile(t, "case-video-success.json"))
	})
	cfg := testConfig(url)
	cfg.Encryption, cfg.Key, cfg.DataPassword = scr.EncryptionOptional, nil, ""
	if _, err := newClient(t, cfg).Case(t.Context(), sampleID); err != nil {
		t.Error(err)
	}
}

func TestCaseRejectsWhatItCannotRead(t *testing.T) {
	t.Parallel()
	sample := string(readFile(t, "case-video-success.json"))
	foreign := string(encrypt(t, scr.PublicOf(otherKey()), jose.RSA_OAEP_256, jose.A256GCM, noZip, []byte(sample)))
	sealed := func(plain string) string {
		return string(encrypt(t, scr.PublicOf(sharedKey()), jose.RSA_OAEP_256, jose.A256GCM, noZip, []byte(plain)))
	}
	tests := map[string]struct {
		optional bool
		noKey    bool
		limit    int64
		body     string
		reason   string
	}{
		"§8 wrong key":                     {body: foreign, reason: scr.RejectedDecrypt},
		"§8 truncated":                     {body: foreign[:40], reason: scr.RejectedDecrypt},
		"§8 JWE of alg RSA1_5":             {body: string(encrypt(t, scr.PublicOf(sharedKey()), jose.RSA1_5, jose.A256GCM, noZip, []byte(sample))), reason: scr.RejectedAlgorithm},
		"§8 plain JSON":                    {body: sample, reason: scr.RejectedPlain},
		"§8 plain JSON list":               {body: "[]", reason: scr.RejectedPlain},
		"§8 JWE in JSON form":              {body: `{"protected":"e30","ciphertext":"CANARY"}`, reason: scr.RejectedPlain},
		"nothing":                          {body: "", reason: scr.RejectedJSON},
		"a web page":                       {body: "<html>CANARY</html>", reason: scr.RejectedJSON},
		"a JWE as a JSON text":             {body: `"` + foreign + `"`, reason: scr.RejectedJSON},
		"a word":                           {body: "error", reason: scr.RejectedJSON},
		"optional, and no JSON":            {optional: true, body: "CANARY", reason: scr.RejectedJSON},
		"optional, and cut short":          {optional: true, body: sample[:300], reason: scr.RejectedJSON},
		"encrypted, and no key":            {optional: true, noKey: true, body: foreign, reason: scr.RejectedDecrypt},
		"a JWE of no JSON":                 {body: sealed("CANARY"), reason: scr.RejectedJSON},
		"a JWE within a JWE":               {body: sealed(foreign), reason: scr.RejectedJSON},
		"another case":                     {body: sealed(strings.Replace(sample, sampleID, "OTHERCASE123", 1)), reason: scr.RejectedCase},
		"a case without created":           {body: sealed(`{"caseId":"` + sampleID + `"}`), reason: scr.RejectedCase},
		"over the limit":                   {optional: true, limit: 500, body: sample, reason: scr.RejectedTooLarge},
		"over the limit, length announced": {optional: true, limit: int64(len(sample)) - 1, body: sample, reason: scr.RejectedTooLarge},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := testConfig(serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Write([]byte(tt.body))
			}))
			cfg.MaxBodyBytes = tt.limit
			if tt.optional {
				cfg.Encryption = scr.EncryptionOptional
			}
			if tt.noKey {
				cfg.Key = nil
			}
			c, err := newClient(t, cfg).Case(t.Context(), sampleID)
			wantRejected(t, err, tt.reason)
			if c.CaseID != "" || strings.Contains(err.Error(), "CANARY") {
				t.Errorf("got %+v, %v", c, err)
			}
		})
	}
}

func TestCaseAllowRSA15(t *testing.T) {
	t.Parallel()
	cfg := testConfig(serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Write(encrypt(t, scr.PublicOf(sharedKey()), jose.RSA1_5, jose.A256GCM, noZip, readFile(t, "case-video-success.json")))
	}))
	cfg.AllowRSA15 = true
	if _, err := newClient(t, cfg).Case(t.Context(), sampleID); err != nil {
		t.Error(err)
	}
}

func TestCaseRefusesIDsThatAreNone(t *testing.T) {
	t.Parallel()
	client := newClient(t, testConfig(serve(t, func(http.ResponseWriter, *http.Request) {
		t.Error("asked")
	})))
	for _, id := range []string{"", "a/b", "..", "a?x=y", "a b", strings.Repeat("a", 65)} {
		_, err := client.Case(t.Context(), id)
		var rejected *scr.RejectedError
		if !errors.As(err, &rejected) || rejected.Reason != scr.RejectedCase || rejected.Status != 0 {
			t.Errorf("%q: got %v", id, err)
		}
	}
}

func TestNewClientListsEveryMistake(t *testing.T) {
	t.Parallel()
	good := testConfig("https://postident.example")
	tests := map[string]struct {
		change func(*scr.ClientConfig)
		want   []string
	}{
		"nothing set": {func(c *scr.ClientConfig) { *c = scr.ClientConfig{} }, []string{"base URL", "client id", "user name", "password", "key"}},
		"words that are none": {
			func(c *scr.ClientConfig) { c.Access, c.Scope, c.Encryption = "Client", "full", "none" },
			[]string{`access "Client"`, `scope "full"`, `encryption "none"`},
		},
		"client id in small letters":  {func(c *scr.ClientConfig) { c.ClientID = "1234abcd" }, []string{"client id"}},
		"client id too long":          {func(c *scr.ClientConfig) { c.ClientID = strings.Repeat("A", 33) }, []string{"client id"}},
		"user name with a colon":      {func(c *scr.ClientConfig) { c.Username = "a:b" }, []string{"user name"}},
		"no key, encryption required": {func(c *scr.ClientConfig) { c.Key = nil }, []string{"key: missing"}},
		"a key, no data password":     {func(c *scr.ClientConfig) { c.DataPassword = "" }, []string{"data password"}},
		"negative limits":             {func(c *scr.ClientConfig) { c.MaxBodyBytes, c.Timeout = -1, -1 }, []string{"body limit", "timeout"}},
		"a limit of no use":           {func(c *scr.ClientConfig) { c.MaxBodyBytes = 1<<30 + 1 }, []string{"body limit"}},
		"base URL of another scheme":  {func(c *scr.ClientConfig) { c.BaseURL = "ftp://postident.example" }, []string{"base URL"}},
		"base URL without host":       {func(c *scr.ClientConfig) { c.BaseURL = "https://:8443" }, []string{"base URL"}},
		"base URL with a query":       {func(c *scr.ClientConfig) { c.BaseURL = "https://postident.example?" }, []string{"base URL"}},
		"base URL with a user":        {func(c *scr.ClientConfig) { c.BaseURL = "https://u:basic-canary@postident.example" }, []string{"base URL"}},
		"base URL that is none":       {func(c *scr.ClientConfig) { c.BaseURL = "https://u:basic-canary@\x7f" }, []string{"base URL"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := good
			tt.change(&cfg)
			_, err := scr.NewClient(cfg)
			if err == nil {
				t.Fatal("accepted")
			}
			if lines := strings.Split(err.Error(), "\n"); len(lines) != len(tt.want) {
				t.Errorf("%d mistakes, want %d: %v", len(lines), len(tt.want), err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("no word of %q: %v", want, err)
				}
			}
			for _, secret := range secrets {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error shows %q: %v", secret, err)
				}
			}
		})
	}
}
