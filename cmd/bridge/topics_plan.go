package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// topicNames are the topics that this release uses (design: topics).
type topicNames struct {
	Inbox, CaseState, PollCursor, Status, Result, DeadLetter string
}

func namesOfTopics(prefix string) topicNames {
	return topicNames{
		Inbox:      prefix + "inbox",
		CaseState:  prefix + "case-state",
		PollCursor: prefix + "poll-cursor",
		Status:     prefix + "status.v1",
		Result:     prefix + "result.v1",
		DeadLetter: prefix + "dead-letter",
	}
}

// comparison says when a topic's configuration is as good as the wanted one.
type comparison int

const (
	exactly comparison = iota
	atLeast            // longer or more is good too; -1 is for ever
	atMost
	notForEver // no topic is created with it
)

// configRule is one configuration that a topic is created with and checked for.
type configRule struct {
	Key   string
	Value string
	Rule  comparison
}

// topicSpec is how a topic should be.
type topicSpec struct {
	Name        string
	Partitions  int32
	Replication int16
	Configs     []configRule
	// Ask is what the operator has to say before the topic can be created: the
	// bridge has no default for it. Empty for most.
	Ask string
}

// topicSeen is how a topic is. A configuration that the broker does not tell is
// not in Configs, and is not judged.
type topicSeen struct {
	Partitions  int32
	Replication int16
	Configs     map[string]string
}

// topicPlan is what the flags of `topics` say.
type topicPlan struct {
	Partitions       int32         // of inbox, case-state, poll-cursor and dead-letter
	StatusPartitions int32         // of status.v1; 0 means Partitions
	Replication      int16         // of all
	StatusRetention  time.Duration // of status.v1; 0 means for ever
	ResultRetention  time.Duration // of result.v1; 0 means not given
	ResultAccounts   []string      // accounts that publish results; result.v1 is theirs
}

const day = 24 * time.Hour

// payloadResult is the PAYLOAD of an account that publishes results.
const payloadResult = "result"

// resultAccounts are the clientIds of the accounts that publish results.
func (s *settings) resultAccounts() []string {
	var out []string
	for _, a := range s.Accounts {
		if a.Payload == payloadResult {
			out = append(out, a.ClientID)
		}
	}
	return out
}

// results reports whether the plan has a topic of results: for accounts that
// publish them, or because the operator says how long it keeps them.
func (p topicPlan) results() bool { return len(p.ResultAccounts) > 0 || p.ResultRetention > 0 }

// mistake says what is wrong with the flags; empty for nothing.
func (p topicPlan) mistake() string {
	switch {
	case p.Partitions < 1 || p.StatusPartitions < 0 || p.Replication < 1 || p.StatusRetention < 0:
		return "--partitions and --replication must be at least 1, nothing may be negative"
	case p.ResultRetention != 0 && p.ResultRetention < time.Second:
		return "--result-retention must be at least 1s"
	}
	return ""
}

// specs returns the table of the design's section on topics for a plan.
func (p topicPlan) specs(names topicNames) []topicSpec {
	// With three replicas, a write is acknowledged by two: one broker may be lost
	// without losing what was answered 200, and one may be down without stopping.
	inSync := "1"
	if p.Replication >= 3 {
		inSync = "2"
	}
	common := []configRule{
		{"min.insync.replicas", inSync, atLeast},
		{"unclean.leader.election.enable", "false", exactly},
	}
	deleted := func(after time.Duration) []configRule {
		retention := "-1"
		if after > 0 {
			retention = millis(after)
		}
		return append([]configRule{
			{"cleanup.policy", "delete", exactly},
			{"retention.ms", retention, atLeast},
			{"retention.bytes", "-1", exactly}, // a limit on bytes would forget what time keeps
		}, common...)
	}
	compacted := append([]configRule{
		{"cleanup.policy", "compact", exactly},
		// A take-over reads the whole partition; only closed segments are compacted.
		{"segment.bytes", "16777216", atMost},
		{"delete.retention.ms", millis(time.Hour), atLeast},
	}, common...)
	status := p.StatusPartitions
	if status == 0 {
		status = p.Partitions
	}
	specs := []topicSpec{
		{Name: names.Inbox, Partitions: p.Partitions, Configs: deleted(7 * day)},
		{Name: names.CaseState, Partitions: p.Partitions, Configs: compacted},
		{Name: names.PollCursor, Partitions: p.Partitions, Configs: compacted},
		{Name: names.Status, Partitions: status, Configs: deleted(p.StatusRetention)},
		{Name: names.DeadLetter, Partitions: p.Partitions, Configs: deleted(30 * day)},
	}
	if p.results() {
		// As many partitions as status.v1: who joins the two by key reads both alike.
		specs = slices.Insert(specs, 4, p.resultSpec(names.Result, status, common))
	}
	for i := range specs {
		specs[i].Replication = p.Replication
	}
	return specs
}

