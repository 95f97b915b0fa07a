package schemas

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/avro"
)

// Reading and writing the entries of testdata/history.

// releases lists the entries, oldest first.
func releases(tb testing.TB) []string {
	tb.Helper()
	all, err := listReleases(historyDir)
	if err != nil {
		tb.Fatal(err)
	}
	return all
}

func listReleases(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list history: %w", err)
	}
	if len(entries) == 0 {
		return nil, fmt.Errorf("list history: %s is empty", dir)
	}
	versions := map[string][]int{}
	var all []string
	for _, e := range entries {
		if versions[e.Name()], err = version(e.Name()); err != nil {
			return nil, err
		}
		all = append(all, e.Name())
	}
	slices.SortFunc(all, func(a, b string) int { return slices.Compare(versions[a], versions[b]) })
	return all, nil
}

// version gives the three numbers of a release, e.g. of 0.10.2.
func version(release string) ([]int, error) {
	var numbers []int
	for s := range strings.SplitSeq(release, ".") {
		n, err := strconv.Atoi(s)
		if err != nil {
			return nil, fmt.Errorf("read release %q: %w", release, err)
		}
		numbers = append(numbers, n)
	}
	if len(numbers) != 3 {
		return nil, fmt.Errorf("read release %q: not three numbers", release)
	}
	return numbers, nil
}

func TestReleasesAreOrderedByNumber(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, release := range []string{"0.10.0", "0.9.1", "1.0.0", "0.2.0"} {
		if err := os.Mkdir(filepath.Join(dir, release), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	all, err := listReleases(dir)
	if diff := cmp.Diff([]string{"0.2.0", "0.9.1", "0.10.0", "1.0.0"}, all); diff != "" || err != nil {
		t.Errorf("%v, -want +got:\n%s", err, diff)
	}
	for _, bad := range []string{"", "1.0", "v1.0.0", "1.0.0-rc1", "1.0.0.0"} {
		if _, err := version(bad); err == nil {
			t.Errorf("%q was taken for a release", bad)
		}
	}
}

// history gives a record's schemas, oldest first, and today's at the end.
func history(t *testing.T, name string) []*avro.Schema {
	t.Helper()
	var all []*avro.Schema
	for _, release := range releases(t) {
		if s, ok := releasedSchema(t, release, name); ok {
			all = append(all, s)
		}
	}
	return append(all, avro.MustParse(string(readFile(t, name+".avsc"))))
}

// releasedSchema gives no schema for a record that the release did not know.
func releasedSchema(t *testing.T, release, name string) (*avro.Schema, bool) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(historyDir, release, name+".avsc"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, false
	}
	if err != nil {
		t.Fatal(err)
	}
	return avro.MustParse(string(text)), true
}

// goldens lists the golden bytes that a release has of a record: at least one.
func goldens(tb testing.TB, release, name string) []string {
	tb.Helper()
	dir := filepath.Join(historyDir, release)
	paths, err := filepath.Glob(filepath.Join(dir, name+".*.bin"))
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, name+".avsc")); err == nil && len(paths) == 0 {
		tb.Errorf("%s: no golden bytes of %s", dir, name)
	}
	return paths
}

func readFile(tb testing.TB, path string) []byte {
	tb.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// writeHistoryEntry writes today's schemas, golden bytes and their reading,
// for the newest release or one that is newer.
func writeHistoryEntry(release string) error {
	all, err := listReleases(historyDir)
	if err != nil {
		return err
	}
	v, err := version(release)
	if err != nil {
		return err
	}
	newest, err := version(all[len(all)-1])
	if err != nil {
		return err
	}
	if slices.Compare(v, newest) < 0 {
		return fmt.Errorf("write history: %s is older than the newest entry, %s", release, all[len(all)-1])
	}
	dir := filepath.Join(historyDir, release)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("write history: %w", err)
	}
	for _, r := range records() {
		text, err := today.ReadFile(r.name + ".avsc")
		if err != nil {
			return fmt.Errorf("write history: %w", err)
		}
		files := map[string][]byte{r.name + ".avsc": text}
		for name, s := range r.samples {
			value, err := s.encode()
			if err != nil {
				return fmt.Errorf("write history: %w", err)
			}
			read, err := r.decodeJSON(value)
			if err != nil {
				return fmt.Errorf("write history: %w", err)
			}
			var pretty bytes.Buffer
			if err := json.Indent(&pretty, read, "", "  "); err != nil {
				return fmt.Errorf("write history: %w", err)
			}
			pretty.WriteByte('\n')
			files[r.name+"."+name+".bin"] = value
			files[r.name+"."+name+".json"] = pretty.Bytes()
		}
		for name, content := range files {
			if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
				return fmt.Errorf("write history: %w", err)
			}
		}
	}
	return nil
}
