package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestAnnotateChart(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		version, before, want string
	}{
		{"1.2.3", "annotations:\n  a: b\nname: n\n", "annotations:\n  artifacthub.io/changes: |\n" +
			"    - kind: fixed\n      description: \"a \\\"b\\\": c\"\n    - kind: added\n      description: \"d\"\n  a: b\nname: n\n"},
		{"1.2.3-rc.1", "name: n\nannotations:\n", "name: n\nannotations:\n  artifacthub.io/prerelease: \"true\"\n  artifacthub.io/changes: |\n" +
			"    - kind: fixed\n      description: \"a \\\"b\\\": c\"\n    - kind: added\n      description: \"d\"\n"},
	} {
		files := []file{{"postident-bridge/values.yaml", 0o644, nil}, {"postident-bridge/Chart.yaml", 0o644, []byte(test.before)}}
		if err := annotate(files, test.version, []change{{"fixed", `a "b": c`}, {"added", "d"}}); err != nil {
			t.Fatal(err)
		}
		if got := string(files[1].content); got != test.want {
			t.Errorf("%s: Chart.yaml is\n%s\nnot\n%s", test.version, got, test.want)
		}
	}
	for want, f := range map[string]file{"no Chart.yaml": {"postident-bridge/values.yaml", 0, nil}, "no annotations": {"postident-bridge/Chart.yaml", 0, []byte("name: n\n")}} {
		if err := annotate([]file{f}, "1.2.3", nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

// The chart of the repository, packaged by the Helm that HELM names (make chart-test):
// twice the same bytes, with the release's version and without what is for tests.
func TestChartOfARelease(t *testing.T) {
	t.Parallel()
	helm := os.Getenv("HELM")
	if helm == "" {
		t.Skip("HELM names no Helm")
	}
	src := source{dir: filepath.Join("..", ".."), created: built.created}
	changes := []change{{"added", "`all`: \"everything\""}}
	var packages [2][]byte
	for i := range packages {
		dir := t.TempDir()
		if err := writeChart(t.Context(), src, helm, dir, "1.2.3", changes); err != nil {
			t.Fatal(err)
		}
		packages[i] = read(t, filepath.Join(dir, "postident-bridge-1.2.3.tgz"))
		shown, err := output(t.Context(), dir, nil, helm, "show", "chart", "postident-bridge-1.2.3.tgz")
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"\nversion: 1.2.3", "appVersion: 1.2.3\n", "  artifacthub.io/changes: |\n    - kind: added\n      description: \"`all`: \\\"everything\\\"\"\n"} {
			if !strings.Contains(shown+"\n", want) {
				t.Errorf("%q is not in\n%s", want, shown)
			}
		}
	}
	if !bytes.Equal(packages[0], packages[1]) {
		t.Error("two packages of one chart differ")
	}
	files, err := unpackTar(packages[0])
	if err != nil {
		t.Fatal(err)
	}
	has := func(name string) bool {
		return slices.ContainsFunc(files, func(f file) bool { return strings.HasPrefix(f.name, "postident-bridge/"+name) })
	}
	for name, want := range map[string]bool{"values.schema.json": true, "README.md": true, "templates/tests/": true, "tests/": false, "ci/": false, "README.md.gotmpl": false} {
		if has(name) != want {
			t.Errorf("%s is in the package: %t", name, has(name))
		}
	}
}
