package publish

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"postident-bridge/internal/scr"
)

// Design 2: a refused record is no fence. On Apache Kafka, too, its case goes to
// the dead letters, whichever topic refused it, and the others are published.
func TestRecordThatTheBrokerRefuses(t *testing.T) {
	t.Parallel()
	for name, of := range map[string]struct {
		topic func(Topics) string
		limit string
	}{
		"the event": {func(t Topics) string { return t.Status }, "8000"},
		"the state": {func(t Topics) string { return t.CaseState }, "2500"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onBoth(t, func(s *stage) {
				s.limitMessages(of.topic(s.topics), of.limit)
				cases := inPartition(0, 6)
				big := cases[3]
				for _, id := range cases {
					s.source.show(id, 1)
				}
				s.source.mu.Lock()
				c := s.source.cases[big]
				c.Identifications[0].Records = noise(400) // in the event
				for i, r := range noise(800) {            // in the state
					at := epoch.Add(time.Duration(i)*time.Hour + time.Duration(r.ID[0])*time.Minute + time.Duration(r.ID[1])*time.Second)
					c.Identifications = append(c.Identifications, scr.Identification{Method: scr.MethodVideo, Status: scr.StatusStarted, Created: at, Modified: at})
				}
				s.source.cases[big] = c
				s.source.mu.Unlock()
				for _, id := range cases {
					s.hook(id)
				}
				s.run(s.config())
				letter := s.read(s.topics.DeadLetter, count(1))[0]
				if string(letter.Key) != big || header(letter, "postident.error.reason") != reasonRefused {
					s.t.Errorf("letter of %s for %s", letter.Key, header(letter, "postident.error.reason"))
				}
				others := append(append([]string(nil), cases[:3]...), cases[4:]...)
				s.exactly(1, others...)
				s.exactly(0, big)
			})
		})
	}
}

// noise are records that no compression makes small.
func noise(n int) []scr.Record {
	records := make([]scr.Record, n)
	for i := range records {
		sum := sha256.Sum256([]byte{byte(i), byte(i >> 8)})
		records[i].ID = hex.EncodeToString(sum[:])
	}
	return records
}

// A topic may allow less than a client sends at once. No record is to blame then,
// and none goes to the dead letters: the batches become smaller.
func TestTopicThatAllowsOnlySmallBatches(t *testing.T) {
	t.Parallel()
	onBoth(t, func(s *stage) {
		s.limitMessages(s.topics.Status, "4000")
		cases := inPartition(0, 100)
		for round := 1; round <= 2; round++ {
			for _, id := range cases {
				s.source.show(id, round)
				s.hookAsync(id)
			}
			if err := s.client.Flush(s.t.Context()); err != nil {
				s.t.Fatal(err)
			}
			if round == 1 {
				s.run(s.config())
			}
			s.events(round * len(cases))
		}
		s.exactly(2, cases...)
		if n := s.end(s.topics.DeadLetter, 0) + s.end(s.topics.DeadLetter, 1) + s.end(s.topics.DeadLetter, 2); n > 0 {
			s.t.Errorf("%d offsets of the dead letters are used", n)
		}
	})
}

// The size of batches finds its place: it stops being refused, whatever fits, and
// one bad case does not make it smaller for good.
func TestBatchesShrinkToWhatFits(t *testing.T) {
	t.Parallel()
	for _, fits := range []int{1, 2, 3, 40, 250, 499} {
		var s suspects
		refusals, now := 0, epoch
		for range 100 {
			n := s.batch(now)
			if n > fits {
				refusals++
				s.blame(&recordRefusedError{Topic: "status", Err: errFenced}, &batch{looked: make([]string, n)}, "letters", now)
				s.begin(now)
			}
			now = now.Add(carefulFor)
		}
		if n := s.batch(now); n > fits || n <= fits/2-1 || refusals > 9 {
			t.Errorf("of %d that fit %d go at once, after %d refusals", fits, n, refusals)
		}
		before := s.batch(now)
		s.blame(&recordRefusedError{Topic: "status", Err: errFenced}, &batch{looked: make([]string, max(before, 2))}, "letters", now)
		s.begin(now)
		s.blame(&recordRefusedError{Topic: "status", Err: errFenced}, &batch{looked: []string{"bad"}}, "letters", now)
		if n := s.batch(now.Add(carefulFor)); n < before-1 {
			t.Errorf("one bad case left %d of %d", n, before)
		}
	}
}

// limitMessages sets max.message.bytes.
func (s *stage) limitMessages(topic, limit string) {
	s.t.Helper()
	change := []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: &limit}}
	if _, err := s.admin().AlterTopicConfigs(s.t.Context(), change, topic); err != nil {
		s.t.Fatal(err)
	}
}
