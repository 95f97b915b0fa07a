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
	event := func(partition int32, epoch int16) {
		w.observe(&kgo.Record{Partition: partition, ProducerID: 5, ProducerEpoch: epoch})
	}
	event(0, 1)
	event(1, 1)
	before, _ := w.snapshot()
	event(0, 1)
	event(1, 2)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.recovered(gone, []int32{0, 1}, before); !errors.Is(err, context.Canceled) {
		t.Errorf("partition 0 has the old opening's events only, and the error is %v", err)
	}
	event(0, 2)
	last, err := w.recovered(gone, []int32{0, 1}, before)
	if err != nil {
		t.Fatal(err)
	}
	if now, _ := w.snapshot(); !last.Equal(now[0].seen) {
		t.Error("it did not end with the last partition's event")
	}
}
