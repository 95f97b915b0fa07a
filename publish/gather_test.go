package publish

import (
	"slices"
	"testing"
	"time"
)

// TestGather: a look waits for others only while others are under way, and only
// for a part of the time that it took; one that lists have shown waits for others
// of its kind.
func TestGather(t *testing.T) {
	t.Parallel()
	const listed = -2
	for name, tt := range map[string]struct {
		took    []time.Duration // of looks that are done, -1 for one without a read, listed for an observation
		running int             // of all
		want    time.Duration
	}{
		"nothing is done":                           {nil, 3, 0},
		"alone":                                     {[]time.Duration{time.Second}, 1, 0},
		"the last of several":                       {[]time.Duration{time.Second, time.Second}, 2, 0},
		"others are under way":                      {[]time.Duration{400 * time.Millisecond}, 2, 100 * time.Millisecond},
		"the most patient waits no longer":          {[]time.Duration{10 * time.Second}, 2, maxGather},
		"the least patient decides":                 {[]time.Duration{time.Second, 40 * time.Millisecond}, 3, 10 * time.Millisecond},
		"what came at once goes at once":            {[]time.Duration{time.Second, -1}, 3, 0},
		"what was read at once goes nearly at once": {[]time.Duration{8 * time.Millisecond}, 3, 2 * time.Millisecond},
		"what a list has shown waits for more":      {[]time.Duration{listed, listed}, 2, listGather},
		"it does not hold up the last read":         {[]time.Duration{listed, time.Second}, 2, 0},
		"nor does it after one":                     {[]time.Duration{time.Second, listed}, 2, 0},
		"nor one without a read":                    {[]time.Duration{listed, -1, listed}, 4, 0},
		"the more impatient of the two decides":     {[]time.Duration{listed, time.Second}, 3, time.Second / gatherShare},
		"nor when the transaction is full":          {slices.Repeat([]time.Duration{listed}, maxBatch), maxBatch, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &worker{p: &Publisher{cfg: Config{Now: func() time.Time { return epoch }}}, running: make(map[string]bool)}
			for i := range tt.running {
				w.running[caseName(i)] = true
			}
			for i, took := range tt.took {
				r := result{job: job{key: caseName(i)}}
				switch {
				case took >= 0:
					r.began = epoch.Add(-took)
				case took == listed:
					r.observed = new(snapshot)
				}
				w.settleSoon(r)
			}
			if got := w.gather(epoch); got != tt.want {
				t.Errorf("gathers for %v, want %v", got, tt.want)
			}
			if len(tt.took) > 0 && w.gather(epoch.Add(maxGather)) != 0 {
				t.Error("gathers without end")
			}
		})
	}
}
