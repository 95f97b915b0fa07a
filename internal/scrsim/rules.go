package scrsim

import (
	"slices"

	"postident-bridge/internal/scr"
)

// rule is what guide 8 says of a field: which classes have it, and which method
// never has.
type rule struct {
	classes []scr.RegulatoryClass
	not     string
}

func only(classes ...scr.RegulatoryClass) rule { return rule{classes: classes} }

var (
	anyButTKG     = only(scr.ClassGwG, scr.ClassEIDAS, scr.ClassStandard, scr.ClassMobility)
	notOnAChip    = rule{classes: []scr.RegulatoryClass{scr.ClassGwG, scr.ClassTKG}, not: scr.MethodEID}
	identDocument = "identificationDocument"
)

// rules are the fields that not everyone has, by object and field; "else" in the
// guide takes eIDAS in (facts C23). The test compares them with the guide's
// tables.
var rules = map[string]map[string]rule{
	identDocument: { // guide 8.6.2
		"number": notOnAChip, "dateIssued": notOnAChip, "authority": notOnAChip,
		"birthName": anyButTKG, "nationality": anyButTKG,
		"birthPlace": only(scr.ClassGwG), "placeOfIssue": only(scr.ClassGwG),
	},
	"drivingLicence":      {"birthPlace": only(), "dateIssued": only(), "authority": only()}, // guide 8.6.3, facts C29
	"additionalDataBasic": {"postOffice": only(scr.ClassTKG, scr.ClassEIDAS, scr.ClassMobility)},
	"additionalDataVideo": { // guide 8.6.10
		"identificationServiceCenter": only(scr.ClassTKG, scr.ClassGwG),
		"identificationAgentAliases":  only(scr.ClassTKG),
		"identReviews":                only(scr.ClassTKG),
		"tanChannel":                  only(scr.ClassGwG),
	},
}

// allows reports whether guide 8 gives the result the field.
func (r result) allows(object, field string) bool {
	rule, ok := rules[object][field]
	return !ok || rule.not != r.ident.method && slices.Contains(rule.classes, r.class)
}

// allowsContent reports whether guide 4 and 8.6.7 give the result the content of
// a record. C22: by method and class.
func (r result) allowsContent(kind string) bool {
	switch kind {
	case "userface":
		return r.ident.method == scr.MethodVideo && r.class == scr.ClassGwG
	case "idfrontside", "idbackside", "idsignature", "idimage":
		switch r.ident.method {
		case scr.MethodVideo, scr.MethodBasic:
			return r.isClass(scr.ClassGwG, scr.ClassTKG)
		case scr.MethodEID:
			return r.class == scr.ClassGwG
		default:
			return false
		}
	case "dlfrontside", "dlbackside", "dlimage":
		return r.ident.method == scr.MethodPhoto && r.class == scr.ClassMobility
	case "resultimages":
		return r.allowsContent("userface") || r.allowsContent("idimage") || r.allowsContent("dlimage")
	default:
		return true
	}
}

// hasContent reports whether the state of the identification has the content of a
// record at all: images go with a success and with a suspicion of fraud only (the
// column "Result Images" of guide 4).
func (r result) hasContent(kind string) bool {
	switch kind {
	case "result", "resultdata", "usersignature":
		return r.hasData()
	default:
		fraud := r.ident.subStatus != nil && *r.ident.subStatus == fraudCode
		return r.ident.status == scr.StatusSuccess || r.ident.status == scr.StatusDeclined && fraud
	}
}

// fraudCode is the sub status of a suspicion of fraud.
const fraudCode = 11
