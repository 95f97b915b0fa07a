package scrsim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"postident-bridge/internal/scr"
)

// pastUntil is when the histories of the tests end, a day before the clock's start.
var pastUntil = time.Date(2026, 3, 29, 6, 0, 0, 0, time.UTC)

// pastSim is a simulator with a history of its account, over a day in which the
// offset changes.
func pastSim(tb testing.TB, wire Wire, cases int) *Simulator {
	tb.Helper()
	sim, err := New(Config{Accounts: []Account{partnerAccount(wire)}, Start: pastUntil.AddDate(0, 0, 1)})
	if err != nil {
		tb.Fatal(err)
	}
	h := History{ClientID: "ACCT0001", Cases: cases, From: pastUntil.AddDate(0, 0, -1), Until: pastUntil}
	if err := sim.AddHistory(h); err != nil {
		tb.Fatal(err)
	}
	return sim
}

// What the API shows of a history is its truth, on every path.
func TestHistoryIsShownAsItIs(t *testing.T) {
	t.Parallel()
	for _, wire := range []Wire{{}, {StatusIdentifications: true}} {
		const cases = 50
		sim := pastSim(t, wire, cases)
		client := newAPI(t, sim)
		truth := sim.HistoryTruth()
		if len(truth) != cases || len(sim.Truth()) != 0 {
			t.Fatalf("%d changes, and %d beside them", len(truth), len(sim.Truth()))
		}
		for _, path := range []string{"", "/full", "/status", "/status/full"} {
			list := decode[[]json.RawMessage](t, client.get(path))
			if len(list) != cases {
				t.Fatalf("%s: %d cases", path, len(list))
			}
			for i, want := range truth {
				single := client.get("/" + want.CaseID + path).wants(http.StatusOK).body
				if !bytes.Equal(single, list[i]) {
					t.Errorf("%s: alone %s, in a list %s", path, single, list[i])
				}
				got, err := scr.ParseCase(single)
				if err != nil {
					t.Fatal(err)
				}
				checkShown(t, got, want)
				if status := strings.HasPrefix(path, "/status"); (got.ReferenceID == "") != status || got.Status.Archived {
					t.Errorf("%s: %+v", path, got)
				}
			}
		}
		for _, c := range sim.HistoryTruth() {
			if !c.Seen {
				t.Errorf("%s is not marked as seen", c.CaseID)
			}
		}
		if st := sim.Status(); st.Past != cases || st.PastSeen != cases || st.Cases != 0 {
			t.Errorf("status %+v", st)
		}
		for _, mark := range Canaries() {
			if bytes.Contains(client.get("/full").body, []byte(mark)) {
				t.Errorf("a history holds %q", mark)
			}
		}
	}
}

func TestHistoryIsNotElsewhere(t *testing.T) {
	t.Parallel()
	sim := newSim(t, Config{Accounts: []Account{testAccount("ACCT0001", scr.ClassGwG), testAccount("ACCT0002", scr.ClassTKG)}})
	until := sim.Now().Add(-time.Hour).Truncate(time.Second)
	for range 2 { // a second one has ids of its own
		if err := sim.AddHistory(History{ClientID: "ACCT0002", Cases: 40, From: until.Add(-time.Hour), Until: until}); err != nil {
			t.Fatal(err)
		}
	}
	ids := make(map[string]bool)
	for _, c := range sim.HistoryTruth() {
		ids[c.CaseID] = true
		if !caseIDPattern.MatchString(c.CaseID) {
			t.Errorf("case id %q", c.CaseID)
		}
		if _, err := sim.Create(NewCase{ClientID: "ACCT0001", CaseID: c.CaseID}); !errors.Is(err, ErrTaken) {
			t.Errorf("%s is not taken: %v", c.CaseID, err)
		}
	}
	if len(ids) != 80 {
		t.Errorf("%d ids of 80 cases", len(ids))
	}
	client := newAPI(t, sim)
	client.get("/H00000000000").wants(http.StatusNotFound)
	if got := listed(t, client.get("")); len(got) != 0 {
		t.Errorf("listed %v", got)
	}
	client.clientID = "ACCT0002"
	client.get("/H00000000000").wants(http.StatusOK)
	for _, id := range []string{"H00000000014", "H0000000000a", "H0000000-001", "H02000000000", "H000000000001"} {
		client.get("/" + id).wants(http.StatusNotFound)
	}
}

