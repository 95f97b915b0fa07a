package publish

import (
	"net/url"
	"strings"
	"time"

	"postident-bridge/internal/scr"
	"postident-bridge/schemas"
)

// The parts of a result as the topic has them, field by field. What the API leaves
// out is nil.

func orderData(v *scr.OrderData) *schemas.OrderData {
	if v == nil {
		return nil
	}
	return &schemas.OrderData{
		CustomData:                     customData(v.CustomData),
		ProcessData:                    processData(v.ProcessData),
		ContactDataProvided:            contactProvided(v.ContactData),
		IdentificationDocumentProvided: documentProvided(v.IdentificationDocument),
		DrivingLicenceProvided:         licenceProvided(v.DrivingLicence),
	}
}

func customData(v *scr.CustomData) *schemas.CustomData {
	if v == nil {
		return nil
	}
	return &schemas.CustomData{
		Custom1: textOrNil(v.Custom1),
		Custom2: textOrNil(v.Custom2),
		Custom3: textOrNil(v.Custom3),
		Custom4: textOrNil(v.Custom4),
		Custom5: textOrNil(v.Custom5),
	}
}

func processData(v *scr.ProcessData) *schemas.ProcessData {
	if v == nil {
		return nil
	}
	return &schemas.ProcessData{
		TargetCountry:                 textOrNil(v.TargetCountry),
		PreferredLanguage:             textOrNil(v.PreferredLanguage),
		ReferenceID:                   textOrNil(v.ReferenceID),
		WebHookURL:                    address(v.WebHookURL),
		WebHookURLPartner:             address(v.WebHookURLPartner),
		CallbackURLCouponRequested:    callbackURL(v.CallbackURLCouponRequested),
		CallbackURLReviewPending:      callbackURL(v.CallbackURLReviewPending),
		CallbackURLIncomplete:         callbackURL(v.CallbackURLIncomplete),
		CallbackURLSuccess:            callbackURL(v.CallbackURLSuccess),
		CallbackURLDeclined:           callbackURL(v.CallbackURLDeclined),
		CallbackURLCancelledAndClosed: callbackURL(v.CallbackURLCancelledAndClosed),
	}
}

func callbackURL(v *scr.CallbackURL) *schemas.CallbackURL {
	if v == nil {
		return nil
	}
	return &schemas.CallbackURL{
		WebURL:     address(v.WebURL),
		IOSURL:     address(v.IOSURL),
		AndroidURL: address(v.AndroidURL),
	}
}

// address is a URL without credentials. One that cannot be read may hide some, and is
// left out; so is one without "//", in which a name may be taken for the scheme.
func address(text string) *string {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || strings.Contains(u.Opaque, "@") {
		return nil
	}
	u.User = nil
	return new(u.String())
}

func contactProvided(v *scr.ContactDataProvided) *schemas.ContactDataProvided {
	if v == nil {
		return nil
	}
	return &schemas.ContactDataProvided{
		Title:       textOrNil(v.Title),
		FirstName:   textOrNil(v.FirstName),
		LastName:    textOrNil(v.LastName),
		MobilePhone: textOrNil(v.MobilePhone),
		Email:       textOrNil(v.Email),
		Epost:       textOrNil(v.Epost),
		Address:     addressProvided(v.Address),
	}
}

func addressProvided(v *scr.AddressProvided) *schemas.AddressProvided {
	if v == nil {
		return nil
	}
	return &schemas.AddressProvided{
		StreetAddress: textOrNil(v.StreetAddress),
		Appendix:      textOrNil(v.Appendix),
		PostalCode:    textOrNil(v.PostalCode),
		City:          textOrNil(v.City),
		Country:       textOrNil(v.Country),
	}
}

func documentProvided(v *scr.IdentificationDocumentProvided) *schemas.IdentificationDocumentProvided {
	if v == nil {
		return nil
	}
	return &schemas.IdentificationDocumentProvided{
		CountryOfDocument: textOrNil(v.CountryOfDocument),
		Type:              textOrNil(v.Type),
		Number:            textOrNil(v.Number),
		FirstName:         textOrNil(v.FirstName),
		LastName:          textOrNil(v.LastName),
		BirthName:         textOrNil(v.BirthName),
		BirthDate:         textOrNil(v.BirthDate),
		BirthPlace:        textOrNil(v.BirthPlace),
		Nationality:       textOrNil(v.Nationality),
		Address:           addressProvided(v.Address),
		DateIssued:        textOrNil(v.DateIssued),
		DateOfExpiry:      textOrNil(v.DateOfExpiry),
		Authority:         textOrNil(v.Authority),
		PlaceOfIssue:      textOrNil(v.PlaceOfIssue),
	}
}

