package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// The exit code is what `helm test` and a container's health check go by.
func TestReadyAsksARunningBridge(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		ready  func(asked int64) error
		args   []string
		code   int
		stdout string
	}{
		{name: "ready", ready: func(int64) error { return nil }, code: exitDone, stdout: "webhook: ready\n"},
		{
			name: "not ready", ready: func(int64) error { return errors.New("kafka does not answer") },
			code: exitFailed, stdout: "webhook: not ready: kafka does not answer\n",
		},
		{
			name: "ready after a while", args: []string{"--wait", "1m"}, code: exitDone, stdout: "webhook: ready\n",
			ready: func(asked int64) error {
				if asked < 2 {
					return errors.New("not yet")
				}
				return nil
			},
		},
		{
			name: "never ready", args: []string{"--wait", "1s"}, ready: func(int64) error { return errors.New("no") },
			code: exitFailed, stdout: "webhook: not ready: no\n",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int64
			ready := &readiness{roles: []roleReady{{roleWebhook, func(context.Context) error { return tt.ready(asked.Add(1)) }}}}
			server := httptest.NewServer(newAdminServer(ready, http.NotFoundHandler(), slog.New(slog.DiscardHandler)).Handler)
			defer server.Close()
			var stdout, stderr bytes.Buffer
			m := &Main{Args: append([]string{"ready", server.URL + "/readyz"}, tt.args...), Stdout: &stdout, Stderr: &stderr}
			if code := m.Run(t.Context()); code != tt.code || stdout.String() != tt.stdout {
				t.Errorf("code %d, printed %q; want %d, %q; %s", code, stdout.String(), tt.code, tt.stdout, stderr.String())
			}
		})
	}
}

// A mistake in the call is told at once, whatever --wait says.
func TestReadyRefusesAWrongCall(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"ready", "foo"},
		{"ready", "localhost:9090/readyz"},
		{"ready", "ftp://u:canary@host"},
		{"ready", "http://u:%zcanary@host"},
		{"ready", "--wait", "1m", "foo"},
		{"ready", "--wait=-1s"},
	} {
		if got := runMain(t, nil, args...); got.code != exitUsage || got.stdout != "" || strings.Contains(got.stderr, "canary") {
			t.Errorf("%v: %v", args, got)
		}
	}
}

// Go never asks a proxy for loopback, so this looks at the transport.
func TestReadyAsksWithoutAProxy(t *testing.T) {
	t.Parallel()
	if transport, ok := readyClient().Transport.(*http.Transport); !ok || transport.Proxy != nil {
		t.Error("a proxy may be asked for a bridge")
	}
}

// Somebody else's page is no sign of readiness, and silence none either.
func TestReadyNeedsTheAnswerOfABridge(t *testing.T) {
	t.Parallel()
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("hello")) }))
	defer other.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for _, url := range []string{other.URL, gone.URL} {
		var stdout, stderr bytes.Buffer
		m := &Main{Args: []string{"ready", url}, Stdout: &stdout, Stderr: &stderr}
		if code := m.Run(t.Context()); code != exitFailed || stderr.Len() == 0 {
			t.Errorf("%s: code %d, said %q", url, code, stderr.String())
		}
	}
}
