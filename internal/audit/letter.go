package audit

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/schemas"
)

// Headers of a dead letter (docs/events.md, "Dead letters").
const (
	headerInboxTopic     = "__connect.errors.topic"
	headerInboxPartition = "__connect.errors.partition"
	headerInboxOffset    = "__connect.errors.offset"
	headerErrorClass     = "__connect.errors.exception.class.name"
	headerErrorText      = "__connect.errors.exception.message"
	headerReason         = "postident.error.reason"
	headerAttempts       = "postident.error.attempts"
	headerFirstSeen      = "postident.error.first-seen"
	headerBare           = "postident.error.value"
)

// Place is where a record stands.
type Place struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
}

// String names the place as topic/partition@offset.
func (p Place) String() string { return place(p.Topic, p.Partition, p.Offset) }

// Letter is a dead letter: a trigger that nothing more could be done for, and
// why. It holds no content of bytes that are not ours.
type Letter struct {
	Place
	At time.Time // when it was written
	// Trigger is nil if the value is none, and Unreadable says why.
	Trigger    *schemas.Trigger
	Unreadable error
	Key        []byte // as it came: of unreadable bytes it may be anything
	Size       int    // of the value, in bytes
	// Bare says that a broker refused the letter whole: its trigger stands in the
	// inbox only.
	Bare bool
	// What the headers say; zero where they say nothing.
	Reason     string
	ErrorClass string
	ErrorText  string
	Attempts   int
	FirstSeen  time.Time
	Inbox      *Place // where the trigger stands
	// RedrivenFrom is the letter that the trigger was redriven from before it came
	// here, if the headers tell; a trigger that waited for retries has lost them.
	RedrivenFrom *Place
	Others       int // headers that are none of ours
}

// letterOf reads a record of the dead letters, whoever wrote it.
func letterOf(r *kgo.Record) Letter {
	l := Letter{
		Place: Place{r.Topic, r.Partition, r.Offset}, At: r.Timestamp, Key: r.Key, Size: len(r.Value),
		Inbox:        placeIn(r.Headers, headerInboxTopic, headerInboxPartition, headerInboxOffset),
		RedrivenFrom: redriveIn(r.Headers),
	}
	if trigger, err := schemas.DecodeTrigger(r.Value); err == nil {
		l.Trigger = &trigger
	} else {
		l.Unreadable = err
	}
	// Of a name that stands twice the last counts: ours stand behind those that the
	// trigger had.
	for _, h := range r.Headers {
		switch text := string(h.Value); h.Key {
		case headerReason:
			l.Reason = text
		case headerErrorClass:
			l.ErrorClass = text
		case headerErrorText:
			l.ErrorText = text
		case headerAttempts:
			l.Attempts, _ = strconv.Atoi(text)
		case headerFirstSeen:
			l.FirstSeen, _ = time.Parse(time.RFC3339, text)
		case headerBare:
			l.Bare = true
		default:
			if !ourHeader(h.Key) {
				l.Others++
			}
		}
	}
	l.Reason = cmp.Or(l.Reason, "none")
	return l
}

func ourHeader(name string) bool {
	return slices.Contains([]string{
		headerInboxTopic, headerInboxPartition, headerInboxOffset,
		"__connect.errors.connector.name", "__connect.errors.task.id", "__connect.errors.stage", "__connect.errors.class.name",
		schemas.HeaderRedriveTopic, schemas.HeaderRedrivePartition, schemas.HeaderRedriveOffset,
	}, name)
}

// placeIn reads a place from three headers, nil if they name none.
func placeIn(headers []kgo.RecordHeader, topic, partition, offset string) *Place {
	last := func(name string) string {
		values := valuesOf(headers, name)
		if len(values) == 0 {
			return ""
		}
		return string(values[len(values)-1])
	}
	p, err1 := strconv.ParseInt(last(partition), 10, 32)
	o, err2 := strconv.ParseInt(last(offset), 10, 64)
	if last(topic) == "" || err1 != nil || err2 != nil {
		return nil
	}
	return &Place{last(topic), int32(p), o}
}

