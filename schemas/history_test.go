package schemas

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/avro"
)

const historyDir = "testdata/history"

// writeHistory writes an entry instead of running the tests; see the package
// documentation.
var writeHistory = flag.String("history", "", "write testdata/history/`release` from today's schemas and the sample values")

// pinned holds the CRC-64-AVRO fingerprint of every released schema, as a
// 64-bit number. They were computed with Apache Avro for Java 1.12.2
// (SchemaNormalization.parsingFingerprint64). A line of a release that is out
// never changes.
var pinned = map[string]string{
	"0.1.0/barrier":        "24c804d8373dff13",
	"0.1.0/case_state":     "8cda709792729983",
	"0.1.0/poll_cursor":    "988a7d5736ec896d",
	"0.1.0/position":       "8120eae940217e0b",
	"0.1.0/status_changed": "3a04b0e4bf996dae",
	"0.1.0/trigger":        "71b8353bed8716cc",

	"0.2.0/barrier":               "24c804d8373dff13",
	"0.2.0/case_state":            "e8cfb18889ac2987",
	"0.2.0/identification_result": "39e2edba0e1f7c64",
	"0.2.0/poll_cursor":           "988a7d5736ec896d",
	"0.2.0/position":              "8120eae940217e0b",
	"0.2.0/status_changed":        "c95f2e40d360d558",
	"0.2.0/trigger":               "387e6647eb9aff6a",
}

// fingerprint is the schema's fingerprint as Java prints it in hex.
func fingerprint(s *avro.Schema) string {
	return hex.EncodeToString(s.Fingerprint(avro.NewRabin()))
}

func TestHistoryFingerprintsArePinned(t *testing.T) {
	t.Parallel()
	got := map[string]string{}
	for _, release := range releases(t) {
		for _, r := range records() {
			if s, ok := releasedSchema(t, release, r.name); ok {
				got[release+"/"+r.name] = fingerprint(s)
			}
		}
	}
	if diff := cmp.Diff(pinned, got); diff != "" {
		t.Errorf("a released schema changed, or a new one is not pinned (-pinned +found):\n%s", diff)
	}
}

// A schema change without a history entry fails here.
func TestHistoryHoldsTodaysSchemas(t *testing.T) {
	t.Parallel()
	all := releases(t)
	newest := all[len(all)-1]
	for _, r := range records() {
		have := readFile(t, filepath.Join(historyDir, newest, r.name+".avsc"))
		want := readFile(t, r.name+".avsc")
		if !bytes.Equal(have, want) {
			t.Errorf("%s.avsc changed since %s: run go test ./schemas -history <the coming release>", r.name, newest)
		}
	}
}

// The decoders resolve from what is embedded, which is the whole history.
func TestHistoryIsEmbedded(t *testing.T) {
	t.Parallel()
	for _, release := range releases(t) {
		for _, r := range records() {
			path := historyDir + "/" + release + "/" + r.name + ".avsc"
			want, err := os.ReadFile(path)
			if errors.Is(err, os.ErrNotExist) {
				continue
			}
			if have, err := released.ReadFile(path); err != nil || !bytes.Equal(have, want) {
				t.Errorf("%s is not embedded as it is (%v)", path, err)
			}
		}
	}
}

func TestHistoryPublicRecordsAreFullTransitive(t *testing.T) {
	t.Parallel()
	for _, r := range records() {
		if r.public {
			if err := fullTransitive(history(t, r.name)); err != nil {
				t.Errorf("%s: %v", r.name, err)
			}
		}
	}
}

func TestHistoryInternalRecordsKeepTheOneReleaseRule(t *testing.T) {
	t.Parallel()
	for _, r := range records() {
		if !r.public {
			if err := oneRelease(history(t, r.name)); err != nil {
				t.Errorf("%s: %v", r.name, err)
			}
		}
	}
}

// fullTransitive says whether every schema reads what every other wrote.
func fullTransitive(schemas []*avro.Schema) error {
	for w, writer := range schemas {
		for r, reader := range schemas {
			if err := avro.CheckCompatibility(writer, reader); err != nil {
				return fmt.Errorf("release %d of %d read by release %d: %w", w+1, len(schemas), r+1, err)
			}
		}
	}
	return nil
}

// oneRelease says whether every release reads what the one after it wrote
// (rolling back by one), and the newest what any of them wrote.
func oneRelease(schemas []*avro.Schema) error {
	newest := len(schemas) - 1
	for w, writer := range schemas {
		for _, r := range []int{w - 1, newest} {
			if r < 0 {
				continue
			}
			if err := avro.CheckCompatibility(writer, schemas[r]); err != nil {
				return fmt.Errorf("release %d of %d read by release %d: %w", w+1, len(schemas), r+1, err)
			}
		}
	}
	return nil
}

