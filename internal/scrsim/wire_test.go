package scrsim

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"postident-bridge/internal/scr"
)

// Facts C1 to C3, C20, C21, 3: a switch of spelling moves or renames what it
// names, of which nothing is lost and everything else stays as it was.
func TestSpellings(t *testing.T) {
	t.Parallel()
	joined := func(v any) any { return strings.Join(stringsOf(v), ", ") }
	for _, tt := range []struct {
		name         string
		class        scr.RegulatoryClass
		method, path string
		wire         Wire
		from, to     string // paths with dots
		as           func(any) any
	}{
		{"C1", scr.ClassGwG, scr.MethodVideo, "", Wire{ContactDataResult: true}, "contactData", "contactDataResult", nil},
		{"C2", scr.ClassGwG, scr.MethodVideo, "", Wire{PrimaryIdentification: true}, "primaryIdent", "primaryIdentification", nil},
		{"C2 status", scr.ClassGwG, scr.MethodVideo, "/status", Wire{PrimaryIdentification: true}, "primaryIdent", "primaryIdentification", nil},
		{"C3 document", scr.ClassGwG, scr.MethodVideo, "", Wire{DocumentBeside: true}, "primaryIdent.identificationDocument", "identificationDocument", nil},
		{"C3 licence", scr.ClassStandard, scr.MethodPhoto, "", Wire{DocumentBeside: true}, "primaryIdent.drivingLicence", "drivingLicence", nil},
		{"3 licence", scr.ClassMobility, scr.MethodPhoto, "", Wire{DrivingLicense: true}, "primaryIdent.drivingLicence", "primaryIdent.drivingLicense", nil},
		{"3 webhook", scr.ClassGwG, scr.MethodVideo, "", Wire{WebHookURL: true}, "orderData.processData.webHookUrl", "orderData.processData.webHookURL", nil},
		{
			"C20", scr.ClassTKG, scr.MethodVideo, "",
			Wire{ServiceCenterVideo: true},
			"primaryIdent.additionalDataVideo.identificationServiceCenter", "primaryIdent.additionalDataVideo.identificationServiceCenterVideo", nil,
		},
		{
			"C21 aliases", scr.ClassTKG, scr.MethodVideo, "",
			Wire{VideoTexts: true},
			"primaryIdent.additionalDataVideo.identificationAgentAliases", "primaryIdent.additionalDataVideo.identificationAgentAlias", joined,
		},
		{
			"C21 reviews", scr.ClassTKG, scr.MethodVideo, "",
			Wire{VideoTexts: true},
			"primaryIdent.additionalDataVideo.identReviews", "primaryIdent.additionalDataVideo.identReviews", joined,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			read := func(wire Wire) map[string]any {
				acct := hookedAccount(tt.class, Webhook{})
				acct.Wire, acct.DrivingLicence = wire, true
				// Both begin at the same whole second: their answers tell the time.
				sim := newSim(t, Config{Accounts: []Account{acct}, Start: time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)})
				id := create(t, sim, Step{Method: tt.method, Status: scr.StatusSuccess})
				advance(t, sim, id)
				a := newAPI(t, sim).get("/" + id + tt.path)
				if _, err := scr.ParseCase(a.body); err != nil {
					t.Fatal(err)
				}
				return decode[map[string]any](t, a)
			}
			usual, changed := read(Wire{}), read(tt.wire)
			want, got := take(usual, tt.from), take(changed, tt.to)
			if tt.as != nil {
				want = tt.as(want)
			}
			if want == nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s is %v, want %v", tt.to, got, want)
			}
			if strings.HasPrefix(tt.name, "C21") { // the other one changes, too
				for _, field := range []string{"identReviews", "identificationAgentAlias", "identificationAgentAliases"} {
					take(usual, "primaryIdent.additionalDataVideo."+field)
					take(changed, "primaryIdent.additionalDataVideo."+field)
				}
			}
			if strings.HasPrefix(tt.name, "C3") { // both move
				for _, field := range []string{"identificationDocument", "drivingLicence"} {
					take(usual, "primaryIdent."+field)
					take(changed, field)
				}
			}
			for _, c := range []map[string]any{usual, changed} {
				for _, name := range []string{"caseId", "caseStatus", "primaryIdent.identificationStatus", "primaryIdentification.identificationStatus"} {
					take(c, name) // ids and times of two simulators
				}
				for _, r := range recordsIn(c) {
					delete(r, "fileName")
				}
			}
			if !reflect.DeepEqual(usual, changed) {
				t.Errorf("other things change:\n%s\n%s", mustJSON(t, usual), mustJSON(t, changed))
			}
		})
	}
}

