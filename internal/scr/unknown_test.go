package scr_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"postident-bridge/internal/scr"
)

// caseWith is a case with further fields, of which ParseCase sees no harm.
func caseWith(fields string) string { return `{` + headJSON + `,` + fields + `}` }

func TestDesign8APIUnknownFieldsByPath(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		body string
		want []string
	}{
		"8.2 case":                      {caseWith(`"newField":"v"`), []string{"newField"}},
		"8.3 caseStatus":                {`{"caseId":"A","caseStatus":{"created":"2024-01-01T10:00:00Z","newField":1}}`, []string{"caseStatus.newField"}},
		"8.4 orderData":                 {caseWith(`"orderData":{"newField":null}`), []string{"orderData.newField"}},
		"8.4 processData":               {caseWith(`"orderData":{"processData":{"newField":[]}}`), []string{"orderData.processData.newField"}},
		"8.6 primaryIdent":              {caseWith(`"primaryIdent":{"newField":{}}`), []string{"primaryIdent.newField"}},
		"8.6 primaryIdentification":     {caseWith(`"primaryIdentification":{"newField":true}`), []string{"primaryIdentification.newField"}},
		"8.6 identifications":           {caseWith(`"identifications":[{"newField":1}]`), []string{"identifications.newField"}},
		"8.6.1 identificationStatus":    {withStatus(`,"newField":1`), []string{"primaryIdent.identificationStatus.newField"}},
		"8.6.1 subStatus":               {withStatus(`,"subStatus":{"code":1,"newField":1}`), []string{"primaryIdent.identificationStatus.subStatus.newField"}},
		"8.6.1 subStatusReason":         {withStatus(`,"subStatusReason":{"newField":1}`), []string{"primaryIdent.identificationStatus.subStatusReason.newField"}},
		"8.6.2 identificationDocument":  {caseWith(`"primaryIdent":{"identificationDocument":{"newField":1}}`), []string{"primaryIdent.identificationDocument.newField"}},
		"8.6.3 drivingLicence":          {caseWith(`"primaryIdent":{"drivingLicence":{"newField":1}}`), []string{"primaryIdent.drivingLicence.newField"}},
		"8.6.3 drivingLicense, facts 3": {caseWith(`"primaryIdent":{"drivingLicense":{"newField":1}}`), []string{"primaryIdent.drivingLicense.newField"}},
		"8.6.7 record":                  {caseWith(`"primaryIdent":{"records":[{"newField":1}]}`), []string{"primaryIdent.records.newField"}},
		"8.6.7 record of a document":    {caseWith(`"primaryIdent":{"identificationDocument":{"records":[{"newField":1}]}}`), []string{"primaryIdent.identificationDocument.records.newField"}},
		"8.6.7 record of a licence":     {caseWith(`"primaryIdent":{"drivingLicence":{"records":[{"newField":1}]}}`), []string{"primaryIdent.drivingLicence.records.newField"}},
		"8.7 accountingData":            {caseWith(`"accountingData":{"newField":1}`), []string{"accountingData.newField"}},
		"C3 document beside":            {caseWith(`"identificationDocument":{"newField":1,"records":[{"newField":1}]}`), []string{"identificationDocument.newField", "identificationDocument.records.newField"}},
		"C3 licence beside":             {caseWith(`"drivingLicence":{"newField":1}`), []string{"drivingLicence.newField"}},

		"elements of a list are one": {
			caseWith(`"identifications":[null,{"a":1},"",{},{"a":2,"b":3,"records":[{"c":1},{"c":2}]},{"records":[{"c":1}]}]`),
			[]string{"identifications.a", "identifications.b", "identifications.records.c"},
		},
		"what is in an unknown field is not looked at": {
			caseWith(`"new":[[{"a":["}]\"",{}]}],-1.5e3,true],"newer":{"caseStatus":{"b":{}}},"last":"\\"`),
			[]string{"new", "newer", "last"},
		},
		"nor what is in a known one that is not read": {
			caseWith(`"contactData":{"a":{"b":1}},"orderData":{"customData":{"c":1},"contactDataProvided":{"d":[{}]}},"primaryIdent":{"additionalDataVideo":{"e":1}}`), nil,
		},
		"letter case counts, as in reading":  {caseWith(`"CaseId":"B","primaryident":{}`), []string{"CaseId", "primaryident"}},
		"a name known elsewhere is unknown":  {caseWith(`"status":1,"accountingData":{"recordId":1}`), []string{"status", "accountingData.recordId"}},
		"an escaped name is the name":        {caseWith(`"\u0061ccountingData":{"accountingN\u0075mber":"1","n\u0065w":1}`), []string{"accountingData.new"}},
		"white space everywhere":             {" {\n\t" + headJSON + " ,\r\n\"a\" : [ 1 , 2 ] , \"accountingData\" : { \"b\"\t:\n{ } } } ", []string{"a", "accountingData.b"}},
		"40 characters are shown, 41 hidden": {caseWith(`"` + strings.Repeat("a", 40) + `":1,"accountingData":{"` + strings.Repeat("b", 41) + `":1}`), []string{strings.Repeat("a", 40), "accountingData.?"}},
		"odd names are hidden":               {caseWith(`"":1,"Erika Mustermann":2,"a.b":3,"a-b":4,"Köln":5,"\u0000":6,"\ud800":7,"\"":8,"{path}":9`), []string{"?"}},
		"so is one that is no UTF-8":         {caseWith(`"` + "\xff" + `":1`), []string{"?"}},
		"so is the label of the rest":        {caseWith(`"other":1,"others":2`), []string{"?", "others"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mustParse(t, tt.body)
			got := scr.UnknownFields([]byte(tt.body))
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("paths (-want +got):\n%s", diff)
			}
			checkUnknown(t, []byte(tt.body), got)
		})
	}
}

