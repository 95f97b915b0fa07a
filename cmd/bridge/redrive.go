package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postident-bridge/ingest"
	"postident-bridge/internal/audit"
	"postident-bridge/internal/scr"
)

// redriveFlags are those of `dead-letter redrive`.
type redriveFlags struct {
	letterFlags

	all, yes, again bool
	rate            int
}

func (m *Main) deadLetterRedriveCommand() *cobra.Command {
	var f redriveFlags
	cmd := &cobra.Command{
		Use:   "redrive",
		Short: "Send the triggers of dead letters back to the inbox",
		Long: `Sends the triggers of dead letters back to the inbox, so that their cases are
looked at again. Without --yes it only says what it would do.

Letters that were redriven before are left out, and so are those whose case was
read well since; --again takes them too. Several letters of one case need one
look: the newest goes, the others are covered. What fails again comes back as a
new letter. So the command may be interrupted and run again.

Bytes that are no trigger cannot be redriven: nothing says which account and
case they are about. They are counted.`,
		Example: `  bridge dead-letter redrive --reason not_found --since 24h
  bridge dead-letter redrive --reason not_found --since 24h --yes
  bridge dead-letter redrive --all --rate 20 --yes`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.some() == f.all {
				return &usageError{"say which: --account, --case, --reason, --since or --until, or else --all"}
			}
			if err := checkRate(f.rate); err != nil {
				return err
			}
			d, filter, err := m.openLetters(cmd.Context(), &f.letterFlags)
			if err != nil {
				return err
			}
			return d.redrive(cmd.Context(), &f, filter)
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&f.all, "all", false, "all dead letters")
	cmd.Flags().BoolVar(&f.yes, "yes", false, "do it; without, it is a dry run")
	cmd.Flags().BoolVar(&f.again, "again", false, "also what was redriven before or is done")
	rateFlag(cmd, &f.rate)
	return cmd
}

// redriveDocument is what `dead-letter redrive --json` prints.
type redriveDocument struct {
	DryRun  bool               `json:"dryRun"`
	Fates   map[audit.Fate]int `json:"fates"`   // letters by fate
	Written int                `json:"written"` // triggers
	Letters []fateDocument     `json:"letters"`
	Hidden  []audit.Hidden     `json:"hidden"`
}

// fateDocument is what becomes of one letter.
type fateDocument struct {
	Letter   string     `json:"letter"`
	ClientID string     `json:"clientId,omitempty"`
	CaseID   string     `json:"caseId,omitempty"`
	Reason   string     `json:"reason"`
	Fate     audit.Fate `json:"fate"`
	Why      string     `json:"why,omitempty"`
}

func (d *desk) redrive(ctx context.Context, f *redriveFlags, filter audit.LetterFilter) error {
	plan, err := audit.PlanRedrive(ctx, audit.RedriveQuery{
		Kafka: d.kafka, DeadLetter: d.names.DeadLetter, Inbox: d.names.Inbox, CaseState: d.names.CaseState,
		Filter: filter, Again: f.again, ValidCase: scr.ValidCaseID, Progress: d.reading,
	})
	d.quiet()
	if err != nil {
		return err
	}
	d.warnOfHidden(plan.Hidden)
	hints := hintsOf(plan.Letters, d.now)
	if !f.asJSON {
		if err := d.printPlan(plan.Letters); err != nil {
			return err
		}
	}
	written := 0
	if f.yes && len(hints) > 0 {
		if written, err = d.put(ctx, hints, f.rate); err != nil {
			return fmt.Errorf("%w; run it again, it leaves out what is written", err)
		}
	}
	if f.asJSON {
		return printJSON(d.main.Stdout, redriveDocumentOf(plan, written, !f.yes))
	}
	_, err = fmt.Fprintln(d.main.Stdout, redriveSummary(plan.Letters, written, f))
	return err
}

