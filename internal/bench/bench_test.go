package bench_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"postident-bridge/internal/bench"
	"postident-bridge/internal/testbed"
)

// Every figure runs to its end on a real Apache Kafka, with tiny counts, and
// gives rows that can be judged. What they measure means nothing here.
func TestEveryFigureRunsToItsEnd(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts Apache Kafka: not under -short")
	}
	table, err := bench.Run(t.Context(), bench.Config{Quick: true, Dir: t.TempDir(), Log: t.Output()})
	if lacking, ok := errors.AsType[*testbed.LackingError](err); ok && os.Getenv("CI") != "true" {
		t.Skip(lacking)
	}
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for _, r := range table.Rows {
		if r.Name == "" || seen[r.Name] {
			t.Errorf("row %q: has no name of its own", r.Name)
		}
		seen[r.Name] = true
		if r.Unit == "" || !(r.Ours > 0) || !(r.Limit >= 0) {
			t.Errorf("row %q: ours %v, limit %v, unit %q", r.Name, r.Ours, r.Limit, r.Unit)
		}
	}
	if len(table.Rows) < len(bench.Figures()) {
		t.Errorf("%d rows of %d figures", len(table.Rows), len(bench.Figures()))
	}
	var text strings.Builder
	if err := table.WriteText(&text); err != nil {
		t.Fatal(err)
	}
	head, _, _ := strings.Cut(text.String(), "\n")
	if got := strings.Join(strings.Fields(head), " "); got != "NAME OURS LIMIT RATIO BAR MET" {
		t.Errorf("columns %q", got)
	}
}

func TestFigureNamesAreUnique(t *testing.T) {
	t.Parallel()
	seen := make(map[string]bool)
	for _, f := range bench.Figures() {
		if f.Name == "" || f.About == "" || f.Run == nil || seen[f.Name] {
			t.Errorf("figure %+v: incomplete or named twice", f)
		}
		seen[f.Name] = true
	}
}

func TestUnknownFigure(t *testing.T) {
	t.Parallel()
	_, err := bench.Run(t.Context(), bench.Config{Names: []string{"webhook", "no-such"}})
	if unknown, ok := errors.AsType[*bench.UnknownFigureError](err); !ok || unknown.Name != "no-such" {
		t.Errorf("error %v", err)
	}
}
