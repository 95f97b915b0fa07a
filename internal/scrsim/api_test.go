package scrsim

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postident-bridge/internal/scr"
)

// Guide 7.7: wrong or missing credentials, and a clientId that is not known, are
// all the same 401.
func TestAuthentication(t *testing.T) {
	t.Parallel()
	sim := newSim(t, Config{Accounts: []Account{
		testAccount("ACCT0001", scr.ClassGwG),
		{ClientID: "ACCT0002", Class: scr.ClassTKG, Credentials: []Credential{{Username: "other", Password: "word"}}},
	}})
	for _, tt := range []struct{ name, clientID, username, password string }{
		{"wrong password", "ACCT0001", "user", "wrong"},
		{"wrong user", "ACCT0001", "wrong", "pass"},
		{"credentials of another account", "ACCT0001", "other", "word"},
		{"unknown clientId", "ACCT0009", "user", "pass"},
		{"clientId is case sensitive", "acct0001", "user", "pass"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			client := newAPI(t, sim)
			client.clientID, client.username, client.password = tt.clientID, tt.username, tt.password
			a := client.get("").wants(http.StatusUnauthorized)
			if a.header.Get("WWW-Authenticate") == "" {
				t.Error("no WWW-Authenticate")
			}
		})
	}
	t.Run("no credentials", func(t *testing.T) {
		t.Parallel()
		w := httptest.NewRecorder()
		sim.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/scr/v1/ACCT0001/cases", nil))
		if w.Code != http.StatusUnauthorized {
			t.Errorf("status %d", w.Code)
		}
	})
	newAPI(t, sim).get("").wants(http.StatusOK)
}

func partnerAccount(wire Wire) Account {
	a := testAccount("ACCT0001", scr.ClassGwG)
	a.Credentials = append(a.Credentials, Credential{Username: "partner", Password: "pass", Access: AccessPartner})
	a.Wire = wire
	return a
}

// Guide 9: a partner starts cases and reads status, never results; facts C15 is
// a switch.
func TestPartnerAccess(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		wire Wire
		want map[string]int
	}{
		{"by default", Wire{}, map[string]int{
			"/ID": 403, "/ID/full": 403, "/ID/status": 200, "/ID/status/full": 200,
			"": 403, "/full": 403, "/status": 200, "/status/full": 200,
		}},
		{"C15: 401", Wire{PartnerRefusal: 401}, map[string]int{"/ID": 401, "/full": 401}},
		{"C15: status data on /cases/full", Wire{PartnerFullList: true}, map[string]int{"/full": 200, "": 403, "/ID/full": 403}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			sim := newSim(t, Config{Accounts: []Account{partnerAccount(tt.wire)}})
			id := create(t, sim, videoStarted, videoSuccess)
			walkToEnd(t, sim, id)
			client := newAPI(t, sim)
			client.username = "partner"
			for path, want := range tt.want {
				a := client.get(strings.ReplaceAll(path, "ID", id)).wants(want)
				if strings.Contains(string(a.body), "contactData") {
					t.Errorf("%s shows results", path)
				}
			}
			client.do(http.MethodPatch, "/archive", `["`+id+`"]`).wants(sim.cfg.Accounts[0].Wire.PartnerRefusal)
			client.do(http.MethodPost, "", `{}`).wants(http.StatusCreated)
		})
	}
}

