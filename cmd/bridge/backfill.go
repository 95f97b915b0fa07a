package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/ingest"
	"postident-bridge/internal/rotate"
)

// backfillFlags are the flags of `backfill`.
type backfillFlags struct {
	account     string
	from, until string
	newestFirst bool
	dryRun      bool
	asJSON      bool
}

func (m *Main) backfillCommand() *cobra.Command {
	var f backfillFlags
	cmd := &cobra.Command{
		Use:   "backfill",
		Short: "Bring in the past of an account",
		Long: `Lists every case of an account that was created in a span of time, archived ones
too, and writes a trigger for each to the inbox. Running bridges publish what they
have not published yet; running it twice adds nothing.

It goes as fast as the inbox is worked off, so that webhooks do not wait. When it
is interrupted, however that happens, the same command goes on where it was: its
progress is a record in the topic poll-cursor. Without --until, it goes on with
one of the same --from that has not ended, if there is one.

Times are days (2026-01-31) or instants (2026-01-31T12:00:00Z); a day begins at
midnight UTC. --until is exclusive.`,
		Example: `  bridge backfill --account ABCD1234 --from 2026-01-01 --dry-run
  bridge backfill --account ABCD1234 --from 2026-01-01
  bridge backfill --account ABCD1234 --from 2026-01-01 --until 2026-02-01 --newest-first --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			from, until, err := f.span(time.Now())
			if err != nil {
				return err
			}
			s, warnings, err := loadSettings(m.Environ, needKafka, rolePoll)
			m.warn(warnings)
			if err != nil {
				return err
			}
			return m.backfill(cmd.Context(), &s, f, from, until)
		},
	}
	cmd.Flags().StringVar(&f.account, "account", "", "the account's clientId")
	cmd.Flags().StringVar(&f.from, "from", "", "the oldest time of creation")
	cmd.Flags().StringVar(&f.until, "until", "", "the end of the times of creation (default: now)")
	cmd.Flags().BoolVar(&f.newestFirst, "newest-first", false, "begin with the newest cases")
	cmd.Flags().BoolVar(&f.dryRun, "dry-run", false, "list and count, and write nothing")
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "print the summary as JSON")
	return cmd
}

// span reads the flags of time. A zero until is not given.
func (f backfillFlags) span(now time.Time) (from, until time.Time, err error) {
	if f.account == "" || f.from == "" {
		return from, until, &usageError{"--account and --from are needed"}
	}
	if from, err = parseInstant(f.from); err != nil {
		return from, until, &usageError{"--from: " + err.Error()}
	}
	if f.until != "" {
		if until, err = parseInstant(f.until); err != nil {
			return from, until, &usageError{"--until: " + err.Error()}
		}
	}
	if end := givenOr(until, now); !end.After(from) {
		return from, until, &usageError{"--until must be after --from"}
	}
	return from, until, nil
}

// givenOr is t, or def where t is zero.
func givenOr(t, def time.Time) time.Time {
	if t.IsZero() {
		return def
	}
	return t
}

// parseInstant reads a day or an instant.
func parseInstant(text string) (time.Time, error) {
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is neither a day (2026-01-31) nor an instant (2026-01-31T12:00:00Z)", text)
}

// backfillResult is what `backfill` prints at its end.
type backfillResult struct {
	Account     string     `json:"account"`
	From        time.Time  `json:"from"`
	Until       time.Time  `json:"until"`
	NewestFirst bool       `json:"newestFirst"`
	DryRun      bool       `json:"dryRun"`
	Resumed     bool       `json:"resumed"`
	Cases       int64      `json:"cases"`
	Requests    int64      `json:"requests"`
	Holes       int64      `json:"holes"`
	StartedAt   time.Time  `json:"startedAt"`
	EndedAt     *time.Time `json:"endedAt"`
	Next        time.Time  `json:"next"`
}

// backfill runs one to its end, or until ctx ends.
func (m *Main) backfill(ctx context.Context, s *settings, f backfillFlags, from, until time.Time) error {
	logger := newLogger(m.Stderr, logSettings{Level: "warn", Format: "text"})
	at := slices.IndexFunc(s.Accounts, func(a accountSettings) bool { return a.ClientID == f.account })
	if at < 0 {
		return &usageError{fmt.Sprintf("--account: %q is none of the accounts in the settings", f.account)}
	}
	clients, err := s.newClients(&telemetry{})
	if err != nil {
		return err
	}
	defer clients[at].CloseIdleConnections()
	// It runs for hours: passwords and certificates change meanwhile.
	watch, err := rotate.New(rotate.Config{Every: m.hooks.lookEvery, Logger: logger})
	if err != nil {
		return err
	}
	s.watchClients(clients, watch)
	kafka, err := kafkaOptions(ctx, s, watch, logger)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() { defer close(watched); _ = watch.Run(ctx) }() // its only error is that of ctx
	defer func() { cancel(); <-watched }()
	client, err := kgo.NewClient(append(slices.Clone(kafka), ingest.ProducerOpts()...)...)
	if err != nil {
		return fmt.Errorf("make kafka client: %w", err)
	}
	defer client.Close()
	cfg := ingest.BackfillConfig{
		Account: ingest.PollAccount{ClientID: f.account, List: clients[at].Cases},
		From:    from, Until: givenOr(until, time.Now()), NewestFirst: f.newestFirst,
		Logger: logger,
	}
	if f.dryRun {
		return m.runBackfill(ctx, f, cfg)
	}
	names := namesOfTopics(s.Topics.Prefix)
	if cfg.Inbox, err = ingest.NewInbox(client, names.Inbox); err != nil {
		return err
	}
	if cfg.Cursors, err = ingest.NewCursors(client, kafka, names.PollCursor, logger); err != nil {
		return err
	}
	cfg.Waiting = ingest.WatchBacklog(kadm.NewClient(client), s.Topics.Prefix+"process", names.Inbox)
	if until.IsZero() {
		if cfg.Until, err = unfinished(ctx, cfg); err != nil {
			return err
		}
	}
	return m.runBackfill(ctx, f, cfg)
}

// unfinished is the end of a backfill with the same beginning and direction that
// was interrupted, else the one of the configuration.
func unfinished(ctx context.Context, cfg ingest.BackfillConfig) (time.Time, error) {
	all, err := cfg.Cursors.All(ctx)
	if err != nil {
		return time.Time{}, err
	}
	until, updated := cfg.Until, time.Time{}
	for _, cursor := range all {
		b := cursor.Backfill
		if cursor.ClientID == cfg.Account.ClientID && b != nil && b.EndedAt == nil && b.From.Equal(cfg.From.Truncate(time.Second)) &&
			b.NewestFirst == cfg.NewestFirst && cursor.UpdatedAt.After(updated) {
			until, updated = b.Until, cursor.UpdatedAt
		}
	}
	return until, nil
}

func (m *Main) runBackfill(ctx context.Context, f backfillFlags, cfg ingest.BackfillConfig) error {
	shown := newProgress(m.Stderr, m.Environ, "backfill "+f.account, "cases")
	cfg.Tell = func(s ingest.BackfillStatus) {
		total := int64(0)
		if s.Covered > 0.01 {
			total = max(s.Cases, int64(float64(s.Cases)/s.Covered))
		}
		shown.set(s.Cases, total)
	}
	b, err := ingest.NewBackfill(cfg)
	if err != nil {
		return err
	}
	before := time.Now()
	status, err := b.Run(ctx)
	shown.end()
	if err != nil {
		if ctx.Err() != nil {
			return errInterrupted(f.dryRun, status)
		}
		return err
	}
	result := backfillResult{
		Account: f.account, From: status.From, Until: status.Until, NewestFirst: status.NewestFirst, DryRun: f.dryRun, Resumed: status.Resumed,
		Cases: status.Cases, Requests: status.Requests, Holes: status.Holes, StartedAt: status.StartedAt, EndedAt: status.EndedAt, Next: status.Next,
	}
	return result.print(m.Stdout, f.asJSON, before)
}

// errInterrupted says what becomes of the progress.
func errInterrupted(dryRun bool, status ingest.BackfillStatus) error {
	if dryRun {
		return errors.New("interrupted: a dry run keeps no progress, the next one begins anew")
	}
	return errors.New("interrupted: run the same command again, and it goes on at " + status.Next.Format(time.RFC3339))
}

// print tells the result. A hole fails the command: not everything was listed.
func (r backfillResult) print(w io.Writer, asJSON bool, before time.Time) error {
	if asJSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		if err := enc.Encode(r); err != nil {
			return fmt.Errorf("print result: %w", err)
		}
	} else if _, err := io.WriteString(w, r.text(before)); err != nil {
		return fmt.Errorf("print result: %w", err)
	}
	if r.Holes > 0 {
		return fmt.Errorf("%d seconds hold more cases than the API lists, see above: some cases are missing", r.Holes)
	}
	return nil
}

func (r backfillResult) text(before time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, created from %s until %s\n", r.Account, r.From.Format(time.RFC3339), r.Until.Format(time.RFC3339))
	from := "from 1 request"
	if r.Requests != 1 {
		from = "from " + grouped(r.Requests) + " requests"
	}
	switch {
	case r.EndedAt != nil && r.EndedAt.Before(before):
		fmt.Fprintf(&b, "Done already, on %s: %s cases. Nothing was listed.\n", r.EndedAt.Format(time.RFC3339), grouped(r.Cases))
	case r.DryRun:
		fmt.Fprintf(&b, "%s cases, %s. A dry run: nothing was written.\n", grouped(r.Cases), from)
	default:
		fmt.Fprintf(&b, "%s triggers written, %s.\n", grouped(r.Cases), from)
		if r.Resumed {
			fmt.Fprintf(&b, "Those of the interrupted run are counted, which began at %s.\n", r.StartedAt.Format(time.RFC3339))
		}
		b.WriteString("What was not published yet follows as events; what was is not published again.\n")
	}
	return b.String()
}
