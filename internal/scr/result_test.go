package scr_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postident-bridge/internal/scr"
)

// typed is a result in the shape of the answer, without what the case has of it.
func typed(tb testing.TB, r scr.Result) map[string]any {
	tb.Helper()
	data, err := json.Marshal(map[string]any{"orderData": r.OrderData, "contactData": r.ContactData, "identifications": r.Identifications})
	if err != nil {
		tb.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(data, &out); err != nil {
		tb.Fatal(err)
	}
	return out
}

// present is a value without what counts as absent (facts C4).
func present(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any)
		_, hasStatus := v["status"]
		for name, inner := range v {
			if text, ok := inner.(string); ok && text == "" && name == "value" && hasStatus {
				out[name] = "" // a change to an empty value
			} else if inner = present(inner); inner != nil {
				out[name] = inner
			}
		}
		if len(out) == 0 {
			return nil
		}
		return out
	case []any:
		var out []any
		for _, inner := range v {
			if inner = present(inner); inner != nil {
				out = append(out, inner)
			}
		}
		if out == nil {
			return nil
		}
		return out
	case string:
		if v == "" {
			return nil
		}
	}
	return v
}

// The guide's sample of 7.4.1: field by field nothing is missing.
func TestParseResultOfTheGuidesSample(t *testing.T) {
	t.Parallel()
	body := readFile(t, "case-video-success.json")
	got, contents, err := scr.ParseResult(body, scr.ResultRequest{Class: scr.ClassGwG, Binary: true, PDF: true, KeepUnknown: true})
	if err != nil || len(contents) != 0 || got.Dropped != nil || got.Unknown != nil || got.UnknownTruncated {
		t.Fatalf("%d contents, dropped %+v, unknown %+v, %v", len(contents), got.Dropped, got.Unknown, err)
	}
	wantCase, err := scr.ParseCase(body)
	if diff := cmp.Diff(wantCase, got.Case); diff != "" || err != nil {
		t.Errorf("case (-ParseCase +ParseResult), %v:\n%s", err, diff)
	}
	var sample map[string]any
	if err := json.Unmarshal(body, &sample); err != nil {
		t.Fatal(err)
	}
	ident := sample["primaryIdent"].(map[string]any)
	document := ident["identificationDocument"].(map[string]any)
	ident["records"] = append(ident["records"].([]any), document["records"].([]any)...)
	delete(document, "records")
	for _, ofCase := range []string{"identificationMethod", "identificationStatus"} {
		delete(ident, ofCase)
	}
	want := map[string]any{
		"orderData": sample["orderData"], "contactData": sample["contactData"], "identifications": []any{ident},
	}
	if diff := cmp.Diff(present(want), any(typed(t, got))); diff != "" {
		t.Errorf("-guide +typed:\n%s", diff)
	}
	place := got.Identifications[0].Document.PlaceOfIssue
	if place == nil || *place != (scr.ResultValue{Status: "match"}) {
		t.Errorf("C4: placeOfIssue with an empty value is %+v", place)
	}
}

// parseGwG reads a case with more after its head for an account of class GwG.
func parseGwG(t *testing.T, more string) (scr.Result, []scr.RecordContent) {
	t.Helper()
	r, contents, err := scr.ParseResult([]byte(`{`+headJSON+more+`}`), scr.ResultRequest{Class: scr.ClassGwG, Binary: true, PDF: true})
	if err != nil {
		t.Fatalf("%s: %v", more, err)
	}
	return r, contents
}

const videoStatusJSON = `"identificationMethod":"video","identificationStatus":{"status":"success","created":"2024-01-01T10:00:00Z","modified":"2024-01-01T11:00:00Z"}`

// withVideo is a case with fields of a video identification and of the case beside it.
func withVideo(fields, beside string) string {
	return `,"primaryIdent":{` + videoStatusJSON + fields + `}` + beside
}

