package scrsim

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"postident-bridge/internal/scr"
)

// receiver is a webhook receiver without a network, so that synctest can run
// its time.
type receiver struct {
	mu     sync.Mutex
	got    []received
	answer func(received) (status int, after time.Duration, err error)
}

type received struct {
	at       time.Time
	url      string
	username string
	password string
	caseID   string
	body     string
	header   http.Header
}

func (r *receiver) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	h := received{at: time.Now(), url: req.URL.String(), body: string(body), header: req.Header}
	h.username, h.password, _ = req.BasicAuth()
	var parsed struct {
		CaseID string `json:"caseId"`
	}
	if err := json.Unmarshal(body, &parsed); err != nil {
		return nil, err
	}
	h.caseID = parsed.CaseID
	r.mu.Lock()
	r.got = append(r.got, h)
	r.mu.Unlock()
	status, after, err := http.StatusOK, time.Duration(0), error(nil)
	if r.answer != nil {
		status, after, err = r.answer(h)
	}
	timer := time.NewTimer(after)
	defer timer.Stop()
	select {
	case <-req.Context().Done():
		return nil, req.Context().Err()
	case <-timer.C:
	}
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: status, Header: make(http.Header), Body: io.NopCloser(strings.NewReader("ok")), Request: req}, nil
}

func (r *receiver) log() []received {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

func hookedAccount(class scr.RegulatoryClass, w Webhook) Account {
	a := testAccount("ACCT0001", class)
	if w.URL == "" {
		w.URL = "https://bank.test/webhooks/ACCT0001"
	}
	a.Webhook = w
	return a
}

// Guide 5: 200 within two seconds, else again at once, 900 s and 3,600 s later,
// and never again. The pauses shrink with the scale, the two seconds do not.
func TestWebhookRetryTiming(t *testing.T) {
	t.Parallel()
	refused := errors.New("connection refused")
	for _, tt := range []struct {
		name     string
		scale    float64
		answer   func(received) (int, time.Duration, error)
		attempts []time.Duration // since the change
		status   int
		err      bool
	}{
		{"200", 1, nil, []time.Duration{0}, 200, false},
		{"just in time", 1, func(received) (int, time.Duration, error) { return 200, 1999 * time.Millisecond, nil }, []time.Duration{0}, 200, false},
		{
			"503", 1, func(received) (int, time.Duration, error) { return 503, 0, nil },
			[]time.Duration{0, 0, 900 * time.Second, 4500 * time.Second},
			503, false,
		},
		{
			"204 is not 200", 1, func(received) (int, time.Duration, error) { return 204, 0, nil },
			[]time.Duration{0, 0, 900 * time.Second, 4500 * time.Second},
			204, false,
		},
		{
			"a redirect is not followed", 1, func(received) (int, time.Duration, error) { return 307, 0, nil },
			[]time.Duration{0, 0, 900 * time.Second, 4500 * time.Second},
			307, false,
		},
		{
			"no answer", 1, func(received) (int, time.Duration, error) { return 200, time.Hour, nil },
			[]time.Duration{0, 2 * time.Second, 902 * time.Second, 4502 * time.Second},
			0, true,
		},
		{
			"no connection", 1, func(received) (int, time.Duration, error) { return 0, 0, refused },
			[]time.Duration{0, 0, 900 * time.Second, 4500 * time.Second},
			0, true,
		},
		{
			"compressed", 100, func(received) (int, time.Duration, error) { return 500, 0, nil },
			[]time.Duration{0, 0, 9 * time.Second, 45 * time.Second},
			500, false,
		},
		{
			"compressed, no answer: two seconds stay", 1000, func(received) (int, time.Duration, error) { return 200, time.Hour, nil },
			[]time.Duration{0, 2 * time.Second, 4 * time.Second, 7600 * time.Millisecond},
			0, true,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				rx := &receiver{answer: tt.answer}
				sim := newSim(t, Config{
					Accounts: []Account{hookedAccount(scr.ClassGwG, Webhook{})}, HookTransport: rx, TimeScale: tt.scale,
				})
				run(t, sim)
				id := create(t, sim, videoReview)
				synctest.Wait()
				begun := time.Now()
				advance(t, sim, id)
				elapse(90 * time.Minute)
				var at []time.Duration
				for i, a := range sim.Attempts() {
					at = append(at, a.At.Sub(begun))
					if a.Attempt != i+1 || a.Status != tt.status || (a.Err != "") != tt.err || a.CaseID != id || a.Change != 0 {
						t.Errorf("attempt %+v", a)
					}
					if strings.Contains(a.Err, "bank.test") {
						t.Errorf("error names the URL: %s", a.Err)
					}
				}
				if d := cmp.Diff(tt.attempts, at); d != "" {
					t.Errorf("attempts (-want +got):\n%s", d)
				}
				if len(rx.log()) != len(tt.attempts) || !sim.Status().Done {
					t.Errorf("received %d, done %v", len(rx.log()), sim.Status().Done)
				}
			})
		})
	}
}

