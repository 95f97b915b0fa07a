package ingest_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"postident-bridge/ingest"
	"postident-bridge/internal/scr"
	"postident-bridge/schemas"
)

// lists is an account's lists, in memory: what TestPollerAgainstTheSimulator
// plays with the real client, with a clock that stands still between requests.
type lists struct {
	mu       sync.Mutex
	cases    []scr.Case
	requests []listRequest
	err      error
	skew     time.Duration
	limit    int
	asking   func()                 // called with each request, under mu
	refuse   func([]scr.Case) error // of an answer with these cases, under mu; nil refuses none
}

type listRequest struct {
	at     time.Time
	filter scr.Filter
}

func (l *lists) list(_ context.Context, f scr.Filter, each func(scr.Listed)) (scr.Page, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests = append(l.requests, listRequest{time.Now(), f})
	if l.asking != nil {
		l.asking()
	}
	if l.err != nil {
		return scr.Page{}, l.err
	}
	page := scr.Page{Sent: time.Now(), Skew: l.skew}
	if l.refuse != nil {
		if err := l.refuse(slices.DeleteFunc(slices.Clone(l.cases), func(c scr.Case) bool { return !matches(f, c) })); err != nil {
			return page, err
		}
	}
	for _, c := range l.cases {
		if !matches(f, c) {
			continue
		}
		if l.limit > 0 && page.Entries == l.limit {
			page.Partial = true
			break
		}
		page.Entries++
		each(scr.Listed{CaseID: c.CaseID, Case: c})
	}
	return page, nil
}

func matches(f scr.Filter, c scr.Case) bool {
	inside := func(t, from, until time.Time) bool {
		return !t.Before(from) && (until.IsZero() || t.Before(until))
	}
	switch {
	case c.Status.Archived && !f.Archived:
		return false
	case c.Status.Status == scr.CaseClosed:
		// Its modified stands for when it was closed: the answer has nothing else.
		return f.Closed && inside(c.Status.Created, f.CreatedFrom, f.CreatedUntil) &&
			inside(c.Status.Modified, f.ClosedFrom, f.ClosedUntil)
	case c.Status.Status == scr.CaseNew:
		return f.New && inside(c.Status.Created, f.CreatedFrom, f.CreatedUntil)
	}
	return f.InProgress && inside(c.Status.Created, f.CreatedFrom, f.CreatedUntil)
}

// set makes or changes a case.
func (l *lists) set(caseID, status, ident string, created, modified time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	created, modified = created.UTC().Truncate(time.Second), modified.UTC().Truncate(time.Second)
	c := scr.Case{
		CaseID: caseID,
		Status: scr.CaseStatus{Status: status, Created: created, Modified: modified},
		Identifications: []scr.Identification{{
			Method: scr.MethodVideo, Primary: true, Status: ident, Created: created, Modified: modified,
		}},
	}
	at := slices.IndexFunc(l.cases, func(have scr.Case) bool { return have.CaseID == caseID })
	if at < 0 {
		l.cases = append(l.cases, c)
		return
	}
	l.cases[at] = c
}

func (l *lists) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
}

func (l *lists) refusing(refuse func([]scr.Case) error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refuse = refuse
}

// asked is how many requests were made since a time.
func (l *lists) asked(since time.Time) []listRequest {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []listRequest
	for _, r := range l.requests {
		if !r.at.Before(since) {
			out = append(out, r)
		}
	}
	return out
}

const cursorTopic = "postident.poll-cursor"

// pollRig is a broker in the bubble of a test, and pollers that it starts.
type pollRig struct {
	t       *testing.T
	rig     *rig
	logs    *journal
	metrics *sdkmetric.ManualReader
	meters  *sdkmetric.MeterProvider
	plan    ingest.SweepPlan
	topics  map[[16]byte]string // by id
	begin   time.Time

	mu sync.Mutex
	by []string // guarded by mu: who made the requests
}

func newPollRig(t *testing.T) *pollRig {
	t.Helper()
	net := &kfake.VirtualNetwork{}
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(inboxPartitions, inboxTopic, cursorTopic),
		kfake.ListenFn(net.Listen), kfake.Ports(9092), kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	broker := &rig{cluster: cluster, net: net}
	cluster.ControlKey(-1, broker.hold)
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.Dialer(net.DialContext))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	details, err := kadm.NewClient(client).ListTopics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	topics := make(map[[16]byte]string)
	for _, d := range details {
		topics[d.ID] = d.Topic
	}
	reader := sdkmetric.NewManualReader()
	return &pollRig{
		t: t, rig: broker, topics: topics, begin: time.Now(), logs: &journal{},
		metrics: reader, meters: sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)),
		plan: ingest.SweepPlan{
			Closed: time.Minute, Open: 5 * time.Minute, Reconcile: 24 * time.Hour, Overlap: 5 * time.Minute, Past: 90 * 24 * time.Hour,
		},
	}
}

