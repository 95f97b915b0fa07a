package claim

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// Reference names an object and its content. It holds no credentials, and nothing
// that a person typed.
type Reference struct {
	// Location is the object's URL: s3://bucket/name, azblob://container/name or
	// file:///directory/name, each with the store's prefix before the name. Which
	// endpoint, region or account serves the bucket is not said: a reader has that
	// from its own operator, with its credentials.
	Location  string
	SHA256    string // of the content, in lower-case hex
	Size      int64  // bytes
	MediaType string // in lower case, without parameters
}

// String is the reference as one URL: the location, and the rest in its fragment,
// in the order sha256, size, type. ParseReference reads it back.
func (r Reference) String() string {
	return r.Location + "#sha256=" + r.SHA256 + "&size=" + strconv.FormatInt(r.Size, 10) + "&type=" + r.MediaType
}

// ParseReference reads what String wrote, and nothing else: each reference has
// one spelling. Its errors quote nothing of s.
func ParseReference(s string) (Reference, error) {
	location, fragment, ok := strings.Cut(s, "#")
	if !ok {
		return Reference{}, fmt.Errorf("parse reference: %w", errors.New("no fragment with the digest"))
	}
	fields := strings.Split(fragment, "&")
	values := make([]string, 0, 3)
	for i, name := range []string{"sha256", "size", "type"} {
		if i >= len(fields) || !strings.HasPrefix(fields[i], name+"=") {
			return Reference{}, fmt.Errorf("parse reference: no %s in its place", name)
		}
		values = append(values, strings.TrimPrefix(fields[i], name+"="))
	}
	size, err := strconv.ParseInt(values[1], 10, 64)
	if err != nil {
		return Reference{}, errors.New("parse reference: size is no number")
	}
	r := Reference{Location: location, SHA256: values[0], Size: size, MediaType: values[2]}
	if err := r.Validate(); err != nil {
		return Reference{}, fmt.Errorf("parse reference: %w", err)
	}
	if r.String() != s {
		return Reference{}, errors.New("parse reference: not as it is written")
	}
	return r, nil
}

// Validate checks a reference that came from outside in its four parts. Its
// errors quote none of them.
func (r Reference) Validate() error {
	u, err := url.Parse(r.Location)
	switch {
	case err != nil || u.String() != r.Location:
		return errors.New("location is no URL")
	case u.Scheme != schemeFile && u.Scheme != schemeS3 && u.Scheme != schemeAzure:
		return errors.New("location has another scheme than file, s3 and azblob")
	case u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return errors.New("location has more than a place: user, query or fragment")
	case (u.Host == "") != (u.Scheme == schemeFile):
		return errors.New("location has no bucket, or a file one")
	case len(u.Path) < 2 || u.Path[0] != '/' || strings.HasSuffix(u.Path, "/"):
		return errors.New("location names no object")
	case !validDigest(r.SHA256):
		return errors.New("sha256 is none in lower-case hex")
	case r.Size < 0:
		return errors.New("size is negative")
	case !validMediaType(r.MediaType):
		return errors.New("media type is none")
	}
	return nil
}
