package scrsim

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"postident-bridge/internal/scr"
)

// testKey is one key for all tests: making one is slow.
var testKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// withKey makes a client send the x-scr headers of facts 1.3 to 1.5.
func withKey(t *testing.T, a *api, dataPassword string, alg jose.KeyAlgorithm) *api {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(testKey().Public())
	if err != nil {
		t.Fatal(err)
	}
	a.header.Set("x-scr-key", base64.StdEncoding.EncodeToString(der))
	a.header.Set("x-scr-keyhash", base64.StdEncoding.EncodeToString(keyHash(dataPassword, der)))
	if alg != "" {
		a.header.Set("x-scr-alg", string(alg))
	}
	return a
}

// open decrypts with go-jose, not with our own client.
func open(t *testing.T, body []byte) (plain []byte, alg jose.KeyAlgorithm, enc string) {
	t.Helper()
	object, err := jose.ParseEncryptedCompact(string(body), keyAlgorithms, contentEncryptions)
	if err != nil {
		t.Fatalf("%v: %.80s", err, body)
	}
	plain, err = object.Decrypt(testKey())
	if err != nil {
		t.Fatal(err)
	}
	header, _ := object.Header.ExtraHeaders["enc"].(string)
	return plain, jose.KeyAlgorithm(object.Header.Algorithm), header
}

func encryptingAccount(mode Encryption, wire Wire) Account {
	a := testAccount("ACCT0001", scr.ClassGwG)
	a.Encryption, a.Wire = mode, wire
	return a
}

// Facts 1.1 to 1.11: every GET is encrypted, alg from the header or the
// account, enc and Content-Type as the account is set.
func TestEncryptedAnswers(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name        string
		wire        Wire
		send, alg   jose.KeyAlgorithm
		contentType string
	}{
		{"as the SDK asks", Wire{}, jose.RSA_OAEP_256, jose.RSA_OAEP_256, "application/json"},
		{"RSA-OAEP", Wire{Enc: jose.A128CBC_HS256, JWEContentType: "application/jose"}, jose.RSA_OAEP, jose.RSA_OAEP, "application/jose"},
		{"1.5: the account's default", Wire{Alg: jose.RSA_OAEP, Enc: jose.A256CBC_HS512, JWEContentType: "text/plain"}, "", jose.RSA_OAEP, "text/plain"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			sim := newSim(t, Config{Accounts: []Account{encryptingAccount(EncryptionRequired, tt.wire)}})
			client := withKey(t, newAPI(t, sim), "data", tt.send)
			id := create(t, sim, videoStarted, videoSuccess)
			walkToEnd(t, sim, id)
			for _, path := range []string{"/" + id, "/" + id + "/status/full", "", "/status"} {
				a := client.get(path).wants(http.StatusOK)
				plain, alg, _ := open(t, a.body)
				if alg != tt.alg || a.header.Get("Content-Type") != tt.contentType {
					t.Errorf("%s: alg %q, Content-Type %q", path, alg, a.header.Get("Content-Type"))
				}
				if !json.Valid(plain) || !strings.Contains(string(plain), id) {
					t.Errorf("%s: %s", path, plain)
				}
			}
			if !sim.Truth()[1].Seen {
				t.Error("not seen")
			}
			// 1.9, 1.12: POST, PATCH and errors are not encrypted.
			if a := client.do(http.MethodPatch, "/archive", `[]`).wants(200); string(a.body) != "[]" {
				t.Errorf("PATCH: %s", a.body)
			}
			if a := client.get("/NOSUCHCASE00").wants(404); !json.Valid(a.body) {
				t.Errorf("404: %s", a.body)
			}
		})
	}
}

