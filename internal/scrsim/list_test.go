package scrsim

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// listed is the ids of a list answer.
func listed(t *testing.T, a answer) []string {
	t.Helper()
	ids := []string{}
	for _, c := range decode[[]struct {
		CaseID string `json:"caseId"`
	}](t, a) {
		ids = append(ids, c.CaseID)
	}
	return ids
}

// Guide 7.5.1, facts C13, C14: each filter and its default, on all four lists.
func TestListFiltersAndDefaults(t *testing.T) {
	t.Parallel()
	sim := newSim(t, Config{})
	client := newAPI(t, sim)
	isNew := create(t, sim, videoStarted)
	open := create(t, sim, videoStarted, videoSuccess)
	advance(t, sim, open)
	closed := create(t, sim, videoStarted, videoSuccess)
	walkToEnd(t, sim, closed)
	archived := create(t, sim, videoStarted, videoSuccess)
	walkToEnd(t, sim, archived)
	client.do(http.MethodPatch, "/archive", `["`+archived+`"]`).wants(200)
	for query, want := range map[string][]string{
		"":                              {closed},
		"?closed=false":                 {},
		"?new=true":                     {isNew, closed},
		"?inProgress=true&closed=false": {open},
		"?archived=true":                {closed, archived},
		"?new=true&inProgress=true":     {isNew, open, closed},
		"?new=true&inProgress=true&archived=true":                 {isNew, open, closed, archived},
		"?inProgress=true&closedFrom=2000-01-01T00:00:00%2B01:00": {closed},
	} {
		for _, path := range []string{"", "/", "/full", "/full/", "/status", "/status/", "/status/full", "/status/full/"} {
			if d := cmp.Diff(want, listed(t, client.get(path+query))); d != "" {
				t.Errorf("%s%s (-want +got):\n%s", path, query, d)
			}
		}
	}
	for _, query := range []string{"?new=yes", "?createdFrom=yesterday", "?closedUntil=2016-13-01T00:00:00Z"} {
		client.get(query).wants(http.StatusBadRequest)
	}
	client.get("/status?maxResults=0").wants(http.StatusBadRequest)
	client.get("/status?maxResults=many").wants(http.StatusBadRequest)
	client.get("?maxResults=many").wants(http.StatusOK) // status lists only (7.5.2)
}

// Guide 7.5.1, facts C12, 8.4: windows over created and closed, their bounds as
// the account is set, a raw + lenient or not.
func TestListWindows(t *testing.T) {
	t.Parallel()
	for bounds, want := range map[Bounds]string{BoundsLower: "ab", BoundsBoth: "abc", BoundsNone: "b"} {
		t.Run(string(bounds), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				acct := partnerAccount(Wire{Bounds: bounds})
				start := time.Date(2016, time.December, 26, 22, 0, 0, 0, time.UTC)
				sim := newSim(t, Config{Accounts: []Account{acct}, Start: start})
				client := newAPI(t, sim)
				names := make(map[string]string)
				for _, name := range []string{"a", "b", "c"} {
					id := create(t, sim, videoStarted, Step{Closes: true})
					names[id] = name
					elapse(10 * time.Second)
				}
				for id := range names {
					walkToEnd(t, sim, id) // closed after the window over created
				}
				for _, zone := range []*time.Location{time.UTC, winterTime, summerTime} {
					from, until := start.In(zone).Format(wireTime), start.Add(20*time.Second).In(zone).Format(wireTime)
					query := "?createdFrom=" + url.QueryEscape(from) + "&createdUntil=" + url.QueryEscape(until)
					got := ""
					for _, id := range listed(t, client.get(query)) {
						got += names[id]
					}
					if got != want {
						t.Errorf("%s to %s: got %q, want %q", from, until, got, want)
					}
				}
				closedFrom := "?closedFrom=" + url.QueryEscape(start.Add(21*time.Second).Format(wireTime))
				if got := listed(t, client.get(closedFrom)); len(got) != 3 {
					t.Errorf("closed: got %d, want 3", len(got))
				}
				closedUntil := "?closedUntil=" + url.QueryEscape(start.Add(21*time.Second).Format(wireTime))
				if got := listed(t, client.get(closedUntil)); len(got) != 0 {
					t.Errorf("closed before: got %d, want 0", len(got))
				}
			})
		})
	}
	for strict, want := range map[bool]int{false: http.StatusOK, true: http.StatusBadRequest} {
		client := newAPI(t, newSim(t, Config{Accounts: []Account{partnerAccount(Wire{StrictPlus: strict})}}))
		client.get("?closedFrom=2016-12-27T00:00:00+02:00").wants(want)
		client.get("?closedFrom=2016-12-27T00:00:00%2B02:00").wants(http.StatusOK)
	}
}

