package scrsim

import (
	"encoding/json"
	"strings"
	"time"

	"postident-bridge/internal/scr"
)

// rendering is what an answer asks of a case.
type rendering struct {
	all    bool // all identifications, else the primary one
	status bool // status data only (guide 7.4.2)
	pdf    bool // includeResultPdf
	binary bool // includeBinaryData

	distortion
}

// object is a JSON object in the making.
type object = map[string]any

func wireTimestamp(t time.Time) string { return local(t).Format(wireTime) }

// render makes the case's wire form (guide 8.2, names as in the samples). It
// reads only v and the immutable part of the case, so it needs no lock.
func (v view) render(o rendering) object {
	wire := v.c.acct.Wire
	if v.c.given != nil {
		o.forbidden = o.forbidden || wire.Forbidden
		return v.renderGiven(o)
	}
	out := object{"caseId": v.c.id, "caseStatus": v.caseStatus(), "orderData": v.orderData(o.status)}
	o.forbidden = o.forbidden || wire.Forbidden
	if a := v.accountingData(); len(a) > 0 {
		out["accountingData"] = a
	}
	if !o.status {
		if contact := v.contactData(o.forbidden); contact != nil {
			name := "contactData"
			if wire.ContactDataResult {
				name = "contactDataResult"
			}
			out[name] = contact
		}
	}
	v.putIdentifications(out, o)
	if wire.UnknownFields > 0 {
		v.c.sprinkle(out, o.binary && !o.status)
	}
	return out
}

// putIdentifications gives the case all identifications or the primary one, under
// one of the names of facts C2.
func (v view) putIdentifications(out object, o rendering) {
	wire := v.c.acct.Wire
	switch {
	case o.all && len(v.idents) > 0:
		list := make([]object, len(v.idents))
		for i := range v.idents {
			list[i] = v.identification(i, o)
		}
		out["identifications"] = list
	case o.all && wire.LegacyEmpty:
		out["identifications"] = nil
	case o.all || v.primary < 0:
	case o.status && wire.StatusIdentifications:
		out["identifications"] = []object{v.identification(v.primary, o)}
	default:
		name := "primaryIdent"
		if wire.PrimaryIdentification {
			name = "primaryIdentification"
		}
		ident := v.identification(v.primary, o)
		out[name] = ident
		if wire.DocumentBeside {
			move(ident, out, "identificationDocument", "drivingLicence", "drivingLicense")
		}
	}
}

// move takes fields that are there from one object to another.
func move(from, to object, fields ...string) {
	for _, field := range fields {
		if v, ok := from[field]; ok {
			delete(from, field)
			to[field] = v
		}
	}
}

// caseStatus is guide 8.3.
func (v view) caseStatus() object {
	return object{
		"status": v.status, "archived": v.archived, "validUntil": wireTimestamp(v.validUntil),
		"created": wireTimestamp(v.created), "modified": wireTimestamp(v.modified),
	}
}

// orderData is what the case was started with; of it, status data has
// customData only (guide 7.4.2).
func (v view) orderData(status bool) object {
	out := object{}
	c := v.c
	switch {
	case !c.order.given:
		if !c.plan.Offline {
			custom := object{"custom1": c.canary("custom1"), "custom2": c.canary("custom2")}
			if c.serial%5 == 0 {
				custom["custom3"], custom["custom4"], custom["custom5"] = c.canary("custom3"), c.canary("custom4"), c.canary("custom5")
			}
			out["customData"] = custom
		}
	case c.order.custom != nil:
		out["customData"] = c.order.custom
	}
	if status {
		return out
	}
	out["processData"] = c.processData()
	provided := func(name string, given json.RawMessage, made object) {
		switch {
		case given != nil:
			out[name] = given
		case made != nil && !c.order.given:
			out[name] = made
		}
	}
	var contact, document, licence object
	if c.providesContact() {
		contact = c.contactProvided()
	}
	if c.providesDocument() {
		document = c.documentProvided()
	}
	if c.providesLicence() {
		licence = c.licenceProvided()
	}
	provided("contactDataProvided", c.order.contact, contact)
	provided("identificationDocumentProvided", c.order.identDocument, document)
	provided("drivingLicenceProvided", c.order.drivingLicence, licence)
	return out
}

