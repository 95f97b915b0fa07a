package scr_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"postident-bridge/internal/scr"
)

// listed asks for a list and gives what each was told.
func listed(t *testing.T, c *scr.Client, f scr.Filter) ([]scr.Listed, scr.Page, error) {
	t.Helper()
	var all []scr.Listed
	page, err := c.Cases(t.Context(), f, func(l scr.Listed) { all = append(all, l) })
	return all, page, err
}

// idCase is a case of little more than its id.
func idCase(id string) string {
	return `{"caseId":"` + id + `","caseStatus":{"created":"2024-01-01T10:00:00Z"}}`
}

func TestCasesAskTheRightEndpoint(t *testing.T) {
	t.Parallel()
	from := time.Date(2026, 3, 1, 12, 0, 0, 1, time.FixedZone("CET", 3600))
	flags := map[string]string{"new": "false", "inProgress": "false", "closed": "false", "archived": "false"}
	with := func(more map[string]string) map[string]string {
		all := maps.Clone(flags)
		maps.Copy(all, more)
		return all
	}
	tests := map[string]struct {
		access scr.Access
		scope  scr.Scope
		filter scr.Filter
		path   string
		query  map[string]string
	}{
		"7.5.1, C14 all four flags":    {path: "/full", query: flags},
		"7.5.1 primary":                {scope: scr.ScopePrimary, path: "", query: flags},
		"9.3, C15 partner":             {access: scr.AccessPartner, path: "/status/full", query: flags},
		"7.5.2 partner, primary":       {access: scr.AccessPartner, scope: scr.ScopePrimary, path: "/status", query: flags},
		"each flag":                    {filter: scr.Filter{New: true, Closed: true}, path: "/full", query: with(map[string]string{"new": "true", "closed": "true"})},
		"the other flags":              {filter: scr.Filter{InProgress: true, Archived: true}, path: "/full", query: with(map[string]string{"inProgress": "true", "archived": "true"})},
		"7.5.2 maxResults":             {access: scr.AccessPartner, filter: scr.Filter{MaxResults: 7}, path: "/status/full", query: with(map[string]string{"maxResults": "7"})},
		"no maxResults on other lists": {filter: scr.Filter{MaxResults: 7}, path: "/full", query: flags},
		"C12 bounds in UTC, widened to whole seconds": {
			filter: scr.Filter{CreatedFrom: from, CreatedUntil: from, ClosedFrom: from.Add(time.Second), ClosedUntil: from.Add(-1)},
			path:   "/full",
			query: with(map[string]string{
				"createdFrom": "2026-03-01T11:00:00Z", "createdUntil": "2026-03-01T11:00:01Z",
				"closedFrom": "2026-03-01T11:00:01Z", "closedUntil": "2026-03-01T11:00:00Z",
			}),
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := testConfig(serve(t, func(w http.ResponseWriter, r *http.Request) {
				if got, want := r.URL.Path, "/api/scr/v1/1234ABCD/cases"+tt.path; got != want || r.Method != http.MethodGet {
					t.Errorf("%s %s, want %s", r.Method, got, want)
				}
				want := url.Values{}
				for name, value := range tt.query {
					want.Set(name, value)
				}
				if diff := cmp.Diff(want, r.URL.Query()); diff != "" {
					t.Errorf("query (-want +got):\n%s", diff)
				}
				if strings.Contains(r.URL.RawQuery, "+") {
					t.Errorf("a raw + in %s", r.URL.RawQuery)
				}
				encryptFor(t, w, r, []byte("[]"))
			}))
			cfg.Access, cfg.Scope = tt.access, tt.scope
			if _, _, err := listed(t, newClient(t, cfg), tt.filter); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestCasesTellEveryEntryInOrder(t *testing.T) {
	t.Parallel()
	sample := string(readFile(t, "case-video-success.json"))
	unreadable := func(id, reason string) scr.Listed {
		return scr.Listed{CaseID: id, Err: &scr.RejectedError{Reason: reason, Status: 200}}
	}
	tests := map[string]struct {
		body string
		want []scr.Listed // of good ones the CaseID alone
	}{
		"none":            {` [ ] `, nil},
		"one":             {"[" + sample + "]", []scr.Listed{{CaseID: sampleID}}},
		"order":           {"[" + idCase("B") + " ,\n" + idCase("A") + "," + idCase("B") + "]", []scr.Listed{{CaseID: "B"}, {CaseID: "A"}, {CaseID: "B"}}},
		"odd but good":    {`[{"caseI\u0064":"A","caseStatus":{"created":"2024-01-01T10:00:00Z"}},` + idCase("B") + "]", []scr.Listed{{CaseID: "A"}, {CaseID: "B"}}},
		"without created": {`[{"caseId":"A"},` + idCase("B") + "]", []scr.Listed{unreadable("A", scr.RejectedCase), {CaseID: "B"}}},
		"without id":      {`[{"caseId":"CANARY x"},` + idCase("B") + "]", []scr.Listed{unreadable("", scr.RejectedCase), {CaseID: "B"}}},
		"a time that is none": {
			`[{"caseId":"A","caseStatus":{"created":"CANARY"}},` + idCase("B") + "]",
			[]scr.Listed{unreadable("A", scr.RejectedJSON), {CaseID: "B"}},
		},
		"of another shape": {
			`[{"caseId":"A","caseStatus":["CANARY"]},` + idCase("B") + "]",
			[]scr.Listed{unreadable("A", scr.RejectedJSON), {CaseID: "B"}},
		},
		"a name twice":  {`[{"a":1,"a":2,"caseId":"A"},` + idCase("B") + "]", []scr.Listed{unreadable("", scr.RejectedJSON), {CaseID: "B"}}},
		"no JSON in it": {`[{"caseId":"A","CANARY":tru},` + idCase("B") + "]", []scr.Listed{unreadable("", scr.RejectedJSON), {CaseID: "B"}}},
		"no cases": {
			`[null,1,"CANARY",[{}],` + idCase("B") + "]",
			[]scr.Listed{unreadable("", scr.RejectedJSON), unreadable("", scr.RejectedJSON), unreadable("", scr.RejectedJSON), unreadable("", scr.RejectedJSON), {CaseID: "B"}},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := testConfig(serve(t, func(w http.ResponseWriter, r *http.Request) { encryptFor(t, w, r, []byte(tt.body)) }))
			got, page, err := listed(t, newClient(t, cfg), scr.Filter{})
			if err != nil {
				t.Fatal(err)
			}
			if page.Entries != len(tt.want) || len(got) != len(tt.want) {
				t.Fatalf("%d told, %d entries, want %d", len(got), page.Entries, len(tt.want))
			}
			for i, l := range got {
				checkListed(t, l)
				var was, wanted *scr.RejectedError
				errors.As(l.Err, &was)
				errors.As(tt.want[i].Err, &wanted)
				if l.CaseID != tt.want[i].CaseID || (was == nil) != (wanted == nil) || was != nil && was.Reason != wanted.Reason {
					t.Errorf("entry %d: %q, %v, want %q, %v", i, l.CaseID, l.Err, tt.want[i].CaseID, tt.want[i].Err)
				}
			}
		})
	}
}

// checkListed holds an entry against what Listed promises.
func checkListed(t *testing.T, l scr.Listed) {
	t.Helper()
	if l.Err == nil {
		checkCase(t, l.Case)
		if l.CaseID != l.Case.CaseID {
			t.Errorf("case %q listed as %q", l.Case.CaseID, l.CaseID)
		}
		return
	}
	var rejected *scr.RejectedError
	if !errors.As(l.Err, &rejected) || rejected.Status != 200 || l.Case.CaseID != "" || l.CaseID != "" && !scr.ValidCaseID(l.CaseID) {
		t.Errorf("entry %+v", l)
	}
	if strings.Contains(fmt.Sprintf("%v %+v", l.Err, l), "CANARY") {
		t.Errorf("content in %+v", l)
	}
}

func TestCasesRejectWhatIsNoList(t *testing.T) {
	t.Parallel()
	whole := "[" + idCase("A") + "," + idCase("B") + "]"
	sealed := func(plain string) string {
		return string(encrypt(t, scr.PublicOf(sharedKey()), jose.RSA_OAEP_256, jose.A256GCM, noZip, []byte(plain)))
	}
	foreign := string(encrypt(t, scr.PublicOf(otherKey()), jose.RSA_OAEP_256, jose.A256GCM, noZip, []byte(whole)))
	tests := map[string]struct {
		optional bool
		limit    int64
		body     string
		reason   string
		told     int
	}{
		"a case":                    {body: sealed(idCase("A")), reason: scr.RejectedJSON},
		"null":                      {body: sealed("null"), reason: scr.RejectedJSON},
		"nothing":                   {body: "", reason: scr.RejectedJSON},
		"cut after an entry":        {body: sealed(whole[:strings.Index(whole, `,{"caseId":"B`)]), reason: scr.RejectedJSON, told: 1},
		"cut after a comma":         {body: sealed("[" + idCase("A") + ","), reason: scr.RejectedJSON, told: 1},
		"cut within an entry":       {body: sealed(whole[:len(whole)-9]), reason: scr.RejectedJSON, told: 1},
		"cut before the end":        {body: sealed(whole[:len(whole)-1]), reason: scr.RejectedJSON, told: 2},
		"a comma too many":          {body: sealed("[" + idCase("A") + ",]"), reason: scr.RejectedJSON, told: 1},
		"a comma too few":           {body: sealed("[" + idCase("A") + idCase("B") + "]"), reason: scr.RejectedJSON, told: 1},
		"two lists":                 {body: sealed(whole + whole), reason: scr.RejectedJSON, told: 2},
		"§8 plain JSON":             {body: whole, reason: scr.RejectedPlain},
		"§8 wrong key":              {body: foreign, reason: scr.RejectedDecrypt},
		"§8 truncated":              {body: sealed(whole)[:200], reason: scr.RejectedDecrypt},
		"plain, optional, and cut":  {optional: true, body: whole[:len(whole)-9], reason: scr.RejectedJSON, told: 1},
		"over the limit":            {limit: 500, body: sealed(whole), reason: scr.RejectedTooLarge},
		"over the limit, decrypted": {limit: 1000, body: sealed("[" + strings.Repeat(" ", 900) + "]"), reason: scr.RejectedTooLarge},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := testConfig(serve(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, tt.body) }))
			cfg.MaxListBytes = tt.limit
			if tt.optional {
				cfg.Encryption = scr.EncryptionOptional
			}
			got, page, err := listed(t, newClient(t, cfg), scr.Filter{})
			wantRejected(t, err, tt.reason)
			if len(got) != tt.told || page.Entries != tt.told {
				t.Errorf("%d told, %d entries, want %d", len(got), page.Entries, tt.told)
			}
		})
	}
}

