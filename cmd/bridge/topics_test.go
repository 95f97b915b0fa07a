package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kfake"
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
	if got := (topicPlan{Partitions: 1, Replication: 1, StatusRetention: time.Hour}).specs(names)[3].Configs[1].Value; got != "3600000" {
		t.Errorf("--status-retention 1h: retention.ms %s", got)
	}
}
