package scrsim

import (
	"sync/atomic"
	"time"
)

// clock maps real time to simulated time. It is immutable but for its skew,
// which its copies share.
type clock struct {
	origin time.Time // real, with its monotonic reading
	start  time.Time // simulated time at origin
	scale  float64
	skew   *atomic.Int64 // simulated nanoseconds by which it is wrong
}

func newClock(origin, start time.Time, scale float64) clock {
	return clock{origin: origin, start: start, scale: scale, skew: new(atomic.Int64)}
}

// now is the simulated time.
func (c clock) now() time.Time { return c.at(time.Now()) }

// at is the simulated time at the real time t.
func (c clock) at(t time.Time) time.Time {
	return c.start.Add(time.Duration(float64(t.Sub(c.origin))*c.scale) + time.Duration(c.skew.Load()))
}

// compressed is how long d of simulated time takes.
func (c clock) compressed(d time.Duration) time.Duration {
	return time.Duration(float64(d) / c.scale)
}

// wireTime is the guide's timestamp: seconds, numeric offset (8.3).
const wireTime = "2006-01-02T15:04:05-07:00"

var (
	winterTime = time.FixedZone("CET", 3600)
	summerTime = time.FixedZone("CEST", 7200)
)

// local gives t the offset that is in force in Germany, without a time zone
// database: summer time runs from the last Sunday of March to the last Sunday
// of October, each 01:00 UTC. The change of offset is worth having: clients
// must compare instants, not texts.
func local(t time.Time) time.Time {
	t = t.UTC()
	from, until := lastSunday(t.Year(), time.March), lastSunday(t.Year(), time.October)
	if !t.Before(from) && t.Before(until) {
		return t.In(summerTime)
	}
	return t.In(winterTime)
}

// lastSunday is 01:00 UTC on the last Sunday of a month of 31 days.
func lastSunday(year int, month time.Month) time.Time {
	last := time.Date(year, month, 31, 1, 0, 0, 0, time.UTC)
	return last.AddDate(0, 0, -int(last.Weekday()))
}
