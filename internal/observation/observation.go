// Package observation turns what the API showed of a case into what a trigger
// carries of it: status fields of all identifications and the metadata of their
// records, no direct identifiers (design: "Not every trigger needs a read").
package observation

import (
	"time"

	"postident-bridge/internal/scr"
	"postident-bridge/schemas"
)

// Of is the observation of a case whose answer was asked for at the given time.
// Times are UTC in whole milliseconds, as they come back from Avro; a field that
// the answer did not have is nil, or of a time that must be there, zero.
func Of(c scr.Case, at time.Time) schemas.Observation {
	o := schemas.Observation{
		ObservedAt:      Time(at),
		CaseStatus:      c.Status.Status,
		Created:         Time(c.Status.Created),
		Modified:        Time(c.Status.Modified),
		ValidUntil:      timeOrNil(c.Status.ValidUntil),
		Archived:        c.Status.Archived,
		ReferenceID:     textOrNil(c.ReferenceID),
		Identifications: make([]schemas.ObservedIdentification, len(c.Identifications)),
	}
	for i := range c.Identifications {
		o.Identifications[i] = identification(&c.Identifications[i])
	}
	if c.Accounting != (scr.Accounting{}) {
		o.Accounting = &schemas.AccountingData{
			AccountingNumber:  textOrNil(c.Accounting.Number),
			AccountingProduct: textOrNil(c.Accounting.Product),
		}
	}
	return o
}

func identification(id *scr.Identification) schemas.ObservedIdentification {
	return schemas.ObservedIdentification{
		Method:             id.Method,
		Primary:            id.Primary,
		Status:             id.Status,
		SubStatus:          statusCode(id.SubStatus),
		SubStatusReason:    statusCode(id.SubStatusReason),
		IdentificationTime: timeOrNil(id.IdentificationTime),
		Created:            Time(id.Created),
		Modified:           Time(id.Modified),
		Records:            recordMetadata(id.Records),
	}
}

// Time is t as Avro's timestamp-millis carries it. The zero time stays zero.
func Time(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = Time(t)
	return &t
}

func textOrNil(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func statusCode(c *scr.Code) *schemas.StatusCode {
	if c == nil {
		return nil
	}
	return &schemas.StatusCode{Code: c.Code, Description: textOrNil(c.Description)}
}

func recordMetadata(records []scr.Record) []schemas.RecordMetadata {
	if len(records) == 0 {
		return nil
	}
	out := make([]schemas.RecordMetadata, len(records))
	for i, r := range records {
		out[i] = schemas.RecordMetadata{
			RecordID:            r.ID,
			BelongsTo:           textOrNil(r.BelongsTo),
			Type:                textOrNil(r.Type),
			MimeType:            textOrNil(r.MimeType),
			FileName:            textOrNil(r.FileName),
			ValidationStatus:    textOrNil(r.ValidationStatus),
			ValidationSubStatus: textOrNil(r.ValidationSubStatus),
		}
	}
	return out
}
