package main

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postident-bridge/internal/audit"
	"postident-bridge/internal/counterpart"
	"postident-bridge/internal/scrsim"
)

// P4, "Shown by" 3: of 5,000 cases in ten seconds every one is delivered; of 1,500
// in one second as many as an answer holds, and the second is reported as a hole.
// What the guide does not say, whether a bound of a window belongs to it, is played
// in every way, in an account each.
func TestCrowdedWindows(t *testing.T) {
	t.Parallel()
	counterpart.SkipUnderRace(t)
	t.Run("reconciliation", func(t *testing.T) {
		t.Parallel()
		// Long closed: only a reconciliation lists them, by when they were created.
		crowdedWindows(t, "reconcile", 6*time.Hour, 0, "BRIDGE_POLL_PAST=12h", "BRIDGE_POLL_RECONCILE_EVERY=1h")
	})
	t.Run("closed sweep", func(t *testing.T) {
		t.Parallel()
		// A case of a history is open for five minutes; the first closed sweep goes
		// back five minutes more. It lists them by when they were closed.
		crowdedWindows(t, "closed", 8*time.Minute, 5*time.Minute, "BRIDGE_POLL_RECONCILE_EVERY=0")
	})
}

// crowdedWindows has the cases created some time ago. The windows that kind asks
// for lie later than their creation by open.
func crowdedWindows(t *testing.T, kind string, ago, open time.Duration, environ ...string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		accounts := scrsim.ExampleAccounts("")[:3]
		for i, bounds := range []scrsim.Bounds{scrsim.BoundsLower, scrsim.BoundsBoth, scrsim.BoundsNone} {
			accounts[i].Wire.Bounds = bounds
		}
		v := newVirtual(t, scrsim.Config{Accounts: accounts, Seed: 1}, environ...)
		crowd := time.Now().Add(-ago).Truncate(time.Second)
		const spread, crammed, limit = 5000, 1500, 1000
		hole := crowd.Add(time.Minute)
		for _, a := range accounts {
			for _, h := range []scrsim.History{
				{ClientID: a.ClientID, Cases: spread, From: crowd, Until: crowd.Add(10 * time.Second)},
				{ClientID: a.ClientID, Cases: crammed, From: hole, Until: hole.Add(time.Second)},
			} {
				if err := v.sim.AddHistory(h); err != nil {
					t.Fatal(err)
				}
			}
		}
		v.start(rolePoll, roleProcess)
		v.until("every case that a list shows is published", time.Hour, func() bool {
			return v.sim.Status().PastSeen >= len(accounts)*(spread+limit)
		})
		v.pass(5 * time.Minute)

		events := make(map[string]int)
		verdict := v.judge(audit.Options{Settled: true})
		for _, c := range v.sim.HistoryTruth() {
			switch {
			case c.Seen:
				events[c.ClientID]++
			case c.CaseCreated.Before(hole):
				t.Errorf("case %s/%s of the first window was never listed", c.ClientID, c.CaseID)
			}
		}
		holes := v.counter("postident_sweep_holes_total", "client_id", "kind")
		for _, a := range accounts {
			if n := events[a.ClientID]; n != spread+limit {
				t.Errorf("%s: %d cases were listed, want %d", a.ClientID, n, spread+limit)
			}
			if n := holes[[2]string{a.ClientID, kind}]; n == 0 {
				t.Errorf("%s: no hole is counted: %v", a.ClientID, holes)
			}
			from, until := hole.Add(open), hole.Add(open).Add(time.Second)
			if told := v.toldHoles(a.ClientID); len(told) == 0 || slices.ContainsFunc(told, func(h toldHole) bool {
				return h.Kind != kind || !h.From.Equal(from) || !h.Until.Equal(until)
			}) {
				t.Errorf("%s: the log tells of the holes %v, want a second from %v in a %s sweep", a.ClientID, told, from, kind)
			}
		}
		if verdict.Events != len(accounts)*(spread+limit) {
			t.Errorf("%d events", verdict.Events)
		}
	})
}

// toldHole is a hole as the log tells of it.
type toldHole struct {
	ClientID    string `json:"client_id"`
	Kind        string
	From, Until time.Time
	Level, Msg  string
}

// toldHoles are the errors about holes of an account in the log.
func (v *virtual) toldHoles(clientID string) (told []toldHole) {
	v.t.Helper()
	for line := range strings.Lines(string(v.log.bytes())) {
		var h toldHole
		if err := json.Unmarshal([]byte(line), &h); err != nil {
			continue // another line has other types under these names
		}
		if h.ClientID == clientID && h.Level == "ERROR" && strings.HasPrefix(h.Msg, "window holds more") {
			told = append(told, h)
		}
	}
	return told
}

