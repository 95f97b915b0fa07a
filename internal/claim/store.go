package claim

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"gocloud.dev/blob"
)

// MinOrphanAge is the shortest delay after which an object that no event names
// may be swept. A reference has to be published within half of it after its Put,
// or be put again before.
const MinOrphanAge = 24 * time.Hour

// Store is one place in an object store. It is safe for concurrent use.
type Store struct {
	place   place
	root    string // of locations, with a slash at its end
	backend backend
	now     func() time.Time
}

// backend is what differs between the kinds of stores. A key is an object's name
// with the store's prefix.
type backend struct {
	bucket *blob.Bucket
	// upload writes the object as a whole or not at all, and returns when it will
	// not be lost any more. With create it writes only if there is none of that
	// key; the error is one that isThere knows then.
	upload func(ctx context.Context, u upload, create bool) error
	// present tells a store that is gone from an empty one, where the answer for a
	// missing object does not; nil where it does.
	present func() error
	// close frees what bucket does not; nil if there is nothing.
	close func()
}

// upload is one object on its way.
type upload struct {
	key       string
	mediaType string
	metadata  map[string]string
	content   *content
}

// Open opens the store at a URL:
//
//	file:///directory[?create_dir=true]
//	s3://bucket[/prefix][?region=…&endpoint=…]
//	azblob://container[/prefix][?storage_account=…]
//
// Credentials are found by the providers' own ways (environment, files, the
// machine's identity) and are refused in the URL. With an endpoint, S3 buckets are
// addressed by path, and the region is us-east-1 where nothing says another;
// further options are those of gocloud.dev's s3blob and azureblob.
//
// Open calls no server: whether the bucket is there and lets us in is for Check to
// say. A directory has to be there. The error names an option, never the URL.
func Open(ctx context.Context, rawURL string) (*Store, error) {
	p, err := parsePlace(rawURL)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	open := map[string]func(context.Context, place) (backend, error){
		schemeFile: openDirectory, schemeS3: openS3, schemeAzure: openAzure,
	}[p.scheme]
	b, err := open(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	return &Store{place: p, root: p.root(), backend: b, now: time.Now}, nil
}

// Close frees the store's connections. No call may be running or follow.
func (s *Store) Close() error {
	if s.backend.close != nil {
		s.backend.close()
	}
	if err := s.backend.bucket.Close(); err != nil {
		return fmt.Errorf("close store: %w", err)
	}
	return nil
}

// String is the store's place as references show it, without options.
func (s *Store) String() string { return s.root }

// Location is the URL of the object of a name.
func (s *Store) Location(name string) string { return s.root + name }

// Name is the name of the object that a location names; it is false for one of
// another store or prefix, and for one that Put did not make.
func (s *Store) Name(location string) (string, bool) {
	name, ok := strings.CutPrefix(location, s.root)
	if !ok {
		return "", false
	}
	_, ok = ParseName(name)
	return name, ok
}

func (s *Store) key(name string) string { return s.place.prefix + name }

// probeName is the object that Check writes. List leaves it out.
const probeName = "bridge-probe"

var probeContent = []byte("Written by a check of the records' store, to see that it can.\n")

// Health is what a store allows.
type Health struct {
	// Delete says that objects may be deleted. Sweeping needs it, publishing does
	// not, so a bridge does well without.
	Delete bool
}

// Check writes a small object, reads it and deletes it again, and so finds a
// missing bucket, wrong credentials and missing permissions. Its error is a
// RefusedError or an UnavailableError. Where deletion is refused the object
// stays; the next check finds it.
func (s *Store) Check(ctx context.Context) (Health, error) {
	probe := upload{key: s.key(probeName), mediaType: "text/plain", content: newContent(ctx, openBytes(probeContent))}
	if err := probe.content.measure(); err != nil {
		return Health{}, err
	}
	// Without the permission to list, S3 answers 403 for an object that is not
	// there, and Put could not tell.
	if _, err := s.backend.bucket.Attributes(ctx, s.key(probeName+"-missing")); err != nil && !isMissing(err) {
		return Health{}, classify("look for object", err)
	}
	if err := s.backend.upload(ctx, probe, true); err != nil && !isThere(err) {
		return Health{}, classify("write probe", err)
	}
	// A check that runs beside may have deleted it: then it is missing, which only
	// one who may read is told.
	if _, err := s.backend.bucket.ReadAll(ctx, s.key(probeName)); err != nil && !isMissing(err) {
		return Health{}, classify("read probe", err)
	}
	switch err := s.remove(ctx, probeName); err.(type) { //nolint:errorlint // remove wraps nothing
	case nil:
		return Health{Delete: true}, nil
	case *RefusedError:
		return Health{}, nil
	default:
		return Health{}, err
	}
}

func openBytes(b []byte) func() io.Reader {
	return func() io.Reader { return bytes.NewReader(b) }
}

// stat is the size and age of the object of a name; found is false without one.
func (s *Store) stat(ctx context.Context, name string) (size int64, modified time.Time, found bool, err error) {
	a, err := s.backend.bucket.Attributes(ctx, s.key(name))
	switch {
	case err == nil:
		return a.Size, a.ModTime, true, nil
	case isMissing(err):
		return 0, time.Time{}, false, nil
	}
	return 0, time.Time{}, false, classify("look for object", err)
}

// gone is an error if the store is not there.
func (s *Store) gone(op string) error {
	if s.backend.present == nil {
		return nil
	}
	return classify(op, s.backend.present())
}

// remove deletes the object of a name; none is fine.
func (s *Store) remove(ctx context.Context, name string) error {
	if err := s.backend.bucket.Delete(ctx, s.key(name)); err != nil && !isMissing(err) {
		return classify("delete object", err)
	}
	return nil
}

// Delete deletes the object of a name that ParseName or List knows. It is no
// error if there is none.
func (s *Store) Delete(ctx context.Context, name string) error {
	if !ours(name) {
		return fmt.Errorf("delete object: %w", errForeign)
	}
	return s.remove(ctx, name)
}

var errForeign = errors.New("not a name of ours")

// ours reports whether the object is one that Put made, or what is left of one.
func ours(name string) bool {
	if _, ok := ParseName(name); ok {
		return true
	}
	_, ok := parseLeftover(name)
	return ok
}
