package schemas

import "time"

// IdentificationResult is the value of result.v1: the result of one
// identification (guide 8), as far as the account's class allows. It holds
// personal data. It goes out with the status event of each final status, in the
// same transaction, under the same key and with the same headers; or alone,
// where an account asked for results only after that event.
//
// Facts C4 say that absent, null, {} and "" mean the same, but "absent" is not
// "changed to empty". So: a nil pointer is a field that the API left out or gave
// as null or {}, and a text may be "" where it was changed to that. Lists do not
// tell nil from empty.
type IdentificationResult struct {
	EventID         string          `avro:"eventId"` // of the status event it belongs to
	ClientID        string          `avro:"clientId"`
	CaseID          string          `avro:"caseId"`
	ReferenceID     *string         `avro:"referenceId"`
	Sequence        *int64          `avro:"sequence"` // of the status event in the same transaction; nil where it went out alone
	Method          Method          `avro:"method"`
	MethodText      *string         `avro:"methodText"` // the API's text when method is unknown
	RegulatoryClass RegulatoryClass `avro:"regulatoryClass"`
	StatusType      StatusType      `avro:"statusType"`
	Status          Status          `avro:"status"`
	StatusText      *string         `avro:"statusText"` // the API's text when status is unknown
	SubStatus       *StatusCode     `avro:"subStatus"`
	SubStatusReason *StatusCode     `avro:"subStatusReason"`
	Identification  *Identification `avro:"identification"`
	CaseStatus      CaseStatus      `avro:"caseStatus"`
	AccountingData  *AccountingData `avro:"accountingData"`

	OrderData              *OrderData              `avro:"orderData"`
	ContactData            *ContactData            `avro:"contactData"`
	IdentificationDocument *IdentificationDocument `avro:"identificationDocument"`
	DrivingLicence         *DrivingLicence         `avro:"drivingLicence"`
	Records                []ResultRecord          `avro:"records"` // of the method, the document and the licence, in this order
	RecordsState           *RecordsState           `avro:"recordsState"`
	AdditionalDataBasic    *AdditionalDataBasic    `avro:"additionalDataBasic"`
	AdditionalDataEid      *AdditionalDataEid      `avro:"additionalDataEid"`
	AdditionalDataVideo    *AdditionalDataVideo    `avro:"additionalDataVideo"`

	UnknownFields          []UnknownField `avro:"unknownFields"` // in the order of their paths
	UnknownFieldsTruncated bool           `avro:"unknownFieldsTruncated"`

	ObservedAt time.Time `avro:"observedAt"`
	ObservedBy Source    `avro:"observedBy"`
	Anomaly    *Anomaly  `avro:"anomaly"`
	// Nonce is NonceBytes long and random, new for every value that is written:
	// without it, StatusChanged.ResultDigest would allow to guess the result.
	Nonce []byte `avro:"nonce"`
}

// ResultStatus says how a value compares with what the order provided (guide
// 8.5, 8.6.2, 8.6.3) as an Avro enum.
type ResultStatus string

// The result statuses. ResultStatusUnknown is the default symbol, with the API's
// own text in statusText. ResultStatusUnchecked is known from another of the
// sender's APIs (facts 3).
const (
	ResultStatusUnknown   ResultStatus = "unknown"
	ResultStatusNew       ResultStatus = "new"
	ResultStatusMatch     ResultStatus = "match"
	ResultStatusChange    ResultStatus = "change"
	ResultStatusUnchecked ResultStatus = "unchecked"
)

// ResultValue is a value with its comparison (guide 8.5).
type ResultValue struct {
	Value      *string       `avro:"value"`
	Status     *ResultStatus `avro:"status"`     // nil where the API did not say
	StatusText *string       `avro:"statusText"` // the API's text when status is unknown
}

// ContactData is guide 8.5.
type ContactData struct {
	Title       *ResultValue `avro:"title"`
	FirstName   *ResultValue `avro:"firstName"`
	LastName    *ResultValue `avro:"lastName"`
	MobilePhone *ResultValue `avro:"mobilePhone"`
	Email       *ResultValue `avro:"email"`
	Epost       *ResultValue `avro:"epost"`
	Address     *Address     `avro:"address"`
}

// Address is guide 8.6.5.
type Address struct {
	StreetAddress *ResultValue  `avro:"streetAddress"`
	Appendix      *ResultValue  `avro:"appendix"`
	PostalCode    *ResultValue  `avro:"postalCode"`
	City          *ResultValue  `avro:"city"`
	Country       *ResultValue  `avro:"country"`
	AddressMatch  *AddressMatch `avro:"addressMatch"`
}

// AddressMatch is guide 8.6.6.
type AddressMatch struct {
	MailRedirectionDomestic      *bool `avro:"mailRedirectionDomestic"`
	MailRedirectionInternational *bool `avro:"mailRedirectionInternational"`
	Undeliverable                *bool `avro:"undeliverable"`
	AddresseeDeceased            *bool `avro:"addresseeDeceased"`
}

// IdentificationDocument is guide 8.6.2. Its records are in
// IdentificationResult.Records.
type IdentificationDocument struct {
	CountryOfDocument *ResultValue `avro:"countryOfDocument"`
	Type              *ResultValue `avro:"type"` // the guide's number, "1" to "13"
	Number            *ResultValue `avro:"number"`
	FirstName         *ResultValue `avro:"firstName"`
	LastName          *ResultValue `avro:"lastName"`
	BirthName         *ResultValue `avro:"birthName"`
	BirthDate         *ResultValue `avro:"birthDate"` // this and all other dates: ISO 8601 as the API gave it
	BirthPlace        *ResultValue `avro:"birthPlace"`
	Nationality       *ResultValue `avro:"nationality"`
	Address           *Address     `avro:"address"`
	DateIssued        *ResultValue `avro:"dateIssued"`
	DateOfExpiry      *ResultValue `avro:"dateOfExpiry"`
	Authority         *ResultValue `avro:"authority"`
	PlaceOfIssue      *ResultValue `avro:"placeOfIssue"`
}

