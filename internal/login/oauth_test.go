package login_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postident-bridge/internal/login"
)

// tokens is a small token endpoint.
type tokens struct {
	asked  atomic.Int32
	answer atomic.Pointer[func(http.ResponseWriter, *http.Request)]
}

func (s *tokens) set(answer func(http.ResponseWriter, *http.Request)) { s.answer.Store(&answer) }

// give has it give tokens to a client.
func (s *tokens) give(id, secret string) {
	s.set(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if user != id || password != secret || r.PostFormValue("grant_type") != "client_credentials" || r.PostFormValue("scope") != "kafka other" {
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
		URL: server.URL, Scopes: []string{"kafka", "other"},
		Credentials: func() (string, string) { return "bridge", "canary-secret" },
		Client:      &http.Client{Timeout: 5 * time.Second},
		Now:         func() time.Time { return time.Now().Add(*passed.Load()) },
	}, &passed
}

func TestTokenIsKeptForFourFifthsOfItsLife(t *testing.T) {
	t.Parallel()
	s, e, passed := newEndpoint(t)
	s.give("bridge", "canary-secret")
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

// Client and secret may change at any time: a request brings the pair of its moment.
func TestCredentialsAreAskedForAtEachRequest(t *testing.T) {
	t.Parallel()
	s, e, _ := newEndpoint(t)
	id, secret := "bridge", "canary-1"
	e.Credentials = func() (string, string) { return id, secret }
	s.give("other", "canary-2")
	if _, err := e.Token(t.Context()); err == nil {
		t.Error("no error of a wrong secret")
	}
	id, secret = "other", "canary-2"
	if token, err := e.Token(t.Context()); token != "token-2" || err != nil {
		t.Errorf("%q, error %v", token, err)
	}
}

// One request at a time is under way for all who wait for it, and each waits no
// longer than its own context.
func TestAllWithoutATokenWaitForOneRequest(t *testing.T) {
	t.Parallel()
	s, e, _ := newEndpoint(t)
	answer, begun := make(chan struct{}), make(chan struct{})
	s.set(func(w http.ResponseWriter, _ *http.Request) {
		close(begun)
		<-answer
		_, _ = w.Write([]byte(`access_token=token-of-all&token_type=Bearer&expires_in=1000`))
	})
	impatient, cancel := context.WithCancel(t.Context())
	gone := make(chan error, 1)
	go func() { _, err := e.Token(impatient); gone <- err }()
	<-begun
	cancel()
	var told *login.TokenError
	if err := <-gone; !errors.As(err, &told) || !errors.Is(err, context.Canceled) {
		t.Errorf("whoever gives up is told %v", err)
	}
	var others sync.WaitGroup
	for range 3 {
		others.Go(func() {
			if token, err := e.Token(t.Context()); token != "token-of-all" || err != nil {
				t.Errorf("%q, error %v", token, err)
			}
		})
	}
	close(answer)
	others.Wait()
	if n := s.asked.Load(); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// never is a transport whose answers do not come before its own time-out.
type never struct {
	asked atomic.Int32
	waits time.Duration
}

func (n *never) RoundTrip(r *http.Request) (*http.Response, error) {
	if n.asked.Add(1) == 1 {
		body := `{"access_token":"token","token_type":"Bearer","expires_in":1000}`
		return &http.Response{
			StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}},
			Body: io.NopCloser(strings.NewReader(body)), Request: r,
		}, nil
	}
	select {
	case <-time.After(n.waits):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	return nil, errors.New("no answer")
}

// In the last fifth of a token's life an endpoint that hangs, or fails, costs nobody
// but one caller a second, once in 30 s.
func TestATokenAtHandIsGivenWhileItsRenewalHangs(t *testing.T) {
	t.Parallel()
	for name, waits := range map[string]time.Duration{"hangs": time.Hour, "fails at once": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				transport := &never{waits: waits}
				e := &login.Endpoint{
					URL: "https://id.example/token", Credentials: func() (string, string) { return "bridge", "canary" },
					Client: &http.Client{Transport: transport, Timeout: 10 * time.Second},
				}
				if _, err := e.Token(t.Context()); err != nil {
					t.Fatal(err)
				}
				elapse(801 * time.Second)
				for i := range 45 { // 90 s
					began := time.Now()
					if token, err := e.Token(t.Context()); token != "token" || err != nil {
						t.Fatalf("%q, error %v", token, err)
					}
					took, want := time.Since(began), time.Duration(0)
					if waits > 0 && i%15 == 0 {
						want = time.Second
					}
					if took != want {
						t.Errorf("call %d took %s", i, took)
					}
					elapse(2*time.Second - took)
				}
				if n := transport.asked.Load(); n != 1+3 {
					t.Errorf("%d requests in 90 s", n-1)
				}
				elapse(200 * time.Second) // expired
				began := time.Now()
				if _, err := e.Token(t.Context()); err == nil || time.Since(began) != min(waits, 10*time.Second) {
					t.Errorf("a token that has expired: error %v after %s", err, time.Since(began))
				}
			})
		})
	}
}

// elapse lets time go by in a bubble of synctest.
func elapse(d time.Duration) { <-time.After(d) }

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