func TestParseResultTakesAllSpellings(t *testing.T) {
	t.Parallel()
	get := func(more string, from func(scr.Result) any) func(*testing.T, any) {
		return func(t *testing.T, want any) {
			t.Helper()
			r, _ := parseGwG(t, more)
			if diff := cmp.Diff(want, from(r)); diff != "" || r.Dropped != nil {
				t.Errorf("%s: dropped %+v, -want +got:\n%s", more, r.Dropped, diff)
			}
		}
	}
	name := &scr.ResultValue{Value: "A", Status: "new"}
	first := func(r scr.Result) any { return r.ContactData.FirstName }
	number := func(r scr.Result) any { return r.Identifications[0].Document.Number }
	licence := func(r scr.Result) any { return r.Identifications[0].DrivingLicence.Number }
	const value = `{"value":"A","status":"new"}`
	tests := map[string]struct {
		check func(*testing.T, any)
		want  any
	}{
		"C1 contactData":               {get(`,"contactData":{"firstName":`+value+`}`, first), name},
		"C1 contactDataResult":         {get(`,"contactDataResult":{"firstName":`+value+`}`, first), name},
		"C1 both fill each other":      {get(`,"contactDataResult":{"firstName":`+value+`},"contactData":{"lastName":`+value+`}`, first), name},
		"C1 both, alike":               {get(`,"contactDataResult":{"firstName":`+value+`},"contactData":{"firstName":`+value+`}`, first), name},
		"C2 primaryIdent":              {get(withVideo(`,"identificationDocument":{"number":`+value+`}`, ``), number), name},
		"C2 primaryIdentification":     {get(`,"primaryIdentification":{`+videoStatusJSON+`,"identificationDocument":{"number":`+value+`}}`, number), name},
		"C2 identifications":           {get(`,"identifications":[null,{`+videoStatusJSON+`,"identificationDocument":{"number":`+value+`}}]`, number), name},
		"C3 document beside":           {get(withVideo(``, `,"identificationDocument":{"number":`+value+`}`), number), name},
		"C3 licence beside":            {get(withVideo(``, `,"drivingLicense":{"number":`+value+`}`), licence), name},
		"facts 3 drivingLicence":       {get(withVideo(`,"drivingLicence":{"number":`+value+`}`, ``), licence), name},
		"facts 3 drivingLicense":       {get(withVideo(`,"drivingLicense":{"number":`+value+`}`, ``), licence), name},
		"C20 service center":           {get(withVideo(`,"additionalDataVideo":{"identificationServiceCenter":"C"}`, ``), serviceCenter), "C"},
		"C20 service center video":     {get(withVideo(`,"additionalDataVideo":{"identificationServiceCenterVideo":"C"}`, ``), serviceCenter), "C"},
		"webHookUrl":                   {get(`,"orderData":{"processData":{"webHookUrl":"U"}}`, hookURL), "U"},
		"webHookURL":                   {get(`,"orderData":{"processData":{"webHookURL":"U"}}`, hookURL), "U"},
		"drivingLicenceProvided":       {get(`,"orderData":{"drivingLicenceProvided":{"number":"N"}}`, providedNumber), "N"},
		"drivingLicenseProvided":       {get(`,"orderData":{"drivingLicenseProvided":{"number":"N"}}`, providedNumber), "N"},
		"an escaped name":              {get(`,"contactD\u0061ta":{"firstName":`+value+`}`, first), name},
		"a number where a text is due": {get(`,"contactData":{"firstName":{"value":7,"status":"new"}}`, first), &scr.ResultValue{Value: "7", Status: "new"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.check(t, tt.want)
		})
	}
}

func serviceCenter(r scr.Result) any { return r.Identifications[0].Video.IdentificationServiceCenter }
func hookURL(r scr.Result) any       { return r.OrderData.ProcessData.WebHookURL }
func providedNumber(r scr.Result) any {
	return r.OrderData.DrivingLicence.Number
}

// Facts C21: what kind of value the two have is disputed, so they stay what they are.
func TestParseResultKeepsDisputedFieldsRaw(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{`["a","b"]`, `"a, b"`, `[{"by":"x","at":1.50}]`, `7`, `[]`} {
		for _, name := range []string{"identificationAgentAliases", "identificationAgentAlias"} {
			body := `{` + headJSON + withVideo(`,"additionalDataVideo":{"`+name+`": `+raw+` ,"identReviews":`+raw+`}`, ``) + `}`
			r, _, err := scr.ParseResult([]byte(body), scr.ResultRequest{Class: scr.ClassTKG})
			if err != nil || r.Identifications[0].Video == nil {
				t.Fatalf("%s: %+v, %v", body, r.Dropped, err)
			}
			if got := r.Identifications[0].Video; string(got.IdentificationAgentAliases) != raw || string(got.IdentReviews) != raw {
				t.Errorf("%s: got %q and %q", raw, got.IdentificationAgentAliases, got.IdentReviews)
			}
		}
	}
}

