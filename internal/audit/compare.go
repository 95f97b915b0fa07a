package audit

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/schemas"
)

// Options says what is known about how the events came about. The zero value
// is for a bridge with the default settings under faults.
type Options struct {
	// Progress: states without a status type are events too
	// (PublishProgress).
	Progress bool `json:"progress,omitempty"`
	// Strict: every change that was seen must have its event, unless it brought
	// back what was told last and no answer showed what came in between. Without
	// it a seen change is excused where its identification went on: under kill -9
	// an answer may have been read and not yet committed.
	Strict bool `json:"strict,omitempty"`
	// RequireAll: every change must have its event, seen or not.
	RequireAll bool `json:"requireAll,omitempty"`
	// Partitions is the status topic's partition count, to check that each key
	// stands where murmur2 puts it. 0: not checked.
	Partitions int `json:"partitions,omitempty"`
	// Classes is the regulatory class of each clientId. An account that is not
	// named is not checked.
	Classes map[string]schemas.RegulatoryClass `json:"classes,omitempty"`
	// Results names the accounts that published a result with each final event, from
	// the first one on; all others published none. Nil: it is not known, and results
	// are compared with their events only.
	Results []string `json:"results"`
	// Records names the accounts that stored records from their first event on, and
	// says whether the result PDFs too; all others stored none. Nil: it is not known.
	Records map[string]bool `json:"records"`
	// LatePDF: the API left result PDFs out for a while, so that one which has no
	// reference is no finding.
	LatePDF bool `json:"latePdf,omitempty"`
	// Settled: the bridge was given the time to do all that there was; what still
	// waits is a finding of Judge.
	Settled bool `json:"settled,omitempty"`
	// DeadLetters are the reasons of dead letters that the run explains. Those of
	// cases that the truth does not know need none.
	DeadLetters []string `json:"deadLetters,omitempty"`
}

// Compare is CompareWith the zero Options.
func Compare(truth []Change, events []Published) Report {
	return CompareWith(truth, events, Options{})
}

// CompareWith judges the events of status topics by the truth. It is a pure
// function: events may come in any order, truth is in the order in which it
// happened. Per case it proves what design P2, P3 and P9 promise:
//
//   - sequences 1..n without gaps, each event with the hash of the one before;
//   - one partition for a key, the one of murmur2; eventIds that stand once;
//   - key and headers that repeat the value;
//   - events that are a subsequence of the truth, without repeats, in order:
//     strictly for each identification, by modified between two of them, since
//     what shares a second has no order that anyone could see (facts 3);
//   - no change lost. A seen change without an event is lost unless a later
//     state of its identification was published, or was seen and is no event by
//     the rules; those count as superseded. The closing of a case is told by
//     any event of that case that shows it closed.
func CompareWith(truth []Change, events []Published, opts Options) Report {
	c := &comparison{opts: opts, cases: map[caseKey]*caseTruth{}, partitions: map[string]*Published{}, ids: map[string]*Published{}}
	c.report.Events = len(events)
	c.readTruth(truth)
	for _, p := range inTopicOrder(events) {
		c.checkRecord(p)
		t := c.cases[eventCase(&p.Event)]
		if t == nil {
			c.found(Invented, p, "the truth knows no such case")
			continue
		}
		c.checkSequence(t, p)
		if p.Event.StatusType == schemas.StatusTypeRecordsAvailable {
			c.complete(t, p)
		} else {
			c.match(t, p)
		}
		t.bySequence[p.Event.Sequence] = p
	}
	c.findLost()
	return c.report
}

// comparison is the work in progress of one CompareWith.
type comparison struct {
	opts       Options
	report     Report
	cases      map[caseKey]*caseTruth
	order      []*caseTruth          // as they first appear in the truth
	partitions map[string]*Published // the first event of a key
	ids        map[string]*Published // the first event of an id
}

// caseTruth is one case: its truth, and how far its events have come.
type caseTruth struct {
	changes []*truthChange // in order
	byState map[stateKey][]int
	// last is the index of the newest change told, of each identification.
	last map[identKey]int
	// newest is the newest change told of any identification, by modified.
	newest *truthChange
	// before is the case's event before this one.
	before *Published
	// closing is told: an event showed the case closed.
	closedTold bool
	// bySequence are the case's events so far, completed those that brought records,
	// by the sequence of the event that said pending.
	bySequence, completed map[int64]*Published
}

type truthChange struct {
	*Change
	ident identKey
	// next is the following change of the same identification.
	next *truthChange
	told *Published
	due  bool // an event by the rules
	// stands: the last event of the identification before this change tells this
	// very state. What came in between was not told, so that whoever looks finds
	// nothing but a newer modified, which alone is no event.
	stands bool
	// repeats: it stands, and no answer showed what came in between. Then nobody
	// can know that there was a change.
	repeats bool
}

