package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"postident-bridge/internal/audit"
	"postident-bridge/internal/claim"
)

// verifiers is how many objects are read at a time.
const verifiers = 8

// What a reference can be beside claim's verdicts, and what an object that no
// event names is.
const (
	kindMalformed   = "malformed"    // a reference that names no object
	kindAnotherCase = "another_case" // a reference to an object of another case
	kindUnreadable  = "unreadable"   // a value that is no event of ours
	kindOrphan      = "orphan"       // no event ever named it
	kindUnproven    = "unproven"     // no event names it, but one may have, and have expired
)

// recordKinds are all of them in the order in which they are printed, with what
// they mean.
var recordKinds = []struct{ kind, means string }{
	{claim.Intact.String(), "as the event says"},
	{claim.Missing.String(), "the object is not there"},
	{claim.WrongSize.String(), "the object has another size"},
	{claim.WrongDigest.String(), "the object has another content"},
	{claim.Elsewhere.String(), "the object is in another store"},
	{kindAnotherCase, "the object is of another case"},
	{kindMalformed, "the event names nothing that can be"},
	{kindUnreadable, "a value on a topic is no event"},
	{kindOrphan, "no event ever named it"},
	{kindUnproven, "no event names it, an expired one may"},
}

func (m *Main) recordsCheckCommand() *cobra.Command {
	var f recordsFlags
	var noDigest bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Compare what the events say of records with the store",
		Long: `Reads status.v1, and result.v1 where it is, to their ends, and looks at every object
that an event names: whether it is there, and has the size and the SHA-256 that the
event says. Then lists the store for objects that no event names and that are older
than --older-than. Changes nothing, and exits 1 if anything is not as it should be.

Every object is read unless --no-digest says otherwise. It takes about 40 bytes of
memory for each object that events name.`,
		Example: `  bridge records check
  bridge records check --no-digest --json
  bridge records check --account ACME0001 --case IFH944SVWOZW`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			d, err := m.openRecordsDesk(cmd.Context(), &f)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, d.store.Close()) }()
			doc, err := d.check(cmd.Context(), !noDigest)
			if err != nil {
				return err
			}
			d.warnOfHidden(doc.Hidden)
			if f.asJSON {
				err = printJSON(m.Stdout, doc)
			} else {
				err = d.printCheck(doc)
			}
			if err == nil && doc.differences() > 0 {
				err = &reportedError{"records differ"}
			}
			return err
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&noDigest, "no-digest", false, "look only whether objects are there and at their sizes, and read none")
	return cmd
}

// recordsDocument is what `records check --json` prints.
type recordsDocument struct {
	Store  string           `json:"store"`
	Events int64            `json:"events"` // of the cases that were asked for
	Named  int              `json:"named"`  // objects that they name
	Read   bool             `json:"read"`   // the objects were read
	Kinds  map[string]int64 `json:"kinds"`
	listing
	Differences []namedObject  `json:"differences"` // --limit of each kind
	Hidden      []audit.Hidden `json:"hidden"`
}

func (r *recordsDocument) differences() int64 {
	var n int64
	for kind, count := range r.Kinds {
		if kind != claim.Intact.String() {
			n += count
		}
	}
	return n
}

// found is what a check has found so far. It is safe for concurrent use.
type found struct {
	limit int

	mu      sync.Mutex
	kinds   map[string]int64 // guarded by mu
	objects []namedObject    // guarded by mu
}

func newFound(limit int) *found {
	f := &found{limit: limit, kinds: make(map[string]int64), objects: []namedObject{}}
	for _, k := range recordKinds {
		f.kinds[k.kind] = 0
	}
	return f
}

func (f *found) add(o namedObject) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.kinds[o.Kind]++
	if o.Kind != claim.Intact.String() && (f.limit == 0 || f.kinds[o.Kind] <= int64(f.limit)) {
		f.objects = append(f.objects, o)
	}
}

