package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// P10: the answer is about the role, with its reason.
func TestReadyzTellsTheTruthAboutTheRole(t *testing.T) {
	t.Parallel()
	good := func(context.Context) error { return nil }
	bad := func(context.Context) error { return errors.New("kafka does not answer") }
	tests := []struct {
		name             string
		webhook, process func(context.Context) error
		stopping         bool
		query            string
		status           int
		want             readyAnswer
	}{
		{
			name: "both ready", webhook: good, process: good, status: http.StatusOK,
			want: readyAnswer{true, map[string]roleState{"webhook": {Ready: true}, "process": {Ready: true}}},
		},
		{
			name: "one waits", webhook: good, process: bad, status: http.StatusServiceUnavailable,
			want: readyAnswer{false, map[string]roleState{"webhook": {Ready: true}, "process": {Reason: "kafka does not answer"}}},
		},
		{
			name: "the other one alone", webhook: good, process: bad, query: "?role=webhook", status: http.StatusOK,
			want: readyAnswer{true, map[string]roleState{"webhook": {Ready: true}}},
		},
		{
			name: "no such role", webhook: good, query: "?role=process", status: http.StatusNotFound,
			want: readyAnswer{false, map[string]roleState{"process": {Reason: "this process has no such role"}}},
		},
		{
			name: "stopping", webhook: good, stopping: true, status: http.StatusServiceUnavailable,
			want: readyAnswer{false, map[string]roleState{"webhook": {Reason: "stopping"}}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ready := new(readiness)
			ready.roles = append(ready.roles, roleReady{roleWebhook, tt.webhook})
			if tt.process != nil {
				ready.roles = append(ready.roles, roleReady{roleProcess, tt.process})
			}
			ready.stopping.Store(tt.stopping)
			server := newAdminServer(ready, http.NotFoundHandler(), slog.New(slog.DiscardHandler))
			rec := httptest.NewRecorder()
			server.Handler.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/readyz"+tt.query, nil))
			var got readyAnswer
			if err := json.Unmarshal(rec.Body.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" || rec.Code != tt.status {
				t.Errorf("status %d, want %d (-want +got):\n%s", rec.Code, tt.status, diff)
			}
			alive := httptest.NewRecorder()
			server.Handler.ServeHTTP(alive, httptest.NewRequest(http.MethodGet, "/livez", nil))
			if alive.Code != http.StatusOK {
				t.Errorf("/livez: %d: a restart mends none of this", alive.Code)
			}
		})
	}
}

// A role that hangs must not make the probe hang: Kubernetes gives it a second.
func TestReadyzIsBounded(t *testing.T) {
	t.Parallel()
	ready := &readiness{roles: []roleReady{{roleProcess, func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}}}}
	answer, known := ready.ask(t.Context(), "")
	if !known || answer.Ready || answer.Roles[roleProcess].Reason == "" {
		t.Errorf("%+v", answer)
	}
}

// A connection outlives no answer once the process stops.
func TestConnectionsEndWhenTheProcessStops(t *testing.T) {
	t.Parallel()
	ready := new(readiness)
	server := httptest.NewServer(ready.letGo(http.NotFoundHandler()))
	t.Cleanup(server.Close)
	kept := func() bool {
		t.Helper()
		resp, err := http.Get(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Fatal(err)
		}
		return !resp.Close
	}
	if !kept() {
		t.Error("not kept while the process serves")
	}
	ready.stopping.Store(true)
	if kept() {
		t.Error("kept while the process stops")
	}
}
