package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"postident-bridge/internal/audit"
	"postident-bridge/internal/claim"
	"postident-bridge/internal/scr"
	"postident-bridge/schemas"
)

func (m *Main) recordsCommand() *cobra.Command {
	group := &cobra.Command{
		Use:   "records",
		Short: "Compare the binary records with the events, or sweep orphans",
		Long: `Compares the objects in the store of BRIDGE_RECORDS_URL with what the events on
status.v1 and result.v1 say of them, or deletes those that no event names. Works on
the topics and the store alone, beside bridges that run. docs/records.md says what
the store is asked for.`,
		Example: "  bridge records check\n  bridge records sweep --dry-run",
		Args:    cobra.NoArgs,
		RunE:    showHelp,
	}
	group.AddCommand(m.recordsCheckCommand(), m.recordsSweepCommand())
	return group
}

// recordsFlags are those that both verbs have.
type recordsFlags struct {
	accounts, cases []string
	olderThan       time.Duration
	limit           int
	asJSON          bool
}

// shownObjects is how many objects of a kind are named unless more are asked for.
const shownObjects = 5

func (f *recordsFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringSliceVar(&f.accounts, "account", nil, "only of these accounts (clientId)")
	cmd.Flags().StringSliceVar(&f.cases, "case", nil, "only of these cases (caseId)")
	cmd.Flags().DurationVar(&f.olderThan, "older-than", claim.MinOrphanAge,
		fmt.Sprintf("how old an object that no event names has to be, at least %s", shortDuration(claim.MinOrphanAge)))
	cmd.Flags().IntVar(&f.limit, "limit", shownObjects, "name no more than so many objects of a kind, 0 for all")
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "print JSON")
}

func (f *recordsFlags) check() error {
	for _, a := range f.accounts {
		if !clientIDPattern.MatchString(a) {
			return &usageError{fmt.Sprintf("--account: %q is no clientId", a)}
		}
	}
	for _, c := range f.cases {
		if !scr.ValidCaseID(c) {
			return &usageError{fmt.Sprintf("--case: %q is no caseId", c)}
		}
	}
	if f.olderThan < claim.MinOrphanAge {
		return &usageError{fmt.Sprintf("--older-than must be at least %s: what an event is about to name is younger", shortDuration(claim.MinOrphanAge))}
	}
	return checkLimit(f.limit)
}

// chosen says whether the flags ask for a case.
func (f *recordsFlags) chosen(clientID, caseID string) bool {
	return (len(f.accounts) == 0 || slices.Contains(f.accounts, clientID)) && (len(f.cases) == 0 || slices.Contains(f.cases, caseID))
}

// recordsDesk is where the verbs of records work: a desk with the store.
type recordsDesk struct {
	*desk
	flags   *recordsFlags
	store   *claim.Store
	sources audit.RecordSources // but for their scans
}

