package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"postident-bridge/internal/audit"
	"postident-bridge/schemas"
)

// view prints the demo: for people as aligned columns, in colour on a terminal,
// or as lines of JSON.
type view struct {
	asJSON bool
	colour bool

	mu     sync.Mutex
	w      io.Writer         // guarded by mu
	counts map[[2]string]int // guarded by mu; events by method and status type
	swept  int               // guarded by mu; events that a sweep found
}

func newView(w io.Writer, environ []string, asJSON bool) *view {
	return &view{w: w, asJSON: asJSON, colour: !asJSON && isTerminal(w, environ), counts: make(map[[2]string]int)}
}

// isTerminal reports whether colours have a meaning on w. NO_COLOR switches
// them off (no-color.org).
func isTerminal(w io.Writer, environ []string) bool {
	return newLoader(environ).given["NO_COLOR"] == "" && terminalOf(w, environ) != nil
}

// terminalOf is the terminal that w writes to, nil if it is none that can move
// its cursor.
func terminalOf(w io.Writer, environ []string) *os.File {
	file, ok := w.(*os.File)
	if !ok || newLoader(environ).given["TERM"] == "dumb" || !term.IsTerminal(int(file.Fd())) {
		return nil
	}
	return file
}

// columns is one row of the live view.
const columns = "%-8s  %-6s  %-8s  %-12s  %-16s  %-7s  %3s  %-7s  %s\n"

// begin says what is about to happen.
func (v *view) begin(d *demo) error {
	if v.asJSON {
		return nil
	}
	return v.printf(`The whole bridge in one process: an embedded Kafka broker, a simulated SCR-Ident
API with %d accounts, and the roles webhook, poll and process.

  POSTIDENT (simulated) --webhooks, lists--> inbox --look at the case--> %s

%s publishes results, too, on %s, and keeps binary records
in %s, while the demo lasts. Its first case is the guide's own
sample (7.4.1). %d more cases, seed %d. Every line is one event on %s.

`+columns, len(d.accounts), d.names.Status, d.results.account, d.names.Result, d.store, d.flags.cases, d.flags.seed, d.names.Status,
		"TIME", "METHOD", "CLASS", "TYPE", "STATUS", "CODES", "SEQ", "SEEN BY", "CASE")
}

// shownEvent is an event as `demo --json` prints it.
type shownEvent struct {
	PublishedAt time.Time `json:"publishedAt"`
	Method      string    `json:"method"`
	Class       string    `json:"regulatoryClass"`
	Type        string    `json:"statusType"`
	Status      string    `json:"status"`
	Codes       []int     `json:"codes"`
	Sequence    int64     `json:"sequence"`
	ObservedBy  string    `json:"observedBy"`
	ClientID    string    `json:"clientId"`
	CaseID      string    `json:"caseId"`
}

func showEvent(at time.Time, e *schemas.StatusChanged) shownEvent {
	s := shownEvent{
		PublishedAt: at.UTC(),
		Method:      string(e.Method), Class: string(e.RegulatoryClass), Type: string(e.StatusType),
		Status: strings.ReplaceAll(string(e.Status), "_", " "), Codes: []int{},
		Sequence: e.Sequence, ObservedBy: string(e.ObservedBy), ClientID: e.ClientID, CaseID: e.CaseID,
	}
	if e.Identification == nil { // the case closed without a change of an identification
		s.Status = string(e.CaseStatus.Status)
	}
	for _, c := range []*schemas.StatusCode{e.SubStatus, e.SubStatusReason} {
		if c != nil {
			s.Codes = append(s.Codes, c.Code)
		}
	}
	return s
}

