package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"postident-bridge/internal/audit"
)

func (m *Main) recordsSweepCommand() *cobra.Command {
	var f recordsFlags
	var w sweepFlags
	cmd := &cobra.Command{
		Use:   "sweep",
		Short: "Delete objects that no event names",
		Long: `Lists the store for objects of the bridge that are older than --older-than, reads
status.v1, and result.v1 where it is, to their ends after that, and deletes what no
event names: what was stored and then never published, because a process died in
between and its case was not read again.

An object is left alone if an event may have named it and have expired: if status.v1
does not hold the first event of its case, or result.v1 does not reach back and only
a result may have named it. --expired-ok deletes those too; docs/records.md says
when that is right. Harmless to repeat, and beside bridges that run.`,
		Example: `  bridge records sweep --dry-run
  bridge records sweep --older-than 168h
  bridge records sweep --account ACME0001 --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			d, err := m.openRecordsDesk(cmd.Context(), &f)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, d.store.Close()) }()
			doc, err := d.sweep(cmd.Context(), w)
			if err != nil {
				if doc.Deleted > 0 {
					err = fmt.Errorf("%w (%s deleted before)", err, plural(int(doc.Deleted), "object"))
				}
				return err
			}
			if f.asJSON {
				return printJSON(m.Stdout, doc)
			}
			return d.printSweep(doc)
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&w.dryRun, "dry-run", false, "say what would be deleted, and delete nothing")
	cmd.Flags().BoolVar(&w.expired, "expired-ok", false, "delete what an event may have named that has expired, too")
	return cmd
}

// sweepFlags are those of the sweep alone.
type sweepFlags struct{ dryRun, expired bool }

// sweptDocument is what `records sweep --json` prints.
type sweptDocument struct {
	Store  string `json:"store"`
	DryRun bool   `json:"dryRun"`
	listing
	Orphans  int64         `json:"orphans"`
	Deleted  int64         `json:"deleted"`
	Bytes    int64         `json:"bytes"`    // of those that were, or would be, deleted
	Unproven int64         `json:"unproven"` // left alone without --expired-ok
	Changed  int64         `json:"changed"`  // left alone: they were stored again, or are gone, since they were listed
	Named    []namedObject `json:"named"`    // --limit of orphans, and of unproven ones
}

// errHidden refuses to delete what an unseen event may name.
var errHidden = errors.New("nothing more is deleted, for events may be there that cannot be read, and name objects")

func (d *recordsDesk) sweep(ctx context.Context, f sweepFlags) (*sweptDocument, error) {
	doc := &sweptDocument{Store: d.store.String(), DryRun: f.dryRun, Named: []namedObject{}}
	if !f.dryRun {
		health, err := patiently(ctx, d.store.Check)
		if err != nil {
			return doc, err
		}
		if !health.Delete {
			return doc, errors.New("the store does not allow to delete: sweeping needs that right, as docs/records.md says")
		}
	}
	named := new(audit.References)
	reading, err := d.readEvents(ctx, "reading", func(e *audit.RecordEvent) error {
		for _, r := range e.References {
			named.Add(r)
		}
		return nil
	})
	if err != nil {
		return doc, err
	}
	if err := refused(reading); err != nil {
		return doc, err
	}
	list := newFound(d.flags.limit)
	doc.listing, err = d.findOrphans(ctx, named, func(orphans []audit.Orphan, reading audit.RecordReading) error {
		if err := refused(reading); err != nil {
			return err
		}
		return d.deleteAll(ctx, orphans, f, doc, list)
	})
	doc.Named = list.objects
	return doc, err
}

// refused is why nothing may be deleted after a reading.
func refused(r audit.RecordReading) error {
	if len(r.Hidden) > 0 {
		return fmt.Errorf("%w: %s", errHidden, r.Hidden[0])
	}
	if r.UnreadableCount > 0 {
		return fmt.Errorf("%w: %s values on the topics are no events, the first at %s", errHidden, grouped(r.UnreadableCount), r.Unreadable[0])
	}
	return nil
}

// deleteAll deletes orphans.
//
// Crash point: what was deleted is gone, the rest is an orphan still, and the next
// sweep finds it.
func (d *recordsDesk) deleteAll(ctx context.Context, orphans []audit.Orphan, f sweepFlags, doc *sweptDocument, list *found) error {
	shown := newProgress(d.main.Stderr, d.main.Environ, "deleting", "objects")
	defer shown.end()
	for i, o := range orphans {
		shown.set(int64(i), int64(len(orphans)))
		if !o.Proven && !f.expired {
			doc.Unproven++
			list.add(namedObject{Kind: kindUnproven, Object: d.store.Location(o.Name)})
			continue
		}
		doc.Orphans++
		if !f.dryRun {
			deleted, err := patiently(ctx, func(ctx context.Context) (bool, error) { return d.store.Sweep(ctx, o.Listed) })
			if err != nil {
				return err
			}
			if !deleted {
				doc.Changed++
				continue
			}
			doc.Deleted++
		}
		doc.Bytes += o.Size
		list.add(namedObject{Kind: kindOrphan, Object: d.store.Location(o.Name)})
	}
	return nil
}

// printSweep prints a sweep for people.
func (d *recordsDesk) printSweep(doc *sweptDocument) error {
	if err := printObjects(d.main.Stdout, doc.Named); err != nil {
		return err
	}
	var b strings.Builder
	size := bytesText(doc.Bytes)
	switch {
	case doc.Orphans == 0:
		b.WriteString("No orphan.\n")
	case doc.DryRun:
		fmt.Fprintf(&b, "Would delete %s, %s. Nothing was deleted.\n", plural(int(doc.Orphans), "orphan"), size)
	default:
		fmt.Fprintf(&b, "%s deleted, %s.\n", plural(int(doc.Deleted), "orphan"), size)
	}
	if doc.Changed > 0 {
		fmt.Fprintf(&b, "%s stored again or gone since the listing, left alone.\n", plural(int(doc.Changed), "orphan"))
	}
	if doc.Unproven > 0 {
		fmt.Fprintf(&b, "%s left alone that an expired event may have named: --expired-ok.\n", plural(int(doc.Unproven), "object"))
	}
	fmt.Fprintf(&b, "%s objects listed", grouped(doc.Objects))
	if doc.Young > 0 {
		fmt.Fprintf(&b, ", %s that no event names younger than %s", grouped(doc.Young), shortDuration(d.flags.olderThan))
	}
	if doc.Foreign > 0 {
		fmt.Fprintf(&b, ", %s not the bridge's", grouped(doc.Foreign))
	}
	b.WriteString(".\n")
	_, err := fmt.Fprint(d.main.Stdout, b.String())
	return err
}
