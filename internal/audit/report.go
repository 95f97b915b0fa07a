package audit

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Kind is what is wrong with an event or a change.
type Kind int

// The kinds, in the order in which a report counts them.
const (
	// Lost is a change that was seen and has no event, nor a later state of its
	// identification that excuses it.
	Lost Kind = iota
	// Doubled is a change with a second event, or an eventId that stands twice.
	Doubled
	// OutOfOrder is an event after one of a later change, or a sequence that
	// goes back.
	OutOfOrder
	// Gap is a sequence that leaves out numbers.
	Gap
	// BrokenChain is a previousEventHash that is not the SHA-256 of the value of
	// the event before.
	BrokenChain
	// Invented is an event of a change that never happened.
	Invented
	// Mismatch is an event that contradicts itself (value and headers, key) or
	// the change that it tells (status type, class, times).
	Mismatch
	// Misplaced is an event in another partition than its case or its key has.
	Misplaced
	kinds int = iota
)

var kindNames = [kinds]string{
	"lost", "doubled", "out of order", "gaps", "chain breaks", "invented", "mismatched", "misplaced",
}

// String is the kind as a report counts it.
func (k Kind) String() string {
	if k < 0 || int(k) >= kinds {
		return fmt.Sprintf("kind %d", int(k))
	}
	return kindNames[k]
}

// Finding is one thing that is wrong. It holds pseudonyms and coordinates, no
// personal data.
type Finding struct {
	Kind        Kind
	ClientID    string
	CaseID      string
	CaseCreated time.Time
	// Where is the record as topic/partition@offset, "" for a lost change.
	Where string
	// Sequence is the event's, 0 for a lost change.
	Sequence int64
	// Detail says what was expected and what stands there.
	Detail string
}

// String is the finding as one line.
func (f Finding) String() string {
	s := fmt.Sprintf("%v: case %s/%s (created %s)", f.Kind, f.ClientID, f.CaseID, stamp(f.CaseCreated))
	if f.Where != "" {
		s += fmt.Sprintf(", event %d at %s", f.Sequence, f.Where)
	}
	return s + ": " + f.Detail
}

// Report is what Compare found.
type Report struct {
	// Changes counts the changes of the truth that are events by the rules, seen
	// or not; Events counts the records read.
	Changes, Events int
	// Superseded counts seen changes without an event whose identification went
	// on: a later state was told, or nothing more was to be told (P3).
	Superseded int
	// Unseen counts changes that no answer showed: nobody could publish them.
	Unseen int
	// Findings is everything that is wrong: per case in topic order, then what
	// was lost.
	Findings []Finding
}

// Count is the number of findings of a kind.
func (r *Report) Count(k Kind) int {
	n := 0
	for i := range r.Findings {
		if r.Findings[i].Kind == k {
			n++
		}
	}
	return n
}

// String is the summary in one line: "verified: 7 changes, 7 events, 0 lost, 0
// doubled, 0 out of order", with further counts where they are not zero. With
// findings it begins with "not verified".
func (r *Report) String() string {
	var b strings.Builder
	if len(r.Findings) > 0 {
		b.WriteString("not ")
	}
	fmt.Fprintf(&b, "verified: %d changes, %d events", r.Changes, r.Events)
	for k := range Kind(kinds) {
		if n := r.Count(k); n > 0 || k <= OutOfOrder {
			fmt.Fprintf(&b, ", %d %v", n, k)
		}
	}
	if r.Superseded > 0 {
		fmt.Fprintf(&b, ", %d superseded", r.Superseded)
	}
	if r.Unseen > 0 {
		fmt.Fprintf(&b, ", %d unseen", r.Unseen)
	}
	return b.String()
}

// errFindings is how many findings an error spells out.
const errFindings = 20

// Err is nil when nothing is wrong, else the summary and the first findings,
// one a line.
func (r *Report) Err() error {
	if len(r.Findings) == 0 {
		return nil
	}
	var b strings.Builder
	b.WriteString(r.String())
	for i := range r.Findings[:min(len(r.Findings), errFindings)] {
		b.WriteString("\n\t" + r.Findings[i].String())
	}
	if more := len(r.Findings) - errFindings; more > 0 {
		fmt.Fprintf(&b, "\n\tand %d more", more)
	}
	return errors.New(b.String())
}
