package login_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"postident-bridge/internal/login"
)

// tokens is a small token endpoint.
type tokens struct {
	asked  atomic.Int32
	answer atomic.Pointer[func(http.ResponseWriter, *http.Request)]
}

func (s *tokens) set(answer func(http.ResponseWriter, *http.Request)) { s.answer.Store(&answer) }

func (s *tokens) give(t *testing.T, secret func() string) {
	t.Helper()
	s.set(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if user != "bridge" || password != secret() || r.PostFormValue("grant_type") != "client_credentials" || r.PostFormValue("scope") != "kafka other" {
			http.Error(w, `{"error":"invalid_client","error_description":"canary"}`, http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"access_token":"token-%d","token_type":"Bearer","expires_in":1000}`, s.asked.Load())
	})
}

func newEndpoint(t *testing.T) (*tokens, *login.Endpoint, *atomic.Pointer[time.Duration]) {
	t.Helper()
	s := new(tokens)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		(*s.answer.Load())(w, r)
	}))
	t.Cleanup(server.Close)
	var passed atomic.Pointer[time.Duration]
	passed.Store(new(time.Duration))
	return s, &login.Endpoint{
		URL: server.URL, ClientID: "bridge", Secret: func() string { return "canary-secret" }, Scopes: []string{"kafka", "other"},
		Client: &http.Client{Timeout: 5 * time.Second},
		Now:    func() time.Time { return time.Now().Add(*passed.Load()) },
	}, &passed
}

func TestTokenIsKeptForFourFifthsOfItsLife(t *testing.T) {
	t.Parallel()
	s, e, passed := newEndpoint(t)
	s.give(t, func() string { return "canary-secret" })
	expect := func(after time.Duration, want string) {
		t.Helper()
		passed.Store(&after)
		if got, err := e.Token(t.Context()); got != want || err != nil {
			t.Errorf("after %s: %q, error %v; want %q", after, got, err, want)
		}
	}
	expect(0, "token-1")
	expect(790*time.Second, "token-1")
	expect(810*time.Second, "token-2")

	// While the endpoint is away, a token is given as long as it is good. The test's
	// endpoint counts a life from its own clock: this one ends at 1000 s.
	s.set(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	expect(990*time.Second, "token-2")
	past := 1010 * time.Second
	passed.Store(&past)
	if token, err := e.Token(t.Context()); err == nil {
		t.Errorf("a token that has expired: %q", token)
	}
}

// The secret may change at any time: a request brings the one of its moment.
func TestSecretIsAskedForAtEachRequest(t *testing.T) {
	t.Parallel()
	s, e, _ := newEndpoint(t)
	secret := "canary-1"
	e.Secret = func() string { return secret }
	s.give(t, func() string { return "canary-2" })
	if _, err := e.Token(t.Context()); err == nil {
		t.Error("no error of a wrong secret")
	}
	secret = "canary-2"
	if token, err := e.Token(t.Context()); token != "token-2" || err != nil {
		t.Errorf("%q, error %v", token, err)
	}
}

func TestTokenErrors(t *testing.T) {
	t.Parallel()
	answer := func(status int, body string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}
	tests := map[string]struct {
		answer    func(http.ResponseWriter, *http.Request)
		want      string
		temporary bool
	}{
		"refused":            {answer(401, `{"error":"invalid_client","error_description":"canary"}`), "ask for OAuth token: endpoint answered 401, invalid_client", false},
		"a code of its own":  {answer(400, `{"error":"canary"}`), "ask for OAuth token: endpoint answered 400", false},
		"not JSON":           {answer(403, `canary`), "ask for OAuth token: endpoint answered 403", false},
		"away":               {answer(503, `canary`), "ask for OAuth token: endpoint answered 503", true},
		"too many":           {answer(429, `canary`), "ask for OAuth token: endpoint answered 429", true},
		"no token in it":     {answer(200, `{"canary":1}`), "ask for OAuth token: the answer is no token", true},
		"nothing that reads": {answer(200, `canary`), "ask for OAuth token: the answer is no token", true},
		"broken off": {func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				_ = conn.Close()
			}
		}, "ask for OAuth token: EOF", true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, e, _ := newEndpoint(t)
			s.set(tt.answer)
			_, err := e.Token(t.Context())
			var told *login.TokenError
			if !errors.As(err, &told) || err.Error() != tt.want || told.Temporary() != tt.temporary {
				t.Errorf("error %v, want %s", err, tt.want)
			}
			if strings.Contains(fmt.Sprintf("%+v", err), "canary") {
				t.Errorf("shows what came: %+v", err)
			}
		})
	}
}
