package claim

import (
	"context"
	"net/http"
)

// MediaTypeAndMetadata is what the store says of the object of a name.
func MediaTypeAndMetadata(ctx context.Context, s *Store, name string) (string, map[string]string, error) {
	a, err := s.backend.bucket.Attributes(ctx, s.key(name))
	if err != nil {
		return "", nil, err
	}
	return a.ContentType, a.Metadata, nil
}

// For tests of pure functions.
var (
	ExtensionOf = extension
	MediaTypeOf = mediaType
	Classify    = classify
	IsMissing   = isMissing
	NewContent  = newContent
)

// Measure is the first reading.
func (c *content) Measure() error { return c.measure() }

// Fault is why the content could not be read.
func (c *content) Fault() error { return c.fault() }

// AnswerError is an error as the AWS SDK gives one for an answer.
type AnswerError struct {
	Code   string
	Status int
}

func (e *AnswerError) Error() string        { return http.StatusText(e.Status) + " for secret-name" }
func (e *AnswerError) ErrorCode() string    { return e.Code }
func (e *AnswerError) ErrorMessage() string { return "secret-name" }
func (e *AnswerError) HTTPStatusCode() int  { return e.Status }
