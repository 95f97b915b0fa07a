package main

import (
	"context"
	"encoding/json"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"postident-bridge/internal/audit"
	"postident-bridge/internal/scrsim"
	"postident-bridge/schemas"
)

// sampleResult is the result that a demo's bridge publishes of the guide's sample.
func sampleResult(t *testing.T) *schemas.IdentificationResult {
	t.Helper()
	var result schemas.IdentificationResult
	h := hooks{results: func(r *demoResults) {
		r.mu.Lock()
		defer r.mu.Unlock()
		result = *r.sample
	}}
	if got := runDemo(t, h, "--cases", "1"); got.code != exitDone {
		t.Fatalf("exit %d\n%s%s", got.code, got.stdout, got.stderr)
	}
	return &result
}

// "Shown by" 2 of the results: every field of the guide's sample is in the result,
// and the comparison that says so falls for each one of them.
func TestEveryFieldOfTheGuidesSampleIsInItsResult(t *testing.T) {
	t.Parallel()
	result := sampleResult(t)
	fields, missing, err := compareAnswer(scrsim.GuideSample(), result)
	if err != nil || len(missing) > 0 || fields != 126 {
		t.Fatalf("%d of %d fields are missing: %v, %v", len(missing), fields, missing, err)
	}
	empty := 0
	noticed := make(map[string]bool)
	var change func(v reflect.Value)
	compare := func(what string) {
		_, missing, err := compareAnswer(scrsim.GuideSample(), result)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		for _, path := range missing {
			noticed[path] = true
		}
	}
	change = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Pointer:
			if !v.IsNil() {
				change(v.Elem())
			}
		case reflect.Slice:
			for i := range v.Len() {
				change(v.Index(i))
			}
		case reflect.Struct:
			if v.NumField() > 0 && v.Type().Field(0).Tag.Get("avro") != "" {
				for _, field := range v.Fields() {
					change(field)
				}
				return
			}
			was := reflect.ValueOf(v.Interface())
			v.SetZero()
			compare(v.Type().String())
			v.Set(was)
		default:
			was := reflect.ValueOf(v.Interface())
			switch v.Kind() {
			case reflect.String:
				v.SetString("another")
			case reflect.Bool:
				v.SetBool(!v.Bool())
			default:
				v.SetZero()
			}
			compare(v.Type().String())
			v.Set(was)
		}
	}
	change(reflect.ValueOf(result).Elem())
	var parsed any
	if err := json.Unmarshal(scrsim.GuideSample(), &parsed); err != nil {
		t.Fatal(err)
	}
	sampleLeaves("", parsed, func(path, text string) {
		// An empty field is null in the result, so there is nothing to be changed; the
		// place of issue has a status, which keeps it.
		if text == "" && !strings.HasSuffix(path, "placeOfIssue.value") {
			empty++
			return
		}
		if !noticed[path] {
			t.Errorf("%s: the comparison does not notice that it is another", path)
		}
	})
	if empty != 5 {
		t.Errorf("%d empty fields", empty)
	}
	t.Logf("%d fields of the guide's sample, %d of them empty: all in its result", fields, empty)
}

// What is printed of a result is as it was when somebody looked at it.
func TestPrintedResult(t *testing.T) {
	t.Parallel()
	result := sampleResult(t)
	var b strings.Builder
	writeResult(&b, result, func(name string) string { return name })
	golden(t, filepath.Join("testdata", "demo", "sample.txt"), b.String())

	result.DrivingLicence = &schemas.DrivingLicence{DrivingLicenceClasses: []schemas.DrivingLicenceClass{
		{ClassName: &schemas.ResultValue{Value: new("B"), Status: new(schemas.ResultStatusUnknown), StatusText: new("odd")}},
	}}
	result.Records[0].Metadata.Reference = nil
	b.Reset()
	writeResult(&b, result, strings.ToUpper)
	for _, want := range []string{"\nDRIVINGLICENCE\n  drivingLicenceClasses.0.className  B  odd\n", "application/pdf  not in the store  63351998\n"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

// The demo says what is wrong with results and records, and fails.
func TestDemoNamesWhatIsWrongWithResults(t *testing.T) {
	t.Parallel()
	lose := func(ctx context.Context, e *audit.Evidence) error {
		dump, err := audit.TakeDump(ctx, e.Kafka, e.Prefix)
		if err != nil {
			return err
		}
		e.Dump = &dump
		withheld := false
		for i := range dump.Topics {
			for j := range dump.Topics[i].Partitions {
				p := &dump.Topics[i].Partitions[j]
				p.Records = slices.DeleteFunc(p.Records, func(r audit.Record) bool {
					hide := dump.Topics[i].Name == e.Prefix+"result.v1" && r.Visible && !withheld
					withheld = withheld || hide
					return hide
				})
			}
		}
		e.Inventory = e.Inventory[1:]
		return nil
	}
	spoil := func(r *demoResults) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.sample.ContactData.FirstName.Value = new("Erik")
	}
	got := runDemo(t, hooks{tamper: lose, results: spoil, settle: time.Second}, "--cases", "2")
	if got.code != exitFailed || strings.Contains(got.stderr, "bridge:") {
		t.Errorf("exit %d, stderr %q", got.code, got.stderr)
	}
	for _, want := range []string{
		", 1 results lost", "results lost: case SIMGWG01/", "its object is not in the store", " 1 missing or not intact\n",
		"the result of the guide's sample has not, or otherwise: contactData.firstName.value\n", "sample: 125 of 126 fields",
	} {
		if !strings.Contains(got.stdout, want) {
			t.Errorf("no %q in\n%s", want, got.stdout[strings.Index(got.stdout, "\nEVENTS"):])
		}
	}
}

// A sample that alone is wrong fails the demo, too.
func TestDemoFailsForTheSampleAlone(t *testing.T) {
	t.Parallel()
	spoil := func(r *demoResults) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.sample = nil
	}
	got := runDemo(t, hooks{results: spoil}, "--cases", "1")
	if got.code != exitFailed || !strings.HasSuffix(got.stdout, "\nnot verified: fields of the guide's sample are missing\n") {
		t.Errorf("exit %d\n%s", got.code, got.stdout)
	}
}

// The values of the sample that are searched for are those of a person.
func TestSampleMarks(t *testing.T) {
	t.Parallel()
	marks, err := sampleMarks()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Mustermann", "T01012148", "erika.mustermann@deutschepost.de", "REF_101485489", "1964-08-12"} {
		if !slices.Contains(marks, want) {
			t.Errorf("%q is not searched for", want)
		}
	}
	for _, mark := range marks {
		if strings.Contains(mark, "YR9W91GEZK24") || strings.Contains(mark, "https:") || strings.Contains(mark, "T18:") {
			t.Errorf("%q is no personal value", mark)
		}
	}
}
