package claim

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"gocloud.dev/blob"
)

// Listed is an object in the store.
type Listed struct {
	Name     string // without the store's prefix
	Key      Key    // what Name says; empty if Foreign
	Size     int64  // bytes
	Modified time.Time
	// Foreign says that the name is none that Put makes. The bridge leaves such an
	// object alone.
	Foreign bool
	// Leftover says that it is what a killed upload left in a directory, which no
	// event ever names.
	Leftover bool
}

// List lists the store's objects by name; with a clientId only that client's, with
// a caseId too only those of that caseId. It ends after an error, which is an
// UnavailableError or a RefusedError.
func (s *Store) List(ctx context.Context, clientID, caseID string) iter.Seq2[Listed, error] {
	return func(yield func(Listed, error) bool) {
		prefix, err := listPrefix(clientID, caseID)
		if err == nil {
			err = s.gone("list objects")
		}
		if err != nil {
			yield(Listed{}, err)
			return
		}
		objects := s.backend.bucket.List(&blob.ListOptions{Prefix: s.key(prefix)})
		for {
			o, err := objects.Next(ctx)
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(Listed{}, classify("list objects", err))
				return
			}
			l := listed(o, len(s.place.prefix))
			if l.Name != probeName && !yield(l, nil) {
				return
			}
		}
	}
}

func listPrefix(clientID, caseID string) (string, error) {
	switch {
	case clientID == "" && caseID == "":
		return "", nil
	case !validID(clientID), caseID != "" && !validID(caseID):
		return "", fmt.Errorf("list objects: %w", errForeign)
	case caseID == "":
		return clientID + "/", nil
	}
	return casePrefix(clientID, caseID), nil
}

func listed(o *blob.ListObject, prefix int) Listed {
	l := Listed{Name: o.Key[prefix:], Size: o.Size, Modified: o.ModTime}
	var ok bool
	if l.Key, ok = ParseName(l.Name); ok {
		return l
	}
	if l.Key, ok = parseLeftover(l.Name); ok {
		l.Leftover = true
		return l
	}
	l.Foreign = true
	return l
}

// IsOrphan reports whether an object may be swept: it is ours, lies there for
// longer than the delay, which is MinOrphanAge if it is less, and no event names
// it. Referenced says whether one does, and has to know every event that was
// committed before the object was listed; it is asked last.
func IsOrphan(l Listed, referenced func(name string) bool, delay time.Duration, now time.Time) bool {
	if l.Foreign || now.Sub(l.Modified) <= max(delay, MinOrphanAge) {
		return false
	}
	return l.Leftover || !referenced(l.Name)
}

// Sweep deletes an orphan unless it was put again since it was listed; then it is
// false. Between the look and the deletion, milliseconds apart, a Put that finds an
// object older than the delay can still lose it: keep versions of objects, or
// sweep while no case with records is being published, where that is too much.
func (s *Store) Sweep(ctx context.Context, l Listed) (bool, error) {
	if l.Foreign || !ours(l.Name) {
		return false, fmt.Errorf("sweep object: %w", errForeign)
	}
	_, modified, found, err := s.stat(ctx, l.Name)
	if err != nil || !found || !modified.Truncate(time.Second).Equal(l.Modified.Truncate(time.Second)) {
		return false, err
	}
	return true, s.remove(ctx, l.Name)
}

// Verdict is what became of a reference's object.
type Verdict int

// The verdicts.
const (
	Intact      Verdict = iota + 1
	Missing             // there is no such object
	WrongSize           // it has another size; it was not read
	WrongDigest         // it has another SHA-256
	Elsewhere           // the reference is not of this store
)

// String is the verdict in words, fit for a metric label.
func (v Verdict) String() string {
	switch v {
	case Intact:
		return "intact"
	case Missing:
		return "missing"
	case WrongSize:
		return "wrong_size"
	case WrongDigest:
		return "wrong_digest"
	case Elsewhere:
		return "elsewhere"
	}
	return "unknown"
}

// Verify reads the object that a reference names, as a stream, and compares it.
// The error, an UnavailableError or a RefusedError, says that there is no verdict.
func (s *Store) Verify(ctx context.Context, r Reference) (Verdict, error) {
	name, ok := s.Name(r.Location)
	if !ok {
		return Elsewhere, nil
	}
	reader, err := s.backend.bucket.NewReader(ctx, s.key(name), nil)
	if err != nil {
		if isMissing(err) {
			return s.missing()
		}
		return 0, classify("read object", err)
	}
	verdict, err := verify(ctx, reader, r)
	if err := errors.Join(err, reader.Close()); err != nil {
		return 0, classify("read object", err)
	}
	return verdict, nil
}

// Look is Verify without reading the object: an object of the right name and size
// is Intact, whatever it holds.
func (s *Store) Look(ctx context.Context, r Reference) (Verdict, error) {
	name, ok := s.Name(r.Location)
	if !ok {
		return Elsewhere, nil
	}
	size, _, found, err := s.stat(ctx, name)
	switch {
	case err != nil:
		return 0, err
	case !found:
		return s.missing()
	case size != r.Size:
		return WrongSize, nil
	}
	if key, _ := ParseName(name); key.SHA256 != r.SHA256 {
		return WrongDigest, nil
	}
	return Intact, nil
}

// missing is the verdict on an object that is not found.
func (s *Store) missing() (Verdict, error) {
	if err := s.gone("read object"); err != nil {
		return 0, err
	}
	return Missing, nil
}

func verify(ctx context.Context, reader *blob.Reader, r Reference) (Verdict, error) {
	if reader.Size() != r.Size {
		return WrongSize, nil
	}
	digest := sha256.New()
	if _, err := io.Copy(digest, &bounded{ctx: ctx, r: reader}); err != nil {
		return 0, err
	}
	if hex.EncodeToString(digest.Sum(nil)) != r.SHA256 {
		return WrongDigest, nil
	}
	return Intact, nil
}
