package scrsim

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"postident-bridge/internal/scr"
)

// played runs a load to its end and returns every change without its times.
func played(t *testing.T, seed uint64, l Load) (changes []Change, canaries []string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		sim := newSim(t, Config{Seed: seed, Accounts: ExampleAccounts("")})
		if err := sim.StartLoad(l); err != nil {
			t.Fatal(err)
		}
		run(t, sim)
		elapse(time.Hour)
		if st := sim.Status(); !st.Done || st.Loads[0].Finished != l.Cases {
			t.Fatalf("not done: %+v", st)
		}
		changes = sim.Truth()
		for _, c := range sim.cases {
			canaries = append(canaries, c.id+c.canary("lastname")+c.reference)
		}
	})
	slices.Sort(canaries)
	return changes, canaries
}

// One seed and configuration gives the same cases with the same plans, ids,
// references and canaries.
func TestLoadIsDeterministic(t *testing.T) {
	t.Parallel()
	l := Load{Cases: 100, Rate: 10, Pacing: Pacing{Dwell: Duration(time.Second)}}
	changes, canaries := played(t, 5, l)
	again, canariesAgain := played(t, 5, l)
	if d := cmp.Diff(changes, again); d != "" {
		t.Errorf("changes differ:\n%s", d)
	}
	if d := cmp.Diff(canaries, canariesAgain); d != "" {
		t.Errorf("ids or canaries differ:\n%s", d)
	}
	_, other := played(t, 6, l)
	if cmp.Equal(canaries, other) {
		t.Error("another seed gives the same cases")
	}
	l.Seed = 6
	_, sameAsOther := played(t, 5, l)
	if !cmp.Equal(sameAsOther, other) {
		t.Error("the load's own seed does not count")
	}
}

// Cases start at the rate, and a state lasts between half and one and a half of
// the dwell.
func TestLoadPacing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sim := newSim(t, Config{Accounts: ExampleAccounts("")})
		if err := sim.StartLoad(Load{Cases: 10, Rate: 2, Pacing: Pacing{Dwell: Duration(time.Hour)}}); err != nil {
			t.Fatal(err)
		}
		run(t, sim)
		for i := range 10 {
			synctest.Wait()
			if n := sim.Status().Loads[0].Started; n != i+1 {
				t.Errorf("after %d half seconds: %d started", i, n)
			}
			elapse(500 * time.Millisecond)
		}
		elapse(29 * time.Minute)
		if n := len(sim.Truth()); n != 0 {
			t.Errorf("%d changes before half the dwell", n)
		}
		elapse(61 * time.Minute)
		walked := make(map[string]bool)
		for _, c := range sim.Truth() {
			walked[c.CaseID] = true
		}
		if len(walked) != 10 {
			t.Errorf("%d cases have changed after one and a half, want 10", len(walked))
		}
	})
}

// UntilSeen: a hooked state waits for an unfaulted answer, at most MaxDwell;
// what sends no webhook does not.
func TestLoadWaitsUntilSeen(t *testing.T) {
	t.Parallel()
	for _, look := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			rx := &receiver{}
			var sim *Simulator
			rx.answer = func(h received) (int, time.Duration, error) {
				if look {
					go func() {
						elapsed := time.After(10 * time.Second)
						<-elapsed
						client := &api{t: t, sim: sim, clientID: "ACCT0001", username: "user", password: "pass", header: make(http.Header)}
						client.get("/" + h.caseID + "/full").wants(200)
					}()
				}
				return 200, 0, nil
			}
			sim = newSim(t, Config{Accounts: []Account{hookedAccount(scr.ClassStandard, Webhook{})}, HookTransport: rx})
			pacing := Pacing{Dwell: Duration(time.Millisecond), UntilSeen: true, MaxDwell: Duration(time.Minute)}
			if err := sim.StartLoad(Load{Cases: 40, Pacing: pacing}); err != nil {
				t.Fatal(err)
			}
			begun := time.Now()
			run(t, sim)
			for !sim.Status().Done {
				elapse(time.Second)
			}
			took := time.Since(begun)
			longest, hooked := 0, 0
			for _, c := range sim.Truth() {
				if c.StatusType == statusTypeProgress {
					continue
				}
				hooked++
				if c.Seen != look {
					t.Errorf("look %v: %+v", look, c)
				}
			}
			for _, c := range sim.cases {
				n := 0
				for _, s := range c.plan.Steps {
					if scr.Classify(s.Method, s.Status, nil, nil).Type != scr.None {
						n++
					}
				}
				longest = max(longest, n)
			}
			each := map[bool]time.Duration{true: 10 * time.Second, false: time.Minute}[look]
			want := time.Duration(longest) * each
			if took < want || took > want+5*time.Second {
				t.Errorf("look %v: took %v, want %v for %d states in a row", look, took, want, longest)
			}
			if hooked == 0 || len(rx.log()) != hooked {
				t.Errorf("%d webhooks for %d states", len(rx.log()), hooked)
			}
		})
	}
}

