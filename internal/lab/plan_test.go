package lab

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postident-bridge/publish"
)

func options(seed uint64, faults, brokers int) PlanOptions {
	return PlanOptions{Seed: seed, Faults: faults, Brokers: brokers, Processes: 3, Accounts: accounts}
}

func plan(t *testing.T, o PlanOptions) []Round {
	t.Helper()
	rounds, err := NewPlan(o)
	if err != nil {
		t.Fatal(err)
	}
	return rounds
}

func TestPlanIsTheSeeds(t *testing.T) {
	t.Parallel()
	one, same, other := plan(t, options(7, 100, 3)), plan(t, options(7, 100, 3)), plan(t, options(8, 100, 3))
	if diff := cmp.Diff(one, same); diff != "" {
		t.Errorf("two plans of one seed differ:\n%s", diff)
	}
	if cmp.Equal(one, other) {
		t.Error("two seeds give one plan")
	}
}

// A hundred faults hold every kind several times, some at once, and take some
// seventeen minutes.
func TestPlanOfAHundred(t *testing.T) {
	t.Parallel()
	for _, brokers := range []int{1, 3} {
		for seed := range uint64(50) {
			tried := make(map[Kind]int)
			var total time.Duration
			overlaps, number, zombies := 0, 0, 0
			for _, round := range plan(t, options(seed, 100, brokers)) {
				if len(round.Faults) == 2 {
					overlaps++
				}
				total += length(round)
				for _, f := range round.Faults {
					number++
					if f.Number != number {
						t.Fatalf("fault %d has number %d", number, f.Number)
					}
					tried[f.Kind]++
					if f.Kind == KindStop && f.Lasts > publish.TransactionTimeout {
						zombies++
					}
				}
			}
			if number != 100 {
				t.Errorf("seed %d, %d brokers: %d faults", seed, brokers, number)
			}
			for _, s := range kindSpecs {
				want := 3
				if s.brokers > brokers {
					want = 0
				}
				if got := tried[s.kind]; got < want || want == 0 && got > 0 {
					t.Errorf("seed %d, %d brokers: %s comes %d times", seed, brokers, s.kind, got)
				}
			}
			if overlaps < 5 || zombies < 2 {
				t.Errorf("seed %d, %d brokers: %d overlaps, %d zombies", seed, brokers, overlaps, zombies)
			}
			if total < 8*time.Minute || total > 20*time.Minute {
				t.Errorf("seed %d, %d brokers: %s", seed, brokers, total)
			}
		}
	}
}

// length is how long a round takes if nothing but waiting does.
func length(r Round) time.Duration {
	var longest time.Duration
	for _, f := range r.Faults {
		longest = max(longest, f.After+f.Lasts)
	}
	return longest + r.Calm
}

// No two faults at once take hold of the same thing, two brokers least of all.
func TestPlanOverlaps(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		for _, round := range plan(t, options(seed, 60, 3)) {
			if len(round.Faults) < 2 {
				continue
			}
			a, b := round.Faults[0], round.Faults[1]
			ga, gb := specOf(a.Kind).group, specOf(b.Kind).group
			if ga != gb {
				continue
			}
			if ga != groupProcess || a.Target == b.Target || a.Kind == KindRegistry || b.Kind == KindRegistry {
				t.Errorf("seed %d: %+v beside %+v", seed, a, b)
			}
		}
	}
}

func TestPlanStaysInItsBounds(t *testing.T) {
	t.Parallel()
	for _, round := range plan(t, options(3, 1000, 3)) {
		for _, f := range round.Faults {
			s := specOf(f.Kind)
			short := f.Lasts >= s.lasts.from && f.Lasts <= s.lasts.to
			long := s.lasts.longCards > 0 && f.Lasts >= s.lasts.longFrom && f.Lasts <= s.lasts.longTo
			if !short && !long {
				t.Errorf("%+v lasts neither short nor long", f)
			}
			limit := map[group]int{groupProcess: 3, groupNetwork: 3, groupBroker: 3, groupAPI: accounts, groupClock: 1, groupStore: 1}[s.group]
			if f.Target < 0 || f.Target >= limit || f.Variant < 0 || f.Variant >= s.variants {
				t.Errorf("%+v aims beside its target", f)
			}
		}
	}
}

func TestPlanOfSomeKinds(t *testing.T) {
	t.Parallel()
	o := options(1, 30, 1)
	o.Kinds = []Kind{KindStop, KindSilence}
	for _, round := range plan(t, o) {
		for _, f := range round.Faults {
			if !slices.Contains(o.Kinds, f.Kind) {
				t.Errorf("%s was not asked for", f.Kind)
			}
		}
	}
}

func TestPlanRefuses(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*PlanOptions){
		"two brokers":                func(o *PlanOptions) { o.Brokers = 2 },
		"no process":                 func(o *PlanOptions) { o.Processes = 0 },
		"an unknown kind":            func(o *PlanOptions) { o.Kinds = []Kind{"earthquake"} },
		"leaders with one broker":    func(o *PlanOptions) { o.Kinds = []Kind{KindLeaders} },
		"fewer faults than none":     func(o *PlanOptions) { o.Faults = -1 },
		"nobody to refuse (account)": func(o *PlanOptions) { o.Accounts = 0 },
	} {
		o := options(1, 10, 1)
		change(&o)
		if _, err := NewPlan(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
