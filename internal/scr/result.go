package scr

import (
	"fmt"
	"log/slog"
	"time"
)

// Result is one case with all that guide 8 knows of it and its account may have.
// It holds personal data; printing or logging it shows none.
//
// What the API leaves out, sends as null, as {} or as "" is absent alike (facts
// C4): a nil pointer, an empty list, "" or the zero time. A ResultValue is absent
// only if it has neither value nor status, so that a change to an empty value
// stays one.
type Result struct {
	// Case is what ParseCase makes of the same answer.
	Case        Case
	OrderData   *OrderData
	ContactData *ContactDataResult
	// Identifications belong to those of the case, index by index.
	Identifications []IdentificationResult

	// Unknown are the fields that no source knows, by path, if they were to be kept.
	Unknown []UnknownField
	// UnknownTruncated says that there were more of them than MaxUnknown bytes hold.
	UnknownTruncated bool
	// Dropped is what is not in the result although the answer has it.
	Dropped []Dropped
}

// String names the case and shows nothing else.
func (r Result) String() string { return "scr result of " + r.Case.CaseID }

// GoString is String: %#v must not show personal data either.
func (r Result) GoString() string { return r.String() }

// LogValue implements slog.LogValuer.
func (r Result) LogValue() slog.Value {
	return slog.GroupValue(slog.String("case_id", r.Case.CaseID))
}

// UnknownField is a field that no source knows (guide 8.1), kept for an account
// that asked for it.
type UnknownField struct {
	Path string // from the answer's root, as RFC 9535 writes it, such as $.identifications[0].score
	JSON string // its value, without white space between its parts
}

// DropReason says why something of an answer is not in the result. It is fit for a
// metric's label.
type DropReason string

// The reasons.
const (
	DroppedUnknown     DropReason = "unknown"     // no source knows the field
	DroppedClass       DropReason = "class"       // the account's class may not have it
	DroppedMethod      DropReason = "method"      // identifications by this method do not have it
	DroppedShape       DropReason = "shape"       // not the shape that its place asks for
	DroppedConflict    DropReason = "conflict"    // it stands a second time, and differs
	DroppedSize        DropReason = "size"        // larger than any such field, or over the bound of unknown fields
	DroppedContent     DropReason = "content"     // binary content where none belongs
	DroppedUnrequested DropReason = "unrequested" // binary content that nobody asked for
	DroppedOrphan      DropReason = "orphan"      // it belongs to no identification
)

// Dropped counts what an answer has and its result has not. It never holds a value.
type Dropped struct {
	// Path is the names from the case down with dots between, without the indexes of
	// lists. An unknown name that could be a person's is "?"; after 50 unknown paths
	// the path is "other".
	Path string
	// Field is the guide's object and field with a dot between, "" if it is unknown.
	Field  string
	Reason DropReason
	Count  int
}

// ResultValue is a value and how it came to be (guide 8.5, 8.6.2, 8.6.3): new,
// match or change. Texts are the API's own.
type ResultValue struct {
	Value  string `json:"value"`
	Status string `json:"status"`
}

// RawJSON is a JSON text without white space between its parts, of a field whose
// type is disputed (facts C21). It is never null.
type RawJSON string

// ContactDataResult is guide 8.5, under either of its names (facts C1).
type ContactDataResult struct {
	Title       *ResultValue   `json:"title,omitempty"` // deprecated
	FirstName   *ResultValue   `json:"firstName,omitempty"`
	LastName    *ResultValue   `json:"lastName,omitempty"`
	MobilePhone *ResultValue   `json:"mobilePhone,omitempty"`
	Email       *ResultValue   `json:"email,omitempty"`
	Epost       *ResultValue   `json:"epost,omitempty"` // deprecated
	Address     *AddressResult `json:"address,omitempty"`
}

