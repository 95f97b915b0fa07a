package publish

import (
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"postident-bridge/schemas"
)

// expectationRun drives a table's expectations against a map of when each due of
// a case ends.
type expectationRun struct {
	table *table
	dues  map[string][]time.Time
}

// The table gives every case whose first due has ended, none before, and none
// whose webhooks came; also after a restore.
func TestTableGivesDuesThatEnded(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := expectationRun{table: newTable(modelBelongs), dues: make(map[string][]time.Time)}
		t.Repeat(map[string]func(*rapid.T){
			"put": r.put, "put again": r.put, "forget": r.forget, "take": r.take, "restore": r.restore, "": r.check,
		})
	})
}

func drawnCase(t *rapid.T) string {
	return stateKey("A", rapid.SampledFrom([]string{"CASE1", "CASE2", "CASE3"}).Draw(t, "case"))
}

// put writes a state as a commit does.
func (r *expectationRun) put(t *rapid.T) {
	key := drawnCase(t)
	ends := rapid.SliceOfN(nearTime(), 0, 3).Draw(t, "ends")
	state := schemas.CaseState{ClientID: clientOf(key), CaseID: caseOf(key)}
	for _, at := range ends {
		state.HooksDue = append(state.HooksDue, schemas.HookDue{StatusType: schemas.StatusTypeFinal, Until: at})
	}
	value, err := schemas.EncodeCaseState(state)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.table.put([]byte(key), value, 1); err != nil {
		t.Fatal(err)
	}
	r.table.expect(key, state.HooksDue)
	r.dues[key] = ends
}

func (r *expectationRun) forget(t *rapid.T) {
	key := drawnCase(t)
	r.table.forget(key)
	delete(r.dues, key)
}

// take takes what has ended, and queues what has not, as the worker does.
func (r *expectationRun) take(t *rapid.T) {
	by := nearTime().Draw(t, "by")
	var got, want []string
	var again []string
	for key := r.table.takeEnded(by); key != ""; key = r.table.takeEnded(by) {
		if ended, _ := endedDues(r.table.get(key).HooksDue, by); len(ended) > 0 {
			got = append(got, key)
		}
		again = append(again, key)
	}
	for _, key := range again { // they stay due: this test does not judge them
		r.table.expect(key, r.table.get(key).HooksDue)
	}
	for key, ends := range r.dues {
		if slices.ContainsFunc(ends, func(at time.Time) bool { return !at.After(by) }) {
			want = append(want, key)
		}
	}
	if slices.Sort(got); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
		t.Fatalf("by %v ended %q, want %q", by, got, want)
	}
}

// restore reads all states into a new table.
func (r *expectationRun) restore(t *rapid.T) {
	before := r.table
	r.table = newTable(modelBelongs)
	for key := range r.dues {
		value, err := schemas.EncodeCaseState(*before.get(key))
		if err != nil {
			t.Fatal(err)
		}
		if err := r.table.put([]byte(key), value, 1); err != nil {
			t.Fatal(err)
		}
	}
	r.table.loaded()
}

// check: the next end is never later than the first that there is.
func (r *expectationRun) check(t *rapid.T) {
	var first time.Time
	for ends := range maps.Values(r.dues) {
		for _, at := range ends {
			if first.IsZero() || at.Before(first) {
				first = at
			}
		}
	}
	next := r.table.nextEnd()
	if first.IsZero() != next.IsZero() || next.After(first) {
		t.Fatalf("the next due ends at %v, want %v", next, first)
	}
}
