package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// step is one command of Helm on a release, and what must be true after it.
type step struct {
	verb string   // install, upgrade, rollback, test, uninstall
	says string   // for the summary
	args []string // values, or the revision of a rollback
	// fails is part of the message with which Helm must fail, and failing the component whose pods fail then. Afterwards
	// the release's objects must be as they were.
	fails, failing string
	// keeps are the objects that an uninstall leaves, or a hook that failed.
	keeps []string
}

// scenario is the life of one release in a namespace of its own, under the pod security standard "restricted".
type scenario struct {
	name    string
	release string
	steps   []step
}

// outcome is what a step showed.
type outcome struct {
	scenario, says string
	objects, pods  int
	took           time.Duration
	err            error
}

// life plays a scenario; it ends with the first step that fails.
func (c *commands) life(ctx context.Context, n *nodes, s scenario) []outcome {
	namespace := "life-" + s.name
	if err := c.apply(ctx, []object{restricted(namespace)}); err != nil {
		return []outcome{{scenario: s.name, says: "make the namespace", err: err}}
	}
	var outcomes []outcome
	var before []object
	for _, st := range s.steps {
		start := time.Now()
		o := outcome{scenario: s.name, says: st.says}
		n.failing.Store(st.failing)
		after, err := c.step(ctx, s.release, namespace, st, before)
		n.failing.Store("")
		if err == nil && st.verb != "uninstall" {
			o.pods, err = c.ready(ctx, namespace)
		}
		before = after
		o.objects, o.took, o.err = len(after), time.Since(start), err
		outcomes = append(outcomes, o)
		if err != nil {
			if problem, ok := n.problem.Load().(string); ok {
				outcomes[len(outcomes)-1].err = fmt.Errorf("%w; the last problem with pods was: %s", err, problem)
			}
			break
		}
	}
	return outcomes
}

// step runs Helm and holds the namespace against what the release then says that it has, which it returns. before is what
// the release had until now.
func (c *commands) step(ctx context.Context, release, namespace string, st step, before []object) ([]object, error) {
	args := []string{st.verb, release}
	switch st.verb {
	case "install", "upgrade":
		args = append(append(args, c.chart, "--wait", "--wait-for-jobs", "--timeout=90s"), st.args...)
	case "rollback":
		args = append(append(args, st.args...), "--wait", "--wait-for-jobs", "--timeout=90s")
	case "test":
		args = append(args, "--timeout=90s")
	case "uninstall":
		args = append(args, "--wait", "--timeout=90s")
	}
	res, err := c.run(ctx, nil, "helm", append(args, "--namespace", namespace)...)
	if st.fails != "" {
		if err == nil {
			return nil, errors.New("helm " + st.verb + " succeeded")
		}
		if !strings.Contains(err.Error(), st.fails) {
			return nil, fmt.Errorf("expect %q: %w", st.fails, err)
		}
		return before, errors.Join(c.compare(ctx, namespace, before), c.left(ctx, namespace, named(before), st.keeps))
	}
	if err != nil {
		return nil, err
	}
	if len(res.warnings) > 0 {
		return nil, fmt.Errorf("helm %s warns: %s", st.verb, strings.Join(res.warnings, "; "))
	}
	if st.verb == "uninstall" {
		return nil, c.left(ctx, namespace, nil, st.keeps)
	}
	manifest, err := c.run(ctx, nil, "helm", "get", "manifest", release, "--namespace", namespace)
	if err != nil {
		return nil, err
	}
	after, err := objects(manifest.out)
	if err != nil {
		return nil, err
	}
	if err := c.compare(ctx, namespace, after); err != nil {
		return nil, err
	}
	// Nothing else is left either, of the revision before or of hooks, but for what is to be kept.
	return after, c.only(ctx, namespace, append(named(after), kept(before)...))
}

// kept names the objects that Helm leaves when their release gives them up.
func kept(all []object) []string {
	var names []string
	for _, o := range all {
		if o.text("metadata", "annotations", "helm.sh/resource-policy") == "keep" {
			names = append(names, o.String())
		}
	}
	return names
}

// compare holds each object against the server's, field by field.
func (c *commands) compare(ctx context.Context, namespace string, want []object) error {
	content, err := documents(want)
	if err != nil {
		return err
	}
	got, err := c.get(ctx, content, "--namespace", namespace, "--filename=-")
	if err != nil {
		return err
	}
	has := map[string]object{}
	for _, g := range got {
		has[g.String()] = g
	}
	for _, w := range want {
		if miss := lacking(map[string]any(w), map[string]any(has[w.String()]), w.String()); miss != "" {
			return fmt.Errorf("compare objects: the server has %s", miss)
		}
	}
	return nil
}

// left holds what the namespace has against the objects that stay: all of keeps, and whichever of expected there are.
func (c *commands) left(ctx context.Context, namespace string, expected, keeps []string) error {
	for _, name := range keeps {
		if _, err := c.get(ctx, nil, "--namespace", namespace, name); err != nil {
			return err
		}
	}
	return c.only(ctx, namespace, slices.Concat(expected, keeps))
}

// only waits until the namespace has nothing but what is expected: what an owner had is removed some time after it.
func (c *commands) only(ctx context.Context, namespace string, expected []string) error {
	kinds, err := c.kubectl(ctx, nil, "api-resources", "--namespaced", "--verbs=list", "--output=name")
	if err != nil {
		return err
	}
	names := slices.DeleteFunc(strings.Fields(string(kinds.out)), func(kind string) bool { return strings.HasPrefix(kind, "events") })
	return until(ctx, func() error {
		all, err := c.get(ctx, nil, "--namespace", namespace, strings.Join(names, ","))
		if err != nil {
			return err
		}
		if more := append(strangers(all, expected), orphans(all)...); len(more) > 0 {
			return fmt.Errorf("look for leftovers: there is %s", strings.Join(more, ", "))
		}
		return nil
	})
}

// until tries again for half a minute, and returns the last error.
func until(ctx context.Context, check func() error) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		err := check()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(300 * time.Millisecond):
		}
	}
}

// ready counts the pods of the namespace, once each workload has as many as it wants, admitted and ready. An autoscaler may
// still be asking for more.
func (c *commands) ready(ctx context.Context, namespace string) (int, error) {
	total := 0.0
	err := until(ctx, func() error {
		workloads, err := c.get(ctx, nil, "--namespace", namespace, "deployments,statefulsets")
		if err != nil {
			return err
		}
		total = 0
		for _, w := range workloads {
			wanted, _ := w.at("spec", "replicas").(float64)
			ready, _ := w.at("status", "readyReplicas").(float64)
			updated, _ := w.at("status", "updatedReplicas").(float64)
			if wanted == 0 || ready < wanted || updated < wanted {
				return fmt.Errorf("count pods: %s has %v ready and %v updated of %v", w, ready, updated, wanted)
			}
			total += ready
		}
		if total == 0 {
			return errors.New("count pods: there is none")
		}
		return nil
	})
	return int(total), err
}

// restricted is a namespace under the pod security standard of that name.
func restricted(name string) object {
	return object{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": name, "labels": map[string]any{
		"pod-security.kubernetes.io/enforce": "restricted",
		"pod-security.kubernetes.io/audit":   "restricted",
		"pod-security.kubernetes.io/warn":    "restricted",
	}}}
}
