package scrsim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"postident-bridge/internal/scr"
)

// Each fault of an answer is what a client of the real API would meet, hides
// the state from the truth, and is gone when it is switched off.
func TestAnswerFaults(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		faults FaultSet
		check  func(*testing.T, fetched)
	}{
		{"401", FaultSet{Unauthorised: 1}, wantStatus(401)},
		{"429 with Retry-After", FaultSet{RateLimited: 1, RetryAfter: Duration(1500 * time.Millisecond)}, func(t *testing.T, got fetched) {
			t.Helper()
			wantStatus(429)(t, got)
			if after := got.header.Get("Retry-After"); after != "2" {
				t.Errorf("Retry-After %q", after)
			}
		}},
		{"503", FaultSet{ServerError: 1}, wantStatus(503)},
		{"500", FaultSet{ServerError: 1, ServerErrorStatus: 500}, wantStatus(500)},
		{"cut connection", FaultSet{Cut: 1}, func(t *testing.T, got fetched) {
			t.Helper()
			if !errors.Is(got.err, io.ErrUnexpectedEOF) || len(got.body) == 0 || got.status != http.StatusOK {
				t.Errorf("read %d bytes, %v", len(got.body), got.err)
			}
		}},
		{"truncated JWE", FaultSet{Truncated: 1}, func(t *testing.T, got fetched) {
			t.Helper()
			wantStatus(200)(t, got)
			object, err := jose.ParseEncryptedCompact(string(got.body), keyAlgorithms, contentEncryptions)
			if err == nil {
				_, err = object.Decrypt(testKey())
			}
			if err == nil {
				t.Error("opens")
			}
		}},
		{"wrongly keyed JWE", FaultSet{WrongKey: 1}, func(t *testing.T, got fetched) {
			t.Helper()
			wantStatus(200)(t, got)
			object, err := jose.ParseEncryptedCompact(string(got.body), keyAlgorithms, contentEncryptions)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := object.Decrypt(testKey()); !errors.Is(err, jose.ErrCryptoFailure) {
				t.Errorf("got %v", err)
			}
		}},
		{"plain JSON", FaultSet{PlainJSON: 1}, func(t *testing.T, got fetched) {
			t.Helper()
			wantStatus(200)(t, got)
			if !json.Valid(got.body) {
				t.Error("no JSON")
			}
		}},
		{"disallowed alg", FaultSet{WrongAlg: 1}, func(t *testing.T, got fetched) {
			t.Helper()
			wantStatus(200)(t, got)
			if _, alg, _ := open(t, got.body); alg != jose.RSA1_5 {
				t.Errorf("alg %q", alg)
			}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			sim := newSim(t, Config{Accounts: []Account{encryptingAccount(EncryptionRequired, Wire{})}})
			server := httptest.NewServer(sim.Handler())
			t.Cleanup(server.Close)
			id := create(t, sim, videoSuccess)
			advance(t, sim, id)
			get := func() fetched {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/api/scr/v1/ACCT0001/cases/"+id, nil)
				if err != nil {
					t.Fatal(err)
				}
				r.Header = withKey(t, newAPI(t, sim), "data", "").header
				r.SetBasicAuth("user", "pass")
				resp, err := server.Client().Do(r)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = resp.Body.Close() }()
				body, err := io.ReadAll(resp.Body)
				return fetched{status: resp.StatusCode, header: resp.Header, body: body, err: err}
			}
			if err := sim.SetFaults(Faults{Accounts: map[string]FaultSet{"ACCT0001": tt.faults}}); err != nil {
				t.Fatal(err)
			}
			tt.check(t, get())
			if sim.Truth()[0].Seen {
				t.Error("seen through a fault")
			}
			if err := sim.SetFaults(Faults{Accounts: map[string]FaultSet{"ACCT0002": tt.faults}}); err != nil {
				t.Fatal(err)
			}
			wantStatus(http.StatusOK)(t, get())
			eventually(t, "seen without the fault", func() bool { return sim.Truth()[0].Seen })
		})
	}
}

// fetched is an answer as it came over the network.
type fetched struct {
	status int
	header http.Header
	body   []byte
	err    error // of reading the body
}

func wantStatus(status int) func(*testing.T, fetched) {
	return func(t *testing.T, got fetched) {
		t.Helper()
		if got.err != nil || got.status != status {
			t.Fatalf("status %d, %v: %s", got.status, got.err, got.body)
		}
	}
}

// Faults of the encryption do nothing to an answer in the clear: it is seen.
func TestEncryptionFaultsNeedEncryption(t *testing.T) {
	t.Parallel()
	for _, f := range []FaultSet{{WrongKey: 1}, {PlainJSON: 1}, {WrongAlg: 1}} {
		sim := newSim(t, Config{})
		if err := sim.SetFaults(Faults{All: f}); err != nil {
			t.Fatal(err)
		}
		id := create(t, sim, videoSuccess)
		advance(t, sim, id)
		newAPI(t, sim).get("/" + id).wants(200)
		if !sim.Truth()[0].Seen {
			t.Errorf("%+v: not seen", f)
		}
	}
}

func TestSlowAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sim := newSim(t, Config{})
		if err := sim.SetFaults(Faults{All: FaultSet{Slow: 1, SlowBy: Duration(7 * time.Second)}}); err != nil {
			t.Fatal(err)
		}
		id := create(t, sim, videoSuccess)
		advance(t, sim, id)
		begun := time.Now()
		newAPI(t, sim).get("/" + id).wants(200)
		if took := time.Since(begun); took != 7*time.Second || !sim.Truth()[0].Seen {
			t.Errorf("took %v, seen %v", took, sim.Truth()[0].Seen)
		}
	})
}

