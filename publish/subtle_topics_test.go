package publish

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Design 2: the inbox's position names its topic. One that was recreated between
// two runs is read from its start, though the old position lies inside it.
func TestInboxRecreatedBetweenRuns(t *testing.T) {
	t.Parallel()
	onBoth(t, func(s *stage) {
		cases := []string{caseName(0), caseName(1), caseName(2), caseName(3)}
		_, stop := s.run(s.config())
		s.move(1, cases...)
		s.exactly(1, cases...)
		if err := stop(); err != nil {
			s.t.Fatal(err)
		}
		s.recreate(s.topics.Inbox)
		s.move(2, cases...) // at offsets that the old topic had, too
		s.run(s.config())
		s.exactly(2, cases...)
	})
}

// The same while running: nobody tells the consumer, which only falls silent.
func TestInboxRecreatedWhileRunning(t *testing.T) {
	t.Parallel()
	onBoth(t, func(s *stage) {
		cases := []string{caseName(0), caseName(1), caseName(2), caseName(3)}
		s.run(s.config())
		s.move(1, cases...)
		s.exactly(1, cases...)
		s.recreate(s.topics.Inbox)
		s.move(2, cases...)
		s.exactly(2, cases...)
	})
}

// A case-state that was recreated while running knows nothing of what was
// published. The process ends, and tells why.
func TestCaseStateRecreatedWhileRunningIsRefused(t *testing.T) {
	t.Parallel()
	onBoth(t, func(s *stage) {
		ended := s.runToItsEnd(s.config())
		s.move(1, caseName(0))
		s.events(1)
		s.recreate(s.topics.CaseState)
		endsRefused(s.t, ended, "recreated")
	})
}

// A worker may fall, and open anew, before the watch has seen that case-state was
// recreated: its table is empty then, and every case would begin again.
func TestRecreatedCaseStateIsNotRestored(t *testing.T) {
	t.Parallel()
	onBoth(t, func(s *stage) {
		cfg := s.config()
		cfg.timings = s.soon()
		cfg.timings.inspectInterval = time.Hour // no watch
		ended := s.runToItsEnd(cfg)
		s.move(1, caseName(0))
		s.events(1)
		s.recreate(s.topics.CaseState)
		s.stray(partitionOf(caseName(0), testPartitions))
		s.hook(caseName(0)) // a state that was published long ago
		endsRefused(s.t, ended, "recreated")
		if n := len(s.events(1)[caseName(0)]); n != 1 {
			s.t.Errorf("%d events", n)
		}
	})
}

// A changed partition count puts cases where their state is not.
func TestChangedPartitionCountIsRefused(t *testing.T) {
	t.Parallel()
	grow := func(s *stage) {
		s.t.Helper()
		grown, err := s.admin().UpdatePartitions(s.t.Context(), testPartitions+2, s.topics.CaseState, s.topics.Inbox)
		if err := errors.Join(err, grown.Error()); err != nil {
			s.t.Fatal(err)
		}
	}
	t.Run("while running", func(t *testing.T) {
		t.Parallel()
		onBoth(t, func(s *stage) {
			ended := s.runToItsEnd(s.config())
			s.move(1, caseName(0))
			s.events(1)
			grow(s)
			endsRefused(s.t, ended, "partition")
		})
	})
	t.Run("between runs", func(t *testing.T) {
		t.Parallel()
		onBoth(t, func(s *stage) {
			_, stop := s.run(s.config())
			s.move(1, caseName(0))
			s.events(1)
			if err := stop(); err != nil {
				s.t.Fatal(err)
			}
			grow(s)
			endsRefused(s.t, s.runToItsEnd(s.config()), "partition")
		})
	})
}

// runToItsEnd starts a publisher that is to end by itself.
func (s *stage) runToItsEnd(cfg Config) <-chan error {
	s.t.Helper()
	p, err := New(cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended, gone := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(gone)
		ended <- p.Run(ctx)
	}()
	s.t.Cleanup(func() { cancel(); <-gone })
	return ended
}

// endsRefused waits for the end of a publisher, which names its reason.
func endsRefused(t *testing.T, ended <-chan error, reason string) {
	t.Helper()
	select {
	case err := <-ended:
		if refused := (*RefusedError)(nil); !errors.As(err, &refused) || !strings.Contains(err.Error(), reason) {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(time.Minute):
		t.Error("it goes on")
	}
}

// recreate deletes a topic and creates it again under its name.
func (s *stage) recreate(topic string) {
	s.t.Helper()
	gone := func(err error) bool {
		return err == nil || errors.Is(err, kerr.UnknownTopicOrPartition) || errors.Is(err, kerr.UnknownTopicID) // deleted by a first try
	}
	if _, err := s.admin().DeleteTopic(s.t.Context(), topic); !gone(err) {
		s.t.Fatal(err)
	}
	s.until("the topic is gone, and there again", func() bool {
		_, err := s.admin().CreateTopic(s.t.Context(), testPartitions, 1, nil, topic)
		return err == nil
	})
	s.client = s.newClient() // the old one knows the old topic
}
