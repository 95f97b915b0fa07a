package scr_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"postident-bridge/internal/scr"
)

func TestCaseMapsStatuses(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	tests := map[string]struct {
		status     int
		retryAfter string
		want       error
	}{
		"§8 7.7 401":               {401, "", &scr.UnauthorisedError{Status: 401}},
		"C15 403":                  {403, "", &scr.UnauthorisedError{Status: 403}},
		"§8 7.7 404":               {404, "", &scr.NotYetError{}},
		"§8 429 with seconds":      {429, "120", &scr.UnavailableError{Status: 429, RetryAfter: 2 * time.Minute}},
		"429 with a date":          {429, "Sun, 01 Mar 2026 12:00:30 GMT", &scr.UnavailableError{Status: 429, RetryAfter: 30 * time.Second}},
		"429 without":              {429, "", &scr.UnavailableError{Status: 429}},
		"408":                      {408, "", &scr.UnavailableError{Status: 408}},
		"§8 500":                   {500, "", &scr.UnavailableError{Status: 500}},
		"502":                      {502, "", &scr.UnavailableError{Status: 502}},
		"503 with seconds":         {503, "1", &scr.UnavailableError{Status: 503, RetryAfter: time.Second}},
		"599":                      {599, "", &scr.UnavailableError{Status: 599}},
		"C19 400":                  {400, "", &scr.RejectedError{Reason: scr.RejectedStatus, Status: 400}},
		"409":                      {409, "", &scr.RejectedError{Reason: scr.RejectedStatus, Status: 409}},
		"410 is not 404":           {410, "", &scr.RejectedError{Reason: scr.RejectedStatus, Status: 410}},
		"204 has no case":          {204, "", &scr.RejectedError{Reason: scr.RejectedStatus, Status: 204}},
		"201 is not for reads":     {201, "", &scr.RejectedError{Reason: scr.RejectedStatus, Status: 201}},
		"304 without being asked":  {304, "", &scr.RejectedError{Reason: scr.RejectedStatus, Status: 304}},
		"401 has no Retry-After":   {401, "5", &scr.UnauthorisedError{Status: 401}},
		"500 with a foolish value": {500, "soon", &scr.UnavailableError{Status: 500}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := testConfig(serve(t, func(w http.ResponseWriter, _ *http.Request) {
				if tt.retryAfter != "" {
					w.Header().Set("Retry-After", tt.retryAfter)
				}
				w.WriteHeader(tt.status)
				io.WriteString(w, `{"errors":[{"key":"CANARY","reason":"Erika Mustermann"}]}`)
			}))
			cfg.Now = func() time.Time { return now }
			_, err := newClient(t, cfg).Case(t.Context(), sampleID)
			if !cmp.Equal(err, tt.want) {
				t.Errorf("got %#v, want %#v", err, tt.want)
			}
			if strings.Contains(err.Error(), "CANARY") {
				t.Errorf("the error quotes the answer: %v", err)
			}
		})
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	tests := map[string]time.Duration{
		"":                                0,
		"0":                               0,
		" 7 ":                             7 * time.Second,
		"-7":                              0,
		"1.5":                             0,
		"86401":                           24 * time.Hour,
		"2147483647":                      24 * time.Hour,
		"99999999999999999999":            0,
		"Sun, 01 Mar 2026 11:59:59 GMT":   0,
		"Sun, 01 Mar 2026 12:00:01 GMT":   time.Second,
		"Sunday, 01-Mar-26 12:00:01 GMT":  time.Second, // the obsolete forms of RFC 9110, 5.6.7
		"Sun Mar  1 12:00:01 2026":        time.Second,
		"Sun, 01 Mar 2036 12:00:00 GMT":   24 * time.Hour,
		"Sun, 01 Mar 2026 12:00:01 +0000": 0,
	}
	for value, want := range tests {
		if got := scr.RetryAfter(value, now); got != want {
			t.Errorf("%q: got %v, want %v", value, got, want)
		}
	}
}

func TestCaseFollowsNoRedirect(t *testing.T) {
	t.Parallel()
	elsewhere := serve(t, func(http.ResponseWriter, *http.Request) {
		t.Error("the credentials went elsewhere")
	})
	for _, status := range []int{301, 302, 303, 307, 308} {
		cfg := testConfig(serve(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere+r.URL.Path, status)
		}))
		_, err := newClient(t, cfg).Case(t.Context(), sampleID)
		if !cmp.Equal(err, error(&scr.RejectedError{Reason: scr.RejectedStatus, Status: status})) {
			t.Errorf("%d: got %v", status, err)
		}
	}
}

