package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.opentelemetry.io/otel/metric/noop"

	"postident-bridge/internal/counterpart"
)

// soundCluster keeps every assumption.
func soundCluster(names topicNames) clusterSeen {
	topic := func(configs map[string]string) topicSeen {
		all := map[string]string{
			"min.insync.replicas": "2", "unclean.leader.election.enable": "false", "max.message.bytes": "1048588",
			"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1", "delete.retention.ms": "86400000",
		}
		maps.Copy(all, configs)
		return topicSeen{Partitions: 12, Replication: 3, Configs: all}
	}
	broker := func() map[string]string {
		return map[string]string{
			"transaction.max.timeout.ms": "900000", "group.min.session.timeout.ms": "6000", "group.max.session.timeout.ms": "1800000",
			"transaction.state.log.replication.factor": "3", "transaction.state.log.min.isr": "2",
		}
	}
	return clusterSeen{
		Brokers: map[int32]map[string]string{1: broker(), 2: broker(), 3: broker()},
		Topics: map[string]topicSeen{
			names.Inbox: topic(map[string]string{"retention.ms": "604800000"}), names.CaseState: topic(map[string]string{"cleanup.policy": "compact"}),
			names.Status: topic(nil), names.Result: topic(map[string]string{"retention.ms": "2592000000"}), names.DeadLetter: topic(map[string]string{"retention.ms": "2592000000"}),
			transactionLog: topic(map[string]string{"cleanup.policy": "compact"}),
		},
	}
}

