package scrsim

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"postident-bridge/internal/scr"
)

func isWalking(err error) bool { return errors.Is(err, ErrWalking) }

func readJSON(t *testing.T, r io.Reader, v any) {
	t.Helper()
	if err := json.NewDecoder(r).Decode(v); err != nil {
		t.Error(err)
	}
}

// ctl asks the control API.
func ctl(t *testing.T, sim *Simulator, method, path, body string) answer {
	t.Helper()
	w := httptest.NewRecorder()
	sim.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, "/sim/v1"+path, strings.NewReader(body)))
	return answer{t: t, status: w.Code, header: w.Header(), body: w.Body.Bytes()}
}

func lines[T any](t *testing.T, a answer) []T {
	t.Helper()
	var out []T
	s := bufio.NewScanner(bytes.NewReader(a.wants(http.StatusOK).body))
	for s.Scan() {
		var v T
		if err := json.Unmarshal(s.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
	return out
}

// A closed loop over the control API alone, as another process would do it.
func TestControlClosedLoop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rx := &receiver{}
		sim := newSim(t, Config{Accounts: []Account{hookedAccount(scr.ClassGwG, Webhook{})}, HookTransport: rx})
		run(t, sim)
		var info CaseInfo
		made := ctl(t, sim, http.MethodPost, "/cases", `{"clientId":"ACCT0001","plan":{"steps":[
			{"method":"video","status":"started"},{"method":"video","status":"declined","subStatus":11,"reason":110}]}}`)
		if err := json.Unmarshal(made.wants(http.StatusCreated).body, &info); err != nil {
			t.Fatal(err)
		}
		for step := range 2 {
			a := decode[Advanced](t, ctl(t, sim, http.MethodPost, "/cases/"+info.CaseID+"/advance", ""))
			if a.Index != step || a.AtEnd != (step == 1) || a.Hooked != (step == 1) {
				t.Errorf("step %d: %+v", step, a)
			}
			newAPI(t, sim).get("/" + info.CaseID + "/full").wants(200)
		}
		ctl(t, sim, http.MethodPost, "/cases/"+info.CaseID+"/advance", "").wants(http.StatusConflict)
		synctest.Wait()
		if d := cmp.Diff(sim.Truth(), lines[Change](t, ctl(t, sim, http.MethodGet, "/truth", ""))); d != "" {
			t.Errorf("truth (-want +got):\n%s", d)
		}
		if got := lines[Change](t, ctl(t, sim, http.MethodGet, "/truth?from=1", "")); len(got) != 1 || !got[0].Seen || *got[0].Reason != 110 {
			t.Errorf("truth from 1: %+v", got)
		}
		if got := lines[HookAttempt](t, ctl(t, sim, http.MethodGet, "/attempts", "")); len(got) != 1 || got[0].Status != 200 {
			t.Errorf("attempts %+v", got)
		}
		got := decode[CaseInfo](t, ctl(t, sim, http.MethodGet, "/cases/"+info.CaseID, ""))
		if !got.AtEnd || got.Status != scr.CaseClosed || len(got.Plan.Steps) != 2 {
			t.Errorf("case %+v", got)
		}
		st := decode[Status](t, ctl(t, sim, http.MethodGet, "/status", ""))
		if !st.Done || st.Cases != 1 || st.Open != 0 || st.Changes != 2 || st.Seen != 2 {
			t.Errorf("status %+v", st)
		}
		ctl(t, sim, http.MethodDelete, "/cases/"+info.CaseID, "").wants(http.StatusOK)
		ctl(t, sim, http.MethodGet, "/cases/"+info.CaseID, "").wants(http.StatusNotFound)
	})
}

