package claim

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
)

// The schemes of stores and of references' locations.
const (
	schemeFile  = "file"
	schemeS3    = "s3"
	schemeAzure = "azblob"
)

// place is a store's URL taken apart.
type place struct {
	scheme  string
	bucket  string // bucket or container; "" of a directory
	dir     string // absolute path of a directory
	prefix  string // of all names: "" or with a slash at its end
	options url.Values
}

var (
	bucketPattern    = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	containerPattern = regexp.MustCompile(`^[a-z0-9](-?[a-z0-9]){2,62}$`)
	prefixPattern    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*$`)
)

// maxPrefix leaves room for a name within the 1,024 bytes of S3 and Azure.
const maxPrefix = 200

// parsePlace reads a store's URL. Its errors never quote more of it than the
// name of an option: who puts a secret into it shall not find it in a log.
func parsePlace(raw string) (place, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Scheme == "":
		return place{}, errors.New("no URL such as file:///directory, s3://bucket or azblob://container")
	case u.User != nil:
		return place{}, errors.New("credentials do not belong into the URL; they come from the environment")
	case u.Fragment != "" || u.Opaque != "":
		return place{}, errors.New("a URL of a store has scheme, bucket, path and options only")
	}
	options, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return place{}, errors.New("the options after ? cannot be read")
	}
	for name, values := range options {
		if len(values) != 1 || values[0] == "" {
			return place{}, fmt.Errorf("option %q has to be given once, with a value", name)
		}
	}
	p := place{scheme: u.Scheme, options: options}
	switch u.Scheme {
	case schemeFile:
		return p.inDirectory(u)
	case schemeS3:
		if !bucketPattern.MatchString(u.Host) {
			return place{}, errors.New("no name of an S3 bucket after s3://")
		}
	case schemeAzure:
		if !containerPattern.MatchString(u.Host) {
			return place{}, errors.New("no name of a container after azblob://")
		}
	default:
		return place{}, fmt.Errorf("scheme %q is not file, s3 or azblob", u.Scheme)
	}
	p.bucket = u.Host
	if prefix := strings.Trim(u.Path, "/"); prefix != "" {
		if !prefixPattern.MatchString(prefix) || len(prefix) > maxPrefix {
			return place{}, fmt.Errorf("the path is no prefix for names: parts of letters, digits, '.', '_' and '-', at most %d bytes", maxPrefix)
		}
		p.prefix = prefix + "/"
	}
	return p, nil
}

func (p place) inDirectory(u *url.URL) (place, error) {
	if u.Host != "" && u.Host != "localhost" {
		return place{}, errors.New("file://host/ is not read: write file:///directory")
	}
	p.dir = path.Clean(u.Path)
	if !path.IsAbs(p.dir) || p.dir == "/" {
		return place{}, errors.New("file:// needs the absolute path of a directory")
	}
	if err := p.only("create_dir"); err != nil {
		return place{}, err
	}
	return p, nil
}

// only refuses other options than those named.
func (p place) only(names ...string) error {
	for name := range p.options {
		if !slices.Contains(names, name) {
			return fmt.Errorf("unknown option %q of %s://", name, p.scheme)
		}
	}
	return nil
}

// take removes an option and gives its value, "" if it is not there.
func (p place) take(name string) string {
	value := p.options.Get(name)
	p.options.Del(name)
	return value
}

// root is what every location of the store begins with.
func (p place) root() string {
	u := url.URL{Scheme: p.scheme, Host: p.bucket, Path: "/" + p.prefix}
	if p.scheme == schemeFile {
		u.Path = p.dir + "/"
	}
	return u.String()
}

// ValidateURL says what is wrong with a store's URL, and asks nobody. Its errors
// quote no more of it than the name of an option.
func ValidateURL(raw string) error {
	_, err := parsePlace(raw)
	return err
}