// What the simulated client knows beforehand differs from case to case.
func (c *simCase) providesContact() bool  { return !c.plan.Offline && c.serial%3 != 0 }
func (c *simCase) providesDocument() bool { return !c.plan.Offline && c.serial%4 == 0 }
func (c *simCase) providesLicence() bool {
	return !c.plan.Offline && c.acct.Class == scr.ClassMobility && c.serial%3 == 0
}

// contactProvided, documentProvided and licenceProvided are what guide 1 has a
// client give (facts 2.3, the sample of 7.4.1).
func (c *simCase) contactProvided() object {
	out := object{"firstName": c.canary("firstname"), "lastName": c.canary("lastname"), "address": c.plainAddress()}
	if c.serial%4 == 0 {
		out["email"], out["mobilePhone"] = c.email(), c.phone()
	}
	return out
}

func (c *simCase) documentProvided() object {
	out := object{
		"type": "1", "countryOfDocument": "DEU", "number": c.canary("docno"), "firstName": c.canary("firstname"),
		"lastName": c.canary("lastname"), "birthName": c.canary("birthname"), "birthDate": c.birthDate(),
		"birthPlace": c.canary("birthplace"), "nationality": "DEU", "address": c.plainAddress(),
		"dateIssued": c.canaryDate(issueYear), "dateOfExpiry": c.canaryDate(expiryYear), "authority": c.canary("authority"),
	}
	if c.acct.Wire.LegacyEmpty {
		out["placeOfIssue"] = ""
	}
	return out
}

func (c *simCase) licenceProvided() object {
	return object{
		"countryOfDocument": "DEU", "number": c.canary("licence"), "firstName": c.canary("firstname"),
		"lastName": c.canary("lastname"), "birthDate": c.birthDate(), "dateOfExpiry": c.canaryDate(expiryYear),
	}
}

func (c *simCase) plainAddress() object {
	return object{
		"streetAddress": c.canary("street"), "postalCode": c.postalCode(), "city": c.canary("city"), "country": "DEU",
	}
}

func (c *simCase) processData() object {
	out := object{"targetCountry": "DEU", "preferredLanguage": "DE_DE"}
	for name, value := range c.order.process {
		out[name] = value
	}
	out["referenceId"] = c.reference
	if c.hookURL != "" {
		out["webHookUrl"] = c.hookURL
		if c.acct.Wire.WebHookURL {
			rename(out, "webHookUrl", "webHookURL")
		}
	}
	if c.partnerURL != "" {
		out["webHookUrlPartner"] = c.partnerURL
	}
	return out
}

// accountingData is guide 8.7; the product can be missing (facts 3).
func (v view) accountingData() object {
	if v.primary < 0 {
		return nil
	}
	products := map[string]string{
		scr.MethodAutoID: "Postident AutoID", scr.MethodBasic: "Postident Basic", scr.MethodEID: "Postident eID",
		scr.MethodPhoto: "Postident Foto", scr.MethodVideo: "Postident Video",
	}
	out := object{"accountingNumber": "77777777173701"}
	product, ok := products[v.idents[v.primary].method]
	switch {
	case ok && v.c.serial%17 != 0:
		out["accountingProduct"] = product
	case v.c.acct.Wire.LegacyEmpty:
		out["accountingProduct"] = nil
	}
	return out
}

