package lab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// process is one bridge, started again and again at the same addresses.
type process struct {
	name           string
	binary         string
	env            []string
	admin, webhook string
	logPath        string

	mu      sync.Mutex
	running *running // guarded by mu; nil while it is down
	ended   []string // guarded by mu: ends that nobody asked for
}

// running is one life of a process.
type running struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed when err is set
	err    error
	asked  bool // guarded by process.mu: its end was asked for
}

// stopTime bounds a graceful stop: the bridge's own limit is 20 s.
const stopTime = 30 * time.Second

// start starts the process. It does not wait until it is ready: what it needs
// may be away.
func (p *process) start(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running != nil {
		return fmt.Errorf("start %s: runs already", p.name)
	}
	log, err := os.OpenFile(p.logPath, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open log of %s: %w", p.name, err)
	}
	// The process outlives ctx: whoever started it ends it.
	cmd := exec.CommandContext(context.WithoutCancel(ctx), p.binary, "run")
	cmd.Env = p.env
	cmd.Stdout, cmd.Stderr = log, log
	DieWithParent(cmd)
	if err := cmd.Start(); err != nil {
		return errors.Join(fmt.Errorf("start %s: %w", p.name, err), log.Close())
	}
	r := &running{cmd: cmd, exited: make(chan struct{})}
	p.running = r
	go func() {
		err := errors.Join(cmd.Wait(), log.Close())
		p.mu.Lock()
		defer p.mu.Unlock()
		r.err = err
		if !r.asked {
			p.ended = append(p.ended, fmt.Sprintf("%s ended by itself: %v", p.name, err))
			p.running = nil
		}
		close(r.exited)
	}()
	return nil
}

var errDown = errors.New("does not run")

// ask takes the present life for one whose end is asked for.
func (p *process) ask() (*running, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running == nil {
		return nil, fmt.Errorf("%s: %w", p.name, errDown)
	}
	r := p.running
	r.asked = true
	p.running = nil
	return r, nil
}

// kill ends the process at once and returns when it is gone.
func (p *process) kill() error {
	r, err := p.ask()
	if err != nil {
		return err
	}
	_ = r.cmd.Process.Kill() // an error means that it has ended
	<-r.exited
	return nil
}

// stop asks the process to end, as Kubernetes does, and expects it to end well.
func (p *process) stop() error {
	r, err := p.ask()
	if err != nil {
		return err
	}
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop %s: %w", p.name, err)
	}
	timer := time.NewTimer(stopTime)
	defer timer.Stop()
	select {
	case <-r.exited:
		if r.err != nil {
			return fmt.Errorf("stop %s: %w", p.name, r.err)
		}
		return nil
	case <-timer.C:
		_ = r.cmd.Process.Kill()
		<-r.exited
		return fmt.Errorf("stop %s: not ended after %s", p.name, stopTime)
	}
}

// signal sends a signal that ends nothing.
func (p *process) signal(s os.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running == nil {
		return fmt.Errorf("%s: %w", p.name, errDown)
	}
	if err := p.running.cmd.Process.Signal(s); err != nil {
		return fmt.Errorf("signal %s: %w", p.name, err)
	}
	return nil
}

// down reports whether the process does not run.
func (p *process) down() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.running == nil
}

// ownEnds are the ends that nobody asked for.
func (p *process) ownEnds() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.ended...)
}

// ready is nil when the process says so itself.
func (p *process) ready(ctx context.Context) error {
	body, status, err := get(ctx, "http://"+p.admin+"/readyz")
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return fmt.Errorf("%s is not ready: %s", p.name, body)
	}
	return nil
}

// metrics is what the process shows at /metrics.
func (p *process) metrics(ctx context.Context) ([]byte, error) {
	body, status, err := get(ctx, "http://"+p.admin+"/metrics")
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("metrics of %s: status %d", p.name, status)
	}
	return body, err
}

// answerTime bounds a question to a process.
const answerTime = 3 * time.Second

func get(ctx context.Context, url string) (body []byte, status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, 0, err
	}
	body, err = io.ReadAll(resp.Body)
	return body, resp.StatusCode, errors.Join(err, resp.Body.Close())
}