// start runs a poller until the returned function stops it.
func (r *pollRig) start(accounts map[string]*lists) (*ingest.Poller, func()) {
	r.t.Helper()
	cfg := ingest.PollerConfig{
		Kafka: []kgo.Opt{kgo.SeedBrokers(r.rig.cluster.ListenAddrs()...), kgo.Dialer(r.rig.net.DialContext)},
		Inbox: inboxTopic, Cursor: cursorTopic, Group: "postident.poll", Plan: r.plan,
		Logger: slog.New(slog.NewTextHandler(r.logs, nil)),
		Meter:  r.meters.Meter("test"),
	}
	for clientID, l := range accounts {
		cfg.Accounts = append(cfg.Accounts, ingest.PollAccount{ClientID: clientID, List: l.list})
	}
	p, err := ingest.NewPoller(cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			r.t.Errorf("poller ended with %v", err)
		}
	})
	r.t.Cleanup(stop)
	return p, stop
}

// written are the triggers in the inbox, as "case/status of its identification".
func (r *pollRig) written() []string {
	r.t.Helper()
	var out []string
	for _, trigger := range r.rig.triggers(r.t) {
		if trigger.Source != schemas.SourceSweep || trigger.Observation == nil {
			r.t.Errorf("trigger of %s, source %s, has an observation: %t", trigger.CaseID, trigger.Source, trigger.Observation != nil)
			continue
		}
		out = append(out, trigger.ClientID+"/"+trigger.CaseID+"/"+trigger.Observation.Identifications[0].Status)
	}
	slices.Sort(out)
	return out
}

func (r *pollRig) wantWritten(want ...string) {
	r.t.Helper()
	slices.Sort(want)
	if got := r.written(); !slices.Equal(got, want) {
		r.t.Errorf("inbox holds %v, want %v", got, want)
	}
}

func TestPollerWritesEachStateOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newPollRig(t)
		begin := time.Now()
		api := &lists{}
		api.set("OLD", scr.CaseClosed, scr.StatusSuccess, begin.Add(-40*24*time.Hour), begin.Add(-39*24*time.Hour))
		api.set("OPEN", scr.CaseInProgress, scr.StatusStarted, begin.Add(-time.Hour), begin.Add(-time.Hour))
		p, stop := r.start(map[string]*lists{"ACME": api})
		pass(time.Minute)
		r.wantWritten("ACME/OLD/success", "ACME/OPEN/started")
		if err := p.Ready(t.Context()); err != nil {
			t.Errorf("not ready: %v", err)
		}
		pass(time.Hour)
		r.wantWritten("ACME/OLD/success", "ACME/OPEN/started")

		api.set("OPEN", scr.CaseInProgress, scr.StatusReviewPending, begin.Add(-time.Hour), time.Now())
		pass(6 * time.Minute)
		api.set("OPEN", scr.CaseClosed, scr.StatusSuccess, begin.Add(-time.Hour), time.Now())
		pass(time.Hour)
		r.wantWritten("ACME/OLD/success", "ACME/OPEN/started", "ACME/OPEN/review pending", "ACME/OPEN/success")
		stop()
	})
}

// After a restart what the overlap and the open sweep show goes out once more,
// and the reconciliation is not due before its time.
func TestPollerGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newPollRig(t)
		begin := time.Now()
		api := &lists{}
		api.set("OLD", scr.CaseClosed, scr.StatusSuccess, begin.Add(-40*24*time.Hour), begin.Add(-39*24*time.Hour))
		_, stop := r.start(map[string]*lists{"ACME": api})
		pass(10 * time.Minute)
		stop()
		api.set("NEW", scr.CaseClosed, scr.StatusDeclined, time.Now(), time.Now().Add(time.Second))
		pass(3 * time.Hour)
		back := time.Now()
		_, stop = r.start(map[string]*lists{"ACME": api})
		pass(time.Minute)
		stop()
		r.wantWritten("ACME/OLD/success", "ACME/NEW/declined")
		for _, request := range api.asked(back) {
			if request.filter.Archived && request.filter.New {
				t.Errorf("reconciled again after the restart, at %v", request.at)
			}
		}
	})
}

func TestPollerLeavesARefusedAccountAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newPollRig(t)
		locked, fine := &lists{err: &scr.UnauthorisedError{Status: 401}}, &lists{}
		begin := time.Now()
		_, stop := r.start(map[string]*lists{"LOCKED": locked, "FINE": fine})
		pass(time.Hour)
		requests := locked.asked(begin)
		for i := range requests[1:] {
			if pause := requests[i+1].at.Sub(requests[i].at); pause < 5*time.Minute {
				t.Errorf("asked again after %v", pause)
			}
		}
		if n := len(requests); n < 8 || n > 12 {
			t.Errorf("%d requests in an hour", n)
		}
		if n := len(fine.asked(begin)); n < 60 {
			t.Errorf("the other account was asked %d times in an hour", n)
		}
		locked.fail(nil)
		mended := time.Now()
		pass(10 * time.Minute)
		stop()
		if n := len(locked.asked(mended)); n < 3 {
			t.Errorf("%d requests in the ten minutes after the password was right again", n)
		}
		if log := r.logs.String(); !strings.Contains(log, "level=ERROR") || !strings.Contains(log, "client_id=LOCKED") {
			t.Errorf("the refused account is not loud: %s", log)
		}
	})
}

func TestPollerHonoursRetryAfter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newPollRig(t)
		api := &lists{err: &scr.UnavailableError{Status: 429, RetryAfter: 20 * time.Minute}}
		begin := time.Now()
		_, stop := r.start(map[string]*lists{"ACME": api})
		pass(time.Hour)
		stop()
		if n := len(api.asked(begin)); n < 2 || n > 3 {
			t.Errorf("%d requests in an hour, asked for one in 20 minutes", n)
		}
	})
}

// One process sweeps an account at a time; when it stops the other goes on.
func TestPollersShareTheAccounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newPollRig(t)
		first, second := make(map[string]*lists), make(map[string]*lists)
		for i := range 8 {
			first[fmt.Sprintf("ACC%d", i)], second[fmt.Sprintf("ACC%d", i)] = &lists{}, &lists{}
		}
		_, stopFirst := r.start(first)
		_, stopSecond := r.start(second)
		pass(10 * time.Minute)
		since := time.Now()
		pass(10 * time.Minute)
		shared := 0
		for clientID := range first {
			a, b := len(first[clientID].asked(since)), len(second[clientID].asked(since))
			if (a == 0) == (b == 0) {
				t.Errorf("account %s was asked %d times by one process and %d times by the other", clientID, a, b)
			}
			if b > 0 {
				shared++
			}
		}
		if shared == 0 || shared == len(first) {
			t.Errorf("the second process sweeps %d of %d accounts", shared, len(first))
		}
		stopFirst()
		since = time.Now()
		pass(5 * time.Second)
		for clientID := range second {
			if len(second[clientID].asked(since.Add(-2*time.Minute))) == 0 {
				t.Errorf("account %s is swept by nobody", clientID)
			}
		}
		stopSecond()
	})
}

// In the midst of a long sweep the group gives this process's place away. It
// notices before its next request, not at its next heartbeat.
func TestPollerAsksTheGroupBeforeEachRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newPollRig(t)
		var gone atomic.Bool
		var after atomic.Int32
		r.rig.cluster.ControlKey(int16(kmsg.Heartbeat), func(req kmsg.Request) (kmsg.Response, error, bool) {
			r.rig.cluster.KeepControl()
			resp, _ := req.ResponseKind().(*kmsg.HeartbeatResponse)
			resp.ErrorCode = kerr.UnknownMemberID.Code
			return resp, nil, gone.Load()
		})
		r.rig.cluster.ControlKey(int16(kmsg.JoinGroup), func(req kmsg.Request) (kmsg.Response, error, bool) {
			r.rig.cluster.KeepControl()
			resp, _ := req.ResponseKind().(*kmsg.JoinGroupResponse)
			resp.ErrorCode = kerr.CoordinatorLoadInProgress.Code // it does not come back
			return resp, nil, gone.Load()
		})
		api := &lists{limit: 5}
		for i := range 500 {
			at := time.Now().Add(-time.Duration(i) * time.Hour)
			api.set(fmt.Sprintf("CASE%d", i), scr.CaseInProgress, scr.StatusStarted, at, at)
		}
		api.asking = func() {
			if gone.Load() {
				after.Add(1)
			}
			gone.Store(len(api.requests) == 20)
		}
		r.start(map[string]*lists{"ACME": api})
		pass(5 * time.Second)
		if !gone.Load() || after.Load() > 0 {
			t.Errorf("%d requests after the place was gone (%t)", after.Load(), gone.Load())
		}
		gone.Store(false)
		pass(time.Minute) // it comes back
	})
}