func stringsOf(v any) []string {
	var out []string
	for _, s := range v.([]any) {
		out = append(out, s.(string))
	}
	return out
}

// take removes what stands at a path, nil if nothing does.
func take(o map[string]any, path string) any {
	name, rest, deeper := strings.Cut(path, ".")
	if deeper {
		inner, ok := o[name].(map[string]any)
		if !ok {
			return nil
		}
		return take(inner, rest)
	}
	v := o[name]
	delete(o, name)
	return v
}

func recordsIn(v any) []map[string]any {
	var out []map[string]any
	switch v := v.(type) {
	case map[string]any:
		if _, ok := v["recordId"]; ok {
			out = append(out, v)
		}
		for _, inner := range v {
			out = append(out, recordsIn(inner)...)
		}
	case []any:
		for _, inner := range v {
			out = append(out, recordsIn(inner)...)
		}
	}
	return out
}

// Facts C4: with LegacyEmpty nothing that is there changes; what is missing is
// there as {}, "" or null.
func TestLegacyShapesOnlyAddWhatIsEmpty(t *testing.T) {
	t.Parallel()
	isEmpty := regexp.MustCompile(`^(\{\}|null|\{"status":"[a-z]+","value":""\}|"")$`)
	kinds := make(map[string]bool)
	for _, method := range allMethods {
		read := func(legacy bool) [][]byte {
			acct := testAccount("ACCT0001", scr.ClassGwG)
			acct.Wire.LegacyEmpty = legacy
			sim := newSim(t, Config{Accounts: []Account{acct}})
			var all [][]byte
			for range 26 {
				id := create(t, sim, Step{Method: method, Status: scr.StatusSuccess})
				advance(t, sim, id)
				all = append(all, newAPI(t, sim).get("/"+id).wants(200).body)
			}
			return all
		}
		usual, legacy := read(false), read(true)
		for i := range usual {
			var a, b map[string]any
			if err := json.Unmarshal(usual[i], &a); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(legacy[i], &b); err != nil {
				t.Fatal(err)
			}
			compareLegacy(t, "", a, b, func(path, value string) {
				if !isEmpty.MatchString(value) {
					t.Errorf("%s is added as %s", path, value)
				}
				kinds[value] = true
			})
		}
	}
	for _, kind := range []string{"{}", "null", `""`, `{"status":"new","value":""}`} {
		if !kinds[kind] {
			t.Errorf("nothing was added as %s, but %v", kind, slices.Collect(maps.Keys(kinds)))
		}
	}
}

func compareLegacy(t *testing.T, path string, usual, legacy map[string]any, added func(path, value string)) {
	t.Helper()
	for name := range usual {
		if _, ok := legacy[name]; !ok {
			t.Errorf("%s.%s is gone", path, name)
		}
	}
	for name, v := range legacy {
		was, ok := usual[name]
		if !ok {
			added(path+"."+name, string(mustJSON(t, v)))
			continue
		}
		a, _ := was.(map[string]any)
		b, _ := v.(map[string]any)
		switch {
		case a != nil && b != nil:
			compareLegacy(t, path+"."+name, a, b, added)
		case (a == nil) != (b == nil):
			t.Errorf("%s.%s was %v and is %v", path, name, was, v)
		}
	}
}

