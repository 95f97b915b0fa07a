package scrsim

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"postident-bridge/internal/scr"
)

//go:embed testdata/fields.json
var fieldsJSON []byte

// guideField is a row of the tables of guide 8.
type guideField struct {
	Field         string                         `json:"field"`
	Type          string                         `json:"type"`
	Classes       map[scr.RegulatoryClass]string `json:"classes"`
	NotForMethods []string                       `json:"notForMethods"`
	OnlyFor       []string                       `json:"onlyForMethods"`
	Values        []string                       `json:"values"`
	Sample        string                         `json:"wireNameInSample"`
}

// wire is the field's name in an answer.
func (f guideField) wire() string {
	if f.Sample != "" {
		return f.Sample
	}
	return f.Field
}

// guideTables are those of guide 8, and what it says of records.
type guideTables struct {
	Objects map[string][]guideField `json:"objects"`
	Records []struct {
		Type      string                `json:"type"`
		BelongsTo string                `json:"belongsTo"`
		Classes   []scr.RegulatoryClass `json:"binaryClasses"`
	} `json:"records"`
	ByMethod map[string]struct {
		Document []scr.RegulatoryClass `json:"identificationDocumentImages"`
		Face     []scr.RegulatoryClass `json:"userFaceImages"`
		Licence  []scr.RegulatoryClass `json:"drivingLicenceImages"`
		Rows     []string              `json:"onlyRows"`
	} `json:"byMethod"`
}

var tables = sync.OnceValue(func() guideTables {
	var g guideTables
	if err := json.Unmarshal(fieldsJSON, &g); err != nil {
		panic(err)
	}
	return g
})

var (
	allClasses = []scr.RegulatoryClass{scr.ClassGwG, scr.ClassTKG, scr.ClassEIDAS, scr.ClassStandard, scr.ClassMobility}
	allMethods = []string{scr.MethodAutoID, scr.MethodBasic, scr.MethodEID, scr.MethodPhoto, scr.MethodVideo}
)

// isOf is false for the objects, and the fields that hold them, that only another
// method has.
func isOf(method, name string) bool {
	only := map[string]string{
		"DrivingLicenceResult": scr.MethodPhoto, "DrivingLicenceClassesResult": scr.MethodPhoto,
		"AdditionalDataBasic": scr.MethodBasic, "IdCardReaderCheck": scr.MethodBasic,
		"IdCardReaderCheckCategories": scr.MethodBasic, "FailedCheckOfIdCardReader": scr.MethodBasic,
		"AdditionalInformationForIDCardCheck": scr.MethodBasic, "AdditionalDataEid": scr.MethodEID,
		"AdditionalDataVideo": scr.MethodVideo,
		"drivingLicence":      scr.MethodPhoto, "additionalDataBasic": scr.MethodBasic,
		"additionalDataEid": scr.MethodEID, "additionalDataVideo": scr.MethodVideo,
	}
	return only[name] == "" || only[name] == method
}

// gives reports whether an account of the class that has everything switched on
// gives the field with the method.
func (g guideTables) gives(object string, f guideField, class scr.RegulatoryClass, method string) bool {
	switch {
	case f.Classes != nil && f.Classes[class] == "no", slices.Contains(f.NotForMethods, method),
		len(f.OnlyFor) > 0 && !slices.Contains(f.OnlyFor, method):
		return false
	case !isOf(method, object), !isOf(method, f.Field):
		return false
	}
	switch f.Field {
	case "mobilePhone":
		return class == scr.ClassGwG && method == scr.MethodVideo // guide 8.5
	case "placeOfIssue":
		return method != scr.MethodEID // the chip is in no passport
	case "subStatusReason":
		return method != scr.MethodPhoto // guide 4.4 has none
	case "videoRecordingAccepted", "videoRecordingDeliveryShaft":
		return class == scr.ClassGwG // guide 8.6.7: only its videochats are recorded
	case "additionalDataVideo":
		return class == scr.ClassGwG || class == scr.ClassTKG // else nothing is in it
	case "records":
		// Facts C22: autoid gives no image of a document, eid where class GwG asks for them.
		return object != "IdentificationDocumentResult" || method != scr.MethodAutoID && (method != scr.MethodEID || class == scr.ClassGwG)
	default:
		return true
	}
}

// everyState makes cases of each row of the status model, of a success so many,
// and visits the answers about them. Twelve have all kinds of documents, sixty
// leave out and have what any case does.
func everyState(t *testing.T, class scr.RegulatoryClass, method string, successes int, change func(*Account), visit func(sim *Simulator, row, id string, body []byte)) {
	t.Helper()
	acct := testAccount("ACCT0001", class)
	acct.DrivingLicence, acct.Records = true, tinyRecords
	acct.Records.EIDImages = true
	if change != nil {
		change(&acct)
	}
	sim := newSim(t, Config{Accounts: []Account{acct}})
	client := newAPI(t, sim)
	for _, r := range scr.StatusRows() {
		if r.Method != method {
			continue
		}
		again := 1
		switch r.Status {
		case scr.StatusSuccess:
			again = successes
		case scr.StatusDeclined:
			again = 4 // the remarks of photo
		}
		pairs := row(r.ID).pairs
		for n := range max(again, len(pairs)) {
			pair := pairs[n%len(pairs)]
			id := create(t, sim, Step{Method: r.Method, Status: r.Status, SubStatus: pair.subStatus, Reason: pair.reason})
			if n == 0 {
				visit(sim, "", id, client.get("/"+id+"/full").wants(200).body)
			}
			advance(t, sim, id)
			visit(sim, r.ID, id, client.get("/"+id+"?includeResultPdf=true&includeBinaryData=true").wants(200).body)
		}
	}
}

