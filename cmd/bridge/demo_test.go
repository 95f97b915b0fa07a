package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postident-bridge/internal/audit"
	"postident-bridge/internal/scrsim"
	"postident-bridge/schemas"
)

// runDemo runs `bridge demo` in this process.
func runDemo(t *testing.T, h hooks, args ...string) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	m := &Main{Args: append([]string{"demo"}, args...), Stdout: &stdout, Stderr: &stderr, hooks: h}
	code := m.Run(t.Context())
	return outcome{code, stdout.String(), stderr.String()}
}

var verified = regexp.MustCompile(`\nverified: ([0-9]+) changes, ([0-9]+) events, 0 lost, 0 doubled, 0 out of order, 0 canaries\n$`)

// "Shown by" 1 of the main job, with the default seed.
func TestDemoShowsEverythingAndVerifiesIt(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes a quarter of a minute")
	}
	began := time.Now()
	got := runDemo(t, hooks{})
	if took := time.Since(began); took > 60*time.Second {
		t.Errorf("took %s", took)
	}
	if got.code != exitDone || got.stderr != "" {
		t.Errorf("exit %d, stderr %q", got.code, got.stderr)
	}
	checkResultLines(t, got.stdout)
	counts := verified.FindStringSubmatch(got.stdout)
	if counts == nil || counts[1] != counts[2] {
		t.Errorf("the last line is no verdict, or the counts differ: %v\n%s", counts, got.stdout)
	}
	for _, want := range []string{
		"autoid", "basic", "eid", "photo", "video", "notification", "preliminary", "final", "cancelled",
		"gwg", "tkg", "eidas", "standard", "mobility", "success", "declined",
	} {
		if !regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d .*\b` + want + `\b`).MatchString(got.stdout) {
			t.Errorf("no event shows %s", want)
		}
	}
	if strings.Contains(got.stdout, "\x1b") {
		t.Error("colours in a text that goes to no terminal")
	}
	for line := range strings.Lines(got.stdout) {
		if len([]rune(line)) > 101 {
			t.Errorf("too long for a terminal: %s", line)
		}
	}
	searchSecrets(t, map[string]string{"stdout": got.stdout})
}

// checkResultLines checks what the demo says of results, records and the guide's
// sample ("Shown by" 2 of the results).
func checkResultLines(t *testing.T, stdout string) {
	t.Helper()
	for _, line := range []struct {
		pattern string
		least   int
	}{
		{`\nresults: (\d+) of SIMGWG01, one with each of its final states\n`, 5},
		{`\nrecords: (\d+) named by events, (\d+) in the store, 0 missing or not intact\n`, 10},
		{`\nsample: (\d+) of (\d+) fields of the guide's sample are in its result\n`, 126},
	} {
		found := regexp.MustCompile(line.pattern).FindStringSubmatch(stdout)
		if found == nil {
			t.Errorf("no line like %s", line.pattern)
			continue
		}
		for _, count := range found[1:] {
			if n, err := strconv.Atoi(count); err != nil || n < line.least || count != found[1] {
				t.Errorf("%s, want at least %d, and all alike", strings.TrimSpace(found[0]), line.least)
			}
		}
	}
	for _, want := range []string{"\n  birthName              Gabler        match\n", "\n  placeOfIssue           (empty)       match\n"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no line %q", want)
		}
	}
}

// The bridge asks the API until it stops, so the API outlives it: else a warning of a
// refused connection might stand behind the verdict. The cases stop first.
func TestDemoTakesItsAPIDownAfterTheBridge(t *testing.T) {
	t.Parallel()
	logger := slog.New(slog.DiscardHandler)
	d := &demo{main: &Main{}, flags: demoFlags{seed: 1}, down: teardown{logger: logger, limit: 15 * time.Second}}
	ctx, fail := context.WithCancelCause(t.Context())
	defer fail(nil)
	err := d.build(ctx, fail, logger)
	var order []string
	for _, s := range slices.Backward(d.down.steps) {
		order = append(order, s.name)
	}
	if err := errors.Join(err, d.down.run(context.WithoutCancel(ctx))); err != nil {
		t.Fatal(err)
	}
	want := []string{"simulator", "bridge", "directory of records", "simulated api", "embedded broker"}
	if diff := cmp.Diff(want, order); diff != "" {
		t.Errorf("taken down (-want +got):\n%s", diff)
	}
}

// The comparison can fail: an event that is withheld from it is named.
func TestDemoNamesAWithheldEvent(t *testing.T) {
	t.Parallel()
	var hidden schemas.StatusChanged
	withhold := func(ctx context.Context, e *audit.Evidence) error {
		dump, err := audit.TakeDump(ctx, e.Kafka, e.Prefix)
		if err != nil {
			return err
		}
		e.Dump = &dump
		decoder := schemas.NewStatusDecoder(nil)
		for i := range dump.Topics[2].Partitions {
			p := &dump.Topics[2].Partitions[i]
			p.Records = slices.DeleteFunc(p.Records, func(r audit.Record) bool {
				event, err := decoder.Decode(ctx, r.Value)
				// The last event of some case, so that the hole is not seen by its gap.
				if err == nil && hidden.EventID == "" && event.StatusType == schemas.StatusTypeFinal {
					hidden = event
				}
				return err == nil && event.EventID == hidden.EventID
			})
		}
		return nil
	}
	got := runDemo(t, hooks{tamper: withhold, settle: time.Second}, "--cases", "4")
	if got.code != exitFailed {
		t.Errorf("exit %d", got.code)
	}
	last := got.stdout[strings.Index(got.stdout, "not verified"):]
	if !strings.Contains(last, ", 1 lost, 0 doubled, 0 out of order") ||
		!strings.Contains(last, "lost: case "+hidden.ClientID+"/"+hidden.CaseID) {
		t.Errorf("withheld %s/%s, and it says:\n%s", hidden.ClientID, hidden.CaseID, last)
	}
	if strings.Contains(got.stderr, "bridge:") {
		t.Errorf("said twice: %s", got.stderr)
	}
}