func TestCasesMapStatuses(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for status, want := range map[int]error{
		401: &scr.UnauthorisedError{Status: 401},
		403: &scr.UnauthorisedError{Status: 403},
		404: &scr.RejectedError{Reason: scr.RejectedStatus, Status: 404}, // a list has no case to miss
		400: &scr.RejectedError{Reason: scr.RejectedStatus, Status: 400},
		429: &scr.UnavailableError{Status: 429, RetryAfter: 2 * time.Minute},
		503: &scr.UnavailableError{Status: 503, RetryAfter: 2 * time.Minute},
	} {
		cfg := testConfig(serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "120")
			w.WriteHeader(status)
		}))
		cfg.Now = func() time.Time { return now }
		got, page, err := listed(t, newClient(t, cfg), scr.Filter{})
		if !cmp.Equal(err, want) || got != nil || page.Entries != 0 || !page.Sent.Equal(now) {
			t.Errorf("%d: got %v, %+v, want %v", status, err, page, want)
		}
		_, err = newClient(t, cfg).Archive(t.Context(), []string{"A"})
		if !cmp.Equal(err, want) {
			t.Errorf("archive, %d: got %v, want %v", status, err, want)
		}
	}
}

func TestCasesPartial(t *testing.T) {
	t.Parallel()
	list := func(n int) string {
		return "[" + strings.Join(slices.Repeat([]string{idCase("A")}, n), ",") + "]"
	}
	tests := map[string]struct {
		access  scr.Access
		header  string
		entries int
		max     int
		want    bool
	}{
		"7.5.1 header":                     {header: "true", entries: 3, want: true},
		"header in other letters":          {header: "TRUE", entries: 3, want: true},
		"header that says no":              {header: "false", entries: 3},
		"none":                             {entries: 999},
		"none, and 1,000":                  {entries: 1000, want: true},
		"7.5.2 none, and maxResults":       {access: scr.AccessPartner, entries: 5, max: 5, want: true},
		"7.5.2 none, and fewer":            {access: scr.AccessPartner, entries: 4, max: 5},
		"maxResults that was not sent off": {entries: 5, max: 5},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body := list(tt.entries)
			cfg := testConfig(serve(t, func(w http.ResponseWriter, _ *http.Request) {
				if tt.header != "" {
					w.Header().Set("X-PARTIAL-DELIVERY", tt.header)
				}
				io.WriteString(w, body)
			}))
			cfg.Access, cfg.Encryption = tt.access, scr.EncryptionOptional
			_, page, err := listed(t, newClient(t, cfg), scr.Filter{MaxResults: tt.max})
			if err != nil || page.Partial != tt.want || page.Entries != tt.entries || page.Bytes != len(body) {
				t.Errorf("got %+v, %v, want partial %t of %d in %d bytes", page, err, tt.want, tt.entries, len(body))
			}
		})
	}
}

