package bench

import (
	"testing"
	"time"
)

func TestTripsPairWebhooksWithEvents(t *testing.T) {
	t.Parallel()
	begin := time.Unix(1000, 0)
	at := func(ms int) time.Time { return begin.Add(time.Duration(ms) * time.Millisecond) }
	trips := newTrips()
	trips.countFrom(at(10))
	arrive := func(caseID string, ms int) { trips.arrived[caseID] = append(trips.arrived[caseID], at(ms)) }

	trips.sending("EARLY", at(5)) // in the warm-up
	trips.taken("EARLY")
	arrive("EARLY", 400)
	trips.sending("AGAIN", at(20)) // its first attempt is refused
	trips.sending("AGAIN", at(50))
	arrive("AGAIN", 90) // the event may come before the answer is read
	trips.taken("AGAIN")
	trips.sending("AGAIN", at(100)) // the second change
	trips.taken("AGAIN")
	arrive("AGAIN", 130)

	took, err := trips.counted()
	if err != nil {
		t.Fatal(err)
	}
	if len(took) != 2 || took[0] != 70*time.Millisecond || took[1] != 30*time.Millisecond {
		t.Errorf("took %v, want 70ms and 30ms", took)
	}
	trips.sending("LOST", at(200))
	trips.taken("LOST")
	if took, err := trips.counted(); err == nil {
		t.Errorf("a webhook without an event: %v", took)
	}
}
