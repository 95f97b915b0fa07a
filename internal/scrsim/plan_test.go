package scrsim

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postident-bridge/internal/scr"
)

func drawPlans(t *testing.T, seed uint64, n int) []Plan {
	t.Helper()
	sim := newSim(t, Config{Seed: seed, Accounts: ExampleAccounts("http://hooks.test")})
	if err := sim.StartLoad(Load{Cases: n}); err != nil {
		t.Fatal(err)
	}
	l := sim.loads[0]
	plans := make([]Plan, n)
	for i := range plans {
		method, acct := l.spin()
		plans[i] = l.from.planner.draw(method, acct.Methods)
	}
	return plans
}

// Every row of guide 4 and every code of it comes up.
func TestPlansWalkAllRowsAndCodes(t *testing.T) {
	t.Parallel()
	rows := make(map[string]bool)
	type code struct {
		row    string
		reason bool
		code   int
	}
	codesSeen := make(map[code]bool)
	for _, plan := range drawPlans(t, 7, 1500) {
		if err := plan.check(); err != nil {
			t.Fatal(err)
		}
		for _, s := range plan.Steps {
			for _, r := range scr.StatusRows() {
				if r.Method != s.Method || r.Status != s.Status || !fits(r, s) {
					continue
				}
				rows[r.ID] = true
				if s.SubStatus != nil {
					codesSeen[code{r.ID, false, *s.SubStatus}] = true
				}
				if s.Reason != nil {
					codesSeen[code{r.ID, true, *s.Reason}] = true
				}
			}
		}
	}
	all := scr.StatusRows()
	if len(all) != 38 {
		t.Fatalf("status model has %d rows, want 38", len(all))
	}
	for _, r := range all {
		if !rows[r.ID] {
			t.Errorf("row %s is never walked", r.ID)
		}
		for _, c := range r.SubStatus {
			if !codesSeen[code{r.ID, false, c.Code}] {
				t.Errorf("row %s: sub status %d never comes up", r.ID, c.Code)
			}
		}
		for _, c := range r.Reasons {
			if !codesSeen[code{r.ID, true, c.Code}] {
				t.Errorf("row %s: reason %d never comes up", r.ID, c.Code)
			}
		}
	}
}

func fits(r scr.StatusRow, s Step) bool {
	if s.SubStatus == nil {
		return len(r.SubStatus) == 0 || r.SubStatusOptional
	}
	return slices.ContainsFunc(r.SubStatus, func(c scr.Code) bool { return c.Code == *s.SubStatus })
}

// What the guide does not list must come from a test's own plan, never from a
// drawn one.
func TestPlansAreWhatTheGuideLists(t *testing.T) {
	t.Parallel()
	for i, plan := range drawPlans(t, 11, 1000) {
		for _, s := range plan.Steps {
			if s.Method == "" {
				continue
			}
			if !scr.Classify(s.Method, s.Status, s.SubStatus, s.Reason).Known {
				t.Errorf("plan %d: %+v is not in the guide", i, s)
			}
		}
	}
}

func TestPlansHaveEveryKindOfWalk(t *testing.T) {
	t.Parallel()
	kinds := make(map[string]int)
	for _, plan := range drawPlans(t, 3, 600) {
		methods := make(map[string]bool)
		last := plan.Steps[len(plan.Steps)-1]
		for i, s := range plan.Steps {
			methods[s.Method] = true
			if s.NewAttempt {
				kinds["another attempt with the same method"]++
			}
			if i > 0 && plan.Steps[i-1].Status == scr.StatusIncomplete && s.Status != scr.StatusStarted && s.Method == plan.Steps[i-1].Method {
				kinds["incomplete and resumed"]++
			}
			if s.closes() && i < len(plan.Steps)-1 {
				t.Errorf("a step after the case is closed: %+v", plan.Steps)
			}
		}
		delete(methods, "")
		if len(methods) > 1 {
			kinds["method change"]++
		}
		switch {
		case plan.Offline:
			kinds["Basic Offline"]++
		case last.Method == "" && len(plan.Steps) == 1:
			kinds["expired in new"]++
		case last.Method == "":
			kinds["closed alone"]++
		case last.Status == scr.StatusCancelled && last.Closes:
			kinds["autoid cancelled without another method"]++
		case !last.closes():
			kinds["abandoned"]++
		}
		if i := slices.IndexFunc(plan.Steps, func(s Step) bool { return s.Status == scr.StatusCancelled }); i >= 0 && i < len(plan.Steps)-1 {
			kinds["autoid cancelled, another method taken up"]++
		}
		for _, s := range plan.Steps {
			if s.Method == scr.MethodVideo && s.Status == scr.StatusReviewPending && s.SubStatus != nil {
				kinds["video review pending with a code"]++
			}
		}
	}
	for _, kind := range []string{
		"another attempt with the same method", "incomplete and resumed", "method change", "Basic Offline",
		"expired in new", "closed alone", "autoid cancelled without another method", "abandoned",
		"autoid cancelled, another method taken up", "video review pending with a code",
	} {
		if kinds[kind] == 0 {
			t.Errorf("no plan with %s among %v", kind, slices.Sorted(maps.Keys(kinds)))
		}
	}
}

