package ingest_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"postident-bridge/ingest"
	"postident-bridge/internal/sabotage"
	"postident-bridge/internal/scr"
)

// pollRows are the outside steps of the poller.
func pollRows() []matrixRow {
	return []matrixRow{
		{step: "read cursor", what: "read how far the sweeps have come"},
		{step: "confirm", what: "ask the group whether one still counts"},
		{step: "list", what: "ask the API for a list", hook: true},
		{step: "put", what: "write the triggers"},
		{step: "note cursor", what: "write how far the sweeps have come"},
		{step: "leave poll", what: "leave the group"},
	}
}

// stepOf says whether a request is the step. Topics of a produce go by their
// ids (KIP-516).
func (r *pollRig) stepOf(step string, req kmsg.Request) bool {
	switch req := req.(type) {
	case *kmsg.ListOffsetsRequest:
		return step == "read cursor"
	case *kmsg.HeartbeatRequest:
		return step == "confirm"
	case *kmsg.LeaveGroupRequest:
		return step == "leave poll"
	case *kmsg.ProduceRequest:
		for _, topic := range req.Topics {
			name := cmp.Or(topic.Topic, r.topics[topic.TopicID])
			if name == inboxTopic && step == "put" || name == cursorTopic && step == "note cursor" {
				return true
			}
		}
	}
	return false
}

// sweeping is one process that polls.
type sweeping struct {
	*sabotage.Process
	stop func()
}

// startProcess starts one; who made each request is noted under its name.
func (r *pollRig) startProcess(name string, api *lists, arm func(*sweeping)) *sweeping {
	r.t.Helper()
	s := &sweeping{Process: sabotage.NewProcess(r.rig.net.DialContext)}
	if arm != nil {
		arm(s)
	}
	p, err := ingest.NewPoller(ingest.PollerConfig{
		Kafka: []kgo.Opt{kgo.SeedBrokers(r.rig.cluster.ListenAddrs()...), kgo.Dialer(s.Dial)},
		Inbox: inboxTopic, Cursor: cursorTopic, Group: "postident.poll", Plan: r.plan,
		Accounts: []ingest.PollAccount{{ClientID: "ACME", List: func(ctx context.Context, f scr.Filter, each func(scr.Listed)) (page scr.Page, err error) {
			var heard []scr.Listed
			if struck := s.Step(ctx, "list", func() {
				r.requestBy(name)
				page, err = api.list(ctx, f, func(l scr.Listed) { heard = append(heard, l) })
			}); struck != nil {
				return scr.Page{}, &scr.UnavailableError{Err: struck}
			}
			for _, l := range heard {
				each(l)
			}
			return page, err
		}}},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			r.t.Errorf("poller ended with %v", err)
		}
	})
	r.t.Cleanup(func() {
		s.Close()
		s.stop()
	})
	return s
}

// requestBy notes who makes a request; "" begins the notes anew.
func (r *pollRig) requestBy(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.by = append(r.by, name); name == "" {
		r.by = nil
	}
}

// checkOwners looks at who made requests since a process woke up: it sends one at
// most as what it was before. Then the group may make it the account's owner, and
// the other one stops.
func (r *pollRig) checkOwners() {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	first := 0
	for first < len(r.by) && r.by[first] == r.by[0] {
		first++
	}
	if runs := len(slices.Compact(slices.Clone(r.by))); runs > 3 || runs == 3 && first > 1 {
		r.t.Errorf("two processes sweep one account: %v", r.by)
	}
}

// playPoller has one step of a poller struck while cases change, and sees that every
// state that a sweep could show is in the inbox in the end. Nothing but the
// closed sweep shows a case that was closed: if its cursor passed one that is not
// in the inbox, it would be missing for good.
func (c matrixCell) playPoller(t *testing.T) {
	t.Helper()
	r := newPollRig(t)
	r.plan.Reconcile = 0
	api := &lists{}
	begin := time.Now()
	change := func(n int) {
		api.set(fmt.Sprintf("CLOSED%d", n), scr.CaseClosed, scr.StatusSuccess, begin.Add(-time.Hour), time.Now())
		api.set("OPEN", scr.CaseInProgress, []string{scr.StatusStarted, scr.StatusIncomplete, scr.StatusReviewPending}[n], begin.Add(-time.Hour), time.Now())
	}
	arm := func(s *sweeping) {
		if c.hook {
			s.ArmStep(c.fault, c.fate, c.step)
		} else {
			s.ArmRequest(c.fault, c.fate, func(req kmsg.Request) bool { return r.stepOf(c.step, req) })
		}
	}
	change(0)
	old := r.startProcess("old", api, arm)
	if c.step == "leave poll" {
		pass(time.Minute)
		old.stop()
	}
	select {
	case <-old.Struck():
	case <-time.After(10 * time.Minute):
		t.Fatal("the step was never taken: the fault proves nothing")
	}
	change(1)
	if c.fate != sabotage.Same || c.step == "leave poll" {
		since := time.Now()
		r.startProcess("next", api, nil)
		eventually(t, 20*time.Second, "take-over", func() bool { return len(api.asked(since)) > 0 })
	}
	pass(10 * time.Minute)
	r.requestBy("")
	old.Release()
	change(2)
	pass(10 * time.Minute)
	r.checkOwners()
	want := []string{"CLOSED0", "CLOSED1", "CLOSED2", "OPEN/review pending"}
	var got []string
	for _, written := range r.written() {
		if _, state, ok := strings.Cut(written, "/"); ok {
			got = append(got, strings.TrimSuffix(state, "/success"))
		}
	}
	for _, state := range want {
		if !slices.Contains(got, state) {
			t.Errorf("%s is not in the inbox, which holds %v", state, got)
		}
	}
}

// P4: whatever outside step of a poller fails, however, and whoever goes on, what
// a sweep could show is in the inbox in the end.
func TestPollerFaultMatrix(t *testing.T) {
	t.Parallel()
	for _, row := range pollRows() {
		for _, fault := range sabotage.Faults() {
			for _, fate := range sabotage.Fates() {
				t.Run(fmt.Sprintf("%s/%s/%s", row.step, fault, fate), func(t *testing.T) {
					t.Parallel()
					synctest.Test(t, func(t *testing.T) { matrixCell{row, fault, fate}.playPoller(t) })
				})
			}
		}
	}
}
