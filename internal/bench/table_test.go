package bench_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postident-bridge/internal/bench"
)

func table() bench.Table {
	return bench.Table{
		Rows: []bench.Row{
			{Name: "accepts", Ours: 25312.4, Limit: 26013, Unit: "accepts/s", Bar: bench.Bar{AtLeast: 0.9}, Note: "5 rounds"},
			{Name: "restore", Ours: 4.417, Unit: "s", Bar: bench.Bar{AtMost: 4}},
			{Name: "heap", Ours: 190, Unit: "B/case"},
			{Name: "broken", Ours: math.NaN(), Limit: 1_234_567, Bar: bench.Bar{AtMost: 1}},
		},
		Began: time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC), Go: "go1.26", Platform: "linux/amd64", CPUs: 2,
	}
}

func TestTableAsText(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	if err := table().WriteText(&b); err != nil {
		t.Fatal(err)
	}
	want := `NAME     OURS              LIMIT             RATIO  BAR     MET
accepts  25,312 accepts/s  26,013 accepts/s  0.97   >= 0.9  yes
restore  4.42 s            -                 -      <= 4    no
heap     190 B/case        -                 -      -       -
broken   NaN               1,234,567         NaN    <= 1    no

accepts: 5 rounds
2026-03-01T12:00:00Z, linux/amd64, 2 CPUs, go1.26
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTableAsJSON(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	if err := table().WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	var got struct {
		CPUs int `json:"cpus"`
		Rows []map[string]any
	}
	if err := json.Unmarshal([]byte(b.String()), &got); err != nil {
		t.Fatal(err)
	}
	want := []map[string]any{
		{
			"name": "accepts", "ours": 25312.4, "limit": 26013.0, "unit": "accepts/s", "ratio": 25312.4 / 26013,
			"bar": map[string]any{"atLeast": 0.9}, "met": true, "note": "5 rounds",
		},
		{"name": "restore", "ours": 4.417, "limit": nil, "unit": "s", "ratio": nil, "bar": map[string]any{"atMost": 4.0}, "met": false},
		{"name": "heap", "ours": 190.0, "limit": nil, "unit": "B/case", "ratio": nil, "bar": nil, "met": nil},
		{"name": "broken", "ours": nil, "limit": 1234567.0, "unit": "", "ratio": nil, "bar": map[string]any{"atMost": 1.0}, "met": false},
	}
	if diff := cmp.Diff(want, got.Rows); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got.CPUs != 2 {
		t.Errorf("cpus = %d, want 2", got.CPUs)
	}
}

func TestMissed(t *testing.T) {
	t.Parallel()
	if got := table().Missed(); got != 2 {
		t.Errorf("Missed() = %d, want 2", got)
	}
}
