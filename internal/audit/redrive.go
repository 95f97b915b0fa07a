package audit

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/schemas"
)

// clockSlack is how far apart the clocks may be of those who write letters and of
// those who redrive them.
const clockSlack = time.Hour

// redrive is a trigger in the inbox that was made from a dead letter.
type redrive struct {
	letter Place
	at     time.Time // when it was written
}

// outcome is what case-state says of a case.
type outcome struct {
	marked, waits bool      // it is marked as dead-lettered; it waits for another look
	touched       time.Time // when it was last written, or read well, whichever is later
}

// Fate is what a redrive does with a letter.
type Fate string

// The fates.
const (
	FateRedrive    Fate = "redrive"    // its trigger goes back to the inbox
	FateCovered    Fate = "covered"    // a newer letter of its case goes, and one look is enough
	FateRedriven   Fate = "redriven"   // it was redriven already; had that failed, there would be a newer letter
	FateDone       Fate = "done"       // its case was read well since
	FateImpossible Fate = "impossible" // nothing in it says what to look at
)

// PlannedLetter is a letter with its fate.
type PlannedLetter struct {
	Letter

	Fate Fate
	Why  string // of FateImpossible
}

// RedriveQuery asks for a plan.
type RedriveQuery struct {
	Kafka                        []kgo.Opt
	DeadLetter, Inbox, CaseState string // topics
	Filter                       LetterFilter
	// Again redrives also what was redriven already or is done.
	Again bool
	// ValidCase says whether a caseId is one that the publisher takes.
	ValidCase func(caseID string) bool
	// Progress is asked for a topic's progress before it is read; nil means that
	// nobody asks.
	Progress func(topic string) func(read, total int64)
}

// RedrivePlan is the fate of each letter that a query chooses.
type RedrivePlan struct {
	Letters []PlannedLetter // by partition and offset
	Hidden  []Hidden
}

// PlanRedrive reads the letters that the query chooses, and says what is to become
// of each. It writes nothing.
//
// What was redriven already shows in the inbox. What the inbox may have forgotten
// shows in case-state, which is read only then, and only in the partitions of
// those cases.
func PlanRedrive(ctx context.Context, q RedriveQuery) (RedrivePlan, error) {
	if q.ValidCase == nil {
		return RedrivePlan{}, errors.New("plan redrive: nobody says which caseIds are valid")
	}
	var (
		plan    RedrivePlan
		letters []Letter
		oldest  time.Time
	)
	hidden, err := ReadLetters(ctx, q.scan(q.DeadLetter), q.Filter, func(l Letter) {
		if oldest.IsZero() || l.At.Before(oldest) {
			oldest = l.At
		}
		letters = append(letters, l)
	})
	if err != nil {
		return RedrivePlan{}, err
	}
	plan.Hidden = hidden
	known := redriveKnowledge{again: q.Again, validCase: q.ValidCase}
	if len(letters) > 0 && !q.Again {
		s := q.scan(q.Inbox)
		s.Since = oldest.Add(-clockSlack)
		in, err := readInbox(ctx, s, q.DeadLetter)
		if err != nil {
			return RedrivePlan{}, err
		}
		known.redrives = in.redrives
		plan.Hidden = append(plan.Hidden, in.hidden...)
		if forgotten := in.forgotten(letters); len(forgotten) > 0 {
			known.outcomes, hidden, err = readOutcomes(ctx, q.scan(q.CaseState), forgotten, in.partitions)
			if err != nil {
				return RedrivePlan{}, err
			}
			plan.Hidden = append(plan.Hidden, hidden...)
		}
	}
	plan.Letters = known.plan(letters)
	return plan, nil
}

func (q *RedriveQuery) scan(topic string) Scan {
	s := Scan{Kafka: q.Kafka, Topic: topic}
	if q.Progress != nil {
		s.Progress = q.Progress(topic)
	}
	return s
}

// redriveKnowledge is what the fate of letters is decided by.
type redriveKnowledge struct {
	redrives  map[string][]redrive // by state key
	outcomes  map[string]outcome   // by state key, of cases whose redrives may be forgotten
	again     bool
	validCase func(string) bool
}

// plan decides. Of the letters of one case that are to be looked at the newest
// goes: its trigger stands for all of them.
func (k *redriveKnowledge) plan(letters []Letter) []PlannedLetter {
	out := make([]PlannedLetter, len(letters))
	newest := make(map[string]int)
	for i := range letters {
		out[i] = PlannedLetter{Letter: letters[i]}
		p := &out[i]
		if p.Fate, p.Why = k.fate(&p.Letter); p.Fate != FateRedrive {
			continue
		}
		key := p.caseKey()
		before, known := newest[key]
		if known && newer(&out[before].Letter, &p.Letter) {
			p.Fate = FateCovered
			continue
		}
		if known {
			out[before].Fate = FateCovered
		}
		newest[key] = i
	}
	slices.SortFunc(out, func(a, b PlannedLetter) int {
		return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
	})
	return out
}