// Kafka is away while a list is answered: the cursor does not pass what is not in
// the inbox.
func TestPollerWaitsForKafka(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newPollRig(t)
		api := &lists{}
		_, stop := r.start(map[string]*lists{"ACME": api})
		pass(3 * time.Minute)
		r.rig.paused.Store(true)
		api.set("NEW", scr.CaseClosed, scr.StatusSuccess, time.Now(), time.Now())
		pass(30 * time.Minute)
		r.rig.paused.Store(false)
		pass(2 * time.Minute)
		r.wantWritten("ACME/NEW/success")
		stop()
	})
}

// What was written before is not written again because open sweeps take long, or
// fail for a time, while closed ones go on.
func TestPollerRemembersOpenCasesUntilAnOpenSweep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newPollRig(t)
		api := &lists{}
		api.set("OPEN", scr.CaseInProgress, scr.StatusStarted, time.Now().Add(-time.Hour), time.Now().Add(-time.Hour))
		_, stop := r.start(map[string]*lists{"ACME": api})
		pass(10 * time.Minute)
		api.refusing(func(page []scr.Case) error {
			if len(page) > 0 {
				return &scr.UnavailableError{Status: 503}
			}
			return nil
		})
		pass(time.Hour)
		api.refusing(nil)
		pass(time.Hour)
		stop()
		r.wantWritten("ACME/OPEN/started")
	})
}

// An answer that is too large, however narrow its window, is a hole; what lies
// behind it is swept.
func TestPollerPassesASecondThatIsTooLarge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newPollRig(t)
		r.plan.Reconcile = 0
		api := &lists{}
		giant := time.Now().Add(-time.Hour).UTC().Truncate(time.Second)
		api.set("GIANT", scr.CaseInProgress, scr.StatusStarted, giant, giant)
		api.set("BEHIND", scr.CaseInProgress, scr.StatusStarted, giant.Add(time.Minute), giant.Add(time.Minute))
		api.refusing(func(page []scr.Case) error {
			if slices.ContainsFunc(page, func(c scr.Case) bool { return c.CaseID == "GIANT" }) {
				return &scr.RejectedError{Reason: scr.RejectedTooLarge}
			}
			return nil
		})
		_, stop := r.start(map[string]*lists{"ACME": api})
		pass(time.Minute)
		stop()
		r.wantWritten("ACME/BEHIND/started")
		// The request for the second after it asks for it too, while nothing has shown
		// that it need not.
		if n, log := r.count("postident.sweep.holes"), r.logs.String(); n < 1 || n > 2 || !strings.Contains(log, "some cases are missed") {
			t.Errorf("%d holes counted, log: %s", n, log)
		}
	})
}

func TestPollerReportsAHole(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newPollRig(t)
		api := &lists{limit: 10}
		at := time.Now().Add(-time.Hour)
		for i := range 15 {
			api.set(fmt.Sprintf("CROWD%d", i), scr.CaseInProgress, scr.StatusStarted, at, at)
		}
		_, stop := r.start(map[string]*lists{"ACME": api})
		pass(time.Minute)
		stop() // what is stopped logs no more
		if log := r.logs.String(); !strings.Contains(log, "some cases are missed") || !strings.Contains(log, at.UTC().Truncate(time.Second).Format("2006-01-02T15:04:05")) {
			t.Errorf("the hole and its bounds are not in the log: %s", log)
		}
		if n := r.count("postident.sweep.holes"); n < 1 {
			t.Errorf("%d holes counted", n)
		}
	})
}

// count is the sum of a counter over its labels.
func (r *pollRig) count(name string) (total int64) {
	r.t.Helper()
	var rm metricdata.ResourceMetrics
	if err := r.metrics.Collect(context.Background(), &rm); err != nil {
		r.t.Fatal(err)
	}
	for _, scope := range rm.ScopeMetrics {
		for _, m := range scope.Metrics {
			if sum, ok := m.Data.(metricdata.Sum[int64]); ok && m.Name == name {
				for _, p := range sum.DataPoints {
					total += p.Value
				}
			}
		}
	}
	return total
}

func TestNewPollerReportsEveryMistake(t *testing.T) {
	t.Parallel()
	_, err := ingest.NewPoller(ingest.PollerConfig{
		Accounts: []ingest.PollAccount{{ClientID: "A"}, {ClientID: "A", List: (&lists{}).list}},
		Plan:     ingest.SweepPlan{Closed: -1},
	})
	for _, want := range []string{"topic", "no reader of lists", "given twice", "closed must not be negative", "past must be"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not tell %q", err, want)
		}
	}
}

// pass lets time pass on the bubble's clock, which takes none.
func pass(d time.Duration) {
	time.Sleep(d) //nolint:forbidigo // see above
}
