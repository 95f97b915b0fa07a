package scr_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"postident-bridge/internal/scr"
)

// wireShapes says what the objects of guide 8 and of Guide 1 look like on the wire: the
// spellings of a field, and v for a ResultValue, t for a text, n for a number, b for
// a truth value, d for a time, r for anything, c for the content of a record, or
// another object, with [] in front for a list of them.
var wireShapes = map[string]string{
	"OrderData":            "customData:CustomData processData:ProcessData contactDataProvided:ContactDataProvided identificationDocumentProvided:DocumentProvided drivingLicenceProvided|drivingLicenseProvided:LicenceProvided",
	"CustomData":           "custom1:t custom2:t custom3:t custom4:t custom5:t",
	"ProcessData":          "targetCountry:t preferredLanguage:t webHookUrl|webHookURL:t webHookUrlPartner:t callbackUrlCouponRequested:CallbackURL callbackUrlReviewPending:CallbackURL callbackUrlIncomplete:CallbackURL callbackUrlSuccess:CallbackURL callbackUrlDeclined:CallbackURL callbackUrlCancelledAndClosed:CallbackURL",
	"CallbackURL":          "webUrl:t iOSUrl:t androidUrl:t",
	"ContactDataProvided":  "title:t firstName|firstname:t lastName:t mobilePhone:t email:t epost:t address:AddressProvided",
	"AddressProvided":      "streetAddress:t appendix:t postalCode:t city:t country:t",
	"DocumentProvided":     "countryOfDocument:t type:t number:t firstName:t lastName:t birthName:t birthDate:t birthPlace:t nationality:t address:AddressProvided dateIssued:t dateOfExpiry:t authority:t placeOfIssue:t",
	"LicenceProvided":      "countryOfDocument:t number:t firstName:t lastName:t birthDate:t birthPlace:t drivingLicenceClasses|drivingLicenseClasses:[]LicenceClassProvided restrictions:t dateIssued:t dateOfExpiry:t authority:t",
	"LicenceClassProvided": "className:t dateIssued:t dateOfExpiry:t restrictions:t",
	"ContactData":          "title:v firstName:v lastName:v mobilePhone:v email:v epost:v address:Address",
	"Address":              "streetAddress:v appendix:v postalCode:v city:v country:v addressMatch:AddressMatch",
	"AddressMatch":         "mailRedirectionDomestic:b mailRedirectionInternational:b undeliverable:b addresseeDeceased:b",
	"Identification":       "identificationDocument:Document drivingLicence|drivingLicense:Licence records:[]Record additionalDataBasic:Basic additionalDataEid:EID additionalDataVideo:Video",
	"Document":             "countryOfDocument:v type:v number:v firstName:v lastName:v birthName:v birthDate:v birthPlace:v nationality:v address:Address dateIssued:v dateOfExpiry:v authority:v placeOfIssue:v records:[]Record",
	"Licence":              "countryOfDocument:v number:v firstName:v lastName:v birthDate:v birthPlace:v drivingLicenceClasses:[]LicenceClass restrictions:v dateIssued:v dateOfExpiry:v authority:v records:[]Record",
	"LicenceClass":         "className:v dateIssued:v dateOfExpiry:v restrictions:v",
	"Record":               "recordId:t belongsTo:t type:t validationStatus:t validationSubStatus:t validationRemark:t mimeType:t fileName:t documentData:c",
	"Basic":                "couponByPiAppRequestCount:n couponByPiAppRequestLastTimestamp:d couponByTpAppRequestCount:n couponByTpAppRequestLastTimestamp:d couponDownloadCount:n couponDownloadLastTimestamp:d couponByEmailRequestCount:n couponByEmailRequestLastTimestamp:d postOffice:t postOfficeStreetAddress:t postOfficeCity:t checkoutNote:t idCardReaderCheck:Check",
	"Check":                "checkedCategories:[]Category",
	"Category":             "name:t status:t failedChecksOfIdCardReader:[]Failed",
	"Failed":               "checkName:t subCheckName:t additionalInformation:[]Information",
	"Information":          "key:t value:t",
	"EID":                  "dkk:t",
	"Video":                "identificationServiceCenter|identificationServiceCenterVideo:t identificationAgentAliases|identificationAgentAlias:r identReviews:r videoRecordingAccepted:d videoRecordingDeliveryShaft:b tanChannel:t",
	"AccountingData":       "accountingNumber:t accountingProduct:t",
}