func TestHistoryIsArchivedAndDeleted(t *testing.T) {
	t.Parallel()
	sim := pastSim(t, Wire{}, 24) // one an hour
	client := newAPI(t, sim)
	ids := listed(t, client.get(""))
	patch := `["` + ids[3] + `","` + ids[5] + `"]`
	for _, want := range [][]string{{ids[3], ids[5]}, {}} {
		if d := cmp.Diff(want, listed(t, client.do(http.MethodPatch, "/archive", patch))); d != "" {
			t.Errorf("archived (-want +got):\n%s", d)
		}
	}
	if got, err := scr.ParseCase(client.get("/" + ids[3]).body); err != nil || !got.Status.Archived {
		t.Errorf("%+v, %v", got, err)
	}
	if d := cmp.Diff(slices.Concat(ids[:3], ids[4:5], ids[6:]), listed(t, client.get(""))); d != "" {
		t.Errorf("listed (-want +got):\n%s", d)
	}
	if d := cmp.Diff(ids, listed(t, client.get("?archived=true"))); d != "" {
		t.Errorf("listed (-want +got):\n%s", d)
	}
	sim.SetSkew(150*24*time.Hour - 42*time.Hour - 30*time.Minute) // case 6 is half an hour short of 150 days
	if d := cmp.Diff(ids[6:], listed(t, client.get("?archived=true"))); d != "" {
		t.Errorf("kept (-want +got):\n%s", d)
	}
	client.get("/" + ids[5]).wants(http.StatusNotFound)
	client.get("/" + ids[6]).wants(http.StatusOK)
	if got := listed(t, client.do(http.MethodPatch, "/archive", `["`+ids[0]+`"]`)); len(got) != 0 {
		t.Errorf("archived %v", got)
	}
}

// A list is found by its windows; one that looks at every case holds the same.
func TestHistoryWindows(t *testing.T) {
	t.Parallel()
	sims := make(map[Bounds]*Simulator)
	for _, bounds := range []Bounds{BoundsLower, BoundsBoth, BoundsNone} {
		sims[bounds] = pastSim(t, Wire{Bounds: bounds}, 5000)
		for i := range 5000 {
			if i%7 == 0 {
				sims[bounds].histories[0].archived.add(i)
			}
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		bound := func(label string) time.Time {
			if !rapid.Bool().Draw(t, label) {
				return time.Time{}
			}
			return pastUntil.Add(-time.Duration(rapid.IntRange(-100, 86_500).Draw(t, label+" at")) * time.Second)
		}
		bounds := rapid.SampledFrom([]Bounds{BoundsLower, BoundsBoth, BoundsNone}).Draw(t, "bounds")
		f := filter{
			closed: rapid.Bool().Draw(t, "closed"), archived: rapid.Bool().Draw(t, "archived"),
			created:  window{bound("created from"), bound("created until"), bounds},
			closedAt: window{bound("closed from"), bound("closed until"), bounds},
			limit:    rapid.IntRange(1, 1000).Draw(t, "limit"),
		}
		sim := sims[bounds]
		h := sim.histories[0]
		got, partial := sim.list(h.acct, f, time.Now())
		n := 0
		for i := range h.Cases {
			if !f.closed || h.archived.has(i) && !f.archived || !f.created.contains(h.created(i)) || !f.closedAt.contains(h.closed(i)) {
				continue
			}
			if n == f.limit {
				if !partial {
					t.Fatal("there are more, and the answer does not say so")
				}
				return
			}
			if n >= len(got) || got[n].past.index != i {
				t.Fatalf("case %d is not entry %d of %d", i, n, len(got))
			}
			n++
		}
		if n != len(got) || partial {
			t.Fatalf("%d cases, want %d; partial %t", len(got), n, partial)
		}
	})
}

