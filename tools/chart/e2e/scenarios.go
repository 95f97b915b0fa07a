package main

import (
	"path/filepath"
	"strings"
)

// longName is as long as Helm lets the name of a release be.
var longName = strings.Repeat("postident-", 6)[:53]

// variants are value sets beside those of ci/: what these leave open.
func variants(ci string) []valueSet {
	values := func(name string) string { return "--values=" + filepath.Join(ci, name+"-values.yaml") }
	return []valueSet{
		{"strimzi, mTLS", "bridge", []string{values("strimzi"), "--set=strimzi.users.authentication=tls,strimzi.users.describeConfigs=false"}},
		{"strimzi, API v1beta2", "bridge", []string{values("strimzi"), "--set=strimzi.apiVersion=kafka.strimzi.io/v1beta2"}},
		{"split, long name", longName, []string{values("split")}},
		{"all-in-one, long name", longName, []string{values("all-in-one"), "--set=allInOne.stableIdentity=true,allInOne.autoscaling.enabled=true"}},
	}
}

// scenarios are the lives of releases that are played.
func scenarios(ci string) []scenario {
	values := func(name string) string { return "--values=" + filepath.Join(ci, name+"-values.yaml") }
	topics := []string{}
	for _, topic := range []string{"inbox", "case-state", "poll-cursor", "status-v1", "dead-letter", "result-v1"} {
		topics = append(topics, "KafkaTopic/bridge-postident-bridge-"+topic)
	}
	// It stays after a failure, so that somebody can read its logs.
	hook := []string{"Job/bridge-postident-bridge-setup"}
	return []scenario{
		{"autoscaler", "bridge", []step{
			{verb: "install", says: "install minimal, 4 webhook pods", args: []string{values("minimal"), "--set=webhook.replicaCount=4"}},
			{verb: "upgrade", says: "upgrade to an autoscaler: 4 stay", args: []string{values("minimal"), "--set=webhook.autoscaling.enabled=true"}},
			{verb: "upgrade", says: "upgrade to 5 at least", args: []string{values("minimal"), "--set=webhook.autoscaling.enabled=true,webhook.autoscaling.minReplicas=5"}},
			{verb: "uninstall", says: "uninstall"},
		}},
		{"number", "123", []step{
			{verb: "install", says: "install as 123", args: []string{values("split")}},
			{verb: "test", says: "test"},
			{verb: "uninstall", says: "uninstall"},
		}},
		{"minimal", "bridge", []step{
			{verb: "install", says: "install minimal", args: []string{values("minimal")}},
			{verb: "upgrade", says: "upgrade to another image, 4 webhook pods", args: []string{values("minimal"), "--set=image.tag=0.1.1,webhook.replicaCount=4"}},
			{verb: "test", says: "test"},
			{verb: "upgrade", says: "upgrade to a StatefulSet", args: []string{values("minimal"), "--set=process.stableIdentity=true"}},
			{verb: "rollback", says: "rollback to 2", args: []string{"2"}},
			{verb: "rollback", says: "rollback to 1", args: []string{"1"}},
			{verb: "uninstall", says: "uninstall"},
		}},
		{"roles", "bridge", []step{
			{verb: "install", says: "install all-in-one, setup as a hook", args: []string{values("all-in-one")}},
			{verb: "test", says: "test"},
			{verb: "upgrade", says: "upgrade to split roles", args: []string{values("split")}},
			{verb: "test", says: "test"},
			{verb: "rollback", says: "rollback to all-in-one", args: []string{"1"}},
			{
				verb: "upgrade", says: "upgrade to split roles, setup fails: nothing changes",
				args: []string{values("split"), "--set=setup.backoffLimit=0"}, fails: "pre-upgrade hooks failed", failing: "setup", keeps: hook,
			},
			{verb: "upgrade", says: "upgrade to split roles again", args: []string{values("split")}},
			{verb: "upgrade", says: "upgrade to the Gateway API with mTLS", args: []string{values("gateway")}},
			{verb: "upgrade", says: "upgrade to every setting, one StatefulSet", args: []string{values("everything")}},
			{verb: "rollback", says: "rollback to split roles", args: []string{"5"}},
			{verb: "uninstall", says: "uninstall"},
		}},
		{"strimzi", "bridge", []step{
			{verb: "install", says: "install strimzi, setup beside the release", args: []string{values("strimzi")}},
			{verb: "test", says: "test"},
			{verb: "upgrade", says: "upgrade to mTLS, longer retention", args: []string{values("strimzi"), "--set=strimzi.users.authentication=tls,topics.resultRetention=24h"}},
			{verb: "rollback", says: "rollback to 1", args: []string{"1"}},
			{verb: "uninstall", says: "uninstall: the topics stay", keeps: topics},
			{verb: "install", says: "install again on the topics that stayed", args: []string{values("strimzi")}},
			{verb: "upgrade", says: "upgrade to all-in-one", args: []string{values("strimzi"), "--set=mode=all-in-one"}},
			{verb: "rollback", says: "rollback to split roles", args: []string{"1"}},
			{verb: "uninstall", says: "uninstall: the topics stay", keeps: topics},
		}},
		{"long-name", longName, []step{
			{verb: "install", says: "install split roles", args: []string{values("split")}},
			{verb: "test", says: "test"},
			{verb: "upgrade", says: "upgrade to all-in-one, a StatefulSet", args: []string{values("all-in-one"), "--set=allInOne.stableIdentity=true"}},
			{verb: "test", says: "test"},
			{verb: "rollback", says: "rollback to split roles", args: []string{"1"}},
			{verb: "uninstall", says: "uninstall"},
		}},
	}
}