// generator makes an answer, and notes what is in it.
type generator struct {
	*rapid.T

	tokens int
	nodes  map[string]int // by path, without indexes
	leaves []leaf
}

// leaf is a value that stands nowhere else.
type leaf struct{ path, token string }

func (g *generator) chance(percent int) bool {
	return rapid.IntRange(0, 99).Draw(g.T, "chance") < percent
}

func (g *generator) next() int {
	g.tokens++
	return g.tokens
}

func (g *generator) leaf(path, token string) { g.leaves = append(g.leaves, leaf{path, token}) }

func (g *generator) text(path string) string {
	token := fmt.Sprintf("tok-%d", g.next())
	g.leaf(path, token)
	return `"` + token + `"`
}

// fields makes the members of an object, in any order.
func (g *generator) fields(object, path string) []string {
	var all []string
	for field := range strings.FieldsSeq(wireShapes[object]) {
		names, shape, _ := strings.Cut(field, ":")
		for name := range strings.SplitSeq(names, "|") {
			if !g.chance(35) {
				continue
			}
			at := path + "." + name
			all = append(all, `"`+name+`":`+g.value(shape, at, object))
			g.nodes[at]++
		}
	}
	for i := range rapid.SampledFrom([]int{0, 0, 0, 1, 2}).Draw(g.T, "unknown") {
		name := []string{"score", "number2"}[i]
		at := path + "." + name
		g.nodes[at]++
		all = append(all, `"`+name+`": `+g.anything(at))
	}
	return all
}

func (g *generator) object(object, path string) string {
	return g.join(g.fields(object, path))
}

func (g *generator) join(fields []string) string {
	return "{" + strings.Join(rapid.Permutation(fields).Draw(g.T, "order"), " ,") + "}"
}

// anything is a value of no shape that is known.
func (g *generator) anything(path string) string {
	switch rapid.IntRange(0, 3).Draw(g.T, "anything") {
	case 0:
		return g.text(path)
	case 1:
		return "[ " + g.text(path) + ", null ]"
	case 2:
		return `{"inner" : {"more":` + g.text(path+".inner.more") + `}}`
	default:
		return "false"
	}
}

// value makes a value of a shape, one that is empty (facts C4), or one of another
// shape where the case, which refuses that, does not read it.
func (g *generator) value(shape, path, object string) string {
	ofCase := object == "Record" || object == "AccountingData" || strings.HasPrefix(shape, "[]Record") || shape == "Document" || shape == "Licence" || shape == "ProcessData"
	switch {
	case g.chance(10):
		return rapid.SampledFrom([]string{"null", "{}", `""`}).Draw(g.T, "empty")
	case g.chance(4) && !ofCase && shape != "r" && shape != "c":
		return "[" + g.text(path) + "]" // none of them is a list of texts
	}
	switch shape {
	case "v":
		return `{"value":` + g.text(path+".value") + `,"status":` + g.text(path+".status") + "}"
	case "t":
		return g.text(path)
	case "n":
		token := fmt.Sprint(1_000_000 + g.next())
		g.leaf(path, token)
		return token
	case "b":
		return "true"
	case "d":
		at := time.Date(2024, 1, 1, 0, 0, g.next(), 0, time.UTC)
		g.leaf(path, at.Format(time.RFC3339))
		return `"` + at.In(time.FixedZone("", 7200)).Format(time.RFC3339) + `"`
	case "r":
		return rapid.SampledFrom([]func() string{
			func() string { return g.text(path) },
			func() string { return "[" + g.text(path) + "]" },
		}).Draw(g.T, "raw")()
	case "c":
		token := fmt.Sprintf("tok-%d", g.next())
		g.leaf(path, token)
		return `"` + base64.StdEncoding.EncodeToString([]byte(token)) + `"`
	}
	element, isList := strings.CutPrefix(shape, "[]")
	if !isList {
		return g.object(shape, path)
	}
	var items []string
	for range rapid.IntRange(0, 2).Draw(g.T, "items") {
		items = append(items, g.object(element, path))
	}
	return "[" + strings.Join(append(items, "null"), ",") + "]"
}

