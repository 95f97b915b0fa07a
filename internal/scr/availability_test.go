package scr_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"postident-bridge/internal/scr"
)

var (
	allClasses = []scr.RegulatoryClass{scr.ClassGwG, scr.ClassTKG, scr.ClassEIDAS, scr.ClassStandard, scr.ClassMobility}
	allMethods = []string{scr.MethodAutoID, scr.MethodBasic, scr.MethodEID, scr.MethodPhoto, scr.MethodVideo}
)

// fieldRow is a row of one of the tables of guide 8, as printed.
type fieldRow struct{ section, object, field, column, cell, rule string }

func fieldRows(tb testing.TB) []fieldRow {
	tb.Helper()
	var rows []fieldRow
	for _, r := range tableOf(tb, "guide-availability.tsv") {
		rows = append(rows, fieldRow{r[0], r[1], r[2], r[3], r[4], r[5]})
	}
	return rows
}

// tableOf reads a table of testdata, without the lines that begin with #.
func tableOf(tb testing.TB, name string) [][]string {
	tb.Helper()
	var rows [][]string
	for line := range strings.Lines(string(readFile(tb, name))) {
		if !strings.HasPrefix(line, "#") {
			rows = append(rows, strings.Split(strings.TrimSuffix(line, "\n"), "\t"))
		}
	}
	return rows
}

var classesIn = regexp.MustCompile(`(?i)\b(gwg|tkg|eidas|standard|mobility)\b`)

// named are the classes that a text of the guide names.
func named(text string) []scr.RegulatoryClass {
	var found []scr.RegulatoryClass
	for _, c := range classesIn.FindAllString(text, -1) {
		found = append(found, scr.RegulatoryClass(strings.ToLower(c)))
	}
	return found
}

var choiceIn = regexp.MustCompile(`(yes|no) \(([^)]*)\)`)

// availableTo resolves a cell of the column "Available", such as "yes (GwG, TKG) no
// (else)".
func availableTo(tb testing.TB, cell string, class scr.RegulatoryClass) bool {
	tb.Helper()
	switch cell {
	case "yes":
		return true
	case "no":
		return false
	}
	choices := choiceIn.FindAllStringSubmatch(cell, -1)
	if len(choices) != 2 || choices[1][2] != "else" {
		tb.Fatalf("cell %q is none that the test can read", cell)
	}
	if slices.Contains(named(choices[0][2]), class) {
		return choices[0][1] == "yes"
	}
	return choices[1][1] == "yes"
}

// allowed resolves a row for one class and method.
func (r fieldRow) allowed(tb testing.TB, class scr.RegulatoryClass, method string) bool {
	tb.Helper()
	if r.column == "Available" && !availableTo(tb, r.cell, class) {
		return false
	}
	switch {
	case r.rule == "":
		return true
	case strings.HasPrefix(r.rule, "(only for regulatory class"):
		return slices.Contains(named(r.rule), class)
	case r.rule == "Not included for method eID":
		return method != scr.MethodEID
	case strings.HasPrefix(r.rule, "Not included for"):
		return !slices.Contains(named(r.rule), class)
	case r.rule == "Only for photo":
		return method == scr.MethodPhoto
	}
	tb.Fatalf("rule %q is none that the test can read", r.rule)
	return false
}

// Guide 8.2 to 8.7: every field for every class and method.
func TestFieldAllowedIsTheGuides(t *testing.T) {
	t.Parallel()
	cells, limited, refused := 0, 0, 0
	for _, r := range fieldRows(t) {
		before := refused
		for _, class := range allClasses {
			for _, method := range allMethods {
				cells++
				want := r.allowed(t, class, method)
				if !want {
					refused++
				}
				if got := scr.FieldAllowed(r.object, r.field, class, method); got != want {
					t.Errorf("%s %s.%s for %s and %s: %t, the guide says %t (%q, %q)", r.section, r.object, r.field, class, method, got, want, r.cell, r.rule)
				}
			}
		}
		if refused > before {
			limited++
		}
		for _, class := range []scr.RegulatoryClass{"", "GwG", "else"} {
			if scr.FieldAllowed(r.object, r.field, class, scr.MethodVideo) {
				t.Errorf("%s.%s for class %q, which does not exist", r.object, r.field, class)
			}
		}
	}
	t.Logf("%d fields, %d of them limited; %d cells, %d of them refused", len(fieldRows(t)), limited, cells, refused)
	if cells < 2600 || limited < 18 {
		t.Error("the tables are not whole")
	}
}

