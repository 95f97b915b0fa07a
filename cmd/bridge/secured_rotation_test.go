package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"postident-bridge/internal/counterpart"
	"postident-bridge/internal/lab"
	"postident-bridge/internal/scrsim"
	"postident-bridge/internal/testbed"
)

// "Shown by" 5 of the chart: while cases walk and webhooks come, the password and then
// the user of Kafka, its CA and a webhook's user and password change in their mounted
// files, on a real Apache Kafka with TLS, SASL and ACLs. Then the broker starts anew,
// so that every connection has to log in again. The bridge does not restart, and
// nothing is lost or doubled.
func TestRotationOnSecuredKafka(t *testing.T) {
	counterpart.SkipUnderRace(t)
	t.Parallel()
	const prefix, cases, user, nextUser = "rotate.", 100_000, "bridge", "bridge-next" // more cases than there is time for
	k := counterpart.StartSecuredKafka(t)
	registry := counterpart.StartRegistry(t, nil)
	sender := &renewedSender{}
	entrance := &lab.Entrance{Client: &http.Client{Transport: sender, Timeout: 5 * time.Second}}
	front := httptest.NewServer(entrance)
	t.Cleanup(front.Close)
	w := newWorldOf(t, prefix, k.Kafka, registry, scrsim.Config{Accounts: scrsim.ExampleAccounts(front.URL), Seed: 7, TimeScale: 60})
	w.bridge(t, "topics", "apply", "--replication", "1")

	hook := w.accounts[0].Webhook
	sender.client = w.accounts[0].ClientID
	secret := mount(t, map[string]string{
		"ca.crt": k.CA(), "user": user, "password": "canary-kafka-1", "hook-user": hook.Username, "hook": hook.Password,
	})
	k.SetUser(t, user, "canary-kafka-1")
	for resource, name := range map[kmsg.ACLResourceType]string{
		kmsg.ACLResourceTypeTopic: prefix, kmsg.ACLResourceTypeGroup: prefix, kmsg.ACLResourceTypeTransactionalId: prefix,
	} {
		for _, who := range []string{user, nextUser} {
			k.Allow(t, testbed.ACL{User: who, Operation: kmsg.ACLOperationAll, Resource: resource, Name: name, Prefixed: true})
		}
	}
	r := newReplica(t, w, 0)
	r.args = []string{"run", "--roles", roleWebhook + "," + roleProcess}
	for i, e := range r.env { // a value and a file are a mistake
		for _, variable := range []string{"BRIDGE_ACCOUNT_1_WEBHOOK_USERNAME=", "BRIDGE_ACCOUNT_1_WEBHOOK_PASSWORD="} {
			if strings.HasPrefix(e, variable) {
				r.env[i] = variable
			}
		}
	}
	r.env = append(r.env, "BRIDGE_KAFKA_BROKERS="+k.Secured, "BRIDGE_KAFKA_TLS_ENABLED=true",
		"BRIDGE_KAFKA_SASL_MECHANISM=SCRAM-SHA-512")
	r.env = append(r.env, secret.environ(map[string]string{
		"BRIDGE_KAFKA_TLS_CA": "ca.crt", "BRIDGE_KAFKA_SASL_USERNAME": "user", "BRIDGE_KAFKA_SASL_PASSWORD": "password",
		"BRIDGE_ACCOUNT_1_WEBHOOK_USERNAME": "hook-user", "BRIDGE_ACCOUNT_1_WEBHOOK_PASSWORD": "hook",
	})...)
	w.replicas = append(w.replicas, r)
	r.start(t)
	entrance.Set([]string{r.webhook})
	taken := func(variable string, n int) {
		t.Helper()
		want := fmt.Sprintf("postident_settings_reloads_total{result=\"taken\",variable=%q} %d\n", variable, n)
		eventually(t, want, func() bool { return strings.Contains(string(w.scrape(t)), want) })
	}

	loop := newClosedLoop(t, w, cases, isHooked)
	more := func() { t.Helper(); loop.await(t, loop.ended()+20) }
	more()
	secret.Change(map[string]string{"hook-user": "hook-next", "hook": "canary-hook-2"})
	taken("BRIDGE_ACCOUNT_1_WEBHOOK_PASSWORD", 1)
	more() // the sender does not know yet
	sender.bring("hook-next", "canary-hook-2")

	k.SetUser(t, user, "canary-kafka-2")
	secret.Change(map[string]string{"password": "canary-kafka-2"})
	taken("BRIDGE_KAFKA_SASL_PASSWORD", 1)
	k.SetUser(t, nextUser, "canary-kafka-3")
	secret.Change(map[string]string{"user": nextUser, "password": "canary-kafka-3"})
	taken("BRIDGE_KAFKA_SASL_USERNAME", 1)
	k.SetUser(t, user, "canary-of-nobody")

	before := k.CA()
	next, err := testbed.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	secret.Change(map[string]string{"ca.crt": before + next.CA})
	taken("BRIDGE_KAFKA_TLS_CA", 1)
	k.SetCertificate(t, next)
	secret.Change(map[string]string{"ca.crt": next.CA})
	taken("BRIDGE_KAFKA_TLS_CA", 2)
	more()

	k.Kill(t, 1)
	k.Start(t, 1)
	eventually(t, "the bridge is ready again", func() bool { return r.ready() == "" })
	more()
	loop.halt(t)
	w.settle(t)
	if n := sender.refused.Load(); n != 0 {
		t.Errorf("%d webhooks were refused for their password", n)
	}
	metrics := w.scrape(t)
	r.stop(t)
	verdict := w.judge(t, metrics)
	if due := loop.dues(); verdict.Events < due {
		t.Errorf("%d events for %d changes with a webhook", verdict.Events, due)
	}
	t.Logf("webhooks by answer: %d accepted, %d not acknowledged and brought again", sender.accepted.Load(), sender.unavailable.Load())
	if log := string(r.log.bytes()); strings.Contains(log, "canary") {
		t.Error("the log shows a secret")
	}
}

// ended is how many cases are at their ends.
func (l *closedLoop) ended() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.finished
}

// renewedSender brings webhooks of one client with another password than the
// simulator knows, once it is told to, and counts the answers.
type renewedSender struct {
	client                         string
	login                          atomic.Pointer[[2]string]
	accepted, refused, unavailable atomic.Int64
}

func (s *renewedSender) bring(user, password string) { s.login.Store(&[2]string{user, password}) }

func (s *renewedSender) RoundTrip(r *http.Request) (*http.Response, error) {
	if login := s.login.Load(); login != nil && strings.HasSuffix(r.URL.Path, "/"+s.client) {
		r = r.Clone(r.Context())
		r.SetBasicAuth(login[0], login[1])
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	switch {
	case err != nil:
	case resp.StatusCode == http.StatusOK:
		s.accepted.Add(1)
	case resp.StatusCode == http.StatusUnauthorized:
		s.refused.Add(1)
	default:
		s.unavailable.Add(1)
	}
	return resp, err
}
