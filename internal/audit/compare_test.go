package audit_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/internal/audit"
	"postident-bridge/schemas"
)

var options = audit.Options{
	Strict: true, RequireAll: true, Partitions: partitions,
	Classes: map[string]schemas.RegulatoryClass{"ACME": schemas.RegulatoryClassGwG},
}

// counts is a report in figures.
func counts(r audit.Report) map[string]int {
	out := map[string]int{}
	for i := range r.Findings {
		out[r.Findings[i].Kind.String()]++
	}
	return out
}

func TestCompareAcceptsTheTruth(t *testing.T) {
	t.Parallel()
	truth := walk()
	events := published(t, truth)
	for i := range events {
		events[i].Event = decode(t, events[i].Value) // millisecond times, as read back
	}
	r := audit.CompareWith(truth, events, options)
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	if got, want := r.String(), "verified: 11 changes, 11 events, 0 lost, 0 doubled, 0 out of order"; got != want {
		t.Errorf("String() = %q, want %q", got, want)
	}
}

func TestCompareFindsWhatIsPlanted(t *testing.T) {
	t.Parallel()
	find := func(events []audit.Published, caseID string, n int) int {
		at := slices.IndexFunc(events, func(p audit.Published) bool {
			return p.Event.CaseID == caseID && p.Event.Sequence == int64(n)
		})
		if at < 0 {
			panic("no such event")
		}
		return at
	}
	header := func(name, value string) func([]audit.Published) []audit.Published {
		return func(events []audit.Published) []audit.Published {
			for i, h := range events[0].Headers {
				if h.Key == name {
					events[0].Headers[i].Value = []byte(value)
				}
			}
			return events
		}
	}
	tests := map[string]struct {
		truth   func(truth []audit.Change) []audit.Change // what the topic is written from
		edit    func(n int, e *schemas.StatusChanged)     // of the n-th event, before it is encoded
		records func(events []audit.Published) []audit.Published
		want    map[string]int
		names   string // in the first finding
	}{
		"lost in the middle": {
			records: func(events []audit.Published) []audit.Published {
				at := find(events, "PHOTO0000002", 2)
				return slices.Delete(events, at, at+1)
			},
			want:  map[string]int{"lost": 1, "gaps": 1, "chain breaks": 1},
			names: "case ACME/PHOTO0000002",
		},
		"lost at the end": {
			records: func(events []audit.Published) []audit.Published {
				at := find(events, "BASIC0000001", 3)
				return slices.Delete(events, at, at+1)
			},
			want:  map[string]int{"lost": 1},
			names: "basic success (final)",
		},
		"lost at the start": {
			records: func(events []audit.Published) []audit.Published {
				at := find(events, "BASIC0000001", 1)
				return slices.Delete(events, at, at+1)
			},
			want: map[string]int{"lost": 1, "gaps": 1, "chain breaks": 1},
		},
		"never published, with sequence and chain in order": {
			truth: func(truth []audit.Change) []audit.Change { return slices.Delete(truth, 3, 4) },
			want:  map[string]int{"lost": 1},
			names: "basic review pending (preliminary)",
		},
		"a whole case": {
			truth: func(truth []audit.Change) []audit.Change {
				return slices.DeleteFunc(truth, func(c audit.Change) bool { return c.CaseID == "CLOSED000004" })
			},
			want:  map[string]int{"lost": 1},
			names: "case closed",
		},
		"a record twice": {
			records: func(events []audit.Published) []audit.Published {
				again := events[find(events, "BASIC0000001", 3)]
				again.Offset += 1000
				return append(events, again)
			},
			want: map[string]int{"doubled": 2, "out of order": 1, "chain breaks": 1},
		},
		"a change twice, with sequence and chain in order": {
			truth: func(truth []audit.Change) []audit.Change { return slices.Insert(truth, 4, truth[3]) },
			want:  map[string]int{"doubled": 1},
			names: "event 3 at " + statusTopic,
		},
		"a closing twice": {
			truth: func(truth []audit.Change) []audit.Change {
				return append(truth, closing("CLOSED000004", 131))
			},
			want: map[string]int{"doubled": 1},
		},
		"swapped on the topic": {
			records: func(events []audit.Published) []audit.Published {
				i, j := find(events, "PHOTO0000002", 1), find(events, "PHOTO0000002", 2)
				events[i].Offset, events[j].Offset = events[j].Offset, events[i].Offset
				return events
			},
			// The later state comes first: its sequence leaves a gap, the earlier one
			// goes back, and every link is broken up to the one after them.
			want: map[string]int{"gaps": 2, "out of order": 2, "chain breaks": 3},
		},
		"in another order, with sequence and chain in order": {
			truth: func(truth []audit.Change) []audit.Change {
				truth[1], truth[3] = truth[3], truth[1]
				return truth
			},
			want:  map[string]int{"out of order": 1},
			names: "coupon requested",
		},
		"gap in the sequence": {
			edit: func(_ int, e *schemas.StatusChanged) {
				if e.CaseID == "BASIC0000001" && e.StatusType == schemas.StatusTypeFinal {
					e.Sequence++
				}
			},
			want:  map[string]int{"gaps": 1},
			names: "sequence 3 was to come",
		},
		"sequence from 0": {
			edit: func(_ int, e *schemas.StatusChanged) {
				if e.CaseID == "CLOSED000004" {
					e.Sequence--
				}
			},
			want: map[string]int{"out of order": 1},
		},
		"wrong hash": {
			edit: func(_ int, e *schemas.StatusChanged) {
				if e.PreviousEventHash != nil && e.StatusType == schemas.StatusTypePreliminary {
					hash := make([]byte, 32)
					e.PreviousEventHash = &hash
				}
			},
			want: map[string]int{"chain breaks": 1},
		},
		"no hash": {
			edit: func(_ int, e *schemas.StatusChanged) {
				if e.StatusType == schemas.StatusTypePreliminary {
					e.PreviousEventHash = nil
				}
			},
			want: map[string]int{"chain breaks": 1},
		},
		"a hash before the first": {
			edit: func(n int, e *schemas.StatusChanged) {
				if n == 0 {
					hash := make([]byte, 32)
					e.PreviousEventHash = &hash
				}
			},
			want: map[string]int{"chain breaks": 1},
		},
		"a value that was changed afterwards": {
			records: func(events []audit.Published) []audit.Published {
				p := &events[find(events, "BASIC0000001", 1)]
				p.Value = append(slices.Clone(p.Value), 0)
				return events
			},
			want: map[string]int{"chain breaks": 1},
		},
		"invented state": {
			truth: func(truth []audit.Change) []audit.Change {
				return append(truth, with(change("BASIC0000001", "basic", "declined", "final", 200), sub(11)))
			},
			want:  map[string]int{"invented": 1},
			names: "basic declined",
		},
		"invented code": {
			edit: func(_ int, e *schemas.StatusChanged) {
				if e.SubStatus != nil && e.SubStatus.Code == 33 {
					e.SubStatus = &schemas.StatusCode{Code: 34}
				}
			},
			want: map[string]int{"invented": 1, "lost": 1},
		},
		"invented reason": {
			edit: func(_ int, e *schemas.StatusChanged) {
				if e.SubStatus != nil && e.SubStatus.Code == 33 {
					e.SubStatusReason = &schemas.StatusCode{Code: 801}
				}
			},
			want: map[string]int{"invented": 1, "lost": 1},
		},
		"invented identificationTime": {
			edit: func(_ int, e *schemas.StatusChanged) {
				if e.CaseID == "BASIC0000001" && e.StatusType == schemas.StatusTypeFinal {
					e.Identification.IdentificationTime = new(at(7))
				}
			},
			want: map[string]int{"invented": 1, "lost": 1},
		},
		"invented case": {
			truth: func(truth []audit.Change) []audit.Change {
				return append(truth, change("GHOST0000009", "basic", "coupon requested", "notification", 5))
			},
			want: map[string]int{"invented": 1},
		},
		"invented closing": {
			truth: func(truth []audit.Change) []audit.Change { return append(truth, closing("PHOTO0000002", 200)) },
			want:  map[string]int{"invented": 1},
		},
		"a reused caseId counted as the old case (facts 2.8)": {
			edit: func(_ int, e *schemas.StatusChanged) {
				if e.CaseID == "CLOSED000004" {
					e.CaseStatus.Created = at(-90 * 86400)
				}
			},
			want: map[string]int{"invented": 1, "lost": 1},
		},
		"an untyped state without progress": {
			truth: func(truth []audit.Change) []audit.Change {
				truth[0].Status = "started " // the topic's writer leaves out plain ones
				return truth
			},
			edit: func(n int, e *schemas.StatusChanged) {
				if n == 0 {
					e.Status = schemas.StatusStarted
				}
			},
			want: map[string]int{"mismatched": 1},
		},
		"wrong status type": {
			edit: func(n int, e *schemas.StatusChanged) {
				if n == 0 {
					e.StatusType = schemas.StatusTypePreliminary
				}
			},
			want: map[string]int{"mismatched": 1},
		},
		"wrong regulatory class": {
			edit: func(n int, e *schemas.StatusChanged) {
				if n == 0 {
					e.RegulatoryClass = schemas.RegulatoryClassTKG
				}
			},
			want:  map[string]int{"mismatched": 1},
			names: "the account has gwg",
		},
		"modified before it happened": {
			edit: func(_ int, e *schemas.StatusChanged) {
				if e.StatusType == schemas.StatusTypePreliminary {
					e.Identification.Modified = at(59)
				}
			},
			want: map[string]int{"mismatched": 1, "lost": 1},
		},
		"modified after the next change": {
			edit: func(_ int, e *schemas.StatusChanged) {
				if e.StatusType == schemas.StatusTypePreliminary {
					e.Identification.Modified = at(91)
				}
			},
			want: map[string]int{"mismatched": 1},
		},
		"method none with an identification": {
			edit: func(_ int, e *schemas.StatusChanged) {
				if e.CaseID == "CLOSED000004" {
					e.Method = schemas.MethodEID
				}
			},
			want: map[string]int{"mismatched": 1},
		},
		"one eventId twice": {
			edit: func(n int, e *schemas.StatusChanged) {
				if n == 1 {
					e.EventID = "00000000-0000-5000-8000-000000000001"
				}
			},
			want: map[string]int{"doubled": 1},
		},
		"another partition": {
			records: func(events []audit.Published) []audit.Published {
				p := &events[find(events, "BASIC0000001", 3)]
				p.Partition = (p.Partition + 1) % partitions
				return events
			},
			// Not what its key began in, and not what murmur2 gives.
			want: map[string]int{"misplaced": 2},
		},
		"another key": {
			records: func(events []audit.Published) []audit.Published {
				events[0].Key = []byte("SOMETHING")
				events[0].Partition = int32(kgo.StickyKeyPartitioner(nil).ForTopic("").Partition(&kgo.Record{Key: events[0].Key}, partitions))
				return events[:1]
			},
			truth: func(truth []audit.Change) []audit.Change { return truth[:2] },
			want:  map[string]int{"mismatched": 1, "lost": 10},
		},
		"header ce_specversion":   {records: header("ce_specversion", "0.3"), want: map[string]int{"mismatched": 1}},
		"header ce_id":            {records: header("ce_id", "x"), want: map[string]int{"mismatched": 1}},
		"header ce_source":        {records: header("ce_source", "/scr/OTHER"), want: map[string]int{"mismatched": 1}},
		"header ce_type":          {records: header("ce_type", "postident.identification.final.v1"), want: map[string]int{"mismatched": 1}},
		"header ce_subject":       {records: header("ce_subject", "x"), want: map[string]int{"mismatched": 1}},
		"header ce_time":          {records: header("ce_time", epoch.Format(time.RFC3339)), want: map[string]int{"mismatched": 1}},
		"header content-type":     {records: header("content-type", schemas.ContentTypeConfluent), want: map[string]int{"mismatched": 1}},
		"header method":           {records: header("method", "video"), want: map[string]int{"mismatched": 1}},
		"header regulatory-class": {records: header("regulatory-class", "tkg"), want: map[string]int{"mismatched": 1}},
		"header status-type":      {records: header("status-type", "final"), want: map[string]int{"mismatched": 1}},
		"header client-id":        {records: header("client-id", "OTHER"), want: map[string]int{"mismatched": 1}},
		"header traceparent":      {records: header("traceparent", "00-zz"), want: map[string]int{"mismatched": 1}},
		"header missing": {
			records: func(events []audit.Published) []audit.Published {
				events[0].Headers = events[0].Headers[1:]
				return events
			},
			want: map[string]int{"mismatched": 1},
		},
		"header twice": {
			records: func(events []audit.Published) []audit.Published {
				events[0].Headers = append(events[0].Headers, events[0].Headers[0])
				return events
			},
			want: map[string]int{"mismatched": 1},
		},
		"header that is not agreed": {
			records: func(events []audit.Published) []audit.Published {
				events[0].Headers = append(events[0].Headers, kgo.RecordHeader{Key: "ce_data", Value: []byte("x")})
				return events
			},
			want: map[string]int{"mismatched": 1},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			written := walk()
			if tc.truth != nil {
				written = tc.truth(written)
			}
			topic := newTopic(t)
			topic.edit = tc.edit
			for _, c := range written {
				if c.Status != "started" {
					topic.publish(c)
				}
			}
			events := topic.events
			if tc.records != nil {
				events = tc.records(events)
			}
			r := audit.CompareWith(walk(), events, options)
			if diff := cmp.Diff(tc.want, counts(r)); diff != "" {
				t.Fatalf("findings (-want +got):\n%s\n%v", diff, r.Err())
			}
			if !strings.HasPrefix(r.String(), "not verified: ") {
				t.Errorf("String() = %q", r.String())
			}
			if err := r.Err(); err == nil || !strings.Contains(err.Error(), tc.names) {
				t.Errorf("Err() = %v, want it to name %q", err, tc.names)
			}
		})
	}
}