// Guide 7.4.2, facts C2: what the four ways to read a case show.
func TestSingleReads(t *testing.T) {
	t.Parallel()
	sim := newSim(t, Config{})
	client := newAPI(t, sim)
	id := create(
		t, sim, Step{Method: scr.MethodEID, Status: scr.StatusStarted},
		Step{Method: scr.MethodEID, Status: scr.StatusIncomplete, SubStatus: new(97), Reason: new(975)},
		videoStarted, videoReview, videoSuccess,
	)
	none := decode[map[string]any](t, client.get("/"+id+"/full"))
	if _, ok := none["identifications"]; ok {
		t.Error("a case without an attempt has identifications")
	}
	walkToEnd(t, sim, id)
	for path, want := range map[string][]string{
		"":             {"accountingData", "caseId", "caseStatus", "contactData", "orderData", "primaryIdent"},
		"/full":        {"accountingData", "caseId", "caseStatus", "contactData", "identifications", "orderData"},
		"/status":      {"accountingData", "caseId", "caseStatus", "orderData", "primaryIdent"},
		"/status/full": {"accountingData", "caseId", "caseStatus", "identifications", "orderData"},
	} {
		c := decode[map[string]json.RawMessage](t, client.get("/"+id+path))
		if len(c) != len(want) {
			t.Errorf("%q: got %d fields, want %v", path, len(c), want)
		}
		for _, field := range want {
			if _, ok := c[field]; !ok {
				t.Errorf("%q: no %s", path, field)
			}
		}
		parsed, err := scr.ParseCase(mustJSON(t, c))
		if err != nil {
			t.Fatal(err)
		}
		if n := len(parsed.Identifications); n != map[bool]int{true: 2, false: 1}[strings.HasSuffix(path, "/full")] {
			t.Errorf("%q: %d identifications", path, n)
		}
		if strings.HasPrefix(path, "/status") && string(c["orderData"]) != `{"customData":{"custom1":"CANARY-custom1-1","custom2":"CANARY-custom2-1"}}` {
			t.Errorf("%q: orderData %s", path, c["orderData"])
		}
	}
	for path := range map[string]bool{"/NOSUCHCASE00": true, "/NOSUCHCASE00/status/full/": true} {
		client.get(path).wants(http.StatusNotFound)
	}
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Facts C1, C2, C4: the switches of the wire format. Each is still a case that
// the client reads.
func TestWireSwitches(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, path, want string
		wire             Wire
	}{
		{"C1: contactDataResult", "", `"contactDataResult":{`, Wire{ContactDataResult: true}},
		{"C2: identifications in a status answer", "/status", `"identifications":[{`, Wire{StatusIdentifications: true}},
		{"C4: empty title", "", `"title":{}`, Wire{LegacyEmpty: true}},
		{"C4: empty epost", "", `"epost":{}`, Wire{LegacyEmpty: true}},
		{"C4: empty placeOfIssue", "", `"placeOfIssue":{"status":"new","value":""}`, Wire{LegacyEmpty: true}},
		{"C4: no method's data but video's", "", `"additionalDataEid":{}`, Wire{LegacyEmpty: true}},
		{"C2: primaryIdentification", "", `"primaryIdentification":{`, Wire{PrimaryIdentification: true}},
		{"C2: primaryIdentification in a status answer", "/status", `"primaryIdentification":{`, Wire{PrimaryIdentification: true}},
		{"C3: the document beside its identification", "", `"contactData":{"address"`, Wire{DocumentBeside: true}},
		{"C20: the name of the changelog", "", `"identificationServiceCenterVideo":"`, Wire{ServiceCenterVideo: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			sim := newSim(t, Config{Accounts: []Account{partnerAccount(tt.wire)}})
			create(t, sim, videoStarted) // so that the next has number 2 and no passport
			create(t, sim, videoStarted)
			id := create(t, sim, videoStarted, videoSuccess)
			walkToEnd(t, sim, id)
			a := newAPI(t, sim).get("/" + id + tt.path)
			if !strings.Contains(string(a.body), tt.want) {
				t.Errorf("no %s in %s", tt.want, a.body)
			}
			if c, err := scr.ParseCase(a.body); err != nil || len(c.Identifications) != 1 || !c.Identifications[0].Primary {
				t.Errorf("got %+v, %v", c, err)
			}
		})
	}
	sim := newSim(t, Config{Accounts: []Account{partnerAccount(Wire{LegacyEmpty: true})}})
	a := newAPI(t, sim).get("/" + create(t, sim, videoStarted) + "/full").wants(200)
	if !strings.Contains(string(a.body), `"identifications":null`) {
		t.Errorf("C4: got %s", a.body)
	}
}

// Guide 7.4.1: content comes only where it is asked for and the class allows it.
func TestBinaryData(t *testing.T) {
	t.Parallel()
	for class, want := range map[scr.RegulatoryClass][]string{
		scr.ClassGwG:   {"result", "userface", "idfrontside", "idbackside", "idsignature"},
		scr.ClassTKG:   {"result", "idfrontside", "idbackside", "idsignature"},
		scr.ClassEIDAS: {"result"},
	} {
		t.Run(string(class), func(t *testing.T) {
			t.Parallel()
			sim := newSim(t, Config{Accounts: []Account{testAccount("ACCT0001", class)}})
			client := newAPI(t, sim)
			id := create(t, sim, videoStarted, videoSuccess)
			walkToEnd(t, sim, id)
			plain := client.get("/" + id).wants(200)
			if s := string(plain.body); strings.Contains(s, "documentData") || strings.Contains(s, `"result"`) {
				t.Errorf("unasked content or PDF: %s", s)
			}
			got := make(map[string]bool)
			collectContent(decode[map[string]any](t, client.get("/"+id+"?includeResultPdf=true&includeBinaryData=true")), got)
			if len(got) != len(want) {
				t.Errorf("content of %v, want %v", got, want)
			}
			for _, kind := range want {
				if !got[kind] {
					t.Errorf("no content of %s", kind)
				}
			}
			client.get("/" + id + "?includeBinaryData=perhaps").wants(http.StatusBadRequest)
		})
	}
}

func collectContent(v any, kinds map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		if _, ok := v["documentData"]; ok {
			kinds[v["type"].(string)] = true
		}
		for _, inner := range v {
			collectContent(inner, kinds)
		}
	case []any:
		for _, inner := range v {
			collectContent(inner, kinds)
		}
	}
}

