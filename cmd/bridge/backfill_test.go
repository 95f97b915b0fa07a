package main

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"postident-bridge/ingest"
	"postident-bridge/internal/scrsim"
	"postident-bridge/schemas"
)

// past makes n cases of an account that ended before anybody was told.
func (o *operated) past(clientID string, n int) map[string]string {
	o.t.Helper()
	o.faults(scrsim.Faults{All: scrsim.FaultSet{HookLost: 1}})
	last := make(map[string]string) // the last status of each case
	for range n {
		info, err := o.sim.Create(scrsim.NewCase{ClientID: clientID, Method: "video"})
		if err != nil {
			o.t.Fatal(err)
		}
		for {
			step, err := o.sim.Advance(info.CaseID)
			if errors.Is(err, scrsim.ErrAtEnd) {
				break
			}
			if err != nil {
				o.t.Fatal(err)
			}
			if last[info.CaseID] = step.Change.Status; step.Change.StatusType == string(schemas.StatusTypeProgress) {
				delete(last, info.CaseID) // no event for it
			}
		}
	}
	return last
}

func TestBackfillBringsThePastIn(t *testing.T) {
	t.Parallel()
	broker, _ := startBroker(t)
	o := newOperated(t, broker.ListenAddrs())
	cases := o.past("SIMGWG01", 25)
	from := time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)
	until := time.Now().Add(time.Hour).UTC().Format(time.RFC3339) // the simulator's stamps run ahead of the clock
	backfill := func(more ...string) string {
		return o.verb(append([]string{"backfill", "--account", "SIMGWG01", "--from", from, "--until", until}, more...)...)
	}
	contains(t, backfill("--dry-run"), "25 cases, from 1 request. A dry run: nothing was written.\n")
	if n := len(o.events()); n > 0 {
		t.Fatalf("%d cases have events after the dry run", n)
	}
	var result backfillResult
	if err := json.Unmarshal([]byte(backfill("--json")), &result); err != nil || result.Cases != 25 || result.EndedAt == nil || result.Holes != 0 {
		t.Errorf("error %v, result %+v", err, result)
	}
	eventually(t, "every case has its last state", func() bool {
		events := o.events()
		for id, status := range cases {
			told := events[id]
			if len(told) == 0 || !strings.EqualFold(strings.ReplaceAll(string(told[len(told)-1].Status), "_", " "), status) {
				return false
			}
			if told[0].ObservedBy != schemas.SourceBackfill {
				t.Errorf("case %s was first seen by %s", id, told[0].ObservedBy)
			}
		}
		return true
	})
	before := o.events()
	// One that ended before its span did has not seen what came since.
	past := []string{"backfill", "--account", "SIMGWG01", "--from", "2026-01-01", "--until", "2026-01-02"}
	contains(t, o.verb(past...), "0 triggers written, from 1 request.\n")
	contains(t, o.verb(past...), "Done already, on ", ": 0 cases. Nothing was listed.\n")
	// Under another span everything is listed once more, and adds nothing.
	o.verb("backfill", "--account", "SIMGWG01", "--from", "2026-01-01", "--until", until, "--newest-first")
	eventually(t, "its triggers are worked off", func() bool {
		_, metrics := httpGet(t, "http://"+o.bridge.where.Admin+"/metrics")
		return strings.Contains(metrics, `postident_triggers_consumed_total{source="backfill"} 50`)
	})
	for id, events := range o.events() {
		if len(events) != len(before[id]) {
			t.Errorf("case %s has %d events, and had %d before", id, len(events), len(before[id]))
		}
	}
}

func TestBackfillIsUsedWrongly(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"backfill":                          "--account and --from are needed",
		"backfill --account A --from today": `--from: "today" is neither a day (2026-01-31) nor an instant`,
		"backfill --account A --from 2026-02-01 --until 2026-01-01": "--until must be after --from",
		"backfill --account A --from 2026-01-01":                    "BRIDGE_KAFKA_BROKERS: not set",
	} {
		if got := runMain(t, nil, strings.Fields(args)...); got.code != exitUsage || !strings.Contains(got.stderr, want) {
			t.Errorf("%s: exit %d, stderr, want %q in it:\n%s", args, got.code, want, got.stderr)
		}
	}
	for dryRun, want := range map[bool]string{true: "begins anew", false: "it goes on at 2026-01-31T00:00:00Z"} {
		at := ingest.BackfillStatus{Backfill: schemas.Backfill{Next: time.Date(2026, 1, 31, 0, 0, 0, 0, time.UTC)}}
		if err := errInterrupted(dryRun, at); !strings.Contains(err.Error(), want) {
			t.Errorf("interrupted, dry run %t: %v", dryRun, err)
		}
	}
	if got := runMain(t, complete(), "backfill", "--account", "OTHER", "--from", "2026-01-01"); got.code != exitUsage || !strings.Contains(got.stderr, "none of the accounts") {
		t.Errorf("an account that is not there: exit %d\n%s", got.code, got.stderr)
	}
}
