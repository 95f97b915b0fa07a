package scr_test

import (
	"fmt"
	"strings"
	"testing"

	"postident-bridge/internal/scr"
)

// What the API sends is read without the decoder, whatever spelling it uses.
func TestPlainCasesNeedNoDecoder(t *testing.T) {
	t.Parallel()
	bodies := map[string]string{
		"7.4.1 sample":            string(readFile(t, "case-video-success.json")),
		"unknown fields":          caseWith(`"new":{"a":[1,{"a":1,"a":2}]},"primaryIdent":{"newer":null}`),
		"C4 empty objects, texts": caseWith(`"primaryIdent":{ },"orderData":"","accountingData":null,"identifications":[null,{},""]`),
		"escapes in texts":        caseWith(`"primaryIdent":{"identificationMethod":"a\/b\u00e4\"","records":[{"fileName":"\ud800"}]}`),
		"umlauts":                 withStatus(`,"subStatus":{"code":11,"description":"Täuschung"}`),
		"numbers and words":       caseWith(`"a":[-0,0.5,1E+5,-12.25e-3,true,false,null]`),
		"texts of every length":   caseWith(`"a":["` + strings.Join([]string{"", "a", "1234567", "12345678", "123456789", "1234567\\\\", "12345678\\u00e4", strings.Repeat("ä", 20)}, `","`) + `"]`),
	}
	for name, body := range bodies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, _, plain, err := scr.PlainCase([]byte(body))
			if !plain || err != nil {
				t.Errorf("plain %t, %v", plain, err)
			}
			checkPlain(t, []byte(body))
		})
	}
}

// What is no JSON, or may mean another thing to the decoder, is left to it.
func TestOddCasesAreLeftToTheDecoder(t *testing.T) {
	t.Parallel()
	var many strings.Builder // to find one of them twice takes their square
	for i := range 100 {
		fmt.Fprintf(&many, `"a%d":1,`, i)
	}
	bodies := map[string]string{
		"too many unknown names":        caseWith(many.String() + `"b":1`),
		"no object":                     `[]`,
		"a name twice":                  caseWith(`"contactData":1,"contactData":2`),
		"an unknown name twice":         caseWith(`"a":1,"a":2`),
		"an unknown name twice, deeper": caseWith(`"primaryIdent":{"a":1,"b":{},"a":2}`),
		"an escaped name":               caseWith(`"\u0061ccountingData":{}`),
		"a name that is no UTF-8":       caseWith(`"` + "\xff" + `":1`),
		"more after it":                 `{` + headJSON + `}{}`,
		"nothing after it but a NUL":    `{` + headJSON + "}\x00",
		"a comma too many":              caseWith(`"a":1,`),
		"a comma too few":               caseWith(`"a":1 "b":2`),
		"a colon too few":               caseWith(`"a" 1`),
		"a list of a comma":             caseWith(`"a":[1,]`),
		"brackets of two kinds":         caseWith(`"a":[1}`),
		"no end":                        `{` + headJSON + `,"a":[1`,
		"deeper than anything":          caseWith(`"a":` + strings.Repeat("[", 100) + strings.Repeat("]", 100)),
		"a list for an object":          caseWith(`"primaryIdent":[1]`),
		"an object for a list":          caseWith(`"identifications":{"a":1}`),
		"a list of lists":               caseWith(`"identifications":[[]]`),
		"an object for a text":          caseWith(`"primaryIdent":{"identificationMethod":{"a":1}}`),
	}
	for _, bad := range []string{
		"-", "01", "-01", "1.", ".5", "+1", "1e", "1e+", "0x1", "nul", "nulll", "True", "NaN", "'a'", `"`, `"\`, `"\x"`, `"\u"`, `"\u00g0"`, `"\u12`,
		"\"1234567\n\"", "\"\x00\"", "\"a\x1f234567\"", "\v", "",
	} {
		bodies[fmt.Sprintf("value %q", bad)] = caseWith(`"a":` + bad)
	}
	for name, body := range bodies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, unknown, plain, _ := scr.PlainCase([]byte(body)); plain || unknown != nil {
				t.Errorf("plain %t, unknown %q", plain, unknown)
			}
		})
	}
}