// What the guide has no table for: guide 8.2, the closing sentences of 8.6.2 and
// 8.6.3, and the order data of Guide 1.
func TestFieldsOfTheResultAreTheGuides(t *testing.T) {
	t.Parallel()
	want := map[string][]string{
		"CaseResult":                   {"caseId", "caseStatus", "orderData", "contactDataResult", "primaryIdentification", "accountingData"},
		"IdentificationDocumentResult": {"records"},
		"DrivingLicenceResult":         {"records"},
		"ResultValue":                  {"value", "status"},
	}
	for _, r := range fieldRows(t) {
		want[r.object] = append(want[r.object], r.field)
	}
	for object, fields := range scr.ObjectsOfResult() {
		if strings.HasSuffix(object, "Provided") || slices.Contains([]string{"OrderData", "ProcessData", "CustomData", "CallbackURL"}, object) {
			continue
		}
		for field := range fields {
			if !slices.Contains(want[object], field) {
				t.Errorf("%s.%s is not in the guide", object, field)
			}
		}
	}
	for object, fields := range want {
		for _, field := range fields {
			if !scr.FieldAllowed(object, field, scr.ClassGwG, scr.MethodPhoto) && !scr.FieldAllowed(object, field, scr.ClassTKG, scr.MethodVideo) &&
				object != "DrivingLicenceResult" {
				t.Errorf("%s.%s is nobody's", object, field)
			}
		}
	}
	for _, unknown := range [][2]string{{"", ""}, {"RecordResult", "thumbnail"}, {"Record", "type"}, {"IdentificationDocumentResult", "Number"}} {
		if scr.FieldAllowed(unknown[0], unknown[1], scr.ClassGwG, scr.MethodVideo) {
			t.Errorf("%v is allowed", unknown)
		}
	}
}

// A method that the guide does not know has no rules of its own: what is limited to
// one is not its.
func TestFieldAllowedForAnUnknownMethod(t *testing.T) {
	t.Parallel()
	tests := map[string]bool{"number": true, "birthPlace": true, "firstName": true}
	for field, want := range tests {
		if got := scr.FieldAllowed("IdentificationDocumentResult", field, scr.ClassGwG, "hologram"); got != want {
			t.Errorf("%s: %t", field, got)
		}
	}
	if scr.FieldAllowed("RecordResult", "validationRemark", scr.ClassGwG, "hologram") || scr.ContentAllowed("idfrontside", scr.ClassGwG, "hologram") {
		t.Error("what is limited to some methods is given to another")
	}
}

// imageRules are the texts of the guide about the content of records.
type imageRules struct {
	types   [][]string // type, belongsTo, what it is
	content []string
	methods map[string]string // the cell "Result Images"
}

func guideImages(tb testing.TB) imageRules {
	tb.Helper()
	rules := imageRules{methods: make(map[string]string)}
	for _, r := range tableOf(tb, "guide-images.tsv") {
		switch r[0] {
		case "8.6.7":
			rules.types = append(rules.types, r[1:])
		case "8.6.7 note":
			rules.content = append(rules.content, r[1])
		default:
			rules.methods[r[1]] = r[2]
		}
	}
	return rules
}

// kindOf is what the rules call a record of a type, "" if none is about it.
func (imageRules) kindOf(row []string) string {
	switch {
	case strings.Contains(row[2], "image of user"):
		return "user"
	case row[1] == "identificationDocument":
		return "identification document"
	case row[1] == "drivingLicence":
		return "driving licence"
	default:
		return ""
	}
}

// allowed: the rule by content type and the method's cell have to agree.
func (r imageRules) allowed(tb testing.TB, kind string, class scr.RegulatoryClass, method string) bool {
	tb.Helper()
	if kind == "" {
		return true
	}
	rule := slices.IndexFunc(r.content, func(s string) bool { return strings.HasPrefix(strings.ToLower(s), kind) })
	if rule < 0 {
		tb.Fatalf("no rule for %q", kind)
	}
	if !slices.Contains(named(r.content[rule]), class) {
		return false
	}
	for part := range strings.SplitSeq(r.methods[method], ";") {
		word := map[string]string{"user": "userface"}[kind]
		if word == "" {
			word = kind
		}
		if strings.Contains(part, word) {
			return slices.Contains(named(part), class)
		}
	}
	return false
}

// Guide 8.6.7 with 4.1 to 4.5, facts C22 and C23: every type of record for every
// class and method.
func TestContentAllowedIsTheGuides(t *testing.T) {
	t.Parallel()
	rules := guideImages(t)
	cells, allowed := 0, 0
	for _, row := range rules.types {
		for _, class := range allClasses {
			for _, method := range allMethods {
				cells++
				want := rules.allowed(t, rules.kindOf(row), class, method)
				if want {
					allowed++
				}
				if got := scr.ContentAllowed(row[0], class, method); got != want {
					t.Errorf("%s for %s and %s: %t, the guide says %t", row[0], class, method, got, want)
				}
			}
		}
		if scr.ContentAllowed(row[0], "", scr.MethodVideo) {
			t.Errorf("%s for no class", row[0])
		}
	}
	t.Logf("%d types, %d cells, %d of them allowed", len(rules.types), cells, allowed)
	if cells != 12*5*5 {
		t.Error("the tables are not whole")
	}
	for _, unknown := range []string{"", "videochatrecording", "IDFRONTSIDE", "thumbnail"} {
		if scr.ContentAllowed(unknown, scr.ClassGwG, scr.MethodVideo) {
			t.Errorf("content of an unknown type %q is allowed", unknown)
		}
	}
}

func sorted(s []string) []string {
	s = slices.Clone(s)
	slices.Sort(s)
	return s
}