func (c *comparison) readTruth(truth []Change) {
	for i := range truth {
		change := &truthChange{Change: &truth[i], due: c.due(&truth[i])}
		state := change.stateKey()
		change.ident = state.ident
		key := change.caseKey()
		t := c.cases[key]
		if t == nil {
			t = &caseTruth{
				byState: map[stateKey][]int{}, last: map[identKey]int{},
				bySequence: map[int64]*Published{}, completed: map[int64]*Published{},
			}
			c.cases[key] = t
			c.order = append(c.order, t)
		}
		for _, earlier := range slices.Backward(t.changes) {
			if earlier.ident == change.ident {
				earlier.next = change
				break
			}
		}
		t.byState[state] = append(t.byState[state], len(t.changes))
		t.changes = append(t.changes, change)
		if change.due {
			c.report.Changes++
		}
	}
}

// due reports whether a change is an event by the rules: everything with a
// status type, a closing, and what the guide does not list always are; the
// states that it lists without a type only where progress is published.
func (c *comparison) due(change *Change) bool {
	if c.opts.Progress || change.Method == "" || change.StatusType != string(schemas.StatusTypeProgress) {
		return true
	}
	switch schemas.Method(change.Method) {
	case schemas.MethodAutoID, schemas.MethodBasic, schemas.MethodEID, schemas.MethodPhoto, schemas.MethodVideo:
		return change.Status != string(schemas.StatusStarted) && change.Status != string(schemas.StatusIncomplete)
	case schemas.MethodUnknown, schemas.MethodNone:
	}
	return true
}

func (c *comparison) found(kind Kind, p *Published, format string, args ...any) {
	e := &p.Event
	c.report.Findings = append(c.report.Findings, Finding{
		Kind: kind, ClientID: e.ClientID, CaseID: e.CaseID, CaseCreated: e.CaseStatus.Created,
		Where: p.Where(), Sequence: e.Sequence, Detail: fmt.Sprintf(format, args...),
	})
}

// checkRecord checks what a record says about itself and about its neighbours.
func (c *comparison) checkRecord(p *Published) {
	e := &p.Event
	for _, detail := range slices.Concat(recordMismatches(p), contentMismatches(e), c.settingMismatches(e)) {
		c.found(Mismatch, p, "%s", detail)
	}
	if class, ok := c.opts.Classes[e.ClientID]; ok && class != e.RegulatoryClass {
		c.found(Mismatch, p, "regulatory class %s, the account has %s", e.RegulatoryClass, class)
	}
	if first := c.ids[e.EventID]; first != nil {
		c.found(Doubled, p, "its eventId stands at %s already", first.Where())
	} else {
		c.ids[e.EventID] = p
	}
	key := string(p.Key)
	if first := c.partitions[key]; first == nil {
		c.partitions[key] = p
	} else if first.Partition != p.Partition {
		c.found(Misplaced, p, "events of its key began in partition %d", first.Partition)
	}
	if n := c.opts.Partitions; n > 0 {
		if want := murmur2Partition(p.Key, n); want != int(p.Partition) {
			c.found(Misplaced, p, "murmur2 puts its key in partition %d of %d", want, n)
		}
	}
}

// murmur2Partition is where the Java client's default partitioner puts a key.
func murmur2Partition(key []byte, n int) int {
	return kgo.StickyKeyPartitioner(nil).ForTopic("").Partition(&kgo.Record{Key: key}, n)
}

// checkSequence checks the number and the hash chain of a case.
func (c *comparison) checkSequence(t *caseTruth, p *Published) {
	want, before := int64(1), t.before
	if before != nil {
		want = before.Event.Sequence + 1
	}
	switch got := p.Event.Sequence; {
	case got > want:
		c.found(Gap, p, "sequence %d was to come", want)
	case got < want:
		c.found(OutOfOrder, p, "sequence %d was to come", want)
	}
	hash := p.Event.PreviousEventHash
	switch {
	case before == nil && hash != nil:
		c.found(BrokenChain, p, "it names a previous event, and none stands before it")
	case before != nil && hash == nil:
		c.found(BrokenChain, p, "it names no previous event, and %s stands before it", before.Where())
	case before != nil:
		if sum := sha256.Sum256(before.Value); !bytes.Equal(sum[:], *hash) {
			c.found(BrokenChain, p, "its previousEventHash is not the hash of %s", before.Where())
		}
	}
	t.before = p
}

