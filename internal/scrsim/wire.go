package scrsim

import (
	"fmt"

	"github.com/go-jose/go-jose/v4"
)

// Wire holds the switches for what the guide leaves open or contradicts.
type Wire struct {
	// Alg answers a read without x-scr-alg; "" means RSA-OAEP-256 (facts 1.5).
	Alg jose.KeyAlgorithm `json:"alg,omitempty"`
	// Enc is the content encryption; "" means A256GCM (facts 1.6).
	Enc jose.ContentEncryption `json:"enc,omitempty"`
	// JWEContentType is the Content-Type of an encrypted answer; "" means
	// application/json (facts 1.11).
	JWEContentType string `json:"jweContentType,omitempty"`
	// KeyRefusal is the status for a missing or wrong key, hash or alg; 0 means
	// 400 (facts 1.13).
	KeyRefusal int `json:"keyRefusal,omitempty"`
	// PartnerRefusal is the status for a partner who asks for results; 0 means
	// 403.
	PartnerRefusal int `json:"partnerRefusal,omitempty"`
	// PartnerFullList answers a partner's /cases/full with status data instead of
	// refusing it (facts C15).
	PartnerFullList bool `json:"partnerFullList,omitempty"`
	// ContactDataResult uses the name of guide 8.2 for contactData (facts C1).
	ContactDataResult bool `json:"contactDataResult,omitempty"`
	// PrimaryIdentification uses the name of guide 8.2 for primaryIdent (facts C2).
	PrimaryIdentification bool `json:"primaryIdentification,omitempty"`
	// DocumentBeside puts identificationDocument and drivingLicence of the primary
	// identification beside it, as the brackets of the sample of 7.4.1 read (facts
	// C3). It says nothing where all identifications are given.
	DocumentBeside bool `json:"documentBeside,omitempty"`
	// DrivingLicense uses the spelling of a public client for drivingLicence (facts
	// 3).
	DrivingLicense bool `json:"drivingLicense,omitempty"`
	// WebHookURL uses the spelling of the guide's text for webHookUrl (facts 3).
	WebHookURL bool `json:"webHookURL,omitempty"`
	// ServiceCenterVideo uses the name of the changelog for
	// identificationServiceCenter (facts C20).
	ServiceCenterVideo bool `json:"serviceCenterVideo,omitempty"`
	// VideoTexts gives identReviews as one text, and identificationAgentAlias, one
	// text too, in the place of identificationAgentAliases, as a public client has
	// them (facts C21, 3).
	VideoTexts bool `json:"videoTexts,omitempty"`
	// StatusIdentifications gives the primary identification of a status answer
	// as an array, as the sample of 7.4.2 does (facts C2).
	StatusIdentifications bool `json:"statusIdentifications,omitempty"`
	// LegacyEmpty writes empty fields as {}, {"value":""} or null instead of leaving
	// them out, as before release 17.0 (facts C4).
	LegacyEmpty bool `json:"legacyEmpty,omitempty"`
	// UnknownFields is the chance from 0 to 1 that an object of an answer has one
	// field more that no guide knows (8.1 announces such): lists' and records'
	// objects, too. A case has the same ones each time.
	UnknownFields float64 `json:"unknownFields,omitempty"`
	// Forbidden sends what the account's class or the method must not have, too,
	// fields and images. Each such value holds a mark of ForbiddenCanaries.
	Forbidden bool `json:"forbidden,omitempty"`
	// DocumentDataFirst writes a record's documentData before its other fields, so
	// that who reads it as a stream does not know yet what it is.
	DocumentDataFirst bool `json:"documentDataFirst,omitempty"`
	// StrictPlus refuses a raw + in a date instead of reading it as one (facts
	// C12).
	StrictPlus bool `json:"strictPlus,omitempty"`
	// Bounds says which bounds of a list window belong to it; "" means the lower
	// one (facts 8.4).
	Bounds Bounds `json:"bounds,omitempty"`
	// ArchiveModifies lets archiving change a case's modified (facts 8.4).
	ArchiveModifies bool `json:"archiveModifies,omitempty"`
}

// Bounds names the bounds of a window (…From, …Until) that belong to it.
type Bounds string

// The bounds of a list window, of which the guide says nothing.
const (
	BoundsLower Bounds = "lower"
	BoundsBoth  Bounds = "both"
	BoundsNone  Bounds = "none"
)

// Records says which records cases of an account have, and how large they are.
type Records struct {
	// PDF and Image are the sizes of the files; zero means those of SmallRecords.
	PDF   Sizes `json:"pdf,omitzero"`
	Image Sizes `json:"image,omitzero"`
	// NoResultPDF leaves the result PDF out: it must be activated for an account
	// (guide 2.5).
	NoResultPDF bool `json:"noResultPdf,omitempty"`
	// SplitPDF gives the result PDF as resultdata and resultimages, in the place of
	// result.
	SplitPDF bool `json:"splitPdf,omitempty"`
	// EIDImages has the user upload images of the document with method eid, which
	// class GwG may have (guide 4.3).
	EIDImages bool `json:"eidImages,omitempty"`
}

// Sizes bounds the sizes of files in bytes, both bounds included. Small files are
// as likely between n and 2n as between 2n and 4n.
type Sizes struct {
	Min int64 `json:"min"`
	Max int64 `json:"max"`
}

// maxFile keeps a mistake in a size from filling a network.
const maxFile = 1 << 30

// SmallRecords returns sizes of a few kilobytes, for tests that have other things
// to do.
func SmallRecords() Records {
	return Records{PDF: Sizes{Min: 2_000, Max: 8_000}, Image: Sizes{Min: 1_500, Max: 4_000}}
}

// RealisticRecords returns the sizes of real files: PDFs of 100 kB to 20 MB, images
// of 50 kB to 3 MB.
func RealisticRecords() Records {
	return Records{PDF: Sizes{Min: 100_000, Max: 20_000_000}, Image: Sizes{Min: 50_000, Max: 3_000_000}}
}

func (r Records) check() []error {
	var errs []error
	for name, s := range map[string]Sizes{"pdf": r.PDF, "image": r.Image} {
		if s.Min < minFile || s.Max < s.Min || s.Max > maxFile {
			errs = append(errs, fmt.Errorf("records: %s: want %d <= min <= max <= %d", name, minFile, maxFile))
		}
	}
	return errs
}