func TestPlansAreDeterministicForASeed(t *testing.T) {
	t.Parallel()
	if d := cmp.Diff(drawPlans(t, 42, 300), drawPlans(t, 42, 300)); d != "" {
		t.Errorf("plans of one seed differ:\n%s", d)
	}
	if cmp.Equal(drawPlans(t, 42, 300), drawPlans(t, 43, 300)) {
		t.Error("plans of two seeds are equal")
	}
}

// A short load, such as a demo, shows all methods and all four status types.
func TestShortLoadShowsAllMethodsAndTypes(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		methods, types := make(map[string]bool), make(map[scr.StatusType]bool)
		for _, plan := range drawPlans(t, seed, 15) {
			for _, s := range plan.Steps {
				methods[s.Method] = true
				types[scr.Classify(s.Method, s.Status, nil, nil).Type] = true
			}
		}
		for _, m := range []string{scr.MethodAutoID, scr.MethodBasic, scr.MethodEID, scr.MethodPhoto, scr.MethodVideo} {
			if !methods[m] {
				t.Errorf("seed %d: no %s", seed, m)
			}
		}
		for _, typ := range []scr.StatusType{scr.Notification, scr.Preliminary, scr.Final, scr.Cancelled} {
			if !types[typ] {
				t.Errorf("seed %d: no %s", seed, typ)
			}
		}
	}
}

func TestCaseIDs(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		if id := drawCaseID(rng); !caseIDPattern.MatchString(id) || !scr.ValidCaseID(id) {
			t.Errorf("case id %q", id)
		}
	}
}

// Facts C8, C10: how codes are paired where the guide does not say.
func TestPairsOfCodes(t *testing.T) {
	t.Parallel()
	tests := map[string][]codes{
		"basic.started":               {{}},
		"basic.incomplete":            {{new(53), nil}, {new(54), nil}, {new(70), nil}, {new(71), nil}, {new(97), nil}, {new(98), nil}},
		"basic.declined.fraud":        {{new(11), new(115)}, {new(11), new(116)}},
		"video.review_pending":        {{}, {new(11), nil}, {new(15), nil}},
		"video.declined.other":        {{new(19), nil}, {new(19), new(120)}, {new(99), nil}},
		"video.declined.expired":      {{new(12), nil}, {new(12), new(120)}},
		"autoid.cancelled":            {{new(94), new(900)}},
		"photo.declined.expired":      {{new(12), nil}},
		"basic.declined.abnormal":     {{new(16), new(114)}, {new(16), new(117)}, {new(16), new(112)}, {new(16), new(113)}, {new(16), new(123)}},
		"eid.declined.fraud":          {{new(11), new(122)}},
		"autoid.declined.abuse":       {{new(15), new(815)}},
		"autoid.declined.other":       {{new(84), new(814)}, {new(84), new(816)}},
		"basic.declined.expired":      {{new(12), nil}},
		"basic.coupon_requested":      {{}},
		"photo.declined.abuse":        {{new(15), nil}},
		"video.declined.abuse":        {{new(15), nil}},
		"autoid.declined.expired":     {{new(12), nil}},
		"basic.declined.data_problem": {{new(17), new(118)}},
	}
	for id, want := range tests {
		if d := cmp.Diff(want, row(id).pairs, cmp.AllowUnexported(codes{})); d != "" {
			t.Errorf("%s (-want +got):\n%s", id, d)
		}
	}
	// The inferred pairing: each reason of the row stands under one sub status.
	for _, id := range []string{"autoid.incomplete", "eid.incomplete", "video.incomplete"} {
		parents := make(map[int]int)
		for _, p := range row(id).pairs {
			if p.reason != nil {
				parents[*p.reason]++
			}
		}
		for _, r := range row(id).Reasons {
			if parents[r.Code] != 1 {
				t.Errorf("%s: reason %d stands under %d sub statuses", id, r.Code, parents[r.Code])
			}
		}
	}
}
