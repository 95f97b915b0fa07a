package audit

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/schemas"
)

// Evidence is everything that a run of the bridge left behind, and what is known
// to have happened.
type Evidence struct {
	// Kafka reaches the cluster whose topics are judged; not needed with Dump.
	Kafka []kgo.Opt
	// Prefix is that of the bridge's topics.
	Prefix string
	// Dump holds the topics; nil has Judge read them.
	Dump *Dump
	// Schema gives a registry's schema by id; nil when the bridge had no registry.
	Schema func(ctx context.Context, id int) (string, error)
	// Truth is what happened, in order.
	Truth []Change
	// Webhooks are the attempts that were made; only those answered 200 count.
	Webhooks []Webhook
	// Canaries are marks of personal data, Secrets are credentials: none may
	// stand in a topic or an output, in whatever form (see leak.go).
	Canaries, Secrets []string
	// Forbidden are the marks of what an account's class or method must not have:
	// none may stand anywhere, the result topic and the store included. Contents are
	// marks of the content of binary records, which may stand in the store only. The
	// result topic alone may hold Canaries.
	Forbidden, Contents []string
	// Records is the truth about binary records; nil when it is not known.
	Records []RecordTruth
	// Inventory is what the records' store holds, as TakeInventory with Forbidden
	// found it; nil when it is not known.
	Inventory []StoredObject
	// Outputs are logs, scrapes of metrics and whatever else the processes gave
	// away, by name.
	Outputs map[string][]byte
	Options Options
}

// Webhook is one attempt to deliver a webhook. As JSON it is a line of the
// simulator's log of attempts.
type Webhook struct {
	ClientID string    `json:"clientId"`
	CaseID   string    `json:"caseId"`
	At       time.Time `json:"at"`
	// Status is that of the answer, 0 without one.
	Status int `json:"status,omitempty"`
}

// Verdict is what Judge found.
type Verdict struct {
	Report
	// Topics counts what was read.
	Topics []TopicCount `json:"topics"`
	// Waiting counts triggers that are not done, Retries cases that wait for
	// another look, Open records in transactions without an end, Pending final states
	// whose event said that its records are to come. All are zero once
	// a bridge has settled; with Options.Settled anything else is a finding.
	Waiting int `json:"waiting"`
	Retries int `json:"retries"`
	Open    int `json:"open"`
	Pending int `json:"pending"`
	// Letters counts the dead letters by reason.
	Letters map[string]int `json:"deadLetters"`
	// Accepted counts the webhooks answered 200.
	Accepted int `json:"accepted"`
	// Results counts the results, References those to records that are told apart,
	// Objects those in the store, Orphans those of them that nothing names.
	Results    int `json:"results"`
	References int `json:"references"`
	Objects    int `json:"objects"`
	Orphans    int `json:"orphans"`
	// Searched is how many bytes were searched for canaries and secrets.
	Searched int64 `json:"searchedBytes"`
}

// TopicCount says what a topic held.
type TopicCount struct {
	Name string `json:"name"`
	// Records counts all but markers; Visible those that read-committed readers see.
	Records int `json:"records"`
	Visible int `json:"visible"`
}

// Clean reports that nothing is wrong.
func (v *Verdict) Clean() bool { return len(v.Findings) == 0 }

// Of returns the findings of a kind.
func (v *Verdict) Of(k Kind) []Finding {
	return slices.DeleteFunc(slices.Clone(v.Findings), func(f Finding) bool { return f.Kind != k })
}

// Kinds returns the kinds that have findings, in the order of a report.
func (v *Verdict) Kinds() []Kind {
	seen := make(map[Kind]bool)
	for i := range v.Findings {
		seen[v.Findings[i].Kind] = true
	}
	return slices.Sorted(maps.Keys(seen))
}

// String is the verdict in one line, as Report's, with the canaries found.
func (v *Verdict) String() string {
	s := v.Report.String()
	if v.Searched > 0 && v.Count(Leaked) == 0 {
		s += ", 0 canaries"
	}
	return s
}

