package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"postident-bridge/ingest"
	"postident-bridge/internal/audit"
	"postident-bridge/schemas"
)

func (m *Main) retryCommand() *cobra.Command {
	group := &cobra.Command{
		Use:   "retry",
		Short: "Show the cases that wait for another look, or have them looked at now",
		Long: `Shows the cases that wait for another look and why, or has them looked at now.
Works on the topics alone, beside bridges that run.

Cases wait for three kinds of reasons:
  fault    the read failed: tried again after pauses, in the end a dead letter
  parked   the account does not answer: read in order as soon as it does
  recheck  a webhook came, nothing new was seen: read up to three times more`,
		Example: "  bridge retry list\n  bridge retry now --reason not_found",
		Args:    cobra.NoArgs,
		RunE:    showHelp,
	}
	group.AddCommand(m.retryListCommand(), m.retryNowCommand())
	return group
}

// waitingFlags choose waiting cases.
type waitingFlags struct {
	accounts, cases, reasons, kinds []string
	limit                           int
	asJSON                          bool
}

func (f *waitingFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringSliceVar(&f.accounts, "account", nil, "only of these accounts (clientId)")
	cmd.Flags().StringSliceVar(&f.cases, "case", nil, "only these cases (caseId)")
	cmd.Flags().StringSliceVar(&f.reasons, "reason", nil, "only those that wait for these reasons, e.g. not_found")
	cmd.Flags().StringSliceVar(&f.kinds, "kind", nil, "only these kinds: fault, parked, recheck")
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "print JSON")
}

// some says that not all cases are asked for.
func (f *waitingFlags) some() bool {
	return len(f.accounts)+len(f.cases)+len(f.reasons)+len(f.kinds) > 0
}

func (f *waitingFlags) filter() (audit.WaitingFilter, error) {
	out := audit.WaitingFilter{Accounts: f.accounts, Cases: f.cases, Reasons: f.reasons}
	for _, k := range f.kinds {
		kind := schemas.RetryKind(k)
		if !slices.Contains([]schemas.RetryKind{schemas.RetryFault, schemas.RetryParked, schemas.RetryRecheck}, kind) {
			return out, &usageError{fmt.Sprintf("--kind: %q is none of fault, parked, recheck", k)}
		}
		out.Kinds = append(out.Kinds, kind)
	}
	return out, checkLimit(f.limit)
}