// hintsOf are the triggers that a plan asks for.
func hintsOf(letters []audit.PlannedLetter, now time.Time) []ingest.Hint {
	var hints []ingest.Hint
	for i := range letters {
		l := &letters[i]
		if l.Fate == audit.FateRedrive {
			hints = append(hints, ingest.RedriveOf(*l.Trigger, l.Topic, l.Partition, l.Offset, now))
		}
	}
	return hints
}

func redriveDocumentOf(plan audit.RedrivePlan, written int, dryRun bool) redriveDocument {
	doc := redriveDocument{
		DryRun: dryRun, Fates: fatesOf(plan.Letters), Written: written,
		Letters: make([]fateDocument, len(plan.Letters)), Hidden: orEmpty(plan.Hidden),
	}
	for i := range plan.Letters {
		l := documentOf(&plan.Letters[i].Letter)
		doc.Letters[i] = fateDocument{l.Letter, l.ClientID, l.CaseID, l.Reason, plan.Letters[i].Fate, plan.Letters[i].Why}
	}
	return doc
}

// fates are all of them, in the order in which they are shown.
var fates = []audit.Fate{audit.FateRedrive, audit.FateCovered, audit.FateRedriven, audit.FateDone, audit.FateImpossible}

// fatesOf counts letters by fate; each fate has its count.
func fatesOf(letters []audit.PlannedLetter) map[audit.Fate]int {
	counts := make(map[audit.Fate]int)
	for _, f := range fates {
		counts[f] = 0
	}
	for i := range letters {
		counts[letters[i].Fate]++
	}
	return counts
}

// printPlan prints how many letters of each reason have which fate, and why some
// cannot be redriven.
func (d *desk) printPlan(letters []audit.PlannedLetter) error {
	if len(letters) == 0 {
		return nil
	}
	byReason, why := make(map[string][]audit.PlannedLetter), make(map[string]int)
	for i := range letters {
		l := &letters[i]
		byReason[l.Reason] = append(byReason[l.Reason], *l)
		if l.Why != "" {
			why[l.Why]++
		}
	}
	rows := [][]string{{"REASON", "LETTERS", "TO REDRIVE", "COVERED", "REDRIVEN", "DONE", "IMPOSSIBLE"}}
	for _, reason := range slices.Sorted(maps.Keys(byReason)) {
		counts := fatesOf(byReason[reason])
		row := []string{word(reason), grouped(len(byReason[reason]))}
		for _, f := range fates {
			row = append(row, grouped(counts[f]))
		}
		rows = append(rows, row)
	}
	if err := table(d.main.Stdout, rows); err != nil {
		return err
	}
	for _, reason := range slices.Sorted(maps.Keys(why)) {
		if _, err := fmt.Fprintf(d.main.Stdout, "impossible, %s: %s\n", plural(why[reason], "letter"), reason); err != nil {
			return err
		}
	}
	return nil
}

// redriveSummary is the last line.
func redriveSummary(letters []audit.PlannedLetter, written int, f *redriveFlags) string {
	counts := fatesOf(letters)
	n := counts[audit.FateRedrive]
	switch {
	case len(letters) == 0:
		return "No dead letter matches."
	case n > 0 && f.yes:
		return plural(written, "case") + " redriven. What fails again comes back as a new letter."
	case n > 0:
		took := max(time.Second, time.Duration(n)*time.Second/time.Duration(f.rate))
		return fmt.Sprintf("Would redrive %s, at most %d a second: %s.\nNothing was written; --yes does it.", plural(n, "case"), f.rate, roughly(took))
	}
	var parts []string
	for _, p := range []struct {
		n    int
		text string
	}{
		{counts[audit.FateRedriven], "already redriven"},
		{counts[audit.FateDone], "done, read well since"},
		{counts[audit.FateImpossible], "cannot be redriven"},
	} {
		if p.n > 0 {
			parts = append(parts, plural(p.n, "letter")+" "+p.text)
		}
	}
	if counts[audit.FateImpossible] == 0 {
		return "All are done: " + strings.Join(parts, ", ") + "."
	}
	return "Nothing to redrive: " + strings.Join(parts, ", ") + "."
}