// Each assumption, broken alone, is named with its promise, what is wrong and
// what to do; nothing else is.
func TestBrokenAssumptions(t *testing.T) {
	t.Parallel()
	names := namesOfTopics("postident.")
	topic := func(name, key, value string) func(*clusterSeen) {
		return func(c *clusterSeen) { c.Topics[name].Configs[key] = value }
	}
	brokers := func(key, value string, ids ...int32) func(*clusterSeen) {
		return func(c *clusterSeen) {
			delete(c.Topics, transactionLog)
			for _, id := range ids {
				c.Brokers[id][key] = value
			}
		}
	}
	replicas := func(name string, n int16) func(*clusterSeen) {
		return func(c *clusterSeen) {
			s := c.Topics[name]
			s.Replication = n
			c.Topics[name] = s
		}
	}
	tests := map[string]struct {
		change func(*clusterSeen)
		want   []string
	}{
		"nothing":                          {func(*clusterSeen) {}, nil},
		"nothing may be seen":              {func(c *clusterSeen) { *c = clusterSeen{Denied: true} }, nil},
		"no transaction yet, all in order": {brokers("", ""), nil},

		"two replicas of the inbox": {replicas(names.Inbox, 2), []string{
			"P1, P2 postident.inbox min.insync.replicas is 2, should be less than the 2 replicas",
			"P1, P2 postident.inbox replication is 2, should be at least 3",
		}},
		"two replicas of the transactions": {replicas(transactionLog, 1), []string{
			"P1, P2 __transaction_state min.insync.replicas is 2, should be less than the 1 replicas",
			"P1, P2 __transaction_state replication is 1, should be at least 3",
		}},
		"four replicas, two in sync": {replicas(names.Status, 4), nil},
		"one in sync":                {topic(names.Status, "min.insync.replicas", "1"), []string{"P1, P2 postident.status.v1 min.insync.replicas is 1, should be at least 2"}},
		"all in sync":                {topic(names.CaseState, "min.insync.replicas", "3"), []string{"P1, P2 postident.case-state min.insync.replicas is 3, should be less than the 3 replicas"}},
		"unclean elections":          {topic(names.CaseState, "unclean.leader.election.enable", "true"), []string{"P1, P2 postident.case-state unclean.leader.election.enable is true, should be false"}},
		"unclean, of transactions":   {topic(transactionLog, "unclean.leader.election.enable", "true"), []string{"P2 __transaction_state unclean.leader.election.enable is true, should be false"}},
		"compacted inbox":            {topic(names.Inbox, "cleanup.policy", "compact"), []string{"P1 postident.inbox cleanup.policy is compact, should be delete"}},
		"inbox for a day":            {topic(names.Inbox, "retention.ms", "86400000"), []string{"P1 postident.inbox retention.ms is 86400000, should be at least 604800000"}},
		"inbox for ever":             {topic(names.Inbox, "retention.ms", "-1"), nil},
		"inbox by bytes":             {topic(names.Inbox, "retention.bytes", "1000000"), []string{"P1 postident.inbox retention.bytes is 1000000, should be -1"}},
		"compacted status":           {topic(names.Status, "cleanup.policy", "compact,delete"), []string{"P9 postident.status.v1 cleanup.policy is compact,delete, should be delete"}},
		"status for a year":          {topic(names.Status, "retention.ms", "31536000000"), nil},
		"dead letters for a day":     {topic(names.DeadLetter, "retention.ms", "86400000"), []string{"P8 postident.dead-letter retention.ms is 86400000, should be at least 2592000000"}},
		"compacted results":          {topic(names.Result, "cleanup.policy", "compact"), []string{"P5 postident.result.v1 cleanup.policy is compact, should be delete"}},
		"results for ever":           {topic(names.Result, "retention.ms", "-1"), []string{"P5 postident.result.v1 retention.ms is -1, should be limited: give --result-retention"}},
		"results for a minute":       {topic(names.Result, "retention.ms", "60000"), nil},
		"case-state is deleted":      {topic(names.CaseState, "cleanup.policy", "delete"), []string{"P2 postident.case-state cleanup.policy is delete, should be compact"}},
		"tombstones for a minute":    {topic(names.CaseState, "delete.retention.ms", "60000"), []string{"P2 postident.case-state delete.retention.ms is 60000, should be at least 3600000"}},
		"short messages":             {topic(names.CaseState, "max.message.bytes", "65536"), []string{"P8 postident.case-state max.message.bytes is 65536, should be at least 1048576"}},
		"short transactions": {brokers("transaction.max.timeout.ms", "10000", 1, 2, 3), []string{
			"P2 brokers 1, 2, 3 transaction.max.timeout.ms is 10000, should be at least 15000",
		}},
		"one broker with long sessions": {brokers("group.min.session.timeout.ms", "30000", 2), []string{
			"P2 broker 2 group.min.session.timeout.ms is 30000, should be at most 10000",
		}},
		"brokers with short sessions": {brokers("group.max.session.timeout.ms", "6000", 1, 3), []string{
			"P2 brokers 1, 3 group.max.session.timeout.ms is 6000, should be at least 10000",
		}},
		"no transaction yet, and one copy to come": {brokers("transaction.state.log.replication.factor", "1", 1, 2, 3), []string{
			"P2 brokers 1, 2, 3 transaction.state.log.replication.factor is 1, should be at least 3",
		}},
		"no transaction yet, and one in sync to come": {brokers("transaction.state.log.min.isr", "1", 3), []string{
			"P2 broker 3 transaction.state.log.min.isr is 1, should be at least 2",
		}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seen := soundCluster(names)
			tc.change(&seen)
			var got []string
			for _, a := range brokenAssumptions(seen, names) {
				got = append(got, a.Promise+" "+a.Subject+" "+a.Setting+" is "+a.Is+", should be "+a.Should)
				if a.Why == "" || !strings.HasSuffix(a.Remedy, ".") {
					t.Errorf("no reason or no remedy: %s", a)
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// One broker gets one line for all that is about copies; what is not, is said.
func TestSingleBrokerIsSummarised(t *testing.T) {
	t.Parallel()
	names := namesOfTopics("")
	seen := soundCluster(names)
	delete(seen.Brokers, 2)
	delete(seen.Brokers, 3)
	for name, topic := range seen.Topics {
		topic.Replication, topic.Configs["min.insync.replicas"] = 1, "1"
		seen.Topics[name] = topic
	}
	seen.Topics[names.Inbox].Configs["retention.ms"] = "1"
	broken := brokenAssumptions(seen, names)
	rest, single := summarised(seen, broken)
	if !single || len(rest) != 1 || rest[0].Setting != "retention.ms" || len(broken) != 13 {
		t.Errorf("single %t, %d of %d left: %v", single, len(rest), len(broken), rest)
	}
	if rest, single := summarised(soundCluster(names), broken); single || len(rest) != len(broken) {
		t.Errorf("three brokers: single %t, %d of %d left", single, len(rest), len(broken))
	}
}

// singleWarning is what the topics commands say of a cluster of one broker.
const singleWarning = "bridge: warning: " + singleBroker + "\n"

// watchLog runs looks of a watch and returns what they logged.
func watchLog(t *testing.T, seeds []string, prefix string, level slog.Level, between ...func()) []map[string]any {
	t.Helper()
	var log lockedBuffer
	watch, err := newClusterWatch([]kgo.Opt{kgo.SeedBrokers(seeds...)}, namesOfTopics(prefix), nil, noop.Meter{},
		slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: level})))
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range append(between, func() {}) {
		if err := watch.look(t.Context()); err != nil {
			t.Fatal(err)
		}
		change()
	}
	var lines []map[string]any
	for line := range strings.Lines(string(log.bytes())) {
		var parsed map[string]any
		if err := json.Unmarshal([]byte(line), &parsed); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, parsed)
	}
	return lines
}

// What is broken is logged when it breaks, once; after it was mended it is news
// again.
func TestClusterWatchTellsOnce(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(3))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	names := namesOfTopics("watched.")
	sound := map[string]string{"min.insync.replicas": "2", "unclean.leader.election.enable": "false", "retention.ms": "-1", "retention.bytes": "-1"}
	for _, name := range []string{names.Inbox, names.Status, names.DeadLetter, names.CaseState} {
		configs := maps.Clone(sound)
		if name == names.CaseState {
			configs["cleanup.policy"] = "compact"
		}
		if err := cluster.CreateTopic(name, 2, configs); err != nil {
			t.Fatal(err)
		}
	}
	set := func(value string) func() {
		return func() {
			client, err := kadm.NewOptClient(kgo.SeedBrokers(cluster.ListenAddrs()...))
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			_, err = client.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Name: "retention.ms", Value: &value}}, names.Inbox)
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	var got []string
	for _, line := range watchLog(t, cluster.ListenAddrs(), "watched.", slog.LevelInfo, set("60000"), func() {}, set("-1"), set("60000")) {
		if line["level"] != "WARN" || line["msg"] != "cluster breaks an assumption" || line["remedy"] == "" {
			t.Errorf("line %v", line)
		}
		got = append(got, strings.Join([]string{line["promise"].(string), line["subject"].(string), line["setting"].(string), line["is"].(string)}, " "))
	}
	want := "P1 watched.inbox retention.ms 60000"
	if diff := cmp.Diff([]string{want, want}, slices.DeleteFunc(got, func(line string) bool { return !strings.Contains(line, "retention.ms") })); diff != "" {
		t.Errorf("(-want +got):\n%s\nall: %v", diff, got)
	}
}