func (m *Main) retryListCommand() *cobra.Command {
	var f waitingFlags
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the cases that wait for another look, and the accounts that are down",
		Long: `Lists the cases that wait for another look: why, since when, and when the next
look is due. Accounts that are down stand at the top, with the reason.

Reads the topic case-state from its start to its end. Changes nothing.`,
		Example: `  bridge retry list
  bridge retry list --kind fault --account ACME0001
  bridge retry list --json | jq '.cases[] | select(.attempts > 5)'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			filter, err := f.filter()
			if err != nil {
				return err
			}
			d, err := m.openDesk(cmd.Context())
			if err != nil {
				return err
			}
			d.some = f.some()
			waiting, err := d.waiting(cmd.Context(), filter)
			if err != nil {
				return err
			}
			shown, more := limited(cmd, waiting.Cases, f.limit, f.asJSON)
			if f.asJSON {
				return printJSON(m.Stdout, waitingDocument{
					Parked: orEmpty(audit.ParkedAccounts(waiting.Cases)), Total: len(waiting.Cases), Cases: orEmpty(shown),
					Unreadable: waiting.Unreadable, Hidden: orEmpty(waiting.Hidden),
				})
			}
			return d.printWaiting(waiting.Cases, shown, more)
		},
	}
	f.add(cmd)
	limitFlag(cmd, &f.limit, "cases")
	return cmd
}

// waitingDocument is what `retry list --json` prints.
type waitingDocument struct {
	Parked     []audit.ParkedAccount `json:"parked"`
	Total      int                   `json:"total"` // cases, shown or not
	Cases      []audit.WaitingCase   `json:"cases"`
	Unreadable int                   `json:"unreadable"`
	Hidden     []audit.Hidden        `json:"hidden"`
}

// waiting reads the waiting cases, and warns of what was not to be seen.
func (d *desk) waiting(ctx context.Context, filter audit.WaitingFilter) (audit.Waiting, error) {
	waiting, err := audit.ReadWaiting(ctx, d.scan(d.names.CaseState), filter)
	d.quiet()
	if err != nil {
		return waiting, err
	}
	d.warnOfHidden(waiting.Hidden)
	if waiting.Unreadable > 0 {
		d.main.complain(fmt.Sprintf("warning: the state of %s cannot be read by this release: they may wait or not", plural(waiting.Unreadable, "case")))
	}
	return waiting, nil
}

// printWaiting prints the accounts that are down, and the cases.
func (d *desk) printWaiting(all, shown []audit.WaitingCase, more int) error {
	w := d.main.Stdout
	if len(all) == 0 {
		return d.none("nothing waits", "nothing that matches waits")
	}
	if parked := audit.ParkedAccounts(all); len(parked) > 0 {
		rows := [][]string{{"ACCOUNT", "PARKED", "REASON", "DOWN FOR"}}
		for _, a := range parked {
			rows = append(rows, []string{a.ClientID, grouped(a.Cases), word(a.Reason), d.age(a.Since)})
		}
		if err := table(w, rows); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(w, parkedAdvice(parked)); err != nil {
			return err
		}
	}
	if err := table(w, d.waitingRows(shown)); err != nil {
		return err
	}
	if more > 0 {
		_, err := fmt.Fprintf(w, "and %s more: --limit 0 shows all\n", grouped(more))
		return err
	}
	return nil
}

func parkedAdvice(parked []audit.ParkedAccount) string {
	advice := "Parked cases are read by themselves once their account answers.\n"
	if slices.ContainsFunc(parked, func(a audit.ParkedAccount) bool { return a.Reason == "unauthorised" }) {
		advice += "unauthorised: correct the credentials; restart who has them from no file.\n"
	}
	return advice
}

func (d *desk) waitingRows(cases []audit.WaitingCase) [][]string {
	rows := [][]string{{"CASE", "ACCOUNT", "KIND", "REASON", "TRIES", "WAITS", "NEXT"}}
	for i := range cases {
		c := &cases[i]
		tries, next := strconv.Itoa(c.Attempts), d.ahead(c.NotBefore)
		if c.Kind == schemas.RetryParked {
			tries, next = "-", "-"
		}
		rows = append(rows, []string{c.CaseID, c.ClientID, string(c.Kind), word(c.Reason), tries, d.age(c.FirstFailed), next})
	}
	return rows
}

// nowFlags are those of `retry now`.
type nowFlags struct {
	waitingFlags

	all, dryRun bool
	rate        int
}

func (m *Main) retryNowCommand() *cobra.Command {
	var f nowFlags
	cmd := &cobra.Command{
		Use:   "now",
		Short: "Have cases that wait looked at now",
		Long: `Has cases that wait looked at now, by putting a trigger for each into the inbox.
A case keeps its place in the retries: a look that fails uses up no attempt.

Parked cases are left out unless --kind parked or --case names them: their
account is held back, lest it be locked, and a trigger does not change that.
They are read in order once the account answers.`,
		Example: `  bridge retry now --reason not_found --dry-run
  bridge retry now --case IFH944SVWOZW
  bridge retry now --all --rate 20`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			filter, err := f.filter()
			if err != nil {
				return err
			}
			if f.some() == f.all {
				return &usageError{"say what to look at: --account, --case, --reason or --kind, or else --all"}
			}
			if err := checkRate(f.rate); err != nil {
				return err
			}
			d, err := m.openDesk(cmd.Context())
			if err != nil {
				return err
			}
			return d.retryNow(cmd.Context(), &f, filter)
		},
	}
	f.add(cmd)
	cmd.Flags().IntVar(&f.limit, "limit", 0, "no more than so many cases, those that wait longest; 0 for all")
	cmd.Flags().BoolVar(&f.all, "all", false, "all cases that wait")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "show the cases and write nothing")
	rateFlag(cmd, &f.rate)
	return cmd
}

// nowDocument is what `retry now --json` prints.
type nowDocument struct {
	DryRun  bool                `json:"dryRun"`
	Parked  int                 `json:"parked"`  // left out
	Written int                 `json:"written"` // triggers
	Cases   []audit.WaitingCase `json:"cases"`   // one trigger each
}

func (d *desk) retryNow(ctx context.Context, f *nowFlags, filter audit.WaitingFilter) error {
	waiting, err := d.waiting(ctx, filter)
	if err != nil {
		return err
	}
	cases, parked := toLookAt(waiting.Cases, f)
	doc := nowDocument{DryRun: f.dryRun, Parked: parked, Cases: orEmpty(cases)}
	if !f.dryRun && len(cases) > 0 {
		hints := make([]ingest.Hint, len(cases))
		for i := range cases {
			hints[i] = ingest.LookAgain(cases[i].ClientID, cases[i].CaseID, d.now)
		}
		if doc.Written, err = d.put(ctx, hints, f.rate); err != nil {
			return err
		}
	}
	if f.asJSON {
		return printJSON(d.main.Stdout, doc)
	}
	return d.printNow(&doc)
}

// toLookAt chooses among the waiting cases, and counts the parked ones that it
// leaves out.
func toLookAt(waiting []audit.WaitingCase, f *nowFlags) (cases []audit.WaitingCase, parked int) {
	named := len(f.cases) > 0 || slices.Contains(f.kinds, string(schemas.RetryParked))
	for _, c := range waiting {
		if c.Kind == schemas.RetryParked && !named {
			parked++
			continue
		}
		cases = append(cases, c)
	}
	if f.limit > 0 && len(cases) > f.limit {
		slices.SortStableFunc(cases, func(a, b audit.WaitingCase) int { return a.FirstFailed.Compare(b.FirstFailed) })
		cases = cases[:f.limit]
	}
	return cases, parked
}

func (d *desk) printNow(doc *nowDocument) error {
	w := d.main.Stdout
	if doc.DryRun && len(doc.Cases) > 0 {
		if err := table(w, d.waitingRows(doc.Cases[:min(len(doc.Cases), shownRows)])); err != nil {
			return err
		}
		if more := len(doc.Cases) - shownRows; more > 0 {
			if _, err := fmt.Fprintf(w, "and %s more\n", grouped(more)); err != nil {
				return err
			}
		}
	}
	if doc.Parked > 0 {
		_, err := fmt.Fprintf(w, "%s left out, parked: 'bridge retry list' says what their accounts wait for.\n", plural(doc.Parked, "case"))
		if err != nil {
			return err
		}
	}
	text := "No case to look at."
	switch n := len(doc.Cases); {
	case n > 0 && doc.DryRun:
		text = fmt.Sprintf("Would have %s looked at. Nothing was written.", plural(n, "case"))
	case n > 0:
		text = plural(doc.Written, "trigger") + " written: what waits is looked at now."
	}
	_, err := fmt.Fprintln(w, text)
	return err
}
