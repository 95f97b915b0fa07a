package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// commands runs kubectl and helm against the cluster.
type commands struct {
	tools, helm, chart string
	kubernetes         string // the server's version, x.y.z
	env                []string
}

// result is what a command wrote.
type result struct {
	out      []byte
	warnings []string
}

// run returns an error that ends with what the command said if it failed.
func (c *commands) run(ctx context.Context, stdin []byte, name string, args ...string) (result, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	program := filepath.Join(c.tools, name)
	if name == "helm" {
		program = c.helm
	}
	cmd := exec.CommandContext(ctx, program, args...)
	var out, stderr bytes.Buffer
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = c.env, bytes.NewReader(stdin), &out, &stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	err := cmd.Run()
	if err != nil {
		err = fmt.Errorf("run %s %s: %w: %s", name, args[0], err, strings.TrimSpace(stderr.String()))
	}
	return result{out.Bytes(), warnings(stderr.String())}, err
}

func (c *commands) kubectl(ctx context.Context, stdin []byte, args ...string) (result, error) {
	return c.run(ctx, stdin, "kubectl", args...)
}

// submit has the server judge the objects strictly without keeping them.
func (c *commands) submit(ctx context.Context, namespace string, all []object) (result, error) {
	content, err := documents(all)
	if err != nil {
		return result{}, err
	}
	return c.kubectl(ctx, content, "create", "--namespace", namespace, "--dry-run=server", "--validate=strict", "--filename=-", "--output=name")
}

// apply keeps the objects.
func (c *commands) apply(ctx context.Context, all []object) error {
	content, err := documents(all)
	if err != nil {
		return err
	}
	// Custom resource definitions are too large for the annotation that apply would keep by itself.
	_, err = c.kubectl(ctx, content, "apply", "--server-side", "--validate=strict", "--filename=-")
	return err
}

// get returns objects of the server.
func (c *commands) get(ctx context.Context, stdin []byte, args ...string) ([]object, error) {
	res, err := c.kubectl(ctx, stdin, append([]string{"get", "--output=json"}, args...)...)
	if err != nil {
		return nil, err
	}
	if len(bytes.TrimSpace(res.out)) == 0 {
		return nil, nil
	}
	var one object
	if err := json.Unmarshal(res.out, &one); err != nil {
		return nil, fmt.Errorf("read objects: %w", err)
	}
	items, ok := one["items"].([]any)
	if !ok {
		return []object{one}, nil
	}
	var all []object
	for _, item := range items {
		if o, ok := item.(map[string]any); ok {
			all = append(all, o)
		}
	}
	return all, nil
}

// render returns what the chart makes of values for a release, and fails if Helm warns.
func (c *commands) render(ctx context.Context, release, namespace string, values []string) ([]object, error) {
	args := []string{"template", release, c.chart, "--namespace", namespace, "--kube-version", c.kubernetes}
	res, err := c.run(ctx, nil, "helm", append(args, values...)...)
	if err != nil {
		return nil, err
	}
	if len(res.warnings) > 0 {
		return nil, fmt.Errorf("render chart: helm warns: %s", strings.Join(res.warnings, "; "))
	}
	return objects(res.out)
}

// newCommands keeps Helm's and kubectl's own files within the directory work.
func newCommands(tools, helm, chart, work, kubeconfig string) *commands {
	return &commands{
		tools: tools, helm: helm, chart: chart,
		env: append(os.Environ(), "KUBECONFIG="+kubeconfig, "HOME="+work, "HELM_CACHE_HOME="+work, "HELM_CONFIG_HOME="+work, "HELM_DATA_HOME="+work),
	}
}