// event prints one event.
func (v *view) event(at time.Time, e *schemas.StatusChanged) error {
	s := showEvent(at, e)
	v.mu.Lock()
	v.counts[[2]string{s.Method, s.Type}]++
	if e.ObservedBy == schemas.SourceSweep {
		v.swept++
	}
	v.mu.Unlock()
	if v.asJSON {
		return v.line(map[string]any{"event": s})
	}
	codes := make([]string, len(s.Codes))
	for i, c := range s.Codes {
		codes[i] = strconv.Itoa(c)
	}
	row := fmt.Sprintf(columns, at.Local().Format(time.TimeOnly), s.Method, s.Class, s.Type, s.Status,
		strings.Join(codes, "/"), strconv.FormatInt(s.Sequence, 10), s.ObservedBy, s.CaseID)
	return v.print(v.paint(colourOf(s), row))
}

// ANSI colours of the live view.
const (
	plainText = ""
	red       = "\x1b[31m"
	green     = "\x1b[32m"
	yellow    = "\x1b[33m"
	magenta   = "\x1b[35m"
	cyan      = "\x1b[36m"
	bold      = "\x1b[1m"
	reset     = "\x1b[0m"
)

func colourOf(s shownEvent) string {
	switch schemas.StatusType(s.Type) {
	case schemas.StatusTypeNotification:
		return cyan
	case schemas.StatusTypePreliminary:
		return yellow
	case schemas.StatusTypeCancelled:
		return magenta
	case schemas.StatusTypeFinal:
		if s.Status == string(schemas.StatusSuccess) {
			return green
		}
		return red
	case schemas.StatusTypeProgress, schemas.StatusTypeRecordsAvailable, schemas.StatusTypeUnknown:
	}
	return plainText
}

func (v *view) paint(colour, text string) string {
	if !v.colour || colour == plainText {
		return text
	}
	body := strings.TrimRight(text, "\n")
	return colour + body + reset + text[len(body):]
}

// sample prints the result of the guide's sample.
func (v *view) sample(b *strings.Builder, r *schemas.IdentificationResult) {
	title := fmt.Sprintf("The result of case %s, the guide's own sample: what its status event does not say", r.CaseID)
	b.WriteString("\n" + v.paint(bold, title) + "\n")
	writeResult(b, r, func(name string) string { return v.paint(cyan, name) })
}

