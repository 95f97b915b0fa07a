package scrsim

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"postident-bridge/internal/scr"
)

// result renders the results of one identification within the bounds that
// guide 4 and 8 set for its method and class.
type result struct {
	view

	rendering

	ident ident
	index int
	class scr.RegulatoryClass
}

func (v view) result(index int, o rendering) result {
	return result{view: v, ident: v.idents[index], index: index, rendering: o, class: v.c.acct.Class}
}

// hasData is the guide's "Result Data" column: final, and not because time ran
// out (facts C6).
func (r result) hasData() bool {
	if r.ident.subStatus != nil && *r.ident.subStatus == expiredCode {
		return false
	}
	return scr.Classify(r.ident.method, r.ident.status, nil, nil).Type == scr.Final
}

func (r result) isClass(classes ...scr.RegulatoryClass) bool {
	return slices.Contains(classes, r.class)
}

// put adds a field to an object, or what stands for it where the class or the
// method must not have it and the answer gives it all the same.
func (r result) put(out object, name, field string, allowed, forbidden any) {
	switch {
	case r.allows(name, field):
		out[field] = allowed
	case r.forbidden:
		out[field] = forbidden
	}
}

// putText is put of a ResultValue.
func (r result) putText(out object, name, field, text, status string) {
	r.put(out, name, field, value(text, status), value(r.c.forbidden(strings.ToLower(field)), "new"))
}

// putDate is put of a ResultValue that is a date.
func (r result) putDate(out object, name, field, date, status string) {
	r.put(out, name, field, value(date, status), value(r.c.canaryDate(forbiddenYear), "new"))
}

// documentType is a ResultValue's "1" to "13"; the eID chip is in three kinds
// of cards.
func (r result) documentType() string {
	if r.ident.method == scr.MethodEID {
		return []string{"1", "3", "13"}[r.c.serial%3]
	}
	return strconv.Itoa(1 + r.c.serial%12)
}

const passport = "2"

// isTravelDocument says that the document has no two sides: 6 to 8 are booklets
// for refugees, the stateless and foreigners.
func (r result) isTravelDocument() bool {
	return slices.Contains([]string{"6", "7", "8"}, r.documentType())
}

