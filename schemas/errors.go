package schemas

import "fmt"

// CorruptReason says what is wrong with bytes that cannot be read. It is fit
// for a metric label or a header: a fixed set of words.
type CorruptReason string

// The reasons.
const (
	CorruptTooLarge      CorruptReason = "too_large"      // longer than MaxBytes
	CorruptHeader        CorruptReason = "header"         // neither framing, or cut within it
	CorruptUnknownSchema CorruptReason = "unknown_schema" // written with a schema that is not ours, or by a release that this one does not know
	CorruptBody          CorruptReason = "body"           // the datum does not fit its schema, or is cut
	CorruptTrailing      CorruptReason = "trailing"       // bytes left over after the datum
)

// CorruptError says that bytes on a topic are not what this package writes:
// reading them again gives the same. Its text never holds content.
type CorruptError struct {
	Record string // e.g. "trigger"
	Reason CorruptReason
	Err    error // what the decoder said; nil where Reason says all
}

// Error names the record and the reason.
func (e *CorruptError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("decode %s: corrupt: %s", e.Record, e.Reason)
	}
	return fmt.Sprintf("decode %s: corrupt: %s: %v", e.Record, e.Reason, e.Err)
}

// Unwrap gives the decoder's error.
func (e *CorruptError) Unwrap() error { return e.Err }

// TooLargeError says that a value would be longer than its topic may hold:
// MaxBytes, which no reader, this one included, has to take more of, or
// MaxResultBytes.
type TooLargeError struct {
	Record string
	Size   int // in bytes, framing included
	Max    int // that it may be
}

// Error names the record and its size.
func (e *TooLargeError) Error() string {
	return fmt.Sprintf("encode %s: %d bytes, more than %d", e.Record, e.Size, e.Max)
}
