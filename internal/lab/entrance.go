package lab

import (
	"bytes"
	"io"
	"net/http"
	"sync"
	"time"
)

// Entrance is the load balancer in front of the bridges: it hands a webhook to
// the next one in turn, and on to another if one does not answer. One that did
// not answer comes last for a while, as one that fails its readiness does.
type Entrance struct {
	// Client brings the webhooks.
	Client *http.Client

	mu      sync.Mutex
	targets []string             // guarded by mu: host:port
	turn    int                  // guarded by mu
	shunned map[string]time.Time // guarded by mu: until when
}

// shunFor is how long a target that did not answer comes last.
const shunFor = 2 * time.Second

// maxHook is more than any webhook that a bridge takes.
const maxHook = 64 << 10

// Set replaces the targets, each host:port.
func (e *Entrance) Set(targets []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.targets = targets
	e.shunned = make(map[string]time.Time)
}

// next is the targets in the order in which to try them.
func (e *Entrance) next(now time.Time) []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.turn++
	var good, shunned []string
	for i := range e.targets {
		target := e.targets[(e.turn+i)%len(e.targets)]
		if now.Before(e.shunned[target]) {
			shunned = append(shunned, target)
		} else {
			good = append(good, target)
		}
	}
	return append(good, shunned...)
}

func (e *Entrance) shun(target string, until time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.shunned[target] = until
}

// ServeHTTP hands the request on. 502 is the answer when nobody took it.
func (e *Entrance) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxHook))
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	for _, target := range e.next(time.Now()) {
		//nolint:gosec // the targets are ours, and the path is handed on as it came
		on, err := http.NewRequestWithContext(req.Context(), req.Method, "http://"+target+req.URL.Path, bytes.NewReader(body))
		if err != nil {
			break
		}
		on.Header = req.Header.Clone()
		resp, err := e.Client.Do(on) //nolint:gosec // as said
		if err != nil {
			e.shun(target, time.Now().Add(shunFor))
			continue
		}
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body)
		_ = resp.Body.Close()
		return
	}
	w.WriteHeader(http.StatusBadGateway)
}
