package main

import (
	"bytes"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postident-bridge/internal/audit"
	"postident-bridge/schemas"
)

var operateNow = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

func before(d time.Duration) time.Time { return operateNow.Add(-d) }

func shownLetter(offset int64, caseID, reason string, at time.Time) audit.Letter {
	return audit.Letter{
		Place: audit.Place{Topic: "postident.dead-letter", Partition: 3, Offset: offset}, At: at, Reason: reason, Attempts: 11, Size: 80,
		Key: []byte(caseID), ErrorText: "case not found", ErrorClass: "*scr.NotYetError", FirstSeen: at.Add(-2 * time.Hour),
		Inbox:   &audit.Place{Topic: "postident.inbox", Partition: 3, Offset: 5120},
		Trigger: &schemas.Trigger{ClientID: "SIMGWG01", CaseID: caseID, Source: schemas.SourceWebhook, ReceivedAt: at.Add(-2 * time.Hour)},
	}
}

// What the verbs print fits 80 columns with the API's own ids and the bridge's own
// words. The golden files show it.
func TestOperatorsVerbsFitATerminal(t *testing.T) {
	t.Parallel()
	waiting := []audit.WaitingCase{
		{ClientID: "SIMGWG01", CaseID: "IFH944SVWOZW", Kind: schemas.RetryParked, Reason: "unauthorised", FirstFailed: before(134 * time.Minute)},
		{ClientID: "SIMGWG01", CaseID: "RV9GQ41HTZS9", Kind: schemas.RetryParked, Reason: "held_back", FirstFailed: before(20 * time.Minute)},
		{ClientID: "SIMTKG01", CaseID: "VBV7T89AWK47", Kind: schemas.RetryFault, Reason: "rejected_algorithm", Attempts: 11, FirstFailed: before(94 * time.Minute), NotBefore: operateNow.Add(26 * time.Minute)},
		{ClientID: "SIMTKG01", CaseID: "Z4EOZ7JBCQCY", Kind: schemas.RetryRecheck, Reason: "unchanged", Attempts: 1, FirstFailed: before(3 * time.Second), NotBefore: before(time.Second)},
	}
	reference, trace := "SIM00000000011", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	swept := shownLetter(1024, "IFH944SVWOZW", "not_found", before(50*time.Hour))
	swept.Trigger.Source, swept.Trigger.ReferenceID, swept.Trigger.Traceparent = schemas.SourceSweep, &reference, &trace
	swept.Trigger.Observation = &schemas.Observation{CaseStatus: "in progress", Modified: before(60 * time.Hour), Identifications: make([]schemas.ObservedIdentification, 2)}
	swept.RedrivenFrom = &audit.Place{Topic: "postident.dead-letter", Partition: 3, Offset: 977}
	foreign := audit.Letter{
		Place: audit.Place{Topic: "postident.dead-letter", Partition: 0, Offset: 7}, At: before(time.Minute), Key: []byte("Erika Mustermann"),
		Size: 16, Unreadable: errors.New("decode trigger: corrupt: header"), Reason: "unreadable_trigger", ErrorText: "decode trigger: corrupt: header", Others: 2,
	}
	hostile := shownLetter(1025, "RV9GQ41HTZS9", "\x1b[2J"+strings.Repeat("x", 100), before(time.Hour))
	hostile.ErrorText = "\x1b]0;owned\a"
	planned := func(l audit.Letter, fate audit.Fate, why string) audit.PlannedLetter {
		return audit.PlannedLetter{Letter: l, Fate: fate, Why: why}
	}
	plan := []audit.PlannedLetter{
		planned(swept, audit.FateRedrive, ""), planned(shownLetter(9, "VBV7T89AWK47", "not_found", before(time.Hour)), audit.FateRedriven, ""),
		planned(shownLetter(8, "VBV7T89AWK47", "rejected_plain_json", before(time.Hour)), audit.FateDone, ""),
		planned(foreign, audit.FateImpossible, "no trigger, so nobody knows which case to look at"),
	}
	var count audit.LetterCount
	letters := []audit.Letter{foreign, hostile, swept, shownLetter(2000, "RV9GQ41HTZS9", "not_found", before(time.Hour))}
	letters[3].ErrorText = "not authorised: status 401"
	for i := range letters {
		count.Add(&letters[i])
	}
	for name, show := range map[string]func(d *desk) error{
		"retry-list":          func(d *desk) error { return d.printWaiting(waiting, waiting, 1150) },
		"retry-list-none":     func(d *desk) error { return d.printWaiting(nil, nil, 0) },
		"retry-now-dry":       func(d *desk) error { return d.printNow(&nowDocument{DryRun: true, Parked: 2, Cases: waiting[2:]}) },
		"retry-now-none":      func(d *desk) error { return d.printNow(&nowDocument{}) },
		"dead-letter-list":    func(d *desk) error { return d.printLetters(count.Summaries(), letters, 1200) },
		"dead-letter-none":    func(d *desk) error { return d.printLetters(nil, nil, 0) },
		"dead-letter-show":    func(d *desk) error { return d.printLetter(&swept, 2) },
		"dead-letter-foreign": func(d *desk) error { return d.printLetter(&foreign, 0) },
		"dead-letter-redrive": func(d *desk) error { return d.printPlan(plan) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			if err := show(&desk{main: &Main{Stdout: &out}, now: operateNow}); err != nil {
				t.Fatal(err)
			}
			golden(t, filepath.Join("testdata", "operate", name+".txt"), out.String())
			for line := range strings.Lines(out.String()) {
				if n := len([]rune(line)) - 1; n > 80 {
					t.Errorf("%d columns: %s", n, line)
				}
			}
			if strings.ContainsAny(out.String(), "\x1b\a") || strings.Contains(out.String(), "Erika") {
				t.Error("it prints what others have written as it is")
			}
		})
	}
}