// AddressResult is guide 8.6.5.
type AddressResult struct {
	StreetAddress *ResultValue  `json:"streetAddress,omitempty"`
	Appendix      *ResultValue  `json:"appendix,omitempty"`
	PostalCode    *ResultValue  `json:"postalCode,omitempty"`
	City          *ResultValue  `json:"city,omitempty"`
	Country       *ResultValue  `json:"country,omitempty"`
	AddressMatch  *AddressMatch `json:"addressMatch,omitempty"`
}

// AddressMatch is guide 8.6.6.
type AddressMatch struct {
	MailRedirectionDomestic      *bool `json:"mailRedirectionDomestic,omitempty"`
	MailRedirectionInternational *bool `json:"mailRedirectionInternational,omitempty"`
	Undeliverable                *bool `json:"undeliverable,omitempty"`
	AddresseeDeceased            *bool `json:"addresseeDeceased,omitempty"`
}

// IdentificationResult is guide 8.6 without what Identification has of it.
type IdentificationResult struct {
	// Records are those of the method, of the document and of the licence, each once,
	// in this order; BelongsTo tells them apart.
	Records        []RecordResult                `json:"records,omitempty"`
	Document       *IdentificationDocumentResult `json:"identificationDocument,omitempty"`
	DrivingLicence *DrivingLicenceResult         `alias:"drivingLicense" json:"drivingLicence,omitempty"`
	Basic          *AdditionalDataBasic          `json:"additionalDataBasic,omitempty"`
	EID            *AdditionalDataEid            `json:"additionalDataEid,omitempty"`
	Video          *AdditionalDataVideo          `json:"additionalDataVideo,omitempty"`
}

// String shows nothing of it.
func (IdentificationResult) String() string { return "scr identification result" }

// GoString is String.
func (i IdentificationResult) GoString() string { return i.String() }

// IdentificationDocumentResult is guide 8.6.2. Type is the text of a number, 1 to
// 13 as far as is known; dates are ISO 8601.
type IdentificationDocumentResult struct {
	CountryOfDocument *ResultValue   `json:"countryOfDocument,omitempty"`
	Type              *ResultValue   `json:"type,omitempty"`
	Number            *ResultValue   `json:"number,omitempty"`
	FirstName         *ResultValue   `json:"firstName,omitempty"`
	LastName          *ResultValue   `json:"lastName,omitempty"`
	BirthName         *ResultValue   `json:"birthName,omitempty"`
	BirthDate         *ResultValue   `json:"birthDate,omitempty"`
	BirthPlace        *ResultValue   `json:"birthPlace,omitempty"`
	Nationality       *ResultValue   `json:"nationality,omitempty"`
	Address           *AddressResult `json:"address,omitempty"`
	DateIssued        *ResultValue   `json:"dateIssued,omitempty"`
	DateOfExpiry      *ResultValue   `json:"dateOfExpiry,omitempty"`
	Authority         *ResultValue   `json:"authority,omitempty"`
	PlaceOfIssue      *ResultValue   `json:"placeOfIssue,omitempty"`
}

// DrivingLicenceResult is guide 8.6.3. No class may have BirthPlace, DateIssued and
// Authority (facts C29); they are here to be known, and always nil.
type DrivingLicenceResult struct {
	CountryOfDocument     *ResultValue                  `json:"countryOfDocument,omitempty"`
	Number                *ResultValue                  `json:"number,omitempty"`
	FirstName             *ResultValue                  `json:"firstName,omitempty"`
	LastName              *ResultValue                  `json:"lastName,omitempty"`
	BirthDate             *ResultValue                  `json:"birthDate,omitempty"`
	BirthPlace            *ResultValue                  `json:"birthPlace,omitempty"`
	DrivingLicenceClasses []DrivingLicenceClassesResult `alias:"drivingLicenseClasses" json:"drivingLicenceClasses,omitempty"`
	Restrictions          *ResultValue                  `json:"restrictions,omitempty"`
	DateIssued            *ResultValue                  `json:"dateIssued,omitempty"`
	DateOfExpiry          *ResultValue                  `json:"dateOfExpiry,omitempty"`
	Authority             *ResultValue                  `json:"authority,omitempty"`
}

