package publish

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Reasons of dead letters that no failed read gave, fit for a metric label.
const (
	reasonUnreadable     = "unreadable-trigger"
	reasonUnknownAccount = "unknown-account"
	reasonQuarantined    = "quarantined"
	reasonRefused        = "record-refused"
)

// deadLetter is a trigger that nothing more can be done for here.
type deadLetter struct {
	trigger  trigger
	key      string // caseId; of unreadable bytes the record's key as it came
	reason   string
	err      error
	attempts int
	first    time.Time // of the failures; zero when there was only one
}

func (w *worker) letter(t trigger, key, reason string, err error, attempts int) *deadLetter {
	return &deadLetter{trigger: t, key: key, reason: reason, err: err, attempts: attempts}
}

func (l *deadLetter) since(first time.Time) *deadLetter {
	l.first = first
	return l
}

// letterRecord is the trigger, unchanged, with the headers that Kafka Connect's
// dead letter queues have, so that tools which know those show ours; all values
// are text. Nothing in them is content: errors of package scr hold none.
func (w *worker) letterRecord(l *deadLetter) *kgo.Record {
	text := func(key, value string) kgo.RecordHeader { return kgo.RecordHeader{Key: key, Value: []byte(value)} }
	headers := append([]kgo.RecordHeader(nil), l.trigger.headers...)
	headers = append(headers,
		text("__connect.errors.topic", w.p.cfg.Topics.Inbox),
		text("__connect.errors.partition", strconv.Itoa(int(w.partition))),
		text("__connect.errors.offset", strconv.FormatInt(l.trigger.offset, 10)),
		text("__connect.errors.connector.name", "postident-bridge"),
		text("__connect.errors.task.id", strconv.Itoa(int(w.partition))),
		text("__connect.errors.stage", "TASK_PUT"),
		text("__connect.errors.class.name", "postident-bridge/publish"),
		text("__connect.errors.exception.class.name", fmt.Sprintf("%T", l.err)),
		text("__connect.errors.exception.message", l.err.Error()),
		text("postident.error.reason", l.reason),
		text("postident.error.attempts", strconv.Itoa(l.attempts)),
	)
	if !l.first.IsZero() {
		headers = append(headers, text("postident.error.first-seen", l.first.UTC().Format(time.RFC3339)))
	}
	value := l.trigger.value
	if w.hold.bare[l.trigger.offset] {
		value = nil
		headers = append(headers, text("postident.error.value", "refused by the broker; it stands in the inbox"))
	}
	return &kgo.Record{Topic: w.p.cfg.Topics.DeadLetter, Key: []byte(l.key), Value: value, Headers: headers}
}

// suspects outlives the workers of one owner: it remembers what a broker refused,
// so that the next worker does not try the same again. Owned by the owner's
// goroutine.
type suspects struct {
	until   time.Time
	refused map[string]bool // cases, by state key
	bare    map[int64]bool  // dead letters, by inbox offset, to be written without value
}

// careful says whether cases and dead letters go one at a time.
func (s *suspects) careful(now time.Time) bool { return now.Before(s.until) }

// blame remembers what a refused record says of the batch that it was in.
func (s *suspects) blame(err error, b *batch, now time.Time) {
	if _, refused := errors.AsType[*recordRefusedError](err); !refused {
		return
	}
	wasCareful := s.careful(now)
	s.until = now.Add(carefulFor)
	if s.refused == nil {
		s.refused, s.bare = make(map[string]bool), make(map[int64]bool)
	}
	switch {
	case !wasCareful:
	case len(b.letters) == 1 && len(b.events) == 0 && len(b.states) == 0:
		s.bare[b.letters[0].trigger.offset] = true
	case len(b.looked) == 1:
		s.refused[b.looked[0]] = true
	}
}
