package publish

import (
	"testing"
	"time"

	"postident-bridge/internal/scr"
)

// The oldest case that waits tells how long there is to mend what holds it up.
func TestDistanceFromDeletion(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	cfg := s.config()
	created := time.Now().Add(-80 * 24 * time.Hour).Truncate(time.Second)
	ids := inPartition(0, 3)
	for i, id := range ids {
		s.source.show(id, 1)
		c := s.source.cases[id]
		c.Status.Created = created.Add(time.Duration(i) * 24 * time.Hour)
		s.source.cases[id] = c
	}
	_, stop := s.run(cfg)
	for _, id := range ids {
		s.hook(id)
	}
	s.events(3)
	cfg.retry.Faults = []time.Duration{time.Hour}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	s.source.setFault(func(caseID string, _ int) error {
		if caseID == ids[0] {
			return nil // it is the oldest, and does not wait
		}
		return &scr.NotYetError{}
	})
	_, stop = s.run(cfg)
	s.hook(ids[1])
	s.hook(ids[2])
	s.awaitRetry(ids[1])
	s.awaitRetry(ids[2])
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	p, _ := s.run(cfg) // what waits is looked for at the start, and then once an hour
	want := created.Add(24*time.Hour + sourceLimit)
	s.until("the distance is told", func() bool {
		d, told := p.deletionDistance()[testClient]
		return told && time.Until(want)-d < time.Minute && d-time.Until(want) < time.Minute
	})
}