// The mix chooses methods and classes.
func TestLoadMix(t *testing.T) {
	t.Parallel()
	sim := newSim(t, Config{Accounts: ExampleAccounts("")})
	counts := func(m Mix) (methods map[string]int, classes map[scr.RegulatoryClass]int) {
		methods, classes = make(map[string]int), make(map[scr.RegulatoryClass]int)
		l := &loadRun{from: newOrigin(1, streamLoad), wheel: sim.wheel(m)}
		for range 400 {
			method, acct := l.spin()
			methods[method]++
			classes[acct.Class]++
		}
		return methods, classes
	}
	methods, _ := counts(Mix{Methods: map[string]float64{scr.MethodVideo: 3, scr.MethodEID: 1}})
	if d := cmp.Diff(map[string]int{scr.MethodVideo: 300, scr.MethodEID: 100}, methods); d != "" {
		t.Errorf("methods (-want +got):\n%s", d)
	}
	_, classes := counts(Mix{Classes: map[scr.RegulatoryClass]float64{scr.ClassTKG: 1}})
	if d := cmp.Diff(map[scr.RegulatoryClass]int{scr.ClassTKG: 400}, classes); d != "" {
		t.Errorf("classes (-want +got):\n%s", d)
	}
	_, classes = counts(Mix{})
	if len(classes) != 5 {
		t.Errorf("classes %v, want all five", classes)
	}
	for name, l := range map[string]Load{
		"no cases":          {},
		"negative rate":     {Cases: 1, Rate: -1},
		"unknown method":    {Cases: 1, Mix: Mix{Methods: map[string]float64{"hologram": 1}}},
		"unknown class":     {Cases: 1, Mix: Mix{Classes: map[scr.RegulatoryClass]float64{"none": 1}}},
		"negative weight":   {Cases: 1, Mix: Mix{Methods: map[string]float64{scr.MethodEID: -1}}},
		"nothing is left":   {Cases: 1, Mix: Mix{Methods: map[string]float64{scr.MethodEID: 0}}},
		"class without it":  {Cases: 1, Mix: Mix{Methods: map[string]float64{scr.MethodEID: 1}, Classes: map[scr.RegulatoryClass]float64{scr.ClassMobility: 1}}},
		"negative dwelling": {Cases: 1, Pacing: Pacing{Dwell: -1}},
	} {
		if err := sim.StartLoad(l); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// A case of a load is not for Advance; a removed one counts as finished.
func TestLoadOwnsItsCases(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sim := newSim(t, Config{Accounts: ExampleAccounts("")})
		if err := sim.StartLoad(Load{Cases: 1, Pacing: Pacing{Dwell: Duration(time.Hour)}}); err != nil {
			t.Fatal(err)
		}
		run(t, sim)
		synctest.Wait()
		var id string
		for id = range sim.cases {
		}
		if _, err := sim.Advance(id); !isWalking(err) {
			t.Errorf("advance: %v", err)
		}
		if err := sim.Remove(id); err != nil {
			t.Fatal(err)
		}
		if st := sim.Status(); !st.Done || st.Cases != 0 {
			t.Errorf("got %+v", st)
		}
		if err := sim.Run(t.Context()); err == nil {
			t.Error("ran twice")
		}
	})
}

// Many readers over a network beside a load and faults: what the race detector
// and the truth have to say.
func TestLoadUnderReaders(t *testing.T) {
	t.Parallel()
	var sim *Simulator
	hooks := make(chan string, 10_000)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var h struct {
			CaseID string `json:"caseId"`
		}
		readJSON(t, r.Body, &h)
		hooks <- h.CaseID
		w.WriteHeader(http.StatusOK)
	}))
	t.Cleanup(receiver.Close)
	acct := hookedAccount(scr.ClassGwG, Webhook{URL: receiver.URL})
	sim = newSim(t, Config{Accounts: []Account{acct}, TimeScale: 10_000})
	server := httptest.NewServer(sim.Handler())
	t.Cleanup(server.Close)
	if err := sim.SetFaults(Faults{All: FaultSet{ServerError: 0.05, Cut: 0.05, HookDoubled: 0.1, NotYet: 0.1, NotYetReads: 1}}); err != nil {
		t.Fatal(err)
	}
	client, err := scr.NewClient(scr.ClientConfig{
		BaseURL: server.URL, ClientID: "ACCT0001", Username: "user", Password: "pass", Encryption: scr.EncryptionOptional,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	run(t, sim)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for id := range hooks {
				for range 5 { // through the faults
					if _, err := client.Case(t.Context(), id); err == nil {
						break
					}
				}
			}
		})
	}
	wg.Go(func() {
		for range 20 {
			newAPI(t, sim).get("/status/full?new=true&inProgress=true")
		}
	})
	pacing := Pacing{Dwell: Duration(time.Millisecond), UntilSeen: true, MaxDwell: Duration(time.Minute)}
	if err := sim.StartLoad(Load{Cases: 200, Rate: 1000, Pacing: pacing}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the load is done", func() bool { return sim.Status().Done })
	close(hooks)
	wg.Wait()
	seen, typed := 0, 0
	for _, c := range sim.Truth() {
		if c.StatusType != statusTypeProgress {
			typed++
			if c.Seen {
				seen++
			}
		}
	}
	if seen < typed*9/10 {
		t.Errorf("%d of %d states seen", seen, typed)
	}
}