// document is guide 8.6.2. Photo has one, with its records, before it is final.
func (r result) document() object {
	out := object{}
	if r.hasData() {
		r.documentFields(out)
	}
	if records := r.documentRecords(); len(records) > 0 {
		out["records"] = r.wire(records)
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

func (r result) documentFields(out object) {
	c := r.c
	status := "new"
	if c.providesDocument() && !c.order.given {
		status = "match"
	}
	text := func(field, value, status string) { r.putText(out, identDocument, field, value, status) }
	kind := r.documentType()
	text("countryOfDocument", "DEU", status)
	text("type", kind, status)
	text("firstName", c.canary("firstname"), status)
	text("lastName", c.canary("lastname"), r.changed(status))
	text("birthDate", c.birthDate(), status)
	text("dateOfExpiry", c.canaryDate(expiryYear), status)
	text("nationality", "DEU", status)
	text("birthPlace", c.canary("birthplace"), status)
	text("number", c.canary("docno"), status)
	text("authority", c.canary("authority"), status)
	r.putDate(out, identDocument, "dateIssued", c.canaryDate(issueYear), status)
	legacy := c.acct.Wire.LegacyEmpty
	switch { // only if it differs from the last name
	case c.serial%2 == 0:
		text("birthName", c.canary("birthname"), status)
	case legacy:
		out["birthName"] = object{}
	}
	switch {
	case kind == passport:
		text("placeOfIssue", c.canary("placeofissue"), status)
	case legacy && r.class == scr.ClassGwG:
		out["placeOfIssue"] = value("", status)
	}
	switch {
	case kind != passport: // a passport holds no address
		out["address"] = c.address(status)
	case legacy:
		out["address"] = object{}
	}
}

// changed is a field's status where the document says otherwise than what was
// provided.
func (r result) changed(status string) string {
	if status == "match" && r.c.serial%8 == 0 {
		return "change"
	}
	return status
}

// checksLicence reports whether the identification checks a driving licence,
// which only photo is known to do (guide 8.6.7).
func (r result) checksLicence() bool {
	return r.ident.method == scr.MethodPhoto && (r.class == scr.ClassMobility || r.c.acct.DrivingLicence || r.forbidden)
}

// licence is guide 8.6.3; the fields that are not available are left out (facts
// C29).
func (r result) licence() object {
	if !r.checksLicence() {
		return nil
	}
	c := r.c
	out := object{}
	if r.hasData() {
		status := "new"
		if c.providesLicence() && !c.order.given {
			status = "match"
		}
		text := func(field, value string) { r.putText(out, "drivingLicence", field, value, status) }
		text("countryOfDocument", "DEU")
		text("number", c.canary("licence"))
		text("firstName", c.canary("firstname"))
		text("lastName", c.canary("lastname"))
		text("birthDate", c.birthDate())
		text("birthPlace", c.canary("birthplace"))
		text("authority", c.canary("authority"))
		text("restrictions", c.canary("restrictions"))
		text("dateOfExpiry", c.canaryDate(expiryYear))
		r.putDate(out, "drivingLicence", "dateIssued", c.canaryDate(issueYear), status)
		out["drivingLicenceClasses"] = c.licenceClasses()
	}
	if records := r.licenceRecords(); len(records) > 0 {
		out["records"] = r.wire(records)
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// licenceClasses is guide 8.6.4.
func (c *simCase) licenceClasses() []object {
	names := []string{"B", "AM", "L"}[:1+c.serial%3]
	out := make([]object, len(names))
	for i, name := range names {
		out[i] = object{
			"className": value(name, "new"), "dateIssued": value(c.canaryDate(issueYear), "new"),
			"dateOfExpiry": value(c.canaryDate(expiryYear), "new"),
			"restrictions": value(c.canary("classrestrictions"), "new"),
		}
	}
	return out
}

// additionalBasic is guide 8.6.8.
func (r result) additionalBasic() object {
	if r.ident.method != scr.MethodBasic || r.ident.status == scr.StatusStarted {
		return nil
	}
	out := object{}
	// The ways to a coupon, the most usual one first; offline there was none.
	ways := []string{"couponDownload", "couponByEmailRequest", "couponByPiAppRequest", "couponByTpAppRequest"}
	for i, way := range ways {
		count := 0
		if !r.c.plan.Offline && (i == 0 || (r.c.serial+i)%3 == 0) {
			count = 1 + (r.c.serial+i)%2
		}
		out[way+"Count"] = count
		switch {
		case count > 0:
			out[way+"LastTimestamp"] = wireTimestamp(r.ident.created)
		case r.c.acct.Wire.LegacyEmpty:
			out[way+"LastTimestamp"] = nil
		}
	}
	if !r.hasData() {
		return out
	}
	r.put(out, "additionalDataBasic", "postOffice", "227208750", r.c.forbidden("postoffice"))
	out["postOfficeStreetAddress"] = "Musterstr. 1"
	out["postOfficeCity"] = "12345 Musterstadt"
	out["checkoutNote"] = fmt.Sprintf("%08d 3013", 85_000_000+r.c.serial)
	out["idCardReaderCheck"] = r.cardReader()
	return out
}

// cardReader is IdCardReaderCheck of guide 8.6.8: one category with a failed
// check, one without.
func (r result) cardReader() object {
	return object{"checkedCategories": []object{
		{
			"name": "document", "status": "failed",
			"failedChecksOfIdCardReader": []object{{
				"checkName": "mrz", "subCheckName": "checksum",
				"additionalInformation": []object{{"key": "line", "value": r.c.canary("cardreader")}},
			}},
		},
		{"name": "chip", "status": "ok"},
	}}
}

// additionalEID is guide 8.6.9.
func (r result) additionalEID() object {
	if r.ident.method != scr.MethodEID || !r.hasData() {
		return nil
	}
	return object{"dkk": r.c.dkk()}
}

// additionalVideo is guide 8.6.10; the types of the two lists are not given
// (facts C21).
func (r result) additionalVideo() object {
	if r.ident.method != scr.MethodVideo || (!r.hasData() && r.ident.status != scr.StatusReviewPending) {
		return nil
	}
	const name = "additionalDataVideo"
	c := r.c
	out := object{}
	r.put(out, name, "identificationServiceCenter", "1 DP CSC GmbH, Location Flensburg", c.forbidden("servicecenter"))
	r.put(out, name, "tanChannel", []string{"sms", "email"}[c.serial%2], c.forbidden("tanchannel"))
	r.put(out, name, "identificationAgentAliases", []string{c.canary("agent")}, []string{c.forbidden("agent")})
	r.put(out, name, "identReviews", []string{c.canary("review")}, []string{c.forbidden("review")})
	if r.isClass(scr.ClassGwG) { // only its videochats are recorded (guide 8.6.7)
		out["videoRecordingAccepted"] = wireTimestamp(r.ident.created)
		out["videoRecordingDeliveryShaft"] = r.hasContent("userface")
	}
	if c.acct.Wire.ServiceCenterVideo {
		rename(out, "identificationServiceCenter", "identificationServiceCenterVideo")
	}
	if c.acct.Wire.VideoTexts {
		rename(out, "identificationAgentAliases", "identificationAgentAlias")
		for _, field := range []string{"identificationAgentAlias", "identReviews"} {
			if list, ok := out[field].([]string); ok {
				out[field] = strings.Join(list, ", ")
			}
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// rename gives a field that is there another name.
func rename(out object, from, to string) {
	if v, ok := out[from]; ok {
		delete(out, from)
		out[to] = v
	}
}
