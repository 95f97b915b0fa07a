package main

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"postident-bridge/internal/counterpart"
	"postident-bridge/internal/lab"
	"postident-bridge/internal/right"
	"postident-bridge/internal/scr"
	"postident-bridge/internal/scrsim"
	"postident-bridge/internal/testbed"
	"postident-bridge/schemas"
)

// "Shown by" 4 of the chart: on an Apache Kafka with TLS, SASL and ACLs, the
// documented rights are enough, and none is too much: whoever lacks one says which.
func TestLeastPrivileges(t *testing.T) {
	counterpart.SkipUnderRace(t)
	t.Parallel()
	k := counterpart.StartSecuredKafka(t)
	t.Run("are enough for the main job", func(t *testing.T) {
		t.Parallel()
		mainJobHasEnough(t, k)
	})
	t.Run("are what the printed commands give", func(t *testing.T) {
		t.Parallel()
		printedCommandsGive(t, k)
	})
	t.Run("are all needed by roles", func(t *testing.T) {
		t.Parallel()
		rolesNeedEachRight(t, newSecuredWorld(t, k))
	})
	t.Run("are all needed by commands", func(t *testing.T) {
		t.Parallel()
		w := newSecuredWorld(t, k)
		commandsNeedEachRight(t, w)
		watchNeedsEachRight(t, w)
	})
}

// mainJobHasEnough runs each role as a process and a user of its own, and judges
// what they leave behind.
func mainJobHasEnough(t *testing.T, k *counterpart.SecuredKafka) {
	t.Helper()
	const prefix, cases = "least.", 40
	registry := counterpart.StartRegistry(t, nil)
	entrance := &lab.Entrance{Client: &http.Client{Timeout: 5 * time.Second}}
	front := httptest.NewServer(entrance)
	t.Cleanup(front.Close)
	w := newWorldOf(t, prefix, k.Kafka, registry, scrsim.Config{Accounts: scrsim.ExampleAccounts(front.URL), Seed: 7, TimeScale: 60})

	// The topics and the schemas too are made with no more than is documented.
	apply := append(slices.Clone(w.env), securedUser(t, k, prefix, dutyApply)...)
	for _, args := range []string{"topics apply --replication 1", "topics check --replication 1"} {
		if got := runMain(t, apply, strings.Fields(args)...); got.code != exitDone {
			t.Fatalf("%s: %v", args, got)
		}
	}
	nobody := securedEnviron(k, "nobody")
	k.SetUser(t, "nobody", securedPassword)
	for _, args := range []string{"schemas register", "schemas check"} {
		if got := runMain(t, append(slices.Clone(w.env), nobody...), strings.Fields(args)...); got.code != exitDone {
			t.Fatalf("%s: %v", args, got)
		}
	}
	for i, role := range allRoles {
		r := newReplica(t, w, i)
		r.name, r.args = role, []string{"run", "--roles", role}
		r.env = append(r.env, securedUser(t, k, prefix, role)...)
		r.env = append(r.env, "BRIDGE_SCHEMA_REGISTER=false", "BRIDGE_POLL_OPEN_EVERY=1s", "BRIDGE_POLL_CLOSED_EVERY=1s")
		w.replicas = append(w.replicas, r)
		r.start(t)
	}
	entrance.Set([]string{w.replicas[0].webhook})

	loop := newClosedLoop(t, w, cases, isHooked)
	loop.await(t, cases)
	w.settle(t)
	metrics := w.scrape(t)
	for _, r := range w.replicas {
		r.stop(t)
		if log := string(r.log.bytes()); strings.Contains(log, "AUTHORIZATION_FAILED") || strings.Contains(log, "right in Kafka is missing") {
			t.Errorf("%s lacks a right", r.name)
		}
	}
	w.judge(t, metrics)
}

const securedPassword = "canary-secured"

// securedEnviron leads a user to the broker.
func securedEnviron(k *counterpart.SecuredKafka, user string) []string {
	return []string{
		"BRIDGE_KAFKA_BROKERS=" + k.Secured, "BRIDGE_KAFKA_TLS_ENABLED=true", "BRIDGE_KAFKA_TLS_CA=" + k.CA(),
		"BRIDGE_KAFKA_SASL_MECHANISM=SCRAM-SHA-512", "BRIDGE_KAFKA_SASL_USERNAME=" + user, "BRIDGE_KAFKA_SASL_PASSWORD=" + securedPassword,
	}
}

// securedUser makes a user with the rights of a duty, and no other.
func securedUser(t *testing.T, k *counterpart.SecuredKafka, prefix string, names ...string) []string {
	t.Helper()
	user := prefix + strings.Join(names, "-")
	k.SetUser(t, user, securedPassword)
	chosen, err := chooseDuties(names)
	if err != nil {
		t.Fatal(err)
	}
	k.Allow(t, rightsOf(user, aclsOf(chosen, prefix, false))...)
	return securedEnviron(k, user)
}

