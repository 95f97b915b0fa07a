package scr

import "time"

// Case is one identification case (guide 8.2) with what a status event needs.
// Texts are the API's own; nothing is mapped or dropped for being unknown.
type Case struct {
	CaseID string
	Status CaseStatus
	// ReferenceID is orderData.processData.referenceId, "" when absent (status
	// answers never have it).
	ReferenceID     string
	Accounting      Accounting
	Identifications []Identification
}

// CaseStatus is guide 8.3. Created is never zero in a decoded Case: without it
// the case cannot be told from an earlier one with its id (facts 2.8).
type CaseStatus struct {
	Status     string
	Created    time.Time
	Modified   time.Time
	ValidUntil time.Time // zero when absent
	Archived   bool
}

// Accounting is guide 8.7; "" when absent.
type Accounting struct {
	Number  string
	Product string
}

// Identification is one attempt (guide 8.6), known by (Method, Created).
type Identification struct {
	Method             string
	Primary            bool
	Status             string
	SubStatus          *Code
	SubStatusReason    *Code
	IdentificationTime time.Time // zero until final
	Created            time.Time
	Modified           time.Time
	Records            []Record
}

// Code is a subStatus or subStatusReason (guide 8.6.1).
type Code struct {
	Code        int
	Description string
}

// Record is the metadata of a binary record (guide 8.6.7), without its content
// and without validationRemark.
type Record struct {
	ID                  string
	BelongsTo           string
	Type                string
	MimeType            string
	FileName            string
	ValidationStatus    string
	ValidationSubStatus string
}
