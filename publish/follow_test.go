package publish

import (
	"maps"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"postident-bridge/schemas"
)

// positions are those in case-state, by partition.
func (s *stage) positions() map[int32]int64 {
	s.t.Helper()
	ends, err := kadm.NewClient(s.client).ListEndOffsets(s.t.Context(), s.topics.CaseState)
	if err != nil {
		s.t.Fatal(err)
	}
	client := s.newClient(kgo.ConsumeTopics(s.topics.CaseState), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.KeepControlRecords())
	defer client.Close()
	at, reached := make(map[int32]int64), make(map[int32]int64)
	for done := false; !done; {
		for _, rec := range client.PollFetches(s.t.Context()).Records() {
			reached[rec.Partition] = rec.Offset + 1
			if position, err := schemas.DecodePosition(rec.Value); err == nil && string(rec.Key) == schemas.PositionKey {
				at[rec.Partition] = position.Offset
			}
		}
		done = true
		ends.Each(func(end kadm.ListedOffset) { done = done && reached[end.Partition] >= end.Offset })
	}
	return at
}

// groupOffsets are those that lag monitoring sees.
func (s *stage) groupOffsets() map[int32]int64 {
	s.t.Helper()
	fetched, err := kadm.NewClient(s.client).FetchOffsets(s.t.Context(), "test.process")
	if err != nil {
		s.t.Fatal(err)
	}
	at := make(map[int32]int64)
	fetched.Each(func(o kadm.OffsetResponse) { at[o.Partition] = o.At })
	return at
}

// commits counts the commits of group offsets, and answers them with code.
func (s *stage) commits(code int16) *atomic.Int64 {
	var n atomic.Int64
	s.cluster.ControlKey(kmsg.OffsetCommit.Int16(), func(req kmsg.Request) (kmsg.Response, error, bool) {
		s.cluster.KeepControl()
		n.Add(1)
		if code == 0 {
			return nil, nil, false
		}
		resp := req.ResponseKind().(*kmsg.OffsetCommitResponse)
		for _, t := range req.(*kmsg.OffsetCommitRequest).Topics {
			answer := kmsg.NewOffsetCommitResponseTopic()
			answer.Topic, answer.TopicID = t.Topic, t.TopicID
			for _, p := range t.Partitions {
				part := kmsg.NewOffsetCommitResponseTopicPartition()
				part.Partition, part.ErrorCode = p.Partition, code
				answer.Partitions = append(answer.Partitions, part)
			}
			resp.Topics = append(resp.Topics, answer)
		}
		return resp, nil, true
	})
	return &n
}

// After a stop the group's offsets are the positions: lag monitoring shows what
// waits, and no more.
func TestGroupOffsetsArePositionsAfterAStop(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	commits := s.commits(0)
	began := time.Now()
	_, stop := s.run(s.config())
	const cases = 200
	for i := range cases {
		s.source.show(caseName(i), 1)
		s.hook(caseName(i))
	}
	s.events(cases)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	want, got := s.positions(), s.groupOffsets()
	if len(want) != testPartitions || !maps.Equal(got, want) {
		t.Errorf("the group is at %v, the positions are %v", got, want)
	}
	sum := int64(0)
	for _, at := range got {
		sum += at
	}
	if sum != cases {
		t.Errorf("positions %v do not show %d hooks", got, cases)
	}
	most := int64(time.Since(began)/defaultTimings().followInterval) + testPartitions // and one more at the stop
	if n := commits.Load(); n > most {
		t.Errorf("%d commits of offsets for %d cases, %d at most in this time", n, cases, most)
	}
}

// Partitions that move take their offsets along.
func TestGroupOffsetsMoveWithTheirPartitions(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	const cases = 60
	var stops []func() error
	for round := 1; round <= 2; round++ {
		p, stop := s.run(s.config())
		stops = append(stops, stop)
		s.await("its share of the partitions", func() bool {
			working, waiting := p.ownership()
			return working > 0 && waiting == 0
		})
		for i := range cases {
			s.source.show(caseName(i), round)
			s.hook(caseName(i))
		}
		s.events(round * cases)
	}
	for _, stop := range stops {
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	}
	if want, got := s.positions(), s.groupOffsets(); !maps.Equal(got, want) {
		t.Errorf("the group is at %v, the positions are %v", got, want)
	}
}

// Lag monitoring is no reason to wait: whatever becomes of its commits, events go
// on, and a stop ends in time.
func TestGroupOffsetsHoldUpNothing(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(*stage) *atomic.Int64{
		"refused": func(s *stage) *atomic.Int64 { return s.commits(25) }, // UNKNOWN_MEMBER_ID
		"no answer": func(s *stage) *atomic.Int64 {
			var n atomic.Int64
			answer := make(chan struct{})
			s.t.Cleanup(func() { close(answer) })
			s.cluster.ControlKey(kmsg.OffsetCommit.Int16(), func(kmsg.Request) (kmsg.Response, error, bool) {
				s.cluster.KeepControl()
				n.Add(1)
				s.cluster.SleepControl(func() { <-answer })
				return nil, nil, false
			})
			return &n
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			commits := fail(s)
			_, stop := s.run(s.config())
			s.source.show(caseName(1), 1)
			s.hook(caseName(1))
			s.events(1)
			s.await("a commit", func() bool { return commits.Load() > 0 })
			s.source.show(caseName(1), 2)
			s.hook(caseName(1))
			s.events(2)
			began := time.Now()
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("the stop took %s", took)
			}
		})
	}
}
