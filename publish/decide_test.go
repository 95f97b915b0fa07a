package publish

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"postident-bridge/schemas"
)

var rewrite = flag.Bool("rewrite", false, "rewrite testdata/decide: commit only changes that you understand and want")

// TestDecideScenarios plays testdata/decide/*.txt. A scenario is one case; a
// step is a command, what it shows on indented lines, and below the dashes what
// decide made of it:
//
//	rules [progress] [results] [records]    publish states without a type too; what final states give beside their event
//	read|observe <at> <case status> <case modified> [created=… ref=… until=… archived confirm backfill away]
//	  <method> <status> <created> <modified> [sub=… reason=… at=… primary]
//	retry                                   the case is known as a retry only
//
// Away: the store of records does not answer. A status event waits for it for
// fifteen minutes. Times are of one day, a dash is none, underscores stand for blanks.
func TestDecideScenarios(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/decide/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("find scenarios: %d, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := playScenario(t, string(want))
			if *rewrite {
				if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("scenario plays differently (-file +now):\n%s", diff)
			}
		})
	}
}

func playScenario(t *testing.T, text string) string {
	t.Helper()
	sc := scenario{T: t, rules: rules{Class: schemas.RegulatoryClassGwG}}
	var out strings.Builder
	for i, block := range strings.Split(strings.TrimRight(text, "\n"), "\n\n") {
		input, _, isStep := strings.Cut(block, "\n----")
		if i > 0 {
			out.WriteString("\n")
		}
		out.WriteString(input + "\n")
		if isStep {
			out.WriteString("----\n" + sc.step(input))
		}
	}
	return out.String()
}

// scenario is one case on its way through decide.
type scenario struct {
	*testing.T
	rules rules
	state *schemas.CaseState
	since time.Time // the first attempt to store records that failed
}

func (sc *scenario) step(input string) string {
	var command []string
	var shown [][]string
	for line := range strings.Lines(input) {
		switch fields := strings.Fields(line); {
		case strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, " "):
			shown = append(shown, fields)
		default:
			command = fields
		}
	}
	switch command[0] {
	case "rules":
		sc.rules.PublishProgress = slices.Contains(command, "progress")
		sc.rules.Results, sc.rules.Records = slices.Contains(command, "results"), slices.Contains(command, "records")
		return "ok\n"
	case "retry":
		sc.state = &schemas.CaseState{ClientID: "ABCD1234", CaseID: "CASE00000001", Retry: &schemas.Retry{Kind: schemas.RetryFault}}
		return "ok\n"
	case "read", "observe":
		s, confirm := sc.snapshot(command, shown)
		records := stored{references: map[recordKey]schemas.RecordReference{}}
		if slices.Contains(command, "away") {
			records = stored{err: errors.New("away")}
		}
		return sc.decide(s, confirm, records)
	}
	sc.Fatalf("unknown command %q", command[0])
	return ""
}

// snapshot goes through snapshotOfObservation for both kinds: they differ in
// FromRead only, and snapshotOfCase has a test of its own.
func (sc *scenario) snapshot(command []string, shown [][]string) (s snapshot, confirm bool) {
	o := &schemas.Observation{
		ObservedAt: sc.time(command[1]),
		CaseStatus: blanks(command[2]),
		Created:    sc.time("10:00:00"),
		Modified:   sc.time(command[3]),
	}
	for _, option := range command[4:] {
		switch key, value, _ := strings.Cut(option, "="); key {
		case "created":
			o.Created = sc.time(value)
		case "ref":
			o.ReferenceID = &value
		case "until":
			o.ValidUntil = new(sc.time(value))
		case "archived":
			o.Archived = true
		case "confirm":
			confirm = true
		case "backfill", "away":
		default:
			sc.Fatalf("unknown option %q", option)
		}
	}
	for _, fields := range shown {
		o.Identifications = append(o.Identifications, sc.identification(fields))
	}
	trigger := schemas.Trigger{ClientID: "ABCD1234", CaseID: "CASE00000001", Source: schemas.SourceSweep, Observation: o}
	if slices.Contains(command, "backfill") {
		trigger.Source = schemas.SourceBackfill
	}
	s = snapshotOfObservation(trigger)
	s.FromRead = command[0] == "read"
	return s, confirm
}