// Guide 5, facts 4: what is sent, and to whom.
func TestWebhookRequest(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		webhook  Webhook
		body     string
		username string
		urls     []string
	}{
		{"caseId only", Webhook{}, `{"caseId":"AAAABBBBCCCC"}`, "", []string{"https://bank.test/webhooks/ACCT0001"}},
		{
			"referenceId and Basic authentication",
			Webhook{ReferenceID: true, Username: "hook", Password: "word"},
			`{"caseId":"AAAABBBBCCCC","referenceId":"SIM00000000001"}`, "hook",
			[]string{"https://bank.test/webhooks/ACCT0001"},
		},
		{
			"client and partner (9.2)",
			Webhook{PartnerURL: "https://partner.test/hook"},
			`{"caseId":"AAAABBBBCCCC"}`, "",
			[]string{"https://bank.test/webhooks/ACCT0001", "https://partner.test/hook"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				rx := &receiver{}
				sim := newSim(t, Config{Accounts: []Account{hookedAccount(scr.ClassGwG, tt.webhook)}, HookTransport: rx})
				run(t, sim)
				info, err := sim.Create(NewCase{ClientID: "ACCT0001", CaseID: "AAAABBBBCCCC", Plan: &Plan{Steps: []Step{videoSuccess}}})
				if err != nil {
					t.Fatal(err)
				}
				advance(t, sim, info.CaseID)
				synctest.Wait()
				var urls []string
				for _, h := range rx.log() {
					urls = append(urls, h.url)
					if h.body != tt.body || h.username != tt.username || h.header.Get("Content-Type") != "application/json" {
						t.Errorf("got %+v", h)
					}
				}
				slices.Sort(urls)
				if !slices.Equal(urls, tt.urls) {
					t.Errorf("sent to %v, want %v", urls, tt.urls)
				}
			})
		})
	}
}

