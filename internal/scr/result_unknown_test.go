package scr_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"postident-bridge/internal/scr"
)

// wrapped are lines of base64 with a separator between.
func wrapped(line int, separator string) string {
	return strings.Join(slices.Repeat([]string{strings.Repeat("Ab1/", line)[:line]}, 900/line), separator)
}

// hiddenContents are JSON values that hold content.
func hiddenContents() map[string]string {
	chunk := strings.Repeat("QUJD", 50)
	return map[string]string{
		"lines of 76":           `"` + wrapped(76, `\r\n`) + `"`,
		"escaped line breaks":   `"` + wrapped(64, `\u000a`) + `"`,
		"blanks":                `"` + wrapped(76, " ") + `"`,
		"escaped blanks":        `"` + wrapped(72, `\u0020`) + `"`,
		"tabs":                  `"` + wrapped(60, `\t`) + `"`,
		"escaped tabs":          `"` + wrapped(60, `\u0009`) + `"`,
		"indented":              `"` + wrapped(64, `\n    `) + `"`,
		"plus escaped":          `"` + strings.Repeat(`QUJDQUJDQUJDQUJ\u002B`, 50) + `"`,
		"padding escaped":       `"` + strings.Repeat("QUJD", 127) + `QU\u003d\u003d"`,
		"slash escaped":         `"` + strings.Repeat(`ab\/d`, 150) + `"`,
		"all escaped":           `"` + strings.Repeat(`\u0051`, 600) + `"`,
		"behind words":          `"a scan of it: ` + strings.Repeat("QUJD", 130) + `"`,
		"data URL, short":       `"data:image/png;base64,` + chunk + `"`,
		"data URL, escaped":     `"data:image/png;base64\u002c` + chunk + `\u002B"`,
		"data URL behind words": `"` + strings.Repeat("many words ", 50) + `data:image/png;base64,` + chunk + `"`,
		"pieces":                `["` + chunk + `","` + chunk + `","` + chunk + `"]`,
		"short pieces":          `["` + wrapped(20, `","`) + `"]`,
		"pieces in lists":       `[["` + chunk + `"],["` + chunk + `"],1,["` + chunk + `"]]`,
		"a rest":                `["` + strings.Repeat(chunk, 3) + `","` + chunk + `"]`,
	}
}

// P6: content is found however it is written, where nobody expects it.
func TestHiddenContent(t *testing.T) {
	t.Parallel()
	for name, value := range hiddenContents() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, class := range allClasses {
				for place, body := range map[string]string{
					"root":          `,"new":` + value,
					"nested":        `,"new":[{"new":{"new":` + value + `}}]`,
					"misshapen":     `,"orderData":{"customData":{"custom1":{"new":` + value + `}}}`,
					"list for text": `,"orderData":{"customData":{"custom1":[` + value + `]}}`,
					"typed":         `,"orderData":{"customData":{"custom1":` + value + `}}`,
					"value":         `,"contactData":{"firstName":{"value":` + value + `,"status":"new"}}`,
					"raw":           withVideo(`,"additionalDataVideo":{"identReviews":[`+value+`]}`, ``),
					"text of video": withVideo(`,"additionalDataVideo":{"tanChannel":`+value+`}`, ``),
					"name":          `,"new":{` + strings.Trim(strings.ReplaceAll(value, `","`, ``), "[]1,") + `:1}`,
				} {
					if place == "name" && value[0] == '[' {
						continue
					}
					r, _, err := scr.ParseResult([]byte(`{`+headJSON+body+`}`), scr.ResultRequest{Class: class, KeepUnknown: true})
					if err != nil {
						t.Fatalf("%s: %v", place, err)
					}
					all, err := json.Marshal([]any{r.OrderData, r.ContactData, r.Identifications, r.Unknown})
					if err != nil {
						t.Fatal(err)
					}
					for _, part := range []string{"QUJDQUJD", "Ab1/Ab1/", `ab/dab`, `ab\\/d`, `\u0051`, `u0051`, "QQQQ"} {
						if strings.Contains(string(all), part) {
							t.Fatalf("%s of class %s: %.300s", place, class, all)
						}
					}
					if !strings.Contains(dropped(r), " content ") && !strings.Contains(dropped(r), " class ") {
						t.Errorf("%s of class %s is not counted: %s", place, class, dropped(r))
					}
				}
			}
		})
	}
}