// Two identifications have one order where their modified tells it, and none
// that anyone could see where they share a second (facts 3).
func TestCompareOrdersIdentificationsByModified(t *testing.T) {
	t.Parallel()
	attempt := func(method string, modified int) audit.Change {
		return change("SWITCH000001", method, "review pending", "preliminary", modified)
	}
	tests := map[string]struct {
		truth, written []audit.Change
		want           map[string]int
	}{
		"later first":       {[]audit.Change{attempt("video", 5), attempt("basic", 6)}, []audit.Change{attempt("basic", 6), attempt("video", 5)}, map[string]int{"out of order": 1}},
		"in one second":     {[]audit.Change{attempt("video", 5), attempt("basic", 5)}, []audit.Change{attempt("basic", 5), attempt("video", 5)}, map[string]int{}},
		"case's clock, C28": {[]audit.Change{closing("SWITCH000001", 20), attempt("video", 15)}, []audit.Change{closing("SWITCH000001", 20), attempt("video", 15)}, map[string]int{}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := audit.CompareWith(tc.truth, published(t, tc.written), audit.Options{Strict: true, RequireAll: true})
			if diff := cmp.Diff(tc.want, counts(r)); diff != "" {
				t.Errorf("findings (-want +got):\n%s\n%v", diff, r.Err())
			}
		})
	}
}

