package scrsim

import (
	"encoding/json"
	"time"

	"postident-bridge/internal/scr"
)

// rendering is what an answer asks of a case.
type rendering struct {
	all    bool // all identifications, else the primary one
	status bool // status data only (guide 7.4.2)
	pdf    bool // includeResultPdf
	binary bool // includeBinaryData
}

// object is a JSON object in the making.
type object = map[string]any

func wireTimestamp(t time.Time) string { return local(t).Format(wireTime) }

// render makes the case's wire form (guide 8.2, names as in the samples). It
// reads only v and the immutable part of the case, so it needs no lock.
func (v view) render(o rendering) object {
	wire := v.c.acct.Wire
	out := object{"caseId": v.c.id, "caseStatus": v.caseStatus(), "orderData": v.orderData(o.status)}
	if a := v.accountingData(); len(a) > 0 {
		out["accountingData"] = a
	}
	if !o.status {
		if contact := v.contactData(); contact != nil {
			name := "contactData"
			if wire.ContactDataResult {
				name = "contactDataResult"
			}
			out[name] = contact
		}
	}
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
		out["primaryIdent"] = v.identification(v.primary, o)
	}
	return out
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
			out["customData"] = object{"custom1": c.canary("custom1"), "custom2": c.canary("custom2")}
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
	var contact, document object
	if c.providesContact() {
		contact = object{"firstName": c.canary("firstname"), "lastName": c.canary("lastname"), "address": c.plainAddress()}
	}
	if c.providesDocument() {
		document = object{
			"type": "1", "countryOfDocument": "DEU", "number": c.canary("docno"), "firstName": c.canary("firstname"),
			"lastName": c.canary("lastname"), "birthDate": c.birthDate(), "birthPlace": c.canary("birthplace"),
			"nationality": "DEU", "address": c.plainAddress(), "authority": c.canary("authority"),
		}
	}
	provided("contactDataProvided", c.order.contact, contact)
	provided("identificationDocumentProvided", c.order.identDocument, document)
	provided("drivingLicenceProvided", c.order.drivingLicence, nil)
	return out
}

// What the simulated client knows beforehand differs from case to case.
func (c *simCase) providesContact() bool  { return !c.plan.Offline && c.serial%3 != 0 }
func (c *simCase) providesDocument() bool { return !c.plan.Offline && c.serial%4 == 0 }

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
	r := result{view: v, ident: i, index: index, rendering: o, class: v.c.acct.Class}
	if records := r.methodRecords(); len(records) > 0 {
		out["records"] = records
	}
	if d := r.document(); d != nil {
		out["identificationDocument"] = d
	}
	if d := r.drivingLicence(); d != nil {
		out["drivingLicence"] = d
	}
	if d := r.additionalBasic(); d != nil {
		out["additionalDataBasic"] = d
	}
	if d := r.additionalEID(); d != nil {
		out["additionalDataEid"] = d
	}
	if d := r.additionalVideo(); d != nil {
		out["additionalDataVideo"] = d
	}
	return out
}

// contactData is guide 8.5. It is there once the user has come beyond the
// beginning, but for attempts that ended too early.
func (v view) contactData() object {
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
	if v.idents[v.primary].method == scr.MethodVideo && c.acct.Class == scr.ClassGwG {
		out["mobilePhone"] = value(c.phone(), "new")
	}
	if c.acct.Wire.LegacyEmpty {
		out["title"], out["epost"] = object{}, object{}
	} else if c.serial%5 == 0 {
		out["title"] = value(c.canary("title"), "new")
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
	case c.acct.Wire.LegacyEmpty:
		out["appendix"] = object{}
	}
	if c.serial%7 == 0 {
		out["addressMatch"] = object{
			"mailRedirectionDomestic": false, "mailRedirectionInternational": false, "undeliverable": false,
			"addresseeDeceased": false,
		}
	}
	return out
}
