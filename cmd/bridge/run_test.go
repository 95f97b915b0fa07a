package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"postident-bridge/internal/audit"
	"postident-bridge/internal/scrsim"
	"postident-bridge/schemas"
)

// localBridge is what a bridge under test needs besides broker and API.
func localBridge(more ...string) []string {
	return append([]string{"BRIDGE_WEBHOOK_ADDR=127.0.0.1:0", "BRIDGE_ADMIN_ADDR=127.0.0.1:0"}, more...)
}

// simulated starts `bridge simulate` without webhooks and returns its address
// and the environment that a bridge needs to work against it.
func simulated(t *testing.T) (base string, environ []string) {
	t.Helper()
	sim := startMain(t, nil, "simulate", "--addr", "127.0.0.1:0", "--webhooks", "", "--json")
	var info simulatorInfo
	if err := json.Unmarshal(sim.stdout.bytes(), &info); err != nil {
		t.Fatal(err)
	}
	return "http://" + sim.where.Admin, append(info.Environment, "BRIDGE_ACCOUNT_1_WEBHOOK_USERNAME=hook", "BRIDGE_ACCOUNT_1_WEBHOOK_PASSWORD=canary-hook")
}

// "Shown by" 3 of the main job, in small: simulator and bridge as two programs.
// W3C trace context goes from the webhook to the event's headers.
func TestSimulateAndRun(t *testing.T) {
	t.Parallel()
	broker, environ := startBroker(t)
	if got := runMain(t, environ, "topics", "apply", "--replication", "1", "--partitions", "2"); got.code != exitDone {
		t.Fatal(got)
	}
	api, accounts := simulated(t)
	// A sweep that sees a change before the webhook tells of it makes an event without
	// a trace. With the sweeps off one list is asked for all the same, a day: it is over
	// before there is a case.
	quiet := localBridge("BRIDGE_POLL_CLOSED_EVERY=0", "BRIDGE_POLL_OPEN_EVERY=0", "BRIDGE_POLL_RECONCILE_EVERY=0")
	bridge := startMain(t, append(append(quiet, environ...), accounts...), "run")
	admin := "http://" + bridge.where.Admin
	eventually(t, "the bridge is ready, and done with the day's list", func() bool {
		code, _ := httpGet(t, admin+"/readyz")
		_, metrics := httpGet(t, admin+"/metrics")
		return code == http.StatusOK && strings.Contains(metrics, `postident_sweep_age_seconds{client_id="SIMGWG01"`)
	})

	const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	published := walkByWebhooks(t, api, "http://"+bridge.where.Webhook, traceparent, broker.ListenAddrs())
	if len(published) == 0 {
		t.Fatal("the plan has no step that is an event")
	}
	for _, p := range published {
		headers := make(map[string]string)
		for _, h := range p.Headers {
			headers[h.Key] = string(h.Value)
		}
		if !strings.HasPrefix(headers["traceparent"], traceparent[:36]) {
			t.Errorf("traceparent %q", headers["traceparent"])
		}
	}

	if code, body := httpGet(t, admin+"/livez"); code != http.StatusOK || body != "ok\n" {
		t.Errorf("/livez: %d %q", code, body)
	}
	_, metrics := httpGet(t, admin+"/metrics")
	checkMetrics(t, metrics)
	if code := bridge.stop(); code != exitDone {
		t.Errorf("exit %d\n%s", code, bridge.stderr.bytes())
	}
	logs := string(bridge.stderr.bytes())
	for _, want := range []string{`"msg":"bridge started"`, `"msg":"bridge stopping"`, `"roles":["webhook","poll","process"]`} {
		if !strings.Contains(logs, want) {
			t.Errorf("%s is not in the log:\n%s", want, logs)
		}
	}
	searchSecrets(t, map[string]string{"log": logs, "stdout": string(bridge.stdout.bytes()), "metrics": metrics})
}