// resultSpec is the topic of results: personal data, so what ends it is checked
// as strictly as what keeps it.
func (p topicPlan) resultSpec(name string, partitions int32, common []configRule) topicSpec {
	s := topicSpec{Name: name, Partitions: partitions}
	retention := configRule{"retention.ms", millis(p.ResultRetention), exactly}
	segment := day
	if p.ResultRetention == 0 {
		retention = configRule{"retention.ms", "", notForEver}
		s.Ask = fmt.Sprintf("%s holds personal data of %s: say with --result-retention for how long, such as --result-retention 720h",
			name, strings.Join(p.ResultAccounts, ", "))
	} else {
		segment = min(segment, p.ResultRetention)
	}
	s.Configs = append([]configRule{
		{"cleanup.policy", "delete", exactly},
		retention,
		{"retention.bytes", "-1", exactly},
		// Kafka deletes whole segments: a result may outlive its retention by the
		// time that its segment was written to.
		{"segment.ms", millis(segment), atMost},
	}, common...)
	return s
}

func millis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// missing returns the specs of the topics that are not there. Inbox and
// case-state share their partition count: where one of them exists, the other
// is to have as many, whatever the plan says.
func missing(specs []topicSpec, names topicNames, seen map[string]topicSeen) []topicSpec {
	twin := map[string]string{names.Inbox: names.CaseState, names.CaseState: names.Inbox}
	var out []topicSpec
	for _, s := range specs {
		if _, exists := seen[s.Name]; exists {
			continue
		}
		if t, exists := seen[twin[s.Name]]; exists {
			s.Partitions = t.Partitions
		}
		out = append(out, s)
	}
	return out
}

// topicResult is one row of what `topics` prints.
type topicResult struct {
	Topic       string       `json:"topic"`
	Exists      bool         `json:"exists"`
	Created     bool         `json:"created"`
	Partitions  int32        `json:"partitions"`
	Replication int16        `json:"replication"`
	Differences []difference `json:"differences"`
}

// difference is one thing that is not as it should be.
type difference struct {
	What   string `json:"what"`
	Is     string `json:"is"`
	Should string `json:"should"`
}

func (d difference) String() string { return d.What + " is " + d.Is + ", should be " + d.Should }

// compareTopics judges what is there by the specs.
func compareTopics(specs []topicSpec, names topicNames, seen map[string]topicSeen) []topicResult {
	out := make([]topicResult, 0, len(specs))
	for _, s := range specs {
		have, exists := seen[s.Name]
		r := topicResult{
			Topic: s.Name, Exists: exists, Partitions: have.Partitions, Replication: have.Replication,
			Differences: []difference{},
		}
		if !exists {
			r.Differences = append(r.Differences, difference{"topic", "missing", "there"})
			if s.Ask != "" {
				r.Differences = append(r.Differences, difference{"--result-retention", "not given", "given to 'topics apply': results are personal data"})
			}
			out = append(out, r)
			continue
		}
		if have.Partitions != s.Partitions {
			r.Differences = append(r.Differences, difference{"partitions", fmt.Sprint(have.Partitions), fmt.Sprint(s.Partitions)})
		}
		if inbox, ok := seen[names.Inbox]; ok && s.Name == names.CaseState && have.Partitions != inbox.Partitions && have.Partitions == s.Partitions {
			r.Differences = append(r.Differences, difference{
				"partitions", fmt.Sprint(have.Partitions),
				fmt.Sprintf("%d as of %s", inbox.Partitions, names.Inbox),
			})
		}
		if have.Replication < s.Replication {
			r.Differences = append(r.Differences, difference{"replication", fmt.Sprint(have.Replication), fmt.Sprintf("at least %d", s.Replication)})
		}
		for _, c := range s.Configs {
			if value, told := have.Configs[c.Key]; told && !c.satisfied(value) {
				r.Differences = append(r.Differences, difference{c.Key, value, c.wanted()})
			}
		}
		out = append(out, r)
	}
	return out
}

func (c configRule) wanted() string {
	switch c.Rule {
	case atLeast:
		if c.Value == "-1" {
			return "-1 (for ever)"
		}
		return "at least " + c.Value
	case atMost:
		return "at most " + c.Value
	case notForEver:
		return "limited: give --result-retention"
	case exactly:
	}
	return c.Value
}

func (c configRule) satisfied(value string) bool {
	if c.Rule == exactly {
		// cleanup.policy is a list; its order and blanks mean nothing.
		return slices.Equal(sortedList(value), sortedList(c.Value))
	}
	have, errHave := strconv.ParseInt(value, 10, 64)
	if c.Rule == notForEver {
		return errHave == nil && have >= 0
	}
	want, errWant := strconv.ParseInt(c.Value, 10, 64)
	if errHave != nil || errWant != nil {
		return false
	}
	if c.Rule == atMost {
		return have <= want
	}
	return have == -1 || want != -1 && have >= want
}

func sortedList(value string) []string {
	parts := strings.Split(strings.ReplaceAll(value, " ", ""), ",")
	slices.Sort(parts)
	return parts
}