// Facts 1.2, 1.13: what an account takes of the x-scr headers, and how it
// refuses them.
func TestEncryptionModes(t *testing.T) {
	t.Parallel()
	none := func(t *testing.T, _ *api) { t.Helper() }
	right := func(t *testing.T, a *api) { t.Helper(); withKey(t, a, "data", "") }
	wrongHash := func(t *testing.T, a *api) { t.Helper(); withKey(t, a, "wrong", "") }
	wrongAlg := func(t *testing.T, a *api) { t.Helper(); withKey(t, a, "data", "none") }
	onlyHash := func(t *testing.T, a *api) { t.Helper(); right(t, a); a.header.Del("x-scr-key") }
	noKey := func(t *testing.T, a *api) {
		t.Helper()
		der := []byte("no key")
		a.header.Set("x-scr-key", base64.StdEncoding.EncodeToString(der))
		a.header.Set("x-scr-keyhash", base64.StdEncoding.EncodeToString(keyHash("data", der)))
	}
	for _, tt := range []struct {
		name      string
		mode      Encryption
		wire      Wire
		send      func(*testing.T, *api)
		status    int
		encrypted bool
	}{
		{"required, key sent", EncryptionRequired, Wire{}, right, 200, true},
		{"required, none sent", EncryptionRequired, Wire{}, none, 400, false},
		{"required, wrong hash", EncryptionRequired, Wire{}, wrongHash, 400, false},
		{"required, wrong hash, 401", EncryptionRequired, Wire{KeyRefusal: 401}, wrongHash, 401, false},
		{"required, wrong hash, 403", EncryptionRequired, Wire{KeyRefusal: 403}, wrongHash, 403, false},
		{"required, unknown alg", EncryptionRequired, Wire{}, wrongAlg, 400, false},
		{"required, key missing", EncryptionRequired, Wire{}, onlyHash, 400, false},
		{"required, no key", EncryptionRequired, Wire{}, noKey, 400, false},
		{"optional, none sent", EncryptionOptional, Wire{}, none, 200, false},
		{"optional, key sent", EncryptionOptional, Wire{}, right, 200, true},
		{"optional, wrong hash", EncryptionOptional, Wire{}, wrongHash, 400, false},
		{"off, key sent", EncryptionOff, Wire{}, right, 200, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			client := newAPI(t, newSim(t, Config{Accounts: []Account{encryptingAccount(tt.mode, tt.wire)}}))
			tt.send(t, client)
			a := client.get("").wants(tt.status)
			if encrypted := !json.Valid(a.body); encrypted != tt.encrypted {
				t.Errorf("encrypted %v: %s", encrypted, a.body)
			}
		})
	}
}

// The client of internal/scr reads what the simulator writes, as client and as
// partner, over a network.
func TestRoundTripWithOurClient(t *testing.T) {
	t.Parallel()
	acct := encryptingAccount(EncryptionRequired, Wire{})
	acct.Credentials = append(acct.Credentials, Credential{Username: "partner", Password: "pass", DataPassword: "other", Access: AccessPartner})
	sim := newSim(t, Config{Accounts: []Account{acct}})
	server := httptest.NewServer(sim.Handler())
	t.Cleanup(server.Close)
	key, err := scr.NewKey(2048)
	if err != nil {
		t.Fatal(err)
	}
	for _, cfg := range []scr.ClientConfig{
		{Username: "user", DataPassword: "data", Access: scr.AccessClient},
		{Username: "user", DataPassword: "data", Access: scr.AccessClient, Scope: scr.ScopePrimary},
		{Username: "partner", DataPassword: "other", Access: scr.AccessPartner},
	} {
		cfg.BaseURL, cfg.ClientID, cfg.Password, cfg.Key = server.URL, "ACCT0001", "pass", key
		client, err := scr.NewClient(cfg)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(client.CloseIdleConnections)
		id := create(t, sim, videoStarted, videoReview, videoFraud)
		for range 3 {
			want := advance(t, sim, id)
			got, err := client.Case(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			checkShown(t, got, want.Change)
			// The client may be through with the answer before the simulator is.
			eventually(t, "the change is marked as seen", func() bool { return sim.Truth()[want.Index].Seen })
		}
	}
}

func BenchmarkEncryptedRead(b *testing.B) {
	sim, err := New(Config{Accounts: []Account{encryptingAccount(EncryptionRequired, Wire{})}})
	if err != nil {
		b.Fatal(err)
	}
	info, err := sim.Create(NewCase{ClientID: "ACCT0001", Plan: &Plan{Steps: []Step{videoStarted, videoSuccess}}})
	if err != nil {
		b.Fatal(err)
	}
	for range 2 {
		if _, err := sim.Advance(info.CaseID); err != nil {
			b.Fatal(err)
		}
	}
	der, err := x509.MarshalPKIXPublicKey(testKey().Public())
	if err != nil {
		b.Fatal(err)
	}
	r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/api/scr/v1/ACCT0001/cases/"+info.CaseID+"/full", nil)
	r.SetBasicAuth("user", "pass")
	r.Header.Set("X-Scr-Key", base64.StdEncoding.EncodeToString(der))
	r.Header.Set("X-Scr-Keyhash", base64.StdEncoding.EncodeToString(keyHash("data", der)))
	b.ReportAllocs()
	for b.Loop() {
		w := httptest.NewRecorder()
		sim.Handler().ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			b.Fatal(w.Body)
		}
	}
}
