package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"postident-bridge/internal/audit"
	"postident-bridge/internal/counterpart"
	"postident-bridge/internal/lab"
	"postident-bridge/internal/scrsim"
	"postident-bridge/schemas"
)

// operated is a bridge at work in this process, with a simulated API, for
// operators' verbs to work beside.
type operated struct {
	t        *testing.T
	seeds    []string
	environ  []string
	sim      *scrsim.Simulator
	entrance *lab.Entrance
	hooks    hooks
	bridge   *program
}

const operatedPrefix = "operated."

func newOperated(t *testing.T, seeds []string, pauses ...time.Duration) *operated {
	t.Helper()
	o := &operated{t: t, seeds: seeds, hooks: hooks{faultPauses: pauses}, entrance: &lab.Entrance{Client: &http.Client{Timeout: 5 * time.Second}}}
	t.Cleanup(o.entrance.Client.CloseIdleConnections)
	front := httptest.NewServer(o.entrance)
	t.Cleanup(front.Close)
	accounts := scrsim.ExampleAccounts(front.URL)
	var err error
	if o.sim, err = scrsim.New(scrsim.Config{Accounts: accounts, Seed: 7}); err != nil {
		t.Fatal(err)
	}
	api := httptest.NewServer(o.sim.Handler())
	t.Cleanup(api.Close)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- o.sim.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	o.environ = append(bridgeEnviron(api.URL, accounts), localBridge("BRIDGE_KAFKA_BROKERS="+strings.Join(seeds, ","), "BRIDGE_TOPIC_PREFIX="+operatedPrefix)...)
	for i := range accounts {
		o.environ = append(o.environ, fmt.Sprintf("BRIDGE_ACCOUNT_%d_RSA_BITS=2048", i+1))
	}
	if got := runMain(t, o.environ, "topics", "apply", "--replication", "1", "--partitions", "3"); got.code != exitDone {
		t.Fatal(got)
	}
	o.start()
	return o
}

func (o *operated) start() {
	o.t.Helper()
	// Without sweeps: what no webhook and no operator tells, nobody finds.
	o.bridge = startHooked(o.t, o.hooks, o.environ, "run", "--roles", "webhook,process")
	o.entrance.Set([]string{o.bridge.where.Webhook})
	eventually(o.t, "the bridge is ready", func() bool {
		code, _ := httpGet(o.t, "http://"+o.bridge.where.Admin+"/readyz")
		return code == http.StatusOK
	})
}

// faults switches faults on.
func (o *operated) faults(f scrsim.Faults) {
	o.t.Helper()
	if err := o.sim.SetFaults(f); err != nil {
		o.t.Fatal(err)
	}
}

// change makes n cases of an account and lets each change once so that a webhook
// tells of it.
func (o *operated) change(clientID string, n int) []string {
	o.t.Helper()
	var cases []string
	for len(cases) < n {
		info, err := o.sim.Create(scrsim.NewCase{ClientID: clientID, Method: "video"})
		if err != nil {
			o.t.Fatal(err)
		}
		for {
			step, err := o.sim.Advance(info.CaseID)
			if errors.Is(err, scrsim.ErrAtEnd) {
				break // its plan tells nobody
			}
			if err != nil {
				o.t.Fatal(err)
			}
			if step.Hooked {
				cases = append(cases, info.CaseID)
				break
			}
		}
	}
	return cases
}

// verb runs a verb that has to succeed, and gives what it prints.
func (o *operated) verb(args ...string) string {
	o.t.Helper()
	got := runMain(o.t, o.environ, args...)
	if got.code != exitDone || got.stderr != "" {
		o.t.Fatalf("%v: exit %d\n%s%s", args, got.code, got.stderr, got.stdout)
	}
	for line := range strings.Lines(got.stdout) {
		if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > 80 && !strings.HasPrefix(line, " ") && !strings.Contains(line, `"`) {
			o.t.Errorf("%v: %d columns: %s", args, n, line)
		}
	}
	return got.stdout
}

func verbJSON[T any](o *operated, args ...string) T {
	o.t.Helper()
	var v T
	if out := o.verb(append(args, "--json")...); json.Unmarshal([]byte(out), &v) != nil {
		o.t.Fatalf("%v: no JSON of ours:\n%s", args, out)
	}
	return v
}