func TestDesign8APIUnknownFieldsAreNotThoseOfTheSources(t *testing.T) {
	t.Parallel()
	names := func(list string) string {
		var fields []string
		for name := range strings.FieldsSeq(list) {
			fields = append(fields, `"`+name+`":null`)
		}
		return strings.Join(fields, ",")
	}
	const (
		document = `countryOfDocument type number firstName lastName birthName birthDate birthPlace nationality address dateIssued dateOfExpiry authority placeOfIssue records`
		licence  = `countryOfDocument number firstName lastName birthDate birthPlace drivingLicenceClasses restrictions dateIssued dateOfExpiry authority records`
		record   = `recordId belongsTo type validationStatus validationSubStatus validationRemark mimeType fileName documentData`
		ident    = `identificationMethod identificationStatus identificationDocument drivingLicence records additionalDataBasic additionalDataEid additionalDataVideo`
	)
	for name, body := range map[string]string{
		"guide 7.4.1 sample":            string(readFile(t, "case-video-success.json")),
		"guide 8.2":                     caseWith(names(`orderData contactDataResult primaryIdentification accountingData`)),
		"guide 8.3":                     `{"caseId":"A","caseStatus":{"created":"2024-01-01T10:00:00Z",` + names(`status archived validUntil modified`) + `}}`,
		"guide 8.4, facts 2.3":          caseWith(`"orderData":{` + names(`processData contactDataProvided identificationDocumentProvided drivingLicenceProvided customData`) + `}`),
		"facts 2.4":                     caseWith(`"orderData":{"processData":{` + names(`targetCountry preferredLanguage webHookUrl webHookUrlPartner referenceId callbackUrlCouponRequested callbackUrlReviewPending callbackUrlIncomplete callbackUrlSuccess callbackUrlDeclined callbackUrlCancelledAndClosed`) + `}}`),
		"facts 3 webHookURL":            caseWith(`"orderData":{"processData":{"webHookURL":""}}`),
		"guide 8.6, C2 every place":     caseWith(`"primaryIdent":{` + names(ident) + `},"primaryIdentification":{` + names(ident) + `},"identifications":[{` + names(ident) + `}]`),
		"guide 8.6.1":                   caseWith(`"primaryIdent":{"identificationStatus":{"subStatus":{` + names(`code description`) + `},"subStatusReason":{` + names(`code description`) + `},` + names(`status identificationTime created modified`) + `}}`),
		"guide 8.6.2":                   caseWith(`"primaryIdent":{"identificationDocument":{` + names(document) + `}}`),
		"guide 8.6.3":                   caseWith(`"primaryIdent":{"drivingLicence":{` + names(licence) + `}}`),
		"facts 3 drivingLicense":        caseWith(`"primaryIdent":{"drivingLicense":{` + names(licence) + `}}`),
		"guide 8.6.7":                   caseWith(`"primaryIdent":{"records":[{` + names(record) + `}]}`),
		"guide 8.7":                     caseWith(`"accountingData":{` + names(`accountingNumber accountingProduct`) + `}`),
		"C1 contactData":                caseWith(names(`contactData contactDataResult`)),
		"C2 the names of the primary":   caseWith(names(`primaryIdent primaryIdentification identifications`)),
		"C3 documents beside":           caseWith(`"identificationDocument":{` + names(document) + `},"drivingLicence":{` + names(licence) + `},"drivingLicense":{}`),
		"C4 empty objects, texts":       caseWith(`"primaryIdent":{},"orderData":"","identifications":{},"accountingData":{ }`),
		"C20 name of the centre, twice": caseWith(`"primaryIdent":{"additionalDataVideo":{` + names(`identificationServiceCenter identificationServiceCenterVideo`) + `}}`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mustParse(t, body)
			if got := scr.UnknownFields([]byte(body)); got != nil {
				t.Errorf("unknown: %q", got)
			}
		})
	}
}

