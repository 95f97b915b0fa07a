package scr

// classes is a set of regulatory classes.
type classes uint8

const (
	gwg classes = 1 << iota
	tkg
	eidas
	standard
	mobility

	everyClass = gwg | tkg | eidas | standard | mobility
)

// classOf is empty for a class that the guide does not know.
func classOf(c RegulatoryClass) classes {
	switch c {
	case ClassGwG:
		return gwg
	case ClassTKG:
		return tkg
	case ClassEIDAS:
		return eidas
	case ClassStandard:
		return standard
	case ClassMobility:
		return mobility
	default:
		return 0
	}
}

// methods is a set of identification methods.
type methods uint8

const (
	autoid methods = 1 << iota
	basic
	eid
	photo
	video
	otherMethod // one that the guide does not know, or none

	everyMethod = autoid | basic | eid | photo | video | otherMethod
)

func methodOf(m string) methods {
	switch m {
	case MethodAutoID:
		return autoid
	case MethodBasic:
		return basic
	case MethodEID:
		return eid
	case MethodPhoto:
		return photo
	case MethodVideo:
		return video
	default:
		return otherMethod
	}
}

// allowance says who may have a field or a content.
type allowance struct {
	classes classes
	methods methods
}

// everyone is the allowance of what the guide gives no rule for.
var everyone = allowance{everyClass, everyMethod}

func (a allowance) allows(c RegulatoryClass, method string) bool { return a.refusal(c, method) == "" }

// refusal is why c and method may not have it, "" if they may.
func (a allowance) refusal(c RegulatoryClass, method string) DropReason {
	switch {
	case a.classes&classOf(c) == 0:
		return DroppedClass
	case a.methods&methodOf(method) == 0:
		return DroppedMethod
	default:
		return ""
	}
}

// fieldAllowances has every field that guide 8 limits to classes or methods; a
// field that is not in it is everyone's. "Else" in the guide is every class that
// the cell does not name, eIDAS among them (facts C23).
var fieldAllowances = map[string]map[string]allowance{
	"IdentificationDocumentResult": { // guide 8.6.2
		"number":       {gwg | tkg, everyMethod &^ eid},
		"birthName":    {everyClass &^ tkg, everyMethod},
		"birthPlace":   {gwg, everyMethod},
		"nationality":  {everyClass &^ tkg, everyMethod},
		"dateIssued":   {gwg | tkg, everyMethod &^ eid},
		"authority":    {gwg | tkg, everyMethod &^ eid},
		"placeOfIssue": {gwg, everyMethod},
	},
	"DrivingLicenceResult": { // guide 8.6.3, facts C29: no class has them
		"birthPlace": {0, everyMethod},
		"dateIssued": {0, everyMethod},
		"authority":  {0, everyMethod},
	},
	"RecordResult": { // guide 8.6.7; of its content see contentAllowances
		"validationStatus":    {everyClass, photo},
		"validationSubStatus": {everyClass, photo},
		"validationRemark":    {everyClass, photo},
	},
	"AdditionalDataBasic": { // guide 8.6.8
		"postOffice": {everyClass &^ (gwg | standard), everyMethod},
	},
	"AdditionalDataVideo": { // guide 8.6.10
		"identificationServiceCenter": {gwg | tkg, everyMethod},
		"identificationAgentAliases":  {tkg, everyMethod},
		"identReviews":                {tkg, everyMethod},
		"tanChannel":                  {gwg, everyMethod},
	},
}

func fieldAllowance(object, field string) allowance {
	if a, ok := fieldAllowances[object][field]; ok {
		return a
	}
	return everyone
}

// FieldAllowed reports whether an account of class c may have a field of an
// identification by method (guide 8.2 to 8.7). Object and field are the guide's
// names, whatever other spelling came; a method may be one that the guide does not
// know, which has no rules of its own. It is false for a class, an object or a
// field that is not in section 8 or in the order data, which has no rules (guide
// 8.4). Records are allowed as metadata; of their content see ContentAllowed.
func FieldAllowed(object, field string, c RegulatoryClass, method string) bool {
	return objectsOfResult()[object][field] && fieldAllowance(object, field).allows(c, method)
}

// The content of records. A type is allowed where the rules by content type and by
// class (guide 8.6.7) and the column "Result Images" of the method (guide 4.1 to
// 4.5) agree: "all images" of class GwG are those that its method has (facts C22),
// and eIDAS, for which no rule is stated, has none of those that a rule limits to
// others (facts C23).
var (
	documentImages = []allowance{{gwg | tkg, basic | video}, {gwg, eid}}
	licenceImages  = []allowance{{mobility, photo}}
	userImages     = []allowance{{gwg, video}}
	unlimited      = []allowance{everyone}
)

var contentAllowances = map[string][]allowance{
	"result":        unlimited, // PDFs are a feature of the account (guide 2.5)
	"resultdata":    unlimited,
	"resultimages":  unlimited,
	"userface":      userImages,
	"usersignature": unlimited,
	"idfrontside":   documentImages,
	"idbackside":    documentImages,
	"idsignature":   documentImages,
	"idimage":       documentImages,
	"dlfrontside":   licenceImages,
	"dlbackside":    licenceImages,
	"dlimage":       licenceImages,
}

// ContentAllowed reports whether an account of class c may ask for and keep the
// content (documentData) of a record of a type and an identification by method. It
// is false for a class or a type that the guide does not know: what is not known
// has no class.
func ContentAllowed(recordType string, c RegulatoryClass, method string) bool {
	return contentRefusal(recordType, c, method) == ""
}

// contentRefusal names the class if no method of it has such content.
func contentRefusal(recordType string, c RegulatoryClass, method string) DropReason {
	refusal := DroppedClass
	for _, a := range contentAllowances[recordType] {
		switch a.refusal(c, method) {
		case "":
			return ""
		case DroppedMethod:
			refusal = DroppedMethod
		default:
		}
	}
	return refusal
}

// isResultPDF reports whether a type is one of the PDFs that includeResultPdf asks
// for (guide 7.4.1, 8.6.7).
func isResultPDF(recordType string) bool {
	switch recordType {
	case "result", "resultdata", "resultimages":
		return true
	default:
		return false
	}
}
