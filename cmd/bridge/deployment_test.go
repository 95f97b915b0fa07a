package main

import (
	"bufio"
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"postident-bridge/internal/lab"
)

// deployment does with processes what Kubernetes does with the pods of a Deployment
// of the chart, by what the chart says: settings, strategy, probes, grace.
type deployment struct {
	t       *testing.T
	w       *world
	service *lab.Service

	replicas, surge, unavailable int
	grace                        time.Duration
	container                    containerSpec
	environ                      []string

	pods       []*pod // of the last roll
	made, told int    // pods that were started, and told to stop

	tasks sync.WaitGroup // ends of pods
	mu    sync.Mutex
	ended []podEnd // guarded by mu
}

// podEnd is how a pod ended that was told to.
type podEnd struct {
	pod        *pod
	late, took time.Duration // from the signal until the Service knew, and until the end
	accepted   int           // webhooks from the signal until the Service knew
	err        error
}

// lateness is how long the Service takes to hear of a pod's end, one pod after the
// other. All are less than the chart's delay, 10 s.
var lateness = []time.Duration{8 * time.Second, time.Second, 5 * time.Second, 3 * time.Second}

// newDeployment reads the Deployment of a value set's golden rendering.
func newDeployment(t *testing.T, w *world, service *lab.Service, set string) *deployment {
	t.Helper()
	g := readGolden(t, set)
	at := slices.IndexFunc(g, func(m manifest) bool { return m.Kind == "Deployment" })
	if at < 0 {
		t.Fatalf("%s has no Deployment", set)
	}
	spec := g[at].Spec
	d := &deployment{
		t: t, w: w, service: service, replicas: int(spec.Replicas),
		surge: spec.Strategy.RollingUpdate.MaxSurge, unavailable: spec.Strategy.RollingUpdate.MaxUnavailable,
		grace: time.Duration(spec.Template.Spec.Grace) * time.Second, container: spec.Template.Spec.Containers[0],
	}
	if spec.Strategy.Type != "RollingUpdate" || d.surge+d.unavailable == 0 || d.replicas < 2 || d.container.Lifecycle != nil {
		t.Fatalf("the test does not play strategy %v of %d replicas with lifecycle %v", spec.Strategy, d.replicas, d.container.Lifecycle)
	}
	for _, c := range g.containers() {
		if !strings.HasPrefix(c.name, "Deployment/") {
			continue
		}
		for variable, value := range c.environ {
			// Where things are, and who may enter, is the test's own.
			if !strings.HasSuffix(variable, fileSuffix) && !strings.HasPrefix(variable, envPrefix+"ACCOUNT_") &&
				!strings.HasPrefix(variable, envPrefix+"SCHEMA_REGISTRY_") {
				d.environ = append(d.environ, variable+"="+value)
			}
		}
	}
	return d
}

// roll replaces all pods, and returns when the last of them has ended. There may be
// surge pods more than there should be, and unavailable fewer that are ready; those
// that are told to stop do not count.
func (d *deployment) roll() {
	d.t.Helper()
	old, made := d.pods, []*pod(nil)
	eventually(d.t, "all pods are replaced", func() bool {
		for len(made) < d.replicas && len(old)+len(made) < d.replicas+d.surge {
			made = append(made, d.create())
		}
		for len(old) > 0 && readyOf(made)+readyOf(old[1:]) >= d.replicas-d.unavailable {
			d.terminate(old[0])
			old = old[1:]
		}
		return len(old) == 0 && readyOf(made) == d.replicas
	})
	d.pods = made
	d.tasks.Wait()
}

// remove ends all pods.
func (d *deployment) remove() {
	d.t.Helper()
	for _, p := range d.pods {
		d.terminate(p)
	}
	d.pods = nil
	d.tasks.Wait()
}

func readyOf(pods []*pod) (n int) {
	for _, p := range pods {
		if p.serves.Load() {
			n++
		}
	}
	return n
}

// pod is a replica that its probes watch.
type pod struct {
	*replica
	serves  atomic.Bool        // its probe finds it ready
	forget  context.CancelFunc // ends the probes
	watched chan struct{}      // closed when they have ended
}

// create starts a pod. The Service has it while its probe finds it ready.
func (d *deployment) create() *pod {
	d.t.Helper()
	p := &pod{replica: newReplica(d.t, d.w, d.made), watched: make(chan struct{})}
	d.made++
	d.w.replicas = append(d.w.replicas, p.replica)
	p.args, p.env = d.container.Args, append(slices.Clone(d.environ), p.env...)
	p.launch(d.t)
	var ctx context.Context
	ctx, p.forget = context.WithCancel(context.Background())
	go d.watch(ctx, p)
	d.t.Cleanup(func() { // before the replica's own
		p.forget()
		<-p.watched
		d.tasks.Wait()
	})
	return p
}

// watch asks the startup probe until it succeeds, then the readiness probe.
func (d *deployment) watch(ctx context.Context, p *pod) {
	defer close(p.watched)
	for !d.probe(ctx, p, d.container.StartupProbe) {
		if !pause(ctx, time.Duration(d.container.StartupProbe.Period)*time.Second) {
			return
		}
	}
	probe, failures := d.container.ReadinessProbe, 0
	for {
		if d.probe(ctx, p, probe) {
			failures = 0
		} else {
			failures++
		}
		switch {
		case ctx.Err() != nil: // its end is another matter
		case failures == 0 && !p.serves.Load():
			d.service.Add(p.webhook)
			p.serves.Store(true)
		case failures == probe.FailureThreshold && p.serves.Load():
			d.t.Logf("%s is not ready any more: %s", p.name, p.ready())
			p.serves.Store(false)
			d.service.Remove(p.webhook)
		}
		if !pause(ctx, time.Duration(probe.Period)*time.Second) {
			return
		}
	}
}

func (d *deployment) probe(ctx context.Context, p *pod, probe probeSpec) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(probe.Timeout)*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.admin+probe.HTTPGet.Path, nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	return resp.Body.Close() == nil && resp.StatusCode < http.StatusBadRequest
}

// terminate tells a pod to stop. The Service hears of it late; a pod that is there
// at the end of its grace is killed.
func (d *deployment) terminate(p *pod) {
	d.t.Helper()
	p.forget()
	<-p.watched
	end := podEnd{pod: p, late: lateness[d.told%len(lateness)]}
	d.told++
	cmd, began, before := p.cmd, time.Now(), p.accepted()
	p.cmd = nil // scrapes leave it out
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		d.t.Fatal(err)
	}
	d.tasks.Go(func() {
		var hears sync.WaitGroup
		hears.Go(func() {
			pause(context.Background(), end.late)
			end.accepted = max(0, p.accepted()-before) // 0 of one that has ended
			d.service.Remove(p.webhook)
		})
		kill := time.AfterFunc(d.grace, func() { _ = cmd.Process.Kill() })
		end.err = cmd.Wait()
		end.took = time.Since(began)
		if !kill.Stop() {
			end.err = errors.Join(errors.New("killed"), end.err)
		}
		hears.Wait()
		d.mu.Lock()
		defer d.mu.Unlock()
		d.ended = append(d.ended, end)
	})
}

// accepted is how many webhooks a pod has answered 200, 0 if it does not say.
func (p *pod) accepted() (n int) {
	resp, err := http.Get("http://" + p.admin + "/metrics")
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if strings.HasPrefix(name, "postident_webhook_requests_total{") && strings.Contains(name, `code="200"`) {
			if of, err := strconv.Atoi(value); err == nil {
				n += of
			}
		}
	}
	return n
}
