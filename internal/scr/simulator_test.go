package scr_test

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"postident-bridge/internal/scr"
	"postident-bridge/internal/scrsim"
)

// simulated starts a simulator with the GwG account of the examples, which has a
// partner too, and returns a client's settings.
func simulated(t *testing.T, change func(*scrsim.Account)) (*scrsim.Simulator, scr.ClientConfig) {
	t.Helper()
	acct := scrsim.ExampleAccounts("")[0]
	if change != nil {
		change(&acct)
	}
	sim, err := scrsim.New(scrsim.Config{Seed: 5, Accounts: []scrsim.Account{acct}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(sim.Handler())
	t.Cleanup(server.Close)
	cfg := testConfig(server.URL)
	cfg.ClientID, cfg.LockFor = acct.ClientID, -1
	return sim, as(cfg, acct.Credentials[0])
}

// as is cfg with other credentials.
func as(cfg scr.ClientConfig, c scrsim.Credential) scr.ClientConfig {
	cfg.Username, cfg.Password, cfg.DataPassword = c.Username, c.Password, c.DataPassword
	if c.Access == scrsim.AccessPartner {
		cfg.Access = scr.AccessPartner
	}
	return cfg
}

// walk makes a case and takes it through all steps, of its own plan if there are
// none.
func walk(t *testing.T, sim *scrsim.Simulator, clientID string, steps ...scrsim.Step) string {
	t.Helper()
	made := scrsim.NewCase{ClientID: clientID}
	if len(steps) > 0 {
		made.Plan = &scrsim.Plan{Steps: steps}
	}
	info, err := sim.Create(made)
	for err == nil {
		_, err = sim.Advance(info.CaseID)
	}
	if !errors.Is(err, scrsim.ErrAtEnd) {
		t.Fatal(err)
	}
	return info.CaseID
}

var everything = scr.Filter{New: true, InProgress: true, Closed: true, Archived: true}

// Whatever access and scope, a list shows of each case what a single read shows.
func TestCasesOfTheSimulatorAreThoseOfSingleReads(t *testing.T) {
	t.Parallel()
	const cases = 60
	for _, wire := range []scrsim.Wire{{}, {LegacyEmpty: true, ContactDataResult: true, StatusIdentifications: true}} {
		sim, cfg := simulated(t, func(a *scrsim.Account) { a.Wire = wire })
		partner := as(cfg, scrsim.ExampleAccounts("")[0].Credentials[1])
		var want []string
		for range cases {
			want = append(want, walk(t, sim, cfg.ClientID))
		}
		for _, cfg := range []scr.ClientConfig{cfg, partner} {
			for _, scope := range []scr.Scope{scr.ScopeAll, scr.ScopePrimary} {
				cfg.Scope = scope
				client := newClient(t, cfg)
				got, page, err := listed(t, client, everything)
				if err != nil || page.Entries != cases || page.Partial {
					t.Fatalf("%s, %s: %+v, %v", cfg.Access, scope, page, err)
				}
				var ids []string
				for _, l := range got {
					ids = append(ids, l.CaseID)
					single, err := client.Case(t.Context(), l.CaseID)
					if err != nil || l.Err != nil {
						t.Fatalf("%s: %v, %v", l.CaseID, err, l.Err)
					}
					if diff := cmp.Diff(single, l.Case); diff != "" {
						t.Errorf("%s, %s, %s (-single +listed):\n%s", cfg.Access, scope, l.CaseID, diff)
					}
				}
				if diff := cmp.Diff(want, ids); diff != "" {
					t.Errorf("cases (-want +got):\n%s", diff)
				}
			}
		}
	}
}

// The four flags and the bounds mean what guide 7.5.1 says, however strict the
// other side is about a plus (facts C12) and whatever it thinks of bounds.
func TestCasesOfTheSimulatorByFilter(t *testing.T) {
	t.Parallel()
	for _, wire := range []scrsim.Wire{{StrictPlus: true, Bounds: scrsim.BoundsLower}, {Bounds: scrsim.BoundsBoth}, {Bounds: scrsim.BoundsNone}} {
		sim, cfg := simulated(t, func(a *scrsim.Account) { a.Wire = wire })
		client := newClient(t, cfg)
		started := scrsim.Step{Method: scr.MethodVideo, Status: scr.StatusStarted}
		fresh, err := sim.Create(scrsim.NewCase{ClientID: cfg.ClientID, Plan: &scrsim.Plan{Steps: []scrsim.Step{started}}})
		if err != nil {
			t.Fatal(err)
		}
		open := walk(t, sim, cfg.ClientID, started)
		closed := walk(t, sim, cfg.ClientID, started, scrsim.Step{Closes: true})
		archived := walk(t, sim, cfg.ClientID, started, scrsim.Step{Closes: true})
		if got, err := client.Archive(t.Context(), []string{open, archived, "NOSUCHCASE00"}); err != nil || !slices.Equal(got, []string{archived}) {
			t.Fatalf("archived %q, %v", got, err)
		}
		if got, err := client.Archive(t.Context(), []string{archived}); err != nil || got != nil {
			t.Errorf("again: archived %q, %v", got, err)
		}
		now := sim.Now()
		before, after := now.Add(-time.Hour), now.Add(time.Hour)
		tests := map[string]struct {
			filter scr.Filter
			want   []string
		}{
			"none":                   {scr.Filter{}, nil},
			"new":                    {scr.Filter{New: true}, []string{fresh.CaseID}},
			"in progress":            {scr.Filter{InProgress: true}, []string{open}},
			"closed":                 {scr.Filter{Closed: true}, []string{closed}},
			"closed and archived":    {scr.Filter{Closed: true, Archived: true}, []string{closed, archived}},
			"everything":             {everything, []string{fresh.CaseID, open, closed, archived}},
			"created in the window":  {scr.Filter{New: true, CreatedFrom: before, CreatedUntil: after}, []string{fresh.CaseID}},
			"created before it":      {scr.Filter{New: true, CreatedFrom: after}, nil},
			"created after it":       {scr.Filter{New: true, CreatedUntil: before}, nil},
			"closed in the window":   {scr.Filter{Closed: true, New: true, ClosedFrom: before, ClosedUntil: after}, []string{closed}},
			"closed before it":       {scr.Filter{Closed: true, ClosedFrom: after}, nil},
			"closed after it":        {scr.Filter{Closed: true, ClosedUntil: before}, nil},
			"in a zone with a plus":  {scr.Filter{New: true, CreatedFrom: before.In(time.FixedZone("CEST", 7200))}, []string{fresh.CaseID}},
			"a window of one second": {scr.Filter{New: true, CreatedFrom: createdAt(t, client, fresh.CaseID).Add(-1), CreatedUntil: createdAt(t, client, fresh.CaseID).Add(1)}, []string{fresh.CaseID}},
		}
		for name, tt := range tests {
			got, page, err := listed(t, client, tt.filter)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			var ids []string
			for _, l := range got {
				ids = append(ids, l.CaseID)
			}
			if diff := cmp.Diff(tt.want, ids); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
			if page.Skew < -2*time.Second || page.Skew > time.Second {
				t.Errorf("%s: skew %v of one clock", name, page.Skew)
			}
		}
	}
}

// createdAt is when a case was created.
func createdAt(t *testing.T, c *scr.Client, caseID string) time.Time {
	t.Helper()
	found, err := c.Case(t.Context(), caseID)
	if err != nil {
		t.Fatal(err)
	}
	return found.Status.Created
}

// Guide 7.5.1: at most 1,000 cases, and what is left comes by windows or once the
// first are archived.
func TestCasesOfTheSimulatorPartialDelivery(t *testing.T) {
	t.Parallel()
	sim, cfg := simulated(t, nil)
	var ids []string
	for range 1003 {
		ids = append(ids, walk(t, sim, cfg.ClientID, scrsim.Step{Closes: true}))
	}
	client := newClient(t, cfg)
	got, page, err := listed(t, client, scr.Filter{Closed: true})
	if err != nil || !page.Partial || page.Entries != 1000 || got[999].CaseID != ids[999] {
		t.Fatalf("%+v, %v", page, err)
	}
	if archived, err := client.Archive(t.Context(), ids[:10]); err != nil || !slices.Equal(archived, ids[:10]) {
		t.Fatalf("archived %q, %v", archived, err)
	}
	got, page, err = listed(t, client, scr.Filter{Closed: true})
	if err != nil || page.Partial || page.Entries != 993 || got[0].CaseID != ids[10] {
		t.Fatalf("%+v, %v", page, err)
	}
	cfg = as(cfg, scrsim.ExampleAccounts("")[0].Credentials[1])
	got, page, err = listed(t, newClient(t, cfg), scr.Filter{Closed: true, MaxResults: 7})
	if err != nil || !page.Partial || page.Entries != 7 || got[6].CaseID != ids[16] {
		t.Errorf("%+v, %v", page, err)
	}
}

func TestCasesOfTheSimulatorUnderFaults(t *testing.T) {
	t.Parallel()
	sim, cfg := simulated(t, nil)
	for range 20 {
		walk(t, sim, cfg.ClientID)
	}
	patient := newClient(t, cfg)
	cfg.ListTimeout = 100 * time.Millisecond
	hasty := newClient(t, cfg)
	rejected := func(reason string) error { return &scr.RejectedError{Reason: reason, Status: 200} }
	for name, tt := range map[string]struct {
		faults scrsim.FaultSet
		want   error // of its kind, and of a rejected one its reason
		plain  error // of an operation whose answer is not encrypted; nil: none
	}{
		"§8 401":        {scrsim.FaultSet{Unauthorised: 1}, &scr.UnauthorisedError{Status: 401}, &scr.UnauthorisedError{Status: 401}},
		"§8 429":        {scrsim.FaultSet{RateLimited: 1, RetryAfter: scrsim.Duration(7 * time.Second)}, &scr.UnavailableError{Status: 429, RetryAfter: 7 * time.Second}, &scr.UnavailableError{Status: 429, RetryAfter: 7 * time.Second}},
		"§8 500":        {scrsim.FaultSet{ServerError: 1, ServerErrorStatus: 500}, &scr.UnavailableError{Status: 500}, &scr.UnavailableError{Status: 500}},
		"§8 cut":        {scrsim.FaultSet{Cut: 1}, &scr.UnavailableError{Status: 200}, &scr.UnavailableError{Status: 200}},
		"§8 slow":       {scrsim.FaultSet{Slow: 1, SlowBy: scrsim.Duration(2 * time.Second)}, &scr.UnavailableError{}, &scr.UnavailableError{}},
		"§8 truncated":  {scrsim.FaultSet{Truncated: 1}, rejected(scr.RejectedDecrypt), rejected(scr.RejectedJSON)},
		"§8 wrong key":  {scrsim.FaultSet{WrongKey: 1}, rejected(scr.RejectedDecrypt), nil},
		"§8 plain JSON": {scrsim.FaultSet{PlainJSON: 1}, rejected(scr.RejectedPlain), nil},
		"§8 alg":        {scrsim.FaultSet{WrongAlg: 1}, rejected(scr.RejectedAlgorithm), nil},
	} {
		if err := sim.SetFaults(scrsim.Faults{All: tt.faults}); err != nil {
			t.Fatal(err)
		}
		client := patient
		if tt.faults.Slow > 0 {
			client = hasty
		}
		got, page, err := listed(t, client, everything)
		if bare(err) != bare(tt.want) || got != nil || page.Entries != 0 {
			t.Errorf("%s: got %#v, %+v", name, err, page)
		}
		if _, err := client.Archive(t.Context(), []string{"NOSUCHCASE00"}); bare(err) != bare(tt.plain) {
			t.Errorf("%s, archive: got %#v", name, err)
		}
	}
}

// bare is the kind of an error and what it says apart from its cause.
func bare(err error) string {
	if unavailable, ok := errors.AsType[*scr.UnavailableError](err); ok {
		return fmt.Sprintf("unavailable %d %v", unavailable.Status, unavailable.RetryAfter)
	}
	if rejected, ok := errors.AsType[*scr.RejectedError](err); ok {
		return fmt.Sprintf("rejected %d %s", rejected.Status, rejected.Reason)
	}
	return fmt.Sprintf("%#v", err)
}

// P5: nothing that a list answer holds of a person comes out of it, on whatever
// way.
func TestCasesOfTheSimulatorShowNoCanary(t *testing.T) {
	t.Parallel()
	sim, cfg := simulated(t, nil)
	for range 100 {
		walk(t, sim, cfg.ClientID)
	}
	reader, recorder := instrument(&cfg)
	client := newClient(t, cfg)
	var out strings.Builder
	for _, faults := range []scrsim.FaultSet{{}, {Truncated: 1}, {PlainJSON: 1}, {Cut: 1}, {WrongKey: 1}} {
		if err := sim.SetFaults(scrsim.Faults{All: faults}); err != nil {
			t.Fatal(err)
		}
		page, err := client.Cases(t.Context(), everything, func(l scr.Listed) { fmt.Fprintf(&out, "%+v\n", l) })
		fmt.Fprintf(&out, "%+v %+v %#v\n", page, err, err)
	}
	var rm metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &rm); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&out, "%+v\n", rm)
	for _, span := range recorder.Ended() {
		fmt.Fprintf(&out, "%s %v %v\n", span.Name(), span.Attributes(), span.Events())
	}
	for _, mark := range scrsim.Canaries() {
		if strings.Contains(out.String(), mark) {
			t.Errorf("%q comes out", mark)
		}
	}
}
