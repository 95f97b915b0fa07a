package scrsim

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"postident-bridge/internal/scr"
)

//go:embed guide-sample.json
var guideSample []byte

// GuideSample is the guide's own sample of a case (7.4.1), a video identification
// with success, with what keeps it from being JSON mended (facts C3). NewCase.Answer
// takes it.
func GuideSample() json.RawMessage { return slices.Clone(guideSample) }

// givenCase is a case as somebody else wrote it down, see NewCase.Answer. It is
// immutable.
type givenCase struct {
	answer  object
	ident   object // in answer, under the name primaryIdent
	parsed  scr.Case
	records []record
}

// parseGiven reads a case that somebody else wrote down.
func parseGiven(raw json.RawMessage) (*givenCase, error) {
	parsed, err := scr.ParseCase(raw)
	if err != nil {
		return nil, err
	}
	g := &givenCase{parsed: parsed}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&g.answer); err != nil {
		return nil, fmt.Errorf("read answer: %w", err)
	}
	var ok bool
	switch g.ident, ok = g.answer["primaryIdent"].(object); {
	case !ok || len(parsed.Identifications) != 1:
		return nil, errors.New("answer: want one identification, as primaryIdent")
	case parsed.Status.Status != scr.CaseClosed:
		return nil, errors.New("answer: want a closed case")
	case !caseIDPattern.MatchString(parsed.CaseID):
		return nil, errors.New("answer: case id is not 12 of A-Z and 0-9")
	}
	for _, holder := range []object{g.ident, objectIn(g.ident, "identificationDocument"), objectIn(g.ident, "drivingLicence")} {
		list, _ := holder["records"].([]any)
		for _, element := range list {
			if err := g.addRecord(element); err != nil {
				return nil, err
			}
		}
	}
	return g, nil
}

// objectIn is a field that is an object, nil where it is none.
func objectIn(o object, field string) object {
	inner, _ := o[field].(object)
	return inner
}

func (g *givenCase) addRecord(element any) error {
	wire, _ := element.(object)
	text := func(field string) string {
		s, _ := wire[field].(string)
		return s
	}
	rec := record{
		id: text("recordId"), belongsTo: text("belongsTo"), kind: text("type"), name: text("fileName"),
		pdf: text("mimeType") == "application/pdf", there: true,
	}
	switch {
	case rec.id == "" || !slices.Contains(recordTypes, rec.kind):
		return errors.New("answer: want records with an id and a type of the guide")
	case wire["documentData"] != nil:
		return errors.New("answer: want records without documentData")
	}
	g.records = append(g.records, rec)
	return nil
}

// plan is the one step in which the case appears as it is.
func (g *givenCase) plan() Plan {
	id := g.parsed.Identifications[0]
	step := Step{Method: id.Method, Status: id.Status, Closes: true}
	if id.SubStatus != nil {
		step.SubStatus = new(id.SubStatus.Code)
	}
	if id.SubStatusReason != nil {
		step.Reason = new(id.SubStatusReason.Code)
	}
	return Plan{Offline: true, Steps: []Step{step}}
}

// applyGiven has a given case appear, with the times that it was given. s.mu is
// held.
func (c *simCase) applyGiven(step Step, index int) Change {
	g := c.given.parsed
	id := g.Identifications[0]
	c.visible, c.status, c.archived = true, g.Status.Status, g.Status.Archived
	c.created, c.modified, c.closed, c.validUntil = g.Status.Created, g.Status.Modified, g.Status.Modified, g.Status.ValidUntil
	c.idents = []ident{{
		method: id.Method, status: id.Status, subStatus: step.SubStatus, reason: step.Reason,
		created: id.Created, modified: id.Modified, identificationTime: id.IdentificationTime, change: index,
	}}
	c.last = lastChange{at: id.Modified, newest: c.modified, ident: 0}
	change := Change{
		ClientID: c.acct.ClientID, CaseID: c.id, CaseCreated: c.created, StatusType: statusTypeProgress,
		Method: id.Method, IdentCreated: id.Created, Status: id.Status, SubStatus: step.SubStatus, Reason: step.Reason,
		IdentificationTime: id.IdentificationTime, Modified: id.Modified,
	}
	if class := scr.Classify(id.Method, id.Status, step.SubStatus, step.Reason); class.Type != scr.None {
		change.StatusType = string(class.Type)
	}
	return change
}

// given is the records of a given case as the class and the method may have them.
func (r result) given() []record {
	records := slices.Clone(r.c.given.records)
	for i := range records {
		records[i].allowed = r.allowsContent(records[i].kind)
	}
	return records
}

// renderGiven is the wire form of a given case: what was given, but for what the
// answer was not asked for.
func (v view) renderGiven(o rendering) object {
	g := v.c.given
	out := maps.Clone(g.answer)
	delete(out, "primaryIdent")
	caseStatus := maps.Clone(objectIn(out, "caseStatus"))
	caseStatus["archived"] = v.archived
	out["caseStatus"] = caseStatus
	ident := v.givenIdent(o)
	if o.status { // guide 7.4.2
		out = object{"caseId": v.c.id, "caseStatus": caseStatus, "accountingData": g.answer["accountingData"]}
		if custom := objectIn(objectIn(g.answer, "orderData"), "customData"); custom != nil {
			out["orderData"] = object{"customData": custom}
		}
		ident = object{
			"identificationMethod": g.ident["identificationMethod"], "identificationStatus": g.ident["identificationStatus"],
		}
	}
	if o.all {
		out["identifications"] = []object{ident}
	} else {
		out["primaryIdent"] = ident
	}
	return out
}

// givenIdent is the identification with the records that the answer was asked for.
func (v view) givenIdent(o rendering) object {
	r := v.result(0, o)
	shown := make(map[string]object)
	for _, wire := range r.wire(r.given()) {
		id, _ := wire["recordId"].(string)
		shown[id] = wire
	}
	ident := withRecords(v.c.given.ident, shown)
	for _, name := range []string{"identificationDocument", "drivingLicence"} {
		if holder := objectIn(ident, name); holder != nil {
			ident[name] = withRecords(holder, shown)
		}
	}
	return ident
}

// withRecords is a copy of an object with those of its records that are shown, each
// with its content where that is shown, too.
func withRecords(holder object, shown map[string]object) object {
	holder = maps.Clone(holder)
	given, ok := holder["records"].([]any)
	if !ok {
		return holder
	}
	records := make([]object, 0, len(given))
	for _, element := range given {
		wire, _ := element.(object)
		id, _ := wire["recordId"].(string)
		asked, ok := shown[id]
		if !ok {
			continue
		}
		wire = maps.Clone(wire)
		if content, ok := asked["documentData"]; ok {
			wire["documentData"] = content
		}
		records = append(records, wire)
	}
	holder["records"] = records
	return holder
}