// rightsOf are ACLs as the broker takes them, one for each operation.
func rightsOf(user string, acls []acl) []testbed.ACL {
	var out []testbed.ACL
	for _, a := range acls {
		for _, operation := range a.Operations {
			out = append(out, testbed.ACL{
				User: user, Name: cmp.Or(a.Resource.Name, "kafka-cluster"), Prefixed: a.Resource.PatternType == "prefix",
				Resource: map[string]kmsg.ACLResourceType{
					"topic": kmsg.ACLResourceTypeTopic, "group": kmsg.ACLResourceTypeGroup,
					"transactionalId": kmsg.ACLResourceTypeTransactionalId, "cluster": kmsg.ACLResourceTypeCluster,
				}[a.Resource.Type],
				Operation: map[string]kmsg.ACLOperation{
					right.Read: kmsg.ACLOperationRead, right.Write: kmsg.ACLOperationWrite, right.Create: kmsg.ACLOperationCreate,
					right.Describe: kmsg.ACLOperationDescribe, right.DescribeConfigs: kmsg.ACLOperationDescribeConfigs,
				}[operation],
			})
		}
	}
	return out
}

// securedWorld is a secured broker and an account whose cases have come to their
// ends, for bridges that have not heard of them.
type securedWorld struct {
	t       *testing.T
	kafka   *counterpart.SecuredKafka
	environ []string // of the account, and of the super user
	cases   []string
}

const securedAccount = "SIMGWG01"

func newSecuredWorld(t *testing.T, k *counterpart.SecuredKafka) *securedWorld {
	t.Helper()
	accounts := scrsim.ExampleAccounts("")[:1]
	// No keys are made for what this is not about.
	accounts[0].Encryption, accounts[0].Credentials[0].DataPassword = scrsim.EncryptionOff, ""
	sim, err := scrsim.New(scrsim.Config{Accounts: accounts, Seed: 7})
	if err != nil {
		t.Fatal(err)
	}
	api := httptest.NewServer(sim.Handler())
	t.Cleanup(api.Close)
	w := &securedWorld{t: t, kafka: k, environ: append(bridgeEnviron(api.URL, accounts), localBridge(
		"BRIDGE_KAFKA_BROKERS="+k.Bootstrap, "BRIDGE_ACCOUNT_1_PAYLOAD=result", "BRIDGE_POLL_CLOSED_EVERY=1s",
	)...)}
	for len(w.cases) < 2 {
		info, err := sim.Create(scrsim.NewCase{ClientID: securedAccount, Method: scr.MethodVideo})
		if err != nil {
			t.Fatal(err)
		}
		for atEnd := false; !atEnd; {
			step, err := sim.Advance(info.CaseID)
			if err != nil {
				t.Fatal(err)
			}
			atEnd = step.AtEnd
			if atEnd && step.Change.StatusType == "final" {
				w.cases = append(w.cases, info.CaseID)
			}
		}
	}
	return w
}

// superUser is the environment of who may do everything, with a prefix.
func (w *securedWorld) superUser(prefix string) []string {
	return append(slices.Clone(w.environ), "BRIDGE_TOPIC_PREFIX="+prefix)
}

// makeTopics makes the topics of a prefix, with two partitions.
func (w *securedWorld) makeTopics(prefix string) {
	w.t.Helper()
	got := runMain(w.t, w.superUser(prefix), "topics", "apply", "--replication", "1", "--partitions", "2", "--result-retention", "1h")
	if got.code != exitDone {
		w.t.Fatal(got)
	}
}

// put writes records as the super user.
func (w *securedWorld) put(records ...*kgo.Record) {
	w.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(w.kafka.Seeds()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		w.t.Fatal(err)
	}
	defer client.Close()
	if err := client.ProduceSync(w.t.Context(), records...).FirstErr(); err != nil {
		w.t.Fatal(err)
	}
}

// trigger is a record of the inbox for a case, where it belongs or in the other
// partition.
func (w *securedWorld) trigger(prefix, clientID, caseID string, misplaced bool) *kgo.Record {
	w.t.Helper()
	value, err := schemas.EncodeTrigger(schemas.Trigger{ClientID: clientID, CaseID: caseID, Source: schemas.SourceWebhook, ReceivedAt: time.Now()})
	if err != nil {
		w.t.Fatal(err)
	}
	rec := placed(&kgo.Record{Topic: prefix + "inbox", Key: []byte(caseID), Value: value})
	if misplaced {
		rec.Partition = 1 - rec.Partition
	}
	return rec
}

// placed gives a record the one of two partitions that its key belongs to.
func placed(rec *kgo.Record) *kgo.Record {
	rec.Partition = int32(kgo.StickyKeyPartitioner(nil).ForTopic("").Partition(rec, 2))
	return rec
}

// holds says whether a topic holds n committed records at least.
func (w *securedWorld) holds(topic string, n int) bool {
	w.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(w.kafka.Seeds()...), kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		w.t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(w.t.Context(), 2*time.Second)
	defer cancel()
	seen := 0
	for seen < n && ctx.Err() == nil {
		seen += client.PollFetches(ctx).NumRecords()
	}
	return seen >= n
}

// webhook sends a webhook of a case to a bridge.
func (w *securedWorld) webhook(bridge *program, caseID string) int {
	w.t.Helper()
	code, _ := httpDo(w.t, http.MethodPost, "http://"+bridge.where.Webhook+"/webhooks/"+securedAccount, fmt.Sprintf(`{"caseId":%q}`, caseID), nil)
	return code
}