// Facts C4, RN17: absent, null, {} and "" are alike; a change to empty is not.
func TestParseResultKeepsAbsentApart(t *testing.T) {
	t.Parallel()
	for _, absent := range []string{``, `"title":null`, `"title":{}`, `"title":""`, `"title":{"value":null}`, `"title":{"value":"","status":""}`, `"address":{"city":{},"addressMatch":{}}`} {
		r, _ := parseGwG(t, `,"contactData":{`+absent+`}`)
		if r.ContactData != nil || r.Dropped != nil {
			t.Errorf("%s: %+v, dropped %+v", absent, *r.ContactData, r.Dropped)
		}
	}
	for _, emptied := range []string{`{"value":"","status":"change"}`, `{"value":null,"status":"change"}`, `{"status":"change"}`} {
		r, _ := parseGwG(t, `,"contactData":{"title":`+emptied+`}`)
		if r.ContactData == nil || r.ContactData.Title == nil || *r.ContactData.Title != (scr.ResultValue{Status: "change"}) {
			t.Errorf("%s: %+v", emptied, r.ContactData)
		}
	}
	r, _ := parseGwG(t, `,"primaryIdent":{"identificationMethod":"basic","identificationStatus":{"status":"success"},
		"additionalDataBasic":{"couponDownloadCount":0,"couponByEmailRequestCount":null,"couponDownloadLastTimestamp":"2024-01-01T10:00:00+02:00"}}`)
	b := r.Identifications[0].Basic
	if b == nil || b.CouponDownloadCount == nil || *b.CouponDownloadCount != 0 || b.CouponByEmailRequestCount != nil || b.CouponDownloadLastTimestamp.Hour() != 8 {
		t.Errorf("%+v", b)
	}
}

// dropped writes what was dropped as lines.
func dropped(r scr.Result) string {
	var b strings.Builder
	for _, d := range r.Dropped {
		fmt.Fprintf(&b, "%s %s %s %d\n", d.Path, d.Field, d.Reason, d.Count)
	}
	return b.String()
}

