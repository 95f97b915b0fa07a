package ingest_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"postident-bridge/ingest"
)

// A peer that dawdles is cut off; one that is done may stay for a while.
func TestServerTimeouts(t *testing.T) {
	t.Parallel()
	const head = "POST /webhooks/ACME HTTP/1.1\r\nHost: bridge\r\nContent-Type: application/json\r\nContent-Length: 27\r\n"
	tests := map[string]struct {
		send   string
		atMost time.Duration
		answer string
	}{
		"says nothing":                {"", 2 * time.Second, ""},
		"headers that do not end":     {head, 2 * time.Second, ""},
		"a body that does not come":   {head + "\r\n", 4 * time.Second, "503"},
		"headers beyond the bound":    {head + "X-Long: " + strings.Repeat("x", 64<<10) + "\r\n\r\n", time.Second, "431"},
		"idle after a good answer":    {"GET / HTTP/1.1\r\nHost: bridge\r\n\r\n", 90 * time.Second, "405"},
		"no HTTP":                     {"hello\r\n\r\n", time.Second, "400"},
		"a body that comes in pieces": {head + "\r\n{", 4 * time.Second, "503"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				// The peer's address is no address here, so it stands for a stranger...
				r := newRig(t, rigOption{virtual: true})
				var network kfake.VirtualNetwork
				listener, err := network.Listen("tcp", "localhost:8080")
				if err != nil {
					t.Fatal(err)
				}
				server := ingest.NewServer(asSender(r), nil)
				served := make(chan error, 1)
				go func() { served <- server.Serve(listener) }()
				conn, err := network.DialContext(t.Context(), "tcp", "localhost:8080")
				if err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				go func() { _, _ = io.WriteString(conn, tc.send) }()
				got, err := io.ReadAll(conn)
				if err != nil && !errors.Is(err, net.ErrClosed) {
					t.Fatal(err)
				}
				if took := time.Since(began); took > tc.atMost {
					t.Errorf("connection closed after %v, want at most %v", took, tc.atMost)
				}
				if !strings.Contains(strings.SplitN(string(got), "\r\n", 2)[0], tc.answer) {
					t.Errorf("answer %q, want %s", got, tc.answer)
				}
				if err := conn.Close(); err != nil {
					t.Error(err)
				}
				if err := server.Close(); err != nil {
					t.Error(err)
				}
				if err := <-served; !errors.Is(err, http.ErrServerClosed) {
					t.Error(err)
				}
			})
		})
	}
}

// asSender gives every request the address of a sender: connections in memory
// have none.
func asSender(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.RemoteAddr = sender
		h.ServeHTTP(w, r)
	})
}

// The answer to a webhook that waits for Kafka must not be cut off by the
// server itself.
func TestServerLeavesTimeForTheAnswer(t *testing.T) {
	t.Parallel()
	s := ingest.NewServer(http.NotFoundHandler(), nil)
	if s.WriteTimeout < s.ReadTimeout+2*time.Second {
		t.Errorf("write time-out %v, read time-out %v: the longest wait for Kafka is 2s", s.WriteTimeout, s.ReadTimeout)
	}
	if s.ReadHeaderTimeout <= 0 || s.ReadHeaderTimeout > s.ReadTimeout || s.IdleTimeout <= 0 || s.MaxHeaderBytes <= 0 || s.ErrorLog == nil {
		t.Errorf("not set: %+v", s)
	}
}
