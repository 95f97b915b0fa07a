package schemas

// OrderData is what the order said (guide 8.4; its fields are those of guide 1,
// facts 2.3 and 2.4).
type OrderData struct {
	CustomData                     *CustomData                     `avro:"customData"`
	ProcessData                    *ProcessData                    `avro:"processData"`
	ContactDataProvided            *ContactDataProvided            `avro:"contactDataProvided"`
	IdentificationDocumentProvided *IdentificationDocumentProvided `avro:"identificationDocumentProvided"`
	DrivingLicenceProvided         *DrivingLicenceProvided         `avro:"drivingLicenceProvided"`
}

// CustomData are the order's free texts: whatever people typed.
type CustomData struct {
	Custom1 *string `avro:"custom1"`
	Custom2 *string `avro:"custom2"`
	Custom3 *string `avro:"custom3"`
	Custom4 *string `avro:"custom4"`
	Custom5 *string `avro:"custom5"`
}

// ProcessData is how the order is processed. Addresses are to be without
// credentials: whoever fills it in removes them.
type ProcessData struct {
	TargetCountry                 *string      `avro:"targetCountry"`
	PreferredLanguage             *string      `avro:"preferredLanguage"`
	WebHookURL                    *string      `avro:"webHookUrl"`
	WebHookURLPartner             *string      `avro:"webHookUrlPartner"`
	ReferenceID                   *string      `avro:"referenceId"`
	CallbackURLCouponRequested    *CallbackURL `avro:"callbackUrlCouponRequested"`
	CallbackURLReviewPending      *CallbackURL `avro:"callbackUrlReviewPending"`
	CallbackURLIncomplete         *CallbackURL `avro:"callbackUrlIncomplete"`
	CallbackURLSuccess            *CallbackURL `avro:"callbackUrlSuccess"`
	CallbackURLDeclined           *CallbackURL `avro:"callbackUrlDeclined"`
	CallbackURLCancelledAndClosed *CallbackURL `avro:"callbackUrlCancelledAndClosed"`
}

// CallbackURL is where the user is led back to, by platform.
type CallbackURL struct {
	WebURL     *string `avro:"webUrl"`
	IOSURL     *string `avro:"iOSUrl"`
	AndroidURL *string `avro:"androidUrl"`
}

// ContactDataProvided are contact data as the order gave them.
type ContactDataProvided struct {
	Title       *string          `avro:"title"`
	FirstName   *string          `avro:"firstName"`
	LastName    *string          `avro:"lastName"`
	MobilePhone *string          `avro:"mobilePhone"`
	Email       *string          `avro:"email"`
	Epost       *string          `avro:"epost"`
	Address     *AddressProvided `avro:"address"`
}

// AddressProvided is an address as the order gave it.
type AddressProvided struct {
	StreetAddress *string `avro:"streetAddress"`
	Appendix      *string `avro:"appendix"`
	PostalCode    *string `avro:"postalCode"`
	City          *string `avro:"city"`
	Country       *string `avro:"country"`
}

// IdentificationDocumentProvided are data of the document as the order gave
// them.
type IdentificationDocumentProvided struct {
	CountryOfDocument *string          `avro:"countryOfDocument"`
	Type              *string          `avro:"type"`
	Number            *string          `avro:"number"`
	FirstName         *string          `avro:"firstName"`
	LastName          *string          `avro:"lastName"`
	BirthName         *string          `avro:"birthName"`
	BirthDate         *string          `avro:"birthDate"`
	BirthPlace        *string          `avro:"birthPlace"`
	Nationality       *string          `avro:"nationality"`
	Address           *AddressProvided `avro:"address"`
	DateIssued        *string          `avro:"dateIssued"`
	DateOfExpiry      *string          `avro:"dateOfExpiry"`
	Authority         *string          `avro:"authority"`
	PlaceOfIssue      *string          `avro:"placeOfIssue"`
}

// DrivingLicenceProvided are data of the licence as the order gave them.
type DrivingLicenceProvided struct {
	CountryOfDocument     *string                       `avro:"countryOfDocument"`
	Number                *string                       `avro:"number"`
	FirstName             *string                       `avro:"firstName"`
	LastName              *string                       `avro:"lastName"`
	BirthDate             *string                       `avro:"birthDate"`
	BirthPlace            *string                       `avro:"birthPlace"`
	DrivingLicenceClasses []DrivingLicenceClassProvided `avro:"drivingLicenceClasses"`
	Restrictions          *string                       `avro:"restrictions"`
	DateIssued            *string                       `avro:"dateIssued"`
	DateOfExpiry          *string                       `avro:"dateOfExpiry"`
	Authority             *string                       `avro:"authority"`
}

// DrivingLicenceClassProvided is a vehicle class as the order gave it.
type DrivingLicenceClassProvided struct {
	ClassName    *string `avro:"className"`
	DateIssued   *string `avro:"dateIssued"`
	DateOfExpiry *string `avro:"dateOfExpiry"`
	Restrictions *string `avro:"restrictions"`
}