func TestCasesMeasureTheServersClock(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for date, want := range map[string]time.Duration{
		"Sun, 01 Mar 2026 12:00:31 GMT": 30 * time.Second, // the middle is 12:00:01
		"Sun, 01 Mar 2026 11:59:01 GMT": -time.Minute,
		"soon":                          0,
	} {
		var asked int
		cfg := testConfig(serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", date)
			io.WriteString(w, "[]")
		}))
		cfg.Encryption = scr.EncryptionOptional
		// The clock is asked once for the lock, at the sending, at the answer.
		cfg.Now = func() time.Time {
			asked++
			return now.Add([]time.Duration{0, 0, 2 * time.Second, 3 * time.Second}[min(asked, 4)-1])
		}
		_, page, err := listed(t, newClient(t, cfg), scr.Filter{})
		if err != nil || page.Skew != want || !page.Sent.Equal(now) {
			t.Errorf("%s: got %+v, %v, want %v", date, page, err, want)
		}
	}
}

func TestCasesTimeoutIsTheListsOwn(t *testing.T) {
	t.Parallel()
	cfg := testConfig(serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	cfg.ListTimeout = 50 * time.Millisecond
	client := newClient(t, cfg)
	_, _, err := listed(t, client, scr.Filter{})
	var unavailable *scr.UnavailableError
	if !errors.As(err, &unavailable) || !strings.Contains(err.Error(), "no answer in time") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = client.Cases(ctx, scr.Filter{}, nil)
	wantCallersEnd(t, err, context.Canceled)
}

func TestDesign8APIUnknownFieldsOfAListAreCountedOnce(t *testing.T) {
	t.Parallel()
	body := "[" + strings.Join([]string{
		caseWith(`"a":1,"identifications":[{"b":1},{"b":2}]`),
		caseWith(`"a":2`),
		caseWith(`"\u0061":3,"c":1`),                         // by the decoder
		`{"ofNoCase":1}`, `{"caseId":"A","of\u004eoCase":1}`, // no case, no fields
		caseWith(`"ofNoCase2":1,"caseStatus":1`),
	}, ",") + "]"
	client, reader := unknownReader(t, func() string { return body })
	for range 2 {
		if _, _, err := listed(t, client, scr.Filter{}); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(map[string]int64{"a": 2, "identifications.b": 2, "c": 2}, unknownPoints(t, reader)); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
}

func TestCasesTelemetry(t *testing.T) {
	t.Parallel()
	const template = "/api/scr/v1/{clientId}/cases/full"
	cfg := testConfig(serve(t, func(w http.ResponseWriter, r *http.Request) { encryptFor(t, w, r, []byte(`{"a":1}`)) }))
	reader, recorder := instrument(&cfg)
	if _, _, err := listed(t, newClient(t, cfg), scr.Filter{}); err == nil {
		t.Fatal("read")
	}
	span := recorder.Ended()[0]
	if span.Name() != "GET "+template {
		t.Errorf("span %q", span.Name())
	}
	wantAttrs(t, "span", attribute.NewSet(span.Attributes()...), map[attribute.Key]string{
		"http.request.method": "GET", "url.template": template, "http.response.status_code": "200", "error.type": scr.RejectedJSON,
	})
	data, ok := histogram(t, reader).Data.(metricdata.Histogram[float64])
	if !ok {
		t.Fatal("no histogram")
	}
	wantAttrs(t, "metric", data.DataPoints[0].Attributes, map[attribute.Key]string{
		"http.request.method": "GET", "url.template": template, "http.response.status_code": "200", "error.type": "",
	})
}

// bodyOf is a transport that answers everything with itself.
type bodyOf []byte

func (b bodyOf) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{}, Request: r,
		Body: io.NopCloser(bytes.NewReader(b)), ContentLength: int64(len(b)),
	}, nil
}