func TestRedriveSummaries(t *testing.T) {
	t.Parallel()
	of := func(fates ...audit.Fate) (letters []audit.PlannedLetter) {
		for _, f := range fates {
			letters = append(letters, audit.PlannedLetter{Fate: f})
		}
		return letters
	}
	dry, wet := &redriveFlags{rate: 2}, &redriveFlags{rate: 2, yes: true}
	for want, got := range map[string]string{
		"No dead letter matches.": redriveSummary(nil, 0, wet),
		"Would redrive 3 cases, at most 2 a second: 2s.\nNothing was written; --yes does it.": redriveSummary(of(audit.FateRedrive, audit.FateRedrive, audit.FateRedrive, audit.FateDone), 0, dry),
		"1 case redriven. What fails again comes back as a new letter.":                       redriveSummary(of(audit.FateRedrive, audit.FateImpossible), 1, wet),
		"All are done: 2 letters already redriven.":                                           redriveSummary(of(audit.FateRedriven, audit.FateRedriven), 0, dry),
		"All are done: 1 letter done, read well since.":                                       redriveSummary(of(audit.FateDone), 0, wet),
		"Nothing to redrive: 1 letter already redriven, 1 letter cannot be redriven.":         redriveSummary(of(audit.FateRedriven, audit.FateImpossible), 0, wet),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestParseWhen(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]time.Time{
		"2026-11-28T08:00:00+01:00": time.Date(2026, 11, 28, 7, 0, 0, 0, time.UTC),
		"2026-11-28":                time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC),
		"36h":                       before(36 * time.Hour),
		"7d":                        before(7 * 24 * time.Hour),
	} {
		if got, err := parseWhen(text, operateNow); err != nil || !got.Equal(want) {
			t.Errorf("%s is %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "yesterday", "-3h", "7", "d", "-1d", "99999d"} {
		if got, err := parseWhen(text, operateNow); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}

func TestToLookAt(t *testing.T) {
	t.Parallel()
	waiting := []audit.WaitingCase{
		{CaseID: "P", Kind: schemas.RetryParked, FirstFailed: before(9 * time.Hour)},
		{CaseID: "Y", Kind: schemas.RetryFault, FirstFailed: before(time.Hour)},
		{CaseID: "O", Kind: schemas.RetryRecheck, FirstFailed: before(2 * time.Hour)},
	}
	for name, tt := range map[string]struct {
		flags  nowFlags
		want   string
		parked int
	}{
		"all":              {nowFlags{all: true}, "YO", 1},
		"one, the longest": {nowFlags{all: true, waitingFlags: waitingFlags{limit: 1}}, "O", 1},
		"parked by kind":   {nowFlags{waitingFlags: waitingFlags{kinds: []string{"parked"}}}, "PYO", 0},
		"parked by case":   {nowFlags{waitingFlags: waitingFlags{cases: []string{"P"}}}, "PYO", 0},
	} {
		cases, parked := toLookAt(waiting, &tt.flags)
		got := ""
		for _, c := range cases {
			got += c.CaseID
		}
		if got != tt.want || parked != tt.parked {
			t.Errorf("%s: %s and %d parked, want %s and %d", name, got, parked, tt.want, tt.parked)
		}
	}
}