// Facts 4: after a hook the case may not be there yet, or show its old state.
// Both end by reads, by time, or by both.
func TestNotYetAndStale(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		faults FaultSet
		reads  []string // statuses of the reads at once, "" for 404
		list   string   // of the list before them
		later  string   // of a read after a minute
	}{
		{"404 for two reads", FaultSet{NotYet: 1, NotYetReads: 2}, []string{"", "", "success"}, "", "success"},
		{"404 for 10 s", FaultSet{NotYet: 1, NotYetFor: Duration(10 * time.Second)}, []string{"", "", ""}, "", "success"},
		{"stale for two reads", FaultSet{Stale: 1, StaleReads: 2}, []string{"started", "started", "success"}, "started", "success"},
		{"stale for 10 s", FaultSet{Stale: 1, StaleFor: Duration(10 * time.Second)}, []string{"started", "started", "started"}, "started", "success"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				sim := newSim(t, Config{Accounts: []Account{hookedAccount(scr.ClassGwG, Webhook{})}})
				client := newAPI(t, sim)
				id := create(t, sim, videoStarted, videoSuccess)
				advance(t, sim, id)
				if err := sim.SetFaults(Faults{All: tt.faults}); err != nil {
					t.Fatal(err)
				}
				advance(t, sim, id)
				status := func(a answer) string {
					if a.status == http.StatusNotFound {
						return ""
					}
					c, err := scr.ParseCase(a.wants(200).body)
					if err != nil {
						t.Fatal(err)
					}
					return c.Identifications[0].Status
				}
				var list []json.RawMessage
				if err := json.Unmarshal(client.get("?inProgress=true").wants(200).body, &list); err != nil {
					t.Fatal(err)
				}
				shown := ""
				if len(list) > 0 {
					shown = status(answer{t: t, status: 200, body: list[0]})
				}
				if shown != tt.list {
					t.Errorf("list shows %q, want %q", shown, tt.list)
				}
				for i, want := range tt.reads {
					if got := status(client.get("/" + id)); got != want {
						t.Errorf("read %d shows %q, want %q", i+1, got, want)
					}
					if seen := sim.Truth()[1].Seen; seen != (want == "success") {
						t.Errorf("read %d: seen %v", i+1, seen)
					}
				}
				elapse(time.Minute)
				if got := status(client.get("/" + id)); got != tt.later {
					t.Errorf("a minute later %q", got)
				}
			})
		})
	}
}

func TestFaultsAreChecked(t *testing.T) {
	t.Parallel()
	sim := newSim(t, Config{})
	good := Faults{All: FaultSet{Cut: 0.5, Slow: 0.5, SlowBy: Duration(time.Second)}}
	if err := sim.SetFaults(good); err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]FaultSet{
		"probability over 1":   {Cut: 1.5},
		"negative probability": {HookLost: -0.1},
		"sum over 1":           {Cut: 0.6, Truncated: 0.6},
		"negative duration":    {RetryAfter: -1},
		"negative reads":       {NotYetReads: -1},
		"no 5xx":               {ServerError: 1, ServerErrorStatus: 404},
		"slow by nothing":      {Slow: 1},
		"late by nothing":      {HookLate: 1},
		"not yet for nothing":  {NotYet: 1},
		"stale for nothing":    {Stale: 1},
		"PDF late for nothing": {PDFLate: 1},
		"slow records at once": {SlowRecords: 1},
		"not a chance":         {Forbidden: 1.5},
		"less than a chance":   {BadBase64: -1},
		"negative PDF reads":   {PDFLate: 1, PDFLateReads: -1, PDFLateFor: 1},
	} {
		if err := sim.SetFaults(Faults{Accounts: map[string]FaultSet{"ACCT0001": f}}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	// Those of records exclude no other.
	good.All.Forbidden, good.All.ChangedRecords, good.All.BadBase64 = 1, 1, 1
	if err := sim.SetFaults(good); err != nil {
		t.Error(err)
	}
	if got := sim.Faults().All; got != good.All {
		t.Errorf("a refused set changed them to %+v", got)
	}
}

// A probability is what it says.
func TestFaultProbabilities(t *testing.T) {
	t.Parallel()
	f := FaultSet{Unauthorised: 0.1, ServerError: 0.2, WrongAlg: 0.3}
	rng := rand.New(rand.NewPCG(1, 1))
	counts := make(map[answerFault]int)
	for range 10_000 {
		counts[f.answer(rng)]++
	}
	for fault, want := range map[answerFault]int{
		faultUnauthorised: 1000, faultServerError: 2000, faultWrongAlg: 3000, faultNone: 4000,
	} {
		if got := counts[fault]; got < want-300 || got > want+300 {
			t.Errorf("fault %d: %d of 10,000, want about %d", fault, got, want)
		}
	}
	if len(counts) != 4 {
		t.Errorf("unasked faults: %v", counts)
	}
}

// Every name in the JSON of the faults does something: a typo is refused.
func TestFaultsJSONRoundTrip(t *testing.T) {
	t.Parallel()
	in := `{"all":{"rateLimited":0.5,"retryAfter":"2s","hookLost":0.25},"accounts":{"ACCT0001":{"cut":1}}}`
	var f Faults
	d := json.NewDecoder(strings.NewReader(in))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		t.Fatal(err)
	}
	if out := mustJSON(t, f); !bytes.Equal(out, []byte(in)) {
		t.Errorf("got %s", out)
	}
	if fmt.Sprint(time.Duration(f.All.RetryAfter)) != "2s" {
		t.Errorf("retryAfter %v", f.All.RetryAfter)
	}
}
