package claim_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"postident-bridge/internal/claim"
)

func reference() claim.Reference {
	return claim.Reference{
		Location: "s3://records/prefix/" + nameOf([]byte("some")), SHA256: someDigest, Size: 20_971_520, MediaType: "application/pdf",
	}
}

func TestReferences(t *testing.T) {
	t.Parallel()
	r := reference()
	want := r.Location + "#sha256=" + someDigest + "&size=20971520&type=application/pdf"
	if r.String() != want {
		t.Errorf("%s; want %s", r, want)
	}
	for name, change := range map[string]func(*claim.Reference){
		"as it is":    func(*claim.Reference) {},
		"a directory": func(r *claim.Reference) { r.Location = "file:///var/lib/my%20records/" + nameOf(nil) },
		"azure":       func(r *claim.Reference) { r.Location = "azblob://container/" + nameOf(nil) },
		"empty":       func(r *claim.Reference) { r.Size = 0 },
		"svg":         func(r *claim.Reference) { r.MediaType = "image/svg+xml" },
	} {
		r := reference()
		change(&r)
		parsed, err := claim.ParseReference(r.String())
		if diff := cmp.Diff(r, parsed); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
}

func TestReferencesThatAreNone(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*claim.Reference){
		"no location":     func(r *claim.Reference) { r.Location = "" },
		"another scheme":  func(r *claim.Reference) { r.Location = "https://canary/object" },
		"credentials":     func(r *claim.Reference) { r.Location = "s3://canary:canary@records/object" },
		"a query":         func(r *claim.Reference) { r.Location = "s3://records/object?sig=canary" },
		"an empty query":  func(r *claim.Reference) { r.Location = "s3://records/object?" },
		"a fragment":      func(r *claim.Reference) { r.Location = "s3://records/object#canary" },
		"no bucket":       func(r *claim.Reference) { r.Location = "s3:///object" },
		"no object":       func(r *claim.Reference) { r.Location = "s3://records/" },
		"a folder":        func(r *claim.Reference) { r.Location = "s3://records/object/" },
		"a host's file":   func(r *claim.Reference) { r.Location = "file://canary/object" },
		"no path":         func(r *claim.Reference) { r.Location = "s3:object" },
		"a control sign":  func(r *claim.Reference) { r.Location = "s3://records/\x01" },
		"a blank":         func(r *claim.Reference) { r.Location = "s3://records/a b" },
		"no digest":       func(r *claim.Reference) { r.SHA256 = "" },
		"half a digest":   func(r *claim.Reference) { r.SHA256 = someDigest[:32] },
		"capital letters": func(r *claim.Reference) { r.SHA256 = strings.ToUpper(someDigest) },
		"less than none":  func(r *claim.Reference) { r.Size = -1 },
		"no media type":   func(r *claim.Reference) { r.MediaType = "" },
		"parameters":      func(r *claim.Reference) { r.MediaType = "text/plain; name=canary" },
		"capitals":        func(r *claim.Reference) { r.MediaType = "Image/jpeg" },
	} {
		r := reference()
		change(&r)
		for _, err := range []error{r.Validate(), func() error { _, err := claim.ParseReference(r.String()); return err }()} {
			if err == nil || strings.Contains(err.Error(), "canary") {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	good := reference().String()
	for _, s := range []string{
		"", "canary", reference().Location, reference().Location + "#", strings.Replace(good, "size=", "size=+", 1),
		strings.Replace(good, "size=", "size=0", 1), good + "&", good + "&more=canary", strings.Replace(good, "sha256", "SHA256", 1),
		reference().Location + "#size=1&sha256=" + someDigest + "&type=a/b", strings.Replace(good, "&type=application/pdf", "", 1),
		strings.Replace(good, "size=20971520", "size=99999999999999999999", 1), good + "#",
	} {
		if r, err := claim.ParseReference(s); err == nil || strings.Contains(err.Error(), "canary") || r != (claim.Reference{}) {
			t.Errorf("%q: %+v, %v", s, r, err)
		}
	}
}