// DrivingLicenceClassesResult is guide 8.6.4.
type DrivingLicenceClassesResult struct {
	ClassName    *ResultValue `json:"className,omitempty"`
	DateIssued   *ResultValue `json:"dateIssued,omitempty"`
	DateOfExpiry *ResultValue `json:"dateOfExpiry,omitempty"`
	Restrictions *ResultValue `json:"restrictions,omitempty"`
}

// RecordResult is guide 8.6.7 without the content, which RecordContent gives. It is
// Record with what the agent typed.
type RecordResult struct {
	ID                  string `json:"recordId,omitempty"`
	BelongsTo           string `json:"belongsTo,omitempty"`
	Type                string `json:"type,omitempty"`
	ValidationStatus    string `json:"validationStatus,omitempty"`
	ValidationSubStatus string `json:"validationSubStatus,omitempty"`
	ValidationRemark    string `json:"validationRemark,omitempty"`
	MimeType            string `json:"mimeType,omitempty"`
	FileName            string `json:"fileName,omitempty"`
}

// AdditionalDataBasic is guide 8.6.8. A count of 0 is not an absent one.
type AdditionalDataBasic struct {
	CouponByPiAppRequestCount         *int64             `json:"couponByPiAppRequestCount,omitempty"`
	CouponByPiAppRequestLastTimestamp time.Time          `json:"couponByPiAppRequestLastTimestamp,omitzero"`
	CouponByTpAppRequestCount         *int64             `json:"couponByTpAppRequestCount,omitempty"`
	CouponByTpAppRequestLastTimestamp time.Time          `json:"couponByTpAppRequestLastTimestamp,omitzero"`
	CouponDownloadCount               *int64             `json:"couponDownloadCount,omitempty"`
	CouponDownloadLastTimestamp       time.Time          `json:"couponDownloadLastTimestamp,omitzero"`
	CouponByEmailRequestCount         *int64             `json:"couponByEmailRequestCount,omitempty"`
	CouponByEmailRequestLastTimestamp time.Time          `json:"couponByEmailRequestLastTimestamp,omitzero"`
	PostOffice                        string             `json:"postOffice,omitempty"`
	PostOfficeStreetAddress           string             `json:"postOfficeStreetAddress,omitempty"`
	PostOfficeCity                    string             `json:"postOfficeCity,omitempty"`
	CheckoutNote                      string             `json:"checkoutNote,omitempty"`
	IDCardReaderCheck                 *IDCardReaderCheck `json:"idCardReaderCheck,omitempty"`
}

// IDCardReaderCheck is IdCardReaderCheck of guide 8.6.8.
type IDCardReaderCheck struct {
	CheckedCategories []IDCardReaderCheckCategory `json:"checkedCategories,omitempty"`
}

// IDCardReaderCheckCategory is IdCardReaderCheckCategories of guide 8.6.8.
type IDCardReaderCheckCategory struct {
	Name         string                      `json:"name,omitempty"`
	Status       string                      `json:"status,omitempty"`
	FailedChecks []FailedCheckOfIDCardReader `json:"failedChecksOfIdCardReader,omitempty"`
}

// FailedCheckOfIDCardReader is FailedCheckOfIdCardReader of guide 8.6.8.
type FailedCheckOfIDCardReader struct {
	CheckName             string                                `json:"checkName,omitempty"`
	SubCheckName          string                                `json:"subCheckName,omitempty"`
	AdditionalInformation []AdditionalInformationForIDCardCheck `json:"additionalInformation,omitempty"`
}

// AdditionalInformationForIDCardCheck is guide 8.6.8.
type AdditionalInformationForIDCardCheck struct {
	Key   string `json:"key,omitempty"`
	Value string `json:"value,omitempty"`
}

// AdditionalDataEid is guide 8.6.9. The dkk is personal data, the same for one card
// and one provider (facts 3).
type AdditionalDataEid struct {
	DKK string `json:"dkk,omitempty"`
}