func (sc *scenario) identification(fields []string) schemas.ObservedIdentification {
	id := schemas.ObservedIdentification{
		Method: blanks(fields[0]), Status: blanks(fields[1]),
		Created: sc.time(fields[2]), Modified: sc.time(fields[3]),
	}
	for _, option := range fields[4:] {
		switch key, value, _ := strings.Cut(option, "="); key {
		case "sub":
			id.SubStatus = &schemas.StatusCode{Code: sc.number(value)}
		case "reason":
			id.SubStatusReason = &schemas.StatusCode{Code: sc.number(value)}
		case "at":
			id.IdentificationTime = new(sc.time(value))
		case "primary":
			id.Primary = true
		default:
			sc.Fatalf("unknown option %q", option)
		}
	}
	return id
}

// decide takes one look, checks what holds for every look, and prints what
// became of it.
func (sc *scenario) decide(s snapshot, confirm bool, records stored) string {
	before := mustClone(sc.T, sc.state)
	d := decide(sc.state, s, sc.rules, confirm)
	if diff := cmp.Diff(before, sc.state, cmpopts.EquateEmpty()); diff != "" {
		sc.Errorf("decide changed the old state (-before +after):\n%s", diff)
	}
	if sc.since.IsZero() {
		sc.since = s.ObservedAt
	}
	planned := planOutputs(d, records, sc.since, s.ObservedAt, 15*time.Minute)
	if planned.hold != nil {
		return "held\n"
	}
	if planned.again == nil {
		sc.since = time.Time{}
	}
	sealed, next := sc.commit(planned)
	var out strings.Builder
	fmt.Fprintln(&out, d.Verdict)
	for _, e := range sealed {
		out.WriteString(printEvent(e.Event))
	}
	for _, o := range planned.results {
		fmt.Fprintf(&out, "result of %s %s%s\n", o.base.Method, o.base.Status, printRecordsState(o.base))
	}
	for _, u := range d.Unknown {
		fmt.Fprintf(&out, "unknown %s %q\n", u.Kind, u.Text)
	}
	if d.Superseded > 0 {
		fmt.Fprintf(&out, "superseded %d\n", d.Superseded)
	}
	if d.Reused {
		out.WriteString("reused\n")
	}
	if !cmp.Equal(before, &next, cmpopts.EquateEmpty()) {
		out.WriteString(printState(next))
	}
	sc.checkStep(before, d, next, planned)
	sc.checkRepeat(next, s, d, planned)
	if before != nil || d.Verdict == verdictChanged || d.Verdict == verdictTracked {
		sc.state = &next
	}
	return out.String()
}

// commit does what the worker does with a decision.
func (sc *scenario) commit(out outputs) ([]sealedEvent, schemas.CaseState) {
	sealed, sequence, hash, err := seal(sc.state, out.events, encoder.Encode)
	if err != nil {
		sc.Fatal(err)
	}
	next := out.state
	if len(sealed) > 0 {
		next.Sequence, next.LastEventHash = sequence, &hash
	}
	for _, o := range out.pending {
		next.Identifications[o.at].RecordsPending.Sequence = sealed[o.event].Event.Sequence
	}
	return sealed, next
}

