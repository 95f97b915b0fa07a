package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"postident-bridge/publish"
	"postident-bridge/schemas"
)

// transactionLog is Kafka's own topic of transactions.
const transactionLog = "__transaction_state"

// clusterSeen is how the cluster is set up, as far as it may be seen. What is
// not told is not judged.
type clusterSeen struct {
	Brokers map[int32]map[string]string
	Topics  map[string]topicSeen
	Denied  bool // something may not be described
}

// assumption is one on which promises rest and which the cluster's settings
// break.
type assumption struct {
	Promise string // P1, P2, …: docs/guarantees.md
	Subject string // a topic, or brokers
	Setting string
	Is      string
	Should  string
	Why     string
	Remedy  string
	// replication: it is about copies, of which a single broker has none.
	replication bool
}

func (a assumption) String() string {
	return fmt.Sprintf("%s: %s is %s, should be %s (%s: %s). %s", a.Subject, a.Setting, a.Is, a.Should, a.Promise, a.Why, a.Remedy)
}

// topicRule is an assumption about a configuration of a topic, and of brokers
// one about theirs.
type topicRule struct {
	rule    configRule
	promise string
	why     string
	remedy  string
}

// assumptionsOf are the assumptions about the topics.
func assumptionsOf(names topicNames) map[string][]topicRule {
	unclean := topicRule{
		configRule{"unclean.leader.election.enable", "false", exactly},
		"P1, P2",
		"a replica that lacks acknowledged records may become leader", "Set it to false on the topic.",
	}
	size := topicRule{
		configRule{"max.message.bytes", strconv.Itoa(schemas.MaxBytes), atLeast},
		"P8",
		"cases with long records would go to the dead letters", "Raise it on the topic.",
	}
	kept := func(promise, why string, retention time.Duration) []topicRule {
		rules := []topicRule{{configRule{"cleanup.policy", "delete", exactly}, promise, why, "Set it to delete."}, unclean, size}
		if retention == 0 {
			return rules
		}
		return append(rules,
			topicRule{configRule{"retention.ms", millis(retention), atLeast}, promise, why, "Raise it on the topic."},
			topicRule{configRule{"retention.bytes", "-1", exactly}, promise, why, "Set it to -1: a limit on bytes forgets what time would keep."})
	}
	return map[string][]topicRule{
		names.Inbox:  kept("P1", "a trigger that is not done yet may be deleted", 7*day),
		names.Status: kept("P9", "compaction takes events out of the hash chain", 0),
		names.Result: append(kept("P5", "compaction keeps a case's last result, which is personal data, for ever", 0),
			topicRule{
				configRule{"retention.ms", "", notForEver},
				"P5", "personal data is kept for ever",
				"Set it to what 'topics apply --result-retention' was meant to.",
			}),
		names.DeadLetter: kept("P8", "a dead letter may be gone before anybody has seen to it", 30*day),
		names.CaseState: {
			{
				configRule{"cleanup.policy", "compact", exactly},
				"P2",
				"what was published is forgotten, and published again", "Set it to compact.",
			},
			{
				configRule{"delete.retention.ms", millis(time.Hour), atLeast},
				"P2",
				"a take-over that reads for longer may miss that a case was forgotten", "Raise it on the topic.",
			},
			unclean, size,
		},
		names.PollCursor: {
			{
				configRule{"cleanup.policy", "compact", exactly},
				"P4",
				"how far sweeps have come is forgotten: what was closed meanwhile waits for the reconciliation", "Set it to compact.",
			},
			unclean,
		},
		transactionLog: {{
			configRule{"unclean.leader.election.enable", "false", exactly},
			"P2",
			"a transaction that was committed may be aborted", "Set it to false on the topic.",
		}},
	}
}

// brokerAssumptions are those about the brokers' own settings.
func brokerAssumptions() []topicRule {
	return []topicRule{
		{
			configRule{"transaction.max.timeout.ms", millis(publish.TransactionTimeout), atLeast},
			"P2",
			"brokers refuse the bridge's transactions, and nothing is published", "Raise it on the brokers.",
		},
		{
			configRule{"group.min.session.timeout.ms", millis(publish.SessionTimeout), atMost},
			"P2",
			"brokers refuse the bridge's group, and nothing is published", "Lower it on the brokers.",
		},
		{
			configRule{"group.max.session.timeout.ms", millis(publish.SessionTimeout), atLeast},
			"P2",
			"brokers refuse the bridge's group, and nothing is published", "Raise it on the brokers.",
		},
	}
}