// The rules above find what they are for.
func TestHistoryRulesFindBreaches(t *testing.T) {
	t.Parallel()
	const (
		base     = `{"type":"record","name":"R","fields":[{"name":"a","type":"string"}]}`
		optional = `{"type":"record","name":"R","fields":[{"name":"a","type":"string"},{"name":"b","type":["null","string"],"default":null}]}`
		required = `{"type":"record","name":"R","fields":[{"name":"a","type":"string"},{"name":"b","type":"string"}]}`
		without  = `{"type":"record","name":"R","fields":[]}`
		retyped  = `{"type":"record","name":"R","fields":[{"name":"a","type":"long"}]}`
		enumOld  = `{"type":"record","name":"R","fields":[{"name":"e","type":{"type":"enum","name":"E","symbols":["unknown","x"],"default":"unknown"}}]}`
		enumNew  = `{"type":"record","name":"R","fields":[{"name":"e","type":{"type":"enum","name":"E","symbols":["unknown","x","y"],"default":"unknown"}}]}`
		enumBare = `{"type":"record","name":"R","fields":[{"name":"e","type":{"type":"enum","name":"E","symbols":["unknown","x"]}}]}`
	)
	tests := []struct {
		name             string
		schemas          []string
		full, oneRelease bool // kept
	}{
		{"optional field added", []string{base, optional}, true, true},
		{"optional field added and removed", []string{base, optional, base}, true, true},
		{"required field added", []string{base, required}, false, false},
		{"required field removed", []string{base, without}, false, false},
		{"type changed", []string{base, retyped}, false, false},
		{"symbol added to an enum with a default", []string{enumOld, enumNew}, true, true},
		{"symbol added to an enum without", []string{enumBare, enumNew}, false, false},
		{"default given, then required: a rollback over two releases fails", []string{without, optional, required}, false, false},
		{"required field in two steps", []string{without, base, base}, false, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var parsed []*avro.Schema
			for _, s := range tt.schemas {
				parsed = append(parsed, avro.MustParse(s))
			}
			if err := fullTransitive(parsed); (err == nil) != tt.full {
				t.Errorf("fullTransitive: %v, want kept %v", err, tt.full)
			}
			if err := oneRelease(parsed); (err == nil) != tt.oneRelease {
				t.Errorf("oneRelease: %v, want kept %v", err, tt.oneRelease)
			}
		})
	}
}

func TestHistoryGoldenBytesAreReadByTodaysReader(t *testing.T) {
	t.Parallel()
	all := releases(t)
	for i, release := range all {
		for _, r := range records() {
			for _, path := range goldens(t, release, r.name) {
				got, err := r.decodeJSON(readFile(t, path))
				if err != nil {
					t.Errorf("%s: %v", path, err)
					continue
				}
				want := readFile(t, strings.TrimSuffix(path, ".bin")+".json")
				newest := i == len(all)-1
				if diff := diffJSON(t, want, got, newest); diff != "" {
					t.Errorf("%s (-golden +read):\n%s", path, diff)
				}
			}
		}
	}
}

// The golden bytes are more than readable: they are what is written today.
func TestHistoryGoldenBytesAreWrittenToday(t *testing.T) {
	t.Parallel()
	all := releases(t)
	newest := all[len(all)-1]
	for _, r := range records() {
		for name, s := range r.samples {
			got, err := s.encode()
			if err != nil {
				t.Fatalf("%s.%s: %v", r.name, name, err)
			}
			want := readFile(t, filepath.Join(historyDir, newest, r.name+"."+name+".bin"))
			if !bytes.Equal(got, want) {
				t.Errorf("%s.%s: wrote\n%x\ngolden\n%x", r.name, name, got, want)
			}
		}
	}
}

// diffJSON compares what was read with the golden. A reader newer than the
// golden shows more fields, and they must not have been filled from nowhere.
func diffJSON(t *testing.T, want, got []byte, exact bool) string {
	t.Helper()
	var w, g any
	if err := json.Unmarshal(want, &w); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(got, &g); err != nil {
		t.Fatal(err)
	}
	if !exact {
		dropDefaults(w, g)
	}
	return cmp.Diff(w, g)
}

// dropDefaults removes from got the fields that want does not have and that
// hold a default: null, false, 0, "", unknown, or an empty array.
func dropDefaults(want, got any) {
	switch g := got.(type) {
	case map[string]any:
		w, _ := want.(map[string]any)
		for name, value := range g {
			if _, ok := w[name]; ok {
				dropDefaults(w[name], value)
			} else if isDefault(value) {
				delete(g, name)
			}
		}
	case []any:
		w, _ := want.([]any)
		for i := range min(len(w), len(g)) {
			dropDefaults(w[i], g[i])
		}
	}
}

func isDefault(v any) bool {
	array, isArray := v.([]any)
	return v == nil || isArray && len(array) == 0 || !isArray && slices.Contains([]any{false, 0.0, "", "unknown"}, v)
}

func TestNewerReadersMayOnlyAddDefaults(t *testing.T) {
	t.Parallel()
	const golden = `{"a":1,"list":[{"b":"x"}],"none":null}`
	tests := []struct {
		name, read  string
		exact, same bool
	}{
		{"alike", golden, true, true},
		{"alike, by a newer reader", golden, false, true},
		{"defaults added", `{"a":1,"list":[{"b":"x","c":""}],"none":null,"d":null,"e":[],"f":false,"g":0,"h":"unknown"}`, false, true},
		{"defaults added by the release itself", `{"a":1,"list":[{"b":"x"}],"none":null,"d":null}`, true, false},
		{"a value added", `{"a":1,"list":[{"b":"x"}],"none":null,"d":7}`, false, false},
		{"a value added within", `{"a":1,"list":[{"b":"x","c":"y"}],"none":null}`, false, false},
		{"a value lost", `{"a":0,"list":[{"b":"x"}],"none":null}`, false, false},
		{"a field lost", `{"list":[{"b":"x"}],"none":null}`, false, false},
		{"an item lost", `{"a":1,"list":[],"none":null}`, false, false},
		{"an item added", `{"a":1,"list":[{"b":"x"},{"b":""}],"none":null}`, false, false},
	}
	for _, tt := range tests {
		if diff := diffJSON(t, []byte(golden), []byte(tt.read), tt.exact); (diff == "") != tt.same {
			t.Errorf("%s: same %v, diff %q", tt.name, !tt.same, diff)
		}
	}
}