// end prints the result of the guide's sample, how many events there were of which
// kind, and the verdict last.
func (v *view) end(results *demoResults, verdict *audit.Verdict, sample *sampleVerdict) error {
	if v.asJSON {
		if sample.result != nil {
			result := resultField{parts: resultFields(sample.result)}
			if err := v.line(map[string]any{"sample": result.json()}); err != nil {
				return err
			}
		}
		return v.line(map[string]any{"result": shownResult(verdict, sample)})
	}
	var b strings.Builder
	if sample.result != nil {
		v.sample(&b, sample.result)
	}
	types := []schemas.StatusType{
		schemas.StatusTypeNotification, schemas.StatusTypePreliminary, schemas.StatusTypeFinal,
		schemas.StatusTypeCancelled, schemas.StatusTypeProgress,
	}
	methods := []schemas.Method{
		schemas.MethodAutoID, schemas.MethodBasic, schemas.MethodEID, schemas.MethodPhoto, schemas.MethodVideo, schemas.MethodNone,
	}
	fmt.Fprintf(&b, "\n%-8s", "EVENTS")
	for _, t := range types {
		fmt.Fprintf(&b, "  %12s", t)
	}
	b.WriteString("\n")
	v.mu.Lock()
	for _, m := range methods {
		fmt.Fprintf(&b, "%-8s", m)
		for _, t := range types {
			cell := "-"
			if n := v.counts[[2]string{string(m), string(t)}]; n > 0 {
				cell = strconv.Itoa(n)
			}
			fmt.Fprintf(&b, "  %12s", cell)
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "\n%d changes were found by sweeps of the API's lists: their webhooks were lost on purpose, or came\n"+
		"later, or the API sends none, as for a case that closes by itself (method none).\n\n", v.swept)
	v.mu.Unlock()
	b.WriteString(results.resultLines(verdict, sample))
	switch err := verdict.Err(); {
	case err != nil:
		b.WriteString(v.paint(red, err.Error()+"\n"))
	case !sample.clean():
		b.WriteString(verdict.String() + "\n" + v.paint(red, "not verified: fields of the guide's sample are missing\n"))
	default:
		b.WriteString(v.paint(green, verdict.String()+"\n"))
	}
	return v.print(b.String())
}

// shownFinding and the map around it are the verdict as `demo --json` prints it.
type shownFinding struct {
	Kind     string `json:"kind"`
	ClientID string `json:"clientId"`
	CaseID   string `json:"caseId"`
	Where    string `json:"where,omitempty"`
	Sequence int64  `json:"sequence,omitempty"`
	Detail   string `json:"detail"`
}

func shownResult(r *audit.Verdict, sample *sampleVerdict) map[string]any {
	findings := make([]shownFinding, len(r.Findings))
	for i, f := range r.Findings {
		findings[i] = shownFinding{f.Kind.String(), f.ClientID, f.CaseID, f.Where, f.Sequence, f.Detail}
	}
	return map[string]any{
		"verified": r.Clean() && sample.clean(), "summary": r.String(), "changes": r.Changes, "events": r.Events,
		"lost": r.Count(audit.Lost), "doubled": r.Count(audit.Doubled), "outOfOrder": r.Count(audit.OutOfOrder),
		"results": r.Results, "recordsNamed": r.References, "recordsStored": r.Objects, "sample": sample, "superseded": r.Superseded, "unseen": r.Unseen, "findings": findings,
	}
}

// attach prints how to look at what goes on being served.
func (v *view) attach(d *demo) error {
	a := d.accounts[0]
	places := []struct{ what, how string }{
		{"events", fmt.Sprintf(`kcat -C -b %s -t %s -X isolation.level=read_committed -f '%%k %%h\n'`, d.seeds[0], d.names.Status)},
		{"triggers", fmt.Sprintf(`kcat -C -b %s -t %s -f '%%T %%p %%k\n'`, d.seeds[0], d.names.Inbox)},
		{"results", fmt.Sprintf(`kcat -C -b %s -t %s -X isolation.level=read_committed -f '%%k %%S bytes %%h\n'`, d.seeds[0], d.names.Result)},
		{"records", d.store},
		{"readiness", "http://" + d.where.Admin + "/readyz"},
		{"metrics", "http://" + d.where.Admin + "/metrics"},
		{"simulator", "http://" + d.simAddr + "/sim/v1/status"},
		{"truth", "http://" + d.simAddr + "/sim/v1/truth"},
		{"new case", fmt.Sprintf(`curl -s http://%s/sim/v1/load -d '{"cases":1}'`, d.simAddr)},
		{"webhook", fmt.Sprintf(`curl -s -u %s:%s -H 'Content-Type: application/json' -d '{"caseId":"..."}' http://%s/webhooks/%s`,
			a.Webhook.Username, a.Webhook.Password, d.where.Webhook, a.ClientID)},
	}
	if v.asJSON {
		out := make(map[string]string)
		for _, p := range places {
			out[p.what] = p.how
		}
		return v.line(map[string]any{"serving": out})
	}
	var b strings.Builder
	b.WriteString("\n" + v.paint(bold, "Everything stays up, and a case starts every two seconds. Ctrl-C ends it.\n") + "\n")
	for _, p := range places {
		fmt.Fprintf(&b, "  %-10s %s\n", p.what, p.how)
	}
	b.WriteString("\n")
	return v.print(b.String())
}

func (v *view) printf(format string, args ...any) error { return v.print(fmt.Sprintf(format, args...)) }

func (v *view) print(text string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, err := io.WriteString(v.w, text); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// line prints a value as one line of JSON.
func (v *view) line(value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("print json: %w", err)
	}
	return v.print(string(text) + "\n")
}