// Whoever may not look says so once, as info, and goes on.
func TestClusterWatchWithoutPermission(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "a.inbox", "a.case-state", "a.status.v1", "a.dead-letter"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	cluster.ControlKey(int16(kmsg.DescribeConfigs), func(req kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		resp := req.ResponseKind().(*kmsg.DescribeConfigsResponse)
		for _, r := range req.(*kmsg.DescribeConfigsRequest).Resources {
			out := kmsg.NewDescribeConfigsResponseResource()
			out.ResourceType, out.ResourceName, out.ErrorCode = r.ResourceType, r.ResourceName, kerr.ClusterAuthorizationFailed.Code
			if r.ResourceType == kmsg.ConfigResourceTypeTopic {
				out.ErrorCode = kerr.TopicAuthorizationFailed.Code
			}
			resp.Resources = append(resp.Resources, out)
		}
		return resp, nil, true
	})
	lines := watchLog(t, cluster.ListenAddrs(), "a.", slog.LevelInfo, func() {})
	denied := slices.DeleteFunc(lines, func(l map[string]any) bool { return l["level"] != "INFO" })
	if len(denied) != 1 || denied[0]["msg"] != "cluster settings cannot all be read" {
		t.Errorf("lines %v", lines)
	}
}

// On a real broker every setting that is judged is told, under the name that
// the rules have: a rule about a name that no broker knows would never fire.
func TestClusterWatchOnApacheKafka(t *testing.T) {
	t.Parallel()
	seeds := counterpart.SharedKafka(t).Seeds()
	names := namesOfTopics("assumed.")
	environ := []string{"BRIDGE_KAFKA_BROKERS=" + strings.Join(seeds, ","), "BRIDGE_TOPIC_PREFIX=assumed."}
	got := runMain(t, environ, "topics", "apply", "--replication", "1", "--result-retention", "720h")
	if got.code != exitDone || got.stderr != singleWarning {
		t.Fatalf("apply: exit %d, stderr %q", got.code, got.stderr)
	}
	seen, err := withAdmin([]kgo.Opt{kgo.SeedBrokers(seeds...)}, func(admin *kadm.Client) (clusterSeen, error) {
		return seeCluster(context.Background(), admin, names)
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen.Denied || len(seen.Brokers) != 1 {
		t.Fatalf("denied %t, %d brokers", seen.Denied, len(seen.Brokers))
	}
	for topic, rules := range assumptionsOf(names) {
		have, exists := seen.Topics[topic]
		if !exists && topic == transactionLog {
			continue // nobody had a transaction yet
		}
		for _, r := range append(rules, topicRule{rule: configRule{Key: "min.insync.replicas"}}) {
			if _, told := have.Configs[r.rule.Key]; !told {
				t.Errorf("%s: no %s", topic, r.rule.Key)
			}
		}
	}
	for id, configs := range seen.Brokers {
		for _, key := range []string{
			"transaction.max.timeout.ms", "group.min.session.timeout.ms", "group.max.session.timeout.ms",
			"transaction.state.log.replication.factor", "transaction.state.log.min.isr",
		} {
			if configs[key] == "" {
				t.Errorf("broker %d: no %s", id, key)
			}
		}
	}
	lines := watchLog(t, seeds, "assumed.", slog.LevelInfo, func() {})
	if len(lines) != 1 || lines[0]["msg"] != "cluster is for development only" {
		t.Errorf("one line was to come: %v", lines)
	}
}
