package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postident-bridge/internal/testbed"
)

// What results, records and unknown fields ask for goes together, or is refused
// before anything starts.
func TestSettingsOfResultsAndRecordsGoTogether(t *testing.T) {
	t.Parallel()
	everything := []string{needKafka, roleWebhook, rolePoll, roleProcess}
	const store = "BRIDGE_RECORDS_URL=s3://records"
	for name, tt := range map[string]struct {
		needs   []string
		environ []string
		want    []string
	}{
		"results alone":                 {everything, []string{"PAYLOAD=result"}, nil},
		"results that keep all":         {everything, []string{"PAYLOAD=result", "UNKNOWN_FIELDS=keep"}, nil},
		"images, without results":       {everything, []string{"RECORDS=images", store}, nil},
		"all":                           {everything, []string{"PAYLOAD=result", "RECORDS=all", "UNKNOWN_FIELDS=keep", store}, nil},
		"a store that nobody uses":      {everything, []string{store}, nil},
		"records, and only webhooks":    {[]string{needKafka, roleWebhook}, []string{"RECORDS=all"}, nil},
		"records of a role in need":     {[]string{needKafka, roleProcess}, []string{"RECORDS=images"}, []string{"BRIDGE_RECORDS_URL: not set, though BRIDGE_ACCOUNT_1_RECORDS is images"}},
		"records nowhere":               {everything, []string{"RECORDS=all", "PAYLOAD=result"}, []string{"BRIDGE_RECORDS_URL: not set, though BRIDGE_ACCOUNT_1_RECORDS is all"}},
		"the verbs need a store":        {[]string{needKafka, needRecords}, nil, []string{"BRIDGE_RECORDS_URL: not set"}},
		"the verbs have one":            {[]string{needKafka, needRecords}, []string{store}, nil},
		"unknown fields without result": {everything, []string{"UNKNOWN_FIELDS=keep", "RECORDS=all", store}, []string{"BRIDGE_ACCOUNT_1_UNKNOWN_FIELDS: keeps them in results, and BRIDGE_ACCOUNT_1_PAYLOAD is not result"}},
		"a partner": {everything, []string{"ACCESS=partner", "PAYLOAD=result", "RECORDS=images", "UNKNOWN_FIELDS=keep", store}, []string{
			"BRIDGE_ACCOUNT_1_PAYLOAD: a partner has no results", "BRIDGE_ACCOUNT_1_RECORDS: a partner has no records",
		}},
		"a partner's unknown fields": {everything, []string{"ACCESS=partner", "UNKNOWN_FIELDS=keep"}, []string{
			"BRIDGE_ACCOUNT_1_UNKNOWN_FIELDS: keeps them in results, and BRIDGE_ACCOUNT_1_PAYLOAD is not result",
		}},
		"a partner with status alone": {everything, []string{"ACCESS=partner"}, nil},
		"a store with a password":     {everything, []string{"RECORDS=all", "BRIDGE_RECORDS_URL=s3://u:canary@records"}, []string{"BRIDGE_RECORDS_URL: credentials do not belong into the URL; they come from the environment"}},
		"bounds of answers":           {everything, []string{"BRIDGE_SCR_RESULT_MAX_MIB=1024", "BRIDGE_SCR_RESULT_TIMEOUT=10m"}, nil},
		"no bounds": {everything, []string{"BRIDGE_SCR_RESULT_MAX_MIB=0", "BRIDGE_SCR_RESULT_TIMEOUT=0s"}, []string{
			"BRIDGE_SCR_RESULT_MAX_MIB: must be 1 to 1024", "BRIDGE_SCR_RESULT_TIMEOUT: must be longer than nothing",
		}},
		"too large": {everything, []string{"BRIDGE_SCR_RESULT_MAX_MIB=1025"}, []string{"BRIDGE_SCR_RESULT_MAX_MIB: must be 1 to 1024"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			environ := complete()
			for _, e := range tt.environ {
				if !strings.HasPrefix(e, envPrefix) {
					e = accountPrefix("1") + e
				}
				environ = append(environ, e)
			}
			_, warnings, err := loadSettings(environ, tt.needs...)
			if diff := cmp.Diff(tt.want, mistakesOf(t, err)); diff != "" || len(warnings) > 0 {
				t.Errorf("warnings %v, mistakes (-want +got):\n%s", warnings, diff)
			}
			if err != nil && strings.Contains(err.Error(), "canary") {
				t.Errorf("shows a secret: %v", err)
			}
		})
	}
}

// P10: a store that does not answer is told at start, and holds nothing up.
func TestStoreIsLookedAtOnceAtStart(t *testing.T) {
	t.Parallel()
	run := func(t *testing.T, g recordsGround) string {
		t.Helper()
		broker, _ := startBroker(t)
		w := newRecordsWorld(t, broker.ListenAddrs(), g)
		w.bridge.start(t) // returns once it is ready
		eventually(t, "the store is spoken of", func() bool { return strings.Contains(string(w.bridge.log.bytes()), `"msg":"store of records `) })
		w.bridge.stop(t)
		return string(w.bridge.log.bytes())
	}
	t.Run("works", func(t *testing.T) {
		t.Parallel()
		contains(t, run(t, directoryGround(t)), `"level":"INFO","msg":"store of records works"`, `"may_delete":true`)
	})
	t.Run("does not", func(t *testing.T) {
		t.Parallel()
		server := testbed.S3{Endpoint: "http://127.0.0.1:1"}
		log := run(t, recordsGround{url: server.URL("records", ""), env: server.Credentials()})
		contains(t, log, `"level":"ERROR","msg":"store of records does not work"`, "store unavailable", "connection refused")
	})
}

// An account that publishes results and has no topic for them keeps the role from
// being ready, and readiness says which topic it is.
func TestMissingTopicOfResultsIsNamed(t *testing.T) {
	t.Parallel()
	broker, environ := startBroker(t)
	if got := runMain(t, environ, "topics", "apply", "--replication", "1", "--partitions", "2"); got.code != exitDone {
		t.Fatal(got)
	}
	_, accounts := simulated(t)
	bridge := startMain(t, append(append(localBridge("BRIDGE_ACCOUNT_1_PAYLOAD=result"), environ...), accounts...), "run", "--roles", "process")
	var body string
	eventually(t, "readyz names the topic", func() bool {
		_, body = httpGet(t, "http://"+bridge.where.Admin+"/readyz")
		return strings.Contains(body, "find topic postident.result.v1: UNKNOWN_TOPIC_OR_PARTITION")
	})
	if err := broker.CreateTopic("postident.result.v1", 2, nil); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is ready once the topic is there", func() bool {
		code, _ := httpGet(t, "http://"+bridge.where.Admin+"/readyz")
		return code == 200
	})
	if code := bridge.stop(); code != exitDone {
		t.Errorf("exit %d\n%s", code, bridge.stderr.bytes())
	}
}
