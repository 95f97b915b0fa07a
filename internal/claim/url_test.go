package claim_test

import (
	"strings"
	"testing"

	"postident-bridge/internal/claim"
)

func TestURLs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for url, want := range map[string]string{
		"file://" + dir:                         "file://" + dir + "/",
		"file://" + dir + "/./":                 "file://" + dir + "/",
		"file://localhost" + dir:                "file://" + dir + "/",
		"file://" + dir + "/a%20b?create_dir=1": "file://" + dir + "/a%20b/",
		"s3://records?region=eu-central-1":      "s3://records/",
		"s3://records/a/b_1/?region=eu-central-1&ssetype=aws:kms&kmskeyid=1234":                        "s3://records/a/b_1/",
		"s3://records?endpoint=https://s3.example.com:9000":                                            "s3://records/",
		"s3://records?endpoint=https://s3.example.com&use_path_style=false&region=x":                   "s3://records/",
		"s3://records?region=eu-central-1&role=arn:aws:iam::123456789012:role/bridge&role_duration=1h": "s3://records/",
	} {
		s, err := claim.Open(t.Context(), url)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		if s.String() != want {
			t.Errorf("%s is %s, want %s", url, s, want)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// What is wrong with a URL is said without quoting it, for it may hold a secret in
// a place where none belongs.
func TestURLsThatAreNone(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"", "canary", "/var/canary", "://canary", "https://canary/x", "gs://canary", "s3:canary", "s3://", "s3:///canary",
		"s3://Records/canary?region=x", "s3://records:9000?region=canary", "s3://records", "s3://r?region=x",
		"s3://canary:canary@records?region=x", "s3://records?region=x#canary", "s3://records?region=", "s3://records?region=a&region=canary",
		"s3://records?region=x&canary=1", "s3://records?region=x&secret=canary", "s3://records/a/../canary?region=x",
		"s3://records/canary%00?region=x", "s3://records/.canary?region=x", "s3://records/" + strings.Repeat("canary/", 40) + "?region=x",
		"s3://records?endpoint=canary:9000", "s3://records?endpoint=https://canary:canary@host", "s3://records?endpoint=https://host/canary",
		"s3://records?endpoint=https://host%3fcanary=1", "s3://records?endpoint=ftp://canary", "s3://records?region=x&use_path_style=canary",
		"s3://records?region=x&accelerate=canary", "s3://records?region=%zzcanary", "file://", "file:///", "file://canary/var", "file://./canary",
		"file:///tmp?canary=1", "file:///tmp?create_dir=canary", "file:///nowhere/canary", "file:///tmp/../../",
	} {
		s, err := claim.Open(t.Context(), url)
		if err == nil {
			t.Errorf("%s opens as %s", url, s)
			continue
		}
		if text := strings.ReplaceAll(err.Error(), `"canary"`, ""); strings.Contains(text, "canary") { // the name of an option is named
			t.Errorf("%s is quoted: %v", url, err)
		}
	}
}
