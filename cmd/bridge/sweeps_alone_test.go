package main

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"postident-bridge/ingest"
	"postident-bridge/internal/audit"
	"postident-bridge/internal/counterpart"
	"postident-bridge/internal/scrsim"
	"postident-bridge/schemas"
)

// P2, P3, P4, "Shown by" 1: no webhooks at all, 10,000 cases over all methods and
// classes. Every state that stood for longer than one sweep interval is on the
// topic, once, in order; those that have no type, too.
//
// It is shown in two halves. What a list has shown, whether for long or not, is on
// the topic: the judge compares that with the truth. And whatever stood long enough
// a list has shown: see judgeSight. Reconciliations are off, so that they do not
// bring what the other sweeps missed.
//
// On a virtual clock the interval has no margin to speak of, and no other work of
// the machine plays a part.
func TestSweepsAloneBringEveryState(t *testing.T) {
	t.Parallel()
	counterpart.SkipUnderRace(t)
	synctest.Test(t, func(t *testing.T) {
		const cases = 10_000
		v := newVirtual(t, scrsim.Config{Accounts: withoutWebhooks(), Seed: 11},
			"BRIDGE_PUBLISH_PROGRESS=true", "BRIDGE_POLL_RECONCILE_EVERY=0", "BRIDGE_POLL_PAST=24h")
		v.start(rolePoll, roleProcess)
		v.pass(time.Minute)
		// Some 300 cases of an account are open at a time: a list holds them all.
		if err := v.sim.StartLoad(scrsim.Load{Cases: cases, Rate: 0.5, Pacing: scrsim.Pacing{Dwell: scrsim.Duration(7 * time.Minute)}}); err != nil {
			t.Fatal(err)
		}
		v.until("all cases are at their ends", 12*time.Hour, func() bool { return v.sim.Status().Done })
		v.pass(10 * time.Minute)
		if verdict := v.judge(audit.Options{Settled: true, Progress: true}); len(v.sim.Attempts()) > 0 || verdict.Events < 2*cases {
			t.Errorf("%d webhooks, and %d events", len(v.sim.Attempts()), verdict.Events)
		}
		const margin = time.Second
		judgeSight(t, v.sim, func(_ string, at, until time.Time) bool { return until.Sub(at) > v.settings.Poll.Open+margin })
	})
}