// walkByWebhooks has a case walk on by hand, each of its steps told by a webhook with
// the traceparent, and gives what is published.
func walkByWebhooks(t *testing.T, api, webhook, traceparent string, seeds []string) (published []audit.Published) {
	t.Helper()
	code, body := httpDo(t, http.MethodPost, api+"/sim/v1/cases", `{"clientId":"SIMGWG01","method":"video"}`, nil)
	var info scrsim.CaseInfo
	if err := json.Unmarshal([]byte(body), &info); err != nil || code != http.StatusCreated {
		t.Fatalf("create: %d %s", code, body)
	}
	opts := []kgo.Opt{kgo.SeedBrokers(seeds...)}
	for step := range info.Plan.Steps {
		code, body = httpDo(t, http.MethodPost, api+"/sim/v1/cases/"+info.CaseID+"/advance", "", nil)
		var advanced scrsim.Advanced
		if err := json.Unmarshal([]byte(body), &advanced); err != nil || code != http.StatusOK {
			t.Fatalf("advance: %d %s", code, body)
		}
		if advanced.Change.StatusType == "progress" {
			continue // started, incomplete: no webhook, no event
		}
		want := len(published) + 1
		code, body = httpDo(t, http.MethodPost, webhook+"/webhooks/SIMGWG01", `{"caseId":"`+info.CaseID+`"}`,
			func(r *http.Request) {
				r.SetBasicAuth("hook", "canary-hook")
				r.Header.Set("traceparent", traceparent)
			})
		if code != http.StatusOK {
			t.Fatalf("webhook of step %d: %d %s", step, code, body)
		}
		eventually(t, "the change is an event", func() bool {
			var err error
			published, err = audit.ReadStatus(t.Context(), opts, "postident.status.v1", schemas.NewStatusDecoder(nil))
			if err != nil {
				t.Fatal(err)
			}
			return len(published) >= want
		})
	}
	return published
}

// checkMetrics compares what a bridge at work exports with docs/metrics.md, the
// labels included.
func checkMetrics(t *testing.T, exported string) {
	t.Helper()
	documented := documentedMetrics(t)
	seen := 0
	for line := range strings.Lines(exported) {
		name, rest, labelled := strings.Cut(strings.TrimSpace(line), "{")
		if !strings.HasPrefix(name, "postident_") && !strings.HasPrefix(name, "http_") {
			continue
		}
		seen++
		if !labelled {
			name, _, _ = strings.Cut(name, " ")
		}
		row, known := documented[name]
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			if base, ok := strings.CutSuffix(name, suffix); ok && !known {
				row, known = documented[base]
			}
		}
		if !known {
			t.Errorf("%s is not in docs/metrics.md", name)
			continue
		}
		if !labelled {
			continue
		}
		for pair := range strings.SplitSeq(rest[:strings.LastIndex(rest, "}")], `",`) {
			label, _, _ := strings.Cut(pair, "=")
			if label != "le" && !strings.Contains(","+strings.Join(row.labels, ",")+",", ","+label+",") {
				t.Errorf("%s: label %s is not in docs/metrics.md", name, label)
			}
		}
	}
	if seen < 20 {
		t.Errorf("only %d lines: the comparison proves nothing\n%s", seen, exported)
	}
}

// searchSecrets looks for the simulator's personal data (P5) and for
// credentials in texts that leave the process.
func searchSecrets(t *testing.T, texts map[string]string) {
	t.Helper()
	needles := append(scrsim.Canaries(), "canary-hook")
	for _, a := range scrsim.ExampleAccounts("http://x") {
		needles = append(needles, a.Credentials[0].Password, a.Credentials[0].DataPassword, a.Webhook.Password)
	}
	for what, text := range texts {
		for _, needle := range needles {
			if strings.Contains(text, needle) {
				t.Errorf("%s holds %q", what, needle)
			}
		}
	}
}

// Design 3: at start without a registry only the process role waits.
func TestRunWithoutRegistryOnlyTheProcessRoleWaits(t *testing.T) {
	t.Parallel()
	_, environ := startBroker(t)
	if got := runMain(t, environ, "topics", "apply", "--replication", "1", "--partitions", "1"); got.code != exitDone {
		t.Fatal(got)
	}
	fake := srfake.New()
	t.Cleanup(fake.Close)
	var up atomic.Bool
	registry := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !up.Load() {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		fake.Handler().ServeHTTP(w, r)
	}))
	t.Cleanup(registry.Close)
	_, accounts := simulated(t)
	bridge := startMain(t, append(append(localBridge("BRIDGE_SCHEMA_REGISTRY_URL="+registry.URL), environ...), accounts...), "run")
	admin := "http://" + bridge.where.Admin

	var body string
	eventually(t, "readyz says what the process role waits for", func() bool {
		var code int
		code, body = httpGet(t, admin+"/readyz")
		return code == http.StatusServiceUnavailable && strings.Contains(body, "waiting for the schema registry: ")
	})
	eventually(t, "the webhook role is ready all the same", func() bool {
		code, _ := httpGet(t, admin+"/readyz?role=webhook")
		return code == http.StatusOK
	})
	code, answer := httpDo(t, http.MethodPost, "http://"+bridge.where.Webhook+"/webhooks/SIMGWG01", `{"caseId":"NOSUCHCASE01"}`,
		func(r *http.Request) { r.SetBasicAuth("hook", "canary-hook") })
	if code != http.StatusOK {
		t.Errorf("webhook: %d %s", code, answer)
	}
	up.Store(true)
	eventually(t, "the registry is back, and the schema is missing", func() bool {
		_, body = httpGet(t, admin+"/readyz")
		return strings.Contains(body, "does not hold this release's schema")
	})
	if got := runMain(t, []string{"BRIDGE_SCHEMA_REGISTRY_URL=" + registry.URL}, "schemas", "register"); got.code != exitDone {
		t.Fatal(got)
	}
	eventually(t, "the schema is there", func() bool {
		code, _ := httpGet(t, admin+"/readyz")
		return code == http.StatusOK
	})
	if code := bridge.stop(); code != exitDone {
		t.Errorf("exit %d\n%s", code, bridge.stderr.bytes())
	}
}