// redriveIn is the letter that a redriven trigger was made from.
func redriveIn(headers []kgo.RecordHeader) *Place {
	return placeIn(headers, schemas.HeaderRedriveTopic, schemas.HeaderRedrivePartition, schemas.HeaderRedriveOffset)
}

// caseKey is the key that the letter's case has in case-state, "" if the letter
// names none.
func (l *Letter) caseKey() string {
	if l.Trigger == nil {
		return ""
	}
	return stateKeyOf(l.Trigger.ClientID, l.Trigger.CaseID)
}

func stateKeyOf(clientID, caseID string) string { return clientID + "/" + caseID }

// LetterFilter chooses dead letters. A field without a value chooses all.
type LetterFilter struct {
	Accounts, Cases, Reasons []string
	Since, Until             time.Time // of writing: from Since on, before Until
	At                       *Place    // the one that stands there, in whatever topic is read
}

// Matches says whether the filter chooses a letter. A letter of unreadable bytes
// has no account, and the case that its key names.
func (f *LetterFilter) Matches(l *Letter) bool {
	account, caseID := "", string(l.Key)
	if l.Trigger != nil {
		account, caseID = l.Trigger.ClientID, l.Trigger.CaseID
	}
	return chosen(f.Accounts, account) && chosen(f.Cases, caseID) && chosen(f.Reasons, l.Reason) &&
		(f.At == nil || f.At.Partition == l.Partition && f.At.Offset == l.Offset) &&
		(f.Since.IsZero() || !l.At.Before(f.Since)) && (f.Until.IsZero() || l.At.Before(f.Until))
}

// ReadLetters visits the dead letters that a filter chooses, by partition and
// offset.
func ReadLetters(ctx context.Context, s Scan, f LetterFilter, visit func(Letter)) ([]Hidden, error) {
	s.Since = f.Since
	var only map[int32]bool
	if f.At != nil {
		only = map[int32]bool{f.At.Partition: true}
	}
	_, hidden, err := s.read(ctx, only, func(r *kgo.Record) error {
		if l := letterOf(r); f.Matches(&l) {
			visit(l)
		}
		return nil
	})
	return hidden, err
}

// LetterSummary sums up the dead letters of one reason.
type LetterSummary struct {
	Reason  string    `json:"reason"`
	Letters int       `json:"letters"`
	Cases   int       `json:"cases"` // that readable letters name
	Oldest  time.Time `json:"oldest"`
	Newest  time.Time `json:"newest"`
	// What the oldest and the newest say.
	FirstError string `json:"firstError"`
	LastError  string `json:"lastError"`
}

// LetterCount sums up dead letters by reason. Its zero value has none.
type LetterCount struct {
	reasons map[string]*LetterSummary
	cases   map[string]map[string]bool // by reason
}

// Add counts a letter.
func (c *LetterCount) Add(l *Letter) {
	if c.reasons == nil {
		c.reasons, c.cases = make(map[string]*LetterSummary), make(map[string]map[string]bool)
	}
	s := c.reasons[l.Reason]
	if s == nil {
		s = &LetterSummary{Reason: l.Reason, Oldest: l.At, Newest: l.At, FirstError: l.ErrorText, LastError: l.ErrorText}
		c.reasons[l.Reason], c.cases[l.Reason] = s, make(map[string]bool)
	}
	s.Letters++
	if key := l.caseKey(); key != "" {
		c.cases[l.Reason][key] = true
		s.Cases = len(c.cases[l.Reason])
	}
	if l.At.Before(s.Oldest) {
		s.Oldest, s.FirstError = l.At, l.ErrorText
	}
	if !l.At.Before(s.Newest) {
		s.Newest, s.LastError = l.At, l.ErrorText
	}
}

// Summaries are the sums, the most frequent reason first.
func (c *LetterCount) Summaries() []LetterSummary {
	out := make([]LetterSummary, 0, len(c.reasons))
	for _, reason := range slices.Sorted(maps.Keys(c.reasons)) {
		out = append(out, *c.reasons[reason])
	}
	slices.SortStableFunc(out, func(a, b LetterSummary) int { return cmp.Compare(b.Letters, a.Letters) })
	return out
}
