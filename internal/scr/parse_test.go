package scr_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postident-bridge/internal/scr"
)

// at reads a time as the tests write it.
func at(s string) time.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return t.UTC()
}

func TestParseCaseSample741(t *testing.T) {
	t.Parallel()
	got, err := scr.ParseCase(readFile(t, "case-video-success.json"))
	if err != nil {
		t.Fatal(err)
	}
	record := func(id, belongsTo, kind, mimeType, fileName string) scr.Record {
		return scr.Record{ID: id, BelongsTo: belongsTo, Type: kind, MimeType: mimeType, FileName: fileName}
	}
	want := scr.Case{
		CaseID: "YR9W91GEZK24",
		Status: scr.CaseStatus{
			Status:     scr.CaseClosed,
			Created:    at("2016-07-05T18:23:15+02:00"),
			Modified:   at("2016-07-05T18:29:00+02:00"),
			ValidUntil: at("2016-10-03T18:24:02+02:00"),
		},
		ReferenceID: "YR9W91GEZK24",
		Accounting:  scr.Accounting{Number: "11235813523701", Product: "Postident Video"},
		Identifications: []scr.Identification{{
			Method:             scr.MethodVideo,
			Primary:            true,
			Status:             scr.StatusSuccess,
			IdentificationTime: at("2016-07-05T18:27:25+02:00"),
			Created:            at("2016-07-05T18:24:18+02:00"),
			Modified:           at("2016-07-05T18:28:50+02:00"), // C28: older than the case's own
			Records: []scr.Record{
				record("63351998", "method", "result", "application/pdf", "YR9W91GEZK24_result_video.pdf"),
				record("63351999", "method", "userface", "image/jpeg", "YR9W91GEZK24_userface.jpg"),
				record("63352000", "identificationdocument", "idfrontside", "image/jpeg", "YR9W91GEZK24_idfrontside.jpg"),
				record("63352001", "identificationdocument", "idbackside", "image/jpeg", "YR9W91GEZK24_idbackside.jpg"),
				record("63352002", "identificationdocument", "idsignature", "image/jpeg", "YR9W91GEZK24_idsignature.jpg"),
			},
		}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("case (-want +got):\n%s", diff)
	}
}

// The parts that the cases of the tests are put together from.
const (
	headJSON  = `"caseId":"A","caseStatus":{"created":"2024-01-01T10:00:00+01:00","modified":"2024-01-02T10:00:00+01:00","status":"in progress"}`
	videoJSON = `{"identificationMethod":"video","identificationStatus":{"created":"2024-01-01T11:00:00+01:00","modified":"2024-01-01T12:00:00+01:00","status":"incomplete"}}`
	basicJSON = `{"identificationMethod":"basic","identificationStatus":{"created":"2024-01-01T13:00:00+01:00","modified":"2024-01-01T13:00:00+01:00","status":"started"}}`
)

// withStatus is a case of one identification whose status holds fields.
func withStatus(fields string) string {
	return `{` + headJSON + `,"primaryIdent":{"identificationMethod":"video","identificationStatus":{"created":"2024-01-01T11:00:00+01:00","modified":"2024-01-01T12:00:00+01:00","status":"incomplete"` + fields + `}}}`
}

func mustParse(t *testing.T, body string) scr.Case {
	t.Helper()
	c, err := scr.ParseCase([]byte(body))
	if err != nil {
		t.Fatalf("%v\n%.500s", err, body)
	}
	return c
}

// summary writes the identifications as "method status", the primary with a star.
func summary(c scr.Case) string {
	var parts []string
	for _, i := range c.Identifications {
		s := i.Method + " " + i.Status
		if i.Primary {
			s += "*"
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, ", ")
}

func TestParseCasePlacesOfIdentifications(t *testing.T) {
	t.Parallel()
	laterVideo := strings.Replace(videoJSON, `"2024-01-01T12:00:00+01:00","status":"incomplete"`, `"2024-01-01T14:00:00+01:00","status":"success"`, 1)
	unknown := strings.Replace(basicJSON, "started", "escalated", 1)
	tests := map[string]struct{ fields, want string }{
		"C2 primaryIdent":                                     {`"primaryIdent":` + videoJSON, "video incomplete*"},
		"C2 primaryIdentification":                            {`"primaryIdentification":` + videoJSON, "video incomplete*"},
		"C2 identifications, the most progressed is primary":  {`"identifications":[` + basicJSON + `,` + videoJSON + `]`, "basic started, video incomplete*"},
		"C2 order in the list does not matter":                {`"identifications":[` + videoJSON + `,` + basicJSON + `]`, "video incomplete*, basic started"},
		"C2 an unknown status is never the most progressed":   {`"identifications":[` + unknown + `,` + videoJSON + `]`, "basic escalated, video incomplete*"},
		"C2 primaryIdent and list, the mark counts":           {`"primaryIdent":` + basicJSON + `,"identifications":[` + basicJSON + `,` + videoJSON + `]`, "basic started*, video incomplete"},
		"C2 both names of the primary are one":                {`"primaryIdent":` + videoJSON + `,"primaryIdentification":` + videoJSON, "video incomplete*"},
		"C2 two looks at one, the newer stays and is primary": {`"primaryIdent":` + videoJSON + `,"identifications":[` + laterVideo + `]`, "video success*"},
		"C2 two looks at one, the older comes second":         {`"primaryIdent":` + laterVideo + `,"identifications":[` + videoJSON + `]`, "video success*"},
		"C2 two different primaries, the first name counts":   {`"primaryIdent":` + basicJSON + `,"primaryIdentification":` + videoJSON, "basic started*, video incomplete"},
		"facts 3 no attempt yet, absent":                      {`"x":1`, ""},
		"facts 3 no attempt yet, null":                        {`"identifications":null`, ""},
		"facts 3 no attempt yet, empty list":                  {`"identifications":[]`, ""},
		"C4 empty objects, texts and elements are absent":     {`"primaryIdent":{},"primaryIdentification":"","identifications":[null,{},"",{ },` + videoJSON + `]`, "video incomplete*"},
		"C4 empty object for a list":                          {`"identifications":{}`, ""},
		"guide 8.1 unknown fields beside and within":          {`"statusType":"final","primaryIdent":` + strings.Replace(videoJSON, `"created"`, `"new":[{"a":[null,{}]}],"created"`, 1), "video incomplete*"},
		"facts 3 identification of nothing but document data": {`"primaryIdent":{"identificationDocument":{"number":{"value":"T01012148"}}}`, ""},
		"identification without a method is kept":             {`"primaryIdent":{"identificationStatus":{"created":"2024-01-01T11:00:00+01:00","status":"success"}}`, " success*"},
		"identification without a status is kept":             {`"primaryIdent":{"identificationMethod":"photo"}`, "photo *"},
		"two attempts of one method are two":                  {`"identifications":[` + videoJSON + `,` + strings.Replace(videoJSON, "T11", "T12", 1) + `]`, "video incomplete, video incomplete*"},
		"one method and one second is one, the further stays": {`"identifications":[` + videoJSON + `,` + strings.Replace(videoJSON, "incomplete", "cancelled", 1) + `]`, "video cancelled*"},
		"the same second in another zone is the same":         {`"identifications":[` + videoJSON + `,` + strings.Replace(videoJSON, "2024-01-01T11:00:00+01:00", "2024-01-01T10:00:00Z", 1) + `]`, "video incomplete*"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := summary(mustParse(t, `{`+headJSON+`,`+tt.fields+`}`)); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestParseCaseCodes(t *testing.T) {
	t.Parallel()
	code := func(n int, description string) *scr.Code { return &scr.Code{Code: n, Description: description} }
	tests := map[string]struct {
		fields      string
		sub, reason *scr.Code
	}{
		"facts 3 object":               {`,"subStatus":{"code":11,"description":"Fraud suspicion"},"subStatusReason":{"code":110,"description":"Identification document possibly forged"}`, code(11, "Fraud suspicion"), code(110, "Identification document possibly forged")},
		"facts 3 absent":               {``, nil, nil},
		"C4 null, empty object":        {`,"subStatus":null,"subStatusReason":{}`, nil, nil},
		"C4 empty text":                {`,"subStatus":"","subStatusReason":""`, nil, nil},
		"code as the text of a number": {`,"subStatus":{"code":"52"}`, code(52, ""), nil},
		"code without description":     {`,"subStatus":{"code":52}`, code(52, ""), nil},
		"description null":             {`,"subStatus":{"code":52,"description":null}`, code(52, ""), nil},
		"C11 description without code": {`,"subStatus":{"description":"Unsupported identification document"}`, nil, nil},
		"C11 two texts for one code":   {`,"subStatus":{"code":54,"description":"Identification document not supported"}`, code(54, "Identification document not supported"), nil},
		"C9 the text does not count":   {`,"subStatus":{"code":11,"description":"Fraud suspicion (e.g. nonsense, nude photos)"}`, code(11, "Fraud suspicion (e.g. nonsense, nude photos)"), nil},
		"C10 120 under 12":             {`,"subStatus":{"code":12},"subStatusReason":{"code":120}`, code(12, ""), code(120, "")},
		"C10 120 under 19":             {`,"subStatus":{"code":19},"subStatusReason":{"code":120}`, code(19, ""), code(120, "")},
		"C8 a reason without its sub":  {`,"subStatusReason":{"code":112}`, nil, code(112, "")},
		"unknown codes are kept":       {`,"subStatus":{"code":4711},"subStatusReason":{"code":0}`, code(4711, ""), code(0, "")},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := mustParse(t, withStatus(tt.fields)).Identifications[0]
			if diff := cmp.Diff([]*scr.Code{tt.sub, tt.reason}, []*scr.Code{i.SubStatus, i.SubStatusReason}); diff != "" {
				t.Errorf("codes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseCaseTimes(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ field, want string }{
		"guide 8.6.1 offset":           {`"2016-01-28T13:00:00+01:00"`, "2016-01-28T12:00:00Z"},
		"Z":                            {`"2016-01-28T12:00:00Z"`, "2016-01-28T12:00:00Z"},
		"negative offset":              {`"2016-01-28T07:00:00-05:00"`, "2016-01-28T12:00:00Z"},
		"fractions, cut to ms":         {`"2016-01-28T13:00:00.123999+01:00"`, "2016-01-28T12:00:00.123Z"},
		"one digit of a fraction":      {`"2016-01-28T12:00:00.5Z"`, "2016-01-28T12:00:00.5Z"},
		"offset without colon":         {`"2016-01-28T13:00:00.000+0100"`, "2016-01-28T12:00:00Z"},
		"seconds left out":             {`"2016-01-28T13:00+01:00"`, "2016-01-28T12:00:00Z"},
		"facts 3 null until final":     {`null`, ""},
		"C4 empty text, empty object":  {`""`, ""},
		"C4 empty object":              {`{}`, ""},
		"the hour that comes twice, 1": {`"2024-10-27T02:30:00+02:00"`, "2024-10-27T00:30:00Z"},
		"the hour that comes twice, 2": {`"2024-10-27T02:30:00+01:00"`, "2024-10-27T01:30:00Z"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := mustParse(t, withStatus(`,"identificationTime":`+tt.field)).Identifications[0].IdentificationTime
			if tt.want == "" {
				if !got.IsZero() {
					t.Errorf("got %v, want none", got)
				}
				return
			}
			if got != at(tt.want) {
				t.Errorf("got %v, want %v in UTC", got, at(tt.want))
			}
		})
	}
}

func TestParseCaseFillsTimes(t *testing.T) {
	t.Parallel()
	caseCreated := at("2024-01-01T10:00:00+01:00")
	head := `"caseId":"A","caseStatus":{"created":"2024-01-01T10:00:00+01:00"}`

	c := mustParse(t, `{`+head+`,"primaryIdent":{"identificationMethod":"video","identificationStatus":{"status":"started"}}}`)
	if got := c.Identifications[0]; got.Created != caseCreated || got.Modified != caseCreated {
		t.Errorf("created %v, modified %v; want both the case's created", got.Created, got.Modified)
	}
	if c.Status.Modified != caseCreated || !c.Status.ValidUntil.IsZero() || c.Status.Status != "" || c.Status.Archived {
		t.Errorf("case status %+v", c.Status)
	}

	// A read that lacks modified must not make the next full one look stale.
	c = mustParse(t, `{`+head+`,"primaryIdent":{"identificationMethod":"video","identificationStatus":{"created":"2024-01-01T11:00:00+01:00","status":"started"}}}`)
	if got := c.Identifications[0]; got.Modified != at("2024-01-01T11:00:00+01:00") {
		t.Errorf("modified %v, want created", got.Modified)
	}
}

func TestParseCaseRecords(t *testing.T) {
	t.Parallel()
	status := `"identificationMethod":"photo","identificationStatus":{"created":"2024-01-01T11:00:00+01:00","status":"success"}`
	ids := func(is ...string) string { return strings.Join(is, " ") }
	tests := map[string]struct{ body, want string }{
		"8.6.7 every level":                   {`"primaryIdent":{` + status + `,"records":[{"recordId":"1"}],"identificationDocument":{"records":[{"recordId":"2"}]},"drivingLicence":{"records":[{"recordId":"3"}]}}`, ids("1", "2", "3")},
		"facts 3 drivingLicense":              {`"primaryIdent":{` + status + `,"drivingLicense":{"records":[{"recordId":"3"}]}}`, ids("3")},
		"C3 document beside primaryIdent":     {`"primaryIdent":{` + status + `,"records":[{"recordId":"1"}]},"identificationDocument":{"records":[{"recordId":"2"}]}`, ids("1", "2")},
		"C3 document at both places":          {`"primaryIdent":{` + status + `,"identificationDocument":{"records":[{"recordId":"2"}]}},"identificationDocument":{"records":[{"recordId":"2"}]}`, ids("2")},
		"C3 document beside a list":           {`"identifications":[{` + status + `}],"identificationDocument":{"records":[{"recordId":"2"}]}`, ids("2")},
		"facts 3 recordId as a number":        {`"primaryIdent":{` + status + `,"records":[{"recordId":63351998}]}`, ids("63351998")},
		"C4 absent, null, empty":              {`"primaryIdent":{` + status + `,"records":[null,{},{"recordId":null},{"recordId":"1"}],"identificationDocument":{},"drivingLicence":{"records":{}}}`, ids("1")},
		"C6 final without any result":         {`"primaryIdent":{` + status + `}`, ""},
		"C29 a licence without the optionals": {`"primaryIdent":{` + status + `,"drivingLicence":{"number":{"status":"new","value":"123456"},"records":[{"recordId":"3"}]}}`, ids("3")},
		"C23 eIDAS document without number":   {`"primaryIdent":{` + status + `,"identificationDocument":{"type":{"status":"new","value":"1"},"records":[{"recordId":"2"}]}}`, ids("2")},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, r := range mustParse(t, `{`+headJSON+`,`+tt.body+`}`).Identifications[0].Records {
				got = append(got, r.ID)
			}
			if ids(got...) != tt.want {
				t.Errorf("got %q, want %q", ids(got...), tt.want)
			}
		})
	}
}

func TestParseCaseKeepsRecordMetadataOnly(t *testing.T) {
	t.Parallel()
	// C22: metadata is given although the bytes are not, and the bytes are dropped
	// where they come. The agent's remark is what people typed.
	c := mustParse(t, `{`+headJSON+`,"primaryIdent":{"identificationMethod":"photo","identificationStatus":{"created":"2024-01-01T11:00:00+01:00","status":"success"},
		"records":[{"recordId":"7","belongsTo":"drivinglicence","type":"dlfrontside","mimeType":"image/jpeg","fileName":"A_dlfrontside.jpg",
		"validationStatus":"invalid","validationSubStatus":"too blurry","validationRemark":"CANARY","documentData":"CANARY"}]}}`)
	want := []scr.Record{{
		ID: "7", BelongsTo: "drivinglicence", Type: "dlfrontside", MimeType: "image/jpeg", FileName: "A_dlfrontside.jpg",
		ValidationStatus: "invalid", ValidationSubStatus: "too blurry",
	}}
	if diff := cmp.Diff(want, c.Identifications[0].Records); diff != "" {
		t.Errorf("records (-want +got):\n%s", diff)
	}
}

func TestParseCaseFieldsOfTheCase(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		body string
		want func(scr.Case) bool
	}{
		"8.3 archived":                         {`{"caseId":"A","caseStatus":{"created":"2024-01-01T10:00:00Z","archived":true}}`, func(c scr.Case) bool { return c.Status.Archived }},
		"8.3 archived missing is false":        {`{"caseId":"A","caseStatus":{"created":"2024-01-01T10:00:00Z"}}`, func(c scr.Case) bool { return !c.Status.Archived }},
		"8.3 archived as a text":               {`{"caseId":"A","caseStatus":{"created":"2024-01-01T10:00:00Z","archived":"true"}}`, func(c scr.Case) bool { return c.Status.Archived }},
		"C4 archived null":                     {`{"caseId":"A","caseStatus":{"created":"2024-01-01T10:00:00Z","archived":null}}`, func(c scr.Case) bool { return !c.Status.Archived }},
		"8.3 an unknown case status is kept":   {`{"caseId":"A","caseStatus":{"created":"2024-01-01T10:00:00Z","status":"parked"}}`, func(c scr.Case) bool { return c.Status.Status == "parked" }},
		"facts 3 accountingProduct null":       {`{` + headJSON + `,"accountingData":{"accountingNumber":"1","accountingProduct":null}}`, func(c scr.Case) bool { return c.Accounting == scr.Accounting{Number: "1"} }},
		"8.7 accountingData null":              {`{` + headJSON + `,"accountingData":null}`, func(c scr.Case) bool { return c.Accounting == scr.Accounting{} }},
		"8.7 accountingNumber as a number":     {`{` + headJSON + `,"accountingData":{"accountingNumber":11235813523701}}`, func(c scr.Case) bool { return c.Accounting.Number == "11235813523701" }},
		"7.4.2 status answer, customData only": {`{` + headJSON + `,"orderData":{"customData":{"custom1":"CANARY"}}}`, func(c scr.Case) bool { return c.ReferenceID == "" }},
		"8.4 referenceId":                      {`{` + headJSON + `,"orderData":{"processData":{"referenceId":"REF"}}}`, func(c scr.Case) bool { return c.ReferenceID == "REF" }},
		"C26 callback urls pass by":            {`{` + headJSON + `,"orderData":{"processData":{"callbackUrlIncomplete":{"webUrl":"https://musterbank.eu"},"callbackUrlX":"https://musterbank.eu","webHookURL":"a","webHookUrl":"b"}}}`, func(c scr.Case) bool { return c.CaseID == "A" }},
		"C1 contactData and contactDataResult": {`{` + headJSON + `,"contactData":{"title":{},"firstName":{"value":"Erika"}},"contactDataResult":["Erika"]}`, func(c scr.Case) bool { return c.CaseID == "A" }},
		"C20 C21 fields of disputed type":      {`{` + headJSON + `,"primaryIdent":{"identificationMethod":"video","identificationStatus":{"created":"2024-01-01T11:00:00Z","status":"success"},"additionalDataVideo":{"identificationServiceCenterVideo":"x","identReviews":"x","identificationAgentAliases":["x"]}}}`, func(c scr.Case) bool { return summary(c) == "video success*" }},
		"8.6.1 cancelled, which the SDK lacks": {strings.Replace(withStatus(""), "incomplete", "cancelled", 1), func(c scr.Case) bool { return summary(c) == "video cancelled*" }},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c := mustParse(t, tt.body); !tt.want(c) {
				t.Errorf("got %+v", c)
			}
		})
	}
}

func TestParseCaseRejects(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ body, reason, text string }{
		"empty":                     {``, scr.RejectedJSON, "not a JSON object"},
		"a list of one case":        {`[{` + headJSON + `}]`, scr.RejectedJSON, "not a JSON object"},
		"a text":                    {`"x"`, scr.RejectedJSON, "not a JSON object"},
		"cut short":                 {`{` + headJSON, scr.RejectedJSON, "malformed JSON"},
		"C3 the sample as printed":  {`{` + headJSON + `,"primaryIdent":{"records":[]"identificationDocument":{}}}`, scr.RejectedJSON, "malformed JSON"},
		"C3 a trailing comma":       {`{` + headJSON + `,}`, scr.RejectedJSON, "malformed JSON"},
		"C3 a closing brace more":   {`{` + headJSON + `}}`, scr.RejectedJSON, "malformed JSON"},
		"a name twice":              {`{` + headJSON + `,"caseId":"B"}`, scr.RejectedJSON, "malformed JSON"},
		"a name twice, within":      {withStatus(`,"status":"success"`), scr.RejectedJSON, "malformed JSON"},
		"an unknown name twice":     {`{` + headJSON + `,"x":1,"x":2}`, scr.RejectedJSON, "malformed JSON"},
		"status of wrong shape":     {withStatus(`,"subStatus":["CANARY"]`), scr.RejectedJSON, "want an object"},
		"code too large":            {withStatus(`,"subStatus":{"code":2147483648}`), scr.RejectedJSON, "want a whole number"},
		"code with a fraction":      {withStatus(`,"subStatus":{"code":11.5}`), scr.RejectedJSON, "want a whole number"},
		"code a word":               {withStatus(`,"subStatus":{"code":"CANARY"}`), scr.RejectedJSON, "want a whole number"},
		"identifications a text":    {`{` + headJSON + `,"identifications":"CANARY"}`, scr.RejectedJSON, "want a list"},
		"identifications an object": {`{` + headJSON + `,"identifications":` + videoJSON + `}`, scr.RejectedJSON, "want a list"},
		"an identification a text":  {`{` + headJSON + `,"identifications":["CANARY"]}`, scr.RejectedJSON, "want an object"},
		"method an object":          {`{` + headJSON + `,"primaryIdent":{"identificationMethod":{"value":"CANARY"}}}`, scr.RejectedJSON, "want a text"},
		"archived a number":         {`{"caseId":"A","caseStatus":{"created":"2024-01-01T10:00:00Z","archived":1}}`, scr.RejectedJSON, "want true or false"},
		"no offset":                 {withStatus(`,"identificationTime":"2016-01-28T13:00:00"`), scr.RejectedJSON, "identificationStatus.identificationTime is no"},
		"a date":                    {`{"caseId":"A","caseStatus":{"created":"2016-01-28"}}`, scr.RejectedJSON, "caseStatus.created is no"},
		"epoch milliseconds":        {`{"caseId":"A","caseStatus":{"created":"2016-01-28T13:00:00Z","modified":1467735795000}}`, scr.RejectedJSON, "caseStatus.modified is no"},
		"validUntil no time":        {`{"caseId":"A","caseStatus":{"created":"2016-01-28T13:00:00Z","validUntil":"CANARY"}}`, scr.RejectedJSON, "caseStatus.validUntil is no"},
		"created of an attempt":     {`{` + headJSON + `,"identifications":[{"identificationStatus":{"created":"CANARY"}}]}`, scr.RejectedJSON, "identificationStatus.created is no"},
		"modified of an attempt":    {`{` + headJSON + `,"primaryIdent":{"identificationStatus":{"modified":"CANARY"}}}`, scr.RejectedJSON, "identificationStatus.modified is no"},
		"an error body":             {`{"errors":[{"key":"CANARY","reason":"x"}]}`, scr.RejectedCase, "no caseId"},
		"no caseId":                 {`{"caseStatus":{"created":"2024-01-01T10:00:00Z"}}`, scr.RejectedCase, "no caseId"},
		"a malformed caseId":        {`{"caseId":"CANARY/../","caseStatus":{"created":"2024-01-01T10:00:00Z"}}`, scr.RejectedCase, "no caseId"},
		"no caseStatus":             {`{"caseId":"A"}`, scr.RejectedCase, "no caseStatus.created"},
		"facts 2.8 no created":      {`{"caseId":"A","caseStatus":{"status":"new","modified":"2024-01-01T10:00:00Z"}}`, scr.RejectedCase, "no caseStatus.created"},
		"a million brackets":        {`{"caseId":` + strings.Repeat("[", 1e6) + strings.Repeat("]", 1e6) + `}`, scr.RejectedJSON, "malformed JSON"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := scr.ParseCase([]byte(tt.body))
			var rejected *scr.RejectedError
			if !errors.As(err, &rejected) || rejected.Reason != tt.reason || !strings.Contains(err.Error(), tt.text) {
				t.Fatalf("got %+v, %v; want reason %s, text %q", c, err, tt.reason, tt.text)
			}
			if strings.Contains(err.Error(), "CANARY") {
				t.Errorf("the error quotes the body: %v", err)
			}
		})
	}
}