// openRecordsDesk reads the settings that lead to topics, registry and store. It
// connects to nothing; the caller closes the store.
func (m *Main) openRecordsDesk(ctx context.Context, f *recordsFlags) (*recordsDesk, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	s, warnings, err := loadSettings(m.Environ, needKafka, needRecords)
	m.warn(warnings)
	if err != nil {
		return nil, err
	}
	opts, err := kafkaOptions(ctx, &s, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	d := &recordsDesk{desk: &desk{main: m, names: namesOfTopics(s.Topics.Prefix), kafka: opts, now: time.Now()}, flags: f}
	var lookup func(context.Context, int) (string, error)
	if len(s.Schemas.Registry.URL) > 0 {
		registry, err := newRegistry(&s, nil)
		if err != nil {
			return nil, err
		}
		lookup = registry.SchemaByID
	}
	d.sources = audit.RecordSources{StatusDecoder: schemas.NewStatusDecoder(lookup), ResultDecoder: schemas.NewResultDecoder(lookup)}
	if d.store, err = claim.Open(ctx, s.Records.URL); err != nil {
		return nil, err
	}
	return d, nil
}

// readEvents visits every event of the topics that name objects, to where they end
// now.
func (d *recordsDesk) readEvents(ctx context.Context, what string, visit func(*audit.RecordEvent) error) (audit.RecordReading, error) {
	s := d.sources
	scan := func(topic string) audit.Scan {
		var shown *progress // begun with the first word of the topic: the other is read before
		return audit.Scan{Kafka: d.kafka, Topic: topic, Progress: func(read, total int64) {
			if shown == nil {
				d.quiet()
				shown = newProgress(d.main.Stderr, d.main.Environ, what+" "+topic, "events")
				d.current = shown
			}
			shown.set(read, total)
		}}
	}
	s.Status, s.Result = scan(d.names.Status), scan(d.names.Result)
	reading, err := audit.ReadRecordEvents(ctx, s, visit)
	d.quiet()
	return reading, err
}

// list lists the objects that the flags ask for, and all that are not the bridge's
// beside them.
func (d *recordsDesk) list(ctx context.Context) iter.Seq2[claim.Listed, error] {
	return func(yield func(claim.Listed, error) bool) {
		for _, p := range d.flags.listed() {
			for l, err := range d.store.List(ctx, p.clientID, p.caseID) {
				if err == nil && !l.Foreign && !d.flags.chosen(l.Key.ClientID, l.Key.CaseID) {
					continue
				}
				if !yield(l, err) || err != nil {
					return
				}
			}
		}
	}
}

// listedPart is a part of the store that can be listed by itself; "" is all.
type listedPart struct{ clientID, caseID string }

// listed are the parts of the store in which the objects lie that the flags ask
// for.
func (f *recordsFlags) listed() []listedPart {
	if len(f.accounts) == 0 {
		return []listedPart{{}} // names begin with the account
	}
	var parts []listedPart
	for _, clientID := range f.accounts {
		if len(f.cases) == 0 {
			parts = append(parts, listedPart{clientID: clientID})
		}
		for _, caseID := range f.cases {
			parts = append(parts, listedPart{clientID, caseID})
		}
	}
	return parts
}

// listing counts what is in the store.
type listing struct {
	Objects int64 `json:"objects"` // all that were listed
	Young   int64 `json:"young"`   // no event names them yet
	Foreign int64 `json:"foreign"` // not the bridge's, by their names
}

// orphanBatch bounds the objects that are held in memory at a time: some 300 bytes
// each.
const orphanBatch = 20_000

// findOrphans lists the store and hands over the objects that are older than the
// delay and that no event names, batch by batch.
//
// No reference is missed. An object is listed first, and the topics are read to
// their ends after that, read-committed. So an event that names it and is not seen
// is committed later than it was listed, by a bridge that called Put before. If
// that was after the listing, Put found an object older than MinOrphanAge, wrote it
// anew, and claim.Store.Sweep sees that it is not the one that was listed. If it was
// before, and did not write it anew, the object was younger than half of
// MinOrphanAge then and is older than all of it now; no bridge waits for so long
// between the two (claim.MinOrphanAge). What an open transaction may hide, or a
// value that nobody can read, is in the reading that is handed over: the caller
// has to refuse it.
//
// named may lack references, for it was made before; it only keeps the candidates
// few.
func (d *recordsDesk) findOrphans(ctx context.Context, named *audit.References, batch func([]audit.Orphan, audit.RecordReading) error) (listing, error) {
	var seen listing
	var candidates audit.Candidates
	settle := func() error {
		reading, err := d.readEvents(ctx, "looking once more into", func(e *audit.RecordEvent) error {
			candidates.Visit(e)
			return nil
		})
		if err != nil {
			return err
		}
		orphans := candidates.Orphans(reading.ResultsFromStart)
		candidates = audit.Candidates{}
		return batch(orphans, reading)
	}
	begin := func() *progress {
		return newProgress(d.main.Stderr, d.main.Environ, "listing "+d.store.String(), "objects")
	}
	shown := begin()
	for l, err := range d.list(ctx) {
		if err != nil {
			shown.end()
			return seen, err
		}
		seen.Objects++
		shown.set(seen.Objects, 0)
		switch {
		case l.Foreign:
			seen.Foreign++
		case claim.IsOrphan(l, named.Names, d.flags.olderThan, time.Now()):
			candidates.Add(l)
		case l.Leftover || !named.Names(l.Name):
			seen.Young++
		}
		if candidates.Len() == orphanBatch {
			shown.end()
			if err := settle(); err != nil {
				return seen, err
			}
			shown = begin()
		}
	}
	shown.end()
	if candidates.Len() == 0 {
		return seen, nil
	}
	return seen, settle()
}

const (
	// storeTimeout bounds one call to the store: it may keep silent, and an object may
	// be large.
	storeTimeout = 5 * time.Minute
	// storeTries is how often a call is made that the store does not answer: hours of
	// work are not to end by a moment's silence.
	storeTries = 5
)

// patiently calls the store until it answers, a few times at most.
func patiently[T any](ctx context.Context, call func(context.Context) (T, error)) (T, error) {
	for try := 1; ; try++ {
		bounded, cancel := context.WithTimeout(ctx, storeTimeout)
		v, err := call(bounded)
		cancel()
		unavailable := (*claim.UnavailableError)(nil)
		if err == nil || !errors.As(err, &unavailable) || try == storeTries || !pause(ctx, time.Second<<(try-1)) {
			return v, err
		}
	}
}

// namedObject is an object as it is printed.
type namedObject struct {
	Kind   string `json:"kind"`
	Object string `json:"object"`           // its location, or its name
	Event  string `json:"event,omitempty"`  // topic/partition@offset that names it
	Detail string `json:"detail,omitempty"` // for people
}

// printObjects prints what is wrong with which objects.
func printObjects(w io.Writer, objects []namedObject) error {
	for _, o := range objects {
		line := "  " + o.Kind + ": " + printable(o.Object)
		if o.Event != "" {
			line += " in " + o.Event
		}
		if o.Detail != "" {
			line += ", " + o.Detail
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return fmt.Errorf("print objects: %w", err)
		}
	}
	return nil
}

// bytesText is a size as people say it.
func bytesText(n int64) string {
	const k = 1000
	units := []string{"kB", "MB", "GB", "TB"}
	if n < k {
		return strconv.FormatInt(n, 10) + " bytes"
	}
	value := float64(n) / k
	for len(units) > 1 && value >= k {
		value, units = value/k, units[1:]
	}
	return strconv.FormatFloat(value, 'f', 1, 64) + " " + units[0]
}
