package bench

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// median is the middle one of the values; not a number if there is none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	v := slices.Sorted(slices.Values(values))
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

// quantile is the smallest value that a share q of all does not exceed; the zero
// value if there are none. It sorts values.
func quantile[T cmp.Ordered](values []T, q float64) T {
	if len(values) == 0 {
		var none T
		return none
	}
	slices.Sort(values)
	return values[min(max(int(math.Ceil(q*float64(len(values))))-1, 0), len(values)-1)]
}

// milliseconds is a duration as the table shows it.
func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
