package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"postident-bridge/internal/counterpart"
	"postident-bridge/internal/lab"
	"postident-bridge/internal/scrsim"
)

// "Shown by" 5 of the chart: two replicas of all roles are replaced twice under load,
// as Kubernetes would by the chart's own strategy, probes and grace. The sender meets
// a Service that hears of a pod's end late. No webhook is given up, nothing is lost,
// doubled or out of order, and every pod ends well within its grace.
//
// It runs alone: beside other tests a connection that ends takes so long to be noticed
// that more webhooks meet it (4 of 10,734 were seen), and come again.
func TestRollingRestart(t *testing.T) { //nolint:paralleltest // see above
	counterpart.SkipUnderRace(t)
	const cases, rolls = 100_000, 2 // more cases than there is time for
	kafka := counterpart.StartKafka(t, 1)
	registry := counterpart.StartRegistry(t, nil)
	service, err := lab.NewService(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := service.Close(); err != nil {
			t.Error(err)
		}
	})
	accounts := scrsim.ExampleAccounts("http://" + service.Addr())
	w := newWorldOf(t, "rolling.", kafka, registry, scrsim.Config{Accounts: accounts, Seed: 7, TimeScale: 60})
	w.bridge(t, "topics", "apply", "--replication", "1")
	d := newDeployment(t, w, service, "all-in-one")
	d.roll()

	loop := newClosedLoop(t, w, cases, isHooked)
	more := func() { t.Helper(); loop.await(t, loop.ended()+50) }
	more()
	for range rolls {
		d.roll()
		more()
	}
	loop.halt(t)
	w.settle(t)
	metrics := w.scrape(t)
	d.remove()
	d.judgeEnds()
	d.judgeWebhooks(w.sim.Attempts())
	verdict := w.judge(t, metrics)
	if due := loop.dues(); verdict.Events < due {
		t.Errorf("%d events for %d changes with a webhook", verdict.Events, due)
	}
}

// judgeEnds compares how the pods ended with what they may take.
func (d *deployment) judgeEnds() {
	d.t.Helper()
	accepted := 0
	for _, e := range d.ended {
		d.t.Logf("%s: out of the Service after %s, %d webhooks until then, ended after %s of %s",
			e.pod.name, e.late, e.accepted, e.took.Round(time.Millisecond), d.grace)
		if e.err != nil || e.took >= d.grace {
			d.t.Errorf("%s ended after %s of %s: %v", e.pod.name, e.took, d.grace, e.err)
		}
		accepted += e.accepted
	}
	if len(d.ended) != d.made || accepted == 0 {
		d.t.Errorf("%d of %d pods ended, and took %d webhooks meanwhile", len(d.ended), d.made, accepted)
	}
}

// unlucky is how many deliveries may meet a connection that ends: HTTP/1.1 tells no
// sender beforehand that one ends on which nothing was asked since the signal.
const unlucky = 2

// judgeWebhooks counts deliveries. The sender tries each webhook four times.
func (d *deployment) judgeWebhooks(attempts []scrsim.HookAttempt) {
	d.t.Helper()
	const last = 4
	failed, unanswered, givenUp := make(map[string]int), 0, 0
	for _, a := range attempts {
		switch a.Status {
		case http.StatusOK:
			continue
		case 0:
			unanswered++
			failed[a.Err[strings.LastIndex(a.Err, ": ")+1:]]++ // without addresses
		default:
			failed[http.StatusText(a.Status)]++
		}
		if a.Attempt == last {
			givenUp++
		}
	}
	// Without an endpoint it is this machine that was too slow to answer a probe.
	refused, unserved := d.service.Refused()
	d.t.Logf("%d deliveries: failed %v, given up %d; connections refused: %d, without an endpoint: %d",
		len(attempts), failed, givenUp, refused, unserved)
	if givenUp > 0 || refused > 0 || unanswered-unserved > unlucky {
		d.t.Errorf("%d webhooks were given up, %d deliveries had no answer, %d connections were refused", givenUp, unanswered, refused)
	}
	if len(attempts) < 1000 {
		d.t.Errorf("%d deliveries are no load", len(attempts))
	}
}
