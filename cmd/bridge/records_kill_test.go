package main

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"postident-bridge/internal/audit"
	"postident-bridge/internal/claim"
	"postident-bridge/internal/counterpart"
)

// recordKills is how often the process is killed with records in the store that no
// event names yet.
const recordKills = 10

// P2, P6 and "shown by" 4 of the results: a bridge as a process on a real Apache
// Kafka and a real S3 server is killed with kill -9 between upload and commit. No
// event names what is not there, none is there twice, and what is left of cases
// that were never read again is found and swept.
//
// The store is watched: once it has an object that is new, the process is killed,
// at once or some milliseconds later. A kill counts if it left an object that no
// event names.
func TestKillNineBetweenUploadAndCommit(t *testing.T) {
	t.Parallel()
	g := s3Ground(t)
	w := newRecordsWorld(t, counterpart.SharedKafka(t).Seeds(), g)
	w.bridge.start(t)
	const seed = 11
	random := rand.New(rand.NewPCG(seed, 0))
	var cases []string
	removed := make(map[string]bool)
	hits, kills := 0, 0
	for ; hits < recordKills; kills++ {
		if kills == 5*recordKills {
			t.Fatalf("%d of %d kills fell between upload and commit", hits, kills)
		}
		before := len(g.objects(t))
		cases = append(cases, w.finishSome(t, 3)...)
		eventually(t, "an object is new", func() bool { return len(g.objects(t)) > before })
		<-time.After(time.Duration(random.Int64N(int64(20 * time.Millisecond))))
		w.bridge.kill(t)
		left := slices.DeleteFunc(w.unnamed(t), func(name string) bool {
			key, _ := claim.ParseName(name)
			return removed[key.CaseID] // left by an earlier kill
		})
		if len(left) > 0 {
			hits++
		}
		if len(left) > 0 && hits%3 == 0 { // its case is deleted at the source, and never read again
			key, _ := claim.ParseName(left[0])
			if err := w.sim.Remove(key.CaseID); err != nil {
				t.Fatal(err)
			}
			removed[key.CaseID] = true
		}
		w.bridge.start(t)
		if len(left) > 0 {
			w.awaitRecords(t, slices.DeleteFunc(casesOf(left), func(c string) bool { return removed[c] }))
		}
	}
	w.awaitRecords(t, slices.DeleteFunc(slices.Clone(cases), func(c string) bool { return removed[c] }))
	w.settle(t)
	w.bridge.stop(t)

	orphans := w.unnamed(t)
	t.Logf("seed %d: %d kills, %d of them between upload and commit; %d cases, %d objects, %d orphans of %d cases removed",
		seed, kills, hits, len(cases), len(g.objects(t)), len(orphans), len(removed))
	if len(orphans) == 0 {
		t.Error("no orphan: the sweep proves nothing")
	}
	w.onceAndInOrder(t)
	w.orphansOfKillsAreSwept(t, orphans)
}

// finishSome lets n cases go to their ends beside each other.
func (w *recordsWorld) finishSome(t *testing.T, n int) (cases []string) {
	t.Helper()
	for len(cases) < n {
		if caseID, ok := w.finish(t, w.accounts[len(cases)%len(w.accounts)].ClientID); ok {
			cases = append(cases, caseID)
		}
	}
	return cases
}

// unnamed are the objects that no event names.
func (w *recordsWorld) unnamed(t *testing.T) []string {
	t.Helper()
	objects := w.ground.objects(t)
	events := named(w.events(t))
	return slices.DeleteFunc(objects, func(name string) bool { return events[name] })
}

func casesOf(objects []string) []string {
	var cases []string
	for _, name := range objects {
		if key, _ := claim.ParseName(name); !slices.Contains(cases, key.CaseID) {
			cases = append(cases, key.CaseID)
		}
	}
	return cases
}

// onceAndInOrder sees that each case's events are numbered without gaps, and none
// is there twice.
func (w *recordsWorld) onceAndInOrder(t *testing.T) {
	t.Helper()
	ids := make(map[string]string)
	for caseID, events := range w.events(t) {
		for i, p := range events {
			if p.Event.Sequence != int64(i+1) {
				t.Errorf("case %s: event %d has sequence %d", caseID, i+1, p.Event.Sequence)
			}
			if other := ids[p.Event.EventID]; other != "" {
				t.Errorf("%s is also %s", p.Where(), other)
			}
			ids[p.Event.EventID] = p.Where()
		}
	}
	counts := make(map[string]int)
	_, err := audit.ReadRecordEvents(t.Context(), w.sources(), func(e *audit.RecordEvent) error {
		counts[e.Topic]++
		return nil
	})
	if err != nil || counts[w.prefix+"result.v1"] == 0 {
		t.Errorf("%v, %v", counts, err)
	}
}

// orphansOfKillsAreSwept finds the orphans, and nothing else, once they are old.
func (w *recordsWorld) orphansOfKillsAreSwept(t *testing.T, orphans []string) {
	t.Helper()
	w.expectKinds(t, w.checkRecords(t, exitDone), map[string]int64{})
	for _, name := range w.ground.objects(t) {
		w.ground.age(t, name, old)
	}
	found := w.checkRecords(t, exitFailed, "--limit", "0")
	if n := found.Kinds[kindOrphan] + found.Kinds[kindUnproven]; n != int64(len(orphans)) || found.differences() != n {
		t.Errorf("%d orphans: %+v", len(orphans), found.Kinds)
	}
	swept := w.sweepRecords(t, "--expired-ok")
	if swept.Deleted != int64(len(orphans)) || len(w.unnamed(t)) != 0 {
		t.Errorf("%d orphans: %+v", len(orphans), swept)
	}
	after := w.checkRecords(t, exitDone)
	if w.expectKinds(t, after, map[string]int64{}); after.Named == 0 || after.Named != len(w.ground.objects(t)) {
		t.Errorf("%+v", after)
	}
}
