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
	// Unreadable is a value that is not ours. This and what follows only Judge
	// finds.
	Unreadable
	// Aborted is a record that shows to read-committed readers though its
	// transaction was aborted or has no end, or that does not show though its
	// transaction was committed.
	Aborted
	// Unfenced is a write that fencing should have refused: outside of a
	// transaction, of a producer epoch that was over, or of an owner of a
	// partition whose successor had begun.
	Unfenced
	// Unwritten is a webhook that was answered 200 and has no trigger.
	Unwritten
	// StateDiffers is a case-state that does not say what was published.
	StateDiffers
	// ResultLost is a final event without the result that belongs to it.
	ResultLost
	// Torn is a result that was not written in the transaction of its event.
	Torn
	// RecordLost is a record that the API gave, the class may have and an event that
	// says all are stored does not refer to.
	RecordLost
	// BadReference is a reference without its object in the store, or to one that
	// holds something else.
	BadReference
	// Oversized is a record of a topic with a value above MaxValue.
	Oversized
	// ContentShown is content of a binary record outside of the store.
	ContentShown
	// DeadLettered is a dead letter that nothing explains.
	DeadLettered
	// Unfinished is work that waits though all should be done: triggers above
	// the position, retries, open transactions, records that are pending.
	Unfinished
	// Leaked is a canary where no personal data may be, or what the account's class
	// must not have anywhere.
	Leaked
	// SecretShown is a credential where it may not be.
	SecretShown
	kinds int = iota
)

var kindNames = [kinds]string{
	"lost", "doubled", "out of order", "gaps", "chain breaks", "invented", "mismatched", "misplaced",
	"unreadable", "aborted shown", "unfenced", "webhooks lost", "states differ",
	"results lost", "torn", "records lost", "references broken", "oversized", "contents shown", "dead letters", "unfinished", "canaries", "secrets",
}

// Kinds are all kinds, in the order of a report.
func Kinds() []Kind {
	all := make([]Kind, kinds)
	for i := range all {
		all[i] = Kind(i)
	}
	return all
}

// String is the kind as a report counts it.
func (k Kind) String() string {
	if k < 0 || int(k) >= kinds {
		return fmt.Sprintf("kind %d", int(k))
	}
	return kindNames[k]
}

// MarshalText is the kind with underscores, for JSON.
func (k Kind) MarshalText() ([]byte, error) {
	return []byte(strings.ReplaceAll(k.String(), " ", "_")), nil
}

// Finding is one thing that is wrong. It holds pseudonyms and coordinates, no
// personal data.
type Finding struct {
	Kind Kind `json:"kind"`
	// The case, as far as the finding is about one.
	ClientID    string    `json:"clientId,omitempty"`
	CaseID      string    `json:"caseId,omitempty"`
	CaseCreated time.Time `json:"caseCreated,omitzero"`
	// Where is the record as topic/partition@offset, "" for a lost change.
	Where string `json:"where,omitempty"`
	// Sequence is the event's, 0 for what is no event.
	Sequence int64 `json:"sequence,omitempty"`
	// Detail says what was expected and what stands there.
	Detail string `json:"detail"`
}

// String is the finding as one line.
func (f Finding) String() string {
	parts := make([]string, 0, 3)
	switch {
	case f.ClientID != "" && !f.CaseCreated.IsZero():
		parts = append(parts, fmt.Sprintf("case %s/%s (created %s)", f.ClientID, f.CaseID, stamp(f.CaseCreated)))
	case f.ClientID != "":
		parts = append(parts, fmt.Sprintf("case %s/%s", f.ClientID, f.CaseID))
	case f.CaseID != "":
		parts = append(parts, "case "+f.CaseID)
	}
	switch {
	case f.Sequence > 0:
		parts = append(parts, fmt.Sprintf("event %d at %s", f.Sequence, f.Where))
	case f.Where != "":
		parts = append(parts, "at "+f.Where)
	}
	if len(parts) == 0 {
		return f.Kind.String() + ": " + f.Detail
	}
	return f.Kind.String() + ": " + strings.Join(parts, ", ") + ": " + f.Detail
}

// Report is what Compare found.
type Report struct {
	// Changes counts the changes of the truth that are events by the rules, seen
	// or not; Events counts the records read.
	Changes int `json:"changes"`
	Events  int `json:"events"`
	// Superseded counts seen changes without an event whose identification went
	// on: a later state was told, or nothing more was to be told (P3).
	Superseded int `json:"superseded"`
	// Completed counts the events that brought the records of another one.
	Completed int `json:"completed,omitempty"`
	// Unseen counts changes that no answer showed: nobody could publish them.
	Unseen int `json:"unseen"`
	// Findings is everything that is wrong: per case in topic order, then what
	// was lost.
	Findings []Finding `json:"findings"`
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
	if r.Completed > 0 {
		fmt.Fprintf(&b, ", %d with records that came late", r.Completed)
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