// P10: without Kafka the process stays, and says why it is of no use.
func TestRunWithoutKafkaIsNotReadyAndStops(t *testing.T) {
	t.Parallel()
	bridge := startMain(t, complete(localBridge("BRIDGE_KAFKA_BROKERS=127.0.0.1:1", "BRIDGE_ACCOUNT_1_RSA_BITS=2048", "BRIDGE_LOG_FORMAT=text")...), "run")
	admin := "http://" + bridge.where.Admin
	code, body := httpGet(t, admin+"/readyz")
	var answer readyAnswer
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatal(err)
	}
	if code != http.StatusServiceUnavailable || answer.Roles[roleWebhook].Reason == "" || answer.Roles[roleProcess].Reason == "" {
		t.Errorf("/readyz: %d %s", code, body)
	}
	if code, _ := httpGet(t, admin+"/livez"); code != http.StatusOK {
		t.Errorf("/livez: %d", code)
	}
	began := time.Now()
	if code := bridge.stop(); code != exitDone || time.Since(began) > 10*time.Second {
		t.Errorf("exit %d after %s\n%s", code, time.Since(began), bridge.stderr.bytes())
	}
	searchSecrets(t, map[string]string{"log": string(bridge.stderr.bytes())})
	if !strings.Contains(string(bridge.stderr.bytes()), "BRIDGE_ACCOUNT_1_WEBHOOK_USERNAME") {
		t.Error("no warning of an account whose webhooks anyone may send")
	}
}

// Design 2: a changed partition count refuses the start.
func TestRunRefusesUnequalPartitionCounts(t *testing.T) {
	t.Parallel()
	broker, environ := startBroker(t)
	for topic, partitions := range map[string]int32{"inbox": 3, "case-state": 4, "status.v1": 1, "dead-letter": 1} {
		if err := broker.CreateTopic("postident."+topic, partitions, nil); err != nil {
			t.Fatal(err)
		}
	}
	_, accounts := simulated(t)
	got := runMain(t, append(append(localBridge(), environ...), accounts...), "run", "--roles", "process")
	if got.code != exitFailed || !strings.Contains(got.stderr, "bridge: process: refuse to publish: ") {
		t.Errorf("exit %d\n%s", got.code, got.stderr)
	}
}

func TestRunFailsWhereItCannotListen(t *testing.T) {
	t.Parallel()
	taken := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(taken.Close)
	got := runMain(t, complete(localBridge("BRIDGE_WEBHOOK_ADDR="+taken.Listener.Addr().String(), "BRIDGE_ACCOUNT_1_RSA_BITS=2048")...),
		"run", "--roles", "webhook")
	if got.code != exitFailed || !strings.Contains(got.stderr, "bridge: start webhook server: ") || !strings.Contains(got.stderr, "address already in use") {
		t.Errorf("exit %d\n%s", got.code, got.stderr)
	}
}

// "Shown by" 4 of the main job, with the real program.
func TestRunWithAnEmptyEnvironment(t *testing.T) {
	t.Parallel()
	got := runMain(t, nil, "run")
	want := `bridge: 6 mistakes in the settings, nothing was started:
  BRIDGE_KAFKA_BROKERS: not set
  BRIDGE_ACCOUNT_1_CLIENT_ID: not set
  BRIDGE_ACCOUNT_1_USERNAME: not set
  BRIDGE_ACCOUNT_1_PASSWORD: not set
  BRIDGE_ACCOUNT_1_DATA_PASSWORD: not set
  BRIDGE_ACCOUNT_1_REGULATORY_CLASS: not set
`
	if got.code != exitUsage || got.stderr != want || got.stdout != "" {
		t.Errorf("exit %d\n%s", got.code, got.stderr)
	}
}

