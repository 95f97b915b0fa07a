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
	reasonUnreadable     = "unreadable_trigger"
	reasonUnknownAccount = "unknown_account"
	reasonQuarantined    = "quarantined"
	reasonRefused        = "record_refused"
	reasonDropped        = "dropped" // of a letter that was refused even bare; it is only counted
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
	key, value, headers := l.key, l.trigger.value, append([]kgo.RecordHeader(nil), l.trigger.headers...)
	if w.hold.refusals[l.trigger.offset] > 0 {
		// What the broker refused whole goes out bare; the record itself stands in
		// the inbox, at the coordinates below, for as long as that keeps it.
		key, value, headers = key[:min(len(key), maxBareKey)], nil, nil
		headers = append(headers, text("postident.error.value", "refused by the broker"))
	}
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
	return &kgo.Record{Topic: w.p.cfg.Topics.DeadLetter, Key: []byte(key), Value: value, Headers: headers}
}

// maxBareKey is how much of a refused dead letter's key is kept, in bytes.
const maxBareKey = 128

// suspects outlives the workers of one owner: it remembers what a broker refused,
// so that the next worker does not try the same again. Owned by the owner's
// goroutine.
type suspects struct {
	warned   bool                 // the next worker has to be careful
	until    time.Time            // how long the present worker is
	refused  map[string]time.Time // cases, by state key: until when they are not tried
	refusals map[int64]int        // of dead letters, by inbox offset
	most     int                  // cases and dead letters in one batch; 0: maxBatch
}

// begin starts the careful time of a worker that begins to work. It must not
// start earlier: a take-over may last longer than it.
func (s *suspects) begin(now time.Time) {
	if s.warned {
		s.warned, s.until = false, now.Add(carefulFor)
	}
}

// careful says whether cases and dead letters go one at a time.
func (s *suspects) careful(now time.Time) bool { return now.Before(s.until) }

// batch is how many cases and dead letters go into one transaction.
func (s *suspects) batch(now time.Time) int {
	switch {
	case s.careful(now):
		return 1
	case s.most > 0:
		return s.most
	}
	return maxBatch
}

// passed notes a transaction that was committed: batches that shrank grow again,
// once the careful time is over.
func (s *suspects) passed(now time.Time) {
	if s.most > 0 && !s.careful(now) {
		if s.most *= 2; s.most >= maxBatch {
			s.most = 0
		}
	}
}

// refuses says whether a case is not to be tried. After a while it is tried
// again, with care: the operator may have raised a limit.
func (s *suspects) refuses(key string, now func() time.Time) bool {
	until, known := s.refused[key]
	if !known {
		return false // as a rule, and without a look at the clock
	}
	if at := now(); !at.Before(until) {
		delete(s.refused, key)
		s.until = at.Add(carefulFor)
		return false
	}
	return true
}

// dropped says whether a dead letter was refused even bare.
func (s *suspects) dropped(l *deadLetter) bool { return s.refusals[l.trigger.offset] > 1 }

// blame remembers what a refused record says of the batch that it was in: its
// one dead letter, or its one case, is to blame; of several the next worker finds
// out which, by being careful. Maybe none is, and they are only too large
// together, for a topic that allows less than a client sends at once: so batches
// shrink, and grow again when one was to blame after all.
func (s *suspects) blame(err error, b *batch, deadLetters string, now time.Time) {
	refused, ok := errors.AsType[*recordRefusedError](err)
	if !ok {
		return
	}
	if s.refused == nil {
		s.refused, s.refusals = make(map[string]time.Time), make(map[int64]int)
	}
	s.warned = true
	cases := b.cases()
	switch {
	case refused.Topic == deadLetters && len(b.letters) == 1:
		s.refusals[b.letters[0].trigger.offset]++
		s.most = min(2*s.most, maxBatch)
	case refused.Topic != deadLetters && len(cases) == 1:
		s.refused[cases[0]] = now.Add(refusedFor)
		s.most = min(2*s.most, maxBatch)
	default:
		s.most = max(1, (len(cases)+len(b.letters))/2)
	}
}