func TestDemoAsJSON(t *testing.T) {
	t.Parallel()
	got := runDemo(t, hooks{}, "--cases", "3", "--seed", "9", "--json")
	var events []shownEvent
	var sample struct {
		IdentificationDocument struct {
			BirthName struct{ Value, Status string }
		}
	}
	var result struct {
		Verified                                     bool
		Events, Results, RecordsNamed, RecordsStored int
		Sample                                       sampleVerdict
	}
	for line := range strings.Lines(got.stdout) {
		var parsed struct {
			Event  *shownEvent
			Sample json.RawMessage
			Result json.RawMessage
		}
		if err := json.Unmarshal([]byte(line), &parsed); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		var err error
		switch {
		case parsed.Event != nil:
			events = append(events, *parsed.Event)
		case parsed.Sample != nil:
			err = json.Unmarshal(parsed.Sample, &sample)
		default:
			err = json.Unmarshal(parsed.Result, &result)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if name := sample.IdentificationDocument.BirthName; name.Value != "Gabler" || name.Status != "match" {
		t.Errorf("sample: %+v", sample)
	}
	if result.Results < 1 || result.RecordsNamed < 5 || result.RecordsStored != result.RecordsNamed || !result.Sample.clean() {
		t.Errorf("result: %+v", result)
	}
	if got.code != exitDone || !result.Verified || result.Events != len(events) || len(events) < 3 {
		t.Errorf("exit %d, %d events, result %+v", got.code, len(events), result)
	}
}

// --serve goes on after the verdict, says where everything is, and ends well.
func TestDemoServes(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var stdout, stderr lockedBuffer
	m := &Main{Args: []string{"demo", "--cases", "2", "--serve"}, Stdout: &stdout, Stderr: &stderr}
	done := make(chan int, 1)
	go func() { done <- m.Run(ctx) }()
	page := regexp.MustCompile(`http://127\.0\.0\.1:\d+/readyz`)
	eventually(t, "it says how to attach", func() bool {
		return page.Match(stdout.bytes()) && bytes.Contains(stdout.bytes(), []byte("kcat -C -b 127.0.0.1:"))
	})
	if code, body := httpGet(t, string(page.Find(stdout.bytes()))); code != 200 {
		t.Errorf("/readyz: %d %s", code, body)
	}
	cancel()
	if code := <-done; code != exitDone {
		t.Errorf("exit %d\n%s", code, stderr.bytes())
	}
}

func TestDemoInterruptedIsNoSuccess(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var stdout, stderr lockedBuffer
	m := &Main{Args: []string{"demo", "--cases", "500"}, Stdout: &stdout, Stderr: &stderr}
	done := make(chan int, 1)
	go func() { done <- m.Run(ctx) }()
	eventually(t, "events come", func() bool { return bytes.Contains(stdout.bytes(), []byte("photo")) })
	cancel()
	if code := <-done; code != exitFailed || !bytes.Contains(stderr.bytes(), []byte("interrupted before the end")) {
		t.Errorf("exit %d\n%s", code, stderr.bytes())
	}
}

func TestViewColoursOnlyATerminal(t *testing.T) {
	t.Parallel()
	event := &schemas.StatusChanged{Method: schemas.MethodEID, StatusType: schemas.StatusTypeFinal, Status: schemas.StatusSuccess, Identification: &schemas.Identification{}}
	var out bytes.Buffer
	v := newView(&out, nil, false)
	if err := v.event(time.Now(), event); err != nil || strings.Contains(out.String(), "\x1b") {
		t.Errorf("%v, %q", err, out.String())
	}
	v.colour = true
	out.Reset()
	if err := v.event(time.Now(), event); err != nil || !strings.HasPrefix(out.String(), green) || !strings.HasSuffix(out.String(), reset+"\n") {
		t.Errorf("%v, %q", err, out.String())
	}
}

// The demo shows all methods and classes because the simulator's example
// accounts offer them.
func TestExampleAccountsOfferEverything(t *testing.T) {
	t.Parallel()
	var methods, classes []string
	for _, a := range scrsim.ExampleAccounts("") {
		classes = append(classes, string(a.Class))
		methods = append(methods, scrsim.DefaultMethods(a.Class)...)
	}
	slices.Sort(methods)
	if got := slices.Compact(methods); len(got) != 5 || len(classes) != 5 {
		t.Errorf("methods %v, classes %v", got, classes)
	}
}
