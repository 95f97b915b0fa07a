package bench

import (
	"strings"
	"testing"
	"time"
)

func TestDocumentIsFoundAmongOtherLines(t *testing.T) {
	t.Parallel()
	found := make(chan summary, 2)
	line := document(found)
	for text := range strings.Lines("backfill: 10 cases\n{\n  \"cases\": 7,\n  \"requests\": 2\n}\n{\n  \"cases\": 8\n}\n") {
		line(strings.TrimSuffix(text, "\n"))
	}
	close(found)
	if got := <-found; got != (summary{Cases: 7, Requests: 2}) {
		t.Errorf("got %+v", got)
	}
	if _, more := <-found; more {
		t.Error("found a second one")
	}
}

func TestSumOfMetric(t *testing.T) {
	t.Parallel()
	text := `# HELP events_total Events.
events_total{account="A",method="eid"} 12
events_total{account="B"} 1e+06
events_total_more{account="B"} 5
more_events_total 5
`
	if got, err := sumOfMetric(strings.NewReader(text), "events_total"); err != nil || got != 1_000_012 {
		t.Errorf("got %d, %v", got, err)
	}
	if got, err := sumOfMetric(strings.NewReader(text), "none_total"); err != nil || got != 0 {
		t.Errorf("one that is not there: got %d, %v", got, err)
	}
	if _, err := sumOfMetric(strings.NewReader("events_total x\n"), "events_total"); err == nil {
		t.Error("no number: no error")
	}
}

func TestTenths(t *testing.T) {
	t.Parallel()
	values := make([]float64, 30)
	for i := range values {
		values[i] = float64(i)
	}
	if first, last, err := tenths(values); err != nil || first != 1 || last != 28 {
		t.Errorf("got %v, %v, %v", first, last, err)
	}
	if _, _, err := tenths(values[:9]); err == nil {
		t.Error("too few: no error")
	}
}

// A list may show the second before its window: no other history lies there.
func TestPastsDoNotTouch(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 2, 9, 30, 0, 5, time.UTC)
	until := now
	for _, h := range pastOf(now, 100, 1_000_000, 1_000_000) {
		if gap := until.Sub(h.Until); gap < time.Hour || gap > time.Hour+time.Second {
			t.Errorf("%v between a history and what comes after it", gap)
		}
		if !h.From.Before(h.Until) || !h.From.Equal(h.From.Truncate(time.Second)) {
			t.Errorf("from %v until %v", h.From, h.Until)
		}
		until = h.From
	}
}
