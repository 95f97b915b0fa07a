package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"postident-bridge/internal/audit"
	"postident-bridge/internal/scr"
)

func (m *Main) deadLetterCommand() *cobra.Command {
	group := &cobra.Command{
		Use:   "dead-letter",
		Short: "Show the dead letters and why they are, or redrive them",
		Long: `Shows the dead letters, and sends their triggers back to the inbox when what was
wrong is right again. Works on the topics alone, beside bridges that run.

A dead letter is a trigger that nothing more could be done for: its case was
tried again for two hours, or that would not help. docs/operations.md says what
to do about each reason.`,
		Example: "  bridge dead-letter list\n  bridge dead-letter redrive --reason not_found",
		Args:    cobra.NoArgs,
		RunE:    showHelp,
	}
	group.AddCommand(m.deadLetterListCommand(), m.deadLetterShowCommand(), m.deadLetterRedriveCommand())
	return group
}

// letterFlags choose dead letters.
type letterFlags struct {
	accounts, cases, reasons []string
	since, until             string
	asJSON                   bool
}

func (f *letterFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringSliceVar(&f.accounts, "account", nil, "only of these accounts (clientId)")
	cmd.Flags().StringSliceVar(&f.cases, "case", nil, "only of these cases (caseId)")
	cmd.Flags().StringSliceVar(&f.reasons, "reason", nil, "only for these reasons, e.g. not_found")
	cmd.Flags().StringVar(&f.since, "since", "", "only those written since: a time, a day, or how long ago (36h, 7d)")
	cmd.Flags().StringVar(&f.until, "until", "", "only those written before")
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "print JSON")
}

// some says that not all letters are asked for.
func (f *letterFlags) some() bool {
	return len(f.accounts)+len(f.cases)+len(f.reasons) > 0 || f.since != "" || f.until != ""
}

func (f *letterFlags) filter(now time.Time) (audit.LetterFilter, error) {
	out := audit.LetterFilter{Accounts: f.accounts, Cases: f.cases, Reasons: f.reasons}
	for _, bound := range []struct {
		flag, text string
		into       *time.Time
	}{{"--since", f.since, &out.Since}, {"--until", f.until, &out.Until}} {
		if bound.text == "" {
			continue
		}
		t, err := parseWhen(bound.text, now)
		if err != nil {
			return out, &usageError{fmt.Sprintf("%s: %q is %v", bound.flag, bound.text, err)}
		}
		*bound.into = t
	}
	return out, nil
}

func (m *Main) deadLetterListCommand() *cobra.Command {
	var (
		f     letterFlags
		cases bool
		limit int
	)
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the dead letters by reason",
		Long: `Sums up the dead letters by reason: how many, of how many cases, how old, and
what the first and the last say. With --cases, the letters one by one too.

A letter stays on its topic for as long as that keeps it, redriven or not;
'bridge dead-letter redrive' tells what is left to do. Changes nothing.`,
		Example: `  bridge dead-letter list
  bridge dead-letter list --since 24h --account ACME0001
  bridge dead-letter list --reason not_found --cases --limit 200`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkLimit(limit); err != nil {
				return err
			}
			d, filter, err := m.openLetters(cmd.Context(), &f)
			if err != nil {
				return err
			}
			var count audit.LetterCount
			var letters []audit.Letter
			hidden, err := audit.ReadLetters(cmd.Context(), d.scan(d.names.DeadLetter), filter, func(l audit.Letter) {
				count.Add(&l)
				if cases {
					letters = append(letters, l)
				}
			})
			d.quiet()
			if err != nil {
				return err
			}
			d.warnOfHidden(hidden)
			slices.SortStableFunc(letters, func(a, b audit.Letter) int { return b.At.Compare(a.At) })
			shown, more := limited(cmd, letters, limit, f.asJSON)
			if f.asJSON {
				return printJSON(m.Stdout, lettersDocument{
					Reasons: count.Summaries(), Letters: letterDocuments(shown), Hidden: orEmpty(hidden),
				})
			}
			return d.printLetters(count.Summaries(), shown, more)
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&cases, "cases", false, "show the letters one by one too, the newest first")
	limitFlag(cmd, &limit, "letters")
	return cmd
}

// openLetters opens the desk and reads the flags that choose letters.
func (m *Main) openLetters(ctx context.Context, f *letterFlags) (*desk, audit.LetterFilter, error) {
	filter, err := f.filter(time.Now())
	if err != nil {
		return nil, filter, err
	}
	d, err := m.openDesk(ctx)
	if err != nil {
		return nil, filter, err
	}
	d.some = f.some()
	return d, filter, nil
}

