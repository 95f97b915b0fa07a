package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"
	"time"
)

// Table is the outcome of one run.
type Table struct {
	Rows []Row
	// Quick says that the counts were tiny, so that the figures mean nothing.
	Quick bool
	// Began is when the run began; Go, Platform and CPUs say what it ran on.
	Began        time.Time
	Go, Platform string
	CPUs         int
}

// Missed counts the rows that do not reach their bar.
func (t Table) Missed() int {
	n := 0
	for _, r := range t.Rows {
		if r.Verdict() == Missed {
			n++
		}
	}
	return n
}

// WriteText writes the table for people, and the rows' notes below it.
func (t Table) WriteText(w io.Writer) error {
	var b strings.Builder
	lines := []string{"NAME\tOURS\tLIMIT\tRATIO\tBAR\tMET"}
	for _, r := range t.Rows {
		limit, ratio := "-", "-"
		if v, ok := r.Ratio(); ok {
			limit, ratio = quantity(r.Limit, r.Unit), fmt.Sprintf("%.2f", v)
		}
		lines = append(lines, strings.Join(
			[]string{r.Name, quantity(r.Ours, r.Unit), limit, ratio, r.Bar.String(), r.Verdict().String()}, "\t"))
	}
	tw := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	_, err := io.WriteString(tw, strings.Join(lines, "\n")+"\n\n")
	if err = errors.Join(err, tw.Flush()); err != nil {
		return fmt.Errorf("lay out table: %w", err)
	}
	for _, r := range t.Rows {
		if r.Note != "" {
			fmt.Fprintf(&b, "%s: %s\n", r.Name, r.Note)
		}
	}
	fmt.Fprintf(&b, "%s, %s, %d CPUs, %s\n", t.Began.Format(time.RFC3339), t.Platform, t.CPUs, t.Go)
	if t.Quick {
		b.WriteString("quick: the counts were tiny, these figures mean nothing\n")
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write table: %w", err)
	}
	return nil
}

// WriteJSON writes the table for programs.
func (t Table) WriteJSON(w io.Writer) error {
	type bar struct {
		AtLeast *float64 `json:"atLeast,omitempty"`
		AtMost  *float64 `json:"atMost,omitempty"`
	}
	type row struct {
		Name  string   `json:"name"`
		Ours  *float64 `json:"ours"`
		Limit *float64 `json:"limit"`
		Unit  string   `json:"unit"`
		Ratio *float64 `json:"ratio"`
		Bar   *bar     `json:"bar"`
		Met   *bool    `json:"met"`
		Note  string   `json:"note,omitempty"`
	}
	rows := make([]row, 0, len(t.Rows))
	for _, r := range t.Rows {
		out := row{Name: r.Name, Ours: number(r.Ours), Unit: r.Unit, Note: r.Note}
		if v, ok := r.Ratio(); ok {
			out.Limit, out.Ratio = number(r.Limit), number(v)
		}
		if r.Bar != (Bar{}) {
			out.Bar = &bar{}
			if r.Bar.AtLeast != 0 {
				out.Bar.AtLeast = &r.Bar.AtLeast
			}
			if r.Bar.AtMost != 0 {
				out.Bar.AtMost = &r.Bar.AtMost
			}
			out.Met = new(r.Verdict() == Met)
		}
		rows = append(rows, out)
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	err := enc.Encode(struct {
		Began    time.Time `json:"began"`
		Platform string    `json:"platform"`
		CPUs     int       `json:"cpus"`
		Go       string    `json:"go"`
		Quick    bool      `json:"quick"`
		Rows     []row     `json:"rows"`
	}{t.Began, t.Platform, t.CPUs, t.Go, t.Quick, rows})
	if err != nil {
		return fmt.Errorf("write table as json: %w", err)
	}
	return nil
}

// number is nil for what JSON cannot hold.
func number(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}