// AdditionalDataVideo is guide 8.6.10, with the other spellings of facts C20 and 3.
// What kind of value two of its fields have is disputed (facts C21).
type AdditionalDataVideo struct {
	IdentificationServiceCenter string    `alias:"identificationServiceCenterVideo" json:"identificationServiceCenter,omitempty"`
	IdentificationAgentAliases  RawJSON   `alias:"identificationAgentAlias" json:"identificationAgentAliases,omitempty"`
	IdentReviews                RawJSON   `json:"identReviews,omitempty"`
	VideoRecordingAccepted      time.Time `json:"videoRecordingAccepted,omitzero"`
	VideoRecordingDeliveryShaft *bool     `json:"videoRecordingDeliveryShaft,omitempty"`
	TanChannel                  string    `json:"tanChannel,omitempty"`
}

// OrderData is what the case was started with (guide 8.4; facts 2.3, 2.4). It is
// the client's own data, for which the guide has no rules by class.
type OrderData struct {
	CustomData             *CustomData                     `json:"customData,omitempty"`
	ProcessData            *ProcessData                    `json:"processData,omitempty"`
	ContactData            *ContactDataProvided            `json:"contactDataProvided,omitempty"`
	IdentificationDocument *IdentificationDocumentProvided `json:"identificationDocumentProvided,omitempty"`
	DrivingLicence         *DrivingLicenceProvided         `alias:"drivingLicenseProvided" json:"drivingLicenceProvided,omitempty"`
}

// CustomData is the client's own, and can hold what people typed.
type CustomData struct {
	Custom1 string `json:"custom1,omitempty"`
	Custom2 string `json:"custom2,omitempty"`
	Custom3 string `json:"custom3,omitempty"`
	Custom4 string `json:"custom4,omitempty"`
	Custom5 string `json:"custom5,omitempty"`
}

// ProcessData is facts 2.4.
type ProcessData struct {
	TargetCountry                 string       `json:"targetCountry,omitempty"`
	PreferredLanguage             string       `json:"preferredLanguage,omitempty"`
	ReferenceID                   string       `json:"referenceId,omitempty"`
	WebHookURL                    string       `alias:"webHookURL" json:"webHookUrl,omitempty"`
	WebHookURLPartner             string       `alias:"webHookURLPartner" json:"webHookUrlPartner,omitempty"`
	CallbackURLCouponRequested    *CallbackURL `json:"callbackUrlCouponRequested,omitempty"`
	CallbackURLReviewPending      *CallbackURL `json:"callbackUrlReviewPending,omitempty"`
	CallbackURLIncomplete         *CallbackURL `json:"callbackUrlIncomplete,omitempty"`
	CallbackURLSuccess            *CallbackURL `json:"callbackUrlSuccess,omitempty"`
	CallbackURLDeclined           *CallbackURL `json:"callbackUrlDeclined,omitempty"`
	CallbackURLCancelledAndClosed *CallbackURL `json:"callbackUrlCancelledAndClosed,omitempty"`
}

// CallbackURL is one address a platform (facts 2.4).
type CallbackURL struct {
	WebURL     string `json:"webUrl,omitempty"`
	IOSURL     string `json:"iOSUrl,omitempty"`
	AndroidURL string `json:"androidUrl,omitempty"`
}

// ContactDataProvided is facts 2.3.
type ContactDataProvided struct {
	Title       string           `json:"title,omitempty"`
	FirstName   string           `alias:"firstname" json:"firstName,omitempty"`
	LastName    string           `json:"lastName,omitempty"`
	MobilePhone string           `json:"mobilePhone,omitempty"`
	Email       string           `json:"email,omitempty"`
	Epost       string           `json:"epost,omitempty"`
	Address     *AddressProvided `json:"address,omitempty"`
}