func TestSchemasRegisterAndCheck(t *testing.T) {
	t.Parallel()
	fake := srfake.New(srfake.WithAuth("Basic dTpjYW5hcnk=")) // u:canary
	t.Cleanup(fake.Close)
	environ := []string{
		"BRIDGE_SCHEMA_REGISTRY_URL=" + fake.URL(), "BRIDGE_SCHEMA_REGISTRY_USERNAME=u", "BRIDGE_SCHEMA_REGISTRY_PASSWORD=canary",
	}
	for _, step := range []struct {
		args   string
		code   int
		stdout string
	}{
		{"schemas check", exitFailed, "postident.status.v1-value: not registered; run 'bridge schemas register'\n"},
		{"schemas register", exitDone, "postident.status.v1-value: registered, id 1\n"},
		{"schemas register", exitDone, "postident.status.v1-value: registered, id 1\n"},
		{"schemas check", exitDone, "postident.status.v1-value: registered, id 1\n"},
		{"schemas check --json", exitDone, "{\n  \"subject\": \"postident.status.v1-value\",\n  \"id\": 1\n}\n"},
		{"schemas check --results", exitFailed, "postident.status.v1-value: registered, id 1\n" +
			"postident.result.v1-value: not registered; run 'bridge schemas register'\n"},
		{"schemas register --results", exitDone, "postident.status.v1-value: registered, id 1\npostident.result.v1-value: registered, id 2\n"},
		{"schemas check --results", exitDone, "postident.status.v1-value: registered, id 1\npostident.result.v1-value: registered, id 2\n"},
	} {
		if got := runMain(t, environ, strings.Fields(step.args)...); got.code != step.code || got.stdout != step.stdout || got.stderr != "" {
			t.Errorf("%s: exit %d, stdout %q, stderr %q", step.args, got.code, got.stdout, got.stderr)
		}
	}
	wrong := append(environ[:2:2], "BRIDGE_SCHEMA_REGISTRY_PASSWORD=canary-wrong")
	if got := runMain(t, wrong, "schemas", "check"); got.code != exitFailed || got.stderr == "" || strings.Contains(got.stderr, "canary") {
		t.Errorf("wrong password: exit %d, stderr %q", got.code, got.stderr)
	}
}

func TestSimulateFlags(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	broken := dir + "/broken.json"
	if err := os.WriteFile(broken, []byte(`[{"clientId":"A","colour":"red"}]`), 0o600); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{
		"simulate --mix video":              `--mix: "video" is not method=weight`,
		"simulate --mix fax=1":              `--mix: method "fax" is none of autoid`,
		"simulate --cases -1":               "--cases: want 0 or more",
		"simulate --time-scale 0":           "--time-scale: want more than 0",
		"simulate --accounts " + dir + "/x": "no such file",
		"simulate --accounts " + broken:     `unknown field "colour"`,
		"simulate --webhooks ftp://x":       "url is not an absolute http or https URL",
	} {
		if got := runMain(t, nil, strings.Fields(args)...); got.code != exitUsage || !strings.Contains(got.stderr, want) {
			t.Errorf("%s: exit %d, stderr %q", args, got.code, got.stderr)
		}
	}
}

// What simulate prints to paste is all that run needs besides the brokers.
func TestSimulatePrintsTheEnvironmentOfABridge(t *testing.T) {
	t.Parallel()
	got := runMain(t, nil, "simulate", "--print-env")
	environ := []string{"BRIDGE_KAFKA_BROKERS=127.0.0.1:9092"}
	for line := range strings.Lines(got.stdout) {
		environ = append(environ, strings.TrimPrefix(strings.TrimSpace(line), "export "))
	}
	s, warnings, err := loadSettings(environ, needKafka, roleWebhook, roleProcess)
	if err != nil || len(warnings) > 0 || len(s.Accounts) != 5 || len(s.cautions(allRoles)) > 0 {
		t.Errorf("error %v, warnings %v, %d accounts, %v", err, warnings, len(s.Accounts), s.cautions(allRoles))
	}
	for value, want := range map[string]string{"a-b_c.d/e:f": "a-b_c.d/e:f", "": "''", "it's": `'it'\''s'`, "a b": "'a b'", "$x": "'$x'"} {
		if got := shellQuote(value); got != want {
			t.Errorf("shellQuote(%q) = %s, want %s", value, got, want)
		}
	}
}