// What has no event: lost, superseded or unseen.
func TestCompareTellsLostFromSupersededFromUnseen(t *testing.T) {
	t.Parallel()
	const id = "BASIC0000001"
	coupon := change(id, "basic", "coupon requested", "notification", 5)
	incomplete := with(change(id, "basic", "incomplete", "progress", 40), sub(53))
	review := change(id, "basic", "review pending", "preliminary", 60)
	success := change(id, "basic", "success", "final", 90)
	other := change(id, "eid", "success", "final", 91)
	tests := map[string]struct {
		truth, written           []audit.Change
		lax, strict, requireAll  map[string]int
		progress                 map[string]int
		superseded, unseenCount  int
		changes, progressChanges int
	}{
		"newest state seen, P3": {
			truth: []audit.Change{coupon, review}, written: []audit.Change{coupon},
			lax: map[string]int{"lost": 1}, strict: map[string]int{"lost": 1}, requireAll: map[string]int{"lost": 1}, progress: map[string]int{"lost": 1},
			changes: 2, progressChanges: 2,
		},
		"a later state was told": {
			truth: []audit.Change{coupon, review, success}, written: []audit.Change{success},
			strict: map[string]int{"lost": 2}, requireAll: map[string]int{"lost": 2}, superseded: 2, changes: 3, progressChanges: 3,
		},
		"a state came back before anybody told what lay between": {
			truth: []audit.Change{coupon, review, with(coupon, later(70))}, written: []audit.Change{coupon},
			strict: map[string]int{"lost": 2}, requireAll: map[string]int{"lost": 2}, superseded: 2, changes: 3, progressChanges: 3,
		},
		"a state came back, and nobody saw what lay between": {
			truth: []audit.Change{coupon, with(review, unseen), with(coupon, later(70))}, written: []audit.Change{coupon},
			requireAll: map[string]int{"lost": 2}, superseded: 1, unseenCount: 1, changes: 3, progressChanges: 3,
		},
		"a state came back after one that is no event": {
			truth: []audit.Change{coupon, incomplete, with(coupon, later(70))}, written: []audit.Change{coupon},
			strict: map[string]int{"lost": 1}, requireAll: map[string]int{"lost": 1}, progress: map[string]int{},
			superseded: 1, changes: 2, progressChanges: 3,
		},
		"a state came back, and nobody saw it": {
			truth: []audit.Change{coupon, review, with(coupon, later(70), unseen)}, written: []audit.Change{coupon},
			lax: map[string]int{"lost": 1}, strict: map[string]int{"lost": 1}, requireAll: map[string]int{"lost": 2}, progress: map[string]int{"lost": 1},
			unseenCount: 1, changes: 3, progressChanges: 3,
		},
		"a state came back after what lay between was told": {
			truth: []audit.Change{coupon, review, with(coupon, later(70))}, written: []audit.Change{coupon, review},
			lax: map[string]int{"lost": 1}, strict: map[string]int{"lost": 1}, requireAll: map[string]int{"lost": 1}, progress: map[string]int{"lost": 1},
			changes: 3, progressChanges: 3,
		},
		"another identification went on": {
			truth: []audit.Change{coupon, other}, written: []audit.Change{other},
			lax: map[string]int{"lost": 1}, strict: map[string]int{"lost": 1}, requireAll: map[string]int{"lost": 1}, progress: map[string]int{"lost": 1},
			changes: 2, progressChanges: 2,
		},
		"a later state was seen that is no event": {
			truth: []audit.Change{coupon, incomplete}, written: nil,
			strict: map[string]int{"lost": 1}, requireAll: map[string]int{"lost": 1}, progress: map[string]int{"lost": 2},
			superseded: 1, changes: 1, progressChanges: 2,
		},
		"a later state that nobody saw excuses nothing": {
			truth: []audit.Change{coupon, with(incomplete, unseen), with(review, unseen)}, written: nil,
			lax: map[string]int{"lost": 1}, strict: map[string]int{"lost": 1}, requireAll: map[string]int{"lost": 2}, progress: map[string]int{"lost": 1},
			unseenCount: 1, changes: 2, progressChanges: 3,
		},
		"unseen": {
			truth: []audit.Change{with(coupon, unseen), review}, written: []audit.Change{review},
			requireAll: map[string]int{"lost": 1}, unseenCount: 1, changes: 2, progressChanges: 2,
		},
		"told though no answer counted as seen": {
			truth: []audit.Change{with(coupon, unseen)}, written: []audit.Change{coupon}, changes: 1, progressChanges: 1,
		},
		"a closing told by the event of an identification": {
			truth: []audit.Change{success, closing(id, 90)}, written: []audit.Change{success},
			superseded: 1, changes: 2, progressChanges: 2,
		},
		"a closing that no event shows": {
			truth: []audit.Change{coupon, closing(id, 90)}, written: []audit.Change{coupon},
			lax: map[string]int{"lost": 1}, strict: map[string]int{"lost": 1}, requireAll: map[string]int{"lost": 1}, progress: map[string]int{"lost": 1},
			changes: 2, progressChanges: 2,
		},
		"a closing that nobody saw": {
			truth: []audit.Change{with(closing(id, 90), unseen)}, requireAll: map[string]int{"lost": 1}, unseenCount: 1, changes: 1, progressChanges: 1,
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			events := published(t, tc.written)
			lax := audit.Compare(tc.truth, events)
			for _, run := range []struct {
				name string
				opts audit.Options
				want map[string]int
			}{
				{"lax", audit.Options{}, tc.lax},
				{"strict", audit.Options{Strict: true}, tc.strict},
				{"require all", audit.Options{RequireAll: true}, tc.requireAll},
				{"progress", audit.Options{Progress: true}, tc.progress},
			} {
				r := audit.CompareWith(tc.truth, events, run.opts)
				if diff := cmp.Diff(run.want, counts(r), cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("%s: findings (-want +got):\n%s\n%v", run.name, diff, r.Err())
				}
				want := tc.changes
				if run.opts.Progress {
					want = tc.progressChanges
				}
				if r.Changes != want {
					t.Errorf("%s: %d changes, want %d", run.name, r.Changes, want)
				}
			}
			if lax.Superseded != tc.superseded || lax.Unseen != tc.unseenCount {
				t.Errorf("%d superseded, %d unseen; want %d, %d", lax.Superseded, lax.Unseen, tc.superseded, tc.unseenCount)
			}
		})
	}
}