// The Date header, like every timestamp, is the simulated clock's.
func TestDateHeaderIsSimulated(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Date(2016, time.July, 5, 16, 23, 15, 0, time.UTC)
		sim := newSim(t, Config{Start: start, TimeScale: 60})
		elapse(2 * time.Second)
		if got := newAPI(t, sim).get("").header.Get("Date"); got != "Tue, 05 Jul 2016 16:25:15 GMT" {
			t.Errorf("Date %q", got)
		}
		id := create(t, sim, videoStarted)
		c := decode[map[string]any](t, newAPI(t, sim).get("/"+id))
		if got := c["caseStatus"].(map[string]any)["created"]; got != "2016-07-05T18:25:15+02:00" {
			t.Errorf("created %v", got)
		}
	})
}

// A clock that is set wrong shows in the Date header and in new stamps; a case's
// own stamps go on, whichever way it is wrong.
func TestSkewedClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Date(2016, time.July, 5, 16, 23, 15, 0, time.UTC)
		sim := newSim(t, Config{Start: start})
		id := create(t, sim, videoStarted, videoReview)
		for _, skew := range []time.Duration{0, 48 * time.Hour, -48 * time.Hour} {
			sim.SetSkew(skew)
			if got, want := newAPI(t, sim).get("").header.Get("Date"), start.Add(skew).Format(http.TimeFormat); got != want {
				t.Errorf("Date %q, want %q", got, want)
			}
			step := advance(t, sim, create(t, sim, videoStarted))
			if off := step.Change.Modified.Sub(start.Add(skew)); off < 0 || off > time.Minute {
				t.Errorf("skewed by %s, a new case is stamped %s", skew, step.Change.Modified)
			}
		}
		sim.SetSkew(48 * time.Hour)
		before := advance(t, sim, id)
		sim.SetSkew(-48 * time.Hour)
		if after := advance(t, sim, id); !after.Change.Modified.After(before.Change.Modified) {
			t.Errorf("%s comes after %s", after.Change.Modified, before.Change.Modified)
		}
	})
}

func TestLocalTime(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"2016-03-27T00:59:59Z": "2016-03-27T01:59:59+01:00",
		"2016-03-27T01:00:00Z": "2016-03-27T03:00:00+02:00",
		"2016-10-30T00:59:59Z": "2016-10-30T02:59:59+02:00",
		"2016-10-30T01:00:00Z": "2016-10-30T02:00:00+01:00",
	} {
		at, err := time.Parse(time.RFC3339, in)
		if err != nil {
			t.Fatal(err)
		}
		if got := wireTimestamp(at); got != want {
			t.Errorf("%s is %s, want %s", in, got, want)
		}
	}
}

// A change counts as seen only if the answer was written to someone who still
// waits for it.
func TestSeenNeedsSomeoneWhoWaits(t *testing.T) {
	t.Parallel()
	sim := newSim(t, Config{})
	id := create(t, sim, videoStarted)
	advance(t, sim, id)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/api/scr/v1/ACCT0001/cases/"+id, nil)
	r.SetBasicAuth("user", "pass")
	sim.Handler().ServeHTTP(httptest.NewRecorder(), r)
	sim.Handler().ServeHTTP(brokenWriter{httptest.NewRecorder()}, r.WithContext(t.Context()))
	if sim.Truth()[0].Seen {
		t.Error("seen by nobody")
	}
	newAPI(t, sim).get("/" + id).wants(http.StatusOK)
	if !sim.Truth()[0].Seen {
		t.Error("not seen")
	}
}

// brokenWriter is a connection that has gone.
type brokenWriter struct{ http.ResponseWriter }

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("gone") }

// A primary-only answer shows the primary identification and none other; a full
// one shows them all.
func TestSeenIsWhatTheAnswerHolds(t *testing.T) {
	t.Parallel()
	sim := newSim(t, Config{})
	client := newAPI(t, sim)
	id := create(t, sim, Step{Method: scr.MethodEID, Status: scr.StatusStarted}, videoStarted, videoReview)
	walkToEnd(t, sim, id)
	seen := func() (out []bool) {
		for _, c := range sim.Truth() {
			out = append(out, c.Seen)
		}
		return out
	}
	client.get("/" + id + "/status").wants(200)
	if got := seen(); got[0] || got[1] || !got[2] {
		t.Errorf("after the primary: %v", got)
	}
	client.get("/status/full?inProgress=true").wants(200)
	if got := seen(); !got[0] || got[1] || !got[2] {
		t.Errorf("after the full list: %v", got)
	}
}

// A case that closes alone is a change of its own (Method ""), and every answer
// that shows it closed shows it.
func TestClosingAloneIsAChange(t *testing.T) {
	t.Parallel()
	sim := newSim(t, Config{})
	id := create(t, sim, videoStarted, Step{Closes: true})
	walkToEnd(t, sim, id)
	newAPI(t, sim).get("/" + id + "/status").wants(200)
	last := sim.Truth()[1]
	if last.Method != "" || last.Status != "" || last.StatusType != statusTypeProgress || !last.Seen {
		t.Errorf("got %+v", last)
	}
}
