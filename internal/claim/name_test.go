package claim_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"postident-bridge/internal/claim"
)

var someDigest = digest([]byte("some"))

func TestNames(t *testing.T) {
	t.Parallel()
	k := claim.Key{ClientID: clientID, CaseID: "a-B_9", CaseCreated: created, SHA256: someDigest, Extension: "pdf"}
	want := clientID + "/a-B_9/20160705T162315.000Z/" + someDigest + ".pdf"
	if !k.Valid() || k.Name() != want {
		t.Errorf("%t, %s; want %s", k.Valid(), k.Name(), want)
	}
	k.CaseCreated = created.Add(7 * time.Millisecond).In(time.FixedZone("", -3600))
	if want := strings.Replace(want, ".000Z", ".007Z", 1); k.Name() != want {
		t.Errorf("%s; want %s", k.Name(), want)
	}
	for _, name := range []string{
		"", "/", "a", "a/b/c", "a/b/20160705T162315.000Z/" + someDigest, "a/b/20160705T162315.000Z/" + someDigest + ".",
		"a/b/20160705T162315.000Z/" + strings.ToUpper(someDigest) + ".pdf", "a/b/20160705T162315.000Z/" + someDigest[1:] + ".pdf",
		"a/b/20160705T162315Z/" + someDigest + ".pdf", "a/b/20160705T162315.0000Z/" + someDigest + ".pdf",
		"a/b/20160705T162315,000Z/" + someDigest + ".pdf", "a/b/20160732T162315.000Z/" + someDigest + ".pdf",
		"a/b/20160705T162315.000Z/" + someDigest + ".PDF", "a/b/20160705T162315.000Z/" + someDigest + ".p.df",
		"../b/20160705T162315.000Z/" + someDigest + ".pdf", "a//20160705T162315.000Z/" + someDigest + ".pdf",
		"/a/b/20160705T162315.000Z/" + someDigest + ".pdf", "a/b/20160705T162315.000Z/" + someDigest + ".pdf/",
		"a/b/00000101T000000.000Z/" + someDigest + ".pdf",
		"a/b/20160705T162315.000Z/" + someDigest + ".pdf.18c0a4.tmp", "a b/c/20160705T162315.000Z/" + someDigest + ".pdf",
	} {
		if k, ok := claim.ParseName(name); ok || k != (claim.Key{}) {
			t.Errorf("%q is %+v", name, k)
		}
	}
}

func TestNamesRoundTrip(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.StringMatching(`[A-Za-z0-9_-]{1,64}`)
		k := claim.Key{
			ClientID: id.Draw(t, "clientId"), CaseID: id.Draw(t, "caseId"),
			CaseCreated: time.UnixMilli(rapid.Int64Range(-62_135_596_800_000, 253_402_300_799_999).Draw(t, "created")).UTC(),
			SHA256:      rapid.StringMatching(`[0-9a-f]{64}`).Draw(t, "digest"),
			Extension:   rapid.StringMatching(`[a-z0-9]{1,8}`).Draw(t, "extension"),
		}
		parsed, ok := claim.ParseName(k.Name())
		if diff := cmp.Diff(k, parsed); !k.Valid() || !ok || diff != "" {
			t.Errorf("%t, %t (-want +got):\n%s", k.Valid(), ok, diff)
		}
	})
}

func TestMediaTypes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ is, want, extension string }{
		{"application/pdf", "application/pdf", "pdf"},
		{" Image/JPEG ; name=\"canary.jpg\"", "image/jpeg", "jpg"},
		{"image/png", "image/png", "png"},
		{"video/webm", "video/webm", "webm"},
		{"image/svg+xml", "image/svg+xml", "svg"},
		{"application/vnd.example.x-1_2", "application/vnd.example.x-1_2", "bin"},
		{"", "application/octet-stream", "bin"},
		{"pdf", "application/octet-stream", "bin"},
		{"application/", "application/octet-stream", "bin"},
		{"application/pdf\r\nx-header: canary", "application/octet-stream", "bin"},
		{"application/p/df", "application/octet-stream", "bin"},
		{"application/p&df", "application/octet-stream", "bin"},
		{"application/pdf#", "application/octet-stream", "bin"},
		{"application/" + strings.Repeat("x", 128), "application/octet-stream", "bin"},
	} {
		got := claim.MediaTypeOf(tt.is)
		if got != tt.want || claim.ExtensionOf(got) != tt.extension {
			t.Errorf("%q is %q, %q; want %q, %q", tt.is, got, claim.ExtensionOf(got), tt.want, tt.extension)
		}
	}
}

func TestIsOrphan(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	const delay = 3 * 24 * time.Hour
	ours := claim.Key{ClientID: clientID, CaseID: caseID, CaseCreated: created, SHA256: someDigest, Extension: "pdf"}
	for name, tt := range map[string]struct {
		l     claim.Listed
		delay time.Duration
		named bool
		want  bool
	}{
		"old and not named":           {claim.Listed{Key: ours, Modified: now.Add(-delay - 1)}, delay, false, true},
		"old and named":               {claim.Listed{Key: ours, Modified: now.Add(-100 * delay)}, delay, true, false},
		"as old as the delay":         {claim.Listed{Key: ours, Modified: now.Add(-delay)}, delay, false, false},
		"young":                       {claim.Listed{Key: ours, Modified: now.Add(-time.Minute)}, delay, false, false},
		"of a clock that is ahead":    {claim.Listed{Key: ours, Modified: now.Add(time.Hour)}, delay, false, false},
		"no delay, younger than 24 h": {claim.Listed{Key: ours, Modified: now.Add(-claim.MinOrphanAge)}, 0, false, false},
		"no delay, older than 24 h":   {claim.Listed{Key: ours, Modified: now.Add(-claim.MinOrphanAge - 1)}, 0, false, true},
		"a leftover":                  {claim.Listed{Key: ours, Leftover: true, Modified: now.Add(-delay - 1)}, delay, true, true},
		"a young leftover":            {claim.Listed{Key: ours, Leftover: true, Modified: now}, delay, false, false},
		"not ours":                    {claim.Listed{Foreign: true, Modified: now.Add(-100 * delay)}, delay, false, false},
	} {
		if got := claim.IsOrphan(tt.l, func(string) bool { return tt.named }, tt.delay, now); got != tt.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