// A flip of modified alone is no event (design 2): an event may carry a newer
// modified than the change that it tells.
func TestCompareAcceptsAFlipOfModified(t *testing.T) {
	t.Parallel()
	review := change("VIDEO0000001", "video", "review pending", "preliminary", 5)
	flipped := review
	flipped.Modified = at(50)
	r := audit.CompareWith([]audit.Change{review}, published(t, []audit.Change{flipped}), audit.Options{Strict: true})
	if err := r.Err(); err != nil {
		t.Error(err)
	}
}

// A state may come back; each time is a change of its own.
func TestCompareAcceptsAStateThatComesBack(t *testing.T) {
	t.Parallel()
	incomplete := func(modified int) audit.Change {
		return with(change("AUTO00000001", "autoid", "incomplete", "notification", modified), sub(80))
	}
	review := func(modified int) audit.Change {
		return change("AUTO00000001", "autoid", "review pending", "notification", modified)
	}
	truth := []audit.Change{review(2), incomplete(3), review(3), incomplete(3), review(9), incomplete(12)}
	r := audit.CompareWith(truth, published(t, truth), audit.Options{Strict: true})
	if err := r.Err(); err != nil {
		t.Error(err)
	}
	withheld := published(t, []audit.Change{truth[0], truth[1], truth[4], truth[5]})
	r = audit.CompareWith(truth, withheld, audit.Options{Strict: true})
	if diff := cmp.Diff(map[string]int{"lost": 2}, counts(r)); diff != "" {
		t.Errorf("findings (-want +got):\n%s\n%v", diff, r.Err())
	}
}