// DrivingLicence is guide 8.6.3. Its records are in
// IdentificationResult.Records.
type DrivingLicence struct {
	CountryOfDocument     *ResultValue          `avro:"countryOfDocument"`
	Number                *ResultValue          `avro:"number"`
	FirstName             *ResultValue          `avro:"firstName"`
	LastName              *ResultValue          `avro:"lastName"`
	BirthDate             *ResultValue          `avro:"birthDate"`
	BirthPlace            *ResultValue          `avro:"birthPlace"`
	DrivingLicenceClasses []DrivingLicenceClass `avro:"drivingLicenceClasses"`
	Restrictions          *ResultValue          `avro:"restrictions"`
	DateIssued            *ResultValue          `avro:"dateIssued"`
	DateOfExpiry          *ResultValue          `avro:"dateOfExpiry"`
	Authority             *ResultValue          `avro:"authority"`
}

// DrivingLicenceClass is guide 8.6.4.
type DrivingLicenceClass struct {
	ClassName    *ResultValue `avro:"className"`
	DateIssued   *ResultValue `avro:"dateIssued"`
	DateOfExpiry *ResultValue `avro:"dateOfExpiry"`
	Restrictions *ResultValue `avro:"restrictions"`
}

// ResultRecord is one binary record (guide 8.6.7) as the result names it.
type ResultRecord struct {
	// Metadata is what the status event says of the record, too. Where the API
	// leaves belongsTo out, it is the place of the record in the answer.
	Metadata         RecordMetadata `avro:"metadata"`
	ValidationRemark *string        `avro:"validationRemark"` // what the agent typed
}

// UnknownField is a field of the answer that this release does not know (guide
// 8.1), of accounts that keep them.
type UnknownField struct {
	Path string `avro:"path"` // JSON path in the answer
	JSON string `avro:"json"` // its value, keys in order, without binary content
}

// AdditionalDataBasic is guide 8.6.8.
type AdditionalDataBasic struct {
	CouponByPiAppRequestCount         *int64             `avro:"couponByPiAppRequestCount"`
	CouponByPiAppRequestLastTimestamp *time.Time         `avro:"couponByPiAppRequestLastTimestamp"`
	CouponByTpAppRequestCount         *int64             `avro:"couponByTpAppRequestCount"`
	CouponByTpAppRequestLastTimestamp *time.Time         `avro:"couponByTpAppRequestLastTimestamp"`
	CouponDownloadCount               *int64             `avro:"couponDownloadCount"`
	CouponDownloadLastTimestamp       *time.Time         `avro:"couponDownloadLastTimestamp"`
	CouponByEmailRequestCount         *int64             `avro:"couponByEmailRequestCount"`
	CouponByEmailRequestLastTimestamp *time.Time         `avro:"couponByEmailRequestLastTimestamp"`
	PostOffice                        *string            `avro:"postOffice"`
	PostOfficeStreetAddress           *string            `avro:"postOfficeStreetAddress"`
	PostOfficeCity                    *string            `avro:"postOfficeCity"`
	CheckoutNote                      *string            `avro:"checkoutNote"`
	IDCardReaderCheck                 *IDCardReaderCheck `avro:"idCardReaderCheck"`
}

// IDCardReaderCheck is IdCardReaderCheck of guide 8.6.8.
type IDCardReaderCheck struct {
	CheckedCategories []IDCardReaderCheckCategory `avro:"checkedCategories"`
}

// IDCardReaderCheckCategory is IdCardReaderCheckCategories of guide 8.6.8.
type IDCardReaderCheckCategory struct {
	Name                       *string                   `avro:"name"`
	Status                     *string                   `avro:"status"`
	FailedChecksOfIDCardReader []FailedIDCardReaderCheck `avro:"failedChecksOfIdCardReader"`
}

// FailedIDCardReaderCheck is FailedCheckOfIdCardReader of guide 8.6.8.
type FailedIDCardReaderCheck struct {
	CheckName             *string                   `avro:"checkName"`
	SubCheckName          *string                   `avro:"subCheckName"`
	AdditionalInformation []IDCardReaderInformation `avro:"additionalInformation"`
}

// IDCardReaderInformation is AdditionalInformationForIDCardCheck of guide 8.6.8.
type IDCardReaderInformation struct {
	Key   *string `avro:"key"`
	Value *string `avro:"value"`
}

// AdditionalDataEid is guide 8.6.9.
type AdditionalDataEid struct {
	DKK *string `avro:"dkk"`
}

// AdditionalDataVideo is guide 8.6.10.
type AdditionalDataVideo struct {
	IdentificationServiceCenter *string `avro:"identificationServiceCenter"` // either spelling (facts C20)
	// IdentificationAgentAliases and IdentReviews are JSON text: sources
	// disagree on their types (facts C21).
	IdentificationAgentAliases  *string    `avro:"identificationAgentAliases"`
	IdentReviews                *string    `avro:"identReviews"`
	VideoRecordingAccepted      *time.Time `avro:"videoRecordingAccepted"`
	VideoRecordingDeliveryShaft *bool      `avro:"videoRecordingDeliveryShaft"`
	TanChannel                  *string    `avro:"tanChannel"`
}
