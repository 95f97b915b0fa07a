package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// cluster is the control plane of a Kubernetes: etcd, kube-apiserver and kube-controller-manager on loopback, with TLS
// everywhere and nobody let in without a certificate. It has no node; see nodes.
type cluster struct {
	tools, dir string
	ca         *authority
	server     string       // the API server's URL
	admin      *http.Client // as cluster administrator
	kubeconfig string       // of the same
	running    []*process   // in the order of their start
}

// process is one that the cluster started.
type process struct {
	name string
	log  string
	stop context.CancelFunc
	done chan struct{} // closed when it has ended
}

// startCluster starts the programs of the directory tools, with their data, certificates and logs in dir. Whatever it
// returns, stop ends what it started.
func startCluster(ctx context.Context, tools, dir string) (*cluster, error) {
	c := &cluster{tools: tools, dir: dir}
	ports, err := freePorts(ctx, 4)
	if err != nil {
		return c, err
	}
	if err := c.certify(ports[2]); err != nil {
		return c, err
	}
	etcd := fmt.Sprintf("https://127.0.0.1:%d", ports[0])
	for _, step := range []struct {
		name  string
		args  []string
		ready string // URL that answers 200
	}{
		{"etcd", c.etcdArgs(etcd, fmt.Sprintf("https://127.0.0.1:%d", ports[1])), etcd + "/health"},
		{"kube-apiserver", c.apiserverArgs(etcd, ports[2]), c.server + "/readyz"},
		{"kube-controller-manager", c.controllerArgs(ports[3]), fmt.Sprintf("https://127.0.0.1:%d/healthz", ports[3])},
	} {
		p, err := c.start(ctx, step.name, step.args)
		if err != nil {
			return c, err
		}
		if err := c.await(ctx, p, step.ready); err != nil {
			return c, err
		}
	}
	return c, nil
}

func (c *cluster) certify(port int) error {
	var err error
	if c.ca, err = newAuthority(c.dir); err != nil {
		return err
	}
	c.server = fmt.Sprintf("https://127.0.0.1:%d", port)
	if err := errors.Join(
		c.ca.server("server"),
		c.ca.client("admin", "admin", "system:masters"),
		c.ca.client("controller-manager", "system:kube-controller-manager"),
		c.ca.client("service-account", "service-account"), // only its key is used, to sign tokens
	); err != nil {
		return err
	}
	config, err := c.ca.tls("admin")
	if err != nil {
		return err
	}
	c.admin = &http.Client{Transport: &http.Transport{TLSClientConfig: config}, Timeout: 10 * time.Second}
	if _, err := c.ca.kubeconfig("controller-manager", c.server); err != nil {
		return err
	}
	c.kubeconfig, err = c.ca.kubeconfig("admin", c.server)
	return err
}

func (c *cluster) etcdArgs(client, peer string) []string {
	args := []string{
		"--name=e2e", "--data-dir=" + filepath.Join(c.dir, "etcd"), "--unsafe-no-fsync", "--log-level=warn",
		"--listen-client-urls=" + client, "--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer, "--initial-cluster=e2e=" + peer,
	}
	for _, prefix := range []string{"--", "--peer-"} {
		args = append(args, prefix+"cert-file="+c.ca.path("server.crt"), prefix+"key-file="+c.ca.path("server.key"),
			prefix+"client-cert-auth", prefix+"trusted-ca-file="+c.ca.path("ca.crt"))
	}
	return args
}

func (c *cluster) apiserverArgs(etcd string, port int) []string {
	return []string{
		"--etcd-servers=" + etcd, "--etcd-cafile=" + c.ca.path("ca.crt"),
		"--etcd-certfile=" + c.ca.path("server.crt"), "--etcd-keyfile=" + c.ca.path("server.key"),
		"--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", port),
		"--tls-cert-file=" + c.ca.path("server.crt"), "--tls-private-key-file=" + c.ca.path("server.key"),
		"--client-ca-file=" + c.ca.path("ca.crt"), "--anonymous-auth=false", "--authorization-mode=Node,RBAC",
		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-key-file=" + c.ca.path("service-account.key"),
		"--service-account-signing-key-file=" + c.ca.path("service-account.key"),
		"--service-cluster-ip-range=10.96.0.0/16", "--endpoint-reconciler-type=none",
		// As on most clusters: it is the pod security standard that is to refuse a privileged pod.
		"--allow-privileged=true",
	}
}

func (c *cluster) controllerArgs(port int) []string {
	config := c.ca.path("controller-manager.kubeconfig")
	return []string{
		"--kubeconfig=" + config, "--authentication-kubeconfig=" + config, "--authorization-kubeconfig=" + config,
		"--bind-address=127.0.0.1", fmt.Sprintf("--secure-port=%d", port),
		"--tls-cert-file=" + c.ca.path("server.crt"), "--tls-private-key-file=" + c.ca.path("server.key"),
		"--leader-elect=false", "--use-service-account-credentials",
		"--service-account-private-key-file=" + c.ca.path("service-account.key"), "--root-ca-file=" + c.ca.path("ca.crt"),
	}
}

// start runs a program of the tools with its output in NAME.log.
func (c *cluster) start(ctx context.Context, name string, args []string) (*process, error) {
	log, err := os.Create(filepath.Join(c.dir, name+".log"))
	if err != nil {
		return nil, fmt.Errorf("make log of %s: %w", name, err)
	}
	defer func() { _ = log.Close() }() // the program has its own copy
	// An interrupt does not end the programs at once: stop does, one by one.
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	cmd := exec.CommandContext(ctx, filepath.Join(c.tools, name), args...)
	cmd.Stdout, cmd.Stderr = log, log
	// A group of its own: Ctrl-C in a terminal reaches this program only, which then ends the others.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		stop()
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p := &process{name: name, log: log.Name(), stop: stop, done: make(chan struct{})}
	c.running = append(c.running, p)
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // await tells of one that ended too early, by its log
	}()
	return p, nil
}

// await returns when the URL answers 200.
func (c *cluster) await(ctx context.Context, p *process, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		if status, _, err := c.call(ctx, http.MethodGet, url, "", nil); err == nil && status == http.StatusOK {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("start %s: it ended: %s", p.name, lastLines(p.log, 5))
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w: %s", p.name, context.Cause(ctx), lastLines(p.log, 5))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// stop ends what was started, the last first.
func (c *cluster) stop() {
	for _, p := range slices.Backward(c.running) {
		p.stop()
		<-p.done
	}
}

// call sends one request as administrator; kind is the body's content type.
func (c *cluster) call(ctx context.Context, method, url, kind string, body []byte) (int, []byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, fmt.Errorf("make request: %w", err)
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	res, err := c.admin.Do(req)
	if err != nil {
		return 0, nil, fmt.Errorf("send request: %w", err)
	}
	defer func() { _ = res.Body.Close() }() // it was only read
	var out bytes.Buffer
	if _, err := out.ReadFrom(res.Body); err != nil {
		return 0, nil, fmt.Errorf("read answer: %w", err)
	}
	return res.StatusCode, out.Bytes(), nil
}

// freePorts returns ports of loopback that nobody listens on.
func freePorts(ctx context.Context, n int) ([]int, error) {
	var ports []int
	for range n {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		defer func() { _ = l.Close() }() // all are held until all are found, so that they differ
		if addr, ok := l.Addr().(*net.TCPAddr); ok {
			ports = append(ports, addr.Port)
		}
	}
	return ports, nil
}

func lastLines(file string, n int) string {
	content, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
