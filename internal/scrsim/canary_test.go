package scrsim

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"postident-bridge/internal/scr"
)

// notPersonal are the leaves of an answer that hold no canary: status, codes,
// pseudonyms, and values out of a short list. Everything else must hold one, so
// a field that is added without thought fails the test.
var notPersonal = regexp.MustCompile(`(^|\.)(` + strings.Join([]string{
	`caseId`, `caseStatus\..*`, `accountingData\..*`, `identificationMethod`, `identificationStatus\..*`,
	`processData\.(targetCountry|preferredLanguage|referenceId|webHookUrl)`,
	`(type|countryOfDocument|nationality|country|className)(\.value)?`, `status`,
	`addressMatch\..*`, `recordId`, `belongsTo`, `mimeType`, `fileName`, `validationStatus`, `validationSubStatus`,
	`additionalDataBasic\.(coupon.*|postOffice.*|checkoutNote|idCardReaderCheck\..*\.(name|checkName|subCheckName|key))`,
	`additionalDataVideo\.(identificationServiceCenter|videoRecording.*|tanChannel)`,
}, "|") + `)$`)

// Design P5 is tested with these: every personal leaf of every state, method
// and class holds a mark of Canaries.
func TestEveryPersonalFieldHoldsACanary(t *testing.T) {
	t.Parallel()
	fields, plain := make(map[string]bool), make(map[string]bool)
	isPlain := func(path string) bool {
		known, ok := plain[path]
		if !ok {
			known = notPersonal.MatchString(path)
			plain[path] = known
		}
		return known
	}
	for _, class := range []scr.RegulatoryClass{scr.ClassGwG, scr.ClassTKG, scr.ClassEIDAS, scr.ClassStandard, scr.ClassMobility} {
		acct := testAccount("ACCT0001", class)
		acct.Records = tinyRecords
		sim := newSim(t, Config{Accounts: []Account{acct}})
		client := newAPI(t, sim)
		for _, r := range scr.StatusRows() {
			for range 13 { // kinds of documents and what a case leaves out
				pair := row(r.ID).pairs[0]
				id := create(t, sim, Step{Method: r.Method, Status: r.Status, SubStatus: pair.subStatus, Reason: pair.reason})
				advance(t, sim, id)
				var v any
				if err := json.Unmarshal(client.get("/"+id+"/full?includeResultPdf=true&includeBinaryData=true").wants(200).body, &v); err != nil {
					t.Fatal(err)
				}
				leaves("", v, func(path, value string) {
					if isPlain(path) {
						if hasMark(value) {
							t.Errorf("%s = %q holds a canary", path, value)
						}
						return
					}
					if value == "" {
						return // what was provided is changed to nothing
					}
					fields[path[strings.LastIndex(path, ".")+1:]] = true
					if !hasMark(value) {
						t.Errorf("%s = %q holds no canary", path, value)
					}
				})
			}
		}
	}
	for _, field := range []string{
		"custom1", "firstName", "dkk", "documentData", "validationRemark", "identificationAgentAliases", "identReviews",
	} {
		if !fields[field] {
			t.Errorf("no answer had %s", field)
		}
	}
}

// tinyRecords are for tests that read thousands of them.
var tinyRecords = Records{PDF: Sizes{Min: minFile, Max: minFile}, Image: Sizes{Min: minFile, Max: minFile}}

func leaves(path string, v any, visit func(path, value string)) {
	switch v := v.(type) {
	case map[string]any:
		for key, inner := range v {
			leaves(strings.TrimPrefix(path+"."+key, "."), inner, visit)
		}
	case []any:
		for _, inner := range v {
			leaves(path, inner, visit)
		}
	case string:
		visit(path, v)
	}
}

var marks = Canaries()

func hasMark(s string) bool {
	for _, mark := range marks {
		if strings.Contains(s, mark) {
			return true
		}
	}
	return false
}

// The marks must not turn up by chance: not in an id, a time or a UUID.
func TestCanariesDoNotTurnUpByChance(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"1811-0213-4ab2-8181-1815122811aa", "2026-11-23T19:08:18+01:00", "1811-02", "SIM00000004999", "18110213",
		"b1811-01", "63000499990",
	} {
		if hasMark(s) {
			t.Errorf("%q holds a mark", s)
		}
	}
	for i := range 4000 {
		c := &simCase{serial: i}
		for _, s := range []string{c.birthDate(), c.canaryDate(issueYear), c.canaryDate(expiryYear), c.phone(), c.dkk(), c.email(), c.postalCode()} {
			if !hasMark(s) {
				t.Fatalf("case %d: %q holds no mark", i, s)
			}
		}
		if len(c.dkk()) != 64 || len(c.postalCode()) > 11 || len(c.phone()) > 20 || len(c.canary("docno")) > 20 || len(c.canary("firstname")) > 35 {
			t.Fatalf("case %d: a value is too long", i)
		}
	}
	if fmt.Sprint(newSim(t, Config{}).Canaries()) != fmt.Sprint(Canaries()) {
		t.Error("the simulator's canaries differ")
	}
}

// Guide 8: a class never gets a field that it must not have.
func TestResultsStayWithinTheClass(t *testing.T) {
	t.Parallel()
	forbidden := map[scr.RegulatoryClass][]string{
		scr.ClassGwG: {"identReviews", "identificationAgentAliases", `"postOffice"`},
		scr.ClassTKG: {"birthName", "birthPlace", "nationality", "placeOfIssue", "mobilePhone", "tanChannel"},
		scr.ClassEIDAS: {
			`"authority":{`, "dateIssued", "placeOfIssue", "identificationServiceCenter", "identReviews", "tanChannel", "mobilePhone",
		},
		scr.ClassStandard: {`"authority":{`, "dateIssued", "placeOfIssue", "identificationServiceCenter", `"postOffice"`, "mobilePhone", `"drivingLicence":`},
		scr.ClassMobility: {`"authority":{`, "placeOfIssue", "identificationServiceCenter", "mobilePhone"},
	}
	for class, fields := range forbidden {
		sim := newSim(t, Config{Accounts: []Account{testAccount("ACCT0001", class)}})
		for _, method := range []string{scr.MethodAutoID, scr.MethodBasic, scr.MethodEID, scr.MethodPhoto, scr.MethodVideo} {
			for range 12 {
				id := create(t, sim, Step{Method: method, Status: scr.StatusSuccess})
				advance(t, sim, id)
				got := string(newAPI(t, sim).get("/" + id).wants(200).body)
				_, result, _ := strings.Cut(got, `"primaryIdent"`)
				for _, f := range fields {
					if strings.Contains(result, f) {
						t.Errorf("%s %s has %s", class, method, f)
					}
				}
				if method == scr.MethodEID && (strings.Contains(result, `"number":{`) || !strings.Contains(result, `"dkk"`)) {
					t.Errorf("%s: eid has a number or no dkk", class)
				}
			}
		}
	}
}

// Facts C6: declined/12 is final and has no result.
func TestExpiredHasNoResult(t *testing.T) {
	t.Parallel()
	sim := newSim(t, Config{})
	for _, method := range []string{scr.MethodAutoID, scr.MethodBasic, scr.MethodEID, scr.MethodPhoto, scr.MethodVideo} {
		id := create(t, sim, Step{Method: method, Status: scr.StatusDeclined, SubStatus: new(expiredCode)})
		advance(t, sim, id)
		got := string(newAPI(t, sim).get("/" + id + "?includeResultPdf=true").wants(200).body)
		if strings.Contains(got, `"identificationDocument"`) || strings.Contains(got, `"records"`) {
			t.Errorf("%s: %s", method, got)
		}
	}
}
