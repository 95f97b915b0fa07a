package scrsim

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"postident-bridge/internal/scr"
)

// Facts 3: timestamps have one second, tie, and never go back. Whatever the
// plan and the clock, what is seen at once can be put into its true order by
// (modified, rank, created, method).
func TestStampsNeverGoBack(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		ties := rapid.Bool().Draw(t, "ties")
		sim, err := New(Config{Accounts: []Account{testAccount("ACCT0001", scr.ClassStandard)}, Ties: ties})
		if err != nil {
			t.Fatal(err)
		}
		acct := sim.accounts["ACCT0001"]
		p := newPlanner(rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)))
		method := rapid.SampledFrom(acct.Methods).Draw(t, "method")
		c := sim.add(acct, sim.manual, p.draw(method, acct.Methods), "", nil)
		now := c.created
		var changes []Change
		caseModified := c.modified
		for i, step := range c.plan.Steps {
			now = now.Add(time.Duration(rapid.IntRange(0, 3000).Draw(t, "ms")) * time.Millisecond)
			lag := time.Duration(rapid.IntRange(0, 5).Draw(t, "lag")) * time.Second
			changes = append(changes, c.apply(step, now, ties, i, lag))
			if c.modified.Before(caseModified) {
				t.Fatalf("case modified went back from %v to %v", caseModified, c.modified)
			}
			caseModified = c.modified
		}
		for i, ch := range changes {
			if !ch.Modified.Equal(ch.Modified.Truncate(time.Second)) || ch.Modified.Before(c.created) {
				t.Fatalf("modified %v", ch.Modified)
			}
			if i > 0 && !follows(changes[i-1], ch, ties) {
				t.Fatalf("order of %+v and %+v cannot be told", changes[i-1], ch)
			}
		}
	})
}

// follows reports whether a reader puts b after a. Two states of one
// identification may share a second with ties: then only the later is ever
// seen.
func follows(a, b Change, ties bool) bool {
	if !a.Modified.Equal(b.Modified) {
		return a.Modified.Before(b.Modified)
	}
	if !ties {
		return false
	}
	if a.Method == b.Method && a.IdentCreated.Equal(b.IdentCreated) {
		return true
	}
	if ra, rb := scr.Rank(a.Status), scr.Rank(b.Status); ra != rb {
		return ra < rb
	}
	if !a.IdentCreated.Equal(b.IdentCreated) {
		return a.IdentCreated.Before(b.IdentCreated)
	}
	return a.Method < b.Method
}

// With ties the states of one identification do fall into one second; without
// them each has its own, ahead of the clock if need be.
func TestTiesAreASwitch(t *testing.T) {
	t.Parallel()
	for _, ties := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			sim := newSim(t, Config{Ties: ties})
			id := create(t, sim, videoStarted, videoReview, videoFraud)
			elapse(5 * time.Second)
			walkToEnd(t, sim, id)
			truth := sim.Truth()
			if same := truth[0].Modified.Equal(truth[2].Modified); same != ties {
				t.Errorf("ties %v: modified %v and %v", ties, truth[0].Modified, truth[2].Modified)
			}
		})
	}
}