// events are the published ones, by case.
func (o *operated) events() map[string][]schemas.StatusChanged {
	o.t.Helper()
	published, err := audit.ReadStatus(o.t.Context(), []kgo.Opt{kgo.SeedBrokers(o.seeds...)}, operatedPrefix+"status.v1", schemas.NewStatusDecoder(nil))
	if err != nil {
		o.t.Fatal(err)
	}
	out := make(map[string][]schemas.StatusChanged)
	for _, p := range published {
		out[p.Event.CaseID] = append(out[p.Event.CaseID], p.Event)
	}
	return out
}

func contains(t *testing.T, text string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}

// "Shown by" 8: a storm of 404 fills the dead letters, the list says why, a
// redrive brings every event once, and a second one says that all are done.
func TestDeadLettersOfAStormAreRedriven(t *testing.T) {
	t.Parallel()
	t.Run("kfake", func(t *testing.T) {
		t.Parallel()
		broker, _ := startBroker(t)
		stormIsRedriven(t, broker.ListenAddrs())
	})
	t.Run("Apache Kafka", func(t *testing.T) {
		t.Parallel()
		stormIsRedriven(t, counterpart.SharedKafka(t).Seeds())
	})
}

func stormIsRedriven(t *testing.T, seeds []string) {
	t.Helper()
	o := newOperated(t, seeds, 20*time.Millisecond, 40*time.Millisecond)
	o.faults(scrsim.Faults{All: scrsim.FaultSet{NotYet: 1, NotYetReads: 3}}) // as many reads as there are attempts
	var cases []string
	const each = 5
	for _, account := range []string{"SIMGWG01", "SIMTKG01", "SIMEIDAS"} {
		cases = append(cases, o.change(account, each)...)
	}
	eventually(t, "all cases are dead letters", func() bool {
		doc := verbJSON[lettersDocument](o, "dead-letter", "list", "--reason", "not_found")
		return len(doc.Reasons) == 1 && doc.Reasons[0].Cases == len(cases)
	})
	o.faults(scrsim.Faults{})
	contains(t, o.verb("dead-letter", "list", "--cases"), "not_found  15       15", "not_found: case not found\n", cases[0], "webhook")
	contains(t, o.verb("dead-letter", "show", cases[7]), "not_found", " ago\n", "SIMTKG01", "source        webhook", "tries         2")
	if waiting := verbJSON[waitingDocument](o, "retry", "list"); waiting.Total != 0 {
		t.Errorf("%d cases wait", waiting.Total)
	}

	contains(t, o.verb("dead-letter", "redrive", "--all"), "Would redrive 15 cases, at most 100 a second: 1s.\nNothing was written; --yes does it.\n")
	contains(t, o.verb("dead-letter", "redrive", "--account", "SIMTKG01", "--yes"), "5 cases redriven.")
	contains(t, o.verb("dead-letter", "redrive", "--all", "--yes"), "not_found  15       10          0        5         0     0", "10 cases redriven.")
	eventually(t, "every case has its event", func() bool { return len(o.events()) == len(cases) })

	contains(t, o.verb("dead-letter", "redrive", "--all", "--yes"), "All are done: 15 letters already redriven.\n")
	again := verbJSON[redriveDocument](o, "dead-letter", "redrive", "--all", "--yes")
	if again.Written != 0 || again.DryRun || again.Fates[audit.FateRedriven] != len(cases) || len(again.Letters) != len(cases) {
		t.Errorf("a second redrive: %+v", again)
	}
	if once := verbJSON[redriveDocument](o, "dead-letter", "redrive", "--case", cases[0], "--again", "--yes"); once.Written != 1 {
		t.Errorf("--again: %+v", once)
	}
	for caseID, events := range o.events() {
		if len(events) != 1 || events[0].ObservedBy != schemas.SourceRedrive {
			t.Errorf("case %s: %d events, first seen by %s", caseID, len(events), events[0].ObservedBy)
		}
	}
	searchSecrets(t, map[string]string{
		"list": o.verb("dead-letter", "list", "--cases"), "show": o.verb("dead-letter", "show", cases[0]), "json": o.verb("dead-letter", "redrive", "--all", "--json"),
	})
}