// AddressProvided is facts 2.3.
type AddressProvided struct {
	StreetAddress string `json:"streetAddress,omitempty"`
	Appendix      string `json:"appendix,omitempty"`
	PostalCode    string `json:"postalCode,omitempty"`
	City          string `json:"city,omitempty"`
	Country       string `json:"country,omitempty"`
}

// IdentificationDocumentProvided is facts 2.3.
type IdentificationDocumentProvided struct {
	CountryOfDocument string           `json:"countryOfDocument,omitempty"`
	Type              string           `json:"type,omitempty"`
	Number            string           `json:"number,omitempty"`
	FirstName         string           `json:"firstName,omitempty"`
	LastName          string           `json:"lastName,omitempty"`
	BirthName         string           `json:"birthName,omitempty"`
	BirthDate         string           `json:"birthDate,omitempty"`
	BirthPlace        string           `json:"birthPlace,omitempty"`
	Nationality       string           `json:"nationality,omitempty"`
	Address           *AddressProvided `json:"address,omitempty"`
	DateIssued        string           `json:"dateIssued,omitempty"`
	DateOfExpiry      string           `json:"dateOfExpiry,omitempty"`
	Authority         string           `json:"authority,omitempty"`
	PlaceOfIssue      string           `json:"placeOfIssue,omitempty"`
}

// DrivingLicenceProvided is facts 2.3.
type DrivingLicenceProvided struct {
	CountryOfDocument     string                        `json:"countryOfDocument,omitempty"`
	Number                string                        `json:"number,omitempty"`
	FirstName             string                        `json:"firstName,omitempty"`
	LastName              string                        `json:"lastName,omitempty"`
	BirthDate             string                        `json:"birthDate,omitempty"`
	BirthPlace            string                        `json:"birthPlace,omitempty"`
	DrivingLicenceClasses []DrivingLicenceClassProvided `alias:"drivingLicenseClasses" json:"drivingLicenceClasses,omitempty"`
	Restrictions          string                        `json:"restrictions,omitempty"`
	DateIssued            string                        `json:"dateIssued,omitempty"`
	DateOfExpiry          string                        `json:"dateOfExpiry,omitempty"`
	Authority             string                        `json:"authority,omitempty"`
}

// DrivingLicenceClassProvided is facts 2.3.
type DrivingLicenceClassProvided struct {
	ClassName    string `json:"className,omitempty"`
	DateIssued   string `json:"dateIssued,omitempty"`
	DateOfExpiry string `json:"dateOfExpiry,omitempty"`
	Restrictions string `json:"restrictions,omitempty"`
}

// Bounds of a result.
const (
	// DefaultMaxUnknown is how many bytes unknown fields may take, paths included,
	// where ResultRequest leaves it zero.
	DefaultMaxUnknown = 64 << 10

	maxText  = 8 << 10  // of a typed text; the longest that is known is 500
	maxRaw   = 32 << 10 // of a RawJSON
	maxNodes = 1 << 16  // known fields and list entries of an answer; a real one has some hundred
)

// ResultRequest says what is wanted of a case.
type ResultRequest struct {
	// Class is the account's, without which there is no result.
	Class RegulatoryClass
	// Binary asks for the content of records (includeBinaryData, guide 7.4.1).
	Binary bool
	// PDF asks for the result PDF (includeResultPdf): its metadata, and with Binary its
	// content.
	PDF bool
	// AtOnce is how many contents are handed out at a time. Zero means one, in the
	// order of the answer.
	AtOnce int
	// KeepUnknown keeps the fields that no source knows instead of dropping them.
	KeepUnknown bool
	// MaxUnknown bounds them in bytes. Zero means DefaultMaxUnknown.
	MaxUnknown int
}

func (r ResultRequest) validate() error {
	switch {
	case classOf(r.Class) == 0:
		return fmt.Errorf("class %q: not a regulatory class", r.Class)
	case r.AtOnce < 0:
		return fmt.Errorf("contents at once: negative")
	case r.MaxUnknown < 0:
		return fmt.Errorf("bound of unknown fields: negative")
	default:
		return nil
	}
}