// checkStep: verdict and outcome belong together, and the state survives Avro.
func (sc *scenario) checkStep(before *schemas.CaseState, d decision, next schemas.CaseState, planned outputs) {
	if (len(d.Events) > 0) != (d.Verdict == verdictChanged) {
		sc.Errorf("verdict %s with %d events", d.Verdict, len(d.Events))
	}
	if (len(planned.events) > 0 || len(planned.results) > 0 || planned.again != nil) && d.Verdict != verdictChanged && d.Verdict != verdictOwed {
		sc.Errorf("verdict %s with something to write", d.Verdict)
	}
	ignored := cmp.Options{cmpopts.EquateEmpty()}
	switch d.Verdict {
	case verdictUnchanged:
		ignored = append(ignored, cmpopts.IgnoreFields(schemas.CaseState{}, "LastReadAt"))
		fallthrough
	case verdictStale, verdictNeedsRead, verdictDoubt:
		if diff := cmp.Diff(before, &next, ignored); diff != "" {
			sc.Errorf("verdict %s changed the state (-before +after):\n%s", d.Verdict, diff)
		}
	case verdictTracked, verdictChanged, verdictOwed:
		if cmp.Equal(before, &next, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(schemas.CaseState{}, "LastReadAt")) {
			sc.Errorf("verdict %s left the state as it was", d.Verdict)
		}
	}
	if before != nil && !cmp.Equal(before.Retry, next.Retry, cmpopts.EquateEmpty()) {
		sc.Error("decide touched the retry slot")
	}
	if diff := cmp.Diff(&next, mustClone(sc.T, &next), cmpopts.EquateEmpty()); diff != "" {
		sc.Errorf("state after its way through Avro (-before +after):\n%s", diff)
	}
}

// checkRepeat: the same look once more publishes nothing, whoever takes it.
func (sc *scenario) checkRepeat(state schemas.CaseState, s snapshot, d decision, planned outputs) {
	if d.Verdict == verdictDoubt || d.Verdict == verdictNeedsRead {
		return
	}
	allOut := s.FromRead && planned.again == nil
	for _, fromRead := range []bool{true, false} {
		s.FromRead = fromRead
		again := decide(&state, s, sc.rules, false)
		if len(again.Events) > 0 || again.Verdict == verdictDoubt || again.Verdict == verdictTracked ||
			allOut && slices.ContainsFunc(again.Owed, func(o owed) bool { return o.result }) {
			sc.Errorf("the same look again (read: %t): %s with %d events", fromRead, again.Verdict, len(again.Events))
		}
	}
}

func printEvent(e schemas.StatusChanged) string {
	var out strings.Builder
	fmt.Fprintf(&out, "event %d %s %s %s", e.Sequence, e.StatusType, e.Method, e.Status)
	for _, text := range []*string{e.MethodText, e.StatusText} {
		if text != nil {
			fmt.Fprintf(&out, " %q", *text)
		}
	}
	if e.SubStatus != nil {
		fmt.Fprintf(&out, " sub=%d", e.SubStatus.Code)
	}
	if e.SubStatusReason != nil {
		fmt.Fprintf(&out, " reason=%d", e.SubStatusReason.Code)
	}
	if id := e.Identification; id != nil {
		fmt.Fprintf(&out, " created=%s modified=%s", clock(id.Created), clock(id.Modified))
		if id.IdentificationTime != nil {
			fmt.Fprintf(&out, " at=%s", clock(*id.IdentificationTime))
		}
		if id.Primary {
			out.WriteString(" primary")
		}
	}
	fmt.Fprintf(&out, ", case %s %s", e.CaseStatus.Status, clock(e.CaseStatus.Modified))
	if e.CaseStatus.StatusText != nil {
		fmt.Fprintf(&out, " %q", *e.CaseStatus.StatusText)
	}
	if e.ReferenceID != nil {
		fmt.Fprintf(&out, ", ref %s", *e.ReferenceID)
	}
	if e.Anomaly != nil {
		fmt.Fprintf(&out, ", anomaly %s", *e.Anomaly)
	}
	out.WriteString(printRecordsState(e))
	return out.String() + "\n"
}

func printRecordsState(e schemas.StatusChanged) string {
	var out strings.Builder
	if e.RecordsState != nil {
		fmt.Fprintf(&out, ", records %s", *e.RecordsState)
	}
	if e.Completes != nil {
		fmt.Fprintf(&out, ", completes %d", *e.Completes)
	}
	return out.String()
}