// brokenAssumptions says which of the assumptions that the promises rest on the
// cluster does not keep, by subject.
func brokenAssumptions(seen clusterSeen, names topicNames) []assumption {
	var out []assumption
	for topic, rules := range assumptionsOf(names) {
		have, exists := seen.Topics[topic]
		if !exists {
			continue // `topics check` and readiness tell of that
		}
		out = append(out, brokenReplication(topic, have)...)
		for _, r := range rules {
			if value, told := have.Configs[r.rule.Key]; told && !r.rule.satisfied(value) {
				out = append(out, r.broken(topic, value))
			}
		}
	}
	for _, r := range brokerAssumptions() {
		out = append(out, brokenOnBrokers(seen, r)...)
	}
	if _, exists := seen.Topics[transactionLog]; !exists {
		// Brokers make it at the first transaction, by these.
		for _, r := range []topicRule{
			{
				configRule{"transaction.state.log.replication.factor", "3", atLeast},
				"P2",
				"a broker that is lost takes the outcome of transactions with it", "Raise it before the first transaction.",
			},
			{
				configRule{"transaction.state.log.min.isr", "2", atLeast},
				"P2",
				"a broker that is lost takes the outcome of transactions with it", "Raise it on the brokers.",
			},
		} {
			for _, a := range brokenOnBrokers(seen, r) {
				a.replication = true
				out = append(out, a)
			}
		}
	}
	slices.SortFunc(out, func(a, b assumption) int {
		return cmp.Or(cmp.Compare(a.Subject, b.Subject), cmp.Compare(a.Setting, b.Setting), cmp.Compare(a.Is, b.Is))
	})
	return out
}

func (r topicRule) broken(subject, value string) assumption {
	return assumption{
		Promise: r.promise, Subject: subject, Setting: r.rule.Key, Is: value, Should: r.rule.wanted(), Why: r.why, Remedy: r.remedy,
	}
}

// brokenReplication judges copies: how many there are, and how many have a
// record before it is acknowledged.
func brokenReplication(topic string, t topicSeen) []assumption {
	var out []assumption
	if t.Replication < 3 {
		out = append(out, assumption{
			"P1, P2", topic, "replication", strconv.Itoa(int(t.Replication)), "at least 3",
			"with a broker lost, what was acknowledged may be lost, or nothing can be written",
			"Add replicas with kafka-reassign-partitions.", true,
		})
	}
	value, told := t.Configs["min.insync.replicas"]
	least, err := strconv.Atoi(value)
	switch {
	case !told || err != nil:
	case least < 2:
		out = append(out, assumption{
			"P1, P2", topic, "min.insync.replicas", value, "at least 2",
			"one broker alone may acknowledge, and be lost", "Set it to 2 on the topic.", true,
		})
	case least >= int(t.Replication):
		out = append(out, assumption{
			"P1, P2", topic, "min.insync.replicas", value, fmt.Sprintf("less than the %d replicas", t.Replication),
			"with one broker down, webhooks get 503 and nothing is published", "Lower it, or add replicas.", true,
		})
	}
	return out
}

// brokenOnBrokers judges a setting of every broker, and names those brokers
// together that have the same value.
func brokenOnBrokers(seen clusterSeen, r topicRule) []assumption {
	byValue := make(map[string][]string)
	for _, id := range slices.Sorted(maps.Keys(seen.Brokers)) {
		if value, told := seen.Brokers[id][r.rule.Key]; told && !r.rule.satisfied(value) {
			byValue[value] = append(byValue[value], strconv.Itoa(int(id)))
		}
	}
	var out []assumption
	for _, value := range slices.Sorted(maps.Keys(byValue)) {
		ids := byValue[value]
		subject := "broker " + ids[0]
		if len(ids) > 1 {
			subject = "brokers " + strings.Join(ids, ", ")
		}
		out = append(out, r.broken(subject, value))
	}
	return out
}

// summarised takes out what is about copies where there is one broker: it is a
// cluster for development, and one line says so.
func summarised(seen clusterSeen, broken []assumption) (rest []assumption, single bool) {
	if len(seen.Brokers) != 1 {
		return broken, false
	}
	rest = slices.DeleteFunc(slices.Clone(broken), func(a assumption) bool { return a.replication })
	return rest, len(rest) < len(broken)
}
