package lab

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func TestQuantile(t *testing.T) {
	t.Parallel()
	var of []time.Duration
	for i := 30; i > 0; i-- {
		of = append(of, time.Duration(i)*time.Second)
	}
	for q, want := range map[float64]string{0: "1s", 0.5: "15s", 0.9: "27s", 0.99: "30s", 1: "30s"} {
		if got := quantile(of, q); got.String() != want {
			t.Errorf("quantile %v is %s, want %s", q, got, want)
		}
	}
	if got := quantile(nil, 0.5); got != 0 {
		t.Errorf("of nothing it is %s", got)
	}
}

func TestBars(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		r   Recovery
		met bool
	}{
		"met":               {Recovery{Kills: []time.Duration{12 * time.Second}, Stops: []time.Duration{time.Second}}, true},
		"a kill too slow":   {Recovery{Kills: []time.Duration{12001 * time.Millisecond}, Stops: []time.Duration{time.Second}}, false},
		"a stop too slow":   {Recovery{Kills: []time.Duration{time.Second}, Stops: []time.Duration{1001 * time.Millisecond}}, false},
		"nothing was tried": {Recovery{}, false},
	} {
		if got := tc.r.Met(); got != tc.met {
			t.Errorf("%s: met is %v", name, got)
		}
	}
}

// Only an event of another opening ends a recovery, in each partition.
func TestRecoveredByAnotherOpening(t *testing.T) {
	t.Parallel()
	w := newWatcher()
	rec := func(partition int32, epoch int16) *kgo.Record {
		return &kgo.Record{Partition: partition, ProducerID: 5, ProducerEpoch: epoch}
	}
	w.opened(rec(0, 1))
	w.opened(rec(1, 1))
	w.observe(rec(0, 2))
	w.observe(rec(1, 2))
	before, _ := w.snapshot()
	w.observe(rec(0, 3)) // another transaction of the same opening
	w.opened(rec(1, 4))
	w.observe(rec(1, 5))
	w.opened(rec(0, 5))
	w.observe(rec(0, 4)) // the old opening's last words
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.recovered(gone, []int32{0, 1}, before); !errors.Is(err, context.Canceled) {
		t.Errorf("partition 0 has the old opening's events only, and the error is %v", err)
	}
	w.observe(rec(0, 6))
	last, err := w.recovered(gone, []int32{0, 1}, before)
	if err != nil {
		t.Fatal(err)
	}
	if now, _ := w.snapshot(); !last.Equal(now[0].seen) {
		t.Error("it did not end with the last partition's event")
	}
}

// A bridge that has been given partitions a moment ago is not taken away yet.
func TestCalmBeginsAnewWithEveryMove(t *testing.T) {
	t.Parallel()
	var c calm
	owners := map[string][]int32{"a": {0}, "b": {1}}
	openers := map[int32]opener{0: {producer: producer{5, 1}}, 1: {producer: producer{6, 1}}}
	at := func(second int) time.Time { return time.Unix(int64(second), 0) }
	lasts := func(second int, want time.Duration) {
		t.Helper()
		if got := c.lasts(owners, openers, at(second)); got != want {
			t.Errorf("after %d s it lasts %s, want %s", second, got, want)
		}
	}
	lasts(0, 0)
	lasts(2, 2*time.Second)
	openers[1] = opener{producer: producer{6, 1}, latest: at(3)} // another event only
	lasts(3, 3*time.Second)
	openers = map[int32]opener{0: openers[0], 1: {producer: producer{6, 9}}}
	lasts(4, 0)
	owners = map[string][]int32{"a": {1}, "b": {0}}
	lasts(5, 0)
	lasts(6, time.Second)
}
