package main

import (
	"strings"
	"testing"
	"time"
)

func TestProgressBarFitsItsTerminal(t *testing.T) {
	t.Parallel()
	reading := shownProgress{what: "reading postident.case-state", unit: "records", done: 1_204_000, total: 2_500_000, rate: 412_345}
	for name, tt := range map[string]struct {
		shown shownProgress
		width int
		want  string
	}{
		"120 columns": {reading, 120, "reading postident.case-state  [##################....................]   48%  1,204,000 of 2,500,000  412,345/s  3s left"},
		"80 columns":  {reading, 80, "reading postident.case-state   48%  1,204,000 of 2,500,000  412,345/s  3s left"},
		"40 columns":  {reading, 40, "48%  1,204,000 of 2,500,000  412,345/s  "},
		"a small one": {shownProgress{what: "redriving", unit: "cases", done: 5, total: 20, rate: 2.5}, 80, "redriving  [#########...........................]   25%  5 of 20  2.5/s  6s left"},
		"done":        {shownProgress{what: "redriving", unit: "cases", done: 20, total: 20, rate: 20}, 60, "redriving  [#########################]  100%  20 of 20  20/s"},
		"no total":    {shownProgress{what: "reading", unit: "cases", done: 1234, rate: 1}, 80, "reading  1,234 cases  1.0/s"},
		"no pace yet": {shownProgress{what: "reading", unit: "cases", total: 10}, 40, "reading  [..............]    0%  0 of 10"},
		"no columns":  {reading, -1, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := tt.shown.bar(tt.width); got != tt.want || len(got) > max(tt.width, 0) {
				t.Errorf("%d columns of %d\n%s\nwant\n%s", len(got), tt.width, got, tt.want)
			}
		})
	}
}

// What is over at once is not told; a terminal has one line that is taken away in
// the end, anything else a line now and then.
func TestProgressIsToldNowAndThen(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		columns func() int
		steps   int // of 100 ms
		want    []string
	}{
		"terminal, over at once":  {func() int { return 80 }, 4, nil},
		"terminal":                {func() int { return 80 }, 7, []string{"\r", "10/s", "\x1b[K", "\r\x1b[K"}},
		"elsewhere, over at once": {nil, 90, nil},
		"elsewhere":               {nil, 210, []string{"bridge: reading: 10%, 100 of 1,000 records, 10/s, 1m30s left\nbridge: reading: 20%, 200 of 1,000 records, 10/s, 1m20s left\n"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			now := time.Unix(0, 0)
			p := &progress{w: &out, what: "reading", unit: "records", columns: tt.columns, now: func() time.Time { return now }}
			p.begin()
			for i := range tt.steps {
				now = now.Add(100 * time.Millisecond)
				p.set(int64(i+1), 1000)
			}
			p.end()
			if tt.want == nil && out.Len() > 0 {
				t.Errorf("told %q", out.String())
			}
			for _, want := range tt.want {
				if !strings.Contains(out.String(), want) {
					t.Errorf("%q is not in %q", want, out.String())
				}
			}
		})
	}
}

func TestRoughly(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0: "0s", 59*time.Second + 600*time.Millisecond: "1m00s", 90 * time.Second: "1m30s", 3*time.Hour + 4*time.Minute: "3h04m", 50 * time.Hour: "2d02h",
	} {
		if got := roughly(d); got != want {
			t.Errorf("roughly(%v) = %s, want %s", d, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", -1234567: "-1,234,567"} {
		if got := grouped(n); got != want {
			t.Errorf("grouped(%d) = %s, want %s", n, got, want)
		}
	}
}