// Write writes the report for people: every finding, and what it rests on.
func (v *Verdict) Write(w io.Writer) error {
	var b strings.Builder
	for i := range v.Findings {
		fmt.Fprintf(&b, "%s\n", v.Findings[i])
	}
	for _, t := range v.Topics {
		fmt.Fprintf(&b, "read: %s, %d records, %d of them visible read-committed\n", t.Name, t.Records, t.Visible)
	}
	if v.Accepted > 0 {
		fmt.Fprintf(&b, "webhooks answered 200: %d\n", v.Accepted)
	}
	if v.Results+v.References+v.Objects > 0 {
		fmt.Fprintf(&b, "results: %d; records: %d references, %d events with records that came late; store: %d objects, %d orphans\n",
			v.Results, v.References, v.Completed, v.Objects, v.Orphans)
	}
	for _, reason := range slices.Sorted(maps.Keys(v.Letters)) {
		fmt.Fprintf(&b, "dead letters: %d of %s\n", v.Letters[reason], reason)
	}
	if v.Waiting+v.Retries+v.Open+v.Pending > 0 {
		fmt.Fprintf(&b, "not done: %d triggers, %d retries, %d records in open transactions, %d events without their records\n",
			v.Waiting, v.Retries, v.Open, v.Pending)
	}
	if v.Searched > 0 {
		fmt.Fprintf(&b, "searched: %d bytes\n", v.Searched)
	}
	fmt.Fprintf(&b, "%s\n", v.String())
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write verdict: %w", err)
	}
	return nil
}

// Judge compares everything that a run left behind with the truth. An error says
// that there is no verdict. On top of what CompareWith proves of the events, it
// proves that
//
//   - what shows read-committed is what was committed, by the log's own markers,
//     and was written in transactions, by producers and owners that were not
//     fenced;
//   - every webhook that was answered 200 is a trigger;
//   - case-state says of each case what was published last, and which results and
//     records went out;
//   - each final event of an account that publishes results has one, in its
//     transaction, which its digest vouches for, and no result is of anything else;
//   - each reference names an object that lies in the store as it says, an event
//     that says so refers to all that the class may have, and the store holds
//     nothing else (P6);
//   - no value is longer than MaxValue, and none holds a record's content;
//   - every dead letter is explained;
//   - no canary and no secret stands in a topic, an aborted record included, in
//     an output, or in an object's name and metadata. The result topic may hold
//     personal data, but nothing that the class forbids.
func Judge(ctx context.Context, e Evidence) (Verdict, error) {
	j := &judgement{e: e, topics: topicsOf(e.Prefix), dump: e.Dump}
	if j.dump == nil {
		dump, err := TakeDump(ctx, e.Kafka, e.Prefix)
		if err != nil {
			return Verdict{}, err
		}
		j.dump = &dump
	}
	for _, name := range j.topics.always() {
		if j.dump.topic(name) == nil {
			return Verdict{}, fmt.Errorf("judge: no topic %s in the dump", name)
		}
	}
	status := j.dump.topic(j.topics.status)
	events, unreadable, err := status.events(ctx, schemas.NewStatusDecoder(e.Schema))
	if err != nil {
		return Verdict{}, err
	}
	opts := e.Options
	if opts.Partitions == 0 {
		opts.Partitions = len(status.Partitions)
	}
	j.verdict.Report = CompareWith(e.Truth, events, opts)
	j.verdict.Findings = append(j.verdict.Findings, unreadable...)
	var results []*publishedResult
	if t := j.dump.topic(j.topics.result); t != nil {
		j.checkLog(t)
		if results, err = j.readResults(ctx, t); err != nil {
			return Verdict{}, err
		}
	}
	for _, name := range []string{j.topics.status, j.topics.caseState, j.topics.deadLetter} {
		j.checkLog(j.dump.topic(name))
	}
	j.checkOpenings(j.dump.topic(j.topics.caseState))
	j.checkStates(j.dump.topic(j.topics.caseState), events, j.checkResults(results, events))
	j.checkStored(events, results)
	j.checkValues()
	j.checkInbox(j.dump.topic(j.topics.inbox))
	j.checkLetters(j.dump.topic(j.topics.deadLetter))
	if err := j.search(); err != nil {
		return Verdict{}, err
	}
	j.verdict.Topics, j.verdict.Waiting, j.verdict.Open = j.dump.Counts(), j.waiting, j.open
	return j.verdict, nil
}

// judgement is the work in progress of one Judge.
type judgement struct {
	e             Evidence
	topics        topics
	dump          *Dump
	verdict       Verdict
	waiting, open int
}

// Counts says what the topics hold.
func (d *Dump) Counts() []TopicCount {
	counts := make([]TopicCount, len(d.Topics))
	for i := range d.Topics {
		c := &counts[i]
		c.Name = d.Topics[i].Name
		d.Topics[i].each(func(_ *PartitionDump, r *Record) {
			if !r.Control {
				c.Records++
			}
			if r.Visible {
				c.Visible++
			}
		})
	}
	return counts
}