func TestParseResultCountsWhatItDrops(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x ", 5000)
	content := strings.Repeat("QUJD", 200)
	const value, other = `{"value":"A","status":"new"}`, `{"value":"B","status":"new"}`
	tests := map[string]struct {
		class scr.RegulatoryClass
		more  string
		want  string
	}{
		"class":              {scr.ClassStandard, withVideo(`,"identificationDocument":{"number":`+value+`,"firstName":`+value+`}`, ``), "primaryIdent.identificationDocument.number IdentificationDocumentResult.number class 1\n"},
		"class, in a list":   {scr.ClassTKG, `,"identifications":[{` + videoStatusJSON + `,"identificationDocument":{"birthName":` + value + `}},{` + strings.Replace(videoStatusJSON, "T10", "T09", 1) + `,"identificationDocument":{"birthName":` + value + `}}]`, "identifications.identificationDocument.birthName IdentificationDocumentResult.birthName class 2\n"},
		"class, any shape":   {scr.ClassGwG, withVideo(`,"additionalDataVideo":{"identReviews":{"a":[1]},"identificationAgentAlias":7}`, ``), "primaryIdent.additionalDataVideo.identificationAgentAlias AdditionalDataVideo.identificationAgentAliases class 1\nprimaryIdent.additionalDataVideo.identReviews AdditionalDataVideo.identReviews class 1\n"},
		"C29 no class":       {scr.ClassMobility, withVideo(`,"drivingLicence":{"authority":`+value+`,"restrictions":`+value+`}`, ``), "primaryIdent.drivingLicence.authority DrivingLicenceResult.authority class 1\n"},
		"method":             {scr.ClassGwG, strings.Replace(withVideo(`,"identificationDocument":{"number":`+value+`}`, ``), "video", "eid", 1), "primaryIdent.identificationDocument.number IdentificationDocumentResult.number method 1\n"},
		"method of a record": {scr.ClassGwG, withVideo(`,"records":[{"recordId":"1","validationRemark":"R"}]`, ``), "primaryIdent.records.validationRemark RecordResult.validationRemark method 1\n"},
		"unknown": {scr.ClassGwG, withVideo(`,"score":7,"identificationStatus2":{}`, `,"new":[1],"caseStatus2":1`), `new  unknown 1
caseStatus2  unknown 1
primaryIdent.score  unknown 1
primaryIdent.identificationStatus2  unknown 1
`},
		"unknown, deep":           {scr.ClassGwG, `,"contactData":{"address":{"city":{"value":"A","status":"new","score":1},"geo":1}},"accountingData":{"vat":1}`, "contactData.address.geo  unknown 1\ncontactData.address.city.score  unknown 1\naccountingData.vat  unknown 1\n"},
		"unknown, a person's":     {scr.ClassGwG, `,"orderData":{"customData":{"Erika Mustermann":1,"custom6":"x"}}`, "orderData.customData.?  unknown 1\norderData.customData.custom6  unknown 1\n"},
		"shape":                   {scr.ClassGwG, `,"contactData":{"firstName":"A","address":[1],"email":{"value":["A"],"status":"new"}}`, "contactData.firstName ContactDataResult.firstName shape 1\ncontactData.email ContactDataResult.email shape 1\ncontactData.address ContactDataResult.address shape 1\n"},
		"shape of a time":         {scr.ClassGwG, withVideo(`,"additionalDataVideo":{"videoRecordingAccepted":"yesterday","videoRecordingDeliveryShaft":"maybe"}`, ``), "primaryIdent.additionalDataVideo.videoRecordingAccepted AdditionalDataVideo.videoRecordingAccepted shape 1\nprimaryIdent.additionalDataVideo.videoRecordingDeliveryShaft AdditionalDataVideo.videoRecordingDeliveryShaft shape 1\n"},
		"shape of a list":         {scr.ClassGwG, withVideo(`,"drivingLicence":{"drivingLicenceClasses":[{"className":`+value+`},7]}`, ``), "primaryIdent.drivingLicence.drivingLicenceClasses DrivingLicenceResult.drivingLicenceClasses shape 1\n"},
		"C11 no code":             {scr.ClassGwG, `,"primaryIdent":{"identificationMethod":"video","identificationStatus":{"status":"declined","subStatus":{"description":"x"}}}`, "primaryIdent.identificationStatus.subStatus IdentificationStatus.subStatus shape 1\n"},
		"conflict of spellings":   {scr.ClassGwG, `,"contactDataResult":{"firstName":` + value + `},"contactData":{"firstName":` + other + `}`, "contactDataResult.firstName ContactDataResult.firstName conflict 1\n"},
		"conflict of looks":       {scr.ClassGwG, withVideo(`,"additionalDataVideo":{"tanChannel":"sms"}`, `,"identifications":[{`+videoStatusJSON+`,"additionalDataVideo":{"tanChannel":"email"}}]`), "identifications.additionalDataVideo.tanChannel AdditionalDataVideo.tanChannel conflict 1\n"},
		"conflict of states":      {scr.ClassGwG, withVideo(``, `,"identifications":[{`+strings.Replace(videoStatusJSON, "success", "started", 1)+`}]`), "identifications.identificationStatus IdentificationResult.identificationStatus conflict 1\n"},
		"size":                    {scr.ClassGwG, `,"orderData":{"customData":{"custom1":"` + long + `"}}`, "orderData.customData.custom1 CustomData.custom1 size 1\n"},
		"size of a raw field":     {scr.ClassTKG, withVideo(`,"additionalDataVideo":{"identReviews":["`+strings.Repeat(long, 4)+`"]}`, ``), "primaryIdent.additionalDataVideo.identReviews AdditionalDataVideo.identReviews size 1\n"},
		"content in a text":       {scr.ClassGwG, `,"orderData":{"customData":{"custom1":"` + content + `"}}`, "orderData.customData.custom1 CustomData.custom1 content 1\n"},
		"damaged content":         {scr.ClassGwG, `,"orderData":{"customData":{"custom1":"` + content[:600] + `*` + content + `"}}`, "orderData.customData.custom1 CustomData.custom1 content 1\n"},
		"escaped content":         {scr.ClassGwG, `,"orderData":{"customData":{"custom1":"` + strings.ReplaceAll(content, "Q", `\u002B`) + `"}}`, "orderData.customData.custom1 CustomData.custom1 content 1\n"},
		"content in a raw field":  {scr.ClassTKG, withVideo(`,"additionalDataVideo":{"identReviews":["a","`+content+`"]}`, ``), "primaryIdent.additionalDataVideo.identReviews AdditionalDataVideo.identReviews content 1\n"},
		"orphan":                  {scr.ClassGwG, `,"primaryIdent":{"records":[{"recordId":"1"}]},"drivingLicence":{"number":` + value + `}`, "primaryIdent CaseResult.primaryIdentification orphan 1\ndrivingLicence IdentificationResult.drivingLicence orphan 1\n"},
		"nothing, a legacy order": {scr.ClassGwG, `,"orderData":{},"contactData":{},"identifications":[{},null,""],"accountingData":null`, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, _, err := scr.ParseResult([]byte(`{`+headJSON+tt.more+`}`), scr.ResultRequest{Class: tt.class})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, dropped(r)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// Of two looks at one identification the further one's data stays, as its status
// does.
func TestParseResultPrefersTheFurtherLook(t *testing.T) {
	t.Parallel()
	older := strings.Replace(videoStatusJSON, "T11", "T10", 1)
	r, _ := parseGwG(t, `,"primaryIdent":{`+older+`,"additionalDataVideo":{"tanChannel":"sms","identificationServiceCenter":"C"}},
		"identifications":[{`+videoStatusJSON+`,"additionalDataVideo":{"tanChannel":"email"}}]`)
	if len(r.Identifications) != 1 || r.Identifications[0].Video.TanChannel != "email" || r.Identifications[0].Video.IdentificationServiceCenter != "C" {
		t.Errorf("%+v", r.Identifications[0].Video)
	}
}

func TestParseResultRefuses(t *testing.T) {
	t.Parallel()
	gwg := scr.ResultRequest{Class: scr.ClassGwG}
	nested := strings.Repeat("[", 70) + strings.Repeat("]", 70)
	many := `,"primaryIdent":{` + videoStatusJSON + `,"records":[` + strings.Repeat(`{},`, 70_000) + `{}]}`
	tests := map[string]struct {
		body    string
		request scr.ResultRequest
		reason  string
	}{
		"no class":                   {`{` + headJSON + `}`, scr.ResultRequest{}, scr.RejectedRequest},
		"a class of another account": {`{` + headJSON + `}`, scr.ResultRequest{Class: "GwG"}, scr.RejectedRequest},
		"a negative bound":           {`{` + headJSON + `}`, scr.ResultRequest{Class: scr.ClassGwG, MaxUnknown: -1}, scr.RejectedRequest},
		"nothing":                    {``, gwg, scr.RejectedJSON},
		"a list":                     {`[]`, gwg, scr.RejectedJSON},
		"cut":                        {`{` + headJSON, gwg, scr.RejectedJSON},
		"more after it":              {`{` + headJSON + `}{}`, gwg, scr.RejectedJSON},
		"a name twice":               {`{` + headJSON + `,"contactData":{"title":{},"t\u0069tle":{}}}`, gwg, scr.RejectedJSON},
		"nested too deep":            {`{` + headJSON + `,"new":` + nested + `}`, gwg, scr.RejectedJSON},
		"too many":                   {`{` + headJSON + many + `}`, gwg, scr.RejectedJSON},
		"no identity":                {`{}`, gwg, scr.RejectedCase},
		"no case":                    {`{` + headJSON + `,"primaryIdent":7}`, gwg, scr.RejectedJSON},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, contents, err := scr.ParseResult([]byte(tt.body), tt.request)
			rejected, ok := errors.AsType[*scr.RejectedError](err)
			if !ok || rejected.Reason != tt.reason || contents != nil || r.Case.CaseID != "" {
				t.Errorf("%v, %d contents, %v", r, len(contents), err)
			}
		})
	}
}

func TestParseResultKeepsUnknownFields(t *testing.T) {
	t.Parallel()
	content := strings.Repeat("QUJD", 200)
	body := `{` + headJSON + `,"z":{ "a" : [ 1 , "x y" ] },"Erika M.":"e",
		"identifications":[{` + videoStatusJSON + `,"score":0.50,"records":[{"recordId":"1","thumbnail":"` + content + `","hash":null}],
			"identificationDocument":{"mrz":{"number":"N","line":"L","documentData":"QUJD","image":"data:image/png;base64,` + content + `","list":["` + content + `",2],"sizes":[1,2]}},
			"documentData":"QUJD","authority":"A"}],
		"contactData":{"firstName":"A"}}`
	request := scr.ResultRequest{Class: scr.ClassStandard, KeepUnknown: true}
	r, _, err := scr.ParseResult([]byte(body), request)
	if err != nil {
		t.Fatal(err)
	}
	want := []scr.UnknownField{
		{`$.contactData.firstName`, `"A"`},
		{`$.identifications[0].identificationDocument.mrz`, `{"line":"L","sizes":[1,2]}`},
		{`$.identifications[0].records[0].hash`, `null`},
		{`$.identifications[0].score`, `0.50`},
		{`$.z`, `{"a":[1,"x y"]}`},
		{`$['Erika M.']`, `"e"`},
	}
	if diff := cmp.Diff(want, r.Unknown); diff != "" || r.UnknownTruncated {
		t.Errorf("truncated %t, -want +got:\n%s", r.UnknownTruncated, diff)
	}
	const wantDropped = `identifications.documentData  content 1
identifications.authority  class 1
identifications.identificationDocument.mrz  content 3
identifications.identificationDocument.mrz  class 1
identifications.records.thumbnail  content 1
`
	if diff := cmp.Diff(wantDropped, dropped(r)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}

	request.MaxUnknown = len(want[0].Path+want[0].JSON+want[1].Path+want[1].JSON) + 5
	r, _, err = scr.ParseResult([]byte(body), request)
	if err != nil || !r.UnknownTruncated || !cmp.Equal(r.Unknown, want[:2]) {
		t.Errorf("truncated %t, %+v, %v", r.UnknownTruncated, r.Unknown, err)
	}
	if lost := strings.Count(dropped(r), " size "); lost != 5 { // the thumbnail too, which nobody looked at
		t.Errorf("%d paths lost to the bound:\n%s", lost, dropped(r))
	}
}

// Content that a fault spoiled, or that has words around it, is content.
func TestParseResultKeepsNoContent(t *testing.T) {
	t.Parallel()
	content := strings.Repeat("QUJD", 200)
	for name, text := range map[string]string{
		"whole": content, "spoiled": content + "*" + content, "spoiled at its end": content + "*", "behind words": "a photo: " + content,
		"with line breaks": content[:70] + `\n` + content + `\r\n`, "escaped": strings.Repeat(`ab\/d`, 150), "a data URL": "data:image/png;base64," + content[:500],
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, _, err := scr.ParseResult([]byte(`{`+headJSON+`,"z":"`+text+`"}`), scr.ResultRequest{Class: scr.ClassStandard, KeepUnknown: true})
			if err != nil || len(r.Unknown) != 0 || !strings.Contains(dropped(r), "z  content 1") {
				t.Errorf("%d bytes are kept, dropped %s, %v", len(fmt.Sprint(r.Unknown)), dropped(r), err)
			}
		})
	}
	words := strings.Repeat(content[:50]+" ", 40)
	r, _, err := scr.ParseResult([]byte(`{`+headJSON+`,"z":"`+words+`"}`), scr.ResultRequest{Class: scr.ClassStandard, KeepUnknown: true})
	if err != nil || len(r.Unknown) != 1 {
		t.Errorf("a long text in words: %d fields, %v", len(r.Unknown), err)
	}
}