// check compares topics and store, both ways.
func (d *recordsDesk) check(ctx context.Context, digest bool) (*recordsDocument, error) {
	doc := &recordsDocument{Store: d.store.String(), Read: digest}
	f := newFound(d.flags.limit)
	named, err := d.checkReferences(ctx, digest, doc, f)
	if err != nil {
		return nil, err
	}
	doc.Named = named.Len()
	doc.listing, err = d.findOrphans(ctx, named, func(orphans []audit.Orphan, reading audit.RecordReading) error {
		for _, o := range orphans {
			kind := kindOrphan
			if !o.Proven || len(reading.Hidden) > 0 || reading.UnreadableCount > 0 {
				kind = kindUnproven
			}
			f.add(namedObject{Kind: kind, Object: d.store.Location(o.Name), Detail: "since " + o.Modified.UTC().Format("2006-01-02")})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	doc.Kinds, doc.Differences = f.kinds, f.objects
	return doc, nil
}

// lookedFor is an object that an event names.
type lookedFor struct {
	reference claim.Reference
	event     string
}

// checkReferences compares every object that an event names, each once, while the
// topics are read: nothing waits in memory.
func (d *recordsDesk) checkReferences(ctx context.Context, digest bool, doc *recordsDocument, f *found) (*audit.References, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	queue := make(chan lookedFor, verifiers)
	var verifying sync.WaitGroup
	for range verifiers {
		verifying.Go(func() {
			if err := d.verify(ctx, digest, queue, f); err != nil {
				cancel(err)
			}
		})
	}
	named := new(audit.References)
	reading, err := d.readEvents(ctx, "checking", func(e *audit.RecordEvent) error {
		if !d.flags.chosen(e.ClientID, e.CaseID) {
			return nil
		}
		doc.Events++
		return d.lookFor(ctx, e, named, queue, f)
	})
	close(queue)
	verifying.Wait()
	if cause := context.Cause(ctx); cause != nil {
		return nil, cause // the store's error, or the caller's; err only follows from it
	}
	if err != nil {
		return nil, err
	}
	doc.Hidden = orEmpty(reading.Hidden)
	for _, where := range reading.Unreadable {
		f.add(namedObject{Kind: kindUnreadable, Object: where})
	}
	f.kinds[kindUnreadable] = reading.UnreadableCount // nobody else adds any more
	return named, nil
}

// lookFor queues the objects that an event names, and judges what needs no look.
func (d *recordsDesk) lookFor(ctx context.Context, e *audit.RecordEvent, named *audit.References, queue chan<- lookedFor, f *found) error {
	for _, r := range e.References {
		o := namedObject{Object: r.Location, Event: e.Where()}
		_, here := d.store.Name(r.Location)
		switch {
		case r.Validate() != nil:
			o.Kind, o.Object = kindMalformed, "a reference" // whatever it says, it is no place
		case here && !e.Owns(r.Location):
			o.Kind = kindAnotherCase
		}
		if o.Kind != "" {
			f.add(o)
			continue
		}
		if !named.Add(r) {
			continue
		}
		select {
		case queue <- lookedFor{r, e.Where()}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// verify looks at the objects of the queue until it is closed.
func (d *recordsDesk) verify(ctx context.Context, digest bool, queue <-chan lookedFor, f *found) error {
	look := d.store.Look
	if digest {
		look = d.store.Verify
	}
	for next := range queue {
		verdict, err := patiently(ctx, func(ctx context.Context) (claim.Verdict, error) { return look(ctx, next.reference) })
		if err != nil {
			return err
		}
		f.add(namedObject{Kind: verdict.String(), Object: next.reference.Location, Event: next.event})
	}
	return nil
}

// printCheck prints a check for people.
func (d *recordsDesk) printCheck(doc *recordsDocument) error {
	w := d.main.Stdout
	rows := [][]string{{"RECORDS", "OBJECTS", "MEANS"}}
	for _, k := range recordKinds {
		if n := doc.Kinds[k.kind]; n > 0 || k.kind == claim.Intact.String() {
			rows = append(rows, []string{k.kind, grouped(n), k.means})
		}
	}
	if err := table(w, rows); err != nil {
		return err
	}
	if err := printObjects(w, doc.Differences); err != nil {
		return err
	}
	var b strings.Builder
	if more := doc.differences() - int64(len(doc.Differences)); more > 0 {
		fmt.Fprintf(&b, "and %s more: --limit 0 names all\n", grouped(more))
	}
	fmt.Fprintf(&b, "%s events name %s objects; %s are in the store", grouped(doc.Events), grouped(doc.Named), grouped(doc.Objects))
	if doc.Young > 0 {
		fmt.Fprintf(&b, ", %s too young to judge", grouped(doc.Young))
	}
	if doc.Foreign > 0 {
		fmt.Fprintf(&b, ", %s not the bridge's", grouped(doc.Foreign))
	}
	b.WriteString(".\n")
	if !doc.Read {
		b.WriteString("Their contents were not compared.\n")
	}
	_, err := fmt.Fprint(w, b.String())
	return err
}
