package scr_test

import (
	"encoding/base64"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postident-bridge/internal/scr"
)

// knowing is a transport that takes one user with one password, and counts the
// requests with each.
type knowing struct {
	mu    sync.Mutex
	good  string         // guarded by mu: user:password
	asked map[string]int // guarded by mu: by user:password
	hold  chan struct{}  // not nil: the answer to a request waits for it
}

func (k *knowing) expect(login string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.good = login
}

func (k *knowing) requests(login string) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.asked[login]
}

func (k *knowing) RoundTrip(r *http.Request) (*http.Response, error) {
	user, password, _ := r.BasicAuth()
	login := user + ":" + password
	k.mu.Lock()
	k.asked[login]++
	status := http.StatusUnauthorized
	if login == k.good {
		status = http.StatusOK
	}
	hold := k.hold
	k.mu.Unlock()
	if hold != nil {
		<-hold
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("[]")), ContentLength: 2, Request: r}, nil
}

func knowingClient(t *testing.T, good string) (*knowing, *scr.Client) {
	t.Helper()
	api := &knowing{good: good, asked: make(map[string]int)}
	cfg := testConfig("https://postident.example")
	cfg.Key, cfg.Encryption, cfg.Transport = nil, scr.EncryptionOptional, api
	cfg.Username, cfg.Password = "user", "first"
	return api, newClient(t, cfg)
}

// An account that was refused is asked at once with a password that changed, and no
// request goes out with the one before.
func TestChangedPasswordsOpenTheLock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api, client := knowingClient(t, "user-2:second")
		wantUnauthorised(t, ask(t.Context(), client, 0), scr.UnauthorisedError{Status: 401})
		elapse(time.Second)
		wantUnauthorised(t, ask(t.Context(), client, 0), scr.UnauthorisedError{Status: 401, Held: true, RetryAfter: 299 * time.Second})
		if err := client.ChangeCredentials("user", "wrong", ""); err != nil {
			t.Fatal(err)
		}
		// One more that is wrong is refused once, and waits again.
		wantUnauthorised(t, ask(t.Context(), client, 1), scr.UnauthorisedError{Status: 401})
		wantUnauthorised(t, ask(t.Context(), client, 1), scr.UnauthorisedError{Status: 401, Held: true, RetryAfter: 300 * time.Second})
		if err := client.ChangeCredentials("user-2", "second", ""); err != nil {
			t.Fatal(err)
		}
		for turn := range 2 {
			if err := ask(t.Context(), client, turn); err != nil {
				t.Error(err)
			}
		}
		if first, wrong := api.requests("user:first"), api.requests("user:wrong"); first != 1 || wrong != 1 {
			t.Errorf("%d and %d requests with passwords that are refused", first, wrong)
		}
	})
}

// A request that is refused with a password that changed meanwhile is sent again: it
// tells nothing of the account, and locks nothing.
func TestRefusalOfAPasswordThatChangedMeanwhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api, client := knowingClient(t, "user:first")
		api.hold = make(chan struct{})
		api.expect("user-2:second")
		var wg sync.WaitGroup
		for turn := range 2 {
			wg.Go(func() {
				if err := ask(t.Context(), client, turn); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if err := client.ChangeCredentials("user-2", "second", ""); err != nil {
			t.Fatal(err)
		}
		close(api.hold)
		wg.Wait()
		if first, second := api.requests("user:first"), api.requests("user-2:second"); first != 2 || second != 2 {
			t.Errorf("%d and %d requests", first, second)
		}
	})
}

func TestChangedPasswordsOfAnAccountWithAKey(t *testing.T) {
	t.Parallel()
	seen := make(chan http.Header, 2)
	cfg := testConfig(serve(t, func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Header.Clone()
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	client := newClient(t, cfg)
	_, _ = client.Case(t.Context(), sampleID)
	if err := client.ChangeCredentials("new-user", "new-password", "new-data"); err != nil {
		t.Fatal(err)
	}
	_, _ = client.Case(t.Context(), sampleID)
	before, after := <-seen, <-seen
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte("new-user:new-password"))
	if after.Get("Authorization") != want || before.Get(scr.HeaderKey) != after.Get(scr.HeaderKey) ||
		after.Get(scr.HeaderKeyHash) == before.Get(scr.HeaderKeyHash) || after.Get(scr.HeaderKeyHash) == "" {
		t.Errorf("headers before %v, after %v", before, after)
	}
	for _, wrong := range [][3]string{{"", "p", "d"}, {"u", "", "d"}, {"u", "p", ""}, {"canary:u", "p", "d"}} {
		if err := client.ChangeCredentials(wrong[0], wrong[1], wrong[2]); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%q: error %v", wrong, err)
		}
	}
}
