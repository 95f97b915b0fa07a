package scrsim

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Every request of an account is counted by operation, with its time and answer:
// also one that is refused, cut or of a wrong password.
func TestRequestsAreCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sim := newSim(t, Config{})
		client := newAPI(t, sim)
		begun := time.Now()
		client.get("/full")
		client.get("/full/")
		elapse(time.Minute)
		client.get("/NOSUCHCASE00/status/full").wants(http.StatusNotFound)
		client.do(http.MethodPatch, "/archive", `["NOSUCHCASE00"]`)
		client.password = "wrong"
		client.get("/status")
		client.clientID = "NOBODY"
		client.get("/status")
		client.clientID, client.password = "ACCT0001", "pass"
		if err := sim.SetFaults(Faults{All: FaultSet{Cut: 1}}); err != nil {
			t.Fatal(err)
		}
		func() {
			defer func() { _ = recover() }()
			client.get("")
		}()
		want := []Request{
			{Operation: "GET /cases/full", Status: 200},
			{Operation: "GET /cases/full", Status: 200},
			{Operation: "GET /cases/{caseId}/status/full", At: begun.Add(time.Minute), Status: 404},
			{Operation: "PATCH /cases/archive", At: begun.Add(time.Minute), Status: 200},
			{Operation: "GET /cases/status", At: begun.Add(time.Minute), Status: 401},
			{Operation: "GET /cases", At: begun.Add(time.Minute), Status: 200},
		}
		for i := range want {
			want[i].ClientID, want[i].User = "ACCT0001", "user"
			if want[i].At.IsZero() {
				want[i].At = begun
			}
		}
		if d := cmp.Diff(want, sim.Requests("ACCT0001")); d != "" {
			t.Errorf("requests (-want +got):\n%s", d)
		}
		if got := sim.Requests("NOBODY"); got != nil {
			t.Errorf("requests of nobody: %v", got)
		}
		if got := lines[Request](t, ctl(t, sim, http.MethodGet, "/requests", "")); len(got) != len(want) {
			t.Errorf("over the control API: %v", got)
		}
		counts := map[string]map[string]int{"ACCT0001": {
			"GET /cases/full": 2, "GET /cases/{caseId}/status/full": 1, "PATCH /cases/archive": 1, "GET /cases/status": 1, "GET /cases": 1,
		}}
		if d := cmp.Diff(counts, sim.Status().Requests); d != "" {
			t.Errorf("counts (-want +got):\n%s", d)
		}
	})
}

func TestRequestsAreKeptWithinBounds(t *testing.T) {
	t.Parallel()
	var l requestLog
	const more = 7
	for i := range maxRequests + more {
		l.add(Request{Operation: "x", Status: i})
	}
	sim := newSim(t, Config{})
	sim.accounts["ACCT0001"].requests = l
	got := sim.Requests("ACCT0001")
	if len(got) != maxRequests || got[0].Status != more || got[maxRequests-1].Status != maxRequests+more-1 || l.counts["x"] != maxRequests+more {
		t.Errorf("%d kept, from %d to %d, %d counted", len(got), got[0].Status, got[len(got)-1].Status, l.counts["x"])
	}
}
