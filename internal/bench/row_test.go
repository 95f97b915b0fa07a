package bench_test

import (
	"math"
	"testing"

	"postident-bridge/internal/bench"
)

func TestVerdict(t *testing.T) {
	t.Parallel()
	atLeast, atMost := bench.Bar{AtLeast: 0.9}, bench.Bar{AtMost: 1.5}
	for name, tt := range map[string]struct {
		row  bench.Row
		want bench.Verdict
	}{
		"ratio above what it is to be at least":   {bench.Row{Ours: 95, Limit: 100, Bar: atLeast}, bench.Met},
		"ratio on it":                             {bench.Row{Ours: 90, Limit: 100, Bar: atLeast}, bench.Met},
		"ratio below it":                          {bench.Row{Ours: 89.9, Limit: 100, Bar: atLeast}, bench.Missed},
		"ratio below what it is to be at most":    {bench.Row{Ours: 149, Limit: 100, Bar: atMost}, bench.Met},
		"ratio on the most":                       {bench.Row{Ours: 150, Limit: 100, Bar: atMost}, bench.Met},
		"ratio above the most":                    {bench.Row{Ours: 150.1, Limit: 100, Bar: atMost}, bench.Missed},
		"without a limit ours counts, and is met": {bench.Row{Ours: 1.5, Bar: atMost}, bench.Met},
		"without a limit ours is above the most":  {bench.Row{Ours: 1.6, Bar: atMost}, bench.Missed},
		"without a limit ours is not enough":      {bench.Row{Ours: 0.8, Bar: atLeast}, bench.Missed},
		"both bounds, within":                     {bench.Row{Ours: 1, Bar: bench.Bar{AtLeast: 0.9, AtMost: 1.5}}, bench.Met},
		"both bounds, too little":                 {bench.Row{Ours: 0.5, Bar: bench.Bar{AtLeast: 0.9, AtMost: 1.5}}, bench.Missed},
		"no bar":                                  {bench.Row{Ours: 1, Limit: 2}, bench.NoBar},
		"nothing was counted":                     {bench.Row{Ours: math.NaN(), Limit: 2, Bar: atMost}, bench.Missed},
		"nothing was counted of the limit":        {bench.Row{Ours: 1, Limit: math.NaN(), Bar: atLeast}, bench.Missed},
		"an infinite one":                         {bench.Row{Ours: math.Inf(1), Limit: 1, Bar: atLeast}, bench.Missed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := tt.row.Verdict(); got != tt.want {
				t.Errorf("Verdict() = %v, want %v", got, tt.want)
			}
		})
	}
}
