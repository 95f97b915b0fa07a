package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sr/srfake"
)

// looksOften is how often the tests' bridges look at files.
const looksOften = 50 * time.Millisecond

// reloads waits until the bridge has counted so many.
func reloads(t *testing.T, bridge *program, variable, result string, n int) {
	t.Helper()
	want := fmt.Sprintf("postident_settings_reloads_total{result=%q,variable=%q} %d\n", result, variable, n)
	eventually(t, want, func() bool {
		_, metrics := httpGet(t, "http://"+bridge.where.Admin+"/metrics")
		return strings.Contains(metrics, want)
	})
}

// The users, passwords and certificates of everything that a webhook passes through
// change, one after the other, while webhooks come in without a pause. Each step cuts
// all connections to the broker, so that the new is needed. Every webhook is answered
// 200, and no login is refused.
func TestRotationUnderLoad(t *testing.T) {
	t.Parallel()
	oldServer, newServer, oldClient, newClient := newAuthority(t), newAuthority(t), newAuthority(t), newAuthority(t)
	broker := startGuarded(t, kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-512", "bridge", "canary-kafka-1"))
	broker.present(oldServer, oldClient)
	cert, key := oldClient.issue("bridge")
	secret := mount(t, map[string]string{
		"ca.crt": oldServer.CA, "tls.crt": cert, "tls.key": key,
		"user": "bridge\n", "password": "canary-kafka-1\n", "hook-user": "hook", "hook": "canary-hook-1",
	})
	environ := localBridge(append(broker.environ(
		"BRIDGE_KAFKA_SASL_MECHANISM=SCRAM-SHA-512", "BRIDGE_ACCOUNT_1_CLIENT_ID=SIMGWG01", "BRIDGE_WEBHOOK_ALLOWED_IPS=127.0.0.1",
	), secret.environ(map[string]string{
		"BRIDGE_KAFKA_TLS_CA": "ca.crt", "BRIDGE_KAFKA_TLS_CERT": "tls.crt", "BRIDGE_KAFKA_TLS_KEY": "tls.key",
		kafkaUser: "user", kafkaPassword: "password", hookUser: "hook-user", hookPassword: "hook",
	})...)...)
	if got := runMain(t, environ, "topics", "apply", "--replication", "1", "--partitions", "2"); got.code != exitDone {
		t.Fatal(got)
	}
	bridge := startHooked(t, hooks{lookEvery: looksOften}, environ, "run", "--roles", roleWebhook)
	eventually(t, "the bridge is ready", func() bool {
		code, _ := httpGet(t, "http://"+bridge.where.Admin+"/readyz")
		return code == http.StatusOK
	})
	load := sendHooks(t, bridge, "SIMGWG01", "hook", "canary-hook-1")
	load.more(t, 100)
	r := &rotation{bridge: bridge, broker: broker, secret: secret, environ: environ, load: load}
	r.afterCut(t)
	r.changeWebhookUser(t)
	r.changeKafkaUser(t)
	r.changeAuthorities(t, oldServer, newServer, oldClient)
	r.changeCertificate(t, newServer, newClient)

	if bad := load.end(); len(bad) > 0 {
		t.Errorf("of %d webhooks, not answered 200: %v", load.sent.Load(), bad)
	}
	t.Logf("%d webhooks", load.sent.Load())
	if code := bridge.stop(); code != exitDone {
		t.Errorf("exit %d", code)
	}
	logs := string(bridge.stderr.bytes())
	if strings.Contains(logs, "canary") || strings.Contains(logs, "PRIVATE KEY") {
		t.Errorf("the log shows a secret:\n%s", logs)
	}
	for _, want := range []string{"changed setting is used", "changed setting cannot be used, the one before stays"} {
		if !strings.Contains(logs, want) {
			t.Errorf("%q is not in the log:\n%s", want, logs)
		}
	}
}

// The variables of users and passwords that rotation changes.
const (
	kafkaUser, kafkaPassword = "BRIDGE_KAFKA_SASL_USERNAME", "BRIDGE_KAFKA_SASL_PASSWORD"
	hookUser, hookPassword   = "BRIDGE_ACCOUNT_1_WEBHOOK_USERNAME", "BRIDGE_ACCOUNT_1_WEBHOOK_PASSWORD"
)

// rotation is a bridge under load, with all that is changed under it.
type rotation struct {
	bridge  *program
	broker  *guarded
	secret  mounted
	environ []string
	load    *hooksUnderWay
}

// afterCut cuts all connections to the broker, and waits until webhooks come through
// over new ones.
func (r *rotation) afterCut(t *testing.T) {
	t.Helper()
	if r.broker.cut() == 0 {
		t.Error("no connection was cut")
	}
	r.load.more(t, 200)
}

// changeWebhookUser changes the user and password of webhooks, before the sender does.
func (r *rotation) changeWebhookUser(t *testing.T) {
	t.Helper()
	old := func() string {
		_, metrics := httpGet(t, "http://"+r.bridge.where.Admin+"/metrics")
		_, rest, _ := strings.Cut(metrics, "\npostident_webhook_old_credentials_total{client_id=\"SIMGWG01\"} ")
		count, _, _ := strings.Cut(rest, "\n")
		return count
	}
	if n := old(); n != "0" {
		t.Errorf("webhooks with credentials before: %q", n)
	}
	r.secret.Change(map[string]string{"hook-user": "hook-2", "hook": "canary-hook-2"})
	reloads(t, r.bridge, hookUser, "taken", 1)
	reloads(t, r.bridge, hookPassword, "taken", 1)
	r.load.more(t, 100) // the sender does not know yet
	r.load.bring("hook-2", "canary-hook-2")
	r.load.more(t, 100)
	if n := old(); n == "0" || n == "" {
		t.Errorf("webhooks with credentials before: %q", n)
	}
}

// changeKafkaUser changes the password of Kafka's user, then the user too.
func (r *rotation) changeKafkaUser(t *testing.T) {
	t.Helper()
	setUser(t, r.environ, "bridge", "canary-kafka-2")
	r.secret.Change(map[string]string{"password": "canary-kafka-2\n"})
	reloads(t, r.bridge, kafkaPassword, "taken", 1)
	r.afterCut(t)
	// Another user, beside the one before: whatever logs in while they are exchanged is
	// refused if it has half of each.
	refused := func() int { return strings.Count(string(r.bridge.stderr.bytes()), "unable to initialize sasl") }
	before := refused()
	setUser(t, r.environ, "bridge-2", "canary-kafka-3")
	r.secret.Change(map[string]string{"user": "bridge-2\n", "password": "canary-kafka-3\n"})
	for range 5 {
		r.afterCut(t)
	}
	reloads(t, r.bridge, kafkaUser, "taken", 1)
	reloads(t, r.bridge, kafkaPassword, "taken", 2)
	setUser(t, r.environ, "bridge", "canary-of-nobody")
	r.afterCut(t)
	if n := refused() - before; n > 0 {
		t.Errorf("%d logins were refused while the user changed:\n%s", n, r.bridge.stderr.bytes())
	}
}

// changeAuthorities brings in the brokers' new CA, and takes the old one out.
func (r *rotation) changeAuthorities(t *testing.T, oldServer, newServer, oldClient authority) {
	t.Helper()
	r.secret.Change(map[string]string{"ca.crt": "canary: no certificate"})
	reloads(t, r.bridge, "BRIDGE_KAFKA_TLS_CA", "refused", 1)
	r.secret.Change(map[string]string{"ca.crt": oldServer.CA + newServer.CA})
	reloads(t, r.bridge, "BRIDGE_KAFKA_TLS_CA", "taken", 1)
	r.broker.present(newServer, oldClient)
	r.afterCut(t)
	r.secret.Change(map[string]string{"ca.crt": newServer.CA})
	reloads(t, r.bridge, "BRIDGE_KAFKA_TLS_CA", "taken", 2)
	r.afterCut(t)
}

// changeCertificate changes the certificate of the client, its half at first.
func (r *rotation) changeCertificate(t *testing.T, newServer, newClient authority) {
	t.Helper()
	cert, key := newClient.issue("bridge")
	r.secret.Change(map[string]string{"tls.crt": cert})
	reloads(t, r.bridge, "BRIDGE_KAFKA_TLS_CERT", "refused", 1)
	r.secret.Change(map[string]string{"tls.key": key})
	reloads(t, r.bridge, "BRIDGE_KAFKA_TLS_KEY", "taken", 1)
	r.broker.present(newServer, newClient)
	r.afterCut(t)
}

// setUser makes a user of the broker with a password, or changes it, by a login with
// what the environment says now.
func setUser(t *testing.T, environ []string, user, password string) {
	t.Helper()
	s, _, err := loadSettings(environ, needKafka)
	if err != nil {
		t.Fatal(err)
	}
	opts, err := kafkaOptions(t.Context(), &s, nil, newLogger(t.Output(), logSettings{Level: "error", Format: "text"}))
	if err != nil {
		t.Fatal(err)
	}
	client, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	altered, err := kadm.NewClient(client).AlterUserSCRAMs(t.Context(), nil, []kadm.UpsertSCRAM{
		{User: user, Mechanism: kadm.ScramSha512, Iterations: 4096, Password: password},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := altered.Error(); err != nil {
		t.Fatal(err)
	}
}

// bearers is a broker that asks for OAUTHBEARER: kfake knows no such mechanism, so its
// answers are made here.
type bearers struct {
	takes  atomic.Pointer[string] // what a good token begins with
	logins atomic.Int64
	seen   atomic.Pointer[string] // the last good client's first message
}

func (b *bearers) guard(broker *kfake.Cluster) {
	broker.ControlKey(int16(kmsg.SASLHandshake), func(r kmsg.Request) (kmsg.Response, error, bool) {
		broker.KeepControl()
		resp := r.ResponseKind().(*kmsg.SASLHandshakeResponse)
		if r.(*kmsg.SASLHandshakeRequest).Mechanism != saslOAuth {
			resp.ErrorCode = kerr.UnsupportedSaslMechanism.Code
		}
		return resp, nil, true
	})
	broker.ControlKey(int16(kmsg.SASLAuthenticate), func(r kmsg.Request) (kmsg.Response, error, bool) {
		broker.KeepControl()
		resp := r.ResponseKind().(*kmsg.SASLAuthenticateResponse)
		first := string(r.(*kmsg.SASLAuthenticateRequest).SASLAuthBytes)
		if !strings.HasPrefix(first, "n,,\x01auth=Bearer "+*b.takes.Load()) {
			resp.ErrorCode = kerr.SaslAuthenticationFailed.Code
			return resp, nil, true
		}
		b.logins.Add(1)
		b.seen.Store(&first)
		return resp, nil, true
	})
}

func (b *bearers) take(prefix string) { b.takes.Store(&prefix) }

// Tokens come from an endpoint with a client and a secret that change, and from a file
// that somebody renews.
func TestOAuthBearer(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	var client atomic.Pointer[[2]string] // id and secret
	client.Store(&[2]string{"bridge", "canary-1"})
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		good := client.Load()
		if id, secret, _ := r.BasicAuth(); id != good[0] || secret != good[1] || r.PostFormValue("scope") != "kafka" {
			http.Error(w, `{"error":"invalid_client","error_description":"canary"}`, http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"access_token":"token-by-%s","token_type":"Bearer","expires_in":1}`, good[1])
	}))
	t.Cleanup(endpoint.Close)
	tests := map[string]struct {
		settings func(mounted) []string
		variable string
		file     string
		first    string
		second   string
		prefix   func(string) string
	}{
		"endpoint": {
			settings: func(m mounted) []string {
				return append(m.environ(map[string]string{oauthPrefix + "CLIENT_ID": "id", oauthPrefix + "CLIENT_SECRET": "secret"}),
					oauthPrefix+"TOKEN_URL="+endpoint.URL, oauthPrefix+"SCOPE=kafka")
			},
			variable: oauthPrefix + "CLIENT_SECRET", file: "secret", first: "canary-1", second: "canary-2",
			prefix: func(s string) string { return "token-by-" + s },
		},
		"file": {
			settings: func(m mounted) []string { return m.environ(map[string]string{oauthPrefix + "TOKEN": "token"}) },
			variable: oauthPrefix + "TOKEN", file: "token", first: "canary.projected.1", second: "canary.projected.2",
			prefix: func(s string) string { return s },
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			broker := startGuarded(t)
			broker.present(ca, ca)
			var users bearers
			users.take(tt.prefix(tt.first))
			users.guard(broker.Cluster)
			cert, key := ca.issue("bridge")
			m := mount(t, map[string]string{"id": "bridge\n", tt.file: tt.first + "\n"})
			environ := localBridge(append(broker.environ(tt.settings(m)...),
				"BRIDGE_KAFKA_TLS_CA="+ca.CA, "BRIDGE_KAFKA_TLS_CERT="+cert, "BRIDGE_KAFKA_TLS_KEY="+key,
				"BRIDGE_KAFKA_SASL_MECHANISM=OAUTHBEARER", oauthPrefix+"EXTENSIONS=logicalCluster=lkc-1,identityPoolId=pool-2",
				"BRIDGE_ACCOUNT_1_CLIENT_ID=SIMGWG01", "BRIDGE_ACCOUNT_1_WEBHOOK_USERNAME=hook", "BRIDGE_ACCOUNT_1_WEBHOOK_PASSWORD=canary-hook",
				"BRIDGE_WEBHOOK_ALLOWED_IPS=127.0.0.1")...)
			if got := runMain(t, environ, "topics", "apply", "--replication", "1", "--partitions", "2"); got.code != exitDone {
				t.Fatal(got)
			}
			if seen := *users.seen.Load(); !strings.HasSuffix(seen, "\x01identityPoolId=pool-2\x01logicalCluster=lkc-1\x01\x01") {
				t.Errorf("extensions: %q", seen)
			}
			bridge := startHooked(t, hooks{lookEvery: looksOften}, environ, "run", "--roles", roleWebhook)
			load := sendHooks(t, bridge, "SIMGWG01", "hook", "canary-hook")
			load.more(t, 100)

			if name == "endpoint" {
				client.Store(&[2]string{"bridge-2", tt.second})
			}
			m.Change(map[string]string{"id": "bridge-2", tt.file: tt.second})
			reloads(t, bridge, tt.variable, "taken", 1)
			users.take(tt.prefix(tt.second))
			// A token that was got with the old secret is good for a second more.
			eventually(t, "a login with the new one", func() bool {
				before := users.logins.Load()
				broker.cut()
				load.more(t, 50)
				return users.logins.Load() > before
			})
			bridge.stop()
			load.end()
			if logs := string(bridge.stderr.bytes()); strings.Contains(logs, "canary") {
				t.Errorf("the log shows a secret:\n%s", logs)
			}
		})
	}
}

// The registry is asked while the process role waits for it: a user and a password that
// were wrong at start, and are mended in their files, end the wait.
func TestRegistryLoginIsMendedInItsFiles(t *testing.T) {
	t.Parallel()
	_, environ := startBroker(t)
	if got := runMain(t, environ, "topics", "apply", "--replication", "1", "--partitions", "1"); got.code != exitDone {
		t.Fatal(got)
	}
	fake := srfake.New(srfake.WithAuth("Basic dTpjYW5hcnk=")) // u:canary
	t.Cleanup(fake.Close)
	m := mount(t, map[string]string{"user": "wrong", "password": "canary-wrong"})
	_, accounts := simulated(t)
	environ = append(append(append(environ, accounts...), m.environ(map[string]string{
		"BRIDGE_SCHEMA_REGISTRY_USERNAME": "user", "BRIDGE_SCHEMA_REGISTRY_PASSWORD": "password",
	})...), "BRIDGE_SCHEMA_REGISTRY_URL="+fake.URL(), "BRIDGE_SCHEMA_REGISTER=true")
	bridge := startHooked(t, hooks{lookEvery: looksOften}, localBridge(environ...), "run", "--roles", roleProcess)
	ready := func() (int, string) { return httpGet(t, "http://"+bridge.where.Admin+"/readyz") }
	eventually(t, "the role waits", func() bool {
		_, why := ready()
		return strings.Contains(why, "waiting for the schema registry")
	})
	m.Change(map[string]string{"user": "u:x", "password": "canary"})
	reloads(t, bridge, "BRIDGE_SCHEMA_REGISTRY_USERNAME", "refused", 1)
	m.Change(map[string]string{"user": "u", "password": "canary"})
	eventually(t, "the role is ready", func() bool {
		code, _ := ready()
		return code == http.StatusOK
	})
}