// What people write, and what machines write that is no content, stays.
func TestProseIsNoContent(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]string{
		"prose":              `"` + strings.Repeat("The agent looked at the document and took it for genuine ", 20) + `"`,
		"long words":         `"` + strings.Repeat("Rechtsschutzversicherungsgesellschaften ", 40) + `"`,
		"tabs":               `"` + strings.Repeat(`word\tword\u0009`, 100) + `"`,
		"words about base64": `"` + strings.Repeat("it is base64, which everybody knows. ", 20) + `"`,
		"identifiers":        `["` + strings.Repeat("QUJD", 16) + `","` + strings.Repeat("QUJE", 16) + `"]`,
		"sentences":          `["` + strings.Repeat("one two three four", 10) + `","` + strings.Repeat("five six seven", 30) + `"]`,
		"list of objects":    `[` + strings.Repeat(`{"a":"`+strings.Repeat("QUJD", 16)+`"},`, 20) + `1]`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, _, err := scr.ParseResult([]byte(`{`+headJSON+`,"new":`+value+`}`), scr.ResultRequest{Class: scr.ClassGwG, KeepUnknown: true})
			if err != nil || len(r.Unknown) != 1 || r.Unknown[0].JSON != value {
				t.Errorf("dropped %s, %v", dropped(r), err)
			}
		})
	}
}

// P7: a name that the class or the method may not have is none's, however it is spelt
// and wherever it stands.
func TestRefusedNames(t *testing.T) {
	t.Parallel()
	const name, in = `"new":{%q:"CANARY"}`, `"additionalDataVideo":[{%q:"CANARY"}]`
	tests := map[string]struct {
		class  scr.RegulatoryClass
		method string
		inside string // the identification
		beside string // it
		kept   bool
	}{
		"a name":                        {scr.ClassStandard, "video", fmt.Sprintf(in, "identificationAgentAliases"), ``, false},
		"C20 its alias":                 {scr.ClassStandard, "video", fmt.Sprintf(in, "identificationAgentAlias"), ``, false},
		"C20 another alias":             {scr.ClassStandard, "video", fmt.Sprintf(name, "identificationServiceCenterVideo"), ``, false},
		"that it may have":              {scr.ClassTKG, "video", fmt.Sprintf(name, "identificationAgentAlias"), ``, true},
		"capitals":                      {scr.ClassTKG, "video", fmt.Sprintf(name, "BirthName"), ``, false},
		"underscores":                   {scr.ClassTKG, "video", fmt.Sprintf(name, "birth_name"), ``, false},
		"capitals of a known place":     {scr.ClassTKG, "video", `"identificationDocument":{"BirthName":"CANARY"}`, ``, false},
		"capitals that it may have":     {scr.ClassGwG, "video", fmt.Sprintf(name, "BirthName"), ``, true},
		"capitals of content":           {scr.ClassGwG, "video", fmt.Sprintf(name, "DocumentData"), ``, false},
		"C29 none has it":               {scr.ClassGwG, "photo", `"drivingLicence":{"new":{"birthPlace":"CANARY"}}`, ``, false},
		"C29 in a class":                {scr.ClassGwG, "photo", `"drivingLicence":{"drivingLicenceClasses":[{"number":{"dateIssued":"CANARY"}}]}`, ``, false},
		"C29 in a value":                {scr.ClassGwG, "photo", `"drivingLicence":{"number":{"Authority":"CANARY"}}`, ``, false},
		"C29 in capitals":               {scr.ClassGwG, "photo", `"DrivingLicense":{"authority":"CANARY"}`, ``, false},
		"C29 below an unknown field":    {scr.ClassGwG, "photo", `"new":[{"driving_licence":{"new":[{"authority":"CANARY"}]}}]`, ``, false},
		"C29 capitals of a known place": {scr.ClassGwG, "photo", `"drivingLicence":{"BirthPlace":"CANARY"}`, ``, false},
		"C29 beside":                    {scr.ClassGwG, "photo", ``, `"drivingLicense":{"x":[{"birthPlace":"CANARY"}]}`, false},
		"C29 after a licence":           {scr.ClassGwG, "photo", `"new":{"drivingLicence":{},"authority":"CANARY"}`, ``, true},
		"of the method, beside":         {scr.ClassGwG, "eid", ``, `"new":{"number":"CANARY"}`, false},
		"of another method, beside":     {scr.ClassGwG, "video", ``, `"new":{"number":"CANARY"}`, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inside, beside := "", ""
			if tt.inside != "" {
				inside = "," + tt.inside
			}
			if tt.beside != "" {
				beside = "," + tt.beside
			}
			body := `{` + headJSON + strings.Replace(withVideo(inside, beside), "video", tt.method, 1) + `}`
			r, _, err := scr.ParseResult([]byte(body), scr.ResultRequest{Class: tt.class, KeepUnknown: true})
			if err != nil || r.Case.Identifications[0].Method == "" {
				t.Fatalf("%v, %v", r.Case.Identifications, err)
			}
			if kept := strings.Contains(fmt.Sprint(r.Unknown), "CANARY"); kept != tt.kept {
				t.Errorf("kept: %t, %+v, dropped %s", kept, r.Unknown, dropped(r))
			}
		})
	}
}
