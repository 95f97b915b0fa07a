package main

import (
	"cmp"
	"slices"
	"strings"

	"postident-bridge/internal/right"
)

// duty is something that a user of Kafka is there for, and the least that it needs
// for it: a role of `bridge run`, or a command. This table is what `bridge acls`
// prints and docs/operations.md shows; TestLeastPrivileges holds it against Apache
// Kafka, taking each right away in turn.
//
// Describe is not in it beside Read and Write: Kafka's authorizer holds it to be a
// part of them.
type duty struct {
	name  string // as --roles has it
	does  string // for the documentation
	needs []need
}

// need is a right without the prefix of the topics.
type need struct {
	operations []string
	resource   right.Resource
	name       string
	prefixed   bool // for all whose names begin so
	results    bool // only where an account publishes results
}

// Duties besides the roles.
const (
	dutyApply      = "apply"
	dutyCheck      = "check"
	dutyBackfill   = "backfill"
	dutyRetry      = "retry"
	dutyDeadLetter = "dead-letter"
	dutyRedrive    = "redrive"
	dutyRecords    = "records"
	dutyWatch      = "watch"
)

func duties() []duty {
	topic := func(name string, operations ...string) need {
		return need{operations: operations, resource: right.Topic, name: name}
	}
	group := func(name, operation string) need {
		return need{operations: []string{operation}, resource: right.Group, name: name}
	}
	all := func(operations ...string) need { // of the topics
		return need{operations: operations, resource: right.Topic, prefixed: true}
	}
	results := func(n need) need {
		n.results = true
		return n
	}
	const read, write = right.Read, right.Write
	return []duty{
		{name: roleWebhook, does: "`bridge run --roles webhook`", needs: []need{topic("inbox", write)}},
		{name: rolePoll, does: "`bridge run --roles poll`", needs: []need{
			topic("inbox", write), topic("poll-cursor", read, write), group("poll", read),
		}},
		{name: roleProcess, does: "`bridge run --roles process`", needs: []need{
			topic("inbox", read, write), topic("case-state", read, write), topic("status.v1", write), results(topic("result.v1", write)),
			topic("dead-letter", write), group("process", read),
			{operations: []string{write}, resource: right.TransactionalID, name: "process-", prefixed: true},
		}},
		{name: dutyApply, does: "`bridge topics apply`", needs: []need{all(right.Create, right.Describe, right.DescribeConfigs)}},
		{name: dutyCheck, does: "`bridge topics check`", needs: []need{all(right.Describe, right.DescribeConfigs)}},
		{name: dutyBackfill, does: "`bridge backfill`", needs: []need{
			topic("inbox", write), topic("poll-cursor", read, write), group("process", right.Describe),
		}},
		{name: dutyRetry, does: "`bridge retry`; `list` without the right to write", needs: []need{topic("case-state", read), topic("inbox", write)}},
		{name: dutyDeadLetter, does: "`bridge dead-letter list`, `show`", needs: []need{topic("dead-letter", read)}},
		{name: dutyRedrive, does: "`bridge dead-letter redrive`; without `--yes` without the right to write", needs: []need{
			topic("dead-letter", read), topic("inbox", read, write), topic("case-state", read),
		}},
		{name: dutyRecords, does: "`bridge records`", needs: []need{topic("status.v1", read), topic("result.v1", read)}},
		{name: dutyWatch, does: "beside a role, to warn of settings that break [what the promises rest on](guarantees.md)", needs: []need{
			all(right.Describe, right.DescribeConfigs), {operations: []string{right.DescribeConfigs}, resource: right.Cluster},
		}},
	}
}

// acl is a right as Strimzi's KafkaUser has it, spec.authorization.acls.
type acl struct {
	Resource   aclResource `json:"resource"`
	Operations []string    `json:"operations"`
}

type aclResource struct {
	Type        string `json:"type"`
	Name        string `json:"name,omitempty"`
	PatternType string `json:"patternType,omitempty"`
}

// resourceTypes are Strimzi's words.
var resourceTypes = map[right.Resource]string{
	right.Topic: "topic", right.Group: "group", right.TransactionalID: "transactionalId", right.Cluster: "cluster",
}

// aclsOf are the rights of all the duties together, each resource once.
func aclsOf(of []duty, prefix string, results bool) []acl {
	var out []acl
	for _, d := range of {
		for _, n := range d.needs {
			if n.results && !results {
				continue
			}
			r := n.on(prefix)
			at := slices.IndexFunc(out, func(a acl) bool { return a.Resource == r })
			if at < 0 {
				at = len(out)
				out = append(out, acl{Resource: r})
			}
			for _, operation := range n.operations {
				if !slices.Contains(out[at].Operations, operation) {
					out[at].Operations = append(out[at].Operations, operation)
				}
			}
		}
	}
	for _, a := range out {
		slices.Sort(a.Operations)
	}
	slices.SortStableFunc(out, func(a, b acl) int {
		return cmp.Compare(kindOrder[a.Resource.Type], kindOrder[b.Resource.Type])
	})
	return out
}

// on is the resource, with the prefix of the topics.
func (n need) on(prefix string) aclResource {
	r := aclResource{Type: resourceTypes[n.resource]}
	switch {
	case n.resource == right.Cluster: // there is one
	case n.prefixed:
		r.Name, r.PatternType = prefix+n.name, "prefix"
	default:
		r.Name, r.PatternType = prefix+n.name, "literal"
	}
	return r
}

var kindOrder = map[string]int{"topic": 0, "group": 1, "transactionalId": 2, "cluster": 3}

// command is what gives the right to a principal, in the words of Kafka's own
// tool.
func (a acl) command(principal string) string {
	words := []string{"kafka-acls.sh", `--bootstrap-server "$KAFKA"`, "--command-config admin.properties", "--add", "--allow-principal " + shellQuote(principal)}
	for _, operation := range a.Operations {
		words = append(words, "--operation "+operation)
	}
	switch a.Resource.Type {
	case "cluster":
		words = append(words, "--cluster")
	case "transactionalId":
		words = append(words, "--transactional-id "+shellQuote(a.Resource.Name))
	default:
		words = append(words, "--"+a.Resource.Type+" "+shellQuote(a.Resource.Name))
	}
	if a.Resource.PatternType == "prefix" {
		words = append(words, "--resource-pattern-type prefixed")
	}
	return strings.Join(words, " ")
}