// identification makes one of the identifications that a case can have, so that two
// places may have the same.
func (g *generator) identification(path string) string {
	g.nodes[path]++
	which := rapid.IntRange(0, 2).Draw(g.T, "identification")
	fields := g.fields("Identification", path)
	if g.chance(90) {
		method := []string{scr.MethodVideo, scr.MethodPhoto, scr.MethodEID}[which]
		fields = append(fields, `"identificationMethod":"`+method+`"`)
		modified := rapid.IntRange(10, 11).Draw(g.T, "modified")
		fields = append(fields, fmt.Sprintf(`"identificationStatus":{"status":"success","created":"2024-01-01T1%d:00:00Z","modified":"2024-01-02T%d:00:00Z"}`, which, modified))
		g.nodes[path+".identificationStatus"]++
	}
	return g.join(fields)
}

// answer makes a whole case.
func (g *generator) answer() string {
	g.nodes = make(map[string]int)
	all := []string{headJSON}
	add := func(name, value string) {
		g.nodes["."+name]++
		all = append(all, `"`+name+`":`+value)
	}
	for _, f := range [][2]string{
		{"orderData", "OrderData"},
		{"contactData", "ContactData"},
		{"contactDataResult", "ContactData"},
		{"accountingData", "AccountingData"},
		{"identificationDocument", "Document"},
		{"drivingLicence", "Licence"},
		{"drivingLicense", "Licence"},
	} {
		if g.chance(40) {
			add(f[0], g.object(f[1], "."+f[0]))
		}
	}
	for _, name := range []string{"primaryIdent", "primaryIdentification"} {
		if g.chance(50) {
			all = append(all, `"`+name+`":`+g.identification("."+name))
		}
	}
	var list []string
	for range rapid.IntRange(0, 3).Draw(g.T, "identifications") {
		list = append(list, g.identification(".identifications"))
	}
	if len(list) > 0 {
		all = append(all, `"identifications":[`+strings.Join(list, ",")+"]")
	}
	if g.chance(30) {
		add("news", g.anything(".news"))
	}
	return "{" + strings.Join(rapid.Permutation(all).Draw(g.T, "order"), ",") + "}"
}

// scalars collects all that a JSON value holds.
func scalars(tb rapid.TB, found map[string]bool, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		tb.Fatal(err)
	}
	decoder := json.NewDecoder(strings.NewReader(string(data)))
	decoder.UseNumber()
	for {
		token, err := decoder.Token()
		if err == io.EOF {
			return
		}
		if err != nil {
			tb.Fatal(err)
		}
		found[fmt.Sprint(token)] = true
	}
}