// "Shown by" 6: an account whose credentials are refused is asked at most once in
// five minutes, whatever role asks and whatever comes: sweeps, webhooks, cases that
// wait, cases to archive. The others go on, and it does when its password is right.
func TestLockedAccountIsLeftAlone(t *testing.T) {
	t.Parallel()
	counterpart.SkipUnderRace(t)
	synctest.Test(t, func(t *testing.T) {
		v := newVirtual(t, scrsim.Config{Seed: 3}, "BRIDGE_ACCOUNT_1_ARCHIVE=true", "BRIDGE_ARCHIVE_AFTER=10m")
		const locked, other = "SIMGWG01", "SIMTKG01"
		v.start(allRoles...)
		load := func(cases int) {
			if err := v.sim.StartLoad(scrsim.Load{Cases: cases, Rate: 0.05, Pacing: scrsim.Pacing{Dwell: scrsim.Duration(10 * time.Minute)}}); err != nil {
				t.Fatal(err)
			}
		}
		load(450) // two and a half hours of it
		v.until("the account is asked for all that there is", 90*time.Minute, func() bool {
			kinds := make(map[string]bool)
			for _, r := range v.requestsSince(locked, time.Time{}) {
				kinds[r.Operation] = true
			}
			return kinds["GET /cases/full"] && kinds["GET /cases/{caseId}/full"] && kinds["PATCH /cases/archive"]
		})

		lock := func(faults scrsim.FaultSet) time.Time {
			if err := v.sim.SetFaults(scrsim.Faults{Accounts: map[string]scrsim.FaultSet{locked: faults}}); err != nil {
				t.Fatal(err)
			}
			return time.Now()
		}
		since := lock(scrsim.FaultSet{Unauthorised: 1})
		v.pass(2 * time.Hour)
		mended := lock(scrsim.FaultSet{})
		refused := v.requestsSince(locked, since)
		for i := range refused[1:] {
			if apart := refused[i+1].At.Sub(refused[i].At); apart < 5*time.Minute {
				t.Errorf("%s came %v after %s", refused[i+1].Operation, apart, refused[i].Operation)
			}
		}
		hooks := slices.DeleteFunc(v.sim.Attempts(), func(a scrsim.HookAttempt) bool {
			return a.ClientID != locked || a.At.Before(since) || a.At.After(mended) || a.Status != 200
		})
		t.Logf("%d requests in two hours, %d webhooks were taken", len(refused), len(hooks))
		if n := len(refused); n < 15 || len(hooks) < 20 {
			t.Errorf("%d requests in two hours, and %d webhooks", n, len(hooks))
		}
		if n := len(v.requestsSince(other, since)); n < 240 {
			t.Errorf("%d requests of another account in the two hours", n)
		}

		load(20)
		v.until("all cases are at their ends", 5*time.Hour, func() bool { return v.sim.Status().Done })
		v.pass(time.Hour)
		v.judge(audit.Options{Settled: true})
		first := v.requestsSince(locked, mended)
		if len(first) == 0 || first[0].At.Sub(mended) > 8*time.Minute { // five, and up to half of them as jitter
			t.Errorf("the mended password was found out late: %v", first)
		}
	})
}

// requestsSince are the requests of an account, by when they came.
func (v *virtual) requestsSince(clientID string, since time.Time) []scrsim.Request {
	requests := slices.DeleteFunc(v.sim.Requests(clientID), func(r scrsim.Request) bool { return r.At.Before(since) })
	slices.SortStableFunc(requests, func(a, b scrsim.Request) int { return a.At.Compare(b.At) })
	return requests
}

// "Shown by" 6: an account in which nothing happens, and whose sweeps are off, is
// asked once a day all the same: accounts that are not used are switched off.
func TestQuietAccountMakesItsDailyRequest(t *testing.T) {
	t.Parallel()
	counterpart.SkipUnderRace(t)
	synctest.Test(t, func(t *testing.T) {
		v := newVirtual(t, scrsim.Config{Accounts: scrsim.ExampleAccounts("")[:1]},
			"BRIDGE_POLL_CLOSED_EVERY=0", "BRIDGE_POLL_OPEN_EVERY=0", "BRIDGE_POLL_RECONCILE_EVERY=0")
		began := time.Now()
		v.start(rolePoll)
		const days = 2
		v.pass(days * 24 * time.Hour)
		requests := v.requestsSince("SIMGWG01", began)
		for i, last := 0, began; i <= len(requests); i++ {
			at := time.Now()
			if i < len(requests) {
				at = requests[i].At
			}
			if at.Sub(last) > 24*time.Hour {
				t.Errorf("no request from %v until %v", last, at)
			}
			last = at
		}
		if n := len(requests); n < days || n > days+1 {
			t.Errorf("%d requests in %d days", n, days)
		}
	})
}