// Guide 2.6, facts C5, C27: which changes are due, by row and by what the
// account has switched on.
func TestWebhookTypes(t *testing.T) {
	t.Parallel()
	due := func(w Webhook, offline bool) map[string]bool {
		got := make(map[string]bool)
		for _, r := range scr.StatusRows() {
			sim := newSim(t, Config{Accounts: []Account{hookedAccount(scr.ClassGwG, w)}})
			pair := row(r.ID).pairs[0]
			info, err := sim.Create(NewCase{ClientID: "ACCT0001", Plan: &Plan{Offline: offline, Steps: []Step{
				{Method: r.Method, Status: r.Status, SubStatus: pair.subStatus, Reason: pair.reason},
			}}})
			if err != nil {
				t.Fatal(err)
			}
			if advance(t, sim, info.CaseID).Hooked {
				got[r.ID] = true
			}
		}
		return got
	}
	rowsOf := func(types ...scr.StatusType) map[string]bool {
		want := make(map[string]bool)
		for _, r := range scr.StatusRows() {
			if slices.Contains(types, r.Type) {
				want[r.ID] = true
			}
		}
		return want
	}
	all := rowsOf(scr.Notification, scr.Preliminary, scr.Final, scr.Cancelled)
	withoutReview := rowsOf(scr.Notification, scr.Preliminary, scr.Final, scr.Cancelled)
	delete(withoutReview, "autoid.review_pending")
	for _, tt := range []struct {
		name    string
		webhook Webhook
		offline bool
		want    map[string]bool
	}{
		{"all four", Webhook{}, false, all},
		{"final only", Webhook{Types: []scr.StatusType{scr.Final}}, false, rowsOf(scr.Final)},
		{"none", Webhook{Types: []scr.StatusType{}}, false, rowsOf()},
		{"C5: no webhook for autoid's review pending", Webhook{NoAutoIDReview: true}, false, withoutReview},
		{"Basic Offline", Webhook{}, true, all},
		{"Basic Offline switched off", Webhook{NoOffline: true}, true, rowsOf()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if d := cmp.Diff(tt.want, due(tt.webhook, tt.offline)); d != "" {
				t.Errorf("due (-want +got):\n%s", d)
			}
		})
	}
	// C27: cancelled for autoid only; a case that closes alone has no webhook.
	sim := newSim(t, Config{Accounts: []Account{hookedAccount(scr.ClassGwG, Webhook{})}})
	if advance(t, sim, create(t, sim, Step{Method: scr.MethodVideo, Status: scr.StatusCancelled})).Hooked {
		t.Error("C27: cancelled of video")
	}
	if advance(t, sim, create(t, sim, Step{Closes: true})).Hooked {
		t.Error("closed alone")
	}
}

// A case that a client starts uses the URLs of its request, not the account's.
func TestWebhookURLOfTheStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rx := &receiver{}
		sim := newSim(t, Config{
			Accounts: []Account{hookedAccount(scr.ClassGwG, Webhook{})}, HookTransport: rx, Walk: &Pacing{Dwell: Duration(time.Second)},
		})
		run(t, sim)
		client := newAPI(t, sim)
		client.do(http.MethodPost, "", `{"processData":{"webHookUrl":"https://other.test/a"}}`).wants(http.StatusCreated)
		client.do(http.MethodPost, "", `{}`).wants(http.StatusCreated)
		elapse(time.Minute)
		got := rx.log()
		if len(got) == 0 {
			t.Fatal("no webhook")
		}
		for _, h := range got {
			if h.url != "https://other.test/a" {
				t.Errorf("sent to %s", h.url)
			}
		}
	})
}

// Lost, doubled, late and reordered webhooks.
func TestWebhookFaults(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		faults FaultSet
		want   map[string][]time.Duration // by case, since the first change; the cases change at 0 s, first once more at 10 s
	}{
		{"none", FaultSet{}, map[string][]time.Duration{"FIRST0000000": {0, 10 * time.Second}, "SECOND000000": {0}}},
		{"lost", FaultSet{HookLost: 1}, map[string][]time.Duration{}},
		{"doubled", FaultSet{HookDoubled: 1}, map[string][]time.Duration{
			"FIRST0000000": {0, 0, 10 * time.Second, 10 * time.Second}, "SECOND000000": {0, 0},
		}},
		{"late", FaultSet{HookLate: 1, HookLateBy: Duration(time.Minute)}, map[string][]time.Duration{
			"FIRST0000000": {60 * time.Second, 70 * time.Second}, "SECOND000000": {60 * time.Second},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				rx := &receiver{}
				sim := newSim(t, Config{Accounts: []Account{hookedAccount(scr.ClassGwG, Webhook{})}, HookTransport: rx})
				run(t, sim)
				if err := sim.SetFaults(Faults{All: tt.faults}); err != nil {
					t.Fatal(err)
				}
				for _, id := range []string{"FIRST0000000", "SECOND000000"} {
					if _, err := sim.Create(NewCase{ClientID: "ACCT0001", CaseID: id, Plan: &Plan{Steps: []Step{videoReview, videoSuccess}}}); err != nil {
						t.Fatal(err)
					}
				}
				begun := time.Now()
				advance(t, sim, "FIRST0000000")
				advance(t, sim, "SECOND000000")
				elapse(10 * time.Second)
				advance(t, sim, "FIRST0000000")
				elapse(time.Hour)
				got := make(map[string][]time.Duration)
				for _, h := range rx.log() {
					got[h.caseID] = append(got[h.caseID], h.at.Sub(begun))
				}
				if d := cmp.Diff(tt.want, got); d != "" {
					t.Errorf("received (-want +got):\n%s", d)
				}
				if lost := len(sim.Attempts()); tt.name == "lost" && (lost != 3 || sim.Attempts()[0].Attempt != 0) {
					t.Errorf("attempts %+v", sim.Attempts())
				}
			})
		})
	}
}

