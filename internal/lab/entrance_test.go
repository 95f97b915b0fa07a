package lab

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func target(t *testing.T, status int) (addr string, hits *int) {
	t.Helper()
	hits = new(int)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		*hits++
		w.WriteHeader(status)
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String(), hits
}

func knock(t *testing.T, e *Entrance) int {
	t.Helper()
	rec := httptest.NewRecorder()
	e.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/webhooks/ACME", strings.NewReader("{}")))
	return rec.Code
}

// Who does not answer is passed over; an answer is handed on, a refusal too.
func TestEntrancePassesOver(t *testing.T) {
	t.Parallel()
	good, hits := target(t, http.StatusOK)
	e := &Entrance{Client: http.DefaultClient}
	e.Set([]string{"127.0.0.1:1", good})
	for range 4 {
		if code := knock(t, e); code != http.StatusOK {
			t.Errorf("status %d", code)
		}
	}
	if *hits != 4 {
		t.Errorf("%d webhooks arrived", *hits)
	}
	busy, _ := target(t, http.StatusServiceUnavailable)
	e.Set([]string{busy})
	if code := knock(t, e); code != http.StatusServiceUnavailable {
		t.Errorf("a refusal came as %d", code)
	}
	e.Set([]string{"127.0.0.1:1"})
	if code := knock(t, e); code != http.StatusBadGateway {
		t.Errorf("nobody answered, and the status is %d", code)
	}
}

func TestEntranceShunsForAWhile(t *testing.T) {
	t.Parallel()
	now := time.Now()
	e := &Entrance{}
	e.Set([]string{"a", "b"})
	e.shun("a", now.Add(shunFor))
	for range 4 {
		if order := e.next(now); order[0] != "b" || order[1] != "a" {
			t.Errorf("order %v while a is shunned", order)
		}
	}
	later := now.Add(shunFor)
	if one, two := e.next(later), e.next(later); one[0] == two[0] {
		t.Errorf("%v, then %v: no turns", one, two)
	}
}