// Cases that walk stand among those of a history, by creation.
func TestHistoryAmongOtherCases(t *testing.T) {
	t.Parallel()
	sim := newSim(t, Config{})
	sim.SetSkew(-90 * time.Minute)
	walking := create(t, sim, Step{Closes: true})
	walkToEnd(t, sim, walking)
	sim.SetSkew(0)
	until := sim.Now().Add(-time.Hour).Truncate(time.Second)
	if err := sim.AddHistory(History{ClientID: "ACCT0001", Cases: 1200, From: until.Add(-time.Hour), Until: until}); err != nil {
		t.Fatal(err)
	}
	client := newAPI(t, sim)
	a := client.get("")
	ids := listed(t, a)
	if at := slices.Index(ids, walking); len(ids) != 1000 || at < 590 || at > 610 || a.header.Get(headerPartial) != "true" {
		t.Errorf("%d cases, the one at %d", len(ids), at)
	}
}

func TestHistoryRefuses(t *testing.T) {
	t.Parallel()
	sim := newSim(t, Config{})
	until := sim.Now().Add(-time.Hour).Truncate(time.Second)
	for name, h := range map[string]History{
		"no account":      {ClientID: "NOBODY", Cases: 1, From: until.Add(-time.Hour), Until: until},
		"no cases":        {ClientID: "ACCT0001", From: until.Add(-time.Hour), Until: until},
		"no time":         {ClientID: "ACCT0001", Cases: 1, From: until, Until: until},
		"half a second":   {ClientID: "ACCT0001", Cases: 1, From: until.Add(-time.Hour), Until: until.Add(-time.Second / 2)},
		"not yet closed":  {ClientID: "ACCT0001", Cases: 1, From: until, Until: until.Add(time.Hour)},
		"too many by far": {ClientID: "ACCT0001", Cases: maxHistoryCases + 1, From: until.Add(-time.Hour), Until: until},
	} {
		if err := sim.AddHistory(h); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	body := fmt.Sprintf(`{"clientId":"ACCT0001","cases":3,"from":%q,"until":%q}`, until.Add(-time.Hour).Format(time.RFC3339), until.Format(time.RFC3339))
	ctl(t, sim, http.MethodPost, "/history", body).wants(http.StatusCreated)
	if got := listed(t, newAPI(t, sim).get("")); len(got) != 3 {
		t.Errorf("listed %v", got)
	}
}

// With Results the cases of a history are those of any other case: with results,
// records and canaries, the account's switches, and a truth.
func TestHistoryWithResults(t *testing.T) {
	t.Parallel()
	const cases = 40
	sim := newSim(t, Config{Accounts: []Account{partnerAccount(Wire{ContactDataResult: true, UnknownFields: 0.1})}, Start: pastUntil.AddDate(0, 0, 1)})
	before := create(t, sim, videoStarted)
	h := History{ClientID: "ACCT0001", Cases: cases, From: pastUntil.AddDate(0, 0, -1), Until: pastUntil, Results: true}
	if err := sim.AddHistory(h); err != nil {
		t.Fatal(err)
	}
	after := create(t, sim, videoStarted)
	if sim.cases[before].serial != 1 || sim.cases[after].serial != cases+2 {
		t.Errorf("cases have numbers %d and %d", sim.cases[before].serial, sim.cases[after].serial)
	}
	client := newAPI(t, sim)
	lists := make(map[string][]json.RawMessage)
	for _, path := range []string{"/full", "/status"} {
		lists[path] = decode[[]json.RawMessage](t, client.get(path))
	}
	var all []Record
	for i, want := range sim.HistoryTruth() {
		for path, list := range lists {
			single := client.get("/" + want.CaseID + path).wants(http.StatusOK).body
			if !bytes.Equal(single, list[i]) {
				t.Errorf("%s: alone %s, in a list %s", path, single, list[i])
			}
			got, err := scr.ParseCase(single)
			if err != nil {
				t.Fatal(err)
			}
			checkShown(t, got, want)
		}
		number := i + 2
		body := client.get("/" + want.CaseID + "?includeResultPdf=true&includeBinaryData=true").wants(http.StatusOK).body
		if !bytes.Contains(body, fmt.Appendf(nil, `"CANARY-lastname-%d"`, number)) {
			t.Errorf("case %d: %s", number, body)
		}
		truth, err := sim.Records(want.CaseID)
		if err != nil || len(truth) == 0 {
			t.Fatalf("records %v, %v", truth, err)
		}
		sent := recordsOf(t, body)
		for _, r := range truth {
			if got := sent[r.RecordID]; got.Data != nil {
				checkContent(t, *got.Data, r)
			} else if r.Given {
				t.Errorf("no content of %+v", r)
			}
		}
		all = append(all, truth...)
	}
	if diff := cmp.Diff(all, slices.Collect(sim.HistoryRecords())); diff != "" {
		t.Errorf("records (-each +all):\n%s", diff)
	}
	if diff := cmp.Diff(all, lines[Record](t, ctl(t, sim, http.MethodGet, "/history/records", ""))); diff != "" {
		t.Errorf("records (-each +control API):\n%s", diff)
	}
	if n := len(slices.Collect(sim.AllRecords())); n != 0 {
		t.Errorf("%d records of no history", n)
	}
	for _, c := range sim.HistoryTruth() {
		if !c.Seen {
			t.Errorf("%s is not marked as seen", c.CaseID)
		}
	}
}

// A million cases take next to no memory.
func TestHistoryTakesNoMemory(t *testing.T) { //nolint:paralleltest // measures the heap
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	sim := pastSim(t, Wire{}, 1_000_000)
	newAPI(t, sim).get("?createdFrom=" + pastUntil.Add(-time.Minute).Format(time.RFC3339)).wants(http.StatusOK)
	const most = 4 << 20
	if after := heap(); after > before+most {
		t.Errorf("%d bytes for a million cases", after-before)
	}
	h := History{ClientID: "ACCT0001", Cases: 1_000_000, From: pastUntil.AddDate(0, 0, -1), Until: pastUntil, Results: true}
	if err := sim.AddHistory(h); err != nil {
		t.Fatal(err)
	}
	newAPI(t, sim).get("?createdFrom=" + pastUntil.Add(-time.Minute).Format(time.RFC3339)).wants(http.StatusOK)
	if after := heap(); after > before+2*most {
		t.Errorf("%d bytes for two million cases, half of them with results", after-before)
	}
	runtime.KeepAlive(sim)
}

func BenchmarkListOfHistory(b *testing.B) {
	for _, cases := range []int{10_000, 1_000_000} {
		b.Run(fmt.Sprint(cases), func(b *testing.B) {
			sim := pastSim(b, Wire{}, cases)
			seconds := 86_400 * 1000 / cases // of a window that holds 1,000
			r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/api/scr/v1/ACCT0001/cases/full?createdFrom="+
				pastUntil.Add(-12*time.Hour).Format(time.RFC3339)+"&createdUntil="+
				pastUntil.Add(-12*time.Hour+time.Duration(seconds)*time.Second).Format(time.RFC3339), nil)
			r.SetBasicAuth("user", "pass")
			b.ReportAllocs()
			for b.Loop() {
				w := httptest.NewRecorder()
				sim.Handler().ServeHTTP(w, r)
				if w.Code != http.StatusOK || w.Body.Len() < 300_000 {
					b.Fatal(w.Code, w.Body.Len())
				}
			}
		})
	}
}