// newer says which of two letters of a case came last. Within a partition that is
// its order; letters of a case stand in several only if the partition count was
// changed.
func newer(a, b *Letter) bool {
	if a.Partition == b.Partition {
		return a.Offset > b.Offset
	}
	return a.At.After(b.At)
}

func (k *redriveKnowledge) fate(l *Letter) (fate Fate, why string) {
	switch {
	case l.Bare:
		return FateImpossible, "refused whole by a broker, the trigger is in the inbox only"
	case l.Trigger == nil:
		return FateImpossible, "no trigger, so nobody knows which case to look at"
	case !k.validCase(l.Trigger.CaseID):
		return FateImpossible, "the caseId is malformed"
	case k.again:
		return FateRedrive, ""
	}
	key := l.caseKey()
	if slices.ContainsFunc(k.redrives[key], func(r redrive) bool { return r.covers(l) }) {
		return FateRedriven, ""
	}
	if o, known := k.outcomes[key]; known && !o.marked && !o.waits && o.touched.After(l.At) {
		return FateDone, ""
	}
	return FateRedrive, ""
}

// covers says whether a redrive of a letter's case had the letter looked at too:
// it was made from this one or from a newer one. A redrive that is older than the
// letter was made from another topic of this name.
func (r redrive) covers(l *Letter) bool {
	if r.at.Before(l.At.Add(-clockSlack)) {
		return false
	}
	if r.letter.Partition == l.Partition {
		return r.letter.Offset >= l.Offset
	}
	return r.at.After(l.At)
}

// inboxSeen is what the inbox tells of redrives.
type inboxSeen struct {
	redrives   map[string][]redrive
	partitions int
	since      map[int32]time.Time // by partition: what is older it has forgotten; absent: nothing
	hidden     []Hidden
}

// readInbox collects the redrives of a topic's letters.
func readInbox(ctx context.Context, s Scan, letters string) (inboxSeen, error) {
	seen := inboxSeen{redrives: make(map[string][]redrive), since: make(map[int32]time.Time)}
	first := make(map[int32]time.Time)
	began := time.Now()
	all, hidden, err := s.read(ctx, nil, func(r *kgo.Record) error {
		if _, known := first[r.Partition]; !known {
			first[r.Partition] = r.Timestamp
		}
		from := redriveIn(r.Headers)
		if from == nil || from.Topic != letters {
			return nil
		}
		t, err := schemas.DecodeTrigger(r.Value)
		if err != nil {
			return nil //nolint:nilerr // somebody else's bytes: the publisher sends them to the dead letters
		}
		key := stateKeyOf(t.ClientID, t.CaseID)
		seen.redrives[key] = append(seen.redrives[key], redrive{letter: *from, at: r.Timestamp})
		return nil
	})
	if err != nil {
		return inboxSeen{}, err
	}
	seen.hidden = hidden
	for _, b := range all {
		seen.partitions = max(seen.partitions, int(b.partition)+1)
		if b.start == 0 || b.from > b.start {
			continue // it was there before the oldest letter
		}
		seen.since[b.partition] = began
		if at, some := first[b.partition]; some {
			seen.since[b.partition] = at
		}
	}
	return seen, nil
}

// forgotten are the cases, by state key, that have a letter of which the inbox may
// have forgotten a redrive.
func (s *inboxSeen) forgotten(letters []Letter) map[string]bool {
	out := make(map[string]bool)
	for i := range letters {
		l := &letters[i]
		if l.Trigger == nil {
			continue
		}
		since, some := s.since[s.partitionOf(l.Trigger.CaseID)]
		if some && l.At.Before(since) {
			out[l.caseKey()] = true
		}
	}
	return out
}

func (s *inboxSeen) partitionOf(caseID string) int32 {
	return int32(murmur2Partition([]byte(caseID), s.partitions)) //nolint:gosec // Kafka counts partitions in 32 bits
}

// readOutcomes reads what case-state says of some cases, given by state key. A
// case that it does not know is absent.
func readOutcomes(ctx context.Context, s Scan, keys map[string]bool, partitions int) (map[string]outcome, []Hidden, error) {
	where := inboxSeen{partitions: partitions} // equal counts: a state stands where its triggers do
	only := make(map[int32]bool)
	for key := range keys {
		_, caseID, _ := strings.Cut(key, "/")
		only[where.partitionOf(caseID)] = true
	}
	outcomes := make(map[string]outcome)
	_, hidden, err := s.read(ctx, only, func(r *kgo.Record) error {
		key := string(r.Key)
		if !keys[key] {
			return nil
		}
		delete(outcomes, key)
		if r.Value == nil {
			return nil
		}
		state, err := schemas.DecodeCaseState(r.Value)
		if err != nil {
			return nil //nolint:nilerr // quarantined: nothing is known, and its letters are not done
		}
		outcomes[key] = outcomeOf(&state)
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("look up cases: %w", err)
	}
	return outcomes, hidden, nil
}

func outcomeOf(s *schemas.CaseState) outcome {
	o := outcome{marked: s.DeadLettered != nil, waits: s.Retry != nil, touched: s.UpdatedAt}
	if s.LastReadAt != nil && s.LastReadAt.After(o.touched) {
		o.touched = *s.LastReadAt
	}
	return o
}
