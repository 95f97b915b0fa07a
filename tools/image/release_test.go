package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// repository makes one with a changelog that has 1.2.3.
func repository(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "CHANGELOG.md"), "## [1.2.3] - 2026-11-29\n\n### Added\n\n- all\n")
	for _, args := range [][]string{
		{"init", "--quiet"},
		{"add", "CHANGELOG.md"},
		{"-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false", "commit", "--quiet", "--message", "All", "--date", "2026-11-29T12:00:00Z"},
	} {
		if _, err := output(t.Context(), dir, []string{"GIT_COMMITTER_DATE=2026-11-29T12:00:00Z"}, "git", args...); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestReadyForRelease(t *testing.T) {
	t.Parallel()
	dir := repository(t)
	src, changes, err := readyForRelease(t.Context(), dir, "1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	if len(src.revision) != 40 || src.modified || len(changes) != 1 {
		t.Errorf("source is %+v, changes are %v", src, changes)
	}
	for version, want := range map[string]string{"": "VERSION", "v1.2.3": "VERSION", "1.2": "VERSION", "1.2.3+x": "VERSION", "1.2.3-01": "VERSION", "1.2.3-rc..1": "VERSION", "1.2.3-0.a-1.x01": "CHANGELOG.md", "2.0.0": "CHANGELOG.md"} {
		if _, _, err := readyForRelease(t.Context(), dir, version); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("version %q: %v", version, err)
		}
	}
	write(t, filepath.Join(dir, "new"), "not committed")
	if _, _, err := readyForRelease(t.Context(), dir, "1.2.3"); err == nil || !strings.Contains(err.Error(), "git status") {
		t.Errorf("with a file that is not committed: %v", err)
	}
	write(t, filepath.Join(dir, ".git", "info", "exclude"), "new\n*.bak\n")
	if err := os.MkdirAll(filepath.Join(dir, chartDir), 0o750); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, chartDir, "values.bak"), "ignored")
	if _, _, err := readyForRelease(t.Context(), dir, "1.2.3"); err == nil || !strings.Contains(err.Error(), "would be in the chart") {
		t.Errorf("with an ignored file in the chart: %v", err)
	}
}

func TestReadSource(t *testing.T) {
	t.Parallel()
	dir := repository(t)
	for epoch, want := range map[string]string{"": "2026-11-29T12:00:00Z", "0": "1970-01-01T00:00:00Z"} {
		src, err := readSource(t.Context(), dir, epoch)
		if err != nil {
			t.Fatal(err)
		}
		if got := src.created.Format("2006-01-02T15:04:05Z07:00"); got != want {
			t.Errorf("SOURCE_DATE_EPOCH %q: %s, not %s", epoch, got, want)
		}
		if got := src.tag(); got != src.revision[:12] {
			t.Errorf("tag is %q of %q", got, src.revision)
		}
	}
	if _, err := readSource(t.Context(), dir, "today"); err == nil || !strings.Contains(err.Error(), "SOURCE_DATE_EPOCH") {
		t.Errorf("SOURCE_DATE_EPOCH that is no number: %v", err)
	}
	write(t, filepath.Join(dir, "CHANGELOG.md"), "changed")
	src, err := readSource(t.Context(), dir, "")
	if err != nil || !src.modified || !strings.HasSuffix(src.tag(), "-modified") {
		t.Errorf("with a change: %+v, %v", src, err)
	}
}

func TestBuildArgsStampTheVersionOfAReleaseOnly(t *testing.T) {
	t.Parallel()
	if args := buildArgs("1.2.3", "out"); !slices.Contains(args, "-ldflags=-s -w -X main.version=v1.2.3") {
		t.Errorf("arguments are %q", args)
	}
	if args := buildArgs("", "out"); !slices.Contains(args, "-ldflags=-s -w") {
		t.Errorf("arguments are %q", args)
	}
}

func TestChecksumsAreThoseOfSha256sum(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "b"), "")
	write(t, filepath.Join(dir, "a"), "a\n")
	sums, err := checksums(dir)
	if err != nil {
		t.Fatal(err)
	}
	want, err := output(t.Context(), dir, nil, "sha256sum", "a", "b")
	if err != nil {
		t.Fatal(err)
	}
	if strings.TrimSpace(sums) != want {
		t.Errorf("checksums are\n%s\nnot\n%s", sums, want)
	}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}
