package main

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// object is a manifest, or what the API server keeps of it.
type object map[string]any

// separator stands between the documents of a rendering.
var separator = regexp.MustCompile(`(?m)^---[ \t]*$`)

// objects reads the documents of a rendering.
func objects(rendered []byte) ([]object, error) {
	var all []object
	for _, document := range separator.Split(string(rendered), -1) {
		var o object
		if err := yaml.UnmarshalStrict([]byte(document), &o); err != nil {
			return nil, fmt.Errorf("read manifest: %w", err)
		}
		if len(o) > 0 {
			all = append(all, o)
		}
	}
	return all, nil
}

// documents writes objects one by one. In a List kubectl would judge them by itself, and not ask the server.
func documents(all []object) ([]byte, error) {
	var out []byte
	for _, o := range all {
		content, err := json.Marshal(o)
		if err != nil {
			return nil, fmt.Errorf("write %s: %w", o, err)
		}
		out = append(append(out, content...), "\n---\n"...)
	}
	return out, nil
}

// split returns the objects of a kind, and the others.
func split(all []object, kind string) (of, others []object) {
	for _, o := range all {
		if o.text("kind") == kind {
			of = append(of, o)
		} else {
			others = append(others, o)
		}
	}
	return of, others
}

// at returns what stands at a path of keys, nil if nothing does.
func (o object) at(keys ...string) any {
	var value any = map[string]any(o)
	for _, key := range keys {
		m, _ := value.(map[string]any)
		value = m[key]
	}
	return value
}

func (o object) text(keys ...string) string {
	s, _ := o.at(keys...).(string)
	return s
}

// String names the object as kubectl does.
func (o object) String() string { return o.text("kind") + "/" + o.text("metadata", "name") }

// set writes a value at a path of keys, with maps on the way to it where there are none.
func (o object) set(value any, keys ...string) {
	m := map[string]any(o)
	for _, key := range keys[:len(keys)-1] {
		inner, ok := m[key].(map[string]any)
		if !ok {
			inner = map[string]any{}
			m[key] = inner
		}
		m = inner
	}
	m[keys[len(keys)-1]] = value
}

// copied returns a deep copy.
func (o object) copied() object { return copiedMap(o) }

func copiedMap(m map[string]any) map[string]any {
	out := make(map[string]any, len(m))
	for key, value := range m {
		out[key] = copiedValue(value)
	}
	return out
}

func copiedValue(value any) any {
	switch v := value.(type) {
	case map[string]any:
		return copiedMap(v)
	case []any:
		out := make([]any, len(v))
		for i, inner := range v {
			out[i] = copiedValue(inner)
		}
		return out
	}
	return value
}

// podsOf returns what the objects would run, each as a Pod: of a Deployment that breaks the pod security standard the API
// server only warns, and refuses its pods.
func podsOf(all []object) []object {
	var pods []object
	for _, o := range all {
		if o.text("kind") == "Pod" {
			pods = append(pods, o)
			continue
		}
		template, ok := o.copied().at("spec", "template").(map[string]any)
		if !ok || template["spec"] == nil {
			continue
		}
		p := object{"apiVersion": "v1", "kind": "Pod", "metadata": template["metadata"], "spec": template["spec"]}
		p.set(o.text("metadata", "name"), "metadata", "name")
		pods = append(pods, p)
	}
	return pods
}

// misspelt returns the object with a field that its kind does not have, and the field's path.
func misspelt(o object) (object, string) {
	o = o.copied()
	if o["spec"] == nil {
		o.set(true, "misspelt")
		return o, "misspelt"
	}
	o.set(true, "spec", "misspelt")
	return o, "spec.misspelt"
}

// lacking says where got lacks what want has; empty if nowhere. What got has besides, as the server's defaults, does not
// count, and neither does whether something empty is written down.
func lacking(want, got any, path string) string {
	switch w := want.(type) {
	case map[string]any:
		g, _ := got.(map[string]any)
		for key, value := range w {
			if miss := lacking(value, g[key], path+"."+key); miss != "" {
				return miss
			}
		}
		return ""
	case []any:
		g, _ := got.([]any)
		if len(w) != len(g) {
			return fmt.Sprintf("%s: %d elements for %d", path, len(g), len(w))
		}
		for i := range w {
			if miss := lacking(w[i], g[i], fmt.Sprintf("%s[%d]", path, i)); miss != "" {
				return miss
			}
		}
		return ""
	}
	if empty(want) && empty(got) || reflect.DeepEqual(want, got) {
		return ""
	}
	return fmt.Sprintf("%s: %v for %v", path, got, want)
}

func empty(value any) bool { return value == nil || reflect.ValueOf(value).IsZero() }

// strangers returns, sorted, the objects of a namespace that neither Kubernetes made by itself nor an owner in it, and that
// are not expected by String.
func strangers(all []object, expected []string) []string {
	var names []string
	for _, o := range all {
		name := o.String()
		owners, _ := o.at("metadata", "ownerReferences").([]any)
		switch {
		case len(owners) > 0, slices.Contains(expected, name):
		case name == "ServiceAccount/default", name == "ConfigMap/kube-root-ca.crt":
		case o.text("kind") == "Pod" && o.at("metadata", "labels", "app.kubernetes.io/component") == "test": // of helm test, for its logs
		case o.text("kind") == "Event", o.text("kind") == "Endpoints":
		case o.text("type") == "helm.sh/release.v1":
		default:
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// orphans returns the objects whose owner is gone, and which will go as well.
func orphans(all []object) []string {
	there := map[string]bool{}
	for _, o := range all {
		there[o.String()] = true
	}
	var names []string
	for _, o := range all {
		owners, _ := o.at("metadata", "ownerReferences").([]any)
		for _, owner := range owners {
			by, _ := owner.(map[string]any)
			if name := fmt.Sprintf("%v/%v", by["kind"], by["name"]); !there[name] {
				names = append(names, o.String()+" of "+name)
			}
		}
	}
	return names
}

// named returns the objects' names.
func named(all []object) []string {
	var names []string
	for _, o := range all {
		names = append(names, o.String())
	}
	return names
}

// warnings returns the lines that warn, as kubectl and Helm write them to standard error. That a watch of theirs ended, as Helm
// 4 says of its own, is none.
func warnings(stderr string) []string {
	var lines []string
	for line := range strings.Lines(stderr) {
		if strings.Contains(strings.ToLower(line), "warn") && !strings.Contains(line, "watch ended") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}
