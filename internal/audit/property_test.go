package audit_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"postident-bridge/internal/audit"
)

// typed are states of method photo and their types, all events by the rules.
var typed = []struct {
	status, statusType string
	sub                int
}{
	{"review pending", "notification", 0},
	{"incomplete", "notification", 33},
	{"incomplete", "notification", 34},
	{"declined", "final", 11},
	{"success", "final", 0},
}

// drawTruth walks some cases of two attempts each, interleaved, with ties.
func drawTruth(t *rapid.T) []audit.Change {
	var truth []audit.Change
	clock := 10
	last := map[[2]int]int{}
	for range rapid.IntRange(1, 40).Draw(t, "changes") {
		which := [2]int{rapid.IntRange(0, 3).Draw(t, "case"), rapid.IntRange(0, 1).Draw(t, "attempt")}
		state := rapid.IntRange(0, len(typed)-1).Draw(t, "state")
		if before, ok := last[which]; ok && before == state {
			continue // no change
		}
		last[which] = state
		clock += rapid.IntRange(0, 3).Draw(t, "seconds")
		c := change(fmt.Sprintf("CASE%08d", which[0]), "photo", typed[state].status, typed[state].statusType, clock)
		c.IdentCreated = at(1 + which[1])
		if code := typed[state].sub; code != 0 {
			c.SubStatus = &code
		}
		truth = append(truth, c)
	}
	return truth
}

// TestCompareProperty: what a faultless bridge writes of any truth, of which it
// saw any part, is accepted, and any one fault planted into it is found.
func TestCompareProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		truth := drawTruth(rt)
		var seen []audit.Change
		unseen := 0
		type identification struct {
			caseID  string
			created time.Time
		}
		type state struct {
			status string
			sub    int
		}
		told := make(map[identification]state)
		for i := range truth {
			c := &truth[i]
			c.Seen = rapid.Bool().Draw(rt, "seen")
			if !c.Seen {
				unseen++
				continue
			}
			// What brings back the state that was told last, while nobody saw what was
			// between, is no event.
			now := state{status: c.Status}
			if c.SubStatus != nil {
				now.sub = *c.SubStatus
			}
			if of := (identification{c.CaseID, c.IdentCreated}); told[of] != now {
				told[of] = now
				seen = append(seen, *c)
			}
		}
		// Two attempts may be told in either order within one second.
		for i := range len(seen) - 1 {
			tie := seen[i].Modified.Equal(seen[i+1].Modified) && !seen[i].IdentCreated.Equal(seen[i+1].IdentCreated)
			if tie && rapid.Bool().Draw(rt, "swap") {
				seen[i], seen[i+1] = seen[i+1], seen[i]
			}
		}
		events := published(t, seen)
		opts := audit.Options{Strict: true, Partitions: partitions}
		if r := audit.CompareWith(truth, events, opts); r.Err() != nil || r.Unseen != unseen {
			rt.Fatalf("faultless: %d unseen of %d, %v", r.Unseen, unseen, r.Err())
		}
		if len(events) == 0 {
			return
		}
		victim := rapid.IntRange(0, len(events)-1).Draw(rt, "victim")
		fault := rapid.SampledFrom(slices.Sorted(func(yield func(string) bool) {
			for name := range faults {
				if !yield(name) {
					return
				}
			}
		})).Draw(rt, "fault")
		events = faults[fault](events, victim)
		if r := audit.CompareWith(truth, events, opts); r.Err() == nil {
			rt.Fatalf("%s of %s: not found", fault, events[min(victim, len(events)-1)].Where())
		}
	})
}

var faults = map[string]func([]audit.Published, int) []audit.Published{
	"loss": func(events []audit.Published, i int) []audit.Published { return slices.Delete(events, i, i+1) },
	"repetition": func(events []audit.Published, i int) []audit.Published {
		again := events[i]
		again.Offset += 1 << 20
		return append(events, again)
	},
	"change of the value": func(events []audit.Published, i int) []audit.Published {
		e := &events[i].Event
		if e.Status == "success" {
			e.Status = "declined"
		} else {
			e.Status = "success"
		}
		return events
	},
	"move to another partition": func(events []audit.Published, i int) []audit.Published {
		events[i].Partition = (events[i].Partition + 1) % partitions
		return events
	},
	"jump of the sequence": func(events []audit.Published, i int) []audit.Published {
		events[i].Event.Sequence++
		return events
	},
	"loss of the hash": func(events []audit.Published, i int) []audit.Published {
		if hash := events[i].Event.PreviousEventHash; hash != nil {
			events[i].Event.PreviousEventHash = nil
		} else {
			events[i].Event.PreviousEventHash = &[]byte{}
		}
		return events
	},
}
