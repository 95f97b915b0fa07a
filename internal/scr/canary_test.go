package scr_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"postident-bridge/internal/scr"
)

const (
	canary       = "CANARY-Erika-Mustermann"
	canaryNumber = "1337133713371337"
)

// plant puts a canary in place of every leaf of a JSON value, once as a text
// and once as a number, and calls visit with the whole after each change.
func plant(root any, visit func(path string, whole any)) {
	var walk func(path string, v any, set func(any))
	walk = func(path string, v any, set func(any)) {
		switch v := v.(type) {
		case map[string]any:
			for k, child := range v {
				walk(path+"."+k, child, func(n any) { v[k] = n })
			}
		case []any:
			for i, child := range v {
				walk(fmt.Sprintf("%s[%d]", path, i), child, func(n any) { v[i] = n })
			}
		}
		for _, c := range []any{canary, json.Number(canaryNumber), []any{canary}, map[string]any{canary: canary}, true} {
			set(c)
			visit(path, root)
		}
		set(v)
	}
	walk("", root, func(n any) { root = n })
}

// assertNoCanary looks through all that can be printed of an error.
func assertNoCanary(t *testing.T, where string, err error) {
	t.Helper()
	if err == nil {
		return
	}
	all := fmt.Sprintf("%v %+v %#v", err, err, err)
	for _, c := range []string{canary, canaryNumber, "Mustermann", "T01012148"} {
		if strings.Contains(all, c) {
			t.Errorf("%s: the error shows %q: %s", where, c, all)
		}
	}
}

func TestParseErrorsHoldNoContent(t *testing.T) {
	t.Parallel()
	sample := readFile(t, "case-video-success.json")
	var root any
	if err := json.Unmarshal(sample, &root); err != nil {
		t.Fatal(err)
	}
	refused := 0
	plant(root, func(path string, whole any) {
		body, err := json.Marshal(whole)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = scr.ParseCase(body); err != nil {
			refused++
		}
		assertNoCanary(t, path, err)
	})
	if refused < 50 {
		t.Errorf("only %d bodies were refused: the test does not reach the errors", refused)
	}
	const step = 11 // a prime, so that the cuts fall on every kind of token
	for n := 0; n < len(sample); n += step {
		_, err := scr.ParseCase(sample[:n])
		if err == nil {
			t.Errorf("cut at %d: accepted", n)
		}
		assertNoCanary(t, fmt.Sprintf("cut at %d", n), err)
		_, err = scr.ParseCase(append(append([]byte{}, sample[:n]...), "x"+canary+string(sample[n:])...))
		assertNoCanary(t, fmt.Sprintf("garbage at %d", n), err)
	}
}

func TestParsedCaseHoldsNoPersonalData(t *testing.T) {
	t.Parallel()
	c, err := scr.ParseCase(readFile(t, "case-video-success.json"))
	if err != nil {
		t.Fatal(err)
	}
	kept := fmt.Sprintf("%+v", c)
	// P5: whatever could tell who it is, and customData, which people typed.
	for _, personal := range []string{
		"Erika", "Mustermann", "Gabler", "1964-08-12", "Berlin", "Heidestr", "51147", "Köln", "T01012148",
		"011111111111", "erika.mustermann@deutschepost.de", "REF_101485489", "Kampagne",
	} {
		if strings.Contains(kept, personal) {
			t.Errorf("the case holds %q", personal)
		}
	}
}

func TestWebhookErrorsHoldNoContent(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		canary, `"` + canary + `"`, `{"caseId":"` + canary + ` x"}`, `{"caseId":["` + canary + `"]}`,
		`{"` + canary + `":1,"` + canary + `":2}`, `{"caseId":"A","referenceId":{"` + canary + `":` + canaryNumber + `}}`,
		`{"caseId":"A"}` + canary, `{"caseId":tru` + canary,
	} {
		_, err := scr.ParseWebhook([]byte(body))
		if err == nil {
			t.Errorf("accepted: %s", body)
		}
		assertNoCanary(t, body, err)
	}
}