func licenceProvided(v *scr.DrivingLicenceProvided) *schemas.DrivingLicenceProvided {
	if v == nil {
		return nil
	}
	return &schemas.DrivingLicenceProvided{
		CountryOfDocument:     textOrNil(v.CountryOfDocument),
		Number:                textOrNil(v.Number),
		FirstName:             textOrNil(v.FirstName),
		LastName:              textOrNil(v.LastName),
		BirthDate:             textOrNil(v.BirthDate),
		BirthPlace:            textOrNil(v.BirthPlace),
		DrivingLicenceClasses: each(v.DrivingLicenceClasses, classProvided),
		Restrictions:          textOrNil(v.Restrictions),
		DateIssued:            textOrNil(v.DateIssued),
		DateOfExpiry:          textOrNil(v.DateOfExpiry),
		Authority:             textOrNil(v.Authority),
	}
}

func classProvided(v scr.DrivingLicenceClassProvided) schemas.DrivingLicenceClassProvided {
	return schemas.DrivingLicenceClassProvided{
		ClassName: textOrNil(v.ClassName), DateIssued: textOrNil(v.DateIssued), DateOfExpiry: textOrNil(v.DateOfExpiry), Restrictions: textOrNil(v.Restrictions),
	}
}

func contactData(v *scr.ContactDataResult) *schemas.ContactData {
	if v == nil {
		return nil
	}
	return &schemas.ContactData{
		Title:       resultValue(v.Title),
		FirstName:   resultValue(v.FirstName),
		LastName:    resultValue(v.LastName),
		MobilePhone: resultValue(v.MobilePhone),
		Email:       resultValue(v.Email),
		Epost:       resultValue(v.Epost),
		Address:     addressResult(v.Address),
	}
}

func addressResult(v *scr.AddressResult) *schemas.Address {
	if v == nil {
		return nil
	}
	return &schemas.Address{
		StreetAddress: resultValue(v.StreetAddress),
		Appendix:      resultValue(v.Appendix),
		PostalCode:    resultValue(v.PostalCode),
		City:          resultValue(v.City),
		Country:       resultValue(v.Country),
		AddressMatch:  addressMatch(v.AddressMatch),
	}
}

func addressMatch(v *scr.AddressMatch) *schemas.AddressMatch {
	if v == nil {
		return nil
	}
	return &schemas.AddressMatch{
		MailRedirectionDomestic:      v.MailRedirectionDomestic,
		MailRedirectionInternational: v.MailRedirectionInternational,
		Undeliverable:                v.Undeliverable,
		AddresseeDeceased:            v.AddresseeDeceased,
	}
}

func document(v *scr.IdentificationDocumentResult) *schemas.IdentificationDocument {
	if v == nil {
		return nil
	}
	return &schemas.IdentificationDocument{
		CountryOfDocument: resultValue(v.CountryOfDocument),
		Type:              resultValue(v.Type),
		Number:            resultValue(v.Number),
		FirstName:         resultValue(v.FirstName),
		LastName:          resultValue(v.LastName),
		BirthName:         resultValue(v.BirthName),
		BirthDate:         resultValue(v.BirthDate),
		BirthPlace:        resultValue(v.BirthPlace),
		Nationality:       resultValue(v.Nationality),
		Address:           addressResult(v.Address),
		DateIssued:        resultValue(v.DateIssued),
		DateOfExpiry:      resultValue(v.DateOfExpiry),
		Authority:         resultValue(v.Authority),
		PlaceOfIssue:      resultValue(v.PlaceOfIssue),
	}
}

func licence(v *scr.DrivingLicenceResult) *schemas.DrivingLicence {
	if v == nil {
		return nil
	}
	return &schemas.DrivingLicence{
		CountryOfDocument:     resultValue(v.CountryOfDocument),
		Number:                resultValue(v.Number),
		FirstName:             resultValue(v.FirstName),
		LastName:              resultValue(v.LastName),
		BirthDate:             resultValue(v.BirthDate),
		BirthPlace:            resultValue(v.BirthPlace),
		DrivingLicenceClasses: each(v.DrivingLicenceClasses, licenceClass),
		Restrictions:          resultValue(v.Restrictions),
		DateIssued:            resultValue(v.DateIssued),
		DateOfExpiry:          resultValue(v.DateOfExpiry),
		Authority:             resultValue(v.Authority),
	}
}

func licenceClass(v scr.DrivingLicenceClassesResult) schemas.DrivingLicenceClass {
	return schemas.DrivingLicenceClass{
		ClassName: resultValue(v.ClassName), DateIssued: resultValue(v.DateIssued), DateOfExpiry: resultValue(v.DateOfExpiry), Restrictions: resultValue(v.Restrictions),
	}
}