// A reordered webhook comes after the next one of its case, or at the end of
// its time.
func TestWebhookReordered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rx := &receiver{}
		sim := newSim(t, Config{Accounts: []Account{hookedAccount(scr.ClassGwG, Webhook{ReferenceID: true})}, HookTransport: rx})
		run(t, sim)
		reorder := Faults{All: FaultSet{HookReordered: 1, HookLateBy: Duration(time.Minute)}}
		if err := sim.SetFaults(reorder); err != nil {
			t.Fatal(err)
		}
		id := create(t, sim, videoReview, videoSuccess)
		alone := create(t, sim, videoReview)
		begun := time.Now()
		advance(t, sim, id)
		advance(t, sim, alone)
		elapse(10 * time.Second)
		if n := len(rx.log()); n != 0 {
			t.Fatalf("%d received before their time", n)
		}
		if err := sim.SetFaults(Faults{}); err != nil {
			t.Fatal(err)
		}
		advance(t, sim, id)
		elapse(time.Second)
		var changes []int
		for _, a := range sim.Attempts() {
			changes = append(changes, a.Change)
		}
		if !slices.Equal(changes, []int{2, 0}) {
			t.Errorf("sent for changes %v, want 2 before 0", changes)
		}
		elapse(time.Hour)
		got := rx.log()
		if last := got[len(got)-1]; last.caseID != alone || last.at.Sub(begun) != time.Minute {
			t.Errorf("the one alone came %v after", last.at.Sub(begun))
		}
	})
}

// Config.HookConcurrency bounds what is under way.
func TestWebhookConcurrencyIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		rx := &receiver{answer: func(received) (int, time.Duration, error) { return 200, time.Second, nil }}
		sim := newSim(t, Config{Accounts: []Account{hookedAccount(scr.ClassGwG, Webhook{})}, HookTransport: rx, HookConcurrency: 3})
		run(t, sim)
		for range 9 {
			advance(t, sim, create(t, sim, videoSuccess))
		}
		for i := range 3 {
			synctest.Wait()
			if n := len(rx.log()); n != 3*(i+1) {
				t.Errorf("after %d s: %d begun", i, n)
			}
			elapse(time.Second)
		}
	})
}

// Over a real network: the transport of the simulator's own leaves nothing
// behind (TestMain looks for goroutines).
func TestWebhookOverTheNetwork(t *testing.T) {
	t.Parallel()
	got := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hook, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got <- string(hook)
		w.WriteHeader(http.StatusOK)
	}))
	t.Cleanup(server.Close)
	sim := newSim(t, Config{Accounts: []Account{hookedAccount(scr.ClassGwG, Webhook{URL: server.URL + "/hook"})}})
	run(t, sim)
	id := create(t, sim, videoSuccess)
	advance(t, sim, id)
	hook, err := scr.ParseWebhook([]byte(<-got))
	if err != nil || hook.CaseID != id {
		t.Errorf("got %+v, %v", hook, err)
	}
	eventually(t, "the attempt is written down", func() bool { return sim.Status().Done })
	if a := sim.Attempts(); len(a) != 1 || a[0].Status != http.StatusOK {
		t.Errorf("attempts %+v", a)
	}
}