// Guide 7.5.1: at most 1,000 cases, the header where there are more, and the
// next ones after archiving.
func TestListLimitAndPartialDelivery(t *testing.T) {
	t.Parallel()
	sim := newSim(t, Config{})
	client := newAPI(t, sim)
	var ids []string
	for range 1001 {
		id := create(t, sim, Step{Closes: true})
		ids = append(ids, id)
		walkToEnd(t, sim, id)
	}
	for _, path := range []string{"", "/full", "/status", "/status/full"} {
		a := client.get(path)
		if got := listed(t, a); !slices.Equal(got, ids[:1000]) {
			t.Fatalf("%s: %d cases", path, len(got))
		}
		if a.header.Get("X-PARTIAL-DELIVERY") != "true" {
			t.Errorf("%s: no X-PARTIAL-DELIVERY", path)
		}
	}
	if a := client.get("/status?maxResults=7"); len(listed(t, a)) != 7 || a.header.Get("X-PARTIAL-DELIVERY") != "true" {
		t.Error("maxResults")
	}
	if got := len(listed(t, client.get("/status?maxResults=5000"))); got != 1000 {
		t.Errorf("maxResults over the limit: %d cases", got)
	}
	client.do(http.MethodPatch, "/archive", string(mustJSON(t, ids[:1]))).wants(200)
	a := client.get("")
	if got := listed(t, a); !slices.Equal(got, ids[1:]) || a.header.Get("X-PARTIAL-DELIVERY") != "" {
		t.Errorf("after archiving: %d cases, partial %q", len(got), a.header.Get("X-PARTIAL-DELIVERY"))
	}
}

// Guide 7.6: closed cases only, those marked are answered, more than 10,000 are
// a bad request.
func TestArchive(t *testing.T) {
	t.Parallel()
	for _, modifies := range []bool{false, true} {
		t.Run(fmt.Sprintf("modifies %v", modifies), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				sim := newSim(t, Config{Accounts: []Account{partnerAccount(Wire{ArchiveModifies: modifies})}})
				client := newAPI(t, sim)
				closed, open := create(t, sim, Step{Closes: true}), create(t, sim, videoStarted)
				walkToEnd(t, sim, closed)
				modified := sim.cases[closed].modified
				elapse(time.Minute)
				patch := func() []struct {
					CaseID     string         `json:"caseId"`
					CaseStatus map[string]any `json:"caseStatus"`
				} {
					return decode[[]struct {
						CaseID     string         `json:"caseId"`
						CaseStatus map[string]any `json:"caseStatus"`
					}](t, client.do(http.MethodPatch, "/archive/", string(mustJSON(t, []string{closed, open, "NOSUCHCASE00"}))))
				}
				got := patch()
				if len(got) != 1 || got[0].CaseID != closed || got[0].CaseStatus["archived"] != true || got[0].CaseStatus["status"] != "closed" {
					t.Errorf("got %+v", got)
				}
				if touched := !sim.cases[closed].modified.Equal(modified); touched != modifies {
					t.Errorf("modified touched: %v", touched)
				}
				if again := patch(); len(again) != 0 {
					t.Errorf("marked twice: %+v", again)
				}
				if n := len(sim.Truth()); n != 1 {
					t.Errorf("archiving is no status change, but there are %d", n)
				}
			})
		})
	}
	client := newAPI(t, newSim(t, Config{}))
	ids := slices.Repeat([]string{"NOSUCHCASE00"}, 10_001)
	client.do(http.MethodPatch, "/archive", string(mustJSON(t, ids))).wants(http.StatusBadRequest)
	client.do(http.MethodPatch, "/archive", string(mustJSON(t, ids[1:]))).wants(http.StatusOK)
	for _, bad := range []string{`{}`, `"A"`, `null`, `[1]`, `A,B`} {
		client.do(http.MethodPatch, "/archive", bad).wants(http.StatusBadRequest)
	}
	client.header.Set("Content-Type", "text/plain")
	client.do(http.MethodPatch, "/archive", `[]`).wants(http.StatusUnsupportedMediaType)
}

// Cases of another account are not there.
func TestAccountsAreApart(t *testing.T) {
	t.Parallel()
	sim := newSim(t, Config{Accounts: []Account{testAccount("ACCT0001", "gwg"), testAccount("ACCT0002", "tkg")}})
	id := createIn(t, sim, "ACCT0002", videoStarted, videoSuccess)
	walkToEnd(t, sim, id)
	client := newAPI(t, sim)
	client.get("/" + id).wants(http.StatusNotFound)
	if got := listed(t, client.get("?archived=true")); len(got) != 0 {
		t.Errorf("listed %v", got)
	}
	if got := client.do(http.MethodPatch, "/archive", `["`+id+`"]`).wants(200); string(got.body) != "[]" {
		t.Errorf("archived %s", got.body)
	}
	client.clientID = "ACCT0002"
	client.get("/" + id).wants(http.StatusOK)
}

func FuzzListQuery(f *testing.F) {
	f.Add("createdFrom=2016-12-26T00:00:00+02:00&maxResults=100")
	f.Add("new=true&inProgress=true&closed=false&archived=true&closedUntil=2016-12-26")
	f.Fuzz(func(t *testing.T, query string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.URL.RawQuery = query
		got, err := parseFilter(r, true, Wire{Bounds: BoundsLower}, 1000)
		if err == nil && (got.limit < 1 || got.limit > 1000) {
			t.Errorf("limit %d", got.limit)
		}
	})
}