// identificationStatus is guide 8.6.1.
func (v view) identificationStatus(i ident) object {
	out := object{
		"status": i.status, "created": wireTimestamp(i.created), "modified": wireTimestamp(i.modified),
	}
	if c := describe(i.method, i.status, false, i.subStatus); c != nil {
		out["subStatus"] = object{"code": c.Code, "description": c.Description}
	}
	if c := describe(i.method, i.status, true, i.reason); c != nil {
		out["subStatusReason"] = object{"code": c.Code, "description": c.Description}
	}
	if v.c.acct.Wire.LegacyEmpty && i.subStatus == nil && i.reason == nil {
		out["subStatus"], out["subStatusReason"] = object{}, nil
	}
	switch {
	case !i.identificationTime.IsZero():
		out["identificationTime"] = wireTimestamp(i.identificationTime)
	case v.c.acct.Wire.LegacyEmpty:
		out["identificationTime"] = nil
	}
	return out
}

// identification is guide 8.6, results within the bounds of method and class.
func (v view) identification(index int, o rendering) object {
	i := v.idents[index]
	out := object{"identificationMethod": i.method, "identificationStatus": v.identificationStatus(i)}
	if o.status {
		return out
	}
	r := v.result(index, o)
	if records := r.wire(r.methodRecords()); len(records) > 0 {
		out["records"] = records
	}
	for _, part := range []struct {
		name string
		made object
	}{
		{"identificationDocument", r.document()},
		{"drivingLicence", r.licence()},
		{"additionalDataBasic", r.additionalBasic()},
		{"additionalDataEid", r.additionalEID()},
		{"additionalDataVideo", r.additionalVideo()},
	} {
		switch {
		case part.made != nil:
			out[part.name] = part.made
		case v.c.acct.Wire.LegacyEmpty && strings.HasPrefix(part.name, "additional"):
			out[part.name] = object{}
		}
	}
	if v.c.acct.Wire.DrivingLicense {
		rename(out, "drivingLicence", "drivingLicense")
	}
	return out
}

// contactData is guide 8.5. It is there once the user has come beyond the
// beginning, but for attempts that ended too early.
func (v view) contactData(forbidden bool) object {
	if v.primary < 0 || v.idents[v.primary].status == scr.StatusStarted || v.c.serial%13 == 0 {
		return nil
	}
	c := v.c
	status := "new"
	switch {
	case c.order.contact != nil:
		status = "change"
	case c.providesContact():
		status = "match"
	}
	out := object{
		"firstName": value(c.canary("firstname"), status), "lastName": value(c.canary("lastname"), status),
		"email": value(c.email(), "new"), "address": c.address(status),
	}
	legacy := c.acct.Wire.LegacyEmpty
	switch {
	case v.idents[v.primary].method == scr.MethodVideo && c.acct.Class == scr.ClassGwG, forbidden:
		out["mobilePhone"] = value(c.phone(), "new") // elsewhere it is not mandatory, which is not forbidden
	case legacy:
		out["mobilePhone"] = object{}
	}
	for i, field := range []string{"title", "epost"} { // both deprecated
		switch {
		case c.serial%5 == i:
			out[field] = value(c.canary(field), "new")
		case legacy:
			out[field] = object{}
		}
	}
	return out
}

// value is a ResultValue.
func value(v, status string) object { return object{"value": v, "status": status} }

// address is guide 8.6.5.
func (c *simCase) address(status string) object {
	out := object{
		"streetAddress": value(c.canary("street"), status), "postalCode": value(c.postalCode(), status),
		"city": value(c.canary("city"), status), "country": value("DEU", status),
	}
	switch {
	case c.serial%6 == 0:
		out["appendix"] = value(c.canary("appendix"), "new")
	case status == "match" && c.serial%16 == 8: // what was provided is on no document
		out["appendix"] = value("", "change")
	case c.acct.Wire.LegacyEmpty:
		out["appendix"] = object{}
	}
	if c.serial%7 == 0 {
		out["addressMatch"] = object{
			"mailRedirectionDomestic": c.serial%2 == 0, "mailRedirectionInternational": c.serial%4 == 1,
			"undeliverable": c.serial%3 == 0, "addresseeDeceased": false,
		}
	}
	return out
}
