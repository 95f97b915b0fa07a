package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"postident-bridge/internal/testbed"
)

const (
	// startLimit bounds the start of a process that is measured, stopLimit its
	// end after the signal.
	startLimit = time.Minute
	stopLimit  = 30 * time.Second
)

// tagsFile names the build tags of the image.
const tagsFile = "tools/image/build-tags"

// build compiles a program of the module as that of the image is compiled, once for a
// run, and gives its path.
func (e *Env) build(ctx context.Context, pkg string) (string, error) {
	if path := e.binaries[pkg]; path != "" {
		return path, nil
	}
	root, err := testbed.ModuleRoot()
	if err != nil {
		return "", err
	}
	tags, err := os.ReadFile(filepath.Join(root, tagsFile))
	if err != nil {
		return "", fmt.Errorf("read build tags: %w", err)
	}
	path := filepath.Join(e.dir, filepath.Base(pkg))
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-tags="+strings.TrimSpace(string(tags)), "-ldflags=-s -w", "-o", path, "./"+pkg)
	build.Dir, build.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w: %s", pkg, err, out)
	}
	e.binaries[pkg] = path
	return path, nil
}

// process is a program that is measured from outside.
type process struct {
	cmd   *exec.Cmd
	name  string
	ended chan struct{} // closed when it has ended; then err may be read
	err   error
	tail  *tail
}

// startProcess starts a program; its lines go to line, one after the other, and
// the last of them into the error if it ends by itself.
func startProcess(ctx context.Context, environ []string, line func(string), path string, args ...string) (*process, error) {
	p := &process{name: filepath.Base(path), ended: make(chan struct{}), tail: new(tail)}
	// Detached: it is stopped in order, by stop.
	p.cmd = exec.CommandContext(context.WithoutCancel(ctx), path, args...)
	p.cmd.Env = environ
	out, in := io.Pipe()
	p.cmd.Stdout, p.cmd.Stderr = in, in
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	var lines sync.WaitGroup
	lines.Go(func() {
		scanner := bufio.NewScanner(out)
		scanner.Buffer(nil, 1<<20)
		for scanner.Scan() {
			p.tail.add(scanner.Text())
			line(scanner.Text())
		}
		_, _ = io.Copy(io.Discard, out) // a line too long ends the scanner, and must not block the process
	})
	go func() {
		p.err = p.cmd.Wait()
		_ = in.Close()
		lines.Wait()
		close(p.ended)
	}()
	return p, nil
}

// stop asks the process to end and waits until it has.
func (p *process) stop() error {
	// That it has ended already shows below.
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(stopLimit):
		_ = p.cmd.Process.Kill()
		<-p.ended
		return fmt.Errorf("stop %s: not within %v", p.name, stopLimit)
	}
	if p.err != nil {
		return fmt.Errorf("%s: %w: %s", p.name, p.err, p.tail)
	}
	return nil
}

// await waits for a value that the process is to give soon after its start.
func await[T any](ctx context.Context, p *process, what string, value <-chan T) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	var none T
	select {
	case v := <-value:
		return v, nil
	case <-p.ended:
		return none, fmt.Errorf("%s ended before %s: %w: %s", p.name, what, p.err, p.tail)
	case <-ctx.Done():
		return none, fmt.Errorf("%s: wait for %s: %w: %s", p.name, what, ctx.Err(), p.tail)
	}
}

// bridge is a running `bridge run`.
type bridge struct {
	*process
	admin, webhook string // the addresses that it serves
}

// startBridge starts `bridge run` and returns when it is ready. Environ needs
// neither addresses nor what kafkaVariables gives.
func (e *Env) startBridge(ctx context.Context, kafka *testbed.Kafka, environ []string, args ...string) (*bridge, error) {
	path, err := e.Bridge(ctx)
	if err != nil {
		return nil, err
	}
	environ = append(e.kafkaVariables(kafka), environ...)
	environ = append(environ, "BRIDGE_ADMIN_ADDR=127.0.0.1:0", "BRIDGE_WEBHOOK_ADDR=127.0.0.1:0")
	type started struct {
		Msg     string `json:"msg"`
		Admin   string `json:"admin_addr"`
		Webhook string `json:"webhook_addr"`
	}
	where := make(chan started, 1)
	p, err := startProcess(ctx, environ, func(line string) {
		var s started
		if strings.Contains(line, `"bridge started"`) && json.Unmarshal([]byte(line), &s) == nil {
			where <- s
		}
	}, path, append([]string{"run"}, args...)...)
	if err != nil {
		return nil, err
	}
	b := &bridge{process: p}
	s, err := await(ctx, p, "its start", where)
	if err == nil {
		b.admin, b.webhook = s.Admin, s.Webhook
		_, err = await(ctx, p, "readiness", whenReady(ctx, s.Admin))
	}
	if err != nil {
		_ = p.stop() // the first error says more
		return nil, err
	}
	return b, nil
}

// whenReady gives a value when the bridge says that it is ready.
func whenReady(ctx context.Context, admin string) <-chan struct{} {
	ready := make(chan struct{}, 1)
	go func() {
		ctx, cancel := context.WithTimeout(ctx, startLimit)
		defer cancel()
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			if isReady(ctx, admin) {
				ready <- struct{}{}
				return
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	return ready
}

func isReady(ctx context.Context, admin string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/readyz", http.NoBody)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// tail keeps the last lines of a process's output.
type tail struct {
	mu    sync.Mutex
	lines []string // guarded by mu
}

func (t *tail) add(line string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines[max(0, len(t.lines)-19):], line)
}

// String is what is kept.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.lines, "\n")
}