// The same in real time on a real Apache Kafka, with fewer cases. How long a sweep and
// the pause after it take is the machine's: a state has to be shown if it stood while
// the account was swept, from begin to end.
func TestSweepsAloneOnApacheKafka(t *testing.T) {
	t.Parallel()
	counterpart.SkipUnderRace(t)
	const (
		cases = 2_000
		rate  = 40 // a second
		dwell = 5 * time.Second
		every = 2 * time.Second // open sweeps; closed ones come twice as often
	)
	kafka := counterpart.StartKafka(t, 1)
	registry := counterpart.StartRegistry(t, nil)
	w := newWorldOf(t, "alone.", kafka, registry, scrsim.Config{Accounts: withoutWebhooks(), Seed: 11})
	w.env = append(w.env, "BRIDGE_LOG_LEVEL=debug", // tells of each sweep
		"BRIDGE_PUBLISH_PROGRESS=true", "BRIDGE_POLL_CLOSED_EVERY=1s", "BRIDGE_POLL_OPEN_EVERY="+every.String(), "BRIDGE_POLL_RECONCILE_EVERY=0",
		// What is long past takes no part: the cases are closed within a minute.
		"BRIDGE_POLL_OVERLAP=3s", "BRIDGE_POLL_PAST=10m")
	w.progress = true
	w.replicas = append(w.replicas, newReplica(t, w, 0))
	w.bridge(t, "topics", "apply", "--replication", "1")
	bridge := w.replicas[0]
	bridge.start(t)
	if err := w.sim.StartLoad(scrsim.Load{Cases: cases, Rate: rate, Pacing: scrsim.Pacing{Dwell: scrsim.Duration(dwell)}}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all cases are at their ends", func() bool { return w.sim.Status().Done })
	eventually(t, "the last state of every case is on the topic", func() bool { return w.lastStatesTold(t) })
	metrics := w.scrape(t)
	bridge.stop(t)

	verdict := w.judge(t, metrics)
	if n := len(w.sim.Attempts()); n > 0 || verdict.Events < 2*cases {
		t.Errorf("%d webhooks, and %d events", n, verdict.Events)
	}
	sweeps := bridge.sweeps(t)
	judgeSight(t, w.sim, func(clientID string, at, until time.Time) bool {
		return sweeps.within(clientID, ingest.SweepOpen, at, until) && sweeps.within(clientID, ingest.SweepClosed, at, until)
	})
	sweeps.judgePace(t, w.accounts, every)
}

// withoutWebhooks are the example accounts with webhooks off.
func withoutWebhooks() []scrsim.Account {
	accounts := scrsim.ExampleAccounts("http://nobody.test")
	for i := range accounts {
		accounts[i].Webhook.URL = ""
	}
	return accounts
}

// lastStatesTold says whether the newest event of every case tells its last change,
// or the same state from before: what lay between may have been too short.
func (w *world) lastStatesTold(t *testing.T) bool {
	t.Helper()
	newest := make(map[string]*schemas.StatusChanged)
	published := w.published(t)
	for i := range published {
		if e := &published[i].Event; newest[e.CaseID] == nil || newest[e.CaseID].Sequence < e.Sequence {
			newest[e.CaseID] = e
		}
	}
	seen := make(map[string]bool)
	truth := w.sim.Truth()
	for i, c := range slices.Backward(truth) {
		if seen[c.CaseID] {
			continue
		}
		seen[c.CaseID] = true
		e := newest[c.CaseID]
		switch {
		case e == nil:
			return false
		case c.Method == "" && e.CaseStatus.Status != schemas.CaseProgressClosed:
			return false
		case c.Method == "" || e.Identification != nil && e.Identification.Modified.Equal(c.Modified):
		case !c.Seen || !cameBack(truth, i):
			return false
		}
	}
	return true
}

// judgeSight checks that lists have shown every change that is due to be shown by how
// long it stood: from at until until. Half of all have to be, else nothing is shown. A
// change stands until the next one of its identification; at the end of a case, for
// good.
func judgeSight(t *testing.T, sim *scrsim.Simulator, due func(clientID string, at, until time.Time) bool) {
	t.Helper()
	type identification struct {
		caseID, method string
		created        time.Time
	}
	truth, traces := sim.Truth(), sim.Traces()
	left := make(map[identification]time.Time) // when the state before was left
	end, long, unseen := time.Now(), 0, 0
	for i, c := range slices.Backward(truth) {
		id, at := identification{c.CaseID, c.Method, c.IdentCreated}, traces[i].At
		until, changed := left[id]
		if !changed {
			until = end
		}
		left[id] = at
		has := due(c.ClientID, at, until)
		switch {
		case traces[i].ShownBy == "" && has:
			t.Errorf("case %s/%s: %s %s stood for %v and no list showed it", c.ClientID, c.CaseID, c.Method, c.Status, until.Sub(at))
		case traces[i].ShownBy == "":
			unseen++
		case traces[i].ShownBy != scrsim.ShownByList:
			t.Errorf("case %s/%s: %s %s was shown by a %s first", c.ClientID, c.CaseID, c.Method, c.Status, traces[i].ShownBy)
		}
		if has {
			long++
		}
	}
	t.Logf("%d changes, %d of them stood for long enough; of the others %d were never shown", len(truth), long, unseen)
	if long < len(truth)/2 {
		t.Errorf("only %d of %d changes stood for long enough", long, len(truth))
	}
}

// swept is when a sweep of an account was made, from begin to end.
type swept struct{ began, ended time.Time }

// sweepsMade are the sweeps of each account and kind, in their order.
type sweepsMade map[string]map[ingest.SweepKind][]swept

// sweeps are those that a replica has told of.
func (r *replica) sweeps(t *testing.T) sweepsMade {
	t.Helper()
	made := make(sweepsMade)
	for _, line := range r.accountLines(t, "swept") {
		if made[line.clientID] == nil {
			made[line.clientID] = make(map[ingest.SweepKind][]swept)
		}
		of := made[line.clientID]
		of[line.kind] = append(of[line.kind], swept{line.began, line.at})
	}
	return made
}

// within says whether a whole sweep was made in a time.
func (m sweepsMade) within(clientID string, kind ingest.SweepKind, from, until time.Time) bool {
	return slices.ContainsFunc(m[clientID][kind], func(s swept) bool { return s.began.After(from) && s.ended.Before(until) })
}

// judgePace sees that an open sweep began when it was due, on the whole: what a busy
// machine does to some of them is no fault.
func (m sweepsMade) judgePace(t *testing.T, accounts []scrsim.Account, every time.Duration) {
	t.Helper()
	for _, a := range accounts {
		var apart, took []time.Duration
		for i, s := range m[a.ClientID][ingest.SweepOpen] {
			if took = append(took, s.ended.Sub(s.began)); i > 0 {
				apart = append(apart, s.began.Sub(m[a.ClientID][ingest.SweepOpen][i-1].began))
			}
		}
		if len(apart) == 0 {
			t.Errorf("account %s: %d open sweeps", a.ClientID, len(took))
			continue
		}
		slices.Sort(apart)
		slices.Sort(took)
		median := apart[len(apart)/2]
		t.Logf("account %s: %d open sweeps, %v apart (median), %v at most; %v long (median), %v at most", a.ClientID, len(took),
			median.Round(time.Millisecond), apart[len(apart)-1].Round(time.Millisecond),
			took[len(took)/2].Round(time.Millisecond), took[len(took)-1].Round(time.Millisecond))
		if median > every+took[len(took)/2] { // one that is due waits for a closed one
			t.Errorf("account %s: open sweeps began %v apart, and were due every %v", a.ClientID, median, every)
		}
	}
}
