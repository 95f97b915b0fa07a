package docs_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postident-bridge/internal/scr"
	"postident-bridge/schemas"
)

// write brings the generated tables up to date instead of comparing them:
//
//	go test ./docs -write
var write = flag.Bool("write", false, "write the generated tables of events.md and results.md")

// The tables of the pages say what the schemas and the status model say.
func TestEventPagesHoldTheTables(t *testing.T) {
	t.Parallel()
	checkTables(t, "events.md", map[string]string{
		"fields":       fieldTable(t, schemas.StatusChangedSchema),
		"enums":        enumTable(t, schemas.StatusChangedSchema),
		"status types": statusTypeTable(t),
	})
	checkTables(t, "results.md", map[string]string{
		"fields": fieldTable(t, schemas.IdentificationResultSchema),
		"enums":  enumTable(t, schemas.IdentificationResultSchema),
	})
}

func checkTables(t *testing.T, page string, tables map[string]string) {
	t.Helper()
	text := readFile(t, page)
	for name, table := range tables {
		begin, end := "<!-- generated: "+name+" -->\n", "<!-- end: "+name+" -->\n"
		before, rest, ok := strings.Cut(text, begin)
		have, after, ok2 := strings.Cut(rest, end)
		if !ok || !ok2 {
			t.Errorf("%s has no %q, or it does not end", page, strings.TrimSpace(begin))
			continue
		}
		table = "\n" + table + "\n"
		if *write {
			text = before + begin + table + end + after
			continue
		}
		if diff := cmp.Diff(table, have); diff != "" {
			t.Errorf("%s, table of %s: run go test ./docs -write (-want +have):\n%s", page, name, diff)
		}
	}
	if *write {
		if err := os.WriteFile(page, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// avroField is a field of a record schema.
type avroField struct {
	Name string          `json:"name"`
	Doc  string          `json:"doc"`
	Type json.RawMessage `json:"type"`
}

// avroType is a named type, an array, or a logical type over a primitive one.
type avroType struct {
	Type    string          `json:"type"`
	Logical string          `json:"logicalType"`
	Name    string          `json:"name"`
	Doc     string          `json:"doc"`
	Fields  []avroField     `json:"fields"`
	Items   json.RawMessage `json:"items"`
	Symbols []string        `json:"symbols"`
	Default string          `json:"default"`
}

// walk calls visit for every field of a schema, with its path, the name of its
// type, and the enum that it has, if any.
func walk(t *testing.T, schema func() (string, error), visit func(path, kind, doc string, enum *avroType)) {
	t.Helper()
	text, err := schema()
	if err != nil {
		t.Fatal(err)
	}
	var record avroType
	if err := json.Unmarshal([]byte(text), &record); err != nil {
		t.Fatal(err)
	}
	named := make(map[string]avroType)
	var fields func(prefix string, in []avroField)
	var describe func(raw json.RawMessage) (kind string, def avroType)
	describe = func(raw json.RawMessage) (string, avroType) {
		var union []json.RawMessage
		if json.Unmarshal(raw, &union) == nil {
			kind, def := describe(union[1]) // every union is null and one other
			return kind + " or null", def
		}
		var name string
		if json.Unmarshal(raw, &name) == nil {
			if def, ok := named[name]; ok {
				return def.Name, def
			}
			return name, avroType{}
		}
		var def avroType
		if err := json.Unmarshal(raw, &def); err != nil {
			t.Fatal(err)
		}
		switch {
		case def.Logical == "timestamp-millis":
			return "timestamp", def
		case def.Type == "array":
			_, item := describe(def.Items)
			return "array of " + item.Name, item
		case def.Name != "":
			named[def.Name] = def
			return def.Name, def
		}
		t.Fatalf("type %s is new to this test", raw)
		return "", avroType{}
	}
	fields = func(prefix string, in []avroField) {
		for _, f := range in {
			kind, def := describe(f.Type)
			var enum *avroType
			if def.Type == "enum" {
				enum = &def
			}
			visit(prefix+f.Name, kind, f.Doc, enum)
			separator := "."
			if strings.HasPrefix(kind, "array") {
				separator = "[]."
			}
			fields(prefix+f.Name+separator, def.Fields)
		}
	}
	fields("", record.Fields)
}

func fieldTable(t *testing.T, schema func() (string, error)) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("| field | type | meaning |\n|---|---|---|\n")
	walk(t, schema, func(path, kind, doc string, enum *avroType) {
		if enum != nil {
			kind = strings.Replace(kind, enum.Name, "["+enum.Name+"](#enums)", 1)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", path, kind, doc)
	})
	return b.String()
}

func enumTable(t *testing.T, schema func() (string, error)) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("| enum | symbols | meaning |\n|---|---|---|\n")
	seen := make(map[string]bool)
	walk(t, schema, func(_, _, _ string, enum *avroType) {
		if enum == nil || seen[enum.Name] {
			return
		}
		seen[enum.Name] = true
		if enum.Default != "unknown" {
			t.Errorf("enum %s has the default %q: the page says that it is unknown", enum.Name, enum.Default)
		}
		symbols := make([]string, len(enum.Symbols))
		for i, s := range enum.Symbols {
			symbols[i] = "`" + s + "`"
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", enum.Name, strings.Join(symbols, ", "), enum.Doc)
	})
	return b.String()
}

// statusTypeTable has a row for each status and a column for each method, as
// scr.Classify has them.
func statusTypeTable(t *testing.T) string {
	t.Helper()
	methods := []string{scr.MethodAutoID, scr.MethodBasic, scr.MethodEID, scr.MethodPhoto, scr.MethodVideo}
	statuses := []string{
		scr.StatusStarted, scr.StatusCouponRequested, scr.StatusIncomplete, scr.StatusReviewPending,
		scr.StatusCancelled, scr.StatusDeclined, scr.StatusSuccess,
	}
	for _, row := range scr.StatusRows() {
		if !slices.Contains(methods, row.Method) || !slices.Contains(statuses, row.Status) {
			t.Errorf("row %s is missing in the table", row.ID)
		}
	}
	var b strings.Builder
	b.WriteString("| status |")
	for _, m := range methods {
		b.WriteString(" " + m + " |")
	}
	b.WriteString("\n|---" + strings.Repeat("|---", len(methods)) + "|\n")
	for _, s := range statuses {
		b.WriteString("| " + strings.ReplaceAll(s, " ", "_") + " |")
		for _, m := range methods {
			c := scr.Classify(m, s, nil, nil)
			switch {
			case !c.Known:
				b.WriteString(" – |")
			case c.Type == scr.None:
				b.WriteString(" (progress) |")
			default:
				b.WriteString(" " + string(c.Type) + " |")
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

// The example event of the README has the fields of the schema, in its order.
func TestReadmeExampleHasTheSchemasFields(t *testing.T) {
	t.Parallel()
	_, rest, _ := strings.Cut(readFile(t, "../README.md"), "```json\n")
	example, _, ok := strings.Cut(rest, "```\n")
	if !ok {
		t.Fatal("README.md has no example in JSON")
	}
	var want []string
	nullable := make(map[string]bool)
	walk(t, schemas.StatusChangedSchema, func(path, kind, _ string, _ *avroType) {
		want = append(want, path)
		nullable[path] = strings.HasSuffix(kind, " or null")
	})
	var value map[string]any
	if err := json.Unmarshal([]byte(example), &value); err != nil {
		t.Fatal(err)
	}
	have := make(map[string]bool)
	flatten("", value, have)
	for _, path := range want {
		parent, _, nested := strings.Cut(path, ".")
		if nested && nullable[strings.TrimSuffix(parent, "[]")] && value[parent] == nil {
			continue
		}
		if !have[path] {
			t.Errorf("the example lacks %s", path)
		}
		delete(have, path)
	}
	if len(have) > 0 {
		t.Errorf("the schema does not have %v", slices.Sorted(maps.Keys(have)))
	}
}

// flatten notes the path of every field, as walk names it.
func flatten(prefix string, value map[string]any, into map[string]bool) {
	for name, v := range value {
		into[prefix+name] = true
		switch v := v.(type) {
		case map[string]any:
			flatten(prefix+name+".", v, into)
		case []any:
			for _, item := range v {
				if m, ok := item.(map[string]any); ok {
					flatten(prefix+name+"[].", m, into)
				}
			}
		}
	}
}

var (
	link      = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading   = regexp.MustCompile(`(?m)^#+ (.+)$`)
	codeBlock = regexp.MustCompile("(?s)```.*?```")
	notInSlug = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
)

// Every link of the pages leads to a file of the repository, and to a heading
// where it names one.
func TestLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range append(pages, "../README.md") {
		for _, m := range link.FindAllStringSubmatch(codeBlock.ReplaceAllString(readFile(t, page), ""), -1) {
			target, anchor, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, "://") {
				continue
			}
			file := page
			if target != "" {
				file = filepath.Join(filepath.Dir(page), target)
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s: link %s: %v", page, m[1], err)
				continue
			}
			if anchor != "" && !slices.Contains(slugs(readFile(t, file)), anchor) {
				t.Errorf("%s: link %s: no such heading", page, m[1])
			}
		}
	}
}

// slugs are the anchors that Git forges give to headings.
func slugs(text string) []string {
	var out []string
	for _, m := range heading.FindAllStringSubmatch(codeBlock.ReplaceAllString(text, ""), -1) {
		slug := strings.ToLower(notInSlug.ReplaceAllString(m[1], ""))
		out = append(out, strings.ReplaceAll(slug, " ", "-"))
	}
	return out
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var excerpt = regexp.MustCompile("(?s)<!-- from: (\\S+) -->\n```\\w+\n(.*?)```")

// What the pages show of a source file stands there, apart from the
// indentation.
func TestExcerptsStandInTheirFiles(t *testing.T) {
	t.Parallel()
	found := excerpt.FindAllStringSubmatch(readFile(t, "events.md"), -1)
	if len(found) == 0 {
		t.Fatal("no excerpt found: the test is off")
	}
	for _, m := range found {
		if !strings.Contains(unindented(readFile(t, m[1])), unindented(m[2])) {
			t.Errorf("the excerpt is not in %s:\n%s", m[1], m[2])
		}
	}
}

func unindented(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(strings.TrimLeft(line, " \t"))
	}
	return b.String()
}

// logged is a message that is logged as a warning or an error.
var logged = regexp.MustCompile(`\.(?:Warn|Error)Context\([^,"]+, "([^"]+)"|\.LogAttrs\([^,"]+, (?:slog\.Level(?:Warn|Error)|level), "([^"]+)"`)

// The table of log messages in operations.md has every warning and error, and
// no other.
func TestOperationsPageHasTheLogMessages(t *testing.T) {
	t.Parallel()
	inCode := make(map[string]bool)
	for _, dir := range []string{"../publish", "../ingest", "../cmd/bridge", "../internal/scr", "../internal/rotate", "../internal/producer"} {
		files, err := filepath.Glob(dir + "/*.go")
		if err != nil || len(files) == 0 {
			t.Fatalf("no files in %s: %v", dir, err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			for _, m := range logged.FindAllStringSubmatch(readFile(t, file), -1) {
				inCode[m[1]+m[2]] = true
			}
		}
	}
	_, rest, _ := strings.Cut(readFile(t, "operations.md"), "\n## Log lines\n")
	section, _, _ := strings.Cut(rest, "\n## ")
	onPage := make(map[string]bool)
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| (?:warn|error)").FindAllStringSubmatch(section, -1) {
		onPage[m[1]] = true
	}
	if diff := cmp.Diff(inCode, onPage); diff != "" {
		t.Errorf("log messages (-code +page):\n%s", diff)
	}
}

// Metrics that the pages name are those of metrics.md.
func TestMetricsOfThePagesExist(t *testing.T) {
	t.Parallel()
	known := readFile(t, "metrics.md")
	for _, page := range []string{"operations.md", "architecture.md", "guarantees.md", "../README.md"} {
		for _, name := range regexp.MustCompile(`\bpostident_[a-z_]+`).FindAllString(readFile(t, page), -1) {
			if !strings.Contains(known, "`"+name+"`") {
				t.Errorf("%s: metrics.md has no %s", page, name)
			}
		}
	}
}

// Every test that guarantees.md names is there, and its table of rules that are
// broken on purpose is that of the patches.
func TestGuaranteesNameTestsThatExist(t *testing.T) {
	t.Parallel()
	exists := make(map[string]bool)
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && strings.HasPrefix(d.Name(), ".") && d.Name() != ".." {
			return filepath.SkipDir
		}
		if strings.HasSuffix(path, "_test.go") {
			for _, m := range regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`).FindAllStringSubmatch(readFile(t, path), -1) {
				exists[m[1]] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	page := readFile(t, "guarantees.md")
	named := regexp.MustCompile("`((?:Test|Fuzz)\\w+)`").FindAllStringSubmatch(page, -1)
	if len(named) < 20 {
		t.Errorf("%d tests named: the test is off", len(named))
	}
	for _, m := range named {
		if !exists[m[1]] {
			t.Errorf("guarantees.md names %s, which does not exist", m[1])
		}
	}
	patches, err := filepath.Glob("../tools/testdata/broken/*.patch")
	if err != nil || len(patches) < 8 {
		t.Fatalf("%d patches: %v", len(patches), err)
	}
	var rows []string
	for _, patch := range patches {
		head, rest, _ := strings.Cut(readFile(t, patch), "\npackage: ")
		test := regexp.MustCompile(`(?m)^test: (\w+)$`).FindStringSubmatch(rest)
		if test == nil {
			t.Fatalf("%s names no test", patch)
		}
		rows = append(rows, fmt.Sprintf("| `%s`: %s | `%s` |\n", strings.TrimSuffix(filepath.Base(patch), ".patch"),
			strings.ReplaceAll(strings.TrimSpace(head), "\n", " "), test[1]))
	}
	if _, table, _ := strings.Cut(page, "| rule broken | test that falls |\n|---|---|\n"); !strings.HasPrefix(table, strings.Join(rows, "")) {
		t.Errorf("the table of rules that are broken on purpose should be:\n%s", strings.Join(rows, ""))
	}
}
