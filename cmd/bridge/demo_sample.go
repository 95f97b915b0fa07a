package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"postident-bridge/internal/scrsim"
	"postident-bridge/schemas"
)

// playSample has the guide's own sample appear as a case of the account that
// publishes results. Its times are those of the sample, so no sweep looks back that
// far: its webhook goes out before any is lost.
func (d *demo) playSample() error {
	info, err := d.sim.Create(scrsim.NewCase{ClientID: d.results.account, Answer: scrsim.GuideSample()})
	if err != nil {
		return err
	}
	d.results.setSample(info.CaseID)
	_, err = d.sim.Advance(info.CaseID)
	return err
}

// sampleMarks are the personal values of the guide's sample that are long enough
// not to turn up by chance: like canaries, they may stand in the result alone.
func sampleMarks() ([]string, error) {
	var sample map[string]any
	if err := json.Unmarshal(scrsim.GuideSample(), &sample); err != nil {
		return nil, fmt.Errorf("read the guide's sample: %w", err)
	}
	const long = 8
	marks := make(map[string]bool)
	note := func(path, text string) {
		for _, personal := range []string{"contactData", "orderData.contactData", "identificationDocument", "customData"} {
			if strings.Contains(path, personal) && !strings.Contains(path, "records") && len(text) >= long {
				marks[text] = true
			}
		}
	}
	sampleLeaves("", sample, note)
	return slices.Sorted(maps.Keys(marks)), nil
}

// sampleLeaves visits the values of a JSON document, and null, {} and [] as empty
// ones: to the API they all mean that there is nothing (facts C4). A record is
// called by its id.
func sampleLeaves(path string, v any, visit func(path, text string)) {
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 0 {
			visit(path, "")
		}
		for _, name := range slices.Sorted(maps.Keys(v)) {
			sampleLeaves(strings.TrimPrefix(path+"."+name, "."), v[name], visit)
		}
	case []any:
		if len(v) == 0 {
			visit(path, "")
		}
		for i, element := range v {
			name := fmt.Sprint(i)
			if object, ok := element.(map[string]any); ok && object["recordId"] != nil {
				name = fmt.Sprint(object["recordId"])
			}
			sampleLeaves(path+"."+name, element, visit)
		}
	case nil:
		visit(path, "")
	default:
		visit(path, fmt.Sprint(v))
	}
}

// compareAnswer compares every value of a case's answer with the result that came
// of it, and returns how many there are and the paths of those that the result has
// not, or otherwise. The answer is one with primaryIdent, of a class that may have
// all that stands in it.
func compareAnswer(answer []byte, r *schemas.IdentificationResult) (fields int, missing []string, err error) {
	var parsed map[string]any
	d := json.NewDecoder(bytes.NewReader(answer))
	d.UseNumber()
	if err := d.Decode(&parsed); err != nil {
		return 0, nil, fmt.Errorf("read answer: %w", err)
	}
	have := make(map[string]string)
	for _, f := range resultFields(r) {
		if f.name != "records" {
			f.leaves(f.name, func(path string, leaf any) { have[path] = fmt.Sprint(leaf) })
		}
	}
	for i := range r.Records {
		record := resultFieldOf("", reflect.ValueOf(r.Records[i]))
		record.leaves("", func(path string, leaf any) {
			have["records."+r.Records[i].Metadata.RecordID+"."+strings.TrimPrefix(path, "metadata.")] = fmt.Sprint(leaf)
		})
	}
	sampleLeaves("", parsed, func(path, text string) {
		fields++
		if got := have[pathInResult(path)]; got != text && !sameInstant(got, text) && strings.ReplaceAll(got, "_", " ") != text {
			missing = append(missing, path)
		}
	})
	if fields == 0 {
		return 0, nil, errors.New("read answer: it has no fields")
	}
	return fields, missing, nil
}

// pathInResult is where the result has what stands at a path of an answer.
func pathInResult(path string) string {
	rest, ok := strings.CutPrefix(path, "primaryIdent.")
	if !ok {
		return path
	}
	if _, record, ok := strings.Cut(rest, "records."); ok {
		return "records." + record
	}
	if rest == "identificationMethod" {
		return "method"
	}
	status, ok := strings.CutPrefix(rest, "identificationStatus.")
	switch {
	case !ok:
		return rest
	case status == "status", strings.HasPrefix(status, "subStatus"):
		return status
	default:
		return "identification." + status
	}
}

func sameInstant(a, b string) bool {
	at, err1 := time.Parse(time.RFC3339, a)
	bt, err2 := time.Parse(time.RFC3339, b)
	return err1 == nil && err2 == nil && at.Equal(bt)
}