// see notes the fields of an object of the guide, and the values of those that
// have a list of them.
func (g guideTables) see(name string, v any, sent, values map[string]bool) {
	if list, ok := v.([]any); ok {
		for _, element := range list {
			g.see(name, element, sent, values)
		}
		return
	}
	o, ok := v.(map[string]any)
	if !ok {
		return
	}
	for _, f := range g.Objects[name] {
		inner, ok := o[f.wire()]
		if !ok {
			continue
		}
		sent[name+"."+f.Field] = true
		text := inner
		if f.Type == "ResultValue" {
			text = inner.(map[string]any)["value"]
		}
		if len(f.Values) > 0 {
			values[fmt.Sprint(name, ".", f.Field, "=", text)] = true
		}
		g.see(strings.TrimSuffix(f.Type, "[]"), inner, sent, values)
	}
}

// Guide 8.2 to 8.7: every field is sent for every class and method that may have
// it, and for none that may not; and of every list of values each one.
func TestEveryFieldIsSentWhereTheGuideHasIt(t *testing.T) {
	t.Parallel()
	g := tables()
	var mu sync.Mutex
	cells, given := 0, 0
	values := make(map[string]bool)
	t.Run("cells", func(t *testing.T) {
		t.Parallel()
		for _, class := range allClasses {
			for _, method := range allMethods {
				t.Run(string(class)+" "+method, func(t *testing.T) {
					t.Parallel()
					sent, seen := make(map[string]bool), make(map[string]bool)
					look := func(_ *Simulator, _, _ string, body []byte) {
						var v any
						if err := json.Unmarshal(body, &v); err != nil {
							t.Fatal(err)
						}
						g.see("CaseResult", v, sent, seen)
						for _, mark := range ForbiddenCanaries() {
							if strings.Contains(string(body), mark) {
								t.Fatalf("forbidden %s in %s", mark, body)
							}
						}
					}
					everyState(t, class, method, 60, nil, look)
					everyState(t, class, method, 4, func(a *Account) { a.Records.SplitPDF = true }, look)
					mu.Lock()
					defer mu.Unlock()
					for v := range seen {
						values[v] = true
					}
					for object, fields := range g.Objects {
						for _, f := range fields {
							want := g.gives(object, f, class, method)
							if got := sent[object+"."+f.Field]; got != want {
								t.Errorf("%s.%s: sent %v, want %v", object, f.Field, got, want)
							}
							cells++
							if want {
								given++
							}
						}
					}
				})
			}
		}
	})
	t.Cleanup(func() {
		for object, fields := range g.Objects {
			for _, f := range fields {
				for _, v := range f.Values {
					if !values[object+"."+f.Field+"="+v] {
						t.Errorf("%s.%s is never %q", object, f.Field, v)
					}
				}
			}
		}
		t.Logf("%d cells of field, class and method, %d of them given", cells, given)
	})
}

// Wire.Forbidden sends every field that has a rule of class or method to those,
// too, that must not have it, with a mark of its own.
func TestForbiddenFieldsAreMarked(t *testing.T) {
	t.Parallel()
	g := tables()
	for _, class := range allClasses {
		for _, method := range allMethods {
			t.Run(string(class)+" "+method, func(t *testing.T) {
				t.Parallel()
				sent := make(map[string]bool)
				everyState(t, class, method, 12, func(a *Account) { a.Wire.Forbidden = true }, func(_ *Simulator, _, _ string, body []byte) {
					var v any
					if err := json.Unmarshal(body, &v); err != nil {
						t.Fatal(err)
					}
					g.see("CaseResult", v, sent, make(map[string]bool))
					g.checkMarks(t, "CaseResult", v, class, method)
				})
				for object, fields := range g.Objects {
					for _, f := range fields {
						if f.Classes == nil || !isOf(method, object) || f.Field == "placeOfIssue" && method == scr.MethodEID {
							continue
						}
						if !sent[object+"."+f.Field] {
							t.Errorf("%s.%s is not sent", object, f.Field)
						}
					}
				}
			})
		}
	}
}

// checkMarks fails the test where a value that is forbidden has no mark that says
// so, or one that is not has one.
func (g guideTables) checkMarks(t *testing.T, name string, v any, class scr.RegulatoryClass, method string) {
	t.Helper()
	if list, ok := v.([]any); ok {
		for _, element := range list {
			g.checkMarks(t, name, element, class, method)
		}
		return
	}
	o, ok := v.(map[string]any)
	if !ok {
		return
	}
	for _, f := range g.Objects[name] {
		inner, ok := o[f.wire()]
		if !ok {
			continue
		}
		forbidden := f.Classes != nil && f.Classes[class] == "no" || slices.Contains(f.NotForMethods, method)
		if _, nested := g.Objects[strings.TrimSuffix(f.Type, "[]")]; nested {
			g.checkMarks(t, strings.TrimSuffix(f.Type, "[]"), inner, class, method)
			continue
		}
		if f.Field == "documentData" {
			continue // see TestRecordsAreWhatTheTruthSays
		}
		text := fmt.Sprint(inner)
		marked := slices.ContainsFunc(ForbiddenCanaries(), func(m string) bool { return strings.Contains(text, m) })
		if marked != forbidden {
			t.Errorf("%s.%s = %s: marked %v, forbidden %v", name, f.Field, text, marked, forbidden)
		}
	}
}

// The marks of what is forbidden are canaries, and never those of anything else.
func TestForbiddenCanariesAreCanaries(t *testing.T) {
	t.Parallel()
	for _, mark := range ForbiddenCanaries() {
		if !hasMark(mark) {
			t.Errorf("%q is no canary", mark)
		}
	}
}
