package bench

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Row is one line of the table.
type Row struct {
	Name string
	// Ours is what was measured of the bridge, Limit what the machine does
	// without it. A Limit of 0 means that there is none; then the bar is about
	// Ours itself.
	Ours, Limit float64
	Unit        string // of Ours and Limit: "accepts/s", "ms", "B/case"
	Bar         Bar
	Note        string // what a reader needs to judge it: spread, counts
}

// Bar is what a row is to reach. The zero Bar asks for nothing.
type Bar struct {
	AtLeast, AtMost float64 // 0 means not set
}

// Verdict is what a row comes to against its bar.
type Verdict int

// The verdicts.
const (
	NoBar Verdict = iota
	Met
	Missed
)

// String is the verdict as the table shows it.
func (v Verdict) String() string {
	switch v {
	case Met:
		return "yes"
	case Missed:
		return "no"
	case NoBar:
	}
	return "-"
}

// Ratio is Ours in terms of Limit, and whether there is a limit.
func (r Row) Ratio() (ratio float64, ok bool) {
	if r.Limit == 0 {
		return 0, false
	}
	return r.Ours / r.Limit, true
}

// Verdict judges the ratio by the bar, or Ours where there is no limit. What is
// no number meets nothing.
func (r Row) Verdict() Verdict {
	if r.Bar == (Bar{}) {
		return NoBar
	}
	v, ok := r.Ratio()
	if !ok {
		v = r.Ours
	}
	if math.IsNaN(v) || math.IsInf(v, 0) ||
		r.Bar.AtLeast != 0 && v < r.Bar.AtLeast ||
		r.Bar.AtMost != 0 && v > r.Bar.AtMost {
		return Missed
	}
	return Met
}

// String is the bar as the table shows it.
func (b Bar) String() string {
	var parts []string
	if b.AtLeast != 0 {
		parts = append(parts, ">= "+plain(b.AtLeast))
	}
	if b.AtMost != 0 {
		parts = append(parts, "<= "+plain(b.AtMost))
	}
	if len(parts) == 0 {
		return "-"
	}
	return strings.Join(parts, ", ")
}

func plain(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// quantity writes a measured value with its unit, to three digits or to the one.
func quantity(v float64, unit string) string {
	decimals := 0
	switch a := math.Abs(v); {
	case a < 10:
		decimals = 2
	case a < 100:
		decimals = 1
	}
	return strings.TrimSuffix(grouped(strconv.FormatFloat(v, 'f', decimals, 64))+" "+unit, " ")
}

// grouped puts a comma before each three digits of the whole part.
func grouped(s string) string {
	whole, fraction, _ := strings.Cut(s, ".")
	if strings.ContainsAny(whole, "NI") { // NaN, Inf
		return s
	}
	sign := ""
	if strings.HasPrefix(whole, "-") {
		sign, whole = "-", whole[1:]
	}
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if fraction != "" {
		fraction = "." + fraction
	}
	return fmt.Sprint(sign, whole, fraction)
}