// A million unknown fields neither fill the memory nor the labels.
func TestParseResultBoundsUnknownFields(t *testing.T) {
	t.Parallel()
	var many strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&many, `,"u%d":%d`, i, i)
	}
	body := []byte(`{` + headJSON + many.String() + `}`)
	r, _, err := scr.ParseResult(body, scr.ResultRequest{Class: scr.ClassGwG})
	if err != nil || len(r.Dropped) != scr.MaxUnknownPaths+1 {
		t.Fatalf("%d paths, %v", len(r.Dropped), err)
	}
	if last := r.Dropped[scr.MaxUnknownPaths]; last.Path != scr.OtherPaths || last.Count != 1000-scr.MaxUnknownPaths {
		t.Errorf("%+v", last)
	}
}

const faceJSON = `{"recordId":"7","belongsTo":"method","type":"userface","mimeType":"image/jpeg","fileName":"f.jpg","documentData":%s}`

// withFace is a video case with the content of one image.
func withFace(quoted string) string {
	return withVideo(`,"records":[`+fmt.Sprintf(faceJSON, quoted)+`]`, ``)
}

func TestRecordContentIsDecoded(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("0123456789abcdef", 5000)
	encoded := strings.Repeat("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWYwMTIzNDU2Nzg5YWJjZGVm", 5000/3) + "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	tests := map[string]struct{ quoted, want string }{
		"whole":                  {`"QUJD"`, "ABC"},
		"one padding":            {`"QUI="`, "AB"},
		"two paddings":           {`"QQ=="`, "A"},
		"long":                   {`"` + encoded + `"`, long},
		"slashes":                {`"Pz8/"`, "???"},
		"escaped slashes":        {`"Pz8\/Pz8\/"`, "??????"},
		"escaped, not as usual":  {`"\u0051UJD"`, "ABC"},
		"lines, as MIME has":     {`"QUJD\r\nQUI=\r\n"`, "ABCAB"},
		"lines within a quantum": {`"Q\nU\u000aJD"`, "ABC"},
		"long lines":             {`"` + strings.Join(chunks(encoded, 76), `\r\n`) + `"`, long},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, contents := parseGwG(t, withFace(tt.quoted))
			if len(contents) != 1 {
				t.Fatalf("%d contents", len(contents))
			}
			for range 2 { // it can be read again
				got, err := io.ReadAll(contents[0].Open())
				if err != nil || string(got) != tt.want {
					t.Fatalf("%d bytes, %v", len(got), err)
				}
			}
			slow, err := io.ReadAll(oneByte{contents[0].Open()})
			if err != nil || string(slow) != tt.want {
				t.Errorf("byte by byte: %d bytes, %v", len(slow), err)
			}
			if most := contents[0].MaxSize; most < int64(len(tt.want)) || !strings.Contains(tt.quoted, `\`) && most > int64(len(tt.want)+2) {
				t.Errorf("at most %d, and has %d", most, len(tt.want))
			}
		})
	}
}

func chunks(s string, size int) []string {
	var all []string
	for ; len(s) > size; s = s[size:] {
		all = append(all, s[:size])
	}
	return append(all, s)
}

// oneByte reads one byte at a time.
type oneByte struct{ r io.Reader }

func (o oneByte) Read(p []byte) (int, error) { return o.r.Read(p[:min(1, len(p))]) }

func TestRecordContentThatIsNoBase64(t *testing.T) {
	t.Parallel()
	whole := strings.Repeat("QUJD", 20_000)
	for name, quoted := range map[string]string{
		"a foreign character": `"QU-D"`, "a blank": `"QUJD QUJD"`, "no padding": `"QQ"`, "one character": `"QUJDQ"`,
		"padding in the middle": `"QQ==QUJD"`, "padding alone": `"="`, "an umlaut": `"QUJDä"`,
		"far inside": `"` + whole + `!!!!` + whole + `"`, "padding far inside": `"` + whole + `QQ==` + whole + `"`,
		"escaped": `"QUJD\u0000"`, "escaped padding in the middle": `"\u0051Q==QUJD"`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, contents := parseGwG(t, withFace(quoted))
			if len(contents) != 1 || len(r.Identifications[0].Records) != 1 {
				t.Fatalf("%d contents, %+v", len(contents), r.Identifications)
			}
			reader := contents[0].Open()
			_, err := io.Copy(io.Discard, reader)
			bad, ok := errors.AsType[*scr.ContentError](err)
			if !ok || bad.RecordID != "7" || scr.Reason(err) != "malformed_content" {
				t.Errorf("%v, reason %s", err, scr.Reason(err))
			}
			if _, again := reader.Read(make([]byte, 10)); !errors.Is(again, err) {
				t.Errorf("and then %v", again)
			}
			assertNoCanary(t, name, err)
		})
	}
}

// Guide 8.6.7, 7.4.1: content goes to nobody who may not have it or did not ask.
func TestContentIsHeldBack(t *testing.T) {
	t.Parallel()
	records := `,"records":[{"recordId":"1","type":"result","documentData":"QUJD"},{"recordId":"2","type":"userface","documentData":"QUJD"},
			{"recordId":"3","type":"selfie","documentData":"QUJD"},{"recordId":"4","type":"usersignature","documentData":7},{"recordId":"5","type":"usersignature"}],
		"identificationDocument":{"records":[{"recordId":"6","type":"idfrontside","documentData":"QUJD"}]},
		"drivingLicence":{"records":[{"recordId":"7","type":"dlfrontside","documentData":"QUJD"}]}`
	tests := map[string]struct {
		request scr.ResultRequest
		method  string
		want    string // ids
		reasons string
	}{
		"GwG":                     {scr.ResultRequest{Class: scr.ClassGwG, Binary: true, PDF: true}, "video", "1 2 6", "class,class,shape"},
		"GwG without PDF":         {scr.ResultRequest{Class: scr.ClassGwG, Binary: true}, "video", "2 6", "class,class,shape,unrequested"},
		"GwG, nothing asked":      {scr.ResultRequest{Class: scr.ClassGwG, PDF: true}, "video", "", "class,class,unrequested,unrequested,unrequested,unrequested"},
		"TKG":                     {scr.ResultRequest{Class: scr.ClassTKG, Binary: true, PDF: true}, "video", "1 6", "class,class,class,shape"},
		"C23 eIDAS":               {scr.ResultRequest{Class: scr.ClassEIDAS, Binary: true, PDF: true}, "video", "1", "class,class,class,class,shape"},
		"Standard":                {scr.ResultRequest{Class: scr.ClassStandard, Binary: true, PDF: true}, "video", "1", "class,class,class,class,shape"},
		"Mobility by photo":       {scr.ResultRequest{Class: scr.ClassMobility, Binary: true, PDF: true}, "photo", "1 7", "class,class,class,shape"},
		"Mobility by video":       {scr.ResultRequest{Class: scr.ClassMobility, Binary: true, PDF: true}, "video", "1", "class,class,class,method,shape"},
		"C22 GwG by autoid":       {scr.ResultRequest{Class: scr.ClassGwG, Binary: true, PDF: true}, "autoid", "1", "class,class,method,method,shape"},
		"C22 GwG by eid":          {scr.ResultRequest{Class: scr.ClassGwG, Binary: true, PDF: true}, "eid", "1 6", "class,class,method,shape"},
		"GwG by another method":   {scr.ResultRequest{Class: scr.ClassGwG, Binary: true, PDF: true}, "hologram", "1", "class,class,method,method,shape"},
		"kept unknown or not: no": {scr.ResultRequest{Class: scr.ClassStandard, Binary: true, PDF: true, KeepUnknown: true}, "video", "1", "class,class,class,class,shape"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body := `{` + headJSON + strings.Replace(withVideo(records, ``), "video", tt.method, 1) + `}`
			r, contents, err := scr.ParseResult([]byte(body), tt.request)
			if err != nil {
				t.Fatal(err)
			}
			var ids, reasons []string
			for _, c := range contents {
				ids = append(ids, c.Record.ID)
				if c.CaseID != r.Case.CaseID || !c.CaseCreated.Equal(r.Case.Status.Created) || c.Method != tt.method || !c.Created.Equal(r.Case.Identifications[0].Created) {
					t.Errorf("%+v", c)
				}
			}
			for _, d := range r.Dropped {
				if d.Field != "RecordResult.documentData" || r.Unknown != nil {
					t.Errorf("dropped %+v, unknown %+v", d, r.Unknown)
				}
				for range d.Count {
					reasons = append(reasons, string(d.Reason))
				}
			}
			if got := strings.Join(ids, " "); got != tt.want {
				t.Errorf("got the contents of %q, want %q", got, tt.want)
			}
			if got := strings.Join(sorted(reasons), ","); got != tt.reasons {
				t.Errorf("dropped for %q, want %q", got, tt.reasons)
			}
			if n := len(r.Identifications[0].Records); n != 7 {
				t.Errorf("metadata of %d records: it is everybody's", n)
			}
		})
	}
}

func TestContentThatStandsTwice(t *testing.T) {
	t.Parallel()
	look := func(quoted string) string {
		return `{` + videoStatusJSON + `,"records":[` + fmt.Sprintf(faceJSON, quoted) + `]}`
	}
	r, contents := parseGwG(t, `,"primaryIdent":`+look(`"QUJD"`)+`,"identifications":[`+look(`"QUJD"`)+`]`)
	if len(contents) != 1 || r.Dropped != nil || len(r.Identifications[0].Records) != 1 {
		t.Errorf("%d contents, dropped %+v", len(contents), r.Dropped)
	}
	r, contents = parseGwG(t, `,"primaryIdent":`+look(`"QUJD"`)+`,"identifications":[`+look(`"QUJE"`)+`]`)
	if len(contents) != 1 || dropped(r) != "identifications.records.documentData RecordResult.documentData conflict 1\n" {
		t.Errorf("%d contents, dropped %+v", len(contents), r.Dropped)
	}
}

func TestResultShowsNothingWhenPrinted(t *testing.T) {
	t.Parallel()
	r, _, err := scr.ParseResult(readFile(t, "case-video-success.json"), scr.ResultRequest{Class: scr.ClassGwG})
	if err != nil {
		t.Fatal(err)
	}
	all := fmt.Sprintf("%v %+v %#v %v %v %+v", r, r, r, r.LogValue(), r.Identifications[0], r.Identifications)
	if strings.Contains(all, "Erika") || strings.Contains(all, "T01012148") || !strings.Contains(all, sampleID) {
		t.Error(all)
	}
}

// The content of records is never copied, and what is odd in an answer makes nobody
// decode it: the decoder gets the rest.
func TestContentIsNotDecoded(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("QUJD", 50_000)
	body := `{` + headJSON + `,"n\u0065w":"` + long + `"` + withVideo(`,"records":[`+fmt.Sprintf(faceJSON, `"`+long+`"`)+`,`+fmt.Sprintf(faceJSON, `["`+long+`"]`)+`],
		"identificationDocument":{"records":[`+fmt.Sprintf(faceJSON, `"`+long+`"`)+`]}`, ``) + `}`
	rest, err := scr.RestOfAnswer([]byte(body))
	if err != nil || len(rest) > 1000 || !json.Valid(rest) {
		t.Fatalf("%d bytes are left, %v", len(rest), err)
	}
	want, err := scr.ParseCase([]byte(body))
	if err != nil {
		t.Fatal(err)
	}
	if got := mustParse(t, string(rest)); !cmp.Equal(want, got) {
		t.Errorf("another case:\n%s", cmp.Diff(want, got))
	}
}
