package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"
)

// readyTimeout bounds one question for readiness. Kubernetes gives a probe one
// second unless told otherwise.
const readyTimeout = 900 * time.Millisecond

// readiness answers for the roles of this process (design: P10). Each role
// says itself whether it is ready, and why not.
type readiness struct {
	roles    []roleReady
	stopping atomic.Bool
}

type roleReady struct {
	role  string
	ready func(context.Context) error
}

// roleState is a role in the answer of /readyz.
type roleState struct {
	Ready  bool   `json:"ready"`
	Reason string `json:"reason,omitempty"`
}

// readyAnswer is the body of /readyz.
type readyAnswer struct {
	Ready bool                 `json:"ready"`
	Roles map[string]roleState `json:"roles"`
}

// ask returns the state of the role named only, or of all roles where only is
// empty. The second value is false where the process has no such role.
func (r *readiness) ask(ctx context.Context, only string) (readyAnswer, bool) {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	answer := readyAnswer{Ready: true, Roles: make(map[string]roleState)}
	for _, role := range r.roles {
		if only != "" && only != role.role {
			continue
		}
		state := roleState{Ready: true}
		if r.stopping.Load() {
			state = roleState{Reason: "stopping"}
		} else if err := role.ready(ctx); err != nil {
			state = roleState{Reason: err.Error()}
		}
		answer.Ready = answer.Ready && state.Ready
		answer.Roles[role.role] = state
	}
	return answer, len(answer.Roles) > 0
}

// ServeHTTP answers /readyz: 200 if every role is ready, else 503 with the
// reasons. With ?role=webhook it answers for that role alone: a pod that also
// processes must go on taking webhooks while its process role waits.
func (r *readiness) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	only := req.URL.Query().Get("role")
	answer, known := r.ask(req.Context(), only)
	status := http.StatusOK
	switch {
	case !known:
		status = http.StatusNotFound
		answer.Ready = false
		answer.Roles[only] = roleState{Reason: "this process has no such role"}
	case !answer.Ready:
		status = http.StatusServiceUnavailable
	}
	body, err := json.MarshalIndent(answer, "", "  ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // the asker went away; nobody is left to tell
}

// letGo has h's connections closed behind their next answer once the process is
// stopping. A proxy or sender that keeps one alive would otherwise find it closed
// under a request of its own when the server stops (tried: 20 to 46 of some 10,000
// webhooks in rolling restarts). SetKeepAlivesEnabled(false) closes those that are
// idle at once, under a request that is on its way.
func (r *readiness) letGo(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if r.stopping.Load() {
			w.Header().Set("Connection", "close")
		}
		h.ServeHTTP(w, req)
	})
}

// newAdminServer serves what operators and Kubernetes ask: /livez, /readyz and
// /metrics.
func newAdminServer(ready *readiness, metrics http.Handler, logger *slog.Logger) *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		// Alive is who answers. Whatever a restart would not mend (Kafka, the API)
		// belongs to readiness.
		_, _ = w.Write([]byte("ok\n"))
	})
	mux.Handle("GET /readyz", ready)
	mux.Handle("GET /metrics", metrics)
	return &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       5 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
}
