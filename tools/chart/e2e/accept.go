package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// accepting is the namespace under the pod security standard "restricted" that manifests are submitted to.
const accepting = "postident"

// valueSet is a set of values that the chart is rendered with.
type valueSet struct {
	name    string
	release string
	args    []string // of helm
}

// acceptance is what the server said of a value set: how many objects and pods it took, of how many.
type acceptance struct {
	set                       valueSet
	objects, objectsIn        int
	pods, podsIn, warnedTimes int
	err                       error
}

// accept submits every object of the set, and as bare pods what they would run.
func (c *commands) accept(ctx context.Context, set valueSet, all []object) acceptance {
	pods := podsOf(all)
	_, others := split(all, "Pod")
	accounts, _ := split(all, "ServiceAccount")
	a := acceptance{set: set, objects: len(others), pods: len(pods)}
	judged, err := c.submit(ctx, accepting, others)
	a.objectsIn, a.err = lines(judged.out), err

	// A pod is admitted only where its ServiceAccount is.
	content, err := documents(accounts)
	if err != nil {
		a.err = errors.Join(a.err, err)
		return a
	}
	if _, err := c.kubectl(ctx, content, "create", "--namespace", accepting, "--filename=-"); err != nil {
		a.err = errors.Join(a.err, err)
		return a
	}
	bare, err := c.submit(ctx, accepting, pods)
	a.podsIn = lines(bare.out)
	_, deleteErr := c.kubectl(ctx, content, "delete", "--namespace", accepting, "--filename=-")
	a.err = errors.Join(a.err, err, deleteErr)

	said := slices.Concat(judged.warnings, bare.warnings)
	a.warnedTimes = len(said)
	if len(said) > 0 {
		a.err = errors.Join(a.err, fmt.Errorf("submit %s: the server warns: %s", set.name, strings.Join(said, "; ")))
	}
	if a.err == nil && (a.objectsIn != a.objects || a.podsIn != a.pods || a.pods == 0) {
		a.err = fmt.Errorf("submit %s: not every object or pod was accepted", set.name)
	}
	return a
}

func lines(out []byte) int { return strings.Count(string(out), "\n") }

// refusal is something that the server must refuse, so that its acceptance means something.
type refusal struct {
	what string
	says string // part of its message
	// warns: the server warns instead.
	warns bool
	err   error
}

// refuse submits objects and expects the message.
func (c *commands) refuse(ctx context.Context, r refusal, all []object) refusal {
	res, err := c.submit(ctx, accepting, all)
	said := strings.Join(res.warnings, "; ")
	if !r.warns {
		if err == nil {
			r.err = fmt.Errorf("submit %s: it was accepted", r.what)
			return r
		}
		said = err.Error()
	} else if err != nil {
		r.err = err
		return r
	}
	if !strings.Contains(said, r.says) {
		r.err = fmt.Errorf("submit %s: the message lacks %q: %s", r.what, r.says, said)
	}
	return r
}

// refusals submits, by the way that accept goes, each kind with a field that it does not have, a value of the wrong type,
// and pods that are not "restricted".
func (c *commands) refusals(ctx context.Context, all []object, values []string) ([]refusal, error) {
	var done []refusal
	seen := map[string]bool{}
	for _, o := range all {
		kind := o.text("apiVersion") + " " + o.text("kind")
		if seen[kind] {
			continue
		}
		seen[kind] = true
		wrong, field := misspelt(o)
		done = append(done, c.refuse(ctx, refusal{what: kind + " with a misspelt field", says: fmt.Sprintf("strict decoding error: unknown field %q", field)}, []object{wrong}))
	}
	for _, o := range all {
		if o.text("kind") == "Deployment" {
			wrong := o.copied()
			wrong.set("two", "spec", "replicas")
			done = append(done, c.refuse(ctx, refusal{what: "a Deployment with replicas: two", says: "cannot unmarshal string"}, []object{wrong}))
			break
		}
	}
	for _, unsafe := range []struct{ what, set, says string }{
		{"a privileged container", "--set=securityContext.privileged=true,securityContext.allowPrivilegeEscalation=true", "privileged"},
		{"a container that may be root", "--set=securityContext.runAsNonRoot=null,podSecurityContext.runAsNonRoot=null", "runAsNonRoot"},
		{"a volume of the node", "--set-json=extraVolumes=[{\"name\":\"node\",\"hostPath\":{\"path\":\"/\"}}]", "restricted volume types"},
	} {
		rendered, err := c.render(ctx, "bridge", accepting, append([]string{"--set=serviceAccount.create=false", unsafe.set}, values...))
		if err != nil {
			return done, err
		}
		for _, o := range rendered {
			if o.text("kind") != "Deployment" {
				continue
			}
			done = append(done,
				c.refuse(ctx, refusal{what: "a Deployment with " + unsafe.what + " (warning)", says: "would violate PodSecurity", warns: true}, []object{o}),
				c.refuse(ctx, refusal{what: "a Pod with " + unsafe.what, says: "violates PodSecurity \"restricted:latest\": " + unsafe.says}, podsOf([]object{o})))
			break
		}
	}
	return done, nil
}
