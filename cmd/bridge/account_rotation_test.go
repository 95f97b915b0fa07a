package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"postident-bridge/internal/rotate"
	"postident-bridge/internal/scr"
)

// logins is an API that notes which users came with which passwords.
type logins struct {
	mu   sync.Mutex
	seen map[[2]string]int // guarded by mu
	keys map[string]string // guarded by mu: the hash of the key by user
}

func (l *logins) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	user, password, _ := r.BasicAuth()
	l.mu.Lock()
	l.seen[[2]string{user, password}]++
	l.keys[user] = r.Header.Get(scr.HeaderKeyHash)
	l.mu.Unlock()
	w.WriteHeader(http.StatusServiceUnavailable)
}

func (l *logins) count(user, password string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seen[[2]string{user, password}]
}

// User and passwords of an account change in their files while it is read: no request
// brings half of the one and half of the other.
func TestAccountLoginChangesUnderLoad(t *testing.T) {
	t.Parallel()
	api := &logins{seen: make(map[[2]string]int), keys: make(map[string]string)}
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	secret := mount(t, map[string]string{"user": "first\n", "password": "canary-1", "data": "canary-data-1"})
	s, _, err := loadSettings(append(complete("BRIDGE_SCR_BASE_URL="+server.URL, "BRIDGE_ACCOUNT_1_RSA_BITS=2048",
		"BRIDGE_ACCOUNT_1_USERNAME=", "BRIDGE_ACCOUNT_1_PASSWORD=", "BRIDGE_ACCOUNT_1_DATA_PASSWORD="),
		secret.environ(map[string]string{
			"BRIDGE_ACCOUNT_1_USERNAME": "user", "BRIDGE_ACCOUNT_1_PASSWORD": "password", "BRIDGE_ACCOUNT_1_DATA_PASSWORD": "data",
		})...), rolePoll, roleProcess)
	if err != nil {
		t.Fatal(err)
	}
	clients, err := s.newClients(&telemetry{})
	if err != nil {
		t.Fatal(err)
	}
	defer clients[0].CloseIdleConnections()
	watch, err := rotate.New(rotate.Config{Every: looksOften})
	if err != nil {
		t.Fatal(err)
	}
	s.watchClients(clients, watch)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = watch.Run(ctx) })
	for range 4 {
		wg.Go(func() {
			for ctx.Err() == nil {
				_, _ = clients[0].Case(ctx, "CASE00000001")
			}
		})
	}
	eventually(t, "the first login is used", func() bool { return api.count("first", "canary-1") > 10 })
	secret.Change(map[string]string{"user": "second\n", "password": "canary-2", "data": "canary-data-2"})
	eventually(t, "the second login is used", func() bool { return api.count("second", "canary-2") > 10 })
	stop()
	wg.Wait()
	server.Close() // what its handlers noted is all
	if len(api.seen) != 2 || api.keys["first"] == api.keys["second"] {
		t.Errorf("logins %v, key hashes %v", api.seen, api.keys)
	}
}