// hijack answers with raw bytes and cuts the connection.
func hijack(t *testing.T, raw string) http.HandlerFunc {
	t.Helper()
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		io.WriteString(conn, raw)
		conn.Close()
	}
}

func TestCaseConnectionFaults(t *testing.T) {
	t.Parallel()
	closed := httptest.NewServer(nil)
	closed.Close()
	untrusted := httptest.NewUnstartedServer(http.NotFoundHandler())
	untrusted.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	untrusted.StartTLS()
	t.Cleanup(untrusted.Close)
	plain := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	tests := map[string]struct {
		url    string
		status int
		text   string
		err    error // of the transport, instead of a server
	}{
		"refused":                      {closed.URL, 0, "refused", nil},
		"certificate not trusted":      {untrusted.URL, 0, "certificate", nil},
		"HTTP where HTTPS is expected": {strings.Replace(plain, "http:", "https:", 1), 0, "HTTP", nil},
		"cut before the answer":        {serve(t, hijack(t, "")), 0, "connection broken", nil},
		"not HTTP":                     {serve(t, hijack(t, "CANARY answer\r\n\r\n")), 0, "connection broken", nil},
		"malformed header":             {serve(t, hijack(t, "HTTP/1.1 200 OK\r\nCANARY\r\n\r\n")), 0, "connection broken", nil},
		"cut in the body":              {serve(t, hijack(t, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{\"caseId\":\"CANARY")), 200, "connection broken", nil},
		"malformed chunk":              {serve(t, hijack(t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nCANARY\r\n")), 200, "connection broken", nil},
		"content encoding that is not": {serve(t, hijack(t, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 12\r\n\r\nCANARYCANARY")), 200, "connection broken", nil},
		"a transport's own words":      {err: errors.New("CANARY basic-canary"), text: "connection broken"},
		"no such host":                 {err: &net.DNSError{Err: "no such host", Name: "postident.example", IsNotFound: true}, text: "no such host"},
		"TLS alert":                    {err: tls.AlertError(40), text: "handshake failure"},
		"TLS handshake too slow":       {err: &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}, text: "no answer in time"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := testConfig(tt.url)
			if tt.err != nil {
				cfg.BaseURL, cfg.Transport = "https://postident.example", failing{tt.err}
			}
			_, err := newClient(t, cfg).Case(t.Context(), sampleID)
			var unavailable *scr.UnavailableError
			if !errors.As(err, &unavailable) || unavailable.Status != tt.status || unavailable.RetryAfter != 0 || !strings.Contains(err.Error(), tt.text) {
				t.Fatalf("got %#v: %v", err, err)
			}
			for _, hidden := range append(secrets, "CANARY") {
				if strings.Contains(err.Error(), hidden) {
					t.Errorf("the error shows %q: %v", hidden, err)
				}
			}
		})
	}
}

// failing is a transport that gets nowhere.
type failing struct{ err error }

func (f failing) RoundTrip(*http.Request) (*http.Response, error) { return nil, f.err }

func TestCaseTimeout(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		begun  string
		status int
	}{
		"no answer":          {"", 0},
		"no end of the body": {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{", 200},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				cfg := testConfig("http://192.0.2.1")
				cfg.Transport = &http.Transport{DialContext: stuck(tt.begun)}
				cfg.Timeout = 100 * time.Millisecond
				start := time.Now()
				_, err := newClient(t, cfg).Case(t.Context(), sampleID)
				if took := time.Since(start); took != cfg.Timeout {
					t.Errorf("gave up after %v, want %v", took, cfg.Timeout)
				}
				var unavailable *scr.UnavailableError
				if !errors.As(err, &unavailable) || unavailable.Status != tt.status || !strings.Contains(err.Error(), "no answer in time") {
					t.Errorf("got %#v", err)
				}
				if errors.Is(err, context.DeadlineExceeded) {
					t.Error("the client's own timeout looks like the caller's")
				}
			})
		})
	}
}

// stuck dials a server in the same bubble of synctest, which begins its answer and
// does not go on.
func stuck(begun string) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			if _, err := http.ReadRequest(bufio.NewReader(server)); err != nil {
				return
			}
			if _, err := io.WriteString(server, begun); err == nil {
				io.Copy(io.Discard, server) // until the client has gone
			}
		}()
		return client, nil
	}
}