func TestControlFaultsLoadCanaries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sim := newSim(t, Config{})
		ctl(t, sim, http.MethodPut, "/faults", `{"all":{"serverError":1}}`).wants(http.StatusOK)
		newAPI(t, sim).get("").wants(http.StatusServiceUnavailable)
		if got := decode[Faults](t, ctl(t, sim, http.MethodGet, "/faults", "")); got.All.ServerError != 1 {
			t.Errorf("faults %+v", got)
		}
		ctl(t, sim, http.MethodPut, "/faults", `{}`).wants(http.StatusOK)
		newAPI(t, sim).get("").wants(http.StatusOK)
		run(t, sim)
		ctl(t, sim, http.MethodPost, "/load", `{"cases":5,"rate":1,"dwell":"100ms","mix":{"methods":{"eid":1}}}`).wants(http.StatusAccepted)
		elapse(time.Minute)
		if st := decode[Status](t, ctl(t, sim, http.MethodGet, "/status", "")); !st.Done || st.Loads[0].Finished != 5 {
			t.Errorf("status %+v", st)
		}
		if got := decode[[]string](t, ctl(t, sim, http.MethodGet, "/canaries", "")); !cmp.Equal(got, Canaries()) {
			t.Errorf("canaries %v", got)
		}
	})
}

func TestControlRefuses(t *testing.T) {
	t.Parallel()
	sim := newSim(t, Config{})
	for _, tt := range []struct {
		name, method, path, body string
		want                     int
	}{
		{"no JSON", http.MethodPost, "/cases", `{`, 400},
		{"unknown field", http.MethodPost, "/cases", `{"client":"ACCT0001"}`, 400},
		{"unknown fault", http.MethodPut, "/faults", `{"all":{"gremlins":1}}`, 400},
		{"bad fault", http.MethodPut, "/faults", `{"all":{"cut":2}}`, 400},
		{"bad duration", http.MethodPut, "/faults", `{"all":{"slow":1,"slowBy":"soon"}}`, 400},
		{"bad load", http.MethodPost, "/load", `{"cases":0}`, 400},
		{"bad plan", http.MethodPost, "/cases", `{"clientId":"ACCT0001","plan":{"steps":[]}}`, 400},
		{"unknown account", http.MethodPost, "/cases", `{"clientId":"NOBODY"}`, 404},
		{"unknown case", http.MethodPost, "/cases/NOSUCHCASE00/advance", ``, 404},
		{"unknown case to remove", http.MethodDelete, "/cases/NOSUCHCASE00", ``, 404},
		{"bad index", http.MethodGet, "/truth?from=-1", ``, 400},
		{"too large", http.MethodPost, "/cases", `"` + strings.Repeat("x", maxControlBody) + `"`, 413},
		{"wrong method", http.MethodPost, "/truth", ``, 405},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ctl(t, sim, tt.method, tt.path, tt.body).wants(tt.want)
		})
	}
}

func FuzzControl(f *testing.F) {
	f.Add("/cases", []byte(`{"clientId":"ACCT0001","method":"video","plan":{"offline":true,"steps":[{"method":"a","status":"b"},{"closes":true}]}}`))
	f.Add("/faults", []byte(`{"all":{"cut":0.5,"slow":0.1,"slowBy":"1s"},"accounts":{"A":{"hookLost":1}}}`))
	f.Add("/load", []byte(`{"cases":1,"rate":1e9,"seed":1,"mix":{"classes":{"gwg":1}},"untilSeen":true,"maxDwell":"1s"}`))
	f.Fuzz(func(t *testing.T, path string, body []byte) {
		method := map[string]string{"/cases": http.MethodPost, "/faults": http.MethodPut, "/load": http.MethodPost}[path]
		if method == "" {
			return
		}
		sim := newSim(t, Config{})
		a := ctl(t, sim, method, path, string(body))
		if a.status >= 500 || !json.Valid(a.body) {
			t.Fatalf("status %d: %s", a.status, a.body)
		}
		var made CaseInfo
		if path != "/cases" || a.status != http.StatusCreated || json.Unmarshal(a.body, &made) != nil {
			return
		}
		for range min(len(made.Plan.Steps), 20) {
			ctl(t, sim, http.MethodPost, "/cases/"+made.CaseID+"/advance", "").wants(http.StatusOK)
			newAPI(t, sim).get("/" + made.CaseID + "/full").wants(http.StatusOK)
		}
	})
}