// What comes in is typed, of the case, kept, handed out, or counted as dropped with
// its reason; and what is counted is not there.
func accounts(t *rapid.T) {
	g := &generator{T: t}
	body := []byte(g.answer())
	request := scr.ResultRequest{
		Class:  rapid.SampledFrom(allClasses).Draw(t, "class"),
		Binary: rapid.Bool().Draw(t, "binary"), PDF: rapid.Bool().Draw(t, "pdf"),
		KeepUnknown: rapid.Bool().Draw(t, "keep"),
	}
	r, contents, err := scr.ParseResult(body, request)
	if err != nil {
		t.Fatalf("%v\n%s", err, body)
	}
	found := make(map[string]bool)
	ofCase := r.Case
	ofCase.Identifications = nil // the result has their records
	scalars(t, found, map[string]any{"case": ofCase, "order": r.OrderData, "contact": r.ContactData, "idents": r.Identifications})
	for _, i := range r.Identifications {
		if i.Video != nil { // JSON in a text
			scalars(t, found, []json.RawMessage{rawOrNull(i.Video.IdentReviews), rawOrNull(i.Video.IdentificationAgentAliases)})
		}
	}
	for _, u := range r.Unknown {
		scalars(t, found, json.RawMessage(u.JSON))
	}
	for _, c := range contents {
		content, err := io.ReadAll(c.Open())
		if err != nil {
			t.Fatal(err)
		}
		found[string(content)] = true
	}
	counts := make(map[string]int)
	for _, d := range r.Dropped {
		if n := g.nodes["."+d.Path]; d.Count < 1 || d.Count > n {
			t.Fatalf("%+v, and there are %d\n%s", d, n, body)
		}
		if d.Field == "" && d.Reason == scr.DroppedUnknown && request.KeepUnknown {
			t.Fatalf("%+v was to be kept\n%s", d, body)
		}
		if d.Reason != scr.DroppedConflict {
			counts["."+d.Path] += d.Count
		}
	}
	for _, l := range g.leaves {
		under := func(path string) bool { return l.path == path || strings.HasPrefix(l.path, path+".") }
		isCounted := slices.ContainsFunc(r.Dropped, func(d scr.Dropped) bool { return under("." + d.Path) })
		if !found[l.token] && !isCounted {
			t.Fatalf("%s at %s is nowhere: dropped\n%s\n%s", l.token, l.path, dropped(r), body)
		}
		for path, n := range counts {
			if found[l.token] && under(path) && n >= g.nodes[path] {
				t.Fatalf("%s at %s is there, although all at %s was dropped\n%s", l.token, l.path, path, body)
			}
		}
	}
	checkResult(t, r, request)
}

func rawOrNull(r scr.RawJSON) json.RawMessage {
	if r == "" {
		return json.RawMessage("null")
	}
	return json.RawMessage(r)
}

func TestParseResultLosesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, accounts)
}

func FuzzParseResultLosesNothing(f *testing.F) { f.Fuzz(rapid.MakeFuzz(accounts)) }

// checkResult holds a result against what ParseResult promises of all of them.
func checkResult(t rapid.TB, r scr.Result, request scr.ResultRequest) {
	if len(r.Identifications) != len(r.Case.Identifications) {
		t.Fatalf("%d of %d identifications", len(r.Identifications), len(r.Case.Identifications))
	}
	for i, ident := range r.Identifications {
		checkAllowed(t, reflect.ValueOf(ident), request.Class, r.Case.Identifications[i].Method)
	}
	size, before := 0, ""
	for _, u := range r.Unknown {
		size += len(u.Path) + len(u.JSON)
		if !request.KeepUnknown || u.Path <= before || !json.Valid([]byte(u.JSON)) || strings.Contains(u.JSON, `"documentData"`) {
			t.Fatalf("kept %q: %q after %q", u.Path, u.JSON, before)
		}
		before = u.Path
	}
	if size > scr.DefaultMaxUnknown {
		t.Fatalf("%d bytes of unknown fields", size)
	}
}

// goNames are those that the guide has in another way.
var goNames = map[string]string{
	"IDCardReaderCheck": "IdCardReaderCheck", "IDCardReaderCheckCategory": "IdCardReaderCheckCategories", "FailedCheckOfIDCardReader": "FailedCheckOfIdCardReader",
}

// checkAllowed looks through a result for what its class and method may not have.
func checkAllowed(t rapid.TB, v reflect.Value, class scr.RegulatoryClass, method string) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			checkAllowed(t, v.Elem(), class, method)
		}
	case reflect.Slice:
		for i := range v.Len() {
			checkAllowed(t, v.Index(i), class, method)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return
		}
		object := v.Type().Name()
		if name, ok := goNames[object]; ok {
			object = name
		}
		for i := range v.NumField() {
			name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
			if !v.Field(i).IsZero() && !scr.FieldAllowed(object, name, class, method) {
				t.Fatalf("%s.%s for %s and %s", object, name, class, method)
			}
			checkAllowed(t, v.Field(i), class, method)
		}
	default:
	}
}