// silent is a transport to a server that does not answer.
type silent struct{}

func (silent) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestCaseTimeoutByDefault(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := testConfig("https://postident.example")
		cfg.Key, cfg.Encryption, cfg.Transport = nil, scr.EncryptionOptional, silent{}
		client := newClient(t, cfg)
		// The publisher gives a read 20 s, waiting for a slot included.
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		start := time.Now()
		_, err := client.Case(ctx, sampleID)
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("gave up after %v, want 10s", took)
		}
		var unavailable *scr.UnavailableError
		if !errors.As(err, &unavailable) || !strings.Contains(err.Error(), "no answer in time") {
			t.Errorf("got %v, want the account's own timeout", err)
		}
	})
}

func TestCaseReturnsTheCallersEnd(t *testing.T) {
	t.Parallel()
	for _, when := range []string{"before the answer", "within the body"} {
		t.Run("cancelled "+when, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			cfg := testConfig(serve(t, func(w http.ResponseWriter, r *http.Request) {
				if when == "within the body" {
					io.WriteString(w, "{")
					http.NewResponseController(w).Flush()
				}
				cancel()
				<-r.Context().Done()
			}))
			_, err := newClient(t, cfg).Case(ctx, sampleID)
			wantCallersEnd(t, err, context.Canceled)
		})
	}
	t.Run("deadline", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		cfg := testConfig(serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
		_, err := newClient(t, cfg).Case(ctx, sampleID)
		wantCallersEnd(t, err, context.DeadlineExceeded)
	})
	t.Run("ended before", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := newClient(t, testConfig("https://postident.example")).Case(ctx, sampleID)
		wantCallersEnd(t, err, context.Canceled)
	})
}

func wantCallersEnd(t *testing.T, err, want error) {
	t.Helper()
	var unavailable *scr.UnavailableError
	if !errors.Is(err, want) || errors.As(err, &unavailable) {
		t.Errorf("got %v, want %v and nothing of the account", err, want)
	}
}

func TestCaseStopsReadingAtTheLimit(t *testing.T) {
	t.Parallel()
	const limit = 1 << 20
	t.Run("endless", func(t *testing.T) {
		t.Parallel()
		ended := make(chan struct{})
		cfg := testConfig(serve(t, func(w http.ResponseWriter, _ *http.Request) {
			defer close(ended)
			for block := make([]byte, 64<<10); ; {
				if _, err := w.Write(block); err != nil {
					return
				}
			}
		}))
		cfg.MaxBodyBytes = limit
		_, err := newClient(t, cfg).Case(t.Context(), sampleID)
		wantRejected(t, err, scr.RejectedTooLarge)
		<-ended // the connection was closed on the sender
	})
	t.Run("a gzip bomb", func(t *testing.T) {
		t.Parallel()
		var member bytes.Buffer // made before the client's time runs
		z := gzip.NewWriter(&member)
		z.Write(make([]byte, limit))
		z.Close()
		bomb := bytes.Repeat(member.Bytes(), 64)
		cfg := testConfig(serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Write(bomb)
		}))
		cfg.MaxBodyBytes = limit
		_, err := newClient(t, cfg).Case(t.Context(), sampleID)
		wantRejected(t, err, scr.RejectedTooLarge)
	})
}

func TestCaseReusesConnections(t *testing.T) {
	t.Parallel()
	var opened atomic.Int32
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path[len(r.URL.Path)-6:] {
		case "A/full":
			http.Error(w, strings.Repeat("x", 10_000), http.StatusNotFound)
		default:
			encryptFor(t, w, r, readFile(t, "case-video-success.json"))
		}
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	client := newClient(t, testConfig(s.URL))
	for range 3 {
		if _, err := client.Case(t.Context(), sampleID); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Case(t.Context(), "A"); !isNotYet(err) {
			t.Fatal(err)
		}
	}
	if n := opened.Load(); n != 1 {
		t.Errorf("%d connections for six reads in a row, want 1", n)
	}
}