// An answer of 1,000 full cases passes under the limits that hold by default, and
// costs no memory of its size once there is a buffer for it.
func TestCasesOfAFullListReuseTheirBuffer(t *testing.T) { //nolint:paralleltest // measures allocations
	body := fullList(t)
	cfg := testConfig("https://postident.example")
	cfg.Encryption, cfg.Transport = scr.EncryptionOptional, bodyOf(body)
	client := newClient(t, cfg)
	least := uint64(math.MaxUint64)
	for range 10 { // the garbage collector may take the buffer now and then
		n := 0
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := client.Cases(t.Context(), scr.Filter{}, func(l scr.Listed) {
			if want := fmt.Sprintf("CASE%08d", n); l.CaseID != want || len(l.Case.Identifications) != 1 || len(l.Case.Identifications[0].Records) != 5 {
				t.Errorf("entry %d: %+v", n, l)
			}
			n++
		})
		runtime.ReadMemStats(&after)
		if err != nil || n != 1000 {
			t.Fatalf("%d entries, %v", n, err)
		}
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	if most := uint64(len(body)); least > most {
		t.Errorf("a list of %d bytes takes %d bytes anew", most, least)
	}
}

// The entries of a list show as little as single cases do.
func TestListErrorsHoldNoContent(t *testing.T) {
	t.Parallel()
	sample := readFile(t, "case-video-success.json")
	var root any
	if err := json.Unmarshal(sample, &root); err != nil {
		t.Fatal(err)
	}
	refused := 0
	plant(root, func(path string, whole any) {
		body, err := json.Marshal([]any{whole})
		if err != nil {
			t.Fatal(err)
		}
		_, unknown, err := scr.ParseList(body, func(l scr.Listed) {
			if l.Err != nil {
				refused++
			}
			assertNoCanary(t, path, l.Err)
			if l.Err != nil && !scr.ValidCaseID(l.CaseID) && l.CaseID != "" {
				t.Errorf("%s: listed as %q", path, l.CaseID)
			}
		})
		assertNoCanary(t, path, err)
		if text := fmt.Sprint(unknown); strings.Contains(text, canary) {
			t.Errorf("%s: unknown %s", path, text)
		}
	})
	if refused < 50 {
		t.Errorf("only %d entries were refused: the test does not reach the errors", refused)
	}
	list := append(append([]byte{'['}, sample...), ']')
	for n := 0; n < len(list); n += 11 {
		_, _, err := scr.ParseList(list[:n], func(scr.Listed) { t.Errorf("cut at %d: told", n) })
		if err == nil {
			t.Errorf("cut at %d: accepted", n)
		}
		assertNoCanary(t, fmt.Sprintf("cut at %d", n), err)
		_, _, err = scr.ParseList(append(append([]byte{}, list[:n]...), "x"+canary+string(list[n:])...), func(l scr.Listed) {
			assertNoCanary(t, fmt.Sprintf("garbage at %d", n), l.Err)
		})
		assertNoCanary(t, fmt.Sprintf("garbage at %d", n), err)
	}
}