func printState(st schemas.CaseState) string {
	var out strings.Builder
	fmt.Fprintf(&out, "state %d %q", st.Sequence, st.CaseStatus)
	for _, field := range []struct {
		name string
		at   *time.Time
	}{{"created", st.Created}, {"modified", st.CaseModified}, {"until", st.ValidUntil}, {"read", st.LastReadAt}} {
		if field.at != nil {
			fmt.Fprintf(&out, " %s=%s", field.name, clock(*field.at))
		}
	}
	if st.ReferenceID != nil {
		fmt.Fprintf(&out, " ref=%s", *st.ReferenceID)
	}
	if st.CaseIDReused {
		out.WriteString(" reused")
	}
	out.WriteString("\n")
	for _, id := range st.Identifications {
		fmt.Fprintf(&out, "  %s %q created=%s modified=%s", id.Method, id.Status, clock(id.Created), clock(id.Modified))
		if id.SubStatus != nil {
			fmt.Fprintf(&out, " sub=%d", *id.SubStatus)
		}
		if id.SubStatusReason != nil {
			fmt.Fprintf(&out, " reason=%d", *id.SubStatusReason)
		}
		if id.IdentificationTime != nil {
			fmt.Fprintf(&out, " at=%s", clock(*id.IdentificationTime))
		}
		for _, o := range id.Outputs {
			fmt.Fprintf(&out, " %s", o)
		}
		if id.WasFinal {
			out.WriteString(" final")
		}
		if p := id.RecordsPending; p != nil {
			fmt.Fprintf(&out, " pending since=%s attempts=%d of=%d", clock(p.Since), p.Attempts, p.Sequence)
		}
		out.WriteString("\n")
	}
	return out.String()
}

func blanks(s string) string { return strings.ReplaceAll(s, "_", " ") }

func clock(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Format("15:04:05.999")
}

func (sc *scenario) time(s string) time.Time {
	if s == "-" {
		return time.Time{}
	}
	at, err := time.Parse("2006-01-02 15:04:05", "2024-05-02 "+s)
	if err != nil {
		sc.Fatal(err)
	}
	return at
}

func (sc *scenario) number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		sc.Fatal(err)
	}
	return n
}

var encoder = schemas.NewSingleObjectStatusEncoder()

// mustClone copies a state so that the original may be changed without it.
func mustClone(t *testing.T, state *schemas.CaseState) *schemas.CaseState {
	t.Helper()
	if state == nil {
		return nil
	}
	value, err := schemas.EncodeCaseState(*state)
	if err != nil {
		t.Fatal(err)
	}
	clone, err := schemas.DecodeCaseState(value)
	if err != nil {
		t.Fatal(err)
	}
	return &clone
}

// TestDecideKeepsWhatBelongsToTheKey: the retry slot and the dead-letter mark
// survive even a new case under the caseId (facts 2.8).
func TestDecideKeepsWhatBelongsToTheKey(t *testing.T) {
	t.Parallel()
	at := time.Date(2024, 5, 2, 10, 0, 0, 0, time.UTC)
	retry := &schemas.Retry{Kind: schemas.RetryFault, Attempt: 3, NotBefore: at, FirstFailed: at, Faults: 3}
	mark := &schemas.DeadLetterMark{At: at, Reason: "not_found"}
	for _, tt := range []struct {
		name    string
		created *time.Time
	}{
		{"never read", nil},
		{"another case before", new(at.Add(-time.Hour))},
		{"the same case", new(at)},
		{"an older case seen", new(at.Add(time.Hour))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			prev := schemas.CaseState{ClientID: "ABCD1234", CaseID: "CASE00000001", Created: tt.created, Retry: retry, DeadLettered: mark, UpdatedAt: at}
			got := decide(&prev, snapshot{ClientID: "ABCD1234", CaseID: "CASE00000001", Status: "new", Created: at, Modified: at}, rules{}, false).State
			if got.Retry != retry || got.DeadLettered != mark || !got.UpdatedAt.Equal(at) {
				t.Errorf("decide changed what the caller owns: %+v", got)
			}
		})
	}
}