// resultValue keeps an empty value that has a status: the API says that it changed
// to nothing (facts C4).
func resultValue(v *scr.ResultValue) *schemas.ResultValue {
	if v == nil {
		return nil
	}
	out := &schemas.ResultValue{Value: &v.Value}
	if v.Status == "" {
		return out
	}
	switch s := schemas.ResultStatus(v.Status); s {
	case schemas.ResultStatusNew, schemas.ResultStatusMatch, schemas.ResultStatusChange, schemas.ResultStatusUnchecked:
		out.Status = &s
	case schemas.ResultStatusUnknown:
		fallthrough
	default:
		out.Status, out.StatusText = new(schemas.ResultStatusUnknown), &v.Status
	}
	return out
}

func additionalBasic(v *scr.AdditionalDataBasic) *schemas.AdditionalDataBasic {
	if v == nil {
		return nil
	}
	return &schemas.AdditionalDataBasic{
		CouponByPiAppRequestCount:         v.CouponByPiAppRequestCount,
		CouponByPiAppRequestLastTimestamp: timeOrNil(v.CouponByPiAppRequestLastTimestamp),
		CouponByTpAppRequestCount:         v.CouponByTpAppRequestCount,
		CouponByTpAppRequestLastTimestamp: timeOrNil(v.CouponByTpAppRequestLastTimestamp),
		CouponDownloadCount:               v.CouponDownloadCount,
		CouponDownloadLastTimestamp:       timeOrNil(v.CouponDownloadLastTimestamp),
		CouponByEmailRequestCount:         v.CouponByEmailRequestCount,
		CouponByEmailRequestLastTimestamp: timeOrNil(v.CouponByEmailRequestLastTimestamp),
		PostOffice:                        textOrNil(v.PostOffice),
		PostOfficeStreetAddress:           textOrNil(v.PostOfficeStreetAddress),
		PostOfficeCity:                    textOrNil(v.PostOfficeCity),
		CheckoutNote:                      textOrNil(v.CheckoutNote),
		IDCardReaderCheck:                 readerCheck(v.IDCardReaderCheck),
	}
}

func readerCheck(v *scr.IDCardReaderCheck) *schemas.IDCardReaderCheck {
	if v == nil {
		return nil
	}
	return &schemas.IDCardReaderCheck{CheckedCategories: each(v.CheckedCategories, readerCategory)}
}

func readerCategory(v scr.IDCardReaderCheckCategory) schemas.IDCardReaderCheckCategory {
	return schemas.IDCardReaderCheckCategory{
		Name: textOrNil(v.Name), Status: textOrNil(v.Status), FailedChecksOfIDCardReader: each(v.FailedChecks, failedReaderCheck),
	}
}

func failedReaderCheck(v scr.FailedCheckOfIDCardReader) schemas.FailedIDCardReaderCheck {
	return schemas.FailedIDCardReaderCheck{
		CheckName: textOrNil(v.CheckName), SubCheckName: textOrNil(v.SubCheckName),
		AdditionalInformation: each(v.AdditionalInformation, func(i scr.AdditionalInformationForIDCardCheck) schemas.IDCardReaderInformation {
			return schemas.IDCardReaderInformation{Key: textOrNil(i.Key), Value: textOrNil(i.Value)}
		}),
	}
}

func additionalEID(v *scr.AdditionalDataEid) *schemas.AdditionalDataEid {
	if v == nil {
		return nil
	}
	return &schemas.AdditionalDataEid{DKK: textOrNil(v.DKK)}
}

func additionalVideo(v *scr.AdditionalDataVideo) *schemas.AdditionalDataVideo {
	if v == nil {
		return nil
	}
	return &schemas.AdditionalDataVideo{
		IdentificationServiceCenter: textOrNil(v.IdentificationServiceCenter),
		IdentificationAgentAliases:  textOrNil(string(v.IdentificationAgentAliases)),
		IdentReviews:                textOrNil(string(v.IdentReviews)),
		VideoRecordingAccepted:      timeOrNil(v.VideoRecordingAccepted),
		VideoRecordingDeliveryShaft: v.VideoRecordingDeliveryShaft,
		TanChannel:                  textOrNil(v.TanChannel),
	}
}

func each[F, T any](from []F, part func(F) T) []T {
	if len(from) == 0 {
		return nil
	}
	to := make([]T, len(from))
	for i := range from {
		to[i] = part(from[i])
	}
	return to
}

func textOrNil(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func timeOrNil(t time.Time) *time.Time { return wireTimeOrNil(&t) }