// Guide 7.3: the primary identification is the one with the most progress; a
// cancelled one is none once the user has switched (guide 4.1).
func TestPrimaryIdentification(t *testing.T) {
	t.Parallel()
	of := func(statuses ...string) []ident {
		var out []ident
		for _, s := range statuses {
			out = append(out, ident{status: s})
		}
		return out
	}
	tests := []struct {
		name   string
		idents []ident
		want   int
	}{
		{"none", nil, -1},
		{"the only one", of(scr.StatusStarted), 0},
		{"most progress", of(scr.StatusIncomplete, scr.StatusStarted), 0},
		{"newest of equals", of(scr.StatusStarted, scr.StatusStarted), 1},
		{"final", of(scr.StatusIncomplete, scr.StatusSuccess), 1},
		{"cancelled alone", of(scr.StatusCancelled), 0},
		{"cancelled, then another method", of(scr.StatusCancelled, scr.StatusStarted), 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := primary(tt.idents); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
}

// A case whose validity ends is closed: with declined/12 where an attempt was
// under way, alone where there was none or it was cancelled.
func TestExpiryByTheClock(t *testing.T) {
	t.Parallel()
	cancelled := Step{Method: scr.MethodAutoID, Status: scr.StatusCancelled, SubStatus: new(94), Reason: new(900)}
	tests := []struct {
		name   string
		steps  []Step
		taken  int
		status string // of the change by which it closes
	}{
		{"in new", []Step{videoStarted}, 0, ""},
		{"started", []Step{videoStarted, videoSuccess}, 1, scr.StatusDeclined},
		{"autoid cancelled", []Step{cancelled, videoStarted}, 1, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				sim := newSim(t, Config{TimeScale: 24 * 3600})
				id := create(t, sim, tt.steps...)
				for range tt.taken {
					advance(t, sim, id)
				}
				run(t, sim)
				elapse(89 * time.Second)
				if n := len(sim.Truth()); n != tt.taken {
					t.Fatalf("%d changes after 89 days, want %d", n, tt.taken)
				}
				elapse(3 * time.Second)
				truth := sim.Truth()
				if len(truth) != tt.taken+1 || truth[tt.taken].Status != tt.status {
					t.Fatalf("got %+v", truth)
				}
				c := decode[map[string]any](t, newAPI(t, sim).get("/"+id))
				if status := c["caseStatus"].(map[string]any)["status"]; status != scr.CaseClosed {
					t.Errorf("case is %v", status)
				}
				if _, err := sim.Advance(id); !errors.Is(err, ErrAtEnd) {
					t.Errorf("advance: %v", err)
				}
				// Guide 7.6: deleted after 150 days.
				elapse(60 * time.Second)
				newAPI(t, sim).get("/" + id).wants(404)
			})
		})
	}
}

