package scrsim

import (
	"fmt"
	"time"
)

// Marks that planted values hold. What has a form of its own (dates, phone
// numbers, the dkk) has a mark that fits it.
const (
	markText   = "CANARY-"
	markPostal = "CNRY-"     // postal codes have at most 11 characters
	markPhone  = "499990000" // after the +; seven digits stand in many a log by chance
	markDKK    = "CA4A27CA4A27"
	markBinary = "Q0FOQVJZ" // base64 of CANARY

	// What the class or the method must not have; each is a canary, too.
	markForbidden       = markText + "forbidden-"
	markForbiddenBinary = "Q0FOQVJZLWZvcmJpZGRl" // base64 of CANARY-forbidde
)

// Years that nobody alive and no clock of ours has.
const (
	firstBirthYear = 1811
	birthYears     = 4
	issueYear      = 1815
	forbiddenYear  = 1817
	expiryYear     = 2811
)

// Canaries returns the marks of every personal value that the simulator makes
// up: each such value holds at least one of them, so whoever finds none of them
// has found no such value. Names, addresses, document numbers, e-mails, custom
// data, remarks, aliases, reviews and unknown fields read CANARY-<field>-<n>,
// where n is the number of the case; the content of records holds
// CANARY-<type>-<n> in its first bytes and every few kilobytes after them. What a client gave with POST /cases is its own. referenceId
// and caseId are pseudonyms and hold none.
func Canaries() []string {
	marks := []string{markText, markPostal, markPhone, markDKK, markBinary}
	years := []int{issueYear, forbiddenYear, expiryYear}
	for i := range birthYears {
		years = append(years, firstBirthYear+i)
	}
	for _, year := range years {
		marks = append(marks, yearMarks(year)...)
	}
	return marks
}

// ForbiddenCanaries returns the marks of every value that guide 8 does not give
// the account's class or the method, and that is sent all the same where
// Wire.Forbidden or FaultSet.Forbidden says so: whoever finds one of them
// anywhere has found what should have been dropped. Names read
// CANARY-forbidden-<field>-<n>, or CANARY-forbidden-<type>-<n> in a record's
// content.
func ForbiddenCanaries() []string {
	return append([]string{markForbidden, markForbiddenBinary}, yearMarks(forbiddenYear)...)
}

// RecordCanaries returns marks of the content of records, as it is and as base64
// has it: each content holds at least one, and nothing else does. An answer's
// texts hold others of Canaries.
func RecordCanaries() []string {
	marks := []string{markText + "blackened-", markBinary}
	for _, kind := range recordTypes {
		marks = append(marks, markText+kind+"-")
	}
	return marks
}

// yearMarks are a year with each of its months: a year alone could be part of a
// UUID.
func yearMarks(year int) []string {
	var marks []string
	for month := time.January; month <= time.December; month++ {
		marks = append(marks, fmt.Sprintf("%04d-%02d-", year, month))
	}
	return marks
}

// Canaries is the package's Canaries: they do not depend on the configuration.
func (*Simulator) Canaries() []string { return Canaries() }

func (c *simCase) canary(field string) string { return fmt.Sprintf(markText+"%s-%d", field, c.serial) }

func (c *simCase) forbidden(field string) string {
	return fmt.Sprintf(markForbidden+"%s-%d", field, c.serial)
}

// canaryDate is a day of year that depends on the case.
func (c *simCase) canaryDate(year int) string {
	return time.Date(year, time.January, 1+c.serial%365, 0, 0, 0, 0, time.UTC).Format(time.DateOnly)
}

func (c *simCase) birthDate() string { return c.canaryDate(firstBirthYear + c.serial%birthYears) }

func (c *simCase) postalCode() string { return fmt.Sprintf(markPostal+"%06d", c.serial%1_000_000) }

func (c *simCase) phone() string { return fmt.Sprintf("+"+markPhone+"%06d", c.serial%1_000_000) }

func (c *simCase) dkk() string { return fmt.Sprintf(markDKK+"%052X", c.serial) }

func (c *simCase) email() string { return c.canary("email") + "@example.org" }