// lettersDocument is what `dead-letter list --json` prints.
type lettersDocument struct {
	Reasons []audit.LetterSummary `json:"reasons"`
	Letters []letterDocument      `json:"letters"` // with --cases
	Hidden  []audit.Hidden        `json:"hidden"`
}

func (d *desk) printLetters(reasons []audit.LetterSummary, shown []audit.Letter, more int) error {
	w := d.main.Stdout
	if len(reasons) == 0 {
		return d.none("no dead letters", "no dead letter matches")
	}
	rows := [][]string{{"REASON", "LETTERS", "CASES", "OLDEST", "NEWEST"}}
	for _, r := range reasons {
		rows = append(rows, []string{word(r.Reason), grouped(r.Letters), grouped(r.Cases), d.age(r.Oldest), d.age(r.Newest)})
	}
	if err := table(w, rows); err != nil {
		return err
	}
	for _, r := range reasons {
		if err := d.printErrors(&r); err != nil {
			return err
		}
	}
	if len(shown) == 0 {
		return nil
	}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	rows = [][]string{{"LETTER", "CASE", "ACCOUNT", "REASON", "TRIES", "SOURCE", "AGE"}}
	for i := range shown {
		l := documentOf(&shown[i])
		rows = append(rows, []string{l.Letter, l.CaseID, l.ClientID, word(l.Reason), strconv.Itoa(l.Attempts), l.Source, d.age(l.WrittenAt)})
	}
	if err := table(w, rows); err != nil {
		return err
	}
	if more > 0 {
		_, err := fmt.Fprintf(w, "and %s older ones: --limit 0 shows all\n", grouped(more))
		return err
	}
	return nil
}

// printErrors prints what the letters of a reason say.
func (d *desk) printErrors(r *audit.LetterSummary) error {
	var err error
	if r.FirstError == r.LastError {
		_, err = fmt.Fprintf(d.main.Stdout, "%s: %s\n", word(r.Reason), printable(r.FirstError))
	} else {
		_, err = fmt.Fprintf(d.main.Stdout, "%[1]s, first: %[2]s\n%[1]s, last: %[3]s\n", word(r.Reason), printable(r.FirstError), printable(r.LastError))
	}
	return err
}

func (m *Main) deadLetterShowCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show PARTITION/OFFSET | CASE",
		Short: "Show one dead letter: its reason and its trigger",
		Long: `Shows one dead letter: where it stands, why it is there, and the trigger that
it holds. A case names its newest letter. Bytes that are no trigger are not
shown: nobody knows what they hold.`,
		Example: `  bridge dead-letter show 3/1024
  bridge dead-letter show IFH944SVWOZW --json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			at, byPlace := parsePlace(args[0])
			if !byPlace && !scr.ValidCaseID(args[0]) {
				return &usageError{fmt.Sprintf("%q is neither PARTITION/OFFSET nor a caseId", args[0])}
			}
			d, err := m.openDesk(cmd.Context())
			if err != nil {
				return err
			}
			filter := audit.LetterFilter{Cases: args}
			if byPlace {
				filter = audit.LetterFilter{At: &at}
			}
			letter, older, err := d.findLetter(cmd.Context(), filter)
			if err != nil {
				return err
			}
			if letter == nil {
				return errors.New("no dead letter of " + args[0])
			}
			if asJSON {
				return printJSON(m.Stdout, documentOf(letter))
			}
			return d.printLetter(letter, older)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

var placePattern = regexp.MustCompile(`^(\d{1,9})/(\d{1,18})$`)

// parsePlace reads PARTITION/OFFSET.
func parsePlace(text string) (at audit.Place, ok bool) {
	m := placePattern.FindStringSubmatch(text)
	if m == nil {
		return audit.Place{}, false
	}
	partition, err1 := strconv.ParseInt(m[1], 10, 32)
	offset, err2 := strconv.ParseInt(m[2], 10, 64)
	return audit.Place{Partition: int32(partition), Offset: offset}, err1 == nil && err2 == nil
}

// findLetter finds the newest letter that a filter chooses, nil if there is none,
// and the number of the older ones.
func (d *desk) findLetter(ctx context.Context, filter audit.LetterFilter) (letter *audit.Letter, older int, err error) {
	found := 0
	hidden, err := audit.ReadLetters(ctx, d.scan(d.names.DeadLetter), filter, func(l audit.Letter) {
		found++
		if letter == nil || !l.At.Before(letter.At) {
			letter = &l
		}
	})
	d.quiet()
	if err != nil {
		return nil, 0, err
	}
	d.warnOfHidden(hidden)
	return letter, found - 1, nil
}
