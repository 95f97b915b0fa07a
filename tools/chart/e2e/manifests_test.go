package main

import (
	"slices"
	"testing"
	"time"
)

func TestObjectsRefusesAKeyThatStandsTwice(t *testing.T) {
	t.Parallel()
	all, err := objects([]byte("---\n# Source: a\nkind: A\n---\n# nothing\n---\nkind: B\n"))
	if err != nil || len(all) != 2 {
		t.Fatalf("%v, %v", all, err)
	}
	if _, err := objects([]byte("kind: A\nkind: B\n")); err == nil {
		t.Error("a key may stand twice")
	}
}

func TestLackingComparesWhatIsWanted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		want, got any
		miss      string
	}{
		{"the same", map[string]any{"a": 1.0}, map[string]any{"a": 1.0}, ""},
		{"defaults of the server", map[string]any{"a": 1.0}, map[string]any{"a": 1.0, "b": 2.0}, ""},
		{"something empty that the server leaves out", map[string]any{"a": "", "b": false, "c": nil, "d": map[string]any{}}, map[string]any{}, ""},
		{"another value", map[string]any{"a": 1.0}, map[string]any{"a": 2.0}, "o.a: 2 for 1"},
		{"a value that is not there", map[string]any{"a": map[string]any{"b": "x"}}, map[string]any{}, "o.a.b: <nil> for x"},
		{"a list too long", []any{1.0}, []any{1.0, 2.0}, "o: 2 elements for 1"},
		{"an element", []any{"x", map[string]any{"a": "y"}}, []any{"x", map[string]any{"a": "z"}}, "o[1].a: z for y"},
	} {
		if miss := lacking(c.want, c.got, "o"); miss != c.miss {
			t.Errorf("%s: %q for %q", c.name, miss, c.miss)
		}
	}
}

func TestPodsOfFindsWhatRuns(t *testing.T) {
	t.Parallel()
	spec := map[string]any{"containers": []any{}}
	pods := podsOf([]object{
		{"kind": "ConfigMap", "metadata": map[string]any{"name": "c"}},
		{"kind": "Pod", "metadata": map[string]any{"name": "p"}, "spec": spec},
		{"kind": "Job", "metadata": map[string]any{"name": "j"}, "spec": map[string]any{"template": map[string]any{"spec": spec}}},
		{"kind": "Deployment", "metadata": map[string]any{"name": "d"}, "spec": map[string]any{"template": map[string]any{
			"metadata": map[string]any{"labels": map[string]any{"a": "b"}}, "spec": spec,
		}}},
	})
	if got, want := named(pods), []string{"Pod/p", "Pod/j", "Pod/d"}; !slices.Equal(got, want) {
		t.Fatalf("%v for %v", got, want)
	}
	if pods[2].text("metadata", "labels", "a") != "b" {
		t.Error("the template's labels are lost")
	}
}

func TestMisspeltLeavesTheObjectAlone(t *testing.T) {
	t.Parallel()
	o := object{"kind": "Job", "spec": map[string]any{}}
	wrong, field := misspelt(o)
	if field != "spec.misspelt" || wrong.at("spec", "misspelt") != true || o.at("spec", "misspelt") != nil {
		t.Errorf("%s: %v of %v", field, wrong, o)
	}
	if wrong, field := misspelt(object{"kind": "ConfigMap"}); field != "misspelt" || wrong["misspelt"] != true {
		t.Errorf("%s: %v", field, wrong)
	}
}

func TestStrangersKnowsWhatBelongs(t *testing.T) {
	t.Parallel()
	named := func(kind, name string) object {
		return object{"kind": kind, "metadata": map[string]any{"name": name}}
	}
	owned := named("ReplicaSet", "r")
	owned["metadata"].(map[string]any)["ownerReferences"] = []any{map[string]any{"kind": "Deployment", "name": "d"}}
	release := named("Secret", "sh.helm.release.v1.bridge.v1")
	release["type"] = "helm.sh/release.v1"
	test := named("Pod", "bridge-test")
	test["metadata"].(map[string]any)["labels"] = map[string]any{"app.kubernetes.io/component": "test"}
	all := []object{
		named("ServiceAccount", "default"), named("ConfigMap", "kube-root-ca.crt"), named("Event", "e"), owned, release,
		named("Deployment", "d"), named("Secret", "left"), named("Job", "left"), named("Pod", "another-test"), test,
	}
	if got, want := strangers(all, []string{"Deployment/d"}), []string{"Job/left", "Pod/another-test", "Secret/left"}; !slices.Equal(got, want) {
		t.Errorf("%v for %v", got, want)
	}
}

func TestMergedKeepsOneVersionInTheStore(t *testing.T) {
	t.Parallel()
	definition := func(version string) object {
		return object{"spec": map[string]any{"versions": []any{map[string]any{"name": version, "storage": true}}}}
	}
	versions, _ := merged(definition("v1"), definition("v1beta2")).at("spec", "versions").([]any)
	if len(versions) != 2 || object(versions[0].(map[string]any))["storage"] != true || object(versions[1].(map[string]any))["storage"] != false {
		t.Errorf("%v", versions)
	}
}

func TestStatusOfSaysHowPodsDo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, policy string
		fails        bool
		phase        string
	}{
		{"one that goes on", "Always", false, "Running"},
		{"one that ends", "Never", false, "Succeeded"},
		{"one that fails", "Never", true, "Failed"},
	} {
		var p pod
		p.Spec.RestartPolicy = c.policy
		p.Spec.Containers = []container{{Name: "bridge"}}
		if got := statusOf(p, c.fails, time.Unix(0, 0))["phase"]; got != c.phase {
			t.Errorf("%s: %v for %s", c.name, got, c.phase)
		}
	}
}

func TestWarningsFindsThem(t *testing.T) {
	t.Parallel()
	stderr := "W1129 17:00:00 warnings.go:70] Warning: unknown field\nhelm: coalesce.go: warning: skipped value\n" +
		"level=WARN msg=\"unknown field\"\nreflector.go:664] \"Warning: watch ended with error\"\nfine\n"
	if got := warnings(stderr); len(got) != 3 {
		t.Errorf("%q", got)
	}
}

func TestOrphansFindsWhoseOwnerIsGone(t *testing.T) {
	t.Parallel()
	owned := object{"kind": "Pod", "metadata": map[string]any{"name": "p", "ownerReferences": []any{map[string]any{"kind": "ReplicaSet", "name": "r"}}}}
	if got := orphans([]object{owned}); !slices.Equal(got, []string{"Pod/p of ReplicaSet/r"}) {
		t.Errorf("%q", got)
	}
	if got := orphans([]object{owned, {"kind": "ReplicaSet", "metadata": map[string]any{"name": "r"}}}); got != nil {
		t.Errorf("%q", got)
	}
}