// "Shown by" 8: the list shows a parked account with its reason; it drains when
// the password is right again.
func TestParkedAccountIsListedAndDrains(t *testing.T) {
	t.Parallel()
	broker, _ := startBroker(t)
	o := newOperated(t, broker.ListenAddrs())
	o.faults(scrsim.Faults{Accounts: map[string]scrsim.FaultSet{"SIMGWG01": {Unauthorised: 1}}})
	cases := o.change("SIMGWG01", 4)
	others := o.change("SIMTKG01", 2)
	eventually(t, "all cases are parked", func() bool {
		doc := verbJSON[waitingDocument](o, "retry", "list", "--kind", "parked")
		return len(doc.Parked) == 1 && doc.Parked[0].Cases == len(cases)
	})
	contains(t, o.verb("retry", "list"), "ACCOUNT   PARKED  REASON        DOWN FOR\nSIMGWG01  4       unauthorised  ",
		"unauthorised: correct the credentials; restart who has them from no file.", cases[3])
	contains(t, o.verb("retry", "now", "--all"), "4 cases left out, parked", "No case to look at.")
	if asked := verbJSON[nowDocument](o, "retry", "now", "--case", cases[0]); asked.Written != 1 || asked.Parked != 0 {
		t.Errorf("a case that is named: %+v", asked)
	}
	eventually(t, "the other account goes on", func() bool { return len(o.events()) == len(others) })

	o.faults(scrsim.Faults{})
	if code := o.bridge.stop(); code != exitDone {
		t.Fatalf("exit %d\n%s", code, o.bridge.stderr.bytes())
	}
	o.start() // with the right password
	eventually(t, "the account has drained", func() bool {
		return len(o.events()) == len(cases)+len(others) && len(verbJSON[waitingDocument](o, "retry", "list").Parked) == 0
	})
}

// A case that waits for its next attempt is looked at when an operator says so.
func TestRetryNowLooksAtOnce(t *testing.T) {
	t.Parallel()
	broker, _ := startBroker(t)
	o := newOperated(t, broker.ListenAddrs(), time.Hour)
	o.faults(scrsim.Faults{All: scrsim.FaultSet{NotYet: 1, NotYetReads: 1}})
	cases := o.change("SIMGWG01", 3)
	eventually(t, "all cases wait", func() bool {
		return verbJSON[waitingDocument](o, "retry", "list", "--reason", "not_found").Total == len(cases)
	})
	contains(t, o.verb("retry", "list", "--limit", "2"), "CASE          ACCOUNT   KIND   REASON     TRIES  WAITS  NEXT\n", "fault  not_found  1      ", "and 1 more: --limit 0 shows all\n")
	contains(t, o.verb("retry", "now", "--kind", "fault", "--dry-run"), cases[0], "Would have 3 cases looked at. Nothing was written.\n")
	if n := len(o.events()); n != 0 {
		t.Fatalf("%d events before anybody asked", n)
	}
	contains(t, o.verb("retry", "now", "--case", cases[1]), "1 trigger written: what waits is looked at now.\n")
	eventually(t, "the case has its event", func() bool { return len(o.events()[cases[1]]) == 1 })
	if all := verbJSON[nowDocument](o, "retry", "now", "--reason", "not_found", "--limit", "1"); all.Written != 1 {
		t.Errorf("one at most: %+v", all)
	}
	o.verb("retry", "now", "--all", "--rate", "1000")
	eventually(t, "all cases have their event", func() bool { return len(o.events()) == len(cases) })
}

// A filter that matches nothing must not look like a clean table.
func TestListsSayThatNothingMatches(t *testing.T) {
	t.Parallel()
	_, environ := startBroker(t)
	if got := runMain(t, environ, "topics", "apply", "--replication", "1", "--partitions", "3"); got.code != exitDone {
		t.Fatal(got)
	}
	for args, want := range map[string]string{
		"retry list":                        "nothing waits\n",
		"retry list --account MISTYPED":     "nothing that matches waits\n",
		"dead-letter list":                  "no dead letters\n",
		"dead-letter list --since 24h":      "no dead letter matches\n",
		"dead-letter list --account SIMGWG": "no dead letter matches\n",
	} {
		if got := runMain(t, environ, strings.Fields(args)...); got.code != exitDone || got.stdout != want {
			t.Errorf("%s: %v, want %q", args, got, want)
		}
	}
}

func TestOperatorsVerbsNameTheMistakeInThePrefix(t *testing.T) {
	t.Parallel()
	broker, _ := startBroker(t)
	environ := append(complete(), "BRIDGE_KAFKA_BROKERS="+strings.Join(broker.ListenAddrs(), ","), "BRIDGE_TOPIC_PREFIX=mistyped.")
	for _, args := range []string{"retry list", "dead-letter list", "dead-letter redrive --all", "backfill --account TESTGWG1 --from 2026-01-01"} {
		got := runMain(t, environ, strings.Fields(args)...)
		if got.code != exitFailed || !strings.Contains(got.stderr, "Is BRIDGE_TOPIC_PREFIX right?") {
			t.Errorf("%s: %v", args, got)
		}
	}
}
