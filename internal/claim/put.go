package claim

import (
	"context"
	"io"
	"regexp"
	"time"
)

// Object is a record to be stored.
type Object struct {
	ClientID    string
	CaseID      string
	CaseCreated time.Time // caseStatus.created; kept in milliseconds
	// RecordID and RecordType (guide 8.6.7) are kept as metadata of the object, for
	// people who look into the store. What is more than letters, digits, '-' and
	// '_' is left out. If two records of a case have the same content, the object is
	// the first one's.
	RecordID, RecordType string
	MediaType            string // guide 8.6.7, mimeType, as it came
	// Open gives the content from its start. It is called two or more times, one
	// after the other, and each reader is read to its end or dropped; so the content
	// can be decoded on its way and is nowhere held as a whole. None is read after
	// Put has returned.
	Open func() io.Reader
}

// Stored is what Put did.
type Stored struct {
	Reference

	// Existed says that the object was there: put before, or by an attempt of which no
	// answer came.
	Existed bool
}

// Put stores the object unless it is there, and returns when it will not be lost
// any more. Nothing is held of the content beyond some buffers: S3 and a directory
// take less than 2 MiB, Azure less than 10.
//
// A repeat is harmless, also beside another one and after one that failed: the
// first writes, the others find it there. An object that lies there for longer
// than half of MinOrphanAge is written once more with the same content, so that a
// sweep sees it as new; where the store refuses to overwrite, it stays as it is.
//
// ctx bounds everything, and should have a deadline, for a store may keep silent.
// The error is an UnavailableError (also for ctx's end), a RefusedError, a
// ContentError or a ConflictError. After any of them the object is whole or not
// there; parts of it are at most where the store itself clears them away.
func (s *Store) Put(ctx context.Context, o Object) (Stored, error) {
	kind := mediaType(o.MediaType)
	key := Key{
		ClientID: o.ClientID, CaseID: o.CaseID, CaseCreated: o.CaseCreated.UTC().Truncate(time.Millisecond), Extension: extension(kind),
	}
	if !key.validCase() {
		return Stored{}, &ContentError{Reason: ContentIdentity}
	}
	content := newContent(ctx, o.Open)
	if err := content.measure(); err != nil {
		return Stored{}, err
	}
	key.SHA256 = content.sha256()
	name := key.Name()
	stored := Stored{Reference: Reference{
		Location: s.Location(name), SHA256: key.SHA256, Size: content.size, MediaType: kind,
	}}
	u := upload{key: s.key(name), mediaType: kind, metadata: metadata(o), content: content}

	found, fresh, err := s.compare(ctx, name, content.size)
	switch {
	case err != nil:
		return Stored{}, err
	case found:
		if !fresh {
			if err := s.refresh(ctx, u); err != nil {
				return Stored{}, err
			}
		}
		stored.Existed = true
		return stored, nil
	}
	// A crash in the upload leaves no object: a directory's has its name only once
	// it is whole, S3 and Azure forget what they have of it.
	err = s.backend.upload(ctx, u, true)
	// A crash here, before the event is published, leaves an object that no event
	// names. The next attempt finds it; if none comes, a sweep does.
	switch {
	case err == nil:
		return stored, nil
	case content.fault() != nil:
		return Stored{}, content.fault()
	case !isThere(err):
		// The object may be there all the same: the answer that says so was lost, or it
		// came, as some servers give it, before the content was read, with the end of
		// the connection. If that cannot be seen now, the next attempt finds out.
		if _, status := answer(err); status == 0 {
			if found, _, cmpErr := s.compare(ctx, name, content.size); cmpErr == nil && found {
				stored.Existed = true
				return stored, nil
			}
		}
		return Stored{}, classify("put object", err)
	}
	stored.Existed = true
	found, _, cmpErr := s.compare(ctx, name, content.size)
	if cmpErr != nil {
		return Stored{}, cmpErr
	}
	if !found {
		// Who was writing it has not ended, or it is deleted again.
		code, status := answer(err)
		return Stored{}, &UnavailableError{Op: "put object", Code: code, Status: status, Err: err}
	}
	return stored, nil
}

// compare looks for the object of a name. Fresh says that a sweep leaves it alone
// for at least half of MinOrphanAge.
func (s *Store) compare(ctx context.Context, name string, size int64) (found, fresh bool, err error) {
	have, modified, found, err := s.stat(ctx, name)
	if err != nil || !found {
		return false, false, err
	}
	if have != size {
		return false, false, &ConflictError{Location: s.Location(name), Have: have, Want: size}
	}
	return true, s.now().Sub(modified) < MinOrphanAge/2, nil
}

// refresh writes an object again that is there. What refuses that keeps it from
// being deleted as well.
func (s *Store) refresh(ctx context.Context, u upload) error {
	err := s.backend.upload(ctx, u, false)
	if err == nil {
		return nil
	}
	if fault := u.content.fault(); fault != nil {
		return fault
	}
	err = classify("put object again", err)
	if _, refused := err.(*RefusedError); refused { //nolint:errorlint // classify wraps nothing
		return nil
	}
	return err
}

var plainValue = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

func metadata(o Object) map[string]string {
	m := make(map[string]string)
	for name, value := range map[string]string{"recordid": o.RecordID, "recordtype": o.RecordType} {
		if plainValue.MatchString(value) {
			m[name] = value
		}
	}
	return m
}