// A Basic Offline case is not there before it appears by itself (guide 2.1.2).
func TestBasicOfflineAppearsByItself(t *testing.T) {
	t.Parallel()
	sim := newSim(t, Config{})
	client := newAPI(t, sim)
	info, err := sim.Create(NewCase{ClientID: "ACCT0001", Plan: &Plan{Offline: true, Steps: []Step{
		{Method: scr.MethodBasic, Status: scr.StatusReviewPending},
		{Method: scr.MethodBasic, Status: scr.StatusSuccess},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	client.get("/" + info.CaseID).wants(404)
	if all := decode[[]any](t, client.get("?new=true&inProgress=true")); len(all) != 0 {
		t.Errorf("listed before it is there: %v", all)
	}
	advance(t, sim, info.CaseID)
	c := decode[map[string]any](t, client.get("/"+info.CaseID))
	order, _ := c["orderData"].(map[string]any)
	if _, ok := order["contactDataProvided"]; ok {
		t.Error("nobody provided contact data")
	}
	if all := decode[[]any](t, client.get("?inProgress=true")); len(all) != 1 {
		t.Errorf("got %d cases, want 1", len(all))
	}
}

// Facts 2.8: an id is used again once the case is deleted.
func TestCaseIDReuse(t *testing.T) {
	t.Parallel()
	sim := newSim(t, Config{})
	n := NewCase{ClientID: "ACCT0001", CaseID: "AAAABBBBCCCC"}
	if _, err := sim.Create(n); err != nil {
		t.Fatal(err)
	}
	if _, err := sim.Create(n); !errors.Is(err, ErrTaken) {
		t.Errorf("got %v, want ErrTaken", err)
	}
	if err := sim.Remove(n.CaseID); err != nil {
		t.Fatal(err)
	}
	if _, err := sim.Create(n); err != nil {
		t.Error(err)
	}
	if err := sim.Remove("ZZZZZZZZZZZZ"); !errors.Is(err, ErrNoCase) {
		t.Errorf("got %v, want ErrNoCase", err)
	}
}

// What the guide does not list goes onto the wire as a test has planned it, and
// after a final state others may follow: the case stays closed.
func TestPlansOfATestAreNotChecked(t *testing.T) {
	t.Parallel()
	sim := newSim(t, Config{})
	id := create(
		t, sim, videoStarted, videoSuccess,
		Step{Method: scr.MethodVideo, Status: "under appeal", SubStatus: new(4711)},
		Step{Method: "hologram", Status: scr.StatusStarted},
	)
	walkToEnd(t, sim, id)
	got, err := scr.ParseCase(newAPI(t, sim).get("/" + id + "/full").body)
	if err != nil {
		t.Fatal(err)
	}
	if got.Status.Status != scr.CaseClosed || len(got.Identifications) != 2 ||
		got.Identifications[0].Status != "under appeal" || got.Identifications[0].SubStatus.Code != 4711 ||
		got.Identifications[1].Method != "hologram" {
		t.Errorf("got %+v", got)
	}
	types := []string{statusTypeProgress, string(scr.Final), statusTypeProgress, statusTypeProgress}
	for i, c := range sim.Truth() {
		if c.StatusType != types[i] {
			t.Errorf("change %d has type %q, want %q", i, c.StatusType, types[i])
		}
	}
}

func TestCreateRefuses(t *testing.T) {
	t.Parallel()
	sim := newSim(t, Config{})
	for name, n := range map[string]NewCase{
		"unknown account":      {ClientID: "NOBODY"},
		"method not on offer":  {ClientID: "ACCT0001", Method: scr.MethodPhoto},
		"malformed case id":    {ClientID: "ACCT0001", CaseID: "abc"},
		"no steps":             {ClientID: "ACCT0001", Plan: &Plan{}},
		"status without":       {ClientID: "ACCT0001", Plan: &Plan{Steps: []Step{{Method: "video"}}}},
		"codes without status": {ClientID: "ACCT0001", Plan: &Plan{Steps: []Step{{SubStatus: new(12)}}}},
	} {
		if _, err := sim.Create(n); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := sim.Advance("NOSUCHCASE00"); !errors.Is(err, ErrNoCase) {
		t.Errorf("advance: %v", err)
	}
}

// A case is told apart by (method, created): two attempts with one method never
// share both, ties or not.
func TestAttemptsAreToldApart(t *testing.T) {
	t.Parallel()
	sim := newSim(t, Config{Ties: true})
	again := videoStarted
	again.NewAttempt = true
	unranked := Step{Method: scr.MethodVideo, Status: "under appeal"}
	walkToEnd(t, sim, create(t, sim, videoStarted, again, again))
	walkToEnd(t, sim, create(t, sim, unranked, again))
	created := make(map[string][]time.Time)
	for _, c := range sim.Truth() {
		if slices.ContainsFunc(created[c.CaseID], c.IdentCreated.Equal) {
			t.Errorf("two attempts created at %v", c.IdentCreated)
		}
		created[c.CaseID] = append(created[c.CaseID], c.IdentCreated)
	}
}

// Facts C28, guide 8.6.1: the case may be modified after its identification,
// which was decided before; facts 3.2: what expires was valid until then.
func TestTimesOfAClosing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sim := newSim(t, Config{})
		expired := Step{Method: scr.MethodVideo, Status: scr.StatusDeclined, SubStatus: new(expiredCode)}
		for _, last := range []Step{videoSuccess, videoSuccess, videoSuccess, expired} { // number 4 lags by 4 s
			id := create(t, sim, videoStarted, last)
			advance(t, sim, id)
			elapse(time.Minute)
			advance(t, sim, id)
		}
		for _, c := range sim.cases {
			got, err := scr.ParseCase(newAPI(t, sim).get("/" + c.id).body)
			if err != nil {
				t.Fatal(err)
			}
			lag := time.Duration(c.serial) * time.Second
			id := got.Identifications[0]
			if got.Status.Modified.Sub(id.Modified) != lag || id.Modified.Sub(id.IdentificationTime) != 2*lag || id.IdentificationTime.Before(id.Created) {
				t.Errorf("case %d: %+v", c.serial, got)
			}
			if ended := got.Status.ValidUntil.Equal(got.Status.Modified); ended != (c.serial == 4) {
				t.Errorf("case %d, modified %v, is valid until %v", c.serial, got.Status.Modified, got.Status.ValidUntil)
			}
		}
	})
}
