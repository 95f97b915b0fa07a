package main

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// startBroker starts an in-process broker and returns it with the environment
// that leads to it.
func startBroker(t *testing.T) (*kfake.Cluster, []string) {
	t.Helper()
	broker, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(broker.Close)
	return broker, []string{"BRIDGE_KAFKA_BROKERS=" + strings.Join(broker.ListenAddrs(), ",")}
}

func TestTopicsApply(t *testing.T) {
	t.Parallel()
	broker, environ := startBroker(t)
	got := runMain(t, environ, "topics", "apply", "--replication", "1")
	want := `TOPIC                  PARTITIONS  REPLICATION  RESULT
postident.inbox        12          1            created
postident.case-state   12          1            created
postident.poll-cursor  12          1            created
postident.status.v1    12          1            created
postident.dead-letter  12          1            created
`
	if got.code != exitDone || got.stdout != want || got.stderr != singleWarning {
		t.Errorf("apply: exit %d, stderr %q, stdout:\n%s", got.code, got.stderr, got.stdout)
	}
	for topic, configs := range map[string]map[string]string{
		"postident.inbox":       {"cleanup.policy": "delete", "retention.ms": "604800000", "min.insync.replicas": "1"},
		"postident.case-state":  {"cleanup.policy": "compact", "segment.bytes": "16777216", "delete.retention.ms": "3600000"},
		"postident.poll-cursor": {"cleanup.policy": "compact", "segment.bytes": "16777216"},
		"postident.status.v1":   {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"},
		"postident.dead-letter": {"cleanup.policy": "delete", "retention.ms": "2592000000"},
	} {
		info := broker.TopicInfo(topic)
		if info == nil {
			t.Fatalf("no topic %s", topic)
		}
		for key, want := range configs {
			if v := info.Configs[key]; v == nil || *v != want {
				t.Errorf("%s: %s is %v, want %s", topic, key, v, want)
			}
		}
	}

	again := runMain(t, environ, "topics", "apply", "--replication", "1")
	if again.code != exitDone || strings.Contains(again.stdout, "created") || strings.Count(again.stdout, "ok\n") != 5 {
		t.Errorf("apply again: exit %d\n%s", again.code, again.stdout)
	}
	if check := runMain(t, environ, "topics", "check", "--replication", "1"); check.code != exitDone {
		t.Errorf("check: exit %d\n%s", check.code, check.stdout)
	}
}

// "Shown by" 4 of the main job.
func TestTopicsCheckFindsAWrongPartitionCount(t *testing.T) {
	t.Parallel()
	broker, environ := startBroker(t)
	if got := runMain(t, environ, "topics", "apply", "--replication", "1"); got.code != exitDone {
		t.Fatal(got)
	}
	if err := broker.DeleteTopic("postident.case-state"); err != nil {
		t.Fatal(err)
	}
	if err := broker.CreateTopic("postident.case-state", 6, map[string]string{"cleanup.policy": "delete"}); err != nil {
		t.Fatal(err)
	}
	got := runMain(t, environ, "topics", "check", "--replication", "1")
	for _, want := range []string{
		"postident.case-state   6           1            differs\n",
		"postident.case-state: partitions is 6, should be 12\n",
		"postident.case-state: cleanup.policy is delete, should be compact\n",
		"postident.case-state: segment.bytes is 104857600, should be at most 16777216\n",
		"A partition count is never changed",
	} {
		if !strings.Contains(got.stdout, want) {
			t.Errorf("%q is not in\n%s", want, got.stdout)
		}
	}
	if got.code != exitFailed || got.stderr != singleWarning {
		t.Errorf("exit %d, stderr %q", got.code, got.stderr)
	}
	// Applying repairs no partition count and destroys nothing.
	if again := runMain(t, environ, "topics", "apply", "--replication", "1"); again.code != exitFailed ||
		len(broker.PartitionInfos("postident.case-state")) != 6 {
		t.Errorf("apply: exit %d\n%s", again.code, again.stdout)
	}

	asJSON := runMain(t, environ, "topics", "check", "--replication", "1", "--json")
	var results []topicResult
	if err := json.Unmarshal([]byte(asJSON.stdout), &results); err != nil {
		t.Fatal(err)
	}
	if asJSON.code != exitFailed || len(results) != 5 || len(results[1].Differences) != 3 || len(results[0].Differences) != 0 {
		t.Errorf("json: exit %d, %+v", asJSON.code, results)
	}
}

// A topic of personal data is created with the retention that the operator
// gives, and with no other.
func TestTopicsApplyWithResults(t *testing.T) {
	t.Parallel()
	broker, environ := startBroker(t)
	if got := runMain(t, environ, "topics", "apply", "--replication", "1", "--result-retention", "10ms"); got.code != exitUsage ||
		!strings.Contains(got.stderr, "--result-retention must be at least 1s") {
		t.Errorf("10 ms: exit %d, stderr %q", got.code, got.stderr)
	}
	apply := []string{"topics", "apply", "--replication", "1", "--status-partitions", "3", "--result-retention", "720h"}
	got := runMain(t, environ, apply...)
	if got.code != exitDone || !strings.Contains(got.stdout, "postident.result.v1    3           1            created\n") {
		t.Fatalf("apply: exit %d, stderr %q, stdout:\n%s", got.code, got.stderr, got.stdout)
	}
	for key, want := range map[string]string{
		"cleanup.policy": "delete", "retention.ms": "2592000000", "retention.bytes": "-1", "segment.ms": "86400000",
		"min.insync.replicas": "1", "unclean.leader.election.enable": "false",
	} {
		if v := broker.TopicInfo("postident.result.v1").Configs[key]; v == nil || *v != want {
			t.Errorf("%s is %v, want %s", key, v, want)
		}
	}
	// The topic is judged where it is spoken of, and not otherwise.
	for _, tt := range []struct {
		flags []string
		want  string // in the output; empty: all is well
	}{
		{[]string{"--result-retention", "720h"}, ""},
		{nil, ""},
		{[]string{"--result-retention", "168h"}, "postident.result.v1: retention.ms is 2592000000, should be 604800000\n"},
		{[]string{"--result-retention", "1440h"}, "postident.result.v1: retention.ms is 2592000000, should be 5184000000\n"},
	} {
		check := runMain(t, environ, append([]string{"topics", "check", "--replication", "1", "--status-partitions", "3"}, tt.flags...)...)
		if (check.code == exitDone) != (tt.want == "") || !strings.Contains(check.stdout, tt.want) {
			t.Errorf("check %v: exit %d, want %q in\n%s", tt.flags, check.code, tt.want, check.stdout)
		}
	}
}

// With an account that publishes results and no word on their retention, apply
// creates nothing at all.
func TestTopicsApplyAsksForTheRetentionOfResults(t *testing.T) {
	t.Parallel()
	broker, environ := startBroker(t)
	names := namesOfTopics("postident.")
	plan := topicPlan{Partitions: 2, Replication: 1, ResultAccounts: []string{"ONE", "TWO"}}
	apply := func() ([]topicResult, error) {
		seeds := kgo.SeedBrokers(strings.Split(strings.TrimPrefix(environ[0], "BRIDGE_KAFKA_BROKERS="), ",")...)
		return withAdmin([]kgo.Opt{seeds}, func(admin *kadm.Client) ([]topicResult, error) {
			return applyTopics(t.Context(), admin, plan.specs(names), names)
		})
	}
	_, err := apply()
	var usage *usageError
	if !errors.As(err, &usage) || !strings.Contains(err.Error(), "postident.result.v1 holds personal data of ONE, TWO: say with --result-retention") {
		t.Errorf("%v, want to be asked for the retention", err)
	}
	if broker.TopicInfo(names.Inbox) != nil {
		t.Error("topics were created")
	}
	// Where somebody has made the topic, with an end, nothing is to be asked.
	if err := broker.CreateTopic(names.Result, 2, map[string]string{"cleanup.policy": "delete", "retention.ms": "1000", "segment.ms": "1000"}); err != nil {
		t.Fatal(err)
	}
	results, err := apply()
	if err != nil || countDifferences(results) > 0 || len(results) != 6 {
		t.Errorf("%v, %+v", err, results)
	}
}

func TestResultAccounts(t *testing.T) {
	t.Parallel()
	s := settings{Accounts: []accountSettings{{ClientID: "A", Payload: "status"}, {ClientID: "B", Payload: "result"}, {ClientID: "C", Payload: "result"}}}
	if diff := cmp.Diff([]string{"B", "C"}, s.resultAccounts()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestTopicsCheckChangesNothing(t *testing.T) {
	t.Parallel()
	broker, environ := startBroker(t)
	got := runMain(t, environ, "topics", "check")
	if got.code != exitFailed || strings.Count(got.stdout, "topic is missing, should be there") != 5 {
		t.Errorf("exit %d\n%s", got.code, got.stdout)
	}
	if broker.TopicInfo("postident.inbox") != nil {
		t.Error("check created a topic")
	}
}

func TestTopicsApplyWithTooFewBrokers(t *testing.T) {
	t.Parallel()
	_, environ := startBroker(t)
	got := runMain(t, environ, "topics", "apply")
	if got.code != exitFailed || !strings.Contains(got.stderr, "too few brokers for --replication 3") {
		t.Errorf("exit %d, stderr %q", got.code, got.stderr)
	}
}

func TestMissingTwinHasTheSamePartitions(t *testing.T) {
	t.Parallel()
	names := namesOfTopics("p.")
	specs := topicPlan{Partitions: 12, StatusPartitions: 3, Replication: 3}.specs(names)
	got := make(map[string]int32)
	for _, s := range missing(specs, names, map[string]topicSeen{names.Inbox: {Partitions: 6}, names.DeadLetter: {}}) {
		got[s.Name] = s.Partitions
	}
	if diff := cmp.Diff(map[string]int32{names.CaseState: 6, names.PollCursor: 12, names.Status: 3}, got); diff != "" {
		t.Errorf("missing (-want +got):\n%s", diff)
	}
}

func TestCompareTopics(t *testing.T) {
	t.Parallel()
	names := namesOfTopics("p.")
	plan := topicPlan{Partitions: 12, Replication: 3, StatusRetention: 10 * 365 * day}
	good := func() map[string]topicSeen {
		seen := make(map[string]topicSeen)
		for _, s := range plan.specs(names) {
			configs := make(map[string]string)
			for _, c := range s.Configs {
				configs[c.Key] = c.Value
			}
			seen[s.Name] = topicSeen{Partitions: s.Partitions, Replication: s.Replication, Configs: configs}
		}
		return seen
	}
	tests := []struct {
		name string
		is   func(map[string]topicSeen)
		want []string
	}{
		{"as planned", func(map[string]topicSeen) {}, nil},
		{"kept for longer", func(s map[string]topicSeen) {
			s[names.Inbox].Configs["retention.ms"] = millis(8 * day)
			s[names.Status].Configs["retention.ms"] = "-1"
			s[names.CaseState].Configs["segment.bytes"] = "1048576"
			s[names.CaseState].Configs["min.insync.replicas"] = "3"
		}, nil},
		{"kept for less", func(s map[string]topicSeen) {
			s[names.Inbox].Configs["retention.ms"] = millis(day)
			s[names.Status].Configs["retention.bytes"] = "1000000"
			s[names.DeadLetter].Configs["retention.ms"] = "soon"
		}, []string{
			"p.inbox: retention.ms is 86400000, should be at least 604800000",
			"p.status.v1: retention.bytes is 1000000, should be -1",
			"p.dead-letter: retention.ms is soon, should be at least 2592000000",
		}},
		{"unsafe", func(s map[string]topicSeen) {
			s[names.CaseState].Configs["min.insync.replicas"] = "1"
			s[names.CaseState].Configs["unclean.leader.election.enable"] = "true"
			s[names.CaseState].Configs["segment.bytes"] = "1073741824"
			s[names.CaseState].Configs["delete.retention.ms"] = "0"
			s[names.CaseState].Configs["cleanup.policy"] = "compact, delete"
		}, []string{
			"p.case-state: cleanup.policy is compact, delete, should be compact",
			"p.case-state: segment.bytes is 1073741824, should be at most 16777216",
			"p.case-state: delete.retention.ms is 0, should be at least 3600000",
			"p.case-state: min.insync.replicas is 1, should be at least 2",
			"p.case-state: unclean.leader.election.enable is true, should be false",
		}},
		{"replicas", func(s map[string]topicSeen) {
			s[names.Inbox] = topicSeen{Partitions: 12, Replication: 2}
			s[names.Status] = topicSeen{Partitions: 12, Replication: 4}
		}, []string{"p.inbox: replication is 2, should be at least 3"}},
		{"inbox and case-state differ", func(s map[string]topicSeen) {
			s[names.Inbox] = topicSeen{Partitions: 24, Replication: 3}
		}, []string{
			"p.inbox: partitions is 24, should be 12",
			"p.case-state: partitions is 12, should be 24 as of p.inbox",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			seen := good()
			tt.is(seen)
			var got []string
			for _, r := range compareTopics(plan.specs(names), names, seen) {
				for _, d := range r.Differences {
					got = append(got, r.Topic+": "+d.String())
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("differences (-want +got):\n%s", diff)
			}
		})
	}
	results := topicPlan{Partitions: 12, Replication: 3, ResultAccounts: []string{"A"}}
	given := results
	given.ResultRetention = 6 * time.Hour
	for _, tt := range []struct {
		name string
		plan topicPlan
		seen map[string]string // configurations of result.v1; nil: no such topic
		want []string
	}{
		{"no results", topicPlan{Partitions: 12, Replication: 3}, map[string]string{"retention.ms": "-1"}, nil},
		{"missing, retention given", given, nil, []string{"topic is missing, should be there"}},
		{"missing, retention not given", results, nil, []string{
			"topic is missing, should be there",
			"--result-retention is not given, should be given to 'topics apply': results are personal data",
		}},
		{"as planned", given, map[string]string{"retention.ms": "21600000", "segment.ms": "21600000", "cleanup.policy": "delete"}, nil},
		{"kept for longer", given, map[string]string{"retention.ms": "21600001"}, []string{"retention.ms is 21600001, should be 21600000"}},
		{"segments that outlive the retention", given, map[string]string{"segment.ms": "604800000"}, []string{"segment.ms is 604800000, should be at most 21600000"}},
		{"limited, retention not given", results, map[string]string{"retention.ms": "604800000", "segment.ms": "86400000"}, nil},
		{"for ever", results, map[string]string{"retention.ms": "-1"}, []string{"retention.ms is -1, should be limited: give --result-retention"}},
		{"for ever, though given", given, map[string]string{"retention.ms": "-1"}, []string{"retention.ms is -1, should be 21600000"}},
		{"compacted: nothing ends", given, map[string]string{"cleanup.policy": "compact"}, []string{"cleanup.policy is compact, should be delete"}},
	} {
		seen := good()
		if tt.seen != nil {
			seen[names.Result] = topicSeen{Partitions: 12, Replication: 3, Configs: tt.seen}
		}
		tt.plan.StatusRetention = plan.StatusRetention
		var got []string
		for _, r := range compareTopics(tt.plan.specs(names), names, seen) {
			for _, d := range r.Differences {
				got = append(got, d.String())
			}
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: differences (-want +got):\n%s", tt.name, diff)
		}
	}
	if got := (topicPlan{Partitions: 1, Replication: 1, StatusRetention: time.Hour}).specs(names)[3].Configs[1].Value; got != "3600000" {
		t.Errorf("--status-retention 1h: retention.ms %s", got)
	}
}
