package claim

import (
	"encoding/hex"
	"strings"
	"time"
)

// Key is what an object's name says.
type Key struct {
	ClientID    string
	CaseID      string
	CaseCreated time.Time // UTC, in milliseconds; a caseId may be used again (facts 2.8)
	SHA256      string    // of the content, in lower-case hex
	Extension   string    // by media type, without a dot
}

// Bounds of what stands in a name.
const (
	maxID        = 64 // bytes of a clientId or a caseId
	maxExtension = 8
	createdForm  = "20060102T150405.000Z"
)

// Valid reports whether the key makes a name: the ids hold 1 to 64 letters,
// digits, '-' and '_', the year has four digits, the digest is one, the extension
// has 1 to 8 lower-case letters and digits. Ids are checked elsewhere too; a store
// does not rely on that, for in a directory ".." would lead out of it.
func (k Key) Valid() bool {
	return k.validCase() && validDigest(k.SHA256) && validExtension(k.Extension)
}

func (k Key) validCase() bool {
	utc := k.CaseCreated.UTC()
	return validID(k.ClientID) && validID(k.CaseID) && utc.Year() >= 1 && utc.Year() <= 9999 &&
		utc.Truncate(time.Millisecond).Equal(utc)
}

// Name is the object's name below the store's prefix. It is fit for a path and a
// URL as it is if the key is valid.
func (k Key) Name() string {
	return casePrefix(k.ClientID, k.CaseID) + k.CaseCreated.UTC().Format(createdForm) + "/" + k.SHA256 + "." + k.Extension
}

// casePrefix is what the names of all objects of a caseId begin with.
func casePrefix(clientID, caseID string) string { return clientID + "/" + caseID + "/" }

// ParseName reads a name back. It is false for what Name did not make.
func ParseName(name string) (Key, bool) {
	parts := strings.Split(name, "/")
	if len(parts) != 4 {
		return Key{}, false
	}
	created, err := time.Parse(createdForm, parts[2])
	if err != nil {
		return Key{}, false
	}
	digest, extension, _ := strings.Cut(parts[3], ".")
	k := Key{ClientID: parts[0], CaseID: parts[1], CaseCreated: created, SHA256: digest, Extension: extension}
	if !k.Valid() || k.Name() != name {
		return Key{}, false
	}
	return k, true
}

// parseLeftover reads the name of what a directory keeps of an upload that was
// killed: the object's name, the time in hex, "tmp".
func parseLeftover(name string) (Key, bool) {
	rest, ok := strings.CutSuffix(name, ".tmp")
	if !ok {
		return Key{}, false
	}
	dot := strings.LastIndexByte(rest, '.')
	if dot < 0 || rest[dot+1:] == "" || strings.Trim(rest[dot+1:], "0123456789abcdef") != "" {
		return Key{}, false
	}
	return ParseName(rest[:dot])
}

func validID(s string) bool {
	return s != "" && len(s) <= maxID && strings.IndexFunc(s, func(r rune) bool {
		return (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_'
	}) < 0
}

func validDigest(s string) bool {
	sum, err := hex.DecodeString(s)
	return err == nil && len(sum) == 32 && s == strings.ToLower(s)
}

func validExtension(s string) bool {
	return s != "" && len(s) <= maxExtension && strings.IndexFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9')
	}) < 0
}

// anyMediaType stands in for a media type that is none.
const anyMediaType = "application/octet-stream"

// mediaType is a media type in lower case without its parameters, or
// anyMediaType. What a record says of itself (guide 8.6.7, mimeType) comes from
// outside and stands in a header and in an event.
func mediaType(s string) string {
	s, _, _ = strings.Cut(s, ";")
	if s = strings.ToLower(strings.TrimSpace(s)); validMediaType(s) {
		return s
	}
	return anyMediaType
}

// validMediaType reports whether s is type/subtype (RFC 6838 4.2), in lower case
// and without the signs that would need escaping in a URL.
func validMediaType(s string) bool {
	major, minor, ok := strings.Cut(s, "/")
	for _, part := range []string{major, minor} {
		ok = ok && part != "" && len(part) <= 127 && strings.IndexFunc(part, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < '0' || r > '9') && !strings.ContainsRune("-._+", r)
		}) < 0
	}
	return ok
}

// extensions are those of the media types that records have, or may well have:
// guide 8.6.7 gives PDF and JPEG in its samples and speaks of images, video and
// audio.
var extensions = map[string]string{
	"application/json": "json",
	"application/pdf":  "pdf",
	"application/xml":  "xml",
	"application/zip":  "zip",
	"audio/mpeg":       "mp3",
	"audio/ogg":        "ogg",
	"image/bmp":        "bmp",
	"image/gif":        "gif",
	"image/heic":       "heic",
	"image/jp2":        "jp2",
	"image/jpeg":       "jpg",
	"image/jpg":        "jpg",
	"image/png":        "png",
	"image/svg+xml":    "svg",
	"image/tiff":       "tif",
	"image/webp":       "webp",
	"text/plain":       "txt",
	"text/xml":         "xml",
	"video/mp4":        "mp4",
	"video/webm":       "webm",
}

func extension(mediaType string) string {
	if e, ok := extensions[mediaType]; ok {
		return e
	}
	return "bin"
}