// Cases of two accounts, and a caseId that is used again, are cases apart
// (facts 2.8): each with a sequence and a chain of its own.
func TestCompareKeepsCasesApart(t *testing.T) {
	t.Parallel()
	one := change("SAME00000001", "basic", "coupon requested", "notification", 5)
	account := with(one, func(c *audit.Change) { c.ClientID = "OTHER" })
	reused := with(one, func(c *audit.Change) { c.CaseCreated = at(90 * 86400) })
	truth := []audit.Change{one, account, reused}
	r := audit.CompareWith(truth, published(t, truth), audit.Options{Strict: true, RequireAll: true, Partitions: partitions})
	if err := r.Err(); err != nil {
		t.Error(err)
	}
}

func TestReportNamesTheFirstFindings(t *testing.T) {
	t.Parallel()
	var truth []audit.Change
	for i := range 25 {
		truth = append(truth, change(fmt.Sprintf("CASE%08d", i), "basic", "coupon requested", "notification", 5))
	}
	r := audit.Compare(truth, nil)
	if got, want := r.String(), "not verified: 25 changes, 0 events, 25 lost, 0 doubled, 0 out of order"; got != want {
		t.Errorf("String() = %q, want %q", got, want)
	}
	lines := strings.Split(r.Err().Error(), "\n")
	if len(lines) != 22 || lines[21] != "\tand 5 more" {
		t.Errorf("Err() has %d lines, the last %q", len(lines), lines[len(lines)-1])
	}
	empty := audit.Compare(nil, nil)
	if err := empty.Err(); err != nil {
		t.Error(err)
	}
}