// match finds the change that an event tells.
func (c *comparison) match(t *caseTruth, p *Published) {
	e := &p.Event
	if e.CaseStatus.Status == schemas.CaseProgressClosed {
		t.closedTold = true
	}
	state := eventState(e)
	last, told := t.last[state.ident]
	if !told {
		last = -1
	}
	at := t.candidate(state, last, eventModified(e))
	if at < 0 {
		kind, detail := t.whyNot(state, last, p)
		c.found(kind, p, "%s", detail)
		return
	}
	change := t.changes[at]
	change.told, t.last[state.ident] = p, at
	c.checkTold(change, p)
	if change.ident == (identKey{}) {
		return // the case's modified is another clock than an identification's (C28)
	}
	if newest := t.newest; newest == nil || !change.Modified.Before(newest.Modified) {
		t.newest = change
	} else {
		c.found(OutOfOrder, p, "it tells %s, and %s at %s comes before it", change.describe(), newest.describe(), newest.told.Where())
	}
}

// candidate is the change after last that an event with this state and this
// modified tells: the newest that had happened. Of several in that second, which
// nobody can tell apart, it is the first that was seen, else the first. -1: none.
func (t *caseTruth) candidate(state stateKey, last int, modified time.Time) int {
	best := -1
	for _, i := range t.byState[state] {
		change := t.changes[i]
		if i <= last || change.Modified.After(modified) {
			continue
		}
		if best < 0 || change.Modified.After(t.changes[best].Modified) ||
			change.Modified.Equal(t.changes[best].Modified) && change.Seen && !t.changes[best].Seen {
			best = i
		}
	}
	return best
}

// whyNot says why no change is left for an event with this state. A change that
// is told too late is told all the same: it is out of order, not lost.
func (t *caseTruth) whyNot(state stateKey, last int, p *Published) (Kind, string) {
	var passed, future *truthChange
	for _, i := range t.byState[state] {
		switch change := t.changes[i]; {
		case change.told != nil:
			return Doubled, "it tells what " + change.told.Where() + " tells: " + change.describe()
		case i < last:
			passed = change
		default:
			future = change
		}
	}
	switch {
	case passed != nil:
		passed.told = p
		return OutOfOrder, "it tells " + passed.describe() + ", and a later state of that identification comes before it"
	case future != nil:
		return Mismatch, "its modified lies before that of " + future.describe()
	case state.ident == identKey{}:
		return Invented, "it tells that the case closed alone, which it did not"
	default:
		return Invented, fmt.Sprintf("the truth has no %s %s with these codes and times", state.ident.method, state.status)
	}
}

// checkTold checks an event against the change that it tells.
func (c *comparison) checkTold(change *truthChange, p *Published) {
	if got := string(p.Event.StatusType); got != change.StatusType {
		c.found(Mismatch, p, "status type %s, the truth has %s", got, change.describe())
	}
	if !change.due {
		c.found(Mismatch, p, "it tells %s, which is an event only where progress is published", change.describe())
	}
	if next := change.next; next != nil && eventModified(&p.Event).After(next.Modified) {
		c.found(Mismatch, p, "its modified lies after %s", next.describe())
	}
}

// findLost looks for changes that should have an event.
func (c *comparison) findLost() {
	for _, t := range c.order {
		t.findStanding()
		for _, change := range t.changes {
			switch {
			case !change.due || change.told != nil:
			case change.Method == "" && t.closedTold:
				c.report.Superseded++
			case c.opts.RequireAll, change.Seen && !change.repeats && (c.opts.Strict || !change.wentOn()):
				c.report.Findings = append(c.report.Findings, Finding{
					Kind: Lost, ClientID: change.ClientID, CaseID: change.CaseID, CaseCreated: change.CaseCreated,
					Detail: change.describe() + " has no event",
				})
			case change.Seen:
				c.report.Superseded++
			default:
				c.report.Unseen++
			}
		}
	}
}

// findStanding finds the changes that brought back what was told last.
func (t *caseTruth) findStanding() {
	type lastTold struct {
		state  stateKey
		passed bool // another state was seen since, and not told
	}
	told := make(map[identKey]lastTold)
	for _, change := range t.changes {
		state := change.stateKey()
		last, known := told[change.ident]
		change.stands = known && last.state == state
		change.repeats = change.stands && !last.passed
		switch {
		case change.told != nil:
			told[change.ident] = lastTold{state: state}
		case known && change.Seen && !change.stands:
			told[change.ident] = lastTold{state: last.state, passed: true}
		}
	}
}

// wentOn reports whether nothing of a change was left to be told: its state was
// told before and stands, or a later state of the identification stands, was
// told, or was seen and had nothing to be told.
func (t *truthChange) wentOn() bool {
	if t.stands {
		return true
	}
	for next := t.next; next != nil; next = next.next {
		if next.told != nil || next.Seen && (!next.due || next.stands) {
			return true
		}
	}
	return false
}
