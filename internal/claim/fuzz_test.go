package claim_test

import (
	"net/url"
	"strings"
	"testing"

	"postident-bridge/internal/claim"
)

func FuzzParseName(f *testing.F) {
	for _, s := range []string{
		nameOf(nil), nameOf(nil) + ".18c0a4f0.tmp", "../" + nameOf(nil), "a/b/20160705T162315.000Z/" + someDigest + ".pdf",
		"a/b/20160705T162315Z/" + someDigest + ".pdf", "///.", "a/b/c/d", "",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		k, ok := claim.ParseName(name)
		if !ok {
			if k != (claim.Key{}) {
				t.Errorf("no name, but %+v", k)
			}
			return
		}
		if !k.Valid() || k.Name() != name {
			t.Errorf("%+v is named %q", k, k.Name())
		}
		if strings.Contains(name, "..") || strings.ContainsAny(name, "\\%?#& \x00") || strings.HasPrefix(name, "/") {
			t.Errorf("%q is no safe path", name)
		}
	})
}

func FuzzParseReference(f *testing.F) {
	for _, s := range []string{
		reference().String(), "file:///a%20b#sha256=" + someDigest + "&size=0&type=image/svg+xml", "azblob://c/d#sha256=&size=&type=",
		"s3://u:p@records/x?y#sha256=" + someDigest + "&size=1&type=a/b", "#", "",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := claim.ParseReference(s)
		if err != nil {
			if r != (claim.Reference{}) {
				t.Errorf("no reference, but %+v", r)
			}
			return
		}
		if r.String() != s || r.Validate() != nil {
			t.Errorf("%q is %+v, written %q", s, r, r)
		}
		u, err := url.Parse(r.Location)
		if err != nil || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			t.Errorf("location %q: %v", r.Location, err)
		}
	})
}

func FuzzOpen(f *testing.F) {
	for _, s := range []string{
		"s3://bucket/prefix?endpoint=http://127.0.0.1:1&region=eu-central-1", "s3://bucket?canary", "azblob://container?sig=canary",
		"s3://canary:canary@bucket", "file:///nowhere/canary", "file://host/x", "s3://bucket/../x", "s3://bucket?endpoint=http://canary:canary@host", ":", "",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if strings.Contains(s, "create_dir") || strings.Contains(s, "profile") || strings.Contains(s, "token_file") {
			t.Skip("it would touch files")
		}
		store, err := claim.Open(t.Context(), s)
		if err != nil {
			return
		}
		defer func() {
			if err := store.Close(); err != nil {
				t.Error(err)
			}
		}()
		root := store.String()
		if strings.Contains(root, "?") || strings.Contains(root, "@") || !strings.HasSuffix(root, "/") {
			t.Errorf("%q opens %q", s, root)
		}
		if name, ok := store.Name(store.Location(nameOf(nil))); !ok || name != nameOf(nil) {
			t.Errorf("%q has no name for its own location", s)
		}
		if err := (claim.Reference{Location: store.Location(nameOf(nil)), SHA256: digest(nil), MediaType: "a/b"}).Validate(); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	})
}
