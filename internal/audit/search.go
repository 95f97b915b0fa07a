package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Hit is a needle found in a record. It does not repeat the needle, so that a
// report of hits can be printed.
type Hit struct {
	Needle    int // index into the needles
	Topic     string
	Partition int32
	Offset    int64
	// Part is key, value, "header name of <i>" or "header value of <i>" with the
	// header's index.
	Part string
}

// String names the place.
func (h Hit) String() string {
	return fmt.Sprintf("needle %d in the %s of %s/%d@%d", h.Needle, h.Part, h.Topic, h.Partition, h.Offset)
}

// SearchTopics looks for the needles, byte by byte, in the keys, values and
// headers of whole topics up to their end at the time of the call. It reads
// uncommitted, because what was aborted stands on the disk too. A topic that
// cannot be read in full is an error; an empty needle is one too.
func SearchTopics(ctx context.Context, opts []kgo.Opt, topics, needles []string) ([]Hit, error) {
	set, err := newNeedleSet(needles)
	if err != nil {
		return nil, err
	}
	var hits []Hit
	err = readTopics(ctx, opts, kgo.ReadUncommitted(), topics, func(r *kgo.Record) error {
		add := func(part string, data []byte) {
			for _, n := range set.in(data) {
				hits = append(hits, Hit{Needle: n, Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Part: part})
			}
		}
		add("key", r.Key)
		add("value", r.Value)
		for i, h := range r.Headers {
			add(fmt.Sprintf("header name of %d", i), []byte(h.Key))
			add(fmt.Sprintf("header value of %d", i), h.Value)
		}
		return nil
	})
	return hits, err
}

// Search returns the indexes of the needles that stand in data, ascending: the
// same search for what is no topic, such as logs. Its errors are those of
// SearchTopics.
func Search(data []byte, needles []string) ([]int, error) {
	set, err := newNeedleSet(needles)
	if err != nil {
		return nil, err
	}
	return set.in(data), nil
}

// needleSet finds many needles in one pass: a run has thousands of canaries,
// and searching each by itself would read the topics that often.
type needleSet struct {
	window  int // bytes by which needles are looked up, at most 8
	needles []string
	byStart map[string][]int
	first   [256]bool // bytes that a needle begins with
}

func newNeedleSet(needles []string) (*needleSet, error) {
	s := &needleSet{window: 8, needles: needles, byStart: make(map[string][]int, len(needles))}
	for i, n := range needles {
		if n == "" {
			return nil, fmt.Errorf("search: needle %d is empty", i)
		}
		s.window = min(s.window, len(n))
	}
	if len(needles) == 0 {
		return nil, errors.New("search: no needles")
	}
	for i, n := range needles {
		s.first[n[0]] = true
		s.byStart[n[:s.window]] = append(s.byStart[n[:s.window]], i)
	}
	return s, nil
}

func (s *needleSet) in(data []byte) []int {
	var found []int
	s.find(data, func(needle, _ int) { found = append(found, needle) })
	slices.Sort(found)
	return slices.Compact(found)
}

// find calls hit for every place where a needle stands.
func (s *needleSet) find(data []byte, hit func(needle, at int)) {
	for i := 0; i+s.window <= len(data); i++ {
		if !s.first[data[i]] {
			continue
		}
		for _, n := range s.byStart[string(data[i:i+s.window])] {
			needle := s.needles[n]
			if i+len(needle) <= len(data) && string(data[i:i+len(needle)]) == needle {
				hit(n, i)
			}
		}
	}
}
