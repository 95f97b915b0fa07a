package lab

import (
	"fmt"
	"io"
	"strings"
)

// shownFindings is how many findings are printed; the summary's file has all.
const shownFindings = 40

// Print writes the summary for people.
func (s *Summary) Print(out io.Writer) {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%-15s tried\n", "fault")
	for _, k := range Kinds() {
		fmt.Fprintf(&b, "%-15s %5d\n", k, s.Tried[k])
	}
	fmt.Fprintf(&b, "%-15s %5d\n\n", "together", s.Faults)
	if s.Verdict == "" {
		fmt.Fprintf(&b, "seed %d, %d brokers, %d bridges, %s: the run was not ended, nothing was judged\n", s.Seed, s.Brokers, s.Processes, s.Took)
		_, _ = io.WriteString(out, b.String()) // who cannot be told is not told
		return
	}
	fmt.Fprintf(&b, "seed %d, %d brokers, %d bridges, %s: %d cases, %d changes, %d webhooks answered 200, %d sent in the sender's place\n",
		s.Seed, s.Brokers, s.Processes, s.Took, s.Cases, s.Changes, s.Hooks, s.Resent)
	fmt.Fprintf(&b, "%d results, %d references to records, %d events with records that came late, %d objects in the store, %d of them orphans\n",
		s.Results, s.References, s.Late, s.Objects, s.Orphans)
	if s.Clean() {
		fmt.Fprintf(&b, "verdict: %s\n", s.Verdict)
	} else {
		fmt.Fprintf(&b, "verdict: NOT CLEAN. The topics are %s. What was found:\n", s.Verdict)
	}
	for _, finding := range s.Findings[:min(len(s.Findings), shownFindings)] {
		fmt.Fprintf(&b, "  %s\n", finding)
	}
	if more := len(s.Findings) - shownFindings; more > 0 {
		fmt.Fprintf(&b, "  and %d more\n", more)
	}
	_, _ = io.WriteString(out, b.String()) // who cannot be told is not told
}
