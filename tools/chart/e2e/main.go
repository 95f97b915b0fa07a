// Command e2e holds the Helm chart against the control plane of a real Kubernetes: what every value set renders is
// submitted with strict validation under the pod security standard "restricted", and releases are installed, upgraded,
// rolled back, tested and uninstalled. Called by `make chart-e2e`.
//
// usage: e2e TOOLS HELM CHART STRIMZI WORK
//
// TOOLS holds etcd, kube-apiserver, kube-controller-manager and kubectl; HELM is a program of Helm 3 or 4; STRIMZI the custom resource definitions that
// tools/strimzi-crds makes; WORK is made anew and keeps logs if something failed.
//
// No node runs: pods are admitted, and then said to be ready or to have ended well (see nodes).
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

func main() {
	if len(os.Args) != 6 {
		fmt.Fprintln(os.Stderr, "usage: e2e TOOLS HELM CHART STRIMZI WORK")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := run(ctx, summary{os.Stdout}, os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "chart-e2e:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s summary, tools, helm, chart, strimzi, work string) error {
	for _, path := range []*string{&tools, &helm, &chart, &strimzi, &work} {
		abs, err := filepath.Abs(*path)
		if err != nil {
			return fmt.Errorf("find %s: %w", *path, err)
		}
		*path = abs
	}
	if err := errors.Join(os.RemoveAll(work), os.MkdirAll(work, 0o700)); err != nil {
		return fmt.Errorf("make %s: %w", work, err)
	}
	if err := hold(ctx, s, tools, helm, chart, strimzi, work); err != nil {
		return fmt.Errorf("%w; logs and data are in %s", err, work)
	}
	s.printf("\nchart-e2e: passed\n")
	return os.RemoveAll(work)
}

// hold holds the chart against a cluster that ends with it.
func hold(ctx context.Context, s summary, tools, helm, chart, strimzi, work string) error {
	cl, err := startCluster(ctx, tools, work)
	defer cl.stop()
	if err != nil {
		return err
	}
	c := newCommands(tools, helm, chart, work, cl.kubeconfig)
	if err := c.prepare(ctx, strimzi); err != nil {
		return fmt.Errorf("prepare the cluster: %w", err)
	}
	version, err := c.run(ctx, nil, "helm", "version", "--template={{.Version}}")
	if err != nil {
		return err
	}
	s.printf("Kubernetes %s on loopback, Helm %s, namespaces under the pod security standard \"restricted\"\n\n", c.kubernetes, version.out)

	ci := filepath.Join(chart, "ci")
	failed, err := c.acceptAll(ctx, s, ci)
	if err != nil {
		return err
	}
	n := &nodes{c: cl}
	go n.run(ctx)
	failed += c.lives(ctx, s, n, ci)
	if failed > 0 {
		return fmt.Errorf("%d failed", failed)
	}
	return nil
}

// prepare makes what the value sets take for granted: custom resources, a priority class, a namespace.
func (c *commands) prepare(ctx context.Context, strimzi string) error {
	version, err := c.kubectl(ctx, nil, "version", "--output=json")
	if err != nil {
		return err
	}
	if c.kubernetes, err = serverVersion(version.out); err != nil {
		return err
	}
	crds, err := customResources(ctx, strimzi)
	if err != nil {
		return err
	}
	if err := c.apply(ctx, crds); err != nil {
		return err
	}
	if _, err := c.kubectl(ctx, nil, "wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"); err != nil {
		return err
	}
	return c.apply(ctx, []object{restricted(accepting), {
		"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": map[string]any{"name": "webhooks"}, "value": 1000,
	}})
}

// acceptAll submits every value set, then what must be refused, prints both, and returns how many were not as they should.
func (c *commands) acceptAll(ctx context.Context, s summary, ci string) (int, error) {
	files, err := filepath.Glob(filepath.Join(ci, "*-values.yaml"))
	if err != nil || len(files) == 0 {
		return 0, fmt.Errorf("find value sets in %s: %w", ci, errors.Join(err, os.ErrNotExist))
	}
	var sets []valueSet
	for _, file := range files {
		sets = append(sets, valueSet{strings.TrimSuffix(filepath.Base(file), "-values.yaml"), "bridge", []string{"--values=" + file}})
	}
	var all []object
	var accepted []acceptance
	for _, set := range append(sets, variants(ci)...) {
		rendered, err := c.render(ctx, set.release, accepting, set.args)
		if err != nil {
			accepted = append(accepted, acceptance{set: set, err: err})
			continue
		}
		accepted = append(accepted, c.accept(ctx, set, rendered))
		all = append(all, rendered...)
	}
	failed := s.accepted(accepted)
	refused, err := c.refusals(ctx, all, []string{"--values=" + filepath.Join(ci, "minimal-values.yaml")})
	if err != nil {
		return failed, fmt.Errorf("prepare what must be refused: %w", err)
	}
	return failed + s.refused(refused), nil
}

// lives plays every scenario and returns how many failed.
func (c *commands) lives(ctx context.Context, s summary, n *nodes, ci string) int {
	failed := 0
	s.livesHead()
	for _, sc := range scenarios(ci) {
		if ctx.Err() != nil {
			return failed + s.complain(context.Cause(ctx))
		}
		for _, o := range c.life(ctx, n, sc) {
			s.lived(o)
			if o.err != nil {
				failed++
			}
		}
	}
	return failed
}
