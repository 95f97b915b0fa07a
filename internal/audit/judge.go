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
	// another look, Open records in transactions without an end. All are zero once
	// a bridge has settled; with Options.Settled anything else is a finding.
	Waiting int `json:"waiting"`
	Retries int `json:"retries"`
	Open    int `json:"open"`
	// Letters counts the dead letters by reason.
	Letters map[string]int `json:"deadLetters"`
	// Accepted counts the webhooks answered 200.
	Accepted int `json:"accepted"`
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
	for _, reason := range slices.Sorted(maps.Keys(v.Letters)) {
		fmt.Fprintf(&b, "dead letters: %d of %s\n", v.Letters[reason], reason)
	}
	if v.Waiting+v.Retries+v.Open > 0 {
		fmt.Fprintf(&b, "not done: %d triggers, %d retries, %d records in open transactions\n", v.Waiting, v.Retries, v.Open)
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
//   - case-state says of each case what was published last;
//   - every dead letter is explained;
//   - no canary and no secret stands in a topic, an aborted record included, or
//     in an output.
func Judge(ctx context.Context, e Evidence) (Verdict, error) {
	j := &judgement{e: e, topics: topicsOf(e.Prefix), dump: e.Dump}
	if j.dump == nil {
		dump, err := TakeDump(ctx, e.Kafka, e.Prefix)
		if err != nil {
			return Verdict{}, err
		}
		j.dump = &dump
	}
	for _, name := range j.topics.all() {
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
	for _, name := range []string{j.topics.status, j.topics.caseState, j.topics.deadLetter} {
		j.checkLog(j.dump.topic(name))
	}
	j.checkOpenings(j.dump.topic(j.topics.caseState))
	j.checkStates(j.dump.topic(j.topics.caseState), events)
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