// Guide 8.1: unknown fields come in objects at every depth and in lists, in each
// shape; the same ones each time; and their texts and names are canaries.
func TestUnknownFields(t *testing.T) {
	t.Parallel()
	known := make(map[string]bool)
	for _, fields := range tables().Objects {
		for _, f := range fields {
			known[f.Field], known[f.wire()] = true, true
		}
	}
	for _, name := range []string{
		"value", "code", "description", "customData", "processData", "contactDataProvided", "identificationDocumentProvided",
		"drivingLicenceProvided", "identifications", "targetCountry", "preferredLanguage", "referenceId",
	} {
		known[name] = true
	}
	custom := regexp.MustCompile(`^custom[1-5]$`)
	where, shapes := make(map[string]bool), make(map[string]bool)
	var found func(path string, v any)
	found = func(path string, v any) {
		switch v := v.(type) {
		case []any:
			for _, inner := range v {
				found(path+"[]", inner)
			}
		case map[string]any:
			for name, inner := range v {
				if known[name] || custom.MatchString(name) {
					found(path+"."+name, inner)
					continue
				}
				where[path] = true
				shapes[fmt.Sprintf("%T", inner)] = true
				leaves(name, inner, func(at, value string) {
					countries := strings.HasSuffix(at, ".country") || strings.HasSuffix(at, ".status")
					if !hasMark(value) && !hasMark(at) && !countries {
						t.Errorf("%s = %q holds no canary", at, value)
					}
				})
			}
		}
	}
	for _, method := range allMethods {
		for _, rate := range []float64{0, 0.3, 1} {
			acct := testAccount("ACCT0001", scr.ClassMobility)
			acct.Wire.UnknownFields, acct.Records = rate, tinyRecords
			sim := newSim(t, Config{Accounts: []Account{acct}})
			for range 12 {
				id := create(t, sim, Step{Method: method, Status: scr.StatusSuccess})
				advance(t, sim, id)
				path := "/" + id + "/full?includeResultPdf=true&includeBinaryData=true"
				body := newAPI(t, sim).get(path).wants(200).body
				if again := newAPI(t, sim).get(path).body; string(again) != string(body) {
					t.Fatalf("not the same:\n%s\n%s", body, again)
				}
				if _, err := scr.ParseCase(body); err != nil {
					t.Fatal(err)
				}
				before := len(where)
				var v any
				if err := json.Unmarshal(body, &v); err != nil {
					t.Fatal(err)
				}
				found("", v)
				if rate == 0 && len(where) != before {
					t.Fatalf("unknown fields although there are none: %v", where)
				}
			}
		}
	}
	for _, path := range []string{
		"", ".caseStatus", ".orderData.customData", ".contactData.address.city", ".identifications[]",
		".identifications[].identificationDocument.records[]", ".identifications[].drivingLicence.drivingLicenceClasses[].className",
		".identifications[].additionalDataBasic.idCardReaderCheck.checkedCategories[].failedChecksOfIdCardReader[].additionalInformation[]",
		".accountingData",
	} {
		if !where[path] {
			t.Errorf("no unknown field in %q", path)
		}
	}
	if len(shapes) != 6 { // object, list, text, number, truth value, null
		t.Errorf("shapes %v", shapes)
	}
}

func TestUnknownFieldsAreAChance(t *testing.T) {
	t.Parallel()
	for _, rate := range []float64{-0.1, 1.1} {
		acct := testAccount("ACCT0001", scr.ClassGwG)
		acct.Wire.UnknownFields = rate
		if _, err := New(Config{Accounts: []Account{acct}}); err == nil {
			t.Errorf("%v is taken", rate)
		}
	}
	c := &simCase{acct: &account{}}
	c.acct.Wire.UnknownFields = 0.25
	n := 0
	for c.serial = range 4000 {
		o := object{}
		c.sprinkle(o, false)
		n += len(o)
	}
	if n < 850 || n > 1150 {
		t.Errorf("%d of 4000 at a chance of a quarter", n)
	}
}
