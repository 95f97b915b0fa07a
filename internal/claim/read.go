package claim

import (
	"context"
	"io"
)

// Read is an object as it lies in the store. It has to be closed.
type Read struct {
	io.ReadCloser // the content

	Size      int64 // bytes
	MediaType string
	// Metadata is what the store keeps beside the content; see Object.
	Metadata map[string]string
}

// Read opens the object of a name that List gave, a foreign one too, from its
// start. ctx bounds the reading as well. The error is an UnavailableError or a
// RefusedError, which an object that is not there gives too.
func (s *Store) Read(ctx context.Context, name string) (*Read, error) {
	reader, err := s.backend.bucket.NewReader(ctx, s.key(name), nil)
	if err != nil {
		return nil, classify("read object", err)
	}
	attributes, err := s.backend.bucket.Attributes(ctx, s.key(name))
	if err != nil {
		_ = reader.Close() // nothing was read
		return nil, classify("look at object", err)
	}
	return &Read{ReadCloser: reader, Size: attributes.Size, MediaType: attributes.ContentType, Metadata: attributes.Metadata}, nil
}