// TestEveryFieldThatIsReadIsKnown compares the table with the types that the
// decoder fills.
func TestEveryFieldThatIsReadIsKnown(t *testing.T) {
	t.Parallel()
	compared := 0
	var compare func(path string, typ reflect.Type, known scr.KnownFields)
	compare = func(path string, typ reflect.Type, known scr.KnownFields) {
		switch {
		case typ.Kind() == reflect.Slice: // list
			compare(path, typ.Elem(), known)
			return
		case typ.Kind() != reflect.Struct:
			if known != nil {
				t.Errorf("%s is no object", path)
			}
			return
		}
		if value, ok := typ.FieldByName("value"); ok { // object
			compare(path, value.Type, known)
			return
		}
		for field := range typ.Fields() {
			name := field.Tag.Get("json")
			if field.Anonymous {
				compare(path, field.Type, known)
				continue
			}
			inner, ok := known[name]
			if !ok {
				t.Errorf("%s.%s is read, and not known", path, name)
			}
			compared++
			compare(path+"."+name, field.Type, inner)
		}
	}
	compare("", scr.WireCase, scr.FieldsOfCase)
	if compared < 50 {
		t.Errorf("only %d fields were compared: the test does not see them all", compared)
	}
}

func TestUnknownFieldsOfOneAnswerAreBounded(t *testing.T) {
	t.Parallel()
	for _, n := range []int{scr.MaxUnknownPaths, scr.MaxUnknownPaths + 1, 10_000} {
		var fields []string
		for i := range n {
			fields = append(fields, fmt.Sprintf(`"f%d":{}`, i))
		}
		body := caseWith(strings.Join(fields, ","))
		mustParse(t, body)
		got := scr.UnknownFields([]byte(body))
		if want := min(n, scr.MaxUnknownPaths+1); len(got) != want {
			t.Errorf("%d fields: %d paths, want %d", n, len(got), want)
		}
		if more := slices.Contains(got, scr.OtherPaths); more != (n > scr.MaxUnknownPaths) {
			t.Errorf("%d fields: other is %t", n, more)
		}
		checkUnknown(t, []byte(body), got)
	}
}

// unknownPoints reads the counter by path.
func unknownPoints(t *testing.T, reader *sdkmetric.ManualReader) map[string]int64 {
	t.Helper()
	var rm metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &rm); err != nil {
		t.Fatal(err)
	}
	points := map[string]int64{}
	for _, scope := range rm.ScopeMetrics {
		for _, m := range scope.Metrics {
			if m.Name != "postident.api.unknown_fields" {
				continue
			}
			sum, ok := m.Data.(metricdata.Sum[int64])
			if !ok || !sum.IsMonotonic || m.Unit != "{field}" {
				t.Fatalf("metric %+v", m)
			}
			for _, p := range sum.DataPoints {
				client, _ := p.Attributes.Value("client_id")
				path, ok := p.Attributes.Value("path")
				if !ok || client.AsString() != "1234ABCD" || p.Attributes.Len() != 2 {
					t.Errorf("labels %v", p.Attributes.ToSlice())
				}
				points[path.AsString()] = p.Value
			}
		}
	}
	return points
}

// unknownReader is a client whose reads get the bodies that next gives.
func unknownReader(t *testing.T, next func() string) (*scr.Client, *sdkmetric.ManualReader) {
	t.Helper()
	cfg := testConfig(serve(t, func(w http.ResponseWriter, r *http.Request) {
		encryptFor(t, w, r, []byte(next()))
	}))
	reader, _ := instrument(&cfg)
	return newClient(t, cfg), reader
}

func TestDesign8APIUnknownFieldsAreCounted(t *testing.T) {
	t.Parallel()
	bodies := []string{
		caseWith(`"a":1,"identifications":[{"b":1},{"b":2}]`),
		caseWith(`"a":1,"contactData":{}`),
		caseWith(`"contactDataResult":{}`),
		`{"caseId":"B","caseStatus":{"created":"2024-01-01T10:00:00Z"},"ofAnotherCase":1}`,
		`{"caseId":"A","ofNoCase":1}`,
	}
	var body string
	client, reader := unknownReader(t, func() string { return body })
	for _, body = range bodies {
		_, err := client.Case(t.Context(), "A")
		if refused := strings.Contains(body, "of"); refused != (err != nil) {
			t.Fatalf("%s: %v", body, err)
		}
	}
	if diff := cmp.Diff(map[string]int64{"a": 2, "identifications.b": 1}, unknownPoints(t, reader)); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
}

