package scrsim

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postident-bridge/internal/scr"
)

func newSim(t *testing.T, cfg Config) *Simulator {
	t.Helper()
	if cfg.Accounts == nil {
		cfg.Accounts = []Account{testAccount("ACCT0001", scr.ClassGwG)}
	}
	sim, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return sim
}

// testAccount answers in the clear and sends no webhooks.
func testAccount(id string, class scr.RegulatoryClass) Account {
	return Account{
		ClientID: id, Class: class, Encryption: EncryptionOff,
		Credentials: []Credential{{Username: "user", Password: "pass", DataPassword: "data"}},
	}
}

// run runs sim until the test ends.
func run(t *testing.T, sim *Simulator) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- sim.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

// answer is what came back.
type answer struct {
	t      *testing.T
	status int
	header http.Header
	body   []byte
}

// api asks the simulator without a network.
type api struct {
	t        *testing.T
	sim      *Simulator
	clientID string
	username string
	password string
	header   http.Header
}

func newAPI(t *testing.T, sim *Simulator) *api {
	t.Helper()
	return &api{t: t, sim: sim, clientID: "ACCT0001", username: "user", password: "pass", header: make(http.Header)}
}

func (a *api) request(method, path, body string) *http.Request {
	a.t.Helper()
	r := httptest.NewRequestWithContext(a.t.Context(), method, "/api/scr/v1/"+a.clientID+"/cases"+path, strings.NewReader(body))
	r.Header = a.header.Clone()
	r.SetBasicAuth(a.username, a.password)
	if body != "" && r.Header.Get("Content-Type") == "" {
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}

func (a *api) do(method, path, body string) answer {
	a.t.Helper()
	r := a.request(method, path, body)
	w := httptest.NewRecorder()
	func() {
		defer func() {
			// A server breaks the connection then, and goes on.
			if p := recover(); p != nil && p != http.ErrAbortHandler { //nolint:errorlint // a panic is compared as net/http does
				panic(p)
			}
		}()
		a.sim.Handler().ServeHTTP(w, r)
	}()
	return answer{t: a.t, status: w.Code, header: w.Header(), body: w.Body.Bytes()}
}

func (a *api) get(path string) answer {
	a.t.Helper()
	return a.do(http.MethodGet, path, "")
}

// wants fails the test unless the answer has the status.
func (a answer) wants(status int) answer {
	a.t.Helper()
	if a.status != status {
		a.t.Fatalf("status %d, want %d: %s", a.status, status, a.body)
	}
	return a
}

// decode reads the JSON of an answer that must be 200.
func decode[T any](t *testing.T, a answer) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(a.wants(http.StatusOK).body, &v); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
	return v
}

func create(t *testing.T, sim *Simulator, steps ...Step) string {
	t.Helper()
	return createIn(t, sim, "ACCT0001", steps...)
}

func createIn(t *testing.T, sim *Simulator, clientID string, steps ...Step) string {
	t.Helper()
	info, err := sim.Create(NewCase{ClientID: clientID, Plan: &Plan{Steps: steps}})
	if err != nil {
		t.Fatal(err)
	}
	return info.CaseID
}

func advance(t *testing.T, sim *Simulator, caseID string) Advanced {
	t.Helper()
	a, err := sim.Advance(caseID)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// walkToEnd advances a case to its end.
func walkToEnd(t *testing.T, sim *Simulator, caseID string) {
	t.Helper()
	for {
		_, err := sim.Advance(caseID)
		if errors.Is(err, ErrAtEnd) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

var (
	videoStarted = Step{Method: scr.MethodVideo, Status: scr.StatusStarted}
	videoReview  = Step{Method: scr.MethodVideo, Status: scr.StatusReviewPending}
	videoSuccess = Step{Method: scr.MethodVideo, Status: scr.StatusSuccess}
	videoFraud   = Step{Method: scr.MethodVideo, Status: scr.StatusDeclined, SubStatus: new(11), Reason: new(110)}
)

// Every state of every row is shown as it is: what the client of internal/scr
// reads equals the truth.
func TestWalkOfEveryRow(t *testing.T) {
	t.Parallel()
	for _, r := range scr.StatusRows() {
		t.Run(r.ID, func(t *testing.T) {
			t.Parallel()
			sim := newSim(t, Config{})
			client := newAPI(t, sim)
			for _, pair := range row(r.ID).pairs {
				step := Step{Method: r.Method, Status: r.Status, SubStatus: pair.subStatus, Reason: pair.reason}
				id := create(t, sim, Step{Method: r.Method, Status: scr.StatusStarted}, step)
				walkToEnd(t, sim, id)
				truth := sim.Truth()
				want := truth[len(truth)-1]
				if !want.Seen && want.StatusType != statusType(r.Type) {
					t.Errorf("truth has type %q, want %q", want.StatusType, r.Type)
				}
				for _, path := range []string{"", "/", "/full", "/full/", "/status", "/status/", "/status/full", "/status/full/"} {
					got, err := scr.ParseCase(client.get("/" + id + path).body)
					if err != nil {
						t.Fatalf("%s: %v", path, err)
					}
					checkShown(t, got, want)
				}
				if !sim.Truth()[len(truth)-1].Seen {
					t.Error("the change is not marked as seen")
				}
			}
		})
	}
}

func statusType(typ scr.StatusType) string {
	if typ == scr.None {
		return statusTypeProgress
	}
	return string(typ)
}

func checkShown(t *testing.T, got scr.Case, want Change) {
	t.Helper()
	if got.CaseID != want.CaseID || len(got.Identifications) != 1 || !got.Status.Created.Equal(want.CaseCreated) {
		t.Fatalf("got %+v, want case %s", got, want.CaseID)
	}
	id := got.Identifications[0]
	same := id.Method == want.Method && id.Status == want.Status && id.Created.Equal(want.IdentCreated) &&
		id.Modified.Equal(want.Modified) && id.IdentificationTime.Equal(want.IdentificationTime) &&
		sameCode(id.SubStatus, want.SubStatus) && sameCode(id.SubStatusReason, want.Reason)
	if !same {
		t.Errorf("got %+v, want %+v", id, want)
	}
	closed := want.StatusType == string(scr.Final)
	if (got.Status.Status == scr.CaseClosed) != closed {
		t.Errorf("case is %q, identification %q", got.Status.Status, want.Status)
	}
}

func sameCode(got *scr.Code, want *int) bool {
	if got == nil || want == nil {
		return got == nil && want == nil
	}
	return got.Code == *want && got.Description != ""
}

// eventually waits for a condition of a running simulator.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(2 * time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatalf("timed out: %s", what)
		case <-tick.C:
		}
	}
}

// elapse lets the clock of a synctest bubble run on, and everything that is due
// by then happen.
func elapse(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}
