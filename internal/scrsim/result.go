package scrsim

import (
	"fmt"
	"slices"
	"strconv"

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

// documentType is a ResultValue's "1" to "13"; the eID chip is in three kinds
// of cards.
func (r result) documentType() string {
	if r.ident.method == scr.MethodEID {
		return []string{"1", "3", "13"}[r.c.serial%3]
	}
	return strconv.Itoa(1 + r.c.serial%12)
}

const passport = "2"

// document is guide 8.6.2. Photo has one, with its records, before it is final.
func (r result) document() object {
	out := object{}
	if r.hasData() {
		r.documentFields(out)
	}
	if records := r.documentRecords(); len(records) > 0 {
		out["records"] = records
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
	kind := r.documentType()
	out["countryOfDocument"] = value("DEU", status)
	out["type"] = value(kind, status)
	out["firstName"] = value(c.canary("firstname"), status)
	out["lastName"] = value(c.canary("lastname"), status)
	out["birthDate"] = value(c.birthDate(), status)
	out["dateOfExpiry"] = value(c.canaryDate(expiryYear), "new")
	if !r.isClass(scr.ClassTKG) {
		out["nationality"] = value("DEU", status)
		if c.serial%2 == 0 {
			out["birthName"] = value(c.canary("birthname"), "new")
		}
	}
	if r.isClass(scr.ClassGwG) {
		out["birthPlace"] = value(c.canary("birthplace"), status)
	}
	if r.isClass(scr.ClassGwG, scr.ClassTKG) && r.ident.method != scr.MethodEID {
		out["number"] = value(c.canary("docno"), status)
		out["dateIssued"] = value(c.canaryDate(issueYear), "new")
		out["authority"] = value(c.canary("authority"), status)
	}
	legacy := c.acct.Wire.LegacyEmpty
	switch {
	case r.isClass(scr.ClassGwG) && kind == passport:
		out["placeOfIssue"] = value(c.canary("placeofissue"), "new")
	case r.isClass(scr.ClassGwG) && legacy:
		out["placeOfIssue"] = value("", status)
	}
	switch {
	case kind != passport: // a passport holds no address
		out["address"] = c.address(status)
	case legacy:
		out["address"] = object{}
	}
}

// drivingLicence is guide 8.6.3, for which only photo is known to check it; the
// fields that are not available are left out (facts C29).
func (r result) drivingLicence() object {
	if r.ident.method != scr.MethodPhoto || !r.isClass(scr.ClassMobility) {
		return nil
	}
	c := r.c
	out := object{}
	if r.hasData() {
		out["countryOfDocument"] = value("DEU", "new")
		out["number"] = value(c.canary("licence"), "new")
		out["firstName"] = value(c.canary("firstname"), "new")
		out["lastName"] = value(c.canary("lastname"), "new")
		out["birthDate"] = value(c.birthDate(), "new")
		out["restrictions"] = value(c.canary("restrictions"), "new")
		out["dateOfExpiry"] = value(c.canaryDate(expiryYear), "new")
		out["drivingLicenceClasses"] = []object{{
			"className": value("B", "new"), "dateIssued": value(c.canaryDate(issueYear), "new"),
			"dateOfExpiry": value(c.canaryDate(expiryYear), "new"),
			"restrictions": value(c.canary("classrestrictions"), "new"),
		}}
	}
	if records := r.photoRecords("drivinglicence", "dlfrontside", "dlbackside"); len(records) > 0 {
		out["records"] = records
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// methodRecords are the records of the method itself.
func (r result) methodRecords() []object {
	var out []object
	if r.hasData() && r.pdf {
		out = append(out, r.record("method", "result", "application/pdf", "pdf", true))
	}
	switch r.ident.method {
	case scr.MethodBasic:
		if r.hasData() {
			out = append(out, r.record("method", "usersignature", "image/jpeg", "jpg", true))
		}
	case scr.MethodVideo:
		if r.hasData() {
			out = append(out, r.record("method", "userface", "image/jpeg", "jpg", r.isClass(scr.ClassGwG)))
		}
	case scr.MethodAutoID:
		if r.hasData() {
			out = append(out, r.record("method", "userface", "image/jpeg", "jpg", false))
		}
	case scr.MethodPhoto:
		out = append(out, r.photoRecords("method", "userface")...)
	}
	return out
}

func (r result) documentRecords() []object {
	if r.ident.method == scr.MethodPhoto {
		return r.photoRecords("identificationdocument", "idfrontside", "idbackside")
	}
	if !r.hasData() {
		return nil
	}
	var types []string
	switch r.ident.method {
	case scr.MethodVideo:
		types = []string{"idfrontside", "idbackside", "idsignature"}
	case scr.MethodBasic:
		types = []string{"idfrontside", "idbackside"}
	default:
		return nil
	}
	out := make([]object, 0, len(types))
	for _, t := range types {
		out = append(out, r.record("identificationdocument", t, "image/jpeg", "jpg", r.isClass(scr.ClassGwG, scr.ClassTKG)))
	}
	return out
}

// photoRecords have the status of guide 4.4.1 and are there once the user has
// uploaded them.
func (r result) photoRecords(belongsTo string, types ...string) []object {
	if r.ident.status == scr.StatusStarted || (r.ident.subStatus != nil && *r.ident.subStatus == expiredCode) {
		return nil
	}
	binary := belongsTo == "drivinglicence" && r.hasData()
	out := make([]object, 0, len(types))
	for _, t := range types {
		rec := r.record(belongsTo, t, "image/jpeg", "jpg", binary)
		switch r.ident.status {
		case scr.StatusReviewPending:
			rec["validationStatus"] = "unchecked"
		case scr.StatusSuccess:
			rec["validationStatus"] = "valid"
		default:
			rec["validationStatus"] = "invalid"
			rec["validationSubStatus"] = r.photoTrouble(belongsTo)
			rec["validationRemark"] = r.c.canary("remark-" + t)
		}
		out = append(out, rec)
	}
	return out
}

// photoTrouble is a validationSubStatus that fits the identification's own.
func (r result) photoTrouble(belongsTo string) string {
	document := belongsTo != "method"
	code := 0
	if r.ident.subStatus != nil {
		code = *r.ident.subStatus
	}
	switch {
	case code == 31 && document:
		return "document not supported"
	case code == 32 && document:
		return "document expired"
	case code == 11 && document:
		return "fraud suspicion"
	case code == 15 && document:
		return "abuse"
	case code == 33 && document:
		return "document not identifiable"
	case code == 33:
		return "person not identifiable"
	}
	return []string{"bad exposure", "too blurry", "partly concealed", "picture detail not sufficient"}[r.c.serial%4]
}

// record is guide 8.6.7; its content is given only where it is asked for and
// allowed.
func (r result) record(belongsTo, kind, mimeType, extension string, allowed bool) object {
	id := 63_000_000 + r.c.serial*100 + r.index*20 + slices.Index(recordTypes, kind)
	name := r.c.id + "_" + kind
	if kind == "result" {
		name += "_" + r.ident.method
	}
	out := object{
		"recordId": strconv.Itoa(id), "belongsTo": belongsTo, "type": kind, "mimeType": mimeType,
		"fileName": name + "." + extension,
	}
	if r.binary && allowed {
		header := "\xff\xd8\xff\xe0"
		if extension == "pdf" {
			header = "%PDF-1.7\n"
		}
		out["documentData"] = canaryFile(header)
	}
	return out
}

var recordTypes = []string{
	"result", "resultdata", "resultimages", "userface", "usersignature", "idfrontside", "idbackside",
	"idsignature", "idimage", "dlfrontside", "dlbackside", "dlimage",
}

// additionalBasic is guide 8.6.8.
func (r result) additionalBasic() object {
	if r.ident.method != scr.MethodBasic || r.ident.status == scr.StatusStarted {
		return nil
	}
	out := object{
		"couponByPiAppRequestCount": 0, "couponDownloadCount": 0, "couponByEmailRequestCount": 0,
		"couponByTpAppRequestCount": 0,
	}
	if !r.c.plan.Offline {
		out["couponDownloadCount"] = 1
		out["couponDownloadLastTimestamp"] = wireTimestamp(r.ident.created)
	}
	if r.c.acct.Wire.LegacyEmpty {
		out["couponByEmailRequestLastTimestamp"] = nil
	}
	if !r.hasData() {
		return out
	}
	if !r.isClass(scr.ClassGwG, scr.ClassStandard) {
		out["postOffice"] = "227208750"
	}
	out["postOfficeStreetAddress"] = "Musterstr. 1"
	out["postOfficeCity"] = "12345 Musterstadt"
	out["checkoutNote"] = fmt.Sprintf("%08d 3013", 85_000_000+r.c.serial)
	out["idCardReaderCheck"] = object{"checkedCategories": []object{{
		"name": "document", "status": "ok",
		"failedChecksOfIdCardReader": []object{{
			"checkName": "mrz", "subCheckName": "checksum",
			"additionalInformation": []object{{"key": "line", "value": r.c.canary("cardreader")}},
		}},
	}}}
	return out
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
	out := object{}
	if r.isClass(scr.ClassTKG, scr.ClassGwG) {
		out["identificationServiceCenter"] = "1 DP CSC GmbH, Location Flensburg"
	}
	if r.isClass(scr.ClassTKG) {
		out["identificationAgentAliases"] = []string{r.c.canary("agent")}
		out["identReviews"] = []string{r.c.canary("review")}
	}
	if r.isClass(scr.ClassGwG) {
		out["videoRecordingAccepted"] = wireTimestamp(r.ident.created)
		out["videoRecordingDeliveryShaft"] = r.ident.status == scr.StatusSuccess
		out["tanChannel"] = "sms"
	}
	if len(out) == 0 {
		return nil
	}
	return out
}