func TestUnknownFieldsOfAnAccountAreBounded(t *testing.T) {
	t.Parallel()
	const (
		readers  = 4
		reads    = 5
		perRead  = 10
		distinct = readers * reads * perRead
	)
	var (
		mu   sync.Mutex
		next int
		wg   sync.WaitGroup
	)
	client, reader := unknownReader(t, func() string {
		mu.Lock()
		defer mu.Unlock()
		var fields []string
		for range perRead {
			fields = append(fields, fmt.Sprintf(`"f%d":1`, next))
			next++
		}
		return caseWith(strings.Join(fields, ","))
	})
	for range readers {
		wg.Go(func() {
			for range reads {
				if _, err := client.Case(t.Context(), "A"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	points := unknownPoints(t, reader)
	if len(points) != scr.MaxUnknownPaths+1 || points[scr.OtherPaths] != distinct-scr.MaxUnknownPaths {
		t.Errorf("%d paths, %d other, of %d; want %d and the rest", len(points), points[scr.OtherPaths], distinct, scr.MaxUnknownPaths+1)
	}
}

func TestDesign8APIUnknownFieldsShowNoContent(t *testing.T) {
	t.Parallel()
	names := []string{canary, "Erika Mustermann", "011111111111 ", "erika.mustermann@deutschepost.de", strings.Repeat("M", 41), "<b>", "a\nb"}
	var body string
	client, reader := unknownReader(t, func() string { return body })
	var root any
	if err := json.Unmarshal([]byte(caseWith(`"primaryIdent":`+videoJSON)), &root); err != nil {
		t.Fatal(err)
	}
	object, ok := root.(map[string]any)
	if !ok {
		t.Fatal("no object")
	}
	for _, at := range []string{"", "orderData", "primaryIdent"} {
		into := object
		if at != "" {
			if into, ok = object[at].(map[string]any); !ok {
				into = map[string]any{}
				object[at] = into
			}
		}
		for _, name := range names {
			into[name] = map[string]any{canary: canary}
		}
		into["newField"] = []any{canary, canaryNumber, map[string]any{"Mustermann": "T01012148"}}
	}
	encoded, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	body = string(encoded)
	if _, err := client.Case(t.Context(), "A"); err != nil {
		t.Fatal(err)
	}
	want := map[string]int64{"?": 1, "newField": 1, "orderData.?": 1, "orderData.newField": 1, "primaryIdent.?": 1, "primaryIdent.newField": 1}
	if diff := cmp.Diff(want, unknownPoints(t, reader)); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	var rm metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &rm); err != nil {
		t.Fatal(err)
	}
	for _, hidden := range append(names, canaryNumber, "Mustermann", "T01012148") {
		if strings.Contains(fmt.Sprintf("%+v", rm), hidden) {
			t.Errorf("the metrics show %q", hidden)
		}
	}
}

var shownName = regexp.MustCompile(`^[A-Za-z0-9_]{1,40}$`)

// checkUnknown holds the paths of an accepted body against those of a plain walk
// over what encoding/json makes of it.
func checkUnknown(t *testing.T, body []byte, got []string) {
	t.Helper()
	var root any
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	if err := d.Decode(&root); err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{}
	var walk func(path string, v any, known scr.KnownFields)
	walk = func(path string, v any, known scr.KnownFields) {
		if known == nil {
			return
		}
		switch v := v.(type) {
		case []any:
			for _, element := range v {
				walk(path, element, known)
			}
		case map[string]any:
			for name, value := range v {
				inner, ok := known[name]
				if !ok {
					if !shownName.MatchString(name) || name == scr.OtherPaths {
						name = "?"
					}
					want[path+name] = true
				}
				walk(path+name+".", value, inner)
			}
		}
	}
	walk("", root, scr.FieldsOfCase)
	more := len(want) > scr.MaxUnknownPaths
	if more {
		want[scr.OtherPaths] = true
	}
	for _, path := range got {
		if !want[path] {
			t.Fatalf("path %q, want one of %v", path, want)
		}
	}
	if len(slices.Compact(slices.Sorted(slices.Values(got)))) != min(len(want), scr.MaxUnknownPaths+1) {
		t.Fatalf("paths %q, want %v", got, want)
	}
}

// oddCases are cases with unknown fields for the fuzzer to start from.
func oddCases() []string {
	return []string{
		caseWith(`"a":{"b":[{},"}\\",-1e5,null]},"":1,"identifications":[{"c":1},{"c":2,"records":[{"d":""}]}],"orderData":{"processData":{"e f":[]}}`),
		withStatus(`,"subStatus":{"code":1,"x":1},"\u0073ubStatusReason":{"y":true}`),
		`{"a":[[[`, `{"a"`, `{"\`, `{"primaryIdent":[}]{`, `{"caseStatus":{,:"x"]}`,
	}
}
